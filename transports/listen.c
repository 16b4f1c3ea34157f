/*
 * Where a server listens: from options to bound sockets, and their end.
 *
 * All sockets are bound or none. Several addresses with port 0 get the same port: the kernel's
 * choice for the first, and another try when it is taken for a later one. Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/server.h"

#define PORT_TRIES 16

static void
on_send(rill__op *op)
{
    (void)op; /* Nothing is sent on a listener. */
}

static void
on_close(rill__op *op)
{
    listener *l = RILL__CONTAINER(op, listener, io.close);

    l->attached = false;
    rill__server_listener_closed(l->server);
}

static int
set_flags(rill_server *server, int fd, rill_family family)
{
    const rill_server_options *o = &server->options;
    const rill__sys_ops *sys = server->loop->sys;
    rill__driver *driver = server->loop->driver;
    int rc = 0;

    if (!o->no_reuse_address && family != RILL_FAMILY_UNIX)
        rc = sys->set_flag(driver, fd, RILL__FLAG_REUSE_ADDRESS, 1);
    if (rc == 0 && o->reuse_port && family != RILL_FAMILY_UNIX)
        rc = sys->set_flag(driver, fd, RILL__FLAG_REUSE_PORT, 1);
    if (rc == 0 && family == RILL_FAMILY_IPV6)
        rc = sys->set_flag(driver, fd, RILL__FLAG_V6ONLY, !o->dual_stack);
    /* Inherited by what it accepts: one call less for each connection. */
    if (rc == 0 && family != RILL_FAMILY_UNIX && server->config.options.nodelay >= 0)
        rc = sys->set_flag(driver, fd, RILL__FLAG_NODELAY, 1);
    return rc;
}

static int
run_hook(rill_server *server, int fd)
{
    int shown = server->loop->sys->public_fd(server->loop->driver, fd);
    int rc;

    if (server->options.socket_hook == NULL)
        return 0;
    rc = server->options.socket_hook(shown >= 0 ? shown : -1, server->options.socket_hook_arg);
    return rc > 0 ? RILL_ECANCELED : rc;
}

/* A path that was left behind by a server that is no more is removed first. */
static int
clear_stale_path(rill_server *server, const rill_addr *addr)
{
    const rill__sys_ops *sys = server->loop->sys;
    int rc;

    if (rill_addr_family(addr) != RILL_FAMILY_UNIX)
        return 0;
    rc = sys->unix_stale(server->loop->driver, addr);
    return rc > 0 ? sys->unix_unlink(server->loop->driver, addr) : rc;
}

static int
after_bind(rill_server *server, listener *l, int fd)
{
    const rill__sys_ops *sys = server->loop->sys;
    rill__driver *driver = server->loop->driver;
    int rc;

    if (rill_addr_family(&l->addr) == RILL_FAMILY_UNIX) {
        l->owns_path = sys->unix_identity(driver, &l->addr, l->identity) == 0;
        if (server->options.unix_mode != 0)
            return sys->unix_chmod(driver, &l->addr, server->options.unix_mode);
        return 0;
    }
    rc = sys->sockname(driver, fd, &l->addr); /* With the port that was chosen. */
    return rc;
}

static void
remove_path(listener *l)
{
    const rill__sys_ops *sys = l->server->loop->sys;
    rill__driver *driver = l->server->loop->driver;
    uint64_t identity[2];

    if (!l->owns_path || l->server->options.keep_path)
        return;
    l->owns_path = false;
    if (sys->unix_identity(driver, &l->addr, identity) == 0 && identity[0] == l->identity[0] &&
        identity[1] == l->identity[1])
        (void)sys->unix_unlink(driver, &l->addr); /* Somebody else was faster: fine too. */
}

static int
attach(listener *l, int fd)
{
    rill_loop *loop = l->server->loop;
    int rc;

    l->io.recv.fn = rill__accept_on_recv;
    l->io.send.fn = on_send;
    l->io.close.fn = on_close;
    l->rest.fn = rill__accept_on_rest;
    l->budget = 1;
    rc = loop->ops->attach(loop->driver, &l->io, fd, RILL__IO_LISTENER);
    if (rc < 0)
        return rc;
    l->attached = true;
    l->server->attached++;
    return 0;
}

