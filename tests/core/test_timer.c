/*
 * Timers: stable order, never early, true cancelling, rearming, periods by schedule, and a long
 * random history against a model.
 */
/* timeout: 120 */
#include "harness.h"

#include <stdlib.h>

static harness h;
static char order[400];

static void
say(void *arg)
{
    size_t len = strlen(order);

    snprintf(order + len, sizeof(order) - len, "%s%s", len > 0 ? " " : "", (char *)arg);
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

#define CROWD 20000

static struct shot {
    rill_ns when;
    bool fired;
} shots[CROWD];
static size_t fired;
static rill_ns last_when;
static ptrdiff_t last_index;

static void
in_crowd(void *arg)
{
    struct shot *s = arg;
    ptrdiff_t index = s - shots;

    assert_false(s->fired);
    s->fired = true;
    fired++;
    assert_true(rill_loop_time(h.loop) >= s->when);
    if (on_driver("sim"))
        assert_int_equal(rill_loop_now(h.loop), s->when);
    assert_true(s->when > last_when || (s->when == last_when && index > last_index));
    last_when = s->when;
    last_index = index;
}

static void
fire_crowd(uint32_t spread_us)
{
    rill_ns start = rill_loop_time(h.loop) + RILL_MS;
    dice d = dice_new();

    fired = 0;
    last_when = 0;
    last_index = -1;
    for (size_t i = 0; i < CROWD; i++) {
        shots[i].fired = false;
        shots[i].when = start + (spread_us > 0 ? dice_below(&d, spread_us) * RILL_US : 0);
        assert_code(rill_call_at(h.loop, shots[i].when, in_crowd, &shots[i], NULL), 0);
    }
    harness_run_for(&h, 2 * RILL_S);
    assert_int_equal(fired, CROWD);
}

static void
test_equal_times_fire_in_order_of_creation(void **unused)
{
    (void)unused;
    fire_crowd(0);
}

static void
note_time(void *arg)
{
    *(rill_ns *)arg = rill_loop_time(h.loop);
}

/* Within one turn by time, then by creation; and none before its time. */
static void
test_none_fires_early_or_out_of_order(void **unused)
{
    (void)unused;
    /* Few different times: many ties among the differences. */
    fire_crowd(200);
    fire_crowd(100000);
}

static void
test_single_timers_are_never_early(void **unused)
{
    static const rill_ns delays[] = { 0, 1, 999, 1000, 50 * RILL_US, RILL_MS, RILL_MS + 1,
        2500 * RILL_US, 17 * RILL_MS };

    (void)unused;
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        rill_ns start = rill_loop_time(h.loop), at = 0;

        assert_code(rill_call_later(h.loop, delays[i], note_time, &at, NULL), 0);
        harness_run_for(&h, delays[i] + RILL_MS);
        assert_true(at >= start + delays[i]);
        if (on_driver("sim"))
            assert_int_equal(at, start + delays[i]);
    }
}

/* asyncio, appendix B 11. */
static void
test_the_past_is_ordered_too(void **unused)
{
    (void)unused;
    assert_code(rill_call_later(h.loop, -300 * RILL_MS, say, WORD("-1"), NULL), 0);
    assert_code(rill_call_later(h.loop, -600 * RILL_MS, say, WORD("-2"), NULL), 0);
    assert_code(rill_call_at(h.loop, 0, say, WORD("0"), NULL), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("soon"), NULL), 0);
    assert_int_equal(harness_turn(&h), 4);
    assert_string_equal(order, "soon 0 -2 -1");
}

static void
cancel_it(void *arg)
{
    say(WORD("cancels"));
    assert_true(rill_cancel(h.loop, *(rill_id *)arg));
    assert_false(rill_cancel(h.loop, *(rill_id *)arg));
}

static void
test_cancel_within_the_same_batch(void **unused)
{
    rill_ns when = rill_loop_time(h.loop);
    rill_id second, third;

    (void)unused;
    assert_code(rill_call_at(h.loop, when, cancel_it, &third, NULL), 0);
    assert_code(rill_call_at(h.loop, when, say, WORD("second"), &second), 0);
    assert_code(rill_call_at(h.loop, when, say, WORD("third"), &third), 0);
    harness_settle(&h);
    assert_string_equal(order, "cancels second");
}

static rill_id own_id;

