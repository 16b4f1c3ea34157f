/*
 * The acceptor of RILL_ACCEPT_HANDOVER: the supervisor's thread accepts, and sends each connection
 * to the worker with the fewest, through that worker's channel.
 *
 * How many a worker has is known exactly: those handed to it less those its seat says have left, so
 * the ones still on their way count, and connections_max is kept. Nobody is accepted while no
 * worker has room: who connects then waits in the backlog, and `starved` asks workers to ring when
 * one leaves. On the supervisor's thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "workers/workers.h"

#define ACCEPTS_PER_TURN 64
#define BACKLOG_MAX      1024
#define REST_DELAY       (100 * RILL_MS)

int
rill__handover_begin(rill_workers *workers)
{
    if (!rill__workers_hand_over(workers))
        return 0;
    for (int p = 0; p < workers->places_count; p++) {
        const rill__place *place = workers->places[p];
        int backlog = place->options.backlog != 0 ? place->options.backlog : 128;

        for (size_t i = 0; i < place->count; i++) {
            int rc = rill__host_listen(place->fds[i], backlog);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* ---- who gets it ---- */

static uint64_t
load_of(const rill_worker *worker, int place)
{
    return worker->handed[place] - atomic_load(&worker->cell->seats[place].left);
}

static uint64_t
load_of_all(const rill_worker *worker)
{
    uint64_t load = 0;

    for (int p = 0; p < worker->workers->places_count; p++)
        load += load_of(worker, p);
    return load;
}

/* Among equals in turn. NULL: nobody has room. */
static rill_worker *
pick(rill_workers *workers, int place, rill_ns now)
{
    size_t max = workers->places[place]->options.connections_max;
    rill_worker *best = NULL;
    uint64_t best_load = UINT64_MAX;

    for (int n = 0; n < workers->count; n++) {
        rill_worker *worker = &workers->slots[(workers->next + n) % workers->count];
        uint64_t load;

        if (worker->phase != RILL__SLOT_RUNS || worker->full_until > now ||
            !atomic_load(&worker->cell->seats[place].serving) ||
            (max != 0 && load_of(worker, place) >= max))
            continue;
        load = load_of_all(worker);
        if (load < best_load) {
            best = worker;
            best_load = load;
        }
    }
    return best;
}

/* The flag is set before the last look, so a worker that makes room after it sees the flag. */
static rill_worker *
pick_or_starve(rill_workers *workers, int place, rill_ns now)
{
    rill_worker *worker = pick(workers, place, now);

    if (worker != NULL)
        return worker;
    atomic_store(&workers->board->starved, true);
    return pick(workers, place, now);
}

static bool
send_to(rill_worker *worker, int place, int fd)
{
    rill__message message = { .order = RILL__ORDER_TAKE, .place = (uint32_t)place };

    if (rill__order_send(worker->ends[0], &message, fd) < 0)
        return false;
    worker->handed[place]++;
    worker->workers->next = (worker->index + 1) % worker->workers->count;
    return true;
}

/* True when somebody has it now, and `fd` is closed here. */
static bool
hand_over(rill_workers *workers, int place, int fd, rill_ns now)
{
    rill_worker *worker;

    while ((worker = pick_or_starve(workers, place, now)) != NULL) {
        if (send_to(worker, place, fd)) {
            rill__host_close(fd);
            return true;
        }
        worker->full_until = now + RILL__WORKERS_RETRY;
    }
    return false;
}

/* ---- accepting ---- */

static bool
is_of_connection(int rc)
{
    return rc != -EMFILE && rc != -ENFILE && rc != -ENOBUFS && rc != -ENOMEM;
}

static void
rest(rill_workers *workers, rill__place *place, int rc, rill_ns now)
{
    char text[200], where[RILL_ADDR_TEXT];

    place->rest_until = now + REST_DELAY;
    if (place->exhausted)
        return;
    place->exhausted = true;
    snprintf(text, sizeof(text),
        "accept on %s fails; clients wait, it is tried again every 100 ms [%s: %s]",
        rill_addr_format(&place->addrs[0], where, sizeof(where)), rill_errname(rc),
        rill_strerror(rc));
    rill__log_to(workers->loop_options.log, workers->loop_options.log_arg, RILL_LOG_WARNING, text);
}

