/*
 * Transports: one side of a connection, whatever carries it.
 *
 * The library owns them. A transport lives from connection_made until connection_lost has returned;
 * for anything longer keep its rill_transport_id. All functions are for the loop's thread and may
 * be called in every callback. A call on a transport that has ended is a bug that aborts with a
 * message while the library can still tell; close, abort, pause and resume are idempotent.
 */
#ifndef RILL_TRANSPORT_H
#define RILL_TRANSPORT_H

#include <rill/addr.h>
#include <rill/base.h>
#include <rill/error.h>
#include <rill/protocol.h>

RILL_BEGIN

/* Options of a connection's transport; given in the options of servers, connects and pairs, where
 * NULL means all defaults. In every field 0 means the default. */
typedef struct rill_transport_options {
    size_t size;           /* Set by RILL_TRANSPORT_OPTIONS or rill_transport_options_default. */
    size_t write_high;     /* Bytes; pause_writing above it. Default 64 KiB. */
    size_t write_low;      /* Bytes; resume_writing at or below it. Default write_high / 4. */
    size_t write_cap;      /* Bytes; RILL_EOVERFLOW above it. Default 16 MiB; never below high. */
    rill_ns idle_timeout;  /* RILL_EIDLE after no byte in or out for so long. Default RILL_NEVER. */
    rill_ns stall_timeout; /* RILL_ESTALLED when queued bytes do not move. Default RILL_NEVER. */
    rill_ns close_timeout; /* RILL_ECLOSETIMEOUT when close cannot flush. Default 30 s. */
    int nodelay;           /* TCP_NODELAY: on by default; -1 leaves it off. */
    int keepalive;         /* SO_KEEPALIVE: 1 on; off by default. */
    int keepalive_idle;    /* Seconds; kernel's default. */
    int keepalive_interval; /* Seconds; kernel's default. */
    int keepalive_count;    /* Probes; kernel's default. */
    int send_buffer;        /* SO_SNDBUF bytes; kernel's default. */
    int recv_buffer;        /* SO_RCVBUF bytes; kernel's default. */
    size_t descriptors;     /* Unix: how many may wait for rill_transport_take_descriptor, up to
                             * 65,536. Default 0: what a peer passes is closed unseen. */
} rill_transport_options;