static void
cancel_oneself(void *arg)
{
    (void)arg;
    assert_false(rill_cancel(h.loop, own_id));
    assert_code(rill_timer_rearm(h.loop, own_id, 1), RILL_ESTATE);
    assert_code(rill_timer_when(h.loop, own_id, &(rill_ns){ 0 }), RILL_ESTATE);
    say(WORD("ran"));
}

static void
test_a_running_timer_is_no_longer_pending(void **unused)
{
    (void)unused;
    assert_code(rill_call_at(h.loop, 0, cancel_oneself, NULL, &own_id), 0);
    harness_settle(&h);
    assert_string_equal(order, "ran");
    assert_false(rill_cancel(h.loop, own_id));
}

static void
test_cancel_pending_timers(void **unused)
{
    static rill_id ids[1000];

    (void)unused;
    for (size_t i = 0; i < 1000; i++)
        assert_code(
            rill_call_later(h.loop, (rill_ns)(i % 7) * RILL_MS, say, WORD("x"), &ids[i]), 0);
    for (size_t i = 0; i < 1000; i++)
        assert_true(rill_cancel(h.loop, ids[(i * 617) % 1000]));
    for (size_t i = 0; i < 1000; i++)
        assert_false(rill_cancel(h.loop, ids[i]));
    assert_int_equal(rill_loop_next_timeout(h.loop), RILL_NEVER);
    harness_run_for(&h, 10 * RILL_MS);
    assert_string_equal(order, "");
}

static void
test_rearm(void **unused)
{
    rill_ns now = rill_loop_time(h.loop), when = 0;
    rill_id a, b, c;

    (void)unused;
    assert_code(rill_call_at(h.loop, now + 3 * RILL_MS, say, WORD("a"), &a), 0);
    assert_code(rill_call_at(h.loop, now + 4 * RILL_MS, say, WORD("b"), &b), 0);
    assert_code(rill_call_at(h.loop, now + 3600 * RILL_S, say, WORD("c"), &c), 0);
    assert_code(rill_timer_when(h.loop, a, &when), 0);
    assert_int_equal(when, now + 3 * RILL_MS);
    assert_code(rill_timer_rearm(h.loop, a, -1), RILL_EINVAL);
    assert_code(rill_timer_rearm(h.loop, 0, 5), RILL_ESTATE);
    /* a goes behind b with the same time; c comes forward from far away. */
    assert_code(rill_timer_rearm(h.loop, a, now + 4 * RILL_MS), 0);
    assert_code(rill_timer_when(h.loop, a, &when), 0);
    assert_int_equal(when, now + 4 * RILL_MS);
    assert_code(rill_timer_rearm(h.loop, c, now + 1 * RILL_MS), 0);
    harness_run_for(&h, 6 * RILL_MS);
    assert_string_equal(order, "c b a");
    assert_code(rill_timer_rearm(h.loop, a, 5), RILL_ESTATE);
    assert_code(rill_timer_when(h.loop, a, &when), RILL_ESTATE);
}

/* An idle timeout that is pushed back again and again: late by its last time, in one callback. */
static void
test_rearm_pushes_back_for_ever(void **unused)
{
    rill_ns at = 0, until = 0;
    rill_id id;

    (void)unused;
    assert_code(rill_call_later(h.loop, 2 * RILL_MS, note_time, &at, &id), 0);
    for (int i = 0; i < 30; i++) {
        until = rill_loop_time(h.loop) + 50 * RILL_MS;
        assert_code(rill_timer_rearm(h.loop, id, until), 0);
        harness_run_for(&h, RILL_MS);
        assert_int_equal(at, 0);
    }
    harness_run_for(&h, 60 * RILL_MS);
    assert_true(at >= until);
}

static void
test_callbacks_are_no_timers(void **unused)
{
    rill_ns when;
    rill_id id;

    (void)unused;
    assert_code(rill_call_soon(h.loop, say, WORD("soon"), &id), 0);
    assert_code(rill_timer_rearm(h.loop, id, 5), RILL_ESTATE);
    assert_code(rill_timer_when(h.loop, id, &when), RILL_ESTATE);
    assert_int_equal(rill_timer_missed(h.loop, id), 0);
    harness_settle(&h);
    assert_string_equal(order, "soon");
}

