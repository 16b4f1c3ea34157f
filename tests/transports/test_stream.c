/*
 * Connections with peers that are not ours: resets, half closes, dribbles, peers that never read,
 * data that comes right before the end; and what stays known after a loss.
 */
#include "peer.h"

#include <errno.h>

static harness h;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;
static peer p;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    peer_close(&p);
    end_server(&h, &accepted, server);
    harness_close(&h);
    return 0;
}

/* The peer is connected, and this is its connection on our side. */
static endpoint *
meet(void)
{
    peer_connect(&p, &h, &addr);
    assert_code(p.connect_error, 0);
    acceptor_await(&accepted, 1);
    return &accepted.ends[0];
}

static void
test_greeting_and_bytes(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_send(&p, "hello", 5);
    endpoint_await(e, 5);
    assert_int_equal(rill_transport_write(e->t, "hi", 2), 1);
    peer_await(&p, 2);
    peer_close(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made data(5) eof lost(RILL_EOF)");
    assert_int_equal(e->why.layer, RILL_LAYER_TRANSPORT);
    assert_int_equal(e->why.native, 0);
}

/* Bytes are waiting before anybody has accepted: connection_made still comes first. */
static void
test_bytes_before_made(void **unused)
{
    (void)unused;
    peer_connect_start(&p, &h, &addr);
    if (!on_driver("sim"))
        peer_send(&p, "early", 5);
    harness_until(&h, peer_is_connected, &p);
    if (on_driver("sim"))
        peer_send(&p, "early", 5);
    peer_shutdown(&p);
    acceptor_await(&accepted, 1);
    harness_until(&h, endpoint_is_lost, &accepted.ends[0]);
    assert_string_equal(accepted.ends[0].tape, "made data(5) eof lost(RILL_EOF)");
}

static void
test_reset_of_an_idle_connection(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made lost(ECONNRESET)");
    assert_int_equal(e->why.layer, RILL_LAYER_SYSTEM);
    assert_int_equal(e->why.native, ECONNRESET);
}

/* What had arrived before the reset is not thrown away by us. */
static void
test_data_before_a_reset(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_send(&p, "last words", 10);
    harness_settle(&h);
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made data(10) lost(ECONNRESET)");
}

static uint64_t
turns(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return stats.turns;
}

/* The kernel tells of a reset again and again, wanted or not: the loop must not spin on it. */
static void
test_reset_while_paused(void **unused)
{
    endpoint *e = meet();
    uint64_t before;

    (void)unused;
    rill_transport_pause_reading(e->t);
    harness_settle(&h);
    before = turns();
    peer_reset(&p);
    harness_run_for(&h, 50 * RILL_MS);
    assert_true(turns() - before < 200);
    if (!e->lost) { /* Unseen as long as nobody reads: also right. */
        rill_transport_resume_reading(e->t);
        harness_until(&h, endpoint_is_lost, e);
    }
    assert_string_equal(e->tape, "made lost(ECONNRESET)");
}

static void
test_reset_while_writing(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_stop_reading(&p);
    (void)endpoint_fill(e);
    harness_settle(&h);
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_true(e->why.code == -ECONNRESET || e->why.code == -EPIPE);
}

static size_t releases;

static void
count_release(void *arg)
{
    (void)arg;
    releases++;
}

/* The kernel knows of the reset, the loop does not yet: every form of writing meets it. */
static void
test_writing_into_a_reset(void **unused)
{
    static uint8_t block[40000];
    rill_iovec parts[3] = { { block, 10000 }, { block, 20000 }, { block, 10 } };

    (void)unused;
    for (size_t i = 0; i < 8; i++) {
        endpoint *e;

        peer_connect(&p, &h, &addr);
        acceptor_await(&accepted, i + 1);
        e = &accepted.ends[i];
        releases = 0;
        peer_reset(&p);
        if (i % 4 == 0)
            (void)rill_transport_write(e->t, block, sizeof(block));
        else if (i % 4 == 1)
            (void)rill_transport_writev(e->t, parts, 3);
        else if (i % 4 == 2)
            (void)rill_transport_write_ref(e->t, block, sizeof(block), count_release, NULL);
        else
            (void)rill_transport_write_ref(e->t, block, 100, count_release, NULL);
        if (i >= 4)
            (void)rill_transport_write(e->t, block, sizeof(block));
        assert_false(e->lost);
        harness_until(&h, endpoint_is_lost, e);
        assert_true(e->why.code == -ECONNRESET || e->why.code == -EPIPE);
        harness_settle(&h);
        assert_int_equal(releases, i % 4 >= 2);
    }
}

static void
abort_here(endpoint *e, rill_slice in)
{
    (void)in;
    rill_transport_abort(e->t);
}

static void
test_reset_racing_abort_and_close(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    e->on_data = abort_here;
    peer_send(&p, "x", 1);
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, e);
    harness_settle(&h);
    if (e->received > 0)
        assert_string_equal(e->tape, "made data(1) lost(RILL_EABORTED)");
    else
        assert_string_equal(e->tape, "made lost(ECONNRESET)");
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 2);
    rill_transport_close(accepted.ends[1].t);
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, &accepted.ends[1]);
}

