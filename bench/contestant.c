/*
 * rill's echo server, with public headers and default options only: what a user would write. But
 * for BENCH_SPIN_US, by which the contestant rill-spin polls before it sleeps.
 *
 * One thread; SIGTERM keeps its default action, so nothing here is shaped by the measurement.
 */
#include "contestant.h"

#include <rill/rill.h>

static void
data_received(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len); /* A failure ends the connection by itself. */
}

static void
must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, rill_strerror(rc));
    exit(1);
}

int
main(int argc, char **argv)
{
    static const rill_protocol echo = RILL_PROTOCOL(.data_received = data_received);
    char version[32];
    struct contestant_where where;
    rill_server_options options = RILL_SERVER_OPTIONS(.backlog = CONTESTANT_BACKLOG);
    rill_loop_options loop_options = RILL_LOOP_OPTIONS(.driver = NULL);
    const char *spin = getenv("BENCH_SPIN_US");
    rill_server *server;
    rill_loop *loop;

    (void)snprintf(version, sizeof(version), "%d.%d.%d", rill_version() / 10000,
        rill_version() / 100 % 100, rill_version() % 100);
    where = contestant_parse(argc, argv, "rill", version);
    if (where.path != NULL) {
        options.path = where.path;
    } else {
        options.host = "127.0.0.1";
        options.port = where.port;
    }
    if (spin != NULL)
        loop_options.spin = strtol(spin, NULL, 10) * RILL_US;
    must(rill_loop_new(&loop_options, &loop), "rill_loop_new");
    must(rill_create_server(loop, &options, &echo, NULL, &server), "rill_create_server");
    must(rill_loop_run(loop), "rill_loop_run");
    return 0;
}
