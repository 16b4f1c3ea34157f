/*
 * Datagram sockets: UDP and Unix, their options and groups, and what a take gives.
 *
 * As Linux: a connected sender hears of a refusal at its next call; a Unix socket refuses or has no
 * room at once. All of this is announced, never completed, in both personalities. What goes from
 * host to host is flight.c's. The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define UNIX_MANY 11 /* net.unix.max_dgram_qlen, and one. */

static sim_socket *
socket_of(rill__driver *driver, int fd)
{
    sim_socket *socket = rill__sim_socket_of(((sim_driver *)driver)->sim, fd);

    return socket != NULL && socket->dgrams != NULL ? socket : NULL;
}

/* ---- sockets ---- */

static int
dgram_socket(rill__driver *driver, rill_family family, int *ret_fd)
{
    rill_sim *sim = ((sim_driver *)driver)->sim;
    int rc = driver->sys->socket(driver, family, ret_fd);
    sim_socket *socket;

    if (rc < 0)
        return rc;
    socket = rill__sim_socket_of(sim, *ret_fd);
    socket->dgrams = rill__sim_alloc(sim, sizeof(*socket->dgrams));
    if (socket->dgrams == NULL) {
        driver->sys->close_fd(driver, *ret_fd, false);
        return -ENOMEM;
    }
    rill__list_init(&socket->dgrams->queue);
    socket->dgrams->options[RILL_OPTION_TTL] = 64;
    socket->dgrams->options[RILL_OPTION_MULTICAST_TTL] = 1;
    socket->dgrams->options[RILL_OPTION_MULTICAST_LOOP] = 1;
    return 0;
}

static bool
is_full(const sim_socket *socket)
{
    return socket->dgrams->count >= UNIX_MANY ||
           socket->dgrams->bytes + SIM_DATAGRAM_OVERHEAD > (size_t)socket->recv_buffer;
}

bool
rill__sim_dgram_readable(const sim_socket *socket)
{
    return !rill__list_empty(&socket->dgrams->queue) || socket->error != 0;
}

bool
rill__sim_dgram_writable(const sim_socket *socket)
{
    const sim_socket *peer;

    if (socket->error != 0)
        return true;
    if (!rill__sim_is_unix(socket))
        return rill__sim_dgram_has_room(socket);
    if (!socket->dgrams->connected)
        return true;
    peer = rill__sim_dgram_by_number(socket->sim, socket->dgrams->peer);
    return peer == NULL || !is_full(peer);
}

/* Whoever waits for room in its queue. */
static void
notify_senders(const sim_socket *socket)
{
    rill_sim *sim = socket->sim;

    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *other = RILL__CONTAINER(link, sim_socket, all);

        if (other->dgrams != NULL && other->dgrams->peer == socket->number)
            rill__sim_socket_notify(other);
    }
}

void
rill__sim_dgram_closed(sim_socket *socket)
{
    rill__sim_datagrams_free(&socket->dgrams->queue);
    if (rill__sim_is_unix(socket))
        notify_senders(socket);
    rill__sim_dealloc(socket->sim, socket->dgrams, sizeof(*socket->dgrams));
    socket->dgrams = NULL;
}

static int
dgram_probe(rill__driver *driver, int fd, rill_family *ret_family, bool *ret_udp)
{
    const sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return RILL_EINVAL;
    *ret_family = (rill_family)socket->family;
    *ret_udp = !rill__sim_is_unix(socket);
    return 0;
}

/* Its socket, or why there is none to send to. */
static int
find_unix(const sim_socket *socket, const rill_addr *addr, sim_socket **ret_peer)
{
    const sim_path *path = rill__sim_path_find(socket->host, addr);

    if (rill_addr_family(addr) != RILL_FAMILY_UNIX)
        return -EINVAL;
    if (path == NULL)
        return ((const char *)addr->storage)[2] == '\0' ? -ECONNREFUSED : -ENOENT;
    if ((path->mode & 0200) == 0)
        return -EACCES;
    if (path->socket == NULL)
        return -ECONNREFUSED;
    if (path->socket->dgrams == NULL)
        return -EPROTOTYPE;
    *ret_peer = path->socket;
    return 0;
}

static int
dgram_connect(rill__driver *driver, int fd, const rill_addr *addr)
{
    sim_socket *socket = socket_of(driver, fd);
    sim_socket *peer;
    sim_name remote;
    int rc;

    if (socket == NULL)
        return -EBADF;
    if (rill__sim_is_unix(socket)) {
        rc = find_unix(socket, addr, &peer);
        if (rc < 0)
            return rc;
        socket->dgrams->peer = peer->number;
        socket->names->remote = *addr;
    } else {
        rc = rill__sim_name_of(addr, (rill_family)socket->family, socket->v6only, &remote);
        if (rc == 0)
            rc = rill__sim_port_connect(socket, &remote);
        if (rc < 0)
            return rc;
    }
    socket->dgrams->connected = true;
    return 0;
}

