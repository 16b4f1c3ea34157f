/*
 * Datagrams: UDP between hosts, with what a network does to them, and Unix datagram sockets.
 *
 * As Linux: a datagram to a port that nobody has is answered by ICMP, which a connected sender
 * hears of at its next call; a full receive buffer drops; a Unix socket refuses or has no room at
 * once. A datagram under way is an event of its own, so that jitter lets one overtake another; it
 * holds its sender's room until it arrives. All of this is announced, never completed. The world's
 * thread only.
 */
#include "core/driver/sim/internal.h"

#define IPV4_MAX  ((size_t)65507)
#define IPV6_MAX  ((size_t)65527)
#define OVERHEAD  ((size_t)256) /* Of a datagram in a buffer. */
#define UNIX_MANY 11            /* net.unix.max_dgram_qlen, and one. */
#define LATE      ((uint64_t)(5 * RILL_MS))

struct sim_datagram {
    rill__link link; /* Of the flights, of a socket's queue, or of what a driver has taken. */
    sim_event event;
    rill_sim *sim;
    sim_host *from_host;
    sim_host *to_host;
    uint64_t sender; /* The number of its socket. */
    sim_name from;
    sim_name to;
    rill_addr from_unix;
    int tos;
    bool refusal;  /* It is ICMP's answer to such a datagram. */
    bool counted;  /* In the sender's room. */
    size_t size;   /* Of data. */
    size_t len;
    uint8_t data[];
};

static sim_socket *
socket_of(rill__driver *driver, int fd)
{
    sim_socket *socket = rill__sim_socket_of(((sim_driver *)driver)->sim, fd);

    return socket != NULL && socket->dgrams != NULL ? socket : NULL;
}

bool
rill__sim_is_multicast(const sim_name *name)
{
    return name->family == RILL_FAMILY_IPV4 ? (name->bytes[0] & 0xf0) == 0xe0
                                            : name->bytes[0] == 0xff;
}

static bool
is_broadcast(const sim_name *name)
{
    static const uint8_t all[4] = { 255, 255, 255, 255 };

    return name->family == RILL_FAMILY_IPV4 && memcmp(name->bytes, all, sizeof(all)) == 0;
}

/* ---- memory ---- */

static sim_datagram *
datagram_new(sim_socket *sender, const void *data, size_t len)
{
    rill_sim *sim = sender->sim;
    sim_datagram *g = rill__sim_alloc(sim, sizeof(*g) + len);

    if (g == NULL)
        return NULL;
    if (rill__sim_reserve(sim, 1) < 0) {
        rill__sim_dealloc(sim, g, sizeof(*g) + len);
        return NULL;
    }
    g->sim = sim;
    g->from_host = sender->host;
    g->sender = sender->number;
    g->tos = sender->dgrams->options[RILL_OPTION_TOS];
    g->size = g->len = len;
    if (len > 0)
        memcpy(g->data, data, len);
    rill__list_init(&g->link);
    return g;
}

static void
datagram_free(sim_datagram *g)
{
    rill__sim_unschedule(g->sim, &g->event);
    rill__sim_unreserve(g->sim, 1);
    rill__list_remove(&g->link);
    rill__sim_dealloc(g->sim, g, sizeof(*g) + g->size);
}

static void
free_all(rill__link *list)
{
    while (!rill__list_empty(list))
        datagram_free(RILL__CONTAINER(list->next, sim_datagram, link));
}

void
rill__sim_flights_done(rill_sim *sim)
{
    free_all(&sim->flights);
}

void
rill__sim_dgrams_taken(sim_driver *driver)
{
    free_all(&driver->taken);
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

static sim_socket *
by_number(const rill_sim *sim, uint64_t number)
{
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);

        if (socket->number == number)
            return socket->owned ? socket : NULL;
    }
    return NULL;
}

static bool
is_full(const sim_socket *socket)
{
    return socket->dgrams->count >= UNIX_MANY ||
           socket->dgrams->bytes + OVERHEAD > (size_t)socket->recv_buffer;
}

bool
rill__sim_dgram_readable(const sim_socket *socket)
{
    return !rill__list_empty(&socket->dgrams->queue) || socket->error != 0;
}

static bool
has_room(const sim_socket *socket)
{
    return socket->dgrams->under_way < (size_t)socket->send_buffer;
}

