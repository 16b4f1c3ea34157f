/*
 * The supervisor: the thread in rill_workers_run. It starts the workers, learns of their ends,
 * starts those that failed again, and has all of them stopped.
 *
 * It waits in one place, for the bell (a stop, a thread that ended, room for a connection), the
 * ends of processes and, when it is the acceptor, its sockets. It is no loop of rill's: nothing of
 * a loop is inherited by the processes that it forks.
 */
#include <errno.h>
#include <stdio.h>

#include "workers/workers.h"

#define KILL_DELAY  (5 * RILL_S)
#define CLOSE_DELAY RILL_S
#define LOOK_DELAY  (50 * RILL_MS) /* For processes that the kernel does not announce. */

/* ---- ends ---- */

static void
write_sentence(const rill_worker *worker, const rill_worker_end *end, char *text, size_t size)
{
    char who[64], next[64] = "";

    if (worker->workers->options.processes && worker->process.pid != 0)
        snprintf(who, sizeof(who), "worker %d (process %lld)", end->index,
            (long long)worker->process.pid);
    else
        snprintf(who, sizeof(who), "worker %d", end->index);
    if (end->restart_in != RILL_NEVER)
        snprintf(next, sizeof(next), "; it starts again in %lld ms",
            (long long)(end->restart_in / RILL_MS));
    if (end->signal != 0)
        snprintf(
            text, size, "%s was killed by SIG%s%s", who, rill__host_signal_name(end->signal), next);
    else if (end->code < 0)
        snprintf(text, size, "%s failed with %s: %s%s", who, rill_errname(end->code),
            rill_strerror(end->code), next);
    else if (end->code > 0)
        snprintf(text, size, "%s ended with code %d%s", who, end->code, next);
    else
        snprintf(text, size, "%s has ended", who);
}

static void
tell(const rill_worker *worker, rill_worker_end end)
{
    rill_workers *workers = worker->workers;
    const rill_loop_options *loop = &workers->loop_options;
    char text[256];

    write_sentence(worker, &end, text, sizeof(text));
    end.size = sizeof(end);
    end.sentence = text;
    if (workers->options.ended != NULL)
        workers->options.ended(workers, &end, workers->options.ended_arg);
    else if ((end.code != 0 || end.signal != 0) &&
             (loop->log_level == RILL_LOG_DEFAULT || loop->log_level >= RILL_LOG_WARNING))
        rill__log_to(loop->log, loop->log_arg, RILL_LOG_WARNING, text);
}

/* The delay doubles from failure to failure; who lived for long begins anew. */
static rill_ns
next_delay(rill_worker *worker, rill_ns lived)
{
    const rill_workers_options *o = &worker->workers->options;
    rill_ns delay = lived >= o->restart_delay_max ? o->restart_delay : worker->delay;

    worker->delay = delay > o->restart_delay_max / 2 ? o->restart_delay_max : delay * 2;
    return delay;
}

static void
ended(rill_worker *worker, int code, int signal)
{
    rill_workers *workers = worker->workers;
    rill__cell *cell = worker->cell;
    bool failed = code != 0 || signal != 0;
    rill_ns now = rill__host_now();
    rill_worker_end end = { .index = worker->index, .code = code, .signal = signal };

    end.lived = now - worker->started;
    end.restart_in =
        failed && !atomic_load(&workers->board->stop) ? next_delay(worker, end.lived) : RILL_NEVER;
    worker->phase = end.restart_in != RILL_NEVER ? RILL__SLOT_WAITS : RILL__SLOT_DONE;
    worker->restart_at = end.restart_in != RILL_NEVER ? now + end.restart_in : RILL_NEVER;
    worker->kill_at = RILL_NEVER;
    for (int p = 0; p < workers->places_count; p++)
        atomic_store(&cell->seats[p].serving, false);
    rill__handover_reclaim(worker, worker->phase == RILL__SLOT_WAITS);
    atomic_store(&cell->live, 0);
    atomic_store(&cell->process, 0);
    atomic_store(
        &cell->state, worker->phase == RILL__SLOT_WAITS ? RILL_WORKER_WAITING : RILL_WORKER_ENDED);
    tell(worker, end);
    worker->process.pid = 0;
}

