/*
 * Well-behaved connections beside peers that reset, half-close, dribble, never read, vanish, reset
 * before they are accepted or in the middle of an answer: the good ones get every byte in as many
 * turns as without them, and nothing of the bad ones stays, counted in descriptors, timers,
 * transports and bytes.
 */
/* timeout: 120 */
#include "peer.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GOOD    6
#define ROUNDS  21
#define MESSAGE 300

typedef enum manner {
    RESETS,
    HALF_CLOSES,
    DRIBBLES,
    NEVER_READS,
    VANISHES,
    RESETS_IN_BACKLOG,
    ENDS_IN_THE_MIDDLE,
    MANNERS
} manner;

static harness h;
static size_t served; /* Connections of the server now. */
static rill_server *server;
static rill_addr addr;
static endpoint good[GOOD];
static uint64_t good_sent;
static peer dribbler, sink;
static uint8_t junk[65536];

static void
echo_made(rill_transport *t, void *self, void *arg)
{
    (void)t;
    (void)self;
    (void)arg;
    served++;
}

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len); /* A loss is told to echo_lost. */
}

static void
echo_pause(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_pause_reading(t);
}

static void
echo_resume(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_resume_reading(t);
}

static void
echo_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)self;
    (void)why;
    served--;
    harness_poke(&h);
}

static const rill_protocol echo_protocol =
    RILL_PROTOCOL(.state_size = 100, .connection_made = echo_made, .data_received = echo_data,
        .pause_writing = echo_pause, .resume_writing = echo_resume, .connection_lost = echo_lost);

static bool
only_good_are_left(void *unused)
{
    (void)unused;
    return served == GOOD;
}

static bool
nobody_is_left(void *unused)
{
    (void)unused;
    return served == 0;
}

static int
setup(void **unused)
{
    rill_transport_options small = RILL_TRANSPORT_OPTIONS(.send_buffer = 8192,
        .idle_timeout = 600 * RILL_S, .stall_timeout = 600 * RILL_S);

    (void)unused;
    harness_open(&h);
    assert_code(
        rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &small),
            &echo_protocol, NULL, &server),
        0);
    assert_code(rill_server_sockname(server, 0, &addr), 0);
    for (size_t i = 0; i < GOOD; i++)
        connect_to(&h, &addr, &good[i]);
    harness_until(&h, only_good_are_left, NULL);
    harness_settle(&h);
    good_sent = 0;
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < GOOD; i++) {
        assert_false(good[i].lost);
        rill_transport_close(good[i].t);
        harness_until(&h, endpoint_is_lost, &good[i]);
        assert_code(good[i].why.code, 0);
    }
    rill_server_close(server);
    harness_until(&h, nobody_is_left, NULL);
    harness_close(&h);
    return 0;
}

static bool
all_good_have(uint64_t bytes)
{
    for (size_t i = 0; i < GOOD; i++)
        if (good[i].received < bytes)
            return false;
    return true;
}

/* One message of each good one there and back. Returns the turns that took; a turn begins only when
 * there is something to do, so a slow machine adds none. */
static unsigned
one_round(void)
{
    rill_ns deadline = rill_loop_time(h.loop) + HARNESS_PATIENCE;
    int fd = rill_loop_backend_fd(h.loop);
    unsigned turns = 0;

    for (size_t i = 0; i < GOOD; i++)
        assert_int_equal(endpoint_send_stream(&good[i], good_sent, MESSAGE), 1);
    good_sent += MESSAGE;
    while (!all_good_have(good_sent)) {
        struct pollfd event = { .fd = fd, .events = POLLIN };

        if (rill_loop_next_timeout(h.loop) != 0 && fd >= 0)
            (void)poll(&event, 1, 1000);
        assert_true(rill_loop_step(h.loop, 0) >= 0);
        assert_true(rill_loop_time(h.loop) < deadline);
        turns++;
    }
    for (size_t i = 0; i < GOOD; i++) {
        assert_false(good[i].lost);
        assert_int_equal(good[i].received, good_sent);
        assert_true(good[i].hash == stream_hash(good_sent));
    }
    return turns;
}

