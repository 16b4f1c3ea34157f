/*
 * A pool of sized objects in pages that live as long as the loop.
 *
 * Size classes are multiples of 16 bytes; a page holds objects of one class. A released object
 * keeps its first bytes, where transports have their mark of death: a dangling pointer reads the
 * mark, not foreign memory. Freed last in, first out. Loop thread only.
 */
#include "core/internal.h"

#define PAGE_BYTES ((size_t)16 * 1024)

struct rill__pool_page {
    struct rill__pool_page *next;
};

/* At the end of the object, so that its beginning stays readable. */
struct rill__pool_free {
    struct rill__pool_free *next;
};

static size_t
class_size(size_t size)
{
    return (size + RILL__POOL_STEP - 1) / RILL__POOL_STEP * RILL__POOL_STEP;
}

static struct rill__pool_free *
link_of(void *object, size_t size)
{
    return (
        struct rill__pool_free *)(void *)((char *)object + size - sizeof(struct rill__pool_free));
}

static void *
object_of(struct rill__pool_free *link, size_t size)
{
    return (char *)link + sizeof(*link) - size;
}

static void
grow(rill_loop *loop, size_t size)
{
    struct rill__pool_free **list = &loop->pool.free[size / RILL__POOL_STEP - 1];
    struct rill__pool_page *page = rill__alloc(loop, PAGE_BYTES, RILL_TAG_TRANSPORT);
    char *object;

    if (page == NULL)
        return;
    page->next = loop->pool.pages;
    loop->pool.pages = page;
    object = (char *)page + PAGE_BYTES;
    while ((size_t)(object - (char *)page) >= size + 16) {
        object -= size;
        link_of(object, size)->next = *list;
        *list = link_of(object, size);
    }
}

void *
rill__pool_take(rill_loop *loop, size_t size)
{
    struct rill__pool_free **list;
    void *object;

    size = class_size(size);
    rill__check(size > 0 && size <= RILL__POOL_MAX);
    list = &loop->pool.free[size / RILL__POOL_STEP - 1];
    if (*list == NULL)
        grow(loop, size);
    if (*list == NULL)
        return NULL;
    object = object_of(*list, size);
    *list = (*list)->next;
    memset(object, 0, size);
    return object;
}

void
rill__pool_release(rill_loop *loop, void *object, size_t size, size_t keep)
{
    struct rill__pool_free **list;

    size = class_size(size);
    assert(keep + sizeof(struct rill__pool_free) <= size);
    if (loop->debug)
        memset((char *)object + keep, 0xdf, size - keep);
    list = &loop->pool.free[size / RILL__POOL_STEP - 1];
    link_of(object, size)->next = *list;
    *list = link_of(object, size);
}

void
rill__pool_done(rill_loop *loop)
{
    while (loop->pool.pages != NULL) {
        struct rill__pool_page *page = loop->pool.pages;

        loop->pool.pages = page->next;
        rill__free(loop, page, PAGE_BYTES, RILL_TAG_TRANSPORT);
    }
}
