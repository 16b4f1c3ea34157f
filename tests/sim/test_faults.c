/*
 * Every kind of fault: that it fires when it is asked for, what a program sees of it, and that it
 * can be counted, named, left out and healed.
 */
#include <stdio.h>

#include "raw_echo.h"

typedef struct fixture {
    rill_sim *sim;
    rill_loop *loop;
    raw_echo echo;
    rill_sim_peer *peer;
} fixture;

static void
open_world(fixture *f, rill_sim_personality personality)
{
    rill_sim_options options =
        RILL_SIM_OPTIONS(.seed = 11, .profile = RILL_SIM_CALM, .personality = personality);

    memset(f, 0, sizeof(*f));
    assert_int_equal(rill_sim_new(&options, &f->sim), 0);
    assert_int_equal(rill_sim_loop_new(f->sim, NULL, NULL, &f->loop), 0);
    assert_int_equal(raw_echo_start(&f->echo, f->loop, "127.0.0.1", 7000, 16), 0);
    assert_int_equal(rill_sim_run_until_idle(f->sim), 0);
}

static void
close_world(fixture *f)
{
    raw_echo_stop(&f->echo, f->sim);
    assert_int_equal(rill_sim_free(f->sim), 0);
}

static void
dial(fixture *f)
{
    assert_int_equal(rill_sim_dial(f->sim, NULL, "127.0.0.1:7000", &f->peer), 0);
}

static bool
peer_settled(void *arg)
{
    rill_sim_peer_state state = rill_sim_peer_get_state(((fixture *)arg)->peer);

    return state == RILL_SIM_PEER_OPEN || state == RILL_SIM_PEER_FAILED;
}

static void
run_until_settled(fixture *f)
{
    assert_int_equal(rill_sim_run_until(f->sim, peer_settled, f, 300 * RILL_S), 0);
}

/* What goes in comes back, however long it takes. */
static void
expect_echo(fixture *f, size_t len)
{
    uint8_t *data = malloc(len);
    uint8_t *back = malloc(len);

    assert_non_null(data);
    assert_non_null(back);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(rill_sim_peer_feed(f->peer, data, len), 0);
    assert_int_equal(rill_sim_run_for(f->sim, 60 * RILL_S), 0);
    assert_int_equal(rill_sim_peer_take(f->peer, back, len), len);
    assert_memory_equal(data, back, len);
    free(data);
    free(back);
}

static void
expect_fired(fixture *f, rill_sim_fault kind, uint64_t least)
{
    if (rill_sim_fault_count(f->sim, kind) < least)
        fail_msg("%s fired %u times", rill_sim_fault_name(kind),
            (unsigned)rill_sim_fault_count(f->sim, kind));
}

/* ---- sockets and accepting ---- */

static void
test_socket_errors(void **unused)
{
    static const struct {
        rill_sim_fault kind;
        int error;
    } cases[] = { { RILL_SIM_FAULT_SOCKET_EMFILE, -EMFILE },
        { RILL_SIM_FAULT_SOCKET_ENFILE, -ENFILE }, { RILL_SIM_FAULT_SOCKET_ENOBUFS, -ENOBUFS },
        { RILL_SIM_FAULT_SOCKET_ENOMEM, -ENOMEM } };
    fixture f;
    int fd;

    (void)unused;
    open_world(&f, RILL_SIM_READINESS);
    for (size_t i = 0; i < 4; i++) {
        rill_sim_inject(f.sim, cases[i].kind, 1);
        assert_int_equal(
            f.loop->sys->socket(f.loop->driver, RILL_FAMILY_IPV4, &fd), cases[i].error);
        assert_int_equal(rill_sim_fault_count(f.sim, cases[i].kind), 1);
        assert_int_equal(f.loop->sys->socket(f.loop->driver, RILL_FAMILY_IPV4, &fd), 0);
        f.loop->sys->close_fd(f.loop->driver, fd, false);
    }
    close_world(&f);
}

