/*
 * The swarm (support/swarm.h): whole programs on the simulated kernel, seed after seed, and no
 * oracle may object. Here a modest number of seeds; RILL_SIM_SEEDS and RILL_SIM_JOBS make it the
 * sweep of tests/sim/swarm.sh, RILL_SIM_SEED shows one seed.
 */
/* timeout: 300 */
/* valgrind: no */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "swarm.h"

#define SEEDS 150

static uint64_t
setting(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);

    return value != NULL ? strtoull(value, NULL, 0) : otherwise;
}

int
main(int argc, char **argv)
{
    uint64_t seeds = setting("RILL_SIM_SEEDS", SEEDS);
    unsigned jobs = (unsigned)setting("RILL_SIM_JOBS", 2);
    swarm_counts counts;
    int failed;

    (void)argc;
    failed = swarm_sweep(argv[0], seeds, jobs != 0 ? jobs : 1, &counts);
    printf("%" PRIu64 " seeds\n", counts.seeds);
    for (int kind = 0; kind < CONNECTION_FAULTS; kind++) {
        printf(
            "%-20s %10" PRIu64 "\n", rill_sim_fault_name((rill_sim_fault)kind), counts.fired[kind]);
        if (counts.fired[kind] == 0 && counts.seeds >= SEEDS) {
            printf("it never fired\n");
            failed = 1;
        }
    }
    return failed;
}
