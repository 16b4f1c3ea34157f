/*
 * Tasks for other threads: start one on a loop from anywhere, and block until it has ended.
 * asyncio's run_coroutine_threadsafe.
 *
 *     rill_cfuture *answer;
 *     int rc = rill_spawn_threadsafe(loop, ask, &question, NULL, &answer);
 *
 *     if (rc == 0) {
 *         rc = rill_cfuture_wait(answer, 2 * RILL_S); // This thread blocks; the loop does not.
 *         rill_cfuture_free(answer);
 *     }
 *
 * A cfuture may be used by several threads, until it is freed; it outlives its loop. While one is
 * open there is no verdict of a deadlock on its loop. On the simulator a world does not wait for
 * other threads: what they ask for is done in its next turn, whenever that is.
 */
#ifndef RILL_THREADS_H
#define RILL_THREADS_H

#include <rill/task.h>

RILL_BEGIN

/* What comes of a task, for other threads. */
typedef struct rill_cfuture rill_cfuture;

/*
 * Have a new task of `loop` run `fn(arg)`, as rill_spawn does, and wake the loop. `options` may be
 * NULL; its context must be. The loop has to be alive until this returns.
 *
 * Returns 0; RILL_EINVAL; RILL_EFORK; -ENOMEM: `fn` is not called then. What goes wrong later (no
 * stack, a loop that is being freed) is the result. Any thread, not a signal handler.
 */
#define rill_spawn_threadsafe(loop, fn, arg, options, ret_cfuture) \
    rill_spawn_threadsafe_site(loop, fn, arg, options, RILL_SITE(#fn), ret_cfuture)
RILL_API RILL_MUST_CHECK int rill_spawn_threadsafe_site(rill_loop *loop, rill_fn fn, void *arg,
    const rill_task_options *options, const char *site, rill_cfuture **ret_cfuture);

/*
 * Block until the task has ended, at most for `timeout` (RILL_NEVER; 0 only looks), and return what
 * it returned, each time. RILL_ETIMEDOUT: it goes on. RILL_ECANCELED: it ended as canceled, by
 * rill_cfuture_cancel; RILL_EREVOKED: by somebody else. RILL_ESHUTDOWN: its loop has ended, or it
 * was canceled for that. RILL_EDEADLK on the thread that runs its loop, unless the task has ended;
 * RILL_EINVAL; RILL_EFORK. Any thread.
 */
RILL_API RILL_MUST_CHECK int rill_cfuture_wait(rill_cfuture *cfuture, rill_ns timeout);

/* Tell the task to stop, as rill_task_cancel: it may still return something else. Returns false
 * when it has ended. Any thread. */
RILL_API bool rill_cfuture_cancel(rill_cfuture *cfuture);

/* The task has ended: a wait would not block. Any thread. */
RILL_API bool rill_cfuture_is_done(rill_cfuture *cfuture);

/* Give it back; NULL is ignored. A task that has not ended goes on, and its error is then reported
 * on its loop. No thread may use it any more. Any thread. */
RILL_API void rill_cfuture_free(rill_cfuture *cfuture);

RILL_END

#endif