static void
test_attach_error(void **unused)
{
    rill__io io = { 0 };
    fixture f;
    int fd;

    (void)unused;
    open_world(&f, RILL_SIM_READINESS);
    assert_int_equal(f.loop->sys->socket(f.loop->driver, RILL_FAMILY_IPV4, &fd), 0);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_ATTACH_ENOMEM, 1);
    assert_int_equal(f.loop->ops->attach(f.loop->driver, &io, fd, RILL__IO_STREAM), -ENOMEM);
    assert_int_equal(f.loop->ops->attach(f.loop->driver, &io, fd, RILL__IO_STREAM), 0);
    assert_int_equal(f.loop->ops->attach(f.loop->driver, &io, fd, RILL__IO_STREAM), -EEXIST);
    assert_int_equal(f.loop->ops->detach(f.loop->driver, &io), fd);
    f.loop->sys->close_fd(f.loop->driver, fd, false);
    close_world(&f);
}

/* The connection stays in the backlog, and is served later. */
static void
accept_error_that_passes(rill_sim_fault kind, int error, rill_sim_personality personality)
{
    fixture f;

    open_world(&f, personality);
    rill_sim_inject(f.sim, kind, 3);
    dial(&f);
    expect_echo(&f, 100);
    assert_int_equal(rill_sim_fault_count(f.sim, kind), 3);
    assert_int_equal(f.echo.accept_errors, 3);
    assert_int_equal(f.echo.accept_last, error);
    assert_int_equal(f.echo.accepted, 1);
    close_world(&f);
}

/* The connection is lost, the next one is served. */
static void
accept_error_that_loses(rill_sim_fault kind, int error, rill_sim_personality personality)
{
    fixture f;

    open_world(&f, personality);
    rill_sim_inject(f.sim, kind, 1);
    dial(&f);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(rill_sim_peer_error(f.peer), -ECONNRESET);
    assert_int_equal(f.echo.accept_last, error);
    assert_int_equal(f.echo.accepted, 0);
    dial(&f);
    expect_echo(&f, 100);
    assert_int_equal(f.echo.accepted, 1);
    close_world(&f);
}

static void
test_accept_errors(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        rill_sim_personality personality = (rill_sim_personality)p;

        accept_error_that_passes(RILL_SIM_FAULT_ACCEPT_EMFILE, -EMFILE, personality);
        accept_error_that_passes(RILL_SIM_FAULT_ACCEPT_ENFILE, -ENFILE, personality);
        accept_error_that_passes(RILL_SIM_FAULT_ACCEPT_ENOBUFS, -ENOBUFS, personality);
        accept_error_that_passes(RILL_SIM_FAULT_ACCEPT_ENOMEM, -ENOMEM, personality);
        accept_error_that_passes(RILL_SIM_FAULT_ACCEPT_EINTR, -EINTR, personality);
        accept_error_that_loses(RILL_SIM_FAULT_ACCEPT_ECONNABORTED, -ECONNABORTED, personality);
        accept_error_that_loses(RILL_SIM_FAULT_ACCEPT_EPROTO, -EPROTO, personality);
        accept_error_that_loses(RILL_SIM_FAULT_ACCEPT_EPERM, -EPERM, personality);
    }
}

/* Not a fault but a limit: as with a process that has used up its descriptors. */
static void
test_descriptor_limit(void **unused)
{
    fixture f;
    rill_sim_peer *second;

    (void)unused;
    open_world(&f, RILL_SIM_READINESS);
    assert_int_equal(rill_sim_set_descriptors_max(f.sim, NULL, 2), 0);
    assert_int_equal(rill_sim_set_descriptors_max(f.sim, "nobody", 2), RILL_EINVAL);
    dial(&f);
    assert_int_equal(rill_sim_dial(f.sim, NULL, "127.0.0.1:7000", &second), 0);
    assert_int_equal(rill_sim_run_for(f.sim, RILL_S), 0);
    assert_int_equal(f.echo.accepted, 1);
    assert_int_equal(f.echo.accept_last, -EMFILE);
    assert_true(f.echo.accept_errors <= 11); /* It rests 100 ms after each. */
    assert_int_equal(rill_sim_descriptors(f.sim, NULL), 2);
    rill_sim_peer_close(f.peer);
    assert_int_equal(rill_sim_run_for(f.sim, RILL_S), 0);
    assert_int_equal(f.echo.accepted, 2);
    close_world(&f);
}

/* ---- bytes ---- */

