/*
 * Queues: items that are done with, the ends of a queue, and wrong uses.
 */
#include "queues.h"

#include "child.h"

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

/* ---- join ---- */

/* mutant: tasks/queue.c @ rill_queue_task_done
 * - if (self->unfinished == 0)
 * + if (false) */
static void
test_task_done_once_too_often_is_refused(void **unused)
{
    (void)unused;
    make_queue(NULL);
    assert_code(rill_queue_task_done(scene.q), RILL_ESTATE);
    put_all("ab");
    assert_string_equal(get_all(), "ab");
    assert_code(rill_queue_task_done(scene.q), 0);
    assert_code(rill_queue_task_done(scene.q), 0);
    assert_code(rill_queue_task_done(scene.q), RILL_ESTATE);
}

/* mutant: tasks/queue.c
 * - if (self->unfinished > 0 && --self->unfinished == 0)
 * + if (self->unfinished > 0 && --self->unfinished <= 1) */
static void
test_join_waits_until_all_are_done_with(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 2));
    start_joiner('i');
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "i"); /* Nothing was put. */
    put_all("ab");
    let_put("c"); /* Counts once it is in. */
    start_joiner('j');
    start_joiner('k');
    actors_settle(&scene.h);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(scene.seen.text, i == 0 ? "i" : "ic");
        assert_code(rill_queue_get_nowait(scene.q, &item), 0);
        assert_code(rill_queue_task_done(scene.q), 0);
        if (i < 2)
            actors_settle(&scene.h);
    }
    put_all("d"); /* They have been let go already. */
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "icjk");
    assert_code(scene.cast[2].rc, 0);
    end_all();
    assert_string_equal(get_all(), "d");
}

/* mutant: tasks/queue.c @ put
 * - self->unfinished++;
 * + self->unfinished += first == NULL; */
static void
test_an_item_handed_to_a_getter_counts_for_join(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("x");
    put_all("a");
    start_joiner('j');
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "x");
    assert_code(rill_queue_task_done(scene.q), 0);
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "xj");
    end_all();
}

/* mutant: tasks/queue.c
 * - .wait = { .cancel = rill__queuer_leave, .what = "rill_queue_join", .site = self->site }
 * + .wait = { .cancel = NULL, .what = "rill_queue_join", .site = self->site } */
static void
test_a_canceled_join_waits_no_longer(void **unused)
{
    (void)unused;
    make_queue(NULL);
    put_all("a");
    start_joiner('j');
    actors_settle(&scene.h);
    actor_cancel(&scene.cast[0]);
    actors_settle(&scene.h);
    assert_code(scene.cast[0].rc, RILL_ECANCELED);
    end_all();
}

/* ---- shutdown ---- */

/* mutant: tasks/queue.c
 * - serve_all(&self->putters, RILL_ESHUTDOWN, "rill_queue_shutdown"); */
static void
test_shutdown_fails_those_who_put_and_lets_get_drain(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 2));
    put_all("ab");
    let_put("c");
    rill_queue_shutdown(scene.q, false);
    rill_queue_shutdown(scene.q, false);
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "C");
    assert_code(scene.cast[0].rc, RILL_ESHUTDOWN);
    assert_code(rill_queue_put_nowait(scene.q, item_of('d')), RILL_ESHUTDOWN);
    start_putter('e');
    start_getter('x');
    start_joiner('j');
    actors_settle(&scene.h);
    assert_code(scene.cast[1].rc, RILL_ESHUTDOWN);
    assert_code(scene.cast[2].rc, 0);
    assert_ptr_equal(scene.cast[2].item, item_of('a'));
    assert_code(rill_queue_get_nowait(scene.q, &item), 0);
    assert_code(rill_queue_get_nowait(scene.q, &item), RILL_ESHUTDOWN);
    assert_code(rill_queue_task_done(scene.q), 0);
    actors_settle(&scene.h);
    assert_int_equal(scene.cast[3].rc, ACTOR_WAITS); /* One is still at work. */
    assert_code(rill_queue_task_done(scene.q), 0);
    actors_settle(&scene.h);
    assert_code(scene.cast[3].rc, 0);
    assert_code(rill_queue_task_done(scene.q), RILL_ESTATE);
    end_all();
}

