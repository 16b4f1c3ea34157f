/*
 * The ends of pipes: what one end cannot do, what it tells about itself, whose descriptors are
 * whose after an error, and two ends as one transport.
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
count_release(void *arg)
{
    ++*(int *)arg;
}

/* ---- one way ---- */

static void
ignore_done(void *arg, int rc, uint64_t sent)
{
    (void)rc;
    (void)sent;
    ++*(int *)arg;
}

static void
test_a_reading_end_is_not_written_to(void **unused)
{
    rill_iovec part = { "x", 1 };
    int calls = 0;

    (void)unused;
    pipe_open(&p, &h, NULL);
    assert_code(rill_transport_write(p.reads.t, "x", 1), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "reading end");
    assert_code(rill_transport_writev(p.reads.t, &part, 1), RILL_ENOTSUP);
    assert_code(rill_transport_write_ref(p.reads.t, "x", 1, count_release, &calls), RILL_ENOTSUP);
    assert_code(rill_transport_sendfile_start(p.reads.t, 0, 0, 1, true, ignore_done, &calls, NULL),
        RILL_ENOTSUP);
    assert_code(rill_transport_write_eof(p.reads.t), RILL_ENOTSUP);
    assert_false(rill_transport_can_write_eof(p.reads.t));
    assert_int_equal(calls, 0);
    assert_int_equal(rill_transport_write(p.writes.t, "y", 1), 1);
    endpoint_await(&p.reads, 1);
}

static void
test_a_writing_end_does_not_read(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    assert_false(rill_transport_is_reading(p.writes.t));
    rill_transport_pause_reading(p.writes.t);
    rill_transport_close(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.writes); /* That is told all the same. */
    assert_code(p.writes.why.code, RILL_EOF);
}

static void
test_what_it_tells_about_itself(void **unused)
{
    rill_transport_info info = { .size = sizeof(info) };
    rill_credentials credentials;
    rill_addr addr;
    char text[200];
    int value;

    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_get_info(p.reads.t, &info);
    assert_string_equal(info.kind, "read pipe");
    rill_transport_get_info(p.writes.t, &info);
    assert_string_equal(info.kind, "write pipe");
    assert_contains(rill_transport_describe(p.reads.t, text, sizeof(text)), "<read pipe");
    assert_contains(text, "open reading");
    assert_contains(rill_transport_describe(p.writes.t, text, sizeof(text)), "open silent");
    assert_code(rill_transport_peername(p.reads.t, &addr), RILL_ENOTSUP);
    assert_code(rill_transport_sockname(p.writes.t, &addr), RILL_ENOTSUP);
    assert_code(rill_transport_credentials(p.writes.t, &credentials), RILL_ENOTSUP);
    assert_code(
        rill_transport_get_option(p.writes.t, RILL_OPTION_SEND_BUFFER, &value), RILL_ENOTSUP);
    if (on_driver("sim"))
        assert_code(rill_transport_fd(p.reads.t), RILL_ENOTSUP);
    else
        assert_true(rill_transport_fd(p.reads.t) > 2);
}

/* ---- buffers of the protocol's own ---- */

static struct {
    char buf[4];
    uint64_t received;
    bool lost;
} own;

static size_t
own_get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    (void)t;
    (void)self;
    (void)hint;
    *ret_buf = own.buf;
    return sizeof(own.buf);
}

static void
own_updated(rill_transport *t, void *self, size_t len)
{
    (void)t;
    (void)self;
    for (size_t i = 0; i < len; i++)
        assert_int_equal((uint8_t)own.buf[i], stream_byte(own.received + i));
    own.received += len;
}

static void
own_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)self;
    assert_code(why->code, RILL_EOF);
    own.lost = true;
    harness_poke(&h);
}

static void
test_a_buffered_protocol_reads_into_its_own_memory(void **unused)
{
    static const rill_protocol buffered = RILL_PROTOCOL(.get_buffer = own_get_buffer,
        .buffer_updated = own_updated, .connection_lost = own_lost);
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    memset(&own, 0, sizeof(own));
    pipe_descriptors(&h, &read_fd, &write_fd);
    assert_code(rill_connect_read_pipe(h.loop, read_fd, NULL, &buffered, NULL, NULL), 0);
    pipe_connect_writer(&p, write_fd, NULL);
    (void)endpoint_send_stream(&p.writes, 0, 1001);
    rill_transport_close(p.writes.t);
    harness_until(&h, flag_is_set, &own.lost);
    assert_int_equal(own.received, 1001);
}

/* ---- descriptors ---- */

