/*
 * Simulated pipes: what goes in comes out under every fault and in both personalities, short writes
 * are atomic, a full descriptor table is told, and nothing is left behind.
 */
#include "pipes.h"

#include <rill/sim.h>

#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

#define BYTES  300000
#define ATOMIC 4096

/* ---- one run ---- */

typedef struct run {
    rill_sim *sim;
    rill_loop *loop;
    uint64_t written, received;
    bool paused;
    bool read_lost, write_lost;
    int read_code, write_code;
} run;

static void
write_more(run *r, rill_transport *t)
{
    uint8_t block[5000];

    while (!r->paused && r->written < BYTES) {
        size_t len = 1 + (size_t)(r->written * 7 % sizeof(block));

        if (len > BYTES - r->written)
            len = (size_t)(BYTES - r->written);
        stream_fill(block, r->written, len);
        r->written += len;
        assert_true(rill_transport_write(t, block, len) >= 0);
    }
    if (r->written == BYTES)
        rill_transport_close(t);
}

static void
writer_made(rill_transport *t, void *self, void *arg)
{
    (void)arg;
    write_more(self, t);
}

static void
writer_pause(rill_transport *t, void *self)
{
    (void)t;
    ((run *)self)->paused = true;
}

static void
writer_resume(rill_transport *t, void *self)
{
    ((run *)self)->paused = false;
    write_more(self, t);
}

static void
writer_lost(rill_transport *t, void *self, const rill_reason *why)
{
    run *r = self;

    (void)t;
    r->write_lost = true;
    r->write_code = why->code;
}

static void
reader_data(rill_transport *t, void *self, rill_slice in)
{
    run *r = self;

    for (size_t i = 0; i < in.len; i++)
        assert_int_equal(in.data[i], stream_byte(r->received + i));
    r->received += in.len;
    if (r->received % 5 == 0) {
        rill_transport_pause_reading(t);
        rill_transport_resume_reading(t);
    }
}

static void
reader_lost(rill_transport *t, void *self, const rill_reason *why)
{
    run *r = self;

    (void)t;
    r->read_lost = true;
    r->read_code = why->code;
}

static const rill_protocol writer = RILL_PROTOCOL(.connection_made = writer_made,
    .pause_writing = writer_pause, .resume_writing = writer_resume, .connection_lost = writer_lost);
static const rill_protocol reader =
    RILL_PROTOCOL(.data_received = reader_data, .connection_lost = reader_lost);

static void
world_open(run *r, uint64_t seed, rill_sim_profile profile, rill_sim_personality personality)
{
    memset(r, 0, sizeof(*r));
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed, .profile = profile,
                                      .personality = personality),
                         &r->sim),
        0);
    assert_int_equal(rill_sim_loop_new(r->sim, NULL, NULL, &r->loop), 0);
}

/* The n-th try: making and registering may fail on purpose. */
static int
until_it_works(int (*call)(run *r, int fd), run *r, int fd)
{
    int rc = -1;

    for (int i = 0; i < 1000 && rc < 0; i++)
        rc = call(r, fd);
    assert_int_equal(rc, 0);
    return rc;
}

static int
take_reader(run *r, int fd)
{
    return rill_connect_read_pipe(r->loop, fd, NULL, &reader, r, NULL);
}

static int
take_writer(run *r, int fd)
{
    return rill_connect_write_pipe(r->loop, fd, NULL, &writer, r, NULL);
}

static int fds[2];

static int
make(run *r, int unused)
{
    (void)unused;
    return rill_pipe(r->loop, 0, &fds[0], &fds[1]);
}

static bool
both_lost(void *arg)
{
    const run *r = arg;

    return r->read_lost && r->write_lost;
}

static void
test_everything_comes_through_whatever_fails(void **unused)
{
    uint64_t short_sends = 0;
    uint64_t again = 0;

    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run r;

        world_open(&r, seed, seed % 2 == 0 ? RILL_SIM_HOSTILE : RILL_SIM_SWARM,
            RILL_SIM_PERSONALITY_DEFAULT);
        rill_sim_set_fault(r.sim, RILL_SIM_FAULT_ALLOCATION, 0);
        until_it_works(make, &r, 0);
        until_it_works(take_reader, &r, fds[0]);
        until_it_works(take_writer, &r, fds[1]);
        assert_int_equal(rill_sim_run_until(r.sim, both_lost, &r, 600 * RILL_S), 0);
        assert_int_equal(r.received, BYTES);
        assert_code(r.write_code, 0);
        assert_code(r.read_code, RILL_EOF);
        short_sends += rill_sim_fault_count(r.sim, RILL_SIM_FAULT_SEND_SHORT);
        again += rill_sim_fault_count(r.sim, RILL_SIM_FAULT_RECV_AGAIN);
        assert_int_equal(rill_sim_descriptors(r.sim, NULL), 0);
        assert_int_equal(rill_sim_free(r.sim), 0);
    }
    assert_true(short_sends > 0);
    assert_true(again > 0);
}

