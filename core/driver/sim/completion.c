/*
 * The completion personality: the kernel acts by itself, and the loop hears of it later.
 *
 * While an io is subscribed the driver takes bytes and connections into memory of its own before
 * their record runs, up to 16 pieces, so that some are there when the owner pauses: they wait. What
 * finds no memory stays where it is, and the owner's take fetches it from there. A send reads the
 * owner's memory at its completion, at a close too: an owner that let go of it early reads as a use
 * after free. A cancel may come too late, a close takes its time. The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define HELD_MAX    16
#define HELD_BYTES  ((size_t)65536)
#define SLICE_BYTES ((size_t)16384)
#define LATE        ((uint64_t)(5 * RILL_MS))

static void take_in(rill_sim *sim, sim_event *event);
static void complete_send(rill_sim *sim, sim_event *event);
static void complete_close(rill_sim *sim, sim_event *event);
static void complete_soon(rill_sim *sim, sim_event *event);

void
rill__sim_completion_init(sim_io *self)
{
    self->recv_event.fn = take_in;
    self->send_event.fn = complete_send;
    self->close_event.fn = complete_close;
    self->soon_event.fn = complete_soon;
}

/* ---- what is held ---- */

static void
pop(sim_io *self)
{
    sim_held *held = self->held_first;

    self->held_first = held->next;
    if (self->held_first == NULL)
        self->held_last = NULL;
    self->held_count--;
    self->held_bytes -= held->size;
    rill__free(self->driver->base.loop, held, sizeof(*held) + held->size, RILL_TAG_DRIVER);
}

static void
push(sim_io *self, sim_held *held)
{
    if (self->held_last != NULL)
        self->held_last->next = held;
    else
        self->held_first = held;
    self->held_last = held;
    self->held_count++;
    self->held_bytes += held->size;
    self->starved = false;
    rill__sim_trace_socket(self->socket, SIM_SLICE, (uint64_t)held->result);
    rill__sim_io_mark(self);
}

static void
drop_soon(sim_io *self)
{
    rill__sim_unschedule(self->driver->sim, &self->soon_event);
    rill__free(self->driver->base.loop, self->soon, self->soon_len, RILL_TAG_DRIVER);
    self->soon = NULL;
    self->soon_settled = false;
    self->soon_given = false;
}

void
rill__sim_completion_done(sim_io *self)
{
    rill_sim *sim = self->driver->sim;

    while (self->held_first != NULL) {
        sim_held *held = self->held_first;

        /* A connection that was accepted and never handed out. */
        if (self->io->kind == RILL__IO_LISTENER && held->result == 0)
            rill__sim_socket_close(rill__sim_socket_of(sim, held->fd), false);
        pop(self);
    }
    rill__sim_unschedule(sim, &self->recv_event);
    rill__sim_unschedule(sim, &self->send_event);
    rill__sim_unschedule(sim, &self->close_event);
    drop_soon(self);
}

/* ---- inbound ---- */

void
rill__sim_completion_want(sim_io *self)
{
    const rill__io *io = self->io;
    const sim_held *last = self->held_last;

    if (!io->recv.active || io->recv.paused || rill__sim_scheduled(&self->recv_event))
        return;
    if (self->held_count >= HELD_MAX || self->held_bytes >= HELD_BYTES)
        return;
    if (last != NULL && last->result <= 0 && !(io->kind == RILL__IO_LISTENER && last->result == 0))
        return; /* The end, or an error: again when it was taken. */
    if (rill__sim_readable(self->socket))
        rill__sim_schedule(self->driver->sim, &self->recv_event, self->driver->sim->now);
}

static sim_held *
new_held(sim_io *self, size_t size)
{
    sim_held *held = rill__alloc(self->driver->base.loop, sizeof(*held) + size, RILL_TAG_DRIVER);

    if (held != NULL) {
        memset(held, 0, sizeof(*held));
        held->size = size;
        held->fd = -1;
    }
    return held;
}

static bool
take_one(sim_io *self)
{
    sim_socket *socket = self->socket;
    bool accepts = self->io->kind == RILL__IO_LISTENER;
    size_t size = accepts ? 0 : rill__sim_pipe_readable(&socket->in);
    sim_held *held = new_held(self, size < SLICE_BYTES ? size : SLICE_BYTES);

    if (held == NULL)
        return false;
    if (accepts)
        held->result = rill__sim_io_accept(self, &held->fd, &held->peer);
    else
        held->result = rill__sim_io_recv(self, held->data, held->size);
    if (held->result == -EAGAIN) {
        rill__free(self->driver->base.loop, held, sizeof(*held) + held->size, RILL_TAG_DRIVER);
        return true;
    }
    push(self, held);
    return true;
}

