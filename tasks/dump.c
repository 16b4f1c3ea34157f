/*
 * Who waits for what: a line for each task, for a person who asks why nothing goes on.
 *
 * Writes with plain writes to a descriptor and allocates nothing. Loop thread only.
 *
 */
#include <stdio.h>

#include "tasks/internal.h"

typedef struct dump {
    rill_loop *loop;
    int fd;
} dump;

static void
describe_future(const rill_future *future, char *buf, size_t size)
{
    if (future->ops->is_task)
        rill__task_describe((const rill_task *)(const void *)future, buf, size);
    else
        snprintf(buf, size, "a future made at %s", future->site);
}

static void
describe_wait(const rill_task *task, rill_ns now, char *buf, size_t size)
{
    const rill__fiber *fiber = task->fiber;
    const rill__wait *wait = fiber->wait;
    char object[300] = "";
    rill_ns since;

    if (wait == NULL) {
        snprintf(buf, size, "%s", fiber == fiber->loop->fiber ? "runs" : "is ready");
        return;
    }
    since = now - fiber->since;
    if (wait->future != NULL)
        describe_future(wait->future, object, sizeof(object));
    else if (wait->site != NULL)
        snprintf(object, sizeof(object), "made at %s", wait->site);
    snprintf(buf, size, "waits in %s%s%s for %lld.%03lld s", wait->what,
        object[0] != '\0' ? ", " : "", object, (long long)(since / RILL_S),
        (long long)(since % RILL_S / RILL_MS));
}

static void
dump_one(rill_task *task, void *arg)
{
    const dump *self = arg;
    char who[300], wait[500], line[1100];
    int len;

    rill__task_describe(task, who, sizeof(who));
    describe_wait(task, rill_loop_time(self->loop), wait, sizeof(wait));
    len = snprintf(line, sizeof(line), "%s %s%s; made at %s\n", who,
        task->cancels > 0 ? "is canceled and " : "", wait, task->future.site);
    if (len > 0)
        rill__host_write(self->fd, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line));
}

void
rill_dump_tasks(rill_loop *loop, int fd)
{
    dump self = { .loop = loop, .fd = fd };

    (void)rill_all_tasks(loop, dump_one, &self);
}
