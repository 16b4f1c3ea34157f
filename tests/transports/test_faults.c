/*
 * What the simulated kernel can do that a real one seldom does: errors of accept, one after
 * another; exhaustion of every kind; short writes in every pattern; deadlines exact to the
 * nanosecond.
 */
/* drivers: sim */
/* timeout: 120 */
#include "endpoint.h"

#include <rill/sim.h>

#include <errno.h>

static harness h;
static rill_sim *sim;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;

static void
open_world(rill_sim_options options)
{
    options.profile = RILL_SIM_CALM;
    assert_code(rill_sim_new(&options, &sim), 0);
    harness_open_with(&h, RILL_LOOP_OPTIONS(.driver = "sim", .sim = sim));
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.echo = true;
}

static void
close_world(void)
{
    rill_server_abort_clients(server);
    rill_server_close(server);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    harness_close(&h);
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
end_client(endpoint *client)
{
    rill_transport_close(client->t);
    harness_until(&h, endpoint_is_lost, client);
    harness_until(&h, acceptor_is_empty, &accepted);
}

/* Errors of one connection: the listener goes on with the next one. */
static void
test_errors_of_single_connections(void **unused)
{
    static const rill_sim_fault kinds[] = { RILL_SIM_FAULT_ACCEPT_ECONNABORTED,
        RILL_SIM_FAULT_ACCEPT_EPROTO, RILL_SIM_FAULT_ACCEPT_EPERM };

    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        endpoint unlucky, client;
        rill_ns begin;

        open_world(RILL_SIM_OPTIONS(.seed = i + 1));
        harness_catch_reports(&h);
        rill_sim_inject(sim, kinds[i], 1);
        begin = rill_loop_time(h.loop);
        endpoint_init(&unlucky, &h);
        endpoint_init(&client, &h);
        assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                        &endpoint_protocol, &unlucky, endpoint_connected, &unlucky, NULL),
            0);
        assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                        &endpoint_protocol, &client, endpoint_connected, &client, NULL),
            0);
        acceptor_await(&accepted, 1);
        assert_int_equal(rill_sim_fault_count(sim, kinds[i]), 1);
        assert_true(rill_loop_time(h.loop) - begin < RILL_MS); /* No rest for these. */
        assert_true(rill_server_is_serving(server));
        harness_until(&h, endpoint_is_answered, &client);
        harness_until(&h, endpoint_is_answered, &unlucky);
        if (unlucky.t != NULL)
            rill_transport_abort(unlucky.t);
        if (client.t != NULL)
            rill_transport_abort(client.t);
        if (unlucky.made)
            harness_until(&h, endpoint_is_lost, &unlucky);
        if (client.made)
            harness_until(&h, endpoint_is_lost, &client);
        close_world();
    }
}

static void
test_interrupted_accepts(void **unused)
{
    endpoint client;

    (void)unused;
    open_world(RILL_SIM_OPTIONS(.seed = 5));
    rill_sim_inject(sim, RILL_SIM_FAULT_ACCEPT_EINTR, 5);
    connect_to(&h, &addr, &client);
    acceptor_await(&accepted, 1);
    assert_int_equal(rill_transport_write(client.t, "hello", 5), 1);
    endpoint_await(&client, 5);
    end_client(&client);
    close_world();
}

