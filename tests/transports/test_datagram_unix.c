/*
 * Unix datagram sockets: paths and abstract names, what is left behind, senders without a name.
 */
#include "dgrams.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static harness h;
static dend a, b, c;
static char folder[] = "/tmp/rill-dgram-XXXXXX";
static char path[64], other[64];

static int
setup(void **unused)
{
    (void)unused;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a", folder);
    snprintf(other, sizeof(other), "%s/b", folder);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    dend_close(&a);
    dend_close(&b);
    dend_close(&c);
    harness_settle(&h);
    harness_close(&h);
    (void)unlink(path);
    (void)unlink(other);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static int
make(const rill_datagram_options *options)
{
    return rill_create_datagram_endpoint(h.loop, options, &dend_protocol, &c, NULL);
}

static void
test_an_echo_over_paths(void **unused)
{
    char text[200];

    (void)unused;
    b.echo = true;
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_path = other, .path = path));
    assert_code(dend_send(&a, "over a path", NULL), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "over a path");
    assert_true(rill_addr_equal(&dend_at(&a, 0)->from, &b.addr));
    assert_contains(rill_transport_describe(a.t, text, sizeof(text)), "<unix-datagram unix:");
}

static void
test_an_abstract_name_works_too(void **unused)
{
    char name[64];

    (void)unused;
    snprintf(name, sizeof(name), "@rill-dgram-%ld-%s", (long)getpid(),
        on_driver("uring") ? "uring" : "other");
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = name));
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.path = name));
    assert_code(dend_send(&a, "abstract", NULL), 1);
    dend_await(&b, 1);
    dend_expect(&b, 0, "abstract");
}

static void
test_a_sender_without_a_name_is_told_as_such(void **unused)
{
    char text[RILL_ADDR_TEXT];
    const char *said;

    (void)unused;
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.path = path));
    assert_code(dend_send(&a, "who?", NULL), 1);
    dend_await(&b, 1);
    said = rill_addr_format(&dend_at(&b, 0)->from, text, sizeof(text));
    assert_true(strcmp(said, "unix:") == 0 || strcmp(said, "none") == 0);
}

static void
test_a_socket_that_was_left_behind_is_removed_and_a_live_one_is_not(void **unused)
{
    (void)unused;
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path, .keep_path = true));
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_path = path)), -EADDRINUSE);
    dend_close(&b);
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    assert_code(dend_send(&a, "to itself", &a.addr), 1);
    dend_await(&a, 1);
}

static bool
exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static void
test_its_own_file_goes_with_the_endpoint(void **unused)
{
    (void)unused;
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    assert_true(exists(path));
    dend_close(&a);
    assert_false(exists(path));
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path, .keep_path = true));
    dend_close(&b);
    assert_true(exists(path));
}

static void
test_a_path_that_is_no_socket_is_left_alone(void **unused)
{
    FILE *file = fopen(path, "w");

    (void)unused;
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_path = path)), -EADDRINUSE);
    assert_true(exists(path));
}

static void
test_a_path_below_a_file_is_refused_as_such(void **unused)
{
    FILE *file = fopen(path, "w");
    char below[80];

    (void)unused;
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    snprintf(below, sizeof(below), "%s/below", path);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_path = below)), -ENOTDIR);
    expect_last_error(&h, -ENOTDIR, below);
}

static void
test_a_path_that_is_not_there_is_told_when_connecting(void **unused)
{
    (void)unused;
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.path = path)), -ENOENT);
    expect_last_error(&h, -ENOENT, path);
}

static void
test_a_receiver_that_has_gone_is_an_error_that_is_survived(void **unused)
{
    (void)unused;
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path, .keep_path = true));
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.path = path));
    dend_close(&b);
    assert_code(dend_send(&a, "gone?", NULL), 1);
    dend_await_errors(&a, 1);
    assert_true(a.last_error == -ECONNREFUSED || a.last_error == -ECONNRESET);
    assert_false(rill_transport_is_closing(a.t));
}

static void
test_options_of_ip_are_not_supported(void **unused)
{
    int value;

    (void)unused;
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
    assert_code(rill_transport_join(a.t, "239.1.2.3", NULL, NULL), RILL_ENOTSUP);
    assert_code(rill_transport_set_option(a.t, RILL_OPTION_TTL, 3), RILL_ENOTSUP);
    assert_code(rill_transport_get_option(a.t, RILL_OPTION_RECV_BUFFER, &value), 0);
    assert_true(value > 0);
}

