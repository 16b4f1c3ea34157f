/*
 * A loop's making and its end.
 *
 * Freeing always succeeds: whatever is alive is ended through the ordinary paths, tasks first,
 * since they own the rest, and the loop is turned until all is gone. Any thread makes a loop; the
 * one that ran it last, or any other while it does not run, frees it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/internal.h"

#define HOT_BYTES      ((size_t)128 * 1024)
#define HOT_BYTES_MIN  ((size_t)4 * 1024)
#define HOT_BYTES_MAX  ((size_t)64 * 1024 * 1024)
#define HELD_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define SLOW_CALLBACK  (100 * RILL_MS)
#define SENDER_PAUSE   (50 * RILL_US)
#define SPIN_MAX       (1 * RILL_MS)
#define TASKS_GRACE    (5 * RILL_S)

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

/* The driver of the first of the names in a list. */
static const rill__driver_ops *
find_driver(const char *names)
{
    static const struct {
        const char *name;
        const rill__driver_ops *ops;
    } known[] = {
        { "auto", &rill__driver_epoll },
        { "epoll", &rill__driver_epoll },
#if RILL_WITH_URING
        { "uring", &rill__driver_uring },
#endif
#if RILL_WITH_SIM
        { "sim", &rill__driver_sim },
#endif
    };
    size_t len = strcspn(names, ",");

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == len && memcmp(known[i].name, names, len) == 0)
            return known[i].ops;
    }
    return NULL;
}

static const char *
next_name(const char *names)
{
    const char *comma = strchr(names, ',');

    return comma != NULL ? comma + 1 : NULL;
}

static bool
are_all_known(const char *names)
{
    for (; names != NULL; names = next_name(names)) {
        if (find_driver(names) == NULL)
            return false;
    }
    return true;
}

static int
check_options(const rill_loop_options *options, const char *drivers)
{
    if (!are_all_known(drivers))
        return RILL_ENODRIVER;
    if (options->sim != NULL && strcmp(drivers, "sim") != 0)
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
    if (options->spin < 0 || options->spin > SPIN_MAX)
        return RILL_EINVAL;
    return 0;
}

/* The first one that the kernel does not refuse. */
static int
open_driver(rill_loop *loop, const rill_loop_options *options, const char *names)
{
    const rill__driver_config config = {
        .loop = loop, .sim = options->sim, .sim_host = options->sim_host
    };

    for (;;) {
        const rill__driver_ops *ops = find_driver(names);
        int rc = ops->open(&config, &loop->driver);

        if (rc >= 0) {
            loop->ops = ops;
            return rc;
        }
        names = next_name(names);
        if (rc != RILL_ENODRIVER || names == NULL)
            return rc;
        rill__log(loop, RILL_LOG_DEBUG, "the kernel refuses the driver %s: trying %s", ops->name,
            find_driver(names)->name);
    }
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
        assert(loop->abandoned || loop->memory[tag] == (tag == RILL_TAG_LOOP ? sizeof(*loop) : 0));
    allocator.free(allocator.ctx, loop, sizeof(*loop), RILL_TAG_LOOP);
}

int
rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    rill_loop_options opts = RILL_LOOP_OPTIONS();
    const char *drivers;
    rill_loop *loop;
    int rc = 0;

    RILL__REQUIRE(ret_loop != NULL);
    (void)pthread_once(&once, watch_forks);
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_loop_options", options, options->size, &opts, sizeof(opts));
    if (rc < 0)
        return rc;
    drivers = opts.driver != NULL ? opts.driver : from_environment("RILL_DRIVER");
    if (drivers == NULL)
        drivers = "auto";
    rc = check_options(&opts, drivers);
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
    rc = open_driver(loop, &opts, drivers);
    if (rc < 0)
        goto fail_inbox;
    loop->sys = loop->driver->sys;
    rill__spin_init(&loop->spin, loop->ops->clock_is_virtual ? 0 : opts.spin);
    loop->special_wait = loop->spin.limit != 0;
    rill__timers_init(&loop->timers, loop->ops->now(loop->driver));
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
               loop->object_count[RILL__OBJECT_CONNECT] + loop->object_count[RILL__OBJECT_RESTART] +
               loop->object_count[RILL__OBJECT_PROCESS] + rill__loop_ready(loop) !=
           0) {
        int rc = rill__loop_turn(loop, RILL_NEVER);

        if (rc < 0)
            rill__panic("rill_loop_free: the driver fails: %s", rill_strerror(rc));
    }
    rill__loop_run_reap(loop);
}

