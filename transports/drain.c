/*
 * Drains: callbacks that wait until at most so many bytes are queued.
 *
 * A drain is on its transport's list until `done` runs. Settled, it is a node of the ready list
 * too, so that `done` never runs inside a call; the transport's loss runs all that are left at
 * once, just before connection_lost. Loop thread only.
 */
#include <errno.h>

#include "transports/internal.h"

typedef struct drain {
    rill__link link;
    rill__ready ready; /* On the ready list while `settled`. */
    rill__own_timer timer;
    rill_loop *loop;
    size_t bytes_max;
    rill_done_fn done; /* NULL: canceled. */
    void *arg;
    rill_id id;
    int rc;
    bool settled;
} drain;

static void
finish(drain *d)
{
    rill_done_fn done = d->done;
    void *arg = d->arg;
    int rc = d->rc;

    rill__list_remove(&d->link);
    rill__timer_disarm(d->loop, &d->timer);
    rill__operation_end(d->loop, d->id);
    rill__free(d->loop, d, sizeof(*d), RILL_TAG_TRANSPORT);
    if (done != NULL)
        done(arg, rc);
}

static void
drain_run(rill__ready *ready)
{
    finish(RILL__CONTAINER(ready, drain, ready));
}

static void
settle(drain *d, int rc)
{
    if (d->settled)
        return;
    d->settled = true;
    d->rc = rc;
    rill__loop_push(d->loop, &d->ready);
}

static bool
drain_cancel(void *object)
{
    drain *d = object;
    bool pending = d->done != NULL;

    d->done = NULL;
    settle(d, RILL_ECANCELED);
    return pending;
}

static void
drain_timeout(rill__own_timer *timer)
{
    settle(RILL__CONTAINER(timer, drain, timer), RILL_ETIMEDOUT);
}

void
rill__drains_check(rill_transport *t)
{
    size_t queued = rill_transport_write_buffer_size(t);
    const rill__link *head = &t->extra->drains;

    for (rill__link *link = head->next; link != head; link = link->next) {
        drain *d = RILL__CONTAINER(link, drain, link);

        if (queued <= d->bytes_max)
            settle(d, 0);
    }
}

void
rill__drains_end(rill_transport *t, int code)
{
    while (!rill__list_empty(&t->extra->drains)) {
        drain *d = RILL__CONTAINER(t->extra->drains.next, drain, link);

        if (d->settled)
            rill__loop_unlink(d->loop, &d->ready);
        else
            d->rc = code;
        finish(d);
    }
}

static drain *
drain_new(rill_transport *t, size_t bytes_max, rill_done_fn done, void *arg)
{
    drain *d;

    if (rill__transport_extra(t) == NULL)
        return NULL;
    d = rill__alloc_zeroed(t->loop, sizeof(*d), RILL_TAG_TRANSPORT);
    if (d == NULL)
        return NULL;
    d->ready.run = drain_run;
    d->timer.fn = drain_timeout;
    d->loop = t->loop;
    d->bytes_max = bytes_max;
    d->done = done;
    d->arg = arg;
    return d;
}

int
rill_transport_drain_start(rill_transport *t, size_t bytes_max, rill_ns timeout, rill_done_fn done,
    void *arg, rill_id *ret_id)
{
    drain *d;
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_drain_start");
    if (done == NULL || (timeout <= 0 && timeout != RILL_NEVER))
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "drain: done, and a positive timeout or RILL_NEVER, are needed");
    if (t->phase == RILL__PHASE_LOST)
        return rill__fail(t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "drain: lost");
    d = drain_new(t, bytes_max, done, arg);
    if (d == NULL)
        return rill__fail_call(t->loop, -ENOMEM, "drain");
    rc = rill__operation_new(t->loop, drain_cancel, d, &d->id);
    if (rc < 0) {
        rill__free(t->loop, d, sizeof(*d), RILL_TAG_TRANSPORT);
        return rill__fail_call(t->loop, rc, "drain");
    }
    rill__list_append(&t->extra->drains, &d->link);
    if (ret_id != NULL)
        *ret_id = d->id;
    if (rill_transport_write_buffer_size(t) <= bytes_max)
        settle(d, 0);
    else if (timeout != RILL_NEVER)
        rill__timer_arm(
            t->loop, &d->timer, rill__after(t->loop->ops->now(t->loop->driver), timeout));
    return 0;
}
