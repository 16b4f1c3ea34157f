/*
 * Polling before sleep: what is learned from gaps, and how a loop behaves that spins. Most of it on
 * a driver whose clock is the test's, so that polls can be counted: each takes a microsecond, and a
 * sleep ends when the script says.
 */
/* timeout: 120 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/internal.h"

#define LIMIT (50 * RILL_US)
#define POLL  (1 * RILL_US)

/* ---- learning ---- */

/* What a quiet time of `gap` does, where waking up adds `wake`. Returns the time polled. */
static rill_ns
quiet(rill__spin *spin, rill_ns gap, rill_ns wake)
{
    rill_ns budget = rill__spin_begin(spin);

    assert_true(budget <= spin->limit);
    if (gap <= budget) {
        rill__spin_hit(spin, gap);
        return gap;
    }
    if (budget > 0)
        rill__spin_miss(spin);
    rill__spin_slept(spin, gap + wake);
    return budget;
}

static rill__spin
spin_after(size_t count, rill_ns gap, rill_ns wake)
{
    rill__spin spin;

    rill__spin_init(&spin, LIMIT);
    for (size_t i = 0; i < count; i++)
        (void)quiet(&spin, gap, wake);
    return spin;
}

static void
test_short_gaps_are_met(void **unused)
{
    rill__spin spin;

    (void)unused;
    spin = spin_after(1000, 10 * RILL_US, 0);
    assert_int_equal(spin.hits, 1000);
    spin = spin_after(1000, LIMIT, 0);
    assert_int_equal(spin.hits, 1000);
    spin = spin_after(1000, 0, 0);
    assert_int_equal(spin.hits, 1000);
}

static void
test_long_gaps_are_slept_through(void **unused)
{
    rill__spin spin = spin_after(64, LIMIT + 1, 0);
    uint64_t tries = spin.tries;

    (void)unused;
    assert_true(tries <= 7);
    assert_int_equal(spin.hits, 0);
    for (int i = 0; i < 6400; i++)
        (void)quiet(&spin, LIMIT + 1, 0);
    assert_true(spin.tries - tries <= 100); /* One in 64. */
    assert_true(spin.tries - tries >= 99);
}

/* Tries come back with the next quiet time when a sleep shows that arrivals are fast again, and
 * with the next probe when waking up hides it. */
static void
test_it_comes_back(void **unused)
{
    rill__spin spin = spin_after(1000, RILL_S, 0);

    (void)unused;
    for (int i = 0; i < 1000 && spin.skip == 0; i++)
        (void)quiet(&spin, RILL_S, 0);
    assert_true(spin.skip > 0);
    assert_int_equal(quiet(&spin, 5 * RILL_US, 0), 0);
    assert_int_equal(quiet(&spin, 5 * RILL_US, 0), 5 * RILL_US);

    spin = spin_after(1000, RILL_S, 0);
    for (int i = 0; i < 64; i++)
        (void)quiet(&spin, 5 * RILL_US, 200 * RILL_US);
    assert_true(spin.hits >= 1);
    for (int i = 0; i < 64; i++)
        assert_int_equal(quiet(&spin, 5 * RILL_US, 200 * RILL_US), 5 * RILL_US);
}

/* A lucky arrival among slow ones does not bring all tries back. */
static void
test_luck_is_not_a_pattern(void **unused)
{
    rill__spin spin = spin_after(1000, RILL_S, RILL_US);
    uint64_t tries = spin.tries;

    (void)unused;
    for (int i = 0; i < 10000; i++) {
        rill_ns gap = spin.skip == 0 && i % 3 == 0 ? RILL_US : RILL_S;

        (void)quiet(&spin, gap, RILL_S);
    }
    assert_true(spin.tries - tries < 2500);
}

/* When arrivals come within 2 us, the one that does not costs a few of them and not the limit. */
static void
test_a_try_is_as_long_as_it_takes(void **unused)
{
    rill__spin spin = spin_after(100, 2 * RILL_US, 0);

    (void)unused;
    assert_int_equal(spin.hits, 100);
    assert_true(quiet(&spin, RILL_S, 0) <= 10 * RILL_US);
    spin = spin_after(100, LIMIT / 2, 0);
    assert_int_equal(quiet(&spin, RILL_S, 0), LIMIT);
    spin = spin_after(100, 1, 0);
    assert_true(quiet(&spin, RILL_S, 0) <= LIMIT / 16);
}

static void
test_the_smallest_limit(void **unused)
{
    rill__spin spin;

    (void)unused;
    rill__spin_init(&spin, 1);
    for (int i = 0; i < 1000; i++)
        assert_true(quiet(&spin, i % 2, 0) <= 1);
}

/* ---- a loop on the test's clock ---- */

