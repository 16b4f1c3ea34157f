/*
 * Queues: what is put is got once, in the promised order, by those who waited first.
 */
#include "queues.h"

#include <errno.h>

static int
setup(void **unused)
{
    (void)unused;
    queues_open();
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    queues_close();
    return 0;
}

/* ---- order ---- */

/* mutant: tasks/items.c
 * - if (self->order == RILL_QUEUE_LIFO)
 * + if (true) */
static void
test_fifo_gives_the_oldest_first(void **unused)
{
    (void)unused;
    make_queue(NULL);
    put_all("abc");
    assert_string_equal(get_all(), "abc");
}

/* mutant: tasks/items.c
 * - if (self->order == RILL_QUEUE_LIFO)
 * + if (false) */
static void
test_lifo_gives_the_newest_first(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.order = RILL_QUEUE_LIFO));
    put_all("abc");
    assert_string_equal(get_all(), "cba");
    put_all("abcdefghijklmnopqrstuvwxyz");
    assert_string_equal(get_all(), "zyxwvutsrqponmlkjihgfedcba");
}

/* mutant: tasks/items.c
 * - return order != 0 ? order < 0 : a->sequence < b->sequence;
 * + return order != 0 ? order > 0 : a->sequence < b->sequence; */
static void
test_priority_gives_the_lowest_first(void **unused)
{
    (void)unused;
    make_queue(BY_LETTER());
    put_all("hbgackdiefj");
    assert_string_equal(get_all(), "abcdefghijk");
}

static int
compare_caseless(const void *a, const void *b, void *arg)
{
    (void)arg;
    return (letter_of(a) | 0x20) - (letter_of(b) | 0x20);
}

/* mutant: tasks/items.c
 * - return order != 0 ? order < 0 : a->sequence < b->sequence;
 * + return order < 0; */
static void
test_of_equal_priority_the_oldest_is_first(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.order = RILL_QUEUE_PRIORITY, .compare = compare_caseless));
    put_all("bBaAbBaaAcCAa");
    assert_string_equal(get_all(), "aAaaAAabBbBcC");
}

/* mutant: tasks/items.c
 * - memcpy(ring + first, self->ring, (self->count - first) * sizeof(void *)); */
static void
test_a_ring_that_grows_while_it_goes_round_keeps_the_order(void **unused)
{
    uintptr_t put = 0, got = 0;
    void *item;

    (void)unused;
    make_queue(NULL);
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 3; i++)
            assert_code(rill_queue_put_nowait(scene.q, (void *)put++), 0);
        for (int i = 0; i < 2; i++) {
            assert_code(rill_queue_get_nowait(scene.q, &item), 0);
            assert_int_equal((uintptr_t)item, got++);
        }
        assert_int_equal(rill_queue_size(scene.q), put - got);
    }
    while (rill_queue_get_nowait(scene.q, &item) == 0)
        assert_int_equal((uintptr_t)item, got++);
    assert_int_equal(got, put);
}

/* ---- without waiting ---- */

/* mutant: tasks/queue.c
 * - return self->maxsize != 0 && self->items.count >= self->maxsize;
 * + return self->maxsize != 0 && self->items.count > self->maxsize; */
static void
test_maxsize_is_how_many_it_takes_and_0_any_number(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 2));
    assert_int_equal(rill_queue_maxsize(scene.q), 2);
    assert_true(rill_queue_is_empty(scene.q));
    put_all("ab");
    assert_true(rill_queue_is_full(scene.q));
    assert_code(rill_queue_put_nowait(scene.q, NULL), RILL_EFULL);
    assert_int_equal(rill_queue_size(scene.q), 2);
    assert_string_equal(get_all(), "ab");
    queues_free();
    make_queue(NULL);
    for (int i = 0; i < 1000; i++)
        put_all("x");
    assert_false(rill_queue_is_full(scene.q));
    assert_false(rill_queue_is_empty(scene.q));
    assert_int_equal(rill_queue_size(scene.q), 1000);
}

/* mutant: tasks/queue.c @ get
 * - if (self->items.count == 0)
 * + *ret_item = NULL;
 * + if (self->items.count == 0) */
static void
test_get_nowait_of_an_empty_one_says_so_and_writes_nothing(void **unused)
{
    void *item = item_of('u');

    (void)unused;
    make_queue(NULL);
    assert_code(rill_queue_get_nowait(scene.q, &item), RILL_EEMPTY);
    assert_ptr_equal(item, item_of('u'));
}

/* mutant: tasks/queue.c
 * - (options->order == RILL_QUEUE_PRIORITY) != (options->compare != NULL))
 * + (options->order == RILL_QUEUE_PRIORITY && options->compare == NULL)) */
