/*
 * Timers: a hierarchical wheel that feeds a heap.
 *
 * The wheel (8 levels of 64 slots, ticks of 2^20 ns, a bitmap per level) makes arming, canceling
 * and pushing back cost O(1). A timer's level is the highest bit in which its tick differs from
 * the present one, so every timer of a level is due before every timer of the next. When the
 * clock reaches a slot its timers move down, at last into a pairing heap ordered by (deadline,
 * sequence): exact to the nanosecond, FIFO among equals, never early. A slot is several lists
 * (lanes) emptied side by side: in one, a million timers are as many cache misses in a row.
 *
 * Nodes are intrusive, so nothing here allocates or fails. A canceled timer is unlinked at once.
 * Invariant: heap holds every armed timer with tick <= timers->tick; wheel slots hold the others,
 * at or (after a lazy re-arm) before their true place. Loop thread only.
 */
#include "core/internal.h"

#define LEVEL_MASK    ((uint64_t)RILL__WHEEL_SLOTS - 1)
#define SLOT_SCAN_MAX 32
#define LIST_RUNS     64
/* The lane changes seldom, because the first timer of a lane is written when one is put before it:
 * a burst should find it in the cache. */
#define LANE(sequence) ((sequence) >> 10 & (RILL__WHEEL_LANES - 1))
#define PREFETCH_AHEAD 8
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

/* Make one heap of a list of siblings: pair them from the left, meld the pairs from the right. */
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

/* Merge two sorted lists; `tail` is where the result begins. */
static void
list_merge(rill__timer *a, rill__timer *b, rill__timer **tail)
{
    while (a != NULL && b != NULL) {
        bool second = before(b, a);
        rill__timer *least = second ? b : a;
        rill__timer *rest = least->next;

        *tail = least;
        tail = &least->next;
        a = second ? a : rest;
        b = second ? rest : b;
    }
    *tail = a != NULL ? a : b;
}

/* runs[i] holds 2^i timers or none, as the bits of a counter. */
static rill__timer *
list_sort(rill__timer *list)
{
    rill__timer *runs[LIST_RUNS] = { NULL };
    rill__timer *sorted = NULL;
    unsigned used = 0;

    while (list != NULL) {
        rill__timer *run = list;
        unsigned i = 0;

        list = list->next;
        run->next = NULL;
        for (; i < used && runs[i] != NULL; i++) {
            list_merge(runs[i], run, &run);
            runs[i] = NULL;
        }
        runs[i] = run;
        used = i < used ? used : i + 1;
    }
    for (unsigned i = 0; i < used; i++)
        list_merge(runs[i], sorted, &sorted);
    return sorted;
}

/* A sorted list is a heap in which every node has one child. Sorting a slot is cheaper than as many
 * insertions, whose siblings would have to be merged again for every timer that is taken out. */
static void
heap_insert_list(rill__timers *timers, rill__timer *list)
{
    rill__timer *previous = NULL;

    if (list == NULL)
        return;
    list = list_sort(list);
    for (rill__timer *timer = list; timer != NULL;) {
        rill__timer *next = timer->next;

        timer->next = NULL;
        timer->child = next;
        timer->prev = previous;
        timer->place = RILL__TIMER_HEAP;
        previous = timer;
        timer = next;
    }
    timers->heap = heap_meld(timers->heap, list);
}

/* ---- the wheel ---- */

static void
wheel_insert(rill__timers *timers, rill__timer *timer)
{
    uint64_t tick = TICK(timer->deadline);
    unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ timers->tick)) / RILL__WHEEL_LEVEL_BITS;
    unsigned index = (unsigned)(tick >> SHIFT(level) & LEVEL_MASK);
    rill__timer **slot = &timers->slots[level][index][LANE(timer->sequence)];

    timer->next = *slot;
    if (timer->next != NULL)
        timer->next->prev_link = &timer->next;
    timer->prev_link = slot;
    *slot = timer;
    timers->occupied[level] |= UINT64_C(1) << index;
}

static bool
slot_is_empty(rill__timer *const *lanes)
{
    for (unsigned lane = 0; lane < RILL__WHEEL_LANES; lane++)
        if (lanes[lane] != NULL)
            return false;
    return true;
}

