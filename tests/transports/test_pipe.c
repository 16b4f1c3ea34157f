/*
 * Pipes between two transports of one loop: bytes and their order, the end of input, readers that
 * go, flow control, close and abort with bytes queued.
 */
#include "pairs.h"
#include "pipes.h"

#include <errno.h>
#include <unistd.h>

static harness h;
static pipe_ends p;

static int
setup(void **unused)
{
    (void)unused;
    memset(&p, 0, sizeof(p));
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    pipe_close(&p);
    harness_close(&h);
    return 0;
}

/* For hooks, which must be there before connection_made. */
static void
prepare(void)
{
    p.h = &h;
    endpoint_init(&p.reads, &h);
    endpoint_init(&p.writes, &h);
}

static void
await_both_lost(void)
{
    harness_until(&h, endpoint_is_lost, &p.writes);
    harness_until(&h, endpoint_is_lost, &p.reads);
}

/* ---- bytes ---- */

static void
test_what_is_written_comes_out(void **unused)
{
    char text[8] = { 0 };

    (void)unused;
    prepare();
    endpoint_keep(&p.reads, text, 5);
    pipe_open(&p, &h, NULL);
    assert_int_equal(rill_transport_write(p.writes.t, "hello", 5), 1);
    endpoint_await(&p.reads, 5);
    assert_string_equal(text, "hello");
    rill_transport_close(p.writes.t);
    await_both_lost();
    assert_string_equal(p.writes.tape, "made lost(0)");
    assert_string_equal(p.reads.tape, "made data(5) eof lost(RILL_EOF)");
}

static void
write_both_words(endpoint *e)
{
    assert_int_equal(rill_transport_write(e->t, "in ", 3), 1);
    assert_int_equal(rill_transport_write(e->t, "time", 4), 1);
}

static void
test_what_is_written_in_a_callback_leaves_with_it(void **unused)
{
    char text[8] = { 0 };

    (void)unused;
    prepare();
    endpoint_keep(&p.reads, text, 7);
    p.writes.on_made = write_both_words;
    pipe_open(&p, &h, NULL);
    endpoint_await(&p.reads, 7);
    assert_string_equal(text, "in time");
}

static void
test_many_parts(void **unused)
{
    static uint8_t bytes[300];
    rill_iovec parts[300];

    (void)unused;
    stream_fill(bytes, 0, sizeof(bytes));
    for (size_t i = 0; i < 300; i++)
        parts[i] = (rill_iovec){ bytes + i, 1 };
    pipe_open(&p, &h, NULL);
    assert_int_equal(rill_transport_writev(p.writes.t, parts, 300), 1);
    endpoint_await(&p.reads, 300);
    assert_true(p.reads.hash == stream_hash(300));
}

static void
count_release(void *arg)
{
    ++*(int *)arg;
}

static void
test_bytes_by_reference(void **unused)
{
    static uint8_t bytes[400000];
    int released = 0;

    (void)unused;
    stream_fill(bytes, 0, sizeof(bytes));
    pipe_open(&p, &h, NULL);
    assert_true(
        rill_transport_write_ref(p.writes.t, bytes, sizeof(bytes), count_release, &released) >= 0);
    assert_int_equal(released, 0);
    endpoint_await(&p.reads, sizeof(bytes));
    harness_settle(&h);
    assert_int_equal(released, 1);
    assert_true(p.reads.hash == stream_hash(sizeof(bytes)));
}

/* ---- the end of the input ---- */

/* asyncio: test_unix_read_pipe: eof_received, then connection_lost. */
static void
test_the_end_of_the_input_is_told_once_and_closes(void **unused)
{
    (void)unused;
    prepare();
    p.reads.keep_open = true; /* As in asyncio, the answer counts for nothing. */
    pipe_open(&p, &h, NULL);
    rill_transport_close(p.writes.t);
    await_both_lost();
    assert_string_equal(p.reads.tape, "made eof lost(RILL_EOF)");
}

