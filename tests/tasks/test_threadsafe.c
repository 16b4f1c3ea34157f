/* timeout: 120 */
/*
 * Tasks that other threads start: they wake a sleeping loop, their results and cancels cross
 * threads, and the end of a loop is told. A simulated world does not wait for other threads: there
 * only cases are run that need none.
 */
#include "tasks.h"
#include "threads.h"

#include "child.h"

#include <unistd.h>

#include <rill/threads.h>

/* A foreign thread and what it is to do; the loop runs in the test's thread until it has ended. */
typedef struct foreigner {
    pthread_t thread;
    int (*fn)(void *arg);
    int rc;
    atomic_bool ended;
} foreigner;

static harness h;
static atomic_int began;
static rill_runner *runner;
static rill_cfuture *kept; /* For who goes wrong in the middle. */
static gate door = GATE;

static int
setup(void **unused)
{
    (void)unused;
    atomic_store(&began, 0);
    kept = NULL;
    runner = NULL;
    gate_close(&door);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    gate_open(&door);
    atomic_store(&began, 0); /* The endless may end. */
    rill_cfuture_free(kept);
    (void)rill_runner_free(runner, RILL_S);
    if (h.loop != NULL)
        harness_close(&h);
    return 0;
}

static void
stop_the_loop(void *unused)
{
    (void)unused;
    harness_poke(&h);
}

static void *
be_foreign(void *arg)
{
    foreigner *self = arg;

    self->rc = self->fn(NULL);
    atomic_store(&self->ended, true);
    (void)rill_call_soon_threadsafe(h.loop, stop_the_loop, NULL);
    return NULL;
}

static bool
has_ended(void *arg)
{
    return atomic_load(&((foreigner *)arg)->ended);
}

/* Run `fn` in another thread, and the loop until it has ended: what it returned. */
static int
elsewhere(int (*fn)(void *arg))
{
    foreigner f = { .fn = fn };

    atomic_store(&f.ended, false);
    assert_int_equal(pthread_create(&f.thread, NULL, be_foreign, &f), 0);
    harness_until(&h, has_ended, &f);
    pthread_join(f.thread, NULL);
    return f.rc;
}

static int
spawn_and_wait(rill_fn fn, void *arg, const rill_task_options *options, rill_ns timeout)
{
    rill_cfuture *cfuture;
    int rc = rill_spawn_threadsafe(h.loop, fn, arg, options, &cfuture);

    if (rc < 0)
        return rc;
    rc = rill_cfuture_wait(cfuture, timeout);
    rill_cfuture_free(cfuture);
    return rc;
}

/* ---- tasks ---- */

static int
answer(void *number)
{
    atomic_fetch_add(&began, 1);
    RILL_TRY(rill_sleep(RILL_MS));
    return *(int *)number;
}

static int
sleep_long(void *unused)
{
    (void)unused;
    atomic_fetch_add(&began, 1);
    return rill_sleep(3600 * RILL_S);
}

static int
break_down(void *unused)
{
    (void)unused;
    return RILL_EBROKEN;
}

/* ---- results ---- */

static int
ask(void *unused)
{
    int number = 42;

    (void)unused;
    return spawn_and_wait(answer, &number, NULL, RILL_NEVER);
}

/* mutant: tasks/threads.c
 * - self->code = code == RILL_EREVOKED && self->canceled ? RILL_ECANCELED : code; */
static void
test_the_result_of_a_task_comes_back_to_the_thread_that_asked(void **unused)
{
    (void)unused;
    assert_code(elsewhere(ask), 42);
}

static int
ask_what_fails(void *unused)
{
    (void)unused;
    return spawn_and_wait(break_down, NULL, NULL, RILL_NEVER);
}

/* mutant: tasks/threads.c
 * - self->code = code == RILL_EREVOKED && self->canceled ? RILL_ECANCELED : code;
 * + self->code = code < 0 ? RILL_ECANCELED : code; */
