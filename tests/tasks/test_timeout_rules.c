/*
 * Timeouts at their edges: together with a cancel, without a wait, with errors on the way out, and
 * around something that takes its time to end.
 */
#include "tasks.h"

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

#define LONG (3600 * RILL_S)

/* ---- with a cancel ---- */

typedef struct part {
    rill_ns when;
    int ended; /* What the scope's end said, */
    int after; /* the next wait, */
    bool expired;
} part;

static int
sleep_until_canceled(void *arg)
{
    part *p = arg;
    rill_scope limit;

    rill_timeout_begin_at(&limit, p->when);
    p->ended = rill_scope_end(&limit, rill_sleep(LONG));
    p->expired = rill_scope_is_expired(&limit);
    p->after = rill_yield();
    return p->ended;
}

static void
cancel_it(void *task)
{
    assert_true(rill_task_cancel(task, "from outside"));
}

/* Two timers of the same time are due in one turn, in the order in which they were made. */
static int
expire_and_cancel(void *cancel_first)
{
    part p = { .when = rill_loop_time(h.loop) + 300 * RILL_MS, .ended = 1, .after = 1 };
    rill_task *task;

    RILL_TRY(rill_spawn(sleep_until_canceled, &p, NULL, &task));
    if (cancel_first == NULL)
        RILL_TRY(rill_yield());
    RILL_TRY(rill_call_at(h.loop, p.when, cancel_it, task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_true(p.expired);
    assert_code(p.ended, RILL_ECANCELED);
    assert_code(p.after, RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/scope.c @ rill_scope_end
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (RILL__LIKELY(rc != RILL_ECANCELED)) */
static void
test_a_cancel_and_a_timeout_in_one_turn_are_a_cancel_that_stays_in_force(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, expire_and_cancel, NULL), 0);
    assert_code(tasks_run(&h, expire_and_cancel, &h), 0);
}

static int
cancel_before_its_time(void *unused)
{
    part p = { .when = rill_loop_time(h.loop) + LONG, .ended = 1, .expired = true };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(sleep_until_canceled, &p, NULL, &task));
    RILL_TRY(rill_yield());
    cancel_it(task);
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_code(p.ended, RILL_ECANCELED);
    assert_false(p.expired);
    return 0;
}

/* mutant: tasks/scope.c @ rill_scope_is_expired
 * - return const_scope_of(scope)->expired;
 * + return const_scope_of(scope)->expired || const_scope_of(scope)->deadline != RILL_NEVER; */
static void
test_a_cancel_within_a_timeout_whose_time_has_not_come_leaves_it_unexpired(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_before_its_time, NULL), 0);
}

/* ---- without a wait, and with another error ---- */

static int
compute_for_too_long(void *unused)
{
    rill_ns end = rill_loop_time(h.loop) + 5 * RILL_MS;
    rill_scope limit;

    (void)unused;
    rill_timeout_begin_at(&limit, end - 3 * RILL_MS);
    if (on_driver("sim")) { /* No time passes there while a task computes. */
        assert_code(rill_scope_reschedule(&limit, 0), 0);
        assert_true(rill_scope_is_expired(&limit));
    }
    while (!on_driver("sim") && rill_loop_time(h.loop) < end)
        continue;
    assert_code(rill_scope_end(&limit, 9), 9);
    return rill_yield();
}

/* mutant: tasks/scope.c @ rill_scope_end
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (rc != RILL_ECANCELED && (self->deadline == RILL_NEVER ||
 * + self->deadline > rill_loop_time(self->fiber->loop))) */
static void
test_a_part_that_goes_beyond_its_time_without_a_wait_has_succeeded(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, compute_for_too_long, NULL), 0);
}

static int
fail_while_cleaning_up(void *unused)
{
    rill_scope limit;

    (void)unused;
    rill_timeout_begin(&limit, RILL_MS);
    assert_code(rill_sleep(LONG), RILL_ECANCELED);
    assert_true(rill_scope_is_expired(&limit));
    assert_code(rill_scope_end(&limit, -EPROTO), -EPROTO);
    return rill_yield();
}

