/*
 * Python's asyncio and streams: its clients against a server in tasks, and streams against its
 * servers.
 */
/* timeout: 120 */
#include "pairs.h"
#include "program.h"
#include "tasks.h"

#include <errno.h>
#include <stdlib.h>

static harness h;
static program python;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    program_kill(&python);
    harness_close(&h);
    return 0;
}

static const char *
script(const char *name)
{
    static char path[500];
    const char *end = strrchr(__FILE__, '/');

    snprintf(path, sizeof(path), "%.*s/%s", (int)(end - __FILE__), __FILE__, name);
    return path;
}

/* ---- their clients ---- */

static rill_stream_server *server;

static int
echo(rill_stream *s, void *arg)
{
    char buf[8192];
    int64_t n;

    (void)arg;
    while ((n = rill_stream_read(s, buf, sizeof(buf))) > 0)
        RILL_TRY(rill_stream_write(s, buf, (size_t)n));
    return (int)n;
}

static int
echo_on_demand(rill_stream *s, void *arg)
{
    rill_slice there;
    int64_t n = rill_stream_peek(s, 1, &there);

    (void)arg;
    if (n > 0)
        RILL_TRY(rill_stream_write(s, there.data, there.len));
    return n > 0 ? rill_stream_consume(s, there.len) : (int)n;
}

static int
start(void *arg)
{
    const rill_server_options *where = arg;

    return rill_start_server(where, NULL, echo, NULL, &server);
}

static int
start_on_demand(void *arg)
{
    const rill_server_options *where = arg;

    return rill_start_server(
        where, RILL_STREAM_SERVER_OPTIONS(.on_demand = 1), echo_on_demand, NULL, &server);
}

static int
stop(void *unused)
{
    (void)unused;
    RILL_TRY(rill_stream_server_drain(server));
    return rill_stream_server_close(server);
}

static void
run_client(rill_fn begin, const char *mode, const char *path)
{
    rill_server_options where =
        RILL_SERVER_OPTIONS(.host = path == NULL ? "127.0.0.1" : NULL, .path = path);
    char port[20] = "";
    const char *argv[] = { "python3", script("asyncio_client.py"), mode,
        path != NULL ? "unix" : "127.0.0.1", path != NULL ? path : port, NULL };
    rill_addr addr;

    assert_code(tasks_run(&h, begin, &where), 0);
    assert_code(rill_server_sockname(rill_stream_server_base(server), 0, &addr), 0);
    if (path == NULL)
        snprintf(port, sizeof(port), "%d", rill_addr_port(&addr));
    program_start(&python, &h, argv, false);
    program_finish(&python);
    assert_code(tasks_run(&h, stop, NULL), 0);
}

#define CLIENT_TEST(mode)                              \
    static void test_tcp_##mode(void **unused)         \
    {                                                  \
        (void)unused;                                  \
        run_client(start, #mode, NULL);                \
    }                                                  \
    static void test_unix_##mode(void **unused)        \
    {                                                  \
        (void)unused;                                  \
        run_client(start, #mode, scratch_path(#mode)); \
    }                                                  \
    static void test_on_demand_##mode(void **unused)   \
    {                                                  \
        (void)unused;                                  \
        run_client(start_on_demand, #mode, NULL);      \
    }

CLIENT_TEST(echo)
CLIENT_TEST(bulk)
CLIENT_TEST(slow)
CLIENT_TEST(dribble)
CLIENT_TEST(many)
CLIENT_TEST(abort)

/* ---- their servers ---- */

static int port;

static void
with_server(const char *mode, rill_fn client)
{
    const char *argv[] = { "python3", script("asyncio_server.py"), mode, NULL };
    const char *line;

    program_start(&python, &h, argv, false);
    line = program_line(&python);
    assert_memory_equal(line, "listening on ", 13);
    port = atoi(strrchr(line, ':') + 1);
    assert_code(tasks_run(&h, client, NULL), 0);
    program_finish(&python);
}

enum { TRAFFIC = 3000000 };

static uint8_t out[TRAFFIC];
static uint8_t in[TRAFFIC];

static int
write_all(void *arg)
{
    for (size_t i = 0; i < TRAFFIC; i += 30000)
        RILL_TRY(rill_stream_write(arg, out + i, 30000));
    return rill_stream_write_eof(arg);
}

static int
be_echoed(void *unused)
{
    rill_stream *s;
    rill_task *writer;

    (void)unused;
    for (size_t i = 0; i < TRAFFIC; i++)
        out[i] = (uint8_t)(i * 31 + i / 255);
    RILL_TRY(rill_open_connection("127.0.0.1", port, NULL, &s));
    RILL_TRY(rill_spawn(write_all, s, NULL, &writer));
    assert_int_equal(rill_stream_read_exactly(s, in, TRAFFIC, NULL), TRAFFIC);
    assert_memory_equal(in, out, TRAFFIC);
    assert_int_equal(rill_stream_read(s, in, 1), 0);
    assert_code(rill_join(writer), 0);
    rill_stream_close(s);
    assert_code(rill_stream_wait_closed(s), 0);
    rill_stream_unref(s);
    return 0;
}

static int
be_greeted(void *unused)
{
    rill_stream *s;
    rill_slice line;

    (void)unused;
    RILL_TRY(rill_open_connection("127.0.0.1", port, NULL, &s));
    assert_int_equal(rill_stream_readline(s, &line), 8);
    assert_memory_equal(line.data, "welcome\n", 8);
    assert_int_equal(rill_stream_readline(s, &line), 0);
    rill_stream_close(s);
    rill_stream_unref(s);
    return 0;
}

static int
be_reset(void *unused)
{
    rill_stream *s;

    (void)unused;
    RILL_TRY(rill_open_connection("127.0.0.1", port, NULL, &s));
    assert_code(rill_stream_write(s, out, 1000), 0);
    assert_int_equal(rill_stream_read(s, in, 1), -ECONNRESET);
    assert_code(rill_stream_write(s, out, 1), -ECONNRESET);
    rill_stream_close(s);
    rill_stream_unref(s);
    return 0;
}

/* We have sent our end and still get an answer. */
static int
half_close(void *unused)
{
    /* SHA-256 of no byte at all. */
    static const char want[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    rill_stream *s;
    rill_slice answer;

    (void)unused;
    RILL_TRY(rill_open_connection("127.0.0.1", port, NULL, &s));
    assert_code(rill_stream_write_eof(s), 0);
    assert_int_equal(rill_stream_read_all(s, 1000, &answer), 65);
    assert_memory_equal(answer.data, want, 65);
    rill_stream_close(s);
    rill_stream_unref(s);
    return 0;
}

#define OWN_TEST(mode, client)               \
    static void test_##client(void **unused) \
    {                                        \
        (void)unused;                        \
        with_server(mode, client);           \
    }

OWN_TEST("echo", be_echoed)
OWN_TEST("greet", be_greeted)
OWN_TEST("reset", be_reset)
OWN_TEST("hash", half_close)

#define CLIENT_CASES(mode) \
    CASE(test_tcp_##mode), CASE(test_unix_##mode), CASE(test_on_demand_##mode)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASES(echo),
        CLIENT_CASES(bulk),
        CLIENT_CASES(slow),
        CLIENT_CASES(dribble),
        CLIENT_CASES(many),
        CLIENT_CASES(abort),
        CASE(test_be_echoed),
        CASE(test_be_greeted),
        CASE(test_be_reset),
        CASE(test_half_close),
    };

    if (!program_exists("python3")) {
        print_message("skipped: python3 is not installed\n");
        return SKIP_EXIT_CODE;
    }
    return run_cases(tests);
}
