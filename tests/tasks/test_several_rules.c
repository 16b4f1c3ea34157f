/*
 * Several futures whose completions and cancels meet in one turn, and futures that go while they
 * are waited for. All is done by hand: nothing here depends on how long anything takes.
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

/* A task that makes one call for some futures, and what came of that and of the next wait. */
typedef struct waiter {
    int (*call)(struct waiter *self);
    rill_future *futures[4];
    size_t count;
    int rc;
    int after;
    bool done;
    rill_task *task;
} waiter;

static int
run_waiter(void *arg)
{
    waiter *self = arg;

    self->rc = self->call(self);
    self->after = rill_checkpoint();
    self->done = true;
    return 0;
}

static void
waiter_start(waiter *self, size_t count)
{
    self->count = count;
    self->done = false;
    for (size_t i = 0; i < count; i++)
        assert_code(rill_future_new(h.loop, &self->futures[i]), 0);
    assert_code(rill_spawn_on(h.loop, run_waiter, self, NULL, &self->task), 0);
    assert_int_equal(harness_turn(&h), 1);
    assert_false(self->done);
}

static void
waiter_end(waiter *self)
{
    assert_true(self->done);
    for (size_t i = 0; i < self->count; i++) {
        if (self->futures[i] != NULL)
            RILL_IGNORE(rill_future_result(self->futures[i], NULL));
        rill_future_unref(self->futures[i]);
    }
    rill_task_unref(self->task);
}

static void
let_it_run(void)
{
    while (harness_turn(&h) > 0)
        continue;
}

static int
gather(waiter *self)
{
    return rill_gather(self->futures, self->count);
}

static int
wait_for_first(waiter *self)
{
    return rill_wait(self->futures, self->count, RILL_FIRST_DONE, RILL_NEVER);
}

static int
wait_for_error(waiter *self)
{
    return rill_wait(self->futures, self->count, RILL_FIRST_ERROR, RILL_NEVER);
}

static int
wait_for_all(waiter *self)
{
    return rill_wait(self->futures, self->count, RILL_ALL_DONE, RILL_NEVER);
}

static int
await_shared(waiter *self)
{
    return rill_await_shared(self->futures[0], NULL);
}

/* ---- in one turn ---- */

/* mutant: tasks/several.c @ rill_gather
 * - return rc == RILL_EREVOKED && fiber->canceled ? RILL_ECANCELED : rc;
 * + return fiber->canceled ? RILL_ECANCELED : rc; */
static void
test_a_gather_canceled_after_all_were_done_has_its_results_and_the_next_wait_is_told(void **unused)
{
    waiter w = { .call = gather };

    (void)unused;
    waiter_start(&w, 2);
    assert_code(rill_future_set_result(w.futures[0], NULL), 0);
    assert_code(rill_future_set_result(w.futures[1], NULL), 0);
    assert_true(rill_task_cancel(w.task, NULL)); /* It is awake, and has not run. */
    let_it_run();
    assert_code(w.rc, 0);
    assert_code(w.after, RILL_ECANCELED);
    assert_false(rill_future_is_canceled(w.futures[0]));
    waiter_end(&w);
}

/* mutant: tasks/several.c @ on_cancel
 * - if (self->insists) {
 * + if (false) { */
static void
test_a_gather_canceled_with_some_done_cancels_the_rest_and_keeps_the_first_error(void **unused)
{
    waiter w = { .call = gather };

    (void)unused;
    waiter_start(&w, 3);
    assert_code(rill_future_set_error(w.futures[1], -EIO), 0);
    assert_true(rill_task_cancel(w.task, NULL));
    assert_true(rill_future_is_canceled(w.futures[0]));
    assert_true(rill_future_is_canceled(w.futures[2]));
    let_it_run();
    assert_code(w.rc, RILL_ECANCELED); /* By index, and its own cancel. */
    waiter_end(&w);
}

/* mutant: tasks/several.c @ complete
 * - self->done++;
 * + self->done += self->done == 0 || self->ones != self->few || self->waiting; */
