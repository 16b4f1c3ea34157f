/*
 * Posts from other threads: each runs once, in order per thread, and none is lost when the loop is
 * about to sleep. Meant to be run under the thread sanitizer too.
 */
/* drivers: epoll uring */
/* timeout: 120 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

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

#define THREADS 8
#define POSTS   100000

typedef struct sender sender;

typedef struct post {
    sender *from;
    uint32_t number;
} post;

struct sender {
    pthread_t thread;
    uint32_t next; /* The number that must come next. */
    post *posts;
};

static sender senders[THREADS];
static post all_posts[THREADS][POSTS];
static size_t arrived;

static void
arrive(void *arg)
{
    post *p = arg;

    assert_int_equal(p->number, p->from->next);
    p->from->next++;
    if (++arrived == (size_t)THREADS * POSTS)
        rill_loop_stop(h.loop);
}

static void *
send_all(void *arg)
{
    sender *s = arg;

    for (uint32_t i = 0; i < POSTS; i++) {
        s->posts[i] = (post){ .from = s, .number = i };
        if (rill_call_soon_threadsafe(h.loop, arrive, &s->posts[i]) != 0)
            abort();
    }
    return NULL;
}

static void
test_eight_threads_post(void **unused)
{
    (void)unused;
    arrived = 0;
    for (size_t i = 0; i < THREADS; i++) {
        senders[i].next = 0;
        senders[i].posts = all_posts[i];
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    assert_code(rill_loop_run_until(h.loop, rill_loop_time(h.loop) + 60 * RILL_S), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        assert_int_equal(senders[i].next, POSTS);
    }
    assert_int_equal(arrived, (size_t)THREADS * POSTS);
}

/* One message to and fro: the odd ones find the loop asleep or about to be, the even ones come
 * while it is still busy with the last, after it has looked; a lost wake-up hangs. */
#define ROUNDS 20000

static _Atomic uint32_t answered, posted;
static atomic_bool given_up;
static uint32_t asked;

static void
answer(void *arg)
{
    uint32_t count = atomic_fetch_add(&answered, 1) + 1;

    (void)arg;
    if (count == ROUNDS)
        rill_loop_stop(h.loop);
    else if (count % 2 == 1)
        while (atomic_load(&posted) <= count)
            sched_yield();
}

static void *
ask(void *arg)
{
    (void)arg;
    for (asked = 1; asked <= ROUNDS; asked++) {
        if (rill_call_soon_threadsafe(h.loop, answer, NULL) != 0)
            abort();
        atomic_store(&posted, asked);
        while (atomic_load(&answered) < asked && !atomic_load(&given_up))
            sched_yield();
        if (atomic_load(&given_up))
            break;
    }
    return NULL;
}

static void
test_no_wake_up_is_lost(void **unused)
{
    pthread_t thread;
    int rc;

    (void)unused;
    atomic_store(&answered, 0);
    atomic_store(&posted, 0);
    atomic_store(&given_up, false);
    assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
    rc = rill_loop_run_until(h.loop, rill_loop_time(h.loop) + 50 * RILL_S);
    atomic_store(&given_up, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_code(rc, 0);
    assert_int_equal(atomic_load(&answered), ROUNDS);
}

static char order[100];

static void
say(void *arg)
{
    strcat(order, arg);
}

static void
post_inside(void *arg)
{
    say(WORD("a"));
    assert_code(rill_call_soon_threadsafe(h.loop, say, WORD("c")), 0);
    assert_code(rill_call_soon(h.loop, say, WORD("b"), NULL), 0);
    (void)arg;
}

static void *
post_one(void *arg)
{
    if (rill_call_soon_threadsafe(h.loop, say, arg) != 0)
        abort();
    return NULL;
}

/* asyncio, appendix B 16: posted before queued means run before. */
static void
test_a_post_keeps_its_place(void **unused)
{
    pthread_t thread;

    (void)unused;
    order[0] = '\0';
    assert_int_equal(pthread_create(&thread, NULL, post_one, WORD("1")), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    harness_settle(&h);
    assert_code(rill_call_soon(h.loop, say, WORD("2"), NULL), 0);
    assert_code(rill_call_soon(h.loop, post_inside, NULL, NULL), 0);
    harness_settle(&h);
    assert_int_equal(strlen(order), 5);
    assert_memory_equal(order, "12a", 3);
    assert_non_null(strchr(order, 'b'));
    assert_non_null(strchr(order, 'c'));
}

/* What a post queues is not run in the same turn, and posts do not starve events. */
static size_t posts_run;

static void
post_again(void *arg)
{
    int rc = *(bool *)arg ? rill_call_soon_threadsafe(h.loop, post_again, arg) : 0;

    posts_run++;
    if (rc != RILL_ECLOSED) /* Of a case that has failed: its loop is being freed. */
        assert_code(rc, 0);
}

static void
test_endless_posts_starve_nobody(void **unused)
{
    bool on = true;

    (void)unused;
    order[0] = '\0';
    posts_run = 0;
    assert_code(rill_call_soon_threadsafe(h.loop, post_again, &on), 0);
    harness_turn(&h);
    harness_turn(&h);
    assert_true(posts_run <= 2);
    assert_code(rill_call_at(h.loop, 0, say, WORD("t"), NULL), 0);
    harness_turn(&h);
    assert_string_equal(order, "t");
    on = false;
    harness_settle(&h);
}

static void
count_down(void *arg)
{
    (*(size_t *)arg)--;
}

/* Messages that were taken run, also when the loop ends before they could. */
static void
test_loop_free_runs_what_was_posted(void **unused)
{
    size_t left = 1000;

    (void)unused;
    for (size_t i = 0; i < 1000; i++)
        assert_code(rill_call_soon_threadsafe(h.loop, count_down, &left), 0);
    harness_close(&h);
    assert_int_equal(left, 0);
    harness_open(&h);
}

/* A message may end the loop: it is freed while the calls that posted may still be returning, some
 * of them from a wake-up. */
#define ENDINGS 2000
#define ENDERS  3

typedef struct ending {
    rill_loop *loop;
    int left;
} ending;

static void
end_loop(void *arg)
{
    ending *e = arg;

    if (--e->left == 0)
        rill_loop_stop(e->loop);
}

static void *
post_an_end(void *arg)
{
    ending *e = arg;

    if (rill_call_soon_threadsafe(e->loop, end_loop, e) != 0)
        abort();
    return NULL;
}

static void
test_a_message_may_end_the_loop(void **unused)
{
    (void)unused;
    for (int i = 0; i < ENDINGS; i++) {
        ending e = { .left = ENDERS };
        pthread_t threads[ENDERS];

        assert_code(rill_loop_new(NULL, &e.loop), 0);
        for (int k = 0; k < ENDERS; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, post_an_end, &e), 0);
        assert_code(rill_loop_run(e.loop), 0);
        assert_int_equal(rill_loop_free(e.loop), 0);
        for (int k = 0; k < ENDERS; k++)
            assert_int_equal(pthread_join(threads[k], NULL), 0);
    }
}

/* Growing keeps the order, also while the loop takes: bursts that outgrow every ring so far. */
static size_t burst_next;

static void
burst_arrive(void *arg)
{
    assert_int_equal((size_t)(uintptr_t)arg, burst_next);
    burst_next++;
}

static void
test_bursts_grow_in_order(void **unused)
{
    size_t number = 0;

    (void)unused;
    burst_next = 0;
    for (size_t burst = 1; burst <= 4096; burst *= 2) {
        for (size_t i = 0; i < burst; i++, number++)
            assert_code(
                rill_call_soon_threadsafe(h.loop, burst_arrive, (void *)(uintptr_t)number), 0);
        harness_turn(&h);
        assert_int_equal(burst_next, number); /* All that came before the turn run in it. */
    }
}

static int last_post_rc;

static void
post_into_the_end(void *arg)
{
    (void)arg;
    last_post_rc = rill_call_soon_threadsafe(h.loop, post_into_the_end, NULL);
}

static void
test_posts_while_the_loop_is_freed(void **unused)
{
    (void)unused;
    last_post_rc = 1;
    assert_code(rill_call_soon_threadsafe(h.loop, post_into_the_end, NULL), 0);
    harness_close(&h); /* And does not go on for ever. */
    assert_code(last_post_rc, RILL_ECLOSED);
    harness_open(&h);
}

static void
test_posts_without_memory(void **unused)
{
    size_t left = 0, taken = 0;

    (void)unused;
    allocator_fail(&h.allocator, 1, true);
    for (size_t i = 0; i < 100000; i++) {
        int rc = rill_call_soon_threadsafe(h.loop, count_down, &left);

        if (rc != 0) {
            assert_code(rc, -ENOMEM);
            break;
        }
        left++;
        taken++;
    }
    assert_true(taken < 100000);
    allocator_heal(&h.allocator);
    harness_settle(&h);
    assert_int_equal(left, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_eight_threads_post),
        CASE(test_no_wake_up_is_lost),
        CASE(test_a_post_keeps_its_place),
        CASE(test_endless_posts_starve_nobody),
        CASE(test_loop_free_runs_what_was_posted),
        CASE(test_a_message_may_end_the_loop),
        CASE(test_bursts_grow_in_order),
        CASE(test_posts_while_the_loop_is_freed),
        CASE(test_posts_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
