/*
 * Stacks from slabs: a range of address space for each size class and loop, made usable from its
 * beginning on, so that a million stacks are two mappings.
 *
 * A slot is a guard of 16 KiB and the stack above it. Guards are marks on pages; where the kernel
 * has none they are mappings, until a third of vm.max_map_count is used; where that is not to be
 * had either, a word at the stack's end tells of an overflow when the task next waits. Free slots
 * are taken last in, first out, since their top page is still warm. Loop thread only.
 */
#include "tasks/internal.h"

#define GUARD_BYTES    RILL__GUARD_BYTES
#define RESERVE_BYTES  ((size_t)64 << 30)
#define RESERVE_OTHERS ((size_t)4 << 30)
#define CHUNK_BYTES    ((size_t)4 << 20) /* Made usable at a time. */

static const size_t slot_bytes[RILL__STACK_CLASSES] = { RILL__STACK_BYTES + GUARD_BYTES, 256 << 10,
    1 << 20, 8 << 20 };

static int
class_of(size_t bytes)
{
    for (int class = 0; class < RILL__STACK_CLASSES; class ++) {
        size_t usable = slot_bytes[class] - (class + 1 < RILL__STACK_CLASSES ? GUARD_BYTES : 0);

        if (bytes <= usable)
            return class;
    }
    return -1;
}

/* ---- more of them ---- */

static int
reserve(rill__stacks *stacks, int class)
{
    size_t slot = slot_bytes[class] + (class + 1 == RILL__STACK_CLASSES ? GUARD_BYTES : 0);
    size_t size = class == 0 ? RESERVE_BYTES : RESERVE_OTHERS;
    void *base;

    /* Less where address space is limited (ulimit -v, Valgrind). */
    while (rill__host_stack_reserve(size, &base) < 0) {
        size /= 2;
        if (size < CHUNK_BYTES || size < slot)
            return -ENOMEM;
    }
    stacks->base = base;
    stacks->slot_bytes = slot;
    stacks->capacity = (uint32_t)(size / slot);
    return 0;
}

static int
commit(rill_loop *loop, rill__stacks *stacks)
{
    uint32_t count = (uint32_t)(CHUNK_BYTES / stacks->slot_bytes);
    rill__slot_state *slots;
    int rc;

    count = count != 0 ? count : 1;
    if (count > stacks->capacity - stacks->committed)
        count = stacks->capacity - stacks->committed;
    if (count == 0)
        return RILL_ELIMIT;
    slots = rill__resize(loop, stacks->slots, stacks->committed * sizeof(*slots),
        (stacks->committed + count) * sizeof(*slots), RILL_TAG_TASK);
    if (slots == NULL)
        return -ENOMEM;
    stacks->slots = slots;
    rc = rill__host_stack_commit(
        stacks->base + stacks->committed * stacks->slot_bytes, count * stacks->slot_bytes);
    if (rc < 0) {
        slots = rill__resize(loop, stacks->slots, (stacks->committed + count) * sizeof(*slots),
            stacks->committed * sizeof(*slots), RILL_TAG_TASK);
        stacks->slots = slots;
        return rc;
    }
    memset(slots + stacks->committed, 0, count * sizeof(*slots));
    stacks->committed += count;
    return 0;
}

static uint8_t
guard(rill_loop *loop, char *low)
{
    rill__tasks *tasks = loop->tasks;
    enum rill__host_guard made = RILL__GUARD_NONE;

    if (tasks->light_guards || tasks->mapped_guards < tasks->mapped_guards_max)
        made = rill__host_stack_guard(low, GUARD_BYTES, tasks->light_guards);
    if (made != RILL__GUARD_LIGHT)
        tasks->light_guards = false;
    if (made == RILL__GUARD_MAPPED)
        tasks->mapped_guards++;
    if (made == RILL__GUARD_NONE && !tasks->warned) {
        tasks->warned = true;
        rill__log(loop, RILL_LOG_WARNING,
            "stacks of tasks from here on have no guard: an overflow shows late (after %zu with "
            "one; vm.max_map_count would have to be higher)",
            tasks->mapped_guards);
    }
    return (uint8_t)made;
}

/* ---- taking and giving back ---- */

/* One that was never a stack is the first free one. */
static RILL__RARE int
new_slot(rill_loop *loop, rill__stacks *stacks, int class)
{
    uint32_t slot = stacks->used;
    int rc = stacks->base == NULL ? reserve(stacks, class) : 0;

    if (rc == 0 && slot == stacks->committed)
        rc = commit(loop, stacks);
    if (rc < 0)
        return rc;
    stacks->slots[slot].guard = guard(loop, stacks->base + slot * stacks->slot_bytes);
    stacks->slots[slot].watch = rill__host_stack_watch(
        stacks->base + slot * stacks->slot_bytes + GUARD_BYTES, stacks->slot_bytes - GUARD_BYTES);
    stacks->slots[slot].next = RILL__NO_SLOT;
    stacks->used++;
    stacks->free = slot;
    return 0;
}

