/*
 * Connections that were accepted elsewhere: a server takes them as its own, with its limits, its
 * numbers and its drain, with sockets and without.
 */
/* drivers: epoll uring */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static harness h;
static acceptor accepted;
static bool closed;
static size_t drained, aborted;

static void
on_closed(rill_server *server, void *arg)
{
    (void)server;
    (void)arg;
    closed = true;
}

static void
on_drained(void *arg, size_t count)
{
    (void)arg;
    drained++;
    aborted = count;
}

static int
setup(void **unused)
{
    (void)unused;
    closed = false;
    drained = aborted = 0;
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

static rill_server *
serve_without_socket(rill_server_options options)
{
    rill_server *server;

    options.no_socket = 1;
    options.closed = on_closed;
    assert_code(rill_create_server(h.loop, &options, &acceptor_protocol, &accepted, &server), 0);
    return server;
}

/* The server's end is adopted; the other one is returned. */
static int
adopt_one(rill_server *server)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_code(rill_server_adopt(server, ends[0]), 0);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    return ends[1];
}

static rill_server_stats
stats_of(const rill_server *server)
{
    rill_server_stats stats = { .size = sizeof(stats) };

    rill_server_get_stats(server, &stats);
    return stats;
}

static void
count_transports(rill_transport *t, void *arg)
{
    (void)t;
    (*(size_t *)arg)++;
}

static void
test_a_server_without_sockets(void **unused)
{
    rill_server *server = serve_without_socket(RILL_SERVER_OPTIONS());
    size_t counted = 0;
    int fds[3];

    (void)unused;
    assert_int_equal(rill_server_socket_count(server), 0);
    assert_true(rill_server_is_serving(server));
    for (size_t i = 0; i < 3; i++)
        fds[i] = adopt_one(server);
    assert_int_equal(stats_of(server).live, 3);
    assert_int_equal(accepted.made, 0); /* In the next turn. */
    acceptor_await(&accepted, 3);
    assert_int_equal(stats_of(server).accepted, 3);
    rill_server_each(server, count_transports, &counted);
    assert_int_equal(counted, 3);
    assert_int_equal(send(fds[1], "hello", 5, 0), 5);
    endpoint_await(&accepted.ends[1], 5);

    /* One ends, one stays: the drain waits for it, then aborts it. */
    close(fds[0]);
    close(fds[1]);
    assert_code(rill_server_drain_start(server, 300 * RILL_MS, on_drained, NULL), 0);
    assert_code(rill_server_adopt(server, fds[2]), RILL_ECLOSED);
    harness_until(&h, flag_is_set, &closed);
    assert_int_equal(drained, 1);
    assert_int_equal(aborted, 1);
    assert_int_equal(accepted.lost, 3);
    close(fds[2]);
}

static void
test_limits(void **unused)
{
    rill_server *server = serve_without_socket(RILL_SERVER_OPTIONS(.connections_max = 2));
    int ends[2], first = adopt_one(server), second = adopt_one(server);

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_code(rill_server_adopt(server, ends[0]), RILL_ELIMIT);
    expect_last_error(&h, RILL_ELIMIT, "2 connections");
    assert_true(fcntl(ends[0], F_GETFD) >= 0); /* Still ours. */
    acceptor_await(&accepted, 2);
    close(first);
    harness_until(&h, endpoint_is_lost, &accepted.ends[0]);
    assert_code(rill_server_adopt(server, ends[0]), 0);
    acceptor_await(&accepted, 3);
    assert_int_equal(stats_of(server).accepted, 3);
    assert_int_equal(stats_of(server).refused, 0);
    rill_server_close(server);
    close(second);
    close(ends[1]);
    harness_until(&h, flag_is_set, &closed);
}

/* Connections of its own and others count together. */
static void
test_a_server_with_sockets(void **unused)
{
    rill_addr addr;
    rill_server *server = serve(&h,
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .connections_per_peer_max = 2), &accepted, &addr);
    endpoint client;
    int fds[2], listener = rill_server_fd(server, 0);

    (void)unused;
    endpoint_init(&client, &h);
    connect_to(&h, &addr, &client);
    for (size_t i = 0; i < 2; i++) { /* Accepted elsewhere. */
        int fd, other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        rill_loop_step(h.loop, 0);
        assert_int_equal(connect(other, (struct sockaddr *)(void *)addr.storage, addr.len), 0);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_code(rill_server_adopt(server, fd), i == 0 ? 0 : RILL_ELIMIT);
        if (i == 1)
            close(fd);
        fds[i] = other;
    }
    acceptor_await(&accepted, 2);
    assert_int_equal(stats_of(server).live, 2);
    assert_int_equal(stats_of(server).refused, 1);
    rill_transport_close(client.t);
    close(fds[0]);
    close(fds[1]);
    rill_server_close(server);
    harness_until(&h, acceptor_is_empty, &accepted);
}

static void
test_what_is_no_connection(void **unused)
{
    rill_server *server = serve_without_socket(RILL_SERVER_OPTIONS());
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), other = adopt_one(server);
    int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)unused;
    assert_code(rill_server_adopt(server, -1), RILL_EINVAL);
    assert_code(rill_server_adopt(server, 9999), RILL_EINVAL);
    assert_code(rill_server_adopt(server, udp), RILL_EINVAL);
    assert_code(rill_server_adopt(server, fresh), RILL_EINVAL);
    acceptor_await(&accepted, 1);
    assert_code(rill_server_adopt(server, rill_transport_fd(accepted.ends[0].t)), -EEXIST);
    assert_int_equal(stats_of(server).live, 1);
    close(udp);
    close(fresh);
    close(other);
    rill_server_close(server);
    harness_until(&h, flag_is_set, &closed);
}

static void
test_places_exclude_each_other(void **unused)
{
    rill_server *server = NULL;

    (void)unused;
    assert_code(
        rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .no_socket = 1),
            &acceptor_protocol, &accepted, &server),
        RILL_EINVAL);
    assert_null(server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_server_without_sockets),
        CASE(test_limits),
        CASE(test_a_server_with_sockets),
        CASE(test_what_is_no_connection),
        CASE(test_places_exclude_each_other),
    };

    return run_cases(tests);
}