bool
rill__sim_dgram_writable(const sim_socket *socket)
{
    const sim_socket *peer;

    if (socket->error != 0)
        return true;
    if (!rill__sim_is_unix(socket))
        return has_room(socket);
    if (!socket->dgrams->connected)
        return true;
    peer = by_number(socket->sim, socket->dgrams->peer);
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
    free_all(&socket->dgrams->queue);
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

    while (i < d->group_count &&
           !(rill__sim_same_address(&d->groups[i].group, &wanted->group) &&
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

/* ---- arriving ---- */

static bool
is_member(const sim_dgrams *d, const sim_datagram *g)
{
    for (size_t i = 0; i < d->group_count; i++) {
        if (rill__sim_same_address(&d->groups[i].group, &g->to) &&
            (d->groups[i].source.family == RILL_FAMILY_ANY ||
                rill__sim_same_address(&d->groups[i].source, &g->from)))
            return true;
    }
    return false;
}

/* How well a socket fits: 0 not at all. */
static int
fit(const sim_socket *socket, const sim_datagram *g)
{
    const sim_port *port = &socket->port;
    bool one = !rill__sim_is_multicast(&g->to) && !is_broadcast(&g->to);
    bool wild = rill__sim_wildcard(&port->local);
    int score = 1;

    if (socket->dgrams == NULL || rill__sim_is_unix(socket) || !socket->owned ||
        socket->host != g->to_host || port->local.family == RILL_FAMILY_ANY ||
        port->local.port != g->to.port)
        return 0;
    if (port->local.family != g->to.family && (!wild || port->v6only))
        return 0;
    if (port->local.family == g->to.family && !wild) {
        if (!rill__sim_same_address(&port->local, &g->to))
            return 0;
        score += 2;
    }
    if (rill__sim_is_multicast(&g->to) && !is_member(socket->dgrams, g))
        return 0;
    if (!socket->dgrams->connected)
        return score;
    if (port->remote.port != g->from.port || !rill__sim_same_address(&port->remote, &g->from))
        return 0;
    return one ? score + 4 : score;
}

static void
put_in_queue(sim_socket *socket, sim_datagram *g)
{
    sim_dgrams *d = socket->dgrams;

    rill__list_remove(&g->link);
    if (!rill__sim_is_unix(socket) &&
        (d->bytes + g->len + OVERHEAD > (size_t)socket->recv_buffer ||
            rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_FULL))) {
        rill__sim_trace_socket(socket, SIM_DGRAM_DROP, g->len);
        datagram_free(g);
        return;
    }
    rill__sim_trace_socket(socket, SIM_DGRAM_ARRIVE, g->len);
    rill__list_append(&d->queue, &g->link);
    d->bytes += g->len + OVERHEAD;
    d->count++;
    rill__sim_socket_notify(socket);
}

/* The one that fits best; among equals (reuse_port) the sender's port decides. */
static sim_socket *
receiver_of(const sim_datagram *g)
{
    const rill_sim *sim = g->sim;
    uint64_t candidates = 0;
    uint64_t chosen;
    int best = 1;

    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        int fits = fit(RILL__CONTAINER(link, sim_socket, all), g);

        if (fits > best)
            candidates = 0;
        best = fits > best ? fits : best;
        candidates += fits == best;
    }
    if (candidates == 0)
        return NULL;
    chosen = rill__sim_hash(sim, SIM_DOMAIN_SHARE, g->sender, 0) % candidates;
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);

        if (fit(socket, g) == best && chosen-- == 0)
            return socket;
    }
    return NULL;
}

static rill_ns
arrival_of(sim_host *from, const sim_host *to, size_t bytes, uint64_t object, uint64_t use)
{
    const rill_sim *sim = from->sim;
    sim_link *link = rill__sim_link_of(from, to);
    rill_ns at = sim->now;

    if (link == NULL)
        return at;
    if (link->bandwidth > 0) {
        if (link->busy_until > at)
            at = link->busy_until;
        at += (rill_ns)(bytes * (uint64_t)RILL_S / link->bandwidth);
        link->busy_until = at;
    }
    at += link->latency;
    if (link->jitter > 0)
        at += (rill_ns)(rill__sim_hash(sim, SIM_DOMAIN_JITTER, object, use) %
                        (uint64_t)(link->jitter + 1));
    return at;
}

