/*
 * The order of a turn and the ways to run: first in first out, a snapshot per turn, events before
 * timers and after earlier callbacks, stop, run, step and run_until.
 */
#include "endpoint.h"

static harness h;
static char order[256];

static void
note(const char *word)
{
    size_t len = strlen(order);

    snprintf(order + len, sizeof(order) - len, "%s%s", len > 0 ? " " : "", word);
}

static void
say(void *arg)
{
    note(arg);
}

static int
setup(void **unused)
{
    (void)unused;
    order[0] = '\0';
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
test_call_soon_is_fifo(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, say, WORD("a"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("b"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("c"), NULL), 0);
    assert_string_equal(order, "");
    assert_int_equal(harness_turn(&h), 3);
    assert_string_equal(order, "a b c");
    assert_int_equal(harness_turn(&h), 0);
}

static int numbers[20000];
static int number_count;

static void
say_number(void *arg)
{
    numbers[number_count++] = (int)(intptr_t)arg;
}

static void
test_many_callbacks_keep_their_order(void **unused)
{
    (void)unused;
    number_count = 0;
    for (intptr_t i = 0; i < 20000; i++)
        assert_code(rill_call_soon(h.loop, say_number, (void *)i, NULL), 0);
    assert_int_equal(harness_turn(&h), 20000);
    assert_int_equal(number_count, 20000);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(numbers[i], i);
}

static void
say_and_queue(void *arg)
{
    note("first");
    assert_code(rill_call_soon(h.loop, say, arg, NULL), 0);
}

/* asyncio: what a callback queues runs in the next turn, never in the same one. */
static void
test_a_turn_runs_a_snapshot(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("second"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("beside"), NULL), 0);
    assert_int_equal(harness_turn(&h), 2);
    assert_string_equal(order, "first beside");
    assert_int_equal(harness_turn(&h), 1);
    assert_string_equal(order, "first beside second");
}

static void
queue_timer_and_soon(void *arg)
{
    (void)arg;
    note("first");
    assert_code(rill_call_at(h.loop, 0, say, WORD("past"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("soon"), NULL), 0);
}

static void
test_due_timers_come_after_what_is_ready(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, queue_timer_and_soon, NULL, NULL), 0);
    assert_int_equal(harness_turn(&h), 1);
    assert_int_equal(harness_turn(&h), 2);
    assert_string_equal(order, "first soon past");
}

static void
say_data(endpoint *e, rill_slice in)
{
    (void)e;
    (void)in;
    note("data");
}

/* asyncio 3.2: queued callbacks, then the events of this poll, then the timers that are due. */
static void
test_events_come_between_callbacks_and_timers(void **unused)
{
    static acceptor server;
    endpoint client;

    (void)unused;
    tcp_pair(&h, NULL, &server, &client);
    harness_settle(&h);
    server.ends[0].on_data = say_data;
    assert_code(rill_call_at(h.loop, rill_loop_time(h.loop), say, WORD("timer"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("soon"), NULL), 0);
    assert_int_equal(rill_transport_write(client.t, "x", 1), 1);
    assert_true(harness_turn(&h) >= 3);
    assert_string_equal(order, "soon data timer");
    rill_transport_abort(client.t);
    harness_until(&h, acceptor_is_empty, &server);
    harness_until(&h, endpoint_is_lost, &client);
}

static size_t spins;

static void
spin(void *arg)
{
    spins++;
    if (*(bool *)arg)
        assert_code(rill_call_soon(h.loop, spin, arg, NULL), 0);
}

/* A callback that queues itself for ever delays nobody: neither events nor timers nor posts. */
static void
test_an_endless_callback_starves_nobody(void **unused)
{
    static acceptor server;
    endpoint client;
    bool on = true;

    (void)unused;
    tcp_pair(&h, NULL, &server, &client);
    harness_settle(&h);
    server.ends[0].on_data = say_data;
    assert_code(rill_call_soon(h.loop, spin, &on, NULL), 0);
    harness_turn(&h);
    spins = 0;
    assert_int_equal(rill_transport_write(client.t, "x", 1), 1);
    assert_code(rill_call_at(h.loop, 0, say, WORD("timer"), NULL), 0);
    assert_code(rill_call_soon_threadsafe(h.loop, say, WORD("post")), 0);
    harness_turn(&h);
    harness_turn(&h);
    assert_int_equal(spins, 2);
    assert_contains(order, "data");
    assert_contains(order, "timer");
    assert_contains(order, "post");
    on = false;
    rill_transport_abort(client.t);
    harness_until(&h, acceptor_is_empty, &server);
    harness_until(&h, endpoint_is_lost, &client);
}

/* Where asyncio's are in one line with what the loop's thread queues: a post is taken when the turn
 * begins, so what was queued by then goes first. Posts of one thread keep their order. */
static void
test_posts_keep_their_order_and_join_the_turn_behind_what_is_ready(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon_threadsafe(h.loop, say, WORD("post1")), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("soon1"), NULL), 0);
    assert_code(rill_call_soon_threadsafe(h.loop, say, WORD("post2")), 0);
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("next"), NULL), 0);
    assert_true(harness_turn(&h) > 0);
    assert_string_equal(order, "soon1 first post1 post2");
    assert_true(harness_turn(&h) > 0);
    assert_string_equal(order, "soon1 first post1 post2 next");
}

