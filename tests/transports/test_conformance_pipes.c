/*
 * The conformance battery over two pipes, one in each direction.
 */
#include "pairs.h"

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    int there[2];
    int back[2];

    (void)user;
    RILL_TRY(rill_pipe(loop, 0, &there[0], &there[1]));
    RILL_TRY(rill_pipe(loop, 0, &back[0], &back[1]));
    RILL_TRY(rill_connect_pipes(loop, back[0], there[1], options, protocol_a, arg_a, NULL));
    return rill_connect_pipes(loop, there[0], back[1], options, protocol_b, arg_b, NULL);
}

int
main(void)
{
    return run_conformance("pipes", make);
}
