/*
 * Workers: a loop on each core.
 *
 * Each worker is a thread or a process with a loop of its own; they share nothing but the places
 * where they listen. The thread that calls rill_workers_run watches over them: it starts again what
 * has failed, with growing pauses, and on rill_workers_stop has all of them drained.
 *
 *     static int
 *     serve(rill_worker *worker, rill_loop *loop, void *arg)
 *     {
 *         int rc = rill_worker_serve(worker, 0, &echo, arg, NULL);
 *
 *         return rc < 0 ? rc : rill_loop_run(loop);
 *     }
 *
 *     rill_workers_create(NULL, serve, NULL, &workers);
 *     rill_workers_listen(workers, &RILL_SERVER_OPTIONS(.host = "*", .port = 8080), NULL);
 *     rill_workers_run(workers);
 *     rill_workers_free(workers);
 *
 * Functions of rill_workers are for one thread, those of rill_worker for the worker's own, unless
 * they say "any thread".
 */
#ifndef RILL_WORKERS_H
#define RILL_WORKERS_H

#include <rill/loop.h>
#include <rill/server.h>

RILL_BEGIN

typedef struct rill_workers rill_workers;
typedef struct rill_worker rill_worker;

/* How many CPUs this process may use: those of the calling thread's affinity mask, or as many as
 * the CPU quotas of its control groups (versions 1 and 2, all levels) allow, rounded up, if that is
 * less. At least 1. Any thread. */
RILL_API int rill_cpu_count(void);

/* How connections find their worker. */
typedef enum rill_accept_mode {
    /* Each worker listens on a socket of its own (SO_REUSEPORT) and the kernel spreads connections
     * by a hash of the addresses: cheapest, fair for many connections. Unix sockets and inherited
     * descriptors, which cannot be had more than once, are shared as with RILL_ACCEPT_SHARED. */
    RILL_ACCEPT_REUSEPORT,
    /* The thread in rill_workers_run accepts, and hands each connection to the worker with the
     * fewest alive: fair for few, long and heavy ones. */
    RILL_ACCEPT_HANDOVER,
    /* All workers accept from the same sockets: whoever is awake first. */
    RILL_ACCEPT_SHARED
} rill_accept_mode;

/* How a worker ended. */
typedef struct rill_worker_end {
    size_t size;          /* sizeof(rill_worker_end) */
    int index;            /* The worker's, from 0. */
    int code;             /* What its main returned; of a process that called exit, its status. */
    int signal;           /* That killed the process, or 0. */
    rill_ns lived;        /* Since its start. */
    rill_ns restart_in;   /* RILL_NEVER: it is not started again. */
    const char *sentence; /* For a log, borrowed: "worker 2 (process 4711) was killed by ...". */
} rill_worker_end;

/* Runs on the thread in rill_workers_run; may call rill_workers_stop. */
typedef void (*rill_worker_ended_fn)(rill_workers *workers, const rill_worker_end *end, void *arg);

/* Runs on the thread in rill_workers_run; may call rill_workers_stop. */
typedef void (*rill_workers_ready_fn)(rill_workers *workers, void *arg);

/*
 * A worker's program, on its own thread or in its own process. The loop is its own, made before and
 * freed after. It makes servers with rill_worker_serve, runs the loop until it is stopped, and
 * returns 0. Returning 0 before rill_workers_stop means that this worker has nothing more to do;
 * any other code is a failure after which it is started again. What is alive when it returns is
 * ended with the loop: connection_lost may run then, and must not need what main had on its stack.
 *
 * A process inherits the parent's signal handlers, and ends with _exit: functions registered with
 * atexit do not run.
 */
typedef int (*rill_worker_main)(rill_worker *worker, rill_loop *loop, void *arg);

