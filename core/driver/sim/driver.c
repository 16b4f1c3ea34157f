/*
 * The driver "sim": one loop's door to the world.
 *
 * An io that may have something to tell stands on the driver's list; wait looks at each one and
 * announces what is true, as a level-triggered poller does, and keeps it listed until nothing is.
 * In the completion personality what is true is what completion.c has already done. With one loop
 * in the world wait moves the clock by itself; with several, rill_sim_run_for and its like do
 * (run.c), and waiting is RILL_EBUSY. The loop's thread only, but for wake.
 */
#include "core/driver/sim/internal.h"

#define EVENTS_OF_IO 4 /* recv, send, close, soon */

static sim_driver *
self_of(rill__driver *driver)
{
    return (sim_driver *)driver;
}

static sim_io *
io_of(const rill__io *io)
{
    return io->driver_data;
}

/* ---- what is ready ---- */

void
rill__sim_io_mark(sim_io *self)
{
    sim_driver *driver = self->driver;

    if (!rill__list_empty(&self->ready))
        return;
    if (rill__sim_fault_of(self->socket, RILL_SIM_FAULT_READY_ORDER))
        rill__list_append(driver->ready.next, &self->ready); /* In front. */
    else
        rill__list_append(&driver->ready, &self->ready);
}

void
rill__sim_io_notify(sim_io *self)
{
    if (rill__sim_completes(self->driver->sim))
        rill__sim_completion_notify(self);
    else
        rill__sim_io_mark(self);
}

static bool
recv_is_due(const sim_io *self)
{
    const rill__io *io = self->io;

    if (!io->recv.active || io->recv.paused)
        return false;
    if (rill__sim_completes(self->driver->sim))
        return self->held_first != NULL || (self->starved && rill__sim_readable(self->socket));
    return self->spurious_read || rill__sim_readable(self->socket);
}

static bool
send_is_due(const sim_io *self)
{
    const rill__io *io = self->io;

    if (self->soon_settled && !io->closing)
        return true;
    if (!io->send.active)
        return false;
    if (rill__sim_completes(self->driver->sim))
        return self->send_settled;
    if (self->canceled || self->spurious_write)
        return true;
    return rill__sim_writable(self->socket);
}

bool
rill__sim_driver_pending(sim_driver *driver)
{
    while (!rill__list_empty(&driver->ready)) {
        sim_io *self = RILL__CONTAINER(driver->ready.next, sim_io, ready);

        if (recv_is_due(self) || send_is_due(self))
            return true;
        rill__list_remove(&self->ready);
    }
    return false;
}

static size_t
collect(sim_driver *driver)
{
    rill__link marker;
    size_t count = 0;

    rill__list_append(&driver->ready, &marker);
    while (driver->ready.next != &marker) {
        sim_io *self = RILL__CONTAINER(driver->ready.next, sim_io, ready);
        bool recv_due = recv_is_due(self);
        bool send_due = send_is_due(self);

        rill__list_remove(&self->ready);
        if (recv_due)
            rill__loop_push_op(driver->base.loop, &self->io->recv);
        if (send_due)
            rill__loop_push_op(driver->base.loop, &self->io->send);
        if (!recv_due && !send_due)
            continue;
        rill__list_append(&driver->ready, &self->ready); /* Level-triggered. */
        count++;
    }
    rill__list_remove(&marker);
    return count;
}

/* ---- waiting ---- */

static rill_ns
sim_now(rill__driver *driver)
{
    return self_of(driver)->sim->now;
}

static bool
run_events(sim_driver *self)
{
    bool outer = self->sim->running;
    size_t closing = self->closing;

    self->sim->running = true;
    (void)rill__sim_run_due(self->sim);
    self->sim->running = outer;
    return collect(self) > 0 || self->closing < closing || atomic_exchange(&self->woken, false);
}

/* The other loops have not run: only what this one has begun to close can be waited for. */
static int
wait_among_others(sim_driver *self)
{
    if (self->closing == 0)
        return RILL_EBUSY;
    for (rill__link *link = self->ios.next; link != &self->ios;) {
        sim_io *io = RILL__CONTAINER(link, sim_io, all);

        link = link->next;
        if (io->io->closing)
            rill__sim_io_close(io);
    }
    return 0;
}

