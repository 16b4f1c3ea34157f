/*
 * Streams over pipes: one end, two ends as one stream, readers that go, and the standard streams.
 */
#include "child.h"
#include "streams.h"

#include <errno.h>
#include <unistd.h>

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

#define PIPE_TEST(name)                                   \
    static void test_##name(void **unused)                \
    {                                                     \
        (void)unused;                                     \
        assert_code(streams_run_task(&h, name, NULL), 0); \
    }

static rill_stream *
opened(int rc, rill_stream **s)
{
    streams_must(rc);
    return streams_keep(*s);
}

static void
open_two(rill_stream **ret_in, rill_stream **ret_out)
{
    int read_fd;
    int write_fd;

    assert_code(rill_pipe(h.loop, 0, &read_fd, &write_fd), 0);
    opened(rill_open_read_pipe(read_fd, NULL, ret_in), ret_in);
    opened(rill_open_write_pipe(write_fd, NULL, ret_out), ret_out);
}

static void
close_two(int read_fd, int write_fd)
{
    assert_code(rill_pipe_close(h.loop, read_fd), 0);
    assert_code(rill_pipe_close(h.loop, write_fd), 0);
}

/* ---- one way ---- */

static int
lines_go_through_to_the_end(void *unused)
{
    rill_stream *in;
    rill_stream *out;
    rill_slice line;

    (void)unused;
    open_two(&in, &out);
    streams_must(rill_stream_write(out, "one\ntwo\nthree", 13));
    streams_hang_up(out);
    streams_must((int)rill_stream_readline(in, &line));
    streams_expect(line, "one\n");
    streams_must((int)rill_stream_readline(in, &line));
    streams_expect(line, "two\n");
    streams_must((int)rill_stream_readline(in, &line));
    streams_expect(line, "three");
    assert_int_equal(rill_stream_readline(in, &line), 0);
    assert_true(rill_stream_at_eof(in));
    streams_hang_up(in);
    return 0;
}
/* mutant: tasks/stream_pipe.c
 * - rill__flow_take_over(b->stream, t); */
PIPE_TEST(lines_go_through_to_the_end)

static int
write_megabytes(void *arg)
{
    static uint8_t block[50000];

    for (int i = 0; i < 40; i++)
        streams_must(rill_stream_write(arg, block, sizeof(block)));
    rill_stream_close(arg);
    return 0;
}

static int
a_slow_reader_slows_the_writer_down(void *unused)
{
    static uint8_t buf[30000];
    rill_stream *in;
    rill_stream *out;
    rill_task *task;
    uint64_t got = 0;
    int64_t n;

    (void)unused;
    open_two(&in, &out);
    streams_must(rill_spawn(write_megabytes, out, NULL, &task));
    streams_turns(10);
    assert_true(rill_transport_write_buffer_size(rill_stream_transport(out)) < 300000);
    while ((n = rill_stream_read(in, buf, sizeof(buf))) > 0)
        got += (uint64_t)n;
    assert_int_equal(n, 0);
    assert_int_equal(got, 2000000);
    streams_must(rill_join(task));
    streams_hang_up(out);
    streams_hang_up(in);
    return 0;
}
/* mutant: tasks/stream.c @ rill__flow_pause
 * - ((rill_stream *)self)->paused = true; */
PIPE_TEST(a_slow_reader_slows_the_writer_down)

static int
who_only_writes_has_nothing_to_read(void *unused)
{
    rill_stream *in;
    rill_stream *out;
    char byte;

    (void)unused;
    open_two(&in, &out);
    assert_int_equal(rill_stream_read(out, &byte, 1), 0);
    assert_true(rill_stream_at_eof(out));
    streams_hang_up(out);
    streams_hang_up(in);
    return 0;
}
/* mutant: tasks/stream_pipe.c
 * - b->stream->eof = t->eof_received; */
PIPE_TEST(who_only_writes_has_nothing_to_read)

static int
who_only_reads_does_not_write(void *unused)
{
    rill_stream *in;
    rill_stream *out;
    char text[3];

    (void)unused;
    open_two(&in, &out);
    assert_code(rill_stream_write(in, "x", 1), RILL_ENOTSUP);
    assert_code(rill_stream_write_eof(in), RILL_ENOTSUP);
    streams_must(rill_stream_write(out, "yes", 3));
    assert_int_equal(rill_stream_read_exactly(in, text, 3, NULL), 3);
    streams_hang_up(out);
    streams_hang_up(in);
    return 0;
}
/* mutant: transports/pipe.c @ rill__pipe_new
 * - t->refuse |= writes ? 0 : RILL__REFUSE_ONEWAY; */
