/*
 * Scripted peers: the other end of a connection, driven by a test.
 *
 * A peer reads what arrives into a buffer and sends what it was fed, both in one event that is
 * scheduled whenever its socket or its script changes: nothing of a peer runs inside a call of the
 * user's. Its socket has no descriptor and meets no fault of system calls. The world owns peers
 * until its own end. The world's thread only.
 */
#include <stdlib.h>

#include "core/driver/sim/internal.h"

#define BLOCK ((size_t)16 * 1024)

typedef struct sim_buffer {
    uint8_t *data;
    size_t size;
    size_t first; /* Of the bytes that are left. */
    size_t end;
} sim_buffer;

struct rill_sim_peer {
    rill_sim *sim;
    rill__link link;
    sim_socket *socket; /* NULL when it has ended. */
    sim_event act;
    sim_event drip;
    sim_buffer in;
    sim_buffer out;
    uint64_t bytes_in, bytes_out;
    size_t drip_bytes;
    rill_ns drip_interval;
    rill_sim_peer_fn watch;
    void *watch_arg;
    int error;
    uint8_t state; /* rill_sim_peer_state */
    bool eof;
    bool paused;
    bool shut, closing; /* After what was fed. */
};

/* ---- buffers ---- */

static int
buffer_put(rill_sim *sim, sim_buffer *buffer, const void *data, size_t len)
{
    size_t left = buffer->end - buffer->first;
    size_t size = buffer->size != 0 ? buffer->size : 256;
    uint8_t *wider;

    if (buffer->end + len > buffer->size) {
        while (size < left + len)
            size *= 2;
        wider = rill__sim_alloc(sim, size);
        if (wider == NULL)
            return -ENOMEM;
        if (left > 0)
            memcpy(wider, buffer->data + buffer->first, left);
        rill__sim_dealloc(sim, buffer->data, buffer->size);
        *buffer = (sim_buffer){ .data = wider, .size = size, .end = left };
    }
    memcpy(buffer->data + buffer->end, data, len);
    buffer->end += len;
    return 0;
}

static void
buffer_drop(sim_buffer *buffer, size_t len)
{
    buffer->first += len;
    if (buffer->first == buffer->end)
        buffer->first = buffer->end = 0;
}

static size_t
buffer_left(const sim_buffer *buffer)
{
    return buffer->end - buffer->first;
}

/* ---- acting ---- */

static void
let_go(rill_sim_peer *peer, rill_sim_peer_state state, bool reset)
{
    sim_socket *socket = peer->socket;

    peer->state = (uint8_t)state;
    peer->socket = NULL;
    rill__sim_unschedule(peer->sim, &peer->drip);
    if (socket == NULL)
        return;
    socket->peer = NULL;
    rill__sim_socket_close(socket, reset);
}

static void
fail(rill_sim_peer *peer, int64_t error)
{
    peer->error = (int)error;
    let_go(peer, RILL_SIM_PEER_FAILED, false);
}

static void
read_all(rill_sim_peer *peer)
{
    uint8_t block[BLOCK];

    while (peer->socket != NULL && !peer->paused && !peer->eof) {
        int64_t got = rill__sim_recv(peer->socket, block, sizeof(block));

        if (got == -EAGAIN)
            return;
        if (got < 0) {
            fail(peer, got);
        } else if (got == 0) {
            peer->eof = true;
        } else if (buffer_put(peer->sim, &peer->in, block, (size_t)got) < 0) {
            fail(peer, -ENOMEM);
        } else {
            peer->bytes_in += (uint64_t)got;
        }
    }
}

static void
write_some(rill_sim_peer *peer)
{
    size_t len = buffer_left(&peer->out);
    int64_t sent;

    if (rill__sim_scheduled(&peer->drip))
        return;
    if (peer->drip_bytes != 0 && len > peer->drip_bytes)
        len = peer->drip_bytes;
    if (len == 0)
        return;
    sent = rill__sim_send(peer->socket, peer->out.data + peer->out.first, len);
    if (sent == -EAGAIN)
        return;
    if (sent < 0) {
        if (sent == -EPIPE) /* Nobody wants it; what was received may still be read. */
            buffer_drop(&peer->out, buffer_left(&peer->out));
        else
            fail(peer, sent);
        return;
    }
    peer->bytes_out += (uint64_t)sent;
    buffer_drop(&peer->out, (size_t)sent);
    if (peer->drip_bytes != 0)
        rill__sim_schedule(peer->sim, &peer->drip, peer->sim->now + peer->drip_interval);
    else if (buffer_left(&peer->out) > 0)
        rill__sim_peer_notify(peer);
}

