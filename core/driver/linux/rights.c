/*
 * Descriptors that travel with the bytes of a Unix socket (SCM_RIGHTS).
 *
 * What is received is close-on-exec from the beginning. The kernel gives each process that reads
 * descriptors of its own, and closes those for which there is no room in the control buffer, which
 * is told as an error. No state; loop thread only.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/driver/linux/linux.h"
#include "core/internal.h"

static_assert(sizeof(rill__iov) == sizeof(struct iovec) &&
                  offsetof(rill__iov, len) == offsetof(struct iovec, iov_len),
    "an iov is passed on as it is");

/* Credentials come along where somebody has asked for them on the socket (SO_PASSCRED). */
typedef union rights_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(RILL__RIGHTS_MAX * sizeof(int))];
} rights_control;

static int
rights_duplicate(rill__driver *driver, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    (void)driver;
    if (copy < 0)
        return errno == EINVAL ? -EMFILE : -errno; /* EINVAL: the limit is as low as that. */
    return copy;
}

static void
rights_discard(rill__driver *driver, int fd)
{
    (void)driver;
    (void)close(fd); /* Gone even when it says EINTR or EIO. */
}

int64_t
rill__linux_rights_send(int fd, const rill__iov *iov, size_t count, const int *fds, size_t fd_count)
{
    rights_control control = { 0 };
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
        .msg_iovlen = count,
        .msg_control = control.bytes,
        .msg_controllen = CMSG_SPACE(fd_count * sizeof(int)) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    ssize_t sent;

    assert(fd_count > 0 && fd_count <= RILL__RIGHTS_MAX);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return rill__result(sent);
}

static int64_t
rights_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
    const int *fds, size_t fd_count)
{
    (void)driver;
    return io->send.active ? -EAGAIN : rill__linux_rights_send(io->fd, iov, count, fds, fd_count);
}

static int
rights_send_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
    const rill__passing *passing)
{
    io->out.send.passing = passing;
    return rill__linux_rights_start(driver, io, iov, count);
}

/* What came in one message. Returns how many there were; those beyond `max` are closed. */
static size_t
collect(struct msghdr *message, int *ret_fds, size_t max)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        size_t here;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++, count++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (count < max)
                ret_fds[count] = fd;
            else
                (void)close(fd);
        }
    }
    return count;
}

/* There is always room for all that can come, so what was cut the kernel had no number for. */
static int64_t
rights_recv(rill__driver *driver, rill__io *io, void *buf, size_t len, int *ret_fds, size_t max,
    size_t *ret_count)
{
    rights_control control;
    struct iovec part = { buf, len };
    struct msghdr message;
    ssize_t got;
    size_t count;

    (void)driver;
    assert(max <= RILL__RIGHTS_MAX);
    *ret_count = 0;
    do {
        message = (struct msghdr){ .msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes) };
        got = recvmsg(io->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    count = collect(&message, ret_fds, max);
    *ret_count = count < max ? count : max;
    if (count > max)
        return -EMSGSIZE;
    return (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : got;
}

const rill__rights_ops rill__linux_rights = {
    .duplicate = rights_duplicate,
    .discard = rights_discard,
    .send_now = rights_send_now,
    .send_start = rights_send_start,
    .recv = rights_recv,
};
