/*
 * Making datagram endpoints: from options to a bound and connected socket.
 *
 * Local and remote addresses are paired by family; the pairs are tried in order until one works,
 * and the first error is told. Everything is there when the call returns, or nothing. Loop thread
 * only.
 */
#include <errno.h>
#include <stdio.h>

#include "core/addr.h"
#include "transports/dgram.h"

#define RECEIVE_MAX     ((size_t)64 * 1024)
#define RECEIVE_MAX_MAX ((size_t)1024 * 1024)

typedef struct plan {
    rill_loop *loop;
    const rill_datagram_options *options;
    const rill_datagram_protocol *protocol;
    void *arg;
    const char *site;
    rill__config config;
    rill_addr local[RILL__HOST_ADDRS];
    rill_addr remote[RILL__HOST_ADDRS];
    int local_count;
    int remote_count;
    size_t receive_max;
} plan;

/* ---- options ---- */

int
rill__datagram_protocol_check(rill_loop *loop, const rill_datagram_protocol *protocol)
{
    if (protocol == NULL || protocol->size < sizeof(size_t))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "the protocol is missing or its size is not set: make it with RILL_DATAGRAM_PROTOCOL");
    if (protocol->size != sizeof(rill_datagram_protocol))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "the protocol's size is %zu, this version of rill knows %zu", protocol->size,
            sizeof(rill_datagram_protocol));
    return 0;
}

static int
usage(rill_loop *loop, const char *why)
{
    return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "datagram endpoint: %s", why);
}

/* What only streams can keep. */
static int
transport_options_check(rill_loop *loop, const rill_transport_options *o)
{
    if (o == NULL)
        return 0;
    if (o->idle_timeout > 0 || o->stall_timeout > 0 || o->nodelay != 0 || o->keepalive != 0 ||
        o->keepalive_idle != 0 || o->keepalive_interval != 0 || o->keepalive_count != 0)
        return usage(loop, "of the transport's options, timeouts other than close_timeout, nodelay "
                           "and keepalive are for streams");
    return 0;
}

static int
common_options(plan *p)
{
    const rill_datagram_options *o = p->options;
    int rc = rill__config_init(&p->config, p->loop, o->transport);

    if (rc < 0 || (rc = transport_options_check(p->loop, o->transport)) < 0)
        return rc;
    p->receive_max = o->receive_max != 0 ? o->receive_max : RECEIVE_MAX;
    if (p->receive_max > RECEIVE_MAX_MAX)
        return usage(p->loop, "receive_max is above 1 MiB");
    return 0;
}

/* One end's addresses from the three forms: how many, 0 for none. */
static int
addresses(plan *p, const char *host, int port, const char *path, const rill_addr *addr,
    bool passive, rill_addr ret_addrs[RILL__HOST_ADDRS])
{
    int rc;

    if ((host != NULL) + (path != NULL) + (addr != NULL) > 1)
        return usage(p->loop, passive
                                  ? "give one of local_host, local_path and local_addr, not several"
                                  : "give one of host, path and addr, not several");
    if (port != 0 && host == NULL)
        return usage(p->loop, passive ? "local_port needs local_host" : "port needs host");
    if (host != NULL)
        return rill__host_addresses(p->loop, host, port, p->options->family, passive, ret_addrs);
    if (path != NULL) {
        rc = rill_addr_unix(path, ret_addrs);
        return rc == 0 ? 1
                       : rill__fail(p->loop, rc, RILL_LAYER_TRANSPORT,
                             "path \"%s\" is empty or longer than 107 bytes", path);
    }
    if (addr == NULL)
        return 0;
    if (rill_addr_family(addr) == RILL_FAMILY_ANY || addr->len > sizeof(addr->storage))
        return usage(p->loop, "an address is empty");
    *ret_addrs = *addr;
    return 1;
}

