/*
 * One restart from the old process's side, with a new process that does well or badly: the outcome,
 * and that nothing is left of it: no process, no descriptor, no memory, and a server that serves.
 */
/* drivers: epoll uring */
/* valgrind: no */ /* A fork of Valgrind's shares no memory, so a failed exec is not told. */
#include "endpoint.h"
#include "peer.h"
#include "restart_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static harness h;
static acceptor accepted;
static rill_server *server;
static rill_addr addr;

static struct outcome {
    bool called;
    int code, pid;
    char sentence[300];
} outcome;

static int
setup(void **state)
{
    (void)state;
    harness_open(&h);
    acceptor_init(&accepted, &h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    memset(&outcome, 0, sizeof(outcome));
    return 0;
}

/* The server serves, whatever happened; every child was waited for. */
static int
teardown(void **state)
{
    (void)state;
    serves(&h, &accepted, "127.0.0.1", rill_addr_port(&addr));
    end_server(&h, &accepted, server);
    harness_close(&h);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

static void
on_done(void *arg, int pid, const rill_reason *why)
{
    (void)arg;
    assert_false(outcome.called);
    outcome.called = true;
    outcome.code = why->code;
    outcome.pid = pid;
    snprintf(outcome.sentence, sizeof(outcome.sentence), "%s", why->sentence);
}

#define ARGS(...) ((const char *const[]){ restart_program(), __VA_ARGS__, NULL })

static int
start_with(const char *const *argv, rill_ns timeout, rill_id *ret_id)
{
    const rill_restart_item item = { .name = "echo", .server = server };

    return rill_restart_start(h.loop,
        &RILL_RESTART_OPTIONS(.argv = argv, .items = &item, .items_count = 1, .timeout = timeout),
        on_done, NULL, ret_id);
}

static void
expect_outcome(int code, const char *words)
{
    harness_until(&h, flag_is_set, &outcome.called);
    assert_contains(outcome.sentence, words);
    assert_code(outcome.code, code);
    assert_true(code == 0 || outcome.pid == 0);
}

static void
expect_failure(const char *const *argv, int code, const char *words)
{
    assert_code(start_with(argv, 0, NULL), 0);
    assert_false(outcome.called);
    expect_outcome(code, words);
}

/* ---- it goes wrong ---- */

static void
test_it_exits(void **unused)
{
    (void)unused;
    expect_failure(ARGS("exit", "3"), RILL_ENOTREADY, "exit code 3");
}

static void
test_it_crashes(void **unused)
{
    (void)unused;
    expect_failure(ARGS("crash"), RILL_ENOTREADY, "SIGSEGV");
}

static void
test_it_sends_garbage(void **unused)
{
    (void)unused;
    expect_failure(ARGS("garbage"), RILL_EPROTOCOL, "no message");
}

static void
test_it_sends_half_a_message(void **unused)
{
    (void)unused;
    expect_failure(ARGS("short"), RILL_EPROTOCOL, "no message");
}

static void
test_it_sends_a_message_out_of_place(void **unused)
{
    (void)unused;
    expect_failure(ARGS("misplaced", "1"), RILL_EPROTOCOL, "out of place");
}

static void
test_it_refuses_without_a_code(void **unused)
{
    (void)unused;
    expect_failure(ARGS("misplaced", "4"), RILL_EPROTOCOL, "out of place");
}

static void
test_it_speaks_another_version(void **unused)
{
    (void)unused;
    expect_failure(ARGS("version", "9"), RILL_EVERSION, "version 9");
}

/* It closes the channel and stays: it is ended. */
static void
test_it_hangs_up(void **unused)
{
    (void)unused;
    expect_failure(ARGS("hang-up"), RILL_ENOTREADY, "let go");
}

static void
test_it_gives_up(void **unused)
{
    (void)unused;
    expect_failure(ARGS("give-up"), RILL_ENOTREADY, "exit code 7");
}

static void
test_it_never_gets_ready(void **unused)
{
    (void)unused;
    assert_code(start_with(ARGS("silent"), 300 * RILL_MS, NULL), 0);
    expect_outcome(RILL_ETIMEDOUT, "within 300 ms");
}

static void
test_it_never_listens(void **unused)
{
    (void)unused;
    assert_code(start_with(ARGS("deaf"), 100 * RILL_MS, NULL), 0);
    expect_outcome(RILL_ETIMEDOUT, "killed");
}

static void
test_there_is_no_such_program(void **unused)
{
    (void)unused;
    assert_code(start_with((const char *const[]){ "/nowhere/at all", NULL }, 0, NULL), -ENOENT);
    expect_last_error(&h, -ENOENT, "/nowhere/at all");
    assert_code(start_with((const char *const[]){ "/dev/null", NULL }, 0, NULL), -EACCES);
    harness_settle(&h);
    assert_false(outcome.called);
}

/* ---- it is ended ---- */

static void
test_cancel(void **unused)
{
    rill_id id;

    (void)unused;
    assert_code(start_with(ARGS("silent"), 0, &id), 0);
    assert_code(start_with(ARGS("silent"), 0, NULL), RILL_EBUSY);
    assert_true(rill_cancel(h.loop, id));
    assert_false(rill_cancel(h.loop, id));
    while (start_with(ARGS("exit", "0"), 0, NULL) == RILL_EBUSY)
        harness_turn(&h);
    expect_outcome(RILL_ENOTREADY, "exit code 0");
}

static void
test_the_loop_is_freed(void **unused)
{
    (void)unused;
    h.log_allowed = true;
    assert_code(start_with(ARGS("deaf"), 0, NULL), 0);
    end_server(&h, &accepted, server);
    harness_close_with(&h, 1);
    assert_true(outcome.called);
    assert_code(outcome.code, RILL_ELOOPFREED);
    (void)setup(NULL);
}

/* ---- it goes well ---- */

static void
expect_child_end(int pid, int exit_code)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), exit_code);
}

