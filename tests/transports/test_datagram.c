/*
 * Datagram endpoints: asyncio's behaviours (create_datagram_endpoint, sendto, DatagramProtocol), on
 * UDP of both families, connected and not.
 */
#include "dgrams.h"

#include <errno.h>

static harness h;
static dend a, b, c;

static int
setup(void **unused)
{
    (void)unused;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (h.loop == NULL) /* The case has ended it. */
        return 0;
    dend_close(&a);
    dend_close(&b);
    dend_close(&c);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

static int
make(const rill_datagram_options *options)
{
    return rill_create_datagram_endpoint(h.loop, options, &dend_protocol, &c, NULL);
}

/* ---- sending and receiving ---- */

static void
test_a_datagram_arrives_with_its_sender(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    assert_code(dend_send(&a, "hello", &b.addr), 1);
    dend_await(&b, 1);
    dend_expect(&b, 0, "hello");
    assert_true(rill_addr_equal(&dend_at(&b, 0)->from, &a.addr));
    assert_false(dend_at(&b, 0)->truncated);
    assert_false(dend_at(&b, 0)->has_to);
    assert_int_equal(dend_at(&b, 0)->tos, -1);
}

static void
test_an_echo_comes_back_over_ipv6(void **unused)
{
    (void)unused;
    dgrams_need_ipv6(&h);
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "::1"));
    b.echo = true;
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "::1"));
    assert_code(dend_send(&a, "six", &b.addr), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "six");
    assert_true(rill_addr_equal(&dend_at(&a, 0)->from, &b.addr));
}

static void
test_localhost_is_tried_in_both_families(void **unused)
{
    (void)unused;
    dgrams_need_ipv6(&h);
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "localhost"));
    assert_int_equal(rill_addr_family(&a.addr), RILL_FAMILY_IPV6);
    dend_open(&b, &h,
        &RILL_DATAGRAM_OPTIONS(.local_host = "localhost", .host = "127.0.0.1", .port = 9,
            .unconnected = true));
    assert_int_equal(rill_addr_family(&b.addr), RILL_FAMILY_IPV4);
}

static void
test_an_empty_datagram_is_sent_and_received_as_empty(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    b.echo = true;
    dend_open4(&b, &h);
    assert_code(rill_transport_sendto(a.t, NULL, 0, &b.addr), 1);
    assert_code(dend_send(&a, "x", &b.addr), 1);
    dend_await(&a, 2);
    assert_string_equal(a.tape, "made 0 1");
    assert_string_equal(b.tape, "made 0 1");
}

static void
test_a_connected_endpoint_needs_no_address(void **unused)
{
    rill_addr peer;

    (void)unused;
    b.echo = true;
    dend_open4(&b, &h);
    dend_connect(&a, &h, &b.addr);
    assert_true(dend_stats(&a).connected);
    assert_code(rill_transport_peername(a.t, &peer), 0);
    assert_true(rill_addr_equal(&peer, &b.addr));
    assert_code(dend_send(&a, "one", NULL), 1);
    assert_code(dend_send(&a, "two", &b.addr), 1); /* Its own one may be named. */
    dend_await(&a, 2);
    dend_expect(&a, 1, "two");
}

static void
test_a_connected_endpoint_sends_nowhere_else(void **unused)
{
    (void)unused;
    dend_open4(&b, &h);
    dend_open4(&c, &h);
    dend_connect(&a, &h, &b.addr);
    assert_code(dend_send(&a, "no", &c.addr), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "remote address only");
    harness_settle(&h);
    assert_int_equal(c.received, 0);
    assert_int_equal(a.errors, 0);
}

static void
test_a_connected_endpoint_hears_nobody_else(void **unused)
{
    (void)unused;
    dend_open4(&b, &h);
    dend_open4(&c, &h);
    dend_connect(&a, &h, &b.addr);
    assert_code(dend_send(&c, "stranger", &a.addr), 1);
    assert_code(dend_send(&b, "friend", &a.addr), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "friend");
}

