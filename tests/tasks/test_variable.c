/*
 * Variables of tasks: inherited as they were, invisible to others, and bounded in memory.
 */
#include "tasks.h"

static harness h;
static char one[] = "one", two[] = "two", three[] = "three", standard[] = "standard";
static const rill_var user = { "user", standard };
static const rill_var request = { "request", NULL };

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
child(void *arg)
{
    assert_ptr_equal(rill_var_get(&user), one);
    RILL_TRY(rill_var_set(&user, arg, NULL));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_ptr_equal(rill_var_get(&user), arg);
    return 0;
}

static int
parent(void *unused)
{
    rill_task *a, *b;

    (void)unused;
    assert_ptr_equal(rill_var_get(&user), standard);
    RILL_TRY(rill_var_set(&user, one, NULL));
    RILL_TRY(rill_spawn(child, two, NULL, &a));
    RILL_TRY(rill_spawn(child, three, RILL_TASK_OPTIONS(.eager = 1), &b));
    assert_ptr_equal(rill_var_get(&user), one);
    RILL_TRY(rill_var_set(&request, two, NULL));
    RILL_TRY(rill_join(a));
    RILL_TRY(rill_join(b));
    assert_ptr_equal(rill_var_get(&user), one);
    assert_ptr_equal(rill_var_get(&request), two);
    return 0;
}

/* mutant: tasks/variable.c
 * - return node != NULL && node->refs == 1 ? node : NULL;
 * + return node; */
static void
test_a_child_inherits_a_snapshot_and_its_settings_are_its_own(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, parent, NULL), 0);
    assert_ptr_equal(rill_var_get(&user), standard);
}

/* ---- callbacks ---- */

static void *seen;

static void
look(rill_future *future, void *arg)
{
    (void)future;
    (void)arg;
    seen = rill_var_get(&user);
    assert_code(rill_var_set(&user, three, NULL), 0); /* Its own affair. */
}

static int
ask_for_callback(void *arg)
{
    RILL_TRY(rill_var_set(&user, two, NULL));
    RILL_TRY(rill_future_on_done(arg, look, NULL));
    RILL_TRY(rill_var_set(&user, one, NULL));
    RILL_TRY(rill_future_set_result(arg, NULL));
    RILL_TRY(rill_yield());
    RILL_TRY(rill_yield());
    assert_ptr_equal(rill_var_get(&user), one);
    return 0;
}

/* mutant: core/future.c
 * - future->loop->context = self->context; */
static void
test_a_callback_of_a_future_runs_with_the_variables_of_who_asked_for_it(void **unused)
{
    rill_future *future;

    (void)unused;
    assert_code(rill_future_new(h.loop, &future), 0);
    assert_code(tasks_run(&h, ask_for_callback, future), 0);
    assert_ptr_equal(seen, two);
    rill_future_unref(future);
}

/* ---- tokens, and contexts that are given ---- */

static rill_token foreign;

static int
set_foreign(void *unused)
{
    (void)unused;
    return rill_var_set(&user, three, &foreign);
}

static int
tokens(void *unused)
{
    rill_token a, b;
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_var_set(&user, one, &a));
    RILL_TRY(rill_var_set(&user, two, &b));
    assert_code(rill_var_reset(&b), 0);
    assert_ptr_equal(rill_var_get(&user), one);
    assert_code(rill_var_reset(&b), RILL_ESTATE);
    assert_code(rill_var_reset(&a), 0);
    assert_ptr_equal(rill_var_get(&user), standard);
    RILL_TRY(rill_spawn(set_foreign, NULL, NULL, &task));
    RILL_TRY(rill_join(task));
    assert_code(rill_var_reset(&foreign), RILL_ESTATE);
    return 0;
}

static int
read_user(void *arg)
{
    assert_ptr_equal(rill_var_get(&user), arg);
    return 0;
}

