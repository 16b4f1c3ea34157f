/*
 * Children at their edges: eager ones, those that a group must not take, and what a failure leaves
 * behind in the task that began the group.
 */
#include "tasks.h"

#include <errno.h>

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

#define LONG (3600 * RILL_S)

/* ---- eager ---- */

typedef struct census {
    rill_task *wanted;
    size_t count;
    bool found;
} census;

static void
count_one(rill_task *task, void *arg)
{
    census *c = arg;

    c->count++;
    c->found = c->found || task == c->wanted;
}

/* How many tasks there are; is `wanted` among them? */
static census
take_census(rill_task *wanted)
{
    census c = { .wanted = wanted };
    size_t count = rill_all_tasks(h.loop, count_one, &c);

    assert_int_equal(count, c.count);
    return c;
}

static rill_task *inside;

static int
look_around(void *code)
{
    census c;

    inside = rill_current_task();
    c = take_census(inside);
    assert_true(c.found);
    assert_int_equal(c.count, 2);
    if (*(int *)code == 0)
        RILL_TRY(rill_yield());
    return *(int *)code;
}

static int
count_eager_ones(void *unused)
{
    static int at_once = 3, later = 0;
    rill_task *me = rill_current_task(), *child;

    (void)unused;
    RILL_TRY(rill_spawn(look_around, &at_once, RILL_TASK_OPTIONS(.eager = 1), &child));
    assert_true(rill_task_is_done(child));
    assert_ptr_equal(inside, child);
    assert_ptr_equal(rill_current_task(), me);
    assert_false(take_census(child).found);
    assert_true(take_census(me).found);
    assert_code(rill_join(child), 3);
    RILL_TRY(rill_spawn(look_around, &later, RILL_TASK_OPTIONS(.eager = 1), &child));
    assert_false(rill_task_is_done(child));
    assert_ptr_equal(rill_current_task(), me);
    assert_true(take_census(child).found);
    assert_code(rill_join(child), 0);
    assert_int_equal(take_census(me).count, 1);
    return 0;
}

/* mutant: tasks/task.c @ end
 * - rill__object_remove(loop, RILL__OBJECT_TASK, &task->object);
 * + if (!task->starting) rill__object_remove(loop, RILL__OBJECT_TASK, &task->object);
 *
 * mutant: tasks/internal.h @ rill__fiber_step_back
 * - fiber->loop->fiber = fiber->outer;
 * + fiber->loop->fiber = NULL; */
static void
test_an_eager_task_is_current_and_listed_while_it_runs_and_not_when_it_is_done(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, count_eager_ones, NULL), 0);
}

static int
leave_letter(void *letter)
{
    tape_add(&seen, *(char *)letter);
    return 0;
}

static int
spend_nothing(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) /* Of its own budget. */
        RILL_TRY(rill_checkpoint());
    return 0;
}

static int
spawn_eager_among_others(void *unused)
{
    rill_task *first, *eager;

    (void)unused;
    RILL_TRY(rill_spawn(leave_letter, WORD("q"), NULL, &first));
    for (int i = 0; i < 3; i++) {
        RILL_TRY(rill_spawn(spend_nothing, NULL, RILL_TASK_OPTIONS(.eager = 1), &eager));
        RILL_TRY(rill_join(eager));
        for (int k = 0; k < 40; k++)
            RILL_TRY(rill_checkpoint());
    }
    assert_string_equal(seen.text, ""); /* 120 of ours: nobody had a turn meanwhile. */
    return rill_join(first);
}

/* mutant: tasks/wait.c @ enter
 * - fiber->budget = RILL__BUDGET;
 * + fiber->budget = loop->fiber != NULL ? loop->fiber->budget : RILL__BUDGET; */
static void
test_an_eager_task_that_ends_at_once_costs_no_turn_and_has_a_budget_of_its_own(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, spawn_eager_among_others, NULL), 0);
    assert_string_equal(seen.text, "q");
}

/* ---- what a group does not take ---- */

static int never_entered;

static int
free_argument(void *arg)
{
    never_entered++;
    (void)arg;
    return 0;
}

static int
fail_now(void *unused)
{
    (void)unused;
    return -EPROTO;
}

static void
refuse(rill_group *group, int code)
{
    size_t tasks = rill_all_tasks(h.loop, NULL, NULL);

    assert_code(rill_group_spawn(group, free_argument, &h, NULL), code);
    assert_code(rill_group_spawn(group, free_argument, &h, RILL_TASK_OPTIONS(.eager = 1)), code);
    assert_int_equal(rill_all_tasks(h.loop, NULL, NULL), tasks);
}

static int
spawn_in_vain(void *unused)
{
    rill_group failing, canceled;
    int rc;

    (void)unused;
    rill_group_begin(&failing);
    rc = rill_group_spawn(&failing, fail_now, NULL, NULL);
    assert_code(rc, 0);
    assert_code(rill_yield(), 0);
    refuse(&failing, RILL_ECANCELED);
    assert_code(rill_group_end(&failing, rc), -EPROTO);
    refuse(&failing, RILL_ESTATE);
    rill_group_begin(&canceled);
    rill_group_cancel(&canceled);
    refuse(&canceled, RILL_ECANCELED);
    assert_code(rill_group_end(&canceled, 0), 0);
    refuse(&canceled, RILL_ESTATE);
    return rill_yield();
}

