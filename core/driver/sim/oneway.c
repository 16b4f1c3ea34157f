/*
 * Pipes of the simulated kernel: two Unix sockets of which one only reads and the other only
 * writes.
 *
 * As Linux: 64 KiB fit in, or less (not calm: drawn); up to PIPE_BUF bytes go in one piece or not
 * at all; the reader gets what is left and then the end when the writer has closed; the writer gets
 * EPIPE when the reader has, without a signal, and is told so as soon as it happens. The world's
 * thread only.
 */
#include "core/driver/sim/internal.h"

static int
new_end(sim_host *host, enum sim_end end, sim_socket **ret_socket)
{
    sim_socket *socket;
    int rc = rill__sim_socket_new(host, RILL_FAMILY_UNIX, &socket);

    if (rc < 0)
        return rc;
    socket->end = (uint8_t)end;
    rc = rill__sim_socket_open(socket);
    if (rc < 0) {
        socket->owned = false;
        rill__sim_socket_free(socket);
        return rc;
    }
    *ret_socket = socket;
    return 0;
}

static int
draw_bytes(const sim_socket *socket)
{
    const rill_sim *sim = socket->sim;

    if (sim->profile == RILL_SIM_CALM)
        return SIM_PIPE_BYTES;
    return SIM_PIPE_BYTES >> rill__sim_hash(sim, SIM_DOMAIN_BUFFER, socket->number, 1) % 5;
}

int
rill__sim_pair_new(sim_host *host, int ret_fds[2])
{
    sim_socket *reads = NULL; /* gcc does not see that an error leaves. */
    sim_socket *writes = NULL;
    int rc = -rill__sim_make_fault(host);

    if (rc == 0)
        rc = new_end(host, SIM_END_READS, &reads);
    if (rc < 0)
        return rc;
    rc = new_end(host, SIM_END_WRITES, &writes);
    if (rc < 0) {
        rill__sim_socket_close(reads, false);
        return rc;
    }
    reads->other = writes;
    writes->other = reads;
    reads->state = SIM_CONNECTED;
    writes->state = SIM_CONNECTED;
    writes->send_buffer = draw_bytes(writes);
    rill__sim_trace_socket(writes, SIM_MADE, reads->number);
    ret_fds[0] = reads->fd;
    ret_fds[1] = writes->fd;
    return 0;
}

static sim_driver *
self_of(rill__driver *driver)
{
    return (sim_driver *)driver;
}

/* No other process is there that could want to block. */
static int
pipe_make(rill__driver *driver, unsigned blocking, int ret_fds[2])
{
    (void)blocking;
    return rill__sim_pair_new(self_of(driver)->host, ret_fds);
}

static int
pipe_probe(rill__driver *driver, int fd, bool writes)
{
    const sim_socket *socket = rill__sim_socket_of(self_of(driver)->sim, fd);

    if (socket == NULL)
        return RILL_ENOTSUP;
    if (socket->end == SIM_END_NONE)
        return RILL_EINVAL;
    if (writes != (socket->end == SIM_END_WRITES))
        return -EACCES;
    return writes ? RILL__PIPE_WRITES : 0;
}

static int
pipe_adopt(rill__driver *driver, int fd, int what)
{
    (void)driver;
    (void)fd;
    return what;
}

static void
pipe_give_back(rill__driver *driver, int fd, int what)
{
    (void)driver;
    (void)fd;
    (void)what;
}

static int
pipe_standard(rill__driver *driver, int number)
{
    (void)driver;
    (void)number;
    return RILL_ENOTSUP;
}

static int
pipe_open_fifo(rill__driver *driver, const char *path, unsigned flags, int mode)
{
    (void)driver;
    (void)path;
    (void)flags;
    (void)mode;
    return RILL_ENOTSUP;
}

const rill__pipe_ops rill__sim_pipes = {
    .make = pipe_make,
    .probe = pipe_probe,
    .adopt = pipe_adopt,
    .give_back = pipe_give_back,
    .standard = pipe_standard,
    .open_fifo = pipe_open_fifo,
};
