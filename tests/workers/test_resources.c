/* drivers: epoll uring */
/* timeout: 120 */
/* valgrind: no */
/*
 * Workers without memory and without descriptors: making them fails with a code and leaves nothing
 * behind, and running ones come back when there is some again. Wrong arguments. Limits on
 * descriptors are another thing under Valgrind, which has some of its own.
 */
#include "crew.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

static crew c;
static allocator memory;

/* The counting allocator is for one thread; workers allocate at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *
locked_alloc(void *ctx, size_t size, rill_tag tag)
{
    void *ptr;

    (void)ctx;
    pthread_mutex_lock(&lock);
    ptr = memory.hook.alloc(memory.hook.ctx, size, tag);
    pthread_mutex_unlock(&lock);
    return ptr;
}

static void *
locked_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    void *moved;

    (void)ctx;
    pthread_mutex_lock(&lock);
    moved = memory.hook.resize(memory.hook.ctx, ptr, old_size, new_size, tag);
    pthread_mutex_unlock(&lock);
    return moved;
}

static void
locked_free(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    (void)ctx;
    pthread_mutex_lock(&lock);
    memory.hook.free(memory.hook.ctx, ptr, size, tag);
    pthread_mutex_unlock(&lock);
}

static const rill_allocator locked = {
    .alloc = locked_alloc, .resize = locked_resize, .free = locked_free
};

static void
ignore_log(rill_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

static const rill_loop_options loop_options = {
    .size = sizeof(loop_options), .allocator = &locked, .log = ignore_log
};

static int
setup(void **unused)
{
    (void)unused;
    memset(&c, 0, sizeof(c));
    allocator_init(&memory);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    allocator_heal(&memory);
    crew_kill(&c);
    return 0;
}

static rill_workers_options
with(int processes, rill_accept_mode accept)
{
    return RILL_WORKERS_OPTIONS(.count = 2, .processes = processes, .accept = accept,
        .loop = &loop_options, .restart_delay = RILL_MS);
}

/* ---- memory ---- */

/* Make, listen and run with the nth allocation failing. False: none was left to fail. */
static bool
make_without(size_t nth, bool and_all_later, rill_accept_mode accept)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", NULL };
    rill_workers_options options = with(0, accept);
    rill_server_options where = RILL_SERVER_OPTIONS(.hosts = hosts);
    rill_workers *workers = NULL;
    size_t refused = memory.refused;
    int rc;

    allocator_fail(&memory, nth, and_all_later);
    rc = rill_workers_create(&options, crew_main, &c, &workers);
    if (rc == 0)
        rc = rill_workers_listen(workers, &where, NULL);
    refused = memory.refused - refused;
    allocator_heal(&memory);
    rill_workers_free(workers);
    assert_int_equal(memory.blocks, 0);
    assert_int_equal(rc<0, refused> 0);
    if (rc < 0)
        assert_code(rc, -ENOMEM);
    return rc < 0;
}

static void
test_each_allocation_fails(void **unused)
{
    size_t descriptors = descriptor_count();

    (void)unused;
    for (rill_accept_mode accept = RILL_ACCEPT_REUSEPORT; accept <= RILL_ACCEPT_SHARED; accept++) {
        size_t nth = 1;

        while (make_without(nth, nth % 2 == 0, accept))
            nth++;
        assert_true(nth > 5);
        assert_int_equal(descriptor_count(), descriptors);
    }
}

