/*
 * Socket addresses by value: IPv4, IPv6 with zones, Unix paths and abstract names.
 */
#ifndef RILL_ADDR_H
#define RILL_ADDR_H

#include <rill/base.h>

RILL_BEGIN

/* Longest text rill_addr_format writes, with its end. */
#define RILL_ADDR_TEXT 160

typedef enum rill_family {
    RILL_FAMILY_ANY, /* In options: whatever fits. In an address: there is none. */
    RILL_FAMILY_IPV4,
    RILL_FAMILY_IPV6,
    RILL_FAMILY_UNIX
} rill_family;

/* Holds a sockaddr: `len` bytes at `storage`, as bind(2) takes them. Zeroed it is no address. */
typedef struct rill_addr {
    uint32_t len;
    uint64_t storage[16];
} rill_addr;

/*
 * Fill `ret_addr` from a numeric host ("127.0.0.1", "::1", "fe80::1%eth0", "fe80::1%2") and a port
 * in host order. Returns 0; RILL_EINVAL for a port outside 0..65535 or host NULL; RILL_EADDRESS
 * when the text is no numeric address, or its zone names no interface. Any thread.
 */
RILL_API int rill_addr_parse(const char *host, int port, rill_addr *ret_addr);

/* Fill `ret_addr` for a Unix socket path; one that begins with '@' is an abstract name. Returns 0,
 * or RILL_EINVAL for an empty path or one over 107 bytes. Any thread. */
RILL_API int rill_addr_unix(const char *path, rill_addr *ret_addr);

/* "127.0.0.1:80", "[fe80::1%2]:80", "unix:/run/a.sock", "unix:@name", "unix:" for an unnamed peer,
 * "none". Cuts to `size` and returns `buf`. Any thread. */
RILL_API char *rill_addr_format(const rill_addr *addr, char *buf, size_t size);

/* The family, RILL_FAMILY_ANY for a zeroed address. Any thread. */
RILL_API rill_family rill_addr_family(const rill_addr *addr);

/* The port in host order, or -1 when the address has none. */
RILL_API int rill_addr_port(const rill_addr *addr);

/* The same place: flow labels do not count. Any thread. */
RILL_API bool rill_addr_equal(const rill_addr *a, const rill_addr *b);

RILL_END

#endif
