/*
 * The one question about network interfaces: which number has this name.
 *
 * Zones of IPv6 addresses may be given by name; only the kernel knows the names, so core/addr.c
 * asks here. Nothing is kept. Any thread.
 */
#include <net/if.h>

#include "core/addr.h"

uint32_t
rill__zone_index(const char *name)
{
    return if_nametoindex(name);
}
