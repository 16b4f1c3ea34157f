/*
 * One end of a conversation: the monitor of its callbacks and the ledger of its bytes. Everything
 * that a transport tells passes here and is held against what was called and told before.
 */
#include "swarm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GUARD      16
#define GUARD_BYTE 0x5c
#define SOON       (2 * RILL_S) /* What needs nothing from the network is over by then. */

static void
enter_end(swarm_end *e, rill_transport *t, const char *what)
{
    swarm_enter(e->world, what);
    SWARM_CHECK(e->world, e->made && !e->lost, "%s outside of made and lost", what);
    SWARM_CHECK(e->world, e->t == t, "%s with another transport", what);
    SWARM_CHECK(
        e->world, rill_transport_from_id(e->l->loop, e->id) == t, "%s: the id is lost", what);
}

static swarm_end *
other_of(const swarm_end *e)
{
    return e->talk != NULL ? e->talk->ends[!e->side] : NULL;
}

bool
swarm_end_may_act(const swarm_end *e)
{
    return e->made && !e->lost && !e->closed && !e->aborted && !e->refused && !e->world->ending;
}

/* ---- making ---- */

swarm_end *
swarm_end_new(swarm_talk *talk, int side, swarm_loop *l, uint8_t form)
{
    swarm *w = l->world;
    swarm_end *e = calloc(1, sizeof(*e));

    if (e == NULL)
        abort();
    e->self = e;
    e->world = w;
    e->next = w->ends;
    w->ends = e;
    e->talk = talk;
    e->l = l;
    e->side = (uint8_t)side;
    e->form = form;
    e->dice = swarm_dice_of(w->seed, 2, w->end_numbers++);
    if (talk != NULL)
        talk->ends[side] = e;
    return e;
}

void
swarm_end_options(swarm_end *e, const rill_transport_options *o)
{
    bool timed = e->form == SWARM_TCP || e->form == SWARM_UNIX;

    e->high = o->write_high != 0 ? o->write_high : 64 * 1024;
    e->low = o->write_low != 0 ? o->write_low : e->high / 4;
    e->cap = o->write_cap != 0 ? o->write_cap : 16 * 1024 * 1024;
    e->idle = timed ? o->idle_timeout : 0;
    e->stall = timed ? o->stall_timeout : 0;
    e->close_timeout = o->close_timeout != 0 ? o->close_timeout : 30 * RILL_S;
}

static void
free_buffer(swarm_end *e)
{
    free(e->buffer);
    e->buffer = NULL;
}

void
swarm_ends_free(swarm *w)
{
    while (w->ends != NULL) {
        swarm_end *e = w->ends;

        w->ends = e->next;
        free_buffer(e);
        free(e);
    }
}

static void
made(swarm_end *e, rill_transport *t)
{
    swarm *w = e->world;
    rill_addr addr;

    SWARM_CHECK(w, !e->made, "connection_made comes twice");
    e->made = true;
    e->t = t;
    e->id = rill_transport_id(t);
    e->heard_at = e->seen_at = e->out_at = swarm_now(w);
    e->l->live++;
    SWARM_CHECK(w, rill_transport_is_reading(t), "a new transport does not read");
    SWARM_CHECK(w, rill_transport_peername(t, &addr) == (e->form == SWARM_PAIR ? RILL_ENOTSUP : 0),
        "a new transport has no peer");
    swarm_start(e);
}

static void
client_made(rill_transport *t, void *self, void *arg)
{
    swarm_end *e = arg;

    swarm_enter(e->world, "connection_made");
    if (self != e) {
        SWARM_CHECK(e->world, *(swarm_end **)self == NULL, "a protocol's state is not zeroed");
        *(swarm_end **)self = e;
    }
    made(e, t);
}

static void
server_made(rill_transport *t, void *self, void *arg)
{
    swarm_server *s = arg;
    swarm *w = s->l->world;
    swarm_end *e;
    rill_server_stats stats = { .size = sizeof(stats) };
    rill_transport_info info = { .size = sizeof(info) };

    swarm_enter(w, "connection_made of a server");
    SWARM_CHECK(w, *(swarm_end **)self == NULL, "a protocol's state is not zeroed");
    e = swarm_end_new(NULL, 1, s->l, s->path[0] != '\0' ? SWARM_UNIX : SWARM_TCP);
    *(swarm_end **)self = e;
    swarm_end_options(e, &s->transport);
    e->server = s;
    e->by_others = s->closing;
    s->made++;
    s->live++;
    rill_transport_get_info(t, &info);
    SWARM_CHECK(w, info.server == s->server, "a connection tells another server");
    rill_server_get_stats(s->server, &stats);
    SWARM_CHECK(w, s->options.connections_max == 0 || stats.live <= s->options.connections_max,
        "a server has %zu connections, its limit is %zu", stats.live, s->options.connections_max);
    made(e, t);
}