/* mutant: tasks/queue.c
 * - serve_all(&self->getters, RILL_ESHUTDOWN, "rill_queue_shutdown"); */
static void
test_shutdown_fails_those_who_wait_to_get(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("xy");
    rill_queue_shutdown(scene.q, false);
    start_getter('z');
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "XYZ");
    for (int i = 0; i < 3; i++)
        assert_code(scene.cast[i].rc, RILL_ESHUTDOWN);
    end_all();
}

/* mutant: tasks/queue.c @ put
 * - if (first != NULL) {
 * + if (false) { */
static void
test_what_was_handed_over_before_the_shutdown_is_got(void **unused)
{
    (void)unused;
    make_queue(NULL);
    let_get("x");
    put_all("a");
    rill_queue_shutdown(scene.q, true);
    actors_settle(&scene.h);
    assert_code(scene.cast[0].rc, 0);
    assert_string_equal(got(), "a");
    end_all();
}

/* mutant: tasks/queue.c
 * - finish_one(self, "rill_queue_shutdown"); */
static void
test_immediate_shutdown_drops_the_items_and_releases_join(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 3, .drop = keep_dropped));
    put_all("abc");
    let_put("d");
    start_joiner('j');
    actors_settle(&scene.h);
    rill_queue_shutdown(scene.q, true);
    assert_string_equal(scene.dropped.text, "abc"); /* d is still its putter's. */
    assert_true(rill_queue_is_empty(scene.q));
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "Dj");
    assert_code(rill_queue_task_done(scene.q), RILL_ESTATE);
    end_all();
}

/* mutant: tasks/queue.c
 * - finish_one(self, "rill_queue_shutdown");
 * + self->unfinished = 1, finish_one(self, "rill_queue_shutdown"); */
static void
test_after_an_immediate_shutdown_join_waits_for_what_was_got(void **unused)
{
    void *item;

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.drop = keep_dropped));
    put_all("abc");
    assert_code(rill_queue_get_nowait(scene.q, &item), 0);
    start_joiner('j');
    actors_settle(&scene.h);
    rill_queue_shutdown(scene.q, false);
    rill_queue_shutdown(scene.q, true); /* Also after one that was not. */
    actors_settle(&scene.h);
    assert_string_equal(scene.dropped.text, "bc");
    assert_string_equal(scene.seen.text, "");
    assert_code(rill_queue_task_done(scene.q), 0);
    actors_settle(&scene.h);
    assert_string_equal(scene.seen.text, "j");
    assert_code(rill_queue_task_done(scene.q), RILL_ESTATE);
    end_all();
}

static void
drop_and_use(void *item, void *arg)
{
    void *other;

    keep_dropped(item, arg);
    assert_code(rill_queue_put_nowait(scene.q, item), RILL_ESHUTDOWN);
    if (rill_queue_get_nowait(scene.q, &other) == 0)
        tape_add(&scene.dropped, '+');
}

/* mutant: tasks/queue.c
 * - self->shut = true; */
static void
test_a_drop_at_shutdown_may_use_the_queue(void **unused)
{
    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.drop = drop_and_use));
    put_all("abc");
    rill_queue_shutdown(scene.q, true);
    assert_string_equal(scene.dropped.text, "a+c");
}

/* mutant: tasks/queue.c @ rill_queue_free
 * - drop_next(self);
 * + (void)rill__items_pop(&self->items); */
static void
test_free_drops_what_is_left(void **unused)
{
    (void)unused;
    make_queue(BY_LETTER(.drop = keep_dropped));
    put_all("cab");
    queues_free();
    assert_string_equal(scene.dropped.text, "abc");
}

/* ---- wrong uses ---- */