/* Whoever gave it an argument has it still.
 *
 * mutant: tasks/group.c @ rill__group_join
 * - if (self->scope.canceled || self->aborted)
 * + if (self->scope.canceled && self->errors_count == 0) */
static void
test_a_group_that_fails_or_has_ended_takes_no_task_and_its_function_never_runs(void **unused)
{
    (void)unused;
    never_entered = 0;
    assert_code(tasks_run(&h, spawn_in_vain, NULL), 0);
    harness_settle(&h);
    assert_int_equal(never_entered, 0);
}

/* ---- what a failure leaves behind ---- */

static int
fail_and_go_on(void *unused)
{
    rill_task *me = rill_current_task();
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, fail_now, NULL, NULL);
    assert_code(rc, 0);
    rc = rill_sleep(LONG);
    assert_code(rc, RILL_ECANCELED);
    assert_int_equal(rill_task_cancelling(me), 0); /* The part is canceled, and not the task. */
    assert_code(rill_group_end(&group, rc), -EPROTO);
    assert_int_equal(rill_task_cancelling(me), 0);
    assert_null(rill_task_why(me));
    return rill_sleep(RILL_MS);
}

/* mutant: tasks/group.c @ stop
 * - rill__scopes_update(self->scope.fiber);
 * + (void)rill__task_cancel(self->scope.fiber->task, why); */
static void
test_a_failing_group_leaves_its_task_uncanceled(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, fail_and_go_on, NULL), 0);
}

static int
fail_late(void *code)
{
    RILL_IGNORE(rill_sleep(LONG));
    return *(int *)code;
}

static int
cancel_those_who_fail(void *unused)
{
    static int codes[] = { -EIO, -EPIPE };
    int errors[4] = { 0 };
    rill_group group;
    int rc = 0;

    (void)unused;
    rill_group_begin(&group);
    for (int i = 0; i < 2 && rc >= 0; i++)
        rc = rill_group_spawn(&group, fail_late, &codes[i], NULL);
    assert_code(rill_yield(), 0);
    rill_group_cancel(&group);
    assert_code(rill_group_end(&group, rc), -EIO); /* An error of cleaning up is one. */
    assert_int_equal(rill_group_errors(&group, errors, 4), 2);
    assert_code(errors[0], -EIO);
    assert_code(errors[1], -EPIPE);
    return rill_yield();
}

/* mutant: tasks/group.c @ rill__group_left
 * - if (code < 0 && code != RILL_ECANCELED) {
 * + if (code < 0 && code != RILL_ECANCELED && !self->scope.canceled) { */
static void
test_errors_of_children_while_they_are_canceled_are_all_in_the_group(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_those_who_fail, NULL), 0);
}

/* ---- names ---- */

static int
look_at_names(void *unused)
{
    const char *names[5];
    rill_task *tasks[5];

    (void)unused;
    for (int i = 0; i < 5; i++)
        assert_code(rill_spawn(fail_now, NULL, NULL, &tasks[i]), 0);
    for (int i = 0; i < 5; i++)
        names[i] = rill_task_name(tasks[i]);
    for (int i = 0; i < 5; i++) {
        char expected[32];

        snprintf(expected, sizeof(expected), "task-%d", (int)rill_task_id(tasks[i]));
        assert_string_equal(names[i], expected);
        assert_code(rill_join(tasks[i]), -EPROTO);
    }
    return 0;
}

/* mutant: tasks/task.c @ rill_task_name
 * - number = numbers[next++ % NUMBERS_KEPT];
 * + number = numbers[next % NUMBERS_KEPT]; */
static void
test_names_of_several_unnamed_tasks_can_be_used_together(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, look_at_names, NULL), 0);
}

/* ---- joining ---- */

static int
sleep_long(void *unused)
{
    (void)unused;
    return rill_sleep(LONG);
}

static int
join_the_canceled(void *unused)
{
    rill_task *child;

    (void)unused;
    RILL_TRY(rill_spawn(sleep_long, NULL, NULL, &child));
    RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(child, NULL));
    assert_code(rill_join(child), RILL_EREVOKED);
    assert_int_equal(rill_task_cancelling(rill_current_task()), 0);
    return rill_sleep(RILL_MS); /* Not its own cancel. */
}

/* mutant: tasks/wait.c @ await_pending
 * - return rc == RILL_EREVOKED && fiber->canceled ? RILL_ECANCELED : rc;
 * + return rc == RILL_EREVOKED ? RILL_ECANCELED : rc; */
static void
test_who_joins_a_canceled_child_is_told_that_it_was_revoked_and_goes_on(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, join_the_canceled, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_eager_task_is_current_and_listed_while_it_runs_and_not_when_it_is_done),
        CASE(test_an_eager_task_that_ends_at_once_costs_no_turn_and_has_a_budget_of_its_own),
        CASE(test_a_group_that_fails_or_has_ended_takes_no_task_and_its_function_never_runs),
        CASE(test_a_failing_group_leaves_its_task_uncanceled),
        CASE(test_errors_of_children_while_they_are_canceled_are_all_in_the_group),
        CASE(test_names_of_several_unnamed_tasks_can_be_used_together),
        CASE(test_who_joins_a_canceled_child_is_told_that_it_was_revoked_and_goes_on),
    };

    return run_cases(tests);
}