static void
test_a_remembered_address_is_the_default_and_the_socket_is_not_connected(void **unused)
{
    (void)unused;
    dend_open4(&b, &h);
    dend_open4(&c, &h);
    dend_open(&a, &h,
        &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .addr = &b.addr, .unconnected = true));
    assert_false(dend_stats(&a).connected);
    assert_code(dend_send(&a, "default", NULL), 1);
    dend_await(&b, 1);
    assert_code(dend_send(&a, "no", &c.addr), RILL_EINVAL);
    assert_code(dend_send(&c, "heard", &a.addr), 1);
    dend_await(&a, 1);
}

static void
test_with_allow_broadcast_the_socket_is_not_connected(void **unused)
{
    int value = 0;

    (void)unused;
    dend_open4(&b, &h);
    dend_open(&a, &h,
        &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .addr = &b.addr, .broadcast = true));
    assert_false(dend_stats(&a).connected);
    assert_code(rill_transport_get_option(a.t, RILL_OPTION_BROADCAST, &value), 0);
    assert_int_equal(value, 1);
}

static void
test_without_a_destination_nothing_is_sent(void **unused)
{
    rill_addr six;

    (void)unused;
    dend_open4(&a, &h);
    assert_code(rill_addr_parse("::1", 9, &six), 0);
    assert_code(dend_send(&a, "where", NULL), -EDESTADDRREQ);
    assert_code(dend_send(&a, "where", &six), -EAFNOSUPPORT);
    assert_int_equal(dend_stats(&a).sent, 0);
}

static void
test_a_family_alone_makes_an_unbound_socket(void **unused)
{
    (void)unused;
    dend_open4(&b, &h);
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.family = RILL_FAMILY_IPV4));
    assert_int_equal(rill_addr_port(&a.addr), 0);
    assert_code(dend_send(&a, "now it has a port", &b.addr), 1);
    dend_await(&b, 1);
    assert_int_not_equal(rill_addr_port(&dend_at(&b, 0)->from), 0);
}

static void
test_what_is_longer_than_receive_max_is_flagged_truncated(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .receive_max = 4));
    assert_code(dend_send(&a, "12345678", &b.addr), 1);
    assert_code(dend_send(&a, "1234", &b.addr), 1);
    dend_await(&b, 2);
    dend_expect(&b, 0, "1234");
    assert_true(dend_at(&b, 0)->truncated);
    assert_false(dend_at(&b, 1)->truncated);
    assert_int_equal(dend_stats(&b).truncated, 1);
}

static void
test_the_longest_datagram_arrives_whole(void **unused)
{
    static uint8_t longest[65507];

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    assert_code(rill_transport_sendto(a.t, longest, sizeof(longest), &b.addr), 1);
    dend_await(&b, 1);
    assert_int_equal(dend_at(&b, 0)->len, sizeof(longest));
    assert_false(dend_at(&b, 0)->truncated);
}

/* ---- errors ---- */

static void
test_one_that_is_too_long_is_an_error_and_ends_nothing(void **unused)
{
    static uint8_t data[70000];

    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    assert_code(rill_transport_sendto(a.t, data, sizeof(data), &b.addr), -EMSGSIZE);
    assert_code(rill_transport_sendto(a.t, data, 65508, &b.addr), 1); /* Only the kernel knows. */
    assert_int_equal(a.errors, 0);
    dend_await_errors(&a, 1);
    assert_code(a.last_error, -EMSGSIZE);
    assert_code(dend_send(&a, "fits", &b.addr), 1);
    dend_await(&b, 1);
    assert_int_equal(dend_stats(&a).errors, 1);
    assert_int_equal(rill_transport_write_buffer_size(a.t), 0);
}

static void
gone_address(rill_addr *ret_addr)
{
    dend gone = { 0 };

    dend_open4(&gone, &h);
    *ret_addr = gone.addr;
    dend_close(&gone);
}

static void
test_a_refusal_reaches_error_received_and_is_survived(void **unused)
{
    rill_addr gone;

    (void)unused;
    gone_address(&gone);
    dend_connect(&a, &h, &gone);
    assert_code(dend_send(&a, "anybody?", NULL), 1);
    dend_await_errors(&a, 1);
    assert_code(a.last_error, -ECONNREFUSED);
    assert_false(rill_transport_is_closing(a.t));
    assert_code(dend_send(&a, "again", NULL), 1); /* Once for each. */
    dend_await_errors(&a, 2);
    assert_string_equal(a.tape, "made error(ECONNREFUSED) error(ECONNREFUSED)");
}

