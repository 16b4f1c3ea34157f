/*
 * Servers: what users hold, and the life of one.
 *
 * A server lives until it is closed, its listening sockets are closed and its last connection has
 * gone; then `drained` and `closed` run in the same turn and the memory goes. Connections are on
 * its list from accept to connection_lost. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "transports/server.h"

#define BACKLOG          128
#define ACCEPTS_PER_TURN 64

static void
check_server(const rill_server *server, const char *function)
{
    if (RILL__UNLIKELY(server->magic != RILL__SERVER_MAGIC))
        rill__panic("%s: %p is no live server: its `closed` callback has run", function,
            (const void *)server);
    rill__check_thread(server->loop, function);
}

/* ---- the end ---- */

static void
server_free(rill_server *server)
{
    rill__free(
        server->loop, server, sizeof(*server) + server->room * sizeof(listener), RILL_TAG_SERVER);
}

static void
end_run(rill__ready *ready)
{
    rill_server *server = RILL__CONTAINER(ready, rill_server, end);
    rill_loop *loop = server->loop;
    rill_drained_fn drained = server->drained;

    rill__timer_disarm(loop, &server->drain_timer);
    server->drained = NULL;
    if (drained != NULL)
        drained(server->drained_arg, server->drain_aborted);
    if (server->options.closed != NULL)
        server->options.closed(server, server->options.closed_arg);
    rill__peers_done(server);
    rill__object_remove(loop, RILL__OBJECT_SERVER, &server->object);
    server->magic = 0;
    server_free(server);
}

static void
end_if_done(rill_server *server)
{
    if (!server->closing || server->attached != 0 || server->stats.live != 0 || server->end_queued)
        return;
    server->end_queued = true;
    server->end.run = end_run;
    rill__loop_push(server->loop, &server->end);
}

void
rill__server_listener_closed(rill_server *server)
{
    assert(server->attached > 0);
    server->attached--;
    end_if_done(server);
}

static void
close_server(rill_server *server, bool take_backlog)
{
    if (server->closing)
        return;
    for (size_t i = 0; i < server->count && server->serving && take_backlog; i++)
        rill__accept_backlog(&server->listeners[i]);
    server->closing = true;
    server->serving = false;
    for (size_t i = 0; i < server->count; i++)
        rill__listener_stop(&server->listeners[i]);
    end_if_done(server);
}

void
rill_server_close(rill_server *server)
{
    check_server(server, "rill_server_close");
    close_server(server, true);
}

/* ---- connections ---- */

void
rill__server_attach(rill_server *server, rill_transport *t)
{
    t->server = server;
    rill__list_append(&server->connections, &t->server_link);
    server->stats.live++;
    if (server->watch != NULL)
        server->watch(server->watch_arg, 1);
    if (server->options.connections_max != 0 &&
        server->stats.live >= server->options.connections_max)
        rill__accept_pause(server);
}

void
rill__server_watch(rill_server *server, rill__server_watch_fn watch, void *arg)
{
    assert(server->stats.accepted == 0);
    server->watch = watch;
    server->watch_arg = arg;
}

int
rill_server_adopt(rill_server *server, int fd)
{
    RILL__REQUIRE(server != NULL);
    check_server(server, "rill_server_adopt");
    if (server->closing)
        return rill__fail(server->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "the server is closed");
    return rill__accept_adopted(server, fd);
}

void
rill__server_detach(rill_transport *t)
{
    rill_server *server = t->server;
    rill_addr peer;

    if (server == NULL)
        return;
    t->server = NULL;
    rill__list_remove(&t->server_link);
    assert(server->stats.live > 0);
    server->stats.live -= !rill__bug("server_count");
    if (server->options.connections_per_peer_max != 0 && rill_transport_peername(t, &peer) == 0)
        rill__peers_remove(server, &peer);
    if (server->watch != NULL)
        server->watch(server->watch_arg, -1);
    if (server->crowded)
        rill__accept_resume(server);
    end_if_done(server);
}

/* A callback may end any connection, but an end is never at once: the list only changes later. */
void
rill_server_each(rill_server *server, void (*fn)(rill_transport *t, void *arg), void *arg)
{
    rill__link *link;
    rill__link *next;

    check_server(server, "rill_server_each");
    for (link = server->connections.next; link != &server->connections; link = next) {
        rill_transport *t = RILL__CONTAINER(link, rill_transport, server_link);

        next = link->next;
        if (t->phase == RILL__PHASE_OPEN)
            fn(t, arg);
    }
}

