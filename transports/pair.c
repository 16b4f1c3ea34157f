/*
 * The memory pair: two transports connected to each other without a kernel.
 *
 * Each side has the bytes that it has not delivered yet in `inbound`; they are accounted to the
 * writer, the other side, until they are delivered. All delivery happens in a side's `pump`, a node
 * of the ready list. A side ends like a socket: its close flushes, then the other side sees EOF;
 * its abort, or bytes written to a side that has gone, are a reset. Loop thread only.
 */
#include <errno.h>

#include "transports/internal.h"

#define TURN_BYTES ((size_t)256 * 1024)

typedef struct side {
    rill__ready pump;
    rill__own_timer timer; /* The close timeout. */
    struct side *peer;     /* NULL: gone. */
    rill__queue inbound;
    size_t inbound_bytes;
    rill_ns close_timeout;
    const char *sentence;
    int code; /* `ending`: what connection_lost is told. */
    uint8_t layer;
    bool queued;   /* The pump is on the ready list. */
    bool made;     /* Nothing to do but connection_made until then. */
    bool eof_sent; /* No more bytes will come from this side. */
    bool closing;  /* close was called; bytes may be left at the peer. */
    bool ending;   /* The next pump is the last. */
    bool reset;    /* The peer has gone in anger. */
} side;

static void
pump_soon(side *s)
{
    if (s->queued)
        return;
    s->queued = true;
    rill__loop_push(rill__base(s)->loop, &s->pump);
}

static void
end_soon(side *s, int code, rill_layer layer, const char *sentence)
{
    if (s->ending)
        return;
    s->ending = true;
    s->code = code;
    s->layer = (uint8_t)layer;
    s->sentence = sentence;
    pump_soon(s);
}

/* Drop what this side has not delivered; the writer is rid of it, as of bytes that
 * were taken or of such that never left. */
static void
drop_inbound(side *s, bool taken)
{
    size_t bytes = s->inbound_bytes;

    s->inbound_bytes = 0;
    (void)rill__queue_clear(rill__base(s)->loop, &s->inbound);
    if (s->peer != NULL && bytes != 0)
        rill_transport_account(rill__base(s->peer), -(int64_t)bytes, taken ? bytes : 0);
}

/* Leave the other side: it sees EOF, or a reset. */
static void
leave(side *s, bool reset)
{
    side *peer = s->peer;

    if (peer == NULL)
        return;
    drop_inbound(s, true);
    peer->peer = NULL;
    s->peer = NULL;
    if (reset)
        peer->reset = true;
    pump_soon(peer);
    if (peer->closing && !peer->ending)
        end_soon(peer, 0, RILL_LAYER_TRANSPORT, NULL); /* Its bytes have no reader any more. */
}

static void
deliver(side *s)
{
    rill_transport *t = rill__base(s);
    size_t turn_bytes = 0;

    while (s->inbound_bytes != 0 && turn_bytes < TURN_BYTES && rill__wants_data(t)) {
        rill__iov part;
        size_t done;

        (void)rill__queue_peek(&s->inbound, &part, 1);
        done = rill_transport_data(t, (rill_slice){ .data = part.base, .len = part.len });
        rill__queue_consume(t->loop, &s->inbound, done);
        s->inbound_bytes -= done;
        turn_bytes += done;
        if (s->peer != NULL && done != 0)
            rill_transport_account(rill__base(s->peer), -(int64_t)done, done);
    }
    if (s->inbound_bytes != 0 && rill__wants_data(t))
        pump_soon(s);
}

/* Aborted, or a write of it failed: then what it wrote is not whole, whatever it calls next. */
static bool
is_failing(const side *s)
{
    return rill__base(s)->aborting || (s->ending && s->code != 0);
}

static void
after_delivery(side *s)
{
    rill_transport *t = rill__base(s);
    side *peer = s->peer;

    if ((s->inbound_bytes != 0 && !rill__bug("pair_eof_first")) ||
        (peer != NULL && is_failing(peer)))
        return; /* The delivery may have told the peer to go on writing, and that failed. */
    if (s->reset && !s->ending) {
        end_soon(s, -ECONNRESET, RILL_LAYER_SYSTEM, NULL);
        return;
    }
    if ((peer == NULL || peer->eof_sent) && rill__wants_data(t))
        rill_transport_eof(t);
    if (peer != NULL && peer->closing && !peer->ending)
        end_soon(peer, 0, RILL_LAYER_TRANSPORT, NULL);
}

static void
pump_run(rill__ready *ready)
{
    side *s = RILL__CONTAINER(ready, side, pump);
    rill_transport *t = rill__base(s);

    s->queued = false;
    if (!s->made) {
        s->made = true;
        if (!t->closing)
            rill_transport_made(t);
        if (s->ending || s->inbound_bytes != 0 || s->peer == NULL || s->peer->eof_sent || s->reset)
            pump_soon(s);
        return;
    }
    if (s->ending) {
        t->aborting = true; /* The marks are of no interest any more. */
        if (s->peer != NULL)
            drop_inbound(s->peer, false); /* Nothing after a close; the queue of an abort. */
        leave(s, s->code != 0 && s->code != -ECONNRESET);
        rill__timer_disarm(t->loop, &s->timer);
        rill_transport_lost(t, s->code, (rill_layer)s->layer, s->sentence);
        return;
    }
    if (s->closing)
        drop_inbound(s, true);
    if (s->peer != NULL && is_failing(s->peer))
        return; /* Its queue is about to be dropped: the reset follows. */
    deliver(s);
    after_delivery(s);
}

/* ---- the table ---- */

