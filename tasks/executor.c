/*
 * Executors: the pool of threads, its queue, and its end.
 *
 * Everything is under the executor's lock, but for the work itself. A job's memory is its owner's:
 * a thread does not touch it between taking what it needs and looking, under the lock, whether it
 * is still wanted. What ends a job is the mail to its loop, posted under the lock, too. An executor
 * is counted: its owner, each thread that is alive and each job that a loop runs by itself hold it,
 * so a thread that is left behind finds it there. Any thread.
 */
#include <stdio.h>

#include "tasks/executor.h"

#define THREADS_DEFAULT_MAX 32
#define THREADS_MORE        4 /* Than CPUs. */
#define THREADS_MAX         1024
#define NAME_BYTES          12

enum { THREAD_NONE, THREAD_ALIVE, THREAD_LEFT };

typedef struct pool_thread {
    rill_executor *executor;
    uintptr_t handle;
    rill__job *job;   /* What it works at, while somebody wants to know. */
    const char *site; /* Where that was asked for. */
    bool busy;
    bool given_up; /* What it works at is reported already. */
    bool orphan;   /* Nobody joins it. */
    uint8_t phase;
} pool_thread;

struct rill_executor {
    rill__host_lock lock;
    rill__host_condition work; /* There is a job, or the end. */
    rill__host_condition calm; /* A thread has left, or a job has ended. */
    rill__link queue;
    size_t queued;
    size_t own; /* Jobs that wait for the loop which runs them itself. */
    size_t queue_max;
    size_t refs;
    size_t threads; /* Alive; the first ones of `pool`. */
    size_t threads_max;
    size_t idle;
    uint64_t ended;
    bool stopped;
    uint32_t fork_generation;
    rill_log_fn log;
    void *log_arg;
    char name[NAME_BYTES];
    pool_thread pool[];
};

static __thread pool_thread *at_work __attribute__((tls_model("initial-exec")));

static size_t
executor_bytes(size_t threads_max)
{
    return sizeof(rill_executor) + threads_max * sizeof(pool_thread);
}

/* ---- its life ---- */

static void
destroy(rill_executor *executor)
{
    rill__host_condition_done(&executor->calm);
    rill__host_condition_done(&executor->work);
    rill__host_lock_done(&executor->lock);
    rill__default_allocator.free(rill__default_allocator.ctx, executor,
        executor_bytes(executor->threads_max), RILL_TAG_TASK);
}

/* Gives up the lock as well. */
static void
unref(rill_executor *executor)
{
    bool last = --executor->refs == 0;

    rill__host_lock_release(&executor->lock);
    if (last)
        destroy(executor);
}

static int
init(rill_executor *executor)
{
    int rc = rill__host_lock_init(&executor->lock);

    if (rc < 0)
        return rc;
    rc = rill__host_condition_init(&executor->work);
    if (rc < 0)
        goto fail_lock;
    rc = rill__host_condition_init(&executor->calm);
    if (rc < 0)
        goto fail_work;
    return 0;

fail_work:
    rill__host_condition_done(&executor->work);
fail_lock:
    rill__host_lock_done(&executor->lock);
    return rc;
}

static size_t
default_threads(void)
{
    int count = rill__host_cpus();
    int quota = rill__host_quota("/proc/self/cgroup", "/sys/fs/cgroup");

    if (quota > 0 && quota < count)
        count = quota;
    count += THREADS_MORE;
    return (size_t)(count < THREADS_DEFAULT_MAX ? count : THREADS_DEFAULT_MAX);
}

int
rill_executor_new(const rill_executor_options *options, rill_executor **ret_executor)
{
    rill_executor_options o = { .size = sizeof(o) };
    rill_executor *executor;
    size_t threads_max;
    int rc = 0;

    RILL__REQUIRE(ret_executor != NULL);
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_executor_options", options, options->size, &o, sizeof(o));
    if (rc < 0)
        return rc;
    if (o.name == NULL)
        o.name = "rill";
    if (o.threads_max < 0 || o.threads_max > THREADS_MAX || o.name[0] == '\0' ||
        strlen(o.name) >= NAME_BYTES)
        return RILL_EINVAL;
    threads_max = o.threads_max != 0 ? (size_t)o.threads_max : default_threads();
    executor = rill__default_allocator.alloc(
        rill__default_allocator.ctx, executor_bytes(threads_max), RILL_TAG_TASK);
    if (executor == NULL)
        return -ENOMEM;
    memset(executor, 0, executor_bytes(threads_max));
    rc = init(executor);
    if (rc < 0) {
        rill__default_allocator.free(
            rill__default_allocator.ctx, executor, executor_bytes(threads_max), RILL_TAG_TASK);
        return rc;
    }
    rill__list_init(&executor->queue);
    executor->queue_max = o.queue_max != 0 ? o.queue_max : SIZE_MAX;
    executor->refs = 1;
    executor->threads_max = threads_max;
    executor->fork_generation = rill__fork_generation;
    executor->log = o.log;
    executor->log_arg = o.log_arg;
    memcpy(executor->name, o.name, strlen(o.name));
    *ret_executor = executor;
    return 0;
}

