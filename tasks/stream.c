/*
 * Streams: their life, and the protocol between a transport and the tasks.
 *
 * Bytes that arrive while a task waits for them go to it without a detour. With room for much they
 * are received there by the kernel (the `direct` protocol); else its function runs inside
 * data_received and reads from the slice that the driver lends; only what it leaves is copied to
 * the stream's buffer. A stream lives while users have references (`refs`) or the library needs it
 * (`pins`); it is lost when its transport is, and tells everybody who waits. Loop thread only.
 */
#include "tasks/stream.h"

#define STREAM_DEAD UINT32_C(0xdead57e4)

void
rill__flow_panic(const rill_stream *s, const char *function)
{
    rill__panic("%s: %p is no live stream: %s", function, (const void *)s,
        s->magic == STREAM_DEAD ? "its last reference was given back"
                                : "the pointer never was one, or its loop was freed");
}

/* ---- life ---- */

int
rill__flow_new(
    rill_loop *loop, size_t bytes, size_t limit, const char *site, rill_stream **ret_stream)
{
    rill_stream *s;

    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "stream");
    s = rill__pool_take(loop, bytes);
    if (s == NULL)
        return rill__fail_call(loop, -ENOMEM, "stream");
    s->magic = RILL__FLOW_LIVE;
    s->bytes = (uint32_t)bytes;
    s->refs = 1;
    s->loop = loop;
    s->limit = limit != 0 ? limit : RILL__FLOW_LIMIT;
    s->site = site;
    s->plain = &rill__flow_protocol;
    s->direct = &rill__flow_direct_protocol;
    rill__list_init(&s->drains);
    rill__list_init(&s->writers);
    rill__list_init(&s->closers);
    loop->futures++; /* As they do, it counts as left over when the loop is freed. */
    *ret_stream = s;
    return 0;
}

int
rill__flow_options(
    rill_loop *loop, const rill_stream_options *options, rill_stream_options *ret_copy)
{
    int rc = 0;

    *ret_copy = (rill_stream_options){ .size = sizeof(*ret_copy) };
    if (options != NULL)
        rc = rill__options_copy(
            loop, "rill_stream_options", options, options->size, ret_copy, sizeof(*ret_copy));
    if (rc == 0 && (ret_copy->limit > SIZE_MAX / 4 ||
                       (ret_copy->connect != NULL && ret_copy->transport != NULL)))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "stream: the limit is too large, or both connect and transport are set");
    return rc;
}

static void
free_if_unused(rill_stream *s)
{
    if (s->refs != 0 || s->pins != 0)
        return;
    rill__flow_free_buffer(s);
    s->loop->futures--;
    s->magic = STREAM_DEAD;
    rill__pool_release(s->loop, s, s->bytes, sizeof(s->magic));
}

void
rill__flow_unpin(rill_stream *s)
{
    s->pins--;
    free_if_unused(s);
}

rill_stream *
rill_stream_ref(rill_stream *s)
{
    rill__flow_check(s, "rill_stream_ref");
    s->refs++;
    return s;
}

void
rill_stream_unref(rill_stream *s)
{
    if (s == NULL)
        return;
    rill__flow_check(s, "rill_stream_unref");
    rill__check(s->refs > 0);
    s->refs--;
    if (s->refs == 0 && s->t != NULL && !s->asked) {
        if (s->loop->debug)
            rill__report(s->loop, RILL_ERROR_MISUSE, 0, s->site, s->t, NULL,
                "a stream was given back without having been closed");
        rill_stream_close(s);
    }
    free_if_unused(s);
}

/* ---- who waits ---- */

static bool
leave_list(rill__wait *wait)
{
    rill__list_remove(&RILL__CONTAINER(wait, rill__flow_wait, wait)->link);
    return true;
}

int
rill__flow_wait_for(rill__fiber *fiber, rill__link *list, rill__flow_wait *self)
{
    self->wait.cancel = leave_list;
    rill__list_append(list, &self->link);
    return rill__suspend(fiber, &self->wait);
}

int
rill__flow_wait_in(rill_stream *s, rill__link *list, rill__flow_wait *self)
{
    self->wait.site = s->site;
    s->pins++;
    return rill__flow_wait_for(rill__current(), list, self);
}

void
rill__flow_wake_all(rill__link *list, int code)
{
    while (!rill__list_empty(list)) {
        rill__flow_wait *self = RILL__CONTAINER(list->next, rill__flow_wait, link);

        rill__list_remove(&self->link);
        rill__wake(self->wait.fiber, code);
    }
}

static void
wake_reader(rill_stream *s)
{
    if (s->reader == NULL || s->reader->woken)
        return;
    s->reader->woken = true;
    rill__wake(s->reader->wait.fiber, 0);
}

/* ---- callbacks ---- */

void
rill__flow_made(rill_transport *t, void *self, void *arg)
{
    rill_stream *s = self;

    (void)arg;
    if (s->t == NULL)
        s->pins++;
    s->t = t;
    s->is_direct = false;
}

void
rill__flow_take_over(rill_stream *s, rill_transport *t)
{
    rill__flow_made(t, s, NULL);
}

/* What a callback brought and no task has taken. */
static void
keep_rest(rill_stream *s)
{
    if (rill__flow_gather(s))
        rill__flow_check_limit(s);
}

/* The task that waits goes on at once, and reads the rest while it is lent. */
static inline void
hand_over(rill_stream *s, rill__reader *reader, rill_slice in)
{
    reader->woken = true;
    if (RILL__UNLIKELY(s->loop->fiber != NULL || !s->loop->in_callback)) {
        /* A transport that delivers from inside of a call: its caller goes on first. */
        if (in.len == 0 || rill__flow_append(s, in))
            rill__flow_check_limit(s);
        rill__wake(reader->wait.fiber, 0);
        return;
    }
    s->pins++;
    s->incoming = in;
    rill__wake_now(reader->wait.fiber, 0);
    if (RILL__UNLIKELY(s->incoming.len != 0))
        keep_rest(s);
    rill__flow_unpin(s);
}