static void
abort_all(rill_server *server)
{
    for (rill__link *link = server->connections.next; link != &server->connections;
         link = link->next)
        rill__transport_abort(RILL__CONTAINER(link, rill_transport, server_link), RILL_EABORTED,
            RILL_LAYER_TRANSPORT, NULL);
}

void
rill_server_close_clients(rill_server *server)
{
    check_server(server, "rill_server_close_clients");
    for (rill__link *link = server->connections.next; link != &server->connections;
         link = link->next)
        rill__transport_close(RILL__CONTAINER(link, rill_transport, server_link), 0);
}

void
rill_server_abort_clients(rill_server *server)
{
    check_server(server, "rill_server_abort_clients");
    abort_all(server);
}

static void
on_drain_timeout(rill__own_timer *timer)
{
    rill_server *server = RILL__CONTAINER(timer, rill_server, drain_timer);

    server->drain_aborted = server->stats.live;
    abort_all(server);
}

int
rill_server_drain_start(rill_server *server, rill_ns timeout, rill_drained_fn done, void *arg)
{
    RILL__REQUIRE(server != NULL);
    check_server(server, "rill_server_drain_start");
    if (done == NULL || (timeout < 0 && timeout != RILL_NEVER))
        return rill__fail(server->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "drain: done, and a timeout or RILL_NEVER, are needed");
    if (server->drained != NULL)
        return rill__fail(
            server->loop, RILL_EBUSY, RILL_LAYER_TRANSPORT, "the server is being drained already");
    server->drained = done;
    server->drained_arg = arg;
    close_server(server, true);
    if (timeout != RILL_NEVER)
        rill__timer_arm(server->loop, &server->drain_timer,
            rill__after(server->loop->ops->now(server->loop->driver), timeout));
    return 0;
}

/* ---- looking ---- */

bool
rill_server_is_serving(const rill_server *server)
{
    check_server(server, "rill_server_is_serving");
    return server->serving;
}

size_t
rill_server_socket_count(const rill_server *server)
{
    check_server(server, "rill_server_socket_count");
    return server->closing ? 0 : server->count;
}

int
rill_server_sockname(const rill_server *server, size_t index, rill_addr *ret_addr)
{
    RILL__REQUIRE(server != NULL && ret_addr != NULL);
    if (index >= rill_server_socket_count(server))
        return rill__fail(
            server->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "the server has no socket %zu", index);
    *ret_addr = server->listeners[index].addr;
    return 0;
}

int
rill_server_fd(const rill_server *server, size_t index)
{
    RILL__REQUIRE(server != NULL);
    if (index >= rill_server_socket_count(server))
        return rill__fail(
            server->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "the server has no socket %zu", index);
    return server->loop->sys->public_fd(server->loop->driver, server->listeners[index].io.fd);
}

char *
rill_server_describe(const rill_server *server, char *buf, size_t size)
{
    char where[RILL_ADDR_TEXT];
    size_t used = 0;

    check_server(server, "rill_server_describe");
    if (size > 0)
        buf[0] = '\0';
    for (size_t i = 0; i < server->count && used < size; i++) {
        int len = snprintf(buf + used, size - used, "%s%s", i > 0 ? ", " : "",
            rill_addr_format(&server->listeners[i].addr, where, sizeof(where)));

        used += len > 0 ? (size_t)len : 0;
    }
    return buf;
}

rill_loop *
rill_server_loop(const rill_server *server)
{
    return server->loop;
}

void
rill_server_get_stats(const rill_server *server, rill_server_stats *ret_stats)
{
    size_t size = ret_stats->size;

    check_server(server, "rill_server_get_stats");
    memcpy(ret_stats, &server->stats, size < sizeof(server->stats) ? size : sizeof(server->stats));
    ret_stats->size = size;
}

/* ---- paths that change hands ---- */

bool
rill__server_owns_path(const rill_server *server, size_t index)
{
    return server->listeners[index].owns_path && !server->options.keep_path;
}

void
rill__servers_own_paths(rill_loop *loop, bool own, rill__fd_match is_meant, void *ctx)
{
    const rill__link *head = &loop->objects[RILL__OBJECT_SERVER];

    for (const rill__link *link = head->next; link != head; link = link->next) {
        rill_server *server =
            RILL__CONTAINER(RILL__CONTAINER(link, rill__object, link), rill_server, object);

        for (size_t i = 0; i < server->count && !server->closing; i++) {
            listener *l = &server->listeners[i];

            if (rill_addr_family(&l->addr) == RILL_FAMILY_UNIX && is_meant(ctx, l->io.fd))
                l->owns_path =
                    own && loop->sys->unix_identity(loop->driver, &l->addr, l->identity) == 0;
        }
    }
}

