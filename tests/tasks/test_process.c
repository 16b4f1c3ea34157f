/*
 * Processes for tasks: waiting, talking, stopping, and that nothing is left of them.
 */
/* timeout: 120 */
#include "shell.h"
#include "tasks.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define PIPE               \
    {                      \
        RILL_STDIO_PIPE, 0 \
    }
#define OPTIONS(...) &RILL_PROCESS_OPTIONS(__VA_ARGS__)
#define BIG          ((size_t)3 * 1024 * 1024)

static shell s;

static int
setup(void **unused)
{
    (void)unused;
    shell_open(&s);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_settle(&s.h); /* What was closed last is closed. */
    shell_close(&s);
    return 0;
}

static rill_process *
started(const char *command, const rill_process_options *options)
{
    rill_process *p = NULL;

    assert_code(rill_process_shell(command, options, &p), 0);
    return p;
}

/* ---- waiting ---- */

static int
wait_twice(void *unused)
{
    rill_process *p = started("exit 7", NULL);
    int code = -1;

    (void)unused;
    assert_true(rill_process_pid(p) > 0);
    assert_code(rill_process_returncode(p, &code), RILL_ESTATE);
    assert_code(rill_process_wait(p, &code), 0);
    assert_int_equal(code, 7);
    assert_code(rill_process_wait(p, NULL), 0);
    assert_code(rill_process_returncode(p, &code), 0);
    assert_int_equal(code, 7);
    assert_code(rill_process_kill(p), -ESRCH);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ on_exited
 * - p->exited = true; */
static void
test_wait_gives_the_code_as_often_as_asked(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, wait_twice, NULL), 0);
}

static int waits_done;

static int
wait_one(void *process)
{
    int code = -1;
    int rc = rill_process_wait(process, &code);

    assert_int_equal(code, 3);
    waits_done++;
    return rc;
}

static int
wait_in_ten(void *unused)
{
    rill_process *p = started("sleep 0.1; exit 3", NULL);
    rill_group group;
    int rc = 0;

    (void)unused;
    waits_done = 0;
    rill_group_begin(&group);
    for (int i = 0; i < 10 && rc >= 0; i++)
        rc = rill_group_spawn(&group, wait_one, p, NULL);
    rc = rill_group_end(&group, rc);
    rill_process_unref(p);
    return rc;
}

/* mutant: tasks/process.c @ on_exited
 * - rill__flow_wake_all(&p->waiters, 0);
 * + rill__flow_wake_all(&p->waiters, RILL_EREAPED); */
static void
test_many_may_wait(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, wait_in_ten, NULL), 0);
    assert_int_equal(waits_done, 10);
}

static int
give_up_waiting(void *unused)
{
    rill_process *p = started("exec sleep 100", NULL);
    int code = 42;
    int rc;

    (void)unused;
    RILL_TIMEOUT(rc, 50 * RILL_MS)
    rc = rill_process_wait(p, &code);
    assert_code(rc, RILL_ETIMEDOUT);
    assert_int_equal(code, 42);
    assert_code(rill_process_kill(p), 0);
    assert_code(rill_process_wait(p, &code), 0);
    assert_int_equal(code, -SIGKILL);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ rill_process_wait
 * - rc = rill__flow_wait_for(fiber, &process->waiters, &self);
 * + rc = process->reason; */
static void
test_a_wait_that_is_canceled_leaves_the_process(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, give_up_waiting, NULL), 0);
}

static int
wait_with_unread_output(void *unused)
{
    rill_process *p = started("echo much; exit 2", OPTIONS(.out = PIPE));
    rill_slice line;
    int code;

    (void)unused;
    assert_code(rill_process_wait(p, &code), 0); /* asyncio would wait for the reader here. */
    assert_int_equal(code, 2);
    assert_int_equal(rill_stream_readline(rill_process_stream(p, 1), &line), 5);
    assert_memory_equal(line.data, "much\n", 5);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c
 * - (void)rill_transport_set_protocol(t, &rill__flow_protocol, p->streams[fd]);
 * - rill__flow_take_over(p->streams[fd], t); */
static void
test_waiting_does_not_need_the_output_to_be_read(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, wait_with_unread_output, NULL), 0);
}

/* ---- streams ---- */

static int
talk_by_hand(void *unused)
{
    rill_process *p = started("cat; echo bye >&2", OPTIONS(.in = PIPE, .out = PIPE, .err = PIPE));
    rill_stream *in = rill_process_stream(p, 0);
    rill_slice line;

    (void)unused;
    assert_null(rill_process_stream(p, 3));
    for (int i = 0; i < 3; i++) {
        assert_code(rill_stream_write(in, "ping\n", 5), 0);
        assert_int_equal(rill_stream_readline(rill_process_stream(p, 1), &line), 5);
    }
    rill_stream_close(in);
    assert_int_equal(rill_stream_readline(rill_process_stream(p, 1), &line), 0);
    assert_int_equal(rill_stream_readline(rill_process_stream(p, 2), &line), 4);
    assert_code(rill_process_wait(p, NULL), 0);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ rill_process_stream
 * - return fd >= 0 && fd < 3 ? process->streams[fd] : NULL;
 * + return fd >= 0 && fd < 2 ? process->streams[fd] : NULL; */
static void
test_pipes_are_streams(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, talk_by_hand, NULL), 0);
}

