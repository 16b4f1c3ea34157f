/*
 * Waiting for several futures at once, in each of its forms.
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

#define LONG  (3600 * RILL_S)
#define COUNT 4

typedef struct kid {
    rill_ns after;
    int code;
    rill_ns cleanup;
    bool ended;
} kid;

static int
live(void *arg)
{
    kid *k = arg;
    int rc = rill_sleep(k->after);

    if (rc < 0 && k->cleanup > 0) {
        rill_scope shield;

        rill_shield_begin(&shield, LONG);
        RILL_IGNORE(rill_scope_end(&shield, rill_sleep(k->cleanup)));
    }
    k->ended = true;
    return rc < 0 ? rc : k->code;
}

typedef struct family {
    kid kids[COUNT];
    rill_task *tasks[COUNT];
    rill_future *futures[COUNT];
} family;

static void
family_begin(family *f)
{
    for (size_t i = 0; i < COUNT; i++) {
        assert_code(rill_spawn(live, &f->kids[i], NULL, &f->tasks[i]), 0);
        f->futures[i] = rill_task_future(f->tasks[i]);
    }
}

/* All are canceled and have ended. */
static void
family_end(family *f)
{
    for (size_t i = 0; i < COUNT; i++) {
        rill_task_cancel(f->tasks[i], NULL);
        RILL_IGNORE(rill_join(f->tasks[i]));
    }
}

/* ---- gather ---- */

static int
gather_errors(void *unused)
{
    family f = { .kids = { { 3 * RILL_MS, 0, 0, false }, { 2 * RILL_MS, -EIO, 0, false },
                     { 1 * RILL_MS, -EPIPE, 0, false }, { 4 * RILL_MS, 0, 0, false } } };
    int rc;

    (void)unused;
    family_begin(&f);
    rc = rill_gather(f.futures, COUNT);
    assert_true(f.kids[3].ended); /* It waits for all, and the error is the first by index. */
    assert_code(rc, -EIO);
    family_end(&f);
    assert_code(rill_gather(NULL, 0), 0);
    return 0;
}

static int
gather_long(void *arg)
{
    family *f = arg;
    int rc;

    family_begin(f);
    rc = rill_gather(f->futures, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(f->kids[i].ended);
    for (size_t i = 0; i < COUNT; i++)
        rill_task_unref(f->tasks[i]);
    return rc;
}

static int
cancel_gather(void *unused)
{
    family f = { .kids = { { LONG, 0, 10 * RILL_MS, false }, { LONG, 0, 20 * RILL_MS, false },
                     { 1 * RILL_MS, 5, 0, false }, { LONG, 0, 0, false } } };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(gather_long, &f, NULL, &task));
    RILL_TRY(rill_sleep(5 * RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/several.c
 * - if (self->insists) {
 * + if (false) { */
static void
test_gather_waits_for_all_gives_the_first_error_by_index_and_forwards_a_cancel(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, gather_errors, NULL), 0);
    assert_code(tasks_run(&h, cancel_gather, NULL), 0);
}

static int
gather_same(void *unused)
{
    rill_future *future, *list[40];

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &future));
    for (size_t i = 0; i < 40; i++)
        list[i] = future;
    RILL_TRY(rill_future_set_result(future, NULL));
    assert_code(rill_gather(list, 40), 0);
    list[7] = NULL;
    assert_code(rill_gather(list, 40), RILL_EINVAL);
    list[7] = rill_task_future(rill_current_task());
    assert_code(rill_gather(list, 40), RILL_EDEADLK);
    rill_future_unref(future);
    return 0;
}

/* mutant: tasks/several.c
 * - for (size_t i = 0; rc == 0 && i < count; i++)
 * + for (size_t i = 0; rc == 0 && i < 1; i++) */
static void
test_gather_takes_one_future_many_times_and_refuses_nonsense(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, gather_same, NULL), 0);
}

/* ---- wait ---- */

