/* timeout: 120 */
/*
 * SIGINT and a run: the first one cancels the main task, the second one ends the program, and
 * whoever has an action of his own keeps it. Each case is a process of its own.
 */
#include "tasks.h"
#include "threads.h"

#include "child.h"

#include <signal.h>
#include <unistd.h>

#include <rill/signal.h>

static volatile sig_atomic_t own_calls;

static void
own_handler(int signo)
{
    (void)signo;
    own_calls++;
}

static void (*action_of(int signo))(int)
{
    struct sigaction action;

    (void)sigaction(signo, NULL, &action);
    return action.sa_handler;
}

static void
interrupt(void *unused)
{
    (void)unused;
    raise(SIGINT);
}

/* In a child that was started with SIGINT as a shell would have it. */
static void
run(int (*fn)(void *arg), child_result *ret)
{
    struct sigaction before;

    sigaction(SIGINT, &(struct sigaction){ .sa_handler = SIG_DFL }, &before);
    child_run(fn, NULL, ret);
    sigaction(SIGINT, &before, NULL);
}

static void
expect_good(int (*fn)(void *arg))
{
    child_result result;

    run(fn, &result);
    if (result.exit_code != 0)
        fail_msg("exit code %d, signal %d: %s", result.exit_code, result.signal, result.text);
}

static void
expect_death(int (*fn)(void *arg))
{
    child_result result;

    run(fn, &result);
    if (result.signal != SIGINT)
        fail_msg("exit code %d, signal %d: %s", result.exit_code, result.signal, result.text);
}

/* ---- the first one ---- */

static int awaited, canceled, why_was_sigint;

static int
wait_for_a_future(void *unused)
{
    rill_future *future;
    const char *why;

    (void)unused;
    RILL_TRY(rill_future_new(rill_loop_running(), &future));
    RILL_TRY(rill_call_later(rill_loop_running(), RILL_MS, interrupt, NULL, NULL));
    awaited = rill_await(future, NULL);
    canceled = rill_future_is_canceled(future);
    why = rill_task_why(rill_current_task());
    why_was_sigint = why != NULL && strcmp(why, "SIGINT") == 0;
    rill_future_unref(future);
    return awaited;
}

static int
be_interrupted_in_an_await(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(wait_for_a_future, NULL) == RILL_EINTERRUPTED);
    CHILD_CHECK(awaited == RILL_ECANCELED);
    CHILD_CHECK(canceled);
    CHILD_CHECK(why_was_sigint);
    CHILD_CHECK(action_of(SIGINT) == SIG_DFL);
    return 0;
}

/* mutant: tasks/runner.c
 * - rc = sigint.told && task->cancels <= 1 ? RILL_EINTERRUPTED : RILL_ECANCELED;
 * + rc = RILL_ECANCELED; */
static void
test_the_first_one_cancels_the_main_task_and_what_it_awaits(void **unused)
{
    (void)unused;
    expect_good(be_interrupted_in_an_await);
}

static int
spin(void *unused)
{
    int rc = 0;

    (void)unused;
    RILL_TRY(rill_call_later(rill_loop_running(), RILL_MS, interrupt, NULL, NULL));
    while (rc == 0)
        rc = rill_yield();
    return rc;
}

static int
be_interrupted_while_spinning(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(spin, NULL) == RILL_EINTERRUPTED);
    return 0;
}

/* mutant: core/loop.c
 * - if (RILL__UNLIKELY(rill__mail_is_there(loop)))
 * + if (rill__loop_ready(loop) == 0 && rill__mail_is_there(loop)) */
static void
test_a_main_task_that_only_yields_is_interrupted(void **unused)
{
    (void)unused;
    expect_good(be_interrupted_while_spinning);
}

static int
raise_and_wait(void *unused)
{
    (void)unused;
    raise(SIGINT);
    return rill_sleep(3600 * RILL_S);
}

static int
be_interrupted_from_inside(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(raise_and_wait, NULL) == RILL_EINTERRUPTED);
    return 0;
}

/* mutant: tasks/runner.c
 * - self->told = true;
 * + ; */
static void
test_one_that_the_main_task_raises_itself(void **unused)
{
    (void)unused;
    expect_good(be_interrupted_from_inside);
}

static int
be_canceled_twice(void *unused)
{
    rill_scope shield;

    (void)unused;
    raise(SIGINT);
    (void)rill_task_cancel(rill_current_task(), "somebody else");
    rill_shield_begin(&shield, RILL_S);
    RILL_IGNORE(rill_scope_end(&shield, rill_sleep(10 * RILL_MS))); /* SIGINT arrives meanwhile. */
    CHILD_CHECK(rill_task_cancelling(rill_current_task()) == 2);
    return RILL_ECANCELED;
}