static harness h;
static rill__driver_ops scripted;
static const rill__driver_ops *real;
static rill_ns now;
static size_t polls;
static size_t sleeps;
static size_t wakes;
static size_t poll_events; /* The poll in which something happens, counted down; 0: none. */
static void (*event)(void);
static rill__op record;

static rill_ns
scripted_now(rill__driver *driver)
{
    (void)driver;
    return now;
}

static int
scripted_wait(rill__driver *driver, rill_ns deadline)
{
    (void)driver;
    if (deadline >= 0 && deadline <= now) {
        polls++;
        now += POLL;
        if (poll_events > 0 && --poll_events == 0)
            event();
        return 0;
    }
    sleeps++;
    assert_true(deadline != RILL_NEVER || event != NULL);
    if (deadline == RILL_NEVER)
        event();
    else
        now = deadline;
    return 0;
}

static void
scripted_wake(rill__driver *driver)
{
    (void)driver;
    wakes++;
}

static int
setup(void **unused)
{
    (void)unused;
    harness_open_with(&h, RILL_LOOP_OPTIONS(.spin = LIMIT));
    real = h.loop->ops;
    scripted = *real;
    scripted.now = scripted_now;
    scripted.wait = scripted_wait;
    scripted.wake = scripted_wake;
    now = real->now(h.loop->driver);
    polls = sleeps = wakes = poll_events = 0;
    event = NULL;
    h.loop->ops = &scripted;
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (h.loop->ops == &scripted)
        h.loop->ops = real;
    harness_close(&h);
    return 0;
}

static void
stop(void *arg)
{
    (void)arg;
    rill_loop_stop(h.loop);
}

static void
stop_by_record(rill__op *op)
{
    (void)op;
    rill_loop_stop(h.loop);
}

static void
record_arrives(void)
{
    record.fn = stop_by_record;
    rill__loop_push_op(h.loop, &record);
}

static void
message_arrives(void)
{
    assert_code(rill_call_soon_threadsafe(h.loop, stop, NULL), 0);
}

static void
test_a_record_ends_the_spin(void **unused)
{
    (void)unused;
    event = record_arrives;
    poll_events = 7;
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(polls, 7);
    assert_int_equal(sleeps, 0);
    assert_int_equal(h.loop->spin.hits, 1);
}

/* Nobody sleeps, so nobody is woken: the message is found in the inbox. */
static void
test_a_message_ends_the_spin_without_a_wake(void **unused)
{
    (void)unused;
    event = message_arrives;
    poll_events = 7;
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(polls, 7);
    assert_int_equal(sleeps, 0);
    assert_int_equal(wakes, 0);
}

static void
test_after_the_try_it_sleeps(void **unused)
{
    (void)unused;
    event = message_arrives;
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(polls, LIMIT / POLL);
    assert_int_equal(sleeps, 1);
    assert_int_equal(wakes, 1);
    assert_int_equal(h.loop->spin.hits, 0);
}

static size_t ticks;
static size_t ticks_left;
static rill_ns tick_every;

static void
tick(void *arg)
{
    rill_ns *due = arg;

    assert_true(now >= *due);
    assert_true(now < *due + POLL); /* At the first look at the clock after it was due. */
    *due += tick_every;
    ticks++;
    if (--ticks_left == 0)
        rill_loop_stop(h.loop);
    else
        assert_code(rill_call_at(h.loop, *due, tick, arg, NULL), 0);
}

static void
run_ticks(size_t count, rill_ns every)
{
    rill_ns due = now + every;

    ticks = 0;
    ticks_left = count;
    tick_every = every;
    assert_code(rill_call_at(h.loop, due, tick, &due, NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(ticks, count);
}

/* The try goes on after a timer, and is over with its time, however often the loop turns. */
static void
test_timers_are_on_time_and_do_not_prolong_it(void **unused)
{
    (void)unused;
    run_ticks(1000, 20 * POLL);
    assert_in_range(polls, LIMIT / POLL - 3, LIMIT / POLL + 3);
    assert_true(sleeps >= 990);
    assert_int_equal(h.loop->spin.tries, 1);
}

/* Nothing arrives any more: one try, and not one poll after it. */
static void
test_it_stops_when_arrivals_stop(void **unused)
{
    size_t before;

    (void)unused;
    for (int i = 0; i < 100; i++) {
        event = record_arrives;
        poll_events = 3;
        assert_code(rill_loop_run(h.loop), 0);
    }
    assert_int_equal(h.loop->spin.hits, 100);
    before = polls;
    run_ticks(1, RILL_MS);
    assert_in_range(polls - before, 1, 13); /* Four times what it took so far. */
    before = polls;
    run_ticks(1000, RILL_MS);
    assert_int_equal(polls, before);
}

/* Timers that are always due do not keep the loop from looking for events. */
static void
test_overdue_timers_leave_a_poll_per_turn(void **unused)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    (void)unused;
    run_ticks(1, RILL_MS);
    polls = sleeps = 0;
    tick_every = 0;
    for (int i = 0; i < 100; i++) {
        assert_code(rill_call_at(h.loop, now - 1, stop, NULL, NULL), 0);
        assert_code(rill_loop_run(h.loop), 0);
    }
    rill_loop_get_stats(h.loop, &stats);
    assert_int_equal(polls, 100);
    assert_int_equal(sleeps, 0);
}

static void
test_run_until_ends_on_time(void **unused)
{
    rill_ns deadline = now + LIMIT / 2;

    (void)unused;
    assert_code(rill_loop_run_until(h.loop, deadline), RILL_ETIMEDOUT);
    assert_int_equal(now, deadline);
    assert_int_equal(sleeps, 0);
}

static void
test_a_step_never_spins(void **unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++)
        assert_int_equal(rill_loop_step(h.loop, 0), 0);
    assert_int_equal(polls, 10);
    assert_int_equal(h.loop->spin.tries, 0);
}

