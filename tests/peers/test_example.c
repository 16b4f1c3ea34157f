/*
 * The example server as it is shipped, a process of its own, against Python's asyncio and socat.
 */
/* timeout: 120 */
#include "pairs.h"
#include "program.h"

#include <signal.h>
#include <unistd.h>

static harness h; /* Only to wait in. */
static program server, client;
static char binary[600];

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
    program_kill(&client);
    program_kill(&server);
    harness_close(&h);
    return 0;
}

static void
start_server(const char *option, const char *value, char *ret_where, size_t size)
{
    const char *argv[] = { binary, option, value, NULL };
    const char *line;

    program_start(&server, &h, argv, false);
    line = program_line(&server);
    assert_memory_equal(line, "listening on ", 13);
    snprintf(ret_where, size, "%s", line + 13);
}

static void
run_client(const char *const argv[])
{
    program_start(&client, &h, argv, false);
    program_finish(&client);
}

static void
run_asyncio(const char *mode, const char *host, const char *where)
{
    char path[500];
    const char *end = strrchr(__FILE__, '/');
    const char *argv[] = { "python3", path, mode, host, where, NULL };

    snprintf(path, sizeof(path), "%.*s/asyncio_client.py", (int)(end - __FILE__), __FILE__);
    run_client(argv);
}

static void
stop_server(const char *last_line)
{
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    program_finish(&server);
    assert_contains(server.text, last_line);
}

static void
test_over_tcp(void **unused)
{
    static const char *const modes[] = { "echo", "bulk", "slow", "dribble", "many" };
    char where[200];

    (void)unused;
    if (!program_exists("python3"))
        skip();
    start_server("--port", "0", where, sizeof(where));
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        run_asyncio(modes[i], "127.0.0.1", strrchr(where, ':') + 1);
    stop_server("served 54 connections");
}

static void
test_over_unix(void **unused)
{
    const char *path = scratch_path("example");
    char where[200];

    (void)unused;
    if (!program_exists("python3"))
        skip();
    start_server("--unix", path, where, sizeof(where));
    assert_int_equal(strncmp(where, "unix:", 5), 0);
    run_asyncio("bulk", "unix", path);
    run_asyncio("slow", "unix", path);
    stop_server("served 2 connections");
    assert_int_equal(access(path, F_OK), -1);
}

static void
test_with_socat(void **unused)
{
    char where[200], address[300], text[3000];
    const char *argv[] = { "socat", "-t", "30", "-", address, NULL };

    (void)unused;
    if (!program_exists("socat"))
        skip();
    start_server("--port", "0", where, sizeof(where));
    snprintf(address, sizeof(address), "TCP4:%s", where);
    program_start(&client, &h, argv, true);
    memset(text, 'x', sizeof(text));
    program_feed(&client, text, sizeof(text));
    program_end_input(&client);
    program_finish(&client);
    assert_int_equal(client.text_len, sizeof(text));
    assert_memory_equal(client.text, text, sizeof(text));
    stop_server("served 1 connections");
}

/* build/tests/peers/test_example -> build/examples/echo_server */
static bool
find_binary(void)
{
    char self[500];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len < 0)
        return false;
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(binary, sizeof(binary), "%s/../../examples/echo_server", self);
    return access(binary, X_OK) == 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_over_tcp),
        CASE(test_over_unix),
        CASE(test_with_socat),
    };

    if (!find_binary()) {
        print_message("skipped: the example echo_server was not built\n");
        return SKIP_EXIT_CODE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