/* A sender may be between claiming its place and writing the message, or just waking the loop. */
static void
run_posts(rill_loop *loop)
{
    rill__inbox_awake(loop->inbox);
    rill__inbox_close(loop->inbox);
    for (;;) {
        while (rill__inbox_take(loop, loop->inbox))
            rill__loop_run_ready(loop);
        if (rill__inbox_is_drained(loop->inbox))
            break;
        (void)loop->ops->wait(loop->driver, loop->ops->now(loop->driver) + SENDER_PAUSE);
    }
}

/* They are canceled, and have a while for cleaning up. */
static size_t
end_tasks(rill_loop *loop)
{
    size_t leftovers = end_objects(loop, RILL__OBJECT_TASK);
    rill_ns deadline = loop->ops->now(loop->driver) + TASKS_GRACE;

    while (loop->object_count[RILL__OBJECT_TASK] != 0) {
        if (rill__loop_turn(loop, deadline) < 0 || rill__loop_now(loop) >= deadline)
            break;
    }
    if (loop->object_count[RILL__OBJECT_TASK] != 0)
        loop->tasks_ops->abandon(loop);
    return leftovers;
}

/* Those that have not begun are dropped; the others are waited for, but not for ever. */
static size_t
end_jobs(rill_loop *loop)
{
    size_t leftovers = end_objects(loop, RILL__OBJECT_JOB);
    rill_ns deadline = loop->ops->now(loop->driver) + TASKS_GRACE;

    while (loop->object_count[RILL__OBJECT_JOB] != 0 && loop->tasks_ops->jobs_may_end(loop)) {
        if (rill__loop_turn(loop, deadline) < 0 || rill__loop_now(loop) >= deadline)
            break;
    }
    if (loop->object_count[RILL__OBJECT_JOB] != 0)
        loop->tasks_ops->abandon_jobs(loop);
    return leftovers;
}

static size_t
end_everything(rill_loop *loop)
{
    size_t leftovers = rill__handles_drop(loop);

    run_posts(loop);
    loop->freeing = true;
    rill__soons_interrupt(&loop->soons);
    (void)rill__handles_drop(loop);
    rill__mail_take(loop); /* Tasks that other threads wanted do not begin any more. */
    leftovers += end_tasks(loop);
    leftovers += end_jobs(loop);
    leftovers += end_objects(loop, RILL__OBJECT_WATCH);
    leftovers += end_objects(loop, RILL__OBJECT_CONNECT);
    leftovers += end_objects(loop, RILL__OBJECT_RESTART);
    leftovers += end_objects(loop, RILL__OBJECT_INHERITED);
    leftovers += end_objects(loop, RILL__OBJECT_SERVER);
    leftovers += end_objects(loop, RILL__OBJECT_PROCESS);
    leftovers += end_objects(loop, RILL__OBJECT_TRANSPORT);
    run_rest(loop);
    return leftovers + loop->futures;
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
    loop->errno_address = &errno;
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
    rill__mail_take(loop);
    if (loop->tasks != NULL)
        loop->tasks_ops->done(loop);
    rill__mail_settle(loop);
    rill__watches_done(loop);
    rill__pool_done(loop);
    loop->ops->close(loop->driver);
    rill__inbox_free(loop, loop->inbox);
    deallocate(loop);
    return leftovers;
}
