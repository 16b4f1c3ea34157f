/*
 * What would corrupt memory ends the process with a message that says what to do instead. Each case
 * runs in a child of its own.
 */
#include "child.h"
#include "endpoint.h"

#include <pthread.h>

static harness h;

static endpoint a, b;

static void
open_with_pair(void)
{
    harness_open(&h);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    if (rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL))
        fail();
    harness_settle(&h);
}

static void *
schedule_from_here(void *arg)
{
    (void)arg;
    (void)rill_call_soon(h.loop, NULL, NULL, NULL);
    return NULL;
}

static void *
cancel_from_here(void *arg)
{
    (void)arg;
    (void)rill_cancel(h.loop, 1);
    return NULL;
}

static void *
write_from_here(void *arg)
{
    (void)rill_transport_write(arg, "x", 1);
    return NULL;
}

static void
in_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, fn, arg) == 0)
        pthread_join(thread, NULL);
    rill_loop_stop(h.loop);
}

static void
start_schedule_thread(void *arg)
{
    in_thread(schedule_from_here, arg);
}

static void
start_cancel_thread(void *arg)
{
    in_thread(cancel_from_here, arg);
}

static void
start_write_thread(void *arg)
{
    in_thread(write_from_here, ((endpoint *)arg)->t);
}

static int
schedule_in_wrong_thread(void *arg)
{
    (void)arg;
    harness_open(&h);
    (void)rill_call_soon(h.loop, start_schedule_thread, NULL, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static int
cancel_in_wrong_thread(void *arg)
{
    (void)arg;
    harness_open(&h);
    (void)rill_call_soon(h.loop, start_cancel_thread, NULL, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static int
write_in_wrong_thread(void *arg)
{
    (void)arg;
    open_with_pair();
    (void)rill_call_soon(h.loop, start_write_thread, &a, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static void
test_wrong_thread(void **unused)
{
    (void)unused;
    /* What to do instead is in the message. */
    expect_abort(schedule_in_wrong_thread, NULL, "rill_call_soon_threadsafe");
    expect_abort(cancel_in_wrong_thread, NULL, "thread");
    expect_abort(write_in_wrong_thread, NULL, "thread");
}

static void
set_flag(void *arg)
{
    *(bool *)arg = true;
}

/* Any one thread while the loop does not run: that is allowed. */
static void *
use_the_idle_loop(void *arg)
{
    if (rill_call_soon(h.loop, set_flag, arg, NULL) != 0)
        return NULL;
    (void)rill_loop_step(h.loop, 0);
    return NULL;
}

static void
free_it(void *arg)
{
    (void)arg;
    (void)rill_loop_free(h.loop);
}

static int
free_in_callback(void *arg)
{
    (void)arg;
    harness_open(&h);
    (void)rill_call_soon(h.loop, free_it, NULL, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static void
free_in_lost(endpoint *e)
{
    (void)rill_loop_free(e->h->loop);
}

static int
free_in_its_own_lost(void *arg)
{
    (void)arg;
    open_with_pair();
    a.on_lost = free_in_lost;
    (void)rill_loop_free(h.loop);
    return 0;
}

static void
test_loop_free_in_a_callback(void **unused)
{
    (void)unused;
    expect_abort(free_in_callback, NULL, "rill_loop_free");
    expect_abort(free_in_its_own_lost, NULL, "rill_loop_free");
}

static int
use_the_dead(void *arg)
{
    rill_transport *t;

    (void)arg;
    open_with_pair();
    t = a.t;
    rill_transport_close(t);
    harness_until(&h, endpoint_is_lost, &a);
    harness_settle(&h);
    (void)rill_transport_write(t, "x", 1);
    return 0;
}

static int
close_the_dead(void *arg)
{
    rill_transport *t;

    (void)arg;
    open_with_pair();
    t = a.t;
    rill_transport_abort(t);
    harness_until(&h, endpoint_is_lost, &a);
    harness_settle(&h);
    rill_transport_close(t);
    return 0;
}

static void
test_a_dead_transport_is_caught(void **unused)
{
    (void)unused;
    expect_abort(use_the_dead, NULL, "transport");
    expect_abort(close_the_dead, NULL, "transport");
}

static int
allow_idle_use(void *arg)
{
    pthread_t thread;
    bool ran = false;

    (void)arg;
    harness_open(&h);
    CHILD_CHECK(pthread_create(&thread, NULL, use_the_idle_loop, &ran) == 0);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
    CHILD_CHECK(ran);
    CHILD_CHECK(rill_loop_free(h.loop) == 0);
    return 0;
}

static void
test_an_idle_loop_may_change_threads(void **unused)
{
    child_result result;

    (void)unused;
    child_run(allow_idle_use, NULL, &result);
    if (result.exit_code != 0)
        fail_msg("%s", result.text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_thread),
        cmocka_unit_test(test_loop_free_in_a_callback),
        cmocka_unit_test(test_a_dead_transport_is_caught),
        cmocka_unit_test(test_an_idle_loop_may_change_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
