/*
 * Generators: items one by one, waits inside them, and their ends.
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

typedef struct range {
    intptr_t from;
    intptr_t to;
    rill_ns pause;
    int code;
    bool cleaned;
} range;

static int
count(void *arg)
{
    range *r = arg;
    int rc = 0;

    for (intptr_t i = r->from; i < r->to && rc >= 0; i++) {
        rc = r->pause > 0 ? rill_sleep(r->pause) : 0;
        if (rc >= 0)
            rc = rill_emit((void *)i);
    }
    r->cleaned = true;
    return rc < 0 ? rc : r->code;
}

static int
sum_of(range *r, intptr_t *ret_sum)
{
    rill_generator *generator;
    void *item;
    int rc;

    *ret_sum = 0;
    RILL_TRY(rill_generator_new(count, r, &generator));
    while ((rc = rill_generator_next(generator, &item)) > 0)
        *ret_sum += (intptr_t)item;
    assert_code(rill_generator_next(generator, &item), rc);
    rill_generator_free(generator);
    return rc;
}

static int
sums(void *unused)
{
    range plain = { 0, 100, 0, 0, false }, slow = { 0, 10, RILL_MS, 0, false },
          fails = { 0, 5, 0, -EPROTO, false }, none = { 0, 0, 0, 0, false };
    intptr_t sum;

    (void)unused;
    assert_code(sum_of(&plain, &sum), 0);
    assert_int_equal(sum, 4950);
    assert_code(sum_of(&slow, &sum), 0);
    assert_int_equal(sum, 45);
    assert_code(sum_of(&fails, &sum), -EPROTO);
    assert_int_equal(sum, 10);
    assert_code(sum_of(&none, &sum), 0);
    return 0;
}

/* mutant: tasks/generator.c
 * - return RILL_EBUSY;
 * - if (self->coro.ended)
 * - return outcome(self, fiber);
 * + return RILL_EBUSY;
 * + if (self->coro.ended)
 * + return 0; */
static void
test_items_come_one_by_one_and_the_end_is_told_again(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, sums, NULL), 0);
}

static int
two_at_a_time(void *unused)
{
    range fast = { 0, 3, 0, 0, false }, slow = { 10, 13, RILL_MS, 0, false };
    rill_generator *a, *b;
    void *item;
    int rc;

    (void)unused;
    RILL_TRY(rill_generator_new(count, &fast, &a));
    rc = rill_generator_new(count, &slow, &b);
    if (rc < 0)
        rill_generator_free(a);
    RILL_TRY(rc);
    for (intptr_t i = 0; i < 3; i++) {
        assert_code(rill_generator_next(a, &item), 1);
        assert_int_equal((intptr_t)item, i);
        assert_code(rill_generator_next(b, &item), 1);
        assert_int_equal((intptr_t)item, 10 + i);
    }
    rill_generator_free(a);
    rill_generator_free(b);
    assert_true(fast.cleaned && slow.cleaned);
    return 0;
}

/* mutant: tasks/generator.c
 * - self->running = false; */
static void
test_two_generators_do_not_disturb_each_other(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, two_at_a_time, NULL), 0);
}

/* One inside the other. */
static int
doubled(void *arg)
{
    rill_generator *inner;
    void *item;
    int rc;

    RILL_TRY(rill_generator_new(count, arg, &inner));
    while ((rc = rill_generator_next(inner, &item)) > 0) {
        if ((rc = rill_emit(item)) < 0 || (rc = rill_emit(item)) < 0)
            break;
    }
    rill_generator_free(inner);
    return rc;
}

static int
nested(void *unused)
{
    range r = { 0, 10, RILL_MS, 0, false };
    rill_generator *outer;
    intptr_t sum = 0;
    void *item;

    (void)unused;
    RILL_TRY(rill_generator_new(doubled, &r, &outer));
    while (rill_generator_next(outer, &item) > 0)
        sum += (intptr_t)item;
    rill_generator_free(outer);
    assert_int_equal(sum, 90);
    r.cleaned = false;
    RILL_TRY(rill_generator_new(doubled, &r, &outer)); /* Left in the middle. */
    assert_code(rill_generator_next(outer, &item), 1);
    rill_generator_free(outer);
    assert_true(r.cleaned);
    RILL_TRY(rill_generator_new(doubled, &r, &outer)); /* And before its beginning. */
    rill_generator_free(outer);
    rill_generator_free(NULL);
    return 0;
}

/* mutant: tasks/generator.c
 * - self->above = fiber->generator;
 * + self->above = NULL; */
static void
test_generators_nest_and_can_be_left_in_the_middle(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, nested, NULL), 0);
}

static int
emit_in_scope(void *unused)
{
    rill_scope scope;

    (void)unused;
    rill_timeout_begin(&scope, RILL_S);
    assert_code(rill_emit(NULL), RILL_ESTATE);
    return rill_scope_end(&scope, 0);
}

static int
ask_twice(void *arg)
{
    rill_generator *self = *(rill_generator **)arg;
    void *item;

    assert_code(rill_generator_next(self, &item), RILL_EBUSY);
    return 0;
}

static int
refuse(void *unused)
{
    rill_generator *generator;
    void *item;

    (void)unused;
    RILL_TRY(rill_generator_new(emit_in_scope, NULL, &generator));
    assert_code(rill_generator_next(generator, &item), 0);
    rill_generator_free(generator);
    RILL_TRY(rill_generator_new(ask_twice, &generator, &generator));
    assert_code(rill_generator_next(generator, &item), 0);
    rill_generator_free(generator);
    return 0;
}

/* mutant: tasks/generator.c
 * - if (self == NULL || fiber->scope != self->scope)
 * + if (self == NULL)
 * mutant: tasks/generator.c @ rill_generator_next
 * - if (self->running)
 * + if (false) */
static void
test_no_item_out_of_an_open_scope_and_none_from_oneself(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, refuse, NULL), 0);
}

static int
canceled_inside(void *arg)
{
    range *r = arg;
    intptr_t sum;

    return sum_of(r, &sum);
}

static int
cancel_inside(void *unused)
{
    range r = { 0, 10, 3600 * RILL_S, 0, false };
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(canceled_inside, &r, NULL, &task));
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_true(r.cleaned);
    return 0;
}

/* mutant: tasks/scope.c
 * - if (fiber->wait != NULL && fiber->wait->cancel != NULL && fiber->wait->cancel(fiber->wait))
 * + if (fiber->generator == NULL && fiber->wait != NULL && fiber->wait->cancel(fiber->wait)) */
static void
test_a_cancel_reaches_the_wait_inside_a_generator(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_inside, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_items_come_one_by_one_and_the_end_is_told_again),
        CASE(test_two_generators_do_not_disturb_each_other),
        CASE(test_generators_nest_and_can_be_left_in_the_middle),
        CASE(test_no_item_out_of_an_open_scope_and_none_from_oneself),
        CASE(test_a_cancel_reaches_the_wait_inside_a_generator),
    };

    return run_cases(tests);
}
