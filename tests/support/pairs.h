/*
 * Ways to make a connected pair of transports on one loop, and the conformance battery run on them.
 */
#ifndef SUPPORT_PAIRS_H
#define SUPPORT_PAIRS_H

#include "harness.h"

#include <rill/conformance.h>

/* Run every case as a cmocka test of its own, on a loop of its own, and check for leaks after each.
 * `make` gets a `pairs` as `user`. */
int run_conformance(const char *name, rill_conformance_make make);

/* What the makers keep: the listening server of the pair that is alive. */
typedef struct pairs {
    harness *h;
    rill_server *server;
} pairs;

/* A server on these options and a client of it. */
int make_listening_pair(rill_loop *loop, const rill_server_options *server_options,
    const rill_transport_options *options, const rill_protocol *protocol_a, void *arg_a,
    const rill_protocol *protocol_b, void *arg_b, pairs *p);

/* The end_pair that goes with it. */
void end_listening_pair(rill_loop *loop, void *user);

/* A path for a socket of this process, in a fresh directory that goes at exit. */
const char *scratch_path(const char *name);

#endif
