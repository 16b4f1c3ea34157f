/*
 * Timers: a hierarchical wheel that feeds a heap.
 *
 * The wheel (8 levels of 64 slots, ticks of 2^20 ns, an occupancy bitmap per level) makes arming,
 * canceling and pushing back cost O(1). A timer's level is given by the highest bit in which its
 * tick differs from the present one, so every timer of a level is due before every timer of the
 * next. When the clock reaches a slot its timers move down, at last into a pairing heap ordered by
 * (deadline, sequence), which holds exactly what is due in the present tick: the order is exact to
 * the nanosecond and FIFO among equals, and nothing fires early.
 *
 * Nodes are intrusive, so nothing here allocates or fails. A canceled timer is unlinked at once.
 * Invariant: heap holds every armed timer with tick <= timers->tick; wheel slots hold the others,
 * at or (after a lazy re-arm) before their true place. Loop thread only.
 */
#include "core/internal.h"

#define LEVEL_MASK     ((uint64_t)RILL__WHEEL_SLOTS - 1)
#define SEQUENCE_MASK  ((UINT64_C(1) << 54) - 1)
#define SLOT_SCAN_MAX  32
#define TICK(deadline) ((uint64_t)((deadline) > 0 ? (deadline) : 0) >> RILL__WHEEL_TICK_BITS)
#define SHIFT(level)   ((unsigned)(level)*RILL__WHEEL_LEVEL_BITS)

static bool
before(const rill__timer *a, const rill__timer *b)
{
    if (rill__bug("timer_ties"))
        return a->deadline < b->deadline;
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->sequence < b->sequence);
}

/* ---- the heap ---- */

/* Two roots without siblings become one: the later one is the other's first child. */
static rill__timer *
heap_meld(rill__timer *a, rill__timer *b)
{
    rill__timer *child;

    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (before(b, a)) {
        child = a;
        a = b;
    } else {
        child = b;
    }
    child->next = a->child;
    if (child->next != NULL)
        child->next->prev = child;
    child->prev = a;
    a->child = child;
    return a;
}

/* Make one heap of a list of siblings: pair them from the left, then meld the pairs from the right.
 * */
static rill__timer *
heap_merge_siblings(rill__timer *first)
{
    rill__timer *pairs = NULL;
    rill__timer *root = NULL;

    while (first != NULL) {
        rill__timer *second = first->next;
        rill__timer *rest = second != NULL ? second->next : NULL;
        rill__timer *pair;

        first->next = NULL;
        if (second != NULL)
            second->next = NULL;
        pair = heap_meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    while (pairs != NULL) {
        rill__timer *rest = pairs->next;

        pairs->next = NULL;
        root = heap_meld(root, pairs);
        pairs = rest;
    }
    if (root != NULL)
        root->prev = NULL;
    return root;
}

static void
heap_insert(rill__timers *timers, rill__timer *timer)
{
    timer->next = NULL;
    timer->child = NULL;
    timer->prev = NULL;
    timer->place = RILL__TIMER_HEAP;
    timers->heap = heap_meld(timers->heap, timer);
}

static void
heap_remove(rill__timers *timers, rill__timer *timer)
{
    rill__timer *children = heap_merge_siblings(timer->child);

    if (timer == timers->heap) {
        timers->heap = children;
        return;
    }
    if (timer->prev->child == timer)
        timer->prev->child = timer->next;
    else
        timer->prev->next = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
    timers->heap = heap_meld(timers->heap, children);
}

/* ---- the wheel ---- */

static void
wheel_insert(rill__timers *timers, rill__timer *timer)
{
    uint64_t tick = TICK(timer->deadline);
    unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ timers->tick)) / RILL__WHEEL_LEVEL_BITS;
    unsigned index = (unsigned)(tick >> SHIFT(level) & LEVEL_MASK);
    rill__timer **slot = &timers->slots[level][index];

    timer->next = *slot;
    if (timer->next != NULL)
        timer->next->prev_link = &timer->next;
    timer->prev_link = slot;
    timer->place = RILL__TIMER_WHEEL;
    *slot = timer;
    timers->occupied[level] |= UINT64_C(1) << index;
}

