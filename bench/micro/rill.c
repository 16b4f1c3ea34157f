/*
 * rill in process, through its public headers: call_at, cancel, rearm, call_soon and
 * call_soon_threadsafe. The library keeps all nodes itself, so the untimed first pass matters here
 * as much as the pre-made arrays do for the others.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <rill/rill.h>

static uint64_t fired;

static void
on_timer(void *arg)
{
    (void)arg;
    fired++;
}

static rill_loop *
loop_open(void)
{
    rill_loop *loop = NULL;

    micro_must(rill_loop_new(NULL, &loop) >= 0, "rill_loop_new");
    return loop;
}

static void
timers_insert(rill_loop *loop, rill_id *ids)
{
    uint64_t state = MICRO_SEED;
    rill_ns now = rill_loop_time(loop);

    for (size_t i = 0; i < MICRO_TIMERS; i++) {
        rill_ns when = now + (rill_ns)micro_timeout_ms(&state) * RILL_MS;

        micro_must(rill_call_at(loop, when, on_timer, NULL, &ids[i]) >= 0, "rill_call_at");
    }
}

static void
timers_cancel(rill_loop *loop, const rill_id *ids)
{
    for (size_t i = 0; i < MICRO_TIMERS; i++)
        micro_must(rill_cancel(loop, ids[i]), "rill_cancel");
}

static double
timers_measure(bool is_cancel)
{
    rill_loop *loop = loop_open();
    rill_id *ids = micro_allocate(MICRO_TIMERS, sizeof(*ids));
    uint64_t start;
    double result;

    timers_insert(loop, ids);
    timers_cancel(loop, ids);
    start = micro_now_ns();
    timers_insert(loop, ids);
    if (is_cancel) {
        start = micro_now_ns();
        timers_cancel(loop, ids);
    }
    result = micro_per_operation(start, MICRO_TIMERS);
    (void)rill_loop_free(loop); /* Reports the timers that are left, which is no matter here. */
    free(ids);
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
    rill_loop *loop = loop_open();
    rill_id *ids = micro_allocate(MICRO_IDLE_TIMERS, sizeof(*ids));
    rill_ns due = rill_loop_time(loop) + 30 * RILL_S;
    uint64_t state = MICRO_SEED;
    uint64_t start;
    double result;

    for (size_t i = 0; i < MICRO_IDLE_TIMERS; i++)
        micro_must(rill_call_at(loop, due, on_timer, NULL, &ids[i]) >= 0, "rill_call_at");
    start = micro_now_ns();
    for (size_t i = 0; i < MICRO_REARMS; i++)
        micro_must(rill_timer_rearm(loop, ids[micro_random(&state) % MICRO_IDLE_TIMERS],
                       due + (rill_ns)(i / 1000) * RILL_MS) >= 0,
            "rill_timer_rearm");
    result = micro_per_operation(start, MICRO_REARMS);
    (void)rill_loop_free(loop);
    free(ids);
    return result;
}

static double
timer_fire(void)
{
    rill_loop *loop = loop_open();
    rill_ns now = rill_loop_time(loop);
    uint64_t state = MICRO_SEED;
    uint64_t start = micro_now_ns();
    double result;

    fired = 0;
    for (size_t i = 0; i < MICRO_TIMERS; i++) {
        rill_ns when = now + (rill_ns)micro_fire_ms(&state) * RILL_MS;

        micro_must(rill_call_at(loop, when, on_timer, NULL, NULL) >= 0, "rill_call_at");
    }
    micro_sleep_until(start + (MICRO_FIRE_AHEAD_MS + MICRO_FIRE_SPAN_MS + 5) * 1000000ull);
    start = micro_now_ns();
    while (fired < MICRO_TIMERS)
        micro_must(rill_loop_step(loop, 0) >= 0, "rill_loop_step");
    result = micro_per_operation(start, MICRO_TIMERS);
    (void)rill_loop_free(loop);
    return result;
}

static void
on_soon(void *arg)
{
    (*(uint64_t *)arg)++;
}

