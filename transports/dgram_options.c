/*
 * What a datagram endpoint tells about itself, its options, and multicast groups.
 *
 * The kernel is asked while the socket is there; the remote address is kept. Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/dgram.h"

static bool
is_gone(const dgram *d)
{
    return d->phase == DGRAM_CLOSING;
}

int
rill__dgram_peername(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    const dgram *d = impl;

    (void)t;
    if (d->remote.len == 0)
        return RILL_ENOTSUP;
    *ret_addr = d->remote;
    return 0;
}

int
rill__dgram_sockname(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    const dgram *d = impl;

    if (is_gone(d))
        return RILL_ECLOSED;
    return t->loop->sys->sockname(t->loop->driver, d->io.fd, ret_addr);
}

int
rill__dgram_fd(const rill_transport *t, const void *impl)
{
    const dgram *d = impl;
    int fd = t->loop->sys->public_fd(t->loop->driver, d->io.fd);

    return is_gone(d) && fd != RILL_ENOTSUP ? RILL_ECLOSED : fd;
}

/* 1: an option of datagrams; 0: of all sockets; else why not. */
static int
kind_of(const dgram *d, rill_option option)
{
    if (is_gone(d))
        return RILL_ECLOSED;
    if (option >= RILL_OPTION_BROADCAST && option <= RILL_OPTION_MULTICAST_INTERFACE)
        return d->family != RILL_FAMILY_UNIX ? 1 : RILL_ENOTSUP;
    if (option == RILL_OPTION_SEND_BUFFER || option == RILL_OPTION_RECV_BUFFER)
        return 0;
    return (unsigned)option <= RILL_OPTION_MULTICAST_INTERFACE ? RILL_ENOTSUP : RILL_EINVAL;
}

int
rill__dgram_set_option(rill_transport *t, void *impl, rill_option option, int value)
{
    dgram *d = impl;
    int kind = kind_of(d, option);
    int rc;

    if (kind < 0)
        return kind;
    rc = kind == 1 ? rill__dgram_ops_of(t)->set_option(t->loop->driver, d->io.fd, option, value)
                   : t->loop->sys->set_option(t->loop->driver, d->io.fd, option, value);
    if (rc == 0 && option == RILL_OPTION_MULTICAST_INTERFACE)
        d->multicast_interface = value;
    return rc;
}

int
rill__dgram_get_option(
    const rill_transport *t, const void *impl, rill_option option, int *ret_value)
{
    const dgram *d = impl;
    int kind = kind_of(d, option);

    if (kind < 0)
        return kind;
    if (option == RILL_OPTION_MULTICAST_INTERFACE) { /* Of IPv4, Linux tells an address instead. */
        *ret_value = d->multicast_interface;
        return 0;
    }
    return kind == 1
               ? rill__dgram_ops_of(t)->get_option(t->loop->driver, d->io.fd, option, ret_value)
               : t->loop->sys->get_option(t->loop->driver, d->io.fd, option, ret_value);
}

int
rill__dgram_set_timeout(rill_transport *t, void *impl, rill_timeout which, rill_ns value)
{
    dgram *d = impl;

    if (which != RILL_TIMEOUT_CLOSE)
        return RILL_ENOTSUP;
    d->close_timeout = value;
    if (rill__timer_is_armed(&d->timer) && value == RILL_NEVER)
        rill__timer_disarm(t->loop, &d->timer);
    else if (rill__timer_is_armed(&d->timer))
        rill__timer_arm(t->loop, &d->timer, rill__after(t->loop->ops->now(t->loop->driver), value));
    return 0;
}

/* ---- multicast ---- */

static bool
is_multicast(const rill_addr *addr)
{
    uint8_t bytes[16];
    size_t len = rill__addr_host(addr, bytes);

    return (len == 4 && (bytes[0] & 0xf0) == 0xe0) || (len == 16 && bytes[0] == 0xff);
}

static int
fail_member(const rill_transport *t, int rc, const char *call, const char *what, const char *text)
{
    return rill__fail(t->loop, rc, rc >= -4095 ? RILL_LAYER_SYSTEM : RILL_LAYER_TRANSPORT,
        "%s: %s \"%s\": %s", call, what, text, rill_strerror(rc));
}

static int
membership(rill_transport *t, const char *call, bool join, const char *group_text,
    const char *source_text, const char *interface)
{
    const dgram *d = rill__dgram_of(t);
    uint32_t index = interface != NULL ? rill__zone_index(interface) : 0;
    rill_addr group;
    rill_addr source;
    int rc;

    if (d == NULL || d->family == RILL_FAMILY_UNIX)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "%s: a transport of kind %s has no multicast groups", call, t->ops->name);
    if (is_gone(d))
        return rill__fail(t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "%s: closed", call);
    rc = rill_addr_parse(group_text, 0, &group);
    if (rc == 0 && !is_multicast(&group))
        rc = RILL_EADDRESS;
    if (rc < 0)
        return fail_member(t, rc, call, "group", group_text);
    if (source_text != NULL && (rc = rill_addr_parse(source_text, 0, &source)) < 0)
        return fail_member(t, rc, call, "source", source_text);
    if (interface != NULL && index == 0)
        return fail_member(t, RILL_EADDRESS, call, "there is no interface", interface);
    if ((uint8_t)rill_addr_family(&group) != d->family ||
        (source_text != NULL && (uint8_t)rill_addr_family(&source) != d->family))
        return fail_member(t, RILL_EINVAL, call, "not of the endpoint's family: group", group_text);
    rc = rill__dgram_ops_of(t)->membership(
        t->loop->driver, d->io.fd, join, &group, source_text != NULL ? &source : NULL, index);
    return rc < 0 ? fail_member(t, rc, call, "group", group_text) : 0;
}

int
rill_transport_join(rill_transport *t, const char *group, const char *source, const char *interface)
{
    RILL__REQUIRE(t != NULL && group != NULL);
    rill__check_live(t, "rill_transport_join");
    return membership(t, "join", true, group, source, interface);
}

int
rill_transport_leave(
    rill_transport *t, const char *group, const char *source, const char *interface)
{
    RILL__REQUIRE(t != NULL && group != NULL);
    rill__check_live(t, "rill_transport_leave");
    return membership(t, "leave", false, group, source, interface);
}

/* ---- numbers ---- */

int
rill_transport_get_datagram_stats(const rill_transport *t, rill_datagram_stats *ret_stats)
{
    rill_datagram_stats stats;
    const dgram *d;
    size_t size;

    RILL__REQUIRE(t != NULL && ret_stats != NULL && ret_stats->size >= sizeof(size_t));
    rill__check_live(t, "rill_transport_get_datagram_stats");
    d = rill__dgram_of(t);
    if (d == NULL)
        return RILL_ENOTSUP;
    size = ret_stats->size;
    stats = d->stats;
    stats.size = size;
    stats.queued = d->queue.count;
    stats.connected = d->connected;
    memcpy(ret_stats, &stats, size < sizeof(stats) ? size : sizeof(stats));
    return 0;
}