static int
given_context(void *unused)
{
    rill_context *context;
    rill_task *task;

    (void)unused;
    assert_null(rill_context_copy());
    RILL_TRY(rill_var_set(&user, one, NULL));
    context = rill_context_copy();
    RILL_TRY(rill_var_set(&user, two, NULL));
    RILL_TRY(rill_spawn(read_user, one, RILL_TASK_OPTIONS(.context = context), &task));
    RILL_TRY(rill_join(task));
    rill_context_unref(context);
    rill_context_unref(NULL);
    return 0;
}

/* mutant: tasks/variable.c
 * - if (self->var == NULL || rill__running == NULL || self->task != rill_current_task())
 * + if (self->var == NULL || rill__running == NULL)
 * mutant: tasks/variable.c
 * - self->var = NULL;
 * + ; */
static void
test_tokens_bring_back_what_was_once_and_in_their_task(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, tokens, NULL), 0);
}

/* mutant: tasks/task.c
 * - fiber->context = options->context != NULL ? options->context : loop->context;
 * + fiber->context = loop->context; */
static void
test_a_task_can_be_given_the_variables_of_another_time(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, given_context, NULL), 0);
}

static int
keep_context(void *ret_context)
{
    RILL_TRY(rill_var_set(&user, one, NULL));
    *(rill_context **)ret_context = rill_context_copy();
    return 0;
}

static int
nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* mutant: tasks/task.c @ check
 * - if (options->context != NULL && rill__context_loop(options->context) != loop)
 * + if (false) */
static void
test_a_task_cannot_be_given_the_variables_of_another_loop(void **unused)
{
    static harness other;
    rill_context *context = NULL;
    rill_task *task;
    int rc;

    (void)unused;
    assert_code(tasks_run(&h, keep_context, &context), 0);
    harness_open(&other);
    rc = rill_spawn_on(other.loop, nothing, NULL, RILL_TASK_OPTIONS(.context = context), &task);
    rill_context_unref(context);
    assert_code(rc, RILL_EWRONGLOOP);
    harness_close(&other);
}

/* ---- memory ---- */

static int
hold_on(void *unused)
{
    (void)unused;
    return rill_sleep(3600 * RILL_S);
}

/* A server: it sets a variable for each request, and has always one child alive. */
static int
set_for_ever(void *unused)
{
    rill_loop_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
    rill_task *last = NULL, *next;

    (void)unused;
    for (int i = 0; i < 5000; i++) {
        RILL_TRY(rill_var_set(&request, i % 2 == 0 ? one : two, NULL));
        RILL_TRY(rill_var_set(&user, i % 2 == 0 ? one : two, NULL));
        RILL_TRY(rill_spawn(hold_on, NULL, RILL_TASK_OPTIONS(.eager = 1), &next));
        if (last != NULL) {
            rill_task_cancel(last, NULL);
            assert_code(rill_join(last), RILL_EREVOKED);
        }
        last = next;
        if (i == 1000)
            rill_loop_get_stats(h.loop, &before);
    }
    rill_loop_get_stats(h.loop, &after);
    assert_int_equal(after.memory[RILL_TAG_TRANSPORT], before.memory[RILL_TAG_TRANSPORT]);
    rill_task_cancel(last, NULL);
    assert_code(rill_join(last), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/variable.c
 * - context != NULL && context->length >= context->length_max ? compact(loop, context) : NULL;
 * + NULL; */
static void
test_settings_that_nobody_can_see_any_more_take_no_memory(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, set_for_ever, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_child_inherits_a_snapshot_and_its_settings_are_its_own),
        CASE(test_a_callback_of_a_future_runs_with_the_variables_of_who_asked_for_it),
        CASE(test_tokens_bring_back_what_was_once_and_in_their_task),
        CASE(test_a_task_can_be_given_the_variables_of_another_time),
        CASE(test_a_task_cannot_be_given_the_variables_of_another_loop),
        CASE(test_settings_that_nobody_can_see_any_more_take_no_memory),
    };

    return run_cases(tests);
}
