/*
 * Conformance cases: pausing in both directions. Pause of reading is absolute, resume loses
 * nothing; the marks are exact and alternate; the cap ends the connection; drains tell the truth.
 * Each case owns the battery it is given; all on the loop's thread.
 */
#include "transports/conformance_battery.h"

#include <string.h>

static bool
a_resumed(rill__battery *b)
{
    return b->a.resumes > 0 && !b->a.write_paused;
}

static bool
a_lost(rill__battery *b)
{
    return b->a.lost;
}

static void
pause_in_made(rill__side *s)
{
    rill__side_pause(s);
}

static void
send_five(rill__side *s)
{
    (void)rill__side_send(s, 5);
}

static void
pause_in_made_holds(rill__battery *b)
{
    b->a.on_made = send_five;
    b->b.on_made = pause_in_made;
    if (!rill__battery_open(b, NULL))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, b->b.received == 0, "data in spite of the pause in connection_made");
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, rill__b_has_all, "what waited for the resume");
}

static void
pause_is_idempotent(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    RILL__EXPECT(b, rill_transport_is_reading(b->b.t), "not reading at first");
    rill__side_resume(&b->b);
    rill__side_pause(&b->b);
    rill__side_pause(&b->b);
    (void)rill__side_send(&b->a, 5000);
    rill__battery_settle(b);
    RILL__EXPECT(b, b->b.received == 0, "data while paused");
    rill__side_resume(&b->b);
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, rill__b_has_all, "what waited for the resume"))
        return;
    rill__side_pause(&b->b);
    (void)rill__side_send(&b->a, 10);
    rill__battery_settle(b);
    RILL__EXPECT(b, b->b.received == 5000, "data while paused again");
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, rill__b_has_all, "what waited for the second resume");
}

/* The bytes are there and the event is under way: the pause of the same turn still holds. */
static void
pause_peer_from_timer(void *arg)
{
    rill__battery *b = arg;

    if (b->b.t != NULL && !b->b.read_paused)
        rill__side_pause(&b->b);
}

static void
pause_in_the_same_turn(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    for (int i = 0; i < 10; i++) {
        (void)rill__side_send(&b->a, 100);
        RILL__EXPECT(b, rill_call_soon(b->loop, pause_peer_from_timer, b, NULL) == 0, "no memory");
        rill__battery_settle(b); /* The monitor sees data after the pause. */
        rill__side_resume(&b->b);
        if (!rill__battery_wait(b, rill__b_has_all, "what waited for the resume"))
            return;
    }
}

static void
resume_soon(void *arg)
{
    rill__side *s = arg;

    if (s->t != NULL && s->read_paused && !rill_transport_is_closing(s->t))
        rill__side_resume(s);
}

static void
pause_at_random(rill__side *s, rill_slice in)
{
    (void)in;
    switch (rill__battery_random(s->battery, 4)) {
    case 0:
        rill__side_pause(s);
        if (rill_call_soon(s->battery->loop, resume_soon, s, NULL) < 0)
            rill__battery_fail(s->battery, "call_soon failed");
        break;
    case 1:
        rill__side_pause(s);
        rill__side_resume(s);
        break;
    }
}

static void
pause_in_data_loses_nothing(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    b->a.target = b->b.target = 400000;
    b->a.on_resume = b->b.on_resume = rill__side_pump;
    b->a.on_data = b->b.on_data = pause_at_random;
    rill__side_pump(&b->a);
    rill__side_pump(&b->b);
    (void)rill__battery_wait(b, rill__all_received, "all bytes in spite of random pauses");
}

/* Puts `size` bytes into the queue of a, whose peer does not read: what the carrier takes on the
 * way is beside the point. */
static bool
queue_up_to(rill__battery *b, size_t size)
{
    uint64_t start = b->a.sent;

    while (!b->failed && b->a.sent - start < RILL__FILL_BYTES_MAX) {
        size_t queued = rill_transport_write_buffer_size(b->a.t);

        if (queued == size)
            return true;
        if (queued > size ||
            rill__side_send(&b->a, size - queued < 4096 ? size - queued : 4096) < 0)
            break;
    }
    rill__battery_fail(b, "the queue cannot be brought to %zu bytes; it has %zu", size,
        rill_transport_write_buffer_size(b->a.t));
    return false;
}