/* With this fault at its highest rate every byte still comes back. */
static void
echo_under(rill_sim_fault kind, uint32_t rate, uint64_t least, rill_sim_personality personality)
{
    fixture f;

    open_world(&f, personality);
    rill_sim_set_fault(f.sim, kind, rate);
    rill_sim_inject(f.sim, kind, (uint32_t)least);
    dial(&f);
    expect_echo(&f, 50000);
    expect_fired(&f, kind, least);
    close_world(&f);
}

static void
test_short_counts(void **unused)
{
    (void)unused;
    for (int p = RILL_SIM_READINESS; p <= RILL_SIM_COMPLETION; p++) {
        echo_under(RILL_SIM_FAULT_RECV_SHORT, 900000, 5, (rill_sim_personality)p);
        echo_under(RILL_SIM_FAULT_RECV_AGAIN, 500000, 3, (rill_sim_personality)p);
        echo_under(RILL_SIM_FAULT_SEND_SHORT, 900000, 3, (rill_sim_personality)p);
        echo_under(RILL_SIM_FAULT_SEND_AGAIN, 500000, 3, (rill_sim_personality)p);
        echo_under(RILL_SIM_FAULT_SPLIT, 900000, 5, (rill_sim_personality)p);
        echo_under(RILL_SIM_FAULT_READY_ORDER, 1000000, 2, (rill_sim_personality)p);
    }
}

static void
test_completion_faults(void **unused)
{
    (void)unused;
    echo_under(RILL_SIM_FAULT_SEND_LATE, 1000000, 1, RILL_SIM_COMPLETION);
}

static void
test_spurious_records(void **unused)
{
    fixture f;

    (void)unused;
    open_world(&f, RILL_SIM_READINESS);
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_SPURIOUS_READ, 1000000);
    dial(&f);
    expect_echo(&f, 100);
    assert_true(f.echo.recv_empty > 0);
    expect_fired(&f, RILL_SIM_FAULT_SPURIOUS_READ, 1);
    close_world(&f);
}

/* A write record though there is no room: finish says -EAGAIN, and the send goes on. */
static void
test_spurious_write(void **unused)
{
    fixture f;
    uint8_t *data = calloc(1, 1 << 20);

    (void)unused;
    assert_non_null(data);
    open_world(&f, RILL_SIM_READINESS);
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_SPURIOUS_WRITE, 1000000);
    dial(&f);
    rill_sim_peer_pause(f.peer);
    assert_int_equal(rill_sim_peer_feed(f.peer, data, 1 << 20), 0);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    expect_fired(&f, RILL_SIM_FAULT_SPURIOUS_WRITE, 1);
    assert_true(f.echo.sends_started > 0);
    rill_sim_peer_resume(f.peer);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f.peer), 1 << 20);
    close_world(&f);
    free(data);
}

static void
test_byte_limits(void **unused)
{
    rill_sim_options options =
        RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .recv_bytes_max = 1, .send_bytes_max = 1);
    fixture f = { 0 };

    (void)unused;
    assert_int_equal(rill_sim_new(&options, &f.sim), 0);
    assert_int_equal(rill_sim_loop_new(f.sim, NULL, NULL, &f.loop), 0);
    assert_int_equal(raw_echo_start(&f.echo, f.loop, "127.0.0.1", 7000, 16), 0);
    dial(&f);
    expect_echo(&f, 100);
    assert_true(f.echo.recv_records >= 100);
    close_world(&f);
}

/* Bytes that the driver took after a pause are not lost, and not delivered before the resume. */
static void
test_late_slices(void **unused)
{
    fixture f;

    (void)unused;
    open_world(&f, RILL_SIM_COMPLETION);
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_SLICE_LATE, 1000000);
    f.echo.hold = true;
    dial(&f);
    assert_int_equal(rill_sim_peer_feed(f.peer, "hello", 5), 0);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(f.echo.recv_bytes, 0);
    expect_fired(&f, RILL_SIM_FAULT_SLICE_LATE, 1);
    raw_echo_release(&f.echo);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(f.echo.recv_bytes, 5);
    close_world(&f);
}

static void
test_close_late(void **unused)
{
    fixture f;
    rill_ns start;

    (void)unused;
    open_world(&f, RILL_SIM_COMPLETION);
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_CLOSE_LATE, 1000000);
    dial(&f);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    start = rill_sim_now(f.sim);
    raw_echo_stop(&f.echo, f.sim);
    assert_true(rill_sim_now(f.sim) > start);
    assert_true(rill_sim_now(f.sim) - start <= 5 * RILL_MS);
    expect_fired(&f, RILL_SIM_FAULT_CLOSE_LATE, 2);
    assert_int_equal(rill_sim_free(f.sim), 0);
}