static void
test_sending_to_a_closed_port_does_not_stop_receiving(void **unused)
{
    rill_addr gone;

    (void)unused;
    gone_address(&gone);
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    assert_code(dend_send(&a, "nobody", &gone), 1);
    harness_settle(&h);
    assert_code(dend_send(&b, "still here", &a.addr), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "still here");
}

/* The kernel tells it to the next send in place of sending. */
static void
test_the_answer_to_one_does_not_stop_the_next(void **unused)
{
    rill_addr gone;

    (void)unused;
    gone_address(&gone);
    dend_connect(&a, &h, &gone);
    rill_transport_pause_reading(a.t);
    assert_code(dend_send(&a, "nobody", NULL), 1);
    harness_settle(&h);
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_addr = &gone));
    assert_int_equal(a.errors, 0);
    assert_code(dend_send(&a, "somebody", NULL), 1);
    dend_await(&b, 1);
    dend_expect(&b, 0, "somebody");
    dend_await_errors(&a, 1);
    assert_string_equal(a.tape, "made error(ECONNREFUSED)");
}

static void
close_it(dend *d, int code)
{
    (void)code;
    rill_transport_close(d->t);
}

static void
test_error_received_may_close(void **unused)
{
    rill_addr gone;

    (void)unused;
    gone_address(&gone);
    a.on_error = close_it;
    dend_connect(&a, &h, &gone);
    assert_code(dend_send(&a, "anybody?", NULL), 1);
    harness_until(&h, dend_is_lost, &a);
    assert_string_equal(a.tape, "made error(ECONNREFUSED) lost(0)");
}

#define RESENDS 1000

static void
send_again(dend *d, int code)
{
    static uint8_t too_long[65535];
    const bool *timer_ran = d->user;

    assert_code(code, -EMSGSIZE);
    if (!*timer_ran && d->errors < RESENDS)
        (void)rill_transport_sendto(d->t, too_long, sizeof(too_long), NULL);
}

static void
set_flag(void *flag)
{
    *(bool *)flag = true;
}

static void
test_error_received_that_sends_again_lets_timers_run(void **unused)
{
    bool timer_ran = false;

    (void)unused;
    dend_open4(&b, &h);
    dend_connect(&a, &h, &b.addr);
    a.user = &timer_ran;
    a.on_error = send_again;
    assert_code(rill_call_later(h.loop, 0, set_flag, &timer_ran, NULL), 0);
    send_again(&a, -EMSGSIZE);
    harness_until(&h, flag_is_set, &timer_ran);
    harness_settle(&h);
    assert_true(a.errors > 0);
    assert_true(a.errors < RESENDS);
}

/* ---- making ---- */

static void
test_addresses_of_two_families_are_refused(void **unused)
{
    (void)unused;
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_host = "::1", .host = "127.0.0.1", .port = 9)),
        RILL_EADDRESS);
    expect_last_error(&h, RILL_EADDRESS, "of one family");
}

static void
test_no_address_and_no_family_is_refused(void **unused)
{
    (void)unused;
    assert_code(make(&RILL_DATAGRAM_OPTIONS()), RILL_EINVAL);
    expect_last_error(&h, RILL_EINVAL, "at least a family");
    assert_code(
        make(&RILL_DATAGRAM_OPTIONS(.host = "127.0.0.1", .port = 9, .path = "/x")), RILL_EINVAL);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_port = 9)), RILL_EINVAL);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.host = "127.0.0.1")), RILL_EINVAL);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.host = "example.org", .port = 9)), RILL_EADDRESS);
}

static void
test_options_of_streams_are_refused(void **unused)
{
    const rill_transport_options idle = RILL_TRANSPORT_OPTIONS(.idle_timeout = RILL_S);

    (void)unused;
    assert_code(
        make(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .transport = &idle)), RILL_EINVAL);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .receive_max = 2000000)),
        RILL_EINVAL);
}

static void
test_a_port_in_use_is_told_with_its_address(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_addr = &a.addr)), -EADDRINUSE);
    expect_last_error(&h, -EADDRINUSE, "127.0.0.1:");
}