static void
say_and_stop(void *arg)
{
    note(arg);
    rill_loop_stop(h.loop);
}

static void
stop_and_queue(void *arg)
{
    rill_loop_stop(h.loop);
    assert_code(rill_call_soon(h.loop, say, arg, NULL), 0);
}

/* asyncio: the turn in progress is finished, what it queued waits for the next run. */
static void
test_stop_finishes_the_turn(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, stop_and_queue, WORD("later"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("same turn"), NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "same turn");
    assert_false(rill_loop_is_running(h.loop));
    assert_code(rill_call_soon(h.loop, say_and_stop, WORD("stopped"), NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "same turn later stopped");
}

/* asyncio, appendix B 8: exactly one turn, without waiting. */
static void
test_stop_before_run_makes_one_turn(void **unused)
{
    (void)unused;
    assert_code(rill_call_later(h.loop, 3600 * RILL_S, say, WORD("late"), NULL), 0);
    rill_loop_stop(h.loop);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "");
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("second"), NULL), 0);
    rill_loop_stop(h.loop);
    rill_loop_stop(h.loop);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "first");
    rill_loop_stop(h.loop);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "first second");
    /* The late timer is left over. */
    harness_close_with(&h, 1);
    harness_open(&h);
}

/* asyncio, appendix B 10. */
static void
test_a_stopped_loop_repeats_no_event(void **unused)
{
    static acceptor server;
    endpoint client;

    (void)unused;
    tcp_pair(&h, NULL, &server, &client);
    harness_settle(&h);
    server.ends[0].on_data = say_data;
    assert_int_equal(rill_transport_write(client.t, "x", 1), 1);
    assert_code(rill_call_soon(h.loop, stop_and_queue, WORD("queued"), NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    harness_settle(&h);
    assert_string_equal(order, "data queued");
    rill_transport_abort(client.t);
    harness_until(&h, acceptor_is_empty, &server);
    harness_until(&h, endpoint_is_lost, &client);
}

static void
test_step_runs_at_most_so_many(void **unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++)
        assert_code(rill_call_soon(h.loop, say, WORD("x"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("late"), NULL), 0);
    assert_int_equal(rill_loop_step(h.loop, 2), 2);
    assert_string_equal(order, "x x");
    assert_int_equal(rill_loop_step(h.loop, 1), 1);
    assert_int_equal(rill_loop_step(h.loop, 100), 3);
    assert_string_equal(order, "x x x x x first");
    assert_int_equal(rill_loop_step(h.loop, 0), 1);
    assert_int_equal(rill_loop_step(h.loop, 0), 0);
    assert_string_equal(order, "x x x x x first late");
}

/* A limit on the callbacks must not let later ones pass those that wait. */
static void
test_limited_steps_keep_the_order(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("d"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("a"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("b"), NULL), 0);
    assert_code(rill_call_at(h.loop, 0, say, WORD("c"), NULL), 0);
    for (int i = 0; i < 10; i++)
        (void)rill_loop_step(h.loop, 1);
    /* The timer was due at the first step, before "d" was queued. */
    assert_string_equal(order, "first a b c d");
}

/* Ten looks for events, and one call. */
static void
test_ten_steps_look_ten_times_and_run_what_was_queued_once(void **unused)
{
    rill_loop_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
    int ran = 0;

    (void)unused;
    assert_code(rill_call_soon(h.loop, say, WORD("once"), NULL), 0);
    rill_loop_get_stats(h.loop, &before);
    for (int i = 0; i < 10; i++)
        ran += rill_loop_step(h.loop, 0);
    rill_loop_get_stats(h.loop, &after);
    assert_int_equal(ran, 1);
    assert_string_equal(order, "once");
    assert_int_equal(after.turns - before.turns, 10);
}

static void
test_run_until_ends_at_its_time(void **unused)
{
    rill_ns start = rill_loop_time(h.loop);
    rill_id late;

    (void)unused;
    assert_code(rill_call_at(h.loop, start + 5 * RILL_MS, say, WORD("early"), NULL), 0);
    /* So far away that no busy machine makes it due. */
    assert_code(rill_call_at(h.loop, start + 3600 * RILL_S, say, WORD("late"), &late), 0);
    assert_code(rill_loop_run_until(h.loop, start + 10 * RILL_MS), RILL_ETIMEDOUT);
    assert_string_equal(order, "early");
    assert_true(rill_loop_time(h.loop) >= start + 10 * RILL_MS);
    assert_code(rill_timer_rearm(h.loop, late, start + 15 * RILL_MS), 0);
    assert_code(rill_loop_run_until(h.loop, start + 20 * RILL_MS), RILL_ETIMEDOUT);
    assert_string_equal(order, "early late");
}

/* A time in the past still makes one turn. */
static void
test_run_until_the_past_makes_one_turn(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, say_and_queue, WORD("second"), NULL), 0);
    assert_code(rill_loop_run_until(h.loop, 0), RILL_ETIMEDOUT);
    assert_string_equal(order, "first");
    assert_code(rill_call_soon(h.loop, say_and_stop, WORD("stop"), NULL), 0);
    assert_code(rill_loop_run_until(h.loop, rill_loop_time(h.loop) + RILL_S), 0);
    assert_string_equal(order, "first second stop");
}

