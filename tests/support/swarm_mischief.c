/*
 * What an end does besides its work: be silent, hold slices, change marks, timeouts and protocols,
 * cancel and ask for what is allowed in every callback, and sometimes leave without a word.
 */
#include "swarm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

void
swarm_set_silence(swarm_end *e, unsigned reason, bool on)
{
    unsigned reasons = on ? e->silence | reason : e->silence & ~reason;

    if (e->closed || e->aborted || e->lost)
        return;
    e->silence = (uint8_t)reasons;
    e->reading_paused = reasons != 0;
    SWARM_CALL(e->world, "pause or resume reading")
    {
        if (reasons != 0)
            rill_transport_pause_reading(e->t);
        else
            rill_transport_resume_reading(e->t);
    }
    SWARM_CHECK(e->world,
        rill_transport_is_closing(e->t) ||
            rill_transport_is_reading(e->t) == (reasons == 0 && !e->eof_in),
        "is_reading is wrong");
}

static void
silence_over(void *arg)
{
    swarm_end *e = arg;

    e->resume_timer = NULL;
    swarm_set_silence(e, SWARM_SILENT_BY_TIMER, false);
}

static void
be_silent(swarm_end *e)
{
    rill_ns length = (rill_ns)swarm_below(&e->dice, swarm_chance(&e->dice, 15) ? 12000 : 300);

    if (e->resume_timer != NULL)
        return;
    e->resume_timer = swarm_timer_start(e->l, length * RILL_MS, 0, silence_over, e);
    if (e->resume_timer != NULL)
        swarm_set_silence(e, SWARM_SILENT_BY_TIMER, true);
}

void
swarm_release_held(swarm_end *e)
{
    if (e->held_copy == NULL)
        return;
    SWARM_CHECK(
        e->world, memcmp(e->held.data, e->held_copy, e->held.len) == 0, "a held slice has changed");
    rill_slice_release(e->held);
    free(e->held_copy);
    e->held_copy = NULL;
}

void
swarm_hold(swarm_end *e, rill_slice in)
{
    int rc;

    if (!swarm_chance(&e->dice, 5))
        return;
    swarm_release_held(e);
    rc = rill_slice_hold(e->l->loop, in, &e->held);
    if (rc < 0) {
        SWARM_CHECK(e->world, (rc == -ENOMEM && !swarm_is_calm(e->world)) || rc == RILL_ELIMIT,
            "a slice cannot be held: %s", rill_errname(rc));
        return;
    }
    e->held_copy = malloc(in.len);
    if (e->held_copy == NULL)
        abort();
    memcpy(e->held_copy, in.data, in.len);
}

/* ---- marks, timeouts, protocols ---- */

static void
change_marks(swarm_end *e)
{
    size_t high = swarm_chance(&e->dice, 20) ? 0 : swarm_below(&e->dice, 100000);
    size_t low = swarm_below(&e->dice, (uint32_t)high + 1);
    size_t old_high = e->high, old_low = e->low;
    int rc = 0;

    e->high = high;
    e->low = low != 0 ? low : high / 4;
    e->in_limits = true;
    SWARM_CALL(e->world, "set_write_limits")
    rc = rill_transport_set_write_limits(e->t, high, low);
    e->in_limits = false;
    SWARM_CHECK(e->world, rc == (high > e->cap ? RILL_EINVAL : 0), "marks of %zu and %zu: %s", low,
        high, rill_errname(rc));
    if (rc < 0) {
        e->high = old_high;
        e->low = old_low;
    }
    rill_transport_get_write_limits(e->t, &high, &low);
    SWARM_CHECK(e->world, high == e->high && low == e->low, "the marks are others");
}

static void
change_timeout(swarm_end *e)
{
    enum { SHORTEST = 2000 };
    rill_timeout which = (rill_timeout)swarm_below(&e->dice, 3);
    rill_ns value = (SHORTEST + (rill_ns)swarm_below(&e->dice, 6000)) * RILL_MS;
    bool is_pair = e->form == SWARM_PAIR;
    int rc = 0;

    if (e->closed)
        return; /* A close that is under way counts from its change. */
    if (which != RILL_TIMEOUT_CLOSE && e->talk->kind != SWARM_SILENT && swarm_chance(&e->dice, 30))
        value = RILL_NEVER; /* Nothing but a timeout ends a silent one. */
    SWARM_CALL(e->world, "set_timeout")
    rc = rill_transport_set_timeout(e->t, which, value);
    if (is_pair && which != RILL_TIMEOUT_CLOSE) {
        SWARM_CHECK(e->world, rc == RILL_ENOTSUP, "a pair takes a timeout");
        return;
    }
    if (rc < 0) {
        SWARM_CHECK(e->world, (rc == -ENOMEM && !swarm_is_calm(e->world)) || rc == RILL_ECLOSED,
            "set_timeout says %s", rill_errname(rc));
        return;
    }
    if (which == RILL_TIMEOUT_IDLE)
        e->idle = value != RILL_NEVER ? value : 0;
    else if (which == RILL_TIMEOUT_STALL)
        e->stall = value != RILL_NEVER ? value : 0;
    else
        e->close_timeout = value;
    if (which != RILL_TIMEOUT_CLOSE)
        e->heard_at = e->seen_at = e->out_at = swarm_now(e->world); /* Counts from now. */
}

