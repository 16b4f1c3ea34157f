/*
 * Many seeds: datagrams between two hosts under every profile and personality. What arrives was
 * sent byte for byte, or is flagged truncated and the beginning of it; after healing everything
 * arrives, once and in order; nothing leaks, and a seed is one run. RILL_SIM_SEEDS widens the
 * sweep.
 */
/* timeout: 300 */
#include "harness.h"

#include <rill/sim.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define QUESTIONS 60
#define LAST      20

typedef struct side {
    rill_transport *t;
    rill_addr addr;
    uint64_t arrived, wrong, cut, errors, refused;
    uint32_t last; /* The number of the newest. */
    bool in_order;
    bool echoes;
    uint64_t lost;
} side;

typedef struct run {
    rill_sim *sim;
    side asker, answerer, lonely;
} run;

static size_t
length_of(uint32_t number)
{
    return 4 + number * 137 % 1900;
}

static void
fill(uint8_t *buf, uint32_t number)
{
    memcpy(buf, &number, 4);
    for (size_t i = 4; i < length_of(number); i++)
        buf[i] = (uint8_t)(i * 7 + number);
}

static bool
is_right(rill_slice in, const rill_arrival *arrival, uint32_t *ret_number)
{
    uint8_t want[2000];

    if (in.len < 4)
        return arrival->truncated;
    memcpy(ret_number, in.data, 4);
    if (*ret_number > 10000 || in.len > length_of(*ret_number) ||
        (in.len < length_of(*ret_number)) != arrival->truncated)
        return false;
    fill(want, *ret_number);
    return memcmp(want, in.data, in.len) == 0;
}

static void
on_datagram(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    side *s = self;
    uint32_t number = s->last + 1;

    s->arrived++;
    s->cut += arrival->truncated;
    s->wrong += !is_right(in, arrival, &number);
    s->in_order = s->in_order && number == s->last + 1;
    s->last = number;
    if (s->echoes && !arrival->truncated)
        (void)rill_transport_sendto(t, in.data, in.len, arrival->from);
}

static void
on_error(rill_transport *t, void *self, int code)
{
    side *s = self;

    (void)t;
    s->errors++;
    s->refused += code == -ECONNREFUSED;
}

static void
on_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)why;
    ((side *)self)->lost++;
    ((side *)self)->t = NULL;
}

static const rill_datagram_protocol protocol =
    RILL_DATAGRAM_PROTOCOL(.datagram_received = on_datagram, .error_received = on_error,
        .connection_lost = on_lost);

/* Making a socket may fail, too: again. */
static void
open_side(rill_loop *loop, side *s, const char *host, const rill_addr *to)
{
    rill_datagram_options options = RILL_DATAGRAM_OPTIONS(.local_host = host, .addr = to);
    int rc = -1;

    for (int i = 0; i < 100 && rc < 0; i++)
        rc = rill_create_datagram_endpoint(loop, &options, &protocol, s, &s->t);
    assert_code(rc, 0);
    assert_code(rill_transport_sockname(s->t, &s->addr), 0);
    s->in_order = true;
}

static void
ask(run *r, uint32_t from, uint32_t count)
{
    uint8_t data[2000];

    for (uint32_t number = from; number < from + count; number++) {
        fill(data, number);
        assert_true(
            rill_transport_sendto(r->asker.t, data, length_of(number), &r->answerer.addr) >= 0);
        assert_true(rill_transport_sendto(r->lonely.t, data, 4, NULL) >= 0);
        assert_code(rill_sim_run_for(r->sim, 2 * RILL_MS), 0);
    }
}

static void
start(run *r, uint64_t seed, rill_sim_profile profile)
{
    rill_loop *loops[2];
    rill_addr nobody;

    memset(r, 0, sizeof(*r));
    assert_code(rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed, .profile = profile), &r->sim), 0);
    assert_code(rill_sim_host(r->sim, "a", "10.1.0.1"), 0);
    assert_code(rill_sim_host(r->sim, "b", "10.1.0.2"), 0);
    rill_sim_set_fault(r->sim, RILL_SIM_FAULT_ALLOCATION, 0);
    assert_code(rill_sim_loop_new(r->sim, "a", NULL, &loops[0]), 0);
    assert_code(rill_sim_loop_new(r->sim, "b", NULL, &loops[1]), 0);
    assert_code(rill_addr_parse("10.1.0.2", 9, &nobody), 0);
    r->answerer.echoes = true;
    open_side(loops[0], &r->asker, "10.1.0.1", NULL);
    open_side(loops[1], &r->answerer, "10.1.0.2", NULL);
    open_side(loops[0], &r->lonely, "10.1.0.1", &nobody);
    assert_code(rill_sim_run_for(r->sim, RILL_MS), 0);
}

