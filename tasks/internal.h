/*
 * What the files of tasks/ share: coroutines, tasks, the waits of a suspended task, scopes.
 */
#ifndef RILL__TASKS_INTERNAL_H
#define RILL__TASKS_INTERNAL_H

#include <errno.h>

#include <rill/task.h>

#include "core/driver/host.h"
#include "core/future.h"
#include "core/internal.h"
#include "core/sanitizers.h"

#define RILL__BUDGET       128 /* Waits in a row that find what they want at once. */
#define RILL__GRACE        (5 * RILL_S)
#define RILL__COPY_ARG_MAX 2048

typedef struct rill__fiber rill__fiber;
typedef struct rill__scope rill__scope;
typedef struct rill__group rill__group;

/* ---- stack.c: stacks from slabs ---- */

enum { RILL__STACK_CLASSES = 4 };

typedef struct rill__slot_state {
    uint32_t next;  /* When it is free. */
    uint32_t watch; /* Of memory checkers. */
    uint8_t guard;  /* enum rill__host_guard, from its first use on. */
    bool dirty;     /* It may have memory. */
    bool spare;     /* While trimming. */
    bool inhabited; /* By a task, whose fiber lies so far from its top. */
    uint16_t offset;
} rill__slot_state;

/* One class: slots of one size in one reserved range. */
typedef struct rill__stacks {
    char *base;
    size_t slot_bytes;
    uint32_t capacity;  /* Slots that the range has room for, */
    uint32_t committed; /* those that are usable memory, */
    uint32_t used;      /* those that were ever a stack, */
    uint32_t live;      /* and those that are one. */
    uint32_t live_max;  /* Since the last trim. */
    uint32_t free;      /* Number of the first free one, or RILL__NO_SLOT. */
    rill__slot_state *slots;
} rill__stacks;

#define RILL__NO_SLOT     UINT32_MAX
#define RILL__GUARD_BYTES ((size_t)16 * 1024) /* Below each stack, */
#define RILL__STACK_BYTES ((size_t)48 * 1024) /* which usually has so many. */

typedef struct rill__stack {
    char *low; /* Above the guard. */
    char *top;
    uint32_t slot;
    uint8_t class;
    bool canary; /* There is no guard: a word at `low` tells. */
} rill__stack;

void rill__stacks_begin(struct rill__tasks *tasks);
/* 0, -ENOMEM, RILL_ELIMIT, RILL_EINVAL for more than 8 MiB. */
int rill__stack_find(rill_loop *loop, size_t bytes, rill__stack *ret_stack);
void rill__stack_release(rill_loop *loop, const rill__stack *stack);
#define RILL__CANARY UINT64_C(0x7265766f6c6c6972)

/* The first free one. */
static inline void
rill__stack_pop(rill__stacks *stacks, int class, rill__stack *ret_stack)
{
    rill__slot_state *state = &stacks->slots[stacks->free];
    char *base = stacks->base + stacks->free * stacks->slot_bytes;

    ret_stack->low = base + RILL__GUARD_BYTES;
    ret_stack->top = base + stacks->slot_bytes;
    ret_stack->slot = stacks->free;
    ret_stack->class = (uint8_t) class;
    ret_stack->canary = state->guard == RILL__GUARD_NONE;
    state->dirty = true;
    stacks->free = state->next;
    stacks->live++;
    if (stacks->live > stacks->live_max)
        stacks->live_max = stacks->live;
    if (RILL__UNLIKELY(ret_stack->canary))
        *(uint64_t *)(void *)ret_stack->low = RILL__CANARY;
}

/* What of it lies below `sp` is not in use: give its memory back. */
void rill__stack_trim_below(const rill__stack *stack, const void *sp);
/* Give memory of free slots back, as many as the peak since the last time needed excepted. */
void rill__stacks_trim(rill_loop *loop);
void rill__stacks_done(rill_loop *loop);

/* It is a task's, for a look at all of them. */
void rill__stack_inhabit(rill_loop *loop, const rill__stack *stack, rill__fiber *fiber);

typedef struct rill__stacks_cursor {
    int class;
    uint32_t slot;
} rill__stacks_cursor;

/* One slot after another: false at the end. `ret_fiber` is NULL for those that are no task's. */
bool
rill__stacks_next(struct rill__tasks *tasks, rill__stacks_cursor *cursor, rill__fiber **ret_fiber);

/* ---- coro.c: a stack that is switched to and from ---- */

typedef struct rill__coro {
    void *sp;   /* Where it is suspended, */
    void *back; /* and who has entered it. */
    rill__stack stack;
    void (*entry)(struct rill__coro *self);
    bool ended;
#if RILL__ASAN || RILL__TSAN /* Bounds of the stack that entered it, and their own state. */
    const void *back_bottom;
    size_t back_size;
    void *fake;
    void *fiber;
    void *back_fiber;
#endif
} rill__coro;

