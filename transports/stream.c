/*
 * The stream kind: TCP and Unix sockets over one driver io.
 *
 * Writing is stream_write.c's; what it leaves in the queue is pumped from here.
 *
 * The end: OPEN -> FLUSHING (close with bytes queued) -> CLOSING (the io is closing; its record is
 * connection_lost). A failed send first delivers the input that has already arrived (DYING), since
 * the peer's last words are often the reason.
 *
 * Invariants: staged bytes of a stream mean that its queue is empty; a non-empty queue outside of a
 * send record means that a send is in flight. Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/stream.h"

#define TURN_BYTES     ((size_t)256 * 1024) /* Sent for one stream in a turn. */
#define DISCARD_BYTES  ((size_t)16 * 1024)
#define DISCARD_ROUNDS 128 /* Receives before a close: up to 2 MiB. */

static const rill__driver_ops *
ops_of(const rill_transport *t)
{
    return t->loop->ops;
}

/* ---- the end ---- */

/* No more callbacks but connection_lost, with this code, when the io's close record comes. */
static void
end(stream *s, int code, rill_layer layer, const char *sentence)
{
    rill_transport *t = rill__base(s);

    s->phase = STREAM_CLOSING;
    s->code = code;
    s->layer = (uint8_t)layer;
    s->sentence = sentence;
    t->closing = true;
    t->refuse |= RILL__REFUSE_CLOSED;
    rill__deadlines_stop(s);
}

void
rill__stream_die(stream *s, int code, rill_layer layer, const char *sentence, bool reset)
{
    rill_loop *loop = rill__base(s)->loop;

    if (s->phase == STREAM_CLOSING)
        return;
    if (loop->epilogue_object == s && loop->epilogue != NULL) {
        loop->epilogue = NULL;
        loop->stage_len = 0;
    }
    end(s, code, layer, sentence);
    if (RILL__UNLIKELY(s->is_duplex))
        rill__duplex_end(s);
    else
        loop->ops->close_io(loop->driver, &s->io, reset);
}

/* Nothing refers to our memory any more. */
void
rill__stream_closed(stream *s)
{
    rill_transport *t = rill__base(s);

    rill__check(s->phase == STREAM_CLOSING);
    t->aborting = true; /* The marks are of no interest any more. */
    (void)rill__queue_clear(t->loop, &s->queue);
    rill_transport_account(t, -(int64_t)t->queued_bytes, 0);
    if (s->file != NULL)
        rill__sendfile_note_sent(t, s->file->sent);
    rill_transport_lost(t, s->code, (rill_layer)s->layer, s->sentence);
}

static void
on_close(rill__op *op)
{
    rill__stream_closed(RILL__CONTAINER(op, stream, io.close));
}

/* Unread input would turn the close into a reset, which can destroy what we sent last. */
static void
discard_input(stream *s)
{
    rill_transport *t = rill__base(s);
    uint8_t waste[DISCARD_BYTES]; /* Not the hot buffer: who closes may still be reading from it. */

    if (t->eof_received || s->io.kind == RILL__IO_PIPE)
        return; /* A pipe has no reset, and what is in it may be for another reader. */
    ops_of(t)->resume(t->loop->driver, &s->io);
    for (int i = 0; i < DISCARD_ROUNDS; i++) {
        if (ops_of(t)->recv_into(t->loop->driver, &s->io, waste, sizeof(waste)) <= 0)
            return;
    }
}

static void
finish_close(stream *s)
{
    discard_input(s);
    rill__stream_die(s, 0, RILL_LAYER_TRANSPORT, NULL, false);
}

static void
fail_kernel(stream *s, int code)
{
    rill__stream_die(s, code, RILL_LAYER_SYSTEM, NULL, true);
}

/* A send failed. The peer has gone, but what it said before is delivered first. */
void
rill__stream_write_failed(stream *s, int code)
{
    rill_transport *t = rill__base(s);

    if (s->phase == STREAM_CLOSING || s->phase == STREAM_DYING)
        return;
    if (RILL__UNLIKELY(s->is_duplex) && rill__duplex_out_failed(s, code))
        return;
    if (!rill__wants_data(t)) {
        fail_kernel(s, code);
        return;
    }
    s->phase = STREAM_DYING;
    s->code = code;
    t->refuse |= RILL__REFUSE_CLOSED;
    rill__loop_push_op(t->loop, &rill__stream_in(s)->recv);
}

/* ---- sending ---- */

