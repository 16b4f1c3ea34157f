/*
 * Servers and conversations of the swarm: what is drawn for each, how it begins, who is who, and
 * what must hold of a server's life and of a connect's end.
 */
#include "swarm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PORT 7000

/* ---- options ---- */

static rill_ns
draw_time(swarm_dice *dice, uint32_t percent, uint32_t least_ms, uint32_t span_ms)
{
    if (!swarm_chance(dice, percent))
        return 0;
    return (rill_ns)(least_ms + swarm_below(dice, span_ms)) * RILL_MS;
}

static rill_transport_options
draw_transport(swarm_dice *dice, bool polite)
{
    rill_transport_options o = RILL_TRANSPORT_OPTIONS();

    if (swarm_chance(dice, 60)) {
        o.write_high = 1 + swarm_below(dice, swarm_chance(dice, 40) ? 500 : 30000);
        o.write_low = swarm_below(dice, (uint32_t)o.write_high + 1);
    }
    o.stall_timeout = draw_time(dice, polite ? 0 : 30, 1500, 6000);
    o.idle_timeout = draw_time(dice, polite ? 0 : 40, 1500, 12000);
    o.close_timeout = draw_time(dice, polite ? 0 : 50, 300, 4000);
    if (!polite && swarm_chance(dice, 15))
        o.write_cap = (o.write_high != 0 ? o.write_high : 64 * 1024) + swarm_below(dice, 20000);
    o.nodelay = swarm_chance(dice, 20) ? -1 : 0;
    o.keepalive = swarm_chance(dice, 20);
    return o;
}

/* ---- servers ---- */

static void
server_closed(rill_server *server, void *arg)
{
    swarm_server *s = arg;
    swarm *w = s->l->world;

    swarm_enter(w, "a server's end");
    SWARM_CHECK(
        w, s->server == server && (s->closing || w->ending), "a server ends that was not closed");
    SWARM_CHECK(
        w, s->live == 0 && s->made == s->lost, "a server ends with %zu connections alive", s->live);
    SWARM_CHECK(w, !s->draining, "a server ends before its drain does");
    s->server = NULL;
}

static void
server_drained(void *arg, size_t aborted)
{
    swarm_server *s = arg;
    swarm *w = s->l->world;

    swarm_enter(w, "a server drain's end");
    SWARM_CHECK(w, s->draining && s->server != NULL, "a server is drained twice, or too late");
    SWARM_CHECK(w, s->live == 0, "a server is drained with %zu connections alive", s->live);
    (void)aborted;
    s->draining = false;
}

void
swarm_server_draw(swarm_server *s, swarm *w, size_t number)
{
    s->dice = swarm_dice_of(w->seed, 3, number);
    s->l = &w->loops[swarm_below(&s->dice, (uint32_t)w->loop_count)];
    s->number = (uint16_t)number;
    s->protocol = &swarm_server_protocols[swarm_below(&s->dice, SWARM_SERVER_PROTOCOLS)];
    s->transport = draw_transport(&s->dice, number == SWARM_SERVERS - 1);
    s->options = RILL_SERVER_OPTIONS(.closed = server_closed, .closed_arg = s);
    if (swarm_chance(&s->dice, 30)) {
        snprintf(
            s->path, sizeof(s->path), swarm_chance(&s->dice, 50) ? "@s%zu" : "/run/s%zu", number);
        s->options.path = s->path;
    } else {
        s->options.host = swarm_chance(&s->dice, 50) ? s->l->ip : "*";
        s->options.port = PORT + (int)number;
    }
    if (swarm_chance(&s->dice, 30))
        s->options.connections_max = 1 + swarm_below(&s->dice, 4);
    if (swarm_chance(&s->dice, 30))
        s->options.accepts_per_turn = 1 + (int)swarm_below(&s->dice, 3);
    if (swarm_chance(&s->dice, 20))
        s->options.backlog = 1 + (int)swarm_below(&s->dice, 8);
    s->options.transport = &s->transport;
}

static bool
is_shortage(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS;
}

