/*
 * The swarm: whole programs on the simulated kernel, by the public API alone, watched by oracles.
 *
 * One seed is one world: up to three hosts with a loop each, servers of several kinds, and clients
 * that talk to them and misbehave, under faults drawn from the seed. Every callback, byte, timer,
 * message and release is checked against a model as it happens; when the weather has calmed down
 * all must come to an end, a new client must be served, and nothing may be left.
 *
 * A breach prints one line with the seed and ends the process, so sweeps run in processes of their
 * own.
 */
#ifndef SUPPORT_SWARM_H
#define SUPPORT_SWARM_H

#include <rill/rill.h>
#include <rill/sim.h>

/* The kinds that connections meet; those behind them have worlds of their own
 * (tests/sim/test_datagrams.c, test_children.c). */
#define CONNECTION_FAULTS (RILL_SIM_FAULT_ALLOCATION + 1)

/* How often each kind of fault has fired. */
typedef struct swarm_counts {
    uint64_t seeds;
    uint64_t hash; /* Over the traces of all worlds. */
    uint64_t fired[RILL_SIM_FAULT_COUNT];
} swarm_counts;

/* One world from its making to its end. */
void swarm_run_seed(uint64_t seed, swarm_counts *counts);

/*
 * Seeds 1 to `seeds`, in `jobs` processes. $RILL_SIM_SEED runs one alone, in this process, and
 * shows the world when it fails. `program` is named in the line that says how to see a failure
 * again. Returns 0, or 1 if a seed failed.
 */
int swarm_sweep(const char *program, uint64_t seeds, unsigned jobs, swarm_counts *ret_counts);

/* Plant a bug in a process that runs seeds until one fails: its number and its line. Returns false
 * when none of them notices. */
bool swarm_hunt(const char *bug, uint64_t seeds, uint64_t *ret_seed, char *ret_line, size_t size);

#endif
