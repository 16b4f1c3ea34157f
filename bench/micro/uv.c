/*
 * libuv in process. It has no call_soon; its timers have ticks of a millisecond. Messages between
 * threads are a locked queue and uv_async_send, as its manual advises.
 */
#define _GNU_SOURCE
#include "locked.h"
#include "micro.h"

#include <uv.h>

static uint64_t fired;

static void
on_timer(uv_timer_t *timer)
{
    (void)timer;
    fired++;
}

static uv_timer_t *
timers_open(uv_loop_t *loop, size_t count)
{
    uv_timer_t *timers = micro_allocate(count, sizeof(*timers));

    micro_must(uv_loop_init(loop) == 0, "uv_loop_init");
    for (size_t i = 0; i < count; i++)
        (void)uv_timer_init(loop, &timers[i]); /* Always succeeds. */
    return timers;
}

static void
timers_close(uv_loop_t *loop, uv_timer_t *timers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        uv_close((uv_handle_t *)&timers[i], NULL);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    micro_must(uv_loop_close(loop) == 0, "uv_loop_close");
    free(timers);
}

static void
timers_insert(uv_timer_t *timers)
{
    uint64_t state = MICRO_SEED;

    for (size_t i = 0; i < MICRO_TIMERS; i++)
        (void)uv_timer_start(&timers[i], on_timer, micro_timeout_ms(&state), 0);
}

static void
timers_cancel(uv_timer_t *timers)
{
    for (size_t i = 0; i < MICRO_TIMERS; i++)
        (void)uv_timer_stop(&timers[i]);
}

static double
timers_measure(int is_cancel)
{
    uv_loop_t loop;
    uv_timer_t *timers = timers_open(&loop, MICRO_TIMERS);
    uint64_t start;
    double result;

    timers_insert(timers);
    timers_cancel(timers);
    start = micro_now_ns();
    timers_insert(timers);
    if (is_cancel) {
        start = micro_now_ns();
        timers_cancel(timers);
    }
    result = micro_per_operation(start, MICRO_TIMERS);
    timers_cancel(timers);
    timers_close(&loop, timers, MICRO_TIMERS);
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
    uv_loop_t loop;
    uv_timer_t *timers = timers_open(&loop, MICRO_IDLE_TIMERS);
    uint64_t state = MICRO_SEED;
    uint64_t start;
    double result;

    for (size_t i = 0; i < MICRO_IDLE_TIMERS; i++)
        (void)uv_timer_start(&timers[i], on_timer, 30000, 0);
    start = micro_now_ns();
    for (size_t i = 0; i < MICRO_REARMS; i++)
        (void)uv_timer_start(
            &timers[micro_random(&state) % MICRO_IDLE_TIMERS], on_timer, 30000 + i / 1000, 0);
    result = micro_per_operation(start, MICRO_REARMS);
    timers_close(&loop, timers, MICRO_IDLE_TIMERS);
    return result;
}

static double
timer_fire(void)
{
    uv_loop_t loop;
    uv_timer_t *timers = timers_open(&loop, MICRO_TIMERS);
    uint64_t state = MICRO_SEED;
    uint64_t start;
    double result;

    fired = 0;
    uv_update_time(&loop);
    start = micro_now_ns();
    for (size_t i = 0; i < MICRO_TIMERS; i++)
        (void)uv_timer_start(&timers[i], on_timer, micro_fire_ms(&state), 0);
    micro_sleep_until(start + (MICRO_FIRE_AHEAD_MS + MICRO_FIRE_SPAN_MS + 5) * 1000000ull);
    start = micro_now_ns();
    while (fired < MICRO_TIMERS)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    result = micro_per_operation(start, MICRO_TIMERS);
    timers_close(&loop, timers, MICRO_TIMERS);
    return result;
}

static void
on_nothing(uv_async_t *async)
{
    (void)async;
}

