/*
 * Servers of streams: a task for each connection or for each time that bytes arrive, what becomes
 * of its errors, and the ways to an end.
 */
#include "stream_server.h"

#include "pairs.h"

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

static int
echo(rill_stream *s, void *arg)
{
    char buf[1024];
    int64_t n;

    (void)arg;
    while ((n = rill_stream_read(s, buf, sizeof(buf))) > 0)
        RILL_TRY(rill_stream_write(s, buf, (size_t)n));
    return (int)n;
}

/* ---- a task for each ---- */

static int
each_connection_has_a_task(void *unused)
{
    rill_stream *clients[5];

    (void)unused;
    RILL_TRY(server_start(NULL, echo, NULL));
    for (int i = 0; i < 5; i++)
        clients[i] = server_dial();
    for (int i = 0; i < 5; i++)
        server_ask(clients[i], "hello", "hello");
    assert_int_equal(rill_stream_server_tasks(server), 5);
    for (int i = 0; i < 5; i++)
        streams_hang_up(clients[i]);
    server_await_tasks(0);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c @ session_main
 * - server->tasks--; */
SERVER_TEST(each_connection_has_a_task)

static char seen_name[100];

static int
note_name(rill_stream *s, void *arg)
{
    rill_addr peer;
    char text[RILL_ADDR_TEXT];

    assert_ptr_equal(arg, &server);
    assert_code(rill_transport_peername(rill_stream_transport(s), &peer), 0);
    snprintf(seen_name, sizeof(seen_name), "%s", rill_task_name(rill_current_task()));
    assert_string_equal(seen_name, rill_addr_format(&peer, text, sizeof(text)));
    return rill_stream_write(s, "done", 4);
}

static int
its_name_is_the_peers_address(void *unused)
{
    rill_stream *client;

    (void)unused;
    RILL_TRY(server_start(NULL, note_name, &server));
    client = server_dial();
    server_ask(client, "", "done");
    assert_memory_equal(seen_name, "127.0.0.1:", 10);
    server_await_end(client); /* The stream was closed when its handler had returned. */
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - options.name = rill_addr_format(&peer, name, sizeof(name));
 * + ; */
SERVER_TEST(its_name_is_the_peers_address)

static rill_stream *kept;

static int
keep(rill_stream *s, void *arg)
{
    (void)arg;
    kept = rill_stream_ref(s);
    return 0;
}

static int
a_handler_may_keep_its_stream(void *unused)
{
    rill_stream *client;

    (void)unused;
    kept = NULL;
    RILL_TRY(server_start(NULL, keep, NULL));
    client = server_dial();
    server_await_end(client);
    RILL_TRY(rill_stream_wait_closed(kept));
    rill_stream_unref(kept);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - rill_stream_unref(&self->stream);
 * + rill_stream_unref(&self->stream);
 * + rill_stream_unref(&self->stream); */
SERVER_TEST(a_handler_may_keep_its_stream)

/* ---- errors ---- */

static int
fail_after_a_word(rill_stream *s, void *arg)
{
    RILL_TRY(rill_stream_write(s, "word", 4));
    return *(int *)arg;
}

static void
one_error(int code, size_t reports)
{
    rill_stream *client;

    h.reports = 0;
    assert_code(server_start(NULL, fail_after_a_word, &code), 0);
    client = server_dial();
    server_ask(client, "", "word");
    server_await_end(client);
    server_await_tasks(0);
    assert_int_equal(h.reports, reports);
    assert_code(rill_stream_server_close(server), 0);
}

static int
errors_are_reported_and_cancels_are_not(void *unused)
{
    (void)unused;
    harness_catch_reports(&h);
    one_error(RILL_EUSER - 7, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_TASK);
    assert_code(h.report_code, RILL_EUSER - 7);
    assert_contains(h.report_site, "test_stream_server.c");
    assert_contains(h.report_message, "127.0.0.1:");
    one_error(RILL_ECANCELED, 0);
    one_error(3, 0);
    return 0;
}
/* mutant: tasks/stream_server.c
 * - if (code >= 0 || code == RILL_ECANCELED || is_own_end(&self->stream, code))
 * + if (code >= 0 || is_own_end(&self->stream, code)) */
SERVER_TEST(errors_are_reported_and_cancels_are_not)

static int
read_a_line(rill_stream *s, void *arg)
{
    char buf[100];

    (void)arg;
    return (int)rill_stream_read_exactly(s, buf, sizeof(buf), NULL);
}

static int
the_connections_own_end_is_no_news(void *unused)
{
    rill_stream *client;

    (void)unused;
    harness_catch_reports(&h);
    RILL_TRY(server_start(NULL, read_a_line, NULL));
    client = server_dial();
    server_await_tasks(1);
    rill_stream_abort(client);
    streams_hang_up(client);
    server_await_tasks(0);
    client = server_dial();
    server_await_tasks(1);
    streams_say(client, "not all");
    streams_hang_up(client);
    server_await_tasks(0);
    assert_int_equal(h.reports, 0);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - if (code >= 0 || code == RILL_ECANCELED || is_own_end(&self->stream, code))
 * + if (code >= 0 || code == RILL_ECANCELED) */
SERVER_TEST(the_connections_own_end_is_no_news)

/* ---- limits ---- */

static int
the_next_waits_for_a_task(void *unused)
{
    rill_stream *clients[4];

    (void)unused;
    RILL_TRY(server_start(RILL_STREAM_SERVER_OPTIONS(.tasks_max = 2), echo, NULL));
    for (int i = 0; i < 4; i++) {
        clients[i] = server_dial();
        streams_say(clients[i], "me");
    }
    server_ask(clients[0], "", "me");
    server_ask(clients[1], "", "me");
    (void)streams_must(rill_sleep(20 * RILL_MS));
    assert_int_equal(rill_stream_server_tasks(server), 2);
    assert_int_equal(rill_stream_buffered(clients[2], NULL), 0);
    streams_hang_up(clients[0]);
    server_ask(clients[2], "", "me");
    assert_int_equal(rill_stream_server_tasks(server), 2);
    assert_int_equal(rill_stream_buffered(clients[3], NULL), 0);
    streams_hang_up(clients[3]); /* It has given up before its turn. */
    streams_hang_up(clients[1]);
    streams_hang_up(clients[2]);
    server_await_tasks(0);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c @ session_main
 * - begin_queued(server); */
SERVER_TEST(the_next_waits_for_a_task)

/* ---- serving and ending ---- */

static int
serve(void *ret_code)
{
    *(int *)ret_code = rill_stream_server_serve_forever(server);
    return 0;
}

static int
serving_ends_by_a_cancel_or_a_stop(void *unused)
{
    rill_task *tasks[2];
    int codes[2] = { 1, 1 };

    (void)unused;
    RILL_TRY(server_start(NULL, echo, NULL));
    RILL_TRY(rill_spawn(serve, &codes[0], NULL, &tasks[0]));
    RILL_TRY(rill_yield());
    assert_code(rill_stream_server_serve_forever(server), RILL_EBUSY);
    assert_true(rill_task_cancel(tasks[0], NULL));
    RILL_TRY(rill_join(tasks[0]));
    assert_code(codes[0], RILL_ECANCELED);
    RILL_TRY(rill_spawn(serve, &codes[1], NULL, &tasks[1]));
    RILL_TRY(rill_yield());
    rill_stream_server_stop_accepting(server);
    RILL_TRY(rill_join(tasks[1]));
    assert_code(codes[1], 0);
    assert_code(rill_stream_server_serve_forever(server), RILL_ECLOSED);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c @ rill_stream_server_stop_accepting
 * - rill__wake(fiber, 0); */
SERVER_TEST(serving_ends_by_a_cancel_or_a_stop)

static int
serving_begins_to_listen(void *unused)
{
    rill_stream *client;
    rill_task *task;
    int code = 1;

    (void)unused;
    RILL_TRY(rill_start_server(
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .start_paused = 1), NULL, echo, NULL, &server));
    assert_false(rill_server_is_serving(rill_stream_server_base(server)));
    RILL_TRY(rill_spawn(serve, &code, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_server_is_serving(rill_stream_server_base(server)));
    client = server_dial();
    server_ask(client, "x", "x");
    streams_hang_up(client);
    RILL_TRY(rill_stream_server_close(server));
    RILL_TRY(rill_join(task));
    return code;
}
/* mutant: tasks/stream_server.c
 * - rc = rill_server_start_serving(server->base); */
SERVER_TEST(serving_begins_to_listen)

static unsigned canceled;

static int
wait_and_clean_up(rill_stream *s, void *arg)
{
    rill_scope clean;
    char buf[8];
    int64_t n = rill_stream_read(s, buf, sizeof(buf));

    (void)arg;
    if (n != RILL_ECANCELED)
        return (int)n;
    rill_shield_begin(&clean, RILL_S);
    RILL_IGNORE(rill_sleep(10 * RILL_MS));
    RILL_IGNORE(rill_stream_write(s, "bye", 3));
    RILL_IGNORE(rill_scope_end(&clean, 0));
    canceled++;
    return (int)n;
}

static int
close_cancels_and_joins(void *unused)
{
    rill_stream *clients[3];

    (void)unused;
    canceled = 0;
    RILL_TRY(server_start(NULL, wait_and_clean_up, NULL));
    for (int i = 0; i < 3; i++)
        clients[i] = server_dial();
    server_await_tasks(3);
    assert_true(rill_task_cancel(rill_current_task(), NULL)); /* It is the end of a program. */
    assert_code(rill_stream_server_close(server), 0);
    assert_int_equal(canceled, 3);
    assert_int_equal(rill_task_uncancel(rill_current_task()), 0);
    for (int i = 0; i < 3; i++) {
        server_ask(clients[i], "", "bye");
        server_await_end(clients[i]);
    }
    return 0;
}
/* mutant: tasks/stream_server.c @ rill_stream_server_close
 * - if (server->tasks != 0) {
 * + if (false) { */
SERVER_TEST(close_cancels_and_joins)

static int
drain_waits_for_the_others(void *unused)
{
    rill_stream *client;
    rill_scope limit;

    (void)unused;
    RILL_TRY(server_start(NULL, echo, NULL));
    client = server_dial();
    server_ask(client, "x", "x");
    rill_timeout_begin(&limit, 20 * RILL_MS);
    assert_code(rill_scope_end(&limit, rill_stream_server_drain(server)), RILL_ETIMEDOUT);
    server_ask(client, "still", "still");
    rill_stream_close(client);
    assert_code(rill_stream_server_drain(server), 0);
    assert_int_equal(rill_stream_server_tasks(server), 0);
    assert_null(rill_stream_server_base(server));
    streams_hang_up(client);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - if (server->base == NULL && server->tasks == 0)
 * + if (true) */
SERVER_TEST(drain_waits_for_the_others)

static int own_close;

static int
close_own_server(rill_stream *s, void *arg)
{
    (void)s;
    (void)arg;
    own_close = rill_stream_server_close(server);
    return 0;
}

static int
a_handler_cannot_close_its_server(void *unused)
{
    (void)unused;
    own_close = 0;
    RILL_TRY(server_start(NULL, close_own_server, NULL));
    server_await_end(server_dial());
    assert_code(own_close, RILL_EDEADLK);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - if (is_of_session(server, fiber->task))
 * + if (false) */
SERVER_TEST(a_handler_cannot_close_its_server)

static int
open_one(void *ret_client)
{
    rill_addr addr;

    RILL_TRY(rill_server_sockname(rill_stream_server_base(server), 0, &addr));
    return rill_open_connection("127.0.0.1", rill_addr_port(&addr), NULL, ret_client);
}

/* Who stands in the backlog when the server is closed, or has just been accepted, is hung up on. */
static int
who_comes_too_late_is_closed(void *unused)
{
    (void)unused;
    for (size_t turns = 1; turns < 8; turns++) {
        rill_stream *client = NULL;
        rill_task *task;
        int rc;

        RILL_TRY(rill_start_server(&RILL_SERVER_OPTIONS(.host = "127.0.0.1", .accepts_per_turn = 1),
            NULL, echo, NULL, &server));
        RILL_TRY(rill_spawn(open_one, &client, NULL, &task));
        streams_turns(turns);
        RILL_TRY(rill_stream_server_close(server));
        rc = rill_join(task);
        if (rc == 0)
            server_await_end(client);
        else
            assert_code(rc, -ECONNREFUSED);
    }
    return 0;
}
/* mutant: tasks/stream_server.c
 * - if (server->closing || (server->draining && server->options.on_demand)) {
 * + if (server->draining && server->options.on_demand) { */
SERVER_TEST(who_comes_too_late_is_closed)

static int
over_a_unix_socket(void *unused)
{
    rill_stream *client;
    const char *path = scratch_path("streams");

    (void)unused;
    RILL_TRY(rill_start_server(&RILL_SERVER_OPTIONS(.path = path), NULL, echo, NULL, &server));
    RILL_TRY(rill_open_unix_connection(path, NULL, &client));
    server_ask(client, "unix", "unix");
    streams_hang_up(client);
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_open.c
 * - all.path = where->path; */
SERVER_TEST(over_a_unix_socket)

static int
wrong_options_start_nothing(void *unused)
{
    (void)unused;
    server = NULL;
    assert_code(server_start(NULL, NULL, NULL), RILL_EINVAL);
    assert_code(rill_start_server(NULL, NULL, echo, NULL, &server), RILL_EINVAL);
    assert_code(
        rill_start_server(&RILL_SERVER_OPTIONS(.port = 1), NULL, echo, NULL, &server), RILL_EINVAL);
    assert_code(rill_start_server_on(
                    NULL, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), NULL, echo, NULL, &server),
        RILL_ENOTASK);
    assert_null(server);
    return 0;
}
/* mutant: tasks/stream_server.c
 * - RILL__REQUIRE(where != NULL && handler != NULL && ret_server != NULL);
 * + RILL__REQUIRE(where != NULL && ret_server != NULL); */
SERVER_TEST(wrong_options_start_nothing)

/* ---- the loop goes first ---- */

static rill_stream *abandoned;

static int
leave_all(void *unused)
{
    (void)unused;
    RILL_TRY(server_start(NULL, echo, NULL));
    abandoned = server_dial();
    server_ask(abandoned, "x", "x");
    streams_hang_up(abandoned);
    abandoned = server_dial();
    server_ask(abandoned, "x", "x");
    return 0;
}

/* mutant: tasks/stream_server.c @ session_main
 * - rill_task_unref(self->task); */
static void
test_a_loop_is_freed_with_a_server(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, false, 10 * RILL_S);
    assert_code(streams_run_task(&h, leave_all, NULL), 0);
    rill_stream_close(abandoned);
    rill_stream_unref(abandoned);
    assert_true(rill_loop_free(h.loop) >= 2);
    allocator_check_empty(&h.allocator);
    harness_open(&h);
}

/* ---- back and forth, many at once ---- */

enum { CROWD = 30 };

static int
talk(void *unused)
{
    uint8_t out[3000];
    uint8_t in[3000];
    rill_stream *s;
    int rc = 0;

    (void)unused;
    RILL_TRY(open_one(&s));
    s = streams_keep(s);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 13);
    for (size_t len = 1; len <= sizeof(out) && rc >= 0; len = len * 3 + 1) {
        rc = rill_stream_write(s, out, len);
        if (rc >= 0)
            rc = (int)rill_stream_read_exactly(s, in, len, NULL);
        if (rc >= 0)
            assert_memory_equal(in, out, len);
    }
    streams_hang_up(s);
    return rc < 0 ? rc : 0;
}

static int
echo_in_the_crowd(rill_stream *s, void *arg)
{
    assert_in_range(rill_stream_server_tasks(server), 1, 7);
    return echo(s, arg);
}

static int
a_crowd_talks_at_once(void *unused)
{
    rill_group group;
    int rc = 0;

    (void)unused;
    RILL_TRY(server_start(RILL_STREAM_SERVER_OPTIONS(.tasks_max = 7), echo_in_the_crowd, NULL));
    rill_group_begin(&group);
    for (int i = 0; i < CROWD && rc >= 0; i++)
        rc = rill_group_spawn(&group, talk, NULL, NULL);
    (void)streams_must(rill_group_end(&group, rc));
    return rill_stream_server_close(server);
}
/* mutant: tasks/stream_server.c
 * - while (!rill__list_empty(&server->queue) && has_room(server)) {
 * + while (!rill__list_empty(&server->queue)) { */
SERVER_TEST(a_crowd_talks_at_once)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_connection_has_a_task),
        CASE(test_its_name_is_the_peers_address),
        CASE(test_a_handler_may_keep_its_stream),
        CASE(test_errors_are_reported_and_cancels_are_not),
        CASE(test_the_connections_own_end_is_no_news),
        CASE(test_the_next_waits_for_a_task),
        CASE(test_serving_ends_by_a_cancel_or_a_stop),
        CASE(test_serving_begins_to_listen),
        CASE(test_close_cancels_and_joins),
        CASE(test_drain_waits_for_the_others),
        CASE(test_a_handler_cannot_close_its_server),
        CASE(test_who_comes_too_late_is_closed),
        CASE(test_over_a_unix_socket),
        CASE(test_wrong_options_start_nothing),
        CASE(test_a_loop_is_freed_with_a_server),
        CASE(test_a_crowd_talks_at_once),
    };

    return run_cases(tests);
}
