/*
 * Wrong calls of <rill/workers.h>. Those that only a worker can make are in
 * tests/workers/test_resources.c.
 */
#include "wrong.h"

static const rill_loop_options on_epoll = { .size = sizeof(on_epoll), .driver = "epoll" };

static rill_workers *workers;

static int
never_main(rill_worker *worker, rill_loop *loop, void *arg)
{
    (void)worker;
    (void)loop;
    never(arg);
    return 0;
}

static void
try_making(void)
{
    WRONG(RILL_EINVAL, rill_workers_create(NULL, NULL, NULL, &out.workers));
    WRONG(RILL_EINVAL, rill_workers_create(NULL, never_main, NULL, NULL));
    WRONG(RILL_EINVAL, rill_workers_create(unsized_options, never_main, NULL, &out.workers));
    WRONG(RILL_EINVAL, rill_workers_create(unknown_options, never_main, NULL, &out.workers));
    WRONG(RILL_EINVAL,
        rill_workers_create(&RILL_WORKERS_OPTIONS(.count = -1), never_main, NULL, &out.workers));
    WRONG(RILL_ENOTSUP,
        rill_workers_create(&RILL_WORKERS_OPTIONS(.loop = &RILL_LOOP_OPTIONS(.driver = "sim")),
            never_main, NULL, &out.workers));
    IGNORED(rill_workers_free(NULL));
    IGNORED(rill_workers_stop(NULL));
}

void
wrong_workers(void)
{
    static const rill_server_options good = { .size = sizeof(good), .host = "127.0.0.1" };
    rill_worker_stats stats = { .size = 0 };

    try_making();
    assert_code(rill_workers_create(&RILL_WORKERS_OPTIONS(.count = 1, .loop = &on_epoll),
                    never_main, NULL, &workers),
        0);
    WRONG(RILL_EINVAL, rill_workers_listen(NULL, &good, &out.value));
    WRONG(RILL_EINVAL, rill_workers_listen(workers, NULL, &out.value));
    WRONG(RILL_EINVAL, rill_workers_listen(workers, unsized_options, &out.value));
    WRONG(RILL_EINVAL, rill_workers_listen(workers, unknown_options, &out.value));
    WRONG(RILL_EINVAL, rill_workers_listen(workers, &RILL_SERVER_OPTIONS(), &out.value));
    WRONG(RILL_EINVAL,
        rill_workers_listen(workers, &RILL_SERVER_OPTIONS(.no_socket = 1), &out.value));
    WRONG(RILL_EINVAL, rill_workers_listen(workers,
                           &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = -1), &out.value));
    WRONG(RILL_EADDRESS,
        rill_workers_listen(workers, &RILL_SERVER_OPTIONS(.host = "example.org"), &out.value));
    WRONG(RILL_EINVAL, rill_workers_sockname(NULL, 0, 0, &out.addr));
    WRONG(RILL_EINVAL, rill_workers_sockname(workers, 0, 0, &out.addr));
    WRONG(RILL_EINVAL, rill_workers_sockname(workers, 0, 0, NULL));
    WRONG(RILL_EINVAL, rill_workers_get_stats(NULL, 0, &stats));
    WRONG(RILL_EINVAL, rill_workers_get_stats(workers, 0, &stats));
    stats.size = sizeof(stats);
    WRONG(RILL_EINVAL, rill_workers_get_stats(workers, 1, &stats));
    WRONG(RILL_EINVAL, rill_workers_get_stats(workers, -1, &stats));
    WRONG(RILL_EINVAL, rill_workers_get_stats(workers, 0, NULL));
    WRONG(RILL_EINVAL, rill_workers_run(NULL));
    WRONG(RILL_EINVAL, rill_worker_serve(NULL, 0, NULL, NULL, &out.server));
    (void)wrong_workers_end(NULL);
}

int
wrong_workers_end(void **unused)
{
    (void)unused;
    rill_workers_free(workers);
    workers = NULL;
    return 0;
}
