/*
 * Wrong calls of <rill/sync.h> and <rill/queue.h>: see wrong.h. All are made outside of a task;
 * what a task is told is in tests/tasks. Functions without a code are asked with an object that is
 * alive, as they have to be.
 */
#include "wrong.h"

#include <rill/queue.h>
#include <rill/sync.h>

static int
never_compared(const void *a, const void *b, void *arg)
{
    (void)a;
    (void)b;
    never(arg);
    return 0;
}

static int
never_asked(void *arg)
{
    never(arg);
    return 1;
}

static void
try_locks(void)
{
    rill_lock lock;
    rill_event event;

    IGNORED(rill_lock_init(&lock));
    WRONG(RILL_EINVAL, rill_lock_acquire(NULL));
    WRONG(RILL_ENOTASK, rill_lock_acquire(&lock));
    WRONG(RILL_EINVAL, rill_lock_release(NULL));
    WRONG(RILL_ESTATE, rill_lock_release(&lock));
    SAYS(!rill_lock_is_locked(&lock));
    SAYS(rill_lock_try_acquire(&lock));
    SAYS(!rill_lock_try_acquire(&lock));
    IGNORED(rill_lock_done(&lock));
    IGNORED(rill_event_init(&event));
    WRONG(RILL_EINVAL, rill_event_wait(NULL));
    WRONG(RILL_ENOTASK, rill_event_wait(&event));
    IGNORED(rill_event_clear(&event));
    SAYS(!rill_event_is_set(&event));
    IGNORED(rill_event_set(&event));
    SAYS(rill_event_is_set(&event));
    IGNORED(rill_event_done(&event));
}

static void
try_conditions(void)
{
    rill_condition condition;

    IGNORED(rill_condition_init(&condition, NULL));
    SAYS(rill_condition_lock(&condition) != NULL);
    WRONG(RILL_EINVAL, rill_condition_wait(NULL));
    WRONG(RILL_ENOTASK, rill_condition_wait(&condition));
    WRONG(RILL_EINVAL, rill_condition_wait_for(NULL, never_asked, NULL));
    WRONG(RILL_EINVAL, rill_condition_wait_for(&condition, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_condition_wait_for(&condition, never_asked, NULL));
    WRONG(RILL_EINVAL, rill_condition_notify(NULL, 1));
    WRONG(RILL_ESTATE, rill_condition_notify(&condition, 1));
    WRONG(RILL_EINVAL, rill_condition_notify_all(NULL));
    WRONG(RILL_ESTATE, rill_condition_notify_all(&condition));
    IGNORED(rill_condition_done(&condition));
}

static void
try_semaphores(void)
{
    rill_semaphore semaphore;

    WRONG(RILL_EINVAL, rill_semaphore_init(NULL, 1));
    WRONG(RILL_EINVAL, rill_semaphore_init(&semaphore, -1));
    WRONG(RILL_EINVAL, rill_semaphore_init_bounded(NULL, 1));
    WRONG(RILL_EINVAL, rill_semaphore_init_bounded(&semaphore, -1));
    assert_code(rill_semaphore_init_bounded(&semaphore, 0), 0);
    WRONG(RILL_EINVAL, rill_semaphore_acquire(NULL));
    WRONG(RILL_ENOTASK, rill_semaphore_acquire(&semaphore));
    WRONG(RILL_EINVAL, rill_semaphore_release(NULL));
    WRONG(RILL_ESTATE, rill_semaphore_release(&semaphore));
    SAYS(rill_semaphore_value(&semaphore) == 0);
    SAYS(rill_semaphore_is_locked(&semaphore));
    SAYS(!rill_semaphore_try_acquire(&semaphore));
    IGNORED(rill_semaphore_done(&semaphore));
}

static void
try_barriers(void)
{
    rill_barrier barrier;

    WRONG(RILL_EINVAL, rill_barrier_init(NULL, 1));
    WRONG(RILL_EINVAL, rill_barrier_init(&barrier, 0));
    WRONG(RILL_EINVAL, rill_barrier_init(&barrier, -1));
    assert_code(rill_barrier_init(&barrier, 1), 0);
    WRONG(RILL_EINVAL, rill_barrier_wait(NULL));
    WRONG(RILL_ENOTASK, rill_barrier_wait(&barrier));
    SAYS(rill_barrier_parties(&barrier) == 1);
    SAYS(rill_barrier_waiting(&barrier) == 0);
    IGNORED(rill_barrier_abort(&barrier));
    SAYS(rill_barrier_is_broken(&barrier));
    IGNORED(rill_barrier_reset(&barrier));
    IGNORED(rill_barrier_done(&barrier));
}

static int
make_queue(const rill_queue_options *options)
{
    return rill_queue_new(h.loop, options, &out.queue);
}

static void
try_making_queues(void)
{
    WRONG(RILL_EINVAL, rill_queue_new(NULL, NULL, &out.queue));
    WRONG(RILL_EINVAL, rill_queue_new(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, make_queue(unsized_options));
    WRONG(RILL_EINVAL, make_queue(unknown_options));
    WRONG(RILL_EINVAL, make_queue(RILL_QUEUE_OPTIONS(.order = RILL_QUEUE_PRIORITY)));
    WRONG(RILL_EINVAL, make_queue(RILL_QUEUE_OPTIONS(.compare = never_compared)));
    WRONG(RILL_EINVAL, make_queue(RILL_QUEUE_OPTIONS(.order = (rill_queue_order)3)));
    IGNORED(rill_queue_free(NULL));
}

static void
try_queues(void)
{
    rill_queue *queue;

    try_making_queues();
    assert_code(rill_queue_new(h.loop, RILL_QUEUE_OPTIONS(.maxsize = 1), &queue), 0);
    WRONG(RILL_EINVAL, rill_queue_put(NULL, NULL));
    WRONG(RILL_ENOTASK, rill_queue_put(queue, NULL));
    WRONG(RILL_EINVAL, rill_queue_put_nowait(NULL, NULL));
    WRONG(RILL_EINVAL, rill_queue_get(NULL, &out.pointer));
    WRONG(RILL_EINVAL, rill_queue_get(queue, NULL));
    WRONG(RILL_ENOTASK, rill_queue_get(queue, &out.pointer));
    WRONG(RILL_EINVAL, rill_queue_get_nowait(NULL, &out.pointer));
    WRONG(RILL_EINVAL, rill_queue_get_nowait(queue, NULL));
    WRONG(RILL_EEMPTY, rill_queue_get_nowait(queue, &out.pointer));
    WRONG(RILL_EINVAL, rill_queue_task_done(NULL));
    WRONG(RILL_ESTATE, rill_queue_task_done(queue));
    WRONG(RILL_EINVAL, rill_queue_join(NULL));
    WRONG(RILL_ENOTASK, rill_queue_join(queue));
    assert_code(rill_queue_put_nowait(queue, NULL), 0);
    WRONG(RILL_EFULL, rill_queue_put_nowait(queue, NULL));
    SAYS(rill_queue_size(queue) == 1);
    SAYS(rill_queue_maxsize(queue) == 1);
    SAYS(rill_queue_is_full(queue));
    IGNORED(rill_queue_shutdown(queue, true));
    SAYS(rill_queue_is_empty(queue));
    WRONG(RILL_ESHUTDOWN, rill_queue_put_nowait(queue, NULL));
    WRONG(RILL_ESHUTDOWN, rill_queue_get_nowait(queue, &out.pointer));
    rill_queue_free(queue);
}

void
wrong_sync(void)
{
    try_locks();
    try_conditions();
    try_semaphores();
    try_barriers();
    try_queues();
}
