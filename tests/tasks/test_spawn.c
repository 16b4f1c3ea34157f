/*
 * Making tasks, the order in which they run, and what they end with.
 */
#include "tasks.h"

#include <errno.h>
#include <stdlib.h>

static harness h;
static tape seen;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
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

typedef struct mark {
    char letter;
} mark;

static int
leave_letter(void *arg)
{
    tape_add(&seen, ((mark *)arg)->letter);
    return 0;
}

static mark A = { 'a' }, B = { 'b' };

static int
spawn_three(void *unused)
{
    tape_mark soon = { &seen, 's' };
    rill_task *a, *b;

    (void)unused;
    RILL_TRY(rill_spawn(leave_letter, &A, NULL, &a));
    assert_code(rill_call_soon(h.loop, tape_mark_add, &soon, NULL), 0);
    RILL_TRY(rill_spawn(leave_letter, &B, NULL, &b));
    tape_add(&seen, '.');
    assert_false(rill_task_is_done(a));
    RILL_TRY(rill_join(b));
    assert_true(rill_task_is_done(a));
    return rill_join(a);
}

/* mutant: tasks/task.c
 * - if (!options->eager || !loop->in_callback) {
 * + if (!loop->in_callback) { */
static void
test_spawn_returns_before_the_child_runs_and_order_is_first_in_first_out(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, spawn_three, NULL), 0);
    assert_string_equal(seen.text, ".asb");
}

/* ---- eager ---- */

static rill_task *inside;

static int
eager_child(void *arg)
{
    tape_add(&seen, 'e');
    inside = rill_current_task();
    assert_ptr_not_equal(inside, arg);
    RILL_TRY(rill_sleep(RILL_MS));
    tape_add(&seen, 'E');
    return 7;
}

static int
eager_at_once(void *unused)
{
    (void)unused;
    tape_add(&seen, 'x');
    return 3;
}

static int
spawn_eager(void *unused)
{
    rill_loop_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
    rill_task *me = rill_current_task(), *child;

    (void)unused;
    RILL_TRY(rill_spawn(eager_child, me, RILL_TASK_OPTIONS(.eager = 1), &child));
    tape_add(&seen, '.');
    assert_ptr_equal(rill_current_task(), me);
    assert_ptr_equal(inside, child);
    assert_false(rill_task_is_done(child));
    assert_code(rill_join(child), 7);
    rill_loop_get_stats(h.loop, &before);
    RILL_TRY(rill_spawn(eager_at_once, NULL, RILL_TASK_OPTIONS(.eager = 1), &child));
    assert_true(rill_task_is_done(child));
    rill_loop_get_stats(h.loop, &after);
    assert_int_equal(after.ready, before.ready);
    assert_code(rill_join(child), 3);
    return 0;
}

/* mutant: tasks/wait.c
 * - fiber->outer = loop->fiber;
 * + fiber->outer = NULL; */
static void
test_an_eager_child_runs_to_its_first_suspension_inside_spawn(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, spawn_eager, NULL), 0);
    assert_string_equal(seen.text, "e.Ex");
}

/* ---- futures and their order ---- */

typedef struct waiting {
    rill_future *future;
    char letter;
} waiting;

static int
wait_for_future(void *arg)
{
    waiting *w = arg;
    void *value;

    RILL_TRY(rill_await(w->future, &value));
    tape_add(&seen, w->letter);
    tape_add(&seen, *(char *)value);
    return 0;
}

static void
on_done(rill_future *future, void *arg)
{
    assert_true(rill_future_is_done(future));
    tape_add(&seen, *(char *)arg);
}

static int
set_while_they_wait(void *unused)
{
    static char value = '!';
    waiting one = { .letter = '1' }, two = { .letter = '2' };
    rill_task *first, *second;
    rill_future *future;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &future));
    one.future = two.future = future;
    RILL_TRY(rill_spawn(wait_for_future, &one, NULL, &first));
    RILL_TRY(rill_yield());
    RILL_TRY(rill_future_on_done(future, on_done, WORD("c")));
    RILL_TRY(rill_spawn(wait_for_future, &two, NULL, &second));
    RILL_TRY(rill_yield());
    assert_code(rill_future_result(future, NULL), RILL_ESTATE);
    RILL_TRY(rill_future_set_result(future, &value));
    assert_int_equal(seen.len, 0);
    assert_code(rill_future_set_result(future, &value), RILL_ESTATE);
    RILL_TRY(rill_join(first));
    RILL_TRY(rill_join(second));
    rill_future_unref(future);
    return 0;
}