static void
test_abort_resets(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    rill_transport_abort(e->t);
    harness_until(&h, endpoint_is_lost, e);
    harness_until(&h, peer_has_end, &p);
    assert_true(p.reset);
    assert_false(p.eof);
}

static void
test_abort_closes_in_the_same_turn(void **unused)
{
    endpoint *e = meet();
    size_t before = descriptor_count();

    (void)unused;
    harness_settle(&h);
    rill_transport_abort(e->t);
    (void)harness_turn(&h);
    assert_int_equal(descriptor_count(), before - 1);
    assert_true(e->lost);
}

static void
test_close_does_not_reset(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    rill_transport_pause_reading(e->t);
    peer_send(&p, "never read", 10);
    harness_settle(&h);
    assert_int_equal(rill_transport_write(e->t, "bye", 3), 1);
    rill_transport_close(e->t);
    harness_until(&h, peer_has_end, &p);
    assert_false(p.reset); /* Unread input would have made the kernel answer with one. */
    assert_int_equal(p.received, 3);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made lost(0)");
}

static void
test_half_close_by_the_peer(void **unused)
{
    endpoint *e = meet();
    uint64_t sent;

    (void)unused;
    e->keep_open = true;
    peer_send(&p, "question", 8);
    peer_shutdown(&p);
    harness_until(&h, endpoint_has_eof, e);
    harness_settle(&h);
    assert_false(rill_transport_is_reading(e->t));
    sent = 200000;
    assert_true(endpoint_send_stream(e, 0, sent) >= 0);
    peer_await(&p, sent);
    assert_true(p.hash == stream_hash(sent));
    rill_transport_close(e->t);
    harness_until(&h, peer_has_end, &p);
    assert_true(p.eof);
    harness_until(&h, endpoint_is_lost, e);
    assert_memory_equal(e->tape, "made data(8) eof", 16);
    assert_code(e->why.code, 0);
}

/* Both directions have ended and nobody closes: the kernel would tell so for ever. */
static void
test_an_ended_connection_does_not_spin(void **unused)
{
    endpoint *e = meet();
    uint64_t before;

    (void)unused;
    e->keep_open = true;
    assert_code(rill_transport_write_eof(e->t), 0);
    harness_until(&h, peer_has_eof, &p);
    peer_shutdown(&p);
    harness_until(&h, endpoint_has_eof, e);
    before = turns();
    harness_run_for(&h, 50 * RILL_MS);
    assert_true(turns() - before < 200);
    assert_false(e->lost);
    rill_transport_close(e->t);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made eof lost(0)");
}

