/*
 * Medians with distribution-free intervals. Pure functions, no state.
 */
#ifndef BENCH_STATISTICS_H
#define BENCH_STATISTICS_H

#include <stddef.h>

/* With fewer observations no interval of the median reaches 95%; it is the whole range then. */
enum { ESTIMATE_ROUNDS_MIN = 6 };

struct estimate {
    size_t count; /* Observations; nothing below is valid when it is 0. */
    double median;
    double low; /* The 95% interval of the median. */
    double high;
    double spread; /* Half the interquartile range over the median: how noisy one round is. */
};

/* Sorts `values` in place. */
struct estimate estimate_median(double *values, size_t count);

#endif
