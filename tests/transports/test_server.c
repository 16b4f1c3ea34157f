/*
 * Servers over TCP: where they listen, and what is refused.
 */
#include "peer.h"

#include <errno.h>

static harness h;
static acceptor accepted;

static int
setup(void **unused)
{
    (void)unused;
    acceptor_init(&accepted, &h);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    return 0;
}

static void
refused(rill_server_options options, int code)
{
    rill_server *server = (rill_server *)&h;
    size_t descriptors = descriptor_count();
    size_t bytes = allocator_loop_bytes(&h.allocator);

    assert_code(rill_create_server(h.loop, &options, &acceptor_protocol, &accepted, &server), code);
    assert_ptr_equal(server, &h);
    assert_int_equal(descriptor_count(), descriptors);
    assert_int_equal(allocator_loop_bytes(&h.allocator), bytes);
    assert_code(rill_loop_last_error(h.loop)->code, code);
}

static void
test_wrong_options(void **unused)
{
    static const char *const none[] = { NULL };
    static const char *const bad[] = { "127.0.0.1", "nowhere.example", NULL };
    rill_server_options unsized = { .host = "127.0.0.1" };
    rill_transport_options low = RILL_TRANSPORT_OPTIONS(.write_high = 10, .write_low = 20);
    rill_transport_options cap = RILL_TRANSPORT_OPTIONS(.write_high = 1000, .write_cap = 100);
    rill_transport_options no_size = { .write_high = 10 };
    rill_transport_options time = RILL_TRANSPORT_OPTIONS(.idle_timeout = -7);
    rill_protocol bad_protocol = acceptor_protocol;
    rill_addr addr;

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 0, &addr), 0);
    refused(unsized, RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.port = 0), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .addr = &addr), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .path = "/tmp/x"), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .hosts = bad), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.hosts = none), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.fds_count = 1), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = -1), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = 65536), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "nowhere.example"), RILL_EADDRESS);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.256"), RILL_EADDRESS);
    refused(RILL_SERVER_OPTIONS(.hosts = bad), RILL_EADDRESS);
    refused(RILL_SERVER_OPTIONS(.host = "::1", .family = RILL_FAMILY_IPV4), RILL_EADDRESS);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .backlog = -1), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .accepts_per_turn = -1), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &low), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &cap), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &no_size), RILL_EINVAL);
    refused(RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &time), RILL_EINVAL);

    assert_code(rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.host = "::1"), NULL, NULL, NULL),
        RILL_EINVAL);
    assert_code(rill_create_server(h.loop, NULL, &acceptor_protocol, NULL, NULL), RILL_EINVAL);
    bad_protocol.size = 0;
    assert_code(
        rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.host = "::1"), &bad_protocol, NULL, NULL),
        RILL_EINVAL);
}

static int
port_of(rill_server *server, size_t index)
{
    rill_addr addr;

    assert_code(rill_server_sockname(server, index, &addr), 0);
    return rill_addr_port(&addr);
}

static void
expect_sockname(rill_server *server, size_t index, const char *host)
{
    char text[RILL_ADDR_TEXT], want[RILL_ADDR_TEXT];
    rill_addr addr;

    assert_code(rill_server_sockname(server, index, &addr), 0);
    snprintf(want, sizeof(want), "%s:%d", host, port_of(server, index));
    assert_string_equal(rill_addr_format(&addr, text, sizeof(text)), want);
}

static void
test_one_address(void **unused)
{
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, NULL);
    char text[RILL_ADDR_TEXT], want[RILL_ADDR_TEXT];
    rill_addr addr;
    int port = port_of(server, 0);

    (void)unused;
    assert_true(port > 0);
    assert_int_equal(rill_server_socket_count(server), 1);
    assert_true(rill_server_is_serving(server));
    assert_ptr_equal(rill_server_loop(server), h.loop);
    assert_code(rill_server_sockname(server, 1, &addr), RILL_EINVAL);
    snprintf(want, sizeof(want), "127.0.0.1:%d", port);
    assert_string_equal(rill_server_describe(server, text, sizeof(text)), want);
    serves(&h, &accepted, "127.0.0.1", port);
    rill_server_close(server);
    assert_false(rill_server_is_serving(server));
    assert_int_equal(rill_server_socket_count(server), 0);
    harness_settle(&h);
    serves_not(&h, "127.0.0.1", port);
}

/* Order of the hosts, each once, one port for all of them. */
static void
test_several_hosts(void **unused)
{
    static const char *const hosts[] = { "127.0.0.2", "::1", "127.0.0.1", "127.0.0.2", "0:0::1",
        NULL };
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.hosts = hosts), &accepted, NULL);
    int port = port_of(server, 0);
    char text[200], want[200];

    (void)unused;
    assert_int_equal(rill_server_socket_count(server), 3);
    expect_sockname(server, 0, "127.0.0.2");
    expect_sockname(server, 1, "[::1]");
    expect_sockname(server, 2, "127.0.0.1");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(port_of(server, i), port);
    snprintf(want, sizeof(want), "127.0.0.2:%d, [::1]:%d, 127.0.0.1:%d", port, port, port);
    assert_string_equal(rill_server_describe(server, text, sizeof(text)), want);
    memset(text, 'x', sizeof(text));
    rill_server_describe(server, text, 6);
    assert_string_equal(text, "127.0");
    serves(&h, &accepted, "127.0.0.1", port);
    serves(&h, &accepted, "127.0.0.2", port);
    serves(&h, &accepted, "::1", port);
    serves_not(&h, "127.0.0.3", port);
    end_server(&h, &accepted, server);
}

