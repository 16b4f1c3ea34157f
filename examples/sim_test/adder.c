/*
 * An ordinary server: nothing in it knows whether a kernel or the simulator carries it.
 */
#include "adder.h"

#include <stdio.h>

struct adder {
    unsigned long sum, number;
};

static void
adder_data(rill_transport *t, void *self, rill_slice in)
{
    struct adder *a = self;
    char reply[32];

    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] >= '0' && in.data[i] <= '9') {
            a->number = a->number * 10 + (in.data[i] - '0');
        } else if (in.data[i] == '\n') {
            int len = snprintf(reply, sizeof(reply), "%lu\n", a->sum += a->number);

            a->number = 0;
            (void)rill_transport_write(t, reply, (size_t)len); /* A loss ends the connection. */
        } else {
            rill_transport_fail(t, RILL_EUSER, "that is no number");
            return;
        }
    }
}

static const rill_protocol adder_protocol =
    RILL_PROTOCOL(.state_size = sizeof(struct adder), .data_received = adder_data);

int
adder_serve(rill_loop *loop, int port, rill_server **ret_server)
{
    rill_server_options where = RILL_SERVER_OPTIONS(.host = "*", .port = port);

    return rill_create_server(loop, &where, &adder_protocol, NULL, ret_server);
}
