/*
 * Slabs: objects of one size with an id each, in pages of 128 that live as long as the loop.
 *
 * An id is kind, loop tag, index and generation; freeing an object bumps its generation, so a stale
 * id never names the next tenant. Generations start at a number of the loop's own: an id of another
 * loop with the same tag does not match either. Free objects are chained last in, first out, which
 * keeps the hot ones hot. Loop thread only.
 */
#include <errno.h>

#include "core/internal.h"

#define PAGE_ALIGN 64

void
rill__slab_init(rill__slab *slab, uint8_t kind, uint32_t object_size, uint32_t cold_size)
{
    assert(object_size >= sizeof(struct rill__slab_free));
    memset(slab, 0, sizeof(*slab));
    slab->kind = kind;
    slab->object_size = object_size;
    slab->cold_size = cold_size;
}

static size_t
page_bytes(const rill__slab *slab)
{
    return (size_t)RILL__SLAB_PAGE * (slab->object_size + slab->cold_size) + PAGE_ALIGN +
           sizeof(void *);
}

/* The address that the allocator gave is kept in the page's last word. */
static void **
page_origin(const rill__slab *slab, unsigned char *page)
{
    return (void **)(page + (size_t)RILL__SLAB_PAGE * (slab->object_size + slab->cold_size));
}

void
rill__slab_done(rill_loop *loop, rill__slab *slab)
{
    if (slab->object_size == 0)
        return; /* The transports' one, when there never was one. */
    for (uint32_t i = 0; i < slab->page_count; i++)
        rill__free(loop, *page_origin(slab, slab->pages[i]), page_bytes(slab), RILL_TAG_HANDLE);
    rill__free(loop, slab->pages, slab->page_capacity * sizeof(*slab->pages), RILL_TAG_HANDLE);
    rill__slab_init(slab, slab->kind, slab->object_size, slab->cold_size);
}

static int
reserve_page_table(rill_loop *loop, rill__slab *slab)
{
    uint32_t capacity = slab->page_capacity != 0 ? slab->page_capacity * 2 : 8;
    unsigned char **pages;

    if (slab->page_count < slab->page_capacity)
        return 0;
    if (slab->page_count > RILL__INDEX_MAX / RILL__SLAB_PAGE)
        return RILL_ELIMIT;
    pages = rill__resize(loop, slab->pages, slab->page_capacity * sizeof(*pages),
        capacity * sizeof(*pages), RILL_TAG_HANDLE);
    if (pages == NULL)
        return -ENOMEM;
    slab->pages = pages;
    slab->page_capacity = capacity;
    return 0;
}

int
rill__slab_grow(rill_loop *loop, rill__slab *slab)
{
    int rc = reserve_page_table(loop, slab);
    unsigned char *origin;
    unsigned char *page;

    if (rc < 0)
        return rc;
    origin = rill__alloc_zeroed(loop, page_bytes(slab), RILL_TAG_HANDLE);
    if (origin == NULL)
        return -ENOMEM;
    page = origin + (PAGE_ALIGN - (uintptr_t)origin % PAGE_ALIGN) % PAGE_ALIGN;
    *page_origin(slab, page) = origin;
    slab->pages[slab->page_count] = page;
    /* Chained backwards, so that they are handed out by rising address. */
    for (uint32_t i = RILL__SLAB_PAGE; i-- > 0;) {
        struct rill__slab_free *object = (void *)(page + (size_t)i * slab->object_size);

        object->slot.id = (rill_id)loop->tag << RILL__TAG_SHIFT |
                          (rill_id)(slab->page_count * RILL__SLAB_PAGE + i)
                              << RILL__GENERATION_BITS |
                          (loop->generation_salt & RILL__GENERATION_MASK);
        object->next = slab->free;
        slab->free = object;
    }
    slab->page_count++;
    return 0;
}

void *
rill__slab_cold(const rill__slab *slab, const void *object)
{
    const rill__slot *slot = object;
    uint32_t index = rill__id_index(slot->id);

    return slab->pages[index / RILL__SLAB_PAGE] + (size_t)RILL__SLAB_PAGE * slab->object_size +
           (size_t)(index % RILL__SLAB_PAGE) * slab->cold_size;
}