typedef struct rill_workers_options {
    size_t size;             /* Set by RILL_WORKERS_OPTIONS or rill_workers_options_default. */
    int count;               /* 1..1024; 0: rill_cpu_count(). */
    int processes;           /* 1: a process each; default a thread each. */
    int pin;                 /* 1: worker n stays on the nth allowed CPU (modulo their number). */
    rill_accept_mode accept; /* Default RILL_ACCEPT_REUSEPORT. */
    rill_ns drain_timeout;   /* What is left so long after stop is aborted. Default 10 s;
                              * RILL_NEVER: no end. A process that has not ended 5 s later, since
                              * its main does not return, is killed. */
    rill_ns restart_delay; /* Before the first restart; twice as long before each next one. Default
                              * 100 ms. */
    rill_ns restart_delay_max;     /* The longest delay; who lived so long begins with the first one
                                * again. Default 10 s; never below restart_delay. */
    const rill_loop_options *loop; /* For each loop. The struct is copied; what it points to is
                                    * borrowed until rill_workers_free, and used by all workers at
                                    * once: an allocator and a log must be for any thread. Not for
                                    * "sim". NULL: defaults. */
    rill_workers_ready_fn ready;   /* Once, when each worker's loop has begun to turn (or its main
                                    * has returned 0): whoever connects from now on is served. The
                                    * moment to print an address, or for rill_notify. */
    void *ready_arg;
    rill_worker_ended_fn ended; /* Each end of a worker; NULL: failures are logged as warnings,
                                    * by the log of the loop's options. */
    void *ended_arg;
} rill_workers_options;

