/*
 * The datagram kind of transport: its life, and what it receives.
 *
 * A receive record takes what has arrived, up to some dozens, and delivers one after another. Who
 * pauses in the middle gets the rest after the resume; who closes does not get it. An error of the
 * network ends nothing: it is told by error_received, always from the loop, never inside a call of
 * the user's. Sending is dgram_send.c's.
 *
 * The end: OPEN -> FLUSHING (close with datagrams queued) -> CLOSING (the io is closing; its record
 * is connection_lost). Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/dgram.h"

static const rill__driver_ops *
ops_of(const rill_transport *t)
{
    return t->loop->ops;
}

/* ---- the end ---- */

void
rill__dgram_die(dgram *d, int code, rill_layer layer, const char *sentence)
{
    rill_transport *t = rill__base(d);

    if (d->phase == DGRAM_CLOSING)
        return;
    rill__dgram_forget_staged(d);
    d->phase = DGRAM_CLOSING;
    d->code = code;
    d->layer = (uint8_t)layer;
    d->sentence = sentence;
    t->closing = true;
    t->refuse |= RILL__REFUSE_CLOSED;
    rill__timer_disarm(t->loop, &d->timer);
    rill__timer_disarm(t->loop, &d->retry);
    rill__dgram_remove_path(d);
    ops_of(t)->close_io(t->loop->driver, &d->io, false);
}

static void
on_close(rill__op *op)
{
    dgram *d = RILL__CONTAINER(op, dgram, io.close);
    rill_transport *t = rill__base(d);

    rill__check(d->phase == DGRAM_CLOSING);
    t->aborting = true; /* The marks are of no interest any more. */
    (void)rill__packets_clear(t->loop, &d->queue);
    rill_transport_account(t, -(int64_t)t->queued_bytes, 0);
    rill_transport_lost(t, d->code, (rill_layer)d->layer, d->sentence);
}

static void
on_timer(rill__own_timer *timer)
{
    rill__transport_abort(rill__base(RILL__CONTAINER(timer, dgram, timer)), RILL_ECLOSETIMEOUT,
        RILL_LAYER_TRANSPORT, NULL);
}

static void
dgram_close(rill_transport *t, void *impl)
{
    dgram *d = impl;

    ops_of(t)->pause(t->loop->driver, &d->io);
    rill__dgram_flush_staged(d);
    if (d->phase != DGRAM_OPEN)
        return;
    d->phase = DGRAM_FLUSHING;
    if (d->queue.count == 0)
        rill__dgram_die(d, 0, RILL_LAYER_TRANSPORT, NULL);
    else if (d->close_timeout != RILL_NEVER)
        rill__timer_arm(
            t->loop, &d->timer, rill__after(ops_of(t)->now(t->loop->driver), d->close_timeout));
}

static void
dgram_abort(rill_transport *t, void *impl, int code, const char *sentence)
{
    (void)t;
    rill__dgram_die(impl, code, RILL_LAYER_TRANSPORT, sentence);
}

/* ---- errors ---- */

static void
tell_one(dgram *d, int code)
{
    rill_transport *t = rill__base(d);

    rill__enter(t, "error_received");
    if (d->protocol->error_received != NULL)
        d->protocol->error_received(t, t->self, code);
}

/* Told until connection_lost, also while a close is waiting for the queue; not after an abort. */
static bool
may_tell(const dgram *d)
{
    const rill_transport *t = rill__base(d);

    return t->phase == RILL__PHASE_OPEN && !t->aborting;
}

static void
tell_run(rill__ready *ready)
{
    dgram *d = RILL__CONTAINER(ready, dgram, tell);
    uint64_t left = 0; /* What comes meanwhile has its own turn. */

    for (size_t i = 0; i < d->troubles_count; i++)
        left += d->troubles[i].count;
    for (; left > 0 && may_tell(d); left--) {
        int code = d->troubles[0].code;

        if (--d->troubles[0].count == 0) {
            d->troubles_count--;
            memmove(d->troubles, d->troubles + 1, d->troubles_count * sizeof(d->troubles[0]));
        }
        tell_one(d, code);
    }
    d->telling = d->troubles_count > 0 && may_tell(d);
    if (d->telling)
        rill__loop_push(rill__base(d)->loop, &d->tell);
}

