/*
 * Writing to streams, in memory and over TCP: what waits for the peer and in which order, what
 * draining says, half close, the end, and references.
 */
#include "streams.h"

#include <errno.h>

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

static const rill_transport_options small = { .size = sizeof(small),
    .write_high = 4096,
    .write_low = 1024,
    .send_buffer = 4096,
    .recv_buffer = 4096 };
/* Little fits between the two, and less into b. */
static const rill_stream_options narrow = {
    .size = sizeof(narrow), .limit = 512, .transport = &small
};

static uint8_t block[1 << 20];

/* Write until writing is paused; how much that was. */
static size_t
fill(rill_stream *a)
{
    size_t sum = 0;

    for (;;) {
        size_t len = 1000;
        int rc = rill_stream_write_nowait(a, block, len);

        assert_true(rc >= 0);
        sum += len;
        if (rc == 0)
            return sum;
        streams_turns(1);
    }
}

static void
read_away(rill_stream *b, size_t len)
{
    static uint8_t waste[sizeof(block)];

    while (len > 0) {
        int64_t n = rill_stream_read(b, waste, len < sizeof(waste) ? len : sizeof(waste));

        assert_true(n > 0);
        len -= (size_t)n;
    }
}

/* ---- writing ---- */

static void
what_is_written_arrives(rill_stream *a, rill_stream *b)
{
    static const rill_iovec parts[] = { { "one ", 4 }, { NULL, 0 }, { "two ", 4 } };
    char buf[16];

    assert_code(rill_stream_writev(a, parts, 3), 0);
    assert_code(rill_stream_write(a, "three", 5), 0);
    assert_code(rill_stream_write(a, NULL, 0), 0);
    assert_code(rill_stream_write(a, NULL, 1), RILL_EINVAL);
    assert_code(rill_stream_writev(a, NULL, 1), RILL_EINVAL);
    assert_int_equal(rill_stream_read_exactly(b, buf, 13, NULL), 13);
    assert_memory_equal(buf, "one two three", 13);
}
/* mutant: tasks/stream_write.c
 * - rc = rill_transport_writev(s->t, parts, count);
 * + rc = rill_transport_writev(s->t, parts, count - 1); */
STREAM_TEST(what_is_written_arrives, NULL)

static void
a_write_waits_above_the_high_mark(rill_stream *a, rill_stream *b)
{
    caller writer = { .call = call_write, .stream = a, .data = block, .size = 10 };
    size_t sum = fill(a);

    caller_start(&writer);
    streams_turns(10);
    assert_false(writer.done);
    read_away(b, sum);
    assert_int_equal(caller_join(&writer), 0);
    read_away(b, 10);
}
/* mutant: tasks/stream_write.c
 * - if (RILL__UNLIKELY(s->paused || s->handing) && s->t != NULL)
 * + if (RILL__UNLIKELY(s->handing) && s->t != NULL) */
STREAM_TEST(a_write_waits_above_the_high_mark, &narrow)

static void
nowait_says_when_to_stop(rill_stream *a, rill_stream *b)
{
    size_t sum = fill(a);

    assert_int_equal(rill_stream_write_nowait(a, block, 10), 0);
    assert_int_equal(rill_stream_write_nowait(a, NULL, 10), RILL_EINVAL);
    read_away(b, sum + 10);
    assert_code(rill_stream_drain(a), 0);
    assert_int_equal(rill_stream_write_nowait(a, block, 1), 1);
}
/* mutant: tasks/stream_write.c
 * - return s->t != NULL ? rill_transport_write(s->t, data, len) : lost_code(s);
 * + return put(s, &(rill_iovec){ data, len }, 1); */
STREAM_TEST(nowait_says_when_to_stop, &narrow)

enum { LOTS = 400000 };

static int
write_lots(void *arg)
{
    for (size_t i = 0; i < LOTS / 1000; i++)
        RILL_TRY(rill_stream_write(arg, block, 1000));
    return 0;
}

enum { GATHERED = 65536 }; /* By the loop, before it sends. */