#ifndef __cplusplus
#define RILL_TRANSPORT_OPTIONS(...) \
    ((rill_transport_options){ .size = sizeof(rill_transport_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_transport_options
rill_transport_options_default(void)
{
#ifdef __cplusplus
    rill_transport_options options = {};
#else
    rill_transport_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Send `len` bytes, which are copied or sent before the call returns. Inside a callback small
 * writes are gathered and leave in one system call when it returns; outside of one they leave at
 * once.
 *
 * Returns 1 while the stream wants more, 0 once its queue is above the high mark (pause_writing has
 * run); RILL_ECLOSED after close, abort or loss, RILL_EEOFSENT after write_eof, RILL_EBUSY while a
 * sendfile runs, RILL_EINVAL without data; on pipes (<rill/pipe.h>) RILL_ENOTSUP for a reading end
 * and -EPIPE when only the input is left. A failed send is told once, to connection_lost, not
 * here. Without memory for the queue the connection is lost with -ENOMEM. `len` 0 does nothing. May
 * run pause_writing before it returns; runs nothing else. asyncio: write.
 */
RILL_API int rill_transport_write(rill_transport *t, const void *data, size_t len);

typedef struct rill_iovec {
    const void *data;
    size_t len;
} rill_iovec;

/* As one write of the parts one after another. Returns as write; RILL_EINVAL for more than 1024
 * parts. asyncio: writelines. */
RILL_API int rill_transport_writev(rill_transport *t, const rill_iovec *parts, size_t count);

typedef void (*rill_release_fn)(void *arg);

/*
 * As write, without copying: the bytes stay untouched until `release(arg)` is called, once, when
 * the library is done with them; on the loop's thread, never inside this call. On an error it is
 * not called: a failing call has taken nothing. RILL_EINVAL also without `release`.
 */
RILL_API int rill_transport_write_ref(
    rill_transport *t, const void *data, size_t len, rill_release_fn release, void *arg);

/*
 * As write of `len` bytes, at least 1, with `count` descriptors, 1 to 253, that travel with the
 * first byte over a Unix stream. They stay yours: close them when you like, also at once. The peer
 * gets descriptors of its own for the same files, sockets and pipes (SCM_RIGHTS). With whom you
 * share a file you share its position and its O_NONBLOCK.
 *
 * Returns as write, and then also: RILL_ENOTSUP on other transports and, on the simulator, for
 * simulated descriptors; RILL_EINVAL for a wrong count or no bytes; -EBADF; -EMFILE or -ENFILE: the
 * write has to wait and there is no room for duplicates; -ETOOMANYREFS: too many are under way;
 * -ENOMEM. After these nothing was sent or queued. asyncio has no such call; sendmsg(2), unix(7).
 */
RILL_API int rill_transport_write_descriptors(
    rill_transport *t, const void *data, size_t len, const int *fds, size_t count);

/*
 * Take the first descriptor that the peer passed and nobody has taken yet. It is yours, and
 * close-on-exec. When data_received brings the byte that it came with, it is there; it may be there
 * earlier, not in another order. What is left when the connection has ended is closed after
 * connection_lost. How many may wait is the option `descriptors`: with more the connection is lost
 * with RILL_ELIMIT; with -EMFILE when this process can have no more.
 *
 * Returns the descriptor; -EAGAIN: there is none; RILL_ENOTSUP without that option or on another
 * kind of transport.
 */
RILL_API int rill_transport_take_descriptor(rill_transport *t);

/* Send FIN (or the transport's equivalent) once the queue is empty; reading goes on. Later writes
 * fail. Returns 0, also when called again; RILL_ECLOSED; RILL_EBUSY during a sendfile;
 * RILL_ENOTSUP. asyncio: write_eof. */
RILL_API int rill_transport_write_eof(rill_transport *t);
RILL_API bool rill_transport_can_write_eof(const rill_transport *t);

typedef void (*rill_done_fn)(void *arg, int rc);
typedef void (*rill_sendfile_fn)(void *arg, int rc, uint64_t sent);

/*
 * Send `count` bytes of file `fd` from `offset` after what is queued; `count` 0 means to the end of
 * the file. The descriptor stays the caller's and must stay open until `done(arg, rc, sent)`, which
 * runs once, never inside this call, before connection_lost: rc 0; RILL_EFILESHORT; RILL_ECANCELED
 * after rill_cancel; the reason's code when the connection was lost; -errno from reading the file.
 * The file's position is not used. Writing is refused with RILL_EBUSY meanwhile; reading goes on.
 *
 * Where the kernel cannot do it for the pair, the bytes are read in blocks of 64 KiB and written
 * under the transport's marks; `fallback` false refuses that.
 * Returns 0; RILL_ECLOSED, RILL_EEOFSENT, RILL_EBUSY; RILL_EINVAL for no regular file
 * or without `done`;
 * RILL_ENOSENDFILE; RILL_ENOTSUP; -ENOMEM. asyncio: loop.sendfile.
 */
RILL_API int rill_transport_sendfile_start(rill_transport *t, int fd, uint64_t offset,
    uint64_t count, bool fallback, rill_sendfile_fn done, void *arg, rill_id *ret_id);

/* Stop reading, flush the queue, then close: connection_lost(0) follows, RILL_ECLOSETIMEOUT when
 * the close timeout passes first. Input that has already arrived is discarded, so that the kernel
 * does not answer it with a reset which could destroy our last bytes. asyncio: close. */
RILL_API void rill_transport_close(rill_transport *t);

/* Drop the queue and close now; the peer sees a reset where there is one.
 * connection_lost(RILL_EABORTED) follows. asyncio: abort. */
RILL_API void rill_transport_abort(rill_transport *t);

/* As abort, for a reason of yours: connection_lost gets `code` (negative; else it becomes
 * RILL_EABORTED) and `sentence` (copied, cut to 111 bytes; NULL: the code's own). Does nothing when
 * already lost. */
RILL_API void rill_transport_fail(rill_transport *t, int code, const char *sentence);

/* True from close, abort or the loss on. asyncio: is_closing. */
RILL_API bool rill_transport_is_closing(const rill_transport *t);

/* No data_received and no eof_received until resume, from this moment on; bytes stay in the kernel
 * and the peer is slowed down. No-ops when closing. asyncio: pause_reading, resume_reading. */
RILL_API void rill_transport_pause_reading(rill_transport *t);
RILL_API void rill_transport_resume_reading(rill_transport *t);

/* False when paused, after EOF and when closing. asyncio: is_reading. */
RILL_API bool rill_transport_is_reading(const rill_transport *t);

/*
 * Set the marks in bytes; 0 for `low` means high / 4. `high` 0 pauses whenever bytes are queued.
 * Applies at once, in both directions. Returns 0; RILL_EINVAL for low > high or high above the cap.
 * May run pause_writing or resume_writing. asyncio: set_write_buffer_limits.
 */
RILL_API int rill_transport_set_write_limits(rill_transport *t, size_t high, size_t low);
RILL_API void
rill_transport_get_write_limits(const rill_transport *t, size_t *ret_high, size_t *ret_low);

/* The hard cap of the queue in bytes; above it the connection is lost with RILL_EOVERFLOW, and a
 * datagram is refused with it. Returns 0, or RILL_EINVAL below the high mark. */
RILL_API int rill_transport_set_write_cap(rill_transport *t, size_t cap);

/* Bytes written and not yet taken by the kernel. asyncio: get_write_buffer_size. */
RILL_API size_t rill_transport_write_buffer_size(const rill_transport *t);

/*
 * Call `done(arg, rc)` once at most `bytes_max` bytes are queued (0: when all are sent to the
 * kernel): rc 0; RILL_ETIMEDOUT after `timeout` (RILL_NEVER: none); the reason's code when the
 * connection is lost first. Never inside this call, before connection_lost; any number may wait.
 * `ret_id` may be NULL. Returns 0; RILL_ECLOSED after loss; RILL_EINVAL without `done` or
 * for another `timeout` that is not positive; -ENOMEM.
 * asyncio: StreamWriter.drain.
 */
RILL_API int rill_transport_drain_start(rill_transport *t, size_t bytes_max, rill_ns timeout,
    rill_done_fn done, void *arg, rill_id *ret_id);

/*
 * Hand the connection to another protocol: the next callback is the new one's, without a
 * connection_made. Its state is allocated here; the old one lives until the present callback
 * returns. Returns 0; RILL_EINVAL (a bad protocol); RILL_ECLOSED after loss; -ENOMEM. asyncio:
 * set_protocol.
 */
RILL_API int
rill_transport_set_protocol(rill_transport *t, const rill_protocol *protocol, void *arg);
RILL_API const rill_protocol *rill_transport_get_protocol(const rill_transport *t);

/* The protocol's state: what callbacks get as `self`. */
RILL_API void *rill_transport_state(const rill_transport *t);

/* The loop it lives on. */
RILL_API rill_loop *rill_transport_loop(const rill_transport *t);

/* The id, and back: NULL when that transport has ended, or is one of another loop. */
RILL_API rill_id rill_transport_id(const rill_transport *t);
RILL_API rill_transport *rill_transport_from_id(rill_loop *loop, rill_id id);

/* The addresses. peername is the one the connection was made with and can be asked in
 * connection_lost too; sockname asks the kernel: RILL_ECLOSED when the descriptor is gone. Return
 * 0; RILL_ENOTSUP without any; -errno. asyncio: get_extra_info("peername" / "sockname"). */
RILL_API int rill_transport_peername(const rill_transport *t, rill_addr *ret_addr);
RILL_API int rill_transport_sockname(const rill_transport *t, rill_addr *ret_addr);

/* The descriptor, borrowed: set options with it, never read, write or close. RILL_ENOTSUP when
 * there is none (pairs, the simulator), RILL_ECLOSED when it is gone. */
RILL_API int rill_transport_fd(const rill_transport *t);

/*
 * Take the connected socket out of the loop, to give it to another one
 * (rill_connect_accepted_socket there, told by rill_call_soon_threadsafe) or to another process. It
 * must be quiescent: not closing, nothing queued (rill_transport_drain_start with 0 tells when), no
 * sendfile. connection_lost(RILL_EDETACHED) follows; a half close of either side stays with the
 * socket.
 *
 * Bytes that the loop has received and not delivered yet go to `buf`, at most `size`, and
 * `ret_len` says how many: they come before what the socket delivers next. On epoll there never are
 * any; on io_uring what one turn brought.
 *
 * Returns the descriptor, which is yours, non-blocking and close-on-exec; RILL_EINVAL without
 * `ret_len` or with a size and no buffer; RILL_EBUSY when it is not quiescent; RILL_ELIMIT when
 * there are more bytes than `size`; RILL_ECLOSED; RILL_ENOTSUP for pairs, filters and on the
 * simulator; the error that the connection is about to be lost with. After an error the transport
 * is as before. Runs no callback but pause_writing.
 */
RILL_API int rill_transport_detach(rill_transport *t, void *buf, size_t size, size_t *ret_len);

typedef struct rill_credentials {
    int64_t pid, uid, gid;
} rill_credentials;

/* The peer of a Unix socket as it was at connect. Returns 0; RILL_ENOTSUP; RILL_ECLOSED; -errno. */
RILL_API int rill_transport_credentials(const rill_transport *t, rill_credentials *ret_peer);

typedef struct rill_tcp_info {
    size_t size; /* Set it to sizeof(rill_tcp_info) before the call. */
    uint32_t state;
    uint32_t rtt_us, rtt_variance_us;
    uint32_t congestion_window; /* Segments. */
    uint32_t unacked;           /* Segments. */
    uint32_t retransmits_total;
    uint32_t send_mss, receive_mss;
} rill_tcp_info;

/* The kernel's TCP_INFO. Returns 0; RILL_EINVAL without a size; RILL_ENOTSUP; RILL_ECLOSED;
 * -errno. */
RILL_API int rill_transport_tcp_info(const rill_transport *t, rill_tcp_info *ret_info);

typedef enum rill_option {
    RILL_OPTION_NODELAY,            /* 0 or 1 */
    RILL_OPTION_KEEPALIVE,          /* 0 or 1 */
    RILL_OPTION_KEEPALIVE_IDLE,     /* seconds */
    RILL_OPTION_KEEPALIVE_INTERVAL, /* seconds */
    RILL_OPTION_KEEPALIVE_COUNT,
    RILL_OPTION_LINGER,      /* seconds; -1 off */
    RILL_OPTION_SEND_BUFFER, /* bytes; the kernel doubles what is set */
    RILL_OPTION_RECV_BUFFER, /* bytes */
    /* Of datagrams over IP, see <rill/datagram.h>: */
    RILL_OPTION_BROADCAST,          /* 0 or 1 */
    RILL_OPTION_TTL,                /* 1..255; the hop limit of IPv6 */
    RILL_OPTION_TOS,                /* 0..255, ECN in the low two bits; IPv6's traffic class */
    RILL_OPTION_MULTICAST_TTL,      /* 0..255; 0: not beyond this machine */
    RILL_OPTION_MULTICAST_LOOP,     /* 0 or 1: does this machine get what it sends? */
    RILL_OPTION_MULTICAST_INTERFACE /* its index; 0: the kernel's choice, also until it is set */
} rill_option;

/* Set or read a socket option. Returns 0; RILL_ENOTSUP for another kind of transport; RILL_ECLOSED;
 * RILL_EINVAL for an unknown option or a value out of its range; -errno. */
RILL_API int rill_transport_set_option(rill_transport *t, rill_option option, int value);
RILL_API int rill_transport_get_option(const rill_transport *t, rill_option option, int *ret_value);

typedef enum rill_timeout {
    RILL_TIMEOUT_IDLE,
    RILL_TIMEOUT_STALL,
    RILL_TIMEOUT_CLOSE
} rill_timeout;

/* Change a timeout of this connection; RILL_NEVER switches it off. Counts from now. Returns 0;
 * RILL_EINVAL for 0, another negative value or an unknown timeout; RILL_ENOTSUP; -ENOMEM. */
RILL_API int rill_transport_set_timeout(rill_transport *t, rill_timeout which, rill_ns value);

typedef struct rill_transport_info {
    size_t size;         /* Set it to sizeof(rill_transport_info) before the call. */
    const char *kind;    /* "tcp", "unix", "pair", "read pipe", "write pipe", "pipes", "udp",
                            "unix-datagram", or the name of your own. Static text. */
    const char *site;    /* Where it was made. Static text. */
    uint64_t bytes_in;   /* Delivered to the protocol. */
    uint64_t bytes_out;  /* Taken by the kernel (or the layer below). */
    rill_server *server; /* That accepted it, or NULL. */
} rill_transport_info;

/* Fill in `ret_info` up to its size. */
RILL_API void rill_transport_get_info(const rill_transport *t, rill_transport_info *ret_info);

/* For logs: "<tcp 127.0.0.1:80 -> 127.0.0.1:5000 open reading write=idle queued=0>"; "silent" when
 * it does not read. Cuts to `size` and returns `buf`. asyncio: repr(transport). */
RILL_API char *rill_transport_describe(const rill_transport *t, char *buf, size_t size);

RILL_END

#endif
