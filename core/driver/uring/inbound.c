/*
 * What comes in: multishot receives and accepts, and what is held until the owner takes it.
 *
 * The kernel takes bytes only inside our own enter, so what it has taken is all held here when a
 * callback runs, and behind it a plain recv finds the next bytes: an owner may read ahead of its
 * record, a stream whose messages are large is switched to readiness and the hot buffer (`direct`)
 * and back, and no byte can overtake another. Loop thread only.
 */
#include <errno.h>
#include <unistd.h>

#include "core/driver/uring/uring.h"

#define LARGE_BYTES    ((size_t)16 * 1024)
#define LARGE_IN_A_ROW 4
#define SMALL_IN_A_ROW 8

/* ---- what is held ---- */

static uring_held *
held_new(uring_driver *self, uring_io *u)
{
    if (u->own_used)
        return rill__alloc(self->base.driver.loop, sizeof(uring_held), RILL_TAG_DRIVER);
    u->own_used = true;
    return &u->own;
}

static void
held_pop(uring_driver *self, uring_io *u)
{
    uring_held *held = u->held_first;

    u->held_first = held->next;
    if (u->held_first == NULL)
        u->held_last = NULL;
    if (held == &u->own)
        u->own_used = false;
    else
        rill__free(self->base.driver.loop, held, sizeof(*held), RILL_TAG_DRIVER);
}

static bool
held_push(uring_driver *self, uring_io *u, uring_held what)
{
    uring_held *held = held_new(self, u);

    if (held == NULL)
        return false;
    *held = what;
    held->next = NULL;
    if (u->held_last != NULL)
        u->held_last->next = held;
    else
        u->held_first = held;
    u->held_last = held;
    return true;
}

static void
drop_first(uring_driver *self, uring_io *u)
{
    if (u->held_first->data != NULL)
        uring_buffers_unref(&self->buffers, u->held_first->buffer);
    else if (u->held_first->result >= 0)
        (void)close(u->held_first->result); /* Accepted, and never handed out. */
    held_pop(self, u);
}

void
uring_drop_held(uring_driver *self, uring_io *u)
{
    while (u->held_first != NULL)
        drop_first(self, u);
}

/* ---- completions ---- */

static void
end_with(uring_io *u, int result)
{
    u->ended = true;
    u->end = result;
}

/* Is the stream one of large messages? Then the hot buffer is better than the ring's. */
static void
learn_size(uring_io *u, size_t len)
{
    u->large = len >= LARGE_BYTES ? (uint8_t)(u->large + 1) : 0;
    if (u->large < LARGE_IN_A_ROW)
        return;
    u->large = 0;
    u->small = 0;
    u->direct = true;
}

static void
received_bytes(uring_driver *self, uring_io *u, uint16_t buffer, uint8_t *data, size_t len)
{
    if (len == 0 || u->io->closing || u->ended) {
        uring_buffers_unref(&self->buffers, buffer);
        return;
    }
    if (!held_push(self, u, (uring_held){ .data = data, .len = (uint32_t)len, .buffer = buffer })) {
        uring_buffers_unref(&self->buffers, buffer);
        end_with(u, -ENOMEM); /* Bytes are gone, so the connection must go. */
        return;
    }
    learn_size(u, len);
}

static void
received_connection(uring_driver *self, uring_io *u, int fd)
{
    if (!u->io->closing && held_push(self, u, (uring_held){ .result = fd }))
        return;
    (void)close(fd);
}

/* A multishot request has ended with an error. */
static void
stopped(uring_driver *self, uring_io *u, int error)
{
    if (error == -ECANCELED || error == -EINTR || error == -EAGAIN)
        return;
    if (error == -ENOBUFS && u->io->kind == RILL__IO_STREAM) {
        if (!uring_buffers_grow(&self->buffers))
            u->direct = true;
    } else if (u->io->kind == RILL__IO_STREAM) {
        end_with(u, error);
    } else if (!held_push(self, u, (uring_held){ .result = error })) {
        uring_unsettle(self, u); /* It will be told again. */
    }
}

void
uring_received(uring_driver *self, uring_io *u, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;

    if (!more) {
        u->receiving = false;
        u->stopping = false;
        u->in_flight--;
    }
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        size_t len = cqe->res > 0 ? (size_t)cqe->res : 0;
        uint8_t *data = uring_buffers_received(
            &self->buffers, buffer, len, (cqe->flags & IORING_CQE_F_BUF_MORE) != 0);

        received_bytes(self, u, buffer, data, len);
    } else if (cqe->res >= 0 && u->io->kind == RILL__IO_LISTENER) {
        received_connection(self, u, cqe->res);
    }
    if (cqe->res == 0 && u->io->kind == RILL__IO_STREAM)
        end_with(u, 0);
    else if (cqe->res < 0 && !u->io->closing)
        stopped(self, u, cqe->res);
    if (uring_wants_in(u) && (u->held_first != NULL || u->ended))
        rill__push_op(self->base.driver.loop, &u->io->recv);
    if (!u->io->closing)
        uring_unsettle(self, u);
}

