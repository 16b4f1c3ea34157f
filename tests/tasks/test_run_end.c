/*
 * The ends of runs: what is left of the loop, what leftover tasks have to say, stops that are not
 * the end, and what a failed run leaves for the next one.
 */
#include "tasks.h"

#include "child.h"

#include <errno.h>

static harness h;
static rill_runner *runner;

static int
setup(void **unused)
{
    (void)unused;
    runner = NULL;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    (void)rill_runner_free(runner, RILL_S);
    harness_close(&h);
    return 0;
}

#define LONG (3600 * RILL_S)

static void
run_runner(rill_fn fn, void *arg, int expected)
{
    if (runner == NULL)
        assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_code(rill_runner_run(runner, fn, arg), expected);
}

static size_t
free_runner(void)
{
    rill_runner *mine = runner;

    runner = NULL;
    return rill_runner_free(mine, RILL_S);
}

static int
give(void *code)
{
    RILL_TRY(rill_sleep(RILL_MS));
    return *(int *)code;
}

/* ---- the loop of a run ---- */

static void
never(void *unused)
{
    (void)unused;
    fail();
}

static int
leave_a_timer(void *code)
{
    rill_loop *loop = rill_loop_running();

    assert_ptr_not_equal(loop, h.loop);
    RILL_TRY(rill_call_later(loop, LONG, never, NULL, NULL));
    return give(code);
}

/* mutant: tasks/runner.c @ rill_runner_free
 * - if (owns)
 * + if (false) */
static void
test_a_run_has_the_result_of_its_task_and_nothing_is_left_of_its_loop(void **unused)
{
    static int forty_two = 42;
    static allocator memory;
    size_t descriptors = descriptor_count();

    (void)unused;
    allocator_init(&memory);
    assert_code(
        rill_run_with(leave_a_timer, &forty_two, &RILL_LOOP_OPTIONS(.allocator = &memory.hook)),
        42);
    assert_null(rill_loop_running());
    allocator_check_empty(&memory);
    assert_int_equal(descriptor_count(), descriptors);
}

static int
run_inside(void *unused)
{
    static int one = 1;

    (void)unused;
    assert_code(rill_run(give, &one), RILL_EBUSY);
    assert_code(rill_runner_run(runner, give, &one), RILL_EBUSY);
    assert_code(rill_loop_run(h.loop), RILL_EBUSY);
    return rill_sleep(RILL_MS); /* The outer one goes on. */
}

/* mutant: tasks/runner.c @ rill_run_site
 * - if (rill__running != NULL)
 * + if (false) */
static void
test_runs_within_a_run_are_refused_at_once_and_the_outer_one_goes_on(void **unused)
{
    (void)unused;
    run_runner(run_inside, NULL, 0);
}

/* ---- leftover tasks ---- */

static int
fail_when_told(void *unused)
{
    (void)unused;
    assert_code(rill_sleep(LONG), RILL_ECANCELED);
    return -EPROTO;
}

static int
leave_one_that_fails(void *unused)
{
    (void)unused;
    RILL_TRY(rill_go(fail_when_told, NULL, RILL_TASK_OPTIONS(.name = "sore loser")));
    RILL_TRY(rill_yield());
    return 6;
}

/* mutant: tasks/task.c @ destroy
 * - if (future->state == RILL__FAILED && !future->retrieved) {
 * + if (future->state == RILL__FAILED && !future->retrieved && task->cancels == 0) { */
static void
test_a_leftover_task_that_fails_when_it_is_canceled_is_reported_with_name_and_error(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    run_runner(leave_one_that_fails, NULL, 6); /* What the main task returned stays. */
    assert_int_equal(h.reports, 0);
    assert_int_equal(free_runner(), 0);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_TASK);
    assert_code(h.report_code, -EPROTO);
    assert_contains(h.report_message, "'sore loser' failed");
    assert_contains(h.report_site, "test_run_end.c:");
}

/* ---- stops ---- */

static int
stop_and_go_on(void *unused)
{
    (void)unused;
    rill_loop_stop(h.loop);
    RILL_TRY(rill_sleep(RILL_MS));
    rill_loop_stop(h.loop);
    RILL_TRY(rill_yield());
    return 4;
}

/* Where asyncio gives up ("stopped before Future completed"): the end of a run is its task's.
 *
 * mutant: tasks/runner.c @ run_to_end
 * - while (rc == 0 && task->future.state == RILL__PENDING);
 * + while (false); */
