/*
 * Groups: all children end before the group does, the first error wins, and no cancel is lost.
 */
#include "tasks.h"

#include "child.h"

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

/* A child: sleeps, fails or not, and takes its time when it is canceled. */
typedef struct kid {
    rill_ns after;
    int code;
    rill_ns cleanup;
    char letter;
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
    if (k->letter != 0)
        tape_add(&seen, rc < 0 ? (char)(k->letter - 32) : k->letter);
    return rc < 0 ? rc : k->code;
}

static int
group_of_two(void *unused)
{
    kid a = { .after = 2 * RILL_MS, .letter = 'a', .code = 3 };
    kid b = { .after = 1 * RILL_MS, .letter = 'b' };
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, &a, NULL);
    if (rc >= 0)
        rc = rill_group_spawn(&group, live, &b, NULL);
    rc = rill_group_end(&group, rc);
    assert_true(a.ended && b.ended);
    assert_code(rill_group_spawn(&group, live, &a, NULL), RILL_ESTATE);
    return rc;
}

/* mutant: tasks/group.c
 * - wait_for_children(self); */
static void
test_a_group_waits_for_all_its_children(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, group_of_two, NULL), 0);
    if (on_driver("sim")) /* Elsewhere b may begin its nap late. */
        assert_string_equal(seen.text, "ba");
    assert_int_equal(seen.len, 2);
}

/* ---- canceled from outside ---- */

static int
patient(void *arg)
{
    kid *kids = arg;
    rill_group group;
    int rc = 0;

    rill_group_begin(&group);
    for (size_t i = 0; i < 2 && rc >= 0; i++)
        rc = rill_group_spawn(&group, live, &kids[i], NULL);
    rc = rill_group_end(&group, rc);
    assert_true(kids[0].ended && kids[1].ended);
    return rc;
}

static int
cancel_twice(void *unused)
{
    kid kids[] = { { .after = LONG, .cleanup = 20 * RILL_MS },
        { .after = LONG, .cleanup = 30 * RILL_MS } };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(patient, kids, NULL, &task));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    assert_false(kids[0].ended);
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/group.c
 * - (rill__wait){ .cancel = on_cancel, .what = "rill_group_end", .site = self->scope.site };
 * + (rill__wait){ .what = "rill_group_end", .site = self->scope.site }; */
static void
test_group_end_waits_for_all_children_even_when_canceled_twice(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_twice, NULL), 0);
}

/* ---- errors ---- */

static int
with_errors(void *unused)
{
    kid kids[] = { { .after = 2 * RILL_MS, .code = -EPROTO, .letter = 'a' },
        { .after = LONG, .letter = 'b' }, { .after = LONG, .letter = 'c' } };
    int errors[4] = { 0 };
    rill_group group;
    int rc = 0;
    int body;

    (void)unused;
    rill_group_begin(&group);
    for (size_t i = 0; i < 3 && rc >= 0; i++)
        rc = rill_group_spawn(&group, live, &kids[i], NULL);
    body = rill_sleep(LONG);
    assert_code(body, RILL_ECANCELED);
    assert_code(rill_group_spawn(&group, live, &kids[0], NULL), RILL_ECANCELED);
    assert_code(rill_group_end(&group, body), -EPROTO);
    assert_int_equal(rill_group_errors(&group, errors, 4), 1); /* The canceled are no errors. */
    assert_code(errors[0], -EPROTO);
    return rill_yield();
}

/* mutant: tasks/group.c
 * - stop(self, "another task of its group failed"); */
static void
test_the_first_childs_error_cancels_siblings_and_body_and_is_returned(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, with_errors, NULL), 0);
    assert_string_equal(seen.text, "aBC");
}

static int
fail_in_cleanup(void *arg)
{
    int rc = rill_sleep(LONG);

    assert_code(rc, RILL_ECANCELED);
    return *(int *)arg;
}

static int
more_errors(void *unused)
{
    static int codes[] = { -EIO, -EPIPE };
    kid first = { .after = RILL_MS, .code = -EPROTO };
    int errors[4] = { 0 };
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, &first, NULL);
    for (size_t i = 0; i < 2 && rc >= 0; i++)
        rc = rill_group_spawn(&group, fail_in_cleanup, &codes[i], NULL);
    assert_code(rill_group_end(&group, rc), -EPROTO);
    assert_int_equal(rill_group_errors(&group, errors, 4), 3);
    assert_code(errors[0], -EPROTO);
    assert_code(errors[1], -EIO);
    assert_code(errors[2], -EPIPE);
    assert_int_equal(rill_group_errors(&group, errors, 1), 3);
    return 0;
}

