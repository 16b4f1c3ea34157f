/*
 * Real servers and clients, as a user writes them, in simulated worlds: on one loop, on loops of
 * several hosts, in every weather, and without memory. RILL_SIM_SEEDS widens the sweep.
 */
/* timeout: 300 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rill/rill.h>
#include <rill/sim.h>

#define REQUESTS 40

/* ---- a server that answers each line with its length ---- */

typedef struct measure {
    size_t len;
} measure;

static void
measure_data(rill_transport *t, void *self, rill_slice in)
{
    measure *m = self;
    char reply[32];

    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] != '\n') {
            m->len++;
            continue;
        }
        snprintf(reply, sizeof(reply), "%zu\n", m->len);
        (void)rill_transport_write(t, reply, strlen(reply)); /* A loss is told elsewhere. */
        m->len = 0;
    }
}

static const rill_protocol measure_protocol =
    RILL_PROTOCOL(.state_size = sizeof(measure), .data_received = measure_data);

/* ---- a client that asks, one request after another ---- */

typedef struct client {
    rill_loop *loop;
    rill_transport *t;
    char line[32];
    size_t len;
    int asked;
    int answered;
    int wrong;
    bool ended;
    bool connected_called;
    int code;
} client;

static void
ask(client *c)
{
    char request[REQUESTS + 2];
    int len = c->asked++;

    memset(request, 'x', (size_t)len);
    request[len] = '\n';
    (void)rill_transport_write(c->t, request, (size_t)len + 1);
}

static void
client_made(rill_transport *t, void *self, void *arg)
{
    client *c = self;

    (void)arg;
    c->t = t;
    ask(c);
}

static void
client_data(rill_transport *t, void *self, rill_slice in)
{
    client *c = self;

    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] != '\n') {
            if (c->len + 1 < sizeof(c->line))
                c->line[c->len++] = (char)in.data[i];
            continue;
        }
        c->line[c->len] = '\0';
        c->len = 0;
        c->wrong += atoi(c->line) != c->answered;
        c->answered++;
        if (c->answered < REQUESTS)
            ask(c);
        else
            rill_transport_close(t);
    }
}

static void
client_lost(rill_transport *t, void *self, const rill_reason *why)
{
    client *c = self;

    (void)t;
    c->t = NULL;
    c->ended = true;
    c->code = why->code;
}

static const rill_protocol client_protocol = RILL_PROTOCOL(.connection_made = client_made,
    .data_received = client_data, .connection_lost = client_lost);

static void
client_connected(void *arg, rill_transport *t, const rill_reason *why)
{
    client *c = arg;

    c->connected_called = true;
    if (t == NULL) {
        c->ended = true;
        c->code = why->code;
    }
}

static int
client_start(client *c, rill_loop *loop, const char *host, int port)
{
    memset(c, 0, sizeof(*c));
    c->loop = loop;
    return rill_create_connection_start(loop,
        &RILL_CONNECT_OPTIONS(.host = host, .port = port, .timeout = 20 * RILL_S), &client_protocol,
        c, client_connected, c, NULL);
}

static bool
client_ended(void *arg)
{
    return ((client *)arg)->ended;
}

/* ---- worlds ---- */

static void
stop_loop(void *arg)
{
    rill_loop_stop(arg);
}

/* RILL_DRIVER=sim and nothing else: an ordinary program in a world of its own. */
static void
test_private_world(void **unused)
{
    rill_server *server = NULL;
    rill_loop *loop = NULL;
    rill_addr addr;
    rill_ns start;
    client c;

    (void)unused;
    (void)setenv("RILL_DRIVER", "sim", 1);
    assert_int_equal(rill_loop_new(NULL, &loop), 0);
    (void)unsetenv("RILL_DRIVER");
    assert_string_equal(rill_loop_driver(loop), "sim");
    assert_int_equal(rill_create_server(loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"),
                         &measure_protocol, NULL, &server),
        0);
    assert_int_equal(rill_server_sockname(server, 0, &addr), 0);
    assert_int_equal(client_start(&c, loop, "127.0.0.1", rill_addr_port(&addr)), 0);
    start = rill_loop_time(loop);
    assert_int_equal(rill_call_later(loop, 3600 * RILL_S, stop_loop, loop, NULL), 0);
    assert_int_equal(rill_loop_run(loop), 0);
    assert_int_equal(rill_loop_time(loop) - start, 3600 * RILL_S);
    assert_int_equal(c.answered, REQUESTS);
    assert_int_equal(c.wrong, 0);
    assert_int_equal(c.code, 0);
    rill_server_close(server);
    assert_int_equal(rill_loop_run(loop), RILL_EDEADLK); /* Nothing is left that could happen. */
    assert_int_equal(rill_loop_free(loop), 0);
}