void
swarm_server_open(swarm_server *s)
{
    swarm *w = s->l->world;
    int rc = 0;

    if (s->server != NULL)
        return;
    SWARM_CALL(w, "rill_create_server")
    rc = rill_create_server(s->l->loop, &s->options, s->protocol, s, &s->server);
    SWARM_CHECK(w, rc == 0 || (is_shortage(rc) && !w->calm && !w->healed),
        "a server cannot be made: %s", rill_loop_last_error(s->l->loop)->sentence);
    s->closing = rc < 0;
    s->disturbed = s->disturbed || rc < 0;
    s->made = s->lost = 0;
}

static void
for_its_ends(swarm_server *s, void (*fn)(swarm_end *e, rill_ns now))
{
    for (swarm_end *e = s->l->world->ends; e != NULL; e = e->next)
        if (e->server == s && e->made && !e->lost)
            fn(e, swarm_now(s->l->world));
}

static void
note_others(swarm_end *e, rill_ns now)
{
    (void)now;
    e->by_others = true;
}

static void
note_closed(swarm_end *e, rill_ns now)
{
    e->by_others = true;
    if (!e->closed) {
        e->closed_at = now;
        e->close_waits = e->sendfiles != 0;
    }
    e->closed = true;
}

static void
note_aborted(swarm_end *e, rill_ns now)
{
    e->by_others = true;
    e->aborted = true;
    e->seen_at = now;
}

void
swarm_server_close(swarm_server *s)
{
    if (s->server == NULL)
        return;
    s->closing = true;
    s->disturbed = true;
    SWARM_CALL(s->l->world, "rill_server_close")
    rill_server_close(s->server);
    SWARM_CHECK(s->l->world,
        !rill_server_is_serving(s->server) && rill_server_socket_count(s->server) == 0,
        "a closed server serves");
}

static void
drain(swarm_server *s)
{
    rill_ns timeout =
        swarm_chance(&s->dice, 30) ? RILL_NEVER : (rill_ns)swarm_below(&s->dice, 3000) * RILL_MS;
    int rc = 0;

    SWARM_CALL(s->l->world, "rill_server_drain_start")
    rc = rill_server_drain_start(s->server, timeout, server_drained, s);
    SWARM_CHECK(s->l->world, rc == (s->draining ? RILL_EBUSY : 0), "a server's drain says %s",
        rill_errname(rc));
    s->draining = true;
    s->closing = true;
    for_its_ends(s, note_others);
}

void
swarm_server_mischief(swarm_server *s)
{
    if (s->server == NULL)
        return;
    s->disturbed = true;
    switch (swarm_below(&s->dice, 4)) {
    case 0:
        swarm_server_close(s);
        break;
    case 1:
        drain(s);
        break;
    case 2:
        SWARM_CALL(s->l->world, "rill_server_close_clients")
        rill_server_close_clients(s->server);
        for_its_ends(s, note_closed);
        break;
    default:
        SWARM_CALL(s->l->world, "rill_server_abort_clients")
        rill_server_abort_clients(s->server);
        for_its_ends(s, note_aborted);
        break;
    }
}

void
swarm_server_observe(swarm_server *s)
{
    swarm *w = s->l->world;
    rill_server_stats stats = { .size = sizeof(stats) };

    if (s->server == NULL)
        return;
    rill_server_get_stats(s->server, &stats);
    SWARM_CHECK(w, s->closing ? stats.live >= s->live : stats.live == s->live,
        "a server counts %zu connections, %zu are alive", stats.live, s->live);
    SWARM_CHECK(w, s->options.connections_max == 0 || stats.live <= s->options.connections_max,
        "a server has %zu connections, its limit is %zu", stats.live, s->options.connections_max);
    SWARM_CHECK(w, stats.accepted >= s->made, "a server accepted %" PRIu64 ", made %" PRIu64,
        stats.accepted, s->made);
}

/* ---- who is who ---- */

static uint32_t
token_of(const swarm_talk *talk)
{
    swarm_dice dice = swarm_dice_of(talk->world->seed, 5, talk->number);

    return swarm_below(&dice, UINT32_MAX);
}