static int
be_interrupted_and_canceled(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(be_canceled_twice, NULL) == RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/runner.c
 * - rc = sigint.told && task->cancels <= 1 ? RILL_EINTERRUPTED : RILL_ECANCELED;
 * + rc = sigint.told ? RILL_EINTERRUPTED : RILL_ECANCELED; */
static void
test_with_a_cancel_by_somebody_else_it_counts_as_canceled(void **unused)
{
    (void)unused;
    expect_good(be_interrupted_and_canceled);
}

static int
take_the_cancel_back(void *unused)
{
    (void)unused;
    raise(SIGINT);
    if (rill_sleep(3600 * RILL_S) != RILL_ECANCELED)
        return 1;
    (void)rill_task_uncancel(rill_current_task());
    RILL_TRY(rill_sleep(RILL_MS));
    return 4;
}

static int
go_on_after_it(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(take_the_cancel_back, NULL) == 4);
    return 0;
}

/* mutant: tasks/runner.c
 * - if (!self->told)
 * + if (true) */
static void
test_a_main_task_may_live_on_after_it(void **unused)
{
    (void)unused;
    expect_good(go_on_after_it);
}

static int
interrupt_each_run(void *unused)
{
    rill_runner *runner;

    (void)unused;
    CHILD_CHECK(rill_runner_new(NULL, NULL, &runner) == 0);
    CHILD_CHECK(rill_runner_run(runner, raise_and_wait, NULL) == RILL_EINTERRUPTED);
    CHILD_CHECK(action_of(SIGINT) == SIG_DFL);
    CHILD_CHECK(rill_runner_run(runner, raise_and_wait, NULL) == RILL_EINTERRUPTED);
    CHILD_CHECK(rill_runner_free(runner, RILL_S) == 0);
    return 0;
}

/* mutant: core/driver/linux/signal.c
 * - atomic_store(&interrupts, 0); */
static void
test_each_run_of_a_runner_has_its_own_first_one(void **unused)
{
    (void)unused;
    expect_good(interrupt_each_run);
}

/* ---- the second one ---- */

static int
raise_twice(void *unused)
{
    (void)unused;
    raise(SIGINT);
    raise(SIGINT); /* It never waits: nobody could have canceled it. */
    _exit(9);      /* Too late: it must not come to this. */
}

static int
run_raise_twice(void *unused)
{
    (void)unused;
    return rill_run(raise_twice, NULL) == 0 ? 0 : 1;
}

/* mutant: core/driver/linux/signal.c
 * - if (watch != NULL && atomic_fetch_add(&interrupts, 1) == 0) {
 * + if (watch != NULL) { */
static void
test_the_second_one_ends_the_program_even_if_the_task_never_waits(void **unused)
{
    (void)unused;
    expect_death(run_raise_twice);
}

static int
raise_and_return(void *unused)
{
    (void)unused;
    raise(SIGINT);
    return 3;
}

static int
run_raise_and_return(void *unused)
{
    (void)unused;
    return rill_run(raise_and_return, NULL) == 3 ? 0 : 1;
}

/* mutant: tasks/runner.c
 * - rill__host_raise(SIGINT);
 * + ; */
static void
test_one_that_comes_too_late_for_the_task_ends_the_program(void **unused)
{
    (void)unused;
    expect_death(run_raise_and_return);
}

static int
return_five(void *unused)
{
    (void)unused;
    return 5;
}

static int
raise_after_the_run(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(return_five, NULL) == 5);
    CHILD_CHECK(action_of(SIGINT) == SIG_DFL);
    raise(SIGINT);
    return 0;
}

/* mutant: core/driver/linux/signal.c @ rill__host_interrupt_end
 * - (void)sigaction(SIGINT, &before_interrupt, NULL);
 * + (void)watch; */
static void
test_after_the_run_it_does_what_it_did_before(void **unused)
{
    (void)unused;
    expect_death(raise_after_the_run);
}

/* ---- those who have an action of their own ---- */

static int
raise_and_go_on(void *unused)
{
    (void)unused;
    raise(SIGINT);
    RILL_TRY(rill_sleep(RILL_MS));
    return 6;
}

static int
run_with_a_handler(void *unused)
{
    (void)unused;
    signal(SIGINT, own_handler);
    CHILD_CHECK(rill_run(raise_and_go_on, NULL) == 6);
    CHILD_CHECK(own_calls == 1);
    CHILD_CHECK(action_of(SIGINT) == own_handler);
    return 0;
}

static int
run_ignoring_it(void *unused)
{
    (void)unused;
    signal(SIGINT, SIG_IGN);
    CHILD_CHECK(rill_run(raise_and_go_on, NULL) == 6);
    CHILD_CHECK(action_of(SIGINT) == SIG_IGN);
    return 0;
}

