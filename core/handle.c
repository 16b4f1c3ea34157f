/*
 * Handles: what the user schedules with call_at, call_later and call_every (soon.c has call_soon),
 * and rill_cancel for everything that has an id.
 *
 * A handle lives in a slab of the loop and is named by an id. Loop thread only.
 */
#include <errno.h>

#include "core/internal.h"

typedef struct user_timer {
    rill__timer timer;
    rill_callback fn;
    void *arg;
} user_timer;

/* A slab object begins with its slot; the timer follows it, one cache line together. */
typedef struct timer_object {
    rill__slot slot;
    user_timer user;
} timer_object;

static_assert(sizeof(timer_object) == 64, "a user timer fills one cache line");

/* Written in debug mode and for periodic timers only. */
typedef struct timer_cold {
    const char *site;
    rill_ns period;
    uint64_t missed;
} timer_cold;

void
rill__handles_init(rill_loop *loop)
{
    rill__soons_init(loop);
    rill__slab_init(&loop->user_timers, RILL__ID_TIMER, sizeof(timer_object), sizeof(timer_cold));
    rill__slab_init(&loop->operations, RILL__ID_OPERATION, sizeof(rill__operation), 0);
}

int
rill__may_not_schedule(rill_loop *loop, rill_callback fn, const char *function)
{
    /* First: a child that was forked inside a callback runs no loop, though the copy says so. */
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    rill__check_thread(loop, function);
    if (fn == NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "%s without a function", function);
    assert(loop->freeing);
    return rill__fail_call(loop, RILL_ECLOSED, function);
}

static void *
take(rill_loop *loop, rill__slab *slab, int *ret_rc)
{
    void *object = rill__slab_take(slab);

    if (RILL__LIKELY(object != NULL))
        return object;
    *ret_rc = rill__slab_grow(loop, slab);
    if (*ret_rc == 0)
        return rill__slab_take(slab);
    (void)rill__fail_call(loop, *ret_rc, "a timer or an operation");
    return NULL;
}

/* ---- timers ---- */

static timer_object *
object_of(user_timer *user)
{
    return RILL__CONTAINER(user, timer_object, user);
}

static timer_object *
find_timer(const rill_loop *loop, rill_id id)
{
    return rill__slab_find(&loop->user_timers, id);
}

static timer_cold *
cold_of(const rill_loop *loop, const timer_object *object)
{
    return rill__slab_cold(&loop->user_timers, object);
}

static const char *
site_of(const rill_loop *loop, const timer_object *object)
{
    return object->user.timer.sited ? cold_of(loop, object)->site
                                    : "a timer made before debug mode was switched on";
}

static void
timer_release(rill_loop *loop, timer_object *object)
{
    loop->timers.user_count--;
    rill__slab_release(&loop->user_timers, object);
}

/* The next call by schedule that lies in the future; what was passed over is counted. */
static void
periodic_rearm(rill_loop *loop, timer_object *object)
{
    timer_cold *cold = cold_of(loop, object);
    rill__timer *timer = &object->user.timer;
    rill_ns now = rill__loop_now(loop);
    uint64_t missed = (uint64_t)(now - timer->deadline) / (uint64_t)cold->period;

    cold->missed = missed;
    timer->deadline += (rill_ns)(missed + 1) * cold->period;
    rill__timer_insert(&loop->timers, timer);
}

void
rill__user_timer_run(rill__ready *ready)
{
    user_timer *user = RILL__CONTAINER(ready, user_timer, timer.ready);
    timer_object *object = object_of(user);
    rill_loop *loop = rill__running;
    rill_callback fn = user->fn;
    void *arg = user->arg;

    if (!rill__timer_take_ready(loop, &user->timer)) {
        if (user->timer.place == RILL__TIMER_IDLE)
            timer_release(loop, object); /* Canceled. */
        return;
    }
    if (loop->debug)
        loop->current_site = site_of(loop, object);
    if (user->timer.periodic)
        periodic_rearm(loop, object);
    else
        timer_release(loop, object);
    fn(arg);
}

static int
arm(rill_loop *loop, rill_ns when, rill_ns period, rill_callback fn, void *arg, const char *site,
    rill_id *ret_id)
{
    int rc = 0;
    timer_object *object = take(loop, &loop->user_timers, &rc);
    rill__timer *timer;

    if (RILL__UNLIKELY(object == NULL))
        return rc;
    timer = &object->user.timer;
    timer->deadline = when;
    timer->state = RILL__TIMER_USER;
    if (RILL__UNLIKELY(loop->debug || period != 0)) {
        timer->periodic = period != 0;
        timer->sited = 1;
        *cold_of(loop, object) = (timer_cold){ .site = site, .period = period };
    }
    object->user.fn = fn;
    object->user.arg = arg;
    rill__timer_insert(&loop->timers, timer);
    loop->timers.user_count++;
    if (ret_id != NULL)
        *ret_id = object->slot.id;
    return 0;
}

int
rill_call_at_site(
    rill_loop *loop, rill_ns when, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    RILL__REQUIRE(loop != NULL);
    if (RILL__UNLIKELY(!rill__may_schedule(loop, fn)))
        return rill__may_not_schedule(loop, fn, "rill_call_at");
    if (RILL__UNLIKELY(when < 0))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "rill_call_at: a negative time");
    return arm(loop, when, 0, fn, arg, site, ret_id);
}

