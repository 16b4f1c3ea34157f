/*
 * Servers of streams: a task for each connection, or for each time that bytes arrive.
 *
 * A connection is a session: a stream with its place in the server. It is listed until its
 * transport is lost and its task has ended. A task begins inside the callback that calls for it;
 * with `tasks_max` of them at work, sessions wait for one in order, unread. The server's memory
 * goes when it was closed by its owner and the server below has ended. Loop thread only.
 */
#include <stdio.h>

#include "tasks/stream.h"
#include "transports/internal.h"

struct rill_stream_server {
    rill_loop *loop;
    rill_server *base; /* NULL when it has ended. */
    rill_stream_fn handler;
    void *arg;
    const char *site;
    rill_stream_server_options options;
    rill__link sessions;
    rill__link queue; /* Those that wait for a task. */
    size_t tasks;
    rill__link drains;
    rill__fiber *forever; /* In serve_forever. */
    rill__fiber *closer;  /* In close. */
    bool stopping;        /* Accepts no more. */
    bool draining;
    bool closing; /* By its owner, who will not use it any more. */
};

typedef struct session {
    rill_stream stream; /* First. */
    rill_stream_server *server;
    rill__link link;
    rill__link queued;
    rill_task *task;
} session;

static session *
session_of(rill_stream *s)
{
    return RILL__CONTAINER(s, session, stream);
}

/* ---- the server's end ---- */

static void
free_if_over(rill_stream_server *server)
{
    if (server->base != NULL || server->tasks != 0)
        return;
    rill__flow_wake_all(&server->drains, 0);
    if (server->closer == NULL && (server->closing || server->loop->freeing))
        rill__pool_release(server->loop, server, sizeof(*server), 0);
}

static void
on_closed(rill_server *base, void *arg)
{
    rill_stream_server *server = arg;

    (void)base;
    server->base = NULL;
    free_if_over(server);
}

/* ---- sessions ---- */

static void
unlist(session *self)
{
    rill__list_remove(&self->link);
    rill_stream_unref(&self->stream);
}

/* What a connection's own end is called: no news for the error handler. */
static bool
is_own_end(const rill_stream *s, int code)
{
    if (s->lost && code == s->code)
        return true;
    return rill_errclass(code) == RILL_CLASS_CLOSED &&
           (s->eof || s->asked || (s->t->refuse & RILL__REFUSE_CLOSED) != 0);
}

static void
report(const session *self, int code)
{
    char text[200];

    if (code >= 0 || code == RILL_ECANCELED || is_own_end(&self->stream, code))
        return;
    rill__task_describe(self->task, text, sizeof(text));
    rill__report(self->server->loop, RILL_ERROR_TASK, code, self->server->site, self->stream.t,
        self->server->base, "%s, of a connection, failed", text);
}

/* Call the handler, on demand as often as there are bytes that it has not seen. */
static int
handle(session *self)
{
    const rill_stream_server *server = self->server;
    rill_stream *s = &self->stream;
    uint64_t taken;
    int code;

    do {
        taken = s->taken;
        code = server->handler(s, server->arg);
    } while (code >= 0 && server->options.on_demand && !rill_stream_is_closing(s) &&
             !server->draining && !server->closing && s->taken != taken &&
             rill__flow_unread(s) != 0);
    return code;
}

static bool
stays_open(const session *self, int code)
{
    const rill_stream_server *server = self->server;

    return code >= 0 && server->options.on_demand && !server->draining && !server->closing &&
           !self->stream.eof && !rill_stream_is_closing(&self->stream);
}

/* Until the next bytes come. */
static void
rest(rill_stream *s)
{
    if (s->lent)
        rill__flow_end_loan(s);
    if (!s->reading_paused)
        return;
    s->reading_paused = false;
    rill_transport_resume_reading(s->t);
}

static void begin_queued(rill_stream_server *server);

