/*
 * A workload and its name, which is the one way every tool here speaks of it:
 *
 *     tcp-SIZE-cN[-qDEPTH]     echo over TCP: SIZE bytes, N connections, DEPTH messages in flight
 *     unix-SIZE-cN[-qDEPTH]    the same over Unix stream sockets
 *     ...-awake                the same; the load generator polls and never sleeps
 *     churn-tcp-cN             connect, 64 bytes, the reply, close; N at a time
 *     churn-unix-cN
 *     idle-tcp-cN              N connections that stay silent after one echo of 1 KiB
 *     idle-unix-cN
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

enum workload_mode { WORKLOAD_ECHO, WORKLOAD_CHURN, WORKLOAD_IDLE };

struct workload {
    const char *name;
    enum workload_mode mode;
    bool is_unix;
    uint32_t size;
    uint32_t connections;
    uint32_t depth;
    bool awake;
};

/* Borrows `name`. False when it does not follow the grammar or passes a bound. */
bool workload_parse(const char *name, struct workload *ret);

#endif
