/*
 * Small writes of one callback are gathered, for one transport at a time. A write to a second one
 * sends the first one's; that may run pause_writing, which may write to a third. Each receives what
 * was written to it, and nothing else.
 *
 * Over Unix sockets: there a receiver that does not read makes the sender wait.
 */
#include "dgrams.h"
#include "endpoint.h"

#include <unistd.h>

#define PIECE  4096
#define PIECES 15 /* Together less than the loop gathers, and more than fits into a small buffer. */

static harness h;
static acceptor accepted;
static endpoint full, meant, third;
static dend filler, full_dgram, meant_dgram, third_dgram;
static dend receivers[3];
static size_t pauses;

static int
setup(void **unused)
{
    (void)unused;
    pauses = 0;
    acceptor_init(&accepted, &h);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

static const char *
abstract_name(const char *what)
{
    static char name[64];

    snprintf(name, sizeof(name), "@rill-stage-%ld-%s-%s", (long)getpid(), what,
        on_driver("uring") ? "uring" : "other");
    return name;
}

/* ---- streams ---- */

static void
connect_stream(const char *path, endpoint *client)
{
    static const rill_transport_options small =
        RILL_TRANSPORT_OPTIONS(.send_buffer = 4096, .write_high = 1, .write_low = 0);
    size_t before = accepted.made;

    endpoint_init(client, &h);
    assert_code(rill_create_connection_start(h.loop,
                    &RILL_CONNECT_OPTIONS(.path = path, .transport = &small), &endpoint_protocol,
                    client, endpoint_connected, client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, client);
    assert_code(client->connected_code, 0);
    acceptor_await(&accepted, before + 1);
}

static void
pause_writes_to_third(endpoint *e)
{
    (void)e;
    if (pauses++ == 0)
        assert_true(rill_transport_write(third.t, "for the third", 13) >= 0);
}

static void
write_to_both(void *unused)
{
    static const uint8_t zeros[PIECE];

    (void)unused;
    assert_true(full.t != NULL && meant.t != NULL && third.t != NULL);
    for (int i = 0; i < PIECES; i++)
        assert_true(rill_transport_write(full.t, zeros, sizeof(zeros)) >= 0);
    assert_int_equal(pauses, 0);
    assert_true(rill_transport_write(meant.t, "meant", 5) >= 0);
    assert_int_equal(pauses, 1);
}

static void
test_a_stream_written_to_in_pause_writing_gets_its_own_bytes_only(void **unused)
{
    const char *path = abstract_name("stream");
    uint8_t meant_bytes[32] = { 0 }, third_bytes[32] = { 0 };
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, &(rill_addr){ 0 });

    (void)unused;
    connect_stream(path, &full);
    connect_stream(path, &meant);
    connect_stream(path, &third);
    rill_server_close(server);
    endpoint_keep(&accepted.ends[1], meant_bytes, sizeof(meant_bytes));
    endpoint_keep(&accepted.ends[2], third_bytes, sizeof(third_bytes));
    full.on_pause = pause_writes_to_third;
    assert_true(accepted.ends[0].t != NULL);
    rill_transport_pause_reading(accepted.ends[0].t);
    assert_code(rill_call_soon(h.loop, write_to_both, NULL, NULL), 0);
    harness_settle(&h);
    assert_true(accepted.ends[0].t != NULL);
    assert_true(full.t != NULL && meant.t != NULL && third.t != NULL);
    rill_transport_resume_reading(accepted.ends[0].t);
    rill_transport_close(full.t);
    rill_transport_close(meant.t);
    rill_transport_close(third.t);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_int_equal(accepted.ends[0].received, PIECES * PIECE);
    assert_int_equal(accepted.ends[1].received, 5);
    assert_memory_equal(meant_bytes, "meant", 5);
    assert_int_equal(accepted.ends[2].received, 13);
    assert_memory_equal(third_bytes, "for the third", 13);
}

/* ---- datagrams ---- */

static void
open_dgram(dend *d, dend *receiver, const char *what)
{
    static const rill_transport_options low =
        RILL_TRANSPORT_OPTIONS(.write_high = 1, .write_low = 0);
    const char *path = abstract_name(what);

    dend_open(receiver, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    dend_open(d, &h, &RILL_DATAGRAM_OPTIONS(.path = path, .transport = &low));
}

/* Another one takes all the room that a receiver has who does not read. */
static size_t
fill_receiver(void)
{
    size_t count = 0;

    dend_open(&filler, &h, &RILL_DATAGRAM_OPTIONS(.path = abstract_name("full")));
    rill_transport_pause_reading(receivers[0].t);
    while (dend_stats(&filler).queued == 0) {
        assert_true(dend_send(&filler, "filler", NULL) >= 0);
        assert_true(++count < 10000);
    }
    return count;
}

static void
pause_sends_to_third(dend *d)
{
    (void)d;
    if (pauses++ == 0)
        assert_true(dend_send(&third_dgram, "for the third", NULL) >= 0);
}

static void
send_to_both(void *unused)
{
    (void)unused;
    assert_int_equal(dend_stats(&full_dgram).queued, 0);
    assert_true(dend_send(&full_dgram, "x", NULL) >= 0);
    assert_int_equal(pauses, 0);
    assert_true(dend_send(&meant_dgram, "meant", NULL) >= 0);
    assert_int_equal(pauses, 1);
}

static void
test_one_sent_to_in_pause_writing_gets_its_own_datagrams_only(void **unused)
{
    size_t fillers;

    (void)unused;
    open_dgram(&full_dgram, &receivers[0], "full");
    open_dgram(&meant_dgram, &receivers[1], "meant");
    open_dgram(&third_dgram, &receivers[2], "third");
    fillers = fill_receiver();
    full_dgram.on_pause = pause_sends_to_third;
    assert_code(rill_call_soon(h.loop, send_to_both, NULL, NULL), 0);
    dend_await(&receivers[1], 1);
    dend_await(&receivers[2], 1);
    rill_transport_resume_reading(receivers[0].t);
    dend_await(&receivers[0], fillers + 1);
    dend_expect(&receivers[1], 0, "meant");
    dend_expect(&receivers[2], 0, "for the third");
    dend_close(&filler);
    dend_close(&full_dgram);
    dend_close(&meant_dgram);
    dend_close(&third_dgram);
    for (size_t i = 0; i < 3; i++)
        dend_close(&receivers[i]);
    assert_int_equal(receivers[1].received, 1);
    assert_int_equal(receivers[2].received, 1);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_stream_written_to_in_pause_writing_gets_its_own_bytes_only),
        CASE(test_one_sent_to_in_pause_writing_gets_its_own_datagrams_only),
    };

    return run_cases(tests);
}
