/*
 * An allocator that counts, spoils and fails on demand. Give `hook` in rill_loop_options.
 *
 * Fresh memory is filled with 0xa5 and freed memory with 0xdd, so that reading either shows. Every
 * block carries its size and tag: a free or resize that tells others aborts the test.
 */
#ifndef SUPPORT_ALLOCATOR_H
#define SUPPORT_ALLOCATOR_H

#include <rill/memory.h>

typedef struct allocator {
    rill_allocator hook;
    size_t blocks; /* Alive now. */
    size_t bytes;  /* Alive now. */
    size_t bytes_by_tag[RILL_TAG_COUNT];
    size_t calls;      /* alloc and resize, ever; the unit of fail_at. */
    size_t refused;    /* Of these, answered with NULL. */
    size_t fail_at;    /* Number of the call to fail, from 1 on; 0: none. */
    bool fail_on;      /* Also every later call. */
    rill_tag fail_tag; /* Only calls with this tag count; RILL_TAG_COUNT: all. */
} allocator;

void allocator_init(allocator *a);

/* Fail the n-th call from now on. */
void allocator_fail(allocator *a, size_t n, bool and_all_later);
void allocator_heal(allocator *a);

/* Alive now, without a simulated world: its peers and ports come and go by rules of their own. */
size_t allocator_loop_bytes(const allocator *a);

/* Fails the test unless all blocks were freed. */
void allocator_check_empty(const allocator *a);

#endif
