/* drivers: epoll uring */
/* timeout: 120 */
/*
 * One acceptor for all: connections go to the worker with the fewest, limits hold, and who finds no
 * room waits until there is some.
 */
#include "crew.h"

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
open_with(int processes, int count, rill_server_options server)
{
    rill_workers_options options = RILL_WORKERS_OPTIONS(.processes = processes, .count = count,
        .accept = RILL_ACCEPT_HANDOVER);

    crew_open(&c, &options, server);
    crew_run(&c);
    crew_await_served(&c, 1);
}

static void
check_fairness(int processes)
{
    int fds[18], of[18], closed = 0;

    open_with(processes, 3, RILL_SERVER_OPTIONS());
    for (size_t i = 0; i < 18; i++)
        fds[i] = client_of(&c.addr, &of[i]);
    for (int w = 0; w < 3; w++)
        assert_int_equal(crew_stats(&c, w).live, 6);

    /* Worker 1 loses four: the next four are its own. */
    for (size_t i = 0; i < 18; i++) {
        if (of[i] != 1 || closed == 4)
            continue;
        close(fds[i]);
        fds[i] = -1;
        closed++;
    }
    AWAIT(crew_stats(&c, 1).live == 2);
    for (size_t i = 0; i < 18; i++) {
        if (fds[i] >= 0)
            continue;
        fds[i] = client_of(&c.addr, &of[i]);
        assert_int_equal(of[i], 1);
    }
    for (size_t i = 0; i < 18; i++)
        close(fds[i]);
    crew_close(&c);
}

static void
test_the_fewest_get_the_next(void **unused)
{
    (void)unused;
    check_fairness(0);
    check_fairness(1);
}

/* Each has room for two: the fifth waits, unseen, until one leaves. */
static void
check_limit(int processes)
{
    int fds[5], index, last;

    open_with(processes, 2, RILL_SERVER_OPTIONS(.connections_max = 2));
    for (size_t i = 0; i < 4; i++)
        fds[i] = client_of(&c.addr, &index);
    assert_int_equal(crew_stats(&c, 0).live, 2);
    assert_int_equal(crew_stats(&c, 1).live, 2);
    fds[4] = client_connect(&c.addr);
    assert_true(fds[4] >= 0);
    assert_int_equal(client_ask(fds[0], '?'), '!');
    assert_int_equal(crew_live(&c), 4);
    close(fds[3]);
    last = client_greeting(fds[4]);
    assert_int_equal(last, index);
    assert_int_equal(crew_stats(&c, 0).refused + crew_stats(&c, 1).refused, 0);
    for (size_t i = 0; i < 5; i++) {
        if (i != 3)
            close(fds[i]);
    }
    crew_close(&c);
}

static void
test_limits_hold(void **unused)
{
    (void)unused;
    check_limit(0);
    check_limit(1);
}

/* A limit that only the worker can know of: the connection is closed, and counted. */
static void
test_too_many_of_one_peer(void **unused)
{
    int fds[3], index;

    (void)unused;
    open_with(0, 1, RILL_SERVER_OPTIONS(.connections_per_peer_max = 2));
    fds[0] = client_of(&c.addr, &index);
    fds[1] = client_of(&c.addr, &index);
    fds[2] = client_connect(&c.addr);
    assert_int_equal(client_greeting(fds[2]), -1);
    assert_int_equal(crew_stats(&c, 0).refused, 1);
    close(fds[0]);
    AWAIT(crew_live(&c) == 1);
    close(client_of(&c.addr, &index) /* There is room again. */);
    close(fds[1]);
    close(fds[2]);
    crew_close(&c);
}

/* One that holds its loop gets its share and no more: the others go on. */
static void
test_one_that_is_stuck(void **unused)
{
    int holder, stuck, fd, index;

    (void)unused;
    open_with(0, 2, RILL_SERVER_OPTIONS());
    holder = client_of(&c.addr, &stuck);
    atomic_store(&c.board->closed_gate, true);
    client_tell(holder, 'h');
    AWAIT(atomic_load(&c.board->waiting) == 1);
    for (size_t i = 0; i < 50; i++) { /* The other one has none each time. */
        fd = client_of(&c.addr, &index);
        assert_int_equal(index, 1 - stuck);
        close(fd);
        AWAIT(crew_stats(&c, index).live == 0);
    }
    crew_open_gate(&c);
    close(holder);
    crew_close(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_fewest_get_the_next),
        CASE(test_limits_hold),
        CASE(test_too_many_of_one_peer),
        CASE(test_one_that_is_stuck),
    };

    return run_cases(tests);
}