static void
marks_are_exact(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();
    int rc;

    options.write_high = 50000;
    options.write_low = 20000;
    if (!rill__battery_open(b, &options))
        return;
    rill__side_pause(&b->b);
    if (!queue_up_to(b, 50000))
        return;
    RILL__EXPECT(b, b->a.pauses == 0, "pause_writing at exactly the high mark");
    rc = rill__side_send(&b->a, 1);
    RILL__EXPECT(b, b->a.pauses == 1, "no pause_writing one byte above the high mark");
    RILL__EXPECT(b, rc == 0, "write above the high mark returned %d, not 0", rc);
    rc = rill__side_send(&b->a, 1000);
    RILL__EXPECT(b, rc == 0, "write above the high mark returned %d, not 0", rc);
    RILL__EXPECT(b, b->a.pauses == 1, "pause_writing came again");
    RILL__EXPECT(b, rill_transport_write_buffer_size(b->a.t) == 51001,
        "%zu bytes queued instead of 51001", rill_transport_write_buffer_size(b->a.t));

    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, a_resumed, "resume_writing"))
        return;
    (void)rill__battery_wait(b, rill__b_has_all, "the queued bytes");
    RILL__EXPECT(b, b->a.resumes == 1, "resume_writing came %zu times", b->a.resumes);
}

static void
marks_alternate(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();

    options.write_high = 4096;
    if (!rill__battery_open(b, &options))
        return;
    for (size_t i = 1; i <= 3; i++) {
        rill__side_pause(&b->b);
        if (!rill__side_fill(&b->a))
            return;
        rill__side_resume(&b->b);
        if (!rill__battery_wait(b, rill__b_has_all, "the queued bytes"))
            return;
        rill__battery_settle(b);
        RILL__EXPECT(b, b->a.pauses >= i && b->a.resumes == b->a.pauses,
            "after %zu times there were %zu pauses and %zu resumes", i, b->a.pauses, b->a.resumes);
    }
}

static void
high_mark_zero(rill__battery *b)
{
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rill__call_begin(b);
    rc = rill_transport_set_write_limits(b->a.t, 0, 0);
    rill__call_end(b);
    RILL__EXPECT(b, rc == 0, "marks of 0 and 0 were refused: %s", rill_errname(rc));
    RILL__EXPECT(b, b->a.pauses == 0, "pause_writing with an empty queue");
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, a_resumed, "resume_writing"))
        return;
    RILL__EXPECT(b, b->a.queued_at_resume == 0, "resume_writing with %zu bytes queued",
        b->a.queued_at_resume);
    (void)rill__battery_wait(b, rill__b_has_all, "the queued bytes");
}

static int
set_limits(rill__battery *b, size_t high, size_t low)
{
    int rc;

    rill__call_begin(b);
    b->resume_allowed = true;
    rc = rill_transport_set_write_limits(b->a.t, high, low);
    b->resume_allowed = false;
    rill__call_end(b);
    return rc;
}

static void
marks_apply_at_once(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();
    size_t high = 0, low = 0;
    int rc;

    options.write_high = 60000;
    if (!rill__battery_open(b, &options))
        return;
    rill_transport_get_write_limits(b->a.t, &high, &low);
    RILL__EXPECT(b, high == 60000 && low == 15000, "marks of the options are %zu, %zu", high, low);
    rc = set_limits(b, 1000, 2000);
    RILL__EXPECT(b, rc == RILL_EINVAL, "low above high returned %s", rill_errname(rc));
    rc = set_limits(b, (size_t)32 << 20, 0);
    RILL__EXPECT(b, rc == RILL_EINVAL, "high above the cap returned %s", rill_errname(rc));
    rc = rill_transport_set_write_cap(b->a.t, 1000);
    RILL__EXPECT(b, rc == RILL_EINVAL, "a cap below high returned %s", rill_errname(rc));

    rill__side_pause(&b->b);
    if (!queue_up_to(b, 10000))
        return;
    RILL__EXPECT(b, set_limits(b, 9999, 100) == 0, "good marks were refused");
    RILL__EXPECT(b, b->a.pauses == 1, "lowering the high mark below the queue did not pause");
    RILL__EXPECT(b, set_limits(b, 40000, 9999) == 0, "good marks were refused");
    RILL__EXPECT(b, b->a.resumes == 0, "resume_writing one byte above the low mark");
    RILL__EXPECT(b, set_limits(b, 40000, 10000) == 0, "good marks were refused");
    RILL__EXPECT(b, b->a.resumes == 1, "raising the low mark to the queue did not resume");
    RILL__EXPECT(b, set_limits(b, 40000, 0) == 0, "good marks were refused");
    rill_transport_get_write_limits(b->a.t, &high, &low);
    RILL__EXPECT(b, high == 40000 && low == 10000, "marks are %zu and %zu", high, low);
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, rill__b_has_all, "the queued bytes");
}

static void
write_more(rill__side *s)
{
    if (s->sent < 900000)
        (void)rill__side_send(s, 30000);
}

/* Or until a write is refused. */
static void
write_until_paused(rill__side *s)
{
    while (s->sent < 900000 && rill__side_send(s, 30000) >= 0 && !s->write_paused) {
    }
}

