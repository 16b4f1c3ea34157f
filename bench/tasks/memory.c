/*
 * What a suspended task takes of memory, and how many mappings all of them are.
 *
 *     memory [TASKS]
 *
 * Default 1,000,000. Resident memory and page tables of the process before and after, by the tasks;
 * then the mappings that there are more, of which vm.max_map_count allows so many by default.
 */
#define _GNU_SOURCE
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>

static size_t tasks_max;

/* The sum of two lines of the process's status, in bytes. */
static size_t
memory_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long kib = 0, sum = 0;
    char line[200];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmRSS: %lu", &kib) == 1 || sscanf(line, "VmPTE: %lu", &kib) == 1)
            sum += kib;
    if (file != NULL)
        fclose(file);
    return (size_t)sum * 1024;
}

static size_t
mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t count = 0;
    int c;

    while (file != NULL && (c = fgetc(file)) != EOF)
        count += c == '\n';
    if (file != NULL)
        fclose(file);
    return count;
}

static int
sleeper(void *arg)
{
    (void)arg;
    return rill_sleep(3600 * RILL_S);
}

static int
app(void *arg)
{
    size_t memory = memory_bytes();
    size_t maps = mappings();
    rill_group group;
    int rc = 0;

    (void)arg;
    rill_group_begin(&group);
    for (size_t i = 0; i < tasks_max && rc >= 0; i++)
        rc = rill_group_spawn(&group, sleeper, NULL, NULL);
    if (rc >= 0)
        rc = rill_sleep(RILL_MS); /* All of them sleep when this is over. */
    if (rc >= 0) {
        printf("bytes-per-task %.0f\n", (double)(memory_bytes() - memory) / (double)tasks_max);
        printf("more-mappings %zu\n", mappings() - maps);
    }
    rill_group_cancel(&group);
    return rill_group_end(&group, rc);
}

int
main(int argc, char **argv)
{
    int rc;

    tasks_max = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    if (tasks_max == 0)
        return 2;
    rc = rill_run(app, NULL);
    if (rc < 0)
        fprintf(stderr, "memory: %s\n", rill_strerror(rc));
    return rc < 0;
}