static void
test_a_stop_within_a_run_does_not_end_it_before_its_task(void **unused)
{
    (void)unused;
    run_runner(stop_and_go_on, NULL, 4);
}

/* mutant: core/loop.c @ rill_loop_stop
 * - loop->stop = true;
 * + (void)0; */
static void
test_a_task_goes_on_where_it_was_when_its_stopped_loop_runs_again(void **unused)
{
    rill_task *task;

    (void)unused;
    assert_code(rill_spawn_on(h.loop, stop_and_go_on, NULL, NULL, &task), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_false(rill_task_is_done(task));
    assert_code(rill_loop_run(h.loop), 0);
    assert_false(rill_task_is_done(task));
    harness_settle(&h);
    assert_code(rill_future_result(rill_task_future(task), NULL), 4);
    rill_task_unref(task);
}

/* ---- after a failure ---- */

static void
count_and_stop(void *count)
{
    if (++*(int *)count == 3)
        rill_loop_stop(h.loop);
    else
        assert_code(rill_call_later(h.loop, RILL_MS, count_and_stop, count, NULL), 0);
}

/* mutant: tasks/runner.c @ on_end
 * - rill_loop_stop(RILL__CONTAINER(waiter, ending, waiter)->loop);
 * + { rill_loop *loop = RILL__CONTAINER(waiter, ending, waiter)->loop; rill_loop_stop(loop);
 * + rill_call_soon(loop, (rill_callback)rill_loop_stop, loop, NULL); } */
static void
test_a_run_that_failed_does_not_stop_the_next_one_too_early(void **unused)
{
    static int bad = -EPROTO, good = 8;
    int count = 0;

    (void)unused;
    run_runner(give, &bad, -EPROTO);
    assert_code(rill_call_later(h.loop, RILL_MS, count_and_stop, &count, NULL), 0);
    assert_code(rill_loop_run(h.loop), 0);
    assert_int_equal(count, 3);
    run_runner(give, &bad, -EPROTO);
    run_runner(give, &good, 8);
}

/* ---- misuse ---- */

static int
free_own_runner(void *unused)
{
    (void)unused;
    (void)rill_runner_free(runner, RILL_S);
    return 0;
}

static int
run_who_frees(void *unused)
{
    (void)unused;
    harness_open(&h);
    run_runner(free_own_runner, NULL, 0);
    return 0;
}

/* mutant: tasks/runner.c @ rill_runner_free
 * - if (rill__running != NULL)
 * + if (false) */
static void
test_a_runner_freed_while_a_loop_runs_ends_the_process(void **unused)
{
    (void)unused;
    expect_abort(run_who_frees, NULL, "rill_runner_free called while a loop runs");
}

/* ---- debug mode ---- */

static int
return_at_once(void *unused)
{
    (void)unused;
    return 0;
}

/* With a limit of nothing, each step of a task is one that takes too long.
 *
 * mutant: tasks/wait.c @ rill__fiber_run
 * - fiber->loop->current_site = fiber->task->future.site;
 * + (void)0; */
static void
test_a_task_that_holds_the_loop_up_is_reported_with_its_site(void **unused)
{
    rill_task *task;

    (void)unused;
    harness_catch_reports(&h);
    rill_loop_set_debug(h.loop, true, 0);
    assert_code(rill_spawn_on(h.loop, return_at_once, NULL, NULL, &task), 0);
    assert_int_equal(harness_turn(&h), 1);
    rill_loop_set_debug(h.loop, false, 0);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_SLOW);
    assert_contains(h.report_message, "a callback took 0.");
    assert_contains(h.report_site, "test_run_end.c:");
    assert_contains(h.report_site, "return_at_once");
    rill_task_unref(task);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_run_has_the_result_of_its_task_and_nothing_is_left_of_its_loop),
        CASE(test_runs_within_a_run_are_refused_at_once_and_the_outer_one_goes_on),
        CASE(test_a_leftover_task_that_fails_when_it_is_canceled_is_reported_with_name_and_error),
        CASE(test_a_stop_within_a_run_does_not_end_it_before_its_task),
        CASE(test_a_task_goes_on_where_it_was_when_its_stopped_loop_runs_again),
        CASE(test_a_run_that_failed_does_not_stop_the_next_one_too_early),
        CASE(test_a_runner_freed_while_a_loop_runs_ends_the_process),
        CASE(test_a_task_that_holds_the_loop_up_is_reported_with_its_site),
    };

    return run_cases(tests);
}
