/*
 * Reading from streams up to separators, line by line, all of it, and looking at what is there, in
 * memory and over TCP.
 */
#include "streams.h"

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

/* ---- separators and lines ---- */

static void
until_takes_the_match_that_ends_first(rill_stream *a, rill_stream *b)
{
    static const rill_iovec separators[] = { { "DEF", 3 }, { "BCDE", 4 } };
    rill_slice seen;

    streams_say(a, "ABCDEFG");
    streams_await(b, 7);
    assert_int_equal(rill_stream_read_until(b, separators, 2, &seen), 5);
    streams_expect(seen, "ABCDE");
    assert_int_equal(rill_stream_buffered(b, &seen), 2);
    streams_expect(seen, "FG");
}
/* mutant: tasks/stream_until.c
 * - self->match_end = end;
 * + self->match_end = end;
 * + break; */
STREAM_TEST(until_takes_the_match_that_ends_first, NULL)

/* Of two that end together the shorter one counts: more comes before it. */
static void
until_takes_the_shorter_of_two_that_end_together(rill_stream *a, rill_stream *b)
{
    static const rill_iovec separators[][2] = { { { "\n", 1 }, { "\r\n", 2 } },
        { { "\r\n", 2 }, { "\n", 1 } } };
    rill_slice seen;

    streams_say(a, "ab\r\n");
    streams_await(b, 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rill_stream_read_until(b, separators[i], 2, &seen), RILL_EOVERRUN);
        assert_int_equal(seen.len, 3);
    }
    assert_int_equal(rill_stream_read_until(b, separators[1], 1, &seen), 4);
}
/* mutant: tasks/stream_until.c
 * - if (end == self->match_end && end - separator->len < self->match_start)
 * + if (false) */
STREAM_TEST(until_takes_the_shorter_of_two_that_end_together, RILL_STREAM_OPTIONS(.limit = 2))

static int64_t
call_read_until_aaa(caller *self)
{
    static const rill_iovec separator = { "aaa", 3 };

    return rill_stream_read_until(self->stream, &separator, 1, &self->slice);
}

static void
until_finds_a_separator_cut_in_pieces(rill_stream *a, rill_stream *b)
{
    static const char *const pieces[] = { "QWERTYaa", "XYaa", "a" };
    caller reader = { .call = call_read_until_aaa, .stream = b };
    rill_slice seen;

    caller_start(&reader);
    for (int i = 0; i < 3; i++) {
        streams_say(a, pieces[i]);
        (void)streams_must(rill_sleep(RILL_MS));
    }
    assert_int_equal(caller_join(&reader), 13);
    streams_expect(reader.slice, "QWERTYaaXYaaa");
    assert_int_equal(rill_stream_buffered(b, &seen), 0);
}
/* mutant: tasks/stream_until.c
 * - self->offset = len + 1 > self->longest ? len + 1 - self->longest : 0;
 * + self->offset = len + 2 > self->longest ? len + 2 - self->longest : 0; */
STREAM_TEST(until_finds_a_separator_cut_in_pieces, NULL)

static void
until_waits_for_its_separator(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_readline, .stream = b };

    caller_start(&reader);
    for (const char *c = "one\ntwo"; *c != '\0'; c++) {
        streams_say(a, (char[]){ *c, '\0' });
        streams_turns(3);
    }
    assert_int_equal(caller_join(&reader), 4);
    streams_expect(reader.slice, "one\n");
}
/* mutant: tasks/stream_until.c
 * - return judge(RILL__CONTAINER(reader, search, reader)) != NOT_FOUND;
 * + return true; */
STREAM_TEST(until_waits_for_its_separator, NULL)

static void
until_wants_separators(rill_stream *a, rill_stream *b)
{
    static const rill_iovec empty = { "", 0 };
    static const rill_iovec missing = { NULL, 1 };
    rill_slice seen;

    streams_say(a, "text");
    assert_int_equal(rill_stream_read_until(b, &empty, 1, &seen), RILL_EINVAL);
    assert_int_equal(rill_stream_read_until(b, &missing, 1, &seen), RILL_EINVAL);
    assert_int_equal(rill_stream_read_until(b, &empty, 0, &seen), RILL_EINVAL);
    assert_int_equal(rill_stream_read_until(b, NULL, 1, &seen), RILL_EINVAL);
}
/* mutant: tasks/stream_until.c
 * - if (len == 0 || self->separators[i].data == NULL)
 * + if (self->separators[i].data == NULL) */
STREAM_TEST(until_wants_separators, NULL)

