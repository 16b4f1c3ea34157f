/*
 * The driver seam: the only floor that meets the kernel. Two tables: rill__driver_ops, operations
 * that may wait, and rill__sys_ops, synchronous services. Nothing above knows which driver runs.
 *
 * The contract, asserted by the loop and tested by one conformance suite on every driver:
 *
 * 1. wait() runs no code of the floors above: it appends records (rill__op) to the loop's ready
 *    list. The loop dispatches a record by calling op->fn, and its owner then *takes* the result:
 *    bytes with recv_take or recv_into, a descriptor with accept_take, the outcome of a connect,
 *    send or sendfile with finish. Bytes move at the take, so one hot buffer serves all
 *    connections, and a pause made earlier in the same turn holds.
 * 2. Inbound (bytes, connections, readiness) is a subscription: subscribe once, then any number of
 *    recv records until close. Level-triggered in effect: as long as something is there and the
 *    subscription is not paused, another record follows. Spurious records are allowed; the take
 *    then says -EAGAIN. pause and resume are cheap, idempotent and absolute: no take while paused.
 *    What a completion driver already holds waits in the driver, for the resume or for close.
 * 3. Outbound (connect_start, send_start, sendfile_start) is one operation at a time per io. Every
 *    start that returned 0 gets exactly one FINAL: the first finish() that is not -EAGAIN. Memory
 *    given to the start stays untouched by the owner until then. send_now never waits and leaves
 *    nothing behind; send_soon may leave bytes with the driver that come back. Starts never queue
 *    a record inside a take or a start in a way that runs code: records only run from the loop.
 * 4. cancel(io) ends the outbound operation early: its FINAL still comes, with RILL_ECANCELED or
 *    with the result it had before.
 * 5. close(io) ends everything at once: no record of this io but io->close is dispatched
 *    afterwards, operations in flight lose their FINAL to it, and the descriptor is gone when
 *    io->close runs, not always when close() returns. After that record the owner may reuse all
 *    memory.
 * 6. Results are 0 or positive, -errno, or codes of rill/error.h. Each driver translates in one
 *    place.
 * 7. Same seed and same inputs give the same order of records: no order by address or wall time.
 *
 * Threads: everything on the loop's thread, except wake.
 */
#ifndef RILL__DRIVER_H
#define RILL__DRIVER_H

#include <rill/addr.h>
#include <rill/base.h>
#include <rill/connect.h>
#include <rill/error.h>
#include <rill/memory.h>
#include <rill/transport.h>

/* A node of the loop's ready list. It is on the list while `queued`; `next` is meaningless then and
 * otherwise. `run` is called by the loop after it was taken off the list. */
typedef struct rill__ready rill__ready;
struct rill__ready {
    rill__ready *next;
    void (*run)(rill__ready *self);
};

/* One record. `fn` is set once by the io's owner. */
typedef struct rill__op rill__op;
typedef void (*rill__op_fn)(rill__op *op);

struct rill__op {
    rill__ready ready;
    rill__op_fn fn;
    bool queued;    /* On the ready list; the loop clears it before fn. */
    bool active;    /* The driver's: subscribed, or an operation is in flight. */
    bool paused;    /* recv only. */
    bool discarded; /* Cleared of its meaning by close: dispatch skips fn. */
    uint8_t kind;   /* send only, the driver's: what is in flight. */
    uint8_t pipe;   /* recv only, of a pipe: RILL__PIPE_*, set before attach. */
};

typedef enum rill__io_kind {
    RILL__IO_STREAM,   /* Connected or connecting stream socket. */
    RILL__IO_LISTENER, /* recv records mean: accept_take. */
    RILL__IO_POLL,     /* A foreign descriptor: recv records mean readable, send ones writable. */
    RILL__IO_PIPE,     /* One end of a pipe, or what is used like one. */
    RILL__IO_RIGHTS,   /* A Unix stream socket that is read by rights->recv. */
    RILL__IO_DGRAM,    /* A datagram socket: see rill__dgram_ops. */
    RILL__IO_CHILD     /* A child process: a recv record means that it has ended (child.h). */
} rill__io_kind;

