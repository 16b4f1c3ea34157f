/*
 * socat and Python's asyncio as the other side of datagram endpoints: they ask our echo, we ask
 * theirs.
 */
/* timeout: 120 */
#include "dgrams.h"
#include "pairs.h"
#include "program.h"

#include <stdlib.h>

static harness h;
static program other;
static dend ours;

static int
setup(void **unused)
{
    (void)unused;
    memset(&ours, 0, sizeof(ours));
    memset(&other, 0, sizeof(other));
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    program_kill(&other);
    dend_close(&ours);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

static const char *
script(void)
{
    static char path[500];
    const char *end = strrchr(__FILE__, '/');

    snprintf(path, sizeof(path), "%.*s/asyncio_datagrams.py", (int)(end - __FILE__), __FILE__);
    return path;
}

static const char *
port_text(void)
{
    static char text[20];

    snprintf(text, sizeof(text), "%d", rill_addr_port(&ours.addr));
    return text;
}

static void
test_socat_gets_its_words_back(void **unused)
{
    char address[60];
    const char *argv[] = { "socat", "-t", "2", "-", address, NULL };

    (void)unused;
    ours.echo = true;
    dend_open4(&ours, &h);
    snprintf(address, sizeof(address), "UDP4:127.0.0.1:%s", port_text());
    program_start(&other, &h, argv, true);
    program_feed(&other, "words\n", 6);
    assert_string_equal(program_line(&other), "words");
    program_end_input(&other);
    program_finish(&other);
    assert_int_equal(ours.received, 1);
}

static void
test_socat_gets_its_words_back_over_ipv6(void **unused)
{
    char address[60];
    const char *argv[] = { "socat", "-t", "2", "-", address, NULL };

    (void)unused;
    dgrams_need_ipv6(&h);
    ours.echo = true;
    dend_open(&ours, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "::1"));
    snprintf(address, sizeof(address), "UDP6:[::1]:%s", port_text());
    program_start(&other, &h, argv, true);
    program_feed(&other, "more words\n", 11);
    assert_string_equal(program_line(&other), "more words");
    program_end_input(&other);
    program_finish(&other);
}

static void
test_their_client_gets_every_size_back(void **unused)
{
    const char *argv[] = { "python3", script(), "client", "127.0.0.1", NULL, NULL };

    (void)unused;
    ours.echo = true;
    dend_open4(&ours, &h);
    argv[4] = port_text();
    program_start(&other, &h, argv, false);
    program_finish(&other);
    assert_string_equal(other.text, "all came back\n");
    assert_int_equal(ours.echo_errors, 0);
}

static void
test_their_client_gets_every_size_back_over_unix_sockets(void **unused)
{
    static char theirs[200];
    const char *argv[] = { "python3", script(), "unix", NULL, theirs, NULL };

    (void)unused;
    snprintf(theirs, sizeof(theirs), "%s", scratch_path("theirs"));
    ours.echo = true;
    argv[3] = scratch_path("ours");
    dend_open(&ours, &h, &RILL_DATAGRAM_OPTIONS(.local_path = argv[3]));
    program_start(&other, &h, argv, false);
    program_finish(&other);
    assert_string_equal(other.text, "all came back\n");
}

static void
test_their_server_echoes(void **unused)
{
    static uint8_t data[50000];
    const char *argv[] = { "python3", script(), "server", NULL };
    rill_addr addr;
    const char *line;

    (void)unused;
    program_start(&other, &h, argv, false);
    line = program_line(&other);
    assert_memory_equal(line, "listening on 127.0.0.1:", 23);
    assert_code(rill_addr_parse("127.0.0.1", atoi(line + 23), &addr), 0);
    dend_connect(&ours, &h, &addr);
    for (size_t i = 0; i < 20; i++) {
        size_t len = 1 + i * 2500;

        memset(data, (int)i, len);
        assert_code(rill_transport_sendto(ours.t, data, len, NULL), 1);
        dend_await(&ours, i + 1);
        assert_int_equal(dend_at(&ours, i)->len, len);
        assert_int_equal(dend_at(&ours, i)->data[0], i);
    }
    assert_code(dend_send(&ours, "bye", NULL), 1);
    program_finish(&other);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_socat_gets_its_words_back),
        CASE(test_socat_gets_its_words_back_over_ipv6),
        CASE(test_their_client_gets_every_size_back),
        CASE(test_their_client_gets_every_size_back_over_unix_sockets),
        CASE(test_their_server_echoes),
    };

    if (!program_exists("socat") || !program_exists("python3")) {
        print_message("skipped: socat or Python is not installed\n");
        return SKIP_EXIT_CODE;
    }
    return run_cases(tests);
}
