/*
 * Scopes: timeouts, shields, cancels of a part; and what happens to who leaves one open.
 */
#include "tasks.h"

#include "child.h"

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

/* ---- nested timeouts ---- */

static int
outer_first(void *unused)
{
    rill_scope outer, inner;
    int rc;

    (void)unused;
    rill_timeout_begin(&outer, 10 * RILL_MS);
    rill_timeout_begin(&inner, LONG);
    rc = rill_sleep(LONG);
    assert_code(rc, RILL_ECANCELED);
    rc = rill_scope_end(&inner, rc);
    assert_code(rc, RILL_ECANCELED);
    assert_false(rill_scope_is_expired(&inner));
    rc = rill_scope_end(&outer, rc);
    assert_true(rill_scope_is_expired(&outer));
    return rc;
}

/* Only the innermost one gets its timer.
 *
 * mutant: tasks/scope.c
 * - rill__timer_arm(fiber->loop, &scope->timer, scope->deadline);
 * + rill__timer_arm(fiber->loop, &scope->timer, scope->deadline);
 * + break; */
static void
test_of_nested_timeouts_the_outer_one_first_gives_ecanceled_inside(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, outer_first, NULL), RILL_ETIMEDOUT);
}

static int
inner_first(void *unused)
{
    rill_scope outer, inner;

    (void)unused;
    rill_timeout_begin(&outer, LONG);
    rill_timeout_begin(&inner, 10 * RILL_MS);
    assert_code(rill_scope_end(&inner, rill_sleep(LONG)), RILL_ETIMEDOUT);
    assert_code(rill_sleep(10 * RILL_MS), 0); /* The outer part goes on. */
    return rill_scope_end(&outer, 4);
}

/* mutant: tasks/scope.c
 * - if (RILL__UNLIKELY(fiber->canceled || scope->kind == RILL__SCOPE_SHIELD))
 * + if (scope->kind == RILL__SCOPE_SHIELD) */
static void
test_of_nested_timeouts_the_inner_one_first_ends_only_its_own_part(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, inner_first, NULL), 4);
}

static int
both_at_once(void *unused)
{
    rill_scope outer, inner;
    int rc;

    (void)unused;
    rill_timeout_begin(&outer, 10 * RILL_MS);
    rill_timeout_begin(&inner, 10 * RILL_MS);
    rc = rill_scope_end(&inner, rill_sleep(LONG));
    assert_code(rc, RILL_ECANCELED);
    return rill_scope_end(&outer, rc);
}

/* mutant: tasks/scope.c
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (rc != RILL_ECANCELED) */
static void
test_of_two_that_expire_together_only_the_outer_one_says_so(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, both_at_once, NULL), RILL_ETIMEDOUT);
}

/* ---- a cancel from outside ---- */

static int
sleep_with_limit(void *arg)
{
    rill_scope limit;
    int rc;

    rill_timeout_begin(&limit, 20 * RILL_MS);
    rc = rill_sleep(LONG);
    if (arg != NULL) { /* The time passes as well, and it is told so by many waits. */
        h.log_allowed = true;
        while (!rill_scope_is_expired(&limit))
            RILL_IGNORE(rill_yield());
    }
    rc = rill_scope_end(&limit, rc);
    assert_code(rc, RILL_ECANCELED);
    assert_code(rill_yield(), RILL_ECANCELED);
    return rc;
}

static int
cancel_from_outside(void *arg)
{
    rill_task *task;

    RILL_TRY(rill_spawn(sleep_with_limit, arg, NULL, &task));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/scope.c
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (rc != RILL_ECANCELED) */
static void
test_a_cancel_from_outside_wins_over_a_timeout_and_stays_in_force(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_from_outside, NULL), 0);
    assert_code(tasks_run(&h, cancel_from_outside, WORD("both")), 0);
}

/* ---- without a wait ---- */

static int
expire_without_wait(void *unused)
{
    rill_scope limit;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        rill_ns after = i == 0 ? 0 : i == 1 ? -5 : INT64_MIN;

        rill_timeout_begin(&limit, after);
        assert_true(rill_scope_is_expired(&limit));
        assert_code(rill_scope_end(&limit, 1), 1); /* A part without waits succeeds. */
        rill_timeout_begin(&limit, after);
        assert_code(rill_scope_end(&limit, rill_yield()), RILL_ETIMEDOUT);
    }
    rill_timeout_begin_at(&limit, rill_loop_now(h.loop));
    assert_code(rill_scope_end(&limit, rill_yield()), RILL_ETIMEDOUT);
    rill_timeout_begin(&limit, RILL_NEVER);
    assert_int_equal(rill_scope_when(&limit), RILL_NEVER);
    assert_code(rill_scope_end(&limit, rill_sleep(RILL_MS)), 0);
    rill_timeout_begin(&limit, INT64_MAX);
    assert_code(rill_scope_end(&limit, rill_sleep(RILL_MS)), 0);
    return 0;
}