static int
dgram_unix_stale(rill__driver *driver, const rill_addr *addr)
{
    const sim_path *path = rill__sim_path_find(((sim_driver *)driver)->host, addr);

    if (path == NULL)
        return 0;
    return path->file || path->socket != NULL ? -EADDRINUSE : 1;
}

static int
dgram_prepare(rill__driver *driver, int fd, bool udp, size_t receive_max, bool details)
{
    sim_socket *socket = socket_of(driver, fd);

    (void)udp;
    (void)receive_max;
    if (socket == NULL)
        return -EBADF;
    socket->dgrams->details = details;
    return 0;
}

/* ---- options ---- */

static int
dgram_set_option(rill__driver *driver, int fd, rill_option option, int value)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    if (rill__sim_is_unix(socket))
        return RILL_ENOTSUP;
    if (option == RILL_OPTION_MULTICAST_INTERFACE && value > 2)
        return -EADDRNOTAVAIL; /* Every host has a loopback and one card. */
    socket->dgrams->options[option] = value;
    return 0;
}

static int
dgram_get_option(rill__driver *driver, int fd, rill_option option, int *ret_value)
{
    const sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    if (rill__sim_is_unix(socket))
        return RILL_ENOTSUP;
    *ret_value = socket->dgrams->options[option];
    return 0;
}

static size_t
find_group(const sim_dgrams *d, const sim_group *wanted)
{
    size_t i = 0;

    while (
        i < d->group_count && !(rill__sim_same_address(&d->groups[i].group, &wanted->group) &&
                                  rill__sim_same_address(&d->groups[i].source, &wanted->source) &&
                                  d->groups[i].interface == wanted->interface))
        i++;
    return i;
}

static int
dgram_membership(rill__driver *driver, int fd, bool join, const rill_addr *group,
    const rill_addr *source, uint32_t interface)
{
    sim_socket *socket = socket_of(driver, fd);
    sim_group wanted = { .interface = interface };
    sim_dgrams *d;
    size_t at;

    if (socket == NULL)
        return -EBADF;
    (void)rill__sim_name_of(group, (rill_family)socket->family, true, &wanted.group);
    if (source != NULL)
        (void)rill__sim_name_of(source, (rill_family)socket->family, true, &wanted.source);
    d = socket->dgrams;
    at = find_group(d, &wanted);
    if (join && at < d->group_count)
        return -EADDRINUSE;
    if (!join && at == d->group_count)
        return -EADDRNOTAVAIL;
    if (join && d->group_count == SIM_GROUPS_MAX)
        return -ENOBUFS;
    if (join)
        d->groups[d->group_count++] = wanted;
    else
        d->groups[at] = d->groups[--d->group_count];
    rill__sim_trace_socket(socket, SIM_JOIN, d->group_count);
    return 0;
}

/* ---- sending ---- */

static int
send_unix(sim_socket *socket, const rill__departing *p)
{
    sim_socket *peer = NULL;
    sim_datagram *g;
    int rc = 0;

    if (p->to != NULL) {
        rc = find_unix(socket, p->to, &peer);
    } else if (!socket->dgrams->connected) {
        rc = -ENOTCONN;
    } else {
        peer = rill__sim_dgram_by_number(socket->sim, socket->dgrams->peer);
        rc = peer == NULL || peer->dgrams == NULL ? -ECONNREFUSED : 0;
    }
    if (rc < 0)
        return rc;
    if (peer->dgrams->connected && peer->dgrams->peer != socket->number)
        return -EPERM;
    if (p->len > (size_t)socket->send_buffer)
        return -EMSGSIZE;
    if (is_full(peer))
        return -EAGAIN;
    g = rill__sim_datagram_new(socket, p->data, p->len);
    if (g == NULL)
        return -ENOBUFS;
    g->from_unix = socket->names->local;
    rill__sim_trace_socket(socket, SIM_DGRAM_SEND, p->len);
    rill__sim_dgram_put(peer, g);
    return 0;
}

static int
send_one(sim_socket *socket, const rill__departing *p)
{
    int error = socket->error;

    if (error != 0) {
        socket->error = 0;
        return -error;
    }
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_AGAIN))
        return -EAGAIN;
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_ENOBUFS))
        return -ENOBUFS;
    return rill__sim_is_unix(socket) ? send_unix(socket, p) : rill__sim_dgram_fly(socket, p);
}

int
rill__sim_dgram_send(sim_socket *socket, const rill__departing *p)
{
    return send_one(socket, p);
}

