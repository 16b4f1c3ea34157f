/*
 * Cancellation, rule by rule: when a cancel is told and when not, how it is counted and taken back,
 * and what stays of it when a task goes on in spite of it.
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

#define LONG (3600 * RILL_S)

static int
nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* ---- every wait, and nothing but the code ---- */

static int
emit_one(void *entered)
{
    *(bool *)entered = true;
    return rill_emit(NULL);
}

static void
wait_for_time(void)
{
    rill_loop_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };

    rill_loop_get_stats(h.loop, &before);
    assert_code(rill_yield(), RILL_ECANCELED);
    assert_code(rill_checkpoint(), RILL_ECANCELED);
    assert_code(rill_sleep(RILL_MS), RILL_ECANCELED);
    assert_code(rill_sleep(0), RILL_ECANCELED);
    assert_code(rill_sleep_until(1), RILL_ECANCELED);
    rill_loop_get_stats(h.loop, &after);
    assert_int_equal(after.timers, before.timers); /* None was armed. */
}

static void
wait_for_one(rill_future *future)
{
    void *value = &h;

    assert_code(rill_await(future, &value), RILL_ECANCELED);
    assert_code(rill_await_shared(future, &value), RILL_ECANCELED);
    assert_code(rill_await_for(future, 0, &value), RILL_ECANCELED);
    assert_code(rill_await_for(future, RILL_S, &value), RILL_ECANCELED);
    assert_code(rill_wait(&future, 1, RILL_FIRST_DONE, 0), RILL_ECANCELED);
    assert_code(rill_wait(&future, 1, RILL_ALL_DONE, RILL_NEVER), RILL_ECANCELED);
    assert_ptr_equal(value, &h);
}

/* What is pending is not canceled, what is done is not taken, no generator is entered. */
static int
wait_everywhere(void *unused)
{
    rill_future *pending, *done, *list[1];
    rill_completions completions;
    rill_generator *generator;
    bool entered = false;
    void *item;
    int rc;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &pending));
    RILL_TRY(rill_future_new(h.loop, &done));
    RILL_TRY(rill_future_set_result(done, NULL));
    list[0] = done;
    RILL_TRY(rill_completions_begin(&completions, list, 1));
    rc = rill_generator_new(emit_one, &entered, &generator);
    if (rc < 0)
        rill_completions_end(&completions);
    RILL_TRY(rc);
    assert_true(rill_task_cancel(rill_current_task(), NULL));
    wait_for_time();
    wait_for_one(pending);
    wait_for_one(done);
    assert_code(rill_completions_next(&completions), RILL_ECANCELED);
    assert_code(rill_generator_next(generator, &item), RILL_ECANCELED);
    assert_false(entered);
    assert_false(rill_future_is_done(pending));
    assert_int_equal(rill_task_uncancel(rill_current_task()), 0);
    assert_code(rill_completions_next(&completions), 0);
    assert_code(rill_generator_next(generator, &item), 1);
    rill_completions_end(&completions);
    rill_generator_free(generator);
    rill_future_unref(pending);
    rill_future_unref(done);
    return 0;
}

/* mutant: tasks/several.c @ rill_completions_next
 * - rc = rill__may_wait(fiber);
 * + rc = 0;
 *
 * mutant: tasks/generator.c @ rill_generator_next
 * - rc = rill__may_wait(fiber);
 * + rc = 0;
 *
 * mutant: tasks/wait.c @ rill_sleep_until
 * - int rc = rill__may_wait(fiber);
 * + int rc = 0; */
static void
test_under_cancel_each_kind_of_wait_says_so_and_does_nothing_else(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wait_everywhere, NULL), 0);
}

/* ---- counting ---- */

static int
cancel_twice(void *unused)
{
    rill_task *me = rill_current_task();

    (void)unused;
    assert_int_equal(rill_task_cancelling(me), 0);
    assert_true(rill_task_cancel(me, NULL));
    assert_true(rill_task_cancel(me, NULL));
    assert_int_equal(rill_task_cancelling(me), 2);
    assert_code(rill_yield(), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(me), 1);
    assert_code(rill_yield(), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(me), 0);
    assert_code(rill_yield(), 0);
    assert_int_equal(rill_task_uncancel(me), 0); /* Below 0 there is nothing. */
    assert_int_equal(rill_task_cancelling(me), 0);
    return rill_yield();
}