/* Nobody has the port. */
static void
answer_refused(sim_datagram *g)
{
    if (rill__sim_cut(g->to_host, g->from_host)) {
        datagram_free(g);
        return;
    }
    g->refusal = true;
    rill__sim_schedule(
        g->sim, &g->event, arrival_of(g->to_host, g->from_host, 0, g->sender, g->len));
}

static void
hear_refused(sim_datagram *g)
{
    sim_socket *sender = by_number(g->sim, g->sender);

    if (sender != NULL && sender->dgrams != NULL && sender->dgrams->connected &&
        sender->port.remote.port == g->to.port &&
        rill__sim_same_address(&sender->port.remote, &g->to)) {
        sender->error = ECONNREFUSED;
        rill__sim_trace_socket(sender, SIM_REFUSED, ECONNREFUSED);
        rill__sim_socket_notify(sender);
    }
    datagram_free(g);
}

static void
leave_buffer(sim_datagram *g)
{
    sim_socket *sender = g->counted ? by_number(g->sim, g->sender) : NULL;

    g->counted = false;
    if (sender == NULL || sender->dgrams == NULL)
        return;
    sender->dgrams->under_way -= g->len + OVERHEAD;
    rill__sim_socket_notify(sender);
}

/* To every one that fits, one more for each. */
static void
arrive_at_all(sim_datagram *g)
{
    rill_sim *sim = g->sim;

    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);
        sim_datagram *copy;

        if (fit(socket, g) == 0)
            continue;
        copy = datagram_new(socket, g->data, g->len);
        if (copy == NULL)
            continue;
        copy->from = g->from;
        copy->to = g->to;
        copy->tos = g->tos;
        put_in_queue(socket, copy);
    }
    datagram_free(g);
}

static void
arrive(rill_sim *sim, sim_event *event)
{
    sim_datagram *g = RILL__CONTAINER(event, sim_datagram, event);
    sim_socket *socket;

    leave_buffer(g);
    if (g->refusal) {
        hear_refused(g);
        return;
    }
    if (rill__sim_cut(g->from_host, g->to_host)) {
        datagram_free(g);
        return;
    }
    if (rill__sim_is_multicast(&g->to) || is_broadcast(&g->to)) {
        arrive_at_all(g);
        return;
    }
    socket = receiver_of(g);
    if (socket != NULL &&
        rill__sim_fault(sim, RILL_SIM_FAULT_DGRAM_REFUSED, g->to_host, g->sender,
            &g->to_host->uses[RILL_SIM_FAULT_DGRAM_REFUSED]))
        socket = NULL;
    if (socket != NULL)
        put_in_queue(socket, g);
    else
        answer_refused(g);
}

/* ---- sending ---- */

static void
fly(sim_socket *socket, sim_datagram *g, sim_host *to, bool counted)
{
    rill_sim *sim = socket->sim;
    sim_link *link = rill__sim_link_of(socket->host, to);
    uint64_t use = ++socket->dgrams->sends;
    rill_ns at = arrival_of(socket->host, to, g->len + 28, socket->number, use);

    if (rill__sim_cut(socket->host, to) ||
        (link != NULL && link->loss > 0 &&
            rill__sim_hash(sim, SIM_DOMAIN_JITTER, ~socket->number, use) % 1000000 < link->loss) ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_LOSS)) {
        rill__sim_trace_socket(socket, SIM_DGRAM_DROP, g->len);
        datagram_free(g);
        return;
    }
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_REORDER))
        at += (rill_ns)rill__sim_value(sim, RILL_SIM_FAULT_DGRAM_REORDER, socket->number,
            &socket->uses[RILL_SIM_FAULT_DGRAM_REORDER], 1, LATE);
    g->to_host = to;
    g->event.fn = arrive;
    g->counted = counted;
    if (counted)
        socket->dgrams->under_way += g->len + OVERHEAD;
    rill__list_append(&sim->flights, &g->link);
    rill__sim_schedule(sim, &g->event, at);
}

/* One datagram to one host; perhaps twice. Without memory the network loses it. */
static void
send_to_host(sim_socket *socket, const rill__departing *p, const sim_name *from,
    const sim_name *to, sim_host *host, bool first)
{
    int times = rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_DUPLICATE) ? 2 : 1;

    for (int i = 0; i < times; i++) {
        sim_datagram *g = datagram_new(socket, p->data, p->len);

        if (g == NULL)
            return;
        g->from = *from;
        g->to = *to;
        fly(socket, g, host, first && i == 0);
    }
}

