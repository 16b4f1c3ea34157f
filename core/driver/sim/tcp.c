/*
 * TCP: the handshake, FIN, RST, and who learns what in which order.
 *
 * As Linux does it, observed there: bytes that were received stay readable after a reset, then
 * ECONNRESET once, then EOF; a reset after the peer's FIN is EPIPE for the writer and nothing for
 * the reader; a full backlog drops the SYN, which is tried again after 1 s, 2 s, 4 s..., seven
 * times; a child that was reset before accept is accepted and then fails. The steps of a handshake
 * are one event at the client; the child has its own for the last ACK. The world's thread only.
 */
#include "core/driver/sim/internal.h"

#define SYN_TRIES 7 /* 127 s in all. */
#define SYN_FIRST RILL_S

static void
step_at(sim_socket *socket, enum sim_step kind, rill_ns at)
{
    socket->step_kind = (uint8_t)kind;
    rill__sim_schedule(socket->sim, &socket->step, at);
}

static void
step_to(sim_socket *from, const sim_socket *to, sim_socket *whose, enum sim_step kind)
{
    step_at(whose, kind, rill__sim_arrival(from->host, to->host, 0, from->number, from->tries));
}

/* ---- the client's side ---- */

static void
drop_syn(sim_socket *socket)
{
    rill__sim_trace_socket(socket, SIM_SYN_DROP, socket->tries);
    step_at(socket, SIM_STEP_RETRY, socket->sim->now + (SYN_FIRST << (socket->tries - 1)));
}

static void
send_syn(sim_socket *socket)
{
    sim_host *to = rill__sim_host_at(socket->host, &socket->port.remote);

    socket->tries++;
    rill__sim_trace_socket(socket, SIM_SYN, to != NULL ? to->number : UINT64_MAX);
    if (to == NULL || rill__sim_cut(socket->host, to) ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_SYN_LOSS))
        drop_syn(socket);
    else
        step_at(socket, SIM_STEP_SYN,
            rill__sim_arrival(socket->host, to, 0, socket->number, socket->tries));
}

int
rill__sim_tcp_connect(sim_socket *socket, const sim_name *remote)
{
    sim_name target = *remote;
    sim_name source;
    int rc = rill__sim_source(socket->host, remote, &source);

    if (rc < 0)
        return rc;
    if (rill__sim_wildcard(remote)) /* This host. */
        memcpy(target.bytes, source.bytes, sizeof(target.bytes));
    rc = rill__sim_port_connect(socket, &target);
    if (rc < 0)
        return rc;
    socket->state = SIM_CONNECTING;
    send_syn(socket);
    return 0;
}

/* ---- the server's side ---- */

static sim_socket *
new_child(sim_socket *listener, sim_socket *client)
{
    sim_socket *child;

    if (rill__sim_socket_new(listener->host, (rill_family)listener->family, &child) < 0)
        return NULL;
    child->reuse_address = listener->reuse_address;
    child->reuse_port = listener->reuse_port;
    child->v6only = listener->v6only;
    child->nodelay = listener->nodelay;
    child->keepalive = listener->keepalive;
    child->keepalive_idle = listener->keepalive_idle;
    child->keepalive_interval = listener->keepalive_interval;
    child->keepalive_count = listener->keepalive_count;
    child->linger = listener->linger;
    child->send_buffer = listener->send_buffer;
    child->recv_buffer = listener->recv_buffer;
    child->in.window_end = (uint64_t)child->recv_buffer / 2;
    client->in.window_end = (uint64_t)client->recv_buffer / 2;
    child->state = SIM_CONNECTED;
    child->other = client;
    client->other = child;
    rill__sim_port_share(child, &client->port.remote, &client->port.local);
    child->listener = listener;
    rill__list_append(&listener->queue, &child->child);
    listener->queued++;
    return child;
}

static void
syn_arrived(sim_socket *client)
{
    sim_host *at = rill__sim_host_at(client->host, &client->port.remote);
    sim_socket *listener;

    if (at == NULL || rill__sim_cut(client->host, at) || rill__sim_cut(at, client->host)) {
        drop_syn(client);
        return;
    }
    listener = rill__sim_port_listener(at, &client->port.remote, client->number);
    if (listener == NULL || rill__sim_fault_of(client, RILL_SIM_FAULT_CONNECT_REFUSED)) {
        step_at(client, SIM_STEP_REFUSED,
            rill__sim_arrival(at, client->host, 0, client->number, client->tries));
        return;
    }
    if (listener->queued > listener->backlog ||
        rill__sim_fault_of(client, RILL_SIM_FAULT_BACKLOG_FULL) ||
        new_child(listener, client) == NULL) {
        drop_syn(client);
        return;
    }
    step_to(client->other, client, client, SIM_STEP_ANSWER);
}