static void
test_an_error_of_the_task_comes_back(void **unused)
{
    (void)unused;
    assert_code(elsewhere(ask_what_fails), RILL_EBROKEN);
}

static int
look_at_oneself(void *arg)
{
    int *number = arg;

    return strcmp(rill_task_name(rill_current_task()), "asked") == 0 ? *number : -1;
}

static int
ask_with_copies(void *unused)
{
    char name[] = "asked";
    int number = 9, rc;
    rill_cfuture *cfuture = NULL;

    (void)unused;
    rc = rill_spawn_threadsafe(h.loop, look_at_oneself, &number,
        RILL_TASK_OPTIONS(.name = name, .copy_arg = sizeof(number)), &cfuture);
    memset(name, 'x', sizeof(name) - 1);
    number = 0;
    if (rc == 0)
        rc = rill_cfuture_wait(cfuture, RILL_NEVER);
    if (rc == 9)
        rc = rill_cfuture_wait(cfuture, 0); /* Again, the same. */
    rill_cfuture_free(cfuture);
    return rc;
}

/* mutant: tasks/threads.c
 * - self->options.name = memcpy((char *)place + room, options->name, name_len);
 * + self->options.name = memcpy((char *)place + room, options->name, name_len - 1); */
static void
test_name_and_argument_are_copied_in_the_call(void **unused)
{
    (void)unused;
    assert_code(elsewhere(ask_with_copies), 9);
}

static int
ask_in_vain(void *unused)
{
    (void)unused;
    return rill_spawn_threadsafe(
        h.loop, break_down, NULL, RILL_TASK_OPTIONS(.stack_bytes = (size_t)1 << 30), &kept);
}

static int
ask_for_too_large_a_stack(void *unused)
{
    int rc = ask_in_vain(unused);

    if (rc == 0)
        rc = rill_cfuture_wait(kept, RILL_NEVER);
    return rc;
}

/* mutant: tasks/threads.c
 * - finish(self, rc == RILL_ECLOSED ? RILL_ESHUTDOWN : rc);
 * + finish(self, 0); */
static void
test_a_task_that_cannot_be_made_is_told_as_its_result(void **unused)
{
    (void)unused;
    assert_code(elsewhere(ask_for_too_large_a_stack), RILL_EINVAL);
}

/* ---- timeouts and cancels ---- */

static int
wait_a_moment(void *unused)
{
    int number = 3, rc;

    (void)unused;
    rc = rill_spawn_threadsafe(h.loop, sleep_long, &number, NULL, &kept);
    if (rc == 0)
        rc = rill_cfuture_wait(kept, 5 * RILL_MS);
    if (rc != RILL_ETIMEDOUT || rill_cfuture_is_done(kept) || !rill_cfuture_cancel(kept))
        return 1;
    rc = rill_cfuture_wait(kept, RILL_NEVER);
    return rc == RILL_ECANCELED && rill_cfuture_is_done(kept) && !rill_cfuture_cancel(kept) ? 0 : 2;
}

/* mutant: tasks/threads.c
 * - if (!rill__host_condition_wait(&self->over, &self->lock, deadline) && !self->done)
 * - return RILL_ETIMEDOUT;
 * + if (!rill__host_condition_wait(&self->over, &self->lock, deadline) && !self->done)
 * + return self->done = true, RILL_ETIMEDOUT; */
static void
test_a_timeout_leaves_the_task_running_and_a_cancel_ends_it(void **unused)
{
    (void)unused;
    assert_code(elsewhere(wait_a_moment), 0);
}

static int
end_in_spite(void *unused)
{
    (void)unused;
    RILL_IGNORE(rill_sleep(3600 * RILL_S));
    return 8;
}

static int
cancel_the_stubborn(void *unused)
{
    int rc;

    (void)unused;
    rc = rill_spawn_threadsafe(h.loop, end_in_spite, NULL, NULL, &kept);
    if (rc < 0)
        return rc;
    (void)rill_cfuture_cancel(kept); /* Perhaps before it begins. */
    return rill_cfuture_wait(kept, RILL_NEVER);
}

