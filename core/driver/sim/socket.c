/*
 * Sockets: making, closing and freeing them, and what send, recv and shutdown answer.
 *
 * A socket is owned by its descriptor, by a listener's queue, or by a peer. When the owner lets go
 * it stays until the connection has nothing left to say; the two ends of a connection go together.
 * Only rill__sim_socket_settle frees, so it is the last thing that an event or a close does. A
 * descriptor is a slot with a generation: a stale one is EBADF, never another socket. The world's
 * thread only.
 */
#include "core/driver/sim/internal.h"

#define FD_FIRST      0x40000000
#define FD_SLOT_BITS  18
#define FD_SLOT_MAX   ((UINT32_C(1) << FD_SLOT_BITS) - 1)
#define FD_GENERATION 0xfff

#define UNIX_BUFFER 212992

#define EVENTS_OF_SOCKET 3 /* arrive, ack, step */

/* ---- making ---- */

static int
new_unix(sim_socket *socket)
{
    static const uint16_t family = 1; /* AF_UNIX: an unnamed address. */

    socket->names = rill__sim_alloc(socket->sim, sizeof(*socket->names));
    if (socket->names == NULL)
        return -ENOMEM;
    rill__addr_set(&socket->names->local, &family, sizeof(family));
    rill__addr_set(&socket->names->remote, &family, sizeof(family));
    socket->send_buffer = UNIX_BUFFER;
    socket->recv_buffer = UNIX_BUFFER;
    return 0;
}

int
rill__sim_socket_new(sim_host *host, rill_family family, sim_socket **ret_socket)
{
    rill_sim *sim = host->sim;
    sim_socket *socket = rill__sim_alloc(sim, sizeof(*socket));

    if (socket == NULL)
        return -ENOMEM;
    if (rill__sim_reserve(sim, EVENTS_OF_SOCKET) < 0) {
        rill__sim_dealloc(sim, socket, sizeof(*socket));
        return -ENOMEM;
    }
    socket->sim = sim;
    socket->host = host;
    socket->fd = -1;
    socket->family = (uint8_t)family;
    socket->owned = true;
    socket->linger = -1;
    socket->keepalive_idle = 7200;
    socket->keepalive_interval = 75;
    socket->keepalive_count = 9;
    socket->send_buffer = sim->send_buffer;
    socket->recv_buffer = sim->recv_buffer;
    socket->step.fn = rill__sim_tcp_step;
    rill__list_init(&socket->queue);
    rill__list_init(&socket->listening);
    rill__list_init(&socket->child);
    rill__list_init(&socket->port.link);
    if (family == RILL_FAMILY_UNIX && new_unix(socket) < 0) {
        rill__sim_unreserve(sim, EVENTS_OF_SOCKET);
        rill__sim_dealloc(sim, socket, sizeof(*socket));
        return -ENOMEM;
    }
    rill__sim_pipe_init(socket);
    socket->number = ++sim->socket_numbers;
    rill__list_append(&sim->sockets, &socket->all);
    rill__sim_trace_socket(socket, SIM_SOCKET, (uint64_t)family);
    *ret_socket = socket;
    return 0;
}

void
rill__sim_socket_free(sim_socket *socket)
{
    rill_sim *sim = socket->sim;

    rill__sim_check(sim, socket->fd < 0 && socket->io == NULL && rill__list_empty(&socket->queue));
    rill__sim_port_release(socket, socket->fin_first && !socket->reset);
    rill__sim_unschedule(sim, &socket->step);
    rill__sim_pipe_done(socket);
    rill__sim_unreserve(sim, EVENTS_OF_SOCKET);
    rill__list_remove(&socket->all);
    rill__list_remove(&socket->listening);
    if (socket->dgrams != NULL)
        rill__sim_dgram_closed(socket);
    if (socket->names != NULL && socket->names->path != NULL)
        socket->names->path->socket = NULL;
    if (socket->names != NULL)
        rill__sim_dealloc(sim, socket->names, sizeof(*socket->names));
    rill__sim_dealloc(sim, socket, sizeof(*socket));
}