/* Who writes in a loop has the high mark, one write and what is gathered in memory. */
static void
a_loop_of_writes_is_bounded(rill_stream *a, rill_stream *b)
{
    rill_task *writer;
    size_t sum = 0;
    size_t most = 0;

    assert_code(rill_spawn(write_lots, a, NULL, &writer), 0);
    while (sum < LOTS) {
        size_t queued;

        assert_non_null(rill_stream_transport(a));
        queued = rill_transport_write_buffer_size(rill_stream_transport(a));
        most = queued > most ? queued : most;
        read_away(b, 500);
        sum += 500;
    }
    assert_in_range(most, 1000, small.write_high + GATHERED + 1000);
    assert_code(rill_join(writer), 0);
}
/* mutant: tasks/stream_write.c
 * - if (RILL__UNLIKELY(s->paused || s->handing) && s->t != NULL)
 * + if (RILL__UNLIKELY(s->handing) && s->t != NULL) */
STREAM_TEST(a_loop_of_writes_is_bounded, &narrow)

static void
writers_go_on_in_order(rill_stream *a, rill_stream *b)
{
    static const char *const words[] = { "first.", "second", "third." };
    caller writers[3];
    size_t sum = fill(a);
    char buf[32];

    for (int i = 0; i < 3; i++) {
        writers[i] =
            (caller){ .call = call_write, .stream = a, .data = words[i], .size = strlen(words[i]) };
        caller_start(&writers[i]);
    }
    read_away(b, sum);
    assert_int_equal(rill_stream_read_exactly(b, buf, 18, NULL), 18);
    assert_memory_equal(buf, "first.secondthird.", 18);
    for (int i = 0; i < 3; i++)
        assert_int_equal(caller_join(&writers[i]), 0);
}
/* mutant: tasks/stream_write.c @ put_later
 * - hand_on(s); */
STREAM_TEST(writers_go_on_in_order, &narrow)

/* A newcomer does not overtake who was told to write and has not had its turn. */
static void
nobody_overtakes_a_writer_that_waits(rill_stream *a, rill_stream *b)
{
    caller early = { .call = call_write, .stream = a, .data = "early", .size = 5 };
    caller late = { .call = call_write, .stream = a, .data = "later", .size = 5 };
    size_t sum = fill(a);
    char buf[16];

    caller_start(&early);
    assert_code(rill_transport_set_write_limits(rill_stream_transport(a), 1 << 20, 1 << 19), 0);
    assert_int_equal(rill_stream_write(a, "mine!", 5), 0);
    caller_start(&late);
    read_away(b, sum);
    assert_int_equal(rill_stream_read_exactly(b, buf, 15, NULL), 15);
    assert_memory_equal(buf, "earlymine!later", 15);
    assert_int_equal(caller_join(&early), 0);
    assert_int_equal(caller_join(&late), 0);
}
/* mutant: tasks/stream_write.c
 * - if (RILL__UNLIKELY(s->paused || s->handing) && s->t != NULL)
 * + if (RILL__UNLIKELY(s->paused) && s->t != NULL) */
STREAM_TEST(nobody_overtakes_a_writer_that_waits, &narrow)

static void
a_canceled_write_has_written_nothing(rill_stream *a, rill_stream *b)
{
    caller writer = { .call = call_write, .stream = a, .data = "nothing", .size = 7 };
    size_t sum = fill(a);
    char buf[8];

    caller_start(&writer);
    assert_true(rill_task_cancel(writer.task, NULL));
    assert_int_equal(caller_join(&writer), RILL_ECANCELED);
    read_away(b, sum);
    assert_true(rill_task_cancel(rill_current_task(), NULL));
    assert_code(rill_stream_write(a, "nor this", 8), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(rill_current_task()), 0);
    assert_code(rill_stream_write(a, "but this", 8), 0);
    assert_int_equal(rill_stream_read_exactly(b, buf, 8, NULL), 8);
    assert_memory_equal(buf, "but this", 8);
}
/* mutant: tasks/stream.c
 * - rill__list_remove(&RILL__CONTAINER(wait, rill__flow_wait, wait)->link); */
