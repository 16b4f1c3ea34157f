/*
 * What a driver asks of a socket, with the faults that system calls have: short counts, EAGAIN,
 * resource exhaustion. Peers do without (peer.c). EINTR on bytes is EAGAIN here, as every driver
 * repeats the call by itself. The world's thread only.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "core/driver/sim/internal.h"

#define FILE_BLOCK ((size_t)16 * 1024)

static size_t
shorter(sim_socket *socket, rill_sim_fault kind, size_t len, size_t max)
{
    if (max != 0 && len > max)
        len = max;
    if (len > 1 && rill__sim_fault_of(socket, kind))
        len = (size_t)rill__sim_small_value(
                  socket->sim, kind, socket->number, &socket->uses[kind], len - 2) +
              1;
    return len;
}

int64_t
rill__sim_call_recv(sim_socket *socket, void *buf, size_t len)
{
    size_t waiting = rill__sim_pipe_readable(&socket->in);

    if (waiting > 0) {
        if (rill__sim_fault_of(socket, RILL_SIM_FAULT_RECV_AGAIN))
            return -EAGAIN;
        if (len > waiting)
            len = waiting;
        len = shorter(socket, RILL_SIM_FAULT_RECV_SHORT, len, socket->sim->recv_bytes_max);
    }
    return rill__sim_recv(socket, buf, len);
}

static void
maybe_spurious(sim_io *self)
{
    self->spurious_read = rill__sim_fault_of(self->socket, RILL_SIM_FAULT_SPURIOUS_READ);
    if (self->spurious_read)
        rill__sim_io_mark(self);
}

int64_t
rill__sim_io_recv(sim_io *self, void *buf, size_t len)
{
    size_t waiting = rill__sim_pipe_readable(&self->socket->in);
    int64_t got;

    self->spurious_read = false;
    got = rill__sim_call_recv(self->socket, buf, len);
    if (got > 0 && (size_t)got == waiting)
        maybe_spurious(self);
    return got;
}

/* ---- accepting ---- */

