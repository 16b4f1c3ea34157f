/*
 * What tasks cost: each measurement prints its name and nanoseconds of CPU per operation.
 *
 *     tasks [NAME [OPERATIONS]]
 *
 * All measurements, or one of them with a number of operations (for counting instructions). Through
 * public headers only. The rivals beside this file print the same names.
 */
#define _GNU_SOURCE
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t
cpu_ns(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void
must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "tasks: %s: %s\n", what, rill_strerror(rc));
    exit(1);
}

/* ---- what is measured: `count` operations, in a task ---- */

static void
measure_yield(size_t count)
{
    while (count-- > 0)
        must(rill_yield(), "rill_yield");
}

static int
yield_often(void *arg)
{
    measure_yield(*(size_t *)arg);
    return 0;
}

static void
measure_yield_1000(size_t count)
{
    static rill_task *tasks[1000];
    size_t each = count / 1000;

    for (size_t i = 0; i < 1000; i++)
        must(rill_spawn(yield_often, &each, NULL, &tasks[i]), "rill_spawn");
    for (size_t i = 0; i < 1000; i++)
        must(rill_join(tasks[i]), "rill_join");
}

static void
measure_await_ready(size_t count)
{
    rill_future *future;

    must(rill_future_new(rill_loop_running(), &future), "rill_future_new");
    must(rill_future_set_result(future, NULL), "rill_future_set_result");
    while (count-- > 0)
        must(rill_await(future, NULL), "rill_await");
    rill_future_unref(future);
}

static int
nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void
measure_spawn(size_t count)
{
    while (count-- > 0) {
        rill_task *task;

        must(rill_spawn(nothing, NULL, NULL, &task), "rill_spawn");
        must(rill_join(task), "rill_join");
    }
}

static void
measure_spawn_eager(size_t count)
{
    while (count-- > 0) {
        rill_task *task;

        must(rill_spawn(nothing, NULL, RILL_TASK_OPTIONS(.eager = 1), &task), "rill_spawn");
        must(rill_join(task), "rill_join");
    }
}

static void
measure_group_of_10(size_t count)
{
    for (count /= 10; count > 0; count--) {
        rill_group group;
        int rc = 0;

        rill_group_begin(&group);
        for (int i = 0; i < 10 && rc >= 0; i++)
            rc = rill_group_spawn(&group, nothing, NULL, NULL);
        must(rill_group_end(&group, rc), "rill_group_end");
    }
}

static void
measure_timeout(size_t count)
{
    while (count-- > 0) {
        rill_scope limit;

        rill_timeout_begin(&limit, RILL_S);
        must(rill_scope_end(&limit, 0), "rill_scope_end");
    }
}

static int
set_all(void *arg)
{
    rill_future **next = arg;

    while (*next != NULL) {
        must(rill_future_set_result(*next, NULL), "rill_future_set_result");
        must(rill_yield(), "rill_yield");
    }
    return 0;
}

/* A future made, awaited and set by another task. */
static void
measure_future(size_t count)
{
    rill_future *next = NULL;
    rill_task *other;

    must(rill_future_new(rill_loop_running(), &next), "rill_future_new");
    must(rill_spawn(set_all, &next, NULL, &other), "rill_spawn");
    while (count-- > 0) {
        rill_future *future = next;

        must(rill_await(future, NULL), "rill_await");
        next = NULL;
        if (count > 0)
            must(rill_future_new(rill_loop_running(), &next), "rill_future_new");
        rill_future_unref(future);
    }
    must(rill_join(other), "rill_join");
}

static int
emit_often(void *arg)
{
    while (rill_emit(arg) == 0)
        continue;
    return 0;
}

static void
measure_generator(size_t count)
{
    rill_generator *generator;
    void *item;

    must(rill_generator_new(emit_often, &generator, &generator), "rill_generator_new");
    while (count-- > 0)
        must(rill_generator_next(generator, &item), "rill_generator_next");
    rill_generator_free(generator);
}

/* ---- running them ---- */

static const struct measurement {
    const char *name;
    void (*fn)(size_t count);
    size_t count;
} measurements[] = {
    { "yield", measure_yield, 2000000 },
    { "yield-1000", measure_yield_1000, 2000000 },
    { "await-ready", measure_await_ready, 10000000 },
    { "spawn", measure_spawn, 1000000 },
    { "spawn-eager", measure_spawn_eager, 1000000 },
    { "group-of-10", measure_group_of_10, 1000000 },
    { "timeout", measure_timeout, 5000000 },
    { "future", measure_future, 1000000 },
    { "generator", measure_generator, 5000000 },
};

enum { MEASUREMENTS = sizeof(measurements) / sizeof(measurements[0]) };

struct order {
    const char *only;
    size_t count;
};

static int
measure(void *arg)
{
    const struct order *order = arg;

    for (size_t i = 0; i < MEASUREMENTS; i++) {
        const struct measurement *m = &measurements[i];
        size_t count = order->count != 0 ? order->count : m->count;
        uint64_t start;

        if (order->only != NULL && strcmp(order->only, m->name) != 0)
            continue;
        m->fn(1000); /* Memory is there and warm. */
        start = cpu_ns();
        m->fn(count);
        printf("%s %.1f\n", m->name, (double)(cpu_ns() - start) / (double)count);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct order order = { argc > 1 ? argv[1] : NULL, argc > 2 ? strtoul(argv[2], NULL, 10) : 0 };
    int rc = rill_run(measure, &order);

    must(rc, "rill_run");
    return 0;
}
