/*
 * Datagram sockets of the real kernel, for both of its drivers: they are asked when poll says so.
 *
 * Receiving: one recvmsg while there is one datagram at a time; every 16th call looks for two, and
 * as long as there are more than one, one recvmmsg takes up to 32. Sending: what a callback sent
 * leaves by one sendmmsg, and in it neighbours of one size and destination as one piece, which the
 * kernel or the network card cuts (UDP_SEGMENT). What the kernel joins in return (UDP_GRO) is told
 * with the size to cut it at.
 *
 * The memory is the driver's, one for all sockets: what was taken lies there until the next take.
 * Loop thread only.
 */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/addr.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#define RECEIVE_MANY  32
#define PROBE_EVERY   16 /* Takes of one, until one looks for two. */
#define LONE_IN_A_ROW 8  /* Takes of many that brought one, until it is one again. */
#define SEGMENTS_MAX  64 /* UDP_MAX_SEGMENTS of kernels before 6.8. */
#define PIECE_MAX     ((size_t)65000)
#define JOINED_MAX    ((size_t)65535)

/* Room for what the kernel may say of one datagram. */
typedef union remarks {
    struct cmsghdr align;
    uint8_t bytes[256];
} remarks;

typedef union segment_size {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
} segment_size;

struct rill__dgrams {
    uint8_t *area; /* What is received: slots of equal size. */
    size_t area_size;
    uint8_t *old; /* The one before, until the next take: it may be in use. */
    size_t old_size;
    rill__arrived arrived[RECEIVE_MANY];
    remarks remarks[RECEIVE_MANY];
    struct mmsghdr headers[RILL__DGRAM_MANY];
    struct iovec parts[RILL__DGRAM_MANY];
    segment_size sizes[RILL__DGRAM_MANY];
    uint8_t counts[RILL__DGRAM_MANY]; /* Datagrams in each message. */
};

static_assert(RILL__DGRAM_MANY >= RECEIVE_MANY, "headers serve both ways");

static rill__linux *
linux_of(rill__driver *driver)
{
    return (rill__linux *)driver;
}

/* ---- memory ---- */

static size_t
slot_size(size_t receive_max)
{
    return (receive_max + 63) / 64 * 64;
}

/* Pages of it that nothing was received in cost nothing. */
static int
reserve(rill__linux *self, size_t bytes)
{
    rill_loop *loop = self->driver.loop;
    struct rill__dgrams *d = self->dgrams;
    uint8_t *area;

    if (d->area_size >= bytes)
        return 0;
    area = rill__alloc(loop, bytes, RILL_TAG_CHUNK);
    if (area == NULL)
        return -ENOMEM;
    if (d->old == NULL) {
        d->old = d->area;
        d->old_size = d->area_size;
    } else {
        rill__free(loop, d->area, d->area_size, RILL_TAG_CHUNK); /* Nothing was taken into it. */
    }
    d->area = area;
    d->area_size = bytes;
    return 0;
}

static void
free_old(rill__linux *self)
{
    struct rill__dgrams *d = self->dgrams;

    rill__free(self->driver.loop, d->old, d->old_size, RILL_TAG_CHUNK);
    d->old = NULL;
    d->old_size = 0;
}

void
rill__linux_dgrams_free(rill__linux *self)
{
    struct rill__dgrams *d = self->dgrams;

    if (d == NULL)
        return;
    free_old(self);
    rill__free(self->driver.loop, d->area, d->area_size, RILL_TAG_CHUNK);
    rill__free(self->driver.loop, d, sizeof(*d), RILL_TAG_DRIVER);
    self->dgrams = NULL;
}

/* ---- making ---- */

static int
domain_of(rill_family family)
{
    switch (family) {
    case RILL_FAMILY_IPV4:
        return AF_INET;
    case RILL_FAMILY_IPV6:
        return AF_INET6;
    case RILL_FAMILY_UNIX:
        return AF_UNIX;
    case RILL_FAMILY_ANY:
        break;
    }
    return AF_UNSPEC;
}

