/*
 * What a transport can tell about itself: addresses, descriptor, options, statistics, a line of
 * text.
 *
 * The base only passes on to the kind's table and says RILL_ENOTSUP for what it lacks. Loop thread.
 */
#include <stdio.h>

#include "transports/internal.h"

#define PASS_ON(t, function, entry, ...)                       \
    do {                                                       \
        rill__check_live(t, function);                         \
        if (!RILL__HAS_OP(t, entry))                           \
            return RILL_ENOTSUP;                               \
        return (t)->ops->entry(t, rill__impl(t), __VA_ARGS__); \
    } while (0)

int
rill_transport_peername(const rill_transport *t, rill_addr *ret_addr)
{
    RILL__REQUIRE(t != NULL && ret_addr != NULL);
    PASS_ON(t, "rill_transport_peername", peername, ret_addr);
}

int
rill_transport_sockname(const rill_transport *t, rill_addr *ret_addr)
{
    RILL__REQUIRE(t != NULL && ret_addr != NULL);
    PASS_ON(t, "rill_transport_sockname", sockname, ret_addr);
}

int
rill_transport_fd(const rill_transport *t)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_fd");
    return RILL__HAS_OP(t, fd) ? t->ops->fd(t, rill__impl(t)) : RILL_ENOTSUP;
}

int
rill_transport_credentials(const rill_transport *t, rill_credentials *ret_peer)
{
    RILL__REQUIRE(t != NULL && ret_peer != NULL);
    PASS_ON(t, "rill_transport_credentials", credentials, ret_peer);
}

int
rill_transport_tcp_info(const rill_transport *t, rill_tcp_info *ret_info)
{
    RILL__REQUIRE(t != NULL && ret_info != NULL && ret_info->size >= sizeof(size_t));
    PASS_ON(t, "rill_transport_tcp_info", tcp_info, ret_info);
}

static bool
is_option_value(rill_option option, int value)
{
    switch (option) {
    case RILL_OPTION_NODELAY:
    case RILL_OPTION_KEEPALIVE:
        return value == 0 || value == 1;
    case RILL_OPTION_LINGER:
        return value >= -1;
    case RILL_OPTION_KEEPALIVE_IDLE:
    case RILL_OPTION_KEEPALIVE_INTERVAL:
    case RILL_OPTION_KEEPALIVE_COUNT:
    case RILL_OPTION_SEND_BUFFER:
    case RILL_OPTION_RECV_BUFFER:
        return value > 0;
    case RILL_OPTION_BROADCAST:
    case RILL_OPTION_MULTICAST_LOOP:
        return value == 0 || value == 1;
    case RILL_OPTION_TTL:
        return value >= 1 && value <= 255;
    case RILL_OPTION_TOS:
    case RILL_OPTION_MULTICAST_TTL:
        return value >= 0 && value <= 255;
    case RILL_OPTION_MULTICAST_INTERFACE:
        return value >= 0;
    }
    return false;
}

int
rill_transport_set_option(rill_transport *t, rill_option option, int value)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_option");
    if (!is_option_value(option, value))
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "set_option: %d is no value of option %d", value, (int)option);
    PASS_ON(t, "rill_transport_set_option", set_option, option, value);
}

int
rill_transport_get_option(const rill_transport *t, rill_option option, int *ret_value)
{
    RILL__REQUIRE(t != NULL && ret_value != NULL);
    PASS_ON(t, "rill_transport_get_option", get_option, option, ret_value);
}

int
rill_transport_set_timeout(rill_transport *t, rill_timeout which, rill_ns value)
{
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_timeout");
    if ((value <= 0 && value != RILL_NEVER) || which > RILL_TIMEOUT_CLOSE)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "set_timeout: a positive time or RILL_NEVER");
    if (!RILL__HAS_OP(t, set_timeout))
        return rill__fail_call(t->loop, RILL_ENOTSUP, "set_timeout");
    rc = t->ops->set_timeout(t, rill__impl(t), which, value);
    if (rc < 0)
        return rill__fail_call(t->loop, rc, "set_timeout");
    if (which == RILL_TIMEOUT_CLOSE)
        t->close_timeout = value;
    return rc;
}

void
rill_transport_get_info(const rill_transport *t, rill_transport_info *ret_info)
{
    size_t size = ret_info->size;
    rill_transport_info info = { .size = size,
        .kind = t->ops->name,
        .site = t->object.site,
        .bytes_in = t->bytes_in,
        .bytes_out = t->bytes_out,
        .server = t->server };

    rill__check_live(t, "rill_transport_get_info");
    memcpy(ret_info, &info, size < sizeof(info) ? size : sizeof(info));
}

static const char *
state_name(const rill_transport *t)
{
    if (t->phase == RILL__PHASE_LOST)
        return "lost";
    if (t->closing)
        return "closing";
    return t->phase == RILL__PHASE_NEW ? "new" : "open";
}

char *
rill_transport_describe(const rill_transport *t, char *buf, size_t size)
{
    char local[RILL_ADDR_TEXT] = "-";
    char peer[RILL_ADDR_TEXT] = "-";
    rill_addr addr;

    if (rill_transport_sockname(t, &addr) == 0)
        rill_addr_format(&addr, local, sizeof(local));
    if (rill_transport_peername(t, &addr) == 0)
        rill_addr_format(&addr, peer, sizeof(peer));
    snprintf(buf, size, "<%s %s -> %s %s %s write=%s queued=%zu>", t->ops->name, local, peer,
        state_name(t), rill_transport_is_reading(t) ? "reading" : "silent",
        t->writing_paused      ? "paused"
        : t->queued_bytes != 0 ? "busy"
                               : "idle",
        rill_transport_write_buffer_size(t));
    return buf;
}
