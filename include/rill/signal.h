/*
 * Signals for loops. asyncio's add_signal_handler.
 *
 *     switch (rill_signal_wait((const int[]){ SIGTERM, SIGHUP }, 2)) ... // In a task.
 *
 * A signal that a loop has asked for is caught by the whole process (with SA_RESTART), on whichever
 * of its threads it arrives, and told to every loop that has asked, as an ordinary callback: all of
 * the loop may be used there. The same signal once more before that is told once. What the process
 * did with the signal before is put back when the last loop stops asking or is freed, unless the
 * program has set another action meanwhile. Nothing is caught unasked, but for SIGINT in rill_run.
 * A signal that is blocked in all threads does not arrive; SIGPIPE is in a thread that runs a loop.
 *
 * A child made by fork has the actions of before; one that executes a program has its defaults.
 * While somebody waits for a signal there is no verdict of a deadlock, but on the simulator, where
 * only the program itself can raise one: that is told after the same turns in every run.
 *
 * All functions are for the loop's thread; each loop may be on any thread.
 */
#ifndef RILL_SIGNAL_H
#define RILL_SIGNAL_H

#include <rill/task.h>

RILL_BEGIN

typedef void (*rill_signal_fn)(int signo, void *arg);

/* Call `fn(signo, arg)` for each signal of this number, instead of an earlier one of this loop.
 * Returns 0; RILL_EINVAL for what is no signal, for SIGKILL and SIGSTOP, and for SIGSEGV, SIGBUS,
 * SIGFPE and SIGILL, behind which nothing could go on; RILL_ECLOSED; RILL_EFORK; -ENOMEM. asyncio:
 * add_signal_handler. */
RILL_API int rill_add_signal_handler(rill_loop *loop, int signo, rill_signal_fn fn, void *arg);

/* Stop that, for signals that have come and were not told, too; and what a rill_signal_wait has
 * left. Returns false when there was nothing. asyncio: remove_signal_handler. */
RILL_API bool rill_remove_signal_handler(rill_loop *loop, int signo);

/*
 * Wait for one of `count` signals. All tasks that wait for it are told, and the loop's handler.
 * From the first call on a signal stays caught, so that none is lost or kills the process between
 * two waits: what comes meanwhile is kept for the next wait, each number once. Until
 * rill_remove_signal_handler or the loop's end.
 *
 * Returns the signal's number, the lowest if several came; RILL_ECANCELED; RILL_ENOTASK;
 * RILL_EINVAL as rill_add_signal_handler, or without signals; -ENOMEM. A task's.
 */
RILL_API RILL_MUST_CHECK int rill_signal_wait(const int *signals, size_t count);

RILL_END

#endif
