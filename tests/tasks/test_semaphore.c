/*
 * Semaphores: what is released goes to who has waited longest, and none of it is lost or made.
 */
#include "actors.h"
#include "child.h"

static harness h;
static tape seen;
static rill_semaphore semaphore;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    return rill_semaphore_init(&semaphore, 0);
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_semaphore_done(&semaphore);
    return 0;
}

static int
acquire(actor *self)
{
    (void)self;
    return rill_semaphore_acquire(&semaphore);
}

static void
release(actor *self)
{
    (void)self;
    assert_code(rill_semaphore_release(&semaphore), 0);
}

#define KEEPER(name)   ((actor){ .letter = (name), .wait = acquire })
#define RELEASER(name) ((actor){ .letter = (name), .wait = acquire, .then = release })

static actor all[4];

static void
let_wait(size_t count)
{
    for (size_t i = 0; i < count; i++)
        all[i] = KEEPER((char)('a' + i));
    actors_start(&h, &seen, all, count);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
}

static void
again(int value)
{
    rill_semaphore_done(&semaphore);
    assert_code(rill_semaphore_init(&semaphore, value), 0);
}

/* ---- taking and giving ---- */

/* mutant: tasks/semaphore.c
 * - RILL__REQUIRE(public != NULL && value >= 0);
 * + RILL__REQUIRE(public != NULL && value >= -1); */
static void
test_a_value_below_0_is_refused(void **unused)
{
    rill_semaphore other;

    (void)unused;
    assert_code(rill_semaphore_init(&other, -1), RILL_EINVAL);
    assert_code(rill_semaphore_init_bounded(&other, -1), RILL_EINVAL);
}

/* mutant: tasks/semaphore.c @ rill_semaphore_acquire
 * - if (self->value == 0) {
 * + if (self->value == 1) { */
static void
test_as_many_as_it_has_go_on_at_once_and_the_next_one_waits(void **unused)
{
    (void)unused;
    again(2);
    assert_false(rill_semaphore_is_locked(&semaphore));
    for (int i = 0; i < 3; i++)
        all[i] = KEEPER((char)('a' + i));
    actors_start(&h, &seen, all, 3);
    assert_int_equal(harness_turn(&h), 3);
    assert_string_equal(seen.text, "ab");
    assert_true(rill_semaphore_is_locked(&semaphore));
    assert_int_equal(rill_semaphore_value(&semaphore), 0);
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    assert_int_equal(rill_semaphore_value(&semaphore), 0);
    actors_end(all, 3);
}

/* mutant: tasks/semaphore.c @ rill_semaphore_try_acquire
 * - self->value--; */
static void
test_try_acquire_takes_what_is_there_and_nothing_else(void **unused)
{
    (void)unused;
    again(1);
    assert_true(rill_semaphore_try_acquire(&semaphore));
    assert_false(rill_semaphore_try_acquire(&semaphore));
    assert_code(rill_semaphore_release(&semaphore), 0);
    assert_int_equal(rill_semaphore_value(&semaphore), 1);
    assert_code(rill_semaphore_release(&semaphore), 0);
    assert_int_equal(rill_semaphore_value(&semaphore), 2);
}

/* mutant: tasks/semaphore.c
 * - return init(public, value, value, site);
 * + return init(public, value, value + 1, site); */
static void
test_a_bounded_one_refuses_more_than_it_began_with(void **unused)
{
    static rill_semaphore bounded;

    (void)unused;
    assert_code(rill_semaphore_init_bounded(&bounded, 1), 0);
    assert_code(rill_semaphore_release(&bounded), RILL_ESTATE);
    assert_int_equal(rill_semaphore_value(&bounded), 1);
    assert_true(rill_semaphore_try_acquire(&bounded));
    assert_code(rill_semaphore_release(&bounded), 0);
    assert_code(rill_semaphore_release(&bounded), RILL_ESTATE);
    rill_semaphore_done(&bounded);
}

/* mutant: tasks/semaphore.c
 * - if (self->value >= self->bound)
 * + if (false) */
static void
test_a_value_of_int_max_is_the_end(void **unused)
{
    (void)unused;
    again(INT_MAX);
    assert_code(rill_semaphore_release(&semaphore), RILL_ESTATE);
    assert_int_equal(rill_semaphore_value(&semaphore), INT_MAX);
}

/* mutant: tasks/lock.c
 * - rill__list_append(waiters, &self->link);
 * + rill__list_append(waiters->next, &self->link); */
