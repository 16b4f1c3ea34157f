/*
 * What an end of a conversation does: send what it has to, by every way there is, wait in between
 * by every way there is, and then end in order; and on the side do what is allowed, but not nice.
 */
#include "swarm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRUST_BYTES 4096 /* The most that a driver has of one connection on trust. */

/* ---- the end ---- */

void
swarm_end_close(swarm_end *e)
{
    if (!e->closed) {
        e->closed = true;
        e->closed_at = swarm_now(e->world);
        e->close_waits = e->sendfiles != 0;
    }
    SWARM_CALL(e->world, "close")
    rill_transport_close(e->t);
    SWARM_CHECK(e->world, rill_transport_is_closing(e->t), "closed, and not closing");
}

static void
note_abort(swarm_end *e)
{
    e->aborted = true;
    e->seen_at = swarm_now(e->world);
}

void
swarm_end_abort(swarm_end *e)
{
    note_abort(e);
    SWARM_CALL(e->world, "abort")
    rill_transport_abort(e->t);
}

void
swarm_end_fail(swarm_end *e, int code, const char *sentence)
{
    note_abort(e);
    e->fail_code = code;
    snprintf(e->fail_sentence, sizeof(e->fail_sentence), "%s", sentence);
    SWARM_CALL(e->world, "fail")
    rill_transport_fail(e->t, code, sentence);
}

/* After connection_lost: nothing of it may be pending. */
void
swarm_stop(swarm_end *e)
{
    e->wait = SWARM_WAIT_NOTHING;
    if (e->wait_timer != NULL && e->wait_timer->used)
        swarm_timer_cancel(e->wait_timer);
    if (e->resume_timer != NULL && e->resume_timer->used)
        swarm_timer_cancel(e->resume_timer);
    e->wait_timer = NULL;
    e->resume_timer = NULL;
    swarm_release_held(e);
}

/* ---- sending ---- */

/* The peer has gone, and connection_lost is due. */
static void
note_refusal(swarm_end *e, const char *what, int rc)
{
    SWARM_CHECK(e->world, rc == RILL_ECLOSED, "%s says %s", what, rill_errname(rc));
    e->refused = true;
    e->seen_at = swarm_now(e->world);
}

static void
check_mark(swarm_end *e, size_t len)
{
    swarm *w = e->world;
    size_t size = rill_transport_write_buffer_size(e->t);

    if (e->burst_serial != w->serial) {
        e->trusted = rill_sim_get_personality(w->sim) != RILL_SIM_COMPLETION ? 0
                     : e->burst < TRUST_BYTES                                ? e->burst
                                                                             : TRUST_BYTES;
        e->burst = 0;
    }
    e->burst_serial = w->serial;
    e->burst += len;
    SWARM_CHECK(w,
        e->greedy || rill_transport_is_closing(e->t) || size <= e->high + e->burst + e->trusted,
        "%zu bytes are queued, the mark is %zu and the last writes were %" PRIu64, size, e->high,
        e->burst);
}

/* What a write has answered, and what it counts as. */
static void
wrote(swarm_end *e, int rc, size_t len)
{
    if (rc < 0) {
        note_refusal(e, "write", rc);
        return;
    }
    e->bytes_written += len;
    check_mark(e, len);
    SWARM_CHECK(e->world, rc == !e->writing_paused, "a write says %d, writing is %spaused", rc,
        e->writing_paused ? "" : "not ");
}

static int
write_parts(swarm_end *e, const uint8_t *data, size_t len)
{
    rill_iovec parts[90];
    size_t max = swarm_chance(&e->dice, 20) ? 90 : 6;
    size_t count = 0;
    int rc = 0;

    for (size_t at = 0; at < len && count < max; count++) {
        size_t part = swarm_below(&e->dice, 4) == 0 ? 0 : 1 + swarm_below(&e->dice, (uint32_t)len);

        if (part > len - at || count + 1 == max)
            part = len - at;
        parts[count] = (rill_iovec){ part > 0 ? data + at : NULL, part };
        at += part;
    }
    for (size_t i = 0; i < count && parts[count - 1].len == 0; i++)
        count--;
    SWARM_CALL(e->world, "writev")
    rc = rill_transport_writev(e->t, parts, count);
    return rc;
}

