/*
 * Sending datagrams: the stage, sends at once, and the queue.
 *
 * Inside a callback datagrams gather in the loop's stage, owned by one transport at a time, and
 * leave together when the callback returns (the loop's epilogue): the driver makes of them what the
 * kernel takes best. What it has no room for is queued and sent when there is. A datagram that
 * meets an error is dropped and the error told; those behind it go on.
 *
 * Invariants: staged datagrams of an endpoint mean that its queue is empty; queued ones that room
 * is waited for. What is staged has its place in the queue under the cap. Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/dgram.h"

#define STAGE_DIRECT ((size_t)8 * 1024) /* From here on a send of its own beats the copy. */
#define TURN_ROUNDS  16                 /* Sends from the queue in a turn. */
#define IP_MAX       ((size_t)65535)
#define RETRY_DELAY  RILL_MS

/* How the loop's stage is used for datagrams. */
typedef struct stage {
    rill__departing parts[RILL__DGRAM_MANY];
    rill_addr to[RILL__DGRAM_MANY];
    uint8_t bytes[];
} stage;

#define STAGE_ROOM (RILL__STAGE_BYTES - sizeof(stage))

static_assert(sizeof(stage) < RILL__STAGE_BYTES / 2, "most of the stage is for bytes");

static stage *
stage_of(const rill_loop *loop)
{
    return (stage *)(void *)loop->stage;
}

/* ---- sending ---- */

/* What some sends have come to. */
typedef struct outcome {
    size_t sent;
    size_t queued;
} outcome;

/* Returns how many found no memory: the last ones. */
static size_t
queue_rest(dgram *d, const rill__departing *parts, size_t count, outcome *o)
{
    rill_transport *t = rill__base(d);

    for (size_t i = 0; i < count; i++) {
        const rill__departing *p = &parts[i];

        if (rill__packets_append(t->loop, &d->queue, p->data, p->len, p->to) < 0) {
            d->stats.dropped += count - i;
            return count - i;
        }
        o->queued += rill__packet_cost(p->len);
    }
    return 0;
}

/* Perhaps of the network, to a datagram sent earlier: the kernel tells it in place of trying this
 * one. */
static bool
is_answer(const dgram *d, int rc)
{
    return rc < 0 && d->udp && d->connected &&
           (rc == -ECONNREFUSED || rc == -EHOSTUNREACH || rc == -ENETUNREACH || rc == -EHOSTDOWN);
}

/* Send some of the first ones, or drop the first: how many are done with; 0: there is no room. */
static size_t
send_some(dgram *d, const rill__departing *parts, size_t count, outcome *o)
{
    rill_transport *t = rill__base(d);
    int sent = rill__dgram_ops_of(t)->send(t->loop->driver, &d->io, parts, count);

    if (RILL__UNLIKELY(is_answer(d, sent))) {
        int answer = sent;

        sent = rill__dgram_ops_of(t)->send(t->loop->driver, &d->io, parts, count);
        if (sent != answer) /* Else it was this one's all the same. */
            rill__dgram_trouble(d, answer);
    }
    if (sent == -EAGAIN)
        return 0;
    if (sent < 0) {
        rill__dgram_trouble(d, sent);
        return 1;
    }
    d->stats.sends++;
    d->stats.sent += (uint64_t)sent;
    for (int i = 0; i < sent; i++)
        o->sent += parts[i].len;
    return (size_t)sent;
}

/* A Unix socket that is not connected is always writable: nobody tells when the receiver it has
 * just tried reads on. */
static bool
must_retry(const dgram *d)
{
    return d->family == RILL_FAMILY_UNIX && !d->connected;
}

static void
await_room(dgram *d, bool wanted)
{
    rill_transport *t = rill__base(d);
    int rc;

    if (wanted && must_retry(d)) {
        if (!rill__timer_is_armed(&d->retry))
            rill__timer_arm(
                t->loop, &d->retry, rill__after(t->loop->ops->now(t->loop->driver), RETRY_DELAY));
        return;
    }
    rc = rill__dgram_ops_of(t)->await_room(t->loop->driver, &d->io, wanted);
    if (rc < 0)
        rill__dgram_die(d, rc, RILL_LAYER_SYSTEM, NULL);
}