/* ---- communicate ---- */

static int
send_and_receive_much(void *unused)
{
    rill_process *p = started("cat; echo err >&2", OPTIONS(.in = PIPE, .out = PIPE, .err = PIPE));
    uint8_t *block = malloc(BIG);
    rill_slice out;
    rill_slice err;

    (void)unused;
    for (size_t i = 0; i < BIG; i++)
        block[i] = (uint8_t)(i * 31 >> 3);
    assert_code(rill_process_communicate(p, block, BIG, 0, RILL_NEVER, &out, &err), 0);
    assert_int_equal(out.len, BIG);
    assert_memory_equal(out.data, block, BIG);
    assert_int_equal(err.len, 4);
    rill_process_unref(p);
    free(block);
    return 0;
}

/* mutant: tasks/process.c @ feed_all
 * - p->fed += len;
 * + p->fed += len + 1; */
static void
test_communicate_moves_much_both_ways(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, send_and_receive_much, NULL), 0);
}

static int
send_to_the_deaf(void *unused)
{
    rill_process *p = started("exit 4", OPTIONS(.in = PIPE, .out = PIPE));
    uint8_t *block = calloc(1, BIG);
    rill_slice out;
    int code;

    (void)unused;
    assert_code(rill_process_communicate(p, block, BIG, 0, RILL_NEVER, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    assert_code(rill_process_returncode(p, &code), 0);
    assert_int_equal(code, 4);
    rill_process_unref(p);
    free(block);
    return 0;
}

/* mutant: tasks/process.c @ is_deaf
 * - return rc == -EPIPE || rc == -ECONNRESET || rc == RILL_EOF || rc == RILL_ECLOSED;
 * + return rc == RILL_EOF; */
static void
test_input_that_nobody_reads_is_no_error(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, send_to_the_deaf, NULL), 0);
}

static int
say_nothing(void *unused)
{
    rill_process *p = started("cat; exit 6", OPTIONS(.in = PIPE));
    rill_slice out = { .len = 9 };
    int code;

    (void)unused;
    assert_code(rill_process_communicate(p, NULL, 0, 0, RILL_NEVER, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    assert_code(rill_process_returncode(p, &code), 0);
    assert_int_equal(code, 6);
    rill_process_unref(p);
    p = started("exit 0", NULL);
    assert_code(rill_process_communicate(p, "x", 1, 0, RILL_NEVER, NULL, NULL), RILL_EINVAL);
    assert_code(rill_process_communicate(p, NULL, 0, 0, RILL_NEVER, NULL, NULL), 0);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ feed
 * - rill_stream_close(in); */
static void
test_communicate_without_input_closes_stdin(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, say_nothing, NULL), 0);
}

static int
run_out_of_time(void *unused)
{
    rill_process *p = started("echo first; sleep 0.3; echo last", OPTIONS(.out = PIPE));
    rill_slice out;
    int rc;

    (void)unused;
    rc = rill_process_communicate(p, NULL, 0, 0, 100 * RILL_MS, &out, NULL);
    if (on_driver("sim"))
        assert_code(rc, RILL_ETIMEDOUT);
    if (rc == RILL_ETIMEDOUT)
        rc = rill_process_communicate(p, NULL, 0, 0, RILL_NEVER, &out, NULL);
    assert_code(rc, 0);
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.data, "first\nlast\n", 11);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ talk_within
 * - if (timeout == RILL_NEVER)
 * + if (timeout != RILL_NEVER) */
static void
test_communicate_in_vain_may_be_called_again(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, run_out_of_time, NULL), 0);
}

static int
hear_too_much(void *unused)
{
    rill_process *p = started("echo 123456; exec sleep 100", OPTIONS(.out = PIPE));
    int code;

    (void)unused;
    assert_code(rill_process_communicate(p, NULL, 0, 3, RILL_NEVER, NULL, NULL), RILL_EOVERRUN);
    assert_code(rill_process_returncode(p, &code), RILL_ESTATE);
    assert_code(rill_process_stop(p, 20 * RILL_S, &code), 0);
    assert_int_equal(code, -SIGTERM);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c
 * - self.max = max != 0 ? max : OUTPUT_MAX;
 * + self.max = OUTPUT_MAX; */
static void
test_communicate_has_a_limit(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, hear_too_much, NULL), 0);
}

