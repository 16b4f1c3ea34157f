/*
 * Socket addresses: parsing, printing, comparing. Values only; any thread.
 *
 * A zone by name needs the kernel's table of interfaces: that one look-up is core/driver/zone.c's.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/addr.h"
#include "core/internal.h"

static_assert(sizeof(struct sockaddr_storage) <= sizeof(((rill_addr *)0)->storage),
    "an address holds every sockaddr");

/* By value: the storage's declared type is not a sockaddr. */
static struct sockaddr_in
load_in(const rill_addr *addr)
{
    struct sockaddr_in in;

    memcpy(&in, addr->storage, sizeof(in));
    return in;
}

static struct sockaddr_in6
load_in6(const rill_addr *addr)
{
    struct sockaddr_in6 in6;

    memcpy(&in6, addr->storage, sizeof(in6));
    return in6;
}

static int
parse_zone(const char *zone, uint32_t *ret_index)
{
    char *end;
    unsigned long number;

    if (*zone >= '0' && *zone <= '9') {
        number = strtoul(zone, &end, 10);
        if (*end != '\0' || number > UINT32_MAX)
            return RILL_EADDRESS;
        *ret_index = (uint32_t)number;
        return 0;
    }
    *ret_index = rill__zone_index(zone);
    return *ret_index != 0 ? 0 : RILL_EADDRESS;
}

static int
parse_ipv6(const char *host, int port, rill_addr *ret_addr)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    char text[INET6_ADDRSTRLEN];
    const char *zone = strchr(host, '%');
    size_t len = zone != NULL ? (size_t)(zone - host) : strlen(host);

    if (len >= sizeof(text))
        return RILL_EADDRESS;
    memcpy(text, host, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
        return RILL_EADDRESS;
    if (zone != NULL && parse_zone(zone + 1, &in6.sin6_scope_id) < 0)
        return RILL_EADDRESS;
    rill__addr_set(ret_addr, &in6, sizeof(in6));
    return 0;
}

int
rill_addr_parse(const char *host, int port, rill_addr *ret_addr)
{
    struct sockaddr_in in = { .sin_family = AF_INET };

    if (host == NULL || port < 0 || port > 65535 || ret_addr == NULL)
        return RILL_EINVAL;
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return parse_ipv6(host, port, ret_addr);
    in.sin_port = htons((uint16_t)port);
    rill__addr_set(ret_addr, &in, sizeof(in));
    return 0;
}

int
rill_addr_unix(const char *path, rill_addr *ret_addr)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = path != NULL ? strlen(path) : 0;
    bool abstract = len > 0 && path[0] == '@';

    RILL__REQUIRE(ret_addr != NULL);
    if (len == 0 || len >= sizeof(un.sun_path) || (abstract && len == 1))
        return RILL_EINVAL;
    memcpy(un.sun_path, path, len);
    if (abstract)
        un.sun_path[0] = '\0';
    rill__addr_set(
        ret_addr, &un, offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    return 0;
}

void
rill__addr_set(rill_addr *addr, const void *sockaddr, size_t len)
{
    assert(len <= sizeof(addr->storage));
    memset(addr, 0, sizeof(*addr));
    memcpy(addr->storage, sockaddr, len);
    addr->len = (uint32_t)len;
}

const void *
rill__addr_sockaddr(const rill_addr *addr)
{
    return addr->storage;
}

void
rill__addr_set_port(rill_addr *addr, int port)
{
    struct sockaddr_in in = load_in(addr);
    struct sockaddr_in6 in6 = load_in6(addr);

    in.sin_port = htons((uint16_t)port);
    in6.sin6_port = htons((uint16_t)port);
    if (rill_addr_family(addr) == RILL_FAMILY_IPV4)
        memcpy(addr->storage, &in, sizeof(in));
    else if (rill_addr_family(addr) == RILL_FAMILY_IPV6)
        memcpy(addr->storage, &in6, sizeof(in6));
}