static bool
much_is_through(rill__battery *b)
{
    return b->a.sent >= 900000 && b->b.received == b->a.sent;
}

static void
writes_in_pause_and_resume(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();

    options.write_high = 20000;
    if (!rill__battery_open(b, &options))
        return;
    rill__side_pause(&b->b);
    b->a.on_pause = write_more;
    b->a.on_resume = write_until_paused;
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, b->a.pauses == 1, "%zu pauses", b->a.pauses);
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, much_is_through, "bytes written in resume_writing"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, !b->a.write_paused, "paused with an empty queue");
}

static void
send_hundred(rill__side *s)
{
    (void)rill__side_send(s, 100);
}

/* What is written in pause_writing comes after the whole vector that caused it. */
static void
writev_is_one_write(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();
    uint8_t bytes[300 * 100];
    rill_iovec parts[300];
    int rc;

    options.write_high = 1000;
    if (!rill__battery_open(b, &options))
        return;
    rill__side_pause(&b->b);
    if (!queue_up_to(b, 990))
        return;
    b->a.on_pause = send_hundred;
    rill__side_pattern(&b->a, b->a.sent, bytes, sizeof(bytes));
    for (size_t i = 0; i < 300; i++)
        parts[i] = (rill_iovec){ bytes + i * 100, 100 };
    b->a.sent += sizeof(bytes);
    rill__call_begin(b);
    rc = rill_transport_writev(b->a.t, parts, 300);
    rill__call_end(b);
    RILL__EXPECT(b, rc == 0, "writev above the high mark returned %d, not 0", rc);
    RILL__EXPECT(b, b->a.pauses == 1, "%zu pauses", b->a.pauses);
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, rill__b_has_all, "the vector and what followed it");
}

static void
cap_ends_it(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();
    int rc = 0;

    options.write_cap = 300000;
    if (!rill__battery_open(b, &options))
        return;
    rill__side_pause(&b->b);
    if (!queue_up_to(b, 300000))
        return;
    RILL__EXPECT(b, !rill_transport_is_closing(b->a.t), "ended at exactly the cap");
    rc = rill__side_send(&b->a, 1);
    RILL__EXPECT(b, !b->a.lost, "connection_lost ran inside write");
    RILL__EXPECT(b, rill_transport_is_closing(b->a.t), "goes on above the cap");
    rc = rill_transport_write(b->a.t, "x", 1);
    RILL__EXPECT(b, rc == RILL_ECLOSED, "write after the cap returned %s", rill_errname(rc));
    if (!rill__battery_wait(b, a_lost, "connection_lost after the cap"))
        return;
    RILL__EXPECT(b, b->a.code == RILL_EOVERFLOW, "lost with %s, not RILL_EOVERFLOW",
        rill_errname(b->a.code));
}

static void
drained(void *arg, int rc)
{
    rill__battery *b = arg;

    if (b->calling > 0)
        rill__battery_fail(b, "a drain was done inside a call");
    if (b->a.lost)
        rill__battery_fail(b, "a drain was done after connection_lost");
    b->codes[b->counts[0] % 4] = rc;
    b->sizes[b->counts[0] % 4] = rill_transport_write_buffer_size(b->a.t);
    b->counts[0]++;
    rill__battery_poke(b);
}

static int
drain(rill__battery *b, size_t bytes_max, rill_ns timeout, rill_id *ret_id)
{
    int rc;

    rill__call_begin(b);
    rc = rill_transport_drain_start(b->a.t, bytes_max, timeout, drained, b, ret_id);
    rill__call_end(b);
    return rc;
}

static bool
one_drained(rill__battery *b)
{
    return b->counts[0] >= 1;
}

static bool
three_drained(rill__battery *b)
{
    return b->counts[0] >= 3;
}

