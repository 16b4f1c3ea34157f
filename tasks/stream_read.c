/*
 * Reading from streams: bytes as they come, so many, all of them; looking at what is there.
 *
 * A call takes what it wants when that is there, or waits as the stream's one reader. Until the
 * task runs again it stays that, so what it was woken for is still there then. An error that the
 * connection was lost with is told before bytes that are left, as asyncio does. Loop thread only.
 */
#include "tasks/stream.h"

int
rill__flow_begin_read(rill__fiber *fiber, rill_stream *s, const char *function)
{
    int rc = rill__flow_may_wait(fiber, s, function);

    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (RILL__UNLIKELY(s->reader != NULL))
        return RILL_EBUSY;
    if (s->lent)
        rill__flow_end_loan(s);
    return s->error;
}

/* As for reading; what is lent is lent at once, so giving way comes first. */
int
rill__flow_begin_lend(rill__fiber *fiber, rill_stream *s, const char *function)
{
    int rc = rill__flow_may_wait(fiber, s, function);

    if (RILL__UNLIKELY(rc < 0))
        return rc;
    rill__spend(fiber);
    return rill__flow_begin_read(fiber, s, function);
}

/* Where it was, it is; who reads next finds it there. */
static bool
cancel_read(rill__wait *wait)
{
    rill__reader *reader = RILL__CONTAINER(wait, rill__reader, wait);

    reader->woken = true;
    return true;
}

int
rill__flow_wait_read(rill__fiber *fiber, rill_stream *s, rill__reader *reader)
{
    int rc;

    assert(s->incoming.len == 0);
    if (s->reading_paused) {
        s->reading_paused = false;
        if (s->t != NULL)
            rill_transport_resume_reading(s->t);
    }
    reader->stream = s;
    reader->wait.cancel = cancel_read;
    reader->wait.site = s->site;
    s->reader = reader;
    s->pins++;
    rc = rill__suspend(fiber, &reader->wait);
    s->reader = NULL;
    return rc < 0 ? rc : s->error;
}

/* ---- what comes first ---- */

/* Wait for bytes in the caller's own memory: what of `len` is not there yet, or any of it. 0 or why
 * not; then what came is in the stream again. */
static __attribute__((noinline)) int
wait_into(rill__fiber *fiber, rill_stream *s, rill__reader *reader, void *buf, size_t len,
    size_t *ret_got)
{
    int rc;

    reader->into = (uint8_t *)buf + *ret_got;
    reader->room = len - *ret_got;
    if (reader->room >= RILL__FLOW_DIRECT)
        rill__flow_go_direct(s);
    rc = rill__flow_wait_read(fiber, s, reader);
    *ret_got = len - reader->room;
    if (RILL__UNLIKELY(rc < 0))
        rill__flow_put_back(s, buf, *ret_got);
    rill__flow_unpin(s);
    return rc;
}

static int64_t
read_later(rill__fiber *fiber, rill_stream *s, void *buf, size_t cap)
{
    rill__reader reader = { .wait = { .what = "rill_stream_read" }, .any = true };
    size_t got = 0;
    int rc = wait_into(fiber, s, &reader, buf, cap, &got);

    return rc < 0 ? rc : (int64_t)got;
}

int64_t
rill_stream_read(rill_stream *s, void *buf, size_t cap)
{
    rill__fiber *fiber = rill__current();
    size_t got;
    int rc;

    RILL__REQUIRE(buf != NULL || cap == 0);
    rc = rill__flow_begin_read(fiber, s, "rill_stream_read");
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (cap == 0)
        return 0;
    got = rill__flow_take(s, buf, cap);
    if (got == 0 && !s->eof)
        return read_later(fiber, s, buf, cap);
    rill__spend(fiber);
    return (int64_t)got;
}

/* ---- exactly so many ---- */

static int
fill_later(rill__fiber *fiber, rill_stream *s, void *buf, size_t len, size_t *ret_got)
{
    rill__reader reader = { .wait = { .what = "rill_stream_read_exactly" } };

    return wait_into(fiber, s, &reader, buf, len, ret_got);
}

