/*
 * What every contestant shares and no timing depends on: the command line.
 *
 *     contestant MODE WHERE [CERT KEY]
 *     contestant version
 *
 * MODE is `tcp` (WHERE is a port of 127.0.0.1) or `unix` (WHERE is a path). The contestant serves
 * an echo on one thread until SIGTERM. CERT and KEY are kept for a TLS mode; a contestant that is
 * asked for a mode it lacks says so and leaves with status 3, which `compare` reports as absent.
 *
 * Asked for its version it names the library that is really linked, such as `libuv 1.44.2`: ratios
 * of one version say little about another.
 *
 * Valid C and C++.
 */
#ifndef BENCH_CONTESTANT_H
#define BENCH_CONTESTANT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTESTANT_BACKLOG = 4096, CONTESTANT_USAGE = 2, CONTESTANT_NO_MODE = 3 };

struct contestant_where {
    const char *path; /* The Unix path, NULL for TCP. */
    int port;         /* The TCP port, 0 for Unix. */
};

static inline struct contestant_where
contestant_parse(int argc, char **argv, const char *library, const char *version)
{
    struct contestant_where where = { NULL, 0 };

    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("%s %s\n", library, version);
        exit(0);
    }
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: %s tcp PORT | unix PATH | version\n", argv[0]);
        exit(CONTESTANT_USAGE);
    }
    if (strcmp(argv[1], "tcp") == 0) {
        char *end = NULL;
        long port = strtol(argv[2], &end, 10);

        if (end == argv[2] || *end != '\0' || port < 1 || port > 65535) {
            fprintf(stderr, "%s: not a port: %s\n", argv[0], argv[2]);
            exit(CONTESTANT_USAGE);
        }
        where.port = (int)port;
    } else if (strcmp(argv[1], "unix") == 0) {
        where.path = argv[2];
    } else {
        fprintf(stderr, "%s: mode %s is not served, only tcp and unix\n", argv[0], argv[1]);
        exit(CONTESTANT_NO_MODE);
    }
    return where;
}

/* The read size of rivals that let their user choose one, from BENCH_READ_KIB. */
static inline size_t
contestant_read_bytes(size_t fallback)
{
    const char *text = getenv("BENCH_READ_KIB");
    long kib = text == NULL ? 0 : strtol(text, NULL, 10);

    return kib >= 1 && kib <= 1024 ? (size_t)kib * 1024 : fallback;
}

#endif