/* mutant: core/future.c
 * - rill__waiter *waiter = RILL__CONTAINER(future->waiters.next, rill__waiter, link);
 * + rill__waiter *waiter = RILL__CONTAINER(future->waiters.prev, rill__waiter, link); */
static void
test_set_result_runs_no_user_code_and_waiters_go_on_in_their_order(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, set_while_they_wait, NULL), 0);
    assert_string_equal(seen.text, "1!c2!");
}

/* ---- fairness ---- */

static size_t others;
static bool stop_counting;

static int
count_turns(void *unused)
{
    (void)unused;
    while (!stop_counting) {
        others++;
        RILL_TRY(rill_yield());
    }
    return 0;
}

static int
await_ready_often(void *unused)
{
    rill_future *future;
    rill_task *other;

    (void)unused;
    others = 0;
    stop_counting = false;
    RILL_TRY(rill_future_new(h.loop, &future));
    RILL_TRY(rill_future_set_result(future, NULL));
    RILL_TRY(rill_spawn(count_turns, NULL, NULL, &other));
    for (int i = 0; i < 127; i++)
        RILL_TRY(rill_await(future, NULL));
    assert_int_equal(others, 0);
    RILL_TRY(rill_await(future, NULL));
    assert_int_equal(others, 1);
    for (int i = 0; i < 128; i++)
        RILL_TRY(rill_checkpoint());
    assert_int_equal(others, 2);
    stop_counting = true;
    rill_future_unref(future);
    return rill_join(other);
}

/* mutant: tasks/wait.c
 * - fiber->budget = RILL__BUDGET;
 * + fiber->budget = RILL__BUDGET + 1; */
static void
test_ready_awaits_do_not_yield_but_the_128th_does(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, await_ready_often, NULL), 0);
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* Work of 2 ms, over and over, with a yield in between for the others' sake. */
static int
compute_and_yield(void *unused)
{
    bool fired = false;
    int yields = 0;

    (void)unused;
    RILL_TRY(rill_call_later(h.loop, RILL_MS, set_flag, &fired, NULL));
    while (!fired) {
        rill_ns begin = rill_loop_time(h.loop);

        while (rill_loop_time(h.loop) - begin < 2 * RILL_MS)
            continue;
        RILL_TRY(rill_yield());
        yields++;
    }
    assert_in_range(yields, 1, 20);
    return 0;
}

/* mutant: core/loop.c
 * - return now == loop->looked_at && loop->queued - loop->looked_before <= TASKS_MAX;
 * + return loop->queued - loop->looked_before <= TASKS_MAX; */
static void
test_tasks_that_compute_between_yields_keep_no_timer_waiting(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, compute_and_yield, NULL), 0);
}

/* ---- misuse that has a code ---- */

static void
wait_in_a_callback(void *unused)
{
    (void)unused;
    assert_code(rill_sleep(1), RILL_ENOTASK);
}

/* mutant: tasks/wait.c @ may_await
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_tasks_nothing_waits(void **unused)
{
    rill_future *future;
    rill_task *task;

    (void)unused;
    assert_code(rill_sleep(1), RILL_ENOTASK);
    assert_code(rill_sleep_until(1), RILL_ENOTASK);
    assert_code(rill_yield(), RILL_ENOTASK);
    assert_code(rill_checkpoint(), RILL_ENOTASK);
    assert_code(rill_spawn(leave_letter, &A, NULL, &task), RILL_ENOTASK);
    assert_code(rill_go(leave_letter, &A, NULL), RILL_ENOTASK);
    assert_code(rill_defer(free, NULL), RILL_ENOTASK);
    assert_code(rill_gather(NULL, 0), RILL_ENOTASK);
    assert_code(rill_future_new(h.loop, &future), 0);
    assert_code(rill_await(future, NULL), RILL_ENOTASK);
    assert_code(rill_await_shared(future, NULL), RILL_ENOTASK);
    assert_code(rill_await_for(future, 1, NULL), RILL_ENOTASK);
    assert_code(rill_await_for(future, 0, NULL), RILL_ENOTASK);
    rill_future_unref(future);
    assert_null(rill_current_task());
    assert_code(rill_emit(NULL), RILL_ESTATE);
    assert_code(rill_call_soon(h.loop, wait_in_a_callback, NULL, NULL), 0);
    harness_turn(&h);
    expect_last_error(&h, RILL_ENOTASK, "only a task can wait");
}

static int
await_oneself(void *unused)
{
    rill_task *me = rill_current_task();

    (void)unused;
    assert_code(rill_await(rill_task_future(me), NULL), RILL_EDEADLK);
    assert_code(rill_task_set_name(me, "narcissus"), 0);
    assert_code(rill_join(me), RILL_EDEADLK);
    expect_last_error(&h, RILL_EDEADLK, "'narcissus' (made at ");
    expect_last_error(&h, RILL_EDEADLK, "cannot wait for its own end");
    return 0;
}

/* mutant: tasks/wait.c
 * - return RILL__UNLIKELY(future == &fiber->task->future) ? rill__refuse_itself(fiber) : 0;
 * + return 0; */
