/*
 * What only the io_uring driver can get wrong: more requests than its queue holds, more bytes than
 * its buffers, streams that change between multishot receives and readiness, a loop that changes
 * its thread, and a kernel that refuses io_uring.
 */
/* drivers: uring */
/* timeout: 120 */
#include "child.h"
#include "endpoint.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MANY       700           /* More than the queue's 256 entries. */
#define HOLDERS    300           /* More than there are buffers, */
#define HOLD_BYTES (40u * 1024u) /* with more than one buffer each. */

static harness h;
static rill_server *server;
static rill_addr addr;

static int
setup(void **unused)
{
    struct rlimit files;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    harness_open(&h);
    assert_string_equal(rill_loop_driver(h.loop), "uring");
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    rill_server_close(server);
    harness_close(&h);
    return 0;
}

static void
serve_protocol(const rill_protocol *protocol, void *arg)
{
    assert_code(
        rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .backlog = 1024),
            protocol, arg, &server),
        0);
    assert_code(rill_server_sockname(server, 0, &addr), 0);
}

static void
call_server(const rill_protocol *protocol, void *arg)
{
    assert_code(rill_create_connection_start(
                    h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr), protocol, arg, NULL, NULL, NULL),
        0);
}

/* ---- more requests than the queue holds ---- */

static size_t answered, lost;

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len);
}

static const rill_protocol echo = RILL_PROTOCOL(.data_received = echo_data);

static void
caller_made(rill_transport *t, void *self, void *arg)
{
    (void)self;
    (void)arg;
    assert_code(rill_transport_write(t, "hello", 5), 1);
}

static void
caller_data(rill_transport *t, void *self, rill_slice in)
{
    uint8_t *got = self;

    assert_true(*got + in.len <= 5);
    assert_memory_equal(in.data, &"hello"[*got], in.len);
    *got = (uint8_t)(*got + in.len);
    if (*got == 5) {
        answered++;
        rill_transport_close(t);
    }
}

static void
caller_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)self;
    assert_code(why->code, 0);
    lost++;
}

static const rill_protocol caller = RILL_PROTOCOL(.state_size = 1, .connection_made = caller_made,
    .data_received = caller_data, .connection_lost = caller_lost);

static bool
all_are_lost(void *count)
{
    return lost == *(size_t *)count;
}

static bool
nobody_is_left(void *unused)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    (void)unused;
    rill_loop_get_stats(h.loop, &stats);
    return stats.transports == 0;
}

static void
test_more_requests_than_the_queue_holds(void **unused)
{
    size_t count = MANY;

    (void)unused;
    answered = lost = 0;
    serve_protocol(&echo, NULL);
    for (size_t i = 0; i < count; i++)
        call_server(&caller, NULL);
    harness_until(&h, all_are_lost, &count);
    harness_until(&h, nobody_is_left, NULL);
    assert_int_equal(answered, count);
}

/* ---- more bytes than the buffers hold ---- */

static size_t held;
static uint64_t arrived;
static rill_transport *holders[HOLDERS];
static bool holding;

static void
holder_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    arrived += in.len;
    if (!holding)
        return;
    rill_transport_pause_reading(t);
    holders[held++] = t;
}

static bool
holder_eof(rill_transport *t, void *self)
{
    (void)t;
    (void)self;
    return false;
}

static const rill_protocol holder =
    RILL_PROTOCOL(.data_received = holder_data, .eof_received = holder_eof);

static uint8_t bulk[HOLD_BYTES];

static void
bulk_made(rill_transport *t, void *self, void *arg)
{
    (void)self;
    (void)arg;
    assert_true(rill_transport_write(t, bulk, sizeof(bulk)) >= 0);
    rill_transport_close(t);
}

static const rill_protocol sender = RILL_PROTOCOL(.connection_made = bulk_made);

static bool
all_hold(void *unused)
{
    (void)unused;
    return held == HOLDERS;
}

static bool
all_arrived(void *unused)
{
    (void)unused;
    return arrived == (uint64_t)HOLDERS * HOLD_BYTES;
}

