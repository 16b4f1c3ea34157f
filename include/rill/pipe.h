/*
 * Pipes: transports that go one way. Over pipes, FIFOs, terminals and other character devices, and
 * over one direction of a stream socket.
 *
 * A read pipe delivers data_received, then at the end of the input eof_received and
 * connection_lost(RILL_EOF); what eof_received returns does not keep it open. Writing to it is
 * RILL_ENOTSUP. A terminal that hangs up ends like a pipe.
 *
 * A write pipe is written to like any transport. When nobody reads any more it is lost, also while
 * nothing is written: with RILL_EOF when nothing was queued, with -EPIPE when something was or a
 * write found it out; SIGPIPE is raised by neither. write_eof is close: the reader sees the end
 * after the last byte. pause_reading and resume_reading have no effect.
 *
 * A descriptor that is inherited or shared (standard streams, a terminal) must not be made
 * non-blocking for all who share it: the shell would find it so. A pipe or terminal is opened once
 * more, under the same number, and that open file is the transport's own. Where the kernel refuses
 * that (another user's terminal, a device, no /proc), it is made non-blocking for all and blocking
 * again when the last transport of the loop that has it closes it; a process that is killed leaves
 * it as it was then. A socket stays as it is.
 */
#ifndef RILL_PIPE_H
#define RILL_PIPE_H

#include <rill/transport.h>

RILL_BEGIN

/*
 * Read from `fd`, which belongs to the library from success on: it is made close-on-exec unless it
 * is 0, 1 or 2, which children inherit; it never waits, and is closed with the transport.
 * connection_made follows in the next turn. Of `options` (may be NULL) the marks, the cap and the
 * timeouts count. `ret_transport` may be NULL.
 *
 * A device that cannot be waited for is always ready: /dev/null ends at once, /dev/zero does not.
 *
 * Returns 0; -EBADF; RILL_ENOTSUP for a regular file, which is always ready and can still make the
 * loop wait: read it with rill_file_read_at, send it with rill_transport_sendfile_start; and for a
 * descriptor from outside on the simulator; RILL_EINVAL when it is not open for reading or of
 * another kind (a directory, a listening or datagram socket), for bad options and a bad protocol;
 * -EEXIST when a transport of this loop has it; RILL_ECLOSED in rill_loop_free; -EMFILE; -ENOMEM.
 * After an error the descriptor is the caller's as before. asyncio: connect_read_pipe.
 */
#define rill_connect_read_pipe(loop, fd, options, protocol, arg, ret_transport) \
    rill_connect_read_pipe_site(                                                \
        loop, fd, options, protocol, arg, RILL_SITE("read pipe"), ret_transport)
RILL_API int
rill_connect_read_pipe_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/* Write to `fd`; as rill_connect_read_pipe. A regular file: rill_file_write_at. asyncio:
 * connect_write_pipe. */
#define rill_connect_write_pipe(loop, fd, options, protocol, arg, ret_transport) \
    rill_connect_write_pipe_site(                                                \
        loop, fd, options, protocol, arg, RILL_SITE("write pipe"), ret_transport)
RILL_API int
rill_connect_write_pipe_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/*
 * Both as one transport, which receives from `read_fd` and sends to `write_fd` like a connection:
 * write_eof closes the writing end alone, after the end of the input writing goes on if
 * eof_received says so, and close flushes and closes both. When a write finds that nobody reads any
 * more, what is queued is dropped and further writes return -EPIPE, but the input is delivered to
 * its end; connection_lost(-EPIPE) follows then, or after close. Both descriptors belong to the
 * library from success on; a terminal or socket for both directions has to be duplicated; write_eof
 * shuts down the sending of a socket. Returns as rill_connect_read_pipe and
 * rill_connect_write_pipe.
 */
#define rill_connect_pipes(loop, read_fd, write_fd, options, protocol, arg, ret_transport) \
    rill_connect_pipes_site(                                                               \
        loop, read_fd, write_fd, options, protocol, arg, RILL_SITE("pipes"), ret_transport)
