/*
 * What is in a queue: a ring for FIFO and LIFO, a binary heap for priorities.
 *
 * Both are arrays that double when they are full and stay until the queue goes. The ring holds
 * `count` items from `head` on; the heap has its next item first, and none that is to be got before
 * its parent. The comparison is the user's and must leave the queue alone. Loop thread only.
 */
#include "tasks/items.h"

#include <errno.h>

#define CAPACITY_MIN 8

static size_t
item_bytes(const rill__items *self)
{
    return self->order == RILL_QUEUE_PRIORITY ? sizeof(rill__ranked) : sizeof(void *);
}

/* In another block, the oldest one first again. */
static void
unroll(const rill__items *self, void **ring)
{
    size_t first = self->capacity - self->head;

    if (first > self->count)
        first = self->count;
    memcpy(ring, self->ring + self->head, first * sizeof(void *));
    memcpy(ring + first, self->ring, (self->count - first) * sizeof(void *));
}

static int
grow(rill__items *self)
{
    size_t capacity = self->capacity != 0 ? self->capacity * 2 : CAPACITY_MIN;
    void *block;

    if (capacity > SIZE_MAX / 2 / sizeof(rill__ranked))
        return -ENOMEM;
    block = rill__alloc(self->loop, capacity * item_bytes(self), RILL_TAG_TASK);
    if (block == NULL)
        return -ENOMEM;
    if (self->order == RILL_QUEUE_PRIORITY && self->count != 0)
        memcpy(block, self->heap, self->count * sizeof(rill__ranked));
    else if (self->count != 0)
        unroll(self, block);
    rill__items_done(self);
    self->ring = block;
    self->capacity = capacity;
    self->head = 0;
    return 0;
}

/* ---- the heap ---- */

static bool
is_before(const rill__items *self, const rill__ranked *a, const rill__ranked *b)
{
    int order = self->compare(a->item, b->item, self->arg);

    return order != 0 ? order < 0 : a->sequence < b->sequence;
}

static void
rise(rill__items *self, size_t place, rill__ranked ranked)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;

        if (!is_before(self, &ranked, &self->heap[parent]))
            break;
        self->heap[place] = self->heap[parent];
        place = parent;
    }
    self->heap[place] = ranked;
}

static void
sink(rill__items *self, size_t place, rill__ranked ranked)
{
    for (;;) {
        size_t child = place * 2 + 1;

        if (child >= self->count)
            break;
        if (child + 1 < self->count && is_before(self, &self->heap[child + 1], &self->heap[child]))
            child++;
        if (!is_before(self, &self->heap[child], &ranked))
            break;
        self->heap[place] = self->heap[child];
        place = child;
    }
    self->heap[place] = ranked;
}

/* ---- either ---- */

int
rill__items_push(rill__items *self, void *item)
{
    if (self->count == self->capacity) {
        int rc = grow(self);

        if (rc < 0)
            return rc;
    }
    if (self->order == RILL_QUEUE_PRIORITY)
        rise(self, self->count, (rill__ranked){ item, self->sequence++ });
    else
        self->ring[(self->head + self->count) & (self->capacity - 1)] = item;
    self->count++;
    return 0;
}

void *
rill__items_pop(rill__items *self)
{
    void *item;

    rill__check(self->count > 0);
    self->count--;
    if (self->order == RILL_QUEUE_PRIORITY) {
        item = self->heap[0].item;
        if (self->count != 0)
            sink(self, 0, self->heap[self->count]);
        return item;
    }
    if (self->order == RILL_QUEUE_LIFO)
        return self->ring[(self->head + self->count) & (self->capacity - 1)];
    item = self->ring[self->head];
    self->head = (self->head + 1) & (self->capacity - 1);
    return item;
}

void
rill__items_done(rill__items *self)
{
    rill__free(self->loop, self->ring, self->capacity * item_bytes(self), RILL_TAG_TASK);
    self->ring = NULL;
    self->capacity = 0;
}
