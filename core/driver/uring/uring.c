/*
 * The io_uring driver: operations underneath, operations above.
 *
 * One enter a turn submits what changed, runs what the kernel has deferred, and waits. Inbound
 * comes by multishot requests (inbound.c). Small sends leave with the enter (outbound.c), others
 * are tried at once by a plain call; both wait for writability when the socket is full, as on
 * epoll. Closing is a request too, after a cancel of all that refers to the socket.
 *
 * A ring belongs to the thread that waited on it first. When another thread runs the loop, the ring
 * is given up and a new one asked for all that the old one was: what it had received is held here
 * already. Loop thread only, but for wake.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/driver/uring/uring.h"

/* ---- waiting ---- */

static bool
arm_wake(uring_driver *self)
{
    struct io_uring_sqe *sqe = uring_ring_entry(&self->ring);

    if (sqe == NULL)
        return false;
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = self->event_fd;
    sqe->poll32_events = POLLIN;
    sqe->len = IORING_POLL_ADD_MULTI; /* Every write counts: the descriptor need not be read. */
    sqe->user_data = URING_WAKE;
    return true;
}

/* The ring's own descriptor does not tell of work that the kernel has deferred; an eventfd that is
 * registered with it does. */
static int
watch_ring(uring_driver *self, int fd)
{
    return uring_register(self->ring.fd, IORING_REGISTER_EVENTFD, &fd, 1);
}

static void
clear_backend(uring_driver *self)
{
    uint64_t count;

    (void)!read(self->backend_fd, &count, sizeof(count)); /* EAGAIN: nothing was signaled. */
}

static int
move_to_this_thread(uring_driver *self)
{
    uring_ring fresh;
    int rc;

    uring_drain(self);
    rc = uring_ring_open(&fresh);
    if (rc < 0)
        return rc;
    uring_ring_close(&self->ring);
    self->ring = fresh;
    if (self->backend_fd >= 0)
        rc = watch_ring(self, self->backend_fd);
    self->wake_armed = false;
    self->buffers_ready = false;
    uring_forget_requests(self);
    return rc;
}

static rill_ns
time_left(uring_driver *self, rill_ns deadline)
{
    rill_ns left;

    if (deadline == RILL_NEVER)
        return RILL_NEVER;
    left = deadline > 0 ? deadline - rill__linux_now(&self->base.driver) : 0;
    return left > 0 ? left : 0;
}

static int
enter(uring_driver *self, rill_ns left)
{
    int rc;

    if (left == 0 && self->ring.queued == 0 && !uring_ring_has_deferred(&self->ring))
        return 0;
    rc = uring_ring_enter(&self->ring, left != 0, left);
    if (rc == -EEXIST)
        return move_to_this_thread(self);
    /* ETIME and EINTR end a wait; with EBUSY and EAGAIN the kernel wants room or memory first. */
    return rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN ? 0 : rc;
}

/* All that is left is to close what the owners close: their records come, others do not. */
static int
wait_broken(uring_driver *self)
{
    uring_settle(self);
    return rill__loop_ready(self->base.driver.loop) != 0 ? 0 : self->broken;
}

/* A filter that came after the ring, for one: the ring goes, and with it what was asked of it. */
static int
give_up(uring_driver *self, int rc)
{
    if (rc == -ENOMEM)
        return rc; /* It may come back. */
    self->broken = rc;
    self->closes_by_call = true;
    uring_drain(self);
    uring_ring_shut(&self->ring);
    uring_forget_requests(self);
    return wait_broken(self);
}

static int
uring_wait(rill__driver *driver, rill_ns deadline)
{
    uring_driver *self = uring_of(driver);
    rill_ns left;
    int rc;

    uring_release_lent(self);
    if (RILL__UNLIKELY(self->backend_fd >= 0))
        clear_backend(self);
    if (RILL__UNLIKELY(self->broken != 0))
        return wait_broken(self);
    uring_settle(self);
    left = rill__loop_ready(driver->loop) != 0 ? 0 : time_left(self, deadline);
    if (left != 0 && !self->wake_armed)
        self->wake_armed = arm_wake(self);
    rc = enter(self, left);
    if (rc < 0)
        return give_up(self, rc);
    uring_drain(self);
    while (uring_ring_overflows(&self->ring)) {
        rc = uring_ring_enter(&self->ring, 0, 0);
        if (rc < 0 && rc != -EINTR && rc != -EBUSY)
            return give_up(self, rc);
        uring_drain(self);
    }
    return 0;
}

int
uring_flush(uring_driver *self)
{
    int rc = self->broken != 0 ? self->broken : uring_ring_submit(&self->ring);

    if (rc == -EEXIST)
        return move_to_this_thread(self);
    uring_drain(self);
    return rc;
}