static int
collect(plan *p)
{
    const rill_datagram_options *o = p->options;

    p->local_count =
        addresses(p, o->local_host, o->local_port, o->local_path, o->local_addr, true, p->local);
    if (p->local_count < 0)
        return p->local_count;
    p->remote_count = addresses(p, o->host, o->port, o->path, o->addr, false, p->remote);
    if (p->remote_count < 0)
        return p->remote_count;
    if (p->local_count == 0 && p->remote_count == 0 && o->family == RILL_FAMILY_ANY)
        return usage(p->loop, "name an address, or at least a family");
    if ((unsigned)o->family > RILL_FAMILY_UNIX)
        return usage(p->loop, "an unknown family");
    return 0;
}

/* ---- one pair ---- */

static int
run_hook(const plan *p, int fd)
{
    int shown = p->loop->sys->public_fd(p->loop->driver, fd);
    int rc;

    if (p->options->socket_hook == NULL)
        return 0;
    rc = p->options->socket_hook(shown >= 0 ? shown : -1, p->options->socket_hook_arg);
    return rc > 0 ? RILL_ECANCELED : rc;
}

static int
set_flags(const plan *p, int fd, rill_family family)
{
    const rill_datagram_options *o = p->options;
    const rill__sys_ops *sys = p->loop->sys;
    rill__driver *driver = p->loop->driver;
    int rc = 0;

    if (o->reuse_port && family != RILL_FAMILY_UNIX)
        rc = sys->set_flag(driver, fd, RILL__FLAG_REUSE_PORT, 1);
    if (rc == 0 && family == RILL_FAMILY_IPV6)
        rc = sys->set_flag(driver, fd, RILL__FLAG_V6ONLY, !o->dual_stack);
    if (rc == 0 && o->broadcast && family != RILL_FAMILY_UNIX)
        rc = p->loop->ops->dgrams->set_option(driver, fd, RILL_OPTION_BROADCAST, 1);
    if (rc == 0 && p->config.options.send_buffer != 0)
        rc = sys->set_option(driver, fd, RILL_OPTION_SEND_BUFFER, p->config.options.send_buffer);
    if (rc == 0 && p->config.options.recv_buffer != 0)
        rc = sys->set_option(driver, fd, RILL_OPTION_RECV_BUFFER, p->config.options.recv_buffer);
    return rc;
}

static int
bind_to(const plan *p, int fd, const rill_addr *local)
{
    rill__driver *driver = p->loop->driver;
    int rc = 0;

    if (rill_addr_family(local) == RILL_FAMILY_UNIX)
        rc = p->loop->ops->dgrams->unix_stale(driver, local);
    if (rc > 0)
        rc = p->loop->sys->unix_unlink(driver, local);
    return rc < 0 ? rc : p->loop->sys->bind(driver, fd, local);
}

static bool
is_connected(const plan *p, const rill_addr *remote)
{
    return remote != NULL && !p->options->unconnected && !p->options->broadcast;
}

static void
remove_file(rill_loop *loop, const rill_addr *path, const uint64_t identity[2])
{
    uint64_t now[2];

    if (loop->sys->unix_identity(loop->driver, path, now) == 0 && now[0] == identity[0] &&
        now[1] == identity[1])
        (void)loop->sys->unix_unlink(loop->driver, path); /* Somebody else was faster: fine. */
}

void
rill__dgram_remove_path(dgram *d)
{
    if (!d->owns_path)
        return;
    d->owns_path = false;
    remove_file(rill__base(d)->loop, &d->path, d->identity);
}

static int
make(const plan *p, int fd, rill_family family, const rill_addr *remote, rill_transport **ret_t)
{
    dgram_birth birth = { .fd = fd,
        .family = family,
        .udp = family != RILL_FAMILY_UNIX,
        .connected = is_connected(p, remote),
        .details = p->options->details,
        .receive_max = p->receive_max,
        .remote = remote };

    return rill__dgram_new(p->loop, &birth, &p->config, p->protocol, p->arg, p->site, ret_t);
}

