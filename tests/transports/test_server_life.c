/*
 * The life of a server: whom it accepts, limits, and every way to close it.
 */
#include "peer.h"

static harness h;
static acceptor accepted;

static int
setup(void **unused)
{
    (void)unused;
    acceptor_init(&accepted, &h);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    return 0;
}

static void
set_gone(rill_server *server, void *arg)
{
    (void)server;
    *(bool *)arg = true;
    harness_poke(&h);
}

static void
test_close_keeps_connections(void **unused)
{
    rill_server *server;
    static peer p;
    bool gone = false;
    rill_addr addr;

    (void)unused;
    server = serve(&h,
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .closed = set_gone, .closed_arg = &gone),
        &accepted, &addr);
    accepted.like.echo = true;
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 1);
    rill_server_close(server);
    rill_server_close(server);
    harness_settle(&h);
    assert_false(gone);
    peer_send(&p, "still here", 10);
    peer_await(&p, 10);
    assert_memory_equal(p.bytes, "still here", 10);
    peer_close(&p);
    harness_until(&h, flag_is_set, &gone);
    assert_int_equal(accepted.lost, 1);
    assert_string_equal(accepted.ends[0].tape, "made data(10) eof lost(RILL_EOF)");
}

static void
test_closed_without_connections(void **unused)
{
    rill_server *server;
    bool gone = false;

    (void)unused;
    server = serve(&h,
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .closed = set_gone, .closed_arg = &gone),
        &accepted, NULL);
    harness_settle(&h);
    assert_false(gone);
    rill_server_close(server);
    assert_false(gone); /* Never inside a call. */
    harness_until(&h, flag_is_set, &gone);
}

/* Who was in the backlog has been promised a connection: it is accepted before the socket goes. */
static void
test_close_accepts_the_backlog_first(void **unused)
{
    static peer peers[3];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.echo = true;
    for (size_t i = 0; i < 3; i++) {
        peer_connect_start(&peers[i], &h, &addr);
        assert_true(peer_is_connected(&peers[i]));
        peer_send(&peers[i], "hello", 5);
    }
    assert_int_equal(accepted.made, 0);
    rill_server_close(server);
    for (size_t i = 0; i < 3; i++) {
        peer_await(&peers[i], 5);
        peer_close(&peers[i]);
    }
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_int_equal(accepted.made, 3);
}

static void
test_close_clients(void **unused)
{
    static peer peers[3];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    for (size_t i = 0; i < 3; i++)
        peer_connect(&peers[i], &h, &addr);
    acceptor_await(&accepted, 3);
    rill_server_close_clients(server);
    assert_int_equal(accepted.lost, 0);
    harness_until(&h, acceptor_is_empty, &accepted);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(accepted.ends[i].tape, "made lost(0)");
        harness_until(&h, peer_has_eof, &peers[i]);
        peer_close(&peers[i]);
    }
    assert_true(rill_server_is_serving(server));
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    end_server(&h, &accepted, server);
}

static void
test_abort_clients_with_full_queues(void **unused)
{
    static peer p;
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    peer_connect(&p, &h, &addr);
    peer_stop_reading(&p);
    acceptor_await(&accepted, 1);
    (void)endpoint_fill(&accepted.ends[0]);
    rill_server_abort_clients(server);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_code(accepted.ends[0].why.code, RILL_EABORTED);
    peer_read_on(&p);
    harness_until(&h, peer_has_end, &p);
    peer_close(&p);
    end_server(&h, &accepted, server);
}

static size_t visited;

static void
visit(rill_transport *t, void *arg)
{
    visited++;
    if (arg != NULL && visited == 1)
        rill_transport_abort(t);
    else if (arg != NULL)
        rill_transport_close(t);
}