static void
test_ready(void **unused)
{
    (void)unused;
    assert_code(start_with(ARGS("ready", "21"), INT64_MAX, NULL), 0);
    expect_outcome(0, "is ready");
    expect_child_end(outcome.pid, 21);
}

/* One after another; a failed one before a good one harms nothing. */
static void
test_three_in_a_row(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        outcome.called = false;
        expect_failure(ARGS("exit", "1"), RILL_ENOTREADY, "exit code 1");
        outcome.called = false;
        assert_code(start_with(ARGS("ready", "0"), 0, NULL), 0);
        expect_outcome(0, "is ready");
        expect_child_end(outcome.pid, 0);
    }
}

#define MANY 2000

/* More than one message takes: by their number, and by the length of their names. */
static void
start_with_many(const char *const *argv, size_t count, const char *name)
{
    static char names[MANY][300];
    static int fds[MANY];
    rill_restart_item items[MANY];
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s%zu", name, i);
        fds[i] = ends[0];
        items[i] = (rill_restart_item){ .name = names[i], .fds = &fds[i], .fds_count = 1 };
    }
    assert_code(rill_restart_start(h.loop,
                    &RILL_RESTART_OPTIONS(.argv = argv, .items = items, .items_count = count),
                    on_done, NULL, NULL),
        0);
    close(ends[0]);
    close(ends[1]);
}

static void
hand_over_many(size_t count, const char *name)
{
    char number[20];

    snprintf(number, sizeof(number), "%zu", count);
    start_with_many(ARGS("count", name, number), count, name);
    expect_outcome(0, "is ready");
    expect_child_end(outcome.pid, 0);
}

/* Until the child has ended; it is still there to be waited for. */
static void
wait_for_its_end(void)
{
    siginfo_t info;

    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
}

static void
test_many_descriptors(void **unused)
{
    (void)unused;
    hand_over_many(600, "pipe");
}

/* More than the channel takes at once: the rest goes when the new process has made room. */
static void
allow_many(void)
{
    struct rlimit files;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 2 * MANY) {
        print_message("skip: no room for %d descriptors\n", 2 * MANY);
        skip();
    }
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void
test_more_than_the_channel_takes(void **unused)
{
    char name[248];

    (void)unused;
    allow_many();
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    hand_over_many(MANY, name);
}

static void
test_long_names(void **unused)
{
    char name[252];

    (void)unused;
    memset(name, 'n', sizeof(name));
    name[250] = '\0';
    hand_over_many(300, name);
}

static void
test_nothing_to_hand_over(void **unused)
{
    (void)unused;
    hand_over_many(0, "none");
}

/* ---- too little ---- */

/* The old process has no descriptors left: the call says so, later it works. */
static void
test_no_descriptors_here(void **unused)
{
    struct rlimit files, none;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = files;
    for (rlim_t limit = 3; limit < 100; limit++) {
        int rc;

        none.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        rc = start_with(ARGS("ready", "0"), 0, NULL);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (rc == 0)
            break;
        assert_code(rc, -EMFILE);
        expect_last_error(&h, rc, "Too many open files");
    }
    harness_until(&h, flag_is_set, &outcome.called);
    if (outcome.code == 0)
        expect_child_end(outcome.pid, 0);
}

static void
test_no_descriptors_there(void **unused)
{
    const int fds[20] = { 0 };
    const rill_restart_item item = { .name = "many", .fds = fds, .fds_count = 20 };

    (void)unused;
    assert_code(
        rill_restart_start(h.loop,
            &RILL_RESTART_OPTIONS(.argv = ARGS("crowded"), .items = &item, .items_count = 1),
            on_done, NULL, NULL),
        0);
    expect_outcome(-EMFILE, "exit code 11");
}

static void
test_no_memory_there(void **unused)
{
    (void)unused;
    expect_failure(ARGS("no-memory"), -ENOMEM, "exit code 13");
}

