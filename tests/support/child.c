/*
 * Children that are watched: stderr through a pipe, with a limit on the time. The parent never
 * sleeps; it waits for the pipe to end.
 */
#include "child.h"

#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 60000

/* End with a code, and without a leak check: the child holds copies of all that its parent has,
 * which is no leak, however strange the pointers to it may look. */
_Noreturn static void
leave(int code)
{
    char command[16];

    snprintf(command, sizeof(command), "exit %d", code & 0xff);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void
run_in_child(int (*fn)(void *arg), void *arg, int stderr_fd)
{
    struct rlimit no_core = { 0, 0 };

    dup2(stderr_fd, STDERR_FILENO);
    if (stderr_fd != STDERR_FILENO)
        close(stderr_fd);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL); /* cmocka catches it. */
    setenv(
        "CMOCKA_TEST_ABORT", "1", 1); /* A failed assert must not go on with the parent's tests. */
    leave(fn(arg));
}

/* Read until the child's end of the pipe is closed. Returns false when the time is over. */
static bool
collect(int fd, char *text, size_t size)
{
    size_t len = 0;

    for (;;) {
        struct pollfd event = { .fd = fd, .events = POLLIN };
        char spill[512];
        ssize_t got;

        if (poll(&event, 1, LIMIT_MS) <= 0)
            return false;
        got =
            len + 1 < size ? read(fd, text + len, size - len - 1) : read(fd, spill, sizeof(spill));
        if (got <= 0)
            return true;
        if (len + 1 < size) {
            len += (size_t)got;
            text[len] = '\0';
        }
    }
}

void
child_run(int (*fn)(void *arg), void *arg, child_result *ret_result)
{
    int ends[2], status = 0;
    bool in_time;
    pid_t pid;

    memset(ret_result, 0, sizeof(*ret_result));
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        run_in_child(fn, arg, ends[1]);
    }
    close(ends[1]);
    in_time = collect(ends[0], ret_result->text, sizeof(ret_result->text));
    close(ends[0]);
    if (!in_time)
        kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(in_time);
    ret_result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ret_result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void
expect_abort(int (*fn)(void *arg), void *arg, const char *words)
{
    child_result result;

    child_run(fn, arg, &result);
    if (result.signal != SIGABRT)
        fail_msg("no abort but exit code %d, signal %d: %s", result.exit_code, result.signal,
            result.text);
    assert_contains(result.text, words);
}