static void
take_in(rill_sim *sim, sim_event *event)
{
    sim_io *self = RILL__CONTAINER(event, sim_io, recv_event);
    const rill__io *io = self->io;

    (void)sim;
    if (!io->recv.active || !rill__sim_readable(self->socket))
        return;
    if (io->recv.paused && !rill__sim_fault_of(self->socket, RILL_SIM_FAULT_SLICE_LATE))
        return;
    if (take_one(self)) {
        rill__sim_completion_want(self);
    } else {
        self->starved = true;
        rill__sim_io_mark(self);
    }
}

/* The owner has fetched something itself: what is behind it may find memory again. */
static void
fetched(sim_io *self)
{
    if (!self->starved)
        return;
    self->starved = false;
    rill__sim_completion_want(self);
}

int64_t
rill__sim_completion_take(sim_io *self, void *buf, size_t len)
{
    sim_held *held = self->held_first;
    int64_t result;

    if (held == NULL) { /* Ahead of the record: what has arrived can be taken at any time. */
        result = rill__sim_io_recv(self, buf, len);
        fetched(self);
        return result;
    }
    result = held->result;
    if (result > 0) {
        size_t left = (size_t)result - held->offset;

        if (len > left)
            len = left;
        memcpy(buf, held->data + held->offset, len);
        held->offset += len;
        if (len < left)
            return (int64_t)len;
        result = (int64_t)len;
    }
    pop(self);
    rill__sim_completion_want(self);
    return result;
}

int
rill__sim_completion_accept(sim_io *self, int *ret_fd, rill_addr *ret_peer)
{
    sim_held *held = self->held_first;
    int rc;

    if (held == NULL) {
        rc = rill__sim_io_accept(self, ret_fd, ret_peer);
        fetched(self);
        return rc;
    }
    rc = (int)held->result;
    if (rc == 0) {
        *ret_fd = held->fd;
        *ret_peer = held->peer;
    }
    pop(self);
    rill__sim_completion_want(self);
    return rc;
}

/* ---- outbound ---- */

/* Half of the sends have to be started: not a fault, but how such a driver is. */
bool
rill__sim_completion_declines(sim_io *self)
{
    return rill__sim_hash(
               self->driver->sim, SIM_DOMAIN_PENDING, self->socket->number, self->sends++) %
               2 ==
           0;
}

/* The receive must not take a reset for the end because a send has been told of it. */
static void
keep_error(sim_io *self, int error, int64_t result)
{
    if (error != 0 && result == -error && self->io->recv.active)
        self->socket->error = error;
}

/* Without memory, and half of the time, a send is tried at once. */
bool
rill__sim_completion_trusts(sim_io *self, const rill__iov *iov, size_t count)
{
    if (count != 1 || iov->len == 0 || iov->len > RILL__TRUST_BYTES || self->soon != NULL ||
        self->soon_settled || rill__sim_completion_declines(self))
        return false;
    self->soon = rill__alloc(self->driver->base.loop, iov->len, RILL_TAG_DRIVER);
    if (self->soon == NULL)
        return false;
    memcpy(self->soon, iov->base, iov->len);
    self->soon_len = iov->len;
    self->soon_sent = 0;
    self->soon_error = 0;
    rill__sim_schedule(self->driver->sim, &self->soon_event, self->driver->sim->now);
    return true;
}

void
rill__sim_completion_settle(sim_io *self)
{
    rill__iov part = { self->soon, self->soon_len };
    int error = self->socket->error;
    int64_t sent;

    if (self->soon == NULL || self->soon_settled)
        return;
    rill__sim_unschedule(self->driver->sim, &self->soon_event);
    sent = rill__sim_io_send(self, &part, 1);
    keep_error(self, error, sent);
    if (sent == (int64_t)self->soon_len) {
        drop_soon(self);
        return;
    }
    self->soon_sent = sent > 0 ? (size_t)sent : 0;
    self->soon_error = sent < 0 && sent != -EAGAIN ? sent : 0;
    self->soon_settled = true;
    rill__sim_io_mark(self);
}