/* `top`: where its first frame begins. */
void rill__coro_init(rill__coro *coro, void *top, void (*entry)(rill__coro *self));
/* Go on in it until it leaves: there, the call that left returns `value`. `inner`: whose stack that
 * is, as one may wait inside another. One that has ended leaves its stack's memory as it is. */
void rill__coro_enter(rill__coro *coro, const rill__coro *inner, int value);
/* Leave it, from `inner`'s stack. */
int rill__coro_leave(rill__coro *coro, rill__coro *inner);
/* Before its stack goes without its having been entered to the end. */
void rill__coro_done(rill__coro *coro);

/* ---- waits ---- */

/* What a suspended task waits for; on its stack. */
typedef struct rill__wait {
    /* The task is canceled meanwhile: true, no longer waited for; false, it will end by itself.
     * NULL: false. */
    bool (*cancel)(struct rill__wait *self);
    const char *what; /* "rill_sleep"; on which future, or where that was made. */
    const rill_future *future;
    const char *site;
    rill__fiber *fiber;
} rill__wait;

/* The head of a task's stack. */
struct rill__fiber {
    rill__coro coro; /* First: entry finds the fiber by it. */
    rill__coro *inner;
    rill__ready ready;
    rill_loop *loop;
    rill_task *task;
    rill__wait *wait; /* NULL: it runs, or is ready. */
    int code;         /* What it was woken with. */
    int saved_errno;  /* While it does not run. */
    uint32_t budget;
    uint32_t refused;   /* Waits that said RILL_ECANCELED, one after another. */
    bool canceled;      /* In effect. */
    bool unarmed;       /* A scope has a deadline whose timer is not armed. */
    bool trimmed;       /* While it waits: of what it does not use. */
    bool abandoned;     /* It waits for ever: the loop goes without its end. */
    rill__scope *scope; /* The innermost. */
    struct rill__defer *defers;
    rill_generator *generator; /* The innermost that it is in. */
    void *context;             /* While it does not run; then it is the loop's. */
    rill__fiber *outer;        /* What ran when it was entered: NULL, or who starts it eagerly; */
    void *outer_context;       /* and that one's context. */
    rill_fn fn;
    void *arg;
    rill_ns since; /* It waits. */
};

struct rill_task {
    rill_future future; /* First. */
    rill__object object;
    rill__fiber *fiber; /* NULL when it has ended. */
    uint64_t id;
    char *name; /* Or NULL. */
    const char *why;
    int cancels;
    bool detached;    /* rill_go. */
    bool starting;    /* Inside its eager start. */
    rill__ready late; /* What an eager end has to tell, next turn. */
    rill__group *group;
    rill__link sibling;
};

/* ---- state of a loop that has tasks ---- */

typedef struct rill__tasks {
    rill__stacks stacks[RILL__STACK_CLASSES];
    uint64_t made;
    size_t mapped_guards;
    size_t mapped_guards_max;
    bool light_guards;
    bool warned; /* Of stacks without guards. */
    bool stop_when_none;
    bool keeps_stacks; /* For ever: a job that was left behind may use one. */
    rill_loop *loop;

    /* trim.c */
    rill__own_timer trim;
    bool trim_armed;
    bool awake;   /* A task has run since the last look at all, */
    bool busy;    /* or between that and the one before. */
    bool looking; /* From `cursor` on. */
    unsigned periods;
    rill__stacks_cursor cursor;

    struct rill_executor *executor;     /* What NULL means, or NULL so far; */
    struct rill_executor *own_executor; /* it, if the loop made it. */
    rill__link cfutures;                /* That other threads hold. */
    struct rill__signals *signals;      /* NULL before the first. */
} rill__tasks;

/* As rill__stack_find, fast for the usual size. */
static inline int
rill__stack_take(rill_loop *loop, size_t bytes, rill__stack *ret_stack)
{
    rill__stacks *stacks = &loop->tasks->stacks[0];

    if (RILL__UNLIKELY(bytes > RILL__STACK_BYTES || stacks->free == RILL__NO_SLOT))
        return rill__stack_find(loop, bytes, ret_stack);
    rill__stack_pop(stacks, 0, ret_stack);
    return 0;
}

void rill__trim_begin(rill__tasks *tasks);
void rill__trim_end(rill__tasks *tasks);
RILL__RARE void rill__trim_wake(rill__tasks *tasks);

/* Made at the first task. 0 or -ENOMEM. */
int rill__tasks_begin(rill_loop *loop);

#define rill__task_of(future_) RILL__CONTAINER(future_, rill_task, future)

static inline rill__fiber *
rill__current(void)
{
    return RILL__LIKELY(rill__running != NULL) ? rill__running->fiber : NULL;
}

