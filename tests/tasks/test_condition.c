/*
 * Conditions: the lock is held whenever a wait returns, and a notification reaches somebody who can
 * act on it, whatever is canceled in between.
 */
#include "actors.h"
#include "child.h"

static harness h;
static tape seen;
static rill_lock lock;
static rill_condition condition;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    rill_lock_init(&lock);
    rill_condition_init(&condition, &lock);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_condition_done(&condition);
    rill_lock_done(&lock);
    return 0;
}

static void
take(void)
{
    assert_true(rill_lock_try_acquire(&lock));
}

static void
give(void)
{
    assert_code(rill_lock_release(&lock), 0);
}

static bool held_at_return;

/* Acquires the lock, waits, and releases it whatever the wait said. */
static int
wait_locked(actor *self)
{
    int rc;

    (void)self;
    RILL_TRY(rill_lock_acquire(&lock));
    rc = rill_condition_wait(&condition);
    held_at_return = rill_lock_is_locked(&lock);
    give();
    return rc;
}

/* The same, and the lock stays with it. */
static int
wait_and_keep(actor *self)
{
    (void)self;
    RILL_TRY(rill_lock_acquire(&lock));
    return rill_condition_wait(&condition);
}

static actor all[5];

static void
let_wait(size_t count, int (*wait)(actor *self))
{
    for (size_t i = 0; i < count; i++)
        all[i] = (actor){ .letter = (char)('a' + i), .wait = wait };
    actors_start(&h, &seen, all, count);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    assert_false(rill_lock_is_locked(&lock));
}

static void
wake_the_rest(size_t count)
{
    take();
    assert_code(rill_condition_notify_all(&condition), 0);
    give();
    actors_settle(&h);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(all, count);
}

/* ---- waiting and notifying ---- */

static int
wait_without(actor *self)
{
    (void)self;
    return rill_condition_wait(&condition);
}

/* mutant: tasks/condition.c
 * - return self->lock->held ? wait_here(self, fiber) : RILL_ESTATE;
 * + return wait_here(self, fiber);
 * mutant: tasks/condition.c
 * - if (!self->lock->held)
 * + if (false) */
static void
test_waiting_and_notifying_need_the_lock(void **unused)
{
    (void)unused;
    all[0] = (actor){ .letter = 'a', .wait = wait_without };
    actor_start(&h, &seen, &all[0]);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ESTATE);
    assert_false(rill_lock_is_locked(&lock));
    assert_code(rill_condition_notify(&condition, 1), RILL_ESTATE);
    assert_code(rill_condition_notify_all(&condition), RILL_ESTATE);
    actors_end(all, 1);
}

/* mutant: tasks/condition.c
 * - rill__lock_pass_on(self->lock, "rill_condition_wait"); */
static void
test_the_lock_is_free_while_it_waits_and_held_when_it_returns(void **unused)
{
    (void)unused;
    let_wait(1, wait_and_keep);
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    actors_settle(&h);
    assert_string_equal(seen.text, ""); /* Not before the lock is released. */
    give();
    assert_true(rill_lock_is_locked(&lock));
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    assert_true(rill_lock_is_locked(&lock));
    give();
    actors_end(all, 1);
}

/* mutant: tasks/condition.c
 * - for (; count > 0 && (first = rill__first_queuer(&self->sync.waiters)) != NULL; count--) {
 * + for (; (first = rill__first_queuer(&self->sync.waiters)) != NULL; count--) { */
static void
test_notify_wakes_so_many_in_order_of_arrival(void **unused)
{
    (void)unused;
    let_wait(5, wait_locked);
    take();
    assert_code(rill_condition_notify(&condition, 0), 0);
    assert_code(rill_condition_notify(&condition, 2), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "ab");
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "abcd");
    take();
    assert_code(rill_condition_notify(&condition, 1000), 0); /* More than there are. */
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "abcde");
    actors_end(all, 5);
}

/* mutant: tasks/condition.c
 * - condition_of(public, "rill_condition_notify_all"), SIZE_MAX, "rill_condition_notify_all");
 * + condition_of(public, "rill_condition_notify_all"), 2, "rill_condition_notify_all"); */
