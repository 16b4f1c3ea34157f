/*
 * Tasks: code that waits as if it blocked, over the callbacks of a loop.
 *
 *     static int
 *     app(void *arg)
 *     {
 *         RILL_TRY(rill_sleep(500 * RILL_MS)); // This task sleeps; the loop goes on.
 *         return 0;
 *     }
 *
 *     int main(void) { return rill_run(app, NULL) < 0; }
 *
 * A task is a function with a stack of its own. It belongs to one loop and its thread for life, and
 * gives way to others only where it waits. A task is a future too: what its function returns is its
 * result, and an error below 0 its error. errno and the rounding mode are its own: it begins with 0
 * and with the mode of the thread; locale, signal mask and directory are the thread's.
 *
 * Whatever waits returns a code that must be looked at: RILL_ECANCELED says that this task shall
 * stop. It is not said once but by every wait from then on, without waiting and without any effect:
 * pass it up and return. RILL_EREVOKED says that what was waited for was canceled, and not you.
 * What has ended while a cancel was on its way is told as it ended: nothing is lost, and the next
 * wait says RILL_ECANCELED.
 *
 * All functions are for the loop's thread; "a task's" ones return RILL_ENOTASK elsewhere.
 */
#ifndef RILL_TASK_H
#define RILL_TASK_H

#include <rill/future.h>

RILL_BEGIN

#if defined(__GNUC__)
#define RILL_MUST_CHECK __attribute__((warn_unused_result))
#else
#define RILL_MUST_CHECK
#endif

/* Pass an error on to the caller. Not between the beginning and the end of a scope or a group:
 * RILL_TRY_GOTO is for there. */
#define RILL_TRY(expression)          \
    do {                              \
        int rill_try_ = (expression); \
        if (rill_try_ < 0)            \
            return rill_try_;         \
    } while (0)

/* Keep the code in the variable `rc`, and go to `label` when it is an error. */
#define RILL_TRY_GOTO(label, rc, expression) \
    do {                                     \
        if (((rc) = (expression)) < 0)       \
            goto label;                      \
    } while (0)

/* The code does not matter here. */
#define RILL_IGNORE(expression) \
    do {                        \
        if ((expression) < 0) { \
        }                       \
    } while (0)

/* What a task runs. 0 or more is its result; below 0 is its error, RILL_ECANCELED that it was
 * canceled. Waiting is allowed in it and in what it calls. */
typedef int (*rill_fn)(void *arg);

typedef struct rill_task rill_task;
typedef struct rill_context rill_context;

typedef struct rill_task_options {
    size_t size;           /* Set by RILL_TASK_OPTIONS or rill_task_options_default. */
    const char *name;      /* Copied; default "task-N". */
    size_t stack_bytes;    /* At least so many; default 48 KiB, at most 8 MiB. */
    int eager;             /* 1: run at once, inside the call, until it first waits. */
    size_t copy_arg;       /* Bytes that `arg` points to, at most 2,048: the task gets a copy. */
    rill_context *context; /* Its variables; default: a snapshot of the caller's. */
} rill_task_options;