int
rill_call_later_site(
    rill_loop *loop, rill_ns delay, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    RILL__REQUIRE(loop != NULL);
    if (RILL__UNLIKELY(!rill__may_schedule(loop, fn)))
        return rill__may_not_schedule(loop, fn, "rill_call_later");
    return arm(loop, rill__after(loop->ops->now(loop->driver), delay), 0, fn, arg, site, ret_id);
}

int
rill_call_every_site(
    rill_loop *loop, rill_ns period, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    RILL__REQUIRE(loop != NULL);
    if (RILL__UNLIKELY(!rill__may_schedule(loop, fn)))
        return rill__may_not_schedule(loop, fn, "rill_call_every");
    if (period < RILL_US || period > INT64_MAX / 4)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "rill_call_every: the period must be at least 1 microsecond");
    return arm(
        loop, rill__after(loop->ops->now(loop->driver), period), period, fn, arg, site, ret_id);
}

uint64_t
rill_timer_missed(const rill_loop *loop, rill_id id)
{
    timer_object *object = find_timer(loop, id);

    rill__check_thread(loop, "rill_timer_missed");
    return object != NULL && object->user.timer.periodic ? cold_of(loop, object)->missed : 0;
}

int
rill_timer_rearm(rill_loop *loop, rill_id id, rill_ns when)
{
    timer_object *object;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_timer_rearm");
    object = find_timer(loop, id);
    if (RILL__UNLIKELY(when < 0))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "rill_timer_rearm: a negative time");
    if (RILL__UNLIKELY(object == NULL || object->user.timer.canceled))
        return rill__fail(loop, RILL_ESTATE, RILL_LAYER_LOOP, "rill_timer_rearm: no pending timer");
    rill__timer_postpone(loop, &object->user.timer, when);
    return 0;
}

int
rill_timer_when(const rill_loop *loop, rill_id id, rill_ns *ret_when)
{
    const timer_object *object;

    RILL__REQUIRE(loop != NULL && ret_when != NULL);
    rill__check_thread(loop, "rill_timer_when");
    object = find_timer(loop, id);
    if (object == NULL || object->user.timer.canceled)
        return RILL_ESTATE;
    *ret_when = object->user.timer.deadline;
    return 0;
}

/* ---- cancel ---- */

static bool
cancel_timer(rill_loop *loop, rill_id id)
{
    timer_object *object = find_timer(loop, id);

    if (object == NULL || object->user.timer.canceled)
        return false;
    if (object->user.timer.place == RILL__TIMER_READY && rill__bug("timer_cancel_ready"))
        return true;
    if (object->user.timer.place == RILL__TIMER_READY) {
        object->user.timer.canceled = 1; /* Freed when its turn comes. */
        return true;
    }
    rill__timer_remove(&loop->timers, &object->user.timer);
    timer_release(loop, object);
    return true;
}

static bool
cancel_operation(rill_loop *loop, rill_id id)
{
    rill__operation *operation = rill__slab_find(&loop->operations, id);

    return operation != NULL && operation->cancel(operation->object);
}

bool
rill_cancel(rill_loop *loop, rill_id id)
{
    rill__check_thread(loop, "rill_cancel");
    switch (id >> 61) {
    case RILL__ID_SOON:
        return rill__soons_cancel(loop, id);
    case RILL__ID_TIMER:
        return cancel_timer(loop, id);
    case RILL__ID_OPERATION:
        return cancel_operation(loop, id);
    default:
        return false;
    }
}

int
rill__operation_new(rill_loop *loop, bool (*cancel)(void *), void *object, rill_id *ret_id)
{
    int rc = 0;
    rill__operation *operation = take(loop, &loop->operations, &rc);

    if (operation == NULL)
        return rc;
    operation->cancel = cancel;
    operation->object = object;
    *ret_id = operation->slot.id;
    return 0;
}

void
rill__operation_end(rill_loop *loop, rill_id id)
{
    rill__operation *operation = rill__slab_find(&loop->operations, id);

    if (operation != NULL)
        rill__slab_release(&loop->operations, operation);
}

/* ---- the end ---- */

/* The ready list keeps what is not the user's: records and the library's own nodes. */
static void
drop_ready(rill_loop *loop)
{
    rill__ready *node = loop->ready_head;

    loop->ready_head = NULL;
    loop->ready_tail = NULL;
    loop->queued = loop->ran;
    while (node != NULL) {
        rill__ready *next = node->next;
        rill__soons_mark *mark = rill__soons_mark_of(node);

        if (mark != NULL) {
            rill__soons_drop(loop, mark);
        } else if (node->run == rill__user_timer_run) {
            user_timer *user = RILL__CONTAINER(node, user_timer, timer.ready);

            user->timer.place = RILL__TIMER_IDLE;
            timer_release(loop, object_of(user));
        } else {
            rill__loop_push(loop, node);
        }
        node = next;
    }
}

size_t
rill__handles_drop(rill_loop *loop)
{
    size_t timers = loop->timers.user_count;

    drop_ready(loop);
    for (uint32_t i = 0; i < loop->user_timers.page_count * RILL__SLAB_PAGE; i++) {
        timer_object *object = rill__slab_at(&loop->user_timers, i);

        if (!rill__slot_is_live(&object->slot))
            continue;
        if (loop->debug)
            rill__report(loop, RILL_ERROR_LEFTOVER, 0, site_of(loop, object), NULL, NULL,
                "a timer was still pending when the loop was freed");
        rill__timer_remove(&loop->timers, &object->user.timer);
        timer_release(loop, object);
    }
    assert(loop->soons.head == loop->soons.tail && loop->timers.user_count == 0);
    return timers;
}
