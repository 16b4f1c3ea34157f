/* drivers: epoll uring */
/* timeout: 120 */
/*
 * Workers in all their forms, threads and processes with each way to accept: they serve, share a
 * port, count, stop from anywhere and leave nothing behind.
 */
#include "crew.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static crew c;

static int
setup(void **unused)
{
    (void)unused;
    memset(&c, 0, sizeof(c));
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    crew_kill(&c);
    return 0;
}

static rill_workers_options
form(size_t i)
{
    return RILL_WORKERS_OPTIONS(.processes = crew_forms[i].processes,
        .accept = crew_forms[i].accept);
}

static uint64_t
accepted_by_all(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < rill_workers_count(c.workers); i++)
        sum += crew_stats(&c, i).accepted;
    return sum;
}

static void
serve_some(void)
{
    int fds[20], index;

    for (size_t i = 0; i < 20; i++) {
        fds[i] = client_of(&c.addr, &index);
        assert_in_range(index, 0, 1);
        assert_int_equal(client_ask(fds[i], '?'), '!');
    }
    assert_int_equal(crew_live(&c), 20);
    assert_int_equal(accepted_by_all(), 20);
    for (size_t i = 0; i < 20; i++)
        close(fds[i]);
    AWAIT(crew_live(&c) == 0);
}

static void
test_all_forms_serve(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);
        int refused;

        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        assert_int_equal(crew_stats(&c, 0).state, RILL_WORKER_NEW);
        crew_run(&c);
        crew_await_served(&c, 1);
        AWAIT(crew_stats(&c, 1).state == RILL_WORKER_RUNNING);
        if (crew_forms[i].processes)
            assert_int_not_equal(crew_stats(&c, 0).process, getpid());
        else
            assert_int_equal(crew_stats(&c, 0).process, getpid());
        serve_some();
        assert_true(crew_stats(&c, 0).turns + crew_stats(&c, 1).turns > 0);
        rill_workers_stop(c.workers);
        rill_workers_stop(c.workers);
        crew_close(&c);
        refused = client_connect(&c.addr);
        assert_int_equal(refused, -ECONNREFUSED);
        assert_int_equal(crew_ends(&c), 2);
        assert_int_equal(c.ends[0].end.code, 0);
    }
}

static void
ready_wanted(rill_workers *workers, void *arg)
{
    (void)workers;
    (void)arg;
}

/* Not before all mains run their loops, one that fails at first included; whoever connects then is
 * not refused. */
static void
test_ready(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);

        options.ready = ready_wanted;
        options.restart_delay = RILL_MS;
        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        atomic_store(&c.board->closed_gate, true);
        atomic_store(&c.board->bad_starts, 2);
        crew_run(&c);
        crew_await_served(&c, 1);
        AWAIT(atomic_load(&c.board->waiting) == 2);
        assert_int_equal(crew_stats(&c, 0).state, RILL_WORKER_STARTING);
        assert_int_equal(atomic_load(&c.readies), 0);
        crew_open_gate(&c);
        AWAIT(atomic_load(&c.readies) == 1);
        assert_true(c.ready_client >= 0);
        assert_in_range(client_read(c.ready_client), 'a', 'b');
        close(c.ready_client);
        crew_close(&c);
        assert_int_equal(atomic_load(&c.readies), 1);
    }
}

/* Also with a port that was left to the kernel. */
static void
test_all_workers_have_the_port(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);

        if (crew_forms[i].accept == RILL_ACCEPT_SHARED)
            continue; /* Who is awake first: it may be the same one for ever. */
        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        assert_in_range(rill_addr_port(&c.addr), 1, 65535);
        crew_run(&c);
        crew_await_served(&c, 1);
        for (int index = 0; index < 2; index++)
            close(client_of_worker(&c.addr, index));
        crew_close(&c);
    }
}

static void
test_unix_paths(void **unused)
{
    char path[64];

    (void)unused;
    snprintf(path, sizeof(path), "/tmp/rill_workers_%d", (int)getpid());
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);

        crew_open(&c, &options, RILL_SERVER_OPTIONS(.path = path));
        crew_run(&c);
        crew_await_served(&c, 1);
        serve_some();
        assert_int_equal(access(path, F_OK), 0);
        crew_close(&c);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void
