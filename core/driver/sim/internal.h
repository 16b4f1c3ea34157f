/*
 * What the files of the simulated kernel share: the world, its clock, hosts, sockets and choices.
 *
 * Nothing here is ordered by an address or by wall time: objects have numbers, lists are in the
 * order of making, and every random choice is a hash (choice.c). A world and all in it belong to
 * one thread.
 */
#ifndef RILL__SIM_INTERNAL_H
#define RILL__SIM_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>

#include <rill/sim.h>

#include "core/addr.h"
#include "core/driver/driver.h"
#include "core/internal.h"

typedef struct sim_event sim_event;
typedef struct sim_host sim_host;
typedef struct sim_socket sim_socket;
typedef struct sim_io sim_io;
typedef struct sim_driver sim_driver;

/* ---- events (event.c) ---- */

/* Something that will happen; embedded in its owner, which can take it back. */
struct sim_event {
    void (*fn)(rill_sim *sim, sim_event *self);
    uint32_t index; /* Its place in the heap plus one; 0: not scheduled. */
};

typedef struct sim_slot {
    rill_ns at;
    uint64_t sequence;
    sim_event *event;
} sim_slot;

typedef struct sim_heap {
    sim_slot *slots;
    uint32_t count;
    uint32_t capacity;
    uint32_t reserved; /* Events that exist: scheduling never fails. */
} sim_heap;

/* Room for `count` more events before they are used, and back. Returns 0 or -ENOMEM. */
int rill__sim_reserve(rill_sim *sim, uint32_t count);
void rill__sim_unreserve(rill_sim *sim, uint32_t count);
/* At `at` or now, whichever is later; a scheduled event moves. */
void rill__sim_schedule(rill_sim *sim, sim_event *event, rill_ns at);
void rill__sim_unschedule(rill_sim *sim, sim_event *event);
/* Run what is due now. Returns how many events that were. */
size_t rill__sim_run_due(rill_sim *sim);
/* RILL_NEVER when nothing is scheduled. */
rill_ns rill__sim_next_event(const rill_sim *sim);
void rill__sim_advance(rill_sim *sim, rill_ns now);
/* Loops turned without time passing: after a while it passes. */
void rill__sim_linger(rill_sim *sim);

static inline bool
rill__sim_scheduled(const sim_event *event)
{
    return event->index != 0;
}

/* ---- choices (choice.c) ---- */

/* What choices are about, besides the kinds of faults. */
enum sim_domain {
    SIM_DOMAIN_VALUE = 64, /* plus a kind of fault: how long, how many */
    SIM_DOMAIN_ENABLED = 128,
    SIM_DOMAIN_RATE,
    SIM_DOMAIN_PERSONALITY,
    SIM_DOMAIN_ORDER,
    SIM_DOMAIN_ENTROPY,
    SIM_DOMAIN_LINK,
    SIM_DOMAIN_JITTER,
    SIM_DOMAIN_PORT,
    SIM_DOMAIN_SHARE,
    SIM_DOMAIN_PENDING,
    SIM_DOMAIN_BUFFER
};

uint64_t rill__sim_hash(const rill_sim *sim, uint32_t domain, uint64_t object, uint64_t use);
/* Does this fault fire at its next use by the object? `uses` counts per kind. */
bool rill__sim_fault(
    rill_sim *sim, rill_sim_fault kind, sim_host *host, uint64_t object, uint32_t *uses);
/* Of the fault that has just fired: a value in [low, high], and one that is more often small. */
uint64_t rill__sim_value(const rill_sim *sim, rill_sim_fault kind, uint64_t object,
    const uint32_t *uses, uint64_t low, uint64_t high);
uint64_t rill__sim_small_value(
    const rill_sim *sim, rill_sim_fault kind, uint64_t object, const uint32_t *uses, uint64_t high);
int rill__sim_choices_init(rill_sim *sim, const rill_sim_options *options);
void rill__sim_choices_done(rill_sim *sim);

