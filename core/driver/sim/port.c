/*
 * Who has which port: the rules of bind, listen and connect, and TIME_WAIT.
 *
 * As Linux: two users of one port get along if their addresses do not meet, if both said
 * SO_REUSEADDR and the older one does not listen, or if both said SO_REUSEPORT. The side that
 * closed first keeps its port for 60 s. A connect may share its port with another one to another
 * place. The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28232
#define TIME_WAIT       (60 * RILL_S)

static rill__link *
bucket_of(sim_host *host, uint16_t port)
{
    return &host->ports[port % SIM_PORT_BUCKETS];
}

static void
forget(sim_host *host, sim_port *port)
{
    rill__list_remove(&port->link);
    if (port->socket == NULL)
        rill__sim_dealloc(host->sim, port, sizeof(*port));
}

/* The next user of this port number behind `link`, past those whose time is over. */
static sim_port *
next_user(sim_host *host, rill__link *bucket, rill__link *link, uint16_t number)
{
    for (link = link->next; link != bucket;) {
        sim_port *port = RILL__CONTAINER(link, sim_port, link);

        link = link->next;
        if (port->socket == NULL && port->expires <= host->sim->now)
            forget(host, port);
        else if (port->local.port == number)
            return port;
    }
    return NULL;
}

#define FOR_EACH_USER(host, port, number)                                               \
    for (sim_port *port =                                                               \
             next_user(host, bucket_of(host, number), bucket_of(host, number), number); \
         port != NULL; port = next_user(host, bucket_of(host, number), &port->link, number))

static bool
addresses_meet(const sim_name *a, bool a_v6only, const sim_name *b, bool b_v6only)
{
    if (a->family == b->family)
        return rill__sim_wildcard(a) || rill__sim_wildcard(b) || rill__sim_same_address(a, b);
    if (a->family == RILL_FAMILY_IPV6)
        return rill__sim_wildcard(a) && !a_v6only;
    return rill__sim_wildcard(b) && !b_v6only;
}

static bool
conflicts(const sim_socket *socket, const sim_name *name, const sim_port *other)
{
    bool listens = other->socket != NULL && other->socket->state == SIM_LISTENING;

    if (other->datagrams != (socket->dgrams != NULL) ||
        !addresses_meet(name, socket->v6only, &other->local, other->v6only))
        return false;
    if (socket->reuse_address && other->reuse_address && !listens)
        return false;
    return !(socket->reuse_port && other->reuse_port);
}

static bool
is_taken(sim_socket *socket, const sim_name *name)
{
    FOR_EACH_USER(socket->host, port, name->port)
    if (port->socket != socket && conflicts(socket, name, port))
        return true;
    return false;
}

static void
enter(sim_socket *socket, const sim_name *local, const sim_name *remote, bool given)
{
    sim_port *port = &socket->port;

    port->socket = socket;
    port->local = *local;
    port->given = given;
    port->datagrams = socket->dgrams != NULL;
    port->reuse_address = socket->reuse_address;
    port->reuse_port = socket->reuse_port;
    port->v6only = socket->v6only;
    if (remote != NULL)
        port->remote = *remote;
    rill__list_append(bucket_of(socket->host, local->port), &port->link);
}

static uint16_t
next_ephemeral(sim_host *host)
{
    return (uint16_t)(EPHEMERAL_FIRST + host->ports_tried++ % EPHEMERAL_COUNT);
}

int
rill__sim_port_bind(sim_socket *socket, const sim_name *name)
{
    sim_name local = *name;

    if (socket->port.local.family != RILL_FAMILY_ANY)
        return -EINVAL;
    if (!rill__sim_wildcard(name) && !rill__sim_is_local(socket->host, name) &&
        !(socket->dgrams != NULL && rill__sim_is_multicast(name)))
        return -EADDRNOTAVAIL;
    if (name->port != 0) {
        if (is_taken(socket, name))
            return -EADDRINUSE;
    } else {
        uint32_t tries = 0;

        do {
            if (tries++ == EPHEMERAL_COUNT)
                return -EADDRINUSE;
            local.port = next_ephemeral(socket->host);
        } while (is_taken(socket, &local));
    }
    enter(socket, &local, NULL, true);
    rill__sim_trace_socket(socket, SIM_BIND, local.port);
    return 0;
}