static int
sim_wait(rill__driver *driver, rill_ns deadline)
{
    sim_driver *self = self_of(driver);
    rill_sim *sim = self->sim;

    rill__sim_linger(sim);
    if (run_events(self) || (deadline != RILL_NEVER && deadline <= sim->now))
        return 0;
    if (sim->driver_count > 1)
        return wait_among_others(self);
    for (;;) {
        rill_ns next = rill__sim_next_event(sim);

        if (next == RILL_NEVER && deadline == RILL_NEVER)
            return RILL_EDEADLK;
        if (next == RILL_NEVER || (deadline != RILL_NEVER && deadline < next)) {
            rill__sim_advance(sim, deadline);
            return 0;
        }
        rill__sim_advance(sim, next);
        if (run_events(self))
            return 0;
    }
}

static void
sim_submit(rill__driver *driver)
{
    (void)driver; /* The world knows at once. */
}

static void
sim_wake(rill__driver *driver)
{
    atomic_store(&self_of(driver)->woken, true);
}

static int
sim_backend_fd(rill__driver *driver)
{
    (void)driver;
    return RILL_ENOTSUP;
}

/* ---- attaching ---- */

static void
free_io(sim_io *self)
{
    sim_driver *driver = self->driver;

    self->socket->io = NULL;
    self->io->driver_data = NULL;
    rill__sim_completion_done(self);
    rill__list_remove(&self->ready);
    rill__list_remove(&self->all);
    rill__sim_unreserve(driver->sim, EVENTS_OF_IO);
    rill__free(driver->base.loop, self, sizeof(*self), RILL_TAG_DRIVER);
}

static int
sim_attach(rill__driver *driver, rill__io *io, int fd, rill__io_kind kind)
{
    sim_driver *driver_self = self_of(driver);
    sim_socket *socket = rill__sim_socket_of(driver_self->sim, fd);
    sim_io *self;

    if (kind == RILL__IO_POLL)
        return RILL_ENOTSUP; /* A real descriptor has no place on a virtual clock. */
    if (socket == NULL)
        return -EBADF;
    if (socket->io != NULL)
        return -EEXIST;
    if (rill__sim_fault_of(socket, RILL_SIM_FAULT_ATTACH_ENOMEM))
        return -ENOMEM;
    self = rill__alloc_zeroed(driver->loop, sizeof(*self), RILL_TAG_DRIVER);
    if (self == NULL)
        return -ENOMEM;
    if (rill__sim_reserve(driver_self->sim, EVENTS_OF_IO) < 0) {
        rill__free(driver->loop, self, sizeof(*self), RILL_TAG_DRIVER);
        return -ENOMEM;
    }
    self->io = io;
    self->driver = driver_self;
    self->socket = socket;
    rill__list_init(&self->ready);
    rill__list_append(&driver_self->ios, &self->all);
    rill__sim_completion_init(self);
    socket->io = self;
    io->driver_data = self;
    io->fd = fd;
    io->kind = (uint8_t)kind;
    rill__sim_trace_socket(socket, SIM_ATTACH, (uint64_t)kind);
    return 0;
}

/* A socket cannot move between worlds, so nobody asks for more than whether there is something. */
static int64_t
sim_take_unread(rill__driver *driver, rill__io *io, void *buf, size_t size)
{
    (void)driver;
    (void)buf;
    (void)size;
    return io_of(io)->held_first != NULL ? -EMSGSIZE : 0;
}

/* What the driver has taken from the socket cannot be put back. */
static int
sim_detach(rill__driver *driver, rill__io *io)
{
    sim_io *self = io_of(io);
    int fd = io->fd;

    (void)driver;
    rill__check(!io->send.active);
    if (self->held_first != NULL)
        return -EBUSY;
    rill__io_silence(io);
    io->fd = -1;
    free_io(self);
    return fd;
}

/* ---- inbound ---- */

static void
look(sim_io *self)
{
    if (rill__sim_completes(self->driver->sim))
        rill__sim_completion_want(self);
    rill__sim_io_mark(self);
}

static int
sim_subscribe(rill__driver *driver, rill__io *io)
{
    (void)driver;
    io->recv.active = true;
    look(io_of(io));
    return 0;
}

static void
sim_pause(rill__driver *driver, rill__io *io)
{
    (void)driver;
    io->recv.paused = true;
}

static void
sim_resume(rill__driver *driver, rill__io *io)
{
    (void)driver;
    io->recv.paused = false;
    if (io->recv.active)
        look(io_of(io));
}

static int64_t
sim_recv_into(rill__driver *driver, rill__io *io, void *buf, size_t len)
{
    sim_io *self = io_of(io);

    if (rill__sim_completes(self_of(driver)->sim))
        return rill__sim_completion_take(self, buf, len);
    return rill__sim_io_recv(self, buf, len);
}

