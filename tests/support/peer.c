/*
 * Foreign peers. On the kernel everything is a non-blocking call between turns of the loop, which
 * runs on while a peer waits.
 */
#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void
count_bytes(peer *p, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p->received < sizeof(p->bytes))
            p->bytes[p->received] = data[i];
        p->received++;
        p->hash = (p->hash ^ data[i]) * 1099511628211u;
    }
}

static void
take(peer *p)
{
    static uint8_t buf[65536];

    while (p->fd >= 0 && p->reading && !p->eof && !p->reset) {
        ssize_t got = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (got > 0) {
            count_bytes(p, buf, (size_t)got);
        } else if (got == 0) {
            p->eof = true;
        } else if (errno == EAGAIN || errno == EINTR) {
            return;
        } else if (errno == ECONNRESET || errno == EPIPE) {
            p->reset = true;
        } else {
            fail_msg("peer: recv: %s", strerror(errno));
        }
    }
}

static void
sim_data(endpoint *e, rill_slice in)
{
    count_bytes(e->user, in.data, in.len);
}

static void
sim_eof(endpoint *e)
{
    ((peer *)e->user)->eof = true;
}

static void
sim_lost(endpoint *e)
{
    if (e->why.code < 0 && e->why.code != RILL_EABORTED)
        ((peer *)e->user)->reset = true;
}

void
peer_connect_start(peer *p, harness *h, const rill_addr *addr)
{
    struct sockaddr sockaddr;
    int family;

    memcpy(&sockaddr, addr->storage, sizeof(sockaddr));
    family = sockaddr.sa_family;
    p->h = h;
    p->fd = -1;
    p->received = 0;
    p->hash = 14695981039346656037u;
    p->reading = true;
    p->eof = p->reset = false;
    p->connect_error = 0;
    endpoint_init(&p->e, h);
    if (on_driver("sim")) {
        p->e.user = p;
        p->e.keep_open = true;
        p->e.on_data = sim_data;
        p->e.on_eof = sim_eof;
        p->e.on_lost = sim_lost;
        assert_code(rill_create_connection_start(h->loop, &RILL_CONNECT_OPTIONS(.addr = addr),
                        &endpoint_protocol, &p->e, endpoint_connected, &p->e, NULL),
            0);
        return;
    }
    p->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    if (connect(p->fd, (const struct sockaddr *)(const void *)addr->storage, addr->len) < 0 &&
        errno != EINPROGRESS)
        p->connect_error = -errno;
}

bool
peer_is_connected(void *arg)
{
    peer *p = arg;
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    int error = 0;

    if (p->connect_error != 0)
        return true;
    if (p->fd < 0) {
        p->connect_error = p->e.connected_code;
        return p->e.connected_called;
    }
    if (getpeername(p->fd, (struct sockaddr *)&addr, &len) == 0)
        return true;
    len = sizeof(error);
    assert_int_equal(getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    p->connect_error = -error;
    return error != 0;
}

void
peer_connect(peer *p, harness *h, const rill_addr *addr)
{
    peer_connect_start(p, h, addr);
    harness_until(h, peer_is_connected, p);
}

typedef struct sending {
    peer *p;
    const uint8_t *data;
    size_t left;
} sending;

static bool
send_some(void *arg)
{
    sending *s = arg;

    while (s->left > 0) {
        ssize_t sent = send(s->p->fd, s->data, s->left, MSG_DONTWAIT | MSG_NOSIGNAL);

        take(s->p);
        if (sent < 0 && errno == EAGAIN)
            return false;
        if (sent < 0)
            fail_msg("peer: send: %s", strerror(errno));
        s->data += sent;
        s->left -= (size_t)sent;
    }
    return true;
}

void
peer_send(peer *p, const void *data, size_t len)
{
    sending s = { p, data, len };

    if (p->fd >= 0) {
        harness_until(p->h, send_some, &s);
        return;
    }
    assert_true(rill_transport_write(p->e.t, data, len) >= 0);
    harness_until(p->h, endpoint_is_not_paused, &p->e);
}

void
peer_stop_reading(peer *p)
{
    p->reading = false;
    if (p->e.t != NULL)
        rill_transport_pause_reading(p->e.t);
}

void
peer_read_on(peer *p)
{
    p->reading = true;
    if (p->e.t != NULL)
        rill_transport_resume_reading(p->e.t);
}

void
peer_shutdown(peer *p)
{
    if (p->fd >= 0)
        assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
    else
        assert_code(rill_transport_write_eof(p->e.t), 0);
}

void
peer_close(peer *p)
{
    if (p->h == NULL)
        return; /* Never connected. */
    if (p->fd >= 0) {
        assert_int_equal(close(p->fd), 0);
        p->fd = -1;
    } else if (p->e.t != NULL) {
        rill_transport_close(p->e.t);
        harness_until(p->h, endpoint_is_lost, &p->e);
    }
}

void
peer_reset(peer *p)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    if (p->fd >= 0) {
        assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        peer_close(p);
    } else if (p->e.t != NULL) {
        rill_transport_abort(p->e.t);
        harness_until(p->h, endpoint_is_lost, &p->e);
    }
}

typedef struct awaiting {
    peer *p;
    uint64_t wanted;
} awaiting;

static bool
enough_came(void *arg)
{
    awaiting *a = arg;

    take(a->p);
    return a->p->received >= a->wanted;
}

void
peer_await(peer *p, uint64_t received)
{
    awaiting a = { p, received };

    if (!harness_await(p->h, enough_came, &a))
        fail_msg("peer: %llu of %llu bytes came", (unsigned long long)p->received,
            (unsigned long long)received);
    assert_int_equal(p->received, received);
}

bool
peer_has_eof(void *arg)
{
    peer *p = arg;

    take(p);
    return p->eof;
}

bool
peer_has_end(void *arg)
{
    peer *p = arg;

    take(p);
    return p->eof || p->reset;
}

void
serves(harness *h, acceptor *accepted, const char *host, int port)
{
    static peer p;
    size_t before = accepted->made;
    rill_addr addr;

    assert_code(rill_addr_parse(host, port, &addr), 0);
    peer_connect(&p, h, &addr);
    assert_code(p.connect_error, 0);
    acceptor_await(accepted, before + 1);
    peer_close(&p);
    harness_until(h, acceptor_is_empty, accepted);
}

void
serves_not(harness *h, const char *host, int port)
{
    static peer p;
    rill_addr addr;

    assert_code(rill_addr_parse(host, port, &addr), 0);
    peer_connect(&p, h, &addr);
    assert_code(p.connect_error, -ECONNREFUSED);
    peer_close(&p);
}

void
end_server(harness *h, acceptor *accepted, rill_server *server)
{
    rill_server_abort_clients(server);
    rill_server_close(server);
    harness_until(h, acceptor_is_empty, accepted);
    harness_settle(h);
}
