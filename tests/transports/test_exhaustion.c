/*
 * A server without descriptors or memory: it does not spin, tells it once an episode, and serves
 * who waited within a second of relief. Not under Valgrind: its accept takes a connection off the
 * backlog and closes it before it says EMFILE, so that nobody waits any more.
 */
/* drivers: epoll uring */
/* valgrind: no */
#include "peer.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#define FEW 128

static harness h;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;
static struct rlimit plenty;
static int taken[FEW];
static size_t taken_count;

static void
take_all_descriptors(void)
{
    int fd;

    while ((fd = dup(0)) >= 0)
        taken[taken_count++] = fd;
    assert_int_equal(errno, EMFILE);
}

static void
give_them_back(void)
{
    while (taken_count > 0)
        (void)close(taken[--taken_count]);
}

/* An accept that io_uring has in flight keeps the limit of the time when it was asked for: the
 * limit stays as it is during a test, and descriptors are used up. */
static int
setup(void **unused)
{
    struct rlimit few;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &plenty), 0);
    few = plenty;
    few.rlim_cur = FEW;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    harness_open(&h);
    harness_catch_reports(&h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.echo = true;
    harness_settle(&h);
    (void)rill_loop_backend_fd(h.loop); /* Made while it can be: the harness waits for it. */
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    give_them_back();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &plenty), 0);
    if (server != NULL)
        end_server(&h, &accepted, server);
    harness_close(&h);
    return 0;
}

static rill_server_stats
stats(void)
{
    rill_server_stats s = { .size = sizeof(s) };

    rill_server_get_stats(server, &s);
    return s;
}

static uint64_t
turns(void)
{
    rill_loop_stats s = { .size = sizeof(s) };

    rill_loop_get_stats(h.loop, &s);
    return s.turns;
}

static bool
was_reported(void *unused)
{
    (void)unused;
    return h.reports > 0;
}

/* One episode with a waiting client; it is served after the relief. */
static void
run_episode(void)
{
    static peer waiting;
    size_t reports = h.reports;
    uint64_t exhausted = stats().exhausted, before;
    size_t made = accepted.made;
    rill_ns relief;

    peer_connect_start(&waiting, &h, &addr);
    take_all_descriptors();
    h.reports = 0;
    harness_until(&h, was_reported, NULL);
    assert_int_equal(h.report_kind, RILL_ERROR_ACCEPT);
    assert_code(h.report_code, -EMFILE);
    assert_ptr_equal(h.report_server, server);
    assert_contains(h.report_message, "127.0.0.1");
    assert_int_equal(stats().exhausted, exhausted + 1);

    before = turns();
    harness_run_for(&h, 500 * RILL_MS);
    assert_true(turns() - before <= 25); /* It rests: at most ten tries a second. */
    assert_int_equal(h.reports, 1);      /* Once an episode. */
    assert_int_equal(stats().exhausted, exhausted + 1);
    assert_true(rill_server_is_serving(server));

    give_them_back();
    relief = rill_loop_time(h.loop);
    acceptor_await(&accepted, made + 1);
    assert_true(rill_loop_time(h.loop) - relief <= RILL_S);
    peer_send(&waiting, "at last", 7);
    peer_await(&waiting, 7);
    peer_close(&waiting);
    harness_until(&h, acceptor_is_empty, &accepted);
    h.reports += reports;
}

static void
test_who_waited_is_served(void **unused)
{
    (void)unused;
    run_episode();
}

static void
test_each_episode_is_told(void **unused)
{
    (void)unused;
    run_episode();
    /* Served in between: that ended the episode. */
    run_episode();
    assert_int_equal(h.reports, 2);
}

static void
test_connections_go_on_meanwhile(void **unused)
{
    static peer old, waiting;

    (void)unused;
    peer_connect(&old, &h, &addr);
    acceptor_await(&accepted, 1);
    peer_connect_start(&waiting, &h, &addr);
    take_all_descriptors();
    harness_until(&h, was_reported, NULL);
    for (uint64_t i = 1; i <= 20; i++) {
        peer_send(&old, "0123456789", 10);
        peer_await(&old, i * 10);
    }
    assert_int_equal(accepted.made, 1);
    peer_close(&waiting);
    give_them_back();
    harness_run_for(&h, 300 * RILL_MS);
    peer_close(&old);
    harness_until(&h, acceptor_is_empty, &accepted);
}

static void
test_close_in_an_episode(void **unused)
{
    static peer waiting;

    (void)unused;
    peer_connect_start(&waiting, &h, &addr);
    take_all_descriptors();
    harness_until(&h, was_reported, NULL);
    rill_server_close(server);
    server = NULL;
    harness_run_for(&h, 300 * RILL_MS); /* Past the retry, which must not touch the dead. */
    give_them_back();
    harness_until(&h, peer_has_end, &waiting);
    peer_close(&waiting);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
}

static void
test_connect_without_descriptors(void **unused)
{
    endpoint client;

    (void)unused;
    endpoint_init(&client, &h);
    take_all_descriptors();
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &client, endpoint_connected, &client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -EMFILE);
    assert_contains(client.connected_sentence, "127.0.0.1");
    assert_false(client.made);
    give_them_back();
}

static void
test_listen_without_descriptors(void **unused)
{
    static const char *const hosts[] = { "127.0.0.1", "127.0.0.2", "127.0.0.3", NULL };
    struct rlimit tight = plenty;
    size_t descriptors = descriptor_count();

    (void)unused;
    for (rlim_t spare = 0; spare < 3; spare++) {
        rill_server *none = NULL;
        int top = dup(0);

        close(top);
        tight.rlim_cur = (rlim_t)top + spare;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        assert_code(rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.hosts = hosts),
                        &acceptor_protocol, &accepted, &none),
            -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &plenty), 0);
        assert_null(none);
        assert_int_equal(descriptor_count(), descriptors);
    }
}

/* Memory instead of descriptors: by tag, so that the server itself can breathe. */
static void
test_accept_without_memory(void **unused)
{
    static peer p;
    size_t made = accepted.made;

    (void)unused;
    h.allocator.fail_tag = RILL_TAG_TRANSPORT;
    allocator_fail(&h.allocator, 1, true);
    peer_connect_start(&p, &h, &addr);
    harness_run_for(&h, 50 * RILL_MS);
    assert_int_equal(accepted.made, made);
    allocator_heal(&h.allocator);
    h.allocator.fail_tag = RILL_TAG_COUNT;
    peer_close(&p);
    harness_run_for(&h, 300 * RILL_MS);
    harness_until(&h, acceptor_is_empty, &accepted);
    made = accepted.made;
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, made + 1);
    assert_true(stats().failed + stats().exhausted >= 1);
    peer_close(&p);
    harness_until(&h, acceptor_is_empty, &accepted);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_who_waited_is_served),
        CASE(test_each_episode_is_told),
        CASE(test_connections_go_on_meanwhile),
        CASE(test_close_in_an_episode),
        CASE(test_connect_without_descriptors),
        CASE(test_listen_without_descriptors),
        CASE(test_accept_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
