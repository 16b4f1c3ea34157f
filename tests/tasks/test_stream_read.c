/*
 * Reading from streams, in memory and over TCP: what each call takes, when it waits, what it says
 * at the end and after an error, and that neither a cancel nor a limit costs a byte.
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

/* ---- read ---- */

static void
read_takes_what_is_there(rill_stream *a, rill_stream *b)
{
    char buf[16];

    streams_say(a, "abcdef");
    streams_await(b, 6);
    assert_int_equal(rill_stream_read(b, buf, 4), 4);
    assert_memory_equal(buf, "abcd", 4);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 2);
    assert_memory_equal(buf, "ef", 2);
}
/* mutant: tasks/stream_buffer.c @ rill__flow_take
 * - rill__flow_drop(s, len);
 * + rill__flow_drop(s, len + 1); */
STREAM_TEST(read_takes_what_is_there, NULL)

static void
read_waits_for_the_first_bytes(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 100 };

    caller_start(&reader);
    assert_false(reader.done);
    streams_say(a, "now");
    assert_int_equal(caller_join(&reader), 3);
    assert_memory_equal(reader.buf, "now", 3);
    assert_int_equal(rill_stream_buffered(b, NULL), 0);
}
/* mutant: tasks/stream.c
 * - memcpy(reader->into, in.data, len);
 * + memcpy(reader->into, in.data, len - 1); */
STREAM_TEST(read_waits_for_the_first_bytes, NULL)

static void
what_a_waiting_read_leaves_is_kept(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 2 };
    char buf[8];

    caller_start(&reader);
    streams_say(a, "123456");
    assert_int_equal(caller_join(&reader), 2);
    assert_int_equal(rill_stream_read_exactly(b, buf, 4, NULL), 4);
    assert_memory_equal(buf, "3456", 4);
}
/* mutant: tasks/stream.c
 * - keep_rest(s);
 * + s->incoming.len = 0; */
STREAM_TEST(what_a_waiting_read_leaves_is_kept, NULL)

static void
read_of_nothing_is_empty_at_once(rill_stream *a, rill_stream *b)
{
    (void)a;
    assert_int_equal(rill_stream_read(b, NULL, 0), 0);
    assert_int_equal(rill_stream_read_exactly(b, NULL, 0, NULL), 0);
    assert_false(rill_stream_at_eof(b));
}
/* mutant: tasks/stream_read.c
 * - if (cap == 0)
 * + if (false) */
STREAM_TEST(read_of_nothing_is_empty_at_once, NULL)

static void
the_end_is_zero_again_and_again(rill_stream *a, rill_stream *b)
{
    char buf[8];

    streams_say(a, "last");
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(rill_stream_read_exactly(b, buf, 2, NULL), 2);
    assert_false(rill_stream_at_eof(b));
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 0);
    assert_true(rill_stream_at_eof(b));
    assert_false(rill_stream_is_closing(b));
}
/* mutant: tasks/stream.c
 * - return rill_transport_can_write_eof(t);
 * + return false; */
STREAM_TEST(the_end_is_zero_again_and_again, NULL)

static void
the_end_wakes_who_reads(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 8 };

    caller_start(&reader);
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(caller_join(&reader), 0);
}
/* mutant: tasks/stream.c @ rill__flow_eof
 * - wake_reader(s); */
STREAM_TEST(the_end_wakes_who_reads, NULL)

static void
own_close_is_the_end_for_who_reads(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 8 };

    (void)a;
    caller_start(&reader);
    rill_stream_close(b);
    assert_int_equal(caller_join(&reader), 0);
    assert_code(rill_stream_error(b), 0);
}
/* mutant: tasks/stream.c @ rill__flow_lost
 * - wake_reader(s); */
STREAM_TEST(own_close_is_the_end_for_who_reads, NULL)

