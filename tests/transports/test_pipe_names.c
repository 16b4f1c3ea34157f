/*
 * FIFOs, which are opened without waiting and outlive their readers and writers, and the standard
 * streams.
 */
/* drivers: epoll uring */
#include "child.h"
#include "pairs.h"
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static harness h;
static pipe_ends p;

static int
setup(void **unused)
{
    (void)unused;
    memset(&p, 0, sizeof(p));
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

static bool
is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    assert_true(flags >= 0);
    return (flags & O_NONBLOCK) != 0;
}

static void
hang_up(endpoint *e)
{
    rill_transport_close(e->t);
    harness_until(&h, endpoint_is_lost, e);
}

/* ---- FIFOs ---- */

static int
open_fifo(const char *path, unsigned flags)
{
    int fd = rill_fifo_open(h.loop, path, flags, 0600);

    if (fd < 0)
        fail_msg("%s", rill_loop_last_error(h.loop)->sentence);
    assert_true(is_nonblocking(fd));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    return fd;
}

static void
test_a_fifo_waits_for_its_writer_and_ends_after_the_last(void **unused)
{
    const char *path = scratch_path("fifo");
    int other;

    (void)unused;
    pipe_connect_reader(&p, open_fifo(path, RILL_FIFO_READ | RILL_FIFO_CREATE));
    harness_run_for(&h, 20 * RILL_MS);
    assert_string_equal(p.reads.tape, "made"); /* No end before anybody came. */
    other = open_fifo(path, RILL_FIFO_WRITE);
    pipe_connect_writer(&p, open_fifo(path, RILL_FIFO_WRITE), NULL);
    (void)rill_transport_write(p.writes.t, "line\n", 5);
    endpoint_await(&p.reads, 5);
    hang_up(&p.writes);
    harness_settle(&h);
    assert_false(p.reads.lost); /* Another writer is there. */
    close(other);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made data(5) eof lost(RILL_EOF)");
    assert_int_equal(unlink(path), 0);
}

static void
test_a_reader_that_stays_serves_one_writer_after_another(void **unused)
{
    const char *path = scratch_path("stay");

    (void)unused;
    pipe_connect_reader(&p, open_fifo(path, RILL_FIFO_READ | RILL_FIFO_CREATE | RILL_FIFO_STAY));
    for (uint64_t i = 1; i <= 3; i++) {
        endpoint_init(&p.writes, &h);
        pipe_connect_writer(&p, open_fifo(path, RILL_FIFO_WRITE), NULL);
        (void)rill_transport_write(p.writes.t, "x", 1);
        endpoint_await(&p.reads, i);
        hang_up(&p.writes);
        harness_settle(&h);
        assert_false(p.reads.eof);
    }
    assert_int_equal(unlink(path), 0);
}

static void
test_a_writer_without_a_reader(void **unused)
{
    const char *path = scratch_path("lonely");

    (void)unused;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_code(rill_fifo_open(h.loop, path, RILL_FIFO_WRITE, 0), -ENXIO);
    expect_last_error(&h, -ENXIO, "nobody reads from");
    pipe_connect_writer(&p, open_fifo(path, RILL_FIFO_WRITE | RILL_FIFO_STAY), NULL);
    (void)rill_transport_write(p.writes.t, "later", 5);
    harness_run_for(&h, 20 * RILL_MS);
    assert_false(p.writes.lost);
    pipe_connect_reader(&p, open_fifo(path, RILL_FIFO_READ));
    endpoint_await(&p.reads, 5);
    assert_int_equal(unlink(path), 0);
}

