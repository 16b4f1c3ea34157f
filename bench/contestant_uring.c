/*
 * The second floor: an echo server on raw io_uring, as cheap as this machine lets one be.
 *
 * One enter a turn submits, waits, and lets the kernel receive. Multishot accepts and receives into
 * one ring of buffers, which the kernel fills piece by piece where it can (Linux 6.12); what was
 * received is sent from where it lies, one send at a time for each connection, and a buffer goes
 * back when its last piece has been sent. Needs Linux 6.1.
 *
 * One thread; SIGTERM interrupts the wait and ends the loop.
 */
#define _GNU_SOURCE
#include "contestant_listen.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)
#endif

enum {
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 8192,
    BUFFERS = 64, /* A power of two. 32 suit 100 connections better, 128 a thousand of 100 KiB. */
    BUFFER_BYTES = 64 * 1024,
    GROUP = 1,
    INCREMENTAL = 2, /* IOU_PBUF_RING_INC */
    PIECES_MAX = 65536
};

enum tag { TAG_IGNORE, TAG_ACCEPT, TAG_RECEIVE, TAG_SEND, TAG_MASK = 7 };

struct piece {
    struct piece *next;
    unsigned char *data;
    unsigned len;
    unsigned buffer;
};

struct connection {
    int fd;
    bool receiving;
    bool ended;
    struct piece *first; /* In flight; what follows waits for it. */
    struct piece *last;
    struct connection *starved_next;
    struct connection *free_next;
};

struct buffer {
    unsigned used;
    unsigned pieces;
    bool kernels;
};

static struct {
    int fd;
    unsigned sq_mask, cq_mask, tail, queued;
    unsigned *sq_tail, *cq_head, *cq_tail;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
} ring;

static unsigned char memory[BUFFERS][BUFFER_BYTES] __attribute__((aligned(4096)));
static struct io_uring_buf_ring *buffer_ring;
static struct buffer buffers[BUFFERS];
static uint16_t buffer_tail;
static struct piece pieces[PIECES_MAX];
static struct piece *free_pieces;
static struct connection *free_connections;
static struct connection *starved; /* Their receives found no buffer; */
static bool given;                 /* now there is one. */
static int listen_fd;
static volatile sig_atomic_t stopping;

static void
on_term(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

/* ---- the ring ---- */

static void *
map(size_t bytes, off_t offset)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, offset);

    if (p == MAP_FAILED)
        contestant_die("mmap");
    return p;
}

static void
ring_open(void)
{
    struct io_uring_params p = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                          IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = CQ_ENTRIES };
    unsigned char *base;
    unsigned *array;

    ring.fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &p);
    if (ring.fd < 0) {
        perror("io_uring_setup");
        exit(CONTESTANT_NO_MODE);
    }
    /* The array lies behind the completions, the last of the three. */
    base = map(p.sq_off.array + p.sq_entries * sizeof(*array), IORING_OFF_SQ_RING);
    ring.sqes = map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring.sq_mask = p.sq_entries - 1;
    ring.cq_mask = p.cq_entries - 1;
    ring.sq_tail = (void *)(base + p.sq_off.tail);
    ring.cq_head = (void *)(base + p.cq_off.head);
    ring.cq_tail = (void *)(base + p.cq_off.tail);
    ring.cqes = (void *)(base + p.cq_off.cqes);
    array = (void *)(base + p.sq_off.array);
    for (unsigned i = 0; i < p.sq_entries; i++)
        array[i] = i;
}

static void
ring_enter(unsigned least)
{
    long submitted;

    __atomic_store_n(ring.sq_tail, ring.tail, __ATOMIC_RELEASE);
    submitted = syscall(
        SYS_io_uring_enter, ring.fd, ring.queued, least, IORING_ENTER_GETEVENTS, NULL, _NSIG / 8);
    if (submitted >= 0)
        ring.queued -= (unsigned)submitted;
    else if (errno != EINTR && errno != EAGAIN && errno != EBUSY)
        contestant_die("io_uring_enter");
}

static struct io_uring_sqe *
ring_entry(unsigned char opcode, int fd, void *who, enum tag tag)
{
    struct io_uring_sqe *sqe;

    while (ring.queued > ring.sq_mask)
        ring_enter(0);
    sqe = &ring.sqes[ring.tail++ & ring.sq_mask];
    ring.queued++;
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = (uint64_t)(uintptr_t)who | tag;
    return sqe;
}

/* ---- buffers ---- */

static void
buffer_give(unsigned id)
{
    struct io_uring_buf *entry = &buffer_ring->bufs[buffer_tail++ & (BUFFERS - 1)];

    buffers[id] = (struct buffer){ .kernels = true };
    entry->addr = (uint64_t)(uintptr_t)memory[id];
    entry->len = BUFFER_BYTES;
    entry->bid = (uint16_t)id;
    __atomic_store_n(&buffer_ring->tail, buffer_tail, __ATOMIC_RELEASE);
}

static void
buffers_open(void)
{
    struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = GROUP, .pad = INCREMENTAL };

    buffer_ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer_ring == MAP_FAILED)
        contestant_die("mmap");
    reg.ring_addr = (uint64_t)(uintptr_t)buffer_ring;
    if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0) {
        reg.pad = 0;
        if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
            contestant_die("io_uring_register");
    }
    for (unsigned i = 0; i < BUFFERS; i++)
        buffer_give(i);
    for (unsigned i = 0; i < PIECES_MAX; i++) {
        pieces[i].next = free_pieces;
        free_pieces = &pieces[i];
    }
}