static void
uring_submit(rill__driver *driver)
{
    uring_driver *self = uring_of(driver);

    if (self->broken != 0)
        return;
    uring_settle(self);
    if (self->ring.queued > 0 && (self->ring.enabled || self->soon_count > 0))
        (void)uring_flush(self); /* What fails now fails again in wait. */
}

static void
uring_wake(rill__driver *driver)
{
    uring_driver *self = uring_of(driver);
    uint64_t one = 1;
    int backend_fd;

    (void)!write(self->event_fd, &one, sizeof(one));
    backend_fd = atomic_load(&self->backend_fd); /* After the write: see uring_backend_fd. */
    /* The ring cannot: one eventfd does not signal another one at once, nor more than once. */
    if (backend_fd >= 0)
        (void)!write(backend_fd, &one, sizeof(one));
}

static int
uring_backend_fd(rill__driver *driver)
{
    uring_driver *self = uring_of(driver);
    uint64_t one = 1;
    bool woken;
    int rc;
    int fd;

    if (self->backend_fd >= 0)
        return self->backend_fd;
    fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = watch_ring(self, fd);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    atomic_store(&self->backend_fd, fd);
    /* What came before was not signaled. Who wakes meanwhile writes to the one or to both. */
    woken = read(self->event_fd, &(uint64_t){ 0 }, sizeof(uint64_t)) > 0;
    if (woken || uring_ring_has_deferred(&self->ring))
        (void)!write(fd, &one, sizeof(one));
    return fd;
}

/* ---- attaching ---- */

static bool
is_attached(uring_driver *self, int fd)
{
    for (rill__link *link = self->ios.next; link != &self->ios; link = link->next) {
        if (RILL__CONTAINER(link, uring_io, link)->fd == fd)
            return true;
    }
    return false;
}

/* Which files and devices can be waited for is not to be seen from outside, and io_uring takes all:
 * those that cannot would be ready for ever. */
static int
ask_epoll(int fd)
{
    struct epoll_event event = { .events = 0 };
    int scratch = epoll_create1(EPOLL_CLOEXEC);
    int rc = scratch < 0 ? -errno : 0;

    if (rc == 0 && epoll_ctl(scratch, EPOLL_CTL_ADD, fd, &event) < 0)
        rc = -errno;
    if (scratch >= 0)
        (void)close(scratch);
    return rc;
}

/* What epoll would say of a descriptor that is not of our own making. */
static int
check_foreign(uring_driver *self, int fd, rill__io_kind kind)
{
    struct stat status;
    int rc = 0;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (kind != RILL__IO_POLL)
        rc = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) ? -EPERM : 0;
    else if (!S_ISSOCK(status.st_mode) && !S_ISFIFO(status.st_mode))
        rc = ask_epoll(fd);
    if (rc == 0 && is_attached(self, fd))
        rc = -EEXIST;
    return rc;
}

void
uring_io_free(uring_driver *self, uring_io *u)
{
    assert(u->in_flight == 0 && u->held_first == NULL && !u->unsettled);
    rill__list_remove(&u->link);
    rill__free(self->base.driver.loop, u, sizeof(*u), RILL_TAG_DRIVER);
}

static int
uring_attach(rill__driver *driver, rill__io *io, int fd, rill__io_kind kind)
{
    uring_driver *self = uring_of(driver);
    int rc = io->inherited || kind == RILL__IO_POLL ? check_foreign(self, fd, kind) : 0;
    uring_io *u;

    if (rc < 0)
        return rc;
    u = rill__alloc_zeroed(driver->loop, sizeof(*u), RILL_TAG_DRIVER);
    if (u == NULL)
        return -ENOMEM;
    u->io = io;
    u->fd = fd;
    rill__list_append(&self->ios, &u->link);
    io->fd = fd;
    io->kind = (uint8_t)kind;
    io->driver_data = u;
    return 0;
}

static int
uring_detach(rill__driver *driver, rill__io *io)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    int fd = io->fd;

    rill__check(!io->send.active && u->held_first == NULL && u->soon_len == 0 && u->rest == NULL);
    io->recv.active = false;
    (void)uring_quiesce(self, u);
    io->recv.discarded = true;
    io->send.discarded = true;
    rill__linux_pipe_forget(driver, io);
    io->fd = -1;
    io->driver_data = NULL;
    uring_io_free(self, u);
    return fd;
}

/* ---- operations ---- */

static int
wait_writable(rill__driver *driver, rill__io *io)
{
    uring_unsettle(uring_of(driver), uring_io_of(io));
    return 0;
}

static int
uring_subscribe(rill__driver *driver, rill__io *io)
{
    io->recv.active = true;
    uring_unsettle(uring_of(driver), uring_io_of(io));
    return 0;
}

static void
uring_pause(rill__driver *driver, rill__io *io)
{
    (void)driver;
    io->recv.paused = true;
}

static void
uring_resume(rill__driver *driver, rill__io *io)
{
    io->recv.paused = false;
    if (io->recv.active)
        uring_unsettle(uring_of(driver), uring_io_of(io));
}