STREAM_TEST(a_canceled_write_has_written_nothing, &narrow)

static void
above_the_cap_the_connection_is_lost(rill_stream *a, rill_stream *b)
{
    (void)b;
    assert_code(rill_transport_set_write_cap(rill_stream_transport(a), 8192), 0);
    for (int i = 0, rc = 0; i < 20 && rc >= 0; i++)
        rc = rill_stream_write_nowait(a, block, sizeof(block) / 20);
    assert_code(rill_stream_wait_closed(a), RILL_EOVERFLOW);
    assert_code(rill_stream_write(a, "x", 1), RILL_EOVERFLOW);
}
/* mutant: tasks/stream_write.c
 * - return s->error != 0 ? s->error : RILL_ECLOSED;
 * + return RILL_ECLOSED; */
STREAM_TEST(above_the_cap_the_connection_is_lost, &narrow)

/* ---- draining ---- */

static void
drain_returns_at_once_below_the_marks(rill_stream *a, rill_stream *b)
{
    (void)b;
    assert_true(rill_stream_write_nowait(a, block, 100) >= 0);
    assert_code(rill_stream_drain(a), 0);
}
/* mutant: tasks/stream_write.c
 * - if (!s->paused) {
 * + if (false) { */
STREAM_TEST(drain_returns_at_once_below_the_marks, NULL)

static void
ten_drains_return_together(rill_stream *a, rill_stream *b)
{
    static caller drains[10];
    size_t sum = fill(a);

    for (int i = 0; i < 10; i++) {
        drains[i] = (caller){ .call = call_drain, .stream = a };
        caller_start(&drains[i]);
        assert_false(drains[i].done);
    }
    read_away(b, sum);
    for (int i = 0; i < 10; i++)
        assert_int_equal(caller_join(&drains[i]), 0);
}
/* mutant: tasks/stream.c
 * - while (!rill__list_empty(list)) {
 * + if (!rill__list_empty(list)) { */
STREAM_TEST(ten_drains_return_together, &narrow)

/* Not until all has been taken, but until there is room again. */
static void
drain_waits_for_the_low_mark_only(rill_stream *a, rill_stream *b)
{
    caller drain = { .call = call_drain, .stream = a };
    size_t sum = fill(a);

    caller_start(&drain);
    while (!drain.done) {
        read_away(b, 100);
        sum -= 100;
        streams_turns(2);
    }
    assert_int_equal(caller_join(&drain), 0);
    assert_true(sum > 0);
    read_away(b, sum);
}
/* mutant: tasks/stream_write.c
 * - rill__flow_wake_all(&s->drains, 0); */
STREAM_TEST(drain_waits_for_the_low_mark_only, &narrow)

/* Over TCP: in memory the peer has taken everything when it aborts. */
static void
loss_while_waiting(rill_stream *a, rill_stream *b)
{
    caller drain = { .call = call_drain, .stream = a };
    caller writers[2] = { { .call = call_write, .stream = a, .data = block, .size = 9 },
        { .call = call_write, .stream = a, .data = block, .size = 9 } };
    caller closer = { .call = call_wait_closed, .stream = a };
    int64_t code;
    caller flush = { .call = call_flush, .stream = a };

    (void)fill(a);
    caller_start(&drain);
    caller_start(&writers[0]);
    caller_start(&writers[1]);
    caller_start(&closer);
    caller_start(&flush);
    rill_stream_abort(b);
    code = caller_join(&drain);
    assert_true(code == -ECONNRESET || code == -EPIPE);
    assert_int_equal(caller_join(&writers[0]), code);
    assert_int_equal(caller_join(&writers[1]), code);
    assert_int_equal(caller_join(&closer), code);
    assert_int_equal(caller_join(&flush), code);
    assert_int_equal(rill_stream_drain(a), code);
    assert_int_equal(rill_stream_write_eof(a), code);
    assert_null(rill_stream_transport(a));
    assert_true(rill_stream_is_closing(a));
}

