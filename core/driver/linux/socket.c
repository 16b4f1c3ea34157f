/*
 * What the drivers of the real kernel do alike with a socket: receiving and sending without
 * waiting, and the outbound operations that wait for writability and are tried again then.
 *
 * No state but the io's. Loop thread only.
 */
#include <netinet/in.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>

#include "core/addr.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#define SENDFILE_MAX ((size_t)1 << 30)

static_assert(sizeof(rill__iov) == sizeof(struct iovec), "passed on as struct iovec");
static_assert(offsetof(rill__iov, base) == offsetof(struct iovec, iov_base), "the same layout");
static_assert(offsetof(rill__iov, len) == offsetof(struct iovec, iov_len), "the same layout");

rill_ns
rill__linux_now(rill__driver *driver)
{
    struct timespec ts;

    (void)driver;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* Cannot fail for this clock. */
    return (rill_ns)ts.tv_sec * RILL_S + ts.tv_nsec;
}

rill_ns
rill__linux_now_coarse(rill__driver *driver)
{
    struct timespec ts;

    (void)driver;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts); /* As above. */
    return (rill_ns)ts.tv_sec * RILL_S + ts.tv_nsec;
}

RILL__RARE int64_t
rill__linux_receive_again(int fd, void *buf, size_t len)
{
    ssize_t got = -1;

    while (got < 0 && errno == EINTR)
        got = recv(fd, buf, len, MSG_DONTWAIT);
    return rill__result(got);
}

__attribute__((noinline)) int64_t
rill__linux_send_parts(int fd, const rill__iov *iov, size_t count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
    ssize_t sent;

    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return rill__result(sent);
}

static int
start(rill__driver *driver, rill__io *io, uint8_t kind)
{
    int rc;

    rill__check(!io->send.active);
    io->send.active = true;
    io->send.kind = kind;
    rc = ((rill__linux *)driver)->wait_writable(driver, io);
    if (rc < 0)
        io->send.active = false;
    return rc;
}

/* What is settled at once is told by a record like the rest. */
int
rill__linux_connect_start(rill__driver *driver, rill__io *io, const rill_addr *addr)
{
    if (connect(io->fd, rill__addr_sockaddr(addr), addr->len) < 0 && errno != EINPROGRESS &&
        errno != EINTR)
        return -errno;
    return start(driver, io, RILL__LINUX_SEND_CONNECT);
}

int
rill__linux_send_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    assert(count > 0 && count <= RILL__IOV_MAX);
    io->out.send.iov = iov;
    io->out.send.count = count;
    return start(driver, io, RILL__LINUX_SEND_BYTES);
}

int
rill__linux_rights_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    io->out.send.iov = iov;
    io->out.send.count = count;
    return start(driver, io, RILL__LINUX_SEND_RIGHTS);
}

int
rill__linux_sendfile_start(
    rill__driver *driver, rill__io *io, int file_fd, uint64_t offset, uint64_t count)
{
    io->out.file.fd = file_fd;
    io->out.file.offset = offset;
    io->out.file.count = count;
    return start(driver, io, RILL__LINUX_SEND_FILE);
}

static int64_t
finish_connect(rill__io *io)
{
    struct sockaddr_storage storage;
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    if (error != 0)
        return -error;
    len = sizeof(storage);
    if (getpeername(io->fd, (struct sockaddr *)&storage, &len) == 0)
        return 0;
    return errno == ENOTCONN ? -EAGAIN : -errno; /* A spurious record: still connecting. */
}

static int64_t
send_file(int fd, int file_fd, uint64_t offset, uint64_t count)
{
    off_t at = (off_t)offset;
    ssize_t sent;

    do
        sent = sendfile(fd, file_fd, &at, count < SENDFILE_MAX ? (size_t)count : SENDFILE_MAX);
    while (sent < 0 && errno == EINTR);
    return rill__result(sent);
}

/* A single step of the loop is not guarded as a run is: it would cost every step three calls. */
int64_t
rill__linux_sendfile(rill__linux *self, int fd, int file_fd, uint64_t offset, uint64_t count)
{
    bool guard = !self->guarded;
    int64_t result;

    if (guard)
        rill__linux_guard(self);
    result = send_file(fd, file_fd, offset, count);
    if (guard)
        rill__linux_unguard(self);
    return result;
}

int64_t
rill__linux_finish(rill__driver *driver, rill__io *io)
{
    int64_t result = RILL_ECANCELED;

    if (!io->send.active)
        return -EAGAIN;
    if (io->send.kind == RILL__LINUX_SEND_CONNECT)
        result = finish_connect(io);
    else if (io->send.kind == RILL__LINUX_SEND_BYTES)
        result = RILL__UNLIKELY(io->kind == RILL__IO_PIPE)
                     ? rill__linux_pipe_send(driver, io, io->out.send.iov, io->out.send.count)
                     : rill__linux_send(io->fd, io->out.send.iov, io->out.send.count);
    else if (io->send.kind == RILL__LINUX_SEND_RIGHTS)
        result = rill__linux_rights_send(io->fd, io->out.send.iov, io->out.send.count,
            io->out.send.passing->fds, io->out.send.passing->count);
    else if (io->send.kind == RILL__LINUX_SEND_FILE)
        result = rill__linux_sendfile((rill__linux *)driver, io->fd, io->out.file.fd,
            io->out.file.offset, io->out.file.count);
    if (result != -EAGAIN)
        io->send.active = false;
    return result;
}

void
rill__linux_cancel(rill__driver *driver, rill__io *io)
{
    if (!io->send.active)
        return;
    io->send.kind = RILL__LINUX_SEND_CANCELED;
    rill__loop_push_op(driver->loop, &io->send);
}

int
rill__linux_shutdown_write(rill__driver *driver, rill__io *io)
{
    (void)driver;
    return shutdown(io->fd, SHUT_WR) < 0 ? -errno : 0;
}
