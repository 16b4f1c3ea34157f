/*
 * Waits that must not be: what the loop's last error says of each, for who reads the code alone.
 *
 * Stateless. Loop thread only.
 */
#include "tasks/internal.h"

int
rill__refuse_outside(void)
{
    if (rill__running != NULL)
        (void)rill__fail(rill__running, RILL_ENOTASK, RILL_LAYER_TASK,
            "only a task can wait, and this is none: run the function by rill_spawn or rill_run; "
            "callbacks use what ends in _start, and rill_future_on_done");
    return RILL_ENOTASK;
}

int
rill__refuse_foreign(const rill__fiber *fiber, const char *site)
{
    char who[320];

    rill__task_describe(fiber->task, who, sizeof(who));
    return rill__fail(fiber->loop, RILL_EWRONGLOOP, RILL_LAYER_TASK,
        "%s (made at %s) cannot wait for what belongs to another loop%s%s: have a task of that "
        "loop do it (rill_spawn_threadsafe)",
        who, fiber->task->future.site, site != NULL ? ", made at " : "", site != NULL ? site : "");
}

int
rill__refuse_itself(const rill__fiber *fiber)
{
    char who[320];

    rill__task_describe(fiber->task, who, sizeof(who));
    return rill__fail(fiber->loop, RILL_EDEADLK, RILL_LAYER_TASK,
        "%s (made at %s) cannot wait for its own end", who, fiber->task->future.site);
}