static void
test_reuse_port_lets_two_endpoints_share_a_port(void **unused)
{
    (void)unused;
    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .reuse_port = true));
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_addr = &a.addr, .reuse_port = true));
    assert_true(rill_addr_equal(&a.addr, &b.addr));
}

static int
no_hook(int fd, void *arg)
{
    assert_true(on_driver("sim") ? fd == -1 : fd >= 0);
    *(bool *)arg = true;
    return -EPERM;
}

static void
test_the_socket_hook_runs_before_bind_and_may_refuse(void **unused)
{
    bool called = false;

    (void)unused;
    assert_code(make(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .socket_hook = no_hook,
                    .socket_hook_arg = &called)),
        -EPERM);
    assert_true(called);
}

/* ---- the end ---- */

static void
test_close_before_made_calls_nothing(void **unused)
{
    rill_transport *t;

    (void)unused;
    assert_code(rill_create_datagram_endpoint(h.loop,
                    &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"), &dend_protocol, &c, &t),
        0);
    rill_transport_close(t);
    harness_settle(&h);
    assert_false(c.made);
}

static void
test_abort_tells_its_code_and_sending_is_refused_before(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    rill_transport_abort(a.t);
    assert_false(a.lost);
    assert_code(dend_send(&a, "late", &a.addr), RILL_ECLOSED);
    harness_until(&h, dend_is_lost, &a);
    assert_string_equal(a.tape, "made lost(RILL_EABORTED)");
}

static void
test_an_endpoint_left_over_ends_with_the_loop(void **unused)
{
    (void)unused;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    assert_code(dend_send(&a, "on its way", &b.addr), 1);
    harness_close_with(&h, 2);
    assert_code(a.lost_code, RILL_ELOOPFREED);
    assert_code(b.lost_code, RILL_ELOOPFREED);
}

/* ---- what a transport has, and what only streams have ---- */

static void
never_sent(void *arg, int rc, uint64_t sent)
{
    (void)arg;
    (void)rc;
    (void)sent;
    fail_msg("a file was sent");
}

static void
test_calls_of_streams_are_not_supported(void **unused)
{
    static const rill_protocol stream = RILL_PROTOCOL();
    size_t len = 0;
    char text[200];

    (void)unused;
    dend_open4(&a, &h);
    assert_code(rill_transport_write(a.t, "x", 1), RILL_ENOTSUP);
    expect_last_error(&h, RILL_ENOTSUP, "rill_transport_sendto");
    assert_code(rill_transport_write_eof(a.t), RILL_ENOTSUP);
    assert_code(
        rill_transport_sendfile_start(a.t, 0, 0, 0, true, never_sent, NULL, NULL), RILL_ENOTSUP);
    assert_false(rill_transport_can_write_eof(a.t));
    assert_code(rill_transport_set_protocol(a.t, &stream, NULL), RILL_ENOTSUP);
    assert_code(rill_transport_detach(a.t, NULL, 0, &len), RILL_ENOTSUP);
    assert_code(rill_transport_set_option(a.t, RILL_OPTION_NODELAY, 1), RILL_ENOTSUP);
    assert_contains(rill_transport_describe(a.t, text, sizeof(text)), "<udp 127.0.0.1:");
}

typedef struct second {
    size_t received;
    bool lost;
} second;

static second *newest;

static void
second_datagram(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)t;
    (void)in;
    (void)arrival;
    newest = self;
    newest->received++;
}

static void
second_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t;
    (void)why;
    assert_ptr_equal(self, newest);
    a.t = NULL;
    a.lost = true;
}

static void
exchange(dend *d, rill_slice in, const rill_arrival *arrival)
{
    static const rill_datagram_protocol protocol =
        RILL_DATAGRAM_PROTOCOL(.state_size = sizeof(second), .datagram_received = second_datagram,
            .connection_lost = second_lost);

    (void)in;
    (void)arrival;
    assert_code(rill_transport_set_datagram_protocol(d->t, &protocol, NULL), 0);
}

static bool
second_has_two(void *unused)
{
    (void)unused;
    return newest != NULL && newest->received == 2;
}

static void
test_a_protocol_may_be_exchanged_at_any_datagram(void **unused)
{
    (void)unused;
    newest = NULL;
    a.on_datagram = exchange;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    for (int i = 0; i < 3; i++)
        assert_code(dend_send(&b, "x", &a.addr), 1);
    harness_until(&h, second_has_two, NULL);
    assert_string_equal(a.tape, "made 1");
    rill_transport_close(a.t);
    harness_until(&h, dend_is_lost, &a);
}