static void
own_abort_is_an_error_for_who_reads(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 8 };

    (void)a;
    caller_start(&reader);
    rill_stream_abort(b);
    assert_int_equal(caller_join(&reader), RILL_EABORTED);
    assert_code(rill_stream_wait_closed(b), 0);
}
/* mutant: tasks/stream_read.c
 * - return rc < 0 ? rc : s->error;
 * + return rc; */
STREAM_TEST(own_abort_is_an_error_for_who_reads, NULL)

static void
a_reset_wakes_who_reads(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 8 };

    caller_start(&reader);
    rill_stream_abort(a);
    assert_int_equal(caller_join(&reader), -ECONNRESET);
    assert_code(rill_stream_wait_closed(b), -ECONNRESET);
}
/* mutant: tasks/stream.c
 * - s->error = why->code;
 * + ; */
STREAM_TEST(a_reset_wakes_who_reads, NULL)

static void
an_error_is_told_before_bytes_that_are_left(rill_stream *a, rill_stream *b)
{
    rill_slice words;
    char buf[8];

    streams_say(a, "words");
    streams_await(b, 5);
    rill_stream_abort(a);
    assert_code(rill_stream_wait_closed(b), -ECONNRESET);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), -ECONNRESET);
    assert_int_equal(rill_stream_read_exactly(b, buf, 2, NULL), -ECONNRESET);
    assert_int_equal(rill_stream_readline(b, &words), -ECONNRESET);
    assert_int_equal(rill_stream_buffered(b, &words), 5);
    streams_expect(words, "words");
}
/* mutant: tasks/stream_read.c
 * - return s->error;
 * + return 0; */
STREAM_TEST(an_error_is_told_before_bytes_that_are_left, NULL)

static void
a_second_reader_is_busy(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_readline, .stream = b };
    rill_slice line;
    char buf[8];

    caller_start(&reader);
    streams_say(a, "no line");
    streams_turns(3);
    assert_int_equal(rill_stream_read(b, buf, 1), RILL_EBUSY);
    assert_int_equal(rill_stream_read_exactly(b, buf, 1, NULL), RILL_EBUSY);
    assert_int_equal(rill_stream_readline(b, &line), RILL_EBUSY);
    assert_int_equal(rill_stream_peek(b, 1, &line), RILL_EBUSY);
    assert_int_equal(rill_stream_read_all(b, 9, &line), RILL_EBUSY);
    assert_code(rill_stream_consume(b, 0), RILL_EBUSY);
    assert_int_equal(rill_stream_buffered(b, &line), 0);
    streams_say(a, " yet\n");
    assert_int_equal(caller_join(&reader), 12);
}
/* mutant: tasks/stream_read.c
 * - if (RILL__UNLIKELY(s->reader != NULL))
 * + if (false) */
STREAM_TEST(a_second_reader_is_busy, NULL)

/* ---- exactly ---- */

static void
exactly_waits_for_all_of_it(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read_exactly, .stream = b, .size = 10 };
    char buf[4];

    streams_say(a, "abc");
    streams_await(b, 3);
    caller_start(&reader);
    streams_say(a, "def");
    streams_turns(5);
    assert_false(reader.done);
    streams_say(a, "ghijkl");
    assert_int_equal(caller_join(&reader), 10);
    assert_memory_equal(reader.buf, "abcdefghij", 10);
    assert_int_equal(rill_stream_read_exactly(b, buf, 2, NULL), 2);
    assert_memory_equal(buf, "kl", 2);
}
/* mutant: tasks/stream.c
 * - return reader->any || reader->room == 0;
 * + return true; */
STREAM_TEST(exactly_waits_for_all_of_it, NULL)

