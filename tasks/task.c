/*
 * Tasks: making one, its end, and what is asked of it.
 *
 * A task is a handle from the loop's pool, which is a future, and, until it has ended, a fiber at
 * the top of its stack. The loop holds one reference while it runs. What it ends with is told on
 * its own stack still, when it is no longer what runs; giving that stack back is the last that
 * happens on it, as nobody can take it before it has been left. Loop thread only.
 */
#include <stdio.h>

#include "tasks/internal.h"

#define COLORS         8 /* Tops of stacks lie in different sets of the cache. */
#define COLOR_BYTES    64
#define GUARDS_MAX     ((size_t)21000) /* Of those that are mappings. */
#define NAME_MAX_BYTES 255
#define NUMBERS_KEPT   5 /* Names without memory of their own, at once. */

/* ---- the loop's side ---- */

static void
free_name(rill_task *task)
{
    if (task->name != NULL)
        rill__free(task->future.loop, task->name, strlen(task->name) + 1, RILL_TAG_TASK);
    task->name = NULL;
}

static void
end_object(rill__object *object)
{
    (void)rill__task_cancel(RILL__CONTAINER(object, rill_task, object), "the loop is being freed");
}

static void
describe_object(const rill__object *object, char *buf, size_t size)
{
    rill__task_describe(RILL__CONTAINER(object, rill_task, object), buf, size);
}

/* They wait for what does not come, although they are canceled: the loop goes, and they with it. */
static void
abandon(rill_loop *loop)
{
    rill__link *link = loop->objects[RILL__OBJECT_TASK].next;
    char text[320];

    loop->abandoned = true;
    while (link != &loop->objects[RILL__OBJECT_TASK]) {
        rill_task *task =
            RILL__CONTAINER(RILL__CONTAINER(link, rill__object, link), rill_task, object);

        link = link->next;
        rill__task_describe(task, text, sizeof(text));
        rill__report(loop, RILL_ERROR_TASK, RILL_ECANCELED, task->future.site, NULL, NULL,
            "%s did not end although it was canceled: it is dropped, and what it owns is lost",
            text);
        task->fiber->abandoned = true;
        free_name(task);
        rill__object_remove(loop, RILL__OBJECT_TASK, &task->object);
    }
}

static void
tasks_done(rill_loop *loop)
{
    rill__tasks *tasks = loop->tasks;

    rill__cfutures_done(loop);
    rill__signals_done(loop);
    rill__jobs_done(loop);
    rill__trim_end(tasks);
    rill__stacks_done(loop);
    rill__free(loop, tasks, sizeof(*tasks), RILL_TAG_TASK);
    loop->tasks = NULL;
}