rill_family
rill_addr_family(const rill_addr *addr)
{
    sa_family_t family;

    if (addr->len == 0)
        return RILL_FAMILY_ANY;
    memcpy(&family, addr->storage, sizeof(family));
    switch (family) {
    case AF_INET:
        return RILL_FAMILY_IPV4;
    case AF_INET6:
        return RILL_FAMILY_IPV6;
    case AF_UNIX:
        return RILL_FAMILY_UNIX;
    default:
        return RILL_FAMILY_ANY;
    }
}

int
rill_addr_port(const rill_addr *addr)
{
    if (rill_addr_family(addr) == RILL_FAMILY_IPV4)
        return ntohs(load_in(addr).sin_port);
    if (rill_addr_family(addr) == RILL_FAMILY_IPV6)
        return ntohs(load_in6(addr).sin6_port);
    return -1;
}

/* The host's bytes: what connections of one peer have in common. An IPv4 address mapped into IPv6
 * is the IPv4 one. */
size_t
rill__addr_host(const rill_addr *addr, uint8_t ret_bytes[16])
{
    struct sockaddr_in in = load_in(addr);
    struct sockaddr_in6 in6 = load_in6(addr);

    switch (rill_addr_family(addr)) {
    case RILL_FAMILY_IPV4:
        memcpy(ret_bytes, &in.sin_addr, 4);
        return 4;
    case RILL_FAMILY_IPV6:
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            memcpy(ret_bytes, (const uint8_t *)&in6.sin6_addr + 12, 4);
            return 4;
        }
        memcpy(ret_bytes, &in6.sin6_addr, 16);
        return 16;
    case RILL_FAMILY_UNIX:
    case RILL_FAMILY_ANY:
        break;
    }
    return 0;
}

bool
rill_addr_equal(const rill_addr *a, const rill_addr *b)
{
    struct sockaddr_in6 a6 = load_in6(a);
    struct sockaddr_in6 b6 = load_in6(b);

    if (rill_addr_family(a) != rill_addr_family(b))
        return false;
    /* Not the flow label, which is no part of where it is. */
    if (rill_addr_family(a) == RILL_FAMILY_IPV6)
        return a6.sin6_port == b6.sin6_port && a6.sin6_scope_id == b6.sin6_scope_id &&
               memcmp(&a6.sin6_addr, &b6.sin6_addr, sizeof(a6.sin6_addr)) == 0;
    return a->len == b->len && memcmp(a->storage, b->storage, a->len) == 0;
}

static void
format_ipv6(const rill_addr *addr, char *buf, size_t size)
{
    struct sockaddr_in6 in6 = load_in6(addr);
    char text[INET6_ADDRSTRLEN];

    (void)inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text)); /* The buffer is big enough. */
    if (in6.sin6_scope_id != 0)
        snprintf(buf, size, "[%s%%%u]:%u", text, in6.sin6_scope_id, ntohs(in6.sin6_port));
    else
        snprintf(buf, size, "[%s]:%u", text, ntohs(in6.sin6_port));
}

static void
format_unix(const rill_addr *addr, char *buf, size_t size)
{
    const char *path = (const char *)addr->storage + offsetof(struct sockaddr_un, sun_path);
    size_t len = addr->len - offsetof(struct sockaddr_un, sun_path);

    if (addr->len <= offsetof(struct sockaddr_un, sun_path))
        snprintf(buf, size, "unix:");
    else if (path[0] == '\0')
        snprintf(buf, size, "unix:@%.*s", (int)len - 1, path + 1);
    else
        snprintf(buf, size, "unix:%.*s", (int)len, path);
}

char *
rill_addr_format(const rill_addr *addr, char *buf, size_t size)
{
    struct sockaddr_in in = load_in(addr);
    char text[INET_ADDRSTRLEN];

    switch (rill_addr_family(addr)) {
    case RILL_FAMILY_IPV4:
        (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
        snprintf(buf, size, "%s:%u", text, ntohs(in.sin_port));
        break;
    case RILL_FAMILY_IPV6:
        format_ipv6(addr, buf, size);
        break;
    case RILL_FAMILY_UNIX:
        format_unix(addr, buf, size);
        break;
    case RILL_FAMILY_ANY:
        snprintf(buf, size, "none");
        break;
    }
    return buf;
}