/* mutant: tasks/scope.c
 * - scope->expired = deadline <= rill__loop_now(fiber->loop);
 * + scope->expired = deadline < rill__loop_now(fiber->loop); */
static void
test_zero_and_less_fail_the_first_wait_and_parts_without_waits_succeed(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, expire_without_wait, NULL), 0);
}

static int
succeed_after_expiry(void *unused)
{
    rill_scope limit;

    (void)unused;
    rill_timeout_begin(&limit, RILL_MS);
    assert_code(rill_sleep(LONG), RILL_ECANCELED);
    assert_true(rill_scope_is_expired(&limit));
    return rill_scope_end(&limit, 11);
}

/* mutant: tasks/scope.c
 * - if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
 * + if (!self->expired && (rc != RILL_ECANCELED || self->fiber->canceled)) */
static void
test_a_part_that_succeeds_after_its_time_has_succeeded(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, succeed_after_expiry, NULL), 11);
}

/* ---- another time ---- */

static int
reschedule(void *unused)
{
    rill_scope limit;
    rill_ns begin = rill_loop_time(h.loop);

    (void)unused;
    rill_timeout_begin(&limit, LONG); /* Earlier, */
    assert_code(rill_scope_reschedule(&limit, begin + 10 * RILL_MS), 0);
    assert_code(rill_scope_end(&limit, rill_sleep(LONG)), RILL_ETIMEDOUT);
    assert_true(rill_loop_time(h.loop) - begin < 10 * RILL_S);

    rill_timeout_begin(&limit, 5 * RILL_MS); /* later, */
    assert_code(rill_scope_reschedule(&limit, rill_loop_time(h.loop) + LONG), 0);
    assert_code(rill_sleep(20 * RILL_MS), 0);
    assert_code(rill_scope_reschedule(&limit, RILL_NEVER), 0); /* never, */
    assert_int_equal(rill_scope_when(&limit), RILL_NEVER);
    assert_code(rill_sleep(5 * RILL_MS), 0);
    assert_code(rill_scope_reschedule(&limit, 0), 0); /* and at once. */
    assert_code(rill_yield(), RILL_ECANCELED);
    assert_code(rill_scope_reschedule(&limit, RILL_NEVER), RILL_ESTATE);
    assert_code(rill_scope_end(&limit, RILL_ECANCELED), RILL_ETIMEDOUT);
    assert_code(rill_scope_reschedule(&limit, RILL_NEVER), RILL_ESTATE);
    assert_code(rill_scope_reschedule(&limit, -7), RILL_EINVAL);

    rill_timeout_begin(&limit, 100 * RILL_MS);
    assert_code(rill_yield(), 0); /* From here on it has a timer, */
    assert_code(rill_scope_reschedule(&limit, RILL_NEVER), 0);
    assert_code(rill_scope_end(&limit, rill_sleep(150 * RILL_MS)), 0); /* which has gone. */
    return 0;
}

/* mutant: tasks/scope.c @ rill_scope_reschedule
 * - if (rill__timer_is_armed(&self->timer))
 * - rill__timer_disarm(fiber->loop, &self->timer); */
static void
test_reschedule_earlier_later_never_and_not_after_expiry(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, reschedule, NULL), 0);
}

static int
push_back(void *arg)
{
    rill_scope *limit = arg;

    for (int i = 0; i < 5; i++) {
        RILL_TRY(rill_sleep(5 * RILL_MS));
        assert_code(rill_scope_reschedule(limit, rill_loop_time(h.loop) + 15 * RILL_MS), 0);
    }
    return 0;
}

static int
be_pushed_back(void *unused)
{
    rill_scope limit;
    rill_task *task;
    rill_ns begin = rill_loop_time(h.loop);
    int rc;

    (void)unused;
    rill_timeout_begin(&limit, 15 * RILL_MS);
    rc = rill_spawn(push_back, &limit, NULL, &task);
    assert_code(rc, 0);
    rc = rill_scope_end(&limit, rill_sleep(LONG));
    assert_true(rill_loop_time(h.loop) - begin >= 40 * RILL_MS);
    assert_code(rill_join(task), 0);
    return rc;
}

/* mutant: tasks/scope.c
 * - if (fiber == rill__current() && when > rill__loop_now(fiber->loop))
 * + if (when > rill__loop_now(fiber->loop)) */
static void
test_somebody_else_may_reschedule_while_the_task_waits(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, be_pushed_back, NULL), RILL_ETIMEDOUT);
}

