/*
 * Addresses: texts to sockaddr and back, and what is no address.
 */
/* drivers: none */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static const char *
format(const rill_addr *addr)
{
    static char text[RILL_ADDR_TEXT];

    return rill_addr_format(addr, text, sizeof(text));
}

static void
round_trip(const char *host, int port, const char *text, rill_family family)
{
    rill_addr addr;

    assert_code(rill_addr_parse(host, port, &addr), 0);
    assert_string_equal(format(&addr), text);
    assert_int_equal(rill_addr_family(&addr), family);
    assert_int_equal(rill_addr_port(&addr), port);
}

static void
test_good_addresses(void **unused)
{
    (void)unused;
    round_trip("127.0.0.1", 80, "127.0.0.1:80", RILL_FAMILY_IPV4);
    round_trip("0.0.0.0", 0, "0.0.0.0:0", RILL_FAMILY_IPV4);
    round_trip("255.255.255.255", 65535, "255.255.255.255:65535", RILL_FAMILY_IPV4);
    round_trip("::1", 443, "[::1]:443", RILL_FAMILY_IPV6);
    round_trip("::", 1, "[::]:1", RILL_FAMILY_IPV6);
    round_trip("2001:db8::00ff", 5, "[2001:db8::ff]:5", RILL_FAMILY_IPV6);
    round_trip("::ffff:1.2.3.4", 5, "[::ffff:1.2.3.4]:5", RILL_FAMILY_IPV6);
    round_trip("FE80::1", 5, "[fe80::1]:5", RILL_FAMILY_IPV6);
}

static void
test_the_kernel_reads_them(void **unused)
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    rill_addr addr;

    (void)unused;
    assert_code(rill_addr_parse("10.1.2.3", 8080, &addr), 0);
    assert_int_equal(addr.len, sizeof(four));
    memcpy(&four, addr.storage, sizeof(four));
    assert_int_equal(four.sin_family, AF_INET);
    assert_int_equal(ntohs(four.sin_port), 8080);
    assert_int_equal(ntohl(four.sin_addr.s_addr), 0x0a010203);

    assert_code(rill_addr_parse("::1%lo", 81, &addr), 0);
    assert_int_equal(addr.len, sizeof(six));
    memcpy(&six, addr.storage, sizeof(six));
    assert_int_equal(six.sin6_family, AF_INET6);
    assert_int_equal(ntohs(six.sin6_port), 81);
    assert_int_equal(six.sin6_scope_id, 1); /* The loopback interface is the first one. */
    assert_int_equal(six.sin6_flowinfo, 0);
    assert_memory_equal(&six.sin6_addr, &in6addr_loopback, 16);
}

static void
test_zones(void **unused)
{
    rill_addr by_name, by_number, other;

    (void)unused;
    assert_code(rill_addr_parse("fe80::1%lo", 5, &by_name), 0);
    assert_code(rill_addr_parse("fe80::1%1", 5, &by_number), 0);
    assert_code(rill_addr_parse("fe80::1%2", 5, &other), 0);
    assert_true(rill_addr_equal(&by_name, &by_number));
    assert_false(rill_addr_equal(&by_name, &other));
    assert_string_equal(format(&other), "[fe80::1%2]:5");
    assert_code(rill_addr_parse("fe80::1%no-such-interface", 5, &other), RILL_EADDRESS);
    assert_code(rill_addr_parse("fe80::1%", 5, &other), RILL_EADDRESS);
    assert_code(rill_addr_parse("fe80::1%0x1", 5, &other), RILL_EADDRESS);
    assert_code(rill_addr_parse("fe80::1%99999999999", 5, &other), RILL_EADDRESS);
    assert_code(rill_addr_parse("127.0.0.1%lo", 5, &other), RILL_EADDRESS);
}

static void
test_no_addresses(void **unused)
{
    static const char *const texts[] = { "", " ", "localhost", "*", "example.com", "1.2.3",
        "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "0x7f.0.0.1", "127.1",
        "2130706433", ":::", "1::2::3", "[::1]", "::1:80:", "::g", "12345::", "1.2.3.4:80", "::1\n",
        "+1.2.3.4", "-1.2.3.4", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9" };
    rill_addr addr, before;

    (void)unused;
    memset(&addr, 0x5a, sizeof(addr));
    before = addr;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (rill_addr_parse(texts[i], 80, &addr) != RILL_EADDRESS)
            fail_msg("\"%s\" is taken for an address", texts[i]);
    }
    assert_code(rill_addr_parse(NULL, 80, &addr), RILL_EINVAL);
    assert_code(rill_addr_parse("127.0.0.1", -1, &addr), RILL_EINVAL);
    assert_code(rill_addr_parse("127.0.0.1", 65536, &addr), RILL_EINVAL);
    assert_memory_equal(&addr, &before, sizeof(addr));
}