static int
dgram_socket(rill__driver *driver, rill_family family, int *ret_fd)
{
    int fd = socket(domain_of(family), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)driver;
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int
number_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

static int
dgram_probe(rill__driver *driver, int fd, rill_family *ret_family, bool *ret_udp)
{
    int type = number_of(fd, SOL_SOCKET, SO_TYPE);
    int domain = number_of(fd, SOL_SOCKET, SO_DOMAIN);

    (void)driver;
    if (type < 0)
        return type;
    if (type != SOCK_DGRAM)
        return RILL_EINVAL;
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
        return RILL_EINVAL;
    *ret_family = domain == AF_INET    ? RILL_FAMILY_IPV4
                  : domain == AF_INET6 ? RILL_FAMILY_IPV6
                                       : RILL_FAMILY_UNIX;
    *ret_udp = domain != AF_UNIX && number_of(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDP;
    return 0;
}

static int
dgram_connect(rill__driver *driver, int fd, const rill_addr *addr)
{
    (void)driver;
    return connect(fd, rill__addr_sockaddr(addr), addr->len) < 0 ? -errno : 0;
}

static int
dgram_unix_stale(rill__driver *driver, const rill_addr *addr)
{
    const char *path =
        (const char *)rill__addr_sockaddr(addr) + offsetof(struct sockaddr_un, sun_path);
    struct stat st;
    int fd = -1;
    int rc;

    if (path[0] == '\0')
        return 0;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    rc = dgram_socket(driver, RILL_FAMILY_UNIX, &fd);
    if (rc < 0)
        return rc;
    rc = dgram_connect(driver, fd, addr);
    (void)close(fd);
    return rc == -ECONNREFUSED ? 1 : -EADDRINUSE;
}

static bool
set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* What a kernel does not have it does not tell: all of it is extra. */
static int
dgram_prepare(rill__driver *driver, int fd, bool udp, size_t receive_max, bool details)
{
    rill__linux *self = linux_of(driver);
    int rc;

    if (self->dgrams == NULL)
        self->dgrams = rill__alloc_zeroed(driver->loop, sizeof(*self->dgrams), RILL_TAG_DRIVER);
    if (self->dgrams == NULL)
        return -ENOMEM;
    rc = reserve(self, 2 * slot_size(receive_max));
    if (rc < 0)
        return rc;
    if (details) {
        (void)set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        (void)set(fd, IPPROTO_IP, IP_RECVTOS, 1);
        (void)set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        (void)set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    if (!udp)
        return 0;
    if (receive_max >= JOINED_MAX)
        (void)set(fd, IPPROTO_UDP, UDP_GRO, 1);
    return number_of(fd, IPPROTO_UDP, UDP_SEGMENT) >= 0;
}

/* ---- options ---- */

/* IPv4's and IPv6's name of each. */
static const struct {
    int level[2];
    int name[2];
} option_names[] = {
    [RILL_OPTION_BROADCAST - RILL_OPTION_BROADCAST] = { { SOL_SOCKET, SOL_SOCKET },
        { SO_BROADCAST, SO_BROADCAST } },
    [RILL_OPTION_TTL -
        RILL_OPTION_BROADCAST] = { { IPPROTO_IP, IPPROTO_IPV6 }, { IP_TTL, IPV6_UNICAST_HOPS } },
    [RILL_OPTION_TOS -
        RILL_OPTION_BROADCAST] = { { IPPROTO_IP, IPPROTO_IPV6 }, { IP_TOS, IPV6_TCLASS } },
    [RILL_OPTION_MULTICAST_TTL - RILL_OPTION_BROADCAST] = { { IPPROTO_IP, IPPROTO_IPV6 },
        { IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS } },
    [RILL_OPTION_MULTICAST_LOOP - RILL_OPTION_BROADCAST] = { { IPPROTO_IP, IPPROTO_IPV6 },
        { IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP } },
    [RILL_OPTION_MULTICAST_INTERFACE - RILL_OPTION_BROADCAST] = { { IPPROTO_IP, IPPROTO_IPV6 },
        { IP_MULTICAST_IF, IPV6_MULTICAST_IF } },
};

static int
place_of(int fd, rill_option option, int *ret_level, int *ret_name)
{
    int domain = number_of(fd, SOL_SOCKET, SO_DOMAIN);
    size_t i = (size_t)option - RILL_OPTION_BROADCAST;

    if (option < RILL_OPTION_BROADCAST || i >= sizeof(option_names) / sizeof(option_names[0]))
        return RILL_EINVAL;
    if (domain != AF_INET && domain != AF_INET6)
        return RILL_ENOTSUP;
    *ret_level = option_names[i].level[domain == AF_INET6];
    *ret_name = option_names[i].name[domain == AF_INET6];
    return domain;
}

static int
dgram_set_option(rill__driver *driver, int fd, rill_option option, int value)
{
    struct ip_mreqn where = { .imr_ifindex = value };
    int level;
    int name;
    int domain = place_of(fd, option, &level, &name);

    (void)driver;
    if (domain < 0)
        return domain;
    if (option == RILL_OPTION_MULTICAST_INTERFACE && domain == AF_INET)
        return setsockopt(fd, level, name, &where, sizeof(where)) < 0 ? -errno : 0;
    return set(fd, level, name, value) ? 0 : -errno;
}

static int
dgram_get_option(rill__driver *driver, int fd, rill_option option, int *ret_value)
{
    int level;
    int name;
    int value;
    int domain = place_of(fd, option, &level, &name);

    (void)driver;
    if (domain < 0)
        return domain;
    value = number_of(fd, level, name);
    if (value < 0)
        return value;
    *ret_value = value;
    return 0;
}

/* The protocol-independent form of RFC 3678: one for both families. */
static int
dgram_membership(rill__driver *driver, int fd, bool join, const rill_addr *group,
    const rill_addr *source, uint32_t interface)
{
    int level = rill_addr_family(group) == RILL_FAMILY_IPV6 ? IPPROTO_IPV6 : IPPROTO_IP;
    struct group_req all = { .gr_interface = interface };
    struct group_source_req one = { .gsr_interface = interface };
    int rc;

    (void)driver;
    memcpy(&all.gr_group, rill__addr_sockaddr(group), group->len);
    if (source == NULL) {
        rc = setsockopt(fd, level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &all, sizeof(all));
        return rc < 0 ? -errno : 0;
    }
    memcpy(&one.gsr_group, rill__addr_sockaddr(group), group->len);
    memcpy(&one.gsr_source, rill__addr_sockaddr(source), source->len);
    rc = setsockopt(
        fd, level, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &one, sizeof(one));
    return rc < 0 ? -errno : 0;
}

/* ---- receiving ---- */

/* A Unix socket gets no room for remarks: they could be descriptors, which would be ours then. */
static void
aim(struct rill__dgrams *d, size_t i, const rill__io *io, size_t receive_max)
{
    struct msghdr *header = &d->headers[i].msg_hdr;

    d->parts[i] = (struct iovec){ d->area + i * slot_size(receive_max), receive_max };
    *header = (struct msghdr){ .msg_name = d->arrived[i].from.storage,
        .msg_namelen = sizeof(d->arrived[i].from.storage),
        .msg_iov = &d->parts[i],
        .msg_iovlen = 1 };
    if (!io->out.dgram.remarks)
        return;
    header->msg_control = d->remarks[i].bytes;
    header->msg_controllen = sizeof(d->remarks[i].bytes);
}

static void
note_destination(rill__arrived *a, sa_family_t family, const void *bytes, uint32_t interface)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    a->interface = interface;
    if (family == AF_INET) {
        memcpy(&in.sin_addr, bytes, sizeof(in.sin_addr));
        rill__addr_set(&a->to, &in, sizeof(in));
    } else {
        memcpy(&in6.sin6_addr, bytes, sizeof(in6.sin6_addr));
        rill__addr_set(&a->to, &in6, sizeof(in6));
    }
}

static void
note_remark(rill__arrived *a, const struct cmsghdr *c)
{
    const void *data = CMSG_DATA(c);
    struct in_pktinfo info;
    struct in6_pktinfo info6;
    size_t len = c->cmsg_len - CMSG_LEN(0);
    int number = 0;

    if (len >= sizeof(number))
        memcpy(&number, data, sizeof(number));
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        a->segment = number > 0 ? (size_t)number : 0;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && len >= sizeof(info)) {
        memcpy(&info, data, sizeof(info));
        note_destination(a, AF_INET, &info.ipi_addr, (uint32_t)info.ipi_ifindex);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
               len >= sizeof(info6)) {
        memcpy(&info6, data, sizeof(info6));
        note_destination(a, AF_INET6, &info6.ipi6_addr, info6.ipi6_ifindex);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS && len >= 1) {
        a->tos = *(const uint8_t *)data;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        a->tos = number & 0xff;
    }
}

static void
note(struct rill__dgrams *d, size_t i, size_t len)
{
    struct msghdr *header = &d->headers[i].msg_hdr;
    rill__arrived *a = &d->arrived[i];

    a->data = d->parts[i].iov_base;
    a->len = len;
    a->segment = 0;
    a->from.len = header->msg_namelen < sizeof(a->from.storage) ? header->msg_namelen : 0;
    a->to.len = 0;
    a->interface = 0;
    a->tos = -1;
    a->truncated = (header->msg_flags & MSG_TRUNC) != 0;
    if (header->msg_controllen == 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        note_remark(a, c);
}

/* How many to ask for. */
static size_t
appetite(rill__linux *self, rill__io *io, size_t receive_max)
{
    if (!io->out.dgram.batch)
        return io->out.dgram.takes++ % PROBE_EVERY == 0 ? 2 : 1;
    if (reserve(self, RECEIVE_MANY * slot_size(receive_max)) == 0)
        return RECEIVE_MANY;
    return 2;
}

static void
learn(rill__io *io, size_t asked, size_t got)
{
    if (asked == 1)
        return;
    io->out.dgram.lone = got > 1 ? 0 : (uint8_t)(io->out.dgram.lone + 1);
    io->out.dgram.batch = io->out.dgram.batch ? io->out.dgram.lone < LONE_IN_A_ROW : got > 1;
    if (!io->out.dgram.batch)
        io->out.dgram.lone = 0;
}

static int
receive_one(struct rill__dgrams *d, int fd)
{
    ssize_t got;

    do
        got = recvmsg(fd, &d->headers[0].msg_hdr, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    d->headers[0].msg_len = (unsigned)got;
    return 1;
}

static int
dgram_take(
    rill__driver *driver, rill__io *io, size_t receive_max, const rill__arrived **ret_arrived)
{
    rill__linux *self = linux_of(driver);
    size_t asked = appetite(self, io, receive_max);
    struct rill__dgrams *d = self->dgrams;
    int got;

    if (d->old != NULL)
        free_old(self);
    for (size_t i = 0; i < asked; i++)
        aim(d, i, io, receive_max);
    if (asked == 1) {
        got = receive_one(d, io->fd);
    } else {
        do
            got = recvmmsg(io->fd, d->headers, (unsigned)asked, MSG_DONTWAIT, NULL);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            got = -errno;
    }
    learn(io, asked, got > 0 ? (size_t)got : 0);
    for (int i = 0; i < got; i++)
        note(d, (size_t)i, d->headers[i].msg_len);
    *ret_arrived = d->arrived;
    return got;
}

/* ---- sending ---- */

static bool
same_destination(const rill_addr *a, const rill_addr *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a == b || (a->len == b->len && memcmp(a->storage, b->storage, a->len) == 0);
}

/* How many of the first ones make one piece: of one size, the last one perhaps shorter, lying one
 * behind the other. */
static size_t
piece(const rill__departing *first, size_t count)
{
    size_t bytes = first->len;
    size_t n = 1;

    if (first->len == 0)
        return 1;
    while (n < count && n < SEGMENTS_MAX && first[n].len > 0 && first[n].len <= first->len &&
           bytes + first[n].len <= PIECE_MAX &&
           (const uint8_t *)first->data + bytes == first[n].data &&
           same_destination(first->to, first[n].to)) {
        bytes += first[n++].len;
        if (first[n - 1].len < first->len)
            break;
    }
    return n;
}

static void
put_message(struct rill__dgrams *d, size_t at, const rill__departing *first, size_t count)
{
    struct msghdr *header = &d->headers[at].msg_hdr;
    uint16_t size = (uint16_t)first->len;
    struct cmsghdr *c;

    d->counts[at] = (uint8_t)count;
    d->parts[at] = (struct iovec){ (void *)(uintptr_t)first->data, first->len };
    *header = (struct msghdr){ .msg_iov = &d->parts[at], .msg_iovlen = 1 };
    if (first->to != NULL) {
        header->msg_name = (void *)(uintptr_t)first->to->storage;
        header->msg_namelen = first->to->len;
    }
    if (count == 1)
        return;
    d->parts[at].iov_len =
        (size_t)((const uint8_t *)first[count - 1].data - (const uint8_t *)first->data) +
        first[count - 1].len;
    header->msg_control = d->sizes[at].bytes;
    header->msg_controllen = sizeof(d->sizes[at].bytes);
    c = CMSG_FIRSTHDR(header);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
}

static int
send_messages(int fd, struct mmsghdr *headers, size_t count)
{
    ssize_t sent;

    do
        sent = count == 1 ? sendmsg(fd, &headers->msg_hdr, MSG_NOSIGNAL | MSG_DONTWAIT)
                          : sendmmsg(fd, headers, (unsigned)count, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return count == 1 ? 1 : (int)sent;
}

/* Of a piece, not of its datagrams: they are larger than the path's, or the device cannot. */
static bool
is_piece_error(int rc)
{
    return rc == -EINVAL || rc == -EMSGSIZE || rc == -EIO || rc == -EOPNOTSUPP;
}

static int
send_many(rill__linux *self, rill__io *io, const rill__departing *departing, size_t count)
{
    struct rill__dgrams *d = self->dgrams;
    size_t messages = 0;
    int sent;
    int total = 0;

    for (size_t i = 0; i < count; messages++) {
        size_t n = io->out.dgram.segments ? piece(departing + i, count - i) : 1;

        put_message(d, messages, departing + i, n);
        i += n;
    }
    sent = send_messages(io->fd, d->headers, messages);
    if (sent < 0)
        return sent;
    for (int i = 0; i < sent; i++)
        total += d->counts[i];
    return total;
}

static int
dgram_send(rill__driver *driver, rill__io *io, const rill__departing *departing, size_t count)
{
    rill__linux *self = linux_of(driver);
    int sent;

    assert(count > 0);
    if (count > RILL__DGRAM_MANY)
        count = RILL__DGRAM_MANY;
    sent = send_many(self, io, departing, count);
    if (is_piece_error(sent) && self->dgrams->counts[0] > 1) {
        io->out.dgram.segments = false;
        sent = send_many(self, io, departing, count);
    }
    return sent;
}

static int
dgram_await_room(rill__driver *driver, rill__io *io, bool wanted)
{
    int rc = 0;

    if (io->send.active == wanted)
        return 0;
    io->send.active = wanted;
    io->send.kind = RILL__LINUX_SEND_BYTES;
    if (wanted)
        rc = linux_of(driver)->wait_writable(driver, io);
    if (rc < 0)
        io->send.active = false;
    return rc;
}

const rill__dgram_ops rill__dgrams_linux = {
    .socket = dgram_socket,
    .probe = dgram_probe,
    .connect = dgram_connect,
    .unix_stale = dgram_unix_stale,
    .prepare = dgram_prepare,
    .set_option = dgram_set_option,
    .get_option = dgram_get_option,
    .membership = dgram_membership,
    .take = dgram_take,
    .send = dgram_send,
    .await_room = dgram_await_room,
};
