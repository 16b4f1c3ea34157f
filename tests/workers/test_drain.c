/* drivers: epoll uring */
/* timeout: 120 */
/*
 * Stopping under load: whoever had connected before the stop is served, those that do not end are
 * aborted and counted, and workers hear of it in time to finish.
 */
#include "crew.h"

#include <errno.h>
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

static void
open_form(size_t i, rill_ns drain_timeout)
{
    rill_workers_options options = RILL_WORKERS_OPTIONS(.processes = crew_forms[i].processes,
        .accept = crew_forms[i].accept, .drain_timeout = drain_timeout);

    crew_open(&c, &options, RILL_SERVER_OPTIONS());
}

/* Nobody accepts while they connect: all wait in the queues of the kernel, or on their way. */
static void
test_nobody_who_waits_is_lost(void **unused)
{
    int fds[100];

    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        open_form(i, 10 * RILL_S);
        atomic_store(&c.board->say_goodbye, true);
        atomic_store(&c.board->closed_gate, true);
        crew_run(&c);
        AWAIT(atomic_load(&c.board->waiting) == 2);
        for (size_t n = 0; n < 100; n++) {
            fds[n] = client_connect(&c.addr);
            assert_true(fds[n] >= 0);
        }
        rill_workers_stop(c.workers);
        crew_open_gate(&c);
        for (size_t n = 0; n < 100; n++) {
            int index = client_greeting(fds[n]);

            if (index < 0)
                fail_msg("form %zu: connection %zu of 100 was lost", i, n);
            assert_int_equal(client_greeting(fds[n]), -1); /* And then its end. */
            close(fds[n]);
        }
        crew_join(&c);
        assert_int_equal(crew_ends(&c), 2);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

typedef struct storm {
    pthread_t thread;
    size_t served, lost;
} storm;

/* Connect until nobody listens any more. A connection that was there before the stop must be
 * greeted; a later one may meet a listener that is just being closed. */
static void *
connect_on(void *arg)
{
    storm *s = arg;

    for (;;) {
        bool stopped = atomic_load(&c.board->waiting) != 0;
        int fd = client_connect(&c.addr);

        if (fd < 0)
            return NULL;
        stopped = stopped || atomic_load(&c.board->waiting) != 0;
        if (client_greeting(fd) >= 0)
            s->served++;
        else if (!stopped)
            s->lost++;
        close(fd);
    }
}

static void
test_clients_that_go_on_connecting(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        storm storms[3] = { { .served = 0 } };

        open_form(i, 10 * RILL_S);
        atomic_store(&c.board->say_goodbye, true);
        crew_run(&c);
        crew_await_served(&c, 1);
        for (size_t n = 0; n < 3; n++)
            assert_int_equal(pthread_create(&storms[n].thread, NULL, connect_on, &storms[n]), 0);
        AWAIT(crew_stats(&c, 0).accepted + crew_stats(&c, 1).accepted >= 300);
        atomic_store(&c.board->waiting, 1); /* For the storms: from here on it is stopping. */
        rill_workers_stop(c.workers);
        for (size_t n = 0; n < 3; n++) {
            pthread_join(storms[n].thread, NULL);
            assert_int_equal(storms[n].lost, 0);
        }
        assert_true(storms[0].served + storms[1].served + storms[2].served >= 290);
        crew_join(&c);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

static void
test_those_that_stay_are_aborted(void **unused)
{
    int fds[5], index;

    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        open_form(i, 50 * RILL_MS);
        crew_run(&c);
        crew_await_served(&c, 1);
        for (size_t n = 0; n < 5; n++)
            fds[n] = client_of(&c.addr, &index);
        rill_workers_stop(c.workers);
        for (size_t n = 0; n < 5; n++) {
            assert_int_equal(client_read(fds[n]), -ECONNRESET);
            close(fds[n]);
        }
        AWAIT(crew_stats(&c, 0).aborted + crew_stats(&c, 1).aborted == 5);
        crew_join(&c);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

/* While connections end by themselves, a worker goes on serving them. */
static void
test_connections_end_by_themselves(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CREW_FORMS; i++) {
        int index, fd;

        open_form(i, 10 * RILL_S);
        crew_run(&c);
        crew_await_served(&c, 1);
        fd = client_of(&c.addr, &index);
        rill_workers_stop(c.workers);
        AWAIT(crew_stats(&c, index).state == RILL_WORKER_DRAINING);
        assert_int_equal(client_ask(fd, '?'), '!');
        AWAIT(crew_stats(&c, 1 - index).state == RILL_WORKER_ENDED);
        assert_int_equal(client_ask(fd, '?'), '!');
        close(fd);
        crew_join(&c);
        assert_int_equal(descriptor_count(), c.descriptors);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nobody_who_waits_is_lost),
        CASE(test_clients_that_go_on_connecting),
        CASE(test_those_that_stay_are_aborted),
        CASE(test_connections_end_by_themselves),
    };

    return run_cases(tests);
}