static void
exactly_tells_how_much_came_before_the_end(rill_stream *a, rill_stream *b)
{
    char buf[8] = "";
    size_t got = 99;

    streams_say(a, "abc");
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(rill_stream_read_exactly(b, buf, 8, &got), RILL_EINCOMPLETE);
    assert_int_equal(got, 3);
    assert_string_equal(buf, "abc");
    assert_true(rill_stream_at_eof(b));
    assert_int_equal(rill_stream_read_exactly(b, buf, 1, &got), RILL_EINCOMPLETE);
    assert_int_equal(got, 0);
}
/* Put back also without an error.
 *
 * mutant: tasks/stream_read.c @ wait_into
 * - if (RILL__UNLIKELY(rc < 0))
 * + if (true) */
STREAM_TEST(exactly_tells_how_much_came_before_the_end, NULL)

enum { MUCH = 300000 };

typedef struct bulk {
    rill_stream *stream;
    uint8_t bytes[MUCH];
} bulk;

static uint8_t
bulk_byte(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static int
write_bulk(void *arg)
{
    bulk *self = arg;

    for (size_t i = 0; i < MUCH; i++)
        self->bytes[i] = bulk_byte(i);
    return rill_stream_write(self->stream, self->bytes, MUCH);
}

static void
exactly_may_be_more_than_the_limit(rill_stream *a, rill_stream *b)
{
    static bulk out;
    static uint8_t in[MUCH];

    out.stream = a;
    assert_code(write_bulk(&out), 0);
    while (!rill_stream_is_closing(b) && rill_transport_is_reading(rill_stream_transport(b)))
        (void)streams_must(rill_sleep(RILL_MS));
    assert_int_equal(rill_stream_read_exactly(b, in, MUCH, NULL), MUCH);
    assert_memory_equal(in, out.bytes, MUCH);
}
/* mutant: tasks/stream_read.c
 * - reader->room = len - *ret_got;
 * + reader->room = len - *ret_got < s->limit ? len - *ret_got : s->limit; */
STREAM_TEST(exactly_may_be_more_than_the_limit, RILL_STREAM_OPTIONS(.limit = 1000))

/* With room for much the kernel writes where the task reads; a cancel gives back what that was, and
 * the next small reads find it. */
enum { BIG = 20000, SOME = 9000 };

static uint8_t big[BIG];

static int
read_big(void *arg)
{
    return (int)rill_stream_read_exactly(arg, big, BIG, NULL);
}

static void
big_reads_and_small_ones_take_turns(rill_stream *a, rill_stream *b)
{
    static uint8_t out[BIG];
    rill_task *reader;
    uint8_t byte;

    for (size_t i = 0; i < BIG; i++)
        out[i] = bulk_byte(i);
    for (int round = 0; round < 3; round++) {
        size_t len = round < 2 ? SOME : BIG; /* At last it comes when the cancel has. */

        assert_code(rill_spawn(read_big, b, NULL, &reader), 0);
        streams_turns(2);
        assert_true(rill_stream_write_nowait(a, out, len) >= 0);
        while (round < 2 && rill_stream_buffered(b, NULL) == 0 && big[SOME - 1] != out[SOME - 1])
            (void)streams_must(rill_sleep(RILL_MS));
        assert_true(rill_task_cancel(reader, NULL));
        assert_code(rill_join(reader), RILL_EREVOKED);
        memset(big, 0, sizeof(big));
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(rill_stream_read(b, &byte, 1), 1);
            assert_int_equal(byte, out[i]);
        }
        streams_say(a, "small");
        assert_int_equal(rill_stream_read_exactly(b, big, 5, NULL), 5);
        assert_memory_equal(big, "small", 5);
        streams_turns(2);
        streams_say(a, "word");
        assert_int_equal(rill_stream_read(b, big, BIG), 4);
        assert_memory_equal(big, "word", 4);
    }
}
/* mutant: tasks/stream.c
 * - if (RILL__LIKELY(reader != NULL && !reader->woken && reader->room >= RILL__FLOW_DIRECT)) {
 * + if (reader != NULL && reader->room >= RILL__FLOW_DIRECT) { */
STREAM_TEST(big_reads_and_small_ones_take_turns, NULL)

/* ---- backpressure ---- */

