/*
 * Plain sockets for tasks: each call is tried, and waits for readiness when there is nothing (or no
 * room) yet.
 *
 * A wait holds its side of the descriptor alone, and lets go of it when it is woken or canceled:
 * between two waits nobody watches it. Loop thread only.
 */
#include <errno.h>

#include <rill/file.h>
#include <rill/sock.h>

#include "tasks/internal.h"

#define FILE_BLOCK ((size_t)256 * 1024)

typedef struct sock_wait {
    rill__wait wait;
    int fd;
    enum rill__watch_side side;
} sock_wait;

/* ---- waiting ---- */

static void
on_ready(void *arg)
{
    sock_wait *self = arg;
    rill__fiber *fiber = self->wait.fiber;

    rill__watch_end(fiber->loop, self->fd, self->side);
    rill__wake_now(fiber, 0);
}

static bool
cancel_wait(rill__wait *wait)
{
    sock_wait *self = RILL__CONTAINER(wait, sock_wait, wait);

    rill__watch_end(wait->fiber->loop, self->fd, self->side);
    return true;
}

static int
refuse(rill_loop *loop, const char *call, int fd, int rc)
{
    if (rc == RILL_EBUSY)
        return rill__fail(loop, rc, RILL_LAYER_LOOP,
            "%s: another task, a reader or a writer has descriptor %d", call, fd);
    if (rc == -EEXIST)
        return rill__fail(loop, RILL_EBUSY, RILL_LAYER_LOOP,
            "%s: descriptor %d is a transport's or a server's of this loop", call, fd);
    return rill__fail(
        loop, rc, RILL_LAYER_SYSTEM, "%s: descriptor %d: %s", call, fd, rill_strerror(rc));
}

static int
wait_for(rill__fiber *fiber, int fd, enum rill__watch_side side, const char *call)
{
    sock_wait self = { .wait = { .what = call, .cancel = cancel_wait }, .fd = fd, .side = side };
    int rc = rill__may_wait(fiber); /* Again: it may have given way since the call began. */

    if (rc < 0)
        return rc;
    rc = rill__watch_begin(fiber->loop, fd, side, on_ready, &self, fiber->task->future.site);
    return rc < 0 ? refuse(fiber->loop, call, fd, rc) : rill__suspend(fiber, &self.wait);
}

static int
begin(const rill__fiber *fiber, int fd, const char *call)
{
    int rc = rill__may_wait((rill__fiber *)fiber);

    return rc == 0 && fd < 0 ? refuse(fiber->loop, call, fd, -EBADF) : rc;
}

/* What a call that did not have to wait says. */
static int64_t
tell(rill__fiber *fiber, const char *call, int fd, int64_t result)
{
    if (result < 0 && result != RILL_ECANCELED)
        return refuse(fiber->loop, call, fd, (int)result);
    return result;
}

/* ---- receiving ---- */

static int64_t
receive(int fd, void *buf, size_t len, rill_addr *ret_from, const char *call)
{
    rill__fiber *fiber = rill__current();
    int64_t got = begin(fiber, fd, call);
    bool waited = false;

    while (got == 0) {
        const rill__plain_ops *plain = fiber->loop->sys->plain;

        got = plain->recv(fiber->loop->driver, fd, buf, len, ret_from);
        if (got != -EAGAIN) {
            if (!waited)
                rill__spend(fiber);
            return tell(fiber, call, fd, got);
        }
        got = wait_for(fiber, fd, RILL__WATCH_READ, call);
        waited = true;
    }
    return got;
}

int64_t
rill_sock_recv(int fd, void *buf, size_t len)
{
    RILL__REQUIRE(buf != NULL && len > 0);
    return receive(fd, buf, len, NULL, "rill_sock_recv");
}