static void
complete_soon(rill_sim *sim, sim_event *event)
{
    (void)sim;
    rill__sim_completion_settle(RILL__CONTAINER(event, sim_io, soon_event));
}

int64_t
rill__sim_completion_rest(sim_io *self, rill__iov *ret_rest)
{
    int64_t error;

    rill__sim_completion_settle(self);
    if (self->soon == NULL)
        return 0;
    error = self->soon_error;
    if (error == 0 && !self->soon_given) {
        self->soon_given = true;
        *ret_rest = (rill__iov){ self->soon + self->soon_sent, self->soon_len - self->soon_sent };
        return (int64_t)ret_rest->len;
    }
    drop_soon(self);
    return error;
}

void
rill__sim_completion_start(sim_io *self)
{
    sim_socket *socket = self->socket;
    rill_ns at = self->driver->sim->now;

    self->send_settled = false;
    self->cancel_loses = false;
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_SEND_LATE))
        at += (rill_ns)rill__sim_value(socket->sim, RILL_SIM_FAULT_SEND_LATE, socket->number,
            &socket->uses[RILL_SIM_FAULT_SEND_LATE], 1, LATE);
    rill__sim_schedule(socket->sim, &self->send_event, at);
}

/* The kernel still has the owner's memory: whoever freed it is found out here. */
static void
touch(const rill__io *io)
{
    volatile uint8_t sink = 0;

    if (io->send.kind != SIM_SEND_BYTES && io->send.kind != SIM_SEND_RIGHTS)
        return;
    for (size_t i = 0; i < io->out.send.count; i++) {
        const volatile uint8_t *base = io->out.send.iov[i].base;
        size_t len = io->out.send.iov[i].len;

        if (len > 0)
            sink = (uint8_t)(sink ^ base[0] ^ base[len - 1]);
    }
    (void)sink;
}

static void
settle(sim_io *self, int64_t result)
{
    self->result = result;
    self->send_settled = true;
    rill__sim_io_mark(self);
}

static void
complete_send(rill_sim *sim, sim_event *event)
{
    sim_io *self = RILL__CONTAINER(event, sim_io, send_event);
    int error = self->socket->error;
    int64_t result = -EAGAIN;

    if (!self->io->send.active || self->send_settled)
        return;
    touch(self->io);
    if (!self->canceled || self->cancel_loses)
        result = rill__sim_io_try(self);
    keep_error(self, error, result);
    if (result != -EAGAIN)
        settle(self, result);
    else if (self->canceled)
        settle(self, RILL_ECANCELED);
    else if (rill__sim_writable(self->socket))
        rill__sim_schedule(sim, event, sim->now); /* A short-lived EAGAIN. */
}

void
rill__sim_completion_cancel(sim_io *self)
{
    if (self->send_settled || self->canceled)
        return;
    self->canceled = true;
    self->cancel_loses = rill__sim_fault_of(self->socket, RILL_SIM_FAULT_CANCEL_LOSES);
    if (!rill__sim_scheduled(&self->send_event))
        rill__sim_schedule(self->driver->sim, &self->send_event, self->driver->sim->now);
}

void
rill__sim_completion_notify(sim_io *self)
{
    rill__sim_completion_want(self);
    if (self->io->send.active && !self->send_settled && !rill__sim_scheduled(&self->send_event))
        rill__sim_schedule(self->driver->sim, &self->send_event, self->driver->sim->now);
}

/* ---- the end ---- */

void
rill__sim_completion_close(sim_io *self)
{
    sim_socket *socket = self->socket;
    rill_ns at = socket->sim->now;

    rill__sim_check(socket->sim, self->reset || self->soon == NULL); /* Bytes would be lost. */
    rill__sim_unschedule(socket->sim, &self->recv_event);
    rill__sim_unschedule(socket->sim, &self->send_event);
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_CLOSE_LATE))
        at += (rill_ns)rill__sim_value(socket->sim, RILL_SIM_FAULT_CLOSE_LATE, socket->number,
            &socket->uses[RILL_SIM_FAULT_CLOSE_LATE], 1, LATE);
    rill__sim_schedule(socket->sim, &self->close_event, at);
}

static void
complete_close(rill_sim *sim, sim_event *event)
{
    sim_io *self = RILL__CONTAINER(event, sim_io, close_event);

    (void)sim;
    if (self->in_flight)
        touch(self->io);
    rill__sim_io_close(self);
}
