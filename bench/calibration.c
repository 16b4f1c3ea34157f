/*
 * Is the bench to be believed? The rivals' ratios to the floor were measured once before, with
 * another load generator and other peers' code, on a 2-core KVM guest (Sapphire Rapids class,
 * Linux 6.18). Each row holds the lowest and the highest figure of the runs kept there. A rival
 * that lands within 10% of that range is what it was; one that does not must be explained before
 * any figure beside it is quoted.
 *
 * libuv: its newest sources and Debian's 1.44. libevent and Asio: their newest sources only.
 */
#include "compare.h"

#include <string.h>

static const struct row {
    const char *workload;
    const char *who;
    double low;
    double high;
} rows[] = {
    { "tcp-64-c1", "libuv", 0.90, 0.98 },
    { "tcp-64-c100", "libuv", 0.90, 0.97 },
    { "tcp-64-c1000", "libuv", 0.89, 0.98 },
    { "tcp-1024-c100", "libuv", 0.95, 1.05 },
    { "tcp-64-c1-q16", "libuv", 0.98, 1.02 },
    { "tcp-64-c100-q16", "libuv", 1.09, 1.15 },
    { "tcp-16384-c1", "libuv", 0.95, 0.96 },
    { "tcp-16384-c100", "libuv", 0.97, 1.02 },
    { "tcp-16384-c1000", "libuv", 0.92, 0.94 },
    { "tcp-102400-c1", "libuv", 0.88, 0.90 },
    { "tcp-102400-c100", "libuv", 0.81, 0.87 },
    { "tcp-102400-c1000", "libuv", 0.93, 0.95 },
    { "unix-64-c1", "libuv", 0.94, 1.03 },
    { "unix-64-c100", "libuv", 0.95, 0.98 },
    { "unix-16384-c100", "libuv", 0.88, 0.99 },
    { "churn-tcp-c32", "libuv", 0.86, 0.98 },
    { "tcp-64-c1", "libevent", 0.80, 0.86 },
    { "tcp-64-c100", "libevent", 0.73, 0.74 },
    { "tcp-64-c1000", "libevent", 0.65, 0.69 },
    { "tcp-1024-c100", "libevent", 0.82, 0.82 },
    { "tcp-64-c1-q16", "libevent", 0.85, 0.85 },
    { "tcp-64-c100-q16", "libevent", 0.90, 0.90 },
    { "tcp-16384-c1", "libevent", 0.84, 0.84 },
    { "tcp-16384-c100", "libevent", 0.53, 0.61 },
    { "tcp-16384-c1000", "libevent", 0.36, 0.36 },
    { "tcp-102400-c1", "libevent", 0.73, 0.81 },
    { "tcp-102400-c100", "libevent", 0.51, 0.57 },
    { "tcp-102400-c1000", "libevent", 0.44, 0.44 },
    { "unix-64-c1", "libevent", 0.89, 0.89 },
    { "unix-64-c100", "libevent", 0.62, 0.63 },
    { "unix-16384-c100", "libevent", 0.45, 0.45 },
    { "churn-tcp-c32", "libevent", 0.84, 0.89 },
    { "tcp-64-c1", "asio", 0.96, 0.97 },
    { "tcp-64-c100", "asio", 0.90, 0.96 },
    { "tcp-64-c1000", "asio", 0.75, 0.79 },
    { "tcp-1024-c100", "asio", 1.02, 1.02 },
    { "tcp-64-c1-q16", "asio", 0.94, 0.94 },
    { "tcp-64-c100-q16", "asio", 1.03, 1.03 },
    { "tcp-16384-c1", "asio", 0.94, 0.94 },
    { "tcp-16384-c100", "asio", 0.82, 0.88 },
    { "tcp-16384-c1000", "asio", 0.70, 0.70 },
    { "tcp-102400-c1", "asio", 0.81, 0.85 },
    { "tcp-102400-c100", "asio", 0.76, 0.76 },
    { "tcp-102400-c1000", "asio", 0.53, 0.53 },
    { "unix-64-c1", "asio", 0.99, 0.99 },
    { "unix-64-c100", "asio", 0.96, 0.98 },
    { "unix-16384-c100", "asio", 0.70, 0.70 },
    { "churn-tcp-c32", "asio", 0.86, 0.92 },
};

static const struct row *
row_find(const char *workload, const char *who)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].workload, workload) == 0 && strcmp(rows[i].who, who) == 0)
            return &rows[i];
    return NULL;
}

/* How far outside the range, as a part of its nearer end. */
static double
deviation(const struct row *row, double ratio)
{
    if (ratio < row->low)
        return ratio / row->low - 1;
    if (ratio > row->high)
        return ratio / row->high - 1;
    return 0;
}

void
report_calibration(const struct run *run, FILE *out)
{
    size_t within = 0;
    size_t all = 0;

    for (size_t w = 0; w < run->workload_count; w++) {
        for (size_t c = 1; c < run->contestant_count; c++) {
            const struct row *row = row_find(run->workloads[w].name, run->contestants[c]->name);
            struct estimate ratio;
            double off;

            if (row == NULL)
                continue;
            ratio = run_ratio(run, w, 0, c);
            if (ratio.count == 0)
                continue;
            if (all == 0)
                fputs("### Calibration\n\n"
                      "Ratios of the rivals to the floor as measured earlier on another machine "
                      "(range over its runs), here, and how far here lies outside.\n\n"
                      "| workload | rival | earlier | here | outside by |\n|---|---|--:|--:|--:|\n",
                    out);
            off = deviation(row, ratio.median);
            fprintf(out, "| %s | %s | %.2f–%.2f | %.2f (%.2f–%.2f) | %s%+.0f%% |\n", row->workload,
                row->who, row->low, row->high, ratio.median, ratio.low, ratio.high,
                off < -0.10 || off > 0.10 ? "**!** " : "", off * 100);
            all++;
            within += off >= -0.10 && off <= 0.10;
        }
    }
    if (all > 0)
        fprintf(out, "\n%zu of %zu within 10%%.\n\n", within, all);
}
