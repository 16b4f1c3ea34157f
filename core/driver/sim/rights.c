/*
 * Descriptors that travel with the bytes of a simulated Unix socket.
 *
 * They are the process's real ones, such as files, of which a duplicate is on its way: simulated
 * sockets have one owner each and stay where they are. As with the real kernel a receive ends with
 * the bytes that descriptors came with, and where nobody wants them they are closed. The world's
 * thread only.
 */
#include <fcntl.h>
#include <unistd.h>

#include "core/driver/sim/internal.h"

struct sim_parcel {
    struct sim_parcel *next;
    uint64_t place; /* Of the byte that they travel with. */
    uint64_t end;   /* And of the end of that message. */
    size_t count;
    int fds[];
};

static size_t
bytes_of(size_t count)
{
    return sizeof(struct sim_parcel) + count * sizeof(int);
}

static void
drop(rill_sim *sim, struct sim_parcel *parcel)
{
    for (size_t i = 0; i < parcel->count; i++)
        (void)close(parcel->fds[i]);
    rill__sim_dealloc(sim, parcel, bytes_of(parcel->count));
}

void
rill__sim_parcels_done(sim_socket *receiver)
{
    while (receiver->parcels != NULL) {
        struct sim_parcel *parcel = receiver->parcels;

        receiver->parcels = parcel->next;
        drop(receiver->sim, parcel);
    }
}

void
rill__sim_parcels_passed(sim_socket *receiver)
{
    while (receiver->parcels != NULL && receiver->parcels->place < receiver->in.taken) {
        struct sim_parcel *parcel = receiver->parcels;

        receiver->parcels = parcel->next;
        drop(receiver->sim, parcel);
    }
}

static int
rights_duplicate(rill__driver *driver, int fd)
{
    int copy;

    if (rill__sim_socket_of(((sim_driver *)driver)->sim, fd) != NULL)
        return RILL_ENOTSUP;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

static void
rights_discard(rill__driver *driver, int fd)
{
    (void)driver;
    (void)close(fd);
}

static int
pack(rill__driver *driver, sim_socket *receiver, const int *fds, size_t count,
    struct sim_parcel **ret_parcel)
{
    struct sim_parcel *parcel = rill__sim_alloc(receiver->sim, bytes_of(count));

    if (parcel == NULL)
        return -ENOMEM;
    parcel->count = count;
    for (size_t i = 0; i < count; i++) {
        parcel->fds[i] = rights_duplicate(driver, fds[i]);
        if (parcel->fds[i] < 0) {
            int rc = parcel->fds[i];

            while (i-- > 0)
                (void)close(parcel->fds[i]);
            rill__sim_dealloc(receiver->sim, parcel, bytes_of(count));
            return rc;
        }
    }
    *ret_parcel = parcel;
    return 0;
}

int64_t
rill__sim_rights_send(
    sim_io *self, const rill__iov *iov, size_t count, const int *fds, size_t fd_count)
{
    sim_socket *receiver = self->socket->other;
    struct sim_parcel **last;
    struct sim_parcel *parcel;
    int64_t sent;
    int rc;

    if (receiver == NULL)
        return rill__sim_call_send(self->socket, iov, count); /* It says what is wrong. */
    rc = pack(&self->driver->base, receiver, fds, fd_count, &parcel);
    if (rc < 0)
        return rc;
    parcel->place = receiver->in.written;
    sent = rill__sim_call_send(self->socket, iov, count);
    if (sent <= 0) {
        drop(receiver->sim, parcel);
        return sent;
    }
    parcel->end = parcel->place + (uint64_t)sent;
    for (last = &receiver->parcels; *last != NULL;)
        last = &(*last)->next;
    *last = parcel;
    return sent;
}

static int64_t
rights_send_now(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
    const int *fds, size_t fd_count)
{
    sim_io *self = io->driver_data;

    if (io->send.active || driver->ops->send_now(driver, io, NULL, 0) == -EAGAIN)
        return -EAGAIN;
    return rill__sim_rights_send(self, iov, count, fds, fd_count);
}

static int
rights_send_start(rill__driver *driver, rill__io *io, const rill__iov *iov, size_t count,
    const rill__passing *passing)
{
    io->out.send.passing = passing;
    return rill__sim_rights_start(driver, io, iov, count);
}

/* Bytes of at most one message that brings some. */
static int64_t
rights_recv(rill__driver *driver, rill__io *io, void *buf, size_t len, int *ret_fds, size_t max,
    size_t *ret_count)
{
    sim_io *self = io->driver_data;
    sim_socket *socket = self->socket;
    struct sim_parcel *parcel = socket->parcels;
    bool fits;
    int64_t got;

    (void)driver;
    *ret_count = 0;
    if (parcel != NULL && len > parcel->end - socket->in.taken)
        len = (size_t)(parcel->end - socket->in.taken);
    /* Taken off first, as what the bytes go past is closed. */
    socket->parcels = NULL;
    got = rill__sim_io_recv(self, buf, len);
    socket->parcels = parcel;
    if (got <= 0 || parcel == NULL || parcel->place >= socket->in.taken)
        return got;
    socket->parcels = parcel->next;
    fits = parcel->count <= max;
    for (size_t i = 0; i < max && i < parcel->count; i++)
        ret_fds[(*ret_count)++] = parcel->fds[i];
    for (size_t i = max; i < parcel->count; i++)
        (void)close(parcel->fds[i]);
    rill__sim_dealloc(socket->sim, parcel, bytes_of(parcel->count));
    return fits ? got : -EMSGSIZE;
}

const rill__rights_ops rill__sim_rights = {
    .duplicate = rights_duplicate,
    .discard = rights_discard,
    .send_now = rights_send_now,
    .send_start = rights_send_start,
    .recv = rights_recv,
};
