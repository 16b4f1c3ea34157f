/*
 * Plain sockets: descriptors that no transport has, for who speaks a socket's own language.
 * asyncio's sock_* family.
 *
 *     int fd;
 *
 *     rc = rill_sock_open(loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &fd);
 *     ...
 *     rc = rill_sock_connect(fd, &addr);                  // In a task, like all below:
 *     rc = rill_sock_sendall(fd, "ping\r\n", 6, NULL);
 *     got = rill_sock_recv(fd, buf, sizeof(buf));
 *     ...
 *     rill_sock_close(loop, fd);
 *
 * Most programs want a transport or a stream instead: they have buffers, marks and deadlines, and
 * the drivers are at their best with them. Here each call is a system call or two.
 *
 * A descriptor may come from rill_sock_open, or from anywhere else if it is a socket that does not
 * block. It stays yours, and must be nobody else's meanwhile: what a transport of this loop reads
 * is refused with RILL_EBUSY where that can be seen. One task at a time may wait to read from it
 * and one to write to it; a second one gets RILL_EBUSY. On the simulator only descriptors of its
 * own world count, those of rill_sock_open and of rill_sock_accept.
 *
 * All functions are for the loop's thread.
 */
#ifndef RILL_SOCK_H
#define RILL_SOCK_H

#include <rill/addr.h>
#include <rill/task.h>

RILL_BEGIN

typedef enum rill_sock_type { RILL_SOCK_STREAM, RILL_SOCK_DATAGRAM } rill_sock_type;

/* ---- without waiting ---- */

/* Make a socket, non-blocking and close-on-exec, yours: rill_sock_close, or hand it to
 * rill_connect_accepted_socket and the like. Returns 0; RILL_EINVAL for RILL_FAMILY_ANY or an
 * unknown type; -EMFILE, -ENFILE, -ENOBUFS, -EAFNOSUPPORT (no IPv6 here); -ENOMEM. */
RILL_API int rill_sock_open(rill_loop *loop, rill_family family, rill_sock_type type, int *ret_fd);

/* Close it, readers and writers of it first (rill_add_reader). RILL_EBUSY while a task waits for
 * it, and then it stays open. Returns 0; RILL_EBUSY; -EBADF. */
RILL_API int rill_sock_close(rill_loop *loop, int fd);

/* bind(2), listen(2), getsockname(2), getpeername(2), shutdown(2) of the writing half: 0, or the
 * error of the system call. A `backlog` below 1 is RILL_EINVAL. */
RILL_API int rill_sock_bind(rill_loop *loop, int fd, const rill_addr *addr);
RILL_API int rill_sock_listen(rill_loop *loop, int fd, int backlog);
RILL_API int rill_sock_name(rill_loop *loop, int fd, rill_addr *ret_addr);
RILL_API int rill_sock_peer(rill_loop *loop, int fd, rill_addr *ret_addr);
RILL_API int rill_sock_shutdown_write(rill_loop *loop, int fd);

/* What the calls below do before they wait: -EAGAIN where they would wait. For callbacks of
 * rill_add_reader and rill_add_writer. rill_sock_try_connect says -EINPROGRESS, and when the socket
 * is writable then, rill_sock_connected tells what became of it: 0, -ECONNREFUSED and so on, or
 * -EAGAIN as long as it is not decided. An accept or a connect on a socket that blocks is
 * RILL_EINVAL. */
RILL_API int64_t rill_sock_try_recv(rill_loop *loop, int fd, void *buf, size_t len);
RILL_API int64_t rill_sock_try_send(rill_loop *loop, int fd, const void *data, size_t len);
RILL_API int rill_sock_try_accept(rill_loop *loop, int fd, int *ret_fd, rill_addr *ret_peer);
RILL_API int rill_sock_try_connect(rill_loop *loop, int fd, const rill_addr *addr);
RILL_API int rill_sock_connected(rill_loop *loop, int fd);

/* ---- for tasks: they wait ----
 *
 * Each tries first and waits only when it must. All return RILL_ECANCELED, and then the socket is
 * as if they had not been called, but for what a sendall or a sendfile had sent; RILL_ENOTASK
 * outside of a task; RILL_EBUSY when another task waits for the same side of the socket, or a
 * reader or writer is there; RILL_EINVAL; -EBADF; -ENOTSOCK; -ENOMEM; or what the system call says.
 * Limits in time: rill_timeout_begin and RILL_TIMEOUT.
 */

/* Receive at most `len` bytes, at least 1 of them: returns how many; 0 at the end of a stream (or
 * for an empty datagram; what of a datagram is beyond `len` is lost). `len` 0 is RILL_EINVAL.
 * asyncio: sock_recv_into. */
RILL_API RILL_MUST_CHECK int64_t rill_sock_recv(int fd, void *buf, size_t len);

/* The same, and who sent it: an address of no family (rill_addr_family) where a stream or an
 * unnamed socket did. asyncio: sock_recvfrom_into. */
RILL_API RILL_MUST_CHECK int64_t rill_sock_recvfrom(
    int fd, void *buf, size_t len, rill_addr *ret_from);

/* Send all of it. `ret_sent`, if not NULL, gets how many bytes the kernel took, after an error or a
 * cancel, too. `data` is in use until the call returns. Returns 0, or the error: -EPIPE,
 * -ECONNRESET and so on; no SIGPIPE comes. asyncio: sock_sendall. */
RILL_API RILL_MUST_CHECK int
rill_sock_sendall(int fd, const void *data, size_t len, size_t *ret_sent);

/* Send one datagram to `to`. Returns its length; -EMSGSIZE and so on. asyncio: sock_sendto. */
RILL_API RILL_MUST_CHECK int64_t rill_sock_sendto(
    int fd, const void *data, size_t len, const rill_addr *to);

/* Connect. Canceled in the middle, the kernel goes on with it: calling it again, for the same
 * address, waits for the same attempt. Returns 0; -EAGAIN: the socket blocks, or the backlog of a
 * Unix listener is full; -ECONNREFUSED, -ETIMEDOUT, -EISCONN and so on. asyncio: sock_connect, for
 * addresses. */
RILL_API RILL_MUST_CHECK int rill_sock_connect(int fd, const rill_addr *addr);

/* Take a connection of a listening socket: non-blocking, close-on-exec, yours. `ret_peer` may be
 * NULL. Returns 0; -EMFILE, -ENFILE and so on: the connection waits; -ECONNABORTED: it is gone.
 * asyncio: sock_accept. */
RILL_API RILL_MUST_CHECK int rill_sock_accept(int fd, int *ret_fd, rill_addr *ret_peer);

/* Send `count` bytes of the regular file `file_fd` from `offset` on; 0: until its end. Inside the
 * kernel where it can (sendfile(2)), by reading blocks on the loop's executor where not. The file's
 * position is neither used nor moved. `ret_sent`, if not NULL, gets how many bytes were sent, after
 * an error or a cancel, too. Returns 0, also when the file ends earlier; RILL_ENOTSUP when
 * `file_fd` is no regular file. asyncio: sock_sendfile. */
RILL_API RILL_MUST_CHECK int
rill_sock_sendfile(int fd, int file_fd, uint64_t offset, uint64_t count, uint64_t *ret_sent);

RILL_END

#endif
