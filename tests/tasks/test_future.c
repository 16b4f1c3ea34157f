/*
 * Futures without tasks: callbacks, how often an abort function is asked, and which errors are
 * reported when nobody has looked at them.
 */
#include "harness.h"

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

static rill_future *
make(void)
{
    rill_future *future = NULL;

    assert_code(rill_future_new(h.loop, &future), 0);
    return future;
}

static void
count(rill_future *future, void *arg)
{
    assert_true(rill_future_is_done(future));
    ++*(int *)arg;
}

/* The three ways in which a future is complete. */
enum { WAYS = 3 };

static void
complete(rill_future *future, int way)
{
    if (way == 0)
        assert_code(rill_future_set_result(future, NULL), 0);
    else if (way == 1)
        assert_code(rill_future_set_error(future, -EPROTO), 0);
    else
        assert_true(rill_future_cancel(future));
}

static void
forget(rill_future *future)
{
    RILL_IGNORE(rill_future_result(future, NULL));
    rill_future_unref(future);
}

/* ---- callbacks ---- */

/* mutant: core/future.c @ rill_future_on_done
 * - callback_schedule(&self->waiter);
 * + { fn(future, arg); callback_free(self); } */
static void
test_a_callback_added_to_a_done_future_runs_later_and_never_inside_the_call(void **unused)
{
    (void)unused;
    for (int way = 0; way < WAYS; way++) {
        rill_future *future = make();
        int calls = 0;

        complete(future, way);
        assert_code(rill_future_on_done(future, count, &calls), 0);
        assert_int_equal(calls, 0);
        assert_int_equal(harness_turn(&h), 1);
        assert_int_equal(calls, 1);
        assert_int_equal(harness_turn(&h), 0);
        forget(future);
    }
}

/* mutant: core/future.c @ callback_schedule
 * - rill__loop_push(self->future->loop, &self->ready);
 * + callback_run(&self->ready); */
static void
test_completing_a_future_in_any_way_runs_no_callback_inside_the_call(void **unused)
{
    (void)unused;
    for (int way = 0; way < WAYS; way++) {
        rill_future *future = make();
        int calls = 0;

        assert_code(rill_future_on_done(future, count, &calls), 0);
        complete(future, way);
        assert_int_equal(calls, 0);
        assert_int_equal(harness_turn(&h), 1);
        assert_int_equal(calls, 1);
        forget(future);
    }
}

/* mutant: core/future.c @ rill_future_remove_done
 * - count++;
 * + return 1; */
static void
test_of_callbacks_a_b_a_taking_a_back_tells_two_and_leaves_b(void **unused)
{
    rill_future *future = make();
    int a = 0, b = 0;

    (void)unused;
    assert_code(rill_future_on_done(future, count, &a), 0);
    assert_code(rill_future_on_done(future, count, &b), 0);
    assert_code(rill_future_on_done(future, count, &a), 0);
    assert_int_equal(rill_future_remove_done(future, count, &a), 2);
    complete(future, 0);
    harness_settle(&h);
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    forget(future);
}

/* ---- errors that nobody looks at ---- */

/* With the last reference, once, and with the place that made it.
 *
 * mutant: core/future.c @ rill__future_release
 * - if (!future->ops->is_task)
 * + if (false) */
static void
test_an_error_nobody_has_looked_at_is_reported_once_with_the_last_reference(void **unused)
{
    rill_future *future = make();

    (void)unused;
    harness_catch_reports(&h);
    complete(future, 1);
    assert_ptr_equal(rill_future_ref(future), future);
    rill_future_unref(future);
    assert_int_equal(h.reports, 0);
    rill_future_unref(future);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_TASK);
    assert_code(h.report_code, -EPROTO);
    assert_contains(h.report_message, "the error of a future was never looked at");
    assert_contains(h.report_site, "test_future.c:");
}

/* mutant: core/future.c @ report_unseen
 * - if (future->state != RILL__FAILED || future->retrieved)
 * + if (future->state == RILL__DONE || future->retrieved) */
static void
test_nothing_is_reported_of_a_result_of_a_cancel_or_of_an_error_that_was_looked_at(void **unused)
{
    rill_future *future = make();

    (void)unused;
    harness_catch_reports(&h);
    complete(future, 0);
    rill_future_unref(future);
    future = make();
    complete(future, 2);
    rill_future_unref(future);
    rill_future_unref(make()); /* It never was complete. */
    future = make();
    complete(future, 1);
    assert_code(rill_future_result(future, NULL), -EPROTO);
    rill_future_unref(future);
    assert_int_equal(h.reports, 0);
}

static void
count_report(rill_loop *loop, const rill_error_context *context, void *arg)
{
    assert_ptr_equal(loop, h.loop);
    assert_code(context->code, -EPROTO);
    ++*(int *)arg;
}

static void
leave_unseen(void)
{
    rill_future *future = make();

    complete(future, 1);
    rill_future_unref(future);
}

/* mutant: core/report.c @ rill_loop_set_error_handler
 * - loop->error_handler_arg = arg;
 * + loop->error_handler_arg = loop->error_handler_arg != NULL ? loop->error_handler_arg : arg; */
