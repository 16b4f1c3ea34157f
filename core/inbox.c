/*
 * The inbox: the only door between threads. A ring of messages: many senders, one taker, no lock.
 *
 * Positions count up for ever. The `word` of a position's slot says who may touch it: position << 1
 * while it is empty, plus ASLEEP if the loop sleeps until it is filled; (position + 1) << 1 when it
 * is full. A sender claims the position `tail`, fills the slot, and publishes it by exchanging the
 * word, which tells it whether to wake the loop. But for that it touches nothing once its message
 * can run; rill__inbox_is_drained waits for it. A position is claimed only while the slot after it
 * is empty, so the slot at `tail` always is. When none would be left, a sender seals the ring under
 * a lock and puts a link to a larger ring there, which the loop follows. The old ring stays until
 * the end: a slow sender may still look at it. In steady state nothing is allocated. What is
 * full when a turn begins runs in it, as one node of the ready list.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/internal.h"

#define CACHE_LINE  64
#define RING_FIRST  ((uint64_t)4) /* Behind the inbox: enough for who seldom posts. */
#define RING_SECOND ((uint64_t)64)
#define SEALED      (UINT64_C(1) << 63) /* In tail: go to the next ring, or the inbox is closed. */
#define ASLEEP      ((uint64_t)1)
#define INBOX_BYTES (sizeof(rill__inbox) + sizeof(ring) + (size_t)RING_FIRST * sizeof(slot))

typedef struct message {
    rill_callback fn; /* NULL: a link, and arg the next ring. */
    void *arg;
    const char *site;
} message;

typedef struct slot {
    _Atomic uint64_t word;
    message message;
} slot;

typedef struct ring ring;
struct ring {
    uint64_t capacity; /* A power of two. */
    ring *previous;
    char apart[CACHE_LINE - sizeof(uint64_t) - sizeof(ring *)];
    _Atomic uint64_t tail; /* Written with every message: on a cache line of its own. */
    char apart_too[CACHE_LINE - sizeof(uint64_t)];
    slot slots[];
};

struct rill__inbox {
    _Atomic(ring *) newest; /* Where senders write. */
    pthread_mutex_t lock;   /* To grow, and to close. */
    bool closed;            /* Under the lock. */
    atomic_size_t wakes;    /* Calls of the driver's wake that have returned. */
    char apart[CACHE_LINE]; /* What follows is the loop's. */

    ring *oldest; /* What it takes from; */
    uint64_t head;
    slot *first;        /* and there, the slot at head. */
    uint64_t batch_end; /* The queued node runs up to here. */
    size_t wakes_owed;  /* Times that a sender found ASLEEP. */
    bool asleep;        /* The slot at head has, or had, ASLEEP. */
    bool queued;        /* The node is on the ready list. */
    rill__ready node;
};

static size_t
ring_bytes(uint64_t capacity)
{
    return sizeof(ring) + (size_t)capacity * sizeof(slot);
}

static inline slot *
slot_at(ring *r, uint64_t position)
{
    return &r->slots[position & (r->capacity - 1)];
}

/* These are not in the loop's books: senders make them, and the books are the loop thread's. */
static ring *
ring_new(rill_loop *loop, uint64_t capacity)
{
    ring *r = loop->allocator.alloc(loop->allocator.ctx, ring_bytes(capacity), RILL_TAG_LOOP);

    if (r != NULL)
        r->capacity = capacity;
    return r;
}

static void
ring_start(ring *r, uint64_t position, ring *previous)
{
    r->previous = previous;
    atomic_init(&r->tail, position);
    for (uint64_t i = 0; i < r->capacity; i++, position++)
        atomic_init(&slot_at(r, position)->word, position << 1);
}

static void
ring_free(rill_loop *loop, ring *r)
{
    loop->allocator.free(loop->allocator.ctx, r, ring_bytes(r->capacity), RILL_TAG_LOOP);
}

static ring *
first_ring(rill__inbox *inbox)
{
    return (ring *)(inbox + 1);
}

