/*
 * The conformance suite of drivers, 3: who may bind what, addresses of both families, options. See
 * test_driver.c.
 */
#include "driver_ends.h"

/* ---- addresses ---- */

static void
test_bind_in_use(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int first = ends_open_listener(f, &addr, 1);
    int second = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(f->sys->bind(f->driver, second, &f->address), -EADDRINUSE);
    assert_int_equal(f->sys->set_flag(f->driver, second, RILL__FLAG_REUSE_ADDRESS, 1), 0);
    assert_int_equal(f->sys->bind(f->driver, second, &f->address), -EADDRINUSE); /* It listens. */
    assert_int_equal(rill_addr_parse("203.0.113.9", 0, &addr), 0);
    assert_int_equal(f->sys->bind(f->driver, second, &addr), -EADDRNOTAVAIL);
    f->sys->close_fd(f->driver, first, false);
    assert_int_equal(f->sys->bind(f->driver, second, &f->address), 0);
    assert_int_equal(f->sys->bind(f->driver, second, &f->address), -EINVAL); /* It is bound. */
    f->sys->close_fd(f->driver, second, false);
}

/* Two sockets with SO_REUSEADDR may bind, but one may listen. */
static void
test_reuse_address_listen(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int fds[2] = { ends_open(f, RILL_FAMILY_IPV4), ends_open(f, RILL_FAMILY_IPV4) };

    for (int i = 0; i < 2; i++) {
        assert_int_equal(f->sys->set_flag(f->driver, fds[i], RILL__FLAG_REUSE_ADDRESS, 1), 0);
        assert_int_equal(f->sys->bind(f->driver, fds[i], &addr), 0);
        assert_int_equal(f->sys->sockname(f->driver, fds[i], &addr), 0);
    }
    assert_int_equal(f->sys->listen(f->driver, fds[0], 1), 0);
    assert_int_equal(f->sys->listen(f->driver, fds[1], 1), -EADDRINUSE);
    f->sys->close_fd(f->driver, fds[0], false);
    f->sys->close_fd(f->driver, fds[1], false);
}

/* SO_REUSEADDR of the newer socket alone is not enough. */
static void
test_reuse_address_of_one(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int first = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(f->sys->bind(f->driver, first, &addr), 0);
    assert_int_equal(f->sys->sockname(f->driver, first, &addr), 0);
    assert_int_equal(ends_try_bind(f, &addr, true), -EADDRINUSE);
    assert_int_equal(f->sys->set_flag(f->driver, first, RILL__FLAG_REUSE_ADDRESS, 1), 0);
    assert_int_equal(ends_try_bind(f, &addr, false), -EADDRINUSE);
    assert_int_equal(ends_try_bind(f, &addr, true), 0);
    f->sys->close_fd(f->driver, first, false);
}

/* Of a listener for all addresses and one for this address, this one gets the connection. */
static void
test_closest_listener(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr any;
    int fds[2];

    for (int i = 0; i < 2; i++) {
        fds[i] = ends_open(f, RILL_FAMILY_IPV4);
        assert_int_equal(f->sys->set_flag(f->driver, fds[i], RILL__FLAG_REUSE_PORT, 1), 0);
    }
    assert_int_equal(f->sys->bind(f->driver, fds[0], &addr), 0);
    assert_int_equal(f->sys->sockname(f->driver, fds[0], &f->address), 0);
    assert_int_equal(rill_addr_parse("0.0.0.0", rill_addr_port(&f->address), &any), 0);
    assert_int_equal(f->sys->bind(f->driver, fds[1], &any), 0);
    assert_int_equal(f->sys->listen(f->driver, fds[1], 8), 0);
    assert_int_equal(f->sys->listen(f->driver, fds[0], 8), 0);
    ends_attach(f, &f->listener, fds[0], RILL__IO_LISTENER);
    f->accept_limit = 64;
    assert_int_equal(f->ops->subscribe(f->driver, &f->listener.io), 0);
    for (int i = 0; i < 6; i++) {
        int before = f->accepted;

        ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
        assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
        ends_wait(f, ends_a_final);
        assert_int_equal(f->a.final, 0);
        ends_stay_quiet(f);
        assert_int_equal(f->accepted, before + 1);
        ends_close(f, &f->a, true);
        ends_wait(f, ends_a_closed);
        f->sys->close_fd(f->driver, f->fds[before], true);
    }
    f->sys->close_fd(f->driver, fds[1], false);
}

