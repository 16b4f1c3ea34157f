/*
 * Shrinking: of the hundreds of faults of a run, exactly those that matter are left.
 */
#include "raw_echo.h"

#define CLIENTS 60

typedef struct trial {
    int calls;
    bool (*fails)(rill_sim *sim, rill_sim_peer **peers);
} trial;

/* Sixty clients of an echo server in a hostile world. */
static bool
storm(rill_sim *sim, void *arg)
{
    trial *t = arg;
    rill_loop_options plain = RILL_LOOP_OPTIONS(.allocator = &rill__default_allocator);
    rill_sim_peer *peers[CLIENTS];
    rill_loop *loop;
    raw_echo echo;
    bool failed;

    t->calls++;
    assert_int_equal(rill_sim_loop_new(sim, NULL, &plain, &loop), 0);
    assert_int_equal(raw_echo_start(&echo, loop, "127.0.0.1", 7000, 128), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7000", &peers[i]), 0);
        assert_int_equal(rill_sim_peer_feed(peers[i], "hello", 5), 0);
    }
    assert_int_equal(rill_sim_run_for(sim, 30 * RILL_S), 0);
    failed = t->fails(sim, peers);
    rill_sim_heal(sim);
    raw_echo_stop(&echo, sim);
    return failed;
}

static int
count_errors(rill_sim_peer **peers, int first, int last, int error)
{
    int count = 0;

    for (int i = first; i <= last; i++)
        count += rill_sim_peer_error(peers[i]) == error;
    return count;
}

static bool
two_refused(rill_sim *sim, rill_sim_peer **peers)
{
    (void)sim;
    return count_errors(peers, 0, CLIENTS - 1, -ECONNREFUSED) >= 2;
}

static bool
never(rill_sim *sim, rill_sim_peer **peers)
{
    (void)sim;
    (void)peers;
    return false;
}

static bool
always(rill_sim *sim, rill_sim_peer **peers)
{
    (void)sim;
    (void)peers;
    return true;
}

static const rill_sim_options hostile = {
    .size = sizeof(rill_sim_options), .seed = 77, .profile = RILL_SIM_HOSTILE
};

static void
test_two_of_many(void **unused)
{
    trial t = { .fails = two_refused };
    rill_sim_options options = hostile;
    uint32_t numbers[8];
    size_t count = 99;
    rill_sim *sim;
    size_t all;

    (void)unused;
    assert_int_equal(rill_sim_new(&options, &sim), 0);
    assert_true(storm(sim, &t));
    all = rill_sim_fired(sim, NULL, 0);
    assert_true(all > 100);
    assert_int_equal(rill_sim_free(sim), 0);

    assert_int_equal(rill_sim_shrink(&options, storm, &t, numbers, 8, &count), 0);
    assert_int_equal(count, 2);
    assert_true(t.calls < 200);

    /* With these two it fails, with one of them it does not. */
    options.only_faults = numbers;
    for (options.only_faults_count = 2; options.only_faults_count > 0;
         options.only_faults_count--) {
        assert_int_equal(rill_sim_new(&options, &sim), 0);
        assert_int_equal(storm(sim, &t), options.only_faults_count == 2);
        assert_int_equal(
            rill_sim_fault_count(sim, RILL_SIM_FAULT_CONNECT_REFUSED), options.only_faults_count);
        assert_int_equal(rill_sim_free(sim), 0);
    }
}

static void
test_what_it_says(void **unused)
{
    trial t = { .fails = never };
    uint32_t numbers[8];
    size_t count = 99;

    (void)unused;
    assert_int_equal(rill_sim_shrink(&hostile, storm, &t, numbers, 8, &count), RILL_ESTATE);
    assert_int_equal(t.calls, 1);
    assert_int_equal(rill_sim_shrink(&hostile, NULL, &t, numbers, 8, &count), RILL_EINVAL);
    t.fails = two_refused;
    assert_int_equal(rill_sim_shrink(&hostile, storm, &t, numbers, 1, &count), RILL_ELIMIT);
    assert_int_equal(count, 99);
    t.fails = always;
    assert_int_equal(rill_sim_shrink(&hostile, storm, &t, numbers, 8, &count), 0);
    assert_int_equal(count, 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_of_many),
        cmocka_unit_test(test_what_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
