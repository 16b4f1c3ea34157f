/*
 * Accepting: from a listener's record to transports.
 *
 * A record takes as many connections as the budget says: one at first, twice as many as long as
 * that many are waiting, at most accepts_per_turn; so a lone connection costs one accept and a
 * crowd is taken in few turns. Without descriptors or memory the listener rests for 100 ms at a
 * time, and the error handler hears of the episode once; clients wait in the backlog. Loop thread
 * only.
 */
#include <errno.h>

#include "transports/server.h"

#define REST_DELAY  (100 * RILL_MS)
#define BACKLOG_MAX 1024

/* Errors of the one connection that was about to be taken, see accept(2). */
static bool
is_of_connection(int rc)
{
    switch (-rc) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void
rest(listener *l, int rc)
{
    rill_server *server = l->server;
    rill_loop *loop = server->loop;
    char where[RILL_ADDR_TEXT];

    l->resting = true;
    loop->ops->pause(loop->driver, &l->io);
    rill__timer_arm(loop, &l->rest, rill__loop_now(loop) + REST_DELAY);
    if (server->exhausted)
        return;
    server->exhausted = true;
    server->stats.exhausted++;
    rill__report(loop, RILL_ERROR_ACCEPT, rc, server->object.site, NULL, server,
        "accept on %s fails; clients wait, it is tried again every 100 ms",
        rill_addr_format(&l->addr, where, sizeof(where)));
}

void
rill__accept_on_rest(rill__own_timer *timer)
{
    listener *l = RILL__CONTAINER(timer, listener, rest);

    l->resting = false;
    if (rill__bug("accept_rests_for_ever"))
        return;
    if (!l->server->crowded)
        l->server->loop->ops->resume(l->server->loop->driver, &l->io);
}

static void
refuse(rill_server *server, int fd)
{
    server->loop->sys->close_fd(server->loop->driver, fd, true);
}

/* A connection of this server has come, from a listener or adopted: 0, or why not; then `fd` is
 * still the caller's. */
static int
admit(rill_server *server, int fd, rill_family family, const rill_addr *peer, bool adopted,
    rill_transport **ret_transport)
{
    size_t max = server->options.connections_per_peer_max;
    int rc;

    server->stats.accepted++;
    if (max != 0 && !rill__peers_add(server, peer, max)) {
        server->stats.refused++;
        return RILL_ELIMIT;
    }
    rc = rill__config_apply(&server->config, server->loop, fd, family, !adopted);
    if (rc == 0 && adopted)
        rc = server->loop->sys->adopt(server->loop->driver, fd);
    if (rc == 0)
        rc = rill__stream_new(server->loop, fd, family, peer, &server->config, server->protocol,
            server->arg, server->object.site, adopted, ret_transport);
    if (rc == 0) {
        rill__server_attach(server, *ret_transport);
        return 0;
    }
    if (max != 0)
        rill__peers_remove(server, peer);
    server->stats.failed++;
    return rc;
}

/* NULL when the connection was refused or could not be set up. */
static rill_transport *
welcome(listener *l, int fd, const rill_addr *peer)
{
    rill_server *server = l->server;
    rill_transport *t;
    int rc = admit(server, fd, rill_addr_family(&l->addr), peer, false, &t);

    if (rc == 0)
        return t;
    refuse(server, fd);
    if (rc != RILL_ELIMIT && server->loop->debug)
        rill__report(server->loop, RILL_ERROR_SETUP, rc, server->object.site, NULL, server,
            "an accepted connection could not be set up");
    return NULL;
}

int
rill__accept_adopted(rill_server *server, int fd)
{
    rill_loop *loop = server->loop;
    size_t max = server->options.connections_max;
    rill_addr peer;
    rill_family family;
    rill_transport *t;
    int rc = rill__stream_family(loop, fd, &family);

    if (rc < 0)
        return rc;
    if (max != 0 && server->stats.live >= max)
        return rill__fail(loop, RILL_ELIMIT, RILL_LAYER_TRANSPORT,
            "the server has its %zu connections already", max);
    if (loop->sys->peername(loop->driver, fd, &peer) < 0)
        memset(&peer, 0, sizeof(peer)); /* Gone already; what it sent can still be read. */
    rc = admit(server, fd, family, &peer, true, &t);
    if (rc < 0)
        return rill__fail(loop, rc, rc >= -4095 ? RILL_LAYER_SYSTEM : RILL_LAYER_TRANSPORT,
            "descriptor %d: %s", fd, rill_strerror(rc));
    rill__stream_open_soon(t);
    return 0;
}

/* One accept: 1 taken, 0 none there, negative: rest. */
static int
accept_one(listener *l, bool soon)
{
    rill_server *server = l->server;
    rill_loop *loop = server->loop;
    rill_addr peer;
    rill_transport *t;
    int fd;
    int rc = loop->ops->accept_take(loop->driver, &l->io, &fd, &peer);

    if (rc == -EAGAIN)
        return 0;
    if (rc < 0)
        return is_of_connection(rc) ? 1 : rc;
    server->exhausted = false;
    t = welcome(l, fd, &peer);
    if (t == NULL)
        return 1;
    if (soon) {
        rill__stream_open_soon(t);
        return 1;
    }
    rill__stream_open(t);
    rill__loop_run_epilogue(loop);
    return 1;
}

void
rill__accept_on_recv(rill__op *op)
{
    listener *l = RILL__CONTAINER(op, listener, io.recv);
    rill_server *server = l->server;
    int budget = l->budget;

    for (int taken = 0; taken < budget; taken++) {
        int rc;

        if (server->closing || server->crowded || l->resting)
            return;
        rc = accept_one(l, false);
        if (rc < 0) {
            rest(l, rc);
            return;
        }
        if (rc == 0) {
            l->budget = 1;
            return;
        }
    }
    l->budget = budget * 2 < server->options.accepts_per_turn ? budget * 2
                                                              : server->options.accepts_per_turn;
}

void
rill__accept_backlog(listener *l)
{
    rill_server *server = l->server;
    int max = server->options.backlog < BACKLOG_MAX ? BACKLOG_MAX : server->options.backlog + 1;

    server->loop->ops->stop_accepting(server->loop->driver, &l->io);
    for (int i = 0; i < max && !server->crowded; i++) {
        if (accept_one(l, true) <= 0)
            return;
    }
}

void
rill__accept_pause(rill_server *server)
{
    server->crowded = true;
    for (size_t i = 0; i < server->count && !server->closing; i++)
        server->loop->ops->pause(server->loop->driver, &server->listeners[i].io);
}

void
rill__accept_resume(rill_server *server)
{
    server->crowded = false;
    for (size_t i = 0; i < server->count && !server->closing; i++) {
        if (!server->listeners[i].resting)
            server->loop->ops->resume(server->loop->driver, &server->listeners[i].io);
    }
}
