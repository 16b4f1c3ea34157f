/*
 * Readers and writers of descriptors that are not the loop's.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CROWD 300
#define HIGH  1500

static harness h;
static int listener, a, b; /* Two ends of a connection of plain sockets. */
static int crowd[2 * CROWD];
static size_t crowd_reads;
static char tape[400];

static void
say(const char *word)
{
    size_t len = strlen(tape);

    snprintf(tape + len, sizeof(tape) - len, "%s%s", len > 0 ? " " : "", word);
}

static bool
is_accepted(void *unused)
{
    (void)unused;
    return b >= 0 || rill_sock_try_accept(h.loop, listener, &b, NULL) == 0;
}

static bool
is_connected(void *unused)
{
    (void)unused;
    return rill_sock_connected(h.loop, a) == 0;
}

static int
setup(void **unused)
{
    rill_addr addr;

    (void)unused;
    tape[0] = '\0';
    b = -1;
    memset(crowd, 0xff, sizeof(crowd));
    harness_open(&h);
    assert_code(rill_addr_parse("127.0.0.1", 0, &addr), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &listener), 0);
    assert_code(rill_sock_bind(h.loop, listener, &addr), 0);
    assert_code(rill_sock_listen(h.loop, listener, 8), 0);
    assert_code(rill_sock_name(h.loop, listener, &addr), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &a), 0);
    assert_code(rill_sock_try_connect(h.loop, a, &addr), -EINPROGRESS);
    harness_until(&h, is_accepted, NULL);
    harness_until(&h, is_connected, NULL);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (a >= 0)
        assert_code(rill_sock_close(h.loop, a), 0);
    if (b >= 0)
        assert_code(rill_sock_close(h.loop, b), 0);
    for (size_t i = 0; i < 2 * CROWD; i++) {
        if (crowd[i] >= 0)
            assert_code(rill_sock_close(h.loop, crowd[i]), 0);
    }
    assert_code(rill_sock_close(h.loop, listener), 0);
    harness_close(&h);
    return 0;
}

static void
put(int fd, const char *text)
{
    assert_int_equal(rill_sock_try_send(h.loop, fd, text, strlen(text)), strlen(text));
}

static size_t reads, writes;

static void
count_read(void *arg)
{
    (void)arg;
    reads++;
    harness_poke(&h);
}

static void
count_write(void *arg)
{
    (void)arg;
    writes++;
    harness_poke(&h);
}

static bool
some_reads(void *min)
{
    return reads >= *(size_t *)min;
}

static bool
some_writes(void *min)
{
    return writes >= *(size_t *)min;
}

static void
await_reads(size_t min)
{
    harness_until(&h, some_reads, &min);
}

static void
await_writes(size_t min)
{
    harness_until(&h, some_writes, &min);
}

/* As often as it is ready: nothing was taken. */
static void
test_a_reader_runs_in_each_turn_that_it_is_ready_in(void **unused)
{
    char buf[8];

    (void)unused;
    reads = 0;
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    harness_settle(&h);
    assert_int_equal(reads, 0);
    put(a, "x");
    await_reads(5);
    assert_int_equal(rill_sock_try_recv(h.loop, b, buf, sizeof(buf)), 1);
    harness_settle(&h);
    reads = 0;
    harness_settle(&h);
    assert_int_equal(reads, 0);
    put(a, "y");
    await_reads(1);
    assert_true(rill_remove_reader(h.loop, b));
}

static void
test_a_writer_runs_while_there_is_room(void **unused)
{
    (void)unused;
    writes = 0;
    assert_code(rill_add_writer(h.loop, a, count_write, NULL), 0);
    await_writes(3);
    assert_true(rill_remove_writer(h.loop, a));
    writes = 0;
    harness_settle(&h);
    assert_int_equal(writes, 0);
}

static void
test_the_two_sides_are_independent(void **unused)
{
    (void)unused;
    reads = writes = 0;
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    assert_code(rill_add_writer(h.loop, b, count_write, NULL), 0);
    await_writes(2);
    assert_int_equal(reads, 0);
    assert_true(rill_remove_writer(h.loop, b));
    put(a, "x");
    await_reads(2);
    writes = 0;
    assert_code(rill_add_writer(h.loop, b, count_write, NULL), 0);
    assert_true(rill_remove_reader(h.loop, b));
    reads = 0;
    await_writes(2);
    assert_int_equal(reads, 0);
    assert_true(rill_remove_writer(h.loop, b));
}

