/*
 * A TCP proxy: passes bytes both ways, as fast as the slower side takes them.
 *
 * Shows: a connection that is made on behalf of another one, backpressure across both (the marks of
 * one side pause reading on the other, so a fast sender and a slow receiver cost one queue of 64
 * KiB), half close in both directions, and what to do when either side ends first.
 *
 * Run:     ./proxy TARGET_HOST TARGET_PORT [PORT]
 * Prints:  listening on 127.0.0.1:41234
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>

struct proxy {
    rill_loop *loop;
    rill_connect_options target;
};

struct end {
    rill_transport *t;
    struct proxy *proxy;
    struct end *other;  /* NULL before the target answers and after the other end was lost. */
    rill_id connecting; /* 0, or the attempt to reach the target. */
    bool ended;         /* It will send nothing more. */
};

static void
end_data(rill_transport *t, void *self, rill_slice in)
{
    struct end *e = self;

    (void)t;
    (void)rill_transport_write(e->other->t, in.data, in.len); /* We read only while it is there. */
}

static void
end_pause(rill_transport *t, void *self)
{
    struct end *e = self;

    (void)t;
    if (e->other != NULL)
        rill_transport_pause_reading(e->other->t);
}

static void
end_resume(rill_transport *t, void *self)
{
    struct end *e = self;

    (void)t;
    if (e->other != NULL)
        rill_transport_resume_reading(e->other->t);
}

/* The end of one direction; the other one lives until its own. */
static bool
end_eof(rill_transport *t, void *self)
{
    struct end *e = self;

    e->ended = true;
    if (e->other->ended) {
        rill_transport_close(e->other->t); /* Both flush first. */
        rill_transport_close(t);
    } else {
        (void)rill_transport_write_eof(e->other->t);
    }
    return true;
}

static void
end_lost(rill_transport *t, void *self, const rill_reason *why)
{
    struct end *e = self;

    (void)t;
    rill_cancel(e->proxy->loop, e->connecting);
    if (e->other == NULL)
        return;
    e->other->other = NULL;
    if (why->code == 0)
        rill_transport_close(e->other->t);
    else
        rill_transport_abort(e->other->t); /* A reset on one side is a reset on the other. */
}

static const rill_protocol target_protocol = RILL_PROTOCOL(.state_size = sizeof(struct end),
    .data_received = end_data, .eof_received = end_eof, .pause_writing = end_pause,
    .resume_writing = end_resume, .connection_lost = end_lost);

static void
target_connected(void *arg, rill_transport *t, const rill_reason *why)
{
    struct end *client = arg, *target;

    client->connecting = 0;
    if (t == NULL) {
        rill_transport_fail(client->t, RILL_EUSER, why->sentence);
        return;
    }
    target = rill_transport_state(t);
    *target = (struct end){ .t = t, .proxy = client->proxy, .other = client };
    client->other = target;
    rill_transport_resume_reading(client->t);
}

static void
client_made(rill_transport *t, void *self, void *arg)
{
    struct end *client = self;

    client->t = t;
    client->proxy = arg;
    rill_transport_pause_reading(t); /* There is nobody to pass it to yet. */
    if (rill_create_connection_start(client->proxy->loop, &client->proxy->target, &target_protocol,
            client, target_connected, client, &client->connecting) < 0)
        rill_transport_abort(t);
}

static const rill_protocol client_protocol = RILL_PROTOCOL(.state_size = sizeof(struct end),
    .connection_made = client_made, .data_received = end_data, .eof_received = end_eof,
    .pause_writing = end_pause, .resume_writing = end_resume, .connection_lost = end_lost);

int
main(int argc, char **argv)
{
    rill_server_options where = RILL_SERVER_OPTIONS(.host = "127.0.0.1");
    struct proxy proxy = { .target = RILL_CONNECT_OPTIONS(.timeout = 5 * RILL_S) };
    char text[RILL_ADDR_TEXT];
    rill_server *server;

    if (argc < 3 || rill_loop_new(NULL, &proxy.loop) < 0)
        return 1;
    proxy.target.host = argv[1];
    proxy.target.port = atoi(argv[2]);
    where.port = argc > 3 ? atoi(argv[3]) : 0;
    if (rill_create_server(proxy.loop, &where, &client_protocol, &proxy, &server) == 0) {
        printf("listening on %s\n", rill_server_describe(server, text, sizeof(text)));
        fflush(stdout);
        (void)rill_loop_run(proxy.loop); /* Until a signal ends us: see echo_server.c. */
    }
    rill_loop_free(proxy.loop);
    return 1;
}