/* Each of the four: one report an episode, at most ten tries a second, who waits is served. */
static void
test_exhaustion(void **unused)
{
    static const struct {
        rill_sim_fault kind;
        int code;
    } rows[] = {
        { RILL_SIM_FAULT_ACCEPT_EMFILE, -EMFILE },
        { RILL_SIM_FAULT_ACCEPT_ENFILE, -ENFILE },
        { RILL_SIM_FAULT_ACCEPT_ENOBUFS, -ENOBUFS },
        { RILL_SIM_FAULT_ACCEPT_ENOMEM, -ENOMEM },
    };

    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        rill_server_stats stats = { .size = sizeof(stats) };
        endpoint client;
        uint64_t tries;
        rill_ns begin;

        open_world(RILL_SIM_OPTIONS(.seed = i + 1));
        harness_catch_reports(&h);
        rill_sim_set_fault(sim, rows[i].kind, 1000000);
        connect_to(&h, &addr, &client);
        harness_run_for(&h, 2 * RILL_S);
        tries = rill_sim_fault_count(sim, rows[i].kind);
        assert_true(tries >= 10 && tries <= 25);
        assert_int_equal(h.reports, 1);
        assert_int_equal(h.report_kind, RILL_ERROR_ACCEPT);
        assert_code(h.report_code, rows[i].code);
        assert_int_equal(accepted.made, 0);

        rill_sim_set_fault(sim, rows[i].kind, 0);
        begin = rill_loop_time(h.loop);
        acceptor_await(&accepted, 1);
        assert_true(rill_loop_time(h.loop) - begin <= RILL_S);
        assert_int_equal(rill_transport_write(client.t, "hello", 5), 1);
        endpoint_await(&client, 5);
        rill_server_get_stats(server, &stats);
        assert_int_equal(stats.exhausted, 1);
        end_client(&client);
        close_world();
    }
}

static void
send_vectors(endpoint *client, size_t a, size_t b, size_t c)
{
    uint8_t bytes[12];
    rill_iovec parts[3] = { { bytes, a }, { bytes + a, b }, { bytes + a + b, c } };
    uint64_t before = client->received;
    uint64_t sum = a + b + c;

    stream_fill(bytes, before, sum);
    assert_int_equal(rill_transport_writev(client->t, parts, 3), 1);
    endpoint_await(client, before + sum);
}

/* Three vectors of up to four bytes each, sent and received so many bytes at a time. */
static void
test_every_short_write(void **unused)
{
    (void)unused;
    for (size_t at_once = 1; at_once <= 12; at_once++) {
        endpoint client;

        open_world(RILL_SIM_OPTIONS(.seed = at_once, .send_bytes_max = at_once,
            .recv_bytes_max = 13 - at_once));
        rill_sim_set_fault(sim, RILL_SIM_FAULT_SEND_AGAIN, 300000);
        rill_sim_set_fault(sim, RILL_SIM_FAULT_RECV_AGAIN, 300000);
        rill_sim_set_fault(sim, RILL_SIM_FAULT_SPURIOUS_READ, 300000);
        rill_sim_set_fault(sim, RILL_SIM_FAULT_SPURIOUS_WRITE, 300000);
        connect_to(&h, &addr, &client);
        acceptor_await(&accepted, 1);
        for (size_t a = 0; a <= 4; a++) {
            for (size_t b = 0; b <= 4; b++) {
                for (size_t c = 0; c <= 4; c++)
                    send_vectors(&client, a, b, c);
            }
        }
        assert_true(client.hash == stream_hash(client.received));
        assert_true(accepted.ends[0].hash == stream_hash(client.received));
        end_client(&client);
        close_world();
    }
}

static void
test_a_timeout_is_exact(void **unused)
{
    endpoint client;
    rill_ns begin;

    (void)unused;
    open_world(RILL_SIM_OPTIONS(.seed = 3));
    assert_code(rill_sim_host(sim, "local", "10.0.0.1"), 0);
    assert_code(rill_sim_host(sim, "far", "10.9.9.9"), 0);
    assert_code(rill_sim_partition(sim, "local", "far", true), 0);
    endpoint_init(&client, &h);
    begin = rill_loop_time(h.loop);
    assert_code(rill_create_connection_start(h.loop,
                    &RILL_CONNECT_OPTIONS(.host = "10.9.9.9", .port = 80, .timeout = 1234567891),
                    &endpoint_protocol, &client, endpoint_connected, &client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, RILL_ETIMEDOUT);
    assert_int_equal(rill_loop_now(h.loop) - begin, 1234567891);
    harness_run_for(&h, 10 * RILL_MS);
    assert_int_equal(rill_sim_descriptors(sim, "local"), 1); /* The listener's alone. */
    close_world();
}

static void
test_a_default_timeout(void **unused)
{
    endpoint client;
    rill_ns begin;

    (void)unused;
    open_world(RILL_SIM_OPTIONS(.seed = 3));
    assert_code(rill_sim_host(sim, "local", "10.0.0.1"), 0);
    assert_code(rill_sim_host(sim, "far", "10.9.9.9"), 0);
    assert_code(rill_sim_partition(sim, "local", "far", true), 0);
    endpoint_init(&client, &h);
    begin = rill_loop_time(h.loop);
    assert_code(
        rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.host = "10.9.9.9", .port = 80),
            &endpoint_protocol, &client, endpoint_connected, &client, NULL),
        0);
    harness_run_for(&h, 29 * RILL_S);
    assert_false(client.connected_called);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, RILL_ETIMEDOUT);
    assert_int_equal(rill_loop_now(h.loop) - begin, 30 * RILL_S);
    close_world();
}