/* ---- trace (trace.c) ---- */

#define SIM_VERB_LIST(X)                     \
    X(SOCKET, "socket")                      \
    X(BIND, "bind port")                     \
    X(LISTEN, "listen backlog")              \
    X(SYN, "syn to host")                    \
    X(SYN_DROP, "syn dropped, try")          \
    X(REFUSED, "refused")                    \
    X(MADE, "made with")                     \
    X(QUEUED, "queued for accept, waiting")  \
    X(ACCEPT, "accepted")                    \
    X(SEND, "send bytes")                    \
    X(ARRIVE, "data bytes")                  \
    X(RETRY, "undeliverable, try")           \
    X(RECV, "recv bytes")                    \
    X(FIN, "fin")                            \
    X(RST, "rst")                            \
    X(ERROR, "error")                        \
    X(SHUTDOWN, "shutdown")                  \
    X(CLOSE, "close")                        \
    X(GONE, "gone")                          \
    X(ATTACH, "attach")                      \
    X(SLICE, "taken into the driver, bytes") \
    X(CANCEL, "cancel")                      \
    X(HOST, "host")                          \
    X(LOOP, "loop")                          \
    X(LOOP_GONE, "loop gone")                \
    X(LINK, "link with")                     \
    X(CUT, "cut to")                         \
    X(LIFT, "lift with")                     \
    X(HEAL, "heal")                          \
    X(SCRIPT, "script")                      \
    X(FAULT, "FAULT")                        \
    X(SPAWN, "spawn pid")                    \
    X(SIGNAL, "signal")                      \
    X(EXIT, "exit status")

#define SIM_VERB_ENUM_(name, text) SIM_##name,
enum sim_verb { SIM_VERB_LIST(SIM_VERB_ENUM_) SIM_VERBS };
#undef SIM_VERB_ENUM_

enum sim_object {
    SIM_OBJECT_WORLD,
    SIM_OBJECT_TCP,
    SIM_OBJECT_UNIX,
    SIM_OBJECT_LOOP,
    SIM_OBJECT_PROCESS
};

typedef struct sim_record {
    rill_ns at;
    uint32_t object;
    uint16_t host;
    uint8_t verb;
    uint8_t object_kind;
    uint64_t value;
    uint64_t extra;
} sim_record;

#define SIM_RING 4096

void rill__sim_trace(rill_sim *sim, const sim_host *host, enum sim_object kind, uint64_t object,
    enum sim_verb verb, uint64_t value, uint64_t extra);
void rill__sim_trace_socket(const sim_socket *socket, enum sim_verb verb, uint64_t value);
_Noreturn void rill__sim_broken(const rill_sim *sim, const char *where, const char *what);

