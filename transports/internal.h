/*
 * What the files of transports/ share: the base transport, its write queue, the stream kind and the
 * options of a connection.
 */
#ifndef RILL__TRANSPORTS_INTERNAL_H
#define RILL__TRANSPORTS_INTERNAL_H

#include <rill/connect.h>
#include <rill/server.h>
#include <rill/transport_ops.h>

#include "core/internal.h"

#define RILL__LIVE UINT32_C(0x7111a11e)
#define RILL__DEAD UINT32_C(0xdead0111)

#define RILL__WRITE_HIGH      ((size_t)64 * 1024)
#define RILL__WRITE_CAP       ((size_t)16 * 1024 * 1024)
#define RILL__DESCRIPTORS_MAX 65536
#define RILL__CLOSE_TIMEOUT   (30 * RILL_S)

enum rill__phase {
    RILL__PHASE_NEW,  /* Made, connection_made not delivered. */
    RILL__PHASE_OPEN, /* Between connection_made and connection_lost. */
    RILL__PHASE_LOST  /* connection_lost is running or has run; memory goes at the turn's end. */
};

/* Why writing is refused, a bitset. */
enum {
    RILL__REFUSE_CLOSED = 1,
    RILL__REFUSE_EOF = 2,
    RILL__REFUSE_SENDFILE = 4,
    RILL__REFUSE_ONEWAY = 8,    /* It only reads. */
    RILL__REFUSE_BROKEN = 16,   /* Nobody reads what is written; there is input still. */
    RILL__REFUSE_DATAGRAM = 32, /* For good: it takes datagrams, not bytes. */
};

/*
 * The base of every transport. `magic` and `loop` come first after the object, so that they survive
 * the release to the pool.
 */
struct rill_transport {
    rill__object object; /* First: core reaches it by a cast (report.c). */
    uint32_t magic;
    uint8_t phase;
    uint8_t refuse;
    bool closing;        /* close, abort or a loss has begun. */
    bool aborting;       /* abort was called: no more callbacks but connection_lost. */
    bool reading_paused; /* By the user. */
    bool writing_paused; /* pause_writing was delivered. */
    bool eof_received;
    uint8_t refused_writes;
    rill_loop *loop;
    const rill_transport_ops *ops;
    const rill_protocol *protocol;
    void *self;
    rill_id id;
    size_t queued_bytes;
    size_t write_high;
    size_t write_low;
    size_t write_cap;
    rill_ns close_timeout; /* Of a close that waits for a sendfile; kinds keep their own. */
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct rill__extra *extra; /* What few connections need: drains, a sendfile, a sentence. */
    struct rill__state *state; /* The protocol's state when it is not inline. */
    rill_server *server;
    rill__link server_link;
    int close_code;      /* What a loss with code 0 becomes: RILL_EOF after the peer's end. */
    int abort_code;      /* With which the kind was told to abort, */
    uint8_t abort_layer; /* and who says so: kinds pass on the code and the sentence alone. */
    uint32_t bytes;      /* Of this piece of memory. */
    union {
        void *arg;        /* Until connection_made. */
        rill__ready reap; /* After connection_lost. */
    } tail;
};

#define RILL__BASE_BYTES ((sizeof(struct rill_transport) + 15) / 16 * 16)

/* A protocol's state outside of the transport. */
struct rill__state {
    rill__ready reap;
    rill_loop *loop;
    size_t bytes;
    _Alignas(16) unsigned char data[];
};

typedef struct rill__sendfile rill__sendfile;

struct rill__extra {
    rill__link drains;
    rill__sendfile *sendfile;
    rill_reason reason;
    void (*gone)(void *arg); /* After connection_lost, whatever the protocol is by then; or NULL. */
    void *gone_arg;
    char sentence[112];
};

/* ---- options (options.c) ---- */

/* A connection's options, filled in. */
typedef struct rill__config {
    rill_transport_options options;
} rill__config;

int rill__config_init(rill__config *config, rill_loop *loop, const rill_transport_options *options);
/* Options of one new socket; `inherited`: TCP_NODELAY is set on the listener already. */
int rill__config_apply(
    const rill__config *config, rill_loop *loop, int fd, rill_family family, bool inherited);