/* What the end of a pipe is. */
enum {
    RILL__PIPE_WRITES = 1,   /* Its recv records mean: nobody reads; the take says -EPIPE. */
    RILL__PIPE_SOCKET = 2,   /* A stream socket, used in one direction. */
    RILL__PIPE_TERMINAL = 4, /* Ends with EIO. */
    RILL__PIPE_DEVICE = 8,   /* Another character device; may be one that is always ready. */
    /* What adopt has changed. */
    RILL__PIPE_MADE_NONBLOCKING = 16, /* For all who share the open file: undone by the close. */
    RILL__PIPE_REOPENED = 32,         /* The descriptor has an open file of its own now. */
    RILL__PIPE_MADE_CLOEXEC = 64
};

/* For make: the end that another process will have. */
enum { RILL__PIPE_BLOCKING_READ = 1, RILL__PIPE_BLOCKING_WRITE = 2 };

typedef struct rill__iov {
    const void *base;
    size_t len;
} rill__iov; /* Laid out as struct iovec; static_assert in the drivers that pass it on. */

#define RILL__IOV_MAX 64

/* Of one io, at most so many bytes are with the driver on trust (send_soon). */
#define RILL__TRUST_BYTES ((size_t)4 * 1024)

/* One attached descriptor; embedded by its owner, zeroed before attach. */
typedef struct rill__io {
    rill__op recv;
    rill__op send;
    rill__op close;
    int fd;            /* The driver's name for it: a descriptor, or the simulator's number. */
    uint8_t kind;      /* rill__io_kind */
    uint8_t armed;     /* epoll: what is registered. */
    bool closing;      /* close was called. */
    bool inherited;    /* Set before attach: the descriptor was the user's, look who else has it. */
    void *driver_data; /* The driver's own. */
    union {            /* The outbound operation's arguments, kept here by the drivers. */
        struct {
            const rill__iov *iov;
            size_t count;
            const struct rill__passing *passing; /* Of rights->send_start. */
        } send;
        struct {
            int fd;
            uint64_t offset;
            uint64_t count;
        } file;
        struct {
            bool segments; /* The owner's, until the driver takes it back: see prepare. */
            bool remarks;  /* The owner's: of IP, the kernel may say more than who sent it. */
            bool batch;    /* The rest is the driver's: several are received with one call, */
            uint8_t lone;  /* which brought one only so many times in a row; */
            uint8_t takes; /* and calls without it, until one looks for several again. */
        } dgram;
    } out;
} rill__io;

typedef struct rill__driver rill__driver;

/* Pipes: the services beside the operations, which are those of streams. */
typedef struct rill__pipe_ops {
    /* Both ends, close-on-exec, and non-blocking but for those named in `blocking`. Reading end
     * first. Returns 0; -EMFILE, -ENFILE, -ENOMEM. */
    int (*make)(rill__driver *driver, unsigned blocking, int ret_fds[2]);

    /* What a descriptor from outside is: RILL__PIPE_*. -EBADF; -EPERM for a regular file;
     * -EACCES when it is not open for this direction; RILL_EINVAL for anything else that cannot be
     * used; RILL_ENOTSUP when it is not one of this driver's. */
    int (*probe)(rill__driver *driver, int fd, bool writes);

    /* Close-on-exec, and never waiting. Returns `what` with what was changed; -errno, then nothing
     * was. give_back undoes it. */
    int (*adopt)(rill__driver *driver, int fd, int what);
    void (*give_back)(rill__driver *driver, int fd, int what);

    /* A duplicate of descriptor 0, 1 or 2, close-on-exec, never one of these. RILL_ENOTSUP. */
    int (*standard)(rill__driver *driver, int number);
    /* Open a FIFO without waiting for its other end; `flags` are rill_fifo_flag. Returns a
     * descriptor; -errno; RILL_EINVAL for another kind of file; RILL_ENOTSUP. */
    int (*open_fifo)(rill__driver *driver, const char *path, unsigned flags, int mode);
} rill__pipe_ops;

