/*
 * Conformance cases: the end of one direction. write_eof after the queue, eof_received once and
 * with its answer respected, and the other direction goes on. Each case owns the battery it is
 * given; all on the loop's thread.
 */
#include "transports/conformance_battery.h"

static bool
b_eof(rill__battery *b)
{
    return b->b.eof;
}

static bool
both_eof(rill__battery *b)
{
    return b->a.eof && b->b.eof;
}

/* Open a pair; false also when the kind has no half close: the case is skipped then. */
static bool
open_halves(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return false;
    if (rill_transport_can_write_eof(b->a.t))
        return true;
    if (rill_transport_write_eof(b->a.t) != RILL_ENOTSUP)
        rill__battery_fail(b, "write_eof of a kind without half close is not refused");
    rill__battery_skip(b, "no half close");
    return false;
}

static void
eof_false_closes(rill__battery *b)
{
    if (!open_halves(b))
        return;
    (void)rill__side_send(&b->a, 3000);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    RILL__EXPECT(b, !rill_transport_is_closing(b->a.t), "write_eof closes");
    if (!rill__battery_wait(b, rill__both_lost, "the end after eof_received said false"))
        return;
    RILL__EXPECT(b, b->b.eof && b->b.received == 3000, "b received %d bytes", (int)b->b.received);
    RILL__EXPECT(b, b->b.code == RILL_EOF, "b ended with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.eof && b->a.code == RILL_EOF, "a ended with %s", rill_errname(b->a.code));
}

static void
eof_false_flushes(rill__battery *b)
{
    if (!open_halves(b))
        return;
    rill__side_pause(&b->a);
    if (!rill__side_fill(&b->b))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->b.lost, "lost before the queue was sent");
    rill__side_resume(&b->a);
    if (!rill__battery_wait(b, rill__both_lost, "the end after the flush"))
        return;
    RILL__EXPECT(b, b->a.received == b->b.sent, "a received %llu of %llu bytes",
        (unsigned long long)b->a.received, (unsigned long long)b->b.sent);
    RILL__EXPECT(b, b->b.code == RILL_EOF, "b ended with %s", rill_errname(b->b.code));
}

static void
eof_true_keeps_writing(rill__battery *b)
{
    b->b.keep_open = true;
    if (!open_halves(b))
        return;
    (void)rill__side_send(&b->a, 10);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    RILL__EXPECT(b, !rill_transport_is_reading(b->b.t), "is_reading after EOF");
    RILL__EXPECT(b, !rill_transport_is_closing(b->b.t), "closing though eof_received said true");
    b->b.target = 300000;
    b->b.on_resume = rill__side_pump;
    rill__side_pump(&b->b);
    if (!rill__battery_wait(b, rill__all_received, "bytes against a half closed side"))
        return;
    RILL__EXPECT(b, b->a.received == 300000, "a received %d bytes", (int)b->a.received);
    rill__side_close(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, b->b.code == 0, "b closed and ended with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.eof && b->a.code == RILL_EOF, "a ended with %s", rill_errname(b->a.code));
}

static void
eof_comes_once(rill__battery *b)
{
    b->b.keep_open = true;
    if (!open_halves(b))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    for (int i = 0; i < 3; i++) { /* The monitor sees a second one. */
        rill_transport_pause_reading(b->b.t);
        rill__battery_settle(b);
        rill_transport_resume_reading(b->b.t);
        RILL__EXPECT(b, !rill_transport_is_reading(b->b.t), "is_reading after EOF and resume");
        rill__battery_settle(b);
    }
}

static void
eof_waits_for_resume(rill__battery *b)
{
    if (!open_halves(b))
        return;
    b->b.keep_open = true;
    rill__side_pause(&b->b);
    (void)rill__side_send(&b->a, 500);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->b.eof, "eof_received while paused");
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, b_eof, "eof_received after the resume"))
        return;
    RILL__EXPECT(b, b->b.received == 500, "EOF came before %d bytes", 500 - (int)b->b.received);
}

static void
pause_on_last_data(rill__side *s, rill_slice in)
{
    (void)in;
    if (s->received == s->peer->sent)
        rill__side_pause(s);
}

