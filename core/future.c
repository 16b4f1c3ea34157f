/*
 * Futures: references, completion, and callbacks.
 *
 * Completing takes each waiter off the list and calls its function, which only schedules: no code
 * of the user's runs inside. A callback is a waiter from the loop's pool, which holds a reference
 * from its scheduling to its call. Invariant: waiters are listed while the future is pending only.
 * Loop thread only.
 */
#include "core/future.h"

#include <errno.h>

typedef struct plain_future {
    rill_future future;
    rill_future_abort_fn abort;
    void *abort_arg;
    bool aborting; /* `abort` was asked. */
} plain_future;

typedef struct callback {
    rill__waiter waiter;
    rill__ready ready;
    rill_future *future;
    rill_future_fn fn;
    void *arg;
    void *context; /* Of who asked: see loop->context_hold. */
} callback;

void
rill__future_init(
    rill_future *future, rill_loop *loop, const rill__future_ops *ops, const char *site)
{
    future->loop = loop;
    future->ops = ops;
    future->refs = 1;
    future->site = site;
    rill__list_init(&future->waiters);
    loop->futures++;
}

void
rill__future_complete(rill_future *future, enum rill__future_state state, int code)
{
    assert(future->state == RILL__PENDING && state != RILL__PENDING);
    future->state = (uint8_t)state;
    future->code = code;
    while (!rill__list_empty(&future->waiters)) {
        rill__waiter *waiter = RILL__CONTAINER(future->waiters.next, rill__waiter, link);

        rill__list_remove(&waiter->link);
        waiter->fn(waiter);
    }
}

/* ---- plain ones ---- */

static bool
plain_cancel(rill_future *future)
{
    plain_future *self = RILL__CONTAINER(future, plain_future, future);

    if (self->aborting)
        return true; /* It will complete the future. */
    if (self->abort != NULL) {
        rill_abort answer;

        self->aborting = true;
        future->refs++; /* It may give back the last one. */
        answer = self->abort(future, self->abort_arg);
        rill__check(future->state == RILL__PENDING);
        if (answer == RILL_ABORT_DONE)
            rill__future_complete(future, RILL__CANCELED, RILL_ECANCELED);
        rill_future_unref(future);
        return true;
    }
    rill__future_complete(future, RILL__CANCELED, RILL_ECANCELED);
    return true;
}

static void
plain_destroy(rill_future *future)
{
    rill__pool_release(future->loop, future, sizeof(plain_future), 0);
}

static const rill__future_ops plain_ops = { plain_cancel, plain_destroy, false };

int
rill_future_new_site(rill_loop *loop, const char *site, rill_future **ret_future)
{
    plain_future *self;

    RILL__REQUIRE(loop != NULL && ret_future != NULL);
    rill__check_thread(loop, "rill_future_new");
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "rill_future_new");
    self = rill__pool_take(loop, sizeof(*self));
    if (self == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_future_new");
    rill__future_init(&self->future, loop, &plain_ops, site);
    *ret_future = &self->future;
    return 0;
}

/* ---- references ---- */

rill_future *
rill_future_ref(rill_future *future)
{
    rill__check_thread(future->loop, "rill_future_ref");
    future->refs++;
    return future;
}

static void
report_unseen(const rill_future *future)
{
    if (future->state != RILL__FAILED || future->retrieved)
        return;
    rill__report(future->loop, RILL_ERROR_TASK, future->code, future->site, NULL, NULL,
        "the error of a future was never looked at");
}

/* Nobody holds it any more. */
void
rill__future_release(rill_future *future)
{
    if (future->state == RILL__PENDING) {
        future->refs = 1; /* Its waiters may hold it for a moment. */
        rill__future_complete(future, RILL__CANCELED, RILL_ECANCELED);
        if (--future->refs > 0)
            return;
    }
    if (!future->ops->is_task)
        report_unseen(future);
    future->loop->futures--;
    future->ops->destroy(future);
}

void
rill_future_unref(rill_future *future)
{
    if (future == NULL)
        return;
    rill__check_thread(future->loop, "rill_future_unref");
    rill__check(future->refs > 0);
    rill__future_unref(future);
}

/* ---- completing ---- */

