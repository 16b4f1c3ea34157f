/*
 * The allocator seam: the only file that calls malloc and free. Every allocation passes with its
 * size and tag, so the loop's books (rill_loop_stats.memory) always agree with the hook.
 *
 * The counters are the loop thread's; rill_call_soon_threadsafe grows the inbox under its lock with
 * the hook alone (see inbox.c).
 */
#include <stdlib.h>

#include "core/internal.h"

static void *
default_alloc(void *ctx, size_t size, rill_tag tag)
{
    (void)ctx;
    (void)tag;
    return malloc(size);
}

static void *
default_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    (void)ctx;
    (void)old_size;
    (void)tag;
    return realloc(ptr, new_size);
}

static void
default_free(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    (void)ctx;
    (void)size;
    (void)tag;
    free(ptr);
}

const rill_allocator rill__default_allocator = {
    .alloc = default_alloc, .resize = default_resize, .free = default_free, .ctx = NULL
};

void *
rill__alloc(rill_loop *loop, size_t size, rill_tag tag)
{
    void *ptr = loop->allocator.alloc(loop->allocator.ctx, size, tag);

    if (ptr != NULL)
        loop->memory[tag] += size;
    return ptr;
}

void *
rill__alloc_zeroed(rill_loop *loop, size_t size, rill_tag tag)
{
    void *ptr = rill__alloc(loop, size, tag);

    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

void *
rill__resize(rill_loop *loop, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    void *moved;

    if (ptr == NULL)
        return rill__alloc(loop, new_size, tag);
    moved = loop->allocator.resize(loop->allocator.ctx, ptr, old_size, new_size, tag);
    if (moved != NULL)
        loop->memory[tag] += new_size - old_size;
    return moved;
}

void
rill__free(rill_loop *loop, void *ptr, size_t size, rill_tag tag)
{
    if (ptr == NULL)
        return;
    assert(loop->memory[tag] >= size);
    loop->memory[tag] -= size;
    if (loop->debug)
        memset(ptr, 0xdf, size); /* Use after free reads nonsense at once. */
    loop->allocator.free(loop->allocator.ctx, ptr, size, tag);
}