static void
test_half_close_by_us(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    assert_int_equal(rill_transport_write(e->t, "question", 8), 1);
    assert_code(rill_transport_write_eof(e->t), 0);
    harness_until(&h, peer_has_eof, &p);
    assert_int_equal(p.received, 8);
    peer_send(&p, "answer", 6);
    endpoint_await(e, 6);
    peer_close(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_string_equal(e->tape, "made data(6) eof lost(RILL_EOF)");
}

static void
test_a_dribble(void **unused)
{
    endpoint *e = meet();
    uint8_t byte;

    (void)unused;
    for (uint64_t i = 0; i < 300; i++) {
        byte = stream_byte(i);
        peer_send(&p, &byte, 1);
        if (i % 3 == 0)
            endpoint_await(e, i + 1);
    }
    endpoint_await(e, 300);
    assert_true(e->hash == stream_hash(300));
}

static void
test_a_million_bytes(void **unused)
{
    static uint8_t block[50000];
    endpoint *e = meet();

    (void)unused;
    e->echo = true;
    for (uint64_t sent = 0; sent < 1000000; sent += sizeof(block)) {
        stream_fill(block, sent, sizeof(block));
        peer_send(&p, block, sizeof(block));
    }
    peer_await(&p, 1000000);
    assert_true(p.hash == stream_hash(1000000));
    assert_true(e->hash == stream_hash(1000000));
}

/* The queue grows up to the cap and no further. */
static void
test_a_peer_that_never_reads(void **unused)
{
    endpoint *e = meet();
    size_t size;

    (void)unused;
    peer_stop_reading(&p);
    assert_code(rill_transport_set_write_cap(e->t, 1000000), 0);
    for (int i = 0; i < 10000 && !rill_transport_is_closing(e->t); i++) {
        size = rill_transport_write_buffer_size(e->t);
        assert_true(size <= 1000000);
        (void)endpoint_send_stream(e, 0, 8192);
    }
    harness_until(&h, endpoint_is_lost, e);
    assert_code(e->why.code, RILL_EOVERFLOW);
}

static void
test_a_stalled_peer_is_given_up(void **unused)
{
    endpoint *e = meet();
    rill_ns begin;

    (void)unused;
    peer_stop_reading(&p);
    (void)endpoint_fill(e);
    harness_settle(&h);
    begin = rill_loop_time(h.loop);
    assert_code(rill_transport_set_timeout(e->t, RILL_TIMEOUT_STALL, 50 * RILL_MS), 0);
    harness_until(&h, endpoint_is_lost, e);
    assert_true(rill_loop_time(h.loop) - begin >= 50 * RILL_MS);
    assert_code(e->why.code, RILL_ESTALLED);
}

/* Moving slowly is not stalling. */
static void
test_a_slow_peer_is_not_given_up(void **unused)
{
    endpoint *e = meet();
    uint64_t sent;

    (void)unused;
    peer_stop_reading(&p);
    sent = endpoint_fill(e);
    assert_code(rill_transport_set_timeout(e->t, RILL_TIMEOUT_STALL, 2 * RILL_S), 0);
    for (int i = 0; i < 6 && !on_driver("sim"); i++) {
        peer_read_on(&p);
        (void)peer_has_end(&p);
        peer_stop_reading(&p);
        harness_run_for(&h, 5 * RILL_MS);
        assert_false(e->lost);
    }
    peer_read_on(&p);
    peer_await(&p, sent);
    harness_until(&h, endpoint_is_not_paused, e);
    assert_false(e->lost);
}

static void
test_idle_connections_are_closed(void **unused)
{
    rill_transport_options options = RILL_TRANSPORT_OPTIONS(.idle_timeout = 40 * RILL_MS);
    static acceptor idle;
    rill_server *strict;
    rill_addr where;
    endpoint client;

    (void)unused;
    strict =
        serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &options), &idle, &where);
    connect_to(&h, &where, &client);
    acceptor_await(&idle, 1);
    harness_until(&h, endpoint_is_lost, &idle.ends[0]);
    assert_code(idle.ends[0].why.code, RILL_EIDLE);
    assert_int_equal(idle.ends[0].why.layer, RILL_LAYER_TRANSPORT);
    assert_true(idle.ends[0].lost_at - idle.ends[0].made_at >= 40 * RILL_MS);
    harness_until(&h, endpoint_is_lost, &client);
    end_server(&h, &idle, strict);
}

