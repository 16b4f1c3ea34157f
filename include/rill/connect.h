/*
 * Making connections: to an address, over a descriptor that exists already, or in memory.
 */
#ifndef RILL_CONNECT_H
#define RILL_CONNECT_H

#include <rill/transport.h>

RILL_BEGIN

/* Called with the new socket before bind or connect (and, in servers, before bind): set any option
 * the library does not know. Not 0 refuses the socket with that code. `fd` is -1 on the
 * simulator. */
typedef int (*rill_socket_hook)(int fd, void *arg);

typedef struct rill_connect_options {
    size_t size;            /* Set by RILL_CONNECT_OPTIONS or rill_connect_options_default. */
    const char *host;       /* "127.0.0.1", "::1", "fe80::1%eth0" or "localhost". With `port`. */
    int port;               /* 1..65535 */
    const char *path;       /* Unix socket instead: a path, or '@' and an abstract name. */
    const rill_addr *addr;  /* Or an address. Exactly one of host, path and addr. */
    rill_family family;     /* Only addresses of this family; default any. */
    const char *local_host; /* Numeric address to bind first, or NULL. */
    int local_port;         /* 0: any. */
    rill_ns timeout;        /* Over the whole; RILL_ETIMEDOUT. Default 30 s. */
    rill_socket_hook socket_hook;
    void *socket_hook_arg;
    const rill_transport_options *transport; /* Copied. NULL: defaults. */
} rill_connect_options;

#ifndef __cplusplus
#define RILL_CONNECT_OPTIONS(...) \
    ((rill_connect_options){ .size = sizeof(rill_connect_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_connect_options
rill_connect_options_default(void)
{
#ifdef __cplusplus
    rill_connect_options options = {};
#else
    rill_connect_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * How a connect ended. With `t` set, connection_made has just run and `why->code` is 0. With `t`
 * NULL nothing of the protocol was called, and `why` tells what failed, with every address tried:
 * "connect to localhost:7: [::1]:7: Connection refused; 127.0.0.1:7: Connection refused".
 */
typedef void (*rill_connected_fn)(void *arg, rill_transport *t, const rill_reason *why);

/*
 * Connect, and give the connection to `protocol` (borrowed for good: static const) with `arg`.
 * `done` may be NULL: then a failure is told to nobody. It runs once, never inside this call,
 * unless rill_cancel(loop, id) returned true. Addresses of "localhost" are tried one after another.
 * Strings in `options` are copied.
 *
 * Returns 0; RILL_EINVAL (no size, no or several targets, a port out of range, a negative timeout,
 * a bad protocol or bad options of the transport); RILL_ECLOSED in rill_loop_free; RILL_EADDRESS;
 * -ENOMEM; rill_loop_last_error has the sentence. Errors of the kernel reach `done`: -ECONNREFUSED,
 * -ENOENT, -EADDRINUSE, -EMFILE..., RILL_ETIMEDOUT. asyncio: create_connection,
 * create_unix_connection.
 */
#define rill_create_connection_start(loop, options, protocol, arg, done, done_arg, ret_id) \
    rill_create_connection_start_site(                                                     \
        loop, options, protocol, arg, done, done_arg, RILL_SITE("connection"), ret_id)
RILL_API int rill_create_connection_start_site(rill_loop *loop, const rill_connect_options *options,
    const rill_protocol *protocol, void *arg, rill_connected_fn done, void *done_arg,
    const char *site, rill_id *ret_id);

/*
 * Adopt a connected stream socket (TCP or Unix; accepted, inherited or from socketpair). It is made
 * non-blocking and close-on-exec and belongs to the library from success on. connection_made
 * follows in the next turn. `options` and `ret_transport` may be NULL. Returns 0; RILL_EINVAL when
 * `fd` is no connected stream socket, for bad options and a bad protocol; -EEXIST when a transport
 * owns it; RILL_ENOTSUP on the simulator; -errno; -ENOMEM. asyncio: connect_accepted_socket.
 */
#define rill_connect_accepted_socket(loop, fd, options, protocol, arg, ret_transport) \
    rill_connect_accepted_socket_site(                                                \
        loop, fd, options, protocol, arg, RILL_SITE("connection"), ret_transport)
RILL_API int
rill_connect_accepted_socket_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/*
 * Two transports of kind "pair", connected to each other in memory: what one writes the other
 * receives, with the flow control, half close, close and abort of a socket and no system call.
 * connection_made of `a`, then of `b`, follow in the next turn. `options` may be NULL and holds for
 * both. `ret_a` and `ret_b` may be NULL. Returns 0; RILL_EINVAL (bad options, a bad protocol);
 * RILL_ECLOSED in rill_loop_free; -ENOMEM.
 */
#define rill_create_pair(loop, options, protocol_a, arg_a, protocol_b, arg_b, ret_a, ret_b) \
    rill_create_pair_site(                                                                  \
        loop, options, protocol_a, arg_a, protocol_b, arg_b, RILL_SITE("pair"), ret_a, ret_b)
RILL_API int rill_create_pair_site(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol_a, void *arg_a, const rill_protocol *protocol_b, void *arg_b,
    const char *site, rill_transport **ret_a, rill_transport **ret_b);

RILL_END

#endif
