/*
 * Wrong calls of <rill/stream.h>. Here no task runs: what only a task can ask is told RILL_ENOTASK
 * where its arguments are right, see tests/tasks/test_stream_read.c.
 */
#include "tasks.h"
#include "wrong.h"

static rill_stream *stream;
static rill_stream_server *stream_server;

static int
make_one(void *unused)
{
    rill_stream *other;

    (void)unused;
    RILL_TRY(rill_stream_pair(NULL, &stream, &other));
    rill_stream_close(other);
    rill_stream_unref(other);
    return 0;
}

static int
never_handle(rill_stream *s, void *arg)
{
    (void)s;
    never(arg);
    return 0;
}

static void
try_opening(void)
{
    rill_transport *made = NULL;

    WRONG(RILL_EINVAL, rill_open_connection(NULL, 80, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_connection("127.0.0.1", 80, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_connection("127.0.0.1", 80, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_unix_connection(NULL, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_unix_connection("/x", NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_unix_connection("/x", NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_read_pipe(0, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_read_pipe(0, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_write_pipe(1, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_write_pipe(1, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_pipes(0, 1, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_pipes(0, 1, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_stdin(NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_stdin(NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_stdout(NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_stdout(NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_open_stdio(NULL, NULL));
    WRONG(RILL_ENOTASK, rill_open_stdio(NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_stream_pair(NULL, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_stream_pair(NULL, &out.stream, NULL));
    WRONG(RILL_ENOTASK, rill_stream_pair(NULL, &out.stream, &out.stream));
    WRONG(RILL_EINVAL, rill_stream_attach(NULL, NULL, &out.stream));
    WRONG(RILL_EINVAL, rill_stream_attach(made, NULL, NULL));
    IGNORED(rill_stream_unref(NULL));
}

static void
try_reading(void)
{
    static const rill_iovec empty = { "", 0 };
    static const rill_iovec line = { "\n", 1 };
    rill_slice slice;

    WRONG(RILL_EINVAL, (int)rill_stream_read(NULL, &out, 1));
    WRONG(RILL_EINVAL, (int)rill_stream_read(stream, NULL, 1));
    WRONG(RILL_EINVAL, (int)rill_stream_read_exactly(NULL, &out, 1, &out.count));
    WRONG(RILL_EINVAL, (int)rill_stream_read_exactly(stream, NULL, 1, &out.count));
    WRONG(RILL_EINVAL, (int)rill_stream_read_until(NULL, &line, 1, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_until(stream, NULL, 1, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_until(stream, &line, 0, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_until(stream, &empty, 1, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_until(stream, &line, 1, NULL));
    WRONG(RILL_EINVAL, (int)rill_stream_readline(NULL, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_readline(stream, NULL));
    WRONG(RILL_EINVAL, (int)rill_stream_read_all(NULL, 1, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_all(stream, SIZE_MAX, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_read_all(stream, 1, NULL));
    WRONG(RILL_EINVAL, (int)rill_stream_peek(NULL, 1, &out.slice));
    WRONG(RILL_EINVAL, (int)rill_stream_peek(stream, 1, NULL));
    WRONG(RILL_EINVAL, rill_stream_consume(NULL, 0));
    WRONG(RILL_EINVAL, rill_stream_consume(stream, 1));
    SAYS(rill_stream_buffered(stream, NULL) == 0);
    SAYS(rill_stream_buffered(stream, &slice) == 0);
}

static void
try_writing(void)
{
    rill_iovec parts = { NULL, 1 };

    WRONG(RILL_EINVAL, rill_stream_write(NULL, "x", 1));
    WRONG(RILL_EINVAL, rill_stream_write(stream, NULL, 1));
    WRONG(RILL_EINVAL, rill_stream_writev(NULL, &parts, 1));
    WRONG(RILL_EINVAL, rill_stream_writev(stream, NULL, 1));
    WRONG(RILL_EINVAL, rill_stream_write_nowait(NULL, "x", 1));
    WRONG(RILL_EINVAL, rill_stream_drain(NULL));
    WRONG(RILL_EINVAL, rill_stream_flush(NULL));
    WRONG(RILL_EINVAL, rill_stream_write_eof(NULL));
    WRONG(RILL_EINVAL, rill_stream_wait_closed(NULL));
}

static int
start(const rill_server_options *where, const rill_stream_server_options *options)
{
    return rill_start_server_on(h.loop, where, options, never_handle, NULL, &out.stream_server);
}

static void
never_closed(rill_server *server, void *arg)
{
    (void)server;
    never(arg);
}

static void
try_servers(void)
{
    static const rill_server_options good = { .size = sizeof(good), .host = "127.0.0.1" };
    static const rill_server_options taken = {
        .size = sizeof(taken), .host = "127.0.0.1", .closed = never_closed
    };

    WRONG(RILL_ENOTASK, rill_start_server(&good, NULL, never_handle, NULL, &out.stream_server));
    WRONG(RILL_EINVAL, rill_start_server_on(h.loop, &good, NULL, NULL, NULL, &out.stream_server));
    WRONG(RILL_EINVAL, rill_start_server_on(h.loop, &good, NULL, never_handle, NULL, NULL));
    WRONG(RILL_EINVAL, start(NULL, NULL));
    WRONG(RILL_EINVAL, start(unsized_options, NULL));
    WRONG(RILL_EINVAL, start(unknown_options, NULL));
    WRONG(RILL_EINVAL, start(&taken, NULL));
    WRONG(RILL_EINVAL, start(&good, unsized_options));
    WRONG(RILL_EINVAL, start(&good, unknown_options));
    WRONG(RILL_EINVAL, start(&good, RILL_STREAM_SERVER_OPTIONS(.limit = SIZE_MAX)));
    WRONG(RILL_EINVAL, rill_stream_server_serve_forever(NULL));
    WRONG(RILL_EINVAL, rill_stream_server_drain(NULL));
    WRONG(RILL_EINVAL, rill_stream_server_close(NULL));
    WRONG(RILL_ENOTASK, rill_stream_server_serve_forever(stream_server));
    WRONG(RILL_ENOTASK, rill_stream_server_drain(stream_server));
    WRONG(RILL_ENOTASK, rill_stream_server_close(stream_server));
}

static int
close_server(void *unused)
{
    (void)unused;
    return rill_stream_server_close(stream_server);
}

void
wrong_streams(void)
{
    assert_code(tasks_run(&h, make_one, NULL), 0);
    assert_code(rill_start_server_on(h.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), NULL,
                    never_handle, NULL, &stream_server),
        0);
    harness_settle(&h);
    try_opening();
    try_reading();
    try_writing();
    try_servers();
    assert_code(tasks_run(&h, close_server, NULL), 0);
    rill_stream_close(stream);
    rill_stream_unref(stream);
    harness_settle(&h);
}