static void
wheel_remove(rill__timers *timers, rill__timer *timer)
{
    rill__timer **first = &timers->slots[0][0];
    ptrdiff_t index;

    *timer->prev_link = timer->next;
    if (timer->next != NULL) {
        timer->next->prev_link = timer->prev_link;
        return;
    }
    /* The last of a slot clears its bit. */
    if (timer->prev_link < first ||
        timer->prev_link >= first + RILL__WHEEL_LEVELS * RILL__WHEEL_SLOTS)
        return;
    index = timer->prev_link - first;
    timers->occupied[index / RILL__WHEEL_SLOTS] &= ~(UINT64_C(1) << (index % RILL__WHEEL_SLOTS));
}

/* The first occupied slot after the present tick; its first tick, or UINT64_MAX for none. */
static uint64_t
wheel_next_slot(const rill__timers *timers, unsigned *ret_level, unsigned *ret_index)
{
    for (unsigned level = 0; level < RILL__WHEEL_LEVELS; level++) {
        uint64_t occupied = timers->occupied[level];
        uint64_t upper;

        if (occupied == 0)
            continue;
        *ret_level = level;
        *ret_index = (unsigned)__builtin_ctzll(occupied);
        upper = timers->tick >> SHIFT(level) & ~LEVEL_MASK;
        return (upper | *ret_index) << SHIFT(level);
    }
    return UINT64_MAX;
}

static void
place(rill__timers *timers, rill__timer *timer)
{
    if (TICK(timer->deadline) <= timers->tick)
        heap_insert(timers, timer);
    else
        wheel_insert(timers, timer);
}

/* Go on to the next occupied slot, or to `target` if that comes first; false at the target. */
static bool
wheel_advance(rill__timers *timers, uint64_t target)
{
    unsigned level;
    unsigned index;
    uint64_t start = wheel_next_slot(timers, &level, &index);
    rill__timer *timer;

    if (start > target) {
        timers->tick = target;
        return false;
    }
    timer = timers->slots[level][index];
    timers->slots[level][index] = NULL;
    timers->occupied[level] &= ~(UINT64_C(1) << index);
    timers->tick = start;
    while (timer != NULL) {
        rill__timer *next = timer->next;

        place(timers, timer);
        timer = next;
    }
    return true;
}

/* ---- what the loop uses ---- */

void
rill__timers_init(rill__timers *timers, rill_ns now)
{
    memset(timers, 0, sizeof(*timers));
    timers->tick = TICK(now);
}

void
rill__timer_insert(rill__timers *timers, rill__timer *timer)
{
    timer->sequence = ++timers->sequence & SEQUENCE_MASK;
    timers->count++;
    place(timers, timer);
}

void
rill__timer_remove(rill__timers *timers, rill__timer *timer)
{
    assert(timers->count > 0);
    if (timer->place == RILL__TIMER_WHEEL)
        wheel_remove(timers, timer);
    else
        heap_remove(timers, timer);
    timer->place = RILL__TIMER_IDLE;
    timers->count--;
}

/* A timer that is pushed back stays in its slot and finds its place when the slot is reached: two
 * stores for an idle timeout that moves on every message. */
void
rill__timer_move(rill__timers *timers, rill__timer *timer, rill_ns deadline)
{
    if (timer->place == RILL__TIMER_WHEEL && deadline >= timer->deadline) {
        timer->deadline = deadline;
        timer->sequence = ++timers->sequence & SEQUENCE_MASK;
        return;
    }
    rill__timer_remove(timers, timer);
    timer->deadline = deadline;
    rill__timer_insert(timers, timer);
}

