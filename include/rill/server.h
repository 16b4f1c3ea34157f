/*
 * Servers: listening sockets which make a transport of every connection.
 */
#ifndef RILL_SERVER_H
#define RILL_SERVER_H

#include <rill/connect.h>
#include <rill/transport.h>

RILL_BEGIN

typedef void (*rill_server_fn)(rill_server *server, void *arg);

typedef struct rill_server_options {
    size_t size; /* Set by RILL_SERVER_OPTIONS or rill_server_options_default. */

    /* Where to listen; exactly one of the five, or none with no_socket. */
    const char *host; /* Numeric, "localhost" (both families), "" or "*" (all interfaces). */
    const char *const *hosts; /* Several of them, NULL at the end; duplicates are bound once. */
    const char *path;         /* Unix socket: a path, or '@' and an abstract name. */
    const rill_addr *addr;
    const int *fds; /* Listening or bound stream sockets, inherited: owned on success. */

    size_t fds_count;
    int port;               /* For host and hosts; 0: any, the same for all of them. */
    rill_family family;     /* Only addresses of this family. */
    int backlog;            /* listen(2); default 128. */
    int accepts_per_turn;   /* At most, for each listening socket; default 64. */
    int no_reuse_address;   /* 1: no SO_REUSEADDR. */
    int reuse_port;         /* 1: SO_REUSEPORT, to share a port between loops or processes. */
    int dual_stack;         /* 1: an IPv6 socket takes IPv4 too; default IPV6_V6ONLY. */
    int start_paused;       /* 1: bind only; listen with rill_server_start_serving. */
    int unix_mode;          /* chmod of the path, 0600 for example; default by the umask. */
    int keep_path;          /* 1: leave the path there when closing. */
    size_t connections_max; /* Alive at once; the rest waits in the backlog. 0: no limit. */
    size_t connections_per_peer_max; /* Per peer IP address; more are closed. 0: no limit. */
    rill_socket_hook socket_hook;    /* Each listening socket, before bind. */
    void *socket_hook_arg;
    const rill_transport_options *transport; /* For each connection. Copied. NULL: defaults. */

    /* The server is closed and its last connection has gone: the pointer ends with this call. */
    rill_server_fn closed;
    void *closed_arg;

    int no_socket; /* 1: it has no socket; its connections come from rill_server_adopt. */
} rill_server_options;

#ifndef __cplusplus
#define RILL_SERVER_OPTIONS(...) \
    ((rill_server_options){ .size = sizeof(rill_server_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_server_options
rill_server_options_default(void)
{
#ifdef __cplusplus
    rill_server_options options = {};
#else
    rill_server_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Bind and listen; every connection gets `protocol` (borrowed for good: static const) with `arg`.
 * Accepting survives a lack of descriptors or memory: the listener rests for 100 ms at a time, the
 * error handler hears of it once an episode, and who waits in the backlog is served when it is
 * over.
 *
 * `ret_server` may be NULL. The server lives until it is closed and its last connection has gone.
 * Returns 0; RILL_EINVAL (no size, no or several places, a port or another number out of range, a
 * bad protocol, a descriptor that is no stream socket); RILL_ENOTSUP for descriptors on the
 * simulator; RILL_ECLOSED in rill_loop_free; RILL_EADDRESS; -EADDRINUSE, -EACCES, -EADDRNOTAVAIL...
 * from bind or listen, -EADDRINUSE also for a path that is no socket or one somebody still listens
 * on; -ENOMEM. Nothing stays open on failure, and rill_loop_last_error has the sentence. Runs no
 * callback. asyncio: create_server, create_unix_server.
 */
#define rill_create_server(loop, options, protocol, arg, ret_server) \
    rill_create_server_site(loop, options, protocol, arg, RILL_SITE("server"), ret_server)
RILL_API int rill_create_server_site(rill_loop *loop, const rill_server_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_server **ret_server);

/* Listen, after start_paused. Idempotent. Returns 0; RILL_ECLOSED; -errno. asyncio:
 * start_serving. */
RILL_API int rill_server_start_serving(rill_server *server);
RILL_API bool rill_server_is_serving(const rill_server *server);

/*
 * Take a connected stream socket (TCP or Unix) as a connection of this server, as if it had been
 * accepted here: the protocol, the options, the limits, the drain and the numbers are the server's.
 * The server may have sockets of its own or none (no_socket). The descriptor is made non-blocking
 * and close-on-exec and belongs to the library on success only; connection_made follows in the next
 * turn. Returns 0; RILL_ECLOSED when the server is closed; RILL_ELIMIT at connections_max or
 * connections_per_peer_max; RILL_EINVAL when `fd` is no connected stream socket; -EEXIST when a
 * transport owns it; RILL_ENOTSUP on the simulator; -errno; -ENOMEM. Runs no callback.
 */
RILL_API int rill_server_adopt(rill_server *server, int fd);

/* Close the listening sockets and remove the path if it is still ours; connections stay. Clients in
 * the kernel's backlog are accepted first (at most 1024 a socket, or the backlog
 * where that is more). Idempotent. asyncio: close. */
RILL_API void rill_server_close(rill_server *server);

/* Close or abort every connection of the server; it goes on serving. asyncio: close_clients,
 * abort_clients. */
RILL_API void rill_server_close_clients(rill_server *server);
RILL_API void rill_server_abort_clients(rill_server *server);

typedef void (*rill_drained_fn)(void *arg, size_t aborted);

/*
 * Close the server and let its connections end by themselves; those left after `timeout`
 * (RILL_NEVER: none) are aborted. Then `done(arg, aborted)` with their number, once, never inside
 * this call, before `closed`. Tell your connections to finish yourself (rill_server_each).
 * Returns 0; RILL_EBUSY when already draining; RILL_EINVAL without `done` or for another negative
 * `timeout`.
 * asyncio: close, then wait_closed.
 */
RILL_API int
rill_server_drain_start(rill_server *server, rill_ns timeout, rill_drained_fn done, void *arg);

/* Call `fn` for every connection that is alive; it may close or abort any of them. */
RILL_API void
rill_server_each(rill_server *server, void (*fn)(rill_transport *t, void *arg), void *arg);

/* The listening sockets in the order of the hosts; none once closed. sockname returns 0, fd the
 * descriptor, borrowed, or RILL_ENOTSUP on the simulator; both RILL_EINVAL for an index out of
 * range. asyncio: sockets. */
RILL_API size_t rill_server_socket_count(const rill_server *server);
RILL_API int rill_server_sockname(const rill_server *server, size_t index, rill_addr *ret_addr);
RILL_API int rill_server_fd(const rill_server *server, size_t index);

/* "127.0.0.1:8080, [::1]:8080": the addresses, for a log. Cuts to `size` and returns `buf`. */
RILL_API char *rill_server_describe(const rill_server *server, char *buf, size_t size);

/* The loop it lives on. */
RILL_API rill_loop *rill_server_loop(const rill_server *server);

typedef struct rill_server_stats {
    size_t size;        /* Set it to sizeof(rill_server_stats) before the call. */
    size_t live;        /* Connections now. */
    uint64_t accepted;  /* Ever. */
    uint64_t refused;   /* Closed for connections_per_peer_max. */
    uint64_t failed;    /* Accepted, but lost before connection_made for want of memory. */
    uint64_t exhausted; /* Episodes without descriptors or memory. */
} rill_server_stats;

/* Fill in `ret_stats` up to its size. */
RILL_API void rill_server_get_stats(const rill_server *server, rill_server_stats *ret_stats);

RILL_END

#endif