static void
end(run *r)
{
    side *sides[] = { &r->asker, &r->answerer, &r->lonely };

    for (size_t i = 0; i < 3; i++)
        rill_transport_close(sides[i]->t);
    assert_code(rill_sim_run_for(r->sim, 40 * RILL_S), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(sides[i]->lost, 1);
    assert_int_equal(rill_sim_free(r->sim), 0);
}

/* After healing: near, and without a fault. */
static void
all_arrives(run *r)
{
    uint64_t arrived;

    rill_sim_heal(r->sim);
    assert_code(rill_sim_link(r->sim, "a", "b", NULL), 0);
    assert_code(rill_sim_run_for(r->sim, 5 * RILL_S), 0);
    arrived = r->asker.arrived;
    r->asker.last = r->answerer.last = 4999;
    r->asker.in_order = r->answerer.in_order = true;
    ask(r, 5000, LAST);
    assert_code(rill_sim_run_for(r->sim, RILL_S), 0);
    assert_int_equal(r->asker.arrived - arrived, LAST);
    assert_true(r->asker.in_order && r->answerer.in_order);
}

static uint64_t
one_seed(uint64_t seed, rill_sim_profile profile, uint64_t *counts)
{
    uint64_t hash;
    run r;

    start(&r, seed, profile);
    ask(&r, 1, QUESTIONS);
    assert_code(rill_sim_run_for(r.sim, 5 * RILL_S), 0);
    if (r.asker.wrong + r.answerer.wrong > 0)
        fail_msg("seed %" PRIu64 ": a datagram is not one that was sent", seed);
    assert_true(profile == RILL_SIM_HOSTILE || r.lonely.refused > 0);
    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT && counts != NULL; kind++)
        counts[kind] += rill_sim_fault_count(r.sim, (rill_sim_fault)kind);
    all_arrives(&r);
    hash = rill_sim_trace_hash(r.sim);
    end(&r);
    return hash;
}

static uint64_t
seeds_of(uint64_t fallback)
{
    const char *text = getenv("RILL_SIM_SEEDS");

    return text != NULL ? strtoull(text, NULL, 0) : fallback;
}

static void
test_calm_nothing_is_lost_or_doubled(void **unused)
{
    run r;

    (void)unused;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start(&r, seed, RILL_SIM_CALM);
        ask(&r, 1, QUESTIONS);
        assert_code(rill_sim_run_for(r.sim, RILL_S), 0);
        assert_int_equal(r.asker.arrived, QUESTIONS);
        assert_int_equal(r.lonely.refused, QUESTIONS);
        assert_int_equal(r.asker.errors, 0);
        assert_true(r.asker.in_order);
        end(&r);
    }
}

static void
test_swarm(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= seeds_of(60); seed++)
        (void)one_seed(seed, RILL_SIM_SWARM, NULL);
}

static void
test_hostile_and_every_kind_fires(void **unused)
{
    uint64_t counts[RILL_SIM_FAULT_COUNT] = { 0 };

    (void)unused;
    for (uint64_t seed = 1; seed <= seeds_of(40); seed++)
        (void)one_seed(seed, RILL_SIM_HOSTILE, counts);
    for (int kind = RILL_SIM_FAULT_DGRAM_LOSS; kind <= RILL_SIM_FAULT_DGRAM_BLACKHOLE; kind++) {
        if (counts[kind] == 0)
            fail_msg("%s never fired", rill_sim_fault_name((rill_sim_fault)kind));
    }
}

static void
test_a_seed_is_one_run(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_true(
            one_seed(seed, RILL_SIM_HOSTILE, NULL) == one_seed(seed, RILL_SIM_HOSTILE, NULL));
    assert_true(one_seed(1, RILL_SIM_HOSTILE, NULL) != one_seed(2, RILL_SIM_HOSTILE, NULL));
}

static void
test_a_cut_link_loses_all_and_tells_nothing(void **unused)
{
    run r;

    (void)unused;
    start(&r, 1, RILL_SIM_CALM);
    assert_code(rill_sim_partition(r.sim, "a", "b", true), 0);
    ask(&r, 1, 10);
    assert_code(rill_sim_run_for(r.sim, RILL_S), 0);
    assert_int_equal(r.answerer.arrived + r.lonely.errors + r.asker.errors, 0);
    assert_code(rill_sim_lift(r.sim, "a", "b"), 0);
    ask(&r, 11, 10);
    assert_code(rill_sim_run_for(r.sim, RILL_S), 0);
    assert_int_equal(r.asker.arrived, 10);
    end(&r);
}

static void
test_a_full_receive_buffer_drops(void **unused)
{
    uint8_t data[1000] = { 0 };
    run r;

    (void)unused;
    start(&r, 1, RILL_SIM_CALM);
    rill_transport_pause_reading(r.answerer.t);
    for (int i = 0; i < 2000; i++) {
        (void)rill_transport_sendto(r.asker.t, data, sizeof(data), &r.answerer.addr);
        assert_code(rill_sim_run_for(r.sim, 10 * RILL_US), 0);
    }
    r.answerer.echoes = false;
    rill_transport_resume_reading(r.answerer.t);
    assert_code(rill_sim_run_for(r.sim, RILL_S), 0);
    assert_true(r.answerer.arrived > 50 && r.answerer.arrived < 1000);
    assert_int_equal(r.asker.errors, 0);
    end(&r);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm_nothing_is_lost_or_doubled),
        cmocka_unit_test(test_swarm),
        cmocka_unit_test(test_hostile_and_every_kind_fires),
        cmocka_unit_test(test_a_seed_is_one_run),
        cmocka_unit_test(test_a_cut_link_loses_all_and_tells_nothing),
        cmocka_unit_test(test_a_full_receive_buffer_drops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
