/* timeout: 120 */
/*
 * Jobs on other threads: their order, results and cancels, the end of an executor and of a loop
 * that has some, and jobs that never end. On the simulator they run on the loop, in later turns.
 */
#include "tasks.h"
#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rill/executor.h>

static harness h;
static rill_executor *pool;
static gate door = GATE;
static tape order;
static pthread_t loop_thread, other_thread;
static bool other_runs;
static atomic_int begun;

static int
setup(void **unused)
{
    (void)unused;
    gate_close(&door);
    memset(&order, 0, sizeof(order));
    atomic_store(&begun, 0);
    loop_thread = pthread_self();
    pool = NULL;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    size_t left;

    (void)unused;
    atomic_store(&threads_refused, false);
    gate_open(&door);
    if (other_runs)
        pthread_join(other_thread, NULL);
    other_runs = false;
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

static rill_executor_stats
stats_of(rill_executor *executor)
{
    rill_executor_stats stats = { .size = sizeof(stats) };

    rill_executor_get_stats(executor, &stats);
    return stats;
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

static int
is_elsewhere(void *unused)
{
    (void)unused;
    return !pthread_equal(pthread_self(), loop_thread);
}

/* What a done callback is told. */
typedef struct told {
    bool over;
    int rc;
    int here;
    char letter;
} told;

static void
note(void *arg, int rc)
{
    told *t = arg;

    t->over = true;
    t->rc = rc;
    t->here = pthread_equal(pthread_self(), loop_thread);
    if (t->letter != '\0')
        tape_add(&order, t->letter);
    harness_poke(&h);
}

/* ---- results ---- */

static int
ask_for_seven(void *unused)
{
    (void)unused;
    return rill_to_thread(seven, NULL);
}

/* mutant: tasks/executor.c
 * - job->code = code; */
static void
test_a_task_gets_what_its_job_returned(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, ask_for_seven, NULL), 7);
}

static int
ask_where(void *unused)
{
    (void)unused;
    return rill_to_thread(is_elsewhere, NULL);
}

/* mutant: tasks/job.c
 * - bool own = loop->ops->clock_is_virtual;
 * + bool own = true; */
static void
test_a_job_runs_on_another_thread_than_the_loop(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, ask_where, NULL), on_driver("sim") ? 0 : 1);
}

/* mutant: tasks/job.c
 * - self->done(self->done_arg, self->job.code);
 * + self->done(self->done_arg, 0); */
static void
test_done_runs_on_the_loop_with_the_result(void **unused)
{
    told t = { .over = false };
    rill_id id = 0;

    (void)unused;
    assert_code(rill_run_in_executor_start(h.loop, NULL, seven, NULL, note, &t, &id), 0);
    assert_true(id != 0);
    assert_false(t.over);
    harness_until(&h, flag_is_set, &t.over);
    assert_code(t.rc, 7);
    assert_true(t.here);
    assert_false(rill_cancel(h.loop, id));
}

static int
be_canceled(void *unused)
{
    (void)unused;
    return RILL_ECANCELED;
}

static int
ask_be_canceled(void *unused)
{
    (void)unused;
    return rill_to_thread(be_canceled, NULL) == RILL_EREVOKED ? 1 : 0;
}

/* mutant: tasks/job.c
 * - rill__wake(self->wait.fiber, job->code == RILL_ECANCELED ? RILL_EREVOKED : job->code);
 * + rill__wake(self->wait.fiber, job->code); */
static void
test_a_job_that_says_canceled_does_not_cancel_its_caller(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, ask_be_canceled, NULL), 1);
}

static int
try_to_wait(void *unused)
{
    (void)unused;
    if (rill_current_task() != NULL)
        return 1;
    return rill_sleep(RILL_S) == RILL_ENOTASK && rill_to_thread(seven, NULL) == RILL_ENOTASK ? 0
                                                                                             : 2;
}

static int
ask_to_wait(void *unused)
{
    (void)unused;
    return rill_to_thread(try_to_wait, NULL);
}

/* mutant: tasks/job.c
 * - rc = rill__may_wait(fiber);
 * + rc = fiber == NULL ? RILL_ESTATE : rill__may_wait(fiber); */
static void
test_a_job_is_no_task(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, ask_to_wait, NULL), 0);
    assert_code(rill_to_thread(seven, NULL), RILL_ENOTASK);
}

/* ---- order ---- */

static void
turns_go_on(void *arg)
{
    int *turns = arg;

    if (++*turns == 5)
        gate_open(&door);
    else
        assert_code(rill_call_later(h.loop, RILL_MS, turns_go_on, turns, NULL), 0);
}

