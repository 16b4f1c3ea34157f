/*
 * The throttle's queue and its pace: a hundredth of a second's bytes at a time, as the clock
 * allows.
 *
 * Invariant: bytes wait in the queue only while the timer is set or the transport below is above
 * its high mark (blocked). What waits is accounted for, so the protocol above feels it as
 * backpressure.
 */
#include "throttle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BURSTS_PER_SECOND = 100 };

static void throttle_timer(void *arg);

size_t
throttle_pump(struct throttle *f)
{
    rill_loop *loop = rill_transport_loop(f->below);
    rill_ns now = rill_loop_time(loop);
    size_t burst = f->rate / BURSTS_PER_SECOND, len = burst < f->queued ? burst : f->queued;

    if (f->blocked || f->timer != 0 || now < f->free_at)
        len = 0;
    if (len > 0) {
        f->free_at = now + (rill_ns)(len * (uint64_t)RILL_S / f->rate);
        (void)rill_transport_write(f->below, f->queue + f->start, len); /* Lost: we will hear. */
        f->start += len;
        f->queued -= len;
    }
    if (f->queued > 0 && !f->blocked && f->timer == 0 &&
        rill_call_at(loop, f->free_at, throttle_timer, f, &f->timer) < 0)
        rill_transport_fail(f->below, -ENOMEM, NULL);
    if (f->queued == 0 && f->close_wanted)
        rill_transport_close(f->below);
    else if (f->queued == 0 && f->eof_wanted)
        (void)rill_transport_write_eof(f->below);
    return len;
}

void
throttle_flush(struct throttle *f)
{
    size_t sent = throttle_pump(f);

    rill_transport_account(rill_transport_of_impl(f), -(int64_t)sent, sent);
}

static void
throttle_timer(void *arg)
{
    struct throttle *f = arg;

    f->timer = 0;
    throttle_flush(f);
}

bool
throttle_reserve(struct throttle *f, size_t len)
{
    size_t size = f->size > 0 ? f->size : 4096;
    uint8_t *queue;

    if (f->start > 0)
        memmove(f->queue, f->queue + f->start, f->queued);
    f->start = 0;
    while (size < f->queued + len)
        size *= 2;
    queue = size > f->size ? realloc(f->queue, size) : f->queue;
    if (queue == NULL)
        return false;
    f->queue = queue;
    f->size = size;
    return true;
}