static int
bind_one(rill_server *server, listener *l, const rill_addr *addr)
{
    const rill__sys_ops *sys = server->loop->sys;
    rill__driver *driver = server->loop->driver;
    rill_family family = rill_addr_family(addr);
    int fd;
    int rc = sys->socket(driver, family, &fd);

    if (rc < 0)
        return rc;
    l->server = server;
    l->addr = *addr;
    if ((rc = set_flags(server, fd, family)) < 0 || (rc = run_hook(server, fd)) < 0 ||
        (rc = clear_stale_path(server, addr)) < 0 || (rc = sys->bind(driver, fd, addr)) < 0 ||
        (rc = after_bind(server, l, fd)) < 0 || (rc = attach(l, fd)) < 0) {
        remove_path(l);
        sys->close_fd(driver, fd, false);
    }
    return rc;
}

static int
fail_bind(rill_server *server, const rill_addr *addr, int rc)
{
    char where[RILL_ADDR_TEXT];

    return rill__fail(server->loop, rc, rc >= -4095 ? RILL_LAYER_SYSTEM : RILL_LAYER_TRANSPORT,
        "cannot listen on %s: %s", rill_addr_format(addr, where, sizeof(where)), rill_strerror(rc));
}

/* Undo, before anything was subscribed. */
static void
unbind_all(rill_server *server)
{
    for (size_t i = 0; i < server->count; i++)
        rill__listener_close_fd(&server->listeners[i]);
    server->count = 0;
}

void
rill__listener_close_fd(listener *l)
{
    rill_loop *loop = l->server->loop;
    int fd = loop->ops->detach(loop->driver, &l->io);

    remove_path(l);
    if (l->server->options.fds == NULL) /* Inherited ones stay the caller's. */
        loop->sys->close_fd(loop->driver, fd, false);
    l->attached = false;
    l->server->attached--;
    memset(l, 0, sizeof(*l));
}

/* A family that this machine does not have is left out when there are other addresses. */
static bool
may_skip(int rc, size_t addrs_count)
{
    return addrs_count > 1 && (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT);
}

static int
bind_addresses(rill_server *server, rill_addr *addrs, size_t addrs_count)
{
    int port = 0;
    int rc = 0;

    for (size_t i = 0; i < addrs_count; i++) {
        rill_addr addr = addrs[i];

        if (port != 0 && rill_addr_port(&addr) == 0)
            rill__addr_set_port(&addr, port);
        rc = bind_one(server, &server->listeners[server->count], &addr);
        if (may_skip(rc, addrs_count))
            continue;
        if (rc < 0) {
            unbind_all(server);
            (void)fail_bind(server, &addr, rc);
            return rc == -EADDRINUSE && rill_addr_port(&addrs[i]) == 0 && i > 0 ? -EAGAIN : rc;
        }
        if (rill_addr_port(&addrs[i]) == 0)
            port = rill_addr_port(&server->listeners[server->count].addr);
        server->count++;
    }
    return server->count > 0 ? 0 : fail_bind(server, &addrs[0], rc);
}

static bool
is_known(const rill_addr *addrs, size_t count, const rill_addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (rill_addr_equal(&addrs[i], addr))
            return true;
    }
    return false;
}

static int
add_host(rill_server *server, const rill_server_options *o, const char *host, rill_addr *addrs,
    size_t *count)
{
    rill_addr found[RILL__HOST_ADDRS];
    int rc = rill__host_addresses(server->loop, host, o->port, o->family, true, found);

    for (int i = 0; i < rc; i++) {
        if (!is_known(addrs, *count, &found[i]))
            addrs[(*count)++] = found[i];
    }
    return rc < 0 ? rc : 0;
}

