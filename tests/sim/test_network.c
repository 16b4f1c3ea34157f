/*
 * The simulated network, seen by scripted peers alone: time, links, partitions, handshakes,
 * windows, and how connections end. Times are exact.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rill/sim.h>

typedef struct fixture {
    rill_sim *sim;
    rill_sim_peer *listener;
    rill_sim_peer *client;
    rill_sim_peer *server;
} fixture;

static int
setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(
        rill_sim_new(&RILL_SIM_OPTIONS(.seed = 7, .profile = RILL_SIM_CALM), &f->sim), 0);
    assert_int_equal(rill_sim_host(f->sim, "app", "10.0.0.1"), 0);
    assert_int_equal(rill_sim_host(f->sim, "db", "10.0.0.2"), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    fixture *f = *state;

    assert_int_equal(rill_sim_free(f->sim), 0);
    free(f);
    return 0;
}

static void
set_latency(fixture *f, rill_ns latency)
{
    assert_int_equal(
        rill_sim_link(f->sim, "app", "db", &RILL_SIM_LINK_OPTIONS(.latency = latency)), 0);
}

static void
connect_peers(fixture *f)
{
    assert_int_equal(rill_sim_listen(f->sim, "db", "10.0.0.2:7000", 16, &f->listener), 0);
    assert_int_equal(rill_sim_dial(f->sim, "app", "db:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
    assert_int_equal(rill_sim_peer_get_state(f->client), RILL_SIM_PEER_OPEN);
}

static void
expect_bytes(rill_sim_peer *peer, const char *text)
{
    char buf[256];
    size_t len = rill_sim_peer_take(peer, buf, sizeof(buf));

    assert_int_equal(len, strlen(text));
    assert_memory_equal(buf, text, len);
}

static void
feed(rill_sim_peer *peer, const char *text)
{
    assert_int_equal(rill_sim_peer_feed(peer, text, strlen(text)), 0);
}

static bool
client_settled(void *arg)
{
    return rill_sim_peer_get_state(((fixture *)arg)->client) != RILL_SIM_PEER_CONNECTING;
}

static bool
client_failed(void *arg)
{
    return rill_sim_peer_get_state(((fixture *)arg)->client) == RILL_SIM_PEER_FAILED;
}

static bool
server_has_bytes(void *arg)
{
    return rill_sim_peer_bytes_in(((fixture *)arg)->server) > 0;
}

/* ---- handshakes ---- */

static void
test_names(void **state)
{
    fixture *f = *state;
    char text[RILL_ADDR_TEXT];
    rill_addr a;
    rill_addr b;

    connect_peers(f);
    assert_int_equal(rill_sim_peer_peername(f->client, &a), 0);
    assert_string_equal(rill_addr_format(&a, text, sizeof(text)), "10.0.0.2:7000");
    assert_int_equal(rill_sim_peer_sockname(f->client, &a), 0);
    assert_int_equal(rill_sim_peer_peername(f->server, &b), 0);
    assert_true(rill_addr_equal(&a, &b));
    assert_non_null(strstr(rill_addr_format(&a, text, sizeof(text)), "10.0.0.1:"));
    assert_int_equal(rill_sim_peer_sockname(f->listener, &a), 0);
    assert_string_equal(rill_addr_format(&a, text, sizeof(text)), "10.0.0.2:7000");
}

/* SYN and SYN-ACK: a connect takes one round trip, and accept half a one more. */
static void
test_connect_takes_a_round_trip(void **state)
{
    fixture *f = *state;
    rill_ns start = rill_sim_now(f->sim);

    set_latency(f, 40 * RILL_MS);
    assert_int_equal(rill_sim_listen(f->sim, "db", "10.0.0.2:7000", 16, &f->listener), 0);
    assert_int_equal(rill_sim_dial(f->sim, "app", "10.0.0.2:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_S), 0);
    assert_int_equal(rill_sim_now(f->sim) - start, 80 * RILL_MS);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), -EAGAIN);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_now(f->sim) - start, 120 * RILL_MS);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
}