/* Where there are too many different ones, the last kind counts for the rest. */
void
rill__dgram_trouble(dgram *d, int code)
{
    dgram_trouble *last = d->troubles_count > 0 ? &d->troubles[d->troubles_count - 1] : NULL;

    d->stats.errors++;
    if (last != NULL && (last->code == code || d->troubles_count == DGRAM_TROUBLES))
        last->count++;
    else
        d->troubles[d->troubles_count++] = (dgram_trouble){ code, 1 };
    if (d->telling)
        return;
    d->telling = true;
    rill__loop_push(rill__base(d)->loop, &d->tell);
}

/* ---- receiving ---- */

static void
deliver(dgram *d, const uint8_t *data, size_t len, const rill_arrival *arrival)
{
    rill_transport *t = rill__base(d);

    t->bytes_in += len;
    d->stats.received++;
    d->stats.truncated += arrival->truncated;
    rill__enter(t, "datagram_received");
    if (RILL__LIKELY(d->protocol->datagram_received != NULL))
        d->protocol->datagram_received(
            t, t->self, (rill_slice){ .data = data, .len = len }, arrival);
}

/* What a pause keeps of an arrival. */
typedef struct kept {
    rill_addr from;
    rill_addr to;
    uint32_t interface;
    int tos;
    bool has_to;
    bool truncated;
} kept;

/* A pause came in the middle of what was taken. Without memory the datagram is lost, as it is when
 * the socket's buffer is full. */
static RILL__RARE void
hold(dgram *d, const uint8_t *data, size_t len, const rill_arrival *arrival)
{
    rill_loop *loop = rill__base(d)->loop;
    kept k = { .from = *arrival->from,
        .interface = arrival->interface,
        .tos = arrival->tos,
        .has_to = arrival->to != NULL,
        .truncated = arrival->truncated };
    void *into;

    if (k.has_to)
        k.to = *arrival->to;
    if (rill__packets_reserve(loop, &d->held, sizeof(k) + len, NULL, &into) < 0)
        return;
    memcpy(into, &k, sizeof(k));
    if (len > 0)
        memcpy((uint8_t *)into + sizeof(k), data, len);
}

static RILL__RARE void
deliver_held(dgram *d)
{
    rill_transport *t = rill__base(d);
    rill__departing first;
    kept k;

    while (rill__wants_data(t) && rill__packets_peek(&d->held, &first, 1) > 0) {
        rill_arrival arrival = { .from = &k.from };

        memcpy(&k, first.data, sizeof(k));
        arrival.to = k.has_to ? &k.to : NULL;
        arrival.interface = k.interface;
        arrival.tos = k.tos;
        arrival.truncated = k.truncated;
        deliver(d, (const uint8_t *)first.data + sizeof(k), first.len - sizeof(k), &arrival);
        (void)rill__packets_consume(t->loop, &d->held, 1);
    }
}

static void
deliver_or_hold(dgram *d, const uint8_t *data, size_t len, const rill_arrival *arrival)
{
    rill_transport *t = rill__base(d);

    if (RILL__LIKELY(rill__wants_data(t)))
        deliver(d, data, len, arrival);
    else if (!t->closing)
        hold(d, data, len, arrival);
}

/* One datagram, or each of those that the kernel has joined. */
static void
arrived(dgram *d, const rill__arrived *a)
{
    rill_arrival arrival = { .from = &a->from,
        .truncated = a->truncated,
        .to = a->to.len > 0 ? &a->to : NULL,
        .interface = a->interface,
        .tos = a->tos };
    size_t at = 0;

    if (a->segment == 0 || a->segment >= a->len) {
        deliver_or_hold(d, a->data, a->len, &arrival);
        return;
    }
    for (; at < a->len; at += a->segment) {
        size_t left = a->len - at;

        deliver_or_hold(d, a->data + at, left < a->segment ? left : a->segment, &arrival);
    }
}

