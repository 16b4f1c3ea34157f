/*
 * Corners that the swarm led into first, each as small as it can be: a file that is canceled, lost
 * or waits; a protocol exchanged while it is asked for a buffer; a pair whose write finds no
 * memory; and where the simulated kernel lied.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#include <rill/sim.h>

#define FILE_BYTES 1000000

typedef struct side {
    rill_transport *t;
    size_t bytes_in;
    bool eof;
    bool lost;
    int code;
    uint64_t bytes_out;
    void (*on_data)(struct side *s);
    void (*on_resume)(struct side *s);
} side;

typedef struct world {
    rill_sim *sim;
    rill_loop *loop;
    rill_sim_peer *listener;
    rill_sim_peer *peer; /* The other end of `client`. */
    side client;
    side other;       /* Of a pair. */
    allocator memory; /* The loop's. */
    allocator world_memory;
    int file;
    size_t file_calls;
    int file_rc;
    uint64_t file_sent;
    rill_id file_id;
} world;

static world w;
static uint64_t seed = 5;

/* ---- a protocol ---- */

static void
made(rill_transport *t, void *self, void *arg)
{
    (void)arg;
    ((side *)self)->t = t;
}

static void
data_received(rill_transport *t, void *self, rill_slice in)
{
    side *s = self;

    (void)t;
    s->bytes_in += in.len;
    if (s->on_data != NULL)
        s->on_data(s);
}

static bool
eof_received(rill_transport *t, void *self)
{
    (void)t;
    ((side *)self)->eof = true;
    return false;
}

static void
resume_writing(rill_transport *t, void *self)
{
    side *s = self;

    (void)t;
    if (s->on_resume != NULL)
        s->on_resume(s);
}

static void
connection_lost(rill_transport *t, void *self, const rill_reason *why)
{
    rill_transport_info info = { .size = sizeof(info) };
    side *s = self;

    rill_transport_get_info(t, &info);
    s->bytes_out = info.bytes_out;
    s->lost = true;
    s->code = why->code;
}

#define PLAIN                                                                              \
    .connection_made = made, .data_received = data_received, .eof_received = eof_received, \
    .resume_writing = resume_writing, .connection_lost = connection_lost

static const rill_protocol plain = RILL_PROTOCOL(PLAIN);

/* ---- a world ---- */

static void
open_world(rill_sim_personality personality, const rill_transport_options *transport)
{
    rill_sim_options o = RILL_SIM_OPTIONS(.seed = seed, .profile = RILL_SIM_CALM);
    rill_connect_options c =
        RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = 7000, .transport = transport);
    rill_loop_options l = RILL_LOOP_OPTIONS();

    memset(&w, 0, sizeof(w));
    allocator_init(&w.memory);
    o.personality = personality;
    o.allocator = &w.world_memory.hook;
    allocator_init(&w.world_memory);
    l.allocator = &w.memory.hook;
    assert_int_equal(rill_sim_new(&o, &w.sim), 0);
    assert_int_equal(rill_sim_loop_new(w.sim, NULL, &l, &w.loop), 0);
    assert_int_equal(rill_sim_listen(w.sim, NULL, "127.0.0.1:7000", 5, &w.listener), 0);
    assert_int_equal(
        rill_create_connection_start(w.loop, &c, &plain, &w.client, NULL, NULL, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
    assert_int_equal(rill_sim_peer_accept(w.listener, &w.peer), 0);
    assert_true(w.client.t != NULL && !w.client.lost);
    w.file = memfd_create("corners", MFD_CLOEXEC);
    assert_int_equal(ftruncate(w.file, FILE_BYTES), 0);
}

static void
close_world(void)
{
    (void)rill_loop_free(w.loop); /* With whatever is still open. */
    assert_int_equal(rill_sim_free(w.sim), 0);
    allocator_check_empty(&w.memory);
    allocator_check_empty(&w.world_memory);
    close(w.file);
}

static void
file_done(void *arg, int rc, uint64_t sent)
{
    (void)arg;
    w.file_calls++;
    w.file_rc = rc;
    w.file_sent = sent;
}

static void
send_file(uint64_t count)
{
    assert_int_equal(rill_transport_sendfile_start(
                         w.client.t, w.file, 0, count, false, file_done, NULL, &w.file_id),
        0);
}

/* ---- files ---- */

static void
test_a_lost_file_tells_what_was_sent(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        open_world((rill_sim_personality)p, NULL);
        rill_sim_peer_pause(w.peer);
        send_file(FILE_BYTES);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_false(w.client.lost);
        rill_transport_abort(w.client.t);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_true(w.client.lost);
        assert_int_equal(w.file_calls, 1);
        assert_int_equal(w.file_rc, RILL_EABORTED);
        assert_in_range(w.file_sent, 1, FILE_BYTES - 1);
        assert_int_equal(w.file_sent, w.client.bytes_out);
        close_world();
    }
}

