/*
 * Servers of streams on demand: a task for each time that bytes arrive, and none in between.
 */
#include "stream_server.h"

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

static unsigned requests;

/* One line is one request; the task ends in between. */
static int
answer_one(rill_stream *s, void *arg)
{
    rill_slice line;
    int64_t n = rill_stream_readline(s, &line);

    (void)arg;
    requests++;
    if (n <= 0)
        return (int)n;
    if (line.data[0] == 'q')
        rill_stream_close(s);
    RILL_IGNORE(rill_stream_write_nowait(s, line.data, line.len));
    return 0;
}

static const rill_stream_server_options on_demand = { .size = sizeof(on_demand), .on_demand = 1 };

static int
a_silent_connection_has_no_task(void *unused)
{
    rill_stream *client;

    (void)unused;
    requests = 0;
    RILL_TRY(server_start(&on_demand, answer_one, NULL));
    client = server_dial();
    (void)streams_must(rill_sleep(10 * RILL_MS));
    assert_int_equal(rill_all_tasks(h.loop, NULL, NULL), 1);
    server_ask(client, "one\n", "one\n");
    server_await_tasks(0);
    server_ask(client, "tw", "");
    server_await_tasks(1);
    server_ask(client, "o\n", "two\n");
    server_await_tasks(0);
    assert_int_equal(requests, 2);
    streams_hang_up(client);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - if (stays_open(self, code))
 * + if (false) */
SERVER_TEST(a_silent_connection_has_no_task)

static int
what_a_handler_leaves_is_the_next_ones(void *unused)
{
    rill_stream *client;

    (void)unused;
    requests = 0;
    RILL_TRY(server_start(&on_demand, answer_one, NULL));
    client = server_dial();
    server_ask(client, "a\nb\nc\nd", "a\nb\nc\n");
    server_ask(client, "\n", "d\n");
    assert_code(rill_stream_write(client, "e\nf\n", 4), 0);
    assert_code(rill_stream_write_eof(client), 0);
    server_ask(client, "", "e\nf\n");
    server_await_end(client);
    server_await_tasks(0);
    assert_int_equal(requests, 6);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - } while (code >= 0 && server->options.on_demand && !rill_stream_is_closing(s) &&
 * + } while (false && !rill_stream_is_closing(s) && */
SERVER_TEST(what_a_handler_leaves_is_the_next_ones)

static int
its_handler_ends_a_connection_by_closing_it(void *unused)
{
    rill_stream *client;

    (void)unused;
    requests = 0;
    RILL_TRY(server_start(&on_demand, answer_one, NULL));
    client = server_dial();
    assert_code(rill_stream_write(client, "go\nquit\nmore\n", 13), 0);
    server_ask(client, "", "go\n");
    server_await_end(client);
    assert_int_equal(requests, 2);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - } while (code >= 0 && server->options.on_demand && !rill_stream_is_closing(s) &&
 * + } while (code >= 0 && server->options.on_demand && */
SERVER_TEST(its_handler_ends_a_connection_by_closing_it)

static int
ignore_bytes(rill_stream *s, void *arg)
{
    (void)s;
    (void)arg;
    requests++;
    return 0;
}

static int
a_handler_that_takes_nothing_is_not_called_in_a_loop(void *unused)
{
    rill_stream *client;

    (void)unused;
    requests = 0;
    RILL_TRY(server_start(&on_demand, ignore_bytes, NULL));
    client = server_dial();
    streams_say(client, "x");
    while (requests == 0)
        (void)streams_must(rill_sleep(RILL_MS));
    (void)streams_must(rill_sleep(10 * RILL_MS));
    assert_int_equal(requests, 1);
    streams_say(client, "y");
    while (requests < 2)
        (void)streams_must(rill_sleep(RILL_MS));
    assert_int_equal(requests, 2);
    streams_hang_up(client);
    return rill_stream_server_close(server);
}
/* It hangs.
 *
 * mutant: tasks/stream_server.c
 * - !server->draining && !server->closing && s->taken != taken &&
 * + !server->draining && !server->closing && */
SERVER_TEST(a_handler_that_takes_nothing_is_not_called_in_a_loop)

static int
on_demand_the_next_waits_for_a_task(void *unused)
{
    rill_stream *clients[3];

    (void)unused;
    RILL_TRY(
        server_start(RILL_STREAM_SERVER_OPTIONS(.on_demand = 1, .tasks_max = 1), answer_one, NULL));
    for (int i = 0; i < 3; i++)
        clients[i] = server_dial();
    streams_say(clients[0], "part");
    server_await_tasks(1);
    streams_say(clients[1], "one\n");
    streams_say(clients[2], "two\n");
    (void)streams_must(rill_sleep(20 * RILL_MS));
    assert_int_equal(rill_stream_buffered(clients[1], NULL), 0);
    server_ask(clients[0], "y\n", "party\n");
    server_ask(clients[1], "", "one\n");
    server_ask(clients[2], "", "two\n");
    server_ask(clients[1], "again\n", "again\n");
    for (int i = 0; i < 3; i++)
        streams_hang_up(clients[i]);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c @ session_data
 * - enqueue(self);
 * + ; */
SERVER_TEST(on_demand_the_next_waits_for_a_task)

/* ---- the end ---- */

static int
drain_closes_who_is_silent(void *unused)
{
    rill_stream *clients[2];

    (void)unused;
    RILL_TRY(server_start(&on_demand, answer_one, NULL));
    clients[0] = server_dial();
    clients[1] = server_dial();
    server_ask(clients[0], "x\n", "x\n");
    streams_say(clients[1], "busy");
    server_await_tasks(1);
    rill_stream_server_stop_accepting(server);
    server_ask(clients[0], "y\n", "y\n");
    server_await_tasks(1);
    streams_say(clients[1], "\n");
    assert_code(rill_stream_server_drain(server), 0);
    server_await_end(clients[0]);
    server_ask(clients[1], "", "busy\n");
    server_await_end(clients[1]);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - end_sessions(server, false); */
SERVER_TEST(drain_closes_who_is_silent)

static rill_stream *abandoned;

static int
leave_idle(void *unused)
{
    (void)unused;
    RILL_TRY(server_start(&on_demand, answer_one, NULL));
    abandoned = server_dial();
    server_ask(abandoned, "x\n", "x\n");
    streams_say(abandoned, "part");
    server_await_tasks(1);
    return 0;
}

/* mutant: tasks/stream_server.c
 * - if (unused)
 * + if (false) */
static void
test_a_loop_is_freed_with_sessions_on_demand(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, false, 10 * RILL_S);
    assert_code(streams_run_task(&h, leave_idle, NULL), 0);
    rill_stream_close(abandoned);
    rill_stream_unref(abandoned);
    assert_true(rill_loop_free(h.loop) >= 2);
    allocator_check_empty(&h.allocator);
    harness_open(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_silent_connection_has_no_task),
        CASE(test_what_a_handler_leaves_is_the_next_ones),
        CASE(test_its_handler_ends_a_connection_by_closing_it),
        CASE(test_a_handler_that_takes_nothing_is_not_called_in_a_loop),
        CASE(test_on_demand_the_next_waits_for_a_task),
        CASE(test_drain_closes_who_is_silent),
        CASE(test_a_loop_is_freed_with_sessions_on_demand),
    };

    return run_cases(tests);
}
