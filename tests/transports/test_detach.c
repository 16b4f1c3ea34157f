/*
 * A connection that is taken out of one loop and goes on in another one, in the same thread and in
 * another: no byte is lost or doubled whenever it happens, and who is not quiescent stays.
 */
/* drivers: epoll uring */
#include "endpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 200

static harness h;

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
    harness_close(&h);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A connected endpoint on the harness's loop, and the other end as a plain socket. */
static int
open_pair(endpoint *e)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    endpoint_init(e, &h);
    assert_code(
        rill_connect_accepted_socket(h.loop, ends[0], NULL, &endpoint_protocol, e, NULL), 0);
    harness_until(&h, endpoint_is_made, e);
    return ends[1];
}

static uint8_t
byte_at(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

/* ---- between two loops of one thread, in the middle of a stream ---- */

static struct {
    uint64_t sent, got;
} stream;

static void
send_some(int fd, size_t len)
{
    uint8_t bytes[3000];

    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(stream.sent + i);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    stream.sent += len;
}

static void
check_bytes(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], byte_at(stream.got + i));
    stream.got += len;
}

static void
check_data(endpoint *e, rill_slice in)
{
    (void)e;
    check_bytes(in.data, in.len);
}

static void
adopt(endpoint *e, harness *where, int fd)
{
    endpoint_init(e, where);
    e->on_data = check_data;
    assert_code(
        rill_connect_accepted_socket(where->loop, fd, NULL, &endpoint_protocol, e, NULL), 0);
    harness_until(where, endpoint_is_made, e);
}

static int
detach_all(endpoint *e)
{
    uint8_t unread[65536];
    size_t len = 0;
    int fd = rill_transport_detach(e->t, unread, sizeof(unread), &len);

    assert_true(fd >= 0);
    check_bytes(unread, len);
    harness_until(e->h, endpoint_is_lost, e);
    assert_code(e->why.code, RILL_EDETACHED);
    return fd;
}

static bool
all_got(void *unused)
{
    (void)unused;
    return stream.got == stream.sent;
}

static void
test_to_and_fro_between_two_loops(void **unused)
{
    static harness other;
    harness *loops[2] = { &h, &other };
    static endpoint e;
    int peer;
    int ends[2];

    (void)unused;
    memset(&stream, 0, sizeof(stream));
    harness_open(&other);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer = ends[1];
    for (size_t i = 0; i < ROUNDS; i++) {
        harness *where = loops[i % 2];

        adopt(&e, where, ends[0]);
        send_some(peer, 1 + i * 13 % 3000);
        if (i % 3 != 0) /* The loop, or its driver, may have received some of it already. */
            assert_true(rill_loop_step(where->loop, i % 3 == 1 ? 0 : 1) >= 0);
        if (i % 4 == 0)
            rill_transport_pause_reading(e.t);
        send_some(peer, 1 + i * 17 % 3000);
        if (i % 5 == 0)
            assert_true(rill_loop_step(where->loop, 0) >= 0);
        ends[0] = detach_all(&e);
    }
    adopt(&e, &h, ends[0]);
    harness_until(&h, all_got, NULL);
    assert_true(stream.sent > ROUNDS);
    (void)close(peer);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(
        e.tape + strlen(e.tape) - strlen(" eof lost(RILL_EOF)"), " eof lost(RILL_EOF)");
    harness_close(&other);
}

/* ---- to another thread ---- */

static struct {
    rill_loop *loop;
    int fd;
    size_t made, lost;
} elsewhere;

static void
echo(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len);
}

static void
there_made(rill_transport *t, void *self, void *arg)
{
    (void)t;
    (void)self;
    (void)arg;
    elsewhere.made++;
}

static void
there_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)self;
    (void)why;
    elsewhere.lost++;
    rill_loop_stop(elsewhere.loop);
}

static const rill_protocol there_protocol = RILL_PROTOCOL(.connection_made = there_made,
    .data_received = echo, .connection_lost = there_lost);

static void
take_over(void *unused)
{
    (void)unused;
    if (rill_connect_accepted_socket(
            elsewhere.loop, elsewhere.fd, NULL, &there_protocol, NULL, NULL) < 0)
        abort();
}

static void *
run_there(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)rill_loop_run(elsewhere.loop);
}

static void
test_to_another_thread(void **unused)
{
    endpoint e;
    int peer = open_pair(&e);
    pthread_t thread;
    char answer[6] = "";
    void *rc;
    size_t len;

    (void)unused;
    memset(&elsewhere, 0, sizeof(elsewhere));
    e.echo = true;
    assert_int_equal(send(peer, "here", 4, MSG_NOSIGNAL), 4);
    endpoint_await(&e, 4);
    assert_int_equal(read(peer, answer, 4), 4);
    elsewhere.fd = rill_transport_detach(e.t, NULL, 0, &len);
    assert_true(elsewhere.fd >= 0);
    assert_int_equal(len, 0);

    assert_code(rill_loop_new(NULL, &elsewhere.loop), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_there, NULL), 0);
    assert_code(rill_call_soon_threadsafe(elsewhere.loop, take_over, NULL), 0);
    assert_int_equal(send(peer, "there", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(recv(peer, answer, 5, MSG_WAITALL), 5);
    assert_memory_equal(answer, "there", 5);
    (void)close(peer);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(elsewhere.made, 1);
    assert_int_equal(elsewhere.lost, 1);
    assert_int_equal(rill_loop_free(elsewhere.loop), 0);
    harness_until(&h, endpoint_is_lost, &e);
}

static void *
run_for_a_while(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)rill_loop_run_until(h.loop, rill_loop_time(h.loop) + 20 * RILL_MS);
}