static void
test_reuse_port(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int fds[3];

    for (int i = 0; i < 3; i++)
        fds[i] = ends_open(f, RILL_FAMILY_IPV4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(f->sys->set_flag(f->driver, fds[i], RILL__FLAG_REUSE_PORT, 1), 0);
        assert_int_equal(f->sys->bind(f->driver, fds[i], &addr), 0);
        assert_int_equal(f->sys->sockname(f->driver, fds[i], &addr), 0);
        assert_int_equal(f->sys->listen(f->driver, fds[i], 1), 0);
    }
    assert_int_equal(f->sys->bind(f->driver, fds[2], &addr), -EADDRINUSE);
    for (int i = 0; i < 3; i++)
        f->sys->close_fd(f->driver, fds[i], false);
}

/* Who closes first keeps the port for a while; SO_REUSEADDR on both sockets gets past that. */
static void
test_time_wait(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    int listener = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(f->sys->set_flag(f->driver, listener, RILL__FLAG_REUSE_ADDRESS, 1), 0);
    assert_int_equal(f->sys->bind(f->driver, listener, &addr), 0);
    assert_int_equal(f->sys->listen(f->driver, listener, 4), 0);
    assert_int_equal(f->sys->sockname(f->driver, listener, &f->address), 0);
    ends_attach(f, &f->listener, listener, RILL__IO_LISTENER);
    f->accept_limit = 1;
    assert_int_equal(f->ops->subscribe(f->driver, &f->listener.io), 0);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    ends_close(f, &f->listener, false);
    ends_wait(f, ends_listener_closed);
    assert_int_equal(
        ends_try_bind(f, &f->address, false), -EADDRINUSE); /* The connection has it. */
    assert_int_equal(ends_try_bind(f, &f->address, true), 0);

    f->sys->close_fd(f->driver, f->fds[0], false); /* First: it will be in TIME_WAIT. */
    ends_stay_quiet(f);
    ends_close(f, &f->a, false);
    ends_wait(f, ends_a_closed);
    ends_stay_quiet(f);
    assert_int_equal(ends_try_bind(f, &f->address, false), -EADDRINUSE);
    assert_int_equal(ends_try_bind(f, &f->address, true), 0);
}

static void
test_reset_leaves_port_free(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    ends_close(f, &f->listener, false);
    ends_close(f, &f->b, true);
    ends_wait(f, ends_b_closed);
    ends_stay_quiet(f);
    assert_int_equal(ends_try_bind(f, &f->address, false), 0);
}

static void
test_wildcard_and_specific(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr any;
    int first = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(f->sys->bind(f->driver, first, &addr), 0);
    assert_int_equal(f->sys->sockname(f->driver, first, &addr), 0);
    assert_int_equal(rill_addr_parse("0.0.0.0", rill_addr_port(&addr), &any), 0);
    assert_int_equal(ends_try_bind(f, &any, false), -EADDRINUSE);
    assert_int_equal(rill_addr_parse("127.0.0.2", rill_addr_port(&addr), &any), 0);
    assert_int_equal(ends_try_bind(f, &any, false), 0);
    f->sys->close_fd(f->driver, first, false);
}

static bool
has_ipv6(fixture *f)
{
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV6, 0);
    int fd = -1;
    bool works;

    if (f->sys->socket(f->driver, RILL_FAMILY_IPV6, &fd) < 0)
        return false;
    works = f->sys->bind(f->driver, fd, &addr) == 0;
    f->sys->close_fd(f->driver, fd, false);
    return works;
}

static void
test_ipv6(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV6, 0);

    if (!has_ipv6(f)) {
        print_message("skipped: this machine has no IPv6 loopback\n");
        skip();
    }
    ends_connect(f, &addr);
    assert_int_equal(rill_addr_family(&f->peers[0]), RILL_FAMILY_IPV6);
    ends_send(f, "hello");
    ends_wait(f, ends_b_five);
    assert_int_equal(ends_try_bind(f, &f->address, false), -EADDRINUSE);
    assert_int_equal(rill_addr_parse("127.0.0.1", rill_addr_port(&f->address), &addr), 0);
    assert_int_equal(ends_try_bind(f, &addr, false), 0); /* The listener is for IPv6 only. */
}

