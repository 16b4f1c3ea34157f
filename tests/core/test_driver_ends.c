/*
 * The conformance suite of drivers, 2: how connections end. Half closes, resets, closing with bytes
 * on both sides and with operations in flight. See test_driver.c.
 */
#include "driver_ends.h"

/* ---- ends ---- */

static void
test_half_close(void **state)
{
    fixture *f = *state;
    rill__iov iov = { "x", 1 };

    ends_connect_tcp(f);
    ends_send(f, "hello");
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_memory_equal(f->b.got, "hello", 5);
    assert_int_equal(f->ops->send_now(f->driver, &f->a.io, &iov, 1) == -EAGAIN
                         ? -EPIPE
                         : f->ops->send_now(f->driver, &f->a.io, &iov, 1),
        -EPIPE);
}

static void
test_other_direction_after_half_close(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(ends_send_result(f, &f->b, "reply"), 5);
    ends_wait(f, ends_a_some);
    assert_memory_equal(f->a.got, "reply", 5);
    assert_int_equal(ends_send_result(f, &f->a, "x"), -EPIPE);
}

static void
test_both_shut(void **state)
{
    fixture *f = *state;
    rill_addr name;

    ends_connect_tcp(f);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->b.io), 0);
    ends_stay_quiet(f);
    assert_true(f->a.eof);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), -ENOTCONN);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->b.io), -ENOTCONN);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -EPIPE);
}

/* What a socket says that was never connected. */
static void
test_never_connected(void **state)
{
    fixture *f = *state;
    rill_slice slice;
    rill_addr name;

    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->recv_take(f->driver, &f->a.io, &slice), -ENOTCONN);
    assert_int_equal(ends_send_result(f, &f->a, "x"), -EPIPE);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), -ENOTCONN);
    assert_int_equal(f->sys->sockname(f->driver, f->a.io.fd, &name), 0);
    assert_int_equal(rill_addr_port(&name), 0);
    ends_attach(f, &f->b, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->recv_take(f->driver, &f->b.io, &slice), -EINVAL);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -ENOTCONN);
    assert_int_equal(f->sys->peername(f->driver, f->b.io.fd, &name), -ENOTCONN);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->b.io), 0);
}

static void
test_shutdown_unconnected(void **state)
{
    fixture *f = *state;

    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), -ENOTCONN);
}

/* Bytes that had arrived stay readable after a reset; then the error, once; then the end. */
static void
test_reset_after_bytes(void **state)
{
    fixture *f = *state;
    rill_slice slice;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    ends_send(f, "hello");
    ends_close(f, &f->a, true);
    ends_wait(f, ends_a_closed);
    ends_stay_quiet(f);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_error);
    assert_int_equal(f->b.last, -ECONNRESET);
    assert_int_equal(f->b.got_len, 5);
    assert_memory_equal(f->b.got, "hello", 5);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.errors, 1);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -EPIPE);
    (void)slice;
}

static void
test_send_after_reset(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    ends_close(f, &f->a, true);
    ends_wait(f, ends_a_closed);
    ends_stay_quiet(f);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -ECONNRESET); /* It consumes the error. */
    assert_int_equal(ends_send_result(f, &f->b, "x"), -EPIPE);
}

static void
test_close_with_unread_bytes_resets(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    ends_send(f, "hello");
    ends_stay_quiet(f);
    ends_close(f, &f->b, false);
    ends_wait(f, ends_b_closed);
    ends_wait(f, ends_a_error);
    assert_int_equal(f->a.last, -ECONNRESET);
}

/* An orderly close, then bytes for it: they are answered by a reset, and that is EPIPE. */
static void
test_send_to_closed(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    ends_close(f, &f->a, false);
    ends_wait(f, ends_a_closed);
    ends_wait(f, ends_b_eof);
    assert_int_equal(ends_send_result(f, &f->b, "x"), 1);
    ends_stay_quiet(f);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -EPIPE);
    f->b.eof = false;
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, 0); /* The reader had its end already. */
}

/* A reset after the end of the stream tells the reader nothing: its end stays an orderly one. */
static void
test_reset_after_the_end(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    ends_close(f, &f->a, false);
    ends_wait(f, ends_a_closed);
    ends_wait(f, ends_b_eof);
    assert_int_equal(ends_send_result(f, &f->b, "x"), 1);
    ends_stay_quiet(f);
    f->b.eof = false;
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, 0);
    assert_int_equal(ends_send_result(f, &f->b, "x"), -EPIPE);
}

static void
test_close_delivers_all(void **state)
{
    fixture *f = *state;
    uint8_t data[60000];

    ends_connect_tcp(f);
    ends_fill(data, sizeof(data), 0);
    f->ops->pause(f->driver, &f->b.io);
    ends_send_all(f, data, sizeof(data));
    ends_close(f, &f->a, false);
    ends_wait(f, ends_a_closed);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, 0);
    assert_int_equal(f->b.got_len, sizeof(data));
    assert_true(f->b.matches);
}

