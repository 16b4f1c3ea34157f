/*
 * The simulated kernel's synchronous services: names, options, Unix paths, files, entropy.
 *
 * Descriptors are the world's own, but for files: a sendfile reads a real one, which is as
 * repeatable as the file is. What a call answers is what Linux answers, where tests compare them
 * (tests/core/test_driver_names.c). The loop's thread only.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "core/driver/sim/internal.h"

#define BUFFER_MAX (4 * 1024 * 1024)
#define SEND_MIN   4608
#define RECV_MIN   2304

static sim_driver *
self_of(rill__driver *driver)
{
    return (sim_driver *)driver;
}

static sim_socket *
socket_of(rill__driver *driver, int fd)
{
    return rill__sim_socket_of(self_of(driver)->sim, fd);
}

/* ---- making ---- */

int
rill__sim_make_fault(sim_host *host)
{
    static const struct {
        rill_sim_fault kind;
        int error;
    } faults[] = {
        { RILL_SIM_FAULT_SOCKET_EMFILE, EMFILE },
        { RILL_SIM_FAULT_SOCKET_ENFILE, ENFILE },
        { RILL_SIM_FAULT_SOCKET_ENOBUFS, ENOBUFS },
        { RILL_SIM_FAULT_SOCKET_ENOMEM, ENOMEM },
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (rill__sim_fault(
                host->sim, faults[i].kind, host, host->number, &host->uses[faults[i].kind]))
            return faults[i].error;
    return 0;
}

static int
sys_socket(rill__driver *driver, rill_family family, int *ret_fd)
{
    sim_host *host = self_of(driver)->host;
    sim_socket *socket;
    int rc = -rill__sim_make_fault(host);

    if (family == RILL_FAMILY_ANY)
        return -EAFNOSUPPORT;
    if (rc == 0)
        rc = rill__sim_socket_new(host, family, &socket);
    if (rc < 0)
        return rc;
    rc = rill__sim_socket_open(socket);
    if (rc < 0) {
        socket->owned = false;
        rill__sim_socket_free(socket);
        return rc;
    }
    *ret_fd = socket->fd;
    return 0;
}

static int
sys_bind(rill__driver *driver, int fd, const rill_addr *addr)
{
    sim_socket *socket = socket_of(driver, fd);

    return socket != NULL ? rill__sim_bind(socket, addr) : -EBADF;
}

static int
sys_listen(rill__driver *driver, int fd, int backlog)
{
    sim_socket *socket = socket_of(driver, fd);

    return socket != NULL ? rill__sim_listen_on(socket, backlog) : -EBADF;
}

static void
sys_close_fd(rill__driver *driver, int fd, bool reset)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return;
    if (socket->io != NULL)
        rill__sim_io_orphan(socket->io);
    rill__sim_socket_close(socket, reset);
}

/* ---- asking ---- */

static int
sys_peername(rill__driver *driver, int fd, rill_addr *ret_addr)
{
    sim_socket *socket = socket_of(driver, fd);

    return socket != NULL ? rill__sim_peername(socket, ret_addr) : -EBADF;
}

static int
sys_sockname(rill__driver *driver, int fd, rill_addr *ret_addr)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    rill__sim_sockname(socket, ret_addr);
    return 0;
}

/* All hosts of a world are this process: a program may compare with its own ids. */
static int
sys_credentials(rill__driver *driver, int fd, rill_credentials *ret_peer)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    if (!rill__sim_is_unix(socket))
        return RILL_ENOTSUP;
    *ret_peer = (rill_credentials){ .pid = socket->names->peer_pid, .uid = -1, .gid = -1 };
    if (socket->names->peer_pid != 0) {
        ret_peer->uid = getuid();
        ret_peer->gid = getgid();
    }
    return 0;
}

static int
sys_tcp_info(rill__driver *driver, int fd, rill_tcp_info *ret_info)
{
    sim_socket *socket = socket_of(driver, fd);
    size_t size = ret_info->size;
    rill_tcp_info info = { .size = size, .send_mss = 65483, .receive_mss = 65483 };
    sim_link *link;

    if (socket == NULL)
        return -EBADF;
    if (rill__sim_is_unix(socket))
        return RILL_ENOTSUP;
    info.state = (uint32_t)rill__sim_tcp_state(socket);
    info.congestion_window = SIM_SEGMENTS;
    if (socket->other != NULL) {
        link = rill__sim_link_of(socket->host, socket->other->host);
        if (link != NULL) {
            info.rtt_us = (uint32_t)(2 * link->latency / RILL_US);
            info.rtt_variance_us = (uint32_t)(link->jitter / RILL_US);
        }
        info.unacked = socket->other->in.count;
    }
    memcpy(ret_info, &info, size < sizeof(info) ? size : sizeof(info));
    return 0;
}

/* ---- options ---- */