static void
test_deadline_at_a_timer(void **unused)
{
    rill_ns when = rill_loop_time(h.loop) + 3 * RILL_MS;

    (void)unused;
    assert_code(rill_call_at(h.loop, when, say, WORD("on time"), NULL), 0);
    assert_code(rill_loop_run_until(h.loop, when), RILL_ETIMEDOUT);
    assert_string_equal(order, "on time");
}

static void
run_inside(void *arg)
{
    (void)arg;
    assert_true(rill_loop_is_running(h.loop));
    assert_ptr_equal(rill_loop_running(), h.loop);
    assert_code(rill_loop_run(h.loop), RILL_EBUSY);
    assert_code(rill_loop_run_until(h.loop, rill_loop_time(h.loop) + RILL_S), RILL_EBUSY);
    assert_code(rill_loop_step(h.loop, 0), RILL_EBUSY);
    note("busy");
}

static void
run_another_inside(void *arg)
{
    rill_loop *other = arg;

    assert_code(rill_loop_run(other), RILL_EBUSY);
    assert_code(rill_loop_step(other, 0), RILL_EBUSY);
    assert_false(rill_loop_is_running(other));
    note("other busy");
}

/* asyncio, appendix B 4: it fails at once, and the outer loop goes on. */
static void
test_nested_runs_are_refused(void **unused)
{
    rill_loop *other = NULL;

    (void)unused;
    assert_null(rill_loop_running());
    assert_code(rill_loop_new(NULL, &other), 0);
    assert_code(rill_call_soon(h.loop, run_inside, NULL, NULL), 0);
    assert_code(rill_call_soon(h.loop, run_another_inside, other, NULL), 0);
    assert_code(rill_call_soon(h.loop, say_and_stop, WORD("stop"), NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "busy other busy stop");
    assert_null(rill_loop_running());
    assert_int_equal(rill_loop_free(other), 0);
}

static void
cancel_next(void *arg)
{
    assert_true(rill_cancel(h.loop, *(rill_id *)arg));
    assert_false(rill_cancel(h.loop, *(rill_id *)arg));
}

static void
test_cancel_of_what_is_ready(void **unused)
{
    rill_id id;

    (void)unused;
    assert_code(rill_call_soon(h.loop, cancel_next, &id, NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("canceled"), &id), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("kept"), NULL), 0);
    assert_true(id != 0);
    harness_settle(&h);
    assert_string_equal(order, "kept");
    assert_false(rill_cancel(h.loop, id));
}

static void
test_wrong_arguments(void **unused)
{
    rill_id id = 7;

    (void)unused;
    assert_code(rill_call_soon(h.loop, NULL, NULL, &id), RILL_EINVAL);
    assert_code(rill_call_later(h.loop, 1, NULL, NULL, &id), RILL_EINVAL);
    assert_code(rill_call_at(h.loop, 1, NULL, NULL, &id), RILL_EINVAL);
    assert_code(rill_call_at(h.loop, -1, say, WORD("x"), &id), RILL_EINVAL);
    assert_code(rill_call_every(h.loop, RILL_US, NULL, NULL, &id), RILL_EINVAL);
    assert_code(rill_call_every(h.loop, RILL_US - 1, say, WORD("x"), &id), RILL_EINVAL);
    assert_code(rill_call_every(h.loop, -RILL_S, say, WORD("x"), &id), RILL_EINVAL);
    assert_code(rill_call_soon_threadsafe(h.loop, NULL, NULL), RILL_EINVAL);
    assert_int_equal(id, 7); /* Outputs are untouched on failure. */
    assert_int_equal(harness_turn(&h), 0);
}

