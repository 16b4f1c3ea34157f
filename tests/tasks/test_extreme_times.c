/*
 * Times at the ends of their range: for ever is not at once, and what is past is not an error.
 */
#include "tasks.h"

static harness h;
static rill_runner *runner; /* Of a case that was cut short, too. */

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
    (void)rill_runner_free(runner, RILL_S);
    runner = NULL;
    harness_close(&h);
    return 0;
}

/* ---- the far future ---- */

typedef struct sleeper {
    int (*wait)(void);
    int rc;
} sleeper;

static int
sleep_longest(void)
{
    return rill_sleep(INT64_MAX);
}

static int
sleep_until_the_end(void)
{
    return rill_sleep_until(INT64_MAX);
}

static int
wait_longest(void)
{
    rill_future *future;
    int rc;

    RILL_TRY(rill_future_new(h.loop, &future));
    rc = rill_wait(&future, 1, RILL_ALL_DONE, INT64_MAX);
    rill_future_unref(future);
    return rc;
}

static int
await_longest(void)
{
    rill_future *future;
    int rc;

    RILL_TRY(rill_future_new(h.loop, &future));
    rc = rill_await_for(future, INT64_MAX, NULL);
    rill_future_unref(future);
    return rc;
}

static int
sleep_within_the_longest(void)
{
    rill_scope scope;

    rill_timeout_begin(&scope, INT64_MAX);
    return rill_scope_end(&scope, rill_sleep(3600 * RILL_S));
}

static int
sleep_until_the_latest(void)
{
    rill_scope scope;

    rill_timeout_begin_at(&scope, INT64_MAX);
    return rill_scope_end(&scope, rill_sleep(3600 * RILL_S));
}

static int
run_sleeper(void *arg)
{
    sleeper *self = arg;

    self->rc = self->wait();
    return 0;
}

/* mutant: tasks/wait.c @ rill_sleep
 * - return rill_sleep_until(rill__after(rill_loop_time(rill__running), delay));
 * + return rill_sleep_until((rill_ns)((uint64_t)rill_loop_time(rill__running) + (uint64_t)delay));
 *
 * mutant: tasks/several.c @ wait_here
 * - rill__timer_arm(self->loop, &self->timer, rill__after(rill_loop_time(self->loop), timeout));
 * + rill__timer_arm(self->loop, &self->timer,
 * + (rill_ns)((uint64_t)rill_loop_time(self->loop) + (uint64_t)timeout)); */
static void
test_the_longest_times_do_not_end_at_once(void **unused)
{
    static int (*const waits[])(void) = { sleep_longest, sleep_until_the_end, wait_longest,
        await_longest, sleep_within_the_longest, sleep_until_the_latest };

    (void)unused;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        sleeper s = { .wait = waits[i], .rc = 77 };
        rill_task *task;

        assert_code(rill_spawn_on(h.loop, run_sleeper, &s, NULL, &task), 0);
        harness_settle(&h);
        assert_code(s.rc, 77);
        assert_true(rill_task_cancel(task, NULL));
        harness_settle(&h);
        assert_code(s.rc, RILL_ECANCELED);
        rill_task_unref(task);
    }
}

/* ---- the past ---- */

static int
wait_for_the_past(void *unused)
{
    static const rill_ns past[] = { 0, -1, -5, INT64_MIN };

    (void)unused;
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        rill_scope scope;

        RILL_TRY(rill_sleep(past[i]));
        RILL_TRY(rill_sleep_until(past[i]));
        if (past[i] == RILL_NEVER)
            continue; /* As a timeout it is none. */
        rill_timeout_begin_at(&scope, past[i]);
        assert_code(rill_scope_end(&scope, rill_yield()), RILL_ETIMEDOUT);
        rill_timeout_begin(&scope, past[i]);
        assert_code(rill_scope_end(&scope, rill_yield()), RILL_ETIMEDOUT);
    }
    return 0;
}

/* mutant: tasks/scope.c @ rill__scope_init
 * - scope->expired = deadline <= rill__loop_now(fiber->loop);
 * + scope->expired = deadline >= 0 && deadline <= rill__loop_now(fiber->loop); */
static void
test_the_past_is_over_at_once(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wait_for_the_past, NULL), 0);
}

/* ---- graces ---- */

static bool cleaned;

static int
clean_up_slowly(void *unused)
{
    rill_scope shield;
    int rc = rill_sleep(3600 * RILL_S);

    (void)unused;
    rill_shield_begin(&shield, RILL_S);
    cleaned = rill_scope_end(&shield, rill_sleep(20 * RILL_MS)) == 0;
    return rc;
}

static int
leave_one(void *unused)
{
    (void)unused;
    RILL_TRY(rill_go(clean_up_slowly, NULL, NULL));
    return rill_yield();
}

/* mutant: tasks/runner.c @ end_tasks
 * - (void)rill_loop_run_until(loop, grace != RILL_NEVER ? rill__after(now, grace) : INT64_MAX);
 * + (void)rill_loop_run_until(loop, grace > 0 ? rill__after(now, grace) : now); */
static void
test_a_runner_freed_with_all_the_time_there_is_waits_for_its_tasks(void **unused)
{
    static const rill_ns graces[] = { RILL_NEVER, INT64_MAX };

    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        size_t left;

        cleaned = false;
        assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
        assert_code(rill_runner_run(runner, leave_one, NULL), 0);
        left = rill_runner_free(runner, graces[i]);
        runner = NULL;
        assert_int_equal(left, 0);
        assert_true(cleaned);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_longest_times_do_not_end_at_once),
        CASE(test_the_past_is_over_at_once),
        CASE(test_a_runner_freed_with_all_the_time_there_is_waits_for_its_tasks),
    };

    return run_cases(tests);
}