/* ---- a thread ---- */

static rill__job *
next_job(rill_executor *executor)
{
    rill__job *job;

    while (executor->queued == 0 && !executor->stopped) {
        executor->idle++;
        (void)rill__host_condition_wait(&executor->work, &executor->lock, RILL_NEVER);
        executor->idle--;
    }
    if (executor->queued == 0)
        return NULL;
    job = RILL__CONTAINER(executor->queue.next, rill__job, link);
    rill__list_remove(&job->link);
    executor->queued--;
    job->state = RILL__JOB_RUNNING;
    return job;
}

/* With the lock, which is given up for the work. */
static void
run_job(pool_thread *self, rill__job *job)
{
    rill_executor *executor = self->executor;
    rill_fn fn = job->fn;
    void *arg = job->arg;
    int code;

    self->job = job;
    self->site = job->object.site;
    self->busy = true;
    rill__host_lock_release(&executor->lock);
    code = fn(arg);
    rill__host_lock_take(&executor->lock);
    job = self->job;
    self->job = NULL;
    self->busy = self->given_up = false;
    executor->ended++;
    if (job != NULL) {
        job->code = code;
        job->state = RILL__JOB_ENDED;
        rill__mail_post(job->loop, &job->mail);
    }
    if (executor->stopped)
        rill__host_condition_wake_all(&executor->calm);
}

static void *
thread_main(void *arg)
{
    pool_thread *self = arg;
    rill_executor *executor = self->executor;
    rill__job *job;

    at_work = self;
    rill__host_lock_take(&executor->lock);
    while ((job = next_job(executor)) != NULL)
        run_job(self, job);
    self->phase = THREAD_LEFT;
    executor->threads--;
    rill__host_condition_wake_all(&executor->calm);
    unref(executor);
    return NULL;
}

static int
start_thread(rill_executor *executor)
{
    pool_thread *self = &executor->pool[executor->threads];
    char name[NAME_BYTES + 24];
    int rc;

    snprintf(name, sizeof(name), "%s-%zu", executor->name, executor->threads + 1);
    self->executor = executor;
    rc = rill__host_thread_begin(thread_main, self, name, &self->handle);
    if (rc < 0)
        return rc;
    self->phase = THREAD_ALIVE;
    executor->threads++;
    executor->refs++;
    return 0;
}

/* ---- jobs ---- */

