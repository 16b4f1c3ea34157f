/*
 * Jobs of a loop: asking an executor for one, its arrival, and those that are left at the loop's
 * end.
 *
 * A job is on the loop's list from the asking to its arrival, and holds the loop as long: something
 * that the loop does not know will wake it. A task's job lies on its stack, that of a callback in
 * the loop's pool. Where the clock is virtual there are no threads: a job is a node of the ready
 * list. Loop thread only.
 */
#include <stdio.h>

#include "tasks/executor.h"

static rill__job *
job_of(rill__object *object)
{
    return RILL__CONTAINER(object, rill__job, object);
}

/* ---- the loop's executor ---- */

static int
may_use(rill_loop *loop, const char *function)
{
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    rill__check_thread(loop, function);
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, function);
    return rill__tasks_begin(loop);
}

int
rill_loop_set_executor(rill_loop *loop, rill_executor *executor)
{
    int rc;

    RILL__REQUIRE(loop != NULL && executor != NULL);
    rc = may_use(loop, "rill_loop_set_executor");
    if (rc < 0)
        return rc;
    if (loop->tasks->own_executor != NULL)
        return rill__fail_call(loop, RILL_EBUSY, "rill_loop_set_executor");
    loop->tasks->executor = executor;
    return 0;
}

static int
default_executor(rill_loop *loop, rill_executor **ret_executor)
{
    rill__tasks *tasks = loop->tasks;
    int rc = 0;

    if (tasks->executor == NULL) {
        rc = rill_executor_new(NULL, &tasks->own_executor);
        tasks->executor = tasks->own_executor;
    }
    *ret_executor = tasks->executor;
    return rc;
}

/* ---- a job's way ---- */

static void
release_context(rill__job *job)
{
    if (job->context != NULL)
        job->loop->context_ops->release(job->loop, job->context);
    job->context = NULL;
}

static void
forget(rill__job *job)
{
    rill__object_remove(job->loop, RILL__OBJECT_JOB, &job->object);
    atomic_fetch_sub(&job->loop->holds, 1);
}

static void
arrive(rill__job *job)
{
    forget(job);
    job->done(job);
}

static void
arrived(rill__mail *mail)
{
    arrive(RILL__CONTAINER(mail, rill__job, mail));
}

/* Where the clock is virtual: on the loop, in its turn. */
static void
run_here(rill__ready *ready)
{
    rill__job *job = RILL__CONTAINER(ready, rill__job, ready);
    rill_loop *loop = job->loop;
    void *outer = loop->context;

    rill__executor_begin_own(job->executor, job);
    loop->current_site = job->object.site;
    loop->context = job->context;
    job->code = job->fn(job->arg);
    job->context = loop->context;
    loop->context = outer;
    rill__executor_end_own(job->executor, job);
    arrive(job);
}

static bool
drop(rill__job *job)
{
    if (!rill__executor_drop(job->executor, job))
        return false;
    if (job->own)
        rill__loop_unlink(job->loop, &job->ready);
    forget(job);
    return true;
}

static void
end_job(rill__object *object)
{
    rill__job *job = job_of(object);

    if (!drop(job))
        return;
    job->code = RILL_ELOOPFREED;
    job->done(job);
}

static void
describe_job(const rill__object *object, char *buf, size_t size)
{
    (void)object;
    snprintf(buf, size, "a job on an executor");
}

/* `job` has its function, argument and `done`. */
static int
submit(rill_loop *loop, rill_executor *executor, rill__job *job, const char *site)
{
    static const rill__object_ops ops = { end_job, describe_job };
    bool own = loop->ops->clock_is_virtual;
    int rc = may_use(loop, "rill_run_in_executor");

    if (rc == 0 && executor == NULL)
        rc = default_executor(loop, &executor);
    if (rc < 0)
        return rc;
    job->loop = loop;
    job->executor = executor;
    job->mail.fn = arrived;
    job->context = loop->context;
    if (job->context != NULL)
        loop->context_ops->hold(job->context);
    rill__object_add(loop, RILL__OBJECT_JOB, &ops, &job->object, site);
    atomic_fetch_add(&loop->holds, 1);
    rc = own ? rill__executor_add_own(executor, job) : rill__executor_add(executor, job);
    if (rc < 0) {
        forget(job);
        release_context(job);
        return rill__fail_call(loop, rc, "rill_run_in_executor");
    }
    if (own) {
        job->ready.run = run_here;
        rill__loop_push(loop, &job->ready);
    }
    return 0;
}

/* ---- for callbacks ---- */

typedef struct started {
    rill__job job;
    rill_id id;
    rill_job_done_fn done;
    void *done_arg;
} started;

static void
started_free(started *self)
{
    rill_loop *loop = self->job.loop;

    release_context(&self->job);
    rill__pool_release(loop, self, sizeof(*self), 0);
}

