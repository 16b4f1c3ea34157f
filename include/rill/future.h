/*
 * Futures: results that are not there yet. asyncio's Future.
 *
 * A future is pending until it is given a result, given an error or canceled, once. Who waits for
 * it is a callback (rill_future_on_done) or a task (rill_await). Neither runs inside the call that
 * completes it: they are scheduled, in the order in which they began to wait.
 *
 * Futures are counted references: who made one, or took a reference with rill_future_ref, gives it
 * back with rill_future_unref, before the loop is freed. An error that nobody has looked at by then
 * is reported. All functions are for the loop's thread.
 */
#ifndef RILL_FUTURE_H
#define RILL_FUTURE_H

#include <rill/loop.h>

RILL_BEGIN

typedef struct rill_future rill_future;

/* Runs on the loop, never inside a call of yours. `future` is borrowed. */
typedef void (*rill_future_fn)(rill_future *future, void *arg);

typedef enum rill_abort {
    RILL_ABORT_DONE,   /* What was under way has ended and will not touch the future again. */
    RILL_ABORT_PENDING /* It will complete the future later, with whatever comes of it. */
} rill_abort;

/* Ends what would complete the future. Runs inside rill_future_cancel, and when the task is
 * canceled that alone waits for it. It must not complete the future itself. */
typedef rill_abort (*rill_future_abort_fn)(rill_future *future, void *arg);

/*
 * Make a pending future with one reference, yours. Returns 0; RILL_EINVAL; RILL_ECLOSED in
 * rill_loop_free; RILL_EFORK; -ENOMEM. asyncio: loop.create_future.
 */
#define rill_future_new(loop, ret_future) \
    rill_future_new_site(loop, RILL_SITE("future"), ret_future)
RILL_API int rill_future_new_site(rill_loop *loop, const char *site, rill_future **ret_future);

/* One reference more; returns `future`. */
RILL_API rill_future *rill_future_ref(rill_future *future);

/* One reference less; NULL is ignored. With the last one it goes; who still waits for it is told
 * that it was canceled. */
RILL_API void rill_future_unref(rill_future *future);

/* Complete it with `value`, which is passed on as it is, or with an error, a code below 0;
 * RILL_ECANCELED: as canceled, without a word to its abort function. Returns 0; RILL_ESTATE when it
 * is complete already; RILL_EINVAL for a code that is no error or for a task: a task's result is
 * what its function returns. asyncio: set_result, set_exception. */
RILL_API int rill_future_set_result(rill_future *future, void *value);
RILL_API int rill_future_set_error(rill_future *future, int code);

/*
 * Cancel it. A task is told to stop (rill_task_cancel); for others its abort function is asked,
 * once, and unless that says RILL_ABORT_PENDING the future is complete with this. Returns false
 * when it was complete already. asyncio: cancel.
 */
RILL_API bool rill_future_cancel(rill_future *future);

/* Have `abort(future, arg)` end what would complete it. Replaces an earlier one; NULL: none. Not
 * for tasks: ignored. */
RILL_API void rill_future_on_cancel(rill_future *future, rill_future_abort_fn abort, void *arg);

/* Call `fn(future, arg)` when it is complete, or soon if it is. Returns 0; RILL_EINVAL; -ENOMEM;
 * RILL_ECLOSED. asyncio: add_done_callback. */
RILL_API int rill_future_on_done(rill_future *future, rill_future_fn fn, void *arg);

/* Take back all rill_future_on_done with these arguments that have not been scheduled yet; returns
 * how many. asyncio: remove_done_callback. */
RILL_API size_t rill_future_remove_done(rill_future *future, rill_future_fn fn, void *arg);

/* Complete, in any way; and complete by being canceled. */
RILL_API bool rill_future_is_done(const rill_future *future);
RILL_API bool rill_future_is_canceled(const rill_future *future);

/*
 * What came of it, without waiting. `ret_value` may be NULL; it is written on success. Returns 0,
 * or what a task's function returned; its error; RILL_EREVOKED when it was canceled; RILL_ESTATE
 * when it is pending; RILL_EINVAL. asyncio: result, exception.
 */
RILL_API int rill_future_result(rill_future *future, void **ret_value);

/* The loop that it belongs to. */
RILL_API rill_loop *rill_future_loop(const rill_future *future);

RILL_END

#endif