/* mutant: tasks/threads.c
 * - self->code = code == RILL_EREVOKED && self->canceled ? RILL_ECANCELED : code;
 * + self->code = self->canceled ? RILL_ECANCELED : code; */
static void
test_a_task_that_returns_in_spite_of_the_cancel_is_told_so(void **unused)
{
    (void)unused;
    assert_code(elsewhere(cancel_the_stubborn), 8);
}

static void
cancel_each(rill_task *task, void *unused)
{
    (void)unused;
    (void)rill_task_cancel(task, "here");
}

static void
cancel_all(void *unused)
{
    (void)unused;
    (void)rill_all_tasks(h.loop, cancel_each, NULL);
}

static int
be_revoked(void *unused)
{
    int rc;

    (void)unused;
    rc = rill_spawn_threadsafe(h.loop, sleep_long, NULL, NULL, &kept);
    if (rc < 0)
        return rc;
    (void)rill_call_soon_threadsafe(h.loop, cancel_all, NULL);
    while ((rc = rill_cfuture_wait(kept, RILL_MS)) == RILL_ETIMEDOUT)
        (void)rill_call_soon_threadsafe(h.loop, cancel_all, NULL); /* It had not begun. */
    return rc;
}

/* mutant: tasks/threads.c
 * - self->code = code == RILL_EREVOKED && self->canceled ? RILL_ECANCELED : code;
 * + self->code = code == RILL_EREVOKED ? RILL_ECANCELED : code; */
static void
test_a_cancel_by_somebody_else_is_told_apart(void **unused)
{
    (void)unused;
    assert_code(elsewhere(be_revoked), RILL_EREVOKED);
}

/* ---- where it must not block ---- */

static void
wait_here(void *ret)
{
    *(int *)ret = rill_cfuture_wait(kept, RILL_NEVER);
    harness_poke(&h);
}

static bool
is_set(void *number)
{
    return *(int *)number != 0;
}

static bool
task_has_begun(void *unused)
{
    (void)unused;
    return atomic_load(&began) == 1;
}

static bool
cfuture_is_done(void *unused)
{
    (void)unused;
    return rill_cfuture_is_done(kept);
}

/* It hangs.
 *
 * mutant: tasks/threads.c
 * - if (rill__running != NULL && rill__running == self->loop)
 * + if (false) */
static void
test_the_loops_own_thread_cannot_wait(void **unused)
{
    int rc = 0;

    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, sleep_long, NULL, NULL, &kept), 0);
    assert_code(rill_call_soon(h.loop, wait_here, &rc, NULL), 0);
    harness_until(&h, is_set, &rc);
    assert_code(rc, RILL_EDEADLK);
    harness_until(&h, task_has_begun, NULL);
    assert_true(rill_cfuture_cancel(kept));
    harness_until(&h, cfuture_is_done, NULL);
    rc = 0;
    assert_code(rill_call_soon(h.loop, wait_here, &rc, NULL), 0); /* Now there is no need to. */
    harness_until(&h, is_set, &rc);
    assert_code(rc, RILL_ECANCELED);
}

/* ---- on the thread that asks ---- */

static int
answer_or_be_canceled(void *number)
{
    int rc = rill_sleep(RILL_S);

    return rc < 0 ? rc : *(int *)number;
}

/* As on every driver: what is asked is done in the loop's next turn, and the result stays.
 *
 * mutant: tasks/threads.c @ rill_spawn_threadsafe_site
 * - order(self, ORDER_START);
 * + start(self); */