/* In a signal handler, on another stack: the task can do nothing any more. */
static size_t
explain_fault(uintptr_t address, char *buf, size_t size)
{
    const rill__fiber *fiber = rill__running != NULL ? rill__running->fiber : NULL;
    const rill__stack *stack;
    char who[320];
    int len;

    if (fiber == NULL)
        return 0;
    stack = &fiber->inner->stack;
    if (address >= (uintptr_t)stack->low || address < (uintptr_t)stack->low - RILL__GUARD_BYTES)
        return 0;
    rill__task_describe(fiber->task, who, sizeof(who));
    len = snprintf(buf, size,
        "rill: %s (made at %s) has overflowed its stack of %zu KiB: spawn it with more "
        "stack_bytes, "
        "or keep large arrays off the stack\n",
        who, fiber->task->future.site, (size_t)(stack->top - stack->low) / 1024);
    return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

int
rill__tasks_begin(rill_loop *loop)
{
    static const rill__tasks_ops ops = { { end_object, describe_object }, abandon, tasks_done,
        rill__jobs_may_end, rill__jobs_abandon };
    rill__tasks *tasks;

    if (loop->tasks != NULL)
        return 0;
    tasks = rill__alloc_zeroed(loop, sizeof(*tasks), RILL_TAG_TASK);
    if (tasks == NULL)
        return -ENOMEM;
    tasks->loop = loop;
    tasks->light_guards = true;
    tasks->mapped_guards_max = rill__host_mappings_max() / 3;
    if (tasks->mapped_guards_max > GUARDS_MAX)
        tasks->mapped_guards_max = GUARDS_MAX;
    rill__list_init(&tasks->cfutures);
    rill__stacks_begin(tasks);
    rill__trim_begin(tasks);
    rill__host_fault_explain(explain_fault);
    loop->tasks = tasks;
    loop->tasks_ops = &ops;
    return 0;
}

/* ---- the end of one ---- */

static void
destroy(rill_future *future)
{
    rill_task *task = rill__task_of(future);
    char text[200];

    if (future->state == RILL__FAILED && !future->retrieved) {
        rill__task_describe(task, text, sizeof(text));
        rill__report(future->loop, RILL_ERROR_TASK, future->code, future->site, NULL, NULL,
            task->detached ? "%s failed" : "%s failed, and nobody has looked at it", text);
    }
    free_name(task);
    rill__pool_release(future->loop, task, sizeof(*task), 0);
}

static bool
cancel(rill_future *future)
{
    return rill__task_cancel(rill__task_of(future), "it was canceled by who waits for it");
}

static const rill__future_ops task_ops = { cancel, destroy, true };

static void
tell_end(rill_task *task)
{
    if (task->group != NULL)
        rill__group_left(task->group, task, task->future.code);
    rill__future_unref(&task->future);
}

/* What an eager start ended with is told in the next turn, so that who spawned it goes on first. */
static void
tell_end_late(rill__ready *ready)
{
    tell_end(RILL__CONTAINER(ready, rill_task, late));
}

static void
end(rill_task *task, int code)
{
    rill_loop *loop = task->future.loop;

    task->fiber = NULL;
    rill__object_remove(loop, RILL__OBJECT_TASK, &task->object);
    if (loop->tasks->stop_when_none && loop->object_count[RILL__OBJECT_TASK] == 0)
        loop->stop = true;
    rill__future_complete(&task->future,
        code >= 0                ? RILL__DONE
        : code == RILL_ECANCELED ? RILL__CANCELED
                                 : RILL__FAILED,
        code);
    if (!task->starting || task->group == NULL) {
        tell_end(task);
        return;
    }
    task->late.run = tell_end_late;
    rill__loop_push(loop, &task->late);
}

/* On its own stack. */
static void
task_main(rill__coro *coro)
{
    rill__fiber *fiber = RILL__CONTAINER(coro, rill__fiber, coro);
    rill_loop *loop = fiber->loop;
    int code = fiber->fn(fiber->arg);

    if (fiber->scope != NULL)
        rill__task_panic(fiber->task, fiber->scope->site,
            "has returned with a scope or group open: end it on every way out");
    if (fiber->defers != NULL)
        rill__defers_run(fiber);
    rill__fiber_step_back(fiber);
    if (fiber->context != NULL)
        loop->context_ops->release(loop, fiber->context);
    end(fiber->task, code);
    rill__stack_release(loop, &coro->stack);
}

/* ---- making one ---- */

static rill__fiber *
make_fiber(const rill__stack *stack, const void *arg, size_t copy_arg, void **ret_arg)
{
    uintptr_t top = (uintptr_t)stack->top - (size_t)(stack->slot % COLORS) * COLOR_BYTES;
    rill__fiber *fiber;

    top = (top - sizeof(*fiber)) & ~(uintptr_t)63;
    fiber = (rill__fiber *)top;
    memset(fiber, 0, sizeof(*fiber));
    top = (top - copy_arg) & ~(uintptr_t)15;
    *ret_arg = (void *)top;
    if (copy_arg != 0)
        memcpy(*ret_arg, arg, copy_arg);
    return fiber;
}

static void
start_fiber(rill_task *task, const rill__stack *stack, rill_fn fn, void *arg,
    const rill_task_options *options)
{
    rill_loop *loop = task->future.loop;
    void *top;
    rill__fiber *fiber = make_fiber(stack, arg, options->copy_arg, &top);

    task->fiber = fiber;
    rill__stack_inhabit(loop, stack, fiber);
    fiber->coro.stack = *stack;
    fiber->inner = &fiber->coro;
    fiber->ready.run = rill__fiber_run;
    fiber->loop = loop;
    fiber->task = task;
    fiber->fn = fn;
    fiber->arg = options->copy_arg != 0 ? top : arg;
    fiber->context = options->context != NULL ? options->context : loop->context;
    if (fiber->context != NULL)
        loop->context_ops->hold(fiber->context);
    rill__coro_init(&fiber->coro, top, task_main);
}

static int
set_name(rill_task *task, const char *name)
{
    rill_loop *loop = task->future.loop;
    size_t bytes = strnlen(name, NAME_MAX_BYTES + 1) + 1;
    char *copy;

    if (bytes > NAME_MAX_BYTES + 1)
        return RILL_EINVAL;
    copy = rill__alloc(loop, bytes, RILL_TAG_TASK);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, name, bytes);
    free_name(task);
    task->name = copy;
    return 0;
}

