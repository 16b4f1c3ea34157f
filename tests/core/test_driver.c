/*
 * The conformance suite of drivers, 1: the contract of core/driver/driver.h. Records and takes,
 * subscriptions, operations, accepting, files, waiting. The same bodies run on every driver, on the
 * simulator in both personalities: this is where it is held to what the real kernel does.
 */
#include <fcntl.h>

#include "driver_ends.h"

#include <sys/socket.h>

/* ---- connecting and accepting ---- */

static void
test_connect_and_accept(void **state)
{
    fixture *f = *state;
    rill_addr client;
    rill_addr server;
    rill_addr name;

    ends_connect_tcp(f);
    assert_int_equal(f->a.sends, 1);
    assert_int_equal(f->sys->sockname(f->driver, f->a.io.fd, &client), 0);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &server), 0);
    assert_true(rill_addr_equal(&server, &f->address));
    assert_true(rill_addr_equal(&client, &f->peers[0]));
    assert_int_equal(f->sys->peername(f->driver, f->b.io.fd, &name), 0);
    assert_true(rill_addr_equal(&name, &client));
    assert_int_equal(f->sys->sockname(f->driver, f->b.io.fd, &name), 0);
    assert_true(rill_addr_equal(&name, &server));
    assert_int_equal(f->ops->finish(f->driver, &f->a.io), -EAGAIN); /* There was one FINAL. */
}

static void
test_accept_without_connection(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr peer;
    int fd = -1;

    ends_listen_on(f, &addr, 16);
    assert_int_equal(f->ops->accept_take(f->driver, &f->listener.io, &fd, &peer), -EAGAIN);
    ends_stay_quiet(f);
    assert_int_equal(f->accepted, 0);
}

static void
test_connect_refused(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr name;
    int fd = ends_open_listener(f, &addr, 1);

    f->sys->close_fd(f->driver, fd, false); /* Now nobody listens at f->address. */
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_final);
    assert_int_equal(f->a.final, -ECONNREFUSED);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), -ENOTCONN);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 1);
}

static bool
five_accepted(fixture *f)
{
    return f->accepted >= 5;
}

static void
test_accept_several(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int fds[5];

    ends_listen_on(f, &addr, 16);
    for (int i = 0; i < 5; i++) {
        fds[i] = ends_open(f, RILL_FAMILY_IPV4);
        ends_attach(f, &f->a, fds[i], RILL__IO_STREAM);
        assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
        ends_wait(f, ends_a_final);
        assert_int_equal(f->a.final, 0);
        assert_int_equal(f->ops->detach(f->driver, &f->a.io), fds[i]);
        f->a.attached = false;
    }
    ends_wait(f, five_accepted);
    ends_stay_quiet(f);
    assert_int_equal(f->accepted, 5);
    for (int i = 0; i < 5; i++) {
        rill_addr name;

        assert_int_equal(f->sys->sockname(f->driver, fds[i], &name), 0);
        assert_true(rill_addr_equal(&name, &f->peers[i])); /* In order of connecting. */
        f->sys->close_fd(f->driver, fds[i], false);
        f->sys->close_fd(f->driver, f->fds[i], false);
    }
}

/* A paused listener leaves connections in the backlog. */
static void
test_listener_pause(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_listen_on(f, &addr, 16);
    f->ops->pause(f->driver, &f->listener.io);
    f->ops->pause(f->driver, &f->listener.io);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_final);
    assert_int_equal(f->a.final, 0); /* The kernel's backlog has it. */
    ends_stay_quiet(f);
    assert_int_equal(f->accepted, 0);
    f->ops->resume(f->driver, &f->listener.io);
    ends_wait(f, ends_one_accepted);
    f->sys->close_fd(f->driver, f->fds[0], false);
}

/* A backlog of 1 holds two; the next one hangs until there is room. */
static void
test_backlog_overflow(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int fds[2];

    ends_attach(f, &f->listener, ends_open_listener(f, &addr, 1), RILL__IO_LISTENER);
    for (int i = 0; i < 2; i++) {
        fds[i] = ends_open(f, RILL_FAMILY_IPV4);
        ends_attach(f, &f->a, fds[i], RILL__IO_STREAM);
        assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
        ends_wait(f, ends_a_final);
        assert_int_equal(f->a.final, 0);
        assert_int_equal(f->ops->detach(f->driver, &f->a.io), fds[i]);
        f->a.attached = false;
    }
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 0);

    f->accept_limit = 3;
    assert_int_equal(f->ops->subscribe(f->driver, &f->listener.io), 0);
    ends_wait(f, ends_a_final); /* The SYN is sent again after a second. */
    assert_int_equal(f->a.final, 0);
    for (int i = 0; i < 2; i++)
        f->sys->close_fd(f->driver, fds[i], false);
    for (int i = 0; i < f->accepted; i++)
        f->sys->close_fd(f->driver, f->fds[i], false);
}

