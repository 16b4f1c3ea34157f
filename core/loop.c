/*
 * The loop: its life and its turn.
 *
 * A turn is asyncio's run-once: wait for records (not at all while something is ready), append what
 * other threads posted and what expired, run what is ready now, first in first out, and free what
 * ended. What these callbacks schedule waits for the next turn. A loop belongs to the thread that
 * runs it.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/internal.h"

#define WAIT_MAX       (24 * 3600 * RILL_S)
#define HOT_BYTES      ((size_t)128 * 1024)
#define HOT_BYTES_MIN  ((size_t)4 * 1024)
#define HOT_BYTES_MAX  ((size_t)64 * 1024 * 1024)
#define HELD_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define SLOW_CALLBACK  (100 * RILL_MS)
#define SENDER_PAUSE   (50 * RILL_US)

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

static rill_ns
wait_deadline(rill_loop *loop, bool may_wait, rill_ns until)
{
    rill_ns next;

    if (!may_wait || rill__loop_ready(loop) != 0 || loop->stop)
        return 0;
    next = loop->timers.count != 0 ? rill__timers_next(&loop->timers) : RILL_NEVER;
    if (until != RILL_NEVER && (next == RILL_NEVER || until < next))
        next = until;
    if (!rill__inbox_may_sleep(loop->inbox))
        return 0;
    return next;
}

static int
turn(rill_loop *loop, bool may_wait, rill_ns until, size_t callbacks_max)
{
    rill_ns deadline = wait_deadline(loop, may_wait, until);
    int rc = loop->ops->wait(loop->driver, deadline);

    rill__inbox_awake(loop->inbox);
    if (rc < 0)
        return rc;
    loop->now_valid = false;
    (void)rill__inbox_take(loop, loop->inbox);
    if (loop->timers.count != 0)
        rill__timers_expire(loop, rill__loop_now(loop));
    run_ready(loop, callbacks_max);
    run_reap(loop);
    loop->turns++;
    return 0;
}

static int
begin(rill_loop *loop)
{
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (loop->running || rill__running != NULL)
        return RILL_EBUSY;
    loop->running = true;
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

    if (rill__loop_ready(loop) != 0 || loop->stop || !rill__inbox_is_empty(loop->inbox))
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

/* ---- making and freeing ---- */

static void
forked(void)
{
    rill__fork_generation++;
    rill__running = NULL;
}

static void
watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forked); /* Failing, only the RILL_EFORK check is lost. */
}

static const rill__driver_ops *
find_driver(const char *name)
{
    if (strcmp(name, "auto") == 0 || strcmp(name, "epoll") == 0)
        return &rill__driver_epoll;
#if RILL_WITH_URING
    if (strcmp(name, "uring") == 0)
        return &rill__driver_uring;
#endif
#if RILL_WITH_SIM
    if (strcmp(name, "sim") == 0)
        return &rill__driver_sim;
#endif
    return NULL;
}

static int
check_options(const rill_loop_options *options, const rill__driver_ops *ops)
{
    if (ops == NULL)
        return RILL_ENODRIVER;
    if (options->sim != NULL && strcmp(ops->name, "sim") != 0)
        return RILL_EINVAL;
    if (options->recv_buffer_bytes != 0 &&
        (options->recv_buffer_bytes < HOT_BYTES_MIN || options->recv_buffer_bytes > HOT_BYTES_MAX))
        return RILL_EINVAL;
    if (options->allocator != NULL &&
        (options->allocator->alloc == NULL || options->allocator->resize == NULL ||
            options->allocator->free == NULL))
        return RILL_EINVAL;
    if (options->slow_callback < 0 || options->log_level > RILL_LOG_DEBUG)
        return RILL_EINVAL;
    return 0;
}

static const char *
from_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void
configure(rill_loop *loop, const rill_loop_options *options)
{
    const char *debug = from_environment("RILL_DEBUG");

    loop->allocator = options->allocator != NULL ? *options->allocator : rill__default_allocator;
    loop->log = options->log;
    loop->log_arg = options->log_arg;
    loop->log_level =
        options->log_level != RILL_LOG_DEFAULT ? options->log_level : RILL_LOG_WARNING;
    loop->debug =
        options->debug > 0 || (options->debug == 0 && debug != NULL && strcmp(debug, "0") != 0);
    loop->slow_callback = options->slow_callback != 0 ? options->slow_callback : SLOW_CALLBACK;
    loop->hot_bytes = options->recv_buffer_bytes != 0 ? options->recv_buffer_bytes : HOT_BYTES;
    loop->held_bytes_max = options->held_bytes_max != 0 ? options->held_bytes_max : HELD_BYTES_MAX;
}

static void
init(rill_loop *loop)
{
    static atomic_uint made;
    uint32_t number = atomic_fetch_add(&made, 1);

    loop->tag = (uint8_t)(number % 127 + 1);
    loop->generation_salt = number / 127 * UINT32_C(0x9e3779b1);
    loop->fork_generation = rill__fork_generation;
    loop->error_handler = rill_loop_default_error_handler;
    loop->last_error.sentence = rill_strerror(0);
    for (int kind = 0; kind < RILL__OBJECT_KINDS; kind++)
        rill__list_init(&loop->objects[kind]);
    rill__handles_init(loop);
}

/* The loop's own memory is the first allocation of its allocator. */
static rill_loop *
allocate(const rill_allocator *hook)
{
    const rill_allocator *allocator = hook != NULL ? hook : &rill__default_allocator;
    rill_loop *loop = allocator->alloc(allocator->ctx, sizeof(*loop), RILL_TAG_LOOP);

    if (loop != NULL) {
        memset(loop, 0, sizeof(*loop));
        loop->memory[RILL_TAG_LOOP] = sizeof(*loop);
    }
    return loop;
}

