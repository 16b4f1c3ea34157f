/*
 * Memory: the allocator hook and borrowed bytes.
 */
#ifndef RILL_MEMORY_H
#define RILL_MEMORY_H

#include <rill/base.h>

RILL_BEGIN

/* What an allocation is for. rill_loop_stats counts bytes by it; a hook may fail or count by it. */
typedef enum rill_tag {
    RILL_TAG_LOOP,      /* The loop itself and its tables. */
    RILL_TAG_HANDLE,    /* Scheduled callbacks and timers. */
    RILL_TAG_DRIVER,    /* The driver's own state. */
    RILL_TAG_TRANSPORT, /* Transports with their protocol state. */
    RILL_TAG_SERVER,    /* Servers and listeners; restarts. */
    RILL_TAG_CONNECT,   /* Connect attempts. */
    RILL_TAG_WRITE,     /* Queued bytes. */
    RILL_TAG_CHUNK,     /* Receive buffers, hot and held. */
    RILL_TAG_TASK,      /* Tasks and what they wait with; not their stacks. */
    RILL_TAG_SIM,       /* The simulator's world. */
    RILL_TAG_COUNT
} rill_tag;

/*
 * The allocator of a loop, given in rill_loop_options and copied from there. All three functions
 * are required. They are called from the loop's thread, and `alloc`, `resize` and `free` also from
 * threads inside rill_call_soon_threadsafe() (never two at once for the same loop).
 *
 * Every allocation of the library passes here with its size and tag; memory is aligned to 16 bytes.
 * Returning NULL is an ordinary event: the call returns -ENOMEM, or one connection is lost with it.
 */
typedef struct rill_allocator {
    void *(*alloc)(void *ctx, size_t size, rill_tag tag);
    /* Keeps the first min(old_size, new_size) bytes; on NULL the old block is untouched. */
    void *(*resize)(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag);
    void (*free)(void *ctx, void *ptr, size_t size, rill_tag tag);
    void *ctx;
} rill_allocator;

/*
 * Bytes lent by the library, valid until the callback they were passed to returns. Copy what you
 * need, or hold the slice.
 */
typedef struct rill_slice {
    const uint8_t *data;
    size_t len;
    struct rill_chunk
        *chunk; /* The library's; NULL for bytes that cannot be held without a copy. */
} rill_slice;

/*
 * Keep `in` beyond the callback: `ret_held` names the same bytes and stays valid until
 * rill_slice_release(). Below 16 KiB the bytes are copied, above the receive buffer itself is
 * detached, so nobody pins a big buffer with a few bytes.
 *
 * Returns 0; RILL_EINVAL for bytes without `data`; -ENOMEM; RILL_ELIMIT when the loop already has
 * `held_bytes_max` bytes held (rill_loop_options): release something or pause reading. Loop thread
 * only.
 */
RILL_API int rill_slice_hold(rill_loop *loop, rill_slice in, rill_slice *ret_held);

/* Give a held slice back. A slice with chunk NULL or one that is empty is ignored. Loop thread
 * only, before rill_loop_free() returns. */
RILL_API void rill_slice_release(rill_slice held);

RILL_END

#endif
