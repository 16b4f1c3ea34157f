/*
 * The comparison: every contestant, every workload, interleaved, as ratios to the raw epoll floor.
 *
 * In each round every workload is visited, and within it every contestant in an order that rotates
 * by one each round, so that a machine which slows down or speeds up meets all of them alike. A
 * ratio is taken between two cells of the same round and workload, and only then the median over
 * the rounds. Results go to stdout as Markdown, raw cells with --json; progress goes to stderr.
 *
 * One thread. A cell that fails is left out and counted, and the exit status is 1.
 */
#define _GNU_SOURCE
#include "compare.h"

#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct contestant contestants_known[] = {
    { "epoll", "contestant-epoll", NULL, NULL },
    { "epoll-again", "contestant-epoll", NULL, NULL }, /* The noise: must come out at 1.00. */
    { "rill", "contestant-rill", NULL, NULL },
    { "rill-stream", "contestant-rill-stream", NULL, NULL },
    { "uring", "contestant-uring", NULL, NULL },
    { "rill-spin", "contestant-rill", "BENCH_SPIN_US", "100" },
    { "rill-uring", "contestant-rill", "RILL_DRIVER", "uring" },
    { "libuv", "contestant-uv", NULL, NULL },
    { "libuv-128k", "contestant-uv", "BENCH_READ_KIB", "128" },
    { "libevent", "contestant-event", NULL, NULL },
    { "libevent-plain", "contestant-event-plain", NULL, NULL },
    { "asio", "contestant-asio", NULL, NULL },
};

static const char *const workloads_known[] = { "tcp-64-c1", "tcp-64-c1-awake", "tcp-64-c100",
    "tcp-64-c1000", "tcp-1024-c1", "tcp-1024-c100", "tcp-1024-c1000", "tcp-16384-c1",
    "tcp-16384-c100", "tcp-16384-c1000", "tcp-102400-c1", "tcp-102400-c100", "tcp-102400-c1000",
    "tcp-64-c1-q16", "tcp-64-c100-q16", "unix-64-c1", "unix-64-c100", "unix-16384-c100",
    "churn-tcp-c32", "idle-tcp-c9000" };

struct arguments {
    const char *only;
    const char *who;
    const char *json;
    bool quick;
};

_Noreturn static void
usage(int status)
{
    fputs(
        "usage: compare [options]\n"
        "  --rounds N        rounds (default 15; --quick 3)\n"
        "  --seconds S       measured time of a contestant in a round (default 0.5; --quick 0.15)\n"
        "  --slices N        windows it is cut into, taking turns (default 10; --quick 3)\n"
        "  --warm S          warm-up before it (default 0.1; --quick 0.05)\n"
        "  --only GLOB,...   workloads by name; a name outside the list is taken too\n"
        "  --who NAME,...    contestants; the floor, epoll, is always there\n"
        "  --realtime        run server and load generator in SCHED_RR\n"
        "  --server-core N   (default 0)    --load-core N   (default 1)\n"
        "  --json FILE       also write every cell of every round\n"
        "  --quick           short cells, few rounds: to look, not to quote\n"
        "  --list            the names of workloads and contestants\n",
        status == 0 ? stdout : stderr);
    exit(status);
}

_Noreturn static void
list(void)
{
    for (size_t i = 0; i < sizeof(workloads_known) / sizeof(workloads_known[0]); i++)
        printf("workload %s\n", workloads_known[i]);
    for (size_t i = 0; i < sizeof(contestants_known) / sizeof(contestants_known[0]); i++)
        printf("contestant %s\n", contestants_known[i].name);
    exit(0);
}

