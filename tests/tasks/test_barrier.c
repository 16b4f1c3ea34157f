/*
 * Barriers: rounds of tasks that go on together, and what ends a round otherwise.
 */
#include "actors.h"
#include "child.h"

static harness h;
static tape seen;
static rill_barrier barrier;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    return rill_barrier_init(&barrier, 3);
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_barrier_done(&barrier);
    return 0;
}

static int
arrive(actor *self)
{
    (void)self;
    return rill_barrier_wait(&barrier);
}

#define PARTY(name) ((actor){ .letter = (name), .wait = arrive })

static actor all[6];

/* `count` more, from number `first` on; a round takes three. */
static void
let_arrive(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        all[i] = PARTY((char)('a' + i));
    actors_start(&h, &seen, &all[first], count);
    actors_settle(&h);
}

/* ---- rounds ---- */

/* mutant: tasks/barrier.c
 * - RILL__REQUIRE(public != NULL && parties >= 1);
 * + RILL__REQUIRE(public != NULL && parties >= 0); */
static void
test_it_is_for_one_party_at_least(void **unused)
{
    rill_barrier other;

    (void)unused;
    assert_code(rill_barrier_init(&other, 0), RILL_EINVAL);
    assert_code(rill_barrier_init(&other, -3), RILL_EINVAL);
    assert_int_equal(rill_barrier_parties(&barrier), 3);
}

/* mutant: tasks/barrier.c
 * - rill__queuer_serve(first, number++, "rill_barrier_wait");
 * + rill__queuer_serve(first, self->count - 1 - number++, "rill_barrier_wait"); */
static void
test_each_gets_its_number_in_order_of_arrival_and_the_last_goes_on_at_once(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    assert_string_equal(seen.text, "");
    assert_int_equal(rill_barrier_waiting(&barrier), 2);
    let_arrive(2, 1);
    assert_string_equal(seen.text, "cab");
    for (int i = 0; i < 3; i++)
        assert_code(all[i].rc, i);
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
    assert_false(rill_barrier_is_broken(&barrier));
    actors_end(all, 3);
}

/* mutant: tasks/barrier.c
 * - if (self->count + 1 < self->parties)
 * + if (self->count < self->parties) */
static void
test_a_party_of_one_never_waits(void **unused)
{
    (void)unused;
    rill_barrier_done(&barrier);
    assert_code(rill_barrier_init(&barrier, 1), 0);
    let_arrive(0, 2);
    assert_code(all[0].rc, 0);
    assert_code(all[1].rc, 0);
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
    actors_end(all, 2);
}

/* mutant: tasks/barrier.c @ rill_barrier_wait
 * - self->count = 0; */
static void
test_it_serves_round_after_round(void **unused)
{
    (void)unused;
    let_arrive(0, 3);
    let_arrive(3, 2);
    assert_string_equal(seen.text, "cab");
    actors_end(all, 3);
    let_arrive(0, 1);
    assert_code(all[3].rc, 0);
    assert_code(all[4].rc, 1);
    assert_code(all[0].rc, 2);
    actors_end(&all[3], 2);
    actors_end(all, 1);
}

static int
arrive_twice(actor *self)
{
    int first = rill_barrier_wait(&barrier);
    int second;

    RILL_TRY(first);
    tape_add(self->tape, (char)('0' + first));
    second = rill_barrier_wait(&barrier);
    return second < 0 ? second : first * 10 + second;
}

/* mutant: tasks/barrier.c @ rill_barrier_wait
 * - self->count = 0;
 * + self->count = 1; */
static void
test_who_comes_again_before_the_others_ran_counts_for_the_next_round(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        all[i] = (actor){ .letter = (char)('a' + i), .wait = arrive_twice };
    actors_start(&h, &seen, all, 3);
    actors_settle(&h);
    assert_string_equal(seen.text, "201bca");
    assert_code(all[2].rc, 20); /* The last one was the first to come again, */
    assert_code(all[0].rc, 1);
    assert_code(all[1].rc, 12); /* and this one is the last then. */
    actors_end(all, 3);
}

/* ---- cancels ---- */

/* mutant: tasks/barrier.c
 * - self->at->count--; */
