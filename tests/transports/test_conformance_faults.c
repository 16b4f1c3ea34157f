/*
 * The conformance battery on TCP over a network and a kernel that do everything they may do without
 * breaking a connection: short reads and writes, spurious events, late completions, delay, loss.
 */
/* drivers: sim */
/* timeout: 300 */
#include "pairs.h"

#include <rill/sim.h>

#include <stdlib.h>

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), options, protocol_a,
        arg_a, protocol_b, arg_b, user);
}

static const struct {
    rill_sim_fault kind;
    uint32_t rate;
} harmless[] = {
    { RILL_SIM_FAULT_ACCEPT_EINTR, 120000 },
    { RILL_SIM_FAULT_RECV_SHORT, 500000 },
    { RILL_SIM_FAULT_RECV_AGAIN, 125000 },
    { RILL_SIM_FAULT_SEND_SHORT, 500000 },
    { RILL_SIM_FAULT_SEND_AGAIN, 250000 },
    { RILL_SIM_FAULT_SPURIOUS_READ, 125000 },
    { RILL_SIM_FAULT_SPURIOUS_WRITE, 125000 },
    { RILL_SIM_FAULT_READY_ORDER, 250000 },
    { RILL_SIM_FAULT_SEND_LATE, 500000 },
    { RILL_SIM_FAULT_CANCEL_LOSES, 500000 },
    { RILL_SIM_FAULT_SLICE_LATE, 500000 },
    { RILL_SIM_FAULT_CLOSE_LATE, 250000 },
    { RILL_SIM_FAULT_DELAY, 125000 },
    { RILL_SIM_FAULT_SPLIT, 250000 },
    { RILL_SIM_FAULT_LOSS, 10000 },
    { RILL_SIM_FAULT_ZERO_WINDOW, 30000 },
};

typedef struct tally {
    size_t failed;
    uint64_t seed;
    const char *personality;
} tally;

static void
count_failures(const char *name, rill_conformance_verdict verdict, const char *sentence, void *arg)
{
    tally *t = arg;

    if (verdict != RILL_CONFORMANCE_FAILED)
        return;
    t->failed++;
    print_error(
        "seed %llu, %s: %s: %s\n", (unsigned long long)t->seed, t->personality, name, sentence);
}

/* What a receive claims not to have (RECV_AGAIN) cannot be discarded before a close: then the
 * kernel resets, as TCP has it. */
static bool
wants_honest_receives(const char *name)
{
    return strcmp(name, "close_with_unread_input") == 0;
}

static void
run_case(harness *h, pairs *p, tally *t, const char *name)
{
    rill_conformance_options options = RILL_CONFORMANCE_OPTIONS(.make_pair = make,
        .end_pair = end_listening_pair, .user = p, .seed = t->seed, .only = name,
        .settle = 15 * RILL_S, .timeout = 600 * RILL_S, .report = count_failures, .report_arg = t);

    assert_true(rill_conformance(h->loop, &options) >= 0);
}

static void
run_world(uint64_t seed, rill_sim_personality personality, const char *only)
{
    tally t = { .seed = seed,
        .personality = personality == RILL_SIM_COMPLETION ? "completion" : "readiness" };
    harness h;
    pairs p = { .h = &h };
    rill_sim *sim;

    assert_code(rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed, .profile = RILL_SIM_CALM,
                                 .personality = personality),
                    &sim),
        0);
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        rill_sim_set_fault(sim, harmless[i].kind, harmless[i].rate);
    harness_open_with(&h, RILL_LOOP_OPTIONS(.driver = "sim", .sim = sim));
    h.log_allowed = true;
    for (size_t i = 0; rill_conformance_name(i) != NULL; i++) {
        const char *name = rill_conformance_name(i);

        if (only == NULL ? !wants_honest_receives(name) : strcmp(only, name) == 0)
            run_case(&h, &p, &t, name);
    }
    harness_close(&h);
    assert_int_equal(rill_sim_free(sim), 0);
    assert_int_equal(t.failed, 0);
}

/* RILL_TEST_SEED picks one seed, RILL_TEST_CASE one case. */
static void
run_personality(rill_sim_personality personality)
{
    const char *seed = getenv("RILL_TEST_SEED");

    if (seed != NULL) {
        run_world(strtoull(seed, NULL, 0), personality, getenv("RILL_TEST_CASE"));
        return;
    }
    for (uint64_t i = 1; i <= 12; i++)
        run_world(i, personality, getenv("RILL_TEST_CASE"));
}

static void
test_readiness(void **unused)
{
    (void)unused;
    run_personality(RILL_SIM_READINESS);
}

static void
test_completion(void **unused)
{
    (void)unused;
    run_personality(RILL_SIM_COMPLETION);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readiness),
        cmocka_unit_test(test_completion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