static int
set(rill_future *future, enum rill__future_state state, int code, void *value)
{
    rill__check_thread(future->loop, "rill_future_set_result");
    if (future->ops->is_task)
        return RILL_EINVAL;
    if (future->state != RILL__PENDING)
        return RILL_ESTATE;
    future->value = value;
    rill__future_complete(future, state, code);
    return 0;
}

int
rill_future_set_result(rill_future *future, void *value)
{
    RILL__REQUIRE(future != NULL);
    return set(future, RILL__DONE, 0, value);
}

int
rill_future_set_error(rill_future *future, int code)
{
    RILL__REQUIRE(future != NULL && code < 0);
    if (code == RILL_ECANCELED)
        return set(future, RILL__CANCELED, code, NULL);
    return set(future, RILL__FAILED, code, NULL);
}

bool
rill_future_cancel(rill_future *future)
{
    rill__check_thread(future->loop, "rill_future_cancel");
    return future->state == RILL__PENDING && future->ops->cancel(future);
}

void
rill_future_on_cancel(rill_future *future, rill_future_abort_fn abort, void *arg)
{
    plain_future *self = RILL__CONTAINER(future, plain_future, future);

    rill__check_thread(future->loop, "rill_future_on_cancel");
    if (future->ops->is_task)
        return;
    self->abort = abort;
    self->abort_arg = arg;
    self->aborting = false;
}

/* ---- callbacks ---- */

static void
callback_free(callback *self)
{
    rill_loop *loop = self->future->loop;

    if (self->context != NULL)
        loop->context_ops->release(loop, self->context);
    rill__pool_release(loop, self, sizeof(*self), 0);
}

static void
callback_run(rill__ready *ready)
{
    callback *self = RILL__CONTAINER(ready, callback, ready);
    rill_future *future = self->future;
    void *outer = future->loop->context;

    if (!future->loop->freeing) {
        future->loop->context = self->context;
        self->fn(future, self->arg);
        self->context = future->loop->context;
        future->loop->context = outer;
    }
    callback_free(self);
    rill__future_unref(future);
}

static void
callback_schedule(rill__waiter *waiter)
{
    callback *self = RILL__CONTAINER(waiter, callback, waiter);

    self->future->refs++;
    rill__loop_push(self->future->loop, &self->ready);
}

int
rill_future_on_done(rill_future *future, rill_future_fn fn, void *arg)
{
    callback *self;
    rill_loop *loop;

    RILL__REQUIRE(future != NULL && fn != NULL);
    loop = future->loop;
    rill__check_thread(loop, "rill_future_on_done");
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "rill_future_on_done");
    self = rill__pool_take(loop, sizeof(*self));
    if (self == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_future_on_done");
    *self = (callback){ .future = future, .fn = fn, .arg = arg, .context = loop->context };
    if (self->context != NULL)
        loop->context_ops->hold(self->context);
    self->waiter.fn = callback_schedule;
    self->ready.run = callback_run;
    if (future->state != RILL__PENDING)
        callback_schedule(&self->waiter);
    else
        rill__future_wait(future, &self->waiter);
    return 0;
}

size_t
rill_future_remove_done(rill_future *future, rill_future_fn fn, void *arg)
{
    size_t count = 0;

    rill__check_thread(future->loop, "rill_future_remove_done");
    for (rill__link *link = future->waiters.next; link != &future->waiters;) {
        rill__waiter *waiter = RILL__CONTAINER(link, rill__waiter, link);
        callback *self = RILL__CONTAINER(waiter, callback, waiter);

        link = link->next;
        if (waiter->fn != callback_schedule || self->fn != fn || self->arg != arg)
            continue;
        rill__list_remove(&waiter->link);
        callback_free(self);
        count++;
    }
    return count;
}

/* ---- looking ---- */

bool
rill_future_is_done(const rill_future *future)
{
    return future->state != RILL__PENDING;
}

bool
rill_future_is_canceled(const rill_future *future)
{
    return future->state == RILL__CANCELED;
}

int
rill_future_result(rill_future *future, void **ret_value)
{
    RILL__REQUIRE(future != NULL);
    rill__check_thread(future->loop, "rill_future_result");
    return future->state != RILL__PENDING ? rill__future_outcome(future, ret_value) : RILL_ESTATE;
}

rill_loop *
rill_future_loop(const rill_future *future)
{
    return future->loop;
}
