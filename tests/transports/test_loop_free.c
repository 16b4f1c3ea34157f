/*
 * rill_loop_free with everything open: each connection is told once, everything is counted, nothing
 * stays. And the same in the middle of things.
 */
#include "peer.h"

static harness h;
static acceptor accepted;
static endpoint clients[5];
static size_t answered;

static void
start(size_t connections)
{
    rill_addr addr;

    harness_open(&h);
    (void)serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    for (size_t i = 0; i < connections; i++)
        connect_to(&h, &addr, &clients[i]);
    acceptor_await(&accepted, connections);
}

static void
test_everything_open(void **unused)
{
    (void)unused;
    start(5);
    harness_close_with(&h, 11); /* Ten transports and the server. */
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(clients[i].tape, "made lost(RILL_ELOOPFREED)");
        assert_string_equal(accepted.ends[i].tape, "made lost(RILL_ELOOPFREED)");
        assert_int_equal(clients[i].why.layer, RILL_LAYER_LOOP);
    }
}

static void
test_full_queues_and_closing_ones(void **unused)
{
    (void)unused;
    start(4);
    rill_transport_pause_reading(accepted.ends[0].t);
    (void)endpoint_fill(&clients[0]);
    rill_transport_close(clients[0].t); /* Flushing. */
    rill_transport_pause_reading(accepted.ends[1].t);
    (void)endpoint_fill(&clients[1]);
    rill_transport_abort(clients[2].t); /* Its connection_lost is under way. */
    rill_transport_close(clients[3].t);
    (void)rill_loop_free(h.loop);
    for (size_t i = 0; i < 4; i++)
        assert_true(clients[i].lost && accepted.ends[i].lost);
    assert_code(clients[1].why.code, RILL_ELOOPFREED);
    assert_code(clients[2].why.code, RILL_EABORTED);
    allocator_check_empty(&h.allocator);
    assert_int_equal(descriptor_count(), h.descriptors);
}

static void
count_answer(void *arg, int rc)
{
    endpoint *e = arg;

    assert_code(rc, RILL_ELOOPFREED);
    assert_false(e->lost);
    answered++;
}

static void
test_drains_are_answered(void **unused)
{
    (void)unused;
    start(1);
    answered = 0;
    rill_transport_pause_reading(accepted.ends[0].t);
    (void)endpoint_fill(&clients[0]);
    assert_code(
        rill_transport_drain_start(clients[0].t, 0, RILL_NEVER, count_answer, &clients[0], NULL),
        0);
    assert_code(
        rill_transport_drain_start(clients[0].t, 5, RILL_S, count_answer, &clients[0], NULL), 0);
    (void)rill_loop_free(h.loop);
    assert_int_equal(answered, 2);
    assert_true(clients[0].lost);
    allocator_check_empty(&h.allocator);
}

static void
note_drained(void *arg, size_t aborted)
{
    *(size_t *)arg = aborted;
}

static size_t closed_calls;

static void
count_closed(rill_server *server, void *arg)
{
    (void)server;
    (void)arg;
    closed_calls++;
}

/* Promises to call are kept: drained, then closed. */
static void
test_a_draining_server(void **unused)
{
    size_t aborted = 99;
    rill_server *server;
    rill_addr addr;

    (void)unused;
    harness_open(&h);
    closed_calls = 0;
    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .closed = count_closed), &accepted, &addr);
    connect_to(&h, &addr, &clients[0]);
    acceptor_await(&accepted, 1);
    assert_code(rill_server_drain_start(server, 3600 * RILL_S, note_drained, &aborted), 0);
    (void)rill_loop_free(h.loop);
    assert_int_equal(aborted, 1);
    assert_int_equal(closed_calls, 1);
    assert_code(accepted.ends[0].why.code, RILL_ELOOPFREED);
    allocator_check_empty(&h.allocator);
    assert_int_equal(descriptor_count(), h.descriptors);
}

static size_t late_calls;

static void
late(void *arg)
{
    (void)arg;
    late_calls++;
}

/* A program that goes on in connection_lost: what it starts there is refused or dropped. */
static void
restart_in_lost(endpoint *e)
{
    rill_addr addr;
    int rc;

    assert_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    rc = rill_call_soon(e->h->loop, late, NULL, NULL);
    assert_true(rc == 0 || rc == RILL_ECLOSED);
    rc = rill_call_later(e->h->loop, 0, late, NULL, NULL);
    assert_true(rc == 0 || rc == RILL_ECLOSED);
    rc = rill_create_connection_start(
        e->h->loop, &RILL_CONNECT_OPTIONS(.addr = &addr), &endpoint_protocol, e, NULL, NULL, NULL);
    assert_true(rc == 0 || rc == RILL_ECLOSED);
    rc = rill_create_server(
        e->h->loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &endpoint_protocol, e, NULL);
    assert_true(rc == 0 || rc == RILL_ECLOSED);
    assert_code(rill_transport_write(e->t, "x", 1), RILL_ECLOSED);
}

static void
test_starting_things_at_the_end(void **unused)
{
    (void)unused;
    start(2);
    late_calls = 0;
    clients[0].on_lost = restart_in_lost;
    accepted.ends[1].on_lost = restart_in_lost;
    (void)rill_loop_free(h.loop);
    assert_int_equal(late_calls, 0);
    assert_true(
        clients[0].lost && clients[1].lost && accepted.ends[0].lost && accepted.ends[1].lost);
    allocator_check_empty(&h.allocator);
    assert_int_equal(descriptor_count(), h.descriptors);
}

static void
abort_everybody(endpoint *e)
{
    (void)e;
    for (size_t i = 0; i < 3; i++) {
        if (clients[i].t != NULL)
            rill_transport_abort(clients[i].t);
        if (accepted.ends[i].t != NULL)
            rill_transport_close(accepted.ends[i].t);
    }
}

static void
test_ending_others_at_the_end(void **unused)
{
    (void)unused;
    start(3);
    for (size_t i = 0; i < 3; i++)
        clients[i].on_lost = accepted.ends[i].on_lost = abort_everybody;
    (void)rill_loop_free(h.loop);
    for (size_t i = 0; i < 3; i++)
        assert_true(clients[i].lost && accepted.ends[i].lost);
    allocator_check_empty(&h.allocator);
}

/* Before anything has run: nothing was made, so nothing is lost. */
static void
test_freed_before_the_first_turn(void **unused)
{
    endpoint a, b, c;
    rill_addr addr;

    (void)unused;
    harness_open(&h);
    (void)serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    endpoint_init(&c, &h);
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &a, endpoint_connected, &a, NULL),
        0);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &b, &endpoint_protocol, &c, NULL, NULL),
        0);
    (void)rill_loop_free(h.loop);
    assert_true(a.connected_called);
    assert_code(a.connected_code, RILL_ELOOPFREED);
    assert_false(a.made);
    assert_true(b.made == b.lost && c.made == c.lost);
    allocator_check_empty(&h.allocator);
    assert_int_equal(descriptor_count(), h.descriptors);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_open),
        cmocka_unit_test(test_full_queues_and_closing_ones),
        cmocka_unit_test(test_drains_are_answered),
        cmocka_unit_test(test_a_draining_server),
        cmocka_unit_test(test_starting_things_at_the_end),
        cmocka_unit_test(test_ending_others_at_the_end),
        cmocka_unit_test(test_freed_before_the_first_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