static void
test_cancel_connect(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int listener = ends_open_listener(f, &addr, 0);
    int fd = ends_open(f, RILL_FAMILY_IPV4);

    ends_attach(f, &f->b, fd, RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->b.io, &f->address), 0);
    ends_stay_quiet(f);
    ends_attach(
        f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM); /* The backlog is full. */
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 0);
    f->ops->cancel(f->driver, &f->a.io);
    f->ops->cancel(f->driver, &f->a.io);
    assert_int_equal(f->a.sends, 0);
    ends_wait(f, ends_a_final);
    assert_int_equal(f->a.final, RILL_ECANCELED);
    ends_stay_quiet(f);
    assert_int_equal(f->a.finals, 1);
    f->sys->close_fd(f->driver, listener, false);
}

/* The client resets before accept: accept succeeds, and the first take tells. */
static void
test_accept_after_reset(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr name;

    ends_listen_on(f, &addr, 16);
    f->ops->pause(f->driver, &f->listener.io);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_final);
    ends_close(f, &f->a, true);
    ends_wait(f, ends_a_closed);
    ends_stay_quiet(f);
    f->ops->resume(f->driver, &f->listener.io);
    ends_wait(f, ends_one_accepted);
    ends_attach(f, &f->b, f->fds[0], RILL__IO_STREAM);
    assert_int_equal(f->sys->peername(f->driver, f->b.io.fd, &name), -ENOTCONN);
    assert_int_equal(f->ops->subscribe(f->driver, &f->b.io), 0);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, -ECONNRESET);
}

static void
test_listener_close_resets_waiting(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_attach(f, &f->listener, ends_open_listener(f, &addr, 4), RILL__IO_LISTENER);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_final);
    assert_int_equal(f->a.final, 0);
    assert_int_equal(f->ops->subscribe(f->driver, &f->a.io), 0);
    ends_close(f, &f->listener, false);
    ends_wait(f, ends_listener_closed);
    ends_wait(f, ends_a_error);
    assert_int_equal(f->a.last, -ECONNRESET);
}

/* ---- bytes ---- */

static void
test_bytes_in_order(void **state)
{
    fixture *f = *state;
    uint8_t data[5000];

    ends_connect_tcp(f);
    for (int i = 0; i < 10; i++) {
        ends_fill(data, sizeof(data), (uint64_t)i * sizeof(data));
        ends_send_all(f, data, sizeof(data));
    }
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.got_len, 10 * sizeof(data));
    assert_true(f->b.matches);
}

static void
test_gathered_send(void **state)
{
    fixture *f = *state;
    rill__iov iov[4] = { { "he", 2 }, { "", 0 }, { "l", 1 }, { "lo", 2 } };
    int64_t sent;

    ends_connect_tcp(f);
    sent = f->ops->send_now(f->driver, &f->a.io, iov, 4);
    if (sent == -EAGAIN) {
        assert_int_equal(f->ops->send_start(f->driver, &f->a.io, iov, 4), 0);
        ends_wait(f, ends_a_final);
        sent = f->a.final;
    }
    assert_int_equal(sent, 5);
    ends_wait(f, ends_b_five);
    assert_memory_equal(f->b.got, "hello", 5);
}

static void
test_recv_into(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->b.into = true;
    f->b.into_size = 2;
    ends_send(f, "hello");
    ends_wait(f, ends_b_five);
    assert_int_equal(f->b.got_len, 5);
    assert_memory_equal(f->b.got, "hello", 5);
    assert_true(f->b.recvs >= 3);
}

static void
test_take_without_bytes(void **state)
{
    fixture *f = *state;
    rill_slice slice;

    ends_connect_tcp(f);
    ends_stay_quiet(f);
    assert_int_equal(f->b.recvs, 0);
    assert_int_equal(f->ops->recv_take(f->driver, &f->b.io, &slice), -EAGAIN);
}