static void
look_for_end(rill_worker *worker, bool process_ready)
{
    const rill__cell *cell = worker->cell;
    int status = 0;
    int signal = 0;

    if (worker->workers->options.processes) {
        if (!process_ready || !rill__host_process_ended(&worker->process, &status, &signal))
            return;
        if (atomic_load(&cell->returned))
            ended(worker, atomic_load(&cell->code), signal);
        else /* It called exit, or its status is not to be had. */
            ended(worker, signal != 0 ? 0 : status >= 0 ? status : -ECHILD, signal);
        return;
    }
    if (!atomic_load(&cell->returned))
        return;
    rill__host_thread_join(worker->thread);
    ended(worker, atomic_load(&cell->code), 0);
}

/* ---- starts ---- */

static void
start(rill_worker *worker)
{
    int rc;

    worker->restart_at = RILL_NEVER;
    worker->started = rill__host_now();
    if (worker->starts++ > 0)
        atomic_fetch_add(&worker->cell->restarts, 1);
    worker->phase = RILL__SLOT_RUNS;
    rc = rill__worker_start(worker);
    if (rc < 0)
        ended(worker, rc, 0);
}

static void
start_due(rill_workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];

        if (atomic_load(&workers->board->stop))
            return;
        if (worker->phase == RILL__SLOT_IDLE ||
            (worker->phase == RILL__SLOT_WAITS && worker->restart_at <= rill__host_now()))
            start(worker);
    }
}

static bool
all_run(const rill_workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        uint32_t state = atomic_load(&workers->board->cells[i].state);

        if (state != RILL_WORKER_RUNNING && state != RILL_WORKER_ENDED)
            return false;
    }
    return true;
}

static void
announce(rill_workers *workers)
{
    if (workers->announced || workers->options.ready == NULL || !all_run(workers))
        return;
    workers->announced = true;
    workers->options.ready(workers, workers->options.ready_arg);
}

/* ---- stopping ---- */

static void
begin_to_stop(rill_workers *workers)
{
    workers->stopping = true;
    workers->close_by = rill__host_now() + CLOSE_DELAY;
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];

        if (worker->phase != RILL__SLOT_IDLE && worker->phase != RILL__SLOT_WAITS)
            continue;
        worker->phase = RILL__SLOT_DONE;
        worker->restart_at = RILL_NEVER;
        atomic_store(&worker->cell->state, RILL_WORKER_ENDED);
        rill__handover_reclaim(worker, false);
    }
}

static void
order_stop(rill_worker *worker)
{
    static const rill__message stop = { .order = RILL__ORDER_STOP };
    rill_ns timeout = worker->workers->options.drain_timeout;

    if (worker->phase != RILL__SLOT_RUNS || worker->told ||
        rill__order_send(worker->ends[0], &stop, -1) < 0)
        return; /* A full channel: once more, soon. */
    worker->told = true;
    if (worker->workers->options.processes && timeout != RILL_NEVER)
        worker->kill_at = rill__host_now() + timeout + KILL_DELAY;
}

static void
stop(rill_workers *workers)
{
    rill_ns now = rill__host_now();

    if (!workers->stopping)
        begin_to_stop(workers);
    if (!rill__handover_end(workers))
        return;
    for (int p = 0; p < workers->places_count; p++)
        rill__place_close(workers->places[p]);
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];

        order_stop(worker);
        if (worker->kill_at == RILL_NEVER || worker->kill_at > now)
            continue;
        worker->kill_at = RILL_NEVER;
        rill__host_process_kill(&worker->process);
    }
}

/* ---- the turn ---- */

static bool
all_are_done(const rill_workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        if (workers->slots[i].phase != RILL__SLOT_DONE)
            return false;
    }
    return true;
}

static void
wake_at(rill_ns *deadline, rill_ns when)
{
    if (when != RILL_NEVER && (*deadline == RILL_NEVER || when < *deadline))
        *deadline = when;
}

/* Something that was refused is tried again. */
static rill_ns
retry_at(const rill_workers *workers)
{
    bool waits = workers->stopping && rill__workers_hand_over(workers) && !workers->closed;

    for (int i = 0; i < workers->count; i++)
        waits |= workers->stopping && workers->slots[i].phase == RILL__SLOT_RUNS &&
                 !workers->slots[i].told;
    return waits ? rill__host_now() + RILL__WORKERS_RETRY : RILL_NEVER;
}

static bool
is_unannounced(const rill_worker *worker)
{
    return worker->phase == RILL__SLOT_RUNS && worker->workers->options.processes &&
           worker->process.fd < 0;
}