static void
test_notify_all_wakes_all_in_order_of_arrival(void **unused)
{
    (void)unused;
    let_wait(5, wait_locked);
    take();
    assert_code(rill_condition_notify_all(&condition), 0);
    assert_code(rill_condition_notify_all(&condition), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "abcde");
    actors_end(all, 5);
}

static int
pass_through(actor *self)
{
    (void)self;
    RILL_TRY(rill_lock_acquire(&lock));
    return rill_lock_release(&lock);
}

/* mutant: tasks/condition.c
 * - rill__list_append(&lock->sync.waiters, &queuer->link);
 * + rill__list_append(lock->sync.waiters.next, &queuer->link); */
static void
test_the_notified_queue_behind_those_who_wait_for_the_lock(void **unused)
{
    (void)unused;
    let_wait(1, wait_locked);
    take();
    all[1] = (actor){ .letter = 'z', .wait = pass_through };
    actor_start(&h, &seen, &all[1]);
    actors_settle(&h);
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "za");
    actors_end(all, 2);
}

/* mutant: tasks/condition.c
 * - self->lock = rill__lock_of(lock != NULL ? lock : &self->own, "rill_condition_init");
 * + self->lock = rill__lock_of(&self->own, "rill_condition_init"); */
static void
test_two_conditions_can_share_a_lock(void **unused)
{
    static rill_condition second;

    (void)unused;
    rill_condition_init(&second, &lock);
    assert_ptr_equal(rill_condition_lock(&second), rill_condition_lock(&condition));
    let_wait(1, wait_locked);
    take();
    assert_code(rill_condition_notify_all(&second), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    rill_condition_done(&second);
    wake_the_rest(1);
}

/* mutant: tasks/condition.c
 * - rill_lock_init_site(&self->own, site); */
static void
test_without_a_lock_given_it_has_its_own(void **unused)
{
    static rill_condition own;
    rill_lock *its;

    (void)unused;
    rill_condition_init(&own, NULL);
    its = rill_condition_lock(&own);
    assert_ptr_not_equal(its, &lock);
    assert_code(rill_condition_notify(&own, 1), RILL_ESTATE);
    assert_true(rill_lock_try_acquire(its));
    assert_code(rill_condition_notify(&own, 1), 0);
    assert_code(rill_lock_release(its), 0);
    rill_condition_done(&own);
}

/* ---- predicates ---- */

static int answer, asked;

static int
tell(void *arg)
{
    assert_ptr_equal(arg, &answer);
    asked++;
    return answer;
}

static int
wait_for_answer(actor *self)
{
    int rc;

    (void)self;
    RILL_TRY(rill_lock_acquire(&lock));
    rc = rill_condition_wait_for(&condition, tell, &answer);
    held_at_return = rill_lock_is_locked(&lock);
    give();
    return rc;
}

static int
ask_without_the_lock(actor *self)
{
    (void)self;
    return rill_condition_wait_for(&condition, tell, &answer);
}

/* mutant: tasks/condition.c
 * - while (rc == 0 && value == 0) {
 * + if (rc == 0 && value == 0) { */
static void
test_wait_for_goes_on_until_the_predicate_holds_and_returns_what_it_said(void **unused)
{
    (void)unused;
    answer = asked = 0;
    let_wait(1, wait_for_answer);
    assert_int_equal(asked, 1);
    for (int i = 2; i < 4; i++) {
        take();
        assert_code(rill_condition_notify(&condition, 1), 0);
        give();
        actors_settle(&h);
        assert_int_equal(asked, i);
        assert_int_equal(all[0].rc, ACTOR_WAITS);
    }
    take();
    answer = 7;
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
    actors_settle(&h);
    assert_int_equal(all[0].rc, 7);
    assert_true(held_at_return);
    actors_end(all, 1);
}

/* mutant: tasks/condition.c
 * - value = predicate(arg);
 * + value = 0; */
static void
test_wait_for_what_holds_already_neither_waits_nor_needs_the_lock(void **unused)
{
    (void)unused;
    answer = 3;
    asked = 0;
    all[0] = (actor){ .letter = 'a', .wait = ask_without_the_lock };
    actor_start(&h, &seen, &all[0]);
    assert_int_equal(harness_turn(&h), 1);
    assert_code(all[0].rc, 3);
    answer = -77; /* An error ends it too. */
    all[1] = (actor){ .letter = 'b', .wait = ask_without_the_lock };
    actor_start(&h, &seen, &all[1]);
    assert_int_equal(harness_turn(&h), 1);
    assert_code(all[1].rc, -77);
    answer = 0; /* Now the lock is missing. */
    all[2] = (actor){ .letter = 'c', .wait = ask_without_the_lock };
    actor_start(&h, &seen, &all[2]);
    actors_settle(&h);
    assert_code(all[2].rc, RILL_ESTATE);
    actors_end(all, 3);
}

/* mutant: tasks/condition.c
 * - rc = rill__sync_may_wait(&condition_of(public, "rill_condition_wait_for")->sync, fiber);
 * + rc = 0; */
static void
test_the_canceled_do_not_even_ask(void **unused)
{
    (void)unused;
    answer = 1;
    asked = 0;
    all[0] = (actor){ .letter = 'a', .wait = ask_without_the_lock };
    actor_start(&h, &seen, &all[0]);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_int_equal(asked, 0);
    actors_end(all, 1);
}

/* ---- cancel at every point ---- */

/* mutant: tasks/condition.c
 * - lock->held = true; */
static void
test_canceled_while_the_lock_is_free_it_returns_with_the_lock(void **unused)
{
    (void)unused;
    held_at_return = false;
    let_wait(2, wait_locked);
    actor_cancel(&all[0]);
    assert_true(rill_lock_is_locked(&lock));
    actors_settle(&h);
    assert_string_equal(seen.text, "A");
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_true(held_at_return);
    wake_the_rest(2);
}

/* mutant: tasks/condition.c
 * - if (lock->held) {
 * + if (false) { */
static void
test_canceled_while_the_lock_is_held_it_returns_when_it_has_the_lock(void **unused)
{
    (void)unused;
    let_wait(1, wait_and_keep);
    take();
    actor_cancel(&all[0]);
    actors_settle(&h);
    actor_cancel(&all[0]); /* Once more does not get it out. */
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    give();
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_true(rill_lock_is_locked(&lock));
    give();
    actors_end(all, 1);
}

/* mutant: tasks/condition.c
 * - queuer->wait.cancel = NULL; */
static void
test_the_way_back_to_the_lock_is_not_cut_short_by_a_cancel(void **unused)
{
    (void)unused;
    let_wait(1, wait_and_keep);
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    all[1] = (actor){ .letter = 'z', .wait = pass_through };
    actor_start(&h, &seen, &all[1]);
    actors_settle(&h);
    actor_cancel(&all[0]);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_string_equal(seen.text, "");
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "A"); /* Nor does it lose its place in the line. */
    assert_code(all[0].rc, RILL_ECANCELED);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "Az");
    actors_end(all, 2);
}