/* The loop's driver is still bound to the thread that ran it last. */
static void
test_after_another_thread_ran_the_loop(void **unused)
{
    endpoint e;
    int peer = open_pair(&e);
    pthread_t thread;
    char word[6] = "";
    void *rc;
    size_t len;
    int fd;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, run_for_a_while, NULL), 0);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_code((int)(intptr_t)rc, RILL_ETIMEDOUT);
    fd = rill_transport_detach(e.t, NULL, 0, &len);
    assert_true(fd >= 0);
    assert_int_equal(send(peer, "hello", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(recv(fd, word, 5, 0), 5);
    harness_until(&h, endpoint_is_lost, &e);
    assert_code(e.why.code, RILL_EDETACHED);
    (void)close(fd);
    (void)close(peer);
}

/* ---- who cannot leave ---- */

static void
test_with_bytes_queued(void **unused)
{
    static uint8_t much[1024 * 1024];
    endpoint e;
    int peer = open_pair(&e);
    size_t got = 0;
    size_t len;
    int fd;

    (void)unused;
    assert_code(rill_transport_write(e.t, much, sizeof(much)), 0);
    assert_true(e.paused);
    assert_code(rill_transport_detach(e.t, NULL, 0, &len), RILL_EBUSY);
    while (got < sizeof(much)) {
        ssize_t part = recv(peer, much, sizeof(much), MSG_DONTWAIT);

        if (part > 0)
            got += (size_t)part;
        assert_true(rill_loop_step(h.loop, 0) >= 0);
    }
    harness_until(&h, endpoint_is_not_paused, &e);
    fd = rill_transport_detach(e.t, NULL, 0, &len);
    assert_true(fd >= 0);
    harness_until(&h, endpoint_is_lost, &e);
    (void)close(fd);
    (void)close(peer);
}

static void
leave_inside(endpoint *e, rill_slice in)
{
    size_t len;

    (void)in;
    assert_code(rill_transport_write(e->t, "last", 4), 1);
    *(int *)e->user = rill_transport_detach(e->t, NULL, 0, &len);
    assert_code(rill_transport_detach(e->t, NULL, 0, &len), RILL_ECLOSED);
    assert_code(rill_transport_write(e->t, "late", 4), RILL_ECLOSED);
}

/* Inside its own callback: what was written before has left, nothing else does. */
static void
test_inside_a_callback(void **unused)
{
    endpoint e;
    int peer = open_pair(&e);
    char answer[10];
    int fd = -1;

    (void)unused;
    e.on_data = leave_inside;
    e.user = &fd;
    assert_int_equal(send(peer, "x", 1, MSG_NOSIGNAL), 1);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(1) lost(RILL_EDETACHED)");
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(recv(peer, answer, sizeof(answer), MSG_WAITALL), 4);
    (void)close(peer);
}

static void
test_too_many_bytes_for_the_buffer(void **unused)
{
    endpoint e;
    int peer = open_pair(&e);
    uint8_t unread[64];
    char rest[64];
    size_t len = 0;
    int fd;

    (void)unused;
    assert_int_equal(send(peer, "x", 1, MSG_NOSIGNAL), 1);
    endpoint_await(&e, 1);
    rill_transport_pause_reading(e.t);
    assert_int_equal(send(peer, "0123456789", 10, MSG_NOSIGNAL), 10);
    for (int i = 0; i < 5; i++)
        assert_true(rill_loop_step(h.loop, 0) >= 0);
    fd = rill_transport_detach(e.t, unread, 3, &len);
    if (strcmp(rill_loop_driver(h.loop), "uring") == 0) { /* It had asked for it already. */
        assert_code(fd, RILL_ELIMIT);
        assert_int_equal(len, 0);
        fd = rill_transport_detach(e.t, unread, sizeof(unread), &len);
        assert_int_equal(len, 10);
    }
    assert_true(fd >= 0);
    assert_memory_equal(unread, "0123456789", len);
    if (len < 10)
        assert_int_equal(recv(fd, rest, sizeof(rest), 0), 10 - len);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(1) lost(RILL_EDETACHED)");
    (void)close(fd);
    (void)close(peer);
}

static void
test_others(void **unused)
{
    endpoint a, b;
    endpoint e;
    int peer = open_pair(&e);
    size_t len;

    (void)unused;
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_made, &b);
    assert_code(rill_transport_detach(a.t, NULL, 0, &len), RILL_ENOTSUP);
    assert_code(rill_transport_detach(e.t, NULL, 0, NULL), RILL_EINVAL);
    assert_code(rill_transport_detach(e.t, NULL, 5, &len), RILL_EINVAL);
    assert_code(rill_transport_detach(NULL, NULL, 0, &len), RILL_EINVAL);
    rill_transport_close(e.t);
    assert_code(rill_transport_detach(e.t, NULL, 0, &len), RILL_ECLOSED);
    harness_until(&h, endpoint_is_lost, &e);
    rill_transport_close(a.t);
    harness_until(&h, endpoint_is_lost, &b);
    (void)close(peer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_to_and_fro_between_two_loops),
        CASE(test_to_another_thread),
        CASE(test_after_another_thread_ran_the_loop),
        CASE(test_with_bytes_queued),
        CASE(test_inside_a_callback),
        CASE(test_too_many_bytes_for_the_buffer),
        CASE(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
