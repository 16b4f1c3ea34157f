/*
 * Reports: the error handler, the log, the last error, and what debug mode tells of slow callbacks
 * and of leftovers.
 */
#include "endpoint.h"

#include <errno.h>

static harness h;

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
    harness_close(&h);
    return 0;
}

static void
report(const char *message)
{
    rill_error_context context = {
        .size = sizeof(context),
        .kind = RILL_ERROR_USER,
        .code = -ENOENT,
        .message = message,
        .site = "here.c:7 fn",
    };

    rill_loop_report(h.loop, &context);
}

static void
test_reports_go_to_the_log(void **unused)
{
    (void)unused;
    report("the cache is cold");
    assert_contains(h.log, "the cache is cold");
    h.log_allowed = true;
}

static void
test_a_handler_replaces_the_log(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    report("one");
    report("two");
    assert_int_equal(h.reports, 2);
    assert_string_equal(h.report_message, "two");
    assert_string_equal(h.report_site, "here.c:7 fn");
    assert_int_equal(h.report_kind, RILL_ERROR_USER);
    assert_int_equal(h.report_code, -ENOENT);
    assert_string_equal(h.log, "");
    rill_loop_set_error_handler(h.loop, NULL, NULL);
    report("three");
    assert_int_equal(h.reports, 2);
    assert_contains(h.log, "three");
    h.log_allowed = true;
}

static void
add_and_pass_on(rill_loop *loop, const rill_error_context *context, void *arg)
{
    (*(int *)arg)++;
    rill_loop_default_error_handler(loop, context, NULL);
}

static void
test_a_handler_passes_on(void **unused)
{
    int calls = 0;

    (void)unused;
    rill_loop_set_error_handler(h.loop, add_and_pass_on, &calls);
    report("passed on");
    assert_int_equal(calls, 1);
    assert_contains(h.log, "passed on");
    h.log_allowed = true;
}

static void
report_again(rill_loop *loop, const rill_error_context *context, void *arg)
{
    int *depth = arg;

    if (++*depth < 3)
        rill_loop_report(loop, context);
}

static void
test_a_handler_may_report(void **unused)
{
    int depth = 0;

    (void)unused;
    rill_loop_set_error_handler(h.loop, report_again, &depth);
    report("again");
    assert_int_equal(depth, 3); /* To the same handler, at once. */
    assert_string_equal(h.log, "");
}

static void
do_nothing(void *arg)
{
    (void)arg;
}

static void
test_the_last_error(void **unused)
{
    const rill_reason *last = rill_loop_last_error(h.loop);
    rill_server_options options = RILL_SERVER_OPTIONS(.host = "no-address.example", .port = 80);

    (void)unused;
    assert_non_null(last);
    assert_int_equal(last->code, 0);
    assert_non_null(last->sentence);
    assert_code(
        rill_create_server(h.loop, &options, &endpoint_protocol, NULL, NULL), RILL_EADDRESS);
    expect_last_error(&h, RILL_EADDRESS, "no-address.example");
    assert_int_equal(rill_loop_last_error(h.loop)->native, 0);
    /* A call that works leaves it alone. */
    assert_code(rill_call_soon(h.loop, do_nothing, NULL, NULL), 0);
    expect_last_error(&h, RILL_EADDRESS, "no-address.example");
    harness_settle(&h);
}

static void
be_slow(void *arg)
{
    rill_ns end = rill_loop_time(h.loop) + *(rill_ns *)arg;

    while (rill_loop_time(h.loop) < end) {
    }
}

static void
test_slow_callbacks_are_reported(void **unused)
{
    rill_ns slow = 12 * RILL_MS, quick = 0;
    char line[40];

    (void)unused;
    harness_catch_reports(&h);
    rill_loop_set_debug(h.loop, true, 10 * RILL_MS);
    assert_true(rill_loop_get_debug(h.loop));
    assert_code(rill_call_soon(h.loop, be_slow, &quick, NULL), 0);
    harness_turn(&h);
    assert_int_equal(h.reports, 0);

    snprintf(line, sizeof(line), "test_report.c:%d be_slow", __LINE__ + 1);
    assert_code(rill_call_soon(h.loop, be_slow, &slow, NULL), 0);
    harness_turn(&h);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_SLOW);
    assert_contains(h.report_message, "be_slow");
    assert_contains(h.report_site, line);

    rill_loop_set_debug(h.loop, false, 0);
    assert_false(rill_loop_get_debug(h.loop));
    assert_code(rill_call_soon(h.loop, be_slow, &slow, NULL), 0);
    harness_turn(&h);
    assert_int_equal(h.reports, 1);
}

/* asyncio, appendix B 22: with a limit of nothing, everything is told. */
static void
test_every_callback_is_slow_enough(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    rill_loop_set_debug(h.loop, true, 0);
    assert_code(rill_call_soon(h.loop, do_nothing, NULL, NULL), 0);
    assert_code(rill_call_at(h.loop, 0, do_nothing, NULL, NULL), 0);
    harness_turn(&h);
    assert_int_equal(h.reports, 2);
    assert_int_equal(h.report_kind, RILL_ERROR_SLOW);
    rill_loop_set_debug(h.loop, false, 0);
}

static void
be_slow_on_data(endpoint *e, rill_slice in)
{
    rill_ns slow = 12 * RILL_MS;

    (void)e;
    (void)in;
    be_slow(&slow);
}

