/*
 * Many seeds: an echo server on the raw operations under every profile and personality. What comes
 * back is a prefix of what was sent, byte for byte; after healing a new client is served; nothing
 * leaks. RILL_SIM_SEEDS widens the sweep, RILL_SIM_SEED names one seed to look at.
 */
/* timeout: 300 */
#include <inttypes.h>
#include <stdio.h>

#include "raw_echo.h"

#define CLIENTS 6
#define BYTES   40000

typedef struct client {
    rill_sim_peer *peer;
    uint64_t number;
    size_t fed;
    size_t returned;
    bool wrong;
} client;

typedef struct run {
    rill_sim *sim;
    rill_loop *loop;
    raw_echo echo;
    client clients[CLIENTS];
    client last;
} run;

static uint8_t
byte_of(const client *c, size_t at)
{
    return (uint8_t)(at * 31 + (at >> 7) + c->number * 101);
}

static void
feed(client *c, size_t len)
{
    uint8_t block[1024];

    while (len > 0) {
        size_t now = len < sizeof(block) ? len : sizeof(block);

        for (size_t i = 0; i < now; i++)
            block[i] = byte_of(c, c->fed + i);
        if (rill_sim_peer_feed(c->peer, block, now) < 0)
            return;
        c->fed += now;
        len -= now;
    }
}

static void
look_at(client *c)
{
    uint8_t block[1024];
    size_t got;

    while ((got = rill_sim_peer_take(c->peer, block, sizeof(block))) > 0)
        for (size_t i = 0; i < got; i++)
            c->wrong = c->wrong || block[i] != byte_of(c, c->returned++);
    c->wrong = c->wrong || c->returned > c->fed;
}

static void
start(run *r, uint64_t seed, rill_sim_profile profile)
{
    rill_sim_options options = RILL_SIM_OPTIONS(.seed = seed, .profile = profile);
    rill_loop_options plain = RILL_LOOP_OPTIONS(.allocator = &rill__default_allocator);

    memset(r, 0, sizeof(*r));
    assert_int_equal(rill_sim_new(&options, &r->sim), 0);
    assert_int_equal(rill_sim_host(r->sim, "server", "10.0.0.1"), 0);
    assert_int_equal(rill_sim_host(r->sim, "client", "10.0.0.2"), 0);
    assert_int_equal(rill_sim_loop_new(r->sim, "server", &plain, &r->loop), 0);
    assert_int_equal(raw_echo_start(&r->echo, r->loop, "0.0.0.0", 7000, 4), 0);
    for (uint64_t i = 0; i < CLIENTS; i++) {
        client *c = &r->clients[i];

        c->number = i;
        assert_int_equal(rill_sim_dial(r->sim, i % 2 == 0 ? "client" : "server",
                             i % 2 == 0 ? "10.0.0.1:7000" : "127.0.0.1:7000", &c->peer),
            0);
        if ((seed + i) % 4 == 0)
            rill_sim_peer_dribble(c->peer, 700, RILL_MS);
        feed(c, BYTES);
        if ((seed + i) % 3 == 0)
            rill_sim_peer_shutdown(c->peer);
    }
}

static bool
last_served(void *arg)
{
    run *r = arg;

    look_at(&r->last);
    return r->last.returned == BYTES;
}

static void
complain(const run *r, const char *what)
{
    rill_sim_dump(r->sim, NULL, NULL);
    fail_msg("%s: seed 0x%" PRIx64 ", %s; rerun with RILL_SIM_SEED=0x%" PRIx64, what,
        rill_sim_seed(r->sim),
        rill_sim_get_personality(r->sim) == RILL_SIM_COMPLETION ? "completion" : "readiness",
        rill_sim_seed(r->sim));
}

static void
one_seed(uint64_t seed, rill_sim_profile profile)
{
    run r;

    start(&r, seed, profile);
    assert_int_equal(rill_sim_run_for(r.sim, 20 * RILL_S), 0);
    rill_sim_heal(r.sim);
    assert_int_equal(rill_sim_run_for(r.sim, 150 * RILL_S), 0);
    for (int i = 0; i < CLIENTS; i++) {
        client *c = &r.clients[i];

        look_at(c);
        if (c->wrong)
            complain(&r, "bytes came back changed");
        /* Whoever was not cut off has all of it back by now. */
        if (rill_sim_peer_get_state(c->peer) == RILL_SIM_PEER_OPEN && !rill_sim_peer_eof(c->peer) &&
            c->returned < BYTES)
            complain(&r, "a connection stands still");
        if (profile == RILL_SIM_CALM && c->returned < BYTES)
            complain(&r, "bytes were lost in calm weather");
    }
    assert_int_equal(rill_sim_dial(r.sim, "client", "10.0.0.1:7000", &r.last.peer), 0);
    feed(&r.last, BYTES);
    if (rill_sim_run_until(r.sim, last_served, &r, 10 * RILL_S) != 0)
        complain(&r, "the server did not recover");
    if (r.last.wrong)
        complain(&r, "bytes came back changed after healing");
    raw_echo_stop(&r.echo, r.sim);
    assert_int_equal(rill_sim_free(r.sim), 0);
}

static void
sweep(rill_sim_profile profile, uint64_t seeds)
{
    const char *wider = getenv("RILL_SIM_SEEDS");
    const char *only = getenv("RILL_SIM_SEED");

    if (only != NULL) {
        one_seed(strtoull(only, NULL, 0), profile);
        return;
    }
    if (wider != NULL)
        seeds = strtoull(wider, NULL, 0);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        one_seed(seed, profile);
}

static void
test_calm(void **unused)
{
    (void)unused;
    sweep(RILL_SIM_CALM, 20);
}

static void
test_swarm(void **unused)
{
    (void)unused;
    sweep(RILL_SIM_SWARM, 150);
}

static void
test_hostile(void **unused)
{
    (void)unused;
    sweep(RILL_SIM_HOSTILE, 50);
}

/* Over all those seeds every kind of fault that can happen here does. */
static void
test_every_kind_fires(void **unused)
{
    uint64_t counts[RILL_SIM_FAULT_COUNT] = { 0 };

    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run r;

        start(&r, seed, RILL_SIM_HOSTILE);
        assert_int_equal(rill_sim_run_for(r.sim, 20 * RILL_S), 0);
        for (int i = 0; i < RILL_SIM_FAULT_COUNT; i++)
            counts[i] += rill_sim_fault_count(r.sim, (rill_sim_fault)i);
        rill_sim_heal(r.sim);
        raw_echo_stop(&r.echo, r.sim);
        assert_int_equal(rill_sim_free(r.sim), 0);
    }
    for (int i = 0; i < RILL_SIM_FAULT_SPAWN_EAGAIN; i++) {
        /* Nothing is canceled and no child started here, and the loop has an allocator of its own.
         * */
        if (i == RILL_SIM_FAULT_CANCEL_LOSES || i == RILL_SIM_FAULT_ALLOCATION)
            continue;
        if (counts[i] == 0)
            fail_msg("%s never fired", rill_sim_fault_name((rill_sim_fault)i));
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm),
        cmocka_unit_test(test_swarm),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_every_kind_fires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