static void
test_asked_on_its_own_thread_a_task_begins_in_the_next_turn_and_its_result_stays(void **unused)
{
    int number = 4;

    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, answer, &number, NULL, &kept), 0);
    assert_int_equal(atomic_load(&began), 0);
    assert_int_equal(rill_all_tasks(h.loop, NULL, NULL), 0);
    assert_code(rill_cfuture_wait(kept, 0), RILL_ETIMEDOUT);
    harness_until(&h, cfuture_is_done, NULL);
    assert_int_equal(atomic_load(&began), 1);
    for (int i = 0; i < 2; i++)
        assert_code(rill_cfuture_wait(kept, RILL_NEVER), 4);
}

/* mutant: tasks/threads.c @ rill_cfuture_cancel
 * - order(cfuture, ORDER_CANCEL);
 * + (void)0; */
static void
test_a_cancel_is_an_order_too_and_ends_the_task_in_a_later_turn(void **unused)
{
    int number = 4;

    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, answer_or_be_canceled, &number, NULL, &kept), 0);
    assert_int_equal(harness_turn(&h), 1);
    assert_true(rill_cfuture_cancel(kept));
    assert_false(rill_cfuture_is_done(kept));
    for (int i = 0; i < 3; i++)
        (void)harness_turn(&h);
    assert_code(rill_cfuture_wait(kept, 0), RILL_ECANCELED);
    assert_false(rill_cfuture_cancel(kept));
}

/* mutant: tasks/threads.c @ start
 * - finish(self, rc == RILL_ECLOSED ? RILL_ESHUTDOWN : rc);
 * + finish(self, RILL_ESHUTDOWN); */
static void
test_asked_on_its_own_thread_a_task_that_cannot_be_made_is_told_as_its_result_too(void **unused)
{
    (void)unused;
    assert_code(ask_in_vain(NULL), 0);
    harness_until(&h, cfuture_is_done, NULL);
    assert_code(rill_cfuture_wait(kept, 0), RILL_EINVAL);
    assert_int_equal(rill_all_tasks(h.loop, NULL, NULL), 0);
}

/* ---- holds ---- */

static rill_future *waited;

static int
complete(void *unused)
{
    (void)unused;
    return waited != NULL ? rill_future_set_result(waited, NULL) : 0;
}

static void *
complete_from_elsewhere(void *loop)
{
    rill_cfuture *cfuture;

    gate_wait(&door);
    if (rill_spawn_threadsafe(loop, complete, NULL, NULL, &cfuture) == 0)
        rill_cfuture_free(cfuture);
    rill_cfuture_free(kept);
    kept = NULL;
    return NULL;
}

static int
open_and_wait(void *unused)
{
    int rc;

    (void)unused;
    waited = NULL;
    rc = rill_future_new(rill_loop_running(), &waited);
    gate_open(&door);
    if (rc == 0)
        rc = rill_await(waited, NULL);
    rill_future_unref(waited);
    waited = NULL;
    return rc;
}

static int
nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* What a handle that is open may do is not known: the loop sleeps. */
static int
run_with_a_handle(void *unused)
{
    rill_loop *loop = rill_loop_running();
    pthread_t thread;
    int rc;

    (void)unused;
    RILL_TRY(rill_spawn_threadsafe(loop, nothing, NULL, NULL, &kept));
    assert_int_equal(pthread_create(&thread, NULL, complete_from_elsewhere, loop), 0);
    rc = open_and_wait(NULL);
    pthread_join(thread, NULL);
    return rc;
}

/* mutant: tasks/threads.c
 * - rill_loop_hold(loop); */
static void
test_there_is_no_verdict_of_a_deadlock_while_a_cfuture_is_open(void **unused)
{
    (void)unused;
    assert_code(rill_run(run_with_a_handle, NULL), 0);
}

static int
fail_late(void *unused)
{
    (void)unused;
    gate_open(&door);
    RILL_TRY(rill_sleep(20 * RILL_MS));
    return RILL_EBROKEN;
}

static int
free_at_once(void *unused)
{
    rill_cfuture *cfuture;
    int rc = rill_spawn_threadsafe(h.loop, fail_late, NULL, NULL, &cfuture);

    (void)unused;
    if (rc < 0)
        return rc;
    rill_cfuture_free(cfuture);
    gate_wait(&door);
    return 0;
}