static void
test_a_failing_call_has_taken_nothing(void **unused)
{
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    pipe_descriptors(&h, &read_fd, &write_fd);
    assert_code(rill_connect_read_pipe(h.loop, read_fd, NULL, NULL, NULL, NULL), RILL_EINVAL);
    assert_code(rill_connect_read_pipe(h.loop, read_fd,
                    &RILL_TRANSPORT_OPTIONS(.write_high = 5, .write_low = 6), &endpoint_protocol,
                    NULL, NULL),
        RILL_EINVAL);
    assert_code(rill_connect_read_pipe(h.loop, write_fd, NULL, &endpoint_protocol, NULL, NULL),
        RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "is not open for reading");
    assert_code(rill_connect_write_pipe(h.loop, read_fd, NULL, &endpoint_protocol, NULL, NULL),
        RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "is not open for writing");
    pipe_connect_reader(&p, read_fd);
    pipe_connect_writer(&p, write_fd, NULL);
    assert_code(
        rill_connect_read_pipe(h.loop, read_fd, NULL, &endpoint_protocol, NULL, NULL), -EEXIST);
    (void)rill_transport_write(p.writes.t, "still there", 11);
    endpoint_await(&p.reads, 11);
}

static void
test_memory_that_lacks_leaves_the_descriptors(void **unused)
{
    int read_fd;
    int write_fd;

    (void)unused;
    prepare();
    pipe_descriptors(&h, &read_fd, &write_fd);
    for (size_t n = 1;; n++) {
        int rc;

        allocator_fail(&h.allocator, n, false);
        rc = rill_connect_write_pipe(h.loop, write_fd,
            &RILL_TRANSPORT_OPTIONS(.idle_timeout = RILL_S * 60), &endpoint_protocol, &p.writes,
            NULL);
        allocator_heal(&h.allocator);
        if (rc == 0)
            break;
        assert_code(rc, -ENOMEM);
        expect_last_error(&h, -ENOMEM, "memory");
        assert_true(n < 100);
    }
    pipe_connect_reader(&p, read_fd);
    (void)rill_transport_write(p.writes.t, "x", 1);
    endpoint_await(&p.reads, 1);
}

static void
test_ends_that_nobody_takes_are_closed(void **unused)
{
    size_t before = descriptor_count();
    int read_fd;
    int write_fd;

    (void)unused;
    pipe_descriptors(&h, &read_fd, &write_fd);
    assert_code(rill_pipe_close(h.loop, write_fd), 0);
    assert_code(rill_pipe_close(h.loop, read_fd), 0);
    assert_true(rill_pipe_close(h.loop, read_fd) < 0);
    assert_int_equal(descriptor_count(), before);
}

/* ---- two pipes as one transport ---- */

static int far_read, far_write; /* The other process's ends. */

static void
open_both(endpoint *e)
{
    int near_read;
    int near_write;

    pipe_descriptors(&h, &near_read, &far_write);
    pipe_descriptors(&h, &far_read, &near_write);
    assert_code(
        rill_connect_pipes(h.loop, near_read, near_write, NULL, &endpoint_protocol, e, NULL), 0);
    harness_until(&h, endpoint_is_made, e);
}

static void
test_two_pipes_are_one_connection(void **unused)
{
    endpoint e;

    (void)unused;
    prepare();
    endpoint_init(&e, &h);
    e.keep_open = true;
    open_both(&e);
    pipe_connect_reader(&p, far_read);
    pipe_connect_writer(&p, far_write, NULL);
    (void)rill_transport_write(p.writes.t, "there", 5);
    endpoint_await(&e, 5);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_has_eof, &e);
    (void)rill_transport_write(e.t, "and back", 8);
    endpoint_await(&p.reads, 8);
    rill_transport_close(e.t);
    harness_until(&h, endpoint_is_lost, &e);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(e.tape, "made data(5) eof lost(0)");
    assert_string_equal(p.reads.tape, "made data(8) eof lost(RILL_EOF)");
}

static void
test_the_writing_half_ends_alone(void **unused)
{
    endpoint e;

    (void)unused;
    prepare();
    endpoint_init(&e, &h);
    open_both(&e);
    pipe_connect_reader(&p, far_read);
    pipe_connect_writer(&p, far_write, NULL);
    (void)rill_transport_write(e.t, "input", 5);
    assert_code(rill_transport_write_eof(e.t), 0);
    assert_code(rill_transport_write_eof(e.t), 0);
    assert_code(rill_transport_write(e.t, "x", 1), RILL_EEOFSENT);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made data(5) eof lost(RILL_EOF)");
    harness_settle(&h);
    assert_false(e.lost);
    (void)rill_transport_write(p.writes.t, "output", 6);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(6) eof lost(RILL_EOF)");
}

