/*
 * Flow control of datagrams: what the kernel has no room for is queued, counted to the byte, and
 * sent later in order; marks, cap, drains, and a close that waits.
 *
 * Over Unix datagram sockets, whose receiver makes the sender wait; UDP drops instead.
 */
#include "dgrams.h"

#include <errno.h>
#include <unistd.h>

static harness h;
static dend a, b;
static char path[64];

static void
open_receiver(void)
{
    snprintf(path, sizeof(path), "@rill-flow-%ld-%s", (long)getpid(),
        on_driver("uring") ? "uring" : "other");
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_path = path));
}

/* Its receiver does not read. */
static void
open_blocked(const rill_transport_options *options, bool connected)
{
    open_receiver();
    rill_transport_pause_reading(b.t);
    dend_open(&a, &h,
        &RILL_DATAGRAM_OPTIONS(.path = path, .unconnected = !connected, .transport = options));
}

static int
setup(void **unused)
{
    (void)unused;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (b.t != NULL)
        rill_transport_resume_reading(b.t);
    dend_close(&a);
    dend_close(&b);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

/* Numbered ones until so many are queued; returns how many that were in all. */
static size_t
send_until_queued(size_t queued)
{
    size_t count = 0;

    while (dend_stats(&a).queued < queued) {
        uint32_t number = (uint32_t)count++;

        assert_true(rill_transport_sendto(a.t, &number, sizeof(number), NULL) >= 0);
        assert_true(count < 10000);
    }
    return count;
}

static void
expect_numbers(size_t count)
{
    for (size_t i = count > DGRAM_KEPT ? count - DGRAM_KEPT : 0; i < count; i++) {
        uint32_t number;

        assert_int_equal(dend_at(&b, i)->len, sizeof(number));
        memcpy(&number, dend_at(&b, i)->data, sizeof(number));
        assert_int_equal(number, i);
    }
}

static void
queued_ones_leave_in_order(bool connected)
{
    size_t count;

    open_blocked(NULL, connected);
    count = send_until_queued(30);
    assert_int_equal(rill_transport_write_buffer_size(a.t), 30 * (4 + RILL_DATAGRAM_OVERHEAD));
    rill_transport_resume_reading(b.t);
    dend_await(&b, count);
    expect_numbers(count);
    assert_int_equal(rill_transport_write_buffer_size(a.t), 0);
    assert_int_equal(dend_stats(&a).sent, count);
    assert_int_equal(dend_stats(&a).queued, 0);
    assert_int_equal(a.errors, 0);
}

static void
test_without_room_datagrams_are_queued_and_sent_in_order_when_there_is(void **unused)
{
    (void)unused;
    queued_ones_leave_in_order(true);
}

static void
test_an_unconnected_one_tries_again_by_itself(void **unused)
{
    (void)unused;
    queued_ones_leave_in_order(false);
}

static void
test_empty_datagrams_count_too_and_the_count_returns_to_zero(void **unused)
{
    rill_transport_options marks = RILL_TRANSPORT_OPTIONS(.write_high = 800, .write_low = 80);
    size_t sent = 0;

    (void)unused;
    open_blocked(&marks, true);
    while (!a.paused && sent++ < 10000)
        assert_true(rill_transport_sendto(a.t, NULL, 0, NULL) >= 0);
    assert_true(a.paused);
    assert_int_equal(rill_transport_write_buffer_size(a.t), 808);
    rill_transport_resume_reading(b.t);
    dend_await(&b, sent);
    assert_false(a.paused);
    assert_string_equal(a.tape, "made pause resume");
    assert_int_equal(rill_transport_write_buffer_size(a.t), 0);
}

static void
test_above_the_cap_a_datagram_is_refused_and_nothing_is_lost(void **unused)
{
    rill_transport_options marks =
        RILL_TRANSPORT_OPTIONS(.write_high = 1000, .write_low = 100, .write_cap = 1200);
    size_t count = 0;
    int rc;

    (void)unused;
    open_blocked(&marks, true);
    while ((rc = rill_transport_sendto(a.t, &count, 4, NULL)) >= 0)
        assert_true(++count < 10000);
    assert_code(rc, RILL_EOVERFLOW);
    expect_last_error(&h, RILL_EOVERFLOW, "up to its cap");
    assert_int_equal(rill_transport_write_buffer_size(a.t), 1200);
    assert_int_equal(dend_stats(&a).dropped, 1);
    assert_false(rill_transport_is_closing(a.t));
    rill_transport_resume_reading(b.t);
    dend_await(&b, count);
    assert_true(rill_transport_sendto(a.t, &count, 4, NULL) >= 0);
    dend_await(&b, count + 1);
}

/* In a callback they are gathered first: the cap holds all the same. */
static void
flood(void *arg)
{
    size_t *refused = arg;

    for (int i = 0; i < 300; i++)
        *refused += rill_transport_sendto(a.t, "0123456789", 10, NULL) == RILL_EOVERFLOW;
}

static void
test_the_cap_holds_for_what_a_callback_gathers(void **unused)
{
    rill_transport_options marks =
        RILL_TRANSPORT_OPTIONS(.write_high = 1000, .write_low = 100, .write_cap = 1800);
    size_t refused = 0;

    (void)unused;
    open_blocked(&marks, true);
    (void)send_until_queued(1);
    assert_code(rill_call_soon(h.loop, flood, &refused, NULL), 0);
    harness_settle(&h);
    assert_true(refused >= 300 - 1800 / 18);
    assert_true(rill_transport_write_buffer_size(a.t) <= 1800);
    assert_int_equal(dend_stats(&a).dropped, refused);
    assert_false(rill_transport_is_closing(a.t));
}

static void
test_close_flushes_the_queue_first(void **unused)
{
    size_t count;

    (void)unused;
    open_blocked(NULL, true);
    count = send_until_queued(20);
    rill_transport_close(a.t);
    assert_code(rill_transport_sendto(a.t, "x", 1, NULL), RILL_ECLOSED);
    harness_settle(&h);
    assert_false(a.lost);
    rill_transport_resume_reading(b.t);
    harness_until(&h, dend_is_lost, &a);
    assert_code(a.lost_code, 0);
    dend_await(&b, count);
    expect_numbers(count);
}

static void
test_a_close_that_cannot_flush_ends_by_its_timeout(void **unused)
{
    rill_transport_options soon = RILL_TRANSPORT_OPTIONS(.close_timeout = 50 * RILL_MS);

    (void)unused;
    open_blocked(&soon, true);
    (void)send_until_queued(5);
    rill_transport_close(a.t);
    harness_until(&h, dend_is_lost, &a);
    assert_code(a.lost_code, RILL_ECLOSETIMEOUT);
}

static void
test_abort_drops_the_queue(void **unused)
{
    (void)unused;
    open_blocked(NULL, true);
    (void)send_until_queued(5);
    rill_transport_abort(a.t);
    harness_until(&h, dend_is_lost, &a);
    assert_code(a.lost_code, RILL_EABORTED);
}

static void
drained(void *arg, int rc)
{
    *(int *)arg = rc;
}

static void
test_a_drain_waits_for_the_queue(void **unused)
{
    int rc = 1;

    (void)unused;
    open_blocked(NULL, true);
    (void)send_until_queued(5);
    assert_code(rill_transport_drain_start(a.t, 0, RILL_NEVER, drained, &rc, NULL), 0);
    harness_settle(&h);
    assert_int_equal(rc, 1);
    rill_transport_resume_reading(b.t);
    harness_settle(&h);
    harness_run_for(&h, 20 * RILL_MS);
    assert_int_equal(rc, 0);
}

/* A receiver that has gone: each queued datagram meets its error, and the rest goes on. */
static void
test_each_queued_datagram_that_meets_an_error_is_told(void **unused)
{
    size_t queued;

    (void)unused;
    open_blocked(NULL, true);
    (void)send_until_queued(7);
    queued = dend_stats(&a).queued;
    rill_transport_abort(b.t);
    dend_await_errors(&a, queued);
    assert_int_equal(a.errors, queued);
    assert_int_equal(rill_transport_write_buffer_size(a.t), 0);
    assert_false(rill_transport_is_closing(a.t));
}

static void
send_more(dend *d)
{
    if (d->user != NULL)
        return;
    d->user = d;
    for (int i = 0; i < 3; i++)
        assert_true(rill_transport_sendto(d->t, "more", 4, NULL) >= 0);
}

static void
test_pause_and_resume_may_send(void **unused)
{
    rill_transport_options marks = RILL_TRANSPORT_OPTIONS(.write_high = 100, .write_low = 20);
    size_t sent = 0;

    (void)unused;
    a.on_pause = send_more;
    open_blocked(&marks, true);
    while (!a.paused && sent++ < 10000)
        assert_true(rill_transport_sendto(a.t, "x", 1, NULL) >= 0);
    a.on_resume = send_more;
    a.user = NULL;
    rill_transport_resume_reading(b.t);
    dend_await(&b, sent + 6);
    dend_expect(&b, sent + 5, "more");
}

static void
abort_it(dend *d)
{
    rill_transport_abort(d->t);
}

static void
send_small_then_large(void *arg)
{
    static uint8_t large[9000];
    int *rc = arg;

    for (int i = 0; i < 20; i++)
        assert_true(rill_transport_sendto(a.t, "small", 5, NULL) >= 0);
    *rc = rill_transport_sendto(a.t, large, sizeof(large), NULL);
}

/* The large one sends the small ones first, which do not fit: pause_writing runs inside the call,
 * and may abort. */
static void
test_pause_writing_may_abort(void **unused)
{
    rill_transport_options marks = RILL_TRANSPORT_OPTIONS(.write_high = 20, .write_low = 10);
    int rc = 0;

    (void)unused;
    a.on_pause = abort_it;
    open_blocked(&marks, true);
    assert_code(rill_call_soon(h.loop, send_small_then_large, &rc, NULL), 0);
    harness_until(&h, dend_is_lost, &a);
    assert_code(a.lost_code, RILL_EABORTED);
    assert_code(rc, RILL_ECLOSED);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_without_room_datagrams_are_queued_and_sent_in_order_when_there_is),
        CASE(test_an_unconnected_one_tries_again_by_itself),
        CASE(test_empty_datagrams_count_too_and_the_count_returns_to_zero),
        CASE(test_above_the_cap_a_datagram_is_refused_and_nothing_is_lost),
        CASE(test_the_cap_holds_for_what_a_callback_gathers),
        CASE(test_close_flushes_the_queue_first),
        CASE(test_a_close_that_cannot_flush_ends_by_its_timeout),
        CASE(test_abort_drops_the_queue),
        CASE(test_a_drain_waits_for_the_queue),
        CASE(test_each_queued_datagram_that_meets_an_error_is_told),
        CASE(test_pause_and_resume_may_send),
        CASE(test_pause_writing_may_abort),
    };

    return run_cases(tests);
}
