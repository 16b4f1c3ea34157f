/*
 * Pipes: transports that go one way, over pipes, FIFOs, terminals, other character devices and one
 * direction of a stream socket.
 *
 * They are streams (stream.c) over an io of kind RILL__IO_PIPE. The reading end refuses writes and
 * ends with its input. The writing end never reads: its receive record tells that nobody is left
 * to read, so a loss is told to one who writes nothing, too. Loop thread only.
 */
#include <errno.h>

#include <rill/pipe.h>

#include "transports/stream.h"

/* ---- the two kinds ---- */

/* The base refuses it before. */
static void
no_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    (void)t;
    (void)impl;
    (void)parts;
    (void)count;
    rill__panic("a write to the reading end of a pipe got past the base");
}

/* The other side can only tell the end by the close. */
static void
write_eof(rill_transport *t, void *impl)
{
    (void)impl;
    rill__transport_close(t, 0);
}

/* Nothing is ever read, so nothing is to pause: the end of the readers is told all the same. */
static void
no_pause(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
}

void
rill__pipe_on_hangup(rill__op *op)
{
    stream *s = RILL__CONTAINER(op, stream, io.recv);
    rill_transport *t = rill__base(s);
    uint8_t none;
    int64_t got = t->loop->ops->recv_into(t->loop->driver, &s->io, &none, sizeof(none));

    if (got >= 0 || got == -EAGAIN) {
        /* Of a FIFO another reader has come in between: go on watching. */
        t->loop->ops->resume(t->loop->driver, &s->io);
        return;
    }
    if (rill__queue_is_empty(&s->queue) && s->file == NULL && rill__stream_all_sent(s))
        rill__stream_die(
            s, RILL_EOF, RILL_LAYER_TRANSPORT, "nobody reads from the pipe any more", false);
    else /* Does nothing when it is lost for what came back. */
        rill__stream_die(s, (int)got, RILL_LAYER_SYSTEM, NULL, false);
}

#define PIPE_OPS(kind)                                                               \
    .size = sizeof(rill_transport_ops), .name = kind, .impl_size = sizeof(stream),   \
    .close = rill__stream_close, .abort = rill__stream_abort, .fd = rill__stream_fd, \
    .set_timeout = rill__stream_set_timeout, .detach = rill__stream_detach,          \
    .finalize = rill__stream_finalize

static const rill_transport_ops read_ops = {
    PIPE_OPS("read pipe"),
    .write = no_write,
    .pause_reading = rill__stream_pause_reading,
    .resume_reading = rill__stream_resume_reading,
};

static const rill_transport_ops write_ops = {
    PIPE_OPS("write pipe"),
    .write = rill__stream_write,
    .write_ref = rill__stream_write_ref,
    .write_eof = write_eof,
    .pause_reading = no_pause,
    .resume_reading = no_pause,
    .sendfile = rill__stream_sendfile,
    .sendfile_cancel = rill__stream_sendfile_cancel,
};

/* ---- making ---- */

int
rill__pipe_new(rill_loop *loop, int fd, int what, const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, bool inherited,
    rill_transport **ret_transport)
{
    bool writes = (what & RILL__PIPE_WRITES) != 0;
    rill_transport *t;
    stream *s;
    int rc =
        rill__transport_new(loop, writes ? &write_ops : &read_ops, config, protocol, arg, site, &t);

    if (rc < 0)
        return rc;
    s = rill__impl(t);
    s->io.recv.pipe = (uint8_t)what;
    s->io.inherited = inherited;
    t->eof_received = writes; /* There is nothing to receive. */
    t->refuse |= writes ? 0 : RILL__REFUSE_ONEWAY;
    rc = rill__stream_attach(s, fd, RILL__IO_PIPE, config);
    if (rc < 0)
        return rc;
    *ret_transport = t;
    return 0;
}