/* Each allocation of the workers themselves fails once: they are started again and serve. */
static void
check_running_without(size_t nth, rill_accept_mode accept)
{
    rill_workers_options options = with(0, accept);
    int index;

    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    pthread_mutex_lock(&lock);
    allocator_fail(&memory, nth, false);
    pthread_mutex_unlock(&lock);
    crew_run(&c);
    if (nth < 3) { /* Those of run itself. */
        pthread_join(c.runner, NULL);
        c.running = false;
        assert_code(c.rc, -ENOMEM);
        assert_int_equal(crew_ends(&c), 0);
        rill_workers_free(c.workers);
        c.workers = NULL;
        return;
    }
    crew_await_served(&c, 1);
    pthread_mutex_lock(&lock);
    allocator_heal(&memory);
    pthread_mutex_unlock(&lock);
    close(client_of(&c.addr, &index));
    crew_close(&c);
    for (size_t i = 0; i < crew_ends(&c); i++) {
        if (c.ends[i].end.code != 0)
            assert_code(c.ends[i].end.code, -ENOMEM);
    }
}

static void
test_running_workers_come_back(void **unused)
{
    (void)unused;
    for (size_t nth = 1; nth < 16; nth++) {
        check_running_without(nth, (rill_accept_mode)(nth % 3));
        assert_int_equal(memory.blocks, 0);
    }
}

/* ---- descriptors ---- */

static void
limit_descriptors(size_t count)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
check_making_with_few(rill_accept_mode accept)
{
    size_t descriptors = descriptor_count();
    struct rlimit before;
    bool done = false;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t more = 0; !done; more++) {
        rill_workers_options options = with(0, accept);
        rill_server_options where = RILL_SERVER_OPTIONS(.host = "127.0.0.1");
        rill_workers *workers = NULL;
        int rc;

        assert_true(more < 100);
        limit_descriptors(descriptors + more);
        rc = rill_workers_create(&options, crew_main, &c, &workers);
        if (rc == 0)
            rc = rill_workers_listen(workers, &where, NULL);
        rill_workers_free(workers);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (rc < 0)
            assert_code(rc, -EMFILE);
        done = rc == 0;
        assert_int_equal(descriptor_count(), descriptors);
        assert_int_equal(memory.blocks, 0);
    }
}

static void
test_few_descriptors(void **unused)
{
    (void)unused;
    check_making_with_few(RILL_ACCEPT_REUSEPORT);
    check_making_with_few(RILL_ACCEPT_HANDOVER);
    check_making_with_few(RILL_ACCEPT_SHARED);
}

/* Workers that find no descriptor for their loop fail, wait and are there when there are some. */
static void
check_running_with_few(int processes)
{
    rill_workers_options options = with(processes, RILL_ACCEPT_SHARED);
    struct rlimit before;
    int index;

    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_descriptors(descriptor_count());
    crew_run(&c);
    AWAIT(crew_ends(&c) >= 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_code(c.ends[0].end.code, -EMFILE);
    crew_await_served(&c, 1);
    close(client_of(&c.addr, &index));
    crew_close(&c);
}

static void
test_running_with_few_descriptors(void **unused)
{
    (void)unused;
    check_running_with_few(0);
    check_running_with_few(1);
}

/* ---- wrong ---- */

static void
test_wrong_options(void **unused)
{
    rill_workers_options good = RILL_WORKERS_OPTIONS(.count = 1), o;
    rill_loop_options nothing = RILL_LOOP_OPTIONS(.driver = "steam");
    rill_loop_options sim = RILL_LOOP_OPTIONS(.driver = "sim");
    rill_workers *workers = NULL;

    (void)unused;
#define REFUSED(code, field, value)                                          \
    do {                                                                     \
        o = good;                                                            \
        o.field = value;                                                     \
        assert_code(rill_workers_create(&o, crew_main, &c, &workers), code); \
        assert_null(workers);                                                \
    } while (0)
    REFUSED(RILL_EINVAL, size, 0);
    REFUSED(RILL_EINVAL, count, -1);
    REFUSED(RILL_EINVAL, count, 1025);
    REFUSED(RILL_EINVAL, accept, (rill_accept_mode)3);
    REFUSED(RILL_EINVAL, drain_timeout, -2);
    REFUSED(RILL_EINVAL, restart_delay, -1);
    REFUSED(RILL_EINVAL, restart_delay_max, -1);
    REFUSED(RILL_ENODRIVER, loop, &nothing);
    REFUSED(RILL_ENOTSUP, loop, &sim);
#undef REFUSED
    assert_code(rill_workers_create(&good, NULL, NULL, &workers), RILL_EINVAL);
    assert_code(rill_workers_create(&good, crew_main, NULL, NULL), RILL_EINVAL);
}

static void
test_wrong_places(void **unused)
{
    rill_addr addr;
    int place = -7;

    (void)unused;
    crew_create(&c, NULL);
    assert_code(rill_workers_listen(c.workers, NULL, &place), RILL_EINVAL);
    assert_code(rill_workers_listen(c.workers, &RILL_SERVER_OPTIONS(), &place), RILL_EINVAL);
    assert_code(
        rill_workers_listen(c.workers, &RILL_SERVER_OPTIONS(.host = "no.such.host"), &place),
        RILL_EADDRESS);
    assert_code(rill_workers_listen(
                    c.workers, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .reuse_port = 1), &place),
        RILL_EINVAL);
    assert_int_equal(place, -7);
    assert_code(rill_workers_sockname(c.workers, 0, 0, &addr), RILL_EINVAL);
    for (int i = 0; i < 8; i++) {
        assert_code(
            rill_workers_listen(c.workers, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &place), 0);
        assert_int_equal(place, i);
    }
    assert_code(rill_workers_listen(c.workers, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &place),
        RILL_ELIMIT);
    assert_code(rill_workers_sockname(c.workers, 7, 0, &addr), 0);
    assert_code(rill_workers_sockname(c.workers, 7, 1, &addr), RILL_EINVAL);
    assert_code(rill_workers_sockname(c.workers, -1, 0, &addr), RILL_EINVAL);
    rill_workers_free(c.workers);
    c.workers = NULL;
    assert_int_equal(descriptor_count(), c.descriptors);
}

