/*
 * A loop and fork: the child is told that the loop is its parent's, makes one of its own, and the
 * parent's goes on undisturbed.
 */
#include "child.h"
#include "endpoint.h"

#include <signal.h>

static harness h;
static acceptor server;
static endpoint client;
static size_t parent_runs;

static void
count_run(void *arg)
{
    (void)arg;
    parent_runs++;
}

static int
use_the_parents_loop(void *arg)
{
    rill_id id = 0;

    (void)arg;
    CHILD_CHECK(rill_loop_running() == NULL);
    CHILD_CHECK(rill_call_soon(h.loop, count_run, NULL, &id) == RILL_EFORK);
    CHILD_CHECK(rill_call_later(h.loop, 1, count_run, NULL, &id) == RILL_EFORK);
    CHILD_CHECK(rill_call_at(h.loop, 1, count_run, NULL, &id) == RILL_EFORK);
    CHILD_CHECK(rill_call_every(h.loop, RILL_S, count_run, NULL, &id) == RILL_EFORK);
    CHILD_CHECK(rill_call_soon_threadsafe(h.loop, count_run, NULL) == RILL_EFORK);
    CHILD_CHECK(rill_loop_run(h.loop) == RILL_EFORK);
    CHILD_CHECK(rill_loop_run_until(h.loop, 0) == RILL_EFORK);
    CHILD_CHECK(rill_loop_step(h.loop, 0) == RILL_EFORK);
    CHILD_CHECK(id == 0);
    CHILD_CHECK(parent_runs == 0);
    return 0;
}

static int
make_an_own_loop(void *arg)
{
    harness own;
    endpoint mine;
    static acceptor serving;

    (void)arg;
    harness_open(&own);
    tcp_pair(&own, NULL, &serving, &mine);
    serving.ends[0].echo = true;
    CHILD_CHECK(rill_transport_write(mine.t, "hello", 5) == 1);
    endpoint_await(&mine, 5);
    rill_transport_close(mine.t);
    harness_until(&own, acceptor_is_empty, &serving);
    harness_until(&own, endpoint_is_lost, &mine);
    harness_close(&own);
    return 0;
}

/* The child may free what it inherited: its copies of the descriptors go, the parent's stay, and so
 * does what the parent has registered with the poller that both share. */
static int
free_the_parents_loop(void *arg)
{
    (void)arg;
    (void)rill_loop_free(h.loop);
    return 0;
}

static int
setup(void **unused)
{
    (void)unused;
    parent_runs = 0;
    harness_open(&h);
    tcp_pair(&h, NULL, &server, &client);
    server.ends[0].echo = true;
    harness_settle(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    /* The parent's connection works as before. */
    assert_int_equal(rill_transport_write(client.t, "0123456789", 10), 1);
    endpoint_await(&client, 10);
    rill_transport_close(client.t);
    harness_until(&h, acceptor_is_empty, &server);
    harness_until(&h, endpoint_is_lost, &client);
    assert_string_equal(client.tape, "made data(10) lost(0)");
    harness_close(&h);
    return 0;
}

static void
expect_good_child(int (*fn)(void *arg))
{
    child_result result;

    child_run(fn, NULL, &result);
    if (result.exit_code != 0)
        fail_msg("exit code %d, signal %d: %s", result.exit_code, result.signal, result.text);
}

static void
test_the_child_is_told(void **unused)
{
    (void)unused;
    assert_code(rill_call_soon(h.loop, count_run, NULL, NULL), 0);
    expect_good_child(use_the_parents_loop);
    assert_int_equal(harness_turn(&h), 1);
    assert_int_equal(parent_runs, 1);
}

static void
test_the_child_makes_its_own(void **unused)
{
    (void)unused;
    expect_good_child(make_an_own_loop);
}

static void
test_the_child_frees_its_copy(void **unused)
{
    (void)unused;
    expect_good_child(free_the_parents_loop);
    harness_settle(&h);
    assert_false(client.lost || server.ends[0].lost);
}

static bool forked_inside;

static void
fork_inside(void *arg)
{
    (void)arg;
    expect_good_child(use_the_parents_loop);
    forked_inside = true;
}

static void
test_fork_in_a_callback(void **unused)
{
    (void)unused;
    forked_inside = false;
    assert_code(rill_call_soon(h.loop, fork_inside, NULL, NULL), 0);
    harness_until(&h, flag_is_set, &forked_inside);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_child_is_told),
        CASE(test_the_child_makes_its_own),
        CASE(test_the_child_frees_its_copy),
        CASE(test_fork_in_a_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
