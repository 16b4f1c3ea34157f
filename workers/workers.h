/*
 * What the files of workers/ share: the workers, the places where they listen, and one worker as
 * seen from its own side and from the side of the supervisor, the thread in rill_workers_run.
 */
#ifndef RILL__WORKERS_INTERNAL_H
#define RILL__WORKERS_INTERNAL_H

#include <stdatomic.h>

#include <rill/workers.h>

#include "core/driver/host.h"
#include "core/internal.h"

#define RILL__PLACES_MAX    8
#define RILL__ADDRS_MAX     64 /* Of one place. */
#define RILL__WORKERS_MAX   1024
#define RILL__WORKERS_RETRY (10 * RILL_MS) /* A channel is full: look again then. */

/* ---- what workers and supervisor share, in memory that survives a fork ---- */

typedef struct rill__seat {
    _Atomic uint64_t taken; /* Connections that came through the channel, */
    _Atomic uint64_t left;  /* and those of them that are gone. */
    _Atomic bool serving;
} rill__seat;

/* One worker's numbers: it writes them, others read. Its own cache lines. */
typedef struct rill__cell {
    _Alignas(128) _Atomic uint64_t turns;
    _Atomic uint64_t live;
    _Atomic uint64_t accepted;
    _Atomic uint64_t refused;
    _Atomic uint64_t aborted;
    _Atomic uint32_t state; /* rill_worker_state */
    _Atomic int32_t code;   /* What main returned, once `returned`. */
    _Atomic bool returned;
    rill__seat seats[RILL__PLACES_MAX];
    _Alignas(128) _Atomic uint64_t restarts; /* Here the supervisor writes. */
    _Atomic int64_t process;
} rill__cell;

typedef struct rill__board {
    _Atomic bool stop;
    _Atomic bool starved; /* The acceptor waits for a worker with room. */
    rill__cell cells[];
} rill__board;

/* ---- the channel from the supervisor to a worker ---- */

enum rill__order { RILL__ORDER_STOP = 1, RILL__ORDER_TAKE = 2 };

typedef struct rill__message {
    uint32_t order;
    uint32_t place;
} rill__message;

/* One message and a copy of descriptor `fd` (-1: none) through the channel: 0, -EAGAIN, -EPIPE. */
int rill__order_send(int end, const rill__message *message, int fd);
/* One message, and its descriptor or -1: 1; 0 when nobody has the other end any more; -errno. */
int rill__order_receive(int end, rill__message *ret_message, int *ret_fd);

/* ---- places ---- */

typedef struct rill__place {
    rill_server_options options; /* Its pointers are to memory of ours. */
    rill_transport_options transport;
    rill_addr addr;
    size_t count;             /* Addresses. */
    size_t first;             /* Number of the first one, over all places. */
    int fds[RILL__ADDRS_MAX]; /* Bound; -1 once closed. */
    rill_addr addrs[RILL__ADDRS_MAX];
    bool shared; /* Workers get duplicates of `fds`. */
    bool owns_path;
    uint64_t identity[2];
    void *texts;
    size_t texts_bytes;

    /* The acceptor's. */
    int held; /* A connection for which there is no room, or -1. */
    bool exhausted;
    rill_ns rest_until; /* Without descriptors or memory. */
} rill__place;

/* ---- one worker ---- */

typedef struct rill__served {
    rill_worker *worker;
    rill__seat *seat;
    rill_server *server; /* NULL before and after. */
    bool once;           /* It was served. */
    bool left;           /* By main: the loop's end ends it. */
} rill__served;

enum rill__slot_phase { RILL__SLOT_IDLE, RILL__SLOT_RUNS, RILL__SLOT_WAITS, RILL__SLOT_DONE };

struct rill_worker {
    rill_workers *workers;
    int index;
    rill__cell *cell;
    int ends[2]; /* The supervisor's and the worker's end of the channel: kept over restarts, so
                  * that what was handed over to one that failed is still there. */
    int *fds;    /* Its duplicates of shared places' descriptors, by number; -1: none. */

    /* The worker's side, while it runs. */
    rill_loop *loop;
    rill__io io;
    rill__served served[RILL__PLACES_MAX];
    bool stopping;
    size_t draining; /* Servers. */
    rill__ready first_turn;
    rill__ready begin_to_drain;
    rill_callback on_stop;
    void *on_stop_arg;

    /* The supervisor's side. */
    enum rill__slot_phase phase;
    bool told; /* To stop. */
    uintptr_t thread;
    rill__host_process process;
    uint64_t starts;
    rill_ns started;
    rill_ns restart_at;
    rill_ns delay;      /* The next one. */
    rill_ns kill_at;    /* RILL_NEVER: not. */
    rill_ns full_until; /* Its channel was full. */
    uint64_t handed[RILL__PLACES_MAX];
};

enum rill__workers_phase { RILL__WORKERS_NEW, RILL__WORKERS_RUN, RILL__WORKERS_OVER };

struct rill_workers {
    rill_workers_options options;
    rill_loop_options loop_options;
    rill_allocator allocator;
    rill_worker_main main;
    void *arg;
    uint32_t fork_generation;
    _Atomic uint32_t phase; /* rill__workers_phase */
    int bell;               /* Rung for the supervisor. */
    rill__board *board;
    size_t board_bytes;
    rill__place *places[RILL__PLACES_MAX];
    int places_count;
    size_t addrs_count; /* Of all places. */
    int *fds;           /* Of all workers: see rill_worker. */
    rill__host_wait *waits;
    size_t waits_count;

    /* The supervisor's, while it runs. */
    bool announced; /* That all run. */
    bool stopping;
    bool closed;      /* The acceptor has ended. */
    rill_ns close_by; /* When it gives up on connections nobody has room for. */
    int next;         /* Who is asked first among equals. */
    int count;
    rill_worker slots[];
};

static inline void *
rill__workers_alloc(rill_workers *workers, size_t size)
{
    void *ptr = workers->allocator.alloc(workers->allocator.ctx, size, RILL_TAG_LOOP);

    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

static inline void
rill__workers_dealloc(rill_workers *workers, void *ptr, size_t size)
{
    if (ptr != NULL)
        workers->allocator.free(workers->allocator.ctx, ptr, size, RILL_TAG_LOOP);
}

static inline bool
rill__workers_hand_over(const rill_workers *workers)
{
    return workers->options.accept == RILL_ACCEPT_HANDOVER;
}

/* place.c */
void rill__place_close(rill__place *place); /* Its descriptors. */
void rill__place_free(rill_workers *workers, rill__place *place);

/* worker.c: the whole life of a worker, in its thread or process; returns main's code. */
int rill__worker_live(rill_worker *worker);

/* start.c: 0 and it runs, or an error. In a child process it does not return. */
int rill__worker_start(rill_worker *worker);
void rill__worker_close_fds(rill_worker *worker);

/* handover.c: the acceptor, run by the supervisor. */
int rill__handover_begin(rill_workers *workers);
/* Accept where it is ready (waits as filled in by rill__handover_watch), and hand over. */
size_t rill__handover_watch(rill_workers *workers, rill__host_wait *waits, rill_ns *deadline);
void rill__handover_turn(rill_workers *workers, const rill__host_wait *waits);
/* On stop: true when whoever waits was handed over, and the sockets are closed. */
bool rill__handover_end(rill_workers *workers);
/* A worker has ended: who was on the way to it goes to others. */
void rill__handover_reclaim(rill_worker *worker, bool restarts);

#endif