typedef struct rill__driver_config {
    rill_loop *loop;
    rill_sim *sim;        /* Or NULL. */
    const char *sim_host; /* Or NULL. */
} rill__driver_config;

/* Descriptors that travel with bytes, at most so many with one message; Linux's SCM_MAX_FD. */
#define RILL__RIGHTS_MAX 253

typedef struct rill__passing {
    size_t count;
    int fds[];
} rill__passing;

typedef struct rill__rights_ops {
    /* Another descriptor for the same file, close-on-exec; RILL_ENOTSUP for what cannot travel. */
    int (*duplicate)(rill__driver *driver, int fd);
    void (*discard)(rill__driver *driver, int fd);
    /* As send_now and send_start of the driver's, for a stream of either kind; the descriptors
     * travel with the first byte, and stay the caller's. */
    int64_t (*send_now)(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
        const int *fds, size_t fd_count);
    int (*send_start)(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
        const rill__passing *passing);
    /* RILL__IO_RIGHTS: as recv_into, and what descriptors came with the bytes: they are the
     * caller's. -EMSGSIZE: more came than `max` (RILL__RIGHTS_MAX at most); -EMFILE: more than this
     * process may have. The others are closed then, and the bytes are gone. */
    int64_t (*recv)(rill__driver *driver, rill__io *io, void *buf, size_t len, int *ret_fds,
        size_t max, size_t *ret_count);
} rill__rights_ops;
/* What came in one piece: a datagram, or several of one sender that the kernel has joined. */
typedef struct rill__arrived {
    const uint8_t *data;
    size_t len;
    size_t segment; /* 0: one datagram; else each is so long, but for the last, perhaps shorter. */
    rill_addr from;
    rill_addr to; /* Without a length: not known. */
    uint32_t interface;
    int tos; /* -1: not known. */
    bool truncated;
} rill__arrived;

/* A datagram that goes; `to` NULL: where the socket is connected to. */
typedef struct rill__departing {
    const void *data;
    size_t len;
    const rill_addr *to;
} rill__departing;

#define RILL__DGRAM_MANY 64 /* The most in one call of send. */

/* Datagram sockets: RILL__IO_DGRAM. They are subscribed, paused and closed as all others; a receive
 * record means: take, a send record: there is room. None of these waits. */
typedef struct rill__dgram_ops {
    int (*socket)(rill__driver *driver, rill_family family, int *ret_fd);
    /* Is it a datagram socket? Its family; `ret_udp`: of UDP. RILL_EINVAL: it is not. */
    int (*probe)(rill__driver *driver, int fd, rill_family *ret_family, bool *ret_udp);
    int (*connect)(rill__driver *driver, int fd, const rill_addr *addr);
    /* As sys->unix_stale, for a socket of datagrams. */
    int (*unix_stale)(rill__driver *driver, const rill_addr *addr);

    /* Have memory to receive datagrams of `receive_max` bytes, and have the kernel tell of them
     * what `details` wants. Returns 1 when one call can send several of one size as one piece
     * (io->out.dgram.segments), or 0; -ENOMEM. */
    int (*prepare)(rill__driver *driver, int fd, bool udp, size_t receive_max, bool details);

    /* RILL_OPTION_BROADCAST and those behind it; the interface for multicast can only be set. */
    int (*set_option)(rill__driver *driver, int fd, rill_option option, int value);
    int (*get_option)(rill__driver *driver, int fd, rill_option option, int *ret_value);
    /* `source` may be NULL. */
    int (*membership)(rill__driver *driver, int fd, bool join, const rill_addr *group,
        const rill_addr *source, uint32_t interface);

    /* In a receive record: how many pieces came; they are good until the next take on this loop.
     * -EAGAIN; or the network's answer to a datagram sent earlier, or another error. */
    int (*take)(
        rill__driver *driver, rill__io *io, size_t receive_max, const rill__arrived **ret_arrived);

    /* Send the first ones, as many as the kernel takes: how many, at least 1, at most
     * RILL__DGRAM_MANY; -EAGAIN; or the error of the first, which is not sent then. */
    int (*send)(rill__driver *driver, rill__io *io, const rill__departing *departing, size_t count);

    /* Send records come while there is room, or no more. May fail with -ENOMEM. */
    int (*await_room)(rill__driver *driver, rill__io *io, bool wanted);
} rill__dgram_ops;

