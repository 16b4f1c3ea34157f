/*
 * The one question about network interfaces: which number has this name. Any thread.
 */
#include <net/if.h>

#include "core/addr.h"

uint32_t
rill__zone_index(const char *name)
{
    return if_nametoindex(name);
}