static void
test_slow_protocols_are_reported(void **unused)
{
    static acceptor server;
    endpoint client;

    (void)unused;
    tcp_pair(&h, NULL, &server, &client);
    harness_settle(&h);
    server.ends[0].on_data = be_slow_on_data;
    harness_catch_reports(&h);
    rill_loop_set_debug(h.loop, true, 10 * RILL_MS);
    assert_int_equal(rill_transport_write(client.t, "x", 1), 1);
    endpoint_await(&server.ends[0], 1);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_SLOW);
    assert_contains(h.report_site, "endpoint.c"); /* Where the server was made. */
    rill_loop_set_debug(h.loop, false, 0);
    rill_transport_abort(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_until(&h, acceptor_is_empty, &server);
}

static size_t
occurrences(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

static void
never(void *arg)
{
    (void)arg;
    fail();
}

static void
test_leftovers_are_named(void **unused)
{
    static acceptor server;
    endpoint client;
    char timer_line[40];
    rill_addr addr;

    (void)unused;
    rill_loop_set_debug(h.loop, true, 10 * RILL_S);
    (void)serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &server, &addr);
    connect_to(&h, &addr, &client);
    acceptor_await(&server, 1);
    snprintf(timer_line, sizeof(timer_line), "test_report.c:%d never", __LINE__ + 1);
    assert_code(rill_call_later(h.loop, 3600 * RILL_S, never, NULL, NULL), 0);
    h.log_allowed = true;
    harness_close_with(&h, 4); /* A server, two connections, a timer. */
    assert_int_equal(occurrences(h.log, timer_line), 1);
    assert_int_equal(occurrences(h.log, "endpoint.c:"), 3);
    assert_string_equal(client.tape, "made lost(RILL_ELOOPFREED)");
    assert_string_equal(server.ends[0].tape, "made lost(RILL_ELOOPFREED)");
    harness_open(&h);
}

static void
test_leftovers_are_silent_without_debug(void **unused)
{
    (void)unused;
    assert_code(rill_call_later(h.loop, 3600 * RILL_S, never, NULL, NULL), 0);
    harness_close_with(&h, 1);
    harness_open(&h);
}

/* Writing on after close is harmless; after five times somebody should look. */
static void
test_writing_on_after_close_is_reported_once(void **unused)
{
    static endpoint a, b;

    (void)unused;
    harness_catch_reports(&h);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_settle(&h);
    rill_transport_close(a.t);
    for (int i = 0; i < 20; i++) {
        assert_code(rill_transport_write(a.t, "x", 1), RILL_ECLOSED);
        if (i < 4)
            assert_int_equal(h.reports, 0);
    }
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_MISUSE);
    harness_until(&h, endpoint_is_lost, &a);
    harness_until(&h, endpoint_is_lost, &b);
}

static void
test_stats(void **unused)
{
    rill_loop_stats stats = { .size = sizeof(stats) };
    static endpoint a, b;
    size_t sum = 0;

    (void)unused;
    rill_loop_get_stats(h.loop, &stats);
    assert_int_equal(stats.transports, 0);
    assert_int_equal(stats.timers, 0);
    assert_int_equal(stats.servers, 0);
    assert_int_equal(stats.held_bytes, 0);
    for (int tag = 0; tag < RILL_TAG_COUNT; tag++) {
        if (tag == RILL_TAG_SIM) {
            assert_int_equal(stats.memory[tag], 0); /* The world's, not the loop's. */
            continue;
        }
        assert_int_equal(stats.memory[tag], h.allocator.bytes_by_tag[tag]);
        sum += stats.memory[tag];
    }
    assert_int_equal(sum, allocator_loop_bytes(&h.allocator));

    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_settle(&h);
    assert_code(rill_call_soon(h.loop, do_nothing, NULL, NULL), 0);
    rill_loop_get_stats(h.loop, &stats);
    assert_int_equal(stats.transports, 2);
    assert_int_equal(stats.transports_made, 2);
    assert_int_equal(stats.ready, 1);
    assert_true(stats.turns > 0);
    assert_true(stats.callbacks > 0);
    rill_transport_close(a.t);
    harness_until(&h, endpoint_is_lost, &b);
    harness_settle(&h);
    rill_loop_get_stats(h.loop, &stats);
    assert_int_equal(stats.transports, 0);
    assert_int_equal(stats.transports_made, 2);
    assert_int_equal(stats.ready, 0);
}

/* An older program's struct is smaller: nothing is written behind it. */
static void
test_stats_of_an_older_program(void **unused)
{
    union {
        rill_loop_stats stats;
        uint8_t bytes[sizeof(rill_loop_stats)];
    } u;

    (void)unused;
    memset(&u, 0x5a, sizeof(u));
    u.stats.size = offsetof(rill_loop_stats, ready);
    rill_loop_get_stats(h.loop, &u.stats);
    assert_int_equal(u.stats.size, offsetof(rill_loop_stats, ready));
    for (size_t i = offsetof(rill_loop_stats, ready); i < sizeof(u); i++)
        assert_int_equal(u.bytes[i], 0x5a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_reports_go_to_the_log),
        CASE(test_a_handler_replaces_the_log),
        CASE(test_a_handler_passes_on),
        CASE(test_a_handler_may_report),
        CASE(test_the_last_error),
        CASE_ON("kernel", test_slow_callbacks_are_reported),
        CASE(test_every_callback_is_slow_enough),
        CASE_ON("kernel", test_slow_protocols_are_reported),
        CASE(test_leftovers_are_named),
        CASE(test_leftovers_are_silent_without_debug),
        CASE(test_writing_on_after_close_is_reported_once),
        CASE(test_stats),
        CASE(test_stats_of_an_older_program),
    };

    return run_cases(tests);
}
