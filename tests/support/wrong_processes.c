/*
 * Wrong calls of <rill/subprocess.h> and <rill/process.h>. Here no task runs; what is wrong with
 * options is in tests/transports/test_subprocess.c, too.
 */
#include "wrong.h"

static const rill_subprocess_protocol protocol = RILL_SUBPROCESS_PROTOCOL();

static const char *const missing[] = { "/nowhere/at-all", NULL };

static void
try_starting(void)
{
    const rill_subprocess_protocol unsized = { 0 };
    const rill_subprocess_protocol huge =
        RILL_SUBPROCESS_PROTOCOL(.state_size = (size_t)PTRDIFF_MAX);
    const rill_process_options named = RILL_PROCESS_OPTIONS(.argv = missing);
    const rill_process_options nameless = RILL_PROCESS_OPTIONS(.argv = NULL);
    const rill_process_options *bad[] = { &nameless, unknown_options, unsized_options };

    WRONG(RILL_EINVAL, rill_subprocess_exec(NULL, &named, &protocol, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_exec(h.loop, NULL, &protocol, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_exec(h.loop, &named, NULL, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_exec(h.loop, &named, &unsized, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_exec(h.loop, &named, &huge, NULL, &out.subprocess));
    for (EACH(i, bad))
        WRONG(RILL_EINVAL, rill_subprocess_exec(h.loop, bad[i], &protocol, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_shell(NULL, "x", NULL, &protocol, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_shell(h.loop, NULL, NULL, &protocol, NULL, &out.subprocess));
    WRONG(RILL_EINVAL, rill_subprocess_shell(h.loop, "x", NULL, NULL, NULL, &out.subprocess));
    WRONG(
        RILL_EINVAL, rill_subprocess_shell(h.loop, "x", &named, &protocol, NULL, &out.subprocess));
}

static void
try_processes(void)
{
    const rill_process_options named = RILL_PROCESS_OPTIONS(.argv = missing);

    WRONG(RILL_EINVAL, rill_process_exec(NULL, &out.process));
    WRONG(RILL_EINVAL, rill_process_exec(&named, NULL));
    WRONG(RILL_ENOTASK, rill_process_exec(&named, &out.process));
    WRONG(RILL_EINVAL, rill_process_shell(NULL, NULL, &out.process));
    WRONG(RILL_EINVAL, rill_process_shell("x", NULL, NULL));
    WRONG(RILL_ENOTASK, rill_process_shell("x", NULL, &out.process));
    WRONG(RILL_EINVAL, rill_process_wait(NULL, &out.value));
    WRONG(RILL_EINVAL, rill_process_stop(NULL, 0, &out.value));
    WRONG(RILL_EINVAL,
        rill_process_communicate(NULL, NULL, 0, 0, RILL_NEVER, &out.slice, &out.slice));
    WRONG(RILL_EINVAL, rill_process_returncode(NULL, &out.value));
    WRONG(RILL_EINVAL, rill_process_send_signal(NULL, 0));
    WRONG(RILL_EINVAL, rill_process_terminate(NULL));
    WRONG(RILL_EINVAL, rill_process_kill(NULL));
    IGNORED(rill_process_unref(NULL));
}

static void
try_programs(void)
{
    const rill_sim_program program = { .size = sizeof(program) };
    const rill_sim_program unsized = { 0 };
    const rill_sim_program failing = { .size = sizeof(failing), .exec_error = -1 };

    WRONG(RILL_EINVAL, rill_sim_program_add(NULL, NULL, "x", &program, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, "nobody", "x", &program, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, NULL, NULL, &program, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, NULL, "", &program, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, NULL, "x", NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, NULL, "x", &unsized, NULL));
    WRONG(RILL_EINVAL, rill_sim_program_add(sim, NULL, "x", &failing, NULL));
    WRONG(RILL_EINVAL, (int)rill_sim_process_read(NULL, &out, 1));
    WRONG(RILL_EINVAL, (int)rill_sim_process_write(NULL, 1, "x", 1));
    SAYS(rill_sim_processes(sim, "nobody") == 0);
}

void
wrong_processes(void)
{
    try_starting();
    WRONG(RILL_EINVAL, rill_subprocess_returncode(NULL, &out.value));
    WRONG(RILL_EINVAL, rill_subprocess_send_signal(NULL, 0));
    WRONG(RILL_EINVAL, rill_subprocess_terminate(NULL));
    WRONG(RILL_EINVAL, rill_subprocess_kill(NULL));
    try_processes();
    try_programs();
}
