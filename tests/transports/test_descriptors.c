/*
 * Descriptors that travel with the bytes of a Unix stream.
 */
#include "endpoint.h"
#include "pairs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL ((size_t)8 << 20)

static harness h;
static acceptor accepted;
static endpoint client;
static pairs served;
static int files[8];
static uint8_t kept[1 << 16];

/* A file that can be told from others by its size. */
static int
make_file(int number)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, number + 1), 0);
    return fd;
}

static int
number_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (int)st.st_size - 1;
}

static int
setup(void **unused)
{
    (void)unused;
    for (int i = 0; i < 8; i++)
        files[i] = make_file(i);
    served.server = NULL;
    acceptor_init(&accepted, &h);
    endpoint_init(&client, &h);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (client.t != NULL)
        rill_transport_abort(client.t);
    if (accepted.ends[0].t != NULL)
        rill_transport_abort(accepted.ends[0].t);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_until(&h, pointer_is_null, &served.server);
    harness_close(&h);
    for (int i = 0; i < 8; i++)
        (void)close(files[i]);
    return 0;
}

/* The client sends, the server's end receives with room for `max`. */
static endpoint *
connect_unix(size_t max)
{
    served = (pairs){ .h = &h };
    assert_code(
        make_listening_pair(h.loop, &RILL_SERVER_OPTIONS(.path = scratch_path("descriptors")),
            &RILL_TRANSPORT_OPTIONS(.descriptors = max, .write_high = FULL), &endpoint_protocol,
            &client, &acceptor_protocol, &accepted, &served),
        0);
    harness_until(&h, endpoint_is_made, &client);
    acceptor_await(&accepted, 1);
    rill_server_close(served.server);
    endpoint_keep(&accepted.ends[0], kept, sizeof(kept));
    return &accepted.ends[0];
}

static void
pass(const char *text, int first, size_t count)
{
    assert_code(
        rill_transport_write_descriptors(client.t, text, strlen(text), &files[first], count), 1);
}

static void
expect_next(endpoint *e, int number)
{
    int fd = rill_transport_take_descriptor(e->t);

    assert_true(fd >= 0);
    assert_int_equal(number_of(fd), number);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
}

static void
expect_none(endpoint *e)
{
    assert_code(rill_transport_take_descriptor(e->t), -EAGAIN);
}

static void
test_one_arrives_with_its_bytes(void **unused)
{
    endpoint *server = connect_unix(4);

    (void)unused;
    expect_none(server);
    pass("hello", 3, 1);
    endpoint_await(server, 5);
    expect_next(server, 3);
    expect_none(server);
    assert_memory_equal(kept, "hello", 5);
}

static int number_in_callback;

static void
take_in_callback(endpoint *e, rill_slice in)
{
    int fd = rill_transport_take_descriptor(e->t);

    (void)in;
    number_in_callback = fd >= 0 ? number_of(fd) : fd;
    if (fd >= 0)
        (void)close(fd);
}

static void
test_it_is_there_when_its_byte_is_delivered(void **unused)
{
    endpoint *server = connect_unix(4);

    (void)unused;
    number_in_callback = -1;
    server->on_data = take_in_callback;
    pass("x", 5, 1);
    endpoint_await(server, 1);
    assert_int_equal(number_in_callback, 5);
}

static void
test_several_keep_their_order(void **unused)
{
    endpoint *server = connect_unix(8);

    (void)unused;
    pass("ab", 0, 3);
    pass("c", 3, 1);
    assert_code(rill_transport_write(client.t, "plain", 5), 1);
    pass("def", 4, 4);
    endpoint_await(server, 11);
    for (int i = 0; i < 8; i++)
        expect_next(server, i);
    expect_none(server);
    assert_memory_equal(kept, "abcplaindef", 11);
}

static void
send_mixed(void *unused)
{
    (void)unused;
    assert_code(rill_transport_write(client.t, "12", 2), 1);
    pass("34", 1, 1);
    assert_code(rill_transport_write(client.t, "56", 2), 1);
    harness_poke(&h);
}

/* In a callback small writes are gathered: those before it leave first. */
static void
test_writes_around_it_keep_their_order(void **unused)
{
    endpoint *server = connect_unix(4);

    (void)unused;
    assert_code(rill_call_soon(h.loop, send_mixed, NULL, NULL), 0);
    endpoint_await(server, 6);
    assert_memory_equal(kept, "123456", 6);
    expect_next(server, 1);
}