static void
too_many_unread_bytes_slow_the_peer_down(rill_stream *a, rill_stream *b)
{
    char buf[512];
    rill_transport *t = rill_stream_transport(b);

    memset(buf, 'x', sizeof(buf));
    assert_true(rill_stream_write_nowait(a, buf, 200) >= 0);
    while (rill_stream_buffered(b, NULL) < 200)
        (void)streams_must(rill_sleep(RILL_MS));
    assert_true(rill_transport_is_reading(t));
    assert_true(rill_stream_write_nowait(a, buf, 1) >= 0);
    while (rill_stream_buffered(b, NULL) < 201)
        (void)streams_must(rill_sleep(RILL_MS));
    assert_false(rill_transport_is_reading(t));
    assert_true(rill_stream_write_nowait(a, buf, 300) >= 0);
    streams_turns(5);
    assert_int_equal(rill_stream_buffered(b, NULL), 201);
    assert_int_equal(rill_stream_read(b, buf, 100), 100);
    assert_false(rill_transport_is_reading(t));
    assert_int_equal(rill_stream_read(b, buf, 1), 1);
    assert_true(rill_transport_is_reading(t));
    assert_int_equal(rill_stream_read_exactly(b, buf, 400, NULL), 400);
}
/* mutant: tasks/stream_buffer.c
 * - if (s->end - s->start <= 2 * s->limit || s->reading_paused || s->t == NULL)
 * + if (s->end - s->start < 2 * s->limit || s->reading_paused || s->t == NULL) */
STREAM_TEST(too_many_unread_bytes_slow_the_peer_down, RILL_STREAM_OPTIONS(.limit = 100))

static void
a_read_that_waits_resumes_reading(rill_stream *a, rill_stream *b)
{
    char buf[512];
    rill_slice seen;

    memset(buf, 'x', sizeof(buf));
    assert_true(rill_stream_write_nowait(a, buf, 201) >= 0);
    streams_await(b, 201);
    while (rill_transport_is_reading(rill_stream_transport(b))) {
        assert_true(rill_stream_write_nowait(a, "y", 1) >= 0);
        (void)streams_must(rill_sleep(RILL_MS));
    }
    assert_true(rill_stream_write_nowait(a, buf, 300) >= 0);
    assert_true(rill_stream_peek(b, 450, &seen) >= 450);
}
/* mutant: tasks/stream_read.c @ rill__flow_wait_read
 * - rill_transport_resume_reading(s->t);
 * + ; */
STREAM_TEST(a_read_that_waits_resumes_reading, RILL_STREAM_OPTIONS(.limit = 100))

/* ---- cancel and timeouts ---- */

static void
canceled_reads_take_nothing(rill_stream *a, rill_stream *b)
{
    rill_task *me = rill_current_task();
    rill_slice seen;
    char buf[8];

    streams_say(a, "text\n");
    streams_await(b, 5);
    assert_true(rill_task_cancel(me, NULL));
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), RILL_ECANCELED);
    assert_int_equal(rill_stream_read_exactly(b, buf, 2, NULL), RILL_ECANCELED);
    assert_int_equal(rill_stream_readline(b, &seen), RILL_ECANCELED);
    assert_int_equal(rill_stream_peek(b, 1, &seen), RILL_ECANCELED);
    assert_int_equal(rill_stream_read_all(b, 9, &seen), RILL_ECANCELED);
    assert_int_equal(rill_task_uncancel(me), 0);
    assert_int_equal(rill_stream_readline(b, &seen), 5);
}
/* mutant: tasks/stream.h
 * - return rill__may_wait(fiber);
 * + return 0; */
STREAM_TEST(canceled_reads_take_nothing, NULL)