static int
session_main(void *arg)
{
    session *self = arg;
    rill_stream_server *server = self->server;
    rill_stream *s = &self->stream;
    int code = handle(self);

    report(self, code);
    if (stays_open(self, code))
        rest(s);
    else
        rill_stream_close(s);
    rill_task_unref(self->task);
    self->task = NULL;
    server->tasks--;
    if (s->t == NULL)
        unlist(self);
    begin_queued(server);
    if (server->tasks == 0 && server->closer != NULL)
        rill__wake(server->closer, 0);
    free_if_over(server);
    return code == RILL_ECANCELED ? code : 0;
}

/* 0 or why not. The eager ones have run by then until they first wait. */
static int
begin_task(session *self, bool eager)
{
    rill_stream_server *server = self->server;
    rill_task_options options = {
        .size = sizeof(options), .stack_bytes = server->options.stack_bytes, .eager = eager
    };
    char name[RILL_ADDR_TEXT];
    rill_addr peer;
    int rc;

    if (rill_transport_peername(self->stream.t, &peer) == 0)
        options.name = rill_addr_format(&peer, name, sizeof(name));
    server->tasks++;
    self->stream.pins++;
    rc =
        rill__task_new(server->loop, session_main, self, &options, server->site, NULL, &self->task);
    if (rc < 0) {
        server->tasks--;
        rill_transport_fail(self->stream.t, rc, "no task for the connection");
    }
    rill__flow_unpin(&self->stream);
    return rc;
}

static bool
has_room(const rill_stream_server *server)
{
    return server->options.tasks_max == 0 || server->tasks < server->options.tasks_max;
}

static void
enqueue(session *self)
{
    rill_stream *s = &self->stream;

    if (!s->reading_paused) {
        s->reading_paused = true;
        rill_transport_pause_reading(s->t);
    }
    rill__list_append(&self->server->queue, &self->queued);
}

/* In a task that ends: not eagerly, or many that end at once would lie in each other's arms. */
static void
begin_queued(rill_stream_server *server)
{
    while (!rill__list_empty(&server->queue) && has_room(server)) {
        session *next = RILL__CONTAINER(server->queue.next, session, queued);

        rill__list_remove(&next->queued);
        if (!rill_stream_is_closing(&next->stream))
            (void)begin_task(next, false);
    }
}

/* ---- callbacks ---- */

static void
session_data(rill_transport *t, void *arg, rill_slice in)
{
    session *self = arg;
    rill_stream *s = &self->stream;

    if (self->task != NULL || !rill__list_empty(&self->queued)) {
        rill__flow_data(t, s, in);
        return;
    }
    if (s->end != s->start || s->loop->fiber != NULL || !has_room(self->server)) {
        rill__flow_data(t, s, in);
        if (rill_transport_is_closing(t))
            return; /* For want of memory. */
        if (has_room(self->server))
            (void)begin_task(self, true);
        else
            enqueue(self);
        return;
    }
    s->pins++;
    s->incoming = in;
    if (begin_task(self, true) == 0 && rill__flow_gather(s))
        rill__flow_check_limit(s);
    s->incoming.len = 0;
    rill__flow_unpin(s);
}

static bool
session_eof(rill_transport *t, void *arg)
{
    session *self = arg;
    bool stays = rill__flow_eof(t, &self->stream);

    return stays && (self->task != NULL || !self->server->options.on_demand);
}

static void
session_lost(rill_transport *t, void *arg, const rill_reason *why)
{
    session *self = arg;
    bool unused = self->task == NULL;

    rill__list_remove(&self->queued);
    rill__flow_lost(t, &self->stream, why);
    if (unused)
        unlist(self);
}

static const rill_protocol session_protocol = RILL_PROTOCOL(.data_received = rill__flow_data,
    .eof_received = session_eof, .pause_writing = rill__flow_pause,
    .resume_writing = rill__flow_resume, .connection_lost = session_lost);

static const rill_protocol direct_protocol =
    RILL_PROTOCOL(.get_buffer = rill__flow_get_buffer, .buffer_updated = rill__flow_buffer_updated,
        .eof_received = session_eof, .pause_writing = rill__flow_pause,
        .resume_writing = rill__flow_resume, .connection_lost = session_lost);

