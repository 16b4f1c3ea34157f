/*
 * The Linux kernel's synchronous services. No state; any thread that owns the descriptors.
 *
 * Everything is made non-blocking and close-on-exec in the call that makes it.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/addr.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

static int
zero_or_errno(int result)
{
    return result < 0 ? -errno : 0;
}

static int
sys_socket(rill__driver *driver, rill_family family, int *ret_fd)
{
    static const int domains[] = {
        [RILL_FAMILY_IPV4] = AF_INET, [RILL_FAMILY_IPV6] = AF_INET6, [RILL_FAMILY_UNIX] = AF_UNIX
    };
    int fd;

    (void)driver;
    if (family == RILL_FAMILY_ANY)
        return -EAFNOSUPPORT;
    fd = socket(domains[family], SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int
sys_bind(rill__driver *driver, int fd, const rill_addr *addr)
{
    (void)driver;
    return zero_or_errno(bind(fd, rill__addr_sockaddr(addr), addr->len));
}

static int
sys_listen(rill__driver *driver, int fd, int backlog)
{
    (void)driver;
    return zero_or_errno(listen(fd, backlog));
}

static void
sys_close_fd(rill__driver *driver, int fd, bool reset)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    (void)driver;
    if (reset) /* Fails on a Unix socket, which has no reset. */
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    (void)close(fd); /* The descriptor is gone even when it says EINTR or EIO. */
}

static int
name_of(int fd, rill_addr *ret_addr, int (*ask)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);

    if (ask(fd, (struct sockaddr *)&storage, &len) < 0)
        return -errno;
    rill__addr_set(ret_addr, &storage, len < sizeof(storage) ? len : sizeof(storage));
    return 0;
}

static int
ask_peername(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getpeername(fd, addr, len);
}

static int
ask_sockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getsockname(fd, addr, len);
}

static int
sys_peername(rill__driver *driver, int fd, rill_addr *ret_addr)
{
    (void)driver;
    return name_of(fd, ret_addr, ask_peername);
}

static int
sys_sockname(rill__driver *driver, int fd, rill_addr *ret_addr)
{
    (void)driver;
    return name_of(fd, ret_addr, ask_sockname);
}

static int
domain_of(int fd)
{
    int domain = -1;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ? -errno : domain;
}

static int
sys_credentials(rill__driver *driver, int fd, rill_credentials *ret_peer)
{
    struct ucred ucred;
    socklen_t len = sizeof(ucred);

    (void)driver;
    if (domain_of(fd) != AF_UNIX)
        return RILL_ENOTSUP;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) < 0)
        return -errno;
    *ret_peer = (rill_credentials){ .pid = ucred.pid, .uid = ucred.uid, .gid = ucred.gid };
    return 0;
}

static int
sys_tcp_info(rill__driver *driver, int fd, rill_tcp_info *ret_info)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    size_t size = ret_info->size;
    rill_tcp_info filled;

    (void)driver;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return errno == EOPNOTSUPP ? RILL_ENOTSUP : -errno;
    filled = (rill_tcp_info){ .size = size,
        .state = info.tcpi_state,
        .rtt_us = info.tcpi_rtt,
        .rtt_variance_us = info.tcpi_rttvar,
        .congestion_window = info.tcpi_snd_cwnd,
        .unacked = info.tcpi_unacked,
        .retransmits_total = info.tcpi_total_retrans,
        .send_mss = info.tcpi_snd_mss,
        .receive_mss = info.tcpi_rcv_mss };
    memcpy(ret_info, &filled, size < sizeof(filled) ? size : sizeof(filled));
    return 0;
}

static const struct {
    int level;
    int name;
} option_names[] = {
    [RILL_OPTION_NODELAY] = { IPPROTO_TCP, TCP_NODELAY },
    [RILL_OPTION_KEEPALIVE] = { SOL_SOCKET, SO_KEEPALIVE },
    [RILL_OPTION_KEEPALIVE_IDLE] = { IPPROTO_TCP, TCP_KEEPIDLE },
    [RILL_OPTION_KEEPALIVE_INTERVAL] = { IPPROTO_TCP, TCP_KEEPINTVL },
    [RILL_OPTION_KEEPALIVE_COUNT] = { IPPROTO_TCP, TCP_KEEPCNT },
    [RILL_OPTION_LINGER] = { SOL_SOCKET, SO_LINGER },
    [RILL_OPTION_SEND_BUFFER] = { SOL_SOCKET, SO_SNDBUF },
    [RILL_OPTION_RECV_BUFFER] = { SOL_SOCKET, SO_RCVBUF },
};

static int
check_option(int fd, rill_option option)
{
    int domain;

    if (option >= RILL_OPTION_BROADCAST && option <= RILL_OPTION_MULTICAST_INTERFACE)
        return RILL_ENOTSUP;
    if ((size_t)option >= sizeof(option_names) / sizeof(option_names[0]))
        return RILL_EINVAL;
    if (option_names[option].level != IPPROTO_TCP)
        return 0;
    domain = domain_of(fd);
    return domain == AF_INET || domain == AF_INET6 ? 0 : RILL_ENOTSUP;
}

static int
sys_set_option(rill__driver *driver, int fd, rill_option option, int value)
{
    struct linger linger = { .l_onoff = value >= 0, .l_linger = value >= 0 ? value : 0 };
    int rc = check_option(fd, option);

    (void)driver;
    if (rc < 0)
        return rc;
    if (option == RILL_OPTION_LINGER)
        return zero_or_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    return zero_or_errno(setsockopt(
        fd, option_names[option].level, option_names[option].name, &value, sizeof(value)));
}

