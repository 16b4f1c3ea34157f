/*
 * The items of a queue: in order of arrival in a ring, or by a comparison in a heap.
 */
#ifndef RILL__TASKS_ITEMS_H
#define RILL__TASKS_ITEMS_H

#include <rill/queue.h>

#include "core/internal.h"

typedef struct rill__ranked {
    void *item;
    uint64_t sequence; /* Of two that compare equal, the lower one is first. */
} rill__ranked;

typedef struct rill__items {
    rill_loop *loop;
    rill_queue_order order;
    int (*compare)(const void *a, const void *b, void *arg);
    void *arg;
    size_t count;
    size_t capacity; /* 0, or a power of two. */
    union {
        void **ring;
        rill__ranked *heap;
    };
    size_t head;       /* Of the ring: the oldest one's place. */
    uint64_t sequence; /* Of the heap: items so far. */
} rill__items;

/* 0 or -ENOMEM; nothing has changed then. After a pop there is room for one. */
int rill__items_push(rill__items *items, void *item);
/* The next one, of at least one. */
void *rill__items_pop(rill__items *items);
/* Their memory, not they. */
void rill__items_done(rill__items *items);

#endif