static void
test_it_waits_its_turn_in_a_full_queue(void **unused)
{
    endpoint *server = connect_unix(4);
    uint64_t before = 0;

    (void)unused;
    rill_transport_pause_reading(server->t);
    while (rill_transport_write_buffer_size(client.t) == 0) {
        assert_true(endpoint_send_stream(&client, before, 4096) >= 0);
        before += 4096;
    }
    assert_true(endpoint_send_stream(&client, before, 100000) >= 0);
    before += 100000;
    assert_true(rill_transport_write_descriptors(client.t, "x", 1, &files[2], 2) >= 0);
    (void)close(files[2]); /* What travels is a duplicate. */
    files[2] = make_file(2);
    assert_true(rill_transport_write(client.t, "behind", 6) >= 0);
    assert_true(rill_transport_write_descriptors(client.t, "y", 1, &files[4], 1) >= 0);
    rill_transport_resume_reading(server->t);
    endpoint_await(server, before + 8);
    expect_next(server, 2);
    expect_next(server, 3);
    expect_next(server, 4);
    expect_none(server);
    assert_int_equal(rill_transport_write_buffer_size(client.t), 0);
}

/* Its bytes do not fit at once: they travel with the first, and once only. */
static void
test_many_bytes_bring_them_once(void **unused)
{
    endpoint *server = connect_unix(4);
    uint8_t *bytes = malloc(FULL);

    (void)unused;
    memset(bytes, 'x', FULL);
    assert_true(rill_transport_write_descriptors(client.t, bytes, FULL, &files[6], 1) >= 0);
    assert_true(rill_transport_write_descriptors(client.t, bytes, FULL, &files[7], 1) >= 0);
    free(bytes);
    endpoint_await(server, 2 * FULL);
    expect_next(server, 6);
    expect_next(server, 7);
    expect_none(server);
}

static void
test_what_nobody_takes_is_closed_with_the_connection(void **unused)
{
    size_t before = descriptor_count();
    endpoint *server = connect_unix(8);

    (void)unused;
    pass("ab", 0, 4);
    endpoint_await(server, 2);
    rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    assert_int_equal(descriptor_count(), before);
}

static void
test_what_is_queued_when_the_connection_ends_is_closed(void **unused)
{
    size_t before = descriptor_count();
    endpoint *server = connect_unix(8);

    (void)unused;
    rill_transport_pause_reading(server->t);
    while (rill_transport_write_buffer_size(client.t) == 0)
        assert_true(endpoint_send_stream(&client, 0, 4096) >= 0);
    assert_true(rill_transport_write_descriptors(client.t, "x", 1, files, 8) >= 0);
    rill_transport_abort(client.t);
    rill_transport_abort(server->t);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    assert_int_equal(descriptor_count(), before);
}

