/*
 * Conformance cases: every way to end. close flushes, abort drops, fail says why; connection_lost
 * is the last word, once, never inside a call; what is refused afterwards. Each case owns the
 * battery it is given; all on the loop's thread.
 */
#include "transports/conformance_battery.h"

#include <string.h>

/* Both ends gone, the one that did nothing after a clean end of the other. */
static void
expect_clean_end(rill__battery *b, rill__side *closer)
{
    rill__side *peer = closer->peer;

    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, closer->lost && peer->lost, "a side was never made");
    RILL__EXPECT(b, closer->code == 0, "%s closed and lost with %s", closer->name,
        rill_errname(closer->code));
    RILL__EXPECT(b, peer->eof, "%s saw no eof_received", peer->name);
    RILL__EXPECT(b, peer->code == RILL_EOF, "%s ended with %s, not RILL_EOF", peer->name,
        rill_errname(peer->code));
    RILL__EXPECT(b, peer->received == closer->sent, "%s received %llu of %llu bytes", peer->name,
        (unsigned long long)peer->received, (unsigned long long)closer->sent);
    rill__battery_settle(b); /* The monitor sees what comes after the end. */
}

static void
expect_abort(rill__battery *b, rill__side *side, int code)
{
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, side->lost && side->peer->lost, "a side was never made");
    RILL__EXPECT(b, side->code == code, "%s ended with %s, not %s", side->name,
        rill_errname(side->code), rill_errname(code));
    RILL__EXPECT(b, side->peer->code < 0, "%s ended without an error", side->peer->name);
    rill__battery_settle(b);
}

static bool
a_lost(rill__battery *b)
{
    return b->a.lost;
}

static void
close_idle(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    RILL__EXPECT(b, !rill_transport_is_closing(b->a.t), "closing from the start");
    rill__side_close(&b->a);
    RILL__EXPECT(b, !b->a.lost, "lost inside close");
    RILL__EXPECT(b, !rill_transport_is_reading(b->a.t), "reading after close");
    expect_clean_end(b, &b->a);
}

static void
close_by_the_other_side(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_close(&b->b);
    expect_clean_end(b, &b->b);
}

static void
close_flushes(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    for (int i = 0; i < 20; i++)
        (void)rill__side_send(&b->a, 10000);
    rill__side_close(&b->a);
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.lost, "lost before the queue was sent");
    rill__side_resume(&b->b);
    expect_clean_end(b, &b->a);
}

static void
close_twice(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 3000);
    rill__side_close(&b->a);
    rill__side_close(&b->a);
    rill__battery_poke(b);
    expect_clean_end(b, &b->a);
}

static void
close_hook(rill__side *s)
{
    rill__side_close(s);
}

static void
send_and_close(rill__side *s)
{
    (void)rill__side_send(s, 2000);
    rill__side_close(s);
}

static void
close_in_made(rill__battery *b)
{
    b->a.on_made = send_and_close;
    if (rill__battery_open(b, NULL))
        expect_clean_end(b, &b->a);
}

static void
close_in_made_of_b(rill__battery *b)
{
    b->b.on_made = send_and_close;
    if (rill__battery_open(b, NULL))
        expect_clean_end(b, &b->b);
}

static void
close_both_in_made(rill__battery *b)
{
    b->a.on_made = b->b.on_made = close_hook;
    if (!rill__battery_open(b, NULL))
        return;
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->a.code == 0 && b->b.code == 0, "both closed and lost with %s and %s",
        rill_errname(b->a.code), rill_errname(b->b.code));
}

static void
reply_and_close(rill__side *s, rill_slice in)
{
    (void)in;
    if (s->received < s->peer->sent)
        return; /* Input after a close would be answered by a reset. */
    (void)rill__side_send(s, 100);
    rill__side_close(s);
    (void)rill_transport_write(s->t, "late", 4);
}