static bool
has_family(const sim_host *host, uint8_t family)
{
    for (uint32_t i = 0; i < host->name_count; i++) {
        if (host->names[i].family == family)
            return true;
    }
    return false;
}

static void
send_to_all(sim_socket *socket, const rill__departing *p, const sim_name *from, const sim_name *to)
{
    const rill_sim *sim = socket->sim;
    const int *options = socket->dgrams->options;
    bool multicast = rill__sim_is_multicast(to);
    bool first = true;

    for (uint32_t i = 0; i < sim->host_count; i++) {
        sim_host *host = sim->hosts[i];

        if (multicast && host == socket->host && !options[RILL_OPTION_MULTICAST_LOOP])
            continue;
        if (multicast && host != socket->host && !options[RILL_OPTION_MULTICAST_TTL])
            continue;
        if (host != socket->host && !has_family(host, to->family))
            continue;
        send_to_host(socket, p, from, to, host, first);
        first = false;
    }
}

/* The socket has a name from here on. */
static int
name_sender(sim_socket *socket, const sim_name *to, sim_name *ret_from)
{
    sim_name any = { .family = to->family };
    int rc = 0;

    if (socket->port.local.family == RILL_FAMILY_ANY)
        rc = rill__sim_port_bind(socket, &any);
    if (rc < 0)
        return rc;
    *ret_from = socket->port.local;
    if (rill__sim_wildcard(ret_from) || rill__sim_is_multicast(ret_from))
        rc = rill__sim_source(socket->host, to, ret_from);
    ret_from->port = socket->port.local.port;
    return rc;
}

static int
send_ip(sim_socket *socket, const rill__departing *p)
{
    sim_name to = socket->port.remote;
    sim_name from;
    sim_host *host;
    int rc = 0;

    if (p->to != NULL)
        rc = rill__sim_name_of(p->to, (rill_family)socket->family, socket->v6only, &to);
    else if (!socket->dgrams->connected)
        rc = -EDESTADDRREQ;
    if (rc < 0)
        return rc;
    if (to.port == 0)
        return -EINVAL;
    if (p->len > (to.family == RILL_FAMILY_IPV4 ? IPV4_MAX : IPV6_MAX))
        return -EMSGSIZE;
    if (is_broadcast(&to) && !socket->dgrams->options[RILL_OPTION_BROADCAST])
        return -EACCES;
    if (!has_room(socket))
        return -EAGAIN;
    rc = name_sender(socket, &to, &from);
    if (rc < 0)
        return rc;
    rill__sim_trace_socket(socket, SIM_DGRAM_SEND, p->len);
    if (rill__sim_is_multicast(&to) || is_broadcast(&to)) {
        send_to_all(socket, p, &from, &to);
        return 0;
    }
    host = rill__sim_host_at(socket->host, &to);
    if (host == NULL)
        return 0; /* Nobody answers there. */
    send_to_host(socket, p, &from, &to, host, true);
    return 0;
}

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
        peer = by_number(socket->sim, socket->dgrams->peer);
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
    g = datagram_new(socket, p->data, p->len);
    if (g == NULL)
        return -ENOBUFS;
    g->from_unix = socket->names->local;
    rill__sim_trace_socket(socket, SIM_DGRAM_SEND, p->len);
    put_in_queue(peer, g);
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
    return rill__sim_is_unix(socket) ? send_unix(socket, p) : send_ip(socket, p);
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
    d->bytes -= g->len + OVERHEAD;
    d->count--;
    fill_in(socket, g, a);
    if (a->len > receive_max) {
        a->len = receive_max;
        a->truncated = true;
    }
    if (a->len > 0 && rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_TRUNCATE)) {
        a->len = (size_t)rill__sim_value(socket->sim, RILL_SIM_FAULT_DGRAM_TRUNCATE,
            socket->number, &socket->uses[RILL_SIM_FAULT_DGRAM_TRUNCATE], 0, a->len - 1);
        a->truncated = true;
    }
    if (was_full && rill__sim_is_unix(socket))
        notify_senders(socket);
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