/* A record that is not answered by a take comes again. */
static void
test_level_triggered(void **state)
{
    fixture *f = *state;
    int before;

    ends_connect_tcp(f);
    f->b.keep = true;
    ends_send(f, "hello");
    for (int waits = 0; f->b.recvs < 3; waits++) {
        assert_true(waits < 10000);
        assert_true(rill_loop_run_until(f->loop, rill_loop_time(f->loop) + RILL_MS) < 0);
    }
    f->ops->pause(f->driver, &f->b.io);
    (void)rill_loop_step(f->loop, 0);
    before = f->b.recvs;
    ends_stay_quiet(f);
    assert_int_equal(f->b.recvs, before);
    f->b.keep = false;
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_five);
    assert_memory_equal(f->b.got, "hello", 5);
}

static void
test_pause_keeps_bytes(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    f->ops->pause(f->driver, &f->b.io);
    ends_send(f, "hello");
    ends_stay_quiet(f);
    assert_int_equal(f->b.recvs, 0);
    f->ops->resume(f->driver, &f->b.io);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_b_five);
    assert_memory_equal(f->b.got, "hello", 5);
}

/* Paused in its own record: what the driver has by then waits for the resume. */
static void
test_pause_in_record(void **state)
{
    fixture *f = *state;
    uint8_t data[20000];
    size_t before;

    ends_connect_tcp(f);
    ends_fill(data, sizeof(data), 0);
    f->b.into = true;
    f->b.into_size = 100;
    f->b.pause_at_once = true;
    ends_send_all(f, data, sizeof(data));
    ends_wait(f, ends_b_some);
    before = f->b.got_len;
    ends_stay_quiet(f);
    assert_int_equal(f->b.got_len, before);
    f->b.pause_at_once = false;
    f->b.into = false;
    f->ops->resume(f->driver, &f->b.io);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.got_len, sizeof(data));
    assert_true(f->b.matches);
}

/* The reader stands still: sending ends with -EAGAIN, an operation waits, and goes on later. */
static void
test_backpressure(void **state)
{
    fixture *f = *state;
    uint8_t *data = malloc(BIG);
    size_t sent = 0;
    rill__iov iov;

    assert_non_null(data);
    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    for (;;) {
        int64_t now;

        ends_fill(data, BIG, sent);
        iov = (rill__iov){ .base = data, .len = BIG };
        now = f->ops->send_now(f->driver, &f->a.io, &iov, 1);
        if (now > 0) {
            sent += (size_t)now;
            continue;
        }
        assert_int_equal(now, -EAGAIN);
        f->a.finals = 0;
        assert_int_equal(f->ops->send_start(f->driver, &f->a.io, &iov, 1), 0);
        assert_int_equal(f->ops->send_now(f->driver, &f->a.io, &iov, 1), -EAGAIN);
        if (rill_loop_run_until(f->loop, rill_loop_time(f->loop) + QUIET) == RILL_ETIMEDOUT &&
            f->a.finals == 0)
            break;
        sent += (size_t)f->a.final;
        assert_true(sent < 128 * BIG);
    }
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_a_final);
    assert_true(f->a.final > 0);
    sent += (size_t)f->a.final;
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.got_len, sent);
    assert_true(f->b.matches);
    free(data);
}

/* ---- sendfile ---- */

static int
temporary_file(size_t len)
{
    char name[] = "/tmp/rill-driver-XXXXXX";
    uint8_t block[1000];
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    (void)unlink(name);
    for (size_t at = 0; at < len; at += sizeof(block)) {
        ends_fill(block, sizeof(block), at);
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    }
    return fd;
}

static void
test_sendfile(void **state)
{
    fixture *f = *state;
    uint64_t offset = 0;
    int file = temporary_file(300000);

    ends_connect_tcp(f);
    assert_int_equal(f->sys->file_size(f->driver, file), 300000);
    do {
        f->a.finals = 0;
        assert_int_equal(f->ops->sendfile_start(f->driver, &f->a.io, file, offset, 1000000), 0);
        ends_wait(f, ends_a_final);
        assert_true(f->a.final >= 0);
        offset += (uint64_t)f->a.final;
    } while (f->a.final > 0);
    assert_int_equal(offset, 300000); /* 0 at the file's end. */
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.got_len, 300000);
    assert_true(f->b.matches);
    (void)close(file);
}