/* ---- pausing ---- */

static void
pause_after_two(dend *d, rill_slice in, const rill_arrival *arrival)
{
    (void)in;
    (void)arrival;
    if (d->received == 2)
        rill_transport_pause_reading(d->t);
}

static void
test_a_pause_in_the_middle_loses_and_reorders_nothing(void **unused)
{
    static const char *const texts[] = { "1", "22", "333", "4444", "55555", "666666" };

    (void)unused;
    b.on_datagram = pause_after_two;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    for (size_t i = 0; i < 6; i++)
        assert_code(dend_send(&a, texts[i], &b.addr), 1);
    dend_await(&b, 2);
    harness_settle(&h);
    assert_int_equal(b.received, 2);
    assert_int_equal(rill_transport_is_reading(b.t), 0);
    rill_transport_resume_reading(b.t);
    assert_int_equal(b.received, 2); /* Never inside the call. */
    dend_await(&b, 6);
    for (size_t i = 0; i < 6; i++) {
        dend_expect(&b, i, texts[i]);
        assert_true(rill_addr_equal(&dend_at(&b, i)->from, &a.addr));
    }
}

static void
close_after_two(dend *d, rill_slice in, const rill_arrival *arrival)
{
    (void)in;
    (void)arrival;
    if (d->received == 2)
        rill_transport_close(d->t);
}

static void
test_a_close_in_the_middle_delivers_nothing_more(void **unused)
{
    (void)unused;
    b.on_datagram = close_after_two;
    dend_open4(&a, &h);
    dend_open4(&b, &h);
    for (int i = 0; i < 6; i++)
        assert_code(dend_send(&a, "x", &b.addr), 1);
    harness_until(&h, dend_is_lost, &b);
    assert_string_equal(b.tape, "made 1 1 lost(0)");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_datagram_arrives_with_its_sender),
        CASE(test_an_echo_comes_back_over_ipv6),
        CASE(test_localhost_is_tried_in_both_families),
        CASE(test_an_empty_datagram_is_sent_and_received_as_empty),
        CASE(test_a_connected_endpoint_needs_no_address),
        CASE(test_a_connected_endpoint_sends_nowhere_else),
        CASE(test_a_connected_endpoint_hears_nobody_else),
        CASE(test_a_remembered_address_is_the_default_and_the_socket_is_not_connected),
        CASE(test_with_allow_broadcast_the_socket_is_not_connected),
        CASE(test_without_a_destination_nothing_is_sent),
        CASE(test_a_family_alone_makes_an_unbound_socket),
        CASE(test_what_is_longer_than_receive_max_is_flagged_truncated),
        CASE(test_the_longest_datagram_arrives_whole),
        CASE(test_one_that_is_too_long_is_an_error_and_ends_nothing),
        CASE(test_a_refusal_reaches_error_received_and_is_survived),
        CASE(test_sending_to_a_closed_port_does_not_stop_receiving),
        CASE(test_the_answer_to_one_does_not_stop_the_next),
        CASE(test_error_received_may_close),
        CASE(test_error_received_that_sends_again_lets_timers_run),
        CASE(test_addresses_of_two_families_are_refused),
        CASE(test_no_address_and_no_family_is_refused),
        CASE(test_options_of_streams_are_refused),
        CASE(test_a_port_in_use_is_told_with_its_address),
        CASE(test_reuse_port_lets_two_endpoints_share_a_port),
        CASE(test_the_socket_hook_runs_before_bind_and_may_refuse),
        CASE(test_close_before_made_calls_nothing),
        CASE(test_abort_tells_its_code_and_sending_is_refused_before),
        CASE(test_an_endpoint_left_over_ends_with_the_loop),
        CASE(test_calls_of_streams_are_not_supported),
        CASE(test_a_protocol_may_be_exchanged_at_any_datagram),
        CASE(test_a_pause_in_the_middle_loses_and_reorders_nothing),
        CASE(test_a_close_in_the_middle_delivers_nothing_more),
    };

    return run_cases(tests);
}
