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

/* One command; false when the script stands still or is over. */
static bool
obey(rill_sim_process *process, script *s)
{
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
    s->last = take(&s->at, "exec ");
    if (take(&s->at, "sleep ")) {
        rill_sim_process_sleep(process, (rill_ns)(strtod(s->at, &rest) * (double)RILL_S));
        s->at = rest;
        return false;
    }
    if (take(&s->at, "trap '' TERM")) {
        s->deaf = true;
        return true;
    }
    fprintf(stderr, "the simulated shell does not know: %s\n", s->at);
    abort();
}

static void
run(rill_sim_process *process, void *arg)
{
    script *s = rill_sim_process_data(process);

    (void)arg;
    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        s->at = rill_sim_process_argv(process)[2];
        rill_sim_process_set_data(process, s);
    }
    while (obey(process, s))
        continue;
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
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/bin/sh", &sh, NULL), 0);
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/bin/true", &yes, NULL), 0);
        assert_int_equal(rill_sim_program_add(s->world, NULL, "/dev/null", &locked, NULL), 0);
        options.sim = s->world;
    }
    harness_open_with(&s->h, options);
}

void
shell_expect_no_children(shell *s)
{
    siginfo_t info;

    if (s->world != NULL)
        assert_int_equal(rill_sim_processes(s->world, NULL), 0);
    else
        assert_true(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 &&
                    errno == ECHILD);
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
