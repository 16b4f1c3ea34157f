/*
 * call_soon: a ring of callbacks, and marks on the ready list that say where they stand.
 *
 * The callbacks of all call_soon calls are in one ring, in order. The ready list holds a mark (a
 * rill__soons_mark) for every stretch of them that no other node interrupts, with the number of
 * callbacks it stands for: a second call_soon in a row only writes its slot and counts. Marks are
 * the only thing here that has to be on the list, so records and timers still queue without memory.
 *
 * An id is the position in the ring, counted since the loop was made: it is never given twice, and
 * is stale as soon as the ring's head has passed it. Canceled callbacks keep their slot until their
 * turn comes, with a function that does nothing. Invariant: the marks' counts add up to
 * tail - head. Loop thread only.
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
    soons->head = (uint64_t)loop->generation_salt << (POSITION_BITS - 32);
    soons->tail = soons->head;
    soons->first_mark.ready.next = NULL;
    soons->free_marks = &soons->first_mark.ready;
}

void
rill__soons_done(rill_loop *loop)
{
    rill__soons *soons = &loop->soons;

    assert(soons->head == soons->tail);
    rill__free(loop, soons->ring, soons->capacity * sizeof(*soons->ring), RILL_TAG_HANDLE);
    soons->ring = NULL;
    soons->capacity = 0;
}

/* The ring doubles; what is in it keeps its positions. */
static int
grow(rill_loop *loop, rill__soons *soons)
{
    uint64_t capacity = soons->capacity != 0 ? soons->capacity * 2 : RING_MIN;
    rill__soon *ring = rill__alloc(loop, capacity * sizeof(*ring), RILL_TAG_HANDLE);

    if (ring == NULL)
        return -ENOMEM;
    for (uint64_t i = soons->head; i != soons->tail; i++)
        ring[i & (capacity - 1)] = soons->ring[i & (soons->capacity - 1)];
    rill__free(loop, soons->ring, soons->capacity * sizeof(*ring), RILL_TAG_HANDLE);
    soons->ring = ring;
    soons->capacity = capacity;
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
    mark->count = 0;
    rill__loop_append(loop, &mark->ready);
    return mark;
}

/* The mark that a call_soon now belongs to, or NULL. */
static inline rill__soons_mark *
last_mark(rill_loop *loop)
{
    return loop->ready_tail != NULL ? rill__soons_mark_of(loop->ready_tail) : NULL;
}

static inline int
append(rill_loop *loop, rill__soons_mark *mark, rill_callback fn, void *arg, const char *site,
    rill_id *ret_id)
{
    rill__soons *soons = &loop->soons;
    rill__soon *soon = &soons->ring[soons->tail & (soons->capacity - 1)];

    mark->count++;
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

static inline bool
is_full(const rill__soons *soons)
{
    return soons->tail - soons->head == soons->capacity;
}

static RILL__RARE int
append_slowly(rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    rill__soons_mark *mark;

    if (!rill__may_schedule(loop, fn))
        return rill__may_not_schedule(loop, fn, "rill_call_soon");
    if (is_full(&loop->soons) && grow(loop, &loop->soons) < 0)
        return rill__fail_call(loop, -ENOMEM, "rill_call_soon");
    mark = last_mark(loop);
    if (mark == NULL)
        mark = new_mark(loop);
    return mark != NULL ? append(loop, mark, fn, arg, site, ret_id)
                        : rill__fail_call(loop, -ENOMEM, "rill_call_soon");
}

int
rill_call_soon_site(rill_loop *loop, rill_callback fn, void *arg, const char *site, rill_id *ret_id)
{
    rill__soons_mark *mark;

    RILL__REQUIRE(loop != NULL);
    mark = last_mark(loop);
    if (RILL__UNLIKELY(mark == NULL || is_full(&loop->soons) || !rill__may_schedule(loop, fn)))
        return append_slowly(loop, fn, arg, site, ret_id);
    return append(loop, mark, fn, arg, site, ret_id);
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
    soon = &soons->ring[(soons->head + ahead) & (soons->capacity - 1)];
    if (soon->fn == canceled)
        return false;
    soon->fn = canceled;
    return true;
}

/* All of a mark's callbacks go with it; every mark's at once, so the ring is empty afterwards. */
void
rill__soons_drop(rill_loop *loop, rill__soons_mark *mark)
{
    loop->soons.head += mark->count;
    mark->ready.next = loop->soons.free_marks;
    loop->soons.free_marks = &mark->ready;
}
