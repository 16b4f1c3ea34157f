/*
 * Datagrams: UDP over IPv4 and IPv6, and Unix datagram sockets.
 *
 * An endpoint is a transport like any other (ids, close, abort, marks, options, names), of kind
 * "udp" or "unix-datagram", with a protocol of its own. What it sends and receives are whole
 * datagrams, never split and never merged; they may be lost, doubled or overtake each other on the
 * way. A callback's datagrams leave together when it returns, and what has arrived is taken many at
 * a time, both in as few system calls as the kernel allows.
 *
 *     static void echo(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
 *     {
 *         rill_transport_sendto(t, in.data, in.len, arrival->from);
 *     }
 *     static const rill_datagram_protocol protocol =
 *         RILL_DATAGRAM_PROTOCOL(.datagram_received = echo);
 *
 * Of the other functions for transports, those for streams answer RILL_ENOTSUP: write, writev,
 * write_ref, write_eof, sendfile, detach; set_protocol has a form of its own here.
 */
#ifndef RILL_DATAGRAM_H
#define RILL_DATAGRAM_H

#include <rill/connect.h>
#include <rill/task.h>
#include <rill/transport.h>

RILL_BEGIN

/* What came with a datagram. All of it is borrowed for the callback. */
typedef struct rill_arrival {
    const rill_addr *from; /* The sender; "unix:" or "none" for a Unix socket without a name. */
    bool truncated;        /* It was longer: receive_max. */
    /* With the option `details`, where the kernel tells: */
    const rill_addr *to; /* The address it was sent to, without a port; NULL: not known. */
    uint32_t interface;  /* The index of the interface it came in by; 0: not known. */
    int tos;             /* Type of service or traffic class, ECN in the low two bits; -1. */
} rill_arrival;

/*
 * The callbacks come in this order, checked by the library:
 *
 *     connection_made (datagram_received | error_received | pause_writing | resume_writing)*
 *     connection_lost
 *
 * What <rill/protocol.h> says of callbacks holds here, too.
 */
typedef struct rill_datagram_protocol {
    size_t size; /* Set by RILL_DATAGRAM_PROTOCOL or rill_datagram_protocol_default. */

    /* Bytes of state for each endpoint: zeroed, aligned to 16, `self` of every callback, freed
     * after connection_lost. With 0, `self` is the `arg` that was given with the protocol. */
    size_t state_size;

    void (*connection_made)(rill_transport *t, void *self, void *arg);

    /* One datagram; `in.len` may be 0. Both are borrowed for the call. */
    void (*datagram_received)(
        rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival);

    /* A datagram could not be sent, or the network answered one that was: -ECONNREFUSED,
     * -EHOSTUNREACH, -EMSGSIZE, -EPERM... The endpoint lives on. Never inside a call of yours. */
    void (*error_received)(rill_transport *t, void *self, int code);

    /* More than the high mark is queued: send nothing more until resume_writing. Each queued
     * datagram counts RILL_DATAGRAM_OVERHEAD bytes more than it has. */
    void (*pause_writing)(rill_transport *t, void *self);
    void (*resume_writing)(rill_transport *t, void *self);

    /* The end. The code is 0 after close, RILL_EABORTED after abort. */
    void (*connection_lost)(rill_transport *t, void *self, const rill_reason *why);
} rill_datagram_protocol;

#ifndef __cplusplus
#define RILL_DATAGRAM_PROTOCOL(...)                         \
    {                                                       \
        .size = sizeof(rill_datagram_protocol), __VA_ARGS__ \
    }
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_datagram_protocol
rill_datagram_protocol_default(void)
{
#ifdef __cplusplus
    rill_datagram_protocol protocol = {};
#else
    rill_datagram_protocol protocol = { 0 };
#endif
    protocol.size = sizeof(protocol);
    return protocol;
}

/* What a queued datagram counts beside its bytes, so that empty ones fill a queue, too. */
#define RILL_DATAGRAM_OVERHEAD 8

typedef struct rill_datagram_options {
    size_t size; /* Set by RILL_DATAGRAM_OPTIONS or rill_datagram_options_default. */

    /* Where to bind; at most one of the three. Nothing: the kernel chooses when it is needed. */
    const char *local_host;      /* Numeric, "localhost", or "" for the wildcard. */
    int local_port;              /* With local_host; 0: any. */
    const char *local_path;      /* Unix: a path, or '@' and an abstract name. */
    const rill_addr *local_addr; /* Or an address. */

    /* Where to send to; at most one of the three. The socket is connected: only datagrams from
     * there arrive, and the network's errors are told. */
    const char *host; /* Numeric or "localhost". */
    int port;         /* With host: 1..65535 */
    const char *path;
    const rill_addr *addr;

    rill_family family; /* Needed without any address; else only addresses of this family. */
    bool unconnected;   /* The remote address is only where to send to by default. */
    bool broadcast;     /* SO_BROADCAST; the socket is not connected then. */
    bool reuse_port;    /* SO_REUSEPORT: several sockets on one port, for multicast, too. */
    bool dual_stack;    /* A socket of IPv6 does IPv4 as well. */
    bool details;       /* Fill in all of rill_arrival. */
    bool keep_path;     /* Leave the socket file of local_path at the end. */
    size_t receive_max; /* Bytes of a datagram; longer ones are truncated. Default 64 KiB: none of
                           UDP is longer. At most 1 MiB. */
    rill_socket_hook socket_hook; /* Before bind. */
    void *socket_hook_arg;
    const rill_transport_options *transport; /* Copied: marks, cap, close_timeout, buffers. */
} rill_datagram_options;