static void
a_cancel_ends_each_wait_and_loses_no_byte(rill_stream *a, rill_stream *b)
{
    static int64_t (*const calls[])(
        caller *) = { call_read_exactly, call_readline, call_peek, call_read_all };
    rill_slice seen;

    streams_say(a, "abc");
    streams_await(b, 3);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        caller reader = { .call = calls[i], .stream = b, .size = 200 };

        caller_start(&reader);
        streams_say(a, "de");
        streams_turns(4);
        assert_false(reader.done);
        assert_true(rill_task_cancel(reader.task, NULL));
        streams_say(a, "f");
        assert_int_equal(caller_join(&reader), RILL_ECANCELED);
        assert_int_equal(rill_stream_peek(b, 3 + 3 * (i + 1), &seen), 3 + 3 * (i + 1));
    }
    streams_expect(seen, "abcdefdefdefdef");
}
/* mutant: tasks/stream_read.c
 * - rill__flow_put_back(s, buf, *ret_got);
 * + ; */
STREAM_TEST(a_cancel_ends_each_wait_and_loses_no_byte, NULL)

static void
a_canceled_read_does_not_mind_an_error(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = b, .size = 8 };

    (void)a;
    caller_start(&reader);
    rill_stream_abort(b); /* It is lost in the next turn, before the reader runs. */
    assert_true(rill_task_cancel(reader.task, NULL));
    assert_int_equal(caller_join(&reader), RILL_ECANCELED);
    assert_int_equal(rill_stream_read(b, reader.buf, 1), RILL_EABORTED);
}
/* mutant: tasks/stream_read.c @ cancel_read
 * - reader->woken = true; */
STREAM_TEST(a_canceled_read_does_not_mind_an_error, NULL)

static void
a_scope_is_a_reads_timeout(rill_stream *a, rill_stream *b)
{
    rill_scope limit;
    char buf[8];
    int rc;

    rill_timeout_begin(&limit, 20 * RILL_MS);
    rc = (int)rill_stream_read(b, buf, sizeof(buf));
    assert_code(rill_scope_end(&limit, rc), RILL_ETIMEDOUT);
    streams_say(a, "late");
    assert_int_equal(rill_stream_read_exactly(b, buf, 4, NULL), 4);
}
/* mutant: tasks/stream_read.c
 * - reader->wait.cancel = cancel_read; */
STREAM_TEST(a_scope_is_a_reads_timeout, NULL)

/* ---- who may, and what goes ---- */

static void
a_stream_given_back_while_a_task_reads(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read, .stream = rill_stream_ref(b), .size = 8 };

    (void)a;
    caller_start(&reader);
    rill_stream_close(b);
    rill_stream_unref(b);
    assert_int_equal(caller_join(&reader), 0);
}
/* The sanitizers see it.
 *
 * mutant: tasks/stream_read.c @ rill__flow_wait_read
 * - s->pins++; */
STREAM_TEST(a_stream_given_back_while_a_task_reads, NULL)

static rill_stream *outside;

static int
make_outside(void *unused)
{
    rill_stream *b;

    (void)unused;
    RILL_TRY(rill_stream_pair(NULL, &outside, &b));
    rill_stream_close(b);
    rill_stream_unref(b);
    return 0;
}

/* mutant: tasks/stream.h
 * - return rill__refuse_outside();
 * + return RILL_ESTATE; */
static void
test_outside_of_tasks_nothing_waits(void **unused)
{
    rill_slice seen;
    char buf[8];

    (void)unused;
    assert_code(tasks_run(&h, make_outside, NULL), 0);
    assert_int_equal(rill_stream_read(outside, buf, 1), RILL_ENOTASK);
    assert_int_equal(rill_stream_read_exactly(outside, buf, 1, NULL), RILL_ENOTASK);
    assert_int_equal(rill_stream_readline(outside, &seen), RILL_ENOTASK);
    assert_int_equal(rill_stream_read_all(outside, 1, &seen), RILL_ENOTASK);
    assert_int_equal(rill_stream_peek(outside, 1, &seen), RILL_ENOTASK);
    assert_code(rill_stream_write(outside, buf, 1), RILL_ENOTASK);
    assert_code(rill_stream_drain(outside), RILL_ENOTASK);
    assert_code(rill_stream_flush(outside), RILL_ENOTASK);
    assert_code(rill_stream_wait_closed(outside), RILL_ENOTASK);
    rill_stream_close(outside);
    rill_stream_unref(outside);
}

