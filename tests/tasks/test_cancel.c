/*
 * Cancellation: it is said by every wait until it is taken back, has no effect of its own, and
 * loses nothing that has already happened.
 */
#include "tasks.h"

#include "child.h"

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

static int
sleep_long(void *unused)
{
    (void)unused;
    return rill_sleep(3600 * RILL_S);
}

/* ---- what was there first ---- */

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
    m->second = rill_await(m->future, NULL);
    return 0;
}

static int
set_then_cancel(void *unused)
{
    meeting m = { 0 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_future_new(h.loop, &m.future));
    RILL_TRY(rill_spawn(await_twice, &m, NULL, &task));
    RILL_TRY(rill_yield());
    RILL_TRY(rill_future_set_result(m.future, NULL));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), 0);
    assert_code(m.first, 0);
    assert_code(m.second, RILL_ECANCELED);
    rill_future_unref(m.future);
    return 0;
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_a_result_set_before_the_cancel_is_not_lost(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, set_then_cancel, NULL), 0);
}

/* ---- before its first run ---- */

typedef struct entry {
    int entered;
    int first;
} entry;

static int
note_entry(void *arg)
{
    entry *e = arg;

    e->entered++;
    e->first = rill_checkpoint();
    return 5;
}

static int
cancel_before_start(void *unused)
{
    entry e = { 0 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(note_entry, &e, NULL, &task));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), 5);
    assert_int_equal(e.entered, 1);
    assert_code(e.first, RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/task.c @ rill__task_cancel
 * - rill__scopes_update(task->fiber); */
static void
test_a_task_canceled_before_its_first_run_is_entered_once(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_before_start, NULL), 0);
}

/* ---- no side effects, and taking it back ---- */

static int
wait_in_all_ways(void *arg)
{
    rill_future *future = arg;
    rill_loop_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
    rill_task *me = rill_current_task();

    assert_true(rill_task_cancel(me, "first"));
    assert_true(rill_task_cancel(me, "second"));
    assert_string_equal(rill_task_why(me), "first");
    rill_loop_get_stats(h.loop, &before);
    assert_code(rill_sleep(RILL_MS), RILL_ECANCELED);
    rill_loop_get_stats(h.loop, &after);
    assert_int_equal(after.timers, before.timers);
    assert_code(rill_await(future, NULL), RILL_ECANCELED);
    assert_false(rill_future_is_done(future));
    assert_code(rill_await_for(future, 0, NULL), RILL_ECANCELED);
    assert_false(rill_future_is_done(future));
    assert_code(rill_wait(&future, 1, RILL_ALL_DONE, 0), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(me), 1);
    assert_code(rill_yield(), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(me), 0);
    assert_code(rill_yield(), 0);
    assert_int_equal(rill_task_uncancel(me), 0);
    assert_null(rill_task_why(me));
    return 0;
}

/* mutant: tasks/wait.c @ rill_yield
 * - int rc = rill__may_wait(fiber);
 * + int rc = 0; */
static void
test_under_cancel_every_wait_fails_without_side_effects(void **unused)
{
    rill_future *future;

    (void)unused;
    assert_code(rill_future_new(h.loop, &future), 0);
    assert_code(tasks_run(&h, wait_in_all_ways, future), 0);
    rill_future_unref(future);
}

static int
cancel_the_done(void *unused)
{
    entry e = { 0 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(note_entry, &e, NULL, &task));
    RILL_TRY(rill_yield());
    assert_false(rill_task_cancel(task, NULL));
    assert_int_equal(rill_task_cancelling(task), 0);
    assert_false(rill_task_is_canceled(task));
    return rill_join(task);
}

/* mutant: tasks/task.c @ rill__task_cancel
 * - if (task->fiber == NULL)
 * + if (++task->cancels && task->fiber == NULL) */
static void
test_cancel_of_a_done_task_is_false_and_not_counted(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_the_done, NULL), 5);
}

static int
cancel_self(void *unused)
{
    (void)unused;
    assert_true(rill_task_cancel(rill_current_task(), NULL));
    return 9; /* It was not looked at by a wait: done. */
}

static int
self_cancel(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(cancel_self, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    assert_false(rill_task_is_canceled(task));
    assert_int_equal(rill_task_cancelling(task), 1);
    return rill_join(task);
}

/* mutant: tasks/task.c
 * - end(fiber->task, code);
 * + end(fiber->task, fiber->canceled ? RILL_ECANCELED : code); */
static void
test_a_self_cancel_fails_at_the_next_wait_and_a_result_after_it_counts(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, self_cancel, NULL), 9);
}

static int
say_canceled(void *unused)
{
    (void)unused;
    return RILL_ECANCELED;
}

static int
unasked(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(say_canceled, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_is_canceled(task));
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/task.c
 * - : code == RILL_ECANCELED ? RILL__CANCELED
 * + : code == RILL_ECANCELED && task->cancels > 0 ? RILL__CANCELED */
static void
test_returning_ecanceled_unasked_makes_it_canceled_and_the_joiner_sees_erevoked(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, unasked, NULL), 0);
}

/* ---- joining ---- */

