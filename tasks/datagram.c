/*
 * Datagram sockets for tasks: the protocol between an endpoint and those who receive and send.
 *
 * A datagram that arrives while a task waits for one is copied to where that task wants it; others
 * are queued up to a bound, then dropped. It lives until it is closed, its transport is lost and
 * nobody waits in it (`pins`). Invariants: tasks wait to receive only while the queue is empty and
 * no error is to be told. Loop thread only.
 */
#include "tasks/stream.h"
#include "transports/dgram.h"

struct rill_datagram {
    uint32_t magic;
    uint32_t pins; /* Tasks inside a call, and the transport. */
    rill_loop *loop;
    const char *site;
    rill_transport *t; /* NULL: lost. */
    rill__packets queue;
    size_t queued_bytes;
    uint64_t dropped;
    int error; /* Of the network, to be told once; */
    int code;  /* and of the end. */
    bool made;
    bool closed;
    bool paused;
    rill__link receivers;
    rill__link senders;
};

#define LIVE UINT32_C(0xda7a94a3)
#define DEAD UINT32_C(0xdeadda7a)

/* One that waits; on its stack. */
typedef struct receiver {
    rill__flow_wait wait;
    uint8_t *buf;
    size_t cap;
    int64_t got;
    rill_received received;
} receiver;

static void
check(const rill_datagram *d, const char *function)
{
    if (RILL__UNLIKELY(d->magic != LIVE || d->closed))
        rill__panic("%s: %p is no live datagram socket: %s", function, (const void *)d,
            d->magic == DEAD || d->magic == LIVE ? "it was closed" : "the pointer never was one");
    rill__check_thread(d->loop, function);
}

static int
may_wait(rill__fiber *fiber, const rill_datagram *d, const char *function)
{
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    check(d, function);
    if (RILL__UNLIKELY(fiber->loop != d->loop))
        return rill__refuse_foreign(fiber, d->site);
    return rill__may_wait(fiber);
}

static void
unpin(rill_datagram *d)
{
    rill_loop *loop = d->loop;

    if (--d->pins > 0)
        return;
    (void)rill__packets_clear(loop, &d->queue);
    loop->futures--;
    d->magic = DEAD;
    rill__pool_release(loop, d, sizeof(*d), sizeof(d->magic));
}

/* ---- receiving ---- */

static void
tell_of(rill_received *received, const rill_arrival *arrival)
{
    *received = (rill_received){ .from = *arrival->from,
        .interface = arrival->interface,
        .tos = arrival->tos,
        .truncated = arrival->truncated };
    if (arrival->to != NULL)
        received->to = *arrival->to;
}

static int64_t
copy_out(receiver *to, const uint8_t *data, size_t len)
{
    size_t n = len < to->cap ? len : to->cap;

    if (n > 0)
        memcpy(to->buf, data, n);
    to->received.truncated = to->received.truncated || n < len;
    return (int64_t)n;
}

static void
keep(rill_datagram *d, rill_slice in, const rill_arrival *arrival)
{
    size_t cost = rill__packet_cost(in.len);
    rill_received *kept;
    void *into;

    if (d->closed || d->queue.count >= RILL_DATAGRAM_QUEUE_MAX ||
        cost > RILL_DATAGRAM_QUEUE_BYTES - d->queued_bytes ||
        rill__packets_reserve(d->loop, &d->queue, sizeof(*kept) + in.len, NULL, &into) < 0) {
        d->dropped++;
        return;
    }
    kept = into;
    tell_of(kept, arrival);
    if (in.len > 0)
        memcpy(kept + 1, in.data, in.len);
    d->queued_bytes += cost;
}

static void
on_datagram(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    rill_datagram *d = self;
    rill__flow_wait *first;
    receiver *r;

    (void)t;
    if (rill__list_empty(&d->receivers)) {
        keep(d, in, arrival);
        return;
    }
    first = RILL__CONTAINER(d->receivers.next, rill__flow_wait, link);
    r = RILL__CONTAINER(first, receiver, wait);
    rill__list_remove(&first->link);
    tell_of(&r->received, arrival);
    r->got = copy_out(r, in.data, in.len);
    rill__wake(first->wait.fiber, 0);
}

static void
on_error(rill_transport *t, void *self, int code)
{
    rill_datagram *d = self;
    rill__flow_wait *first;

    (void)t;
    if (rill__list_empty(&d->receivers)) {
        d->error = code;
        return;
    }
    first = RILL__CONTAINER(d->receivers.next, rill__flow_wait, link);
    rill__list_remove(&first->link);
    rill__wake(first->wait.fiber, code);
}

static int64_t
take_first(rill_datagram *d, receiver *r)
{
    rill__departing first;
    size_t len;

    (void)rill__packets_peek(&d->queue, &first, 1);
    len = first.len - sizeof(r->received);
    memcpy(&r->received, first.data, sizeof(r->received));
    r->got = copy_out(r, (const uint8_t *)first.data + sizeof(r->received), len);
    (void)rill__packets_consume(d->loop, &d->queue, 1);
    d->queued_bytes -= rill__packet_cost(len);
    return r->got;
}

