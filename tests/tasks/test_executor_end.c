/* timeout: 120 */
/*
 * The end of an executor and of a loop that has jobs: what has not begun is told so, what has is
 * waited for, and what never ends is reported and left behind.
 */
#include "tasks.h"
#include "threads.h"

#include "child.h"

#include <time.h>

#include <rill/executor.h>

static harness h;
static rill_executor *pool;
static rill_runner *runner;
static gate door = GATE;
static atomic_int begun;

static int
setup(void **unused)
{
    (void)unused;
    runner = NULL;
    gate_close(&door);
    atomic_store(&begun, 0);
    pool = NULL;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    size_t left;

    (void)unused;
    gate_open(&door);
    (void)rill_runner_free(runner, RILL_S);
    if (h.loop != NULL)
        harness_close(&h);
    left = rill_executor_free(pool, RILL_NEVER);
    assert_int_equal(left, 0);
    return 0;
}

static void
make_pool(int threads_max)
{
    assert_code(rill_executor_new(RILL_EXECUTOR_OPTIONS(.threads_max = threads_max), &pool), 0);
}

/* ---- jobs ---- */

static int
seven(void *unused)
{
    (void)unused;
    return 7;
}

static int
wait_at_the_door(void *unused)
{
    (void)unused;
    atomic_fetch_add(&begun, 1);
    gate_wait(&door);
    return 5;
}

/* What a done callback is told. */
typedef struct told {
    bool over;
    int rc;
} told;

static void
note(void *arg, int rc)
{
    told *t = arg;

    t->over = true;
    t->rc = rc;
    harness_poke(&h);
}

/* ---- the end of a job ---- */

/* mutant: tasks/job.c @ started_over
 * - rill__operation_end(job->loop, self->id); */
static void
test_a_job_that_is_over_leaves_nothing(void **unused)
{
    size_t bytes = 0;

    (void)unused;
    make_pool(1);
    for (int i = 0; i < 200; i++) {
        told t = { .over = false };

        assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &t, NULL), 0);
        harness_until(&h, flag_is_set, &t.over);
        if (i == 10)
            bytes = allocator_loop_bytes(&h.allocator);
    }
    assert_int_equal(allocator_loop_bytes(&h.allocator), bytes);
}

/* ---- the end of an executor ---- */

static char logged[512];

static void
keep_line(rill_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)arg;
    snprintf(logged, sizeof(logged), "%s", text);
}

/* mutant: tasks/executor.c @ next_job
 * - if (executor->queued == 0)
 * + if (executor->queued == 0 || executor->stopped) */
static void
test_an_executor_that_is_freed_runs_what_it_has(void **unused)
{
    told t[3] = { { .over = false } };
    size_t left;

    (void)unused;
    make_pool(1);
    gate_open(&door);
    for (size_t i = 0; i < 3; i++)
        assert_code(
            rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &t[i], NULL), 0);
    left = rill_executor_free(pool, RILL_NEVER);
    pool = NULL;
    assert_int_equal(left, 0);
    for (size_t i = 0; i < 3; i++) {
        harness_until(&h, flag_is_set, &t[i].over);
        assert_code(t[i].rc, 5);
    }
}

/* mutant: tasks/executor.c
 * - rill__host_condition_wait(&executor->calm, &executor->lock, deadline))
 * + rill__host_condition_wait(&executor->calm, &executor->lock, RILL_NEVER)) */
static void
test_a_job_that_does_not_end_is_logged_and_waited_for_no_longer(void **unused)
{
    told never = { .over = false }, queued = { .over = false };
    size_t left;

    (void)unused;
    logged[0] = '\0';
    assert_code(
        rill_executor_new(RILL_EXECUTOR_OPTIONS(.threads_max = 1, .log = keep_line), &pool), 0);
    assert_code(
        rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &never, NULL), 0);
    gate_expect(&door, 1);
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &queued, NULL), 0);
    left = rill_executor_free(pool, 10 * RILL_MS);
    pool = NULL;
    assert_int_equal(left, 1);
    assert_contains(logged, "test_executor_end.c:");
    assert_contains(logged, "wait_at_the_door");
    harness_until(&h, flag_is_set, &queued.over);
    assert_code(queued.rc, RILL_ESHUTDOWN);
    assert_false(never.over);
    gate_open(&door);
    harness_until(&h, flag_is_set, &never.over); /* Its result still comes. */
    assert_code(never.rc, 5);
}

static int
free_ones_own(void *unused)
{
    (void)unused;
    return (int)rill_executor_free(pool, RILL_NEVER);
}

static int
ask_to_free_it(void *unused)
{
    (void)unused;
    return rill_run_in_executor(pool, free_ones_own, NULL);
}