void
rill__stream_start_send(stream *s)
{
    rill_transport *t = rill__base(s);
    const rill__passing *passing;
    int rc;

    passing = rill__queue_passing(&s->queue);
    s->parts_count = rill__queue_peek(&s->queue, s->parts, STREAM_PARTS);
    if (RILL__UNLIKELY(passing != NULL))
        rc = ops_of(t)->rights->send_start(
            t->loop->driver, &s->io, s->parts, s->parts_count, passing);
    else
        rc = ops_of(t)->send_start(t->loop->driver, &s->io, s->parts, s->parts_count);
    if (rc < 0)
        rill__stream_write_failed(s, rc);
    else
        rill__deadlines_send_waits(s);
}

static void
queue_empty(stream *s)
{
    rill_transport *t = rill__base(s);

    if (!rill__bug("eof_overtakes") && !rill__stream_all_sent(s))
        return;
    rill__deadlines_send_done(s);
    if (s->file != NULL) {
        rill__stream_file_start(s);
        return;
    }
    if (s->phase == STREAM_FLUSHING) {
        finish_close(s);
    } else if (s->eof_pending) {
        s->eof_pending = false;
        if (RILL__UNLIKELY(s->is_duplex))
            rill__duplex_shut_out(s);
        else /* ENOTCONN: a read tells. */
            (void)ops_of(t)->shutdown_write(t->loop->driver, &s->io);
    }
}

static int64_t
send_parts(stream *s, const rill__iov *iov, size_t count)
{
    rill_transport *t = rill__base(s);
    const rill__passing *passing = rill__queue_passing(&s->queue);

    if (RILL__UNLIKELY(passing != NULL))
        return ops_of(t)->rights->send_now(
            t->loop->driver, &s->io, iov, count, passing->fds, passing->count);
    return ops_of(t)->send_now(t->loop->driver, &s->io, iov, count);
}

/* Send what is queued; nothing is in flight. */
static void
pump(stream *s)
{
    size_t turn_bytes = 0;

    while (!rill__queue_is_empty(&s->queue) && turn_bytes < TURN_BYTES) {
        rill__iov iov[RILL__IOV_MAX];
        size_t count = rill__queue_peek(&s->queue, iov, RILL__IOV_MAX);
        int64_t sent = send_parts(s, iov, count);

        if (sent == -EAGAIN)
            break;
        if (sent < 0) {
            rill__stream_write_failed(s, (int)sent);
            return;
        }
        turn_bytes += (size_t)sent;
        rill__stream_sent(s, (size_t)sent);
        if (s->phase == STREAM_CLOSING || s->out_closed) /* resume_writing did it. */
            return;
    }
    if (s->phase == STREAM_DYING || s->io.send.active)
        return;
    if (rill__queue_is_empty(&s->queue))
        queue_empty(s);
    else
        rill__stream_start_send(s);
}

/* Bytes of the queue have left. */
void
rill__stream_sent(stream *s, size_t len)
{
    rill_transport *t = rill__base(s);

    rill__queue_consume(t->loop, &s->queue, len);
    rill__deadlines_sent(s);
    rill_transport_account(t, -(int64_t)len, len);
}

static void
on_send(rill__op *op)
{
    stream *s = RILL__CONTAINER(op, stream, io.send);
    rill_transport *t = rill__base(s);
    int64_t sent;

    if (s->file_active) {
        rill__stream_file_on_send(s);
        return;
    }
    if (!s->io.send.active) {
        (void)rill__stream_all_sent(s);
        return;
    }
    sent = ops_of(t)->finish(t->loop->driver, &s->io);
    if (sent == -EAGAIN)
        return;
    if (sent < 0) {
        rill__stream_write_failed(s, (int)sent);
        return;
    }
    rill__stream_sent(s, (size_t)sent);
    if ((s->phase == STREAM_OPEN || s->phase == STREAM_FLUSHING) && !s->out_closed)
        rill__stream_pump(s);
}

void
rill__stream_pump(stream *s)
{
    if (!s->io.send.active)
        pump(s);
}

/* ---- ending the write side, and both ---- */

void
rill__stream_write_eof(rill_transport *t, void *impl)
{
    stream *s = impl;

    rill__stream_flush_staged(t->loop);
    s->eof_pending = true;
    if (s->phase == STREAM_OPEN && (rill__queue_is_empty(&s->queue) || rill__bug("eof_overtakes")))
        queue_empty(s);
}