/* The last bytes and the end may arrive together: a pause between them still holds. */
static void
pause_before_eof(rill__battery *b)
{
    if (!open_halves(b))
        return;
    b->b.keep_open = true;
    b->b.on_data = pause_on_last_data;
    (void)rill__side_send(&b->a, 500);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, rill__b_has_all, "500 bytes"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->b.eof, "eof_received while paused");
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, b_eof, "eof_received after the resume");
}

static void
write_eof_after_the_queue(rill__battery *b)
{
    int rc;

    if (!open_halves(b))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    rc = rill__side_write_eof(&b->a);
    RILL__EXPECT(b, rc == 0, "a second write_eof returned %s", rill_errname(rc));
    rc = rill__side_send(&b->a, 10);
    RILL__EXPECT(b, rc == RILL_EEOFSENT, "write after write_eof returned %s", rill_errname(rc));
    b->b.keep_open = true;
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    RILL__EXPECT(b, b->b.received == b->a.sent, "EOF after %llu of %llu bytes",
        (unsigned long long)b->b.received, (unsigned long long)b->a.sent);
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof after the end of the queue");
    rc = rill__side_send(&b->a, 10);
    RILL__EXPECT(b, rc == RILL_EEOFSENT, "write after write_eof returned %s", rill_errname(rc));
    RILL__EXPECT(b, !b->a.lost && rill_transport_is_reading(b->a.t), "write_eof stops reading");
    (void)rill__side_send(&b->b, 4000);
    (void)rill__battery_wait(b, rill__all_received, "bytes against a half closed side");
}

static void
eof_in_both_directions(rill__battery *b)
{
    b->a.keep_open = b->b.keep_open = true;
    if (!open_halves(b))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    RILL__EXPECT(b, rill__side_write_eof(&b->b) == 0, "write_eof failed");
    if (!rill__battery_wait(b, both_eof, "eof_received of both sides"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.lost && !b->b.lost, "lost though both eof_received said true: %s, %s",
        rill_errname(b->a.code), rill_errname(b->b.code));
    rill__side_close(&b->a);
    rill__side_close(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, b->a.code == 0 && b->b.code == 0, "closed and lost with %s and %s",
        rill_errname(b->a.code), rill_errname(b->b.code));
}

static void
half_close_in_made(rill__side *s)
{
    (void)rill__side_send(s, 1000);
    if (rill_transport_can_write_eof(s->t))
        (void)rill__side_write_eof(s);
}

static void
write_eof_in_made(rill__battery *b)
{
    b->a.on_made = half_close_in_made;
    b->b.keep_open = true;
    if (!open_halves(b))
        return;
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    RILL__EXPECT(b, b->b.received == 1000, "b received %d bytes of 1000", (int)b->b.received);
    RILL__EXPECT(b, !b->a.lost, "a was lost");
}

static void
abort_half_closed(rill__battery *b)
{
    b->b.keep_open = true;
    if (!open_halves(b))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    if (!rill__battery_wait(b, b_eof, "eof_received"))
        return;
    rill__side_abort(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, b->b.code == RILL_EABORTED, "b ended with %s", rill_errname(b->b.code));
    RILL__EXPECT(b, b->a.code < 0, "a ended without an error");
}

static void
close_half_closed_with_queue(rill__battery *b)
{
    if (!open_halves(b))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
    rill__side_close(&b->a);
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, b->a.code == 0, "a closed and ended with %s", rill_errname(b->a.code));
    RILL__EXPECT(b, b->b.received == b->a.sent, "b received %llu of %llu bytes",
        (unsigned long long)b->b.received, (unsigned long long)b->a.sent);
}

const rill__case rill__cases_halves[] = {
    { "eof_false_closes", eof_false_closes },
    { "eof_false_flushes", eof_false_flushes },
    { "eof_true_keeps_writing", eof_true_keeps_writing },
    { "eof_comes_once", eof_comes_once },
    { "eof_waits_for_resume", eof_waits_for_resume },
    { "pause_before_eof", pause_before_eof },
    { "write_eof_after_the_queue", write_eof_after_the_queue },
    { "eof_in_both_directions", eof_in_both_directions },
    { "write_eof_in_made", write_eof_in_made },
    { "abort_half_closed", abort_half_closed },
    { "close_half_closed_with_queue", close_half_closed_with_queue },
    { NULL, NULL },
};