static void
test_what_is_no_fifo(void **unused)
{
    const char *path = scratch_path("plain");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    size_t descriptors = descriptor_count();

    (void)unused;
    close(fd);
    assert_code(rill_fifo_open(h.loop, path, RILL_FIFO_READ, 0), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "is no FIFO");
    assert_code(rill_fifo_open(h.loop, path, RILL_FIFO_READ | RILL_FIFO_CREATE, 0600), RILL_EINVAL);
    assert_code(rill_fifo_open(h.loop, "/dev/null", RILL_FIFO_WRITE, 0), RILL_EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_code(rill_fifo_open(h.loop, path, RILL_FIFO_READ, 0), -ENOENT);
    assert_code(
        rill_fifo_open(h.loop, "/proc/x", RILL_FIFO_READ | RILL_FIFO_CREATE, 0600), -ENOENT);
    assert_int_equal(descriptor_count(), descriptors - 1);
}

/* A shell's `< fifo`: the writer has come and gone before we look. Opened again it would wait for
 * another one. */
static void
test_an_inherited_fifo_whose_writer_has_gone_ends(void **unused)
{
    const char *path = scratch_path("gone");
    int writes;
    int reads;

    (void)unused;
    assert_int_equal(mkfifo(path, 0600), 0);
    reads = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writes = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fcntl(reads, F_SETFL, 0), 0);
    assert_int_equal(write(writes, "last words", 10), 10);
    close(writes);
    pipe_connect_reader(&p, reads);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made data(10) eof lost(RILL_EOF)");
    assert_int_equal(unlink(path), 0);
}

static void
test_a_writer_of_a_fifo_hears_of_its_last_reader_only(void **unused)
{
    const char *path = scratch_path("readers");
    int reader = open_fifo(path, RILL_FIFO_READ | RILL_FIFO_CREATE);

    (void)unused;
    pipe_connect_writer(&p, open_fifo(path, RILL_FIFO_WRITE), NULL);
    harness_settle(&h);
    close(reader);
    reader = open_fifo(path, RILL_FIFO_READ); /* Before the loop has looked. */
    harness_settle(&h);
    assert_false(p.writes.lost);
    close(reader);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EOF);
    assert_int_equal(unlink(path), 0);
}

/* ---- the standard streams ---- */

typedef struct child_state {
    rill_loop *loop;
    rill_transport *out;
    int lost;
    int code;
} child_state;

static void
child_data(rill_transport *t, void *self, rill_slice in)
{
    child_state *s = self;

    (void)t;
    (void)rill_transport_write(s->out, in.data, in.len);
}

static void
child_lost(rill_transport *t, void *self, const rill_reason *why)
{
    child_state *s = self;

    if (t != s->out)
        rill_transport_close(s->out);
    else
        s->code = why->code;
    if (++s->lost == 2)
        rill_loop_stop(s->loop);
}

static const rill_protocol child_protocol =
    RILL_PROTOCOL(.data_received = child_data, .connection_lost = child_lost);

/* cat, with pipes as descriptors 0 and 1. */
static int
run_cat(void *unused)
{
    child_state s = { 0 };
    int in[2];
    int out[2];
    char text[32] = { 0 };

    (void)unused;
    CHILD_CHECK(pipe(in) == 0 && pipe(out) == 0);
    CHILD_CHECK(dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1);
    CHILD_CHECK(write(in[1], "through and through", 19) == 19);
    close(in[1]);
    CHILD_CHECK(rill_loop_new(NULL, &s.loop) == 0);
    CHILD_CHECK(rill_connect_stdout(s.loop, NULL, &child_protocol, &s, &s.out) == 0);
    CHILD_CHECK(rill_connect_stdin(s.loop, NULL, &child_protocol, &s, NULL) == 0);
    CHILD_CHECK(!is_nonblocking(0) && !is_nonblocking(1));
    CHILD_CHECK(rill_loop_run(s.loop) == 0);
    CHILD_CHECK(s.code == 0);
    CHILD_CHECK(rill_loop_free(s.loop) == 0);
    CHILD_CHECK(fcntl(0, F_GETFD) == 0 && fcntl(1, F_GETFD) == 0); /* Still there. */
    CHILD_CHECK(read(out[0], text, sizeof(text)) == 19);
    CHILD_CHECK(strcmp(text, "through and through") == 0);
    return 0;
}

static int
run_closed(void *unused)
{
    child_state s = { 0 };
    rill_transport *t = NULL;

    (void)unused;
    close(0);
    close(1);
    CHILD_CHECK(rill_loop_new(NULL, &s.loop) == 0);
    /* The loop itself must not have taken their numbers for what is closed now. */
    close(0);
    close(1);
    CHILD_CHECK(rill_connect_stdin(s.loop, NULL, &child_protocol, &s, &t) == -EBADF);
    CHILD_CHECK(strstr(rill_loop_last_error(s.loop)->sentence, "standard descriptor 0") != NULL);
    CHILD_CHECK(rill_connect_stdout(s.loop, NULL, &child_protocol, &s, &t) == -EBADF);
    CHILD_CHECK(t == NULL);
    return 0;
}

