/*
 * Bytes on their way: one direction of a connection, with its buffers, window and flight.
 *
 * The pipe is kept at the receiver's end. The sender's bytes go into its ring at once and never
 * move again until they are read; what travels are offsets. At most SIM_SEGMENTS are in flight,
 * each with a time of arrival, in order; FIN and RST queue behind them;
 * what takes no time arrives in the call. Acknowledgements carry room
 * in the send buffer and the window, and are only sent where the sender may care. A direction that
 * is cut tries again like TCP: from 200 ms on, doubling, for 924 s. On a Unix socket bytes arrive
 * as they are written. Nothing here frees a socket but the two events, at their end. The world's
 * thread only.
 */
#include "core/driver/sim/internal.h"

#define RING_FIRST ((size_t)512)
#define RING_KEEP  ((size_t)4096)

#define RESET_BYTES (256 * 1024)

static void arrive(rill_sim *sim, sim_event *event);
static void deliver(sim_socket *receiver, const sim_segment *segment);
static void acknowledge(rill_sim *sim, sim_event *event);

void
rill__sim_pipe_init(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;

    pipe->arrive.fn = arrive;
    pipe->ack.fn = acknowledge;
    pipe->retry_since = RILL_NEVER;
    pipe->ack_since = RILL_NEVER;
    pipe->reset_at = UINT64_MAX;
    pipe->window_end = (uint64_t)receiver->recv_buffer / 2;
}

void
rill__sim_pipe_done(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;

    rill__sim_parcels_done(receiver);
    rill__sim_unschedule(receiver->sim, &pipe->arrive);
    rill__sim_unschedule(receiver->sim, &pipe->ack);
    rill__sim_dealloc(receiver->sim, pipe->ring, pipe->ring_size);
}

/* What has not arrived yet never will. */
void
rill__sim_pipe_drop(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;

    pipe->count = 0;
    pipe->sent = pipe->written = pipe->arrived;
    pipe->acked = pipe->arrived;
    rill__sim_unschedule(receiver->sim, &pipe->arrive);
    rill__sim_unschedule(receiver->sim, &pipe->ack);
}

/* Nothing more arrives; what has arrived can be read. */
void
rill__sim_pipe_kill(sim_socket *receiver)
{
    receiver->in.dead = true;
    rill__sim_pipe_drop(receiver);
}

/* ---- the ring ---- */

static int
ring_grow(rill_sim *sim, sim_pipe *pipe, size_t need)
{
    size_t size = pipe->ring_size != 0 ? pipe->ring_size : RING_FIRST;
    uint8_t *ring;

    if (need <= pipe->ring_size)
        return 0;
    while (size < need)
        size *= 2;
    ring = rill__sim_alloc(sim, size);
    if (ring == NULL)
        return -ENOMEM;
    for (uint64_t at = pipe->taken; at < pipe->written;) {
        size_t from = at & (pipe->ring_size - 1);
        size_t to = at & (size - 1);
        size_t run = pipe->ring_size - from;

        if (run > pipe->written - at)
            run = (size_t)(pipe->written - at);
        if (run > size - to)
            run = size - to;
        memcpy(ring + to, pipe->ring + from, run);
        at += run;
    }
    rill__sim_dealloc(sim, pipe->ring, pipe->ring_size);
    pipe->ring = ring;
    pipe->ring_size = size;
    return 0;
}

static void
ring_put(sim_pipe *pipe, const uint8_t *data, size_t len)
{
    size_t at = pipe->written & (pipe->ring_size - 1);
    size_t run = pipe->ring_size - at;

    if (run > len)
        run = len;
    memcpy(pipe->ring + at, data, run);
    memcpy(pipe->ring, data + run, len - run);
    pipe->written += len;
}

static void
ring_get(sim_pipe *pipe, uint8_t *buf, size_t len)
{
    size_t at = pipe->taken & (pipe->ring_size - 1);
    size_t run = pipe->ring_size - at;

    if (run > len)
        run = len;
    memcpy(buf, pipe->ring + at, run);
    memcpy(buf + run, pipe->ring, len - run);
    pipe->taken += len;
}

/* ---- flow control ---- */

static size_t
send_capacity(const sim_socket *sender)
{
    return (size_t)sender->send_buffer / (rill__sim_is_unix(sender) ? 1 : 2);
}

static size_t
used(const sim_socket *sender)
{
    const sim_pipe *pipe = &sender->other->in;

    return (size_t)(pipe->written - (rill__sim_is_unix(sender) ? pipe->taken : pipe->acked));
}

size_t
rill__sim_pipe_room(const sim_socket *sender)
{
    size_t capacity = send_capacity(sender);
    size_t now = used(sender);

    return now < capacity ? capacity - now : 0;
}

