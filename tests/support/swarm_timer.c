/*
 * Timers and messages of the swarm, with a model of each: none early or late, in order of
 * (time, arming), never after a cancel; messages in order, in the right turn, each once.
 */
#include "swarm_internal.h"

#include <errno.h>
#include <stdlib.h>

#define LATE (50 * RILL_MS) /* Time that a busy world lets pass by itself is no more than that. */

static uint64_t
turns_of(const swarm_loop *l)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(l->loop, &stats);
    return stats.turns;
}

/* The first turn that may run what is scheduled now. */
static uint64_t
next_turn(const swarm_loop *l)
{
    return turns_of(l) + rill_loop_is_running(l->loop);
}

/* ---- timers ---- */

static bool
goes_first(const swarm_timer *a, const swarm_timer *b)
{
    if (a->due != b->due)
        return a->due < b->due;
    return !a->loose && !b->loose && a->order < b->order;
}

static void
check_order(const swarm_timer *timer)
{
    const swarm_loop *l = timer->loop;
    uint64_t turn = turns_of(l);

    SWARM_CHECK(l->world, timer->eligible <= turn, "a timer of the next turn fires in this one");
    for (size_t i = 0; i < SWARM_TIMERS; i++) {
        const swarm_timer *other = &l->timers[i];

        if (other->used && other != timer && other->eligible <= turn && goes_first(other, timer))
            swarm_fail(l->world,
                "a timer due at %" PRId64 " (number %" PRIu64 ") fires before one due at %" PRId64
                " (number %" PRIu64 ")",
                timer->due, timer->order, other->due, other->order);
    }
}

static void
check_time(const swarm_timer *timer)
{
    swarm *w = timer->loop->world;
    rill_ns now = rill_loop_time(timer->loop->loop);
    rill_ns latest = timer->due > timer->armed_at ? timer->due : timer->armed_at;

    SWARM_CHECK(w, now >= timer->due, "a timer fires %" PRId64 " ns early", timer->due - now);
    SWARM_CHECK(w, now <= latest + LATE, "a timer fires %" PRId64 " ns late", now - latest);
}

static void
advance_period(swarm_timer *timer)
{
    swarm_loop *l = timer->loop;
    rill_ns now = rill_loop_now(l->loop);
    uint64_t missed = (uint64_t)(now - timer->due) / (uint64_t)timer->period;

    SWARM_CHECK(l->world, rill_timer_missed(l->loop, timer->id) == missed,
        "a periodic timer says that %" PRIu64 " calls were merged, not %" PRIu64,
        rill_timer_missed(l->loop, timer->id), missed);
    timer->due += (rill_ns)(missed + 1) * timer->period;
    timer->order = ++l->timer_orders;
    timer->eligible = next_turn(l);
    timer->loose = false;
}

static void
forget(swarm_timer *timer)
{
    timer->used = false;
    timer->loop->dead_timer = timer->id;
}

static void
fire(void *arg)
{
    swarm_timer *timer = arg;
    swarm_loop *l = timer->loop;

    swarm_enter(l->world, "a timer");
    SWARM_CHECK(l->world, timer->used, "a timer fires that was canceled, or twice");
    check_time(timer);
    check_order(timer);
    timer->fired++;
    if (timer->period != 0)
        advance_period(timer);
    else
        forget(timer);
    timer->fn(timer->arg);
}

static swarm_timer *
free_timer(swarm_loop *l)
{
    for (size_t i = 0; i < SWARM_TIMERS; i++)
        if (!l->timers[i].used)
            return &l->timers[i];
    return NULL;
}

static int
arm(swarm_timer *timer, rill_ns delay)
{
    rill_loop *loop = timer->loop->loop;
    swarm *w = timer->loop->world;
    int rc = 0;

    SWARM_CALL(w, "a timer call")
    {
        if (timer->period != 0)
            rc = rill_call_every(loop, timer->period, fire, timer, &timer->id);
        else if (swarm_chance(&timer->loop->dice, 50))
            rc = rill_call_later(loop, delay, fire, timer, &timer->id);
        else
            rc = rill_call_at(loop, timer->due, fire, timer, &timer->id);
    }
    return rc;
}

swarm_timer *
swarm_timer_start(swarm_loop *l, rill_ns delay, rill_ns period, swarm_fn fn, void *arg)
{
    swarm_timer *timer = free_timer(l);
    rill_ns now = rill_loop_time(l->loop);
    int rc;

    if (timer == NULL)
        return NULL;
    *timer = (swarm_timer){ .loop = l,
        .due = now + (period != 0 ? period : delay),
        .armed_at = now,
        .order = ++l->timer_orders,
        .eligible = next_turn(l),
        .period = period,
        .fn = fn,
        .arg = arg };
    rc = arm(timer, delay);
    SWARM_CHECK(l->world, rc == 0 || rc == -ENOMEM, "a timer cannot be made: %s", rill_errname(rc));
    timer->used = rc == 0;
    return rc == 0 ? timer : NULL;
}

