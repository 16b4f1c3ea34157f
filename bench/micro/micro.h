/*
 * What the in-process suites share: one table of measurements, one suite per library.
 *
 * A measurement is a function that builds what it needs, does the operation once untimed so that
 * memory is there and warm, times it, tears down, and returns nanoseconds per operation. NULL means
 * that the library has no such thing. Valid C and C++.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MICRO_TIMERS = 1000000,
    MICRO_IDLE_TIMERS = 10000, /* Connections whose idle timeout is pushed back. */
    MICRO_REARMS = 1000000,
    MICRO_BATCH = 1000,
    MICRO_BATCHES = 1000,
    MICRO_CHAIN = 1000000,
    MICRO_TURNS = 200000,
    MICRO_POSTS = 1000000,
    MICRO_ROUNDTRIPS = 20000,
    MICRO_FIRE_AHEAD_MS = 2000, /* Time to insert, before the first deadline. */
    MICRO_FIRE_SPAN_MS = 1000
};

enum micro_measurement {
    MICRO_TIMER_INSERT,
    MICRO_TIMER_CANCEL,
    MICRO_TIMER_REARM,
    MICRO_TIMER_FIRE,
    MICRO_SOON_BATCH,
    MICRO_SOON_CHAIN,
    MICRO_LOOP_TURN,
    MICRO_WAKE_STREAM,
    MICRO_WAKE_ROUNDTRIP,
    MICRO_MEASUREMENTS
};

struct micro_suite {
    const char *name;
    double (*measure[MICRO_MEASUREMENTS])(void); /* Indexed by enum micro_measurement. */
};

extern const struct micro_suite micro_floor;
extern const struct micro_suite micro_rill;
extern const struct micro_suite micro_uv;
extern const struct micro_suite micro_event;
extern const struct micro_suite micro_asio;

/* A second thread on the load generator's core, for what crosses threads. */
struct micro_thread;
struct micro_thread *micro_thread_start(void (*fn)(void *arg), void *arg);
void micro_thread_join(struct micro_thread *thread);

static inline uint64_t
micro_now_ns(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at); /* Cannot fail for this clock. */
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline void
micro_sleep_until(uint64_t ns)
{
    struct timespec at;

    at.tv_sec = (time_t)(ns / 1000000000u);
    at.tv_nsec = (long)(ns % 1000000000u);
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL); /* No handlers installed. */
}

static inline double
micro_per_operation(uint64_t start_ns, uint64_t operations)
{
    return (double)(micro_now_ns() - start_ns) / (double)operations;
}

/* The same sequence for every library. */
static inline uint64_t
micro_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

enum { MICRO_SEED = 88172645 };

/* A timeout between a second and an hour, in ms. */
static inline uint64_t
micro_timeout_ms(uint64_t *state)
{
    return 1000 + micro_random(state) % 3599000;
}

static inline uint64_t
micro_fire_ms(uint64_t *state)
{
    return MICRO_FIRE_AHEAD_MS + micro_random(state) % MICRO_FIRE_SPAN_MS;
}

static inline void
micro_must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "micro: %s failed\n", what);
    exit(1);
}

static inline void *
micro_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    micro_must(memory != NULL, "calloc");
    return memory;
}

#ifdef __cplusplus
}
#endif

#endif
