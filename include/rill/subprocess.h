/*
 * Subprocesses: starting programs, and hearing of what they say and how they end.
 *
 *     static const rill_subprocess_protocol lister = RILL_SUBPROCESS_PROTOCOL(
 *         .pipe_data_received = on_data, .process_exited = on_exit);
 *     const char *const argv[] = { "ls", "-l", NULL };
 *
 *     rc = rill_subprocess_exec(loop,
 *         &RILL_PROCESS_OPTIONS(.argv = argv, .out = { .kind = RILL_STDIO_PIPE }), &lister, self,
 *         &ls);
 *
 * A subprocess lives from connection_made until connection_lost has returned; the loop owns it.
 * connection_lost comes when the program has ended and all its pipes are closed, exactly once, and
 * from then on the child is no zombie. Each one is watched on its own: SIGCHLD and its handler stay
 * the program's, and children that rill did not start are not waited for. Other code that waits
 * for all children (waitpid(-1), SIGCHLD ignored) takes the status away: see RILL_EREAPED.
 *
 * A child has the defaults of all signals, the signal mask that the thread has outside of the loop,
 * and no descriptor of this process but the standard ones and those it is meant to get.
 *
 * On the simulator the programs are those of rill_sim_program_add. All functions are for the loop's
 * thread.
 */
#ifndef RILL_SUBPROCESS_H
#define RILL_SUBPROCESS_H

#include <rill/transport.h>

RILL_BEGIN

typedef struct rill_subprocess rill_subprocess;

/* What a standard stream of the child is. */
typedef enum rill_stdio_kind {
    RILL_STDIO_INHERIT, /* This process's own. */
    RILL_STDIO_PIPE,    /* A pipe to us: rill_subprocess_pipe. */
    RILL_STDIO_NULL,    /* /dev/null */
    RILL_STDIO_FD,      /* A descriptor: the child has a duplicate, `fd` stays the caller's. */
    RILL_STDIO_STDOUT   /* stderr only: wherever stdout goes. */
} rill_stdio_kind;

typedef struct rill_stdio {
    rill_stdio_kind kind;
    int fd; /* For RILL_STDIO_FD. */
} rill_stdio;

#define RILL_LIMIT_INFINITY UINT64_MAX

/* As setrlimit(2). */
typedef struct rill_process_limit {
    int resource; /* RLIMIT_NOFILE, RLIMIT_AS... of <sys/resource.h>. */
    uint64_t soft;
    uint64_t hard; /* RILL_LIMIT_INFINITY: none. */
} rill_process_limit;

/* Nothing of it is kept after the call. */
typedef struct rill_process_options {
    size_t size;             /* Set by RILL_PROCESS_OPTIONS or rill_process_options_default. */
    const char *const *argv; /* Ends with NULL; at least the program's name. Not for a shell. */
    const char *program;     /* What is executed, if it is not argv[0]. */
    const char *const *env;  /* "NAME=value"..., NULL; default: this process's environment. */
    const char *cwd;         /* Its working directory; default: this process's. */
    rill_stdio in;
    rill_stdio out;
    rill_stdio err;
    const int *pass_fds; /* Further descriptors that it gets, with the same numbers; up to 256. */
    size_t pass_fds_count;
    const rill_process_limit *limits; /* Set in this order. */
    size_t limits_count;
    bool set_user; /* Run as `user`; its groups become `groups` then. */
    bool set_group;
    bool set_groups; /* Have `groups`, none without. */
    bool set_umask;
    bool new_session;       /* As setsid: without a controlling terminal. */
    bool set_process_group; /* In process_group, or with 0 one of its own, which it leads. */
    bool survives_close;    /* Closing, and rill_loop_free, do not kill it. */
    uint32_t user;
    uint32_t group;
    const uint32_t *groups;
    size_t groups_count;
    unsigned umask;
    int process_group;
    int death_signal; /* Sent to it when the thread that starts it ends; 0: none. */
    const rill_transport_options *transport; /* Of its pipes. NULL: defaults. */
} rill_process_options;