static void
test_one_seed_is_one_run(void **unused)
{
    uint64_t hashes[2];

    (void)unused;
    for (int i = 0; i < 2; i++) {
        run r;

        world_open(&r, 77, RILL_SIM_HOSTILE, RILL_SIM_PERSONALITY_DEFAULT);
        until_it_works(make, &r, 0);
        until_it_works(take_reader, &r, fds[0]);
        until_it_works(take_writer, &r, fds[1]);
        assert_int_equal(rill_sim_run_until(r.sim, both_lost, &r, 600 * RILL_S), 0);
        hashes[i] = rill_sim_trace_hash(r.sim);
        (void)rill_sim_free(r.sim);
    }
    assert_true(hashes[0] == hashes[1]);
}

/* ---- single calls ---- */

static void
on_record(rill__op *op)
{
    (void)op;
}

static void
attach(run *r, rill__io *io, int fd, int what)
{
    memset(io, 0, sizeof(*io));
    io->recv.fn = on_record;
    io->send.fn = on_record;
    io->close.fn = on_record;
    io->recv.pipe = (uint8_t)what;
    assert_int_equal(r->loop->ops->attach(r->loop->driver, io, fd, RILL__IO_PIPE), 0);
}

static int64_t
send_bytes(run *r, rill__io *io, size_t len)
{
    static const uint8_t bytes[100000];
    rill__iov part = { bytes, len };

    return r->loop->ops->send_now(r->loop->driver, io, &part, 1);
}

static int64_t
take_bytes(run *r, rill__io *io, size_t len)
{
    static uint8_t bytes[100000];

    return r->loop->ops->recv_into(r->loop->driver, io, bytes, len);
}

/* POSIX: a write of up to PIPE_BUF bytes goes in one piece or not at all. */
static void
test_short_writes_are_atomic(void **unused)
{
    rill__io in;
    rill__io out;
    run r;

    (void)unused;
    world_open(&r, 1, RILL_SIM_CALM, RILL_SIM_READINESS);
    until_it_works(make, &r, 0);
    attach(&r, &in, fds[0], 0);
    attach(&r, &out, fds[1], RILL__PIPE_WRITES);
    assert_int_equal(send_bytes(&r, &out, 65436), 65436);
    assert_int_equal(send_bytes(&r, &out, 101), -EAGAIN);
    assert_int_equal(send_bytes(&r, &out, ATOMIC), -EAGAIN);
    assert_int_equal(send_bytes(&r, &out, ATOMIC + 1), 100);
    assert_int_equal(send_bytes(&r, &out, 1), -EAGAIN);
    rill_sim_set_fault(r.sim, RILL_SIM_FAULT_SEND_SHORT, 1000000);
    assert_int_equal(take_bytes(&r, &in, 20000), 20000);
    assert_int_equal(send_bytes(&r, &out, ATOMIC), ATOMIC);
    assert_true(send_bytes(&r, &out, ATOMIC + 2) < ATOMIC + 2);
    assert_int_equal(take_bytes(&r, &out, 1), -EAGAIN);
    r.loop->ops->close_io(r.loop->driver, &in, false);
    assert_int_equal(take_bytes(&r, &out, 1), -EPIPE);
    assert_int_equal(send_bytes(&r, &out, 1), -EPIPE);
    r.loop->ops->close_io(r.loop->driver, &out, false);
    assert_int_equal(rill_sim_run_until_idle(r.sim), 0);
    assert_int_equal(rill_sim_free(r.sim), 0);
}

static void
test_a_full_table_of_descriptors_is_told(void **unused)
{
    run r;

    (void)unused;
    world_open(&r, 1, RILL_SIM_CALM, RILL_SIM_PERSONALITY_DEFAULT);
    for (size_t max = 1; max <= 2; max++) {
        assert_int_equal(rill_sim_set_descriptors_max(r.sim, NULL, max), 0);
        fds[0] = fds[1] = -1;
        assert_code(make(&r, 0), max == 1 ? -EMFILE : 0);
        assert_int_equal(rill_sim_descriptors(r.sim, NULL), max == 1 ? 0 : 2);
        assert_int_equal(fds[0] >= 0, max == 2);
    }
    assert_code(rill_pipe_close(r.loop, fds[0]), 0);
    assert_code(rill_pipe_close(r.loop, fds[1]), 0);
    rill_sim_set_fault(r.sim, RILL_SIM_FAULT_SOCKET_ENFILE, 1000000);
    assert_code(make(&r, 0), -ENFILE);
    assert_int_equal(rill_sim_free(r.sim), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_through_whatever_fails),
        cmocka_unit_test(test_one_seed_is_one_run),
        cmocka_unit_test(test_short_writes_are_atomic),
        cmocka_unit_test(test_a_full_table_of_descriptors_is_told),
    };

    return run_cases(tests);
}