void
rill__sim_sockets_done(rill_sim *sim)
{
    while (!rill__list_empty(&sim->sockets)) {
        sim_socket *socket = RILL__CONTAINER(sim->sockets.next, sim_socket, all);

        socket->fd = -1;
        rill__list_init(&socket->queue);
        rill__sim_socket_free(socket);
    }
}

/* ---- descriptors ---- */

bool
rill__sim_descriptors_left(const sim_host *host)
{
    return host->descriptors <
           (host->descriptors_max != 0 ? host->descriptors_max : host->sim->descriptors_max);
}

int
rill__sim_socket_open(sim_socket *socket)
{
    rill_sim *sim = socket->sim;
    sim_host *host = socket->host;
    uint32_t index;

    if (!rill__sim_descriptors_left(host))
        return -EMFILE;
    if (sim->fd_free != 0) {
        index = sim->fd_free - 1;
        sim->fd_free = sim->fds[index].next_free;
    } else {
        index = sim->fd_count;
        if (index > FD_SLOT_MAX)
            return -ENFILE;
        if (rill__sim_grow(sim, &sim->fds, index, &sim->fd_capacity, sizeof(sim->fds[0])) < 0)
            return -ENOMEM;
        sim->fd_count++;
    }
    sim->fds[index].socket = socket;
    socket->fd =
        (int)(FD_FIRST | (sim->fds[index].generation & FD_GENERATION) << FD_SLOT_BITS | index);
    host->descriptors++;
    return 0;
}

sim_socket *
rill__sim_socket_of(const rill_sim *sim, int fd)
{
    uint32_t index = (uint32_t)fd & FD_SLOT_MAX;
    sim_socket *socket;

    if (fd < FD_FIRST || index >= sim->fd_count)
        return NULL;
    socket = sim->fds[index].socket;
    return socket != NULL && socket->fd == fd ? socket : NULL;
}

void
rill__sim_socket_close_descriptor(sim_socket *socket)
{
    rill_sim *sim = socket->sim;
    uint32_t index = (uint32_t)socket->fd & FD_SLOT_MAX;

    if (socket->fd < 0)
        return;
    sim->fds[index].socket = NULL;
    sim->fds[index].generation++;
    sim->fds[index].next_free = sim->fd_free;
    sim->fd_free = index + 1;
    socket->host->descriptors--;
    socket->fd = -1;
}

/* ---- closing ---- */

/* A child that nobody accepted. */
static void
drop_child(sim_socket *child)
{
    sim_socket *client = child->other;
    bool known = client->state != SIM_CONNECTING;

    rill__sim_accept_unlink(child);
    child->owned = false;
    if (rill__sim_is_unix(child)) {
        rill__sim_unix_closed(child);
        client->error = ECONNRESET;
    } else if (known) {
        if (child->state == SIM_CONNECTED)
            rill__sim_tcp_send_reset(child);
    } else {
        client->other = NULL;
        client->step_kind = SIM_STEP_REFUSED;
        rill__sim_schedule(client->sim, &client->step,
            rill__sim_arrival(child->host, client->host, 0, child->number, 0));
        rill__sim_socket_free(child);
        return;
    }
    rill__sim_socket_settle(child);
}

static void
close_stream(sim_socket *socket, bool reset)
{
    if (rill__sim_is_unix(socket)) {
        rill__sim_unix_closed(socket);
        return;
    }
    if (socket->state != SIM_CONNECTED)
        return;
    if (reset || socket->linger == 0 || rill__sim_pipe_readable(&socket->in) > 0)
        rill__sim_tcp_send_reset(socket);
    else
        (void)rill__sim_shutdown(socket); /* It is connected: that cannot fail. */
}