static int
wait_modes(void *unused)
{
    family f = { .kids = { { 10 * RILL_MS, 0, 0, false }, { LONG, 0, 0, false },
                     { 20 * RILL_MS, RILL_ECANCELED, 0, false },
                     { 30 * RILL_MS, -EIO, 0, false } } };

    (void)unused;
    family_begin(&f);
    assert_code(rill_wait(f.futures, COUNT, RILL_ALL_DONE, 0), 0); /* Only looks. */
    assert_code(rill_wait(f.futures, COUNT, RILL_FIRST_DONE, RILL_NEVER), 1);
    assert_true(f.kids[0].ended && !f.kids[2].ended);
    assert_code(rill_wait(f.futures, COUNT, RILL_FIRST_DONE, RILL_NEVER), 1);
    assert_code(rill_wait(f.futures, COUNT, RILL_FIRST_ERROR, RILL_NEVER), 3);
    assert_true(f.kids[2].ended && f.kids[3].ended); /* A canceled one is no error. */
    assert_code(rill_wait(f.futures, COUNT, RILL_ALL_DONE, 10 * RILL_MS), 3);
    assert_false(rill_task_is_done(f.tasks[1])); /* The rest goes on. */
    assert_int_equal(rill_task_cancelling(f.tasks[1]), 0);
    assert_code(rill_wait(f.futures, 0, RILL_ALL_DONE, 0), RILL_EINVAL);
    assert_code(rill_wait(f.futures, COUNT, (rill_wait_mode)9, 0), RILL_EINVAL);
    assert_code(rill_wait(f.futures, COUNT, RILL_ALL_DONE, -2), RILL_EINVAL);
    family_end(&f);
    return 0;
}

static int
wait_long(void *arg)
{
    return rill_wait(((family *)arg)->futures, COUNT, RILL_ALL_DONE, RILL_NEVER);
}

static int
cancel_wait(void *unused)
{
    family f = { .kids = { { LONG, 0, 0, false }, { LONG, 0, 0, false }, { LONG, 0, 0, false },
                     { LONG, 0, 0, false } } };
    rill_task *task;

    (void)unused;
    family_begin(&f);
    RILL_TRY(rill_spawn(wait_long, &f, NULL, &task));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(rill_task_cancelling(f.tasks[i]), 0);
    family_end(&f);
    return 0;
}

/* mutant: tasks/several.c
 * - if (!self->waiting || !is_enough(self))
 * + if (!self->waiting)
 * mutant: tasks/several.c
 * - self->failed += o->future->state == RILL__FAILED;
 * + self->failed += o->future->state != RILL__DONE; */
static void
test_wait_has_three_modes_and_a_time_and_leaves_the_rest_running(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wait_modes, NULL), 0);
}

/* mutant: tasks/several.c
 * - if (self->insists) {
 * + if (true) { */
static void
test_a_canceled_wait_leaves_what_it_waited_for(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_wait, NULL), 0);
}

static void
set_it(void *future)
{
    assert_code(rill_future_set_result(future, NULL), 0);
}

static int
complete_and_expire(void *unused)
{
    rill_future *future;
    rill_ns when = rill_loop_time(h.loop) + 5 * RILL_MS;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &future));
    RILL_TRY(rill_call_at(h.loop, when, set_it, future, NULL));
    assert_code(rill_wait(&future, 1, RILL_ALL_DONE, when - rill_loop_time(h.loop)), 1);
    rill_future_unref(future);
    return rill_yield();
}

/* mutant: tasks/several.c
 * - if (!self->waiting)
 * + if (false) */
static void
test_a_completion_and_the_timeout_in_one_turn_wake_once(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, complete_and_expire, NULL), 0);
}

/* ---- one by one ---- */

