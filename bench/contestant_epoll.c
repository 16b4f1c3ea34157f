/*
 * The floor: an echo server on raw epoll, as cheap as this machine lets one be.
 *
 * One 128 KiB receive buffer for all connections stays in cache. EPOLLIN is level-triggered and
 * permanent; a readiness gets one recv (a short read means drained) and the answer is sent at
 * once. Only what the kernel refuses is copied aside, and only then does the interest change:
 * reading stops until the rest is out, which is all the backpressure an echo needs.
 *
 * One thread; SIGTERM interrupts epoll_wait and ends the loop.
 */
#define _GNU_SOURCE
#include "contestant_listen.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

enum { RECEIVE_BYTES = 128 * 1024, EVENTS_MAX = 512, ACCEPTS_MAX = 64 };

struct connection {
    int fd;
    unsigned char *rest; /* What the kernel refused; NULL while nothing waits. */
    size_t rest_len;
    size_t rest_sent;
    struct connection *free_next;
};

static unsigned char receive_buffer[RECEIVE_BYTES] __attribute__((aligned(4096)));
static struct connection *free_list;
static int epoll_fd;
static int listen_fd;
static volatile sig_atomic_t stopping;

static void
on_term(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static struct connection *
connection_take(int fd)
{
    struct connection *c = free_list;

    if (c != NULL)
        free_list = c->free_next;
    else if ((c = malloc(sizeof(*c))) == NULL)
        contestant_die("malloc");
    c->fd = fd;
    c->rest = NULL;
    return c;
}

static void
connection_close(struct connection *c)
{
    (void)close(c->fd); /* Also takes it out of the epoll set: the descriptor has no copy. */
    free(c->rest);
    c->free_next = free_list;
    free_list = c;
}

static void
interest_set(struct connection *c, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
        contestant_die("epoll_ctl");
}

static void
accept_ready(void)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };

        if (fd < 0)
            return;
        event.data.ptr = connection_take(fd);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            contestant_die("epoll_ctl");
    }
}

static void
rest_keep(struct connection *c, const unsigned char *data, size_t len)
{
    c->rest = malloc(len);
    if (c->rest == NULL)
        contestant_die("malloc");
    memcpy(c->rest, data, len);
    c->rest_len = len;
    c->rest_sent = 0;
    interest_set(c, EPOLLOUT);
}

static void
rest_flush(struct connection *c)
{
    ssize_t n = send(c->fd, c->rest + c->rest_sent, c->rest_len - c->rest_sent, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            connection_close(c);
        return;
    }
    c->rest_sent += (size_t)n;
    if (c->rest_sent == c->rest_len) {
        free(c->rest);
        c->rest = NULL;
        interest_set(c, EPOLLIN);
    }
}

static void
echo_ready(struct connection *c)
{
    ssize_t n = recv(c->fd, receive_buffer, sizeof(receive_buffer), 0);
    ssize_t sent;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            connection_close(c);
        return;
    }
    sent = send(c->fd, receive_buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        connection_close(c);
        return;
    }
    if (sent < 0)
        sent = 0;
    rest_keep(c, receive_buffer + sent, (size_t)(n - sent));
}

static void
serve(void)
{
    static struct epoll_event events[EVENTS_MAX];

    while (!stopping) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == NULL)
                accept_ready();
            else if (c->rest != NULL)
                rest_flush(c);
            else
                echo_ready(c);
        }
    }
}

int
main(int argc, char **argv)
{
    struct contestant_where where = contestant_parse(argc, argv, "epoll", "0");
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    struct sigaction action = { .sa_handler = on_term };

    (void)sigaction(SIGTERM, &action, NULL); /* Cannot fail for SIGTERM. */
    listen_fd = contestant_listen(where);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) < 0)
        contestant_die("epoll");
    serve();
    return 0;
}
