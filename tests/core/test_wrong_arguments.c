/* timeout: 60 */
/*
 * Every wrong argument of every exported function: the answer is the code that the header names,
 * no result is written, and nothing is made or begun: no byte, descriptor, timer or callback.
 *
 * Each call leaves its function's name. In the end every name of tools/symbols.txt must have been
 * there, or be in tests/support/wrong_reasons.c, as no argument of it can be answered.
 */
#include "wrong.h"

#include <rill/conformance.h>
#include <rill/transport_ops.h>

#include <stdlib.h>
#include <unistd.h>

static endpoint a, b;
static acceptor accepted;
static rill_server *server;

/* ---- what must not be called ---- */

static void
never_done(void *arg, int rc)
{
    (void)rc;
    never(arg);
}

static void
never_drained(void *arg, size_t aborted)
{
    (void)aborted;
    never(arg);
}

static void
never_sent(void *arg, int rc, uint64_t sent)
{
    (void)rc;
    (void)sent;
    never(arg);
}

static void
never_connected(void *arg, rill_transport *t, const rill_reason *why)
{
    (void)t;
    (void)why;
    never(arg);
}

static size_t
lone_get_buffer(rill_transport *t, void *self, size_t hint, void **ret_buf)
{
    (void)t;
    (void)self;
    (void)hint;
    (void)ret_buf;
    return 0;
}

static const rill_protocol no_size = { .size = 0 };
static const rill_protocol other_size = { .size = sizeof(rill_protocol) + 8 };
static const rill_protocol half = RILL_PROTOCOL(.get_buffer = lone_get_buffer);
static const rill_protocol *const bad_protocols[] = { NULL, &no_size, &other_size, &half };

static const rill_transport_options bad_transports[] = {
    { .size = 0 },
    RILL_TRANSPORT_OPTIONS(.write_high = 10, .write_low = 20),
    RILL_TRANSPORT_OPTIONS(.write_high = 100, .write_cap = 99),
    RILL_TRANSPORT_OPTIONS(.idle_timeout = -2),
    RILL_TRANSPORT_OPTIONS(.stall_timeout = -2),
    RILL_TRANSPORT_OPTIONS(.close_timeout = -2),
    RILL_TRANSPORT_OPTIONS(.keepalive_idle = -1),
    RILL_TRANSPORT_OPTIONS(.keepalive_interval = -1),
    RILL_TRANSPORT_OPTIONS(.keepalive_count = -1),
    RILL_TRANSPORT_OPTIONS(.send_buffer = -1),
    RILL_TRANSPORT_OPTIONS(.recv_buffer = -1),
    RILL_TRANSPORT_OPTIONS(.descriptors = 65537),
};

/* ---- values ---- */

static void
try_addresses(void)
{
    char path[120];

    memset(path, 'x', sizeof(path));
    path[108] = '\0';
    WRONG(RILL_EINVAL, rill_addr_parse(NULL, 80, &out.addr));
    WRONG(RILL_EINVAL, rill_addr_parse("127.0.0.1", 80, NULL));
    WRONG(RILL_EINVAL, rill_addr_parse("127.0.0.1", -1, &out.addr));
    WRONG(RILL_EINVAL, rill_addr_parse("::1", 65536, &out.addr));
    WRONG(RILL_EADDRESS, rill_addr_parse("", 80, &out.addr));
    WRONG(RILL_EADDRESS, rill_addr_parse("example.org", 80, &out.addr));
    WRONG(RILL_EADDRESS, rill_addr_parse("fe80::1%no such", 80, &out.addr));
    WRONG(RILL_EINVAL, rill_addr_unix(NULL, &out.addr));
    WRONG(RILL_EINVAL, rill_addr_unix("", &out.addr));
    WRONG(RILL_EINVAL, rill_addr_unix("@", &out.addr));
    WRONG(RILL_EINVAL, rill_addr_unix(path, &out.addr));
    WRONG(RILL_EINVAL, rill_addr_unix("/tmp/x", NULL));
    SAYS(strcmp(rill_errname(-9998), "UNKNOWN") == 0);
    SAYS(rill_strerror(-9998) != NULL);
}

