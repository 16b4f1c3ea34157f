/*
 * Sending files: one job at a time for a transport, by the kind's own means or by reading and
 * writing.
 *
 * While a job runs, the user's writes are refused and a close waits for it within the close
 * timeout. The reading side of the fallback reads blocks of 64 KiB on the loop's thread and writes
 * them under the transport's marks, at most 256 KiB a turn. Loop thread only.
 */
#include <errno.h>

#include "transports/internal.h"

#define BLOCK_BYTES ((size_t)64 * 1024)
#define TURN_BYTES  ((size_t)256 * 1024)

struct rill__sendfile {
    rill__ready ready;     /* The next step, or `done`. */
    rill__own_timer timer; /* The close timeout, when a close waits. */
    rill_transport *t;
    int fd;
    uint64_t offset;
    uint64_t left;
    uint64_t sent;
    rill_sendfile_fn done;
    void *arg;
    rill_id id;
    int rc;
    bool native;
    bool finished; /* On the ready list to run `done`. */
    bool queued;   /* On the ready list for a step. */
    bool close_waits;
    bool canceled;
    bool fallback; /* Allowed. */
    unsigned char *block;
};

static void
job_free(rill__sendfile *job)
{
    rill_loop *loop = job->t->loop;

    rill__timer_disarm(loop, &job->timer);
    rill__operation_end(loop, job->id);
    rill__free(loop, job->block, BLOCK_BYTES, RILL_TAG_WRITE);
    rill__free(loop, job, sizeof(*job), RILL_TAG_WRITE);
}

/* The end: writing is allowed again, then `done`, then the close that waited. */
static void
job_done(rill__sendfile *job)
{
    rill_transport *t = job->t;
    rill_sendfile_fn done = job->done;
    void *arg = job->arg;
    int rc = job->rc;
    uint64_t sent = job->sent;
    bool close_waits = job->close_waits && !t->aborting && t->phase == RILL__PHASE_OPEN;

    t->extra->sendfile = NULL;
    t->refuse &= (uint8_t)~RILL__REFUSE_SENDFILE;
    job_free(job);
    if (close_waits)
        t->ops->close(t, rill__impl(t));
    if (done != NULL)
        done(arg, rc, sent);
}

static void
job_done_run(rill__ready *ready)
{
    job_done(RILL__CONTAINER(ready, rill__sendfile, ready));
}

static void
finish_soon(rill__sendfile *job, int rc)
{
    if (job->finished)
        return;
    if (job->queued)
        rill__loop_unlink(job->t->loop, &job->ready);
    job->queued = false;
    job->finished = true;
    job->rc = rc;
    job->ready.run = job_done_run;
    rill__loop_push(job->t->loop, &job->ready);
}

/* ---- by reading and writing ---- */

static void step_run(rill__ready *ready);

static void
step_soon(rill__sendfile *job)
{
    if (job->queued || job->finished)
        return;
    job->queued = true;
    job->ready.run = step_run;
    rill__loop_push(job->t->loop, &job->ready);
}

static int64_t
copy_block(rill__sendfile *job)
{
    rill_transport *t = job->t;
    size_t len = job->left < BLOCK_BYTES ? (size_t)job->left : BLOCK_BYTES;
    int64_t got = t->loop->sys->file_read(t->loop->driver, job->fd, job->offset, job->block, len);
    rill_iovec part = { job->block, got > 0 ? (size_t)got : 0 };

    if (got <= 0)
        return got;
    job->offset += (uint64_t)got;
    job->left -= (uint64_t)got;
    job->sent += (uint64_t)got;
    t->ops->write(t, rill__impl(t), &part, 1);
    return got;
}

static void
step_run(rill__ready *ready)
{
    rill__sendfile *job = RILL__CONTAINER(ready, rill__sendfile, ready);
    rill_transport *t = job->t;
    size_t turn_bytes = 0;

    job->queued = false;
    while (job->left > 0 && turn_bytes < TURN_BYTES && !t->aborting) {
        int64_t got;

        if (t->queued_bytes > t->write_low)
            return; /* rill__sendfile_resume goes on. */
        got = copy_block(job);
        if (got <= 0) {
            finish_soon(job, got < 0 ? (int)got : RILL_EFILESHORT);
            return;
        }
        turn_bytes += (size_t)got;
    }
    if (job->left == 0)
        finish_soon(job, 0);
    else
        step_soon(job);
}

void
rill__sendfile_resume(rill_transport *t)
{
    rill__sendfile *job = t->extra->sendfile;

    if (job != NULL && !job->native && t->queued_bytes <= t->write_low)
        step_soon(job);
}

/* ---- both ---- */

void
rill_transport_sendfile_done(rill_transport *t, int rc, uint64_t sent)
{
    rill__sendfile *job = t->extra != NULL ? t->extra->sendfile : NULL;

    rill__check_live(t, "rill_transport_sendfile_done");
    rill__check(job != NULL && job->native);
    job->sent = sent;
    finish_soon(job, job->canceled ? RILL_ECANCELED : rc); /* It may have lost the race. */
}

void
rill__sendfile_note_sent(rill_transport *t, uint64_t sent)
{
    if (t->extra->sendfile != NULL)
        t->extra->sendfile->sent = sent;
}

void
rill__sendfile_end(rill_transport *t, int code)
{
    rill__sendfile *job = t->extra->sendfile;

    if (job == NULL)
        return;
    if (job->queued || job->finished)
        rill__loop_unlink(t->loop, &job->ready);
    if (!job->finished)
        job->rc = code;
    job_done(job);
}

