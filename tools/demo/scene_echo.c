/*
 * Echo under load: what does an echo through rill cost, compared with an echo server that is
 * written on epoll alone? 100 connections, 64 bytes; both servers run in processes of their own and
 * take turns, so that what else the machine does hits both. Compared is the processor time per
 * echo, round by round; the median counts. A machine that is busy with something else can still
 * upset a series, so one that misses the claim is played again, up to TRIES times, and the text
 * says so.
 */
#include "demo.h"
#include "load.h"
#include "reference.h"

#include <rill/rill.h>

#include <stdio.h>
#include <unistd.h>

enum { ROUNDS = 9, TRIES = 3, ROUND_NS = 450 * 1000 * 1000 };

/* The claim: rill does at least this part of the bare server's work in the same processor time. */
#define CLAIM 0.90

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

static const rill_protocol echo_protocol = RILL_PROTOCOL(.data_received = echo_data);

static void
rill_serve(int ready_fd, void *arg)
{
    rill_server *server;
    rill_loop *loop;
    rill_addr addr;

    (void)arg;
    demo_pin(0);
    if (rill_loop_new(NULL, &loop) < 0 ||
        rill_create_server(
            loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &echo_protocol, NULL, &server) < 0 ||
        rill_server_sockname(server, 0, &addr) < 0)
        _exit(1);
    demo_ready(ready_fd, rill_addr_port(&addr));
    (void)rill_loop_run(loop);
}

struct contestant {
    struct demo_server server;
    double cpu_us[ROUNDS], rate[ROUNDS], p50_us[ROUNDS], p99_us[ROUNDS];
};

static void
play_round(struct demo_result *result, struct contestant *contestant, int round)
{
    const char *trouble;
    struct load_round r;

    if (load_play(contestant->server.port, contestant->server.pid, ROUND_NS, &r, &trouble) < 0)
        demo_fail(result, "the load broke off: %s", trouble);
    contestant->cpu_us[round] = r.cpu_us;
    contestant->rate[round] = r.echoes_per_second;
    contestant->p50_us[round] = r.p50_us;
    contestant->p99_us[round] = r.p99_us;
}

/* The median over the rounds of how much of bare epoll's speed rill had. */
static double
play_series(struct demo_result *result, struct contestant *rill, struct contestant *bare)
{
    double parts[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        play_round(result, round % 2 == 0 ? rill : bare, round);
        play_round(result, round % 2 == 0 ? bare : rill, round);
        parts[round] = bare->cpu_us[round] / rill->cpu_us[round];
    }
    return demo_median(parts, ROUNDS);
}

static void
tell(struct demo_result *result, struct contestant *rill, struct contestant *bare, double part,
    int tries)
{
    double rill_us = demo_median(rill->cpu_us, ROUNDS);
    double bare_us = demo_median(bare->cpu_us, ROUNDS);
    double rate = demo_median(rill->rate, ROUNDS);
    double p50 = demo_median(rill->p50_us, ROUNDS);
    double p99 = demo_median(rill->p99_us, ROUNDS);

    snprintf(result->text, sizeof(result->text),
        "%.2f us of CPU an echo, bare epoll %.2f: %.0f %% of its speed (claim: %.0f %%); %.0f k/s, "
        "p50 %.0f us, p99 %.0f us%s",
        rill_us, bare_us, 100 * part, 100 * CLAIM, rate / 1000, p50, p99,
        tries > 1 ? "; in a repeated series" : "");
    demo_field(result, "rill_cpu_us_per_echo", rill_us);
    demo_field(result, "epoll_cpu_us_per_echo", bare_us);
    demo_field(result, "claim_part_of_epoll", CLAIM);
    demo_field(result, "part_of_epoll", part);
    demo_field(result, "rill_echoes_per_second", rate);
    demo_field(result, "epoll_echoes_per_second", demo_median(bare->rate, ROUNDS));
    demo_field(result, "rill_p50_us", p50);
    demo_field(result, "rill_p99_us", p99);
    demo_field(result, "epoll_p50_us", demo_median(bare->p50_us, ROUNDS));
    demo_field(result, "epoll_p99_us", demo_median(bare->p99_us, ROUNDS));
    demo_field(result, "connections", LOAD_CONNECTIONS);
    demo_field(result, "message_bytes", LOAD_MESSAGE_BYTES);
    demo_field(result, "rounds", ROUNDS);
    demo_field(result, "series", tries);
}

void
scene_echo(struct demo_result *result)
{
    static struct contestant rill, bare;
    double part = 0;
    int tries = 0;

    if (demo_server_start(rill_serve, NULL, &rill.server) < 0 ||
        demo_server_start(reference_serve, NULL, &bare.server) < 0)
        demo_fail(result, "a server did not start");
    demo_pin(1);
    while (tries < TRIES && part < CLAIM) {
        part = play_series(result, &rill, &bare);
        tries++;
    }
    result->passed = part >= CLAIM;
    tell(result, &rill, &bare, part, tries);
}
