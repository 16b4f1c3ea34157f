/*
 * What a child of the real kernel is born with: descriptors, signals, directory, user, limits; and
 * each way of making it.
 */
/* drivers: epoll uring */
/* timeout: 120 */
#include "child.h"
#include "watched.h"

#include "core/driver/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE               \
    {                      \
        RILL_STDIO_PIPE, 0 \
    }
#define NOTHING            \
    {                      \
        RILL_STDIO_NULL, 0 \
    }
#define OPTIONS(...) &RILL_PROCESS_OPTIONS(.out = PIPE, __VA_ARGS__)

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
    rill__spawn_set_way(RILL__SPAWN_BY_UNKNOWN);
    shell_close(&s);
    return 0;
}

/* What a command says, without the last newline. */
static const char *
said(const char *command, const rill_process_options *options)
{
    assert_code(watched_shell(&w, &s.h, command, options), 0);
    (void)watched_end(&w);
    assert_true(w.out_len[0] < sizeof(w.out[0]));
    if (w.out_len[0] > 0 && w.out[0][w.out_len[0] - 1] == '\n')
        w.out[0][w.out_len[0] - 1] = '\0';
    return w.out[0];
}

/* ---- descriptors ---- */

/* The shell's own listing of its descriptors; the one by which it lists is the highest. */
#define LIST "cd /proc/self/fd; echo *"

static void
test_no_descriptor_leaks_into_a_child(void **unused)
{
    int fds[40];

    (void)unused;
    for (int i = 0; i < 40; i++) { /* As a careless program opens them. */
        fds[i] = i % 2 == 0 ? open("/dev/null", O_RDONLY) : dup(fds[i - 1]);
        assert_true(fds[i] >= 0);
    }
    assert_string_equal(said(LIST, OPTIONS()), "0 1 2 3");
    rill__spawn_set_way(RILL__SPAWN_BY_COPYING);
    assert_string_equal(said(LIST, OPTIONS()), "0 1 2 3");
    for (int i = 0; i < 40; i++)
        close(fds[i]);
}

