/*
 * The load of the echo scene: connections that each send a message, wait for it to come back, and
 * send the next one.
 */
#ifndef DEMO_LOAD_H
#define DEMO_LOAD_H

#include <stdint.h>
#include <sys/types.h>

enum { LOAD_CONNECTIONS = 100, LOAD_MESSAGE_BYTES = 64 };

struct load_round {
    double cpu_us; /* Processor time of the server for one echo, microseconds. */
    double echoes_per_second;
    double p50_us, p99_us; /* From sending to the whole reply. */
};

/* Load the server for `duration` after a warm-up. Returns 0, or -1 with a static sentence. */
int load_play(int port, pid_t server, int64_t duration, struct load_round *ret_round,
    const char **ret_trouble);

#endif
