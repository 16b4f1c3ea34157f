/*
 * Descriptors from elsewhere: listening and bound sockets for servers, connected ones for
 * transports, and everything that is neither.
 */
/* drivers: epoll uring */
#include "pairs.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

static int
bound_socket(const char *host, bool listening)
{
    int fd;
    rill_addr addr;

    assert_code(rill_addr_parse(host, 0, &addr), 0);
    fd = socket(rill_addr_family(&addr) == RILL_FAMILY_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)addr.storage, addr.len), 0);
    if (listening)
        assert_int_equal(listen(fd, 50), 0);
    return fd;
}

static int
port_of(int fd)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);
    rill_addr addr = { 0 };

    assert_int_equal(getsockname(fd, (struct sockaddr *)&storage, &len), 0);
    memcpy(addr.storage, &storage, len);
    addr.len = len;
    return rill_addr_port(&addr);
}

static void
test_listening_descriptors(void **unused)
{
    int fds[3] = { bound_socket("127.0.0.1", true), bound_socket("::1", true),
        bound_socket("127.0.0.2", false) };
    int ports[3] = { port_of(fds[0]), port_of(fds[1]), port_of(fds[2]) };
    rill_server *server;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.fds = fds, .fds_count = 3), &accepted, NULL);
    assert_int_equal(rill_server_socket_count(server), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rill_server_fd(server, i), fds[i]);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    serves(&h, &accepted, "127.0.0.1", ports[0]);
    serves(&h, &accepted, "::1", ports[1]);
    serves(&h, &accepted, "127.0.0.2", ports[2]);
    end_server(&h, &accepted, server);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* Owned, closed. */
    assert_int_equal(errno, EBADF);
}

static void
refuses_fd(int fd)
{
    int rc = rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.fds = &fd, .fds_count = 1),
        &acceptor_protocol, &accepted, NULL);

    assert_true(rc < 0);
    assert_code(rill_loop_last_error(h.loop)->code, rc);
}

/* A failing call has taken ownership of nothing. */
static void
test_no_listening_descriptors(void **unused)
{
    int ends[2], udp = socket(AF_INET, SOCK_DGRAM, 0), good = bound_socket("127.0.0.1", true),
                 both[2];
    int file = open("/dev/null", O_RDONLY);

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    refuses_fd(-1);
    refuses_fd(9999);
    refuses_fd(udp);
    refuses_fd(file);
    refuses_fd(ends[0]);
    both[0] = good;
    both[1] = udp;
    assert_true(rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.fds = both, .fds_count = 2),
                    &acceptor_protocol, &accepted, NULL) < 0);
    assert_true(fcntl(good, F_GETFD) >= 0);
    assert_true(fcntl(udp, F_GETFD) >= 0);
    assert_true(fcntl(ends[0], F_GETFD) >= 0);
    close(ends[0]);
    close(ends[1]);
    close(udp);
    close(good);
    close(file);
}

static void
tcp_sockets(int ends[2])
{
    int listener = bound_socket("127.0.0.1", true);
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&storage, &len), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&storage, len), 0);
    ends[1] = accept(listener, NULL, NULL);
    assert_true(ends[1] >= 0);
    close(listener);
}

