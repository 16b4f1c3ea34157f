/*
 * The conformance battery on Unix sockets with an abstract name, the accepting side being `a`.
 */
/* timeout: 120 */
#include "pairs.h"

#include <unistd.h>

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    char name[60];

    snprintf(name, sizeof(name), "@rill-conformance-%d", (int)getpid());
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.path = name), options, protocol_b, arg_b,
        protocol_a, arg_a, user);
}

int
main(void)
{
    return run_conformance("abstract", make);
}