/* ---- shields ---- */

static int
clean_up(void *arg)
{
    rill_scope shield;
    rill_ns grace = *(rill_ns *)arg;
    int rc = rill_sleep(LONG);

    assert_code(rc, RILL_ECANCELED);
    rill_shield_begin(&shield, grace);
    rc = rill_sleep(20 * RILL_MS);
    if (grace > 20 * RILL_MS)
        assert_code(rc, 0);
    else
        assert_code(rc, RILL_ECANCELED);
    rc = rill_scope_end(&shield, rc);
    assert_code(rill_yield(), RILL_ECANCELED);
    return rc;
}

static int
cancel_who_cleans_up(void *arg)
{
    rill_ns grace = *(rill_ns *)arg;
    rill_task *task;
    int rc;

    RILL_TRY(rill_spawn(clean_up, arg, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    rc = rill_join(task);
    assert_code(rc, grace > 20 * RILL_MS ? 0 : RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/scope.c @ is_canceled
 * - if (scope->kind == RILL__SCOPE_SHIELD)
 * + if (false) */
static void
test_a_shield_hides_a_cancel_until_its_end_or_its_grace_is_over(void **unused)
{
    static rill_ns graces[] = { RILL_S, 5 * RILL_MS, 0, RILL_NEVER };

    (void)unused;
    for (size_t i = 0; i < 4; i++)
        assert_code(tasks_run(&h, cancel_who_cleans_up, &graces[i]), 0);
}

static int
shield_alone(void *unused)
{
    rill_scope shield;

    (void)unused;
    rill_shield_begin(&shield, RILL_MS);
    return rill_scope_end(&shield, rill_sleep(LONG));
}

/* mutant: tasks/scope.c
 * - rill__scope_init(scope_of(scope), RILL__SCOPE_SHIELD, deadline_after(grace), site);
 * + rill__scope_init(scope_of(scope), RILL__SCOPE_SHIELD, RILL_NEVER, site); */
static void
test_a_shield_whose_grace_is_over_without_a_cancel_is_a_timeout(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, shield_alone, NULL), RILL_ETIMEDOUT);
}

/* ---- canceling a part ---- */

static int
cancel_the_part(void *arg)
{
    RILL_TRY(rill_sleep(RILL_MS));
    rill_scope_cancel(arg);
    rill_scope_cancel(arg);
    return 0;
}

static int
part(void *unused)
{
    rill_scope scope;
    rill_task *task;
    int rc;

    (void)unused;
    rill_scope_begin(&scope);
    rc = rill_spawn(cancel_the_part, &scope, NULL, &task);
    assert_code(rc, 0);
    rc = rill_sleep(LONG);
    assert_code(rc, RILL_ECANCELED);
    assert_true(rill_scope_is_canceled(&scope));
    assert_code(rill_scope_end(&scope, rc), 0);
    rill_scope_cancel(&scope); /* Ended: ignored. */
    RILL_TRY(rill_yield());
    return rill_join(task);
}

/* mutant: tasks/scope.c
 * - return self->expired ? RILL_ETIMEDOUT : self->canceled ? 0 : rc;
 * + return self->expired ? RILL_ETIMEDOUT : rc; */
static void
test_a_part_can_be_canceled_alone(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, part, NULL), 0);
}

/* ---- wait_for ---- */

static int
sleep_then(void *arg)
{
    int rc = rill_sleep(20 * RILL_MS);

    return rc < 0 && arg != NULL ? 42 : rc < 0 ? rc : 6; /* Some end well all the same. */
}

static int
await_for(void *unused)
{
    rill_task *task;
    void *value = NULL;

    (void)unused;
    RILL_TRY(rill_spawn(sleep_then, NULL, NULL, &task));
    assert_code(rill_await_for(rill_task_future(task), RILL_S, &value), 6);
    assert_code(rill_await_for(rill_task_future(task), 0, &value), 6);
    rill_task_unref(task);
    RILL_TRY(rill_spawn(sleep_then, NULL, NULL, &task));
    assert_code(rill_await_for(rill_task_future(task), RILL_MS, &value), RILL_ETIMEDOUT);
    assert_true(rill_task_is_canceled(task));
    rill_task_unref(task);
    RILL_TRY(rill_spawn(sleep_then, WORD("well"), NULL, &task));
    assert_code(rill_await_for(rill_task_future(task), RILL_MS, &value), 42);
    rill_task_unref(task);
    RILL_TRY(rill_spawn(sleep_then, NULL, NULL, &task));
    assert_code(rill_await_for(rill_task_future(task), 0, &value), RILL_ETIMEDOUT);
    rill_task_unref(task);
    RILL_TRY(rill_spawn(sleep_then, NULL, NULL, &task));
    assert_code(rill_await_for(rill_task_future(task), RILL_NEVER, &value), 6);
    rill_task_unref(task);
    return rill_yield();
}

