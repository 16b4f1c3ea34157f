/*
 * libevent's echo server: bufferevents, with what makes them cheap switched on.
 *
 * The epoll changelist spares calls of epoll_ctl, reads and writes may take 128 KiB at a time
 * instead of 16, and an echo moves its chains from the input to the output without a copy.
 * TCP_NODELAY is set on the listener and inherited.
 *
 * One thread; SIGTERM stops the loop through libevent's own signal event.
 */
#define _GNU_SOURCE
#include "contestant_listen.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

enum { SINGLE_BYTES = 128 * 1024 };

static void
on_read(struct bufferevent *buffered, void *arg)
{
    (void)arg;
    if (bufferevent_write_buffer(buffered, bufferevent_get_input(buffered)) < 0)
        bufferevent_free(buffered);
}

static void
on_event(struct bufferevent *buffered, short what, void *arg)
{
    (void)arg;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        bufferevent_free(buffered);
}

static void
on_accept(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    struct event_base *base = arg;
    struct bufferevent *buffered = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)listener;
    (void)addr;
    (void)len;
    if (buffered == NULL)
        contestant_die("bufferevent_socket_new");
    (void)bufferevent_set_max_single_read(buffered, SINGLE_BYTES); /* Always succeeds. */
    (void)bufferevent_set_max_single_write(buffered, SINGLE_BYTES);
    bufferevent_setcb(buffered, on_read, NULL, on_event, NULL);
    if (bufferevent_enable(buffered, EV_READ | EV_WRITE) < 0)
        contestant_die("bufferevent_enable");
}

static void
on_term(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    (void)event_base_loopbreak(arg);
}

static struct event_base *
base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    if (config == NULL)
        contestant_die("event_config_new");
    (void)event_config_set_flag(
        config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL)
        contestant_die("event_base_new_with_config");
    return base;
}

int
main(int argc, char **argv)
{
    struct contestant_where where = contestant_parse(argc, argv, "libevent", event_get_version());
    struct event_base *base = base_new();
    int fd = contestant_listen(where);
    struct evconnlistener *listener =
        evconnlistener_new(base, on_accept, base, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    struct event *term = evsignal_new(base, SIGTERM, on_term, base);

    if (listener == NULL || term == NULL || event_add(term, NULL) < 0)
        contestant_die("libevent");
    (void)event_base_dispatch(base); /* Ends by the SIGTERM event only. */
    event_free(term);
    evconnlistener_free(listener);
    event_base_free(base);
    return 0;
}
