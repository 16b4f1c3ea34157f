/*
 * The few calls on descriptors that need no loop.
 *
 * New ones are close-on-exec. No state; any thread.
 */
#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/driver/host.h"
#include "core/driver/linux/linux.h"

#define WAITS_MAX 4096

int
rill__host_wait_for(rill__host_wait *waits, size_t count, rill_ns timeout)
{
    struct pollfd fds[WAITS_MAX];
    struct timespec ts = { .tv_sec = timeout / RILL_S, .tv_nsec = timeout % RILL_S };

    assert(count <= WAITS_MAX);
    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){ .fd = waits[i].fd, .events = POLLIN };
    if (ppoll(fds, count, timeout == RILL_NEVER ? NULL : &ts, NULL) < 0) {
        for (size_t i = 0; i < count; i++)
            waits[i].ready = false;
        return errno == EINTR ? 0 : -errno;
    }
    for (size_t i = 0; i < count; i++)
        waits[i].ready = waits[i].fd >= 0 && fds[i].revents != 0;
    return 0;
}

rill_ns
rill__host_now(void)
{
    return rill__linux_now(NULL);
}

int
rill__host_duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return errno == EINVAL ? -EMFILE : -errno; /* EINVAL: the limit is as low as that. */
    return copy;
}

void
rill__host_close(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* Gone even when it says EINTR or EIO. */
}

int
rill__host_listen(int fd, int backlog)
{
    return listen(fd, backlog) < 0 ? -errno : 0;
}

int
rill__host_accept(int fd)
{
    rill_addr peer;
    int accepted;
    int rc = rill__linux_accept(fd, &accepted, &peer);

    return rc < 0 ? rc : accepted;
}

int
rill__host_path_identity(const rill_addr *addr, uint64_t ret_identity[2])
{
    return rill__sys_linux.unix_identity(NULL, addr, ret_identity);
}

void
rill__host_path_remove(const rill_addr *addr, const uint64_t identity[2])
{
    uint64_t present[2];

    if (rill__host_path_identity(addr, present) == 0 && present[0] == identity[0] &&
        present[1] == identity[1])
        (void)rill__sys_linux.unix_unlink(NULL, addr); /* Somebody else was faster: fine too. */
}

bool
rill__host_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

bool
rill__host_is_inherited(int fd)
{
    return fcntl(fd, F_GETFD) == 0;
}

void
rill__host_set_cloexec(int fd)
{
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* Of an open one: cannot fail. */
}

int
rill__host_identity(int fd, uint64_t ret_identity[2])
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    ret_identity[0] = status.st_dev;
    ret_identity[1] = status.st_ino;
    return 0;
}

void
rill__host_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}