static bool
job_cancel(void *object)
{
    rill__sendfile *job = object;
    rill_transport *t = job->t;

    if (job->finished || job->canceled)
        return false;
    job->canceled = true;
    if (job->native)
        t->ops->sendfile_cancel(t, rill__impl(t));
    else
        finish_soon(job, RILL_ECANCELED);
    return true;
}

static void
close_timeout(rill__own_timer *timer)
{
    rill__sendfile *job = RILL__CONTAINER(timer, rill__sendfile, timer);

    rill__transport_abort(job->t, RILL_ECLOSETIMEOUT, RILL_LAYER_TRANSPORT, NULL);
}

bool
rill__sendfile_delays_close(rill_transport *t)
{
    rill__sendfile *job = t->extra != NULL ? t->extra->sendfile : NULL;

    if (job == NULL)
        return false;
    job->close_waits = true;
    if (!t->reading_paused)
        t->ops->pause_reading(t, rill__impl(t));
    if (t->close_timeout != RILL_NEVER)
        rill__timer_arm(t->loop, &job->timer,
            rill__after(t->loop->ops->now(t->loop->driver), t->close_timeout));
    return true;
}

static rill__sendfile *
job_new(
    rill_transport *t, int fd, uint64_t offset, uint64_t count, rill_sendfile_fn done, void *arg)
{
    rill__sendfile *job;

    if (rill__transport_extra(t) == NULL)
        return NULL;
    job = rill__alloc_zeroed(t->loop, sizeof(*job), RILL_TAG_WRITE);
    if (job == NULL)
        return NULL;
    job->timer.fn = close_timeout;
    job->t = t;
    job->fd = fd;
    job->offset = offset;
    job->left = count;
    job->done = done;
    job->arg = arg;
    if (rill__operation_new(t->loop, job_cancel, job, &job->id) == 0)
        return job;
    rill__free(t->loop, job, sizeof(*job), RILL_TAG_WRITE);
    return NULL;
}

static int
begin_copy(rill__sendfile *job)
{
    job->native = false;
    if (!job->fallback)
        return RILL_ENOSENDFILE;
    job->block = rill__alloc(job->t->loop, BLOCK_BYTES, RILL_TAG_WRITE);
    if (job->block == NULL)
        return -ENOMEM;
    step_soon(job);
    return 0;
}

void
rill__sendfile_not_native(rill_transport *t)
{
    rill__sendfile *job = t->extra->sendfile;
    int rc = begin_copy(job);

    if (rc < 0)
        finish_soon(job, rc);
}

static int
begin(rill__sendfile *job)
{
    rill_transport *t = job->t;
    int rc;

    t->extra->sendfile = job;
    t->refuse |= RILL__REFUSE_SENDFILE;
    if (job->left == 0) {
        finish_soon(job, 0);
        return 0;
    }
    if (RILL__HAS_OP(t, sendfile)) {
        job->native = true;
        rc = t->ops->sendfile(t, rill__impl(t), job->fd, job->offset, job->left);
        if (rc != RILL_ENOSENDFILE)
            return rc;
    }
    return begin_copy(job);
}

static int
check(rill_transport *t, int fd, uint64_t offset, uint64_t *count)
{
    int64_t size;

    if ((t->refuse & RILL__REFUSE_ONEWAY) != 0)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "sendfile: this is the reading end of a pipe");
    if ((t->refuse & RILL__REFUSE_CLOSED) != 0)
        return rill__fail(t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "sendfile: closed");
    if ((t->refuse & RILL__REFUSE_BROKEN) != 0)
        return rill__fail(t->loop, -EPIPE, RILL_LAYER_TRANSPORT, "sendfile: nobody reads any more");
    if ((t->refuse & RILL__REFUSE_EOF) != 0)
        return rill__fail(t->loop, RILL_EEOFSENT, RILL_LAYER_TRANSPORT, "sendfile after write_eof");
    if (t->refuse != 0)
        return rill__fail(
            t->loop, RILL_EBUSY, RILL_LAYER_TRANSPORT, "a sendfile is in progress already");
    size = t->loop->sys->file_size(t->loop->driver, fd);
    if (size < 0 || offset > INT64_MAX || *count > INT64_MAX)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "sendfile: descriptor %d is no regular file, or offset or count is too large", fd);
    if (*count == 0 && offset < (uint64_t)size)
        *count = (uint64_t)size - offset;
    return 0;
}

int
rill_transport_sendfile_start(rill_transport *t, int fd, uint64_t offset, uint64_t count,
    bool fallback, rill_sendfile_fn done, void *arg, rill_id *ret_id)
{
    rill__sendfile *job;
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_sendfile_start");
    if (done == NULL)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "sendfile without done");
    rc = check(t, fd, offset, &count);
    if (rc < 0)
        return rc;
    job = job_new(t, fd, offset, count, done, arg);
    if (job == NULL)
        return rill__fail_call(t->loop, -ENOMEM, "sendfile");
    job->fallback = fallback;
    rc = begin(job);
    if (rc < 0) {
        t->extra->sendfile = NULL;
        t->refuse &= (uint8_t)~RILL__REFUSE_SENDFILE;
        job_free(job);
        return rill__fail(t->loop, rc, RILL_LAYER_TRANSPORT, "sendfile: %s", rill_strerror(rc));
    }
    if (ret_id != NULL)
        *ret_id = job->id;
    return 0;
}
