/*
 * One world of the swarm: its making, its weather, its end. Everything is drawn from the seed.
 *
 * The storm comes first: servers open, conversations begin, servers are closed, links are cut. Then
 * the world is healed, and everything must come to an end: conversations over, servers reachable,
 * timers gone, memory back. Some worlds are ended by rill_loop_free in the middle instead.
 */
#include "swarm_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORM    (12 * RILL_S)
#define CALM     (400 * RILL_S) /* TCP may need minutes to give up. */
#define ATTEMPTS 200            /* To make what needs memory, when memory fails by chance. */

/* ---- numbers ---- */

static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

swarm_dice
swarm_dice_of(uint64_t seed, uint32_t domain, uint64_t object)
{
    return (swarm_dice){ mix(mix(mix(seed) + domain) + object) };
}

uint32_t
swarm_below(swarm_dice *dice, uint32_t below)
{
    dice->state += UINT64_C(0x9e3779b97f4a7c15);
    return below == 0 ? 0 : (uint32_t)((mix(dice->state) >> 32) * below >> 32);
}

bool
swarm_chance(swarm_dice *dice, uint32_t percent)
{
    return swarm_below(dice, 100) < percent;
}

/* ---- bytes ---- */

static uint8_t table[3 * SWARM_PERIOD];

static void
fill_table(void)
{
    if (table[1] != 0)
        return;
    for (size_t i = 0; i < sizeof(table); i++)
        table[i] = (uint8_t)(mix(i % SWARM_PERIOD + 1) >> 11 | (i % SWARM_PERIOD == 1));
}

uint64_t
swarm_file_offset(const swarm_talk *talk, int side, uint64_t at)
{
    return (at + talk->number * UINT64_C(7919) + (uint64_t)side * 30011) % SWARM_PERIOD;
}

const uint8_t *
swarm_bytes(const swarm_talk *talk, int side, uint64_t at)
{
    return table + swarm_file_offset(talk, side, at);
}

int
swarm_file(void)
{
    static int file = -1;

    if (file >= 0)
        return file;
    file = memfd_create("swarm", MFD_CLOEXEC);
    if (file < 0 || write(file, table, sizeof(table)) != (ssize_t)sizeof(table))
        abort();
    return file;
}

/* ---- what holds everywhere ---- */

static void
print_ends(const swarm *w)
{
    char text[400];

    for (const swarm_end *e = w->ends; e != NULL; e = e->next) {
        if (e->lost && getenv("RILL_SIM_SEED") == NULL)
            continue;
        swarm_end_describe(e, text, sizeof(text));
        fprintf(stderr, "  %s\n", text);
    }
}

void
swarm_fail(const swarm *w, const char *format, ...)
{
    va_list args;
    char text[300];

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "FAIL seed %" PRIu64 " (%s, %s) at %" PRId64 " us: %s\n", w->seed,
        w->calm ? "calm" : "faults",
        rill_sim_get_personality(w->sim) == RILL_SIM_COMPLETION ? "completion" : "readiness",
        swarm_now(w) / 1000, text);
    if (getenv("RILL_SIM_SEED") != NULL) {
        print_ends(w);
        rill_sim_dump(w->sim, NULL, NULL);
    }
    fflush(NULL);
    _exit(1);
}

rill_ns
swarm_now(const swarm *w)
{
    return rill_sim_now(w->sim);
}

void
swarm_enter(swarm *w, const char *what)
{
    w->serial++;
    SWARM_CHECK(w, w->inside == NULL, "%s runs inside of %s", what, w->inside);
}

bool
swarm_is_calm(const swarm *w)
{
    return w->calm;
}

/* ---- making ---- */

static void
on_report(rill_loop *loop, const rill_error_context *context, void *arg)
{
    swarm_loop *l = arg;

    SWARM_CHECK(l->world, l->loop == loop && context->message[0] != '\0', "a report of nothing");
    l->reports[context->kind]++;
}