/* ---- bytes ---- */

/* What comes from the other side must be what it sent, from the first byte on. */
static void
check_bytes(swarm_end *e, int side, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t run = len < SWARM_PERIOD ? len : SWARM_PERIOD;
        const uint8_t *due = swarm_bytes(e->talk, side, e->received);

        for (size_t i = 0; memcmp(data, due, run) != 0 && i < run; i++)
            SWARM_CHECK(e->world, data[i] == due[i], "byte %" PRIu64 " of talk %u is wrong",
                e->received + i, e->talk->number);
        e->received += run;
        data += run;
        len -= run;
    }
}

static void
check_received(swarm_end *e)
{
    const swarm_end *other = other_of(e);

    SWARM_CHECK(e->world, other != NULL && e->received <= other->sent,
        "%" PRIu64 " bytes have come of talk %u, %" PRIu64 " were sent", e->received,
        e->talk->number, other != NULL ? other->sent : 0);
}

static size_t
take_hello(swarm_end *e, const uint8_t *data, size_t len)
{
    size_t take = sizeof(e->hello) - e->hello_len;

    if (take > len)
        take = len;
    memcpy(e->hello + e->hello_len, data, take);
    e->hello_len = (uint8_t)(e->hello_len + take);
    if (e->hello_len < sizeof(e->hello))
        return take;
    e->hello_done = true;
    e->talk = swarm_talk_of(e->world, e->hello, e);
    if (e->talk == NULL)
        swarm_end_fail(e, RILL_EUSER - 1, "who is this?");
    else
        swarm_know(e);
    return take;
}

static void
take_questions(swarm_end *e, const uint8_t *data, size_t len)
{
    char due[16];
    uint64_t bytes;

    e->received += len;
    check_received(e);
    for (size_t i = 0; i < len; i++) {
        SWARM_CHECK(e->world, e->line_len < sizeof(e->line), "a question does not end");
        e->line[e->line_len++] = (char)data[i];
        if (data[i] != '\n')
            continue;
        SWARM_CHECK(e->world,
            swarm_line(e->talk, e->lines, due, sizeof(due), &bytes) == e->line_len &&
                memcmp(due, e->line, e->line_len) == 0,
            "question %u of talk %u is wrong", e->lines, e->talk->number);
        e->lines++;
        e->line_len = 0;
        e->answer += bytes;
    }
}

static void
take_payload(swarm_end *e, const uint8_t *data, size_t len)
{
    if (e->talk->kind == SWARM_LINES && e->side == 1) {
        take_questions(e, data, len);
        swarm_poke(e);
        return;
    }
    check_bytes(e, e->talk->kind == SWARM_ECHO ? 0 : !e->side, data, len);
    check_received(e);
    if (e->talk->kind == SWARM_ECHO && e->side == 1)
        swarm_echo(e, len);
    else if (e->talk->kind == SWARM_LINES)
        swarm_poke(e);
}

static void
check_may_hear(const swarm_end *e, const char *what)
{
    SWARM_CHECK(e->world, !e->reading_paused, "%s while reading is paused", what);
    SWARM_CHECK(e->world, !e->eof_in, "%s after eof_received", what);
    SWARM_CHECK(e->world, !e->closed && !e->aborted, "%s after close or abort", what);
}

static void
hear(swarm_end *e, const uint8_t *data, size_t len)
{
    SWARM_CHECK(e->world, len > 0, "an empty slice");
    e->bytes_in += len;
    e->heard_at = swarm_now(e->world);
    if (!e->hello_done) {
        size_t took = take_hello(e, data, len);

        data += took;
        len -= took;
    }
    if (len > 0 && e->talk != NULL && e->hello_done)
        take_payload(e, data, len);
    swarm_mischief(e);
}

static void
data_received(rill_transport *t, void *self, rill_slice in)
{
    swarm_end *e = *(swarm_end **)self;

    enter_end(e, t, "data_received");
    check_may_hear(e, "data_received");
    swarm_hold(e, in);
    hear(e, in.data, in.len);
}

