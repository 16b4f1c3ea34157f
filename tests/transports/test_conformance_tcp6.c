/*
 * The conformance battery on TCP over IPv6, the accepting side being `a`.
 */
/* timeout: 120 */
#include "pairs.h"

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.host = "::1"), options, protocol_b,
        arg_b, protocol_a, arg_a, user);
}

int
main(void)
{
    return run_conformance("tcp6", make);
}