static int
dgram_send(rill__driver *driver, rill__io *io, const rill__departing *departing, size_t count)
{
    sim_io *self = io->driver_data;
    int sent = 0;

    (void)driver;
    for (size_t i = 0; i < count && i < RILL__DGRAM_MANY; i++) {
        int rc = send_one(self->socket, departing + i);

        if (rc < 0)
            return sent > 0 ? sent : rc;
        sent++;
    }
    return sent;
}

static int
dgram_await_room(rill__driver *driver, rill__io *io, bool wanted)
{
    (void)driver;
    io->send.active = wanted;
    io->send.kind = SIM_SEND_NONE;
    if (wanted)
        rill__sim_io_mark(io->driver_data);
    return 0;
}

/* ---- receiving ---- */

static void
fill_in(const sim_socket *socket, const sim_datagram *g, rill__arrived *a)
{
    sim_name to = g->to;

    *a = (rill__arrived){ .data = g->data, .len = g->len, .tos = -1 };
    if (rill__sim_is_unix(socket)) {
        a->from = g->from_unix;
        return;
    }
    rill__sim_name_to(&g->from, (rill_family)socket->family, &a->from);
    if (!socket->dgrams->details)
        return;
    to.port = 0;
    rill__sim_name_to(&to, (rill_family)socket->family, &a->to);
    a->interface = g->from_host == socket->host ? 1 : 2;
    a->tos = g->tos;
}

static void
take_one(sim_driver *driver, sim_socket *socket, size_t receive_max, rill__arrived *a)
{
    sim_dgrams *d = socket->dgrams;
    sim_datagram *g = RILL__CONTAINER(d->queue.next, sim_datagram, link);
    bool was_full = is_full(socket);

    rill__list_remove(&g->link);
    rill__list_append(&driver->taken, &g->link);
    d->bytes -= g->len + SIM_DATAGRAM_OVERHEAD;
    d->count--;
    fill_in(socket, g, a);
    if (a->len > receive_max) {
        a->len = receive_max;
        a->truncated = true;
    }
    if (a->len > 0 && rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_TRUNCATE)) {
        a->len = (size_t)rill__sim_value(socket->sim, RILL_SIM_FAULT_DGRAM_TRUNCATE, socket->number,
            &socket->uses[RILL_SIM_FAULT_DGRAM_TRUNCATE], 0, a->len - 1);
        a->truncated = true;
    }
    if (was_full && rill__sim_is_unix(socket))
        notify_senders(socket);
}

int64_t
rill__sim_dgram_recv(
    sim_driver *driver, sim_socket *socket, void *buf, size_t len, rill_addr *ret_from)
{
    rill__arrived arrived;
    rill__link *taken;
    rill__link own;
    int error = socket->error;

    if (error != 0) {
        socket->error = 0;
        return -error;
    }
    if (rill__list_empty(&socket->dgrams->queue) ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_RECV_AGAIN))
        return -EAGAIN;
    take_one(driver, socket, len, &arrived);
    memcpy(buf, arrived.data, arrived.len);
    if (ret_from != NULL)
        *ret_from = arrived.from;
    taken = driver->taken.prev; /* What others have taken is still theirs. */
    rill__list_remove(taken);
    rill__list_init(&own);
    rill__list_append(&own, taken);
    rill__sim_datagrams_free(&own);
    return (int64_t)arrived.len;
}

static int
dgram_take(
    rill__driver *driver, rill__io *io, size_t receive_max, const rill__arrived **ret_arrived)
{
    sim_driver *self = (sim_driver *)driver;
    sim_io *sim_io_of = io->driver_data;
    sim_socket *socket = sim_io_of->socket;
    int error = socket->error;
    int count = 0;

    rill__sim_dgrams_taken(self);
    sim_io_of->spurious_read = false;
    if (error != 0) {
        socket->error = 0;
        return -error;
    }
    if (rill__list_empty(&socket->dgrams->queue) ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_RECV_AGAIN))
        return -EAGAIN;
    while (count < SIM_TAKE_MANY && !rill__list_empty(&socket->dgrams->queue))
        take_one(self, socket, receive_max, &self->arrived[count++]);
    rill__sim_trace_socket(socket, SIM_DGRAM_TAKE, (uint64_t)count);
    *ret_arrived = self->arrived;
    return count;
}

const rill__dgram_ops rill__dgrams_sim = {
    .socket = dgram_socket,
    .probe = dgram_probe,
    .connect = dgram_connect,
    .unix_stale = dgram_unix_stale,
    .prepare = dgram_prepare,
    .set_option = dgram_set_option,
    .get_option = dgram_get_option,
    .membership = dgram_membership,
    .take = dgram_take,
    .send = dgram_send,
    .await_room = dgram_await_room,
};
