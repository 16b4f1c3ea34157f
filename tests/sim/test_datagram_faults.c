/*
 * Simulated datagrams under every fault: what arrives is whole or said to be cut, nobody is sent
 * anything that is not his, every kind of fault fires, and a seed gives the same run again.
 */
#include "harness.h"

#include <rill/sim.h>

#include <stdlib.h>

#define SENDS 300
#define BYTES 200

typedef struct run {
    rill_sim *sim;
    rill_loop *loop;
    rill_transport *sender, *receiver;
    rill_addr to;
    size_t sent, refused;
    size_t received, cut, errors, repeated;
    uint8_t seen[SENDS];
} run;

/* ---- one run ---- */

static void
made(rill_transport *t, void *self, void *arg)
{
    (void)t;
    (void)self;
    (void)arg;
}

static uint8_t
byte_of(size_t number, size_t at)
{
    return (uint8_t)(number * 31 + at);
}

/* Its number, then bytes that follow from it. */
static size_t
fill(uint8_t *buf, size_t number)
{
    size_t len = 2 + number * 7 % BYTES;

    buf[0] = (uint8_t)number;
    buf[1] = (uint8_t)(number >> 8);
    for (size_t i = 2; i < len; i++)
        buf[i] = byte_of(number, i);
    return len;
}

static void
check_datagram(run *r, rill_slice in, bool truncated)
{
    uint8_t whole[BYTES + 2];
    size_t number;
    size_t len;

    if (in.len < 2) {
        assert_true(truncated);
        return;
    }
    number = in.data[0] | (size_t)in.data[1] << 8;
    assert_true(number < SENDS);
    len = fill(whole, number);
    assert_true(truncated ? in.len < len : in.len == len);
    assert_memory_equal(in.data, whole, in.len);
    r->repeated += r->seen[number] != 0;
    r->seen[number] = 1;
}

static run *running;

static void
received(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)t;
    (void)self;
    running->received++;
    running->cut += arrival->truncated;
    check_datagram(running, in, arrival->truncated);
}

static void
error_received(rill_transport *t, void *self, int code)
{
    (void)t;
    (void)self;
    assert_true(code < 0);
    running->errors++;
}

static const rill_datagram_protocol protocol = { .size = sizeof(rill_datagram_protocol),
    .connection_made = made,
    .datagram_received = received,
    .error_received = error_received };

static void
send_next(void *arg)
{
    run *r = arg;
    uint8_t buf[BYTES + 2];
    size_t len = fill(buf, r->sent + r->refused);
    int rc = rill_transport_sendto(r->sender, buf, len, NULL);

    if (rc >= 0)
        r->sent++;
    else
        r->refused++;
    if (r->sent + r->refused < SENDS)
        (void)rill_call_later(r->loop, 3 * RILL_MS, send_next, r, NULL);
}

/* Faults may refuse it a few times. */
static void
open_endpoint(run *r, const rill_datagram_options *options, rill_transport **ret_transport)
{
    for (int i = 0; i < 100; i++) {
        if (rill_create_datagram_endpoint(r->loop, options, &protocol, NULL, ret_transport) == 0)
            return;
    }
    fail_msg("no endpoint in 100 tries");
}

static void
run_seed(run *r, uint64_t seed, rill_sim_profile profile, rill_sim_personality personality)
{
    *r = (run){ 0 };
    running = r;
    assert_code(rill_sim_new(
                    &RILL_SIM_OPTIONS(.seed = seed, .profile = profile, .personality = personality),
                    &r->sim),
        0);
    assert_code(rill_sim_loop_new(r->sim, NULL, NULL, &r->loop), 0);
    open_endpoint(r, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"), &r->receiver);
    assert_code(rill_transport_sockname(r->receiver, &r->to), 0);
    open_endpoint(r, &RILL_DATAGRAM_OPTIONS(.addr = &r->to), &r->sender);
    assert_code(rill_call_soon(r->loop, send_next, r, NULL), 0);
    assert_int_equal(rill_sim_run_for(r->sim, 10 * RILL_S), 0);
}

static void
end_run(run *r)
{
    rill_transport_abort(r->sender);
    rill_transport_abort(r->receiver);
    rill_sim_heal(r->sim);
    assert_int_equal(rill_sim_run_for(r->sim, RILL_S), 0);
    assert_int_equal(rill_sim_free(r->sim), 0);
}

/* ---- cases ---- */

static void
test_without_faults_all_arrive_once(void **unused)
{
    run r;

    (void)unused;
    for (int personality = RILL_SIM_READINESS; personality <= RILL_SIM_COMPLETION; personality++) {
        run_seed(&r, 5, RILL_SIM_CALM, (rill_sim_personality)personality);
        assert_int_equal(r.sent, SENDS);
        assert_int_equal(r.received, SENDS);
        assert_int_equal(r.repeated + r.cut + r.errors, 0);
        end_run(&r);
    }
}

static void
test_what_arrives_was_sent(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run r;

        run_seed(&r, seed, RILL_SIM_SWARM, RILL_SIM_PERSONALITY_DEFAULT);
        assert_int_equal(r.sent + r.refused, SENDS);
        assert_true(r.received - r.repeated <= SENDS);
        end_run(&r);
    }
}

static void
test_every_kind_of_fault_fires(void **unused)
{
    uint64_t counts[RILL_SIM_FAULT_COUNT] = { 0 };

    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run r;

        run_seed(&r, seed, RILL_SIM_HOSTILE, RILL_SIM_PERSONALITY_DEFAULT);
        for (int kind = RILL_SIM_FAULT_DGRAM_LOSS; kind <= RILL_SIM_FAULT_DGRAM_ENOBUFS; kind++)
            counts[kind] += rill_sim_fault_count(r.sim, (rill_sim_fault)kind);
        end_run(&r);
    }
    for (int kind = RILL_SIM_FAULT_DGRAM_LOSS; kind <= RILL_SIM_FAULT_DGRAM_ENOBUFS; kind++)
        if (counts[kind] == 0)
            fail_msg("%s never fired", rill_sim_fault_name((rill_sim_fault)kind));
}

static void
test_a_seed_gives_the_same_run(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t hash;
        run r;

        run_seed(&r, seed, RILL_SIM_HOSTILE, RILL_SIM_PERSONALITY_DEFAULT);
        hash = rill_sim_trace_hash(r.sim);
        end_run(&r);
        run_seed(&r, seed, RILL_SIM_HOSTILE, RILL_SIM_PERSONALITY_DEFAULT);
        assert_true(hash == rill_sim_trace_hash(r.sim));
        end_run(&r);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_faults_all_arrive_once),
        cmocka_unit_test(test_what_arrives_was_sent),
        cmocka_unit_test(test_every_kind_of_fault_fires),
        cmocka_unit_test(test_a_seed_gives_the_same_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