/* mutant: tasks/scope.c @ rill_scope_end
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (rc >= 0 || self->fiber->canceled) */
static void
test_another_error_after_its_time_is_told_as_it_is(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, fail_while_cleaning_up, NULL), 0);
}

static int
reschedule_nothing(void *unused)
{
    rill_scope scope;

    (void)unused;
    memset(&scope, 0, sizeof(scope)); /* As fresh memory may be: it was never begun. */
    assert_code(rill_scope_reschedule(&scope, RILL_NEVER), RILL_ESTATE);
    rill_timeout_begin(&scope, 0);
    assert_code(rill_scope_reschedule(&scope, RILL_NEVER), RILL_ESTATE); /* Expired. */
    assert_code(rill_scope_end(&scope, 0), 0);
    assert_code(rill_scope_reschedule(&scope, RILL_NEVER), RILL_ESTATE); /* Ended. */
    return 0;
}

/* mutant: tasks/scope.c @ rill_scope_reschedule
 * - if (self->magic != MAGIC || self->ended || self->expired || fiber == NULL)
 * + if (self->magic != MAGIC || self->ended || fiber == NULL) */
static void
test_what_is_not_begun_expired_or_ended_cannot_be_rescheduled(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, reschedule_nothing, NULL), 0);
}

/* ---- await_for ---- */

typedef struct slow {
    int entered;
    bool ended;
    int code; /* What it returns once it is told to stop; 0: that it was. */
} slow;

static int
end_slowly(void *arg)
{
    slow *s = arg;
    rill_scope shield;
    int rc;

    s->entered++;
    rc = rill_sleep(LONG);
    rill_shield_begin(&shield, RILL_S);
    RILL_IGNORE(rill_scope_end(&shield, rill_sleep(20 * RILL_MS)));
    s->ended = true;
    return s->code != 0 ? s->code : rc;
}

static void
await_slow(int code, rill_ns timeout, int expected)
{
    slow s = { .code = code };
    rill_task *task;

    assert_code(rill_spawn(end_slowly, &s, NULL, &task), 0);
    assert_code(rill_await_for(rill_task_future(task), timeout, NULL), expected);
    assert_true(s.ended);
    assert_int_equal(s.entered, 1);
    rill_task_unref(task);
}

static int
await_the_slow(void *unused)
{
    (void)unused;
    await_slow(0, RILL_MS, RILL_ETIMEDOUT);
    await_slow(42, RILL_MS, 42);
    await_slow(-EPROTO, RILL_MS, -EPROTO);
    return rill_yield();
}

/* mutant: tasks/wait.c @ await_insisting
 * - return await_with(future, ret_value, AWAIT_INSISTING, "rill_await_for");
 * + return await_with(future, ret_value, AWAIT_SHARED, "rill_await_for"); */
static void
test_await_for_returns_only_when_what_it_has_canceled_has_ended(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, await_the_slow, NULL), 0);
}

static int
await_for_no_time(void *unused)
{
    (void)unused;
    await_slow(0, 0, RILL_ETIMEDOUT);
    await_slow(42, -5, 42);
    return rill_yield();
}

/* Where asyncio never begins it: as every task that is canceled before its first step, it begins
 * and is told at its first wait.
 *
 * mutant: tasks/wait.c @ await_end
 * - (void)rill_future_cancel(future);
 * + (void)0; */
static void
test_await_for_without_any_time_cancels_a_new_task_that_begins_all_the_same(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, await_for_no_time, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_cancel_and_a_timeout_in_one_turn_are_a_cancel_that_stays_in_force),
        CASE(test_a_cancel_within_a_timeout_whose_time_has_not_come_leaves_it_unexpired),
        CASE(test_a_part_that_goes_beyond_its_time_without_a_wait_has_succeeded),
        CASE(test_another_error_after_its_time_is_told_as_it_is),
        CASE(test_what_is_not_begun_expired_or_ended_cannot_be_rescheduled),
        CASE(test_await_for_returns_only_when_what_it_has_canceled_has_ended),
        CASE(test_await_for_without_any_time_cancels_a_new_task_that_begins_all_the_same),
    };

    return run_cases(tests);
}