/* mutant: tasks/stream.c
 * - rill__flow_wake_all(&s->writers, 0); */
static void
test_a_loss_ends_drains_and_writes(void **unused)
{
    (void)unused;
    streams_run(&h, true, &narrow, loss_while_waiting);
}

static void
a_cancel_ends_each_wait(rill_stream *a, rill_stream *b)
{
    static int64_t (*const calls[])(caller *) = { call_drain, call_flush, call_wait_closed };
    size_t sum = fill(a);

    for (size_t i = 0; i < 3; i++) {
        caller waiter = { .call = calls[i], .stream = a };

        caller_start(&waiter);
        assert_false(waiter.done);
        assert_true(rill_task_cancel(waiter.task, NULL));
        assert_int_equal(caller_join(&waiter), RILL_ECANCELED);
    }
    read_away(b, sum);
    assert_code(rill_stream_flush(a), 0);
}
/* mutant: tasks/stream_write.c
 * - return rill_cancel(wait->fiber->loop, self->id);
 * + return false; */
STREAM_TEST(a_cancel_ends_each_wait, &narrow)

static void
a_loop_of_write_and_drain_ends_when_the_peer_has_gone(rill_stream *a, rill_stream *b)
{
    int rounds = 0;
    int rc;

    rill_stream_close(b);
    do {
        (void)rill_stream_write_nowait(a, "more", 4);
        rc = rill_stream_drain(a);
        assert_true(++rounds < 10000);
    } while (rc == 0);
    assert_true(rc == -ECONNRESET || rc == -EPIPE);
}
/* mutant: tasks/stream_write.c
 * - if (s->t == NULL || (is_closed(s) && !s->paused))
 * + if (false) */
STREAM_TEST(a_loop_of_write_and_drain_ends_when_the_peer_has_gone, NULL)

static void
a_write_says_why_the_peer_is_gone(rill_stream *a, rill_stream *b)
{
    int rc;

    rill_stream_abort(b);
    do
        rc = rill_stream_write(a, "more", 4);
    while (rc == 0);
    if (rc != -EPIPE)
        assert_code(rc, -ECONNRESET);
}
/* mutant: tasks/stream_write.c
 * - if (rc != RILL_ECLOSED || s->t == NULL || s->asked)
 * + if (true) */
STREAM_TEST(a_write_says_why_the_peer_is_gone, NULL)

static void
after_close_there_is_nothing_to_write_or_drain(rill_stream *a, rill_stream *b)
{
    (void)b;
    rill_stream_close(a);
    rill_stream_close(a);
    assert_true(rill_stream_is_closing(a));
    assert_code(rill_stream_write(a, "x", 1), RILL_ECLOSED);
    assert_code(rill_stream_write_nowait(a, "x", 1), RILL_ECLOSED);
    assert_code(rill_stream_drain(a), RILL_ECLOSED);
    assert_code(rill_stream_wait_closed(a), 0);
    assert_code(rill_stream_drain(a), RILL_ECLOSED);
    assert_code(rill_stream_flush(a), RILL_ECLOSED);
    assert_code(rill_stream_write(a, "x", 1), RILL_ECLOSED);
}
/* mutant: tasks/stream_write.c @ put
 * - return lost_code(s);
 * + return 0; */
STREAM_TEST(after_close_there_is_nothing_to_write_or_drain, NULL)

/* Who drains in a loop while a close waits for its peer does not turn the loop for nothing. */
static void
drain_does_not_spin_while_a_close_waits(rill_stream *a, rill_stream *b)
{
    size_t sum = fill(a);
    int rounds = 0;

    rill_stream_close(a);
    read_away(b, sum / 2);
    while (rill_stream_drain(a) == 0)
        assert_true(++rounds < 3);
    read_away(b, sum - sum / 2);
    assert_code(rill_stream_wait_closed(a), 0);
}
/* mutant: tasks/stream_write.c
 * - if (s->t == NULL || (is_closed(s) && !s->paused))
 * + if (s->t == NULL) */
STREAM_TEST(drain_does_not_spin_while_a_close_waits, &narrow)

