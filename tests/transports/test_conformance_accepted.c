/*
 * The conformance battery on sockets that were made elsewhere: both ends of a socketpair.
 */
/* drivers: epoll uring */
/* timeout: 120 */
#include "pairs.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int
make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    int ends[2], rc;

    (void)user;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -errno;
    rc = rill_connect_accepted_socket(loop, ends[0], options, protocol_a, arg_a, NULL);
    if (rc >= 0) {
        rc = rill_connect_accepted_socket(loop, ends[1], options, protocol_b, arg_b, NULL);
        if (rc < 0)
            close(ends[1]);
        return rc;
    }
    close(ends[0]);
    close(ends[1]);
    return rc;
}

int
main(void)
{
    return run_conformance("accepted", make);
}
