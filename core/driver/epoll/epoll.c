/*
 * The epoll driver: readiness underneath, operations above.
 *
 * Each io is registered once, level-triggered. Interest changes lazily: pausing or finishing a send
 * only clears a flag, and the kernel is told when it reports something that nobody wants, so that a
 * pause and resume between two events cost no system call. An io with nothing to wait for whose
 * descriptor has hung up is taken out of the set altogether, since epoll reports a hang-up whatever
 * the interest.
 *
 * Invariant: `armed` is what the kernel has (0: not in the set); recv.active means subscribed,
 * send.active that an outbound operation waits for writability. Loop thread only, but for wake.
 */
#include <limits.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/addr.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#define EVENTS_MAX  512
#define FIRST_OWNED 16

typedef struct epoll_driver {
    rill__linux base;
    int epoll_fd;
    int event_fd;
    bool milliseconds; /* The kernel has no epoll_pwait2 (before 5.11, or filtered). */
    uint64_t *owned;   /* A bit for each descriptor of ours: those that wait for nothing are not in
                        * the kernel's set. */
    size_t owned_words;
    uint64_t first_owned[FIRST_OWNED]; /* Enough for most: an attach allocates nothing then. */
    _Alignas(16) struct epoll_event events[EVENTS_MAX];
} epoll_driver;

static_assert(EPOLLIN == 0x1 && EPOLLOUT == 0x4, "interest fits `armed`");

#define ARMED 0x80 /* In the set, perhaps without interest. */

static epoll_driver *
self_of(rill__driver *driver)
{
    return (epoll_driver *)driver;
}

/* ---- interest ---- */

static uint8_t
wanted(const rill__io *io)
{
    unsigned interest = 0;

    if (io->recv.active && !io->recv.paused && (io->recv.pipe & RILL__PIPE_WRITES) == 0)
        interest |= EPOLLIN; /* Who writes to a pipe hears of its end by EPOLLERR, unasked. */
    if (io->send.active && io->send.kind != RILL__LINUX_SEND_CANCELED)
        interest |= EPOLLOUT;
    return (uint8_t)interest;
}

/* What is in the set for it: a device that epoll refuses (/dev/null) is always ready, and so is an
 * eventfd, which stands in for it. */
static int
watched_fd(const rill__io *io)
{
    return io->driver_data == NULL ? io->fd : (int)(intptr_t)io->driver_data - 1;
}

static int
control(epoll_driver *self, rill__io *io, int op, uint8_t interest)
{
    struct epoll_event event = { .events = interest, .data.ptr = io };

    if (epoll_ctl(self->epoll_fd, op, watched_fd(io), &event) < 0)
        return -errno;
    io->armed = op == EPOLL_CTL_DEL ? 0 : (uint8_t)(interest | ARMED);
    return 0;
}

/* Have at least what is wanted. Only the first time can fail. */
static int
arm(epoll_driver *self, rill__io *io)
{
    uint8_t interest = wanted(io);

    if ((io->armed & interest) == interest && io->armed != 0)
        return 0;
    interest |= io->armed & (EPOLLIN | EPOLLOUT);
    return control(self, io, io->armed != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, interest);
}

static int
wait_writable(rill__driver *driver, rill__io *io)
{
    return arm(self_of(driver), io);
}

/* The kernel reported `events` of which some are not wanted (any more). */
static void
disarm(epoll_driver *self, rill__io *io, uint32_t events)
{
    uint8_t interest = wanted(io);

    if (interest == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0)
        (void)control(self, io, EPOLL_CTL_DEL, 0); /* Of a registered descriptor: cannot fail. */
    else if ((io->armed & ~ARMED) != interest)
        (void)control(self, io, EPOLL_CTL_MOD, interest);
}

/* ---- waiting ---- */

static int
wait_milliseconds(epoll_driver *self, rill_ns left)
{
    rill_ns ms = (left + RILL_MS - 1) / RILL_MS; /* Up: a turn too early would spin. */

    return epoll_wait(self->epoll_fd, self->events, EVENTS_MAX, ms < INT_MAX ? (int)ms : INT_MAX);
}

