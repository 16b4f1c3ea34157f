/*
 * sendfile on a stream: once the queue is empty, one driver operation after another until the
 * file's part is sent.
 *
 * The rules of the job (who waits, what is refused meanwhile) are sendfile.c's. Loop thread only.
 */
#include <errno.h>

#include "transports/stream.h"

static void
done(stream *s, int rc)
{
    rill_transport *t = rill__base(s);
    uint64_t sent = s->file->sent;

    if (!s->io.send.active) /* Else the file still waited behind the queue, and is canceled. */
        rill__deadlines_send_done(s);
    rill__free(t->loop, s->file, sizeof(*s->file), RILL_TAG_WRITE);
    s->file = NULL;
    s->file_active = false;
    rill_transport_sendfile_done(t, rc, sent);
}

int
rill__stream_sendfile(rill_transport *t, void *impl, int fd, uint64_t offset, uint64_t count)
{
    stream *s = impl;

    if (s->phase != STREAM_OPEN)
        return RILL_ECLOSED;
    if ((s->io.recv.pipe & RILL__PIPE_SOCKET) != 0)
        return RILL_ENOSENDFILE; /* It may be one that waits, and cannot be told not to. */
    s->file = rill__alloc_zeroed(t->loop, sizeof(*s->file), RILL_TAG_WRITE);
    if (s->file == NULL)
        return -ENOMEM;
    s->file->fd = fd;
    s->file->offset = offset;
    s->file->left = count;
    if (t->loop->epilogue != NULL && t->loop->epilogue_object == s)
        rill__loop_run_epilogue(t->loop);
    if (s->phase == STREAM_OPEN && rill__queue_is_empty(&s->queue))
        rill__stream_pump(s);
    return 0;
}

void
rill__stream_file_start(stream *s)
{
    rill_transport *t = rill__base(s);
    int rc = t->loop->ops->sendfile_start(
        t->loop->driver, &s->io, s->file->fd, s->file->offset, s->file->left);

    if (rc < 0) {
        done(s, rc);
        return;
    }
    s->file_active = true;
    rill__deadlines_send_waits(s);
}

void
rill__stream_sendfile_cancel(rill_transport *t, void *impl)
{
    stream *s = impl;

    if (s->file == NULL)
        return;
    s->file->canceled = true;
    if (s->file_active)
        t->loop->ops->cancel(t->loop->driver, &s->io);
    else
        done(s, RILL_ECANCELED);
}

void
rill__stream_file_end(stream *s, int rc)
{
    if (s->file != NULL)
        done(s, rc);
}

static bool
is_impossible(int64_t result)
{
    return result == -EINVAL || result == -ENOSYS || result == -EOPNOTSUPP;
}

/* -EIO and the like are the file's; what ends the socket is told by connection_lost. */
static bool
is_of_socket(int64_t result)
{
    return result == -EPIPE || result == -ECONNRESET || result == -ENOTCONN ||
           result == -ETIMEDOUT || result == -ECONNABORTED;
}

void
rill__stream_file_on_send(stream *s)
{
    rill_transport *t = rill__base(s);
    int64_t sent = t->loop->ops->finish(t->loop->driver, &s->io);

    if (sent == -EAGAIN)
        return;
    s->file_active = false;
    if (is_impossible(sent) && s->file->sent == 0) {
        rill__free(t->loop, s->file, sizeof(*s->file), RILL_TAG_WRITE);
        s->file = NULL;
        rill__sendfile_not_native(t);
        return;
    }
    if (sent <= 0) {
        done(s, sent < 0 ? (int)sent : RILL_EFILESHORT);
        if (is_of_socket(sent))
            rill__stream_write_failed(s, (int)sent);
        return;
    }
    s->file->offset += rill__bug("sendfile_repeats") ? 0 : (uint64_t)sent;
    s->file->left -= (uint64_t)sent;
    s->file->sent += (uint64_t)sent;
    t->bytes_out += (uint64_t)sent;
    rill__deadlines_sent(s);
    if (s->file->left == 0)
        done(s, 0);
    else if (s->file->canceled)
        done(s, RILL_ECANCELED);
    else
        rill__stream_file_start(s);
}
