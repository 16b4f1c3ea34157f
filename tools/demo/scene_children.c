/*
 * Children: what does starting a program cost in a large process, and is every end told exactly?
 *
 * With 256 MiB in use, /bin/true is started and waited for, by rill and by posix_spawn in turns.
 * Then 200 programs are started that wait, one of them ends by itself with a code of its own and
 * the others are killed at once; no zombie may be left.
 */
#include "demo.h"

#include <rill/rill.h>

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 15, SPAWNS = 10, CHILDREN = 200, CODE = 42 };

static const double claim = 1.15;
static const size_t ballast_bytes = (size_t)256 << 20;

struct figures {
    double ratio;
    double spawn_us;
    double killed_ms;
    int exact;
};

static int
start_by_rill(void)
{
    static const char *const argv[] = { "/bin/true", NULL };
    rill_process *process;
    int code = -1;
    int rc;

    RILL_TRY(rill_process_exec(&RILL_PROCESS_OPTIONS(.argv = argv), &process));
    rc = rill_process_wait(process, &code);
    rill_process_unref(process);
    return rc == 0 && code != 0 ? RILL_EUSER : rc;
}

static int
start_by_posix_spawn(void)
{
    char *const argv[] = { (char[]){ "/bin/true" }, NULL };
    char *const environment[] = { NULL };
    pid_t pid;
    int status;

    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environment) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
        return RILL_EUSER;
    return 0;
}

static int
time_of(int (*start)(void), double *ret_ns)
{
    int64_t begun = demo_now_ns();

    for (int i = 0; i < SPAWNS; i++)
        RILL_TRY(start());
    *ret_ns = (double)(demo_now_ns() - begun) / SPAWNS;
    return 0;
}

/* The best round of each: what else the machine does makes none of them faster. */
static int
measure_starts(struct figures *figures)
{
    double best[2] = { 1e12, 1e12 };

    for (int i = 0; i < ROUNDS; i++) {
        double ns[2];

        RILL_TRY(time_of(start_by_posix_spawn, &ns[0]));
        RILL_TRY(time_of(start_by_rill, &ns[1]));
        for (int k = 0; k < 2; k++)
            best[k] = ns[k] < best[k] ? ns[k] : best[k];
    }
    figures->ratio = best[1] / best[0];
    figures->spawn_us = best[1] / 1000;
    return 0;
}

static int
end_all(rill_process **children, struct figures *figures)
{
    int64_t begun = demo_now_ns();

    for (int i = 1; i < CHILDREN; i++)
        (void)rill_process_kill(children[i]);
    for (int i = 0; i < CHILDREN; i++) {
        int code = 0;

        RILL_TRY(rill_process_wait(children[i], &code));
        figures->exact += code == (i == 0 ? CODE : -SIGKILL);
    }
    figures->killed_ms = (double)(demo_now_ns() - begun) / 1e6;
    return 0;
}

static int
measure_ends(struct figures *figures)
{
    static rill_process *children[CHILDREN];
    int rc = rill_process_shell("exit 42", NULL, &children[0]);

    for (int i = 1; i < CHILDREN && rc == 0; i++)
        rc = rill_process_shell("exec sleep 1000", NULL, &children[i]);
    if (rc == 0)
        rc = end_all(children, figures);
    for (int i = 0; i < CHILDREN; i++)
        rill_process_unref(children[i]);
    return rc;
}

static int
play(void *arg)
{
    RILL_TRY(measure_starts(arg));
    return measure_ends(arg);
}

void
scene_children(struct demo_result *result)
{
    struct figures figures = { 0 };
    char *ballast = malloc(ballast_bytes);
    siginfo_t info;
    bool zombies;
    int rc;

    if (ballast == NULL)
        demo_fail(result, "no memory");
    for (size_t at = 0; at < ballast_bytes; at += 4096)
        *(volatile char *)(ballast + at) = 1;
    rc = rill_run(play, &figures);
    free(ballast);
    if (rc < 0)
        demo_fail(result, "the children failed: %s", rill_strerror(rc));
    zombies = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
    result->passed = figures.ratio <= claim && figures.exact == CHILDREN && !zombies;
    snprintf(result->text, sizeof(result->text),
        "start and wait in %.0f us, %.2f of posix_spawn's time in a process of 256 MiB (claim: "
        "%.2f); %d of %d ends told exactly, in %.0f ms; %s",
        figures.spawn_us, figures.ratio, claim, figures.exact, CHILDREN, figures.killed_ms,
        zombies ? "a child is left" : "no zombie");
    demo_field(result, "spawn_us", figures.spawn_us);
    demo_field(result, "ratio", figures.ratio);
    demo_field(result, "claim", claim);
    demo_field(result, "exact_ends", figures.exact);
    demo_field(result, "ends_ms", figures.killed_ms);
}