static void
test_passed_descriptors_keep_their_numbers(void **unused)
{
    const int wanted[] = { 60, 40, 60, 1 };

    (void)unused;
    assert_int_equal(dup2(STDERR_FILENO, 40), 40);
    assert_int_equal(fcntl(40, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(dup2(STDERR_FILENO, 50), 50);
    assert_int_equal(dup2(STDERR_FILENO, 60), 60);
    assert_string_equal(
        said(LIST, OPTIONS(.pass_fds = wanted, .pass_fds_count = 4)), "0 1 2 3 40 60");
    rill__spawn_set_way(RILL__SPAWN_BY_COPYING);
    assert_string_equal(
        said(LIST, OPTIONS(.pass_fds = wanted, .pass_fds_count = 4)), "0 1 2 3 40 60");
    assert_int_equal(fcntl(40, F_GETFD), FD_CLOEXEC); /* Here it is as it was. */
    close(40);
    close(50);
    close(60);
    assert_code(watched_shell(&w, &s.h, "exit 0", OPTIONS(.pass_fds = wanted, .pass_fds_count = 4)),
        -EBADF);
    expect_last_error(&s.h, -EBADF, "descriptor 40 is not open");
}

static void
test_a_descriptor_may_be_a_standard_stream(void **unused)
{
    char text[64] = "";
    int ends[2];

    (void)unused;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_code(watched_shell(&w, &s.h, "echo out; echo err >&2",
                    &RILL_PROCESS_OPTIONS(.out = { RILL_STDIO_FD, ends[1] },
                        .err = { RILL_STDIO_FD, ends[1] })),
        0);
    assert_int_equal(watched_end(&w), 0);
    assert_true(fcntl(ends[1], F_GETFD) == FD_CLOEXEC); /* Still ours. */
    assert_int_equal(read(ends[0], text, sizeof(text) - 1), 8);
    assert_string_equal(text, "out\nerr\n");
    close(ends[0]);
    close(ends[1]);
    assert_code(
        watched_shell(&w, &s.h, "exit 0", &RILL_PROCESS_OPTIONS(.in = { RILL_STDIO_FD, ends[0] })),
        -EBADF);
    expect_last_error(&s.h, -EBADF, "is not open");
}

/* In a process of its own: stdout and stderr change places. */
static int
swap_streams(void *unused)
{
    char text[32] = "";
    int out[2];
    int err[2];

    (void)unused;
    CHILD_CHECK(pipe(out) == 0 && pipe(err) == 0);
    CHILD_CHECK(dup2(out[1], 1) == 1 && dup2(err[1], 2) == 2);
    shell_open(&s);
    CHILD_CHECK(
        watched_shell(&w, &s.h, "echo a; echo b >&2",
            &RILL_PROCESS_OPTIONS(.out = { RILL_STDIO_FD, 2 }, .err = { RILL_STDIO_FD, 1 })) == 0);
    CHILD_CHECK(watched_end(&w) == 0);
    CHILD_CHECK(read(err[0], text, 2) == 2 && text[0] == 'a');
    CHILD_CHECK(read(out[0], text, 2) == 2 && text[0] == 'b');
    shell_close(&s);
    return 0;
}

/* Nothing can be said there: where it fails is the exit code, in lines from the beginning. */
#define SILENT_CHECK(condition)                 \
    do {                                        \
        if (!(condition))                       \
            return __LINE__ - first_line_of_it; \
    } while (0)

/* In a process that has none of the three: each arrangement gives exactly what was asked for. */
static int
without_standard_streams(void *path)
{
    const int first_line_of_it = __LINE__;
    char command[128];
    char text[64] = "";
    int fd;

    for (int i = 0; i < 3; i++)
        (void)close(i);
    shell_open(&s);
    SILENT_CHECK(watched_shell(&w, &s.h, "cat; echo out; echo err >&2; cd /proc/self/fd; echo *",
                     &RILL_PROCESS_OPTIONS(.in = PIPE, .out = PIPE, .err = PIPE)) == 0);
    harness_until(&s.h, watched_is_made, &w);
    rill_transport_close(rill_subprocess_pipe(w.process, 0));
    SILENT_CHECK(watched_end(&w) == 0);
    SILENT_CHECK(strcmp(w.out[0], "out\n0 1 2 3\n") == 0);
    SILENT_CHECK(strcmp(w.out[1], "err\n") == 0);
    /* Inherited: closed there, too; nothing of the loop's comes in their place. */
    fd = open(path, O_RDWR | O_CLOEXEC);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    SILENT_CHECK(fd == 50);
    snprintf(command, sizeof(command), "cd /proc/$$/fd; for i in *; do echo $i >>%s; done",
        (char *)path);
    SILENT_CHECK(watched_shell(&w, &s.h, command,
                     &RILL_PROCESS_OPTIONS(.pass_fds = &fd, .pass_fds_count = 1)) == 0);
    SILENT_CHECK(watched_end(&w) == 0);
    SILENT_CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
    SILENT_CHECK(strcmp(text, "0\n50\n") == 0); /* The first is the listing itself. */
    SILENT_CHECK(watched_shell(&w, &s.h, "cat && echo x",
                     &RILL_PROCESS_OPTIONS(.in = NOTHING, .out = NOTHING, .err = NOTHING)) == 0);
    SILENT_CHECK(watched_end(&w) == 0);
    /* A pipe made for it is not the stdout that it has not. */
    SILENT_CHECK(watched_shell(&w, &s.h, "exit 0",
                     &RILL_PROCESS_OPTIONS(.in = PIPE, .err = { RILL_STDIO_STDOUT, 0 })) == -EBADF);
    harness_settle(&s.h);
    return 0;
}

static void
expect_child(int (*fn)(void *arg), void *arg)
{
    child_result result;

    child_run(fn, arg, &result);
    if (result.exit_code != 0)
        fail_msg("exit %d, signal %d: %s", result.exit_code, result.signal, result.text);
}

static void
test_streams_may_change_places(void **unused)
{
    (void)unused;
    expect_child(swap_streams, NULL);
}

static int
find_the_end_of_descriptors(void *unused)
{
    struct rlimit limit;
    int rc;
    int fds[64];
    int count = 0;

    (void)unused;
    shell_open(&s);
    CHILD_CHECK(watched_shell(&w, &s.h, "exit 0", NULL) == 0); /* The way is known. */
    CHILD_CHECK(watched_end(&w) == 0);
    if (rill__spawn_get_way() != RILL__SPAWN_BY_SHARING) {
        shell_close(&s);
        return 0; /* Valgrind 3.19 breaks down when a clone of this kind fails. */
    }
    CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 40;
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (count < 64 && (fds[count] = dup(1)) >= 0)
        count++;
    for (int left = 0; left < 16; left++) { /* At each of its descriptors. */
        rc = watched_shell(
            &w, &s.h, "cat", &RILL_PROCESS_OPTIONS(.in = PIPE, .out = PIPE, .err = PIPE));
        if (rc == 0)
            break;
        CHILD_CHECK(rc == -EMFILE);
        harness_settle(&s.h);
        close(fds[--count]);
    }
    CHILD_CHECK(rc == 0);
    rill_subprocess_close(w.process);
    CHILD_CHECK(watched_end(&w) == -SIGKILL);
    while (count > 0)
        close(fds[--count]);
    shell_close(&s);
    return 0;
}

static void
test_without_descriptors_nothing_is_left_half_made(void **unused)
{
    (void)unused;
    expect_child(find_the_end_of_descriptors, NULL);
}

static void
test_closed_standard_descriptors_are_no_trap(void **unused)
{
    char path[] = "/tmp/rill-spawn-XXXXXX";
    child_result result;

    (void)unused;
    close(mkstemp(path));
    child_run(without_standard_streams, path, &result);
    unlink(path);
    assert_int_equal(result.exit_code, 0);
}

/* ---- signals ---- */

static void
on_usr1(int signo)
{
    (void)signo;
}

static void
test_signals_are_reset(void **unused)
{
    sigset_t set;
    sigset_t before;

    (void)unused;
    signal(SIGUSR1, on_usr1);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &before);
    /* Ignored, caught and blocked, but the one that this thread has blocked. */
    assert_string_equal(said("exec sed -n '/Sig[BIC][lg]/p' /proc/self/status", OPTIONS()),
        "SigBlk:\t0000000000000001\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000");
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_true(signal(SIGUSR2, SIG_DFL) == SIG_IGN); /* Here they are as they were. */
    assert_true(signal(SIGUSR1, SIG_DFL) == on_usr1);
    signal(SIGPIPE, SIG_DFL);
}

static void
start_in_callback(void *arg)
{
    *(int *)arg = watched_shell(&w, &s.h, "exec sed -n /SigBlk/p /proc/self/status", OPTIONS());
}

static bool
was_called(void *rc)
{
    return *(int *)rc != 1;
}

static void
test_the_mask_of_a_run_is_not_inherited(void **unused)
{
    int rc = 1;

    (void)unused;
    assert_code(rill_call_soon(s.h.loop, start_in_callback, &rc, NULL), 0);
    harness_until(&s.h, was_called, &rc);
    harness_until(&s.h, watched_is_lost, &w);
    assert_code(rc, 0);
    assert_string_equal(w.out[0], "SigBlk:\t0000000000000000\n");
}

/* ---- surroundings ---- */

static void
test_directory_environment_and_umask(void **unused)
{
    const char *const env[] = { "COLOR=red", "PATH=/usr/bin:/bin", NULL };

    (void)unused;
    assert_string_equal(said("pwd", OPTIONS(.cwd = "/usr")), "/usr");
    assert_code(watched_shell(&w, &s.h, "pwd", OPTIONS(.cwd = "/nowhere")), -ENOENT);
    expect_last_error(&s.h, -ENOENT, "cannot enter the directory \"/nowhere\"");
    assert_string_equal(said("echo $COLOR $HOME", OPTIONS(.env = env)), "red");
    assert_string_equal(said("umask", OPTIONS(.set_umask = true, .umask = 0027)), "0027");
    assert_string_equal(said("umask", OPTIONS(.set_umask = true)), "0000");
}

static void
test_the_program_is_found_in_the_path_of_the_child(void **unused)
{
    char dir[] = "/tmp/rill-spawn-XXXXXX";
    char file[64];
    char path[128];
    const char *env[] = { path, NULL };
    const char *const argv[] = { "a-program", NULL };
    int fd;

    (void)unused;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/a-program", dir);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "#!/bin/sh\necho found\n", 21), 21);
    close(fd);
    snprintf(path, sizeof(path), "PATH=/nowhere:/dev/null:%s:/usr/bin", dir);
    /* There, and not to be executed: a better reason than that it is missing elsewhere. */
    assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = argv, .env = env)), -EACCES);
    assert_int_equal(chmod(file, 0700), 0);
    assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = argv, .env = env)), 0);
    assert_int_equal(watched_end(&w), 0);
    assert_string_equal(w.out[0], "found\n");
    snprintf(path, sizeof(path), "PATH=");
    assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = argv, .env = env, .cwd = dir)), 0);
    assert_int_equal(watched_end(&w), 0);
    assert_int_equal(chmod(file, 0600), 0);
    fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, "no program", 10), 10);
    close(fd);
    assert_int_equal(chmod(file, 0700), 0);
    assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = argv, .env = env, .cwd = dir)), -ENOEXEC);
    unlink(file);
    rmdir(dir);
}

