/*
 * A scanner of TCP ports: a task for each port, all of them at once.
 *
 * Shows: ten thousand tasks and more in a group, each with a copy of its argument; a semaphore that
 * says how many may connect at a time; a timeout around one wait; a task that tells of progress;
 * and a stream that is ended without a trace. What is wrong here and not there ends all of it.
 *
 * Run:     ./port_scanner HOST FIRST-LAST [TIMEOUT_MS]        (a numeric host, or localhost)
 * Prints:  22 open                                            for each that is
 *          127.0.0.1: 1 open, 9999 closed, 0 filtered in 0.412 s
 *          10000 tasks at once, at most 960 of them connecting
 * While it works a line on stderr counts. Scan hosts of your own only.
 */
#include <rill/rill.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { PLACES_MAX = 1000, PORTS = 65536 };
enum { UNKNOWN, OPEN, CLOSED, FILTERED, STATES };

struct scan {
    const char *host;
    int first, last;
    rill_ns timeout, took;
    rill_semaphore places;
    int connecting, connecting_most;
    size_t tasks;
    int counts[STATES];
    unsigned char states[PORTS];
};

struct job {
    struct scan *scan;
    int port;
};

/* Where nobody listens, a connection may still be made: from that very port to itself. */
static bool
is_itself(rill_stream *stream)
{
    const rill_transport *t = rill_stream_transport(stream);
    rill_addr here, there;

    return t != NULL && rill_transport_sockname(t, &here) == 0 &&
           rill_transport_peername(t, &there) == 0 && rill_addr_equal(&here, &there);
}

static int
try_port(struct scan *scan, int port)
{
    rill_stream *stream;
    rill_scope limit;
    int rc;

    rill_timeout_begin(&limit, scan->timeout);
    rc = rill_scope_end(&limit, rill_open_connection(scan->host, port, NULL, &stream));
    if (rc < 0)
        return rc;
    rc = is_itself(stream) ? -ECONNREFUSED : 0;
    rill_stream_abort(stream);                    /* With a reset: no port of ours stays in use. */
    RILL_IGNORE(rill_stream_wait_closed(stream)); /* Then its descriptor is free, too. */
    rill_stream_unref(stream);
    return rc;
}

static int
scan_port(void *arg)
{
    struct scan *scan = ((struct job *)arg)->scan;
    int port = ((struct job *)arg)->port, state, rc;

    RILL_TRY(rill_semaphore_acquire(&scan->places));
    if (++scan->connecting > scan->connecting_most)
        scan->connecting_most = scan->connecting;
    rc = try_port(scan, port);
    scan->connecting--;
    RILL_IGNORE(rill_semaphore_release(&scan->places));
    state = rc == 0                                       ? OPEN
            : rc == -ECONNREFUSED || rc == -ECONNRESET    ? CLOSED
            : rc == RILL_ETIMEDOUT || rc == -EHOSTUNREACH ? FILTERED
                                                          : UNKNOWN;
    if (state == UNKNOWN)
        return rc; /* No descriptor, no route, a wrong host: it would be so for every port. */
    scan->states[port] = (unsigned char)state;
    scan->counts[state]++;
    return 0;
}

static int
tell_progress(void *arg)
{
    const struct scan *scan = arg;

    for (;;) {
        fprintf(stderr, "\r%d of %zu ports ",
            scan->counts[OPEN] + scan->counts[CLOSED] + scan->counts[FILTERED], scan->tasks);
        RILL_TRY(rill_sleep(100 * RILL_MS));
    }
}

static int
app(void *arg)
{
    struct scan *scan = arg;
    rill_ns begin = rill_loop_time(rill_loop_running());
    struct job job = { .scan = scan };
    rill_task *progress;
    rill_group group;
    int rc = 0;

    RILL_TRY(rill_spawn(tell_progress, scan, NULL, &progress));
    rill_group_begin(&group);
    for (job.port = scan->first; job.port <= scan->last && rc >= 0; job.port++)
        rc = rill_group_spawn(&group, scan_port, &job, RILL_TASK_OPTIONS(.copy_arg = sizeof(job)));
    scan->tasks = rill_all_tasks(rill_loop_running(), NULL, NULL) - 2; /* This one, the other. */
    rc = rill_group_end(&group, rc);
    scan->took = rill_loop_time(rill_loop_running()) - begin;
    (void)rill_task_cancel(progress, NULL);
    RILL_IGNORE(rill_join(progress));
    fprintf(stderr, "\n");
    return rc;
}

/* As many as the limit on descriptors, raised as far as it goes, has room for. */
static int
count_places(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= 64)
        return 1;
    return limit.rlim_cur - 64 < PLACES_MAX ? (int)limit.rlim_cur - 64 : PLACES_MAX;
}

int
main(int argc, char **argv)
{
    static struct scan scan;
    int rc;

    scan.timeout = (argc == 4 ? atoi(argv[3]) : 1000) * RILL_MS;
    if (argc < 3 || argc > 4 || sscanf(argv[2], "%d-%d", &scan.first, &scan.last) != 2 ||
        scan.first < 1 || scan.last >= PORTS || scan.first > scan.last || scan.timeout <= 0) {
        fprintf(stderr, "usage: %s HOST FIRST-LAST [TIMEOUT_MS]\n", argv[0]);
        return 2;
    }
    scan.host = argv[1];
    (void)rill_semaphore_init(&scan.places, count_places()); /* It is above 0. */
    rc = rill_run(app, &scan);
    rill_semaphore_done(&scan.places);
    if (rc < 0) {
        fprintf(stderr, "port_scanner: %s\n", rill_strerror(rc));
        return 1;
    }
    for (int port = scan.first; port <= scan.last; port++) {
        if (scan.states[port] == OPEN)
            printf("%d open\n", port);
    }
    printf("%s: %d open, %d closed, %d filtered in %.3f s\n", scan.host, scan.counts[OPEN],
        scan.counts[CLOSED], scan.counts[FILTERED], (double)scan.took / RILL_S);
    printf("%zu tasks at once, at most %d of them connecting\n", scan.tasks, scan.connecting_most);
    return 0;
}