static void
wheel_remove(rill__timers *timers, rill__timer *timer)
{
    rill__timer **first = &timers->slots[0][0][0];
    size_t index;

    *timer->prev_link = timer->next;
    if (timer->next != NULL) {
        timer->next->prev_link = timer->prev_link;
        return;
    }
    /* The last of a slot clears its bit. */
    if (timer->prev_link < first ||
        timer->prev_link >= first + sizeof(timers->slots) / sizeof(*first))
        return;
    index = (size_t)(timer->prev_link - first) / RILL__WHEEL_LANES;
    if (slot_is_empty(first + index * RILL__WHEEL_LANES))
        timers->occupied[index / RILL__WHEEL_SLOTS] &=
            ~(UINT64_C(1) << (index % RILL__WHEEL_SLOTS));
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

/* Move a slot's timers down; those due in the present tick are returned as a list. The next timer
 * of each lane is on its way from memory while the other lanes' are at work. */
static rill__timer *
slot_empty(rill__timers *timers, rill__timer **slot)
{
    rill__timer *lanes[RILL__WHEEL_LANES];
    rill__timer *due = NULL;
    bool more;

    memcpy(lanes, slot, sizeof(lanes));
    memset(slot, 0, sizeof(lanes));
    for (unsigned lane = 0; lane < RILL__WHEEL_LANES; lane++)
        __builtin_prefetch(lanes[lane], 1);
    do {
        more = false;
        for (unsigned lane = 0; lane < RILL__WHEEL_LANES; lane++) {
            rill__timer *timer = lanes[lane];

            if (timer == NULL)
                continue;
            more = true;
            lanes[lane] = timer->next;
            __builtin_prefetch(timer->next, 1);
            if (TICK(timer->deadline) > timers->tick) {
                wheel_insert(timers, timer);
            } else {
                timer->next = due;
                due = timer;
            }
        }
    } while (more);
    return due;
}

/* Go on to the next occupied slot, or to `target` if that comes first; false at the target. */
static bool
wheel_advance(rill__timers *timers, uint64_t target)
{
    unsigned level;
    unsigned index;
    uint64_t start = wheel_next_slot(timers, &level, &index);

    if (start > target) {
        timers->tick = target;
        return false;
    }
    timers->occupied[level] &= ~(UINT64_C(1) << index);
    timers->tick = start;
    heap_insert_list(timers, slot_empty(timers, timers->slots[level][index]));
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
    bool due = TICK(timer->deadline) <= timers->tick;
    uint64_t place = due ? RILL__TIMER_HEAP : RILL__TIMER_WHEEL;

    timer->state = ++timers->sequence << RILL__TIMER_STATE_BITS |
                   (timer->state & RILL__TIMER_KIND_MASK) | place;
    timers->count++;
    if (due)
        heap_insert(timers, timer);
    else
        wheel_insert(timers, timer);
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
        timer->state =
            ++timers->sequence << RILL__TIMER_STATE_BITS | (timer->state & RILL__TIMER_STATE_MASK);
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
    for (unsigned lane = 0; lane < RILL__WHEEL_LANES; lane++)
        for (const rill__timer *t = timers->slots[level][index][lane]; t != NULL; t = t->next) {
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
    __builtin_prefetch(timer->ahead, 1);
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

/* The timers that expired last in this call; none of them can have gone. */
typedef struct expired {
    rill__timer *timers[PREFETCH_AHEAD];
    unsigned count;
} expired;

static void
pop_due(rill_loop *loop, rill_ns now, expired *recent)
{
    rill__timers *timers = &loop->timers;
    rill__timer *timer;

    if (rill__bug("timer_early"))
        now += RILL_US;
    while ((timer = timers->heap) != NULL && timer->deadline <= now) {
        rill__timer **earlier = &recent->timers[recent->count++ % PREFETCH_AHEAD];

        if (recent->count > PREFETCH_AHEAD)
            (*earlier)->ahead = timer;
        *earlier = timer;
        timers->heap = heap_merge_siblings(timer->child);
        timers->count--;
        timer->ahead = NULL;
        timer->place = RILL__TIMER_READY;
        timer->ready.run = timer->user ? rill__user_timer_run : own_timer_run;
        rill__loop_push(loop, &timer->ready);
    }
}

/* Slot by slot: after a long sleep the heap still holds one tick's timers at a time. */
__attribute__((noinline)) void
rill__timers_expire(rill_loop *loop, rill_ns now)
{
    expired recent;

    recent.count = 0;
    pop_due(loop, now, &recent);
    if (TICK(now) <= loop->timers.tick)
        return;
    while (wheel_advance(&loop->timers, TICK(now)))
        pop_due(loop, now, &recent);
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

static size_t
check_lane(const rill__timers *timers, const rill__timer *timer)
{
    size_t seen = 0;

    for (; timer != NULL; timer = timer->next, seen++) {
        rill__check(*timer->prev_link == timer);
        rill__check(timer->place == RILL__TIMER_WHEEL);
        rill__check(TICK(timer->deadline) > timers->tick);
    }
    return seen;
}

void
rill__timers_check(const rill__timers *timers)
{
    size_t seen = 0;

    for (unsigned level = 0; level < RILL__WHEEL_LEVELS; level++) {
        for (unsigned index = 0; index < RILL__WHEEL_SLOTS; index++) {
            rill__timer *const *lanes = timers->slots[level][index];

            rill__check(slot_is_empty(lanes) != (timers->occupied[level] >> index & 1));
            for (unsigned lane = 0; lane < RILL__WHEEL_LANES; lane++)
                seen += check_lane(timers, lanes[lane]);
        }
    }
    rill__check(seen <= timers->count);
    rill__check((timers->heap != NULL) == (seen < timers->count));
}
