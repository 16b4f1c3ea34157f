/*
 * Suspending and waking tasks, and what a canceled task gets for waiting all the same.
 *
 * A suspended task waits for one thing, which wakes it: from then on it is ready and can no longer
 * be canceled out of that wait, so that what was granted or read is never lost. Waking only puts it
 * on the ready list. Loop thread only.
 */
#include "tasks/internal.h"

#define REFUSED_REPORT 100  /* In a row; from there on each one costs time, */
#define REFUSED_PANIC  1000 /* and in debug mode ends the process. */
#define PARK_STEPS     6    /* From 1 ms to 64. */

/* Nothing follows the switch: what there is to do then, who leaves has done before. */
static inline __attribute__((always_inline)) void
enter(rill__fiber *fiber)
{
    rill_loop *loop = fiber->loop;

    if (RILL__UNLIKELY(!loop->tasks->awake))
        rill__trim_wake(loop->tasks);
    fiber->budget = RILL__BUDGET;
    fiber->outer = loop->fiber;
    fiber->outer_context = loop->context;
    loop->fiber = fiber;
    loop->context = fiber->context;
    *loop->errno_address = fiber->saved_errno;
    rill__coro_enter(&fiber->coro, fiber->inner, fiber->code);
}

void
rill__fiber_enter(rill__fiber *fiber)
{
    enter(fiber);
}

void
rill__fiber_run(rill__ready *ready)
{
    rill__fiber *fiber = RILL__CONTAINER(ready, rill__fiber, ready);

    fiber->loop->fibers_ready--;
    fiber->loop->current_site = fiber->task->future.site;
    enter(fiber);
}

static RILL__RARE void
check_canary(const rill__fiber *fiber)
{
    if (*(const uint64_t *)(const void *)fiber->inner->stack.low != RILL__CANARY)
        rill__task_panic(fiber->task, fiber->task->future.site, "has overflowed its stack");
}

static inline __attribute__((always_inline)) int
leave(rill__fiber *fiber)
{
    if (RILL__UNLIKELY(fiber->inner->stack.canary))
        check_canary(fiber);
    if (fiber->unarmed)
        rill__scopes_arm(fiber);
    fiber->saved_errno = *fiber->loop->errno_address; /* The thread's, and so everybody's. */
    rill__fiber_step_back(fiber);
    return rill__coro_leave(&fiber->coro, fiber->inner);
}

int
rill__suspend(rill__fiber *fiber, rill__wait *wait)
{
    wait->fiber = fiber;
    fiber->wait = wait;
    fiber->since = fiber->loop->now;
    return leave(fiber);
}

void
rill__wake(rill__fiber *fiber, int code)
{
    rill__check(fiber->wait != NULL);
    if (RILL__UNLIKELY(fiber->abandoned))
        return;
    fiber->wait = NULL;
    fiber->code = code;
    fiber->trimmed = false;
    rill__fiber_push(fiber);
}

/* What arrived is read before what follows it: the task needs no turn of its own. */
void
rill__wake_now(rill__fiber *fiber, int code)
{
    rill__check(fiber->wait != NULL && fiber->loop->fiber == NULL);
    if (RILL__UNLIKELY(fiber->abandoned))
        return;
    fiber->wait = NULL;
    fiber->code = code;
    fiber->trimmed = false;
    fiber->loop->current_site = fiber->task->future.site;
    enter(fiber);
}

/* ---- giving way ---- */

/* As if woken at once: behind what is ready now. */
static inline __attribute__((always_inline)) int
give_way(rill__fiber *fiber)
{
    fiber->code = 0;
    rill__fiber_push(fiber);
    return leave(fiber);
}

void
rill__give_way(rill__fiber *fiber)
{
    (void)give_way(fiber);
}

int
rill_yield(void)
{
    rill__fiber *fiber = rill__current();
    int rc = rill__may_wait(fiber);

    if (rc < 0)
        return rc;
    return give_way(fiber);
}

int
rill_checkpoint(void)
{
    rill__fiber *fiber = rill__current();
    int rc = rill__may_wait(fiber);

    if (rc < 0)
        return rc;
    rill__spend(fiber);
    return 0;
}