static int
run_file(void *unused)
{
    child_state s = { 0 };
    size_t before;

    (void)unused;
    close(1);
    CHILD_CHECK(open("/proc/self/exe", O_RDONLY) == 1);
    CHILD_CHECK(dup2(1, 0) == 0);
    CHILD_CHECK(rill_loop_new(NULL, &s.loop) == 0);
    before = descriptor_count();
    CHILD_CHECK(rill_connect_stdin(s.loop, NULL, &child_protocol, &s, NULL) == RILL_ENOTSUP);
    CHILD_CHECK(descriptor_count() == before);
    CHILD_CHECK(rill_loop_free(s.loop) == 0);
    return 0;
}

static void
exited(rill_subprocess *process, void *self)
{
    child_state *s = self;

    (void)process;
    rill_loop_stop(s->loop);
}

/* Descriptor 1 itself is a transport, and still the stdout of children. */
static int
run_child(void *unused)
{
    static const rill_subprocess_protocol protocol =
        RILL_SUBPROCESS_PROTOCOL(.process_exited = exited);
    child_state s = { 0 };
    char text[32] = { 0 };
    int out[2];

    (void)unused;
    CHILD_CHECK(pipe(out) == 0 && dup2(out[1], 1) == 1);
    CHILD_CHECK(rill_loop_new(NULL, &s.loop) == 0);
    CHILD_CHECK(rill_connect_write_pipe(s.loop, 1, NULL, &child_protocol, &s, &s.out) == 0);
    CHILD_CHECK(rill_subprocess_shell(s.loop, "echo hello", NULL, &protocol, &s, NULL) == 0);
    CHILD_CHECK(rill_loop_run(s.loop) == 0);
    CHILD_CHECK(read(out[0], text, sizeof(text)) == 6);
    CHILD_CHECK(strcmp(text, "hello\n") == 0);
    (void)rill_loop_free(s.loop);
    return 0;
}

static int
run_stderr(void *unused)
{
    child_state s = { 0 };

    (void)unused;
    CHILD_CHECK(rill_loop_new(NULL, &s.loop) == 0);
    CHILD_CHECK(rill_connect_stderr(s.loop, NULL, &child_protocol, &s, &s.out) == 0);
    CHILD_CHECK(rill_loop_step(s.loop, 100) >= 0); /* It is made. */
    CHILD_CHECK(rill_transport_write_eof(s.out) == 0);
    s.lost = 1;
    CHILD_CHECK(rill_loop_run(s.loop) == 0);
    CHILD_CHECK(rill_loop_free(s.loop) == 0);
    fprintf(stderr, "still here\n");
    return 0;
}

static void
expect_success(int (*fn)(void *arg))
{
    child_result result;

    child_run(fn, NULL, &result);
    if (result.exit_code != 0)
        fail_msg("%d, signal %d: %s", result.exit_code, result.signal, result.text);
}

static void
test_standard_streams(void **unused)
{
    child_result result;

    (void)unused;
    expect_success(run_cat);
    expect_success(run_file);
    child_run(run_stderr, NULL, &result);
    assert_int_equal(result.exit_code, 0);
    assert_contains(result.text, "still here");
}

static void
test_a_standard_stream_that_is_a_transport_is_inherited(void **unused)
{
    (void)unused;
    expect_success(run_child);
}

static void
test_standard_streams_that_are_closed(void **unused)
{
    (void)unused;
    expect_success(run_closed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_fifo_waits_for_its_writer_and_ends_after_the_last),
        CASE(test_a_reader_that_stays_serves_one_writer_after_another),
        CASE(test_a_writer_without_a_reader),
        CASE(test_what_is_no_fifo),
        CASE(test_an_inherited_fifo_whose_writer_has_gone_ends),
        CASE(test_a_writer_of_a_fifo_hears_of_its_last_reader_only),
        CASE(test_standard_streams),
        CASE(test_a_standard_stream_that_is_a_transport_is_inherited),
        CASE(test_standard_streams_that_are_closed),
    };

    return run_cases(tests);
}