static void
test_a_wait_for_the_first_counts_two_that_are_done_in_one_turn(void **unused)
{
    waiter w = { .call = wait_for_first };

    (void)unused;
    waiter_start(&w, 3);
    assert_code(rill_future_set_result(w.futures[2], NULL), 0);
    assert_code(rill_future_set_result(w.futures[0], NULL), 0);
    let_it_run();
    assert_code(w.rc, 2);
    assert_false(rill_future_is_done(w.futures[1]));
    waiter_end(&w);
}

/* mutant: tasks/several.c @ complete
 * - self->failed += o->future->state == RILL__FAILED;
 * + self->failed += o->future->state != RILL__DONE; */
static void
test_a_wait_for_an_error_goes_on_at_a_result_and_a_cancel_and_ends_at_an_error(void **unused)
{
    waiter w = { .call = wait_for_error };

    (void)unused;
    waiter_start(&w, 4);
    assert_code(rill_future_set_result(w.futures[0], NULL), 0);
    assert_true(rill_future_cancel(w.futures[1]));
    let_it_run();
    assert_false(w.done);
    assert_code(rill_future_set_error(w.futures[2], -EIO), 0);
    let_it_run();
    assert_code(w.rc, 3);
    assert_false(rill_future_is_done(w.futures[3]));
    waiter_end(&w);
}

/* mutant: tasks/several.c @ on_cancel
 * - self->waiting = false;
 * + cancel_all(self); */