static void
test_a_comparison_is_for_priorities_and_they_need_one(void **unused)
{
    rill_queue *none = NULL;

    (void)unused;
    assert_code(
        rill_queue_new(scene.h.loop, RILL_QUEUE_OPTIONS(.order = RILL_QUEUE_PRIORITY), &none),
        RILL_EINVAL);
    expect_last_error(&scene.h, RILL_EINVAL, "compare");
    assert_code(
        rill_queue_new(scene.h.loop, RILL_QUEUE_OPTIONS(.compare = compare_caseless), &none),
        RILL_EINVAL);
    assert_code(
        rill_queue_new(scene.h.loop, RILL_QUEUE_OPTIONS(.order = (rill_queue_order)3), &none),
        RILL_EINVAL);
    assert_null(none);
}

/* It counts as put.
 *
 * mutant: tasks/queue.c
 * - return rill__fail_call(self->loop, rc, function);
 * + self->unfinished++;
 * + if (rc < 0)
 * + return rill__fail_call(self->loop, rc, function); */
static void
test_out_of_memory_a_put_says_so_and_nothing_is_lost(void **unused)
{
    int rc = 0;
    size_t count = 0;

    (void)unused;
    for (rill_queue_order order = RILL_QUEUE_FIFO; order <= RILL_QUEUE_PRIORITY; order++) {
        make_queue(order == RILL_QUEUE_PRIORITY ? BY_LETTER() : RILL_QUEUE_OPTIONS(.order = order));
        put_all("b");
        allocator_fail(&scene.h.allocator, 1, true);
        for (count = 1; count < 1000 && rc == 0; count++)
            rc = rill_queue_put_nowait(scene.q, item_of('c'));
        assert_code(rc, -ENOMEM);
        expect_last_error(&scene.h, -ENOMEM, "rill_queue_put_nowait");
        allocator_heal(&scene.h.allocator);
        assert_int_equal(rill_queue_size(scene.q), --count);
        rc = rill_queue_put_nowait(scene.q, item_of('d'));
        assert_code(rc, 0);
        assert_int_equal(strlen(get_all()), count + 1);
        for (; count > 0; count--)
            assert_code(rill_queue_task_done(scene.q), 0);
        assert_code(rill_queue_task_done(scene.q), 0);
        assert_code(rill_queue_task_done(scene.q), RILL_ESTATE); /* What failed does not count. */
        queues_free();
    }
}

/* ---- getters that wait ---- */

/* mutant: tasks/queue.c @ put
 * - if (first != NULL) {
 * + if (false) { */
static void
test_getters_get_in_order_of_their_arrival(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("xyz");
    put_all("ab");
    assert_true(rill_queue_is_empty(scene.q)); /* Both are somebody's. */
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "xy");
    assert_string_equal(got(), "ab?");
    put_all("c");
    actors_settle(&scene.h);
    assert_string_equal(got(), "abc");
    end_all();
}

/* mutant: tasks/queue.c @ put
 * - rill__queuer_serve(first, 0, function);
 * + rill__queuer_serve(first, 0, function);
 * + (void)rill__items_push(&self->items, item); */
static void
test_what_was_put_for_a_getter_nobody_else_gets(void **unused)
{
    void *item;

    (void)unused;
    make_queue(NULL);
    let_get("x");
    start_getter('l'); /* Ready before the one who waits. */
    put_all("a");
    assert_code(rill_queue_get_nowait(scene.q, &item), RILL_EEMPTY);
    actors_settle(&scene.h);
    assert_string_equal(got(), "a?");
    put_all("b");
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "xl");
    assert_string_equal(got(), "ab");
    end_all();
}

/* mutant: tasks/queue.c
 * - getter me = { .queuer.wait = { .cancel = rill__queuer_leave,
 * + getter me = { .queuer.wait = { .cancel = NULL, */
static void
test_a_canceled_getter_takes_nothing_and_the_next_one_gets_it(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("xyz");
    actor_cancel(&scene.cast[0]);
    put_all("a"); /* In the same turn. */
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "Xy");
    assert_code(scene.cast[0].rc, RILL_ECANCELED);
    assert_string_equal(got(), "?a?");
    put_all("b");
    actors_settle(&scene.h);
    assert_string_equal(got(), "?ab");
    end_all();
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_a_getter_canceled_after_it_was_handed_an_item_returns_it(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("xyz");
    put_all("a");
    actor_cancel(&scene.cast[0]);
    put_all("b");
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "xy");
    assert_code(scene.cast[0].rc, 0);
    assert_code(scene.cast[0].after, RILL_ECANCELED);
    assert_string_equal(got(), "ab?");
    put_all("c");
    actors_settle(&scene.h);
    end_all();
}

