/*
 * The gdb commands: tasks of a stopped process, and the stack of one that is suspended.
 */
/* drivers: epoll */
/* timeout: 120 */
/* valgrind: no */
#include "tasks.h"

#include <stdlib.h>
#include <unistd.h>

static __attribute__((noinline)) int
sleep_deep_inside(void *arg)
{
    int rc = rill_sleep(*(rill_ns *)arg);

    __asm__ volatile("" : : : "memory"); /* No tail call: the frame is to be seen. */
    return rc;
}

static int
sleeper(void *arg)
{
    int rc = sleep_deep_inside(arg);

    __asm__ volatile("" : : : "memory");
    return rc;
}

__attribute__((noinline)) void stop_here(void);

void
stop_here(void)
{
    __asm__ volatile("" : : : "memory");
}

static int
app(void *unused)
{
    static rill_ns delay = RILL_MS;
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(sleeper, &delay, RILL_TASK_OPTIONS(.name = "dormouse"), &task));
    RILL_TRY(rill_yield());
    stop_here();
    return rill_join(task);
}

/* What gdb says to these commands, about this program run as an inferior. */
static void
debug(char *text, size_t size)
{
    char command[1000];
    FILE *gdb;
    size_t len;

    snprintf(command, sizeof(command),
        "ASAN_OPTIONS=detect_leaks=0 RILL_TEST_INFERIOR=1 gdb -nx -batch -ex 'source %s' "
        "-ex 'break stop_here' -ex run -ex 'rill tasks' -ex 'rill bt dormouse' -ex 'rill bt 99' "
        "-ex 'rill' --args /proc/%d/exe 2>&1",
        RILL_GDB_SCRIPT, (int)getpid());
    gdb = popen(command, "r");
    assert_non_null(gdb);
    len = fread(text, 1, size - 1, gdb);
    text[len] = '\0';
    pclose(gdb);
}

/* mutant: tasks/wait.c
 * - return sleep_until(fiber, when, "rill_sleep", nap_cancel);
 * + return sleep_until(fiber, when, "rill_await", nap_cancel); */
static void
test_gdb_lists_tasks_and_shows_the_stack_of_a_suspended_one(void **unused)
{
    static char text[20000];

    (void)unused;
    debug(text, sizeof(text));
    assert_contains(text, "main  runs; made at ");
    assert_contains(text, "dormouse  waits in rill_sleep; made at ");
    assert_contains(text, "task dormouse:");
    assert_contains(text, "sleep_deep_inside at ");
    assert_contains(text, "  sleeper at ");
    assert_contains(text, "there is no task 99");
    assert_contains(text, "rill bt ID-OR-NAME");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gdb_lists_tasks_and_shows_the_stack_of_a_suspended_one),
    };

    if (getenv("RILL_TEST_INFERIOR") != NULL)
        return rill_run(app, NULL) < 0;
    /* The commands know the frames of our own switches, on a processor that gdb can run. */
    if (RILL_UCONTEXT)
        return SKIP_EXIT_CODE;
    if (system("gdb --version >/dev/null 2>&1") != 0)
        return SKIP_EXIT_CODE;
    return run_cases(tests);
}
