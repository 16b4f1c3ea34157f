/*
 * Sends that wait for the turn's enter, and what becomes of them.
 *
 * A small send is copied and queued, and goes to the kernel with all others of the turn in one
 * system call. It is tried once and never waits, so its outcome is known as soon as that call
 * returns. Only a failure makes a completion: a success would end the wait. What the socket had no
 * room for is kept as the io's rest until its owner takes it back.
 * Invariants: an io has one send in the queue at most; while it has one, or a rest, or an error
 * that was not told, nothing else is sent for it. Loop thread only.
 */
#include <errno.h>

#include "core/driver/uring/uring.h"

#define FLUSHES 8

static bool
is_clear(const uring_io *u)
{
    return u->soon_len == 0 && u->rest == NULL && u->soon_error == 0 && !u->io->send.active;
}

/* The outcome of what is in the queue. Only a kernel short of memory needs several tries. */
static void
settle_soon(uring_driver *self, uring_io *u)
{
    int rc = 0;

    for (int i = 0; u->soon_len > 0 && i < FLUSHES; i++)
        rc = uring_flush(self);
    if (u->soon_len > 0)
        u->soon_error = rc < 0 ? rc : -EBUSY;
}

int64_t
uring_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    uring_io *u = uring_io_of(io);

    assert(count <= RILL__IOV_MAX);
    if (RILL__UNLIKELY(u->soon_len > 0))
        settle_soon(uring_of(driver), u);
    if (!is_clear(u))
        return -EAGAIN;
    if (RILL__UNLIKELY(io->kind == RILL__IO_PIPE))
        return rill__linux_pipe_send(driver, io, iov, count);
    return rill__linux_send(io->fd, iov, count);
}

/* Room for one more in the queue and in the memory for it. */
static bool
make_room(uring_driver *self, size_t len)
{
    if (self->soon_count < URING_SOON_MANY && self->soon_used + len <= sizeof(self->soon) &&
        !uring_ring_is_full(&self->ring))
        return true;
    (void)uring_flush(self);
    return self->soon_count == 0 && !uring_ring_is_full(&self->ring);
}

int64_t
uring_send_soon(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    struct io_uring_sqe *sqe;

    if (count != 1 || self->broken != 0 || iov->len > RILL__TRUST_BYTES || iov->len == 0 ||
        !is_clear(u) || RILL__UNLIKELY(io->kind == RILL__IO_PIPE) || !make_room(self, iov->len))
        return uring_send_now(driver, io, iov, count);
    memcpy(self->soon + self->soon_used, iov->base, iov->len);
    sqe = uring_ring_entry(&self->ring);
    sqe->opcode = IORING_OP_SEND;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS; /* Less than all is a failure, because of WAITALL. */
    sqe->fd = u->fd;
    sqe->addr = (uint64_t)(uintptr_t)(self->soon + self->soon_used);
    sqe->len = (uint32_t)iov->len;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL; /* Tried once: DONTWAIT. */
    sqe->user_data = uring_data_of(u, URING_SEND);
    u->soon_at = self->soon_used;
    u->soon_len = (uint32_t)iov->len;
    u->in_flight++;
    u->soon_place = self->ring.sq_tail;
    u->soon_index = (uint16_t)self->soon_count;
    self->soon_used += u->soon_len;
    self->soon_ios[self->soon_count++] = u;
    return (int64_t)iov->len;
}

/* Keep what the kernel has not taken. */
static int
keep_rest(uring_driver *self, uring_io *u, uint32_t sent, uint32_t len)
{
    uint32_t left = len - sent;

    u->rest = rill__alloc(self->base.driver.loop, left, RILL_TAG_DRIVER);
    if (u->rest == NULL)
        return -ENOMEM;
    memcpy(u->rest, self->soon + u->soon_at + sent, left);
    u->rest_len = left;
    return 0;
}

/* The kernel has not taken all of a send. */
void
uring_send_failed(uring_driver *self, uring_io *u, int result)
{
    uint32_t len = u->soon_len;

    assert(len > 0 && result < (int)len);
    self->soon_ios[u->soon_index] = NULL;
    u->soon_len = 0;
    if (u->io->closing || u->soon_error != 0)
        return;
    if (result == -EAGAIN || result == -EINTR)
        result = 0;
    u->soon_error = result < 0 ? result : keep_rest(self, u, (uint32_t)result, len);
    rill__loop_push_op(self->base.driver.loop, &u->io->send);
}

/* What failed has been heard of: what else the kernel has got from the queue has left. */
void
uring_sent(uring_driver *self)
{
    unsigned taken = self->ring.sq_tail - self->ring.queued;
    bool all = true;

    for (uint32_t i = 0; i < self->soon_count; i++) {
        uring_io *u = self->soon_ios[i];

        if (u == NULL)
            continue;
        if ((int)(u->soon_place - taken) > 0) {
            all = false;
            continue;
        }
        self->soon_ios[i] = NULL;
        u->soon_len = 0;
        uring_request_ended(self, u);
    }
    if (!all)
        return;
    self->soon_count = 0;
    self->soon_used = 0;
}

void
uring_drop_rest(uring_driver *self, uring_io *u)
{
    rill__free(self->base.driver.loop, u->rest, u->rest_len, RILL_TAG_DRIVER);
    u->rest = NULL;
    u->rest_len = 0;
}

int64_t
uring_send_rest(rill__driver *driver, rill__io *io, rill__iov *ret_rest)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    int error;

    if (u->soon_len > 0)
        settle_soon(self, u);
    if (u->rest != NULL && !u->rest_given) {
        u->rest_given = true;
        *ret_rest = (rill__iov){ u->rest, u->rest_len };
        return u->rest_len;
    }
    uring_drop_rest(self, u);
    u->rest_given = false;
    error = u->soon_error;
    u->soon_error = 0;
    return error;
}