void
swarm_hello(const swarm_talk *talk, uint8_t hello[8])
{
    uint32_t token = token_of(talk);

    hello[0] = 'S';
    hello[1] = 'W';
    memcpy(hello + 2, &talk->number, sizeof(talk->number));
    memcpy(hello + 4, &token, sizeof(token));
}

swarm_talk *
swarm_talk_of(swarm *w, const uint8_t hello[8], swarm_end *e)
{
    uint8_t due[8];
    uint16_t number;
    swarm_talk *talk;

    if (hello[0] == '?')
        return NULL; /* A scripted peer. */
    memcpy(&number, hello + 2, sizeof(number));
    SWARM_CHECK(w, number < w->talk_count, "a hello is of nobody");
    talk = &w->talks[number];
    swarm_hello(talk, due);
    SWARM_CHECK(w, memcmp(due, hello, sizeof(due)) == 0, "a hello is wrong");
    SWARM_CHECK(w, talk->ends[1] == NULL && talk->server == e->server,
        "talk %u reaches another server, or twice", number);
    talk->ends[1] = e;
    return talk;
}

int
swarm_stream_of(const swarm_end *e)
{
    return e->talk->kind == SWARM_ECHO ? 0 : e->side;
}

int
swarm_line(const swarm_talk *talk, uint32_t number, char *buf, size_t size, uint64_t *ret_bytes)
{
    swarm_dice dice = swarm_dice_of(talk->world->seed, 6, talk->number * UINT64_C(1000) + number);

    *ret_bytes = swarm_below(&dice, swarm_chance(&dice, 10) ? 60000 : 2000);
    return snprintf(buf, size, "%u:%u\n", number % 1000, (unsigned)*ret_bytes);
}

/* ---- conversations ---- */

static uint64_t
draw_bytes(swarm_dice *dice)
{
    static const uint32_t most[] = { 10, 1000, 20000, 20000, 150000, 600000 };

    return swarm_below(dice, most[swarm_below(dice, 6)]);
}

static swarm_loop *
draw_loop(swarm_talk *talk)
{
    swarm *w = talk->world;
    swarm_loop *l = &w->loops[swarm_below(&talk->dice, (uint32_t)w->loop_count)];

    return talk->form == SWARM_UNIX ? talk->server->l : l;
}

static void
talk_init(swarm_talk *talk, swarm *w)
{
    talk->world = w;
    talk->number = (uint16_t)(talk - w->talks);
    talk->dice = swarm_dice_of(w->seed, 4, talk->number);
}

void
swarm_talk_draw(swarm_talk *talk, swarm *w)
{
    talk_init(talk, w);
    talk->kind = (uint8_t)swarm_below(&talk->dice, SWARM_KINDS);
    talk->polite = swarm_chance(&talk->dice, 25);
    talk->server = &w->servers[swarm_below(&talk->dice, (uint32_t)w->server_count)];
    talk->form = talk->server->path[0] != '\0' ? SWARM_UNIX : SWARM_TCP;
    if (swarm_chance(&talk->dice, 12))
        talk->form = SWARM_PEER;
    else if (swarm_chance(&talk->dice, 15))
        talk->form = SWARM_PAIR;
    if (talk->form == SWARM_PAIR && talk->kind == SWARM_SILENT)
        talk->kind = SWARM_BOTH; /* A pair has no idle timeout to end it. */
    talk->l = draw_loop(talk);
    talk->goal[0] = draw_bytes(&talk->dice);
    talk->goal[1] = draw_bytes(&talk->dice);
    if (talk->kind == SWARM_LINES)
        talk->goal[0] = 1 + swarm_below(&talk->dice, 30);
}

/* ---- scripted peers ---- */

static void
peer_ends(void *arg)
{
    swarm_talk *talk = arg;

    talk->over = true;
    switch (swarm_below(&talk->dice, 3)) {
    case 0:
        rill_sim_peer_reset(talk->peer);
        break;
    case 1:
        rill_sim_peer_close(talk->peer);
        break;
    default:
        rill_sim_peer_pause(talk->peer);
        rill_sim_peer_close(talk->peer);
        break;
    }
}