/* ---- canceled, and waits all the same ---- */

static RILL__RARE void
report(const rill__fiber *fiber)
{
    char text[200];

    rill__task_describe(fiber->task, text, sizeof(text));
    rill__report(fiber->loop, RILL_ERROR_TASK, RILL_ECANCELED, fiber->task->future.site, NULL, NULL,
        "%s was told %d times that it is canceled and waits on: pass RILL_ECANCELED up, or have "
        "it uncanceled; each wait takes longer from now on",
        text, REFUSED_REPORT);
}

int
rill__refuse(rill__fiber *fiber)
{
    uint32_t count = ++fiber->refused;
    uint32_t step = count > REFUSED_REPORT ? (count - REFUSED_REPORT) / 16 : 0;
    rill_ns park = RILL_MS << (step < PARK_STEPS ? step : PARK_STEPS);

    if (count == 1)
        return RILL_ECANCELED;
    if (count == REFUSED_REPORT)
        report(fiber);
    if (count >= REFUSED_PANIC && fiber->loop->debug)
        rill__task_panic(fiber->task, fiber->task->future.site,
            "was told 1000 times that it is canceled and waits on");
    if (count < REFUSED_REPORT)
        rill__give_way(fiber);
    else
        rill__sleep_through(
            fiber, rill_loop_time(fiber->loop) + park, "its turn, canceled for long");
    return RILL_ECANCELED;
}

/* ---- sleeping ---- */

typedef struct nap {
    rill__wait wait;
    rill__own_timer timer;
} nap;

static void
nap_over(rill__own_timer *timer)
{
    nap *self = RILL__CONTAINER(timer, nap, timer);

    rill__wake(self->wait.fiber, 0);
}

static bool
nap_cancel(rill__wait *wait)
{
    nap *self = RILL__CONTAINER(wait, nap, wait);

    rill__timer_disarm(wait->fiber->loop, &self->timer);
    return true;
}

static int
sleep_until(rill__fiber *fiber, rill_ns when, const char *what, bool (*cancel)(rill__wait *))
{
    nap self = { .wait = { .what = what, .cancel = cancel }, .timer = { .fn = nap_over } };

    rill__timer_arm(fiber->loop, &self.timer, when);
    return rill__suspend(fiber, &self.wait);
}

void
rill__sleep_through(rill__fiber *fiber, rill_ns when, const char *what)
{
    (void)sleep_until(fiber, when, what, NULL);
}

int
rill_sleep_until(rill_ns when)
{
    rill__fiber *fiber = rill__current();
    int rc = rill__may_wait(fiber);

    if (rc < 0)
        return rc;
    return sleep_until(fiber, when, "rill_sleep", nap_cancel);
}

int
rill_sleep(rill_ns delay)
{
    if (delay <= 0)
        return rill_yield();
    if (rill__current() == NULL)
        return rill__refuse_outside();
    return rill_sleep_until(rill__after(rill_loop_time(rill__running), delay));
}

/* ---- waiting for futures ---- */

/* What a cancel of who waits means for the future. */
enum await_how {
    AWAIT,          /* It is canceled, unless somebody else waits for it, too. */
    AWAIT_SHARED,   /* Nothing. */
    AWAIT_INSISTING /* It is canceled, and its end waited for. */
};

typedef struct await {
    rill__wait wait;
    rill__waiter waiter;
    rill_future *future;
    void **ret_value;
    enum await_how how;
} await;

/* Its memory may be gone when the task runs: what it says is taken now. */
static void
await_over(rill__waiter *waiter)
{
    await *self = RILL__CONTAINER(waiter, await, waiter);

    rill__wake(self->wait.fiber, rill__future_outcome(self->future, self->ret_value));
}

static bool
await_cancel(rill__wait *wait)
{
    await *self = RILL__CONTAINER(wait, await, wait);

    if (self->how == AWAIT_INSISTING ||
        (self->how == AWAIT && rill__future_is_sole(self->future, &self->waiter))) {
        (void)rill_future_cancel(self->future);
        return false; /* Awake already, or when it has ended. */
    }
    rill__list_remove(&self->waiter.link);
    return true;
}