/* ---- buffered protocols ---- */

static void
check_buffer(const swarm_end *e, size_t filled)
{
    for (size_t i = 0; i < e->buffer_len + 2 * (size_t)GUARD; i++)
        if (i < GUARD || i >= GUARD + filled)
            SWARM_CHECK(e->world, e->buffer[i] == GUARD_BYTE,
                "byte %zu of a buffer of %zu was changed, %zu were filled", i, e->buffer_len,
                filled);
}

static size_t
get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    swarm_end *e = *(swarm_end **)self;

    (void)hint;
    enter_end(e, t, "get_buffer");
    check_may_hear(e, "get_buffer");
    if (e->talk != NULL && !e->talk->polite && swarm_chance(&e->dice, 1)) {
        e->aborted = true;
        e->fail_code = RILL_EBUFFER;
        return 0;
    }
    if (e->buffer == NULL) {
        e->buffer_len = 1 + swarm_below(&e->dice, swarm_chance(&e->dice, 30) ? 40 : 6000);
        e->buffer = malloc(e->buffer_len + 2 * (size_t)GUARD);
        if (e->buffer == NULL)
            abort();
        memset(e->buffer, GUARD_BYTE, e->buffer_len + 2 * (size_t)GUARD);
    }
    check_buffer(e, 0);
    if (swarm_chance(&e->dice, 5))
        swarm_mischief(e);
    *ret_buf = e->buffer + GUARD;
    return e->buffer_len;
}

static void
buffer_updated(rill_transport *t, void *self, size_t len)
{
    swarm_end *e = *(swarm_end **)self;
    uint8_t *filled = e->buffer;

    enter_end(e, t, "buffer_updated");
    check_may_hear(e, "buffer_updated");
    SWARM_CHECK(e->world, filled != NULL && len >= 1 && len <= e->buffer_len,
        "buffer_updated with %zu bytes of %zu", len, filled != NULL ? e->buffer_len : 0);
    check_buffer(e, len);
    e->buffer = NULL;
    hear(e, filled + GUARD, len);
    free(filled);
}

/* ---- the rest of the callbacks ---- */

/* The end of the stream means that all of it has come. */
static void
check_complete(swarm_end *e)
{
    const swarm_end *other = other_of(e);

    if (e->talk == NULL || other == NULL)
        return; /* Nobody knows who it was: cut off in the hello, or before the server heard it. */
    if (other->form == SWARM_UNIX && (other->aborted || other->lost))
        return; /* A Unix socket has no reset. */
    SWARM_CHECK(e->world, other->eof_out || other->closed,
        "talk %u: end of a stream that was not ended", e->talk->number);
    SWARM_CHECK(e->world, e->received == other->sent,
        "talk %u: the stream ends after %" PRIu64 " of %" PRIu64 " bytes", e->talk->number,
        e->received, other->sent);
}

static bool
eof_received(rill_transport *t, void *self)
{
    swarm_end *e = *(swarm_end **)self;
    bool keep;

    enter_end(e, t, "eof_received");
    check_may_hear(e, "eof_received");
    e->eof_in = true;
    check_complete(e);
    keep = swarm_heard_all(e);
    if (!keep && !e->closed && !e->aborted) {
        e->closed = true;
        e->closed_by_eof = true;
        e->closed_at = swarm_now(e->world);
    }
    return keep;
}

/* The one that may run inside a write. */
static void
pause_writing(rill_transport *t, void *self)
{
    swarm_end *e = *(swarm_end **)self;
    size_t size = rill_transport_write_buffer_size(t);

    SWARM_CHECK(e->world, e->made && !e->lost && e->t == t, "pause_writing outside of its life");
    SWARM_CHECK(e->world, !e->writing_paused, "pause_writing comes twice");
    SWARM_CHECK(
        e->world, size > e->high, "pause_writing at %zu bytes, the mark is %zu", size, e->high);
    e->writing_paused = true;
    swarm_held_up(e);
}

static void
resume_writing(rill_transport *t, void *self)
{
    swarm_end *e = *(swarm_end **)self;
    size_t size = rill_transport_write_buffer_size(t);

    if (!e->in_limits)
        enter_end(e, t, "resume_writing");
    SWARM_CHECK(e->world, e->writing_paused, "resume_writing without pause_writing");
    SWARM_CHECK(
        e->world, size <= e->low, "resume_writing at %zu bytes, the mark is %zu", size, e->low);
    e->writing_paused = false;
    swarm_let_go(e);
}

