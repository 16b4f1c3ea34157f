/*
 * Subprocesses: how they start, how their end is told, and that nothing is left of them. The same
 * on every driver, with the simulator's shell in place of /bin/sh.
 */
/* timeout: 120 */
#include "child.h"
#include "watched.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define MANY 300

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

/* ---- how they end ---- */

static void
test_the_exit_status_is_exact(void **unused)
{
    static const int codes[] = { 0, 1, 7, 127, 255 };

    (void)unused;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char command[16];

        snprintf(command, sizeof(command), "exit %d", codes[i]);
        assert_code(watched_shell(&w, &s.h, command, NULL), 0);
        assert_int_equal(watched_end(&w), codes[i]);
        assert_string_equal(w.tape, "made exited lost(0)");
    }
}

static void
test_a_signal_is_a_negative_code(void **unused)
{
    static const int signals[] = { SIGTERM, SIGKILL, SIGHUP, SIGUSR1 };

    (void)unused;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
        assert_code(rill_subprocess_send_signal(w.process, signals[i]), 0);
        assert_int_equal(watched_end(&w), -signals[i]);
    }
}

static void
test_callbacks_come_in_later_turns(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exit 0", NULL), 0);
    assert_string_equal(w.tape, "");
    assert_true(rill_subprocess_pid(w.process) > 0);
    assert_ptr_equal(rill_subprocess_loop(w.process), s.h.loop);
    assert_int_equal(watched_end(&w), 0);
}

static void
test_the_code_is_there_after_the_end_alone(void **unused)
{
    int code = 42;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    assert_code(rill_subprocess_returncode(w.process, &code), RILL_ESTATE);
    assert_int_equal(code, 42);
    assert_code(rill_subprocess_send_signal(w.process, 0), 0);
    assert_code(rill_subprocess_kill(w.process), 0);
    assert_int_equal(watched_end(&w), -SIGKILL);
}

static void
signal_after_exit(rill_subprocess *process, void *self)
{
    int *rc = self;

    *rc = rill_subprocess_kill(process);
    rill_subprocess_close(process);
    rill_subprocess_close(process);
}

static void
set_lost(rill_subprocess *process, void *self, const rill_reason *why)
{
    (void)process;
    (void)why;
    ((int *)self)[1] = 1;
}

static bool
second_is_set(void *numbers)
{
    return ((int *)numbers)[1] != 0;
}

static void
test_a_signal_after_the_end_is_refused(void **unused)
{
    static const rill_subprocess_protocol protocol =
        RILL_SUBPROCESS_PROTOCOL(.process_exited = signal_after_exit, .connection_lost = set_lost);
    int numbers[2] = { 0, 0 };

    (void)unused;
    assert_code(rill_subprocess_shell(s.h.loop, "exit 0", NULL, &protocol, numbers, NULL), 0);
    harness_until(&s.h, second_is_set, numbers);
    assert_code(numbers[0], -ESRCH);
}

static void
test_one_that_ignores_sigterm_is_killed(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "trap '' TERM; sleep 0.2; exec sleep 100", NULL), 0);
    harness_run_for(&s.h, 100 * RILL_MS);
    assert_code(rill_subprocess_terminate(w.process), 0);
    harness_run_for(&s.h, 50 * RILL_MS);
    if (on_driver("sim"))
        assert_false(w.exited);
    assert_code(rill_subprocess_kill(w.process), 0);
    harness_until(&s.h, watched_is_lost, &w);
    if (on_driver("sim"))
        assert_int_equal(w.code, -SIGKILL);
}

/* ---- closing ---- */

static void
test_close_kills(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    harness_until(&s.h, watched_is_made, &w);
    assert_false(rill_subprocess_is_closing(w.process));
    rill_subprocess_close(w.process);
    rill_subprocess_close(w.process);
    assert_true(rill_subprocess_is_closing(w.process));
    assert_int_equal(watched_end(&w), -SIGKILL);
    assert_string_equal(w.tape, "made exited lost(0)");
}

static void
test_close_before_made_kills_too(void **unused)
{
    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), -SIGKILL);
    assert_string_equal(w.tape, "made exited lost(0)");
}

static int
end_it_from_a_copy(void *unused)
{
    (void)unused;
    CHILD_CHECK(rill_subprocess_send_signal(w.process, SIGTERM) == RILL_EFORK);
    CHILD_CHECK(rill_subprocess_terminate(w.process) == RILL_EFORK);
    CHILD_CHECK(rill_subprocess_kill(w.process) == RILL_EFORK);
    rill_subprocess_close(w.process);
    CHILD_CHECK(!rill_subprocess_is_closing(w.process));
    return 0;
}

static void
test_a_forked_copy_leaves_it_alone(void **unused)
{
    child_result result;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "trap '' TERM; sleep 0.1; exit 3", NULL), 0);
    child_run(end_it_from_a_copy, NULL, &result);
    assert_string_equal(result.text, "");
    assert_int_equal(result.exit_code, 0);
    assert_int_equal(watched_end(&w), 3);
}

