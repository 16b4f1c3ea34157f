/* drivers: epoll uring */
/* timeout: 120 */
/* valgrind: no */
/*
 * Workers that fail: mains that return errors, processes that crash. They are reported and started
 * again, with growing pauses, while the others serve. Valgrind gives processes that end early an
 * exit code of its own.
 */
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DELAY (20 * RILL_MS)

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
with(int processes, rill_accept_mode accept)
{
    return RILL_WORKERS_OPTIONS(.processes = processes, .accept = accept, .restart_delay = DELAY,
        .restart_delay_max = 4 * DELAY);
}

/* The pauses double up to the longest, and are kept; the other one serves all the time. */
static void
check_backoff(int processes)
{
    rill_workers_options options = with(processes, RILL_ACCEPT_HANDOVER);
    rill_ns delay = DELAY, paused = 0, begin;
    int index;

    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    atomic_store(&c.board->bad_starts, 4);
    begin = crew_now();
    crew_run(&c);
    AWAIT(atomic_load(&c.board->served[1]) == 1);
    for (size_t n = 0; n < 4; n++) {
        crew_end end = crew_end_at(&c, n);
        int fd = -1;

        assert_int_equal(end.end.index, 0);
        assert_code(end.end.code, -ECONNABORTED);
        assert_int_equal(end.end.signal, 0);
        if (end.end.lived >= 4 * DELAY) /* On a machine so busy that failing took so long. */
            delay = DELAY;
        assert_int_equal(end.end.restart_in, delay);
        delay = delay * 2 < 4 * DELAY ? delay * 2 : 4 * DELAY;
        assert_contains(end.sentence, "worker 0");
        assert_contains(end.sentence, "ECONNABORTED");
        assert_true(end.at - begin >= paused);
        paused += end.end.restart_in;
        if (atomic_load(&c.board->served[0]) == 0) {
            fd = client_of(&c.addr, &index);
            assert_int_equal(client_ask(fd, '?'), '!');
            close(fd);
        }
    }
    crew_await_served(&c, 1);
    assert_int_equal(crew_stats(&c, 0).restarts, 4);
    assert_int_equal(crew_stats(&c, 1).restarts, 0);
    close(client_of_worker(&c.addr, 0));
    crew_close(&c);
}

static void
test_threads_that_fail_at_once(void **unused)
{
    (void)unused;
    check_backoff(0);
}

static void
test_processes_that_fail_at_once(void **unused)
{
    (void)unused;
    check_backoff(1);
}

/* One that lived for long begins with the first pause again. */
static void
test_the_delay_falls_back(void **unused)
{
    rill_workers_options options = with(0, RILL_ACCEPT_REUSEPORT);
    rill_ns served;
    int fd;

    (void)unused;
    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    atomic_store(&c.board->bad_starts, 2);
    crew_run(&c);
    (void)crew_end_at(&c, 1);
    crew_await_served(&c, 1);
    served = crew_now();
    fd = client_of_worker(&c.addr, 0);
    AWAIT(crew_now() - served >= 4 * DELAY);
    client_tell(fd, 'n');
    assert_int_equal(crew_end_at(&c, 2).end.code, 7);
    assert_int_equal(crew_end_at(&c, 2).end.restart_in, DELAY);
    assert_contains(c.ends[2].sentence, "code 7");
    AWAIT(atomic_load(&c.board->served[0]) == 2);
    close(fd);
    crew_close(&c);
}

/* ---- processes ---- */

/* The next one is served, by whomever. A process that dies with a ring of io_uring leaves sockets
 * that live on for a moment, until the kernel has got to that ring: who meets one is reset. */
static int
next_client(void)
{
    int fd;

    do
        fd = client_connect(&c.addr);
    while (fd >= 0 && client_greeting(fd) < 0 && on_driver("uring") && close(fd) == 0);
    assert_true(fd >= 0);
    return fd;
}

static void
check_crash(rill_accept_mode accept, char order, int code, int signal_number)
{
    rill_workers_options options = with(1, accept);
    int crashing, other, index;
    crew_end end;

    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    crew_run(&c);
    crew_await_served(&c, 1);
    crashing = client_of(&c.addr, &index);
    client_tell(crashing, order);
    end = crew_end_at(&c, 0);
    assert_int_equal(end.end.index, index);
    assert_int_equal(end.end.signal, signal_number);
    assert_int_equal(end.end.code, code);
    assert_int_equal(end.end.restart_in, DELAY);
    assert_int_equal(client_greeting(crashing), -1); /* Its connections end with it. */
    other = next_client();
    assert_int_equal(client_ask(other, '?'), '!');
    AWAIT(atomic_load(&c.board->served[end.end.index]) == 2);
    AWAIT(crew_stats(&c, end.end.index).state == RILL_WORKER_RUNNING);
    assert_int_equal(crew_stats(&c, end.end.index).restarts, 1);
    close(crashing);
    close(other);
    crew_close(&c);
}