/* A bound socket on; `path`: its file is new. */
static int
finish(const plan *p, int fd, rill_family family, const rill_addr *path, const rill_addr *remote,
    rill_transport **ret_t)
{
    uint64_t identity[2];
    bool owns_path = path != NULL && !p->options->keep_path &&
                     p->loop->sys->unix_identity(p->loop->driver, path, identity) == 0;
    int rc = 0;
    dgram *d;

    if (is_connected(p, remote))
        rc = p->loop->ops->dgrams->connect(p->loop->driver, fd, remote);
    if (rc == 0)
        rc = make(p, fd, family, remote, ret_t);
    if (rc < 0) {
        if (owns_path)
            remove_file(p->loop, path, identity);
        return rc;
    }
    d = rill__impl(*ret_t);
    d->owns_path = owns_path;
    if (owns_path) {
        d->path = *path;
        memcpy(d->identity, identity, sizeof(identity));
    }
    return 0;
}

/* Either may be NULL. */
static int
open_pair(const plan *p, const rill_addr *local, const rill_addr *remote, rill_transport **ret_t)
{
    rill_family family = local != NULL    ? rill_addr_family(local)
                         : remote != NULL ? rill_addr_family(remote)
                                          : p->options->family;
    bool names_file = local != NULL && family == RILL_FAMILY_UNIX;
    int fd = -1;
    int rc = p->loop->ops->dgrams->socket(p->loop->driver, family, &fd);

    if (rc < 0)
        return rc;
    rc = set_flags(p, fd, family);
    if (rc == 0)
        rc = run_hook(p, fd);
    if (rc == 0 && local != NULL)
        rc = bind_to(p, fd, local);
    if (rc == 0)
        rc = finish(p, fd, family, names_file ? local : NULL, remote, ret_t);
    if (rc < 0)
        p->loop->sys->close_fd(p->loop->driver, fd, false);
    return rc;
}

/* ---- all pairs ---- */

static int
fail_pair(const plan *p, const rill_addr *local, const rill_addr *remote, int rc)
{
    char from[RILL_ADDR_TEXT] = "";
    char to[RILL_ADDR_TEXT] = "";

    if (local != NULL)
        rill_addr_format(local, from, sizeof(from));
    if (remote != NULL)
        rill_addr_format(remote, to, sizeof(to));
    return rill__fail(p->loop, rc, rc >= -4095 ? RILL_LAYER_SYSTEM : RILL_LAYER_TRANSPORT,
        "datagram endpoint%s%s%s%s: %s", local != NULL ? " at " : "", from,
        remote != NULL ? " to " : "", to, rill_strerror(rc));
}

static bool
fits(const rill_addr *local, const rill_addr *remote)
{
    return local == NULL || remote == NULL || rill_addr_family(local) == rill_addr_family(remote);
}

static int
open_any(const plan *p, rill_transport **ret_t)
{
    int locals = p->local_count > 0 ? p->local_count : 1;
    int remotes = p->remote_count > 0 ? p->remote_count : 1;
    int first_error = 0;

    for (int i = 0; i < locals; i++) {
        const rill_addr *local = p->local_count > 0 ? &p->local[i] : NULL;

        for (int k = 0; k < remotes; k++) {
            const rill_addr *remote = p->remote_count > 0 ? &p->remote[k] : NULL;
            int rc;

            if (!fits(local, remote))
                continue;
            rc = open_pair(p, local, remote, ret_t);
            if (rc == 0)
                return 0;
            if (first_error == 0)
                first_error = fail_pair(p, local, remote, rc);
        }
    }
    if (first_error != 0)
        return first_error;
    return rill__fail(p->loop, RILL_EADDRESS, RILL_LAYER_TRANSPORT,
        "datagram endpoint: no local and remote address are of one family");
}

static int
begin(plan *p, const rill_datagram_options *options, rill_datagram_options *copy)
{
    int rc = 0;

    if (options != NULL)
        rc = rill__options_copy(
            p->loop, "rill_datagram_options", options, options->size, copy, sizeof(*copy));
    if (rc < 0 || (rc = rill__datagram_protocol_check(p->loop, p->protocol)) < 0)
        return rc;
    if (p->loop->freeing)
        return rill__fail_call(p->loop, RILL_ECLOSED, "datagram endpoint");
    p->options = copy;
    return common_options(p);
}