/* The end of a call: only now the marks are looked at, since pause_writing may send, too. */
static void
settle(dgram *d, const outcome *o)
{
    rill_transport *t = rill__base(d);

    if (o->queued != 0 || RILL__UNLIKELY(t->extra != NULL))
        rill_transport_account(t, (int64_t)o->queued, o->sent);
    else
        t->bytes_out += o->sent;
}

/* All of them, which are not in the queue. Returns how many were dropped without memory. */
static size_t
send_or_queue(dgram *d, const rill__departing *parts, size_t count)
{
    outcome o = { 0 };
    size_t done = 0;
    size_t dropped = 0;

    if (d->queue.count == 0) {
        while (done < count) {
            size_t n = send_some(d, parts + done, count - done, &o);

            if (n == 0)
                break;
            done += n;
        }
    }
    if (done < count) {
        dropped = queue_rest(d, parts + done, count - done, &o);
        await_room(d, true);
    }
    settle(d, &o);
    return dropped;
}

/* ---- the stage ---- */

static void
flush_stage(void *object)
{
    dgram *d = object;
    rill_loop *loop = rill__base(d)->loop;
    size_t count = d->staged;

    d->staged = 0;
    loop->stage_len = 0;
    for (size_t dropped = send_or_queue(d, stage_of(loop)->parts, count); dropped > 0; dropped--)
        rill__dgram_trouble(d, -ENOMEM);
}

static bool
owns_stage(const dgram *d)
{
    const rill_loop *loop = rill__base(d)->loop;

    return loop->epilogue != NULL && loop->epilogue_object == d;
}

void
rill__dgram_flush_staged(dgram *d)
{
    if (owns_stage(d))
        rill__loop_run_epilogue(rill__base(d)->loop);
}

void
rill__dgram_forget_staged(dgram *d)
{
    rill_loop *loop = rill__base(d)->loop;

    if (!owns_stage(d))
        return;
    loop->epilogue = NULL;
    loop->stage_len = 0;
    d->staged = 0;
}

static bool
have_stage(rill_loop *loop)
{
    if (RILL__UNLIKELY(loop->stage == NULL))
        loop->stage = rill__alloc(loop, RILL__STAGE_BYTES, RILL_TAG_WRITE);
    return loop->stage != NULL;
}

/* Neighbours often go to the same place: then they share the copy of its address. */
static const rill_addr *
stage_address(stage *s, size_t at, const rill_addr *to)
{
    const rill_addr *last = at > 0 ? s->parts[at - 1].to : NULL;

    if (to == NULL)
        return NULL;
    if (last != NULL && last->len == to->len && memcmp(last->storage, to->storage, to->len) == 0)
        return last;
    s->to[at].len = to->len;
    memcpy(s->to[at].storage, to->storage, to->len);
    return &s->to[at];
}

static bool
stage_datagram(dgram *d, const void *data, size_t len, const rill_addr *to)
{
    rill_loop *loop = rill__base(d)->loop;
    stage *s;

    if (!loop->in_callback || len >= STAGE_DIRECT || !have_stage(loop))
        return false;
    while (loop->epilogue != NULL && loop->epilogue_object != d)
        rill__loop_run_epilogue(loop);
    if (d->staged == RILL__DGRAM_MANY || loop->stage_len + len > STAGE_ROOM)
        rill__loop_run_epilogue(loop);
    if (d->queue.count > 0 || d->phase != DGRAM_OPEN)
        return false;
    s = stage_of(loop);
    s->parts[d->staged] = (rill__departing){
        .data = s->bytes + loop->stage_len, .len = len, .to = stage_address(s, d->staged, to)
    };
    if (len > 0)
        memcpy(s->bytes + loop->stage_len, data, len);
    loop->stage_len += len;
    d->staged++;
    rill__loop_set_epilogue(loop, flush_stage, d);
    return true;
}

/* ---- the queue ---- */

