/*
 * The event loop: asyncio's, with native timers and ids.
 *
 * One loop belongs to one thread at a time: the thread that runs it. Every function here is for
 * that thread (or for any one thread while the loop does not run) unless it says "any thread". A
 * call from a wrong thread while the loop runs aborts with a message, as it would corrupt memory.
 *
 * The order of one turn is asyncio's: (1) wait for events, not at all when something is ready; (2)
 * append the events to the ready queue, then the expired timers by (deadline, creation); (3) run
 * what was ready at that point, first in first out. What these callbacks schedule runs in the next
 * turn, after another look for events; (4) free what ended.
 */
#ifndef RILL_LOOP_H
#define RILL_LOOP_H

#include <rill/base.h>
#include <rill/error.h>
#include <rill/memory.h>

RILL_BEGIN

typedef void (*rill_callback)(void *arg);

typedef enum rill_log_level {
    RILL_LOG_DEFAULT, /* In options: WARNING. */
    RILL_LOG_ERROR,
    RILL_LOG_WARNING,
    RILL_LOG_INFO,
    RILL_LOG_DEBUG
} rill_log_level;

/* One line of text without a newline, borrowed for the call. Called on the loop's thread; may call
 * nothing of the loop. The library never logs payload bytes. */
typedef void (*rill_log_fn)(rill_log_level level, const char *text, void *arg);

typedef struct rill_loop_options {
    size_t size; /* Set by RILL_LOOP_OPTIONS or rill_loop_options_default. */
    /* "auto" (epoll), "epoll", "uring" (from Linux 6.1 on), "sim"; or several, "uring,epoll": the
     * first that the kernel does not refuse, with a debug line for each that it does. NULL:
     * $RILL_DRIVER, else "auto". */
    const char *driver;
    const rill_allocator *allocator; /* NULL: malloc. Copied. */
    rill_sim *sim;        /* "sim" only: the world to live in; NULL: a world of its own. */
    const char *sim_host; /* "sim" only: name of the host in that world; NULL: "local". */
    rill_log_fn log;      /* NULL: warnings and errors go to stderr. */
    void *log_arg;
    rill_log_level log_level; /* Least urgent level that is logged. */
    int debug;             /* 1 on, -1 off, 0: on if $RILL_DEBUG is set, not empty and not "0". */
    rill_ns slow_callback; /* Debug: report callbacks that take this long; default 100 ms. */
    size_t recv_buffer_bytes; /* The hot receive buffer; default 128 KiB, at least 4 KiB. */
    size_t held_bytes_max;    /* For rill_slice_hold; default 64 MiB. */
    /* Before it sleeps the loop may poll for up to so long: lower latency for a busy core. 0, the
     * default: never; at most 1 ms. It does so while what arrives mostly arrives within that time,
     * and not for much longer than it mostly takes; else it tries in one sleep of 64. 50 * RILL_US
     * is more than a wake-up across cores takes. Worth it only on a core that nobody else wants.
     * Without effect on the simulator, where no time passes in a poll. */
    rill_ns spin;
} rill_loop_options;