static int64_t
sim_recv_take(rill__driver *driver, rill__io *io, rill_slice *ret_slice)
{
    size_t size;
    uint8_t *buf = rill__loop_hot_buffer(driver->loop, &size);
    int64_t got;

    if (buf == NULL)
        return -ENOMEM;
    got = sim_recv_into(driver, io, buf, size);
    if (got > 0)
        *ret_slice = rill__loop_hot_slice(driver->loop, (size_t)got);
    return got;
}

static void
sim_stop_accepting(rill__driver *driver, rill__io *io)
{
    (void)driver; /* It accepts nothing by itself. */
    (void)io;
}

static int
sim_accept_take(rill__driver *driver, rill__io *io, int *ret_fd, rill_addr *ret_peer)
{
    if (rill__sim_completes(self_of(driver)->sim))
        return rill__sim_completion_accept(io_of(io), ret_fd, ret_peer);
    return rill__sim_io_accept(io_of(io), ret_fd, ret_peer);
}

/* ---- outbound ---- */

static int64_t
sim_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    sim_io *self = io_of(io);

    rill__check(count <= RILL__IOV_MAX);
    if (self->soon != NULL)
        rill__sim_completion_settle(self);
    if (io->send.active || self->soon_settled)
        return -EAGAIN;
    if (rill__sim_completes(self_of(driver)->sim) && rill__sim_completion_declines(self))
        return -EAGAIN;
    return rill__sim_io_send(self, iov, count);
}

static int64_t
sim_send_soon(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    sim_io *self = io_of(io);

    if (rill__sim_completes(self_of(driver)->sim) && !io->send.active &&
        rill__sim_completion_trusts(self, iov, count))
        return (int64_t)self->soon_len;
    return sim_send_now(driver, io, iov, count);
}

static int64_t
sim_send_rest(rill__driver *driver, rill__io *io, rill__iov *ret_rest)
{
    (void)driver;
    return rill__sim_completion_rest(io_of(io), ret_rest);
}

static int
start(sim_io *self, enum sim_send_kind kind)
{
    rill__io *io = self->io;

    rill__check(!io->send.active && !io->closing && self->soon == NULL && !self->soon_settled);
    io->send.active = true;
    io->send.kind = (uint8_t)kind;
    self->canceled = false;
    if (rill__sim_completes(self->driver->sim)) {
        rill__sim_completion_start(self);
        return 0;
    }
    self->spurious_write = rill__sim_fault_of(self->socket, RILL_SIM_FAULT_SPURIOUS_WRITE);
    rill__sim_io_mark(self);
    return 0;
}

static int
sim_connect_start(rill__driver *driver, rill__io *io, const rill_addr *addr)
{
    sim_io *self = io_of(io);
    int rc;

    (void)driver;
    rc = rill__sim_connect(self->socket, addr);
    return rc < 0 ? rc : start(self, SIM_SEND_CONNECT);
}

static int
sim_send_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    (void)driver;
    rill__check(count > 0 && count <= RILL__IOV_MAX);
    io->out.send.iov = iov;
    io->out.send.count = count;
    return start(io_of(io), SIM_SEND_BYTES);
}

static int
sim_sendfile_start(rill__driver *driver, rill__io *io, int file_fd, uint64_t offset, uint64_t count)
{
    (void)driver;
    io->out.file.fd = file_fd;
    io->out.file.offset = offset;
    io->out.file.count = count;
    return start(io_of(io), SIM_SEND_FILE);
}

static int64_t
sim_finish(rill__driver *driver, rill__io *io)
{
    sim_io *self = io_of(io);
    int64_t result;

    if (!io->send.active)
        return -EAGAIN;
    if (rill__sim_completes(self_of(driver)->sim))
        result = self->send_settled ? self->result : -EAGAIN;
    else
        result = self->canceled ? RILL_ECANCELED : rill__sim_io_try(self);
    self->spurious_write = false;
    if (result != -EAGAIN)
        io->send.active = false;
    return result;
}

static void
sim_cancel(rill__driver *driver, rill__io *io)
{
    sim_io *self = io_of(io);

    if (!io->send.active)
        return;
    rill__sim_trace_socket(self->socket, SIM_CANCEL, io->send.kind);
    if (rill__sim_completes(self_of(driver)->sim)) {
        rill__sim_completion_cancel(self);
        return;
    }
    self->canceled = true;
    rill__sim_io_mark(self);
}

static int
sim_shutdown_write(rill__driver *driver, rill__io *io)
{
    (void)driver;
    rill__check(io_of(io)->soon == NULL);
    return rill__sim_shutdown(io_of(io)->socket);
}

