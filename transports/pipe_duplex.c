/*
 * Two pipes as one transport: it reads from one and writes to the other, like a connection.
 *
 * It is a stream (stream.c) over the writing end; the reading end is an io beside it. write_eof
 * closes the writing end alone, and so does a write that finds nobody to read it: what comes in is
 * delivered to its end all the same. connection_lost waits for both ends. Loop thread only.
 */
#include "transports/stream.h"

static rill__duplex *
duplex_of(stream *s)
{
    return (rill__duplex *)s;
}

static_assert(offsetof(rill__duplex, out) == 0, "the one is reached from the other by a cast");

/* ---- records ---- */

static void
on_recv(rill__op *op)
{
    rill__duplex *d = RILL__CONTAINER(op, rill__duplex, in.recv);

    rill__stream_receive(&d->out, &d->in);
}

static void
on_send(rill__op *op)
{
    (void)op; /* Nothing is sent on the reading end. */
}

/* One end is closed. After write_eof the other one may stay for long. */
static void
one_closed(rill__duplex *d)
{
    rill__check(d->closes_left > 0);
    d->closes_left--;
    if (d->closes_left == 0)
        rill__stream_closed(&d->out);
}

/* What was queued is lost. Here and not where the write failed: that may be inside a call of the
 * user's, in which nothing runs, and the memory was the driver's until now. */
static void
drop_output(stream *s)
{
    rill_transport *t = rill__base(s);

    (void)rill__queue_clear(t->loop, &s->queue);
    if (t->extra != NULL)
        rill__drains_end(t, s->code);
    rill_transport_account(t, -(int64_t)t->queued_bytes, 0);
}

static void
on_out_close(rill__op *op)
{
    rill__duplex *d = RILL__CONTAINER(op, rill__duplex, out.io.close);

    if (d->out.out_broken && d->out.phase == STREAM_OPEN)
        drop_output(&d->out);
    one_closed(d);
}

static void
on_in_close(rill__op *op)
{
    one_closed(RILL__CONTAINER(op, rill__duplex, in.close));
}

/* ---- the end ---- */

void
rill__duplex_shut_out(stream *s)
{
    rill_loop *loop = rill__base(s)->loop;

    if (s->out_closed)
        return;
    s->out_closed = true;
    if ((s->io.recv.pipe & RILL__PIPE_SOCKET) != 0) /* A duplicate would keep it from the peer. */
        (void)loop->ops->shutdown_write(loop->driver, &s->io);
    loop->ops->close_io(loop->driver, &s->io, false);
}

/* A program that reads no more may still have much to say: its output is read to its end. */
bool
rill__duplex_out_failed(stream *s, int code)
{
    rill_transport *t = rill__base(s);

    if (s->out_broken)
        return true;
    if (s->phase != STREAM_OPEN || t->closing || t->eof_received)
        return false;
    s->out_broken = true;
    s->code = code;
    t->refuse |= RILL__REFUSE_BROKEN;
    rill__deadlines_send_done(s);
    rill__stream_file_end(s, code);
    s->out_closed = true;
    t->loop->ops->close_io(t->loop->driver, &s->io, true);
    return true;
}

void
rill__duplex_end(stream *s)
{
    rill_loop *loop = rill__base(s)->loop;

    if (!s->out_closed)
        loop->ops->close_io(loop->driver, &s->io, true); /* What is on trust may be dropped. */
    s->out_closed = true;
    loop->ops->close_io(loop->driver, &duplex_of(s)->in, true);
}

/* ---- making ---- */

static const rill_transport_ops duplex_ops = {
    .size = sizeof(rill_transport_ops),
    .name = "pipes",
    .impl_size = sizeof(rill__duplex),
    .write = rill__stream_write,
    .write_ref = rill__stream_write_ref,
    .write_eof = rill__stream_write_eof,
    .close = rill__stream_close,
    .abort = rill__stream_abort,
    .pause_reading = rill__stream_pause_reading,
    .resume_reading = rill__stream_resume_reading,
    .set_timeout = rill__stream_set_timeout,
    .sendfile = rill__stream_sendfile,
    .sendfile_cancel = rill__stream_sendfile_cancel,
    .finalize = rill__stream_finalize,
};

static int
attach_in(rill__duplex *d, int fd, int what)
{
    rill_transport *t = rill__base(&d->out);
    int rc;

    d->in.recv.fn = on_recv;
    d->in.send.fn = on_send;
    d->in.close.fn = on_in_close;
    d->in.recv.pipe = (uint8_t)what;
    d->in.inherited = true;
    rc = t->loop->ops->attach(t->loop->driver, &d->in, fd, RILL__IO_PIPE);
    if (rc == 0)
        return 0;
    (void)t->loop->ops->detach(t->loop->driver, &d->out.io); /* The descriptor is the caller's. */
    rill_transport_discard(t);
    return rc;
}

int
rill__duplex_new(rill_loop *loop, const int fds[2], const int whats[2], const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    rill_transport *t;
    rill__duplex *d;
    int rc = rill__transport_new(loop, &duplex_ops, config, protocol, arg, site, &t);

    if (rc < 0)
        return rc;
    d = rill__impl(t);
    d->closes_left = 2;
    d->out.is_duplex = true;
    d->out.io.recv.pipe = (uint8_t)whats[1];
    d->out.io.inherited = true;
    rc = rill__stream_attach(&d->out, fds[1], RILL__IO_PIPE, config);
    if (rc < 0)
        return rc;
    d->out.io.close.fn = on_out_close;
    rc = attach_in(d, fds[0], whats[0]);
    if (rc < 0)
        return rc;
    *ret_transport = t;
    return 0;
}
