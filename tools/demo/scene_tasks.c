/*
 * Many sleeping tasks: what does one cost in memory, and what does it cost to make one and to let
 * another one run? 100,000 of them sleep; memory is this process's share of physical memory (PSS)
 * and its page tables, before and after.
 */
#include "demo.h"

#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TASKS = 100000, YIELDS = 1000000, SPAWNS = 200000, CLAIM_BYTES = 4710 };

struct figures {
    double bytes;
    double yield_ns;
    double spawn_ns;
    size_t slept;
};

/* Page tables are no part of a process's share, and memory all the same. */
static size_t
page_table_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long kib = 0;
    char line[200];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "VmPTE: %lu", &kib);
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

static size_t
memory_bytes(void)
{
    return demo_pss_bytes(getpid()) + page_table_bytes();
}

static int
sleeper(void *arg)
{
    struct figures *figures = arg;
    int rc = rill_sleep(3600 * RILL_S);

    figures->slept += rc == RILL_ECANCELED;
    return rc;
}

static int
nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int
measure_costs(struct figures *figures)
{
    int64_t begun = demo_now_ns();
    rill_task *task;

    for (int i = 0; i < YIELDS; i++)
        RILL_TRY(rill_yield());
    figures->yield_ns = (double)(demo_now_ns() - begun) / YIELDS;
    begun = demo_now_ns();
    for (int i = 0; i < SPAWNS; i++) {
        RILL_TRY(rill_spawn(nothing, NULL, NULL, &task));
        RILL_TRY(rill_join(task));
    }
    figures->spawn_ns = (double)(demo_now_ns() - begun) / SPAWNS;
    return 0;
}

static int
play(void *arg)
{
    struct figures *figures = arg;
    rill_group group;
    size_t before;
    int rc = measure_costs(figures);

    if (rc < 0)
        return rc;
    before = memory_bytes();
    rill_group_begin(&group);
    for (int i = 0; i < TASKS && rc >= 0; i++)
        rc = rill_group_spawn(&group, sleeper, figures, NULL);
    if (rc >= 0)
        rc = rill_yield();
    figures->bytes = (double)(memory_bytes() - before) / TASKS;
    rill_group_cancel(&group);
    rc = rill_group_end(&group, rc);
    return rc;
}

void
scene_tasks(struct demo_result *result)
{
    struct figures figures = { 0 };
    int rc = rill_run(play, &figures);

    if (rc < 0)
        demo_fail(result, "the tasks failed: %s", rill_strerror(rc));
    result->passed = figures.bytes <= CLAIM_BYTES && figures.slept == TASKS;
    snprintf(result->text, sizeof(result->text),
        "%.0f bytes for each of %d sleeping tasks (claim: %d); %.0f ns to let another one run, "
        "%.0f ns to make one and wait for it",
        figures.bytes, TASKS, CLAIM_BYTES, figures.yield_ns, figures.spawn_ns);
    demo_field(result, "bytes_per_task", figures.bytes);
    demo_field(result, "claim_bytes", CLAIM_BYTES);
    demo_field(result, "yield_ns", figures.yield_ns);
    demo_field(result, "spawn_and_join_ns", figures.spawn_ns);
    demo_field(result, "tasks", TASKS);
}