static void
a_line_beyond_the_limit_is_kept(rill_stream *a, rill_stream *b)
{
    rill_slice line;

    streams_say(a, "12345678\n1234567\n");
    streams_await(b, 17);
    assert_int_equal(rill_stream_readline(b, &line), RILL_EOVERRUN);
    streams_expect(line, "12345678");
    assert_int_equal(rill_stream_buffered(b, NULL), 17);
    assert_code(rill_stream_consume(b, line.len + 1), 0);
    assert_int_equal(rill_stream_readline(b, &line), 8);
    streams_expect(line, "1234567\n");
}
/* mutant: tasks/stream_until.c
 * - self->verdict = self->match_start > s->limit ? TOO_FAR : FOUND;
 * + self->verdict = self->match_start >= s->limit ? TOO_FAR : FOUND; */
STREAM_TEST(a_line_beyond_the_limit_is_kept, RILL_STREAM_OPTIONS(.limit = 7))

static void
too_much_without_a_separator_is_kept(rill_stream *a, rill_stream *b)
{
    rill_slice seen;

    streams_say(a, "abc");
    streams_await(b, 3);
    streams_say(a, "d");
    assert_int_equal(rill_stream_readline(b, &seen), RILL_EOVERRUN);
    streams_expect(seen, "abcd");
    assert_int_equal(rill_stream_buffered(b, &seen), 4);
    streams_expect(seen, "abcd");
    assert_code(rill_stream_consume(b, 5), RILL_EINVAL);
    assert_code(rill_stream_consume(b, 4), 0);
    streams_say(a, "e\n");
    assert_int_equal(rill_stream_readline(b, &seen), 2);
}
/* mutant: tasks/stream_until.c
 * - if (self->offset > s->limit)
 * + if (self->offset >= s->limit) */
STREAM_TEST(too_much_without_a_separator_is_kept, RILL_STREAM_OPTIONS(.limit = 3))

static void
until_says_incomplete_at_the_end(rill_stream *a, rill_stream *b)
{
    static const rill_iovec separator = { "\r\n", 2 };
    rill_slice seen;

    streams_say(a, "whole\r\npart\r");
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(rill_stream_read_until(b, &separator, 1, &seen), 7);
    assert_int_equal(rill_stream_read_until(b, &separator, 1, &seen), RILL_EINCOMPLETE);
    streams_expect(seen, "part\r");
    assert_true(rill_stream_at_eof(b));
    assert_int_equal(rill_stream_read_until(b, &separator, 1, &seen), RILL_EINCOMPLETE);
    assert_int_equal(seen.len, 0);
}
/* mutant: tasks/stream_until.c
 * - rill__flow_drop(s, len); */
STREAM_TEST(until_says_incomplete_at_the_end, NULL)

static void
lines_end_with_what_is_left(rill_stream *a, rill_stream *b)
{
    static const char *const lines[] = { "one\n", "\n", "three" };
    rill_slice line;

    streams_say(a, "one\n\nthree");
    assert_code(rill_stream_write_eof(a), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rill_stream_readline(b, &line), strlen(lines[i]));
        streams_expect(line, lines[i]);
    }
    assert_int_equal(rill_stream_readline(b, &line), 0);
}
/* mutant: tasks/stream_until.c
 * - return rc == RILL_EINCOMPLETE ? (int64_t)ret_slice->len : rc;
 * + return rc; */
STREAM_TEST(lines_end_with_what_is_left, NULL)

/* ---- all, and looking ---- */

static void
all_is_everything_until_the_end(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read_all, .stream = b, .size = 100 };

    caller_start(&reader);
    streams_say(a, "some, ");
    streams_turns(4);
    streams_say(a, "more");
    streams_turns(4);
    assert_false(reader.done);
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(caller_join(&reader), 10);
    streams_expect(reader.slice, "some, more");
    assert_int_equal(rill_stream_read_all(b, 0, &reader.slice), 0);
}
/* mutant: tasks/stream_read.c
 * - return reader->stream->end - reader->stream->start >= self->least;
 * + return true; */
STREAM_TEST(all_is_everything_until_the_end, NULL)

static void
all_has_a_bound(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_read_all, .stream = b, .size = 4 };
    rill_slice seen;

    streams_say(a, "1234");
    streams_await(b, 4);
    caller_start(&reader);
    streams_turns(4);
    assert_false(reader.done); /* It may be all. */
    streams_say(a, "5");
    assert_int_equal(caller_join(&reader), RILL_EOVERRUN);
    assert_int_equal(rill_stream_buffered(b, &seen), 5);
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(rill_stream_read_all(b, 5, &seen), 5);
    streams_expect(seen, "12345");
}
/* mutant: tasks/stream_read.c
 * - rc = gather(fiber, s, max + 1, "rill_stream_read_all");
 * + rc = gather(fiber, s, max, "rill_stream_read_all"); */