static void
test_refused(void **state)
{
    fixture *f = *state;
    rill_ns start = rill_sim_now(f->sim);

    set_latency(f, 40 * RILL_MS);
    assert_int_equal(rill_sim_dial(f->sim, "app", "db:1", &f->client), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_S), 0);
    assert_int_equal(rill_sim_peer_get_state(f->client), RILL_SIM_PEER_FAILED);
    assert_int_equal(rill_sim_peer_error(f->client), -ECONNREFUSED);
    assert_int_equal(rill_sim_now(f->sim) - start, 80 * RILL_MS);
    assert_int_equal(rill_sim_peer_feed(f->client, "x", 1), RILL_ECLOSED);
}

/* Nobody has the address: nobody answers. */
static void
test_no_such_host(void **state)
{
    fixture *f = *state;
    rill_ns start = rill_sim_now(f->sim);

    assert_int_equal(rill_sim_dial(f->sim, "app", "10.9.9.9:80", &f->client), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ETIMEDOUT);
    assert_int_equal(rill_sim_now(f->sim) - start, 127 * RILL_S);
    assert_int_equal(rill_sim_dial(f->sim, "app", "[fd00::9]:80", &f->client), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ENETUNREACH); /* It has no IPv6 address. */
}

static void
test_ipv6_between_hosts(void **state)
{
    fixture *f = *state;
    char text[RILL_ADDR_TEXT];
    rill_addr addr;

    assert_int_equal(rill_sim_host(f->sim, "app", "fd00::1"), 0);
    assert_int_equal(rill_sim_host(f->sim, "db", "fd00::2"), 0);
    assert_int_equal(rill_sim_host(f->sim, "db", "fd00::2"), -EADDRINUSE);
    assert_int_equal(rill_sim_listen(f->sim, "db", "[::]:7000", 4, &f->listener), 0);
    assert_int_equal(rill_sim_dial(f->sim, "app", "[fd00::2]:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
    assert_int_equal(rill_sim_peer_peername(f->server, &addr), 0);
    assert_non_null(strstr(rill_addr_format(&addr, text, sizeof(text)), "[fd00::1]:"));
}

/* A wildcard listener is reached at every address of its host, and at no other host. */
static void
test_wildcard(void **state)
{
    fixture *f = *state;
    static const char *const addresses[] = { "127.0.0.1:7000", "10.0.0.2:7000", "127.8.9.1:7000" };

    assert_int_equal(rill_sim_listen(f->sim, "db", "0.0.0.0:7000", 4, &f->listener), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rill_sim_dial(f->sim, "db", addresses[i], &f->client), 0);
        assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
        assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
    }
    assert_int_equal(rill_sim_dial(f->sim, "app", "127.0.0.1:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ECONNREFUSED);
}

/* A backlog of 1 takes two; the third is tried again after a second, and let in when there is room.
 * */
static void
test_backlog(void **state)
{
    fixture *f = *state;
    rill_sim_peer *clients[3];
    rill_ns start = rill_sim_now(f->sim);

    assert_int_equal(rill_sim_listen(f->sim, "db", "10.0.0.2:7000", 1, &f->listener), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rill_sim_dial(f->sim, "app", "db:7000", &clients[i]), 0);
    assert_int_equal(rill_sim_run_for(f->sim, 900 * RILL_MS), 0);
    assert_int_equal(rill_sim_peer_get_state(clients[1]), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_peer_get_state(clients[2]), RILL_SIM_PEER_CONNECTING);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
    f->client = clients[2];
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_get_state(clients[2]), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_now(f->sim) - start, RILL_S);
}

static void
test_connect_gives_up(void **state)
{
    fixture *f = *state;
    rill_ns start = rill_sim_now(f->sim);

    assert_int_equal(rill_sim_listen(f->sim, "db", "10.0.0.2:7000", 16, &f->listener), 0);
    assert_int_equal(rill_sim_partition(f->sim, "app", "db", true), 0);
    assert_int_equal(rill_sim_dial(f->sim, "app", "db:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ETIMEDOUT);
    assert_int_equal(rill_sim_now(f->sim) - start, 127 * RILL_S);
}

static void
test_lifted_before_the_third_syn(void **state)
{
    fixture *f = *state;
    rill_ns start = rill_sim_now(f->sim);

    assert_int_equal(rill_sim_listen(f->sim, "db", "10.0.0.2:7000", 16, &f->listener), 0);
    assert_int_equal(rill_sim_partition(f->sim, "db", "app", false), 0); /* Only the answers. */
    assert_int_equal(rill_sim_dial(f->sim, "app", "db:7000", &f->client), 0);
    assert_int_equal(rill_sim_run_for(f->sim, 2 * RILL_S), 0);
    assert_int_equal(rill_sim_peer_get_state(f->client), RILL_SIM_PEER_CONNECTING);
    assert_int_equal(rill_sim_lift(f->sim, "app", "db"), 0);
    assert_int_equal(rill_sim_run_until(f->sim, client_settled, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_get_state(f->client), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_now(f->sim) - start, 3 * RILL_S);
}

/* ---- links ---- */

static void
test_latency_is_one_way(void **state)
{
    fixture *f = *state;
    rill_ns start;

    connect_peers(f);
    set_latency(f, 25 * RILL_MS);
    start = rill_sim_now(f->sim);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_until(f->sim, server_has_bytes, f, RILL_S), 0);
    assert_int_equal(rill_sim_now(f->sim) - start, 25 * RILL_MS);
    expect_bytes(f->server, "hello");
}

static void
test_bandwidth(void **state)
{
    fixture *f = *state;
    uint8_t *data = calloc(1, 1000000);
    rill_ns start;

    assert_non_null(data);
    connect_peers(f);
    assert_int_equal(rill_sim_link(f->sim, "app", "db",
                         &RILL_SIM_LINK_OPTIONS(.latency = RILL_MS, .bandwidth = 1000000)),
        0);
    start = rill_sim_now(f->sim);
    assert_int_equal(rill_sim_peer_feed(f->client, data, 1000000), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 1000000);
    /* A second for the bytes, and at most a round trip for each window of 128 KiB. */
    assert_true(rill_sim_now(f->sim) - start >= RILL_S);
    assert_true(rill_sim_now(f->sim) - start <= RILL_S + 40 * RILL_MS);
    free(data);
}

static void
test_jitter_keeps_order(void **state)
{
    fixture *f = *state;
    uint8_t byte;

    connect_peers(f);
    assert_int_equal(rill_sim_link(f->sim, "app", "db",
                         &RILL_SIM_LINK_OPTIONS(.latency = RILL_MS, .jitter = 50 * RILL_MS)),
        0);
    for (int i = 0; i < 200; i++) {
        byte = (uint8_t)i;
        assert_int_equal(rill_sim_peer_feed(f->client, &byte, 1), 0);
        assert_int_equal(rill_sim_run_for(f->sim, RILL_MS), 0);
    }
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(rill_sim_peer_take(f->server, &byte, 1), 1);
        assert_int_equal(byte, i);
    }
}

/* Lost segments are sent again: all arrives, only later. */
static void
test_loss(void **state)
{
    fixture *f = *state;
    rill_ns start;

    connect_peers(f);
    assert_int_equal(rill_sim_link(f->sim, "app", "db", &RILL_SIM_LINK_OPTIONS(.loss = 300000)), 0);
    start = rill_sim_now(f->sim);
    for (int i = 0; i < 50; i++) {
        feed(f->client, "x");
        assert_int_equal(rill_sim_run_for(f->sim, RILL_MS), 0);
    }
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 50);
    assert_true(rill_sim_now(f->sim) - start >= 200 * RILL_MS);
}

static void
test_partition_holds_bytes(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    assert_int_equal(rill_sim_partition(f->sim, "app", "db", false), 0);
    feed(f->client, "hello");
    feed(f->server, "back");
    assert_int_equal(rill_sim_run_for(f->sim, 10 * RILL_S), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 0);
    expect_bytes(f->client, "back"); /* One way only. */
    assert_int_equal(rill_sim_lift(f->sim, "app", "db"), 0);
    assert_int_equal(rill_sim_run_until(f->sim, server_has_bytes, f, 20 * RILL_S), 0);
    expect_bytes(f->server, "hello");
}

/* For 15 retries, which take 924.6 s; the other end learns of it by a reset when it sends. */
static void
test_sender_gives_up(void **state)
{
    fixture *f = *state;
    rill_ns start;

    connect_peers(f);
    assert_int_equal(rill_sim_partition(f->sim, "app", "db", true), 0);
    start = rill_sim_now(f->sim);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_until(f->sim, client_failed, f, RILL_NEVER), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ETIMEDOUT);
    assert_true(rill_sim_now(f->sim) - start >= 924 * RILL_S);
    assert_true(rill_sim_now(f->sim) - start <= 1100 * RILL_S);
    assert_int_equal(rill_sim_lift(f->sim, "app", "db"), 0);
    feed(f->server, "anybody?");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_error(f->server), -ECONNRESET);
}