static int
count_turns(void *arg)
{
    int *turns = arg;

    for (;;) {
        RILL_TRY(rill_yield());
        ++*turns;
    }
}

/* A task whose bytes are always there lets others run all the same. */
static void
ready_reads_give_way(rill_stream *a, rill_stream *b)
{
    rill_task *other;
    char buf[600];
    int turns = 0;

    memset(buf, 'x', sizeof(buf));
    assert_true(rill_stream_write_nowait(a, buf, 600) >= 0);
    streams_await(b, 600);
    assert_code(rill_spawn(count_turns, &turns, NULL, &other), 0);
    for (int i = 0; i < 600; i++)
        assert_int_equal(rill_stream_read(b, buf, 1), 1);
    assert_true(turns >= 3);
    assert_true(rill_task_cancel(other, NULL));
    assert_code(rill_join(other), RILL_EREVOKED);
}
/* mutant: tasks/stream_read.c @ rill_stream_read
 * - rill__spend(fiber); */
STREAM_TEST(ready_reads_give_way, NULL)

static void
without_memory_the_connection_is_lost(rill_stream *a, rill_stream *b)
{
    char buf[8];

    streams_say(a, "text");
    streams_turns(1);
    allocator_fail(&h.allocator, 1, true);
    h.allocator.fail_tag = RILL_TAG_TASK;
    assert_code(rill_stream_wait_closed(b), -ENOMEM);
    allocator_heal(&h.allocator);
    h.allocator.fail_tag = RILL_TAG_COUNT;
    assert_int_equal(rill_stream_read(b, buf, 1), -ENOMEM);
}

/* mutant: tasks/stream_buffer.c
 * - rill_transport_fail(s->t, -ENOMEM, "no memory for what a stream has received");
 * + ; */
static void
test_without_memory_for_bytes_the_connection_is_lost(void **unused)
{
    (void)unused;
    streams_run(&h, true, NULL, without_memory_the_connection_is_lost);
}

/* ---- any chunks in, any reads out ---- */

typedef struct game {
    rill_stream *stream;
    dice dice;
    size_t total;
} game;

/* Bytes with a line's end among them now and then. */
static uint8_t
game_byte(size_t at)
{
    return at % 97 == 13 || at % 31 == 7 ? '\n' : (uint8_t)(at * 11 + at / 253);
}

static int
play_out(void *arg)
{
    game *g = arg;
    uint8_t buf[700];
    size_t at = 0;

    while (at < g->total) {
        size_t len = 1 + dice_below(&g->dice, dice_below(&g->dice, 4) == 0 ? 700 : 30);

        len = len < g->total - at ? len : g->total - at;
        for (size_t i = 0; i < len; i++)
            buf[i] = game_byte(at + i);
        RILL_TRY(rill_stream_write(g->stream, buf, len));
        at += len;
        if (dice_below(&g->dice, 3) == 0)
            RILL_TRY(rill_yield());
    }
    return rill_stream_write_eof(g->stream);
}