static void
test_sessions_and_process_groups(void **unused)
{
    char expected[64];

    (void)unused;
    (void)said("echo $(cut -d' ' -f5,6 /proc/$$/stat) $$", OPTIONS(.new_session = true));
    snprintf(
        expected, sizeof(expected), "%d %d %d", atoi(w.out[0]), atoi(w.out[0]), atoi(w.out[0]));
    assert_string_equal(w.out[0], expected);
    (void)said("echo $(cut -d' ' -f5 /proc/$$/stat) $$", OPTIONS(.set_process_group = true));
    snprintf(expected, sizeof(expected), "%d %d", atoi(w.out[0]), atoi(w.out[0]));
    assert_string_equal(w.out[0], expected);
    snprintf(expected, sizeof(expected), "%d", (int)getpgrp());
    assert_string_equal(said("cut -d' ' -f5 /proc/$$/stat",
                            OPTIONS(.set_process_group = true, .process_group = (int)getpgrp())),
        expected);
    assert_code(
        watched_shell(&w, &s.h, "exit 0", OPTIONS(.set_process_group = true, .process_group = 1)),
        -EPERM);
    expect_last_error(&s.h, -EPERM, "process group");
}

static void
test_limits_are_set(void **unused)
{
    const rill_process_limit limits[] = {
        { .resource = RLIMIT_FSIZE, .soft = 5120, .hard = 10240 },
        { .resource = RLIMIT_CORE, .soft = 0, .hard = 0 },
    };
    const rill_process_limit unknown = { .resource = 999 };

    (void)unused;
    assert_string_equal(
        said("ulimit -Sf; ulimit -Hf; ulimit -c", OPTIONS(.limits = limits, .limits_count = 2)),
        "10\n20\n0");
    assert_code(
        watched_shell(&w, &s.h, "exit 0", OPTIONS(.limits = &unknown, .limits_count = 1)), -EINVAL);
    expect_last_error(&s.h, -EINVAL, "resource limit");
}