/* An IPv6 listener for both families sees IPv4 clients as mapped addresses. */
static void
test_dual_stack(void **state)
{
    fixture *f = *state;
    rill_addr any;
    rill_addr target;
    char text[RILL_ADDR_TEXT];
    int listener;

    if (!has_ipv6(f)) {
        print_message("skipped: this machine has no IPv6 loopback\n");
        skip();
    }
    listener = ends_open(f, RILL_FAMILY_IPV6);
    assert_int_equal(rill_addr_parse("::", 0, &any), 0);
    assert_int_equal(f->sys->set_flag(f->driver, listener, RILL__FLAG_V6ONLY, 0), 0);
    assert_int_equal(f->sys->bind(f->driver, listener, &any), 0);
    assert_int_equal(f->sys->listen(f->driver, listener, 4), 0);
    assert_int_equal(f->sys->sockname(f->driver, listener, &any), 0);
    ends_attach(f, &f->listener, listener, RILL__IO_LISTENER);
    f->accept_limit = 1;
    assert_int_equal(f->ops->subscribe(f->driver, &f->listener.io), 0);
    target = ends_loopback(RILL_FAMILY_IPV4, rill_addr_port(&any));
    assert_int_equal(ends_try_bind(f, &target, false), -EADDRINUSE);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &target), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    assert_int_equal(f->a.final, 0);
    assert_int_equal(rill_addr_family(&f->peers[0]), RILL_FAMILY_IPV6);
    assert_non_null(strstr(rill_addr_format(&f->peers[0], text, sizeof(text)), "::ffff:127.0.0.1"));
    f->sys->close_fd(f->driver, f->fds[0], false);
}

static void
test_connect_wrong_family(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV6, 1);

    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -EAFNOSUPPORT);
    assert_int_equal(f->sys->bind(f->driver, f->a.io.fd, &addr), -EAFNOSUPPORT);
    ends_stay_quiet(f);
    assert_int_equal(f->a.sends, 0);
}

/* 0.0.0.0 means this host. */
static void
test_connect_to_wildcard(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr any;
    rill_addr name;

    ends_listen_on(f, &addr, 4);
    assert_int_equal(rill_addr_parse("0.0.0.0", rill_addr_port(&f->address), &any), 0);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &any), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    assert_int_equal(f->a.final, 0);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), 0);
    assert_true(rill_addr_equal(&name, &f->address));
    f->sys->close_fd(f->driver, f->fds[0], false);
}

/* Bound to a port of all addresses, then connected: the address that leads there. */
static void
test_wildcard_then_connect(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr name;
    int port;

    ends_listen_on(f, &addr, 4);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(rill_addr_parse("0.0.0.0", 0, &name), 0);
    assert_int_equal(f->sys->bind(f->driver, f->a.io.fd, &name), 0);
    assert_int_equal(f->sys->sockname(f->driver, f->a.io.fd, &name), 0);
    port = rill_addr_port(&name);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    addr = ends_loopback(RILL_FAMILY_IPV4, port);
    assert_true(rill_addr_equal(&addr, &f->peers[0]));
    f->sys->close_fd(f->driver, f->fds[0], false);
}

/* An IPv6 socket gets to an IPv4 listener by the mapped address, and is seen as IPv4 there. */
static void
test_connect_to_mapped(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    char text[RILL_ADDR_TEXT];
    rill_addr name;

    if (!has_ipv6(f)) {
        print_message("skipped: this machine has no IPv6 loopback\n");
        skip();
    }
    ends_listen_on(f, &addr, 4);
    assert_int_equal(rill_addr_parse("::ffff:127.0.0.1", rill_addr_port(&f->address), &addr), 0);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV6), RILL__IO_STREAM);
    assert_int_equal(f->sys->set_flag(f->driver, f->a.io.fd, RILL__FLAG_V6ONLY, 1), 0);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -ENETUNREACH);
    assert_int_equal(f->sys->set_flag(f->driver, f->a.io.fd, RILL__FLAG_V6ONLY, 0), 0);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    assert_int_equal(f->a.final, 0);
    assert_int_equal(rill_addr_family(&f->peers[0]), RILL_FAMILY_IPV4);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), 0);
    assert_true(rill_addr_equal(&name, &addr));
    assert_int_equal(f->sys->sockname(f->driver, f->a.io.fd, &name), 0);
    assert_non_null(strstr(rill_addr_format(&name, text, sizeof(text)), "[::ffff:127.0.0.1]:"));
    f->sys->close_fd(f->driver, f->fds[0], false);
}

static void
test_connect_twice(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_connect_tcp(f);
    /* Not of the client: Linux answers its first connect after the one in progress with 0. */
    assert_int_equal(f->ops->connect_start(f->driver, &f->b.io, &f->address), -EISCONN);
    assert_int_equal(f->sys->listen(f->driver, f->a.io.fd, 1), -EINVAL);
    ends_attach(f, &f->c, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->c.io, &addr), -EINVAL);
    assert_int_equal(f->sys->bind(f->driver, f->c.io.fd, &addr), -EINVAL);
}

