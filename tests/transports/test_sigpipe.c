/*
 * SIGPIPE: writing and sending files to a peer that has gone ends no process, whoever drives the
 * loop, and the program's own handling of the signal is what it was. Each case in a child.
 */
/* drivers: epoll uring */
#include "child.h"
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static harness h;
static acceptor accepted;
static rill_server *server;
static peer p;
static int file_fd;

static void
ignore_end(void *arg, int rc, uint64_t sent)
{
    (void)arg;
    (void)rc;
    (void)sent;
}

static endpoint *
meet(void)
{
    rill_addr addr;

    signal(SIGPIPE, SIG_DFL);
    harness_open(&h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.keep_open = true;
    file_fd = memfd_create("file", MFD_CLOEXEC);
    if (ftruncate(file_fd, 1000000) != 0)
        abort();
    peer_connect(&p, &h, &addr);
    acceptor_await(&accepted, 1);
    return &accepted.ends[0];
}

/* The peer closes with nobody to read: the first bytes are answered by a reset, the next ones raise
 * the signal. */
static void
lose_the_peer(endpoint *e)
{
    peer_close(&p);
    harness_until(&h, endpoint_has_eof, e);
    if (rill_transport_write(e->t, "x", 1) < 0)
        abort();
    harness_settle(&h);
}

static int
leave(void)
{
    sigset_t mask, pending;

    close(file_fd);
    rill_server_close(server);
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_close(&h);
    CHILD_CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
    CHILD_CHECK(sigismember(&mask, SIGPIPE) == 0);
    CHILD_CHECK(sigpending(&pending) == 0);
    CHILD_CHECK(sigismember(&pending, SIGPIPE) == 0);
    return 0;
}

static int
write_to_nobody(void *arg)
{
    endpoint *e = meet();

    (void)arg;
    lose_the_peer(e);
    for (int i = 0; i < 5 && e->t != NULL; i++) {
        (void)rill_transport_write(e->t, "xxxx", 4);
        harness_settle(&h);
    }
    CHILD_CHECK(e->lost);
    return leave();
}

static int
send_file_in_a_run(void *arg)
{
    endpoint *e = meet();

    (void)arg;
    peer_close(&p);
    harness_settle(&h);
    CHILD_CHECK(
        rill_transport_sendfile_start(e->t, file_fd, 0, 0, false, ignore_end, NULL, NULL) == 0);
    harness_run_for(&h, 50 * RILL_MS);
    CHILD_CHECK(e->lost);
    return leave();
}

static int
send_file_in_steps(void *arg)
{
    endpoint *e = meet();

    (void)arg;
    peer_close(&p);
    harness_settle(&h);
    CHILD_CHECK(
        rill_transport_sendfile_start(e->t, file_fd, 0, 0, false, ignore_end, NULL, NULL) == 0);
    for (int i = 0; i < 100000 && !e->lost; i++)
        CHILD_CHECK(rill_loop_step(h.loop, 0) >= 0);
    CHILD_CHECK(e->lost);
    return leave();
}

static volatile sig_atomic_t caught;

static void
catch_it(int number)
{
    (void)number;
    caught++;
}

/* A handler of the program's is not called for our writes, and still for its own. */
static int
keep_the_programs_handler(void *arg)
{
    endpoint *e = meet();
    int ends[2];

    (void)arg;
    signal(SIGPIPE, catch_it);
    lose_the_peer(e);
    for (int i = 0; i < 5 && e->t != NULL; i++) {
        (void)rill_transport_write(e->t, "xxxx", 4);
        harness_settle(&h);
    }
    CHILD_CHECK(e->lost);
    CHILD_CHECK(caught == 0);
    CHILD_CHECK(pipe(ends) == 0);
    close(ends[0]);
    CHILD_CHECK(write(ends[1], "x", 1) == -1);
    CHILD_CHECK(caught == 1);
    close(ends[1]);
    return leave();
}

static void
expect_survival(int (*fn)(void *arg))
{
    child_result result;

    child_run(fn, NULL, &result);
    if (result.exit_code != 0)
        fail_msg("exit code %d, signal %d: %s", result.exit_code, result.signal, result.text);
}

static void
test_writing(void **unused)
{
    (void)unused;
    expect_survival(write_to_nobody);
}

static void
test_files_in_a_run(void **unused)
{
    (void)unused;
    expect_survival(send_file_in_a_run);
}

static void
test_files_in_steps(void **unused)
{
    (void)unused;
    expect_survival(send_file_in_steps);
}

static void
test_the_programs_handler(void **unused)
{
    (void)unused;
    expect_survival(keep_the_programs_handler);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_files_in_a_run),
        cmocka_unit_test(test_files_in_steps),
        cmocka_unit_test(test_the_programs_handler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
