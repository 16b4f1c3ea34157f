/* timeout: 120 */
/*
 * Plain sockets for tasks: asyncio's sock_* family.
 */
#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK       ((size_t)1 << 20)
#define HUGE_BYTES ((size_t)64 << 20) /* Beyond what the kernel keeps for a connection. */

static harness h;
static int listener = -1, a = -1, b = -1;
static rill_addr address;
static unsigned char *bulk;

static int
setup(void **unused)
{
    (void)unused;
    listener = a = b = -1;
    bulk = malloc(BULK);
    for (size_t i = 0; i < BULK; i++)
        bulk[i] = (unsigned char)(i * 7 + i / 251);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (a >= 0)
        (void)rill_sock_close(h.loop, a);
    if (b >= 0)
        (void)rill_sock_close(h.loop, b);
    if (listener >= 0)
        (void)rill_sock_close(h.loop, listener);
    harness_close(&h);
    free(bulk);
    return 0;
}

static void
listen_here(int backlog)
{
    assert_code(rill_addr_parse("127.0.0.1", 0, &address), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &listener), 0);
    assert_code(rill_sock_bind(h.loop, listener, &address), 0);
    if (backlog > 0)
        assert_code(rill_sock_listen(h.loop, listener, backlog), 0);
    assert_code(rill_sock_name(h.loop, listener, &address), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &a), 0);
}

/* In a task: `a` connected to `b`. */
static void
connect_both(void)
{
    listen_here(8);
    assert_code(rill_sock_connect(a, &address), 0);
    assert_code(rill_sock_accept(listener, &b, NULL), 0);
}

static rill_task *
start(rill_fn fn, void *arg)
{
    rill_task *task;

    assert_code(rill_spawn(fn, arg, NULL, &task), 0);
    return task;
}

/* Until whoever was started waits. */
static void
let_others_wait(void)
{
    for (int i = 0; i < 3; i++)
        assert_code(rill_yield(), 0);
}

/* ---- connecting and accepting ---- */

static int
connect_and_accept(void *unused)
{
    rill_addr peer, name;

    (void)unused;
    listen_here(8);
    assert_code(rill_sock_connect(a, &address), 0);
    assert_code(rill_sock_accept(listener, &b, &peer), 0);
    assert_code(rill_sock_name(h.loop, a, &name), 0);
    assert_true(rill_addr_equal(&peer, &name));
    assert_code(rill_sock_peer(h.loop, a, &name), 0);
    assert_true(rill_addr_equal(&address, &name));
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_accept
 * - *ret_peer = peer; */
static void
test_connect_and_accept_tell_who_is_who(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, connect_and_accept, NULL), 0);
}

static int
accept_one(void *unused)
{
    (void)unused;
    return rill_sock_accept(listener, &b, NULL);
}

static int
accept_waits(void *unused)
{
    rill_task *task;

    (void)unused;
    listen_here(8);
    task = start(accept_one, NULL);
    let_others_wait();
    assert_int_equal(b, -1);
    assert_code(rill_sock_connect(a, &address), 0);
    assert_code(rill_join(task), 0);
    assert_true(b >= 0);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_accept
 * - rc = wait_for(fiber, fd, RILL__WATCH_READ, call);
 * + rc = -EAGAIN; */
static void
test_accept_waits_for_a_connection(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, accept_waits, NULL), 0);
}

static int
connect_to_nobody(void *unused)
{
    (void)unused;
    listen_here(8);
    assert_code(rill_sock_close(h.loop, listener), 0);
    listener = -1;
    assert_code(rill_sock_connect(a, &address), -ECONNREFUSED);
    expect_last_error(&h, -ECONNREFUSED, "127.0.0.1");
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_connect
 * - rc = fiber->loop->sys->plain->connected(fiber->loop->driver, fd);
 * + rc = 0; */
static void
test_connect_without_a_listener_is_refused(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, connect_to_nobody, NULL), 0);
}

/* ---- bytes ---- */

static int
receive_bulk(void *arg)
{
    size_t got = 0;
    unsigned char *into = arg;

    while (got < BULK) {
        int64_t n = rill_sock_recv(b, into + got, BULK - got);

        if (n <= 0)
            return n == 0 ? -EPIPE : (int)n;
        got += (size_t)n;
    }
    return 0;
}

static int
send_bulk(void *unused)
{
    unsigned char *copy = malloc(BULK);
    rill_task *task;
    size_t sent = 0;

    (void)unused;
    connect_both();
    task = start(receive_bulk, copy);
    assert_code(rill_sock_sendall(a, bulk, BULK, &sent), 0);
    assert_int_equal(sent, BULK);
    assert_code(rill_join(task), 0);
    assert_memory_equal(copy, bulk, BULK);
    free(copy);
    return 0;
}