void
rill__stacks_begin(rill__tasks *tasks)
{
    for (int class = 0; class < RILL__STACK_CLASSES; class ++)
        tasks->stacks[class].free = RILL__NO_SLOT;
}

int
rill__stack_find(rill_loop *loop, size_t bytes, rill__stack *ret_stack)
{
    int class = class_of(bytes);
    rill__stacks *stacks;
    int rc = 0;

    if (class < 0)
        return RILL_EINVAL;
    stacks = &loop->tasks->stacks[class];
    if (stacks->free == RILL__NO_SLOT)
        rc = new_slot(loop, stacks, class);
    if (rc == 0)
        rill__stack_pop(stacks, class, ret_stack);
    return rc;
}

void
rill__stack_release(rill_loop *loop, const rill__stack *stack)
{
    rill__stacks *stacks = &loop->tasks->stacks[stack->class];

    stacks->slots[stack->slot].inhabited = false;
    stacks->slots[stack->slot].next = stacks->free;
    stacks->free = stack->slot;
    stacks->live--;
}

/* ---- looking at all ---- */

void
rill__stack_inhabit(rill_loop *loop, const rill__stack *stack, rill__fiber *fiber)
{
    rill__slot_state *state = &loop->tasks->stacks[stack->class].slots[stack->slot];

    state->inhabited = true;
    state->offset = (uint16_t)(stack->top - (char *)fiber);
}

bool
rill__stacks_next(rill__tasks *tasks, rill__stacks_cursor *cursor, rill__fiber **ret_fiber)
{
    const rill__stacks *stacks;
    const rill__slot_state *state;

    while (cursor->slot >= tasks->stacks[cursor->class].used) {
        if (++cursor->class == RILL__STACK_CLASSES)
            return false;
        cursor->slot = 0;
    }
    stacks = &tasks->stacks[cursor->class];
    state = &stacks->slots[cursor->slot++];
    *ret_fiber = state->inhabited
                     ? (rill__fiber *)(void *)(stacks->base + cursor->slot * stacks->slot_bytes -
                                               state->offset)
                     : NULL;
    return true;
}

/* ---- giving memory back ---- */

void
rill__stack_trim_below(const rill__stack *stack, const void *sp)
{
    size_t page = rill__host_page_size();
    size_t len = ((size_t)((const char *)sp - stack->low) - 128) & ~(page - 1);

    if (stack->canary || (const char *)sp - stack->low < 256)
        return;
    rill__host_stack_trim(stack->low, len);
}

/* Runs of slots that are free and dirty, one call to the kernel each. */
static void
trim_free(rill__stacks *stacks, uint32_t keep)
{
    uint32_t kept = 0;

    /* The first ones on the list are the next to be taken. */
    for (uint32_t slot = stacks->free; slot != RILL__NO_SLOT; slot = stacks->slots[slot].next)
        stacks->slots[slot].spare = stacks->slots[slot].dirty && kept++ >= keep;
    for (uint32_t slot = 0; slot < stacks->used;) {
        uint32_t end = slot;

        for (; end < stacks->used && stacks->slots[end].spare; end++)
            stacks->slots[end].spare = stacks->slots[end].dirty = false;
        if (end > slot)
            rill__host_stack_trim(stacks->base + slot * stacks->slot_bytes,
                (size_t)(end - slot) * stacks->slot_bytes);
        slot = end + 1;
    }
}

void
rill__stacks_trim(rill_loop *loop)
{
    for (int class = 0; class < RILL__STACK_CLASSES; class ++) {
        rill__stacks *stacks = &loop->tasks->stacks[class];
        uint32_t keep = stacks->live_max - stacks->live;

        if (stacks->base == NULL)
            continue;
        trim_free(stacks, keep);
        stacks->live_max = stacks->live;
    }
}

void
rill__stacks_done(rill_loop *loop)
{
    for (int class = 0; class < RILL__STACK_CLASSES; class ++) {
        rill__stacks *stacks = &loop->tasks->stacks[class];

        if (stacks->base == NULL)
            continue;
        for (uint32_t slot = 0; slot < stacks->used; slot++)
            rill__host_stack_forget(stacks->base + slot * stacks->slot_bytes + GUARD_BYTES,
                stacks->slot_bytes - GUARD_BYTES, stacks->slots[slot].watch);
        rill__free(loop, stacks->slots, stacks->committed * sizeof(*stacks->slots), RILL_TAG_TASK);
        if (!loop->tasks->keeps_stacks)
            rill__host_stack_release(stacks->base, (size_t)stacks->capacity * stacks->slot_bytes);
        stacks->base = NULL;
    }
}