static void
open_loop(swarm *w, size_t i)
{
    static const char *const names[SWARM_LOOPS] = { "a", "b", "c" };
    swarm_loop *l = &w->loops[i];
    rill_loop_options o = RILL_LOOP_OPTIONS(.debug = swarm_chance(&w->dice, 15) ? 1 : -1);
    int rc = -1;

    l->world = w;
    l->host = names[i];
    l->dice = swarm_dice_of(w->seed, 1, i);
    snprintf(l->ip, sizeof(l->ip), "10.0.0.%zu", i + 1);
    if (rill_sim_host(w->sim, l->host, l->ip) < 0)
        abort();
    for (int n = 0; n < ATTEMPTS && rc < 0; n++)
        rc = rill_sim_loop_new(w->sim, l->host, &o, &l->loop);
    SWARM_CHECK(w, rc == 0, "a loop cannot be made: %s", rill_errname(rc));
    rill_loop_set_error_handler(l->loop, on_report, l);
}

static rill_sim_profile
draw_profile(swarm_dice *dice)
{
    uint32_t way = swarm_below(dice, 100);

    return way < 15 ? RILL_SIM_CALM : way < 25 ? RILL_SIM_HOSTILE : RILL_SIM_SWARM;
}

static void
open_world(swarm *w, uint64_t seed)
{
    rill_sim_options o = RILL_SIM_OPTIONS(.seed = seed);

    fill_table();
    w->seed = seed;
    w->dice = swarm_dice_of(seed, 0, 0);
    w->profile = draw_profile(&w->dice);
    allocator_init(&w->memory);
    o.profile = w->profile;
    o.allocator = &w->memory.hook;
    if (swarm_chance(&w->dice, 15))
        o.fail_allocation = 1 + swarm_below(&w->dice, 400);
    if (swarm_chance(&w->dice, 15))
        o.recv_bytes_max = 1 + swarm_below(&w->dice, 3000);
    if (swarm_chance(&w->dice, 15))
        o.send_bytes_max = 1 + swarm_below(&w->dice, 3000);
    if (swarm_chance(&w->dice, 10))
        o.descriptors_max = 6 + swarm_below(&w->dice, 10);
    w->calm = w->profile == RILL_SIM_CALM && o.fail_allocation == 0 && o.descriptors_max == 0;
    w->lone = swarm_chance(&w->dice, 35);
    if (rill_sim_new(&o, &w->sim) < 0)
        abort();
    w->loop_count = w->lone ? 1 : 1 + swarm_below(&w->dice, SWARM_LOOPS);
    for (size_t i = 0; i < w->loop_count; i++)
        open_loop(w, i);
    w->server_count = 1 + swarm_below(&w->dice, SWARM_SERVERS - 1);
    for (size_t i = 0; i < w->server_count; i++)
        swarm_server_draw(&w->servers[i], w, i);
    w->talk_count = 1 + swarm_below(&w->dice, swarm_chance(&w->dice, 20) ? 40 : 12);
    for (size_t i = 0; i < w->talk_count; i++)
        swarm_talk_draw(&w->talks[i], w);
}

/* ---- running ---- */

static void
observe(swarm *w)
{
    for (size_t i = 0; i < w->loop_count; i++)
        if (w->loops[i].loop != NULL)
            swarm_timers_observe(&w->loops[i]);
    for (size_t i = 0; i < SWARM_SERVERS; i++)
        if (w->servers[i].l != NULL)
            swarm_server_observe(&w->servers[i]);
    swarm_ends_observe(w);
}

static bool
run(swarm *w, rill_ns length, bool (*done)(swarm *w))
{
    rill_ns end = swarm_now(w) + length;

    while (swarm_now(w) < end && (done == NULL || !done(w))) {
        rill_ns next = swarm_now(w) + SWARM_SLICE < end ? swarm_now(w) + SWARM_SLICE : end;
        int rc = w->lone ? rill_loop_run_until(w->loops[0].loop, next)
                         : rill_sim_run_for(w->sim, next - swarm_now(w));

        SWARM_CHECK(
            w, rc == 0 || rc == RILL_ETIMEDOUT, "the world does not run: %s", rill_errname(rc));
        observe(w);
    }
    return done == NULL || done(w);
}

/* ---- the storm ---- */

