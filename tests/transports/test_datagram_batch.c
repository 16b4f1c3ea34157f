/* drivers: epoll uring */
/*
 * Many datagrams in few system calls, counted by standing in for the calls themselves: what a
 * callback sends leaves by one sendmmsg; neighbours of one size and destination are one message in
 * it, that the kernel cuts; what waits is taken by recvmmsg, with one call for up to 32 messages;
 * what the kernel has joined is cut where it was. A single one needs no batch. And none of it
 * allocates.
 */
#include "dgrams.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

static harness h;
static dend a, b, c;

/* ---- the calls ---- */

static struct {
    size_t recvmsg, recvmmsg, sendmsg, sendmmsg;
    size_t messages;  /* In sendmmsg and sendmsg. */
    size_t segmented; /* Of these, with UDP_SEGMENT. */
    size_t joined;    /* Received with UDP_GRO. */
    int refuse_segments;
} calls;

static bool
is_segmented(const struct msghdr *header)
{
    return header->msg_controllen > 0 && CMSG_FIRSTHDR(header)->cmsg_level == IPPROTO_UDP &&
           CMSG_FIRSTHDR(header)->cmsg_type == UDP_SEGMENT;
}

static bool
note_sent(const struct msghdr *header)
{
    calls.messages++;
    calls.segmented += is_segmented(header);
    return !is_segmented(header) || calls.refuse_segments == 0;
}

static void
note_received(struct msghdr *header)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(header); m != NULL; m = CMSG_NXTHDR(header, m))
        calls.joined += m->cmsg_level == IPPROTO_UDP && m->cmsg_type == UDP_GRO;
}

#define REAL(name, type) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

ssize_t
recvmsg(int fd, struct msghdr *header, int flags)
{
    ssize_t got = REAL("recvmsg", ssize_t(*)(int, struct msghdr *, int))(fd, header, flags);

    calls.recvmsg++;
    if (got >= 0)
        note_received(header);
    return got;
}

int
recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *timeout)
{
    int got = REAL("recvmmsg", int (*)(int, struct mmsghdr *, unsigned, int, struct timespec *))(
        fd, headers, count, flags, timeout);

    calls.recvmmsg++;
    for (int i = 0; i < got; i++)
        note_received(&headers[i].msg_hdr);
    return got;
}

ssize_t
sendmsg(int fd, const struct msghdr *header, int flags)
{
    calls.sendmsg++;
    if (!note_sent(header)) {
        errno = calls.refuse_segments;
        return -1;
    }
    return REAL("sendmsg", ssize_t(*)(int, const struct msghdr *, int))(fd, header, flags);
}

int
sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags)
{
    calls.sendmmsg++;
    for (unsigned i = 0; i < count; i++) {
        if (note_sent(&headers[i].msg_hdr))
            continue;
        errno = calls.refuse_segments;
        return -1;
    }
    return REAL("sendmmsg", int (*)(int, struct mmsghdr *, unsigned, int))(
        fd, headers, count, flags);
}

/* ---- the cases ---- */

static int
setup(void **unused)
{
    (void)unused;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));
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
    return 0;
}

static void
forget(void)
{
    memset(&calls, 0, sizeof(calls));
}

/* What one callback sends. */
typedef struct burst {
    const rill_addr *to[2]; /* In turn; the second may be NULL. */
    size_t count;
    size_t step; /* Each is so much longer than the last. */
    size_t len;
} burst;

static void
send_burst(void *arg)
{
    static uint8_t data[9000];
    const burst *what = arg;

    for (size_t i = 0; i < what->count; i++) {
        const rill_addr *to = what->to[1] != NULL ? what->to[i % 2] : what->to[0];

        data[0] = (uint8_t)i;
        assert_true(rill_transport_sendto(a.t, data, what->len + i * what->step, to) >= 0);
    }
}

static void
run_burst(burst *what)
{
    assert_code(rill_call_soon(h.loop, send_burst, what, NULL), 0);
}

static void
test_datagrams_of_one_callback_leave_by_one_call(void **unused)
{
    burst what = { .to = { &b.addr, &c.addr }, .count = 60, .len = 40 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    dend_open4(&c, &h);
    forget();
    run_burst(&what);
    dend_await(&b, 30);
    dend_await(&c, 30);
    assert_int_equal(calls.sendmmsg, 1);
    assert_int_equal(calls.sendmsg, 0);
    assert_int_equal(calls.messages, 60);
    assert_int_equal(dend_stats(&a).sends, 1);
    assert_int_equal(dend_stats(&a).sent, 60);
}

static void
test_neighbours_of_one_size_and_place_are_one_message(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 64, .len = 100 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    forget();
    run_burst(&what);
    dend_await(&b, 64);
    assert_int_equal(calls.sendmsg + calls.sendmmsg, 1);
    assert_int_equal(calls.messages, 1);
    assert_int_equal(calls.segmented, 1);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(dend_at(&b, i)->len, 100);
        assert_int_equal(dend_at(&b, i)->data[0], i);
    }
    assert_int_equal(dend_stats(&a).sent, 64);
    assert_int_equal(dend_stats(&b).received, 64);
}