/* As much as goes at once. */
static void
push(peer *p, size_t len)
{
    if (p->fd >= 0)
        (void)!send(p->fd, junk, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else if (p->e.t != NULL && !p->e.paused)
        (void)rill_transport_write(p->e.t, junk, len);
}

static void
abort_at_once(endpoint *e)
{
    rill_transport_abort(e->t);
}

static void
reset_before_accept(peer *p)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    peer_connect_start(p, &h, &addr);
    if (p->fd < 0) {
        p->e.on_made = abort_at_once;
        harness_until(&h, endpoint_is_lost, &p->e);
        return;
    }
    assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    peer_close(p);
}

static void
misbehave(manner how, unsigned round)
{
    static peer p;

    switch (how) {
    case RESETS:
        peer_connect(&p, &h, &addr);
        peer_send(&p, junk, 1000);
        peer_reset(&p);
        return;
    case HALF_CLOSES:
        peer_connect(&p, &h, &addr);
        peer_send(&p, junk, 1000);
        peer_shutdown(&p);
        harness_until(&h, peer_has_eof, &p); /* After the echo; the server has closed. */
        assert_int_equal(p.received, 1000);
        peer_close(&p);
        return;
    case DRIBBLES:
        if (round == 0)
            peer_connect(&dribbler, &h, &addr);
        peer_send(&dribbler, junk, 1);
        return;
    case NEVER_READS:
        if (round == 0) {
            peer_connect(&sink, &h, &addr);
            peer_stop_reading(&sink);
        }
        push(&sink, sizeof(junk));
        return;
    case VANISHES:
        peer_connect(&p, &h, &addr);
        peer_close(&p);
        return;
    case RESETS_IN_BACKLOG:
        reset_before_accept(&p);
        return;
    case ENDS_IN_THE_MIDDLE:
        peer_connect(&p, &h, &addr);
        peer_stop_reading(&p);
        push(&p, sizeof(junk));
        (void)harness_turn(&h);
        if (p.fd >= 0)
            peer_close(&p); /* With bytes unread: the kernel resets. */
        else
            peer_reset(&p);
        return;
    case MANNERS:
        break;
    }
}

static void
end_the_lasting(unsigned manners)
{
    if (manners & 1u << DRIBBLES) {
        peer_await(&dribbler, ROUNDS);
        peer_close(&dribbler);
    }
    if ((manners & 1u << NEVER_READS) && sink.fd >= 0)
        peer_close(&sink);
    else if (manners & 1u << NEVER_READS)
        peer_reset(&sink);
}

static int
compare(const void *a, const void *b)
{
    return (int)*(const unsigned *)a - (int)*(const unsigned *)b;
}

/* Returns the median of the turns of a round, after an act of each bad one. */
static unsigned
run_rounds(unsigned manners)
{
    unsigned turns[ROUNDS];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (int how = 0; how < MANNERS; how++)
            if (manners & 1u << how)
                misbehave((manner)how, round);
        turns[round] = one_round();
    }
    end_the_lasting(manners);
    qsort(turns, ROUNDS, sizeof(turns[0]), compare);
    return turns[ROUNDS / 2];
}

typedef struct counts {
    size_t descriptors, timers, transports, bytes;
} counts;

static counts
count_all(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    harness_until(&h, only_good_are_left, NULL);
    harness_settle(&h);
    rill_loop_get_stats(h.loop, &stats);
    return (counts){ descriptor_count(), stats.timers, stats.transports,
        allocator_loop_bytes(&h.allocator) };
}

/* The first run fills the loop's pools, which stay; the second one must leave the same. */
static void
check_manners(unsigned manners)
{
    unsigned calm = run_rounds(0);
    counts quiet = count_all();
    counts before, after;
    unsigned turns = run_rounds(manners);

    before = count_all();
    if (turns > calm + 2)
        fail_msg("manners %#x: %u turns instead of %u", manners, turns, calm);
    (void)run_rounds(manners);
    after = count_all();
    assert_int_equal(before.descriptors, quiet.descriptors);
    assert_int_equal(before.timers, quiet.timers);
    assert_int_equal(before.transports, quiet.transports);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void
test_each_kind_alone(void **unused)
{
    (void)unused;
    for (int how = 0; how < MANNERS; how++)
        check_manners(1u << how);
}

static void
test_all_kinds_at_once(void **unused)
{
    (void)unused;
    check_manners((1u << MANNERS) - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_kind_alone),
        CASE(test_all_kinds_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
