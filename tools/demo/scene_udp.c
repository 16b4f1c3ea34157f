/*
 * UDP echo: CPU of the server for each datagram, beside a loop of recvmmsg and sendmmsg by hand
 * that does the same work. Both serve the same load, in turns; the figures are medians. 16 sockets
 * have 16 datagrams of 64 bytes in flight each, and every reply is looked at.
 */
#define _GNU_SOURCE
#include "demo.h"

#include <rill/rill.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 16, DEPTH = 16, SIZE = 64, ROUNDS = 7, MANY = 32, SLOT = 2048, CLAIM = 95 };

static const int64_t round_ns = 500 * 1000 * 1000;

/* ---- the servers ---- */

static void
echo(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)self;
    (void)rill_transport_sendto(t, in.data, in.len, arrival->from);
}

static void
serve_rill(int ready_fd, void *arg)
{
    static const rill_datagram_protocol protocol =
        RILL_DATAGRAM_PROTOCOL(.datagram_received = echo);
    rill_transport *t;
    rill_loop *loop;
    rill_addr addr;

    (void)arg;
    demo_pin(0);
    if (rill_loop_new(NULL, &loop) < 0 ||
        rill_create_datagram_endpoint(
            loop, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"), &protocol, NULL, &t) < 0 ||
        rill_transport_sockname(t, &addr) < 0)
        return;
    demo_ready(ready_fd, rill_addr_port(&addr));
    (void)rill_loop_run(loop);
}

static void
echo_by_hand(int fd)
{
    static char slots[MANY][SLOT];
    static struct sockaddr_in names[MANY];
    static struct iovec parts[MANY];
    static struct mmsghdr headers[MANY];
    int got;

    for (int i = 0; i < MANY; i++) {
        parts[i] = (struct iovec){ slots[i], SLOT };
        headers[i].msg_hdr = (struct msghdr){ .msg_name = &names[i],
            .msg_namelen = sizeof(names[i]),
            .msg_iov = &parts[i],
            .msg_iovlen = 1 };
    }
    got = recvmmsg(fd, headers, MANY, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++)
        parts[i].iov_len = headers[i].msg_len;
    if (got > 0)
        (void)sendmmsg(fd, headers, (unsigned)got, MSG_DONTWAIT); /* What is lost is asked again. */
}

static void
serve_by_hand(int ready_fd, void *arg)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event event = { .events = EPOLLIN };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int epoll_fd = epoll_create1(0);

    (void)arg;
    demo_pin(0);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return;
    demo_ready(ready_fd, ntohs(addr.sin_port));
    for (;;) {
        if (epoll_wait(epoll_fd, &event, 1, -1) > 0)
            echo_by_hand(fd);
    }
}

/* ---- the load ---- */

static struct load {
    struct pollfd polls[SOCKETS];
    int in_flight[SOCKETS];
    char question[SIZE];
    uint64_t wrong;
} load;

static void
load_open(struct demo_result *result, int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)port) };

    memset(load.question, 'q', SIZE);
    for (int i = 0; i < SOCKETS; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
            demo_fail(result, "no socket for the load");
        load.polls[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
        load.in_flight[i] = 0;
    }
}

static void
load_close(void)
{
    for (int i = 0; i < SOCKETS; i++)
        close(load.polls[i].fd);
}

static void
ask(int i)
{
    struct mmsghdr headers[DEPTH] = { 0 };
    struct iovec part = { load.question, SIZE };
    int sent;

    for (int k = 0; k < DEPTH; k++) {
        headers[k].msg_hdr.msg_iov = &part;
        headers[k].msg_hdr.msg_iovlen = 1;
    }
    sent = sendmmsg(load.polls[i].fd, headers, (unsigned)(DEPTH - load.in_flight[i]), 0);
    load.in_flight[i] += sent > 0 ? sent : 0;
}

static uint64_t
hear(int i)
{
    char reply[SIZE + 1];
    uint64_t count = 0;

    for (; count < DEPTH; count++) {
        ssize_t len = recv(load.polls[i].fd, reply, sizeof(reply), MSG_DONTWAIT);

        if (len < 0)
            break;
        load.wrong += len != SIZE || memcmp(reply, load.question, SIZE) != 0;
        load.in_flight[i] -= load.in_flight[i] > 0;
    }
    return count;
}

static uint64_t
converse(int64_t duration)
{
    int64_t end = demo_now_ns() + duration;
    uint64_t count = 0;

    while (demo_now_ns() < end) {
        for (int i = 0; i < SOCKETS; i++)
            if (load.in_flight[i] <= DEPTH / 2)
                ask(i);
        if (poll(load.polls, SOCKETS, 50) == 0)
            memset(load.in_flight, 0, sizeof(load.in_flight)); /* Lost: ask again. */
        for (int i = 0; i < SOCKETS; i++)
            if (load.polls[i].revents != 0)
                count += hear(i);
    }
    return count;
}

/* CPU of a server for a datagram, in nanoseconds. */
static double
measure(struct demo_result *result, demo_serve_fn serve)
{
    struct demo_server server;
    int64_t before, used;
    uint64_t count;

    if (demo_server_start(serve, NULL, &server) < 0)
        demo_fail(result, "the server did not start");
    load_open(result, server.port);
    (void)converse(round_ns / 5);
    before = demo_cpu_ns(server.pid);
    count = converse(round_ns);
    used = demo_cpu_ns(server.pid) - before;
    load_close();
    demo_server_stop(&server);
    if (count == 0 || before < 0)
        demo_fail(result, "no datagram came back");
    return (double)used / (double)count;
}

void
scene_udp(struct demo_result *result)
{
    double ours[ROUNDS], hand[ROUNDS], our_ns, hand_ns, percent;

    demo_pin(1);
    for (int i = 0; i < ROUNDS; i++) {
        hand[i] = measure(result, serve_by_hand);
        ours[i] = measure(result, serve_rill);
    }
    our_ns = demo_median(ours, ROUNDS);
    hand_ns = demo_median(hand, ROUNDS);
    percent = 100 * hand_ns / our_ns;
    result->passed = percent >= CLAIM && load.wrong == 0;
    snprintf(result->text, sizeof(result->text),
        "%.2f us of CPU a datagram, recvmmsg and sendmmsg by hand %.2f: %.0f %% of its speed "
        "(claim: %d %%); %llu came back wrong",
        our_ns / 1000, hand_ns / 1000, percent, CLAIM, (unsigned long long)load.wrong);
    demo_field(result, "cpu_ns_per_datagram", our_ns);
    demo_field(result, "by_hand_cpu_ns_per_datagram", hand_ns);
    demo_field(result, "percent_of_its_speed", percent);
    demo_field(result, "claim_percent", CLAIM);
}