static void
close_in_data(rill__battery *b)
{
    b->b.on_data = reply_and_close;
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 100);
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->b.code == 0, "b closed and lost with %s", rill_errname(b->b.code));
    RILL__EXPECT(
        b, b->a.received == 100, "the reply lost %d of 100 bytes", 100 - (int)b->a.received);
}

static void
close_hook_data(rill__side *s, rill_slice in)
{
    (void)in;
    rill__side_close(s); /* The monitor looks at the slice again. */
}

static void
slice_survives_close(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    b->b.on_data = close_hook_data;
    rill__side_pause(&b->b);
    for (int i = 0; i < 20; i++)
        (void)rill__side_send(&b->a, 12345);
    rill__battery_settle(b);
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->b.data_calls == 1, "data after close");
}

static void
close_with_unread_input(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    (void)rill__side_send(&b->a, 5000);
    rill__battery_settle(b);
    (void)rill__side_send(&b->b, 7000);
    rill__side_close(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->b.code == 0, "b closed and lost with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.received == 7000, "unread input cost %d of 7000 bytes of output",
        7000 - (int)b->a.received);
    RILL__EXPECT(
        b, b->a.eof && b->a.code == RILL_EOF, "a saw no clean end but %s", rill_errname(b->a.code));
}

static void
close_in_eof(rill__battery *b)
{
    b->b.on_eof = send_and_close;
    b->b.keep_open = true;
    if (!rill__battery_open(b, NULL))
        return;
    if (!rill_transport_can_write_eof(b->a.t)) {
        rill__battery_skip(b, "no half close");
        return;
    }
    (void)rill__side_send(&b->a, 10);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->b.code == 0, "b closed and lost with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.received == 2000, "a received %d bytes of 2000", (int)b->a.received);
}

static void
close_in_eof_and_false(rill__battery *b)
{
    b->b.on_eof = close_hook;
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_close(&b->a);
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of both sides"))
        return;
    RILL__EXPECT(b, b->a.code == 0, "a closed and lost with %s", rill_errname(b->a.code));
    RILL__EXPECT(b, b->b.code == 0, "b closed first and lost with %s", rill_errname(b->b.code));
}

static void
close_in_pause(rill__battery *b)
{
    b->a.on_pause = close_hook;
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, !b->a.lost, "lost inside write");
    rill__side_resume(&b->b);
    expect_clean_end(b, &b->a);
}

static void
close_in_resume(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    b->a.on_resume = send_and_close;
    rill__side_resume(&b->b);
    expect_clean_end(b, &b->a);
}

static void
use_in_lost(rill__side *s, const rill_reason *why)
{
    rill_transport *t = s->t;
    int rc;

    (void)why;
    rill_transport_close(t);
    rill_transport_abort(t);
    rill_transport_pause_reading(t);
    rill_transport_resume_reading(t);
    rill_transport_fail(t, RILL_EUSER - 1, "too late");
    rc = rill_transport_write(t, "late", 4);
    if (rc != RILL_ECLOSED)
        rill__battery_fail(s->battery, "write in connection_lost returned %d", rc);
    rc = rill_transport_write_eof(t);
    if (rc != RILL_ECLOSED)
        rill__battery_fail(s->battery, "write_eof in connection_lost returned %d", rc);
    if (rill_transport_state(t) != s)
        rill__battery_fail(s->battery, "the state changed before connection_lost");
    if (rill_transport_loop(t) != s->battery->loop)
        rill__battery_fail(s->battery, "the loop changed before connection_lost");
    if (rill_transport_write_buffer_size(t) != 0)
        rill__battery_fail(s->battery, "bytes are queued in connection_lost");
}

static void
calls_in_lost(rill__battery *b)
{
    b->a.on_lost = b->b.on_lost = use_in_lost;
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_close(&b->a);
    expect_clean_end(b, &b->a);
}