int
rill_create_datagram_endpoint_site(rill_loop *loop, const rill_datagram_options *options,
    const rill_datagram_protocol *protocol, void *arg, const char *site,
    rill_transport **ret_transport)
{
    plan p = { .loop = loop, .protocol = protocol, .arg = arg, .site = site };
    rill_datagram_options copy;
    rill_transport *t;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_create_datagram_endpoint");
    if (options == NULL)
        return usage(loop, "no options");
    if ((rc = begin(&p, options, &copy)) < 0 || (rc = collect(&p)) < 0 ||
        (rc = open_any(&p, &t)) < 0)
        return rc;
    rill__dgram_open_soon(t);
    if (ret_transport != NULL)
        *ret_transport = t;
    return 0;
}

/* ---- a socket that is there already ---- */

static int
only_what_fits(const plan *p)
{
    const rill_datagram_options *o = p->options;
    const char *extra = o->local_host != NULL || o->local_port != 0 ? "local_host and local_port"
                        : o->local_path != NULL || o->keep_path     ? "local_path and keep_path"
                        : o->local_addr != NULL                     ? "local_addr"
                        : o->host != NULL || o->port != 0           ? "host and port"
                        : o->path != NULL                           ? "path"
                        : o->addr != NULL                           ? "addr"
                        : o->family != RILL_FAMILY_ANY              ? "family"
                        : o->unconnected                            ? "unconnected"
                        : o->broadcast                              ? "broadcast"
                        : o->reuse_port                             ? "reuse_port"
                        : o->dual_stack                             ? "dual_stack"
                        : o->socket_hook != NULL                    ? "socket_hook"
                                                                    : NULL;

    if (extra == NULL)
        return 0;
    return rill__fail(p->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
        "a socket that exists is taken as it is: %s cannot be asked for", extra);
}

static int
adopt(const plan *p, int fd, rill_transport **ret_t)
{
    dgram_birth birth = {
        .fd = fd, .inherited = true, .details = p->options->details, .receive_max = p->receive_max
    };
    rill__driver *driver = p->loop->driver;
    rill_addr remote;
    int rc = p->loop->sys->public_fd(driver, fd);

    if (rc == RILL_ENOTSUP)
        return rill__fail(p->loop, rc, RILL_LAYER_TRANSPORT, "descriptors are not the simulator's");
    rc = p->loop->ops->dgrams->probe(driver, fd, &birth.family, &birth.udp);
    if (rc < 0)
        return rill__fail(p->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "descriptor %d is no datagram socket%s%s", fd, rc >= -4095 ? ": " : "",
            rc >= -4095 ? rill_strerror(rc) : "");
    birth.connected = p->loop->sys->peername(driver, fd, &remote) == 0;
    birth.remote = birth.connected ? &remote : NULL;
    rc = rill__dgram_new(p->loop, &birth, &p->config, p->protocol, p->arg, p->site, ret_t);
    return rc < 0 ? rill__fail(
                        p->loop, rc, RILL_LAYER_SYSTEM, "descriptor %d: %s", fd, rill_strerror(rc))
                  : 0;
}

int
rill_adopt_datagram_socket_site(rill_loop *loop, int fd, const rill_datagram_options *options,
    const rill_datagram_protocol *protocol, void *arg, const char *site,
    rill_transport **ret_transport)
{
    plan p = { .loop = loop, .protocol = protocol, .arg = arg, .site = site };
    rill_datagram_options copy = RILL_DATAGRAM_OPTIONS();
    rill_transport *t;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_adopt_datagram_socket");
    if ((rc = begin(&p, options, &copy)) < 0 || (rc = only_what_fits(&p)) < 0 ||
        (rc = adopt(&p, fd, &t)) < 0)
        return rc;
    rill__dgram_open_soon(t);
    if (ret_transport != NULL)
        *ret_transport = t;
    return 0;
}