static void
finish(rill_sim_peer *peer)
{
    if (peer->socket == NULL || buffer_left(&peer->out) > 0)
        return;
    if (peer->closing)
        let_go(peer, RILL_SIM_PEER_CLOSED, false);
    else if (peer->shut)
        (void)rill__sim_shutdown(peer->socket); /* Not connected any more: as good as done. */
}

static void
connected(rill_sim_peer *peer)
{
    sim_socket *socket = peer->socket;

    if (socket->state == SIM_CONNECTING)
        return;
    if (socket->error != 0)
        fail(peer, -socket->error);
    else
        peer->state = RILL_SIM_PEER_OPEN;
}

static void
act(rill_sim *sim, sim_event *event)
{
    rill_sim_peer *peer = RILL__CONTAINER(event, rill_sim_peer, act);

    (void)sim;
    if (peer->socket != NULL && peer->state == RILL_SIM_PEER_CONNECTING)
        connected(peer);
    if (peer->state == RILL_SIM_PEER_OPEN) {
        read_all(peer);
        if (peer->socket != NULL)
            write_some(peer);
        finish(peer);
    }
    if (peer->watch != NULL)
        peer->watch(peer, peer->watch_arg);
}

static void
drip(rill_sim *sim, sim_event *event)
{
    (void)sim;
    rill__sim_peer_notify(RILL__CONTAINER(event, rill_sim_peer, drip));
}

void
rill__sim_peer_notify(rill_sim_peer *peer)
{
    if (!rill__sim_scheduled(&peer->act))
        rill__sim_schedule(peer->sim, &peer->act, peer->sim->now);
}

/* ---- making ---- */

static int
new_peer(rill_sim *sim, rill_sim_peer **ret_peer)
{
    rill_sim_peer *peer = rill__sim_alloc(sim, sizeof(*peer));

    if (peer == NULL)
        return -ENOMEM;
    if (rill__sim_reserve(sim, 2) < 0) {
        rill__sim_dealloc(sim, peer, sizeof(*peer));
        return -ENOMEM;
    }
    peer->sim = sim;
    peer->act.fn = act;
    peer->drip.fn = drip;
    rill__list_append(&sim->peers, &peer->link);
    *ret_peer = peer;
    return 0;
}

static void
free_peer(rill_sim_peer *peer)
{
    rill_sim *sim = peer->sim;

    if (peer->socket != NULL)
        peer->socket->peer = NULL;
    rill__sim_unschedule(sim, &peer->act);
    rill__sim_unschedule(sim, &peer->drip);
    rill__sim_unreserve(sim, 2);
    rill__sim_dealloc(sim, peer->in.data, peer->in.size);
    rill__sim_dealloc(sim, peer->out.data, peer->out.size);
    rill__list_remove(&peer->link);
    rill__sim_dealloc(sim, peer, sizeof(*peer));
}

void
rill__sim_peers_done(rill_sim *sim)
{
    while (!rill__list_empty(&sim->peers))
        free_peer(RILL__CONTAINER(sim->peers.next, rill_sim_peer, link));
}

static void
adopt(rill_sim_peer *peer, sim_socket *socket, rill_sim_peer_state state)
{
    peer->socket = socket;
    peer->state = (uint8_t)state;
    socket->peer = peer;
    rill__sim_peer_notify(peer);
}

/* "db" is the first address of that host, and 127.0.0.1 for itself. */
static int
resolve(sim_host *from, const char *host, int port, rill_addr *ret_addr)
{
    sim_host *named = rill__sim_host_find(from->sim, host);
    sim_name name;

    if (named == NULL)
        return rill_addr_parse(host, port, ret_addr);
    if (named == from)
        return rill_addr_parse("127.0.0.1", port, ret_addr);
    if (named->name_count == 0)
        return RILL_EADDRESS;
    name = named->names[0];
    name.port = (uint16_t)port;
    rill__sim_name_to(&name, (rill_family)name.family, ret_addr);
    return 0;
}

