/*
 * Restarting a program without losing a connection, and being started by systemd.
 *
 * A restart hands the listening sockets to a new process: the old one starts it and serves on until
 * the new one has said that it is ready; then the old one stops accepting, finishes what it has,
 * and ends. The sockets are the same in both, with the same queue, so that no client is refused.
 * Whatever goes wrong before the new process is ready costs the new process, and nothing else.
 *
 * The new process takes what it inherits with one call, which also serves under systemd and for a
 * program that was simply started:
 *
 *     rill_inherited *set;
 *     int fds[8], count;
 *
 *     rill_inherit(loop, NULL, &set);
 *     count = rill_inherited_take(set, "http", fds, 8);
 *     if (count > 0)
 *         options.fds = fds, options.fds_count = (size_t)count;
 *     else
 *         options.host = "*", options.port = 80;
 *     ... rill_create_server ...
 *     rill_restart_ready(set);
 *     rill_inherited_free(set);
 *     rill_loop_run(loop);
 */
#ifndef RILL_RESTART_H
#define RILL_RESTART_H

#include <rill/server.h>

RILL_BEGIN

/* ---- what this process was started with ---- */

/* A set of descriptors with names, several of which may be equal. It belongs to its loop: freed
 * with it at the latest. */
typedef struct rill_inherited rill_inherited;

typedef enum rill_inherited_origin {
    RILL_INHERITED_NOTHING, /* Started by hand: the set is empty. */
    RILL_INHERITED_RESTART, /* By rill_restart_start. */
    RILL_INHERITED_SYSTEMD  /* By systemd, or whoever speaks its LISTEN_FDS. */
} rill_inherited_origin;

typedef struct rill_inherit_options {
    size_t size;           /* Set by RILL_INHERIT_OPTIONS or rill_inherit_options_default. */
    int unset_environment; /* 1: remove systemd's variables, so that no child reads them. */
    rill_ns timeout;       /* For what the old process has to say; default 10 s. */
} rill_inherit_options;