/* mutant: tasks/sock.c @ send_all
 * - } while (*sent < len);
 * + } while (false); */
static void
test_a_megabyte_arrives_in_order(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, send_bulk, NULL), 0);
}

static int
end_of_stream(void *unused)
{
    char buf[8];

    (void)unused;
    connect_both();
    assert_code(rill_sock_sendall(a, "bye", 3, NULL), 0);
    assert_code(rill_sock_shutdown_write(h.loop, a), 0);
    assert_int_equal(rill_sock_recv(b, buf, 8), 3);
    assert_int_equal(rill_sock_recv(b, buf, 8), 0);
    assert_int_equal(rill_sock_recv(b, buf, 8), 0);
    return 0;
}

/* mutant: tasks/sock.c @ receive
 * - if (got != -EAGAIN) {
 * + if (got > 0 || (got < 0 && got != -EAGAIN)) { */
static void
test_the_end_of_a_stream_is_no_bytes(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, end_of_stream, NULL), 0);
}

static int
receive_from(void *unused)
{
    char buf[8];
    rill_addr from;

    (void)unused;
    connect_both();
    assert_code(rill_sock_sendall(a, "x", 1, NULL), 0);
    from = address;
    assert_int_equal(rill_sock_recvfrom(b, buf, sizeof(buf), &from), 1);
    assert_int_equal(rill_addr_family(&from), RILL_FAMILY_ANY);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_recvfrom
 * - *ret_from = from; */
static void
test_a_stream_tells_no_sender(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, receive_from, NULL), 0);
}

static int
datagrams(void *unused)
{
    char buf[4];
    rill_addr first, second, from;

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 0, &first), 0);
    second = first;
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_DATAGRAM, &a), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_DATAGRAM, &b), 0);
    assert_code(rill_sock_bind(h.loop, a, &first), 0);
    assert_code(rill_sock_bind(h.loop, b, &second), 0);
    assert_code(rill_sock_name(h.loop, a, &first), 0);
    assert_code(rill_sock_name(h.loop, b, &second), 0);
    assert_int_equal(rill_sock_sendto(a, "hello", 5, &second), 5);
    assert_int_equal(rill_sock_recvfrom(b, buf, 4, &from), 4); /* The rest is lost. */
    assert_memory_equal(buf, "hell", 4);
    assert_true(rill_addr_equal(&from, &first));
    assert_int_equal(rill_sock_sendto(a, NULL, 0, &second), 0);
    assert_int_equal(rill_sock_recvfrom(b, buf, 4, &from), 0);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_recvfrom
 * - got = receive(fd, buf, len, &from, "rill_sock_recvfrom");
 * + got = receive(fd, buf, len, NULL, "rill_sock_recvfrom"); */
static void
test_a_datagram_tells_its_sender(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, datagrams, NULL), 0);
}

/* ---- cancels ---- */

static char received[16];

static int
receive_some(void *unused)
{
    int64_t got = rill_sock_recv(b, received, sizeof(received) - 1);

    (void)unused;
    if (got >= 0)
        received[got] = '\0';
    return got < 0 ? (int)got : 0;
}

static int
cancel_a_receive(void *unused)
{
    rill_task *first, *second;

    (void)unused;
    connect_both();
    first = start(receive_some, NULL);
    let_others_wait();
    assert_true(rill_task_cancel(first, NULL));
    assert_code(rill_join(first), RILL_EREVOKED);
    second = start(receive_some, NULL);
    assert_code(rill_sock_sendall(a, "data", 4, NULL), 0);
    assert_code(rill_join(second), 0);
    assert_string_equal(received, "data");
    return 0;
}

/* The second one would find the first one still there.
 *
 * mutant: tasks/sock.c @ cancel_wait
 * - rill__watch_end(wait->fiber->loop, self->fd, self->side);
 * + (void)self; */
static void
test_a_receive_after_a_canceled_one_gets_the_bytes(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_a_receive, NULL), 0);
}

static size_t taken;

static int
send_once(void *unused)
{
    unsigned char *huge = calloc(1, HUGE_BYTES);
    int rc = rill_sock_sendall(a, huge, HUGE_BYTES, &taken);

    (void)unused;
    free(huge);
    return rc;
}

static int
send_next(void *unused)
{
    int rc = rill_sock_sendall(a, "next", 4, NULL);

    (void)unused;
    assert_code(rill_sock_shutdown_write(h.loop, a), 0);
    return rc;
}