static bool
ack_is_due(const sim_socket *receiver)
{
    const sim_pipe *pipe = &receiver->in;
    uint64_t capacity = (uint64_t)receiver->recv_buffer / 2;
    uint64_t end = pipe->taken + capacity;

    if (pipe->dead)
        return false;
    if (pipe->arrived > pipe->acked && used(receiver->other) * 3 > send_capacity(receiver->other))
        return true;
    return end > pipe->window_end && pipe->window_end - pipe->sent < capacity / 2;
}

/* The sender hears of what has arrived and of the room there is. */
static void
take_ack(sim_socket *receiver)
{
    sim_socket *sender = receiver->other;
    sim_pipe *pipe = &receiver->in;
    uint64_t end = pipe->taken + (uint64_t)receiver->recv_buffer / 2;

    pipe->acked = pipe->arrived;
    if (end > pipe->window_end)
        pipe->window_end = end;
    if (!pipe->delivering)
        rill__sim_pipe_transmit(sender);
    if (rill__sim_writable(sender))
        rill__sim_socket_notify(sender);
}

static void
want_ack(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;
    uint32_t *uses = &receiver->uses[RILL_SIM_FAULT_ZERO_WINDOW];
    rill_ns at;

    if (rill__sim_scheduled(&pipe->ack) || !ack_is_due(receiver))
        return;
    at = rill__sim_arrival(
        receiver->host, receiver->other->host, 0, receiver->number, pipe->segments_made);
    if (rill__sim_fault_of(receiver, RILL_SIM_FAULT_ZERO_WINDOW))
        at += (rill_ns)rill__sim_value(receiver->sim, RILL_SIM_FAULT_ZERO_WINDOW, receiver->number,
            uses, (uint64_t)RILL_MS, (uint64_t)(3 * RILL_S));
    if (at > receiver->sim->now || rill__sim_cut(receiver->host, receiver->other->host))
        rill__sim_schedule(receiver->sim, &pipe->ack, at);
    else
        take_ack(receiver);
}

/* Again after 200 ms, 400 ms...; false when it is time to give up. */
static bool
retry(rill_sim *sim, sim_event *event, rill_ns *since, uint32_t *retries)
{
    rill_ns pause;

    if (*since == RILL_NEVER) {
        *since = sim->now;
        *retries = 0;
    }
    if (sim->now - *since >= SIM_RETRY_LIMIT)
        return false;
    pause = *retries < 10 ? SIM_RETRY_FIRST << *retries : SIM_RETRY_MAX;
    ++*retries;
    if (pause > SIM_RETRY_MAX)
        pause = SIM_RETRY_MAX;
    rill__sim_schedule(sim, event, sim->now + pause);
    return true;
}

static void
acknowledge(rill_sim *sim, sim_event *event)
{
    sim_socket *receiver = RILL__CONTAINER(event, sim_socket, in.ack);
    sim_socket *sender = receiver->other;
    sim_pipe *pipe = &receiver->in;

    if (rill__sim_cut(receiver->host, sender->host)) {
        if (!retry(sim, event, &pipe->ack_since, &pipe->ack_retries))
            rill__sim_tcp_timeout(sender);
        return;
    }
    pipe->ack_since = RILL_NEVER;
    take_ack(receiver);
    rill__sim_socket_check(receiver);
}

/* ---- flight ---- */

/* What takes no time happens in the sender's call, as on a kernel's loopback. */
static void
push_segment(sim_socket *receiver, enum sim_flight what, size_t bytes)
{
    sim_pipe *pipe = &receiver->in;
    sim_segment segment;
    rill_ns at = rill__sim_arrival(
        receiver->other->host, receiver->host, bytes, receiver->number, pipe->segments_made);
    rill_sim *sim = receiver->sim;
    uint64_t number = receiver->number;

    if (what != SIM_FLIGHT_RST) {
        if (rill__sim_fault_of(receiver, RILL_SIM_FAULT_DELAY))
            at += (rill_ns)rill__sim_value(sim, RILL_SIM_FAULT_DELAY, number,
                &receiver->uses[RILL_SIM_FAULT_DELAY], 1, (uint64_t)(200 * RILL_MS));
        if (rill__sim_fault_of(receiver, RILL_SIM_FAULT_LOSS))
            at += SIM_RETRY_FIRST << rill__sim_value(
                      sim, RILL_SIM_FAULT_LOSS, number, &receiver->uses[RILL_SIM_FAULT_LOSS], 0, 3);
        if (rill__sim_fault_of(receiver, RILL_SIM_FAULT_STALL))
            at += (rill_ns)rill__sim_value(sim, RILL_SIM_FAULT_STALL, number,
                &receiver->uses[RILL_SIM_FAULT_STALL], (uint64_t)(100 * RILL_MS),
                (uint64_t)(5 * RILL_S));
    }
    pipe->segments_made++;
    segment = (sim_segment){ .end = pipe->sent, .at = at, .what = (uint8_t)what };
    if (at <= sim->now && pipe->count == 0 && !pipe->delivering &&
        !rill__sim_cut(receiver->other->host, receiver->host)) {
        pipe->delivering = true;
        deliver(receiver, &segment);
        pipe->delivering = false;
        return;
    }
    rill__sim_check(sim, pipe->count < SIM_SEGMENTS + 2);
    pipe->segments[(pipe->first + pipe->count++) % (SIM_SEGMENTS + 2)] = segment;
    if (!rill__sim_scheduled(&pipe->arrive))
        rill__sim_schedule(sim, &pipe->arrive, at);
}

