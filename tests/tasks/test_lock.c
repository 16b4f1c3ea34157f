/*
 * Locks: handed over in order of arrival, whoever comes or is canceled in between.
 */
#include "actors.h"
#include "child.h"

static harness h;
static tape seen;
static rill_lock lock;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    rill_lock_init(&lock);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_lock_done(&lock);
    return 0;
}

static int
acquire(actor *self)
{
    (void)self;
    return rill_lock_acquire(&lock);
}

static void
release(actor *self)
{
    (void)self;
    assert_code(rill_lock_release(&lock), 0);
}

#define KEEPER(name)   ((actor){ .letter = (name), .wait = acquire })
#define RELEASER(name) ((actor){ .letter = (name), .wait = acquire, .then = release })

/* ---- taking and giving ---- */

/* mutant: tasks/lock.c
 * - rill__spend(fiber);
 * + rill__give_way(fiber); */
static void
test_a_free_lock_is_acquired_without_giving_way(void **unused)
{
    static actor a, b;

    (void)unused;
    a = RELEASER('a');
    b = RELEASER('b');
    actor_start(&h, &seen, &a);
    actor_start(&h, &seen, &b);
    assert_int_equal(harness_turn(&h), 2);
    assert_string_equal(seen.text, "ab");
    assert_false(rill_lock_is_locked(&lock));
    actors_settle(&h);
    actors_end(&a, 1);
    actors_end(&b, 1);
}

/* mutant: tasks/lock.c
 * - return RILL_ESTATE;
 * + return 0; */
static void
test_release_of_a_free_lock_is_refused(void **unused)
{
    (void)unused;
    assert_code(rill_lock_release(&lock), RILL_ESTATE);
    assert_true(rill_lock_try_acquire(&lock));
    assert_code(rill_lock_release(&lock), 0);
    assert_code(rill_lock_release(&lock), RILL_ESTATE);
}

/* mutant: tasks/lock.c @ rill_lock_try_acquire
 * - self->held = true; */
static void
test_try_acquire_takes_what_is_free_and_nothing_else(void **unused)
{
    (void)unused;
    assert_false(rill_lock_is_locked(&lock));
    assert_true(rill_lock_try_acquire(&lock));
    assert_true(rill_lock_is_locked(&lock));
    assert_false(rill_lock_try_acquire(&lock));
    assert_code(rill_lock_release(&lock), 0);
}

/* mutant: tasks/lock.c
 * - rill__list_append(waiters, &self->link);
 * + rill__list_append(waiters->next, &self->link); */
static void
test_the_lock_goes_round_in_order_of_arrival(void **unused)
{
    static actor all[3];

    (void)unused;
    all[0] = RELEASER('a');
    all[1] = RELEASER('b');
    all[2] = RELEASER('c');
    assert_true(rill_lock_try_acquire(&lock));
    actors_start(&h, &seen, all, 3);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "abc");
    assert_false(rill_lock_is_locked(&lock));
    actors_end(all, 3);
}

/* mutant: tasks/lock.c
 * - rill__lock_pass_on(self, "rill_lock_release");
 * + do
 * + rill__lock_pass_on(self, "rill_lock_release");
 * + while (!rill__list_empty(&self->sync.waiters)); */
static void
test_a_release_gives_it_to_one_only(void **unused)
{
    static actor all[2];

    (void)unused;
    all[0] = KEEPER('a');
    all[1] = KEEPER('b');
    assert_true(rill_lock_try_acquire(&lock));
    actors_start(&h, &seen, all, 2);
    actors_settle(&h);
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    assert_code(rill_lock_release(&lock), 0); /* Anybody may. */
    actors_settle(&h);
    assert_string_equal(seen.text, "ab");
    assert_code(rill_lock_release(&lock), 0);
    actors_end(all, 2);
}

/* mutant: tasks/lock.c
 * - assert(self->held);
 * + self->held = false; */
static void
test_who_comes_between_release_and_wake_up_does_not_get_it(void **unused)
{
    static actor waiter, late;

    (void)unused;
    waiter = RELEASER('w');
    late = RELEASER('l');
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &waiter);
    actors_settle(&h);
    actor_start(&h, &seen, &late); /* Ready before the waiter is. */
    assert_code(rill_lock_release(&lock), 0);
    assert_true(rill_lock_is_locked(&lock));
    assert_false(rill_lock_try_acquire(&lock));
    actors_settle(&h);
    assert_string_equal(seen.text, "wl");
    actors_end(&waiter, 1);
    actors_end(&late, 1);
}

static void
try_in_callback(void *arg)
{
    *(int *)arg = rill_lock_try_acquire(&lock) ? rill_lock_release(&lock) : RILL_EBUSY;
}

