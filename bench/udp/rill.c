/*
 * rill's echo with public headers and default options, as a user would write it.
 */
#include "contestant.h"

#include <rill/rill.h>

static void
echo(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)self;
    (void)rill_transport_sendto(t, in.data, in.len, arrival->from);
}

int
main(int argc, char **argv)
{
    static const rill_datagram_protocol protocol =
        RILL_DATAGRAM_PROTOCOL(.datagram_received = echo);
    int port = udp_port(argc, argv);
    rill_loop *loop;

    udp_must(rill_loop_new(NULL, &loop) == 0, "rill_loop_new");
    udp_must(rill_create_datagram_endpoint(loop,
                 &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .local_port = port), &protocol,
                 NULL, NULL) == 0,
        "rill_create_datagram_endpoint");
    return rill_loop_run(loop) < 0;
}