static void
test_long_texts(void **unused)
{
    char text[5000];
    rill_addr addr;

    (void)unused;
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_code(rill_addr_parse(text, 80, &addr), RILL_EADDRESS);
    memset(text, ':', sizeof(text) - 1);
    assert_code(rill_addr_parse(text, 80, &addr), RILL_EADDRESS);
    memcpy(text, "fe80::1%", 8);
    memset(text + 8, 'x', sizeof(text) - 9);
    assert_code(rill_addr_parse(text, 80, &addr), RILL_EADDRESS);
}

static void
test_unix_addresses(void **unused)
{
    struct sockaddr_un sun;
    char path[200];
    rill_addr addr;

    (void)unused;
    assert_code(rill_addr_unix("/run/a.sock", &addr), 0);
    assert_string_equal(format(&addr), "unix:/run/a.sock");
    assert_int_equal(rill_addr_family(&addr), RILL_FAMILY_UNIX);
    assert_int_equal(rill_addr_port(&addr), -1);
    memcpy(&sun, addr.storage, addr.len);
    assert_int_equal(sun.sun_family, AF_UNIX);
    assert_string_equal(sun.sun_path, "/run/a.sock");

    assert_code(rill_addr_unix("@name", &addr), 0);
    assert_string_equal(format(&addr), "unix:@name");
    memcpy(&sun, addr.storage, addr.len);
    assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_memory_equal(sun.sun_path, "\0name", 5);

    memset(path, 'p', sizeof(path));
    path[107] = '\0';
    assert_code(rill_addr_unix(path, &addr), 0);
    assert_int_equal(strlen(format(&addr)), 107 + 5);
    path[107] = 'p';
    path[108] = '\0';
    assert_code(rill_addr_unix(path, &addr), RILL_EINVAL);
    assert_code(rill_addr_unix("", &addr), RILL_EINVAL);
    assert_code(rill_addr_unix(NULL, &addr), RILL_EINVAL);
}

static void
test_no_address_at_all(void **unused)
{
    struct sockaddr_un unnamed = { .sun_family = AF_UNIX };
    rill_addr addr = { 0 };

    (void)unused;
    assert_string_equal(format(&addr), "none");
    assert_int_equal(rill_addr_family(&addr), RILL_FAMILY_ANY);
    assert_int_equal(rill_addr_port(&addr), -1);
    addr.len = sizeof(sa_family_t);
    memcpy(addr.storage, &unnamed,
        sizeof(unnamed) < sizeof(addr.storage) ? sizeof(unnamed) : sizeof(addr.storage));
    assert_string_equal(format(&addr), "unix:");
}

static void
test_format_cuts(void **unused)
{
    rill_addr addr;
    char text[16];

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 8080, &addr), 0);
    for (size_t size = 1; size <= sizeof(text); size++) {
        memset(text, 'x', sizeof(text));
        assert_ptr_equal(rill_addr_format(&addr, text, size), text);
        assert_memory_equal(text, "127.0.0.1:8080", size - 1 < 14 ? size - 1 : 14);
        assert_int_equal(strlen(text), size - 1 < 14 ? size - 1 : 14);
        for (size_t i = size; i < sizeof(text); i++)
            assert_int_equal(text[i], 'x');
    }
    text[0] = 'x';
    assert_ptr_equal(rill_addr_format(&addr, text, 0), text);
    assert_int_equal(text[0], 'x');
}

static void
test_equality(void **unused)
{
    rill_addr a, b;

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 80, &a), 0);
    assert_code(rill_addr_parse("127.0.0.1", 81, &b), 0);
    assert_false(rill_addr_equal(&a, &b));
    assert_code(rill_addr_parse("127.0.0.2", 80, &b), 0);
    assert_false(rill_addr_equal(&a, &b));
    memset(&b, 0xff, sizeof(b)); /* What lies behind the address does not count. */
    assert_code(rill_addr_parse("127.0.0.1", 80, &b), 0);
    assert_true(rill_addr_equal(&a, &b));
    assert_code(rill_addr_parse("::ffff:127.0.0.1", 80, &b), 0);
    assert_false(rill_addr_equal(&a, &b));
    assert_code(rill_addr_unix("@a", &a), 0);
    assert_code(rill_addr_unix("@ab", &b), 0);
    assert_false(rill_addr_equal(&a, &b));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses),
        cmocka_unit_test(test_the_kernel_reads_them),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_unix_addresses),
        cmocka_unit_test(test_no_address_at_all),
        cmocka_unit_test(test_format_cuts),
        cmocka_unit_test(test_equality),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
