/*
 * libevent without bufferevents: its event loop calls us, and we recv and send by hand.
 *
 * libevent 2.1 reads at most 4 KiB into a bufferevent whatever it was told, which ruins large
 * messages; this contestant shows what its loop alone can do. One shared 128 KiB buffer, a
 * persistent read event for each connection, the rest of a short write copied aside.
 *
 * One thread; SIGTERM stops the loop through libevent's own signal event.
 */
#define _GNU_SOURCE
#include "contestant_listen.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>

enum { RECEIVE_BYTES = 128 * 1024, ACCEPTS_MAX = 64 };

struct connection {
    struct event readable;
    struct event writable;
    unsigned char *rest;
    size_t rest_len;
    size_t rest_sent;
    struct connection *free_next;
};

static unsigned char receive_buffer[RECEIVE_BYTES] __attribute__((aligned(4096)));
static struct connection *free_list;
static struct event_base *base;

static void
connection_close(struct connection *c)
{
    evutil_socket_t fd = event_get_fd(&c->readable);

    (void)event_del(&c->readable);
    (void)event_del(&c->writable);
    (void)close(fd);
    free(c->rest);
    c->free_next = free_list;
    free_list = c;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    ssize_t n = send(fd, c->rest + c->rest_sent, c->rest_len - c->rest_sent, MSG_NOSIGNAL);

    (void)what;
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            connection_close(c);
        return;
    }
    c->rest_sent += (size_t)n;
    if (c->rest_sent != c->rest_len)
        return;
    free(c->rest);
    c->rest = NULL;
    (void)event_del(&c->writable);
    if (event_add(&c->readable, NULL) < 0)
        connection_close(c);
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
    (void)event_del(&c->readable);
    if (event_add(&c->writable, NULL) < 0)
        connection_close(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    ssize_t n = recv(fd, receive_buffer, sizeof(receive_buffer), 0);
    ssize_t sent;

    (void)what;
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            connection_close(c);
        return;
    }
    sent = send(fd, receive_buffer, (size_t)n, MSG_NOSIGNAL);
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
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct connection *c = free_list;

        if (fd < 0)
            return;
        if (c != NULL)
            free_list = c->free_next;
        else if ((c = malloc(sizeof(*c))) == NULL)
            contestant_die("malloc");
        c->rest = NULL;
        if (event_assign(&c->readable, base, fd, EV_READ | EV_PERSIST, on_readable, c) < 0 ||
            event_assign(&c->writable, base, fd, EV_WRITE | EV_PERSIST, on_writable, c) < 0 ||
            event_add(&c->readable, NULL) < 0)
            contestant_die("event");
    }
}

static void
on_term(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    (void)arg;
    (void)event_base_loopbreak(base);
}

int
main(int argc, char **argv)
{
    struct contestant_where where = contestant_parse(argc, argv, "libevent", event_get_version());
    struct event_config *config = event_config_new();
    struct event *term;
    struct event *acceptor;

    if (config == NULL)
        contestant_die("event_config_new");
    (void)event_config_set_flag(
        config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL)
        contestant_die("event_base_new_with_config");
    term = evsignal_new(base, SIGTERM, on_term, NULL);
    acceptor = event_new(base, contestant_listen(where), EV_READ | EV_PERSIST, on_accept, NULL);
    if (term == NULL || acceptor == NULL || event_add(term, NULL) < 0 ||
        event_add(acceptor, NULL) < 0)
        contestant_die("libevent");
    (void)event_base_dispatch(base); /* Ends by the SIGTERM event only. */
    event_free(acceptor);
    event_free(term);
    event_base_free(base);
    return 0;
}