static void
close_connecting(sim_socket *socket)
{
    sim_socket *child = socket->other;

    rill__sim_unschedule(socket->sim, &socket->step);
    socket->state = SIM_ENDED;
    if (child == NULL)
        return;
    socket->other = NULL;
    child->other = NULL;
    rill__sim_accept_unlink(child);
    rill__sim_socket_free(child);
}

void
rill__sim_socket_close(sim_socket *socket, bool reset)
{
    rill__sim_check(socket->sim, socket->owned);
    rill__sim_trace_socket(socket, SIM_CLOSE, reset);
    rill__sim_socket_close_descriptor(socket);
    socket->owned = false;
    switch ((enum sim_state)socket->state) {
    case SIM_LISTENING:
        socket->state = SIM_ENDED;
        rill__list_remove(&socket->listening);
        while (!rill__list_empty(&socket->queue))
            drop_child(RILL__CONTAINER(socket->queue.next, sim_socket, child));
        break;
    case SIM_CONNECTING:
        close_connecting(socket);
        break;
    case SIM_FRESH:
    case SIM_CONNECTED:
    case SIM_ENDED:
        break;
    }
    close_stream(socket, reset);
    rill__sim_socket_settle(socket);
}

static bool
is_finished(const sim_socket *socket)
{
    return !socket->owned && (socket->in.dead || socket->in.fin_arrived);
}

/* Nobody has it any more: the port is free, or in TIME_WAIT on the side that closed first. */
static void
let_port_go(sim_socket *socket)
{
    if (socket->owned || socket->state != SIM_ENDED)
        return;
    rill__sim_port_release(socket, socket->fin_first && !socket->reset);
    socket->port.local.family = RILL_FAMILY_ANY;
}

void
rill__sim_socket_settle(sim_socket *socket)
{
    sim_socket *other = socket->other;

    let_port_go(socket);
    if (other != NULL)
        let_port_go(other);
    if (socket->owned)
        return;
    if (other == NULL) {
        rill__sim_socket_free(socket);
    } else if (is_finished(socket) && is_finished(other)) {
        rill__sim_socket_free(other);
        rill__sim_socket_free(socket);
    }
}

/* ---- waiting ---- */

void
rill__sim_socket_notify(sim_socket *socket)
{
    if (socket->io != NULL)
        rill__sim_io_notify(socket->io);
    else if (socket->peer != NULL)
        rill__sim_peer_notify(socket->peer);
    else if (socket->process != NULL)
        rill__sim_process_notify(socket->process);
}

/* A connect that came to nothing. */
void
rill__sim_socket_fail(sim_socket *socket, int error)
{
    rill__sim_trace_socket(
        socket, error == ECONNREFUSED ? SIM_REFUSED : SIM_ERROR, (uint64_t)error);
    socket->error = error;
    socket->recv_shut = true;
    socket->send_shut = true;
    socket->state = SIM_ENDED;
    rill__sim_socket_notify(socket);
}

bool
rill__sim_readable(const sim_socket *socket)
{
    if (socket->dgrams != NULL)
        return rill__sim_dgram_readable(socket);
    if (socket->state == SIM_LISTENING)
        return socket->visible > 0;
    return rill__sim_pipe_readable(&socket->in) > 0 || socket->recv_shut || socket->error != 0;
}

/* The kernel's hysteresis: a third of a TCP buffer, three quarters of a Unix one. */
bool
rill__sim_writable(const sim_socket *socket)
{
    size_t capacity = (size_t)socket->send_buffer;

    if (socket->dgrams != NULL)
        return rill__sim_dgram_writable(socket);
    if (socket->state == SIM_CONNECTING || socket->state == SIM_LISTENING)
        return false;
    if (socket->error != 0 || socket->send_shut || socket->state != SIM_CONNECTED)
        return true;
    if (socket->end != SIM_END_NONE)
        return rill__sim_pipe_room(socket) >= SIM_PIPE_ATOMIC;
    if (rill__sim_is_unix(socket))
        return rill__sim_pipe_room(socket) >= capacity / 4 * 3;
    return rill__sim_pipe_room(socket) >= capacity / 2 / 3;
}