static const rill_protocol on_demand_protocol = RILL_PROTOCOL(.data_received = session_data,
    .eof_received = session_eof, .pause_writing = rill__flow_pause,
    .resume_writing = rill__flow_resume, .connection_lost = session_lost);

static void
door_made(rill_transport *t, void *unused, void *arg)
{
    rill_stream_server *server = arg;
    rill_stream *s;
    session *self;
    int rc;

    (void)unused;
    if (server->closing || (server->draining && server->options.on_demand)) {
        rill_transport_close(t);
        return;
    }
    rc = rill__flow_new(server->loop, sizeof(*self), server->options.limit, server->site, &s);
    if (rc < 0) {
        rill_transport_fail(t, rc, NULL);
        return;
    }
    self = session_of(s);
    self->server = server;
    rill__list_append(&server->sessions, &self->link);
    rill__list_init(&self->queued);
    s->plain = server->options.on_demand ? &on_demand_protocol : &session_protocol;
    s->direct = &direct_protocol;
    (void)rill_transport_set_protocol(t, s->plain, s); /* No state: no memory. */
    rill__flow_take_over(s, t);
    if (server->options.on_demand)
        return;
    if (has_room(server))
        (void)begin_task(self, true);
    else
        enqueue(self);
}

/* Gets connections, which it exchanges for one of the above. */
static const rill_protocol door_protocol = RILL_PROTOCOL(.connection_made = door_made);

/* ---- making ---- */

static rill_stream_server *
make(rill_loop *loop, const rill_stream_server_options *options, const char *site)
{
    rill_stream_server *server = rill__pool_take(loop, sizeof(*server));

    if (server == NULL)
        return NULL;
    server->loop = loop;
    server->options = *options;
    server->site = site;
    rill__list_init(&server->sessions);
    rill__list_init(&server->queue);
    rill__list_init(&server->drains);
    return server;
}

static int
create(rill_loop *loop, const rill_server_options *where, const rill_stream_server_options *options,
    const char *site, rill_stream_server **ret_server)
{
    rill_server_options base = { .size = sizeof(base) };
    rill_stream_server_options all = { .size = sizeof(all) };
    rill_stream_server *server;
    int rc =
        rill__options_copy(loop, "rill_server_options", where, where->size, &base, sizeof(base));

    if (rc == 0 && options != NULL)
        rc = rill__options_copy(
            loop, "rill_stream_server_options", options, options->size, &all, sizeof(all));
    if (rc < 0)
        return rc;
    if (base.closed != NULL || all.limit > SIZE_MAX / 4)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "server of streams: `closed` is taken, or the limit is too large");
    server = make(loop, &all, site);
    if (server == NULL)
        return rill__fail_call(loop, -ENOMEM, "server of streams");
    base.size = sizeof(base);
    base.closed = on_closed;
    base.closed_arg = server;
    rc = rill_create_server_site(loop, &base, &door_protocol, server, site, &server->base);
    if (rc < 0) {
        rill__pool_release(loop, server, sizeof(*server), 0);
        return rc;
    }
    *ret_server = server;
    return 0;
}

int
rill_start_server_site(rill_loop *loop, const rill_server_options *where,
    const rill_stream_server_options *options, rill_stream_fn handler, void *arg, const char *site,
    rill_stream_server **ret_server)
{
    rill_stream_server *server = NULL;
    int rc;

    RILL__REQUIRE(where != NULL && handler != NULL && ret_server != NULL);
    if (loop == NULL)
        return RILL_ENOTASK;
    rill__check_thread(loop, "rill_start_server");
    rc = create(loop, where, options, site, &server);
    if (rc < 0)
        return rc;
    server->handler = handler;
    server->arg = arg;
    *ret_server = server;
    return 0;
}

rill_server *
rill_stream_server_base(const rill_stream_server *server)
{
    return server->base;
}

size_t
rill_stream_server_tasks(const rill_stream_server *server)
{
    return server->tasks;
}