static void
test_each(void **unused)
{
    static peer peers[3];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    visited = 0;
    rill_server_each(server, visit, NULL);
    assert_int_equal(visited, 0);
    for (size_t i = 0; i < 3; i++)
        peer_connect(&peers[i], &h, &addr);
    acceptor_await(&accepted, 3);
    rill_server_each(server, visit, NULL);
    assert_int_equal(visited, 3);
    visited = 0;
    rill_server_each(server, visit, &visited);
    assert_int_equal(visited, 3);
    harness_until(&h, acceptor_is_empty, &accepted);
    visited = 0;
    rill_server_each(server, visit, NULL);
    assert_int_equal(visited, 0);
    for (size_t i = 0; i < 3; i++)
        peer_close(&peers[i]);
    end_server(&h, &accepted, server);
}

static struct {
    bool done;
    size_t aborted;
    bool server_was_gone;
} drained;

static bool server_gone;

static void
note_drained(void *arg, size_t aborted)
{
    (void)arg;
    assert_false(drained.done);
    drained.done = true;
    drained.aborted = aborted;
    drained.server_was_gone = server_gone;
    harness_poke(&h);
}

static rill_server *
serve_to_drain(size_t connections, peer *peers)
{
    rill_server *server;
    rill_addr addr;

    memset(&drained, 0, sizeof(drained));
    server_gone = false;
    server = serve(&h,
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .closed = set_gone, .closed_arg = &server_gone),
        &accepted, &addr);
    for (size_t i = 0; i < connections; i++)
        peer_connect(&peers[i], &h, &addr);
    acceptor_await(&accepted, connections);
    return server;
}

static void
test_drain_waits_for_connections(void **unused)
{
    static peer peers[2];
    rill_server *server = serve_to_drain(2, peers);

    (void)unused;
    assert_code(rill_server_drain_start(server, RILL_NEVER, NULL, NULL), RILL_EINVAL);
    assert_code(rill_server_drain_start(server, RILL_NEVER, note_drained, NULL), 0);
    assert_code(rill_server_drain_start(server, RILL_NEVER, note_drained, NULL), RILL_EBUSY);
    assert_false(rill_server_is_serving(server));
    harness_settle(&h);
    assert_false(drained.done);
    peer_close(&peers[0]);
    harness_settle(&h);
    assert_false(drained.done);
    peer_close(&peers[1]);
    harness_until(&h, flag_is_set, &server_gone);
    assert_true(drained.done);
    assert_int_equal(drained.aborted, 0);
    assert_false(drained.server_was_gone);
}

static void
test_drain_aborts_at_its_deadline(void **unused)
{
    static peer peers[3];
    rill_server *server = serve_to_drain(3, peers);
    rill_ns start = rill_loop_time(h.loop);

    (void)unused;
    assert_code(rill_server_drain_start(server, 30 * RILL_MS, note_drained, NULL), 0);
    peer_close(&peers[0]);
    harness_until(&h, flag_is_set, &server_gone);
    assert_true(rill_loop_time(h.loop) >= start + 30 * RILL_MS);
    assert_true(drained.done);
    assert_int_equal(drained.aborted, 2);
    assert_int_equal(accepted.lost, 3);
    assert_code(accepted.ends[1].why.code, RILL_EABORTED);
    assert_code(accepted.ends[2].why.code, RILL_EABORTED);
    harness_until(&h, peer_has_end, &peers[1]);
    peer_close(&peers[1]);
    peer_close(&peers[2]);
}

static void
test_drain_of_nobody(void **unused)
{
    rill_server *server = serve_to_drain(0, NULL);

    (void)unused;
    assert_code(rill_server_drain_start(server, RILL_S, note_drained, NULL), 0);
    assert_false(drained.done);
    harness_until(&h, flag_is_set, &server_gone);
    assert_true(drained.done);
    assert_int_equal(drained.aborted, 0);
}

static void
test_drain_after_close(void **unused)
{
    static peer p;
    rill_server *server = serve_to_drain(1, &p);

    (void)unused;
    rill_server_close(server);
    harness_settle(&h);
    assert_false(server_gone); /* The connection keeps it. */
    assert_code(rill_server_drain_start(server, RILL_NEVER, note_drained, NULL), 0);
    peer_close(&p);
    harness_until(&h, flag_is_set, &server_gone);
    assert_true(drained.done);
}