#ifndef __cplusplus
#define RILL_DATAGRAM_OPTIONS(...) \
    ((rill_datagram_options){ .size = sizeof(rill_datagram_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_datagram_options
rill_datagram_options_default(void)
{
#ifdef __cplusplus
    rill_datagram_options options = {};
#else
    rill_datagram_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Make an endpoint and give it to `protocol` (borrowed for good: static const) with `arg`. It is
 * bound and connected when this returns; connection_made follows in the next turn. A local and a
 * remote host with several addresses are paired by family and tried in order; the first error is
 * told. A socket file that nobody has open is removed before binding, one of our own at the end.
 * Strings in `options` are copied. `ret_transport` may be NULL.
 *
 * Returns 0; RILL_EINVAL (no size, contradicting addresses, a port out of range, no address and no
 * family, options of streams, a bad protocol); RILL_EADDRESS (no numeric host, or no pair of local
 * and remote address of one family); -EADDRINUSE, -EADDRNOTAVAIL, -ENETUNREACH, -ECONNREFUSED and
 * -ENOENT (a Unix path), -EMFILE and other errors of the kernel; RILL_ECLOSED in rill_loop_free;
 * -ENOMEM; rill_loop_last_error has the sentence. Runs no callback but the socket hook. asyncio:
 * create_datagram_endpoint.
 */
#define rill_create_datagram_endpoint(loop, options, protocol, arg, ret_transport) \
    rill_create_datagram_endpoint_site(                                            \
        loop, options, protocol, arg, RILL_SITE("datagrams"), ret_transport)
RILL_API int rill_create_datagram_endpoint_site(rill_loop *loop,
    const rill_datagram_options *options, const rill_datagram_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport);

/*
 * The same over a datagram socket that exists already (inherited, or from socketpair). It is made
 * non-blocking and close-on-exec and belongs to the library from success on. Of `options`, which
 * may be NULL, only details, receive_max and transport may be set. Returns as above; RILL_EINVAL
 * when `fd` is no datagram socket, and for other options; -EEXIST when a transport owns it;
 * RILL_ENOTSUP on the simulator. asyncio: create_datagram_endpoint(sock).
 */
#define rill_adopt_datagram_socket(loop, fd, options, protocol, arg, ret_transport) \
    rill_adopt_datagram_socket_site(                                                \
        loop, fd, options, protocol, arg, RILL_SITE("datagrams"), ret_transport)
RILL_API int rill_adopt_datagram_socket_site(rill_loop *loop, int fd,
    const rill_datagram_options *options, const rill_datagram_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport);

/*
 * Send one datagram; `len` 0 sends an empty one. It is copied or sent before the call returns:
 * inside a callback at the callback's end, with the others, outside of one at once. What the kernel
 * has no room for is queued. `to` NULL: the endpoint's remote address.
 *
 * Returns 1 while more is welcome, 0 above the high mark (pause_writing has run); RILL_ECLOSED
 * after close, abort or loss; RILL_EINVAL without data, or for another `to` than the remote
 * address; -EDESTADDRREQ without any destination; -EAFNOSUPPORT for an address of another family;
 * -EMSGSIZE above 65535 bytes on UDP; RILL_EOVERFLOW when the queue would pass its cap, -ENOMEM
 * without memory for it: then, as after every error, this datagram is dropped and nothing else has
 * changed; RILL_ENOTSUP for a stream. What goes wrong later is told to error_received. May run
 * pause_writing before it returns; runs nothing else. asyncio: sendto.
 */
RILL_API int
rill_transport_sendto(rill_transport *t, const void *data, size_t len, const rill_addr *to);

/*
 * Become a member of a multicast group, or leave it. `group` is a numeric multicast address;
 * `source` one that alone is listened to (RFC 4607), or NULL: all. `interface` is a name, "eth0",
 * or NULL: the kernel's choice. What is sent to the group and to the port that the endpoint is
 * bound to arrives. Returns 0; RILL_EADDRESS (no multicast address, no such interface);
 * RILL_EINVAL for another family than the endpoint's; RILL_ECLOSED; RILL_ENOTSUP for what is no
 * UDP; -EADDRINUSE when it is a member already, -EADDRNOTAVAIL when it is none, -ENODEV, -ENOBUFS
 * and other errors of the kernel.
 */
RILL_API int rill_transport_join(
    rill_transport *t, const char *group, const char *source, const char *interface);
RILL_API int rill_transport_leave(
    rill_transport *t, const char *group, const char *source, const char *interface);

/* As rill_transport_set_protocol: the next callback is the new one's, without a connection_made,
 * for datagrams that came together with the present one, too. Returns 0; RILL_EINVAL (a bad
 * protocol); RILL_ENOTSUP for a stream; RILL_ECLOSED after loss; -ENOMEM. asyncio: set_protocol. */
RILL_API int rill_transport_set_datagram_protocol(
    rill_transport *t, const rill_datagram_protocol *protocol, void *arg);

typedef struct rill_datagram_stats {
    size_t size;              /* Set it to sizeof(rill_datagram_stats) before the call. */
    uint64_t received;        /* Datagrams delivered. */
    uint64_t truncated;       /* Of these, cut to receive_max. */
    uint64_t sent;            /* Datagrams the kernel took. */
    uint64_t errors;          /* Told to error_received, or waiting to be told. */
    uint64_t dropped;         /* Not sent: refused at the cap, or without memory. */
    uint64_t receives, sends; /* System calls that brought or took datagrams. */
    size_t queued;            /* Datagrams in the queue now. */
    bool connected;           /* To its remote address. */
} rill_datagram_stats;

/* Fill in `ret_stats` up to its size. Returns 0; RILL_EINVAL; RILL_ENOTSUP for a stream. */
RILL_API int
rill_transport_get_datagram_stats(const rill_transport *t, rill_datagram_stats *ret_stats);

/* ---- for tasks ---- */

/*
 * A datagram socket for tasks, which receive and send as if the calls blocked.
 *
 *     RILL_TRY(rill_datagram_open(&RILL_DATAGRAM_OPTIONS(.host = "192.0.2.1", .port = 123), &d));
 *     rc = rill_datagram_send(d, question, sizeof(question), NULL);
 *     n = rill_datagram_recv(d, answer, sizeof(answer), NULL);
 *
 * What arrives while nobody receives waits in a queue with an end: what comes then is dropped and
 * counted. How long a call may take is said by a scope around it. A canceled recv takes no
 * datagram, a canceled send has sent none. All functions are for the loop's thread.
 */
typedef struct rill_datagram rill_datagram;

/* Of one datagram that was received; as rill_arrival, by value. */
typedef struct rill_received {
    rill_addr from;
    rill_addr to; /* Zeroed when it is not known. */
    uint32_t interface;
    int tos;
    bool truncated; /* To receive_max or to the caller's buffer. */
} rill_received;

/* The queue: so many datagrams, and bytes with RILL_DATAGRAM_OVERHEAD for each. */
#define RILL_DATAGRAM_QUEUE_MAX   256
#define RILL_DATAGRAM_QUEUE_BYTES ((size_t)1024 * 1024)

/*
 * Make one, as rill_create_datagram_endpoint does; does not wait. It is the caller's until
 * rill_datagram_close. In a task. Returns as that; RILL_ENOTASK elsewhere. asyncio has streams
 * alone.
 */
#define rill_datagram_open(options, ret_datagram) \
    rill_datagram_open_site(options, RILL_SITE("datagrams"), ret_datagram)
RILL_API RILL_MUST_CHECK int rill_datagram_open_site(
    const rill_datagram_options *options, const char *site, rill_datagram **ret_datagram);

/*
 * Wait for a datagram and copy up to `cap` bytes of it to `buf`; several tasks get one each, in the
 * order in which they came. `ret_received` may be NULL. A task's. Returns how many bytes, 0 for an
 * empty one; an error of the network, once, after which to go on: -ECONNREFUSED, -EHOSTUNREACH...;
 * RILL_ECLOSED after close, or what the endpoint was lost with; RILL_ECANCELED; RILL_ENOTASK;
 * RILL_EWRONGLOOP; RILL_EINVAL without `buf`.
 */
RILL_API RILL_MUST_CHECK int64_t rill_datagram_recv(
    rill_datagram *datagram, void *buf, size_t cap, rill_received *ret_received);

/*
 * Send one datagram, when the queue is below its high mark. A task's. Returns 0; else as
 * rill_transport_sendto, or as recv for the end and for tasks. An error that shows later is told to
 * a recv.
 */
RILL_API RILL_MUST_CHECK int
rill_datagram_send(rill_datagram *datagram, const void *data, size_t len, const rill_addr *to);

/* The transport, for groups, options, names and counters; NULL when it is lost. Its protocol is the
 * library's. */
RILL_API rill_transport *rill_datagram_transport(const rill_datagram *datagram);

/* How many wait to be received, and how many were dropped so far for lack of room or memory. */
RILL_API size_t rill_datagram_waiting(const rill_datagram *datagram);
RILL_API uint64_t rill_datagram_dropped(const rill_datagram *datagram);

/* The end, in a canceled task, too: what is queued is still sent, tasks that wait get RILL_ECLOSED,
 * and `datagram` is no more. NULL is ignored. */
RILL_API void rill_datagram_close(rill_datagram *datagram);

RILL_END

#endif
