/*
 * Streams over pipes and the standard streams: one end, or two as one stream.
 *
 * The transport is made in the turn after the call, for which the task waits; that cannot fail, and
 * is not canceled. Loop thread only.
 */
#include <rill/pipe.h>

#include "tasks/stream.h"
#include "transports/internal.h"

typedef int (*connect_fn)(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site);

typedef struct birth {
    rill__wait wait;
    rill_stream *stream;
} birth;

static void
birth_made(rill_transport *t, void *self, void *arg)
{
    birth *b = self;

    (void)arg;
    (void)rill_transport_set_protocol(
        t, &rill__flow_protocol, b->stream); /* No state: no memory. */
    rill__flow_take_over(b->stream, t);
    b->stream->eof = t->eof_received; /* Who only writes has nothing to read. */
    rill__wake(b->wait.fiber, 0);
}

static const rill_protocol birth_protocol = RILL_PROTOCOL(.connection_made = birth_made);

static int
connect_and_wait(rill__fiber *fiber, connect_fn connect, const int fds[2],
    const rill_transport_options *options, birth *b)
{
    int rc = connect(fiber->loop, fds, options, &birth_protocol, b, b->wait.site);

    return rc < 0 ? rc : rill__suspend(fiber, &b->wait);
}

static int
open_stream(connect_fn connect, int read_fd, int write_fd, const rill_stream_options *options,
    const char *what, const char *site, rill_stream **ret_stream)
{
    const int fds[2] = { read_fd, write_fd };
    rill__fiber *fiber = rill__current();
    birth b = { .wait = { .what = what, .site = site } };
    rill_stream_options copy;
    int rc = rill__may_wait(fiber);

    if (rc < 0 || (rc = rill__flow_options(fiber->loop, options, &copy)) < 0)
        return rc;
    if (copy.connect != NULL)
        return rill__fail(fiber->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "stream: a pipe has no options for connecting");
    rc = rill__flow_new(fiber->loop, sizeof(rill_stream), copy.limit, site, &b.stream);
    if (rc < 0)
        return rc;
    rc = connect_and_wait(fiber, connect, fds, copy.transport, &b);
    if (rc < 0) {
        rill_stream_unref(b.stream);
        return rc;
    }
    *ret_stream = b.stream;
    return 0;
}

/* ---- descriptors ---- */

static int
connect_reader(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    return rill_connect_read_pipe_site(loop, fds[0], options, protocol, arg, site, NULL);
}

static int
connect_writer(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    return rill_connect_write_pipe_site(loop, fds[1], options, protocol, arg, site, NULL);
}

static int
connect_both(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    return rill_connect_pipes_site(loop, fds[0], fds[1], options, protocol, arg, site, NULL);
}

int
rill_open_read_pipe_site(
    int fd, const rill_stream_options *options, const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(connect_reader, fd, -1, options, "rill_open_read_pipe", site, ret_stream);
}

int
rill_open_write_pipe_site(
    int fd, const rill_stream_options *options, const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(connect_writer, -1, fd, options, "rill_open_write_pipe", site, ret_stream);
}

int
rill_open_pipes_site(int read_fd, int write_fd, const rill_stream_options *options,
    const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(
        connect_both, read_fd, write_fd, options, "rill_open_pipes", site, ret_stream);
}

/* ---- standard streams ---- */

static int
connect_stdin(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    (void)fds;
    return rill_connect_stdin_site(loop, options, protocol, arg, site, NULL);
}

static int
connect_stdout(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    (void)fds;
    return rill_connect_stdout_site(loop, options, protocol, arg, site, NULL);
}

static int
connect_stdio(rill_loop *loop, const int fds[2], const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site)
{
    (void)fds;
    return rill_connect_stdio_site(loop, options, protocol, arg, site, NULL);
}

int
rill_open_stdin_site(const rill_stream_options *options, const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(connect_stdin, -1, -1, options, "rill_open_stdin", site, ret_stream);
}

int
rill_open_stdout_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(connect_stdout, -1, -1, options, "rill_open_stdout", site, ret_stream);
}

int
rill_open_stdio_site(const rill_stream_options *options, const char *site, rill_stream **ret_stream)
{
    RILL__REQUIRE(ret_stream != NULL);
    return open_stream(connect_stdio, -1, -1, options, "rill_open_stdio", site, ret_stream);
}