/* The driver may have sent it before it hears of the cancel: what cancel promised holds. */
static void
test_a_canceled_file_says_so(void **unused)
{
    (void)unused;
    for (uint64_t count = 1000; count <= FILE_BYTES; count *= 1000) {
        open_world(RILL_SIM_COMPLETION, NULL);
        rill_sim_inject(w.sim, RILL_SIM_FAULT_CANCEL_LOSES, 1);
        send_file(count);
        assert_true(rill_cancel(w.loop, w.file_id));
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_int_equal(rill_sim_fault_count(w.sim, RILL_SIM_FAULT_CANCEL_LOSES), 1);
        assert_int_equal(w.file_calls, 1);
        assert_int_equal(w.file_rc, RILL_ECANCELED);
        assert_int_equal(w.file_sent, rill_sim_peer_bytes_in(w.peer));
        assert_true(w.file_sent > 0 && (count == 1000 || w.file_sent < count));
        close_world();
    }
}

static void
test_a_stall_is_noticed_after_a_canceled_file(void **unused)
{
    rill_transport_options o = RILL_TRANSPORT_OPTIONS(.stall_timeout = 2 * RILL_S);
    char *bytes = calloc(1, FILE_BYTES);

    (void)unused;
    open_world(RILL_SIM_READINESS, &o);
    rill_sim_peer_pause(w.peer);
    assert_int_equal(rill_transport_write(w.client.t, bytes, FILE_BYTES), 0);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0); /* Nothing moves any more. */
    assert_false(w.client.lost);
    send_file(1000); /* It waits behind them. */
    assert_true(rill_cancel(w.loop, w.file_id));
    assert_int_equal(rill_sim_run_for(w.sim, 3 * RILL_S), 0);
    assert_true(w.client.lost);
    assert_int_equal(w.client.code, RILL_ESTALLED);
    close_world();
    free(bytes);
}

/* ---- writing ---- */

static void
write_an_empty_part(side *s)
{
    static const rill_iovec parts[] = { { "a", 1 }, { NULL, 0 }, { "b", 1 } };

    assert_int_equal(rill_transport_writev(s->t, parts, 3), 1);
}

static void
test_an_empty_part_needs_no_data(void **unused)
{
    char got[8];

    (void)unused;
    open_world(RILL_SIM_READINESS, NULL);
    w.client.on_data = write_an_empty_part;
    assert_int_equal(rill_sim_peer_feed(w.peer, "x", 1), 0);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
    assert_int_equal(rill_sim_peer_take(w.peer, got, sizeof(got)), 2);
    assert_memory_equal(got, "ab", 2);
    close_world();
}

static void
write_without_memory_and_close(side *s)
{
    static const char bytes[100000];

    s->on_resume = NULL;
    allocator_fail(&w.memory, 1, false);
    (void)rill_transport_write(s->t, bytes, sizeof(bytes));
    assert_int_equal(w.memory.refused, 1);
    rill_transport_close(s->t);
}

