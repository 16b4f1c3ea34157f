/*
 * Opening streams: what comes of it when nobody listens, when it is canceled at any time, and when
 * it takes too long; pairs; and connections that become streams.
 */
#include "endpoint.h"
#include "streams.h"

#include <errno.h>

static harness h;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    rill_server_abort_clients(server);
    rill_server_close(server);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

#define CONNECT_TEST(name)                         \
    static void test_##name(void **unused)         \
    {                                              \
        (void)unused;                              \
        assert_code(tasks_run(&h, name, NULL), 0); \
    }

static int
open_stream(const rill_stream_options *options, rill_stream **ret_stream)
{
    return rill_open_connection("127.0.0.1", rill_addr_port(&addr), options, ret_stream);
}

static void
hang_up(rill_stream *s)
{
    rill_stream_close(s);
    RILL_IGNORE(rill_stream_wait_closed(s));
    rill_stream_unref(s);
}

/* ---- connecting ---- */

static int
an_opened_stream_is_connected(void *unused)
{
    rill_stream *s;
    rill_addr peer;

    (void)unused;
    RILL_TRY(open_stream(NULL, &s));
    RILL_TRY(rill_transport_peername(rill_stream_transport(s), &peer));
    assert_true(rill_addr_equal(&peer, &addr));
    assert_false(rill_stream_is_closing(s));
    hang_up(s);
    return 0;
}
/* mutant: tasks/stream.c @ rill__flow_made
 * - s->t = t; */
CONNECT_TEST(an_opened_stream_is_connected)

static int
nobody_listens(void *unused)
{
    rill_stream *s = NULL;
    rill_addr gone = addr;

    (void)unused;
    rill_server_close(server);
    RILL_TRY(rill_sleep(10 * RILL_MS));
    assert_code(rill_open_connection("127.0.0.1", rill_addr_port(&gone), NULL, &s), -ECONNREFUSED);
    expect_last_error(&h, -ECONNREFUSED, "connect to 127.0.0.1:");
    assert_null(s);
    server = NULL;
    return 0;
}

/* mutant: tasks/stream_open.c
 * - (void)rill__fail(fiber->loop, why->code, why->layer, "%s", why->sentence);
 * + ; */
static void
test_a_refused_connection_has_its_reason(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, nobody_listens, NULL), 0);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
}

static int
wrong_arguments_open_nothing(void *unused)
{
    static const rill_connect_options elsewhere = { .size = sizeof(elsewhere), .host = "::1" };
    static const rill_connect_options plain = { .size = sizeof(plain) };
    static const rill_transport_options transport = { .size = sizeof(transport) };
    rill_stream *s = NULL;

    (void)unused;
    assert_code(rill_open_connection(NULL, 1, NULL, &s), RILL_EINVAL);
    assert_code(rill_open_connection("127.0.0.1", 0, NULL, &s), RILL_EINVAL);
    assert_code(rill_open_connection("127.0.0.1", 1, NULL, NULL), RILL_EINVAL);
    assert_code(rill_open_connection("not an address", 1, NULL, &s), RILL_EADDRESS);
    assert_code(rill_open_unix_connection(NULL, NULL, &s), RILL_EINVAL);
    assert_code(rill_open_unix_connection("", NULL, &s), RILL_EINVAL);
    assert_code(open_stream(RILL_STREAM_OPTIONS(.connect = &elsewhere), &s), RILL_EINVAL);
    assert_code(open_stream(RILL_STREAM_OPTIONS(.connect = &plain, .transport = &transport), &s),
        RILL_EINVAL);
    assert_code(open_stream(&(rill_stream_options){ 0 }, &s), RILL_EINVAL);
    assert_null(s);
    return 0;
}
/* mutant: tasks/stream_open.c
 * - if (all.host != NULL || all.path != NULL || all.addr != NULL || all.port != 0)
 * + if (all.path != NULL || all.addr != NULL || all.port != 0) */
CONNECT_TEST(wrong_arguments_open_nothing)