void
rill__stream_close(rill_transport *t, void *impl)
{
    stream *s = impl;

    if (s->phase == STREAM_DYING || s->out_broken) {
        fail_kernel(s, s->code);
        return;
    }
    ops_of(t)->pause(t->loop->driver, rill__stream_in(s));
    if (t->loop->epilogue != NULL && t->loop->epilogue_object == s)
        rill__stream_flush_staged(t->loop);
    if (s->phase != STREAM_OPEN)
        return;
    if (s->out_broken) { /* By what was staged. */
        fail_kernel(s, s->code);
        return;
    }
    s->phase = STREAM_FLUSHING;
    if (rill__queue_is_empty(&s->queue))
        (void)rill__stream_all_sent(s);
    if (s->phase != STREAM_FLUSHING)
        return;
    if (rill__queue_is_empty(&s->queue) || rill__bug("close_drops_queue"))
        finish_close(s);
    else
        rill__deadlines_close_begins(s);
}

void
rill__stream_abort(rill_transport *t, void *impl, int code, const char *sentence)
{
    (void)t;
    rill__stream_die(impl, code, RILL_LAYER_TRANSPORT, sentence, true);
}

/* ---- receiving ---- */

static void
on_eof(stream *s)
{
    rill_transport *t = rill__base(s);

    if (s->phase == STREAM_DYING) {
        fail_kernel(s, s->code);
        return;
    }
    /* Nothing more can come; the record would repeat for ever. */
    ops_of(t)->pause(t->loop->driver, rill__stream_in(s));
    rill_transport_eof(t);
    if (s->io.kind != RILL__IO_PIPE)
        return;
    if (s->out_broken)
        fail_kernel(s, s->code); /* Now that the input has ended, too. */
    else if (!s->is_duplex)
        rill__transport_close(t, RILL_EOF); /* It has no other half that could be kept open. */
}

static inline int64_t
receive_slice(stream *s, rill__io *in)
{
    rill_transport *t = rill__base(s);
    rill_slice slice;
    int64_t got;

    got = ops_of(t)->recv_take(t->loop->driver, in, &slice);
    if (RILL__LIKELY(got > 0))
        rill__transport_data_received(t, slice);
    return got;
}

static bool
accepts_rights(const stream *s)
{
    return s->io.kind == RILL__IO_RIGHTS;
}

/* The same where descriptors may come along. */
static int64_t
receive_with_rights(stream *s)
{
    rill_transport *t = rill__base(s);
    size_t size;
    uint8_t *buf = rill__loop_hot_buffer(t->loop, &size);
    int64_t got;

    if (buf == NULL)
        return -ENOMEM;
    got = rill__stream_rights_recv(s, buf, size);
    if (got > 0)
        rill__transport_data_received(t, rill__loop_hot_slice(t->loop, (size_t)got));
    return got;
}

static __attribute__((noinline)) int64_t
receive_buffered(stream *s, rill__io *in)
{
    rill_transport *t = rill__base(s);
    int64_t got;

    while (rill__transport_is_buffered(t)) {
        const rill_protocol *protocol = t->protocol;
        const void *self = t->self;
        void *buf;
        size_t size = rill__transport_get_buffer(t, 0, &buf);

        if (size == 0 || !rill__wants_data(t))
            return -EAGAIN;
        if (t->protocol != protocol || t->self != self)
            continue; /* Exchanged in get_buffer: the buffer is the old one's. */
        got = accepts_rights(s) ? rill__stream_rights_recv(s, buf, size)
                                : ops_of(t)->recv_into(t->loop->driver, in, buf, size);
        if (got > 0)
            rill__transport_buffer_updated(t, (size_t)got);
        return got;
    }
    return accepts_rights(s) ? receive_with_rights(s) : receive_slice(s, in);
}

static int64_t
receive_rights(stream *s, rill__io *in)
{
    return rill__transport_is_buffered(rill__base(s)) ? receive_buffered(s, in)
                                                      : receive_with_rights(s);
}

/* One receive for the protocol; the result as recv_take's. */
static inline int64_t
receive(stream *s, rill__io *in)
{
    if (RILL__UNLIKELY(rill__transport_is_buffered(rill__base(s))))
        return receive_buffered(s, in);
    return receive_slice(s, in);
}

