/*
 * The median and its 95% interval by order statistics: whatever the distribution, the number of
 * rounds that fall below the true median is binomial(n, 1/2), so the k-th smallest and the k-th
 * largest value enclose it with a probability that depends on n and k alone. With too few
 * rounds no pair of values reaches 95%, and the interval is the whole range.
 */
#include "statistics.h"

#include <stdlib.h>

static int
compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

static double
quantile(const double *sorted, size_t count, double at)
{
    double position = at * (double)(count - 1);
    size_t below = (size_t)position;
    size_t above = below + 1 < count ? below + 1 : below;

    return sorted[below] + (position - (double)below) * (sorted[above] - sorted[below]);
}

/* How many values may be cut off at each end so that the rest still covers with 95%. */
static size_t
cut_of(size_t count)
{
    double term = 1; /* P(exactly i of count), from i = 0. */
    double tail = 0;
    size_t cut = 0;

    for (size_t i = 0; i < count; i++)
        term /= 2;
    for (size_t i = 0; i < count / 2; i++) {
        tail += term;
        if (tail > 0.025)
            break;
        cut = i;
        term = term * (double)(count - i) / (double)(i + 1);
    }
    return cut;
}

struct estimate
estimate_median(double *values, size_t count)
{
    struct estimate result = { .count = count };
    size_t cut;

    if (count == 0)
        return result;
    qsort(values, count, sizeof(*values), compare_doubles);
    cut = cut_of(count);
    result.median = quantile(values, count, 0.5);
    result.low = values[cut];
    result.high = values[count - 1 - cut];
    result.spread =
        (quantile(values, count, 0.75) - quantile(values, count, 0.25)) / 2 / result.median;
    return result;
}
