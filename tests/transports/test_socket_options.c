/*
 * Socket options: what is asked for is what the kernel then says; and TCP_INFO.
 */
/* drivers: epoll uring */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static harness h;
static acceptor accepted;
static endpoint client;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (client.t != NULL)
        rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

static int
kernel_says(const endpoint *e, int level, int option)
{
    socklen_t len = sizeof(int);
    int value = -1, fd = rill_transport_fd(e->t);

    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static void
test_defaults(void **unused)
{
    endpoint *both[2] = { &client, &accepted.ends[0] };
    int value;

    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kernel_says(both[i], IPPROTO_TCP, TCP_NODELAY), 1);
        assert_int_equal(kernel_says(both[i], SOL_SOCKET, SO_KEEPALIVE), 0);
        assert_code(rill_transport_get_option(both[i]->t, RILL_OPTION_NODELAY, &value), 0);
        assert_int_equal(value, 1);
    }
}

static void
test_options_of_both_ends(void **unused)
{
    rill_transport_options options = RILL_TRANSPORT_OPTIONS(.nodelay = -1, .keepalive = 1,
        .keepalive_idle = 61, .keepalive_interval = 7, .keepalive_count = 3, .send_buffer = 20000,
        .recv_buffer = 30000);
    endpoint *both[2] = { &client, &accepted.ends[0] };

    (void)unused;
    tcp_pair(&h, &options, &accepted, &client);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kernel_says(both[i], IPPROTO_TCP, TCP_NODELAY), 0);
        assert_int_equal(kernel_says(both[i], SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(kernel_says(both[i], IPPROTO_TCP, TCP_KEEPIDLE), 61);
        assert_int_equal(kernel_says(both[i], IPPROTO_TCP, TCP_KEEPINTVL), 7);
        assert_int_equal(kernel_says(both[i], IPPROTO_TCP, TCP_KEEPCNT), 3);
        assert_int_equal(kernel_says(both[i], SOL_SOCKET, SO_SNDBUF), 40000);
        assert_int_equal(kernel_says(both[i], SOL_SOCKET, SO_RCVBUF), 60000);
    }
}

static void
test_set_and_get(void **unused)
{
    static const struct {
        rill_option option;
        int value, level, name, read_back;
    } rows[] = {
        { RILL_OPTION_NODELAY, 0, IPPROTO_TCP, TCP_NODELAY, 0 },
        { RILL_OPTION_NODELAY, 1, IPPROTO_TCP, TCP_NODELAY, 1 },
        { RILL_OPTION_KEEPALIVE, 1, SOL_SOCKET, SO_KEEPALIVE, 1 },
        { RILL_OPTION_KEEPALIVE_IDLE, 100, IPPROTO_TCP, TCP_KEEPIDLE, 100 },
        { RILL_OPTION_KEEPALIVE_INTERVAL, 20, IPPROTO_TCP, TCP_KEEPINTVL, 20 },
        { RILL_OPTION_KEEPALIVE_COUNT, 5, IPPROTO_TCP, TCP_KEEPCNT, 5 },
        { RILL_OPTION_SEND_BUFFER, 50000, SOL_SOCKET, SO_SNDBUF, 100000 },
        { RILL_OPTION_RECV_BUFFER, 50000, SOL_SOCKET, SO_RCVBUF, 100000 },
    };

    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int value = -1;

        assert_code(rill_transport_set_option(client.t, rows[i].option, rows[i].value), 0);
        assert_int_equal(kernel_says(&client, rows[i].level, rows[i].name), rows[i].read_back);
        assert_code(rill_transport_get_option(client.t, rows[i].option, &value), 0);
        assert_int_equal(value, rows[i].read_back);
    }
}

