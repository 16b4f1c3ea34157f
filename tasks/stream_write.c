/*
 * Writing to streams: what waits for the peer, and what does not.
 *
 * Writing waits first and writes then, so a write that was canceled has written nothing, and who
 * writes in a loop has at most one write above the high mark in memory, besides what the loop
 * gathers for one send. Writers that wait are let in one after another, in order; those who only
 * drain go on together. Loop thread only.
 */
#include "tasks/stream.h"

static int
lost_code(const rill_stream *s)
{
    return s->error != 0 ? s->error : RILL_ECLOSED;
}

/* ---- writers ---- */

/* Let the first one in, unless one is on its way. */
static void
hand_on(rill_stream *s)
{
    rill__flow_wait *first;

    if (s->paused || s->handing || s->t == NULL || rill__list_empty(&s->writers))
        return;
    first = RILL__CONTAINER(s->writers.next, rill__flow_wait, link);
    rill__list_remove(&first->link);
    s->handing = true;
    rill__wake(first->wait.fiber, 0);
}

void
rill__flow_resume(rill_transport *t, void *self)
{
    rill_stream *s = self;

    (void)t;
    s->paused = false;
    rill__flow_wake_all(&s->drains, 0);
    hand_on(s);
}

/* 0 or why not. */
static inline int
put(rill_stream *s, const rill_iovec *parts, size_t count)
{
    int rc;

    if (RILL__UNLIKELY(s->t == NULL))
        return lost_code(s);
    if (RILL__LIKELY(count == 1))
        rc = rill_transport_write(s->t, parts->data, parts->len);
    else
        rc = rill_transport_writev(s->t, parts, count);
    return rc < 0 ? rc : 0;
}

/* Writing was refused. Where we have not closed, the end is on its way, and says why. */
static RILL__RARE int
explain(rill_stream *s, int rc)
{
    rill__flow_wait self = { .wait = { .what = "rill_stream_write" } };

    if (rc != RILL_ECLOSED || s->t == NULL || s->asked)
        return rc;
    rc = rill__flow_wait_in(s, &s->closers, &self);
    if (rc == 0)
        rc = lost_code(s);
    rill__flow_unpin(s);
    return rc;
}

static __attribute__((noinline)) int
put_later(rill_stream *s, const rill_iovec *parts, size_t count, const char *function)
{
    rill__flow_wait self = { .wait = { .what = function } };
    int rc = rill__flow_wait_in(s, &s->writers, &self);

    if (rc == 0) {
        s->handing = false;
        rc = put(s, parts, count);
        hand_on(s);
    }
    rill__flow_unpin(s);
    return rc;
}

static inline int
write_parts(rill_stream *s, const rill_iovec *parts, size_t count, const char *function)
{
    rill__fiber *fiber = rill__current();
    int rc = rill__flow_may_wait(fiber, s, function);

    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (RILL__UNLIKELY(s->paused || s->handing) && s->t != NULL)
        return put_later(s, parts, count, function);
    rc = put(s, parts, count);
    if (RILL__UNLIKELY(rc < 0))
        return explain(s, rc);
    rill__spend(fiber);
    return 0;
}

int
rill_stream_write(rill_stream *s, const void *data, size_t len)
{
    RILL__REQUIRE(data != NULL || len == 0);
    return write_parts(s, &(rill_iovec){ data, len }, 1, "rill_stream_write");
}

int
rill_stream_writev(rill_stream *s, const rill_iovec *parts, size_t count)
{
    RILL__REQUIRE(parts != NULL || count == 0);
    return write_parts(s, parts, count, "rill_stream_writev");
}

int
rill_stream_write_nowait(rill_stream *s, const void *data, size_t len)
{
    RILL__REQUIRE(s != NULL);
    rill__flow_check(s, "rill_stream_write_nowait");
    return s->t != NULL ? rill_transport_write(s->t, data, len) : lost_code(s);
}

/* ---- until the peer has taken enough ---- */

static bool
is_closed(const rill_stream *s)
{
    return s->t == NULL || rill_transport_is_closing(s->t);
}

/* A turn in which a loss that is under way arrives: who drains in a loop gets there. */
static int
let_end_arrive(rill__fiber *fiber, const rill_stream *s)
{
    if (s->t == NULL || !is_closed(s))
        return 0;
    rill__give_way(fiber);
    return rill__may_wait(fiber);
}

static int
drain(rill__fiber *fiber, rill_stream *s)
{
    rill__flow_wait self = { .wait = { .what = "rill_stream_drain" } };
    int rc = let_end_arrive(fiber, s);

    if (rc < 0)
        return rc;
    if (s->t == NULL || (is_closed(s) && !s->paused))
        return lost_code(s);
    if (!s->paused) {
        rill__spend(fiber);
        return 0;
    }
    rc = rill__flow_wait_in(s, &s->drains, &self);
    rill__flow_unpin(s);
    return rc;
}

int
rill_stream_drain(rill_stream *s)
{
    rill__fiber *fiber = rill__current();
    int rc = rill__flow_may_wait(fiber, s, "rill_stream_drain");

    if (rc < 0)
        return rc;
    s->pins++;
    rc = drain(fiber, s);
    rill__flow_unpin(s);
    return rc;
}

typedef struct flush {
    rill__wait wait;
    rill_id id;
} flush;

static void
flush_over(void *arg, int rc)
{
    flush *self = arg;

    rill__wake(self->wait.fiber, rc);
}

static bool
flush_cancel(rill__wait *wait)
{
    flush *self = RILL__CONTAINER(wait, flush, wait);

    return rill_cancel(wait->fiber->loop, self->id);
}

int
rill_stream_flush(rill_stream *s)
{
    rill__fiber *fiber = rill__current();
    flush self = { .wait = { .cancel = flush_cancel, .what = "rill_stream_flush" } };
    int rc = rill__flow_may_wait(fiber, s, "rill_stream_flush");

    if (rc < 0)
        return rc;
    if (s->t == NULL)
        return lost_code(s);
    self.wait.site = s->site;
    rc = rill_transport_drain_start(s->t, 0, RILL_NEVER, flush_over, &self, &self.id);
    return rc < 0 ? rc : rill__suspend(fiber, &self.wait);
}

int
rill_stream_write_eof(rill_stream *s)
{
    RILL__REQUIRE(s != NULL);
    rill__flow_check(s, "rill_stream_write_eof");
    return s->t != NULL ? rill_transport_write_eof(s->t) : lost_code(s);
}