static void
test_three_releases_before_the_first_runs_wake_three_in_order(void **unused)
{
    (void)unused;
    let_wait(4);
    for (int i = 0; i < 3; i++)
        assert_code(rill_semaphore_release(&semaphore), 0);
    assert_int_equal(rill_semaphore_value(&semaphore), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "abcd");
    actors_end(all, 4);
}

/* mutant: tasks/semaphore.c
 * - rill__queuer_serve(first, 0, "rill_semaphore_release");
 * + self->value++, rill__queuer_serve(first, 0, "rill_semaphore_release"); */
static void
test_who_comes_between_release_and_wake_up_does_not_get_it(void **unused)
{
    (void)unused;
    let_wait(1);
    all[1] = KEEPER('l');
    actor_start(&h, &seen, &all[1]); /* Ready before the waiter is. */
    assert_code(rill_semaphore_release(&semaphore), 0);
    assert_false(rill_semaphore_try_acquire(&semaphore));
    assert_true(rill_semaphore_is_locked(&semaphore));
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "al");
    actors_end(all, 2);
}

static int
release_and_acquire(actor *self)
{
    (void)self;
    RILL_TRY(rill_semaphore_release(&semaphore));
    return rill_semaphore_acquire(&semaphore);
}

/* mutant: tasks/semaphore.c
 * - if (first != NULL)
 * + if (false) */
static void
test_who_releases_and_acquires_again_goes_behind_those_who_wait(void **unused)
{
    (void)unused;
    let_wait(2);
    all[2] = (actor){ .letter = 'z', .wait = release_and_acquire };
    actor_start(&h, &seen, &all[2]);
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    assert_code(rill_semaphore_release(&semaphore), 0);
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "abz");
    actors_end(all, 3);
}