typedef struct cancel_case {
    rill__io io;
    rill_loop *loop;
    int64_t final;
    bool closed;
    bool done;
} cancel_case;

static void
cancel_sent(rill__op *op)
{
    cancel_case *c = RILL__CONTAINER(op, cancel_case, io.send);
    int64_t result = c->loop->ops->finish(c->loop->driver, &c->io);

    if (result != -EAGAIN) {
        assert_false(c->done);
        c->done = true;
        c->final = result;
    }
}

static void
cancel_closed(rill__op *op)
{
    RILL__CONTAINER(op, cancel_case, io.close)->closed = true;
}

static void
cancel_nothing(rill__op *op)
{
    (void)op;
}

/* The race of a cancel with its operation, lost and won: one FINAL, either way. */
static void
test_cancel_race(void **unused)
{
    static const rill__iov hello = { "hello", 5 };

    (void)unused;
    for (int loses = 0; loses <= 1; loses++) {
        cancel_case c = {
            .io = { .recv.fn = cancel_nothing, .send.fn = cancel_sent, .close.fn = cancel_closed }
        };
        rill_sim_peer *listener;
        rill_addr addr;
        fixture f;
        int fd;

        open_world(&f, RILL_SIM_COMPLETION);
        c.loop = f.loop;
        assert_int_equal(rill_sim_listen(f.sim, NULL, "127.0.0.1:8000", 4, &listener), 0);
        assert_int_equal(rill_addr_parse("127.0.0.1", 8000, &addr), 0);
        assert_int_equal(f.loop->sys->socket(f.loop->driver, RILL_FAMILY_IPV4, &fd), 0);
        assert_int_equal(f.loop->ops->attach(f.loop->driver, &c.io, fd, RILL__IO_STREAM), 0);
        assert_int_equal(f.loop->ops->connect_start(f.loop->driver, &c.io, &addr), 0);
        assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
        assert_int_equal(c.final, 0);
        c.done = false;
        rill_sim_inject(f.sim, RILL_SIM_FAULT_CANCEL_LOSES, (uint32_t)loses);
        assert_int_equal(f.loop->ops->send_start(f.loop->driver, &c.io, &hello, 1), 0);
        f.loop->ops->cancel(f.loop->driver, &c.io);
        assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
        assert_true(c.done);
        assert_int_equal(c.final, loses ? 5 : RILL_ECANCELED);
        f.loop->ops->close_io(f.loop->driver, &c.io, false);
        assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
        assert_true(c.closed);
        close_world(&f);
    }
}

/* ---- the network ---- */

static void
slower_under(rill_sim_fault kind, rill_ns least)
{
    fixture f;
    rill_ns start;

    open_world(&f, RILL_SIM_READINESS);
    dial(&f);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    rill_sim_inject(f.sim, kind, 1);
    start = rill_sim_now(f.sim);
    assert_int_equal(rill_sim_peer_feed(f.peer, "hello", 5), 0);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f.peer), 5);
    assert_true(rill_sim_now(f.sim) - start >= least);
    assert_true(rill_sim_now(f.sim) - start <= 10 * RILL_S);
    assert_int_equal(rill_sim_fault_count(f.sim, kind), 1);
    close_world(&f);
}

static void
test_delays(void **unused)
{
    (void)unused;
    slower_under(RILL_SIM_FAULT_DELAY, 1);
    slower_under(RILL_SIM_FAULT_LOSS, 200 * RILL_MS);
    slower_under(RILL_SIM_FAULT_STALL, 100 * RILL_MS);
}

static void
test_zero_window(void **unused)
{
    fixture f;
    uint8_t *data = calloc(1, 400000);
    rill_ns start;

    (void)unused;
    assert_non_null(data);
    open_world(&f, RILL_SIM_READINESS);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_ZERO_WINDOW, 1);
    dial(&f);
    start = rill_sim_now(f.sim);
    assert_int_equal(rill_sim_peer_feed(f.peer, data, 400000), 0);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(rill_sim_peer_bytes_in(f.peer), 400000);
    assert_true(rill_sim_now(f.sim) - start >= RILL_MS);
    expect_fired(&f, RILL_SIM_FAULT_ZERO_WINDOW, 1);
    close_world(&f);
    free(data);
}

