/*
 * Making streams: connecting, in memory, and of a connection that is there already.
 *
 * The stream is made before the attempt, whose connection_made gives it its transport; without one
 * it goes again. A cancel of the task that waits ends the attempt, unless it has just succeeded.
 * Loop thread only.
 */
#include "tasks/stream.h"
#include "transports/internal.h"

typedef struct attempt {
    rill__wait wait;
    rill_id id;
} attempt;

static void
attempt_over(void *arg, rill_transport *t, const rill_reason *why)
{
    attempt *self = arg;
    rill__fiber *fiber = self->wait.fiber;

    if (t == NULL)
        (void)rill__fail(fiber->loop, why->code, why->layer, "%s", why->sentence);
    rill__wake(fiber, t != NULL ? 0 : why->code);
}

static bool
attempt_cancel(rill__wait *wait)
{
    return rill_cancel(wait->fiber->loop, RILL__CONTAINER(wait, attempt, wait)->id);
}

/* `where`: host and port, or path; the options' own are not to be set. */
static int
fill_in(rill_loop *loop, const rill_stream_options *options, rill_connect_options *where)
{
    const rill_connect_options *given = options->connect;
    rill_connect_options all = { .size = sizeof(all) };
    int rc;

    if (given != NULL) {
        rc =
            rill__options_copy(loop, "rill_connect_options", given, given->size, &all, sizeof(all));
        if (rc < 0)
            return rc;
        if (all.host != NULL || all.path != NULL || all.addr != NULL || all.port != 0)
            return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
                "stream: where to connect to is an argument, not in the options");
    }
    all.size = sizeof(all);
    all.host = where->host;
    all.port = where->port;
    all.path = where->path;
    if (options->transport != NULL)
        all.transport = options->transport;
    *where = all;
    return 0;
}

static int
connect_to(rill__fiber *fiber, rill_connect_options *where, rill_stream *s, const char *what)
{
    attempt self = { .wait = { .what = what, .site = s->site, .cancel = attempt_cancel } };
    int rc = rill_create_connection_start_site(
        fiber->loop, where, &rill__flow_protocol, s, attempt_over, &self, s->site, &self.id);

    return rc < 0 ? rc : rill__suspend(fiber, &self.wait);
}

static int
open_to(rill_connect_options *where, const rill_stream_options *options, const char *what,
    const char *site, rill_stream **ret_stream)
{
    rill__fiber *fiber = rill__current();
    rill_stream_options copy;
    rill_stream *s;
    int rc = rill__may_wait(fiber);

    if (rc < 0 || (rc = rill__flow_options(fiber->loop, options, &copy)) < 0 ||
        (rc = fill_in(fiber->loop, &copy, where)) < 0 ||
        (rc = rill__flow_new(fiber->loop, sizeof(*s), copy.limit, site, &s)) < 0)
        return rc;
    rc = connect_to(fiber, where, s, what);
    if (rc < 0) {
        rill_stream_unref(s);
        return rc;
    }
    *ret_stream = s;
    return 0;
}

int
rill_open_connection_site(const char *host, int port, const rill_stream_options *options,
    const char *site, rill_stream **ret_stream)
{
    rill_connect_options where = { .host = host, .port = port };

    RILL__REQUIRE(host != NULL && ret_stream != NULL);
    return open_to(&where, options, "rill_open_connection", site, ret_stream);
}

int
rill_open_unix_connection_site(const char *path, const rill_stream_options *options,
    const char *site, rill_stream **ret_stream)
{
    rill_connect_options where = { .path = path };

    RILL__REQUIRE(path != NULL && ret_stream != NULL);
    return open_to(&where, options, "rill_open_unix_connection", site, ret_stream);
}

/* ---- in memory ---- */

/* Until both sides are made, in the next turn. */
typedef struct birth {
    rill__wait wait;
    rill_stream *streams[2];
    size_t made;
} birth;

static void
birth_made(rill_transport *t, void *self, void *arg)
{
    birth *b = self;
    rill_stream *s = b->streams[b->made++];

    (void)arg;
    (void)rill_transport_set_protocol(t, &rill__flow_protocol, s); /* No state: no memory. */
    rill__flow_take_over(s, t);
    if (b->made == 2)
        rill__wake(b->wait.fiber, 0);
}

static const rill_protocol birth_protocol = RILL_PROTOCOL(.connection_made = birth_made);

static int
make_pair(rill__fiber *fiber, const rill_transport_options *options, birth *b)
{
    int rc = rill_create_pair_site(
        fiber->loop, options, &birth_protocol, b, &birth_protocol, b, b->wait.site, NULL, NULL);

    return rc < 0 ? rc : rill__suspend(fiber, &b->wait);
}

int
rill_stream_pair_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_a, rill_stream **ret_b)
{
    rill__fiber *fiber = rill__current();
    birth b = { .wait = { .what = "rill_stream_pair", .site = site } };
    rill_stream_options copy;
    int rc;

    RILL__REQUIRE(ret_a != NULL && ret_b != NULL);
    rc = rill__may_wait(fiber);
    if (rc < 0 || (rc = rill__flow_options(fiber->loop, options, &copy)) < 0)
        return rc;
    for (size_t i = 0; i < 2 && rc == 0; i++)
        rc = rill__flow_new(fiber->loop, sizeof(rill_stream), copy.limit, site, &b.streams[i]);
    if (rc == 0)
        rc = make_pair(fiber, copy.transport, &b);
    if (rc < 0) {
        rill_stream_unref(b.streams[0]);
        rill_stream_unref(b.streams[1]);
        return rc;
    }
    *ret_a = b.streams[0];
    *ret_b = b.streams[1];
    return 0;
}

/* ---- of a connection ---- */

int
rill_stream_attach_site(rill_transport *t, const rill_stream_options *options, const char *site,
    rill_stream **ret_stream)
{
    rill_stream_options copy;
    rill_stream *s;
    int rc;

    RILL__REQUIRE(t != NULL && ret_stream != NULL);
    rill__check_live(t, "rill_stream_attach");
    if (t->phase != RILL__PHASE_OPEN)
        return t->phase == RILL__PHASE_NEW ? RILL_ESTATE : RILL_ECLOSED;
    if (t->protocol->pause_writing == rill__flow_pause)
        return RILL_EBUSY; /* A stream has it, which would never hear of its end. */
    if ((rc = rill__flow_options(t->loop, options, &copy)) < 0 ||
        (rc = rill__flow_new(t->loop, sizeof(*s), copy.limit, site, &s)) < 0)
        return rc;
    (void)rill_transport_set_protocol(t, &rill__flow_protocol, s); /* No state: no memory. */
    rill__flow_take_over(s, t);
    s->eof = t->eof_received;
    s->paused = t->writing_paused;
    s->reading_paused = t->reading_paused;
    *ret_stream = s;
    return 0;
}