static double
soon_batch(void)
{
    rill_loop *loop = loop_open();
    uint64_t ran = 0;
    uint64_t start = 0;
    double result;

    for (int batch = -1; batch < MICRO_BATCHES; batch++) {
        if (batch == 0)
            start = micro_now_ns();
        for (int i = 0; i < MICRO_BATCH; i++)
            (void)rill_call_soon(loop, on_soon, &ran, NULL); /* The sum below tells. */
        (void)rill_loop_step(loop, 0);
    }
    result = micro_per_operation(start, (uint64_t)MICRO_BATCH * MICRO_BATCHES);
    micro_must(ran == (uint64_t)MICRO_BATCH * (MICRO_BATCHES + 1), "rill_call_soon");
    (void)rill_loop_free(loop);
    return result;
}

struct chain {
    rill_loop *loop;
    uint64_t left;
};

static void
on_chain(void *arg)
{
    struct chain *chain = arg;

    if (--chain->left > 0)
        micro_must(rill_call_soon(chain->loop, on_chain, chain, NULL) >= 0, "rill_call_soon");
    else
        rill_loop_stop(chain->loop);
}

static double
soon_chain(void)
{
    struct chain chain = { .loop = loop_open(), .left = MICRO_CHAIN };
    uint64_t start = micro_now_ns();
    double result;

    micro_must(rill_call_soon(chain.loop, on_chain, &chain, NULL) >= 0, "rill_call_soon");
    micro_must(rill_loop_run(chain.loop) >= 0, "rill_loop_run");
    result = micro_per_operation(start, MICRO_CHAIN);
    (void)rill_loop_free(chain.loop);
    return result;
}

static double
loop_turn(void)
{
    rill_loop *loop = loop_open();
    uint64_t start = micro_now_ns();
    double result;

    for (int i = 0; i < MICRO_TURNS; i++)
        (void)rill_loop_step(loop, 0); /* Nothing is ready, so nothing can go wrong. */
    result = micro_per_operation(start, MICRO_TURNS);
    (void)rill_loop_free(loop);
    return result;
}

struct stream {
    rill_loop *loop;
    uint64_t taken;
};

static void
on_post(void *arg)
{
    struct stream *stream = arg;

    if (++stream->taken == MICRO_POSTS)
        rill_loop_stop(stream->loop);
}

static void
stream_produce(void *arg)
{
    struct stream *stream = arg;

    for (size_t i = 0; i < MICRO_POSTS; i++)
        micro_must(rill_call_soon_threadsafe(stream->loop, on_post, stream) >= 0, "post");
}

static double
wake_stream(void)
{
    struct stream stream = { .loop = loop_open() };
    struct micro_thread *producer;
    uint64_t start = micro_now_ns();
    double result;

    producer = micro_thread_start(stream_produce, &stream);
    micro_must(rill_loop_run(stream.loop) >= 0, "rill_loop_run");
    result = micro_per_operation(start, MICRO_POSTS);
    micro_thread_join(producer);
    (void)rill_loop_free(stream.loop);
    return result;
}

struct side {
    rill_loop *loop;
    struct side *other;
    uint64_t left;
};

static void
on_side(void *arg)
{
    struct side *side = arg;

    if (side->left == 0)
        return; /* The answer to the last message, run when the loop is freed. */
    micro_must(rill_call_soon_threadsafe(side->other->loop, on_side, side->other) >= 0, "post");
    if (--side->left == 0)
        rill_loop_stop(side->loop);
}

static void
side_run(void *arg)
{
    struct side *side = arg;

    micro_must(rill_loop_run(side->loop) >= 0, "rill_loop_run");
}

static double
wake_roundtrip(void)
{
    struct side sides[2] = { { .loop = loop_open(), .left = MICRO_ROUNDTRIPS },
        { .loop = loop_open(), .left = MICRO_ROUNDTRIPS } };
    struct micro_thread *thread;
    uint64_t start;
    double result;

    sides[0].other = &sides[1];
    sides[1].other = &sides[0];
    thread = micro_thread_start(side_run, &sides[1]);
    start = micro_now_ns();
    micro_must(rill_call_soon_threadsafe(sides[1].loop, on_side, &sides[1]) >= 0, "post");
    side_run(&sides[0]);
    result = micro_per_operation(start, MICRO_ROUNDTRIPS);
    micro_thread_join(thread);
    (void)rill_loop_free(sides[0].loop);
    (void)rill_loop_free(sides[1].loop);
    return result;
}

const struct micro_suite micro_rill = { "rill",
    { timer_insert, timer_cancel, timer_rearm, timer_fire, soon_batch, soon_chain, loop_turn,
        wake_stream, wake_roundtrip } };
