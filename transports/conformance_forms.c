/*
 * Conformance cases: the forms a protocol may take. Buffered ones with buffers of any size, a
 * change of protocol at any moment, state that the library allocates, bytes held beyond their
 * callback. Each case owns the battery it is given; all on the loop's thread.
 */
#include "transports/conformance_battery.h"

#include <string.h>

static bool
b_lost(rill__battery *b)
{
    return b->b.lost;
}

static bool
open_with_buffered_b(rill__battery *b, size_t buffer_size)
{
    b->b.buffer_size = buffer_size;
    return rill__battery_start(b, NULL, &rill__side_plain, &rill__side_buffered) &&
           rill__battery_wait(b, rill__both_made, "connection_made of both sides");
}

static void
buffered_bytes(rill__battery *b, size_t buffer_size, uint64_t target)
{
    if (!open_with_buffered_b(b, buffer_size))
        return;
    b->a.target = target;
    b->a.on_resume = rill__side_pump;
    rill__side_pump(&b->a);
    if (!rill__battery_wait(b, rill__b_has_all, "all bytes through small buffers"))
        return;
    RILL__EXPECT(b, b->b.received == target, "b received %d bytes", (int)b->b.received);
    /* Each filled buffer was asked for; one more may be waiting to be filled. */
    RILL__EXPECT(b, b->b.buffer_calls >= b->b.data_calls, "%zu get_buffer, %zu buffer_updated",
        b->b.buffer_calls, b->b.data_calls);
    RILL__EXPECT(b, b->b.data_calls >= target / buffer_size, "a buffer was overfilled");
}

static void
buffers_of_1(rill__battery *b)
{
    buffered_bytes(b, 1, 3000);
}

static void
buffers_of_2(rill__battery *b)
{
    buffered_bytes(b, 2, 5000);
}

static void
buffers_of_4(rill__battery *b)
{
    buffered_bytes(b, 4, 10000);
}

static void
buffers_of_100(rill__battery *b)
{
    buffered_bytes(b, 100, 200000);
}

static void
expect_bad_buffer(rill__battery *b)
{
    (void)rill__side_send(&b->a, 100);
    if (!rill__battery_wait(b, b_lost, "the loss for want of a buffer"))
        return;
    RILL__EXPECT(
        b, b->b.code == RILL_EBUFFER, "b ended with %s, not RILL_EBUFFER", rill_errname(b->b.code));
    RILL__EXPECT(b, b->b.data_calls == 0, "buffer_updated without a buffer");
}

static void
buffer_of_nothing(rill__battery *b)
{
    if (open_with_buffered_b(b, 0))
        expect_bad_buffer(b);
}

static void
buffer_is_null(rill__battery *b)
{
    b->b.buffer_null = true;
    if (open_with_buffered_b(b, 100))
        expect_bad_buffer(b);
}

static void
shrink_buffer(rill__side *s, size_t len)
{
    (void)len;
    if (s->received >= 50)
        s->buffer_size = 0;
}

static void
buffer_ends_midway(rill__battery *b)
{
    b->b.on_updated = shrink_buffer;
    if (!open_with_buffered_b(b, 10))
        return;
    (void)rill__side_send(&b->a, 1000);
    if (!rill__battery_wait(b, b_lost, "the loss for want of a buffer"))
        return;
    RILL__EXPECT(
        b, b->b.code == RILL_EBUFFER, "b ended with %s, not RILL_EBUFFER", rill_errname(b->b.code));
    RILL__EXPECT(b, b->b.received >= 50 && b->b.received < 60,
        "b received %d bytes after its buffers ended at 50", (int)b->b.received);
}

static void
pause_on_update(rill__side *s, size_t len)
{
    (void)len;
    rill__side_pause(s);
}

static bool
next_buffer_filled(rill__battery *b)
{
    return b->b.received > b->sizes[0];
}

static void
buffered_pause_is_absolute(rill__battery *b)
{
    b->b.on_updated = pause_on_update;
    if (!open_with_buffered_b(b, 10))
        return;
    (void)rill__side_send(&b->a, 100);
    while (b->b.received < 100) {
        b->sizes[0] = b->b.received;
        if (!rill__battery_wait(b, next_buffer_filled, "the next buffer after a resume"))
            return;
        rill__battery_settle(b);
        RILL__EXPECT(b, b->b.received <= b->sizes[0] + 10, "%d bytes after one resume",
            (int)(b->b.received - b->sizes[0]));
        rill__side_resume(&b->b);
    }
}

