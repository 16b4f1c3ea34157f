/*
 * Waiting for several futures: gather, wait, and completions in order.
 *
 * Each future gets a waiter that belongs to one wait; the waiters lie in one block of memory, on
 * the stack for few. A future that is complete already counts at once. A pending one that goes
 * tells its waiters; a complete one is held to the end, so it may be given back by others. Loop
 * thread only.
 */
#include "tasks/internal.h"

#define FEW 16

typedef struct several several;

typedef struct one {
    rill__waiter waiter;
    several *all;
    rill_future *future;
    struct one *next; /* In order of completion. */
} one;

struct several {
    rill__wait wait;
    rill__own_timer timer;
    rill_loop *loop;
    size_t count;
    size_t done;
    size_t failed;
    size_t enough_done;
    size_t enough_failed;
    bool waiting;
    bool insists; /* Canceled, it cancels all of them and waits on. */
    bool asked;   /* A task is in rill_completions_next. */
    one *ones;
    one *first; /* Complete and not handed out. */
    one *last;
    one few[FEW];
};

static int
check(rill_loop *loop, rill_future *const *futures, size_t count)
{
    if (count != 0 && futures == NULL)
        return RILL_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (futures[i] == NULL)
            return RILL_EINVAL;
        if (futures[i]->loop != loop)
            return loop->fiber != NULL ? rill__refuse_foreign(loop->fiber, futures[i]->site)
                                       : RILL_EWRONGLOOP;
    }
    return 0;
}

static bool
is_enough(const several *self)
{
    return self->done >= self->enough_done || self->failed >= self->enough_failed;
}

static void
complete(one *o)
{
    several *self = o->all;

    (void)rill_future_ref(o->future);
    o->next = NULL;
    if (self->last != NULL)
        self->last->next = o;
    else
        self->first = o;
    self->last = o;
    self->done++;
    self->failed += o->future->state == RILL__FAILED;
}

static void
on_complete(rill__waiter *waiter)
{
    one *o = RILL__CONTAINER(waiter, one, waiter);
    several *self = o->all;

    complete(o);
    if (!self->waiting || !is_enough(self))
        return;
    self->waiting = false;
    rill__wake(self->wait.fiber, 0);
}

static int
begin(several *self, rill_loop *loop, rill_future *const *futures, size_t count)
{
    self->loop = loop;
    self->count = count;
    self->ones = self->few;
    if (count > FEW)
        self->ones = rill__alloc(loop, count * sizeof(one), RILL_TAG_TASK);
    if (self->ones == NULL)
        return rill__fail_call(loop, -ENOMEM, "waiting for several futures");
    for (size_t i = 0; i < count; i++) {
        one *o = &self->ones[i];

        o->all = self;
        o->future = futures[i];
        o->waiter.fn = on_complete;
        rill__list_init(&o->waiter.link);
        if (futures[i]->state == RILL__PENDING)
            rill__future_wait(futures[i], &o->waiter);
        else
            complete(o);
    }
    return 0;
}

static void
end(several *self)
{
    for (size_t i = 0; i < self->count; i++) {
        rill__list_remove(&self->ones[i].waiter.link);
        if (self->ones[i].future->state != RILL__PENDING)
            rill_future_unref(self->ones[i].future);
    }
    if (self->ones != self->few)
        rill__free(self->loop, self->ones, self->count * sizeof(one), RILL_TAG_TASK);
}

/* ---- suspending ---- */

static void
cancel_all(const several *self)
{
    for (size_t i = 0; i < self->count; i++)
        (void)rill_future_cancel(self->ones[i].future);
}

static bool
on_cancel(rill__wait *wait)
{
    several *self = RILL__CONTAINER(wait, several, wait);

    if (self->insists) {
        cancel_all(self);
        return false;
    }
    self->waiting = false;
    if (rill__timer_is_armed(&self->timer))
        rill__timer_disarm(self->loop, &self->timer);
    return true;
}

static void
on_timeout(rill__own_timer *timer)
{
    several *self = RILL__CONTAINER(timer, several, timer);

    if (!self->waiting)
        return; /* It was woken in this very turn. */
    self->waiting = false;
    rill__wake(self->wait.fiber, RILL_ETIMEDOUT);
}

static int
wait_here(several *self, rill__fiber *fiber, rill_ns timeout, const char *what)
{
    int rc;

    if (is_enough(self)) {
        rill__spend(fiber);
        return 0;
    }
    if (timeout == 0)
        return RILL_ETIMEDOUT;
    self->wait = (rill__wait){ .cancel = on_cancel, .what = what };
    self->timer = (rill__own_timer){ .fn = on_timeout };
    if (timeout != RILL_NEVER)
        rill__timer_arm(self->loop, &self->timer, rill__after(rill_loop_time(self->loop), timeout));
    self->waiting = true;
    rc = rill__suspend(fiber, &self->wait);
    if (rill__timer_is_armed(&self->timer))
        rill__timer_disarm(self->loop, &self->timer);
    return rc;
}

