/*
 * Children that exec. Their pipes are non-blocking on our side and looked at between turns.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool
program_exists(const char *name)
{
    const char *path = getenv("PATH");
    char file[500];

    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");

        snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
        if (access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

static void
exec_in_child(const char *const argv[], int in, int out)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

void
program_start(program *p, harness *h, const char *const argv[], bool with_stdin)
{
    int out[2], in[2] = { -1, -1 };

    *p = (program){ .h = h, .in = -1 };
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    if (with_stdin)
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    else
        in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0)
        exec_in_child(argv, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    p->out = out[0];
    p->in = in[1];
    assert_int_equal(fcntl(p->out, F_SETFL, O_NONBLOCK), 0);
    if (with_stdin)
        assert_int_equal(fcntl(p->in, F_SETFL, O_NONBLOCK), 0);
}

static void
collect(program *p)
{
    while (p->out >= 0) {
        char spill[1000];
        size_t room = sizeof(p->text) - 1 - p->text_len;
        ssize_t got = room > 0 ? read(p->out, p->text + p->text_len, room)
                               : read(p->out, spill, sizeof(spill));

        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            close(p->out);
            p->out = -1;
            return;
        }
        if (room > 0)
            p->text_len += (size_t)got;
        p->text[p->text_len] = '\0';
    }
}

bool
program_has_ended(void *arg)
{
    program *p = arg;
    int status;

    collect(p);
    if (!p->ended && waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->ended = true;
        p->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        collect(p);
    }
    return p->ended;
}

static void
close_pipes(program *p)
{
    if (p->in >= 0)
        close(p->in);
    if (p->out >= 0)
        close(p->out);
    p->in = p->out = -1;
}

void
program_finish(program *p)
{
    harness_until(p->h, program_has_ended, p);
    close_pipes(p);
    if (p->exit_code != 0)
        fail_msg("exit code %d: %s", p->exit_code, p->text);
}

static bool
has_line(void *arg)
{
    program *p = arg;

    (void)program_has_ended(p);
    return p->ended || memchr(p->text, '\n', p->text_len) != NULL;
}

const char *
program_line(program *p)
{
    static char line[300];
    char *end;

    harness_until(p->h, has_line, p);
    end = memchr(p->text, '\n', p->text_len);
    if (end == NULL)
        fail_msg("ended without a line, exit code %d: %s", p->exit_code, p->text);
    snprintf(line, sizeof(line), "%.*s", (int)(end - p->text), p->text);
    p->text_len -= (size_t)(end + 1 - p->text);
    memmove(p->text, end + 1, p->text_len + 1);
    return line;
}

typedef struct feeding {
    program *p;
    const uint8_t *data;
    size_t left;
} feeding;

static bool
feed_some(void *arg)
{
    feeding *f = arg;

    while (f->left > 0) {
        ssize_t put = write(f->p->in, f->data, f->left);

        collect(f->p);
        if (put < 0 && errno == EAGAIN)
            return false;
        if (put < 0)
            fail_msg("stdin: %s; output: %s", strerror(errno), f->p->text);
        f->data += put;
        f->left -= (size_t)put;
    }
    return true;
}

void
program_feed(program *p, const void *data, size_t len)
{
    feeding f = { p, data, len };

    harness_until(p->h, feed_some, &f);
}

void
program_end_input(program *p)
{
    close(p->in);
    p->in = -1;
}

void
program_kill(program *p)
{
    if (p->pid > 0 && !program_has_ended(p)) {
        kill(p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
        p->ended = true;
    }
    if (p->pid > 0)
        close_pipes(p);
}
