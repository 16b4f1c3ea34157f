/*
 * A transport of your own: a throttle, written on <rill/transport_ops.h> alone (above.c,
 * below.c, pace.c).
 *
 * Shows: two connections in memory; on one side the sender writes through a throttle and feels it
 * as backpressure, on the other side a plain protocol counts what arrives and how long it took.
 *
 * Run:     ./filter
 * Prints:  <throttle - -> - open reading write=idle queued=0>
 *          200000 bytes came through a throttle of 1000000 bytes a second
 *          the sender was paused and resumed: yes
 *          it took at least 0.19 s: yes
 *          conformance: 90 passed, 0 failed, 11 do not apply
 */
#include "throttle.h"

#include <rill/rill.h>

#include <stdio.h>

enum { TOTAL = 200 * 1000, RATE = 1000 * 1000 };

struct transfer {
    rill_loop *loop;
    rill_ns begun, ended;
    size_t sent, received;
    unsigned pauses, resumes;
};

static void
sender_write(rill_transport *t, struct transfer *transfer)
{
    static const uint8_t block[1000];

    while (transfer->sent < TOTAL && transfer->pauses == transfer->resumes) {
        transfer->sent += sizeof(block); /* First: the write may run pause_writing. */
        (void)rill_transport_write(t, block, sizeof(block));
    }
    if (transfer->sent == TOTAL)
        rill_transport_close(t); /* Flushes through the throttle, then below. */
}

static void
sender_made(rill_transport *t, void *self, void *arg)
{
    struct transfer *transfer = self;
    char text[200];

    (void)arg;
    puts(rill_transport_describe(t, text, sizeof(text)));
    transfer->begun = rill_loop_time(transfer->loop);
    (void)rill_transport_set_write_limits(t, 16 * 1024, 4 * 1024);
    sender_write(t, transfer);
}

static void
sender_pause(rill_transport *t, void *self)
{
    (void)t;
    ((struct transfer *)self)->pauses++;
}

static void
sender_resume(rill_transport *t, void *self)
{
    struct transfer *transfer = self;

    transfer->resumes++;
    sender_write(t, transfer);
}

static const rill_protocol sender = RILL_PROTOCOL(.connection_made = sender_made,
    .pause_writing = sender_pause, .resume_writing = sender_resume);

static void
receiver_data(rill_transport *t, void *self, rill_slice in)
{
    (void)t;
    ((struct transfer *)self)->received += in.len;
}

static void
receiver_lost(rill_transport *t, void *self, const rill_reason *why)
{
    struct transfer *transfer = self;

    (void)t, (void)why;
    transfer->ended = rill_loop_time(transfer->loop);
    rill_loop_stop(transfer->loop);
}

static const rill_protocol receiver =
    RILL_PROTOCOL(.data_received = receiver_data, .connection_lost = receiver_lost);

int
main(void)
{
    struct transfer transfer = { 0 };
    throttle_config config = { .bytes_per_second = RATE, .protocol = &sender, .arg = &transfer };
    rill_ns expected = TOTAL * (RILL_S / RATE), took;
    bool paused, in_time;

    if (rill_loop_new(NULL, &transfer.loop) < 0 ||
        rill_create_pair(transfer.loop, NULL, &throttle_protocol, &config, &receiver, &transfer,
            NULL, NULL) < 0 ||
        rill_loop_run(transfer.loop) < 0)
        return 1;
    rill_loop_free(transfer.loop);

    took = transfer.ended - transfer.begun;
    paused = transfer.pauses > 0 && transfer.pauses == transfer.resumes;
    in_time = took > expected * 19 / 20; /* The first burst leaves at once. */
    printf("%zu bytes came through a throttle of %d bytes a second\n", transfer.received, RATE);
    printf("the sender was paused and resumed: %s\n", paused ? "yes" : "no");
    printf("it took at least 0.19 s: %s\n", in_time ? "yes" : "no");
    return throttle_conformance() != 0 || transfer.received != TOTAL || !paused || !in_time;
}