/* The door is opened by the fifth turn of a timer: a blocked loop would never come there.
 *
 * mutant: tasks/job.c
 * - bool own = loop->ops->clock_is_virtual;
 * + bool own = true; */
static void
test_the_loop_goes_on_while_a_job_blocks(void **unused)
{
    told t = { .over = false };
    int turns = 0;

    (void)unused;
    assert_code(
        rill_run_in_executor_start(h.loop, NULL, wait_at_the_door, NULL, note, &t, NULL), 0);
    turns_go_on(&turns);
    harness_until(&h, flag_is_set, &t.over);
    assert_code(t.rc, 5);
}

static int
add_letter(void *letter)
{
    tape_add(&order, *(char *)letter);
    return 0;
}

/* mutant: tasks/executor.c
 * - rill__list_append(&executor->queue, &job->link);
 * + rill__list_append(executor->queue.next, &job->link); */
static void
test_jobs_begin_in_the_order_of_asking(void **unused)
{
    static char letters[] = "abcdefgh";
    told t[8] = { { .over = false } };

    (void)unused;
    make_pool(1);
    for (size_t i = 0; i < 8; i++)
        assert_code(
            rill_run_in_executor_start(h.loop, pool, add_letter, &letters[i], note, &t[i], NULL),
            0);
    harness_until(&h, flag_is_set, &t[7].over);
    assert_string_equal(order.text, "abcdefgh");
}

static void
run_turn(void *unused)
{
    (void)unused;
    tape_add(&order, '.');
}

/* Never inside the call, behind what was ready, and done in a turn after that.
 *
 * mutant: tasks/job.c @ submit
 * - rill__loop_push(loop, &job->ready);
 * + run_here(&job->ready); */
static void
test_on_the_simulator_a_job_runs_in_a_later_turn(void **unused)
{
    told t = { .letter = 'd' };

    (void)unused;
    assert_code(rill_call_soon(h.loop, run_turn, NULL, NULL), 0);
    assert_code(rill_run_in_executor_start(h.loop, NULL, add_letter, WORD("j"), note, &t, NULL), 0);
    assert_string_equal(order.text, "");
    assert_true(harness_turn(&h) >= 0);
    assert_string_equal(order.text, ".j");
    assert_code(rill_call_soon(h.loop, run_turn, NULL, NULL), 0);
    assert_true(harness_turn(&h) >= 0);
    assert_string_equal(order.text, ".jd.");
}

/* ---- cancels ---- */

/* mutant: tasks/job.c
 * - if (!rill__executor_drop(job->executor, job))
 * + if (false) */
static void
test_a_job_that_has_not_begun_is_dropped_by_a_cancel(void **unused)
{
    told first = { .over = false }, second = { .over = false }, third = { .letter = 't' };
    rill_id id;

    (void)unused;
    make_pool(1);
    gate_open(&door);
    if (!on_driver("sim")) {
        gate_close(&door);
        assert_code(
            rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &first, NULL),
            0);
    }
    assert_code(
        rill_run_in_executor_start(h.loop, pool, add_letter, WORD("j"), note, &second, &id), 0);
    assert_code(
        rill_run_in_executor_start(h.loop, pool, add_letter, WORD("k"), note, &third, NULL), 0);
    assert_true(rill_cancel(h.loop, id));
    assert_false(rill_cancel(h.loop, id));
    gate_open(&door);
    harness_until(&h, flag_is_set, &third.over);
    assert_false(second.over);
    assert_string_equal(order.text, "kt");
}

/* mutant: tasks/executor.c
 * - if (!queued) {
 * + if (false) { */
static void
test_a_job_that_has_begun_cannot_be_canceled(void **unused)
{
    told t = { .over = false };
    rill_id id;

    (void)unused;
    assert_code(rill_run_in_executor_start(h.loop, NULL, wait_at_the_door, NULL, note, &t, &id), 0);
    gate_expect(&door, 1);
    assert_false(rill_cancel(h.loop, id));
    gate_open(&door);
    harness_until(&h, flag_is_set, &t.over);
    assert_code(t.rc, 5);
}

typedef struct caller {
    rill_executor *executor;
    int job;
    int next;
} caller;

static int
call_and_go_on(void *arg)
{
    caller *c = arg;

    c->job = rill_run_in_executor(c->executor, wait_at_the_door, NULL);
    c->next = rill_checkpoint();
    return 0;
}