static void
test_one_may_survive_its_close(void **unused)
{
    (void)unused;
    assert_code(
        watched_shell(&w, &s.h, "sleep 0.1; exit 5", &RILL_PROCESS_OPTIONS(.survives_close = true)),
        0);
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), 5);
}

static void
test_freeing_the_loop_kills_and_reaps(void **unused)
{
    shell own;

    (void)unused;
    shell_open(&own);
    assert_code(watched_shell(&w, &own.h, "exec sleep 100", NULL), 0);
    shell_close_with(&own, 1);
    assert_string_equal(w.tape, "made exited lost(0)");
    assert_int_equal(w.code, -SIGKILL);
    shell_expect_no_children(&s);
}

static void
test_one_may_survive_its_loop(void **unused)
{
    int64_t pid;
    shell own;

    (void)unused;
    shell_open(&own);
    assert_code(
        watched_shell(&w, &own.h, "exec sleep 1000", &RILL_PROCESS_OPTIONS(.survives_close = true)),
        0);
    pid = rill_subprocess_pid(w.process);
    shell_close_with(&own, 1);
    assert_string_equal(w.tape, "made lost(RILL_ELOOPFREED)");
    if (on_driver("sim"))
        return;
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0); /* It is there, and ours to wait for. */
    assert_int_equal(waitpid((pid_t)pid, NULL, 0), pid);
}

/* ---- what cannot be started ---- */

static void
test_a_missing_program_is_told_at_once(void **unused)
{
    const char *const argv[] = { "/nowhere/no-such-program", NULL };
    const char *const found[] = { "no-such-program-at-all", "x", NULL };

    (void)unused;
    assert_code(watched_exec(&w, &s.h, &RILL_PROCESS_OPTIONS(.argv = argv)), -ENOENT);
    expect_last_error(&s.h, -ENOENT, "subprocess \"/nowhere/no-such-program\": cannot be executed");
    assert_null(w.process);
    assert_code(watched_exec(&w, &s.h, &RILL_PROCESS_OPTIONS(.argv = found)), -ENOENT);
    shell_expect_no_children(&s);
    harness_settle(&s.h);
    assert_string_equal(w.tape, "");
}

static void
test_a_file_that_is_no_program_is_refused(void **unused)
{
    const char *const argv[] = { "/dev/null", NULL };

    (void)unused;
    assert_code(watched_exec(&w, &s.h, &RILL_PROCESS_OPTIONS(.argv = argv)), -EACCES);
    expect_last_error(&s.h, -EACCES, "\"/dev/null\": cannot be executed: Permission denied");
}

static void
test_argv_0_need_not_be_the_program(void **unused)
{
    const char *const argv[] = { "a name", "-c", "exit 3", NULL };

    (void)unused;
    assert_code(
        watched_exec(&w, &s.h, &RILL_PROCESS_OPTIONS(.argv = argv, .program = "/bin/sh")), 0);
    assert_int_equal(watched_end(&w), 3);
}

static void
expect_refused(const rill_process_options *options, const char *words)
{
    assert_code(watched_exec(&w, &s.h, options), RILL_EINVAL);
    expect_last_error(&s.h, RILL_EINVAL, words);
}

static void
test_options_that_cannot_be_meant_are_refused(void **unused)
{
    const char *const argv[] = { "/bin/true", NULL };
    const char *const empty[] = { NULL };
    const char *const nameless[] = { "", NULL };
    const rill_process_limit limit = { .soft = 2, .hard = 1 };
    const int negative = -1;

#define REFUSED(words, ...) expect_refused(&RILL_PROCESS_OPTIONS(__VA_ARGS__), words)
    (void)unused;
    REFUSED("argv", .cwd = "/");
    REFUSED("argv", .argv = empty);
    REFUSED("empty", .argv = nameless);
    REFUSED("stderr", .argv = argv, .out = { .kind = RILL_STDIO_STDOUT });
    REFUSED("negative", .argv = argv, .in = { RILL_STDIO_FD, -1 });
    REFUSED("no kind", .argv = argv, .in = { .kind = (rill_stdio_kind)9 });
    REFUSED("negative", .argv = argv, .pass_fds = &negative, .pass_fds_count = 1);
    REFUSED("pass_fds", .argv = argv, .pass_fds_count = 1);
    REFUSED("soft", .argv = argv, .limits = &limit, .limits_count = 1);
    REFUSED("limits", .argv = argv, .limits_count = 1);
    REFUSED("set_", .argv = argv, .umask = 022);
    REFUSED("set_", .argv = argv, .user = 1);
    REFUSED("umask", .argv = argv, .set_umask = true, .umask = 01000);
    REFUSED("session", .argv = argv, .new_session = true, .set_process_group = true);
    REFUSED("death_signal", .argv = argv, .death_signal = 65);
    REFUSED("groups", .argv = argv, .groups_count = 1);
#undef REFUSED
    assert_code(
        watched_shell(&w, &s.h, "exit 0", &RILL_PROCESS_OPTIONS(.argv = argv)), RILL_EINVAL);
    expect_last_error(&s.h, RILL_EINVAL, "a shell has its own argv");
}