/* It says something, perhaps nothing, and goes. */
static void
begin_peer(swarm_talk *talk)
{
    static const char rude[] = "?What does this program do with such words?";
    swarm *w = talk->world;
    const swarm_server *s = talk->server;
    char address[64];
    rill_ns life = (rill_ns)swarm_below(&talk->dice, 6000) * RILL_MS;

    if (s->path[0] != '\0')
        snprintf(address, sizeof(address), "unix:%s", s->path);
    else
        snprintf(address, sizeof(address), "%s:%d", s->l->ip, s->options.port);
    if (rill_sim_dial(w->sim, s->l->host, address, &talk->peer) < 0) {
        SWARM_CHECK(w, !w->calm, "a peer cannot be made");
        talk->over = true;
        return;
    }
    if (swarm_chance(&talk->dice, 30))
        rill_sim_peer_dribble(talk->peer, 1 + swarm_below(&talk->dice, 3), RILL_MS);
    (void)rill_sim_peer_feed(talk->peer, rude, swarm_below(&talk->dice, sizeof(rude)));
    if (swarm_chance(&talk->dice, 40))
        rill_sim_peer_shutdown(talk->peer);
    swarm_later(w, life, peer_ends, talk);
}

/* ---- connecting ---- */

static bool
may_refuse(const swarm_talk *talk)
{
    return !talk->world->calm || talk->server->disturbed ||
           talk->server->options.connections_max != 0 || talk->server->options.backlog != 0;
}

static void
connected(void *arg, rill_transport *t, const rill_reason *why)
{
    swarm_talk *talk = arg;
    swarm *w = talk->world;
    const swarm_end *e = talk->ends[0];

    swarm_enter(w, "a connect's end");
    SWARM_CHECK(w, talk->connecting, "a connect ends that was canceled, or twice");
    talk->connecting = false;
    talk->l->dead_operation = talk->connect;
    if (t != NULL) {
        SWARM_CHECK(w, e->made && e->t == t && why->code == 0, "a connect ends before its start");
        return;
    }
    SWARM_CHECK(w, !e->made && why->code < 0, "a connect fails with %s after connection_made",
        rill_errname(why->code));
    SWARM_CHECK(
        w, may_refuse(talk) || w->ending, "a connect fails for no reason: %s", why->sentence);
    talk->over = true;
}

static void
cancel_connect(void *arg)
{
    swarm_talk *talk = arg;
    swarm *w = talk->world;
    bool pending = false;

    if (!talk->connecting || talk->ends[0]->made)
        return;
    SWARM_CALL(w, "rill_cancel")
    pending = rill_cancel(talk->l->loop, talk->connect);
    SWARM_CHECK(w, pending, "a pending connect cannot be canceled");
    talk->connecting = false;
    talk->over = true;
    talk->l->dead_operation = talk->connect;
}

static void
begin_connect(swarm_talk *talk)
{
    swarm *w = talk->world;
    const swarm_server *s = talk->server;
    rill_transport_options transport = draw_transport(&talk->dice, talk->polite);
    rill_connect_options o = RILL_CONNECT_OPTIONS(.transport = &transport);
    swarm_end *e = swarm_end_new(talk, 0, talk->l, talk->form);
    int rc = 0;

    if (talk->kind == SWARM_SILENT && transport.idle_timeout == 0)
        transport.idle_timeout = (1500 + swarm_below(&talk->dice, 9000)) * RILL_MS;
    swarm_end_options(e, &transport);
    if (talk->form == SWARM_UNIX) {
        o.path = s->path;
    } else {
        o.host = s->l->ip;
        o.port = s->options.port;
    }
    if (swarm_chance(&talk->dice, 30) && !talk->final)
        o.timeout = (1 + swarm_below(&talk->dice, 8000)) * RILL_MS;
    talk->server->disturbed = talk->server->disturbed || o.timeout != 0;
    SWARM_CALL(w, "rill_create_connection_start")
    rc = rill_create_connection_start(talk->l->loop, &o,
        &swarm_client_protocols[swarm_below(&talk->dice, SWARM_CLIENT_PROTOCOLS)], e, connected,
        talk, &talk->connect);
    SWARM_CHECK(w, rc == 0 || (rc == -ENOMEM && !w->calm && !w->healed),
        "a connect cannot begin: %s", rill_errname(rc));
    talk->connecting = rc == 0;
    talk->over = rc < 0;
    if (rc == 0 && !talk->polite && swarm_chance(&talk->dice, 6))
        swarm_later(w, swarm_below(&talk->dice, 20) * RILL_MS, cancel_connect, talk);
}