/* mutant: tasks/queue.c
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_a_task_it_cannot_be_waited_for(void **unused)
{
    void *item = item_of('u');

    (void)unused;
    make_queue(NULL);
    put_all("a");
    assert_code(rill_queue_get(scene.q, &item), RILL_ENOTASK);
    assert_code(rill_queue_put(scene.q, item), RILL_ENOTASK);
    assert_code(rill_queue_join(scene.q), RILL_ENOTASK);
    assert_ptr_equal(item, item_of('u'));
    assert_int_equal(rill_queue_size(scene.q), 1);
}

static int
use_from_elsewhere(void *unused)
{
    void *item;

    (void)unused;
    assert_code(rill_queue_put(scene.q, NULL), RILL_EWRONGLOOP);
    assert_code(rill_queue_get(scene.q, &item), RILL_EWRONGLOOP);
    assert_code(rill_queue_join(scene.q), RILL_EWRONGLOOP);
    return 0;
}

/* mutant: tasks/queue.c
 * - if (RILL__UNLIKELY(fiber->loop != self->loop))
 * + if (false) */
static void
test_a_task_of_another_loop_is_refused(void **unused)
{
    static harness other;

    (void)unused;
    make_queue(NULL);
    put_all("a");
    harness_open(&other);
    assert_code(tasks_run(&other, use_from_elsewhere, NULL), 0);
    harness_close(&other);
    assert_string_equal(get_all(), "a");
}

static int
free_with_a_getter(void *unused)
{
    (void)unused;
    queues_open();
    make_queue(NULL);
    let_get("x");
    rill_queue_free(scene.q);
    return 0;
}

static int
free_with_a_putter(void *unused)
{
    (void)unused;
    queues_open();
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    put_all("a");
    let_put("b");
    rill_queue_free(scene.q);
    return 0;
}

static int
free_with_a_joiner(void *unused)
{
    (void)unused;
    queues_open();
    make_queue(NULL);
    put_all("a");
    start_joiner('j');
    actors_settle(&scene.h);
    rill_queue_free(scene.q);
    return 0;
}

/* mutant: tasks/queue.c
 * - !rill__list_empty(&self->joiners))
 * + false) */
static void
test_freeing_it_with_a_waiter_ends_the_process_and_names_its_place(void **unused)
{
    (void)unused;
    expect_abort(free_with_a_getter, NULL, "a task waits for the queue (made at");
    expect_abort(free_with_a_putter, NULL, "rill_queue_free: a task waits");
    expect_abort(free_with_a_joiner, NULL, "queues.c:");
}

/* mutant: tasks/queue.c @ rill_queue_put
 * - .site = self->site },
 * + }, */
static void
test_the_dump_tells_who_waits_for_which_queue(void **unused)
{
    char text[2000];

    (void)unused;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = 1));
    let_get("x");
    actors_dump(&scene.h, text, sizeof(text));
    assert_contains(text, "waits in rill_queue_get, made at ");
    put_all("a");
    actors_settle(&scene.h);
    end_all();
    put_all("b");
    let_put("c");
    start_joiner('j');
    actors_settle(&scene.h);
    actors_dump(&scene.h, text, sizeof(text));
    assert_contains(text, "waits in rill_queue_put, made at ");
    assert_contains(text, "waits in rill_queue_join, made at ");
    assert_contains(text, "queues.c:");
    rill_queue_shutdown(scene.q, true);
    assert_code(rill_queue_task_done(scene.q), 0);
    actors_settle(&scene.h);
    end_all();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_task_done_once_too_often_is_refused),
        CASE(test_join_waits_until_all_are_done_with),
        CASE(test_an_item_handed_to_a_getter_counts_for_join),
        CASE(test_a_canceled_join_waits_no_longer),
        CASE(test_shutdown_fails_those_who_put_and_lets_get_drain),
        CASE(test_shutdown_fails_those_who_wait_to_get),
        CASE(test_what_was_handed_over_before_the_shutdown_is_got),
        CASE(test_immediate_shutdown_drops_the_items_and_releases_join),
        CASE(test_after_an_immediate_shutdown_join_waits_for_what_was_got),
        CASE(test_a_drop_at_shutdown_may_use_the_queue),
        CASE(test_free_drops_what_is_left),
        CASE(test_outside_of_a_task_it_cannot_be_waited_for),
        CASE(test_a_task_of_another_loop_is_refused),
        cmocka_unit_test(test_freeing_it_with_a_waiter_ends_the_process_and_names_its_place),
        CASE(test_the_dump_tells_who_waits_for_which_queue),
    };

    return run_cases(tests);
}
