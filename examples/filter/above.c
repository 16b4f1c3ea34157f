/*
 * The throttle, seen from above: a transport, that is the table of its work. The base has checked
 * the arguments and the state of every call, and keeps marks, ids and the order of callbacks.
 */
#include "throttle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
throttle_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    struct throttle *f = impl;
    bool was_empty = f->queued == 0;
    size_t len = 0, sent = 0;

    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    if (f->start + f->queued + len > f->size && !throttle_reserve(f, len)) {
        rill_transport_fail(f->below, -ENOMEM, NULL);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(f->queue + f->start + f->queued, parts[i].data, parts[i].len);
        f->queued += parts[i].len;
    }
    if (was_empty) /* Else the timer or the transport below goes on with it. */
        sent = throttle_pump(f);
    rill_transport_account(t, (int64_t)len - (int64_t)sent, sent);
}

static void
throttle_write_eof(rill_transport *t, void *impl)
{
    struct throttle *f = impl;

    (void)t;
    f->eof_wanted = true;
    if (f->queued == 0)
        (void)rill_transport_write_eof(f->below);
}

static void
throttle_close(rill_transport *t, void *impl)
{
    struct throttle *f = impl;

    (void)t;
    f->close_wanted = true;
    if (f->queued == 0)
        rill_transport_close(f->below);
}

static void
throttle_abort(rill_transport *t, void *impl, int code, const char *sentence)
{
    (void)t;
    rill_transport_fail(((struct throttle *)impl)->below, code, sentence);
}

static void
throttle_pause_reading(rill_transport *t, void *impl)
{
    (void)t;
    rill_transport_pause_reading(((struct throttle *)impl)->below);
}

/* Only buffered protocols leave something behind: those that pause between two of their buffers. */
static void
deliver_held(void *arg)
{
    struct throttle *f = arg;
    rill_transport *t = rill_transport_of_impl(f);
    rill_slice rest = f->held;

    f->delivery = 0;
    if (!rill_transport_wants_data(t))
        return;
    rest.data += f->held_taken;
    rest.len -= f->held_taken;
    f->held_taken += rill_transport_data(t, rest);
    if (f->held_taken < f->held.len)
        return;
    rill_slice_release(f->held);
    f->held = (rill_slice){ 0 };
    if (rill_transport_wants_data(t))
        rill_transport_resume_reading(f->below);
}

static void
throttle_resume_reading(rill_transport *t, void *impl)
{
    struct throttle *f = impl;

    if (f->held.len == 0)
        rill_transport_resume_reading(f->below);
    else if (f->delivery == 0 && /* Not here: no data comes inside the user's own call. */
             rill_call_soon(rill_transport_loop(t), deliver_held, f, &f->delivery) < 0)
        rill_transport_fail(f->below, -ENOMEM, NULL);
}

static int
throttle_peername(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    (void)t;
    return rill_transport_peername(((const struct throttle *)impl)->below, ret_addr);
}

static int
throttle_sockname(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    (void)t;
    return rill_transport_sockname(((const struct throttle *)impl)->below, ret_addr);
}

static void
throttle_finalize(rill_transport *t, void *impl)
{
    struct throttle *f = impl;

    (void)t;
    rill_slice_release(f->held);
    free(f->queue);
}

const rill_transport_ops throttle_ops = { .size = sizeof(rill_transport_ops),
    .name = "throttle",
    .impl_size = sizeof(struct throttle),
    .write = throttle_write,
    .write_eof = throttle_write_eof,
    .close = throttle_close,
    .abort = throttle_abort,
    .pause_reading = throttle_pause_reading,
    .resume_reading = throttle_resume_reading,
    .peername = throttle_peername,
    .sockname = throttle_sockname,
    .finalize = throttle_finalize };
