/*
 * Buffers that the kernel receives into by its own choice: a ring of them, shared with it.
 */
#ifndef RILL__URING_BUFFERS_H
#define RILL__URING_BUFFERS_H

#include "core/driver/driver.h"
#include "core/driver/uring/ring.h"

#define URING_BUFFERS_MAX  256 /* A power of two: the ring's size. */
#define URING_BUFFER_GROUP 0

typedef struct uring_buffer {
    uint8_t *data;
    uint32_t used; /* Where the kernel writes next. */
    uint16_t refs; /* Pieces of it that have not been consumed. */
    bool kernels;  /* It may still be written to. */
} uring_buffer;

typedef struct uring_buffers {
    rill_loop *loop;
    struct io_uring_buf_ring *ring; /* NULL before the first use. */
    size_t buffer_bytes;
    uint16_t count;
    uint16_t tail;
    bool incremental; /* A buffer takes several receives, until it is full. */
    uring_buffer buffers[URING_BUFFERS_MAX];
} uring_buffers;

void uring_buffers_init(uring_buffers *self, rill_loop *loop);
/* After this the kernel must not know the ring any more. */
void uring_buffers_done(uring_buffers *self);

/* Make the kernel of `fd` know the ring, with buffers in it. 0; -ENOMEM; -EINVAL and others. */
int uring_buffers_register(uring_buffers *self, int fd);

/* More buffers, since there were too few; false: there are as many as may be, or no memory. */
bool uring_buffers_grow(uring_buffers *self);

/* The kernel has written `len` bytes into buffer `id`: where they are. One reference is taken. */
uint8_t *uring_buffers_received(uring_buffers *self, uint16_t id, size_t len, bool more);
void uring_buffers_unref(uring_buffers *self, uint16_t id);

#endif
