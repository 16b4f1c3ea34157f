/*
 * Several requests at once, all within one time: a group of tasks under a timeout.
 *
 * Shows: rill_open_connection, a group, whose end waits for all of its tasks whatever happens, and
 * a scope around it. When the time is over, or one of them fails, the others are canceled where
 * they wait: each closes its stream and returns, and only then does rill_group_end.
 *
 * Run:     ./fetch MILLISECONDS HOST PORT [HOST PORT]...      (numeric hosts, or localhost)
 * Prints:  127.0.0.1:8080: HTTP/1.0 200 OK      for each, in the order of the arguments
 *          fetch: the deadline passed           or why there is nothing to print
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 16 };

struct job {
    const char *host;
    int port;
    char line[200];
};

struct work {
    rill_ns time;
    int count;
    struct job jobs[JOBS_MAX];
};

static int64_t
first_line(rill_stream *stream, struct job *job)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    rill_slice line;
    int64_t n = rill_stream_write(stream, request, strlen(request));

    if (n >= 0)
        n = rill_stream_readline(stream, &line);
    if (n >= 0)
        snprintf(job->line, sizeof(job->line), "%.*s", (int)strcspn((const char *)line.data, "\r"),
            (const char *)line.data);
    return n;
}

static int
fetch(void *arg)
{
    struct job *job = arg; /* The group ends before its memory does. */
    rill_stream *stream;
    int64_t n;

    RILL_TRY(rill_open_connection(job->host, job->port, NULL, &stream));
    n = first_line(stream, job);
    rill_stream_close(stream); /* Never waits, and works in a canceled task. */
    rill_stream_unref(stream);
    return n < 0 ? (int)n : 0;
}

static int
app(void *arg)
{
    struct work *work = arg;
    rill_scope limit;
    rill_group group;
    int rc = 0;

    rill_timeout_begin(&limit, work->time);
    rill_group_begin(&group);
    for (int i = 0; i < work->count && rc >= 0; i++)
        rc = rill_group_spawn(&group, fetch, &work->jobs[i], NULL);
    rc = rill_group_end(&group, rc);
    return rill_scope_end(&limit, rc);
}

int
main(int argc, char **argv)
{
    struct work work = { 0 };
    int rc;

    if (argc < 4 || argc % 2 != 0 || (argc - 2) / 2 > JOBS_MAX) {
        fprintf(stderr, "usage: %s MILLISECONDS HOST PORT [HOST PORT]...\n", argv[0]);
        return 2;
    }
    work.time = atoi(argv[1]) * RILL_MS;
    work.count = (argc - 2) / 2;
    for (int i = 0; i < work.count; i++) {
        work.jobs[i].host = argv[2 + 2 * i];
        work.jobs[i].port = atoi(argv[3 + 2 * i]);
    }
    rc = rill_run(app, &work);
    if (rc < 0) {
        fprintf(stderr, "fetch: %s\n", rill_strerror(rc));
        return 1;
    }
    for (int i = 0; i < work.count; i++)
        printf("%s:%d: %s\n", work.jobs[i].host, work.jobs[i].port, work.jobs[i].line);
    return 0;
}
