/*
 * A kernel that gives the io_uring driver less than it asks for: operations that are missing, calls
 * that are refused from the start or from some moment on, no memory, and signals all the time. Each
 * case is a process of its own, since a filter of system calls stays for good.
 */
/* drivers: uring */
/* timeout: 120 */
#include "child.h"
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "core/driver/uring/ring.h"

#define ANY (-1)

/* From here on system call `number`, with this second argument, fails with `code`. */
static int
refuse(int number, int second, int code)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)second, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JA, second == ANY ? 0 : 1, 0, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof(rules) / sizeof(rules[0]), .filter = rules };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void
child_passes(int (*fn)(void *arg), int arg)
{
    child_result result;

    child_run(fn, (void *)(intptr_t)arg, &result);
    if (result.exit_code != 0 || result.signal != 0)
        print_error("%s", result.text);
    assert_int_equal(result.signal, 0);
    assert_int_equal(result.exit_code, 0);
}

/* ---- a server that echoes and a client that counts, on one loop ---- */

static struct {
    rill_loop *loop;
    rill_server *server;
    rill_transport *client;
    size_t rounds, rounds_max;
    size_t lost;
} world;

static void
answer(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len);
}

static void
count_loss(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)self;
    (void)why;
    world.lost++;
}

static void
begin(rill_transport *t, void *self, void *arg)
{
    (void)self;
    (void)arg;
    world.client = t;
    (void)rill_transport_write(t, "p", 1);
}

static void
again(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)in;
    if (++world.rounds == world.rounds_max)
        rill_loop_stop(world.loop);
    else
        (void)rill_transport_write(t, "p", 1);
}

static const rill_protocol server_protocol =
    RILL_PROTOCOL(.data_received = answer, .connection_lost = count_loss);
static const rill_protocol client_protocol =
    RILL_PROTOCOL(.connection_made = begin, .data_received = again, .connection_lost = count_loss);

static int
make_world(size_t rounds)
{
    rill_addr addr;

    memset(&world, 0, sizeof(world));
    world.rounds_max = rounds;
    CHILD_CHECK(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "uring"), &world.loop) == 0);
    CHILD_CHECK(rill_create_server(world.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"),
                    &server_protocol, NULL, &world.server) == 0);
    CHILD_CHECK(rill_server_sockname(world.server, 0, &addr) == 0);
    CHILD_CHECK(rill_create_connection_start(world.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &client_protocol, NULL, NULL, NULL, NULL) == 0);
    return 0;
}

static int
run_world(void)
{
    return rill_loop_run_until(world.loop, rill_loop_time(world.loop) + HARNESS_PATIENCE);
}

static size_t
open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

/* ---- what is missing from the start ---- */

static void
test_a_kernel_without_one_operation(void **unused)
{
    static const uint8_t needed[] = { IORING_OP_POLL_ADD, IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL,
        IORING_OP_CLOSE, IORING_OP_SEND, IORING_OP_RECV };
    struct io_uring_probe *probe =
        calloc(1, sizeof(*probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op));

    (void)unused;
    assert_non_null(probe);
    probe->ops_len = IORING_OP_LAST;
    for (int i = 0; i < IORING_OP_LAST; i++)
        probe->ops[i].flags = IO_URING_OP_SUPPORTED;
    assert_true(uring_knows_all(probe));
    for (size_t i = 0; i < sizeof(needed); i++) {
        probe->ops[needed[i]].flags = 0;
        assert_false(uring_knows_all(probe));
        probe->ops[needed[i]].flags = IO_URING_OP_SUPPORTED;
    }
    probe->ops_len = IORING_OP_RECV;
    assert_false(uring_knows_all(probe));
    free(probe);
}

static int
open_without_probe(void *code)
{
    rill_loop *loop = NULL;

    CHILD_CHECK(refuse(SYS_io_uring_register, IORING_REGISTER_PROBE, (int)(intptr_t)code) == 0);
    CHILD_CHECK(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "uring"), &loop) == RILL_ENODRIVER);
    CHILD_CHECK(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "uring,epoll"), &loop) == 0);
    CHILD_CHECK(strcmp(rill_loop_driver(loop), "epoll") == 0);
    CHILD_CHECK(rill_loop_free(loop) == 0);
    return 0;
}

static void
test_a_kernel_that_cannot_be_asked(void **unused)
{
    (void)unused;
    child_passes(open_without_probe, EINVAL);
    child_passes(open_without_probe, EPERM);
}

