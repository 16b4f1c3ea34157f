/*
 * The standard streams of subprocesses: pipes both ways, merged, closed early, kept open late.
 */
/* timeout: 120 */
#include "watched.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define PIPE               \
    {                      \
        RILL_STDIO_PIPE, 0 \
    }
#define OPTIONS(...) &RILL_PROCESS_OPTIONS(__VA_ARGS__)
#define BIG          ((size_t)2 * 1024 * 1024)

static shell s;
static watched w;

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
    shell_close(&s);
    return 0;
}

static void
say(const void *data, size_t len)
{
    harness_until(&s.h, watched_is_made, &w);
    assert_true(rill_transport_write(rill_subprocess_pipe(w.process, 0), data, len) >= 0);
}

static void
test_output_comes_before_the_loss_of_its_pipe(void **unused)
{
    (void)unused;
    assert_code(watched_shell(
                    &w, &s.h, "echo out; echo err >&2; exit 3", OPTIONS(.out = PIPE, .err = PIPE)),
        0);
    assert_null(rill_subprocess_pipe(w.process, 1));
    harness_until(&s.h, watched_is_made, &w);
    assert_null(rill_subprocess_pipe(w.process, 0));
    assert_non_null(rill_subprocess_pipe(w.process, 1));
    assert_non_null(rill_subprocess_pipe(w.process, 2));
    assert_null(rill_subprocess_pipe(w.process, 3));
    assert_int_equal(watched_end(&w), 3);
    assert_string_equal(w.out[0], "out\n");
    assert_string_equal(w.out[1], "err\n");
    assert_int_equal(w.pipe_code[0], 1);
    assert_code(w.pipe_code[1], RILL_EOF);
    assert_code(w.pipe_code[2], RILL_EOF);
}

static void
test_stderr_may_go_where_stdout_goes(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "echo one; echo two >&2; echo three",
                    OPTIONS(.out = PIPE, .err = { RILL_STDIO_STDOUT, 0 })),
        0);
    harness_until(&s.h, watched_is_made, &w);
    assert_null(rill_subprocess_pipe(w.process, 2));
    assert_int_equal(watched_end(&w), 0);
    assert_string_equal(w.out[0], "one\ntwo\nthree\n");
    assert_int_equal(w.out_len[1], 0);
}

static void
test_without_a_pipe_nothing_comes(void **unused)
{
    const rill_stdio null = { RILL_STDIO_NULL, 0 };

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "cat; echo out; echo err >&2; exit 7",
                    OPTIONS(.in = null, .out = null, .err = null)),
        0);
    for (int fd = 0; fd < 3; fd++)
        assert_null(rill_subprocess_pipe(w.process, fd));
    assert_int_equal(watched_end(&w), 7);
    assert_int_equal(w.out_len[0] + w.out_len[1], 0);
}

static bool
five_came(void *unused)
{
    (void)unused;
    return w.out_len[0] >= 5;
}

static void
test_what_is_written_comes_back(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "cat", OPTIONS(.in = PIPE, .out = PIPE)), 0);
    say("hello", 5);
    harness_until(&s.h, five_came, NULL);
    assert_string_equal(w.out[0], "hello");
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), -SIGKILL);
    assert_code(w.pipe_code[0], 0);
    assert_code(w.pipe_code[1], 0);
}

static void
test_closing_stdin_ends_its_reader(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "cat; exit 4", OPTIONS(.in = PIPE, .out = PIPE)), 0);
    say("last", 4);
    rill_transport_close(rill_subprocess_pipe(w.process, 0));
    assert_int_equal(watched_end(&w), 4);
    assert_string_equal(w.out[0], "last");
    assert_code(w.pipe_code[0], 0);
}

static void
test_much_goes_through_with_pauses(void **unused)
{
    char *block = calloc(1, BIG);

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "cat", OPTIONS(.in = PIPE, .out = PIPE)), 0);
    say(block, BIG);
    assert_true(w.paused);
    rill_transport_close(rill_subprocess_pipe(w.process, 0));
    assert_int_equal(watched_end(&w), 0);
    assert_int_equal(w.out_len[0], BIG);
    free(block);
}

static void
test_a_stdin_that_nobody_reads_is_lost(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exec <&-; sleep 0.2; exit 2", OPTIONS(.in = PIPE)), 0);
    assert_int_equal(watched_end(&w), 2);
    assert_code(w.pipe_code[0], RILL_EOF);
}

static void
test_large_input_for_one_that_ends_at_once(void **unused)
{
    char *block = calloc(1, BIG);

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exit 0", OPTIONS(.in = PIPE)), 0);
    say(block, BIG);
    assert_int_equal(watched_end(&w), 0);
    assert_code(w.pipe_code[0], -EPIPE);
    free(block);
}