/* An invariant of the world; always on. */
#define rill__sim_check(sim, condition)                                               \
    do {                                                                              \
        if (RILL__UNLIKELY(!(condition)))                                             \
            rill__sim_broken(sim, __FILE__ ":" RILL_STRINGIFY(__LINE__), #condition); \
    } while (0)

/* ---- hosts and links (host.c) ---- */

/* An IP address and port, an IPv4 one never mapped into IPv6. */
typedef struct sim_name {
    uint8_t family; /* rill_family; ANY: none. */
    uint16_t port;
    uint32_t zone;
    uint8_t bytes[16]; /* IPv4: the first four. */
} sim_name;

typedef struct sim_link {
    rill_ns latency;
    rill_ns jitter;
    uint64_t bandwidth;
    rill_ns busy_until;
    uint32_t loss;
    bool known; /* Drawn or set. */
    bool cut;
} sim_link;

#define SIM_PORT_BUCKETS 1024
#define SIM_HOST_NAMES   8
#define SIM_HOSTS_MAX    4096

/* Who uses a port: a socket, or its TIME_WAIT after it. */
typedef struct sim_port {
    rill__link link; /* In the host's bucket; self-linked when unused. */
    sim_name local;
    sim_name remote;
    sim_socket *socket; /* NULL: TIME_WAIT */
    rill_ns expires;
    bool given; /* By bind, not chosen for a connect. */
    bool reuse_address;
    bool reuse_port;
    bool v6only;
} sim_port;

/* A name in the file system of a host, or an abstract one. */
typedef struct sim_path {
    rill__link link;
    sim_socket *socket; /* Bound to it; NULL: left behind, or a file. */
    uint64_t identity;
    int mode;
    bool file;
    uint8_t len;
    char name[108]; /* As in sun_path. */
} sim_path;

struct sim_host {
    rill_sim *sim;
    uint16_t number;
    char name[32];
    sim_name names[SIM_HOST_NAMES];
    uint32_t name_count;
    sim_link *links; /* By the number of the host they lead to. */
    uint32_t link_count;
    rill__link ports[SIM_PORT_BUCKETS];
    uint32_t ports_tried; /* Ephemeral ones. */
    rill__link listeners; /* TCP, in the order of listening. */
    rill__link paths;
    size_t descriptors;
    size_t descriptors_max; /* 0: the world's. */
    uint32_t uses[RILL_SIM_FAULT_COUNT];
};

sim_host *rill__sim_host_find(const rill_sim *sim, const char *name); /* NULL: "local" */
sim_host *rill__sim_host_at(sim_host *from, const sim_name *name);
void rill__sim_hosts_done(rill_sim *sim);
int rill__sim_host_new(rill_sim *sim, const char *name, sim_host **ret_host);
bool rill__sim_is_local(const sim_host *host, const sim_name *name);
/* The address that `host` would send from to get to `remote`. Returns 0 or -ENETUNREACH. */
int rill__sim_source(const sim_host *host, const sim_name *remote, sim_name *ret_name);

bool rill__sim_wildcard(const sim_name *name);
bool rill__sim_same_address(const sim_name *a, const sim_name *b);
/* For the socket's family; -EAFNOSUPPORT or -EINVAL where Linux says so. */
int rill__sim_name_of(const rill_addr *addr, rill_family family, bool v6only, sim_name *ret_name);
void rill__sim_name_to(const sim_name *name, rill_family family, rill_addr *ret_addr);

/* Drawn at first use. NULL without memory: then there is no delay. */
sim_link *rill__sim_link_of(sim_host *from, const sim_host *to);
bool rill__sim_cut(sim_host *from, const sim_host *to);
/* When `bytes` sent now arrive. */
rill_ns
rill__sim_arrival(sim_host *from, const sim_host *to, size_t bytes, uint64_t object, uint64_t use);

/* ---- ports (port.c) ---- */

int rill__sim_port_bind(sim_socket *socket, const sim_name *name);
/* For a connect: an ephemeral port where none is bound yet, and the remote address. */
int rill__sim_port_connect(sim_socket *socket, const sim_name *remote);
/* For a child of a listener. */
void rill__sim_port_share(sim_socket *child, const sim_name *local, const sim_name *remote);
int rill__sim_port_listen(const sim_socket *socket);
sim_socket *rill__sim_port_listener(sim_host *host, const sim_name *name, uint64_t chooser);
void rill__sim_port_release(sim_socket *socket, bool time_wait);
void rill__sim_ports_done(sim_host *host);

/* ---- bytes on their way (pipe.c) ---- */

#define SIM_SEGMENTS    8
#define SIM_SEGMENT_MAX ((size_t)65536)
#define SIM_RETRY_FIRST (200 * RILL_MS)
#define SIM_RETRY_MAX   (120 * RILL_S)
#define SIM_RETRY_LIMIT (924600 * RILL_MS) /* What 15 retries take. */

enum sim_flight { SIM_FLIGHT_DATA, SIM_FLIGHT_FIN, SIM_FLIGHT_RST };

typedef struct sim_segment {
    uint64_t end;
    rill_ns at;
    uint8_t what;
} sim_segment;

/*
 * One direction of a connection, kept at the receiver's end. Offsets in the stream, in order:
 * taken <= arrived <= sent <= written; acked <= arrived is what the sender knows of arrived, and
 * window_end what it may send up to. The bytes from taken to written are in `ring`.
 */
typedef struct sim_pipe {
    uint8_t *ring;
    size_t ring_size; /* A power of two, or 0. */
    uint64_t taken, arrived, sent, written, acked, window_end;
    uint64_t reset_at;                      /* A fault; UINT64_MAX: none. */
    sim_segment segments[SIM_SEGMENTS + 2]; /* Room for a FIN and an RST behind the data. */
    uint8_t first, count;
    bool fin_written, fin_sent, fin_arrived;
    bool dead;       /* Nothing goes through any more. */
    bool delivering; /* A segment is arriving: the ack need not send more. */
    sim_event arrive;
    sim_event ack;
    rill_ns retry_since; /* RILL_NEVER: not retrying. */
    rill_ns ack_since;
    uint32_t retries, ack_retries;
    uint64_t segments_made;
} sim_pipe;

void rill__sim_pipe_init(sim_socket *receiver);
void rill__sim_pipe_done(sim_socket *receiver);
/* Room for the sender's bytes now. */
size_t rill__sim_pipe_room(const sim_socket *sender);
/* At most the room; may take fewer without memory. Returns bytes taken. */
size_t rill__sim_pipe_write(sim_socket *sender, const void *data, size_t len);
size_t rill__sim_pipe_read(sim_socket *receiver, void *buf, size_t len);
void rill__sim_pipe_transmit(sim_socket *sender);
void rill__sim_pipe_reset(sim_socket *sender); /* Drop what is unsent, send RST. */
void rill__sim_pipe_drop(sim_socket *receiver);
void rill__sim_pipe_kill(sim_socket *receiver);
void rill__sim_pipe_resized(sim_socket *sender); /* Its send buffer is another. */
void rill__sim_pipe_kick(sim_socket *receiver);  /* Retry now. */
void rill__sim_pipe_check(const sim_socket *receiver);

static inline size_t
rill__sim_pipe_readable(const sim_pipe *pipe)
{
    return (size_t)(pipe->arrived - pipe->taken);
}

/* ---- sockets (socket.c) ---- */

enum sim_state {
    SIM_FRESH,
    SIM_LISTENING,
    SIM_CONNECTING,
    SIM_CONNECTED,
    SIM_ENDED /* Was connected, or failed to. */
};

/* The two ends of a pipe are Unix sockets in most: what goes one way does so at once. */
enum sim_end { SIM_END_NONE, SIM_END_READS, SIM_END_WRITES };

#define SIM_PIPE_BYTES  65536
#define SIM_PIPE_ATOMIC ((size_t)4096) /* PIPE_BUF */

typedef struct sim_unix {
    sim_path *path; /* Bound here. */
    rill_addr local, remote;
    int64_t peer_pid; /* 0: no peer yet. */
} sim_unix;

enum sim_step { SIM_STEP_SYN, SIM_STEP_ANSWER, SIM_STEP_REFUSED, SIM_STEP_RETRY };

struct sim_socket {
    rill_sim *sim;
    sim_host *host;
    rill__link all; /* Of the world, in order of making. */
    uint64_t number;
    int fd;         /* -1: closed, or nobody has accepted it yet. */
    uint8_t family; /* rill_family */
    uint8_t state;
    uint8_t end; /* enum sim_end */
    bool owned;  /* By a descriptor, a listener's queue or a peer. */
    bool reuse_address, reuse_port, v6only, nodelay, keepalive;
    bool recv_shut, send_shut;
    bool done; /* FIN was received: what comes later is no error for the reader. */
    bool fin_first;
    bool reset;
    int keepalive_idle, keepalive_interval, keepalive_count, linger;
    int send_buffer, recv_buffer; /* As getsockopt says: twice the room. */
    int error;                    /* Pending, told once; as errno. */
    sim_port port;
    sim_unix *names; /* Unix sockets only. */

    sim_socket *other;
    sim_pipe in;

    /* A listener. */
    rill__link listening; /* Of the host's. */
    rill__link queue;
    uint32_t queued;
    uint32_t visible; /* Of the queued ones, complete. */
    uint32_t backlog;

    /* A connection that is being made; a child in a queue. */
    sim_event step;
    uint8_t step_kind;
    uint32_t tries;
    rill__link child;
    sim_socket *listener;
    bool complete;

    sim_io *io;
    rill_sim_peer *peer;
    rill_sim_process *process;
    uint32_t uses[RILL_SIM_FAULT_COUNT];
};

int rill__sim_socket_new(sim_host *host, rill_family family, sim_socket **ret_socket);
bool rill__sim_descriptors_left(const sim_host *host);
/* Give it a descriptor: 0 or -EMFILE. */
int rill__sim_socket_open(sim_socket *socket);
/* Its owner goes on without one. */
void rill__sim_socket_close_descriptor(sim_socket *socket);
sim_socket *rill__sim_socket_of(const rill_sim *sim, int fd); /* NULL: none */
/* The owner lets go of it; it lives on as long as the connection has to. */
void rill__sim_socket_close(sim_socket *socket, bool reset);
/* Free it and its other end if nothing is left to do for them. */
void rill__sim_socket_settle(sim_socket *socket);
void rill__sim_socket_free(sim_socket *socket);
void rill__sim_sockets_done(rill_sim *sim);
/* Something changed that its owner may wait for. */
void rill__sim_socket_notify(sim_socket *socket);
void rill__sim_socket_fail(sim_socket *socket, int error);

bool rill__sim_readable(const sim_socket *socket);
bool rill__sim_writable(const sim_socket *socket);
int64_t rill__sim_recv(sim_socket *socket, void *buf, size_t len);
/* Without faults; 0 only for an empty vector. */
int64_t rill__sim_send(sim_socket *socket, const void *data, size_t len);
/* May `len` bytes be sent? 1, 0 for no room, or the error that a send would return. */
int rill__sim_may_send(sim_socket *socket);
int rill__sim_shutdown(sim_socket *socket);
int rill__sim_connect(sim_socket *socket, const rill_addr *addr);
int rill__sim_bind(sim_socket *socket, const rill_addr *addr);
int rill__sim_listen_on(sim_socket *socket, int backlog);
/* The first complete connection of a listener, or NULL. */
sim_socket *rill__sim_accept_first(const sim_socket *listener);
/* Take it off the queue. */
void rill__sim_accept_unlink(sim_socket *child);
void rill__sim_socket_check(const sim_socket *socket);
void rill__sim_sockname(const sim_socket *socket, rill_addr *ret_addr);
int rill__sim_peername(const sim_socket *socket, rill_addr *ret_addr);
int rill__sim_tcp_state(const sim_socket *socket); /* The kernel's number. */

static inline bool
rill__sim_is_unix(const sim_socket *socket)
{
    return socket->family == RILL_FAMILY_UNIX;
}

/* "tcp", "unix", "pipe" */
const char *rill__sim_kind_name(const sim_socket *socket);

static inline bool
rill__sim_fault_of(sim_socket *socket, rill_sim_fault kind)
{
    return rill__sim_fault(socket->sim, kind, socket->host, socket->number, &socket->uses[kind]);
}

/* ---- TCP and Unix (tcp.c, unix.c) ---- */

int rill__sim_tcp_connect(sim_socket *socket, const sim_name *remote);
void rill__sim_tcp_step(rill_sim *sim, sim_event *event);
void rill__sim_tcp_arrived(sim_socket *receiver, enum sim_flight what);
void rill__sim_tcp_break(sim_socket *socket);      /* Reset in the middle: both ends hear of it. */
void rill__sim_tcp_send_reset(sim_socket *socket); /* And be done with it. */
void rill__sim_tcp_timeout(sim_socket *socket);

int rill__sim_unix_connect(sim_socket *socket, const rill_addr *addr);
int rill__sim_unix_bind(sim_socket *socket, const rill_addr *addr);
void rill__sim_unix_closed(sim_socket *socket);
int rill__sim_pair_new(sim_host *host, int ret_fds[2]); /* oneway.c: reading end first. */
sim_path *rill__sim_path_find(const sim_host *host, const rill_addr *addr);
int rill__sim_path_new(sim_host *host, const rill_addr *addr, sim_path **ret_path);
void rill__sim_path_free(sim_host *host, sim_path *path);

/* ---- the driver (driver.c, completion.c, sys.c) ---- */

enum sim_send_kind { SIM_SEND_NONE, SIM_SEND_CONNECT, SIM_SEND_BYTES, SIM_SEND_FILE };

/* What a completion driver holds for its owner. */
typedef struct sim_held {
    struct sim_held *next;
    int64_t result; /* Bytes; 0: EOF; -errno. Of a listener: 0 and fd, or -errno. */
    size_t offset;
    size_t size; /* Of data. */
    int fd;
    rill_addr peer;
    uint8_t data[];
} sim_held;

struct sim_io {
    rill__io *io;
    sim_driver *driver;
    sim_socket *socket;
    rill__link ready; /* In the driver's list: look at it in the next wait. */
    rill__link all;
    bool canceled;
    bool cancel_loses;
    bool spurious_read;
    bool spurious_write;
    bool reset;
    bool send_settled; /* Completion: `result` is there. */
    bool in_flight;    /* Completion: a send was when close came. */
    bool starved;      /* Completion: without memory to take in what has arrived. */
    uint32_t sends;
    int64_t result;
    sim_held *held_first, *held_last;
    uint32_t held_count;
    size_t held_bytes;
    sim_event recv_event, send_event, close_event, soon_event;
    uint8_t *soon; /* Completion: taken on trust. From soon_sent on it is not the kernel's. */
    size_t soon_len, soon_sent;
    bool soon_settled; /* It, or soon_error, is to be told. */
    bool soon_given;   /* Its memory stays until the next call. */
    int64_t soon_error;
};

struct sim_driver {
    rill__driver base;
    rill_sim *sim;
    sim_host *host;
    rill__link link; /* Of the world, in order of making. */
    rill__link ready;
    rill__link ios;
    atomic_bool woken;
    bool owns_world;
    bool owned_by_world; /* Made by rill_sim_loop_new. */
    size_t closing;
    uint32_t number;
    uint64_t entropy_used;
};

extern const rill__sys_ops rill__sys_sim;
extern const rill__pipe_ops rill__sim_pipes;

/* The error with which making a socket or a pipe fails now, or 0. */
int rill__sim_make_fault(sim_host *host);

static inline bool rill__sim_completes(const rill_sim *sim);

void rill__sim_io_mark(sim_io *self);   /* Put it on the driver's list. */
void rill__sim_io_notify(sim_io *self); /* The socket changed. */
void rill__sim_io_close(sim_io *self);  /* Now; and tell the owner. Frees it. */
bool rill__sim_driver_pending(sim_driver *driver);

/* System calls with their faults (call.c). */
int64_t rill__sim_io_recv(sim_io *self, void *buf, size_t len);
int rill__sim_io_accept(sim_io *self, int *ret_fd, rill_addr *ret_peer);
int64_t rill__sim_io_send(sim_io *self, const rill__iov *iov, size_t count);
int64_t rill__sim_io_sendfile(sim_io *self, int fd, uint64_t offset, uint64_t count);
int64_t rill__sim_io_connected(sim_io *self);
/* What the operation in flight is, tried once. */
int64_t rill__sim_io_try(sim_io *self);

void rill__sim_completion_init(sim_io *self);
void rill__sim_completion_done(sim_io *self);
void rill__sim_completion_want(sim_io *self);
void rill__sim_completion_notify(sim_io *self);
void rill__sim_completion_start(sim_io *self);
void rill__sim_completion_cancel(sim_io *self);
void rill__sim_completion_close(sim_io *self);
bool rill__sim_completion_declines(sim_io *self);
bool rill__sim_completion_trusts(sim_io *self, const rill__iov *iov, size_t count);
/* The outcome of what was taken on trust, now. */
void rill__sim_completion_settle(sim_io *self);
int64_t rill__sim_completion_rest(sim_io *self, rill__iov *ret_rest);
int64_t rill__sim_completion_take(sim_io *self, void *buf, size_t len);
int rill__sim_completion_accept(sim_io *self, int *ret_fd, rill_addr *ret_peer);

/* ---- peers (peer.c) ---- */

void rill__sim_peer_notify(rill_sim_peer *peer);
void rill__sim_peers_done(rill_sim *sim);
void rill__sim_scripts_done(rill_sim *sim);

/* ---- children (child.c) ---- */

extern const struct rill__processes_ops rill__processes_sim;
/* One of its standard streams has something to tell. */
void rill__sim_process_notify(rill_sim_process *process);
void rill__sim_processes_done(rill_sim *sim);
/* Each has a descriptor by which it is watched. */
size_t rill__sim_watched_children(const rill_sim *sim);

/* ---- the world (world.c) ---- */

typedef struct sim_fd_slot {
    sim_socket *socket;
    uint32_t generation;
    uint32_t next_free; /* plus one */
} sim_fd_slot;

struct rill_sim {
    rill_allocator allocator;
    rill_allocator counted; /* What rill_sim_allocator returns. */
    uint64_t allocations, allocation_fail, allocation_fail_from;
    uint64_t allocations_live;
    uint32_t allocation_uses;

    uint64_t seed;
    rill_sim_profile profile;
    rill_sim_personality personality;
    size_t recv_bytes_max, send_bytes_max, descriptors_max;
    int recv_buffer, send_buffer;
    uint64_t turns_max;

    rill_ns now, start;
    uint64_t sequence;
    uint32_t lingering; /* Turns, and events, at this instant. */
    uint32_t rushing;
    uint64_t events;
    sim_heap heap;

    uint32_t rates[RILL_SIM_FAULT_COUNT];
    uint32_t injected[RILL_SIM_FAULT_COUNT];
    uint64_t counts[RILL_SIM_FAULT_COUNT];
    uint32_t *only;
    size_t only_count;
    bool only_set;
    bool healed;
    uint32_t *fired;
    size_t fired_count, fired_capacity;

    sim_host **hosts;
    uint32_t host_count, host_capacity;
    uint32_t auto_address;

    rill__link sockets;
    uint64_t socket_numbers;
    uint64_t path_numbers;
    sim_fd_slot *fds;
    uint32_t fd_count, fd_capacity, fd_free;

    rill__link drivers;
    uint32_t driver_count;
    uint32_t driver_numbers;
    uint64_t rounds;
    bool running;
    rill__link *cursor; /* The driver whose turn is next. */

    rill__link peers;
    rill__link scripts;
    rill__link programs;
    rill__link processes;
    uint64_t process_numbers;

    uint64_t trace_hash;
    uint64_t trace_count;
    sim_record ring[SIM_RING];
};

static inline bool
rill__sim_completes(const rill_sim *sim)
{
    return sim->personality == RILL_SIM_COMPLETION;
}

void *rill__sim_alloc(rill_sim *sim, size_t size); /* Zeroed. */
void rill__sim_dealloc(rill_sim *sim, void *ptr, size_t size);
/* Make room for one more element. Returns 0 or -ENOMEM. */
int rill__sim_grow(
    rill_sim *sim, void *array_ref, uint32_t count, uint32_t *capacity, size_t element_size);
void rill__sim_world_check(const rill_sim *sim);

#endif