static void
started_tell(rill__ready *ready)
{
    started *self = RILL__CONTAINER(ready, started, job.ready);
    rill_loop *loop = self->job.loop;
    void *outer = loop->context;

    loop->current_site = self->job.object.site;
    loop->context = self->job.context;
    self->done(self->done_arg, self->job.code);
    self->job.context = loop->context;
    loop->context = outer;
    started_free(self);
}

static void
started_over(rill__job *job)
{
    started *self = RILL__CONTAINER(job, started, job);

    rill__operation_end(job->loop, self->id);
    job->ready.run = started_tell;
    rill__loop_push(job->loop, &job->ready);
}

static bool
started_cancel(void *object)
{
    started *self = object;
    rill_loop *loop = self->job.loop;

    if (!drop(&self->job))
        return false;
    rill__operation_end(loop, self->id);
    started_free(self);
    return true;
}

int
rill_run_in_executor_start_site(rill_loop *loop, rill_executor *executor, rill_fn fn, void *arg,
    rill_job_done_fn done, void *done_arg, const char *site, rill_id *ret_id)
{
    started *self;
    int rc;

    RILL__REQUIRE(loop != NULL && fn != NULL && done != NULL);
    rc = may_use(loop, "rill_run_in_executor_start");
    if (rc < 0)
        return rc;
    self = rill__pool_take(loop, sizeof(*self));
    if (self == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_run_in_executor_start");
    *self = (started){
        .job = { .fn = fn, .arg = arg, .done = started_over }, .done = done, .done_arg = done_arg
    };
    rc = rill__operation_new(loop, started_cancel, self, &self->id);
    if (rc < 0)
        goto fail;
    rc = submit(loop, executor, &self->job, site);
    if (rc < 0)
        goto fail_operation;
    if (ret_id != NULL)
        *ret_id = self->id;
    return 0;

fail_operation:
    rill__operation_end(loop, self->id);
fail:
    rill__pool_release(loop, self, sizeof(*self), 0);
    return rc;
}

/* ---- for tasks ---- */

typedef struct errand {
    rill__wait wait;
    rill__job job;
} errand;

/* What says that it was canceled would read as a cancel of the caller. */
static void
errand_over(rill__job *job)
{
    errand *self = RILL__CONTAINER(job, errand, job);

    release_context(job);
    rill__wake(self->wait.fiber, job->code == RILL_ECANCELED ? RILL_EREVOKED : job->code);
}

static bool
errand_cancel(rill__wait *wait)
{
    errand *self = RILL__CONTAINER(wait, errand, wait);

    if (!drop(&self->job))
        return false;
    release_context(&self->job);
    return true;
}

int
rill_run_in_executor_site(rill_executor *executor, rill_fn fn, void *arg, const char *site)
{
    rill__fiber *fiber = rill__current();
    errand self = { .wait = { .cancel = errand_cancel, .what = "rill_to_thread", .site = site },
        .job = { .fn = fn, .arg = arg, .done = errand_over, .fiber = fiber } };
    int rc;

    RILL__REQUIRE(fn != NULL);
    rc = rill__may_wait(fiber);
    if (rc == 0)
        rc = submit(fiber->loop, executor, &self.job, site);
    return rc < 0 ? rc : rill__suspend(fiber, &self.wait);
}

/* ---- the loop's end ---- */

/* What a task waits for that was given up after its grace has had its time. */
bool
rill__jobs_may_end(const rill_loop *loop)
{
    const rill__link *head = &loop->objects[RILL__OBJECT_JOB];

    for (rill__link *link = head->next; link != head; link = link->next) {
        const rill__job *job = job_of(RILL__CONTAINER(link, rill__object, link));

        if (job->fiber == NULL || !job->fiber->abandoned)
            return true;
    }
    return false;
}

/* Some may have ended just now: their mail is there. */
void
rill__jobs_abandon(rill_loop *loop)
{
    rill__link *head = &loop->objects[RILL__OBJECT_JOB];

    for (rill__link *link = head->next; link != head;) {
        rill__job *job = job_of(RILL__CONTAINER(link, rill__object, link));

        link = link->next;
        if (!rill__executor_give_up(job->executor, job))
            continue;
        rill__report(loop, RILL_ERROR_LEFTOVER, 0, job->object.site, NULL, NULL,
            "a job on an executor did not end: its thread is left behind, and what it uses stays "
            "in use");
        if (job->fiber != NULL)
            loop->tasks->keeps_stacks = true;
        forget(job);
        release_context(job);
    }
    rill__mail_take(loop);
}

void
rill__jobs_done(rill_loop *loop)
{
    (void)rill_executor_free(loop->tasks->own_executor, 0);
}