static void *
must_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        fputs("compare: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* Whether `name` matches one of the comma-separated patterns; NULL matches all. */
static bool
selected(const char *patterns, const char *name)
{
    char pattern[128];

    if (patterns == NULL)
        return true;
    while (*patterns != '\0') {
        size_t len = strcspn(patterns, ",");

        (void)snprintf(pattern, sizeof(pattern), "%.*s", (int)len, patterns);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
        patterns += len + (patterns[len] == ',');
    }
    return false;
}

static void
workload_add(struct run *run, const char *name)
{
    for (size_t i = 0; i < run->workload_count; i++)
        if (strcmp(run->workloads[i].name, name) == 0)
            return;
    if (run->workload_count < WORKLOADS_MAX &&
        workload_parse(name, &run->workloads[run->workload_count]))
        run->workload_count++;
}

static void
workloads_choose(struct run *run, const char *only)
{
    for (size_t i = 0; i < sizeof(workloads_known) / sizeof(workloads_known[0]); i++)
        if (selected(only, workloads_known[i]))
            workload_add(run, workloads_known[i]);
    for (const char *at = only; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        char *name = strndup(at, len); /* Kept: workloads borrow their names. */

        if (name != NULL)
            workload_add(run, name); /* A pattern is no name and adds nothing. */
        at += len + (at[len] == ',');
    }
    if (run->workload_count == 0) {
        fputs("compare: no workload matches\n", stderr);
        exit(2);
    }
}

/* Asks the binary itself: what is linked need not be what a package manager knows. */
static void
version_read(const char *path, char ret[VERSION_BYTES])
{
    char command[PATH_MAX + 16];
    FILE *answer;

    (void)snprintf(command, sizeof(command), "'%s' version", path);
    answer = popen(command, "r");
    if (answer == NULL || fgets(ret, VERSION_BYTES, answer) == NULL)
        ret[0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    if (answer != NULL && pclose(answer) != 0)
        ret[0] = '\0';
}

static void
contestants_choose(struct run *run, const char *who)
{
    for (size_t i = 0; i < sizeof(contestants_known) / sizeof(contestants_known[0]); i++) {
        const struct contestant *contestant = &contestants_known[i];
        char path[PATH_MAX];

        if (i != 0 && !selected(who, contestant->name))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", run->directory, contestant->binary);
        if (access(path, X_OK) != 0) {
            fprintf(stderr, "compare: %s is left out, %s is not built\n", contestant->name,
                contestant->binary);
            continue;
        }
        version_read(path, run->versions[run->contestant_count]);
        run->contestants[run->contestant_count++] = contestant;
    }
    if (run->contestant_count == 0 || run->contestants[0] != &contestants_known[0]) {
        fputs("compare: the floor, contestant-epoll, is not built\n", stderr);
        exit(1);
    }
}

static void
directories_find(struct run *run)
{
    static char directory[PATH_MAX];
    static char scratch[] = "/tmp/rill-bench-XXXXXX";
    ssize_t len = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    char *slash;

    if (len < 0 || mkdtemp(scratch) == NULL) {
        perror("compare");
        exit(1);
    }
    directory[len] = '\0';
    slash = strrchr(directory, '/');
    *slash = '\0';
    run->directory = directory;
    run->scratch = scratch;
}

/* The servers inherit it: 9,000 idle connections need as many descriptors. */
static void
descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* The load generator refuses what does not fit. */
    }
}

static void
rounds_measure(struct run *run)
{
    for (size_t round = 0; round < run->rounds; round++)
        for (size_t w = 0; w < run->workload_count; w++) {
            const struct workload *workload = &run->workloads[w];

            if (workload->mode == WORKLOAD_IDLE && round >= run->idle_rounds)
                continue;
            fprintf(stderr, "round %zu of %zu, %s\n", round + 1, run->rounds, workload->name);
            round_measure(run, w, round);
            for (size_t c = 0; c < run->contestant_count; c++)
                run->failures += !run_cell(run, w, c, round)->valid;
        }
}

static double
metric_of(const struct cell *cell, enum metric metric)
{
    switch (metric) {
    case METRIC_CPU_US:
        return (double)cell->cpu_ns / (double)cell->ops / 1e3;
    case METRIC_RATE_KOPS:
        return (double)cell->ops / (double)cell->ns * 1e6;
    case METRIC_P50_US:
        return (double)cell->p50_ns / 1e3;
    case METRIC_P99_US:
        return (double)cell->p99_ns / 1e3;
    case METRIC_P999_US:
        return (double)cell->p999_ns / 1e3;
    case METRIC_IDLE_KIB:
        break;
    }
    return cell->idle_bytes / 1024;
}

struct estimate
run_estimate(const struct run *run, size_t workload, size_t contestant, enum metric metric)
{
    double values[ROUNDS_MAX];
    size_t count = 0;

    for (size_t round = 0; round < run->rounds; round++) {
        const struct cell *cell = run_cell(run, workload, contestant, round);

        if (cell->valid)
            values[count++] = metric_of(cell, metric);
    }
    return estimate_median(values, count);
}