static void
compare_clocks(void *arg)
{
    rill_ns now = rill_loop_now(h.loop), time = rill_loop_time(h.loop);

    (void)arg;
    assert_true(now <= time);
    assert_true(time - now < RILL_S);
    assert_int_equal(rill_loop_now(h.loop), now);
    note("clock");
}

static void
test_the_clocks(void **unused)
{
    rill_ns before = rill_loop_time(h.loop), after;

    (void)unused;
    assert_true(before > 0);
    for (int i = 0; i < 1000; i++) {
        after = rill_loop_time(h.loop);
        assert_true(after >= before);
        before = after;
    }
    assert_code(rill_call_soon(h.loop, compare_clocks, NULL, NULL), 0);
    harness_settle(&h);
    assert_string_equal(order, "clock");
}

static endpoint one, two;
static uint64_t lost_in_turn, ran_in_turn;

static uint64_t
turns(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return stats.turns;
}

static void
note_turn(void *arg)
{
    *(uint64_t *)arg = turns();
}

static void
ignore_drain(void *arg, int rc)
{
    (void)arg;
    (void)rc;
}

static void
queue_in_lost(endpoint *e)
{
    (void)e;
    lost_in_turn = turns();
    assert_code(rill_call_soon(h.loop, note_turn, &ran_in_turn, NULL), 0);
}

/* A snapshot that shrinks, because something ready is withdrawn, takes nobody else in. */
static void
test_a_shrinking_turn_runs_nothing_new(void **unused)
{
    (void)unused;
    lost_in_turn = ran_in_turn = 0;
    endpoint_init(&one, &h);
    endpoint_init(&two, &h);
    assert_code(rill_create_pair(
                    h.loop, NULL, &endpoint_protocol, &one, &endpoint_protocol, &two, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_made, &two);
    one.on_lost = queue_in_lost;
    rill_transport_abort(one.t);
    for (int i = 0; i < 5; i++) /* Ready at once, and answered early by the loss. */
        assert_code(rill_transport_drain_start(one.t, 0, RILL_NEVER, ignore_drain, NULL, NULL), 0);
    harness_until(&h, endpoint_is_lost, &one);
    harness_until(&h, endpoint_is_lost, &two);
    harness_settle(&h);
    assert_true(ran_in_turn > lost_in_turn);
}

/* On the simulator nothing can wake this loop: it says so instead of hanging. */
static void
test_the_simulator_knows_a_deadlock(void **unused)
{
    (void)unused;
    assert_code(rill_loop_run(h.loop), RILL_EDEADLK);
    assert_code(rill_call_later(h.loop, 3600 * RILL_S, say_and_stop, WORD("an hour"), NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_string_equal(order, "an hour");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_call_soon_is_fifo),
        CASE(test_many_callbacks_keep_their_order),
        CASE(test_a_turn_runs_a_snapshot),
        CASE(test_due_timers_come_after_what_is_ready),
        CASE(test_events_come_between_callbacks_and_timers),
        CASE(test_an_endless_callback_starves_nobody),
        CASE(test_stop_finishes_the_turn),
        CASE(test_stop_before_run_makes_one_turn),
        CASE(test_a_stopped_loop_repeats_no_event),
        CASE(test_step_runs_at_most_so_many),
        CASE(test_limited_steps_keep_the_order),
        CASE(test_ten_steps_look_ten_times_and_run_what_was_queued_once),
        CASE(test_posts_keep_their_order_and_join_the_turn_behind_what_is_ready),
        CASE(test_run_until_ends_at_its_time),
        CASE(test_run_until_the_past_makes_one_turn),
        CASE(test_deadline_at_a_timer),
        CASE(test_nested_runs_are_refused),
        CASE(test_cancel_of_what_is_ready),
        CASE(test_wrong_arguments),
        CASE(test_a_shrinking_turn_runs_nothing_new),
        CASE(test_the_clocks),
        CASE_ON("sim", test_the_simulator_knows_a_deadlock),
    };

    return run_cases(tests);
}