static __attribute__((noinline)) int
wait_until(epoll_driver *self, rill_ns deadline)
{
    struct timespec ts;
    rill_ns left;
    int count;

    left = deadline > 0 ? deadline - rill__linux_now(&self->base.driver) : 0;
    if (left <= 0)
        return epoll_wait(self->epoll_fd, self->events, EVENTS_MAX, 0);
    if (self->milliseconds)
        return wait_milliseconds(self, left);
    ts.tv_sec = (time_t)(left / RILL_S);
    ts.tv_nsec = (long)(left % RILL_S);
    count = epoll_pwait2(self->epoll_fd, self->events, EVENTS_MAX, &ts, NULL);
    if (count >= 0 || errno != ENOSYS)
        return count;
    self->milliseconds = true;
    return wait_milliseconds(self, left);
}

/* All but bytes for one who wants them. */
static __attribute__((noinline)) void
dispatch_other(epoll_driver *self, const struct epoll_event *event)
{
    rill__io *io = event->data.ptr;
    uint32_t in;
    uint32_t out;
    uint8_t interest;

    if (io == NULL)
        return; /* A wake: edge-triggered, so it need not be read. */
    in = event->events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    out = event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP);
    interest = wanted(io);
    if ((io->recv.pipe & RILL__PIPE_WRITES) != 0)
        in &= ~(uint32_t)EPOLLIN; /* A terminal's, or a socket's: not for us. */
    if (in != 0 && io->recv.active && !io->recv.paused)
        rill__loop_push_op(self->base.driver.loop, &io->recv);
    if (out != 0 && (interest & EPOLLOUT) != 0)
        rill__loop_push_op(self->base.driver.loop, &io->send);
    if (interest == 0 || (event->events & (EPOLLIN | EPOLLOUT) & ~(uint32_t)interest) != 0)
        disarm(self, io, event->events);
}

static int
epoll_driver_wait(rill__driver *driver, rill_ns deadline)
{
    epoll_driver *self = self_of(driver);
    int count = deadline == RILL_NEVER ? epoll_wait(self->epoll_fd, self->events, EVENTS_MAX, -1)
                                       : wait_until(self, deadline);

    if (RILL__UNLIKELY(count < 0))
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &self->events[i];
        rill__io *io = event->data.ptr;

        if (RILL__LIKELY(
                io != NULL && event->events == EPOLLIN && io->recv.active && !io->recv.paused))
            rill__push_op(driver->loop, &io->recv);
        else
            dispatch_other(self, event);
    }
    return 0;
}

static void
epoll_submit(rill__driver *driver)
{
    (void)driver; /* Interest is told at once. */
}

static void
epoll_wake(rill__driver *driver)
{
    uint64_t one = 1;

    (void)!write(
        self_of(driver)->event_fd, &one, sizeof(one)); /* It would take centuries to be full. */
}

static int
epoll_backend_fd(rill__driver *driver)
{
    return self_of(driver)->epoll_fd;
}

/* ---- attaching ---- */

static int
attach_stand_in(epoll_driver *self, rill__io *io)
{
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    io->driver_data = (void *)((intptr_t)fd + 1); /* Descriptor 0 is one, too. */
    rc = control(self, io, EPOLL_CTL_ADD, 0);
    if (rc < 0) {
        (void)close(fd);
        io->driver_data = NULL;
    }
    return rc;
}

static void
close_stand_in(rill__io *io)
{
    if (io->driver_data != NULL)
        (void)close(watched_fd(io));
    io->driver_data = NULL;
}

/* ---- whose a descriptor is ---- */

static bool
is_owned(const epoll_driver *self, int fd)
{
    size_t word = (size_t)fd / 64;

    return word < self->owned_words && (self->owned[word] >> (fd % 64) & 1) != 0;
}

static void
free_owned(epoll_driver *self)
{
    if (self->owned != self->first_owned)
        rill__free(self->base.driver.loop, self->owned, self->owned_words * sizeof(*self->owned),
            RILL_TAG_DRIVER);
}

static RILL__RARE int
grow_owned(epoll_driver *self, size_t word)
{
    size_t words = self->owned_words;
    uint64_t *grown;

    while (words <= word)
        words *= 2;
    grown = rill__alloc_zeroed(self->base.driver.loop, words * sizeof(*grown), RILL_TAG_DRIVER);
    if (grown == NULL)
        return -ENOMEM;
    memcpy(grown, self->owned, self->owned_words * sizeof(*grown));
    free_owned(self);
    self->owned = grown;
    self->owned_words = words;
    return 0;
}

static int
own(epoll_driver *self, int fd)
{
    size_t word = (size_t)fd / 64;
    int rc = RILL__UNLIKELY(word >= self->owned_words) ? grow_owned(self, word) : 0;

    if (rc == 0)
        self->owned[word] |= UINT64_C(1) << (fd % 64);
    return rc;
}