/* mutant: tasks/scope.c @ is_canceled
 * - return fiber->task->cancels > 0;
 * + return fiber->task->cancels > 1; */
static void
test_two_cancels_need_two_uncancels_and_at_0_waits_wait_again(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_twice, NULL), 0);
}

static int
cancel_and_end(void *arg)
{
    RILL_TRY(rill_spawn(nothing, NULL, NULL, (rill_task **)arg));
    assert_true(rill_task_cancel(*(rill_task **)arg, "the first"));
    assert_true(rill_task_cancel(*(rill_task **)arg, "another"));
    return rill_yield();
}

/* mutant: tasks/task.c @ rill__task_cancel
 * - if (task->fiber == NULL)
 * + if (task->fiber == NULL && task->cancels++ >= 0) */
static void
test_a_cancel_of_an_ended_task_is_false_and_leaves_count_and_reason_as_they_were(void **unused)
{
    rill_task *task;

    (void)unused;
    assert_code(tasks_run(&h, cancel_and_end, &task), 0);
    assert_true(rill_task_is_done(task));
    assert_int_equal(rill_task_cancelling(task), 2);
    assert_false(rill_task_cancel(task, "too late"));
    assert_false(rill_future_cancel(rill_task_future(task)));
    assert_int_equal(rill_task_cancelling(task), 2);
    assert_string_equal(rill_task_why(task), "the first");
    assert_int_equal(rill_task_uncancel(task), 2); /* There is nobody to take it back from. */
    rill_task_unref(task);
}

static int
give_reasons(void *unused)
{
    rill_task *me = rill_current_task();

    (void)unused;
    assert_null(rill_task_why(me));
    assert_true(rill_task_cancel(me, "the first"));
    assert_true(rill_task_cancel(me, "another"));
    assert_string_equal(rill_task_why(me), "the first");
    assert_int_equal(rill_task_uncancel(me), 1);
    assert_string_equal(rill_task_why(me), "the first");
    assert_int_equal(rill_task_uncancel(me), 0);
    assert_null(rill_task_why(me));
    assert_true(rill_task_cancel(me, "a new one"));
    assert_string_equal(rill_task_why(me), "a new one");
    return rill_task_uncancel(me);
}

/* mutant: tasks/task.c @ rill__task_cancel
 * - if (task->why == NULL)
 * + if (why != NULL)
 *
 * mutant: tasks/task.c @ rill_task_uncancel
 * - task->why = NULL;
 * + (void)0; */
static void
test_the_first_reason_counts_until_all_is_taken_back(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, give_reasons, NULL), 0);
}

/* ---- canceling oneself ---- */

static int
cancel_oneself(void *unused)
{
    rill_future *future;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &future));
    assert_true(rill_task_cancel(rill_current_task(), NULL));
    /* What does not wait works on. */
    assert_code(rill_future_set_result(future, NULL), 0);
    assert_code(rill_future_result(future, NULL), 0);
    rill_future_unref(future);
    return rill_yield();
}

static int
join_who_cancels_himself(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(cancel_oneself, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_is_canceled(task));
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/wait.c @ rill_yield
 * - int rc = rill__may_wait(fiber);
 * + int rc = fiber == NULL ? RILL_ENOTASK : 0; */
static void
test_a_cancel_of_oneself_is_told_by_the_next_wait_and_not_before(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, join_who_cancels_himself, NULL), 0);
}

static int
swallow_and_return_42(void *unused)
{
    (void)unused;
    assert_code(rill_sleep(LONG), RILL_ECANCELED);
    return 42;
}

static int
join_who_swallows(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(swallow_and_return_42, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    RILL_TRY(rill_yield());
    assert_true(rill_task_is_done(task));
    assert_false(rill_task_is_canceled(task));
    assert_int_equal(rill_task_cancelling(task), 1);
    assert_code(rill_join(task), 42);
    return 0;
}

/* mutant: tasks/task.c @ end
 * - code >= 0                ? RILL__DONE
 * + task->cancels > 0 ? RILL__CANCELED : code >= 0 ? RILL__DONE */
static void
test_a_task_that_swallows_its_cancel_and_returns_is_done_and_not_canceled(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, join_who_swallows, NULL), 0);
}