static void
test_a_task_cannot_wait_for_itself(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, await_oneself, NULL), 0);
}

static int
await_of_other_loop(void *arg)
{
    rill_future *list[] = { arg };

    assert_code(rill_await(arg, NULL), RILL_EWRONGLOOP);
    expect_last_error(&h, RILL_EWRONGLOOP, "belongs to another loop, made at ");
    assert_code(rill_gather(list, 1), RILL_EWRONGLOOP);
    assert_code(rill_wait(list, 1, RILL_ALL_DONE, RILL_NEVER), RILL_EWRONGLOOP);
    return 0;
}

/* mutant: tasks/wait.c
 * - if (RILL__UNLIKELY(future->loop != fiber->loop))
 * + if (false)
 * mutant: tasks/several.c
 * - if (futures[i]->loop != loop)
 * + if (false) */
static void
test_a_future_of_another_loop_is_refused(void **unused)
{
    rill_loop *other;
    rill_future *future;

    (void)unused;
    assert_code(rill_loop_new(NULL, &other), 0);
    assert_code(rill_future_new(other, &future), 0);
    assert_code(tasks_run(&h, await_of_other_loop, future), 0);
    rill_future_unref(future);
    assert_int_equal(rill_loop_free(other), 0);
}

/* ---- arguments, names, lists ---- */

typedef struct numbers {
    int values[100];
} numbers;

static int
add_up(void *arg)
{
    const numbers *n = arg;
    int sum = 0;

    RILL_TRY(rill_sleep(RILL_MS));
    for (size_t i = 0; i < 100; i++)
        sum += n->values[i];
    return sum;
}

static int
spawn_with_copy(rill_task **ret_task)
{
    numbers n;

    for (int i = 0; i < 100; i++)
        n.values[i] = i;
    return rill_spawn(add_up, &n, RILL_TASK_OPTIONS(.copy_arg = sizeof(n)), ret_task);
}

static int
copies(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(spawn_with_copy(&task));
    assert_code(rill_join(task), 4950);
    assert_code(rill_spawn(add_up, &task, RILL_TASK_OPTIONS(.copy_arg = 2049), &task), RILL_EINVAL);
    assert_code(
        rill_spawn(add_up, &task, RILL_TASK_OPTIONS(.stack_bytes = 9 << 20), &task), RILL_EINVAL);
    return 0;
}

/* mutant: tasks/task.c
 * - fiber->arg = options->copy_arg != 0 ? top : arg;
 * + fiber->arg = arg;
 * mutant: tasks/task.c
 * - if (fn == NULL || options->copy_arg > RILL__COPY_ARG_MAX)
 * + if (fn == NULL || options->copy_arg > RILL__COPY_ARG_MAX + 1) */
static void
test_a_copied_argument_outlives_its_maker(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, copies, NULL), 0);
}

static void
count_one(rill_task *task, void *arg)
{
    assert_non_null(task);
    ++*(int *)arg;
}