static void
test_what_is_left_is_read_before_the_end(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    (void)endpoint_send_stream(&p.writes, 0, 3000);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    harness_settle(&h);
    assert_string_equal(p.reads.tape, "made");
    rill_transport_resume_reading(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made data(3000) eof lost(RILL_EOF)");
    assert_true(p.reads.hash == stream_hash(3000));
}

static void
close_it(endpoint *e)
{
    rill_transport_close(e->t);
}

static void
abort_it(endpoint *e)
{
    rill_transport_abort(e->t);
}

static void
test_an_end_may_be_closed_or_aborted_in_eof_received(void **unused)
{
    (void)unused;
    prepare();
    p.reads.on_eof = close_it;
    pipe_open(&p, &h, NULL);
    rill_transport_close(p.writes.t);
    await_both_lost();
    assert_string_equal(p.reads.tape, "made eof lost(0)");

    prepare();
    p.reads.on_eof = abort_it;
    pipe_open(&p, &h, NULL);
    rill_transport_close(p.writes.t);
    await_both_lost();
    assert_string_equal(p.reads.tape, "made eof lost(RILL_EABORTED)");
}

/* ---- readers that go ---- */

/* asyncio: a write pipe whose reader closes without data pending: connection_lost(None). */
static void
test_a_writer_is_told_that_nobody_reads(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_close(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_string_equal(p.writes.tape, "made lost(RILL_EOF)");
    assert_string_equal(p.reads.tape, "made lost(0)");
    assert_contains(p.writes.sentence, "nobody reads");
}

/* asyncio: with data pending: BrokenPipeError. */
static void
test_a_writer_with_bytes_queued_has_lost_them(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    (void)pipe_fill(&p);
    rill_transport_close(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, -EPIPE);
    assert_int_equal(p.writes.why.layer, RILL_LAYER_SYSTEM);
    assert_int_equal(p.writes.why.native, EPIPE);
}

/* The write is made before the loop has looked; outside of a run SIGPIPE would hit the process. */
static void
test_a_write_that_nobody_reads_loses_the_transport(void **unused)
{
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    pipe_descriptors(&h, &read_fd, &write_fd);
    pipe_connect_writer(&p, write_fd, NULL);
    assert_code(rill_pipe_close(h.loop, read_fd), 0);
    assert_int_equal(rill_transport_write(p.writes.t, "anybody?", 8), 1);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, -EPIPE);
}

static void
test_a_close_that_flushes_to_nobody_ends(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    (void)pipe_fill(&p);
    rill_transport_close(p.writes.t);
    harness_turn(&h);
    assert_false(p.writes.lost);
    rill_transport_close(p.reads.t);
    await_both_lost();
    assert_code(p.writes.why.code, -EPIPE);
}

static void
test_a_writer_is_made_though_nobody_reads(void **unused)
{
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    pipe_descriptors(&h, &read_fd, &write_fd);
    assert_code(rill_pipe_close(h.loop, read_fd), 0);
    pipe_connect_writer(&p, write_fd, NULL);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_string_equal(p.writes.tape, "made lost(RILL_EOF)");
}

/* ---- flow control ---- */

static void
test_pauses_and_resumes_at_the_marks(void **unused)
{
    uint64_t written;

    (void)unused;
    pipe_open(&p, &h, &RILL_TRANSPORT_OPTIONS(.write_high = 20000, .write_low = 5000));
    rill_transport_pause_reading(p.reads.t);
    written = endpoint_fill(&p.writes);
    assert_true(p.writes.paused);
    assert_true(rill_transport_write_buffer_size(p.writes.t) > 20000);
    harness_settle(&h);
    assert_true(p.writes.paused);
    assert_int_equal(p.reads.received, 0);
    rill_transport_resume_reading(p.reads.t);
    harness_until(&h, endpoint_is_not_paused, &p.writes);
    assert_true(rill_transport_write_buffer_size(p.writes.t) <= 5000);
    endpoint_await(&p.reads, written);
    assert_true(p.reads.hash == stream_hash(written));
}

static void
test_nothing_is_delivered_while_reading_is_paused(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    rill_transport_pause_reading(p.reads.t);
    assert_false(rill_transport_is_reading(p.reads.t));
    (void)rill_transport_write(p.writes.t, "x", 1);
    harness_settle(&h);
    assert_int_equal(p.reads.received, 0);
    rill_transport_resume_reading(p.reads.t);
    rill_transport_resume_reading(p.reads.t);
    endpoint_await(&p.reads, 1);
}

static uint64_t pumped;

static void
pump_more(endpoint *e)
{
    while (!e->paused && pumped < 3000000) {
        (void)endpoint_send_stream(e, pumped, 50000);
        pumped += 50000;
    }
}

static void
test_megabytes_go_through(void **unused)
{
    (void)unused;
    prepare();
    pumped = 0;
    p.writes.on_made = pump_more;
    p.writes.on_resume = pump_more;
    pipe_open(&p, &h, NULL);
    endpoint_await(&p.reads, 3000000);
    assert_true(p.reads.hash == stream_hash(3000000));
}

static void
test_the_cap_ends_a_writer(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, &RILL_TRANSPORT_OPTIONS(.write_high = 1000, .write_cap = 200000));
    rill_transport_pause_reading(p.reads.t);
    for (int i = 0; i < 100 && !rill_transport_is_closing(p.writes.t); i++)
        (void)endpoint_send_stream(&p.writes, 0, 10000);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EOVERFLOW);
}

/* ---- closing ---- */

static void
test_close_flushes_first(void **unused)
{
    uint64_t written;

    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    written = pipe_fill(&p);
    rill_transport_close(p.writes.t);
    assert_code(rill_transport_write(p.writes.t, "x", 1), RILL_ECLOSED);
    rill_transport_resume_reading(p.reads.t);
    await_both_lost();
    assert_code(p.writes.why.code, 0);
    assert_code(p.reads.why.code, RILL_EOF);
    assert_int_equal(p.reads.received, written);
    assert_true(p.reads.hash == stream_hash(written));
}

