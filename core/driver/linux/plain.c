/*
 * Calls on sockets that belong to no io: what plain sockets and their tasks are made of.
 *
 * None of them waits, whatever the socket's own flag says, but for accept and connect, which ask
 * `check` first. A signal in the middle is no result. No state; any thread that owns the
 * descriptors.
 */
#include <fcntl.h>

#include "core/addr.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

static int
plain_check(rill__driver *driver, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    (void)driver;
    if (flags < 0)
        return -errno;
    return (flags & O_NONBLOCK) != 0 ? 0 : -EAGAIN;
}

static int64_t
plain_recv(rill__driver *driver, int fd, void *buf, size_t len, rill_addr *ret_from)
{
    struct sockaddr_storage storage;
    socklen_t size = sizeof(storage);
    ssize_t got;

    (void)driver;
    if (ret_from == NULL)
        return rill__linux_receive(fd, buf, len);
    do {
        size = sizeof(storage);
        got = recvfrom(fd, buf, len, MSG_DONTWAIT, (struct sockaddr *)&storage, &size);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    rill__addr_set(ret_from, &storage, size < sizeof(storage) ? size : sizeof(storage));
    return got;
}

static int64_t
plain_send(rill__driver *driver, int fd, const void *data, size_t len, const rill_addr *to)
{
    ssize_t sent;

    (void)driver;
    do {
        sent = sendto(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
            to != NULL ? rill__addr_sockaddr(to) : NULL, to != NULL ? to->len : 0);
    } while (sent < 0 && errno == EINTR);
    return rill__result(sent);
}

static int
plain_accept(rill__driver *driver, int fd, int *ret_fd, rill_addr *ret_peer)
{
    int rc;

    (void)driver;
    do {
        rc = rill__linux_accept(fd, ret_fd, ret_peer);
    } while (rc == -EINTR);
    return rc;
}

static int
plain_connect(rill__driver *driver, int fd, const rill_addr *addr)
{
    (void)driver;
    if (connect(fd, rill__addr_sockaddr(addr), addr->len) == 0)
        return 0;
    /* Interrupted, it goes on; asked twice, it is the same one. */
    return errno == EINTR || errno == EALREADY ? -EINPROGRESS : -errno;
}

static int
plain_connected(rill__driver *driver, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int error = 0;
    socklen_t error_len = sizeof(error);

    (void)driver;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
        return -errno;
    if (error != 0)
        return -error;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return 0;
    return errno == ENOTCONN ? -EAGAIN : -errno;
}

static int
plain_shutdown_write(rill__driver *driver, int fd)
{
    (void)driver;
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

static int64_t
plain_sendfile(rill__driver *driver, int fd, int file_fd, uint64_t offset, uint64_t count)
{
    return rill__linux_sendfile((rill__linux *)driver, fd, file_fd, offset, count);
}

const rill__plain_ops rill__plain_linux = {
    .check = plain_check,
    .recv = plain_recv,
    .send = plain_send,
    .accept = plain_accept,
    .connect = plain_connect,
    .connected = plain_connected,
    .shutdown_write = plain_shutdown_write,
    .sendfile = plain_sendfile,
};
