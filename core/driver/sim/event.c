/*
 * The clock and what will happen: a 4-ary heap ordered by (time, order of scheduling).
 *
 * Events are embedded in what they are about and know their place, so moving and taking back are
 * exact. Whoever makes an event reserves room for it first: scheduling never fails. Time moves only
 * here, to the next event or to what the caller asks for, and never while an event or a callback
 * runs, unless a program never sleeps (rill__sim_linger). The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define ARITY 4

/* Before time moves by itself: turns of loops, and events, at one instant. */
#define LINGER_TURNS 1024
#define RUSH_EVENTS  1000000
#define LINGER_STEP  (10 * RILL_US)

#define CHECK_EVERY 1000

int
rill__sim_reserve(rill_sim *sim, uint32_t count)
{
    sim_heap *heap = &sim->heap;

    while (heap->reserved + count > heap->capacity) {
        int rc = rill__sim_grow(
            sim, &heap->slots, heap->capacity, &heap->capacity, sizeof(heap->slots[0]));

        if (rc < 0)
            return rc;
    }
    heap->reserved += count;
    return 0;
}

void
rill__sim_unreserve(rill_sim *sim, uint32_t count)
{
    rill__sim_check(sim, sim->heap.reserved >= count);
    sim->heap.reserved -= count;
}

static bool
before(const sim_slot *a, const sim_slot *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void
put(sim_heap *heap, uint32_t index, sim_slot slot)
{
    heap->slots[index] = slot;
    slot.event->index = index + 1;
}

static void
sift_up(sim_heap *heap, uint32_t index, sim_slot slot)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / ARITY;

        if (!before(&slot, &heap->slots[parent]))
            break;
        put(heap, index, heap->slots[parent]);
        index = parent;
    }
    put(heap, index, slot);
}

static void
sift_down(sim_heap *heap, uint32_t index, sim_slot slot)
{
    for (;;) {
        uint32_t child = index * ARITY + 1;
        uint32_t end = child + ARITY < heap->count ? child + ARITY : heap->count;
        uint32_t least = child;

        if (child >= heap->count)
            break;
        for (uint32_t i = child + 1; i < end; i++)
            if (before(&heap->slots[i], &heap->slots[least]))
                least = i;
        if (!before(&heap->slots[least], &slot))
            break;
        put(heap, index, heap->slots[least]);
        index = least;
    }
    put(heap, index, slot);
}

void
rill__sim_unschedule(rill_sim *sim, sim_event *event)
{
    sim_heap *heap = &sim->heap;
    uint32_t index = event->index - 1;
    sim_slot last;

    if (event->index == 0)
        return;
    rill__sim_check(sim, index < heap->count && heap->slots[index].event == event);
    event->index = 0;
    last = heap->slots[--heap->count];
    if (index == heap->count)
        return;
    if (index > 0 && before(&last, &heap->slots[(index - 1) / ARITY]))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}

void
rill__sim_schedule(rill_sim *sim, sim_event *event, rill_ns at)
{
    sim_heap *heap = &sim->heap;
    sim_slot slot = { .at = at > sim->now ? at : sim->now, .event = event };

    rill__sim_unschedule(sim, event);
    rill__sim_check(sim, heap->count < heap->reserved);
    slot.sequence = sim->sequence++;
    sift_up(heap, heap->count++, slot);
}

rill_ns
rill__sim_next_event(const rill_sim *sim)
{
    return sim->heap.count > 0 ? sim->heap.slots[0].at : RILL_NEVER;
}

void
rill__sim_advance(rill_sim *sim, rill_ns now)
{
    if (now <= sim->now)
        return;
    sim->now = now;
    sim->lingering = 0;
    sim->rushing = 0;
}

void
rill__sim_linger(rill_sim *sim)
{
    if (++sim->lingering > LINGER_TURNS)
        sim->now += LINGER_STEP;
}

size_t
rill__sim_run_due(rill_sim *sim)
{
    size_t ran = 0;

    while (sim->heap.count > 0 && sim->heap.slots[0].at <= sim->now) {
        sim_event *event = sim->heap.slots[0].event;

        rill__sim_unschedule(sim, event);
        event->fn(sim, event);
        ran++;
#ifndef NDEBUG
        if (++sim->events % CHECK_EVERY == 0)
            rill__sim_world_check(sim);
#endif
        /* Two scripted peers that echo each other would do so at one instant for ever. */
        if (++sim->rushing > RUSH_EVENTS) {
            sim->now += LINGER_STEP;
            break;
        }
    }
    return ran;
}