/* asyncio decides by the peer's name, of which this one has none. */
static void
test_a_connected_pair_without_names_can_send(void **unused)
{
    rill_transport *t[2];
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    a.h = b.h = &h;
    assert_code(rill_adopt_datagram_socket(h.loop, fds[0], NULL, &dend_protocol, &a, &t[0]), 0);
    assert_code(rill_adopt_datagram_socket(h.loop, fds[1], NULL, &dend_protocol, &b, &t[1]), 0);
    harness_until(&h, dend_is_made, &b);
    assert_true(dend_stats(&a).connected);
    assert_code(dend_send(&a, "nameless", NULL), 1);
    dend_await(&b, 1);
    dend_expect(&b, 0, "nameless");
    assert_code(dend_send(&b, "back", NULL), 1);
    dend_await(&a, 1);
    assert_code(
        rill_adopt_datagram_socket(h.loop, fds[0], NULL, &dend_protocol, &c, NULL), -EEXIST);
}

static void
test_a_socket_of_another_type_is_not_adopted(void **unused)
{
    int fds[2];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_code(
        rill_adopt_datagram_socket(h.loop, fds[0], NULL, &dend_protocol, &c, NULL), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "no datagram socket");
    assert_code(rill_adopt_datagram_socket(h.loop, fd, &RILL_DATAGRAM_OPTIONS(.reuse_port = true),
                    &dend_protocol, &c, NULL),
        RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "reuse_port cannot be asked for");
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(fd);
}

/* Nobody asked for them: they must not become ours. */
static void
test_descriptors_that_come_along_are_not_taken(void **unused)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control = { .bytes = { 0 } };
    char text[] = "with gifts";
    struct iovec part = { text, 10 };
    struct msghdr header = { .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *gifts = CMSG_FIRSTHDR(&header);
    int four[4] = { 0, 0, 0, 0 };
    int fds[2];
    size_t before;

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    a.h = &h;
    assert_code(rill_adopt_datagram_socket(h.loop, fds[0], NULL, &dend_protocol, &a, NULL), 0);
    harness_until(&h, dend_is_made, &a);
    gifts->cmsg_level = SOL_SOCKET;
    gifts->cmsg_type = SCM_RIGHTS;
    gifts->cmsg_len = CMSG_LEN(sizeof(four));
    memcpy(CMSG_DATA(gifts), four, sizeof(four));
    before = descriptor_count();
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(sendmsg(fds[1], &header, 0), 10);
    dend_await(&a, 8);
    dend_expect(&a, 7, "with gifts");
    assert_int_equal(descriptor_count(), before);
    (void)close(fds[1]);
}

static void
test_an_adopted_socket_keeps_its_port(void **unused)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    (void)unused;
    a.h = &h;
    assert_code(rill_adopt_datagram_socket(h.loop, fd, NULL, &dend_protocol, &a, NULL), 0);
    harness_until(&h, dend_is_made, &a);
    dend_open4(&b, &h);
    assert_code(dend_send(&a, "adopted", &b.addr), 1);
    dend_await(&b, 1);
    assert_int_equal(rill_transport_fd(a.t), fd);
}

static void
test_a_socket_that_is_not_adopted_is_not_changed(void **unused)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int flags, value = -1;
    socklen_t len = sizeof(value);

    (void)unused;
    a.h = &h;
    assert_code(rill_adopt_datagram_socket(h.loop, fd, NULL, &dend_protocol, &a, NULL), 0);
    harness_until(&h, dend_is_made, &a);
    flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
    assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
    assert_code(rill_adopt_datagram_socket(
                    h.loop, fd, &RILL_DATAGRAM_OPTIONS(.details = true), &dend_protocol, &c, NULL),
        -EEXIST);
    assert_int_equal(fcntl(fd, F_GETFL), flags & ~O_NONBLOCK);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_PKTINFO, &value, &len), 0);
    assert_int_equal(value, 0);
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_an_echo_over_paths),
        CASE(test_an_abstract_name_works_too),
        CASE(test_a_sender_without_a_name_is_told_as_such),
        CASE(test_a_socket_that_was_left_behind_is_removed_and_a_live_one_is_not),
        CASE_ON("kernel", test_its_own_file_goes_with_the_endpoint),
        CASE_ON("kernel", test_a_path_that_is_no_socket_is_left_alone),
        CASE_ON("kernel", test_a_path_below_a_file_is_refused_as_such),
        CASE(test_a_path_that_is_not_there_is_told_when_connecting),
        CASE(test_a_receiver_that_has_gone_is_an_error_that_is_survived),
        CASE(test_options_of_ip_are_not_supported),
        CASE_ON("kernel", test_a_connected_pair_without_names_can_send),
        CASE_ON("kernel", test_a_socket_of_another_type_is_not_adopted),
        CASE_ON("kernel", test_descriptors_that_come_along_are_not_taken),
        CASE_ON("kernel", test_an_adopted_socket_keeps_its_port),
        CASE_ON("kernel", test_a_socket_that_is_not_adopted_is_not_changed),
    };

    return run_cases(tests);
}
