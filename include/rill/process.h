/*
 * Processes for tasks: programs that are started, talked to through streams, and waited for.
 *
 *     rill_process *sort;
 *     rill_slice out;
 *     const char *const argv[] = { "sort", "-u", NULL };
 *
 *     RILL_TRY(rill_process_exec(&RILL_PROCESS_OPTIONS(.argv = argv,
 *         .in = { .kind = RILL_STDIO_PIPE }, .out = { .kind = RILL_STDIO_PIPE }), &sort));
 *     rc = rill_process_communicate(sort, text, len, 1024 * 1024, 10 * RILL_S, &out, NULL);
 *     ...
 *     rill_process_unref(sort);
 *
 * What programs are started with, and what holds of all children, is in <rill/subprocess.h>; this
 * is the same with waiting. A process is counted by references: with the last one it is closed,
 * which kills it unless it has ended (or its options say survives_close), and no zombie is left.
 *
 * All functions are for the loop's thread; those marked so wait, in a task.
 */
#ifndef RILL_PROCESS_H
#define RILL_PROCESS_H

#include <rill/stream.h>
#include <rill/subprocess.h>

RILL_BEGIN

typedef struct rill_process rill_process;

/*
 * Start a program, on the loop that runs. Its errors are those of rill_subprocess_exec, and
 * RILL_ENOTASK where no loop runs. One reference. asyncio: create_subprocess_exec.
 */
#define rill_process_exec(options, ret_process) \
    rill_process_exec_site(options, RILL_SITE("process"), ret_process)
RILL_API RILL_MUST_CHECK int rill_process_exec_site(
    const rill_process_options *options, const char *site, rill_process **ret_process);

/* The same for `/bin/sh -c command`; `options` may be NULL. asyncio: create_subprocess_shell. */
#define rill_process_shell(command, options, ret_process) \
    rill_process_shell_site(command, options, RILL_SITE("process"), ret_process)
RILL_API RILL_MUST_CHECK int rill_process_shell_site(const char *command,
    const rill_process_options *options, const char *site, rill_process **ret_process);

/* One reference more, and one less; NULL is ignored. */
RILL_API rill_process *rill_process_ref(rill_process *process);
RILL_API void rill_process_unref(rill_process *process);

/* As rill_subprocess_pid. */
RILL_API int64_t rill_process_pid(const rill_process *process);

/* As rill_subprocess_returncode. */
RILL_API int rill_process_returncode(const rill_process *process, int *ret_code);

/* Its stdin (0), to write to, its stdout (1) or stderr (2), to read from; the process's, until its
 * last reference is given back. NULL for what is no pipe. asyncio: stdin, stdout, stderr. */
RILL_API rill_stream *rill_process_stream(const rill_process *process, int fd);

/*
 * Wait until it has ended, whatever becomes of its pipes; many may wait, and again. A child that
 * writes more to a pipe than anybody reads does not end. A task's. Returns 0 with the code in
 * `ret_code` (may be NULL), as rill_subprocess_returncode, or RILL_EREAPED with 255;
 * RILL_ECANCELED, RILL_EWRONGLOOP, RILL_ENOTASK. asyncio: wait, which waits for the pipes, too.
 */
RILL_API RILL_MUST_CHECK int rill_process_wait(rill_process *process, int *ret_code);

/*
 * Write `input` to its stdin and close that, read stdout and stderr to their ends, all at once, and
 * wait for its end. `max`: the most bytes of each output; 0: 16 MiB. `timeout`: of the whole, or
 * RILL_NEVER. A stdin that the child does not read to the end is no error. What came is lent until
 * the next read from that stream or the end of the process; the slices (may be NULL) are empty for
 * what is no pipe.
 *
 * A task's. Returns 0, and rill_process_returncode knows the rest; RILL_EREAPED, all else being
 * well; RILL_ETIMEDOUT; RILL_EOVERRUN for more than `max` bytes; RILL_EBUSY while another task
 * reads or communicates; RILL_ECANCELED, RILL_EWRONGLOOP, RILL_ENOTASK, RILL_EINVAL (input without
 * a pipe, a negative timeout, a `max` of INT64_MAX or more); -ENOMEM; the error of a pipe. After an
 * error the process goes on and what came is still in its streams, all of it: with the same input
 * it may be called again. asyncio: communicate.
 */
RILL_API RILL_MUST_CHECK int rill_process_communicate(rill_process *process, const void *input,
    size_t len, size_t max, rill_ns timeout, rill_slice *ret_out, rill_slice *ret_err);

/* As rill_subprocess_send_signal; -ESRCH once its end is known. */
RILL_API int rill_process_send_signal(rill_process *process, int signo);
RILL_API int rill_process_terminate(rill_process *process); /* SIGTERM */
RILL_API int rill_process_kill(rill_process *process);      /* SIGKILL */

/* Ask it to end by SIGTERM, kill it after `grace` if it has not, and wait for its end. A cancel
 * leaves it asked. A task's. Returns as rill_process_wait; RILL_EINVAL for a negative grace; -EPERM
 * when it must not be signaled. */
RILL_API RILL_MUST_CHECK int rill_process_stop(rill_process *process, rill_ns grace, int *ret_code);

RILL_END

#endif
