/*
 * Pipes, FIFOs, terminals and character devices on the real kernel: what a driver does with one
 * that is ready, and how a descriptor from outside is made to never wait.
 *
 * O_NONBLOCK belongs to the open file, which an inherited descriptor shares with the shell and its
 * other children: set there it breaks them. So a pipe or terminal is opened once more through
 * /proc, which gives this descriptor an open file of its own. Where that is impossible (another
 * user's terminal, a device, no /proc) the flag is set for all, and taken back by the close. A
 * socket needs no flag, as each call can say that it does not wait. Any thread that owns the
 * descriptors.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include <rill/pipe.h>

#include "core/driver/linux/linux.h"
#include "core/internal.h"

/* ---- bytes ---- */

/* Is there nobody any more who could read what is written? */
static int64_t
look_for_readers(int fd)
{
    struct pollfd ask = { .fd = fd };

    if (poll(&ask, 1, 0) > 0 && (ask.revents & (POLLERR | POLLHUP)) != 0)
        return -EPIPE;
    return -EAGAIN;
}

int64_t
rill__linux_pipe_receive(const rill__io *io, void *buf, size_t len)
{
    ssize_t got;

    if ((io->recv.pipe & RILL__PIPE_WRITES) != 0)
        return look_for_readers(io->fd);
    if ((io->recv.pipe & RILL__PIPE_SOCKET) != 0)
        return rill__linux_receive(io->fd, buf, len);
    do
        got = read(io->fd, buf, len);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EIO && (io->recv.pipe & RILL__PIPE_TERMINAL) != 0)
        return 0; /* The other side has hung up. */
    return rill__result(got);
}

static int64_t
write_parts(int fd, const rill__iov *iov, size_t count)
{
    ssize_t sent;

    do
        sent = count == 1 ? write(fd, iov->base, iov->len)
                          : writev(fd, (const struct iovec *)iov, (int)count);
    while (sent < 0 && errno == EINTR);
    if (sent == 0)
        return -EAGAIN; /* Nothing is wrong, and nothing was taken. */
    return rill__result(sent);
}

/* A write raises SIGPIPE: outside of a run, which blocks it, it is blocked here. */
int64_t
rill__linux_pipe_send(rill__driver *driver, const rill__io *io, const rill__iov *iov, size_t count)
{
    rill__linux *self = (rill__linux *)driver;
    bool guard = !self->guarded;
    int64_t sent;

    if ((io->recv.pipe & RILL__PIPE_SOCKET) != 0)
        return rill__linux_send(io->fd, iov, count);
    if (guard)
        rill__linux_guard(self);
    sent = write_parts(io->fd, iov, count);
    if (guard)
        rill__linux_unguard(self);
    return sent;
}

/* ---- making ---- */

static int
set_nonblocking(int fd, bool nonblocking)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