static void
test_linger(void **unused)
{
    struct linger linger = { 0 };
    socklen_t len = sizeof(linger);
    int value = 0;

    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    assert_code(rill_transport_get_option(client.t, RILL_OPTION_LINGER, &value), 0);
    assert_int_equal(value, -1);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_LINGER, 12), 0);
    assert_int_equal(
        getsockopt(rill_transport_fd(client.t), SOL_SOCKET, SO_LINGER, &linger, &len), 0);
    assert_int_equal(linger.l_onoff, 1);
    assert_int_equal(linger.l_linger, 12);
    assert_code(rill_transport_get_option(client.t, RILL_OPTION_LINGER, &value), 0);
    assert_int_equal(value, 12);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_LINGER, -1), 0);
    assert_code(rill_transport_get_option(client.t, RILL_OPTION_LINGER, &value), 0);
    assert_int_equal(value, -1);
}

static void
test_wrong_values(void **unused)
{
    int value = 77;

    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    assert_code(rill_transport_set_option(client.t, (rill_option)99, 1), RILL_EINVAL);
    assert_code(rill_transport_get_option(client.t, (rill_option)99, &value), RILL_EINVAL);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_NODELAY, 2), RILL_EINVAL);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_KEEPALIVE, -1), RILL_EINVAL);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_LINGER, -2), RILL_EINVAL);
    assert_true(rill_transport_set_option(client.t, RILL_OPTION_KEEPALIVE_IDLE, 0) < 0);
    assert_true(rill_transport_set_option(client.t, RILL_OPTION_SEND_BUFFER, -5) < 0);
    assert_int_equal(value, 77);
}

static int codes_in_lost[3];

static void
ask_in_lost(endpoint *e)
{
    rill_tcp_info info = { .size = sizeof(info) };
    int value;

    codes_in_lost[0] = rill_transport_set_option(e->t, RILL_OPTION_NODELAY, 1);
    codes_in_lost[1] = rill_transport_get_option(e->t, RILL_OPTION_NODELAY, &value);
    codes_in_lost[2] = rill_transport_tcp_info(e->t, &info);
}

/* Either the socket is still there, or the code says that it is not. */
static void
test_options_in_connection_lost(void **unused)
{
    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    rill_transport_close(client.t);
    client.on_lost = ask_in_lost;
    harness_until(&h, endpoint_is_lost, &client);
    for (size_t i = 0; i < 3; i++)
        assert_true(codes_in_lost[i] == 0 || codes_in_lost[i] == RILL_ECLOSED);
}

static void
test_tcp_info(void **unused)
{
    rill_tcp_info info = { .size = sizeof(info) };
    union {
        rill_tcp_info info;
        uint8_t bytes[sizeof(rill_tcp_info)];
    } older;

    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    assert_true(endpoint_send_stream(&client, 0, 100000) >= 0);
    endpoint_await(&accepted.ends[0], 100000);
    assert_code(rill_transport_tcp_info(client.t, &info), 0);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_true(info.rtt_us > 0 && info.rtt_us < 10000000);
    assert_true(info.congestion_window > 0);
    assert_true(info.send_mss > 500);

    memset(&older, 0x5a, sizeof(older));
    older.info.size = offsetof(rill_tcp_info, congestion_window);
    assert_code(rill_transport_tcp_info(client.t, &older.info), 0);
    assert_int_equal(older.info.state, TCP_ESTABLISHED);
    for (size_t i = offsetof(rill_tcp_info, congestion_window); i < sizeof(older); i++)
        assert_int_equal(older.bytes[i], 0x5a);
}

static void
test_descriptors_are_close_on_exec(void **unused)
{
    (void)unused;
    tcp_pair(&h, NULL, &accepted, &client);
    assert_true(fcntl(rill_transport_fd(client.t), F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(rill_transport_fd(accepted.ends[0].t), F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(rill_loop_backend_fd(h.loop), F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(rill_transport_fd(accepted.ends[0].t), F_GETFL) & O_NONBLOCK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_defaults),
        CASE(test_options_of_both_ends),
        CASE(test_set_and_get),
        CASE(test_linger),
        CASE(test_wrong_values),
        CASE(test_options_in_connection_lost),
        CASE(test_tcp_info),
        CASE(test_descriptors_are_close_on_exec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