/* mutant: tasks/group.c @ rill__group_left
 * - if (code < 0 && code != RILL_ECANCELED) {
 * + if (code < 0 && code != RILL_ECANCELED && !self->aborted) { */
static void
test_errors_while_cleaning_up_are_listed_in_order_of_completion(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, more_errors, NULL), 0);
}

static int
body_fails(void *unused)
{
    kid k = { .after = LONG, .cleanup = RILL_MS };
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, &k, NULL);
    assert_code(rc, 0);
    rc = rill_group_end(&group, -ENOENT);
    assert_true(k.ended);
    return rc;
}

/* mutant: tasks/group.c
 * - stop(self, "its group failed"); */
static void
test_an_error_of_the_body_cancels_the_children_and_is_returned(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, body_fails, NULL), -ENOENT);
}

/* ---- a cancel and an error together ---- */

static int
error_and_cancel(void *arg)
{
    kid *k = arg;
    rill_group group;
    int rc;

    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, k, NULL);
    if (rc >= 0)
        rc = rill_sleep(LONG);
    rc = rill_group_end(&group, rc);
    assert_code(rc, -EPROTO);
    assert_code(rill_yield(), RILL_ECANCELED); /* It is not forgotten. */
    assert_int_equal(rill_task_cancelling(rill_current_task()), 1);
    return 0;
}

static int
fail_when_canceled(void *unused)
{
    kid k = { .after = RILL_MS, .code = -EPROTO };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(error_and_cancel, &k, NULL, &task));
    while (!k.ended)
        RILL_TRY(rill_yield());
    assert_true(rill_task_cancel(task, NULL));
    return rill_join(task);
}

/* mutant: tasks/group.c
 * - if (self->errors_count != 0)
 * + if (self->errors_count != 0 && !self->scope.fiber->canceled) */
static void
test_an_outer_cancel_with_a_childs_error_returns_the_error_and_stays(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, fail_when_canceled, NULL), 0);
}

/* ---- canceling the group ---- */

static int
cancel_group(void *unused)
{
    kid k = { .after = LONG };
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, &k, NULL);
    assert_code(rc, 0);
    assert_code(rill_yield(), 0);
    rill_group_cancel(&group);
    rill_group_cancel(&group);
    assert_false(k.ended);
    rc = rill_sleep(LONG);
    assert_code(rc, RILL_ECANCELED);
    rc = rill_group_end(&group, rc);
    assert_true(k.ended);
    rill_group_cancel(&group); /* Ended: ignored. */
    return rc;
}

/* mutant: tasks/group.c
 * - return rc == RILL_ECANCELED && self->scope.canceled ? 0 : rc;
 * + return rc; */
static void
test_a_canceled_group_ends_without_an_error(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_group, NULL), 0);
}

static int
timeout_while_cleaning(void *unused)
{
    kid k = { .after = LONG, .cleanup = 50 * RILL_MS };
    rill_scope limit;
    rill_group group;
    int rc;

    (void)unused;
    rill_timeout_begin(&limit, 20 * RILL_MS);
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, live, &k, NULL);
    if (rc >= 0)
        rc = rill_sleep(RILL_MS);
    rill_group_cancel(&group);
    rc = rill_group_end(&group, rc);
    assert_true(k.ended);
    return rill_scope_end(&limit, rc);
}

/* mutant: tasks/group.c
 * - if (self->scope.fiber->canceled && (self->aborted || rc == RILL_ECANCELED))
 * + if (self->scope.fiber->canceled && rc == RILL_ECANCELED) */
static void
test_a_timeout_while_children_clean_up_is_reported(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, timeout_while_cleaning, NULL), RILL_ETIMEDOUT);
}

/* ---- eager children, and children of children ---- */

static int
cancel_own_group(void *arg)
{
    rill_group_cancel(arg);
    assert_code(rill_yield(), RILL_ECANCELED);
    tape_add(&seen, 'x');
    return RILL_ECANCELED;
}