static void
begin_pair(swarm_talk *talk)
{
    swarm *w = talk->world;
    rill_transport_options transport = draw_transport(&talk->dice, talk->polite);
    swarm_end *ends[2];
    const rill_protocol *protocols[2];
    int rc = 0;

    transport.idle_timeout = transport.stall_timeout = 0;
    for (int side = 0; side < 2; side++) {
        ends[side] = swarm_end_new(talk, side, talk->l, SWARM_PAIR);
        swarm_end_options(ends[side], &transport);
        protocols[side] = &swarm_client_protocols[swarm_below(&talk->dice, SWARM_CLIENT_PROTOCOLS)];
    }
    SWARM_CALL(w, "rill_create_pair")
    rc = rill_create_pair(
        talk->l->loop, &transport, protocols[0], ends[0], protocols[1], ends[1], NULL, NULL);
    SWARM_CHECK(w, rc == 0 || (rc == -ENOMEM && !w->calm && !w->healed),
        "a pair cannot be made: %s", rill_errname(rc));
    talk->over = rc < 0;
}

static void
begin_now(void *arg)
{
    swarm_talk *talk = arg;

    if (talk->world->ending)
        return;
    talk->begun = true;
    if (talk->form == SWARM_PEER)
        begin_peer(talk);
    else if (talk->form == SWARM_PAIR)
        begin_pair(talk);
    else
        begin_connect(talk);
}

/* From outside of the loops, or by a message or a callback in one. */
void
swarm_talk_begin(swarm_talk *talk)
{
    uint32_t way = swarm_below(&talk->dice, 3);
    bool sent = false;

    if (talk->form != SWARM_PEER && way == 0)
        sent = swarm_post(talk->l, begin_now, talk);
    else if (talk->form != SWARM_PEER && way == 1)
        sent = swarm_soon(talk->l, begin_now, talk);
    if (!sent)
        begin_now(talk);
}

void
swarm_talk_last(swarm *w, swarm_server *s)
{
    swarm_talk *talk = &w->talks[w->talk_count];

    SWARM_CHECK(w, w->talk_count < SWARM_TALKS, "too many talks");
    w->talk_count++;
    talk_init(talk, w);
    talk->kind = (uint8_t)swarm_below(&talk->dice, SWARM_SILENT);
    talk->polite = true;
    talk->final = true;
    talk->server = s;
    talk->form = s->path[0] != '\0' ? SWARM_UNIX : SWARM_TCP;
    talk->l = draw_loop(talk);
    talk->goal[0] = talk->kind == SWARM_LINES ? 5 : 1 + draw_bytes(&talk->dice) / 4;
    talk->goal[1] = 1 + draw_bytes(&talk->dice) / 4;
    swarm_talk_begin(talk);
}

void
swarm_talk_check_complete(const swarm_talk *talk)
{
    const swarm_end *e = talk->ends[0];
    uint64_t due = talk->goal[talk->kind == SWARM_ECHO ? 0 : 1];

    if (talk->ends[1] != NULL && (rill_errclass(talk->ends[1]->code) == RILL_CLASS_TIMEOUT ||
                                     talk->ends[1]->code == RILL_EOVERFLOW))
        return; /* The server's options were too hard for this link. */
    if (talk->kind == SWARM_LINES)
        due = e->expected;
    SWARM_CHECK(talk->world, e->made && (e->code == 0 || e->code == RILL_EOF),
        "talk %u was to succeed, and ends with %s", talk->number, rill_errname(e->code));
    SWARM_CHECK(talk->world, e->received == due,
        "talk %u was to succeed, and %" PRIu64 " of %" PRIu64 " bytes have come", talk->number,
        e->received, due);
    SWARM_CHECK(talk->world, talk->ends[1] != NULL && talk->ends[1]->received == e->sent,
        "talk %u was to succeed, and its server has not heard all", talk->number);
}