static double
loop_turn(void)
{
    uv_loop_t loop;
    uv_async_t async; /* Keeps the loop alive and polling. */
    uint64_t start;
    double result;

    micro_must(uv_loop_init(&loop) == 0, "uv_loop_init");
    micro_must(uv_async_init(&loop, &async, on_nothing) == 0, "uv_async_init");
    start = micro_now_ns();
    for (int i = 0; i < MICRO_TURNS; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    result = micro_per_operation(start, MICRO_TURNS);
    uv_close((uv_handle_t *)&async, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    micro_must(uv_loop_close(&loop) == 0, "uv_loop_close");
    return result;
}

struct stream {
    uv_loop_t loop;
    uv_async_t async;
    struct locked queue;
    struct locked_node *nodes;
    uint64_t taken;
};

static void
on_stream(uv_async_t *async)
{
    struct stream *stream = async->data;
    struct locked_node *node = locked_take(&stream->queue);

    for (; node != NULL; node = node->next)
        stream->taken++;
    if (stream->taken == MICRO_POSTS)
        uv_close((uv_handle_t *)async, NULL);
}

static void
stream_produce(void *arg)
{
    struct stream *stream = arg;

    for (size_t i = 0; i < MICRO_POSTS; i++)
        if (locked_push(&stream->queue, &stream->nodes[i]))
            (void)uv_async_send(&stream->async); /* Fails only on a broken handle. */
}

static double
wake_stream(void)
{
    struct stream stream = { .taken = 0 };
    struct micro_thread *producer;
    uint64_t start;
    double result;

    micro_must(uv_loop_init(&stream.loop) == 0, "uv_loop_init");
    micro_must(uv_async_init(&stream.loop, &stream.async, on_stream) == 0, "uv_async_init");
    stream.async.data = &stream;
    locked_open(&stream.queue);
    stream.nodes = micro_allocate(MICRO_POSTS, sizeof(*stream.nodes));
    start = micro_now_ns();
    producer = micro_thread_start(stream_produce, &stream);
    (void)uv_run(&stream.loop, UV_RUN_DEFAULT);
    result = micro_per_operation(start, MICRO_POSTS);
    micro_thread_join(producer);
    micro_must(uv_loop_close(&stream.loop) == 0, "uv_loop_close");
    free(stream.nodes);
    return result;
}

struct side {
    uv_loop_t loop;
    uv_async_t async;
    struct side *other;
    uint64_t left;
};

static void
on_side(uv_async_t *async)
{
    struct side *side = async->data;

    (void)uv_async_send(&side->other->async);
    if (--side->left == 0)
        uv_stop(&side->loop);
}

static void
side_open(struct side *side, struct side *other)
{
    micro_must(uv_loop_init(&side->loop) == 0, "uv_loop_init");
    micro_must(uv_async_init(&side->loop, &side->async, on_side) == 0, "uv_async_init");
    side->async.data = side;
    side->other = other;
    side->left = MICRO_ROUNDTRIPS;
}

static void
side_close(struct side *side)
{
    uv_close((uv_handle_t *)&side->async, NULL);
    (void)uv_run(&side->loop, UV_RUN_DEFAULT);
    micro_must(uv_loop_close(&side->loop) == 0, "uv_loop_close");
}

static void
side_run(void *arg)
{
    struct side *side = arg;

    (void)uv_run(&side->loop, UV_RUN_DEFAULT);
}

static double
wake_roundtrip(void)
{
    struct side sides[2];
    struct micro_thread *thread;
    uint64_t start;
    double result;

    side_open(&sides[0], &sides[1]);
    side_open(&sides[1], &sides[0]);
    thread = micro_thread_start(side_run, &sides[1]);
    start = micro_now_ns();
    (void)uv_async_send(&sides[1].async);
    side_run(&sides[0]);
    result = micro_per_operation(start, MICRO_ROUNDTRIPS);
    micro_thread_join(thread);
    side_close(&sides[0]);
    side_close(&sides[1]);
    return result;
}

const struct micro_suite micro_uv = { "libuv",
    { timer_insert, timer_cancel, timer_rearm, timer_fire, NULL, NULL, loop_turn, wake_stream,
        wake_roundtrip } };