static void
test_closed_outputs_do_not_end_it(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exec >&-; exec 2>&-; sleep 0.2; exit 9",
                    OPTIONS(.out = PIPE, .err = PIPE)),
        0);
    assert_int_equal(watched_end(&w), 9);
}

static bool
output_is_lost(void *unused)
{
    (void)unused;
    return w.pipe_code[1] != 1;
}

static void
test_closing_its_output_breaks_the_writer(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "sleep 0.1; echo into the void; exit 0",
                    OPTIONS(.out = PIPE, .err = { RILL_STDIO_NULL, 0 })),
        0);
    harness_until(&s.h, watched_is_made, &w);
    rill_transport_close(rill_subprocess_pipe(w.process, 1));
    harness_until(&s.h, output_is_lost, NULL);
    assert_code(w.pipe_code[1], 0);
    harness_until(&s.h, watched_is_lost, &w);
    assert_int_equal(w.out_len[0], 0);
}

static void
test_closing_before_made_closes_the_pipes(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "cat", OPTIONS(.in = PIPE, .out = PIPE)), 0);
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), -SIGKILL);
    assert_code(w.pipe_code[0], 0);
    assert_code(w.pipe_code[1], 0);
}

static void
test_freeing_the_loop_before_made_ends_it_all(void **unused)
{
    shell own;

    (void)unused;
    shell_open(&own);
    assert_code(watched_shell(&w, &own.h, "cat", OPTIONS(.in = PIPE, .out = PIPE)), 0);
    shell_close_with(&own, 3);
    assert_true(w.lost);
    assert_int_equal(w.code, -SIGKILL);
}

static void
on_own_data(rill_transport *t, void *self, rill_slice in)
{
    (void)t;
    *(size_t *)self += in.len;
}

static void
test_a_pipe_may_have_another_protocol(void **unused)
{
    static const rill_protocol own = RILL_PROTOCOL(.data_received = on_own_data);
    size_t bytes = 0;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "sleep 0.1; echo hello; exit 3", OPTIONS(.out = PIPE)), 0);
    harness_until(&s.h, watched_is_made, &w);
    assert_code(rill_transport_set_protocol(rill_subprocess_pipe(w.process, 1), &own, &bytes), 0);
    assert_int_equal(watched_end(&w), 3);
    assert_int_equal(bytes, 6);
    assert_int_equal(w.out_len[0], 0);
    assert_int_equal(w.pipe_code[1], 1); /* Its own loss was told to the other one. */
}

static bool
has_exited_and_spoken(void *unused)
{
    (void)unused;
    return w.exited && w.out_len[0] > 0;
}

static void
test_pipes_may_outlive_the_child(void **unused)
{
    (void)unused;
    rill_sim_inject(s.world, RILL_SIM_FAULT_CHILD_HOLDS, 2);
    assert_code(watched_shell(&w, &s.h, "echo x; exit 3", OPTIONS(.out = PIPE)), 0);
    harness_until(&s.h, has_exited_and_spoken, NULL);
    assert_int_equal(w.code, 3);
    assert_int_equal(watched_end(&w), 3); /* When the last one who has the pipe lets go. */
    assert_code(watched_shell(&w, &s.h, "echo x; exit 3", OPTIONS(.out = PIPE)), 0);
    harness_until(&s.h, has_exited_and_spoken, NULL);
    rill_subprocess_close(w.process); /* Or when we do. */
    assert_int_equal(watched_end(&w), 3);
    assert_code(w.pipe_code[1], 0);
}

static void
test_a_start_that_fails_leaves_no_pipes(void **unused)
{
    const char *const argv[] = { "/nowhere/at-all", NULL };

    (void)unused;
    assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = argv, .in = PIPE, .out = PIPE, .err = PIPE)),
        -ENOENT);
    harness_settle(&s.h);
    assert_string_equal(w.tape, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_output_comes_before_the_loss_of_its_pipe),
        CASE(test_stderr_may_go_where_stdout_goes),
        CASE(test_without_a_pipe_nothing_comes),
        CASE(test_what_is_written_comes_back),
        CASE(test_closing_stdin_ends_its_reader),
        CASE(test_much_goes_through_with_pauses),
        CASE(test_a_stdin_that_nobody_reads_is_lost),
        CASE(test_large_input_for_one_that_ends_at_once),
        CASE(test_closed_outputs_do_not_end_it),
        CASE(test_closing_its_output_breaks_the_writer),
        CASE(test_closing_before_made_closes_the_pipes),
        CASE(test_freeing_the_loop_before_made_ends_it_all),
        CASE(test_a_pipe_may_have_another_protocol),
        CASE_ON("sim", test_pipes_may_outlive_the_child),
        CASE(test_a_start_that_fails_leaves_no_pipes),
    };

    return run_cases(tests);
}
