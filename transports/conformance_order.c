/*
 * Conformance cases: the order of callbacks from connection_made on, and whole and ordered bytes
 * however they are cut.
 *
 * Each case owns the battery it is given. All on the loop's thread.
 */
#include "transports/conformance_battery.h"

#include <string.h>

static void
made_comes_later(rill__battery *b)
{
    if (!rill__battery_start(b, NULL, &rill__side_plain, &rill__side_plain))
        return;
    RILL__EXPECT(b, !b->a.made && !b->b.made, "connection_made ran inside make_pair");
    if (!rill__battery_wait(b, rill__both_made, "connection_made of both sides"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.lost && !b->b.lost, "a connection that nobody uses was lost: a %s, b %s",
        rill_errname(b->a.code), rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.data_calls + b->b.data_calls == 0, "data out of nothing");
}

static void
send_hello(rill__side *s)
{
    (void)rill__side_send(s, 1000); /* A refusal shows as bytes that never come. */
}

static bool
hello_came(rill__battery *b)
{
    return rill__both_made(b) && b->a.received == 1000 && b->b.received == 1000;
}

static void
write_in_made(rill__battery *b)
{
    b->a.on_made = b->b.on_made = send_hello;
    if (!rill__battery_start(b, NULL, &rill__side_plain, &rill__side_plain))
        return;
    (void)rill__battery_wait(b, hello_came, "bytes written in connection_made");
}

/* After the first bytes the marks, the sizes and the turns mix freely. */
static void
bytes_both_ways(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    b->a.target = b->b.target = 1000000;
    b->a.on_resume = b->b.on_resume = rill__side_pump;
    for (int i = 0; i < 20 && !b->failed; i++) {
        rill__side_pump(&b->a);
        rill__side_pump(&b->b);
        rill__battery_settle(b);
    }
    if (!rill__battery_wait(b, rill__all_received, "a million bytes each way"))
        return;
    RILL__EXPECT(b, b->a.sent == 1000000 && b->b.sent == 1000000, "only %llu and %llu bytes sent",
        (unsigned long long)b->a.sent, (unsigned long long)b->b.sent);
}

static void
echo(rill__side *s, rill_slice in)
{
    (void)rill__side_send(s, in.len);
}

static bool
echoed(rill__battery *b)
{
    return rill__all_received(b) && b->a.sent == b->b.sent;
}

static void
every_small_size(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    b->b.on_data = echo;
    for (size_t len = 1; len <= 64; len++) {
        int rc = rill__side_send(&b->a, len);

        RILL__EXPECT(b, rc == 1, "write of %zu bytes returned %d", len, rc);
        if (len % 8 == 0 && !rill__battery_wait(b, echoed, "the echo of small writes"))
            return;
    }
}

static void
powers_of_two(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    for (size_t len = 512; len <= RILL__BLOCK_BYTES; len *= 2) {
        for (size_t delta = 0; delta < 3; delta++) {
            RILL__EXPECT(b, rill__side_send(&b->a, len + delta - 1) >= 0, "write failed");
            if (!rill__battery_wait(b, rill__b_has_all, "sizes around a power of two"))
                return;
        }
    }
}

static void
empty_write(rill__battery *b)
{
    rill_iovec nothing = { .data = NULL, .len = 0 };
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rc = rill_transport_write(b->a.t, "", 0);
    RILL__EXPECT(b, rc == 1, "an empty write returned %d, not 1", rc);
    rc = rill_transport_writev(b->a.t, &nothing, 1);
    RILL__EXPECT(b, rc == 1, "a vector of nothing returned %d, not 1", rc);
    rc = rill_transport_writev(b->a.t, &nothing, 0);
    RILL__EXPECT(b, rc == 1, "an empty vector returned %d, not 1", rc);
    RILL__EXPECT(b, rill_transport_write_buffer_size(b->a.t) == 0, "nothing is queued");
    rill__battery_settle(b);
    RILL__EXPECT(b, b->b.data_calls == 0, "an empty write was delivered");
    (void)rill__side_send(&b->a, 1);
    (void)rill__battery_wait(b, rill__b_has_all, "a byte after empty writes");
}

static void
wrong_writes(rill__battery *b)
{
    rill_iovec parts[2] = { { "ab", 2 }, { NULL, 3 } };
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rc = rill_transport_write(b->a.t, NULL, 5);
    RILL__EXPECT(b, rc == RILL_EINVAL, "write without data returned %s", rill_errname(rc));
    rc = rill_transport_writev(b->a.t, parts, 2);
    RILL__EXPECT(b, rc == RILL_EINVAL, "a part without data returned %s", rill_errname(rc));
    rc = rill_transport_writev(b->a.t, NULL, 2);
    RILL__EXPECT(b, rc == RILL_EINVAL, "parts without a vector returned %s", rill_errname(rc));
    rill__battery_settle(b);
    RILL__EXPECT(b, b->b.data_calls == 0, "a refused write was delivered");
}

static void
writev_gathers(rill__battery *b)
{
    rill_iovec parts[1025];
    size_t at = 0;
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pattern(&b->a, 0, b->block, sizeof(b->block));
    for (size_t i = 0; i < 1025; i++) {
        parts[i].data = b->block + at;
        parts[i].len = i % 5 == 0 ? 0 : i % 97;
        at += i < 1024 ? parts[i].len : 0;
    }
    rill__call_begin(b);
    rc = rill_transport_writev(b->a.t, parts, 1025);
    rill__call_end(b);
    RILL__EXPECT(b, rc == RILL_EINVAL, "1025 parts returned %s", rill_errname(rc));

    b->a.sent = at;
    rill__call_begin(b);
    rc = rill_transport_writev(b->a.t, parts, 1024);
    rill__call_end(b);
    RILL__EXPECT(b, rc >= 0, "1024 parts returned %s", rill_errname(rc));
    memset(b->block, 0xee, sizeof(b->block));
    (void)rill__battery_wait(b, rill__b_has_all, "the bytes of 1024 parts");
}

static void
write_thrice(rill__side *s, rill_slice in)
{
    (void)in;
    for (size_t len = 1; len <= 3 && s->sent < 3000; len++)
        (void)rill__side_send(s, len * 7);
}

static bool
enough_traffic(rill__battery *b)
{
    return (b->a.sent >= 3000 || b->b.sent >= 3000) && rill__all_received(b);
}

/* Small writes of one callback may be gathered: never reordered, never kept back. */
static void
writes_in_data(rill__battery *b)
{
    b->a.on_data = b->b.on_data = write_thrice;
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 1);
    (void)rill__battery_wait(b, enough_traffic, "small writes in data_received");
}

