/*
 * The loop: its turn, and running it.
 *
 * A turn is asyncio's run-once: wait for records (not at all while something is ready), append what
 * other threads posted and what expired, run what is ready now, first in first out, and free what
 * ended. What these callbacks schedule waits for the next turn. A loop belongs to the thread that
 * runs it.
 */
#include <errno.h>
#include <limits.h>

#include "core/internal.h"

#define TASKS_MAX 256 /* So many may run between two looks for events. */
#define SKIPPED   1

__thread rill_loop *rill__running __attribute__((tls_model("initial-exec")));
uint32_t rill__fork_generation;

/* ---- running ---- */

void
rill__panic_thread(const rill_loop *loop, const char *function)
{
    (void)loop;
    rill__panic("%s called from a thread that does not run this loop: use "
                "rill_call_soon_threadsafe to get there",
        function);
}

static inline void
run_epilogue(rill_loop *loop)
{
    void (*epilogue)(void *) = loop->epilogue;

    if (epilogue == NULL)
        return;
    loop->epilogue = NULL;
    epilogue(loop->epilogue_object);
}

void
rill__loop_run_epilogue(rill_loop *loop)
{
    run_epilogue(loop);
}

void
rill__op_run(rill__ready *ready)
{
    rill__op *op = RILL__CONTAINER(ready, rill__op, ready);

    op->queued = false;
    if (!op->discarded)
        op->fn(op);
}

void
rill__loop_push_op(rill_loop *loop, rill__op *op)
{
    rill__push_op(loop, op);
}

void
rill__loop_unlink(rill_loop *loop, rill__ready *node)
{
    rill__ready *previous = NULL;
    uint64_t soons = loop->soons.head; /* As far as the walk has come. */
    uint64_t position = loop->ran;

    for (rill__ready *n = loop->ready_head; n != NULL && n != node; n = n->next) {
        rill__soons_mark *mark = rill__soons_mark_of(n);
        uint64_t end = mark != NULL ? rill__soons_end_of(&loop->soons, mark) : soons;

        previous = n;
        position += mark != NULL ? end - soons : 1;
        soons = end;
    }
    if (position < loop->turn_end)
        loop->turn_end--; /* Else one that was queued in this turn would take its place in it. */
    rill__check(previous != NULL ? previous->next == node : loop->ready_head == node);
    if (previous != NULL)
        previous->next = node->next;
    else
        loop->ready_head = node->next;
    if (loop->ready_tail == node)
        loop->ready_tail = previous;
    loop->queued--;
}

static inline void
remove_head(rill_loop *loop)
{
    loop->ready_head = loop->ready_head->next;
    if (loop->ready_head == NULL)
        loop->ready_tail = NULL;
}

static inline const rill__soon *
first_soon(const rill__soons *soons)
{
    return &soons->ring[soons->head & soons->mask];
}

/* The mark keeps its place until the last of them has returned: what that one schedules can follow
 * in it. */
static __attribute__((noinline)) void
run_soons(rill_loop *loop, rill__soons_mark *mark, uint64_t max)
{
    rill__soons *soons = &loop->soons;
    uint64_t ran = loop->ran;
    uint64_t head = soons->head;
    uint64_t count = rill__soons_end_of(soons, mark) - head;
    uint64_t end = head + (count < max ? count : max);

    do {
        const rill__soon *soon = &soons->ring[head & soons->mask];

        soons->head = ++head;
        loop->ran = ++ran;
        soon->fn(soon->arg);
        run_epilogue(loop);
    } while (head != end);
    if (head != rill__soons_end_of(soons, mark))
        return;
    remove_head(loop);
    rill__soons_drop(loop, mark);
}

/* The callbacks of the first node, at most `max`, and what they left for the time after them. */
static inline void
run_head(rill_loop *loop, uint64_t max)
{
    rill__ready *node = loop->ready_head;
    rill__soons_mark *mark = rill__soons_mark_of(node);

    if (mark != NULL) {
        run_soons(loop, mark, max);
        return;
    }
    loop->ran++;
    remove_head(loop);
    node->run(node);
    run_epilogue(loop);
}

static RILL__RARE void
run_one_timed(rill_loop *loop)
{
    rill_ns start = loop->ops->now(loop->driver);
    bool soon = rill__soons_mark_of(loop->ready_head) != NULL;
    rill_ns took;

    loop->current_site = soon ? first_soon(&loop->soons)->site : NULL;
    loop->current_what = NULL;
    run_head(loop, 1);
    took = loop->ops->now(loop->driver) - start;
    if (took >= loop->slow_callback)
        rill__report(loop, RILL_ERROR_SLOW, 0, loop->current_site, NULL, NULL,
            "a callback took %lld.%03lld seconds: %s%s%s", (long long)(took / RILL_S),
            (long long)(took % RILL_S / RILL_MS),
            loop->current_what != NULL ? loop->current_what : "",
            loop->current_what != NULL ? " of " : "",
            loop->current_site != NULL ? loop->current_site : "(the library's own)");
}