static void
test_a_wait_for_all_ends_with_the_last_and_a_cancel_of_it_cancels_none(void **unused)
{
    waiter all = { .call = wait_for_all }, left = { .call = wait_for_all };

    (void)unused;
    waiter_start(&all, 2);
    assert_code(rill_future_set_error(all.futures[0], -EIO), 0);
    let_it_run();
    assert_false(all.done);
    assert_true(rill_future_cancel(all.futures[1]));
    let_it_run();
    assert_code(all.rc, 2);
    waiter_end(&all);
    waiter_start(&left, 2);
    assert_true(rill_task_cancel(left.task, NULL));
    let_it_run();
    assert_code(left.rc, RILL_ECANCELED);
    assert_false(rill_future_is_done(left.futures[0]) || rill_future_is_done(left.futures[1]));
    waiter_end(&left);
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

static int
only_look(void *arg)
{
    rill_future *futures[] = { arg };
    bool others_ran = false;

    RILL_TRY(rill_call_soon(h.loop, set_flag, &others_ran, NULL));
    assert_code(rill_wait(futures, 1, RILL_ALL_DONE, 0), 0);
    assert_false(others_ran);
    assert_code(rill_wait(futures, 1, RILL_FIRST_DONE, RILL_MS), 0); /* Its time has passed. */
    assert_true(others_ran);
    assert_false(rill_future_is_done(futures[0]));
    return 0;
}

/* mutant: tasks/several.c @ wait_here
 * - if (timeout == 0)
 * + if (timeout == 0 && rill_yield() == 0) */
static void
test_a_wait_without_time_only_looks_and_one_whose_time_passes_cancels_none(void **unused)
{
    rill_future *future;

    (void)unused;
    assert_code(rill_future_new(h.loop, &future), 0);
    assert_code(tasks_run(&h, only_look, future), 0);
    rill_future_unref(future);
}

/* mutant: core/future.h @ rill__future_outcome
 * - return RILL_EREVOKED;
 * + return RILL_ECANCELED; */
static void
test_who_awaits_shared_what_is_canceled_is_told_that_it_was_revoked(void **unused)
{
    waiter w = { .call = await_shared };

    (void)unused;
    waiter_start(&w, 1);
    assert_true(rill_future_cancel(w.futures[0]));
    let_it_run();
    assert_code(w.rc, RILL_EREVOKED);
    assert_code(w.after, 0);
    waiter_end(&w);
}

/* ---- futures that go ---- */

/* Those that are done lie where they were until all have been waited for, whoever has given them
 * back meanwhile.
 *
 * mutant: tasks/several.c @ complete
 * - (void)rill_future_ref(o->future);
 * + (void)0;
 * mutant: tasks/several.c @ end
 * - rill_future_unref(self->ones[i].future);
 * + (void)0; */
static void
test_a_gather_has_the_error_of_a_future_that_was_given_back_meanwhile(void **unused)
{
    waiter w = { .call = gather };
    rill_future *other;

    (void)unused;
    waiter_start(&w, 2);
    assert_code(rill_future_set_error(w.futures[0], -EIO), 0);
    rill_future_unref(w.futures[0]);
    assert_code(rill_future_new(h.loop, &other), 0); /* Its memory would be this one's. */
    w.futures[0] = NULL;
    assert_code(rill_future_set_result(w.futures[1], NULL), 0);
    let_it_run();
    assert_code(w.rc, -EIO);
    rill_future_unref(other);
    waiter_end(&w);
}

/* mutant: tasks/several.c @ on_complete
 * - complete(o);
 * + if (o->future->refs != 1) complete(o); */
static void
test_a_gather_is_told_of_a_pending_future_that_goes(void **unused)
{
    waiter w = { .call = gather };

    (void)unused;
    waiter_start(&w, 2);
    rill_future_unref(w.futures[1]);
    w.futures[1] = NULL;
    assert_code(rill_future_set_result(w.futures[0], NULL), 0);
    let_it_run();
    assert_code(w.rc, RILL_EREVOKED);
    waiter_end(&w);
}

/* ---- one by one, and by one task at a time ---- */

static rill_completions completions;

static int
first_completed(waiter *self)
{
    int rc;

    RILL_TRY(rill_completions_begin(&completions, self->futures, self->count));
    rc = rill_completions_next(&completions);
    rill_completions_end(&completions);
    return rc;
}

static int
ask_again(void *arg)
{
    *(int *)arg = rill_completions_next(&completions);
    return 0;
}

/* mutant: tasks/several.c @ rill_completions_next
 * - if (self->asked)
 * + if (false)
 *
 * mutant: tasks/several.c @ rill_completions_next
 * - if (fiber->loop != self->loop)
 * + if (false) */
static void
test_completions_are_for_one_task_at_a_time_and_of_their_own_loop(void **unused)
{
    static harness other;
    waiter w = { .call = first_completed };
    int second = 1, foreign = 1;

    (void)unused;
    waiter_start(&w, 2);
    assert_code(tasks_run(&h, ask_again, &second), 0);
    assert_code(second, RILL_EBUSY);
    harness_open(&other);
    assert_code(tasks_run(&other, ask_again, &foreign), 0);
    assert_code(foreign, RILL_EWRONGLOOP);
    harness_close(&other);
    assert_code(rill_future_set_result(w.futures[1], NULL), 0);
    let_it_run();
    assert_code(w.rc, 1);
    waiter_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_gather_canceled_after_all_were_done_has_its_results_and_the_next_wait_is_told),
        CASE(test_a_gather_canceled_with_some_done_cancels_the_rest_and_keeps_the_first_error),
        CASE(test_a_wait_for_the_first_counts_two_that_are_done_in_one_turn),
        CASE(test_a_wait_for_an_error_goes_on_at_a_result_and_a_cancel_and_ends_at_an_error),
        CASE(test_a_wait_for_all_ends_with_the_last_and_a_cancel_of_it_cancels_none),
        CASE(test_a_wait_without_time_only_looks_and_one_whose_time_passes_cancels_none),
        CASE(test_who_awaits_shared_what_is_canceled_is_told_that_it_was_revoked),
        CASE(test_a_gather_has_the_error_of_a_future_that_was_given_back_meanwhile),
        CASE(test_a_gather_is_told_of_a_pending_future_that_goes),
        CASE(test_completions_are_for_one_task_at_a_time_and_of_their_own_loop),
    };

    return run_cases(tests);
}
