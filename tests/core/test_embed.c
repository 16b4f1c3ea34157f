/*
 * The loop inside a foreign one: a descriptor to wait on, a time to wait for, steps without
 * waiting.
 */
/* drivers: epoll uring */
#include "endpoint.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

static harness h;

static int
setup(void **unused)
{
    (void)unused;
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

static bool
is_readable(int timeout_ms)
{
    struct pollfd event = { .fd = rill_loop_backend_fd(h.loop), .events = POLLIN };

    assert_true(event.fd >= 0);
    return poll(&event, 1, timeout_ms) == 1;
}

/* What a foreign loop does, and nothing else: never rill_loop_run. */
static void
foreign_loop(bool (*until)(void *arg), void *arg)
{
    rill_ns deadline = rill_loop_time(h.loop) + HARNESS_PATIENCE;

    while (!until(arg)) {
        rill_ns next = rill_loop_next_timeout(h.loop);
        int timeout_ms = next == RILL_NEVER ? 10000 : (int)((next + RILL_MS - 1) / RILL_MS);

        assert_true(rill_loop_time(h.loop) < deadline);
        (void)is_readable(timeout_ms);
        assert_true(rill_loop_step(h.loop, 0) >= 0);
    }
}

static void
set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void
test_an_idle_loop_is_silent(void **unused)
{
    (void)unused;
    assert_int_equal(rill_loop_step(h.loop, 0), 0);
    assert_false(is_readable(0));
    assert_int_equal(rill_loop_next_timeout(h.loop), RILL_NEVER);
}

static void
test_timers_in_a_foreign_loop(void **unused)
{
    rill_ns start = rill_loop_time(h.loop);
    bool fired = false;

    (void)unused;
    assert_code(rill_call_later(h.loop, 20 * RILL_MS, set_flag, &fired, NULL), 0);
    foreign_loop(flag_is_set, &fired);
    assert_true(rill_loop_time(h.loop) >= start + 20 * RILL_MS);
}

static void
test_connections_in_a_foreign_loop(void **unused)
{
    static acceptor server;
    endpoint client;
    rill_addr addr;
    rill_server *listener;

    (void)unused;
    listener = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &server, &addr);
    server.like.echo = true;
    endpoint_init(&client, &h);
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &client, endpoint_connected, &client, NULL),
        0);
    foreign_loop(endpoint_is_answered, &client);
    assert_int_equal(client.connected_code, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(rill_transport_write(client.t, "0123456789", 10), 1);
        while (client.received < 10 * i) {
            assert_true(is_readable(5000));
            assert_true(rill_loop_step(h.loop, 0) >= 0);
        }
    }
    rill_transport_close(client.t);
    foreign_loop(endpoint_is_lost, &client);
    foreign_loop(acceptor_is_empty, &server);
    rill_server_close(listener);
    while (rill_loop_step(h.loop, 0) > 0) {
    }
}

static void *
post_flag(void *arg)
{
    if (rill_call_soon_threadsafe(h.loop, set_flag, arg) != 0)
        abort();
    return NULL;
}

static void
test_posts_wake_a_foreign_loop(void **unused)
{
    pthread_t thread;
    bool came = false;

    (void)unused;
    for (int i = 0; i < 50; i++) {
        came = false;
        while (rill_loop_step(h.loop, 0) > 0) {
        }
        assert_int_equal(pthread_create(&thread, NULL, post_flag, &came), 0);
        assert_true(is_readable(10000));
        foreign_loop(flag_is_set, &came);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(rill_loop_step(h.loop, 0), 0);
    assert_false(is_readable(0)); /* Taken: no busy loop afterwards. */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_idle_loop_is_silent),
        CASE(test_timers_in_a_foreign_loop),
        CASE(test_connections_in_a_foreign_loop),
        CASE(test_posts_wake_a_foreign_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