static void
test_idle_and_stall_are_exact(void **unused)
{
    endpoint client;
    rill_ns begin;

    (void)unused;
    open_world(RILL_SIM_OPTIONS(.seed = 8));
    connect_to(&h, &addr, &client);
    acceptor_await(&accepted, 1);
    begin = rill_loop_time(h.loop);
    assert_code(rill_transport_set_timeout(client.t, RILL_TIMEOUT_IDLE, 5 * RILL_S), 0);
    harness_run_for(&h, 3 * RILL_S);
    assert_int_equal(rill_transport_write(client.t, "x", 1), 1); /* Counts from here again. */
    harness_until(&h, endpoint_is_lost, &client);
    assert_code(client.why.code, RILL_EIDLE);
    assert_true(client.lost_at - begin >= 8 * RILL_S);
    assert_true(client.lost_at - begin < 8 * RILL_S + RILL_MS);

    connect_to(&h, &addr, &client);
    acceptor_await(&accepted, 2);
    rill_transport_pause_reading(accepted.ends[1].t);
    (void)endpoint_fill(&client);
    harness_settle(&h);
    begin = rill_loop_time(h.loop);
    assert_code(rill_transport_set_timeout(client.t, RILL_TIMEOUT_STALL, 7 * RILL_S), 0);
    harness_until(&h, endpoint_is_lost, &client);
    assert_code(client.why.code, RILL_ESTALLED);
    assert_int_equal(client.lost_at - begin, 7 * RILL_S);
    close_world();
}

/* A reset at some byte: what was delivered is a true beginning, and the loss is told once. */
static void
test_resets_in_the_stream(void **unused)
{
    uint64_t resets = 0;

    (void)unused;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        endpoint client;

        open_world(RILL_SIM_OPTIONS(.seed = seed));
        rill_sim_set_fault(sim, RILL_SIM_FAULT_RESET, 500000);
        connect_to(&h, &addr, &client);
        acceptor_await(&accepted, 1);
        for (uint64_t i = 0; i < 20 && !client.lost; i++) {
            uint64_t before = client.received;

            (void)endpoint_send_stream(&client, before, 1000);
            for (int k = 0; k < 100 && client.received < before + 1000 && !client.lost; k++)
                harness_run_for(&h, 100 * RILL_MS);
        }
        assert_true(client.hash == stream_hash(client.received));
        resets += rill_sim_fault_count(sim, RILL_SIM_FAULT_RESET);
        rill_sim_heal(sim);
        if (client.t != NULL)
            rill_transport_close(client.t);
        harness_until(&h, endpoint_is_lost, &client);
        close_world();
    }
    assert_true(resets > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_of_single_connections),
        cmocka_unit_test(test_interrupted_accepts),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_every_short_write),
        cmocka_unit_test(test_a_timeout_is_exact),
        cmocka_unit_test(test_a_default_timeout),
        cmocka_unit_test(test_idle_and_stall_are_exact),
        cmocka_unit_test(test_resets_in_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