static void
flush_waits_until_all_has_left(rill_stream *a, rill_stream *b)
{
    caller flush = { .call = call_flush, .stream = a };
    size_t sum = fill(a);

    caller_start(&flush);
    read_away(b, sum);
    assert_int_equal(caller_join(&flush), 0);
    assert_int_equal(rill_transport_write_buffer_size(rill_stream_transport(a)), 0);
}
/* mutant: tasks/stream_write.c
 * - rc = rill_transport_drain_start(s->t, 0, RILL_NEVER, flush_over, &self, &self.id);
 * + rc = rill_transport_drain_start(s->t, 1 << 20, RILL_NEVER, flush_over, &self, &self.id); */
STREAM_TEST(flush_waits_until_all_has_left, &narrow)

/* ---- the end ---- */

static void
a_half_closed_stream_works_the_other_way(rill_stream *a, rill_stream *b)
{
    char buf[8];

    assert_code(rill_stream_write_eof(a), 0);
    assert_code(rill_stream_write_eof(a), 0);
    assert_code(rill_stream_write(a, "x", 1), RILL_EEOFSENT);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 0);
    assert_code(rill_stream_write(b, "still", 5), 0);
    assert_int_equal(rill_stream_read_exactly(a, buf, 5, NULL), 5);
    rill_stream_close(b);
    assert_int_equal(rill_stream_read(a, buf, sizeof(buf)), 0);
}
/* mutant: tasks/stream.c
 * - return rill_transport_can_write_eof(t);
 * + return false; */
STREAM_TEST(a_half_closed_stream_works_the_other_way, NULL)

static void
close_sends_what_was_written(rill_stream *a, rill_stream *b)
{
    rill_slice all;

    assert_code(rill_stream_write(a, block, 100000), 0);
    rill_stream_close(a);
    assert_int_equal(rill_stream_read_all(b, 200000, &all), 100000);
    assert_code(rill_stream_wait_closed(a), 0);
}
/* mutant: tasks/stream.c
 * - rill_transport_close(s->t);
 * + rill_transport_abort(s->t); */
STREAM_TEST(close_sends_what_was_written, &narrow)

static void
closed_with_unread_bytes_it_ends(rill_stream *a, rill_stream *b)
{
    streams_say(a, "never read");
    streams_await(b, 10);
    rill_stream_close(b);
    assert_code(rill_stream_wait_closed(b), 0);
    assert_int_equal(rill_stream_buffered(b, NULL), 10);
}
/* mutant: tasks/stream.c
 * - rill__flow_wake_all(&s->closers, 0); */
STREAM_TEST(closed_with_unread_bytes_it_ends, NULL)

static void
the_end_can_be_waited_for_again(rill_stream *a, rill_stream *b)
{
    caller closers[3];

    for (int i = 0; i < 3; i++) {
        closers[i] = (caller){ .call = call_wait_closed, .stream = a };
        caller_start(&closers[i]);
    }
    rill_stream_abort(b);
    for (int i = 0; i < 3; i++)
        assert_int_equal(caller_join(&closers[i]), -ECONNRESET);
    assert_code(rill_stream_wait_closed(a), -ECONNRESET);
    assert_code(rill_stream_wait_closed(b), 0);
    assert_code(rill_stream_wait_closed(b), 0);
    assert_code(rill_stream_error(a), -ECONNRESET);
    assert_code(rill_stream_error(b), 0);
}
/* mutant: tasks/stream.c
 * - return s->error == RILL_EABORTED ? 0 : s->error;
 * + return s->error; */
STREAM_TEST(the_end_can_be_waited_for_again, NULL)

static void
a_canceled_task_can_close(rill_stream *a, rill_stream *b)
{
    char buf[8];

    assert_true(rill_task_cancel(rill_current_task(), NULL));
    rill_stream_close(a);
    assert_code(rill_stream_wait_closed(a), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(rill_current_task()), 0);
    assert_code(rill_stream_wait_closed(a), 0);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 0);
}
/* mutant: tasks/stream.h
 * - return rill__may_wait(fiber);
 * + return 0; */
