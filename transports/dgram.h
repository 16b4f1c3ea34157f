/*
 * What the files of the datagram kind share.
 */
#ifndef RILL__TRANSPORTS_DGRAM_H
#define RILL__TRANSPORTS_DGRAM_H

#include <rill/datagram.h>

#include "transports/internal.h"

enum dgram_phase {
    DGRAM_OPEN,
    DGRAM_FLUSHING, /* close was called and datagrams are queued. */
    DGRAM_CLOSING   /* The io is closing: its record is connection_lost. */
};

typedef struct rill__packets_chunk rill__packets_chunk;

/* Datagrams in order, packed into chunks; an empty chunk is kept for the next one. */
typedef struct rill__packets {
    rill__packets_chunk *head;
    rill__packets_chunk *tail;
    size_t count;
} rill__packets;

#define DGRAM_TROUBLES 8

/* An error that was not told yet, and how many datagrams met it. */
typedef struct dgram_trouble {
    int code;
    uint32_t count;
} dgram_trouble;

typedef struct dgram {
    rill__io io;
    const rill_datagram_protocol *protocol;
    rill_protocol base; /* Of the base transport: the callbacks that are the same. */
    rill_addr remote;   /* Where to send to by default; without a length: nowhere. */
    rill_addr path;     /* The socket file that is ours, if `owns_path`. */
    uint64_t identity[2];
    rill__packets queue;
    rill__packets held; /* Received, and not delivered yet because of a pause. */
    rill__ready tell;   /* error_received follows. */
    dgram_trouble troubles[DGRAM_TROUBLES];
    rill__own_timer timer; /* The close timeout. */
    rill__own_timer retry; /* Of a send whose room nobody tells of. */
    rill_ns close_timeout;
    rill_datagram_stats stats;
    size_t receive_max;
    int multicast_interface; /* As it was set; 0: the kernel's choice. */
    const char *sentence;    /* CLOSING: why, */
    int code;                /* as connection_lost is told; */
    uint8_t layer;
    uint8_t phase;
    uint8_t family;
    uint8_t troubles_count;
    uint8_t staged; /* Datagrams in the loop's stage. */
    bool connected;
    bool udp;
    bool owns_path;
    bool telling; /* `tell` is on the ready list. */
} dgram;

static inline const rill__dgram_ops *
rill__dgram_ops_of(const rill_transport *t)
{
    return t->loop->ops->dgrams;
}

/* NULL: a transport of another kind. */
dgram *rill__dgram_of(const rill_transport *t);

/* ---- dgram.c ---- */

/* `fd` is the transport's on success. Deliver connection_made in the next turn by
 * rill__dgram_open_soon. */
typedef struct dgram_birth {
    int fd;
    rill_family family;
    bool udp;
    bool connected;
    bool inherited;
    bool details;
    size_t receive_max;
    const rill_addr *remote; /* Or NULL. */
} dgram_birth;

int rill__dgram_new(rill_loop *loop, const dgram_birth *birth, const rill__config *config,
    const rill_datagram_protocol *protocol, void *arg, const char *site,
    rill_transport **ret_transport);
void rill__dgram_open_soon(rill_transport *t);
void rill__dgram_die(dgram *d, int code, rill_layer layer, const char *sentence);
/* A datagram met an error: it is told in the next turn, or with the callback that runs. */
void rill__dgram_trouble(dgram *d, int code);

/* ---- dgram_send.c ---- */

void rill__dgram_on_send(rill__op *op);
void rill__dgram_on_retry(rill__own_timer *timer);
/* Everything has left that can leave now. */
void rill__dgram_flush_staged(dgram *d);
void rill__dgram_forget_staged(dgram *d);

/* ---- dgram_open.c ---- */

/* RILL_EINVAL with a sentence for tables that cannot work. */
int rill__datagram_protocol_check(rill_loop *loop, const rill_datagram_protocol *protocol);

void rill__dgram_remove_path(dgram *d);

/* ---- dgram_options.c ---- */

int rill__dgram_peername(const rill_transport *t, const void *impl, rill_addr *ret_addr);
int rill__dgram_sockname(const rill_transport *t, const void *impl, rill_addr *ret_addr);
int rill__dgram_fd(const rill_transport *t, const void *impl);
int rill__dgram_set_option(rill_transport *t, void *impl, rill_option option, int value);
int rill__dgram_get_option(
    const rill_transport *t, const void *impl, rill_option option, int *ret_value);
int rill__dgram_set_timeout(rill_transport *t, void *impl, rill_timeout which, rill_ns value);

/* ---- dgram_packets.c ---- */

/* `to` may be NULL. The datagram is copied. Returns 0 or -ENOMEM. */
int rill__packets_append(
    rill_loop *loop, rill__packets *packets, const void *data, size_t len, const rill_addr *to);
/* The same, to be filled in: aligned to 8. */
int rill__packets_reserve(
    rill_loop *loop, rill__packets *packets, size_t len, const rill_addr *to, void **ret_data);
/* The first ones, at most `max`; returns how many. They are good until the next change. */
size_t rill__packets_peek(const rill__packets *packets, rill__departing *departing, size_t max);
/* Forget the first `count`; returns what they were accounted as. */
size_t rill__packets_consume(rill_loop *loop, rill__packets *packets, size_t count);
/* All of them, and the memory. */
size_t rill__packets_clear(rill_loop *loop, rill__packets *packets);

static inline size_t
rill__packet_cost(size_t len)
{
    return len + RILL_DATAGRAM_OVERHEAD;
}

#endif