static void
test_remove_says_whether_there_was_one(void **unused)
{
    (void)unused;
    assert_false(rill_remove_reader(h.loop, b));
    assert_false(rill_remove_writer(h.loop, b));
    assert_false(rill_remove_reader(h.loop, -1));
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    assert_false(rill_remove_writer(h.loop, b));
    assert_true(rill_remove_reader(h.loop, b));
    assert_false(rill_remove_reader(h.loop, b));
}

static void
say_it(void *arg)
{
    say(arg);
    assert_true(rill_remove_reader(h.loop, b));
    harness_poke(&h);
}

static bool
tape_has_text(void *unused)
{
    (void)unused;
    return tape[0] != '\0';
}

static void
test_adding_replaces_the_callback_of_that_side(void **unused)
{
    (void)unused;
    assert_code(rill_add_reader(h.loop, b, say_it, WORD("old")), 0);
    assert_code(rill_add_reader(h.loop, b, say_it, WORD("new")), 0);
    put(a, "x");
    harness_until(&h, tape_has_text, NULL);
    assert_string_equal(tape, "new");
}

/* Both were due in this turn; the first one takes the other away. */
static void
remove_other(void *arg)
{
    int other = *(int *)arg;

    say("first");
    assert_true(rill_remove_reader(h.loop, a));
    assert_true(rill_remove_reader(h.loop, b));
    (void)other;
}

static void
test_one_that_was_due_does_not_run_after_its_removal(void **unused)
{
    (void)unused;
    put(a, "x");
    put(b, "y");
    harness_settle(&h); /* Both have arrived. */
    assert_code(rill_add_reader(h.loop, a, remove_other, &b), 0);
    assert_code(rill_add_reader(h.loop, b, remove_other, &a), 0);
    harness_until(&h, tape_has_text, NULL);
    harness_settle(&h);
    assert_string_equal(tape, "first");
}

static void
replace_itself(void *arg)
{
    say(arg);
    if (strlen(tape) > 20)
        assert_true(rill_remove_reader(h.loop, b));
    else
        assert_code(rill_add_reader(h.loop, b, replace_itself, arg), 0);
}

static bool
tape_is_long(void *unused)
{
    (void)unused;
    return strlen(tape) > 20;
}

static void
test_a_callback_may_replace_itself(void **unused)
{
    (void)unused;
    put(a, "x");
    assert_code(rill_add_reader(h.loop, b, replace_itself, WORD("again")), 0);
    harness_until(&h, tape_is_long, NULL);
    harness_settle(&h);
    assert_string_equal(tape, "again again again again");
}

static void
remove_and_add(void *arg)
{
    assert_true(rill_remove_reader(h.loop, b));
    replace_itself(arg);
}

static void
test_a_callback_may_remove_and_add_itself(void **unused)
{
    (void)unused;
    put(a, "x");
    assert_code(rill_add_reader(h.loop, b, remove_and_add, WORD("once")), 0);
    harness_until(&h, tape_has_text, NULL);
    harness_until(&h, tape_is_long, NULL);
    (void)rill_remove_reader(h.loop, b);
}

/* In a callback of its own descriptor, with the other side due as well. */
static void
close_it(void *arg)
{
    (void)arg;
    say("closed");
    assert_code(rill_sock_close(h.loop, b), 0);
    b = -1;
}

static void
test_a_callback_may_close_its_descriptor(void **unused)
{
    (void)unused;
    put(a, "x");
    harness_settle(&h);
    assert_code(rill_add_reader(h.loop, b, close_it, NULL), 0);
    assert_code(rill_add_writer(h.loop, b, close_it, NULL), 0);
    harness_until(&h, tape_has_text, NULL);
    harness_settle(&h);
    assert_string_equal(tape, "closed");
}

static void
test_the_end_of_a_stream_is_readable(void **unused)
{
    char buf[4];

    (void)unused;
    reads = 0;
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    assert_code(rill_sock_shutdown_write(h.loop, a), 0);
    await_reads(1);
    assert_int_equal(rill_sock_try_recv(h.loop, b, buf, sizeof(buf)), 0);
    assert_true(rill_remove_reader(h.loop, b));
}

static void
test_a_hang_up_tells_both_sides(void **unused)
{
    (void)unused;
    reads = writes = 0;
    assert_code(rill_sock_close(h.loop, a), 0);
    a = -1;
    put(b, "x"); /* Answered with a reset. */
    harness_settle(&h);
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    assert_code(rill_add_writer(h.loop, b, count_write, NULL), 0);
    await_reads(1);
    await_writes(1);
    assert_true(rill_remove_reader(h.loop, b));
    assert_true(rill_remove_writer(h.loop, b));
}

