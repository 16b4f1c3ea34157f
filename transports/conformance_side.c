/*
 * The two ends of a conformance pair: protocols that check every callback against the grammar and
 * every byte against its place in the stream, and calls that watch what runs inside them.
 *
 * Invariants: a side's `t` is set between connection_made and the return of connection_lost;
 * `battery->calling` is above 0 exactly while the case is inside a call of the library. All on the
 * loop's thread.
 */
#include "transports/conformance_battery.h"

#include <stdio.h>
#include <string.h>

typedef enum event { MADE, DATA, BUFFER, UPDATED, END_OF_FILE, PAUSE, RESUME, LOST } event;

static const char *const event_names[] = { "connection_made", "data_received", "get_buffer",
    "buffer_updated", "eof_received", "pause_writing", "resume_writing", "connection_lost" };

static bool
may_run_inside_a_call(const rill__battery *b, event e)
{
    return e == PAUSE || (e == RESUME && b->resume_allowed);
}

static void
check_order(rill__side *s, rill_transport *t, event e)
{
    rill__battery *b = s->battery;
    const char *name = event_names[e];

    if (e == MADE) {
        if (s->made)
            rill__battery_fail(b, "%s: a second connection_made", s->name);
    } else if (!s->made) {
        rill__battery_fail(b, "%s: %s before connection_made", s->name, name);
    } else if (s->t != t) {
        rill__battery_fail(b, "%s: %s with another transport", s->name, name);
    }
    if (s->lost)
        rill__battery_fail(b, "%s: %s after connection_lost", s->name, name);
    if (b->calling > 0 && !may_run_inside_a_call(b, e))
        rill__battery_fail(b, "%s: %s ran inside a call", s->name, name);
    if (s->depth > 0 && b->calling == 0)
        rill__battery_fail(b, "%s: %s ran inside another callback", s->name, name);
    if ((e == DATA || e == BUFFER || e == UPDATED || e == END_OF_FILE) && s->eof)
        rill__battery_fail(b, "%s: %s after eof_received", s->name, name);
    /* A buffer that was asked for before the pause may still be filled by nothing. */
    if ((e == DATA || e == UPDATED || e == END_OF_FILE) && s->read_paused)
        rill__battery_fail(b, "%s: %s while reading was paused", s->name, name);
}

/* Every callback begins here; the library's calls in progress are set aside for its length. */
static unsigned
event_begin(rill__side *s, rill_transport *t, event e)
{
    unsigned calling = s->battery->calling;

    check_order(s, t, e);
    s->battery->events++;
    s->battery->calling = 0;
    s->depth++;
    return calling;
}

static void
event_end(rill__side *s, unsigned calling)
{
    s->depth--;
    s->battery->calling = calling;
    rill__battery_poke(s->battery);
}

static void
side_made(rill_transport *t, void *self, void *arg)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, MADE);

    if (arg != self)
        rill__battery_fail(s->battery, "%s: connection_made got another argument", s->name);
    s->made = true;
    s->t = t;
    s->id = rill_transport_id(t);
    if (s->on_made != NULL)
        s->on_made(s);
    event_end(s, calling);
}

static uint8_t
stream_byte(uint8_t tint, uint64_t offset)
{
    /* Differs from its neighbours and from what lies any power of two away. */
    return (uint8_t)((offset ^ (offset >> 8) ^ (offset >> 16) * 3) * 167 + tint);
}

void
rill__side_pattern(const rill__side *s, uint64_t offset, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = stream_byte(s->tint, offset + i);
}

static void
compare_bytes(rill__side *s, uint64_t offset, const uint8_t *data, size_t len, const char *when)
{
    for (size_t i = 0; i < len && !s->quiet_on_data; i++) {
        uint8_t want = s->expected != NULL ? s->expected(s, offset + i)
                                           : stream_byte(s->peer->tint, offset + i);

        if (data[i] != want) {
            rill__battery_fail(s->battery, "%s: byte %llu is 0x%02x and should be 0x%02x%s",
                s->name, (unsigned long long)(offset + i), data[i], want, when);
            return;
        }
    }
}