/* ---- calls ---- */

static int
take_error(sim_socket *socket)
{
    int error = socket->error;

    socket->error = 0;
    return -error;
}

int64_t
rill__sim_recv(sim_socket *socket, void *buf, size_t len)
{
    size_t got = rill__sim_pipe_read(socket, buf, len);

    if (got > 0) {
        rill__sim_trace_socket(socket, SIM_RECV, got);
        return (int64_t)got;
    }
    if (socket->done)
        return 0;
    if (socket->error != 0)
        return take_error(socket);
    if (socket->recv_shut)
        return socket->end == SIM_END_WRITES ? -EPIPE : 0;
    if (socket->state == SIM_CONNECTED || socket->state == SIM_CONNECTING)
        return -EAGAIN;
    return rill__sim_is_unix(socket) ? -EINVAL : -ENOTCONN;
}

int
rill__sim_may_send(sim_socket *socket)
{
    bool is_unix = rill__sim_is_unix(socket);

    if (socket->error != 0 && !(is_unix && socket->send_shut))
        return take_error(socket);
    if (socket->send_shut)
        return -EPIPE;
    if (socket->state == SIM_CONNECTING)
        return 0;
    if (socket->state != SIM_CONNECTED)
        return is_unix ? -ENOTCONN : -EPIPE;
    return rill__sim_pipe_room(socket) > 0;
}

int64_t
rill__sim_send(sim_socket *socket, const void *data, size_t len)
{
    int may = rill__sim_may_send(socket);
    size_t sent;

    if (may < 0)
        return may;
    if (len == 0)
        return 0;
    if (may == 0)
        return -EAGAIN;
    sent = rill__sim_pipe_write(socket, data, len);
    if (sent == 0)
        return -ENOBUFS; /* There is room, but no memory: nothing to wait for. */
    rill__sim_trace_socket(socket, SIM_SEND, sent);
    return (int64_t)sent;
}

int
rill__sim_shutdown(sim_socket *socket)
{
    if (rill__sim_is_unix(socket)) {
        socket->send_shut = true;
        if (socket->state == SIM_CONNECTED && !socket->other->recv_shut) {
            socket->other->recv_shut = true;
            rill__sim_socket_notify(socket->other);
        }
        return 0;
    }
    if (socket->state != SIM_CONNECTED)
        return -ENOTCONN;
    if (socket->other->in.fin_written)
        return 0;
    rill__sim_trace_socket(socket, SIM_SHUTDOWN, 0);
    socket->send_shut = true;
    socket->fin_first = !socket->in.fin_arrived;
    socket->other->in.fin_written = true;
    rill__sim_pipe_transmit(socket);
    return 0;
}

int
rill__sim_connect(sim_socket *socket, const rill_addr *addr)
{
    sim_name remote;
    int rc;

    if (socket->state == SIM_CONNECTING)
        return -EALREADY;
    if (socket->state != SIM_FRESH)
        return -EISCONN;
    if (rill__sim_is_unix(socket))
        return rill__sim_unix_connect(socket, addr);
    rc = rill__sim_name_of(addr, (rill_family)socket->family, socket->v6only, &remote);
    return rc < 0 ? rc : rill__sim_tcp_connect(socket, &remote);
}

int
rill__sim_bind(sim_socket *socket, const rill_addr *addr)
{
    sim_name name;
    int rc;

    if (rill__sim_is_unix(socket))
        return rill__sim_unix_bind(socket, addr);
    rc = rill__sim_name_of(addr, (rill_family)socket->family, socket->v6only, &name);
    return rc < 0 ? rc : rill__sim_port_bind(socket, &name);
}