static void
send_queued(dgram *d)
{
    rill_transport *t = rill__base(d);

    for (int round = 0; d->queue.count > 0; round++) {
        rill__departing parts[RILL__DGRAM_MANY];
        size_t count = rill__packets_peek(&d->queue, parts, RILL__DGRAM_MANY);
        outcome o = { 0 };
        size_t done = round < TURN_ROUNDS ? send_some(d, parts, count, &o) : 0;

        if (done == 0) {
            await_room(d, true);
            return;
        }
        rill_transport_account(
            t, -(int64_t)rill__packets_consume(t->loop, &d->queue, done), o.sent);
        if (d->phase == DGRAM_CLOSING) /* resume_writing aborted. */
            return;
    }
    await_room(d, false);
    if (d->phase == DGRAM_FLUSHING)
        rill__dgram_die(d, 0, RILL_LAYER_TRANSPORT, NULL);
}

void
rill__dgram_on_send(rill__op *op)
{
    send_queued(RILL__CONTAINER(op, dgram, io.send));
}

void
rill__dgram_on_retry(rill__own_timer *timer)
{
    send_queued(RILL__CONTAINER(timer, dgram, retry));
}

/* ---- the call ---- */

static int
refuse(rill_transport *t, int code, const char *why)
{
    return rill__fail(t->loop, code, RILL_LAYER_TRANSPORT, "sendto: %s", why);
}

/* To where: `*to` becomes what the kernel is to be told. */
static int
destination(rill_transport *t, const dgram *d, const rill_addr **to)
{
    if (*to == NULL) {
        if (d->connected)
            return 0;
        if (d->remote.len == 0)
            return refuse(t, -EDESTADDRREQ, "the endpoint has no remote address, so name one");
        *to = &d->remote;
        return 0;
    }
    if (d->connected || d->remote.len > 0) {
        if (!rill_addr_equal(*to, &d->remote))
            return refuse(t, RILL_EINVAL, "the endpoint sends to its remote address only");
        *to = d->connected ? NULL : &d->remote;
        return 0;
    }
    if ((uint8_t)rill_addr_family(*to) != d->family || (*to)->len > sizeof((*to)->storage))
        return refuse(t, -EAFNOSUPPORT, "the address is not of the endpoint's family");
    return 0;
}

static bool
passes_cap(const rill_transport *t, const dgram *d, size_t len)
{
    size_t more = rill__packet_cost(len);

    if (d->staged > 0)
        more += t->loop->stage_len + d->staged * (size_t)RILL_DATAGRAM_OVERHEAD;
    return more > t->write_cap || t->queued_bytes > t->write_cap - more;
}

static RILL__RARE int
refuse_full(rill_transport *t, dgram *d)
{
    d->stats.dropped++;
    return refuse(t, RILL_EOVERFLOW, "the queue is full up to its cap");
}

int
rill_transport_sendto(rill_transport *t, const void *data, size_t len, const rill_addr *to)
{
    rill__departing one = { data, len, NULL };
    dgram *d;
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_sendto");
    d = rill__dgram_of(t);
    if (RILL__UNLIKELY(d == NULL))
        return refuse(t, RILL_ENOTSUP, "this is no transport of datagrams");
    if (RILL__UNLIKELY((t->refuse & RILL__REFUSE_CLOSED) != 0))
        return refuse(t, RILL_ECLOSED, "closed, or closing");
    if (RILL__UNLIKELY(data == NULL && len != 0))
        return refuse(t, RILL_EINVAL, "no data");
    rc = destination(t, d, &to);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (RILL__UNLIKELY(len > IP_MAX && d->family != RILL_FAMILY_UNIX))
        return refuse(t, -EMSGSIZE, "no datagram of IP is longer than 65535 bytes");
    if (RILL__UNLIKELY(passes_cap(t, d, len)))
        return refuse_full(t, d);
    if (d->queue.count == 0 && stage_datagram(d, data, len, to))
        return !t->writing_paused;
    rill__dgram_flush_staged(d);
    if (RILL__UNLIKELY(d->phase != DGRAM_OPEN)) /* pause_writing has aborted. */
        return refuse(t, RILL_ECLOSED, "closed meanwhile");
    one.to = to;
    if (RILL__UNLIKELY(send_or_queue(d, &one, 1) > 0))
        return refuse(t, -ENOMEM, "no memory for the queue");
    return !t->writing_paused;
}