static void
test_heal(void **state)
{
    fixture *f = *state;
    rill_ns start;

    connect_peers(f);
    assert_int_equal(rill_sim_partition(f->sim, "app", "db", true), 0);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_for(f->sim, 300 * RILL_S), 0);
    start = rill_sim_now(f->sim);
    rill_sim_heal(f->sim); /* And nothing waits for a timer of minutes. */
    assert_int_equal(rill_sim_run_until(f->sim, server_has_bytes, f, RILL_S), 0);
    assert_int_equal(rill_sim_now(f->sim), start);
}

/* ---- windows and ends ---- */

static void
test_zero_window(void **state)
{
    fixture *f = *state;
    uint8_t *data = calloc(1, 1 << 20);
    uint64_t stuck;

    assert_non_null(data);
    connect_peers(f);
    rill_sim_peer_pause(f->server);
    assert_int_equal(rill_sim_peer_feed(f->client, data, 1 << 20), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    stuck = rill_sim_peer_bytes_out(f->client);
    assert_int_equal(stuck, 2 * 128 * 1024); /* What two buffers hold. */
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 0);
    rill_sim_peer_resume(f->server);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 1 << 20);
    free(data);
}

static void
test_dribble(void **state)
{
    fixture *f = *state;
    rill_ns start;

    connect_peers(f);
    rill_sim_peer_dribble(f->client, 2, 10 * RILL_MS);
    start = rill_sim_now(f->sim);
    feed(f->client, "abcdefg");
    assert_int_equal(rill_sim_run_for(f->sim, 15 * RILL_MS), 0);
    expect_bytes(f->server, "abcd");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->server, "efg");
    assert_int_equal(rill_sim_now(f->sim) - start, 40 * RILL_MS);
    rill_sim_peer_dribble(f->client, 0, 0);
    feed(f->client, "at once");
    assert_int_equal(rill_sim_run_for(f->sim, 0), 0);
    expect_bytes(f->server, "at once");
}