static void
close_on_update(rill__side *s, size_t len)
{
    (void)len;
    rill__side_close(s);
}

static void
buffered_close_midway(rill__battery *b)
{
    b->b.on_updated = close_on_update;
    if (!open_with_buffered_b(b, 10))
        return;
    (void)rill__side_send(&b->a, 100);
    if (!rill__battery_wait(b, b_lost, "the end"))
        return;
    RILL__EXPECT(b, b->b.code == 0, "b closed and ended with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->b.received >= 1 && b->b.received <= 10 && b->b.data_calls == 1,
        "b received %d bytes in %zu buffers", (int)b->b.received, b->b.data_calls);
}

static void
buffered_eof(rill__battery *b)
{
    if (!open_with_buffered_b(b, 7))
        return;
    (void)rill__side_send(&b->a, 100);
    rill__side_close(&b->a);
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, b->b.received == 100 && b->b.eof, "b received %d bytes", (int)b->b.received);
    RILL__EXPECT(b, b->b.code == RILL_EOF, "b ended with %s", rill_errname(b->b.code));
}

/* counts[0] is how often the plain form was told, counts[1] the buffered one; counts[2] is set
 * while the next callback must be the buffered one's. */
static void
swap_protocol(rill__side *s, bool to_buffered)
{
    rill__battery *b = s->battery;
    int rc = rill__side_set_protocol(s, to_buffered ? &rill__side_buffered : &rill__side_plain, s);

    b->counts[2] = to_buffered;
    if (rc < 0)
        rill__battery_fail(b, "set_protocol: %s", rill_errname(rc));
    if (rill_transport_get_protocol(s->t) !=
        (to_buffered ? &rill__side_buffered : &rill__side_plain))
        rill__battery_fail(b, "get_protocol does not tell the new one");
}

static void
plain_then_buffered(rill__side *s, rill_slice in)
{
    (void)in;
    s->battery->counts[0]++;
    if (s->battery->counts[2])
        rill__battery_fail(s->battery, "data_received of the old protocol");
    swap_protocol(s, true);
}

static void
buffered_then_plain(rill__side *s, size_t len)
{
    (void)len;
    s->battery->counts[1]++;
    if (!s->battery->counts[2])
        rill__battery_fail(s->battery, "buffer_updated of the old protocol");
    if (s->battery->counts[1] % 3 == 0)
        swap_protocol(s, false);
}

static void
protocols_swap_in_callbacks(rill__battery *b)
{
    b->b.on_data = plain_then_buffered;
    b->b.on_updated = buffered_then_plain;
    if (!rill__battery_open(b, NULL))
        return;
    for (int i = 0; i < 10; i++) {
        (void)rill__side_send(&b->a, 1500);
        if (!rill__battery_wait(b, rill__b_has_all, "all bytes, whichever protocol takes them"))
            return;
    }
    RILL__EXPECT(b, b->counts[0] >= 3 && b->counts[1] >= 9, "%u plain and %u buffered callbacks",
        b->counts[0], b->counts[1]);
}

static void
swap_in_made(rill__side *s)
{
    swap_protocol(s, true);
}

static void
protocol_swaps_in_made(rill__battery *b)
{
    b->b.on_made = swap_in_made; /* The monitor sees a second connection_made. */
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 1000);
    if (!rill__battery_wait(b, rill__b_has_all, "bytes for the protocol set in made"))
        return;
    RILL__EXPECT(b, b->b.buffer_calls > 0, "the old protocol got the bytes");
}

static void
protocol_swaps_outside(rill__battery *b)
{
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rc = rill__side_set_protocol(&b->b, NULL, NULL);
    RILL__EXPECT(b, rc == RILL_EINVAL, "set_protocol(NULL) returned %s", rill_errname(rc));
    swap_protocol(&b->b, true);
    (void)rill__side_send(&b->a, 1000);
    if (!rill__battery_wait(b, rill__b_has_all, "bytes for the buffered protocol"))
        return;
    RILL__EXPECT(b, b->b.buffer_calls > 0, "the old protocol got the bytes");
    swap_protocol(&b->b, false);
    b->b.buffer_calls = 0;
    (void)rill__side_send(&b->a, 1000);
    if (!rill__battery_wait(b, rill__b_has_all, "bytes for the plain protocol"))
        return;
    RILL__EXPECT(b, b->b.buffer_calls == 0, "the old protocol got the bytes");
}

/* A protocol with state of its own, told apart by its first word. */
typedef struct stateful {
    uint64_t word;
    rill__battery *battery;
    uint8_t tail[4000];
} stateful;