PIPE_TEST(who_only_reads_does_not_write)

/* ---- readers that go ---- */

static int
wait_for_the_end(void *arg)
{
    rill_scope limit;
    int rc;

    rill_timeout_begin(&limit, 5 * RILL_S);
    rc = rill_stream_wait_closed(arg);
    return rill_scope_end(&limit, rc);
}

static int
an_idle_writer_hears_that_its_reader_has_gone(void *unused)
{
    rill_stream *in;
    rill_stream *out;

    (void)unused;
    open_two(&in, &out);
    streams_hang_up(in);
    assert_code(wait_for_the_end(out), 0);
    assert_code(rill_stream_error(out), 0);
    assert_code(rill_stream_write(out, "x", 1), RILL_ECLOSED);
    streams_hang_up(out);
    return 0;
}
/* mutant: transports/stream.c @ recv_fn
 * - return (s->io.recv.pipe & RILL__PIPE_WRITES) != 0 ? rill__pipe_on_hangup : on_recv;
 * + return s != NULL ? on_recv : rill__pipe_on_hangup; */
PIPE_TEST(an_idle_writer_hears_that_its_reader_has_gone)

static int
write_until_it_fails(void *arg)
{
    static uint8_t block[50000];
    int rc = 0;

    for (int i = 0; i < 100 && rc == 0; i++)
        rc = rill_stream_write(arg, block, sizeof(block));
    return rc;
}

static int
a_writer_that_waits_is_told_of_the_broken_pipe(void *unused)
{
    rill_stream *in;
    rill_stream *out;
    rill_task *task;

    (void)unused;
    open_two(&in, &out);
    streams_must(rill_spawn(write_until_it_fails, out, NULL, &task));
    streams_turns(5);
    streams_hang_up(in);
    assert_code(rill_join(task), -EPIPE);
    assert_code(rill_stream_error(out), -EPIPE);
    streams_hang_up(out);
    return 0;
}
/* mutant: transports/pipe.c @ rill__pipe_on_hangup
 * - if (rill__queue_is_empty(&s->queue) && s->file == NULL && rill__stream_all_sent(s))
 * + if (rill__stream_all_sent(s) || true) */
PIPE_TEST(a_writer_that_waits_is_told_of_the_broken_pipe)

/* ---- two ends as one stream ---- */

static void
open_crosswise(rill_stream **ret_a, rill_stream **ret_b)
{
    int there[2];
    int back[2];

    assert_code(rill_pipe(h.loop, 0, &there[0], &there[1]), 0);
    assert_code(rill_pipe(h.loop, 0, &back[0], &back[1]), 0);
    opened(rill_open_pipes(back[0], there[1], NULL, ret_a), ret_a);
    opened(rill_open_pipes(there[0], back[1], NULL, ret_b), ret_b);
}

static int
a_question_ends_and_its_answer_comes(void *unused)
{
    rill_stream *a;
    rill_stream *b;
    rill_slice text;

    (void)unused;
    open_crosswise(&a, &b);
    streams_must(rill_stream_write(a, "question", 8));
    streams_must(rill_stream_write_eof(a));
    streams_must((int)rill_stream_read_all(b, 100, &text));
    streams_expect(text, "question");
    streams_must(rill_stream_write(b, "answer", 6));
    streams_hang_up(b);
    streams_must((int)rill_stream_read_all(a, 100, &text));
    streams_expect(text, "answer");
    streams_hang_up(a);
    return 0;
}
/* mutant: transports/pipe_duplex.c @ rill__duplex_shut_out
 * - loop->ops->close_io(loop->driver, &s->io, false); */
PIPE_TEST(a_question_ends_and_its_answer_comes)