int
rill__inbox_new(rill_loop *loop, rill__inbox **ret_inbox)
{
    rill__inbox *inbox = rill__alloc_zeroed(loop, INBOX_BYTES, RILL_TAG_LOOP);

    if (inbox == NULL)
        return -ENOMEM;
    if (pthread_mutex_init(&inbox->lock, NULL) != 0) {
        rill__free(loop, inbox, INBOX_BYTES, RILL_TAG_LOOP);
        return -ENOMEM;
    }
    inbox->oldest = first_ring(inbox);
    inbox->oldest->capacity = RING_FIRST;
    ring_start(inbox->oldest, 0, NULL);
    inbox->first = slot_at(inbox->oldest, 0);
    atomic_init(&inbox->newest, inbox->oldest);
    (void)rill__inbox_may_sleep(inbox); /* Until its first turn it may be waited for, too. */
    *ret_inbox = inbox;
    return 0;
}

void
rill__inbox_free(rill_loop *loop, rill__inbox *inbox)
{
    ring *r = atomic_load(&inbox->newest);

    assert(rill__inbox_is_drained(inbox));
    while (r != first_ring(inbox)) {
        ring *previous = r->previous;

        ring_free(loop, r);
        r = previous;
    }
    pthread_mutex_destroy(&inbox->lock);
    rill__free(loop, inbox, INBOX_BYTES, RILL_TAG_LOOP);
}

/* ---- the loop's side ---- */

bool
rill__inbox_may_sleep(rill__inbox *inbox)
{
    uint64_t empty = inbox->head << 1;

    if (rill__bug("lost_wakeup"))
        return true;
    if (!inbox->asleep)
        inbox->asleep = atomic_compare_exchange_strong(&inbox->first->word, &empty, empty | ASLEEP);
    return inbox->asleep;
}

/* A word that a sender has exchanged meanwhile does not have the bit, and does not mind. */
void
rill__inbox_awake(rill__inbox *inbox)
{
    if (!inbox->asleep)
        return;
    inbox->asleep = false;
    if ((atomic_fetch_and(&inbox->first->word, ~ASLEEP) & ASLEEP) == 0)
        inbox->wakes_owed++;
}

/* The slot at head if a message is in it, or NULL: none, or its sender is still writing. */
static inline slot *
first_message(rill__inbox *inbox)
{
    for (;;) {
        slot *s = inbox->first;

        if (RILL__LIKELY(
                atomic_load_explicit(&s->word, memory_order_acquire) != (inbox->head + 1) << 1))
            return NULL;
        if (s->message.fn != NULL)
            return s;
        inbox->oldest = s->message.arg; /* Its first position is the link's. */
        inbox->first = slot_at(inbox->oldest, inbox->head);
    }
}

bool
rill__inbox_is_empty(rill__inbox *inbox)
{
    return first_message(inbox) == NULL;
}

/* A message may start a run of the loop's epilogue (staged writes) of its own, as any callback. */
static void
run_batch(rill__ready *node)
{
    rill__inbox *inbox = RILL__CONTAINER(node, rill__inbox, node);
    rill_loop *loop = rill__running;
    slot *s;

    inbox->queued = false;
    while (inbox->head != inbox->batch_end && (s = first_message(inbox)) != NULL) {
        message m = s->message;
        uint64_t again = inbox->head++ + inbox->oldest->capacity;

        inbox->first = slot_at(inbox->oldest, inbox->head);
        atomic_store_explicit(&s->word, again << 1, memory_order_release);
        if (RILL__UNLIKELY(loop->debug))
            loop->current_site = m.site; /* A line that senders read: not for every message. */
        m.fn(m.arg);
        if (loop->epilogue != NULL)
            rill__loop_run_epilogue(loop);
    }
}

static uint64_t
tail_of(rill__inbox *inbox)
{
    ring *newest = atomic_load_explicit(&inbox->newest, memory_order_acquire);

    return atomic_load_explicit(&newest->tail, memory_order_acquire) & ~SEALED;
}