typedef struct family {
    rill_task *child;
    bool child_ended;
    int joined;
} family;

static int
slow_to_end(void *arg)
{
    family *f = arg;
    rill_scope shield;
    int rc = rill_sleep(3600 * RILL_S);

    rill_shield_begin(&shield, RILL_S);
    RILL_IGNORE(rill_scope_end(&shield, rill_sleep(50 * RILL_MS)));
    f->child_ended = true;
    return rc;
}

static int
joiner(void *arg)
{
    family *f = arg;

    RILL_TRY(rill_spawn(slow_to_end, f, NULL, &f->child));
    f->joined = rill_join(f->child);
    assert_true(f->child_ended);
    return f->joined;
}

static int
cancel_joiner(void *unused)
{
    family f = { 0 };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(joiner, &f, NULL, &task));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL)); /* Once more: it still waits. */
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_code(f.joined, RILL_ECANCELED);
    return 0;
}

/* mutant: tasks/wait.c
 * - if (self->how == AWAIT_INSISTING ||
 * + if ( */
static void
test_a_canceled_joiner_waits_until_its_child_has_ended(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_joiner, NULL), 0);
}

static int
join_when_canceled(void *unused)
{
    family f = { 0 };
    rill_task *me = rill_current_task();

    (void)unused;
    RILL_TRY(rill_spawn(slow_to_end, &f, NULL, &f.child));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(me, NULL));
    assert_code(rill_join(f.child), RILL_ECANCELED);
    assert_true(f.child_ended);
    assert_int_equal(rill_task_uncancel(me), 0);
    return 0;
}

/* mutant: tasks/wait.c
 * - if (future->state == RILL__PENDING && fiber->canceled)
 * + if (false) */
static void
test_a_join_of_the_canceled_cancels_and_waits_all_the_same(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, join_when_canceled, NULL), 0);
}

/* ---- abort functions ---- */

typedef struct operation {
    rill_future *future;
    int aborts;
    rill_abort answer;
    int seen;
} operation;

static rill_abort
abort_operation(rill_future *future, void *arg)
{
    operation *o = arg;

    assert_ptr_equal(future, o->future);
    o->aborts++;
    return o->answer;
}

static int
await_operation(void *arg)
{
    operation *o = arg;

    o->seen = rill_await(o->future, NULL);
    return o->seen;
}

static void
operation_open(operation *o, rill_abort answer)
{
    *o = (operation){ .answer = answer, .seen = 1 };
    assert_code(rill_future_new(h.loop, &o->future), 0);
    rill_future_on_cancel(o->future, abort_operation, o);
}

static int
two_waiters(void *unused)
{
    operation o;
    rill_task *first, *second;

    (void)unused;
    operation_open(&o, RILL_ABORT_DONE);
    RILL_TRY(rill_spawn(await_operation, &o, NULL, &first));
    RILL_TRY(rill_spawn(await_operation, &o, NULL, &second));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(first, NULL));
    assert_code(rill_join(first), RILL_EREVOKED);
    assert_int_equal(o.aborts, 0);
    assert_false(rill_future_is_done(o.future));
    RILL_TRY(rill_future_set_result(o.future, NULL));
    assert_code(rill_join(second), 0);
    rill_future_unref(o.future);
    return 0;
}

/* mutant: tasks/wait.c
 * - (self->how == AWAIT && rill__future_is_sole(self->future, &self->waiter))) {
 * + self->how == AWAIT) { */
static void
test_of_two_waiters_a_cancel_takes_only_its_own(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, two_waiters, NULL), 0);
}

static int
sole_waiter(void *unused)
{
    operation o;
    rill_task *task;

    (void)unused;
    operation_open(&o, RILL_ABORT_DONE);
    RILL_TRY(rill_spawn(await_operation, &o, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    assert_true(rill_task_cancel(task, NULL));
    assert_true(rill_future_is_canceled(o.future));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_code(o.seen, RILL_ECANCELED);
    assert_int_equal(o.aborts, 1);
    rill_future_unref(o.future);
    return 0;
}

/* mutant: tasks/wait.c
 * - (void)rill_future_cancel(self->future); */
static void
test_the_sole_waiters_cancel_calls_the_abort_function_once(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, sole_waiter, NULL), 0);
}

static int
pending_abort(void *unused)
{
    operation o;
    rill_task *task;

    (void)unused;
    operation_open(&o, RILL_ABORT_PENDING);
    RILL_TRY(rill_spawn(await_operation, &o, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    RILL_TRY(rill_yield());
    assert_int_equal(o.seen, 1);
    assert_int_equal(o.aborts, 1);
    RILL_TRY(rill_future_set_result(o.future, NULL)); /* A success after all. */
    assert_code(rill_join(task), 0);
    assert_code(o.seen, 0);
    rill_future_unref(o.future);
    return 0;
}

/* mutant: tasks/wait.c
 * - return false;
 * + return true; */
static void
test_a_pending_abort_keeps_the_wait_until_the_completion(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, pending_abort, NULL), 0);
}

static int
await_operation_shared(void *arg)
{
    operation *o = arg;

    o->seen = rill_await_shared(o->future, NULL);
    return o->seen;
}

