/*
 * See driver_ends.h.
 */
#include "driver_ends.h"

#include "sweep.h"

/* ---- running ---- */

static void
look(fixture *f)
{
    if (f->predicate != NULL && f->predicate(f))
        rill_loop_stop(f->loop);
}

/* Run until `predicate`; it is looked at after every record. */
void
ends_wait(fixture *f, bool (*predicate)(fixture *))
{
    rill_ns begin = rill_loop_time(f->loop);
    rill_ns slice = sweep_fails() ? SWEEP_PATIENCE : LIMIT;
    bool hopeless = false;
    int rc = RILL_ETIMEDOUT;

    f->predicate = predicate;
    if (predicate(f))
        rc = 0;
    while (rc == RILL_ETIMEDOUT && !hopeless && rill_loop_time(f->loop) - begin < LIMIT) {
        hopeless = sweep_has_refused();
        rc = rill_loop_run_until(f->loop, rill_loop_time(f->loop) + slice);
    }
    f->predicate = NULL;
    if (rc != 0)
        fail_msg("waiting ended with %s", rill_errname(rc));
}

void
ends_stay_quiet(fixture *f)
{
    assert_int_equal(rill_loop_run_until(f->loop, rill_loop_time(f->loop) + QUIET), RILL_ETIMEDOUT);
}

uint8_t
ends_byte(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7);
}

void
ends_fill(uint8_t *buf, size_t len, uint64_t at)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = ends_byte(at + i);
}

static void
keep_bytes(end *e, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        e->matches = e->matches && data[i] == ends_byte(e->pattern + i);
    e->pattern += len;
    e->got = realloc(e->got, e->got_len + len);
    assert_non_null(e->got);
    memcpy(e->got + e->got_len, data, len);
    e->got_len += len;
}

static int64_t
take(end *e)
{
    fixture *f = e->fixture;
    uint8_t buf[4096];
    rill_slice slice;
    int64_t got;

    if (e->into) {
        got = f->ops->recv_into(f->driver, &e->io, buf, e->into_size);
        slice = (rill_slice){ .data = buf, .len = got > 0 ? (size_t)got : 0 };
        if (got > 0)
            assert_true((size_t)got <= e->into_size);
    } else {
        got = f->ops->recv_take(f->driver, &e->io, &slice);
    }
    if (got > 0) {
        assert_int_equal(slice.len, got);
        keep_bytes(e, slice.data, slice.len);
        return got;
    }
    e->last = got;
    if (got == 0)
        e->eof = true;
    else if (got != -EAGAIN)
        e->errors++;
    /* What is level-triggered would come again and again. */
    if (got != -EAGAIN)
        f->ops->pause(f->driver, &e->io);
    return got;
}

void
ends_on_recv(rill__op *op)
{
    end *e = RILL__CONTAINER(op, end, io.recv);
    fixture *f = e->fixture;

    e->recvs++;
    assert_int_equal(e->closes, 0);
    assert_false(e->io.closing);
    if (e->io.recv.paused)
        return; /* Queued before the pause: the owner does not take. */
    if (!e->keep)
        (void)take(e);
    if (e->pause_at_once)
        f->ops->pause(f->driver, &e->io);
    if (e->close_at_once)
        f->ops->close_io(f->driver, &e->io, false);
    look(f);
}

void
ends_on_send(rill__op *op)
{
    end *e = RILL__CONTAINER(op, end, io.send);
    int64_t result;

    e->sends++;
    assert_int_equal(e->closes, 0);
    assert_false(e->io.closing);
    result = e->fixture->ops->finish(e->fixture->driver, &e->io);
    if (result != -EAGAIN) {
        e->finals++;
        e->final = result;
    }
    look(e->fixture);
}

void
ends_on_close(rill__op *op)
{
    end *e = RILL__CONTAINER(op, end, io.close);

    e->closes++;
    e->attached = false;
    look(e->fixture);
}

static void
on_accept(rill__op *op)
{
    end *e = RILL__CONTAINER(op, end, io.recv);
    fixture *f = e->fixture;

    e->recvs++;
    while (f->accepted < f->accept_limit) {
        int fd = -1;
        rill_addr peer;
        int rc = f->ops->accept_take(f->driver, &e->io, &fd, &peer);

        if (rc == -EAGAIN)
            break;
        if (rc < 0) {
            f->accept_errors++;
            f->accept_last = rc;
            break;
        }
        f->peers[f->accepted] = peer;
        f->fds[f->accepted++] = fd;
    }
    if (f->accepted >= f->accept_limit)
        f->ops->pause(f->driver, &e->io);
    look(f);
}