static size_t
next_segment(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;
    size_t bytes = (size_t)(pipe->written - pipe->sent);

    if (bytes > pipe->window_end - pipe->sent)
        bytes = (size_t)(pipe->window_end - pipe->sent);
    if (bytes > SIM_SEGMENT_MAX)
        bytes = SIM_SEGMENT_MAX;
    if (bytes > 1 && rill__sim_fault_of(receiver, RILL_SIM_FAULT_SPLIT))
        bytes = (size_t)rill__sim_small_value(receiver->sim, RILL_SIM_FAULT_SPLIT, receiver->number,
                    &receiver->uses[RILL_SIM_FAULT_SPLIT], bytes - 2) +
                1;
    return bytes;
}

static void
transmit_unix(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;

    if (pipe->arrived == pipe->written)
        return;
    rill__sim_trace_socket(receiver, SIM_ARRIVE, pipe->written - pipe->arrived);
    pipe->sent = pipe->arrived = pipe->written;
    rill__sim_socket_notify(receiver);
}

void
rill__sim_pipe_transmit(sim_socket *sender)
{
    sim_socket *receiver = sender->other;
    sim_pipe *pipe = &receiver->in;

    if (pipe->dead)
        return;
    if (rill__sim_is_unix(sender)) {
        transmit_unix(receiver);
        return;
    }
    while (!pipe->dead && pipe->count < SIM_SEGMENTS && pipe->sent < pipe->written &&
           pipe->sent < pipe->window_end) {
        size_t bytes = next_segment(receiver);

        if (pipe->sent == 0 && rill__sim_fault_of(receiver, RILL_SIM_FAULT_RESET))
            pipe->reset_at = rill__sim_small_value(receiver->sim, RILL_SIM_FAULT_RESET,
                receiver->number, &receiver->uses[RILL_SIM_FAULT_RESET], RESET_BYTES);

        pipe->sent += bytes;
        push_segment(receiver, SIM_FLIGHT_DATA, bytes);
    }
    if (!pipe->dead && pipe->fin_written && !pipe->fin_sent && pipe->sent == pipe->written &&
        pipe->count <= SIM_SEGMENTS) {
        pipe->fin_sent = true;
        push_segment(receiver, SIM_FLIGHT_FIN, 0);
    }
}

void
rill__sim_pipe_reset(sim_socket *sender)
{
    sim_socket *receiver = sender->other;
    sim_pipe *pipe = &receiver->in;

    if (pipe->dead)
        return;
    pipe->written = pipe->sent;
    push_segment(receiver, SIM_FLIGHT_RST, 0);
}

static void
deliver(sim_socket *receiver, const sim_segment *segment)
{
    sim_pipe *pipe = &receiver->in;
    uint64_t bytes = segment->end - pipe->arrived;

    if (segment->what == SIM_FLIGHT_RST) {
        rill__sim_tcp_arrived(receiver, SIM_FLIGHT_RST);
        return;
    }
    if (receiver->reset || (segment->what == SIM_FLIGHT_DATA && !receiver->owned)) {
        rill__sim_tcp_send_reset(receiver); /* Nobody is there to read it. */
        return;
    }
    if (segment->what == SIM_FLIGHT_FIN) {
        rill__sim_tcp_arrived(receiver, SIM_FLIGHT_FIN);
        return;
    }
    if (pipe->reset_at < segment->end) {
        if (pipe->reset_at > pipe->arrived)
            pipe->arrived = pipe->reset_at;
        rill__sim_tcp_break(receiver);
        return;
    }
    pipe->arrived = segment->end;
    rill__sim_trace_socket(receiver, SIM_ARRIVE, bytes);
    rill__sim_socket_notify(receiver);
    want_ack(receiver);
}

