/*
 * The write queue: bytes that the layer below has not taken yet, in segments.
 *
 * A segment owns a copy of the bytes, or refers to the user's with a release function. Small copies
 * fill up the last segment. The queue keeps no byte count: that is the transport's, changed in one
 * place only (rill_transport_account). Loop thread only.
 */
#include <errno.h>

#include "transports/internal.h"

#define SEGMENT_BYTES ((size_t)16 * 1024)

struct rill__segment {
    union {
        rill__segment *next;
        rill__ready ready; /* Sent, waiting for its release in the next turn. */
    };
    const uint8_t *data;          /* The first byte that is left. */
    size_t len;                   /* Bytes left. */
    size_t bytes;                 /* Allocated behind the struct; 0 for a reference. */
    const rill__passing *passing; /* Descriptors that travel with the first byte. */
    rill_release_fn release;
    void *arg;
    uint8_t own[];
};

static rill__segment *
segment_new(rill_loop *loop, size_t bytes)
{
    rill__segment *segment = rill__alloc(loop, sizeof(*segment) + bytes, RILL_TAG_WRITE);

    if (segment == NULL)
        return NULL;
    segment->next = NULL;
    segment->data = segment->own;
    segment->len = 0;
    segment->bytes = bytes;
    segment->passing = NULL;
    segment->release = NULL;
    segment->arg = NULL;
    return segment;
}

static void
segment_free(rill_loop *loop, rill__segment *segment)
{
    rill_release_fn release = segment->release;
    void *arg = segment->arg;

    rill__free(loop, segment, sizeof(*segment) + segment->bytes, RILL_TAG_WRITE);
    if (release != NULL)
        release(arg);
}

static void
push(rill__queue *queue, rill__segment *segment)
{
    if (queue->tail != NULL)
        queue->tail->next = segment;
    else
        queue->head = segment;
    queue->tail = segment;
}

/* How many bytes fit behind the last segment's. */
static size_t
room(const rill__segment *segment)
{
    if (segment == NULL || segment->bytes == 0)
        return 0;
    return segment->bytes - (size_t)(segment->data - segment->own) - segment->len;
}

int
rill__queue_append(rill_loop *loop, rill__queue *queue, const void *data, size_t len)
{
    size_t fits = room(queue->tail);
    size_t rest = len > fits ? len - fits : 0;
    rill__segment *segment = NULL;

    if (rest > 0) {
        segment = segment_new(loop, rest > SEGMENT_BYTES ? rest : SEGMENT_BYTES);
        if (segment == NULL)
            return -ENOMEM;
    }
    if (len > rest) {
        memcpy((uint8_t *)(uintptr_t)queue->tail->data + queue->tail->len, data, len - rest);
        queue->tail->len += len - rest;
    }
    if (segment != NULL) {
        memcpy(segment->own, (const uint8_t *)data + (len - rest), rest);
        segment->len = rest;
        push(queue, segment);
    }
    return 0;
}

int
rill__queue_append_ref(rill_loop *loop, rill__queue *queue, const void *data, size_t len,
    rill_release_fn release, void *arg)
{
    rill__segment *segment = segment_new(loop, 0);

    if (segment == NULL)
        return -ENOMEM;
    segment->data = data;
    segment->len = len;
    segment->release = release;
    segment->arg = arg;
    push(queue, segment);
    return 0;
}

int
rill__queue_append_passing(rill_loop *loop, rill__queue *queue, const void *data, size_t len,
    const rill__passing *passing, rill_release_fn release, void *arg)
{
    rill__segment *segment = segment_new(loop, len);

    if (segment == NULL)
        return -ENOMEM;
    memcpy(segment->own, data, len);
    segment->len = len;
    segment->passing = passing;
    segment->release = release;
    segment->arg = arg;
    push(queue, segment);
    return 0;
}

const rill__passing *
rill__queue_passing(const rill__queue *queue)
{
    return queue->head != NULL ? queue->head->passing : NULL;
}

size_t
rill__queue_peek(const rill__queue *queue, rill__iov *iov, size_t max)
{
    size_t count = 0;

    for (const rill__segment *s = queue->head; s != NULL && count < max; s = s->next) {
        if (s->passing != NULL && count > 0)
            break; /* Its bytes begin a send of their own. */
        if (s->len > 0)
            iov[count++] = (rill__iov){ .base = s->data, .len = s->len };
    }
    return count;
}

static void
pop(rill_loop *loop, rill__queue *queue)
{
    rill__segment *segment = queue->head;

    queue->head = segment->next;
    if (queue->head == NULL)
        queue->tail = NULL;
    segment_free(loop, segment);
}

void
rill__queue_consume(rill_loop *loop, rill__queue *queue, size_t len)
{
    while (queue->head != NULL && len >= queue->head->len) {
        len -= queue->head->len;
        pop(loop, queue);
    }
    if (len > 0) {
        rill__check(queue->head != NULL);
        queue->head->data += len;
        queue->head->len -= len;
        queue->head->passing = NULL; /* It has gone with the first byte. */
    }
}

void
rill__queue_advance(rill__queue *queue, size_t len)
{
    rill__check(queue->head != NULL && len <= queue->head->len);
    queue->head->data += len;
    queue->head->len -= len;
}

static void
release_run(rill__ready *ready)
{
    segment_free(rill__running, RILL__CONTAINER(ready, rill__segment, ready));
}

void
rill__queue_release_soon(rill_loop *loop, rill__queue *queue)
{
    rill__segment *segment = queue->head;

    rill__check(segment != NULL && segment->len == 0 && segment == queue->tail);
    queue->head = NULL;
    queue->tail = NULL;
    segment->ready.run = release_run;
    rill__loop_push(loop, &segment->ready);
}

size_t
rill__queue_bytes(const rill__queue *queue)
{
    size_t bytes = 0;

    for (const rill__segment *s = queue->head; s != NULL; s = s->next)
        bytes += s->len;
    return bytes;
}

size_t
rill__queue_clear(rill_loop *loop, rill__queue *queue)
{
    size_t bytes = rill__queue_bytes(queue);

    if (queue->head != NULL && queue->head->release != NULL && rill__bug("ref_released_twice"))
        queue->head->release(queue->head->arg);
    if (queue->head != NULL && rill__bug("ref_lost_on_abort"))
        queue->head->release = NULL;
    if (rill__bug("queue_leak_on_abort"))
        queue->head = NULL;
    while (queue->head != NULL)
        pop(loop, queue);
    return bytes;
}
