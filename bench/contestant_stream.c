/*
 * rill's echo server once more, in tasks: a task for each connection, which reads and writes a
 * stream. Public headers and default options only: what a user would write.
 */
#include "contestant.h"

#include <rill/rill.h>

static int
echo(rill_stream *stream, void *arg)
{
    char buf[16 * 1024];
    int64_t n;

    (void)arg;
    while ((n = rill_stream_read(stream, buf, sizeof(buf))) > 0)
        RILL_TRY(rill_stream_write(stream, buf, (size_t)n));
    return (int)n;
}

static int
serve(void *arg)
{
    rill_stream_server *server;
    int rc;

    RILL_TRY(rill_start_server(arg, NULL, echo, NULL, &server));
    rc = rill_stream_server_serve_forever(server);
    (void)rill_stream_server_close(server); /* This is the end of the program anyway. */
    return rc;
}

int
main(int argc, char **argv)
{
    char version[32];
    struct contestant_where where;
    rill_server_options options = RILL_SERVER_OPTIONS(.backlog = CONTESTANT_BACKLOG);
    int rc;

    (void)snprintf(version, sizeof(version), "%d.%d.%d", rill_version() / 10000,
        rill_version() / 100 % 100, rill_version() % 100);
    where = contestant_parse(argc, argv, "rill", version);
    if (where.path != NULL) {
        options.path = where.path;
    } else {
        options.host = "127.0.0.1";
        options.port = where.port;
    }
    rc = rill_run(serve, &options);
    fprintf(stderr, "rill_run: %s\n", rill_strerror(rc));
    return 1;
}