static void
test_user_and_groups(void **unused)
{
    const uint32_t groups[] = { 77, 78 };

    (void)unused;
    if (geteuid() != 0) {
        assert_code(watched_shell(&w, &s.h, "id", OPTIONS(.set_user = true, .user = 0)), -EPERM);
        return;
    }
    assert_string_equal(said("id -u; id -g; id -G", OPTIONS(.set_user = true, .user = 1234,
                                                        .set_group = true, .group = 4321)),
        "1234\n4321\n4321");
    assert_string_equal(said("id -G", OPTIONS(.set_user = true, .user = 1234, .set_group = true,
                                          .group = 4321, .groups = groups, .groups_count = 2)),
        "4321 77 78");
}

static void
test_another_user_s_child_leaves_this_process_as_it_was(void **unused)
{
    int dumpable = prctl(PR_GET_DUMPABLE);

    (void)unused;
    if (geteuid() != 0)
        return; /* Nobody else may start one. */
    assert_string_equal(said("id -u", OPTIONS(.set_user = true, .user = 1234)), "1234");
    assert_string_equal(said("id -g", OPTIONS(.set_group = true, .group = 4321)), "4321");
    assert_int_equal(prctl(PR_GET_DUMPABLE), dumpable);
}

/* CAP_KILL, in effect or only permitted. */
static int
may_kill(bool may)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    uint32_t kills = UINT32_C(1) << CAP_KILL;

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    data[0].effective = may ? data[0].effective | kills : data[0].effective & ~kills;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int
free_with_another_user_s_child(void *unused)
{
    const rill_process_options *options =
        &RILL_PROCESS_OPTIONS(.set_user = true, .user = 1234, .err = NOTHING);
    pid_t pid;

    (void)unused;
    shell_open(&s);
    CHILD_CHECK(watched_shell(&w, &s.h, "exec sleep 1000", options) == 0);
    pid = (pid_t)rill_subprocess_pid(w.process);
    CHILD_CHECK(may_kill(false) == 0);
    CHILD_CHECK(rill_subprocess_kill(w.process) == -EPERM);
    rill_loop_free(s.h.loop);
    CHILD_CHECK(strcmp(w.tape, "made lost(RILL_ELOOPFREED)") == 0);
    CHILD_CHECK(may_kill(true) == 0);
    CHILD_CHECK(kill(pid, SIGKILL) == 0);
    CHILD_CHECK(waitpid(pid, NULL, 0) == pid); /* It is there, and ours to wait for. */
    return 0;
}

