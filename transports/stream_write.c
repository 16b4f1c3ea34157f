/*
 * Writing on a stream: the stage, sends at once, and what the driver or the kernel does not take.
 *
 * Inside a callback small writes gather in the loop's stage, owned by one stream at a time, and
 * leave in one send when the callback returns (the loop's epilogue); large ones are sent at once
 * together with what is staged. What is not taken is queued, and one send_start waits. A staged
 * send may be taken by the driver on trust; what comes back of it is older than anything queued.
 *
 * Invariants: staged bytes of a stream mean that its queue is empty; a non-empty queue outside of a
 * send record means that a send is in flight. Loop thread only.
 */
#include <errno.h>

#include "transports/stream.h"

#define STAGE_DIRECT ((size_t)8 * 1024) /* From here on a send of its own beats the copy. */

static const rill__driver_ops *
ops_of(const rill_transport *t)
{
    return t->loop->ops;
}

/* What one write has come to so far. */
typedef struct outcome {
    size_t sent;
    size_t queued;
} outcome;

/* What is in the queue already is accounted all the same: on_close takes it off again. */
static void
no_memory(stream *s, const outcome *o)
{
    rill_transport *t = rill__base(s);

    rill__stream_die(s, -ENOMEM, RILL_LAYER_SYSTEM, NULL, true);
    t->aborting = true; /* The marks are of no interest any more. */
    rill_transport_account(t, (int64_t)o->queued, o->sent);
}

/* Keep what follows the first `skip` bytes; returns false when the connection is lost for it. */
static bool
queue_rest(stream *s, const rill__iov *parts, size_t count, size_t skip, outcome *o)
{
    rill_transport *t = rill__base(s);

    for (size_t i = 0; i < count; i++) {
        if (skip >= parts[i].len) {
            skip -= parts[i].len;
            continue;
        }
        if (rill__queue_append(t->loop, &s->queue, (const uint8_t *)parts[i].base + skip,
                parts[i].len - skip) < 0) {
            no_memory(s, o);
            return false;
        }
        o->queued += parts[i].len - skip;
        skip = 0;
    }
    return true;
}

/* What the driver took on trust and the kernel did not, into the empty queue. Returns false when
 * the connection is lost for it. */
static bool
take_back(stream *s, outcome *o)
{
    rill_transport *t = rill__base(s);
    rill__iov rest;
    int64_t got;

    assert(rill__queue_is_empty(&s->queue));
    while ((got = ops_of(t)->send_rest(t->loop->driver, &s->io, &rest)) > 0) {
        t->bytes_out -= (uint64_t)got;
        if (rill__bug("rest_forgotten"))
            continue;
        if (!queue_rest(s, &rest, 1, 0, o))
            return false;
    }
    if (got < 0)
        rill__stream_write_failed(s, (int)got);
    return got == 0;
}

/* Has all left that was written? What has come back is sent again. */
bool
rill__stream_all_sent(stream *s)
{
    outcome o = { 0 };

    if (s->out_closed)
        return true;
    if (!take_back(s, &o))
        return false;
    if (o.queued == 0)
        return true;
    rill__stream_start_send(s);
    rill_transport_account(rill__base(s), (int64_t)o.queued, 0);
    return false;
}

static size_t
parts_bytes(const rill__iov *parts, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += parts[i].len;
    return bytes;
}

/* After send_now said `sent`: queue the rest; returns false when the connection is lost. */
static bool
after_send(stream *s, const rill__iov *parts, size_t count, int64_t sent, outcome *o)
{
    if (sent == -EAGAIN) {
        if (!take_back(s, o))
            return false;
        sent = 0;
    }
    if (sent < 0) {
        rill__stream_write_failed(s, (int)sent);
        return false;
    }
    o->sent += (size_t)sent;
    if (sent > 0 && rill__bug("partial_write_resends"))
        sent--;
    if ((size_t)sent + 1 < parts_bytes(parts, count) && rill__bug("partial_write_skips"))
        sent++;
    if ((size_t)sent == parts_bytes(parts, count))
        return true;
    return queue_rest(s, parts, count, (size_t)sent, o);
}

