/*
 * The floor of the in-process measurements: what each thing costs when written by hand for this one
 * purpose. A wheel, a ring, a lock-free stack with an eventfd, a bare epoll_wait.
 *
 * Posts from another thread go onto a stack by compare-and-swap and are taken all at once and
 * reversed; the eventfd is written only when the loop has announced that it sleeps.
 */
#define _GNU_SOURCE
#include "micro.h"
#include "wheel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Timers. */

static uint64_t fired;

static void
on_fire(void *arg)
{
    (void)arg;
    fired++;
}

static uint64_t
ticks_now(void)
{
    return micro_now_ns() / 1000000;
}

static void
timers_insert(struct wheel *w, struct wheel_node *nodes)
{
    uint64_t state = MICRO_SEED;

    for (size_t i = 0; i < MICRO_TIMERS; i++)
        wheel_insert(w, &nodes[i], w->now + micro_timeout_ms(&state));
}

static void
timers_cancel(struct wheel *w, struct wheel_node *nodes)
{
    for (size_t i = 0; i < MICRO_TIMERS; i++)
        wheel_cancel(w, &nodes[i]);
}

static double
timers_measure(bool is_cancel)
{
    struct wheel *w = micro_allocate(1, sizeof(*w));
    struct wheel_node *nodes = micro_allocate(MICRO_TIMERS, sizeof(*nodes));
    uint64_t start;
    double result;

    w->now = ticks_now();
    timers_insert(w, nodes);
    timers_cancel(w, nodes);
    start = micro_now_ns();
    timers_insert(w, nodes);
    if (is_cancel) {
        start = micro_now_ns();
        timers_cancel(w, nodes);
    }
    result = micro_per_operation(start, MICRO_TIMERS);
    free(nodes);
    free(w);
    return result;
}

static double
timer_insert(void)
{
    return timers_measure(false);
}

static double
timer_cancel(void)
{
    return timers_measure(true);
}

static double
timer_rearm(void)
{
    struct wheel *w = micro_allocate(1, sizeof(*w));
    struct wheel_node *nodes = micro_allocate(MICRO_IDLE_TIMERS, sizeof(*nodes));
    uint64_t state = MICRO_SEED;
    uint64_t start;
    double result;

    w->now = ticks_now();
    for (size_t i = 0; i < MICRO_IDLE_TIMERS; i++)
        wheel_insert(w, &nodes[i], w->now + 30000);
    start = micro_now_ns();
    for (size_t i = 0; i < MICRO_REARMS; i++)
        wheel_push_back(
            &nodes[micro_random(&state) % MICRO_IDLE_TIMERS], w->now + 30000 + i / 1000);
    result = micro_per_operation(start, MICRO_REARMS);
    free(nodes);
    free(w);
    return result;
}

static double
timer_fire(void)
{
    struct wheel *w = micro_allocate(1, sizeof(*w));
    struct wheel_node *nodes = micro_allocate(MICRO_TIMERS, sizeof(*nodes));
    uint64_t state = MICRO_SEED;
    uint64_t begin = micro_now_ns();
    uint64_t start;
    double result;

    w->now = begin / 1000000;
    fired = 0;
    for (size_t i = 0; i < MICRO_TIMERS; i++) {
        nodes[i].fn = on_fire;
        wheel_insert(w, &nodes[i], w->now + micro_fire_ms(&state));
    }
    micro_sleep_until(begin + (MICRO_FIRE_AHEAD_MS + MICRO_FIRE_SPAN_MS + 5) * 1000000ull);
    start = micro_now_ns();
    wheel_advance(w, ticks_now());
    result = micro_per_operation(start, MICRO_TIMERS);
    micro_must(fired == MICRO_TIMERS, "the wheel");
    free(nodes);
    free(w);
    return result;
}

/* Scheduled callbacks. */

struct callback {
    void (*fn)(void *arg);
    void *arg;
};

static struct {
    struct callback *items;
    size_t mask;
    size_t head;
    size_t tail;
} ring;

static void
ring_open(void)
{
    ring.mask = 1023;
    ring.items = micro_allocate(ring.mask + 1, sizeof(*ring.items));
    ring.head = ring.tail = 0;
}

static void
ring_grow(void)
{
    size_t size = (ring.mask + 1) * 2;
    struct callback *items = micro_allocate(size, sizeof(*items));

    for (size_t i = ring.head; i != ring.tail; i++)
        items[i & (size - 1)] = ring.items[i & ring.mask];
    free(ring.items);
    ring.items = items;
    ring.mask = size - 1;
}

static void
soon(void (*fn)(void *arg), void *arg)
{
    if (ring.tail - ring.head == ring.mask + 1)
        ring_grow();
    ring.items[ring.tail++ & ring.mask] = (struct callback){ fn, arg };
}

/* Only what was queued when the turn began. */
static void
ring_turn(void)
{
    for (size_t end = ring.tail; ring.head != end;) {
        struct callback item = ring.items[ring.head++ & ring.mask];

        item.fn(item.arg);
    }
}

static void
on_soon(void *arg)
{
    (*(uint64_t *)arg)++;
}

static double
soon_batch(void)
{
    uint64_t ran = 0;
    uint64_t start = 0;

    ring_open();
    for (int batch = -1; batch < MICRO_BATCHES; batch++) {
        if (batch == 0)
            start = micro_now_ns();
        for (int i = 0; i < MICRO_BATCH; i++)
            soon(on_soon, &ran);
        ring_turn();
    }
    free(ring.items);
    return micro_per_operation(start, (uint64_t)MICRO_BATCH * MICRO_BATCHES);
}