static void
test_freeing_the_loop_does_not_wait_for_one_it_may_not_kill(void **unused)
{
    (void)unused;
    if (geteuid() == 0) /* Nobody else may start one. */
        expect_child(free_with_another_user_s_child, NULL);
}

static int
leave_children(void *unused)
{
    (void)unused;
    shell_open(&s);
    if (watched_shell(&w, &s.h, "exec sleep 1000",
            &RILL_PROCESS_OPTIONS(.death_signal = SIGKILL, .err = NOTHING)) != 0)
        return 1;
    fprintf(stderr, "%d\n", (int)rill_subprocess_pid(w.process));
    return kill(getpid(), SIGKILL); /* As one that crashes. */
}

static bool
is_gone(void *pid)
{
    char path[64];
    char text[512] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", *(int *)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    (void)!read(fd, text, sizeof(text) - 1);
    close(fd);
    return strstr(text, ") Z") != NULL || strstr(text, ") X") != NULL;
}

static void
test_a_child_may_die_with_its_parent(void **unused)
{
    child_result result;
    int pid;

    (void)unused;
    child_run(leave_children, NULL, &result);
    assert_int_equal(result.signal, SIGKILL);
    pid = atoi(result.text);
    assert_true(pid > 1);
    harness_until(&s.h, is_gone, &pid);
}

/* ---- the end ---- */

static void
test_a_child_that_others_have_reaped_has_a_code_of_its_own(void **unused)
{
    int status;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exit 5", NULL), 0);
    assert_int_equal(
        waitpid((pid_t)rill_subprocess_pid(w.process), &status, 0), rill_subprocess_pid(w.process));
    assert_int_equal(watched_end(&w), 255);
    assert_code(w.reason, RILL_EREAPED);
    assert_string_equal(w.tape, "made exited lost(RILL_EREAPED)");
}

static void
test_with_sigchld_ignored_the_end_is_told_all_the_same(void **unused)
{
    (void)unused;
    signal(SIGCHLD, SIG_IGN);
    assert_code(watched_shell(&w, &s.h, "exit 5", NULL), 0);
    assert_int_equal(watched_end(&w), 255);
    signal(SIGCHLD, SIG_DFL);
    assert_code(w.reason, RILL_EREAPED);
}

static void
test_children_of_others_are_left_alone(void **unused)
{
    pid_t other = fork();
    int status;

    (void)unused;
    if (other == 0)
        _exit(9);
    assert_code(watched_shell(&w, &s.h, "exit 5", NULL), 0);
    assert_int_equal(watched_end(&w), 5);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 9);
}

