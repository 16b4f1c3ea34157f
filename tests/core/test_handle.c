/*
 * Ids: values with a generation, harmless for ever, on this loop and on every other; and scheduled
 * callbacks that may cancel, schedule and reuse each other's places.
 */
#include "harness.h"

#include <errno.h>

static harness h;
static size_t ran;

static void
count_run(void *arg)
{
    (void)arg;
    ran++;
}

static int
setup(void **unused)
{
    (void)unused;
    ran = 0;
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

static void
test_nothing_has_the_id_zero(void **unused)
{
    rill_id id = 0;

    (void)unused;
    assert_false(rill_cancel(h.loop, 0));
    assert_null(rill_transport_from_id(h.loop, 0));
    for (int i = 0; i < 1000; i++) {
        assert_code(rill_call_soon(h.loop, count_run, NULL, &id), 0);
        assert_true(id != 0);
        assert_true(rill_cancel(h.loop, id));
    }
}

/* Until a call fails: 100,000 are more than what was made before has room for. */
static int
schedule_until_refused(bool soon)
{
    int rc = 0;

    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = soon ? rill_call_soon(h.loop, count_run, NULL, NULL)
                  : rill_call_later(h.loop, RILL_S, count_run, NULL, NULL);
    return rc;
}

static void
test_no_memory_has_a_sentence(void **unused)
{
    (void)unused;
    allocator_fail(&h.allocator, 1, true);
    assert_code(schedule_until_refused(true), -ENOMEM);
    expect_last_error(&h, -ENOMEM, "call_soon");
    assert_code(schedule_until_refused(false), -ENOMEM);
    expect_last_error(&h, -ENOMEM, "timer");
    allocator_heal(&h.allocator);
}

/* Far more ids than places: an old one must not name what took its place. */
static void
test_stale_ids_name_nothing(void **unused)
{
    static rill_id old[100000];

    (void)unused;
    for (size_t i = 0; i < 100000; i++) {
        assert_code(rill_call_soon(h.loop, count_run, NULL, &old[i]), 0);
        if (i % 3 == 0)
            assert_true(rill_cancel(h.loop, old[i]));
        if (i % 10 == 9)
            harness_turn(&h);
    }
    harness_turn(&h);
    assert_int_equal(ran, 100000 - 33334);
    for (size_t i = 0; i < 50; i++)
        assert_code(rill_call_later(h.loop, RILL_S, count_run, NULL, i == 0 ? &old[0] : NULL), 0);
    for (size_t i = 1; i < 100000; i++) {
        assert_true(old[i] != old[0]);
        assert_false(rill_cancel(h.loop, old[i]));
        assert_code(rill_timer_rearm(h.loop, old[i], 1), RILL_ESTATE);
        assert_null(rill_transport_from_id(h.loop, old[i]));
    }
    harness_close_with(&h, 50);
    harness_open(&h);
}

static void
test_random_ids_name_nothing(void **unused)
{
    dice d = dice_new();
    rill_id id;

    (void)unused;
    assert_code(rill_call_later(h.loop, RILL_S, count_run, NULL, &id), 0);
    for (int i = 0; i < 100000; i++) {
        rill_id guess = (uint64_t)dice_below(&d, UINT32_MAX) << 32 | dice_below(&d, UINT32_MAX);

        if (dice_below(&d, 2) == 0)
            guess = id ^ (UINT64_C(1) << dice_below(&d, 64));
        if (guess == id)
            continue;
        assert_false(rill_cancel(h.loop, guess));
        assert_null(rill_transport_from_id(h.loop, guess));
    }
    assert_false(rill_cancel(h.loop, UINT64_MAX));
    assert_true(rill_cancel(h.loop, id));
}

static void
test_ids_of_another_loop_name_nothing(void **unused)
{
    rill_loop *other = NULL;
    rill_id mine[20], theirs[20];

    (void)unused;
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = rill_loop_driver(h.loop)), &other), 0);
    for (int i = 0; i < 20; i++) {
        assert_code(rill_call_later(h.loop, RILL_S, count_run, NULL, &mine[i]), 0);
        assert_code(rill_call_later(other, RILL_S, count_run, NULL, &theirs[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_false(rill_cancel(h.loop, theirs[i]));
        assert_false(rill_cancel(other, mine[i]));
        assert_code(rill_timer_rearm(other, mine[i], 1), RILL_ESTATE);
    }
    for (int i = 0; i < 20; i++)
        assert_true(rill_cancel(h.loop, mine[i]));
    assert_int_equal(rill_loop_free(other), 20);
    for (int i = 0; i < 20; i++)
        assert_false(rill_cancel(h.loop, theirs[i]));
}

static rill_id ring[64];
static dice d;

static void
churn(void *arg)
{
    size_t at = (size_t)(uintptr_t)arg;

    ran++;
    (void)rill_cancel(h.loop, ring[dice_below(&d, 64)]); /* Itself, the dead and the living. */
    if (ran < 20000)
        assert_code(rill_call_soon(h.loop, churn, (void *)(uintptr_t)(at + 1), &ring[at % 64]), 0);
    if (ran < 20000 && dice_below(&d, 2) == 0)
        assert_code(
            rill_call_soon(h.loop, churn, (void *)(uintptr_t)(at + 7), &ring[at * 5 % 64]), 0);
}

static void
test_callbacks_cancel_and_queue_each_other(void **unused)
{
    (void)unused;
    d = dice_new();
    memset(ring, 0, sizeof(ring));
    for (uintptr_t i = 0; ran < 20000; i++) {
        assert_code(rill_call_soon(h.loop, churn, (void *)i, NULL), 0);
        harness_turn(&h);
    }
    while (harness_turn(&h) > 0) {
    }
}

static void
freed_with_pending(void *arg)
{
    (void)arg;
    fail_msg("a callback ran while the loop was freed");
}

static void
test_pending_callbacks_are_dropped_by_loop_free(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, freed_with_pending, NULL, NULL), 0);
    assert_code(rill_call_later(h.loop, 0, freed_with_pending, NULL, NULL), 0);
    assert_code(rill_call_later(h.loop, RILL_S, freed_with_pending, NULL, NULL), 0);
    assert_code(rill_call_every(h.loop, RILL_S, freed_with_pending, NULL, NULL), 0);
    harness_close_with(&h, 3); /* Timers are leftovers, a callback that was due is not. */
    harness_open(&h);
}

static void
test_loop_free_of_nothing(void **unused)
{
    (void)unused;
    assert_int_equal(rill_loop_free(NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_has_the_id_zero),
        CASE(test_no_memory_has_a_sentence),
        CASE(test_stale_ids_name_nothing),
        CASE(test_random_ids_name_nothing),
        CASE(test_ids_of_another_loop_name_nothing),
        CASE(test_callbacks_cancel_and_queue_each_other),
        CASE(test_pending_callbacks_are_dropped_by_loop_free),
        CASE(test_loop_free_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