/* As head does: it takes what it wants, closes its input, and prints afterwards. */
static int
who_reads_no_more_is_still_read(void *unused)
{
    rill_stream *a;
    rill_stream *b = NULL;
    rill_stream *out = NULL;
    rill_task *task;
    rill_slice text;
    int there[2];
    int back[2];

    (void)unused;
    assert_code(rill_pipe(h.loop, 0, &there[0], &there[1]), 0);
    assert_code(rill_pipe(h.loop, 0, &back[0], &back[1]), 0);
    opened(rill_open_pipes(back[0], there[1], NULL, &a), &a);
    opened(rill_open_read_pipe(there[0], NULL, &b), &b);
    opened(rill_open_write_pipe(back[1], NULL, &out), &out);
    streams_must(rill_spawn(write_until_it_fails, a, NULL, &task));
    streams_turns(5);
    streams_hang_up(b);
    assert_code(rill_join(task), -EPIPE); /* Told at once, not when the input has ended. */
    assert_code(rill_stream_write(a, "x", 1), -EPIPE);
    streams_must(rill_stream_write(out, "afterwards", 10));
    streams_hang_up(out);
    streams_must((int)rill_stream_read_all(a, 100, &text));
    streams_expect(text, "afterwards");
    streams_hang_up(a);
    return 0;
}
/* mutant: transports/pipe_duplex.c @ drop_output
 * - rill_transport_account(t, -(int64_t)t->queued_bytes, 0);
 * mutant: transports/stream.c @ rill__stream_write_failed
 * - if (RILL__UNLIKELY(s->is_duplex) && rill__duplex_out_failed(s, code))
 * + if (false) */
PIPE_TEST(who_reads_no_more_is_still_read)

/* ---- what opens nothing ---- */

static int
an_open_that_fails_takes_nothing(void *unused)
{
    rill_connect_options connect = { .size = sizeof(connect) };
    rill_stream *s = NULL;
    int read_fd;
    int write_fd;

    (void)unused;
    assert_code(rill_pipe(h.loop, 0, &read_fd, &write_fd), 0);
    assert_code(rill_open_read_pipe(write_fd, NULL, &s), RILL_EINVAL);
    assert_code(rill_open_write_pipe(read_fd, NULL, &s), RILL_EINVAL);
    assert_code(rill_open_pipes(write_fd, read_fd, NULL, &s), RILL_EINVAL);
    assert_code(
        rill_open_read_pipe(read_fd, RILL_STREAM_OPTIONS(.connect = &connect), &s), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "no options for connecting");
    assert_null(s);
    close_two(read_fd, write_fd);
    return 0;
}
/* mutant: tasks/stream_pipe.c @ open_stream
 * - if (copy.connect != NULL)
 * + if (copy.connect != NULL && fiber == NULL)
 * mutant: tasks/stream_pipe.c @ open_stream
 * - rill_stream_unref(b.stream); */
PIPE_TEST(an_open_that_fails_takes_nothing)

static int
under_a_cancel_nothing_opens(void *unused)
{
    rill_stream *s = NULL;
    int read_fd;
    int write_fd;

    (void)unused;
    assert_code(rill_pipe(h.loop, 0, &read_fd, &write_fd), 0);
    (void)rill_task_cancel(rill_current_task(), NULL);
    assert_code(rill_open_read_pipe(read_fd, NULL, &s), RILL_ECANCELED);
    assert_code(rill_open_pipes(read_fd, write_fd, NULL, &s), RILL_ECANCELED);
    assert_null(s);
    (void)rill_task_uncancel(rill_current_task());
    close_two(read_fd, write_fd);
    return 0;
}
/* mutant: tasks/stream_pipe.c @ open_stream
 * - int rc = rill__may_wait(fiber);
 * + int rc = 0; */
PIPE_TEST(under_a_cancel_nothing_opens)

static int
without_memory_nothing_opens(void *unused)
{
    rill_stream *s = NULL;
    int read_fd;
    int write_fd;
    int rc = -ENOMEM;

    (void)unused;
    assert_code(rill_pipe(h.loop, 0, &read_fd, &write_fd), 0);
    for (size_t n = 1; rc == -ENOMEM; n++) {
        allocator_fail(&h.allocator, n, false);
        rc = rill_open_pipes(read_fd, write_fd,
            RILL_STREAM_OPTIONS(.transport = &RILL_TRANSPORT_OPTIONS(.idle_timeout = 60 * RILL_S)),
            &s);
        allocator_heal(&h.allocator);
        assert_true(n < 100);
    }
    opened(rc, &s);
    assert_code(rill_stream_write(s, "to myself", 9), 0);
    streams_await(s, 9);
    streams_hang_up(s);
    return 0;
}
/* mutant: transports/pipe_duplex.c @ attach_in
 * - rill_transport_discard(t); */
PIPE_TEST(without_memory_nothing_opens)

/* ---- the standard streams ---- */

static int
shout(rill_stream *in, rill_stream *out)
{
    rill_slice line;
    int64_t n;

    while ((n = rill_stream_readline(in, &line)) > 0) {
        RILL_TRY(rill_stream_write(out, "! ", 2));
        RILL_TRY(rill_stream_write(out, line.data, line.len));
    }
    return n == RILL_EINCOMPLETE ? 0 : (int)n;
}

