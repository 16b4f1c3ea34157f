/*
 * Bytes held beyond their callback: copied when small, detached when big, budgeted, counted.
 */
#include "endpoint.h"

#include <errno.h>

static harness h;
static acceptor server;
static endpoint client;
static rill_slice held[100];
static uint64_t held_at[100];
static size_t held_count;
static int hold_rc;

static void
hold(endpoint *e, rill_slice in)
{
    rill_slice kept = { 0 };

    hold_rc = rill_slice_hold(h.loop, in, &kept);
    if (hold_rc < 0) {
        assert_null(kept.data); /* Untouched. */
        return;
    }
    assert_true(held_count < 100);
    assert_int_equal(kept.len, in.len);
    held[held_count] = kept;
    held_at[held_count++] = e->received - in.len;
}

static size_t
held_bytes(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return stats.held_bytes;
}

static void
start(rill_loop_options options)
{
    harness_open_with(&h, options);
    held_count = 0;
    hold_rc = 0;
    tcp_pair(&h, NULL, &server, &client);
    harness_settle(&h);
    server.ends[0].on_data = hold;
}

static void
finish(void)
{
    if (client.t != NULL)
        rill_transport_abort(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_until(&h, acceptor_is_empty, &server);
    for (size_t i = 0; i < held_count; i++)
        rill_slice_release(held[i]);
    held_count = 0;
    assert_int_equal(held_bytes(), 0);
    harness_close(&h);
}

static void
check_held(void)
{
    for (size_t i = 0; i < held_count; i++) {
        for (size_t k = 0; k < held[i].len; k++)
            assert_int_equal(held[i].data[k], stream_byte(held_at[i] + k));
    }
}

static void
test_small_and_big_slices_stay(void **unused)
{
    static const size_t sizes[] = { 1, 100, 16383, 16384, 16385, 60000, 5 };
    uint64_t sent = 0;

    (void)unused;
    start(RILL_LOOP_OPTIONS(.driver = NULL));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_true(endpoint_send_stream(&client, sent, sizes[i]) >= 0);
        sent += sizes[i];
        endpoint_await(&server.ends[0], sent);
        check_held();
    }
    assert_true(held_bytes() >= sent);
    /* Given back in another order than they were taken, some early. */
    rill_slice_release(held[1]);
    held[1] = held[--held_count];
    held_at[1] = held_at[held_count];
    check_held();
    finish();
}

static void
test_nobody_pins_a_big_buffer_with_a_few_bytes(void **unused)
{
    size_t before;

    (void)unused;
    start(RILL_LOOP_OPTIONS(.driver = NULL));
    assert_true(endpoint_send_stream(&client, 0, 10) >= 0);
    endpoint_await(&server.ends[0], 10);
    before = h.allocator.bytes;
    for (uint64_t i = 1; i <= 50; i++) {
        assert_true(endpoint_send_stream(&client, i * 10, 10) >= 0);
        endpoint_await(&server.ends[0], 10 + i * 10);
    }
    assert_int_equal(held_count, 51);
    assert_true(h.allocator.bytes - before < 50 * 1024);
    check_held();
    finish();
}

static void
test_the_budget(void **unused)
{
    (void)unused;
    start(RILL_LOOP_OPTIONS(.held_bytes_max = 1000));
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(endpoint_send_stream(&client, i * 100, 100) >= 0);
        endpoint_await(&server.ends[0], i * 100 + 100);
        assert_code(hold_rc, 0);
    }
    assert_true(endpoint_send_stream(&client, 1000, 100) >= 0);
    endpoint_await(&server.ends[0], 1100);
    assert_code(hold_rc, RILL_ELIMIT);
    assert_int_equal(held_count, 10);
    rill_slice_release(held[--held_count]);
    assert_true(endpoint_send_stream(&client, 1100, 100) >= 0);
    endpoint_await(&server.ends[0], 1200);
    assert_code(hold_rc, 0);
    check_held();
    finish();
}

static void
test_no_memory_to_hold(void **unused)
{
    (void)unused;
    start(RILL_LOOP_OPTIONS(.driver = NULL));
    assert_true(endpoint_send_stream(&client, 0, 100) >= 0);
    harness_settle(&h);
    rill_slice_release(held[0]);
    held_count = 0;
    h.allocator.fail_tag = RILL_TAG_CHUNK;
    allocator_fail(&h.allocator, 1, true);
    assert_true(endpoint_send_stream(&client, 100, 100) >= 0);
    harness_settle(&h);
    allocator_heal(&h.allocator);
    if (server.ends[0].received == 200) {
        assert_code(hold_rc, -ENOMEM);
        assert_int_equal(held_count, 0);
    } else { /* There was no buffer to receive in either: that costs the connection. */
        harness_until(&h, acceptor_is_empty, &server);
        assert_code(server.ends[0].why.code, -ENOMEM);
    }
    finish();
}

static void
test_nothing_to_release(void **unused)
{
    rill_slice nothing = { 0 }, text = { .data = (const uint8_t *)"abc", .len = 3 };

    (void)unused;
    start(RILL_LOOP_OPTIONS(.driver = NULL));
    rill_slice_release(nothing);
    rill_slice_release(text);
    /* Bytes that are not the library's can be held: by a copy. */
    assert_code(rill_slice_hold(h.loop, text, &held[0]), 0);
    assert_ptr_not_equal(held[0].data, text.data);
    assert_memory_equal(held[0].data, "abc", 3);
    rill_slice_release(held[0]);
    assert_int_equal(held_bytes(), 0);
    finish();
}

static void
test_held_bytes_outlive_the_connection(void **unused)
{
    (void)unused;
    start(RILL_LOOP_OPTIONS(.driver = NULL));
    assert_true(endpoint_send_stream(&client, 0, 50000) >= 0);
    endpoint_await(&server.ends[0], 50000);
    rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_until(&h, acceptor_is_empty, &server);
    check_held();
    finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_and_big_slices_stay),
        cmocka_unit_test(test_nobody_pins_a_big_buffer_with_a_few_bytes),
        cmocka_unit_test(test_the_budget),
        cmocka_unit_test(test_no_memory_to_hold),
        cmocka_unit_test(test_nothing_to_release),
        cmocka_unit_test(test_held_bytes_outlive_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