static void
answer_arrived(sim_socket *client)
{
    sim_socket *child = client->other;

    client->state = SIM_CONNECTED;
    client->tries = 0;
    rill__sim_trace_socket(client, SIM_MADE, child->number);
    step_to(client, child, child, SIM_STEP_ANSWER);
    rill__sim_socket_notify(client);
    if (rill__sim_fault_of(client, RILL_SIM_FAULT_CONNECT_RESET))
        rill__sim_tcp_break(client);
}

static void
child_complete(sim_socket *child)
{
    if (child->listener == NULL || child->complete)
        return;
    rill__sim_unschedule(child->sim, &child->step);
    child->complete = true;
    child->listener->visible++;
    rill__sim_trace_socket(child, SIM_QUEUED, child->listener->visible);
    rill__sim_socket_notify(child->listener);
}

void
rill__sim_tcp_step(rill_sim *sim, sim_event *event)
{
    sim_socket *socket = RILL__CONTAINER(event, sim_socket, step);

    (void)sim;
    if (socket->listener != NULL) {
        child_complete(socket);
        return;
    }
    rill__sim_check(sim, socket->state == SIM_CONNECTING);
    switch ((enum sim_step)socket->step_kind) {
    case SIM_STEP_SYN:
        syn_arrived(socket);
        break;
    case SIM_STEP_ANSWER:
        answer_arrived(socket);
        break;
    case SIM_STEP_REFUSED:
        rill__sim_socket_fail(socket, ECONNREFUSED);
        break;
    case SIM_STEP_RETRY:
        if (socket->tries >= SYN_TRIES)
            rill__sim_socket_fail(socket, ETIMEDOUT);
        else
            send_syn(socket);
        break;
    }
    rill__sim_socket_check(socket);
}

/* ---- the end ---- */

/* Both directions ended in order. */
static void
end_in_order(sim_socket *socket)
{
    socket->state = SIM_ENDED;
    socket->other->state = SIM_ENDED;
    rill__sim_trace_socket(socket, SIM_GONE, socket->other->number);
}

static void
hear_reset(sim_socket *socket)
{
    if (socket->state == SIM_ENDED)
        return;
    socket->error = socket->done ? EPIPE : ECONNRESET;
    socket->reset = true;
    socket->recv_shut = true;
    socket->send_shut = true;
    socket->state = SIM_ENDED;
    rill__sim_trace_socket(socket, SIM_RST, (uint64_t)socket->error);
    child_complete(socket);
    rill__sim_pipe_kill(socket);
    rill__sim_pipe_kill(socket->other);
    rill__sim_socket_notify(socket);
}

void
rill__sim_tcp_arrived(sim_socket *receiver, enum sim_flight what)
{
    if (what == SIM_FLIGHT_RST) {
        hear_reset(receiver);
        if (receiver->state == SIM_ENDED)
            rill__sim_pipe_kill(receiver);
        return;
    }
    receiver->in.fin_arrived = true;
    receiver->done = true;
    receiver->recv_shut = true;
    rill__sim_trace_socket(receiver, SIM_FIN, 0);
    if (receiver->other->in.fin_arrived && receiver->state == SIM_CONNECTED)
        end_in_order(receiver);
    rill__sim_socket_notify(receiver);
}

void
rill__sim_tcp_break(sim_socket *socket)
{
    sim_socket *other = socket->other;

    hear_reset(socket);
    hear_reset(other);
    rill__sim_pipe_kill(socket);
    rill__sim_pipe_kill(other);
}

void
rill__sim_tcp_send_reset(sim_socket *socket)
{
    socket->reset = true;
    socket->state = SIM_ENDED;
    rill__sim_trace_socket(socket, SIM_RST, 0);
    rill__sim_pipe_kill(socket);
    rill__sim_pipe_reset(socket);
}

/* The sender gives up. The other end knows nothing of it: what it sends later will be reset. */
void
rill__sim_tcp_timeout(sim_socket *socket)
{
    if (socket->state == SIM_CONNECTED) {
        socket->error = ETIMEDOUT;
        socket->reset = true;
        socket->recv_shut = true;
        socket->send_shut = true;
        socket->state = SIM_ENDED;
        rill__sim_trace_socket(socket, SIM_ERROR, ETIMEDOUT);
    }
    rill__sim_pipe_drop(socket->other);
    socket->other->in.fin_written = socket->other->in.fin_sent = false;
    socket->in.dead = false;
    rill__sim_socket_notify(socket);
    rill__sim_socket_settle(socket);
}
