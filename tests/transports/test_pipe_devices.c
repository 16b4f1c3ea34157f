/*
 * What else pipes are made of: inherited descriptors whose open file others have too, terminals,
 * devices and sockets.
 */
/* drivers: epoll uring */
#include "pairs.h"
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
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

static int
duplicate(int fd)
{
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    assert_true(other >= 0);
    return other;
}

/* A terminal that passes bytes on as they are. */
static void
open_terminal(int *ret_master, int *ret_slave)
{
    struct termios raw;

    assert_int_equal(openpty(ret_master, ret_slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(*ret_slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &raw), 0);
}

static void
hang_up(endpoint *e)
{
    rill_transport_close(e->t);
    harness_until(&h, endpoint_is_lost, e);
}

/* ---- open files that others have, too ---- */

static void
test_an_inherited_pipe_stays_blocking_for_others(void **unused)
{
    int fds[2];
    int shell[2];
    char byte;

    (void)unused;
    assert_int_equal(pipe(fds), 0); /* Inheritable and blocking, as a shell makes them. */
    shell[0] = duplicate(fds[0]);
    shell[1] = duplicate(fds[1]);
    pipe_connect_reader(&p, fds[0]);
    pipe_connect_writer(&p, fds[1], NULL);
    assert_false(is_nonblocking(shell[0]));
    assert_false(is_nonblocking(shell[1]));
    assert_int_equal(rill_transport_fd(p.reads.t), fds[0]);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_true(is_nonblocking(fds[0]));
    (void)rill_transport_write(p.writes.t, "to us", 5);
    endpoint_await(&p.reads, 5);
    hang_up(&p.reads);
    hang_up(&p.writes);
    assert_int_equal(write(shell[1], "x", 1), 1);
    assert_int_equal(read(shell[0], &byte, 1), 1);
    close(shell[0]);
    close(shell[1]);
}

static void
test_a_terminal_stays_blocking_for_others(void **unused)
{
    int master;
    int slave;
    int shell;

    (void)unused;
    open_terminal(&master, &slave);
    shell = duplicate(slave);
    pipe_connect_reader(&p, slave);
    assert_false(is_nonblocking(shell));
    assert_int_equal(write(master, "typed", 5), 5);
    endpoint_await(&p.reads, 5);
    hang_up(&p.reads);
    assert_false(is_nonblocking(shell));
    close(master);
    close(shell);
}

/* What cannot be opened again is made non-blocking for all, until the last of ours has closed. */
static void
test_a_flag_that_had_to_be_set_is_taken_back_by_the_last(void **unused)
{
    int other_master;
    int other_slave;
    int master;
    int slave;
    int shell;
    int second;

    (void)unused;
    open_terminal(&master, &slave);
    open_terminal(&other_master, &other_slave);
    shell = duplicate(master);
    second = duplicate(master);
    pipe_connect_reader(&p, master);
    pipe_connect_writer(&p, second, NULL);
    assert_true(is_nonblocking(shell));
    assert_false(is_nonblocking(other_master));
    hang_up(&p.writes);
    assert_true(is_nonblocking(shell)); /* The reader still needs it. */
    assert_int_equal(write(slave, "x", 1), 1);
    endpoint_await(&p.reads, 1);
    hang_up(&p.reads);
    assert_false(is_nonblocking(shell));
    close(shell);
    close(slave);
    close(other_master);
    close(other_slave);
}

static void
test_two_terminals_have_flags_of_their_own(void **unused)
{
    int other_master;
    int other_slave;
    int master;
    int slave;
    int keep;
    int other_keep;

    (void)unused;
    open_terminal(&master, &slave);
    open_terminal(&other_master, &other_slave);
    keep = duplicate(master);
    other_keep = duplicate(other_master);
    pipe_connect_reader(&p, master);
    pipe_connect_writer(&p, other_master, NULL);
    hang_up(&p.reads);
    assert_false(is_nonblocking(keep));
    assert_true(is_nonblocking(other_keep));
    hang_up(&p.writes);
    assert_false(is_nonblocking(other_keep));
    close(keep);
    close(other_keep);
    close(slave);
    close(other_slave);
}

static void
test_what_was_nonblocking_stays_so(void **unused)
{
    int fds[2];
    int shell;

    (void)unused;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    shell = duplicate(fds[0]);
    pipe_connect_reader(&p, fds[0]);
    hang_up(&p.reads);
    assert_true(is_nonblocking(shell));
    close(shell);
    close(fds[1]);
}

static void
test_a_refused_descriptor_is_given_back_as_it_was(void **unused)
{
    endpoint ends[2];
    int master;
    int slave;
    int fds[2];

    (void)unused;
    endpoint_init(&ends[0], &h);
    endpoint_init(&ends[1], &h);
    open_terminal(&master, &slave);
    assert_int_equal(pipe(fds), 0);
    for (int i = 0; i < 2; i++) {
        int fd = i == 0 ? fds[0] : master;
        int rc = -ENOMEM;

        for (size_t n = 1; rc == -ENOMEM; n++) {
            int flags = fcntl(fd, F_GETFD);

            allocator_fail(&h.allocator, n, true);
            rc = rill_connect_read_pipe(h.loop, fd, NULL, &endpoint_protocol, &ends[i], NULL);
            allocator_heal(&h.allocator);
            assert_true(n < 100 && (n > 1 || rc < 0));
            assert_int_equal(is_nonblocking(fd), rc == 0);
            assert_int_equal(fcntl(fd, F_GETFD), rc == 0 ? FD_CLOEXEC : flags);
        }
        assert_code(rc, 0);
        harness_until(&h, endpoint_is_made, &ends[i]);
        hang_up(&ends[i]);
    }
    close(fds[1]);
    close(slave);
}

/* ---- terminals ---- */

/* asyncio: given a pty, reading and writing both work, and closing the other side ends it. */
static void
test_a_terminal_reads_and_writes_and_ends(void **unused)
{
    int master;
    int slave;
    char text[16];

    (void)unused;
    open_terminal(&master, &slave);
    pipe_connect_reader(&p, duplicate(master));
    pipe_connect_writer(&p, master, NULL);
    assert_int_equal(write(slave, "up", 2), 2);
    endpoint_await(&p.reads, 2);
    (void)rill_transport_write(p.writes.t, "down", 4);
    harness_settle(&h);
    assert_int_equal(read(slave, text, sizeof(text)), 4);
    close(slave);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made data(2) eof lost(RILL_EOF)");
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EOF);
}