static int
set_number(int *field, int value, int max)
{
    if (value < 1 || value > max)
        return -EINVAL;
    *field = value;
    return 0;
}

/* The kernel doubles what it is given, between its bounds. */
static void
set_buffer(int *field, int value, int min)
{
    if (value > BUFFER_MAX)
        value = BUFFER_MAX;
    *field = value > min / 2 ? value * 2 : min;
}

static int
sys_set_option(rill__driver *driver, int fd, rill_option option, int value)
{
    sim_socket *socket = socket_of(driver, fd);
    bool is_unix;

    if (socket == NULL)
        return -EBADF;
    is_unix = rill__sim_is_unix(socket);
    switch (option) {
    case RILL_OPTION_NODELAY:
        if (is_unix)
            return RILL_ENOTSUP;
        socket->nodelay = value != 0;
        return 0;
    case RILL_OPTION_KEEPALIVE:
        socket->keepalive = value != 0;
        return 0;
    case RILL_OPTION_KEEPALIVE_IDLE:
        return is_unix ? RILL_ENOTSUP : set_number(&socket->keepalive_idle, value, 32767);
    case RILL_OPTION_KEEPALIVE_INTERVAL:
        return is_unix ? RILL_ENOTSUP : set_number(&socket->keepalive_interval, value, 32767);
    case RILL_OPTION_KEEPALIVE_COUNT:
        return is_unix ? RILL_ENOTSUP : set_number(&socket->keepalive_count, value, 127);
    case RILL_OPTION_LINGER:
        socket->linger = value >= 0 ? value : -1;
        return 0;
    case RILL_OPTION_SEND_BUFFER:
        set_buffer(&socket->send_buffer, value, SEND_MIN);
        rill__sim_pipe_resized(socket);
        return 0;
    case RILL_OPTION_RECV_BUFFER:
        set_buffer(&socket->recv_buffer, value, RECV_MIN);
        if (socket->other == NULL && !is_unix)
            socket->in.window_end = (uint64_t)socket->recv_buffer / 2;
        return 0;
    case RILL_OPTION_BROADCAST:
    case RILL_OPTION_TTL:
    case RILL_OPTION_TOS:
    case RILL_OPTION_MULTICAST_TTL:
    case RILL_OPTION_MULTICAST_LOOP:
    case RILL_OPTION_MULTICAST_INTERFACE:
        return RILL_ENOTSUP; /* See dgram.c. */
    }
    return RILL_EINVAL;
}

static int
sys_get_option(rill__driver *driver, int fd, rill_option option, int *ret_value)
{
    sim_socket *socket = socket_of(driver, fd);
    bool is_unix;

    if (socket == NULL)
        return -EBADF;
    is_unix = rill__sim_is_unix(socket);
    switch (option) {
    case RILL_OPTION_NODELAY:
        *ret_value = socket->nodelay;
        return is_unix ? RILL_ENOTSUP : 0;
    case RILL_OPTION_KEEPALIVE:
        *ret_value = socket->keepalive;
        return 0;
    case RILL_OPTION_KEEPALIVE_IDLE:
        *ret_value = socket->keepalive_idle;
        return is_unix ? RILL_ENOTSUP : 0;
    case RILL_OPTION_KEEPALIVE_INTERVAL:
        *ret_value = socket->keepalive_interval;
        return is_unix ? RILL_ENOTSUP : 0;
    case RILL_OPTION_KEEPALIVE_COUNT:
        *ret_value = socket->keepalive_count;
        return is_unix ? RILL_ENOTSUP : 0;
    case RILL_OPTION_LINGER:
        *ret_value = socket->linger;
        return 0;
    case RILL_OPTION_SEND_BUFFER:
        *ret_value = socket->send_buffer;
        return 0;
    case RILL_OPTION_RECV_BUFFER:
        *ret_value = socket->recv_buffer;
        return 0;
    case RILL_OPTION_BROADCAST:
    case RILL_OPTION_TTL:
    case RILL_OPTION_TOS:
    case RILL_OPTION_MULTICAST_TTL:
    case RILL_OPTION_MULTICAST_LOOP:
    case RILL_OPTION_MULTICAST_INTERFACE:
        return RILL_ENOTSUP; /* See dgram.c. */
    }
    return RILL_EINVAL;
}

static int
sys_set_flag(rill__driver *driver, int fd, int flag, int value)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    switch ((enum rill__flag)flag) {
    case RILL__FLAG_REUSE_ADDRESS:
        socket->reuse_address = socket->port.reuse_address = value != 0;
        return 0;
    case RILL__FLAG_REUSE_PORT:
        if (rill__sim_is_unix(socket))
            return -EOPNOTSUPP;
        socket->reuse_port = socket->port.reuse_port = value != 0;
        return 0;
    case RILL__FLAG_V6ONLY:
        if (socket->family != RILL_FAMILY_IPV6)
            return -ENOPROTOOPT;
        if (socket->port.local.family != RILL_FAMILY_ANY)
            return -EINVAL;
        socket->v6only = value != 0;
        return 0;
    case RILL__FLAG_NODELAY:
        if (rill__sim_is_unix(socket))
            return -EOPNOTSUPP;
        socket->nodelay = value != 0;
        return 0;
    }
    return -EINVAL;
}