/* Bytes that were given away until their release. */
struct swarm_ref {
    swarm_ref *next; /* Of the world: the record outlives the bytes, to see a second release. */
    swarm_end *e;
    uint8_t *bytes;
    size_t len;
};

static void
released(void *arg)
{
    swarm_ref *ref = arg;

    swarm_enter(ref->e->world, "a release function");
    SWARM_CHECK(ref->e->world, ref->bytes != NULL, "bytes are released twice");
    memset(ref->bytes, 0xdd, ref->len);
    free(ref->bytes);
    ref->bytes = NULL;
    ref->e->refs--;
}

void
swarm_refs_free(swarm *w)
{
    while (w->refs != NULL) {
        swarm_ref *ref = w->refs;

        w->refs = ref->next;
        free(ref->bytes);
        free(ref);
    }
}

static int
write_ref(swarm_end *e, const uint8_t *data, size_t len)
{
    swarm_ref *ref = calloc(1, sizeof(*ref));
    int rc = 0;

    if (ref == NULL || (ref->bytes = malloc(len)) == NULL)
        abort();
    memcpy(ref->bytes, data, len);
    ref->e = e;
    ref->len = len;
    ref->next = e->world->refs;
    e->world->refs = ref;
    e->refs++;
    SWARM_CALL(e->world, "write_ref")
    rc = rill_transport_write_ref(e->t, ref->bytes, len, released, ref);
    if (rc >= 0)
        return rc;
    SWARM_CHECK(e->world, ref->bytes != NULL, "a failed write_ref has released its bytes");
    free(ref->bytes);
    ref->bytes = NULL;
    e->refs--;
    return rc;
}

/* By a way of chance. Counts them as sent on success, which is all but a loss. */
static void
send_bytes(swarm_end *e, const void *data, size_t len)
{
    uint32_t way = swarm_below(&e->dice, 10);
    int rc = -ENOMEM;

    e->sent += len;
    if (way == 0)
        rc = write_ref(e, data, len);
    else if (way <= 3)
        rc = write_parts(e, data, len);
    if (rc == -ENOMEM && (way == 0 || way > 3)) {
        SWARM_CHECK(e->world, way != 0 || !swarm_is_calm(e->world), "write_ref has no memory");
        SWARM_CALL(e->world, "write")
        rc = rill_transport_write(e->t, data, len);
    }
    if (rc < 0)
        e->sent -= len;
    wrote(e, rc, len);
}

void
swarm_echo(swarm_end *e, size_t len)
{
    while (len > 0 && swarm_end_may_act(e)) {
        size_t run = len < SWARM_PERIOD ? len : SWARM_PERIOD;

        send_bytes(e, swarm_bytes(e->talk, 0, e->sent), run);
        len -= run;
    }
}

/* ---- files ---- */

static void
file_done(void *arg, int rc, uint64_t sent)
{
    swarm_end *e = arg;
    swarm *w = e->world;

    swarm_enter(w, "sendfile's end");
    SWARM_CHECK(w, e->sendfiles == 1 && !e->lost, "a sendfile ends twice, or too late");
    e->sendfiles = 0;
    SWARM_CHECK(w, sent <= e->file_count, "a sendfile sent too much");
    SWARM_CHECK(w, !e->file_canceled || rc < 0,
        "a canceled sendfile ends with %s, %" PRIu64 " of %" PRIu64 " bytes", rill_errname(rc),
        sent, e->file_count);
    if (rc == 0 || rc == RILL_ECANCELED)
        e->sent -= e->file_count - sent; /* Else what was in flight may have left or not. */
    e->bytes_written += sent;
    if (rc == 0)
        SWARM_CHECK(w, sent == e->file_count, "a sendfile of %" PRIu64 " sent %" PRIu64,
            e->file_count, sent);
    else if (rc == RILL_ECANCELED)
        SWARM_CHECK(w, e->file_canceled, "a sendfile says that it was canceled");
    else
        e->told = rc;
    e->wait = SWARM_WAIT_NOTHING;
    if (rc == 0 || rc == RILL_ECANCELED)
        swarm_go_on(e);
}

