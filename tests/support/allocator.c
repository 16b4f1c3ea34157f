/*
 * The counting allocator. A header of 32 bytes before each block keeps its size and tag, and the
 * blocks' alignment of 16. Not locked: the library promises never to call it twice at once, and the
 * thread sanitizer holds it to that.
 */
#include "allocator.h"

#include "sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MAGIC UINT64_C(0x72696c6c626c6f63)

typedef struct header {
    uint64_t magic;
    size_t size;
    rill_tag tag;
    uint64_t padding;
} header;

_Static_assert(sizeof(header) == 32, "blocks stay aligned to 16");

static header *
header_of(void *ptr, size_t size, rill_tag tag)
{
    header *h = (header *)ptr - 1;

    if (h->magic != MAGIC || h->size != size || h->tag != tag) {
        fprintf(stderr, "allocator: block of %zu bytes, tag %d; the library says %zu, tag %d%s\n",
            h->size, (int)h->tag, size, (int)tag, h->magic == MAGIC ? "" : "; not alive");
        abort();
    }
    return h;
}

static bool
refuse(allocator *a, rill_tag tag)
{
    if (a->fail_tag != RILL_TAG_COUNT && a->fail_tag != tag)
        return false;
    a->calls++;
    if (sweep_refuses()) {
        a->refused++;
        return true;
    }
    if (a->fail_at == 0)
        return false;
    if (a->calls != a->fail_at && !(a->fail_on && a->calls > a->fail_at))
        return false;
    a->refused++;
    return true;
}

static void
count(allocator *a, rill_tag tag, size_t size)
{
    a->blocks++;
    a->bytes += size;
    a->bytes_by_tag[tag] += size;
}

static void
uncount(allocator *a, rill_tag tag, size_t size)
{
    a->blocks--;
    a->bytes -= size;
    a->bytes_by_tag[tag] -= size;
}

static void *
take(void *ctx, size_t size, rill_tag tag)
{
    allocator *a = ctx;
    header *h;

    if (tag >= RILL_TAG_COUNT || size == 0) {
        fprintf(stderr, "allocator: %zu bytes asked for with tag %d\n", size, (int)tag);
        abort();
    }
    if (refuse(a, tag))
        return NULL;
    h = malloc(sizeof(*h) + size);
    if (h == NULL)
        return NULL;
    *h = (header){ .magic = MAGIC, .size = size, .tag = tag };
    count(a, tag, size);
    sweep_count(true);
    memset(h + 1, 0xa5, size);
    return h + 1;
}

static void
give(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    allocator *a = ctx;
    header *h = header_of(ptr, size, tag);

    uncount(a, tag, size);
    sweep_count(false);
    memset(h, 0xdd, sizeof(*h) + size);
    free(h);
}

static void *
change(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    void *moved;

    if (ptr != NULL)
        (void)header_of(ptr, old_size, tag);
    moved = take(ctx, new_size, tag); /* Always moves: who keeps the old address is found out. */
    if (moved == NULL)
        return NULL;
    if (ptr != NULL) {
        memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
        give(ctx, ptr, old_size, tag);
    }
    return moved;
}

void
allocator_init(allocator *a)
{
    *a = (allocator){ .fail_tag = RILL_TAG_COUNT };
    a->hook = (rill_allocator){ .alloc = take, .resize = change, .free = give, .ctx = a };
}

void
allocator_fail(allocator *a, size_t n, bool and_all_later)
{
    a->fail_at = a->calls + n;
    a->fail_on = and_all_later;
}

void
allocator_heal(allocator *a)
{
    a->fail_at = 0;
}

size_t
allocator_loop_bytes(const allocator *a)
{
    return a->bytes - a->bytes_by_tag[RILL_TAG_SIM];
}

void
allocator_check_empty(const allocator *a)
{
    if (a->blocks == 0 && a->bytes == 0)
        return;
    for (int tag = 0; tag < RILL_TAG_COUNT; tag++) {
        if (a->bytes_by_tag[tag] != 0)
            print_error("tag %d: %zu bytes were not freed\n", tag, a->bytes_by_tag[tag]);
    }
    fail_msg("%zu blocks were not freed", a->blocks);
}