static void
test_more_bytes_than_the_buffers_hold(void **unused)
{
    rill_server *holding_server;
    size_t one = 1;

    (void)unused;
    answered = lost = held = 0;
    arrived = 0;
    holding = true;
    serve_protocol(&holder, NULL);
    holding_server = server;
    for (size_t i = 0; i < HOLDERS; i++)
        call_server(&sender, NULL);
    harness_until(&h, all_hold, NULL);
    /* Somebody else is served all the same. */
    serve_protocol(&echo, NULL);
    call_server(&caller, NULL);
    harness_until(&h, all_are_lost, &one);
    assert_int_equal(answered, 1);
    holding = false;
    for (size_t i = 0; i < HOLDERS; i++)
        rill_transport_resume_reading(holders[i]);
    harness_until(&h, all_arrived, NULL);
    harness_until(&h, nobody_is_left, NULL);
    rill_server_close(holding_server);
}

/* ---- streams of all sizes ---- */

#define STREAM_BYTES ((uint64_t)24 << 20)

typedef struct flow {
    endpoint in; /* The server's side, by an acceptor of one. */
    dice d;
    uint64_t sent;
    uint8_t chunk[200 * 1024];
    rill_transport *out;
    bool blocked;
} flow;

static flow f;

static size_t
next_size(void)
{
    uint32_t kind = dice_below(&f.d, 4);

    if (f.sent >> 20 & 2) /* Stretches of large messages, and of small ones. */
        return 20000 + dice_below(&f.d, 180000);
    return kind == 0 ? 1 + dice_below(&f.d, 20000) : 1 + dice_below(&f.d, 200);
}

static void
send_more(void *unused)
{
    (void)unused;
    for (int i = 0; i < 8 && !f.blocked && f.sent < STREAM_BYTES; i++) {
        size_t len = next_size();

        if (len > STREAM_BYTES - f.sent)
            len = (size_t)(STREAM_BYTES - f.sent);
        stream_fill(f.chunk, f.sent, len);
        f.sent += len;
        assert_true(rill_transport_write(f.out, f.chunk, len) >= 0);
    }
    if (f.sent == STREAM_BYTES)
        rill_transport_write_eof(f.out);
    else if (!f.blocked)
        assert_code(rill_call_soon(h.loop, send_more, NULL, NULL), 0);
}

static void
flow_made(endpoint *e)
{
    f.out = e->t;
    send_more(NULL);
}

static void
flow_pause(endpoint *e)
{
    (void)e;
    f.blocked = true;
}

static void
flow_resume(endpoint *e)
{
    (void)e;
    f.blocked = false;
    if (f.sent < STREAM_BYTES)
        assert_code(rill_call_soon(h.loop, send_more, NULL, NULL), 0);
}

static void
read_on(void *arg)
{
    endpoint *e = arg;

    if (!e->lost)
        rill_transport_resume_reading(e->t);
}

static void
flow_data(endpoint *e, rill_slice in)
{
    (void)in;
    if (dice_below(&f.d, 50) != 0)
        return;
    rill_transport_pause_reading(e->t);
    assert_code(rill_call_later(h.loop, dice_below(&f.d, 300) * RILL_US, read_on, e, NULL), 0);
}

static void
test_streams_of_all_sizes(void **unused)
{
    acceptor a;
    endpoint out;

    (void)unused;
    memset(&f, 0, sizeof(f));
    f.d = dice_new();
    acceptor_init(&a, &h);
    a.like.on_data = flow_data;
    serve_protocol(&acceptor_protocol, &a);
    endpoint_init(&out, &h);
    out.on_made = flow_made;
    out.on_pause = flow_pause;
    out.on_resume = flow_resume;
    call_server(&endpoint_protocol, &out);
    acceptor_await(&a, 1);
    harness_until(&h, endpoint_has_eof, &a.ends[0]);
    assert_int_equal(a.ends[0].received, STREAM_BYTES);
    assert_int_equal(a.ends[0].hash, stream_hash(STREAM_BYTES));
    harness_until(&h, endpoint_is_lost, &out);
}

/* ---- another thread ---- */

static void
stop_at_data(endpoint *e, rill_slice in)
{
    (void)in;
    if (e->received % 5 == 0)
        rill_loop_stop(e->h->loop);
}

static void *
run_elsewhere(void *unused)
{
    int rc = rill_loop_run_until(h.loop, rill_loop_time(h.loop) + HARNESS_PATIENCE);

    (void)unused;
    return (void *)(intptr_t)rc;
}

static void
run_in_a_thread(void)
{
    pthread_t thread;
    void *rc;

    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_code((int)(intptr_t)rc, 0);
}

