/*
 * Executors: threads for what blocks, so that a loop never does. asyncio's run_in_executor and
 * to_thread.
 *
 *     static int
 *     hash_file(void *arg) // On a thread of the pool: it may block.
 *     {
 *         ...
 *         return 0;
 *     }
 *
 *     rc = rill_to_thread(hash_file, &job); // In a task; the loop goes on meanwhile.
 *
 * A job runs once, in the order of asking, on one of the executor's threads. What runs there may
 * use nothing of a loop but what says "any thread"; functions that wait return RILL_ENOTASK there.
 * It can read the variables of who asked (rill_var_get). All signals are blocked on these threads.
 * A job that has begun cannot be stopped; one that has not is dropped by a cancel.
 *
 * On the simulator a job runs on the loop's thread, in a later turn and in no time, jobs of a loop
 * one after another in the order of asking: runs can be repeated. All else is the same.
 */
#ifndef RILL_EXECUTOR_H
#define RILL_EXECUTOR_H

#include <rill/task.h>

RILL_BEGIN

/* A pool of threads. It may serve loops of several threads at once. */
typedef struct rill_executor rill_executor;

typedef struct rill_executor_options {
    size_t size;      /* Set by RILL_EXECUTOR_OPTIONS or rill_executor_options_default. */
    const char *name; /* Of its threads, "NAME-1"...; at most 11 bytes; default "rill". Copied. */
    /* 1..1024; default: the CPUs that the process may use and 4 more, at most 32. Threads are
     * started as jobs have to wait for one, and then stay. */
    int threads_max;
    size_t queue_max; /* Jobs that wait for a thread; default: no limit. */
    rill_log_fn log;  /* For jobs that do not end; NULL: stderr. On the thread that frees it. */
    void *log_arg;
} rill_executor_options;

#ifndef __cplusplus
#define RILL_EXECUTOR_OPTIONS(...) \
    (&(rill_executor_options){ .size = sizeof(rill_executor_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_executor_options
rill_executor_options_default(void)
{
#ifdef __cplusplus
    rill_executor_options options = {};
#else
    rill_executor_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/* Make one; no thread is started yet. `options` may be NULL. Its memory is the process's (malloc),
 * not a loop's. Returns 0; RILL_EINVAL; -ENOMEM. Any thread. asyncio: ThreadPoolExecutor. */
RILL_API int rill_executor_new(const rill_executor_options *options, rill_executor **ret_executor);

/*
 * Take no more jobs (RILL_ESHUTDOWN), run those it has, end its threads and give it back; NULL is
 * ignored. Blocks for at most `grace` (RILL_NEVER: as long as it takes): then jobs that have not
 * begun are told RILL_ESHUTDOWN, and each one that has not ended is logged with the place that
 * asked for it. Its thread goes on and ends with it; its result still reaches its loop if that is
 * there.
 *
 * Returns how many jobs were logged. Any thread but its own. asyncio: shutdown.
 */
RILL_API size_t rill_executor_free(rill_executor *executor, rill_ns grace);

typedef struct rill_executor_stats {
    size_t size;    /* Set it to sizeof(rill_executor_stats) before the call. */
    size_t threads; /* Alive; */
    size_t idle;    /* of these, without a job. */
    size_t queued;  /* Jobs that wait for a thread. */
    uint64_t ended; /* Jobs, ever. */
} rill_executor_stats;

/* Fill in `ret_stats` up to its size. Any thread. */
RILL_API void rill_executor_get_stats(rill_executor *executor, rill_executor_stats *ret_stats);

/*
 * Have `executor` be the one that NULL means on this loop. It is borrowed, and has to live longer
 * than the loop. A loop without one makes its own at its first job, and ends it when it is freed.
 * Returns 0; RILL_EINVAL; RILL_EBUSY when it has made its own; RILL_ECLOSED; RILL_EFORK; -ENOMEM.
 * Loop thread only. asyncio: set_default_executor.
 */
RILL_API int rill_loop_set_executor(rill_loop *loop, rill_executor *executor);

/* `rc`: what the job's function returned; or that it never began, as its executor was freed
 * (RILL_ESHUTDOWN) or its loop is being freed (RILL_ELOOPFREED). */
typedef void (*rill_job_done_fn)(void *arg, int rc);

/*
 * Run `fn(arg)` on a thread of `executor` (NULL: the loop's), then `done(done_arg, rc)` on the
 * loop. rill_cancel on the id drops a job that has not begun; then neither runs. `ret_id` may be
 * NULL.
 *
 * While the loop is freed it waits for jobs that have begun, 5 s in all. One that does not end then
 * is reported with the place that asked for it; `done` does not run for it, and its thread is left
 * behind: `arg` stays in use until its function returns.
 *
 * Returns 0; RILL_EINVAL; RILL_EFULL; RILL_ESHUTDOWN; RILL_ECLOSED while the loop is freed;
 * RILL_EFORK; RILL_ELIMIT; -ENOMEM; -EAGAIN when not even one thread can be started. Then neither
 * runs. Loop thread only. asyncio: run_in_executor.
 */
#define rill_run_in_executor_start(loop, executor, fn, arg, done, done_arg, ret_id) \
    rill_run_in_executor_start_site(loop, executor, fn, arg, done, done_arg, RILL_SITE(#fn), ret_id)
RILL_API int rill_run_in_executor_start_site(rill_loop *loop, rill_executor *executor, rill_fn fn,
    void *arg, rill_job_done_fn done, void *done_arg, const char *site, rill_id *ret_id);

/*
 * Run `fn(arg)` on a thread and wait for it. A caller that is canceled meanwhile gets
 * RILL_ECANCELED if the job has not begun, and then it never does; else the wait goes on to its
 * end, as `arg` may be on the caller's stack, and what it returned is told.
 *
 * Returns what `fn` returned (RILL_EREVOKED for RILL_ECANCELED); RILL_ECANCELED; RILL_ENOTASK; or
 * as rill_run_in_executor_start. If the job never ends, neither does the task: when the loop is
 * freed, both are reported, and the stacks of its tasks stay, since the job may use them. A task's.
 * asyncio: to_thread, await run_in_executor.
 */
#define rill_run_in_executor(executor, fn, arg) \
    rill_run_in_executor_site(executor, fn, arg, RILL_SITE(#fn))
#define rill_to_thread(fn, arg) rill_run_in_executor(NULL, fn, arg)
RILL_API RILL_MUST_CHECK int
rill_run_in_executor_site(rill_executor *executor, rill_fn fn, void *arg, const char *site);

RILL_END

#endif
