/*
 * What the UDP contestants share: each is `udp-NAME PORT`, an echo on 127.0.0.1 on one thread,
 * until it is killed. Valid C and C++.
 */
#ifndef BENCH_UDP_CONTESTANT_H
#define BENCH_UDP_CONTESTANT_H

#include <stdio.h>
#include <stdlib.h>

static inline int
udp_port(int argc, char **argv)
{
    int port = argc == 2 ? atoi(argv[1]) : 0;

    if (port > 0 && port < 65536)
        return port;
    fprintf(stderr, "usage: %s PORT\n", argv[0]);
    exit(2);
}

static inline void
udp_must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

#endif