struct estimate
run_ratio(const struct run *run, size_t workload, size_t over, size_t under)
{
    double values[ROUNDS_MAX];
    size_t count = 0;

    for (size_t round = 0; round < run->rounds; round++) {
        const struct cell *a = run_cell(run, workload, over, round);
        const struct cell *b = run_cell(run, workload, under, round);

        if (a->valid && b->valid)
            values[count++] = metric_of(a, METRIC_CPU_US) / metric_of(b, METRIC_CPU_US);
    }
    return estimate_median(values, count);
}

static void
arguments_check(const struct run *run)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (run->rounds < 1 || run->rounds > ROUNDS_MAX || run->slices < 1 || run->seconds <= 0 ||
        run->warm_s < 0)
        usage(2);
    if (run->server_core >= cores || run->load_core >= cores || run->server_core < 0 ||
        run->load_core < 0) {
        fprintf(stderr, "compare: this machine has the cores 0 to %ld\n", cores - 1);
        exit(2);
    }
}

static struct arguments
arguments_read(int argc, char **argv, struct run *run)
{
    static const struct option options[] = { { "rounds", 1, NULL, 'r' },
        { "seconds", 1, NULL, 's' }, { "slices", 1, NULL, 'n' }, { "warm", 1, NULL, 'm' },
        { "only", 1, NULL, 'o' }, { "who", 1, NULL, 'w' }, { "json", 1, NULL, 'j' },
        { "server-core", 1, NULL, 'S' }, { "load-core", 1, NULL, 'L' },
        { "realtime", 0, NULL, 't' }, { "quick", 0, NULL, 'q' }, { "list", 0, NULL, 'l' },
        { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
    struct arguments arguments = { 0 };
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
        switch (option) {
        case 'r':
            run->rounds = strtoul(optarg, NULL, 10);
            break;
        case 's':
            run->seconds = atof(optarg);
            break;
        case 'n':
            run->slices = strtoul(optarg, NULL, 10);
            break;
        case 'm':
            run->warm_s = atof(optarg);
            break;
        case 'o':
            arguments.only = optarg;
            break;
        case 'w':
            arguments.who = optarg;
            break;
        case 'j':
            arguments.json = optarg;
            break;
        case 'S':
            run->server_core = atoi(optarg);
            break;
        case 'L':
            run->load_core = atoi(optarg);
            break;
        case 't':
            run->realtime = true;
            break;
        case 'q':
            arguments.quick = true;
            break;
        case 'l':
            list();
        case 'h':
            usage(0);
        default:
            usage(2);
        }
    }
    if (optind != argc)
        usage(2);
    if (run->rounds == 0)
        run->rounds = arguments.quick ? 3 : 15;
    if (run->seconds == 0)
        run->seconds = arguments.quick ? 0.15 : 0.5;
    run->idle_rounds = arguments.quick ? 1 : IDLE_ROUNDS_MAX;
    if (run->slices == 0)
        run->slices = arguments.quick ? 3 : 10;
    if (run->warm_s == 0)
        run->warm_s = arguments.quick ? 0.05 : 0.1;
    arguments_check(run);
    return arguments;
}

int
main(int argc, char **argv)
{
    struct run run = { .server_core = 0, .load_core = 1 };
    struct arguments arguments = arguments_read(argc, argv, &run);
    FILE *json = NULL;

    directories_find(&run);
    workloads_choose(&run, arguments.only);
    contestants_choose(&run, arguments.who);
    run.cells =
        must_allocate(run.workload_count * run.contestant_count * run.rounds, sizeof(*run.cells));
    if (arguments.json != NULL && (json = fopen(arguments.json, "w")) == NULL) {
        perror(arguments.json);
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* A load generator that dies is reported, not fatal. */
    descriptors_raise();
    rounds_measure(&run);
    report_markdown(&run, stdout);
    report_calibration(&run, stdout);
    if (json != NULL) {
        report_json(&run, json);
        (void)fclose(json);
    }
    (void)rmdir(run.scratch); /* Empty, unless a server was killed. */
    return run.failures == 0 ? 0 : 1;
}