/* Why a descriptor cannot be used, with a sentence. */
static int
refuse(rill_loop *loop, int fd, bool writes, int rc)
{
    switch (rc) {
    case RILL_ENOTSUP:
        return rill__fail(loop, rc, RILL_LAYER_TRANSPORT, "descriptors are not the simulator's");
    case -EPERM:
        return rill__fail(loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "descriptor %d is a regular file, which nobody can wait for: %s", fd,
            writes ? "write with rill_file_write_at"
                   : "read with rill_file_read_at, or send it with rill_transport_sendfile_start");
    case -EACCES:
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "descriptor %d is not open for %s", fd, writes ? "writing" : "reading");
    case RILL_EINVAL:
        return rill__fail(loop, rc, RILL_LAYER_TRANSPORT,
            "descriptor %d is no pipe, FIFO, terminal, character device or stream socket", fd);
    default:
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "descriptor %d: %s", fd, rill_strerror(rc));
    }
}

/* Returns what it is; it never waits any more. */
static int
adopt(rill_loop *loop, int fd, bool writes)
{
    int what = loop->ops->pipes->probe(loop->driver, fd, writes);

    if (what >= 0)
        what = loop->ops->pipes->adopt(loop->driver, fd, what);
    return what < 0 ? refuse(loop, fd, writes, what) : what;
}

static int
connect_pipe(rill_loop *loop, int fd, bool writes, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    const rill__pipe_ops *pipes = loop->ops->pipes;
    rill__config config;
    rill_transport *t;
    int what;
    int rc;

    if ((rc = rill__protocol_check(loop, protocol)) < 0 ||
        (rc = rill__config_init(&config, loop, options)) < 0)
        return rc;
    what = adopt(loop, fd, writes);
    if (what < 0)
        return what;
    rc = rill__pipe_new(loop, fd, what, &config, protocol, arg, site, true, &t);
    if (rc < 0) {
        pipes->give_back(loop->driver, fd, what);
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "descriptor %d: %s", fd, rill_strerror(rc));
    }
    rill__stream_open_soon(t);
    if (ret_transport != NULL)
        *ret_transport = t;
    return 0;
}

int
rill_connect_read_pipe_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_read_pipe");
    return connect_pipe(loop, fd, false, options, protocol, arg, site, ret_transport);
}

int
rill_connect_write_pipe_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_write_pipe");
    return connect_pipe(loop, fd, true, options, protocol, arg, site, ret_transport);
}

static int
connect_both(rill_loop *loop, const int fds[2], const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    const rill__pipe_ops *pipes = loop->ops->pipes;
    int whats[2];
    int rc;

    whats[0] = adopt(loop, fds[0], false);
    if (whats[0] < 0)
        return whats[0];
    whats[1] = adopt(loop, fds[1], true);
    rc = whats[1];
    if (rc >= 0) {
        rc = rill__duplex_new(loop, fds, whats, config, protocol, arg, site, ret_transport);
        if (rc == 0)
            return 0;
        pipes->give_back(loop->driver, fds[1], whats[1]);
        (void)rill__fail(loop, rc, RILL_LAYER_SYSTEM, "descriptors %d and %d: %s", fds[0], fds[1],
            rill_strerror(rc));
    }
    pipes->give_back(loop->driver, fds[0], whats[0]);
    return rc;
}

int
rill_connect_pipes_site(rill_loop *loop, int read_fd, int write_fd,
    const rill_transport_options *options, const rill_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport)
{
    const int fds[2] = { read_fd, write_fd };
    rill__config config;
    rill_transport *t;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_pipes");
    if ((rc = rill__protocol_check(loop, protocol)) < 0 ||
        (rc = rill__config_init(&config, loop, options)) < 0)
        return rc;
    rc = connect_both(loop, fds, &config, protocol, arg, site, &t);
    if (rc < 0)
        return rc;
    rill__stream_open_soon(t);
    if (ret_transport != NULL)
        *ret_transport = t;
    return 0;
}

/* ---- standard streams ---- */

/* A duplicate: the descriptor itself stays as it is. */
static int
standard(rill_loop *loop, int number)
{
    int fd = loop->ops->pipes->standard(loop->driver, number);

    if (fd == RILL_ENOTSUP)
        return rill__fail(loop, fd, RILL_LAYER_TRANSPORT, "standard streams are not simulated");
    if (fd < 0)
        return rill__fail(
            loop, fd, RILL_LAYER_SYSTEM, "standard descriptor %d: %s", number, rill_strerror(fd));
    return fd;
}

