/*
 * Conditions with many tasks that are canceled at random.
 */
#include "actors.h"

static harness h;
static rill_lock lock;
static rill_condition condition;

static int
setup(void **unused)
{
    (void)unused;
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

static struct store {
    int items, produced, consumed;
} store;

static int
has_item(void *unused)
{
    (void)unused;
    return store.items > 0;
}

/* Who is canceled at the wrong moment leaves what it was told of to others. */
static int
consume_one(void *unused)
{
    int rc;

    (void)unused;
    RILL_TRY(rill_lock_acquire(&lock));
    rc = rill_condition_wait_for(&condition, has_item, NULL);
    if (rc >= 0) {
        assert_true(store.items > 0);
        store.items--;
        store.consumed++;
    }
    assert_true(rill_lock_is_locked(&lock));
    give();
    return rc;
}

#define CONSUMERS 10

static rill_task *consumers[CONSUMERS];

static void
produce(void)
{
    take();
    store.items++;
    store.produced++;
    assert_code(rill_condition_notify(&condition, 1), 0);
    give();
}

/* While anybody waits, nothing may be left over. */
static void
look_and_replace(void)
{
    actors_settle(&h);
    for (int i = 0; i < CONSUMERS; i++) {
        if (consumers[i] != NULL && !rill_task_is_done(consumers[i])) {
            assert_int_equal(store.items, 0);
            continue;
        }
        rill_task_unref(consumers[i]);
        consumers[i] = NULL;
        assert_code(rill_spawn_on(h.loop, consume_one, NULL, NULL, &consumers[i]), 0);
    }
}

/* mutant: tasks/condition.c
 * - (void)notify(self, 1, "rill_condition_wait"); */
static void
test_with_random_cancels_every_item_is_consumed(void **unused)
{
    dice d = dice_new();

    (void)unused;
    memset(&store, 0, sizeof(store));
    memset(consumers, 0, sizeof(consumers));
    for (int i = 0; i < 3000; i++) {
        uint32_t who = dice_below(&d, CONSUMERS);

        if (dice_below(&d, 2) == 0 && !rill_lock_is_locked(&lock))
            produce();
        if (dice_below(&d, 3) == 0 && consumers[who] != NULL)
            (void)rill_task_cancel(consumers[who], NULL);
        if (dice_below(&d, 3) == 0)
            (void)harness_turn(&h);
        if (dice_below(&d, 4) == 0)
            look_and_replace();
    }
    actors_cancel_all(&h);
    for (int i = 0; i < CONSUMERS; i++)
        rill_task_unref(consumers[i]);
    assert_true(store.consumed > 100);
    assert_int_equal(store.consumed + store.items, store.produced);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_with_random_cancels_every_item_is_consumed),
    };

    return run_cases(tests);
}
