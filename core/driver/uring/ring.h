/*
 * One io_uring: two queues shared with the kernel, on the raw system calls.
 *
 * Needs Linux 6.1 (Debian 12): deferred task work is not only cheaper, it is what makes the rest
 * simple. The kernel receives and accepts inside our own call of enter, never while callbacks run,
 * so what is in the completion queue after a wait is all that was taken off the sockets.
 */
#ifndef RILL__URING_RING_H
#define RILL__URING_RING_H

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/base.h>

/* Newer than Debian's headers. */
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4) /* 6.12: the kernel goes on in the same buffer. */
#endif
#define URING_PBUF_INCREMENTAL 2 /* IOU_PBUF_RING_INC, 6.12 */

typedef struct uring_ring {
    int fd;
    bool enabled; /* By the thread that waits first: only it may submit from then on. */
    unsigned sq_mask;
    unsigned cq_mask;
    unsigned queued; /* Entries that the kernel has not been given yet. */
    unsigned sq_tail;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    _Atomic unsigned *sq_head_shared;
    _Atomic unsigned *sq_tail_shared;
    _Atomic unsigned *sq_flags;
    _Atomic unsigned *cq_head_shared;
    _Atomic unsigned *cq_tail_shared;
    void *queues; /* Both rings, one mapping. */
    size_t queues_bytes;
    size_t sqes_bytes;
} uring_ring;

/* 0; -ENOSYS, -EPERM and others where io_uring is refused or too old. */
int uring_ring_open(uring_ring *ring);
void uring_ring_close(uring_ring *ring);
/* The kernel ends every request; entries can still be written, and go nowhere. */
void uring_ring_shut(uring_ring *ring);

/* An entry to fill in, zeroed; NULL when the queue is full and the kernel takes nothing now. */
struct io_uring_sqe *uring_ring_entry(uring_ring *ring);

/* Submit only: no deferred work is run. 0; -EEXIST: another thread's ring; others. */
int uring_ring_submit(uring_ring *ring);

static inline bool
uring_ring_is_full(const uring_ring *ring)
{
    return ring->queued > ring->sq_mask;
}

/* Submit, run what the kernel has deferred, and wait for `least` completions or `timeout`
 * (RILL_NEVER: for ever). 0; -ETIME; -EINTR; -EEXIST: another thread's ring; others. */
int uring_ring_enter(uring_ring *ring, unsigned least, rill_ns timeout);

/* The kernel has something for us that only enter brings. */
static inline bool
uring_ring_has_deferred(const uring_ring *ring)
{
    return (atomic_load_explicit(ring->sq_flags, memory_order_relaxed) &
               (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static inline bool
uring_ring_overflows(const uring_ring *ring)
{
    return (atomic_load_explicit(ring->sq_flags, memory_order_relaxed) & IORING_SQ_CQ_OVERFLOW) !=
           0;
}

/* The next completion, or NULL. It stays until uring_ring_seen. */
static inline const struct io_uring_cqe *
uring_ring_peek(const uring_ring *ring)
{
    unsigned head = atomic_load_explicit(ring->cq_head_shared, memory_order_relaxed);

    if (head == atomic_load_explicit(ring->cq_tail_shared, memory_order_acquire))
        return NULL;
    return &ring->cqes[head & ring->cq_mask];
}

static inline void
uring_ring_seen(uring_ring *ring)
{
    unsigned head = atomic_load_explicit(ring->cq_head_shared, memory_order_relaxed);

    atomic_store_explicit(ring->cq_head_shared, head + 1, memory_order_release);
}

/* Does it support every operation that the driver asks for? */
bool uring_knows_all(const struct io_uring_probe *probe);

int uring_register(int fd, unsigned opcode, const void *arg, unsigned count);

#endif