static void
test_localhost_is_both_families(void **unused)
{
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.host = "localhost"), &accepted, NULL);
    int port = port_of(server, 0);

    (void)unused;
    assert_int_equal(rill_server_socket_count(server), 2);
    assert_int_equal(port_of(server, 1), port);
    serves(&h, &accepted, "127.0.0.1", port);
    serves(&h, &accepted, "::1", port);
    end_server(&h, &accepted, server);
}

static void
test_all_interfaces_are_two_sockets(void **unused)
{
    static const char *const names[] = { "", "*" };

    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.host = names[i]), &accepted, NULL);
        int port = port_of(server, 0);

        assert_int_equal(rill_server_socket_count(server), 2);
        assert_int_equal(port_of(server, 1), port);
        serves(&h, &accepted, "127.0.0.1", port);
        serves(&h, &accepted, "127.0.0.9", port);
        serves(&h, &accepted, "::1", port);
        end_server(&h, &accepted, server);
    }
}

static void
test_one_family_only(void **unused)
{
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.host = "*", .family = RILL_FAMILY_IPV6), &accepted, NULL);

    (void)unused;
    assert_int_equal(rill_server_socket_count(server), 1);
    serves(&h, &accepted, "::1", port_of(server, 0));
    serves_not(&h, "127.0.0.1", port_of(server, 0)); /* IPV6_V6ONLY. */
    end_server(&h, &accepted, server);
    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "localhost", .family = RILL_FAMILY_IPV4), &accepted, NULL);
    assert_int_equal(rill_server_socket_count(server), 1);
    expect_sockname(server, 0, "127.0.0.1");
    end_server(&h, &accepted, server);
}

static void
test_dual_stack(void **unused)
{
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.host = "::", .dual_stack = 1), &accepted, NULL);

    (void)unused;
    assert_int_equal(rill_server_socket_count(server), 1);
    serves(&h, &accepted, "127.0.0.1", port_of(server, 0));
    serves(&h, &accepted, "::1", port_of(server, 0));
    end_server(&h, &accepted, server);
}

/* asyncio, appendix B 45: every socket that was opened is closed; the sentence names the one. */
static void
test_address_in_use(void **unused)
{
    static const char *const hosts[] = { "127.0.0.1", "127.0.0.3", NULL };
    rill_server *first = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.3"), &accepted, NULL);
    char words[60];

    (void)unused;
    refused(RILL_SERVER_OPTIONS(.hosts = hosts, .port = port_of(first, 0)), -EADDRINUSE);
    snprintf(words, sizeof(words), "127.0.0.3:%d", port_of(first, 0));
    expect_last_error(&h, -EADDRINUSE, words);
    assert_int_equal(rill_loop_last_error(h.loop)->native, EADDRINUSE);
    serves_not(&h, "127.0.0.1", port_of(first, 0));
    end_server(&h, &accepted, first);
}

static void
test_an_address_that_is_not_ours(void **unused)
{
    (void)unused;
    refused(RILL_SERVER_OPTIONS(.host = "192.0.2.1"), -EADDRNOTAVAIL);
    expect_last_error(&h, -EADDRNOTAVAIL, "192.0.2.1");
}

static void
test_reuse_port_shares(void **unused)
{
    rill_server *one, *two;
    rill_addr addr;

    (void)unused;
    one = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .reuse_port = 1), &accepted, &addr);
    assert_code(rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.addr = &addr, .reuse_port = 1),
                    &acceptor_protocol, &accepted, &two),
        0);
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    rill_server_close(two);
    harness_settle(&h);
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    end_server(&h, &accepted, one);
}

static void
test_start_paused(void **unused)
{
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .start_paused = 1), &accepted, NULL);
    int port = port_of(server, 0);

    (void)unused;
    assert_false(rill_server_is_serving(server));
    assert_int_equal(rill_server_socket_count(server), 1);
    serves_not(&h, "127.0.0.1", port);
    assert_code(rill_server_start_serving(server), 0);
    assert_code(rill_server_start_serving(server), 0);
    assert_true(rill_server_is_serving(server));
    serves(&h, &accepted, "127.0.0.1", port);
    rill_server_close(server);
    assert_code(rill_server_start_serving(server), RILL_ECLOSED);
    harness_settle(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_wrong_options),
        CASE(test_one_address),
        CASE(test_several_hosts),
        CASE(test_localhost_is_both_families),
        CASE(test_all_interfaces_are_two_sockets),
        CASE(test_one_family_only),
        CASE(test_dual_stack),
        CASE(test_address_in_use),
        CASE(test_an_address_that_is_not_ours),
        CASE(test_reuse_port_shares),
        CASE(test_start_paused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