/* ---- base (transport.c, deliver.c) ---- */

static inline void *
rill__impl(const rill_transport *t)
{
    return (char *)t + RILL__BASE_BYTES;
}

static inline rill_transport *
rill__base(const void *impl)
{
    return (rill_transport *)((char *)impl - RILL__BASE_BYTES);
}

_Noreturn void rill__panic_dead(const rill_transport *t, const char *function);

/* rill_transport_wants_data, for the hot path. */
static inline bool
rill__wants_data(const rill_transport *t)
{
    return t->phase == RILL__PHASE_OPEN && !(t->reading_paused | t->closing | t->eof_received);
}

/* rill_transport_data for kinds that looked at rill__wants_data just before. */
size_t rill__transport_data(rill_transport *t, rill_slice in);

/* A callback is about to run: for the report on slow ones. */
static inline void
rill__enter(const rill_transport *t, const char *what)
{
    t->loop->current_site = t->object.site;
    t->loop->current_what = what;
}

/* rill__transport_data for a protocol that is not a buffered one. */
static inline void
rill__transport_data_received(rill_transport *t, rill_slice in)
{
    assert(in.len > 0 && rill__wants_data(t) && t->protocol->get_buffer == NULL);
    t->bytes_in += in.len;
    rill__enter(t, "data_received");
    if (RILL__LIKELY(t->protocol->data_received != NULL))
        t->protocol->data_received(t, t->self, in);
}

static inline void
rill__check_live(const rill_transport *t, const char *function)
{
    if (RILL__UNLIKELY(t->magic != RILL__LIVE))
        rill__panic_dead(t, function);
    rill__check_thread(t->loop, function);
}

/* An optional entry of a table that may be older than this library. */
#define RILL__HAS_OP(t, entry)                                                          \
    ((t)->ops->size >= offsetof(rill_transport_ops, entry) + sizeof((t)->ops->entry) && \
        (t)->ops->entry != NULL)

/* What a descriptor from outside is: a RILL__FD_ kind or an error. The simulator's own numbers are
 * nobody else's, so none that comes from outside can mean one of them. */
static inline int
rill__probe(rill_loop *loop, int fd)
{
    if (loop->sys->public_fd(loop->driver, fd) == RILL_ENOTSUP)
        return RILL_ENOTSUP;
    return loop->sys->probe(loop->driver, fd);
}