static void
check_bytes(rill__side *s, const uint8_t *data, size_t len)
{
    compare_bytes(s, s->received, data, len, "");
    s->received += len;
    if (s->received > s->peer->sent)
        rill__battery_fail(s->battery, "%s: received %llu bytes of %llu sent", s->name,
            (unsigned long long)s->received, (unsigned long long)s->peer->sent);
}

static void
side_data(rill_transport *t, void *self, rill_slice in)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, DATA);
    uint64_t offset = s->received;

    s->data_calls++;
    if (in.len == 0)
        rill__battery_fail(s->battery, "%s: data_received without data", s->name);
    check_bytes(s, in.data, in.len);
    if (s->on_data != NULL) {
        s->on_data(s, in);
        /* Lent until the callback returns, whatever it did meanwhile. */
        compare_bytes(s, offset, in.data, in.len, " after what data_received did");
    }
    event_end(s, calling);
}

static size_t
side_get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, BUFFER);

    (void)hint;
    s->buffer_calls++;
    *ret_buf = s->buffer_null ? NULL : s->inbox;
    event_end(s, calling);
    return s->buffer_size;
}

static void
side_updated(rill_transport *t, void *self, size_t len)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, UPDATED);

    s->data_calls++;
    if (len == 0 || len > s->buffer_size)
        rill__battery_fail(s->battery, "%s: buffer_updated with %zu of a buffer of %zu", s->name,
            len, s->buffer_size);
    else
        check_bytes(s, s->inbox, len);
    if (s->on_updated != NULL)
        s->on_updated(s, len);
    event_end(s, calling);
}

static bool
side_eof(rill_transport *t, void *self)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, END_OF_FILE);

    s->eof = true;
    if (s->on_eof != NULL)
        s->on_eof(s);
    event_end(s, calling);
    return s->keep_open;
}

static void
side_pause(rill_transport *t, void *self)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, PAUSE);
    size_t high = 0, low = 0, queued = rill_transport_write_buffer_size(t);

    rill_transport_get_write_limits(t, &high, &low);
    if (s->write_paused)
        rill__battery_fail(s->battery, "%s: pause_writing twice", s->name);
    if (queued <= high)
        rill__battery_fail(s->battery, "%s: pause_writing at %zu bytes, the high mark is %zu",
            s->name, queued, high);
    s->write_paused = true;
    s->pauses++;
    if (s->on_pause != NULL)
        s->on_pause(s);
    event_end(s, calling);
}

static void
side_resume(rill_transport *t, void *self)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, RESUME);
    size_t high = 0, low = 0;

    rill_transport_get_write_limits(t, &high, &low);
    s->queued_at_resume = rill_transport_write_buffer_size(t);
    if (!s->write_paused)
        rill__battery_fail(s->battery, "%s: resume_writing without a pause", s->name);
    if (s->queued_at_resume > low)
        rill__battery_fail(s->battery, "%s: resume_writing at %zu bytes, the low mark is %zu",
            s->name, s->queued_at_resume, low);
    s->write_paused = false;
    s->resumes++;
    if (s->on_resume != NULL)
        s->on_resume(s);
    event_end(s, calling);
}

static void
side_lost(rill_transport *t, void *self, const rill_reason *why)
{
    rill__side *s = self;
    unsigned calling = event_begin(s, t, LOST);

    if (why == NULL || why->sentence == NULL) {
        rill__battery_fail(s->battery, "%s: connection_lost without a reason", s->name);
    } else {
        s->code = why->code;
        s->layer = why->layer;
        s->native = why->native;
        (void)snprintf(s->sentence, sizeof(s->sentence), "%s", why->sentence);
        if (why->code > 0)
            rill__battery_fail(s->battery, "%s: connection_lost(%d)", s->name, why->code);
        if (why->code == 0 && why->native != 0)
            rill__battery_fail(s->battery, "%s: connection_lost(0) with an errno", s->name);
    }
    if (!rill_transport_is_closing(t))
        rill__battery_fail(s->battery, "%s: not closing in connection_lost", s->name);
    if (s->on_lost != NULL)
        s->on_lost(s, why);
    s->lost = true;
    s->t = NULL;
    event_end(s, calling);
}

