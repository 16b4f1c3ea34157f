/*
 * rill_demo: plays the scenes one after another, prints a line for each and the verdict.
 *
 *     rill_demo [--json FILE] [SCENE...]
 *
 * Exit code 0: every claim held; 1: one did not; 2: wrong arguments. It needs no other program and
 * no privilege, speaks only over loopback on ports that the kernel picks, and leaves no process.
 */
#define _GNU_SOURCE
#include "demo.h"

#include <rill/rill.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct demo_scene scenes[] = {
    { "echo", 60, scene_echo },
    { "idle", 30, scene_idle },
    { "slow-reader", 30, scene_slow_reader },
    { "udp", 30, scene_udp },
    { "tasks", 30, scene_tasks },
    { "children", 30, scene_children },
    { "restart", 20, scene_restart },
#if DEMO_WITH_SIM
    { "storm", 30, scene_storm },
#endif
};

enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

static void
play_in_child(const struct demo_scene *scene, struct demo_result *result, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)scene->limit_seconds); /* Ends the scene; its servers end with it. */
    scene->play(result);
    result->done = true;
    fflush(stdout);
    _exit(0);
}

static void
play(const struct demo_scene *scene, struct demo_result *result)
{
    pid_t parent = getpid(), pid;
    int status = 0;

    fflush(stdout); /* Or the child would print it once more. */
    pid = fork();
    if (pid == 0)
        play_in_child(scene, result, parent);
    if (pid < 0) {
        snprintf(result->text, sizeof(result->text), "fork: %s", strerror(errno));
        return;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (result->done)
        return;
    result->passed = false;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(result->text, sizeof(result->text), "not done after %d s", scene->limit_seconds);
    else if (WIFSIGNALED(status))
        snprintf(result->text, sizeof(result->text), "died: %s", strsignal(WTERMSIG(status)));
    else
        snprintf(result->text, sizeof(result->text), "ended with code %d", WEXITSTATUS(status));
}

static bool
is_wanted(const struct demo_scene *scene, int argc, char **argv, int first)
{
    for (int i = first; i < argc; i++)
        if (strcmp(argv[i], scene->name) == 0)
            return true;
    return first >= argc;
}

/* Every scene on the kernel runs on it: they all choose it in this way. */
static const char *
driver_name(void)
{
    const char *name = "none: it cannot be made";
    rill_loop *loop;

    if (rill_loop_new(NULL, &loop) == 0) {
        name = rill_loop_driver(loop);
        rill_loop_free(loop);
    }
    return name;
}

/* Texts are ours and hold nothing that JSON would want escaped but quotes; those do not occur. */
static int
write_json(const char *path, const struct demo_result *results, const bool *played)
{
    FILE *file = fopen(path, "we");
    const char *comma = "";

    if (file == NULL) {
        perror(path);
        return -1;
    }
    fprintf(file, "{\n  \"version\": \"%d.%d.%d\",\n  \"driver\": \"%s\",\n  \"scenes\": [",
        RILL_VERSION_MAJOR, RILL_VERSION_MINOR, RILL_VERSION_PATCH, driver_name());
    for (int i = 0; i < SCENES; i++) {
        if (!played[i])
            continue;
        fprintf(file, "%s\n    { \"name\": \"%s\", \"passed\": %s,\n", comma, scenes[i].name,
            results[i].passed ? "true" : "false");
        fprintf(file, "      \"text\": \"%s\",\n      \"numbers\": {", results[i].text);
        for (size_t k = 0; k < results[i].fields_count; k++)
            fprintf(file, "%s \"%s\": %.17g", k > 0 ? "," : "", results[i].fields[k].name,
                results[i].fields[k].value);
        fprintf(file, " } }");
        comma = ",";
    }
    fprintf(file, "\n  ]\n}\n");
    return fclose(file);
}

static void
greet(void)
{
    struct rlimit files;
    struct utsname name;

    /* As many descriptors as we may have: the scene with many connections needs them. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)uname(&name);
    printf("rill %d.%d.%d, driver %s, Linux %s, %ld processors\n\n", RILL_VERSION_MAJOR,
        RILL_VERSION_MINOR, RILL_VERSION_PATCH, driver_name(), name.release,
        sysconf(_SC_NPROCESSORS_ONLN));
}

int
main(int argc, char **argv)
{
    struct demo_result *results = demo_share(SCENES * sizeof(*results));
    int first = 1, failed = 0, count = 0;
    const char *json = NULL;
    bool played[SCENES];

    if (argc == 2 && strcmp(argv[1], "--restart-server") == 0)
        return scene_restart_server();
    if (argc > 2 && strcmp(argv[1], "--json") == 0) {
        json = argv[2];
        first = 3;
    } else if (argc > 1 && argv[1][0] == '-') {
        fprintf(stderr, "usage: %s [--json FILE] [SCENE...]\n", argv[0]);
        return 2;
    }

    greet();
    for (int i = 0; i < SCENES; i++) {
        played[i] = is_wanted(&scenes[i], argc, argv, first);
        if (!played[i])
            continue;
        printf("%d %-12s ", i + 1, scenes[i].name);
        play(&scenes[i], &results[i]);
        printf("%s  %s\n", results[i].passed ? "PASS" : "FAIL", results[i].text);
        count++;
        failed += !results[i].passed;
    }
    if (count == 0) {
        fprintf(stderr, "no such scene\n");
        return 2;
    }
    printf(
        "\n%d of %d claims held. Next: README.md, examples/, docs/guide/\n", count - failed, count);
    if (json != NULL && write_json(json, results, played) < 0)
        return 1;
    return failed > 0;
}