/* ---- connections ---- */

static void
receive(struct connection *c)
{
    struct io_uring_sqe *sqe = ring_entry(IORING_OP_RECV, c->fd, c, TAG_RECEIVE);

    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    c->receiving = true;
}

static void
send_first(struct connection *c)
{
    struct io_uring_sqe *sqe = ring_entry(IORING_OP_SEND, c->fd, c, TAG_SEND);

    sqe->addr = (uint64_t)(uintptr_t)c->first->data;
    sqe->len = c->first->len;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
}

static void
piece_done(struct connection *c)
{
    struct piece *piece = c->first;
    struct buffer *buffer = &buffers[piece->buffer];

    c->first = piece->next;
    piece->next = free_pieces;
    free_pieces = piece;
    if (--buffer->pieces > 0 || buffer->kernels)
        return;
    buffer_give(piece->buffer);
    given = true;
}

/* All of them and not one for each buffer: who comes first may have nothing to read, and one buffer
 * has room for many. Who finds none again comes back. */
static void
starved_receive(void)
{
    struct connection *c = starved;

    starved = NULL;
    for (; c != NULL; c = c->starved_next)
        receive(c);
}

static void
close_if_ended(struct connection *c)
{
    if (!c->ended || c->receiving || c->first != NULL)
        return;
    (void)ring_entry(IORING_OP_CLOSE, c->fd, NULL, TAG_IGNORE);
    c->free_next = free_connections;
    free_connections = c;
}

static void
accepted(const struct io_uring_cqe *cqe)
{
    struct connection *c = free_connections;

    if (cqe->res >= 0) {
        if (c != NULL)
            free_connections = c->free_next;
        else if ((c = malloc(sizeof(*c))) == NULL)
            contestant_die("malloc");
        memset(c, 0, sizeof(*c));
        c->fd = cqe->res;
        receive(c);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        struct io_uring_sqe *sqe = ring_entry(IORING_OP_ACCEPT, listen_fd, NULL, TAG_ACCEPT);

        sqe->ioprio = IORING_ACCEPT_MULTISHOT;
        sqe->accept_flags = SOCK_CLOEXEC;
    }
}

static void
keep(struct connection *c, unsigned id, unsigned len, bool more)
{
    struct buffer *buffer = &buffers[id];
    struct piece *piece = free_pieces;

    if (piece == NULL) {
        fprintf(stderr, "more than %d pieces wait\n", PIECES_MAX);
        exit(1);
    }
    free_pieces = piece->next;
    *piece = (struct piece){ NULL, memory[id] + buffer->used, len, id };
    buffer->used += len;
    buffer->kernels = more;
    buffer->pieces++;
    if (c->first != NULL) {
        c->last->next = piece;
        c->last = piece;
        return;
    }
    c->first = c->last = piece;
    send_first(c);
}

static void
received(struct connection *c, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        c->receiving = false;
    if (cqe->res > 0)
        keep(c, cqe->flags >> IORING_CQE_BUFFER_SHIFT, (unsigned)cqe->res,
            (cqe->flags & IORING_CQE_F_BUF_MORE) != 0);
    else if (cqe->res != -ENOBUFS)
        c->ended = true;
    if (cqe->res == -ENOBUFS) {
        c->starved_next = starved;
        starved = c;
    } else if (!c->receiving && !c->ended) {
        receive(c);
    }
    close_if_ended(c);
}

static void
sent(struct connection *c, const struct io_uring_cqe *cqe)
{
    if (cqe->res > 0 && (unsigned)cqe->res < c->first->len) {
        c->first->data += cqe->res;
        c->first->len -= (unsigned)cqe->res;
        send_first(c);
        return;
    }
    piece_done(c);
    if (cqe->res < 0) { /* The receive ends by itself: the peer has gone. */
        while (c->first != NULL)
            piece_done(c);
    }
    if (c->first != NULL)
        send_first(c);
    close_if_ended(c);
}

static void
handle(const struct io_uring_cqe *cqe)
{
    struct connection *c = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);

    switch (cqe->user_data & TAG_MASK) {
    case TAG_ACCEPT:
        accepted(cqe);
        break;
    case TAG_RECEIVE:
        received(c, cqe);
        break;
    case TAG_SEND:
        sent(c, cqe);
        break;
    default:
        break;
    }
}

static void
serve(void)
{
    accepted(&(struct io_uring_cqe){ .res = -EAGAIN }); /* Asks for the first ones. */
    while (!stopping) {
        unsigned head = *ring.cq_head;

        ring_enter(1);
        while (head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
            struct io_uring_cqe cqe = ring.cqes[head & ring.cq_mask];

            __atomic_store_n(ring.cq_head, ++head, __ATOMIC_RELEASE);
            handle(&cqe);
        }
        if (given && starved != NULL)
            starved_receive();
        given = false;
    }
}

int
main(int argc, char **argv)
{
    struct contestant_where where = contestant_parse(argc, argv, "uring", "0");
    struct sigaction action = { .sa_handler = on_term };

    (void)sigaction(SIGTERM, &action, NULL); /* Cannot fail for SIGTERM. */
    listen_fd = contestant_listen(where);
    ring_open();
    buffers_open();
    serve();
    return 0;
}