/* mutant: tasks/condition.c
 * - self->lock.code = code; */
static void
test_a_cancel_before_the_notification_leaves_it_to_the_next(void **unused)
{
    (void)unused;
    let_wait(3, wait_locked);
    take();
    actor_cancel(&all[0]);
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "Ab");
    wake_the_rest(3);
}

/* mutant: tasks/condition.c
 * - (void)notify(self, 1, "rill_condition_wait"); */
static void
test_a_notification_is_passed_on_by_who_is_canceled_while_it_waits_for_the_lock(void **unused)
{
    (void)unused;
    let_wait(3, wait_locked);
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    actor_cancel(&all[0]);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "Ab");
    assert_code(all[0].rc, RILL_ECANCELED);
    wake_the_rest(3);
}

/* mutant: tasks/condition.c
 * - if (rc == 0 && fiber->canceled) {
 * + if (false) { */
static void
test_a_notification_is_passed_on_by_who_is_canceled_after_it_got_the_lock(void **unused)
{
    (void)unused;
    let_wait(3, wait_locked);
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    give(); /* a has it and has not run. */
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_string_equal(seen.text, "Ab");
    assert_code(all[0].rc, RILL_ECANCELED);
    wake_the_rest(3);
}

/* mutant: tasks/condition.c
 * - rc = rill__suspend(fiber, &me.lock.queuer.wait);
 * + rc = rill__suspend(fiber, &me.lock.queuer.wait);
 * + (void)notify(self, 1, "rill_condition_wait"); */