static void
drains_in_order(rill__battery *b)
{
    size_t high = 0, low = 0;
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    rc = rill_transport_drain_start(b->a.t, 0, RILL_NEVER, NULL, NULL, NULL);
    RILL__EXPECT(b, rc == RILL_EINVAL, "a drain without done returned %s", rill_errname(rc));
    RILL__EXPECT(b, drain(b, 0, RILL_NEVER, NULL) == 0, "drain failed");
    RILL__EXPECT(b, b->counts[0] == 0, "done inside the call");
    if (!rill__battery_wait(b, one_drained, "the drain of an empty queue"))
        return;
    RILL__EXPECT(b, b->codes[0] == 0, "drained with %s", rill_errname(b->codes[0]));

    b->counts[0] = 0;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, drain(b, 0, RILL_NEVER, &b->ids[0]) == 0, "drain failed");
    rill_transport_get_write_limits(b->a.t, &high, &low); /* Paused means more than low. */
    RILL__EXPECT(b, drain(b, low, 1000 * RILL_S, &b->ids[1]) == 0, "drain failed");
    RILL__EXPECT(b, drain(b, 0, RILL_NEVER, &b->ids[2]) == 0, "drain failed");
    RILL__EXPECT(b, drain(b, 10, RILL_NEVER, &b->ids[3]) == 0, "drain failed");
    RILL__EXPECT(b, rill_cancel(b->loop, b->ids[3]), "a waiting drain cannot be canceled");
    RILL__EXPECT(b, !rill_cancel(b->loop, b->ids[3]), "a drain was canceled twice");
    rill__battery_settle(b);
    RILL__EXPECT(b, b->counts[0] == 0, "a drain was done too early");
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, three_drained, "three drains"))
        return;
    RILL__EXPECT(
        b, b->sizes[0] <= low, "drain to %zu at %llu", low, (unsigned long long)b->sizes[0]);
    RILL__EXPECT(b, b->sizes[1] == 0 && b->sizes[2] == 0, "drained with bytes in the queue");
    RILL__EXPECT(
        b, b->codes[0] == 0 && b->codes[1] == 0 && b->codes[2] == 0, "drained with an error");
    if (!rill__battery_wait(b, rill__b_has_all, "the queued bytes"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, b->counts[0] == 3, "a canceled drain was done");
}

static void
send_and_drain(void *arg)
{
    rill__battery *b = arg;

    (void)rill__side_send(&b->a, 500);
    if (drain(b, 0, RILL_NEVER, NULL) != 0)
        rill__battery_fail(b, "drain failed");
}

/* Bytes that a callback gathered count as queued, and are seen leaving. */
static void
drains_of_gathered_bytes(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    RILL__EXPECT(b, rill_call_soon(b->loop, send_and_drain, b, NULL) == 0, "call_soon failed");
    if (!rill__battery_wait(b, one_drained, "the drain of what one callback wrote"))
        return;
    RILL__EXPECT(b, b->codes[0] == 0 && b->sizes[0] == 0, "drained with %s and %llu bytes queued",
        rill_errname(b->codes[0]), (unsigned long long)b->sizes[0]);
    (void)rill__battery_wait(b, rill__b_has_all, "the bytes");
}

static void
drains_time_out(rill__battery *b)
{
    rill_ns start;

    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    start = rill_loop_time(b->loop);
    RILL__EXPECT(b, drain(b, 0, 20 * RILL_MS, NULL) == 0, "drain failed");
    if (!rill__battery_wait(b, one_drained, "the end of a drain's time"))
        return;
    RILL__EXPECT(b, b->codes[0] == RILL_ETIMEDOUT, "drain: %s", rill_errname(b->codes[0]));
    RILL__EXPECT(b, rill_loop_time(b->loop) - start >= 20 * RILL_MS, "timed out early");
    RILL__EXPECT(b, !b->a.lost, "the connection went with the drain");
}

static void
drains_see_the_loss(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, drain(b, 0, RILL_NEVER, NULL) == 0, "drain failed");
    RILL__EXPECT(b, drain(b, 5, RILL_S, NULL) == 0, "drain failed");
    rill__side_abort(&b->a);
    RILL__EXPECT(b, b->counts[0] == 0, "a drain was done inside abort");
    if (!rill__battery_wait(b, a_lost, "connection_lost"))
        return;
    RILL__EXPECT(b, b->counts[0] == 2, "%u of 2 drains were done", b->counts[0]);
    RILL__EXPECT(b, b->codes[0] == RILL_EABORTED && b->codes[1] == RILL_EABORTED,
        "drains ended with %s and %s", rill_errname(b->codes[0]), rill_errname(b->codes[1]));
}

const rill__case rill__cases_flow[] = {
    { "pause_in_made_holds", pause_in_made_holds },
    { "pause_is_idempotent", pause_is_idempotent },
    { "pause_in_the_same_turn", pause_in_the_same_turn },
    { "pause_in_data_loses_nothing", pause_in_data_loses_nothing },
    { "marks_are_exact", marks_are_exact },
    { "marks_alternate", marks_alternate },
    { "high_mark_zero", high_mark_zero },
    { "marks_apply_at_once", marks_apply_at_once },
    { "writes_in_pause_and_resume", writes_in_pause_and_resume },
    { "writev_is_one_write", writev_is_one_write },
    { "cap_ends_it", cap_ends_it },
    { "drains_in_order", drains_in_order },
    { "drains_of_gathered_bytes", drains_of_gathered_bytes },
    { "drains_time_out", drains_time_out },
    { "drains_see_the_loss", drains_see_the_loss },
    { NULL, NULL },
};