/* A receive brought the end of the stream, nothing, or an error. */
static RILL__RARE void
received_none(stream *s, int64_t got)
{
    if (s->phase == STREAM_CLOSING)
        return;
    if (got == 0 ||
        (got == -EAGAIN && rill__wants_data(rill__base(s)) && rill__bug("again_is_eof")))
        on_eof(s);
    else if (s->phase == STREAM_DYING)
        fail_kernel(s, s->code);
    else if (got != -EAGAIN)
        fail_kernel(s, (int)got);
}

static inline __attribute__((always_inline)) void
receive_record(stream *s, rill__io *in, int64_t (*receive_one)(stream *, rill__io *))
{
    int64_t got;

    if (RILL__UNLIKELY(!rill__wants_data(rill__base(s)))) {
        if (s->phase == STREAM_DYING)
            fail_kernel(s, s->code);
        else if (s->phase == STREAM_OPEN && rill__bug("late_slice_dropped"))
            discard_input(s);
        return;
    }
    got = receive_one(s, in);
    if (RILL__UNLIKELY(got <= 0)) {
        received_none(s, got);
        return;
    }
    rill__deadlines_received(s);
    if (RILL__UNLIKELY(s->phase == STREAM_DYING))
        rill__loop_push_op(rill__base(s)->loop, &in->recv);
}

static void
on_recv(rill__op *op)
{
    stream *s = RILL__CONTAINER(op, stream, io.recv);

    receive_record(s, &s->io, receive);
}

/* Apart, so that the usual kind pays nothing for it. */
static void
on_recv_rights(rill__op *op)
{
    stream *s = RILL__CONTAINER(op, stream, io.recv);

    receive_record(s, &s->io, receive_rights);
}

void
rill__stream_receive(stream *s, rill__io *in)
{
    receive_record(s, in, receive);
}

void
rill__stream_pause_reading(rill_transport *t, void *impl)
{
    stream *s = impl;

    if (s->phase == STREAM_OPEN)
        ops_of(t)->pause(t->loop->driver, rill__stream_in(s));
}

void
rill__stream_resume_reading(rill_transport *t, void *impl)
{
    stream *s = impl;

    if (s->phase == STREAM_OPEN && !t->eof_received)
        ops_of(t)->resume(t->loop->driver, rill__stream_in(s));
}

/* ---- leaving ---- */

int
rill__stream_detach(rill_transport *t, void *impl, void *buf, size_t size, size_t *ret_len)
{
    stream *s = impl;
    int64_t unread;
    int fd;

    if (t->loop->sys->public_fd(t->loop->driver, s->io.fd) < 0)
        return RILL_ENOTSUP;
    if (t->loop->epilogue != NULL && t->loop->epilogue_object == s)
        rill__stream_flush_staged(t->loop);
    if (s->phase == STREAM_OPEN &&
        (!rill__queue_is_empty(&s->queue) || s->file != NULL || !rill__stream_all_sent(s)))
        return s->phase == STREAM_OPEN ? RILL_EBUSY : RILL_ECLOSED;
    if (s->phase != STREAM_OPEN)
        return RILL_ECLOSED;
    if (rill__stream_holds_descriptors(s))
        return RILL_EBUSY;
    unread = ops_of(t)->take_unread(t->loop->driver, &s->io, buf, size);
    if (unread < 0)
        return unread == -EMSGSIZE ? RILL_ELIMIT : (int)unread;
    *ret_len = (size_t)unread;
    fd = ops_of(t)->detach(t->loop->driver, &s->io);
    end(s, RILL_EDETACHED, RILL_LAYER_TRANSPORT, NULL);
    rill__loop_push_op(t->loop, &s->io.close);
    return fd;
}

/* ---- making ---- */

void
rill__stream_finalize(rill_transport *t, void *impl)
{
    stream *s = impl;

    rill__deadlines_free(s);
    rill__stream_rights_free(s);
    rill__free(t->loop, s->file, sizeof(*s->file), RILL_TAG_WRITE);
}

/* Two kinds, one of them in two forms; pipe.c has more. */
#define STREAM_OPS(kind, impl, ...)                                                       \
    {                                                                                     \
        .size = sizeof(rill_transport_ops), .name = kind, .impl_size = sizeof(impl),      \
        .write = rill__stream_write, .write_ref = rill__stream_write_ref,                 \
        .write_eof = rill__stream_write_eof, .close = rill__stream_close,                 \
        .abort = rill__stream_abort, .pause_reading = rill__stream_pause_reading,         \
        .resume_reading = rill__stream_resume_reading, .peername = rill__stream_peername, \
        .sockname = rill__stream_sockname, .fd = rill__stream_fd,                         \
        .credentials = rill__stream_credentials, .tcp_info = rill__stream_tcp_info,       \
        .set_option = rill__stream_set_option, .get_option = rill__stream_get_option,     \
        .set_timeout = rill__stream_set_timeout, .sendfile = rill__stream_sendfile,       \
        .sendfile_cancel = rill__stream_sendfile_cancel, .detach = rill__stream_detach,   \
        .finalize = rill__stream_finalize, __VA_ARGS__                                    \
    }

