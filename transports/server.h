/*
 * The server's struct and its parts: the server itself (server.c), where it listens (listen.c), how
 * it accepts (accept.c) and who is connected from where (peers.c).
 */
#ifndef RILL__SERVER_INTERNAL_H
#define RILL__SERVER_INTERNAL_H

#include "transports/internal.h"

#define RILL__SERVER_MAGIC UINT32_C(0x5e64e400)

/* Told of each connection that comes to a server (+1) or leaves it (-1). */
typedef void (*rill__server_watch_fn)(void *arg, int change);

/* One listening socket. */
typedef struct listener {
    rill__io io;
    rill__own_timer rest; /* Without descriptors or memory: look again then. */
    rill_server *server;
    rill_addr addr;       /* As bound. */
    uint64_t identity[2]; /* Of a Unix path's file, to remove only our own. */
    int budget;           /* Accepts of the next record. */
    bool owns_path;
    bool attached;
    bool resting;
} listener;

/* Connections by the peer's address. */
typedef struct peers {
    struct peer **buckets;
    size_t bucket_count; /* A power of two, or 0. */
    size_t count;
    uint64_t key[2];
} peers;

struct rill_server {
    rill__object object;
    uint32_t magic;
    bool serving;
    bool closing;   /* rill_server_close was called. */
    bool crowded;   /* At connections_max: the listeners are paused. */
    bool exhausted; /* Within an episode without descriptors or memory. */
    rill_loop *loop;
    rill__config config;
    rill_server_options options; /* Its pointers are not kept. */
    const rill_protocol *protocol;
    void *arg;
    rill__link connections;
    rill_server_stats stats;
    peers peers;
    rill__server_watch_fn watch; /* Or NULL. */
    void *watch_arg;
    size_t attached; /* Listeners whose io is not closed yet. */
    rill_drained_fn drained;
    void *drained_arg;
    rill__own_timer drain_timer;
    size_t drain_aborted;
    rill__ready end;
    bool end_queued;
    size_t count; /* Listeners in use; the struct has room for `room`. */
    size_t room;
    listener listeners[];
};

/* listen.c */
int rill__listen_all(rill_server *server, const rill_server_options *options);
int rill__listener_listen(listener *l);
/* After it: take the connections, also once more. */
int rill__listener_accept(listener *l);
void rill__listener_stop(listener *l);
void rill__listener_close_fd(listener *l); /* Not attached yet. */

/* accept.c */
void rill__accept_on_recv(rill__op *op);
void rill__accept_on_rest(rill__own_timer *timer);
void rill__accept_backlog(listener *l); /* Before closing: take who waits. */
int rill__accept_adopted(rill_server *server, int fd);
void rill__accept_pause(rill_server *server);
void rill__accept_resume(rill_server *server);

/* peers.c: returns false when the peer has `max` connections already, or without memory. */
bool rill__peers_add(rill_server *server, const rill_addr *addr, size_t max);
void rill__peers_remove(rill_server *server, const rill_addr *addr);
void rill__peers_done(rill_server *server);

/* server.c */
void rill__server_attach(rill_server *server, rill_transport *t);
/* Before the loop's next turn after the server was made: it has no connection yet. */
void rill__server_watch(rill_server *server, rill__server_watch_fn watch, void *arg);
void rill__server_listener_closed(rill_server *server);

/* For the restart floor: sockets that two processes serve, one of which removes the path. */

/* Would closing this socket of the server remove a path? */
bool rill__server_owns_path(const rill_server *server, size_t index);

/* Every Unix listener of this loop for whose descriptor `is_meant` says so: its path is to be
 * removed with it, or not any more. */
typedef bool (*rill__fd_match)(void *ctx, int fd);
void rill__servers_own_paths(rill_loop *loop, bool own, rill__fd_match is_meant, void *ctx);

#endif
