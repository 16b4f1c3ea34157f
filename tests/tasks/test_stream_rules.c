/*
 * Streams in hostile hands: one made of another, one ended under who waits, and bytes that arrive
 * in the turn of a cancel.
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

/* ---- two streams of one connection ---- */

static void
a_connection_is_one_stream_only(rill_stream *a, rill_stream *b)
{
    rill_stream *second = NULL;
    char buf[8];

    assert_code(rill_stream_attach(rill_stream_transport(a), NULL, &second), RILL_EBUSY);
    assert_null(second);
    streams_say(b, "word");
    assert_int_equal(rill_stream_read_exactly(a, buf, 4, NULL), 4);
    /* Also while it receives where the reader wants it. */
    assert_int_equal(rill_stream_buffered(a, NULL), 0);
    assert_code(rill_stream_attach(rill_stream_transport(b), NULL, &second), RILL_EBUSY);
    rill_stream_close(a);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 0);
}
/* mutant: tasks/stream_open.c @ rill_stream_attach_site
 * - if (t->protocol->pause_writing == rill__flow_pause)
 * + if (false) */
STREAM_TEST(a_connection_is_one_stream_only, NULL)

/* ---- an abort under who waits ---- */

static void
an_abort_ends_each_wait_of_a_stream(rill_stream *a, rill_stream *b)
{
    caller closer = { .call = call_wait_closed, .stream = a };
    caller reader = { .call = call_readline, .stream = a };

    (void)b;
    caller_start(&closer);
    caller_start(&reader);
    rill_stream_abort(a);
    assert_int_equal(caller_join(&reader), RILL_EABORTED);
    assert_int_equal(caller_join(&closer), 0);
    assert_code(rill_stream_write(a, "x", 1), RILL_EABORTED);
    assert_code(rill_stream_drain(a), RILL_EABORTED);
    assert_code(rill_stream_flush(a), RILL_EABORTED);
}
/* mutant: tasks/stream.c @ rill__flow_lost
 * - wake_reader(s);
 * + (void)0; */
STREAM_TEST(an_abort_ends_each_wait_of_a_stream, NULL)

/* ---- a cancel that meets an arrival ---- */

/* The bytes are there in the very turn of the cancel: either the read has them or the stream. */
static void
bytes_that_meet_a_cancel_are_nobodys_loss(rill_stream *a, rill_stream *b)
{
    for (size_t turns = 0; turns < 12; turns++) {
        caller reader = { .stream = b, .size = turns % 2 == 0 ? 8 : 16 };
        char buf[8];
        int64_t got;

        reader.call = turns % 2 == 0 ? call_read : call_read_exactly;
        caller_start(&reader);
        streams_say(a, "12345678");
        streams_turns(turns / 2);
        (void)rill_task_cancel(reader.task, NULL);
        got = caller_join(&reader);
        assert_true(got == RILL_ECANCELED || (got == 8 && turns % 2 == 0));
        if (got == RILL_ECANCELED)
            assert_int_equal(rill_stream_read_exactly(b, buf, 8, NULL), 8);
        assert_int_equal(rill_stream_buffered(b, NULL), 0);
    }
}
/* mutant: tasks/stream_read.c @ wait_into
 * - rill__flow_put_back(s, buf, *ret_got);
 * + (void)0;
 *
 * mutant: tasks/stream_read.c @ cancel_read
 * - reader->woken = true;
 * + (void)reader; */
STREAM_TEST(bytes_that_meet_a_cancel_are_nobodys_loss, NULL)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_CASES(a_connection_is_one_stream_only),
        STREAM_CASES(an_abort_ends_each_wait_of_a_stream),
        STREAM_CASES(bytes_that_meet_a_cancel_are_nobodys_loss),
    };

    return run_cases(tests);
}
