/*
 * What the files of the io_uring driver share.
 */
#ifndef RILL__URING_H
#define RILL__URING_H

#include "core/driver/linux/linux.h"
#include "core/driver/uring/buffers.h"
#include "core/driver/uring/ring.h"
#include "core/internal.h"

/* Something that was received and not taken yet: bytes, or a connection. */
typedef struct uring_held uring_held;
struct uring_held {
    uring_held *next;
    uint8_t *data;
    uint32_t len;
    int32_t result; /* Without bytes: a descriptor, or an error. */
    uint16_t buffer;
};

/* The driver's part of an io. It outlives the io's detachment until its last completion. */
typedef struct uring_io uring_io;
struct uring_io {
    rill__io *io;
    rill__link link; /* Of the driver's list. */
    uring_io *unsettled_next;
    uring_held *held_first;
    uring_held *held_last;
    uring_held own; /* Mostly there is only one. */
    uint8_t *rest;  /* Taken on trust by send_soon, and not by the kernel: comes back. */
    uint32_t rest_len;
    uint32_t soon_len; /* Of a send in the queue of submissions; 0: there is none. */
    uint32_t soon_at;
    unsigned soon_place; /* The queue's tail behind it. */
    uint16_t soon_index;
    int soon_error;
    bool rest_given;    /* Its memory stays until the next call. */
    uint16_t in_flight; /* Requests whose last completion has not come. */
    bool own_used;
    bool unsettled; /* On the list of those that want to be looked at before waiting. */
    bool receiving; /* A multishot receive or accept is armed. */
    bool stopping;  /* And is being canceled. */
    bool polls_in;
    bool polls_out;
    bool half_closed; /* The peer's half is: a poll for writing completes for that alone. So */
    bool out_told;    /* it then tells of changes only, and when it told of room */
    bool out_ending;  /* it is canceled. */
    bool direct;      /* Reads when it is readable, without the ring of buffers. */
    bool ended;       /* `end` is the last result of the stream. */
    bool close_asked; /* In the queue or done. */
    bool deaf;        /* Who writes to it can never be told that nobody reads. */
    uint8_t large;    /* Receives in a row that filled much of a buffer; */
    uint8_t small;    /* or, while direct, that did not. */
    int fd;
    int end;
};

#define URING_SOON_BYTES ((size_t)64 * 1024)
#define URING_SOON_MANY  64 /* In a turn: the first one does not wait for many callbacks. */

typedef struct uring_driver {
    rill__linux base;
    uring_ring ring;
    uring_buffers buffers;
    bool buffers_ready;
    bool buffers_refused; /* No memory for them: everything is direct. */
    bool wake_armed;
    bool closes_by_call; /* Not by a request. */
    int broken;          /* Why the kernel does not let us in any more, for good; 0: it does. */
    uint32_t soon_count; /* Sends in the queue of submissions, of these (NULL: settled). */
    uint32_t soon_used;
    uring_io *soon_ios[URING_SOON_MANY];
    int event_fd;              /* For wake. */
    atomic_int backend_fd;     /* For foreign loops: signaled by the ring. -1 until asked for. */
    int lent;                  /* The buffer of the last take's slice, or -1. */
    uring_io *unsettled_first; /* In the order in which they came: records follow it. */
    uring_io *unsettled_last;
    rill__link ios;
    uint8_t soon[URING_SOON_BYTES]; /* What they send, until the next enter. */
} uring_driver;

/* The low bits of a completion's user data, beside the uring_io. */
enum uring_tag {
    URING_IGNORE, /* With no io: nothing to know. */
    URING_RECEIVE,
    URING_POLL_IN,
    URING_POLL_OUT,
    URING_CLOSE,
    URING_WAKE,
    URING_SEND,
    URING_TAGS_MASK = 7
};

static inline uring_driver *
uring_of(rill__driver *driver)
{
    return (uring_driver *)driver;
}

static inline uring_io *
uring_io_of(const rill__io *io)
{
    return io->driver_data;
}

static inline uint64_t
uring_data_of(const uring_io *u, enum uring_tag tag)
{
    static_assert(_Alignof(uring_io) > URING_TAGS_MASK, "the tag fits below a pointer");
    return (uint64_t)(uintptr_t)u | tag;
}

/* Look at it again before the next wait: something may have to be asked of the kernel. */
static inline void
uring_unsettle(uring_driver *self, uring_io *u)
{
    if (u->unsettled)
        return;
    u->unsettled = true;
    u->unsettled_next = NULL;
    if (self->unsettled_last != NULL)
        self->unsettled_last->unsettled_next = u;
    else
        self->unsettled_first = u;
    self->unsettled_last = u;
}

/* May records of its inbound side be queued now? */
static inline bool
uring_wants_in(const uring_io *u)
{
    return !u->io->closing && u->io->recv.active && !u->io->recv.paused;
}

/* uring.c: submit now, and hear of what ends at once. */
int uring_flush(uring_driver *self);

/* settle.c: ask the kernel for what the ios want, and hear from it. */
void uring_settle(uring_driver *self);
void uring_complete(uring_driver *self, const struct io_uring_cqe *cqe);
/* A request of the io has ended for good. May free it. */
void uring_request_ended(uring_driver *self, uring_io *u);
/* What was asked of a ring that is gone has to be asked again. */
void uring_forget_requests(uring_driver *self);
/* End every request of an io that stays open; fills the completion queue of others meanwhile. */
int uring_quiesce(uring_driver *self, uring_io *u);
void uring_io_free(uring_driver *self, uring_io *u);
void uring_drain(uring_driver *self);

/* outbound.c */
void uring_send_failed(uring_driver *self, uring_io *u, int result);
void uring_sent(uring_driver *self);
void uring_drop_rest(uring_driver *self, uring_io *u);
int64_t uring_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);
int64_t uring_send_soon(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count);
int64_t uring_send_rest(rill__driver *driver, rill__io *io, rill__iov *ret_rest);

/* inbound.c */
void uring_received(uring_driver *self, uring_io *u, const struct io_uring_cqe *cqe);
void uring_drop_held(uring_driver *self, uring_io *u);
void uring_release_lent(uring_driver *self);
int64_t uring_recv_take(rill__driver *driver, rill__io *io, rill_slice *ret_slice);
int64_t uring_recv_into(rill__driver *driver, rill__io *io, void *buf, size_t len);
int64_t uring_take_unread(rill__driver *driver, rill__io *io, void *buf, size_t size);
int uring_accept_take(rill__driver *driver, rill__io *io, int *ret_fd, rill_addr *ret_peer);

#endif