static int
eager_cancels(void *unused)
{
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, cancel_own_group, &group, RILL_TASK_OPTIONS(.eager = 1));
    assert_code(rc, 0);
    rc = rill_group_end(&group, rill_yield());
    return rc;
}

/* mutant: tasks/group.c
 * - abort_children(self, why); */
static void
test_an_eager_child_that_cancels_its_group_is_canceled_too(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, eager_cancels, NULL), 0);
    assert_string_equal(seen.text, "x");
}

static int
fail_at_once(void *unused)
{
    (void)unused;
    return -EPROTO;
}

static int
eager_fails(void *unused)
{
    rill_group group;
    int rc;

    (void)unused;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, fail_at_once, NULL, RILL_TASK_OPTIONS(.eager = 1));
    assert_code(rc, 0);
    assert_code(rill_checkpoint(), 0); /* Not before the next turn. */
    assert_code(rill_yield(), 0);
    assert_code(rill_checkpoint(), RILL_ECANCELED);
    return rill_group_end(&group, 0);
}

/* mutant: tasks/task.c
 * - if (!task->starting || task->group == NULL) {
 * + if (true) { */
static void
test_an_eager_childs_error_is_told_in_the_next_turn(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, eager_fails, NULL), -EPROTO);
}

typedef struct tree {
    rill_group *group;
    int depth;
} tree;

static int made;

static int
grow(void *arg)
{
    tree *t = arg;
    tree below = { t->group, t->depth - 1 };

    made++;
    for (int i = 0; t->depth > 0 && i < 3; i++)
        RILL_TRY(
            rill_group_spawn(t->group, grow, &below, RILL_TASK_OPTIONS(.copy_arg = sizeof(below))));
    return 0;
}

static int
grow_tree(void *unused)
{
    rill_group group;
    tree root = { &group, 4 };
    int rc;

    (void)unused;
    made = 0;
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, grow, &root, NULL);
    return rill_group_end(&group, rc);
}

/* mutant: tasks/group.c
 * - if (self->scope.ended || (self->ending && self->alive == 0))
 * + if (self->scope.ended || self->ending) */
static void
test_children_may_have_siblings_while_the_group_ends(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, grow_tree, NULL), 0);
    assert_int_equal(made, 1 + 3 + 9 + 27 + 81);
}

static int
nested(void *unused)
{
    kid inner_kid = { .after = RILL_MS, .code = -EIO };
    kid outer_kid = { .after = LONG };
    rill_group outer, inner;
    int rc;

    (void)unused;
    rill_group_begin(&outer);
    rc = rill_group_spawn(&outer, live, &outer_kid, NULL);
    assert_code(rc, 0);
    rill_group_begin(&inner);
    rc = rill_group_spawn(&inner, live, &inner_kid, NULL);
    rc = rill_group_end(&inner, rc);
    assert_code(rc, -EIO);
    assert_code(rill_yield(), 0); /* The outer one goes on until it hears of it. */
    rc = rill_group_end(&outer, rc);
    assert_true(outer_kid.ended);
    return rc;
}

/* mutant: tasks/group.c
 * - self->scope.canceled = true;
 * + self->scope.canceled = true;
 * + if (self->scope.outer != NULL)
 * + self->scope.outer->canceled = true; */
static void
test_an_inner_groups_error_is_the_outer_ones_only_by_its_body(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, nested, NULL), -EIO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_group_waits_for_all_its_children),
        CASE(test_group_end_waits_for_all_children_even_when_canceled_twice),
        CASE(test_the_first_childs_error_cancels_siblings_and_body_and_is_returned),
        CASE(test_errors_while_cleaning_up_are_listed_in_order_of_completion),
        CASE(test_an_error_of_the_body_cancels_the_children_and_is_returned),
        CASE(test_an_outer_cancel_with_a_childs_error_returns_the_error_and_stays),
        CASE(test_a_canceled_group_ends_without_an_error),
        CASE(test_a_timeout_while_children_clean_up_is_reported),
        CASE(test_an_eager_child_that_cancels_its_group_is_canceled_too),
        CASE(test_an_eager_childs_error_is_told_in_the_next_turn),
        CASE(test_children_may_have_siblings_while_the_group_ends),
        CASE(test_an_inner_groups_error_is_the_outer_ones_only_by_its_body),
    };

    return run_cases(tests);
}