#ifndef __cplusplus
#define RILL_LOOP_OPTIONS(...) \
    ((rill_loop_options){ .size = sizeof(rill_loop_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_loop_options
rill_loop_options_default(void)
{
#ifdef __cplusplus
    rill_loop_options options = {};
#else
    rill_loop_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Make a loop. `options` may be NULL for all defaults.
 *
 * Returns 0; -ENOMEM; RILL_EINVAL (no size set, unknown newer options, a buffer below 4 KiB, an
 * allocator without all of its functions, sim given for another driver, a negative slow_callback,
 * a spin below 0 or above 1 ms, an unknown log_level); RILL_ENODRIVER (unknown, not built in, or
 * refused by the kernel); -errno from making the poller. Nothing is created on failure. Any thread.
 * asyncio: new_event_loop.
 */
RILL_API int rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop);

/*
 * End the loop and everything in it; NULL is ignored. It always succeeds. In this order: pending
 * callbacks and timers are dropped; messages posted by rill_call_soon_threadsafe() run; tasks are
 * canceled, and have 5 s to end; jobs on other threads that have not begun are dropped (their
 * callback gets RILL_ELOOPFREED), those that have are waited for, 5 s in all; connect attempts and
 * a restart end (RILL_ELOOPFREED, too); servers close; every transport is aborted and gets its
 * connection_lost (RILL_ELOOPFREED); actions of signals are put back; memory goes. Nothing can be
 * scheduled meanwhile (RILL_ECLOSED). In debug mode each leftover is reported with the place that
 * made it. In a child process that inherited the loop by fork it does nothing: the loop is the
 * parent's.
 *
 * Returns the number of leftovers: transports, servers, connect attempts, restarts, inherited sets,
 * timers, tasks, futures and jobs that were still alive. Inside a callback of the loop it aborts
 * the process with a message.
 */
RILL_API size_t rill_loop_free(rill_loop *loop);

/*
 * Run turns until rill_loop_stop(). With nothing to do it sleeps: another thread may post.
 *
 * Returns 0 after stop; RILL_EBUSY when this loop, or another one in this thread, is running;
 * RILL_EFORK in a child process; RILL_EDEADLK on the simulator when nothing can ever happen again;
 * -errno when the poller itself fails. asyncio: run_forever.
 */
RILL_API int rill_loop_run(rill_loop *loop);

/* As rill_loop_run, but returns RILL_ETIMEDOUT at the first turn's end at or after `deadline`. */
RILL_API int rill_loop_run_until(rill_loop *loop, rill_ns deadline);

/*
 * One turn without waiting, for programs that drive the loop themselves (see
 * rill_loop_backend_fd). Runs at most `callbacks_max` of the ready callbacks; 0 means all that are
 * ready at its start. Returns how many ran (0: nothing was ready), or as rill_loop_run.
 */
RILL_API int rill_loop_step(rill_loop *loop, size_t callbacks_max);

/* End rill_loop_run after the present turn: what was ready at the turn's start still runs. Before
 * run, it makes the next run do exactly one turn without waiting. asyncio: stop. */
RILL_API void rill_loop_stop(rill_loop *loop);

/*
 * To embed the loop in a foreign one: a descriptor that is readable when rill_loop_step has events
 * to take. Also wait no longer than rill_loop_next_timeout. Owned by the loop.
 * Returns the descriptor, or RILL_ENOTSUP on the simulator.
 */
RILL_API int rill_loop_backend_fd(rill_loop *loop);

/* How long from now a turn may wait: 0 when something is ready, RILL_NEVER when nothing is due. */
RILL_API rill_ns rill_loop_next_timeout(rill_loop *loop);

/* The clock, read now. asyncio: time. */
RILL_API rill_ns rill_loop_time(rill_loop *loop);

/* The clock as it was read when the present turn began: free of cost, at most one turn old. */
RILL_API rill_ns rill_loop_now(const rill_loop *loop);

/* The loop that runs in the calling thread, or NULL. asyncio: get_running_loop. Any thread. */
RILL_API rill_loop *rill_loop_running(void);

/* True between the entry and the return of run, run_until and step. */
RILL_API bool rill_loop_is_running(const rill_loop *loop);

/* The driver that really runs: "epoll", "uring", "sim". Static text. Any thread. */
RILL_API const char *rill_loop_driver(const rill_loop *loop);

/*
 * Run `fn(arg)` in the next turn, in order of calls. `ret_id` may be NULL. Returns 0; RILL_EINVAL
 * without `fn`; RILL_EFORK; RILL_ECLOSED in rill_loop_free; RILL_ELIMIT at 16 million pending;
 * -ENOMEM. asyncio: call_soon.
 */
#define rill_call_soon(loop, fn, arg, ret_id) \
    rill_call_soon_site(loop, fn, arg, RILL_SITE(#fn), ret_id)
RILL_API int rill_call_soon_site(
    rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id);

/*
 * Run `fn(arg)` at `when` on the loop's clock, never earlier; with equal times in order of calls. A
 * time in the past means the next turn, ordered by its time. `ret_id` may be NULL.
 * Returns 0; RILL_EINVAL without `fn` or with a negative `when`; RILL_ELIMIT at 16 million timers;
 * RILL_EFORK; RILL_ECLOSED in rill_loop_free; -ENOMEM. asyncio: call_at.
 */
#define rill_call_at(loop, when, fn, arg, ret_id) \
    rill_call_at_site(loop, when, fn, arg, RILL_SITE(#fn), ret_id)
RILL_API int rill_call_at_site(
    rill_loop *loop, rill_ns when, rill_callback fn, void *arg, const char *site, rill_id *ret_id);

/* As rill_call_at at `delay` from now; the clock is read in the call. A negative delay is in the
 * past. asyncio: call_later. */
#define rill_call_later(loop, delay, fn, arg, ret_id) \
    rill_call_later_site(loop, delay, fn, arg, RILL_SITE(#fn), ret_id)
RILL_API int rill_call_later_site(
    rill_loop *loop, rill_ns delay, rill_callback fn, void *arg, const char *site, rill_id *ret_id);

/*
 * Run `fn(arg)` every `period`, first one period from now, by schedule: the n-th call is due at
 * start + n * period, whatever the earlier ones took. Calls that came due while the loop was busy
 * are merged into one; rill_timer_missed tells how many. Ends with rill_cancel.
 * Errors as rill_call_at; RILL_EINVAL for a period below 1 microsecond.
 */
#define rill_call_every(loop, period, fn, arg, ret_id) \
    rill_call_every_site(loop, period, fn, arg, RILL_SITE(#fn), ret_id)
RILL_API int rill_call_every_site(rill_loop *loop, rill_ns period, rill_callback fn, void *arg,
    const char *site, rill_id *ret_id);

/* In a periodic timer's callback: how many calls were merged into this one. 0 for other ids. */
RILL_API uint64_t rill_timer_missed(const rill_loop *loop, rill_id id);

/* Move a pending timer to `when`; it queues behind timers that already have that time. Cheap: an
 * idle timeout that is pushed back on every message costs a few nanoseconds. A periodic timer goes
 * on from there. Returns 0; RILL_ESTATE when `id` is no pending timer; RILL_EINVAL for a negative
 * `when`. */
RILL_API int rill_timer_rearm(rill_loop *loop, rill_id id, rill_ns when);

/* When a pending timer is due. Returns 0, or RILL_ESTATE. asyncio: TimerHandle.when. */
RILL_API int rill_timer_when(const rill_loop *loop, rill_id id, rill_ns *ret_when);

/*
 * Cancel whatever `id` names: a callback, a timer, a connect attempt, a drain, a sendfile, a
 * restart, a job that has not begun. After true the callback never runs; a sendfile's alone still
 * does, with RILL_ECANCELED, since its file is in use until then. False: it has run, is running,
 * was canceled, or never existed here. Runs no callback. asyncio: Handle.cancel.
 */
RILL_API bool rill_cancel(rill_loop *loop, rill_id id);

/*
 * Run `fn(arg)` on the loop's thread, and wake it. Every message runs exactly once, in order per
 * sending thread. Any thread, not a signal handler. The caller makes sure that the loop is not
 * freed before the message has run; from then on it may be, even while this call returns.
 * Returns 0; RILL_EINVAL without `fn`; RILL_ECLOSED when the loop is being freed; RILL_EFORK;
 * -ENOMEM. asyncio: call_soon_threadsafe.
 */
#define rill_call_soon_threadsafe(loop, fn, arg) \
    rill_call_soon_threadsafe_site(loop, fn, arg, RILL_SITE(#fn))
RILL_API int
rill_call_soon_threadsafe_site(rill_loop *loop, rill_callback fn, void *arg, const char *site);

/* What an error report is about. */
typedef enum rill_error_kind {
    RILL_ERROR_ACCEPT, /* A listener met descriptor or memory exhaustion; it retries by itself. */
    RILL_ERROR_SETUP,  /* An accepted connection could not be set up. */
    RILL_ERROR_TRANSPORT, /* A connection was lost for a reason that is not the network's. */
    RILL_ERROR_LEFTOVER,  /* rill_loop_free met something alive. */
    RILL_ERROR_SLOW,      /* Debug: a callback held the loop for too long. */
    RILL_ERROR_MISUSE,    /* Harmless misuse: writing on after close, five times. */
    RILL_ERROR_TASK,      /* An error of a task or future that nobody saw; a cancel ignored. */
    RILL_ERROR_USER       /* Reported by your own code. */
} rill_error_kind;

typedef struct rill_error_context {
    size_t size; /* sizeof(rill_error_context) */
    rill_error_kind kind;
    int code;                  /* 0 when there is none. */
    const char *message;       /* Never NULL: what happened. */
    const char *site;          /* "file:line function" of what it is about, or NULL. */
    rill_transport *transport; /* Or NULL. */
    rill_server *server;       /* Or NULL. */
} rill_error_context;

typedef void (*rill_error_handler)(rill_loop *loop, const rill_error_context *context, void *arg);

/* Replace the default error handler, which logs; NULL restores it. asyncio:
 * set_exception_handler. */
RILL_API void rill_loop_set_error_handler(rill_loop *loop, rill_error_handler handler, void *arg);

/* Give a report to the error handler; usable in every callback. asyncio: call_exception_handler. */
RILL_API void rill_loop_report(rill_loop *loop, const rill_error_context *context);

/* Log as the default error handler does, for handlers that want to add to it. */
RILL_API void
rill_loop_default_error_handler(rill_loop *loop, const rill_error_context *context, void *arg);

/* What the last call on this loop that returned an error has to say about it, with names and
 * addresses; borrowed until the next failing call. Its code is 0 when no call has failed. Not for
 * calls from other threads, nor for RILL_EFORK. */
RILL_API const rill_reason *rill_loop_last_error(const rill_loop *loop);

/* Debug mode: report callbacks that take `slow_callback` or longer with their name and site, name
 * every leftover in rill_loop_free, poison what is freed. From the next turn on; timers that were
 * made before have no site. asyncio: set_debug, slow_callback_duration. */
RILL_API void rill_loop_set_debug(rill_loop *loop, bool on, rill_ns slow_callback);
RILL_API bool rill_loop_get_debug(const rill_loop *loop);

typedef struct rill_loop_stats {
    size_t size;                   /* Set it to sizeof(rill_loop_stats) before the call. */
    uint64_t turns;                /* Turns run. */
    uint64_t callbacks;            /* Ready callbacks run, I/O events and timers included. */
    size_t ready;                  /* Callbacks ready now. */
    size_t timers;                 /* Pending timers, the library's own included. */
    size_t transports;             /* Transports alive. */
    uint64_t transports_made;      /* Ever. */
    size_t servers;                /* Servers alive. */
    size_t held_bytes;             /* By rill_slice_hold. */
    size_t memory[RILL_TAG_COUNT]; /* Bytes the loop has now, by tag; none of a simulated world. */
    uint64_t spins;                /* Times it polled before sleep: options.spin; */
    uint64_t spin_hits;            /* how often that was met by an arrival; */
    uint64_t spin_polls;           /* the polls of all of them. */
} rill_loop_stats;

/* Fill in `ret_stats` up to its size. */
RILL_API void rill_loop_get_stats(const rill_loop *loop, rill_loop_stats *ret_stats);

RILL_END

#endif