/* ---- task.c ---- */

int rill__task_new(rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options,
    const char *site, rill__group *group, rill_task **ret_task);
/* Cancel by whoever; `why` may be NULL. */
bool rill__task_cancel(rill_task *task, const char *why);
/* "task-3 'fetch' (made at ...)" for messages. */
void rill__task_describe(const rill_task *task, char *buf, size_t size);
_Noreturn void rill__task_panic(const rill_task *task, const char *site, const char *text);

/* ---- wait.c ---- */

/* A scope below `frame`, of whoever waits, was left behind by a function that has returned. So a
 * function that begins a scope itself must wait in another one. */
void rill__scopes_check(const rill__fiber *fiber, const void *frame);

/* ---- misuse.c: the code of a wait that must not be; the last error has a sentence ---- */

RILL__RARE int rill__refuse_outside(void);
/* What was made at `site`, or NULL. */
RILL__RARE int rill__refuse_foreign(const rill__fiber *fiber, const char *site);
RILL__RARE int rill__refuse_itself(const rill__fiber *fiber);

/* At the head of what waits: 0, RILL_ENOTASK or RILL_ECANCELED. */
RILL__RARE int rill__refuse(rill__fiber *fiber);
static inline __attribute__((always_inline)) int
rill__may_wait(rill__fiber *fiber)
{
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (fiber->scope != NULL)
        rill__scopes_check(fiber, __builtin_frame_address(0));
    return RILL__UNLIKELY(fiber->canceled) ? rill__refuse(fiber) : 0;
}

/* Suspend until rill__wake; returns what that said. */
int rill__suspend(rill__fiber *fiber, rill__wait *wait);
/* For the suspended. It runs in its turn. */
void rill__wake(rill__fiber *fiber, int code);
/* The same, but it runs inside this call: in a callback of the loop, outside of tasks. */
void rill__wake_now(rill__fiber *fiber, int code);
/* A wait that found what it wanted at once: now and then it gives way all the same. */
void rill__give_way(rill__fiber *fiber);
static inline void
rill__spend(rill__fiber *fiber)
{
    if (RILL__UNLIKELY(--fiber->budget == 0))
        rill__give_way(fiber);
}

/* Ready: it runs in its turn. */
static inline void
rill__fiber_push(rill__fiber *fiber)
{
    fiber->loop->fibers_ready++;
    rill__loop_push(fiber->loop, &fiber->ready);
}

/* Run it until it waits or has ended; its ready node does that in its turn. */
void rill__fiber_enter(rill__fiber *fiber);
/* Before its stack is left: it is no longer what runs. */
static inline void
rill__fiber_step_back(rill__fiber *fiber)
{
    fiber->context = fiber->loop->context;
    fiber->loop->context = fiber->outer_context;
    fiber->loop->fiber = fiber->outer;
}
void rill__fiber_run(rill__ready *ready);

/* As rill_sleep_until, and nothing ends it early. */
void rill__sleep_through(rill__fiber *fiber, rill_ns when, const char *what);

/* ---- scope.c ---- */

enum rill__scope_kind {
    RILL__SCOPE_PLAIN,
    RILL__SCOPE_TIMEOUT,
    RILL__SCOPE_SHIELD,
    RILL__SCOPE_GROUP
};

struct rill__scope {
    rill__scope *outer;
    rill__fiber *fiber; /* NULL: not begun in a task, or ended. */
    const char *site;
    rill__own_timer timer;
    rill_ns deadline;
    uint8_t kind;
    bool canceled;
    bool expired;
    bool ended;
    uint32_t magic;
};

void rill__scope_init(rill__scope *scope, uint8_t kind, rill_ns deadline, const char *site);
int rill__scope_pop(rill__scope *scope, const char *function);
/* Something has changed: is the fiber canceled now? */
void rill__scopes_update(rill__fiber *fiber);
__attribute__((noinline)) void rill__scopes_arm(rill__fiber *fiber);

/* ---- group.c ---- */

/* A child has ended with `code`. */
void rill__group_left(rill__group *group, rill_task *child, int code);
/* Reserve the place of a child: 0, or why it must not begin. */
int rill__group_join(rill__group *group, rill_task *child);

/* ---- job.c, threads.c, signal.c: what a loop that ends has of each ---- */

bool rill__jobs_may_end(const rill_loop *loop);
void rill__jobs_abandon(rill_loop *loop);
void rill__jobs_done(rill_loop *loop);
void rill__cfutures_done(rill_loop *loop);
void rill__signals_done(rill_loop *loop);

/* ---- variable.c ---- */

const rill_loop *rill__context_loop(const rill_context *context);

/* ---- defer.c ---- */

void rill__defers_run(rill__fiber *fiber);

#endif