test_inherited_descriptors(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
        crew_open(&c, &options, RILL_SERVER_OPTIONS(.fds = &fd, .fds_count = 1));
        c.descriptors--; /* It was open before, and is owned now. */
        crew_run(&c);
        crew_await_served(&c, 1);
        serve_some();
        crew_close(&c);
    }
}

/* ---- stopping ---- */

static void
test_stop_before_run(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        rill_workers_options options = form(i);

        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        rill_workers_stop(c.workers);
        crew_run(&c);
        pthread_join(c.runner, NULL);
        c.running = false;
        assert_code(c.rc, 0);
        assert_int_equal(atomic_load(&c.board->served[0]), 0);
        assert_int_equal(crew_ends(&c), 0);
        rill_workers_free(c.workers);
        c.workers = NULL;
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

static void
test_free_without_run(void **unused)
{
    rill_workers_options options = form(1);

    (void)unused;
    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    assert_int_equal(client_connect(&c.addr), -ECONNREFUSED); /* Bound, but nobody serves. */
    rill_workers_free(c.workers);
    c.workers = NULL;
    assert_int_equal(descriptor_count(), c.descriptors);
}

static void
on_signal(int number)
{
    (void)number;
    rill_workers_stop(c.workers);
}

static void
test_stop_in_a_signal_handler(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i += 3) {
        rill_workers_options options = form(i);

        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        (void)signal(SIGTERM, on_signal);
        crew_run(&c);
        crew_await_served(&c, 1);
        raise(SIGTERM);
        crew_join(&c);
        (void)signal(SIGTERM, SIG_DFL);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

static void
test_mains_that_are_done(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i += 3) {
        rill_workers_options options = form(i);
        int first, second, index;

        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        crew_run(&c);
        crew_await_served(&c, 1);
        first = client_of(&c.addr, &index);
        client_tell(first, 'q');
        assert_int_equal(crew_end_at(&c, 0).end.restart_in, RILL_NEVER);
        AWAIT(crew_stats(&c, index).state == RILL_WORKER_ENDED);
        second = client_of(&c.addr, &index); /* The other one goes on. */
        client_tell(second, 'q');
        crew_join(&c);
        assert_int_equal(crew_ends(&c), 2);
        close(first);
        close(second);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

/* ---- CPUs ---- */

static void
test_pinning(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i += 3) {
        rill_workers_options options = form(i);

        options.pin = 1;
        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        crew_run(&c);
        crew_await_served(&c, 1);
        assert_int_equal(atomic_load(&c.board->cpus[0]), 1);
        assert_int_equal(atomic_load(&c.board->cpus[1]), 1);
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && rill_cpu_count() > 1)
            assert_int_not_equal(atomic_load(&c.board->cpu[0]), atomic_load(&c.board->cpu[1]));
        crew_close(&c);
    }
}

static int
no_main(rill_worker *worker, rill_loop *loop, void *arg)
{
    (void)worker;
    (void)loop;
    (void)arg;
    return 0;
}

static void
test_as_many_as_cpus(void **unused)
{
    rill_workers *workers;

    (void)unused;
    assert_true(rill_cpu_count() >= 1);
    assert_code(rill_workers_create(NULL, no_main, NULL, &workers), 0);
    assert_int_equal(rill_workers_count(workers), rill_cpu_count());
    assert_code(rill_workers_run(workers), 0); /* No places, nothing to do. */
    rill_workers_free(workers);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_all_forms_serve),
        CASE(test_ready),
        CASE(test_all_workers_have_the_port),
        CASE(test_unix_paths),
        CASE(test_inherited_descriptors),
        CASE(test_stop_before_run),
        CASE(test_free_without_run),
        CASE(test_stop_in_a_signal_handler),
        CASE(test_mains_that_are_done),
        CASE(test_pinning),
        CASE(test_as_many_as_cpus),
    };

    return run_cases(tests);
}