/* Send what the driver takes if nothing is queued before it, and queue the rest. */
static bool
send_or_queue(stream *s, const rill__iov *parts, size_t count, outcome *o)
{
    rill_transport *t = rill__base(s);

    if (!rill__queue_is_empty(&s->queue))
        return queue_rest(s, parts, count, 0, o);
    return after_send(
        s, parts, count, ops_of(t)->send_now(t->loop->driver, &s->io, parts, count), o);
}

/* The end of one write: only now the marks are looked at, since pause_writing may write too. */
static void
settle_write(stream *s, bool was_empty, const outcome *o)
{
    rill_transport *t = rill__base(s);

    if (o->sent != 0)
        rill__deadlines_sent(s);
    if (was_empty && o->queued != 0)
        rill__stream_start_send(s);
    if (o->queued != 0 || RILL__UNLIKELY(t->extra != NULL))
        rill_transport_account(t, (int64_t)o->queued, o->sent);
    else
        t->bytes_out += o->sent;
}

/* The driver did not take all, or somebody waits for the bytes to leave. */
static RILL__RARE void
flush_settle(stream *s, const rill__iov *part, int64_t sent)
{
    outcome o = { 0 };

    if (after_send(s, part, 1, sent, &o))
        settle_write(s, true, &o);
}

static void
flush_stage(void *object)
{
    stream *s = object;
    rill_transport *t = rill__base(s);
    rill_loop *loop = t->loop;
    rill__iov part = { loop->stage, loop->stage_len };
    int64_t sent;

    assert(rill__queue_is_empty(&s->queue));
    loop->stage_len = 0;
    if (RILL__UNLIKELY(t->extra != NULL)) { /* Who waits for the bytes is told the truth at once. */
        flush_settle(s, &part, ops_of(t)->send_now(loop->driver, &s->io, &part, 1));
        return;
    }
    sent = ops_of(t)->send_soon(loop->driver, &s->io, &part, 1);
    if (RILL__LIKELY(sent == (int64_t)part.len)) {
        t->bytes_out += part.len;
        rill__deadlines_sent(s);
        return;
    }
    flush_settle(s, &part, sent);
}

static bool
stage_ready(rill_loop *loop)
{
    if (loop->stage == NULL)
        loop->stage = rill__alloc(loop, RILL__STAGE_BYTES, RILL_TAG_WRITE);
    return loop->stage != NULL;
}

static void
stage_parts(stream *s, const rill_iovec *parts, size_t count)
{
    rill_loop *loop = rill__base(s)->loop;

    for (size_t i = 0; i < count; i++) {
        if (parts[i].len == 0)
            continue; /* Its data may be NULL. */
        memcpy(loop->stage + loop->stage_len, parts[i].data, parts[i].len);
        loop->stage_len += parts[i].len;
    }
    rill__loop_set_epilogue(loop, flush_stage, s);
}

/* The staged bytes of this stream and the new ones in as few sends as the parts need. */
static void
send_with_stage(stream *s, const rill_iovec *parts, size_t count)
{
    rill_loop *loop = rill__base(s)->loop;
    bool was_empty = rill__queue_is_empty(&s->queue);
    rill__iov iov[RILL__IOV_MAX];
    outcome o = { 0 };
    size_t used = 0;

    if (loop->epilogue != NULL && loop->epilogue_object == s) {
        loop->epilogue = NULL;
        iov[used++] = (rill__iov){ loop->stage, loop->stage_len };
        loop->stage_len = 0;
    }
    for (size_t i = 0; i < count; i++) {
        iov[used++] = (rill__iov){ parts[i].data, parts[i].len };
        if (used < RILL__IOV_MAX && i + 1 < count)
            continue;
        if (!send_or_queue(s, iov, used, &o))
            return;
        used = 0;
    }
    settle_write(s, was_empty, &o);
}

