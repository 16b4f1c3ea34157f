/*
 * Multicast, and what the kernel tells of a datagram: where it was sent to, the interface, ECN and
 * type of service. On this machine's loopback interface; on the simulator on two hosts' network.
 */
#include "dgrams.h"

#include <errno.h>

#define GROUP4 "239.77.1.2"
#define GROUP6 "ff02::7712"

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
    dend_close(&a);
    dend_close(&b);
    dend_close(&c);
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

/* The index of the loopback interface, on the kernel and on the simulator alike. */
#define LO 1

static void
open_member(dend *d, const rill_addr *at, const char *group)
{
    rill_datagram_options options =
        RILL_DATAGRAM_OPTIONS(.local_host = "", .reuse_port = true, .details = true);

    options.family = strchr(group, ':') != NULL ? RILL_FAMILY_IPV6 : RILL_FAMILY_IPV4;
    if (at != NULL) {
        options.local_host = NULL;
        options.local_addr = at;
    }
    dend_open(d, &h, &options);
    assert_code(rill_transport_set_option(d->t, RILL_OPTION_MULTICAST_INTERFACE, LO), 0);
}

static void
group_address(const char *group, const dend *member, rill_addr *ret_addr)
{
    assert_code(rill_addr_parse(group, rill_addr_port(&member->addr), ret_addr), 0);
}

static void
all_members_get_it(const char *group, const char *interface)
{
    rill_addr to;

    open_member(&a, NULL, group);
    open_member(&b, &a.addr, group);
    open_member(&c, NULL, group);
    assert_code(rill_transport_join(a.t, group, NULL, interface), 0);
    assert_code(rill_transport_join(b.t, group, NULL, interface), 0);
    assert_code(rill_transport_join(b.t, group, NULL, interface), -EADDRINUSE);
    group_address(group, &a, &to);
    assert_code(dend_send(&c, "to all", &to), 1);
    dend_await(&a, 1);
    dend_await(&b, 1);
    dend_expect(&b, 0, "to all");
    assert_code(rill_transport_leave(b.t, group, NULL, interface), 0);
    assert_code(rill_transport_leave(b.t, group, NULL, interface), -EADDRNOTAVAIL);
    assert_code(dend_send(&c, "to one", &to), 1);
    dend_await(&a, 2);
    harness_settle(&h);
}

static void
test_all_members_get_what_is_sent_to_a_group(void **unused)
{
    (void)unused;
    all_members_get_it(GROUP4, "lo");
    assert_true(dend_at(&a, 0)->has_to);
    assert_int_equal(rill_addr_family(&dend_at(&a, 0)->to), RILL_FAMILY_IPV4);
}

static void
test_groups_of_ipv6_work_too(void **unused)
{
    (void)unused;
    all_members_get_it(GROUP6, "lo");
}

static void
test_membership_of_ipv6_begins_and_ends(void **unused)
{
    (void)unused;
    dgrams_need_ipv6(&h);
    open_member(&a, NULL, GROUP6);
    assert_code(rill_transport_join(a.t, GROUP6, NULL, "lo"), 0);
    assert_code(rill_transport_join(a.t, GROUP6, NULL, "lo"), -EADDRINUSE);
    assert_code(rill_transport_leave(a.t, GROUP6, NULL, "lo"), 0);
    assert_code(rill_transport_leave(a.t, GROUP6, NULL, "lo"), -EADDRNOTAVAIL);
}

static void
test_without_loop_this_machine_gets_nothing(void **unused)
{
    rill_addr to;

    (void)unused;
    open_member(&a, NULL, GROUP4);
    open_member(&c, NULL, GROUP4);
    assert_code(rill_transport_join(a.t, GROUP4, NULL, "lo"), 0);
    group_address(GROUP4, &a, &to);
    assert_code(rill_transport_set_option(c.t, RILL_OPTION_MULTICAST_LOOP, 0), 0);
    assert_code(dend_send(&c, "not for us", &to), 1);
    assert_code(rill_transport_set_option(c.t, RILL_OPTION_MULTICAST_LOOP, 1), 0);
    assert_code(dend_send(&c, "for us", &to), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "for us");
}

