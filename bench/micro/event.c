/*
 * libevent in process: timers in its heap, event_active for scheduled callbacks, and a locked queue
 * with event_active for messages between threads. Locking is on only where threads meet.
 */
#define _GNU_SOURCE
#include "locked.h"
#include "micro.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <signal.h>

static uint64_t count;

static struct event_base *
base_open(int flags)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    micro_must(config != NULL, "event_config_new");
    (void)event_config_set_flag(config, flags);
    base = event_base_new_with_config(config);
    event_config_free(config);
    micro_must(base != NULL, "event_base_new_with_config");
    return base;
}

static struct timeval
timeval_of(uint64_t ms)
{
    struct timeval result = { .tv_sec = (time_t)(ms / 1000),
        .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    return result;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    count++;
}

static struct event *
timers_open(struct event_base *base, size_t timers_count)
{
    struct event *timers = micro_allocate(timers_count, sizeof(*timers));

    for (size_t i = 0; i < timers_count; i++)
        micro_must(evtimer_assign(&timers[i], base, on_event, NULL) == 0, "evtimer_assign");
    return timers;
}

static void
timers_insert(struct event *timers)
{
    uint64_t state = MICRO_SEED;

    for (size_t i = 0; i < MICRO_TIMERS; i++) {
        struct timeval timeout = timeval_of(micro_timeout_ms(&state));

        micro_must(event_add(&timers[i], &timeout) == 0, "event_add");
    }
}

static void
timers_cancel(struct event *timers, size_t timers_count)
{
    for (size_t i = 0; i < timers_count; i++)
        (void)event_del(&timers[i]);
}

static double
timers_measure(int is_cancel)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event *timers = timers_open(base, MICRO_TIMERS);
    uint64_t start;
    double result;

    timers_insert(timers);
    timers_cancel(timers, MICRO_TIMERS);
    start = micro_now_ns();
    timers_insert(timers);
    if (is_cancel) {
        start = micro_now_ns();
        timers_cancel(timers, MICRO_TIMERS);
    }
    result = micro_per_operation(start, MICRO_TIMERS);
    timers_cancel(timers, MICRO_TIMERS);
    event_base_free(base);
    free(timers);
    return result;
}

static double
timer_insert(void)
{
    return timers_measure(0);
}

static double
timer_cancel(void)
{
    return timers_measure(1);
}

static double
timer_rearm(void)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event *timers = timers_open(base, MICRO_IDLE_TIMERS);
    struct timeval timeout = timeval_of(30000);
    uint64_t state = MICRO_SEED;
    uint64_t start;
    double result;

    for (size_t i = 0; i < MICRO_IDLE_TIMERS; i++)
        micro_must(event_add(&timers[i], &timeout) == 0, "event_add");
    start = micro_now_ns();
    for (size_t i = 0; i < MICRO_REARMS; i++) {
        timeout = timeval_of(30000 + i / 1000);
        (void)event_add(&timers[micro_random(&state) % MICRO_IDLE_TIMERS], &timeout);
    }
    result = micro_per_operation(start, MICRO_REARMS);
    timers_cancel(timers, MICRO_IDLE_TIMERS);
    event_base_free(base);
    free(timers);
    return result;
}

static double
timer_fire(void)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event *timers = timers_open(base, MICRO_TIMERS);
    uint64_t state = MICRO_SEED;
    uint64_t start = micro_now_ns();
    double result;

    count = 0;
    for (size_t i = 0; i < MICRO_TIMERS; i++) {
        uint64_t due_ms = micro_fire_ms(&state);
        uint64_t gone_ms = (micro_now_ns() - start) / 1000000;
        struct timeval timeout = timeval_of(due_ms > gone_ms ? due_ms - gone_ms : 0);

        micro_must(event_add(&timers[i], &timeout) == 0, "event_add");
    }
    micro_sleep_until(start + (MICRO_FIRE_AHEAD_MS + MICRO_FIRE_SPAN_MS + 5) * 1000000ull);
    start = micro_now_ns();
    while (count < MICRO_TIMERS)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    result = micro_per_operation(start, MICRO_TIMERS);
    event_base_free(base);
    free(timers);
    return result;
}

static double
soon_batch(void)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event *events = timers_open(base, MICRO_BATCH);
    uint64_t start = 0;
    double result;

    for (int batch = -1; batch < MICRO_BATCHES; batch++) {
        if (batch == 0)
            start = micro_now_ns();
        for (int i = 0; i < MICRO_BATCH; i++)
            event_active(&events[i], EV_TIMEOUT, 0);
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
    result = micro_per_operation(start, (uint64_t)MICRO_BATCH * MICRO_BATCHES);
    event_base_free(base);
    free(events);
    return result;
}

