/*
 * Sweeps over seeds, in processes of their own: a breach ends the process that finds it, and a
 * crash must not take the counts of the others with it. A worker's words go to a file, its counts
 * and the seed it is at to memory that it shares with its parent.
 */
#include "core/internal.h"
#include "swarm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX      16
#define SECONDS_A_JOB 1200

typedef struct shared {
    swarm_counts counts;
    uint64_t seed; /* The present one. */
} shared;

typedef struct worker {
    pid_t pid;
    FILE *words;
    shared *shared;
} worker;

static void
work(worker *job, const char *bug, uint64_t first, uint64_t last, uint64_t step)
{
    if (dup2(fileno(job->words), STDERR_FILENO) < 0)
        _exit(2);
    alarm(SECONDS_A_JOB);
    rill__bug_plant(bug);
    for (uint64_t seed = first; seed <= last; seed += step) {
        job->shared->seed = seed;
        swarm_run_seed(seed, &job->shared->counts);
    }
    _exit(0);
}

static void
start(worker *job, const char *bug, uint64_t first, uint64_t last, uint64_t step)
{
    job->words = tmpfile();
    job->shared =
        mmap(NULL, sizeof(*job->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (job->words == NULL || job->shared == MAP_FAILED)
        abort();
    fflush(NULL);
    job->pid = fork();
    if (job->pid < 0)
        abort();
    if (job->pid == 0)
        work(job, bug, first, last, step);
}

/* The line that says what happened: the oracle's, or the first one of a crash. */
static void
read_words(worker *job, int status, char *buf, size_t size)
{
    char line[500];

    buf[0] = '\0';
    rewind(job->words);
    while (fgets(line, sizeof(line), job->words) != NULL) {
        bool is_oracle = strncmp(line, "FAIL seed", 9) == 0;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0' && (buf[0] == '\0' || is_oracle))
            snprintf(buf, size, "%s", line);
        if (is_oracle)
            return;
    }
    if (buf[0] == '\0')
        snprintf(buf, size, "the process ended with status 0x%x", (unsigned)status);
}

/* Returns whether it found nothing. */
static bool
finish(worker *job, swarm_counts *counts, uint64_t *ret_seed, char *buf, size_t size)
{
    int status = 0;

    if (waitpid(job->pid, &status, 0) != job->pid)
        abort();
    counts->seeds += job->shared->counts.seeds;
    counts->hash += job->shared->counts.hash;
    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++)
        counts->fired[kind] += job->shared->counts.fired[kind];
    *ret_seed = job->shared->seed;
    if (status != 0)
        read_words(job, status, buf, size);
    fclose(job->words);
    munmap(job->shared, sizeof(*job->shared));
    return status == 0;
}

int
swarm_sweep(const char *program, uint64_t seeds, unsigned jobs, swarm_counts *ret_counts)
{
    const char *only = getenv("RILL_SIM_SEED");
    worker workers[JOBS_MAX];
    char line[500];
    uint64_t seed;
    int failed = 0;

    memset(ret_counts, 0, sizeof(*ret_counts));
    if (only != NULL) {
        swarm_run_seed(strtoull(only, NULL, 0), ret_counts);
        return 0;
    }
    if (jobs > JOBS_MAX)
        jobs = JOBS_MAX;
    for (unsigned i = 0; i < jobs; i++)
        start(&workers[i], NULL, i + 1, seeds, jobs);
    for (unsigned i = 0; i < jobs; i++) {
        if (finish(&workers[i], ret_counts, &seed, line, sizeof(line)))
            continue;
        failed = 1;
        fprintf(stderr, "%s\n  again: RILL_SIM_SEED=%" PRIu64 " %s\n", line, seed, program);
    }
    return failed;
}

bool
swarm_hunt(const char *bug, uint64_t seeds, uint64_t *ret_seed, char *ret_line, size_t size)
{
    swarm_counts counts = { 0 };
    worker job;

    start(&job, bug, 1, seeds, 1);
    return !finish(&job, &counts, ret_seed, ret_line, size);
}
