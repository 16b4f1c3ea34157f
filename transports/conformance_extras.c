/*
 * Conformance cases: lent bytes, files, timeouts, ids and reports.
 *
 * Each case owns the battery it is given; bytes that are lent lie in its block. All on the loop's
 * thread.
 */
#include "transports/conformance_battery.h"

#include "core/internal.h"

#include <stdio.h>
#include <string.h>

static bool
a_lost(rill__battery *b)
{
    return b->a.lost;
}

/* write_ref: counts[0] is how often the bytes were given back. */

static void
released(void *arg)
{
    rill__battery *b = arg;

    if (b->calling > 0)
        rill__battery_fail(b, "release ran inside a call");
    memset(b->block, 0xee, sizeof(b->block)); /* Who still needs them finds them spoilt. */
    b->counts[0]++;
    rill__battery_poke(b);
}

static int
lend(rill__battery *b, size_t len)
{
    int rc;

    rill__side_pattern(&b->a, b->a.sent, b->block, len);
    b->a.sent += len;
    rill__call_begin(b);
    rc = rill_transport_write_ref(b->a.t, b->block, len, released, b);
    rill__call_end(b);
    if (rc < 0)
        b->a.sent -= len;
    return rc;
}

static bool
given_back(rill__battery *b)
{
    return b->counts[0] > 0 && b->b.received == b->a.sent;
}

static void
ref_is_given_back(rill__battery *b)
{
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    for (size_t len = 1; len <= sizeof(b->block); len *= 16) {
        b->counts[0] = 0;
        rc = lend(b, len);
        RILL__EXPECT(b, rc == 0 || rc == 1, "write_ref returned %d", rc);
        if (!rill__battery_wait(b, given_back, "the release of lent bytes"))
            return;
        rill__battery_settle(b);
        RILL__EXPECT(b, b->counts[0] == 1, "released %u times", b->counts[0]);
    }
}

static void
ref_between_writes(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return;
    RILL__EXPECT(b, lend(b, 5000) >= 0, "write_ref failed");
    RILL__EXPECT(b, b->counts[0] == 0, "released inside the call");
    /* The block is lent, or copied and given back: these bytes come from elsewhere. */
    for (int i = 0; i < 100; i++) {
        uint8_t few[10];

        rill__side_pattern(&b->a, b->a.sent, few, sizeof(few));
        b->a.sent += sizeof(few);
        RILL__EXPECT(b, rill_transport_write(b->a.t, few, sizeof(few)) >= 0, "write failed");
    }
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, given_back, "lent bytes between others"))
        return;
    RILL__EXPECT(b, b->counts[0] == 1, "released %u times", b->counts[0]);
}

/* Lend to a full queue; the caller ends the side in some way. */
static bool
lend_to_full_queue(rill__battery *b, const rill_transport_options *options)
{
    if (!rill__battery_open(b, options))
        return false;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a))
        return false;
    if (lend(b, 30000) < 0)
        rill__battery_fail(b, "write_ref failed");
    rill__battery_settle(b); /* A kind that copies gives them back here. */
    return !b->failed;
}