/* Two hosts, two loops: each request takes a round trip, to the nanosecond. */
static void
test_two_hosts(void **unused)
{
    rill_server *server = NULL;
    rill_sim *sim = NULL;
    rill_loop *near = NULL;
    rill_loop *far = NULL;
    rill_ns start;
    client c;

    (void)unused;
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM), &sim), 0);
    assert_int_equal(rill_sim_host(sim, "near", "10.0.0.1"), 0);
    assert_int_equal(rill_sim_host(sim, "far", "10.0.0.2"), 0);
    assert_int_equal(
        rill_sim_link(sim, "near", "far", &RILL_SIM_LINK_OPTIONS(.latency = 10 * RILL_MS)), 0);
    assert_int_equal(rill_sim_loop_new(sim, "near", NULL, &near), 0);
    assert_int_equal(rill_sim_loop_new(sim, "far", NULL, &far), 0);
    assert_int_equal(rill_create_server(far, &RILL_SERVER_OPTIONS(.host = "*", .port = 7000),
                         &measure_protocol, NULL, &server),
        0);
    start = rill_sim_now(sim);
    assert_int_equal(client_start(&c, near, "10.0.0.2", 7000), 0);
    assert_int_equal(rill_sim_run_until(sim, client_ended, &c, 60 * RILL_S), 0);
    assert_int_equal(c.answered, REQUESTS);
    assert_int_equal(c.wrong, 0);
    assert_int_equal(rill_sim_now(sim) - start, (REQUESTS + 1) * 20 * RILL_MS);
    rill_server_close(server);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A world may end with everything alive: its loops are freed one after another, and say so. */
static void
test_left_alive(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        rill_server *server = NULL;
        rill_sim *sim = NULL;
        rill_loop *loops[2];
        client c;

        assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM,
                                          .personality = (rill_sim_personality)p),
                             &sim),
            0);
        assert_int_equal(rill_sim_loop_new(sim, NULL, NULL, &loops[0]), 0);
        assert_int_equal(rill_sim_loop_new(sim, NULL, NULL, &loops[1]), 0);
        assert_int_equal(
            rill_create_server(loops[0], &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = 7000),
                &measure_protocol, NULL, &server),
            0);
        assert_int_equal(client_start(&c, loops[1], "127.0.0.1", 7000), 0);
        for (int i = 0; i < 12; i++)
            assert_true(rill_sim_step(sim) >= 0);
        assert_false(c.ended);
        assert_int_equal(rill_sim_free(sim), 3); /* A server and both ends. */
        assert_int_equal(c.code, RILL_ELOOPFREED);
    }
}

/* ---- weather ---- */

#define CLIENTS 5

typedef struct storm {
    rill_sim *sim;
    rill_loop *server_loop;
    rill_loop *client_loop;
    rill_server *server;
    client clients[CLIENTS + 1];
} storm;

