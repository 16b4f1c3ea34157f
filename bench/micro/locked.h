/*
 * A mutex-protected queue: what users of libuv and libevent put beside uv_async_send and
 * event_active to pass messages, since those merge wake-ups and carry nothing.
 */
#ifndef BENCH_LOCKED_H
#define BENCH_LOCKED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct locked_node {
    struct locked_node *next;
};

struct locked {
    pthread_mutex_t mutex;
    struct locked_node *first;
    struct locked_node **last;
};

static inline void
locked_open(struct locked *queue)
{
    (void)pthread_mutex_init(&queue->mutex, NULL); /* Cannot fail with default attributes. */
    queue->first = NULL;
    queue->last = &queue->first;
}

/* True when the queue was empty, so that its reader must be woken. */
static inline bool
locked_push(struct locked *queue, struct locked_node *node)
{
    bool was_empty;

    node->next = NULL;
    (void)pthread_mutex_lock(&queue->mutex);
    was_empty = queue->first == NULL;
    *queue->last = node;
    queue->last = &node->next;
    (void)pthread_mutex_unlock(&queue->mutex);
    return was_empty;
}

static inline struct locked_node *
locked_take(struct locked *queue)
{
    struct locked_node *first;

    (void)pthread_mutex_lock(&queue->mutex);
    first = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    (void)pthread_mutex_unlock(&queue->mutex);
    return first;
}

#endif
