/*
 * The buffer of a stream: bytes that arrived and nobody has read.
 *
 * One block, which exists only while it has bytes or a part of it is lent. Bytes are appended at
 * its end and taken from its beginning. What is lent stays where it is: when the block has to grow
 * meanwhile, the old one is kept until the loan ends. More than twice the limit pauses reading; at
 * most the limit, or a task that must wait for bytes, resumes it. Loop thread only.
 */
#include "tasks/stream.h"

#define CAPACITY_MIN ((size_t)256)

static void
free_block(const rill_stream *s, uint8_t *data, size_t capacity)
{
    rill__free(s->loop, data, capacity, RILL_TAG_TASK);
}

void
rill__flow_free_buffer(rill_stream *s)
{
    free_block(s, s->old, s->old_capacity);
    free_block(s, s->data, s->capacity);
    s->old = s->data = NULL;
    s->start = s->end = s->capacity = s->old_capacity = 0;
    s->lent = false;
}

void
rill__flow_end_loan(rill_stream *s)
{
    s->lent = false;
    free_block(s, s->old, s->old_capacity);
    s->old = NULL;
    s->old_capacity = 0;
    if (s->start == s->end)
        rill__flow_free_buffer(s);
}

void
rill__flow_check_limit(rill_stream *s)
{
    if (s->end - s->start <= 2 * s->limit || s->reading_paused || s->t == NULL)
        return;
    s->reading_paused = true;
    rill_transport_pause_reading(s->t);
}

static inline void
resume_at_limit(rill_stream *s)
{
    if (RILL__LIKELY(!s->reading_paused) || s->end - s->start > s->limit)
        return;
    s->reading_paused = false;
    if (s->t != NULL)
        rill_transport_resume_reading(s->t);
}

/* Another block, in which `front` bytes are free before the unread ones and `back` behind. */
static bool
move(rill_stream *s, size_t front, size_t back)
{
    size_t used = s->end - s->start;
    size_t capacity = front + used + back;
    uint8_t *data;

    if (capacity < 2 * used)
        capacity = 2 * used;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    data = rill__alloc(s->loop, capacity, RILL_TAG_TASK);
    if (data == NULL)
        return false;
    if (used != 0)
        memcpy(data + front, s->data + s->start, used);
    if (s->lent && s->old == NULL) {
        s->old = s->data;
        s->old_capacity = s->capacity;
    } else {
        free_block(s, s->data, s->capacity);
    }
    s->data = data;
    s->capacity = capacity;
    s->start = front;
    s->end = front + used;
    return true;
}

static bool
make_room(rill_stream *s, size_t len)
{
    size_t used = s->end - s->start;
    bool pinned = s->lent && s->old == NULL;

    if (pinned || used > s->start || used + len > s->capacity)
        return move(s, 0, len);
    memcpy(s->data, s->data + s->start, used);
    s->start = 0;
    s->end = used;
    return true;
}

static RILL__RARE bool
no_memory(rill_stream *s)
{
    if (s->t != NULL)
        rill_transport_fail(s->t, -ENOMEM, "no memory for what a stream has received");
    return false;
}

bool
rill__flow_append(rill_stream *s, rill_slice in)
{
    if (s->capacity - s->end < in.len && !make_room(s, in.len))
        return no_memory(s);
    memcpy(s->data + s->end, in.data, in.len);
    s->end += in.len;
    return true;
}

bool
rill__flow_gather(rill_stream *s)
{
    rill_slice in = s->incoming;

    if (in.len == 0)
        return true;
    s->incoming.len = 0;
    return rill__flow_append(s, in);
}

void
rill__flow_drop(rill_stream *s, size_t len)
{
    assert(len <= s->end - s->start);
    s->start += len;
    s->taken += len;
    if (s->start == s->end && !s->lent)
        rill__flow_free_buffer(s);
    resume_at_limit(s);
}

size_t
rill__flow_take(rill_stream *s, void *buf, size_t cap)
{
    size_t len;

    if (s->incoming.len != 0) {
        assert(s->start == s->end);
        len = s->incoming.len < cap ? s->incoming.len : cap;
        memcpy(buf, s->incoming.data, len);
        s->incoming.data += len;
        s->incoming.len -= len;
        s->taken += len;
        return len;
    }
    len = s->end - s->start < cap ? s->end - s->start : cap;
    if (len != 0) {
        memcpy(buf, s->data + s->start, len);
        rill__flow_drop(s, len);
    }
    return len;
}

void
rill__flow_put_back(rill_stream *s, const void *data, size_t len)
{
    if (len == 0)
        return;
    s->taken -= len;
    if (!rill__flow_gather(s))
        return;
    if ((s->start < len || s->lent) && !move(s, len, 0)) {
        (void)no_memory(s);
        return;
    }
    s->start -= len;
    memcpy(s->data + s->start, data, len);
    rill__flow_check_limit(s);
}

void
rill__flow_lend(rill_stream *s, size_t len, rill_slice *ret_slice)
{
    assert(len <= s->end - s->start);
    *ret_slice = (rill_slice){ .data = len != 0 ? s->data + s->start : NULL, .len = len };
    s->lent = s->lent || len != 0;
}
