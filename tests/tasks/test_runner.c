/*
 * Running a main task: its result, what others are left, deadlocks, and runs one after another.
 */
#include "tasks.h"

#include "child.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static harness h;
static rill_runner *runner; /* Of a case that was cut short, too. */
static const rill_var user = { "user", NULL };

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

static int
give(void *arg)
{
    RILL_TRY(rill_sleep(RILL_MS));
    return *(int *)arg;
}

/* mutant: tasks/runner.c
 * - rc = sigint.told && task->cancels <= 1 ? RILL_EINTERRUPTED : RILL_ECANCELED;
 * + rc = RILL_EINTERRUPTED; */
static void
test_run_makes_a_loop_and_returns_what_main_returned(void **unused)
{
    static int good = 42, bad = -EPROTO, canceled = RILL_ECANCELED;

    (void)unused;
    assert_code(rill_run(give, &good), 42);
    assert_code(rill_run(give, &bad), -EPROTO);
    assert_code(rill_run(give, &canceled), RILL_ECANCELED);
}

static int
run_inside(void *unused)
{
    static int good = 1;

    (void)unused;
    assert_code(rill_run(give, &good), RILL_EBUSY);
    return 0;
}

/* mutant: tasks/runner.c @ rill_run_site
 * - return RILL_EBUSY;
 * + return RILL_ESTATE; */
static void
test_run_inside_a_running_loop_is_refused(void **unused)
{
    (void)unused;
    assert_code(rill_run(run_inside, NULL), 0);
}

/* ---- the others ---- */

static int cleaned;

static int
clean_up_late(void *unused)
{
    rill_scope shield;
    int rc = rill_sleep(3600 * RILL_S);

    (void)unused;
    rill_shield_begin(&shield, RILL_S);
    cleaned += rill_scope_end(&shield, rill_sleep(10 * RILL_MS)) == 0;
    return rc;
}

static int
leave_some(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        RILL_TRY(rill_go(clean_up_late, NULL, NULL));
    RILL_TRY(rill_yield());
    return 8;
}

/* mutant: tasks/runner.c
 * - (void)rill_loop_run_until(loop, grace != RILL_NEVER ? rill__after(now, grace) : INT64_MAX); */
static void
test_tasks_that_are_left_are_canceled_and_waited_for(void **unused)
{
    (void)unused;
    cleaned = 0;
    assert_code(rill_run(leave_some, NULL), 8);
    assert_int_equal(cleaned, 3);
}

static int
stubborn(void *unused)
{
    (void)unused;
    while (rill_loop_running() != NULL)
        RILL_IGNORE(rill_sleep(RILL_S));
    return 0;
}

static int
leave_stubborn(void *unused)
{
    (void)unused;
    RILL_TRY(rill_go(stubborn, NULL, RILL_TASK_OPTIONS(.name = "mule")));
    return rill_yield();
}

/* mutant: tasks/runner.c
 * - loop->tasks_ops->abandon(loop);
 * + (void)left; */
static void
test_stubborn_tasks_are_reported_after_the_grace(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_code(rill_runner_run(runner, leave_stubborn, NULL), 0);
    assert_int_equal(rill_runner_free(runner, 50 * RILL_MS), 1);
    runner = NULL;
    assert_true(h.reports >= 1); /* Earlier ones: that it swallows cancels. */
    assert_contains(h.report_message, "'mule' did not end although it was canceled");
    harness_close_with(&h, 1); /* Its future. */
    harness_open(&h);
}

/* ---- one run after another ---- */

static int
set_user(void *arg)
{
    return rill_var_set(&user, arg, NULL);
}

static int
see_user(void *arg)
{
    return rill_var_get(&user) == arg;
}

/* mutant: tasks/runner.c
 * - self->context = rill_context_copy(); */
static void
test_runs_of_one_runner_share_their_variables(void **unused)
{
    (void)unused;
    assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_ptr_equal(rill_runner_loop(runner), h.loop);
    assert_code(rill_runner_run(runner, set_user, &h), 0);
    assert_code(rill_runner_run(runner, see_user, &h), 1);
    assert_int_equal(rill_runner_free(runner, RILL_S), 0);
    runner = NULL;
    assert_int_equal(rill_runner_free(NULL, RILL_S), 0);
}

/* ---- deadlocks ---- */

static int
wait_for_nobody(void *arg)
{
    rill_future *future;
    int rc;

    (void)arg;
    RILL_TRY(rill_future_new(rill_loop_running(), &future));
    rc = rill_await(future, NULL);
    rill_future_unref(future);
    return rc;
}

static int
join_it(void *arg)
{
    return rill_join(arg);
}

static int
deadlock(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(wait_for_nobody, NULL, RILL_TASK_OPTIONS(.name = "waiter"), &task));
    return join_it(task);
}

static int
run_deadlock(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(deadlock, NULL) == RILL_EDEADLK);
    return 7;
}

/* mutant: tasks/runner.c
 * - rill_dump_tasks(loop, 2); */
static void
test_when_nothing_can_ever_wake_a_task_the_run_says_who_waits_for_what(void **unused)
{
    static child_result result;

    (void)unused;
    child_run(run_deadlock, NULL, &result);
    assert_int_equal(result.exit_code, 7);
    assert_contains(result.text, "deadlock: nothing can ever wake a task");
    assert_contains(result.text, "task 2 'waiter' waits in rill_await, a future made at");
    assert_contains(result.text, "task 1 'main' waits in rill_join, task 2 'waiter'");
    assert_contains(result.text, "made at ");
}

typedef struct helper {
    pthread_t thread;
    rill_loop *loop;
    rill_future *future;
} helper;

static void
set_it(void *arg)
{
    assert_code(rill_future_set_result(((helper *)arg)->future, NULL), 0);
}

static void *
help_later(void *arg)
{
    helper *self = arg;
    struct timespec pause = { .tv_nsec = 20000000 };

    nanosleep(&pause, NULL); /* sleep: the loop must have nothing to do meanwhile. */
    if (rill_call_soon_threadsafe(self->loop, set_it, self) < 0)
        abort();
    rill_loop_release(self->loop);
    return NULL;
}

static int
wait_for_thread(void *unused)
{
    helper self = { .loop = rill_loop_running() };
    int rc;

    (void)unused;
    RILL_TRY(rill_future_new(self.loop, &self.future));
    rill_loop_hold(self.loop);
    assert_int_equal(pthread_create(&self.thread, NULL, help_later, &self), 0);
    rc = rill_await(self.future, NULL);
    pthread_join(self.thread, NULL);
    rill_future_unref(self.future);
    return rc;
}

/* mutant: core/loop.c @ is_stuck
 * - atomic_load(&loop->holds) == 0 && */
static void
test_there_is_no_verdict_while_the_loop_is_held(void **unused)
{
    (void)unused;
    assert_code(rill_run(wait_for_thread, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_run_makes_a_loop_and_returns_what_main_returned),
        CASE(test_run_inside_a_running_loop_is_refused),
        CASE(test_tasks_that_are_left_are_canceled_and_waited_for),
        CASE(test_stubborn_tasks_are_reported_after_the_grace),
        CASE(test_runs_of_one_runner_share_their_variables),
        CASE(test_when_nothing_can_ever_wake_a_task_the_run_says_who_waits_for_what),
        CASE_ON("kernel", test_there_is_no_verdict_while_the_loop_is_held),
    };

    return run_cases(tests);
}