static int64_t
receive(rill__fiber *fiber, rill_datagram *d, receiver *r)
{
    int rc = d->error;
    int64_t got;

    if (d->queue.count > 0) {
        got = take_first(d, r);
        rill__spend(fiber);
        return got;
    }
    d->error = 0;
    if (rc < 0)
        return rc;
    if (d->t == NULL)
        return d->code;
    r->wait.wait.site = d->site;
    d->pins++;
    rc = rill__flow_wait_for(fiber, &d->receivers, &r->wait);
    unpin(d);
    return rc < 0 ? rc : r->got;
}

int64_t
rill_datagram_recv(rill_datagram *d, void *buf, size_t cap, rill_received *ret_received)
{
    rill__fiber *fiber = rill__current();
    receiver r = { .wait.wait.what = "rill_datagram_recv", .buf = buf, .cap = cap };
    int64_t got;
    int rc;

    RILL__REQUIRE(d != NULL && (buf != NULL || cap == 0));
    rc = may_wait(fiber, d, "rill_datagram_recv");
    if (rc < 0)
        return rc;
    got = receive(fiber, d, &r);
    if (got >= 0 && ret_received != NULL)
        *ret_received = r.received;
    return got;
}

/* ---- sending ---- */

static void
on_pause(rill_transport *t, void *self)
{
    (void)t;
    ((rill_datagram *)self)->paused = true;
}

static void
on_resume(rill_transport *t, void *self)
{
    rill_datagram *d = self;

    (void)t;
    d->paused = false;
    rill__flow_wake_all(&d->senders, 0);
}

static int
await_welcome(rill__fiber *fiber, rill_datagram *d)
{
    int rc = 0;

    d->pins++;
    while (rc == 0 && d->paused && d->t != NULL && !d->closed) {
        rill__flow_wait self = { .wait = { .what = "rill_datagram_send", .site = d->site } };

        rc = rill__flow_wait_for(fiber, &d->senders, &self);
    }
    if (rc == 0 && (d->t == NULL || d->closed))
        rc = d->closed ? RILL_ECLOSED : d->code;
    unpin(d);
    return rc;
}

int
rill_datagram_send(rill_datagram *d, const void *data, size_t len, const rill_addr *to)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(d != NULL && (data != NULL || len == 0));
    rc = may_wait(fiber, d, "rill_datagram_send");
    if (rc == 0 && RILL__UNLIKELY(d->paused || d->t == NULL))
        rc = await_welcome(fiber, d);
    if (rc < 0)
        return rc;
    rc = rill_transport_sendto(d->t, data, len, to);
    rill__spend(fiber);
    return rc < 0 ? rc : 0;
}

/* ---- its life ---- */

static void
on_made(rill_transport *t, void *self, void *arg)
{
    (void)t;
    (void)arg;
    ((rill_datagram *)self)->made = true;
}

static void
on_lost(rill_transport *t, void *self, const rill_reason *why)
{
    rill_datagram *d = self;

    (void)t;
    d->t = NULL;
    d->code = why->code != 0 ? why->code : RILL_ECLOSED;
    if (d->loop->freeing) /* Who forgot to close it forgets this, too. */
        (void)rill__packets_clear(d->loop, &d->queue);
    rill__flow_wake_all(&d->receivers, d->code);
    rill__flow_wake_all(&d->senders, 0);
    unpin(d);
}

static const rill_datagram_protocol protocol = RILL_DATAGRAM_PROTOCOL(.connection_made = on_made,
    .datagram_received = on_datagram, .error_received = on_error, .pause_writing = on_pause,
    .resume_writing = on_resume, .connection_lost = on_lost);

int
rill_datagram_open_site(
    const rill_datagram_options *options, const char *site, rill_datagram **ret_datagram)
{
    rill__fiber *fiber = rill__current();
    rill_datagram *d;
    int rc;

    RILL__REQUIRE(ret_datagram != NULL);
    rc = rill__may_wait(fiber);
    if (rc < 0)
        return rc;
    d = rill__pool_take(fiber->loop, sizeof(*d));
    if (d == NULL)
        return rill__fail_call(fiber->loop, -ENOMEM, "datagram socket");
    d->magic = LIVE;
    d->loop = fiber->loop;
    d->site = site;
    d->pins = 2; /* The caller's, until close, and the transport's. */
    rill__list_init(&d->receivers);
    rill__list_init(&d->senders);
    rc = rill_create_datagram_endpoint_site(d->loop, options, &protocol, d, site, &d->t);
    if (rc < 0) {
        d->magic = DEAD;
        rill__pool_release(d->loop, d, sizeof(*d), sizeof(d->magic));
        return rc;
    }
    d->loop->futures++; /* As they do, it counts as left over when the loop is freed. */
    *ret_datagram = d;
    return 0;
}

rill_transport *
rill_datagram_transport(const rill_datagram *d)
{
    check(d, "rill_datagram_transport");
    return d->t;
}

size_t
rill_datagram_waiting(const rill_datagram *d)
{
    check(d, "rill_datagram_waiting");
    return d->queue.count;
}

uint64_t
rill_datagram_dropped(const rill_datagram *d)
{
    check(d, "rill_datagram_dropped");
    return d->dropped;
}

void
rill_datagram_close(rill_datagram *d)
{
    if (d == NULL)
        return;
    check(d, "rill_datagram_close");
    d->closed = true;
    rill__flow_wake_all(&d->receivers, RILL_ECLOSED);
    rill__flow_wake_all(&d->senders, 0);
    if (d->t != NULL)
        rill_transport_close(d->t);
    if (d->t != NULL && !d->made)
        unpin(d); /* Nobody will say that it is lost. */
    unpin(d);
}