/* Listening without bind: at some port of all addresses. */
static void
test_listen_unbound(void **state)
{
    fixture *f = *state;
    int fd = ends_open(f, RILL_FAMILY_IPV4);
    rill_addr name;
    char text[RILL_ADDR_TEXT];

    assert_int_equal(f->sys->listen(f->driver, fd, 1), 0);
    assert_int_equal(f->sys->listen(f->driver, fd, 2), 0); /* Another backlog. */
    assert_int_equal(f->sys->sockname(f->driver, fd, &name), 0);
    assert_true(rill_addr_port(&name) > 0);
    assert_non_null(strstr(rill_addr_format(&name, text, sizeof(text)), "0.0.0.0:"));
    f->sys->close_fd(f->driver, fd, false);
}

/* Flags of the wrong family, and too late. */
static void
test_flags(void **state)
{
    fixture *f = *state;
    int fd = ends_open(f, RILL_FAMILY_IPV4);
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV6, 0);

    assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_V6ONLY, 1), -ENOPROTOOPT);
    f->sys->close_fd(f->driver, fd, false);
    fd = ends_open(f, RILL_FAMILY_UNIX);
    assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_NODELAY, 1), -EOPNOTSUPP);
    assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_REUSE_PORT, 1), -EOPNOTSUPP);
    assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_REUSE_ADDRESS, 1), 0);
    f->sys->close_fd(f->driver, fd, false);
    if (!has_ipv6(f))
        return;
    fd = ends_open(f, RILL_FAMILY_IPV6);
    assert_int_equal(f->sys->bind(f->driver, fd, &addr), 0);
    assert_int_equal(f->sys->set_flag(f->driver, fd, RILL__FLAG_V6ONLY, 1), -EINVAL);
    f->sys->close_fd(f->driver, fd, false);
}

static void
test_local_address_first(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);
    rill_addr local;

    ends_listen_on(f, &addr, 4);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(rill_addr_parse("127.0.0.3", 0, &local), 0);
    assert_int_equal(f->sys->bind(f->driver, f->a.io.fd, &local), 0);
    assert_int_equal(f->sys->sockname(f->driver, f->a.io.fd, &local), 0);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    assert_true(rill_addr_equal(&local, &f->peers[0]));
    f->sys->close_fd(f->driver, f->fds[0], false);
}

/* ---- options ---- */

static int
option_of(fixture *f, int fd, rill_option option)
{
    int value = -1000;

    assert_int_equal(f->sys->get_option(f->driver, fd, option, &value), 0);
    return value;
}

static void
test_options(void **state)
{
    fixture *f = *state;
    int fd = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(option_of(f, fd, RILL_OPTION_NODELAY), 0);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_NODELAY, 1), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_NODELAY), 1);
    assert_int_equal(option_of(f, fd, RILL_OPTION_KEEPALIVE), 0);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE, 1), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_KEEPALIVE), 1);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE_IDLE, 90), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_KEEPALIVE_IDLE), 90);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE_IDLE, 0), -EINVAL);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE_INTERVAL, 11), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_KEEPALIVE_INTERVAL), 11);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE_COUNT, 3), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_KEEPALIVE_COUNT), 3);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE_COUNT, 128), -EINVAL);
    assert_int_equal(option_of(f, fd, RILL_OPTION_LINGER), -1);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_LINGER, 7), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_LINGER), 7);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_LINGER, -1), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_LINGER), -1);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_SEND_BUFFER, 16384), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_SEND_BUFFER), 32768);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_SEND_BUFFER, 1), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_SEND_BUFFER), 4608);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_RECV_BUFFER, 1), 0);
    assert_int_equal(option_of(f, fd, RILL_OPTION_RECV_BUFFER), 2304);
    assert_int_equal(f->sys->set_option(f->driver, fd, (rill_option)99, 1), RILL_EINVAL);
    f->sys->close_fd(f->driver, fd, false);

    fd = ends_open(f, RILL_FAMILY_UNIX);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_NODELAY, 1), RILL_ENOTSUP);
    assert_int_equal(f->sys->set_option(f->driver, fd, RILL_OPTION_KEEPALIVE, 1), 0);
    f->sys->close_fd(f->driver, fd, false);
}