static int
check(rill_loop *loop, rill_fn fn, const rill_task_options *options)
{
    if (fn == NULL || options->copy_arg > RILL__COPY_ARG_MAX)
        return RILL_EINVAL;
    rill__check_thread(loop, "rill_spawn");
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (loop->freeing)
        return RILL_ECLOSED;
    if (options->context != NULL && rill__context_loop(options->context) != loop)
        return RILL_EWRONGLOOP;
    return RILL__LIKELY(loop->tasks != NULL) ? 0 : rill__tasks_begin(loop);
}

static int
make(rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options, const char *site,
    rill_task **ret_task)
{
    rill__stack stack;
    rill_task *task = rill__pool_take(loop, sizeof(*task));
    int rc;

    if (task == NULL)
        return -ENOMEM;
    rill__future_init(&task->future, loop, &task_ops, site);
    rc = options->name != NULL ? set_name(task, options->name) : 0;
    if (rc == 0)
        rc = rill__stack_take(
            loop, options->stack_bytes != 0 ? options->stack_bytes : RILL__STACK_BYTES, &stack);
    if (rc < 0) {
        rill_future_unref(&task->future);
        return rc;
    }
    task->id = ++loop->tasks->made;
    start_fiber(task, &stack, fn, arg, options);
    *ret_task = task;
    return 0;
}

static void
unmake(rill_task *task)
{
    rill_loop *loop = task->future.loop;
    rill__stack stack = task->fiber->coro.stack;

    if (task->fiber->context != NULL)
        loop->context_ops->release(loop, task->fiber->context);
    rill__coro_done(&task->fiber->coro);
    rill__stack_release(loop, &stack);
    rill_future_unref(&task->future);
}

/* Pending futures that go are told so; a task that never was has nobody to tell. */
int
rill__task_new(rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options,
    const char *site, rill__group *group, rill_task **ret_task)
{
    static const rill_task_options defaults = { .size = sizeof(defaults) };
    rill_task_options copy;
    rill_task *task = NULL;
    int rc = 0;

    if (options == NULL) {
        options = &defaults;
    } else if (options->size != sizeof(copy)) {
        rc = rill__options_copy(
            loop, "rill_task_options", options, options->size, &copy, sizeof(copy));
        options = &copy;
    }
    if (rc == 0)
        rc = check(loop, fn, options);
    if (rc == 0)
        rc = make(loop, fn, arg, options, site, &task);
    if (rc < 0)
        return rc;
    rc = group != NULL ? rill__group_join(group, task) : 0;
    if (rc < 0) {
        unmake(task);
        return rc;
    }
    task->future.refs++; /* The loop's, and the caller's. */
    rill__object_add(loop, RILL__OBJECT_TASK, &loop->tasks_ops->object, &task->object, site);
    *ret_task = task;
    if (!options->eager || !loop->in_callback) {
        rill__fiber_push(task->fiber);
        return 0;
    }
    task->starting = true;
    rill__fiber_enter(task->fiber);
    task->starting = false;
    return 0;
}