#ifndef __cplusplus
#define RILL_INHERIT_OPTIONS(...) \
    ((rill_inherit_options){ .size = sizeof(rill_inherit_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_inherit_options
rill_inherit_options_default(void)
{
#ifdef __cplusplus
    rill_inherit_options options = {};
#else
    rill_inherit_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Take the descriptors that this process was started with: those of a restart; if there was none,
 * those of systemd; else the set is empty, which is no error. Every descriptor is made
 * close-on-exec. Call it once, at the start, while no other thread uses the environment. `options`
 * may be NULL. It waits for the old process, which has all in hand, but for no longer than the
 * timeout.
 *
 * Returns 0; RILL_EINVAL (options, or a variable that is not as it must be: rill_loop_last_error
 * says which and why); RILL_ENOTSUP on the simulator; RILL_ECLOSED in rill_loop_free; RILL_EFORK;
 * -ENOMEM; and for a restart RILL_EVERSION and RILL_EPROTOCOL (the old process speaks otherwise),
 * RILL_ETIMEDOUT, RILL_EGONE (it has ended), -EMFILE. After such a failure the old process knows
 * and serves on: end this one.
 */
RILL_API int
rill_inherit(rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set);

/* As rill_inherit for a restart alone. RILL_RESTART in the environment of the new process names the
 * channel and the process that it is meant for; the call removes it. */
RILL_API int rill_restart_inherited(
    rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set);

/* As rill_inherit for systemd's socket activation alone: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES.
 * Meant for another process, they are not looked at any further. A descriptor without a name is
 * called "unknown", as systemd has it. */
RILL_API int
rill_listen_fds(rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set);

/*
 * Take the descriptors of that name out of the set, in the order in which they were given: they are
 * yours, or a server's that you give them to. Returns how many, 0 when there are none (any more);
 * RILL_ELIMIT, and takes none, when there are more than `fds_max`; RILL_EINVAL.
 */
RILL_API int
rill_inherited_take(rill_inherited *set, const char *name, int *ret_fds, size_t fds_max);

/* Where the set comes from. */
RILL_API rill_inherited_origin rill_inherited_get_origin(const rill_inherited *set);

/* How many descriptors there are, taken ones included; and the name of each, borrowed, or NULL for
 * an index out of range. */
RILL_API size_t rill_inherited_count(const rill_inherited *set);
RILL_API const char *rill_inherited_name(const rill_inherited *set, size_t index);

/*
 * After a restart: tell the old process that this one serves, so that it stops. Call it when the
 * servers are made and before the loop runs: until then the old one accepts all connections. The
 * paths of Unix sockets that it would have removed are this process's to remove from now on.
 *
 * Returns 0, also when there was no restart or it was told already; RILL_EINVAL; RILL_EGONE when
 * the old process has ended: nobody else serves, so go on; -errno.
 */
RILL_API int rill_restart_ready(rill_inherited *set);

/* Close what was not taken and forget the set; NULL is ignored. After a restart and before
 * rill_restart_ready it tells the old process that this one will not serve. */
RILL_API void rill_inherited_free(rill_inherited *set);

/* ---- handing over ---- */

/* What to hand over under one name: a server's listening sockets, or any descriptors. */
typedef struct rill_restart_item {
    const char *name;    /* 1 to 255 bytes of printable ASCII without ':'. */
    rill_server *server; /* Of the same loop, not closed. Or: */
    const int *fds;
    size_t fds_count;
} rill_restart_item;

typedef struct rill_restart_options {
    size_t size;             /* Set by RILL_RESTART_OPTIONS or rill_restart_options_default. */
    const char *const *argv; /* Of the new process, NULL at the end. */
    const char *file;        /* What to execute; default argv[0]. Without '/': found by PATH. */
    const char *const *env;  /* NULL at the end; default: this process's environment. */
    const rill_restart_item *items;
    size_t items_count;
    rill_ns timeout; /* The new process has to be ready by then; default 30 s. */
} rill_restart_options;

#ifndef __cplusplus
#define RILL_RESTART_OPTIONS(...) \
    ((rill_restart_options){ .size = sizeof(rill_restart_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_restart_options
rill_restart_options_default(void)
{
#ifdef __cplusplus
    rill_restart_options options = {};
#else
    rill_restart_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * How a restart went. `why->code` is 0: process `pid` is ready and accepts; drain your servers
 * (rill_server_drain_start) and end. It is a child of this process: wait for it if you stay.
 *
 * Otherwise nothing has changed, the servers serve on, the new process has gone and was waited for,
 * and `pid` is 0. The code is RILL_ENOTREADY (it ended, crashed, or let go before it was ready; the
 * sentence has its exit code or signal); RILL_ETIMEDOUT (it was killed); RILL_EPROTOCOL or
 * RILL_EVERSION (it speaks otherwise); what rill_inherit failed with in it; -errno from sending;
 * RILL_ELOOPFREED.
 */
typedef void (*rill_restarted_fn)(void *arg, int pid, const rill_reason *why);

/*
 * Start a new process and hand it what `options` names. Strings and arrays are copied, descriptors
 * duplicated until they are sent. The new process inherits the standard streams and the signal mask
 * that the thread has outside of the loop. `done` runs once, never inside this call, unless
 * rill_cancel(loop, id) returned true; that ends the new process. `ret_id` may be NULL. Nothing of
 * it waits but the exec itself.
 *
 * Returns 0; RILL_EINVAL (no size, no `done`, no argv, a bad item or name, a server that is closed
 * or of another loop, a negative timeout); RILL_EBUSY while another one of this loop is under way;
 * RILL_ENOTSUP on the simulator; RILL_ECLOSED in rill_loop_free; RILL_EFORK; RILL_ELIMIT (more than
 * 16,384 descriptors); -EBADF; -EMFILE; -ENOENT, -EACCES... when the file cannot be executed;
 * -ENOMEM. Nothing stays open on failure, and rill_loop_last_error has the sentence. Runs no
 * callback.
 */
#define rill_restart_start(loop, options, done, arg, ret_id) \
    rill_restart_start_site(loop, options, done, arg, RILL_SITE("restart"), ret_id)
RILL_API int rill_restart_start_site(rill_loop *loop, const rill_restart_options *options,
    rill_restarted_fn done, void *arg, const char *site, rill_id *ret_id);

/* ---- telling systemd ---- */

/*
 * Send `state` to the service manager: "READY=1", "STOPPING=1", "STATUS=...", "WATCHDOG=1",
 * "MAINPID=...", several with newlines between them, or what sd_notify(3) lists besides. One
 * datagram to $NOTIFY_SOCKET, a path or '@' and an abstract name; never waits. Any thread.
 *
 * Returns 1 when it was sent; 0 when nobody asked for it (the variable is not set); RILL_EINVAL (no
 * text; a variable that is neither); -EAGAIN when the manager's queue is full; -ECONNREFUSED,
 * -ENOENT... After a restart the old process says "MAINPID=" with the new one's pid.
 */
RILL_API int rill_notify(const char *state);

/* Say "RELOADING=1" with the time of it, as systemd wants; "READY=1" ends it. As rill_notify. */
RILL_API int rill_notify_reloading(void);

/* Have the service manager keep a copy of `fd` under `name` (FDSTORE=1): when the service starts
 * again, rill_inherit gives it back. As rill_notify; RILL_EINVAL for a bad name; -EBADF. */
RILL_API int rill_notify_store(const char *name, int fd);

/* Does the service manager expect "WATCHDOG=1", and how often at least (WATCHDOG_USEC)? Send it
 * from a timer of the loop at half that time: then it tells that the loop turns. Returns 1; 0: it
 * does not expect it of this process; RILL_EINVAL, also for variables that are no numbers. Any
 * thread. */
RILL_API int rill_watchdog_interval(rill_ns *ret_interval);

RILL_END

#endif
