/*
 * Queues between tasks: who gets waits while there is nothing, who puts waits while it is full.
 * asyncio's Queue, LifoQueue and PriorityQueue.
 *
 *     while ((rc = rill_queue_get(queue, &item)) >= 0)
 *         work(item);
 *     return rc == RILL_ESHUTDOWN ? 0 : rc;
 *
 * Items are pointers that the queue passes on, whatever they say. Who waits is served in order of
 * arrival: an item goes straight to the task that has waited longest, and is its own from that
 * moment, before it runs; if it is canceled after, its get succeeds all the same and the next wait
 * says RILL_ECANCELED. So no item is lost by a cancel: a get that says RILL_ECANCELED has taken
 * none, and a put that does not say 0 has put none, the caller still has it.
 *
 * Functions that wait are a task's: they answer RILL_ENOTASK elsewhere, and RILL_EWRONGLOOP on
 * another loop than the queue's. The others may be called by callbacks too. All are for the loop's
 * thread.
 */
#ifndef RILL_QUEUE_H
#define RILL_QUEUE_H

#include <rill/task.h>

RILL_BEGIN

typedef struct rill_queue rill_queue;

/* Which item is got first. */
typedef enum rill_queue_order {
    RILL_QUEUE_FIFO,    /* The oldest, */
    RILL_QUEUE_LIFO,    /* the newest, */
    RILL_QUEUE_PRIORITY /* or the first by `compare`, of equal ones the oldest. */
} rill_queue_order;

typedef struct rill_queue_options {
    size_t size;    /* Set by RILL_QUEUE_OPTIONS or rill_queue_options_default. */
    size_t maxsize; /* It is full with so many items; 0: never. */
    rill_queue_order order;

    /* Below 0 when `a` is to be got before `b`, 0 when they are equal. For RILL_QUEUE_PRIORITY,
     * which needs it. It runs inside put and get and must not use the queue. */
    int (*compare)(const void *a, const void *b, void *arg);

    /* Frees an item that nobody will get: called inside rill_queue_free and an immediate
     * rill_queue_shutdown. May be NULL. */
    void (*drop)(void *item, void *arg);
    void *arg;
} rill_queue_options;

#ifndef __cplusplus
#define RILL_QUEUE_OPTIONS(...) \
    (&(rill_queue_options){ .size = sizeof(rill_queue_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_queue_options
rill_queue_options_default(void)
{
#ifdef __cplusplus
    rill_queue_options options = {};
#else
    rill_queue_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Make an empty queue; `options` may be NULL. Returns 0; RILL_EINVAL; RILL_ECLOSED in
 * rill_loop_free; RILL_EFORK; -ENOMEM.
 */
#define rill_queue_new(loop, options, ret_queue) \
    rill_queue_new_site(loop, options, RILL_SITE("queue"), ret_queue)
RILL_API RILL_MUST_CHECK int rill_queue_new_site(
    rill_loop *loop, const rill_queue_options *options, const char *site, rill_queue **ret_queue);

/* Drop what is in it, and forget it; before the loop is freed. NULL is ignored. With a task that
 * waits for it the process ends, with a message that says where it was made. */
RILL_API void rill_queue_free(rill_queue *queue);

/*
 * Put an item; rill_queue_put waits while the queue is full. Returns 0; RILL_ESHUTDOWN, also when
 * it is shut down meanwhile; RILL_EFULL (nowait); -ENOMEM; RILL_ECANCELED. Unless it returns 0 the
 * item is still the caller's.
 */
RILL_API RILL_MUST_CHECK int rill_queue_put(rill_queue *queue, void *item);
RILL_API RILL_MUST_CHECK int rill_queue_put_nowait(rill_queue *queue, void *item);

/*
 * Get the next item; rill_queue_get waits while there is none. Returns 0; RILL_ESHUTDOWN when it is
 * shut down and empty; RILL_EEMPTY (nowait); RILL_ECANCELED.
 */
RILL_API RILL_MUST_CHECK int rill_queue_get(rill_queue *queue, void **ret_item);
RILL_API RILL_MUST_CHECK int rill_queue_get_nowait(rill_queue *queue, void **ret_item);

/* One item that was got is done with. Returns 0, or RILL_ESTATE when there are no more items that
 * could be. */
RILL_API int rill_queue_task_done(rill_queue *queue);

/* Wait until all items that were put are done with; at once when they are. Returns 0 or
 * RILL_ECANCELED. */
RILL_API RILL_MUST_CHECK int rill_queue_join(rill_queue *queue);

/*
 * No more puts: those that wait and all to come say RILL_ESHUTDOWN; so do gets once it is empty.
 * `immediate` empties it now: its items are dropped and count as done with; those that were got
 * still have to be. It can follow one that was not.
 */
RILL_API void rill_queue_shutdown(rill_queue *queue, bool immediate);

/* Items in it, and how many it takes (0: any number). asyncio: qsize, maxsize. */
RILL_API size_t rill_queue_size(const rill_queue *queue);
RILL_API size_t rill_queue_maxsize(const rill_queue *queue);
RILL_API bool rill_queue_is_empty(const rill_queue *queue);
RILL_API bool rill_queue_is_full(const rill_queue *queue);

RILL_END

#endif