void
swarm_timer_cancel(swarm_timer *timer)
{
    swarm *w = timer->loop->world;
    bool was_pending = false;

    SWARM_CHECK(w, timer->used, "the swarm cancels a timer that it does not have");
    SWARM_CALL(w, "rill_cancel")
    was_pending = rill_cancel(timer->loop->loop, timer->id);
    SWARM_CHECK(w, was_pending, "a pending timer cannot be canceled");
    forget(timer);
}

void
swarm_timer_move(swarm_timer *timer, rill_ns delay)
{
    swarm_loop *l = timer->loop;
    rill_ns now = rill_loop_time(l->loop);
    int rc = 0;

    timer->loose = timer->due <= now || (timer->loose && timer->armed_at == now);
    timer->due = now + delay;
    timer->armed_at = now;
    timer->order = ++l->timer_orders;
    timer->eligible = next_turn(l);
    SWARM_CALL(l->world, "rill_timer_rearm")
    rc = rill_timer_rearm(l->loop, timer->id, timer->due);
    SWARM_CHECK(l->world, rc == 0, "a pending timer cannot be moved: %s", rill_errname(rc));
}

/* One of a volley: it may take another one with it that is ready, too. */
static void
volley_fired(void *arg)
{
    swarm_loop *l = arg;
    swarm_timer *other = &l->timers[swarm_below(&l->dice, SWARM_TIMERS)];

    for (size_t i = 0; i < 16 && !(other->used && other->fn == volley_fired); i++)
        other = &l->timers[swarm_below(&l->dice, SWARM_TIMERS)];
    if (!other->used || other->fn != volley_fired || swarm_chance(&l->dice, 40))
        return;
    if (other->fired > 3 || swarm_chance(&l->dice, 60))
        swarm_timer_cancel(other);
    else
        swarm_timer_move(other, (rill_ns)swarm_below(&l->dice, 20) * RILL_MS);
}

void
swarm_volley(swarm_loop *l)
{
    static const rill_ns spans[] = { 0, RILL_US, RILL_MS, 40 * RILL_MS, RILL_S, 70 * RILL_S };
    rill_ns span = spans[swarm_below(&l->dice, 6)];
    rill_ns delay = span > 0 ? (rill_ns)swarm_below(&l->dice, 1000) * (span / 1000) : 0;
    size_t count = 2 + swarm_below(&l->dice, 12);

    for (size_t i = 0; i < count; i++) {
        swarm_timer *timer = swarm_timer_start(l, delay, 0, volley_fired, l);

        if (timer != NULL && timer->due > timer->armed_at && swarm_chance(&l->dice, 20))
            swarm_timer_move(timer, delay + (rill_ns)swarm_below(&l->dice, 3) * RILL_US);
    }
    if (swarm_chance(&l->dice, 20))
        (void)swarm_timer_start(
            l, 0, (1 + (rill_ns)swarm_below(&l->dice, 400)) * RILL_MS, volley_fired, l);
}

/* What stale ids may do: nothing. */
static void
check_dead(swarm_loop *l)
{
    rill_ns when;

    SWARM_CHECK(l->world, !rill_cancel(l->loop, l->dead_timer), "a stale timer id can be canceled");
    SWARM_CHECK(l->world, rill_timer_when(l->loop, l->dead_timer, &when) == RILL_ESTATE,
        "a stale timer id has a time");
    SWARM_CHECK(l->world, !rill_cancel(l->loop, l->dead_operation),
        "a stale id of an operation can be canceled");
    SWARM_CHECK(l->world, rill_transport_from_id(l->loop, l->dead_transport) == NULL,
        "a stale transport id names a transport");
}

void
swarm_timers_observe(swarm_loop *l)
{
    rill_ns now = rill_loop_time(l->loop);

    check_dead(l);
    for (size_t i = 0; i < SWARM_TIMERS; i++) {
        swarm_timer *timer = &l->timers[i];
        rill_ns when = 0;
        rill_ns latest = timer->due > timer->armed_at ? timer->due : timer->armed_at;

        if (!timer->used)
            continue;
        SWARM_CHECK(l->world, rill_timer_when(l->loop, timer->id, &when) == 0 && when == timer->due,
            "a timer due at %" PRId64 " says %" PRId64, timer->due, when);
        SWARM_CHECK(
            l->world, now <= latest + LATE, "a timer due at %" PRId64 " was forgotten", timer->due);
        if (l->world->healed && timer->fn == volley_fired)
            swarm_timer_cancel(timer); /* Periodic ones would go on for ever. */
    }
}

