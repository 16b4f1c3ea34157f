/*
 * Events: setting one wakes all who wait, in order, whatever happens to it next.
 */
#include "actors.h"
#include "child.h"

#include <pthread.h>

static harness h;
static tape seen;
static rill_event event;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    rill_event_init(&event);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_event_done(&event);
    return 0;
}

static int
wait_for_it(actor *self)
{
    (void)self;
    return rill_event_wait(&event);
}

#define WAITER(name) ((actor){ .letter = (name), .wait = wait_for_it })

static actor all[3];

static void
let_three_wait(void)
{
    for (int i = 0; i < 3; i++)
        all[i] = WAITER((char)('a' + i));
    actors_start(&h, &seen, all, 3);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
}

/* mutant: tasks/event.c
 * - while ((first = rill__first_queuer(&self->sync.waiters)) != NULL)
 * + if ((first = rill__first_queuer(&self->sync.waiters)) != NULL) */
static void
test_set_wakes_all_in_order_of_arrival(void **unused)
{
    (void)unused;
    let_three_wait();
    rill_event_set(&event);
    assert_true(rill_event_is_set(&event));
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    actors_end(all, 3);
}

/* mutant: tasks/event.c
 * - return rill__queue_up(fiber, &self->sync.waiters, &me);
 * + rc = rill__queue_up(fiber, &self->sync.waiters, &me);
 * + return rc == 0 && !self->set ? rill_event_wait(public) : rc; */
static void
test_cleared_at_once_it_still_has_woken_those_who_waited(void **unused)
{
    (void)unused;
    let_three_wait();
    rill_event_set(&event);
    rill_event_clear(&event);
    assert_false(rill_event_is_set(&event));
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    for (int i = 0; i < 3; i++)
        assert_code(all[i].rc, 0);
    actors_end(all, 3);
}

/* mutant: tasks/event.c
 * - if (!self->set) {
 * + if (true) { */
static void
test_set_before_the_wait_it_is_not_waited_for(void **unused)
{
    static actor a, b;

    (void)unused;
    a = WAITER('a');
    b = WAITER('b');
    rill_event_set(&event);
    rill_event_set(&event); /* Harmless. */
    actor_start(&h, &seen, &a);
    actor_start(&h, &seen, &b);
    assert_int_equal(harness_turn(&h), 2);
    assert_string_equal(seen.text, "ab");
    actors_settle(&h);
    actors_end(&a, 1);
    actors_end(&b, 1);
}

/* mutant: tasks/event.c
 * - event_of(public, "rill_event_clear")->set = false; */
static void
test_cleared_it_is_waited_for_again(void **unused)
{
    static actor a;

    (void)unused;
    a = WAITER('a');
    rill_event_set(&event);
    rill_event_clear(&event);
    rill_event_clear(&event);
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    rill_event_set(&event);
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    actors_end(&a, 1);
}

/* The woken task runs at once.
 *
 * mutant: tasks/wait.c @ rill__wake
 * - rill__fiber_push(fiber);
 * + rill__fiber_enter(fiber); */
static void
test_a_task_made_before_set_and_first_run_after_it_goes_before_the_woken(void **unused)
{
    static actor older, younger;

    (void)unused;
    older = WAITER('o');
    younger = WAITER('y');
    actor_start(&h, &seen, &older);
    actors_settle(&h);
    actor_start(&h, &seen, &younger);
    rill_event_set(&event);
    assert_string_equal(seen.text, "");
    actors_settle(&h);
    assert_string_equal(seen.text, "yo");
    actors_end(&older, 1);
    actors_end(&younger, 1);
}

static void
set_it(void *unused)
{
    (void)unused;
    rill_event_set(&event);
}

/* mutant: tasks/event.c @ rill_event_set
 * - self->set = true;
 * + self->set = true;
 * + if (rill__current() == NULL)
 * + return; */
static void
test_a_callback_may_set_it(void **unused)
{
    (void)unused;
    let_three_wait();
    assert_code(rill_call_later(h.loop, RILL_MS, set_it, NULL, NULL), 0);
    harness_run_for(&h, 20 * RILL_MS);
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    actors_end(all, 3);
}