/* The byte at which it happens depends on the connection; both ends learn of it. */
static void
test_reset_at_some_byte(void **unused)
{
    fixture f;
    uint8_t *data = calloc(1, 1 << 20);
    int reset = 0;

    (void)unused;
    assert_non_null(data);
    open_world(&f, RILL_SIM_READINESS);
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_RESET, 1000000);
    for (int i = 0; i < 20; i++) {
        dial(&f);
        assert_int_equal(rill_sim_peer_feed(f.peer, data, 1 << 20), 0);
        assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
        assert_true(rill_sim_peer_bytes_in(f.peer) < 1 << 20);
        reset += rill_sim_peer_error(f.peer) == -ECONNRESET;
    }
    assert_int_equal(reset, 20);
    assert_int_equal(f.echo.live, 0);
    assert_int_equal(f.echo.last_error, -ECONNRESET);
    expect_fired(&f, RILL_SIM_FAULT_RESET, 20);
    close_world(&f);
    free(data);
}

static void
test_connect_faults(void **unused)
{
    fixture f;
    rill_ns start;

    (void)unused;
    open_world(&f, RILL_SIM_READINESS);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_CONNECT_REFUSED, 1);
    dial(&f);
    run_until_settled(&f);
    assert_int_equal(rill_sim_peer_error(f.peer), -ECONNREFUSED);

    rill_sim_inject(f.sim, RILL_SIM_FAULT_CONNECT_RESET, 1);
    dial(&f);
    assert_int_equal(rill_sim_run_until_idle(f.sim), 0);
    assert_int_equal(rill_sim_peer_error(f.peer), -ECONNRESET);
    assert_int_equal(f.echo.accepted, 1); /* Accepted, then found to be gone. */
    assert_int_equal(f.echo.last_error, -ECONNRESET);

    start = rill_sim_now(f.sim);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_SYN_LOSS, 2);
    dial(&f);
    run_until_settled(&f);
    assert_int_equal(rill_sim_peer_get_state(f.peer), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_now(f.sim) - start, 3 * RILL_S);

    start = rill_sim_now(f.sim);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_BACKLOG_FULL, 1);
    dial(&f);
    run_until_settled(&f);
    assert_int_equal(rill_sim_peer_get_state(f.peer), RILL_SIM_PEER_OPEN);
    assert_int_equal(rill_sim_now(f.sim) - start, RILL_S);
    close_world(&f);
}

/* ---- naming and leaving out ---- */

static void
test_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < RILL_SIM_FAULT_COUNT; i++) {
        assert_string_not_equal(rill_sim_fault_name((rill_sim_fault)i), "unknown");
        for (int k = 0; k < i; k++)
            assert_string_not_equal(
                rill_sim_fault_name((rill_sim_fault)i), rill_sim_fault_name((rill_sim_fault)k));
    }
    assert_string_equal(rill_sim_fault_name(RILL_SIM_FAULT_COUNT), "unknown");
    assert_string_equal(rill_sim_fault_name(RILL_SIM_FAULT_SYN_LOSS), "syn_loss");
}

/* A world, one dialled peer that is refused or not, and what fired. */
static size_t
refusals(const uint32_t *only, size_t only_count, uint32_t *ret_fired, size_t max, int *ret_refused)
{
    rill_sim_options options = RILL_SIM_OPTIONS(.seed = 5, .profile = RILL_SIM_CALM,
        .only_faults = only, .only_faults_count = only_count);
    rill_sim_peer *listener;
    rill_sim_peer *peers[40];
    rill_sim *sim;
    size_t count;

    assert_int_equal(rill_sim_new(&options, &sim), 0);
    rill_sim_set_fault(sim, RILL_SIM_FAULT_CONNECT_REFUSED, 300000);
    assert_int_equal(rill_sim_listen(sim, NULL, "127.0.0.1:7", 64, &listener), 0);
    *ret_refused = 0;
    for (int i = 0; i < 40; i++)
        assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7", &peers[i]), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    for (int i = 0; i < 40; i++)
        *ret_refused += rill_sim_peer_get_state(peers[i]) == RILL_SIM_PEER_FAILED;
    count = rill_sim_fired(sim, ret_fired, max);
    assert_int_equal(count, rill_sim_fault_count(sim, RILL_SIM_FAULT_CONNECT_REFUSED));
    assert_int_equal(rill_sim_free(sim), 0);
    return count;
}

