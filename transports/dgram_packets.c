/*
 * Datagrams that wait: those the kernel had no room for, and those that came in a pause.
 *
 * They lie packed in chunks, each behind its address, and never span two. The last chunk stays when
 * all are gone, so that a queue which fills and drains again and again allocates nothing. Loop
 * thread only.
 */
#include <errno.h>

#include "transports/dgram.h"

#define CHUNK_BYTES ((size_t)16 * 1024)

struct rill__packets_chunk {
    rill__packets_chunk *next;
    size_t size; /* Of data. */
    size_t start;
    size_t end;
    _Alignas(8) uint8_t data[];
};

/* The datagram's bytes follow it. */
typedef struct packet {
    size_t len;
    bool has_address;
    rill_addr to;
} packet;

static size_t
room_for(size_t len)
{
    return sizeof(packet) + (len + 7) / 8 * 8;
}

static packet *
packet_at(rill__packets_chunk *chunk, size_t at)
{
    assert(at % _Alignof(packet) == 0 && at < chunk->end);
    return (packet *)(void *)(chunk->data + at);
}

static rill__packets_chunk *
chunk_new(rill_loop *loop, size_t size)
{
    rill__packets_chunk *chunk = rill__alloc(loop, sizeof(*chunk) + size, RILL_TAG_WRITE);

    if (chunk != NULL)
        *chunk = (rill__packets_chunk){ .size = size };
    return chunk;
}

static void
chunk_free(rill_loop *loop, rill__packets_chunk *chunk)
{
    rill__free(loop, chunk, sizeof(*chunk) + chunk->size, RILL_TAG_WRITE);
}

static void
pop_chunk(rill_loop *loop, rill__packets *packets)
{
    rill__packets_chunk *chunk = packets->head;

    packets->head = chunk->next;
    if (packets->head == NULL)
        packets->tail = NULL;
    chunk_free(loop, chunk);
}

static int
have_room(rill_loop *loop, rill__packets *packets, size_t bytes)
{
    rill__packets_chunk *chunk = packets->tail;

    if (chunk != NULL && chunk->size - chunk->end >= bytes)
        return 0;
    chunk = chunk_new(loop, bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES);
    if (chunk == NULL)
        return -ENOMEM;
    if (packets->count == 0 && packets->head != NULL)
        pop_chunk(loop, packets); /* The kept one is too small. */
    if (packets->tail != NULL)
        packets->tail->next = chunk;
    else
        packets->head = chunk;
    packets->tail = chunk;
    return 0;
}

int
rill__packets_reserve(
    rill_loop *loop, rill__packets *packets, size_t len, const rill_addr *to, void **ret_data)
{
    size_t bytes = room_for(len);
    rill__packets_chunk *chunk;
    packet *p;
    int rc = have_room(loop, packets, bytes);

    if (rc < 0)
        return rc;
    chunk = packets->tail;
    p = (packet *)(void *)(chunk->data + chunk->end);
    chunk->end += bytes;
    p->len = len;
    p->has_address = to != NULL;
    if (to != NULL)
        p->to = *to;
    packets->count++;
    *ret_data = p + 1;
    return 0;
}

int
rill__packets_append(
    rill_loop *loop, rill__packets *packets, const void *data, size_t len, const rill_addr *to)
{
    void *into;
    int rc = rill__packets_reserve(loop, packets, len, to, &into);

    if (rc == 0 && len > 0)
        memcpy(into, data, len);
    return rc;
}

size_t
rill__packets_peek(const rill__packets *packets, rill__departing *departing, size_t max)
{
    size_t count = 0;

    for (rill__packets_chunk *chunk = packets->head; chunk != NULL && count < max;
         chunk = chunk->next) {
        for (size_t at = chunk->start; at < chunk->end && count < max;) {
            const packet *p = packet_at(chunk, at);

            departing[count++] = (rill__departing){ p + 1, p->len, p->has_address ? &p->to : NULL };
            at += room_for(p->len);
        }
    }
    return count;
}

size_t
rill__packets_consume(rill_loop *loop, rill__packets *packets, size_t count)
{
    size_t cost = 0;

    for (; count > 0; count--) {
        rill__packets_chunk *chunk = packets->head;
        const packet *p = packet_at(chunk, chunk->start);

        cost += rill__packet_cost(p->len);
        chunk->start += room_for(p->len);
        packets->count--;
        if (chunk->start < chunk->end)
            continue;
        chunk->start = chunk->end = 0;
        if (chunk->next != NULL)
            pop_chunk(loop, packets);
    }
    return cost;
}

size_t
rill__packets_clear(rill_loop *loop, rill__packets *packets)
{
    size_t cost = rill__packets_consume(loop, packets, packets->count);

    while (packets->head != NULL)
        pop_chunk(loop, packets);
    return cost;
}