static int
hear_too_much_of_one(void *unused)
{
    rill_process *p =
        started("echo hello; exec >&-; echo 0123456789 >&2", OPTIONS(.out = PIPE, .err = PIPE));
    rill_slice out;
    rill_slice err;

    (void)unused;
    assert_code(
        rill_process_communicate(p, NULL, 0, SIZE_MAX, RILL_NEVER, &out, &err), RILL_EINVAL);
    assert_code(rill_process_communicate(p, NULL, 0, 8, RILL_NEVER, &out, &err), RILL_EOVERRUN);
    assert_code(rill_process_communicate(p, NULL, 0, 100, RILL_NEVER, &out, &err), 0);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data, "hello\n", 6);
    assert_int_equal(err.len, 11);
    assert_memory_equal(err.data, "0123456789\n", 11);
    assert_code(rill_process_communicate(p, NULL, 0, 100, RILL_NEVER, &out, &err), 0);
    assert_int_equal(out.len + err.len, 0);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ rill_process_communicate
 * - take_output(&self, rc);
 * + take_output(&self, 0); */
static void
test_communicate_in_vain_takes_nothing_of_either_output(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, hear_too_much_of_one, NULL), 0);
}

/* ---- stopping ---- */

static int
stop_within(const char *command, rill_ns grace)
{
    rill_process *p = started(command, OPTIONS(.out = PIPE));
    char ready[6];
    int code;

    assert_int_equal(rill_stream_read_exactly(rill_process_stream(p, 1), ready, 6, NULL), 6);
    assert_code(rill_process_stop(p, -1, &code), RILL_EINVAL);
    assert_code(rill_process_stop(p, grace, &code), 0);
    assert_code(rill_process_stop(p, 0, NULL), 0); /* It has ended: nothing to do. */
    rill_process_unref(p);
    return code;
}

static int
stop_soon(void *command)
{
    return stop_within(command, 200 * RILL_MS);
}

static int
stop_gently(void *command)
{
    return stop_within(command, 20 * RILL_S);
}

/* mutant: tasks/process.c @ stop
 * - (void)rill_process_kill(p); */
static void
test_stop_kills_what_does_not_end_by_itself(void **unused)
{
    (void)unused;
    assert_int_equal(
        -tasks_run(&s.h, stop_soon, WORD("trap '' TERM; echo ready; exec sleep 100")), SIGKILL);
}

/* mutant: tasks/process.c @ stop
 * - if (rc != RILL_ETIMEDOUT)
 * + if (rc == RILL_ETIMEDOUT) */
static void
test_stop_gives_it_time(void **unused)
{
    (void)unused;
    assert_int_equal(-tasks_run(&s.h, stop_gently, WORD("echo ready; exec sleep 100")), SIGTERM);
}

/* ---- the end ---- */

static int
let_go_of_one(void *unused)
{
    rill_process *p = started("exec sleep 100", OPTIONS(.in = PIPE, .out = PIPE));

    (void)unused;
    assert_ptr_equal(rill_process_ref(p), p);
    rill_process_unref(p);
    rill_process_unref(p);
    return 0;
}

/* mutant: tasks/process.c @ rill_process_unref
 * - rill_subprocess_close(process->sub);
 * + (void)process; */
static void
test_the_last_reference_kills(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&s.h, let_go_of_one, NULL), 0);
    harness_until(&s.h, shell_is_empty, &s);
}

static int
start_what_is_missing(void *unused)
{
    const char *const argv[] = { "/nowhere/at-all", NULL };
    rill_process *p = NULL;

    (void)unused;
    assert_code(rill_process_exec(OPTIONS(.argv = argv, .in = PIPE, .err = PIPE), &p), -ENOENT);
    assert_null(p);
    return 0;
}

/* mutant: tasks/process.c @ start
 * - p->refs = 0; */
static void
test_what_cannot_be_started_leaves_nothing(void **unused)
{
    rill_process *p = NULL;

    (void)unused;
    assert_code(tasks_run(&s.h, start_what_is_missing, NULL), 0);
    assert_code(rill_process_shell("exit 0", NULL, &p), RILL_ENOTASK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_wait_gives_the_code_as_often_as_asked),
        CASE(test_many_may_wait),
        CASE(test_a_wait_that_is_canceled_leaves_the_process),
        CASE(test_waiting_does_not_need_the_output_to_be_read),
        CASE(test_pipes_are_streams),
        CASE(test_communicate_moves_much_both_ways),
        CASE(test_input_that_nobody_reads_is_no_error),
        CASE(test_communicate_without_input_closes_stdin),
        CASE(test_communicate_in_vain_may_be_called_again),
        CASE(test_communicate_has_a_limit),
        CASE(test_communicate_in_vain_takes_nothing_of_either_output),
        CASE(test_stop_kills_what_does_not_end_by_itself),
        CASE(test_stop_gives_it_time),
        CASE(test_the_last_reference_kills),
        CASE(test_what_cannot_be_started_leaves_nothing),
    };

    return run_cases(tests);
}