rill_ns
rill__timers_next(const rill__timers *timers)
{
    unsigned level;
    unsigned index;
    unsigned seen = 0;
    uint64_t start;
    rill_ns slot_start;
    rill_ns slot_end;
    rill_ns earliest = INT64_MAX;

    if (timers->count == 0)
        return RILL_NEVER;
    if (timers->heap != NULL)
        return timers->heap->deadline;
    start = wheel_next_slot(timers, &level, &index);
    if (start == UINT64_MAX)
        return RILL_NEVER;
    slot_start = (rill_ns)(start << RILL__WHEEL_TICK_BITS);
    slot_end = (rill_ns)((start + (UINT64_C(1) << SHIFT(level))) << RILL__WHEEL_TICK_BITS);
    /* A short slot is searched for the exact time; a long one, or one with only pushed back timers,
     * costs a turn at its start. */
    for (const rill__timer *t = timers->slots[level][index]; t != NULL; t = t->next) {
        if (++seen > SLOT_SCAN_MAX)
            return slot_start;
        if (t->deadline < earliest)
            earliest = t->deadline;
    }
    return earliest < slot_end ? earliest : slot_start;
}

bool
rill__timer_take_ready(rill_loop *loop, rill__timer *timer)
{
    bool run = !timer->canceled && !timer->moved;
    bool arm = !timer->canceled && timer->moved;

    assert(timer->place == RILL__TIMER_READY);
    timer->place = RILL__TIMER_IDLE;
    timer->canceled = 0;
    timer->moved = 0;
    if (arm)
        rill__timer_insert(&loop->timers, timer);
    return run;
}

void
rill__timer_postpone(rill_loop *loop, rill__timer *timer, rill_ns deadline)
{
    if (timer->place != RILL__TIMER_READY) {
        rill__timer_move(&loop->timers, timer, deadline);
        return;
    }
    timer->deadline = deadline;
    timer->moved = !rill__bug("timer_move_ready");
    timer->canceled = 0;
}

static void
own_timer_run(rill__ready *ready)
{
    rill__own_timer *own = RILL__CONTAINER(ready, rill__own_timer, timer.ready);

    if (rill__timer_take_ready(rill__running, &own->timer))
        own->fn(own);
}

static void
pop_due(rill_loop *loop, rill_ns now)
{
    rill__timers *timers = &loop->timers;
    rill__timer *timer;

    if (rill__bug("timer_early"))
        now += RILL_US;
    while ((timer = timers->heap) != NULL && timer->deadline <= now) {
        timers->heap = heap_merge_siblings(timer->child);
        timers->count--;
        timer->place = RILL__TIMER_READY;
        timer->ready.run = timer->user ? rill__user_timer_run : own_timer_run;
        rill__loop_push(loop, &timer->ready);
    }
}

/* Slot by slot: after a long sleep the heap still holds one tick's timers at a time. */
__attribute__((noinline)) void
rill__timers_expire(rill_loop *loop, rill_ns now)
{
    pop_due(loop, now);
    if (TICK(now) <= loop->timers.tick)
        return;
    while (wheel_advance(&loop->timers, TICK(now)))
        pop_due(loop, now);
}

void
rill__timer_arm(rill_loop *loop, rill__own_timer *own, rill_ns deadline)
{
    if (own->timer.place != RILL__TIMER_IDLE) {
        rill__timer_postpone(loop, &own->timer, deadline);
        return;
    }
    own->timer.deadline = deadline;
    rill__timer_insert(&loop->timers, &own->timer);
}

void
rill__timer_disarm(rill_loop *loop, rill__own_timer *own)
{
    if (own->timer.place == RILL__TIMER_READY) {
        rill__loop_unlink(loop, &own->timer.ready); /* The owner may free it now. */
        own->timer.place = RILL__TIMER_IDLE;
        own->timer.moved = 0;
    } else if (own->timer.place != RILL__TIMER_IDLE) {
        rill__timer_remove(&loop->timers, &own->timer);
    }
}

void
rill__timers_check(const rill__timers *timers)
{
    size_t seen = 0;

    for (unsigned level = 0; level < RILL__WHEEL_LEVELS; level++) {
        for (unsigned index = 0; index < RILL__WHEEL_SLOTS; index++) {
            const rill__timer *t = timers->slots[level][index];

            rill__check((t != NULL) == (timers->occupied[level] >> index & 1));
            for (; t != NULL; t = t->next, seen++) {
                rill__check(*t->prev_link == t);
                rill__check(t->place == RILL__TIMER_WHEEL);
                rill__check(TICK(t->deadline) > timers->tick);
            }
        }
    }
    rill__check(seen <= timers->count);
    rill__check((timers->heap != NULL) == (seen < timers->count));
}