static int
wait_often(void *arg)
{
    bool *other_ran = arg;
    int i;

    for (i = 0; !*other_ran && i < 1000; i++)
        RILL_TRY(rill_event_wait(&event));
    return i;
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* mutant: tasks/event.c
 * - rill__spend(fiber); */
static void
test_a_task_that_always_finds_it_set_still_gives_way(void **unused)
{
    static bool ran;
    rill_task *task;

    (void)unused;
    ran = false;
    rill_event_set(&event);
    assert_code(rill_spawn_on(h.loop, wait_often, &ran, NULL, &task), 0);
    assert_code(rill_call_soon(h.loop, set_flag, &ran, NULL), 0);
    actors_settle(&h);
    assert_code(rill_future_result(rill_task_future(task), NULL), 128);
    rill_task_unref(task);
}

/* ---- cancels ---- */

/* mutant: tasks/lock.c
 * - rill__list_remove(&RILL__CONTAINER(wait, rill__queuer, wait)->link); */
static void
test_a_canceled_waiter_leaves_and_the_others_wait_on(void **unused)
{
    (void)unused;
    let_three_wait();
    actor_cancel(&all[1]);
    actors_settle(&h);
    assert_string_equal(seen.text, "B");
    assert_code(all[1].rc, RILL_ECANCELED);
    rill_event_set(&event);
    actors_settle(&h);
    assert_string_equal(seen.text, "Bac");
    actors_end(all, 3);
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_who_was_woken_by_set_is_not_canceled_out_of_that_wait(void **unused)
{
    (void)unused;
    let_three_wait();
    rill_event_set(&event);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    assert_code(all[0].rc, 0);
    assert_code(all[0].after, RILL_ECANCELED);
    assert_code(all[1].after, 0);
    actors_end(all, 3);
}

/* mutant: tasks/sync.h
 * - return rill__may_wait(fiber);
 * + return 0; */
static void
test_the_canceled_are_told_so_even_when_it_is_set(void **unused)
{
    static actor a;

    (void)unused;
    a = WAITER('a');
    rill_event_set(&event);
    actor_start(&h, &seen, &a);
    actor_cancel(&a);
    actors_settle(&h);
    assert_code(a.rc, RILL_ECANCELED);
    actors_end(&a, 1);
}

/* ---- wrong uses ---- */

/* mutant: tasks/sync.h
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_a_task_it_cannot_be_waited_for(void **unused)
{
    (void)unused;
    assert_code(rill_event_wait(&event), RILL_ENOTASK);
    rill_event_set(&event);
    assert_code(rill_event_wait(&event), RILL_ENOTASK);
}

/* mutant: tasks/sync.h
 * - if (rill__queue_is_foreign(&self->waiters, fiber))
 * + if (false) */
static void
test_two_loops_cannot_wait_for_it_at_the_same_time(void **unused)
{
    static harness other;
    static actor foreign;

    (void)unused;
    let_three_wait();
    foreign = WAITER('f');
    harness_open(&other);
    actor_start(&other, &seen, &foreign);
    actors_settle(&other);
    assert_code(foreign.rc, RILL_EWRONGLOOP);
    actors_end(&foreign, 1);
    harness_close(&other);
    rill_event_set(&event);
    actors_settle(&h);
    assert_string_equal(seen.text, "Fabc");
    actors_end(all, 3);
}

static void *
set_from_here(void *unused)
{
    (void)unused;
    rill_event_set(&event);
    return NULL;
}

static void
start_thread(void *unused)
{
    pthread_t thread;

    (void)unused;
    if (pthread_create(&thread, NULL, set_from_here, NULL) == 0)
        pthread_join(thread, NULL);
    rill_loop_stop(h.loop);
}

static int
set_in_wrong_thread(void *unused)
{
    static actor a;

    (void)unused;
    a = WAITER('a');
    (void)setup(NULL);
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    (void)rill_call_soon(h.loop, start_thread, NULL, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static int
end_with_a_waiter(void *unused)
{
    static actor a;

    (void)unused;
    a = WAITER('a');
    (void)setup(NULL);
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    rill_event_done(&event);
    return 0;
}

static int
set_what_was_not_begun(void *unused)
{
    static rill_event zeroes;

    (void)unused;
    rill_event_set(&zeroes);
    return 0;
}

/* mutant: tasks/lock.c
 * - rill__check_thread(queuer->wait.fiber->loop, function); */
static void
test_setting_it_from_another_thread_ends_the_process(void **unused)
{
    (void)unused;
    expect_abort(set_in_wrong_thread, NULL, "rill_event_set");
    expect_abort(set_in_wrong_thread, NULL, "rill_call_soon_threadsafe");
}

/* mutant: tasks/lock.c
 * - if (!rill__list_empty(&self->waiters))
 * + if (false) */
static void
test_ending_it_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(end_with_a_waiter, NULL, "a task waits for the event (made at");
    expect_abort(end_with_a_waiter, NULL, "test_event.c:");
    expect_abort(set_what_was_not_begun, NULL, "was not begun with rill_event_init");
}

static int
wait_for_ever(void *unused)
{
    (void)unused;
    return rill_event_wait(&event);
}

static int
run_into_a_deadlock(void *unused)
{
    (void)unused;
    rill_event_init(&event);
    return rill_run(wait_for_ever, NULL) == RILL_EDEADLK ? 0 : 1;
}

/* mutant: tasks/event.c
 * - .site = self->sync.site } };
 * + } }; */
static void
test_a_deadlock_names_the_event_that_nobody_sets(void **unused)
{
    static child_result result;

    (void)unused;
    child_run(run_into_a_deadlock, NULL, &result);
    assert_int_equal(result.exit_code, 0);
    assert_contains(result.text, "waits in rill_event_wait, made at ");
    assert_contains(result.text, "test_event.c:");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_set_wakes_all_in_order_of_arrival),
        CASE(test_cleared_at_once_it_still_has_woken_those_who_waited),
        CASE(test_set_before_the_wait_it_is_not_waited_for),
        CASE(test_cleared_it_is_waited_for_again),
        CASE(test_a_task_made_before_set_and_first_run_after_it_goes_before_the_woken),
        CASE(test_a_callback_may_set_it),
        CASE(test_a_task_that_always_finds_it_set_still_gives_way),
        CASE(test_a_canceled_waiter_leaves_and_the_others_wait_on),
        CASE(test_who_was_woken_by_set_is_not_canceled_out_of_that_wait),
        CASE(test_the_canceled_are_told_so_even_when_it_is_set),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_two_loops_cannot_wait_for_it_at_the_same_time),
        cmocka_unit_test(test_setting_it_from_another_thread_ends_the_process),
        cmocka_unit_test(test_ending_it_with_a_waiter_ends_the_process_and_names_its_place),
        cmocka_unit_test(test_a_deadlock_names_the_event_that_nobody_sets),
    };

    return run_cases(tests);
}