static void
expect_given_back_at_the_end(rill__battery *b)
{
    if (!rill__battery_wait(b, a_lost, "the end"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, b->counts[0] == 1, "released %u times", b->counts[0]);
}

static void
ref_and_close(rill__battery *b)
{
    if (!lend_to_full_queue(b, NULL))
        return;
    rill__side_close(&b->a);
    rill__side_resume(&b->b);
    if (!rill__battery_wait(b, rill__b_has_all, "the lent bytes"))
        return;
    expect_given_back_at_the_end(b);
}

static void
ref_and_abort(rill__battery *b)
{
    if (!lend_to_full_queue(b, NULL))
        return;
    rill__side_abort(&b->a);
    expect_given_back_at_the_end(b);
}

static void
ref_and_peer_abort(rill__battery *b)
{
    if (!lend_to_full_queue(b, NULL))
        return;
    rill__side_abort(&b->b);
    expect_given_back_at_the_end(b);
}

static void
ref_and_overflow(rill__battery *b)
{
    rill_transport_options options = rill__battery_small();
    uint8_t some[4096];

    options.write_cap = 200000;
    if (!lend_to_full_queue(b, &options))
        return;
    memset(some, 0, sizeof(some));
    b->b.quiet_on_data = true;
    for (int i = 0; i < 100; i++) {
        b->a.sent += sizeof(some);
        if (rill_transport_write(b->a.t, some, sizeof(some)) < 0)
            break;
    }
    expect_given_back_at_the_end(b);
    RILL__EXPECT(b, b->a.code == RILL_EOVERFLOW, "a ended with %s", rill_errname(b->a.code));
}

static void
ref_refused(rill__battery *b)
{
    int rc;

    if (!rill__battery_open(b, NULL))
        return;
    if (rill_transport_can_write_eof(b->a.t)) {
        RILL__EXPECT(b, rill__side_write_eof(&b->a) == 0, "write_eof failed");
        rc = lend(b, 100);
        RILL__EXPECT(b, rc == RILL_EEOFSENT, "write_ref after write_eof returned %d", rc);
    }
    rill__side_close(&b->a);
    rc = lend(b, 100);
    RILL__EXPECT(b, rc == RILL_ECLOSED, "write_ref after close returned %d", rc);
    if (!rill__battery_wait(b, a_lost, "the end"))
        return;
    rill__battery_settle(b);
    RILL__EXPECT(b, b->counts[0] == 0, "a refused write_ref took the bytes");
}

/* sendfile: sizes[0] is the file's part before which there are `HEAD` bytes of a's stream, and
 * after which it goes on; counts[0] is how often done ran, codes[0] and sizes[2] with what. */

#define HEAD 100

static uint8_t
file_or_stream(rill__side *s, uint64_t offset)
{
    rill__battery *b = s->battery;
    uint64_t file_len = b->sizes[0], file_offset = b->sizes[1];
    uint8_t byte;

    if (offset >= HEAD && offset < HEAD + file_len)
        return ((const uint8_t *)b->options->file_data)[file_offset + offset - HEAD];
    rill__side_pattern(s->peer, offset, &byte, 1);
    return byte;
}

static void
file_sent(void *arg, int rc, uint64_t sent)
{
    rill__battery *b = arg;

    if (b->calling > 0)
        rill__battery_fail(b, "a sendfile was done inside a call");
    if (b->a.lost)
        rill__battery_fail(b, "a sendfile was done after connection_lost");
    b->counts[0]++;
    b->codes[0] = rc;
    b->sizes[2] = sent;
    rill__battery_poke(b);
}

static bool
file_is_sent(rill__battery *b)
{
    return b->counts[0] > 0;
}

static int
start_file(rill__battery *b, uint64_t offset, uint64_t count)
{
    int rc;

    if (b->a.t == NULL)
        return RILL_ECLOSED;
    rill__call_begin(b);
    rc = rill_transport_sendfile_start(
        b->a.t, b->options->file_fd, offset, count, true, file_sent, b, &b->ids[0]);
    rill__call_end(b);
    return rc;
}

/* A pair, the head of the stream on its way; false also without a file: the case is skipped. */
static bool
open_with_file(rill__battery *b, uint64_t offset, uint64_t file_len)
{
    if (b->options->file_data == NULL) {
        rill__battery_skip(b, "no file was given");
        return false;
    }
    b->sizes[0] = file_len;
    b->sizes[1] = offset;
    b->b.expected = file_or_stream;
    if (!rill__battery_open(b, NULL))
        return false;
    if (rill__side_send(&b->a, HEAD) < 0)
        rill__battery_fail(b, "write failed");
    return b->a.t != NULL && !b->failed;
}

static void
send_part(rill__battery *b, uint64_t offset, uint64_t count, uint64_t file_len, int code)
{
    int rc;

    if (!open_with_file(b, offset, file_len))
        return;
    rc = start_file(b, offset, count);
    if (rc == RILL_ENOTSUP) {
        rill__battery_skip(b, "no sendfile");
        return;
    }
    RILL__EXPECT(b, rc == 0, "sendfile_start returned %s", rill_errname(rc));
    RILL__EXPECT(b, b->counts[0] == 0, "done inside the call");
    b->a.sent += file_len;
    rc = rill_transport_write(b->a.t, "x", 1);
    RILL__EXPECT(b, rc == RILL_EBUSY, "write during a sendfile returned %s", rill_errname(rc));
    rc = start_file(b, 0, 0);
    RILL__EXPECT(b, rc == RILL_EBUSY, "a second sendfile returned %s", rill_errname(rc));
    if (rill_transport_can_write_eof(b->a.t)) {
        rc = rill__side_write_eof(&b->a);
        RILL__EXPECT(b, rc == RILL_EBUSY, "write_eof during a sendfile: %s", rill_errname(rc));
    }
    if (!rill__battery_wait(b, file_is_sent, "the end of a sendfile"))
        return;
    RILL__EXPECT(b, b->codes[0] == code, "sendfile ended with %s", rill_errname(b->codes[0]));
    RILL__EXPECT(b, b->sizes[2] == file_len, "sendfile tells %llu bytes instead of %llu",
        (unsigned long long)b->sizes[2], (unsigned long long)file_len);
    RILL__EXPECT(b, rill__side_send(&b->a, 500) >= 0, "write after a sendfile failed");
    if (!rill__battery_wait(b, rill__b_has_all, "the file between other bytes"))
        return;
    RILL__EXPECT(b, b->counts[0] == 1, "done ran %u times", b->counts[0]);
    (void)rill__side_send(&b->b, 10);
    (void)rill__battery_wait(b, rill__all_received, "reading after a sendfile");
}

static void
file_whole(rill__battery *b)
{
    send_part(b, 0, 0, b->options->file_len, 0);
}

static void
file_part(rill__battery *b)
{
    send_part(b, 1000, 123456, 123456, 0);
}

static void
file_too_short(rill__battery *b)
{
    uint64_t offset = b->options->file_len - 5000;

    send_part(b, offset, 5001, 5000, RILL_EFILESHORT);
}

static void
file_nothing(rill__battery *b)
{
    send_part(b, b->options->file_len, 0, 0, 0);
}

static bool
some_of_the_file(rill__battery *b)
{
    return b->b.received > HEAD;
}

static void
file_canceled(rill__battery *b)
{
    uint64_t sent;

    if (!open_with_file(b, 0, b->options->file_len))
        return;
    rill__side_pause(&b->b);
    if (start_file(b, 0, 0) == RILL_ENOTSUP) {
        rill__battery_skip(b, "no sendfile");
        return;
    }
    b->a.sent += b->options->file_len;
    rill__battery_settle(b);
    if (b->counts[0] > 0) {
        rill__battery_skip(b, "the whole file fits in flight");
        return;
    }
    RILL__EXPECT(b, rill_cancel(b->loop, b->ids[0]), "a sendfile cannot be canceled");
    RILL__EXPECT(b, b->counts[0] == 0, "done inside the call");
    if (!rill__battery_wait(b, file_is_sent, "the end of a canceled sendfile"))
        return;
    sent = b->sizes[2];
    RILL__EXPECT(b, b->codes[0] == RILL_ECANCELED, "ended with %s", rill_errname(b->codes[0]));
    RILL__EXPECT(b, sent < b->options->file_len, "all was sent");
    RILL__EXPECT(b, !rill_transport_is_closing(b->a.t), "the connection went with the sendfile");
    b->sizes[0] = sent; /* The stream goes on after what was sent. */
    b->a.sent = HEAD + sent;
    RILL__EXPECT(b, rill__side_send(&b->a, 100) >= 0, "write after a canceled sendfile failed");
    rill__side_resume(&b->b);
    (void)rill__battery_wait(b, rill__b_has_all, "the part of the file and what follows");
}

static void
file_and_abort(rill__battery *b)
{
    if (!open_with_file(b, 0, b->options->file_len))
        return;
    rill__side_pause(&b->b);
    if (start_file(b, 0, 0) == RILL_ENOTSUP) {
        rill__battery_skip(b, "no sendfile");
        return;
    }
    b->a.sent += b->options->file_len;
    rill__side_abort(&b->a);
    RILL__EXPECT(b, b->counts[0] == 0, "done inside abort");
    if (!rill__battery_wait(b, a_lost, "the end"))
        return;
    RILL__EXPECT(b, b->counts[0] == 1, "done ran %u times", b->counts[0]);
    RILL__EXPECT(
        b, b->codes[0] == RILL_EABORTED, "sendfile ended with %s", rill_errname(b->codes[0]));
}

static void
file_and_peer_abort(rill__battery *b)
{
    if (!open_with_file(b, 0, b->options->file_len))
        return;
    if (start_file(b, 0, 0) == RILL_ENOTSUP) {
        rill__battery_skip(b, "no sendfile");
        return;
    }
    b->a.sent += b->options->file_len;
    if (!rill__battery_wait(b, some_of_the_file, "the begin of the file"))
        return;
    rill__side_abort(&b->b);
    if (!rill__battery_wait(b, a_lost, "the end"))
        return;
    RILL__EXPECT(b, b->counts[0] == 1, "done ran %u times", b->counts[0]);
    RILL__EXPECT(b, b->codes[0] == 0 || b->codes[0] == b->a.code,
        "sendfile ended with %s, a with %s", rill_errname(b->codes[0]), rill_errname(b->a.code));
}

/* Timeouts. */

static bool
set_timeout(rill__battery *b, rill_timeout which)
{
    int rc;

    /* Before: whoever is preempted right after the call must not think the timeout early. */
    b->times[0] = rill_loop_time(b->loop);
    rc = rill_transport_set_timeout(b->a.t, which, 30 * RILL_MS);
    if (rc == RILL_ENOTSUP)
        rill__battery_skip(b, "no such timeout");
    else if (rc < 0)
        rill__battery_fail(b, "set_timeout: %s", rill_errname(rc));
    return rc == 0;
}

static void
expect_timeout(rill__battery *b, int code)
{
    if (!rill__battery_wait(b, a_lost, "a timeout"))
        return;
    RILL__EXPECT(
        b, b->a.code == code, "ended with %s, not %s", rill_errname(b->a.code), rill_errname(code));
    RILL__EXPECT(b, rill_loop_time(b->loop) - b->times[0] >= 30 * RILL_MS, "timed out early");
}

static void
idle_times_out(rill__battery *b)
{
    int rc;

    if (!rill__battery_open(b, NULL) || !set_timeout(b, RILL_TIMEOUT_IDLE))
        return;
    rc = rill_transport_set_timeout(b->a.t, RILL_TIMEOUT_IDLE, 0);
    RILL__EXPECT(b, rc == RILL_EINVAL, "a timeout of 0 returned %s", rill_errname(rc));
    expect_timeout(b, RILL_EIDLE);
}

static void
traffic_is_not_idle(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    if (rill_transport_set_timeout(b->a.t, RILL_TIMEOUT_IDLE, 2 * RILL_S) == RILL_ENOTSUP) {
        rill__battery_skip(b, "no such timeout");
        return;
    }
    for (int i = 0; i < 12; i++) {
        rill__battery_run_for(b, 10 * RILL_MS);
        if (i == 4)
            (void)rill_transport_set_timeout(b->a.t, RILL_TIMEOUT_IDLE, RILL_NEVER);
        if (i == 6)
            (void)rill_transport_set_timeout(b->a.t, RILL_TIMEOUT_IDLE, 5 * RILL_S);
        (void)rill__side_send(i % 2 == 0 ? &b->a : &b->b, 1);
    }
    RILL__EXPECT(b, !b->a.lost, "lost with %s in the middle of traffic", rill_errname(b->a.code));
    (void)rill__battery_wait(b, rill__all_received, "single bytes");
}

static void
stall_times_out(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a) || !set_timeout(b, RILL_TIMEOUT_STALL))
        return;
    expect_timeout(b, RILL_ESTALLED);
}

