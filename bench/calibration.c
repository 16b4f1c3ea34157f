/*
 * Is the bench to be believed? The rivals' ratios to the floor were measured once before, with
 * another load generator and other peers' code, on a 2-core KVM guest (Sapphire Rapids class,
 * Linux 6.18). Each row holds the lowest and the highest figure of the runs kept there, and the
 * versions of the rival that it speaks of: a pattern, as the newest sources of then are known by
 * their series only. A rival of such a version that lands within 10% of that range is what it was;
 * one that does not must be explained before any figure beside it is quoted. A rival of another
 * version is not compared.
 */
#include "compare.h"

#include <fnmatch.h>
#include <string.h>

static const struct row {
    const char *workload;
    const char *who;
    const char *versions;
    double low;
    double high;
} rows[] = {
    { "tcp-64-c1", "libuv", "1.44.*", 0.96, 0.96 },
    { "tcp-64-c100", "libuv", "1.44.*", 0.90, 0.90 },
    { "tcp-64-c1000", "libuv", "1.44.*", 0.98, 0.98 },
    { "tcp-1024-c100", "libuv", "1.44.*", 1.05, 1.05 },
    { "tcp-64-c1-q16", "libuv", "1.44.*", 1.02, 1.02 },
    { "tcp-64-c100-q16", "libuv", "1.44.*", 1.15, 1.15 },
    { "tcp-16384-c1", "libuv", "1.44.*", 0.95, 0.95 },
    { "tcp-16384-c100", "libuv", "1.44.*", 1.02, 1.02 },
    { "tcp-16384-c1000", "libuv", "1.44.*", 0.92, 0.92 },
    { "tcp-102400-c1", "libuv", "1.44.*", 0.89, 0.89 },
    { "tcp-102400-c100", "libuv", "1.44.*", 0.87, 0.87 },
    { "tcp-102400-c1000", "libuv", "1.44.*", 0.93, 0.93 },
    { "unix-64-c1", "libuv", "1.44.*", 1.03, 1.03 },
    { "unix-64-c100", "libuv", "1.44.*", 0.95, 0.95 },
    { "unix-16384-c100", "libuv", "1.44.*", 0.88, 0.88 },
    { "churn-tcp-c32", "libuv", "1.44.*", 0.86, 0.86 },
    { "tcp-64-c1", "libuv", "1.5?.*", 0.90, 0.98 },
    { "tcp-64-c100", "libuv", "1.5?.*", 0.95, 0.97 },
    { "tcp-64-c1000", "libuv", "1.5?.*", 0.89, 0.96 },
    { "tcp-1024-c100", "libuv", "1.5?.*", 0.95, 0.95 },
    { "tcp-64-c1-q16", "libuv", "1.5?.*", 0.98, 0.98 },
    { "tcp-64-c100-q16", "libuv", "1.5?.*", 1.09, 1.09 },
    { "tcp-16384-c1", "libuv", "1.5?.*", 0.96, 0.96 },
    { "tcp-16384-c100", "libuv", "1.5?.*", 0.97, 1.00 },
    { "tcp-16384-c1000", "libuv", "1.5?.*", 0.94, 0.94 },
    { "tcp-102400-c1", "libuv", "1.5?.*", 0.88, 0.90 },
    { "tcp-102400-c100", "libuv", "1.5?.*", 0.81, 0.85 },
    { "tcp-102400-c1000", "libuv", "1.5?.*", 0.95, 0.95 },
    { "unix-64-c1", "libuv", "1.5?.*", 0.94, 0.94 },
    { "unix-64-c100", "libuv", "1.5?.*", 0.95, 0.98 },
    { "unix-16384-c100", "libuv", "1.5?.*", 0.99, 0.99 },
    { "churn-tcp-c32", "libuv", "1.5?.*", 0.95, 0.98 },
    { "tcp-64-c1", "libevent", "2.2.*", 0.80, 0.86 },
    { "tcp-64-c100", "libevent", "2.2.*", 0.73, 0.74 },
    { "tcp-64-c1000", "libevent", "2.2.*", 0.65, 0.69 },
    { "tcp-1024-c100", "libevent", "2.2.*", 0.82, 0.82 },
    { "tcp-64-c1-q16", "libevent", "2.2.*", 0.85, 0.85 },
    { "tcp-64-c100-q16", "libevent", "2.2.*", 0.90, 0.90 },
    { "tcp-16384-c1", "libevent", "2.2.*", 0.84, 0.84 },
    { "tcp-16384-c100", "libevent", "2.2.*", 0.53, 0.61 },
    { "tcp-16384-c1000", "libevent", "2.2.*", 0.36, 0.36 },
    { "tcp-102400-c1", "libevent", "2.2.*", 0.73, 0.81 },
    { "tcp-102400-c100", "libevent", "2.2.*", 0.51, 0.57 },
    { "tcp-102400-c1000", "libevent", "2.2.*", 0.44, 0.44 },
    { "unix-64-c1", "libevent", "2.2.*", 0.89, 0.89 },
    { "unix-64-c100", "libevent", "2.2.*", 0.62, 0.63 },
    { "unix-16384-c100", "libevent", "2.2.*", 0.45, 0.45 },
    { "churn-tcp-c32", "libevent", "2.2.*", 0.84, 0.89 },
    { "tcp-64-c1", "asio", "1.3?.*", 0.96, 0.97 },
    { "tcp-64-c100", "asio", "1.3?.*", 0.90, 0.96 },
    { "tcp-64-c1000", "asio", "1.3?.*", 0.75, 0.79 },
    { "tcp-1024-c100", "asio", "1.3?.*", 1.02, 1.02 },
    { "tcp-64-c1-q16", "asio", "1.3?.*", 0.94, 0.94 },
    { "tcp-64-c100-q16", "asio", "1.3?.*", 1.03, 1.03 },
    { "tcp-16384-c1", "asio", "1.3?.*", 0.94, 0.94 },
    { "tcp-16384-c100", "asio", "1.3?.*", 0.82, 0.88 },
    { "tcp-16384-c1000", "asio", "1.3?.*", 0.70, 0.70 },
    { "tcp-102400-c1", "asio", "1.3?.*", 0.81, 0.85 },
    { "tcp-102400-c100", "asio", "1.3?.*", 0.76, 0.76 },
    { "tcp-102400-c1000", "asio", "1.3?.*", 0.53, 0.53 },
    { "unix-64-c1", "asio", "1.3?.*", 0.99, 0.99 },
    { "unix-64-c100", "asio", "1.3?.*", 0.96, 0.98 },
    { "unix-16384-c100", "asio", "1.3?.*", 0.70, 0.70 },
    { "churn-tcp-c32", "asio", "1.3?.*", 0.86, 0.92 },
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

/* The number, without the name of the library before it. */
static const char *
version_of(const struct run *run, size_t contestant)
{
    const char *blank = strchr(run->versions[contestant], ' ');

    return blank == NULL ? "" : blank + 1;
}

static const struct row *
row_find(const struct run *run, size_t workload, size_t contestant)
{
    const char *version = version_of(run, contestant);

    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].workload, run->workloads[workload].name) == 0 &&
            strcmp(rows[i].who, run->contestants[contestant]->name) == 0 &&
            fnmatch(rows[i].versions, version, 0) == 0)
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