void
rill__sim_io_close(sim_io *self)
{
    rill__io *io = self->io;
    sim_driver *driver = self->driver;
    sim_socket *socket = self->socket;
    bool reset = self->reset;

    rill__sim_check(driver->sim, driver->closing > 0 && io->closing);
    driver->closing--;
    free_io(self);
    io->fd = -1;
    rill__sim_socket_close(socket, reset);
    rill__loop_push_op(driver->base.loop, &io->close);
}

static void
sim_close_io(rill__driver *driver, rill__io *io, bool reset)
{
    sim_io *self = io_of(io);

    rill__check(!io->closing);
    self->in_flight = io->send.active && !self->send_settled;
    self->reset = reset;
    io->closing = true;
    rill__io_silence(io);
    self_of(driver)->closing++;
    if (rill__sim_completes(self_of(driver)->sim))
        rill__sim_completion_close(self);
    else
        rill__sim_io_close(self);
}

static int
sim_poll_set(rill__driver *driver, rill__io *io, bool readable, bool writable)
{
    (void)driver;
    (void)io;
    (void)readable;
    (void)writable;
    return RILL_ENOTSUP; /* Nothing of that kind can be attached. */
}

/* ---- making and freeing ---- */

static int
sim_open(const rill__driver_config *config, rill__driver **ret_driver)
{
    rill_sim *sim = config->sim;
    sim_driver *self;
    int rc = 0;

    if (sim == NULL)
        rc = rill_sim_new(&RILL_SIM_OPTIONS(.allocator = &config->loop->allocator), &sim);
    if (rc < 0)
        return rc;
    self = rill__alloc_zeroed(config->loop, sizeof(*self), RILL_TAG_DRIVER);
    if (self == NULL) {
        rc = -ENOMEM;
        goto fail_world;
    }
    self->host = rill__sim_host_find(sim, config->sim_host);
    if (self->host == NULL) {
        rc = RILL_EINVAL;
        goto fail_self;
    }
    self->base.ops = &rill__driver_sim;
    self->base.sys = &rill__sys_sim;
    self->base.loop = config->loop;
    self->sim = sim;
    self->owns_world = config->sim == NULL;
    self->number = ++sim->driver_numbers;
    atomic_init(&self->woken, false);
    rill__list_init(&self->ready);
    rill__list_init(&self->ios);
    rill__list_append(&sim->drivers, &self->link);
    sim->driver_count++;
    rill__sim_trace(sim, self->host, SIM_OBJECT_LOOP, self->number, SIM_LOOP, self->number, 0);
    *ret_driver = &self->base;
    return 0;

fail_self:
    rill__free(config->loop, self, sizeof(*self), RILL_TAG_DRIVER);
fail_world:
    if (config->sim == NULL)
        (void)rill_sim_free(sim); /* An empty one: nothing can leak. */
    return rc;
}

static void
sim_close(rill__driver *driver)
{
    sim_driver *self = self_of(driver);
    rill_sim *sim = self->sim;
    bool owns_world = self->owns_world;

    rill__sim_check(sim, rill__list_empty(&self->ios));
    rill__sim_trace(sim, self->host, SIM_OBJECT_LOOP, self->number, SIM_LOOP_GONE, 0, 0);
    if (sim->cursor == &self->link)
        sim->cursor = self->link.next;
    rill__list_remove(&self->link);
    sim->driver_count--;
    rill__free(driver->loop, self, sizeof(*self), RILL_TAG_DRIVER);
    if (owns_world)
        (void)rill_sim_free(sim); /* Nobody is there to hear of leaks. */
}

const rill__driver_ops rill__driver_sim = {
    .name = "sim",
    .clock_is_virtual = true,
    .open = sim_open,
    .close = sim_close,
    .now = sim_now,
    .now_coarse = sim_now,
    .wait = sim_wait,
    .submit = sim_submit,
    .wake = sim_wake,
    .backend_fd = sim_backend_fd,
    .attach = sim_attach,
    .take_unread = sim_take_unread,
    .detach = sim_detach,
    .subscribe = sim_subscribe,
    .pause = sim_pause,
    .resume = sim_resume,
    .recv_take = sim_recv_take,
    .recv_into = sim_recv_into,
    .accept_take = sim_accept_take,
    .stop_accepting = sim_stop_accepting,
    .send_now = sim_send_now,
    .send_soon = sim_send_soon,
    .send_rest = sim_send_rest,
    .connect_start = sim_connect_start,
    .send_start = sim_send_start,
    .sendfile_start = sim_sendfile_start,
    .finish = sim_finish,
    .cancel = sim_cancel,
    .shutdown_write = sim_shutdown_write,
    .close_io = sim_close_io,
    .poll_set = sim_poll_set,
    .pipes = &rill__sim_pipes,
};
