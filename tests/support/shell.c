/*
 * The simulated shell: a script is read command by command, a sleep is an alarm of the process.
 */
#include "shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

typedef struct script {
    const char *at;
    bool deaf; /* trap '' TERM */
    bool last; /* exec: its end is the end. */
    bool copying;
    rill_ns asleep;  /* Until then. */
    char text[4096]; /* To be written to `to`. */
    size_t text_len;
    int to;
} script;

static bool
take(const char **at, const char *word)
{
    size_t len = strlen(word);

    if (strncmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static void
end(rill_sim_process *process, script *s, int status)
{
    free(s);
    rill_sim_process_set_data(process, NULL);
    rill_sim_process_exit(process, status, 0);
}

/* True when all is written. */
static bool
write_text(rill_sim_process *process, script *s)
{
    while (s->text_len > 0) {
        int64_t n = rill_sim_process_write(process, s->to, s->text, s->text_len);

        if (n == -EAGAIN)
            return false;
        if (n < 0) { /* SIGPIPE */
            s->text_len = 0;
            s->copying = false;
            return true;
        }
        memmove(s->text, s->text + n, s->text_len - (size_t)n);
        s->text_len -= (size_t)n;
    }
    return true;
}

/* True at the end of the input. */
static bool
copy(rill_sim_process *process, script *s)
{
    int64_t n;

    while (write_text(process, s)) {
        if (!s->copying)
            return true;
        n = rill_sim_process_read(process, s->text, sizeof(s->text));
        if (n == -EAGAIN)
            return false;
        if (n <= 0)
            return true;
        s->text_len = (size_t)n;
    }
    return false;
}

/* echo TEXT, or echo TEXT >&2 */
static void
echo(script *s)
{
    size_t len = strcspn(s->at, ";>");
    size_t text = len;

    while (text > 0 && s->at[text - 1] == ' ')
        text--;
    assert_true(text < sizeof(s->text));
    memcpy(s->text, s->at, text);
    s->text[text] = '\n';
    s->text_len = text + 1;
    s->at += len;
    s->to = take(&s->at, ">&2") ? 2 : 1;
}

static bool
redirect(rill_sim_process *process, script *s)
{
    static const char *const words[] = { "exec <&-", "exec >&-", "exec 2>&-" };

    for (int fd = 0; fd < 3; fd++) {
        if (take(&s->at, words[fd])) {
            rill_sim_process_close(process, fd);
            return true;
        }
    }
    return false;
}

/* One command; false when the script stands still or is over. */
static bool
obey(rill_sim_process *process, script *s, const rill_sim *world)
{
    rill_ns length;
    char *rest;

    while (*s->at == ' ' || *s->at == ';')
        s->at++;
    if (*s->at == '\0' || s->last) {
        end(process, s, 0);
        return false;
    }
    if (take(&s->at, "exit ")) {
        end(process, s, atoi(s->at));
        return false;
    }
    if (redirect(process, s))
        return true;
    s->last = take(&s->at, "exec ");
    if (take(&s->at, "sleep ")) {
        length = (rill_ns)(strtod(s->at, &rest) * (double)RILL_S);
        rill_sim_process_sleep(process, length);
        s->asleep = rill_sim_now(world) + length;
        s->at = rest;
        return false;
    }
    if (take(&s->at, "trap '' TERM")) {
        s->deaf = true;
        return true;
    }
    if (take(&s->at, "echo ")) {
        echo(s);
        return true;
    }
    if (take(&s->at, "cat")) {
        s->copying = true;
        s->to = 1;
        return true;
    }
    fprintf(stderr, "the simulated shell does not know: %s\n", s->at);
    abort();
}

static void
run(rill_sim_process *process, void *arg)
{
    const rill_sim *world = arg;
    script *s = rill_sim_process_data(process);

    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        s->at = rill_sim_process_argv(process)[2];
        rill_sim_process_set_data(process, s);
    }
    if (s->asleep > rill_sim_now(world) && !s->copying && s->text_len == 0)
        return;
    while (copy(process, s)) {
        s->copying = false;
        if (!obey(process, s, world))
            return;
    }
}

static bool
signaled(rill_sim_process *process, int signo, void *arg)
{
    script *s = rill_sim_process_data(process);

    (void)arg;
    return signo == SIGTERM && s != NULL && s->deaf;
}

static void
ended(rill_sim_process *process, void *arg)
{
    (void)arg;
    free(rill_sim_process_data(process));
}

static void
succeed(rill_sim_process *process, void *arg)
{
    (void)arg;
    rill_sim_process_exit(process, 0, 0);
}

void
shell_open(shell *s)
{
    rill_loop_options options = RILL_LOOP_OPTIONS();
    const rill_sim_program sh = {
        .size = sizeof(sh), .run = run, .signaled = signaled, .ended = ended
    };
    const rill_sim_program yes = { .size = sizeof(yes), .run = succeed };
    const rill_sim_program locked = { .size = sizeof(locked), .exec_error = EACCES };

    s->world = NULL;
    if (on_driver("sim")) {
        assert_int_equal(rill_sim_new(NULL, &s->world), 0);
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/bin/sh", &sh, s->world), 0);
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/bin/true", &yes, NULL), 0);
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/dev/null", &locked, NULL), 0);
        options.sim = s->world;
    }
    harness_open_with(&s->h, options);
}

bool
shell_is_empty(void *arg)
{
    shell *s = arg;
    siginfo_t info;

    if (s->world != NULL)
        return rill_sim_processes(s->world, NULL) == 0;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}

void
shell_expect_no_children(shell *s)
{
    assert_true(shell_is_empty(s));
}

void
shell_close_with(shell *s, size_t leftovers)
{
    harness_close_with(&s->h, leftovers);
    if (s->world != NULL)
        assert_int_equal(rill_sim_free(s->world), 0);
}

void
shell_close(shell *s)
{
    shell_expect_no_children(s);
    shell_close_with(s, 0);
}