/* One exchange on each of several threads, and the end on this one. */
static void
test_the_loop_changes_its_thread(void **unused)
{
    acceptor a;
    endpoint e;

    (void)unused;
    acceptor_init(&a, &h);
    a.like.echo = true;
    serve_protocol(&acceptor_protocol, &a);
    endpoint_init(&e, &h);
    e.on_data = stop_at_data;
    call_server(&endpoint_protocol, &e);
    acceptor_await(&a, 1);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_code(rill_transport_write(e.t, "hello", 5), 1);
        run_in_a_thread();
        assert_int_equal(e.received, i * 5);
        assert_code(rill_transport_write(e.t, "again", 5), 1);
        e.received -= 5; /* Both directions of the move: there, and back here. */
        endpoint_await(&e, i * 5);
    }
    rill_transport_close(e.t);
    harness_until(&h, endpoint_is_lost, &e);
    harness_until(&h, acceptor_is_empty, &a);
}

/* ---- refused ---- */

static int
refuse_io_uring(int code)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = 4, .filter = rules };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static size_t lines;

static void
count_lines(rill_log_level level, const char *text, void *arg)
{
    (void)arg;
    if (level == RILL_LOG_DEBUG && strstr(text, "refuses") != NULL && strstr(text, "uring") != NULL)
        lines++;
}

static int
make_loops_where_it_is_refused(void *code)
{
    rill_loop_options either =
        RILL_LOOP_OPTIONS(.driver = "uring,epoll", .log = count_lines, .log_level = RILL_LOG_DEBUG);
    rill_loop *loop = NULL;

    CHILD_CHECK(refuse_io_uring((int)(intptr_t)code) == 0);
    CHILD_CHECK(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "uring"), &loop) == RILL_ENODRIVER);
    CHILD_CHECK(loop == NULL);
    CHILD_CHECK(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "auto"), &loop) == 0);
    CHILD_CHECK(strcmp(rill_loop_driver(loop), "epoll") == 0);
    CHILD_CHECK(rill_loop_free(loop) == 0);
    CHILD_CHECK(rill_loop_new(&either, &loop) == 0);
    CHILD_CHECK(strcmp(rill_loop_driver(loop), "epoll") == 0);
    CHILD_CHECK(lines == 1);
    CHILD_CHECK(rill_loop_free(loop) == 0);
    return 0;
}

static void
test_a_kernel_that_refuses(void **unused)
{
    static const int codes[] = { EPERM, ENOSYS, EACCES, EINVAL };

    (void)unused;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        child_result result;

        child_run(make_loops_where_it_is_refused, (void *)(intptr_t)codes[i], &result);
        if (result.exit_code != 0)
            print_error("%s", result.text);
        assert_int_equal(result.exit_code, 0);
    }
}

/* Two listen on one socket, as during a restart. The first one closes its server, and then, before
 * its loop turns again, a client comes: the kernel may not wake the first one for it. */
static void
test_a_closed_listener_takes_no_wake(void **unused)
{
    static acceptor old_clients, new_clients;
    static endpoint client;
    static harness other;
    rill_server *new_server;
    int fd;

    (void)unused;
    acceptor_init(&old_clients, &h);
    serve_protocol(&acceptor_protocol, &old_clients);
    harness_settle(&h); /* It waits for connections now, and is the first to be woken. */
    harness_open(&other);
    acceptor_init(&new_clients, &other);
    fd = dup(rill_server_fd(server, 0));
    assert_code(rill_create_server(other.loop, &RILL_SERVER_OPTIONS(.fds = &fd, .fds_count = 1),
                    &acceptor_protocol, &new_clients, &new_server),
        0);
    harness_settle(&other);

    rill_server_close(server);
    endpoint_init(&client, &other);
    assert_code(rill_create_connection_start(other.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &client, NULL, NULL, NULL),
        0);
    assert_true(harness_within(&other, 5 * RILL_S, acceptor_has_one, &new_clients));
    assert_int_equal(old_clients.made, 0);
    harness_until(&other, endpoint_is_made, &client);
    rill_transport_close(client.t);
    harness_until(&other, acceptor_is_empty, &new_clients);
    rill_server_close(new_server);
    harness_close(&other);
    harness_close(&h);
    harness_open(&h); /* For the teardown. */
    serve_protocol(&acceptor_protocol, &old_clients);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_more_requests_than_the_queue_holds),
        CASE(test_more_bytes_than_the_buffers_hold),
        CASE(test_streams_of_all_sizes),
        CASE(test_the_loop_changes_its_thread),
        CASE(test_a_closed_listener_takes_no_wake),
        cmocka_unit_test(test_a_kernel_that_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