void
swarm_timers_forget(swarm_loop *l)
{
    for (size_t i = 0; i < SWARM_TIMERS; i++)
        l->timers[i].used = false;
}

/* ---- messages ---- */

typedef struct swarm_message {
    struct swarm_message *next; /* Of the world. */
    swarm_loop *l;
    uint64_t number;
    uint64_t turn;
    rill_ns at;
    swarm_fn fn;
    void *arg;
} message;

static message *
message_new(swarm_loop *l, swarm_fn fn, void *arg)
{
    message *m = calloc(1, sizeof(*m));

    if (m == NULL)
        abort();
    m->next = l->world->messages;
    l->world->messages = m;
    m->l = l;
    m->fn = fn;
    m->arg = arg;
    m->at = swarm_now(l->world);
    return m;
}

void
swarm_messages_free(swarm *w)
{
    while (w->messages != NULL) {
        message *m = w->messages;

        w->messages = m->next;
        free(m);
    }
}

static void
soon_runs(void *arg)
{
    message *m = arg;
    swarm_loop *l = m->l;

    swarm_enter(l->world, "a callback of rill_call_soon");
    SWARM_CHECK(l->world, m->number == ++l->soon_ran,
        "call_soon: number %" PRIu64 " runs as number %" PRIu64, m->number, l->soon_ran);
    SWARM_CHECK(l->world, m->turn == turns_of(l) || l->world->ending,
        "call_soon: due in turn %" PRIu64 ", runs in turn %" PRIu64, m->turn, turns_of(l));
    m->fn(m->arg);
}

static int
call_soon(swarm_loop *l, rill_callback fn, message *m, rill_id *ret_id)
{
    int rc = 0;

    m->turn = next_turn(l);
    SWARM_CALL(l->world, "rill_call_soon")
    rc = rill_call_soon(l->loop, fn, m, ret_id);
    SWARM_CHECK(l->world, rc == 0 || rc == -ENOMEM, "call_soon fails: %s", rill_errname(rc));
    return rc;
}

bool
swarm_soon(swarm_loop *l, swarm_fn fn, void *arg)
{
    message *m = message_new(l, fn, arg);

    if (call_soon(l, soon_runs, m, NULL) < 0)
        return false;
    m->number = ++l->soon_made;
    return true;
}

static void
never_runs(void *arg)
{
    message *m = arg;

    swarm_fail(m->l->world, "a canceled callback of rill_call_soon runs");
}

void
swarm_soon_canceled(swarm_loop *l)
{
    rill_id id;

    if (call_soon(l, never_runs, message_new(l, NULL, NULL), &id) < 0)
        return;
    SWARM_CHECK(l->world, rill_cancel(l->loop, id), "a pending callback cannot be canceled");
    SWARM_CHECK(l->world, !rill_cancel(l->loop, id), "a callback can be canceled twice");
}

static void
post_runs(void *arg)
{
    message *m = arg;
    swarm_loop *l = m->l;
    rill_ns now = swarm_now(l->world);

    swarm_enter(l->world, "a posted message");
    SWARM_CHECK(l->world, m->number == ++l->posts_ran,
        "message %" PRIu64 " runs as number %" PRIu64, m->number, l->posts_ran);
    SWARM_CHECK(
        l->world, now <= m->at + LATE, "a message runs %" PRId64 " ns after its post", now - m->at);
    if (!l->world->ending)
        m->fn(m->arg);
}

bool
swarm_post(swarm_loop *l, swarm_fn fn, void *arg)
{
    message *m = message_new(l, fn, arg);
    int rc = 0;

    SWARM_CALL(l->world, "rill_call_soon_threadsafe")
    rc = rill_call_soon_threadsafe(l->loop, post_runs, m);
    SWARM_CHECK(l->world, rc == 0 || rc == -ENOMEM, "a post fails: %s", rill_errname(rc));
    if (rc == 0)
        m->number = ++l->posts_made;
    return rc == 0;
}

/* The script may come while a loop waits, which nobody else's code ever runs in: then the loop
 * hears of it by a message, like any program. */
static void
script_runs(void *arg)
{
    message *m = arg;
    swarm *w = m->l->world;

    if (w->ending)
        return;
    if (rill_loop_running() == NULL)
        m->fn(m->arg);
    else if (!swarm_post(m->l, m->fn, m->arg))
        swarm_later(w, RILL_MS, m->fn, m->arg);
}

void
swarm_later(swarm *w, rill_ns delay, swarm_fn fn, void *arg)
{
    message *m = message_new(&w->loops[0], fn, arg);

    if (rill_sim_call_later(w->sim, delay, script_runs, m) < 0)
        abort();
}
