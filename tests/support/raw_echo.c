/*
 * See raw_echo.h.
 */
#include "raw_echo.h"

#define RETRY (100 * RILL_MS)

typedef struct raw_connection raw_connection;
struct raw_connection {
    rill__io io;
    raw_echo *echo;
    raw_connection *next;
    uint8_t *out; /* One block of its own: a use of it after close is found by the sanitizer. */
    size_t out_len;
    size_t out_size;
    rill__iov iov;
    bool eof;
    bool connecting;
    raw_echo_connected done;
    void *arg;
};

static void
unlink_connection(raw_connection *c)
{
    raw_connection **link = &c->echo->connections;

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    c->echo->live--;
}

static void
closed(rill__op *op)
{
    raw_connection *c = RILL__CONTAINER(op, raw_connection, io.close);

    unlink_connection(c);
    free(c->out);
    free(c);
}

static void
end(raw_connection *c, int error)
{
    if (c->io.closing)
        return;
    if (error != 0) {
        c->echo->failed++;
        c->echo->last_error = error;
    }
    c->echo->ops->close_io(c->echo->driver, &c->io, error != 0);
}

static void
flush(raw_connection *c)
{
    raw_echo *e = c->echo;

    while (c->out_len > 0 && !c->io.send.active) {
        int64_t sent;

        c->iov = (rill__iov){ .base = c->out, .len = c->out_len };
        sent = e->ops->send_now(e->driver, &c->io, &c->iov, 1);
        if (sent == -EAGAIN) {
            e->sends_started++;
            assert_int_equal(e->ops->send_start(e->driver, &c->io, &c->iov, 1), 0);
        } else if (sent < 0) {
            end(c, (int)sent);
            return;
        } else {
            c->out_len -= (size_t)sent;
            memmove(c->out, c->out + sent, c->out_len);
        }
    }
    if (c->out_len > 0) {
        e->ops->pause(e->driver, &c->io);
    } else if (c->eof) {
        end(c, 0);
    } else if (!e->hold) {
        e->ops->resume(e->driver, &c->io);
    }
}

static void
received(rill__op *op)
{
    raw_connection *c = RILL__CONTAINER(op, raw_connection, io.recv);
    raw_echo *e = c->echo;
    rill_slice slice;
    int64_t got;

    e->recv_records++;
    if (c->io.recv.paused)
        return;
    got = e->ops->recv_take(e->driver, &c->io, &slice);
    if (got == -EAGAIN) {
        e->recv_empty++;
        return;
    }
    if (got < 0) {
        end(c, (int)got);
        return;
    }
    assert_true(c->out_len == 0); /* It is paused while bytes are queued. */
    if (got == 0) {
        c->eof = true;
        e->ops->pause(e->driver, &c->io);
        flush(c);
        return;
    }
    e->recv_bytes += (uint64_t)got;
    if ((size_t)got > c->out_size) {
        free(c->out);
        c->out = malloc((size_t)got);
        assert_non_null(c->out);
        c->out_size = (size_t)got;
    }
    memcpy(c->out, slice.data, (size_t)got);
    c->out_len = (size_t)got;
    flush(c);
}

static void
subscribe(raw_connection *c)
{
    raw_echo *e = c->echo;
    int rc = e->ops->subscribe(e->driver, &c->io);

    if (rc < 0)
        end(c, rc);
    else if (e->hold)
        e->ops->pause(e->driver, &c->io);
}

static void
sent(rill__op *op)
{
    raw_connection *c = RILL__CONTAINER(op, raw_connection, io.send);
    raw_echo *e = c->echo;
    int64_t result = e->ops->finish(e->driver, &c->io);

    if (result == -EAGAIN)
        return;
    if (c->connecting) {
        c->connecting = false;
        if (c->done != NULL)
            c->done(c->arg, result);
        if (result < 0)
            end(c, (int)result);
        else
            subscribe(c);
        return;
    }
    if (result < 0) {
        end(c, (int)result);
        return;
    }
    assert_true(result > 0 && (size_t)result <= c->out_len);
    c->out_len -= (size_t)result;
    memmove(c->out, c->out + result, c->out_len);
    flush(c);
}

static raw_connection *
attach(raw_echo *e, int fd)
{
    raw_connection *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    c->echo = e;
    c->io.recv.fn = received;
    c->io.send.fn = sent;
    c->io.close.fn = closed;
    if (e->ops->attach(e->driver, &c->io, fd, RILL__IO_STREAM) < 0) {
        e->sys->close_fd(e->driver, fd, false);
        free(c);
        return NULL;
    }
    c->next = e->connections;
    e->connections = c;
    e->live++;
    return c;
}