static int
connect_standard(rill_loop *loop, int number, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    int fd = standard(loop, number);
    int rc;

    if (fd < 0)
        return fd;
    rc = connect_pipe(loop, fd, number != 0, options, protocol, arg, site, ret_transport);
    if (rc < 0)
        loop->sys->close_fd(loop->driver, fd, false);
    return rc;
}

int
rill_connect_stdin_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_stdin");
    return connect_standard(loop, 0, options, protocol, arg, site, ret_transport);
}

int
rill_connect_stdout_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_stdout");
    return connect_standard(loop, 1, options, protocol, arg, site, ret_transport);
}

int
rill_connect_stderr_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_stderr");
    return connect_standard(loop, 2, options, protocol, arg, site, ret_transport);
}

int
rill_connect_stdio_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    int fds[2];
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_stdio");
    fds[0] = standard(loop, 0);
    if (fds[0] < 0)
        return fds[0];
    rc = fds[1] = standard(loop, 1);
    if (rc >= 0) {
        rc = rill_connect_pipes_site(
            loop, fds[0], fds[1], options, protocol, arg, site, ret_transport);
        if (rc == 0)
            return 0;
        loop->sys->close_fd(loop->driver, fds[1], false);
    }
    loop->sys->close_fd(loop->driver, fds[0], false);
    return rc;
}

/* ---- descriptors ---- */

static_assert((int)RILL_PIPE_BLOCKING_READ == (int)RILL__PIPE_BLOCKING_READ, "passed on");
static_assert((int)RILL_PIPE_BLOCKING_WRITE == (int)RILL__PIPE_BLOCKING_WRITE, "passed on");

int
rill_pipe(rill_loop *loop, unsigned flags, int *ret_read, int *ret_write)
{
    int fds[2];
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_pipe");
    if (ret_read == NULL || ret_write == NULL ||
        (flags & ~(unsigned)(RILL_PIPE_BLOCKING_READ | RILL_PIPE_BLOCKING_WRITE)) != 0)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "pipe: two places for the descriptors and known flags are needed");
    rc = loop->ops->pipes->make(loop->driver, flags, fds);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "pipe: %s", rill_strerror(rc));
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

int
rill_pipe_close(rill_loop *loop, int fd)
{
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_pipe_close");
    rc = loop->ops->pipes->probe(loop->driver, fd, false);
    if (rc == -EACCES)
        rc = loop->ops->pipes->probe(loop->driver, fd, true);
    if (rc < 0)
        return refuse(loop, fd, false, rc);
    loop->sys->close_fd(loop->driver, fd, false);
    return 0;
}

static bool
is_fifo_flags(unsigned flags)
{
    unsigned all = RILL_FIFO_READ | RILL_FIFO_WRITE | RILL_FIFO_CREATE | RILL_FIFO_STAY;
    unsigned way = flags & (RILL_FIFO_READ | RILL_FIFO_WRITE);

    return (flags & ~all) == 0 && (way == RILL_FIFO_READ || way == RILL_FIFO_WRITE);
}

int
rill_fifo_open(rill_loop *loop, const char *path, unsigned flags, int mode)
{
    int fd;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_fifo_open");
    if (path == NULL || !is_fifo_flags(flags) || mode < 0 || mode > 07777)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "fifo: a path, one of RILL_FIFO_READ and _WRITE, and a mode up to 07777 are needed");
    fd = loop->ops->pipes->open_fifo(loop->driver, path, flags, mode);
    if (fd >= 0)
        return fd;
    if (fd == RILL_ENOTSUP)
        return rill__fail(loop, fd, RILL_LAYER_TRANSPORT, "FIFOs are not simulated: rill_pipe is");
    if (fd == RILL_EINVAL)
        return rill__fail(loop, fd, RILL_LAYER_TRANSPORT, "fifo: %s is no FIFO", path);
    if (fd == -ENXIO)
        return rill__fail(loop, fd, RILL_LAYER_SYSTEM,
            "fifo: nobody reads from %s yet: try again later, or open it with RILL_FIFO_STAY",
            path);
    return rill__fail(loop, fd, RILL_LAYER_SYSTEM, "fifo: %s: %s", path, rill_strerror(fd));
}