/* ---- before the first step ---- */

static const char *why_seen;

static int
look_at_why(void *entered)
{
    ++*(int *)entered;
    why_seen = rill_task_why(rill_current_task());
    return rill_sleep(LONG);
}

static int
cancel_before_the_first_step(void *unused)
{
    rill_task *task;
    int entered = 0;

    (void)unused;
    why_seen = NULL;
    RILL_TRY(rill_spawn(look_at_why, &entered, NULL, &task));
    assert_true(rill_task_cancel(task, "never mind"));
    assert_int_equal(entered, 0);
    RILL_TRY(rill_yield());
    assert_int_equal(entered, 1);
    assert_string_equal(why_seen, "never mind");
    assert_string_equal(rill_task_why(task), "never mind");
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* Where asyncio never enters it: its argument may own memory, which it alone can give back.
 *
 * mutant: tasks/task.c @ task_main
 * - int code = fiber->fn(fiber->arg);
 * + int code = fiber->canceled ? RILL_ECANCELED : fiber->fn(fiber->arg); */
static void
test_canceled_before_its_first_step_it_is_entered_once_and_knows_why(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_before_the_first_step, NULL), 0);
}

/* ---- a cancel that is taken back in time ---- */

typedef struct meeting {
    rill_future *future;
    int first;
    int second;
} meeting;

static int
await_twice(void *arg)
{
    meeting *m = arg;

    m->first = rill_await(m->future, NULL);
    m->second = rill_yield();
    return 7;
}

static int
cancel_and_take_it_back(void *unused)
{
    meeting m = { 0 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &m.future));
    RILL_TRY(rill_spawn(await_twice, &m, NULL, &task));
    RILL_TRY(rill_yield());
    RILL_TRY(rill_future_set_result(m.future, NULL));
    assert_true(rill_task_cancel(task, NULL));
    assert_int_equal(rill_task_uncancel(task), 0);
    assert_code(rill_join(task), 7);
    assert_code(m.first, 0);
    assert_code(m.second, 0);
    rill_future_unref(m.future);
    return 0;
}

/* mutant: tasks/task.c @ rill_task_uncancel
 * - rill__scopes_update(task->fiber);
 * + (void)0; */
static void
test_a_cancel_and_an_uncancel_before_the_step_of_a_woken_task_leave_no_trace(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_and_take_it_back, NULL), 0);
}

/* ---- abort functions of who waits alone ---- */

typedef struct operation {
    rill_future *future;
    int aborts;
    int seen;
} operation;

static rill_abort
still_under_way(rill_future *future, void *arg)
{
    (void)future;
    ((operation *)arg)->aborts++;
    return RILL_ABORT_PENDING;
}

static int
await_operation(void *arg)
{
    operation *o = arg;

    o->seen = rill_await(o->future, NULL);
    return o->seen;
}

static int
cancel_again_and_again(void *unused)
{
    operation o = { .seen = 1 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &o.future));
    rill_future_on_cancel(o.future, still_under_way, &o);
    RILL_TRY(rill_spawn(await_operation, &o, NULL, &task));
    RILL_TRY(rill_yield());
    for (int i = 0; i < 3; i++) {
        assert_true(rill_task_cancel(task, NULL));
        RILL_TRY(rill_yield());
        assert_int_equal(o.aborts, 1);
        assert_int_equal(o.seen, 1); /* It waits on, as its memory may be in use. */
    }
    RILL_TRY(rill_future_set_error(o.future, -EIO));
    assert_code(rill_join(task), -EIO);
    assert_int_equal(o.aborts, 1);
    rill_future_unref(o.future);
    return 0;
}

/* mutant: core/future.c @ plain_cancel
 * - if (self->aborting)
 * + if (false) */
static void
test_an_abort_that_is_pending_is_not_asked_again_by_further_cancels(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_again_and_again, NULL), 0);
}