/* ---- many ---- */

static int many_lost;
static int many_failed;

static void
count_exit(rill_subprocess *process, void *self)
{
    int code = -1;

    (void)self;
    if (rill_subprocess_returncode(process, &code) != 0 || code != 0)
        many_failed++;
}

static void
count_lost(rill_subprocess *process, void *self, const rill_reason *why)
{
    (void)process;
    (void)self;
    (void)why;
    many_lost++;
}

static bool
all_are_lost(void *count)
{
    return many_lost == *(int *)count;
}

static void
test_many_that_have_ended_before_one_turn(void **unused)
{
    static const rill_subprocess_protocol protocol =
        RILL_SUBPROCESS_PROTOCOL(.process_exited = count_exit, .connection_lost = count_lost);
    const char *const argv[] = { "/bin/true", NULL };
    int count = on_driver("sim") ? 3000 : MANY;

    (void)unused;
    many_lost = many_failed = 0;
    for (int i = 0; i < count; i++) {
        int rc = rill_subprocess_exec(
            s.h.loop, &RILL_PROCESS_OPTIONS(.argv = argv), &protocol, NULL, NULL);

        if (rc < 0) { /* In a sweep of allocations. */
            count = i;
            break;
        }
    }
    harness_until(&s.h, all_are_lost, &count);
    assert_int_equal(many_failed, 0);
}

/* ---- the simulator's faults ---- */

static void
test_a_start_fails_as_the_kernel_fails(void **unused)
{
    static const struct {
        rill_sim_fault kind;
        int code;
    } faults[] = {
        { RILL_SIM_FAULT_SPAWN_EAGAIN, -EAGAIN },
        { RILL_SIM_FAULT_SPAWN_ENOMEM, -ENOMEM },
        { RILL_SIM_FAULT_SPAWN_EMFILE, -EMFILE },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        rill_sim_inject(s.world, faults[i].kind, 1);
        assert_code(watched_shell(&w, &s.h, "exit 0", NULL), faults[i].code);
        expect_last_error(&s.h, faults[i].code, "no new process");
    }
    assert_int_equal(rill_sim_set_descriptors_max(s.world, NULL, 1), 0);
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    assert_code(rill_subprocess_exec(s.h.loop,
                    &RILL_PROCESS_OPTIONS(.argv = (const char *const[]){ "/bin/true", NULL }),
                    &(rill_subprocess_protocol)RILL_SUBPROCESS_PROTOCOL(), NULL, NULL),
        -EMFILE);
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), -SIGKILL);
}

static void
test_one_that_cannot_be_watched_is_asked(void **unused)
{
    (void)unused;
    rill_sim_inject(s.world, RILL_SIM_FAULT_CHILD_UNWATCHED, 2);
    assert_code(watched_shell(&w, &s.h, "sleep 0.5; exit 6", NULL), 0);
    assert_int_equal(watched_end(&w), 6);
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    rill_subprocess_close(w.process);
    assert_int_equal(watched_end(&w), -SIGKILL);
}

static void
test_faults_of_children(void **unused)
{
    (void)unused;
    rill_sim_inject(s.world, RILL_SIM_FAULT_CHILD_KILLED, 1);
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    assert_int_equal(watched_end(&w), -SIGKILL);
    rill_sim_inject(s.world, RILL_SIM_FAULT_CHILD_DEAF, 1);
    assert_code(watched_shell(&w, &s.h, "exec sleep 100", NULL), 0);
    assert_code(rill_subprocess_terminate(w.process), 0);
    harness_run_for(&s.h, 10 * RILL_S);
    assert_false(w.exited);
    assert_code(rill_subprocess_terminate(w.process), 0);
    assert_int_equal(watched_end(&w), -SIGTERM);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_exit_status_is_exact),
        CASE(test_a_signal_is_a_negative_code),
        CASE(test_callbacks_come_in_later_turns),
        CASE(test_the_code_is_there_after_the_end_alone),
        CASE(test_a_signal_after_the_end_is_refused),
        CASE(test_one_that_ignores_sigterm_is_killed),
        CASE(test_close_kills),
        CASE(test_close_before_made_kills_too),
        CASE(test_a_forked_copy_leaves_it_alone),
        CASE(test_one_may_survive_its_close),
        CASE(test_freeing_the_loop_kills_and_reaps),
        CASE(test_one_may_survive_its_loop),
        CASE(test_a_missing_program_is_told_at_once),
        CASE(test_a_file_that_is_no_program_is_refused),
        CASE(test_argv_0_need_not_be_the_program),
        CASE(test_options_that_cannot_be_meant_are_refused),
        CASE(test_many_that_have_ended_before_one_turn),
        CASE_ON("sim", test_a_start_fails_as_the_kernel_fails),
        CASE_ON("sim", test_one_that_cannot_be_watched_is_asked),
        CASE_ON("sim", test_faults_of_children),
    };

    return run_cases(tests);
}