static void
test_sendfile_of_no_file(void **state)
{
    fixture *f = *state;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    ends_connect_tcp(f);
    assert_int_equal(f->sys->file_size(f->driver, ends[0]), -EINVAL);
    assert_int_equal(f->ops->sendfile_start(f->driver, &f->a.io, ends[0], 0, 10), 0);
    ends_wait(f, ends_a_final);
    assert_true(f->a.final == -EINVAL || f->a.final == -ESPIPE);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void
test_file_read(void **state)
{
    fixture *f = *state;
    uint8_t buf[10];
    int file = temporary_file(1000);

    assert_int_equal(f->sys->file_read(f->driver, file, 500, buf, 10), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(buf[i], ends_byte(500 + i));
    assert_int_equal(f->sys->file_read(f->driver, file, 1000, buf, 10), 0);
    assert_int_equal(f->sys->file_read(f->driver, file, 998, buf, 10), 2);
    (void)close(file);
}

/* ---- sends on trust ---- */

/* One send after another by `send`, of up to 3000 bytes of the pattern from `offset` on; returns
 * what was taken. */
static size_t
send_some(fixture *f, int64_t (*send)(rill__driver *, rill__io *, const rill__iov *, size_t),
    size_t offset)
{
    uint8_t data[3000];
    rill__iov iov = { data, 1 + offset % sizeof(data) };
    int64_t sent;

    ends_fill(data, iov.len, offset);
    sent = send(f->driver, &f->a.io, &iov, 1);
    assert_true(sent > 0 || sent == -EAGAIN);
    return sent > 0 ? (size_t)sent : 0;
}

/* Whatever comes back was the last of what was taken, so that the stream goes on from there. */
static size_t
take_back(fixture *f, size_t offset)
{
    rill__iov rest;
    size_t back = 0;
    int64_t got;

    while ((got = f->ops->send_rest(f->driver, &f->a.io, &rest)) > 0) {
        assert_int_equal(rest.len, got);
        assert_true((size_t)got <= RILL__TRUST_BYTES && back == 0);
        for (size_t i = 0; i < rest.len; i++)
            assert_int_equal(((const uint8_t *)rest.base)[i], ends_byte(offset - rest.len + i));
        back += rest.len;
    }
    assert_int_equal(got, 0);
    return back;
}

static size_t awaited;

static bool
all_has_come(fixture *f)
{
    return f->b.got_len >= awaited;
}

static void
test_sends_on_trust(void **state)
{
    fixture *f = *state;
    size_t offset = 0;
    int full = 0;

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->b.io);
    while (full < 3) {
        size_t before = offset;

        offset += send_some(f, f->ops->send_soon, offset);
        if (offset % 3 != 0) /* More in the same turn, by the one or by the other. */
            offset += send_some(f, offset % 3 == 1 ? f->ops->send_soon : f->ops->send_now, offset);
        if (offset % 2 == 0)
            assert_true(rill_loop_step(f->loop, 0) >= 0);
        offset -= take_back(f, offset);
        full += offset == before;
        assert_true(offset < 128 * BIG);
    }
    f->ops->resume(f->driver, &f->b.io);
    awaited = offset;
    ends_wait(f, all_has_come);
    offset += send_some(f, f->ops->send_soon, offset);
    assert_int_equal(take_back(f, offset), 0);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->b.got_len, offset);
    assert_true(f->b.matches);
}

/* What was taken leaves when the loop stops, not when it runs again. */
static void
test_trust_ends_with_the_run(void **state)
{
    fixture *f = *state;
    uint8_t byte = 'x';
    rill__iov iov = { &byte, 1 };
    int ends[2];

    if (strcmp(f->ops->name, "sim") == 0)
        return; /* Where a socket has no other end that can be asked without a loop. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    ends_attach(f, &f->a, ends[0], RILL__IO_STREAM);
    assert_int_equal(f->ops->send_soon(f->driver, &f->a.io, &iov, 1), 1);
    byte = 0;
    f->ops->submit(f->driver);
    assert_int_equal(read(ends[1], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    (void)close(ends[1]);
}

static void
test_trust_in_one_who_has_gone(void **state)
{
    fixture *f = *state;
    rill__iov rest;
    int64_t got = 0;
    uint8_t byte = 0;
    rill__iov iov = { &byte, 1 };

    ends_connect_tcp(f);
    f->ops->pause(f->driver, &f->a.io);
    f->ops->close_io(f->driver, &f->b.io, true);
    ends_wait(f, ends_b_closed);
    for (int i = 0; i < 1000 && got >= 0; i++) {
        got = f->ops->send_soon(f->driver, &f->a.io, &iov, 1);
        assert_true(rill_loop_step(f->loop, 0) >= 0);
        if (got >= 0 || got == -EAGAIN)
            got = f->ops->send_rest(f->driver, &f->a.io, &rest);
    }
    assert_true(got == -EPIPE || got == -ECONNRESET);
    assert_int_equal(f->ops->send_rest(f->driver, &f->a.io, &rest), 0); /* Told once. */
}