static void
test_a_terminal_that_hangs_up_ends_its_program_s_streams(void **unused)
{
    int master;
    int slave;

    (void)unused;
    open_terminal(&master, &slave);
    pipe_connect_reader(&p, duplicate(slave));
    pipe_connect_writer(&p, slave, NULL);
    close(master);
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made eof lost(RILL_EOF)");
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, RILL_EOF);
}

/* ---- devices ---- */

static int
open_device(const char *path, int mode)
{
    int fd = open(path, mode | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void
test_the_null_device_ends_at_once_and_takes_everything(void **unused)
{
    (void)unused;
    pipe_connect_reader(&p, open_device("/dev/null", O_RDONLY));
    harness_until(&h, endpoint_is_lost, &p.reads);
    assert_string_equal(p.reads.tape, "made eof lost(RILL_EOF)");
    pipe_connect_writer(&p, open_device("/dev/null", O_WRONLY), NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(endpoint_send_stream(&p.writes, 0, 100000), 1);
    assert_int_equal(rill_transport_write_buffer_size(p.writes.t), 0);
    hang_up(&p.writes);
    assert_code(p.writes.why.code, 0);
}

static uint64_t
turns(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return stats.turns;
}

static uint64_t wanted_bytes;

static bool
has_wanted(void *e)
{
    return ((endpoint *)e)->received >= wanted_bytes;
}

static void
await_bytes(endpoint *e, uint64_t wanted)
{
    wanted_bytes = wanted;
    harness_until(&h, has_wanted, e);
}

/* A device that is always ready must not keep the loop turning for one who does not read, nor for
 * one who only writes. */
static void
test_a_device_that_is_always_ready_waits_for_its_reader(void **unused)
{
    uint64_t before;
    uint64_t seen;

    (void)unused;
    pipe_connect_reader(&p, open_device("/dev/zero", O_RDONLY));
    await_bytes(&p.reads, 500000);
    rill_transport_pause_reading(p.reads.t);
    pipe_connect_writer(&p, open_device("/dev/null", O_WRONLY), NULL);
    harness_settle(&h);
    seen = p.reads.received;
    before = turns();
    harness_run_for(&h, 50 * RILL_MS);
    assert_true(turns() - before < 20);
    assert_int_equal(p.reads.received, seen);
    rill_transport_resume_reading(p.reads.t);
    await_bytes(&p.reads, seen + 500000);
}

static void
test_a_device_that_fails_is_told_by_its_error(void **unused)
{
    (void)unused;
    pipe_connect_writer(&p, open_device("/dev/full", O_WRONLY), NULL);
    (void)rill_transport_write(p.writes.t, "x", 1);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, -ENOSPC);
}

static void
test_files_are_refused_with_the_way_out(void **unused)
{
    const char *path = scratch_path("file");
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    int folder = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);

    (void)unused;
    assert_true(fd >= 0 && folder >= 0);
    assert_code(
        rill_connect_read_pipe(h.loop, fd, NULL, &endpoint_protocol, NULL, NULL), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "rill_file_read_at");
    assert_code(
        rill_connect_write_pipe(h.loop, fd, NULL, &endpoint_protocol, NULL, NULL), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "rill_file_write_at");
    assert_code(
        rill_connect_read_pipe(h.loop, folder, NULL, &endpoint_protocol, NULL, NULL), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "is no pipe");
    assert_code(
        rill_connect_read_pipe(h.loop, 100000, NULL, &endpoint_protocol, NULL, NULL), -EBADF);
    close(fd);
    close(folder);
}

/* ---- sockets ---- */

static void
test_one_direction_of_a_socket(void **unused)
{
    char text[8];
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pipe_connect_reader(&p, duplicate(fds[0]));
    pipe_connect_writer(&p, fds[0], NULL);
    assert_false(is_nonblocking(fds[0])); /* Each call says that it does not wait. */
    assert_int_equal(write(fds[1], "in", 2), 2);
    endpoint_await(&p.reads, 2);
    (void)rill_transport_write(p.writes.t, "out", 3);
    assert_int_equal(read(fds[1], text, sizeof(text)), 3);
    close(fds[1]);
    harness_until(&h, endpoint_is_lost, &p.reads);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.reads.why.code, RILL_EOF);
    assert_code(p.writes.why.code, RILL_EOF);
}