/* mutant: tasks/lock.c
 * - if (RILL__UNLIKELY(!self->held))
 * + if (rill__current() == NULL || !self->held) */
static void
test_callbacks_may_try_and_release(void **unused)
{
    static int rc;

    (void)unused;
    rc = 1;
    assert_code(rill_call_soon(h.loop, try_in_callback, &rc, NULL), 0);
    actors_settle(&h);
    assert_code(rc, 0);
}

static int
take_turns(void *arg)
{
    bool *other_ran = arg;
    int i;

    for (i = 0; !*other_ran && i < 1000; i++) {
        RILL_TRY(rill_lock_acquire(&lock));
        RILL_TRY(rill_lock_release(&lock));
    }
    return i;
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* mutant: tasks/lock.c
 * - rill__spend(fiber); */
static void
test_a_task_that_never_finds_it_held_still_gives_way(void **unused)
{
    static bool ran;
    rill_task *task;

    (void)unused;
    ran = false;
    assert_code(rill_spawn_on(h.loop, take_turns, &ran, NULL, &task), 0);
    assert_code(rill_call_soon(h.loop, set_flag, &ran, NULL), 0);
    actors_settle(&h);
    assert_code(rill_future_result(rill_task_future(task), NULL), 128);
    rill_task_unref(task);
}

/* mutant: tasks/lock.c
 * - return rill__queue_up(fiber, &self->sync.waiters, &me.queuer);
 * + rill__free(fiber->loop, rill__alloc(fiber->loop, 9, RILL_TAG_TASK), 9, RILL_TAG_TASK);
 * + return rill__queue_up(fiber, &self->sync.waiters, &me.queuer); */
static void
test_a_wait_allocates_nothing(void **unused)
{
    static actor a;
    size_t calls;

    (void)unused;
    a = RELEASER('a');
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    calls = h.allocator.calls;
    actors_settle(&h);
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    assert_int_equal(h.allocator.calls, calls);
    actors_end(&a, 1);
}

/* ---- cancels ---- */

/* mutant: tasks/lock.c
 * - rill__list_remove(&RILL__CONTAINER(wait, rill__queuer, wait)->link); */
static void
test_a_canceled_waiter_has_got_nothing_and_the_next_one_gets_it(void **unused)
{
    static actor all[3];

    (void)unused;
    all[0] = RELEASER('a');
    all[1] = RELEASER('b');
    all[2] = RELEASER('c');
    assert_true(rill_lock_try_acquire(&lock));
    actors_start(&h, &seen, all, 3);
    actors_settle(&h);
    actor_cancel(&all[0]);
    assert_code(rill_lock_release(&lock), 0); /* In the same turn. */
    actor_cancel(&all[1]);                    /* It has it. */
    actors_settle(&h);
    assert_string_equal(seen.text, "Abc");
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_code(all[1].rc, 0);
    assert_code(all[1].after, RILL_ECANCELED);
    assert_code(all[2].after, 0);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(all, 3);
}

/* mutant: tasks/lock.c @ rill__queuer_leave
 * - return true;
 * + return false; */
static void
test_release_with_the_second_canceled_in_the_same_turn_loses_nobody(void **unused)
{
    static actor all[3];

    (void)unused;
    all[0] = RELEASER('a');
    all[1] = RELEASER('b');
    all[2] = RELEASER('c');
    assert_true(rill_lock_try_acquire(&lock));
    actors_start(&h, &seen, all, 3);
    actors_settle(&h);
    assert_code(rill_lock_release(&lock), 0);
    actor_cancel(&all[1]);
    actors_settle(&h);
    assert_int_equal(seen.len, 3);
    assert_code(all[0].rc, 0);
    assert_code(all[1].rc, RILL_ECANCELED);
    assert_code(all[2].rc, 0);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(all, 3);
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_a_waiter_canceled_after_it_was_granted_holds_it(void **unused)
{
    static actor a, b;

    (void)unused;
    a = KEEPER('a');
    b = RELEASER('b');
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    actor_start(&h, &seen, &b);
    actors_settle(&h);
    assert_code(rill_lock_release(&lock), 0);
    actor_cancel(&a);
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    assert_code(a.rc, 0);
    assert_code(a.after, RILL_ECANCELED);
    assert_true(rill_lock_is_locked(&lock));
    assert_code(rill_lock_release(&lock), 0); /* As its cleaning up would. */
    actors_settle(&h);
    assert_string_equal(seen.text, "ab");
    actors_end(&a, 1);
    actors_end(&b, 1);
}

/* mutant: tasks/lock.c
 * - rill__list_remove(&RILL__CONTAINER(wait, rill__queuer, wait)->link); */
static void
test_with_all_waiters_canceled_a_release_frees_it(void **unused)
{
    static actor all[2];

    (void)unused;
    all[0] = KEEPER('a');
    all[1] = KEEPER('b');
    assert_true(rill_lock_try_acquire(&lock));
    actors_start(&h, &seen, all, 2);
    actors_settle(&h);
    actor_cancel(&all[1]);
    actor_cancel(&all[0]);
    assert_code(rill_lock_release(&lock), 0);
    assert_false(rill_lock_is_locked(&lock));
    assert_true(rill_lock_try_acquire(&lock));
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    assert_int_equal(seen.len, 2);
    actors_end(all, 2);
}

/* mutant: tasks/sync.h
 * - return rill__may_wait(fiber);
 * + return 0; */
static void
test_the_canceled_do_not_even_get_a_free_lock(void **unused)
{
    static actor a;

    (void)unused;
    a = KEEPER('a');
    actor_start(&h, &seen, &a);
    actor_cancel(&a);
    actors_settle(&h);
    assert_string_equal(seen.text, "A");
    assert_code(a.rc, RILL_ECANCELED);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(&a, 1);
}

static int
acquire_for_a_moment(actor *self)
{
    rill_scope limit;

    (void)self;
    rill_timeout_begin(&limit, RILL_MS);
    return rill_scope_end(&limit, rill_lock_acquire(&lock));
}

/* mutant: tasks/lock.c
 * - rill__lock_queuer me = { .queuer.wait = { .cancel = rill__queuer_leave,
 * + rill__lock_queuer me = { .queuer.wait = { .cancel = NULL, */
static void
test_a_timeout_ends_the_wait(void **unused)
{
    static actor a;

    (void)unused;
    a = (actor){ .letter = 'a', .wait = acquire_for_a_moment };
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    harness_run_for(&h, 20 * RILL_MS);
    actors_settle(&h);
    assert_code(a.rc, RILL_ETIMEDOUT);
    assert_code(rill_lock_release(&lock), 0);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(&a, 1);
}

/* ---- as a block ---- */

static int
leave_by(char way)
{
    int rc = 1;

    for (int i = 0; i < 1; i++) {
        RILL_LOCKED(&lock, rc)
        {
            assert_true(rill_lock_is_locked(&lock));
            rc = 5;
            if (way == 'r')
                return rc;
            if (way == 'g')
                goto out;
            if (way == 'b')
                break;
            if (way == 'c')
                continue;
            rc = 6;
        }
    }
out:
    return rc;
}

static int
leave_by_letter(actor *self)
{
    return leave_by(self->letter);
}

/* mutant: include/rill/sync.h @ rill_locked_leave_
 * - if (block->held)
 * + if (false) */
static void
test_a_block_releases_it_however_it_is_left(void **unused)
{
    static actor all[6];
    static const char ways[] = "ergbc";

    (void)unused;
    for (int i = 0; ways[i] != '\0'; i++) {
        all[i] = (actor){ .letter = ways[i], .wait = leave_by_letter };
        actor_start(&h, &seen, &all[i]);
        actors_settle(&h);
        assert_code(all[i].rc, ways[i] == 'e' ? 6 : 5);
        assert_false(rill_lock_is_locked(&lock));
        actors_end(&all[i], 1);
    }
}

/* mutant: include/rill/sync.h @ RILL_LOCKED
 * - RILL_BLOCK_.held && !RILL_BLOCK_.entered; RILL_BLOCK_.entered = true)
 * + !RILL_BLOCK_.entered; RILL_BLOCK_.entered = true) */
static void
test_a_block_without_the_lock_is_left_out_and_says_why(void **unused)
{
    static actor a;

    (void)unused;
    assert_true(rill_lock_try_acquire(&lock));
    assert_code(leave_by('e'), RILL_ENOTASK);
    a = (actor){ .letter = 'e', .wait = leave_by_letter };
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    actor_cancel(&a);
    actors_settle(&h);
    assert_code(a.rc, RILL_ECANCELED);
    assert_true(rill_lock_is_locked(&lock)); /* Still ours. */
    assert_code(rill_lock_release(&lock), 0);
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
    assert_code(rill_lock_acquire(&lock), RILL_ENOTASK);
    assert_false(rill_lock_is_locked(&lock));
}

/* mutant: tasks/sync.h
 * - if (rill__queue_is_foreign(&self->waiters, fiber))
 * + if (false) */
static void
test_two_loops_cannot_wait_for_it_at_the_same_time(void **unused)
{
    static harness other;
    static actor a, foreign, later;

    (void)unused;
    a = RELEASER('a');
    foreign = RELEASER('f');
    later = RELEASER('l');
    harness_open(&other);
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    actor_start(&other, &seen, &foreign);
    actors_settle(&other);
    assert_code(foreign.rc, RILL_EWRONGLOOP);
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    actor_start(&other, &seen, &later); /* One after the other they can. */
    actors_settle(&other);
    assert_code(later.rc, 0);
    actors_end(&a, 1);
    actors_end(&foreign, 1);
    actors_end(&later, 1);
    harness_close(&other);
}

/* mutant: tasks/lock.c
 * - rill__list_remove(&RILL__CONTAINER(wait, rill__queuer, wait)->link); */
static void
test_it_outlives_a_loop_with_tasks_that_wait_for_it(void **unused)
{
    static harness other;
    static actor a, b;

    (void)unused;
    a = KEEPER('a');
    b = RELEASER('b');
    harness_open(&other);
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&other, &seen, &a);
    actors_settle(&other);
    rill_task_unref(a.task);
    harness_close_with(&other, 1); /* The task: it is canceled, and ends. */
    assert_code(a.rc, RILL_ECANCELED);
    actor_start(&h, &seen, &b);
    actors_settle(&h);
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    assert_code(b.rc, 0);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(&b, 1);
}

static int
end_with_a_waiter(void *unused)
{
    static actor a;

    (void)unused;
    a = KEEPER('a');
    (void)setup(NULL);
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    rill_lock_done(&lock);
    return 0;
}

static int
use_what_was_not_begun(void *unused)
{
    static rill_lock zeroes;

    (void)unused;
    return rill_lock_release(&zeroes);
}

static int
use_what_has_ended(void *unused)
{
    (void)unused;
    rill_lock_init(&lock);
    rill_lock_done(&lock);
    return rill_lock_try_acquire(&lock);
}

static int
use_another_kind(void *unused)
{
    rill_event event;

    (void)unused;
    rill_event_init(&event);
    return rill_lock_release((rill_lock *)(void *)&event);
}

/* mutant: tasks/lock.c
 * - if (!rill__list_empty(&self->waiters))
 * + if (false) */
static void
test_ending_a_lock_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(end_with_a_waiter, NULL, "a task waits for the lock (made at");
    expect_abort(end_with_a_waiter, NULL, "test_lock.c:");
}