static int
options_reach_the_transport(void *unused)
{
    static const rill_transport_options marks = { .size = sizeof(marks), .write_high = 12345 };
    static const rill_connect_options connect = { .size = sizeof(connect), .transport = &marks };
    const rill_stream_options *both[] = { RILL_STREAM_OPTIONS(.transport = &marks),
        RILL_STREAM_OPTIONS(.connect = &connect) };
    size_t high;
    size_t low;

    (void)unused;
    for (int i = 0; i < 2; i++) {
        rill_stream *s;

        RILL_TRY(open_stream(both[i], &s));
        rill_transport_get_write_limits(rill_stream_transport(s), &high, &low);
        assert_int_equal(high, 12345);
        hang_up(s);
    }
    return 0;
}
/* mutant: tasks/stream_open.c
 * - all.transport = options->transport;
 * + ; */
CONNECT_TEST(options_reach_the_transport)

typedef struct opening {
    rill_stream *stream;
    int code;
} opening;

static int
open_it(void *arg)
{
    opening *self = arg;

    self->code = open_stream(NULL, &self->stream);
    return 0;
}

/* After any number of turns: either there is no stream, or it is whole and the caller's. */
static int
a_cancel_at_any_time_leaves_nothing(void *unused)
{
    unsigned ended = 0;
    unsigned opened = 0;

    (void)unused;
    for (size_t turns = 0; turns < 12; turns++) {
        opening self = { .code = 1 };
        rill_task *task;

        RILL_TRY(rill_spawn(open_it, &self, NULL, &task));
        streams_turns(turns);
        (void)rill_task_cancel(task, NULL);
        assert_code(rill_join(task), 0);
        assert_true(self.code == RILL_ECANCELED || self.code == 0);
        assert_true((self.code == 0) == (self.stream != NULL));
        ended += self.code == RILL_ECANCELED;
        opened += self.code == 0;
        if (self.stream != NULL)
            hang_up(self.stream);
    }
    assert_true(ended >= 2);
    (void)opened; /* How many turns a connect takes is the driver's. */
    return 0;
}
/* mutant: tasks/stream_open.c @ open_to
 * - rill_stream_unref(s); */
CONNECT_TEST(a_cancel_at_any_time_leaves_nothing)

static int
canceled_before(void *unused)
{
    rill_stream *s = NULL;
    rill_stream *t = NULL;

    (void)unused;
    assert_true(rill_task_cancel(rill_current_task(), NULL));
    assert_code(open_stream(NULL, &s), RILL_ECANCELED);
    assert_code(rill_stream_pair(NULL, &s, &t), RILL_ECANCELED);
    assert_null(s);
    assert_int_equal(accepted.made, 0);
    return 0;
}
/* mutant: tasks/stream_open.c @ open_to
 * - int rc = rill__may_wait(fiber);
 * + int rc = 0; */
CONNECT_TEST(canceled_before)

/* The attempt's own time, and a scope's. */
static int
an_attempt_has_an_end(void *unused)
{
    static const rill_connect_options brief = { .size = sizeof(brief), .timeout = 20 * RILL_MS };
    rill_scope limit;
    rill_stream *s = NULL;
    rill_addr deaf;
    int port;

    (void)unused;
    deaf_begin(&h, &deaf);
    port = rill_addr_port(&deaf);
    assert_code(rill_open_connection("127.0.0.1", port, RILL_STREAM_OPTIONS(.connect = &brief), &s),
        RILL_ETIMEDOUT);
    rill_timeout_begin(&limit, 20 * RILL_MS);
    assert_code(
        rill_scope_end(&limit, rill_open_connection("127.0.0.1", port, NULL, &s)), RILL_ETIMEDOUT);
    deaf_end();
    rill_timeout_begin(&limit, 0);
    assert_code(rill_scope_end(&limit, open_stream(NULL, &s)), RILL_ETIMEDOUT);
    assert_null(s);
    return 0;
}
/* The given options are left out.
 *
 * mutant: tasks/stream_open.c
 * - rill__options_copy(loop, "rill_connect_options", given, given->size, &all, sizeof(all));
 * + 0; */
CONNECT_TEST(an_attempt_has_an_end)

/* mutant: tasks/stream_open.c @ open_to
 * - int rc = rill__may_wait(fiber);
 * + int rc = fiber == NULL ? RILL_ESTATE : rill__may_wait(fiber); */
static void
test_outside_of_tasks_nothing_opens(void **unused)
{
    rill_stream *s = NULL;
    rill_stream *t = NULL;

    (void)unused;
    assert_code(open_stream(NULL, &s), RILL_ENOTASK);
    assert_code(rill_open_unix_connection("@x", NULL, &s), RILL_ENOTASK);
    assert_code(rill_stream_pair(NULL, &s, &t), RILL_ENOTASK);
    assert_null(s);
}