static void
rest_is_over(void *arg)
{
    raw_echo *e = arg;

    e->retry = 0;
    if (e->listening)
        e->ops->resume(e->driver, &e->listener);
}

static bool
is_exhaustion(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM;
}

static void
accepting(rill__op *op)
{
    raw_echo *e = RILL__CONTAINER(op, raw_echo, listener.recv);

    if (e->listener.recv.paused)
        return;
    for (int i = 0; i < 64; i++) {
        raw_connection *c;
        rill_addr peer;
        int fd = -1;
        int rc = e->ops->accept_take(e->driver, &e->listener, &fd, &peer);

        if (rc == -EAGAIN)
            return;
        if (rc < 0) {
            e->accept_errors++;
            e->accept_last = rc;
        }
        if (is_exhaustion(rc)) {
            e->ops->pause(e->driver, &e->listener);
            if (e->retry == 0)
                assert_int_equal(rill_call_later(e->loop, RETRY, rest_is_over, e, &e->retry), 0);
            return;
        }
        if (rc < 0)
            continue;
        e->accepted++;
        c = attach(e, fd);
        if (c != NULL)
            subscribe(c);
    }
}

static void
listener_closed(rill__op *op)
{
    RILL__CONTAINER(op, raw_echo, listener.close)->listening = false;
}

static int
make_socket(raw_echo *e, rill_family family)
{
    int fd = -1;
    int rc;

    do
        rc = e->sys->socket(e->driver, family, &fd);
    while (is_exhaustion(rc));
    return rc < 0 ? rc : fd;
}

static int
make_address(const char *address, int port, rill_addr *ret_addr)
{
    return port < 0 ? rill_addr_unix(address, ret_addr) : rill_addr_parse(address, port, ret_addr);
}

int
raw_echo_start(raw_echo *e, rill_loop *loop, const char *address, int port, int backlog)
{
    rill_addr addr;
    int fd;
    int rc;

    memset(e, 0, sizeof(*e));
    e->loop = loop;
    e->driver = loop->driver;
    e->ops = loop->ops;
    e->sys = loop->sys;
    rc = make_address(address, port, &addr);
    if (rc < 0)
        return rc;
    fd = make_socket(e, rill_addr_family(&addr));
    if (fd < 0)
        return fd;
    rc = e->sys->set_flag(e->driver, fd, RILL__FLAG_REUSE_ADDRESS, 1);
    if (rc == 0)
        rc = e->sys->bind(e->driver, fd, &addr);
    if (rc == 0)
        rc = e->sys->listen(e->driver, fd, backlog);
    if (rc < 0) {
        e->sys->close_fd(e->driver, fd, false);
        return rc;
    }
    e->listener.recv.fn = accepting;
    e->listener.close.fn = listener_closed;
    do
        rc = e->ops->attach(e->driver, &e->listener, fd, RILL__IO_LISTENER);
    while (rc == -ENOMEM);
    assert_int_equal(rc, 0);
    e->listening = true;
    return e->ops->subscribe(e->driver, &e->listener);
}

int
raw_echo_connect(raw_echo *e, const char *address, int port, raw_echo_connected done, void *arg)
{
    rill_addr addr;
    raw_connection *c;
    int rc = make_address(address, port, &addr);
    int fd = rc < 0 ? rc : make_socket(e, rill_addr_family(&addr));

    if (fd < 0)
        return fd;
    c = attach(e, fd);
    if (c == NULL)
        return -ENOMEM;
    c->connecting = true;
    c->done = done;
    c->arg = arg;
    rc = e->ops->connect_start(e->driver, &c->io, &addr);
    if (rc < 0) {
        c->connecting = false;
        end(c, rc);
    }
    return rc;
}

void
raw_echo_release(raw_echo *e)
{
    e->hold = false;
    for (raw_connection *c = e->connections; c != NULL; c = c->next)
        if (!c->io.closing && c->out_len == 0 && !c->eof)
            e->ops->resume(e->driver, &c->io);
}

static bool
is_gone(void *arg)
{
    raw_echo *e = arg;

    return !e->listening && e->live == 0;
}

void
raw_echo_stop(raw_echo *e, rill_sim *sim)
{
    if (e->listening && !e->listener.closing)
        e->ops->close_io(e->driver, &e->listener, false);
    for (raw_connection *c = e->connections; c != NULL; c = c->next)
        if (!c->io.closing)
            e->ops->close_io(e->driver, &c->io, true);
    (void)rill_cancel(e->loop, e->retry);
    assert_int_equal(rill_sim_run_until(sim, is_gone, e, 10 * RILL_S), 0);
}