static int64_t
play_one_read(game *g, size_t at, uint8_t *buf, size_t size, rill_slice *seen)
{
    size_t most = dice_below(&g->dice, 9) == 0 ? size : 900;
    size_t want = 1 + dice_below(&g->dice, (uint32_t)most);
    rill_scope brief;
    int64_t n;

    *seen = (rill_slice){ .data = buf };
    rill_timeout_begin(&brief, dice_below(&g->dice, 5) == 0 ? 0 : RILL_S);
    switch (dice_below(&g->dice, 4)) {
    case 0:
        n = rill_stream_read(g->stream, buf, want);
        seen->len = n > 0 ? (size_t)n : 0;
        break;
    case 1:
        n = rill_stream_read_exactly(g->stream, buf, want, &seen->len);
        break;
    case 2:
        n = rill_stream_readline(g->stream, seen);
        break;
    default:
        n = rill_stream_peek(g->stream, want, seen);
        if (n > 0) {
            for (size_t i = 0; i < seen->len; i++)
                assert_int_equal(seen->data[i], game_byte(at + i));
            seen->len = seen->len < want ? seen->len : want;
            assert_code(rill_stream_consume(g->stream, seen->len), 0);
        }
        break;
    }
    if (n == RILL_ECANCELED)
        seen->len = 0;
    return rill_scope_end(&brief, n < 0 ? (int)n : 0) == RILL_ETIMEDOUT ? RILL_ETIMEDOUT : n;
}

static void
any_chunks_any_reads(rill_stream *a, rill_stream *b)
{
    game out = { .stream = a, .dice = dice_new(), .total = 200000 };
    game in = { .stream = b, .dice = out.dice, .total = out.total };
    static uint8_t buf[20000];
    rill_task *writer;
    rill_slice seen;
    size_t at = 0;

    (void)dice_below(&in.dice, 2);
    assert_code(rill_spawn(play_out, &out, NULL, &writer), 0);
    for (;;) {
        int64_t n = play_one_read(&in, at, buf, sizeof(buf), &seen);

        if (n == RILL_ETIMEDOUT)
            continue;
        assert_true(n >= 0 || n == RILL_EINCOMPLETE);
        for (size_t i = 0; i < seen.len; i++)
            assert_int_equal(seen.data[i], game_byte(at + i));
        at += seen.len;
        if (seen.len == 0 && rill_stream_at_eof(b))
            break;
    }
    assert_int_equal(at, in.total);
    assert_code(rill_join(writer), 0);
}
/* mutant: tasks/stream_buffer.c @ make_room
 * - s->start = 0;
 * + s->start = 1; */
STREAM_TEST(any_chunks_any_reads, RILL_STREAM_OPTIONS(.limit = 1500))

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_CASES(read_takes_what_is_there),
        STREAM_CASES(read_waits_for_the_first_bytes),
        STREAM_CASES(what_a_waiting_read_leaves_is_kept),
        STREAM_CASES(read_of_nothing_is_empty_at_once),
        STREAM_CASES(the_end_is_zero_again_and_again),
        STREAM_CASES(the_end_wakes_who_reads),
        STREAM_CASES(own_close_is_the_end_for_who_reads),
        STREAM_CASES(own_abort_is_an_error_for_who_reads),
        STREAM_CASES(a_reset_wakes_who_reads),
        STREAM_CASES(an_error_is_told_before_bytes_that_are_left),
        STREAM_CASES(a_second_reader_is_busy),
        STREAM_CASES(exactly_waits_for_all_of_it),
        STREAM_CASES(exactly_tells_how_much_came_before_the_end),
        STREAM_CASES(exactly_may_be_more_than_the_limit),
        STREAM_CASES(big_reads_and_small_ones_take_turns),
        STREAM_CASES(too_many_unread_bytes_slow_the_peer_down),
        STREAM_CASES(a_read_that_waits_resumes_reading),
        STREAM_CASES(canceled_reads_take_nothing),
        STREAM_CASES(a_cancel_ends_each_wait_and_loses_no_byte),
        STREAM_CASES(a_canceled_read_does_not_mind_an_error),
        STREAM_CASES(a_scope_is_a_reads_timeout),
        STREAM_CASES(a_stream_given_back_while_a_task_reads),
        CASE(test_outside_of_tasks_nothing_waits),
        STREAM_CASES(ready_reads_give_way),
        CASE(test_without_memory_for_bytes_the_connection_is_lost),
        STREAM_CASES(any_chunks_any_reads),
    };

    return run_cases(tests);
}
