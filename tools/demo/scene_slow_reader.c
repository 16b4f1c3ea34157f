/*
 * The slow reader: 1 GB is offered to somebody who reads in bursts and rests between them. The
 * server writes until pause_writing and goes on at resume_writing; its memory must stay flat, and
 * every byte must arrive at its place.
 */
#include "demo.h"

#include <rill/rill.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOTAL_BYTES (UINT64_C(1) << 30)
#define BURST_BYTES (UINT64_C(32) << 20)
#define REST_NS     (INT64_C(30) * 1000 * 1000)

enum { BLOCK_WORDS = 8192, CLAIM_BYTES = 8 << 20 };

/* Shared with the server. */
struct report {
    uint64_t pauses, resumes, queued_max, written;
};

struct sender {
    rill_transport *t;
    struct report *report;
    rill_id next; /* The scheduled send_more, or 0. */
    bool paused;
};

/* The word at a place of what is sent: every one is different. */
static uint64_t
word_at(uint64_t place)
{
    return (place + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* One block a callback: so others would have their turn between them. */
static void
send_more(void *arg)
{
    static uint64_t block[BLOCK_WORDS];
    struct sender *s = arg;
    uint64_t place = s->report->written / sizeof(block[0]);
    size_t queued;

    s->next = 0;
    if (s->paused)
        return;
    for (size_t i = 0; i < BLOCK_WORDS; i++)
        block[i] = word_at(place + i);
    s->report->written += sizeof(block);
    (void)rill_transport_write(s->t, block, sizeof(block)); /* A loss shows as missing bytes. */
    queued = rill_transport_write_buffer_size(s->t);
    if (queued > s->report->queued_max)
        s->report->queued_max = queued;
    if (s->report->written == TOTAL_BYTES)
        rill_transport_close(s->t);
    else if (!s->paused)
        (void)rill_call_soon(rill_transport_loop(s->t), send_more, s, &s->next);
}

static void
sender_made(rill_transport *t, void *self, void *arg)
{
    struct sender *s = self;

    s->t = t;
    s->report = arg;
    send_more(s);
}

static void
sender_pause(rill_transport *t, void *self)
{
    struct sender *s = self;

    (void)t;
    s->paused = true;
    s->report->pauses++;
}

static void
sender_resume(rill_transport *t, void *self)
{
    struct sender *s = self;

    s->paused = false;
    s->report->resumes++;
    if (!rill_transport_is_closing(t) && s->next == 0)
        (void)rill_call_soon(rill_transport_loop(t), send_more, s, &s->next);
}

static void
sender_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t, (void)self;
    if (why->code != 0)
        _exit(1); /* The reader sees an early end, and its scene fails. */
}

static const rill_protocol sender_protocol = RILL_PROTOCOL(.state_size = sizeof(struct sender),
    .connection_made = sender_made, .pause_writing = sender_pause, .resume_writing = sender_resume,
    .connection_lost = sender_lost);

static void
serve(int ready_fd, void *arg)
{
    rill_server *server;
    rill_loop *loop;
    rill_addr addr;

    if (rill_loop_new(NULL, &loop) < 0 ||
        rill_create_server(
            loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &sender_protocol, arg, &server) < 0 ||
        rill_server_sockname(server, 0, &addr) < 0)
        _exit(1);
    demo_ready(ready_fd, rill_addr_port(&addr));
    (void)rill_loop_run(loop);
}

/* Read a burst and compare it; returns false at the end. */
static bool
read_burst(struct demo_result *result, int fd, uint64_t *received)
{
    static uint64_t buffer[BLOCK_WORDS];
    uint64_t end = *received + BURST_BYTES;

    while (*received < end) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

        if (n < 0)
            demo_fail(result, "the connection broke after %.0f MB", (double)*received / 1e6);
        for (size_t i = 0; i < (size_t)n / sizeof(buffer[0]); i++)
            if (buffer[i] != word_at(*received / sizeof(buffer[0]) + i))
                demo_fail(result, "a wrong byte after %.0f MB", (double)*received / 1e6);
        *received += (uint64_t)n;
        if ((size_t)n < sizeof(buffer))
            return false;
    }
    return true;
}

void
scene_slow_reader(struct demo_result *result)
{
    struct report *report = demo_share(sizeof(*report));
    int64_t before, growth;
    struct demo_server server;
    uint64_t received = 0;
    int fd;

    if (demo_server_start(serve, report, &server) < 0)
        demo_fail(result, "the server did not start");
    before = demo_rss_bytes(server.pid);
    fd = demo_dial(server.port);
    if (fd < 0 || before < 0)
        demo_fail(result, "could not connect");
    do
        demo_sleep_ns(REST_NS); /* The server is stuck meanwhile, with a full queue. */
    while (read_burst(result, fd, &received));
    close(fd);
    growth = demo_rss_peak_bytes(server.pid) - before;

    result->passed = received == TOTAL_BYTES && growth < CLAIM_BYTES && report->pauses > 0 &&
                     report->pauses - report->resumes <= 1;
    snprintf(result->text, sizeof(result->text),
        "%.0f MB arrived right; %llu pauses, %llu resumes, at most %.0f KB queued; memory grew by "
        "%.1f MB (claim: 8)",
        (double)received / 1e6, (unsigned long long)report->pauses,
        (unsigned long long)report->resumes, (double)report->queued_max / 1e3,
        (double)growth / (1 << 20));
    demo_field(result, "bytes", (double)received);
    demo_field(result, "pauses", (double)report->pauses);
    demo_field(result, "resumes", (double)report->resumes);
    demo_field(result, "queued_bytes_max", (double)report->queued_max);
    demo_field(result, "memory_growth_bytes", (double)growth);
    demo_field(result, "claim_growth_bytes", CLAIM_BYTES);
}