static int
parse(sim_host *from, const char *text, rill_addr *ret_addr)
{
    char host[64];
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    size_t len;
    char *end;
    long port;

    if (text != NULL && strncmp(text, "unix:", 5) == 0)
        return rill_addr_unix(text + 5, ret_addr) < 0 ? RILL_EADDRESS : 0;
    if (colon == NULL)
        return RILL_EADDRESS;
    port = strtol(colon + 1, &end, 10);
    len = (size_t)(colon - text);
    if (end == colon + 1 || *end != '\0' || port < 0 || port > 65535 || len >= sizeof(host))
        return RILL_EADDRESS;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return resolve(from, host, (int)port, ret_addr) < 0 ? RILL_EADDRESS : 0;
}

static int
prepare(rill_sim *sim, const char *host, const char *address, rill_addr *ret_addr,
    rill_sim_peer **ret_peer, sim_socket **ret_socket)
{
    sim_host *from;
    int rc;

    RILL__REQUIRE(sim != NULL);
    from = rill__sim_host_find(sim, host);
    rc = from != NULL ? parse(from, address, ret_addr) : RILL_EINVAL;
    if (rc == 0)
        rc = new_peer(sim, ret_peer);
    if (rc < 0)
        return rc;
    rc = rill__sim_socket_new(from, rill_addr_family(ret_addr), ret_socket);
    if (rc < 0)
        free_peer(*ret_peer);
    return rc;
}

static void
undo(rill_sim_peer *peer, sim_socket *socket)
{
    rill__sim_socket_close(socket, false);
    free_peer(peer);
}

int
rill_sim_dial(rill_sim *sim, const char *host, const char *address, rill_sim_peer **ret_peer)
{
    rill_sim_peer *peer;
    sim_socket *socket;
    rill_addr addr;
    int rc;

    RILL__REQUIRE(ret_peer != NULL);
    rc = prepare(sim, host, address, &addr, &peer, &socket);
    if (rc < 0)
        return rc;
    rc = rill__sim_connect(socket, &addr);
    if (rc == -EADDRNOTAVAIL || rc == -ENOMEM) {
        undo(peer, socket);
        return rc;
    }
    if (rc < 0)
        rill__sim_socket_fail(socket, -rc);
    adopt(peer, socket, RILL_SIM_PEER_CONNECTING);
    *ret_peer = peer;
    return 0;
}

int
rill_sim_listen(
    rill_sim *sim, const char *host, const char *address, int backlog, rill_sim_peer **ret_listener)
{
    rill_sim_peer *peer;
    sim_socket *socket;
    rill_addr addr;
    int rc;

    RILL__REQUIRE(ret_listener != NULL && backlog >= 0);
    rc = prepare(sim, host, address, &addr, &peer, &socket);
    if (rc < 0)
        return rc;
    socket->reuse_address = true;
    rc = rill__sim_bind(socket, &addr);
    if (rc == 0)
        rc = rill__sim_listen_on(socket, backlog);
    if (rc < 0) {
        undo(peer, socket);
        return rc;
    }
    adopt(peer, socket, RILL_SIM_PEER_LISTENING);
    *ret_listener = peer;
    return 0;
}

int
rill_sim_peer_accept(rill_sim_peer *listener, rill_sim_peer **ret_peer)
{
    sim_socket *child;
    rill_sim_peer *peer;
    int rc;

    RILL__REQUIRE(listener != NULL && ret_peer != NULL);
    if (listener->state != RILL_SIM_PEER_LISTENING)
        return RILL_EINVAL;
    child = rill__sim_accept_first(listener->socket);
    if (child == NULL)
        return -EAGAIN;
    rc = new_peer(listener->sim, &peer);
    if (rc < 0)
        return rc;
    rill__sim_accept_unlink(child);
    peer->watch = listener->watch;
    peer->watch_arg = listener->watch_arg;
    adopt(peer, child, RILL_SIM_PEER_OPEN);
    *ret_peer = peer;
    return 0;
}

/* ---- the script ---- */