/* A call of its own: who finds the future complete need not make room for this. */
static __attribute__((noinline)) int
await_pending(
    rill__fiber *fiber, rill_future *future, void **ret_value, enum await_how how, const char *what)
{
    await self = { .wait = { .cancel = await_cancel, .what = what, .future = future },
        .waiter = { .fn = await_over },
        .future = future,
        .ret_value = ret_value,
        .how = how };
    int rc;

    rill__future_wait(future, &self.waiter);
    rc = rill__suspend(fiber, &self.wait);
    /* What we canceled ourselves is our cancel. */
    return rc == RILL_EREVOKED && fiber->canceled ? RILL_ECANCELED : rc;
}

static inline int
may_await(const rill__fiber *fiber, const rill_future *future)
{
    RILL__REQUIRE(future != NULL);
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (RILL__UNLIKELY(future->loop != fiber->loop))
        return rill__refuse_foreign(fiber, future->site);
    return RILL__UNLIKELY(future == &fiber->task->future) ? rill__refuse_itself(fiber) : 0;
}

static inline __attribute__((always_inline)) int
await_with(rill_future *future, void **ret_value, enum await_how how, const char *what)
{
    rill__fiber *fiber = rill__current();
    int rc = may_await(fiber, future);

    if (rc == 0)
        rc = rill__may_wait(fiber);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (future->state == RILL__PENDING)
        return await_pending(fiber, future, ret_value, how, what);
    rill__spend(fiber);
    return rill__future_outcome(future, ret_value);
}

int
rill_await(rill_future *future, void **ret_value)
{
    return await_with(future, ret_value, AWAIT, "rill_await");
}

int
rill_await_shared(rill_future *future, void **ret_value)
{
    return await_with(future, ret_value, AWAIT_SHARED, "rill_await_shared");
}

int
rill_join(rill_task *task)
{
    rill__fiber *fiber = rill__current();
    rill_future *future;
    int rc;

    RILL__REQUIRE(task != NULL);
    future = &task->future;
    rc = may_await(fiber, future);
    if (rc < 0)
        return rc;
    if (future->state == RILL__PENDING && fiber->canceled)
        (void)rill_future_cancel(future);
    if (future->state == RILL__PENDING)
        rc = await_pending(fiber, future, NULL, AWAIT_INSISTING, "rill_join");
    else
        rc = rill__future_outcome(future, NULL);
    rill__future_unref(future);
    return rc;
}

/* Not even a moment: cancel it and wait for its end, unless it is complete. */
static int
await_end(rill_future *future, void **ret_value)
{
    rill__fiber *fiber = rill__current();
    int rc = may_await(fiber, future);

    if (rc == 0)
        rc = rill__may_wait(fiber);
    if (rc < 0)
        return rc;
    if (future->state != RILL__PENDING)
        return rill__future_outcome(future, ret_value);
    (void)rill_future_cancel(future);
    rc = future->state != RILL__PENDING
             ? rill__future_outcome(future, ret_value)
             : await_pending(fiber, future, ret_value, AWAIT_INSISTING, "rill_await_for");
    return rc == RILL_EREVOKED ? RILL_ETIMEDOUT : rc;
}

/* Not inlined: scopes are looked for below the frame that waits, and the next one has its own. */
static __attribute__((noinline)) int
await_insisting(rill_future *future, void **ret_value)
{
    return await_with(future, ret_value, AWAIT_INSISTING, "rill_await_for");
}

int
rill_await_for(rill_future *future, rill_ns timeout, void **ret_value)
{
    rill_scope limit;

    RILL__REQUIRE(future != NULL);
    if (timeout <= 0 && timeout != RILL_NEVER)
        return await_end(future, ret_value);
    if (rill__current() == NULL)
        return rill__refuse_outside();
    rill_timeout_begin(&limit, timeout);
    return rill_scope_end(&limit, await_insisting(future, ret_value));
}