/* mutant: tasks/queue.c
 * - return rill__may_wait(fiber);
 * + return 0; */
static void
test_the_canceled_get_and_put_nothing(void **unused)
{
    (void)unused;
    make_queue(NULL);
    put_all("a");
    start_getter('x');
    start_putter('b');
    actor_cancel(&scene.cast[0]);
    actor_cancel(&scene.cast[1]);
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "XB");
    assert_code(scene.cast[1].rc, RILL_ECANCELED);
    assert_int_equal(rill_queue_size(scene.q), 1);
    assert_string_equal(get_all(), "a");
    end_all();
}

/* ---- putters that wait ---- */

/* mutant: tasks/queue.c @ get
 * - if (first != NULL) {
 * + if (false) { */
static void
test_a_put_waits_while_it_is_full_and_they_go_in_order(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    put_all("a");
    let_put("bcd");
    assert_string_equal(scene.seen.text, "");
    assert_code(rill_queue_get_nowait(scene.q, &item), 0);
    assert_ptr_equal(item, item_of('a'));
    assert_true(rill_queue_is_full(scene.q));
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "b");
    assert_string_equal(get_all(), "bcd");
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "bcd");
    end_all();
}

/* Who waits is let in without its item.
 *
 * mutant: tasks/queue.c
 * - rill__check(
 * - rill__items_push(&self->items, RILL__CONTAINER(first, putter, queuer)->item) == 0); */
static void
test_who_puts_later_does_not_go_before_who_waits(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    put_all("a");
    let_put("b");
    start_putter('l'); /* Ready before the one who waits. */
    assert_code(rill_queue_get_nowait(scene.q, &item), 0);
    assert_code(rill_queue_put_nowait(scene.q, item_of('n')), RILL_EFULL);
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "b");
    assert_string_equal(get_all(), "bl");
    actors_settle(&scene.h);
    end_all();
}

/* mutant: tasks/queue.c
 * - putter me = { .queuer.wait = { .cancel = rill__queuer_leave,
 * + putter me = { .queuer.wait = { .cancel = NULL, */
static void
test_a_canceled_putter_has_not_put(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    put_all("a");
    let_put("bcd");
    actor_cancel(&scene.cast[1]);
    assert_string_equal(get_all(), "abd");
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "Cbd");
    assert_code(scene.cast[1].rc, RILL_ECANCELED);
    end_all();
}

/* mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_a_putter_canceled_after_it_was_let_in_has_put(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    put_all("a");
    let_put("b");
    assert_code(rill_queue_get_nowait(scene.q, &item), 0);
    actor_cancel(&scene.cast[0]);
    actors_settle(&scene.h);
    assert_code(scene.cast[0].rc, 0);
    assert_code(scene.cast[0].after, RILL_ECANCELED);
    assert_string_equal(get_all(), "b");
    end_all();
}

/* It is there before the other one leaves.
 *
 * mutant: tasks/queue.c
 * - *ret_item = rill__items_pop(&self->items);
 * + if (first != NULL)
 * + (void)rill__items_push(&self->items, RILL__CONTAINER(first, putter, queuer)->item);
 * + *ret_item = rill__items_pop(&self->items); */
static void
test_with_room_made_the_waiting_item_takes_its_place_in_the_order(void **unused)
{
    (void)unused;
    make_queue(BY_LETTER(.maxsize = 2));
    put_all("mz");
    let_put("a");
    assert_string_equal(get_all(), "maz"); /* What waits outside has no rank yet. */
    actors_settle(&scene.h);
    end_all();
    queues_free();
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 2, .order = RILL_QUEUE_LIFO));
    put_all("ab");
    let_put("c");
    assert_string_equal(get_all(), "bca");
    actors_settle(&scene.h);
    end_all();
}

/* ---- callbacks, timeouts, fairness ---- */

static void
put_later(void *letter)
{
    assert_code(rill_queue_put_nowait(scene.q, item_of(*(char *)letter)), 0);
}

/* mutant: tasks/queue.c
 * - return put(self, item, "rill_queue_put_nowait");
 * + return rill__current() != NULL ? put(self, item, "rill_queue_put_nowait") : RILL_ENOTASK; */
static void
test_a_callback_feeds_a_task(void **unused)
{
    static char letter = 'a';

    (void)unused;
    make_queue(NULL);
    let_get("x");
    assert_code(rill_call_later(scene.h.loop, RILL_MS, put_later, &letter, NULL), 0);
    harness_run_for(&scene.h, 20 * RILL_MS);
    actors_settle(&scene.h);
    assert_string_equal(got(), "a");
    end_all();
}