/* The reading half is a duplicate: closing the writing one says nothing to the peer. */
static void
test_the_writing_half_of_a_socket_ends_alone(void **unused)
{
    char text[8];
    endpoint e;
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    endpoint_init(&e, &h);
    assert_code(
        rill_connect_pipes(h.loop, duplicate(fds[0]), fds[0], NULL, &endpoint_protocol, &e, NULL),
        0);
    harness_until(&h, endpoint_is_made, &e);
    (void)rill_transport_write(e.t, "bye", 3);
    assert_code(rill_transport_write_eof(e.t), 0);
    harness_settle(&h);
    assert_int_equal(recv(fds[1], text, sizeof(text), MSG_DONTWAIT), 3);
    assert_int_equal(recv(fds[1], text, sizeof(text), MSG_DONTWAIT), 0);
    assert_int_equal(write(fds[1], "still", 5), 5);
    close(fds[1]);
    harness_until(&h, endpoint_is_lost, &e);
    assert_string_equal(e.tape, "made data(5) eof lost(RILL_EOF)");
}

static void
test_a_blocking_socket_that_is_full_does_not_block_the_loop(void **unused)
{
    static uint8_t bytes[65536];
    uint64_t written;
    uint64_t got = 0;
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pipe_connect_writer(&p, fds[0], NULL);
    written = endpoint_fill(&p.writes);
    rill_transport_close(p.writes.t);
    while (got < written) {
        ssize_t n;

        harness_settle(&h);
        n = recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT);
        assert_true(n > 0);
        got += (uint64_t)n;
    }
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.writes.why.code, 0);
    close(fds[1]);
}

