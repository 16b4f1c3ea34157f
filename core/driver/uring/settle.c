/*
 * Settling: before a wait, what each changed io wants is compared with what was asked of the kernel
 * for it, and the difference goes into the queue; after it, completions are told to their ios.
 *
 * Interest is level-triggered though the kernel's requests are not: an io is looked at again after
 * every record, when its owner has taken what it wanted. Nothing is asked for twice, and nothing is
 * canceled before something came that was not wanted (any more). Invariant: an io's in_flight is
 * the number of requests that will still complete; its uring_io goes when that is 0. Loop thread
 * only.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "core/driver/uring/uring.h"

/* ---- asking ---- */

static bool
arm_poll(uring_driver *self, uring_io *u, uint32_t events, enum uring_tag tag, bool edge)
{
    struct io_uring_sqe *sqe = uring_ring_entry(&self->ring);

    if (sqe == NULL)
        return false;
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = u->fd;
    sqe->poll32_events = events;
    sqe->len = edge ? IORING_POLL_ADD_MULTI : 0;
    sqe->user_data = uring_data_of(u, tag);
    u->in_flight++;
    return true;
}

static bool
arm_receive(uring_driver *self, uring_io *u)
{
    struct io_uring_sqe *sqe = uring_ring_entry(&self->ring);

    if (sqe == NULL)
        return false;
    sqe->fd = u->fd;
    sqe->user_data = uring_data_of(u, URING_RECEIVE);
    if (u->io->kind == RILL__IO_LISTENER) {
        sqe->opcode = IORING_OP_ACCEPT;
        sqe->ioprio = IORING_ACCEPT_MULTISHOT;
        sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    } else {
        sqe->opcode = IORING_OP_RECV;
        sqe->ioprio = IORING_RECV_MULTISHOT;
        sqe->flags = IOSQE_BUFFER_SELECT;
        sqe->buf_group = URING_BUFFER_GROUP;
    }
    u->receiving = true;
    u->in_flight++;
    return true;
}

static struct io_uring_sqe *
cancel_entry(uring_driver *self)
{
    struct io_uring_sqe *sqe = uring_ring_entry(&self->ring);

    if (sqe == NULL)
        return NULL;
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = URING_IGNORE;
    return sqe;
}

static bool
ask_cancel(uring_driver *self, uring_io *u, enum uring_tag tag)
{
    struct io_uring_sqe *sqe = cancel_entry(self);

    if (sqe != NULL)
        sqe->addr = uring_data_of(u, tag);
    return sqe != NULL;
}

static bool
ask_cancel_all(uring_driver *self, uring_io *u)
{
    struct io_uring_sqe *sqe = cancel_entry(self);

    if (sqe == NULL)
        return false;
    sqe->fd = u->fd;
    sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
    return true;
}

/* The ring of buffers is made when the first stream wants it. */
static bool
have_buffers(uring_driver *self)
{
    if (self->buffers_ready || self->buffers_refused)
        return self->buffers_ready;
    if (!self->ring.enabled && uring_ring_enter(&self->ring, 0, 0) < 0)
        return false;
    self->buffers_ready = uring_buffers_register(&self->buffers, self->ring.fd) >= 0;
    self->buffers_refused = !self->buffers_ready;
    return self->buffers_ready;
}

static void
closed(uring_driver *self, uring_io *u)
{
    rill__io *io = u->io;

    if (self->closes_by_call && io->kind != RILL__IO_POLL) /* Foreign ones are not ours to close. */
        (void)close(u->fd);
    uring_io_free(self, u);
    io->driver_data = NULL;
    rill__loop_push_op(self->base.driver.loop, &io->close);
}

static bool
settle_close(uring_driver *self, uring_io *u)
{
    struct io_uring_sqe *sqe;

    if (u->close_asked)
        return true;
    if (u->in_flight > 0 && !ask_cancel_all(self, u))
        return false;
    if (u->io->kind != RILL__IO_POLL && !self->closes_by_call) {
        sqe = uring_ring_entry(&self->ring);
        if (sqe == NULL)
            return false;
        sqe->opcode = IORING_OP_CLOSE;
        sqe->fd = u->fd;
        sqe->user_data = uring_data_of(u, URING_CLOSE);
        u->in_flight++;
    }
    u->close_asked = true;
    return true;
}

/* Returns false when the queue is full. */
static bool
settle_out(uring_driver *self, uring_io *u)
{
    if (u->polls_out && u->out_told && !u->out_ending) {
        u->out_ending = ask_cancel(self, u, URING_POLL_OUT);
        return u->out_ending;
    }
    if (!u->io->send.active || u->io->send.kind == RILL__LINUX_SEND_CANCELED || u->polls_out)
        return true;
    u->polls_out = arm_poll(self, u, POLLOUT, URING_POLL_OUT, u->half_closed);
    return u->polls_out;
}

static bool
writes_only(const uring_io *u)
{
    return (u->io->recv.pipe & RILL__PIPE_WRITES) != 0;
}

static bool
settle_in(uring_driver *self, uring_io *u)
{
    bool wants = uring_wants_in(u);
    bool has = u->held_first != NULL || u->ended;

    if (wants && has) { /* As long as nobody takes it. */
        rill__push_op(self->base.driver.loop, &u->io->recv);
        uring_unsettle(self, u);
    }
    if (u->receiving) {
        if (!u->stopping && (!wants || u->direct || u->ended))
            u->stopping = ask_cancel(self, u, URING_RECEIVE);
        return u->stopping || (wants && !u->direct && !u->ended);
    }
    if (!wants || u->ended || u->deaf)
        return true;
    if (u->io->kind == RILL__IO_LISTENER ||
        (u->io->kind == RILL__IO_STREAM && !u->direct && have_buffers(self)))
        return arm_receive(self, u);
    if (!has && !u->polls_in)
        u->polls_in = writes_only(u) ? arm_poll(self, u, POLLERR, URING_POLL_IN, true)
                                     : arm_poll(self, u, POLLIN, URING_POLL_IN, false);
    return has || u->polls_in;
}