/* ---- taking ---- */

void
uring_release_lent(uring_driver *self)
{
    if (self->lent < 0)
        return;
    uring_buffers_unref(&self->buffers, (uint16_t)self->lent);
    self->lent = -1;
}

/* The end, or what a send on trust was told of in its place: the kernel tells an error once. */
static int
end_of(const uring_io *u)
{
    return u->soon_error != -EPIPE ? u->soon_error : 0;
}

/* Nothing is held: ask the socket itself. */
static int64_t
read_now(uring_io *u, void *buf, size_t len)
{
    int64_t got;

    if (u->ended) {
        got = u->end;
        u->end = 0; /* An error is told once; after it comes the end. */
        return got != 0 ? got : end_of(u);
    }
    got = RILL__UNLIKELY(u->io->kind == RILL__IO_PIPE) ? rill__linux_pipe_receive(u->io, buf, len)
                                                       : rill__linux_receive(u->io->fd, buf, len);
    if (got == 0) {
        end_with(u, 0);
        return end_of(u);
    }
    if (u->direct && got > 0) {
        u->small = (size_t)got >= LARGE_BYTES ? 0 : (uint8_t)(u->small + 1);
        u->direct = u->small < SMALL_IN_A_ROW;
    }
    return got;
}

int64_t
uring_recv_take(rill__driver *driver, rill__io *io, rill_slice *ret_slice)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    uring_held *held = u->held_first;
    size_t size;
    uint8_t *buf;
    int64_t got;

    uring_release_lent(self);
    if (held != NULL) {
        *ret_slice = (rill_slice){ .data = held->data, .len = held->len, .chunk = NULL };
        self->lent = held->buffer;
        held_pop(self, u);
        if (RILL__UNLIKELY(u->held_first != NULL || u->ended || !u->receiving))
            uring_unsettle(self, u);
        return (int64_t)ret_slice->len;
    }
    buf = rill__loop_hot_buffer(driver->loop, &size);
    if (buf == NULL)
        return -ENOMEM;
    got = read_now(u, buf, size);
    if (got > 0)
        *ret_slice = rill__loop_hot_slice(driver->loop, (size_t)got);
    uring_unsettle(self, u);
    return got;
}

int64_t
uring_recv_into(rill__driver *driver, rill__io *io, void *buf, size_t len)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    uring_held *held = u->held_first;

    uring_unsettle(self, u);
    if (held == NULL)
        return read_now(u, buf, len);
    if (len > held->len)
        len = held->len;
    memcpy(buf, held->data, len);
    held->data += len;
    held->len -= (uint32_t)len;
    if (held->len == 0) {
        uring_buffers_unref(&self->buffers, held->buffer);
        held_pop(self, u);
    }
    return (int64_t)len;
}

int64_t
uring_take_unread(rill__driver *driver, rill__io *io, void *buf, size_t size)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    uint8_t *to = buf;
    size_t len = 0;
    int rc = uring_quiesce(self, u);

    if (rc < 0)
        return rc;
    uring_unsettle(self, u); /* Who is not detached after all goes on receiving. */
    for (const uring_held *held = u->held_first; held != NULL; held = held->next)
        len += held->len;
    if (len > size)
        return -EMSGSIZE;
    if (u->ended && u->end < 0)
        return u->end;
    while (u->held_first != NULL) {
        memcpy(to, u->held_first->data, u->held_first->len);
        to += u->held_first->len;
        drop_first(self, u);
    }
    return (int64_t)len;
}

/* The peer's address does not come along with a multishot accept. A peer that has gone already has
 * none any more; the connection is handed out all the same, with what it sent before. */
static void
ask_peer(rill__driver *driver, int fd, rill_addr *ret_peer)
{
    if (driver->sys->peername(driver, fd, ret_peer) < 0)
        memset(ret_peer, 0, sizeof(*ret_peer));
}

int
uring_accept_take(rill__driver *driver, rill__io *io, int *ret_fd, rill_addr *ret_peer)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    int result;

    uring_unsettle(self, u);
    if (u->held_first == NULL)
        return rill__linux_accept(io->fd, ret_fd, ret_peer);
    result = u->held_first->result;
    held_pop(self, u);
    if (result < 0)
        return result;
    ask_peer(driver, result, ret_peer);
    *ret_fd = result;
    return 0;
}
