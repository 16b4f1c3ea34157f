/*
 * netcat as the other side: what a person types into it comes back, over TCP and Unix sockets.
 */
/* timeout: 60 */
#include "endpoint.h"
#include "pairs.h"
#include "program.h"

static harness h;
static acceptor accepted;
static rill_server *server;
static program nc;

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
    program_kill(&nc);
    rill_server_close(server);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

static void
talk(const char *const argv[])
{
    accepted.like.echo = true;
    program_start(&nc, &h, argv, true);
    program_feed(&nc, "first line\n", 11);
    assert_string_equal(program_line(&nc), "first line");
    program_feed(&nc, "second line\n", 12);
    assert_string_equal(program_line(&nc), "second line");
    program_end_input(&nc); /* -N: a half close, then it waits for ours. */
    program_finish(&nc);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_string_equal(accepted.ends[0].tape, "made data(23) eof lost(RILL_EOF)");
}

static void
test_over_tcp(void **unused)
{
    char port[20];
    const char *argv[] = { "nc", "-N", "127.0.0.1", port, NULL };
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    snprintf(port, sizeof(port), "%d", rill_addr_port(&addr));
    talk(argv);
}

static void
test_over_unix(void **unused)
{
    const char *path = scratch_path("socket");
    const char *argv[] = { "nc", "-N", "-U", path, NULL };

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    talk(argv);
}

static void
say_goodbye(endpoint *e)
{
    assert_int_equal(rill_transport_write(e->t, "goodbye\n", 8), 1);
    rill_transport_close(e->t);
}

static void
test_we_close(void **unused)
{
    char port[20];
    const char *argv[] = { "nc", "127.0.0.1", port, NULL };
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.on_made = say_goodbye;
    snprintf(port, sizeof(port), "%d", rill_addr_port(&addr));
    program_start(&nc, &h, argv, true);
    assert_string_equal(program_line(&nc), "goodbye");
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_string_equal(accepted.ends[0].tape, "made lost(0)");
    program_end_input(&nc);
    program_finish(&nc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_over_tcp),
        CASE(test_over_unix),
        CASE(test_we_close),
    };

    if (!program_exists("nc")) {
        print_message("skipped: nc is not installed\n");
        return SKIP_EXIT_CODE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