/* mutant: tasks/lock.c
 * - self->kind = NULL; */
static void
test_using_what_is_no_lock_ends_the_process(void **unused)
{
    (void)unused;
    expect_abort(use_what_was_not_begun, NULL, "rill_lock_release: ");
    expect_abort(use_what_has_ended, NULL, "it was not begun with rill_lock_init, or it has ended");
    expect_abort(use_another_kind, NULL, "is no lock");
}

/* mutant: tasks/lock.c
 * - .site = self->sync.site } };
 * + } }; */
static void
test_the_dump_tells_who_waits_for_which_lock(void **unused)
{
    static actor a;
    char text[1000];

    (void)unused;
    a = RELEASER('a');
    assert_true(rill_lock_try_acquire(&lock));
    actor_start(&h, &seen, &a);
    actors_settle(&h);
    actors_dump(&h, text, sizeof(text));
    assert_contains(text, "waits in rill_lock_acquire, made at ");
    assert_contains(text, "test_lock.c:");
    assert_code(rill_lock_release(&lock), 0);
    actors_settle(&h);
    actors_end(&a, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_free_lock_is_acquired_without_giving_way),
        CASE(test_release_of_a_free_lock_is_refused),
        CASE(test_try_acquire_takes_what_is_free_and_nothing_else),
        CASE(test_the_lock_goes_round_in_order_of_arrival),
        CASE(test_a_release_gives_it_to_one_only),
        CASE(test_who_comes_between_release_and_wake_up_does_not_get_it),
        CASE(test_callbacks_may_try_and_release),
        CASE(test_a_task_that_never_finds_it_held_still_gives_way),
        CASE(test_a_wait_allocates_nothing),
        CASE(test_a_canceled_waiter_has_got_nothing_and_the_next_one_gets_it),
        CASE(test_release_with_the_second_canceled_in_the_same_turn_loses_nobody),
        CASE(test_a_waiter_canceled_after_it_was_granted_holds_it),
        CASE(test_with_all_waiters_canceled_a_release_frees_it),
        CASE(test_the_canceled_do_not_even_get_a_free_lock),
        CASE(test_a_timeout_ends_the_wait),
        CASE(test_a_block_releases_it_however_it_is_left),
        CASE(test_a_block_without_the_lock_is_left_out_and_says_why),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_two_loops_cannot_wait_for_it_at_the_same_time),
        CASE(test_it_outlives_a_loop_with_tasks_that_wait_for_it),
        cmocka_unit_test(test_ending_a_lock_with_a_waiter_ends_the_process_and_names_its_place),
        cmocka_unit_test(test_using_what_is_no_lock_ends_the_process),
        CASE(test_the_dump_tells_who_waits_for_which_lock),
    };

    return run_cases(tests);
}