static bool
is_zero(const stateful *state)
{
    const uint8_t *bytes = (const uint8_t *)state;

    for (size_t i = 0; i < sizeof(*state); i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

static void
stateful_made(rill_transport *t, void *self, void *arg)
{
    stateful *state = self;
    rill__battery *b = arg;

    if (!is_zero(state) || (uintptr_t)state % 16 != 0)
        rill__battery_fail(b, "the state is not zeroed and aligned to 16 bytes");
    if (rill_transport_state(t) != state)
        rill__battery_fail(b, "rill_transport_state tells another state");
    state->battery = b;
    state->word = 1;
    b->counts[0]++;
    b->ids[b->counts[0] % 2] = rill_transport_id(t);
    rill__battery_poke(b);
}

static void successor_data(rill_transport *t, void *self, rill_slice in);
static void successor_lost(rill_transport *t, void *self, const rill_reason *why);

static const rill_protocol successor = {
    .size = sizeof(rill_protocol),
    .state_size = sizeof(stateful),
    .connection_made = stateful_made,
    .data_received = successor_data,
    .connection_lost = successor_lost,
};

static void
stateful_data(rill_transport *t, void *self, rill_slice in)
{
    stateful *state = self, *next;
    rill__battery *b = state->battery;

    (void)in;
    state->word = 77;
    if (rill_transport_set_protocol(t, &successor, b) != 0) {
        rill__battery_fail(b, "set_protocol failed");
        return;
    }
    next = rill_transport_state(t);
    if (next == state || !is_zero(next))
        rill__battery_fail(b, "the new protocol's state is not a zeroed one of its own");
    next->battery = b;
    next->word = 2;
    if (state->word != 77)
        rill__battery_fail(b, "the old state is gone before its callback returned");
    memset(state, 0x55, sizeof(*state));
    b->counts[1]++;
    rill__battery_poke(b);
}

static void
successor_data(rill_transport *t, void *self, rill_slice in)
{
    stateful *state = self;

    (void)t;
    (void)in;
    if (state->word != 2)
        rill__battery_fail(state->battery, "data_received without the new protocol's state");
    state->battery->counts[2]++;
    rill__battery_poke(state->battery);
}

static void
successor_lost(rill_transport *t, void *self, const rill_reason *why)
{
    stateful *state = self;

    (void)t;
    if (state->word != 2 || why->code != RILL_EOF)
        rill__battery_fail(state->battery, "connection_lost without the new protocol's state");
    state->battery->counts[3]++;
    rill__battery_poke(state->battery);
}

static void
stateful_lost(rill_transport *t, void *self, const rill_reason *why)
{
    stateful *state = self;

    (void)t;
    (void)why;
    state->battery->counts[3]++;
    rill__battery_poke(state->battery);
}

static const rill_protocol with_state = {
    .size = sizeof(rill_protocol),
    .state_size = sizeof(stateful),
    .connection_made = stateful_made,
    .data_received = stateful_data,
    .connection_lost = stateful_lost,
};

static bool
two_made(rill__battery *b)
{
    return b->counts[0] == 2;
}

static bool
switched(rill__battery *b)
{
    return b->counts[1] == 1;
}

static bool
successor_has_data(rill__battery *b)
{
    return b->counts[2] >= 1;
}

static bool
two_lost(rill__battery *b)
{
    return b->counts[3] == 2;
}

static void
run_stateful_pair(rill__battery *b)
{
    rill_transport *one, *two;
    int rc;

    rc = b->options->make_pair(b->loop, NULL, &with_state, b, &with_state, b, b->options->user);
    RILL__EXPECT(b, rc >= 0, "make_pair: %s", rill_errname(rc));
    if (!rill__battery_wait(b, two_made, "connection_made of both sides"))
        return;
    one = rill_transport_from_id(b->loop, b->ids[0]);
    two = rill_transport_from_id(b->loop, b->ids[1]);
    RILL__EXPECT(b, one != NULL && two != NULL && one != two, "the ids do not name the two sides");
    RILL__EXPECT(b, rill_transport_write(one, "x", 1) == 1, "write failed");
    if (!rill__battery_wait(b, switched, "the change of protocol"))
        return;
    one = rill_transport_from_id(b->loop, b->ids[0]);
    RILL__EXPECT(b, one != NULL && rill_transport_write(one, "y", 1) == 1, "write failed");
    if (!rill__battery_wait(b, successor_has_data, "data for the new protocol"))
        return;
    one = rill_transport_from_id(b->loop, b->ids[0]);
    RILL__EXPECT(b, one != NULL, "a side was lost early");
    rill_transport_close(one);
    (void)rill__battery_wait(b, two_lost, "connection_lost of both sides");
    RILL__EXPECT(b, b->counts[0] == 2, "set_protocol caused a connection_made");
}

static void
state_belongs_to_the_protocol(rill__battery *b)
{
    run_stateful_pair(b);
    /* These sides are not the battery's: a failed case has to end them itself. */
    for (size_t i = 0; i < 2; i++) {
        rill_transport *t = rill_transport_from_id(b->loop, b->ids[i]);

        if (t != NULL)
            rill_transport_abort(t);
    }
}

static const rill_protocol all_optional = { .size = sizeof(rill_protocol) };

static void
every_callback_is_optional(rill__battery *b)
{
    rill_loop_stats stats = { .size = sizeof(stats) };
    size_t before;

    rill_loop_get_stats(b->loop, &stats);
    before = stats.transports;
    if (!rill__battery_start(b, NULL, &rill__side_plain, &all_optional))
        return;
    b->b.made = true; /* Nobody tells. */
    if (!rill__battery_wait(b, rill__both_made, "connection_made of a"))
        return;
    (void)rill__side_send(&b->a, 20000);
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.lost, "a was lost: %s", b->a.sentence);
    rill__side_close(&b->a);
    for (int i = 0; i < 1000 && !b->failed; i++) {
        rill_loop_get_stats(b->loop, &stats);
        if (stats.transports == before)
            break;
        rill__battery_settle(b);
    }
    b->b.lost = true;
    RILL__EXPECT(b, stats.transports == before, "a protocol without eof_received does not close");
}

static void
hold_slice(rill__side *s, rill_slice in)
{
    rill__battery *b = s->battery;
    unsigned at = b->counts[0];

    if (at == 8)
        return;
    if (rill_slice_hold(b->loop, in, &b->held[at]) != 0) {
        rill__battery_fail(b, "rill_slice_hold failed");
        return;
    }
    if (at < 4)
        b->sizes[at] = s->received - in.len;
    b->counts[0]++;
}

static void
slices_are_held(rill__battery *b)
{
    static const size_t sizes[] = { 10, 65536, 5000, 40000 };
    rill_loop_stats stats = { .size = sizeof(stats) };

    b->b.on_data = hold_slice;
    if (!rill__battery_open(b, NULL))
        return;
    for (size_t i = 0; i < 4; i++) {
        (void)rill__side_send(&b->a, sizes[i]);
        if (!rill__battery_wait(b, rill__b_has_all, "bytes to hold"))
            break;
    }
    rill_loop_get_stats(b->loop, &stats);
    if (!b->failed && stats.held_bytes == 0)
        rill__battery_fail(b, "held bytes are not counted");
    rill__side_close(&b->a);
    if (!rill__battery_wait(b, rill__both_lost, "the end of both sides"))
        b->failed = true;
    for (unsigned i = 0; i < b->counts[0]; i++) {
        rill_slice held = b->held[i];

        for (size_t k = 0; i < 4 && k < held.len && !b->failed; k++) {
            uint8_t want;

            rill__side_pattern(&b->a, b->sizes[i] + k, &want, 1);
            if (held.data[k] != want)
                rill__battery_fail(b, "byte %zu of held slice %u changed", k, i);
        }
        rill_slice_release(held);
    }
}

const rill__case rill__cases_forms[] = {
    { "buffers_of_1", buffers_of_1 },
    { "buffers_of_2", buffers_of_2 },
    { "buffers_of_4", buffers_of_4 },
    { "buffers_of_100", buffers_of_100 },
    { "buffer_of_nothing", buffer_of_nothing },
    { "buffer_is_null", buffer_is_null },
    { "buffer_ends_midway", buffer_ends_midway },
    { "buffered_pause_is_absolute", buffered_pause_is_absolute },
    { "buffered_close_midway", buffered_close_midway },
    { "buffered_eof", buffered_eof },
    { "protocols_swap_in_callbacks", protocols_swap_in_callbacks },
    { "protocol_swaps_in_made", protocol_swaps_in_made },
    { "protocol_swaps_outside", protocol_swaps_outside },
    { "state_belongs_to_the_protocol", state_belongs_to_the_protocol },
    { "every_callback_is_optional", every_callback_is_optional },
    { "slices_are_held", slices_are_held },
    { NULL, NULL },
};
