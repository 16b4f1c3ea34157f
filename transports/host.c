/*
 * From a host's text to addresses, without names: numeric hosts, localhost, and for servers the
 * wildcards. "localhost" is both loopback addresses, whatever the machine's hosts file says: bare
 * containers have none. Values only; the loop is needed for the sentence of an error. Loop thread.
 */
#include "transports/internal.h"

static int
add(const char *host, int port, rill_family family, rill_addr ret_addrs[], int *count)
{
    rill_addr addr;
    int rc = rill_addr_parse(host, port, &addr);

    if (rc < 0)
        return rc;
    if (family == RILL_FAMILY_ANY || family == rill_addr_family(&addr))
        ret_addrs[(*count)++] = addr;
    return 0;
}

int
rill__host_addresses(rill_loop *loop, const char *host, int port, rill_family family, bool passive,
    rill_addr ret_addrs[RILL__HOST_ADDRS])
{
    int count = 0;
    int rc;

    if (port < (passive ? 0 : 1) || port > 65535)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "port %d is not in %d..65535",
            port, passive ? 0 : 1);
    if (family == RILL_FAMILY_UNIX)
        return rill__fail(
            loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "a host has no Unix address: use path");
    if (strcmp(host, "localhost") == 0) {
        (void)add("::1", port, family, ret_addrs, &count); /* Literals: cannot fail. */
        (void)add("127.0.0.1", port, family, ret_addrs, &count);
        return count;
    }
    if (passive && (host[0] == '\0' || strcmp(host, "*") == 0)) {
        (void)add("0.0.0.0", port, family, ret_addrs, &count);
        (void)add("::", port, family, ret_addrs, &count);
        return count;
    }
    rc = add(host, port, family, ret_addrs, &count);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_TRANSPORT,
            "host \"%s\": %s (names are not resolved yet)", host, rill_strerror(rc));
    if (count == 0)
        return rill__fail(loop, RILL_EADDRESS, RILL_LAYER_TRANSPORT,
            "host \"%s\" is not of the family asked for", host);
    return count;
}