static struct period {
    rill_id id;
    rill_ns start, length;
    size_t calls;
    uint64_t due; /* Calls that were due, merged ones included. */
    rill_ns busy; /* The third call takes so long. */
    bool stop_at_five;
} period;

static void
tick(void *arg)
{
    rill_ns now = rill_loop_time(h.loop);
    uint64_t missed = rill_timer_missed(h.loop, period.id);

    (void)arg;
    period.calls++;
    period.due += 1 + missed;
    assert_true(now >= period.start + (rill_ns)period.due * period.length);
    /* Everything that was due when the turn began is in it; the clock of the start was read a
     * moment before the library's. */
    assert_true(
        rill_loop_now(h.loop) < period.start + (rill_ns)(period.due + 1) * period.length + RILL_MS);
    if (on_driver("sim")) {
        assert_int_equal(missed, 0);
        assert_int_equal(now, period.start + (rill_ns)period.calls * period.length);
    }
    while (period.calls == 3 && rill_loop_time(h.loop) < now + period.busy) {
    }
    if (period.stop_at_five && period.calls == 5)
        assert_true(rill_cancel(h.loop, period.id));
}

static void
start_period(rill_ns length)
{
    memset(&period, 0, sizeof(period));
    period.length = length;
    period.start = rill_loop_time(h.loop);
    assert_code(rill_call_every(h.loop, length, tick, NULL, &period.id), 0);
}

static void
test_periods_keep_their_schedule(void **unused)
{
    rill_ns when = 0;

    (void)unused;
    start_period(2 * RILL_MS);
    harness_run_for(&h, 51 * RILL_MS);
    assert_true(period.due >= 24);
    assert_code(rill_timer_when(h.loop, period.id, &when), 0);
    /* By schedule, not by the last call: a whole number of periods from the start, nearly: the
     * clock was read in the call, a moment after ours. */
    assert_true((when - period.start) % period.length < RILL_MS);
    assert_true(rill_cancel(h.loop, period.id));
    assert_false(rill_cancel(h.loop, period.id));
    period.calls = 0;
    harness_run_for(&h, 6 * RILL_MS);
    assert_int_equal(period.calls, 0);
}

static void
test_missed_calls_are_merged(void **unused)
{
    (void)unused;
    start_period(2 * RILL_MS);
    period.busy = 21 * RILL_MS;
    harness_run_for(&h, 40 * RILL_MS);
    /* Ten calls were due in the third one's time; the fourth stands for them. */
    assert_true(period.due >= period.calls + 9);
    assert_true(rill_cancel(h.loop, period.id));
}

static void
test_a_period_ends_in_its_callback(void **unused)
{
    (void)unused;
    start_period(RILL_MS);
    period.stop_at_five = true;
    harness_run_for(&h, 30 * RILL_MS);
    assert_int_equal(period.calls, 5);
    assert_int_equal(rill_timer_missed(h.loop, period.id), 0);
    assert_false(rill_cancel(h.loop, period.id));
}

static void
test_a_period_moves(void **unused)
{
    rill_ns now = rill_loop_time(h.loop), when = 0;

    (void)unused;
    start_period(3600 * RILL_S);
    assert_code(rill_timer_rearm(h.loop, period.id, now + RILL_MS), 0);
    period.start = now + RILL_MS - period.length;
    harness_run_for(&h, 3 * RILL_MS);
    assert_int_equal(period.calls, 1);
    assert_code(rill_timer_when(h.loop, period.id, &when), 0);
    assert_int_equal(when, now + RILL_MS + period.length);
    assert_true(rill_cancel(h.loop, period.id));
}

static void
test_days_and_years(void **unused)
{
    rill_ns day = 24 * 3600 * RILL_S, start = rill_loop_time(h.loop), at = 0, next;
    rill_id id, never, forever;

    (void)unused;
    assert_code(rill_call_later(h.loop, 30 * day + 7, note_time, &at, &id), 0);
    assert_code(rill_call_at(h.loop, INT64_MAX, say, WORD("never"), &never), 0);
    assert_code(rill_call_later(h.loop, INT64_MAX, say, WORD("never"), &forever), 0);
    next = rill_loop_next_timeout(h.loop);
    assert_true(next > 0 && next <= 30 * day + 7);
    if (on_driver("sim")) {
        harness_run_for(&h, 31 * day);
        assert_true(at >= start + 30 * day + 7);
        assert_true(at <= start + 30 * day + RILL_S);
    } else {
        harness_run_for(&h, 2 * RILL_MS);
        assert_int_equal(at, 0);
        assert_true(rill_cancel(h.loop, id));
    }
    assert_true(rill_cancel(h.loop, never));
    assert_true(rill_cancel(h.loop, forever));
    assert_code(rill_call_later(h.loop, INT64_MIN, say, WORD("long ago"), NULL), 0);
    assert_int_equal(harness_turn(&h), 1);
    assert_string_equal(order, "long ago");
}