static int
collect(rill_server *server, const rill_server_options *o, rill_addr *addrs, size_t *count)
{
    int rc = 0;

    if (o->addr != NULL) {
        addrs[(*count)++] = *o->addr;
        return rill_addr_family(o->addr) != RILL_FAMILY_ANY
                   ? 0
                   : rill__fail(
                         server->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "server: addr is empty");
    }
    if (o->path != NULL) {
        rc = rill_addr_unix(o->path, &addrs[(*count)++]);
        return rc == 0 ? 0
                       : rill__fail(server->loop, rc, RILL_LAYER_TRANSPORT,
                             "path \"%s\" is empty or longer than 107 bytes", o->path);
    }
    if (o->host != NULL)
        return add_host(server, o, o->host, addrs, count);
    for (size_t i = 0; o->hosts[i] != NULL && rc == 0; i++)
        rc = add_host(server, o, o->hosts[i], addrs, count);
    return rc;
}

static int
adopt_fds(rill_server *server, const rill_server_options *o)
{
    const rill__sys_ops *sys = server->loop->sys;
    rill__driver *driver = server->loop->driver;

    for (size_t i = 0; i < o->fds_count; i++) {
        listener *l = &server->listeners[i];
        int rc = rill__probe(server->loop, o->fds[i]);

        if (rc != RILL__FD_LISTENER && rc != RILL__FD_UNBOUND)
            rc = rc == RILL_ENOTSUP ? rc : RILL_EINVAL;
        else if ((rc = sys->sockname(driver, o->fds[i], &l->addr)) == 0)
            rc = sys->adopt(driver, o->fds[i]);
        l->server = server;
        if (rc == 0)
            rc = attach(l, o->fds[i]);
        if (rc < 0) {
            while (server->count > 0) /* The caller's again. */
                (void)server->loop->ops->detach(driver, &server->listeners[--server->count].io);
            server->attached = 0;
            return rill__fail(server->loop, rc, RILL_LAYER_TRANSPORT,
                "descriptor %d is no listening or bound stream socket", o->fds[i]);
        }
        server->count++;
    }
    return 0;
}

int
rill__listen_all(rill_server *server, const rill_server_options *options)
{
    size_t room = 2;
    size_t count = 0;
    rill_addr *addrs;
    int rc;

    if (options->no_socket)
        return 0;
    if (options->fds != NULL)
        return adopt_fds(server, options);
    for (size_t i = 0; options->hosts != NULL && options->hosts[i] != NULL; i++)
        room += RILL__HOST_ADDRS;
    addrs = rill__alloc(server->loop, room * sizeof(*addrs), RILL_TAG_SERVER);
    if (addrs == NULL)
        return rill__fail_call(server->loop, -ENOMEM, "server");
    rc = collect(server, options, addrs, &count);
    if (rc == 0 && count == 0)
        rc = rill__fail(server->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "server: no host");
    if (rc == 0) {
        int tries = PORT_TRIES;

        do
            rc = bind_addresses(server, addrs, count);
        while (rc == -EAGAIN && --tries > 0);
        if (rc == -EAGAIN)
            rc = -EADDRINUSE;
    }
    rill__free(server->loop, addrs, room * sizeof(*addrs), RILL_TAG_SERVER);
    return rc;
}

int
rill__listener_listen(listener *l)
{
    rill_loop *loop = l->server->loop;
    int rc = loop->sys->listen(loop->driver, l->io.fd, l->server->options.backlog);

    return rc < 0 ? fail_bind(l->server, &l->addr, rc) : 0;
}

int
rill__listener_accept(listener *l)
{
    rill_loop *loop = l->server->loop;
    int rc;

    loop->ops->resume(loop->driver, &l->io);
    rc = loop->ops->subscribe(loop->driver, &l->io);
    return rc < 0 ? fail_bind(l->server, &l->addr, rc) : 0;
}

void
rill__listener_stop(listener *l)
{
    rill_loop *loop = l->server->loop;

    rill__timer_disarm(loop, &l->rest);
    remove_path(l);
    loop->ops->close_io(loop->driver, &l->io, false);
}
