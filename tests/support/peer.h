/*
 * The other side of a connection, which is not ours: on the kernel a plain non-blocking socket, on
 * the simulator a second endpoint in the same world. The same test body runs on both.
 */
#ifndef SUPPORT_PEER_H
#define SUPPORT_PEER_H

#include "endpoint.h"

typedef struct peer {
    harness *h;
    int fd;              /* The kernel's, or -1. */
    endpoint e;          /* The simulator's. */
    uint8_t bytes[4096]; /* The first of what came. */
    uint64_t received;
    uint64_t hash;
    bool reading, eof, reset;
    int connect_error; /* -errno when the connect was refused. */
} peer;

/* Connect to a server; done when the connection is there or refused. Reads at once. */
void peer_connect(peer *p, harness *h, const rill_addr *addr);
/* Only begin; the backlog may be full. */
void peer_connect_start(peer *p, harness *h, const rill_addr *addr);
/* Send all, running the loop where the window is closed. */
void peer_send(peer *p, const void *data, size_t len);
void peer_stop_reading(peer *p);
void peer_read_on(peer *p);
void peer_shutdown(peer *p); /* Half close. */
void peer_close(peer *p);    /* Idempotent. */
void peer_reset(peer *p);    /* The other side sees a reset. */

/* Run until so much came in all. */
void peer_await(peer *p, uint64_t received);

/* A peer connects there and is accepted; or it is refused. */
void serves(harness *h, acceptor *accepted, const char *host, int port);
void serves_not(harness *h, const char *host, int port);
/* Close the server and abort all of its connections. */
void end_server(harness *h, acceptor *accepted, rill_server *server);

/* Conditions for harness_until; they take what has arrived. */
bool peer_is_connected(void *p);
bool peer_has_eof(void *p);
bool peer_has_end(void *p); /* EOF or reset. */

#endif