static void
begin_talk(void *arg)
{
    swarm_talk *talk = arg;

    if (!talk->begun)
        swarm_talk_begin(talk);
}

static void
trouble_server(void *arg)
{
    swarm_server *s = arg;

    if (!s->l->world->healed)
        swarm_server_mischief(s);
}

/* Whatever was closed, or could not be opened, opens again; until the storm is over. */
static void
reopen(void *arg)
{
    swarm *w = arg;

    if (w->healed)
        return;
    for (size_t i = 0; i < w->server_count; i++)
        swarm_server_open(&w->servers[i]);
    swarm_later(w, (50 + swarm_below(&w->dice, 400)) * RILL_MS, reopen, w);
}

static void
volley(void *arg)
{
    swarm *w = arg;
    swarm_loop *l = &w->loops[swarm_below(&w->dice, (uint32_t)w->loop_count)];

    if (!w->healed)
        swarm_volley(l);
}

static void
cut_or_mend(void *arg)
{
    swarm *w = arg;
    const char *a = w->loops[swarm_below(&w->dice, (uint32_t)w->loop_count)].host;
    const char *b = w->loops[swarm_below(&w->dice, (uint32_t)w->loop_count)].host;

    if (w->healed)
        return;
    if (swarm_chance(&w->dice, 50))
        (void)rill_sim_partition(w->sim, a, b, swarm_chance(&w->dice, 50));
    else
        (void)rill_sim_lift(w->sim, a, b);
}

static rill_ns
sometime(swarm *w, rill_ns within)
{
    return (rill_ns)swarm_below(&w->dice, (uint32_t)(within / RILL_US)) * RILL_US;
}

static void
plan_storm(swarm *w)
{
    bool crowd = swarm_chance(&w->dice, 30); /* All talks begin at about the same time. */

    for (size_t i = 0; i < w->server_count; i++) {
        swarm_server_open(&w->servers[i]);
        for (uint32_t n = swarm_chance(&w->dice, 50) ? swarm_below(&w->dice, 4) : 0; n > 0; n--)
            swarm_later(w, sometime(w, STORM), trouble_server, &w->servers[i]);
    }
    for (size_t i = 0; i < w->talk_count; i++)
        swarm_later(w, sometime(w, crowd ? RILL_MS : STORM / 2), begin_talk, &w->talks[i]);
    for (uint32_t n = swarm_below(&w->dice, 6); n > 0; n--)
        swarm_later(w, sometime(w, STORM), volley, w);
    if (!w->calm && swarm_chance(&w->dice, 20))
        for (uint32_t n = 6; n > 0; n--)
            swarm_later(w, sometime(w, STORM), cut_or_mend, w);
    swarm_later(w, RILL_MS, reopen, w);
}

/* ---- the end ---- */

static bool
talks_over(swarm *w)
{
    for (size_t i = 0; i < w->talk_count; i++)
        if (!w->talks[i].over)
            return false;
    for (size_t i = 0; i < w->loop_count; i++)
        if (w->loops[i].live != 0)
            return false;
    return true;
}

static bool
servers_over(swarm *w)
{
    for (size_t i = 0; i < SWARM_SERVERS; i++)
        if (w->servers[i].server != NULL)
            return false;
    for (size_t i = 0; i < w->loop_count; i++)
        if (w->loops[i].soon_made != w->loops[i].soon_ran ||
            w->loops[i].posts_made != w->loops[i].posts_ran)
            return false;
    return true;
}

static void
heal(swarm *w)
{
    rill_sim_heal(w->sim);
    w->healed = true;
    for (size_t i = 0; i < w->loop_count; i++)
        (void)rill_sim_set_descriptors_max(w->sim, w->loops[i].host, 65536);
    for (size_t i = 0; i < w->talk_count; i++)
        if (w->talks[i].peer != NULL && !w->talks[i].over) {
            rill_sim_peer_reset(w->talks[i].peer);
            w->talks[i].over = true;
        }
    if (!run(w, CALM, talks_over)) {
        print_ends(w);
        swarm_fail(w, "the weather is calm, and a conversation does not end");
    }
}