static void
test_what_the_kernel_joins_comes_in_one_message_and_apart(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 64, .len = 700 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    forget();
    run_burst(&what);
    dend_await(&b, 64);
    assert_true(calls.joined >= 1);
    assert_true(calls.recvmsg + calls.recvmmsg <= 4);
    assert_int_equal(dend_stats(&b).truncated, 0);
    assert_int_equal(b.bytes, 64 * 700);
}

static void
test_different_sizes_are_messages_of_their_own(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 32, .len = 10, .step = 3 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    forget();
    run_burst(&what);
    dend_await(&b, 32);
    assert_int_equal(calls.sendmmsg, 1);
    assert_int_equal(calls.messages, 32);
    assert_int_equal(calls.segmented, 0);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(dend_at(&b, i)->len, 10 + 3 * i);
}

static void
test_without_segmentation_they_leave_all_the_same(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 20, .len = 100 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    forget();
    calls.refuse_segments = EIO; /* A device that cannot. */
    run_burst(&what);
    dend_await(&b, 20);
    assert_int_equal(calls.segmented, 1);
    run_burst(&what);
    dend_await(&b, 40);
    assert_int_equal(calls.segmented, 1); /* It is not tried again. */
    assert_int_equal(a.errors, 0);
}

static void
test_a_piece_above_the_paths_size_leaves_in_parts(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 6, .len = 7000 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    run_burst(&what);
    dend_await(&b, 6);
    assert_int_equal(b.bytes, 6 * 7000);
    assert_int_equal(a.errors, 0);
}

static void
test_what_waits_is_taken_many_at_a_time(void **unused)
{
    burst what = { .to = { &b.addr }, .count = 60, .len = 10, .step = 1 };

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    rill_transport_pause_reading(b.t);
    run_burst(&what);
    harness_settle(&h);
    forget();
    rill_transport_resume_reading(b.t);
    dend_await(&b, 60);
    /* Two by the first, which looks whether there are several; then 32 and 26. */
    assert_true(calls.recvmmsg <= 4);
    assert_int_equal(calls.recvmsg, 0);
    assert_true(dend_stats(&b).receives <= 4);
}

static void
test_one_at_a_time_is_taken_and_sent_by_the_simple_calls(void **unused)
{
    (void)unused;
    b.echo = true;
    dend_open4(&b, &h);
    dend_connect(&a, &h, &b.addr);
    forget();
    for (size_t i = 0; i < 48; i++) {
        assert_code(dend_send(&a, "ping", NULL), 1);
        dend_await(&a, i + 1);
    }
    assert_int_equal(calls.sendmmsg, 0);
    assert_int_equal(calls.sendmsg, 96);
    assert_true(calls.recvmmsg <= 2 * 48 / 16 + 2);
    assert_true(calls.recvmsg >= 80);
}

static void
again(dend *d, rill_slice in, const rill_arrival *arrival)
{
    (void)arrival;
    if (d->received < 5000)
        assert_true(rill_transport_sendto(d->t, in.data, in.len, NULL) >= 0);
}

static void
test_no_datagram_allocates_once_all_is_warm(void **unused)
{
    size_t before;

    (void)unused;
    b.echo = true;
    a.on_datagram = again;
    dend_open4(&b, &h);
    dend_connect(&a, &h, &b.addr);
    a.tape[sizeof(a.tape) - 1] = '\0';
    for (int i = 0; i < 20; i++)
        assert_code(dend_send(&a, "ball", NULL), 1);
    dend_await(&a, 400);
    before = h.allocator.calls;
    while (a.received < 4000)
        (void)harness_turn(&h);
    assert_int_equal(h.allocator.calls, before);
    harness_settle(&h);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_datagrams_of_one_callback_leave_by_one_call),
        CASE(test_neighbours_of_one_size_and_place_are_one_message),
        CASE(test_what_the_kernel_joins_comes_in_one_message_and_apart),
        CASE(test_different_sizes_are_messages_of_their_own),
        CASE(test_without_segmentation_they_leave_all_the_same),
        CASE(test_a_piece_above_the_paths_size_leaves_in_parts),
        CASE(test_what_waits_is_taken_many_at_a_time),
        CASE(test_one_at_a_time_is_taken_and_sent_by_the_simple_calls),
        CASE(test_no_datagram_allocates_once_all_is_warm),
    };

    return run_cases(tests);
}