static void
test_only_these(void **unused)
{
    uint32_t fired[64];
    uint32_t again[64];
    char text[64];
    int refused;
    size_t count = refusals(NULL, 0, fired, 64, &refused);

    (void)unused;
    assert_true(count > 5 && count < 20);
    assert_int_equal(refused, count);
    assert_int_equal(refusals(&fired[3], 1, again, 64, &refused), 1);
    assert_int_equal(again[0], fired[3]);
    assert_int_equal(refused, 1);
    assert_int_equal(refusals(fired, 2, again, 1, &refused), 2);
    assert_int_equal(again[0], fired[0]);
    assert_int_equal(refused, 2);
    again[0] = fired[0] + 1;
    assert_int_equal(refusals(again, 1, again, 64, &refused), 0);

    snprintf(text, sizeof(text), "only:%x,%X", fired[1], fired[2]);
    (void)setenv("RILL_SIM_FAULTS", text, 1);
    assert_int_equal(refusals(NULL, 0, again, 64, &refused), 2);
    assert_int_equal(again[0], fired[1]);
    assert_int_equal(again[1], fired[2]);
    (void)setenv("RILL_SIM_FAULTS", "only:", 1);
    assert_int_equal(refusals(NULL, 0, again, 64, &refused), 0);
    (void)unsetenv("RILL_SIM_FAULTS");
}

static void
test_heal_ends_faults(void **unused)
{
    fixture f;
    uint64_t before = 0;
    uint64_t after = 0;

    (void)unused;
    memset(&f, 0, sizeof(f));
    assert_int_equal(
        rill_sim_new(&RILL_SIM_OPTIONS(.seed = 3, .profile = RILL_SIM_HOSTILE), &f.sim), 0);
    assert_int_equal(rill_sim_loop_new(f.sim, NULL,
                         &RILL_LOOP_OPTIONS(.allocator = &rill__default_allocator), &f.loop),
        0);
    assert_int_equal(raw_echo_start(&f.echo, f.loop, "127.0.0.1", 7000, 16), 0);
    for (int i = 0; i < 20; i++) {
        dial(&f);
        (void)rill_sim_peer_feed(f.peer, "hello", 5);
    }
    assert_int_equal(rill_sim_run_for(f.sim, 10 * RILL_S), 0);
    rill_sim_heal(f.sim);
    rill_sim_inject(f.sim, RILL_SIM_FAULT_RECV_AGAIN, 5); /* Too late. */
    rill_sim_set_fault(f.sim, RILL_SIM_FAULT_RECV_SHORT, 1000000);
    assert_int_equal(rill_sim_run_for(f.sim, 10 * RILL_S), 0);
    for (int i = 0; i < RILL_SIM_FAULT_COUNT; i++)
        before += rill_sim_fault_count(f.sim, (rill_sim_fault)i);
    assert_true(before > 20);
    dial(&f);
    expect_echo(&f, 100000);
    for (int i = 0; i < RILL_SIM_FAULT_COUNT; i++)
        after += rill_sim_fault_count(f.sim, (rill_sim_fault)i);
    assert_int_equal(before, after);
    close_world(&f);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket_errors),
        cmocka_unit_test(test_attach_error),
        cmocka_unit_test(test_accept_errors),
        cmocka_unit_test(test_descriptor_limit),
        cmocka_unit_test(test_short_counts),
        cmocka_unit_test(test_completion_faults),
        cmocka_unit_test(test_spurious_records),
        cmocka_unit_test(test_spurious_write),
        cmocka_unit_test(test_byte_limits),
        cmocka_unit_test(test_late_slices),
        cmocka_unit_test(test_close_late),
        cmocka_unit_test(test_cancel_race),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_zero_window),
        cmocka_unit_test(test_reset_at_some_byte),
        cmocka_unit_test(test_connect_faults),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_only_these),
        cmocka_unit_test(test_heal_ends_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