int64_t
rill_sock_recvfrom(int fd, void *buf, size_t len, rill_addr *ret_from)
{
    rill_addr from = { 0 };
    int64_t got;

    RILL__REQUIRE(buf != NULL && len > 0 && ret_from != NULL);
    got = receive(fd, buf, len, &from, "rill_sock_recvfrom");
    if (got >= 0)
        *ret_from = from;
    return got;
}

/* ---- sending ---- */

static int64_t
send_some(
    rill__fiber *fiber, int fd, const void *data, size_t len, const rill_addr *to, const char *call)
{
    for (;;) {
        int64_t sent = fiber->loop->sys->plain->send(fiber->loop->driver, fd, data, len, to);

        if (sent != -EAGAIN)
            return tell(fiber, call, fd, sent);
        sent = wait_for(fiber, fd, RILL__WATCH_WRITE, call);
        if (sent < 0)
            return sent;
    }
}

static int
send_all(rill__fiber *fiber, int fd, const void *data, size_t len, size_t *sent, const char *call)
{
    do {
        int64_t n = send_some(fiber, fd, (const char *)data + *sent, len - *sent, NULL, call);

        if (n < 0)
            return (int)n;
        *sent += (size_t)n;
    } while (*sent < len);
    return 0;
}

int
rill_sock_sendall(int fd, const void *data, size_t len, size_t *ret_sent)
{
    rill__fiber *fiber = rill__current();
    size_t sent = 0;
    int rc;

    RILL__REQUIRE(data != NULL || len == 0);
    rc = begin(fiber, fd, "rill_sock_sendall");
    if (rc < 0)
        return rc;
    if (len > 0)
        rc = send_all(fiber, fd, data, len, &sent, "rill_sock_sendall");
    if (ret_sent != NULL)
        *ret_sent = sent;
    if (rc == 0)
        rill__spend(fiber);
    return rc;
}

int64_t
rill_sock_sendto(int fd, const void *data, size_t len, const rill_addr *to)
{
    rill__fiber *fiber = rill__current();
    int64_t sent;

    RILL__REQUIRE((data != NULL || len == 0) && to != NULL);
    sent = begin(fiber, fd, "rill_sock_sendto");
    if (sent == 0)
        sent = send_some(fiber, fd, len > 0 ? data : "", len, to, "rill_sock_sendto");
    if (sent >= 0)
        rill__spend(fiber);
    return sent;
}

/* ---- connecting and accepting ---- */

/* Calls on it would stop the whole loop. */
static int
check(const rill__fiber *fiber, int fd, const char *call)
{
    int rc = begin(fiber, fd, call);

    if (rc < 0)
        return rc;
    rc = fiber->loop->sys->plain->check(fiber->loop->driver, fd);
    if (rc == -EAGAIN)
        return rill__fail(fiber->loop, rc, RILL_LAYER_SYSTEM,
            "%s: descriptor %d blocks: make it non-blocking first (O_NONBLOCK)", call, fd);
    return rc < 0 ? refuse(fiber->loop, call, fd, rc) : 0;
}

int
rill_sock_connect(int fd, const rill_addr *addr)
{
    static const char call[] = "rill_sock_connect";
    rill__fiber *fiber = rill__current();
    char text[RILL_ADDR_TEXT];
    int rc;

    RILL__REQUIRE(addr != NULL);
    rc = check(fiber, fd, call);
    if (rc < 0)
        return rc;
    rc = fiber->loop->sys->plain->connect(fiber->loop->driver, fd, addr);
    if (rc == 0)
        rill__spend(fiber);
    if (rc == -EINPROGRESS) {
        do {
            rc = wait_for(fiber, fd, RILL__WATCH_WRITE, call);
            if (rc < 0)
                return rc;
            rc = fiber->loop->sys->plain->connected(fiber->loop->driver, fd);
        } while (rc == -EAGAIN);
    }
    if (rc < 0)
        return rill__fail(fiber->loop, rc, RILL_LAYER_SYSTEM, "%s: %s: %s", call,
            rill_addr_format(addr, text, sizeof(text)), rill_strerror(rc));
    return 0;
}

