/*
 * What the parts of `compare` share: contestants, cells, the results of a run.
 */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "statistics.h"
#include "workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONTESTANTS_MAX = 16, WORKLOADS_MAX = 64, ROUNDS_MAX = 201, IDLE_ROUNDS_MAX = 3 };

enum { VERSION_BYTES = 64 };

struct contestant {
    const char *name;
    const char *binary;   /* Beside `compare`. */
    const char *variable; /* One environment variable that it gets, or NULL. */
    const char *value;
};

struct cell {
    bool valid;
    uint64_t ops;
    uint64_t ns;
    uint64_t cpu_ns;
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t p999_ns;
    double idle_bytes; /* Idle workloads: growth of the server's PSS per connection. */
};

struct run {
    const struct contestant *contestants[CONTESTANTS_MAX]; /* [0] is the floor. */
    char versions[CONTESTANTS_MAX][VERSION_BYTES];         /* Of the libraries: `libuv 1.44.2`. */
    size_t contestant_count;
    struct workload workloads[WORKLOADS_MAX];
    size_t workload_count;
    size_t rounds;
    size_t idle_rounds; /* Fewer, for the idle workloads: memory repeats. */
    size_t slices;      /* A cell is so many windows, */
    double seconds;     /* so long in all. */
    double warm_s;
    int server_core;
    int load_core;
    bool realtime;
    const char *directory; /* Where the binaries are. */
    const char *scratch;   /* Where Unix sockets go. */
    struct cell *cells;    /* [workload][contestant][round] */
    size_t failures;
};

/* What one cell says about a contestant. */
enum metric {
    METRIC_CPU_US,    /* Server CPU per operation. */
    METRIC_RATE_KOPS, /* Thousand operations a second. */
    METRIC_P50_US,
    METRIC_P99_US,
    METRIC_P999_US,
    METRIC_IDLE_KIB /* Idle workloads only. */
};

static inline struct cell *
run_cell(const struct run *run, size_t workload, size_t contestant, size_t round)
{
    return &run->cells[(workload * run->contestant_count + contestant) * run->rounds + round];
}

/* Measure all contestants on one workload for one round. A failure is told on stderr and leaves its
 * cell invalid. */
void round_measure(const struct run *run, size_t workload, size_t round);

/* Median over the rounds of a run. */
struct estimate
run_estimate(const struct run *run, size_t workload, size_t contestant, enum metric metric);

/* CPU per operation of `over` divided by that of `under`, round by round: above 1 means that
 * `under` is the cheaper one. */
struct estimate run_ratio(const struct run *run, size_t workload, size_t over, size_t under);

void report_markdown(const struct run *run, FILE *out);
void report_json(const struct run *run, FILE *out);
void report_calibration(const struct run *run, FILE *out);

#endif
