/*
 * Datagrams under way between hosts, and what a network does to them: loss, doubles, overtaking,
 * ICMP's answer for a port that nobody has, receive buffers that are full.
 *
 * A datagram is an event of its own, so that jitter lets one overtake another; it holds its
 * sender's room until it arrives. The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define IPV4_MAX     ((size_t)65507)
#define IPV6_MAX     ((size_t)65527)
#define ETHERNET_MAX ((size_t)1472) /* Of a datagram, where the path takes 1500 bytes. */
#define LATE         ((uint64_t)(5 * RILL_MS))

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

sim_datagram *
rill__sim_datagram_new(sim_socket *sender, const void *data, size_t len)
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

void
rill__sim_datagrams_free(rill__link *list)
{
    while (!rill__list_empty(list))
        datagram_free(RILL__CONTAINER(list->next, sim_datagram, link));
}

void
rill__sim_flights_done(rill_sim *sim)
{
    rill__sim_datagrams_free(&sim->flights);
}

void
rill__sim_dgrams_taken(sim_driver *driver)
{
    rill__sim_datagrams_free(&driver->taken);
}

sim_socket *
rill__sim_dgram_by_number(const rill_sim *sim, uint64_t number)
{
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);

        if (socket->number == number)
            return socket->owned ? socket : NULL;
    }
    return NULL;
}

bool
rill__sim_dgram_has_room(const sim_socket *socket)
{
    return socket->dgrams->under_way < (size_t)socket->send_buffer;
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

void
rill__sim_dgram_put(sim_socket *socket, sim_datagram *g)
{
    sim_dgrams *d = socket->dgrams;

    rill__list_remove(&g->link);
    if (!rill__sim_is_unix(socket) &&
        (d->bytes + g->len + SIM_DATAGRAM_OVERHEAD > (size_t)socket->recv_buffer ||
            rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_FULL))) {
        rill__sim_trace_socket(socket, SIM_DGRAM_DROP, g->len);
        datagram_free(g);
        return;
    }
    rill__sim_trace_socket(socket, SIM_DGRAM_ARRIVE, g->len);
    rill__list_append(&d->queue, &g->link);
    d->bytes += g->len + SIM_DATAGRAM_OVERHEAD;
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
    sim_socket *sender = rill__sim_dgram_by_number(g->sim, g->sender);

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
    sim_socket *sender = g->counted ? rill__sim_dgram_by_number(g->sim, g->sender) : NULL;

    g->counted = false;
    if (sender == NULL || sender->dgrams == NULL)
        return;
    sender->dgrams->under_way -= g->len + SIM_DATAGRAM_OVERHEAD;
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
        copy = rill__sim_datagram_new(socket, g->data, g->len);
        if (copy == NULL)
            continue;
        copy->from = g->from;
        copy->to = g->to;
        copy->tos = g->tos;
        rill__sim_dgram_put(socket, copy);
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
    if (socket != NULL && rill__sim_fault(sim, RILL_SIM_FAULT_DGRAM_REFUSED, g->to_host, g->sender,
                              &g->to_host->uses[RILL_SIM_FAULT_DGRAM_REFUSED]))
        socket = NULL;
    if (socket != NULL)
        rill__sim_dgram_put(socket, g);
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
        rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_LOSS) ||
        (g->len > ETHERNET_MAX && rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_BLACKHOLE))) {
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
        socket->dgrams->under_way += g->len + SIM_DATAGRAM_OVERHEAD;
    rill__list_append(&sim->flights, &g->link);
    rill__sim_schedule(sim, &g->event, at);
}

/* One datagram to one host; perhaps twice. Without memory the network loses it. */
static void
send_to_host(sim_socket *socket, const rill__departing *p, const sim_name *from, const sim_name *to,
    sim_host *host, bool first)
{
    int times = rill__sim_fault_of(socket, RILL_SIM_FAULT_DGRAM_DUPLICATE) ? 2 : 1;

    for (int i = 0; i < times; i++) {
        sim_datagram *g = rill__sim_datagram_new(socket, p->data, p->len);

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

int
rill__sim_dgram_fly(sim_socket *socket, const rill__departing *p)
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
    if (!rill__sim_dgram_has_room(socket))
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