static int
sys_get_option(rill__driver *driver, int fd, rill_option option, int *ret_value)
{
    struct linger linger;
    int value = 0;
    socklen_t len = option == RILL_OPTION_LINGER ? sizeof(linger) : sizeof(value);
    void *out = option == RILL_OPTION_LINGER ? (void *)&linger : (void *)&value;
    int rc = check_option(fd, option);

    (void)driver;
    if (rc < 0)
        return rc;
    if (getsockopt(fd, option_names[option].level, option_names[option].name, out, &len) < 0)
        return -errno;
    if (option == RILL_OPTION_LINGER)
        value = linger.l_onoff ? linger.l_linger : -1;
    *ret_value = value;
    return 0;
}

static int
sys_set_flag(rill__driver *driver, int fd, int flag, int value)
{
    static const struct {
        int level;
        int name;
    } names[] = {
        [RILL__FLAG_REUSE_ADDRESS] = { SOL_SOCKET, SO_REUSEADDR },
        [RILL__FLAG_REUSE_PORT] = { SOL_SOCKET, SO_REUSEPORT },
        [RILL__FLAG_V6ONLY] = { IPPROTO_IPV6, IPV6_V6ONLY },
        [RILL__FLAG_NODELAY] = { IPPROTO_TCP, TCP_NODELAY },
    };

    (void)driver;
    return zero_or_errno(
        setsockopt(fd, names[flag].level, names[flag].name, &value, sizeof(value)));
}

static int
sys_probe(rill__driver *driver, int fd)
{
    struct sockaddr_storage storage;
    socklen_t storage_len = sizeof(storage);
    int type = 0;
    int listening = 0;
    socklen_t len = sizeof(int);

    (void)driver;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return RILL__FD_OTHER;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
        return RILL__FD_LISTENER;
    if (getpeername(fd, (struct sockaddr *)&storage, &storage_len) == 0)
        return RILL__FD_STREAM;
    return RILL__FD_UNBOUND;
}

static int
sys_adopt(rill__driver *driver, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    (void)driver;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return zero_or_errno(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

/* ---- Unix paths ---- */

static const char *
path_of(const rill_addr *addr)
{
    const char *path =
        (const char *)rill__addr_sockaddr(addr) + offsetof(struct sockaddr_un, sun_path);

    return path[0] != '\0' ? path : NULL; /* NULL: an abstract name. */
}

/* A connect tells whether somebody listens: refused means a socket file that was left behind. */
static int
sys_unix_stale(rill__driver *driver, const rill_addr *addr)
{
    const char *path = path_of(addr);
    struct stat st;
    int fd = -1;
    int rc;

    if (path == NULL)
        return 0;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    rc = sys_socket(driver, RILL_FAMILY_UNIX, &fd);
    if (rc < 0)
        return rc;
    rc = connect(fd, rill__addr_sockaddr(addr), addr->len) < 0 ? -errno : 0;
    (void)close(fd);
    return rc == -ECONNREFUSED ? 1 : -EADDRINUSE;
}

static int
sys_unix_identity(rill__driver *driver, const rill_addr *addr, uint64_t ret_identity[2])
{
    const char *path = path_of(addr);
    struct stat st;

    (void)driver;
    if (path == NULL || lstat(path, &st) < 0)
        return -ENOENT;
    ret_identity[0] = st.st_dev;
    ret_identity[1] = st.st_ino;
    return 0;
}

static int
sys_unix_unlink(rill__driver *driver, const rill_addr *addr)
{
    const char *path = path_of(addr);

    (void)driver;
    return path != NULL ? zero_or_errno(unlink(path)) : 0;
}

static int
sys_unix_chmod(rill__driver *driver, const rill_addr *addr, int mode)
{
    const char *path = path_of(addr);

    (void)driver;
    return path != NULL ? zero_or_errno(chmod(path, (mode_t)mode)) : 0;
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
    (void)driver;
    return rill__result(pread(fd, buf, len, (off_t)offset));
}

static void
sys_entropy(rill__driver *driver, void *buf, size_t len)
{
    (void)driver;
    while (len > 0) {
        ssize_t got = getrandom(buf, len, 0);

        if (got < 0 && errno != EINTR)
            rill__panic("the kernel has no random bytes: %s", rill_strerror(-errno));
        if (got > 0) {
            buf = (char *)buf + got;
            len -= (size_t)got;
        }
    }
}

/* sendfile raises SIGPIPE whatever the flags: it is blocked while the loop runs, and one that came
 * is taken off before the mask is restored, unless it was pending before. */
void
rill__linux_guard(rill__linux *self)
{
    sigset_t pipe_set;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_set, &self->signals); /* Fails on bad arguments only. */
    self->guarded = true;
}

void
rill__linux_unguard(rill__linux *self)
{
    struct timespec at_once = { 0 };
    sigset_t pipe_set;
    sigset_t pending;

    self->guarded = false;
    if (sigismember(&self->signals, SIGPIPE) == 1)
        return; /* The caller's own business. */
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
        (void)sigtimedwait(&pipe_set, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &self->signals, NULL);
}

static void
sys_run_begin(rill__driver *driver)
{
    rill__linux_guard((rill__linux *)driver);
}

static void
sys_run_end(rill__driver *driver)
{
    rill__linux_unguard((rill__linux *)driver);
}

static int
sys_public_fd(rill__driver *driver, int fd)
{
    (void)driver;
    return fd;
}

int
rill__linux_accept(int listener, int *ret_fd, rill_addr *ret_peer)
{
    socklen_t len = sizeof(ret_peer->storage);
    int fd = accept4(
        listener, (struct sockaddr *)(void *)ret_peer->storage, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    ret_peer->len = len;
    *ret_fd = fd;
    return 0;
}

const rill__sys_ops rill__sys_linux = {
    .plain = &rill__plain_linux,
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
    .processes = &rill__processes_linux,
};
