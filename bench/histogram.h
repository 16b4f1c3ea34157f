/*
 * A log-linear histogram of nanoseconds: 64 buckets per power of two, so a quantile is at most
 * 1.6% too high. Fixed size, no allocation, one thread.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_SUBS = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BITS_MAX = 40, /* 2^40 ns are 18 minutes. */
    HISTOGRAM_BUCKETS = (HISTOGRAM_BITS_MAX - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUBS
};

struct histogram {
    uint64_t count;
    uint64_t largest;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

static inline uint32_t
histogram_index(uint64_t ns)
{
    uint32_t shift;

    if (ns < HISTOGRAM_SUBS)
        return (uint32_t)ns;
    if (ns >> HISTOGRAM_BITS_MAX != 0)
        return HISTOGRAM_BUCKETS - 1;
    shift = 63u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(ns >> shift);
}

/* The largest value that falls into a bucket. */
static inline uint64_t
histogram_upper(uint32_t index)
{
    uint32_t shift;

    if (index < 2 * HISTOGRAM_SUBS)
        return index;
    shift = (index >> HISTOGRAM_SUB_BITS) - 1;
    return (((uint64_t)index - ((uint64_t)shift << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

static inline void
histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->buckets[histogram_index(ns)]++;
    if (ns > h->largest)
        h->largest = ns;
}

static inline uint64_t
histogram_quantile(const struct histogram *h, double quantile)
{
    uint64_t wanted = (uint64_t)((double)h->count * quantile);
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted)
            return histogram_upper(i) < h->largest ? histogram_upper(i) : h->largest;
    }
    return h->largest;
}

#endif
