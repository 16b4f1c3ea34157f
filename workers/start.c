/*
 * Starting a worker: its duplicates of shared sockets, then its thread or its process.
 *
 * A forked child keeps its own end of its channel and what it was given, and closes everything else
 * of the workers': a listening socket that stayed open in it would go on taking connections after
 * the parent has closed it. On the supervisor's thread; in a child, on its only one.
 */
#include <errno.h>

#include "workers/workers.h"

void
rill__worker_close_fds(rill_worker *worker)
{
    for (size_t i = 0; i < worker->workers->addrs_count; i++) {
        rill__host_close(worker->fds[i]);
        worker->fds[i] = -1;
    }
}

static int
give_fds(rill_worker *worker)
{
    const rill_workers *workers = worker->workers;

    for (int p = 0; p < workers->places_count; p++) {
        const rill__place *place = workers->places[p];

        for (size_t i = 0; place->shared && i < place->count; i++) {
            int fd = rill__host_duplicate(place->fds[i]);

            if (fd < 0) {
                rill__worker_close_fds(worker);
                return fd;
            }
            worker->fds[place->first + i] = fd;
        }
    }
    return 0;
}

static void
live(rill_worker *worker)
{
    rill__cell *cell = worker->cell;
    int code = rill__worker_live(worker);

    atomic_store(&cell->code, code);
    atomic_store(&cell->returned, true);
}

static void *
thread_main(void *arg)
{
    rill_worker *worker = arg;

    live(worker);
    rill__host_ring(worker->workers->bell);
    return NULL;
}

static void
leave_the_parent(const rill_worker *worker)
{
    rill_workers *workers = worker->workers;

    for (int i = 0; i < workers->count; i++) {
        const rill_worker *other = &workers->slots[i];

        rill__host_close(other->ends[0]);
        if (other != worker)
            rill__host_close(other->ends[1]);
        rill__host_close(other->process.fd);
    }
    for (int p = 0; p < workers->places_count; p++)
        rill__place_close(workers->places[p]);
}

static int
start_process(rill_worker *worker)
{
    int rc = rill__host_fork(&worker->process);

    if (rc != 0) {
        rill__worker_close_fds(worker); /* The child has them. */
        return rc < 0 ? rc : 0;
    }
    atomic_store(&worker->cell->process, rill__host_process_id());
    leave_the_parent(worker);
    live(worker);
    rill__host_exit(atomic_load(&worker->cell->code) != 0);
}

int
rill__worker_start(rill_worker *worker)
{
    rill__cell *cell = worker->cell;
    int rc;

    worker->told = false;
    worker->kill_at = RILL_NEVER;
    worker->full_until = 0;
    atomic_store(&cell->returned, false);
    atomic_store(&cell->state, RILL_WORKER_STARTING);
    atomic_store(&cell->turns, 0);
    rc = give_fds(worker);
    if (rc < 0)
        return rc;
    if (worker->workers->options.processes)
        return start_process(worker);
    atomic_store(&cell->process, rill__host_process_id());
    rc = rill__host_thread_start(thread_main, worker, &worker->thread);
    if (rc < 0)
        rill__worker_close_fds(worker);
    return rc;
}
