/*
 * Futures as the library sees them: who waits for one is a node with a function, which runs inside
 * the call that completes the future and therefore only schedules. A task is a future with its own
 * operations.
 */
#ifndef RILL__FUTURE_INTERNAL_H
#define RILL__FUTURE_INTERNAL_H

#include <rill/future.h>

#include "core/internal.h"

enum rill__future_state { RILL__PENDING, RILL__DONE, RILL__FAILED, RILL__CANCELED };

typedef struct rill__waiter rill__waiter;
struct rill__waiter {
    rill__link link; /* In the future's list while that is pending. */
    void (*fn)(rill__waiter *self);
};

typedef struct rill__future_ops {
    /* Returns false when it cannot be canceled any more. */
    bool (*cancel)(rill_future *future);
    void (*destroy)(rill_future *future);
    bool is_task;
} rill__future_ops;

struct rill_future {
    rill_loop *loop;
    const rill__future_ops *ops;
    uint32_t refs;
    int code;      /* What a success returns, or the error. */
    uint8_t state; /* rill__future_state */
    bool retrieved;
    void *value;
    rill__link waiters;
    const char *site;
};

void rill__future_init(
    rill_future *future, rill_loop *loop, const rill__future_ops *ops, const char *site);

void rill__future_release(rill_future *future);
static inline void
rill__future_unref(rill_future *future)
{
    if (--future->refs == 0)
        rill__future_release(future);
}

/* For the pending: complete it and tell who waits, in order. */
void rill__future_complete(rill_future *future, enum rill__future_state state, int code);

/* What a completed one says to who asks; it counts as looked at. */
static inline int
rill__future_outcome(rill_future *future, void **ret_value)
{
    future->retrieved = true;
    if (RILL__UNLIKELY(future->state == RILL__CANCELED))
        return RILL_EREVOKED;
    if (ret_value != NULL && future->state == RILL__DONE)
        *ret_value = future->value;
    return future->code;
}

static inline void
rill__future_wait(rill_future *future, rill__waiter *waiter)
{
    rill__list_append(&future->waiters, &waiter->link);
}

/* Is `waiter` the only one? */
static inline bool
rill__future_is_sole(const rill_future *future, const rill__waiter *waiter)
{
    return future->waiters.next == &waiter->link && future->waiters.prev == &waiter->link;
}

#endif