/* Where nothing went wrong and nobody was rude, all has to have arrived. */
static void
check_polite(const swarm *w)
{
    for (size_t i = 0; i < w->talk_count; i++) {
        const swarm_talk *talk = &w->talks[i];
        bool is_alone = talk->form == SWARM_PAIR;

        if (w->calm && talk->polite && talk->kind != SWARM_SILENT && talk->form != SWARM_PEER &&
            (is_alone || !talk->server->disturbed))
            swarm_talk_check_complete(talk);
    }
}

/* The same servers, and one more, must serve a new client. */
static void
last_talks(swarm *w)
{
    size_t first = w->talk_count;

    swarm_server_draw(&w->servers[SWARM_SERVERS - 1], w, SWARM_SERVERS - 1);
    swarm_server_open(&w->servers[SWARM_SERVERS - 1]);
    for (size_t i = 0; i < SWARM_SERVERS; i++)
        if (w->servers[i].server != NULL && !w->servers[i].closing)
            swarm_talk_last(w, &w->servers[i]);
    if (!run(w, CALM, talks_over)) {
        print_ends(w);
        swarm_fail(w, "the weather is calm, and a new client is not served");
    }
    for (size_t i = first; i < w->talk_count; i++)
        swarm_talk_check_complete(&w->talks[i]);
}

static void
end_orderly(swarm *w)
{
    heal(w);
    check_polite(w);
    last_talks(w);
    for (size_t i = 0; i < SWARM_SERVERS; i++)
        swarm_server_close(&w->servers[i]);
    SWARM_CHECK(w, run(w, 2 * RILL_S, servers_over), "a server or a message does not end");
    SWARM_CHECK(w, run(w, RILL_S, NULL), "the world does not run");
}

static void
free_loops(swarm *w, bool orderly)
{
    w->ending = true;
    for (size_t i = 0; i < w->loop_count; i++) {
        swarm_loop *l = &w->loops[i];
        size_t left;

        swarm_timers_forget(l);
        left = rill_loop_free(l->loop);
        l->loop = NULL;
        SWARM_CHECK(w, !orderly || left == 0, "%zu things are left in a loop", left);
        SWARM_CHECK(w, l->live == 0, "%zu transports have outlived their loop", l->live);
        SWARM_CHECK(w, l->posts_made == l->posts_ran, "%" PRIu64 " of %" PRIu64 " messages ran",
            l->posts_ran, l->posts_made);
    }
    for (const swarm_end *e = w->ends; e != NULL; e = e->next) {
        SWARM_CHECK(w, !e->made || e->lost, "connection_lost was not called");
        SWARM_CHECK(w, e->refs == 0, "%u references were not released", e->refs);
    }
}

static void
close_world(swarm *w, swarm_counts *counts)
{
    size_t leaks;

    for (int kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++)
        counts->fired[kind] += rill_sim_fault_count(w->sim, (rill_sim_fault)kind);
    counts->hash = mix(counts->hash + rill_sim_trace_hash(w->sim));
    counts->seeds++;
    for (size_t i = 0; i < w->loop_count; i++)
        SWARM_CHECK(w, rill_sim_descriptors(w->sim, w->loops[i].host) == 0,
            "%zu descriptors are left open", rill_sim_descriptors(w->sim, w->loops[i].host));
    leaks = rill_sim_free(w->sim);
    if (leaks != 0 || w->memory.blocks != 0) {
        fprintf(stderr, "FAIL seed %" PRIu64 ": %zu leaks in the world, %zu blocks of memory\n",
            w->seed, leaks, w->memory.blocks);
        _exit(1);
    }
}

void
swarm_run_seed(uint64_t seed, swarm_counts *counts)
{
    static swarm w;
    bool orderly;

    memset(&w, 0, sizeof(w));
    open_world(&w, seed);
    orderly = !swarm_chance(&w.dice, 12);
    plan_storm(&w);
    (void)run(&w, orderly ? STORM : sometime(&w, STORM), NULL);
    if (orderly)
        end_orderly(&w);
    free_loops(&w, orderly);
    close_world(&w, counts);
    swarm_ends_free(&w);
    swarm_refs_free(&w);
    swarm_messages_free(&w);
}