static void
quiet(rill_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

static int
make_loop(storm *s, const char *host, rill_loop **ret_loop)
{
    return rill_sim_loop_new(s->sim, host, &RILL_LOOP_OPTIONS(.log = quiet), ret_loop);
}

/* Whatever the call, faults may hit it: again. */
#define INSIST(call)                     \
    do {                                 \
        int tries = 0;                   \
        while ((call) < 0)               \
            assert_true(++tries < 1000); \
    } while (0)

static void
open_storm(storm *s, const rill_sim_options *options)
{
    memset(s, 0, sizeof(*s));
    assert_int_equal(rill_sim_new(options, &s->sim), 0);
    assert_int_equal(rill_sim_host(s->sim, "server", "10.0.0.1"), 0);
    assert_int_equal(rill_sim_host(s->sim, "client", "10.0.0.2"), 0);
    INSIST(make_loop(s, "server", &s->server_loop));
    INSIST(make_loop(s, "client", &s->client_loop));
    INSIST(rill_create_server(s->server_loop, &RILL_SERVER_OPTIONS(.host = "*", .port = 7000),
        &measure_protocol, NULL, &s->server));
}

static void
blow(storm *s)
{
    for (int i = 0; i < CLIENTS; i++) {
        (void)client_start(&s->clients[i], s->client_loop, "10.0.0.1", 7000);
        assert_int_equal(rill_sim_run_for(s->sim, RILL_S), 0);
    }
    assert_int_equal(rill_sim_run_for(s->sim, 60 * RILL_S), 0);
}

static void
close_storm(storm *s)
{
    rill_server_close(s->server);
    rill_server_abort_clients(s->server);
    for (int i = 0; i <= CLIENTS; i++)
        if (s->clients[i].t != NULL)
            rill_transport_abort(s->clients[i].t);
    assert_int_equal(rill_sim_run_for(s->sim, 60 * RILL_S), 0);
    assert_int_equal(rill_sim_free(s->sim), 0);
}

static void
expect_served(storm *s, const char *what)
{
    client *c = &s->clients[CLIENTS];

    rill_sim_heal(s->sim);
    assert_int_equal(rill_sim_run_for(s->sim, 30 * RILL_S), 0);
    assert_int_equal(client_start(c, s->client_loop, "10.0.0.1", 7000), 0);
    if (rill_sim_run_until(s->sim, client_ended, c, 120 * RILL_S) != 0 || c->code != 0 ||
        c->answered != REQUESTS) {
        rill_sim_dump(s->sim, NULL, NULL);
        fail_msg("%s: the last client got %d answers, then %s", what, c->answered,
            rill_errname(c->code));
    }
}

static uint64_t
weather(uint64_t seed, rill_sim_profile profile)
{
    storm s;
    uint64_t fired;
    char what[64];

    snprintf(what, sizeof(what), "seed %" PRIu64 " profile %d", seed, (int)profile);
    open_storm(&s, &RILL_SIM_OPTIONS(.seed = seed, .profile = profile));
    blow(&s);
    for (int i = 0; i < CLIENTS; i++) {
        const client *c = &s.clients[i];

        if (c->wrong > 0 || c->answered > c->asked || (c->ended && c->code == 0 && c->t != NULL))
            fail_msg("%s: client %d had %d wrong answers", what, i, c->wrong);
        if (c->ended && c->code == 0 && c->answered != REQUESTS)
            fail_msg("%s: client %d ended well after %d answers", what, i, c->answered);
    }
    fired = rill_sim_fired(s.sim, NULL, 0);
    expect_served(&s, what);
    close_storm(&s);
    return fired;
}

static void
test_weather(void **unused)
{
    const char *wider = getenv("RILL_SIM_SEEDS");
    uint64_t seeds = wider != NULL ? strtoull(wider, NULL, 0) : 120;
    uint64_t fired = 0;

    (void)unused;
    assert_int_equal(weather(1, RILL_SIM_CALM), 0);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        fired += weather(seed, RILL_SIM_SWARM);
    for (uint64_t seed = 1; seed <= seeds / 4; seed++)
        fired += weather(seed, RILL_SIM_HOSTILE);
    assert_true(fired > 3000);
}

/* ---- memory ---- */

/* Every allocation of a run fails once, in turn: some connection is lost with -ENOMEM or a call
 * says so, the others are served, nothing leaks. */
static void
test_every_allocation_fails(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        rill_sim_options options =
            RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .personality = (rill_sim_personality)p);
        uint64_t count;
        storm s;

        open_storm(&s, &options);
        blow(&s);
        count = rill_sim_allocations(s.sim);
        close_storm(&s);
        assert_true(count > 10);
        for (uint64_t n = 1; n <= count; n++) {
            char what[64];

            snprintf(what, sizeof(what), "allocation %" PRIu64, n);
            options.fail_allocation = n;
            open_storm(&s, &options);
            blow(&s);
            expect_served(&s, what);
            close_storm(&s);
        }
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_world),
        cmocka_unit_test(test_two_hosts),
        cmocka_unit_test(test_left_alive),
        cmocka_unit_test(test_weather),
        cmocka_unit_test(test_every_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