/* The number means another file now, and the watch is new, too. */
static void
test_a_number_may_come_back(void **unused)
{
    rill_addr addr;
    int old = b;
    int other;

    (void)unused;
    reads = 0;
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    assert_code(rill_sock_close(h.loop, b), 0);
    b = -1;
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &other), 0);
    if (!on_driver("sim"))
        assert_int_equal(other, old);
    assert_false(rill_remove_reader(h.loop, other));
    assert_code(rill_sock_name(h.loop, listener, &addr), 0);
    assert_code(rill_sock_try_connect(h.loop, other, &addr), -EINPROGRESS);
    harness_until(&h, is_accepted, NULL);
    assert_code(rill_add_reader(h.loop, other, count_read, NULL), 0);
    harness_settle(&h);
    assert_int_equal(reads, 0);
    put(b, "x");
    await_reads(1);
    assert_code(rill_sock_close(h.loop, other), 0);
}

/* On io_uring the poll holds the file though its number is gone. */
static void
test_one_that_was_closed_first_can_be_removed(void **unused)
{
    int ends[2];

    (void)unused;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    reads = 0;
    assert_code(rill_add_reader(h.loop, ends[0], count_read, NULL), 0);
    harness_settle(&h);
    assert_int_equal(close(ends[0]), 0);
    harness_settle(&h);
    assert_true(rill_remove_reader(h.loop, ends[0]));
    assert_int_equal(close(ends[1]), 0);
    harness_settle(&h);
    assert_int_equal(reads, 0);
}

static void
test_a_regular_file_is_refused(void **unused)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)unused;
    assert_true(fd >= 0);
    assert_code(rill_add_reader(h.loop, fd, count_read, NULL), -EPERM);
    expect_last_error(&h, -EPERM, "regular file");
    assert_int_equal(close(fd), 0);
}

/* A device that is always ready, and a file of /proc that tells of changes. */
static void
test_what_can_be_watched_is_the_same_on_all_drivers(void **unused)
{
    int device = open("/dev/null", O_RDWR | O_CLOEXEC);
    int mounts = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);

    (void)unused;
    assert_true(device >= 0 && mounts >= 0);
    assert_code(rill_add_reader(h.loop, device, count_read, NULL), -EPERM);
    assert_code(rill_add_reader(h.loop, mounts, count_read, NULL), 0);
    assert_true(rill_remove_reader(h.loop, mounts));
    (void)close(device);
    (void)close(mounts);
}

static void
test_a_closed_descriptor_is_refused(void **unused)
{
    (void)unused;
    assert_code(rill_add_reader(h.loop, 9999, count_read, NULL), -EBADF);
    expect_last_error(&h, -EBADF, "9999");
    assert_code(rill_add_writer(h.loop, -1, count_read, NULL), -EBADF);
}

static const rill_protocol silent = RILL_PROTOCOL(.connection_made = NULL);

static void
test_a_transports_descriptor_is_refused(void **unused)
{
    rill_transport *t;

    (void)unused;
    assert_code(rill_connect_accepted_socket(h.loop, b, NULL, &silent, NULL, &t), 0);
    harness_settle(&h);
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), RILL_EBUSY);
    expect_last_error(&h, RILL_EBUSY, "transport");
    /* Also while it waits for nothing, and the kernel's set does not know it. */
    rill_transport_pause_reading(t);
    assert_code(rill_sock_close(h.loop, a), 0);
    a = -1;
    harness_settle(&h);
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), RILL_EBUSY);
    rill_transport_abort(t);
    harness_settle(&h);
    b = -1;
}

/* Beyond those that the driver of epoll has room for from the start. */
static void
test_a_transports_descriptor_with_a_high_number_is_refused(void **unused)
{
    struct rlimit limit;
    rill_transport *t;
    int high;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur <= HIGH) { /* Often it is 1,024, and the hard one is far above. */
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    high = fcntl(b, F_DUPFD_CLOEXEC, HIGH);
    assert_true(high >= HIGH);
    assert_code(rill_connect_accepted_socket(h.loop, high, NULL, &silent, NULL, &t), 0);
    harness_settle(&h);
    rill_transport_pause_reading(t);
    harness_settle(&h);
    assert_code(rill_add_reader(h.loop, high, count_read, NULL), RILL_EBUSY);
    expect_last_error(&h, RILL_EBUSY, "transport");
    rill_transport_abort(t);
    harness_settle(&h);
    assert_int_equal(fcntl(b, F_DUPFD_CLOEXEC, high), high); /* The number is nobody's again. */
    assert_code(rill_add_reader(h.loop, high, count_read, NULL), 0);
    assert_true(rill_remove_reader(h.loop, high));
    assert_int_equal(close(high), 0);
}