/* ---- the loop ---- */

static void
try_making_a_loop(void)
{
    const rill_allocator none = { .ctx = NULL };

    WRONG(RILL_EINVAL, rill_loop_new(NULL, NULL));
    WRONG(RILL_EINVAL, rill_loop_new(unsized_options, &out.loop));
    WRONG(RILL_EINVAL, rill_loop_new(unknown_options, &out.loop));
    WRONG(RILL_EINVAL, rill_loop_new(&RILL_LOOP_OPTIONS(.recv_buffer_bytes = 4095), &out.loop));
    WRONG(RILL_EINVAL, rill_loop_new(&RILL_LOOP_OPTIONS(.allocator = &none), &out.loop));
    WRONG(RILL_EINVAL, rill_loop_new(&RILL_LOOP_OPTIONS(.slow_callback = -1), &out.loop));
    WRONG(
        RILL_EINVAL, rill_loop_new(&RILL_LOOP_OPTIONS(.log_level = (rill_log_level)9), &out.loop));
    WRONG(RILL_EINVAL, rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "epoll", .sim = sim), &out.loop));
    WRONG(RILL_EINVAL,
        rill_loop_new(
            &RILL_LOOP_OPTIONS(.driver = "sim", .sim = sim, .sim_host = "nobody"), &out.loop));
    WRONG(RILL_ENODRIVER, rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "kqueue"), &out.loop));
    SAYS(rill_loop_free(NULL) == 0);
}

static void
try_running(void)
{
    WRONG(RILL_EINVAL, rill_loop_run(NULL));
    WRONG(RILL_EINVAL, rill_loop_run_until(NULL, 0));
    WRONG(RILL_EINVAL, rill_loop_step(NULL, 0));
    WRONG(RILL_EINVAL, rill_loop_backend_fd(NULL));
    IGNORED((out.loop_stats.size = 0, rill_loop_get_stats(h.loop, &out.loop_stats),
        memset(&out.loop_stats.size, UNTOUCHED, sizeof(size_t))));
}

static void
run_inside(void *arg)
{
    *(bool *)arg = true;
    WRONG(RILL_EBUSY, rill_loop_run(h.loop));
    WRONG(RILL_EBUSY, rill_loop_run_until(h.loop, 0));
    WRONG(RILL_EBUSY, rill_loop_step(h.loop, 0));
    WRONG(RILL_EBUSY,
        rill_conformance(
            h.loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = (rill_conformance_make)(void *)never)));
}

static void
try_running_inside(void)
{
    bool ran = false;

    assert_code(rill_call_soon(h.loop, run_inside, &ran, NULL), 0);
    harness_settle(&h);
    assert_true(ran);
}