/* ---- making ends ---- */

void
ends_attach(fixture *f, end *e, int fd, rill__io_kind kind)
{
    memset(e, 0, sizeof(*e));
    e->fixture = f;
    e->matches = true;
    e->io.recv.fn = kind == RILL__IO_LISTENER ? on_accept : ends_on_recv;
    e->io.send.fn = ends_on_send;
    e->io.close.fn = ends_on_close;
    assert_int_equal(f->ops->attach(f->driver, &e->io, fd, kind), 0);
    e->attached = true;
}

int
ends_open(fixture *f, rill_family family)
{
    int fd = -1;

    assert_int_equal(f->sys->socket(f->driver, family, &fd), 0);
    return fd;
}

rill_addr
ends_loopback(rill_family family, int port)
{
    rill_addr addr;

    assert_int_equal(
        rill_addr_parse(family == RILL_FAMILY_IPV4 ? "127.0.0.1" : "::1", port, &addr), 0);
    return addr;
}

int
ends_open_listener(fixture *f, const rill_addr *addr, int backlog)
{
    int fd = ends_open(f, rill_addr_family(addr));

    if (rill_addr_family(addr) == RILL_FAMILY_IPV6)
        assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_V6ONLY, 1), 0);
    assert_int_equal(f->sys->bind(f->driver, fd, addr), 0);
    assert_int_equal(f->sys->listen(f->driver, fd, backlog), 0);
    assert_int_equal(f->sys->sockname(f->driver, fd, &f->address), 0);
    return fd;
}

void
ends_listen_on(fixture *f, const rill_addr *addr, int backlog)
{
    ends_attach(f, &f->listener, ends_open_listener(f, addr, backlog), RILL__IO_LISTENER);
    f->accept_limit = 64;
    assert_int_equal(f->ops->subscribe(f->driver, &f->listener.io), 0);
}

bool
ends_one_accepted(fixture *f)
{
    return f->accepted >= 1;
}

bool
ends_a_final(fixture *f)
{
    return f->a.finals >= 1;
}

bool
ends_a_connected_and_accepted(fixture *f)
{
    return f->a.finals >= 1 && f->accepted >= 1;
}

/* `a` is the client, `b` the accepted side; both subscribed. */
void
ends_connect(fixture *f, const rill_addr *addr)
{
    int fd;

    ends_listen_on(f, addr, 16);
    fd = ends_open(f, rill_addr_family(addr));
    ends_attach(f, &f->a, fd, RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    assert_int_equal(f->a.sends, 0); /* No record runs in a call. */
    ends_wait(f, ends_a_connected_and_accepted);
    assert_int_equal(f->a.final, 0);
    f->a.finals = 0;
    ends_attach(f, &f->b, f->fds[0], RILL__IO_STREAM);
    assert_int_equal(f->ops->subscribe(f->driver, &f->a.io), 0);
    assert_int_equal(f->ops->subscribe(f->driver, &f->b.io), 0);
}

void
ends_connect_tcp(fixture *f)
{
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_connect(f, &addr);
}

rill_addr
ends_unix_address(fixture *f)
{
    rill_addr addr;

    snprintf(f->path, sizeof(f->path), "/tmp/rill-driver-%d.sock", (int)getpid());
    assert_int_equal(rill_addr_unix(f->path, &addr), 0);
    (void)f->sys->unix_unlink(f->driver, &addr); /* Usually not there. */
    return addr;
}

void
ends_connect_unix(fixture *f)
{
    rill_addr addr = ends_unix_address(f);

    ends_connect(f, &addr);
}

void
ends_close(fixture *f, end *e, bool reset)
{
    f->ops->close_io(f->driver, &e->io, reset);
    assert_int_equal(e->closes, 0); /* Not inside the call. */
}

bool
ends_all_detached(fixture *f)
{
    return !f->listener.attached && !f->a.attached && !f->b.attached && !f->c.attached;
}

bool
ends_a_closed(fixture *f)
{
    return f->a.closes == 1;
}

bool
ends_b_closed(fixture *f)
{
    return f->b.closes == 1;
}

bool
ends_listener_closed(fixture *f)
{
    return f->listener.closes == 1;
}

void
ends_send_all(fixture *f, const uint8_t *data, size_t len)
{
    while (len > 0) {
        rill__iov iov = { .base = data, .len = len };
        int64_t sent = f->ops->send_now(f->driver, &f->a.io, &iov, 1);

        if (sent == -EAGAIN) {
            f->a.finals = 0;
            assert_int_equal(f->ops->send_start(f->driver, &f->a.io, &iov, 1), 0);
            ends_wait(f, ends_a_final);
            sent = f->a.final;
        }
        assert_true(sent > 0 && (size_t)sent <= len);
        data += sent;
        len -= (size_t)sent;
    }
}

void
ends_send(fixture *f, const char *text)
{
    ends_send_all(f, (const uint8_t *)text, strlen(text));
}

bool
ends_b_eof(fixture *f)
{
    return f->b.eof;
}

bool
ends_b_error(fixture *f)
{
    return f->b.errors > 0;
}

bool
ends_a_error(fixture *f)
{
    return f->a.errors > 0;
}

bool
ends_b_ended(fixture *f)
{
    return f->b.eof || f->b.errors > 0;
}

bool
ends_b_five(fixture *f)
{
    return f->b.got_len >= 5;
}

int
ends_setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(rill_loop_new(NULL, &f->loop), 0);
    f->driver = f->loop->driver;
    f->ops = f->loop->ops;
    f->sys = f->loop->sys;
    *state = f;
    return 0;
}

