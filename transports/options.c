/*
 * The options of a connection: checked and filled in once, applied to each new socket.
 *
 * After rill__config_init no field is 0 by default any more: marks hold low <= high <= cap,
 * timeouts are positive or RILL_NEVER. What the kernel refuses fails the connection that asked for
 * it. Loop thread only.
 */
#include "transports/internal.h"

static rill_ns
timeout_or(rill_ns value, rill_ns fallback)
{
    return value != 0 ? value : fallback;
}

static bool
is_timeout(rill_ns value)
{
    return value >= 0 || value == RILL_NEVER;
}

int
rill__config_init(rill__config *config, rill_loop *loop, const rill_transport_options *options)
{
    rill_transport_options o = RILL_TRANSPORT_OPTIONS();
    int rc = 0;

    if (options != NULL)
        rc = rill__options_copy(
            loop, "rill_transport_options", options, options->size, &o, sizeof(o));
    if (rc < 0)
        return rc;
    if (!is_timeout(o.idle_timeout) || !is_timeout(o.stall_timeout) || !is_timeout(o.close_timeout))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "transport options: a timeout is positive, 0 (default) or RILL_NEVER");
    o.write_high = o.write_high != 0 ? o.write_high : RILL__WRITE_HIGH;
    o.write_low = o.write_low != 0 ? o.write_low : o.write_high / 4;
    if (o.write_cap == 0)
        o.write_cap = o.write_high > RILL__WRITE_CAP ? o.write_high : RILL__WRITE_CAP;
    if (o.write_low > o.write_high || o.write_high > o.write_cap)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "transport options: write_low %zu <= write_high %zu <= write_cap %zu must hold",
            o.write_low, o.write_high, o.write_cap);
    if (o.keepalive_idle < 0 || o.keepalive_interval < 0 || o.keepalive_count < 0 ||
        o.send_buffer < 0 || o.recv_buffer < 0)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "transport options: keepalive and buffer values cannot be negative");
    if (o.descriptors > RILL__DESCRIPTORS_MAX)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "transport options: at most %d descriptors can wait", RILL__DESCRIPTORS_MAX);
    o.idle_timeout = timeout_or(o.idle_timeout, RILL_NEVER);
    o.stall_timeout = timeout_or(o.stall_timeout, RILL_NEVER);
    o.close_timeout = timeout_or(o.close_timeout, RILL__CLOSE_TIMEOUT);
    config->options = o;
    return 0;
}

static int
apply(rill_loop *loop, int fd, rill_option option, int value, int rc)
{
    if (rc < 0 || value == 0)
        return rc;
    return loop->sys->set_option(loop->driver, fd, option, value);
}

int
rill__config_apply(
    const rill__config *config, rill_loop *loop, int fd, rill_family family, bool inherited)
{
    const rill_transport_options *o = &config->options;
    bool tcp = family != RILL_FAMILY_UNIX;
    int rc = 0;

    if (tcp && !inherited)
        rc = apply(loop, fd, RILL_OPTION_NODELAY, o->nodelay >= 0, rc);
    if (tcp && o->keepalive > 0) {
        rc = apply(loop, fd, RILL_OPTION_KEEPALIVE, 1, rc);
        rc = apply(loop, fd, RILL_OPTION_KEEPALIVE_IDLE, o->keepalive_idle, rc);
        rc = apply(loop, fd, RILL_OPTION_KEEPALIVE_INTERVAL, o->keepalive_interval, rc);
        rc = apply(loop, fd, RILL_OPTION_KEEPALIVE_COUNT, o->keepalive_count, rc);
    }
    rc = apply(loop, fd, RILL_OPTION_SEND_BUFFER, o->send_buffer, rc);
    return apply(loop, fd, RILL_OPTION_RECV_BUFFER, o->recv_buffer, rc);
}