static void
test_more_than_may_wait_end_the_connection(void **unused)
{
    size_t before = descriptor_count();
    endpoint *server = connect_unix(3);

    (void)unused;
    pass("a", 0, 3);
    endpoint_await(server, 1);
    pass("b", 3, 1);
    harness_until(&h, endpoint_is_lost, server);
    assert_code(server->why.code, RILL_ELIMIT);
    assert_contains(server->sentence, "descriptors");
    rill_transport_abort(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    harness_settle(&h);
    assert_int_equal(descriptor_count(), before);
}

static void
test_more_at_once_than_may_wait_end_the_connection(void **unused)
{
    endpoint *server = connect_unix(2);

    (void)unused;
    pass("a", 0, 8);
    harness_until(&h, endpoint_is_lost, server);
    assert_code(server->why.code, RILL_ELIMIT);
    rill_transport_abort(client.t);
    harness_until(&h, endpoint_is_lost, &client);
}

/* Credentials that somebody has asked for take none of their room. */
static void
test_credentials_are_no_descriptors(void **unused)
{
    endpoint *server = connect_unix(1);
    int on = 1;

    (void)unused;
    assert_int_equal(
        setsockopt(rill_transport_fd(server->t), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    assert_code(rill_transport_write(client.t, "x", 1), 1);
    pass("y", 2, 1);
    endpoint_await(server, 2);
    expect_next(server, 2);
}

static bool
is_lost_or_has_one(void *server)
{
    endpoint *e = server;

    return e->lost || e->received > 0;
}

/* Our own limit, not the peer's fault. */
static void
test_without_room_for_a_descriptor_the_connection_is_lost(void **unused)
{
    endpoint *server = connect_unix(4);
    struct rlimit before, none;
    int low;

    (void)unused;
    rill_transport_pause_reading(server->t);
    pass("x", 0, 1);
    harness_settle(&h); /* The listener is gone: no number becomes free later. */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = dup(0);
    assert_true(low >= 0);
    (void)close(low);
    none = before;
    none.rlim_cur = (rlim_t)low;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rill_transport_resume_reading(server->t);
    harness_until(&h, is_lost_or_has_one, server);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (server->lost)
        assert_code(server->why.code, -EMFILE);
    else /* Valgrind keeps the limit to itself: the kernel gives out numbers. */
        expect_next(server, 0);
    rill_transport_abort(client.t);
    harness_until(&h, endpoint_is_lost, &client);
}

static void
test_as_many_as_the_kernel_allows(void **unused)
{
    endpoint *server = connect_unix(300);
    int same[253];

    (void)unused;
    for (int i = 0; i < 253; i++)
        same[i] = files[i % 8];
    assert_code(rill_transport_write_descriptors(client.t, "x", 1, same, 253), 1);
    endpoint_await(server, 1);
    for (int i = 0; i < 253; i++)
        expect_next(server, i % 8);
}

/* Who did not ask for them gets the bytes, and the kernel closes the rest. */
static void
test_without_the_option_none_arrive(void **unused)
{
    size_t before;
    endpoint *server = connect_unix(0);

    (void)unused;
    harness_settle(&h); /* The listener is gone. */
    before = descriptor_count();
    pass("x", 0, 4);
    endpoint_await(server, 1);
    harness_settle(&h);
    assert_int_equal(descriptor_count(), before);
    assert_code(rill_transport_take_descriptor(server->t), RILL_ENOTSUP);
}

static void
test_a_socket_travels(void **unused)
{
    endpoint *server = connect_unix(2);
    char buf[4];
    int ends[2];
    int fd;

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_code(rill_transport_write_descriptors(client.t, "x", 1, &ends[1], 1), 1);
    (void)close(ends[1]);
    endpoint_await(server, 1);
    fd = rill_transport_take_descriptor(server->t);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hey", 3), 3);
    assert_int_equal(read(ends[0], buf, 4), 3);
    (void)close(fd);
    (void)close(ends[0]);
}

static void
test_a_closed_descriptor_is_refused_and_nothing_is_sent(void **unused)
{
    endpoint *server = connect_unix(2);
    int fds[2] = { files[0], 9999 };

    (void)unused;
    assert_code(rill_transport_write_descriptors(client.t, "x", 1, fds, 2), -EBADF);
    expect_last_error(&h, -EBADF, "write_descriptors");
    assert_code(rill_transport_write(client.t, "y", 1), 1);
    endpoint_await(server, 1);
    assert_memory_equal(kept, "y", 1);
    expect_none(server);
}

static void
test_a_tcp_connection_passes_none(void **unused)
{
    (void)unused;
    tcp_pair(&h, &RILL_TRANSPORT_OPTIONS(.descriptors = 4), &accepted, &client);
    assert_code(rill_transport_write_descriptors(client.t, "x", 1, files, 1), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "tcp");
    assert_code(rill_transport_take_descriptor(client.t), RILL_ENOTSUP);
}

static void
test_it_is_refused_after_close(void **unused)
{
    endpoint *server = connect_unix(2);

    (void)unused;
    rill_transport_close(client.t);
    assert_code(rill_transport_write_descriptors(client.t, "x", 1, files, 1), RILL_ECLOSED);
    harness_until(&h, endpoint_is_lost, server);
}

static void
test_a_peer_that_is_gone_is_told_by_the_loss(void **unused)
{
    size_t before = descriptor_count();
    endpoint *server = connect_unix(2);

    (void)unused;
    client.keep_open = true;
    rill_transport_abort(server->t);
    harness_until(&h, endpoint_is_lost, server);
    if (client.t != NULL && !client.lost)
        (void)rill_transport_write_descriptors(client.t, "x", 1, files, 1);
    harness_until(&h, endpoint_is_lost, &client);
    assert_int_equal(descriptor_count(), before);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_one_arrives_with_its_bytes),
        CASE(test_it_is_there_when_its_byte_is_delivered),
        CASE(test_several_keep_their_order),
        CASE(test_writes_around_it_keep_their_order),
        CASE(test_it_waits_its_turn_in_a_full_queue),
        CASE(test_many_bytes_bring_them_once),
        CASE(test_what_nobody_takes_is_closed_with_the_connection),
        CASE(test_what_is_queued_when_the_connection_ends_is_closed),
        CASE(test_more_than_may_wait_end_the_connection),
        CASE(test_more_at_once_than_may_wait_end_the_connection),
        CASE_ON("kernel", test_credentials_are_no_descriptors),
        CASE_ON("kernel", test_without_room_for_a_descriptor_the_connection_is_lost),
        CASE(test_as_many_as_the_kernel_allows),
        CASE(test_without_the_option_none_arrive),
        CASE(test_a_socket_travels),
        CASE(test_a_closed_descriptor_is_refused_and_nothing_is_sent),
        CASE(test_a_tcp_connection_passes_none),
        CASE(test_it_is_refused_after_close),
        CASE(test_a_peer_that_is_gone_is_told_by_the_loss),
    };

    return run_cases(tests);
}