static void
disown(epoll_driver *self, int fd)
{
    self->owned[(size_t)fd / 64] &= ~(UINT64_C(1) << (fd % 64));
}

static int
epoll_attach(rill__driver *driver, rill__io *io, int fd, rill__io_kind kind)
{
    epoll_driver *self = self_of(driver);
    int rc;

    io->fd = fd;
    io->kind = (uint8_t)kind;
    if (io->inherited && fd >= 0 && is_owned(self, fd))
        return -EEXIST;
    /* One of our own making is new for sure and waits for its first interest. */
    rc = io->inherited ? control(self, io, EPOLL_CTL_ADD, 0) : 0;
    if (rc == -EPERM && (io->recv.pipe & RILL__PIPE_DEVICE) != 0)
        rc = attach_stand_in(self, io);
    if (rc < 0)
        return rc;
    rc = own(self, fd);
    if (rc < 0 && io->armed != 0) {
        (void)control(self, io, EPOLL_CTL_DEL, 0);
        close_stand_in(io);
    }
    return rc;
}

static int64_t
epoll_take_unread(rill__driver *driver, rill__io *io, void *buf, size_t size)
{
    (void)driver;
    (void)io;
    (void)buf;
    (void)size;
    return 0; /* It is all with the kernel. */
}

static int
epoll_detach(rill__driver *driver, rill__io *io)
{
    int fd = io->fd;

    rill__check(!io->send.active);
    if (io->armed != 0)
        (void)control(self_of(driver), io, EPOLL_CTL_DEL, 0);
    close_stand_in(io);
    rill__linux_pipe_forget(driver, io);
    rill__io_silence(io);
    disown(self_of(driver), fd);
    io->fd = -1;
    return fd;
}

/* ---- inbound ---- */

static int
epoll_subscribe(rill__driver *driver, rill__io *io)
{
    int rc;

    io->recv.active = true;
    rc = arm(self_of(driver), io);
    if (rc < 0)
        io->recv.active = false;
    return rc;
}

static void
epoll_pause(rill__driver *driver, rill__io *io)
{
    (void)driver;
    io->recv.paused = true;
}

static void
epoll_resume(rill__driver *driver, rill__io *io)
{
    io->recv.paused = false;
    /* A re-arm of a known descriptor; where memory for it lacks, the record makes the owner look,
     * and its take tells the truth about the socket. */
    if (io->recv.active && arm(self_of(driver), io) < 0)
        rill__loop_push_op(driver->loop, &io->recv);
}

static int64_t
epoll_recv_into(rill__driver *driver, rill__io *io, void *buf, size_t len)
{
    (void)driver;
    if (RILL__UNLIKELY(io->kind == RILL__IO_PIPE))
        return rill__linux_pipe_receive(io, buf, len);
    return rill__linux_receive(io->fd, buf, len);
}

static int64_t
epoll_recv_take(rill__driver *driver, rill__io *io, rill_slice *ret_slice)
{
    size_t size;
    uint8_t *buf = rill__loop_hot_buffer(driver->loop, &size);
    int64_t got;

    if (RILL__UNLIKELY(buf == NULL))
        return -ENOMEM;
    got = RILL__LIKELY(io->kind != RILL__IO_PIPE) ? rill__linux_receive(io->fd, buf, size)
                                                  : rill__linux_pipe_receive(io, buf, size);
    if (RILL__LIKELY(got > 0))
        *ret_slice = rill__loop_hot_slice(driver->loop, (size_t)got);
    return got;
}

static int
epoll_accept_take(rill__driver *driver, rill__io *io, int *ret_fd, rill_addr *ret_peer)
{
    (void)driver;
    return rill__linux_accept(io->fd, ret_fd, ret_peer);
}

static void
epoll_stop_accepting(rill__driver *driver, rill__io *io)
{
    (void)driver; /* It accepts nothing by itself, and wakes all who wait. */
    (void)io;
}

/* ---- outbound ---- */

static int64_t
epoll_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count)
{
    assert(count <= RILL__IOV_MAX);
    if (io->send.active)
        return -EAGAIN;
    if (RILL__UNLIKELY(io->kind == RILL__IO_PIPE))
        return rill__linux_pipe_send(driver, io, iov, count);
    return rill__linux_send(io->fd, iov, count);
}

