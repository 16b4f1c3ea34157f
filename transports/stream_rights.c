/*
 * Descriptors that travel with the bytes of a Unix stream.
 *
 * Outbound they belong to the first byte of one write: sent with it at once, or queued as
 * duplicates in that byte's segment (queue.c). Inbound they are kept in order of arrival until the
 * user takes them: they are there at the latest when the byte is delivered that they came with.
 * Loop thread only.
 */
#include <errno.h>

#include "transports/stream.h"

typedef struct rill__stream_rights {
    size_t max;
    size_t first;
    size_t count;
    int fds[]; /* A ring of `max`. */
} rights;

static const rill__driver_ops *
ops_of(const rill_transport *t)
{
    return t->loop->ops;
}

/* ---- receiving ---- */

static size_t
bytes_of(size_t max)
{
    return sizeof(rights) + max * sizeof(int);
}

/* NULL: none are accepted, or there was no memory for them. */
static rights *
rights_of(const stream *s)
{
    return s->io.kind == RILL__IO_RIGHTS ? ((const accepting_stream *)s)->rights : NULL;
}

int
rill__stream_rights_init(stream *s, size_t max)
{
    rights *self = rill__alloc_zeroed(rill__base(s)->loop, bytes_of(max), RILL_TAG_TRANSPORT);

    if (self == NULL)
        return -ENOMEM;
    self->max = max;
    ((accepting_stream *)s)->rights = self;
    return 0;
}

static int
take(rights *self)
{
    int fd = self->fds[self->first];

    self->first = (self->first + 1) % self->max;
    self->count--;
    return fd;
}

void
rill__stream_rights_free(stream *s)
{
    rill_transport *t = rill__base(s);
    rights *self = rights_of(s);

    if (self == NULL)
        return;
    while (self->count > 0)
        ops_of(t)->rights->discard(t->loop->driver, take(self));
    rill__free(t->loop, self, bytes_of(self->max), RILL_TAG_TRANSPORT);
}

bool
rill__stream_holds_descriptors(const stream *s)
{
    const rights *self = rights_of(s);

    return self != NULL && self->count > 0;
}

int64_t
rill__stream_rights_recv(stream *s, void *buf, size_t len)
{
    rill_transport *t = rill__base(s);
    rights *self = rights_of(s);
    size_t room = self->max - self->count;
    int fds[RILL__RIGHTS_MAX];
    size_t count;
    int64_t got = ops_of(t)->rights->recv(t->loop->driver, &s->io, buf, len, fds,
        room < RILL__RIGHTS_MAX ? room : RILL__RIGHTS_MAX, &count);

    for (size_t i = 0; i < count; i++)
        self->fds[(self->first + self->count++) % self->max] = fds[i];
    if (got != -EMSGSIZE)
        return got;
    rill__stream_die(s, RILL_ELIMIT, RILL_LAYER_TRANSPORT,
        "the peer passed more descriptors than the option `descriptors` lets wait", true);
    return -EAGAIN;
}

int
rill__stream_take_descriptor(rill_transport *t, void *impl)
{
    rights *self = rights_of(impl);

    (void)t;
    if (self == NULL)
        return RILL_ENOTSUP;
    return self->count > 0 ? take(self) : -EAGAIN;
}

/* ---- sending ---- */

/* What is queued: duplicates, as the caller's may be closed by then. */
typedef struct shipment {
    rill_loop *loop;
    rill__passing passing; /* Last: its descriptors follow. */
} shipment;

static size_t
shipment_bytes(size_t count)
{
    return sizeof(shipment) + count * sizeof(int);
}

static void
shipment_free(void *arg)
{
    shipment *self = arg;

    for (size_t i = 0; i < self->passing.count; i++)
        self->loop->ops->rights->discard(self->loop->driver, self->passing.fds[i]);
    rill__free(self->loop, self, shipment_bytes(self->passing.count), RILL_TAG_WRITE);
}

static int
shipment_new(rill_loop *loop, const int *fds, size_t count, shipment **ret_shipment)
{
    shipment *self = rill__alloc(loop, shipment_bytes(count), RILL_TAG_WRITE);
    int fd = 0;

    if (self == NULL)
        return -ENOMEM;
    self->loop = loop;
    for (self->passing.count = 0; self->passing.count < count; self->passing.count++) {
        fd = loop->ops->rights->duplicate(loop->driver, fds[self->passing.count]);
        if (fd < 0)
            break;
        self->passing.fds[self->passing.count] = fd;
    }
    if (fd < 0) {
        size_t made = self->passing.count;

        for (size_t i = 0; i < made; i++)
            loop->ops->rights->discard(loop->driver, self->passing.fds[i]);
        rill__free(loop, self, shipment_bytes(count), RILL_TAG_WRITE);
        return fd;
    }
    *ret_shipment = self;
    return 0;
}

static int
queue(stream *s, const void *data, size_t len, const int *fds, size_t count)
{
    rill_transport *t = rill__base(s);
    bool was_empty = rill__queue_is_empty(&s->queue);
    shipment *shipped;
    int rc = shipment_new(t->loop, fds, count, &shipped);

    if (rc < 0)
        return rc;
    rc = rill__queue_append_passing(
        t->loop, &s->queue, data, len, &shipped->passing, shipment_free, shipped);
    if (rc < 0) {
        shipment_free(shipped);
        return rc;
    }
    if (was_empty && !s->file_active)
        rill__stream_start_send(s);
    rill_transport_account(t, (int64_t)len, 0);
    return 0;
}

/* All of it, or the first of it: what is left is queued as any bytes are. */
static int
sent(stream *s, const void *data, size_t len, size_t taken)
{
    rill_transport *t = rill__base(s);
    int rc = 0;

    rill__deadlines_sent(s);
    if (taken < len)
        rc = rill__queue_append(t->loop, &s->queue, (const uint8_t *)data + taken, len - taken);
    if (rc < 0) {
        rill__stream_die(s, rc, RILL_LAYER_SYSTEM, NULL, true);
        taken = len;
    }
    if (taken < len)
        rill__stream_start_send(s);
    rill_transport_account(t, (int64_t)(len - taken), taken);
    return 0;
}

/* The peer has gone, or is it what we were given? */
static bool
is_of_the_peer(int64_t code)
{
    return code == -EPIPE || code == -ECONNRESET || code == -ENOTCONN;
}

int
rill__stream_write_descriptors(
    rill_transport *t, void *impl, const void *data, size_t len, const int *fds, size_t count)
{
    stream *s = impl;
    rill__iov part = { data, len };
    int64_t taken;

    rill__stream_flush_staged(t->loop);
    if (s->phase == STREAM_OPEN && rill__queue_is_empty(&s->queue))
        (void)rill__stream_all_sent(s);
    if (s->phase != STREAM_OPEN)
        return 0; /* The loss is on its way; it tells. */
    if (!rill__queue_is_empty(&s->queue))
        return queue(s, data, len, fds, count);
    taken = ops_of(t)->rights->send_now(t->loop->driver, &s->io, &part, 1, fds, count);
    if (taken == -EAGAIN)
        return queue(s, data, len, fds, count);
    if (taken >= 0)
        return sent(s, data, len, (size_t)taken);
    if (!is_of_the_peer(taken))
        return (int)taken;
    rill__stream_write_failed(s, (int)taken);
    return 0;
}