/* Gather in the stage what is small, as long as nothing is queued. */
static bool
stage(stream *s, const rill_iovec *parts, size_t count, size_t bytes)
{
    rill_loop *loop = rill__base(s)->loop;

    if (bytes >= STAGE_DIRECT || !loop->in_callback || s->file_active || !stage_ready(loop))
        return false;
    if (loop->stage_len + bytes > RILL__STAGE_BYTES)
        rill__stream_flush_staged(loop);
    if (!rill__queue_is_empty(&s->queue) || s->phase != STREAM_OPEN || s->out_closed)
        return false;
    stage_parts(s, parts, count);
    return true;
}

static bool
is_lost(const stream *s)
{
    return s->phase == STREAM_DYING || s->phase == STREAM_CLOSING || s->out_closed;
}

static __attribute__((noinline)) void
write_parts(stream *s, const rill_iovec *parts, size_t count)
{
    rill_loop *loop = rill__base(s)->loop;
    size_t bytes = 0;

    if (is_lost(s))
        return;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].len;
    while (loop->epilogue != NULL && loop->epilogue_object != s)
        rill__stream_flush_staged(loop);
    if (rill__queue_is_empty(&s->queue) && stage(s, parts, count, bytes))
        return;
    if (is_lost(s)) /* Sending what the full stage had has ended it. */
        return;
    send_with_stage(s, parts, count);
}

void
rill__stream_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    stream *s = impl;
    rill_loop *loop = t->loop;

    /* The answer to a small message, all in one: a callback's first write to an idle stream. */
    if (RILL__LIKELY(count == 1 && parts->len < STAGE_DIRECT && loop->in_callback &&
                     loop->epilogue == NULL && loop->stage != NULL && s->phase == STREAM_OPEN &&
                     !s->file_active && rill__queue_is_empty(&s->queue))) {
        assert(loop->stage_len == 0);
        memcpy(loop->stage, parts->data, parts->len);
        loop->stage_len = parts->len;
        rill__loop_set_epilogue(loop, flush_stage, s);
        return;
    }
    write_parts(s, parts, count);
}

int
rill__stream_write_ref(
    rill_transport *t, void *impl, const void *data, size_t len, rill_release_fn release, void *arg)
{
    stream *s = impl;
    rill__iov part = { data, len };
    int64_t sent = 0;
    int rc;

    rill__stream_flush_staged(t->loop);
    if (s->phase == STREAM_OPEN && rill__queue_is_empty(&s->queue))
        (void)rill__stream_all_sent(s);
    if (s->phase != STREAM_OPEN || s->out_closed)
        return rill__release_soon(t->loop, release, arg);
    if (rill__queue_is_empty(&s->queue)) {
        /* The node for the release comes first: afterwards it is too late to have no memory. */
        rc = rill__queue_append_ref(t->loop, &s->queue, data, len, release, arg);
        if (rc < 0)
            return rc;
        sent = ops_of(t)->send_now(t->loop->driver, &s->io, &part, 1);
        if (sent < 0 && sent != -EAGAIN) {
            rill__queue_advance(&s->queue, len); /* Not accounted yet, so not left to on_close. */
            rill__queue_release_soon(t->loop, &s->queue);
            rill__stream_write_failed(s, (int)sent);
            return 0;
        }
        sent = sent > 0 ? sent : 0;
        rill__queue_advance(&s->queue, (size_t)sent);
        rill__deadlines_sent(s);
        if ((size_t)sent == len)
            rill__queue_release_soon(t->loop, &s->queue);
        else
            rill__stream_start_send(s);
    } else {
        rc = rill__queue_append_ref(t->loop, &s->queue, data, len, release, arg);
        if (rc < 0)
            return rc;
    }
    rill_transport_account(t, (int64_t)(len - (size_t)sent), (size_t)sent);
    return 0;
}
