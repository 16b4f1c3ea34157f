/*
 * Streams and tasks of another loop: whatever may wait is refused there, takes and writes nothing,
 * and the stream's own tasks go on.
 */
#include "streams.h"

static harness h, other;

/* Streams are made by a task of `h`; the calls come from one of `other`. */
static rill_stream *a, *b;
static rill_stream_server *server;

static int
setup(void **unused)
{
    (void)unused;
    a = b = NULL;
    harness_open(&h);
    harness_open(&other);
    return 0;
}

static void
give_back_one(rill_stream **stream)
{
    if (*stream == NULL)
        return;
    rill_stream_close(*stream);
    rill_stream_unref(*stream);
    *stream = NULL;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&other);
    give_back_one(&a); /* Of a case that was cut short. */
    give_back_one(&b);
    harness_close(&h);
    return 0;
}

/* ---- calls from abroad ---- */

static int
make_pair(void *unused)
{
    (void)unused;
    return rill_stream_pair(NULL, &a, &b);
}

static void
give_back(void)
{
    give_back_one(&a);
    give_back_one(&b);
    harness_settle(&h);
}

static void
text_waits(const char *text)
{
    assert_true(rill_stream_write_nowait(a, text, strlen(text)) >= 0);
    harness_settle(&h);
    assert_int_equal(rill_stream_buffered(b, NULL), strlen(text));
}

static int
read_from_abroad(void *unused)
{
    static const rill_iovec separator = { "\n", 1 };
    rill_slice slice = { .len = 77 };
    char buf[16] = "untouched";
    size_t len = 77;

    (void)unused;
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_read(b, buf, 0), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_read_exactly(b, buf, 2, &len), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_read_until(b, &separator, 1, &slice), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_readline(b, &slice), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_read_all(b, 100, &slice), RILL_EWRONGLOOP);
    assert_int_equal(rill_stream_peek(b, 1, &slice), RILL_EWRONGLOOP);
    assert_string_equal(buf, "untouched");
    assert_int_equal(slice.len, 77);
    assert_int_equal(len, 77);
    return 0;
}

/* mutant: tasks/stream.h @ rill__flow_may_wait
 * - if (RILL__UNLIKELY(fiber->loop != stream->loop))
 * + if (false) */
static void
test_a_task_of_another_loop_reads_nothing_in_any_way(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, make_pair, NULL), 0);
    text_waits("one\ntwo");
    assert_code(tasks_run(&other, read_from_abroad, NULL), 0);
    assert_int_equal(rill_stream_buffered(b, NULL), 7);
    give_back();
}

static int
write_from_abroad(void *unused)
{
    static const rill_iovec parts[] = { { "x", 1 }, { "y", 1 } };

    (void)unused;
    assert_code(rill_stream_write(a, "x", 1), RILL_EWRONGLOOP);
    assert_code(rill_stream_writev(a, parts, 2), RILL_EWRONGLOOP);
    assert_code(rill_stream_drain(a), RILL_EWRONGLOOP);
    assert_code(rill_stream_flush(a), RILL_EWRONGLOOP);
    assert_code(rill_stream_wait_closed(a), RILL_EWRONGLOOP);
    return 0;
}

/* mutant: tasks/stream.h @ rill__flow_may_wait
 * - if (RILL__UNLIKELY(fiber->loop != stream->loop))
 * + if (false) */
static void
test_a_task_of_another_loop_writes_drains_and_waits_for_nothing(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, make_pair, NULL), 0);
    assert_code(tasks_run(&other, write_from_abroad, NULL), 0);
    harness_settle(&h);
    assert_int_equal(rill_stream_buffered(b, NULL), 0);
    assert_false(rill_stream_is_closing(a));
    give_back();
}

/* Also of a stream that is lost, where there is nothing to wait for any more. */
static int
lose_both(void *unused)
{
    (void)unused;
    rill_stream_abort(a);
    RILL_IGNORE(rill_stream_wait_closed(a));
    RILL_IGNORE(rill_stream_wait_closed(b));
    return 0;
}