/* ---- serving, and the end ---- */

static int
may_wait(rill__fiber *fiber, const rill_stream_server *server)
{
    RILL__REQUIRE(server != NULL);
    if (fiber == NULL)
        return rill__refuse_outside();
    if (fiber->loop != server->loop)
        return rill__refuse_foreign(fiber, NULL);
    return rill__may_wait(fiber);
}

typedef struct service {
    rill__wait wait;
    rill_stream_server *server;
} service;

static bool
service_cancel(rill__wait *wait)
{
    RILL__CONTAINER(wait, service, wait)->server->forever = NULL;
    return true;
}

int
rill_stream_server_serve_forever(rill_stream_server *server)
{
    rill__fiber *fiber = rill__current();
    service self = { .wait = { .cancel = service_cancel,
                         .what = "rill_stream_server_serve_forever" },
        .server = server };
    int rc = may_wait(fiber, server);

    if (rc < 0)
        return rc;
    if (server->stopping || server->base == NULL)
        return RILL_ECLOSED;
    if (server->forever != NULL)
        return RILL_EBUSY;
    rc = rill_server_start_serving(server->base);
    if (rc < 0)
        return rc;
    self.wait.site = server->site;
    server->forever = fiber;
    return rill__suspend(fiber, &self.wait);
}

void
rill_stream_server_stop_accepting(rill_stream_server *server)
{
    rill__check_thread(server->loop, "rill_stream_server_stop_accepting");
    if (server->stopping)
        return;
    server->stopping = true;
    if (server->base != NULL)
        rill_server_close(server->base);
    if (server->forever != NULL) {
        rill__fiber *fiber = server->forever;

        server->forever = NULL;
        rill__wake(fiber, 0);
    }
}

/* Those without a task; with one it is told to stop, if `cancel`. None ends inside this call. */
static void
end_sessions(rill_stream_server *server, bool cancel)
{
    for (rill__link *link = server->sessions.next; link != &server->sessions; link = link->next) {
        session *self = RILL__CONTAINER(link, session, link);

        if (self->task == NULL && (cancel || rill__list_empty(&self->queued)))
            rill_stream_close(&self->stream);
        else if (self->task != NULL && cancel)
            (void)rill__task_cancel(self->task, "its server is being closed");
    }
}

int
rill_stream_server_drain(rill_stream_server *server)
{
    rill__fiber *fiber = rill__current();
    rill__flow_wait self = { .wait = { .what = "rill_stream_server_drain" } };
    int rc = may_wait(fiber, server);

    if (rc < 0)
        return rc;
    server->draining = true;
    rill_stream_server_stop_accepting(server);
    end_sessions(server, false);
    if (server->base == NULL && server->tasks == 0)
        return 0;
    self.wait.site = server->site;
    return rill__flow_wait_for(fiber, &server->drains, &self);
}

static bool
is_of_session(const rill_stream_server *server, const rill_task *task)
{
    for (const rill__link *link = server->sessions.next; link != &server->sessions;
         link = link->next) {
        if (RILL__CONTAINER(link, session, link)->task == task)
            return true;
    }
    return false;
}

int
rill_stream_server_close(rill_stream_server *server)
{
    rill__fiber *fiber = rill__current();
    rill__wait wait = { .what = "rill_stream_server_close" };

    RILL__REQUIRE(server != NULL);
    if (fiber == NULL)
        return rill__refuse_outside();
    if (fiber->loop != server->loop)
        return rill__refuse_foreign(fiber, NULL);
    if (server->closer != NULL)
        return RILL_EBUSY;
    if (is_of_session(server, fiber->task))
        return RILL_EDEADLK;
    server->closing = true;
    rill_stream_server_stop_accepting(server);
    end_sessions(server, true);
    rill__flow_wake_all(&server->drains, 0);
    if (server->tasks != 0) {
        wait.site = server->site;
        server->closer = fiber;
        (void)rill__suspend(fiber, &wait);
        server->closer = NULL;
    }
    free_if_over(server);
    return 0;
}