static void
test_shutdown_and_reply(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    feed(f->client, "question");
    rill_sim_peer_shutdown(f->client);
    assert_int_equal(rill_sim_peer_feed(f->client, "x", 1), RILL_ECLOSED);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->server, "question");
    assert_true(rill_sim_peer_eof(f->server));
    feed(f->server, "answer");
    rill_sim_peer_close(f->server);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->client, "answer");
    assert_true(rill_sim_peer_eof(f->client));
    assert_int_equal(rill_sim_peer_get_state(f->server), RILL_SIM_PEER_CLOSED);
    assert_int_equal(rill_sim_peer_get_state(f->client), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_peer_error(f->client), 0);
}

/* All that was sent before an orderly close arrives, over a link that takes its time. */
static void
test_close_flushes(void **state)
{
    fixture *f = *state;
    uint8_t *data = calloc(1, 500000);

    assert_non_null(data);
    connect_peers(f);
    assert_int_equal(rill_sim_link(f->sim, "app", "db",
                         &RILL_SIM_LINK_OPTIONS(.latency = 30 * RILL_MS, .bandwidth = 400000)),
        0);
    assert_int_equal(rill_sim_peer_feed(f->client, data, 500000), 0);
    rill_sim_peer_close(f->client);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f->server), 500000);
    assert_true(rill_sim_peer_eof(f->server));
    free(data);
}

