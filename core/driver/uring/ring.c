/*
 * The system calls of io_uring and its two queues.
 *
 * The ring starts disabled: the thread that waits first enables it and becomes its only submitter.
 * Entries are written where the tail is and published together at the next enter. The queue of
 * completions is large, and what does not fit into it the kernel keeps until the next enter.
 * Loop thread only.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/driver/uring/ring.h"

#define SQ_ENTRIES  256u
#define CQ_ENTRIES  4096u
#define PROBE_OPS   64u
#define PROBE_BYTES (sizeof(struct io_uring_probe) + PROBE_OPS * sizeof(struct io_uring_probe_op))
#define SETUP_FLAGS                                                                           \
    (IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |                     \
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | \
        IORING_SETUP_R_DISABLED)
#define FEATURES \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP)

static_assert(sizeof(unsigned) == sizeof(_Atomic unsigned), "the kernel's words are plain");

int
uring_register(int fd, unsigned opcode, const void *arg, unsigned count)
{
    long rc = syscall(SYS_io_uring_register, fd, opcode, arg, count);

    return rc < 0 ? -errno : (int)rc;
}

static void *
map(int fd, size_t bytes, uint64_t offset)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
}

static size_t
largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int
map_queues(uring_ring *ring, const struct io_uring_params *p)
{
    uint8_t *base;
    unsigned *array;

    ring->queues_bytes = largest(p->sq_off.array + p->sq_entries * sizeof(unsigned),
        p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe));
    ring->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
    ring->queues = map(ring->fd, ring->queues_bytes, IORING_OFF_SQ_RING);
    if (ring->queues == MAP_FAILED)
        return -errno;
    ring->sqes = map(ring->fd, ring->sqes_bytes, IORING_OFF_SQES);
    if (ring->sqes == MAP_FAILED) {
        int rc = -errno;

        (void)munmap(ring->queues, ring->queues_bytes);
        return rc;
    }
    base = ring->queues;
    ring->sq_mask = p->sq_entries - 1;
    ring->cq_mask = p->cq_entries - 1;
    ring->sq_head_shared = (void *)(base + p->sq_off.head);
    ring->sq_tail_shared = (void *)(base + p->sq_off.tail);
    ring->sq_flags = (void *)(base + p->sq_off.flags);
    ring->cq_head_shared = (void *)(base + p->cq_off.head);
    ring->cq_tail_shared = (void *)(base + p->cq_off.tail);
    ring->cqes = (void *)(base + p->cq_off.cqes);
    /* The kernel's queue is one of indices: entry i is always sqes[i]. */
    array = (void *)(base + p->sq_off.array);
    for (unsigned i = 0; i < p->sq_entries; i++)
        array[i] = i;
    return 0;
}

bool
uring_knows_all(const struct io_uring_probe *probe)
{
    static const uint8_t needed[] = { IORING_OP_POLL_ADD, IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL,
        IORING_OP_CLOSE, IORING_OP_SEND, IORING_OP_RECV };

    for (size_t i = 0; i < sizeof(needed); i++) {
        if (needed[i] >= probe->ops_len ||
            (probe->ops[needed[i]].flags & IO_URING_OP_SUPPORTED) == 0)
            return false;
    }
    return true;
}

/* The features say what a kernel of this age can do, but some leave operations out. */
static int
probe(uring_ring *ring)
{
    _Alignas(struct io_uring_probe) uint8_t room[PROBE_BYTES] = { 0 };
    struct io_uring_probe *known = (void *)room;
    int rc = uring_register(ring->fd, IORING_REGISTER_PROBE, known, PROBE_OPS);

    return rc < 0 || !uring_knows_all(known) ? -ENOSYS : 0;
}

int
uring_ring_open(uring_ring *ring)
{
    struct io_uring_params params;
    int rc;

    memset(ring, 0, sizeof(*ring));
    memset(&params, 0, sizeof(params));
    params.flags = SETUP_FLAGS;
    params.cq_entries = CQ_ENTRIES;
    ring->fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
    if (ring->fd < 0)
        return errno == EINVAL ? -ENOSYS : -errno; /* EINVAL: flags that it does not know. */
    rc = (params.features & FEATURES) == FEATURES ? probe(ring) : -ENOSYS;
    if (rc >= 0)
        rc = map_queues(ring, &params);
    if (rc < 0)
        (void)close(ring->fd);
    return rc;
}

void
uring_ring_close(uring_ring *ring)
{
    (void)munmap(ring->sqes, ring->sqes_bytes);
    (void)munmap(ring->queues, ring->queues_bytes);
    uring_ring_shut(ring);
}

void
uring_ring_shut(uring_ring *ring)
{
    if (ring->fd >= 0)
        (void)close(ring->fd);
    ring->fd = -1;
    ring->queued = 0;
}

static int
enable(uring_ring *ring)
{
    int rc = uring_register(ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    ring->enabled = rc >= 0;
    return rc;
}

static void
publish(uring_ring *ring)
{
    atomic_store_explicit(ring->sq_tail_shared, ring->sq_tail, memory_order_release);
}

static int
enter(uring_ring *ring, unsigned least, unsigned flags, const void *arg, size_t arg_bytes)
{
    long rc;

    if (!ring->enabled) {
        rc = enable(ring);
        if (rc < 0)
            return (int)rc;
    }
    publish(ring);
    rc = syscall(SYS_io_uring_enter, ring->fd, ring->queued, least, flags, arg, arg_bytes);
    if (rc < 0)
        return -errno;
    assert((unsigned)rc <= ring->queued);
    ring->queued -= (unsigned)rc;
    return 0;
}

int
uring_ring_submit(uring_ring *ring)
{
    return enter(ring, 0, 0, NULL, 0);
}

struct io_uring_sqe *
uring_ring_entry(uring_ring *ring)
{
    struct io_uring_sqe *sqe;

    if (uring_ring_is_full(ring) && (uring_ring_submit(ring) < 0 || uring_ring_is_full(ring)))
        return NULL;
    sqe = &ring->sqes[ring->sq_tail++ & ring->sq_mask];
    ring->queued++;
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

int
uring_ring_enter(uring_ring *ring, unsigned least, rill_ns timeout)
{
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg arg = { .sigmask_sz = _NSIG / 8 };
    unsigned flags = IORING_ENTER_GETEVENTS;

    if (least == 0 || timeout == RILL_NEVER)
        return enter(ring, least, flags, NULL, _NSIG / 8);
    ts.tv_sec = timeout / RILL_S;
    ts.tv_nsec = timeout % RILL_S;
    arg.ts = (uint64_t)(uintptr_t)&ts;
    return enter(ring, least, flags | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
}