static int
names(void *unused)
{
    rill_task *a, *b;
    int count = 0;

    (void)unused;
    RILL_TRY(rill_spawn(leave_letter, &A, RILL_TASK_OPTIONS(.name = "first"), &a));
    RILL_TRY(rill_spawn(leave_letter, &B, NULL, &b));
    assert_string_equal(rill_task_name(a), "first");
    assert_true(rill_task_id(b) > rill_task_id(a));
    assert_memory_equal(rill_task_name(b), "task-", 5);
    assert_code(rill_task_set_name(b, "other"), 0);
    assert_string_equal(rill_task_name(b), "other");
    assert_int_equal(rill_all_tasks(h.loop, count_one, &count), 3);
    assert_int_equal(count, 3);
    RILL_TRY(rill_join(a));
    RILL_TRY(rill_join(b));
    assert_int_equal(rill_all_tasks(h.loop, NULL, NULL), 1);
    return 0;
}

/* mutant: tasks/task.c
 * - task->id = ++loop->tasks->made;
 * + task->id = loop->tasks->made; */
static void
test_names_ids_and_the_list_of_all(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, names, NULL), 0);
}

/* ---- errors that nobody looks at ---- */

static int
fail_with(void *arg)
{
    return *(int *)arg;
}

static int
forget_errors(void *unused)
{
    static int error = -EPROTO;
    rill_future *future;
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(fail_with, &error, RILL_TASK_OPTIONS(.name = "lost"), &task));
    RILL_TRY(rill_yield());
    assert_int_equal(h.reports, 0);
    rill_task_unref(task);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_TASK);
    assert_int_equal(h.report_code, -EPROTO);
    assert_contains(h.report_message, "'lost' failed, and nobody has looked at it");
    assert_contains(h.report_site, "test_spawn.c");

    RILL_TRY(rill_spawn(fail_with, &error, NULL, &task));
    assert_code(rill_join(task), -EPROTO);
    assert_int_equal(h.reports, 1);

    RILL_TRY(rill_go(fail_with, &error, NULL));
    RILL_TRY(rill_yield());
    assert_int_equal(h.reports, 2);

    RILL_TRY(rill_future_new(h.loop, &future));
    RILL_TRY(rill_future_set_error(future, -EPROTO));
    rill_future_unref(future);
    assert_int_equal(h.reports, 3);
    assert_contains(h.report_message, "never looked at");
    return 0;
}

/* mutant: tasks/task.c
 * - if (future->state == RILL__FAILED && !future->retrieved) {
 * + if (future->state == RILL__FAILED) { */
static void
test_an_error_that_nobody_saw_is_reported_once_with_name_and_site(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    assert_code(tasks_run(&h, forget_errors, NULL), 0);
    assert_int_equal(h.reports, 3);
}

/* ---- what runs at the end ---- */

static void
defer_letter(void *arg)
{
    assert_code(rill_sleep(RILL_MS), 0);
    tape_add(&seen, ((mark *)arg)->letter);
}

static int
with_defers(void *unused)
{
    (void)unused;
    RILL_TRY(rill_defer(defer_letter, &A));
    RILL_TRY(rill_defer(defer_letter, &B));
    tape_add(&seen, '.');
    return rill_sleep(3600 * RILL_S);
}

static int
cancel_with_defers(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(with_defers, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, "enough"));
    assert_string_equal(rill_task_why(task), "enough");
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/defer.c
 * - rill_shield_begin(&shield, RILL__GRACE);
 * + rill_scope_begin(&shield); */
static void
test_defers_run_last_in_first_out_and_may_wait_although_canceled(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_with_defers, NULL), 0);
    assert_string_equal(seen.text, ".ba");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_spawn_returns_before_the_child_runs_and_order_is_first_in_first_out),
        CASE(test_an_eager_child_runs_to_its_first_suspension_inside_spawn),
        CASE(test_set_result_runs_no_user_code_and_waiters_go_on_in_their_order),
        CASE(test_ready_awaits_do_not_yield_but_the_128th_does),
        CASE_ON("kernel", test_tasks_that_compute_between_yields_keep_no_timer_waiting),
        CASE(test_outside_of_tasks_nothing_waits),
        CASE(test_a_task_cannot_wait_for_itself),
        CASE(test_a_future_of_another_loop_is_refused),
        CASE(test_a_copied_argument_outlives_its_maker),
        CASE(test_names_ids_and_the_list_of_all),
        CASE(test_an_error_that_nobody_saw_is_reported_once_with_name_and_site),
        CASE(test_defers_run_last_in_first_out_and_may_wait_although_canceled),
    };

    return run_cases(tests);
}