STREAM_TEST(all_has_a_bound, NULL)

static void
peek_takes_nothing(rill_stream *a, rill_stream *b)
{
    caller reader = { .call = call_peek, .stream = b, .size = 4 };
    rill_slice seen;
    char buf[8];

    caller_start(&reader);
    streams_say(a, "ab");
    streams_turns(4);
    assert_false(reader.done);
    streams_say(a, "cd");
    assert_int_equal(caller_join(&reader), 4);
    streams_expect(reader.slice, "abcd");
    assert_code(rill_stream_consume(b, 1), 0);
    streams_expect(reader.slice, "abcd");
    assert_int_equal(rill_stream_peek(b, 0, &seen), 3);
    streams_expect(seen, "bcd");
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 3);
    assert_code(rill_stream_write_eof(a), 0);
    assert_int_equal(rill_stream_peek(b, 1, &seen), 0);
}
/* mutant: tasks/stream_read.c @ rill_stream_peek
 * - rill__flow_lend(s, s->end - s->start, ret_slice);
 * + rill__flow_lend(s, s->end - s->start, ret_slice);
 * + rill__flow_drop(s, ret_slice->len); */
STREAM_TEST(peek_takes_nothing, NULL)

/* What is lent stays as it is, however much arrives and whatever is consumed meanwhile. */
static void
what_is_lent_stays_while_more_arrives(rill_stream *a, rill_stream *b)
{
    static uint8_t dashes[50000];
    rill_slice first;
    rill_slice line;
    caller writer = { .call = call_write, .stream = a, .data = dashes, .size = sizeof(dashes) };

    streams_say(a, "first\nsecond\n");
    streams_await(b, 13);
    assert_int_equal(rill_stream_readline(b, &line), 6);
    memset(dashes, '-', sizeof(dashes));
    caller_start(&writer);
    assert_int_equal(caller_join(&writer), 0);
    while (rill_stream_buffered(b, NULL) < 30000)
        (void)streams_must(rill_sleep(RILL_MS));
    streams_expect(line, "first\n");
    assert_code(rill_stream_consume(b, 7), 0);
    streams_expect(line, "first\n");
    assert_true(rill_stream_buffered(b, &first) >= 30000);
    assert_int_equal(first.data[0], '-');
}
/* The sanitizers see it.
 *
 * mutant: tasks/stream_buffer.c
 * - if (s->lent && s->old == NULL) {
 * + if (false) { */
STREAM_TEST(what_is_lent_stays_while_more_arrives, NULL)

/* There would be room for what arrives if the rest were moved to where the line lies. */
static void
what_is_lent_is_not_written_over(rill_stream *a, rill_stream *b)
{
    char text[221] = "";
    rill_slice line;

    memset(text, 'a', 199);
    text[199] = '\n';
    memset(text + 200, 'b', 20);
    streams_say(a, text);
    assert_int_equal(rill_stream_readline(b, &line), 200);
    while (rill_stream_buffered(b, NULL) < 20)
        (void)streams_must(rill_sleep(RILL_MS));
    memset(text, 'c', 100);
    text[100] = '\0';
    streams_say(a, text);
    while (rill_stream_buffered(b, NULL) < 120)
        (void)streams_must(rill_sleep(RILL_MS));
    for (size_t i = 0; i < 199; i++)
        assert_int_equal(line.data[i], 'a');
}
/* mutant: tasks/stream_buffer.c
 * - bool pinned = s->lent && s->old == NULL;
 * + bool pinned = false; */
STREAM_TEST(what_is_lent_is_not_written_over, NULL)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_CASES(until_takes_the_match_that_ends_first),
        STREAM_CASES(until_takes_the_shorter_of_two_that_end_together),
        STREAM_CASES(until_finds_a_separator_cut_in_pieces),
        STREAM_CASES(until_waits_for_its_separator),
        STREAM_CASES(until_wants_separators),
        STREAM_CASES(a_line_beyond_the_limit_is_kept),
        STREAM_CASES(too_much_without_a_separator_is_kept),
        STREAM_CASES(until_says_incomplete_at_the_end),
        STREAM_CASES(lines_end_with_what_is_left),
        STREAM_CASES(all_is_everything_until_the_end),
        STREAM_CASES(all_has_a_bound),
        STREAM_CASES(peek_takes_nothing),
        STREAM_CASES(what_is_lent_stays_while_more_arrives),
        STREAM_CASES(what_is_lent_is_not_written_over),
    };

    return run_cases(tests);
}
