/*
 * call_soon: a ring of callbacks, and marks on the ready list that say where they stand.
 *
 * The callbacks of all call_soon calls are in one ring, in order. The ready list holds a mark (a
 * rill__soons_mark) for every stretch of them that no other node interrupts, with the position
 * where it ends: a second call_soon in a row only writes its slot and counts. Marks are the only
 * thing here that has to be on the list, so records and timers still queue without memory.
 *
 * An id is the position in the ring, counted since the loop was made: it is never given twice, and
 * is stale as soon as the ring's head has passed it. Canceled callbacks keep their slot until their
 * turn comes, with a function that does nothing. Invariant: as long as the limit lies above the
 * tail, the last mark is the list's last node and the slot at the tail is free. Loop thread only.
 */
#include <errno.h>

#include "core/internal.h"

#define RING_MIN      ((uint64_t)64)
#define POSITION_BITS RILL__TAG_SHIFT
#define POSITION_MASK ((UINT64_C(1) << POSITION_BITS) - 1)

static_assert((RING_MIN & (RING_MIN - 1)) == 0, "positions are masked");

void
rill__soons_init(rill_loop *loop)
{
    rill__soons *soons = &loop->soons;

    /* Elsewhere for every loop with the same tag, so that an id of one means nothing to another. */
    soons->head = ((uint64_t)loop->generation_salt << (POSITION_BITS - 32)) + 1;
    soons->tail = soons->head;
    soons->first_mark.ready.next = NULL;
    soons->free_marks = &soons->first_mark.ready;
}

static size_t
ring_bytes(const rill__soons *soons)
{
    return soons->ring != NULL ? (soons->mask + 1) * sizeof(*soons->ring) : 0;
}

void
rill__soons_done(rill_loop *loop)
{
    rill__soons *soons = &loop->soons;

    assert(soons->head == soons->tail);
    rill__free(loop, soons->ring, ring_bytes(soons), RILL_TAG_HANDLE);
    soons->ring = NULL;
}

/* The ring doubles; what is in it keeps its positions. */
static int
grow(rill_loop *loop, rill__soons *soons)
{
    uint64_t capacity = soons->ring != NULL ? (soons->mask + 1) * 2 : RING_MIN;
    rill__soon *ring = rill__alloc(loop, capacity * sizeof(*ring), RILL_TAG_HANDLE);

    if (ring == NULL)
        return -ENOMEM;
    for (uint64_t i = soons->head; i != soons->tail; i++)
        ring[i & (capacity - 1)] = soons->ring[i & soons->mask];
    rill__free(loop, soons->ring, ring_bytes(soons), RILL_TAG_HANDLE);
    soons->ring = ring;
    soons->mask = capacity - 1;
    return 0;
}

/* A mark at the list's end for what follows. Their memory stays with the loop, like its pool. */
static rill__soons_mark *
new_mark(rill_loop *loop)
{
    rill__ready *node = loop->soons.free_marks;
    rill__soons_mark *mark;

    if (RILL__LIKELY(node != NULL)) {
        loop->soons.free_marks = node->next;
        mark = RILL__CONTAINER(node, rill__soons_mark, ready);
    } else {
        mark = rill__pool_take(loop, sizeof(*mark));
        if (mark == NULL)
            return NULL;
    }
    mark->ready.run = NULL;
    rill__loop_append(loop, &mark->ready);
    return mark;
}

static inline int
append(rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    rill__soons *soons = &loop->soons;
    rill__soon *soon = &soons->ring[soons->tail & soons->mask];

    loop->queued++;
    if (ret_id != NULL)
        *ret_id = (rill_id)RILL__ID_SOON << RILL__KIND_SHIFT | (rill_id)loop->tag << POSITION_BITS |
                  (soons->tail & POSITION_MASK);
    soons->tail++;
    soon->fn = fn;
    soon->arg = arg;
    soon->site = site;
    if (rill__bug("soon_same_turn"))
        loop->turn_end++;
    return 0;
}

static bool
is_full(const rill__soons *soons)
{
    return soons->ring == NULL || soons->tail - soons->head == soons->mask + 1;
}

/* Make room and a mark for the next ones. */
static int
open_stretch(rill_loop *loop)
{
    rill__soons *soons = &loop->soons;
    rill__ready *tail = loop->ready_tail;

    if (is_full(soons) && grow(loop, soons) < 0)
        return -ENOMEM;
    if (tail == NULL || rill__soons_mark_of(tail) == NULL) {
        rill__soons_mark *mark = new_mark(loop);

        if (mark == NULL)
            return -ENOMEM;
        if (soons->last != NULL)
            soons->last->end = soons->tail;
        soons->last = mark;
    }
    soons->limit = soons->head + soons->mask + 1;
    return 0;
}

static RILL__RARE int
append_slowly(rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    int rc;

    if (!rill__may_schedule(loop, fn))
        return rill__may_not_schedule(loop, fn, "rill_call_soon");
    rc = open_stretch(loop);
    return rc < 0 ? rill__fail_call(loop, rc, "rill_call_soon")
                  : append(loop, fn, arg, site, ret_id);
}

int
rill_call_soon_site(rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    RILL__REQUIRE(loop != NULL);
    /* While the loop is being freed, no limit is ever set. */
    if (RILL__UNLIKELY(loop->soons.tail >= loop->soons.limit || !rill__may_ask(loop, fn)))
        return append_slowly(loop, fn, arg, site, ret_id);
    return append(loop, fn, arg, site, ret_id);
}

static void
canceled(void *arg)
{
    (void)arg;
}

bool
rill__soons_cancel(rill_loop *loop, rill_id id)
{
    rill__soons *soons = &loop->soons;
    uint64_t ahead = (id - soons->head) & POSITION_MASK;
    rill__soon *soon;

    if ((id >> POSITION_BITS & 0x7f) != loop->tag || ahead >= soons->tail - soons->head)
        return false;
    soon = &soons->ring[(soons->head + ahead) & soons->mask];
    if (soon->fn == canceled)
        return false;
    soon->fn = canceled;
    return true;
}

void
rill__soons_drop(rill_loop *loop, rill__soons_mark *mark)
{
    rill__soons *soons = &loop->soons;

    soons->head = rill__soons_end_of(soons, mark);
    if (mark == soons->last) {
        soons->last = NULL;
        rill__soons_interrupt(soons);
    }
    mark->ready.next = soons->free_marks;
    soons->free_marks = &mark->ready;
}