/* Is it the socket itself that is not what it was? */
static bool
is_fatal(int rc)
{
    return rc == -EBADF || rc == -ENOTSOCK || rc == -EINVAL || rc == -EFAULT;
}

static RILL__RARE void
take_failed(dgram *d, int rc)
{
    if (rc == -EAGAIN)
        return;
    if (is_fatal(rc)) {
        rill__dgram_die(d, rc, RILL_LAYER_SYSTEM, NULL);
        return;
    }
    d->stats.errors++;
    tell_one(d, rc);
}

static void
on_recv(rill__op *op)
{
    dgram *d = RILL__CONTAINER(op, dgram, io.recv);
    rill_transport *t = rill__base(d);
    const rill__arrived *pieces;
    int count;

    if (RILL__UNLIKELY(d->held.count > 0))
        deliver_held(d);
    if (RILL__UNLIKELY(!rill__wants_data(t)))
        return;
    count = rill__dgram_ops_of(t)->take(t->loop->driver, &d->io, d->receive_max, &pieces);
    if (RILL__UNLIKELY(count < 0)) {
        take_failed(d, count);
        return;
    }
    d->stats.receives++;
    for (int i = 0; i < count; i++)
        arrived(d, &pieces[i]);
}

static void
dgram_pause_reading(rill_transport *t, void *impl)
{
    dgram *d = impl;

    if (d->phase == DGRAM_OPEN)
        ops_of(t)->pause(t->loop->driver, &d->io);
}

static void
dgram_resume_reading(rill_transport *t, void *impl)
{
    dgram *d = impl;

    if (d->phase != DGRAM_OPEN)
        return;
    ops_of(t)->resume(t->loop->driver, &d->io);
    if (d->held.count > 0 && t->phase == RILL__PHASE_OPEN)
        rill__loop_push_op(t->loop, &d->io.recv);
}

/* ---- making ---- */

static void
dgram_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    (void)impl;
    (void)parts;
    (void)count;
    rill__panic("%s transport written to like a stream", t->ops->name); /* RILL__REFUSE_DATAGRAM */
}

static void
dgram_finalize(rill_transport *t, void *impl)
{
    dgram *d = impl;

    if (d->telling)
        rill__loop_unlink(t->loop, &d->tell);
    rill__timer_disarm(t->loop, &d->timer);
    rill__timer_disarm(t->loop, &d->retry);
    (void)rill__packets_clear(t->loop, &d->queue);
    (void)rill__packets_clear(t->loop, &d->held);
}

/* Two kinds that differ by name. */
#define DGRAM_OPS(kind)                                                                           \
    {                                                                                             \
        .size = sizeof(rill_transport_ops), .name = kind, .impl_size = sizeof(dgram),             \
        .write = dgram_write, .close = dgram_close, .abort = dgram_abort,                         \
        .pause_reading = dgram_pause_reading, .resume_reading = dgram_resume_reading,             \
        .peername = rill__dgram_peername, .sockname = rill__dgram_sockname, .fd = rill__dgram_fd, \
        .set_option = rill__dgram_set_option, .get_option = rill__dgram_get_option,               \
        .set_timeout = rill__dgram_set_timeout, .finalize = dgram_finalize                        \
    }

static const rill_transport_ops udp_ops = DGRAM_OPS("udp");
static const rill_transport_ops unix_ops = DGRAM_OPS("unix-datagram");

dgram *
rill__dgram_of(const rill_transport *t)
{
    return t->ops == &udp_ops || t->ops == &unix_ops ? rill__impl(t) : NULL;
}

/* The callbacks that the base makes by itself. */
static rill_protocol
base_of(const rill_datagram_protocol *protocol)
{
    return (rill_protocol){ .size = sizeof(rill_protocol),
        .state_size = protocol->state_size,
        .connection_made = protocol->connection_made,
        .pause_writing = protocol->pause_writing,
        .resume_writing = protocol->resume_writing,
        .connection_lost = protocol->connection_lost };
}