/* The bell, then the processes, then the acceptor's sockets. */
static int
wait_for_news(rill_workers *workers)
{
    rill__host_wait *waits = workers->waits;
    rill_ns deadline = retry_at(workers);
    size_t count = 0;
    rill_ns now;

    waits[count++] = (rill__host_wait){ .fd = workers->bell };
    for (int i = 0; i < workers->count; i++) {
        const rill_worker *worker = &workers->slots[i];

        waits[count++] = (rill__host_wait){ .fd = worker->process.fd };
        wake_at(&deadline, worker->restart_at);
        wake_at(&deadline, worker->kill_at);
        if (is_unannounced(worker))
            wake_at(&deadline, rill__host_now() + LOOK_DELAY);
    }
    count += rill__handover_watch(workers, waits + count, &deadline);
    assert(count <= workers->waits_count);
    now = rill__host_now();
    if (deadline != RILL_NEVER)
        deadline = deadline > now ? deadline - now : 0;
    return rill__host_wait_for(waits, count, deadline);
}

static int
turn(rill_workers *workers)
{
    int rc;

    if (atomic_load(&workers->board->stop))
        stop(workers);
    else
        start_due(workers);
    if (all_are_done(workers))
        return 0;
    rc = wait_for_news(workers);
    if (rc < 0)
        return rc;
    if (workers->waits[0].ready)
        rill__host_quiet(workers->bell);
    rill__handover_turn(workers, workers->waits + 1 + workers->count);
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];

        if (worker->phase == RILL__SLOT_RUNS)
            look_for_end(worker, workers->waits[1 + i].ready || is_unannounced(worker));
    }
    announce(workers);
    return 1;
}

static int
make_room(rill_workers *workers)
{
    size_t per_worker = workers->addrs_count;

    workers->waits_count = 1 + (size_t)workers->count + workers->addrs_count;
    workers->waits = rill__workers_alloc(workers, workers->waits_count * sizeof(*workers->waits));
    workers->fds = rill__workers_alloc(
        workers, ((size_t)workers->count * per_worker + 1) * sizeof(*workers->fds));
    if (workers->waits == NULL || workers->fds == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < (size_t)workers->count * per_worker; i++)
        workers->fds[i] = -1;
    for (int i = 0; i < workers->count; i++)
        workers->slots[i].fds = workers->fds + (size_t)i * per_worker;
    return 0;
}

static void
give_room_back(rill_workers *workers)
{
    rill__workers_dealloc(workers, workers->waits, workers->waits_count * sizeof(*workers->waits));
    rill__workers_dealloc(workers, workers->fds,
        ((size_t)workers->count * workers->addrs_count + 1) * sizeof(*workers->fds));
    workers->waits = NULL;
    workers->fds = NULL;
}

/* Without a way to wait nothing can be watched over: all are stopped, and waited for one by one. */
static void
end_blindly(rill_workers *workers)
{
    atomic_store(&workers->board->stop, true);
    workers->closed = true;
    stop(workers);
    for (int i = 0; i < workers->count; i++) {
        rill_worker *worker = &workers->slots[i];

        if (worker->phase != RILL__SLOT_RUNS)
            continue;
        if (workers->options.processes) {
            int status, signal;

            rill__host_process_kill(&worker->process);
            while (!rill__host_process_ended(&worker->process, &status, &signal))
                continue;
        } else {
            rill__host_thread_join(worker->thread);
        }
        worker->phase = RILL__SLOT_DONE;
    }
}

int
rill_workers_run(rill_workers *workers)
{
    uint32_t expected = RILL__WORKERS_NEW;
    int rc;

    RILL__REQUIRE(workers != NULL);
    if (workers->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (!atomic_compare_exchange_strong(&workers->phase, &expected, RILL__WORKERS_RUN))
        return RILL_ESTATE;
    rc = make_room(workers);
    if (rc == 0)
        rc = rill__handover_begin(workers);
    if (rc == 0) {
        do
            rc = turn(workers);
        while (rc > 0);
        if (rc < 0)
            end_blindly(workers);
    }
    for (int p = 0; p < workers->places_count; p++)
        rill__place_close(workers->places[p]);
    give_room_back(workers);
    atomic_store(&workers->phase, RILL__WORKERS_OVER);
    return rc;
}