typedef struct rill__driver_ops {
    const char *name;
    bool clock_is_virtual; /* Time passes in wait only: who polls waits for ever. */

    /* Make the driver of one loop. The loop's allocator works already (rill__alloc). */
    int (*open)(const rill__driver_config *config, rill__driver **ret_driver);
    /* No io is attached any more. */
    void (*close)(rill__driver *driver);

    rill_ns (*now)(rill__driver *driver);
    /* The same clock, some milliseconds behind and for next to nothing. A virtual clock stands
     * still between waits, and so may this. */
    rill_ns (*now_coarse)(rill__driver *driver);

    /* Append records of what happened to the loop's ready list (rill__loop_push_op), waiting for
     * the first one until `deadline` (on now()'s clock; RILL_NEVER: no end; a time in the past, 0
     * too: do not wait). Never returns before something happened, wake() or the deadline, but may
     * for nothing. Returns 0; RILL_EDEADLK when nothing can ever happen (simulator); -errno. */
    int (*wait)(rill__driver *driver, rill_ns deadline);

    /* What was started since the last wait reaches the kernel now: for who does not wait here but
     * on backend_fd. */
    void (*submit)(rill__driver *driver);

    /* Make the present or the next wait return. Any thread; also a signal handler. */
    void (*wake)(rill__driver *driver);

    /* A descriptor that is readable when wait would find records, or RILL_ENOTSUP. */
    int (*backend_fd)(rill__driver *driver);

    /* Adopt `fd` (non-blocking already): owned on success only. Nothing is subscribed yet.
     * Returns 0; -ENOMEM; -EEXIST when an io of this driver has it; -EPERM for a regular file. */
    int (*attach)(rill__driver *driver, rill__io *io, int fd, rill__io_kind kind);

    /* Copy into `buf` what the driver has received for this io and nobody has taken; nothing more
     * is received for it before the next wait. Returns how many bytes; -EMSGSIZE and takes nothing
     * when there are more than `size`; the error that would be next. */
    int64_t (*take_unread)(rill__driver *driver, rill__io *io, void *buf, size_t size);

    /* Give the descriptor back, quiescent: no operation in flight, nothing unread. Returns it. */
    int (*detach)(rill__driver *driver, rill__io *io);

    /* Inbound. May fail on the first subscribe only: -ENOMEM, -ENOSPC. */
    int (*subscribe)(rill__driver *driver, rill__io *io);
    void (*pause)(rill__driver *driver, rill__io *io);
    void (*resume)(rill__driver *driver, rill__io *io);

    /* Take what arrived, in the driver's buffer: `ret_slice` is valid until the next take on this
     * loop, or held. Positive: bytes; 0: end of the stream; -EAGAIN: nothing; else the error. A
     * reset is told here also when a send in flight has been told of it first. */
    int64_t (*recv_take)(rill__driver *driver, rill__io *io, rill_slice *ret_slice);

    /* The same into the caller's memory, at most `len` bytes. */
    int64_t (*recv_into)(rill__driver *driver, rill__io *io, void *buf, size_t len);

    /* Take a connection: 0 and a non-blocking, close-on-exec descriptor; -EAGAIN when there is
     * none; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM; -ECONNABORTED and other errors of that one
     * connection. */
    int (*accept_take)(rill__driver *driver, rill__io *io, int *ret_fd, rill_addr *ret_peer);

    /* A listener that is about to be closed: the kernel accepts nothing more for this io by itself.
     * What it has accepted already is still there to take, and whoever waits in the backlog from
     * now on wakes another process that listens on the same socket. */
    void (*stop_accepting)(rill__driver *driver, rill__io *io);

    /* Outbound. send_now: bytes taken (0 only for an empty vector), -EAGAIN, or the error; sends
     * nothing and says -EAGAIN while an operation is in flight. */
    int64_t (*send_now)(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);

    /* As send_now, for bytes that may leave as late as the next wait or submit: the driver may take
     * a copy on trust. When the kernel then does not take it all, a send record follows, and
     * send_rest has what became of it: positive: so many bytes come back, the last ones, in the
     * driver's memory until the next call for this io; the error; 0: all else is the kernel's. Its
     * owner calls it until it says 0, in such a record, before it starts another operation after
     * send_now or send_soon said -EAGAIN, and before a half close or a close without reset. */
    int64_t (*send_soon)(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);
    int64_t (*send_rest)(rill__driver *driver, rill__io *io, rill__iov *ret_rest);

    int (*connect_start)(rill__driver *driver, rill__io *io, const rill_addr *addr);
    int (*send_start)(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);
    int (*sendfile_start)(
        rill__driver *driver, rill__io *io, int file_fd, uint64_t offset, uint64_t count);

    /* In a send record: the FINAL. Connect: 0 or the error. Send: bytes taken, at least 1, perhaps
     * not all. Sendfile: bytes sent, 0 at the file's end; -EINVAL or -ENOSYS: impossible for the
     * pair. -EAGAIN: still in flight, another record follows. */
    int64_t (*finish)(rill__driver *driver, rill__io *io);
    void (*cancel)(rill__driver *driver, rill__io *io);

    /* Half close of the write side; nothing in flight. */
    int (*shutdown_write)(rill__driver *driver, rill__io *io);

    /* `reset`: drop unsent bytes and tell the peer by a reset, where there is one. */
    void (*close_io)(rill__driver *driver, rill__io *io, bool reset);

    /* Readiness of a foreign descriptor: RILL__IO_POLL only; replaces the present interest. */
    int (*poll_set)(rill__driver *driver, rill__io *io, bool readable, bool writable);

    const rill__pipe_ops *pipes;
    const rill__rights_ops *rights;
    const rill__dgram_ops *dgrams;
} rill__driver_ops;