static __attribute__((noinline)) void
take_batch(rill_loop *loop, rill__inbox *inbox)
{
    inbox->batch_end = tail_of(inbox);
    inbox->node.run = run_batch;
    inbox->queued = true;
    rill__loop_push(loop, &inbox->node);
}

bool
rill__inbox_take(rill_loop *loop, rill__inbox *inbox)
{
    /* Queued already: a step with a limit left the last batch on the ready list. */
    if (RILL__UNLIKELY(first_message(inbox) != NULL && !inbox->queued))
        take_batch(loop, inbox);
    return inbox->queued;
}

void
rill__inbox_close(rill__inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = true;
    atomic_fetch_or(&atomic_load(&inbox->newest)->tail, SEALED);
    pthread_mutex_unlock(&inbox->lock);
}

bool
rill__inbox_is_drained(rill__inbox *inbox)
{
    return inbox->head == tail_of(inbox) && atomic_load(&inbox->wakes) == inbox->wakes_owed;
}

/* ---- the senders' side ---- */

static void
publish(rill_loop *loop, slot *s, uint64_t position)
{
    /* The inbox is not touched after this, if nobody sleeps: the message may end the loop. */
    if ((atomic_exchange(&s->word, (position + 1) << 1) & ASLEEP) == 0)
        return;
    loop->ops->wake(loop->driver);
    atomic_fetch_add(&loop->inbox->wakes, 1);
}

static inline bool
is_empty(ring *r, uint64_t position)
{
    uint64_t word = atomic_load_explicit(&slot_at(r, position)->word, memory_order_acquire);

    return word >> 1 == position;
}

/* The slot of a position that is now the caller's, or NULL: the ring is sealed or must be. */
static inline slot *
claim(ring *r, uint64_t *ret_position)
{
    uint64_t position = atomic_load_explicit(&r->tail, memory_order_relaxed);

    while ((position & SEALED) == 0) {
        uint64_t seen = position;

        if (is_empty(r, position + 1)) {
            if (atomic_compare_exchange_weak(&r->tail, &position, position + 1)) {
                *ret_position = position;
                return slot_at(r, position);
            }
        } else {
            position = atomic_load_explicit(&r->tail, memory_order_relaxed);
            if (position == seen)
                return NULL; /* Full, and not only in comparison with an old tail. */
        }
    }
    return NULL;
}

/* Seal a full ring with a link to a larger one. 0 when there is room now. Under the lock. */
static RILL__RARE int
grow(rill_loop *loop, rill__inbox *inbox, ring *full)
{
    uint64_t position = atomic_load(&full->tail);
    ring *larger;
    slot *s;

    if (inbox->closed)
        return RILL_ECLOSED;
    if ((position & SEALED) != 0 || is_empty(full, position + 1))
        return 0; /* Another sender was faster, or the loop. */
    larger = ring_new(loop, full->capacity < RING_SECOND ? RING_SECOND : full->capacity * 2);
    if (larger == NULL)
        return -ENOMEM;
    /* From here on the tail stands still, and its slot is empty and nobody else's. */
    position = atomic_fetch_or(&full->tail, SEALED);
    ring_start(larger, position, full);
    s = slot_at(full, position);
    s->message = (message){ .fn = NULL, .arg = larger };
    atomic_store(&inbox->newest, larger);
    publish(loop, s, position);
    return 0;
}

int
rill_call_soon_threadsafe_site(rill_loop *loop, rill_callback fn, void *arg, const char *site)
{
    uint64_t position;
    slot *s;

    RILL__REQUIRE(loop != NULL && fn != NULL);
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    for (;;) {
        rill__inbox *inbox = loop->inbox;
        ring *newest = atomic_load_explicit(&inbox->newest, memory_order_acquire);
        int rc;

        s = claim(newest, &position);
        if (RILL__LIKELY(s != NULL))
            break;
        pthread_mutex_lock(&inbox->lock);
        rc = grow(loop, inbox, newest);
        pthread_mutex_unlock(&inbox->lock);
        if (rc < 0)
            return rc;
    }
    s->message = (message){ fn, arg, site };
    publish(loop, s, position);
    return 0;
}