static int
spin(void *arg)
{
    bool *other_ran = arg;
    int i;

    for (i = 0; !*other_ran && i < 1000; i++) {
        RILL_TRY(rill_semaphore_acquire(&semaphore));
        RILL_TRY(rill_semaphore_release(&semaphore));
    }
    return i;
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* mutant: tasks/semaphore.c
 * - rill__spend(fiber); */
static void
test_a_task_that_always_finds_one_still_gives_way(void **unused)
{
    static bool ran;
    rill_task *task;

    (void)unused;
    again(1);
    ran = false;
    assert_code(rill_spawn_on(h.loop, spin, &ran, NULL, &task), 0);
    assert_code(rill_call_soon(h.loop, set_flag, &ran, NULL), 0);
    actors_settle(&h);
    assert_code(rill_future_result(rill_task_future(task), NULL), 128);
    rill_task_unref(task);
}

/* ---- cancels ---- */

/* mutant: tasks/semaphore.c
 * - rill__queuer me = { .wait = { .cancel = rill__queuer_leave,
 * + rill__queuer me = { .wait = { .cancel = NULL, */
static void
test_a_canceled_waiter_takes_nothing(void **unused)
{
    (void)unused;
    let_wait(3);
    actor_cancel(&all[0]);
    assert_code(rill_semaphore_release(&semaphore), 0);
    actor_cancel(&all[2]);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_code(all[1].rc, 0);
    assert_code(all[2].rc, RILL_ECANCELED);
    assert_code(rill_semaphore_release(&semaphore), 0);
    assert_int_equal(rill_semaphore_value(&semaphore), 1);
    actors_end(all, 3);
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_who_is_canceled_after_it_was_granted_has_it_and_gives_it_back(void **unused)
{
    (void)unused;
    let_wait(2);
    all[0].then = release;
    assert_code(rill_semaphore_release(&semaphore), 0);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_string_equal(seen.text, "ab");
    assert_code(all[0].rc, 0);
    assert_code(all[0].after, RILL_ECANCELED);
    assert_code(all[1].after, 0);
    assert_int_equal(rill_semaphore_value(&semaphore), 0);
    actors_end(all, 2);
}

/* mutant: tasks/sync.h
 * - return rill__may_wait(fiber);
 * + return 0; */
static void
test_the_canceled_do_not_even_get_what_is_there(void **unused)
{
    (void)unused;
    again(1);
    all[0] = RELEASER('a');
    actor_start(&h, &seen, &all[0]);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_string_equal(seen.text, "A");
    assert_int_equal(rill_semaphore_value(&semaphore), 1);
    actors_end(all, 1);
}

/* ---- never more at work than it began with ---- */

static struct crowd {
    int inside, most, done;
} crowd;

static int
work_a_little(void *unused)
{
    (void)unused;
    RILL_TRY(rill_semaphore_acquire(&semaphore));
    crowd.most = ++crowd.inside > crowd.most ? crowd.inside : crowd.most;
    RILL_IGNORE(rill_yield());
    RILL_IGNORE(rill_sleep(RILL_MS));
    crowd.inside--;
    crowd.done++;
    return rill_semaphore_release(&semaphore);
}

static int
send_a_crowd(void *unused)
{
    rill_group group;
    int rc = 0;

    (void)unused;
    rill_group_begin(&group);
    for (int i = 0; i < 40 && rc >= 0; i++)
        rc = rill_group_spawn(&group, work_a_little, NULL, NULL);
    return rill_group_end(&group, rc);
}

/* mutant: tasks/semaphore.c @ rill_semaphore_acquire
 * - self->value--; */
static void
test_of_forty_tasks_three_work_at_a_time(void **unused)
{
    (void)unused;
    again(3);
    memset(&crowd, 0, sizeof(crowd));
    assert_code(tasks_run(&h, send_a_crowd, NULL), 0);
    assert_int_equal(crowd.done, 40);
    assert_int_equal(crowd.most, 3);
    assert_int_equal(rill_semaphore_value(&semaphore), 3);
}

/* ---- wrong uses ---- */

/* mutant: tasks/sync.h
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_a_task_it_cannot_be_waited_for(void **unused)
{
    (void)unused;
    again(1);
    assert_code(rill_semaphore_acquire(&semaphore), RILL_ENOTASK);
    assert_int_equal(rill_semaphore_value(&semaphore), 1);
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
    let_wait(1);
    foreign = KEEPER('f');
    harness_open(&other);
    actor_start(&other, &seen, &foreign);
    actors_settle(&other);
    assert_code(foreign.rc, RILL_EWRONGLOOP);
    actors_end(&foreign, 1);
    harness_close(&other);
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    actors_end(all, 1);
}

static int
end_with_a_waiter(void *unused)
{
    (void)unused;
    (void)setup(NULL);
    let_wait(1);
    rill_semaphore_done(&semaphore);
    return 0;
}

/* mutant: tasks/lock.c
 * - if (!rill__list_empty(&self->waiters))
 * + if (false) */
static void
test_ending_it_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(end_with_a_waiter, NULL, "a task waits for the semaphore (made at");
    expect_abort(end_with_a_waiter, NULL, "test_semaphore.c:");
}

/* mutant: tasks/semaphore.c
 * - .site = self->sync.site } };
 * + } }; */
static void
test_the_dump_tells_who_waits_for_which_semaphore(void **unused)
{
    char text[1000];

    (void)unused;
    let_wait(1);
    actors_dump(&h, text, sizeof(text));
    assert_contains(text, "waits in rill_semaphore_acquire, made at ");
    assert_contains(text, "test_semaphore.c:");
    assert_code(rill_semaphore_release(&semaphore), 0);
    actors_settle(&h);
    actors_end(all, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_value_below_0_is_refused),
        CASE(test_as_many_as_it_has_go_on_at_once_and_the_next_one_waits),
        CASE(test_try_acquire_takes_what_is_there_and_nothing_else),
        CASE(test_a_bounded_one_refuses_more_than_it_began_with),
        CASE(test_a_value_of_int_max_is_the_end),
        CASE(test_three_releases_before_the_first_runs_wake_three_in_order),
        CASE(test_who_comes_between_release_and_wake_up_does_not_get_it),
        CASE(test_who_releases_and_acquires_again_goes_behind_those_who_wait),
        CASE(test_a_task_that_always_finds_one_still_gives_way),
        CASE(test_a_canceled_waiter_takes_nothing),
        CASE(test_who_is_canceled_after_it_was_granted_has_it_and_gives_it_back),
        CASE(test_the_canceled_do_not_even_get_what_is_there),
        CASE(test_of_forty_tasks_three_work_at_a_time),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_two_loops_cannot_wait_for_it_at_the_same_time),
        cmocka_unit_test(test_ending_it_with_a_waiter_ends_the_process_and_names_its_place),
        CASE(test_the_dump_tells_who_waits_for_which_semaphore),
    };

    return run_cases(tests);
}