static void
cancel_file(void *arg)
{
    swarm_end *e = arg;

    if (e->lost || e->sendfiles == 0 || e->file_canceled)
        return;
    SWARM_CALL(e->world, "rill_cancel")
    e->file_canceled = rill_cancel(e->l->loop, e->file_id);
}

/* Returns false when there was no memory. */
static bool
send_file(swarm_end *e, uint64_t left)
{
    uint64_t offset = swarm_file_offset(e->talk, swarm_stream_of(e), e->sent);
    int rc = 0;

    e->file_count = 1 + swarm_below(&e->dice, 2 * SWARM_PERIOD);
    if (e->file_count > left)
        e->file_count = left;
    e->file_canceled = false;
    SWARM_CALL(e->world, "sendfile")
    rc = rill_transport_sendfile_start(
        e->t, swarm_file(), offset, e->file_count, true, file_done, e, &e->file_id);
    if (rc < 0) {
        SWARM_CHECK(e->world, rc == RILL_ECLOSED || (rc == -ENOMEM && !swarm_is_calm(e->world)),
            "a sendfile cannot begin: %s", rill_errname(rc));
        if (rc == RILL_ECLOSED)
            note_refusal(e, "sendfile", rc);
        return rc != -ENOMEM;
    }
    e->sendfiles = 1;
    e->sent += e->file_count;
    e->wait = SWARM_WAIT_SENDFILE;
    if (swarm_chance(&e->dice, 15))
        (void)swarm_soon(e->l, cancel_file, e);
    else if (swarm_chance(&e->dice, 15))
        cancel_file(e);
    return true;
}

/* ---- waiting ---- */

/* Whoever cannot wait for want of memory gives up. */
static void
give_up(swarm_end *e)
{
    SWARM_CHECK(e->world, !swarm_is_calm(e->world), "there is no memory on a calm day");
    e->wait = SWARM_WAIT_NOTHING;
    swarm_end_abort(e);
}

static void
go_on_if(swarm_end *e, enum swarm_wait wait)
{
    if (e->wait != wait)
        return;
    e->wait = SWARM_WAIT_NOTHING;
    swarm_go_on(e);
}

static void
soon_over(void *arg)
{
    go_on_if(arg, SWARM_WAIT_SOON);
    swarm_mischief(arg);
}

static void
timer_over(void *arg)
{
    swarm_end *e = arg;

    e->wait_timer = NULL;
    go_on_if(e, SWARM_WAIT_TIMER);
    swarm_mischief(e);
}

static void
wait_soon(swarm_end *e)
{
    bool posted = swarm_chance(&e->dice, 30) ? swarm_post(e->l, soon_over, e)
                                             : swarm_soon(e->l, soon_over, e);

    e->wait = SWARM_WAIT_SOON;
    if (!posted)
        give_up(e);
}

static void
drained(void *arg, int rc)
{
    swarm_end *e = arg;
    swarm *w = e->world;

    swarm_enter(w, "a drain's end");
    SWARM_CHECK(w, e->drains > 0 && !e->lost, "a drain ends twice, or too late");
    SWARM_CHECK(w, e->wait == SWARM_WAIT_DRAIN, "a canceled drain ends");
    e->drains--;
    e->l->dead_operation = e->drain_id;
    if (rc == RILL_ETIMEDOUT)
        SWARM_CHECK(w, e->drain_until != RILL_NEVER && swarm_now(w) >= e->drain_until,
            "a drain's time is over too early");
    else if (rc == 0)
        SWARM_CHECK(w,
            e->bytes_written != e->drain_written ||
                rill_transport_write_buffer_size(e->t) <= e->drain_bytes,
            "a drain ends with %zu bytes queued, %zu were asked for",
            rill_transport_write_buffer_size(e->t), e->drain_bytes);
    else
        e->told = rc;
    if (rc == 0 || rc == RILL_ETIMEDOUT)
        go_on_if(e, SWARM_WAIT_DRAIN);
}

