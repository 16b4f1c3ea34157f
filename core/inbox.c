/*
 * The inbox: the only door between threads.
 *
 * Senders append to one of two arrays under a mutex; the loop swaps the arrays and runs the full
 * one without the lock. In steady state nothing is allocated. The driver is woken only if the loop
 * has announced that it sleeps: the loop stores `sleeping`, then looks at `pending`; the sender of
 * a batch's first message stores `pending`, then looks at `sleeping`; both sequentially consistent,
 * so one of them sees the other. Later senders find it pending and owe nothing; they wake a loop
 * that they see asleep, in case the first one was interrupted before it could.
 *
 * What the loop looks at in every turn is on another cache line than what senders write with every
 * message.
 *
 * Messages of one batch run as one node of the ready list, one after another, in order of arrival.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/internal.h"

#define CACHE_LINE 64

typedef struct message {
    rill_callback fn;
    void *arg;
    const char *site;
} message;

typedef struct batch {
    message *messages;
    size_t count;
    size_t capacity;
} batch;

struct rill__inbox {
    pthread_mutex_t lock;
    batch incoming; /* Under the lock. */
    bool closed;    /* Under the lock. */
    char apart[CACHE_LINE];
    atomic_bool pending; /* incoming is not empty: to look at without the lock. */
    atomic_bool sleeping;
    bool queued;     /* The node is on the ready list. */
    batch running;   /* The loop's. */
    size_t position; /* In running. */
    rill__ready node;
};

int
rill__inbox_new(rill_loop *loop, rill__inbox **ret_inbox)
{
    rill__inbox *inbox = rill__alloc_zeroed(loop, sizeof(*inbox), RILL_TAG_LOOP);

    if (inbox == NULL)
        return -ENOMEM;
    if (pthread_mutex_init(&inbox->lock, NULL) != 0) {
        rill__free(loop, inbox, sizeof(*inbox), RILL_TAG_LOOP);
        return -ENOMEM;
    }
    atomic_init(&inbox->sleeping, true); /* Until its first turn the loop may be waited for, too. */
    *ret_inbox = inbox;
    return 0;
}

/* The arrays are not in the loop's books: senders grow them, and the books are the loop thread's.
 * */
static void
batch_free(rill_loop *loop, batch *b)
{
    if (b->messages != NULL)
        loop->allocator.free(
            loop->allocator.ctx, b->messages, b->capacity * sizeof(message), RILL_TAG_LOOP);
}

void
rill__inbox_free(rill_loop *loop, rill__inbox *inbox)
{
    assert(inbox->incoming.count == 0);
    batch_free(loop, &inbox->incoming);
    batch_free(loop, &inbox->running);
    pthread_mutex_destroy(&inbox->lock);
    rill__free(loop, inbox, sizeof(*inbox), RILL_TAG_LOOP);
}

bool
rill__inbox_may_sleep(rill__inbox *inbox)
{
    atomic_store(&inbox->sleeping, true);
    if (!atomic_load(&inbox->pending) || rill__bug("lost_wakeup"))
        return true;
    atomic_store_explicit(&inbox->sleeping, false, memory_order_relaxed);
    return false;
}

void
rill__inbox_awake(rill__inbox *inbox)
{
    if (atomic_load_explicit(&inbox->sleeping, memory_order_relaxed))
        atomic_store_explicit(&inbox->sleeping, false, memory_order_relaxed);
}

bool
rill__inbox_is_empty(rill__inbox *inbox)
{
    return !atomic_load(&inbox->pending);
}

/* A message may start a run of the loop's epilogue (staged writes) of its own, like any callback.
 * */
static void
run_batch(rill__ready *node)
{
    rill__inbox *inbox = RILL__CONTAINER(node, rill__inbox, node);
    rill_loop *loop = rill__running;

    inbox->queued = false;
    while (inbox->position < inbox->running.count) {
        message m = inbox->running.messages[inbox->position++];

        loop->current_site = m.site;
        m.fn(m.arg);
        if (loop->epilogue != NULL)
            rill__loop_run_epilogue(loop);
    }
    inbox->running.count = 0;
    inbox->position = 0;
}

static __attribute__((noinline)) void
take_batch(rill_loop *loop, rill__inbox *inbox)
{
    batch swap;

    pthread_mutex_lock(&inbox->lock);
    swap = inbox->running;
    inbox->running = inbox->incoming;
    inbox->incoming = swap;
    atomic_store_explicit(&inbox->pending, false, memory_order_relaxed);
    pthread_mutex_unlock(&inbox->lock);
    inbox->node.run = run_batch;
    inbox->queued = true;
    rill__loop_push(loop, &inbox->node);
}

bool
rill__inbox_take(rill_loop *loop, rill__inbox *inbox)
{
    if (inbox->queued)
        return true; /* A step with a limit left the last batch on the ready list. */
    if (!atomic_load_explicit(&inbox->pending, memory_order_acquire))
        return false;
    take_batch(loop, inbox);
    return true;
}

void
rill__inbox_close(rill__inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = true;
    pthread_mutex_unlock(&inbox->lock);
}

static int
grow(rill_loop *loop, batch *b)
{
    size_t capacity = b->capacity != 0 ? b->capacity * 2 : 64;
    message *messages;

    if (b->messages == NULL)
        messages =
            loop->allocator.alloc(loop->allocator.ctx, capacity * sizeof(message), RILL_TAG_LOOP);
    else
        messages = loop->allocator.resize(loop->allocator.ctx, b->messages,
            b->capacity * sizeof(message), capacity * sizeof(message), RILL_TAG_LOOP);
    if (messages == NULL)
        return -ENOMEM;
    b->messages = messages;
    b->capacity = capacity;
    return 0;
}

static int
append(rill_loop *loop, rill__inbox *inbox, message m)
{
    batch *b = &inbox->incoming;

    if (inbox->closed)
        return RILL_ECLOSED;
    if (b->count == b->capacity && grow(loop, b) < 0)
        return -ENOMEM;
    b->messages[b->count++] = m;
    if (b->count == 1)
        atomic_store(&inbox->pending, true);
    return 0;
}

int
rill_call_soon_threadsafe_site(rill_loop *loop, rill_callback fn, void *arg, const char *site)
{
    rill__inbox *inbox;
    int rc;

    RILL__REQUIRE(loop != NULL && fn != NULL);
    inbox = loop->inbox;
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    pthread_mutex_lock(&inbox->lock);
    rc = append(loop, inbox, (message){ fn, arg, site });
    pthread_mutex_unlock(&inbox->lock);
    if (rc == 0 && atomic_load(&inbox->sleeping) && atomic_exchange(&inbox->sleeping, false))
        loop->ops->wake(loop->driver);
    return rc;
}