static void
write_other_side(rill__side *s, rill_slice in)
{
    (void)in;
    if (s->sent < 2000 && s->peer->t != NULL) {
        (void)rill__side_send(s, 10);
        (void)rill__side_send(s->peer, 10);
        (void)rill__side_send(s, 10);
    }
}

static bool
b_is_busy(rill__battery *b)
{
    return b->b.sent >= 2000 && rill__all_received(b);
}

static void
writes_of_two_transports_mix(rill__battery *b)
{
    b->b.on_data = write_other_side;
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 1);
    (void)rill__battery_wait(b, b_is_busy, "writes to two transports in one callback");
}

static void
write_soon(void *arg)
{
    rill__battery *b = arg;

    for (size_t i = 0; i < 10; i++)
        (void)rill__side_send(&b->a, 100);
    rill__battery_poke(b);
}

static bool
thousand_came(rill__battery *b)
{
    return b->b.received == 1000;
}

static void
writes_in_other_callbacks(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    RILL__EXPECT(b, rill_call_soon(b->loop, write_soon, b, NULL) == 0, "call_soon failed");
    (void)rill__battery_wait(b, thousand_came, "bytes written in a callback of the loop");
}

static void
counters_agree(rill__battery *b)
{
    rill_transport_info info_a = { .size = sizeof(info_a) }, info_b = { .size = sizeof(info_b) };

    if (!rill__battery_open(b, NULL))
        return;
    b->a.target = 300000;
    b->a.on_resume = rill__side_pump;
    rill__side_pump(&b->a);
    if (!rill__battery_wait(b, rill__b_has_all, "300,000 bytes"))
        return;
    rill__battery_run_for(b, 7 * b->settle); /* The carrier may tell later that it took them. */
    rill_transport_get_info(b->a.t, &info_a);
    rill_transport_get_info(b->b.t, &info_b);
    RILL__EXPECT(b, info_a.bytes_out == b->a.sent, "bytes_out is %llu and %llu were sent",
        (unsigned long long)info_a.bytes_out, (unsigned long long)b->a.sent);
    RILL__EXPECT(b, info_b.bytes_in == b->b.received, "bytes_in is %llu and %llu were received",
        (unsigned long long)info_b.bytes_in, (unsigned long long)b->b.received);
    RILL__EXPECT(b, info_a.bytes_in == 0 && info_b.bytes_out == 0, "bytes in the other direction");
    RILL__EXPECT(b, rill_transport_write_buffer_size(b->a.t) == 0, "an idle queue is not empty");
}

const rill__case rill__cases_order[] = {
    { "made_comes_later", made_comes_later },
    { "write_in_made", write_in_made },
    { "bytes_both_ways", bytes_both_ways },
    { "every_small_size", every_small_size },
    { "powers_of_two", powers_of_two },
    { "empty_write", empty_write },
    { "wrong_writes", wrong_writes },
    { "writev_gathers", writev_gathers },
    { "writes_in_data", writes_in_data },
    { "writes_of_two_transports_mix", writes_of_two_transports_mix },
    { "writes_in_other_callbacks", writes_in_other_callbacks },
    { "counters_agree", counters_agree },
    { NULL, NULL },
};