static bool
pair_is_free(const sim_socket *socket, const sim_name *local, const sim_name *remote)
{
    FOR_EACH_USER(socket->host, port, local->port)
    {
        if (port->datagrams != (socket->dgrams != NULL))
            continue;
        if (port->given)
            return false;
        if (port->remote.port == remote->port && rill__sim_same_address(&port->remote, remote) &&
            rill__sim_same_address(&port->local, local))
            return false;
    }
    return true;
}

int
rill__sim_port_connect(sim_socket *socket, const sim_name *remote)
{
    sim_name source;
    uint32_t tries = 0;
    int rc = rill__sim_source(socket->host, remote, &source);

    if (rc < 0)
        return rc;
    if (socket->port.local.family != RILL_FAMILY_ANY) {
        source.port = socket->port.local.port;
        if (rill__sim_wildcard(&socket->port.local))
            socket->port.local = source;
        socket->port.remote = *remote;
        return 0;
    }
    do {
        if (tries++ == EPHEMERAL_COUNT)
            return -EADDRNOTAVAIL;
        source.port = next_ephemeral(socket->host);
    } while (!pair_is_free(socket, &source, remote));
    enter(socket, &source, remote, false);
    return 0;
}

void
rill__sim_port_share(sim_socket *child, const sim_name *local, const sim_name *remote)
{
    enter(child, local, remote, true);
}

int
rill__sim_port_listen(const sim_socket *socket)
{
    FOR_EACH_USER(socket->host, port, socket->port.local.port)
    if (port->socket != socket && conflicts(socket, &socket->port.local, port))
        return -EADDRINUSE;
    return 0;
}

/* How well a listener fits: 0 not at all. */
static int
fit(const sim_socket *listener, const sim_name *name)
{
    const sim_port *port = &listener->port;

    if (port->local.port != name->port || !addresses_meet(&port->local, port->v6only, name, true))
        return 0;
    if (port->local.family != name->family)
        return 1;
    return rill__sim_wildcard(&port->local) ? 2 : 3;
}

sim_socket *
rill__sim_port_listener(sim_host *host, const sim_name *name, uint64_t chooser)
{
    int best = 0;
    uint64_t candidates = 0;
    uint64_t chosen;

    for (rill__link *link = host->listeners.next; link != &host->listeners; link = link->next) {
        int fits = fit(RILL__CONTAINER(link, sim_socket, listening), name);

        if (fits > best) {
            best = fits;
            candidates = 0;
        }
        candidates += fits == best;
    }
    if (best == 0)
        return NULL;
    chosen = rill__sim_hash(host->sim, SIM_DOMAIN_SHARE, chooser, 0) % candidates;
    for (rill__link *link = host->listeners.next; link != &host->listeners; link = link->next) {
        sim_socket *listener = RILL__CONTAINER(link, sim_socket, listening);

        if (fit(listener, name) == best && chosen-- == 0)
            return listener;
    }
    return NULL;
}

void
rill__sim_port_release(sim_socket *socket, bool time_wait)
{
    sim_port *port = &socket->port;
    sim_port *shadow;

    if (port->local.family == RILL_FAMILY_ANY || rill__sim_is_unix(socket))
        return;
    rill__list_remove(&port->link);
    if (time_wait) {
        shadow = rill__sim_alloc(socket->sim, sizeof(*shadow));
        if (shadow != NULL) { /* Without memory the port is free earlier. */
            *shadow = *port;
            shadow->socket = NULL;
            shadow->expires = socket->sim->now + TIME_WAIT;
            rill__list_append(bucket_of(socket->host, port->local.port), &shadow->link);
        }
    }
}

void
rill__sim_ports_done(sim_host *host)
{
    for (size_t i = 0; i < SIM_PORT_BUCKETS; i++)
        while (!rill__list_empty(&host->ports[i]))
            forget(host, RILL__CONTAINER(host->ports[i].next, sim_port, link));
}
