/*
 * A loop that is being freed: nothing can be begun on it any more, and every call that would begin
 * something says so. There is no loop that is closed and still there: after rill_loop_free its
 * pointer names nothing.
 */
#include "endpoint.h"

#include "child.h"

#include <signal.h>

#include <rill/executor.h>
#include <rill/signal.h>
#include <rill/threads.h>

static harness h;
static bool asked;
static int wrong; /* The line of the first answer that was. */
static rill_cfuture *never_begun;

static void
never(void *unused)
{
    (void)unused;
    fail_msg("it was begun on a loop that is being freed");
}

static int
never_a_task(void *unused)
{
    never(unused);
    return 0;
}

static void
never_a_signal(int signo, void *unused)
{
    (void)signo;
    never(unused);
}

static void
never_done(void *unused, int rc)
{
    (void)rc;
    never(unused);
}

static int
setup(void **unused)
{
    (void)unused;
    asked = false;
    wrong = 0;
    never_begun = NULL;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    rill_cfuture_free(never_begun);
    if (h.loop != NULL)
        harness_close(&h);
    return 0;
}

/* ---- what asks during the end ---- */

/* A failure must not leave rill_loop_free in the middle: it is told later. */
#define expect_code(rc, code)             \
    do {                                  \
        if ((rc) != (code) && wrong == 0) \
            wrong = __LINE__;             \
    } while (0)

static void
begin_callbacks(rill_loop *loop)
{
    rill_id id = 7;

    expect_code(rill_call_soon(loop, never, NULL, &id), RILL_ECLOSED);
    expect_code(rill_call_later(loop, 0, never, NULL, &id), RILL_ECLOSED);
    expect_code(rill_call_at(loop, 0, never, NULL, &id), RILL_ECLOSED);
    expect_code(rill_call_every(loop, RILL_S, never, NULL, &id), RILL_ECLOSED);
    expect_code(rill_call_soon_threadsafe(loop, never, NULL), RILL_ECLOSED);
    expect_code(id == 7, true);
    expect_code(rill_cancel(loop, id), false);
}

static void
begin_tasks(rill_loop *loop)
{
    rill_task *task;
    rill_future *future;
    rill_queue *queue;

    expect_code(rill_spawn_on(loop, never_a_task, NULL, NULL, &task), RILL_ECLOSED);
    expect_code(rill_go(never_a_task, NULL, NULL), RILL_ECLOSED);
    expect_code(rill_future_new(loop, &future), RILL_ECLOSED);
    expect_code(rill_queue_new(loop, NULL, &queue), RILL_ECLOSED);
    expect_code(rill_run_in_executor_start(loop, NULL, never_a_task, NULL, never_done, NULL, NULL),
        RILL_ECLOSED);
    expect_code(rill_add_signal_handler(loop, SIGUSR1, never_a_signal, NULL), RILL_ECLOSED);
    expect_code(rill_remove_signal_handler(loop, SIGUSR1), false);
    expect_code(rill_run(never_a_task, NULL), RILL_EBUSY);
}

static void
begin_connections(rill_loop *loop)
{
    static endpoint e;
    rill_server *server;
    rill_addr addr;

    expect_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    expect_code(rill_create_connection_start(loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &e, NULL, NULL, NULL),
        RILL_ECLOSED);
    expect_code(rill_create_server(loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"),
                    &endpoint_protocol, &e, &server),
        RILL_ECLOSED);
    expect_code(
        rill_create_pair(loop, NULL, &endpoint_protocol, &e, &endpoint_protocol, &e, NULL, NULL),
        RILL_ECLOSED);
}

/* Its task is told to end when the loop is freed, and is the one who asks. */
static int
ask_at_the_end(void *arg)
{
    rill_loop *loop = rill_loop_running();

    RILL_IGNORE(rill_sleep(3600 * RILL_S));
    begin_callbacks(loop);
    begin_tasks(loop);
    begin_connections(loop);
    *(bool *)arg = true;
    return 0;
}

/* mutant: tasks/task.c @ check
 * - if (loop->freeing)
 * + if (false)
 *
 * mutant: core/future.c @ rill_future_new_site
 * - if (loop->freeing)
 * + if (false)
 *
 * mutant: tasks/signal.c @ begin
 * - if (loop->freeing)
 * + if (false) */
static void
test_on_a_loop_that_is_freed_every_call_that_begins_something_is_refused(void **unused)
{
    rill_task *task;

    (void)unused;
    assert_code(rill_spawn_on(h.loop, ask_at_the_end, &asked, NULL, &task), 0);
    harness_settle(&h);
    rill_task_unref(task);
    harness_close_with(&h, 1);
    assert_true(asked);
    assert_int_equal(wrong, 0);
}

/* ---- from other threads, and the end itself ---- */

static int
ask_for_a_task(void *arg)
{
    RILL_IGNORE(rill_sleep(3600 * RILL_S));
    return rill_spawn_threadsafe(
        rill_loop_running(), never_a_task, NULL, NULL, (rill_cfuture **)arg);
}

/* A thread cannot know: it is told by the result.
 *
 * mutant: tasks/threads.c @ start
 * - finish(self, rc == RILL_ECLOSED ? RILL_ESHUTDOWN : rc);
 * + finish(self, rc); */
static void
test_what_a_thread_asks_of_a_loop_that_is_freed_has_a_result_that_says_so(void **unused)
{
    rill_task *task;

    (void)unused;
    assert_code(rill_spawn_on(h.loop, ask_for_a_task, &never_begun, NULL, &task), 0);
    harness_settle(&h);
    rill_task_unref(task);
    harness_close_with(&h, 1);
    assert_non_null(never_begun);
    assert_code(rill_cfuture_wait(never_begun, 0), RILL_ESHUTDOWN);
}

static void
free_it(void *unused)
{
    (void)unused;
    (void)rill_loop_free(h.loop);
}

static int
free_a_running_loop(void *unused)
{
    (void)unused;
    harness_open(&h);
    (void)rill_call_soon(h.loop, free_it, NULL, NULL);
    (void)rill_loop_run(h.loop);
    return 0;
}

static int
free_in_a_task(void *unused)
{
    free_it(unused);
    return 0;
}

static int
free_a_loop_in_its_task(void *unused)
{
    rill_task *task;

    (void)unused;
    harness_open(&h);
    if (rill_spawn_on(h.loop, free_in_a_task, NULL, NULL, &task) == 0)
        (void)rill_loop_run(h.loop);
    return 0;
}

/* Where asyncio's close fails it is too late to go on: the loop that runs is used after.
 *
 * mutant: core/life.c @ rill_loop_free
 * - if (loop->running)
 * + if (false) */
static void
test_a_loop_freed_while_it_runs_ends_the_process_and_freeing_none_is_harmless(void **unused)
{
    (void)unused;
    expect_abort(free_a_running_loop, NULL, "rill_loop_free called while the loop runs");
    expect_abort(free_a_loop_in_its_task, NULL, "rill_loop_free called while the loop runs");
    for (int i = 0; i < 3; i++)
        assert_int_equal(rill_loop_free(NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_on_a_loop_that_is_freed_every_call_that_begins_something_is_refused),
        CASE(test_what_a_thread_asks_of_a_loop_that_is_freed_has_a_result_that_says_so),
        CASE(test_a_loop_freed_while_it_runs_ends_the_process_and_freeing_none_is_harmless),
    };

    return run_cases(tests);
}
