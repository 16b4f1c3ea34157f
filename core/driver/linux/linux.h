/*
 * What the drivers of the real kernel share: its synchronous services, and the one translation of
 * errors.
 */
#ifndef RILL__DRIVER_LINUX_H
#define RILL__DRIVER_LINUX_H

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "core/driver/driver.h"

extern const rill__sys_ops rill__sys_linux;
extern const rill__plain_ops rill__plain_linux;
extern const rill__rights_ops rill__linux_rights;

/* A driver of the real kernel begins with this. */
typedef struct rill__linux {
    rill__driver driver;
    /* Have the io's send record come when the socket takes bytes again. */
    int (*wait_writable)(rill__driver *driver, rill__io *io);
    sigset_t signals;            /* The thread's mask outside of run. */
    bool guarded;                /* SIGPIPE is blocked. */
    struct rill__dgrams *dgrams; /* Memory for datagrams; NULL before there is a socket for them. */
    struct rill__flagged *flagged; /* pipe.c: what was made non-blocking for all who share it. */
} rill__linux;

/* The result of a system call: itself, or -errno. */
static inline int64_t
rill__result(int64_t result)
{
    return result < 0 ? -errno : result;
}

/* SIGPIPE cannot hit the process between these two. */
void rill__linux_guard(rill__linux *self);
void rill__linux_unguard(rill__linux *self);

/* ---- children: child.c, and spawn.c that starts them ---- */

extern const struct rill__processes_ops rill__processes_linux;

/* `ret_pidfd`: -1 where the kernel has none. */
struct rill__spawn;
int
rill__linux_spawn(rill__linux *self, struct rill__spawn *spec, int64_t *ret_pid, int *ret_pidfd);

int rill__linux_accept(int listener, int *ret_fd, rill_addr *ret_peer);

/* ---- socket.c: what a driver of the real kernel does with a socket that is ready ---- */

rill_ns rill__linux_now(rill__driver *driver);
rill_ns rill__linux_now_coarse(rill__driver *driver);

/* What is in flight, in send.kind. */
enum {
    RILL__LINUX_SEND_NONE,
    RILL__LINUX_SEND_CONNECT,
    RILL__LINUX_SEND_BYTES,
    RILL__LINUX_SEND_RIGHTS,
    RILL__LINUX_SEND_FILE,
    RILL__LINUX_SEND_CANCELED
};

/* After a call that failed: again as long as a signal is all that was wrong. */
int64_t rill__linux_receive_again(int fd, void *buf, size_t len);
int64_t rill__linux_send_parts(int fd, const rill__iov *iov, size_t count);

static inline int64_t
rill__linux_receive(int fd, void *buf, size_t len)
{
    ssize_t got = recv(fd, buf, len, MSG_DONTWAIT);

    return __builtin_expect(got >= 0, 1) ? got : rill__linux_receive_again(fd, buf, len);
}

/* ---- pipe.c: what they do with the end of a pipe ---- */

extern const rill__pipe_ops rill__linux_pipes;

int64_t rill__linux_pipe_receive(const rill__io *io, void *buf, size_t len);
int64_t
rill__linux_pipe_send(rill__driver *driver, const rill__io *io, const rill__iov *iov, size_t count);
/* About to be closed: others who share the open file find it as it was. */
void rill__linux_pipe_leave(rill__driver *driver, const rill__io *io);
/* Given away, as it is. */
void rill__linux_pipe_forget(rill__driver *driver, const rill__io *io);

/* send is cheaper than sendmsg, for the kernel as well. */
static inline int64_t
rill__linux_send(int fd, const rill__iov *iov, size_t count)
{
    ssize_t sent;

    if (count != 1)
        return rill__linux_send_parts(fd, iov, count);
    sent = send(fd, iov->base, iov->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (__builtin_expect(sent >= 0, 1))
        return sent;
    return errno == EINTR ? rill__linux_send_parts(fd, iov, count) : -errno;
}

/* rights.c; what is in io->out.send. */
int64_t rill__linux_rights_send(
    int fd, const rill__iov *iov, size_t count, const int *fds, size_t fd_count);
int
rill__linux_rights_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);

/* The driver's outbound operations: they wait for writability and are tried then. */
int rill__linux_connect_start(rill__driver *driver, rill__io *io, const rill_addr *addr);
int rill__linux_send_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);
int64_t
rill__linux_sendfile(rill__linux *self, int fd, int file_fd, uint64_t offset, uint64_t count);
int rill__linux_sendfile_start(
    rill__driver *driver, rill__io *io, int file_fd, uint64_t offset, uint64_t count);
int64_t rill__linux_finish(rill__driver *driver, rill__io *io);
void rill__linux_cancel(rill__driver *driver, rill__io *io);
int rill__linux_shutdown_write(rill__driver *driver, rill__io *io);

/* ---- dgram.c ---- */

extern const rill__dgram_ops rill__dgrams_linux;
void rill__linux_dgrams_free(rill__linux *self);

#endif