#ifndef __cplusplus
#define RILL_WORKERS_OPTIONS(...) \
    ((rill_workers_options){ .size = sizeof(rill_workers_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_workers_options
rill_workers_options_default(void)
{
#ifdef __cplusplus
    rill_workers_options options = {};
#else
    rill_workers_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Prepare workers; none runs yet. `options` may be NULL. A loop is made and freed with the given
 * options to see that they are good.
 *
 * Returns 0; RILL_EINVAL (no size, an unknown newer option, a number out of range); RILL_ENOTSUP
 * for the simulator; whatever rill_loop_new returns; -ENOMEM, -EMFILE, -ENFILE. Nothing is left on
 * failure. Any thread.
 */
RILL_API int rill_workers_create(const rill_workers_options *options, rill_worker_main main,
    void *arg, rill_workers **ret_workers);

/*
 * Bind one more place, before rill_workers_run; at most 8. It gets the next number, from 0 on, in
 * `ret_place` (may be NULL). Port 0 is decided here: all workers get the same. Whoever connects
 * before workers serve it (`ready` tells when they do) may be refused. Options are as for
 * rill_create_server and copied with all they point to, but for the hooks' arguments; reuse_port,
 * start_paused and no_socket are not for the caller. `connections_max` and connections_per_peer_max
 * hold for each worker. `closed` runs on the worker's thread. With host and hosts, port and hooks
 * apply to each worker's own socket again.
 *
 * Returns 0; RILL_ESTATE once rill_workers_run was called; RILL_ELIMIT for a ninth place;
 * RILL_EINVAL; and what rill_create_server returns for bad options or from bind. Nothing stays open
 * on failure.
 */
RILL_API int
rill_workers_listen(rill_workers *workers, const rill_server_options *options, int *ret_place);

/* The address `index` (from 0) of a place, as bound: with the port that was chosen. Returns 0, or
 * RILL_EINVAL when there is no such place or address. Any thread, also workers. */
RILL_API int
rill_workers_sockname(const rill_workers *workers, int place, size_t index, rill_addr *ret_addr);

/*
 * Start the workers and watch over them until all have ended for good: after rill_workers_stop, or
 * because each main returned 0. Once only. With processes, call it before the program has other
 * threads, as for every fork; children are killed if the calling thread ends.
 *
 * On stop, in this order: RILL_ACCEPT_HANDOVER accepts and hands over whoever waits; listening
 * sockets of the parent are closed; each worker's on_stop runs, it accepts whoever waits in its own
 * sockets and closes those; connections may end by themselves until drain_timeout; the loop stops.
 * A client that completes its connect between a listener's last accept and its close is reset by
 * the kernel, unless another worker listens there still and the sysctl net.ipv4.tcp_migrate_req is
 * 1 (Linux 5.14).
 *
 * Returns 0; RILL_ESTATE when it was called before; -errno from listen or poll, all workers having
 * ended. Failures of workers are no error here: see `ended`.
 */
RILL_API int rill_workers_run(rill_workers *workers);

/* Have all workers drained, and rill_workers_run return. Idempotent; before run, it starts none.
 * NULL is ignored. Any thread, any worker (also a process) and signal handlers. */
RILL_API void rill_workers_stop(rill_workers *workers);

/* Give everything back; NULL is ignored. While rill_workers_run runs it aborts with a message. In a
 * worker process it does nothing: they are the parent's. */
RILL_API void rill_workers_free(rill_workers *workers);

/* How many there are. Any thread. */
RILL_API int rill_workers_count(const rill_workers *workers);

typedef enum rill_worker_state {
    RILL_WORKER_NEW,      /* Not started yet. */
    RILL_WORKER_STARTING, /* Its main does not run the loop yet. */
    RILL_WORKER_RUNNING,  /* Its loop turns. */
    RILL_WORKER_DRAINING, /* It was told to stop. */
    RILL_WORKER_WAITING,  /* It failed and will be started again. */
    RILL_WORKER_ENDED     /* For good. */
} rill_worker_state;

typedef struct rill_worker_stats {
    size_t size; /* Set it to sizeof(rill_worker_stats) before the call. */
    rill_worker_state state;
    int64_t process;   /* Its process id, this one's for threads; 0 when it does not run. */
    uint64_t restarts; /* Starts after the first. */
    uint64_t live;     /* Connections of its places now. */
    uint64_t accepted; /* Ever, restarts included; handed over ones, too. */
    uint64_t refused;  /* Handed over, and closed for a limit or for want of memory. */
    uint64_t aborted;  /* By the drain's deadline. */
    uint64_t turns;    /* Of its present loop: one that stands still for long is stuck or idle. */
} rill_worker_stats;

/* Fill in `ret_stats` up to its size, while the workers run, without disturbing them. Returns 0, or
 * RILL_EINVAL for an index out of range. Any thread. */
RILL_API int
rill_workers_get_stats(const rill_workers *workers, int index, rill_worker_stats *ret_stats);

/*
 * Serve a place with `protocol` (borrowed for good) and `arg` in this worker, as its accept mode
 * says. `ret_server` may be NULL. The server is drained when the workers stop; with
 * RILL_ACCEPT_HANDOVER it has no sockets of its own.
 *
 * Returns 0; RILL_EINVAL when there is no such place; RILL_EBUSY while this worker serves it
 * already; RILL_ECLOSED once it was told to stop; what rill_create_server returns.
 */
RILL_API int rill_worker_serve(rill_worker *worker, int place, const rill_protocol *protocol,
    void *arg, rill_server **ret_server);

/* Call `fn(arg)` when the worker was told to stop, just before its servers begin to drain, for
 * telling connections to finish (rill_server_each). One that has just come may have sent a request
 * that nobody has read yet: better close those only that have had an answer, and the others after
 * theirs. Those that wait in the queue of a socket are accepted after this and can ask
 * rill_worker_is_stopping. Replaces an earlier one; NULL: none. */
RILL_API void rill_worker_on_stop(rill_worker *worker, rill_callback fn, void *arg);

/* True from the moment it was told to stop. */
RILL_API bool rill_worker_is_stopping(const rill_worker *worker);

/* From 0 to the number of workers less 1. */
RILL_API int rill_worker_index(const rill_worker *worker);

/* The loop of the worker, and the workers it is one of. */
RILL_API rill_loop *rill_worker_loop(const rill_worker *worker);
RILL_API rill_workers *rill_worker_workers(const rill_worker *worker);

RILL_END

#endif