static void
wait_drained(swarm_end *e)
{
    rill_ns timeout =
        swarm_chance(&e->dice, 50) ? RILL_NEVER : (1 + swarm_below(&e->dice, 2000)) * RILL_MS;
    int rc = 0;

    e->drain_bytes = swarm_chance(&e->dice, 60) ? 0 : swarm_below(&e->dice, 50000);
    e->drain_written = e->bytes_written;
    e->drain_until = timeout != RILL_NEVER ? swarm_now(e->world) + timeout : RILL_NEVER;
    SWARM_CALL(e->world, "drain_start")
    rc = rill_transport_drain_start(e->t, e->drain_bytes, timeout, drained, e, &e->drain_id);
    if (rc < 0) {
        SWARM_CHECK(e->world, rc == -ENOMEM && !swarm_is_calm(e->world), "a drain says %s",
            rill_errname(rc));
        wait_soon(e);
        return;
    }
    e->drains++;
    e->wait = SWARM_WAIT_DRAIN;
    if (!swarm_chance(&e->dice, 10))
        return;
    SWARM_CHECK(e->world, rill_cancel(e->l->loop, e->drain_id), "a drain cannot be canceled");
    SWARM_CHECK(e->world, !rill_cancel(e->l->loop, e->drain_id), "a drain is canceled twice");
    e->drains--;
    wait_soon(e);
}

static void
wait_somehow(swarm_end *e)
{
    uint32_t way = swarm_below(&e->dice, 10);

    if (e->writing_paused && !e->greedy) {
        e->wait = SWARM_WAIT_RESUME;
    } else if (way < 4) {
        wait_soon(e);
    } else if (way < 7) {
        rill_ns delay = (rill_ns)swarm_below(&e->dice, way == 4 ? 400 : 20) * RILL_MS;

        e->wait = SWARM_WAIT_TIMER;
        e->wait_timer = swarm_timer_start(e->l, delay, 0, timer_over, e);
        if (e->wait_timer == NULL)
            wait_soon(e);
    } else {
        wait_drained(e);
    }
}

/* ---- going on ---- */

static uint64_t
left_to_send(const swarm_end *e)
{
    const swarm_talk *talk = e->talk;

    if (talk->kind == SWARM_ECHO && e->side == 1)
        return 0; /* By itself it says nothing. */
    if (talk->kind != SWARM_LINES)
        return talk->goal[e->side] - e->sent;
    if (e->side == 1)
        return e->answer - e->sent;
    return e->received == e->expected && e->lines < talk->goal[0] ? 1 : 0;
}

static void
ask(swarm_end *e)
{
    char line[16];
    uint64_t bytes;
    int len = swarm_line(e->talk, e->lines, line, sizeof(line), &bytes);

    e->lines++;
    e->expected += bytes;
    send_bytes(e, line, (size_t)len);
}

static void
send_some(swarm_end *e)
{
    uint64_t left = left_to_send(e);
    size_t most = swarm_chance(&e->dice, 15) ? 30000 : swarm_chance(&e->dice, 50) ? 3000 : 100;
    size_t len = 1 + swarm_below(&e->dice, (uint32_t)most);

    if (e->talk->kind == SWARM_LINES && e->side == 0) {
        ask(e);
        return;
    }
    if (!e->talk->final && left > 2000 && swarm_chance(&e->dice, 6) && send_file(e, left))
        return;
    if (len > left)
        len = (size_t)left;
    send_bytes(e, swarm_bytes(e->talk, swarm_stream_of(e), e->sent), len);
}

/* Is all said that will ever have to be said? */
static bool
is_finished(const swarm_end *e)
{
    switch ((enum swarm_kind)e->talk->kind) {
    case SWARM_ECHO:
        return e->side == 0 || e->eof_in;
    case SWARM_LINES:
        return e->side == 1 ? e->eof_in
                            : e->lines == e->talk->goal[0] && e->received == e->expected;
    case SWARM_BOTH:
    case SWARM_SILENT:
    case SWARM_KINDS:
        break;
    }
    return true;
}

