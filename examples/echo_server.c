/*
 * An echo server that can be run for real: TCP or Unix, backpressure, a clean end on SIGTERM.
 *
 * Shows: a protocol, a server, marks turned into flow control (a client that does not read is not
 * read from), and signals. rill installs no signal handlers; a thread waits for SIGTERM and SIGINT
 * with sigwait and posts to the loop, which is the one thing another thread may do with it.
 *
 * Run:     ./echo_server [--host 127.0.0.1] [--port 0] [--unix PATH] [--driver NAME]
 * Prints:  listening on 127.0.0.1:46025
 *          served 1 connections          (at the end)
 */
#include <rill/rill.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct echo_server {
    rill_loop *loop;
    rill_server *server;
    sigset_t signals;
};

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

/* Our client does not take its answers: take no more questions until it does. */
static void
echo_pause(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_pause_reading(t);
}

static void
echo_resume(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_resume_reading(t);
}

static const rill_protocol echo_protocol = RILL_PROTOCOL(.data_received = echo_data,
    .pause_writing = echo_pause, .resume_writing = echo_resume);

static void
drained(void *arg, size_t aborted)
{
    struct echo_server *echo = arg;
    rill_server_stats stats = { .size = sizeof(stats) };

    rill_server_get_stats(echo->server, &stats);
    printf("served %llu connections\n", (unsigned long long)stats.accepted);
    if (aborted > 0)
        printf("aborted %zu that did not end in time\n", aborted);
    rill_loop_stop(echo->loop);
}

/* Stop listening, flush and close every connection, then end; nobody can hold us for long. */
static void
begin_to_end(void *arg)
{
    struct echo_server *echo = arg;

    if (rill_server_drain_start(echo->server, 2 * RILL_S, drained, echo) < 0)
        rill_loop_stop(echo->loop);
    rill_server_close_clients(echo->server);
}

static void *
wait_for_signal(void *arg)
{
    struct echo_server *echo = arg;
    int number;

    (void)sigwait(&echo->signals, &number); /* Fails only for a bad set. */
    (void)rill_call_soon_threadsafe(echo->loop, begin_to_end, echo);
    return NULL;
}

static int
serve(struct echo_server *echo)
{
    char text[RILL_ADDR_TEXT];
    pthread_t waiter;
    int rc;

    /* Blocked before the thread starts, so that the signals reach nobody but its sigwait. */
    sigemptyset(&echo->signals);
    sigaddset(&echo->signals, SIGTERM);
    sigaddset(&echo->signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &echo->signals, NULL);
    if (pthread_create(&waiter, NULL, wait_for_signal, echo) != 0)
        return -1;

    printf("listening on %s\n", rill_server_describe(echo->server, text, sizeof(text)));
    fflush(stdout);
    rc = rill_loop_run(echo->loop);
    if (rc < 0) {
        fprintf(stderr, "loop: %s\n", rill_strerror(rc));
        pthread_kill(waiter, SIGTERM); /* It still waits. */
    }
    pthread_join(waiter, NULL); /* From here on nobody posts to the loop. */
    return rc;
}

int
main(int argc, char **argv)
{
    struct echo_server echo = { 0 };
    rill_loop_options options = RILL_LOOP_OPTIONS();
    rill_server_options where = RILL_SERVER_OPTIONS();
    int rc;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--host") == 0)
            where.host = argv[i + 1];
        else if (strcmp(argv[i], "--port") == 0)
            where.port = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--unix") == 0)
            where.path = argv[i + 1];
        else if (strcmp(argv[i], "--driver") == 0)
            options.driver = argv[i + 1];
    }
    if (where.host == NULL && where.path == NULL)
        where.host = "127.0.0.1";

    rc = rill_loop_new(&options, &echo.loop);
    if (rc < 0) {
        fprintf(stderr, "loop: %s\n", rill_strerror(rc));
        return 1;
    }
    rc = rill_create_server(echo.loop, &where, &echo_protocol, NULL, &echo.server);
    if (rc < 0)
        fprintf(stderr, "%s\n", rill_loop_last_error(echo.loop)->sentence);
    else
        rc = serve(&echo);
    rill_loop_free(echo.loop);
    return rc < 0;
}