RILL_API int rill_connect_pipes_site(rill_loop *loop, int read_fd, int write_fd,
    const rill_transport_options *options, const rill_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport);

/*
 * The standard streams as transports, over a duplicate of descriptor 0, 1 or 2: these stay open and
 * as they are, also after the transport. So whoever reads the standard output sees its end only
 * when the process ends; for an earlier one give descriptor 1 itself to rill_connect_write_pipe.
 * Returns as rill_connect_read_pipe; -EBADF when the process was started without it; RILL_ENOTSUP
 * also when it is redirected to or from a regular file; RILL_ENOTSUP on the simulator.
 */
#define rill_connect_stdin(loop, options, protocol, arg, ret_transport) \
    rill_connect_stdin_site(                                            \
        loop, options, protocol, arg, RILL_SITE("standard input"), ret_transport)
RILL_API int rill_connect_stdin_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);
#define rill_connect_stdout(loop, options, protocol, arg, ret_transport) \
    rill_connect_stdout_site(                                            \
        loop, options, protocol, arg, RILL_SITE("standard output"), ret_transport)
RILL_API int rill_connect_stdout_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);
#define rill_connect_stderr(loop, options, protocol, arg, ret_transport) \
    rill_connect_stderr_site(                                            \
        loop, options, protocol, arg, RILL_SITE("standard error"), ret_transport)
RILL_API int rill_connect_stderr_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/* Standard input and output as one transport, see rill_connect_pipes. */
#define rill_connect_stdio(loop, options, protocol, arg, ret_transport) \
    rill_connect_stdio_site(                                            \
        loop, options, protocol, arg, RILL_SITE("standard streams"), ret_transport)
RILL_API int rill_connect_stdio_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/* For rill_pipe: this end is for a process that expects to wait. */
typedef enum rill_pipe_flag {
    RILL_PIPE_BLOCKING_READ = 1,
    RILL_PIPE_BLOCKING_WRITE = 2
} rill_pipe_flag;

/*
 * Make a pipe: what is written to `ret_write` comes out of `ret_read`. Both descriptors are the
 * caller's, close-on-exec, and non-blocking but for those named in `flags` (0, or of
 * rill_pipe_flag). On the simulator they are the simulator's, for rill_connect_read_pipe and its
 * sister, and rill_pipe_close. Returns 0; RILL_EINVAL for unknown flags or without one of the
 * results; -EMFILE, -ENFILE, -ENOMEM.
 */
RILL_API int rill_pipe(rill_loop *loop, unsigned flags, int *ret_read, int *ret_write);

/* Close an end that no transport took: on the kernel close(2) does as well. Returns 0, or what
 * rill_connect_read_pipe says of a descriptor that is none. */
RILL_API int rill_pipe_close(rill_loop *loop, int fd);

typedef enum rill_fifo_flag {
    RILL_FIFO_READ = 1,   /* Exactly one */
    RILL_FIFO_WRITE = 2,  /* of these. */
    RILL_FIFO_CREATE = 4, /* Made if nothing is there. */
    RILL_FIFO_STAY = 8    /* The other end, too, is held open: see below. */
} rill_fifo_flag;

/*
 * Open a FIFO (named pipe) without waiting for the other side. A reader sees no end before the
 * first writer has come, and the end when the last writer has gone; with RILL_FIFO_STAY it goes on
 * for whoever comes next, and never ends. A writer finds -ENXIO while nobody reads; with
 * RILL_FIFO_STAY what it writes waits in the pipe, and it is not told when the readers go; that
 * needs the permission to read and to write. `mode`: of a new one, without what the umask takes, up
 * to 07777.
 *
 * Returns a descriptor, yours, close-on-exec and non-blocking, for rill_connect_read_pipe or
 * rill_connect_write_pipe; RILL_EINVAL (bad flags or mode, no path, the path is no FIFO); -ENXIO,
 * -ENOENT, -EACCES, -EMFILE and so on; RILL_ENOTSUP on the simulator.
 */
RILL_API int rill_fifo_open(rill_loop *loop, const char *path, unsigned flags, int mode);

RILL_END

#endif
