/*
 * Python's asyncio as the other side: its clients against our server, our client against its
 * servers.
 */
/* timeout: 120 */
#include "endpoint.h"
#include "pairs.h"
#include "program.h"

#include <stdlib.h>
#include <unistd.h>

static harness h;
static acceptor accepted;
static rill_server *server;
static program python;
static endpoint client;

static const char *
script(const char *name)
{
    static char path[500];
    const char *end = strrchr(__FILE__, '/');

    snprintf(path, sizeof(path), "%.*s/%s", (int)(end - __FILE__), __FILE__, name);
    return path;
}

/* Do not read what cannot be sent on. */
static void
stop_reading(endpoint *e)
{
    rill_transport_pause_reading(e->t);
}

static void
read_on(endpoint *e)
{
    rill_transport_resume_reading(e->t);
}

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    server = NULL;
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    program_kill(&python);
    if (server != NULL) {
        rill_server_abort_clients(server);
        rill_server_close(server);
        harness_until(&h, acceptor_is_empty, &accepted);
        harness_settle(&h);
    }
    harness_close(&h);
    return 0;
}

static void
start_echo_server(const rill_server_options *options)
{
    server = serve(&h, options, &accepted, NULL);
    accepted.like.echo = true;
    accepted.like.on_pause = stop_reading;
    accepted.like.on_resume = read_on;
}

static void
run_client(const char *mode, const char *host, const char *where)
{
    const char *argv[] = { "python3", script("asyncio_client.py"), mode, host, where, NULL };

    program_start(&python, &h, argv, false);
    program_finish(&python);
    harness_until(&h, acceptor_is_empty, &accepted);
}

static void
run_client_tcp(const char *mode)
{
    char port[20];
    rill_addr addr;

    start_echo_server(&RILL_SERVER_OPTIONS(.host = "127.0.0.1"));
    assert_code(rill_server_sockname(server, 0, &addr), 0);
    snprintf(port, sizeof(port), "%d", rill_addr_port(&addr));
    run_client(mode, "127.0.0.1", port);
}

static void
run_client_unix(const char *mode)
{
    const char *path = scratch_path(mode);

    start_echo_server(&RILL_SERVER_OPTIONS(.path = path));
    run_client(mode, "unix", path);
}

#define CLIENT_TEST(mode)                       \
    static void test_tcp_##mode(void **unused)  \
    {                                           \
        (void)unused;                           \
        run_client_tcp(#mode);                  \
    }                                           \
    static void test_unix_##mode(void **unused) \
    {                                           \
        (void)unused;                           \
        run_client_unix(#mode);                 \
    }

CLIENT_TEST(echo)
CLIENT_TEST(bulk)
CLIENT_TEST(slow)
CLIENT_TEST(dribble)
CLIENT_TEST(many)
CLIENT_TEST(abort)

static void
start_server(const char *mode, const char *path)
{
    const char *argv[] = { "python3", script("asyncio_server.py"), mode,
        path != NULL ? "unix" : NULL, path, NULL };
    rill_connect_options options = RILL_CONNECT_OPTIONS(.path = path);
    const char *line;

    program_start(&python, &h, argv, false);
    line = program_line(&python);
    assert_memory_equal(line, "listening on ", 13);
    if (path == NULL) {
        options.host = "127.0.0.1";
        options.port = atoi(strrchr(line, ':') + 1);
    }
    endpoint_init(&client, &h);
    assert_code(rill_create_connection_start(h.loop, &options, &endpoint_protocol, &client,
                    endpoint_connected, &client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    if (client.connected_code != 0)
        fail_msg("%s", client.connected_sentence);
}

#define TRAFFIC 5000000

static uint64_t sent;

static void
send_more(endpoint *e)
{
    while (!e->paused && sent < TRAFFIC) {
        assert_true(endpoint_send_stream(e, sent, 50000) >= 0);
        sent += 50000;
    }
    if (sent == TRAFFIC && !e->paused)
        assert_code(rill_transport_write_eof(e->t), 0);
}

static void
echo_with_their_server(const char *path)
{
    sent = 0;
    start_server("echo", path);
    client.on_resume = send_more;
    send_more(&client);
    harness_until(&h, endpoint_is_lost, &client);
    assert_int_equal(client.received, TRAFFIC);
    assert_true(client.hash == stream_hash(TRAFFIC));
    assert_code(client.why.code, RILL_EOF);
    program_finish(&python);
}

static void
test_their_server_echoes_tcp(void **unused)
{
    (void)unused;
    echo_with_their_server(NULL);
}

static void
test_their_server_echoes_unix(void **unused)
{
    (void)unused;
    echo_with_their_server(scratch_path("theirs"));
}

static void
test_their_server_greets(void **unused)
{
    (void)unused;
    start_server("greet", NULL);
    harness_until(&h, endpoint_is_lost, &client);
    assert_string_equal(client.tape, "made data(8) eof lost(RILL_EOF)");
    program_finish(&python);
}

static void
test_their_server_resets(void **unused)
{
    (void)unused;
    start_server("reset", NULL);
    assert_true(endpoint_send_stream(&client, 0, 1000) >= 0);
    harness_until(&h, endpoint_is_lost, &client);
    assert_string_equal(client.tape, "made lost(ECONNRESET)");
    program_finish(&python);
}

/* We have sent EOF and still get an answer. */
static void
test_half_close(void **unused)
{
    /* SHA-256 of no byte at all. */
    static const char want[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    char answer[65];

    (void)unused;
    start_server("hash", NULL);
    endpoint_keep(&client, answer, sizeof(answer));
    assert_code(rill_transport_write_eof(client.t), 0);
    harness_until(&h, endpoint_is_lost, &client);
    assert_string_equal(client.tape, "made data(65) eof lost(RILL_EOF)");
    assert_memory_equal(answer, want, sizeof(answer));
    program_finish(&python);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_tcp_echo),
        CASE(test_tcp_bulk),
        CASE(test_tcp_slow),
        CASE(test_tcp_dribble),
        CASE(test_tcp_many),
        CASE(test_tcp_abort),
        CASE(test_unix_echo),
        CASE(test_unix_bulk),
        CASE(test_unix_slow),
        CASE(test_unix_dribble),
        CASE(test_unix_many),
        CASE(test_unix_abort),
        CASE(test_their_server_echoes_tcp),
        CASE(test_their_server_echoes_unix),
        CASE(test_their_server_greets),
        CASE(test_their_server_resets),
        CASE(test_half_close),
    };

    if (!program_exists("python3")) {
        print_message("skipped: python3 is not installed\n");
        return SKIP_EXIT_CODE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