static RILL__RARE void
run_all_timed(rill_loop *loop)
{
    while (loop->ran != loop->turn_end)
        run_one_timed(loop);
}

static void
run_ready(rill_loop *loop, size_t callbacks_max)
{
    loop->turn_end = loop->queued;
    if (callbacks_max != 0 && rill__loop_ready(loop) > callbacks_max)
        loop->turn_end = loop->ran + callbacks_max;
    loop->in_callback = true;
    if (RILL__UNLIKELY(loop->debug))
        run_all_timed(loop);
    while (loop->ran != loop->turn_end)
        run_head(loop, loop->turn_end - loop->ran);
    loop->in_callback = false;
}

static void
run_reap(rill_loop *loop)
{
    while (loop->reap != NULL) {
        rill__ready *node = loop->reap;

        loop->reap = node->next;
        node->run(node);
    }
}

static inline rill_ns
wait_deadline(const rill_loop *loop, rill_ns until)
{
    rill_ns next = loop->timers.count != 0 ? rill__timers_next(&loop->timers) : RILL_NEVER;

    return until != RILL_NEVER && (next == RILL_NEVER || until < next) ? until : next;
}

static inline int
sleep_until(rill_loop *loop, rill_ns deadline)
{
    int rc;

    if (!rill__inbox_may_sleep(loop->inbox))
        deadline = 0;
    rc = loop->ops->wait(loop->driver, deadline);
    rill__inbox_awake(loop->inbox);
    return rc;
}

int
rill__loop_sleep(rill_loop *loop, rill_ns deadline)
{
    return sleep_until(loop, deadline);
}

/* Nothing that the loop knows of, or that holds it, could ever wake it. */
static bool
is_stuck(const rill_loop *loop)
{
    return loop->tells_deadlock && loop->timers.count == loop->idle_timers &&
           atomic_load(&loop->holds) == 0 &&
           loop->object_count[RILL__OBJECT_TRANSPORT] + loop->object_count[RILL__OBJECT_SERVER] +
                   loop->object_count[RILL__OBJECT_CONNECT] +
                   loop->object_count[RILL__OBJECT_RESTART] +
                   loop->object_count[RILL__OBJECT_PROCESS] ==
               0 &&
           rill__inbox_is_empty(loop->inbox) && !rill__mail_is_there(loop);
}

static RILL__RARE int
wait_specially(rill_loop *loop, rill_ns deadline)
{
    if (is_stuck(loop))
        return RILL_EDEADLK;
    return loop->spin.limit != 0 ? rill__spin_wait(loop, deadline) : sleep_until(loop, deadline);
}

/* Tasks that only give way to each other: the kernel need not be asked each time, unless they are
 * many or take their time. */
static bool
may_skip(rill_loop *loop)
{
    rill_ns now = loop->ops->now_coarse(loop->driver);

    if (loop->looked_at == 0)
        loop->looked_at = now;
    return now == loop->looked_at && loop->queued - loop->looked_before <= TASKS_MAX;
}

static inline bool
only_tasks_are_ready(rill_loop *loop)
{
    return loop->fibers_ready != 0 && loop->fibers_ready == rill__loop_ready(loop) && !loop->stop &&
           may_skip(loop);
}

static inline int
wait_for_records(rill_loop *loop, bool may_wait, rill_ns until)
{
    if (!may_wait || rill__loop_ready(loop) != 0 || loop->stop) {
        if (only_tasks_are_ready(loop))
            return SKIPPED;
        loop->looked_at = 0;
        loop->looked_before = loop->ran;
        rill__inbox_awake(loop->inbox);
        return loop->ops->wait(loop->driver, 0);
    }
    if (RILL__UNLIKELY(loop->special_wait))
        return wait_specially(loop, wait_deadline(loop, until));
    return sleep_until(loop, wait_deadline(loop, until));
}

/* Split off by the compiler it would cost every turn a call and what that saves. */
static inline __attribute__((always_inline)) int
turn(rill_loop *loop, bool may_wait, rill_ns until, size_t callbacks_max)
{
    int rc = wait_for_records(loop, may_wait, until);

    if (RILL__LIKELY(rc == 0)) {
        loop->now_valid = false;
        (void)rill__inbox_take(loop, loop->inbox);
        if (RILL__UNLIKELY(rill__mail_is_there(loop)))
            rill__mail_take(loop);
        if (loop->timers.count != 0)
            rill__timers_expire(loop, rill__loop_now(loop));
    } else if (rc < 0) {
        return rc;
    }
    run_ready(loop, callbacks_max);
    run_reap(loop);
    loop->turns++;
    if (RILL__UNLIKELY(loop->turns_shown != NULL))
        atomic_store_explicit(loop->turns_shown, loop->turns, memory_order_relaxed);
    return 0;
}

int
rill__loop_turn(rill_loop *loop, rill_ns until)
{
    return turn(loop, true, until, 0);
}

void
rill__loop_run_ready(rill_loop *loop)
{
    run_ready(loop, 0);
}

void
rill__loop_run_reap(rill_loop *loop)
{
    run_reap(loop);
}