static void
test_a_canceled_one_has_not_come_and_the_numbers_have_no_gap(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    actor_cancel(&all[0]);
    assert_int_equal(rill_barrier_waiting(&barrier), 1);
    assert_false(rill_barrier_is_broken(&barrier));
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    let_arrive(2, 1);
    assert_string_equal(seen.text, "A");
    let_arrive(3, 1);
    assert_string_equal(seen.text, "Adbc");
    for (int i = 1; i < 4; i++)
        assert_code(all[i].rc, i - 1);
    actors_end(all, 4);
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_who_is_canceled_after_the_last_came_has_its_number(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    all[2] = PARTY('c');
    actor_start(&h, &seen, &all[2]);
    assert_int_equal(harness_turn(&h), 1);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_code(all[0].rc, 0);
    assert_code(all[0].after, RILL_ECANCELED);
    assert_code(all[1].rc, 1);
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
    actors_end(all, 3);
}

/* mutant: tasks/sync.h
 * - return rill__may_wait(fiber);
 * + return 0; */
static void
test_the_canceled_are_told_so_and_do_not_count(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    all[2] = PARTY('c');
    actor_start(&h, &seen, &all[2]);
    actor_cancel(&all[2]);
    actors_settle(&h);
    assert_code(all[2].rc, RILL_ECANCELED);
    assert_int_equal(rill_barrier_waiting(&barrier), 2);
    let_arrive(3, 1);
    assert_code(all[3].rc, 2);
    actors_end(all, 4);
}

/* ---- reset and abort ---- */

/* mutant: tasks/barrier.c @ fail_round
 * - self->count = 0; */
static void
test_reset_breaks_the_round_and_no_later_one(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    rill_barrier_reset(&barrier);
    assert_false(rill_barrier_is_broken(&barrier));
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
    let_arrive(2, 3);
    assert_code(all[0].rc, RILL_EBROKEN);
    assert_code(all[1].rc, RILL_EBROKEN);
    for (int i = 2; i < 5; i++)
        assert_code(all[i].rc, i - 2);
    actors_end(all, 5);
}

/* mutant: tasks/barrier.c @ rill_barrier_reset
 * - self->broken = false;
 * + self->broken = true; */
static void
test_reset_with_nobody_waiting_changes_nothing(void **unused)
{
    (void)unused;
    rill_barrier_reset(&barrier);
    let_arrive(0, 3);
    assert_code(all[2].rc, 2);
    actors_end(all, 3);
}

/* mutant: tasks/barrier.c
 * - fail_round(self, "rill_barrier_reset"); */
static void
test_newcomers_after_a_reset_wait_for_the_new_round(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    all[2] = PARTY('c');
    actor_start(&h, &seen, &all[2]);
    rill_barrier_reset(&barrier);
    actors_settle(&h);
    assert_string_equal(seen.text, "AB");
    assert_int_equal(rill_barrier_waiting(&barrier), 1);
    let_arrive(3, 2);
    assert_code(all[2].rc, 0);
    assert_code(all[4].rc, 2);
    actors_end(all, 5);
}

/* The last one waits, too.
 *
 * mutant: tasks/barrier.c
 * - if (self->count + 1 < self->parties)
 * + if (self->count + 1 <= self->parties) */
static void
test_a_round_that_is_complete_is_not_broken_by_a_reset_after(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    all[2] = PARTY('c');
    actor_start(&h, &seen, &all[2]);
    assert_int_equal(harness_turn(&h), 1);
    rill_barrier_abort(&barrier);
    actors_settle(&h);
    for (int i = 0; i < 3; i++)
        assert_code(all[i].rc, i);
    actors_end(all, 3);
}

/* mutant: tasks/barrier.c
 * - if (self->broken)
 * + if (false) */
static void
test_abort_breaks_it_for_those_who_wait_and_come_until_it_is_reset(void **unused)
{
    (void)unused;
    let_arrive(0, 2);
    rill_barrier_abort(&barrier);
    assert_true(rill_barrier_is_broken(&barrier));
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
    let_arrive(2, 1);
    for (int i = 0; i < 3; i++)
        assert_code(all[i].rc, RILL_EBROKEN);
    actors_end(all, 3);
    rill_barrier_abort(&barrier);
    rill_barrier_reset(&barrier);
    assert_false(rill_barrier_is_broken(&barrier));
    let_arrive(0, 3);
    assert_code(all[2].rc, 2);
    actors_end(all, 3);
}

/* mutant: tasks/barrier.c
 * - rc = rill__sync_may_wait(&self->sync, fiber);
 * + rc = self->broken ? RILL_EBROKEN : rill__sync_may_wait(&self->sync, fiber); */
static void
test_the_canceled_are_told_so_even_when_it_is_broken(void **unused)
{
    (void)unused;
    rill_barrier_abort(&barrier);
    all[0] = PARTY('a');
    actor_start(&h, &seen, &all[0]);
    actor_cancel(&all[0]);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ECANCELED);
    actors_end(all, 1);
}