/* A peer that has only ended its own sending reads on; that it did must not keep the loop busy. */
static void
test_a_half_closed_socket_is_written_to(void **unused)
{
    char text[8];
    uint64_t before;
    int fds[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pipe_connect_writer(&p, fds[0], NULL);
    assert_int_equal(write(fds[1], "not for you", 11), 11);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    harness_settle(&h);
    before = turns();
    harness_run_for(&h, 50 * RILL_MS);
    assert_true(turns() - before < 20);
    assert_false(p.writes.lost);
    (void)rill_transport_write(p.writes.t, "on", 2);
    assert_int_equal(read(fds[1], text, sizeof(text)), 2);
    close(fds[1]);
    harness_until(&h, endpoint_is_lost, &p.writes);
}

static void
test_other_sockets_are_refused(void **unused)
{
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)unused;
    assert_int_equal(listen(listening, 1), 0);
    assert_code(rill_connect_read_pipe(h.loop, datagrams, NULL, &endpoint_protocol, NULL, NULL),
        RILL_EINVAL);
    assert_code(rill_connect_read_pipe(h.loop, listening, NULL, &endpoint_protocol, NULL, NULL),
        RILL_EINVAL);
    close(datagrams);
    close(listening);
}

/* ---- leaving ---- */

static void
test_a_detached_end_goes_on_elsewhere(void **unused)
{
    char text[8];
    size_t len;
    int reads;
    int writes;
    int null;

    (void)unused;
    pipe_open(&p, &h, NULL);
    writes = rill_transport_detach(p.writes.t, NULL, 0, &len);
    assert_true(writes >= 0);
    reads = rill_transport_detach(p.reads.t, NULL, 0, &len);
    assert_true(reads >= 0);
    assert_int_equal(len, 0);
    harness_until(&h, endpoint_is_lost, &p.reads);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_code(p.reads.why.code, RILL_EDETACHED);
    assert_code(p.writes.why.code, RILL_EDETACHED);
    assert_int_equal(write(writes, "still", 5), 5);
    assert_int_equal(read(reads, text, sizeof(text)), 5);
    close(writes);
    close(reads);
    endpoint_init(&p.writes, &h);
    pipe_connect_writer(&p, open_device("/dev/null", O_WRONLY), NULL);
    null = rill_transport_detach(p.writes.t, NULL, 0, &len);
    assert_true(null >= 0);
    harness_until(&h, endpoint_is_lost, &p.writes);
    assert_int_equal(write(null, "x", 1), 1);
    close(null);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_inherited_pipe_stays_blocking_for_others),
        CASE(test_a_terminal_stays_blocking_for_others),
        CASE(test_a_flag_that_had_to_be_set_is_taken_back_by_the_last),
        CASE(test_two_terminals_have_flags_of_their_own),
        CASE(test_what_was_nonblocking_stays_so),
        CASE(test_a_refused_descriptor_is_given_back_as_it_was),
        CASE(test_a_terminal_reads_and_writes_and_ends),
        CASE(test_a_terminal_that_hangs_up_ends_its_program_s_streams),
        CASE(test_the_null_device_ends_at_once_and_takes_everything),
        CASE(test_a_device_that_is_always_ready_waits_for_its_reader),
        CASE(test_a_device_that_fails_is_told_by_its_error),
        CASE(test_files_are_refused_with_the_way_out),
        CASE(test_one_direction_of_a_socket),
        CASE(test_the_writing_half_of_a_socket_ends_alone),
        CASE(test_a_blocking_socket_that_is_full_does_not_block_the_loop),
        CASE(test_a_half_closed_socket_is_written_to),
        CASE(test_other_sockets_are_refused),
        CASE(test_a_detached_end_goes_on_elsewhere),
    };

    return run_cases(tests);
}