static int
cancel_the_caller_of_a_running_job(void *unused)
{
    caller c = { .executor = NULL };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(call_and_go_on, &c, NULL, &task));
    while (atomic_load(&begun) == 0)
        RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    RILL_TRY(rill_sleep(5 * RILL_MS));
    assert_false(rill_task_is_done(task));
    gate_open(&door);
    assert_code(rill_join(task), 0);
    assert_code(c.job, 5);
    assert_code(c.next, RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/job.c @ errand_cancel
 * - return false;
 * + return true; */
static void
test_a_canceled_caller_waits_for_its_job_and_keeps_the_result(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_the_caller_of_a_running_job, NULL), 0);
}

static int
cancel_the_caller_of_a_waiting_job(void *unused)
{
    caller c = { .executor = pool }, d = { .executor = pool };
    rill_task *first = NULL, *task;

    (void)unused;
    if (!on_driver("sim")) {
        RILL_TRY(rill_spawn(call_and_go_on, &c, NULL, &first));
        while (atomic_load(&begun) == 0)
            RILL_TRY(rill_sleep(RILL_MS));
    }
    RILL_TRY(rill_spawn(call_and_go_on, &d, RILL_TASK_OPTIONS(.eager = 1), &task));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), 0);
    assert_code(d.job, RILL_ECANCELED);
    gate_open(&door);
    if (first != NULL)
        assert_code(rill_join(first), 0);
    assert_int_equal(atomic_load(&begun), on_driver("sim") ? 0 : 1);
    return 0;
}

/* mutant: tasks/job.c @ errand_cancel
 * - if (!drop(&self->job))
 * + if (true) */
static void
test_a_canceled_caller_of_a_job_not_begun_is_let_go_and_it_never_begins(void **unused)
{
    (void)unused;
    make_pool(1);
    assert_code(tasks_run(&h, cancel_the_caller_of_a_waiting_job, NULL), 0);
}

static int
ask_while_canceled(void *unused)
{
    (void)unused;
    (void)rill_task_cancel(rill_current_task(), NULL);
    assert_code(rill_to_thread(wait_at_the_door, NULL), RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/job.c
 * - rc = rill__may_wait(fiber);
 * + rc = 0; */
static void
test_a_canceled_task_begins_no_job(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, ask_while_canceled, NULL), 0);
    assert_int_equal(atomic_load(&begun), 0);
}

/* ---- no verdict ---- */

static void *
open_later(void *unused)
{
    (void)unused;
    gate_expect(&door, 1);
    usleep(20000); /* sleep: the loop must have nothing to do meanwhile. */
    gate_open(&door);
    return NULL;
}

static int
only_wait_for_a_job(void *unused)
{
    (void)unused;
    return rill_to_thread(wait_at_the_door, NULL);
}

/* mutant: tasks/job.c
 * - atomic_fetch_add(&loop->holds, 1); */
static void
test_there_is_no_verdict_of_a_deadlock_while_a_job_is_under_way(void **unused)
{
    pthread_t thread;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, open_later, NULL), 0);
    assert_code(rill_run(only_wait_for_a_job, NULL), 5);
    pthread_join(thread, NULL);
}

static void
forget_it(void *unused, int rc)
{
    (void)unused;
    (void)rc;
}

static int
wait_for_nothing_after_a_job(void *arg)
{
    RILL_TRY(
        rill_run_in_executor_start(rill_loop_running(), NULL, seven, NULL, forget_it, NULL, NULL));
    return rill_await(arg, NULL);
}

static int
wait_for_a_future_of_ones_own(void *unused)
{
    rill_future *future;
    int rc;

    (void)unused;
    RILL_TRY(rill_future_new(rill_loop_running(), &future));
    rc = wait_for_nothing_after_a_job(future);
    rill_future_unref(future);
    return rc;
}

/* The report goes to stderr: into the void.
 *
 * mutant: tasks/job.c
 * - atomic_fetch_sub(&job->loop->holds, 1); */
static void
test_there_is_one_when_the_last_job_has_arrived(void **unused)
{
    int kept = dup(2), nothing = open("/dev/null", O_WRONLY);

    (void)unused;
    fflush(stderr);
    dup2(nothing, 2);
    assert_code(rill_run(wait_for_a_future_of_ones_own, NULL), RILL_EDEADLK);
    dup2(kept, 2);
    close(kept);
    close(nothing);
}

/* ---- variables ---- */

static rill_var color = { .name = "color", .value = NULL };

static int
read_color(void *ret)
{
    *(const char **)ret = rill_var_get(&color);
    return rill_var_set(&color, WORD("green"), NULL) == 0;
}

