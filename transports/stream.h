/*
 * The stream kind's struct and its parts: the stream itself (stream.c), writing (stream_write.c),
 * its deadlines (deadlines.c), what it tells about its socket (stream_info.c) and its sendfile
 * (stream_file.c); and the ends of pipes, which are streams that go one way (pipe.c).
 */
#ifndef RILL__STREAM_H
#define RILL__STREAM_H

#include "transports/internal.h"

enum stream_phase {
    STREAM_OPEN,
    STREAM_DYING,    /* A send failed: input that has arrived is delivered, then it is lost. */
    STREAM_FLUSHING, /* close was called, bytes are queued. */
    STREAM_CLOSING   /* The io is being closed; its record is the last. */
};

#define STREAM_PARTS 2  /* Of one send that waits; the pump then goes on with many. */
#define STREAM_PEER  28 /* A sockaddr_in6; longer ones (Unix paths) are asked for. */

typedef struct rill__deadlines rill__deadlines;

/* A native sendfile: waits for the queue to empty, then one operation after another. */
struct rill__stream_file {
    uint64_t offset;
    uint64_t left;
    uint64_t sent;
    int fd;
    bool canceled; /* The operation in flight may complete all the same, no other is started. */
};

typedef struct stream {
    rill__io io;
    rill__queue queue;
    rill__iov parts[STREAM_PARTS]; /* Of the send in flight: stays put until its record. */
    size_t parts_count;
    rill__deadlines *deadlines; /* NULL: none is running and none is set. */
    rill_ns close_timeout;
    struct rill__stream_file *file; /* A native sendfile that waits or runs. */
    int code;                       /* DYING, CLOSING: why. */
    const char *sentence;
    uint8_t layer;
    uint8_t phase;
    bool eof_pending;
    bool file_active; /* A sendfile operation is in flight. */
    bool is_duplex;   /* It is the writing half of a rill__duplex. */
    bool out_closed;  /* Which is closed already; reading goes on. */
    bool out_broken;  /* For `code`, which connection_lost will get. */
    uint8_t peer_len;
    uint8_t peer[STREAM_PEER];
} stream;

/* One whose io is a RILL__IO_RIGHTS. */
typedef struct accepting_stream {
    stream stream;
    struct rill__stream_rights *rights; /* What has come and nobody has taken. */
} accepting_stream;

/* The io is closed and its record will be connection_lost. Idempotent. */
void rill__stream_die(stream *s, int code, rill_layer layer, const char *sentence, bool reset);
/* Send the queue's first parts when the socket takes bytes; nothing is in flight. */
void rill__stream_start_send(stream *s);
void rill__stream_pump(stream *s);
void rill__stream_sent(stream *s, size_t len);
void rill__stream_write_failed(stream *s, int code);

/* What the kinds of pipes share with those of sockets. */
int rill__stream_attach(stream *s, int fd, rill__io_kind kind, const rill__config *config);
void rill__stream_write_eof(rill_transport *t, void *impl);
void rill__stream_close(rill_transport *t, void *impl);
void rill__stream_abort(rill_transport *t, void *impl, int code, const char *sentence);
void rill__stream_pause_reading(rill_transport *t, void *impl);
void rill__stream_resume_reading(rill_transport *t, void *impl);
int rill__stream_detach(rill_transport *t, void *impl, void *buf, size_t size, size_t *ret_len);
void rill__stream_finalize(rill_transport *t, void *impl);

/* The io's close record has come; all of them, if there are several. */
void rill__stream_closed(stream *s);
void rill__stream_receive(stream *s, rill__io *in);

/* pipe.c: the receive record of a writing end. */
void rill__pipe_on_hangup(rill__op *op);

/* pipe_duplex.c: a stream whose io only sends, and another io that only receives. */
typedef struct rill__duplex {
    stream out; /* First: the one is reached from the other by a cast. */
    rill__io in;
    uint8_t closes_left;
} rill__duplex;

void rill__duplex_end(stream *s);
void rill__duplex_shut_out(stream *s);
/* A write failed. Returns whether reading goes on. */
bool rill__duplex_out_failed(stream *s, int code);

/* The io that receives. */
static inline rill__io *
rill__stream_in(stream *s)
{
    return RILL__UNLIKELY(s->is_duplex) ? &((rill__duplex *)s)->in : &s->io;
}

/* stream_write.c */
void rill__stream_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count);
int rill__stream_write_ref(rill_transport *t, void *impl, const void *data, size_t len,
    rill_release_fn release, void *arg);
/* The queue is empty: has all that was written left? What comes back from the driver is queued and
 * sent again; false then, and when the connection is lost for it. */
bool rill__stream_all_sent(stream *s);

/* Send what is staged for whomever. */
static inline void
rill__stream_flush_staged(rill_loop *loop)
{
    if (loop->epilogue != NULL)
        rill__loop_run_epilogue(loop);
}

/* stream_info.c */
void rill__stream_set_peer(stream *s, const rill_addr *peer);
int rill__stream_peername(const rill_transport *t, const void *impl, rill_addr *ret_addr);
int rill__stream_sockname(const rill_transport *t, const void *impl, rill_addr *ret_addr);
int rill__stream_fd(const rill_transport *t, const void *impl);
int rill__stream_credentials(const rill_transport *t, const void *impl, rill_credentials *ret_peer);
int rill__stream_tcp_info(const rill_transport *t, const void *impl, rill_tcp_info *ret_info);
int rill__stream_set_option(rill_transport *t, void *impl, rill_option option, int value);
int rill__stream_get_option(
    const rill_transport *t, const void *impl, rill_option option, int *ret_value);

/* deadlines.c: idle, stall and close timeouts with one timer, made when first needed. */
int rill__deadlines_init(stream *s, const rill_transport_options *options);
void rill__deadlines_free(stream *s);
void rill__deadlines_stop(stream *s);
void rill__deadlines_send_waits(stream *s);
void rill__deadlines_send_done(stream *s);
void rill__deadlines_close_begins(stream *s);
void rill__deadlines_note_sent(stream *s);
void rill__deadlines_note_received(stream *s);
int rill__stream_set_timeout(rill_transport *t, void *impl, rill_timeout which, rill_ns value);

/* Bytes moved. */
static inline void
rill__deadlines_sent(stream *s)
{
    if (RILL__UNLIKELY(s->deadlines != NULL))
        rill__deadlines_note_sent(s);
}

static inline void
rill__deadlines_received(stream *s)
{
    if (RILL__UNLIKELY(s->deadlines != NULL))
        rill__deadlines_note_received(s);
}

/* stream_rights.c */
int rill__stream_rights_init(stream *s, size_t max);
void rill__stream_rights_free(stream *s);
bool rill__stream_holds_descriptors(const stream *s); /* That nobody has taken. */
/* Of an io of the kind RILL__IO_RIGHTS: as the driver's recv_into, keeping the descriptors. */
int64_t rill__stream_rights_recv(stream *s, void *buf, size_t len);
int rill__stream_write_descriptors(
    rill_transport *t, void *impl, const void *data, size_t len, const int *fds, size_t count);
int rill__stream_take_descriptor(rill_transport *t, void *impl);

/* stream_file.c */
int rill__stream_sendfile(rill_transport *t, void *impl, int fd, uint64_t offset, uint64_t count);
void rill__stream_sendfile_cancel(rill_transport *t, void *impl);
void rill__stream_file_start(stream *s);
void rill__stream_file_end(stream *s, int rc);
void rill__stream_file_on_send(stream *s);

#endif
