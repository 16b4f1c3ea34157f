/*
 * An echo server in tasks: code that waits as if it blocked, one task for each connection.
 *
 * Shows: rill_run, a server of streams, reading and writing, and a timeout around both. A client
 * that does not read stops its own task and nobody else's: rill_stream_write waits for it, and no
 * more than it leaves unread is kept.
 *
 * Run:     ./task_echo [PORT]
 * Prints:  listening on 127.0.0.1:46025
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>

#define PATIENCE (60 * RILL_S) /* With a client that is silent, or takes no echo. */

/* The next bytes, and their echo: 0 at the end. */
static int
echo_some(rill_stream *stream)
{
    char buf[4096];
    int64_t n = rill_stream_read(stream, buf, sizeof(buf));

    if (n > 0)
        RILL_TRY(rill_stream_write(stream, buf, (size_t)n));
    return (int)n;
}

static int
echo(rill_stream *stream, void *arg)
{
    int rc;

    (void)arg;
    do {
        rill_scope limit;

        rill_timeout_begin(&limit, PATIENCE);
        rc = rill_scope_end(&limit, echo_some(stream));
    } while (rc > 0);
    return rc == RILL_ETIMEDOUT ? 0 : rc; /* The server closes the stream. */
}

static int
app(void *arg)
{
    const int *port = arg;
    char text[RILL_ADDR_TEXT];
    rill_stream_server *server;
    int rc;

    RILL_TRY(rill_start_server(
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = *port), NULL, echo, NULL, &server));
    printf("listening on %s\n",
        rill_server_describe(rill_stream_server_base(server), text, sizeof(text)));
    fflush(stdout);
    rc = rill_stream_server_serve_forever(server); /* Until Ctrl-C cancels this task. */
    rill_stream_server_close(server);              /* Cancels and joins the connections. */
    return rc;
}

int
main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    int rc = rill_run(app, &port);

    if (rc < 0 && rc != RILL_EINTERRUPTED)
        fprintf(stderr, "task_echo: %s\n", rill_strerror(rc));
    return rc < 0 && rc != RILL_EINTERRUPTED;
}