static int
may_add(const rill_executor *executor)
{
    if (executor->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (executor->stopped)
        return RILL_ESHUTDOWN;
    return executor->queued + executor->own >= executor->queue_max ? RILL_EFULL : 0;
}

int
rill__executor_add(rill_executor *executor, rill__job *job)
{
    int rc;

    rill__host_lock_take(&executor->lock);
    rc = may_add(executor);
    /* Threads that were woken for a job and have not come yet are idle still. */
    if (rc == 0 && executor->idle <= executor->queued && executor->threads < executor->threads_max)
        rc = start_thread(executor);
    if (rc == -EAGAIN && executor->threads > 0)
        rc = 0; /* It takes longer. */
    if (rc == 0) {
        job->state = RILL__JOB_QUEUED;
        rill__list_append(&executor->queue, &job->link);
        executor->queued++;
        rill__host_condition_wake(&executor->work);
    }
    rill__host_lock_release(&executor->lock);
    return rc;
}

bool
rill__executor_drop(rill_executor *executor, rill__job *job)
{
    bool queued;

    rill__host_lock_take(&executor->lock);
    queued = job->state == RILL__JOB_QUEUED;
    if (!queued) {
        rill__host_lock_release(&executor->lock);
        return false;
    }
    job->state = RILL__JOB_ENDED;
    if (job->own) {
        executor->own--;
        unref(executor);
        return true;
    }
    rill__list_remove(&job->link);
    executor->queued--;
    rill__host_lock_release(&executor->lock);
    return true;
}

bool
rill__executor_give_up(rill_executor *executor, rill__job *job)
{
    bool found = false;

    rill__host_lock_take(&executor->lock);
    for (size_t i = 0; i < executor->threads_max && !found; i++) {
        pool_thread *thread = &executor->pool[i];

        if (thread->job != job)
            continue;
        thread->job = NULL;
        thread->given_up = found = true;
    }
    rill__host_lock_release(&executor->lock);
    return found;
}

/* ---- jobs that a loop runs by itself ---- */

int
rill__executor_add_own(rill_executor *executor, rill__job *job)
{
    int rc;

    rill__host_lock_take(&executor->lock);
    rc = may_add(executor);
    if (rc == 0) {
        job->state = RILL__JOB_QUEUED;
        job->own = true;
        executor->own++;
        executor->refs++;
    }
    rill__host_lock_release(&executor->lock);
    return rc;
}

void
rill__executor_begin_own(rill_executor *executor, rill__job *job)
{
    rill__host_lock_take(&executor->lock);
    job->state = RILL__JOB_RUNNING;
    executor->own--;
    rill__host_lock_release(&executor->lock);
}

void
rill__executor_end_own(rill_executor *executor, rill__job *job)
{
    rill__host_lock_take(&executor->lock);
    job->state = RILL__JOB_ENDED;
    executor->ended++;
    unref(executor);
}

/* ---- its end ---- */

/* Threads without work go by themselves, and soon. */
static bool
somebody_leaves(const rill_executor *executor)
{
    for (size_t i = 0; i < executor->threads_max; i++) {
        if (executor->pool[i].phase == THREAD_ALIVE && !executor->pool[i].busy)
            return true;
    }
    return false;
}

static void
refuse_queued(rill_executor *executor)
{
    while (executor->queued > 0) {
        rill__job *job = RILL__CONTAINER(executor->queue.next, rill__job, link);

        rill__list_remove(&job->link);
        executor->queued--;
        job->code = RILL_ESHUTDOWN;
        job->state = RILL__JOB_ENDED;
        rill__mail_post(job->loop, &job->mail);
    }
}

static size_t
leave_busy_behind(rill_executor *executor)
{
    char text[512];
    size_t count = 0;

    for (size_t i = 0; i < executor->threads_max; i++) {
        pool_thread *thread = &executor->pool[i];

        if (thread->phase != THREAD_ALIVE)
            continue;
        thread->orphan = true;
        rill__host_thread_detach(thread->handle);
        if (thread->given_up)
            continue;
        count++;
        snprintf(text, sizeof(text),
            "a job of the executor '%s' has not ended: its thread is left behind (made at %s)",
            executor->name, thread->site);
        rill__log_to(executor->log, executor->log_arg, RILL_LOG_WARNING, text);
    }
    return count;
}

size_t
rill_executor_free(rill_executor *executor, rill_ns grace)
{
    rill_ns deadline =
        grace == RILL_NEVER ? RILL_NEVER : rill__after(rill__host_now(), grace > 0 ? grace : 0);
    size_t left;

    if (executor == NULL)
        return 0;
    if (executor->fork_generation != rill__fork_generation) {
        rill__default_allocator.free(rill__default_allocator.ctx, executor,
            executor_bytes(executor->threads_max), RILL_TAG_TASK);
        return 0; /* The threads, and whoever holds the lock, are the parent's. */
    }
    if (at_work != NULL && at_work->executor == executor)
        rill__panic(
            "rill_executor_free called by a job of this executor: it would wait for itself");
    rill__host_lock_take(&executor->lock);
    executor->stopped = true;
    rill__host_condition_wake_all(&executor->work);
    while (executor->threads > 0 &&
           rill__host_condition_wait(&executor->calm, &executor->lock, deadline))
        continue;
    refuse_queued(executor);
    while (somebody_leaves(executor))
        (void)rill__host_condition_wait(&executor->calm, &executor->lock, RILL_NEVER);
    left = leave_busy_behind(executor);
    rill__host_lock_release(&executor->lock);
    for (size_t i = 0; i < executor->threads_max; i++) {
        if (executor->pool[i].handle != 0 && !executor->pool[i].orphan)
            rill__host_thread_join(executor->pool[i].handle);
    }
    rill__host_lock_take(&executor->lock);
    unref(executor);
    return left;
}

/* ---- looking ---- */

void
rill_executor_get_stats(rill_executor *executor, rill_executor_stats *ret_stats)
{
    size_t size = ret_stats->size;
    rill_executor_stats stats = { .size = size };

    rill__host_lock_take(&executor->lock);
    stats.threads = executor->threads;
    stats.idle = executor->idle;
    stats.queued = executor->queued + executor->own;
    stats.ended = executor->ended;
    rill__host_lock_release(&executor->lock);
    memcpy(ret_stats, &stats, size < sizeof(stats) ? size : sizeof(stats));
}

void *
rill__job_variable(const rill_var *var)
{
    pool_thread *self = at_work;
    void *value = var->value;

    if (self == NULL)
        return value;
    rill__host_lock_take(&self->executor->lock);
    if (self->job != NULL)
        value = rill__context_value(self->job->context, var);
    rill__host_lock_release(&self->executor->lock);
    return value;
}