static void
arrive(rill_sim *sim, sim_event *event)
{
    sim_socket *receiver = RILL__CONTAINER(event, sim_socket, in.arrive);
    sim_socket *sender = receiver->other;
    sim_pipe *pipe = &receiver->in;
    sim_segment segment = pipe->segments[pipe->first];

    rill__sim_check(sim, pipe->count > 0 && !pipe->dead);
    if (rill__sim_cut(sender->host, receiver->host)) {
        if (retry(sim, event, &pipe->retry_since, &pipe->retries))
            rill__sim_trace_socket(receiver, SIM_RETRY, pipe->retries);
        else
            rill__sim_tcp_timeout(sender);
        return;
    }
    pipe->retry_since = RILL_NEVER;
    pipe->first = (uint8_t)((pipe->first + 1) % (SIM_SEGMENTS + 2));
    pipe->count--;
    pipe->delivering = true;
    deliver(receiver, &segment);
    pipe->delivering = false;
    if (pipe->count > 0)
        rill__sim_schedule(sim, event, pipe->segments[pipe->first].at);
    rill__sim_pipe_transmit(sender); /* There is room in flight. */
    rill__sim_socket_check(receiver);
    rill__sim_socket_settle(receiver);
}

void
rill__sim_pipe_kick(sim_socket *receiver)
{
    sim_pipe *pipe = &receiver->in;

    if (pipe->retry_since != RILL_NEVER && rill__sim_scheduled(&pipe->arrive))
        rill__sim_schedule(receiver->sim, &pipe->arrive, receiver->sim->now);
    if (pipe->ack_since != RILL_NEVER && rill__sim_scheduled(&pipe->ack))
        rill__sim_schedule(receiver->sim, &pipe->ack, receiver->sim->now);
}

/* What was not worth an acknowledgement may be what a smaller buffer waits for. */
void
rill__sim_pipe_resized(sim_socket *sender)
{
    if (sender->other == NULL || sender->state != SIM_CONNECTED)
        return;
    if (!rill__sim_is_unix(sender))
        want_ack(sender->other);
    if (rill__sim_writable(sender))
        rill__sim_socket_notify(sender);
}

/* ---- both ends ---- */

size_t
rill__sim_pipe_write(sim_socket *sender, const void *data, size_t len)
{
    sim_socket *receiver = sender->other;
    sim_pipe *pipe = &receiver->in;
    size_t room = rill__sim_pipe_room(sender);

    if (len > room)
        len = room;
    if (len == 0 || ring_grow(sender->sim, pipe, (size_t)(pipe->written - pipe->taken) + len) < 0)
        return 0;
    ring_put(pipe, data, len);
    rill__sim_pipe_transmit(sender);
    if (!rill__sim_is_unix(sender))
        want_ack(receiver);
    return len;
}

size_t
rill__sim_pipe_read(sim_socket *receiver, void *buf, size_t len)
{
    sim_pipe *pipe = &receiver->in;

    if (len > rill__sim_pipe_readable(pipe))
        len = rill__sim_pipe_readable(pipe);
    if (len == 0)
        return 0;
    ring_get(pipe, buf, len);
    rill__sim_parcels_passed(receiver);
    if (pipe->taken == pipe->written && pipe->ring_size > RING_KEEP) {
        rill__sim_dealloc(receiver->sim, pipe->ring, pipe->ring_size);
        pipe->ring = NULL;
        pipe->ring_size = 0;
    }
    if (rill__sim_is_unix(receiver)) {
        if (receiver->other != NULL && rill__sim_writable(receiver->other))
            rill__sim_socket_notify(receiver->other);
    } else {
        want_ack(receiver);
    }
    return len;
}

void
rill__sim_pipe_check(const sim_socket *receiver)
{
    const sim_pipe *pipe = &receiver->in;
    const rill_sim *sim = receiver->sim;

    rill__sim_check(sim, pipe->taken <= pipe->arrived && pipe->arrived <= pipe->sent);
    rill__sim_check(sim, pipe->sent <= pipe->written && pipe->acked <= pipe->arrived);
    rill__sim_check(sim, pipe->written - pipe->taken <= pipe->ring_size);
    rill__sim_check(
        sim, rill__sim_is_unix(receiver) || pipe->dead || pipe->sent <= pipe->window_end);
    rill__sim_check(sim, pipe->count <= SIM_SEGMENTS + 2);
    rill__sim_check(sim, (pipe->count > 0) == rill__sim_scheduled(&pipe->arrive));
    rill__sim_check(sim, !pipe->fin_sent || pipe->fin_written);
}