static void
on_chain(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    if (--count > 0)
        event_active(arg, EV_TIMEOUT, 0);
}

static double
soon_chain(void)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event event;
    uint64_t start = micro_now_ns();
    double result;

    count = MICRO_CHAIN;
    micro_must(evtimer_assign(&event, base, on_chain, &event) == 0, "evtimer_assign");
    event_active(&event, EV_TIMEOUT, 0);
    (void)event_base_dispatch(base);
    result = micro_per_operation(start, MICRO_CHAIN);
    event_base_free(base);
    return result;
}

static double
loop_turn(void)
{
    struct event_base *base = base_open(EVENT_BASE_FLAG_NOLOCK);
    struct event signal; /* Keeps the loop alive and polling. */
    uint64_t start;
    double result;

    micro_must(evsignal_assign(&signal, base, SIGUSR1, on_event, NULL) == 0, "evsignal_assign");
    micro_must(event_add(&signal, NULL) == 0, "event_add");
    start = micro_now_ns();
    for (int i = 0; i < MICRO_TURNS; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    result = micro_per_operation(start, MICRO_TURNS);
    (void)event_del(&signal);
    event_base_free(base);
    return result;
}

struct stream {
    struct event_base *base;
    struct event event;
    struct locked queue;
    struct locked_node *nodes;
    uint64_t taken;
};

static void
on_stream(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;
    struct locked_node *node = locked_take(&stream->queue);

    (void)fd;
    (void)what;
    for (; node != NULL; node = node->next)
        stream->taken++;
    if (stream->taken == MICRO_POSTS)
        (void)event_base_loopbreak(stream->base);
}

static void
stream_produce(void *arg)
{
    struct stream *stream = arg;

    for (size_t i = 0; i < MICRO_POSTS; i++)
        if (locked_push(&stream->queue, &stream->nodes[i]))
            event_active(&stream->event, EV_TIMEOUT, 0);
}

static double
wake_stream(void)
{
    struct stream stream = { .taken = 0 };
    struct micro_thread *producer;
    uint64_t start;
    double result;

    micro_must(evthread_use_pthreads() == 0, "evthread_use_pthreads");
    stream.base = base_open(0);
    micro_must(evtimer_assign(&stream.event, stream.base, on_stream, &stream) == 0, "assign");
    locked_open(&stream.queue);
    stream.nodes = micro_allocate(MICRO_POSTS, sizeof(*stream.nodes));
    start = micro_now_ns();
    producer = micro_thread_start(stream_produce, &stream);
    (void)event_base_loop(stream.base, EVLOOP_NO_EXIT_ON_EMPTY);
    result = micro_per_operation(start, MICRO_POSTS);
    micro_thread_join(producer);
    event_base_free(stream.base);
    free(stream.nodes);
    return result;
}

struct side {
    struct event_base *base;
    struct event event;
    struct side *other;
    uint64_t left;
};

static void
on_side(evutil_socket_t fd, short what, void *arg)
{
    struct side *side = arg;

    (void)fd;
    (void)what;
    event_active(&side->other->event, EV_TIMEOUT, 0);
    if (--side->left == 0)
        (void)event_base_loopbreak(side->base);
}

static void
side_run(void *arg)
{
    struct side *side = arg;

    (void)event_base_loop(side->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static double
wake_roundtrip(void)
{
    struct side sides[2];
    struct micro_thread *thread;
    uint64_t start;
    double result;

    micro_must(evthread_use_pthreads() == 0, "evthread_use_pthreads");
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){ .base = base_open(0), .left = MICRO_ROUNDTRIPS };
        sides[i].other = &sides[1 - i];
        micro_must(evtimer_assign(&sides[i].event, sides[i].base, on_side, &sides[i]) == 0,
            "evtimer_assign");
    }
    thread = micro_thread_start(side_run, &sides[1]);
    start = micro_now_ns();
    event_active(&sides[1].event, EV_TIMEOUT, 0);
    side_run(&sides[0]);
    result = micro_per_operation(start, MICRO_ROUNDTRIPS);
    micro_thread_join(thread);
    event_base_free(sides[0].base);
    event_base_free(sides[1].base);
    return result;
}

const struct micro_suite micro_event = { "libevent",
    { timer_insert, timer_cancel, timer_rearm, timer_fire, soon_batch, soon_chain, loop_turn,
        wake_stream, wake_roundtrip } };