static bool
was_reported(void *unused)
{
    (void)unused;
    return h.reports > 0;
}

/* mutant: tasks/threads.c
 * - rill__list_remove(&self->waiter.link); */
static void
test_a_cfuture_freed_early_leaves_the_task_running_and_its_error_is_reported(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    assert_code(elsewhere(free_at_once), 0);
    harness_until(&h, was_reported, NULL);
    assert_int_equal(h.reports, 1);
    assert_code(h.report_code, RILL_EBROKEN);
}

/* ---- the loop's end ---- */

static void *
wait_for_the_end(void *ret)
{
    *(int *)ret = rill_cfuture_wait(kept, RILL_NEVER);
    return NULL;
}

/* mutant: tasks/threads.c
 * - code = RILL_ESHUTDOWN;
 * + ; */
static void
test_the_end_of_the_loop_fails_what_is_pending(void **unused)
{
    pthread_t thread;
    int rc = 0;

    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, sleep_long, NULL, NULL, &kept), 0);
    harness_until(&h, task_has_begun, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_the_end, &rc), 0);
    harness_close_with(&h, 1);
    pthread_join(thread, NULL);
    assert_code(rc, RILL_ESHUTDOWN);
    assert_false(rill_cfuture_cancel(kept));
    assert_code(rill_cfuture_wait(kept, RILL_NEVER), RILL_ESHUTDOWN);
}

/* mutant: tasks/threads.c
 * - finish(self, rc == RILL_ECLOSED ? RILL_ESHUTDOWN : rc);
 * + finish(self, rc); */
static void
test_a_task_that_the_loop_never_began_is_told_of_its_end(void **unused)
{
    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, sleep_long, NULL, NULL, &kept), 0);
    harness_close_with(&h, 0);
    assert_code(rill_cfuture_wait(kept, RILL_NEVER), RILL_ESHUTDOWN);
    assert_int_equal(atomic_load(&began), 0);
}

static int
spawn_and_return(void *unused)
{
    (void)unused;
    RILL_TRY(rill_spawn_threadsafe(rill_loop_running(), sleep_long, NULL, NULL, &kept));
    while (atomic_load(&began) == 0)
        RILL_TRY(rill_yield());
    return 0;
}

/* mutant: tasks/threads.c
 * - (loop->freeing || loop->tasks->stop_when_none))
 * + loop->freeing) */
static void
test_the_end_of_a_run_fails_what_is_pending(void **unused)
{
    (void)unused;
    assert_code(rill_run(spawn_and_return, NULL), 0);
    assert_code(rill_cfuture_wait(kept, RILL_NEVER), RILL_ESHUTDOWN);
}

static int
never_end(void *unused)
{
    (void)unused;
    atomic_fetch_add(&began, 1);
    while (atomic_load(&began) > 0)
        RILL_IGNORE(rill_sleep(3600 * RILL_S));
    return 0;
}

static int
spawn_the_endless(void *unused)
{
    (void)unused;
    RILL_TRY(rill_spawn_threadsafe(h.loop, never_end, NULL, NULL, &kept));
    while (atomic_load(&began) == 0)
        RILL_TRY(rill_yield());
    return 0;
}

/* mutant: tasks/threads.c
 * - finish(self, RILL_ESHUTDOWN);
 * + finish(self, RILL_EREVOKED); */
static void
test_a_task_that_was_given_up_counts_as_shut_down(void **unused)
{
    size_t left;

    (void)unused;
    h.log_allowed = true;
    assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_code(rill_runner_run(runner, spawn_the_endless, NULL), 0);
    left = rill_runner_free(runner, RILL_MS);
    runner = NULL;
    assert_int_equal(left, 1);
    assert_code(rill_cfuture_wait(kept, 0), RILL_ETIMEDOUT);
    (void)rill_loop_free(h.loop);
    h.loop = NULL;
    assert_code(rill_cfuture_wait(kept, RILL_NEVER), RILL_ESHUTDOWN);
}