/* ---- making ---- */

static void
server_end(rill__object *object)
{
    rill_server *server = RILL__CONTAINER(object, rill_server, object);

    server->drain_aborted = server->stats.live; /* The loop aborts them next. */
    close_server(server, false);
}

static void
server_describe(const rill__object *object, char *buf, size_t size)
{
    char where[200];

    snprintf(buf, size, "<server %s>",
        rill_server_describe(RILL__CONTAINER(object, rill_server, object), where, sizeof(where)));
}

static const rill__object_ops server_object_ops = { .end = server_end,
    .describe = server_describe };

/* On all or on none. */
static int
accept_on_all(rill_server *server)
{
    int rc = 0;
    size_t i = 0;

    while (i < server->count && rc == 0)
        rc = rill__listener_accept(&server->listeners[i++]);
    while (rc < 0 && i-- > 0)
        server->loop->ops->pause(server->loop->driver, &server->listeners[i].io);
    return rc;
}

int
rill_server_start_serving(rill_server *server)
{
    int rc = 0;

    RILL__REQUIRE(server != NULL);
    check_server(server, "rill_server_start_serving");
    if (server->closing)
        return rill__fail(server->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "the server is closed");
    if (server->serving)
        return 0;
    for (size_t i = 0; i < server->count && rc == 0; i++)
        rc = rill__listener_listen(&server->listeners[i]);
    if (rc == 0)
        rc = accept_on_all(server);
    server->serving = rc == 0;
    return rc;
}

static int
check_options(rill_loop *loop, rill_server_options *o, size_t *ret_room)
{
    size_t room = RILL__HOST_ADDRS;

    if ((o->host != NULL) + (o->hosts != NULL) + (o->path != NULL) + (o->addr != NULL) +
            (o->fds != NULL) + (o->no_socket != 0) !=
        1)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "server: exactly one of host, hosts, path, addr, fds and no_socket must be set");
    if (o->fds != NULL && (o->fds_count == 0 || o->fds_count > 1024))
        return rill__fail(
            loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "server: fds_count is not in 1..1024");
    if (o->backlog < 0 || o->accepts_per_turn < 0 || o->unix_mode < 0 || o->unix_mode > 07777)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "server: backlog, accepts_per_turn or unix_mode is out of range");
    for (size_t i = 0; o->hosts != NULL && o->hosts[i] != NULL; i++)
        room += RILL__HOST_ADDRS;
    if (o->fds != NULL)
        room = o->fds_count;
    o->backlog = o->backlog != 0 ? o->backlog : BACKLOG;
    o->accepts_per_turn = o->accepts_per_turn != 0 ? o->accepts_per_turn : ACCEPTS_PER_TURN;
    *ret_room = room;
    return 0;
}

static rill_server *
server_new(rill_loop *loop, const rill_server_options *o, const rill_protocol *protocol, void *arg,
    size_t room)
{
    rill_server *server =
        rill__alloc_zeroed(loop, sizeof(*server) + room * sizeof(listener), RILL_TAG_SERVER);

    if (server == NULL)
        return NULL;
    server->magic = RILL__SERVER_MAGIC;
    server->loop = loop;
    server->room = room;
    server->options = *o;
    server->protocol = protocol;
    server->arg = arg;
    server->drain_timer.fn = on_drain_timeout;
    rill__list_init(&server->connections);
    return server;
}

int
rill_create_server_site(rill_loop *loop, const rill_server_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_server **ret_server)
{
    rill_server_options o;
    rill_server *server;
    size_t room = 0;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_create_server");
    if (options == NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "server: no options");
    rc = rill__options_copy(loop, "rill_server_options", options, options->size, &o, sizeof(o));
    if (rc < 0 || (rc = rill__protocol_check(loop, protocol)) < 0 ||
        (rc = check_options(loop, &o, &room)) < 0)
        return rc;
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "server");
    server = server_new(loop, &o, protocol, arg, room);
    if (server == NULL)
        return rill__fail_call(loop, -ENOMEM, "server");
    rc = rill__config_init(&server->config, loop, o.transport);
    if (rc == 0)
        rc = rill__listen_all(server, &o);
    if (rc == 0 && !o.start_paused)
        rc = rill_server_start_serving(server);
    if (rc < 0) {
        for (size_t i = 0; i < server->count; i++)
            rill__listener_close_fd(&server->listeners[i]);
        server_free(server);
        return rc;
    }
    rill__object_add(loop, RILL__OBJECT_SERVER, &server_object_ops, &server->object, site);
    if (ret_server != NULL)
        *ret_server = server;
    return 0;
}