const rill_protocol rill__side_plain = {
    .size = sizeof(rill_protocol),
    .connection_made = side_made,
    .data_received = side_data,
    .eof_received = side_eof,
    .pause_writing = side_pause,
    .resume_writing = side_resume,
    .connection_lost = side_lost,
};

const rill_protocol rill__side_buffered = {
    .size = sizeof(rill_protocol),
    .connection_made = side_made,
    .get_buffer = side_get_buffer,
    .buffer_updated = side_updated,
    .eof_received = side_eof,
    .pause_writing = side_pause,
    .resume_writing = side_resume,
    .connection_lost = side_lost,
};

bool
rill__both_made(rill__battery *b)
{
    return b->a.made && b->b.made;
}

bool
rill__both_lost(rill__battery *b)
{
    return b->a.made == b->a.lost && b->b.made == b->b.lost;
}

bool
rill__all_received(rill__battery *b)
{
    return b->a.received == b->b.sent && b->b.received == b->a.sent;
}

bool
rill__b_has_all(rill__battery *b)
{
    return b->b.received == b->a.sent;
}

rill_transport_options
rill__battery_small(void)
{
    /* Not below two segments of a loopback network (64 KiB each): TCP would send them by its
     * timers. */
    return (rill_transport_options){
        .size = sizeof(rill_transport_options), .send_buffer = 32768, .recv_buffer = 131072
    };
}

bool
rill__battery_start(rill__battery *b, const rill_transport_options *options,
    const rill_protocol *protocol_a, const rill_protocol *protocol_b)
{
    rill_transport_options small = rill__battery_small();
    int rc;

    rill__call_begin(b);
    rc = b->options->make_pair(b->loop, options == NULL ? &small : options, protocol_a, &b->a,
        protocol_b, &b->b, b->options->user);
    rill__call_end(b);
    if (rc < 0)
        rill__battery_fail(b, "make_pair: %s", rill_errname(rc));
    return !b->failed;
}

bool
rill__battery_open(rill__battery *b, const rill_transport_options *options)
{
    return rill__battery_start(b, options, &rill__side_plain, &rill__side_plain) &&
           rill__battery_wait(b, rill__both_made, "connection_made of both sides");
}

void
rill__call_begin(rill__battery *b)
{
    b->calling++;
}

void
rill__call_end(rill__battery *b)
{
    b->calling--;
}

int
rill__side_send(rill__side *s, size_t len)
{
    uint8_t *block = s->battery->block;
    int rc;

    if (s->t == NULL)
        return RILL_ECLOSED;
    if (len > RILL__BLOCK_BYTES)
        len = RILL__BLOCK_BYTES;
    rill__side_pattern(s, s->sent, block, len);
    /* Counted before: the peer's callbacks may run later, but what pause_writing does may send. */
    s->sent += len;
    rill__call_begin(s->battery);
    rc = rill_transport_write(s->t, block, len);
    rill__call_end(s->battery);
    if (rc < 0)
        s->sent -= len;
    memset(block, 0xee, len); /* The library has copied or sent them. */
    return rc;
}

