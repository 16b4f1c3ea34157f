/*
 * What threads and processes share and how they talk: shared memory, bells (eventfd), channels
 * (SOCK_SEQPACKET pairs that carry descriptors), and datagrams to a service manager.
 *
 * Everything is made close-on-exec in the call that makes it, channels and datagram sockets
 * non-blocking as well. No state; any thread.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/driver/host.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

typedef union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(RILL__CHANNEL_FDS * sizeof(int))];
} control;

/* ---- memory and bells ---- */

int
rill__host_share(size_t size, void **ret_memory)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

void
rill__host_unshare(void *memory, size_t size)
{
    if (memory != NULL)
        (void)munmap(memory, size); /* Of a mapping of ours: cannot fail. */
}

int
rill__host_bell(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

void
rill__host_ring(int bell)
{
    int kept = errno; /* For signal handlers. */
    uint64_t one = 1;

    (void)!write(bell, &one, sizeof(one)); /* Full, it rings anyway. */
    errno = kept;
}

void
rill__host_quiet(int bell)
{
    uint64_t count;

    (void)!read(bell, &count, sizeof(count));
}

/* ---- channels ---- */

int
rill__host_channel(int ret_ends[2])
{
    int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_ends);

    return rc < 0 ? -errno : 0;
}

static int
send_message(int fd, struct msghdr *message, const int *fds, size_t fds_count)
{
    control room;
    struct cmsghdr *header;
    ssize_t sent;

    assert(fds_count <= RILL__CHANNEL_FDS);
    if (fds_count > 0) {
        memset(&room, 0, sizeof(room));
        message->msg_control = room.bytes;
        message->msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
        header = CMSG_FIRSTHDR(message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fds_count * sizeof(int));
    }
    do
        sent = sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) /* Too many descriptors on their way: wait as for room. */
        return errno == ETOOMANYREFS ? -EAGAIN : -errno;
    return 0;
}

int
rill__host_send(int fd, const void *data, size_t len, const int *fds, size_t fds_count)
{
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };

    return send_message(fd, &(struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 }, fds, fds_count);
}

static size_t
take_fds(struct msghdr *message, int *ret_fds)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(ret_fds + count, CMSG_DATA(c), n * sizeof(int));
        count += n;
    }
    return count;
}

int64_t
rill__host_receive(int fd, void *buf, size_t size, int *ret_fds, size_t *ret_fds_count)
{
    control room;
    struct iovec part = { .iov_base = buf, .iov_len = size };
    struct msghdr message = { .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof(room.bytes) };
    ssize_t got;

    *ret_fds_count = 0;
    /* An end that was closed with something unread is told as a reset, once, before what it had
     * sent: its last words are behind that, and then the end. */
    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0)
        return -errno;
    *ret_fds_count = take_fds(&message, ret_fds);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return got;
    while (*ret_fds_count > 0)
        (void)close(ret_fds[--*ret_fds_count]);
    return (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : -EMSGSIZE;
}

int
rill__host_wait_message(int fd, rill_ns deadline)
{
    struct pollfd event = { .fd = fd, .events = POLLIN };
    rill_ns left = deadline - rill__host_now();
    struct timespec ts;
    int count;

    do {
        left = left > 0 ? left : 0;
        ts = (struct timespec){ .tv_sec = (time_t)(left / RILL_S),
            .tv_nsec = (long)(left % RILL_S) };
        count = ppoll(&event, 1, &ts, NULL);
        left = deadline - rill__host_now();
    } while (count < 0 && errno == EINTR && left > 0);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

bool
rill__host_is_channel(int fd)
{
    int domain = 0;
    int type = 0;
    socklen_t len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* ---- datagrams ---- */

int
rill__host_datagram(const char *path, const char *text, size_t len, int fd)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    size_t path_len = strlen(path);
    struct iovec part = { .iov_base = (void *)(uintptr_t)text, .iov_len = len };
    struct msghdr message = { .msg_name = &name, .msg_iov = &part, .msg_iovlen = 1 };
    int sock;
    int rc;

    if (path_len >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, path, path_len);
    message.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len);
    if (path[0] == '@')
        name.sun_path[0] = '\0';
    else
        message.msg_namelen++; /* A path ends with its zero byte, an abstract name does not. */
    sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    rc = send_message(sock, &message, &fd, fd >= 0 ? 1 : 0);
    (void)close(sock);
    return rc;
}