static int
confused_main(rill_worker *worker, rill_loop *loop, void *arg)
{
    static const rill_protocol quiet = { .size = sizeof(rill_protocol) };
    rill_server *server = NULL;

    if (rill_worker_serve(worker, 1, &quiet, NULL, &server) != RILL_EINVAL ||
        rill_worker_serve(worker, -1, &quiet, NULL, &server) != RILL_EINVAL ||
        rill_worker_serve(worker, 0, NULL, NULL, &server) != RILL_EINVAL || server != NULL ||
        rill_worker_serve(worker, 0, &quiet, NULL, &server) != 0 || server == NULL ||
        rill_worker_serve(worker, 0, &quiet, NULL, NULL) != RILL_EBUSY)
        return -1;
    if (rill_workers_run(rill_worker_workers(worker)) != RILL_ESTATE ||
        rill_workers_listen(rill_worker_workers(worker), &RILL_SERVER_OPTIONS(.host = "127.0.0.1"),
            NULL) != RILL_ESTATE ||
        rill_worker_loop(worker) != loop || rill_worker_is_stopping(worker))
        return -2;
    atomic_store(&((crew *)arg)->board->served[0], 1);
    return 0;
}

static void
test_wrong_calls_of_a_worker(void **unused)
{
    rill_workers_options options = RILL_WORKERS_OPTIONS(.count = 1);
    crew_board board = { .waiting = 0 };
    rill_workers *workers;

    (void)unused;
    c.board = &board;
    assert_code(rill_workers_create(&options, confused_main, &c, &workers), 0);
    assert_code(rill_workers_listen(workers, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), NULL), 0);
    assert_code(rill_workers_run(workers), 0);
    assert_int_equal(atomic_load(&board.served[0]), 1);
    rill_workers_free(workers);
    c.board = NULL;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_allocation_fails),
        CASE(test_running_workers_come_back),
        CASE(test_few_descriptors),
        CASE(test_running_with_few_descriptors),
        CASE(test_wrong_options),
        CASE(test_wrong_places),
        CASE(test_wrong_calls_of_a_worker),
    };

    return run_cases(tests);
}
