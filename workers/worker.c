/*
 * A worker from its own side: its loop, its servers, the orders that come through its channel, and
 * its drain.
 *
 * The channel is watched by the loop like any descriptor. Orders come in the order in which they
 * were given: a connection that was handed over before the stop is taken before it. The channel's
 * end is the supervisor's: in a process it means that the parent has gone, and is obeyed as a stop.
 * On the worker's thread only.
 */
#include <errno.h>

#include "transports/server.h"
#include "workers/workers.h"

#define ORDERS_PER_RECORD 64

static void
add(_Atomic uint64_t *counter, uint64_t by)
{
    /* One writer: no locked instruction is needed. */
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

/* The acceptor may be waiting for room: tell it there is some. */
static void
seat_left(rill_worker *worker, rill__seat *seat)
{
    rill_workers *workers = worker->workers;

    atomic_fetch_add(&seat->left, 1);
    if (atomic_load(&workers->board->starved))
        rill__host_ring(workers->bell);
}

static void
on_change(void *arg, int change)
{
    rill__served *served = arg;
    rill_worker *worker = served->worker;

    if (change > 0) {
        add(&worker->cell->accepted, 1);
        add(&worker->cell->live, 1);
        return;
    }
    if (rill__workers_hand_over(worker->workers))
        seat_left(worker, served->seat);
    add(&worker->cell->live, UINT64_MAX);
}

/* ---- stopping ---- */

static void
on_drained(void *arg, size_t aborted)
{
    rill__served *served = arg;
    rill_worker *worker = served->worker;

    served->server = NULL;
    add(&worker->cell->aborted, aborted);
    assert(worker->draining > 0);
    if (--worker->draining == 0)
        rill_loop_stop(worker->loop);
}

static void
begin_to_drain(rill__ready *ready)
{
    rill_worker *worker = RILL__CONTAINER(ready, rill_worker, begin_to_drain);
    const rill_workers_options *o = &worker->workers->options;

    if (worker->on_stop != NULL)
        worker->on_stop(worker->on_stop_arg);
    for (int i = 0; i < worker->workers->places_count; i++) {
        rill__served *served = &worker->served[i];

        if (served->server != NULL && !served->left &&
            rill_server_drain_start(served->server, o->drain_timeout, on_drained, served) == 0)
            worker->draining++; /* Else its owner drains it already, and knows how to go on. */
    }
    if (worker->draining == 0)
        rill_loop_stop(worker->loop);
}

/* The rest follows behind the connection_made of whoever was handed over just now: telling
 * connections to finish must not end one that has not even begun. */
static void
begin_to_stop(rill_worker *worker)
{
    if (worker->stopping)
        return;
    worker->stopping = true;
    atomic_store(&worker->cell->state, RILL_WORKER_DRAINING);
    for (int i = 0; i < worker->workers->places_count; i++)
        atomic_store(&worker->served[i].seat->serving, false);
    rill__worker_close_fds(worker); /* Of places that it does not serve. */
    worker->begin_to_drain.run = begin_to_drain;
    rill__loop_push(worker->loop, &worker->begin_to_drain);
}

/* ---- orders ---- */

int
rill__order_send(int end, const rill__message *message, int fd)
{
    return rill__host_send(end, message, sizeof(*message), &fd, fd >= 0 ? 1 : 0);
}

int
rill__order_receive(int end, rill__message *ret_message, int *ret_fd)
{
    int fds[RILL__CHANNEL_FDS];
    size_t count;
    int64_t len = rill__host_receive(end, ret_message, sizeof(*ret_message), fds, &count);

    *ret_fd = count == 1 ? fds[0] : -1;
    if (len == -EMFILE)
        return 1; /* The message is there, without its descriptor. */
    if (len <= 0)
        return (int)len;
    rill__check(len == (int64_t)sizeof(*ret_message) && count <= 1);
    return 1;
}

static void
take_connection(rill_worker *worker, uint32_t place, int fd)
{
    rill__served *served = &worker->served[place];
    int rc = fd < 0 ? -EMFILE : RILL_ECLOSED;

    atomic_fetch_add(&served->seat->taken, 1);
    if (fd >= 0 && served->server != NULL)
        rc = rill_server_adopt(served->server, fd);
    if (rc == 0)
        return;
    add(&worker->cell->refused, 1);
    rill__host_close(fd);
    seat_left(worker, served->seat);
    if (rc != RILL_ELIMIT)
        rill__report(worker->loop, RILL_ERROR_SETUP, rc, NULL, NULL, served->server,
            "a connection that was handed over could not be taken");
}

static void
on_orders(rill__op *op)
{
    rill_worker *worker = RILL__CONTAINER(op, rill_worker, io.recv);
    rill_loop *loop = worker->loop;

    for (int i = 0; i < ORDERS_PER_RECORD; i++) {
        rill__message message;
        int fd;
        int rc = rill__order_receive(worker->ends[1], &message, &fd);

        if (rc == -EAGAIN)
            return;
        if (rc == 1 && message.order == RILL__ORDER_TAKE) {
            rill__check(message.place < (uint32_t)worker->workers->places_count);
            take_connection(worker, message.place, fd);
            continue;
        }
        if (rc == 1)
            rill__host_close(fd);
        if (rc <= 0) /* For ever readable: it has said all that it can. */
            (void)loop->ops->poll_set(loop->driver, &worker->io, false, false);
        begin_to_stop(worker);
        if (rc <= 0)
            return;
    }
}

static void
on_other(rill__op *op)
{
    (void)op; /* Neither writable nor closed is ever asked for. */
}

static int
watch_orders(rill_worker *worker)
{
    rill_loop *loop = worker->loop;
    int rc;

    memset(&worker->io, 0, sizeof(worker->io));
    worker->io.recv.fn = on_orders;
    worker->io.send.fn = on_other;
    worker->io.close.fn = on_other;
    rc = loop->ops->attach(loop->driver, &worker->io, worker->ends[1], RILL__IO_POLL);
    if (rc < 0)
        return rc;
    rc = loop->ops->poll_set(loop->driver, &worker->io, true, false);
    if (rc < 0)
        (void)loop->ops->detach(loop->driver, &worker->io);
    return rc;
}

/* ---- its life ---- */

/* Main has made what it serves, and runs the loop. */
static void
on_first_turn(rill__ready *ready)
{
    rill_worker *worker = RILL__CONTAINER(ready, rill_worker, first_turn);

    if (worker->stopping)
        return;
    atomic_store(&worker->cell->state, RILL_WORKER_RUNNING);
    rill__host_ring(worker->workers->bell);
}

static void
be_born(rill_worker *worker)
{
    worker->loop = NULL;
    worker->stopping = false;
    worker->draining = 0;
    worker->on_stop = NULL;
    worker->on_stop_arg = NULL;
    for (int i = 0; i < RILL__PLACES_MAX; i++)
        worker->served[i] =
            (rill__served){ .worker = worker, .seat = &worker->cell->seats[i], .server = NULL };
}

/* Main has returned before it was stopped to the end: nothing of that is to happen any more. */
static void
be_left(rill_worker *worker)
{
    worker->on_stop = NULL;
    for (int i = 0; i < worker->workers->places_count; i++)
        worker->served[i].left = true;
}

int
rill__worker_live(rill_worker *worker)
{
    rill_workers *workers = worker->workers;
    rill_loop *loop;
    int rc = workers->options.pin ? rill__host_pin(worker->index) : 0;

    be_born(worker);
    if (rc == 0)
        rc = rill_loop_new(&workers->loop_options, &loop);
    if (rc < 0) {
        rill__worker_close_fds(worker);
        return rc;
    }
    worker->loop = loop;
    loop->turns_shown = &worker->cell->turns;
    rc = watch_orders(worker);
    if (rc == 0) {
        worker->first_turn.run = on_first_turn;
        rill__loop_push(loop, &worker->first_turn);
        rc = workers->main(worker, loop, workers->arg);
        (void)loop->ops->detach(loop->driver, &worker->io);
        be_left(worker);
    }
    for (int i = 0; i < workers->places_count; i++)
        atomic_store(&worker->cell->seats[i].serving, false);
    (void)rill_loop_free(loop);
    rill__worker_close_fds(worker);
    return rc;
}

/* ---- what its main calls ---- */

/* The user's `closed` comes after ours: the server's place is empty then. */
static void
on_closed(rill_server *server, void *arg)
{
    rill__served *served = arg;
    const rill_server_options *o =
        &served->worker->workers->places[served - served->worker->served]->options;

    atomic_store(&served->seat->serving, false);
    served->server = NULL;
    if (o->closed != NULL)
        o->closed(server, o->closed_arg);
}

static int
serve(rill_worker *worker, int number, const rill_protocol *protocol, void *arg)
{
    rill_workers *workers = worker->workers;
    const rill__place *place = workers->places[number];
    rill__served *served = &worker->served[number];
    rill_server_options o = place->options;
    int rc;

    o.closed = on_closed;
    o.closed_arg = served;
    if (rill__workers_hand_over(workers) || place->shared) {
        o.host = o.path = NULL;
        o.hosts = NULL;
        o.addr = NULL;
        o.port = 0;
    }
    if (rill__workers_hand_over(workers)) {
        o.no_socket = 1;
    } else if (place->shared) {
        o.fds = worker->fds + place->first;
        o.fds_count = place->count;
    } else {
        o.reuse_port = 1;
    }
    rc = rill_create_server(worker->loop, &o, protocol, arg, &served->server);
    if (rc < 0)
        return rc;
    for (size_t i = 0; place->shared && i < place->count; i++)
        worker->fds[place->first + i] = -1; /* The server's now. */
    rill__server_watch(served->server, on_change, served);
    served->once = true;
    return 0;
}

int
rill_worker_serve(rill_worker *worker, int place, const rill_protocol *protocol, void *arg,
    rill_server **ret_server)
{
    rill__served *served;
    int rc;

    RILL__REQUIRE(worker != NULL);
    rill__check_thread(worker->loop, "rill_worker_serve");
    if (place < 0 || place >= worker->workers->places_count)
        return rill__fail(
            worker->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "there is no place %d", place);
    served = &worker->served[place];
    if (worker->stopping)
        return rill__fail_call(worker->loop, RILL_ECLOSED, "rill_worker_serve");
    if (served->once)
        return rill__fail(worker->loop, RILL_EBUSY, RILL_LAYER_TRANSPORT,
            "place %d is or was served by this worker", place);
    rc = serve(worker, place, protocol, arg);
    if (rc < 0)
        return rc;
    atomic_store(&served->seat->serving, true);
    if (rill__workers_hand_over(worker->workers))
        rill__host_ring(worker->workers->bell);
    if (ret_server != NULL)
        *ret_server = served->server;
    return 0;
}

void
rill_worker_on_stop(rill_worker *worker, rill_callback fn, void *arg)
{
    worker->on_stop = fn;
    worker->on_stop_arg = arg;
}

bool
rill_worker_is_stopping(const rill_worker *worker)
{
    return worker->stopping;
}

int
rill_worker_index(const rill_worker *worker)
{
    return worker->index;
}

rill_loop *
rill_worker_loop(const rill_worker *worker)
{
    return worker->loop;
}

rill_workers *
rill_worker_workers(const rill_worker *worker)
{
    return worker->workers;
}
