/*
 * A server in tasks that ends well: on SIGTERM it takes no more clients, lets those that are there
 * finish within a time, and tells the rest to stop, who still get to say goodbye.
 *
 * Shows: waiting for signals in a task, stop, drain and close of a server of streams, a timeout
 * around the drain, and a shield: a part of a canceled task in which waits work for a while longer.
 *
 * Run:     ./graceful_shutdown [PORT [MILLISECONDS]]      then: kill -TERM
 * Prints:  listening on 127.0.0.1:46025
 *          signal 15: 1 clients have 10000 ms
 *          all have gone                     or: out of time
 */
#include <rill/rill.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    int port;
    rill_ns grace;
};

/* Nobody can hold us for long, not even with this. */
static void
say_goodbye(rill_stream *stream)
{
    rill_scope bye;

    rill_shield_begin(&bye, 200 * RILL_MS);
    RILL_IGNORE(rill_scope_end(&bye, rill_stream_write(stream, "bye\n", 4)));
}

static int
session(rill_stream *stream, void *arg)
{
    char buf[1024];
    int64_t n;

    (void)arg;
    while ((n = rill_stream_read(stream, buf, sizeof(buf))) > 0) {
        n = rill_stream_write(stream, buf, (size_t)n);
        if (n < 0)
            break;
    }
    if (n == RILL_ECANCELED)
        say_goodbye(stream);
    return (int)n;
}

static void
shut_down(rill_stream_server *server, int number, rill_ns grace)
{
    rill_scope limit;
    int rc;

    rill_stream_server_stop_accepting(server);
    printf("signal %d: %zu clients have %d ms\n", number, rill_stream_server_tasks(server),
        (int)(grace / RILL_MS));
    fflush(stdout);
    rill_timeout_begin(&limit, grace);
    rc = rill_scope_end(&limit, rill_stream_server_drain(server));
    printf("%s\n", rc == 0 ? "all have gone" : "out of time");
}

static int
app(void *arg)
{
    static const int signals[] = { SIGTERM, SIGINT };
    const struct options *options = arg;
    char text[RILL_ADDR_TEXT];
    rill_stream_server *server;
    int rc;

    RILL_TRY(rill_start_server(&RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = options->port),
        NULL, session, NULL, &server));
    printf("listening on %s\n",
        rill_server_describe(rill_stream_server_base(server), text, sizeof(text)));
    fflush(stdout);
    rc = rill_signal_wait(signals, 2);
    if (rc > 0)
        shut_down(server, rc, options->grace);
    rill_stream_server_close(server); /* Cancels those who are left, and waits for their ends. */
    return rc < 0 ? rc : 0;
}

int
main(int argc, char **argv)
{
    struct options options = { .port = argc > 1 ? atoi(argv[1]) : 0,
        .grace = (argc > 2 ? atoi(argv[2]) : 10000) * RILL_MS };
    int rc = rill_run(app, &options);

    if (rc < 0)
        fprintf(stderr, "graceful_shutdown: %s\n", rill_strerror(rc));
    return rc < 0;
}
