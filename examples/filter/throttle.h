/*
 * A filter: a connection whose output is slowed down to so many bytes a second, over any transport.
 *
 * It is a protocol to the transport below and a transport to the protocol above. Give
 * `throttle_protocol` to a server, a connect or a pair, with a throttle_config as its `arg`; the
 * protocol named in the config then gets transports of kind "throttle".
 *
 * The state of the protocol below points to the transport above, whose `impl` is a struct throttle
 * and points back. Both end together, and the end always comes from below.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include <rill/loop.h>
#include <rill/transport_ops.h>

/* Borrowed; lives as long as connections are made with it. */
typedef struct throttle_config {
    uint64_t bytes_per_second; /* 1000 to 10^15. */
    const rill_protocol *protocol;
    void *arg;
    const rill_transport_options *options; /* For the marks and the cap above; NULL: defaults. */
} throttle_config;

extern const rill_protocol throttle_protocol;

/* Run the library's conformance battery over it; returns how many cases failed (conformance.c). */
int throttle_conformance(void);

/* The rest is between the files of the throttle. */

struct throttle {
    rill_transport *below;
    uint64_t rate;   /* Bytes a second. */
    rill_ns free_at; /* When the next byte may leave. */
    rill_id timer;   /* 0: not set. */
    uint8_t *queue;
    size_t start, queued, size;
    rill_slice held;   /* Arrived, but the protocol above paused in the middle of it. */
    size_t held_taken; /* Bytes of it that were delivered. */
    rill_id delivery;  /* The scheduled delivery of the rest, or 0. */
    bool blocked;      /* The transport below is above its high mark. */
    bool eof_wanted, close_wanted;
};

extern const rill_transport_ops throttle_ops;

/* Send what may leave now; returns how much that was, for the caller to account for. */
size_t throttle_pump(struct throttle *f);
/* The same, accounted for. */
void throttle_flush(struct throttle *f);

/* Make room for `len` more bytes behind the queue; false without memory. */
bool throttle_reserve(struct throttle *f, size_t len);

#endif
