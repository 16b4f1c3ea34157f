/*
 * Calls on simulated sockets that belong to no io, with the faults that system calls have.
 *
 * The world acts on such a socket only when it is asked, in both personalities: nothing is received
 * ahead for who does not subscribe. The world's thread only.
 */
#include "core/driver/sim/internal.h"

static sim_socket *
socket_of(rill__driver *driver, int fd)
{
    return rill__sim_socket_of(((sim_driver *)driver)->sim, fd);
}

static int
plain_check(rill__driver *driver, int fd)
{
    return socket_of(driver, fd) != NULL ? 0 : -EBADF;
}

static int64_t
plain_recv(rill__driver *driver, int fd, void *buf, size_t len, rill_addr *ret_from)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    if (socket->dgrams != NULL)
        return rill__sim_dgram_recv((sim_driver *)driver, socket, buf, len, ret_from);
    if (ret_from != NULL)
        memset(ret_from, 0, sizeof(*ret_from)); /* A stream tells none. */
    return rill__sim_call_recv(socket, buf, len);
}

static int64_t
plain_send(rill__driver *driver, int fd, const void *data, size_t len, const rill_addr *to)
{
    sim_socket *socket = socket_of(driver, fd);
    rill__iov part = { data, len };
    int rc;

    if (socket == NULL)
        return -EBADF;
    if (socket->dgrams != NULL) {
        rc = rill__sim_dgram_send(socket, &(rill__departing){ data, len, to });
        return rc < 0 ? rc : (int64_t)len;
    }
    if (to != NULL && socket->state == SIM_CONNECTED && rill__sim_is_unix(socket))
        return -EISCONN;
    return rill__sim_call_send(socket, &part, 1);
}

static int
plain_accept(rill__driver *driver, int fd, int *ret_fd, rill_addr *ret_peer)
{
    sim_socket *socket = socket_of(driver, fd);
    int rc;

    if (socket == NULL)
        return -EBADF;
    rc = rill__sim_call_accept(socket, ret_fd, ret_peer);
    return rc == -EINTR ? -EAGAIN : rc; /* The kernel's driver repeats it by itself. */
}

static int
plain_connect(rill__driver *driver, int fd, const rill_addr *addr)
{
    sim_socket *socket = socket_of(driver, fd);
    int rc;

    if (socket == NULL)
        return -EBADF;
    if (socket->dgrams != NULL)
        return rill__dgrams_sim.connect(driver, fd, addr);
    if (socket->state == SIM_CONNECTING)
        return -EINPROGRESS;
    rc = rill__sim_connect(socket, addr);
    if (rc < 0)
        return rc;
    rc = (int)rill__sim_call_connected(socket);
    return rc == -EAGAIN ? -EINPROGRESS : rc;
}

static int
plain_connected(rill__driver *driver, int fd)
{
    sim_socket *socket = socket_of(driver, fd);

    return socket != NULL ? (int)rill__sim_call_connected(socket) : -EBADF;
}

static int
plain_shutdown_write(rill__driver *driver, int fd)
{
    sim_socket *socket = socket_of(driver, fd);

    return socket != NULL ? rill__sim_shutdown(socket) : -EBADF;
}

/* Reading and sending do as well. */
static int64_t
plain_sendfile(rill__driver *driver, int fd, int file_fd, uint64_t offset, uint64_t count)
{
    (void)offset;
    (void)count;
    (void)file_fd;
    return socket_of(driver, fd) != NULL ? -EINVAL : -EBADF;
}

const rill__plain_ops rill__plain_sim = {
    .check = plain_check,
    .recv = plain_recv,
    .send = plain_send,
    .accept = plain_accept,
    .connect = plain_connect,
    .connected = plain_connected,
    .shutdown_write = plain_shutdown_write,
    .sendfile = plain_sendfile,
};