static void
test_one_that_has_ended_before_the_loop_looks(void **unused)
{
    siginfo_t info;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "exit 5", NULL), 0);
    assert_int_equal(
        waitid(P_PID, (id_t)rill_subprocess_pid(w.process), &info, WEXITED | WNOWAIT), 0);
    rill_subprocess_close(w.process); /* Too late to kill it. */
    assert_int_equal(watched_end(&w), 5);
}

static bool
output_came(void *unused)
{
    (void)unused;
    return w.out_len[0] > 0;
}

/* The pipe outlives the child, and what holds it is not ours to end. */
static void
test_a_grandchild_that_keeps_the_pipe_open_delays_the_loss(void **unused)
{
    int pid;

    (void)unused;
    assert_code(watched_shell(&w, &s.h, "sleep 1000 & echo $!; exit 6", OPTIONS()), 0);
    harness_until(&s.h, watched_has_exited, &w);
    harness_until(&s.h, output_came, NULL);
    harness_settle(&s.h);
    assert_false(w.lost);
    assert_int_equal(w.code, 6);
    pid = atoi(w.out[0]);
    rill_subprocess_close(w.process);
    harness_until(&s.h, watched_is_lost, &w);
    assert_int_equal(kill(pid, SIGKILL), 0);
}

/* ---- the ways ---- */

static void
test_every_way_starts_and_fails_alike(void **unused)
{
    static const enum rill__spawn_way ways[] = { RILL__SPAWN_BY_UNKNOWN, RILL__SPAWN_BY_SHARING,
        RILL__SPAWN_BY_COPYING, RILL__SPAWN_BY_FORK };
    const char *const missing[] = { "/nowhere/at-all", NULL };

    (void)unused;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (ways[i] == RILL__SPAWN_BY_SHARING && rill__spawn_get_way() != RILL__SPAWN_BY_SHARING)
            continue; /* A checker or an emulator copies all the same. */
        rill__spawn_set_way(ways[i]);
        assert_string_equal(said("echo hello", OPTIONS()), "hello");
        assert_int_equal(w.code, 0);
        assert_code(watched_exec(&w, &s.h, OPTIONS(.argv = missing)), -ENOENT);
        expect_last_error(&s.h, -ENOENT, "cannot be executed");
        assert_code(watched_shell(&w, &s.h, "exit 0", OPTIONS(.cwd = "/nowhere")), -ENOENT);
        expect_last_error(&s.h, -ENOENT, "directory");
        assert_code(watched_shell(&w, &s.h, "exec sleep 1000", OPTIONS()), 0);
        rill_subprocess_close(w.process);
        assert_int_equal(watched_end(&w), -SIGKILL);
        shell_expect_no_children(&s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_no_descriptor_leaks_into_a_child),
        CASE(test_passed_descriptors_keep_their_numbers),
        CASE(test_a_descriptor_may_be_a_standard_stream),
        CASE(test_streams_may_change_places),
        CASE(test_without_descriptors_nothing_is_left_half_made),
        CASE(test_closed_standard_descriptors_are_no_trap),
        CASE(test_signals_are_reset),
        CASE(test_the_mask_of_a_run_is_not_inherited),
        CASE(test_directory_environment_and_umask),
        CASE(test_the_program_is_found_in_the_path_of_the_child),
        CASE(test_sessions_and_process_groups),
        CASE(test_limits_are_set),
        CASE(test_user_and_groups),
        CASE(test_another_user_s_child_leaves_this_process_as_it_was),
        CASE(test_freeing_the_loop_does_not_wait_for_one_it_may_not_kill),
        CASE(test_a_child_may_die_with_its_parent),
        CASE(test_a_child_that_others_have_reaped_has_a_code_of_its_own),
        CASE(test_with_sigchld_ignored_the_end_is_told_all_the_same),
        CASE(test_children_of_others_are_left_alone),
        CASE(test_one_that_has_ended_before_the_loop_looks),
        CASE(test_a_grandchild_that_keeps_the_pipe_open_delays_the_loss),
        CASE(test_every_way_starts_and_fails_alike),
    };

    return run_cases(tests);
}