/* One connection: 1, 0 when there is none or nobody for it, negative: rest. */
static int
accept_one(rill_workers *workers, int number, int listener, rill_ns now)
{
    rill__place *place = workers->places[number];
    int fd;

    if (place->held < 0 && pick_or_starve(workers, number, now) == NULL)
        return 0;
    fd = place->held >= 0 ? place->held : rill__host_accept(listener);
    if (fd == -EAGAIN)
        return 0;
    if (fd < 0)
        return is_of_connection(fd) ? 1 : fd;
    place->held = -1;
    place->exhausted = false;
    if (hand_over(workers, number, fd, now))
        return 1;
    place->held = fd;
    return 0;
}

static void
accept_some(rill_workers *workers, int number, int listener, rill_ns now)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int rc = accept_one(workers, number, listener, now);

        if (rc < 0)
            rest(workers, workers->places[number], rc, now);
        if (rc <= 0)
            return;
    }
}

static bool
is_open(rill_workers *workers, rill_ns now, int number)
{
    const rill__place *place = workers->places[number];

    return place->held < 0 && place->rest_until <= now &&
           pick_or_starve(workers, number, now) != NULL;
}

static bool
somebody_is_full(const rill_workers *workers, rill_ns now)
{
    for (int i = 0; i < workers->count; i++) {
        if (workers->slots[i].full_until > now)
            return true;
    }
    return false;
}

static void
wake_at(rill_ns *deadline, rill_ns when)
{
    if (*deadline == RILL_NEVER || when < *deadline)
        *deadline = when;
}

size_t
rill__handover_watch(rill_workers *workers, rill__host_wait *waits, rill_ns *deadline)
{
    rill_ns now = rill__host_now();
    size_t count = 0;

    if (!rill__workers_hand_over(workers) || workers->closed)
        return 0;
    for (int p = 0; p < workers->places_count; p++) {
        const rill__place *place = workers->places[p];
        bool open = is_open(workers, now, p);

        for (size_t i = 0; i < place->count; i++)
            waits[count++] = (rill__host_wait){ .fd = open ? place->fds[i] : -1 };
        if (place->rest_until > now)
            wake_at(deadline, place->rest_until);
    }
    if (somebody_is_full(workers, now))
        wake_at(deadline, now + RILL__WORKERS_RETRY);
    return count;
}

void
rill__handover_turn(rill_workers *workers, const rill__host_wait *waits)
{
    rill_ns now = rill__host_now();

    if (!rill__workers_hand_over(workers) || workers->closed)
        return;
    atomic_store(&workers->board->starved, false);
    for (int p = 0; p < workers->places_count; p++) {
        rill__place *place = workers->places[p];

        for (size_t i = 0; i < place->count; i++) {
            if ((*waits++).ready || place->held >= 0)
                accept_some(workers, p, place->fds[i], now);
        }
    }
}

/* Those that wait now: new ones that come meanwhile are no reason to go on for ever. */
static bool
accept_rest(rill_workers *workers, int number, int listener, rill_ns now)
{
    int max = workers->places[number]->options.backlog;
    int rc = 1;

    max = max < BACKLOG_MAX ? BACKLOG_MAX : max + 1;
    for (int i = 0; i < max && rc > 0; i++)
        rc = accept_one(workers, number, listener, now);
    return rc >= 0;
}

bool
rill__handover_end(rill_workers *workers)
{
    rill_ns now = rill__host_now();
    bool done = true;

    if (!rill__workers_hand_over(workers) || workers->closed)
        return true;
    for (int p = 0; p < workers->places_count; p++) {
        rill__place *place = workers->places[p];

        for (size_t i = 0; i < place->count; i++)
            done &= accept_rest(workers, p, place->fds[i], now);
        done &= place->held < 0;
    }
    if (!done && now < workers->close_by)
        return false;
    workers->closed = true;
    return true;
}

void
rill__handover_reclaim(rill_worker *worker, bool restarts)
{
    rill_workers *workers = worker->workers;
    rill_ns now = rill__host_now();
    rill__message message;
    int fd;
    int rc = 1;

    while (rc == 1 && rill__order_receive(worker->ends[1], &message, &fd) == 1) {
        if (message.order != RILL__ORDER_TAKE)
            continue;
        worker->handed[message.place]--;
        if (fd < 0 || hand_over(workers, (int)message.place, fd, now))
            continue;
        if (restarts && send_to(worker, (int)message.place, fd))
            rc = 0; /* Nobody wants it: this one's successor gets it, and the rest. */
        rill__host_close(fd);
    }
    for (int p = 0; p < workers->places_count; p++) {
        rill__seat *seat = &worker->cell->seats[p];

        /* Nothing is on the way any more, or what is, was never taken. */
        atomic_store(&seat->left, rc == 1 ? worker->handed[p] : atomic_load(&seat->taken));
    }
}