static bool
is_provoked(const swarm_end *e)
{
    const swarm_end *other = other_of(e);

    return !swarm_is_calm(e->world) || other == NULL || other->closed || other->aborted ||
           other->lost || (other->made && rill_transport_is_closing(other->t));
}

static bool
may_end_with(const swarm_end *e, int code)
{
    rill_ns now = swarm_now(e->world);

    switch (code) {
    case 0:
        return (e->closed && !e->closed_by_eof) || e->by_others;
    case RILL_EOF:
        return e->closed_by_eof;
    case RILL_EABORTED:
        return (e->aborted && e->fail_code == 0) || e->by_others;
    case RILL_EIDLE:
        return e->idle > 0 && now >= e->heard_at + e->idle;
    case RILL_ESTALLED:
        return e->stall > 0 && now + SWARM_SLICE >= e->out_at + e->stall;
    case RILL_ECLOSETIMEOUT:
        return e->by_others || (e->closed && now >= e->closed_at + e->close_timeout);
    case RILL_EOVERFLOW:
        return e->cap < 1024 * 1024; /* Else nobody here writes so much. */
    case RILL_ELOOPFREED:
        return e->world->ending;
    case -ENOMEM:
        return !swarm_is_calm(e->world);
    case -ECONNRESET:
    case -EPIPE:
    case -ETIMEDOUT:
    case -ENOTCONN:
        return is_provoked(e);
    default:
        return code == e->fail_code && code != 0;
    }
}

static void
check_reason(const swarm_end *e, const rill_reason *why)
{
    swarm *w = e->world;
    rill_transport_info info = { .size = sizeof(info) };

    SWARM_CHECK(w, may_end_with(e, why->code), "talk %d, side %d: lost with %s: %s",
        e->talk != NULL ? e->talk->number : -1, e->side, rill_errname(why->code), why->sentence);
    if (why->code == e->fail_code && why->code < RILL_EUSER)
        SWARM_CHECK(w,
            strcmp(why->sentence, e->fail_sentence) == 0 ||
                (!swarm_is_calm(w) && strcmp(why->sentence, rill_strerror(why->code)) == 0),
            "lost with \"%s\", not \"%s\"", why->sentence, e->fail_sentence);
    SWARM_CHECK(w,
        e->told == 0 || e->aborted || e->told == (why->code != 0 ? why->code : RILL_ECLOSED),
        "a drain or sendfile was told %s, connection_lost %s", rill_errname(e->told),
        rill_errname(why->code));
    rill_transport_get_info(e->t, &info);
    SWARM_CHECK(w, info.bytes_in == e->bytes_in, "bytes_in is %" PRIu64 ", not %" PRIu64,
        info.bytes_in, e->bytes_in);
    SWARM_CHECK(w, info.bytes_out <= e->bytes_written, "bytes_out is %" PRIu64 " of %" PRIu64,
        info.bytes_out, e->bytes_written);
    if (why->code == 0 || why->code == RILL_EOF)
        SWARM_CHECK(w, info.bytes_out == e->bytes_written,
            "closed in order with %" PRIu64 " of %" PRIu64 " bytes sent", info.bytes_out,
            e->bytes_written);
}

static void
connection_lost(rill_transport *t, void *self, const rill_reason *why)
{
    swarm_end *e = *(swarm_end **)self;
    swarm *w = e->world;

    enter_end(e, t, "connection_lost");
    SWARM_CHECK(w, e->drains == 0 && e->sendfiles == 0,
        "connection_lost with %u drains and %u sendfiles unanswered", e->drains, e->sendfiles);
    check_reason(e, why);
    e->lost = true;
    e->aborted = e->aborted || (why->code != 0 && why->code != RILL_EOF);
    e->code = why->code;
    e->l->live--;
    e->l->dead_transport = e->id;
    if (e->server != NULL) {
        e->server->live--;
        e->server->lost++;
    }
    if (e->side == 0 && e->talk != NULL)
        e->talk->over = true;
    swarm_stop(e);
    free_buffer(e);
    e->t = NULL;
}

/* ---- tables ---- */

#define COMMON                                                    \
    .eof_received = eof_received, .pause_writing = pause_writing, \
    .resume_writing = resume_writing, .connection_lost = connection_lost
#define PLAIN    .data_received = data_received, COMMON
#define BUFFERED .get_buffer = get_buffer, .buffer_updated = buffer_updated, COMMON
#define SMALL    .state_size = 24
#define LARGE    .state_size = 3000 /* Too much for the transport's own memory. */

