/*
 * Pairs of streams, and tasks that make one call on them.
 */
#include "streams.h"

enum { KEPT_MAX = 64 };

static rill_stream *kept[KEPT_MAX];
static jmp_buf way_out; /* Of the one task that streams_run_task runs. */
static rill_task *runs;

typedef struct job {
    rill_fn fn;
    void *arg;
} job;

static void
give_back_all(void)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (kept[i] != NULL) {
            rill_stream_close(kept[i]);
            rill_stream_unref(kept[i]);
        }
        kept[i] = NULL;
    }
}

static int
run_job(void *arg)
{
    const job *self = arg;
    int rc;

    runs = rill_current_task();
    if (setjmp(way_out) == 0)
        return self->fn(self->arg);
    rc = rill_task_cancelling(rill_current_task()) > 0 ? RILL_ECANCELED : 0;
    give_back_all();
    return rc;
}

int
streams_run_task(harness *h, rill_fn fn, void *arg)
{
    static job self; /* It outlives a test that has failed. */

    memset(kept, 0, sizeof(kept));
    self = (job){ fn, arg };
    return tasks_run(h, run_job, &self);
}

int
streams_must_(int rc, const char *what, const char *file, int line)
{
    if (rc == RILL_ECANCELED && rill_current_task() == runs)
        longjmp(way_out, 1);
    assert_code_(rc < 0 ? rc : 0, 0, what, file, line);
    return rc;
}

rill_stream *
streams_keep(rill_stream *s)
{
    size_t i = 0;

    while (kept[i] != NULL)
        i++;
    assert_true(i < KEPT_MAX);
    kept[i] = s;
    return s;
}

void
streams_hang_up(rill_stream *s)
{
    for (size_t i = 0; i < KEPT_MAX; i++)
        kept[i] = kept[i] == s ? NULL : kept[i];
    rill_stream_close(s);
    RILL_IGNORE(rill_stream_wait_closed(s));
    rill_stream_unref(s);
}

typedef struct run {
    bool tcp;
    const rill_stream_options *options;
    streams_fn fn;
    rill_stream *accepted;
} run;

static void
accept_stream(rill_transport *t, void *self, void *arg)
{
    run *r = arg;
    int rc;

    (void)self;
    rc = rill_stream_attach(t, r->options, &r->accepted);
    if (rc < 0)
        rill_transport_abort(t);
}

/* Both ends as streams of ours: a server's connection is made one in its connection_made. */
static int
connect_tcp(run *r, rill_stream **ret_a)
{
    static const rill_protocol protocol = RILL_PROTOCOL(.connection_made = accept_stream);
    rill_server *server;
    rill_addr addr;
    int rc;

    RILL_TRY(rill_create_server(rill_loop_running(),
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1",
            .transport = r->options != NULL ? r->options->transport : NULL),
        &protocol, r, &server));
    rc = rill_server_sockname(server, 0, &addr);
    if (rc == 0)
        rc = rill_open_connection("127.0.0.1", rill_addr_port(&addr), r->options, ret_a);
    while (rc == 0 && r->accepted == NULL)
        rc = rill_sleep(RILL_MS);
    rill_server_close(server);
    return rc;
}

static void
finish(rill_stream *s)
{
    if (s == NULL)
        return;
    rill_stream_abort(s);
    streams_hang_up(s);
}

static int
run_streams(void *arg)
{
    run *r = arg;
    rill_stream *a = NULL;
    rill_stream *b = NULL;
    int rc;

    if (r->tcp) {
        rc = connect_tcp(r, &a);
        b = r->accepted;
    } else {
        rc = rill_stream_pair(r->options, &a, &b);
    }
    if (rc == 0)
        r->fn(streams_keep(a), streams_keep(b));
    finish(a);
    finish(b);
    return rc;
}

void
streams_run(harness *h, bool tcp, const rill_stream_options *options, streams_fn fn)
{
    static run r;

    r = (run){ .tcp = tcp, .options = options, .fn = fn };
    assert_code(streams_run_task(h, run_streams, &r), 0);
}

void
streams_say(rill_stream *from, const char *text)
{
    assert_true(rill_stream_write_nowait(from, text, strlen(text)) >= 0);
}

void
streams_await(rill_stream *to, size_t len)
{
    rill_slice seen;

    assert_true(streams_must((int)rill_stream_peek(to, len, &seen)) >= (int)len);
}

void
streams_expect(rill_slice seen, const char *text)
{
    assert_int_equal(seen.len, strlen(text));
    if (seen.len != 0)
        assert_memory_equal(seen.data, text, seen.len);
}

void
streams_turns(size_t count)
{
    while (count-- > 0)
        (void)streams_must(rill_yield());
}

/* ---- callers ---- */

static int
run_caller(void *arg)
{
    caller *self = arg;

    self->result = self->call(self);
    self->done = true;
    return 0;
}

void
caller_start(caller *self)
{
    self->done = false;
    assert_code(rill_spawn(run_caller, self, NULL, &self->task), 0);
    streams_turns(3);
}

int64_t
caller_join(caller *self)
{
    if (streams_must(rill_join(self->task)) == 0)
        assert_true(self->done);
    return self->result;
}

int64_t
call_read(caller *self)
{
    return rill_stream_read(self->stream, self->buf, self->size);
}

int64_t
call_read_exactly(caller *self)
{
    return rill_stream_read_exactly(self->stream, self->buf, self->size, NULL);
}

int64_t
call_readline(caller *self)
{
    return rill_stream_readline(self->stream, &self->slice);
}

int64_t
call_peek(caller *self)
{
    return rill_stream_peek(self->stream, self->size, &self->slice);
}

int64_t
call_read_all(caller *self)
{
    return rill_stream_read_all(self->stream, self->size, &self->slice);
}

int64_t
call_write(caller *self)
{
    return rill_stream_write(self->stream, self->data, self->size);
}

int64_t
call_drain(caller *self)
{
    return rill_stream_drain(self->stream);
}

int64_t
call_flush(caller *self)
{
    return rill_stream_flush(self->stream);
}

int64_t
call_wait_closed(caller *self)
{
    return rill_stream_wait_closed(self->stream);
}