static void
test_an_unseen_error_goes_to_the_handler_that_is_set_then(void **unused)
{
    int first = 0, second = 0;

    (void)unused;
    rill_loop_set_error_handler(h.loop, count_report, &first);
    leave_unseen();
    rill_loop_set_error_handler(h.loop, count_report, &second);
    leave_unseen();
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
    rill_loop_set_error_handler(h.loop, NULL, NULL);
    assert_string_equal(h.log, "");
    h.log_allowed = true;
    leave_unseen();
    assert_contains(h.log, "never looked at");
    assert_int_equal(first + second, 2);
}

/* ---- abort functions ---- */

typedef struct operation {
    rill_abort answer;
    int asked;
} operation;

static rill_abort
abort_it(rill_future *future, void *arg)
{
    operation *o = arg;

    assert_false(rill_future_is_done(future));
    o->asked++;
    return o->answer;
}

/* Whoever is canceled twice does not end his operation twice.
 *
 * mutant: core/future.c @ plain_cancel
 * - self->aborting = true;
 * + self->aborting = false; */
static void
test_an_abort_function_is_asked_once_however_often_its_future_is_canceled(void **unused)
{
    operation o = { .answer = RILL_ABORT_PENDING };
    rill_future *future = make();

    (void)unused;
    rill_future_on_cancel(future, abort_it, &o);
    for (int i = 0; i < 3; i++)
        assert_true(rill_future_cancel(future));
    assert_int_equal(o.asked, 1);
    assert_false(rill_future_is_done(future));
    assert_code(rill_future_set_result(future, &o), 0); /* What comes of it counts. */
    assert_false(rill_future_is_canceled(future));
    assert_false(rill_future_cancel(future));
    assert_int_equal(o.asked, 1);
    rill_future_unref(future);
}

/* mutant: core/future.c
 * - if (answer == RILL_ABORT_DONE)
 * + if (answer == RILL_ABORT_PENDING) */
static void
test_an_abort_function_that_is_done_leaves_the_future_canceled(void **unused)
{
    operation o = { .answer = RILL_ABORT_DONE };
    rill_future *future = make();

    (void)unused;
    rill_future_on_cancel(future, abort_it, &o);
    assert_true(rill_future_cancel(future));
    assert_false(rill_future_cancel(future));
    assert_int_equal(o.asked, 1);
    assert_true(rill_future_is_canceled(future));
    assert_code(rill_future_set_result(future, NULL), RILL_ESTATE);
    assert_code(rill_future_result(future, NULL), RILL_EREVOKED);
    rill_future_unref(future);
}

static rill_abort
give_back(rill_future *future, void *arg)
{
    rill_future_unref(future);
    ++*(int *)arg;
    return RILL_ABORT_DONE;
}

/* What it ends may have been all that wanted the future.
 *
 * mutant: core/future.c @ plain_cancel
 * - future->refs++; */
static void
test_an_abort_function_may_give_back_the_last_reference(void **unused)
{
    rill_future *future = make();
    int asked = 0, calls = 0;

    (void)unused;
    rill_future_on_cancel(future, give_back, &asked);
    assert_code(rill_future_on_done(future, count, &calls), 0);
    assert_true(rill_future_cancel(future));
    harness_settle(&h);
    assert_int_equal(asked, 1);
    assert_int_equal(calls, 1);
}

/* Else who awaits it would take it for a cancel of its own.
 *
 * mutant: core/future.c @ rill_future_set_error
 * - if (code == RILL_ECANCELED)
 * + if (false) */
static void
test_an_error_that_says_canceled_cancels_the_future(void **unused)
{
    rill_future *future = make();

    (void)unused;
    harness_catch_reports(&h);
    assert_code(rill_future_set_error(future, RILL_ECANCELED), 0);
    assert_true(rill_future_is_canceled(future));
    assert_code(rill_future_set_error(future, RILL_ECANCELED), RILL_ESTATE);
    assert_code(rill_future_result(future, NULL), RILL_EREVOKED);
    rill_future_unref(future);
    assert_int_equal(h.reports, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_callback_added_to_a_done_future_runs_later_and_never_inside_the_call),
        CASE(test_completing_a_future_in_any_way_runs_no_callback_inside_the_call),
        CASE(test_of_callbacks_a_b_a_taking_a_back_tells_two_and_leaves_b),
        CASE(test_an_error_nobody_has_looked_at_is_reported_once_with_the_last_reference),
        CASE(test_nothing_is_reported_of_a_result_of_a_cancel_or_of_an_error_that_was_looked_at),
        CASE(test_an_unseen_error_goes_to_the_handler_that_is_set_then),
        CASE(test_an_abort_function_is_asked_once_however_often_its_future_is_canceled),
        CASE(test_an_abort_function_that_is_done_leaves_the_future_canceled),
        CASE(test_an_abort_function_may_give_back_the_last_reference),
        CASE(test_an_error_that_says_canceled_cancels_the_future),
    };

    return run_cases(tests);
}
