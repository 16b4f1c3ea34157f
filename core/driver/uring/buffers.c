/*
 * The ring of receive buffers.
 *
 * Few and hot: it starts with BUFFERS_STEP buffers and grows only when the kernel has found none.
 * Where the kernel can (6.12), it fills a buffer receive by receive, so that small messages of many
 * connections lie side by side. A buffer goes back when the kernel has left it and all its pieces
 * have been consumed. Invariant: a buffer is the kernel's, or has pieces, or is in the ring again.
 * Loop thread only.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/driver/uring/buffers.h"
#include "core/internal.h"

#define BUFFERS_STEP 16
#define BUFFER_BYTES ((size_t)32 * 1024)
#define RING_BYTES   (URING_BUFFERS_MAX * sizeof(struct io_uring_buf))

void
uring_buffers_init(uring_buffers *self, rill_loop *loop)
{
    memset(self, 0, sizeof(*self));
    self->loop = loop;
    self->buffer_bytes = BUFFER_BYTES;
}

void
uring_buffers_done(uring_buffers *self)
{
    for (uint16_t i = 0; i < self->count; i++)
        rill__free(self->loop, self->buffers[i].data, self->buffer_bytes, RILL_TAG_CHUNK);
    if (self->ring != NULL)
        (void)munmap(self->ring, RING_BYTES);
    uring_buffers_init(self, self->loop);
}

static void
give(uring_buffers *self, uint16_t id)
{
    uring_buffer *buffer = &self->buffers[id];
    struct io_uring_buf *entry = &self->ring->bufs[self->tail & (URING_BUFFERS_MAX - 1)];

    buffer->used = 0;
    buffer->kernels = true;
    entry->addr = (uint64_t)(uintptr_t)buffer->data;
    entry->len = (uint32_t)self->buffer_bytes;
    entry->bid = id;
    self->tail++;
    __atomic_store_n(&self->ring->tail, self->tail, __ATOMIC_RELEASE);
}

bool
uring_buffers_grow(uring_buffers *self)
{
    uint16_t before = self->count;

    while (self->count < URING_BUFFERS_MAX && self->count < before + BUFFERS_STEP) {
        uint8_t *data = rill__alloc_zeroed(self->loop, self->buffer_bytes, RILL_TAG_CHUNK);

        if (data == NULL)
            break;
        self->buffers[self->count] = (uring_buffer){ .data = data };
        give(self, self->count++);
    }
    return self->count > before;
}

static int
register_ring(uring_buffers *self, int fd, uint16_t flags)
{
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)self->ring,
        .ring_entries = URING_BUFFERS_MAX,
        .bgid = URING_BUFFER_GROUP,
        .pad = flags };

    return uring_register(fd, IORING_REGISTER_PBUF_RING, &reg, 1);
}

static int
map_ring(uring_buffers *self)
{
    void *ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (ring == MAP_FAILED)
        return -errno;
    self->ring = ring;
    return 0;
}

/* For a second ring after a first one: all that nobody refers to goes in again. */
static void
give_all(uring_buffers *self)
{
    self->tail = 0;
    memset(self->ring, 0, RING_BYTES);
    for (uint16_t i = 0; i < self->count; i++) {
        self->buffers[i].kernels = false;
        if (self->buffers[i].refs == 0)
            give(self, i);
    }
}

int
uring_buffers_register(uring_buffers *self, int fd)
{
    int rc = self->ring == NULL ? map_ring(self) : 0;

    if (rc < 0)
        return rc;
    give_all(self);
    if (self->count == 0 && !uring_buffers_grow(self))
        return -ENOMEM;
    self->incremental = register_ring(self, fd, URING_PBUF_INCREMENTAL) >= 0;
    return self->incremental ? 0 : register_ring(self, fd, 0);
}

uint8_t *
uring_buffers_received(uring_buffers *self, uint16_t id, size_t len, bool more)
{
    uring_buffer *buffer = &self->buffers[id];
    uint8_t *data = buffer->data + buffer->used;

    assert(id < self->count && buffer->kernels && buffer->used + len <= self->buffer_bytes);
    buffer->used += (uint32_t)len;
    buffer->kernels = more;
    buffer->refs++;
    return data;
}

void
uring_buffers_unref(uring_buffers *self, uint16_t id)
{
    uring_buffer *buffer = &self->buffers[id];

    rill__check(buffer->refs > 0);
    if (--buffer->refs == 0 && !buffer->kernels)
        give(self, id);
}
