/*
 * The throttle, seen from below: a protocol. What arrives is passed up as it is.
 */
#include "throttle.h"

struct below {
    rill_transport *above; /* NULL until it is made, and if it could not be. */
};

static struct throttle *
throttle_of(void *self)
{
    return rill_transport_impl(((struct below *)self)->above);
}

static void
below_made(rill_transport *t, void *self, void *arg)
{
    struct below *b = self;
    const throttle_config *config = arg;
    int rc = rill_transport_new(rill_transport_loop(t), &throttle_ops, config->options,
        config->protocol, config->arg, RILL_SITE("throttle"), &b->above);

    if (rc < 0) {
        rill_transport_fail(t, rc, NULL);
        return;
    }
    *throttle_of(b) = (struct throttle){ .below = t, .rate = config->bytes_per_second };
    rill_transport_made(b->above);
}

static void
below_data(rill_transport *t, void *self, rill_slice in)
{
    struct below *b = self;
    size_t taken;
    int rc;

    if (!rill_transport_wants_data(b->above))
        return; /* It is closing. While it is paused, so are we. */
    taken = rill_transport_data(b->above, in);
    if (taken == in.len)
        return;
    in.data += taken;
    in.len -= taken;
    throttle_of(b)->held_taken = 0;
    rc = rill_slice_hold(rill_transport_loop(t), in, &throttle_of(b)->held);
    if (rc < 0)
        rill_transport_fail(t, rc, "no memory for what was paused");
}

static bool
below_eof(rill_transport *t, void *self)
{
    struct below *b = self;

    (void)t;
    if (rill_transport_wants_data(b->above))
        rill_transport_eof(b->above);
    return true; /* The protocol above decides; its close comes down to us. */
}

static void
below_pause(rill_transport *t, void *self)
{
    (void)t;
    throttle_of(self)->blocked = true;
}

static void
below_resume(rill_transport *t, void *self)
{
    struct throttle *f = throttle_of(self);

    (void)t;
    f->blocked = false;
    throttle_flush(f);
}

static void
below_lost(rill_transport *t, void *self, const rill_reason *why)
{
    struct below *b = self;
    struct throttle *f;

    if (b->above == NULL)
        return;
    f = throttle_of(b);
    rill_cancel(rill_transport_loop(t), f->timer);
    rill_cancel(rill_transport_loop(t), f->delivery);
    if (why->code == 0 && !f->close_wanted) /* Closed by somebody else, under our feet. */
        rill_transport_lost(b->above, RILL_ECLOSED, RILL_LAYER_TRANSPORT, NULL);
    else
        rill_transport_lost(b->above, why->code, why->layer, why->sentence);
}

const rill_protocol throttle_protocol = RILL_PROTOCOL(.state_size = sizeof(struct below),
    .connection_made = below_made, .data_received = below_data, .eof_received = below_eof,
    .pause_writing = below_pause, .resume_writing = below_resume, .connection_lost = below_lost);