static int
arrive_for_a_moment(actor *self)
{
    rill_scope limit;

    (void)self;
    rill_timeout_begin(&limit, RILL_MS);
    return rill_scope_end(&limit, rill_barrier_wait(&barrier));
}

/* mutant: tasks/barrier.c
 * - return rill__queuer_leave(wait);
 * + return false; */
static void
test_a_timeout_ends_the_wait_and_breaks_nothing(void **unused)
{
    (void)unused;
    all[0] = (actor){ .letter = 'a', .wait = arrive_for_a_moment };
    actor_start(&h, &seen, &all[0]);
    harness_run_for(&h, 20 * RILL_MS);
    actors_settle(&h);
    assert_code(all[0].rc, RILL_ETIMEDOUT);
    let_arrive(1, 3);
    assert_code(all[3].rc, 2);
    actors_end(all, 4);
}

/* ---- wrong uses ---- */

/* mutant: tasks/sync.h
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_a_task_it_cannot_be_waited_for(void **unused)
{
    (void)unused;
    assert_code(rill_barrier_wait(&barrier), RILL_ENOTASK);
    assert_int_equal(rill_barrier_waiting(&barrier), 0);
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
    let_arrive(0, 1);
    foreign = PARTY('f');
    harness_open(&other);
    actor_start(&other, &seen, &foreign);
    actors_settle(&other);
    assert_code(foreign.rc, RILL_EWRONGLOOP);
    actors_end(&foreign, 1);
    harness_close(&other);
    let_arrive(1, 2);
    assert_code(all[2].rc, 2);
    actors_end(all, 3);
}

static int
end_with_a_waiter(void *unused)
{
    (void)unused;
    (void)setup(NULL);
    let_arrive(0, 1);
    rill_barrier_done(&barrier);
    return 0;
}

/* mutant: tasks/lock.c
 * - if (!rill__list_empty(&self->waiters))
 * + if (false) */
static void
test_ending_it_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(end_with_a_waiter, NULL, "a task waits for the barrier (made at");
    expect_abort(end_with_a_waiter, NULL, "test_barrier.c:");
}

/* mutant: tasks/barrier.c
 * - .site = self->sync.site },
 * + }, */
static void
test_the_dump_tells_who_waits_at_which_barrier(void **unused)
{
    char text[1000];

    (void)unused;
    let_arrive(0, 1);
    actors_dump(&h, text, sizeof(text));
    assert_contains(text, "waits in rill_barrier_wait, made at ");
    assert_contains(text, "test_barrier.c:");
    let_arrive(1, 2);
    actors_end(all, 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_it_is_for_one_party_at_least),
        CASE(test_each_gets_its_number_in_order_of_arrival_and_the_last_goes_on_at_once),
        CASE(test_a_party_of_one_never_waits),
        CASE(test_it_serves_round_after_round),
        CASE(test_who_comes_again_before_the_others_ran_counts_for_the_next_round),
        CASE(test_a_canceled_one_has_not_come_and_the_numbers_have_no_gap),
        CASE(test_who_is_canceled_after_the_last_came_has_its_number),
        CASE(test_the_canceled_are_told_so_and_do_not_count),
        CASE(test_reset_breaks_the_round_and_no_later_one),
        CASE(test_reset_with_nobody_waiting_changes_nothing),
        CASE(test_newcomers_after_a_reset_wait_for_the_new_round),
        CASE(test_a_round_that_is_complete_is_not_broken_by_a_reset_after),
        CASE(test_abort_breaks_it_for_those_who_wait_and_come_until_it_is_reset),
        CASE(test_the_canceled_are_told_so_even_when_it_is_broken),
        CASE(test_a_timeout_ends_the_wait_and_breaks_nothing),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_two_loops_cannot_wait_for_it_at_the_same_time),
        cmocka_unit_test(test_ending_it_with_a_waiter_ends_the_process_and_names_its_place),
        CASE(test_the_dump_tells_who_waits_at_which_barrier),
    };

    return run_cases(tests);
}
