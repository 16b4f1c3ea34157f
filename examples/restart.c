/*
 * An echo server that is upgraded while it serves: on SIGHUP it starts its program anew, hands the
 * listening socket over, and ends when its last connection has; no client is refused. Also runs
 * under systemd's socket activation, and tells systemd what it does (Type=notify).
 *
 * Run:     ./restart [PORT], then replace the program and kill -HUP its process
 * Prints:  listening on 127.0.0.1:46025
 *          process 4711 took over        (by the old one)
 *          listening on 127.0.0.1:46025  (by the new one)
 */
#include <rill/rill.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct app {
    rill_loop *loop;
    rill_server *server;
    char **argv;
    sigset_t signals;
};

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

static const rill_protocol echo_protocol = RILL_PROTOCOL(.data_received = echo_data);

static void
drained(void *arg, size_t aborted)
{
    struct app *app = arg;

    (void)aborted;
    rill_loop_stop(app->loop);
}

/* Accept no more; whoever is connected has ten seconds to finish. */
static void
drain(void *arg)
{
    struct app *app = arg;

    if (rill_server_drain_start(app->server, 10 * RILL_S, drained, app) < 0)
        rill_loop_stop(app->loop); /* It is being drained already: somebody is impatient. */
}

static void
restarted(void *arg, int pid, const rill_reason *why)
{
    struct app *app = arg;
    char state[40];

    if (why->code < 0) {
        fprintf(stderr, "%s; serving on\n", why->sentence);
        return;
    }
    printf("process %d took over\n", pid);
    fflush(stdout);
    snprintf(state, sizeof(state), "MAINPID=%d", pid);
    (void)rill_notify(state);
    drain(app);
}

static void
begin_to_restart(void *arg)
{
    struct app *app = arg;
    const rill_restart_item item = { .name = "echo", .server = app->server };
    const rill_restart_options how = RILL_RESTART_OPTIONS(.argv = (const char *const *)app->argv,
        .items = &item, .items_count = 1);

    if (rill_restart_start(app->loop, &how, restarted, app, NULL) < 0)
        fprintf(stderr, "%s; serving on\n", rill_loop_last_error(app->loop)->sentence);
}

static void *
wait_for_signals(void *arg)
{
    struct app *app = arg;
    int number = 0;

    while (sigwait(&app->signals, &number) == 0 && number != SIGUSR1)
        (void)rill_call_soon_threadsafe(
            app->loop, number == SIGHUP ? begin_to_restart : drain, app);
    return NULL;
}

/* A socket that was handed to us, or one of our own; then whoever had it before may stop. */
static int
listen_somewhere(struct app *app)
{
    rill_server_options where = RILL_SERVER_OPTIONS();
    rill_inherited *set;
    int fds[8];
    int rc = rill_inherit(app->loop, NULL, &set);

    if (rc < 0)
        return rc;
    rc = rill_inherited_take(set, "echo", fds, 8);
    if (rc > 0) {
        where.fds = fds;
        where.fds_count = (size_t)rc;
    } else {
        where.host = "127.0.0.1";
        where.port = app->argv[1] != NULL ? atoi(app->argv[1]) : 0;
    }
    rc = rill_create_server(app->loop, &where, &echo_protocol, NULL, &app->server);
    if (rc == 0)
        (void)rill_restart_ready(set); /* RILL_EGONE: then we are alone, and serve. */
    rill_inherited_free(set);
    return rc;
}

int
main(int argc, char **argv)
{
    struct app app = { .argv = argv };
    char text[RILL_ADDR_TEXT];
    pthread_t waiter;
    int rc;

    (void)argc;
    sigemptyset(&app.signals);
    sigaddset(&app.signals, SIGHUP);
    sigaddset(&app.signals, SIGTERM);
    sigaddset(&app.signals, SIGUSR1); /* Ends the waiting thread. */
    pthread_sigmask(SIG_BLOCK, &app.signals, NULL);
    if (rill_loop_new(NULL, &app.loop) < 0 ||
        pthread_create(&waiter, NULL, wait_for_signals, &app) != 0)
        return 1;
    rc = listen_somewhere(&app);
    if (rc < 0) {
        fprintf(stderr, "%s\n", rill_loop_last_error(app.loop)->sentence);
    } else {
        printf("listening on %s\n", rill_server_describe(app.server, text, sizeof(text)));
        fflush(stdout);
        (void)rill_notify("READY=1");
        rc = rill_loop_run(app.loop);
    }
    pthread_kill(waiter, SIGUSR1);
    pthread_join(waiter, NULL);
    rill_loop_free(app.loop);
    return rc < 0;
}
