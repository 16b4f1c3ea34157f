/*
 * Running a main task on a loop, and the end of all others.
 *
 * The loop runs until the main task has ended. When nothing can ever wake a task again the run ends
 * with a verdict and a list of who waits for what. The variables that one main task leaves are
 * those that the next one finds. Any one thread.
 */
#include <signal.h>

#include "tasks/internal.h"

struct rill_runner {
    rill_loop *loop;
    bool owns_loop;
    bool running;
    rill_context *context;
    rill_fn main;
    void *arg;
};

int
rill_runner_new(rill_loop *loop, const rill_loop_options *options, rill_runner **ret_runner)
{
    rill_runner *self;
    bool owns = loop == NULL;
    int rc = 0;

    RILL__REQUIRE(ret_runner != NULL && (loop == NULL || options == NULL));
    if (owns)
        rc = rill_loop_new(options, &loop);
    if (rc < 0)
        return rc;
    self = rill__alloc_zeroed(loop, sizeof(*self), RILL_TAG_TASK);
    if (self == NULL) {
        if (owns)
            (void)rill_loop_free(loop);
        return -ENOMEM;
    }
    self->loop = loop;
    self->owns_loop = owns;
    *ret_runner = self;
    return 0;
}

rill_loop *
rill_runner_loop(const rill_runner *runner)
{
    return runner->loop;
}

/* ---- a run ---- */

static int
main_task(void *arg)
{
    rill_runner *self = arg;
    int code = self->main(self->arg);

    rill_context_unref(self->context);
    self->context = rill_context_copy();
    return code;
}

typedef struct ending {
    rill__waiter waiter;
    rill_loop *loop;
} ending;

static void
on_end(rill__waiter *waiter)
{
    rill_loop_stop(RILL__CONTAINER(waiter, ending, waiter)->loop);
}

/* ---- SIGINT ---- */

typedef struct interrupt {
    rill__host_watch watch;
    rill__mail mail;
    rill_task *task;
    bool installed;
    bool told; /* The task, before it had ended. */
} interrupt;

/* In a signal handler. */
static void
on_signal(rill__host_watch *watch)
{
    interrupt *self = RILL__CONTAINER(watch, interrupt, watch);

    rill__mail_post(self->task->future.loop, &self->mail);
}

static void
on_interrupt(rill__mail *mail)
{
    interrupt *self = RILL__CONTAINER(mail, interrupt, mail);

    if (rill__task_cancel(self->task, "SIGINT"))
        self->told = true;
}

static void
interrupt_begin(interrupt *self, rill_task *task)
{
    self->watch.wake = on_signal;
    self->mail.fn = on_interrupt;
    self->task = task;
    self->installed = rill__host_interrupt_begin(&self->watch);
}

/* One that came too late for the task does what it would have done without us. */
static void
interrupt_end(interrupt *self)
{
    rill_loop *loop = self->task->future.loop;

    if (!self->installed || rill__host_interrupt_end(&self->watch) == 0)
        return;
    rill__mail_take(loop);
    if (!self->told)
        rill__host_raise(SIGINT);
}

static int
run_to_end(rill_loop *loop, rill_task *task)
{
    ending end = { .waiter = { .fn = on_end }, .loop = loop };
    bool special = loop->special_wait;
    int rc;

    rill__future_wait(&task->future, &end.waiter);
    loop->special_wait = loop->tells_deadlock = true;
    do
        rc = rill_loop_run(loop);
    while (rc == 0 && task->future.state == RILL__PENDING); /* Somebody else stopped it. */
    loop->tells_deadlock = false;
    loop->special_wait = special;
    rill__list_remove(&end.waiter.link);
    if (rc == RILL_EDEADLK) {
        rill__log(loop, RILL_LOG_ERROR, "deadlock: nothing can ever wake a task of these");
        rill_dump_tasks(loop, 2);
    }
    return rc;
}

int
rill_runner_run_site(rill_runner *self, rill_fn main, void *arg, const char *site)
{
    rill_task_options options = { .size = sizeof(options), .name = "main" };
    interrupt sigint = { .told = false };
    rill_task *task;
    int rc;

    RILL__REQUIRE(self != NULL && main != NULL);
    if (self->loop->running || rill__running != NULL)
        return RILL_EBUSY;
    self->main = main;
    self->arg = arg;
    options.context = self->context;
    rc = rill_spawn_site(self->loop, main_task, self, &options, site, &task);
    if (rc < 0)
        return rc;
    interrupt_begin(&sigint, task);
    rc = run_to_end(self->loop, task);
    interrupt_end(&sigint);
    if (rc == 0)
        rc = rill__future_outcome(&task->future, NULL);
    if (rc == RILL_EREVOKED) /* By SIGINT, unless somebody else wanted it too. */
        rc = sigint.told && task->cancels <= 1 ? RILL_EINTERRUPTED : RILL_ECANCELED;
    rill_task_unref(task);
    return rc;
}

/* ---- the end ---- */

static void
cancel_one(rill_task *task, void *arg)
{
    (void)arg;
    (void)rill__task_cancel(task, "the program ends");
}

static size_t
end_tasks(rill_loop *loop, rill_ns grace)
{
    size_t left = rill_all_tasks(loop, cancel_one, NULL);
    rill_ns now = rill_loop_time(loop);

    if (left == 0)
        return 0;
    loop->tasks->stop_when_none = true;
    (void)rill_loop_run_until(loop, grace != RILL_NEVER ? rill__after(now, grace) : INT64_MAX);
    loop->tasks->stop_when_none = false;
    left = loop->object_count[RILL__OBJECT_TASK];
    if (left != 0)
        loop->tasks_ops->abandon(loop);
    return left;
}

size_t
rill_runner_free(rill_runner *self, rill_ns grace)
{
    rill_loop *loop;
    bool owns;
    size_t left;

    if (self == NULL)
        return 0;
    if (rill__running != NULL)
        rill__panic("rill_runner_free called while a loop runs in this thread: nothing would wait "
                    "for its tasks; call it when rill_runner_run has returned");
    loop = self->loop;
    owns = self->owns_loop;
    left = end_tasks(loop, grace);
    rill_context_unref(self->context);
    rill__free(loop, self, sizeof(*self), RILL_TAG_TASK);
    if (owns)
        (void)rill_loop_free(loop);
    return left;
}

int
rill_run_site(rill_fn main, void *arg, const rill_loop_options *options, const char *site)
{
    rill_runner *runner;
    int rc;

    RILL__REQUIRE(main != NULL);
    if (rill__running != NULL)
        return RILL_EBUSY;
    rc = rill_runner_new(NULL, options, &runner);
    if (rc < 0)
        return rc;
    rc = rill_runner_run_site(runner, main, arg, site);
    (void)rill_runner_free(runner, RILL__GRACE);
    return rc;
}

/* ---- holds ---- */

void
rill_loop_hold(rill_loop *loop)
{
    atomic_fetch_add(&loop->holds, 1);
}

static void
look_again(void *arg)
{
    (void)arg;
}

/* The loop may sleep for the sake of this hold alone. Without memory for the message, the verdict
 * is late, and no wrong one. */
void
rill_loop_release(rill_loop *loop)
{
    uint32_t before = atomic_fetch_sub(&loop->holds, 1);

    rill__check(before > 0);
    if (before == 1)
        (void)rill_call_soon_threadsafe(loop, look_again, NULL);
}
