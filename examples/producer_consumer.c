/*
 * Producer and consumers: tasks with a queue between them that is soon full.
 *
 * Shows: a bounded queue, where a producer that is too fast waits in put; join, which waits until
 * every job is done with; shutdown, after which the consumers drain the queue and end; a lock
 * around what they share; a group, so that none of them outlives the queue; and who owns a job: the
 * producer until put has returned 0, then whoever gets it, and at the very end the queue, which
 * frees what nobody got (drop).
 *
 * Run:     ./producer_consumer [jobs [stop after]]
 *          The second number makes the consumers fail after so many jobs: the group cancels the
 *          producer, and no job is leaked.
 * Prints:  1 worker-1
 *          2 worker-2
 *          ...
 *          jobs done: 6, never more than 2 in the queue
 */
#include <rill/rill.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define E_BROKEN_TOOL (RILL_EUSER - 1)

struct job {
    int number;
};

struct shop {
    int jobs, stop_after;
    rill_queue *queue;
    rill_lock books; /* For the next two. */
    int done;
    size_t most;
};

static void
drop_job(void *job, void *arg)
{
    (void)arg;
    free(job);
}

static int
put_job(struct shop *shop, int number)
{
    struct job *job = malloc(sizeof(*job));
    int rc;

    if (job == NULL)
        return -ENOMEM;
    job->number = number;
    rc = rill_queue_put(shop->queue, job);
    if (rc < 0)
        free(job); /* It is still ours. */
    return rc;
}

static int
produce(void *arg)
{
    struct shop *shop = arg;

    for (int number = 1; number <= shop->jobs; number++)
        RILL_TRY(put_job(shop, number));
    RILL_TRY(rill_queue_join(shop->queue));
    rill_queue_shutdown(shop->queue, false);
    return 0;
}

/* Waits with the lock held; canceled there, it still releases it. */
static int
enter_in_books(struct shop *shop, const struct job *job)
{
    size_t size = rill_queue_size(shop->queue);
    int rc;

    RILL_TRY(rill_lock_acquire(&shop->books));
    shop->most = size > shop->most ? size : shop->most;
    shop->done++;
    printf("%d %s\n", job->number, rill_task_name(rill_current_task()));
    rc = rill_yield();
    RILL_IGNORE(rill_lock_release(&shop->books));
    return rc < 0 ? rc : shop->done == shop->stop_after ? E_BROKEN_TOOL : 0;
}

static int
consume(void *arg)
{
    struct shop *shop = arg;
    void *job;
    int rc;

    while ((rc = rill_queue_get(shop->queue, &job)) >= 0) {
        rc = enter_in_books(shop, job);
        free(job);
        (void)rill_queue_task_done(shop->queue); /* Exactly once for each get. */
        if (rc < 0)
            break;
    }
    return rc == RILL_ESHUTDOWN ? 0 : rc;
}

static int
open_shop(void *arg)
{
    struct shop *shop = arg;
    rill_group group;
    int rc;

    RILL_TRY(rill_queue_new(
        rill_loop_running(), RILL_QUEUE_OPTIONS(.maxsize = 2, .drop = drop_job), &shop->queue));
    rill_lock_init(&shop->books);
    rill_group_begin(&group);
    rc = rill_group_spawn(&group, consume, shop, RILL_TASK_OPTIONS(.name = "worker-1"));
    if (rc >= 0)
        rc = rill_group_spawn(&group, consume, shop, RILL_TASK_OPTIONS(.name = "worker-2"));
    if (rc >= 0)
        rc = rill_group_spawn(&group, produce, shop, NULL);
    rc = rill_group_end(&group, rc); /* Nobody waits for queue or lock any more. */
    rill_lock_done(&shop->books);
    rill_queue_free(shop->queue);
    return rc;
}

int
main(int argc, char **argv)
{
    struct shop shop = { .jobs = argc > 1 ? atoi(argv[1]) : 6,
        .stop_after = argc > 2 ? atoi(argv[2]) : -1 };
    int rc = rill_run(open_shop, &shop);

    if (rc < 0 && rc != E_BROKEN_TOOL)
        fprintf(stderr, "producer_consumer: %s\n", rill_strerror(rc));
    printf("jobs done: %d, never more than %zu in the queue%s\n", shop.done, shop.most,
        rc == E_BROKEN_TOOL ? ", then a tool broke" : "");
    return rc < 0 && rc != E_BROKEN_TOOL;
}