#ifndef __cplusplus
#define RILL_PROCESS_OPTIONS(...) \
    ((rill_process_options){ .size = sizeof(rill_process_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_process_options
rill_process_options_default(void)
{
#ifdef __cplusplus
    rill_process_options options = {};
#else
    rill_process_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * What a subprocess tells. All are optional. connection_made comes first and connection_lost last.
 * In between the order is open, but that of one pipe: its data, then its loss. asyncio:
 * SubprocessProtocol.
 */
typedef struct rill_subprocess_protocol {
    size_t size;       /* Set by RILL_SUBPROCESS_PROTOCOL. */
    size_t state_size; /* Zeroed bytes for `self`; 0: `self` is the `arg` of the start. */

    /* In the turn after the start. `arg` is what was given to it. */
    void (*connection_made)(rill_subprocess *process, void *self, void *arg);

    /* Bytes from stdout (1) or stderr (2), borrowed as in data_received. */
    void (*pipe_data_received)(rill_subprocess *process, void *self, int fd, rill_slice in);

    /* The pipe of stdin (0), stdout or stderr is gone, once for each that there was. RILL_EOF: the
     * child has closed it, or all who had it. */
    void (*pipe_connection_lost)(
        rill_subprocess *process, void *self, int fd, const rill_reason *why);

    /* The flow control of stdin, as of any transport. */
    void (*pause_writing)(rill_subprocess *process, void *self);
    void (*resume_writing)(rill_subprocess *process, void *self);

    /* It has ended: rill_subprocess_returncode knows how. Data may still follow. */
    void (*process_exited)(rill_subprocess *process, void *self);

    /* It has ended and no pipe is left. `why->code` is 0, or RILL_EREAPED; RILL_ELOOPFREED for one
     * that survives its loop. */
    void (*connection_lost)(rill_subprocess *process, void *self, const rill_reason *why);
} rill_subprocess_protocol;

/* static const rill_subprocess_protocol p = RILL_SUBPROCESS_PROTOCOL(.process_exited = ...); */
#ifndef __cplusplus
#define RILL_SUBPROCESS_PROTOCOL(...)                         \
    {                                                         \
        .size = sizeof(rill_subprocess_protocol), __VA_ARGS__ \
    }
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_subprocess_protocol
rill_subprocess_protocol_default(void)
{
#ifdef __cplusplus
    rill_subprocess_protocol protocol = {};
#else
    rill_subprocess_protocol protocol = { 0 };
#endif
    protocol.size = sizeof(protocol);
    return protocol;
}

/*
 * Start a program. A name without a slash is looked up in the PATH of the child's environment; a
 * relative one is relative to `cwd`. When this returns 0 the program runs, and its callbacks follow
 * from the next turn on, also when it has ended already. The thread waits for the exec, not longer;
 * the time for it does not grow with the memory of this process, unless user or group is set.
 *
 * Returns 0; what kept the program from running: -ENOENT, -EACCES, -ENOEXEC, -E2BIG..., with a
 * sentence that names the program and the step (rill_loop_last_error); -EAGAIN, -EMFILE, -ENFILE,
 * -ENOMEM; -EBADF for a descriptor that is not open; -EPERM for a user, group or limit; RILL_EINVAL
 * (no argv, options that contradict each other or are out of range, a bad protocol); RILL_ECLOSED
 * in rill_loop_free; RILL_EFORK; RILL_ENOTSUP for a descriptor on the simulator. Nothing is left of
 * what could not be started. `ret_process` may be NULL. asyncio: subprocess_exec.
 */
#define rill_subprocess_exec(loop, options, protocol, arg, ret_process) \
    rill_subprocess_exec_site(loop, options, protocol, arg, RILL_SITE("subprocess"), ret_process)
RILL_API int rill_subprocess_exec_site(rill_loop *loop, const rill_process_options *options,
    const rill_subprocess_protocol *protocol, void *arg, const char *site,
    rill_subprocess **ret_process);

/* The same for `/bin/sh -c command`. options->argv and program must be NULL; `options` may be.
 * Never put into the command what others have a say in. asyncio: subprocess_shell. */
#define rill_subprocess_shell(loop, command, options, protocol, arg, ret_process) \
    rill_subprocess_shell_site(                                                   \
        loop, command, options, protocol, arg, RILL_SITE("subprocess"), ret_process)
RILL_API int rill_subprocess_shell_site(rill_loop *loop, const char *command,
    const rill_process_options *options, const rill_subprocess_protocol *protocol, void *arg,
    const char *site, rill_subprocess **ret_process);

/* The process's id. After its end it may be another process's. asyncio: get_pid. */
RILL_API int64_t rill_subprocess_pid(const rill_subprocess *process);

/*
 * How it ended: 0, and in `ret_code` its exit status, 0 to 255, or the negative number of the
 * signal that killed it. RILL_ESTATE: it has not ended, as far as is known. RILL_EREAPED: it has,
 * and other code of this process took the status; `ret_code` is 255, as in asyncio. So it is with
 * RILL_ELOOPFREED: it survives its loop, or may not be killed. RILL_EINVAL without `ret_code`.
 * asyncio: get_returncode.
 */
RILL_API int rill_subprocess_returncode(const rill_subprocess *process, int *ret_code);

/* Send it a signal. Returns 0, also for one that has ended and is not known to; -ESRCH when that is
 * known; -EPERM; RILL_EINVAL for what is no signal (0 is none: it only asks); RILL_EFORK. asyncio:
 * send_signal, terminate, kill. */
RILL_API int rill_subprocess_send_signal(rill_subprocess *process, int signo);
RILL_API int rill_subprocess_terminate(rill_subprocess *process); /* SIGTERM */
RILL_API int rill_subprocess_kill(rill_subprocess *process);      /* SIGKILL */

/* The transport of its stdin (0), stdout (1) or stderr (2): to write to, to close, to pause and
 * resume. Its protocol is the library's, which tells its news to the subprocess's; give it another
 * one, or make a stream of it, to hear them there. NULL before connection_made, when that is no
 * pipe, and when the pipe is gone. asyncio: get_pipe_transport. */
RILL_API rill_transport *rill_subprocess_pipe(const rill_subprocess *process, int fd);

/* End it: its pipes are closed, dropping what is queued for it, and it is killed unless it has
 * ended. One that survives_close lives on and gets what is queued. The callbacks of the end follow.
 * Idempotent; in a forked child it does nothing. asyncio: close. */
RILL_API void rill_subprocess_close(rill_subprocess *process);
RILL_API bool rill_subprocess_is_closing(const rill_subprocess *process);

/* Its loop. */
RILL_API rill_loop *rill_subprocess_loop(const rill_subprocess *process);

RILL_END

#endif
