/*
 * Files sent over real sockets: in the kernel and by the fallback, parts of them, from files that
 * change, to peers that vanish.
 */
/* drivers: epoll uring */
#include "pairs.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_BYTES 3000000

static harness h;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;
static peer p;
static int file_fd = -1;

static struct {
    size_t calls;
    int rc;
    uint64_t sent;
    bool lost_before;
} done;

static int
setup(void **unused)
{
    /* Small enough that a file does not fit into what is under way. */
    rill_transport_options options = RILL_TRANSPORT_OPTIONS(.send_buffer = 65536);

    (void)unused;
    memset(&done, 0, sizeof(done));
    harness_open(&h);
    server = serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = &options), &accepted, &addr);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    peer_close(&p);
    end_server(&h, &accepted, server);
    harness_close(&h);
    return 0;
}

static int
make_file(void **unused)
{
    static uint8_t block[100000];

    (void)unused;
    file_fd = open(scratch_path("content"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file_fd >= 0);
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        stream_fill(block, at, sizeof(block));
        assert_int_equal(write(file_fd, block, sizeof(block)), sizeof(block));
    }
    return 0;
}

static int
end_file(void **unused)
{
    (void)unused;
    return close(file_fd);
}

static void
note_done(void *arg, int rc, uint64_t sent)
{
    endpoint *e = arg;

    assert_false(e->in_call);
    done.calls++;
    done.rc = rc;
    done.sent = sent;
    done.lost_before = e->lost;
    harness_poke(&h);
}

static bool
is_done(void *unused)
{
    (void)unused;
    return done.calls > 0;
}

/* The same, while the peer reads what comes. */
static bool
is_done_and_read(void *unused)
{
    (void)peer_has_end(&p);
    return is_done(unused);
}

static endpoint *
meet(void)
{
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 1);
    return &accepted.ends[0];
}

static int
start(endpoint *e, int fd, uint64_t offset, uint64_t count, bool fallback, rill_id *ret_id)
{
    int rc;

    e->in_call = true;
    rc = rill_transport_sendfile_start(e->t, fd, offset, count, fallback, note_done, e, ret_id);
    e->in_call = false;
    return rc;
}

static void
test_whole_file_in_the_kernel(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    assert_int_equal(lseek(file_fd, 777, SEEK_SET), 777);
    assert_code(start(e, file_fd, 0, 0, false, NULL), 0); /* No fallback: native. */
    peer_await(&p, FILE_BYTES);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_int_equal(done.sent, FILE_BYTES);
    assert_true(p.hash == stream_hash(FILE_BYTES));
    assert_int_equal(lseek(file_fd, 0, SEEK_CUR), 777); /* Its position is not touched. */
    assert_int_equal(done.calls, 1);
}

static void
test_a_part(void **unused)
{
    endpoint *e = meet();
    uint8_t want[100];

    (void)unused;
    assert_code(start(e, file_fd, 1000, 100, false, NULL), 0);
    peer_await(&p, 100);
    stream_fill(want, 1000, 100);
    assert_memory_equal(p.bytes, want, 100);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_int_equal(done.sent, 100);
}

static void
test_an_empty_file(void **unused)
{
    endpoint *e = meet();
    int empty = memfd_create("empty", MFD_CLOEXEC);

    (void)unused;
    assert_code(start(e, empty, 0, 0, false, NULL), 0);
    assert_int_equal(done.calls, 0);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_int_equal(done.sent, 0);
    close(empty);
}

static void
test_no_file(void **unused)
{
    endpoint *e = meet();
    int ends[2], dir = open("/tmp", O_RDONLY | O_CLOEXEC);

    (void)unused;
    assert_int_equal(pipe(ends), 0);
    assert_code(start(e, ends[0], 0, 0, true, NULL), RILL_EINVAL);
    assert_code(start(e, dir, 0, 0, true, NULL), RILL_EINVAL);
    assert_true(start(e, -1, 0, 0, true, NULL) < 0);
    assert_true(start(e, 9999, 0, 0, true, NULL) < 0);
    assert_code(
        rill_transport_sendfile_start(e->t, file_fd, 0, 0, true, NULL, NULL, NULL), RILL_EINVAL);
    assert_int_equal(rill_transport_write(e->t, "still usable", 12), 1);
    peer_await(&p, 12);
    assert_int_equal(done.calls, 0);
    close(ends[0]);
    close(ends[1]);
    close(dir);
}