static bool
has_ended(const rill_sim_peer *peer)
{
    return peer->socket == NULL || peer->state == RILL_SIM_PEER_LISTENING;
}

int
rill_sim_peer_feed(rill_sim_peer *peer, const void *data, size_t len)
{
    int rc;

    RILL__REQUIRE(peer != NULL && (data != NULL || len == 0));
    if (has_ended(peer) || peer->shut || peer->closing)
        return RILL_ECLOSED;
    if (len == 0)
        return 0;
    rc = buffer_put(peer->sim, &peer->out, data, len);
    if (rc == 0)
        rill__sim_peer_notify(peer);
    return rc;
}

void
rill_sim_peer_dribble(rill_sim_peer *peer, size_t bytes, rill_ns interval)
{
    peer->drip_bytes = bytes;
    peer->drip_interval = interval > 0 ? interval : 0;
    if (bytes == 0)
        rill__sim_unschedule(peer->sim, &peer->drip);
    if (!has_ended(peer))
        rill__sim_peer_notify(peer);
}

size_t
rill_sim_peer_take(rill_sim_peer *peer, void *buf, size_t size)
{
    size_t len = buffer_left(&peer->in) < size ? buffer_left(&peer->in) : size;

    if (len > 0)
        memcpy(buf, peer->in.data + peer->in.first, len);
    buffer_drop(&peer->in, len);
    return len;
}

const void *
rill_sim_peer_peek(const rill_sim_peer *peer, size_t *ret_len)
{
    *ret_len = buffer_left(&peer->in);
    return *ret_len > 0 ? peer->in.data + peer->in.first : (const void *)"";
}

void
rill_sim_peer_watch(rill_sim_peer *peer, rill_sim_peer_fn fn, void *arg)
{
    peer->watch = fn;
    peer->watch_arg = arg;
}

void
rill_sim_peer_pause(rill_sim_peer *peer)
{
    peer->paused = true;
}

void
rill_sim_peer_resume(rill_sim_peer *peer)
{
    peer->paused = false;
    if (!has_ended(peer))
        rill__sim_peer_notify(peer);
}

void
rill_sim_peer_shutdown(rill_sim_peer *peer)
{
    peer->shut = true;
    if (!has_ended(peer))
        rill__sim_peer_notify(peer);
}

void
rill_sim_peer_close(rill_sim_peer *peer)
{
    peer->closing = true;
    if (peer->socket == NULL)
        return;
    if (peer->state == RILL_SIM_PEER_OPEN)
        rill__sim_peer_notify(peer);
    else if (peer->state == RILL_SIM_PEER_LISTENING || buffer_left(&peer->out) == 0)
        let_go(peer, RILL_SIM_PEER_CLOSED, false);
}

void
rill_sim_peer_reset(rill_sim_peer *peer)
{
    if (peer->socket != NULL)
        let_go(peer, RILL_SIM_PEER_CLOSED, true);
}

/* ---- looking ---- */

rill_sim_peer_state
rill_sim_peer_get_state(const rill_sim_peer *peer)
{
    return (rill_sim_peer_state)peer->state;
}

int
rill_sim_peer_error(const rill_sim_peer *peer)
{
    return peer->error;
}

bool
rill_sim_peer_eof(const rill_sim_peer *peer)
{
    return peer->eof;
}

uint64_t
rill_sim_peer_bytes_in(const rill_sim_peer *peer)
{
    return peer->bytes_in;
}

uint64_t
rill_sim_peer_bytes_out(const rill_sim_peer *peer)
{
    return peer->bytes_out;
}

int
rill_sim_peer_sockname(const rill_sim_peer *peer, rill_addr *ret_addr)
{
    RILL__REQUIRE(peer != NULL && ret_addr != NULL);
    if (peer->socket == NULL)
        return -ENOTCONN;
    rill__sim_sockname(peer->socket, ret_addr);
    return 0;
}

int
rill_sim_peer_peername(const rill_sim_peer *peer, rill_addr *ret_addr)
{
    RILL__REQUIRE(peer != NULL && ret_addr != NULL);
    return peer->socket != NULL ? rill__sim_peername(peer->socket, ret_addr) : -ENOTCONN;
}