static rill_server_stats
stats_of(rill_server *server)
{
    rill_server_stats stats = { .size = sizeof(stats) };

    rill_server_get_stats(server, &stats);
    return stats;
}

static bool
four_alive(void *server)
{
    return stats_of(server).live == 4;
}

/* The rest waits in the kernel's backlog, unhurt, until there is room. */
static void
test_limit_of_connections(void **unused)
{
    static peer peers[6];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .connections_max = 4), &accepted, &addr);
    accepted.like.echo = true;
    for (size_t i = 0; i < 6; i++)
        peer_connect(&peers[i], &h, &addr);
    harness_until(&h, four_alive, server);
    harness_settle(&h);
    assert_int_equal(accepted.made, 4);
    for (size_t i = 4; i < 6; i++) {
        peer_send(&peers[i], "me too", 6);
        assert_false(peer_has_end(&peers[i]));
    }
    for (size_t i = 0; i < 2; i++)
        peer_close(&peers[i]);
    acceptor_await(&accepted, 6);
    peer_await(&peers[4], 6);
    peer_await(&peers[5], 6);
    assert_int_equal(stats_of(server).accepted, 6);
    assert_int_equal(stats_of(server).refused, 0);
    for (size_t i = 2; i < 6; i++)
        peer_close(&peers[i]);
    harness_until(&h, acceptor_is_empty, &accepted);
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    end_server(&h, &accepted, server);
}

static void
test_limit_per_peer(void **unused)
{
    static peer peers[4];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .connections_per_peer_max = 2),
        &accepted, &addr);
    for (size_t i = 0; i < 3; i++)
        peer_connect(&peers[i], &h, &addr);
    harness_until(&h, peer_has_end, &peers[2]);
    assert_int_equal(accepted.made, 2);
    assert_int_equal(stats_of(server).refused, 1);
    assert_int_equal(stats_of(server).live, 2);
    assert_false(peer_has_end(&peers[0]));
    peer_close(&peers[0]);
    harness_run_for(&h, 5 * RILL_MS);
    peer_connect(&peers[3], &h, &addr);
    acceptor_await(&accepted, 3);
    for (size_t i = 1; i < 4; i++)
        peer_close(&peers[i]);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_int_equal(stats_of(server).live, 0);
    end_server(&h, &accepted, server);
}

/* A backlog of 0 still accepts, and one event serves many. */
static void
test_backlog_and_batches(void **unused)
{
    static peer peers[40];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .backlog = 1), &accepted, &addr);
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    end_server(&h, &accepted, server);

    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .accepts_per_turn = 3), &accepted, &addr);
    for (size_t i = 0; i < 40; i++)
        peer_connect_start(&peers[i], &h, &addr);
    acceptor_await(&accepted, 40);
    for (size_t i = 0; i < 40; i++) {
        harness_until(&h, peer_is_connected, &peers[i]);
        peer_close(&peers[i]);
    }
    harness_until(&h, acceptor_is_empty, &accepted);
    end_server(&h, &accepted, server);
}

static void
test_accepts_per_turn(void **unused)
{
    static peer peers[10];
    size_t largest = 0, before = 0;
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .accepts_per_turn = 3), &accepted, &addr);
    for (size_t i = 0; i < 10; i++) {
        peer_connect_start(&peers[i], &h, &addr);
        assert_true(peer_is_connected(&peers[i]));
    }
    for (int i = 0; i < 40; i++) {
        assert_true(harness_turn(&h) >= 0);
        if (accepted.made - before > largest)
            largest = accepted.made - before;
        before = accepted.made;
    }
    assert_int_equal(accepted.made, 10);
    assert_int_equal(largest, 3);
    for (size_t i = 0; i < 10; i++)
        peer_close(&peers[i]);
    harness_until(&h, acceptor_is_empty, &accepted);
    end_server(&h, &accepted, server);
}