static const rill_transport_ops tcp_ops = STREAM_OPS("tcp", stream, .write_descriptors = NULL);
static const rill_transport_ops unix_ops =
    STREAM_OPS("unix", stream, .write_descriptors = rill__stream_write_descriptors);
static const rill_transport_ops accepting_ops =
    STREAM_OPS("unix", accepting_stream, .write_descriptors = rill__stream_write_descriptors,
        .take_descriptor = rill__stream_take_descriptor);

static const rill_transport_ops *
ops_for(rill_family family, const rill__config *config)
{
    if (family != RILL_FAMILY_UNIX)
        return &tcp_ops;
    return config->options.descriptors > 0 ? &accepting_ops : &unix_ops;
}

static rill__op_fn
recv_fn(const stream *s)
{
    if (accepts_rights(s))
        return on_recv_rights;
    return (s->io.recv.pipe & RILL__PIPE_WRITES) != 0 ? rill__pipe_on_hangup : on_recv;
}

int
rill__stream_attach(stream *s, int fd, rill__io_kind kind, const rill__config *config)
{
    rill_transport *t = rill__base(s);
    int rc;

    s->io.send.fn = on_send;
    s->io.close.fn = on_close;
    s->close_timeout = config->options.close_timeout;
    s->io.kind = (uint8_t)kind;
    rc = rill__deadlines_init(s, &config->options);
    if (rc == 0 && kind == RILL__IO_RIGHTS)
        rc = rill__stream_rights_init(s, config->options.descriptors);
    s->io.recv.fn = recv_fn(s);
    if (rc == 0)
        rc = ops_of(t)->attach(t->loop->driver, &s->io, fd, kind);
    if (rc < 0)
        rill_transport_discard(t);
    return rc;
}

void
rill__stream_discard(rill_transport *t)
{
    stream *s = rill__impl(t);

    t->loop->sys->close_fd(t->loop->driver, t->loop->ops->detach(t->loop->driver, &s->io), false);
    rill_transport_discard(t);
}

int
rill__stream_new(rill_loop *loop, int fd, rill_family family, const rill_addr *peer,
    const rill__config *config, const rill_protocol *protocol, void *arg, const char *site,
    bool inherited, rill_transport **ret_transport)
{
    rill_transport *t;
    stream *s;
    const rill_transport_ops *ops = ops_for(family, config);
    int rc = rill__transport_new(loop, ops, config, protocol, arg, site, &t);

    if (rc < 0)
        return rc;
    s = rill__impl(t);
    s->io.inherited = inherited;
    rc = rill__stream_attach(
        s, fd, ops == &accepting_ops ? RILL__IO_RIGHTS : RILL__IO_STREAM, config);
    if (rc < 0)
        return rc;
    rill__stream_set_peer(s, peer);
    *ret_transport = t;
    return 0;
}

void
rill__stream_open(rill_transport *t)
{
    stream *s = rill__impl(t);
    int rc;

    if (t->closing)
        return; /* Closed before it was made: discarded by its close record. */
    rill_transport_made(t);
    if (s->phase == STREAM_CLOSING)
        return;
    if (t->reading_paused)
        ops_of(t)->pause(t->loop->driver, rill__stream_in(s));
    rc = ops_of(t)->subscribe(t->loop->driver, rill__stream_in(s));
    if (rc < 0)
        fail_kernel(s, rc);
}

/* Nothing is subscribed yet, so the receive record is free to carry this; a close takes it back. */
static void
on_open(rill__op *op)
{
    stream *s = RILL__CONTAINER(op, stream, io.recv);

    op->fn = recv_fn(s);
    rill__stream_open(rill__base(s));
}

void
rill__stream_open_soon(rill_transport *t)
{
    stream *s = rill__impl(t);

    s->io.recv.fn = on_open;
    rill__loop_push_op(t->loop, &s->io.recv);
}