/* mutant: core/driver/linux/signal.c
 * - if (atomic_load(&interrupted) == NULL && is_default(SIGINT)) {
 * + if (atomic_load(&interrupted) == NULL) { */
static void
test_a_program_that_has_another_action_keeps_it(void **unused)
{
    (void)unused;
    expect_good(run_with_a_handler);
    expect_good(run_ignoring_it);
}

static int
set_a_handler(void *unused)
{
    (void)unused;
    signal(SIGINT, own_handler);
    return raise_and_go_on(NULL);
}

static int
set_a_handler_in_the_run(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(set_a_handler, NULL) == 6);
    CHILD_CHECK(own_calls == 1);
    CHILD_CHECK(action_of(SIGINT) == own_handler);
    return 0;
}

/* mutant: core/driver/linux/signal.c @ rill__host_interrupt_end
 * - if (is_ours(SIGINT, on_interrupt))
 * + if (true) */
static void
test_an_action_that_is_set_during_the_run_stays(void **unused)
{
    (void)unused;
    expect_good(set_a_handler_in_the_run);
}

static int
wait_for_it(void *unused)
{
    static const int signals[] = { SIGINT };

    (void)unused;
    RILL_TRY(rill_call_later(rill_loop_running(), RILL_MS, interrupt, NULL, NULL));
    return rill_signal_wait(signals, 1);
}

static int
wait_for_it_in_the_run(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(wait_for_it, NULL) == SIGINT);
    CHILD_CHECK(action_of(SIGINT) == SIG_DFL);
    return 0;
}

/* The loop's watch outlives the run by a moment: what it puts back is not the run's.
 *
 * mutant: core/driver/linux/signal.c
 * - else if (users[SIGINT] != 0 && previous[SIGINT].sa_handler == on_interrupt)
 * + else if (false) */
static void
test_a_task_that_waits_for_it_has_it_instead(void **unused)
{
    (void)unused;
    expect_good(wait_for_it_in_the_run);
}

static void *
run_elsewhere(void *ret)
{
    *(int *)ret = rill_run(raise_and_go_on, NULL);
    return NULL;
}

static int
run_in_another_thread(void *unused)
{
    pthread_t thread;
    int rc = 0;

    (void)unused;
    if (pthread_create(&thread, NULL, run_elsewhere, &rc) != 0)
        return 1;
    pthread_join(thread, NULL);
    return rc == 6 ? 0 : 2;
}

/* mutant: core/driver/linux/signal.c
 * - if (!rill__host_is_first_thread())
 * + if (false) */
static void
test_in_another_thread_than_the_first_nothing_is_caught(void **unused)
{
    (void)unused;
    expect_death(run_in_another_thread);
}

static int
wait_in_vain(void *unused)
{
    rill_future *future;
    int rc;

    (void)unused;
    RILL_TRY(rill_future_new(rill_loop_running(), &future));
    rc = rill_await(future, NULL);
    rill_future_unref(future);
    return rc;
}

static int
run_wait_in_vain(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_run(wait_in_vain, NULL) == RILL_EDEADLK);
    return 0;
}

/* mutant: tasks/runner.c
 * - self->installed = rill__host_interrupt_begin(&self->watch);
 * + self->installed = rill__host_interrupt_begin(&self->watch);
 * + rill_loop_hold(task->future.loop); */
static void
test_that_it_is_caught_is_no_reason_to_wait_for_ever(void **unused)
{
    (void)unused;
    expect_good(run_wait_in_vain);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_one_cancels_the_main_task_and_what_it_awaits),
        cmocka_unit_test(test_a_main_task_that_only_yields_is_interrupted),
        cmocka_unit_test(test_one_that_the_main_task_raises_itself),
        cmocka_unit_test(test_with_a_cancel_by_somebody_else_it_counts_as_canceled),
        cmocka_unit_test(test_a_main_task_may_live_on_after_it),
        cmocka_unit_test(test_each_run_of_a_runner_has_its_own_first_one),
        cmocka_unit_test(test_the_second_one_ends_the_program_even_if_the_task_never_waits),
        cmocka_unit_test(test_one_that_comes_too_late_for_the_task_ends_the_program),
        cmocka_unit_test(test_after_the_run_it_does_what_it_did_before),
        cmocka_unit_test(test_a_program_that_has_another_action_keeps_it),
        cmocka_unit_test(test_an_action_that_is_set_during_the_run_stays),
        cmocka_unit_test(test_a_task_that_waits_for_it_has_it_instead),
        cmocka_unit_test(test_in_another_thread_than_the_first_nothing_is_caught),
        cmocka_unit_test(test_that_it_is_caught_is_no_reason_to_wait_for_ever),
    };

    return run_cases(tests);
}