static void
close_times_out(rill__battery *b)
{
    if (!rill__battery_open(b, NULL))
        return;
    rill__side_pause(&b->b);
    if (!rill__side_fill(&b->a) || !set_timeout(b, RILL_TIMEOUT_CLOSE))
        return;
    rill__side_close(&b->a);
    expect_timeout(b, RILL_ECLOSETIMEOUT);
}

/* Ids and reports. */

static void
ids_outlive(rill__battery *b)
{
    rill_loop_options options =
        RILL_LOOP_OPTIONS(.driver = rill_loop_driver(b->loop), .allocator = &b->loop->allocator);
    rill_loop *other;
    rill_id id;

    if (!rill__battery_open(b, NULL))
        return;
    id = b->a.id;
    RILL__EXPECT(b, id != 0 && b->b.id != 0 && id != b->b.id, "the ids are not two");
    RILL__EXPECT(
        b, rill_transport_from_id(b->loop, id) == b->a.t, "the id names another transport");
    RILL__EXPECT(b, rill_transport_from_id(b->loop, 0) == NULL, "0 names a transport");
    RILL__EXPECT(b, !rill_cancel(b->loop, id), "a transport was canceled");

    RILL__EXPECT(b, rill_loop_new(&options, &other) == 0, "a second loop cannot be made");
    if (rill_transport_from_id(other, id) != NULL)
        rill__battery_fail(b, "the id names a transport of another loop");
    (void)rill_loop_free(other);

    rill__side_close(&b->a);
    RILL__EXPECT(b, rill_transport_from_id(b->loop, id) == b->a.t, "a closing one has no id");
    if (!rill__battery_wait(b, rill__both_lost, "the end"))
        return;
    RILL__EXPECT(b, rill_transport_from_id(b->loop, id) == NULL, "the id outlives its transport");
}