STREAM_TEST(a_canceled_task_can_close, NULL)

/* ---- references ---- */

static int
forget_one(void *unused)
{
    rill_stream *a;
    rill_stream *b;
    char buf[8];

    (void)unused;
    RILL_TRY(rill_stream_pair(NULL, &a, &b));
    rill_stream_unref(NULL);
    assert_ptr_equal(rill_stream_ref(a), a);
    rill_stream_unref(a);
    streams_say(a, "bye");
    rill_stream_unref(a);
    assert_int_equal(rill_stream_read_exactly(b, buf, 3, NULL), 3);
    assert_int_equal(rill_stream_read(b, buf, 1), 0);
    rill_stream_close(b);
    rill_stream_unref(b);
    return 0;
}

/* mutant: tasks/stream.c @ rill_stream_unref
 * - rill_stream_close(s); */
static void
test_a_stream_given_back_unclosed_is_closed(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, false, 10 * RILL_S);
    harness_catch_reports(&h);
    assert_code(tasks_run(&h, forget_one, NULL), 0);
    assert_int_equal(h.reports, 0);
}

/* mutant: tasks/stream.c
 * - if (s->loop->debug)
 * + if (false) */
static void
test_debug_mode_reports_it(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, true, 10 * RILL_S);
    harness_catch_reports(&h);
    assert_code(tasks_run(&h, forget_one, NULL), 0);
    assert_int_equal(h.reports, 1);
    assert_int_equal(h.report_kind, RILL_ERROR_MISUSE);
    assert_contains(h.report_site, "test_stream_write.c");
    assert_contains(h.report_message, "without having been closed");
}

static rill_stream *left[2];

static int
leave_two(void *unused)
{
    (void)unused;
    return rill_stream_pair(NULL, &left[0], &left[1]);
}

/* A loop that is freed with streams counts them, and their transports.
 *
 * mutant: tasks/stream.c
 * - loop->futures++; */
static void
test_streams_left_over_are_counted(void **unused)
{
    (void)unused;
    rill_loop_set_debug(h.loop, false, 10 * RILL_S);
    assert_code(tasks_run(&h, leave_two, NULL), 0);
    assert_int_equal(rill_loop_free(h.loop), 4);
    allocator_check_empty(&h.allocator);
    harness_open(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_CASES(what_is_written_arrives),
        STREAM_CASES(a_write_waits_above_the_high_mark),
        STREAM_CASES(nowait_says_when_to_stop),
        STREAM_CASES(a_loop_of_writes_is_bounded),
        STREAM_CASES(writers_go_on_in_order),
        STREAM_CASES(nobody_overtakes_a_writer_that_waits),
        STREAM_CASES(a_canceled_write_has_written_nothing),
        STREAM_CASES(above_the_cap_the_connection_is_lost),
        STREAM_CASES(drain_returns_at_once_below_the_marks),
        STREAM_CASES(ten_drains_return_together),
        STREAM_CASES(drain_waits_for_the_low_mark_only),
        CASE(test_a_loss_ends_drains_and_writes),
        STREAM_CASES(a_cancel_ends_each_wait),
        STREAM_CASES(a_loop_of_write_and_drain_ends_when_the_peer_has_gone),
        STREAM_CASES(a_write_says_why_the_peer_is_gone),
        STREAM_CASES(after_close_there_is_nothing_to_write_or_drain),
        STREAM_CASES(drain_does_not_spin_while_a_close_waits),
        STREAM_CASES(flush_waits_until_all_has_left),
        STREAM_CASES(a_half_closed_stream_works_the_other_way),
        STREAM_CASES(close_sends_what_was_written),
        STREAM_CASES(closed_with_unread_bytes_it_ends),
        STREAM_CASES(the_end_can_be_waited_for_again),
        STREAM_CASES(a_canceled_task_can_close),
        CASE(test_a_stream_given_back_unclosed_is_closed),
        CASE(test_debug_mode_reports_it),
        CASE(test_streams_left_over_are_counted),
    };

    return run_cases(tests);
}
