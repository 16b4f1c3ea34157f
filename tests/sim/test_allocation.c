/*
 * Running out of memory: the world's allocator fails the n-th allocation, once or from then on, and
 * the world itself survives an allocator of its own that fails. Nothing crashes, nothing leaks.
 */
#include "raw_echo.h"

typedef struct limited {
    rill_allocator allocator;
    uint64_t calls;
    uint64_t fails_at;
    bool fails_on;
    size_t live;
} limited;

static void *
limited_alloc(void *ctx, size_t size, rill_tag tag)
{
    limited *l = ctx;
    void *ptr;

    (void)tag;
    l->calls++;
    if (l->calls == l->fails_at || (l->fails_on && l->calls > l->fails_at))
        return NULL;
    ptr = malloc(size);
    assert_non_null(ptr);
    l->live++;
    return ptr;
}

static void *
limited_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    limited *l = ctx;

    (void)old_size;
    (void)tag;
    l->calls++;
    if (l->calls == l->fails_at || (l->fails_on && l->calls > l->fails_at))
        return NULL;
    return realloc(ptr, new_size);
}

static void
limited_free(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    (void)size;
    (void)tag;
    ((limited *)ctx)->live--;
    free(ptr);
}

static void
limit(limited *l, uint64_t fails_at, bool fails_on)
{
    *l = (limited){ .allocator = { limited_alloc, limited_resize, limited_free, l },
        .fails_at = fails_at,
        .fails_on = fails_on };
}

/* Returns how many allocations a run without failures makes. */
static uint64_t
echo_with(const rill_sim_options *options, const rill_allocator *loop_allocator)
{
    rill_loop_options plain = RILL_LOOP_OPTIONS(.allocator = loop_allocator);
    rill_sim_peer *peer = NULL;
    rill_sim *sim = NULL;
    rill_loop *loop = NULL;
    raw_echo echo = { 0 };
    uint8_t data[3000] = { 0 };
    uint64_t allocations;
    int rc = rill_sim_new(options, &sim);

    if (rc < 0) {
        assert_int_equal(rc, -ENOMEM);
        return 0;
    }
    rc = rill_sim_loop_new(sim, NULL, &plain, &loop);
    if (rc == 0) {
        /* The raw server makes its listener whatever it takes: not where memory never comes. */
        if (options->fail_allocations_from == 0)
            rc = raw_echo_start(&echo, loop, "127.0.0.1", 7000, 8);
        for (int i = 0; i < 3 && rc == 0; i++) {
            if (rill_sim_dial(sim, NULL, "127.0.0.1:7000", &peer) < 0)
                continue;
            (void)rill_sim_peer_feed(peer, data, sizeof(data));
            rill_sim_peer_shutdown(peer);
            assert_int_equal(rill_sim_run_for(sim, 5 * RILL_S), 0);
        }
        if (echo.loop != NULL)
            raw_echo_stop(&echo, sim);
    } else {
        assert_int_equal(rc, -ENOMEM);
    }
    allocations = rill_sim_allocations(sim);
    assert_int_equal(rill_sim_free(sim), 0);
    return allocations;
}

static void
test_loop_allocations(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        rill_sim_options options =
            RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .personality = (rill_sim_personality)p);
        uint64_t count = echo_with(&options, NULL);

        assert_true(count > 5);
        for (uint64_t n = 1; n <= count; n++) {
            options.fail_allocation = n;
            (void)echo_with(&options, NULL);
        }
        options.fail_allocation = 0;
        for (uint64_t n = 1; n <= count; n++) {
            options.fail_allocations_from = n;
            (void)echo_with(&options, NULL);
        }
    }
}

static void
expect_pattern(const rill_sim_options *options, const char *pattern)
{
    const rill_allocator *allocator;
    rill_sim *sim = NULL;

    assert_int_equal(rill_sim_new(options, &sim), 0);
    allocator = rill_sim_allocator(sim);
    for (const char *at = pattern; *at != '\0'; at++) {
        void *ptr = allocator->alloc(allocator->ctx, 10, RILL_TAG_WRITE);

        assert_int_equal(ptr != NULL, *at == '+');
        if (ptr != NULL)
            allocator->free(allocator->ctx, ptr, 10, RILL_TAG_WRITE);
    }
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
test_which_one_fails(void **unused)
{
    (void)unused;
    expect_pattern(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM), "++++++");
    expect_pattern(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .fail_allocation = 1), "-+++++");
    expect_pattern(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .fail_allocation = 3), "++-+++");
    expect_pattern(
        &RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .fail_allocations_from = 4), "+++---");
    expect_pattern(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .fail_allocation = 2,
                       .fail_allocations_from = 5),
        "+-++--");
}

static void
test_allocation_faults(void **unused)
{
    rill_sim_options options = RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM);
    const rill_allocator *allocator;
    rill_sim *sim = NULL;
    int failed = 0;

    (void)unused;
    assert_int_equal(rill_sim_new(&options, &sim), 0);
    allocator = rill_sim_allocator(sim);
    rill_sim_set_fault(sim, RILL_SIM_FAULT_ALLOCATION, 200000);
    for (int i = 0; i < 1000; i++) {
        void *ptr = allocator->alloc(allocator->ctx, 10, RILL_TAG_WRITE);

        if (ptr == NULL) {
            failed++;
            continue;
        }
        allocator->free(allocator->ctx, ptr, 10, RILL_TAG_WRITE);
    }
    assert_true(failed > 100 && failed < 300);
    assert_int_equal(rill_sim_fault_count(sim, RILL_SIM_FAULT_ALLOCATION), failed);
    assert_int_equal(rill_sim_allocations(sim), 1000);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* The world's own memory fails: calls of the user's say so, the network has less to give. */
static void
test_world_allocations(void **unused)
{
    rill_sim_options options = RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM);
    limited l;
    uint64_t count;

    (void)unused;
    limit(&l, 0, false);
    options.allocator = &l.allocator;
    (void)echo_with(&options, &rill__default_allocator);
    count = l.calls;
    assert_int_equal(l.live, 0);
    assert_true(count > 20);
    for (uint64_t n = 1; n <= count; n++) {
        limit(&l, n, false);
        (void)echo_with(&options, &rill__default_allocator);
        assert_int_equal(l.live, 0);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_one_fails),
        cmocka_unit_test(test_loop_allocations),
        cmocka_unit_test(test_allocation_faults),
        cmocka_unit_test(test_world_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