/* asyncio: write_eof of a write pipe closes it when its buffer is empty. */
static void
test_write_eof_closes_after_the_last_byte(void **unused)
{
    uint64_t written;

    (void)unused;
    pipe_open(&p, &h, NULL);
    assert_true(rill_transport_can_write_eof(p.writes.t));
    rill_transport_pause_reading(p.reads.t);
    written = pipe_fill(&p);
    assert_code(rill_transport_write_eof(p.writes.t), 0);
    assert_true(rill_transport_is_closing(p.writes.t));
    assert_code(rill_transport_write(p.writes.t, "x", 1), RILL_ECLOSED);
    rill_transport_resume_reading(p.reads.t);
    await_both_lost();
    assert_code(p.writes.why.code, 0);
    assert_int_equal(p.reads.received, written);
}

static void
test_abort_drops_what_is_queued(void **unused)
{
    uint64_t written;

    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    written = pipe_fill(&p);
    rill_transport_abort(p.writes.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EABORTED);
    rill_transport_resume_reading(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_code(p.reads.why.code, RILL_EOF);
    assert_true(p.reads.received < written);
    assert_true(p.reads.hash == stream_hash(p.reads.received));
}

static void
test_a_reader_that_never_reads_cannot_hold_up_a_close(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, &RILL_TRANSPORT_OPTIONS(.close_timeout = 50 * RILL_MS));
    rill_transport_pause_reading(p.reads.t);
    (void)pipe_fill(&p);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_ECLOSETIMEOUT);
}

static void
test_both_ends_may_close_in_one_turn(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_close(p.reads.t);
    rill_transport_close(p.writes.t);
    rill_transport_close(p.reads.t);
    await_both_lost();
    assert_string_equal(p.writes.tape, "made lost(0)");
    assert_string_equal(p.reads.tape, "made lost(0)");
}

static void
test_closed_before_it_is_made(void **unused)
{
    rill_transport *reads = NULL;
    rill_transport *writes = NULL;
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    pipe_descriptors(&h, &read_fd, &write_fd);
    assert_code(
        rill_connect_read_pipe(h.loop, read_fd, NULL, &endpoint_protocol, &p.reads, &reads), 0);
    assert_code(
        rill_connect_write_pipe(h.loop, write_fd, NULL, &endpoint_protocol, &p.writes, &writes), 0);
    rill_transport_close(reads);
    rill_transport_abort(writes);
    harness_settle(&h);
    assert_false(p.reads.made);
    assert_false(p.writes.made);
}

static void
test_freeing_the_loop_ends_both(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    (void)pipe_fill(&p);
    h.log_allowed = true;
    harness_close_with(&h, 2);
    assert_true(p.reads.lost && p.writes.lost);
    assert_code(p.writes.why.code, RILL_ELOOPFREED);
    memset(&p, 0, sizeof(p));
    harness_open(&h);
}

/* ---- deadlines ---- */

static void
test_an_idle_pipe_ends(void **unused)
{
    rill_ns begin = rill_loop_time(h.loop);

    (void)unused;
    pipe_open(&p, &h, &RILL_TRANSPORT_OPTIONS(.idle_timeout = 3 * RILL_S));
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EIDLE);
    assert_true(p.writes.lost_at - begin >= 3 * RILL_S);
}

static void
test_a_stalled_pipe_ends(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, &RILL_TRANSPORT_OPTIONS(.stall_timeout = 5 * RILL_S));
    rill_transport_pause_reading(p.reads.t);
    (void)pipe_fill(&p);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_ESTALLED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_written_comes_out),
        CASE(test_what_is_written_in_a_callback_leaves_with_it),
        CASE(test_many_parts),
        CASE(test_bytes_by_reference),
        CASE(test_the_end_of_the_input_is_told_once_and_closes),
        CASE(test_what_is_left_is_read_before_the_end),
        CASE(test_an_end_may_be_closed_or_aborted_in_eof_received),
        CASE(test_a_writer_is_told_that_nobody_reads),
        CASE(test_a_writer_with_bytes_queued_has_lost_them),
        CASE(test_a_write_that_nobody_reads_loses_the_transport),
        CASE(test_a_close_that_flushes_to_nobody_ends),
        CASE(test_a_writer_is_made_though_nobody_reads),
        CASE(test_pauses_and_resumes_at_the_marks),
        CASE(test_nothing_is_delivered_while_reading_is_paused),
        CASE(test_megabytes_go_through),
        CASE(test_the_cap_ends_a_writer),
        CASE(test_close_flushes_first),
        CASE(test_write_eof_closes_after_the_last_byte),
        CASE(test_abort_drops_what_is_queued),
        CASE(test_a_reader_that_never_reads_cannot_hold_up_a_close),
        CASE(test_both_ends_may_close_in_one_turn),
        CASE(test_closed_before_it_is_made),
        CASE(test_freeing_the_loop_ends_both),
        CASE_ON("sim", test_an_idle_pipe_ends),
        CASE_ON("sim", test_a_stalled_pipe_ends),
    };

    return run_cases(tests);
}