/* rill_transport_new for what was checked before. */
int rill__transport_new(rill_loop *loop, const rill_transport_ops *ops, const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/* rill_transport_set_protocol for what was checked before. */
int rill__transport_exchange(rill_transport *t, const rill_protocol *protocol, void *arg);

/* RILL_EINVAL with a sentence for tables that cannot work. */
int rill__protocol_check(rill_loop *loop, const rill_protocol *protocol);

/* The extra record, made on first use; NULL without memory. */
struct rill__extra *rill__transport_extra(rill_transport *t);

/* Run a release function in the next turn. Returns 0 or -ENOMEM. */
int rill__release_soon(rill_loop *loop, rill_release_fn release, void *arg);

/* Have the memory freed at the end of the turn (after connection_lost). */
void rill__transport_reap(rill_transport *t);

/* Begin the orderly end with a code for connection_lost. */
void rill__transport_close(rill_transport *t, int code);
void rill__transport_abort(rill_transport *t, int code, rill_layer layer, const char *sentence);

/* For transports that read into the protocol's own buffer: true when it is a buffered protocol. */
static inline bool
rill__transport_is_buffered(const rill_transport *t)
{
    return t->protocol->get_buffer != NULL;
}

/* The protocol's buffer; 0: none was given and the connection is being lost. */
size_t rill__transport_get_buffer(rill_transport *t, size_t hint, void **ret_buf);
void rill__transport_buffer_updated(rill_transport *t, size_t len);

/* A drain or the sendfile may go on: fewer bytes are queued. */
void rill__drains_check(rill_transport *t);
/* The transport is lost: end them with `code`. */
void rill__drains_end(rill_transport *t, int code);
void rill__sendfile_resume(rill_transport *t);
/* The kernel cannot do this pair after all, nothing was sent: read and write, if allowed. */
void rill__sendfile_not_native(rill_transport *t);
void rill__sendfile_end(rill_transport *t, int code);
/* So many bytes had left by the kind's own means when the connection was lost. */
void rill__sendfile_note_sent(rill_transport *t, uint64_t sent);
/* close was called while a sendfile runs: it goes first, within the close timeout. */
bool rill__sendfile_delays_close(rill_transport *t);

/* The server's part in the end of a connection (server.c). */
void rill__server_detach(rill_transport *t);

/* ---- the write queue (queue.c) ---- */

typedef struct rill__segment rill__segment;

typedef struct rill__queue {
    rill__segment *head;
    rill__segment *tail;
} rill__queue;

static inline bool
rill__queue_is_empty(const rill__queue *queue)
{
    return queue->head == NULL;
}

int rill__queue_append(rill_loop *loop, rill__queue *queue, const void *data, size_t len);
/* A copy of at least 1 byte, with descriptors that travel with the first; release(arg) when they
 * have, or never will. */
int rill__queue_append_passing(rill_loop *loop, rill__queue *queue, const void *data, size_t len,
    const rill__passing *passing, rill_release_fn release, void *arg);
/* Those of the first byte; NULL: none. A peek ends before the next byte that has some. */
const rill__passing *rill__queue_passing(const rill__queue *queue);
int rill__queue_append_ref(rill_loop *loop, rill__queue *queue, const void *data, size_t len,
    rill_release_fn release, void *arg);
/* The first bytes as at most `max` parts; returns how many. */
size_t rill__queue_peek(const rill__queue *queue, rill__iov *iov, size_t max);
void rill__queue_consume(rill_loop *loop, rill__queue *queue, size_t len);
/* The same for bytes of the first part only, which stays there even when none is left. */
void rill__queue_advance(rill__queue *queue, size_t len);
/* The only part was sent inside the user's call: release it in the next turn. */
void rill__queue_release_soon(rill_loop *loop, rill__queue *queue);
/* Drop everything; returns the number of bytes. Runs release functions. */
size_t rill__queue_clear(rill_loop *loop, rill__queue *queue);
size_t rill__queue_bytes(const rill__queue *queue);

/* ---- the stream kind: TCP and Unix (stream.c) ---- */

/* Make a stream transport over a connected descriptor, which is owned on success. `peer` may be
 * NULL: it is asked for then. `inherited`: the descriptor came from the user. Follow with
 * rill__stream_open or rill_transport_discard. */
int rill__stream_new(rill_loop *loop, int fd, rill_family family, const rill_addr *peer,
    const rill__config *config, const rill_protocol *protocol, void *arg, const char *site,
    bool inherited, rill_transport **ret_transport);

/* Deliver connection_made and begin to read: from a callback of the loop. */
void rill__stream_open(rill_transport *t);
/* The same in the next turn. */
void rill__stream_open_soon(rill_transport *t);

/* Undo the making of one that was never opened: nothing of it is left. */
void rill__stream_discard(rill_transport *t);

/* ---- pipes (pipe.c) ---- */

/* Make a transport over one end of a pipe, which is owned on success and never waits already.
 * `what`: RILL__PIPE_*. `inherited`: the descriptor came from the user. Follow with
 * rill__stream_open, rill__stream_open_soon or rill_transport_discard. */
int rill__pipe_new(rill_loop *loop, int fd, int what, const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, bool inherited,
    rill_transport **ret_transport);

/* The same for two ends, the reading one first, that came from the user; follow with
 * rill__stream_open_soon. */
int
rill__duplex_new(rill_loop *loop, const int fds[2], const int whats[2], const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport);

/* ---- connects (connect.c) ---- */

/* The family of a connected stream socket that comes from outside; else the error with its
 * sentence. */
int rill__stream_family(rill_loop *loop, int fd, rill_family *ret_family);

/* Addresses of a host for connecting or listening: numeric, localhost, or (passive) a wildcard.
 * Returns how many, at most 2, or the error with its sentence. */
#define RILL__HOST_ADDRS 2
int rill__host_addresses(rill_loop *loop, const char *host, int port, rill_family family,
    bool passive, rill_addr ret_addrs[RILL__HOST_ADDRS]);

#endif