static int
cancel_a_send(void *unused)
{
    rill_task *task;
    size_t all = 0;
    int64_t got;

    (void)unused;
    connect_both();
    task = start(send_once, NULL);
    assert_code(rill_sleep(20 * RILL_MS), 0);
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_true(taken > 0 && taken < HUGE_BYTES);
    task = start(send_next, NULL);
    while ((got = rill_sock_recv(b, bulk, BULK)) > 0)
        all += (size_t)got;
    assert_code((int)got, 0);
    assert_code(rill_join(task), 0);
    assert_int_equal(all, taken + 4);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_sendall
 * - *ret_sent = sent;
 * + *ret_sent = len; */
static void
test_a_canceled_send_says_what_was_taken_and_another_may_follow(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_a_send, NULL), 0);
}

static int
connect_it(void *unused)
{
    (void)unused;
    return rill_sock_connect(a, &address);
}

static int
cancel_a_connect(void *unused)
{
    rill_task *task;

    (void)unused;
    listen_here(8);
    task = start(connect_it, NULL);
    assert_code(rill_yield(), 0);
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    assert_code(rill_sock_connect(a, &address), 0);
    assert_code(rill_sock_accept(listener, &b, NULL), 0);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_connect
 * - if (rc == -EINPROGRESS) {
 * + if (false) { */
static void
test_connect_can_be_asked_again_after_a_cancel(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_a_connect, NULL), 0);
}

/* ---- what is refused ---- */

static void
never(void *unused)
{
    (void)unused;
    fail();
}

static int
two_at_once(void *unused)
{
    rill_task *task;
    char buf[4];

    (void)unused;
    connect_both();
    task = start(receive_some, NULL);
    let_others_wait();
    assert_int_equal(rill_sock_recv(b, buf, sizeof(buf)), RILL_EBUSY);
    expect_last_error(&h, RILL_EBUSY, "another task");
    assert_code(rill_add_reader(h.loop, b, never, NULL), RILL_EBUSY);
    expect_last_error(&h, RILL_EBUSY, "a task is waiting");
    assert_false(rill_remove_reader(h.loop, b));
    assert_code(rill_sock_close(h.loop, b), RILL_EBUSY);
    expect_last_error(&h, RILL_EBUSY, "a task is waiting");
    assert_code(rill_sock_sendall(b, "other", 5, NULL), 0); /* The other side is free. */
    assert_code(rill_sock_sendall(a, "x", 1, NULL), 0);
    assert_code(rill_join(task), 0);
    return 0;
}

/* mutant: core/watch.c @ set
 * - if (before.exclusive || (wanted.exclusive && before.fn != NULL))
 * + if (false) */
static void
test_a_second_waiter_is_told_so(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, two_at_once, NULL), 0);
}

static int
wrong_descriptors(void *unused)
{
    char buf[4];
    int fds[2];

    (void)unused;
    assert_int_equal(rill_sock_recv(9999, buf, 4), -EBADF);
    assert_int_equal(rill_sock_recv(-1, buf, 4), -EBADF);
    assert_code(rill_sock_accept(9999, fds, NULL), -EBADF);
    listen_here(8);
    assert_int_equal(rill_sock_recv(a, buf, 4), -ENOTCONN);
    expect_last_error(&h, -ENOTCONN, "rill_sock_recv");
    assert_code(rill_sock_accept(a, fds, NULL), -EINVAL);
    return 0;
}

/* mutant: tasks/sock.c @ tell
 * - return refuse(fiber->loop, call, fd, (int)result);
 * + return (int)result; */
static void
test_what_is_no_such_socket_is_refused(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wrong_descriptors, NULL), 0);
}

static int
blocking_socket(void *unused)
{
    int fds[2];
    char byte;

    (void)unused;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(rill_sock_recv(fds[0], &byte, 1), -ENOTSOCK);
    (void)close(fds[0]);
    (void)close(fds[1]);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fds[0] >= 0);
    assert_code(rill_addr_parse("127.0.0.1", 9, &address), 0);
    assert_code(rill_sock_connect(fds[0], &address), -EAGAIN);
    expect_last_error(&h, -EAGAIN, "O_NONBLOCK");
    assert_code(rill_sock_accept(fds[0], &fds[1], NULL), -EAGAIN);
    assert_code(rill_sock_sendfile(fds[0], 0, 0, 0, NULL), -EAGAIN);
    assert_code(rill_sock_try_accept(h.loop, fds[0], &fds[1], NULL), RILL_EINVAL);
    assert_code(rill_sock_try_connect(h.loop, fds[0], &address), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "O_NONBLOCK");
    (void)close(fds[0]);
    return 0;
}

/* mutant: tasks/sock.c @ check
 * - if (rc == -EAGAIN)
 * + if (false) */
static void
test_a_socket_that_blocks_is_refused(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, blocking_socket, NULL), 0);
}

