/*
 * Workers: making them, stopping them from anywhere, looking at them, and their end.
 *
 * All descriptors and all memory that running needs are had here or in rill_workers_listen, so that
 * little can fail later. The numbers lie in a shared mapping, one cell a worker, which that worker
 * alone writes while it runs: reading them takes no lock and disturbs nobody.
 */
#include <errno.h>

#include "workers/workers.h"

#define CGROUP_MEMBERSHIP "/proc/self/cgroup"
#define CGROUP_ROOT       "/sys/fs/cgroup"
#define DRAIN_TIMEOUT     (10 * RILL_S)
#define RESTART_DELAY     (100 * RILL_MS)
#define RESTART_DELAY_MAX (10 * RILL_S)

int
rill_cpu_count(void)
{
    int cpus = rill__host_cpus();
    int quota = rill__host_quota(CGROUP_MEMBERSHIP, CGROUP_ROOT);

    return quota > 0 && quota < cpus ? quota : cpus;
}

/* ---- making ---- */

static int
check_options(rill_workers_options *o)
{
    if (o->count < 0 || o->count > RILL__WORKERS_MAX || o->accept > RILL_ACCEPT_SHARED ||
        (o->drain_timeout < 0 && o->drain_timeout != RILL_NEVER) || o->restart_delay < 0 ||
        o->restart_delay_max < 0)
        return RILL_EINVAL;
    o->count = o->count != 0 ? o->count : rill_cpu_count();
    if (o->count > RILL__WORKERS_MAX)
        o->count = RILL__WORKERS_MAX;
    o->drain_timeout = o->drain_timeout != 0 ? o->drain_timeout : DRAIN_TIMEOUT;
    o->restart_delay = o->restart_delay != 0 ? o->restart_delay : RESTART_DELAY;
    o->restart_delay_max = o->restart_delay_max != 0 ? o->restart_delay_max : RESTART_DELAY_MAX;
    if (o->restart_delay_max < o->restart_delay)
        o->restart_delay_max = o->restart_delay;
    return 0;
}

/* A loop is made for a look at the options: what is wrong with them shows here, not in a worker
 * that is started again and again. */
static int
check_loop(const rill_loop_options *options)
{
    rill_loop *loop;
    int rc = rill_loop_new(options, &loop);

    if (rc < 0)
        return rc;
    if (loop->sys->public_fd(loop->driver, 0) == RILL_ENOTSUP)
        rc = RILL_ENOTSUP;
    (void)rill_loop_free(loop);
    return rc;
}

static int
init_slots(rill_workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];
        int rc;

        worker->workers = workers;
        worker->index = i;
        worker->cell = &workers->board->cells[i];
        rc = rill__host_channel(worker->ends);
        if (rc < 0) {
            worker->ends[0] = worker->ends[1] = -1;
            return rc;
        }
        worker->process.fd = -1;
        worker->delay = workers->options.restart_delay;
        worker->restart_at = worker->kill_at = RILL_NEVER;
    }
    return 0;
}

static void
workers_done(rill_workers *workers)
{
    rill_allocator allocator = workers->allocator;

    for (int i = 0; i < workers->count; i++) {
        if (workers->slots[i].workers == NULL)
            break; /* Not made. */
        rill__host_close(workers->slots[i].ends[0]);
        rill__host_close(workers->slots[i].ends[1]);
    }
    for (int i = 0; i < workers->places_count; i++)
        rill__place_free(workers, workers->places[i]);
    rill__host_close(workers->bell);
    rill__host_unshare(workers->board, workers->board_bytes);
    allocator.free(allocator.ctx, workers,
        sizeof(*workers) + (size_t)workers->count * sizeof(rill_worker), RILL_TAG_LOOP);
}

int
rill_workers_create(const rill_workers_options *options, rill_worker_main main, void *arg,
    rill_workers **ret_workers)
{
    rill_workers_options o = RILL_WORKERS_OPTIONS();
    rill_loop_options loop_options = RILL_LOOP_OPTIONS();
    const rill_allocator *allocator;
    rill_workers *workers;
    size_t bytes;
    int rc = 0;

    RILL__REQUIRE(main != NULL && ret_workers != NULL);
    if (options != NULL)
        rc =
            rill__options_copy(NULL, "rill_workers_options", options, options->size, &o, sizeof(o));
    if (rc < 0 || (rc = check_options(&o)) < 0 || (rc = check_loop(o.loop)) < 0)
        return rc;
    if (o.loop != NULL)
        (void)rill__options_copy(NULL, "rill_loop_options", o.loop, o.loop->size, &loop_options,
            sizeof(loop_options)); /* The loop was content with them. */
    loop_options.size = sizeof(loop_options);
    allocator = loop_options.allocator != NULL ? loop_options.allocator : &rill__default_allocator;
    bytes = sizeof(*workers) + (size_t)o.count * sizeof(rill_worker);
    workers = allocator->alloc(allocator->ctx, bytes, RILL_TAG_LOOP);
    if (workers == NULL)
        return -ENOMEM;
    memset(workers, 0, bytes);
    workers->options = o;
    workers->loop_options = loop_options;
    workers->options.loop = &workers->loop_options;
    workers->allocator = *allocator;
    workers->main = main;
    workers->arg = arg;
    workers->fork_generation = rill__fork_generation;
    workers->count = o.count;
    workers->board_bytes = sizeof(rill__board) + (size_t)o.count * sizeof(rill__cell);
    workers->bell = rc = rill__host_bell();
    if (rc >= 0)
        rc = rill__host_share(workers->board_bytes, (void **)&workers->board);
    if (rc >= 0)
        rc = init_slots(workers);
    if (rc < 0) {
        workers_done(workers);
        return rc;
    }
    *ret_workers = workers;
    return 0;
}

void
rill_workers_free(rill_workers *workers)
{
    if (workers == NULL || workers->fork_generation != rill__fork_generation)
        return;
    if (atomic_load(&workers->phase) == RILL__WORKERS_RUN)
        rill__panic("rill_workers_free called while the workers run: call rill_workers_stop, and "
                    "free them when rill_workers_run has returned");
    workers_done(workers);
}

/* ---- from anywhere ---- */

void
rill_workers_stop(rill_workers *workers)
{
    if (workers == NULL)
        return;
    atomic_store(&workers->board->stop, true);
    rill__host_ring(workers->bell);
}

int
rill_workers_count(const rill_workers *workers)
{
    return workers->count;
}

int
rill_workers_get_stats(const rill_workers *workers, int index, rill_worker_stats *ret_stats)
{
    rill__cell *cell;
    rill_worker_stats stats;
    size_t size;

    RILL__REQUIRE(workers != NULL && ret_stats != NULL && ret_stats->size >= sizeof(size_t));
    RILL__REQUIRE(index >= 0 && index < workers->count);
    cell = &workers->board->cells[index];
    size = ret_stats->size;
    stats = (rill_worker_stats){
        .size = size,
        .state = (rill_worker_state)atomic_load(&cell->state),
        .process = atomic_load(&cell->process),
        .restarts = atomic_load(&cell->restarts),
        .live = atomic_load(&cell->live),
        .accepted = atomic_load(&cell->accepted),
        .refused = atomic_load(&cell->refused),
        .aborted = atomic_load(&cell->aborted),
        .turns = atomic_load(&cell->turns),
    };
    memcpy(ret_stats, &stats, size < sizeof(stats) ? size : sizeof(stats));
    return 0;
}