static void
deallocate(rill_loop *loop)
{
    rill_allocator allocator = loop->allocator;

    for (int tag = 0; tag < RILL_TAG_COUNT; tag++)
        assert(loop->memory[tag] == (tag == RILL_TAG_LOOP ? sizeof(*loop) : 0));
    allocator.free(allocator.ctx, loop, sizeof(*loop), RILL_TAG_LOOP);
}

int
rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    rill_loop_options opts = RILL_LOOP_OPTIONS();
    const rill__driver_ops *ops;
    const char *driver;
    rill_loop *loop;
    int rc = 0;

    RILL__REQUIRE(ret_loop != NULL);
    (void)pthread_once(&once, watch_forks);
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_loop_options", options, options->size, &opts, sizeof(opts));
    if (rc < 0)
        return rc;
    driver = opts.driver != NULL ? opts.driver : from_environment("RILL_DRIVER");
    ops = find_driver(driver != NULL ? driver : "auto");
    rc = check_options(&opts, ops);
    if (rc < 0)
        return rc;
    loop = allocate(opts.allocator);
    if (loop == NULL)
        return -ENOMEM;
    configure(loop, &opts);
    init(loop);
    rc = rill__inbox_new(loop, &loop->inbox);
    if (rc < 0)
        goto fail_loop;
    rc = ops->open(
        &(rill__driver_config){ .loop = loop, .sim = opts.sim, .sim_host = opts.sim_host },
        &loop->driver);
    if (rc < 0)
        goto fail_inbox;
    loop->ops = ops;
    loop->sys = loop->driver->sys;
    rill__timers_init(&loop->timers, ops->now(loop->driver));
    *ret_loop = loop;
    return 0;

fail_inbox:
    rill__inbox_free(loop, loop->inbox);
fail_loop:
    deallocate(loop);
    return rc;
}

static size_t
end_objects(rill_loop *loop, enum rill__object_kind kind)
{
    size_t count = loop->object_count[kind];
    char text[256];

    /* `end` takes the object off the list, or later does; walk a list of our own meanwhile. */
    for (rill__link *link = loop->objects[kind].next; link != &loop->objects[kind];) {
        rill__object *object = RILL__CONTAINER(link, rill__object, link);

        link = link->next;
        if (loop->debug) {
            loop->object_ops[kind]->describe(object, text, sizeof(text));
            rill__report(loop, RILL_ERROR_LEFTOVER, 0, object->site, NULL, NULL,
                "still alive when the loop was freed: %s", text);
        }
        loop->object_ops[kind]->end(object);
    }
    return count;
}

static void
run_rest(rill_loop *loop)
{
    while (loop->object_count[RILL__OBJECT_TRANSPORT] + loop->object_count[RILL__OBJECT_SERVER] +
               loop->object_count[RILL__OBJECT_CONNECT] + rill__loop_ready(loop) !=
           0) {
        int rc = turn(loop, true, RILL_NEVER, 0);

        if (rc < 0)
            rill__panic("rill_loop_free: the driver fails: %s", rill_strerror(rc));
    }
    run_reap(loop);
}

/* A sender may be between claiming its place and writing the message, or just waking the loop. */
static void
run_posts(rill_loop *loop)
{
    rill__inbox_awake(loop->inbox);
    rill__inbox_close(loop->inbox);
    for (;;) {
        while (rill__inbox_take(loop, loop->inbox))
            run_ready(loop, 0);
        if (rill__inbox_is_drained(loop->inbox))
            break;
        (void)loop->ops->wait(loop->driver, loop->ops->now(loop->driver) + SENDER_PAUSE);
    }
}

static size_t
end_everything(rill_loop *loop)
{
    size_t leftovers = rill__handles_drop(loop);

    run_posts(loop);
    loop->freeing = true;
    rill__soons_interrupt(&loop->soons);
    (void)rill__handles_drop(loop);
    leftovers += end_objects(loop, RILL__OBJECT_CONNECT);
    leftovers += end_objects(loop, RILL__OBJECT_SERVER);
    leftovers += end_objects(loop, RILL__OBJECT_TRANSPORT);
    run_rest(loop);
    return leftovers;
}

size_t
rill_loop_free(rill_loop *loop)
{
    size_t leftovers;
    rill_loop *outer;

    if (loop == NULL)
        return 0;
    if (loop->running)
        rill__panic("rill_loop_free called while the loop runs: call rill_loop_stop, and free it "
                    "when rill_loop_run has returned");
    if (loop->fork_generation != rill__fork_generation)
        return 0; /* The parent's: touching its poller or sockets here would disturb them. */
    outer = rill__running;
    loop->running = true;
    rill__running = loop;
    loop->sys->run_begin(loop->driver);
    leftovers = end_everything(loop);
    loop->sys->run_end(loop->driver);
    rill__running = outer;
    loop->running = false;
    rill__chunk_free_hot(loop);
    rill__free(loop, loop->stage, RILL__STAGE_BYTES, RILL_TAG_WRITE);
    rill__soons_done(loop);
    rill__slab_done(loop, &loop->user_timers);
    rill__slab_done(loop, &loop->operations);
    rill__slab_done(loop, &loop->transports);
    rill__pool_done(loop);
    loop->ops->close(loop->driver);
    rill__inbox_free(loop, loop->inbox);
    deallocate(loop);
    return leftovers;
}
