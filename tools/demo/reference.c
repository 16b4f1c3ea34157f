/*
 * The yardstick of the echo scene: an echo server that does the least a correct one can, on epoll
 * and nothing else. One buffer for all connections, interest registered once, one recv and one send
 * an echo; only when the kernel does not take an answer it is kept and the interest changes.
 */
#define _GNU_SOURCE
#include "reference.h"
#include "demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 128 * 1024, EVENTS_MAX = 512 };

struct client {
    int fd;
    uint8_t *kept; /* NULL: nothing waits. */
    size_t kept_len, kept_sent;
};

static uint8_t buffer[BUFFER_BYTES];

static void
client_end(struct client *c)
{
    close(c->fd); /* Leaves the epoll set with it. */
    free(c->kept);
    free(c);
}

static void
client_watch(int epoll_fd, struct client *c, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };

    if (epoll_ctl(epoll_fd, op, c->fd, &event) < 0)
        _exit(1);
}

static void
accept_clients(int epoll_fd, int listen_fd)
{
    int fd, one = 1;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof(*c));

        if (c == NULL)
            _exit(1);
        c->fd = fd;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* Loopback: there. */
        client_watch(epoll_fd, c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void
client_flush(int epoll_fd, struct client *c)
{
    ssize_t n = send(c->fd, c->kept + c->kept_sent, c->kept_len - c->kept_sent, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_end(c);
        return;
    }
    c->kept_sent += (size_t)n;
    if (c->kept_sent < c->kept_len)
        return;
    free(c->kept);
    c->kept = NULL;
    client_watch(epoll_fd, c, EPOLL_CTL_MOD, EPOLLIN);
}

static void
client_echo(int epoll_fd, struct client *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0), sent;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_end(c);
        return;
    }
    sent = send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        client_end(c);
        return;
    }
    sent = sent < 0 ? 0 : sent;
    c->kept_len = (size_t)(n - sent);
    c->kept_sent = 0;
    c->kept = malloc(c->kept_len);
    if (c->kept == NULL)
        _exit(1);
    memcpy(c->kept, buffer + sent, c->kept_len);
    client_watch(epoll_fd, c, EPOLL_CTL_MOD, EPOLLOUT);
}

static int
listen_anywhere(int *ret_port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        _exit(1);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

void
reference_serve(int ready_fd, void *arg)
{
    static struct epoll_event events[EVENTS_MAX];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), port = 0, listen_fd = listen_anywhere(&port);
    struct client listener = { .fd = listen_fd };

    (void)arg;
    demo_pin(0);
    client_watch(epoll_fd, &listener, EPOLL_CTL_ADD, EPOLLIN);
    demo_ready(ready_fd, port);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;

            if (c == &listener)
                accept_clients(epoll_fd, listen_fd);
            else if (c->kept != NULL)
                client_flush(epoll_fd, c);
            else
                client_echo(epoll_fd, c);
        }
    }
}