static void
test_without_a_cancel_a_notification_wakes_one_only(void **unused)
{
    (void)unused;
    let_wait(3, wait_locked);
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
    actors_settle(&h);
    assert_string_equal(seen.text, "a");
    wake_the_rest(3);
}

/* mutant: tasks/condition.c
 * - if (rc == 0 && fiber->canceled) {
 * + if (fiber->canceled) { */
static void
test_a_cancel_alone_notifies_nobody(void **unused)
{
    (void)unused;
    let_wait(3, wait_locked);
    actor_cancel(&all[1]);
    actors_settle(&h);
    assert_string_equal(seen.text, "B");
    wake_the_rest(3);
}

static int
cancel_and_wait(actor *self)
{
    RILL_TRY(rill_lock_acquire(&lock));
    actor_cancel(self);
    return rill_condition_wait(&condition);
}

/* mutant: tasks/condition.c
 * - rc = rill__sync_may_wait(&self->sync, fiber);
 * + rc = 0; */
static void
test_the_canceled_do_not_even_release_the_lock(void **unused)
{
    (void)unused;
    all[0] = (actor){ .letter = 'a', .wait = cancel_and_wait };
    actor_start(&h, &seen, &all[0]);
    all[1] = (actor){ .letter = 'b', .wait = wait_locked };
    actor_start(&h, &seen, &all[1]);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_true(rill_lock_is_locked(&lock));
    assert_int_equal(all[1].rc, ACTOR_WAITS);
    give();
    actors_settle(&h);
    wake_the_rest(2);
}

static int
wait_for_a_moment(actor *self)
{
    rill_scope limit;
    int rc;

    (void)self;
    RILL_TRY(rill_lock_acquire(&lock));
    rill_timeout_begin(&limit, RILL_MS);
    rc = rill_scope_end(&limit, rill_condition_wait(&condition));
    held_at_return = rill_lock_is_locked(&lock);
    give();
    return rc;
}

/* mutant: tasks/condition.c
 * - member me = { .lock.queuer.wait = { .cancel = on_cancel,
 * + member me = { .lock.queuer.wait = { .cancel = NULL, */
static void
test_a_timeout_ends_the_wait_with_the_lock_held(void **unused)
{
    (void)unused;
    held_at_return = false;
    all[0] = (actor){ .letter = 'a', .wait = wait_for_a_moment };
    actor_start(&h, &seen, &all[0]);
    harness_run_for(&h, 20 * RILL_MS);
    actors_settle(&h); /* What the last turn woke. */
    assert_code(all[0].rc, RILL_ETIMEDOUT);
    assert_true(held_at_return);
    actors_end(all, 1);
}

/* mutant: tasks/condition.c
 * - if (!loop->debug || late < LONG_FOR_A_LOCK)
 * + if (!loop->debug)
 * mutant: tasks/condition.c
 * - if (!loop->debug || late < LONG_FOR_A_LOCK)
 * + if (late < LONG_FOR_A_LOCK) */
static void
test_in_debug_mode_a_cancel_that_waits_long_for_the_lock_is_told_of(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, false, 10 * RILL_S);
    let_wait(3, wait_locked);
    take();
    actor_cancel(&all[2]);
    harness_run_for(&h, 1200 * RILL_MS);
    give();
    actors_settle(&h);
    assert_code(all[2].rc, RILL_ECANCELED);
    rill_loop_set_debug(h.loop, true, 10 * RILL_S);
    take();
    actor_cancel(&all[0]);
    harness_run_for(&h, 900 * RILL_MS);
    give();
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    assert_string_equal(h.log, "");
    take();
    actor_cancel(&all[1]);
    harness_run_for(&h, 1200 * RILL_MS);
    h.log_allowed = true;
    give();
    actors_settle(&h);
    assert_contains(h.log, "is canceled and waited 12");
    assert_contains(h.log, "test_condition.c:");
    actors_end(all, 3);
}

/* ---- wrong uses ---- */