int
ends_teardown(void **state)
{
    fixture *f = *state;
    end *ends[] = { &f->listener, &f->a, &f->b, &f->c };
    rill_addr addr;

    for (size_t i = 0; i < 4; i++)
        if (ends[i]->attached && !ends[i]->io.closing)
            f->ops->close_io(f->driver, &ends[i]->io, true);
    ends_wait(f, ends_all_detached);
    if (f->path[0] != '\0' && rill_addr_unix(f->path, &addr) == 0)
        (void)f->sys->unix_unlink(f->driver, &addr);
    for (size_t i = 0; i < 4; i++)
        free(ends[i]->got);
    assert_int_equal(rill_loop_free(f->loop), 0);
    free(f);
    return 0;
}

bool
ends_b_some(fixture *f)
{
    return f->b.got_len > 0;
}

bool
ends_a_some(fixture *f)
{
    return f->a.got_len > 0;
}

static bool
b_final(fixture *f)
{
    return f->b.finals >= 1;
}

/* What send_now gives, or the FINAL of an operation where the driver wants one. */
int64_t
ends_send_result(fixture *f, end *e, const char *text)
{
    rill__iov iov = { text, strlen(text) };
    int64_t sent = f->ops->send_now(f->driver, &e->io, &iov, 1);

    if (sent != -EAGAIN)
        return sent;
    e->finals = 0;
    assert_int_equal(f->ops->send_start(f->driver, &e->io, &iov, 1), 0);
    ends_wait(f, e == &f->a ? ends_a_final : b_final);
    return e->final;
}

/* Fill the way to `b`, which does not read, until an operation is in flight. */
void
ends_block_sender(fixture *f, const uint8_t *data, size_t len)
{
    static rill__iov iov;

    f->ops->pause(f->driver, &f->b.io);
    for (;;) {
        int64_t sent;

        iov = (rill__iov){ .base = data, .len = len };
        sent = f->ops->send_now(f->driver, &f->a.io, &iov, 1);
        if (sent != -EAGAIN) {
            assert_true(sent > 0);
            continue;
        }
        f->a.finals = 0;
        assert_int_equal(f->ops->send_start(f->driver, &f->a.io, &iov, 1), 0);
        (void)rill_loop_run_until(f->loop, rill_loop_time(f->loop) + QUIET);
        if (f->a.finals == 0)
            return;
    }
}

int
ends_try_bind(fixture *f, const rill_addr *addr, bool reuse)
{
    int fd = ends_open(f, rill_addr_family(addr));
    int rc;

    if (reuse)
        assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_REUSE_ADDRESS, 1), 0);
    rc = f->sys->bind(f->driver, fd, addr);
    f->sys->close_fd(f->driver, fd, false);
    return rc;
}

int
ends_run(const struct CMUnitTest *tests, size_t count)
{
    const char *driver = getenv("RILL_DRIVER");
    int failed;

    if (driver == NULL || strcmp(driver, "sim") != 0)
        return _cmocka_run_group_tests("driver", tests, count, NULL, NULL);
    (void)setenv("RILL_SIM_PERSONALITY", "readiness", 1);
    failed = _cmocka_run_group_tests("driver sim, readiness", tests, count, NULL, NULL);
    (void)setenv("RILL_SIM_PERSONALITY", "completion", 1);
    return failed + _cmocka_run_group_tests("driver sim, completion", tests, count, NULL, NULL);
}