/* So many bytes are in the reader's own memory: is that what it waits for? */
static inline bool
advance(rill__reader *reader, size_t len)
{
    reader->into += len;
    reader->room -= len;
    reader->stream->taken += len;
    return reader->any || reader->room == 0;
}

void
rill__flow_data(rill_transport *t, void *self, rill_slice in)
{
    rill_stream *s = self;
    rill__reader *reader = s->reader;

    (void)t;
    if (RILL__UNLIKELY(reader == NULL || reader->woken)) {
        if (rill__flow_append(s, in))
            rill__flow_check_limit(s);
        return;
    }
    if (reader->into != NULL) {
        size_t len = in.len < reader->room ? in.len : reader->room;

        memcpy(reader->into, in.data, len);
        in.data += len;
        in.len -= len;
        if (!advance(reader, len))
            return;
    } else {
        if (!rill__flow_append(s, in) || !reader->enough(reader))
            return;
        in.len = 0;
    }
    hand_over(s, reader, in);
}

/* ---- received where it is wanted ---- */

void
rill__flow_go_direct(rill_stream *s)
{
    if (s->is_direct || s->t == NULL)
        return;
    s->is_direct = true;
    (void)rill_transport_set_protocol(s->t, s->direct, s); /* No state: no memory. */
}

/* Nobody waits with much room: the plain protocol again, which the transport notices. */
size_t
rill__flow_get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    rill_stream *s = self;
    rill__reader *reader = s->reader;

    (void)hint;
    if (RILL__LIKELY(reader != NULL && !reader->woken && reader->room >= RILL__FLOW_DIRECT)) {
        *ret_buf = reader->into;
        return reader->room;
    }
    s->is_direct = false;
    (void)rill_transport_set_protocol(t, s->plain, s); /* No state: no memory. */
    *ret_buf = s;
    return 1;
}

void
rill__flow_buffer_updated(rill_transport *t, void *self, size_t len)
{
    rill_stream *s = self;

    (void)t;
    if (advance(s->reader, len))
        hand_over(s, s->reader, (rill_slice){ 0 });
}

/* ---- the other callbacks ---- */

/* The write side stays open where it can be closed by itself. */
bool
rill__flow_eof(rill_transport *t, void *self)
{
    rill_stream *s = self;

    s->eof = true;
    wake_reader(s);
    return rill_transport_can_write_eof(t);
}

void
rill__flow_pause(rill_transport *t, void *self)
{
    (void)t;
    ((rill_stream *)self)->paused = true;
}

void
rill__flow_lost(rill_transport *t, void *self, const rill_reason *why)
{
    rill_stream *s = self;

    rill__check(s->t == t);
    s->t = NULL;
    s->lost = s->eof = true;
    s->code = why->code;
    if (why->code != 0 && why->code != RILL_EOF)
        s->error = why->code;
    wake_reader(s);
    rill__flow_wake_all(&s->drains, s->error);
    rill__flow_wake_all(&s->writers, 0); /* They find it lost. */
    rill__flow_wake_all(&s->closers, 0);
    rill__flow_unpin(s);
}

const rill_protocol rill__flow_direct_protocol =
    RILL_PROTOCOL(.get_buffer = rill__flow_get_buffer, .buffer_updated = rill__flow_buffer_updated,
        .eof_received = rill__flow_eof, .pause_writing = rill__flow_pause,
        .resume_writing = rill__flow_resume, .connection_lost = rill__flow_lost);

const rill_protocol rill__flow_protocol =
    RILL_PROTOCOL(.connection_made = rill__flow_made, .data_received = rill__flow_data,
        .eof_received = rill__flow_eof, .pause_writing = rill__flow_pause,
        .resume_writing = rill__flow_resume, .connection_lost = rill__flow_lost);

/* ---- the end ---- */

void
rill_stream_close(rill_stream *s)
{
    rill__flow_check(s, "rill_stream_close");
    s->asked = true;
    if (s->t != NULL)
        rill_transport_close(s->t);
}

void
rill_stream_abort(rill_stream *s)
{
    rill__flow_check(s, "rill_stream_abort");
    s->asked = true;
    if (s->t != NULL)
        rill_transport_abort(s->t);
}

bool
rill_stream_is_closing(const rill_stream *s)
{
    rill__flow_check(s, "rill_stream_is_closing");
    return s->t == NULL || rill_transport_is_closing(s->t);
}

int
rill_stream_error(const rill_stream *s)
{
    rill__flow_check(s, "rill_stream_error");
    return s->error == RILL_EABORTED ? 0 : s->error;
}

int
rill_stream_wait_closed(rill_stream *s)
{
    rill__fiber *fiber = rill__current();
    rill__flow_wait self = { .wait = { .what = "rill_stream_wait_closed" } };
    int rc = rill__flow_may_wait(fiber, s, "rill_stream_wait_closed");

    if (rc < 0)
        return rc;
    if (s->t == NULL) {
        rill__spend(fiber);
        return rill_stream_error(s);
    }
    rc = rill__flow_wait_in(s, &s->closers, &self);
    if (rc == 0)
        rc = rill_stream_error(s);
    rill__flow_unpin(s);
    return rc;
}

rill_transport *
rill_stream_transport(const rill_stream *s)
{
    rill__flow_check(s, "rill_stream_transport");
    return s->t;
}