/* ---- on the real one ---- */

#define ROUNDS 3000

static struct side {
    rill_loop *loop;
    size_t left;
} sides[2];

static void
pass_on(void *arg)
{
    struct side *side = arg;
    struct side *other = side == &sides[0] ? &sides[1] : &sides[0];

    if (side->left == 0)
        return; /* The other's last one, run when this loop is freed. */
    if (--side->left == 0)
        rill_loop_stop(side->loop);
    if (rill_call_soon_threadsafe(other->loop, pass_on, other) != 0)
        abort();
}

static void *
run_side(void *arg)
{
    struct side *side = arg;

    return rill_loop_run(side->loop) == 0 ? side : NULL;
}

/* Two loops that spin, sleep and are woken as it comes: no message is lost between them. */
static void
test_two_threads_pass_messages(void **unused)
{
    rill_loop_stats stats = { .size = sizeof(stats) };
    pthread_t thread;
    void *result = NULL;

    (void)unused;
    h.loop->ops = real;
    sides[0] = (struct side){ h.loop, ROUNDS };
    sides[1].left = ROUNDS;
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.spin = 20 * RILL_US), &sides[1].loop), 0);
    assert_code(rill_call_soon_threadsafe(h.loop, pass_on, &sides[0]), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_side, &sides[1]), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &sides[1]);
    assert_int_equal(rill_loop_free(sides[1].loop), 0);
    rill_loop_get_stats(h.loop, &stats);
    assert_true(stats.spins > 0 && stats.spins >= stats.spin_hits);
    assert_true(stats.spin_polls >= stats.spins);
}

static void
test_a_real_timer_fires_while_it_spins(void **unused)
{
    rill_ns due;

    (void)unused;
    h.loop->ops = real;
    due = rill_loop_time(h.loop) + LIMIT / 2;
    assert_code(rill_call_at(h.loop, due, stop, NULL, NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_true(rill_loop_time(h.loop) >= due);
}

/* No time passes in a poll there: the option is taken, and has no effect. */
static void
test_the_simulator_does_not_spin(void **unused)
{
    (void)unused;
    h.loop->ops = real;
    assert_code(rill_call_later(h.loop, RILL_S, stop, NULL, NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(h.loop->spin.polls, 0);
    assert_int_equal(h.loop->spin.limit, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_gaps_are_met),
        cmocka_unit_test(test_long_gaps_are_slept_through),
        cmocka_unit_test(test_it_comes_back),
        cmocka_unit_test(test_luck_is_not_a_pattern),
        cmocka_unit_test(test_a_try_is_as_long_as_it_takes),
        cmocka_unit_test(test_the_smallest_limit),
        CASE_ON("kernel", test_a_record_ends_the_spin),
        CASE_ON("kernel", test_a_message_ends_the_spin_without_a_wake),
        CASE_ON("kernel", test_after_the_try_it_sleeps),
        CASE_ON("kernel", test_timers_are_on_time_and_do_not_prolong_it),
        CASE_ON("kernel", test_it_stops_when_arrivals_stop),
        CASE_ON("kernel", test_overdue_timers_leave_a_poll_per_turn),
        CASE_ON("kernel", test_run_until_ends_on_time),
        CASE_ON("kernel", test_a_step_never_spins),
        CASE_ON("kernel", test_two_threads_pass_messages),
        CASE_ON("kernel", test_a_real_timer_fires_while_it_spins),
        CASE_ON("sim", test_the_simulator_does_not_spin),
    };

    return run_cases(tests);
}