static int64_t
epoll_send_rest(rill__driver *driver, rill__io *io, rill__iov *ret_rest)
{
    (void)driver;
    (void)io;
    (void)ret_rest;
    return 0; /* Nothing is taken on trust. */
}

static void
epoll_close_io(rill__driver *driver, rill__io *io, bool reset)
{
    rill__check(!io->closing);
    io->closing = true;
    rill__io_silence(io);
    /* Closing alone takes it out of the set only with its last duplicate, and a forked child may
     * hold one: events would come for memory that is gone. */
    if (io->armed != 0)
        (void)control(self_of(driver), io, EPOLL_CTL_DEL, 0);
    close_stand_in(io);
    disown(self_of(driver), io->fd);
    if (io->kind == RILL__IO_PIPE) {
        rill__linux_pipe_leave(driver, io);
        reset = false;
    }
    if (io->kind != RILL__IO_POLL) /* Foreign ones are not ours to close. */
        driver->sys->close_fd(driver, io->fd, reset);
    io->fd = -1;
    rill__loop_push_op(driver->loop, &io->close);
}

static int
epoll_poll_set(rill__driver *driver, rill__io *io, bool readable, bool writable)
{
    epoll_driver *self = self_of(driver);
    uint8_t interest;

    assert(io->kind == RILL__IO_POLL);
    io->recv.active = readable;
    io->send.active = writable;
    io->send.kind = RILL__LINUX_SEND_NONE;
    interest = wanted(io);
    if (interest == 0)
        return io->armed != 0 ? control(self, io, EPOLL_CTL_DEL, 0) : 0;
    if ((io->armed & ~ARMED) == interest)
        return 0;
    return control(self, io, io->armed != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, interest);
}

/* ---- making and freeing ---- */

static int
epoll_open(const rill__driver_config *config, rill__driver **ret_driver)
{
    epoll_driver *self = rill__alloc_zeroed(config->loop, sizeof(*self), RILL_TAG_DRIVER);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
    int rc;

    if (self == NULL)
        return -ENOMEM;
    self->base.driver.ops = &rill__driver_epoll;
    self->base.driver.sys = &rill__sys_linux;
    self->base.driver.loop = config->loop;
    self->base.wait_writable = wait_writable;
    self->owned = self->first_owned;
    self->owned_words = FIRST_OWNED;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0) {
        rc = -errno;
        goto fail_self;
    }
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->event_fd < 0) {
        rc = -errno;
        goto fail_epoll;
    }
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->event_fd, &event) < 0) {
        rc = -errno;
        goto fail_event;
    }
    *ret_driver = &self->base.driver;
    return 0;

fail_event:
    (void)close(self->event_fd);
fail_epoll:
    (void)close(self->epoll_fd);
fail_self:
    rill__free(config->loop, self, sizeof(*self), RILL_TAG_DRIVER);
    return rc;
}

static void
epoll_close(rill__driver *driver)
{
    epoll_driver *self = self_of(driver);

    rill__linux_dgrams_free(&self->base);
    free_owned(self);
    (void)close(self->event_fd);
    (void)close(self->epoll_fd);
    rill__free(driver->loop, self, sizeof(*self), RILL_TAG_DRIVER);
}

const rill__driver_ops rill__driver_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .now = rill__linux_now,
    .now_coarse = rill__linux_now_coarse,
    .wait = epoll_driver_wait,
    .submit = epoll_submit,
    .wake = epoll_wake,
    .backend_fd = epoll_backend_fd,
    .attach = epoll_attach,
    .take_unread = epoll_take_unread,
    .detach = epoll_detach,
    .subscribe = epoll_subscribe,
    .pause = epoll_pause,
    .resume = epoll_resume,
    .recv_take = epoll_recv_take,
    .recv_into = epoll_recv_into,
    .accept_take = epoll_accept_take,
    .stop_accepting = epoll_stop_accepting,
    .send_now = epoll_send_now,
    .send_soon = epoll_send_now,
    .send_rest = epoll_send_rest,
    .connect_start = rill__linux_connect_start,
    .send_start = rill__linux_send_start,
    .sendfile_start = rill__linux_sendfile_start,
    .finish = rill__linux_finish,
    .cancel = rill__linux_cancel,
    .shutdown_write = rill__linux_shutdown_write,
    .close_io = epoll_close_io,
    .poll_set = epoll_poll_set,
    .pipes = &rill__linux_pipes,
    .rights = &rill__linux_rights,
    .dgrams = &rill__dgrams_linux,
};
