/*
 * An echo server on all cores: a loop on each, in threads or processes, behind one port.
 *
 * Shows: workers, a place that all of them serve, a signal handler that stops them, and a drain
 * that tells idle connections to finish. A worker that fails is started again by itself.
 *
 * Run:     ./workers_echo [--workers 2] [--processes] [--accept reuseport|handover|shared]
 *                         [--host 127.0.0.1] [--port 0] [--driver NAME]
 * Prints:  listening on 127.0.0.1:46025
 *          worker 0 (process 4711) was killed by signal 9 (Killed); it starts again in 100 ms
 *          served 12 connections, aborted 0          (at the end)
 */
#include <rill/rill.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rill_workers *workers;

/* ---- a worker ---- */

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

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

/* A connection that was silent so far may just have sent its first words: give it the time to be
 * answered. Whoever has had an answer is done. */
static void
finish(rill_transport *t, void *arg)
{
    rill_transport_info info = { .size = sizeof(info) };

    (void)arg;
    rill_transport_get_info(t, &info);
    if (info.bytes_in > 0)
        rill_transport_close(t);
}

static void
on_stop(void *arg)
{
    rill_server_each(arg, finish, NULL);
}

static int
serve(rill_worker *worker, rill_loop *loop, void *arg)
{
    rill_server *server;
    int rc = rill_worker_serve(worker, 0, &echo_protocol, NULL, &server);

    (void)arg;
    if (rc < 0)
        return rc;
    rill_worker_on_stop(worker, on_stop, server);
    return rill_loop_run(loop);
}

/* ---- all of them ---- */

static void
on_signal(int number)
{
    (void)number;
    rill_workers_stop(workers);
}

static void
on_ready(rill_workers *all, void *arg)
{
    char text[RILL_ADDR_TEXT];
    rill_addr addr;

    (void)arg;
    if (rill_workers_sockname(all, 0, 0, &addr) == 0)
        printf("listening on %s\n", rill_addr_format(&addr, text, sizeof(text)));
    fflush(stdout);
}

static int
run(void)
{
    unsigned long long served = 0, aborted = 0;
    int rc = rill_workers_run(workers);

    for (int i = 0; i < rill_workers_count(workers); i++) {
        rill_worker_stats stats = { .size = sizeof(stats) };

        rill_workers_get_stats(workers, i, &stats);
        served += stats.accepted;
        aborted += stats.aborted;
    }
    printf("served %llu connections, aborted %llu\n", served, aborted);
    return rc;
}

int
main(int argc, char **argv)
{
    rill_loop_options loop = RILL_LOOP_OPTIONS();
    rill_workers_options options =
        RILL_WORKERS_OPTIONS(.loop = &loop, .drain_timeout = 2 * RILL_S, .ready = on_ready);
    rill_server_options where = RILL_SERVER_OPTIONS(.host = "127.0.0.1");
    int rc;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--processes") == 0)
            options.processes = 1;
        else if (strcmp(argv[i], "--workers") == 0)
            options.count = atoi(value);
        else if (strcmp(argv[i], "--host") == 0)
            where.host = value;
        else if (strcmp(argv[i], "--port") == 0)
            where.port = atoi(value);
        else if (strcmp(argv[i], "--driver") == 0)
            loop.driver = value;
        else if (strcmp(argv[i], "--accept") == 0)
            options.accept = strcmp(value, "handover") == 0 ? RILL_ACCEPT_HANDOVER
                             : strcmp(value, "shared") == 0 ? RILL_ACCEPT_SHARED
                                                            : RILL_ACCEPT_REUSEPORT;
    }
    rc = rill_workers_create(&options, serve, NULL, &workers);
    if (rc == 0)
        rc = rill_workers_listen(workers, &where, NULL);
    if (rc == 0) {
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
        rc = run();
    }
    if (rc < 0)
        fprintf(stderr, "workers_echo: %s\n", rill_strerror(rc));
    rill_workers_free(workers);
    return rc < 0;
}