static void
test_a_source_may_be_named(void **unused)
{
    rill_addr to;

    (void)unused;
    open_member(&a, NULL, GROUP4);
    dend_open(&c, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"));
    assert_code(rill_transport_set_option(c.t, RILL_OPTION_MULTICAST_INTERFACE, LO), 0);
    assert_code(rill_transport_join(a.t, GROUP4, "127.0.0.99", "lo"), 0);
    group_address(GROUP4, &a, &to);
    assert_code(dend_send(&c, "not from there", &to), 1);
    harness_settle(&h);
    assert_code(rill_transport_join(a.t, GROUP4, "127.0.0.1", "lo"), 0);
    assert_code(dend_send(&c, "from here", &to), 1);
    dend_await(&a, 1);
    dend_expect(&a, 0, "from here");
}

static void
test_options_are_what_was_set(void **unused)
{
    static const struct {
        rill_option option;
        int value;
    } wanted[] = {
        { RILL_OPTION_TTL, 7 },
        { RILL_OPTION_TOS, 0x48 },
        { RILL_OPTION_MULTICAST_TTL, 3 },
        { RILL_OPTION_MULTICAST_LOOP, 0 },
        { RILL_OPTION_MULTICAST_INTERFACE, LO },
        { RILL_OPTION_BROADCAST, 1 },
    };
    dend *both[] = { &a, &b };

    (void)unused;
    dgrams_need_ipv6(&h);
    dend_open4(&a, &h);
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_host = "::1"));
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++) {
            int value = -1;

            assert_code(
                rill_transport_set_option(both[i]->t, wanted[k].option, wanted[k].value), 0);
            assert_code(rill_transport_get_option(both[i]->t, wanted[k].option, &value), 0);
            assert_int_equal(value, wanted[k].value);
        }
    }
}

static void
details_are_told(const char *host)
{
    char text[RILL_ADDR_TEXT];

    dend_open(&a, &h, &RILL_DATAGRAM_OPTIONS(.local_host = host));
    dend_open(&b, &h, &RILL_DATAGRAM_OPTIONS(.local_host = host, .details = true));
    assert_code(rill_transport_set_option(a.t, RILL_OPTION_TOS, 0x2 | 0x48), 0); /* ECT(0) */
    assert_code(dend_send(&a, "x", &b.addr), 1);
    dend_await(&b, 1);
    assert_true(dend_at(&b, 0)->has_to);
    assert_contains(rill_addr_format(&dend_at(&b, 0)->to, text, sizeof(text)), host);
    assert_int_equal(dend_at(&b, 0)->interface, LO);
    assert_int_equal(dend_at(&b, 0)->tos & 3, 2);
    assert_int_equal(dend_at(&b, 0)->tos, 0x4a);
}

static void
test_destination_interface_and_tos_are_told(void **unused)
{
    (void)unused;
    details_are_told("127.0.0.1");
}

static void
test_destination_interface_and_traffic_class_are_told(void **unused)
{
    (void)unused;
    dgrams_need_ipv6(&h);
    details_are_told("::1");
}

static void
test_a_broadcast_needs_leave(void **unused)
{
    rill_addr all;

    (void)unused;
    dend_open4(&a, &h);
    assert_code(rill_addr_parse("255.255.255.255", 9, &all), 0);
    assert_code(dend_send(&a, "everybody", &all), 1);
    dend_await_errors(&a, 1);
    assert_true(a.last_error == -EACCES || a.last_error == -ENETUNREACH);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_all_members_get_what_is_sent_to_a_group),
        CASE(test_membership_of_ipv6_begins_and_ends),
        /* Linux has no route for them on the loopback interface. */
        CASE_ON("sim", test_groups_of_ipv6_work_too),
        /* On the loopback interface all comes back. */
        CASE_ON("sim", test_without_loop_this_machine_gets_nothing),
        CASE(test_a_source_may_be_named),
        CASE(test_options_are_what_was_set),
        CASE(test_destination_interface_and_tos_are_told),
        CASE(test_destination_interface_and_traffic_class_are_told),
        CASE(test_a_broadcast_needs_leave),
    };

    return run_cases(tests);
}