static void
try_scheduling(void)
{
    rill_id ended;

    assert_code(rill_call_later(h.loop, RILL_S, never, NULL, &ended), 0);
    assert_true(rill_cancel(h.loop, ended));
    harness_settle(&h);
    WRONG(RILL_EINVAL, rill_call_soon(NULL, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_soon(h.loop, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_at(NULL, 1, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_at(h.loop, 1, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_at(h.loop, -1, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_later(NULL, 1, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_later(h.loop, 1, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_every(NULL, RILL_S, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_every(h.loop, RILL_S, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_every(h.loop, RILL_US - 1, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_every(h.loop, RILL_NEVER, never, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_call_soon_threadsafe(NULL, never, NULL));
    WRONG(RILL_EINVAL, rill_call_soon_threadsafe(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, rill_timer_rearm(NULL, ended, 1));
    WRONG(RILL_EINVAL, rill_timer_rearm(h.loop, ended, -1));
    WRONG(RILL_ESTATE, rill_timer_rearm(h.loop, ended, 1));
    WRONG(RILL_ESTATE, rill_timer_rearm(h.loop, 0, 1));
    WRONG(RILL_EINVAL, rill_timer_when(NULL, ended, &out.when));
    WRONG(RILL_EINVAL, rill_timer_when(h.loop, ended, NULL));
    WRONG(RILL_ESTATE, rill_timer_when(h.loop, ended, &out.when));
    WRONG(RILL_ESTATE, rill_timer_when(h.loop, UINT64_MAX, &out.when));
    SAYS(rill_timer_missed(h.loop, ended) == 0);
    SAYS(!rill_cancel(h.loop, 0));
    SAYS(!rill_cancel(h.loop, ended));
    SAYS(!rill_cancel(h.loop, UINT64_MAX));
}

static void
try_slices(void)
{
    rill_slice text = { .data = (const uint8_t *)"text", .len = 4 };

    WRONG(RILL_EINVAL, rill_slice_hold(NULL, text, &out.slice));
    WRONG(RILL_EINVAL, rill_slice_hold(h.loop, text, NULL));
    WRONG(RILL_EINVAL, rill_slice_hold(h.loop, (rill_slice){ .len = 4 }, &out.slice));
    IGNORED(rill_slice_release((rill_slice){ 0 }));
    IGNORED(rill_slice_release(text));
}

/* ---- making connections ---- */

static int
connect_with(const rill_connect_options *options, const rill_protocol *protocol)
{
    return rill_create_connection_start(
        h.loop, options, protocol, &a, never_connected, NULL, &out.id);
}

#define CONNECT(...) connect_with(&RILL_CONNECT_OPTIONS(__VA_ARGS__), &endpoint_protocol)

static void
try_connecting(void)
{
    const rill_connect_options good = RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = 9);
    const rill_addr none = { .len = 0 };
    rill_addr addr;

    assert_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    WRONG(RILL_EINVAL, rill_create_connection_start(
                           NULL, &good, &endpoint_protocol, &a, never_connected, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_create_connection_start(
                           h.loop, NULL, &endpoint_protocol, &a, never_connected, NULL, &out.id));
    WRONG(RILL_EINVAL, connect_with(unsized_options, &endpoint_protocol));
    WRONG(RILL_EINVAL, connect_with(unknown_options, &endpoint_protocol));
    for (EACH(i, bad_protocols))
        WRONG(RILL_EINVAL, connect_with(&good, bad_protocols[i]));
    for (EACH(i, bad_transports))
        WRONG(RILL_EINVAL, CONNECT(.addr = &addr, .transport = &bad_transports[i]));
    WRONG(RILL_EINVAL, CONNECT(.port = 9));
    WRONG(RILL_EINVAL, CONNECT(.addr = &none));
    WRONG(RILL_EINVAL, CONNECT(.addr = &addr, .path = "/x"));
    WRONG(RILL_EINVAL, CONNECT(.host = "127.0.0.1", .port = 9, .path = "/x"));
    WRONG(RILL_EINVAL, CONNECT(.host = "127.0.0.1"));
    WRONG(RILL_EINVAL, CONNECT(.host = "127.0.0.1", .port = -1));
    WRONG(RILL_EINVAL, CONNECT(.host = "127.0.0.1", .port = 65536));
    WRONG(RILL_EADDRESS, CONNECT(.host = "example.org", .port = 9));
    WRONG(RILL_EADDRESS, CONNECT(.host = "127.0.0.1", .port = 9, .family = RILL_FAMILY_IPV6));
    WRONG(RILL_EINVAL, CONNECT(.path = ""));
    WRONG(RILL_EINVAL, CONNECT(.addr = &addr, .timeout = -2));
    WRONG(RILL_EINVAL, CONNECT(.addr = &addr, .local_port = 65536));
    WRONG(RILL_EADDRESS, CONNECT(.addr = &addr, .local_host = "localhost"));
}

static int
adopt(int fd, const rill_transport_options *options, const rill_protocol *protocol)
{
    return rill_connect_accepted_socket(h.loop, fd, options, protocol, &a, &out.a);
}

static void
try_adopting(void)
{
    int no_stream = on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL;

    WRONG(RILL_EINVAL, rill_connect_accepted_socket(NULL, 0, NULL, &endpoint_protocol, &a, &out.a));
    WRONG(
        no_stream, rill_connect_accepted_socket(h.loop, -1, NULL, &endpoint_protocol, &a, &out.a));
    WRONG(no_stream, adopt(100000, NULL, &endpoint_protocol));
    /* Not the simulated sockets of these numbers either. */
    for (int fd = 0; fd < 64 && on_driver("sim"); fd++)
        WRONG(RILL_ENOTSUP, adopt(fd, NULL, &endpoint_protocol));
    for (EACH(i, bad_protocols))
        WRONG(RILL_EINVAL, adopt(0, NULL, bad_protocols[i]));
    for (EACH(i, bad_transports))
        WRONG(RILL_EINVAL, adopt(0, &bad_transports[i], &endpoint_protocol));
}

static int
make_pair(const rill_transport_options *options, const rill_protocol *one, const rill_protocol *two)
{
    return rill_create_pair(h.loop, options, one, &a, two, &b, &out.a, &out.b);
}

static void
try_pairs(void)
{
    WRONG(RILL_EINVAL, rill_create_pair(NULL, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b,
                           &out.a, &out.b));
    for (EACH(i, bad_protocols)) {
        WRONG(RILL_EINVAL, make_pair(NULL, &endpoint_protocol, bad_protocols[i]));
        WRONG(RILL_EINVAL, make_pair(NULL, bad_protocols[i], &endpoint_protocol));
    }
    for (EACH(i, bad_transports))
        WRONG(RILL_EINVAL, make_pair(&bad_transports[i], &endpoint_protocol, &endpoint_protocol));
}

/* ---- servers ---- */

static int
serve_with(const rill_server_options *options, const rill_protocol *protocol)
{
    return rill_create_server(h.loop, options, protocol, &accepted, &out.server);
}

#define SERVE(...) serve_with(&RILL_SERVER_OPTIONS(__VA_ARGS__), &acceptor_protocol)

static void
try_serving(void)
{
    static const char *const no_hosts[] = { NULL };
    static const char *const bad_host[] = { "127.0.0.1", "example.org", NULL };
    static const int no_stream[] = { -1 };
    const rill_addr none = { .len = 0 };
    const rill_server_options good = RILL_SERVER_OPTIONS(.host = "127.0.0.1");

    WRONG(RILL_EINVAL, rill_create_server(NULL, &good, &acceptor_protocol, NULL, &out.server));
    WRONG(RILL_EINVAL, rill_create_server(h.loop, NULL, &acceptor_protocol, NULL, &out.server));
    WRONG(RILL_EINVAL, serve_with(unsized_options, &acceptor_protocol));
    WRONG(RILL_EINVAL, serve_with(unknown_options, &acceptor_protocol));
    for (EACH(i, bad_protocols))
        WRONG(RILL_EINVAL, serve_with(&good, bad_protocols[i]));
    for (EACH(i, bad_transports))
        WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .transport = &bad_transports[i]));
    WRONG(RILL_EINVAL, SERVE(.port = 0));
    WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .path = "/x"));
    WRONG(RILL_EINVAL, SERVE(.hosts = no_hosts));
    WRONG(RILL_EADDRESS, SERVE(.hosts = bad_host));
    WRONG(RILL_EADDRESS, SERVE(.host = "127.0.0.1", .family = RILL_FAMILY_IPV6));
    WRONG(RILL_EINVAL, SERVE(.addr = &none));
    WRONG(RILL_EINVAL, SERVE(.path = ""));
    WRONG(RILL_EINVAL, SERVE(.fds = no_stream));
    WRONG(on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL, SERVE(.fds = no_stream, .fds_count = 1));
    WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .port = -1));
    WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .port = 65536));
    WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .backlog = -1));
    WRONG(RILL_EINVAL, SERVE(.host = "127.0.0.1", .accepts_per_turn = -1));
    WRONG(RILL_EINVAL, SERVE(.path = "@x", .unix_mode = -1));
    WRONG(RILL_EINVAL, SERVE(.path = "@x", .unix_mode = 010000));
}

static void
try_a_server(void)
{
    WRONG(RILL_EINVAL, rill_server_start_serving(NULL));
    WRONG(RILL_EINVAL, rill_server_adopt(NULL, 0));
    WRONG(on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL, rill_server_adopt(server, -1));
    WRONG(RILL_EINVAL, rill_server_drain_start(NULL, RILL_NEVER, never_drained, NULL));
    WRONG(RILL_EINVAL, rill_server_drain_start(server, RILL_NEVER, NULL, NULL));
    WRONG(RILL_EINVAL, rill_server_drain_start(server, -2, never_drained, NULL));
    WRONG(RILL_EINVAL, rill_server_sockname(NULL, 0, &out.addr));
    WRONG(RILL_EINVAL, rill_server_sockname(server, 0, NULL));
    WRONG(RILL_EINVAL, rill_server_sockname(server, 1, &out.addr));
    WRONG(RILL_EINVAL, rill_server_sockname(server, SIZE_MAX, &out.addr));
    WRONG(RILL_EINVAL, rill_server_fd(NULL, 0));
    WRONG(RILL_EINVAL, rill_server_fd(server, 1));
    IGNORED((out.server_stats.size = 0, rill_server_get_stats(server, &out.server_stats),
        memset(&out.server_stats.size, UNTOUCHED, sizeof(size_t))));
}

/* Alive by its connection. */
static void
try_a_closed_server(void)
{
    WRONG(RILL_ECLOSED, rill_server_start_serving(server));
    WRONG(RILL_ECLOSED, rill_server_adopt(server, 0));
    WRONG(RILL_EINVAL, rill_server_sockname(server, 0, &out.addr));
    WRONG(RILL_EINVAL, rill_server_fd(server, 0));
}

/* ---- transports ---- */

static void
try_writing(void)
{
    static rill_iovec many[1025];
    const rill_iovec no_data = { .data = NULL, .len = 1 };

    WRONG(RILL_EINVAL, rill_transport_write(NULL, "x", 1));
    WRONG(RILL_EINVAL, rill_transport_write(a.t, NULL, 1));
    WRONG(RILL_EINVAL, rill_transport_writev(NULL, many, 1));
    WRONG(RILL_EINVAL, rill_transport_writev(a.t, NULL, 1));
    WRONG(RILL_EINVAL, rill_transport_writev(a.t, &no_data, 1));
    WRONG(RILL_EINVAL, rill_transport_writev(a.t, many, 1025));
    WRONG(RILL_EINVAL, rill_transport_write_ref(NULL, "x", 1, never, NULL));
    WRONG(RILL_EINVAL, rill_transport_write_ref(a.t, NULL, 1, never, NULL));
    WRONG(RILL_EINVAL, rill_transport_write_ref(a.t, "x", 1, NULL, NULL));
    WRONG(RILL_EINVAL, rill_transport_write_eof(NULL));
    WRONG(RILL_EINVAL, rill_transport_drain_start(NULL, 0, RILL_S, never_done, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_transport_drain_start(a.t, 0, RILL_S, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_transport_drain_start(a.t, 0, 0, never_done, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_transport_drain_start(a.t, 0, -2, never_done, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_transport_set_write_limits(NULL, 2, 1));
    WRONG(RILL_EINVAL, rill_transport_set_write_limits(a.t, 1, 2));
    WRONG(RILL_EINVAL, rill_transport_set_write_limits(a.t, SIZE_MAX, 1));
    WRONG(RILL_EINVAL, rill_transport_set_write_cap(NULL, SIZE_MAX));
    WRONG(RILL_EINVAL, rill_transport_set_write_cap(a.t, 1));
}

static void
try_detaching(void)
{
    size_t len;

    WRONG(RILL_EINVAL, rill_transport_detach(NULL, NULL, 0, &len));
    WRONG(RILL_EINVAL, rill_transport_detach(a.t, NULL, 0, NULL));
    WRONG(RILL_EINVAL, rill_transport_detach(a.t, NULL, 1, &len));
}

static int
send_file(int fd, uint64_t offset, uint64_t count, rill_sendfile_fn done)
{
    return rill_transport_sendfile_start(a.t, fd, offset, count, true, done, NULL, &out.id);
}

static void
try_sending_files(void)
{
    FILE *file = tmpfile();
    int fd = fileno(file), ends[2];

    assert_int_equal(pipe(ends), 0);
    WRONG(RILL_EINVAL,
        rill_transport_sendfile_start(NULL, fd, 0, 0, true, never_sent, NULL, &out.id));
    WRONG(RILL_EINVAL, send_file(fd, 0, 0, NULL));
    WRONG(RILL_EINVAL, send_file(-1, 0, 0, never_sent));
    WRONG(RILL_EINVAL, send_file(ends[0], 0, 0, never_sent));
    WRONG(RILL_EINVAL, send_file(fd, UINT64_MAX, 0, never_sent));
    WRONG(RILL_EINVAL, send_file(fd, 0, UINT64_MAX, never_sent));
    close(ends[0]);
    close(ends[1]);
    fclose(file);
}

static void
try_protocols_and_timeouts(void)
{
    WRONG(RILL_EINVAL, rill_transport_set_protocol(NULL, &endpoint_protocol, &a));
    for (EACH(i, bad_protocols))
        WRONG(RILL_EINVAL, rill_transport_set_protocol(a.t, bad_protocols[i], &a));
    WRONG(RILL_EINVAL, rill_transport_set_timeout(NULL, RILL_TIMEOUT_IDLE, RILL_S));
    WRONG(RILL_EINVAL, rill_transport_set_timeout(a.t, RILL_TIMEOUT_IDLE, 0));
    WRONG(RILL_EINVAL, rill_transport_set_timeout(a.t, RILL_TIMEOUT_STALL, -2));
    WRONG(RILL_EINVAL, rill_transport_set_timeout(a.t, (rill_timeout)9, RILL_S));
    WRONG(RILL_EINVAL, rill_transport_set_option(NULL, RILL_OPTION_NODELAY, 1));
    WRONG(RILL_EINVAL, rill_transport_set_option(a.t, RILL_OPTION_NODELAY, 2));
    WRONG(RILL_EINVAL, rill_transport_set_option(a.t, RILL_OPTION_LINGER, -2));
    WRONG(RILL_EINVAL, rill_transport_set_option(a.t, RILL_OPTION_SEND_BUFFER, 0));
    WRONG(RILL_EINVAL, rill_transport_set_option(a.t, (rill_option)99, 1));
    WRONG(RILL_EINVAL, rill_transport_get_option(NULL, RILL_OPTION_NODELAY, &out.value));
    WRONG(RILL_EINVAL, rill_transport_get_option(a.t, RILL_OPTION_NODELAY, NULL));
    WRONG(RILL_EINVAL, rill_transport_get_option(a.t, (rill_option)99, &out.value));
}

static void
try_asking(void)
{
    rill_tcp_info without = { .size = 0 };

    WRONG(RILL_EINVAL, rill_transport_peername(NULL, &out.addr));
    WRONG(RILL_EINVAL, rill_transport_peername(a.t, NULL));
    WRONG(RILL_EINVAL, rill_transport_sockname(NULL, &out.addr));
    WRONG(RILL_EINVAL, rill_transport_sockname(a.t, NULL));
    WRONG(RILL_EINVAL, rill_transport_fd(NULL));
    WRONG(RILL_EINVAL, rill_transport_credentials(NULL, &out.credentials));
    WRONG(RILL_EINVAL, rill_transport_credentials(a.t, NULL));
    WRONG(RILL_ENOTSUP, rill_transport_credentials(a.t, &out.credentials));
    WRONG(RILL_EINVAL, rill_transport_tcp_info(NULL, &without));
    WRONG(RILL_EINVAL, rill_transport_tcp_info(a.t, NULL));
    WRONG(RILL_EINVAL, rill_transport_tcp_info(a.t, &without));
    SAYS(rill_transport_from_id(h.loop, 0) == NULL);
    SAYS(rill_transport_from_id(h.loop, UINT64_MAX) == NULL);
    IGNORED((out.transport_info.size = 0, rill_transport_get_info(a.t, &out.transport_info),
        memset(&out.transport_info.size, UNTOUCHED, sizeof(size_t))));
}

static void
tell_never(rill_transport *t, void *impl)
{
    (void)t;
    never(impl);
}

static void
write_never(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    (void)parts;
    (void)count;
    tell_never(t, impl);
}

static void
abort_never(rill_transport *t, void *impl, int code, const char *sentence)
{
    (void)code;
    (void)sentence;
    tell_never(t, impl);
}

static int
new_transport(const rill_transport_ops *ops, const rill_transport_options *options,
    const rill_protocol *protocol)
{
    return rill_transport_new(h.loop, ops, options, protocol, &a, "here", &out.a);
}

static void
try_transports_of_ones_own(void)
{
    const rill_transport_ops good = { .size = sizeof(good),
        .name = "own",
        .write = write_never,
        .close = tell_never,
        .abort = abort_never,
        .pause_reading = tell_never,
        .resume_reading = tell_never };
    rill_transport_ops bad[8];
    rill_protocol huge = endpoint_protocol;

    for (EACH(i, bad))
        bad[i] = good;
    bad[0].size = 0;
    bad[1].name = NULL;
    bad[2].write = NULL;
    bad[3].close = NULL;
    bad[4].abort = NULL;
    bad[5].pause_reading = NULL;
    bad[6].resume_reading = NULL;
    bad[7].impl_size = SIZE_MAX;
    huge.state_size = SIZE_MAX;
    WRONG(
        RILL_EINVAL, rill_transport_new(NULL, &good, NULL, &endpoint_protocol, &a, "here", &out.a));
    WRONG(
        RILL_EINVAL, rill_transport_new(h.loop, &good, NULL, &endpoint_protocol, &a, "here", NULL));
    WRONG(RILL_EINVAL, new_transport(NULL, NULL, &endpoint_protocol));
    WRONG(RILL_EINVAL, new_transport(&good, NULL, &huge));
    for (EACH(i, bad))
        WRONG(RILL_EINVAL, new_transport(&bad[i], NULL, &endpoint_protocol));
    for (EACH(i, bad_protocols))
        WRONG(RILL_EINVAL, new_transport(&good, NULL, bad_protocols[i]));
    for (EACH(i, bad_transports))
        WRONG(RILL_EINVAL, new_transport(&good, &bad_transports[i], &endpoint_protocol));
}

static void
try_a_closed_transport(void)
{
    WRONG(RILL_ECLOSED, rill_transport_write(a.t, "x", 1));
    WRONG(RILL_ECLOSED, rill_transport_writev(a.t, &(rill_iovec){ "x", 1 }, 1));
    WRONG(RILL_ECLOSED, rill_transport_write_ref(a.t, "x", 1, never, NULL));
    WRONG(RILL_ECLOSED, rill_transport_write_eof(a.t));
    WRONG(RILL_ECLOSED, send_file(0, 0, 0, never_sent));
}

static void
try_the_battery(void)
{
    const rill_conformance_make make = (rill_conformance_make)(void *)never;

    WRONG(RILL_EINVAL, rill_conformance(NULL, &RILL_CONFORMANCE_OPTIONS(.make_pair = make)));
    WRONG(RILL_EINVAL, rill_conformance(h.loop, NULL));
    WRONG(RILL_EINVAL, rill_conformance(h.loop, unsized_options));
    WRONG(RILL_EINVAL, rill_conformance(h.loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = NULL)));
    WRONG(RILL_EINVAL,
        rill_conformance(h.loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = make, .timeout = -1)));
    WRONG(RILL_EINVAL,
        rill_conformance(h.loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = make, .only = "none")));
    WRONG(RILL_EINVAL, rill_conformance(h.loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = make,
                                                    .file_data = "x", .file_len = 1)));
    SAYS(rill_conformance_name(SIZE_MAX) == NULL);
}

/* ---- all of them ---- */

static void
compare_with_the_exported(void)
{
    char symbol[100];
    size_t with_reason = 0, missing = 0;
    FILE *file = fopen(RILL_SYMBOLS, "r");

    assert_non_null(file);
    while (fgets(symbol, sizeof(symbol), file) != NULL) {
        symbol[strcspn(symbol, "\n")] = '\0';
        with_reason += wrong_has_reason(symbol);
        if (wrong_has_reason(symbol) == wrong_was_tried(symbol)) {
            print_error("%s: %s\n", symbol,
                wrong_was_tried(symbol) ? "tried, and among the reasons"
                                        : "not tried, for no reason");
            missing++;
        }
    }
    fclose(file);
    assert_int_equal(missing, 0);
    assert_int_equal(with_reason, wrong_reason_count());
}

static void
open_all(void)
{
    rill_sim_options options;
    rill_addr addr;

    harness_open(&h);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    acceptor_init(&accepted, &h);
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    connect_to(&h, &addr, &a);
    allocator_init(&world_memory);
    options = RILL_SIM_OPTIONS(.allocator = &world_memory.hook, .profile = RILL_SIM_CALM);
    assert_code(rill_sim_new(&options, &sim), 0);
    assert_code(rill_sim_host(sim, "other", NULL), 0);
    assert_code(rill_sim_dial(sim, NULL, "other:80", &peer), 0);
    was_called = false;
    wrong_forget();
}

static void
test_every_function(void **unused)
{
    (void)unused;
    open_all();
    try_addresses();
    try_making_a_loop();
    try_running();
    try_running_inside();
    try_scheduling();
    try_slices();
    try_connecting();
    try_adopting();
    try_pairs();
    try_serving();
    try_a_server();
    wrong_restart(server);
    try_writing();
    try_detaching();
    try_sending_files();
    try_protocols_and_timeouts();
    try_asking();
    try_transports_of_ones_own();
    try_the_battery();
    wrong_sim();
    wrong_sync();
    wrong_workers();
    wrong_tasks();
    wrong_threads();
    wrong_streams();
    wrong_sock(a.t);
    wrong_pipes();
    wrong_datagrams();
    wrong_processes();
    rill_server_close(server);
    harness_settle(&h);
    try_a_closed_server();
    rill_transport_close(a.t);
    try_a_closed_transport();
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_until(&h, endpoint_is_lost, &a);
    assert_false(was_called);
    harness_close(&h);
    assert_int_equal(rill_sim_free(sim), 0);
    allocator_check_empty(&world_memory);
    wrong_note("rill_transport_fail(");
    compare_with_the_exported();
}

static void
fail_with_success(endpoint *e)
{
    rill_transport_fail(e->t, 5, "five is no error");
}

/* A code that is none still ends the connection, with one that is. */
static void
test_a_failure_without_a_code(void **unused)
{
    (void)unused;
    harness_open(&h);
    endpoint_init(&a, &h);
    endpoint_init(&b, &h);
    a.on_made = fail_with_success;
    assert_code(
        rill_create_pair(h.loop, NULL, &endpoint_protocol, &a, &endpoint_protocol, &b, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_lost, &a);
    harness_until(&h, endpoint_is_lost, &b);
    assert_code(a.why.code, RILL_EABORTED);
    harness_close(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_function, wrong_workers_end),
        cmocka_unit_test(test_a_failure_without_a_code),
    };

    return run_cases(tests);
}
