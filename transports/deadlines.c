/*
 * The deadlines of a stream: idle, write stall and close, on one timer.
 *
 * Made only for streams that need them, so that an ordinary idle connection pays a pointer.
 * Activity only stores the time; the timer looks when it fires and arms itself for what is due
 * next. Loop thread only.
 */
#include <errno.h>

#include "transports/stream.h"

struct rill__deadlines {
    rill__own_timer timer;
    stream *s;
    rill_ns idle;
    rill_ns stall;
    rill_ns activity; /* Last byte in or out. */
    rill_ns progress; /* Last byte out, or since when bytes wait. */
    rill_ns close_at; /* RILL_NEVER: not closing. */
    bool send_waits;
};

/* Read now, not the turn's: a deadline must not be early by what the turn has taken so far. */
static rill_ns
clock_now(const rill__deadlines *d)
{
    rill_loop *loop = rill__base(d->s)->loop;

    return loop->ops->now(loop->driver);
}

static rill_ns
earlier(rill_ns a, rill_ns base, rill_ns timeout)
{
    rill_ns b;

    if (timeout == RILL_NEVER)
        return a;
    b = timeout < INT64_MAX - base ? base + timeout : INT64_MAX;
    return b < a ? b : a;
}

static rill_ns
next_deadline(const rill__deadlines *d)
{
    rill_ns next = earlier(INT64_MAX, d->activity, d->idle);

    if (d->send_waits)
        next = earlier(next, d->progress, d->stall);
    return d->close_at != RILL_NEVER && d->close_at < next ? d->close_at : next;
}

static void
arm(rill__deadlines *d)
{
    rill_loop *loop = rill__base(d->s)->loop;
    rill_ns next = next_deadline(d);

    if (next == INT64_MAX)
        rill__timer_disarm(loop, &d->timer);
    else
        rill__timer_arm(loop, &d->timer, next);
}

static void
fire(rill__own_timer *timer)
{
    rill__deadlines *d = RILL__CONTAINER(timer, rill__deadlines, timer);
    rill_transport *t = rill__base(d->s);
    rill_ns now = rill__loop_now(t->loop);

    if (d->close_at != RILL_NEVER && now >= d->close_at)
        rill__transport_abort(t, RILL_ECLOSETIMEOUT, RILL_LAYER_TRANSPORT, NULL);
    else if (d->send_waits && earlier(INT64_MAX, d->progress, d->stall) <= now)
        rill__transport_abort(t, RILL_ESTALLED, RILL_LAYER_TRANSPORT, NULL);
    else if (earlier(INT64_MAX, d->activity, d->idle) <= now)
        rill__transport_abort(t, RILL_EIDLE, RILL_LAYER_TRANSPORT, NULL);
    else if (!rill__bug("idle_not_rearmed"))
        arm(d);
}

static rill__deadlines *
make(stream *s)
{
    rill_loop *loop = rill__base(s)->loop;
    rill__deadlines *d;

    if (s->deadlines != NULL)
        return s->deadlines;
    d = rill__alloc_zeroed(loop, sizeof(*d), RILL_TAG_TRANSPORT);
    if (d == NULL)
        return NULL;
    d->timer.fn = fire;
    d->s = s;
    d->idle = RILL_NEVER;
    d->stall = RILL_NEVER;
    d->close_at = RILL_NEVER;
    d->activity = clock_now(d);
    d->progress = d->activity;
    d->send_waits = s->io.send.active;
    s->deadlines = d;
    return d;
}

int
rill__deadlines_init(stream *s, const rill_transport_options *options)
{
    rill__deadlines *d;

    if (options->idle_timeout == RILL_NEVER && options->stall_timeout == RILL_NEVER)
        return 0;
    d = make(s);
    if (d == NULL)
        return -ENOMEM;
    d->idle = options->idle_timeout;
    d->stall = options->stall_timeout;
    arm(d);
    return 0;
}

void
rill__deadlines_free(stream *s)
{
    if (s->deadlines == NULL)
        return;
    rill__timer_disarm(rill__base(s)->loop, &s->deadlines->timer);
    rill__free(rill__base(s)->loop, s->deadlines, sizeof(*s->deadlines), RILL_TAG_TRANSPORT);
    s->deadlines = NULL;
}

void
rill__deadlines_stop(stream *s)
{
    if (s->deadlines != NULL)
        rill__timer_disarm(rill__base(s)->loop, &s->deadlines->timer);
}

void
rill__deadlines_send_waits(stream *s)
{
    rill__deadlines *d = s->deadlines;

    if (d == NULL || d->send_waits)
        return;
    d->send_waits = true;
    d->progress = clock_now(d);
    arm(d);
}

void
rill__deadlines_send_done(stream *s)
{
    if (s->deadlines != NULL && !rill__bug("stall_not_ended"))
        s->deadlines->send_waits = false;
}

void
rill__deadlines_close_begins(stream *s)
{
    rill_transport *t = rill__base(s);
    rill__deadlines *d;

    if (s->close_timeout == RILL_NEVER || rill__bug("close_timeout_forgotten"))
        return;
    d = make(s);
    if (d == NULL) {
        rill__transport_abort(t, -ENOMEM, RILL_LAYER_SYSTEM, NULL);
        return;
    }
    d->close_at = rill__after(t->loop->ops->now(t->loop->driver), s->close_timeout);
    arm(d);
}

void
rill__deadlines_note_sent(stream *s)
{
    s->deadlines->activity = clock_now(s->deadlines);
    s->deadlines->progress = s->deadlines->activity;
}

void
rill__deadlines_note_received(stream *s)
{
    s->deadlines->activity = clock_now(s->deadlines);
}

int
rill__stream_set_timeout(rill_transport *t, void *impl, rill_timeout which, rill_ns value)
{
    stream *s = impl;
    rill__deadlines *d;

    (void)t;
    if (s->phase == STREAM_CLOSING)
        return RILL_ECLOSED;
    if (which == RILL_TIMEOUT_CLOSE) {
        s->close_timeout = value;
        if (s->phase == STREAM_FLUSHING && value == RILL_NEVER && s->deadlines != NULL)
            s->deadlines->close_at = RILL_NEVER;
        else if (s->phase == STREAM_FLUSHING)
            rill__deadlines_close_begins(s);
        return 0;
    }
    d = make(s);
    if (d == NULL)
        return -ENOMEM;
    d->activity = clock_now(d);
    d->progress = d->activity;
    if (which == RILL_TIMEOUT_IDLE)
        d->idle = value;
    else
        d->stall = value;
    arm(d);
    return 0;
}