/* mutant: tasks/sync.h
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_a_task_it_cannot_be_waited_for(void **unused)
{
    (void)unused;
    answer = 1;
    take();
    assert_code(rill_condition_wait(&condition), RILL_ENOTASK);
    assert_code(rill_condition_wait_for(&condition, tell, &answer), RILL_ENOTASK);
    assert_true(rill_lock_is_locked(&lock));
    give();
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
    let_wait(1, wait_locked);
    foreign = (actor){ .letter = 'f', .wait = wait_locked };
    harness_open(&other);
    actor_start(&other, &seen, &foreign);
    actors_settle(&other);
    assert_code(foreign.rc, RILL_EWRONGLOOP);
    assert_false(rill_lock_is_locked(&lock));
    actors_end(&foreign, 1);
    harness_close(&other);
    wake_the_rest(1);
}

static int
end_with_a_waiter(void *unused)
{
    (void)unused;
    (void)setup(NULL);
    let_wait(1, wait_locked);
    rill_condition_done(&condition);
    return 0;
}

static int
end_with_one_that_has_not_returned(void *unused)
{
    (void)unused;
    (void)setup(NULL);
    let_wait(1, wait_locked);
    take();
    (void)rill_condition_notify(&condition, 1);
    give();
    rill_condition_done(&condition);
    return 0;
}

static int
begin_over_no_lock(void *unused)
{
    static rill_lock zeroes;

    (void)unused;
    rill_condition_init(&condition, &zeroes);
    return 0;
}

/* mutant: tasks/condition.c
 * - if (self->inside != 0)
 * + if (false) */
static void
test_ending_it_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(end_with_a_waiter, NULL, "a task waits for the condition (made at");
    expect_abort(end_with_a_waiter, NULL, "test_condition.c:");
    expect_abort(end_with_one_that_has_not_returned, NULL, "or for its lock to return");
    expect_abort(begin_over_no_lock, NULL, "rill_condition_init");
}

/* mutant: tasks/condition.c
 * - queuer->wait.what = "rill_condition_wait (its lock again)"; */
static void
test_the_dump_tells_of_the_wait_and_of_the_way_back(void **unused)
{
    char text[1000];

    (void)unused;
    let_wait(1, wait_locked);
    actors_dump(&h, text, sizeof(text));
    assert_contains(text, "waits in rill_condition_wait, made at ");
    assert_contains(text, "test_condition.c:");
    assert_contains(text, " condition");
    take();
    assert_code(rill_condition_notify(&condition, 1), 0);
    actors_dump(&h, text, sizeof(text));
    assert_contains(text, "waits in rill_condition_wait (its lock again), made at ");
    assert_contains(text, " lock");
    give();
    actors_settle(&h);
    actors_end(all, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_waiting_and_notifying_need_the_lock),
        CASE(test_the_lock_is_free_while_it_waits_and_held_when_it_returns),
        CASE(test_notify_wakes_so_many_in_order_of_arrival),
        CASE(test_notify_all_wakes_all_in_order_of_arrival),
        CASE(test_the_notified_queue_behind_those_who_wait_for_the_lock),
        CASE(test_two_conditions_can_share_a_lock),
        CASE(test_without_a_lock_given_it_has_its_own),
        CASE(test_wait_for_goes_on_until_the_predicate_holds_and_returns_what_it_said),
        CASE(test_wait_for_what_holds_already_neither_waits_nor_needs_the_lock),
        CASE(test_the_canceled_do_not_even_ask),
        CASE(test_canceled_while_the_lock_is_free_it_returns_with_the_lock),
        CASE(test_canceled_while_the_lock_is_held_it_returns_when_it_has_the_lock),
        CASE(test_the_way_back_to_the_lock_is_not_cut_short_by_a_cancel),
        CASE(test_a_cancel_before_the_notification_leaves_it_to_the_next),
        CASE(test_a_notification_is_passed_on_by_who_is_canceled_while_it_waits_for_the_lock),
        CASE(test_a_notification_is_passed_on_by_who_is_canceled_after_it_got_the_lock),
        CASE(test_without_a_cancel_a_notification_wakes_one_only),
        CASE(test_a_cancel_alone_notifies_nobody),
        CASE(test_the_canceled_do_not_even_release_the_lock),
        CASE(test_a_timeout_ends_the_wait_with_the_lock_held),
        CASE_ON("sim", test_in_debug_mode_a_cancel_that_waits_long_for_the_lock_is_told_of),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_two_loops_cannot_wait_for_it_at_the_same_time),
        cmocka_unit_test(test_ending_it_with_a_waiter_ends_the_process_and_names_its_place),
        CASE(test_the_dump_tells_of_the_wait_and_of_the_way_back),
    };

    return run_cases(tests);
}
