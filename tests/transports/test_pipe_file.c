/*
 * Files sent into pipes: by the kernel, in order with what is written, canceled, to readers that
 * go, and copied where the kernel cannot.
 */
#include "calls.h"
#include "pairs.h"
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_BYTES 1000000

static harness h;
static pipe_ends p;
static int file_fd = -1;

static struct {
    int calls;
    int rc;
    uint64_t sent;
} done;

static void
make_file(void)
{
    static uint8_t block[100000];

    file_fd = open(scratch_path("content"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file_fd >= 0);
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        stream_fill(block, at, sizeof(block));
        assert_int_equal(write(file_fd, block, sizeof(block)), sizeof(block));
    }
}

static int
setup(void **unused)
{
    (void)unused;
    if (file_fd < 0)
        make_file();
    memset(&p, 0, sizeof(p));
    memset(&done, 0, sizeof(done));
    harness_open(&h);
    p.h = &h;
    endpoint_init(&p.reads, &h);
    endpoint_init(&p.writes, &h);
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

static void
note_done(void *arg, int rc, uint64_t sent)
{
    (void)arg;
    done.calls++;
    done.rc = rc;
    done.sent = sent;
    harness_poke(&h);
}

static bool
is_done(void *unused)
{
    (void)unused;
    return done.calls > 0;
}

static int
send_file(uint64_t offset, uint64_t count, bool fallback, rill_id *ret_id)
{
    return rill_transport_sendfile_start(
        p.writes.t, file_fd, offset, count, fallback, note_done, NULL, ret_id);
}

static void
test_a_file_goes_into_a_pipe_by_the_kernel(void **unused)
{
    size_t before = calls_of_sendfile();

    (void)unused;
    pipe_open(&p, &h, NULL);
    assert_code(send_file(0, 0, false, NULL), 0); /* Copying is forbidden. */
    endpoint_await(&p.reads, FILE_BYTES);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_int_equal(done.sent, FILE_BYTES);
    assert_true(p.reads.hash == stream_hash(FILE_BYTES));
    if (!on_driver("sim"))
        assert_true(calls_of_sendfile() > before);
}

static void
test_a_part_between_other_bytes(void **unused)
{
    uint8_t bytes[2200];
    uint8_t want[2000];

    (void)unused;
    endpoint_keep(&p.reads, bytes, sizeof(bytes));
    pipe_open(&p, &h, NULL);
    (void)rill_transport_write(p.writes.t, "before", 6);
    assert_code(send_file(1000, 2000, false, NULL), 0);
    assert_code(rill_transport_write(p.writes.t, "x", 1), RILL_EBUSY);
    assert_code(rill_transport_write_eof(p.writes.t), RILL_EBUSY);
    harness_until(&h, is_done, NULL);
    assert_int_equal(done.sent, 2000);
    (void)rill_transport_write(p.writes.t, "after", 5);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_int_equal(p.reads.received, 2011);
    stream_fill(want, 1000, sizeof(want));
    assert_memory_equal(bytes, "before", 6);
    assert_memory_equal(bytes + 6, want, sizeof(want));
    assert_memory_equal(bytes + 2006, "after", 5);
}

static void
test_a_close_waits_for_the_file(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    assert_code(send_file(0, 0, false, NULL), 0);
    rill_transport_close(p.writes.t);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_int_equal(p.reads.received, FILE_BYTES);
    assert_code(p.reads.why.code, RILL_EOF);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, 0);
    assert_code(done.rc, 0);
}

static void
test_a_file_that_is_canceled(void **unused)
{
    rill_id id = 0;

    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    assert_code(send_file(0, 0, false, &id), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    assert_true(rill_cancel(h.loop, id));
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, RILL_ECANCELED);
    assert_true(done.sent < FILE_BYTES);
    rill_transport_resume_reading(p.reads.t);
    (void)rill_transport_write(p.writes.t, "go on", 5);
    endpoint_await(&p.reads, done.sent + 5);
}

static void
test_a_reader_that_goes_in_the_middle(void **unused)
{
    (void)unused;
    pipe_open(&p, &h, NULL);
    rill_transport_pause_reading(p.reads.t);
    assert_code(send_file(0, 0, false, NULL), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    rill_transport_close(p.reads.t);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_int_equal(done.calls, 1);
    assert_code(done.rc, -EPIPE);
    assert_true(done.sent < FILE_BYTES);
    assert_code(p.writes.why.code, -EPIPE);
}

/* A socket that may wait is never given to sendfile, which cannot be told not to. */
static void
test_a_socket_used_as_a_pipe_is_copied_to(void **unused)
{
    size_t before = calls_of_sendfile();
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pipe_connect_reader(&p, fds[0]);
    pipe_connect_writer(&p, fds[1], NULL);
    assert_code(send_file(0, 0, false, NULL), RILL_ENOSENDFILE);
    assert_code(send_file(0, 0, true, NULL), 0);
    endpoint_await(&p.reads, FILE_BYTES);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_true(p.reads.hash == stream_hash(FILE_BYTES));
    assert_int_equal(calls_of_sendfile(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_file_goes_into_a_pipe_by_the_kernel),
        CASE(test_a_part_between_other_bytes),
        CASE(test_a_close_waits_for_the_file),
        CASE(test_a_file_that_is_canceled),
        CASE(test_a_reader_that_goes_in_the_middle),
        CASE_ON("kernel", test_a_socket_used_as_a_pipe_is_copied_to),
    };

    return run_cases(tests);
}