/* A lack is no refusal: it is told, and no other driver is taken silently. */
static int
open_in_want(void *code)
{
    size_t before = open_descriptors();
    rill_loop *loop = NULL;

    CHILD_CHECK(refuse(SYS_io_uring_setup, ANY, (int)(intptr_t)code) == 0);
    CHILD_CHECK(
        rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "uring,epoll"), &loop) == -(int)(intptr_t)code);
    CHILD_CHECK(loop == NULL);
    CHILD_CHECK(open_descriptors() == before);
    return 0;
}

static void
test_a_kernel_in_want(void **unused)
{
    (void)unused;
    child_passes(open_in_want, ENOMEM);
    child_passes(open_in_want, EMFILE);
    child_passes(open_in_want, ENFILE);
}

/* Every stream reads when it is readable, into the loop's buffer. */
static int
echo_without_buffers(void *code)
{
    CHILD_CHECK(refuse(SYS_io_uring_register, IORING_REGISTER_PBUF_RING, (int)(intptr_t)code) == 0);
    CHILD_CHECK(make_world(100) == 0);
    CHILD_CHECK(run_world() == 0);
    CHILD_CHECK(world.rounds == 100);
    CHILD_CHECK(rill_loop_free(world.loop) == 3);
    CHILD_CHECK(world.lost == 2);
    return 0;
}

static void
test_no_ring_of_buffers(void **unused)
{
    (void)unused;
    child_passes(echo_without_buffers, EINVAL);
    child_passes(echo_without_buffers, ENOMEM);
}

/* ---- what is refused later ---- */

static int
run_a_ring_that_cannot_be_enabled(void *code)
{
    CHILD_CHECK(make_world(1) == 0);
    CHILD_CHECK(
        refuse(SYS_io_uring_register, IORING_REGISTER_ENABLE_RINGS, (int)(intptr_t)code) == 0);
    CHILD_CHECK(run_world() == -(int)(intptr_t)code);
    CHILD_CHECK(run_world() == -(int)(intptr_t)code);
    CHILD_CHECK(rill_loop_free(world.loop) == 2);
    return 0;
}

/* A sandbox that closes behind a program which runs: it is told, and can end in order. */
static int
run_a_ring_that_is_lost(void *code)
{
    size_t before = open_descriptors();

    CHILD_CHECK(make_world(50) == 0);
    CHILD_CHECK(run_world() == 0);
    CHILD_CHECK(refuse(SYS_io_uring_enter, ANY, (int)(intptr_t)code) == 0);
    (void)rill_transport_write(world.client, "p", 1);
    CHILD_CHECK(run_world() == -(int)(intptr_t)code);
    rill_transport_close(world.client);
    CHILD_CHECK(run_world() == -(int)(intptr_t)code);
    CHILD_CHECK(world.lost == 1);
    CHILD_CHECK(rill_loop_free(world.loop) == 2);
    CHILD_CHECK(world.lost == 2);
    CHILD_CHECK(open_descriptors() == before);
    return 0;
}

static void
test_a_kernel_that_changes_its_mind(void **unused)
{
    (void)unused;
    child_passes(run_a_ring_that_cannot_be_enabled, EPERM);
    child_passes(run_a_ring_that_is_lost, EPERM);
    child_passes(run_a_ring_that_is_lost, ENOSYS);
}

/* ---- signals ---- */

static volatile sig_atomic_t alarms;

static void
on_alarm(int number)
{
    (void)number;
    alarms = alarms + 1;
}

static int
echo_in_a_storm(void *unused)
{
    struct sigaction action = { .sa_handler = on_alarm }; /* Without SA_RESTART. */
    struct itimerval often = { { 0, 50 }, { 0, 50 } };
    struct itimerval never = { { 0, 0 }, { 0, 0 } };

    (void)unused;
    CHILD_CHECK(make_world(5000) == 0);
    CHILD_CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHILD_CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    CHILD_CHECK(run_world() == 0);
    /* And while nothing happens: the deadline holds all the same. */
    CHILD_CHECK(rill_loop_run_until(world.loop, rill_loop_time(world.loop) + 50 * RILL_MS) ==
                RILL_ETIMEDOUT);
    CHILD_CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHILD_CHECK(alarms > 100);
    CHILD_CHECK(world.rounds == 5000);
    CHILD_CHECK(rill_loop_free(world.loop) == 3);
    return 0;
}

static void
test_a_storm_of_signals(void **unused)
{
    (void)unused;
    child_passes(echo_in_a_storm, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kernel_without_one_operation),
        cmocka_unit_test(test_a_kernel_that_cannot_be_asked),
        cmocka_unit_test(test_a_kernel_in_want),
        cmocka_unit_test(test_no_ring_of_buffers),
        cmocka_unit_test(test_a_kernel_that_changes_its_mind),
        cmocka_unit_test(test_a_storm_of_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