static void
test_reset(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    rill_sim_peer_reset(f->client);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->server, "hello");
    assert_int_equal(rill_sim_peer_get_state(f->server), RILL_SIM_PEER_FAILED);
    assert_int_equal(rill_sim_peer_error(f->server), -ECONNRESET);
    assert_false(rill_sim_peer_eof(f->server));
}

static void
test_close_with_unread_bytes(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    rill_sim_peer_pause(f->server);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    rill_sim_peer_close(f->server);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ECONNRESET);
}

/* Both say goodbye while the other's is under way. */
static void
test_simultaneous_close(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    set_latency(f, 10 * RILL_MS);
    feed(f->client, "from client");
    feed(f->server, "from server");
    rill_sim_peer_shutdown(f->client);
    rill_sim_peer_shutdown(f->server);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->client, "from server");
    expect_bytes(f->server, "from client");
    assert_true(rill_sim_peer_eof(f->client) && rill_sim_peer_eof(f->server));
    assert_int_equal(rill_sim_peer_error(f->client), 0);
    assert_int_equal(rill_sim_peer_error(f->server), 0);
}

/* Bytes that cross an orderly close are answered by a reset. */
static void
test_bytes_for_a_closed_peer(void **state)
{
    fixture *f = *state;

    connect_peers(f);
    set_latency(f, 10 * RILL_MS);
    rill_sim_peer_close(f->server);
    feed(f->client, "too late");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_true(rill_sim_peer_eof(f->client)); /* The FIN came first: the reader saw its end. */
    assert_int_equal(rill_sim_peer_bytes_out(f->client), 8);
}

static void
test_unix_peers(void **state)
{
    fixture *f = *state;

    assert_int_equal(rill_sim_listen(f->sim, "db", "unix:/run/db.sock", 4, &f->listener), 0);
    assert_int_equal(rill_sim_dial(f->sim, "db", "unix:/run/db.sock", &f->client), 0);
    feed(f->client, "hello");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_accept(f->listener, &f->server), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->server, "hello");
    rill_sim_peer_close(f->server);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_true(rill_sim_peer_eof(f->client));
    /* Each host has its own file system. */
    assert_int_equal(rill_sim_dial(f->sim, "app", "unix:/run/db.sock", &f->client), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    assert_int_equal(rill_sim_peer_error(f->client), -ENOENT);
    assert_int_equal(rill_sim_put_file(f->sim, "app", "/run/notes.txt"), 0);
    assert_int_equal(rill_sim_put_file(f->sim, "app", "/run/notes.txt"), -EEXIST);
    assert_int_equal(
        rill_sim_listen(f->sim, "app", "unix:/run/notes.txt", 4, &f->listener), -EADDRINUSE);
}

/* ---- scripts ---- */

static void
answer(rill_sim_peer *peer, void *arg)
{
    rill_sim_peer *accepted;
    char buf[64];
    size_t len;

    ++*(int *)arg;
    if (rill_sim_peer_get_state(peer) == RILL_SIM_PEER_LISTENING) {
        while (rill_sim_peer_accept(peer, &accepted) == 0)
            continue;
        return;
    }
    len = rill_sim_peer_take(peer, buf, sizeof(buf));
    if (len > 0)
        (void)rill_sim_peer_feed(peer, buf, len);
}