static void
test_abort(void **unused)
{
    (void)unused;
    check_crash(RILL_ACCEPT_REUSEPORT, 'a', 0, SIGABRT);
    assert_contains(c.ends[0].sentence, "SIGABRT");
    check_crash(RILL_ACCEPT_HANDOVER, 'a', 0, SIGABRT);
}

static void
test_kill(void **unused)
{
    (void)unused;
    check_crash(RILL_ACCEPT_REUSEPORT, 'k', 0, SIGKILL);
    check_crash(RILL_ACCEPT_SHARED, 'k', 0, SIGKILL);
    assert_contains(c.ends[0].sentence, "SIGKILL");
}

static void
test_exit_and_errors(void **unused)
{
    (void)unused;
    check_crash(RILL_ACCEPT_HANDOVER, 'x', 3, 0);
    check_crash(RILL_ACCEPT_SHARED, 'e', -EPROTO, 0);
}

/* Those on their way to one that is killed are served by the others. */
static void
test_a_crash_loses_nobody_on_the_way(void **unused)
{
    rill_workers_options options = with(1, RILL_ACCEPT_HANDOVER);
    int fds[20], holder, stuck, index;

    (void)unused;
    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    crew_run(&c);
    crew_await_served(&c, 1);
    holder = client_of(&c.addr, &stuck);
    atomic_store(&c.board->closed_gate, true);
    client_tell(holder, 'h');
    AWAIT(atomic_load(&c.board->waiting) == 1);
    for (size_t i = 0; i < 20; i++)
        fds[i] = client_connect(&c.addr);
    /* Of 21 this one has its share: what the other one does not get is on its way. */
    AWAIT(crew_stats(&c, 1 - stuck).live >= 10);
    kill((pid_t)crew_stats(&c, stuck).process, SIGKILL);
    assert_int_equal(crew_end_at(&c, 0).end.signal, SIGKILL);
    for (size_t i = 0; i < 20; i++) {
        index = client_greeting(fds[i]);
        assert_in_range(index, 0, 1);
    }
    for (size_t i = 0; i < 20; i++)
        close(fds[i]);
    crew_open_gate(&c);
    close(holder);
    crew_close(&c);
}

/* A worker whose parent is killed does not live on. */
static void
test_children_die_with_their_parent(void **unused)
{
    rill_workers_options options = with(1, RILL_ACCEPT_REUSEPORT);
    int ends[2];
    char byte;
    pid_t pid;

    (void)unused;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* The pipe's end is in it and its children, as long as one of them lives. */
        close(ends[0]);
        crew_open(&c, &options, RILL_SERVER_OPTIONS());
        crew_run(&c);
        crew_await_served(&c, 1);
        (void)!write(ends[1], "r", 1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* A main that never returns is no reason to wait for ever. */
static void
test_a_process_that_hangs_is_killed(void **unused)
{
    rill_workers_options options = with(1, RILL_ACCEPT_REUSEPORT);

    (void)unused;
    options.drain_timeout = RILL_MS;
    crew_open(&c, &options, RILL_SERVER_OPTIONS());
    atomic_store(&c.board->closed_gate, true);
    crew_run(&c);
    AWAIT(atomic_load(&c.board->waiting) == 2);
    crew_close(&c);
    assert_int_equal(crew_ends(&c), 2);
    assert_int_equal(c.ends[0].end.signal, SIGKILL);
    assert_int_equal(c.ends[0].end.restart_in, RILL_NEVER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_threads_that_fail_at_once),
        CASE(test_processes_that_fail_at_once),
        CASE(test_the_delay_falls_back),
        CASE(test_abort),
        CASE(test_kill),
        CASE(test_exit_and_errors),
        CASE(test_a_crash_loses_nobody_on_the_way),
        CASE(test_children_die_with_their_parent),
        CASE(test_a_process_that_hangs_is_killed),
    };

    return run_cases(tests);
}