static void
test_next_timeout(void **unused)
{
    rill_ns next;
    rill_id id;

    (void)unused;
    assert_int_equal(rill_loop_next_timeout(h.loop), RILL_NEVER);
    assert_code(rill_call_later(h.loop, 10 * RILL_S, say, WORD("x"), &id), 0);
    next = rill_loop_next_timeout(h.loop);
    assert_true(next > 8 * RILL_S && next <= 10 * RILL_S);
    assert_code(rill_call_soon(h.loop, say, WORD("y"), NULL), 0);
    assert_int_equal(rill_loop_next_timeout(h.loop), 0);
    harness_turn(&h);
    assert_true(rill_loop_next_timeout(h.loop) > 8 * RILL_S);
    assert_true(rill_cancel(h.loop, id));
    assert_int_equal(rill_loop_next_timeout(h.loop), RILL_NEVER);
    assert_code(rill_call_at(h.loop, 1, say, WORD("z"), NULL), 0);
    assert_int_equal(rill_loop_next_timeout(h.loop), 0);
    harness_turn(&h);
    assert_string_equal(order, "y z");
}

static uint64_t
turns(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return stats.turns;
}

static const rill_ns naps[] = { 10 * RILL_MS, 100 * RILL_US, RILL_US, 10, 0 };
static size_t nap;

static void
take_nap(void *arg)
{
    if (nap < sizeof(naps) / sizeof(naps[0]))
        assert_code(rill_call_later(h.loop, naps[nap++], take_nap, arg, NULL), 0);
    else
        rill_loop_stop(h.loop);
}

/* asyncio, appendix B 13: waiting is rounded up, so that the loop does not spin towards a timer. */
static void
test_short_sleeps_do_not_spin(void **unused)
{
    uint64_t before = turns();

    (void)unused;
    nap = 0;
    take_nap(NULL);
    assert_code(rill_loop_run(h.loop), 0);
    assert_true(turns() - before <= 20);
}

/* A long life of timers that are made and canceled needs no more memory than the few alive. */
static void
test_canceled_timers_leave_no_memory(void **unused)
{
    size_t after_warming = 0;
    rill_id ids[64] = { 0 };

    (void)unused;
    for (size_t i = 0; i < 500000; i++) {
        if (i >= 64)
            assert_true(rill_cancel(h.loop, ids[i % 64]));
        assert_code(rill_call_later(
                        h.loop, RILL_S + (rill_ns)(i % 1000) * RILL_MS, say, NULL, &ids[i % 64]),
            0);
        if (i == 10000)
            after_warming = h.allocator.bytes;
    }
    assert_true(h.allocator.bytes <= after_warming + 4096);
    for (size_t i = 0; i < 64; i++)
        assert_true(rill_cancel(h.loop, ids[i]));
}

/*
 * The model: a plain list of live timers, sorted when they fire. Times lie in the past, so one turn
 * fires all that are there, or an hour ahead, so that it does not.
 */
#define MODEL_MAX 400

static struct entry {
    rill_id id;
    rill_ns when;
    uint64_t serial; /* Of the last making or rearming. */
    bool live;
    bool due; /* In the batch that fires now. */
} model[MODEL_MAX];

static dice random_ops;
static uint64_t serial;
static size_t model_fired;
static struct entry *expected[MODEL_MAX];
static size_t expected_count, expected_at;
static rill_ns far_away;

static void model_fire(void *arg);

static rill_ns
model_when(void)
{
    uint32_t kind = dice_below(&random_ops, 10);

    return kind < 6   ? 1 + dice_below(&random_ops, 20)
           : kind < 8 ? 1 + dice_below(&random_ops, 100000)
                      : far_away + dice_below(&random_ops, 1000);
}