static int
pipe_make(rill__driver *driver, unsigned blocking, int ret_fds[2])
{
    (void)driver;
    if (pipe2(ret_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* Of a descriptor that is open, these cannot fail. */
    if ((blocking & RILL__PIPE_BLOCKING_READ) != 0)
        (void)set_nonblocking(ret_fds[0], false);
    if ((blocking & RILL__PIPE_BLOCKING_WRITE) != 0)
        (void)set_nonblocking(ret_fds[1], false);
    return 0;
}

/* ---- from outside ---- */

static int
probe_socket(int fd)
{
    int type = 0;
    int listening = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return RILL_EINVAL;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
        return RILL_EINVAL;
    return RILL__PIPE_SOCKET;
}

static int
pipe_probe(rill__driver *driver, int fd, bool writes)
{
    int what = writes ? RILL__PIPE_WRITES : 0;
    int flags = fcntl(fd, F_GETFL);
    struct stat st;
    int rc = 0;

    (void)driver;
    if (flags < 0 || fstat(fd, &st) < 0)
        return -errno;
    if ((flags & O_ACCMODE) == (writes ? O_RDONLY : O_WRONLY) && !S_ISDIR(st.st_mode))
        return -EACCES;
    if (S_ISREG(st.st_mode))
        return -EPERM;
    if (S_ISSOCK(st.st_mode))
        rc = probe_socket(fd);
    else if (S_ISCHR(st.st_mode))
        rc = isatty(fd) ? RILL__PIPE_TERMINAL : RILL__PIPE_DEVICE;
    else if (!S_ISFIFO(st.st_mode))
        rc = RILL_EINVAL;
    return rc < 0 ? rc : what | rc;
}

static bool
same_file(int fd, int other)
{
    struct stat a;
    struct stat b;

    return fstat(fd, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino && a.st_rdev == b.st_rdev;
}

/* Who opens a FIFO after its last writer has gone waits for another one, and would not be told of
 * the end. A pipe without a name knows no such wait. */
static bool
has_ended(int fd)
{
    struct pollfd ask = { .fd = fd, .events = POLLIN };
    struct statfs system;

    if (fstatfs(fd, &system) == 0 && system.f_type == PIPEFS_MAGIC)
        return false;
    return poll(&ask, 1, 0) > 0 && (ask.revents & (POLLERR | POLLHUP)) != 0;
}

/* The master's side of a terminal would be another terminal. */
static bool
is_master(int fd)
{
    unsigned number;

    return ioctl(fd, TIOCGPTN, &number) == 0;
}

/* Put an open file of its own in the place of one that is shared. Returns whether it is there. */
static bool
reopen(int fd, int flags, int what)
{
    char path[32];
    bool done;
    int own;

    if ((what & RILL__PIPE_DEVICE) != 0 || (flags & O_DIRECT) != 0 ||
        ((what & RILL__PIPE_TERMINAL) != 0 && is_master(fd)))
        return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, (flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return false;
    done = same_file(fd, own) && !has_ended(fd) && dup3(own, fd, O_CLOEXEC) >= 0;
    (void)close(own);
    return done;
}

/* ---- descriptors whose flag we have set ---- */

/* Some of them may share one open file: the last one takes the flag back. */
typedef struct rill__flagged rill__flagged;
struct rill__flagged {
    rill__flagged *next;
    int fd;
};

static int
flagged_add(rill__linux *self, int fd)
{
    rill__flagged *one = rill__alloc(self->driver.loop, sizeof(*one), RILL_TAG_DRIVER);

    if (one == NULL)
        return -ENOMEM;
    *one = (rill__flagged){ self->flagged, fd };
    self->flagged = one;
    return 0;
}

static void
flagged_remove(rill__linux *self, int fd)
{
    rill__flagged **at = &self->flagged;

    while (*at != NULL) {
        rill__flagged *one = *at;

        if (one->fd != fd) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        rill__free(self->driver.loop, one, sizeof(*one), RILL_TAG_DRIVER);
    }
}

/* Both are non-blocking: if the flag of one goes with the other's, they are one open file. */
static bool
share_open_file(int fd, int other)
{
    bool shared;

    if (!same_file(fd, other) || set_nonblocking(fd, false) < 0)
        return false;
    shared = (fcntl(other, F_GETFL) & O_NONBLOCK) == 0;
    (void)set_nonblocking(fd, true); /* It was just now. */
    return shared;
}

static bool
flagged_shares(const rill__linux *self, int fd)
{
    for (const rill__flagged *one = self->flagged; one != NULL; one = one->next)
        if (one->fd != fd && share_open_file(fd, one->fd))
            return true;
    return false;
}

static void
take_flag_back(rill__linux *self, int fd)
{
    bool shared = flagged_shares(self, fd);

    flagged_remove(self, fd);
    if (!shared)
        (void)set_nonblocking(fd, false); /* As it was: nothing else could be done. */
}

/* ---- adopting ---- */

static int
set_flag(rill__linux *self, int fd)
{
    int rc = flagged_add(self, fd);

    if (rc == 0 && (rc = set_nonblocking(fd, true)) < 0)
        flagged_remove(self, fd);
    return rc;
}

/* Returns what was changed for it. */
static int
never_wait(rill__linux *self, int fd, int what)
{
    int flags = fcntl(fd, F_GETFL);
    int rc = 0;

    if (flags < 0)
        return -errno;
    if ((what & RILL__PIPE_SOCKET) != 0)
        return 0;
    if ((flags & O_NONBLOCK) != 0) {
        if (!flagged_shares(self, fd))
            return 0; /* Its owner wants it so. */
        rc = flagged_add(self, fd);
    } else if (reopen(fd, flags, what)) {
        return RILL__PIPE_REOPENED;
    } else {
        rc = set_flag(self, fd);
    }
    return rc < 0 ? rc : RILL__PIPE_MADE_NONBLOCKING;
}

static int
pipe_adopt(rill__driver *driver, int fd, int what)
{
    int descriptor_flags = fcntl(fd, F_GETFD);
    int changed;

    if (descriptor_flags < 0)
        return -errno;
    changed = never_wait((rill__linux *)driver, fd, what);
    if (changed < 0)
        return changed;
    if ((descriptor_flags & FD_CLOEXEC) == 0) {
        bool standard = fd <= STDERR_FILENO; /* Children inherit those, opened once more or not. */

        (void)fcntl(fd, F_SETFD, standard ? 0 : FD_CLOEXEC); /* It is open: cannot fail. */
        changed |= standard ? 0 : RILL__PIPE_MADE_CLOEXEC;
    }
    return what | changed;
}

static void
pipe_give_back(rill__driver *driver, int fd, int what)
{
    if ((what & RILL__PIPE_MADE_NONBLOCKING) != 0)
        take_flag_back((rill__linux *)driver, fd);
    if ((what & RILL__PIPE_REOPENED) != 0)
        (void)set_nonblocking(fd, false);
    if ((what & RILL__PIPE_MADE_CLOEXEC) != 0)
        (void)fcntl(fd, F_SETFD, 0);
}

void
rill__linux_pipe_leave(rill__driver *driver, const rill__io *io)
{
    if ((io->recv.pipe & RILL__PIPE_MADE_NONBLOCKING) != 0)
        take_flag_back((rill__linux *)driver, io->fd);
}

void
rill__linux_pipe_forget(rill__driver *driver, const rill__io *io)
{
    if ((io->recv.pipe & RILL__PIPE_MADE_NONBLOCKING) != 0)
        flagged_remove((rill__linux *)driver, io->fd);
}

/* ---- what has a name ---- */

static int
pipe_standard(rill__driver *driver, int number)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);

    (void)driver;
    return fd < 0 ? -errno : fd;
}

static bool
is_fifo(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int
fifo_mode(unsigned flags)
{
    if ((flags & RILL_FIFO_STAY) != 0)
        return O_RDWR;
    return (flags & RILL_FIFO_WRITE) != 0 ? O_WRONLY : O_RDONLY;
}

/* Looked at before, as opening a device can do something; and after, as paths change. */
static int
pipe_open_fifo(rill__driver *driver, const char *path, unsigned flags, int mode)
{
    struct stat st;
    int fd;

    (void)driver;
    if ((flags & RILL_FIFO_CREATE) != 0 && mkfifo(path, (mode_t)mode) < 0 && errno != EEXIST)
        return -errno;
    if (access(path, F_OK) == 0 && !is_fifo(path))
        return RILL_EINVAL;
    fd = open(path, fifo_mode(flags) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
        return fd;
    (void)close(fd);
    return RILL_EINVAL;
}

const rill__pipe_ops rill__linux_pipes = {
    .make = pipe_make,
    .probe = pipe_probe,
    .adopt = pipe_adopt,
    .give_back = pipe_give_back,
    .standard = pipe_standard,
    .open_fifo = pipe_open_fifo,
};