static void
descriptions(rill__battery *b)
{
    rill_transport_info info = { .size = sizeof(info) };
    char text[300], few[8];

    if (!rill__battery_open(b, NULL))
        return;
    rill_transport_get_info(b->a.t, &info);
    RILL__EXPECT(b, info.kind != NULL && info.kind[0] != '\0', "the kind has no name");
    memset(text, 'x', sizeof(text));
    RILL__EXPECT(b, rill_transport_describe(b->a.t, text, sizeof(text)) == text, "describe");
    RILL__EXPECT(b, memchr(text, '\0', sizeof(text)) != NULL, "describe without an end");
    RILL__EXPECT(b, strstr(text, info.kind) != NULL, "%s does not name its kind", text);
    memset(few, 'x', sizeof(few));
    (void)rill_transport_describe(b->a.t, few, 5);
    RILL__EXPECT(b, strlen(few) == 4 && few[5] == 'x' && strncmp(few, text, 4) == 0,
        "describe does not cut to the size");
    rill__side_close(&b->a);
    (void)rill_transport_describe(b->a.t, text, sizeof(text));
    RILL__EXPECT(b, text[0] == '<', "a closing one describes itself as %s", text);
}

const rill__case rill__cases_extras[] = {
    { "ref_is_given_back", ref_is_given_back },
    { "ref_between_writes", ref_between_writes },
    { "ref_and_close", ref_and_close },
    { "ref_and_abort", ref_and_abort },
    { "ref_and_peer_abort", ref_and_peer_abort },
    { "ref_and_overflow", ref_and_overflow },
    { "ref_refused", ref_refused },
    { "file_whole", file_whole },
    { "file_part", file_part },
    { "file_too_short", file_too_short },
    { "file_nothing", file_nothing },
    { "file_canceled", file_canceled },
    { "file_and_abort", file_and_abort },
    { "file_and_peer_abort", file_and_peer_abort },
    { "idle_times_out", idle_times_out },
    { "traffic_is_not_idle", traffic_is_not_idle },
    { "stall_times_out", stall_times_out },
    { "close_times_out", close_times_out },
    { "ids_outlive", ids_outlive },
    { "descriptions", descriptions },
    { NULL, NULL },
};