static int
accept_fault(sim_socket *listener)
{
    static const struct {
        rill_sim_fault kind;
        int error;
    } faults[] = {
        { RILL_SIM_FAULT_ACCEPT_EMFILE, EMFILE },
        { RILL_SIM_FAULT_ACCEPT_ENFILE, ENFILE },
        { RILL_SIM_FAULT_ACCEPT_ENOBUFS, ENOBUFS },
        { RILL_SIM_FAULT_ACCEPT_ENOMEM, ENOMEM },
        { RILL_SIM_FAULT_ACCEPT_EINTR, EINTR },
        { RILL_SIM_FAULT_ACCEPT_ECONNABORTED, ECONNABORTED },
        { RILL_SIM_FAULT_ACCEPT_EPROTO, EPROTO },
        { RILL_SIM_FAULT_ACCEPT_EPERM, EPERM },
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (rill__sim_fault_of(listener, faults[i].kind))
            return faults[i].error;
    return 0;
}

static bool
loses_connection(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == EPERM;
}

int
rill__sim_call_accept(sim_socket *listener, int *ret_fd, rill_addr *ret_peer)
{
    sim_socket *child = rill__sim_accept_first(listener);
    int error;
    int rc;

    if (listener->state != SIM_LISTENING)
        return -EINVAL;
    if (child == NULL)
        return rill__sim_descriptors_left(listener->host) ? -EAGAIN : -EMFILE;
    error = accept_fault(listener);
    if (error != 0 && loses_connection(error)) {
        rill__sim_accept_unlink(child);
        rill__sim_socket_close(child, true);
    }
    if (error != 0)
        return -error;
    rc = rill__sim_socket_open(child);
    if (rc < 0)
        return rc;
    rill__sim_accept_unlink(child);
    if (rill__sim_is_unix(child))
        *ret_peer = child->names->remote;
    else
        rill__sim_name_to(&child->port.remote, (rill_family)child->family, ret_peer);
    *ret_fd = child->fd;
    rill__sim_trace_socket(listener, SIM_ACCEPT, child->number);
    return 0;
}

int
rill__sim_io_accept(sim_io *self, int *ret_fd, rill_addr *ret_peer)
{
    int rc;

    if (self->socket->state == SIM_LISTENING)
        self->spurious_read = false;
    rc = rill__sim_call_accept(self->socket, ret_fd, ret_peer);
    if (rc == 0 && self->socket->visible == 0)
        maybe_spurious(self);
    return rc;
}

/* ---- sending ---- */

static size_t
total_of(const rill__iov *iov, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += iov[i].len;
    return total;
}

/* How much of `len` this call may take; -EAGAIN or the error. */
static int64_t
allowance(sim_socket *socket, size_t len)
{
    int may = rill__sim_may_send(socket);
    size_t room;

    if (may < 0)
        return may;
    if (len == 0)
        return 0;
    if (may == 0 || rill__sim_fault_of(socket, RILL_SIM_FAULT_SEND_AGAIN))
        return -EAGAIN;
    room = rill__sim_pipe_room(socket);
    if (socket->end != SIM_END_NONE && len <= SIM_PIPE_ATOMIC) /* All of it or nothing. */
        return len <= room ? (int64_t)len : -EAGAIN;
    return (int64_t)shorter(
        socket, RILL_SIM_FAULT_SEND_SHORT, len < room ? len : room, socket->sim->send_bytes_max);
}

int64_t
rill__sim_call_send(sim_socket *socket, const rill__iov *iov, size_t count)
{
    int64_t allowed = allowance(socket, total_of(iov, count));
    int64_t sent = 0;

    if (allowed <= 0)
        return allowed;
    /* An error that comes in between stays for the next call, as with the kernel's. */
    for (size_t i = 0; i < count && sent < allowed && socket->error == 0; i++) {
        size_t len = iov[i].len;
        int64_t taken;

        if (len > (size_t)(allowed - sent))
            len = (size_t)(allowed - sent);
        taken = rill__sim_send(socket, iov[i].base, len);
        if (taken < 0)
            return sent > 0 ? sent : taken;
        sent += taken;
        if ((size_t)taken < len)
            break;
    }
    return sent;
}

int64_t
rill__sim_io_send(sim_io *self, const rill__iov *iov, size_t count)
{
    return rill__sim_call_send(self->socket, iov, count);
}

int64_t
rill__sim_io_sendfile(sim_io *self, int fd, uint64_t offset, uint64_t count)
{
    const rill__sys_ops *sys = self->driver->base.sys;
    sim_socket *socket = self->socket;
    uint8_t block[FILE_BLOCK];
    size_t want = count < SIM_SEGMENT_MAX ? (size_t)count : SIM_SEGMENT_MAX;
    int64_t allowed = sys->file_size(&self->driver->base, fd);
    int64_t sent = 0;

    if (allowed >= 0)
        allowed = allowance(socket, want);
    if (allowed <= 0)
        return allowed;
    while (sent < allowed && socket->error == 0) {
        size_t len = (size_t)(allowed - sent) < FILE_BLOCK ? (size_t)(allowed - sent) : FILE_BLOCK;
        int64_t got = sys->file_read(&self->driver->base, fd, offset + (uint64_t)sent, block, len);
        int64_t taken;

        if (got <= 0)
            return sent > 0 ? sent : got;
        taken = rill__sim_send(socket, block, (size_t)got);
        if (taken < 0)
            return sent > 0 ? sent : taken;
        sent += taken;
        if (taken < got)
            break;
    }
    return sent;
}

int64_t
rill__sim_call_connected(sim_socket *socket)
{
    int error = socket->error;

    if (error != 0) {
        socket->error = 0;
        return -error;
    }
    if (socket->state == SIM_CONNECTING)
        return -EAGAIN;
    return socket->state == SIM_CONNECTED ? 0 : -ENOTCONN;
}

int64_t
rill__sim_io_try(sim_io *self)
{
    const rill__io *io = self->io;

    switch ((enum sim_send_kind)io->send.kind) {
    case SIM_SEND_CONNECT:
        return rill__sim_call_connected(self->socket);
    case SIM_SEND_BYTES:
        return rill__sim_io_send(self, io->out.send.iov, io->out.send.count);
    case SIM_SEND_RIGHTS:
        return rill__sim_rights_send(self, io->out.send.iov, io->out.send.count,
            io->out.send.passing->fds, io->out.send.passing->count);
    case SIM_SEND_FILE:
        return rill__sim_io_sendfile(
            self, io->out.file.fd, io->out.file.offset, io->out.file.count);
    case SIM_SEND_NONE:
        break;
    }
    rill__panic("the simulator finishes an operation that nobody started");
}