static void
send_until_paused(rill__side *s)
{
    uint64_t start = s->sent;

    while (!s->write_paused && s->sent - start < RILL__FILL_BYTES_MAX && !s->battery->failed) {
        int rc = rill__side_send(s, 8192);

        if (rc < 0)
            rill__battery_fail(s->battery, "%s: write returned %s", s->name, rill_errname(rc));
        else if (rc == 0 && !s->write_paused)
            rill__battery_fail(s->battery, "%s: write returned 0 without pause_writing", s->name);
    }
    if (!s->write_paused)
        rill__battery_fail(s->battery,
            "%s: %u bytes and no pause_writing, though the peer reads nothing", s->name,
            RILL__FILL_BYTES_MAX);
}

bool
rill__side_fill(rill__side *s)
{
    size_t before;

    send_until_paused(s);
    if (s->t == NULL)
        rill__battery_fail(s->battery, "%s: lost with %s", s->name, rill_errname(s->code));
    /* What is below may take more a little later (TCP by a delayed acknowledgement): go on until it
     * takes no more. */
    while (s->on_pause == NULL && !s->battery->failed) {
        before = rill_transport_write_buffer_size(s->t);
        rill__battery_run_for(s->battery, s->battery->settle + 60 * RILL_MS);
        if (s->t == NULL)
            break;
        if (!s->write_paused)
            send_until_paused(s);
        else if (rill_transport_write_buffer_size(s->t) == before)
            break;
    }
    return !s->battery->failed;
}

void
rill__side_pump(rill__side *s)
{
    while (s->t != NULL && !s->write_paused && s->sent < s->target && !s->battery->failed) {
        uint32_t most = rill__battery_random(s->battery, 4) == 0 ? 40000 : 200;
        uint64_t len = 1 + rill__battery_random(s->battery, most);
        uint64_t left = s->target - s->sent;
        int rc = rill__side_send(s, (size_t)(len < left ? len : left));

        if (rc < 0)
            rill__battery_fail(s->battery, "%s: write returned %s", s->name, rill_errname(rc));
    }
}

void
rill__side_close(rill__side *s)
{
    if (s->t == NULL)
        return;
    rill__call_begin(s->battery);
    rill_transport_close(s->t);
    rill__call_end(s->battery);
    if (!rill_transport_is_closing(s->t))
        rill__battery_fail(s->battery, "%s: not closing after close", s->name);
    s->read_paused = true; /* Nothing more may be delivered. */
}

void
rill__side_abort(rill__side *s)
{
    if (s->t == NULL)
        return;
    rill__call_begin(s->battery);
    rill_transport_abort(s->t);
    rill__call_end(s->battery);
    if (!rill_transport_is_closing(s->t))
        rill__battery_fail(s->battery, "%s: not closing after abort", s->name);
    s->read_paused = true;
}

void
rill__side_pause(rill__side *s)
{
    if (s->t == NULL)
        return;
    rill__call_begin(s->battery);
    rill_transport_pause_reading(s->t);
    rill__call_end(s->battery);
    s->read_paused = true;
    if (rill_transport_is_reading(s->t))
        rill__battery_fail(s->battery, "%s: is_reading after pause_reading", s->name);
}

void
rill__side_resume(rill__side *s)
{
    if (s->t == NULL)
        return;
    rill__call_begin(s->battery);
    rill_transport_resume_reading(s->t);
    rill__call_end(s->battery);
    s->read_paused = rill_transport_is_closing(s->t);
    if (!s->eof && !s->read_paused && !rill_transport_is_reading(s->t))
        rill__battery_fail(s->battery, "%s: not reading after resume_reading", s->name);
}

int
rill__side_write_eof(rill__side *s)
{
    int rc;

    if (s->t == NULL)
        return RILL_ECLOSED;
    rill__call_begin(s->battery);
    rc = rill_transport_write_eof(s->t);
    rill__call_end(s->battery);
    return rc;
}

int
rill__side_set_protocol(rill__side *s, const rill_protocol *protocol, void *arg)
{
    int rc;

    if (s->t == NULL)
        return RILL_ECLOSED;
    rill__call_begin(s->battery);
    rc = rill_transport_set_protocol(s->t, protocol, arg);
    rill__call_end(s->battery);
    return rc;
}