/* mutant: tasks/wait.c
 * - return await_with(future, ret_value, AWAIT_INSISTING, "rill_await_for");
 * + return await_with(future, ret_value, AWAIT_SHARED, "rill_await_for");
 * mutant: tasks/wait.c
 * - return rc == RILL_EREVOKED ? RILL_ETIMEDOUT : rc;
 * + return rc; */
static void
test_await_for_cancels_waits_for_the_end_and_prefers_what_came_of_it(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, await_for, NULL), 0);
}

/* ---- left open ---- */

static int
leave_open(void *unused)
{
    static rill_scope scope;

    (void)unused;
    rill_scope_begin(&scope);
    return 0;
}

static void __attribute__((noinline)) begin_and_leave(void)
{
    rill_scope scope;

    rill_timeout_begin(&scope, RILL_S);
    __asm__ volatile("" : : "r"(&scope) : "memory");
}

static int
leave_in_a_function(void *unused)
{
    (void)unused;
    begin_and_leave();
    return rill_sleep(RILL_MS);
}

static int
end_in_wrong_order(void *unused)
{
    rill_scope outer, inner;

    (void)unused;
    rill_scope_begin(&outer);
    rill_scope_begin(&inner);
    return rill_scope_end(&outer, 0);
}

static int
end_twice(void *unused)
{
    rill_scope scope;

    (void)unused;
    rill_scope_begin(&scope);
    RILL_TRY(rill_scope_end(&scope, 0));
    return rill_scope_end(&scope, 0);
}

static int
run_in_child(void *arg)
{
    rill_fn fn = *(rill_fn *)arg;

    return rill_run(fn, NULL) < 0;
}

/* mutant: tasks/task.c
 * - if (fiber->scope != NULL)
 * + if (false) */
static void
test_a_scope_left_open_or_misnested_ends_the_process_with_task_and_site(void **unused)
{
    static rill_fn left = leave_open, gone = leave_in_a_function, order = end_in_wrong_order,
                   twice = end_twice;

    (void)unused;
    (void)gone;
    expect_abort(run_in_child, &left, "has returned with a scope or group open");
    expect_abort(run_in_child, &left, "(begun at");
#if !RILL__ASAN /* It sees for itself, and gives frames other addresses. */
    expect_abort(run_in_child, &gone, "has left a function with a scope or group");
#endif
    expect_abort(run_in_child, &order, "not the one begun last");
    expect_abort(run_in_child, &order, "test_scope.c");
    expect_abort(run_in_child, &twice, "has ended already");
}

/* mutant: tasks/scope.c
 * - return RILL_ENOTASK;
 * + return 0; */
static void
test_a_scope_outside_of_tasks_says_so_at_its_end(void **unused)
{
    rill_scope scope;
    rill_group group;

    (void)unused;
    rill_timeout_begin(&scope, RILL_S);
    assert_code(rill_scope_end(&scope, 0), RILL_ENOTASK);
    rill_scope_begin(&scope);
    assert_code(rill_scope_end(&scope, -EPROTO), -EPROTO);
    rill_group_begin(&group);
    assert_code(rill_group_spawn(&group, leave_open, NULL, NULL), RILL_ENOTASK);
    assert_code(rill_group_end(&group, 0), RILL_ENOTASK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_of_nested_timeouts_the_outer_one_first_gives_ecanceled_inside),
        CASE(test_of_nested_timeouts_the_inner_one_first_ends_only_its_own_part),
        CASE(test_of_two_that_expire_together_only_the_outer_one_says_so),
        CASE(test_a_cancel_from_outside_wins_over_a_timeout_and_stays_in_force),
        CASE(test_zero_and_less_fail_the_first_wait_and_parts_without_waits_succeed),
        CASE(test_a_part_that_succeeds_after_its_time_has_succeeded),
        CASE(test_reschedule_earlier_later_never_and_not_after_expiry),
        CASE_ON("sim", test_somebody_else_may_reschedule_while_the_task_waits),
        CASE(test_a_shield_hides_a_cancel_until_its_end_or_its_grace_is_over),
        CASE(test_a_shield_whose_grace_is_over_without_a_cancel_is_a_timeout),
        CASE(test_a_part_can_be_canceled_alone),
        CASE(test_await_for_cancels_waits_for_the_end_and_prefers_what_came_of_it),
        CASE(test_a_scope_left_open_or_misnested_ends_the_process_with_task_and_site),
        CASE(test_a_scope_outside_of_tasks_says_so_at_its_end),
    };

    return run_cases(tests);
}