/* Linger with zero seconds makes an orderly close a reset. */
static void
test_linger_zero(void **state)
{
    fixture *f = *state;

    ends_connect_tcp(f);
    assert_int_equal(f->sys->set_option(f->driver, f->a.io.fd, RILL_OPTION_LINGER, 0), 0);
    ends_close(f, &f->a, false);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, -ECONNRESET);
}

static void
test_nodelay_is_inherited(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_loopback(RILL_FAMILY_IPV4, 0);

    ends_listen_on(f, &addr, 4);
    assert_int_equal(f->sys->set_flag(f->driver, f->listener.io.fd, RILL__FLAG_NODELAY, 1), 0);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &f->address), 0);
    ends_wait(f, ends_one_accepted);
    assert_int_equal(option_of(f, f->fds[0], RILL_OPTION_NODELAY), 1);
    f->sys->close_fd(f->driver, f->fds[0], false);
}

static void
test_tcp_info(void **state)
{
    fixture *f = *state;
    rill_tcp_info info = { .size = sizeof(info) };

    ends_connect_tcp(f);
    assert_int_equal(f->sys->tcp_info(f->driver, f->a.io.fd, &info), 0);
    assert_int_equal(info.state, 1); /* ESTABLISHED */
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->b.io), 0);
    ends_stay_quiet(f);
    assert_int_equal(f->sys->tcp_info(f->driver, f->a.io.fd, &info), 0);
    assert_int_equal(info.state, 8); /* CLOSE_WAIT */
    assert_int_equal(f->sys->tcp_info(f->driver, f->b.io.fd, &info), 0);
    assert_int_equal(info.state, 5); /* FIN_WAIT2 */
}

static uint32_t
tcp_state(fixture *f, int fd)
{
    rill_tcp_info info = { .size = sizeof(info) };

    assert_int_equal(f->sys->tcp_info(f->driver, fd, &info), 0);
    return info.state;
}

/* Both ended: for both it is closed, who ended first only keeps the port. */
static void
test_tcp_state_of_the_ended(void **state)
{
    fixture *f = *state;

    ends_attach(f, &f->c, ends_open(f, RILL_FAMILY_IPV4), RILL__IO_STREAM);
    assert_int_equal(tcp_state(f, f->c.io.fd), 7); /* CLOSE */
    ends_connect_tcp(f);
    assert_int_equal(tcp_state(f, f->listener.io.fd), 10); /* LISTEN */
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->b.io), 0);
    ends_stay_quiet(f);
    assert_int_equal(tcp_state(f, f->a.io.fd), 7);
    assert_int_equal(tcp_state(f, f->b.io.fd), 7);
}

static void
test_probe(void **state)
{
    fixture *f = *state;
    int fd = ends_open(f, RILL_FAMILY_IPV4);

    assert_int_equal(f->sys->probe(f->driver, fd), RILL__FD_UNBOUND);
    f->sys->close_fd(f->driver, fd, false);
    ends_connect_tcp(f);
    assert_int_equal(f->sys->probe(f->driver, f->a.io.fd), RILL__FD_STREAM);
    assert_int_equal(f->sys->probe(f->driver, f->listener.io.fd), RILL__FD_LISTENER);
    assert_int_equal(f->sys->probe(f->driver, -1), -EBADF);
    assert_int_equal(f->sys->adopt(f->driver, f->a.io.fd), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        ENDS_TEST(test_bind_in_use),
        ENDS_TEST(test_reuse_address_listen),
        ENDS_TEST(test_reuse_address_of_one),
        ENDS_TEST(test_closest_listener),
        ENDS_TEST(test_reuse_port),
        ENDS_TEST(test_time_wait),
        ENDS_TEST(test_reset_leaves_port_free),
        ENDS_TEST(test_wildcard_and_specific),
        ENDS_TEST(test_ipv6),
        ENDS_TEST(test_dual_stack),
        ENDS_TEST(test_connect_wrong_family),
        ENDS_TEST(test_connect_to_wildcard),
        ENDS_TEST(test_wildcard_then_connect),
        ENDS_TEST(test_connect_to_mapped),
        ENDS_TEST(test_connect_twice),
        ENDS_TEST(test_listen_unbound),
        ENDS_TEST(test_flags),
        ENDS_TEST(test_local_address_first),
        ENDS_TEST(test_options),
        ENDS_TEST(test_linger_zero),
        ENDS_TEST(test_nodelay_is_inherited),
        ENDS_TEST(test_tcp_info),
        ENDS_TEST(test_tcp_state_of_the_ended),
        ENDS_TEST(test_probe),
    };

    return ends_run(tests, sizeof(tests) / sizeof(tests[0]));
}
