/*
 * The conformance battery on the memory pair.
 */
/* timeout: 120 */
#include "pairs.h"

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    (void)user;
    return rill_create_pair(loop, options, protocol_a, arg_a, protocol_b, arg_b, NULL, NULL);
}

int
main(void)
{
    return run_conformance("pair", make);
}