static void
test_close_with_a_stalled_peer_ends(void **unused)
{
    endpoint *e = meet();
    rill_ns begin;

    (void)unused;
    peer_stop_reading(&p);
    (void)endpoint_fill(e);
    assert_code(rill_transport_set_timeout(e->t, RILL_TIMEOUT_CLOSE, 60 * RILL_MS), 0);
    begin = rill_loop_time(h.loop);
    rill_transport_close(e->t);
    harness_until(&h, endpoint_is_lost, e);
    assert_true(rill_loop_time(h.loop) - begin >= 60 * RILL_MS);
    assert_code(e->why.code, RILL_ECLOSETIMEOUT);
}

static rill_addr peer_name, own_name;
static int fd_in_lost, sockname_in_lost;

static void
look_around(endpoint *e)
{
    memset(&peer_name, 0, sizeof(peer_name));
    assert_code(rill_transport_peername(e->t, &peer_name), 0);
    sockname_in_lost = rill_transport_sockname(e->t, &own_name);
    fd_in_lost = rill_transport_fd(e->t);
}

/* asyncio 12.2: the peer's address is a snapshot and outlives the socket. */
static void
test_names_survive_the_loss(void **unused)
{
    endpoint *e = meet();
    rill_addr before;

    (void)unused;
    assert_code(rill_transport_peername(e->t, &before), 0);
    e->on_lost = look_around;
    peer_reset(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_true(rill_addr_equal(&before, &peer_name));
    if (sockname_in_lost != RILL_ECLOSED) {
        assert_code(sockname_in_lost, 0);
        assert_true(rill_addr_equal(&own_name, &addr));
    }
    if (on_driver("sim"))
        assert_true(fd_in_lost == RILL_ENOTSUP || fd_in_lost == RILL_ECLOSED);
}

static void
test_traffic_counters(void **unused)
{
    rill_transport_info info = { .size = sizeof(info) };
    endpoint *e = meet();

    (void)unused;
    e->echo = true;
    peer_send(&p, "0123456789", 10);
    peer_await(&p, 10);
    rill_transport_get_info(e->t, &info);
    assert_int_equal(info.bytes_in, 10);
    assert_int_equal(info.bytes_out, 10);
}

/* The descriptor goes no later than connection_lost: a thousand connections need few of them. */
static void
test_descriptors_are_given_back(void **unused)
{
    size_t before;

    (void)unused;
    (void)meet();
    peer_close(&p);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    before = descriptor_count();
    for (size_t i = 2; i <= 200; i++) {
        peer_connect(&p, &h, &addr);
        acceptor_await(&accepted, i);
        if (i % 2 == 0)
            peer_close(&p);
        else
            peer_reset(&p);
        harness_until(&h, acceptor_is_empty, &accepted);
        assert_true(descriptor_count() <= before);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_greeting_and_bytes),
        CASE(test_bytes_before_made),
        CASE(test_reset_of_an_idle_connection),
        CASE_ON("kernel", test_data_before_a_reset),
        CASE(test_reset_while_paused),
        CASE(test_reset_while_writing),
        CASE_ON("kernel", test_writing_into_a_reset),
        CASE(test_reset_racing_abort_and_close),
        CASE(test_abort_resets),
        CASE_ON("kernel", test_abort_closes_in_the_same_turn),
        CASE(test_close_does_not_reset),
        CASE(test_half_close_by_the_peer),
        CASE(test_an_ended_connection_does_not_spin),
        CASE(test_half_close_by_us),
        CASE(test_a_dribble),
        CASE(test_a_million_bytes),
        CASE(test_a_peer_that_never_reads),
        CASE(test_a_stalled_peer_is_given_up),
        CASE(test_a_slow_peer_is_not_given_up),
        CASE(test_idle_connections_are_closed),
        CASE(test_close_with_a_stalled_peer_ends),
        CASE(test_names_survive_the_loss),
        CASE(test_traffic_counters),
        CASE(test_descriptors_are_given_back),
    };

    return run_cases(tests);
}