/* Calls on sockets that belong to no io: they never wait, and say -EAGAIN where they would. */
typedef struct rill__plain_ops {
    /* -EAGAIN unless calls on it return at once; 0; -EBADF. */
    int (*check)(rill__driver *driver, int fd);
    /* Bytes; 0: the end, or an empty datagram. `ret_from` may be NULL, and is empty where there is
     * no address. */
    int64_t (*recv)(rill__driver *driver, int fd, void *buf, size_t len, rill_addr *ret_from);
    /* To `to`, or where the socket is connected to when that is NULL. */
    int64_t (*send)(
        rill__driver *driver, int fd, const void *data, size_t len, const rill_addr *to);
    int (*accept)(rill__driver *driver, int fd, int *ret_fd, rill_addr *ret_peer);
    int (*connect)(rill__driver *driver, int fd, const rill_addr *addr); /* Or -EINPROGRESS. */
    /* What became of a connect: 0; the error, once; -EAGAIN: not known yet. */
    int (*connected)(rill__driver *driver, int fd);
    int (*shutdown_write)(rill__driver *driver, int fd);
    /* Bytes sent, 0 at the file's end; -EINVAL or -ENOSYS: impossible for the pair. */
    int64_t (*sendfile)(rill__driver *driver, int fd, int file_fd, uint64_t offset, uint64_t count);
} rill__plain_ops;

/* The kernel's synchronous services. Descriptors are the driver's names. All return 0 or a positive
 * result, or an error of rule 6. */
