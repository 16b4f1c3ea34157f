/*
 * The in-process comparison: timers, scheduled callbacks, posts from another thread.
 *
 *     micro [--rounds N] [--only GLOB]
 *
 * In each round every measurement is taken of every library, in rotated order; the median over the
 * rounds goes to stdout as Markdown, with half the interquartile range behind it. The measuring
 * thread is pinned to core 0, its partner to core 1 where there is one.
 */
#define _GNU_SOURCE
#include "micro.h"
#include "../statistics.h"

#include <fnmatch.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS_MAX = 101 };

static const struct micro_suite *const suites[] = {
    &micro_floor,
#ifdef MICRO_HAVE_RILL
    &micro_rill,
#endif
#ifdef MICRO_HAVE_UV
    &micro_uv,
#endif
#ifdef MICRO_HAVE_EVENT
    &micro_event,
#endif
#ifdef MICRO_HAVE_ASIO
    &micro_asio,
#endif
};

enum { SUITES = sizeof(suites) / sizeof(suites[0]) };

static const char *const names[] = { "timer_insert", "timer_cancel", "timer_rearm", "timer_fire",
    "soon_batch", "soon_chain", "loop_turn", "wake_stream", "wake_roundtrip" };

_Static_assert(sizeof(names) / sizeof(names[0]) == MICRO_MEASUREMENTS, "a name for each");

static double results[MICRO_MEASUREMENTS][SUITES][ROUNDS_MAX];

struct micro_thread {
    pthread_t id;
    void (*fn)(void *arg);
    void *arg;
};

static void
pin(int core)
{
    cpu_set_t cores;

    if (core >= sysconf(_SC_NPROCESSORS_ONLN))
        return;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    micro_must(sched_setaffinity(0, sizeof(cores), &cores) == 0, "sched_setaffinity");
}

static void *
thread_main(void *arg)
{
    struct micro_thread *thread = arg;

    pin(1);
    thread->fn(thread->arg);
    return NULL;
}

struct micro_thread *
micro_thread_start(void (*fn)(void *arg), void *arg)
{
    struct micro_thread *thread = micro_allocate(1, sizeof(*thread));

    thread->fn = fn;
    thread->arg = arg;
    micro_must(pthread_create(&thread->id, NULL, thread_main, thread) == 0, "pthread_create");
    return thread;
}

void
micro_thread_join(struct micro_thread *thread)
{
    micro_must(pthread_join(thread->id, NULL) == 0, "pthread_join");
    free(thread);
}

static void
report(const char *only, size_t rounds)
{
    printf("| ns per operation |");
    for (size_t s = 0; s < SUITES; s++)
        printf(" %s |", suites[s]->name);
    printf("\n|---|");
    for (size_t s = 0; s < SUITES; s++)
        printf("--:|");
    for (size_t m = 0; m < MICRO_MEASUREMENTS; m++) {
        if (fnmatch(only, names[m], 0) != 0)
            continue;
        printf("\n| %s |", names[m]);
        for (size_t s = 0; s < SUITES; s++) {
            struct estimate value;

            if (suites[s]->measure[m] == NULL) {
                printf(" – |");
                continue;
            }
            value = estimate_median(results[m][s], rounds);
            printf(value.median < 100 ? " %.1f ± %.0f%% |" : " %.0f ± %.0f%% |", value.median,
                value.spread * 100);
        }
    }
    printf("\n");
}

int
main(int argc, char **argv)
{
    const char *only = "*";
    size_t rounds = 5;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
        else
            rounds = 0;
    }
    if (argc % 2 == 0 || rounds < 1 || rounds > ROUNDS_MAX) {
        fputs("usage: micro [--rounds N] [--only GLOB]\n", stderr);
        return 2;
    }
    pin(0);
    for (size_t round = 0; round < rounds; round++)
        for (size_t m = 0; m < MICRO_MEASUREMENTS; m++) {
            if (fnmatch(only, names[m], 0) != 0)
                continue;
            fprintf(stderr, "round %zu of %zu, %s\n", round + 1, rounds, names[m]);
            for (size_t i = 0; i < SUITES; i++) {
                size_t s = (i + round) % SUITES;

                if (suites[s]->measure[m] != NULL)
                    results[m][s][round] = suites[s]->measure[m]();
            }
        }
    report(only, rounds);
    return 0;
}