int
rill_sock_accept(int fd, int *ret_fd, rill_addr *ret_peer)
{
    static const char call[] = "rill_sock_accept";
    rill__fiber *fiber = rill__current();
    rill_addr peer = { 0 };
    int rc;

    RILL__REQUIRE(ret_fd != NULL);
    rc = check(fiber, fd, call);
    if (rc < 0)
        return rc;
    while (
        (rc = fiber->loop->sys->plain->accept(fiber->loop->driver, fd, ret_fd, &peer)) == -EAGAIN) {
        rc = wait_for(fiber, fd, RILL__WATCH_READ, call);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return refuse(fiber->loop, call, fd, rc);
    rill__spend(fiber);
    if (ret_peer != NULL)
        *ret_peer = peer;
    return 0;
}

/* ---- files ---- */

/* Block by block: read on a thread, then sent. */
static int
copy_file(rill__fiber *fiber, int fd, int file_fd, uint64_t offset, uint64_t count, uint64_t *sent,
    const char *call)
{
    rill_loop *loop = fiber->loop;
    unsigned char *block = rill__alloc(loop, FILE_BLOCK, RILL_TAG_TASK);
    int rc = 0;

    if (block == NULL)
        return rill__fail_call(loop, -ENOMEM, call);
    while (rc == 0 && *sent < count) {
        uint64_t left = count - *sent;
        size_t taken = 0;
        int64_t got = rill_file_read_at(
            file_fd, offset + *sent, block, left < FILE_BLOCK ? (size_t)left : FILE_BLOCK);

        if (got <= 0) {
            rc = (int)got;
            break;
        }
        rc = send_all(fiber, fd, block, (size_t)got, &taken, call);
        *sent += taken;
    }
    rill__free(loop, block, FILE_BLOCK, RILL_TAG_TASK);
    return rc;
}

/* Returns 1 when the kernel cannot do it and nothing was sent. */
static int
send_file(rill__fiber *fiber, int fd, int file_fd, uint64_t offset, uint64_t count, uint64_t *sent,
    const char *call)
{
    while (*sent < count) {
        int64_t n = fiber->loop->sys->plain->sendfile(
            fiber->loop->driver, fd, file_fd, offset + *sent, count - *sent);

        if ((n == -EINVAL || n == -ENOSYS) && *sent == 0)
            return 1;
        if (n == 0)
            return 0;
        if (n == -EAGAIN)
            n = wait_for(fiber, fd, RILL__WATCH_WRITE, call);
        else
            n = tell(fiber, call, fd, n);
        if (n < 0)
            return (int)n;
        *sent += (uint64_t)n;
        rill__spend(fiber); /* A fast peer must not keep the others waiting. */
    }
    return 0;
}

int
rill_sock_sendfile(int fd, int file_fd, uint64_t offset, uint64_t count, uint64_t *ret_sent)
{
    static const char call[] = "rill_sock_sendfile";
    rill__fiber *fiber = rill__current();
    uint64_t sent = 0;
    int64_t size;
    int rc;

    RILL__REQUIRE(offset <= INT64_MAX && count <= INT64_MAX);
    rc = check(fiber, fd, call);
    if (rc < 0)
        return rc;
    size = fiber->loop->sys->file_size(fiber->loop->driver, file_fd);
    if (size < 0)
        return rill__fail(fiber->loop, size == -EINVAL ? RILL_ENOTSUP : (int)size,
            RILL_LAYER_SYSTEM, "%s: descriptor %d is no regular file", call, file_fd);
    if (count == 0)
        count = INT64_MAX - offset;
    rc = send_file(fiber, fd, file_fd, offset, count, &sent, call);
    if (rc == 1)
        rc = copy_file(fiber, fd, file_fd, offset, count, &sent, call);
    if (ret_sent != NULL)
        *ret_sent = sent;
    return rc;
}
