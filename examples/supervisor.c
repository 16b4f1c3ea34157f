/*
 * Supervisor: keeps programs running. Each argument is a shell command in a task of its own; one
 * that ends is started again, after a pause that doubles while it fails at once. SIGTERM or SIGINT
 * ends all of them: first kindly, then by force.
 *
 * Shows: a group of tasks that each own a process, rill_process_wait, rill_signal_wait, and
 * cleaning up under a shield: rill_process_stop asks, waits, and kills.
 *
 * Run:     ./supervisor 'sleep 1; exit 3' 'sleep 1000'
 * Prints:  "ready", a line for each start and end: "started sleep 1000", "ended -15 sleep 1000"
 */
#include <rill/rill.h>

#include <signal.h>
#include <stdio.h>

#define COMMANDS_MAX 32
#define PAUSE_FIRST  (50 * RILL_MS)
#define PAUSE_LAST   (5 * RILL_S)
#define LONG_ENOUGH  (1 * RILL_S) /* Then it did not fail at once. */
#define GRACE        (2 * RILL_S)

static struct {
    const char *const *commands;
    int count;
} app;

/* The task is canceled, and this has to wait all the same. */
static int
stop(rill_process *process, int *ret_code)
{
    rill_scope shield;

    rill_shield_begin(&shield, 2 * GRACE);
    return rill_scope_end(&shield, rill_process_stop(process, GRACE, ret_code));
}

/* Start it and see it end. */
static int
run_once(const char *command)
{
    /* A session of its own: Ctrl-C in the terminal is for the supervisor. */
    const rill_process_options options = RILL_PROCESS_OPTIONS(.new_session = true);
    rill_process *process;
    int code = 0;
    int rc;

    RILL_TRY(rill_process_shell(command, &options, &process));
    printf("started %s\n", command);
    rc = rill_process_wait(process, &code);
    if (rc == RILL_ECANCELED)
        RILL_IGNORE(stop(process, &code));
    printf("ended %d %s\n", code, command);
    rill_process_unref(process);
    return rc;
}

static int
keep_running(void *command)
{
    rill_ns pause = PAUSE_FIRST;

    for (;;) {
        rill_ns begin = rill_loop_time(rill_loop_running());
        int rc = run_once(*(const char *const *)command);

        if (rc < 0) /* Canceled, or it cannot be started at all. */
            return rc;
        if (rill_loop_time(rill_loop_running()) - begin >= LONG_ENOUGH)
            pause = PAUSE_FIRST;
        RILL_TRY(rill_sleep(pause));
        pause = pause < PAUSE_LAST / 2 ? pause * 2 : PAUSE_LAST;
    }
}

static int
run(void *unused)
{
    static const int ends[] = { SIGTERM, SIGINT };
    rill_group group;
    int rc = 0;

    (void)unused;
    rill_group_begin(&group);
    for (int i = 0; i < app.count && rc >= 0; i++)
        rc = rill_group_spawn(&group, keep_running, (void *)&app.commands[i], NULL);
    if (rc >= 0) {
        printf("ready\n");
        rc = rill_signal_wait(ends, 2);
        rill_group_cancel(&group);
    }
    return rill_group_end(&group, rc);
}

int
main(int argc, char *argv[])
{
    int rc;

    if (argc < 2 || argc > COMMANDS_MAX) {
        fprintf(stderr, "usage: %s COMMAND...\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    app.commands = (const char *const *)argv + 1;
    app.count = argc - 1;
    rc = rill_run(run, NULL);
    if (rc < 0)
        fprintf(stderr, "supervisor: %s\n", rill_strerror(rc));
    return rc < 0;
}
