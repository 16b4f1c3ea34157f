/*
 * Wrong calls of <rill/future.h> and <rill/task.h>, from outside of tasks.
 */
#include "wrong.h"

static int
never_task(void *arg)
{
    never(arg);
    return 0;
}

static void
never_done(rill_future *future, void *arg)
{
    (void)future;
    never(arg);
}

static void
try_futures(void)
{
    rill_future *future;

    WRONG(RILL_EINVAL, rill_future_new_site(NULL, "here", &out.future));
    WRONG(RILL_EINVAL, rill_future_new_site(h.loop, "here", NULL));
    WRONG(RILL_EINVAL, rill_future_set_result(NULL, NULL));
    WRONG(RILL_EINVAL, rill_future_set_error(NULL, -1));
    WRONG(RILL_EINVAL, rill_future_on_done(NULL, never_done, NULL));
    WRONG(RILL_EINVAL, rill_future_result(NULL, NULL));
    IGNORED(rill_future_unref(NULL));
    assert_code(rill_future_new(h.loop, &future), 0);
    WRONG(RILL_EINVAL, rill_future_set_error(future, 0));
    WRONG(RILL_EINVAL, rill_future_on_done(future, NULL, NULL));
    WRONG(RILL_ESTATE, rill_future_result(future, &out.pointer));
    WRONG(RILL_ENOTASK, rill_await(future, &out.pointer));
    WRONG(RILL_ENOTASK, rill_await_shared(future, &out.pointer));
    WRONG(RILL_ENOTASK, rill_await_for(future, 1, &out.pointer));
    SAYS(rill_future_remove_done(future, never_done, NULL) == 0);
    rill_future_unref(future);
}

static void
try_tasks(void)
{
    WRONG(RILL_EINVAL, rill_spawn_site(h.loop, NULL, NULL, NULL, "here", &out.task));
    WRONG(RILL_EINVAL, rill_spawn_site(h.loop, never_task, NULL, NULL, "here", NULL));
    WRONG(RILL_ENOTASK, rill_spawn_site(NULL, never_task, NULL, NULL, "here", &out.task));
    WRONG(
        RILL_EINVAL, rill_spawn_site(h.loop, never_task, NULL, unsized_options, "here", &out.task));
    WRONG(
        RILL_EINVAL, rill_spawn_site(h.loop, never_task, NULL, unknown_options, "here", &out.task));
    WRONG(RILL_EINVAL, rill_spawn_site(h.loop, never_task, NULL,
                           RILL_TASK_OPTIONS(.copy_arg = 4096), "here", &out.task));
    WRONG(RILL_EINVAL, rill_go_site(h.loop, NULL, NULL, NULL, "here"));
    WRONG(RILL_EINVAL, rill_join(NULL));
    WRONG(RILL_EINVAL, rill_await(NULL, &out.pointer));
    WRONG(RILL_EINVAL, rill_await_shared(NULL, &out.pointer));
    WRONG(RILL_EINVAL, rill_await_for(NULL, 1, &out.pointer));
    WRONG(RILL_EINVAL, rill_task_set_name(NULL, "name"));
    WRONG(RILL_EINVAL, rill_defer(NULL, NULL));
    IGNORED(rill_task_unref(NULL));
}

static void
try_scopes_and_groups(void)
{
    rill_scope never_begun = { { NULL } };

    WRONG(RILL_EINVAL, rill_scope_end(NULL, 0));
    WRONG(RILL_EINVAL, rill_scope_reschedule(NULL, 0));
    WRONG(RILL_ESTATE, rill_scope_reschedule(&never_begun, 0));
    IGNORED(rill_scope_cancel(&never_begun));
    WRONG(RILL_EINVAL, rill_group_end(NULL, 0));
    WRONG(RILL_EINVAL, rill_group_spawn_site(NULL, never_task, NULL, NULL, "here"));
}

static void
try_several(void)
{
    WRONG(RILL_EINVAL, rill_wait(NULL, 0, RILL_ALL_DONE, 0));
    WRONG(RILL_EINVAL, rill_gather(NULL, 1));
    WRONG(RILL_EINVAL, rill_completions_begin(NULL, NULL, 0));
    WRONG(RILL_EINVAL, rill_completions_next(NULL));
}

static void
try_the_rest(void)
{
    static const rill_var var = { "var", NULL };
    static rill_token never_set;

    WRONG(RILL_EINVAL, rill_var_set(NULL, NULL, NULL));
    WRONG(RILL_ENOTASK, rill_var_set(&var, NULL, NULL));
    WRONG(RILL_EINVAL, rill_var_reset(NULL));
    WRONG(RILL_ESTATE, rill_var_reset(&never_set));
    IGNORED(rill_context_unref(NULL));
    WRONG(RILL_EINVAL, rill_generator_new_site(NULL, NULL, "here", &out.generator));
    WRONG(RILL_EINVAL, rill_generator_new_site(never_task, NULL, "here", NULL));
    WRONG(RILL_ENOTASK, rill_generator_new_site(never_task, NULL, "here", &out.generator));
    WRONG(RILL_EINVAL, rill_generator_next(NULL, &out.pointer));
    IGNORED(rill_generator_free(NULL));
    WRONG(RILL_EINVAL, rill_run_site(NULL, NULL, NULL, "here"));
    WRONG(RILL_EINVAL, rill_run_site(never_task, NULL, unsized_options, "here"));
    WRONG(RILL_EINVAL, rill_runner_new(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, rill_runner_new(h.loop, &RILL_LOOP_OPTIONS(.driver = "epoll"), &out.runner));
    WRONG(RILL_EINVAL, rill_runner_run_site(NULL, never_task, NULL, "here"));
    SAYS(rill_runner_free(NULL, 0) == 0);
}

void
wrong_tasks(void)
{
    try_futures();
    try_tasks();
    try_scopes_and_groups();
    try_several();
    try_the_rest();
}