static void
abort_drops(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    rill__side_abort(&b->a);
    RILL__EXPECT(b, !b->a.lost, "lost inside abort");
    rill__side_resume(&b->b);
    b->b.quiet_on_data = true;
    expect_abort(b, &b->a, RILL_EABORTED);
    RILL__EXPECT(b, b->b.received < b->a.sent, "abort delivered the whole queue");
}

static void
abort_twice(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_abort(&b->b);
    rill__side_abort(&b->b);
    rill__side_close(&b->b);
    expect_abort(b, &b->b, RILL_EABORTED);
}

/* Reset before the other side has noticed the connection: it may never have been made there. */
static void
abort_in_made(rill__battery *b)
{
    b->a.on_made = rill__side_abort;
    if (!rill__battery_start(b, NULL, &rill__side_plain, &rill__side_plain))
        return;
    if (!rill__battery_wait(b, a_lost, "connection_lost after abort in connection_made"))
        return;
    RILL__EXPECT(b, b->a.code == RILL_EABORTED, "a ended with %s", rill_errname(b->a.code));
    rill__battery_settle(b);
    if (!rill__battery_wait(b, rill__both_lost, "connection_lost of the other side"))
        return;
    RILL__EXPECT(b, !b->b.made || b->b.code < 0, "b ended without an error");
}

static void
abort_on_data(rill__side *s, rill_slice in)
{
    (void)in;
    rill__side_abort(s);
}

static void
abort_in_data(rill__battery *b)
{
    b->b.on_data = abort_on_data;
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 30000);
    expect_abort(b, &b->b, RILL_EABORTED);
    RILL__EXPECT(b, b->b.data_calls == 1, "data after abort");
}

static void
abort_in_pause(rill__battery *b)
{
    b->a.on_pause = rill__side_abort;
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, !b->a.lost, "lost inside write");
    rill__side_resume(&b->b);
    expect_abort(b, &b->a, RILL_EABORTED);
}

static void
abort_after_close(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    rill__side_close(&b->a);
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.lost, "lost before the queue was sent");
    rill__side_abort(&b->a);
    if (!rill__battery_wait(b, a_lost, "the end of a stuck close by abort"))
        return;
    rill__side_resume(&b->b);
    expect_abort(b, &b->a, RILL_EABORTED);
}

static void
abort_by_both(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_abort(&b->a);
    rill__side_abort(&b->b);
    expect_abort(b, &b->a, RILL_EABORTED);
    RILL__EXPECT(
        b, b->b.code == RILL_EABORTED, "b aborted and lost with %s", rill_errname(b->b.code));
}

static void
refused_after_close(rill__battery *b)
{
    rill_iovec part = { "late", 4 };
    rill_transport *t;
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    t = b->a.t;
    rill__side_close(&b->a);
    for (int i = 0; i < 8; i++) {
        rc = rill_transport_write(t, "late", 4);
        RILL__EXPECT(b, rc == RILL_ECLOSED, "write after close returned %d", rc);
    }
    rc = rill_transport_writev(t, &part, 1);
    RILL__EXPECT(b, rc == RILL_ECLOSED, "writev after close returned %d", rc);
    rc = rill_transport_write_eof(t);
    RILL__EXPECT(b, rc == RILL_ECLOSED, "write_eof after close returned %d", rc);
    rill_transport_pause_reading(t);
    rill_transport_resume_reading(t);
    RILL__EXPECT(b, !rill_transport_is_reading(t), "reading again after close");
    expect_clean_end(b, &b->a);
    RILL__EXPECT(b, b->b.received == 0, "what was written after close arrived");
}

static void
fail_on_data(rill__side *s, rill_slice in)
{
    (void)in;
    rill_transport_fail(s->t, RILL_EUSER - 7, "the header has no colon");
    s->read_paused = true;
}