/* ---- pairs ---- */

static int
a_pair_is_connected(void *unused)
{
    rill_stream *a;
    rill_stream *b;
    char buf[8];

    (void)unused;
    assert_code(rill_stream_pair(NULL, NULL, &b), RILL_EINVAL);
    assert_code(rill_stream_pair(RILL_STREAM_OPTIONS(.limit = SIZE_MAX), &a, &b), RILL_EINVAL);
    RILL_TRY(rill_stream_pair(NULL, &a, &b));
    streams_say(a, "to b");
    streams_say(b, "to a");
    assert_int_equal(rill_stream_read(a, buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "to a", 4);
    assert_int_equal(rill_stream_read(b, buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "to b", 4);
    hang_up(a);
    hang_up(b);
    return 0;
}
/* The first stream for both.
 *
 * mutant: tasks/stream_open.c
 * - rill_stream *s = b->streams[b->made++];
 * + rill_stream *s = b->streams[b->made++ & 0]; */
CONNECT_TEST(a_pair_is_connected)

/* ---- what was another protocol's ---- */

static rill_stream *upgraded;

static void
upgrade(endpoint *e, rill_slice in)
{
    if (in.data[in.len - 1] != '!')
        return;
    assert_code(rill_stream_attach(e->t, NULL, &upgraded), 0);
    e->lost = true; /* It gets no further callback. */
    accepted.lost++;
    e->t = NULL;
}

static int
a_connection_becomes_a_stream(void *unused)
{
    rill_stream *s;
    char buf[8];

    (void)unused;
    upgraded = NULL;
    accepted.like.on_data = upgrade;
    RILL_TRY(open_stream(NULL, &s));
    streams_say(s, "upgrade!");
    while (upgraded == NULL)
        RILL_TRY(rill_sleep(RILL_MS));
    streams_say(s, "task");
    assert_int_equal(rill_stream_read_exactly(upgraded, buf, 4, NULL), 4);
    assert_memory_equal(buf, "task", 4);
    hang_up(upgraded);
    hang_up(s);
    return 0;
}
/* mutant: tasks/stream_open.c @ rill_stream_attach_site
 * - (void)rill_transport_set_protocol(t, &rill__flow_protocol, s); */
CONNECT_TEST(a_connection_becomes_a_stream)

static void
wait_for_end(endpoint *e)
{
    rill_transport_pause_reading(e->t);
}

static int
attached_it_goes_on_as_it_was(void *unused)
{
    rill_stream *late;
    rill_stream *s;
    char buf[8];

    (void)unused;
    accepted.like.on_made = wait_for_end;
    RILL_TRY(open_stream(NULL, &s));
    streams_say(s, "unread");
    while (accepted.made == 0)
        RILL_TRY(rill_sleep(RILL_MS));
    assert_code(rill_stream_attach(NULL, NULL, &late), RILL_EINVAL);
    RILL_TRY(rill_stream_attach(accepted.ends[0].t, NULL, &late));
    accepted.ends[0].t = NULL;
    accepted.ends[0].lost = true;
    accepted.lost++;
    RILL_TRY(rill_sleep(5 * RILL_MS));
    assert_int_equal(rill_stream_buffered(late, NULL), 0);
    assert_int_equal(rill_stream_read_exactly(late, buf, 6, NULL), 6);
    hang_up(late);
    hang_up(s);
    return 0;
}
/* mutant: tasks/stream_open.c
 * - s->reading_paused = t->reading_paused; */
CONNECT_TEST(attached_it_goes_on_as_it_was)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_opened_stream_is_connected),
        CASE(test_a_refused_connection_has_its_reason),
        CASE(test_wrong_arguments_open_nothing),
        CASE(test_options_reach_the_transport),
        CASE(test_a_cancel_at_any_time_leaves_nothing),
        CASE(test_canceled_before),
        CASE_ON("kernel", test_an_attempt_has_an_end),
        CASE(test_outside_of_tasks_nothing_opens),
        CASE(test_a_pair_is_connected),
        CASE(test_a_connection_becomes_a_stream),
        CASE(test_attached_it_goes_on_as_it_was),
    };

    return run_cases(tests);
}