static int
have_a_job_free_its_executor(void *unused)
{
    if (rill_executor_new(NULL, &pool) < 0)
        return 1;
    return rill_run_with(ask_to_free_it, unused, &RILL_LOOP_OPTIONS(.driver = "epoll"));
}

/* mutant: tasks/executor.c
 * - if (at_work != NULL && at_work->executor == executor)
 * + if (false) */
static void
test_a_job_cannot_free_its_own_executor(void **unused)
{
    (void)unused;
    expect_abort(have_a_job_free_its_executor, NULL, "it would wait for itself");
}

static void
start_another(void *arg, int rc)
{
    note(arg, rc);
    assert_code(
        rill_run_in_executor_start(h.loop, NULL, seven, NULL, note, NULL, NULL), RILL_ECLOSED);
    gate_open(&door); /* The other job is waited for: now it ends. */
}

/* ---- the end of a loop ---- */

/* mutant: tasks/job.c @ end_job
 * - if (!drop(job))
 * + if (true) */
static void
test_a_loop_that_is_freed_drops_jobs_that_have_not_begun(void **unused)
{
    told running = { .over = false }, queued = { .over = false };

    (void)unused;
    make_pool(1);
    if (on_driver("sim")) {
        assert_code(
            rill_run_in_executor_start(h.loop, pool, seven, NULL, start_another, &queued, NULL), 0);
        harness_close_with(&h, 1);
    } else {
        assert_code(
            rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &running, NULL),
            0);
        gate_expect(&door, 1);
        assert_code(
            rill_run_in_executor_start(h.loop, pool, seven, NULL, start_another, &queued, NULL), 0);
        harness_close_with(&h, 2);
        assert_true(running.over);
        assert_code(running.rc, 5);
    }
    assert_true(queued.over);
    assert_code(queued.rc, RILL_ELOOPFREED);
}

/* It takes the five seconds that the loop waits.
 *
 * mutant: core/life.c
 * - loop->tasks_ops->abandon_jobs(loop);
 * + (void)leftovers; */
static void
test_a_loop_that_is_freed_reports_a_job_that_never_ends_and_goes(void **unused)
{
    told t = { .over = false };

    (void)unused;
    make_pool(1);
    h.log_allowed = true;
    assert_code(
        rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &t, NULL), 0);
    gate_expect(&door, 1);
    harness_close_with(&h, 1);
    assert_contains(h.log, "did not end");
    assert_contains(h.log, "test_executor_end.c:");
    assert_false(t.over);
    gate_open(&door); /* The thread ends, and has nobody to tell. */
    assert_int_equal(rill_executor_free(pool, RILL_NEVER), 0);
    pool = NULL;
    assert_false(t.over);
}

static int
wait_for_ever_with_a_frame(void *unused)
{
    volatile char frame[64] = "still there";
    int rc = rill_run_in_executor(pool, wait_at_the_door, (void *)(uintptr_t)frame);

    (void)unused;
    return rc;
}

static int
return_when_it_has_begun(void *unused)
{
    (void)unused;
    RILL_TRY(rill_go(wait_for_ever_with_a_frame, NULL, NULL));
    while (atomic_load(&begun) == 0)
        RILL_TRY(rill_sleep(RILL_MS));
    return 0;
}

/* The loop has waited for it already, and does not do it twice.
 *
 * mutant: tasks/job.c
 * - if (job->fiber == NULL || !job->fiber->abandoned)
 * + if (true) */
static void
test_a_task_whose_job_never_ends_is_dropped_and_its_stack_kept(void **unused)
{
    time_t begin;
    size_t left;

    (void)unused;
    make_pool(1);
    h.log_allowed = true;
    assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_code(rill_runner_run(runner, return_when_it_has_begun, NULL), 0);
    left = rill_runner_free(runner, 20 * RILL_MS);
    runner = NULL;
    assert_int_equal(left, 1);
    begin = time(NULL);
    harness_close_with(&h, 2); /* The job, and what the task was. */
    assert_true(time(NULL) - begin < 4);
    assert_contains(h.log, "did not end although it was canceled");
    assert_contains(h.log, "what it uses stays in use");
    gate_open(&door);
    assert_int_equal(rill_executor_free(pool, RILL_NEVER), 0);
    pool = NULL;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_job_that_is_over_leaves_nothing),
        CASE_ON("kernel", test_an_executor_that_is_freed_runs_what_it_has),
        CASE_ON("kernel", test_a_job_that_does_not_end_is_logged_and_waited_for_no_longer),
        CASE(test_a_job_cannot_free_its_own_executor),
        CASE(test_a_loop_that_is_freed_drops_jobs_that_have_not_begun),
        CASE_ON("kernel", test_a_loop_that_is_freed_reports_a_job_that_never_ends_and_goes),
        CASE_ON("kernel", test_a_task_whose_job_never_ends_is_dropped_and_its_stack_kept),
    };

    return run_cases(tests);
}
