/*
 * A stream from the inside: what stream.c (its life and its protocol), stream_read.c,
 * stream_buffer.c, stream_until.c, stream_write.c, stream_open.c and stream_server.c share. Its
 * names begin with rill__flow, as rill__stream is a kind of transport.
 *
 * Where TLS comes in: to upgrade a stream, drain it, refuse unread bytes, give its transport the
 * filter as protocol, and make the filter's transport with rill__flow_protocol and the stream as
 * argument. Its connection_made takes the old transport's place (rill__flow_made), and what the old
 * one says from then on goes to the filter.
 */
#ifndef RILL__TASKS_STREAM_H
#define RILL__TASKS_STREAM_H

#include <rill/stream.h>

#include "tasks/internal.h"

#define RILL__FLOW_LIMIT ((size_t)64 * 1024)

/* From so much room on the kernel receives into the reader's own memory. Below, one receive into
 * the loop's buffer serves many reads. */
#define RILL__FLOW_DIRECT ((size_t)8 * 1024)

typedef struct rill__reader rill__reader;

/* The one task that waits for bytes; on its stack. The stream holds it until the task runs again,
 * so that nobody reads before it what it was woken for. */
struct rill__reader {
    rill__wait wait;
    rill_stream *stream;
    uint8_t *into; /* Bytes go straight there, */
    size_t room;   /* as many as fit; */
    bool any;      /* all of them are wanted, or any. */
    /* Without `into`: bytes go to the stream's buffer, until that is enough. */
    bool (*enough)(rill__reader *self);
    bool woken;
};

/* Unread bytes lie in the buffer or, while the callback that brought them is running the task that
 * reads, in `incoming`: never in both. */
struct rill_stream {
    uint32_t magic;
    uint32_t refs;  /* Those of users and of a server; */
    uint32_t pins;  /* and the library's: the transport, waits, a callback that is running. */
    uint32_t bytes; /* Of this piece of memory. */
    rill_loop *loop;
    rill_transport *t;           /* NULL before it is made and after it is lost. */
    const rill_protocol *plain;  /* The protocol, */
    const rill_protocol *direct; /* and while a task waits with room for much. */
    rill__reader *reader;
    rill_slice incoming;
    uint8_t *data; /* The buffer: unread bytes from `start` to `end`. */
    size_t start;
    size_t end;
    size_t capacity;
    size_t limit;
    uint8_t *old; /* A former buffer, parts of which are lent. */
    size_t old_capacity;
    uint64_t taken; /* Bytes, ever. */
    int error;      /* What reading and draining say; */
    int code;       /* and what connection_lost said. */
    bool eof;
    bool lost;
    bool asked;          /* close or abort was called. */
    bool paused;         /* Writing. */
    bool reading_paused; /* By us. */
    bool lent;           /* Part of `old` if there is one, else of `data`. */
    bool is_direct;
    bool handing; /* The first writer is awake and has not written yet. */
    rill__link drains;
    rill__link writers;
    rill__link closers;
    const char *site;
};

/* A task in one of the three lists. */
typedef struct rill__flow_wait {
    rill__wait wait;
    rill__link link;
} rill__flow_wait;

/* arg: the stream. */
extern const rill_protocol rill__flow_protocol;
extern const rill_protocol rill__flow_direct_protocol;

/* ---- stream.c ---- */

/* `bytes`: of a struct that begins with the stream. One reference. 0, RILL_EINVAL, RILL_ECLOSED,
 * -ENOMEM. */
int rill__flow_new(
    rill_loop *loop, size_t bytes, size_t limit, const char *site, rill_stream **ret_stream);
int rill__flow_options(
    rill_loop *loop, const rill_stream_options *options, rill_stream_options *ret_copy);
/* Have `t`, which is open, and whose protocol was exchanged for the stream's. */
void rill__flow_take_over(rill_stream *stream, rill_transport *t);
/* From now on, until something arrives that nobody waits for with much room. */
void rill__flow_go_direct(rill_stream *stream);
void rill__flow_unpin(rill_stream *stream);

/* Its callbacks, for the tables of others. */
void rill__flow_made(rill_transport *t, void *self, void *arg);
void rill__flow_data(rill_transport *t, void *self, rill_slice in);
size_t rill__flow_get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf);
void rill__flow_buffer_updated(rill_transport *t, void *self, size_t len);
bool rill__flow_eof(rill_transport *t, void *self);
void rill__flow_pause(rill_transport *t, void *self);
void rill__flow_resume(rill_transport *t, void *self);
void rill__flow_lost(rill_transport *t, void *self, const rill_reason *why);

_Noreturn RILL__RARE void rill__flow_panic(const rill_stream *stream, const char *function);

#define RILL__FLOW_LIVE UINT32_C(0x57e4ab1e)

static inline void
rill__flow_check(const rill_stream *stream, const char *function)
{
    if (RILL__UNLIKELY(stream->magic != RILL__FLOW_LIVE))
        rill__flow_panic(stream, function);
    rill__check_thread(stream->loop, function);
}

/* At the head of what waits on a stream. */
static inline int
rill__flow_may_wait(rill__fiber *fiber, const rill_stream *stream, const char *function)
{
    RILL__REQUIRE(stream != NULL);
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (RILL__UNLIKELY(stream->magic != RILL__FLOW_LIVE))
        rill__flow_panic(stream, function);
    if (RILL__UNLIKELY(fiber->loop != stream->loop))
        return rill__refuse_foreign(fiber, stream->site);
    return rill__may_wait(fiber);
}

/* In a list, until woken or canceled. What the wait is called is in `self` already. */
int rill__flow_wait_for(rill__fiber *fiber, rill__link *list, rill__flow_wait *self);
/* In one of a stream's lists, which is pinned when it returns: rill__flow_unpin. */
int rill__flow_wait_in(rill_stream *stream, rill__link *list, rill__flow_wait *self);
void rill__flow_wake_all(rill__link *list, int code);

/* ---- the buffer (stream_buffer.c) ---- */

static inline size_t
rill__flow_unread(const rill_stream *stream)
{
    return stream->end - stream->start + stream->incoming.len;
}

/* Unread bytes behind those that are there; the connection is lost where there is no memory, and
 * the result false. */
bool rill__flow_append(rill_stream *stream, rill_slice in);
/* All unread bytes in the buffer. */
bool rill__flow_gather(rill_stream *stream);
/* Take up to `cap` bytes. */
size_t rill__flow_take(rill_stream *stream, void *buf, size_t cap);
/* Bytes that were taken, back to where they were. */
void rill__flow_put_back(rill_stream *stream, const void *data, size_t len);
/* Lend the first bytes, which are in the buffer. */
void rill__flow_lend(rill_stream *stream, size_t len, rill_slice *ret_slice);
/* Forget the first bytes, which are in the buffer. */
void rill__flow_drop(rill_stream *stream, size_t len);
/* What was lent is not any more. */
void rill__flow_end_loan(rill_stream *stream);
/* Slow the peer down where too much is unread. */
void rill__flow_check_limit(rill_stream *stream);
void rill__flow_free_buffer(rill_stream *stream);

/* ---- reading (stream_read.c) ---- */

/* At the head of what reads: 0 or why not. */
int rill__flow_begin_read(rill__fiber *fiber, rill_stream *stream, const char *function);
int rill__flow_begin_lend(rill__fiber *fiber, rill_stream *stream, const char *function);
/* Wait as `reader` says; 0 for bytes or the end. The stream is pinned when it returns. */
int rill__flow_wait_read(rill__fiber *fiber, rill_stream *stream, rill__reader *reader);

#endif