int
rill__sim_listen_on(sim_socket *socket, int backlog)
{
    static const sim_name any = { .family = RILL_FAMILY_IPV4 };
    static const sim_name any6 = { .family = RILL_FAMILY_IPV6 };
    int rc = 0;

    if (socket->state != SIM_FRESH && socket->state != SIM_LISTENING)
        return -EINVAL;
    if (rill__sim_is_unix(socket)) {
        if (socket->names->path == NULL)
            return -EINVAL;
    } else if (socket->state == SIM_FRESH) {
        if (socket->port.local.family == RILL_FAMILY_ANY)
            rc = rill__sim_port_bind(socket, socket->family == RILL_FAMILY_IPV4 ? &any : &any6);
        if (rc == 0)
            rc = rill__sim_port_listen(socket);
    }
    if (rc < 0)
        return rc;
    socket->backlog = backlog < 0 || backlog > 4096 ? 4096 : (uint32_t)backlog;
    if (socket->state == SIM_FRESH && !rill__sim_is_unix(socket))
        rill__list_append(&socket->host->listeners, &socket->listening);
    socket->state = SIM_LISTENING;
    rill__sim_trace_socket(socket, SIM_LISTEN, socket->backlog);
    return 0;
}

sim_socket *
rill__sim_accept_first(const sim_socket *listener)
{
    for (rill__link *link = listener->queue.next; link != &listener->queue; link = link->next) {
        sim_socket *child = RILL__CONTAINER(link, sim_socket, child);

        if (child->complete)
            return child;
    }
    return NULL;
}

void
rill__sim_accept_unlink(sim_socket *child)
{
    sim_socket *listener = child->listener;

    rill__sim_unschedule(child->sim, &child->step);
    rill__list_remove(&child->child);
    listener->queued--;
    listener->visible -= child->complete;
    child->listener = NULL;
}

/* ---- names ---- */

void
rill__sim_sockname(const sim_socket *socket, rill_addr *ret_addr)
{
    static const sim_name none = { .family = RILL_FAMILY_IPV4 };

    if (rill__sim_is_unix(socket))
        *ret_addr = socket->names->local;
    else if (socket->port.local.family == RILL_FAMILY_ANY)
        rill__sim_name_to(&none, (rill_family)socket->family, ret_addr);
    else
        rill__sim_name_to(&socket->port.local, (rill_family)socket->family, ret_addr);
}

int
rill__sim_peername(const sim_socket *socket, rill_addr *ret_addr)
{
    if (socket->state != SIM_CONNECTED)
        return -ENOTCONN;
    if (rill__sim_is_unix(socket))
        *ret_addr = socket->names->remote;
    else
        rill__sim_name_to(&socket->port.remote, (rill_family)socket->family, ret_addr);
    return 0;
}

int
rill__sim_tcp_state(const sim_socket *socket)
{
    const sim_socket *other = socket->other;

    switch ((enum sim_state)socket->state) {
    case SIM_LISTENING:
        return 10;
    case SIM_CONNECTING:
        return 2;
    case SIM_CONNECTED:
        if (other == NULL || !other->in.fin_written)
            return socket->done ? 8 : 1;
        if (socket->done)
            return socket->fin_first ? 11 : 9;
        return other->in.fin_arrived ? 5 : 4;
    case SIM_FRESH:
    case SIM_ENDED:
        break;
    }
    return 7; /* TIME_WAIT too: the port has it, the descriptor is closed. */
}

/* ---- invariants ---- */

void
rill__sim_socket_check(const sim_socket *socket)
{
    const rill_sim *sim = socket->sim;

    rill__sim_pipe_check(socket);
    rill__sim_check(sim, socket->visible <= socket->queued);
    rill__sim_check(sim, socket->other == NULL || socket->other->other == socket);
    rill__sim_check(sim, socket->state != SIM_CONNECTED || socket->other != NULL);
    rill__sim_check(sim, socket->listener == NULL || socket->fd < 0);
    rill__sim_check(sim, socket->owned || socket->fd < 0);
    rill__sim_check(sim, socket->state != SIM_LISTENING || socket->other == NULL);
}