static void
settle_io(uring_driver *self, uring_io *u)
{
    bool settled;

    if (RILL__UNLIKELY(self->broken != 0)) {
        if (u->io->closing)
            closed(self, u);
        return;
    }
    if (u->io->closing) {
        settled = settle_close(self, u);
        if (settled && u->in_flight == 0) {
            closed(self, u);
            return;
        }
    } else {
        settled = settle_out(self, u);
        settled = settle_in(self, u) && settled;
    }
    if (!settled)
        uring_unsettle(self, u);
}

void
uring_settle(uring_driver *self)
{
    uring_io *u = self->unsettled_first;

    self->unsettled_first = NULL;
    self->unsettled_last = NULL;
    while (u != NULL) {
        uring_io *next = u->unsettled_next;

        u->unsettled = false;
        settle_io(self, u);
        u = next;
    }
}

/* ---- hearing ---- */

/* That nobody reads from a pipe is waited for by its edge: a half closed socket completes a poll
 * for nothing else, too, again and again. A device without poll refuses to be waited for. */
static void
complete_poll_in(uring_driver *self, uring_io *u, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        u->polls_in = false;
        u->in_flight--;
    }
    if (u->io->closing)
        return;
    if (cqe->res == -EINVAL && writes_only(u)) {
        u->deaf = true;
        return;
    }
    if (uring_wants_in(u))
        rill__push_op(self->base.driver.loop, &u->io->recv);
    uring_unsettle(self, u);
}

/* A poll always tells that the peer has closed its half, too, which for a writer is no news. */
static void
complete_poll_out(uring_driver *self, uring_io *u, const struct io_uring_cqe *cqe)
{
    bool room = cqe->res < 0 || (cqe->res & (POLLOUT | POLLERR | POLLHUP)) != 0;

    u->out_told = room;
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        u->polls_out = false;
        u->out_ending = false;
        u->in_flight--;
    }
    if (u->io->closing)
        return;
    if (!room)
        u->half_closed = true;
    else if (u->io->send.active && cqe->res != -ECANCELED)
        rill__push_op(self->base.driver.loop, &u->io->send);
    uring_unsettle(self, u);
}

static void
end_if_closed(uring_driver *self, uring_io *u)
{
    if (u->io->closing && u->close_asked && u->in_flight == 0 && !u->unsettled)
        closed(self, u);
}

void
uring_request_ended(uring_driver *self, uring_io *u)
{
    u->in_flight--;
    end_if_closed(self, u);
}

void
uring_complete(uring_driver *self, const struct io_uring_cqe *cqe)
{
    uring_io *u = (uring_io *)(uintptr_t)(cqe->user_data & ~(uint64_t)URING_TAGS_MASK);

    switch (cqe->user_data & URING_TAGS_MASK) {
    case URING_RECEIVE:
        uring_received(self, u, cqe);
        break;
    case URING_POLL_IN:
        complete_poll_in(self, u, cqe);
        break;
    case URING_POLL_OUT:
        complete_poll_out(self, u, cqe);
        break;
    case URING_SEND:
        u->in_flight--;
        uring_send_failed(self, u, cqe->res);
        break;
    case URING_CLOSE:
        u->in_flight--;
        break;
    case URING_WAKE:
        self->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        return;
    default:
        return;
    }
    end_if_closed(self, u);
}

void
uring_drain(uring_driver *self)
{
    const struct io_uring_cqe *next;

    while ((next = uring_ring_peek(&self->ring)) != NULL) {
        struct io_uring_cqe cqe = *next;

        uring_ring_seen(&self->ring);
        uring_complete(self, &cqe);
    }
    if (self->soon_count > 0)
        uring_sent(self);
}

/* ---- special cases ---- */

void
uring_forget_requests(uring_driver *self)
{
    for (rill__link *link = self->ios.next; link != &self->ios; link = link->next) {
        uring_io *u = RILL__CONTAINER(link, uring_io, link);

        u->in_flight = 0;
        u->receiving = false;
        u->stopping = false;
        u->polls_in = false;
        u->polls_out = false;
        u->out_ending = false;
        u->close_asked = false;
        if (u->soon_len > 0)
            uring_send_failed(self, u, 0);
        uring_unsettle(self, u);
    }
    self->soon_count = 0;
    self->soon_used = 0;
}

static void
forget_unsettled(uring_driver *self, uring_io *u)
{
    uring_io *first = self->unsettled_first;

    self->unsettled_first = NULL;
    self->unsettled_last = NULL;
    while (first != NULL) {
        uring_io *next = first->unsettled_next;

        first->unsettled = false;
        if (first != u)
            uring_unsettle(self, first);
        first = next;
    }
}

int
uring_quiesce(uring_driver *self, uring_io *u)
{
    int rc = 0;

    if (u->in_flight > 0 && !ask_cancel_all(self, u))
        return -EBUSY;
    if (u->in_flight > 0)
        rc = uring_flush(self); /* Also takes the ring over from another thread. */
    while (u->in_flight > 0 && rc >= 0) {
        rc = uring_ring_enter(&self->ring, 1, RILL_NEVER);
        uring_drain(self);
        if (rc == -EINTR)
            rc = 0;
    }
    if (u->unsettled)
        forget_unsettled(self, u);
    return rc;
}
