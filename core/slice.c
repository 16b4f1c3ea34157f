/*
 * Receive buffers: one hot chunk per loop, lent to data_received, and chunks that users hold.
 *
 * The hot chunk has one reference, the loop's. Holding a large slice takes another one: the next
 * receive then makes a new hot chunk and the held one lives until its release. Small slices are
 * copied. Held bytes are budgeted by the chunk, not by the slice. Loop thread only.
 */
#include <errno.h>

#include "core/internal.h"

#define HOLD_COPY_BELOW ((size_t)16 * 1024)

struct rill_chunk {
    rill_loop *loop;
    size_t refs;
    size_t bytes; /* Of data. */
    bool counted; /* In the loop's held bytes. */
    _Alignas(16) uint8_t data[];
};

static struct rill_chunk *
chunk_new(rill_loop *loop, size_t bytes)
{
    struct rill_chunk *chunk = rill__alloc(loop, sizeof(*chunk) + bytes, RILL_TAG_CHUNK);

    if (chunk == NULL)
        return NULL;
    chunk->loop = loop;
    chunk->refs = 1;
    chunk->bytes = bytes;
    chunk->counted = false;
    return chunk;
}

static void
chunk_unref(struct rill_chunk *chunk)
{
    rill_loop *loop = chunk->loop;

    rill__check(chunk->refs > 0);
    if (--chunk->refs > 0)
        return;
    if (chunk->counted)
        loop->held_bytes -= chunk->bytes;
    rill__free(loop, chunk, sizeof(*chunk) + chunk->bytes, RILL_TAG_CHUNK);
}

/* The first one, or the next after one that somebody holds. */
static RILL__RARE struct rill_chunk *
new_hot(rill_loop *loop)
{
    struct rill_chunk *fresh = chunk_new(loop, loop->hot_bytes);

    if (fresh == NULL)
        return NULL;
    rill__chunk_free_hot(loop);
    loop->hot = fresh;
    return fresh;
}

uint8_t *
rill__loop_hot_buffer(rill_loop *loop, size_t *ret_size)
{
    struct rill_chunk *hot = loop->hot;

    if (RILL__UNLIKELY(hot == NULL || (hot->refs > 1 && !rill__bug("held_slice_reused")))) {
        hot = new_hot(loop);
        if (hot == NULL)
            return NULL;
    }
    *ret_size = hot->bytes;
    return hot->data;
}

rill_slice
rill__loop_hot_slice(rill_loop *loop, size_t len)
{
    return (rill_slice){ .data = loop->hot->data, .len = len, .chunk = loop->hot };
}

void
rill__chunk_free_hot(rill_loop *loop)
{
    if (loop->hot != NULL)
        chunk_unref(loop->hot);
    loop->hot = NULL;
}

static int
over_budget(rill_loop *loop, size_t bytes)
{
    if (bytes <= loop->held_bytes_max && loop->held_bytes <= loop->held_bytes_max - bytes)
        return 0;
    return rill__fail(loop, RILL_ELIMIT, RILL_LAYER_LOOP,
        "rill_slice_hold: %zu bytes are held already, held_bytes_max is %zu", loop->held_bytes,
        loop->held_bytes_max);
}

static int
hold_copy(rill_loop *loop, rill_slice in, rill_slice *ret_held)
{
    struct rill_chunk *chunk;
    int rc = over_budget(loop, in.len);

    if (rc < 0)
        return rc;
    chunk = chunk_new(loop, in.len);
    if (chunk == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_slice_hold");
    memcpy(chunk->data, in.data, in.len);
    chunk->counted = true;
    loop->held_bytes += in.len;
    *ret_held = (rill_slice){ .data = chunk->data, .len = in.len, .chunk = chunk };
    return 0;
}

int
rill_slice_hold(rill_loop *loop, rill_slice in, rill_slice *ret_held)
{
    RILL__REQUIRE(loop != NULL && ret_held != NULL && (in.data != NULL || in.len == 0));
    rill__check_thread(loop, "rill_slice_hold");
    if (in.len == 0) {
        *ret_held = (rill_slice){ 0 };
        return 0;
    }
    if (in.chunk == NULL || in.len < HOLD_COPY_BELOW)
        return hold_copy(loop, in, ret_held);
    if (!in.chunk->counted) {
        int rc = over_budget(loop, in.chunk->bytes);

        if (rc < 0)
            return rc;
        in.chunk->counted = true;
        loop->held_bytes += in.chunk->bytes;
    }
    in.chunk->refs++;
    *ret_held = in;
    return 0;
}

void
rill_slice_release(rill_slice held)
{
    if (held.chunk == NULL)
        return;
    rill__check_thread(held.chunk->loop, "rill_slice_release");
    chunk_unref(held.chunk);
}