static void
on_chain(void *arg)
{
    uint64_t *left = arg;

    if (--*left > 0)
        soon(on_chain, left);
}

static double
soon_chain(void)
{
    uint64_t left = MICRO_CHAIN;
    uint64_t start = micro_now_ns();
    double result;

    ring_open();
    soon(on_chain, &left);
    while (ring.head != ring.tail)
        ring_turn();
    result = micro_per_operation(start, MICRO_CHAIN);
    free(ring.items);
    return result;
}

static double
loop_turn(void)
{
    struct epoll_event event;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start;
    double result;

    micro_must(epoll_fd >= 0, "epoll_create1");
    start = micro_now_ns();
    for (int i = 0; i < MICRO_TURNS; i++)
        micro_must(epoll_wait(epoll_fd, &event, 1, 0) == 0, "epoll_wait");
    result = micro_per_operation(start, MICRO_TURNS);
    (void)close(epoll_fd);
    return result;
}

/* Posts from another thread. */

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct mailbox {
    _Atomic(struct post *) top;
    atomic_bool sleeping;
    int event_fd;
};

static void
mailbox_open(struct mailbox *box)
{
    atomic_init(&box->top, NULL);
    atomic_init(&box->sleeping, false);
    box->event_fd = eventfd(0, EFD_CLOEXEC);
    micro_must(box->event_fd >= 0, "eventfd");
}

static void
mailbox_post(struct mailbox *box, struct post *post)
{
    uint64_t one = 1;

    post->next = atomic_load_explicit(&box->top, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &box->top, &post->next, post, memory_order_seq_cst, memory_order_relaxed))
        continue;
    if (atomic_load(&box->sleeping) && atomic_exchange(&box->sleeping, false))
        micro_must(write(box->event_fd, &one, sizeof(one)) == sizeof(one), "write");
}

/* Runs what has been posted, sleeping first when there is nothing. */
static void
mailbox_turn(struct mailbox *box)
{
    struct post *taken = atomic_exchange(&box->top, NULL);
    struct post *ordered = NULL;
    uint64_t count;

    if (taken == NULL) {
        atomic_store(&box->sleeping, true);
        if (atomic_load(&box->top) == NULL || !atomic_exchange(&box->sleeping, false))
            micro_must(read(box->event_fd, &count, sizeof(count)) == sizeof(count), "read");
        taken = atomic_exchange(&box->top, NULL);
    }
    while (taken != NULL) {
        struct post *next = taken->next;

        taken->next = ordered;
        ordered = taken;
        taken = next;
    }
    while (ordered != NULL) {
        struct post *next = ordered->next; /* The callback may post it again. */

        ordered->fn(ordered->arg);
        ordered = next;
    }
}

struct stream {
    struct mailbox box;
    struct post *posts;
    uint64_t taken;
};

static void
on_post(void *arg)
{
    struct stream *stream = arg;

    stream->taken++;
}

static void
stream_produce(void *arg)
{
    struct stream *stream = arg;

    for (size_t i = 0; i < MICRO_POSTS; i++)
        mailbox_post(&stream->box, &stream->posts[i]);
}

static double
wake_stream(void)
{
    struct stream stream = { .taken = 0 };
    struct micro_thread *producer;
    uint64_t start;
    double result;

    mailbox_open(&stream.box);
    stream.posts = micro_allocate(MICRO_POSTS, sizeof(*stream.posts));
    for (size_t i = 0; i < MICRO_POSTS; i++)
        stream.posts[i] = (struct post){ .fn = on_post, .arg = &stream };
    start = micro_now_ns();
    producer = micro_thread_start(stream_produce, &stream);
    while (stream.taken < MICRO_POSTS)
        mailbox_turn(&stream.box);
    result = micro_per_operation(start, MICRO_POSTS);
    micro_thread_join(producer);
    (void)close(stream.box.event_fd);
    free(stream.posts);
    return result;
}

struct pair {
    struct mailbox boxes[2];
    struct post posts[2];
    uint64_t left;
};

static void
on_ping(void *arg)
{
    struct pair *pair = arg;

    mailbox_post(&pair->boxes[0], &pair->posts[0]);
}

static void
on_pong(void *arg)
{
    struct pair *pair = arg;

    if (--pair->left > 0)
        mailbox_post(&pair->boxes[1], &pair->posts[1]);
}

static void
partner(void *arg)
{
    struct pair *pair = arg;

    for (int i = 0; i < MICRO_ROUNDTRIPS; i++)
        mailbox_turn(&pair->boxes[1]);
}

static double
wake_roundtrip(void)
{
    struct pair pair = { .left = MICRO_ROUNDTRIPS };
    struct micro_thread *thread;
    uint64_t start;
    double result;

    mailbox_open(&pair.boxes[0]);
    mailbox_open(&pair.boxes[1]);
    pair.posts[0] = (struct post){ .fn = on_pong, .arg = &pair };
    pair.posts[1] = (struct post){ .fn = on_ping, .arg = &pair };
    thread = micro_thread_start(partner, &pair);
    start = micro_now_ns();
    mailbox_post(&pair.boxes[1], &pair.posts[1]);
    while (pair.left > 0)
        mailbox_turn(&pair.boxes[0]);
    result = micro_per_operation(start, MICRO_ROUNDTRIPS);
    micro_thread_join(thread);
    (void)close(pair.boxes[0].event_fd);
    (void)close(pair.boxes[1].event_fd);
    return result;
}

const struct micro_suite micro_floor = { "floor",
    { timer_insert, timer_cancel, timer_rearm, timer_fire, soon_batch, soon_chain, loop_turn,
        wake_stream, wake_roundtrip } };