/* ---- generators ---- */

static int
sleep_before_each(void *unused)
{
    (void)unused;
    RILL_TRY(rill_sleep(LONG));
    return rill_emit(NULL);
}

static int
ask(void *arg)
{
    void *item;

    return rill_generator_next(arg, &item);
}

static int
cancel_who_asks(void *unused)
{
    rill_generator *generator;
    rill_task *task;
    int rc;

    (void)unused;
    RILL_TRY(rill_generator_new(sleep_before_each, NULL, &generator));
    rc = rill_spawn(ask, generator, NULL, &task);
    if (rc == 0) {
        assert_code(rill_yield(), 0);
        assert_code(ask(generator), RILL_EBUSY);
        assert_true(rill_task_cancel(task, NULL));
        assert_code(rill_join(task), RILL_EREVOKED);
        assert_code(ask(generator), RILL_EREVOKED); /* It has ended; we are not canceled. */
    }
    rill_generator_free(generator);
    return rc;
}

/* mutant: tasks/generator.c @ outcome
 * - return RILL_EREVOKED;
 * + return RILL_ECANCELED; */
static void
test_the_cancel_of_one_who_asks_a_generator_is_not_the_next_ones(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_who_asks, NULL), 0);
}

/* ---- a future of another loop ---- */

static int
await_abroad(void *arg)
{
    rill_future *list[] = { arg };
    rill_completions completions;

    assert_code(rill_await(arg, NULL), RILL_EWRONGLOOP);
    assert_code(rill_await_shared(arg, NULL), RILL_EWRONGLOOP);
    assert_code(rill_await_for(arg, 0, NULL), RILL_EWRONGLOOP);
    assert_code(rill_await_for(arg, RILL_S, NULL), RILL_EWRONGLOOP);
    assert_code(rill_gather(list, 1), RILL_EWRONGLOOP);
    assert_code(rill_wait(list, 1, RILL_ALL_DONE, 0), RILL_EWRONGLOOP);
    assert_code(rill_completions_begin(&completions, list, 1), RILL_EWRONGLOOP);
    return 0;
}

static int
join_abroad(void *arg)
{
    assert_code(rill_join(arg), RILL_EWRONGLOOP);
    return 0;
}

/* mutant: tasks/wait.c @ may_await
 * - if (RILL__UNLIKELY(future->loop != fiber->loop))
 * + if (false) */
static void
test_nothing_waits_for_a_future_or_a_task_of_another_loop(void **unused)
{
    static harness other;
    rill_future *future;
    rill_task *task;

    (void)unused;
    harness_open(&other);
    assert_code(rill_future_new(other.loop, &future), 0);
    assert_code(tasks_run(&h, await_abroad, future), 0);
    rill_future_unref(future);
    assert_code(rill_spawn_on(other.loop, nothing, NULL, NULL, &task), 0);
    assert_code(tasks_run(&h, join_abroad, task), 0);
    harness_settle(&other);
    rill_task_unref(task); /* The reference has stayed. */
    harness_close(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_under_cancel_each_kind_of_wait_says_so_and_does_nothing_else),
        CASE(test_two_cancels_need_two_uncancels_and_at_0_waits_wait_again),
        CASE(test_a_cancel_of_an_ended_task_is_false_and_leaves_count_and_reason_as_they_were),
        CASE(test_the_first_reason_counts_until_all_is_taken_back),
        CASE(test_a_cancel_of_oneself_is_told_by_the_next_wait_and_not_before),
        CASE(test_a_task_that_swallows_its_cancel_and_returns_is_done_and_not_canceled),
        CASE(test_canceled_before_its_first_step_it_is_entered_once_and_knows_why),
        CASE(test_a_cancel_and_an_uncancel_before_the_step_of_a_woken_task_leave_no_trace),
        CASE(test_an_abort_that_is_pending_is_not_asked_again_by_further_cancels),
        CASE(test_the_cancel_of_one_who_asks_a_generator_is_not_the_next_ones),
        CASE(test_nothing_waits_for_a_future_or_a_task_of_another_loop),
    };

    return run_cases(tests);
}