/* Its reason is heard though it has ended without reading what was sent, and what was not. */
static void
test_the_last_words(void **unused)
{
    char name[248];

    (void)unused;
    assert_code(start_with(ARGS("no-memory"), 0, NULL), 0);
    wait_for_its_end();
    expect_outcome(-ENOMEM, "exit code 13");

    outcome.called = false;
    allow_many();
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    start_with_many(ARGS("no-memory"), MANY, name);
    wait_for_its_end();
    expect_outcome(-ENOMEM, "exit code 13");
}

/* Every allocation of a restart fails once. */
static void
test_no_memory(void **unused)
{
    size_t n = 0;
    int rc;

    (void)unused;
    do {
        allocator_fail(&h.allocator, ++n, false);
        rc = start_with(ARGS("ready", "0"), 0, NULL);
        if (rc == -ENOMEM)
            expect_last_error(&h, rc, "");
        else
            assert_code(rc, 0);
    } while (rc < 0 && n < 100);
    assert_code(rc, 0);
    allocator_heal(&h.allocator);
    assert_true(n > 2);
    harness_until(&h, flag_is_set, &outcome.called);
    assert_code(outcome.code, 0);
    expect_child_end(outcome.pid, 0);
}

/* ---- the rules of the call ---- */

static void
test_wrong_items(void **unused)
{
    const int no_fds[] = { -1 };
    char long_name[257];
    const rill_restart_item items[] = {
        { .name = NULL, .server = server },
        { .name = "", .server = server },
        { .name = "a:b", .server = server },
        { .name = "a\nb", .server = server },
        { .name = long_name, .server = server },
        { .name = "neither" },
        { .name = "none", .fds = no_fds },
        { .name = "both", .server = server, .fds = no_fds, .fds_count = 1 },
    };
    const rill_restart_item closed = { .name = "closed", .fds = no_fds, .fds_count = 1 };

    (void)unused;
    memset(long_name, 'x', 256);
    long_name[256] = '\0';
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        assert_code(rill_restart_start(h.loop,
                        &RILL_RESTART_OPTIONS(.argv = ARGS("ready", "0"), .items = &items[i],
                            .items_count = 1),
                        on_done, NULL, NULL),
            RILL_EINVAL);
    assert_code(
        rill_restart_start(h.loop,
            &RILL_RESTART_OPTIONS(.argv = ARGS("ready", "0"), .items = &closed, .items_count = 1),
            on_done, NULL, NULL),
        -EBADF);
    expect_last_error(&h, -EBADF, "\"closed\"");
    assert_false(outcome.called);
}

/* An environment of one's own reaches the new process, without what was meant for this one. */
static void
test_environment(void **unused)
{
    const char *const env[] = { "CODE=5", "RILL_RESTART=nonsense", "LISTEN_PID=1", NULL };
    const char *const argv[] = { "sh", "-c", "exit \"${CODE:-1}${LISTEN_PID:-}\"", NULL };

    (void)unused;
    assert_code(rill_restart_start(h.loop,
                    &RILL_RESTART_OPTIONS(.argv = argv, .file = "/bin/sh", .env = env), on_done,
                    NULL, NULL),
        0);
    expect_outcome(RILL_ENOTREADY, "exit code 5");
}

/* A process that was not meant starts as if there had been no restart. */
static void
test_a_grandchild_inherits_nothing(void **unused)
{
    char command[600];
    const char *const argv[] = { "sh", "-c", command, NULL };

    (void)unused;
    snprintf(
        command, sizeof(command), "test \"$('%s' inherit 0)\" = 0 && exit 9", restart_program());
    assert_code(start_with(argv, 0, NULL), 0);
    expect_outcome(RILL_ENOTREADY, "exit code 9");
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_it_exits),
        CASE(test_it_crashes),
        CASE(test_it_sends_garbage),
        CASE(test_it_sends_half_a_message),
        CASE(test_it_sends_a_message_out_of_place),
        CASE(test_it_refuses_without_a_code),
        CASE(test_it_speaks_another_version),
        CASE(test_it_hangs_up),
        CASE(test_it_gives_up),
        CASE(test_it_never_gets_ready),
        CASE(test_it_never_listens),
        CASE(test_there_is_no_such_program),
        CASE(test_cancel),
        CASE(test_the_loop_is_freed),
        CASE(test_ready),
        CASE(test_three_in_a_row),
        CASE(test_many_descriptors),
        CASE(test_more_than_the_channel_takes),
        CASE(test_long_names),
        CASE(test_nothing_to_hand_over),
        CASE(test_no_descriptors_here),
        CASE(test_no_descriptors_there),
        CASE(test_no_memory),
        CASE(test_no_memory_there),
        CASE(test_the_last_words),
        CASE(test_wrong_items),
        CASE(test_environment),
        CASE(test_a_grandchild_inherits_nothing),
    };

    restart_child(argc, argv);
    return run_cases(tests);
}
