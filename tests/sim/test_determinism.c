/*
 * The same seed is the same run: twice in a process, in both personalities and all profiles, and on
 * every compiler and optimisation, which the hashes written down here pin. They change whenever the
 * simulator's behaviour does, the last one also with the library's or the swarm's; then take the
 * new ones from the failure, and say why in the commit.
 */
#include <inttypes.h>
#include <stdio.h>

#include "raw_echo.h"
#include "swarm.h"

typedef struct outcome {
    uint64_t hash;
    uint64_t events;
    rill_ns now;
    size_t fired;
} outcome;

static void
chat(rill_sim_peer *peer, void *arg)
{
    char buf[300];
    size_t len = rill_sim_peer_take(peer, buf, sizeof(buf));

    (void)arg;
    if (len > 0 && rill_sim_peer_bytes_out(peer) < 3000)
        (void)rill_sim_peer_feed(peer, buf, len);
}

/* Two servers on two hosts, a raw client from one to the other, and a dozen scripted peers. */
static outcome
run_once(uint64_t seed, rill_sim_profile profile, rill_sim_personality personality)
{
    rill_sim_options options =
        RILL_SIM_OPTIONS(.seed = seed, .profile = profile, .personality = personality);
    outcome result;
    raw_echo echo[2];
    rill_loop *loops[2];
    rill_sim *sim = NULL;
    rill_loop_options plain = RILL_LOOP_OPTIONS(.allocator = &rill__default_allocator);

    assert_int_equal(rill_sim_new(&options, &sim), 0);
    assert_int_equal(rill_sim_host(sim, "app", "10.0.0.1"), 0);
    assert_int_equal(rill_sim_host(sim, "db", "10.0.0.2"), 0);
    assert_int_equal(rill_sim_loop_new(sim, "app", &plain, &loops[0]), 0);
    assert_int_equal(rill_sim_loop_new(sim, "db", &plain, &loops[1]), 0);
    assert_int_equal(raw_echo_start(&echo[0], loops[0], "10.0.0.1", 7000, 4), 0);
    assert_int_equal(raw_echo_start(&echo[1], loops[1], "0.0.0.0", 7000, 4), 0);
    for (int i = 0; i < 12; i++) {
        rill_sim_peer *peer;

        assert_int_equal(rill_sim_dial(sim, i % 3 == 0 ? NULL : "db",
                             i % 2 == 0 ? "app:7000" : "10.0.0.2:7000", &peer),
            0);
        rill_sim_peer_watch(peer, chat, NULL);
        assert_int_equal(rill_sim_peer_feed(peer, "so it begins", 12), 0);
    }
    (void)raw_echo_connect(&echo[0], "10.0.0.2", 7000, NULL, NULL);
    assert_int_equal(rill_sim_run_for(sim, 3 * RILL_S), 0);
    assert_int_equal(rill_sim_partition(sim, "app", "db", true), 0);
    assert_int_equal(rill_sim_run_for(sim, 3 * RILL_S), 0);
    rill_sim_heal(sim);
    assert_int_equal(rill_sim_run_for(sim, 3 * RILL_S), 0);
    raw_echo_stop(&echo[0], sim);
    raw_echo_stop(&echo[1], sim);
    result = (outcome){ .hash = rill_sim_trace_hash(sim),
        .events = rill_sim_trace_count(sim),
        .now = rill_sim_now(sim),
        .fired = rill_sim_fired(sim, NULL, 0) };
    assert_int_equal(rill_sim_free(sim), 0);
    return result;
}

static void
test_twice_the_same(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        for (int profile = RILL_SIM_CALM; profile <= RILL_SIM_HOSTILE; profile++) {
            outcome first = run_once(seed, (rill_sim_profile)profile, RILL_SIM_PERSONALITY_DEFAULT);
            void *shift = malloc(seed * 1000); /* Other addresses, the same run. */
            outcome second =
                run_once(seed, (rill_sim_profile)profile, RILL_SIM_PERSONALITY_DEFAULT);

            free(shift);
            assert_int_equal(first.hash, second.hash);
            assert_int_equal(first.events, second.events);
            assert_int_equal(first.now, second.now);
            assert_int_equal(first.fired, second.fired);
            assert_true(profile == RILL_SIM_CALM ? first.fired == 0 : first.fired > 0);
        }
    }
}

static void
test_seeds_differ(void **unused)
{
    uint64_t hashes[24];

    (void)unused;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        hashes[seed - 1] = run_once(seed, RILL_SIM_SWARM, RILL_SIM_PERSONALITY_DEFAULT).hash;
        for (uint64_t other = 1; other < seed; other++)
            assert_int_not_equal(hashes[seed - 1], hashes[other - 1]);
    }
}

static void
test_profiles_and_personalities_differ(void **unused)
{
    uint64_t calm = run_once(9, RILL_SIM_CALM, RILL_SIM_READINESS).hash;

    (void)unused;
    assert_int_not_equal(calm, run_once(9, RILL_SIM_CALM, RILL_SIM_COMPLETION).hash);
    assert_int_not_equal(calm, run_once(9, RILL_SIM_SWARM, RILL_SIM_READINESS).hash);
    assert_int_not_equal(calm, run_once(9, RILL_SIM_HOSTILE, RILL_SIM_READINESS).hash);
}

static void
test_on_every_compiler(void **unused)
{
    static const struct {
        rill_sim_profile profile;
        rill_sim_personality personality;
        uint64_t hash;
    } known[] = {
        { RILL_SIM_CALM, RILL_SIM_READINESS, UINT64_C(0x4b64b7859988b1ef) },
        { RILL_SIM_CALM, RILL_SIM_COMPLETION, UINT64_C(0xb1521cabf770abe9) },
        { RILL_SIM_HOSTILE, RILL_SIM_READINESS, UINT64_C(0xa3c11dfaa992dffd) },
        { RILL_SIM_HOSTILE, RILL_SIM_COMPLETION, UINT64_C(0xab7522d1c69501f4) },
    };
    bool same = true;

    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        outcome result = run_once(2026, known[i].profile, known[i].personality);

        if (result.hash != known[i].hash) {
            print_error("case %zu: the hash is 0x%016" PRIx64 "\n", i, result.hash);
            same = false;
        }
    }
    assert_true(same);
}

/* Worlds of the swarm: transports, timers and servers above it, faults of nearly every kind, both
 * personalities, loops that run by themselves and loops that the world runs. */
static void
test_whole_programs_on_every_compiler(void **unused)
{
    const uint64_t known = UINT64_C(0xe747933a9d539160);
    swarm_counts counts = { 0 };
    int kinds = 0;

    (void)unused;
    for (uint64_t seed = 1; seed <= 40; seed++)
        swarm_run_seed(seed, &counts);
    for (int kind = 0; kind < SWARM_FAULTS; kind++)
        kinds += counts.fired[kind] > 0;
    assert_true(kinds > SWARM_FAULTS - 6);
    if (counts.hash != known)
        print_error("the hash is 0x%016" PRIx64 "\n", counts.hash);
    assert_true(counts.hash == known);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_the_same),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_profiles_and_personalities_differ),
        cmocka_unit_test(test_on_every_compiler),
        cmocka_unit_test(test_whole_programs_on_every_compiler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
