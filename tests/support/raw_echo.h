/*
 * An echo server on the raw operations of a driver, without transports: what the simulator's own
 * tests run inside a world. It survives every fault that the contract of the seam allows.
 */
#ifndef TESTS_RAW_ECHO_H
#define TESTS_RAW_ECHO_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <rill/sim.h>

#include "core/internal.h"

typedef struct raw_echo {
    rill_loop *loop;
    rill__driver *driver;
    const rill__driver_ops *ops;
    const rill__sys_ops *sys;
    rill__io listener;
    bool listening;
    rill_id retry;
    size_t live;
    uint64_t accepted;
    uint64_t accept_errors;
    int accept_last;
    uint64_t recv_records;
    uint64_t recv_empty; /* Takes that said -EAGAIN. */
    uint64_t recv_bytes;
    uint64_t sends_started;
    uint64_t failed; /* Connections that ended with an error. */
    int last_error;
    struct raw_connection *connections;
    bool hold; /* Pause every connection at once. */
} raw_echo;

/* Listen at `address` ("127.0.0.1", "10.0.0.1") or, with port -1, at a Unix path. Tries again while
 * sockets cannot be made. Returns 0 or the error. */
int raw_echo_start(raw_echo *echo, rill_loop *loop, const char *address, int port, int backlog);

/* Resume what `hold` paused. */
void raw_echo_release(raw_echo *echo);

/* Close the listener and every connection; run the world until they are gone. */
void raw_echo_stop(raw_echo *echo, rill_sim *sim);

/* Connect a raw client socket on the loop: 0 or the error of the start; `done` gets the FINAL. The
 * connection echoes, too. */
typedef void (*raw_echo_connected)(void *arg, int64_t result);
int
raw_echo_connect(raw_echo *echo, const char *address, int port, raw_echo_connected done, void *arg);

#endif