static void
write_failed(side *s)
{
    end_soon(s, s->reset ? -ECONNRESET : -EPIPE, RILL_LAYER_SYSTEM, NULL);
}

static void
pair_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    side *s = impl;
    size_t bytes = 0;

    if (s->ending)
        return;
    if (s->peer == NULL || s->peer->closing) {
        write_failed(s);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rill__queue_append(t->loop, &s->peer->inbound, parts[i].data, parts[i].len) < 0) {
            end_soon(s, -ENOMEM, RILL_LAYER_SYSTEM, NULL);
            break;
        }
        bytes += parts[i].len;
    }
    s->peer->inbound_bytes += bytes;
    pump_soon(s->peer);
    rill_transport_account(t, (int64_t)bytes, 0);
}

static int
pair_write_ref(
    rill_transport *t, void *impl, const void *data, size_t len, rill_release_fn release, void *arg)
{
    side *s = impl;
    int rc;

    if (s->ending || s->peer == NULL || s->peer->closing) {
        rc = rill__release_soon(t->loop, release, arg);
        if (rc == 0 && !s->ending)
            write_failed(s);
        return rc;
    }
    rc = rill__queue_append_ref(t->loop, &s->peer->inbound, data, len, release, arg);
    if (rc < 0)
        return rc;
    s->peer->inbound_bytes += len;
    pump_soon(s->peer);
    rill_transport_account(t, (int64_t)len, 0);
    return 0;
}

static void
pair_write_eof(rill_transport *t, void *impl)
{
    side *s = impl;

    (void)t;
    s->eof_sent = true;
    if (s->peer != NULL)
        pump_soon(s->peer);
}

static void
close_timeout(rill__own_timer *timer)
{
    side *s = RILL__CONTAINER(timer, side, timer);

    rill__transport_abort(rill__base(s), RILL_ECLOSETIMEOUT, RILL_LAYER_TRANSPORT, NULL);
}

static void
pair_close(rill_transport *t, void *impl)
{
    side *s = impl;

    s->closing = true;
    s->eof_sent = true;
    pump_soon(s);
    if (s->peer == NULL || s->peer->inbound_bytes == 0) {
        end_soon(s, 0, RILL_LAYER_TRANSPORT, NULL);
        return;
    }
    if (s->close_timeout != RILL_NEVER)
        rill__timer_arm(
            t->loop, &s->timer, rill__after(t->loop->ops->now(t->loop->driver), s->close_timeout));
}

static void
pair_abort(rill_transport *t, void *impl, int code, const char *sentence)
{
    side *s = impl;
    (void)t;
    s->closing = true;
    s->ending = false; /* An abort overrules a close that has just been flushed. */
    end_soon(s, code, RILL_LAYER_TRANSPORT, sentence);
}

static void
pair_pause_reading(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
}

static void
pair_resume_reading(rill_transport *t, void *impl)
{
    (void)t;
    pump_soon(impl);
}

static int
pair_set_timeout(rill_transport *t, void *impl, rill_timeout which, rill_ns value)
{
    (void)t;
    if (which != RILL_TIMEOUT_CLOSE)
        return RILL_ENOTSUP;
    ((side *)impl)->close_timeout = value;
    return 0;
}

static void
pair_finalize(rill_transport *t, void *impl)
{
    side *s = impl;

    leave(s, true);
    if (s->queued)
        rill__loop_unlink(t->loop, &s->pump);
    rill__timer_disarm(t->loop, &s->timer);
    (void)rill__queue_clear(t->loop, &s->inbound);
}

static const rill_transport_ops pair_ops = {
    .size = sizeof(rill_transport_ops),
    .name = "pair",
    .impl_size = sizeof(side),
    .write = pair_write,
    .write_ref = pair_write_ref,
    .write_eof = pair_write_eof,
    .close = pair_close,
    .abort = pair_abort,
    .pause_reading = pair_pause_reading,
    .resume_reading = pair_resume_reading,
    .set_timeout = pair_set_timeout,
    .finalize = pair_finalize,
};

/* ---- making ---- */

static int
side_new(rill_loop *loop, const rill__config *config, const rill_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport)
{
    int rc = rill__transport_new(loop, &pair_ops, config, protocol, arg, site, ret_transport);
    side *s;

    if (rc < 0)
        return rc;
    s = rill__impl(*ret_transport);
    s->pump.run = pump_run;
    s->timer.fn = close_timeout;
    s->close_timeout = config->options.close_timeout;
    return 0;
}

int
rill_create_pair_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol_a, void *arg_a, const rill_protocol *protocol_b, void *arg_b,
    const char *site, rill_transport **ret_a, rill_transport **ret_b)
{
    rill__config config;
    rill_transport *a;
    rill_transport *b;
    side *side_a;
    side *side_b;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_create_pair");
    if ((rc = rill__protocol_check(loop, protocol_a)) < 0 ||
        (rc = rill__protocol_check(loop, protocol_b)) < 0 ||
        (rc = rill__config_init(&config, loop, options)) < 0)
        return rc;
    rc = side_new(loop, &config, protocol_a, arg_a, site, &a);
    if (rc == 0 && (rc = side_new(loop, &config, protocol_b, arg_b, site, &b)) < 0)
        rill_transport_discard(a);
    if (rc < 0)
        return rc == RILL_EINVAL ? rc : rill__fail_call(loop, rc, "pair");
    side_a = rill__impl(a);
    side_b = rill__impl(b);
    side_a->peer = side_b;
    side_b->peer = side_a;
    pump_soon(side_a);
    pump_soon(side_b);
    if (ret_a != NULL)
        *ret_a = a;
    if (ret_b != NULL)
        *ret_b = b;
    return 0;
}