/* no mutant: what it says is rill__may_wait's */
static void
test_outside_of_a_task_it_cannot_wait(void **unused)
{
    char byte;

    (void)unused;
    assert_int_equal(rill_sock_recv(0, &byte, 1), RILL_ENOTASK);
    assert_code(rill_sock_sendall(0, "x", 1, NULL), RILL_ENOTASK);
}

static int
times_out(void *unused)
{
    char byte;
    int rc = 0;

    (void)unused;
    connect_both();
    RILL_TIMEOUT(rc, 10 * RILL_MS)
    rc = (int)rill_sock_recv(b, &byte, 1);
    return rc;
}

/* mutant: tasks/sock.c @ wait_for
 * - sock_wait self = { .wait = { .what = call, .cancel = cancel_wait }, .fd = fd, .side = side };
 * + sock_wait self = { .wait = { .what = call }, .fd = fd, .side = side };
 * + (void)cancel_wait; */
static void
test_a_timeout_ends_the_wait(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, times_out, NULL), RILL_ETIMEDOUT);
}

/* ---- files ---- */

static int
make_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bulk, BULK), BULK);
    return fd;
}

static int
send_file(void *unused)
{
    unsigned char *copy = malloc(BULK);
    rill_task *task;
    uint64_t sent = 0;
    int file = make_file();

    (void)unused;
    connect_both();
    task = start(receive_bulk, copy);
    assert_code(rill_sock_sendfile(a, file, 1000, 0, &sent), 0);
    assert_int_equal(sent, BULK - 1000);
    assert_code(rill_sock_sendfile(a, file, 0, 1000, &sent), 0);
    assert_int_equal(sent, 1000);
    assert_code(rill_join(task), 0);
    assert_memory_equal(copy, bulk + 1000, BULK - 1000);
    assert_memory_equal(copy + BULK - 1000, bulk, 1000);
    assert_int_equal(lseek(file, 0, SEEK_CUR), BULK); /* Its position is nobody's. */
    (void)close(file);
    free(copy);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_sendfile
 * - count = INT64_MAX - offset;
 * + count = 1000; */
static void
test_a_file_is_sent_from_an_offset(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, send_file, NULL), 0);
}

static int
send_no_file(void *unused)
{
    int fds[2];
    uint64_t sent = 7;

    (void)unused;
    connect_both();
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_code(rill_sock_sendfile(a, fds[0], 0, 0, &sent), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "no regular file");
    assert_code(rill_sock_sendfile(a, 9999, 0, 0, &sent), -EBADF);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* mutant: tasks/sock.c @ rill_sock_sendfile
 * - if (size < 0)
 * + if (false) */
static void
test_only_a_regular_file_is_sent(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, send_no_file, NULL), 0);
}

static int
send_whole_file(void *arg)
{
    return rill_sock_sendfile(a, *(int *)arg, 0, 0, NULL);
}

static int
cancel_a_file(void *unused)
{
    int file = make_file();
    rill_task *task;

    (void)unused;
    connect_both();
    assert_int_equal(ftruncate(file, 256 * (off_t)BULK), 0);
    task = start(send_whole_file, &file);
    assert_code(rill_sleep(20 * RILL_MS), 0);
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    (void)close(file);
    return 0;
}

/* mutant: tasks/sock.c @ send_file
 * - if (n < 0)
 * + if (n < 0 && n != RILL_ECANCELED) */
static void
test_a_file_that_nobody_reads_is_canceled(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_a_file, NULL), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_connect_and_accept_tell_who_is_who),
        CASE(test_accept_waits_for_a_connection),
        CASE(test_connect_without_a_listener_is_refused),
        CASE(test_a_megabyte_arrives_in_order),
        CASE(test_the_end_of_a_stream_is_no_bytes),
        CASE(test_a_stream_tells_no_sender),
        CASE(test_a_datagram_tells_its_sender),
        CASE(test_a_receive_after_a_canceled_one_gets_the_bytes),
        CASE(test_a_canceled_send_says_what_was_taken_and_another_may_follow),
        CASE(test_connect_can_be_asked_again_after_a_cancel),
        CASE(test_a_second_waiter_is_told_so),
        CASE(test_what_is_no_such_socket_is_refused),
        CASE_ON("kernel", test_a_socket_that_blocks_is_refused),
        CASE(test_outside_of_a_task_it_cannot_wait),
        CASE(test_a_timeout_ends_the_wait),
        CASE(test_a_file_is_sent_from_an_offset),
        CASE(test_only_a_regular_file_is_sent),
        CASE(test_a_file_that_nobody_reads_is_canceled),
    };

    return run_cases(tests);
}