static void
model_operate(bool in_callback)
{
    struct entry *e = &model[dice_below(&random_ops, MODEL_MAX)];
    rill_ns when;

    if (e->live && e->due)
        in_callback = true;
    switch (dice_below(&random_ops, 4)) {
    case 0:
    case 1:
        if (e->live)
            return;
        e->when = model_when();
        e->serial = ++serial;
        e->live = true;
        e->due = false;
        assert_code(rill_call_at(h.loop, e->when, model_fire, e, &e->id), 0);
        return;
    case 2:
        assert_int_equal(rill_cancel(h.loop, e->id), e->live);
        e->live = false;
        return;
    case 3:
        if (in_callback && e->live && e->due)
            return; /* Expired and queued: not promised either way. */
        when = model_when();
        assert_code(rill_timer_rearm(h.loop, e->id, when), e->live ? 0 : RILL_ESTATE);
        if (!e->live)
            return;
        e->when = when;
        e->serial = ++serial;
        assert_code(rill_timer_when(h.loop, e->id, &when), 0);
        assert_int_equal(when, e->when);
        return;
    }
}

static void
model_fire(void *arg)
{
    struct entry *e = arg;

    /* Those of the batch that were canceled meanwhile do not fire. */
    while (expected_at < expected_count &&
           !(expected[expected_at]->due && expected[expected_at]->live))
        expected_at++;
    assert_true(expected_at < expected_count);
    assert_ptr_equal(e, expected[expected_at]);
    assert_true(e->live && e->due);
    expected_at++;
    e->live = e->due = false;
    model_fired++;
    for (uint32_t n = dice_below(&random_ops, 3); n > 0; n--)
        model_operate(true);
}

static int
by_time_then_serial(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

    if (x->when != y->when)
        return x->when < y->when ? -1 : 1;
    return x->serial < y->serial ? -1 : 1;
}

static void
model_turn(void)
{
    expected_count = expected_at = 0;
    for (size_t i = 0; i < MODEL_MAX; i++) {
        model[i].due = model[i].live && model[i].when < far_away;
        if (model[i].due)
            expected[expected_count++] = &model[i];
    }
    qsort(expected, expected_count, sizeof(expected[0]), by_time_then_serial);
    assert_true(harness_turn(&h) >= 0);
    for (; expected_at < expected_count; expected_at++)
        assert_false(expected[expected_at]->live && expected[expected_at]->due);
    for (size_t i = 0; i < MODEL_MAX; i++)
        model[i].due = false;
}

static void
test_a_million_random_operations(void **unused)
{
    rill_loop_stats stats = { .size = sizeof(stats) };
    size_t live = 0;

    (void)unused;
    memset(model, 0, sizeof(model));
    random_ops = dice_new();
    model_fired = 0;
    far_away = rill_loop_time(h.loop) + 3600 * RILL_S;
    for (size_t i = 0; i < 1000000; i++) {
        model_operate(false);
        if (dice_below(&random_ops, 100) == 0)
            model_turn();
    }
    assert_true(model_fired > 50000);
    for (size_t i = 0; i < MODEL_MAX; i++)
        live += model[i].live;
    rill_loop_get_stats(h.loop, &stats);
    assert_int_equal(stats.timers, live);
    for (size_t i = 0; i < MODEL_MAX; i++)
        assert_int_equal(rill_cancel(h.loop, model[i].id), model[i].live);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_equal_times_fire_in_order_of_creation),
        CASE(test_none_fires_early_or_out_of_order),
        CASE(test_single_timers_are_never_early),
        CASE(test_the_past_is_ordered_too),
        CASE(test_cancel_within_the_same_batch),
        CASE(test_a_running_timer_is_no_longer_pending),
        CASE(test_cancel_pending_timers),
        CASE(test_rearm),
        CASE(test_rearm_pushes_back_for_ever),
        CASE(test_callbacks_are_no_timers),
        CASE(test_periods_keep_their_schedule),
        CASE_ON("kernel", test_missed_calls_are_merged),
        CASE(test_a_period_ends_in_its_callback),
        CASE(test_a_period_moves),
        CASE(test_days_and_years),
        CASE(test_next_timeout),
        CASE(test_short_sleeps_do_not_spin),
        CASE(test_canceled_timers_leave_no_memory),
        CASE(test_a_million_random_operations),
    };

    return run_cases(tests);
}