int
rill_transport_set_datagram_protocol(
    rill_transport *t, const rill_datagram_protocol *protocol, void *arg)
{
    rill_protocol base;
    dgram *d;
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_datagram_protocol");
    rc = rill__datagram_protocol_check(t->loop, protocol);
    if (rc < 0)
        return rc;
    d = rill__dgram_of(t);
    if (d == NULL)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "set_datagram_protocol: this is no transport of datagrams");
    base = base_of(protocol);
    rc = rill__transport_exchange(t, &base, arg);
    if (rc < 0)
        return rc;
    d->base = base;
    t->protocol = &d->base;
    d->protocol = protocol;
    return 0;
}

/* A socket that cannot be had stays as it was: its owner has it still. So it is attached first. */
static int
take_over(dgram *d, const dgram_birth *birth)
{
    rill_loop *loop = rill__base(d)->loop;
    int rc = loop->ops->attach(loop->driver, &d->io, birth->fd, RILL__IO_DGRAM);

    if (rc < 0)
        return rc;
    rc = loop->ops->dgrams->prepare(
        loop->driver, birth->fd, birth->udp, birth->receive_max, birth->details);
    d->io.out.dgram.segments = rc > 0;
    if (rc >= 0 && birth->inherited)
        rc = loop->sys->adopt(loop->driver, birth->fd);
    if (rc < 0)
        (void)loop->ops->detach(loop->driver, &d->io);
    return rc;
}

int
rill__dgram_new(rill_loop *loop, const dgram_birth *birth, const rill__config *config,
    const rill_datagram_protocol *protocol, void *arg, const char *site,
    rill_transport **ret_transport)
{
    rill_protocol base = base_of(protocol);
    rill_transport *t;
    dgram *d;
    int rc = rill__transport_new(loop, birth->family == RILL_FAMILY_UNIX ? &unix_ops : &udp_ops,
        config, &base, arg, site, &t);

    if (rc < 0)
        return rc;
    t->refuse = RILL__REFUSE_DATAGRAM;
    d = rill__impl(t);
    d->base = base;
    t->protocol = &d->base;
    d->protocol = protocol;
    d->io.recv.fn = on_recv;
    d->io.send.fn = rill__dgram_on_send;
    d->io.close.fn = on_close;
    d->io.inherited = birth->inherited;
    d->tell.run = tell_run;
    d->timer.fn = on_timer;
    d->retry.fn = rill__dgram_on_retry;
    d->close_timeout = config->options.close_timeout;
    d->receive_max = birth->receive_max;
    d->family = (uint8_t)birth->family;
    d->udp = birth->udp;
    d->connected = birth->connected;
    if (birth->remote != NULL)
        d->remote = *birth->remote;
    d->io.out.dgram.remarks = birth->family != RILL_FAMILY_UNIX;
    rc = take_over(d, birth);
    if (rc < 0) {
        rill_transport_discard(t);
        return rc;
    }
    *ret_transport = t;
    return 0;
}

/* Nothing is subscribed yet, so the receive record is free to carry this; a close takes it back. */
static void
on_open(rill__op *op)
{
    dgram *d = RILL__CONTAINER(op, dgram, io.recv);
    rill_transport *t = rill__base(d);
    int rc;

    op->fn = on_recv;
    if (t->closing)
        return; /* Closed before it was made: discarded by its close record. */
    rill_transport_made(t);
    if (d->phase != DGRAM_OPEN)
        return;
    if (t->reading_paused)
        ops_of(t)->pause(t->loop->driver, &d->io);
    rc = ops_of(t)->subscribe(t->loop->driver, &d->io);
    if (rc < 0)
        rill__dgram_die(d, rc, RILL_LAYER_SYSTEM, NULL);
}

void
rill__dgram_open_soon(rill_transport *t)
{
    dgram *d = rill__impl(t);

    d->io.recv.fn = on_open;
    rill__loop_push_op(t->loop, &d->io.recv);
}