static void
finish(swarm_end *e)
{
    int rc = 0;

    e->finished = true;
    if (e->eof_in || (!e->talk->polite && swarm_chance(&e->dice, 15))) {
        swarm_end_close(e);
        return;
    }
    if (e->talk->kind == SWARM_SILENT)
        return;
    e->eof_out = true;
    SWARM_CALL(e->world, "write_eof")
    rc = rill_transport_write_eof(e->t);
    if (rc < 0) {
        e->eof_out = false;
        note_refusal(e, "write_eof", rc);
    }
}

void
swarm_go_on(swarm_end *e)
{
    uint32_t times = 1 + swarm_below(&e->dice, 4);

    if (e->talk == NULL || e->wait != SWARM_WAIT_NOTHING || e->sendfiles != 0 || e->finished)
        return;
    while (times-- > 0 && swarm_end_may_act(e) && left_to_send(e) > 0 && e->sendfiles == 0 &&
           (!e->writing_paused || e->greedy))
        send_some(e);
    if (!swarm_end_may_act(e) || e->sendfiles != 0)
        return;
    if (left_to_send(e) > 0)
        wait_somehow(e);
    else if (is_finished(e))
        finish(e);
    else
        e->wait = SWARM_WAIT_INPUT;
}

void
swarm_poke(swarm_end *e)
{
    go_on_if(e, SWARM_WAIT_INPUT);
}

/* ---- what callbacks set going ---- */

static void
close_late(void *arg)
{
    swarm_end *e = arg;

    if (swarm_end_may_act(e))
        swarm_end_close(e);
}

/* The answer to eof_received. */
bool
swarm_heard_all(swarm_end *e)
{
    bool cut_short = e->talk != NULL && e->talk->kind == SWARM_LINES && e->side == 0;

    if (e->talk == NULL || !swarm_end_may_act(e) || cut_short || e->talk->kind == SWARM_SILENT)
        return false;
    if (!e->finished && left_to_send(e) > 0)
        return true; /* It goes on sending, then closes. */
    if (e->sendfiles != 0 || (e->wait != SWARM_WAIT_NOTHING && e->wait != SWARM_WAIT_INPUT))
        return true;
    e->finished = true;
    switch (swarm_below(&e->dice, 3)) {
    case 0:
        return false;
    case 1:
        swarm_end_close(e);
        return true;
    default:
        if (!swarm_soon(e->l, close_late, e))
            give_up(e);
        return true;
    }
}

void
swarm_held_up(swarm_end *e)
{
    if (e->talk != NULL && e->talk->kind == SWARM_ECHO && e->side == 1)
        swarm_set_silence(e, SWARM_SILENT_BY_PRESSURE, true);
}

void
swarm_let_go(swarm_end *e)
{
    swarm_set_silence(e, SWARM_SILENT_BY_PRESSURE, false);
    if (!e->in_limits)
        go_on_if(e, SWARM_WAIT_RESUME);
    else if (e->wait == SWARM_WAIT_RESUME)
        wait_soon(e);
}

/* The server's end knows now whom it talks to. */
void
swarm_know(swarm_end *e)
{
    e->mischief = e->talk->polite ? 0 : (int)swarm_below(&e->dice, 14);
    e->greedy = e->mischief > 0 && swarm_chance(&e->dice, 10);
    e->wait = SWARM_WAIT_NOTHING;
    swarm_go_on(e);
}

void
swarm_start(swarm_end *e)
{
    uint8_t hello[8];
    int rc = 0;

    if (e->side == 1 && e->form != SWARM_PAIR)
        return; /* Its turn comes with the hello. */
    e->hello_done = true;
    e->mischief = e->talk->polite ? 0 : (int)swarm_below(&e->dice, 14);
    e->greedy = e->mischief > 0 && swarm_chance(&e->dice, 10);
    if (e->form != SWARM_PAIR) {
        swarm_hello(e->talk, hello);
        SWARM_CALL(e->world, "write")
        rc = rill_transport_write(e->t, hello, sizeof(hello));
        wrote(e, rc, sizeof(hello));
    }
    swarm_go_on(e);
}
