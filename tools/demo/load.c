/*
 * A closed-loop load on bare epoll, which checks every reply.
 *
 * The processor time is the server's alone, read from outside; what the load itself costs does not
 * count. Both servers get the same load, so they see the same batches of events.
 */
#define _GNU_SOURCE
#include "load.h"
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WARM_UP_NS = 100 * 1000 * 1000, LATENCY_US_MAX = 200 * 1000 };

struct connection {
    int fd;
    uint32_t received; /* Bytes of the present reply. */
    int64_t sent_at;
    uint8_t message[LOAD_MESSAGE_BYTES];
};

struct load {
    int epoll_fd;
    struct connection connections[LOAD_CONNECTIONS];
    uint64_t echoes;
    uint32_t latencies[LATENCY_US_MAX + 1]; /* How many took so many microseconds. */
    const char *trouble;
};

static int
send_message(struct load *load, struct connection *c)
{
    uint64_t number = ++load->echoes;

    memcpy(c->message, &number, sizeof(number)); /* No two messages are equal. */
    c->received = 0;
    c->sent_at = demo_now_ns();
    if (send(c->fd, c->message, sizeof(c->message), MSG_NOSIGNAL) != LOAD_MESSAGE_BYTES) {
        load->trouble = "a send of 64 bytes failed";
        return -1;
    }
    return 0;
}

static int
take_reply(struct load *load, struct connection *c)
{
    uint8_t reply[LOAD_MESSAGE_BYTES];
    ssize_t n = recv(c->fd, reply, sizeof(reply) - c->received, 0);
    int64_t latency_us;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || memcmp(reply, c->message + c->received, (size_t)n) != 0) {
        load->trouble = n <= 0 ? "the server hung up" : "a reply was wrong";
        return -1;
    }
    c->received += (uint32_t)n;
    if (c->received < LOAD_MESSAGE_BYTES)
        return 0;
    latency_us = (demo_now_ns() - c->sent_at) / 1000;
    load->latencies[latency_us < LATENCY_US_MAX ? latency_us : LATENCY_US_MAX]++;
    return send_message(load, c);
}

static int
run_until(struct load *load, int64_t end)
{
    struct epoll_event events[LOAD_CONNECTIONS];

    while (demo_now_ns() < end) {
        int count = epoll_wait(load->epoll_fd, events, LOAD_CONNECTIONS, 1000);

        if (count == 0)
            load->trouble = "no reply for a second";
        if (count == 0 || (count < 0 && errno != EINTR))
            return -1;
        for (int i = 0; i < count; i++)
            if (take_reply(load, events[i].data.ptr) < 0)
                return -1;
    }
    return 0;
}

static int
open_connections(struct load *load, int port)
{
    for (int i = 0; i < LOAD_CONNECTIONS; i++) {
        struct connection *c = &load->connections[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

        c->fd = demo_dial(port);
        if (c->fd < 0 || fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) {
            load->trouble = "could not connect";
            return -1;
        }
    }
    for (int i = 0; i < LOAD_CONNECTIONS; i++)
        if (send_message(load, &load->connections[i]) < 0)
            return -1;
    return 0;
}

static double
percentile(const struct load *load, double part)
{
    uint64_t total = 0, seen = 0;
    int us = 0;

    for (int i = 0; i <= LATENCY_US_MAX; i++)
        total += load->latencies[i];
    while (us < LATENCY_US_MAX && (double)(seen += load->latencies[us]) < part * (double)total)
        us++;
    return us;
}

static int
measure(struct load *load, pid_t server, int64_t duration, struct load_round *ret_round)
{
    int64_t begun, cpu;
    uint64_t echoes;

    if (run_until(load, demo_now_ns() + WARM_UP_NS) < 0)
        return -1;
    memset(load->latencies, 0, sizeof(load->latencies));
    begun = demo_now_ns();
    cpu = demo_cpu_ns(server);
    echoes = load->echoes;
    if (run_until(load, begun + duration) < 0)
        return -1;
    echoes = load->echoes - echoes;
    cpu = demo_cpu_ns(server) - cpu;
    if (cpu <= 0 || echoes == 0) {
        load->trouble = "the processor time of the server cannot be read";
        return -1;
    }
    ret_round->cpu_us = (double)cpu / 1000 / (double)echoes;
    ret_round->echoes_per_second = (double)echoes * 1e9 / (double)(demo_now_ns() - begun);
    ret_round->p50_us = percentile(load, 0.50);
    ret_round->p99_us = percentile(load, 0.99);
    return 0;
}

int
load_play(int port, pid_t server, int64_t duration, struct load_round *ret_round,
    const char **ret_trouble)
{
    struct load *load = calloc(1, sizeof(*load));
    int rc = -1;

    if (load == NULL) {
        *ret_trouble = "out of memory";
        return -1;
    }
    load->trouble = "epoll failed";
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll_fd >= 0 && open_connections(load, port) == 0)
        rc = measure(load, server, duration, ret_round);
    for (int i = 0; i < LOAD_CONNECTIONS; i++)
        if (load->connections[i].fd > 0)
            demo_hang_up(load->connections[i].fd);
    close(load->epoll_fd);
    *ret_trouble = load->trouble;
    free(load);
    return rc;
}
