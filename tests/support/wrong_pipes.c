/*
 * Wrong calls of <rill/pipe.h>.
 */
#include "wrong.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static endpoint unused_end;

static int
to_read(int fd, const rill_transport_options *options, const rill_protocol *protocol)
{
    return rill_connect_read_pipe(h.loop, fd, options, protocol, &unused_end, &out.a);
}

static int
to_write(int fd, const rill_transport_options *options, const rill_protocol *protocol)
{
    return rill_connect_write_pipe(h.loop, fd, options, protocol, &unused_end, &out.a);
}

static void
refused(int fd, int read_code, int write_code)
{
    WRONG(read_code, to_read(fd, NULL, &endpoint_protocol));
    WRONG(write_code, to_write(fd, NULL, &endpoint_protocol));
    WRONG(read_code, rill_pipe_close(h.loop, fd));
}

/* What the kernel has, and no pipe. */
static void
try_other_descriptors(void)
{
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int folder = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int alien = on_driver("sim") ? RILL_ENOTSUP : 0;

    assert_true(file >= 0 && folder >= 0 && datagrams >= 0);
    refused(-1, alien != 0 ? alien : -EBADF, alien != 0 ? alien : -EBADF);
    refused(100000, alien != 0 ? alien : -EBADF, alien != 0 ? alien : -EBADF);
    WRONG(RILL_ENOTSUP, to_read(file, NULL, &endpoint_protocol));
    WRONG(alien != 0 ? alien : RILL_EINVAL, to_write(file, NULL, &endpoint_protocol));
    refused(folder, alien != 0 ? alien : RILL_EINVAL, alien != 0 ? alien : RILL_EINVAL);
    refused(datagrams, alien != 0 ? alien : RILL_EINVAL, alien != 0 ? alien : RILL_EINVAL);
    (void)close(file);
    (void)close(folder);
    (void)close(datagrams);
}

static void
try_options(int read_fd, int write_fd)
{
    rill_transport_options bad[] = { RILL_TRANSPORT_OPTIONS(.write_high = 1, .write_low = 2),
        RILL_TRANSPORT_OPTIONS(.idle_timeout = -5), RILL_TRANSPORT_OPTIONS(.close_timeout = -5) };

    for (EACH(i, bad)) {
        WRONG(RILL_EINVAL, to_read(read_fd, &bad[i], &endpoint_protocol));
        WRONG(RILL_EINVAL, to_write(write_fd, &bad[i], &endpoint_protocol));
    }
    WRONG(RILL_EINVAL, to_read(read_fd, unknown_options, &endpoint_protocol));
    WRONG(RILL_EINVAL, to_read(read_fd, unsized_options, &endpoint_protocol));
    WRONG(RILL_EINVAL, to_write(write_fd, unknown_options, &endpoint_protocol));
    WRONG(RILL_EINVAL, to_write(write_fd, unsized_options, &endpoint_protocol));
    WRONG(RILL_EINVAL, to_read(read_fd, NULL, NULL));
    WRONG(RILL_EINVAL, to_write(write_fd, NULL, NULL));
}

static void
try_standard_streams(void)
{
    int code = on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL;

    WRONG(RILL_EINVAL, rill_connect_stdin(NULL, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL, rill_connect_stdout(NULL, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL, rill_connect_stderr(NULL, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL, rill_connect_stdio(NULL, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(code, rill_connect_stdio(h.loop, NULL, NULL, NULL, &out.a));
    WRONG(code, rill_connect_stdin(h.loop, NULL, NULL, NULL, &out.a));
    WRONG(code, rill_connect_stdout(h.loop, unsized_options, &endpoint_protocol, NULL, &out.a));
    WRONG(code, rill_connect_stderr(h.loop, unknown_options, &endpoint_protocol, NULL, &out.a));
}

/* Of two ends, each is looked at, and both stay the caller's. */
static void
try_two(int read_fd, int write_fd)
{
    WRONG(RILL_EINVAL,
        rill_connect_pipes(NULL, read_fd, write_fd, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL, rill_connect_pipes(h.loop, read_fd, write_fd, NULL, NULL, NULL, &out.a));
    WRONG(RILL_EINVAL, rill_connect_pipes(h.loop, read_fd, write_fd, unsized_options,
                           &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL,
        rill_connect_pipes(h.loop, write_fd, read_fd, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL,
        rill_connect_pipes(h.loop, read_fd, read_fd, NULL, &endpoint_protocol, NULL, &out.a));
    WRONG(RILL_EINVAL,
        rill_connect_pipes(h.loop, write_fd, write_fd, NULL, &endpoint_protocol, NULL, &out.a));
}

static void
try_fifos(void)
{
    int read = RILL_FIFO_READ;
    int absent = on_driver("sim") ? RILL_ENOTSUP : -ENOENT;
    int device = on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL;

    WRONG(RILL_EINVAL, rill_fifo_open(NULL, "/x", (unsigned)read, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, NULL, (unsigned)read, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", 0, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", RILL_FIFO_READ | RILL_FIFO_WRITE, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", RILL_FIFO_READ | 16, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", RILL_FIFO_STAY, 0));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", RILL_FIFO_READ | RILL_FIFO_CREATE, -1));
    WRONG(RILL_EINVAL, rill_fifo_open(h.loop, "/x", RILL_FIFO_READ | RILL_FIFO_CREATE, 010000));
    WRONG(absent, rill_fifo_open(h.loop, "/nowhere/x", RILL_FIFO_READ, 0));
    WRONG(absent, rill_fifo_open(h.loop, "", RILL_FIFO_READ, 0));
    WRONG(device, rill_fifo_open(h.loop, "/dev/null", RILL_FIFO_READ, 0));
}

void
wrong_pipes(void)
{
    int read_fd;
    int write_fd;

    WRONG(RILL_EINVAL, rill_pipe(NULL, 0, &out.value, &out.value));
    WRONG(RILL_EINVAL, rill_pipe(h.loop, 0, NULL, &out.value));
    WRONG(RILL_EINVAL, rill_pipe(h.loop, 0, &out.value, NULL));
    WRONG(RILL_EINVAL, rill_pipe(h.loop, 4, &out.value, &out.value));
    WRONG(RILL_EINVAL, rill_pipe_close(NULL, 0));
    WRONG(RILL_EINVAL,
        rill_connect_read_pipe(NULL, 0, NULL, &endpoint_protocol, &unused_end, &out.a));
    WRONG(RILL_EINVAL,
        rill_connect_write_pipe(NULL, 0, NULL, &endpoint_protocol, &unused_end, &out.a));
    try_other_descriptors();
    try_standard_streams();
    try_fifos();
    assert_int_equal(rill_pipe(h.loop, 0, &read_fd, &write_fd), 0);
    try_options(read_fd, write_fd);
    try_two(read_fd, write_fd);
    WRONG(RILL_EINVAL, to_read(write_fd, NULL, &endpoint_protocol));
    WRONG(RILL_EINVAL, to_write(read_fd, NULL, &endpoint_protocol));
    assert_int_equal(rill_pipe_close(h.loop, read_fd), 0);
    assert_int_equal(rill_pipe_close(h.loop, write_fd), 0);
}