#ifndef __cplusplus
#define RILL_TASK_OPTIONS(...) \
    (&(rill_task_options){ .size = sizeof(rill_task_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_task_options
rill_task_options_default(void)
{
#ifdef __cplusplus
    rill_task_options options = {};
#else
    rill_task_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/* ---- making tasks ---- */

/*
 * Have a new task run `fn(arg)`: it is scheduled behind what is ready now (see `eager`). `options`
 * may be NULL. `ret_task` is a reference, yours: rill_join or rill_task_unref gives it back. An
 * eager task started from outside of a running loop is an ordinary one. The first task of a process
 * sets a handler of SIGSEGV and SIGBUS, where the program has none: it says which task has
 * overflowed its stack, and the default action follows.
 *
 * Returns 0; RILL_EINVAL; RILL_EWRONGLOOP (the context is another loop's); RILL_ECLOSED in
 * rill_loop_free; RILL_EFORK; -ENOMEM; RILL_ELIMIT (no address space for another stack). `fn` is
 * not called then. asyncio: create_task.
 */
#define rill_spawn_on(loop, fn, arg, options, ret_task) \
    rill_spawn_site(loop, fn, arg, options, RILL_SITE(#fn), ret_task)
/* On the loop that runs in this thread; RILL_ENOTASK when none does. */
#define rill_spawn(fn, arg, options, ret_task) \
    rill_spawn_site(rill_loop_running(), fn, arg, options, RILL_SITE(#fn), ret_task)
RILL_API RILL_MUST_CHECK int rill_spawn_site(rill_loop *loop, rill_fn fn, void *arg,
    const rill_task_options *options, const char *site, rill_task **ret_task);

/* As rill_spawn, for a task that nobody waits for: its error goes to the loop's error handler. */
#define rill_go(fn, arg, options) \
    rill_go_site(rill_loop_running(), fn, arg, options, RILL_SITE(#fn))
RILL_API RILL_MUST_CHECK int rill_go_site(
    rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options, const char *site);

/* One reference more, and one less; NULL is ignored. A task that runs goes on without. */
RILL_API rill_task *rill_task_ref(rill_task *task);
RILL_API void rill_task_unref(rill_task *task);

/* The task as a future, borrowed: for rill_await, rill_gather, rill_future_on_done... */
RILL_API rill_future *rill_task_future(rill_task *task);

/* ---- waiting ---- */

/*
 * Wait until `task` has ended, and give the reference back. Whoever is canceled while it waits here
 * cancels `task` and still waits for its end, as it may use the joiner's memory. Returns what its
 * function returned; RILL_EREVOKED when it ended as canceled and the caller is not; RILL_ECANCELED
 * when both are; RILL_EDEADLK for the task itself; RILL_ENOTASK, RILL_EWRONGLOOP (the reference
 * stays). asyncio: await task.
 */
RILL_API RILL_MUST_CHECK int rill_join(rill_task *task);

/*
 * Wait for a future. `ret_value` may be NULL; it is written on success. If the caller is canceled
 * meanwhile and nobody else waits for it, the future is canceled too (its abort function may say
 * that it is still under way: then the wait goes on to its end); else the caller only stops
 * waiting. A task's. Returns as rill_future_result; RILL_ECANCELED; RILL_ENOTASK; RILL_EWRONGLOOP;
 * RILL_EDEADLK for the task's own. asyncio: await.
 */
RILL_API RILL_MUST_CHECK int rill_await(rill_future *future, void **ret_value);

/* As rill_await; a cancel of the caller never cancels the future. asyncio: await shield(future). */
RILL_API RILL_MUST_CHECK int rill_await_shared(rill_future *future, void **ret_value);

/* As rill_await, for at most `timeout`: then the future is canceled, its end is waited for, and
 * what came of it after all is returned, else RILL_ETIMEDOUT. asyncio: wait_for. */
RILL_API RILL_MUST_CHECK int rill_await_for(rill_future *future, rill_ns timeout, void **ret_value);

/* Let `delay` pass; 0 and less: as rill_yield. A task's. Returns 0 or RILL_ECANCELED. asyncio:
 * sleep. */
RILL_API RILL_MUST_CHECK int rill_sleep(rill_ns delay);
RILL_API RILL_MUST_CHECK int rill_sleep_until(rill_ns when);

/* Let everything run that is ready now. While tasks do nothing but this and wake each other, the
 * loop looks for events and timers after 256 of them have run, or when some milliseconds have
 * passed.
 * Returns 0 or RILL_ECANCELED. asyncio: sleep(0). */
RILL_API RILL_MUST_CHECK int rill_yield(void);

/* Am I canceled? Does not give way, but for every 128th time in a row. Returns 0 or
 * RILL_ECANCELED. */
RILL_API RILL_MUST_CHECK int rill_checkpoint(void);

/* ---- looking at tasks, and stopping them ---- */

/* The task that runs, borrowed; NULL outside of tasks. asyncio: current_task. */
RILL_API rill_task *rill_current_task(void);

/* Call `each(task, arg)` for each task of the loop that has not ended, oldest first; it must not
 * make or end tasks. Returns how many there are. `each` may be NULL. asyncio: all_tasks. */
RILL_API size_t rill_all_tasks(
    rill_loop *loop, void (*each)(rill_task *task, void *arg), void *arg);

/*
 * Tell a task to stop: every wait of it fails with RILL_ECANCELED from now on, until it has
 * uncanceled as often. `why` (may be NULL) is borrowed until it has ended; the first one counts. A
 * task that has not begun begins all the same, as it may own its argument. Returns false when it
 * has ended. asyncio: cancel, uncancel, cancelling.
 */
RILL_API bool rill_task_cancel(rill_task *task, const char *why);
/* Take one cancel back; at 0 its waits wait again. Both return how many are left. */
RILL_API int rill_task_uncancel(rill_task *task);
RILL_API int rill_task_cancelling(const rill_task *task);
/* What the first cancel said, or NULL. */
RILL_API const char *rill_task_why(const rill_task *task);

/* It has ended. */
RILL_API bool rill_task_is_done(const rill_task *task);
/* It ended by returning RILL_ECANCELED. */
RILL_API bool rill_task_is_canceled(const rill_task *task);

/* Never NULL; borrowed until it is set again or the task goes. "task-N" until one is set: then
 * until the names of four more such tasks have been asked for. */
RILL_API const char *rill_task_name(const rill_task *task);
/* Copied. Returns 0, RILL_EINVAL or -ENOMEM. */
RILL_API int rill_task_set_name(rill_task *task, const char *name);

/* Counted from 1 for each loop. */
RILL_API uint64_t rill_task_id(const rill_task *task);

/* Call `fn(arg)` when the task ends, the last one first. Waiting is allowed there: a cancel is held
 * off for 5 s in all. A task's. Returns 0, RILL_ENOTASK, RILL_EINVAL or -ENOMEM: `fn` is not called
 * then. */
RILL_API RILL_MUST_CHECK int rill_defer(void (*fn)(void *arg), void *arg);

/* ---- scopes: timeouts, shields, parts that can be canceled ---- */

/* On the stack of the task that began it; ended there by rill_scope_end, the last one first.
 * Forgetting that ends the process with a message. */
typedef struct rill_scope {
    void *opaque_[16];
} rill_scope;

/* A part of a task that rill_scope_cancel can cancel alone. */
#define rill_scope_begin(scope) rill_scope_begin_site(scope, RILL_SITE("scope"))
RILL_API void rill_scope_begin_site(rill_scope *scope, const char *site);

/*
 * A part that is canceled when `after` has passed since the present turn began (RILL_NEVER: not),
 * or at `when`. 0 and less: its first wait fails; a part without waits succeeds. asyncio: timeout,
 * timeout_at.
 */
#define rill_timeout_begin(scope, after) rill_timeout_begin_site(scope, after, RILL_SITE("timeout"))
RILL_API void rill_timeout_begin_site(rill_scope *scope, rill_ns after, const char *site);
#define rill_timeout_begin_at(scope, when) \
    rill_timeout_begin_at_site(scope, when, RILL_SITE("timeout"))
RILL_API void rill_timeout_begin_at_site(rill_scope *scope, rill_ns when, const char *site);

/* A part in which waits work although the task is canceled, for `grace`, which must be given
 * (RILL_NEVER counts as 0): for cleaning up that has to wait. */
#define rill_shield_begin(scope, grace) rill_shield_begin_site(scope, grace, RILL_SITE("shield"))
RILL_API void rill_shield_begin_site(rill_scope *scope, rill_ns grace, const char *site);

/*
 * End it. `rc` is how its part ended. Where that is RILL_ECANCELED because of this scope alone, the
 * answer is RILL_ETIMEDOUT after its time, or 0 after rill_scope_cancel; else it is `rc`. Ending
 * another scope than the last begun ends the process with a message. RILL_ENOTASK if it was not
 * begun in a task and `rc` is no error.
 */
RILL_API RILL_MUST_CHECK int rill_scope_end(rill_scope *scope, int rc);

/* Cancel what runs in it. From its own task or from elsewhere on the loop, while it is not ended.
 * */
RILL_API void rill_scope_cancel(rill_scope *scope);
RILL_API bool rill_scope_is_canceled(const rill_scope *scope);
/* Its time has passed. asyncio: expired. */
RILL_API bool rill_scope_is_expired(const rill_scope *scope);

/* Its end, RILL_NEVER for none; and another one. Returns 0, or RILL_ESTATE when it has passed. */
RILL_API rill_ns rill_scope_when(const rill_scope *scope);
RILL_API int rill_scope_reschedule(rill_scope *scope, rill_ns when);

/* ---- groups: tasks that end together ---- */

/* On the stack of the task that began it, as a scope. */
typedef struct rill_group {
    void *opaque_[32];
} rill_group;

/* Begin a group, which is a scope too: the first child that fails cancels its siblings and the part
 * of the task between here and the end. asyncio: TaskGroup. */
#define rill_group_begin(group) rill_group_begin_site(group, RILL_SITE("group"))
RILL_API void rill_group_begin_site(rill_group *group, const char *site);

/*
 * As rill_spawn, for a child of the group: from its task, or from its children while any is alive.
 * Returns as rill_spawn; RILL_ECANCELED when the group is canceled or failing, RILL_ESTATE when it
 * has ended, RILL_ENOTASK when it was not begun in a task: `fn` is not called then.
 */
#define rill_group_spawn(group, fn, arg, options) \
    rill_group_spawn_site(group, fn, arg, options, RILL_SITE(#fn))
RILL_API RILL_MUST_CHECK int rill_group_spawn_site(
    rill_group *group, rill_fn fn, void *arg, const rill_task_options *options, const char *site);

/* Cancel all of it, which is no error. */
RILL_API void rill_group_cancel(rill_group *group);

/*
 * Wait for all children, whatever happens; `rc` is how the part before ended: an error, or a cancel
 * of the caller now or while it waits, cancels them. Returns the first error of a child or of that
 * part; else RILL_ECANCELED when the caller is canceled; else 0 after rill_group_cancel; else `rc`.
 * Children that ended as canceled are no error.
 */
RILL_API RILL_MUST_CHECK int rill_group_end(rill_group *group, int rc);

/* The errors in order of their time: up to `max` of the first 16 are written; returns how many
 * there were. Also after the end. */
RILL_API size_t rill_group_errors(const rill_group *group, int *ret_codes, size_t max);

/* ---- scopes and groups as blocks: GNU C ---- */

#if defined(__GNUC__)

typedef struct rill_block_ {
    union {
        rill_scope scope;
        rill_group group;
    };
    int *rc;
    bool at_end;
} rill_block_;

/* What the macros below are made of. */
static inline rill_block_ *
rill_timeout_enter_(rill_block_ *block, rill_ns after, const char *site)
{
    rill_timeout_begin_site(&block->scope, after, site);
    return block;
}

/* Runs however a block is left. */
static inline void
rill_timeout_leave_(rill_block_ *block)
{
    *block->rc = rill_scope_end(&block->scope, *block->rc);
}

/* As rill_timeout_enter_. */
static inline rill_block_ *
rill_group_enter_(rill_block_ *block, const char *site)
{
    rill_group_begin_site(&block->group, site);
    return block;
}

/* Runs however a block is left; not by its end, it is canceled. */
static inline void
rill_group_leave_(rill_block_ *block)
{
    if (!block->at_end)
        rill_group_cancel(&block->group);
    *block->rc = rill_group_end(&block->group, *block->rc);
}

#define RILL_PASTE_(a, b) a##b
#define RILL_PASTE(a, b)  RILL_PASTE_(a, b)
#define RILL_BLOCK_       RILL_PASTE(rill_block_at_, __LINE__)
#define RILL_ENTERED_     RILL_PASTE(rill_entered_at_, __LINE__)

/*
 * A timeout around a block:
 *
 *     RILL_TIMEOUT(rc, 2 * RILL_S) {
 *         rc = fetch(&page);
 *     }
 *
 * The block leaves its code in the int variable `rc`, which then becomes what rill_scope_end makes
 * of it. The scope ends however the block is left: by its end, break, return or goto.
 */
#define RILL_TIMEOUT(rc_, after)                                                               \
    for (rill_block_ RILL_BLOCK_                                                               \
         __attribute__((cleanup(rill_timeout_leave_))) = { .rc = &(rc_) },                     \
         *RILL_ENTERED_ = rill_timeout_enter_(&RILL_BLOCK_, after, RILL_SITE("RILL_TIMEOUT")); \
         RILL_ENTERED_ != NULL; RILL_ENTERED_ = NULL)

/*
 * A group around a block, whose name is a rill_group pointer in it:
 *
 *     RILL_GROUP(group, rc) {
 *         for (int i = 0; i < 3 && rc >= 0; i++)
 *             rc = rill_group_spawn(group, fetch, &jobs[i], NULL);
 *     }
 *
 * `rc` then is what rill_group_end makes of it. The group ends however the block is left; otherwise
 * than by its end, its children are canceled first.
 */
#define RILL_GROUP(group_, rc_)                                                     \
    for (rill_block_ RILL_BLOCK_                                                    \
         __attribute__((cleanup(rill_group_leave_))) = { .rc = &(rc_) },            \
         *RILL_ENTERED_ = rill_group_enter_(&RILL_BLOCK_, RILL_SITE("RILL_GROUP")); \
         RILL_ENTERED_ != NULL; RILL_ENTERED_ = NULL)                               \
        for (rill_group *group_ = &RILL_BLOCK_.group; (group_) != NULL;             \
             RILL_BLOCK_.at_end = true, (group_) = NULL)

#endif

/* ---- several futures ---- */

/*
 * Wait for all of them. Returns 0, or the first error by index. Whoever is canceled meanwhile
 * cancels all of them and still waits. RILL_EINVAL for NULL among them. `count` 0: returns 0 at
 * once. asyncio: gather.
 */
RILL_API RILL_MUST_CHECK int rill_gather(rill_future *const *futures, size_t count);

typedef enum rill_wait_mode {
    RILL_ALL_DONE,   /* Until all are done, */
    RILL_FIRST_DONE, /* one is, */
    RILL_FIRST_ERROR /* or one has failed, which a canceled one has not. */
} rill_wait_mode;

/* Wait until then, or for `timeout` (RILL_NEVER; 0 only looks). Cancels nothing, whatever happens.
 * Returns how many are done, or RILL_ECANCELED, RILL_EINVAL (no futures), RILL_ENOTASK,
 * RILL_EWRONGLOOP. asyncio: wait. */
RILL_API RILL_MUST_CHECK int
rill_wait(rill_future *const *futures, size_t count, rill_wait_mode mode, rill_ns timeout);

/* Futures in the order of their completion. asyncio: as_completed. */
typedef struct rill_completions {
    void *opaque_[8];
} rill_completions;

/* Borrows the futures until rill_completions_end. Returns 0, RILL_EINVAL, RILL_EWRONGLOOP, -ENOMEM.
 * */
RILL_API RILL_MUST_CHECK int
rill_completions_begin(rill_completions *completions, rill_future *const *futures, size_t count);
/* Wait for the next one: its index; RILL_EOF when there are no more; RILL_ECANCELED: it is still
 * the next; RILL_EBUSY while another task waits for it; RILL_EWRONGLOOP, RILL_ENOTASK. */
RILL_API RILL_MUST_CHECK int rill_completions_next(rill_completions *completions);
RILL_API void rill_completions_end(rill_completions *completions);

/* ---- variables of a task ---- */

/* A variable with a value for each task, which children inherit as it was when they were made.
 * Make it static: its address is its name. asyncio: ContextVar. */
typedef struct rill_var {
    const char *name;
    void *value; /* Where none was set. */
} rill_var;

/* What it was before rill_var_set. */
typedef struct rill_token {
    void *opaque_[3];
} rill_token;

/* The value here: in a task, or in a callback of the loop, which has that of who scheduled it if it
 * came from rill_future_on_done. */
RILL_API void *rill_var_get(const rill_var *var);
/* Set it here; `ret_token` may be NULL. Returns 0, RILL_ENOTASK without a running loop, -ENOMEM. */
RILL_API int rill_var_set(const rill_var *var, void *value, rill_token *ret_token);
/* As before that rill_var_set, once, in the same task. Returns 0, RILL_ESTATE or -ENOMEM. */
RILL_API int rill_var_reset(rill_token *token);

/* All variables as they are here now: a reference, NULL when none was ever set. */
RILL_API rill_context *rill_context_copy(void);
/* NULL is ignored. Before the loop is freed. */
RILL_API void rill_context_unref(rill_context *context);

/* ---- generators ---- */

/* A function that hands out items one by one. asyncio: async generators. */
typedef struct rill_generator rill_generator;

/* `fn(arg)` runs on a stack of its own, within whichever task asks for its next item. */
#define rill_generator_new(fn, arg, ret_generator) \
    rill_generator_new_site(fn, arg, RILL_SITE(#fn), ret_generator)
RILL_API RILL_MUST_CHECK int
rill_generator_new_site(rill_fn fn, void *arg, const char *site, rill_generator **ret_generator);
/* Its next item: 1; 0 or an error when its function has returned that, and ever after: for
 * RILL_ECANCELED it is RILL_EREVOKED unless the caller is canceled. RILL_EBUSY while a task waits
 * for an item. A task's. */
RILL_API RILL_MUST_CHECK int rill_generator_next(rill_generator *generator, void **ret_item);
/* In its function: hand out an item, until the next one is asked for. Returns 0; RILL_ECLOSED when
 * nobody will ask any more: return; RILL_ESTATE outside of generators, or in a scope or a group
 * that the generator has open. */
RILL_API RILL_MUST_CHECK int rill_emit(void *item);
/* Have its function end, and forget it. In a task, or when it has ended. */
RILL_API void rill_generator_free(rill_generator *generator);

/* ---- running ---- */

/*
 * Make a loop, run `main(arg)` as a task on it to its end, cancel what other tasks there are and
 * wait for them for 5 s, and free the loop. SIGINT cancels the main task, if nobody has set another
 * handler and this is the first thread of the program; a second one ends the process.
 *
 * Returns what `main` returned; RILL_EDEADLK, with a list on stderr of who waits for what, when
 * nothing could ever wake a task again; RILL_EINTERRUPTED; RILL_EBUSY when a loop runs in this
 * thread; what rill_loop_new returns. asyncio: run.
 */
#define rill_run(main, arg) rill_run_site(main, arg, NULL, RILL_SITE(#main))
/* The same with options for the loop. */
#define rill_run_with(main, arg, loop_options) \
    rill_run_site(main, arg, loop_options, RILL_SITE(#main))
RILL_API int
rill_run_site(rill_fn main, void *arg, const rill_loop_options *options, const char *site);

/* Runs one task after another on one loop. asyncio: Runner. */
typedef struct rill_runner rill_runner;

/* On a loop of yours, or, with `loop` NULL, on one that is made with `options` and freed with the
 * runner. Returns 0; RILL_EINVAL (options with a loop); what rill_loop_new returns; -ENOMEM. */
RILL_API int
rill_runner_new(rill_loop *loop, const rill_loop_options *options, rill_runner **ret_runner);

/* Run `main(arg)` as a task to its end; the next one finds the variables that this one leaves.
 * Returns as rill_run; RILL_EINVAL. */
#define rill_runner_run(runner, main, arg) rill_runner_run_site(runner, main, arg, RILL_SITE(#main))
RILL_API int rill_runner_run_site(rill_runner *runner, rill_fn main, void *arg, const char *site);
/* The loop that it runs on. */
RILL_API rill_loop *rill_runner_loop(const rill_runner *runner);
/* Cancel the tasks that are left, wait for them for `grace` (RILL_NEVER: as long as it takes),
 * report those that do not end, and give everything back; NULL is ignored. Returns how many were
 * reported. While a loop runs in this thread it ends the process with a message. */
RILL_API size_t rill_runner_free(rill_runner *runner, rill_ns grace);

/* While a hold is open, something that the loop does not know (another thread) may wake its tasks:
 * there is no verdict of a deadlock. Any thread. */
RILL_API void rill_loop_hold(rill_loop *loop);
RILL_API void rill_loop_release(rill_loop *loop);

/* Who waits for what, since when and where it was made: a line for each task, to a file
 * descriptor. */
RILL_API void rill_dump_tasks(rill_loop *loop, int fd);

RILL_END

#endif