/* The kernel wakes one accept request for each connection. If that is ours, to be canceled with the
 * close, the connection lies in the backlog and a process that inherited the socket is not told. */
static void
uring_stop_accepting(rill__driver *driver, rill__io *io)
{
    io->recv.active = false;
    (void)uring_quiesce(uring_of(driver), uring_io_of(io)); /* Else close cancels it later. */
}

static void
uring_close_io(rill__driver *driver, rill__io *io, bool reset)
{
    uring_driver *self = uring_of(driver);
    uring_io *u = uring_io_of(io);
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    rill__check(!io->closing);
    io->closing = true;
    rill__io_silence(io);
    if (io->kind == RILL__IO_PIPE)
        rill__linux_pipe_leave(driver, io);
    if (reset && io->kind == RILL__IO_STREAM) /* Fails on a Unix socket, which has no reset. */
        (void)setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    io->fd = -1;
    uring_drop_held(self, u);
    uring_drop_rest(self, u);
    uring_unsettle(self, u);
}

static int
uring_poll_set(rill__driver *driver, rill__io *io, bool readable, bool writable)
{
    assert(io->kind == RILL__IO_POLL);
    io->recv.active = readable;
    io->send.active = writable;
    io->send.kind = RILL__LINUX_SEND_NONE;
    uring_unsettle(uring_of(driver), uring_io_of(io));
    return 0;
}

/* ---- making and freeing ---- */

/* By a filter, a setting of the system, or its age; the rest is a lack that may pass. */
static bool
is_refusal(int rc)
{
    return rc == -ENOSYS || rc == -EPERM || rc == -EACCES;
}

/* ThreadSanitizer follows a descriptor from the call that makes it to close(2). Closed by the
 * kernel out of its sight, it would seem to race with the call that makes the next one of its
 * number. */
extern void __tsan_init(void) __attribute__((weak));

static int
uring_open(const rill__driver_config *config, rill__driver **ret_driver)
{
    uring_driver *self = rill__alloc_zeroed(config->loop, sizeof(*self), RILL_TAG_DRIVER);
    int rc;

    if (self == NULL)
        return -ENOMEM;
    self->base.driver.ops = &rill__driver_uring;
    self->base.driver.sys = &rill__sys_linux;
    self->base.driver.loop = config->loop;
    self->base.wait_writable = wait_writable;
    self->lent = -1;
    self->closes_by_call = __tsan_init != NULL;
    atomic_init(&self->backend_fd, -1);
    rill__list_init(&self->ios);
    uring_buffers_init(&self->buffers, config->loop);
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->event_fd < 0) {
        rc = -errno;
        goto fail_self;
    }
    rc = uring_ring_open(&self->ring);
    if (rc < 0) {
        rc = is_refusal(rc) ? RILL_ENODRIVER : rc;
        goto fail_event;
    }
    *ret_driver = &self->base.driver;
    return 0;

fail_event:
    (void)close(self->event_fd);
fail_self:
    rill__free(config->loop, self, sizeof(*self), RILL_TAG_DRIVER);
    return rc;
}

static void
uring_close(rill__driver *driver)
{
    uring_driver *self = uring_of(driver);

    uring_release_lent(self);
    rill__linux_dgrams_free(&self->base);
    uring_ring_close(&self->ring);
    uring_buffers_done(&self->buffers);
    if (self->backend_fd >= 0)
        (void)close(self->backend_fd);
    (void)close(self->event_fd);
    rill__free(driver->loop, self, sizeof(*self), RILL_TAG_DRIVER);
}

const rill__driver_ops rill__driver_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .now = rill__linux_now,
    .now_coarse = rill__linux_now_coarse,
    .wait = uring_wait,
    .submit = uring_submit,
    .wake = uring_wake,
    .backend_fd = uring_backend_fd,
    .attach = uring_attach,
    .take_unread = uring_take_unread,
    .detach = uring_detach,
    .subscribe = uring_subscribe,
    .pause = uring_pause,
    .resume = uring_resume,
    .recv_take = uring_recv_take,
    .recv_into = uring_recv_into,
    .accept_take = uring_accept_take,
    .stop_accepting = uring_stop_accepting,
    .send_now = uring_send_now,
    .send_soon = uring_send_soon,
    .send_rest = uring_send_rest,
    .connect_start = rill__linux_connect_start,
    .send_start = rill__linux_send_start,
    .sendfile_start = rill__linux_sendfile_start,
    .finish = rill__linux_finish,
    .cancel = rill__linux_cancel,
    .shutdown_write = rill__linux_shutdown_write,
    .close_io = uring_close_io,
    .poll_set = uring_poll_set,
    .pipes = &rill__linux_pipes,
    .rights = &rill__linux_rights,
    .dgrams = &rill__dgrams_linux,
};