/* ---- many, and fork ---- */

#define MANY 300

static int
ask_many_times(void *unused)
{
    (void)unused;
    for (int i = 0; i < MANY; i++) {
        int rc = spawn_and_wait(nothing, NULL, NULL, RILL_NEVER);

        if (rc != 0)
            return rc;
    }
    return 0;
}

/* mutant: tasks/threads.c @ on_end
 * - rill_task_unref(task); */
static void
test_many_tasks_from_two_threads(void **unused)
{
    foreigner f[2] = { { .fn = ask_many_times }, { .fn = ask_many_times } };

    (void)unused;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&f[i].thread, NULL, be_foreign, &f[i]), 0);
    for (int i = 0; i < 2; i++) {
        harness_until(&h, has_ended, &f[i]);
        pthread_join(f[i].thread, NULL);
    }
    assert_code(f[0].rc, 0);
    assert_code(f[1].rc, 0);
}

static int
use_the_parents(void *unused)
{
    rill_cfuture *cfuture;

    (void)unused;
    CHILD_CHECK(rill_cfuture_wait(kept, 0) == RILL_EFORK);
    CHILD_CHECK(!rill_cfuture_cancel(kept));
    CHILD_CHECK(rill_spawn_threadsafe(h.loop, nothing, NULL, NULL, &cfuture) == RILL_EFORK);
    rill_cfuture_free(kept);
    return 0;
}

/* mutant: tasks/threads.c @ rill_cfuture_wait
 * - if (cfuture->fork_generation != rill__fork_generation)
 * + if (false) */
static void
test_a_child_cannot_use_those_of_its_parent(void **unused)
{
    child_result result;

    (void)unused;
    assert_code(rill_spawn_threadsafe(h.loop, nothing, NULL, NULL, &kept), 0);
    child_run(use_the_parents, NULL, &result);
    assert_string_equal(result.text, "");
    assert_int_equal(result.exit_code, 0);
    harness_until(&h, cfuture_is_done, NULL);
    assert_code(rill_cfuture_wait(kept, 0), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_ON("kernel", test_the_result_of_a_task_comes_back_to_the_thread_that_asked),
        CASE_ON("kernel", test_an_error_of_the_task_comes_back),
        CASE_ON("kernel", test_name_and_argument_are_copied_in_the_call),
        CASE_ON("kernel", test_a_task_that_cannot_be_made_is_told_as_its_result),
        CASE_ON("kernel", test_a_timeout_leaves_the_task_running_and_a_cancel_ends_it),
        CASE_ON("kernel", test_a_task_that_returns_in_spite_of_the_cancel_is_told_so),
        CASE_ON("kernel", test_a_cancel_by_somebody_else_is_told_apart),
        CASE(test_the_loops_own_thread_cannot_wait),
        CASE(test_asked_on_its_own_thread_a_task_begins_in_the_next_turn_and_its_result_stays),
        CASE(test_a_cancel_is_an_order_too_and_ends_the_task_in_a_later_turn),
        CASE(test_asked_on_its_own_thread_a_task_that_cannot_be_made_is_told_as_its_result_too),
        CASE_ON("kernel", test_there_is_no_verdict_of_a_deadlock_while_a_cfuture_is_open),
        CASE_ON(
            "kernel", test_a_cfuture_freed_early_leaves_the_task_running_and_its_error_is_reported),
        CASE(test_the_end_of_the_loop_fails_what_is_pending),
        CASE(test_a_task_that_the_loop_never_began_is_told_of_its_end),
        CASE(test_the_end_of_a_run_fails_what_is_pending),
        CASE(test_a_task_that_was_given_up_counts_as_shut_down),
        CASE_ON("kernel", test_many_tasks_from_two_threads),
        CASE(test_a_child_cannot_use_those_of_its_parent),
    };

    return run_cases(tests);
}