typedef struct rill__sys_ops {
    const rill__plain_ops *plain;

    /* Non-blocking, close-on-exec. For listeners and connects of this family. */
    int (*socket)(rill__driver *driver, rill_family family, int *ret_fd);
    int (*bind)(rill__driver *driver, int fd, const rill_addr *addr);
    int (*listen)(rill__driver *driver, int fd, int backlog);
    void (*close_fd)(rill__driver *driver, int fd, bool reset);

    int (*peername)(rill__driver *driver, int fd, rill_addr *ret_addr);
    int (*sockname)(rill__driver *driver, int fd, rill_addr *ret_addr);
    int (*credentials)(rill__driver *driver, int fd, rill_credentials *ret_peer);
    int (*tcp_info)(rill__driver *driver, int fd, rill_tcp_info *ret_info);
    int (*set_option)(rill__driver *driver, int fd, rill_option option, int value);
    int (*get_option)(rill__driver *driver, int fd, rill_option option, int *ret_value);

    /* Options of listeners: see rill__flag. */
    int (*set_flag)(rill__driver *driver, int fd, int flag, int value);

    /* What an inherited descriptor is: RILL__FD_*; -ENOTSOCK and so on. */
    int (*probe)(rill__driver *driver, int fd);
    /* Set non-blocking and close-on-exec on an inherited descriptor. */
    int (*adopt)(rill__driver *driver, int fd);

    /* Unix paths. unix_stale: 1 when the path is a socket nobody listens on, 0 when there is
     * nothing, -EADDRINUSE when it is in use or no socket. unix_identity: which file a path is
     * (device and inode), to unlink only our own. */
    int (*unix_stale)(rill__driver *driver, const rill_addr *addr);
    int (*unix_identity)(rill__driver *driver, const rill_addr *addr, uint64_t ret_identity[2]);
    int (*unix_unlink)(rill__driver *driver, const rill_addr *addr);
    int (*unix_chmod)(rill__driver *driver, const rill_addr *addr, int mode);

    /* Files, for sendfile: the size of a regular file, or -EINVAL; a read at an offset. */
    int64_t (*file_size)(rill__driver *driver, int fd);
    int64_t (*file_read)(rill__driver *driver, int fd, uint64_t offset, void *buf, size_t len);

    /* Random bytes: from the kernel, or from the seed. */
    void (*entropy)(rill__driver *driver, void *buf, size_t len);

    /* SIGPIPE around a run of the loop: block it; then drain and restore. */
    void (*run_begin)(rill__driver *driver);
    void (*run_end)(rill__driver *driver);

    /* The descriptor a user may see, or RILL_ENOTSUP (simulator). */
    int (*public_fd)(rill__driver *driver, int fd);

    const struct rill__processes_ops *processes; /* child.h */
} rill__sys_ops;

enum rill__flag {
    RILL__FLAG_REUSE_ADDRESS,
    RILL__FLAG_REUSE_PORT,
    RILL__FLAG_V6ONLY,
    RILL__FLAG_NODELAY /* On a listener: inherited by what it accepts. */
};

enum { RILL__FD_STREAM = 1, RILL__FD_LISTENER = 2, RILL__FD_UNBOUND = 3, RILL__FD_OTHER = 4 };

/* What every driver's own struct begins with. */
struct rill__driver {
    const rill__driver_ops *ops;
    const rill__sys_ops *sys;
    rill_loop *loop;
};

extern const rill__driver_ops rill__driver_epoll;
#if RILL_WITH_URING
extern const rill__driver_ops rill__driver_uring;
#endif
#if RILL_WITH_SIM
extern const rill__driver_ops rill__driver_sim;
#endif

/* Services of the loop for drivers. */

/* Queue a record, once: a second call before its dispatch does nothing. */
void rill__loop_push_op(rill_loop *loop, rill__op *op);

/* No record of this io is dispatched from here on but that of its close. */
static inline void
rill__io_silence(rill__io *io)
{
    io->recv.active = false;
    io->recv.discarded = true;
    io->send.active = false;
    io->send.discarded = true;
}

/* The loop's hot receive buffer, at least 4 KiB, its own again if the last one was held; NULL: no
 * memory. The slice for `len` bytes received in it is made by rill__loop_hot_slice. */
uint8_t *rill__loop_hot_buffer(rill_loop *loop, size_t *ret_size);
rill_slice rill__loop_hot_slice(rill_loop *loop, size_t len);

/* The loop's allocator. */
void *rill__alloc(rill_loop *loop, size_t size, rill_tag tag); /* Not zeroed. */
void *rill__alloc_zeroed(rill_loop *loop, size_t size, rill_tag tag);
void *rill__resize(rill_loop *loop, void *ptr, size_t old_size, size_t new_size, rill_tag tag);
void rill__free(rill_loop *loop, void *ptr, size_t size, rill_tag tag); /* NULL is ignored. */

#endif