static int
shared_waiter(void *unused)
{
    operation o;
    rill_task *task;

    (void)unused;
    operation_open(&o, RILL_ABORT_DONE);
    RILL_TRY(rill_spawn(await_operation_shared, &o, NULL, &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_code(o.seen, RILL_ECANCELED);
    assert_int_equal(o.aborts, 0);
    assert_false(rill_future_is_done(o.future));
    rill_future_unref(o.future);
    return 0;
}

/* mutant: tasks/wait.c
 * - return await_with(future, ret_value, AWAIT_SHARED, "rill_await_shared");
 * + return await_with(future, ret_value, AWAIT, "rill_await_shared"); */
static void
test_a_cancel_never_reaches_what_is_awaited_shared(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, shared_waiter, NULL), 0);
}

/* ---- who does not listen ---- */

static int refused;

static int
swallow(void *unused)
{
    (void)unused;
    while (refused < 150) {
        int rc = rill_sleep(RILL_MS);

        refused += rc == RILL_ECANCELED;
    }
    return 0;
}

static int
swallower(void *unused)
{
    rill_task *task;
    rill_ns begin;
    int turns = 0;

    (void)unused;
    refused = 0;
    RILL_TRY(rill_spawn(swallow, NULL, RILL_TASK_OPTIONS(.name = "deaf"), &task));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    begin = rill_loop_time(h.loop);
    while (!rill_task_is_done(task)) {
        RILL_TRY(rill_yield());
        turns++;
    }
    assert_true(turns >= 100); /* Nobody was kept from running, */
    assert_true(rill_loop_time(h.loop) - begin >= 100 * RILL_MS); /* and it had to slow down. */
    return rill_join(task);
}

/* mutant: tasks/wait.c
 * - if (count == REFUSED_REPORT)
 * + if (count >= REFUSED_REPORT)
 * mutant: tasks/wait.c
 * - if (count < REFUSED_REPORT)
 * + if (true) */
static void
test_a_hundred_swallowed_cancels_are_reported_and_cost_time(void **unused)
{
    (void)unused;
    harness_catch_reports(&h);
    assert_code(tasks_run(&h, swallower, NULL), 0);
    assert_int_equal(h.reports, 1);
    assert_contains(h.report_message, "'deaf' was told 100 times that it is canceled");
    assert_contains(h.report_site, "test_cancel.c");
}

/* ---- the loop's end ---- */

/* mutant: tasks/task.c
 * - (void)rill__task_cancel(RILL__CONTAINER(object, rill_task, object), "the loop is being freed");
 * + (void)object; */
static void
test_a_task_alive_at_the_loops_end_is_canceled_and_ends(void **unused)
{
    static harness own;
    rill_task *task;
    rill_loop *loop;

    (void)unused;
    harness_open(&own);
    loop = own.loop;
    assert_code(rill_spawn_on(loop, sleep_long, NULL, NULL, &task), 0);
    harness_settle(&own);
    rill_task_unref(task);
    harness_close_with(&own, 1);
}

static int
never_ends(void *unused)
{
    (void)unused;
    while (rill_loop_running() != NULL)
        RILL_IGNORE(rill_sleep(RILL_S));
    return 0;
}

/* mutant: tasks/task.c @ abandon
 * - free_name(task); */
static void
test_a_task_that_never_ends_is_reported_and_dropped_with_the_loop(void **unused)
{
    static harness own;
    rill_task *task;

    (void)unused;
    harness_open(&own);
    own.log_allowed = true;
    assert_code(
        rill_spawn_on(own.loop, never_ends, NULL, RILL_TASK_OPTIONS(.name = "zombie"), &task), 0);
    harness_settle(&own);
    rill_task_unref(task);
    harness_close_with(&own, 2); /* The task, and its future. */
    assert_contains(own.log, "'zombie' did not end although it was canceled");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_result_set_before_the_cancel_is_not_lost),
        CASE(test_a_task_canceled_before_its_first_run_is_entered_once),
        CASE(test_under_cancel_every_wait_fails_without_side_effects),
        CASE(test_cancel_of_a_done_task_is_false_and_not_counted),
        CASE(test_a_self_cancel_fails_at_the_next_wait_and_a_result_after_it_counts),
        CASE(test_returning_ecanceled_unasked_makes_it_canceled_and_the_joiner_sees_erevoked),
        CASE(test_a_canceled_joiner_waits_until_its_child_has_ended),
        CASE(test_a_join_of_the_canceled_cancels_and_waits_all_the_same),
        CASE(test_of_two_waiters_a_cancel_takes_only_its_own),
        CASE(test_the_sole_waiters_cancel_calls_the_abort_function_once),
        CASE(test_a_pending_abort_keeps_the_wait_until_the_completion),
        CASE(test_a_cancel_never_reaches_what_is_awaited_shared),
        CASE(test_a_hundred_swallowed_cancels_are_reported_and_cost_time),
        CASE(test_a_task_alive_at_the_loops_end_is_canceled_and_ends),
        CASE_ON("sim", test_a_task_that_never_ends_is_reported_and_dropped_with_the_loop), /* 5 s */
    };

    return run_cases(tests);
}