static int
paint(void *unused)
{
    const char *seen = NULL;
    int set;

    (void)unused;
    RILL_TRY(rill_var_set(&color, WORD("red"), NULL));
    set = rill_to_thread(read_color, &seen);
    if (set < 0)
        return set;
    assert_string_equal(seen, "red");
    assert_string_equal(rill_var_get(&color), "red");
    assert_int_equal(set, on_driver("sim") ? 1 : 0);
    return 0;
}

/* mutant: tasks/variable.c
 * - return rill__job_variable(var);
 * + return var->value; */
static void
test_a_job_sees_the_variables_of_who_asked(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, paint, NULL), 0);
    assert_null(rill_var_get(&color));
}

/* ---- threads ---- */

static bool
three_have_begun(void *unused)
{
    (void)unused;
    return atomic_load(&begun) == 3;
}

/* Those that are idle do it. */
static void
have_it_do_one(told *t)
{
    while (stats_of(pool).idle < stats_of(pool).threads)
        assert_true(harness_turn(&h) >= 0);
    t->over = false;
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, t, NULL), 0);
    harness_until(&h, flag_is_set, &t->over);
}

/* mutant: tasks/executor.c
 * - if (rc == 0 && executor->idle <= executor->queued && executor->threads < executor->threads_max)
 * + if (rc == 0 && executor->threads < executor->threads_max) */
static void
test_threads_are_started_as_jobs_wait_and_are_kept(void **unused)
{
    told t[5] = { { .over = false } };

    (void)unused;
    make_pool(3);
    assert_int_equal(stats_of(pool).threads, 0);
    for (int i = 0; i < 3; i++)
        have_it_do_one(&t[0]);
    assert_int_equal(stats_of(pool).threads, 1);
    t[0].over = false;
    for (size_t i = 0; i < 5; i++)
        assert_code(
            rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &t[i], NULL), 0);
    harness_until(&h, three_have_begun, NULL);
    assert_int_equal(stats_of(pool).threads, 3);
    assert_int_equal(stats_of(pool).queued, 2);
    gate_open(&door);
    for (size_t i = 0; i < 5; i++)
        harness_until(&h, flag_is_set, &t[i].over);
    assert_int_equal(stats_of(pool).ended, 8);
    for (int i = 0; i < 20; i++)
        have_it_do_one(&t[0]);
    assert_int_equal(stats_of(pool).threads, 3);
}

/* mutant: tasks/executor.c
 * - return executor->queued + executor->own >= executor->queue_max ? RILL_EFULL : 0;
 * + return executor->queued + executor->own > executor->queue_max ? RILL_EFULL : 0; */
static void
test_a_full_queue_refuses(void **unused)
{
    told t[3] = { { .over = false } };

    (void)unused;
    assert_code(
        rill_executor_new(RILL_EXECUTOR_OPTIONS(.threads_max = 1, .queue_max = 2), &pool), 0);
    if (!on_driver("sim")) {
        assert_code(
            rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &t[0], NULL), 0);
        gate_expect(&door, 1);
    }
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &t[1], NULL), 0);
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &t[2], NULL), 0);
    assert_code(
        rill_run_in_executor_start(h.loop, pool, seven, NULL, note, NULL, NULL), RILL_EFULL);
    expect_last_error(&h, RILL_EFULL, "the queue is full");
    gate_open(&door);
    harness_until(&h, flag_is_set, &t[2].over);
}

/* mutant: tasks/executor.c
 * - if (rc == -EAGAIN && executor->threads > 0)
 * + if (rc == -EAGAIN) */
static void
test_a_first_thread_that_cannot_be_started_is_an_error_a_later_one_is_not(void **unused)
{
    told first = { .over = false }, second = { .over = false };

    (void)unused;
    make_pool(2);
    atomic_store(&threads_refused, true);
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &first, NULL), -EAGAIN);
    atomic_store(&threads_refused, false);
    assert_code(
        rill_run_in_executor_start(h.loop, pool, wait_at_the_door, NULL, note, &first, NULL), 0);
    gate_expect(&door, 1);
    atomic_store(&threads_refused, true);
    assert_code(rill_run_in_executor_start(h.loop, pool, seven, NULL, note, &second, NULL), 0);
    gate_open(&door);
    harness_until(&h, flag_is_set, &second.over);
    assert_int_equal(stats_of(pool).threads, 1);
}

static int
look_at_the_thread(void *arg)
{
    sigset_t mask;
    char *name = arg;

    prctl(PR_GET_NAME, name);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
           sigismember(&mask, SIGUSR1) == 1;
}

/* mutant: core/driver/linux/thread.c
 * - (void)pthread_sigmask(SIG_SETMASK, &all, &before);
 * + (void)pthread_sigmask(SIG_SETMASK, NULL, &before); */