/* What it wrote before is not all that it had to say. */
static void
test_a_failed_write_is_no_end(void **unused)
{
    static const char bytes[5000];
    rill_transport_options o = RILL_TRANSPORT_OPTIONS(.write_high = 1000);

    (void)unused;
    open_world(RILL_SIM_READINESS, NULL);
    w.client.t = NULL;
    assert_int_equal(
        rill_create_pair(w.loop, &o, &plain, &w.client, &plain, &w.other, NULL, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
    w.client.on_resume = write_without_memory_and_close;
    assert_int_equal(rill_transport_write(w.client.t, bytes, sizeof(bytes)), 0);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
    assert_true(w.client.lost && w.other.lost);
    assert_int_equal(w.client.code, -ENOMEM);
    assert_false(w.other.eof);
    assert_int_equal(w.other.code, -ECONNRESET);
    close_world();
}

/* ---- exchange in get_buffer ---- */

static char old_buffer[16];

static size_t
get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    (void)hint;
    assert_int_equal(rill_transport_set_protocol(t, &plain, self), 0);
    *ret_buf = old_buffer;
    return sizeof(old_buffer);
}

static void
buffer_updated(rill_transport *t, void *self, size_t len)
{
    (void)t;
    (void)self;
    (void)len;
    fail_msg("the old protocol is called");
}

static const rill_protocol exchanging =
    RILL_PROTOCOL(PLAIN, .get_buffer = get_buffer, .buffer_updated = buffer_updated);

static void
test_a_protocol_exchanged_in_get_buffer(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        open_world((rill_sim_personality)p, NULL);
        assert_int_equal(rill_transport_set_protocol(w.client.t, &exchanging, &w.client), 0);
        assert_int_equal(rill_sim_peer_feed(w.peer, "hello", 5), 0);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_int_equal(w.client.bytes_in, 5);

        assert_int_equal(
            rill_create_pair(w.loop, NULL, &plain, &w.other, &exchanging, &w.client, NULL, NULL),
            0);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_true(w.other.t != NULL && !w.other.lost);
        assert_int_equal(rill_transport_write(w.other.t, "hello", 5), 1);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_int_equal(w.client.bytes_in, 10);
        assert_int_equal(old_buffer[0], 0);
        close_world();
    }
}

/* ---- the simulated kernel ---- */

static void
test_a_smaller_send_buffer_does_not_stand_still(void **unused)
{
    char *bytes = calloc(1, FILE_BYTES);

    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        open_world((rill_sim_personality)p, NULL);
        assert_int_equal(rill_transport_write(w.client.t, bytes, 24000), 1);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_false(w.client.lost);
        assert_int_equal(rill_transport_set_option(w.client.t, RILL_OPTION_SEND_BUFFER, 4096), 0);
        (void)rill_transport_write(w.client.t, bytes, FILE_BYTES);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_int_equal(rill_sim_peer_bytes_in(w.peer), FILE_BYTES + 24000);
        close_world();
    }
    free(bytes);
}

/* A send in flight is told of it first; the receive must not take what follows for the end. */
static void
test_a_reset_is_no_end(void **unused)
{
    (void)unused;
    for (seed = 1; seed <= 10; seed++) { /* Half of the sends have to be started. */
        open_world(RILL_SIM_COMPLETION, NULL);
        assert_int_equal(rill_transport_write(w.client.t, "hello", 5), 1);
        rill_sim_peer_reset(w.peer);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_true(w.client.lost);
        assert_int_equal(w.client.code, -ECONNRESET);
        assert_false(w.client.eof);
        close_world();
    }
}

/* The same, with the reset between two parts of one write. */
static void
test_a_reset_within_a_write_is_no_end(void **unused)
{
    static const char bytes[3000];
    const rill_iovec parts[] = { { bytes, 3000 }, { bytes, 3000 }, { bytes, 3000 } };

    (void)unused;
    open_world(RILL_SIM_READINESS, NULL);
    rill_sim_inject(w.sim, RILL_SIM_FAULT_RESET, 1);
    (void)rill_transport_writev(w.client.t, parts, 3);
    assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
    assert_int_equal(rill_sim_fault_count(w.sim, RILL_SIM_FAULT_RESET), 1);
    assert_true(w.client.lost);
    assert_int_equal(w.client.code, -ECONNRESET);
    assert_false(w.client.eof);
    close_world();
}