static void
crowd_read(void *arg)
{
    int *fd = arg;
    char byte;

    assert_int_equal(rill_sock_try_recv(h.loop, *fd, &byte, 1), 1);
    assert_true(rill_remove_reader(h.loop, *fd));
    crowd_reads++;
    harness_poke(&h);
}

static bool
crowd_done(void *unused)
{
    (void)unused;
    return crowd_reads == CROWD;
}

static bool
crowd_accepted(void *arg)
{
    int *fd = arg;

    return *fd >= 0 || rill_sock_try_accept(h.loop, listener, fd, NULL) == 0;
}

static void
test_hundreds_of_descriptors(void **unused)
{
    rill_addr addr;

    (void)unused;
    crowd_reads = 0;
    assert_code(rill_sock_name(h.loop, listener, &addr), 0);
    for (size_t i = 0; i < CROWD; i++) {
        int *pair = &crowd[2 * i];

        assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &pair[0]), 0);
        assert_code(rill_sock_try_connect(h.loop, pair[0], &addr), -EINPROGRESS);
        harness_until(&h, crowd_accepted, &pair[1]);
        assert_code(rill_add_reader(h.loop, pair[0], crowd_read, &pair[0]), 0);
    }
    for (size_t i = 0; i < CROWD; i++)
        put(crowd[2 * i + 1], "x");
    harness_until(&h, crowd_done, NULL);
}

/* The set of epoll is the parent's, too. */
static void
test_a_forked_child_removes_nothing(void **unused)
{
    int status;
    pid_t child;

    (void)unused;
    reads = 0;
    assert_code(rill_add_reader(h.loop, b, count_read, NULL), 0);
    harness_settle(&h);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* It ends at once: Valgrind would miss what its copy of the loop has. */
        bool removed = rill_remove_reader(h.loop, b) || rill_remove_writer(h.loop, b);

        (void)raise(removed ? SIGABRT : SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    put(a, "x");
    await_reads(1);
    assert_true(rill_remove_reader(h.loop, b));
}

static void
test_one_that_is_left_counts_as_a_leftover(void **unused)
{
    harness other;

    (void)unused;
    harness_open(&other);
    if (on_driver("sim")) {
        int fd;

        assert_code(rill_sock_open(other.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &fd), 0);
        assert_code(rill_add_reader(other.loop, fd, count_read, NULL), 0);
    } else {
        assert_code(rill_add_reader(other.loop, listener, count_read, NULL), 0);
        assert_code(rill_add_writer(other.loop, listener, count_write, NULL), 0);
    }
    harness_close_with(&other, 1);
}

static void
test_without_memory_nothing_is_watched(void **unused)
{
    (void)unused;
    for (size_t n = 1; n < 6; n++) {
        int rc;

        allocator_fail(&h.allocator, n, false);
        rc = rill_add_reader(h.loop, b, count_read, NULL);
        allocator_heal(&h.allocator);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_int_equal(rill_remove_reader(h.loop, b), rc == 0);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_reader_runs_in_each_turn_that_it_is_ready_in),
        CASE(test_a_writer_runs_while_there_is_room),
        CASE(test_the_two_sides_are_independent),
        CASE(test_remove_says_whether_there_was_one),
        CASE(test_adding_replaces_the_callback_of_that_side),
        CASE(test_one_that_was_due_does_not_run_after_its_removal),
        CASE(test_a_callback_may_replace_itself),
        CASE(test_a_callback_may_remove_and_add_itself),
        CASE(test_a_callback_may_close_its_descriptor),
        CASE(test_the_end_of_a_stream_is_readable),
        CASE(test_a_hang_up_tells_both_sides),
        CASE(test_a_number_may_come_back),
        CASE_ON("kernel", test_one_that_was_closed_first_can_be_removed),
        CASE_ON("kernel", test_a_regular_file_is_refused),
        CASE_ON("kernel", test_what_can_be_watched_is_the_same_on_all_drivers),
        CASE(test_a_closed_descriptor_is_refused),
        CASE_ON("kernel", test_a_transports_descriptor_is_refused),
        CASE_ON("kernel", test_a_transports_descriptor_with_a_high_number_is_refused),
        CASE(test_hundreds_of_descriptors),
        CASE_ON("kernel", test_a_forked_child_removes_nothing),
        CASE(test_one_that_is_left_counts_as_a_leftover),
        CASE(test_without_memory_nothing_is_watched),
    };

    return run_cases(tests);
}