const rill_protocol swarm_server_protocols[SWARM_SERVER_PROTOCOLS] = {
    RILL_PROTOCOL(.connection_made = server_made, SMALL, PLAIN),
    RILL_PROTOCOL(.connection_made = server_made, LARGE, PLAIN),
    RILL_PROTOCOL(.connection_made = server_made, SMALL, BUFFERED),
};

const rill_protocol swarm_client_protocols[SWARM_CLIENT_PROTOCOLS] = {
    RILL_PROTOCOL(.connection_made = client_made, PLAIN),
    RILL_PROTOCOL(.connection_made = client_made, BUFFERED),
    RILL_PROTOCOL(.connection_made = client_made, SMALL, PLAIN),
    RILL_PROTOCOL(.connection_made = client_made, LARGE, PLAIN),
    RILL_PROTOCOL(.connection_made = client_made, SMALL, BUFFERED),
};

/* ---- from time to time ---- */

static void
check_timeouts(swarm_end *e, rill_ns now)
{
    swarm *w = e->world;

    if (e->closed)
        SWARM_CHECK(w, now <= e->closed_at + (1 + e->close_waits) * e->close_timeout + SOON,
            "talk %d: a close does not end", e->talk != NULL ? e->talk->number : -1);
    if (e->aborted || e->refused)
        SWARM_CHECK(w, now <= e->seen_at + SOON, "an abort or a loss does not end");
    else if (e->idle > 0 && !e->closed)
        SWARM_CHECK(w, now <= e->seen_at + e->idle + SOON, "an idle timeout was forgotten");
    if (e->stall > 0 && !e->closed)
        SWARM_CHECK(w, now <= e->out_at + e->stall + SOON, "a stall timeout was forgotten");
}

static void
observe(swarm_end *e)
{
    swarm *w = e->world;
    rill_ns now = swarm_now(w);
    rill_transport_info info = { .size = sizeof(info) };
    size_t size = rill_transport_write_buffer_size(e->t);
    bool is_doomed = e->aborted || e->refused || (rill_transport_is_closing(e->t) && !e->closed);

    rill_transport_get_info(e->t, &info);
    SWARM_CHECK(w, info.bytes_in == e->bytes_in, "bytes_in is wrong");
    SWARM_CHECK(w, e->sendfiles != 0 || info.bytes_out + size == e->bytes_written || is_doomed,
        "%" PRIu64 " bytes out and %zu queued are not %" PRIu64, info.bytes_out, size,
        e->bytes_written);
    SWARM_CHECK(w, is_doomed || e->writing_paused || size <= e->high,
        "%zu bytes are queued above the mark, and no pause", size);
    SWARM_CHECK(w, size <= e->cap || rill_transport_is_closing(e->t),
        "%zu bytes are queued above the cap", size);
    SWARM_CHECK(w, !e->writing_paused || is_doomed || size > e->low,
        "writing is paused with %zu bytes, below the mark", size);
    if (info.bytes_out != e->seen_out || (size == 0 && e->sendfiles == 0))
        e->out_at = now;
    if (info.bytes_out != e->seen_out || info.bytes_in != e->seen_in)
        e->seen_at = now;
    e->seen_in = info.bytes_in;
    e->seen_out = info.bytes_out;
    check_timeouts(e, now);
}

void
swarm_ends_observe(swarm *w)
{
    for (swarm_end *e = w->ends; e != NULL; e = e->next)
        if (e->made && !e->lost)
            observe(e);
}

void
swarm_end_describe(const swarm_end *e, char *buf, size_t size)
{
    char transport[160] = "gone";

    if (e->made && !e->lost)
        (void)rill_transport_describe(e->t, transport, sizeof(transport));
    snprintf(buf, size,
        "talk %d side %d: wait %d, sent %" PRIu64 ", received %" PRIu64
        ",%s%s%s%s%s%s drains %u refs %u sendfiles %u, code %d, %s",
        e->talk != NULL ? e->talk->number : -1, e->side, e->wait, e->sent, e->received,
        e->made ? "" : " unmade", e->eof_in ? " eof-in" : "", e->eof_out ? " eof-out" : "",
        e->closed ? " closed" : "", e->reading_paused ? " silent" : "",
        e->writing_paused ? " full" : "", e->drains, e->refs, e->sendfiles, e->code, transport);
}