static int
get_for_a_moment(actor *self)
{
    rill_scope limit;

    rill_timeout_begin(&limit, RILL_MS);
    return rill_scope_end(&limit, rill_queue_get(scene.q, &self->item));
}

/* mutant: tasks/queue.c
 * - getter me = { .queuer.wait = { .cancel = rill__queuer_leave,
 * + getter me = { .queuer.wait = { .cancel = NULL, */
static void
test_a_timeout_ends_the_wait_and_takes_nothing(void **unused)
{
    (void)unused;
    make_queue(NULL);
    start_with('x', get_for_a_moment);
    harness_run_for(&scene.h, 20 * RILL_MS);
    actors_settle(&scene.h);
    assert_code(scene.cast[0].rc, RILL_ETIMEDOUT);
    put_all("a");
    assert_string_equal(get_all(), "a");
    end_all();
}

static int
put_and_get(void *arg)
{
    bool *other_ran = arg;
    void *item;
    int i;

    for (i = 0; !*other_ran && i < 1000; i++) {
        RILL_TRY(rill_queue_put(scene.q, NULL));
        RILL_TRY(rill_queue_get(scene.q, &item));
        RILL_TRY(rill_queue_task_done(scene.q));
        RILL_TRY(rill_queue_join(scene.q));
    }
    return i;
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* mutant: tasks/queue.c @ rill_queue_get
 * - rill__spend(fiber);
 * + ; */
static void
test_a_task_that_never_has_to_wait_still_gives_way(void **unused)
{
    static bool ran;
    rill_task *task;

    (void)unused;
    make_queue(NULL);
    ran = false;
    assert_code(rill_spawn_on(scene.h.loop, put_and_get, &ran, NULL, &task), 0);
    assert_code(rill_call_soon(scene.h.loop, set_flag, &ran, NULL), 0);
    actors_settle(&scene.h);
    assert_code(rill_future_result(rill_task_future(task), NULL), 43); /* 128 / 3, and begun. */
    rill_task_unref(task);
}

/* mutant: tasks/queue.c
 * - return rill__queue_up(fiber, &self->getters, &me.queuer);
 * + rill__free(fiber->loop, rill__alloc(fiber->loop, 9, RILL_TAG_TASK), 9, RILL_TAG_TASK);
 * + return rill__queue_up(fiber, &self->getters, &me.queuer); */
static void
test_a_wait_allocates_nothing(void **unused)
{
    size_t calls;

    (void)unused;
    make_queue(NULL);
    start_getter('x');
    calls = scene.h.allocator.calls;
    actors_settle(&scene.h);
    put_all("a");
    actors_settle(&scene.h);
    assert_int_equal(scene.h.allocator.calls, calls);
    end_all();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fifo_gives_the_oldest_first),
        CASE(test_lifo_gives_the_newest_first),
        CASE(test_priority_gives_the_lowest_first),
        CASE(test_of_equal_priority_the_oldest_is_first),
        CASE(test_a_ring_that_grows_while_it_goes_round_keeps_the_order),
        CASE(test_maxsize_is_how_many_it_takes_and_0_any_number),
        CASE(test_get_nowait_of_an_empty_one_says_so_and_writes_nothing),
        CASE(test_a_comparison_is_for_priorities_and_they_need_one),
        CASE(test_out_of_memory_a_put_says_so_and_nothing_is_lost),
        CASE(test_getters_get_in_order_of_their_arrival),
        CASE(test_what_was_put_for_a_getter_nobody_else_gets),
        CASE(test_a_canceled_getter_takes_nothing_and_the_next_one_gets_it),
        CASE(test_a_getter_canceled_after_it_was_handed_an_item_returns_it),
        CASE(test_the_canceled_get_and_put_nothing),
        CASE(test_a_put_waits_while_it_is_full_and_they_go_in_order),
        CASE(test_who_puts_later_does_not_go_before_who_waits),
        CASE(test_a_canceled_putter_has_not_put),
        CASE(test_a_putter_canceled_after_it_was_let_in_has_put),
        CASE(test_with_room_made_the_waiting_item_takes_its_place_in_the_order),
        CASE(test_a_callback_feeds_a_task),
        CASE(test_a_timeout_ends_the_wait_and_takes_nothing),
        CASE(test_a_task_that_never_has_to_wait_still_gives_way),
        CASE(test_a_wait_allocates_nothing),
    };

    return run_cases(tests);
}