static void
fail_says_why(rill__battery *b)
{
    b->b.on_data = fail_on_data;
    if (!rill__battery_open(b, NULL))
        return;
    (void)rill__side_send(&b->a, 20000);
    expect_abort(b, &b->b, RILL_EUSER - 7);
    RILL__EXPECT(b, strcmp(b->b.sentence, "the header has no colon") == 0, "the sentence became %s",
        b->b.sentence);
    RILL__EXPECT(b, b->b.layer == RILL_LAYER_PROTOCOL, "the layer is %d", (int)b->b.layer);
    RILL__EXPECT(b, b->b.data_calls == 1, "data after fail");
}

static void
fail_twice(rill__battery *b)
{
    char text[200];

    if (!rill__battery_open(b, NULL))
        return;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    rill__call_begin(b);
    rill_transport_fail(b->a.t, RILL_EUSER - 1, text);
    memset(text, 'y', sizeof(text) - 1);
    rill_transport_fail(b->a.t, RILL_EUSER - 2, "second");
    rill__call_end(b);
    expect_abort(b, &b->a, RILL_EUSER - 1);
    RILL__EXPECT(b, strlen(b->a.sentence) == 111, "the sentence has %zu bytes, not 111",
        strlen(b->a.sentence));
    RILL__EXPECT(b, strspn(b->a.sentence, "x") == 111, "the sentence was not copied");
}

static void
fail_with_the_code_alone(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__call_begin(b);
    rill_transport_fail(b->a.t, RILL_ELIMIT, NULL);
    rill__call_end(b);
    expect_abort(b, &b->a, RILL_ELIMIT);
    RILL__EXPECT(b, strcmp(b->a.sentence, rill_strerror(RILL_ELIMIT)) == 0, "the sentence is %s",
        b->a.sentence);
    RILL__EXPECT(b, b->a.layer == RILL_LAYER_PROTOCOL, "the layer is %d", (int)b->a.layer);
}

/* The peer has gone for good: writing on must end, and with an error. */
static void
write_to_a_closed_peer(rill__battery *b)
{
    rill_ns deadline = rill_loop_time(b->loop) + b->timeout;

    b->a.keep_open = true;
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_close(&b->b);
    while (!b->a.lost && !b->failed && rill_loop_time(b->loop) < deadline) {
        if (!rill_transport_is_closing(b->a.t))
            (void)rill__side_send(&b->a, 1000);
        rill__battery_settle(b);
    }
    if (!rill__battery_wait(b, a_lost, "the loss after writing to a closed peer"))
        return;
    RILL__EXPECT(b, b->a.code < 0, "a ended without an error");
}

const rill__case rill__cases_ends[] = {
    { "close_idle", close_idle },
    { "close_by_the_other_side", close_by_the_other_side },
    { "close_flushes", close_flushes },
    { "close_twice", close_twice },
    { "close_in_made", close_in_made },
    { "close_in_made_of_b", close_in_made_of_b },
    { "close_both_in_made", close_both_in_made },
    { "close_in_data", close_in_data },
    { "slice_survives_close", slice_survives_close },
    { "close_with_unread_input", close_with_unread_input },
    { "close_in_eof", close_in_eof },
    { "close_in_eof_and_false", close_in_eof_and_false },
    { "close_in_pause", close_in_pause },
    { "close_in_resume", close_in_resume },
    { "calls_in_lost", calls_in_lost },
    { "abort_drops", abort_drops },
    { "abort_twice", abort_twice },
    { "abort_in_made", abort_in_made },
    { "abort_in_data", abort_in_data },
    { "abort_in_pause", abort_in_pause },
    { "abort_after_close", abort_after_close },
    { "abort_by_both", abort_by_both },
    { "refused_after_close", refused_after_close },
    { "fail_says_why", fail_says_why },
    { "fail_twice", fail_twice },
    { "fail_with_the_code_alone", fail_with_the_code_alone },
    { "write_to_a_closed_peer", write_to_a_closed_peer },
    { NULL, NULL },
};