static void
test_healing_ends_planned_allocation_failures(void **unused)
{
    rill_sim_options o =
        RILL_SIM_OPTIONS(.seed = 1, .profile = RILL_SIM_CALM, .fail_allocations_from = 1);
    rill_sim *sim;
    rill_loop *loop;

    (void)unused;
    assert_int_equal(rill_sim_new(&o, &sim), 0);
    assert_int_equal(rill_sim_loop_new(sim, NULL, NULL, &loop), -ENOMEM);
    rill_sim_heal(sim);
    assert_int_equal(rill_sim_loop_new(sim, NULL, NULL, &loop), 0);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A kernel without memory for bytes that have room says so, instead of asking to be asked again. */
static void
test_a_send_without_memory_is_no_spin(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        for (int by_file = 0; by_file < 2; by_file++) {
            open_world((rill_sim_personality)p, NULL);
            allocator_fail(&w.world_memory, 1, true);
            if (by_file)
                send_file(FILE_BYTES);
            else
                assert_code(rill_transport_write(w.client.t, "bytes", 5), 1);
            assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
            assert_int_equal(w.file_calls, by_file);
            assert_code(by_file ? w.file_rc : w.client.code, -ENOBUFS);
            assert_int_equal(w.client.lost, !by_file); /* A file that fails is told to its owner. */
            allocator_heal(&w.world_memory);
            close_world();
        }
    }
}

/* What arrives without memory to take it in is no reason to look again for ever. */
static void
test_an_arrival_without_memory_is_no_spin(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        for (int warm = 0; warm < 2; warm++) { /* Then the loop has its buffer already. */
            open_world((rill_sim_personality)p, NULL);
            if (warm)
                assert_int_equal(rill_sim_peer_feed(w.peer, "x", 1), 0);
            assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
            allocator_fail(&w.memory, 1, true);
            assert_int_equal(rill_sim_peer_feed(w.peer, "hello", 5), 0);
            assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
            assert_int_equal(w.client.bytes_in, warm ? 6 : 0);
            assert_int_equal(w.client.lost, !warm);
            if (!warm)
                assert_code(w.client.code, -ENOMEM);
            allocator_heal(&w.memory);
            close_world();
        }
    }
}

/* The same for who wants to be accepted; after the relief it is. */
static void
test_an_accept_without_memory_is_no_spin(void **unused)
{
    rill_server_options o = RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = 7001);
    rill_server_stats stats = { .size = sizeof(stats) };
    rill_server *server;
    rill_sim_peer *dialer, *late;

    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        open_world((rill_sim_personality)p, NULL);
        assert_int_equal(rill_create_server(w.loop, &o, &plain, &w.other, &server), 0);
        allocator_fail(&w.memory, 1, true);
        assert_int_equal(rill_sim_dial(w.sim, NULL, "127.0.0.1:7001", &dialer), 0);
        assert_int_equal(rill_sim_run_until_idle(w.sim), 0);
        assert_null(w.other.t);
        allocator_heal(&w.memory);
        assert_int_equal(rill_sim_dial(w.sim, NULL, "127.0.0.1:7001", &late), 0);
        assert_int_equal(rill_sim_run_for(w.sim, RILL_S), 0);
        assert_non_null(w.other.t);
        rill_server_get_stats(server, &stats);
        assert_true(stats.live >= 1);
        close_world();
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lost_file_tells_what_was_sent),
        cmocka_unit_test(test_a_canceled_file_says_so),
        cmocka_unit_test(test_a_stall_is_noticed_after_a_canceled_file),
        cmocka_unit_test(test_an_empty_part_needs_no_data),
        cmocka_unit_test(test_a_failed_write_is_no_end),
        cmocka_unit_test(test_a_protocol_exchanged_in_get_buffer),
        cmocka_unit_test(test_a_smaller_send_buffer_does_not_stand_still),
        cmocka_unit_test(test_a_reset_is_no_end),
        cmocka_unit_test(test_a_reset_within_a_write_is_no_end),
        cmocka_unit_test(test_healing_ends_planned_allocation_failures),
        cmocka_unit_test(test_a_send_without_memory_is_no_spin),
        cmocka_unit_test(test_an_arrival_without_memory_is_no_spin),
        cmocka_unit_test(test_an_accept_without_memory_is_no_spin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