static void
change_protocol(swarm_end *e)
{
    const rill_protocol *next =
        &swarm_client_protocols[swarm_below(&e->dice, SWARM_CLIENT_PROTOCOLS)];
    void *state;
    int rc = 0;

    SWARM_CALL(e->world, "set_protocol")
    rc = rill_transport_set_protocol(e->t, next, e);
    if (rc < 0) {
        SWARM_CHECK(e->world, rc == -ENOMEM && !swarm_is_calm(e->world), "set_protocol says %s",
            rill_errname(rc));
        return;
    }
    state = rill_transport_state(e->t);
    SWARM_CHECK(e->world, rill_transport_get_protocol(e->t) == next, "the protocol is another");
    if (state == e)
        return;
    SWARM_CHECK(e->world, *(swarm_end **)state == NULL, "a new protocol's state is not zeroed");
    *(swarm_end **)state = e;
}

/* ---- what must be harmless ---- */

static void
misuse(swarm_end *e)
{
    swarm *w = e->world;
    rill_transport_info info = { .size = sizeof(info) };
    char text[200];
    rill_addr addr;
    int value;

    SWARM_CHECK(w,
        rill_transport_write(e->t, NULL, 1) == RILL_EINVAL || e->sendfiles != 0 || e->eof_out ||
            e->closed || e->refused || rill_transport_is_closing(e->t) ||
            rill_transport_write(e->t, "", 0) == RILL_ECLOSED,
        "a write without data is taken");
    SWARM_CHECK(w, rill_transport_set_write_cap(e->t, e->high - (e->high > 0)) == 0 || e->high > 0,
        "a cap is refused");
    SWARM_CHECK(w, rill_transport_set_write_cap(e->t, e->cap) == 0, "the old cap is refused");
    SWARM_CHECK(w, strlen(rill_transport_describe(e->t, text, sizeof(text))) > 10, "no text");
    rill_transport_get_info(e->t, &info);
    SWARM_CHECK(w, info.bytes_out <= e->bytes_written + e->file_count, "too many bytes are out");
    (void)rill_transport_sockname(e->t, &addr);
    (void)rill_transport_get_option(e->t, RILL_OPTION_NODELAY, &value);
    (void)rill_transport_set_option(e->t, RILL_OPTION_SEND_BUFFER, 4096);
    SWARM_CHECK(w, !rill_cancel(e->l->loop, e->id), "a transport's id can be canceled");
    SWARM_CHECK(w, rill_loop_run(e->l->loop) == RILL_EBUSY, "a running loop runs again");
}

static void
nothing(void *arg)
{
    (void)arg;
}

static void
visit(rill_transport *t, void *arg)
{
    size_t *count = arg;

    (void)rill_transport_is_closing(t);
    (*count)++;
}

static void
be_curious(swarm_end *e)
{
    swarm_loop *to = &e->world->loops[swarm_below(&e->dice, (uint32_t)e->world->loop_count)];
    size_t count = 0;

    if (to->loop != NULL)
        (void)swarm_post(to, nothing, NULL);
    swarm_soon_canceled(e->l);
    (void)swarm_soon(e->l, nothing, NULL);
    if (e->server == NULL || e->server->server == NULL)
        return;
    rill_server_each(e->server->server, visit, &count);
    SWARM_CHECK(e->world, count == e->server->live, "a server shows %zu of %zu connections", count,
        e->server->live);
}

static void
leave(swarm_end *e)
{
    switch (swarm_below(&e->dice, 4)) {
    case 0:
        swarm_end_close(e);
        return;
    case 1:
        swarm_end_abort(e);
        return;
    case 2:
        swarm_end_close(e);
        swarm_end_abort(e);
        return;
    default:
        swarm_end_fail(e, RILL_EUSER - 2 - (int)swarm_below(&e->dice, 100), "enough of this");
        return;
    }
}

void
swarm_mischief(swarm_end *e)
{
    if (e->mischief <= 0 || !swarm_end_may_act(e) || !swarm_chance(&e->dice, 40))
        return;
    e->mischief--;
    switch (swarm_below(&e->dice, 11)) {
    case 0:
    case 1:
        be_silent(e);
        break;
    case 2:
        change_marks(e);
        break;
    case 3:
        change_timeout(e);
        break;
    case 4:
    case 5:
        change_protocol(e);
        break;
    case 6:
        swarm_volley(e->l);
        break;
    case 7:
        be_curious(e);
        break;
    case 8:
        misuse(e);
        break;
    case 9:
        swarm_release_held(e);
        break;
    default:
        if (swarm_chance(&e->dice, 25))
            leave(e);
        break;
    }
}
