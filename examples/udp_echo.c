/*
 * An echo server for datagrams: each goes back to where it came from.
 *
 * Shows: a datagram endpoint and its protocol; errors that end nothing; counters. What a burst
 * brings is received with few system calls, and what it is answered leaves with one.
 *
 * Run:     ./udp_echo [PORT]      then: socat - UDP4:127.0.0.1:PORT
 * Prints:  listening on 127.0.0.1:46025
 *          echoed 3 datagrams, 11 bytes      (at the end, on SIGTERM or SIGINT)
 */
#include <rill/rill.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void
echo(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)self;
    /* Who is slower than we are loses some: above its cap the queue takes no more. */
    (void)rill_transport_sendto(t, in.data, in.len, arrival->from);
}

/* One of them could not be sent, or nobody was there any more. */
static void
echo_error(rill_transport *t, void *self, int code)
{
    (void)t;
    (void)self;
    fprintf(stderr, "a datagram: %s\n", rill_strerror(code));
}

static const rill_datagram_protocol echo_protocol =
    RILL_DATAGRAM_PROTOCOL(.datagram_received = echo, .error_received = echo_error);

static void
tell_and_stop(rill_loop *loop, rill_transport *t)
{
    rill_datagram_stats stats = { .size = sizeof(stats) };
    rill_transport_info info = { .size = sizeof(info) };

    (void)rill_transport_get_datagram_stats(t, &stats);
    rill_transport_get_info(t, &info);
    printf("echoed %llu datagrams, %llu bytes\n", (unsigned long long)stats.sent,
        (unsigned long long)info.bytes_out);
    rill_loop_stop(loop);
}

struct server {
    rill_loop *loop;
    rill_transport *t;
};

static void
on_signal(int number, void *arg)
{
    struct server *server = arg;

    (void)number;
    tell_and_stop(server->loop, server->t);
}

int
main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    char text[RILL_ADDR_TEXT];
    struct server server;
    rill_addr addr;
    int rc = rill_loop_new(NULL, &server.loop);

    if (rc < 0)
        return 1;
    rc = rill_create_datagram_endpoint(server.loop,
        &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .local_port = port), &echo_protocol, NULL,
        &server.t);
    if (rc == 0 && (rc = rill_transport_sockname(server.t, &addr)) == 0 &&
        (rc = rill_add_signal_handler(server.loop, SIGTERM, on_signal, &server)) == 0 &&
        (rc = rill_add_signal_handler(server.loop, SIGINT, on_signal, &server)) == 0) {
        printf("listening on %s\n", rill_addr_format(&addr, text, sizeof(text)));
        fflush(stdout);
        rc = rill_loop_run(server.loop);
    }
    if (rc < 0)
        fprintf(stderr, "udp_echo: %s\n", rill_loop_last_error(server.loop)->sentence);
    rill_loop_free(server.loop);
    return rc < 0;
}