static int
in_order(void *unused)
{
    family f = { .kids = { { 30 * RILL_MS, 0, 0, false }, { 10 * RILL_MS, 0, 0, false },
                     { 20 * RILL_MS, -EIO, 0, false }, { LONG, 0, 0, false } } };
    rill_completions completions;
    rill_scope limit;

    (void)unused;
    family_begin(&f);
    RILL_TRY(rill_completions_begin(&completions, f.futures, COUNT));
    assert_code(rill_completions_next(&completions), 1);
    assert_code(rill_sleep(40 * RILL_MS), 0);
    assert_code(rill_completions_next(&completions), 2);
    assert_code(rill_completions_next(&completions), 0);
    rill_timeout_begin(&limit, 10 * RILL_MS);
    assert_code(rill_scope_end(&limit, rill_completions_next(&completions)), RILL_ETIMEDOUT);
    assert_true(rill_task_cancel(f.tasks[3], NULL));
    assert_code(rill_completions_next(&completions), 3); /* It was still the next. */
    assert_code(rill_completions_next(&completions), RILL_EOF);
    rill_completions_end(&completions);
    rill_completions_end(&completions);
    RILL_TRY(rill_completions_begin(&completions, f.futures, 0));
    assert_code(rill_completions_next(&completions), RILL_EOF);
    rill_completions_end(&completions);
    family_end(&f);
    return 0;
}

/* The latest takes the place of those before it.
 *
 * mutant: tasks/several.c @ complete
 * - if (self->last != NULL)
 * + if (false) */
static void
test_completions_come_once_each_in_their_order(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, in_order, NULL), 0);
}

/* ---- callbacks of futures ---- */

static void
count_call(rill_future *future, void *arg)
{
    (void)future;
    ++*(int *)arg;
}

/* mutant: core/future.c
 * - if (waiter->fn != callback_schedule || self->fn != fn || self->arg != arg)
 * + if (waiter->fn != callback_schedule || self->fn != fn) */
static void
test_callbacks_of_futures_can_be_taken_back(void **unused)
{
    rill_future *future;
    int calls = 0, others = 0;

    (void)unused;
    assert_code(rill_future_new(h.loop, &future), 0);
    for (int i = 0; i < 3; i++)
        assert_code(rill_future_on_done(future, count_call, &calls), 0);
    assert_code(rill_future_on_done(future, count_call, &others), 0);
    assert_int_equal(rill_future_remove_done(future, count_call, &calls), 3);
    assert_int_equal(rill_future_remove_done(future, count_call, &calls), 0);
    assert_true(rill_future_cancel(future));
    assert_false(rill_future_cancel(future));
    assert_code(rill_future_result(future, NULL), RILL_EREVOKED);
    assert_int_equal(others, 0);
    assert_code(rill_future_on_done(future, count_call, &others), 0);
    rill_future_unref(future); /* Those that are scheduled hold it. */
    harness_settle(&h);
    assert_int_equal(others, 2);
    assert_int_equal(calls, 0);
}

/* mutant: core/future.c @ rill__future_release
 * - rill__future_complete(future, RILL__CANCELED, RILL_ECANCELED); */
static void
test_a_pending_future_that_goes_tells_who_waits(void **unused)
{
    rill_future *future;
    int calls = 0;

    (void)unused;
    assert_code(rill_future_new(h.loop, &future), 0);
    assert_code(rill_future_on_done(future, count_call, &calls), 0);
    assert_ptr_equal(rill_future_ref(future), future);
    rill_future_unref(future);
    rill_future_unref(future);
    harness_settle(&h);
    assert_int_equal(calls, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_gather_waits_for_all_gives_the_first_error_by_index_and_forwards_a_cancel),
        CASE(test_gather_takes_one_future_many_times_and_refuses_nonsense),
        /* How many are done at a time is certain only where time is. */
        CASE_ON("sim", test_wait_has_three_modes_and_a_time_and_leaves_the_rest_running),
        CASE(test_a_canceled_wait_leaves_what_it_waited_for),
        CASE_ON("sim", test_a_completion_and_the_timeout_in_one_turn_wake_once),
        CASE(test_completions_come_once_each_in_their_order),
        CASE(test_callbacks_of_futures_can_be_taken_back),
        CASE(test_a_pending_future_that_goes_tells_who_waits),
    };

    return run_cases(tests);
}