/* ---- inherited descriptors ---- */

static int
sys_probe(rill__driver *driver, int fd)
{
    sim_socket *socket = socket_of(driver, fd);

    if (socket == NULL)
        return -EBADF;
    if (socket->state == SIM_LISTENING)
        return RILL__FD_LISTENER;
    return socket->state == SIM_CONNECTED ? RILL__FD_STREAM : RILL__FD_UNBOUND;
}

static int
sys_adopt(rill__driver *driver, int fd)
{
    return socket_of(driver, fd) != NULL ? 0 : -EBADF;
}

/* ---- Unix paths ---- */

static bool
is_path(const rill_addr *addr)
{
    char text[RILL_ADDR_TEXT];

    return strncmp(rill_addr_format(addr, text, sizeof(text)), "unix:@", 6) != 0;
}

static int
sys_unix_stale(rill__driver *driver, const rill_addr *addr)
{
    const sim_path *path = rill__sim_path_find(self_of(driver)->host, addr);

    if (path == NULL || !is_path(addr))
        return 0;
    if (path->file || (path->socket != NULL && path->socket->state == SIM_LISTENING))
        return -EADDRINUSE;
    return 1;
}

static int
sys_unix_identity(rill__driver *driver, const rill_addr *addr, uint64_t ret_identity[2])
{
    const sim_path *path = rill__sim_path_find(self_of(driver)->host, addr);

    if (path == NULL || !is_path(addr))
        return -ENOENT;
    ret_identity[0] = self_of(driver)->host->number;
    ret_identity[1] = path->identity;
    return 0;
}

static int
sys_unix_unlink(rill__driver *driver, const rill_addr *addr)
{
    sim_path *path = rill__sim_path_find(self_of(driver)->host, addr);

    if (!is_path(addr))
        return 0;
    if (path == NULL)
        return -ENOENT;
    rill__sim_path_free(self_of(driver)->host, path);
    return 0;
}

static int
sys_unix_chmod(rill__driver *driver, const rill_addr *addr, int mode)
{
    sim_path *path = rill__sim_path_find(self_of(driver)->host, addr);

    if (!is_path(addr))
        return 0;
    if (path == NULL)
        return -ENOENT;
    path->mode = mode;
    return 0;
}

/* ---- files, entropy, signals ---- */

static int64_t
sys_file_size(rill__driver *driver, int fd)
{
    struct stat st;

    (void)driver;
    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? st.st_size : -EINVAL;
}

static int64_t
sys_file_read(rill__driver *driver, int fd, uint64_t offset, void *buf, size_t len)
{
    ssize_t got = pread(fd, buf, len, (off_t)offset);

    (void)driver;
    return got < 0 ? -errno : got;
}

static void
sys_entropy(rill__driver *driver, void *buf, size_t len)
{
    sim_driver *self = self_of(driver);
    uint8_t *bytes = buf;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)rill__sim_hash(
            self->sim, SIM_DOMAIN_ENTROPY, self->number, self->entropy_used++);
}

/* Nothing here raises SIGPIPE. */
static void
sys_run_begin(rill__driver *driver)
{
    (void)driver;
}

static void
sys_run_end(rill__driver *driver)
{
    (void)driver;
}

static int
sys_public_fd(rill__driver *driver, int fd)
{
    (void)driver;
    (void)fd;
    return RILL_ENOTSUP;
}

const rill__sys_ops rill__sys_sim = {
    .plain = &rill__plain_sim,
    .socket = sys_socket,
    .bind = sys_bind,
    .listen = sys_listen,
    .close_fd = sys_close_fd,
    .peername = sys_peername,
    .sockname = sys_sockname,
    .credentials = sys_credentials,
    .tcp_info = sys_tcp_info,
    .set_option = sys_set_option,
    .get_option = sys_get_option,
    .set_flag = sys_set_flag,
    .probe = sys_probe,
    .adopt = sys_adopt,
    .unix_stale = sys_unix_stale,
    .unix_identity = sys_unix_identity,
    .unix_unlink = sys_unix_unlink,
    .unix_chmod = sys_unix_chmod,
    .file_size = sys_file_size,
    .file_read = sys_file_read,
    .entropy = sys_entropy,
    .run_begin = sys_run_begin,
    .run_end = sys_run_end,
    .public_fd = sys_public_fd,
    .processes = &rill__processes_sim,
};
