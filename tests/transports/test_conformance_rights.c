/*
 * The conformance battery on Unix sockets that also accept descriptors, and so receive another way.
 */
/* timeout: 120 */
#include "pairs.h"

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    rill_transport_options accepting =
        options != NULL ? *options : (rill_transport_options)RILL_TRANSPORT_OPTIONS();

    accepting.descriptors = 4;
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.path = scratch_path("socket")),
        &accepting, protocol_a, arg_a, protocol_b, arg_b, user);
}

int
main(void)
{
    return run_conformance("unix with descriptors", make);
}