/* A turn that accepts many does not keep other connections waiting (at most two turns). */
static void
test_an_accept_storm_is_fair(void **unused)
{
    static peer peers[500], old;
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .backlog = 500), &accepted, &addr);
    accepted.like.echo = true;
    peer_connect(&old, &h, &addr);
    acceptor_await(&accepted, 1);
    harness_settle(&h);
    for (size_t i = 0; i < 500; i++)
        peer_connect_start(&peers[i], &h, &addr);
    peer_send(&old, "ping", 4);
    harness_turn(&h);
    harness_turn(&h);
    harness_turn(&h);
    assert_true(peer_has_end(&old) || old.received == 4);
    acceptor_await(&accepted, 501);
    for (size_t i = 0; i < 500; i++)
        peer_close(&peers[i]);
    peer_close(&old);
    harness_until(&h, acceptor_is_empty, &accepted);
    end_server(&h, &accepted, server);
}

static rill_server *closing;

static void
close_server_in_made(endpoint *e)
{
    (void)e;
    rill_server_close(closing);
}

static void
test_close_in_connection_made(void **unused)
{
    static peer p;
    rill_addr addr;

    (void)unused;
    closing = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.on_made = close_server_in_made;
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 1);
    peer_close(&p);
    harness_until(&h, acceptor_is_empty, &accepted);
    serves_not(&h, "127.0.0.1", rill_addr_port(&addr));
}

static void
abort_all_in_lost(endpoint *e)
{
    (void)e;
    rill_server_abort_clients(closing);
    rill_server_close(closing);
}

static void
test_close_in_connection_lost(void **unused)
{
    static peer peers[3];
    rill_addr addr;

    (void)unused;
    closing = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.on_lost = abort_all_in_lost;
    for (size_t i = 0; i < 3; i++)
        peer_connect(&peers[i], &h, &addr);
    acceptor_await(&accepted, 3);
    peer_close(&peers[1]);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    peer_close(&peers[0]);
    peer_close(&peers[2]);
}

static void
test_info_of_accepted_connections(void **unused)
{
    rill_transport_info info = { .size = sizeof(info) };
    endpoint client;
    rill_server *server;
    rill_addr addr, mine, peers;
    char text[300];

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    connect_to(&h, &addr, &client);
    acceptor_await(&accepted, 1);
    rill_transport_get_info(accepted.ends[0].t, &info);
    assert_string_equal(info.kind, "tcp");
    assert_ptr_equal(info.server, server);
    assert_contains(info.site, "endpoint.c:");
    rill_transport_get_info(client.t, &info);
    assert_null(info.server);
    assert_code(rill_transport_sockname(accepted.ends[0].t, &mine), 0);
    assert_true(rill_addr_equal(&mine, &addr));
    assert_code(rill_transport_peername(accepted.ends[0].t, &peers), 0);
    assert_code(rill_transport_sockname(client.t, &mine), 0);
    assert_true(rill_addr_equal(&mine, &peers));
    rill_transport_describe(client.t, text, sizeof(text));
    assert_contains(text, "<tcp 127.0.0.1:");
    assert_contains(text, "reading");
    assert_contains(text, "queued=0");
    rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    end_server(&h, &accepted, server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_close_keeps_connections),
        CASE(test_closed_without_connections),
        CASE_ON("kernel", test_close_accepts_the_backlog_first),
        CASE(test_close_clients),
        CASE(test_abort_clients_with_full_queues),
        CASE(test_each),
        CASE(test_drain_waits_for_connections),
        CASE(test_drain_aborts_at_its_deadline),
        CASE(test_drain_of_nobody),
        CASE(test_drain_after_close),
        CASE(test_limit_of_connections),
        CASE(test_limit_per_peer),
        CASE(test_backlog_and_batches),
        CASE_ON("kernel", test_accepts_per_turn),
        CASE_ON("kernel", test_an_accept_storm_is_fair),
        CASE(test_close_in_connection_made),
        CASE(test_close_in_connection_lost),
        CASE(test_info_of_accepted_connections),
    };

    return run_cases(tests);
}