static int
begin(rill_loop *loop)
{
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (loop->running || rill__running != NULL)
        return RILL_EBUSY;
    loop->running = true;
    loop->errno_address = &errno;
    rill__running = loop;
    return 0;
}

static void
end(rill_loop *loop)
{
    /* Who waits on the backend's descriptor himself is woken by posts too. */
    (void)rill__inbox_may_sleep(loop->inbox);
    loop->ops->submit(loop->driver);
    rill__running = NULL;
    loop->running = false;
}

int
rill_loop_run_until(rill_loop *loop, rill_ns deadline)
{
    int rc;

    RILL__REQUIRE(loop != NULL);
    rc = begin(loop);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_LOOP, "rill_loop_run: %s", rill_strerror(rc));
    loop->sys->run_begin(loop->driver);
    do {
        rc = turn(loop, true, deadline, 0);
        if (rc >= 0 && !loop->stop && deadline != RILL_NEVER && rill__loop_now(loop) >= deadline)
            rc = RILL_ETIMEDOUT;
    } while (rc >= 0 && !loop->stop);
    loop->sys->run_end(loop->driver);
    loop->stop = false;
    end(loop);
    return rc < 0 ? rc : 0;
}

int
rill_loop_run(rill_loop *loop)
{
    RILL__REQUIRE(loop != NULL);
    return rill_loop_run_until(loop, RILL_NEVER);
}

int
rill_loop_step(rill_loop *loop, size_t callbacks_max)
{
    uint64_t ran;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rc = begin(loop);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_LOOP, "rill_loop_step: %s", rill_strerror(rc));
    ran = loop->ran;
    rc = turn(loop, false, RILL_NEVER, callbacks_max);
    ran = loop->ran - ran;
    loop->stop = false;
    end(loop);
    if (rc < 0)
        return rc;
    return ran < INT_MAX ? (int)ran : INT_MAX;
}

void
rill_loop_stop(rill_loop *loop)
{
    rill__check_thread(loop, "rill_loop_stop");
    loop->stop = true;
}

/* ---- looking ---- */

int
rill_loop_backend_fd(rill_loop *loop)
{
    RILL__REQUIRE(loop != NULL);
    return loop->ops->backend_fd(loop->driver);
}

rill_ns
rill_loop_next_timeout(rill_loop *loop)
{
    rill_ns next;
    rill_ns left;

    if (rill__loop_ready(loop) != 0 || loop->stop || !rill__inbox_is_empty(loop->inbox) ||
        rill__mail_is_there(loop))
        return 0;
    next = rill__timers_next(&loop->timers);
    if (next == RILL_NEVER)
        return RILL_NEVER;
    left = next - loop->ops->now(loop->driver);
    return left > 0 ? left : 0;
}

rill_ns
rill_loop_time(rill_loop *loop)
{
    return loop->ops->now(loop->driver);
}

rill_ns
rill_loop_now(const rill_loop *loop)
{
    return rill__loop_now(
        (rill_loop *)loop); /* A cache is filled; the loop's state is not changed. */
}

rill_loop *
rill_loop_running(void)
{
    return rill__running != NULL && rill__running->fork_generation == rill__fork_generation
               ? rill__running
               : NULL;
}

bool
rill_loop_is_running(const rill_loop *loop)
{
    return loop->running;
}

const char *
rill_loop_driver(const rill_loop *loop)
{
    return loop->ops->name;
}

void
rill_loop_set_debug(rill_loop *loop, bool on, rill_ns slow_callback)
{
    loop->debug = on;
    loop->slow_callback = slow_callback;
}

bool
rill_loop_get_debug(const rill_loop *loop)
{
    return loop->debug;
}

void
rill_loop_get_stats(const rill_loop *loop, rill_loop_stats *ret_stats)
{
    size_t size = ret_stats->size;
    rill_loop_stats stats = {
        .size = size,
        .turns = loop->turns,
        .callbacks = loop->ran,
        .ready = rill__loop_ready(loop),
        .timers = loop->timers.count,
        .transports = loop->object_count[RILL__OBJECT_TRANSPORT],
        .transports_made = loop->transports_made,
        .servers = loop->object_count[RILL__OBJECT_SERVER],
        .held_bytes = loop->held_bytes,
        .spins = loop->spin.tries,
        .spin_hits = loop->spin.hits,
        .spin_polls = loop->spin.polls,
    };

    memcpy(stats.memory, loop->memory, sizeof(stats.memory));
    memcpy(ret_stats, &stats, size < sizeof(stats) ? size : sizeof(stats));
}

/* ---- objects ---- */

void
rill__object_add(rill_loop *loop, enum rill__object_kind kind, const rill__object_ops *ops,
    rill__object *object, const char *site)
{
    object->site = site;
    loop->object_ops[kind] = ops;
    loop->object_count[kind]++;
    rill__list_append(&loop->objects[kind], &object->link);
}

void
rill__object_remove(rill_loop *loop, enum rill__object_kind kind, rill__object *object)
{
    assert(loop->object_count[kind] > 0);
    loop->object_count[kind]--;
    rill__list_remove(&object->link);
}