/* mutant: tasks/stream.h @ rill__flow_may_wait
 * - if (RILL__UNLIKELY(fiber->loop != stream->loop))
 * + if (stream->t != NULL && fiber->loop != stream->loop) */
static void
test_a_task_of_another_loop_is_refused_by_a_lost_stream_too(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, make_pair, NULL), 0);
    assert_code(tasks_run(&h, lose_both, NULL), 0);
    assert_code(tasks_run(&other, read_from_abroad, NULL), 0);
    assert_code(tasks_run(&other, write_from_abroad, NULL), 0);
    give_back();
}

/* ---- while somebody waits ---- */

static int64_t heard;
static char word[8];

static int
listen_to_it(void *unused)
{
    (void)unused;
    heard = rill_stream_read(b, word, sizeof(word));
    return 0;
}

/* mutant: tasks/stream_read.c @ rill__flow_begin_read
 * - int rc = rill__flow_may_wait(fiber, s, function);
 * + int rc = fiber == NULL ? RILL_ENOTASK : 0; */
static void
test_who_waits_on_the_streams_own_loop_does_not_notice(void **unused)
{
    rill_task *reader;

    (void)unused;
    heard = 0;
    assert_code(tasks_run(&h, make_pair, NULL), 0);
    assert_code(rill_spawn_on(h.loop, listen_to_it, NULL, NULL, &reader), 0);
    harness_settle(&h);
    assert_code(tasks_run(&other, read_from_abroad, NULL), 0);
    assert_int_equal(heard, 0);
    assert_true(rill_stream_write_nowait(a, "word", 4) >= 0);
    harness_settle(&h);
    assert_int_equal(heard, 4);
    assert_memory_equal(word, "word", 4);
    rill_task_unref(reader);
    give_back();
}

/* ---- servers ---- */

static int
answer(rill_stream *stream, void *unused)
{
    (void)unused;
    return rill_stream_write(stream, "here", 4);
}

static int
serve_from_abroad(void *unused)
{
    (void)unused;
    assert_code(rill_stream_server_serve_forever(server), RILL_EWRONGLOOP);
    assert_code(rill_stream_server_drain(server), RILL_EWRONGLOOP);
    assert_code(rill_stream_server_close(server), RILL_EWRONGLOOP);
    return 0;
}

static int
call_it(void *unused)
{
    rill_stream *s;
    rill_addr addr;
    char buf[8];
    int64_t n;

    (void)unused;
    RILL_TRY(rill_server_sockname(rill_stream_server_base(server), 0, &addr));
    RILL_TRY(rill_open_connection("127.0.0.1", rill_addr_port(&addr), NULL, &s));
    n = rill_stream_read_exactly(s, buf, 4, NULL);
    rill_stream_close(s);
    RILL_IGNORE(rill_stream_wait_closed(s));
    rill_stream_unref(s);
    return (int)n;
}

static int
close_it(void *unused)
{
    (void)unused;
    return rill_stream_server_close(server);
}

/* It is as it was: it still serves.
 *
 * mutant: tasks/stream_server.c @ may_wait
 * - if (fiber->loop != server->loop)
 * + if (false)
 *
 * mutant: tasks/stream_server.c @ rill_stream_server_close
 * - if (fiber->loop != server->loop)
 * + if (false) */
static void
test_a_task_of_another_loop_neither_serves_nor_drains_nor_closes_a_server(void **unused)
{
    (void)unused;
    assert_code(rill_start_server_on(
                    h.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), NULL, answer, NULL, &server),
        0);
    assert_code(tasks_run(&other, serve_from_abroad, NULL), 0);
    assert_code(tasks_run(&h, call_it, NULL), 4);
    assert_code(tasks_run(&h, close_it, NULL), 0);
    harness_settle(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_task_of_another_loop_reads_nothing_in_any_way),
        CASE(test_a_task_of_another_loop_writes_drains_and_waits_for_nothing),
        CASE(test_a_task_of_another_loop_is_refused_by_a_lost_stream_too),
        CASE(test_who_waits_on_the_streams_own_loop_does_not_notice),
        CASE(test_a_task_of_another_loop_neither_serves_nor_drains_nor_closes_a_server),
    };

    return run_cases(tests);
}
