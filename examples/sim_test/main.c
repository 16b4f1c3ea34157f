/*
 * Testing your own server in the simulator: adder.c is an ordinary server, this is its test.
 *
 * Shows: a property tested over every way to cut the input; then a storm: with every seed the
 * network and the kernel fail in another way. Whatever happens, what a client got must be the
 * beginning of the right answer; when the faults are over the server must answer in full; nothing
 * may be left behind. A failure prints its seed, and with that seed it happens again.
 *
 * Run:     ./sim_test [SEEDS [FIRST_SEED]]
 * Prints:  13 ways to cut the input: right
 *          200 seeds: right, 1895 faults on the way
 */
#include "adder.h"

#include <rill/sim.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char request[] = "1\n2\n3\n40\n500\n", answer[] = "1\n3\n6\n46\n546\n";

enum { PORT = 7000, REQUEST_BYTES = sizeof(request) - 1, ANSWER_BYTES = sizeof(answer) - 1 };

struct world {
    rill_sim *sim;
    rill_loop *loop;
    rill_server *server;
};

/* Faults may hit us here too: try again, as whoever starts a server in real life would. */
static int
begin(const rill_sim_options *options, struct world *w)
{
    const rill_loop_options quiet = RILL_LOOP_OPTIONS(.log_level = RILL_LOG_ERROR);
    int rc = rill_sim_new(options, &w->sim);

    for (int tries = 0; rc == 0 && tries < 100; tries++) {
        if (rill_sim_loop_new(w->sim, NULL, &quiet, &w->loop) < 0)
            continue;
        if (adder_serve(w->loop, PORT, &w->server) == 0)
            return 0;
        rill_loop_free(w->loop);
    }
    return -1;
}

/* End the server in order; then everything that is left is a leak. */
static size_t
end(struct world *w)
{
    rill_server_close(w->server);
    rill_server_abort_clients(w->server);
    (void)rill_sim_run_for(w->sim, 60 * RILL_S);
    return rill_sim_free(w->sim);
}

static rill_sim_peer *
ask(struct world *w)
{
    rill_sim_peer *peer;

    if (rill_sim_dial(w->sim, NULL, "127.0.0.1:7000", &peer) < 0 ||
        rill_sim_peer_feed(peer, request, REQUEST_BYTES) < 0)
        return NULL;
    return peer;
}

static bool
is_beginning(const rill_sim_peer *peer)
{
    size_t len;
    const void *got = rill_sim_peer_peek(peer, &len);

    return len <= ANSWER_BYTES && (len == 0 || memcmp(got, answer, len) == 0);
}

static bool
is_answered(void *peer)
{
    return rill_sim_peer_bytes_in(peer) >= ANSWER_BYTES;
}

/* However the input is cut into pieces, the answer is the same. */
static const char *
test_any_cut(size_t piece)
{
    struct world w;
    rill_sim_peer *peer;
    bool right;

    if (begin(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .recv_bytes_max = piece), &w) < 0)
        return "no server";
    peer = ask(&w);
    right = peer != NULL && rill_sim_run_until_idle(w.sim) == 0 && is_answered(peer) &&
            is_beginning(peer);
    return end(&w) > 0 ? "a leak" : right ? NULL : "a wrong answer";
}

static const char *
test_storm(uint64_t seed, uint64_t *faults)
{
    rill_sim_peer *peers[8], *last;
    const char *wrong = NULL;
    struct world w;

    if (begin(&RILL_SIM_OPTIONS(.seed = seed, .profile = RILL_SIM_SWARM), &w) < 0)
        return "no server";
    for (int i = 0; i < 8; i++) {
        peers[i] = ask(&w);
        (void)rill_sim_run_for(w.sim, 50 * RILL_MS);
    }
    (void)rill_sim_run_for(w.sim, 60 * RILL_S);
    for (int i = 0; i < 8; i++)
        if (peers[i] == NULL || !is_beginning(peers[i]))
            wrong = "a wrong answer";

    rill_sim_heal(w.sim);
    last = ask(&w);
    if (last == NULL || rill_sim_run_until(w.sim, is_answered, last, 60 * RILL_S) < 0)
        wrong = "no answer after the faults";
    *faults += rill_sim_fired(w.sim, NULL, 0);
    if (wrong != NULL)
        rill_sim_dump(w.sim, NULL, NULL);
    return end(&w) > 0 ? "a leak" : wrong;
}

int
main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, faults = 0;
    const char *wrong;

    for (size_t piece = 1; piece <= REQUEST_BYTES; piece++) {
        wrong = test_any_cut(piece);
        if (wrong != NULL)
            return printf("FAILED in pieces of %zu: %s\n", piece, wrong), 1;
    }
    printf("%d ways to cut the input: right\n", REQUEST_BYTES);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        wrong = test_storm(seed, &faults);
        if (wrong != NULL)
            return printf("FAILED: %s; again: ./sim_test 1 %" PRIu64 "\n", wrong, seed), 1;
    }
    printf("%" PRIu64 " seeds: right, %" PRIu64 " faults on the way\n", seeds, faults);
    return 0;
}
