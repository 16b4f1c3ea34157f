/*
 * The fault storm: an echo server lives through many simulated worlds, each of which fails in its
 * own way: short reads, lost segments, resets, descriptors and memory running out. No byte may be
 * wrong, the server must serve again when the faults are over, and nothing may be left behind. Then
 * one of the seeds is played once more, and must be the same run, event by event.
 */
#include "demo.h"

#include <rill/rill.h>
#include <rill/sim.h>

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 20, QUESTION_BYTES = 6000, SEEDS_MIN = 50, TRIES = 1000 };

#define TIME_LIMIT_NS (INT64_C(6) * 1000 * 1000 * 1000)

struct storm {
    uint64_t faults[RILL_SIM_FAULT_COUNT];
    uint64_t events;
    rill_ns simulated;
};

struct world {
    rill_sim *sim;
    rill_loop *loop;
    rill_server *server;
    rill_sim_peer *clients[CLIENTS];
};

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

static void
echo_pause(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_pause_reading(t);
}

static void
echo_resume(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_resume_reading(t);
}

static const rill_protocol echo_protocol = RILL_PROTOCOL(.data_received = echo_data,
    .pause_writing = echo_pause, .resume_writing = echo_resume);

/* Starting may fail too, for want of memory or descriptors: whoever starts servers tries again. */
static int
begin(uint64_t seed, struct world *w)
{
    const rill_loop_options quiet = RILL_LOOP_OPTIONS(.log_level = RILL_LOG_ERROR);
    const rill_server_options where = RILL_SERVER_OPTIONS(.host = "*", .port = 7000);
    int rc = rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed, .profile = RILL_SIM_SWARM), &w->sim);

    if (rc < 0 || rill_sim_host(w->sim, "server", NULL) < 0 ||
        rill_sim_host(w->sim, "clients", NULL) < 0)
        return -1;
    for (int tries = 0; tries < TRIES; tries++) {
        if (rill_sim_loop_new(w->sim, "server", &quiet, &w->loop) < 0)
            continue;
        if (rill_create_server(w->loop, &where, &echo_protocol, NULL, &w->server) == 0)
            return 0;
        rill_loop_free(w->loop);
    }
    return -1;
}

static void
make_question(int client, uint8_t question[QUESTION_BYTES])
{
    for (int i = 0; i < QUESTION_BYTES; i++)
        question[i] = (uint8_t)(i * 31 + client * 7 + i / 251);
}

static int
ask(struct world *w, int client)
{
    uint8_t question[QUESTION_BYTES];
    int rc = rill_sim_dial(w->sim, "clients", "server:7000", &w->clients[client]);

    make_question(client, question);
    return rc < 0 ? rc : rill_sim_peer_feed(w->clients[client], question, sizeof(question));
}

/* What came back is the beginning of what was sent. */
static bool
is_right(const struct world *w, int client)
{
    uint8_t question[QUESTION_BYTES];
    size_t len;
    const void *got = rill_sim_peer_peek(w->clients[client], &len);

    make_question(client, question);
    return len <= sizeof(question) && (len == 0 || memcmp(got, question, len) == 0);
}

static bool
is_answered(void *peer)
{
    return rill_sim_peer_bytes_in(peer) == QUESTION_BYTES;
}

static const char *
live(struct world *w)
{
    for (int i = 0; i < CLIENTS - 1; i++)
        if (ask(w, i) < 0 || rill_sim_run_for(w->sim, 100 * RILL_MS) < 0)
            return "the world stopped";
    if (rill_sim_run_for(w->sim, 60 * RILL_S) < 0)
        return "the world stopped";

    rill_sim_heal(w->sim);
    if (ask(w, CLIENTS - 1) < 0 ||
        rill_sim_run_until(w->sim, is_answered, w->clients[CLIENTS - 1], 120 * RILL_S) < 0)
        return "no answer when the faults were over";
    for (int i = 0; i < CLIENTS; i++)
        if (!is_right(w, i))
            return "a wrong byte";
    return NULL;
}

/* Play one seed; returns what went wrong, or NULL. */
static const char *
play(uint64_t seed, struct storm *storm, uint64_t *ret_hash)
{
    struct world w;
    const char *wrong;

    if (begin(seed, &w) < 0)
        return "no server came up";
    wrong = live(&w);
    rill_server_close(w.server);
    rill_server_abort_clients(w.server);
    if (rill_sim_run_for(w.sim, 10 * RILL_S) < 0 && wrong == NULL)
        wrong = "the world stopped";
    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++)
        storm->faults[kind] += rill_sim_fault_count(w.sim, (rill_sim_fault)kind);
    storm->events += rill_sim_trace_count(w.sim);
    storm->simulated += rill_sim_now(w.sim);
    *ret_hash = rill_sim_trace_hash(w.sim);
    if (rill_sim_free(w.sim) != 0 && wrong == NULL)
        wrong = "something was left behind";
    return wrong;
}

static void
tell(struct demo_result *result, const struct storm *storm, uint64_t seeds, uint64_t replayed,
    uint64_t hash, double seconds)
{
    uint64_t faults = 0;
    int kinds = 0;

    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++) {
        faults += storm->faults[kind];
        kinds += storm->faults[kind] > 0;
    }
    snprintf(result->text, sizeof(result->text),
        "%llu seeds, %llu faults of %d kinds, %.1f simulated hours in %.1f s, no byte wrong; seed "
        "%llu "
        "again: same run (%016llx)",
        (unsigned long long)seeds, (unsigned long long)faults, kinds,
        (double)storm->simulated / 3600e9, seconds, (unsigned long long)replayed,
        (unsigned long long)hash);
    demo_field(result, "seeds", (double)seeds);
    demo_field(result, "faults", (double)faults);
    demo_field(result, "fault_kinds", kinds);
    demo_field(result, "events", (double)storm->events);
    demo_field(result, "simulated_seconds", (double)storm->simulated / 1e9);
    demo_field(result, "seconds", seconds);
    demo_field(result, "replayed_seed", (double)replayed);
    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++)
        if (storm->faults[kind] > 0)
            demo_field(
                result, rill_sim_fault_name((rill_sim_fault)kind), (double)storm->faults[kind]);
}

void
scene_storm(struct demo_result *result)
{
    int64_t begun = demo_now_ns();
    struct storm storm = { 0 }, again = { 0 };
    uint64_t seed = 0, hash, hash_again, replayed;
    const char *wrong;
    double seconds;

    do {
        wrong = play(++seed, &storm, &hash);
        if (wrong != NULL)
            demo_fail(result, "seed %llu: %s", (unsigned long long)seed, wrong);
    } while (seed < SEEDS_MIN || demo_now_ns() - begun < TIME_LIMIT_NS);
    seconds = (double)(demo_now_ns() - begun) / 1e9;

    replayed = seed;
    wrong = play(replayed, &again, &hash_again);
    if (wrong != NULL || hash_again != hash)
        demo_fail(result, "seed %llu is another run the second time", (unsigned long long)replayed);
    tell(result, &storm, seed, replayed, hash, seconds);
    result->passed = true;
}
