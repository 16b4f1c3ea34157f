/*
 * Starting /bin/true and waiting for its end, one after another: rill beside posix_spawn with
 * waitpid, fork with exec, and libuv where it is there, in a small and in a large process.
 *
 *     spawn [--rounds 15] [--spawns 40] [--megabytes 1024]
 *
 * Each round gives all of them a turn; figures are wall time, the median over rounds of the time
 * over posix_spawn's in the same round. The large process has written to its megabytes.
 */
#include <rill/rill.h>

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef SPAWN_HAVE_UV
#include <uv.h>
#endif

#define ROUNDS_MAX 199

extern char **environ;

static int rounds = 15;
static int spawns = 40;
static size_t megabytes = 1024;

static void
die(const char *what)
{
    fprintf(stderr, "spawn: %s failed\n", what);
    exit(1);
}

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the ways ---- */

static char *const plain_argv[] = { (char[]){ "/bin/true" }, NULL };

static void
by_posix_spawn(void)
{
    for (int i = 0; i < spawns; i++) {
        pid_t pid;
        int status;

        if (posix_spawn(&pid, plain_argv[0], NULL, NULL, plain_argv, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 0)
            die("posix_spawn");
    }
}

static void
by_fork(void)
{
    for (int i = 0; i < spawns; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            execv(plain_argv[0], plain_argv);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            die("fork");
    }
}

struct counted {
    rill_loop *loop;
    int left;
};

static struct counted counted;

static void start_rill(void);

static void
on_lost(rill_subprocess *process, void *self, const rill_reason *why)
{
    int code = 1;

    (void)self;
    (void)why;
    if (rill_subprocess_returncode(process, &code) < 0 || code != 0)
        die("rill's child");
    if (--counted.left == 0)
        rill_loop_stop(counted.loop);
    else
        start_rill();
}

static void
start_rill(void)
{
    static const rill_subprocess_protocol protocol =
        RILL_SUBPROCESS_PROTOCOL(.connection_lost = on_lost);
    static const char *const argv[] = { "/bin/true", NULL };

    if (rill_subprocess_exec(
            counted.loop, &RILL_PROCESS_OPTIONS(.argv = argv), &protocol, NULL, NULL) < 0)
        die("rill_subprocess_exec");
}

static void
by_rill(void)
{
    counted.left = spawns;
    start_rill();
    if (rill_loop_run(counted.loop) < 0)
        die("rill_loop_run");
}

#ifdef SPAWN_HAVE_UV
static uv_loop_t uv;
static int uv_left;
static uv_process_t uv_child;

static void start_uv(void);

static void
on_uv_closed(uv_handle_t *handle)
{
    (void)handle;
    if (--uv_left > 0)
        start_uv();
}

static void
on_uv_exit(uv_process_t *process, int64_t status, int signo)
{
    if (status != 0 || signo != 0)
        die("libuv's child");
    uv_close((uv_handle_t *)process, on_uv_closed);
}

static void
start_uv(void)
{
    uv_process_options_t options = { .exit_cb = on_uv_exit };

    options.file = plain_argv[0];
    options.args = (char **)plain_argv;
    if (uv_spawn(&uv, &uv_child, &options) != 0)
        die("uv_spawn");
}

static void
by_uv(void)
{
    uv_left = spawns;
    start_uv();
    uv_run(&uv, UV_RUN_DEFAULT);
}
#endif

/* ---- measuring ---- */

static const struct way {
    const char *name;
    void (*run)(void);
} ways[] = {
    { "posix_spawn", by_posix_spawn },
    { "rill", by_rill },
#ifdef SPAWN_HAVE_UV
    { "libuv", by_uv },
#endif
    { "fork", by_fork },
};

#define WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(values[0]), compare);
    return values[count / 2];
}

static void
measure(const char *name)
{
    static double times[WAYS][ROUNDS_MAX];
    static double ratios[WAYS][ROUNDS_MAX];

    for (int round = -1; round < rounds; round++) { /* The first is to get warm. */
        for (int i = 0; i < WAYS; i++) {
            double begin = now();

            ways[i].run();
            if (round >= 0)
                times[i][round] = now() - begin;
        }
        for (int i = 0; i < WAYS && round >= 0; i++)
            ratios[i][round] = times[i][round] / times[0][round];
    }
    for (int i = 0; i < WAYS; i++)
        printf("%-8s %-12s %8.1f us, %5.2f of posix_spawn\n", name, ways[i].name,
            median(times[i], rounds) / spawns * 1e6, median(ratios[i], rounds));
}

int
main(int argc, char *argv[])
{
    char *ballast;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--spawns") == 0)
            spawns = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--megabytes") == 0)
            megabytes = (size_t)atol(argv[i + 1]);
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || spawns < 1)
        die("reading the arguments");
    if (rill_loop_new(NULL, &counted.loop) < 0)
        die("rill_loop_new");
#ifdef SPAWN_HAVE_UV
    if (uv_loop_init(&uv) != 0)
        die("uv_loop_init");
#endif
    measure("small");
    ballast = malloc(megabytes << 20);
    if (ballast == NULL)
        die("malloc");
    for (size_t at = 0; at < megabytes << 20; at += 4096)
        *(volatile char *)(ballast + at) = 1; /* Else the compiler finds it useless. */
    measure("large");
    free(ballast);
    rill_loop_free(counted.loop);
    return 0;
}