static void
test_connected_descriptors(void **unused)
{
    rill_transport_info info = { .size = sizeof(info) };
    rill_transport *t = NULL;
    endpoint a, b;
    int ends[2], value = 0;

    (void)unused;
    tcp_sockets(ends);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    a.in_call = true;
    assert_code(rill_connect_accepted_socket(h.loop, ends[0], NULL, &endpoint_protocol, &a, &t), 0);
    a.in_call = false;
    assert_non_null(t);
    assert_code(
        rill_connect_accepted_socket(h.loop, ends[1], NULL, &endpoint_protocol, &b, NULL), 0);
    harness_until(&h, endpoint_is_made, &b);
    assert_ptr_equal(a.t, t);
    assert_int_equal(rill_transport_fd(t), ends[0]);
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    rill_transport_get_info(t, &info);
    assert_string_equal(info.kind, "tcp");
    assert_contains(info.site, "test_inherited.c");
    assert_code(rill_transport_get_option(t, RILL_OPTION_NODELAY, &value), 0);
    assert_int_equal(value, 1);
    /* Owned by a transport: not a second time. */
    assert_code(
        rill_connect_accepted_socket(h.loop, ends[0], NULL, &endpoint_protocol, &b, NULL), -EEXIST);
    assert_int_equal(rill_transport_write(t, "hello", 5), 1);
    endpoint_await(&b, 5);
    rill_transport_close(t);
    harness_until(&h, endpoint_is_lost, &b);
    harness_until(&h, endpoint_is_lost, &a);
    assert_string_equal(b.tape, "made data(5) eof lost(RILL_EOF)");
}

/* The bytes are there before the transport is: connection_made still comes first. */
static void
test_bytes_are_waiting(void **unused)
{
    endpoint e;
    int ends[2];

    (void)unused;
    tcp_sockets(ends);
    assert_int_equal(send(ends[1], "waiting", 7, 0), 7);
    assert_int_equal(close(ends[1]), 0);
    endpoint_init(&e, &h);
    assert_code(
        rill_connect_accepted_socket(h.loop, ends[0], NULL, &endpoint_protocol, &e, NULL), 0);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(7) eof lost(RILL_EOF)");
}

static void
refuses_stream(int fd, int code)
{
    rill_transport *t = (rill_transport *)&h;
    endpoint e;
    int rc;

    endpoint_init(&e, &h);
    rc = rill_connect_accepted_socket(h.loop, fd, NULL, &endpoint_protocol, &e, &t);
    if (code != 0)
        assert_code(rc, code);
    assert_true(rc < 0);
    assert_ptr_equal(t, &h);
    harness_settle(&h);
    assert_false(e.made);
}

static void
test_no_connected_descriptors(void **unused)
{
    int ends[2], udp = socket(AF_INET, SOCK_DGRAM, 0), plain = socket(AF_INET, SOCK_STREAM, 0);
    int listener = bound_socket("127.0.0.1", true), file = open("/dev/null", O_RDONLY);
    rill_transport_options bad = { .write_high = 5 };

    (void)unused;
    tcp_sockets(ends);
    refuses_stream(udp, RILL_EINVAL);
    refuses_stream(plain, RILL_EINVAL);
    refuses_stream(listener, RILL_EINVAL);
    refuses_stream(file, 0);
    refuses_stream(-1, 0);
    refuses_stream(9999, 0);
    assert_code(rill_connect_accepted_socket(h.loop, ends[0], &bad, &endpoint_protocol, NULL, NULL),
        RILL_EINVAL);
    assert_code(rill_connect_accepted_socket(h.loop, ends[0], NULL, NULL, NULL, NULL), RILL_EINVAL);
    assert_true(fcntl(ends[0], F_GETFD) >= 0);
    close(ends[0]);
    close(ends[1]);
    close(udp);
    close(plain);
    close(listener);
    close(file);
}

static void
test_pre_bound_unix_path(void **unused)
{
    const char *path = scratch_path("inherited");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    static peer p;
    rill_server *server;
    rill_addr addr;

    (void)unused;
    assert_code(rill_addr_unix(path, &addr), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)addr.storage, addr.len), 0);
    server = serve(&h, &RILL_SERVER_OPTIONS(.fds = &fd, .fds_count = 1), &accepted, NULL);
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 1);
    peer_close(&p);
    end_server(&h, &accepted, server);
    unlink(path); /* Whether it goes with an inherited socket is not promised. */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_listening_descriptors),
        CASE(test_no_listening_descriptors),
        CASE(test_connected_descriptors),
        CASE(test_bytes_are_waiting),
        CASE(test_no_connected_descriptors),
        CASE(test_pre_bound_unix_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
