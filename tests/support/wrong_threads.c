/*
 * Wrong calls of <rill/executor.h>, <rill/file.h>, <rill/threads.h> and <rill/signal.h>. Outside of
 * tasks those that wait say so; with wrong arguments they are in the tests of their own.
 */
#include "wrong.h"

#include <signal.h>

#include <rill/rill.h>

static int
never_run(void *arg)
{
    never(arg);
    return 0;
}

static void
never_told(void *arg, int rc)
{
    (void)rc;
    never(arg);
}

static void
never_signaled(int signo, void *arg)
{
    (void)signo;
    never(arg);
}

static int
never_walked(const rill_walk_entry *entry, void *arg)
{
    (void)entry;
    never(arg);
    return 0;
}

static void
try_executors(void)
{
    rill_executor *executor = NULL;

    WRONG(RILL_EINVAL, rill_executor_new(NULL, NULL));
    WRONG(RILL_EINVAL, rill_executor_new(unsized_options, &executor));
    WRONG(RILL_EINVAL, rill_executor_new(unknown_options, &executor));
    WRONG(RILL_EINVAL, rill_executor_new(RILL_EXECUTOR_OPTIONS(.threads_max = -1), &executor));
    WRONG(RILL_EINVAL, rill_executor_new(RILL_EXECUTOR_OPTIONS(.threads_max = 1025), &executor));
    WRONG(RILL_EINVAL, rill_executor_new(RILL_EXECUTOR_OPTIONS(.name = ""), &executor));
    WRONG(RILL_EINVAL, rill_executor_new(RILL_EXECUTOR_OPTIONS(.name = "twelve bytes"), &executor));
    assert_null(executor);
    IGNORED(rill_executor_free(NULL, RILL_NEVER));
    WRONG(RILL_EINVAL, rill_loop_set_executor(NULL, executor));
    WRONG(RILL_EINVAL, rill_loop_set_executor(h.loop, NULL));
    WRONG(RILL_EINVAL,
        rill_run_in_executor_start(NULL, NULL, never_run, NULL, never_told, NULL, &out.id));
    WRONG(RILL_EINVAL,
        rill_run_in_executor_start(h.loop, NULL, NULL, NULL, never_told, NULL, &out.id));
    WRONG(RILL_EINVAL,
        rill_run_in_executor_start(h.loop, NULL, never_run, NULL, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_run_in_executor(NULL, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_run_in_executor(NULL, never_run, NULL));
}

static void
try_files(void)
{
    void *data = NULL;
    size_t len = 0;
    char byte = 0;

    WRONG(RILL_EINVAL, rill_file_read(NULL, &data, &len, 0));
    WRONG(RILL_EINVAL, rill_file_read("/dev/null", NULL, &len, 0));
    WRONG(RILL_EINVAL, rill_file_read("/dev/null", &data, NULL, 0));
    WRONG(RILL_EINVAL, rill_file_read("/dev/null", &data, &len, SIZE_MAX));
    WRONG(RILL_ENOTASK, rill_file_read("/dev/null", &data, &len, 0));
    IGNORED(rill_file_free(NULL));
    WRONG(RILL_EINVAL, rill_file_write(NULL, "x", 1, 0600, 0));
    WRONG(RILL_EINVAL, rill_file_write("/dev/null", NULL, 1, 0600, 0));
    WRONG(RILL_EINVAL, rill_file_write("/dev/null", "x", 1, -1, 0));
    WRONG(RILL_EINVAL, rill_file_write("/dev/null", "x", 1, 010000, 0));
    WRONG(RILL_EINVAL, rill_file_write("/dev/null", "x", 1, 0600, RILL_FILE_READ));
    WRONG(RILL_EINVAL,
        rill_file_write("/dev/null", "x", 1, 0600, RILL_FILE_ATOMIC | RILL_FILE_APPEND));
    WRONG(RILL_EINVAL, rill_file_open(NULL, RILL_FILE_READ, 0));
    WRONG(RILL_EINVAL, rill_file_open("/dev/null", 0, 0));
    WRONG(RILL_EINVAL, rill_file_open("/dev/null", RILL_FILE_READ | RILL_FILE_SYNC, 0));
    WRONG(RILL_EINVAL, rill_file_open("/dev/null", RILL_FILE_READ, -1));
    WRONG(RILL_EINVAL, (int)rill_file_read_at(-1, 0, &byte, 1));
    wrong_note("rill_file_read_at(");
    WRONG(RILL_EINVAL, (int)rill_file_read_at(0, 0, NULL, 1));
    WRONG(RILL_EINVAL, (int)rill_file_read_at(0, UINT64_MAX, &byte, 1));
    WRONG(RILL_EINVAL, rill_file_write_at(-1, 0, "x", 1));
    WRONG(RILL_EINVAL, rill_file_write_at(0, 0, NULL, 1));
    WRONG(RILL_EINVAL, rill_file_write_at(0, UINT64_MAX, "x", 1));
    WRONG(RILL_EINVAL, rill_file_close(-1));
    WRONG(RILL_EINVAL, rill_walk(NULL, never_walked, NULL));
    WRONG(RILL_EINVAL, rill_walk("/", NULL, NULL));
    WRONG(RILL_ENOTASK, rill_walk("/", never_walked, NULL));
}

static void
try_foreign_threads(void)
{
    rill_cfuture *cfuture = NULL;
    rill_task_options options = rill_task_options_default();

    WRONG(RILL_EINVAL, rill_spawn_threadsafe(NULL, never_run, NULL, NULL, &cfuture));
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, NULL, NULL, NULL, &cfuture));
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, NULL, NULL, NULL));
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, NULL, unsized_options, &cfuture));
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, NULL, unknown_options, &cfuture));
    options.copy_arg = 2049;
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, &out, &options, &cfuture));
    options.copy_arg = 1;
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, NULL, &options, &cfuture));
    options.copy_arg = 0;
    options.context = (rill_context *)(void *)&out;
    WRONG(RILL_EINVAL, rill_spawn_threadsafe(h.loop, never_run, NULL, &options, &cfuture));
    assert_null(cfuture);
    WRONG(RILL_EINVAL, rill_cfuture_wait(NULL, 0));
    IGNORED(rill_cfuture_free(NULL));
}

static void
try_signals(void)
{
    static const int good[] = { SIGUSR1 };

    WRONG(RILL_EINVAL, rill_add_signal_handler(NULL, SIGUSR1, never_signaled, NULL));
    WRONG(RILL_EINVAL, rill_add_signal_handler(h.loop, SIGUSR1, NULL, NULL));
    WRONG(RILL_EINVAL, rill_add_signal_handler(h.loop, 0, never_signaled, NULL));
    WRONG(RILL_EINVAL, rill_add_signal_handler(h.loop, 65, never_signaled, NULL));
    WRONG(RILL_EINVAL, rill_add_signal_handler(h.loop, SIGKILL, never_signaled, NULL));
    SAYS(!rill_remove_signal_handler(h.loop, SIGUSR1));
    wrong_note("rill_remove_signal_handler(");
    WRONG(RILL_EINVAL, rill_signal_wait(NULL, 1));
    WRONG(RILL_EINVAL, rill_signal_wait(good, 0));
    WRONG(RILL_ENOTASK, rill_signal_wait(good, 1));
}

void
wrong_threads(void)
{
    try_executors();
    try_files();
    try_foreign_threads();
    try_signals();
}
