/*
 * What those objects are made of for which tasks queue up: a mark of life, a list of who waits, and
 * a node for each of them on its own stack.
 *
 * Whoever serves a waiting task takes its node off the list and wakes it; a cancel that comes first
 * takes it off. All who are listed are tasks of one loop, which the first one tells: an object
 * keeps no loop, so that it can outlive one and serve the next.
 */
#ifndef RILL__TASKS_SYNC_H
#define RILL__TASKS_SYNC_H

#include <rill/sync.h>

#include "tasks/internal.h"

typedef struct rill__queuer {
    rill__wait wait; /* First. */
    rill__link link;
} rill__queuer;

/* At the head of each object: `kind` is its name, a string whose address marks it as alive. */
typedef struct rill__sync {
    const char *kind;
    const char *site;
    rill__link waiters;
} rill__sync;

static inline rill__queuer *
rill__first_queuer(const rill__link *waiters)
{
    return rill__list_empty(waiters) ? NULL : RILL__CONTAINER(waiters->next, rill__queuer, link);
}

/* Also a `cancel` of a wait: it ends, and has got nothing. */
bool rill__queuer_leave(rill__wait *wait);
/* It gets what it waits for, or learns why not. */
void rill__queuer_serve(rill__queuer *queuer, int code, const char *function);

/* Wait at the end of the line; `self->wait` is filled in. */
int rill__queue_up(rill__fiber *fiber, rill__link *waiters, rill__queuer *self);

/* Do tasks of another loop wait in it? */
static inline bool
rill__queue_is_foreign(const rill__link *waiters, const rill__fiber *fiber)
{
    const rill__queuer *first = rill__first_queuer(waiters);

    return RILL__UNLIKELY(first != NULL) && RILL__UNLIKELY(first->wait.fiber->loop != fiber->loop);
}

extern const char rill__kind_lock[], rill__kind_event[], rill__kind_condition[],
    rill__kind_semaphore[], rill__kind_barrier[];

void rill__sync_init(rill__sync *self, const char *kind, const char *site);
/* Ends the process when a task waits. */
void rill__sync_done(rill__sync *self, const char *kind, const char *function);
_Noreturn RILL__RARE void
rill__sync_panic(const rill__sync *self, const char *kind, const char *function);

/* At the head of each call. */
static inline void
rill__sync_check(const rill__sync *self, const char *kind, const char *function)
{
    if (RILL__UNLIKELY(self->kind != kind))
        rill__sync_panic(self, kind, function);
}

/* At the head of what waits: 0, RILL_ENOTASK, RILL_EWRONGLOOP or RILL_ECANCELED. */
static inline int
rill__sync_may_wait(const rill__sync *self, rill__fiber *fiber)
{
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (rill__queue_is_foreign(&self->waiters, fiber))
        return rill__refuse_foreign(fiber, self->site);
    return rill__may_wait(fiber);
}

/* ---- lock.c, for conditions ---- */

typedef struct rill__lock {
    rill__sync sync;
    bool held;
} rill__lock;

/* Who waits for a lock, and what it will return when it has it. */
typedef struct rill__lock_queuer {
    rill__queuer queuer; /* First. */
    int code;
} rill__lock_queuer;

static inline rill__lock *
rill__lock_of(rill_lock *lock, const char *function)
{
    rill__lock *self = (rill__lock *)(void *)lock;

    rill__sync_check(&self->sync, rill__kind_lock, function);
    return self;
}

/* For who holds it. */
void rill__lock_pass_on(rill__lock *self, const char *function);

#endif