int64_t
rill_stream_read_exactly(rill_stream *s, void *buf, size_t len, size_t *ret_len)
{
    rill__fiber *fiber = rill__current();
    size_t got = 0;
    int64_t rc;

    RILL__REQUIRE((buf != NULL || len == 0) && len <= INT64_MAX);
    rc = rill__flow_begin_read(fiber, s, "rill_stream_read_exactly");
    if (rc < 0)
        return rc;
    if (len != 0)
        got = rill__flow_take(s, buf, len);
    if (got < len && !s->eof)
        rc = fill_later(fiber, s, buf, len, &got);
    else
        rill__spend(fiber);
    if (rc < 0)
        return rc;
    if (ret_len != NULL)
        *ret_len = got;
    return got == len ? (int64_t)got : RILL_EINCOMPLETE;
}

/* ---- as much as there is ---- */

typedef struct gathering {
    rill__reader reader;
    size_t least; /* Unread bytes that are enough. */
} gathering;

static bool
is_gathered(rill__reader *reader)
{
    const gathering *self = RILL__CONTAINER(reader, gathering, reader);

    return reader->stream->end - reader->stream->start >= self->least;
}

/* Until so many bytes are in the buffer, or the end. 0 or why not. */
static int
gather(rill__fiber *fiber, rill_stream *s, size_t least, const char *what)
{
    gathering self = { .reader = { .wait = { .what = what }, .enough = is_gathered },
        .least = least };
    int rc;

    if (!rill__flow_gather(s))
        return -ENOMEM;
    if (s->end - s->start >= least || s->eof)
        return 0;
    rc = rill__flow_wait_read(fiber, s, &self.reader);
    if (rc == 0 && s->refs == 0)
        rc = RILL_ECLOSED; /* Nothing can be lent of what goes now. */
    rill__flow_unpin(s);
    return rc;
}

int64_t
rill_stream_read_all(rill_stream *s, size_t max, rill_slice *ret_slice)
{
    rill__fiber *fiber = rill__current();
    size_t len;
    int rc;

    RILL__REQUIRE(ret_slice != NULL && max < INT64_MAX);
    rc = rill__flow_begin_lend(fiber, s, "rill_stream_read_all");
    if (rc < 0)
        return rc;
    rc = gather(fiber, s, max + 1, "rill_stream_read_all");
    if (rc < 0)
        return rc;
    len = s->end - s->start;
    if (len > max) {
        rill__flow_check_limit(s);
        return RILL_EOVERRUN;
    }
    rill__flow_lend(s, len, ret_slice);
    rill__flow_drop(s, len);
    return (int64_t)len;
}

int64_t
rill_stream_peek(rill_stream *s, size_t min, rill_slice *ret_slice)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(ret_slice != NULL);
    rc = rill__flow_begin_lend(fiber, s, "rill_stream_peek");
    if (rc < 0)
        return rc;
    rc = gather(fiber, s, min != 0 ? min : 1, "rill_stream_peek");
    if (rc < 0)
        return rc;
    rill__flow_lend(s, s->end - s->start, ret_slice);
    return (int64_t)ret_slice->len;
}

int
rill_stream_consume(rill_stream *s, size_t len)
{
    RILL__REQUIRE(s != NULL);
    rill__flow_check(s, "rill_stream_consume");
    if (s->reader != NULL)
        return RILL_EBUSY;
    if (len > rill__flow_unread(s))
        return RILL_EINVAL;
    if (s->incoming.len == 0) {
        rill__flow_drop(s, len);
        return 0;
    }
    s->incoming.data += len;
    s->incoming.len -= len;
    s->taken += len;
    return 0;
}

size_t
rill_stream_buffered(rill_stream *s, rill_slice *ret_slice)
{
    rill__flow_check(s, "rill_stream_buffered");
    if (s->reader != NULL)
        return 0;
    if (ret_slice == NULL)
        return rill__flow_unread(s);
    if (s->lent)
        rill__flow_end_loan(s);
    if (!rill__flow_gather(s))
        return 0;
    rill__flow_lend(s, s->end - s->start, ret_slice);
    return ret_slice->len;
}

bool
rill_stream_at_eof(const rill_stream *s)
{
    rill__flow_check(s, "rill_stream_at_eof");
    return s->eof && rill__flow_unread(s) == 0;
}