/* A program that has closed its input may have much to say. */
static void
test_input_goes_on_when_nobody_reads_the_output(void **unused)
{
    endpoint e;

    (void)unused;
    prepare();
    endpoint_init(&e, &h);
    open_both(&e);
    pipe_connect_writer(&p, far_write, NULL);
    assert_code(rill_pipe_close(h.loop, far_read), 0);
    harness_settle(&h);
    assert_false(e.lost);
    (void)rill_transport_write(p.writes.t, "more", 4);
    endpoint_await(&e, 4);
    (void)rill_transport_write(e.t, "lost", 4);
    harness_settle(&h);
    assert_code(rill_transport_write(e.t, "x", 1), -EPIPE);
    assert_code(rill_transport_write_eof(e.t), -EPIPE);
    assert_code(rill_transport_sendfile_start(e.t, 0, 0, 1, true, ignore_done, NULL, NULL), -EPIPE);
    (void)rill_transport_write(p.writes.t, "last", 4);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(8) eof lost(EPIPE)");
}

static int drained;

static void
note_drained(void *arg, int rc)
{
    (void)arg;
    drained = rc;
}

/* Who waits for the bytes to leave is told that they will not. */
static void
test_output_that_nobody_reads_is_dropped(void **unused)
{
    endpoint e;

    (void)unused;
    prepare();
    endpoint_init(&e, &h);
    open_both(&e);
    pipe_connect_writer(&p, far_write, NULL);
    pipe_connect_reader(&p, far_read);
    rill_transport_pause_reading(p.reads.t);
    (void)endpoint_fill(&e);
    drained = 1;
    assert_code(rill_transport_drain_start(e.t, 0, RILL_NEVER, note_drained, NULL, NULL), 0);
    rill_transport_abort(p.reads.t);
    harness_until(&h, endpoint_is_not_paused, &e);
    assert_code(drained, -EPIPE);
    assert_int_equal(rill_transport_write_buffer_size(e.t), 0);
    assert_false(e.lost);
    rill_transport_pause_reading(e.t);
    (void)rill_transport_write(p.writes.t, "later", 5);
    harness_settle(&h);
    rill_transport_resume_reading(e.t);
    endpoint_await(&e, 5);
    rill_transport_close(e.t);
    harness_until(&h, endpoint_is_lost, &e);
    assert_code(e.why.code, -EPIPE);
}

static void
test_two_pipes_need_memory_for_both_or_take_none(void **unused)
{
    endpoint e;
    int near_read;
    int near_write;
    int rc = -ENOMEM;

    (void)unused;
    prepare();
    endpoint_init(&e, &h);
    pipe_descriptors(&h, &near_read, &far_write);
    pipe_descriptors(&h, &far_read, &near_write);
    for (size_t n = 1; rc == -ENOMEM; n++) {
        allocator_fail(&h.allocator, n, false);
        rc = rill_connect_pipes(h.loop, near_read, near_write, NULL, &endpoint_protocol, &e, NULL);
        allocator_heal(&h.allocator);
        assert_true(n < 100);
    }
    assert_code(rc, 0);
    harness_until(&h, endpoint_is_made, &e);
    assert_code(rill_transport_fd(e.t), RILL_ENOTSUP);
    pipe_connect_reader(&p, far_read);
    pipe_connect_writer(&p, far_write, NULL);
    (void)rill_transport_write(e.t, "x", 1);
    endpoint_await(&p.reads, 1);
    rill_transport_abort(e.t);
    harness_until(&h, endpoint_is_lost, &e);
    assert_code(e.why.code, RILL_EABORTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_reading_end_is_not_written_to),
        CASE(test_a_writing_end_does_not_read),
        CASE(test_what_it_tells_about_itself),
        CASE(test_a_buffered_protocol_reads_into_its_own_memory),
        CASE(test_a_failing_call_has_taken_nothing),
        CASE(test_memory_that_lacks_leaves_the_descriptors),
        CASE(test_ends_that_nobody_takes_are_closed),
        CASE(test_two_pipes_are_one_connection),
        CASE(test_the_writing_half_ends_alone),
        CASE(test_input_goes_on_when_nobody_reads_the_output),
        CASE(test_output_that_nobody_reads_is_dropped),
        CASE(test_two_pipes_need_memory_for_both_or_take_none),
    };

    return run_cases(tests);
}