static void
test_close_in_recv_record(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->b.close_at_once = true;
    ends_send(f, "hello");
    ends_wait(f, ends_b_closed);
    ends_stay_quiet(f);
    assert_int_equal(f->b.recvs, 1);
    assert_int_equal(f->b.closes, 1);
}

static void
close_the_other(rill__op *op)
{
    end *e = RILL__CONTAINER(op, end, io.recv);
    fixture *f = e->fixture;
    end *other = e == &f->a ? &f->b : &f->a;

    e->recvs++;
    assert_false(e->io.closing);
    if (!other->io.closing)
        f->ops->close_io(f->driver, &other->io, true);
    f->ops->pause(f->driver, &e->io);
}

static bool
one_closed(fixture *f)
{
    return f->a.closes + f->b.closes == 1;
}

/* Both ends have a record on the ready list; the first to run closes the other: whose record is
 * passed over. */
static void
test_close_with_record_queued(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->a.io);
    f->ops->pause(f->driver, &f->b.io);
    ends_send(f, "hello");
    assert_int_equal(ends_send_result(f, &f->b, "hello"), 5);
    ends_stay_quiet(f);
    f->a.io.recv.fn = close_the_other;
    f->b.io.recv.fn = close_the_other;
    f->ops->resume(f->driver, &f->a.io);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, one_closed);
    ends_stay_quiet(f);
    assert_int_equal(f->a.recvs + f->b.recvs, 1);
    assert_int_equal(f->a.closes == 1 ? f->a.recvs : f->b.recvs, 0);
}

static void
test_cancel_send(void **state)
{
    fixture *f = *state;
    uint8_t *data = calloc(1, BIG);
    int sends;

    assert_non_null(data);
    ends_connect_tcp(f);
    ends_block_sender(f, data, BIG);
    sends = f->a.sends;
    f->ops->cancel(f->driver, &f->a.io);
    assert_int_equal(f->a.sends, sends);
    ends_wait(f, ends_a_final);
    assert_true(f->a.final == RILL_ECANCELED || f->a.final > 0);
    memset(data, 1, BIG); /* From the FINAL on it is ours again. */
    free(data);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 1);
    f->ops->cancel(f->driver, &f->a.io); /* Nothing is in flight: nothing happens. */
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 1);
}

static void
test_close_with_send_in_flight(void **state)
{
    fixture *f = *state;
    uint8_t *data = calloc(1, BIG);
    int sends;

    assert_non_null(data);
    ends_connect_tcp(f);
    ends_block_sender(f, data, BIG);
    sends = f->a.sends;
    ends_close(f, &f->a, true);
    ends_wait(f, ends_a_closed);
    free(data); /* From the close record on. */
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 0);
    assert_int_equal(f->a.sends, sends);
    assert_int_equal(f->a.closes, 1);
}

static void
test_close_while_connecting(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_listen_on(f, &addr, 4);
    f->accept_limit = 1;
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_close(f, &f->a, true);
    ends_wait(f, ends_a_closed);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 0);
    if (f->accepted == 1) /* It may have been quick enough. */
        f->sys->close_fd(f->driver, f->fds[0], false);
}

static void
test_detach_gives_back(void **state)
{
    fixture *f = *state;
    int fd;

    ends_connect_tcp(f);
    fd = f->b.io.fd;
    assert_int_equal(f->ops->detach(f->driver, &f->b.io), fd);
    f->b.attached = false;
    ends_send(f, "hello");
    ends_stay_quiet(f);
    assert_int_equal(f->b.recvs, 0);
    ends_attach(f, &f->b, fd, RILL__IO_STREAM);
    assert_int_equal(f->ops->subscribe(f->driver, &f->b.io), 0);
    ends_wait(f, ends_b_five);
    assert_memory_equal(f->b.got, "hello", 5);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        ENDS_TEST(test_half_close),
        ENDS_TEST(test_other_direction_after_half_close),
        ENDS_TEST(test_both_shut),
        ENDS_TEST(test_never_connected),
        ENDS_TEST(test_shutdown_unconnected),
        ENDS_TEST(test_reset_after_bytes),
        ENDS_TEST(test_send_after_reset),
        ENDS_TEST(test_close_with_unread_bytes_resets),
        ENDS_TEST(test_send_to_closed),
        ENDS_TEST(test_reset_after_the_end),
        ENDS_TEST(test_close_delivers_all),
        ENDS_TEST(test_close_in_recv_record),
        ENDS_TEST(test_close_with_record_queued),
        ENDS_TEST(test_cancel_send),
        ENDS_TEST(test_close_with_send_in_flight),
        ENDS_TEST(test_close_while_connecting),
        ENDS_TEST(test_detach_gives_back),
    };

    return ends_run(tests, sizeof(tests) / sizeof(tests[0]));
}