int
rill_spawn_site(rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options,
    const char *site, rill_task **ret_task)
{
    RILL__REQUIRE(fn != NULL && ret_task != NULL);
    if (loop == NULL)
        return RILL_ENOTASK;
    return rill__task_new(loop, fn, arg, options, site, NULL, ret_task);
}

int
rill_go_site(
    rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options, const char *site)
{
    rill_task *task;
    int rc = rill_spawn_site(loop, fn, arg, options, site, &task);

    if (rc < 0)
        return rc;
    task->detached = true;
    rill_task_unref(task);
    return 0;
}

rill_task *
rill_task_ref(rill_task *task)
{
    (void)rill_future_ref(&task->future);
    return task;
}

void
rill_task_unref(rill_task *task)
{
    if (task != NULL)
        rill_future_unref(&task->future);
}

/* ---- asking, and telling it to stop ---- */

rill_future *
rill_task_future(rill_task *task)
{
    return &task->future;
}

rill_task *
rill_current_task(void)
{
    const rill__fiber *fiber = rill__current();

    return fiber != NULL ? fiber->task : NULL;
}

size_t
rill_all_tasks(rill_loop *loop, void (*each)(rill_task *task, void *arg), void *arg)
{
    rill__link *head = &loop->objects[RILL__OBJECT_TASK];

    rill__check_thread(loop, "rill_all_tasks");
    for (rill__link *link = head->next; each != NULL && link != head; link = link->next)
        each(RILL__CONTAINER(RILL__CONTAINER(link, rill__object, link), rill_task, object), arg);
    return loop->object_count[RILL__OBJECT_TASK];
}

bool
rill__task_cancel(rill_task *task, const char *why)
{
    if (task->fiber == NULL)
        return false;
    task->cancels++;
    if (task->why == NULL)
        task->why = why;
    rill__scopes_update(task->fiber);
    return true;
}

bool
rill_task_cancel(rill_task *task, const char *why)
{
    rill__check_thread(task->future.loop, "rill_task_cancel");
    return rill__task_cancel(task, why);
}

int
rill_task_uncancel(rill_task *task)
{
    rill__check_thread(task->future.loop, "rill_task_uncancel");
    if (task->fiber == NULL || task->cancels == 0)
        return task->cancels;
    if (--task->cancels == 0)
        task->why = NULL;
    rill__scopes_update(task->fiber);
    return task->cancels;
}

int
rill_task_cancelling(const rill_task *task)
{
    return task->cancels;
}

const char *
rill_task_why(const rill_task *task)
{
    return task->why;
}

bool
rill_task_is_done(const rill_task *task)
{
    return task->future.state != RILL__PENDING;
}

bool
rill_task_is_canceled(const rill_task *task)
{
    return task->future.state == RILL__CANCELED;
}

uint64_t
rill_task_id(const rill_task *task)
{
    return task->id;
}

const char *
rill_task_name(const rill_task *task)
{
    static __thread char numbers[NUMBERS_KEPT][32];
    static __thread unsigned next;
    char *number;

    if (task->name != NULL)
        return task->name;
    number = numbers[next++ % NUMBERS_KEPT];
    snprintf(number, sizeof(numbers[0]), "task-%llu", (unsigned long long)task->id);
    return number;
}

int
rill_task_set_name(rill_task *task, const char *name)
{
    RILL__REQUIRE(task != NULL && name != NULL);
    rill__check_thread(task->future.loop, "rill_task_set_name");
    return set_name(task, name);
}

void
rill__task_describe(const rill_task *task, char *buf, size_t size)
{
    snprintf(buf, size, "task %llu%s%s%s", (unsigned long long)task->id,
        task->name != NULL ? " '" : "", task->name != NULL ? task->name : "",
        task->name != NULL ? "'" : "");
}

void
rill__task_panic(const rill_task *task, const char *site, const char *text)
{
    char who[320];

    rill__task_describe(task, who, sizeof(who));
    rill__panic("%s (made at %s) %s%s%s%s", who, task->future.site, text,
        site != NULL ? " (begun at " : "", site != NULL ? site : "", site != NULL ? ")" : "");
}