static void
test_between_other_bytes(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_stop_reading(&p);
    (void)endpoint_fill(e); /* The file waits behind a full queue. */
    assert_code(start(e, file_fd, 0, 5000, true, NULL), 0);
    assert_code(rill_transport_write(e->t, "x", 1), RILL_EBUSY);
    assert_code(rill_transport_write_eof(e->t), RILL_EBUSY);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    peer_read_on(&p);
    harness_until(&h, is_done_and_read, NULL);
    assert_int_equal(rill_transport_write(e->t, "tail", 4) >= 0, 1);
    assert_code(rill_transport_write_eof(e->t), 0);
    harness_until(&h, peer_has_eof, &p);
}

/* Reading goes on while a file is being sent. */
static void
test_reading_meanwhile(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_stop_reading(&p);
    assert_code(start(e, file_fd, 0, 0, true, NULL), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    for (uint64_t i = 1; i <= 5; i++) {
        peer_send(&p, "0123456789", 10);
        endpoint_await(e, i * 10);
    }
    peer_read_on(&p);
    peer_await(&p, FILE_BYTES);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
}

static void
test_a_file_that_shrinks(void **unused)
{
    endpoint *e = meet();
    int shrinking = memfd_create("shrinking", MFD_CLOEXEC);
    static uint8_t block[100000];

    (void)unused;
    for (int i = 0; i < 100; i++)
        assert_int_equal(write(shrinking, block, sizeof(block)), sizeof(block));
    peer_stop_reading(&p);
    assert_code(start(e, shrinking, 0, 100 * sizeof(block), true, NULL), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    assert_int_equal(ftruncate(shrinking, 0), 0);
    peer_read_on(&p);
    harness_until(&h, is_done_and_read, NULL);
    assert_code(done.rc, RILL_EFILESHORT);
    assert_true(done.sent < 100 * sizeof(block));
    peer_await(&p, done.sent);
    assert_int_equal(rill_transport_write(e->t, "go on", 5), 1);
    peer_await(&p, done.sent + 5);
    close(shrinking);
}

static void
test_cancel(void **unused)
{
    endpoint *e = meet();
    rill_id id = 0;

    (void)unused;
    peer_stop_reading(&p);
    assert_code(start(e, file_fd, 0, 0, true, &id), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    e->in_call = true;
    assert_true(rill_cancel(h.loop, id));
    e->in_call = false;
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, RILL_ECANCELED);
    assert_true(done.sent < FILE_BYTES);
    assert_false(rill_cancel(h.loop, id));
    peer_read_on(&p);
    peer_await(&p, done.sent);
    assert_true(p.hash == stream_hash(done.sent));
    assert_int_equal(rill_transport_write(e->t, "go on", 5), 1);
    peer_await(&p, done.sent + 5);
    assert_int_equal(done.calls, 1);
}

static void
lose_the_peer(void (*end)(peer *))
{
    endpoint *e = meet();

    peer_stop_reading(&p);
    assert_code(start(e, file_fd, 0, 0, true, NULL), 0);
    harness_settle(&h);
    end(&p);
    harness_until(&h, endpoint_is_lost, e);
    assert_int_equal(done.calls, 1);
    assert_false(done.lost_before);
    assert_true(done.rc == -ECONNRESET || done.rc == -EPIPE);
    assert_code(e->why.code, done.rc);
    assert_true(done.sent < FILE_BYTES);
}

static void
test_the_peer_resets(void **unused)
{
    (void)unused;
    lose_the_peer(peer_reset);
}

static void
test_the_peer_goes(void **unused)
{
    (void)unused;
    lose_the_peer(peer_close);
}

static void
test_close_meanwhile(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    peer_stop_reading(&p);
    assert_code(start(e, file_fd, 0, 0, true, NULL), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    rill_transport_abort(e->t);
    assert_int_equal(done.calls, 0);
    assert_code(start(e, file_fd, 0, 0, true, NULL), RILL_ECLOSED);
    harness_until(&h, endpoint_is_lost, e);
    assert_int_equal(done.calls, 1);
    assert_code(done.rc, RILL_EABORTED);
    assert_false(done.lost_before);
}

/* close lets the file go first, within the close timeout of this connection. */
static void
test_close_waits_for_the_file(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    assert_code(start(e, file_fd, 0, 0, true, NULL), 0);
    rill_transport_close(e->t);
    peer_await(&p, FILE_BYTES);
    harness_until(&h, endpoint_is_lost, e);
    assert_code(e->why.code, 0);
    assert_int_equal(done.calls, 1);
    assert_code(done.rc, 0);
    assert_true(p.hash == stream_hash(FILE_BYTES));
}

static void
test_close_gives_a_stuck_file_up(void **unused)
{
    endpoint *e = meet();
    rill_ns begin;

    (void)unused;
    peer_stop_reading(&p);
    assert_code(start(e, file_fd, 0, 0, true, NULL), 0);
    harness_settle(&h);
    assert_int_equal(done.calls, 0);
    assert_code(rill_transport_set_timeout(e->t, RILL_TIMEOUT_CLOSE, 50 * RILL_MS), 0);
    begin = rill_loop_time(h.loop);
    rill_transport_close(e->t);
    harness_until(&h, endpoint_is_lost, e);
    assert_true(rill_loop_time(h.loop) - begin >= 50 * RILL_MS);
    assert_code(e->why.code, RILL_ECLOSETIMEOUT);
    assert_int_equal(done.calls, 1);
    assert_code(done.rc, RILL_ECLOSETIMEOUT);
}

static void
start_in_data(endpoint *e, rill_slice in)
{
    (void)in;
    assert_code(start(e, file_fd, 0, 200000, true, NULL), 0);
}

static void
test_start_in_a_callback(void **unused)
{
    endpoint *e = meet();

    (void)unused;
    e->on_data = start_in_data;
    peer_send(&p, "get", 3);
    peer_await(&p, 200000);
    assert_true(p.hash == stream_hash(200000));
    harness_until(&h, is_done, NULL);
}

/* The pair has no descriptor: the fallback, or a refusal. */
static void
test_the_fallback(void **unused)
{
    endpoint a, b;

    (void)unused;
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_made, &b);
    assert_code(start(&a, file_fd, 0, 0, false, NULL), RILL_ENOSENDFILE);
    assert_int_equal(done.calls, 0);
    assert_code(start(&a, file_fd, 0, 0, true, NULL), 0);
    endpoint_await(&b, FILE_BYTES);
    assert_true(b.hash == stream_hash(FILE_BYTES));
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    assert_int_equal(done.sent, FILE_BYTES);
    rill_transport_close(a.t);
    harness_until(&h, endpoint_is_lost, &b);
    harness_until(&h, endpoint_is_lost, &a);
}

/* Under the marks: a slow reader bounds what is in memory. */
static void
test_the_fallback_is_bounded(void **unused)
{
    endpoint a, b;

    (void)unused;
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_made, &b);
    rill_transport_pause_reading(b.t);
    assert_code(start(&a, file_fd, 0, 0, true, NULL), 0);
    harness_run_for(&h, 20 * RILL_MS);
    assert_true(rill_transport_write_buffer_size(a.t) <= 200000);
    assert_int_equal(done.calls, 0);
    assert_int_equal(b.received, 0);
    rill_transport_resume_reading(b.t);
    endpoint_await(&b, FILE_BYTES);
    harness_until(&h, is_done, NULL);
    assert_code(done.rc, 0);
    rill_transport_close(a.t);
    harness_until(&h, endpoint_is_lost, &b);
    harness_until(&h, endpoint_is_lost, &a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_whole_file_in_the_kernel),
        CASE(test_a_part),
        CASE(test_an_empty_file),
        CASE(test_no_file),
        CASE(test_between_other_bytes),
        CASE(test_reading_meanwhile),
        CASE(test_a_file_that_shrinks),
        CASE(test_cancel),
        CASE(test_the_peer_resets),
        CASE(test_the_peer_goes),
        CASE(test_close_meanwhile),
        CASE(test_close_waits_for_the_file),
        CASE(test_close_gives_a_stuck_file_up),
        CASE(test_start_in_a_callback),
        CASE(test_the_fallback),
        CASE(test_the_fallback_is_bounded),
    };

    return cmocka_run_group_tests(tests, make_file, end_file);
}