static int
shout_from_one_to_the_other(void *unused)
{
    rill_stream *in;
    rill_stream *out;
    int rc;

    (void)unused;
    RILL_TRY(rill_open_stdin(NULL, &in));
    RILL_TRY(rill_open_stdout(NULL, &out));
    rc = shout(in, out);
    rill_stream_close(in);
    rill_stream_close(out);
    RILL_IGNORE(rill_stream_wait_closed(out));
    rill_stream_unref(in);
    rill_stream_unref(out);
    return rc;
}

static int
shout_on_one_stream(void *unused)
{
    rill_stream *both;
    int rc;

    (void)unused;
    RILL_TRY(rill_open_stdio(NULL, &both));
    rc = shout(both, both);
    rill_stream_close(both);
    RILL_IGNORE(rill_stream_wait_closed(both));
    rill_stream_unref(both);
    return rc;
}

/* The filter, as a program whose input and output are pipes. */
static int
run_filter(void *arg)
{
    static const char want[] = "! one\n! two\n";
    char text[64] = { 0 };
    int in[2];
    int out[2];

    CHILD_CHECK(pipe(in) == 0 && pipe(out) == 0);
    CHILD_CHECK(dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1);
    CHILD_CHECK(write(in[1], "one\ntwo\n", 8) == 8);
    close(in[1]);
    CHILD_CHECK(rill_run(*(rill_fn *)arg, NULL) == 0);
    CHILD_CHECK(write(1, ".", 1) == 1); /* It is still open. */
    CHILD_CHECK(read(out[0], text, sizeof(text)) == (ssize_t)sizeof(want));
    CHILD_CHECK(strncmp(text, want, sizeof(want) - 1) == 0);
    return 0;
}

static void
expect_filter(rill_fn fn)
{
    child_result result;

    child_run(run_filter, &fn, &result);
    if (result.exit_code != 0)
        fail_msg("%d, signal %d: %s", result.exit_code, result.signal, result.text);
}

/* mutant: tasks/stream_pipe.c @ connect_stdin
 * - return rill_connect_stdin_site(loop, options, protocol, arg, site, NULL);
 * + return rill_connect_stdout_site(loop, options, protocol, arg, site, NULL);
 * mutant: tasks/stream_pipe.c @ connect_stdout
 * - return rill_connect_stdout_site(loop, options, protocol, arg, site, NULL);
 * + return rill_connect_stdin_site(loop, options, protocol, arg, site, NULL); */
static void
test_the_standard_streams_as_two(void **unused)
{
    (void)unused;
    expect_filter(shout_from_one_to_the_other);
}

/* mutant: tasks/stream_pipe.c @ connect_stdio
 * - return rill_connect_stdio_site(loop, options, protocol, arg, site, NULL);
 * + return rill_connect_stdin_site(loop, options, protocol, arg, site, NULL); */
static void
test_the_standard_streams_as_one(void **unused)
{
    (void)unused;
    expect_filter(shout_on_one_stream);
}

static int
open_standard(void *unused)
{
    rill_stream *s = NULL;

    (void)unused;
    assert_code(rill_open_stdin(NULL, &s), RILL_ENOTSUP);
    assert_code(rill_open_stdout(NULL, &s), RILL_ENOTSUP);
    assert_code(rill_open_stdio(NULL, &s), RILL_ENOTSUP);
    assert_null(s);
    return 0;
}

/* mutant: core/driver/sim/oneway.c @ pipe_standard
 * - return RILL_ENOTSUP;
 * + return -EBADF; */
static void
test_the_simulator_has_none(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, open_standard, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lines_go_through_to_the_end),
        CASE(test_a_slow_reader_slows_the_writer_down),
        CASE(test_who_only_writes_has_nothing_to_read),
        CASE(test_who_only_reads_does_not_write),
        CASE(test_an_idle_writer_hears_that_its_reader_has_gone),
        CASE(test_a_writer_that_waits_is_told_of_the_broken_pipe),
        CASE(test_a_question_ends_and_its_answer_comes),
        CASE(test_who_reads_no_more_is_still_read),
        CASE(test_an_open_that_fails_takes_nothing),
        CASE(test_under_a_cancel_nothing_opens),
        CASE(test_without_memory_nothing_opens),
        CASE_ON("kernel", test_the_standard_streams_as_two),
        CASE_ON("kernel", test_the_standard_streams_as_one),
        CASE_ON("sim", test_the_simulator_has_none),
    };

    return run_cases(tests);
}
