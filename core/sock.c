/*
 * Plain sockets, as far as nothing waits (tasks/sock.c does).
 *
 * Each call is one of the driver's on a descriptor that no io has, and a sentence when it fails for
 * good. No state; loop thread only.
 */
#include <errno.h>

#include <rill/sock.h>
#include <rill/watch.h>

#include "core/internal.h"

/* What the call says; a failure that is no lack of room gets its sentence. */
static int
tell(rill_loop *loop, int rc, const char *function, int fd)
{
    if (rc >= 0 || rc == -EAGAIN || rc == -EINPROGRESS)
        return rc;
    return rill__fail(
        loop, rc, RILL_LAYER_SYSTEM, "%s: descriptor %d: %s", function, fd, rill_strerror(rc));
}

static int
begin(const rill_loop *loop, const char *function)
{
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    rill__check_thread(loop, function);
    return 0;
}

/* For functions that take a descriptor. */
#define BEGIN(loop, fd, condition, function)         \
    do {                                             \
        int begun_;                                  \
        RILL__REQUIRE((loop) != NULL);               \
        begun_ = begin(loop, function);              \
        if (begun_ < 0)                              \
            return begun_;                           \
        RILL__REQUIRE(condition);                    \
        if ((fd) < 0)                                \
            return tell(loop, -EBADF, function, fd); \
    } while (0)

int
rill_sock_open(rill_loop *loop, rill_family family, rill_sock_type type, int *ret_fd)
{
    int rc;

    BEGIN(loop, 0, ret_fd != NULL, "rill_sock_open");
    RILL__REQUIRE(
        family == RILL_FAMILY_IPV4 || family == RILL_FAMILY_IPV6 || family == RILL_FAMILY_UNIX);
    RILL__REQUIRE(type == RILL_SOCK_STREAM || type == RILL_SOCK_DATAGRAM);
    if (type == RILL_SOCK_STREAM)
        rc = loop->sys->socket(loop->driver, family, ret_fd);
    else
        rc = loop->ops->dgrams->socket(loop->driver, family, ret_fd);
    return rc < 0 ? rill__fail_call(loop, rc, "rill_sock_open") : 0;
}

int
rill_sock_close(rill_loop *loop, int fd)
{
    int rc;

    BEGIN(loop, fd, true, "rill_sock_close");
    rc = loop->sys->plain->check(loop->driver, fd);
    if (rc < 0 && rc != -EAGAIN)
        return tell(loop, rc, "rill_sock_close", fd);
    if (rill__watch_is_awaited(loop, fd))
        return rill__fail(loop, RILL_EBUSY, RILL_LAYER_LOOP,
            "rill_sock_close: a task is waiting for descriptor %d: cancel it first", fd);
    (void)rill_remove_reader(loop, fd);
    (void)rill_remove_writer(loop, fd);
    loop->sys->close_fd(loop->driver, fd, false);
    return 0;
}

int
rill_sock_bind(rill_loop *loop, int fd, const rill_addr *addr)
{
    BEGIN(loop, fd, addr != NULL, "rill_sock_bind");
    return tell(loop, loop->sys->bind(loop->driver, fd, addr), "rill_sock_bind", fd);
}

int
rill_sock_listen(rill_loop *loop, int fd, int backlog)
{
    BEGIN(loop, fd, backlog > 0, "rill_sock_listen");
    return tell(loop, loop->sys->listen(loop->driver, fd, backlog), "rill_sock_listen", fd);
}

int
rill_sock_name(rill_loop *loop, int fd, rill_addr *ret_addr)
{
    BEGIN(loop, fd, ret_addr != NULL, "rill_sock_name");
    return tell(loop, loop->sys->sockname(loop->driver, fd, ret_addr), "rill_sock_name", fd);
}

int
rill_sock_peer(rill_loop *loop, int fd, rill_addr *ret_addr)
{
    BEGIN(loop, fd, ret_addr != NULL, "rill_sock_peer");
    return tell(loop, loop->sys->peername(loop->driver, fd, ret_addr), "rill_sock_peer", fd);
}

int
rill_sock_shutdown_write(rill_loop *loop, int fd)
{
    BEGIN(loop, fd, true, "rill_sock_shutdown_write");
    return tell(
        loop, loop->sys->plain->shutdown_write(loop->driver, fd), "rill_sock_shutdown_write", fd);
}

int64_t
rill_sock_try_recv(rill_loop *loop, int fd, void *buf, size_t len)
{
    int64_t got;

    BEGIN(loop, fd, buf != NULL && len > 0, "rill_sock_try_recv");
    got = loop->sys->plain->recv(loop->driver, fd, buf, len, NULL);
    return got < 0 ? tell(loop, (int)got, "rill_sock_try_recv", fd) : got;
}

int64_t
rill_sock_try_send(rill_loop *loop, int fd, const void *data, size_t len)
{
    int64_t sent;

    BEGIN(loop, fd, data != NULL, "rill_sock_try_send");
    sent = loop->sys->plain->send(loop->driver, fd, data, len, NULL);
    return sent < 0 ? tell(loop, (int)sent, "rill_sock_try_send", fd) : sent;
}

/* A call on it would stop the whole loop. */
static int
refuse_blocking(rill_loop *loop, int fd, const char *function)
{
    int rc = loop->sys->plain->check(loop->driver, fd);

    if (rc != -EAGAIN)
        return tell(loop, rc, function, fd);
    return rill__fail(loop, RILL_EINVAL, RILL_LAYER_SYSTEM,
        "%s: descriptor %d blocks: make it non-blocking first (O_NONBLOCK)", function, fd);
}

int
rill_sock_try_accept(rill_loop *loop, int fd, int *ret_fd, rill_addr *ret_peer)
{
    rill_addr peer = { 0 };
    int rc;

    BEGIN(loop, fd, ret_fd != NULL, "rill_sock_try_accept");
    rc = refuse_blocking(loop, fd, "rill_sock_try_accept");
    if (rc < 0)
        return rc;
    rc = loop->sys->plain->accept(loop->driver, fd, ret_fd, &peer);
    if (rc >= 0 && ret_peer != NULL)
        *ret_peer = peer;
    return tell(loop, rc, "rill_sock_try_accept", fd);
}

int
rill_sock_try_connect(rill_loop *loop, int fd, const rill_addr *addr)
{
    int rc;

    BEGIN(loop, fd, addr != NULL, "rill_sock_try_connect");
    rc = refuse_blocking(loop, fd, "rill_sock_try_connect");
    if (rc < 0)
        return rc;
    return tell(
        loop, loop->sys->plain->connect(loop->driver, fd, addr), "rill_sock_try_connect", fd);
}

int
rill_sock_connected(rill_loop *loop, int fd)
{
    BEGIN(loop, fd, true, "rill_sock_connected");
    return tell(loop, loop->sys->plain->connected(loop->driver, fd), "rill_sock_connected", fd);
}