/* ---- gather ---- */

static int
first_error(const several *self)
{
    for (size_t i = 0; i < self->count; i++) {
        int rc = rill__future_outcome(self->ones[i].future, NULL);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static void
look_at_all(const several *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->ones[i].future->retrieved = true;
}

/* Its own tasks would run into memory that is gone if it returned before they end. */
int
rill_gather(rill_future *const *futures, size_t count)
{
    rill__fiber *fiber = rill__current();
    several self = { .enough_done = count, .enough_failed = SIZE_MAX, .insists = true };
    int rc;

    RILL__REQUIRE(futures != NULL || count == 0);
    if (fiber == NULL)
        return rill__refuse_outside();
    rc = check(fiber->loop, futures, count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = futures[i] == &fiber->task->future ? rill__refuse_itself(fiber) : 0;
    if (rc == 0 && count == 0)
        return rill__may_wait(fiber);
    if (rc == 0)
        rc = begin(&self, fiber->loop, futures, count);
    if (rc < 0)
        return rc;
    if (fiber->canceled)
        cancel_all(&self);
    (void)wait_here(&self, fiber, RILL_NEVER, "rill_gather");
    rc = first_error(&self);
    look_at_all(&self);
    end(&self);
    return rc == RILL_EREVOKED && fiber->canceled ? RILL_ECANCELED : rc;
}

/* ---- wait ---- */

int
rill_wait(rill_future *const *futures, size_t count, rill_wait_mode mode, rill_ns timeout)
{
    rill__fiber *fiber = rill__current();
    several self = { .enough_done = mode == RILL_FIRST_DONE ? 1 : count,
        .enough_failed = mode == RILL_FIRST_ERROR ? 1 : SIZE_MAX };
    int rc = count != 0 && mode <= RILL_FIRST_ERROR && (timeout >= 0 || timeout == RILL_NEVER)
                 ? rill__may_wait(fiber)
                 : RILL_EINVAL;

    if (rc == 0)
        rc = check(fiber->loop, futures, count);
    if (rc == 0)
        rc = begin(&self, fiber->loop, futures, count);
    if (rc < 0)
        return rc;
    rc = wait_here(&self, fiber, timeout, "rill_wait");
    end(&self);
    return rc == 0 || rc == RILL_ETIMEDOUT ? (int)self.done : rc;
}

/* ---- one by one ---- */

typedef struct completions {
    several *all;
} completions;

static_assert(sizeof(completions) <= sizeof(rill_completions), "it fits its public form");

int
rill_completions_begin(rill_completions *public, rill_future *const *futures, size_t count)
{
    completions *self = (completions *)(void *)public;
    rill_loop *loop = rill_loop_running();
    int rc;

    RILL__REQUIRE(public != NULL);
    self->all = NULL;
    if (loop == NULL)
        return RILL_ENOTASK;
    rc = check(loop, futures, count);
    if (rc < 0)
        return rc;
    self->all = rill__alloc_zeroed(loop, sizeof(several), RILL_TAG_TASK);
    if (self->all == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_completions_begin");
    rc = begin(self->all, loop, futures, count);
    if (rc < 0) {
        rill__free(loop, self->all, sizeof(several), RILL_TAG_TASK);
        self->all = NULL;
    }
    return rc;
}

/* `done` counts what was handed out too: one more than that is enough. */
int
rill_completions_next(rill_completions *public)
{
    rill__fiber *fiber = rill__current();
    several *self;
    one *o;
    int rc;

    RILL__REQUIRE(public != NULL && ((completions *)(void *)public)->all != NULL);
    self = ((completions *)(void *)public)->all;
    rc = rill__may_wait(fiber);
    if (rc < 0)
        return rc;
    if (fiber->loop != self->loop)
        return rill__refuse_foreign(fiber, NULL);
    if (self->asked)
        return RILL_EBUSY;
    if (self->first == NULL && self->done == self->count)
        return RILL_EOF;
    self->enough_done = self->first != NULL ? 0 : self->done + 1;
    self->enough_failed = SIZE_MAX;
    self->asked = true;
    rc = wait_here(self, fiber, RILL_NEVER, "rill_completions_next");
    self->asked = false;
    if (rc < 0)
        return rc;
    o = self->first;
    self->first = o->next;
    if (self->first == NULL)
        self->last = NULL;
    return (int)(o - self->ones);
}

void
rill_completions_end(rill_completions *public)
{
    completions *self = (completions *)(void *)public;

    if (self->all == NULL)
        return;
    if (self->all->asked)
        rill__panic("rill_completions_end called while a task waits in rill_completions_next");
    end(self->all);
    rill__free(self->all->loop, self->all, sizeof(several), RILL_TAG_TASK);
    self->all = NULL;
}