/* A rival that has rows, but none of its version. */
static bool
is_another_version(const struct run *run, size_t contestant)
{
    bool has_rows = false;

    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].who, run->contestants[contestant]->name) != 0)
            continue;
        has_rows = true;
        if (fnmatch(rows[i].versions, version_of(run, contestant), 0) == 0)
            return false;
    }
    return has_rows;
}

static void
row_print(const struct run *run, size_t contestant, const struct row *row, struct estimate ratio,
    double off, FILE *out)
{
    fprintf(out, "| %s | %s %s | ", row->workload, row->who, version_of(run, contestant));
    if (row->low == row->high)
        fprintf(out, "%.2f", row->low);
    else
        fprintf(out, "%.2f–%.2f", row->low, row->high);
    fprintf(out, " | %.2f (%.2f–%.2f) | %s%+.0f%% |\n", ratio.median, ratio.low, ratio.high,
        off < -0.10 || off > 0.10 ? "**!** " : "", off * 100);
}

void
report_calibration(const struct run *run, FILE *out)
{
    size_t within = 0;
    size_t all = 0;

    for (size_t w = 0; w < run->workload_count; w++) {
        for (size_t c = 1; c < run->contestant_count; c++) {
            const struct row *row = row_find(run, w, c);
            struct estimate ratio;
            double off;

            if (row == NULL)
                continue;
            ratio = run_ratio(run, w, 0, c);
            if (ratio.count == 0)
                continue;
            if (all == 0)
                fputs(
                    "### Calibration\n\n"
                    "Ratios of the rivals to the floor as measured earlier with the same versions "
                    "on another machine (range over its runs), here, and how far here lies "
                    "outside.\n\n"
                    "| workload | rival | earlier | here | outside by |\n|---|---|--:|--:|--:|\n",
                    out);
            off = deviation(row, ratio.median);
            row_print(run, c, row, ratio, off, out);
            all++;
            within += off >= -0.10 && off <= 0.10;
        }
    }
    if (all > 0)
        fprintf(out, "\n%zu of %zu within 10%%.\n\n", within, all);
    for (size_t c = 1; c < run->contestant_count; c++)
        if (is_another_version(run, c))
            fprintf(out, "Not calibrated: %s, the earlier ratios are of other versions.\n\n",
                run->versions[c]);
}