/* A whole server in a script: the watch is inherited by what it accepts. */
static void
test_watch(void **state)
{
    fixture *f = *state;
    int calls = 0;

    assert_int_equal(rill_sim_listen(f->sim, "db", "db:7000", 16, &f->listener), 0);
    rill_sim_peer_watch(f->listener, answer, &calls);
    assert_int_equal(rill_sim_dial(f->sim, "db", "127.0.0.1:7000", &f->client), 0);
    feed(f->client, "echo me");
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
    expect_bytes(f->client, "echo me");
    assert_true(calls >= 2);
}

static void
test_bad_arguments(void **state)
{
    fixture *f = *state;
    rill_sim_peer *peer = NULL;

    assert_int_equal(rill_sim_dial(f->sim, "nobody", "10.0.0.2:1", &peer), RILL_EINVAL);
    assert_int_equal(rill_sim_dial(f->sim, "app", "10.0.0.2", &peer), RILL_EADDRESS);
    assert_int_equal(rill_sim_dial(f->sim, "app", "10.0.0.2:99999", &peer), RILL_EADDRESS);
    assert_int_equal(rill_sim_dial(f->sim, "app", "nobody:1", &peer), RILL_EADDRESS);
    assert_int_equal(rill_sim_dial(f->sim, "app", NULL, &peer), RILL_EADDRESS);
    assert_int_equal(rill_sim_dial(f->sim, "app", "unix:", &peer), RILL_EADDRESS);
    assert_int_equal(rill_sim_listen(f->sim, "app", "10.0.0.2:7000", 1, &peer), -EADDRNOTAVAIL);
    assert_int_equal(rill_sim_listen(f->sim, "app", "10.0.0.1:7000", 1, &peer), 0);
    assert_int_equal(rill_sim_listen(f->sim, "app", "10.0.0.1:7000", 1, &f->listener), -EADDRINUSE);
    assert_int_equal(rill_sim_peer_accept(peer, &f->client), -EAGAIN);
    assert_int_equal(rill_sim_peer_feed(peer, "x", 1), RILL_ECLOSED);
    rill_sim_peer_close(peer);
    assert_int_equal(rill_sim_peer_accept(peer, &f->client), RILL_EINVAL);
    assert_int_equal(rill_sim_link(f->sim, "app", "nobody", NULL), RILL_EINVAL);
    assert_int_equal(
        rill_sim_link(f->sim, "app", "db", &RILL_SIM_LINK_OPTIONS(.latency = -1)), RILL_EINVAL);
    assert_int_equal(rill_sim_partition(f->sim, "nobody", "db", true), RILL_EINVAL);
    assert_int_equal(rill_sim_host(f->sim, "bad:name", NULL), RILL_EINVAL);
    assert_int_equal(rill_sim_host(f->sim, "", NULL), RILL_EINVAL);
    assert_int_equal(rill_sim_host(f->sim, "x", "not an address"), RILL_EADDRESS);
    assert_int_equal(rill_sim_host(f->sim, "x", "127.0.0.5"), RILL_EADDRESS);
    assert_int_equal(rill_sim_put_file(f->sim, "nobody", "/x"), RILL_EINVAL);
    assert_int_equal(rill_sim_put_file(f->sim, "app", "@x"), RILL_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_connect_takes_a_round_trip),
        TEST(test_refused),
        TEST(test_no_such_host),
        TEST(test_ipv6_between_hosts),
        TEST(test_wildcard),
        TEST(test_backlog),
        TEST(test_connect_gives_up),
        TEST(test_lifted_before_the_third_syn),
        TEST(test_latency_is_one_way),
        TEST(test_bandwidth),
        TEST(test_jitter_keeps_order),
        TEST(test_loss),
        TEST(test_partition_holds_bytes),
        TEST(test_sender_gives_up),
        TEST(test_heal),
        TEST(test_zero_window),
        TEST(test_dribble),
        TEST(test_shutdown_and_reply),
        TEST(test_close_flushes),
        TEST(test_reset),
        TEST(test_close_with_unread_bytes),
        TEST(test_simultaneous_close),
        TEST(test_bytes_for_a_closed_peer),
        TEST(test_unix_peers),
        TEST(test_watch),
        TEST(test_bad_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
