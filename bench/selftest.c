/*
 * Tests of the bench's own arithmetic: histogram, medians, workload names, the floor's wheel. Exits
 * with 1 and a line for each failed expectation.
 */
#include "histogram.h"
#include "micro/wheel.h"
#include "statistics.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>

static int failures;

#define EXPECT(condition)                                            \
    do {                                                             \
        if (!(condition)) {                                          \
            printf("selftest: line %d: %s\n", __LINE__, #condition); \
            failures++;                                              \
        }                                                            \
    } while (0)

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A bucket's upper bound lies in the bucket and is less than 1/64 above anything in it. */
static void
test_histogram_resolution(void)
{
    uint64_t state = 7;

    for (int i = 0; i < 100000; i++) {
        uint64_t ns = random_next(&state) >> (random_next(&state) % 40 + 24);
        uint64_t upper = histogram_upper(histogram_index(ns));

        EXPECT(upper >= ns && upper - ns <= ns / 64);
        EXPECT(histogram_index(upper) == histogram_index(ns));
        EXPECT(upper + 1 == 1ull << HISTOGRAM_BITS_MAX ||
               histogram_index(upper + 1) != histogram_index(ns));
    }
    EXPECT(histogram_index(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
}

static void
test_histogram_quantiles(void)
{
    struct histogram *h = calloc(1, sizeof(*h));

    EXPECT(h != NULL);
    if (h == NULL)
        return;
    for (uint64_t ns = 1; ns <= 100000; ns++)
        histogram_add(h, ns);
    EXPECT(histogram_quantile(h, 0.5) >= 50000 && histogram_quantile(h, 0.5) < 50800);
    EXPECT(histogram_quantile(h, 0.99) >= 99000 && histogram_quantile(h, 0.99) <= 100000);
    EXPECT(histogram_quantile(h, 1) == 100000);
    free(h);
}

/* For 15 values the 4th and the 12th enclose the median with 96.5%; the 5th with 88%. */
static void
test_median_interval(void)
{
    double values[15];
    double few[3] = { 3, 1, 2 };
    struct estimate e;

    for (int i = 0; i < 15; i++)
        values[i] = (double)(i * 7 % 15) + 1;
    e = estimate_median(values, 15);
    EXPECT(e.median == 8 && e.low == 4 && e.high == 12);
    e = estimate_median(few, 3);
    EXPECT(e.median == 2 && e.low == 1 && e.high == 3);
    EXPECT(estimate_median(few, 0).count == 0);
}

/* The promise itself: medians of many samples of known distribution lie in their interval. */
static void
test_interval_covers(void)
{
    uint64_t state = 11;
    int covered = 0;

    for (int sample = 0; sample < 4000; sample++) {
        double values[15];
        struct estimate e;

        for (int i = 0; i < 15; i++) {
            double uniform = (double)(random_next(&state) >> 11) / 9007199254740992.0;

            values[i] = uniform * uniform * uniform; /* Skewed; its median is 1/8. */
        }
        e = estimate_median(values, 15);
        covered += e.low <= 0.125 && e.high >= 0.125;
    }
    EXPECT(covered >= 4000 * 95 / 100 && covered <= 4000 * 98 / 100);
}

static void
test_workload_names(void)
{
    static const char *const bad[] = { "", "tcp", "tcp-64", "tcp-64-c", "tcp-0-c1", "tcp-64-c0",
        "tcp-64-c1-q0", "tcp-64-c1x", "udp-64-c1", "churn-c1", "churn-tcp-64-c1", "tcp--c1",
        "tcp-64-c1-q16-q2", "tcp-99999999999-c1", "idle-tcp-c1-q2", "churn-tcp-c1-awake" };
    struct workload w;

    EXPECT(workload_parse("tcp-64-c100-q16", &w) && w.size == 64 && w.connections == 100 &&
           w.depth == 16 && !w.is_unix && w.mode == WORKLOAD_ECHO);
    EXPECT(!w.awake && workload_parse("tcp-64-c1-awake", &w) && w.awake);
    EXPECT(workload_parse("unix-16384-c1", &w) && w.is_unix && w.depth == 1 && w.size == 16384);
    EXPECT(workload_parse("churn-tcp-c32", &w) && w.mode == WORKLOAD_CHURN && w.size == 64);
    EXPECT(workload_parse("idle-tcp-c9000", &w) && w.mode == WORKLOAD_IDLE && w.size == 1024);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!workload_parse(bad[i], &w));
}

struct fire {
    struct wheel *wheel;
    struct wheel_node node;
    uint64_t wanted;
    int count;
};

static void
on_fire(void *arg)
{
    struct fire *fire = arg;

    fire->count++;
    EXPECT(fire->wheel->now == fire->wanted);
}

/* Each timer fires once, at its tick, whether or not it was pushed back; cancelled ones never. */
static void
test_wheel(void)
{
    enum { TIMERS = 20000 };
    struct wheel *wheel = calloc(1, sizeof(*wheel));
    struct fire *fires = calloc(TIMERS, sizeof(*fires));
    uint64_t state = 3;

    EXPECT(wheel != NULL && fires != NULL);
    if (wheel == NULL || fires == NULL)
        exit(1);
    wheel->now = 123456789;
    for (int i = 0; i < TIMERS; i++) {
        fires[i].wheel = wheel;
        fires[i].node.fn = on_fire;
        fires[i].node.arg = &fires[i];
        fires[i].wanted = wheel->now + 1 + random_next(&state) % (i % 2 == 0 ? 300 : 300000);
        wheel_insert(wheel, &fires[i].node, fires[i].wanted);
    }
    for (int i = 0; i < TIMERS; i += 5)
        wheel_cancel(wheel, &fires[i].node);
    for (int i = 1; i < TIMERS; i += 5)
        wheel_push_back(&fires[i].node, fires[i].wanted += 1 + random_next(&state) % 5000);
    for (uint64_t end = wheel->now + 310000; wheel->now < end;)
        wheel_advance(wheel, wheel->now + 1 + random_next(&state) % 7000);
    for (int i = 0; i < TIMERS; i++)
        EXPECT(fires[i].count == (i % 5 != 0));
    free(fires);
    free(wheel);
}

int
main(void)
{
    test_histogram_resolution();
    test_histogram_quantiles();
    test_median_interval();
    test_interval_covers();
    test_workload_names();
    test_wheel();
    return failures == 0 ? 0 : 1;
}