static void
test_its_threads_have_names_and_no_signals(void **unused)
{
    char name[16] = "";
    told t = { .over = false };

    (void)unused;
    assert_code(rill_executor_new(RILL_EXECUTOR_OPTIONS(.name = "hashers"), &pool), 0);
    assert_code(
        rill_run_in_executor_start(h.loop, pool, look_at_the_thread, name, note, &t, NULL), 0);
    harness_until(&h, flag_is_set, &t.over);
    assert_code(t.rc, 1);
    assert_string_equal(name, "hashers-1");
}

/* mutant: tasks/job.c
 * - loop->tasks->executor = executor; */
static void
test_the_executor_of_a_loop_can_be_set_before_it_makes_its_own(void **unused)
{
    told t = { .over = false };

    (void)unused;
    make_pool(1);
    assert_code(rill_loop_set_executor(h.loop, pool), 0);
    assert_code(rill_run_in_executor_start(h.loop, NULL, seven, NULL, note, &t, NULL), 0);
    harness_until(&h, flag_is_set, &t.over);
    assert_int_equal(stats_of(pool).ended, 1);
    harness_close(&h);
    harness_open(&h);
    t.over = false;
    assert_code(rill_run_in_executor_start(h.loop, NULL, seven, NULL, note, &t, NULL), 0);
    assert_code(rill_loop_set_executor(h.loop, pool), RILL_EBUSY);
    harness_until(&h, flag_is_set, &t.over);
    assert_int_equal(stats_of(pool).ended, 1);
}

static int
ask_a_thousand_times(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        int rc = rill_run_in_executor(pool, seven, NULL);

        if (rc != 7)
            return rc;
    }
    return 7;
}

static void *
run_another_loop(void *ret)
{
    rill_runner *runner;

    *(int *)ret = rill_runner_new(NULL, NULL, &runner);
    if (*(int *)ret < 0)
        return NULL;
    *(int *)ret = rill_runner_run(runner, ask_a_thousand_times, NULL);
    (void)rill_runner_free(runner, RILL_S);
    return NULL;
}

/* mutant: tasks/executor.c @ run_job
 * - executor->ended++; */
static void
test_an_executor_serves_loops_of_several_threads(void **unused)
{
    static int theirs;

    (void)unused;
    make_pool(3);
    assert_int_equal(pthread_create(&other_thread, NULL, run_another_loop, &theirs), 0);
    other_runs = true;
    assert_code(tasks_run(&h, ask_a_thousand_times, NULL), 7);
    pthread_join(other_thread, NULL);
    other_runs = false;
    assert_code(theirs, 7);
    assert_int_equal(stats_of(pool).ended, 2000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_task_gets_what_its_job_returned),
        CASE(test_a_job_runs_on_another_thread_than_the_loop),
        CASE(test_done_runs_on_the_loop_with_the_result),
        CASE(test_a_job_that_says_canceled_does_not_cancel_its_caller),
        CASE(test_a_job_is_no_task),
        CASE_ON("kernel", test_the_loop_goes_on_while_a_job_blocks),
        CASE(test_jobs_begin_in_the_order_of_asking),
        CASE_ON("sim", test_on_the_simulator_a_job_runs_in_a_later_turn),
        CASE(test_a_job_that_has_not_begun_is_dropped_by_a_cancel),
        CASE_ON("kernel", test_a_job_that_has_begun_cannot_be_canceled),
        CASE_ON("kernel", test_a_canceled_caller_waits_for_its_job_and_keeps_the_result),
        CASE(test_a_canceled_caller_of_a_job_not_begun_is_let_go_and_it_never_begins),
        CASE(test_a_canceled_task_begins_no_job),
        CASE_ON("kernel", test_there_is_no_verdict_of_a_deadlock_while_a_job_is_under_way),
        CASE(test_there_is_one_when_the_last_job_has_arrived),
        CASE(test_a_job_sees_the_variables_of_who_asked),
        CASE_ON("kernel", test_threads_are_started_as_jobs_wait_and_are_kept),
        CASE(test_a_full_queue_refuses),
        CASE_ON(
            "kernel", test_a_first_thread_that_cannot_be_started_is_an_error_a_later_one_is_not),
        CASE_ON("kernel", test_its_threads_have_names_and_no_signals),
        CASE(test_the_executor_of_a_loop_can_be_set_before_it_makes_its_own),
        CASE_ON("kernel", test_an_executor_serves_loops_of_several_threads),
    };

    return run_cases(tests);
}