/* ---- the rest ---- */

static void
test_entropy(void **state)
{
    fixture *f = *state;
    uint8_t first[32];
    uint8_t second[32];

    f->sys->entropy(f->driver, first, sizeof(first));
    f->sys->entropy(f->driver, second, sizeof(second));
    assert_memory_not_equal(first, second, sizeof(first));
}

static void
count_call(void *arg)
{
    ++*(int *)arg;
}

/* A wake from anywhere makes the wait return, and what was posted runs. */
static void
test_wake(void **state)
{
    fixture *f = *state;
    int calls = 0;

    f->ops->wake(f->driver);
    assert_int_equal(rill_call_soon_threadsafe(f->loop, count_call, &calls), 0);
    assert_int_equal(rill_loop_run_until(f->loop, rill_loop_time(f->loop) + QUIET), RILL_ETIMEDOUT);
    assert_int_equal(calls, 1);
}

static void
test_wait_ends_at_deadline(void **state)
{
    fixture *f = *state;
    rill_ns start = f->ops->now(f->driver);

    do
        assert_int_equal(f->ops->wait(f->driver, start + 5 * RILL_MS), 0);
    while (f->ops->now(f->driver) < start + 5 * RILL_MS);
    start = f->ops->now(f->driver);
    assert_int_equal(f->ops->wait(f->driver, 0), 0);
    assert_true(f->ops->now(f->driver) - start < RILL_S); /* It did not wait. */
}

static void
test_foreign_descriptor(void **state)
{
    fixture *f = *state;
    int ends[2];
    int rc;

    assert_int_equal(pipe(ends), 0);
    memset(&f->c, 0, sizeof(f->c));
    f->c.fixture = f;
    f->c.keep = true;
    f->c.io.recv.fn = ends_on_recv;
    f->c.io.send.fn = ends_on_send;
    f->c.io.close.fn = ends_on_close;
    rc = f->ops->attach(f->driver, &f->c.io, ends[0], RILL__IO_POLL);
    if (rc == 0) {
        f->c.attached = true;
        assert_int_equal(f->ops->poll_set(f->driver, &f->c.io, true, false), 0);
        ends_stay_quiet(f);
        assert_int_equal(f->c.recvs, 0);
        assert_int_equal(write(ends[1], "x", 1), 1);
        (void)rill_loop_run_until(f->loop, rill_loop_time(f->loop) + QUIET);
        assert_true(f->c.recvs > 0);
        assert_int_equal(f->ops->poll_set(f->driver, &f->c.io, false, false), 0);
        (void)rill_loop_step(f->loop, 0);
        f->c.recvs = 0;
        ends_stay_quiet(f);
        assert_int_equal(f->c.recvs, 0);
        f->ops->close_io(f->driver, &f->c.io, false);
        ends_wait(f, ends_all_detached);
        assert_int_equal(write(ends[1], "x", 1), 1); /* Not ours to close. */
    } else {
        assert_int_equal(rc, -EBADF); /* No descriptor of the simulated world. */
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        ENDS_TEST(test_connect_and_accept),
        ENDS_TEST(test_accept_without_connection),
        ENDS_TEST(test_connect_refused),
        ENDS_TEST(test_accept_several),
        ENDS_TEST(test_listener_pause),
        ENDS_TEST(test_backlog_overflow),
        ENDS_TEST(test_cancel_connect),
        ENDS_TEST(test_accept_after_reset),
        ENDS_TEST(test_listener_close_resets_waiting),
        ENDS_TEST(test_bytes_in_order),
        ENDS_TEST(test_gathered_send),
        ENDS_TEST(test_recv_into),
        ENDS_TEST(test_take_without_bytes),
        ENDS_TEST(test_level_triggered),
        ENDS_TEST(test_pause_keeps_bytes),
        ENDS_TEST(test_pause_in_record),
        ENDS_TEST(test_backpressure),
        ENDS_TEST(test_sendfile),
        ENDS_TEST(test_sendfile_of_no_file),
        ENDS_TEST(test_file_read),
        ENDS_TEST(test_sends_on_trust),
        ENDS_TEST(test_trust_ends_with_the_run),
        ENDS_TEST(test_trust_in_one_who_has_gone),
        ENDS_TEST(test_entropy),
        ENDS_TEST(test_wake),
        ENDS_TEST(test_wait_ends_at_deadline),
        ENDS_TEST(test_foreign_descriptor),
    };

    return ends_run(tests, sizeof(tests) / sizeof(tests[0]));
}
