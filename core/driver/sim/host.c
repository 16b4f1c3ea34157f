/*
 * Hosts, their addresses, and the links between them.
 *
 * A host is a number, a name and up to eight addresses; 127.0.0.0/8 and ::1 belong to every host. A
 * link is one direction between two hosts, its numbers drawn at first use or set by the user; the
 * bandwidth is shared by all that goes over it. Addresses are compared by value, and hosts found in
 * the order of making. The world's thread only.
 */
#include <netinet/in.h>

#include "core/driver/sim/internal.h"

/* ---- addresses ---- */

static size_t
address_len(const sim_name *name)
{
    return name->family == RILL_FAMILY_IPV4 ? 4 : 16;
}

bool
rill__sim_same_address(const sim_name *a, const sim_name *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, address_len(a)) == 0;
}

bool
rill__sim_wildcard(const sim_name *name)
{
    static const uint8_t zero[16];

    return memcmp(name->bytes, zero, address_len(name)) == 0;
}

static bool
is_loopback(const sim_name *name)
{
    static const uint8_t one[16] = { [15] = 1 };

    if (name->family == RILL_FAMILY_IPV4)
        return name->bytes[0] == 127;
    return memcmp(name->bytes, one, sizeof(one)) == 0;
}

static sim_name
loopback(uint8_t family)
{
    sim_name name = { .family = family };

    if (family == RILL_FAMILY_IPV4)
        name.bytes[0] = 127, name.bytes[3] = 1;
    else
        name.bytes[15] = 1;
    return name;
}

/* What a kernel says to an address of another family than the socket's. */
int
rill__sim_name_of(const rill_addr *addr, rill_family family, bool v6only, sim_name *ret_name)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    rill_family given = rill_addr_family(addr);
    struct sockaddr_in6 in6;

    memset(ret_name, 0, sizeof(*ret_name));
    if (given != family)
        return family == RILL_FAMILY_IPV6 && given == RILL_FAMILY_IPV4 ? -EINVAL : -EAFNOSUPPORT;
    ret_name->family = (uint8_t)given;
    ret_name->port = (uint16_t)rill_addr_port(addr);
    if (given == RILL_FAMILY_IPV4) {
        (void)rill__addr_host(addr, ret_name->bytes);
        return 0;
    }
    memcpy(&in6, addr->storage, sizeof(in6));
    ret_name->zone = in6.sin6_scope_id;
    memcpy(ret_name->bytes, &in6.sin6_addr, 16);
    if (memcmp(ret_name->bytes, mapped, sizeof(mapped)) != 0)
        return 0;
    if (v6only)
        return -ENETUNREACH;
    ret_name->family = RILL_FAMILY_IPV4;
    memset(ret_name->bytes, 0, 16);
    memcpy(ret_name->bytes, (const uint8_t *)&in6.sin6_addr + 12, 4);
    return 0;
}

void
rill__sim_name_to(const sim_name *name, rill_family family, rill_addr *ret_addr)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(name->port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(name->port) };
    uint8_t *bytes = (uint8_t *)&in6.sin6_addr;

    if (family == RILL_FAMILY_IPV4) {
        memcpy(&in.sin_addr, name->bytes, 4);
        rill__addr_set(ret_addr, &in, sizeof(in));
        return;
    }
    in6.sin6_scope_id = name->zone;
    if (name->family == RILL_FAMILY_IPV4 && !rill__sim_wildcard(name)) {
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, name->bytes, 4);
    } else {
        memcpy(bytes, name->bytes, 16);
    }
    rill__addr_set(ret_addr, &in6, sizeof(in6));
}

/* ---- hosts ---- */

sim_host *
rill__sim_host_find(const rill_sim *sim, const char *name)
{
    if (name == NULL)
        return sim->hosts[0];
    for (uint32_t i = 0; i < sim->host_count; i++)
        if (strcmp(sim->hosts[i]->name, name) == 0)
            return sim->hosts[i];
    return NULL;
}

static bool
has_address(const sim_host *host, const sim_name *name)
{
    for (uint32_t i = 0; i < host->name_count; i++)
        if (rill__sim_same_address(&host->names[i], name))
            return true;
    return false;
}

bool
rill__sim_is_local(const sim_host *host, const sim_name *name)
{
    return is_loopback(name) || has_address(host, name);
}

static sim_host *
owner_of(const rill_sim *sim, const sim_name *name)
{
    for (uint32_t i = 0; i < sim->host_count; i++)
        if (has_address(sim->hosts[i], name))
            return sim->hosts[i];
    return NULL;
}

sim_host *
rill__sim_host_at(sim_host *from, const sim_name *name)
{
    if (rill__sim_wildcard(name) || is_loopback(name))
        return from;
    return owner_of(from->sim, name);
}

int
rill__sim_source(const sim_host *host, const sim_name *remote, sim_name *ret_name)
{
    if (rill__sim_wildcard(remote) || is_loopback(remote)) {
        *ret_name = loopback(remote->family);
        return 0;
    }
    if (has_address(host, remote)) {
        *ret_name = *remote;
        return 0;
    }
    for (uint32_t i = 0; i < host->name_count; i++) {
        if (host->names[i].family == remote->family) {
            *ret_name = host->names[i];
            return 0;
        }
    }
    return -ENETUNREACH;
}

int
rill__sim_host_new(rill_sim *sim, const char *name, sim_host **ret_host)
{
    sim_host *host;
    int rc = rill__sim_grow(
        sim, &sim->hosts, sim->host_count, &sim->host_capacity, sizeof(sim->hosts[0]));

    if (rc < 0)
        return rc;
    if (sim->host_count == SIM_HOSTS_MAX)
        return RILL_ELIMIT;
    host = rill__sim_alloc(sim, sizeof(*host));
    if (host == NULL)
        return -ENOMEM;
    host->sim = sim;
    host->number = (uint16_t)sim->host_count;
    memcpy(host->name, name, strlen(name));
    host->ports_tried = (uint32_t)rill__sim_hash(sim, SIM_DOMAIN_PORT, host->number, 0);
    for (size_t i = 0; i < SIM_PORT_BUCKETS; i++)
        rill__list_init(&host->ports[i]);
    rill__list_init(&host->paths);
    rill__list_init(&host->listeners);
    sim->hosts[sim->host_count++] = host;
    rill__sim_trace(sim, host, SIM_OBJECT_WORLD, 0, SIM_HOST, host->number, 0);
    *ret_host = host;
    return 0;
}

void
rill__sim_hosts_done(rill_sim *sim)
{
    for (uint32_t i = 0; i < sim->host_count; i++) {
        sim_host *host = sim->hosts[i];

        while (!rill__list_empty(&host->paths))
            rill__sim_path_free(host, RILL__CONTAINER(host->paths.next, sim_path, link));
        rill__sim_ports_done(host);
        rill__sim_dealloc(sim, host->links, host->link_count * sizeof(host->links[0]));
        rill__sim_dealloc(sim, host, sizeof(*host));
    }
    rill__sim_dealloc(sim, sim->hosts, sim->host_capacity * sizeof(sim->hosts[0]));
}

static int
parse_address(rill_sim *sim, const char *ip, sim_name *ret_name)
{
    rill_addr addr;
    int rc;

    if (ip == NULL) {
        do {
            sim->auto_address++;
            *ret_name = (sim_name){ .family = RILL_FAMILY_IPV4 };
            ret_name->bytes[0] = 10;
            ret_name->bytes[1] = (uint8_t)(sim->auto_address >> 16);
            ret_name->bytes[2] = (uint8_t)(sim->auto_address >> 8);
            ret_name->bytes[3] = (uint8_t)sim->auto_address;
        } while (owner_of(sim, ret_name) != NULL);
        return 0;
    }
    rc = rill_addr_parse(ip, 0, &addr);
    if (rc == 0)
        rc = rill__sim_name_of(&addr, rill_addr_family(&addr), false, ret_name);
    if (rc == 0 && (rill__sim_wildcard(ret_name) || is_loopback(ret_name)))
        rc = RILL_EADDRESS;
    if (rc == 0 && owner_of(sim, ret_name) != NULL)
        rc = -EADDRINUSE;
    return rc;
}

int
rill_sim_host(rill_sim *sim, const char *name, const char *ip)
{
    size_t len = name != NULL ? strlen(name) : 0;
    sim_host *host;
    sim_name address;
    int rc;

    RILL__REQUIRE(sim != NULL);
    if (len == 0 || len >= sizeof(host->name) || strchr(name, ':') != NULL ||
        strchr(name, '/') != NULL)
        return RILL_EINVAL;
    rc = parse_address(sim, ip, &address);
    if (rc < 0)
        return rc;
    host = rill__sim_host_find(sim, name);
    if (host == NULL) {
        rc = rill__sim_host_new(sim, name, &host);
        if (rc < 0)
            return rc;
    }
    if (host->name_count == SIM_HOST_NAMES)
        return RILL_ELIMIT;
    host->names[host->name_count++] = address;
    return 0;
}

int
rill_sim_set_descriptors_max(rill_sim *sim, const char *name, size_t max)
{
    sim_host *host;

    RILL__REQUIRE(sim != NULL);
    host = rill__sim_host_find(sim, name);
    if (host == NULL)
        return RILL_EINVAL;
    host->descriptors_max = max;
    return 0;
}

size_t
rill_sim_descriptors(const rill_sim *sim, const char *name)
{
    const sim_host *host = rill__sim_host_find(sim, name);

    return host != NULL ? host->descriptors : 0;
}

/* ---- links ---- */

/* What the profile has for a pair of hosts: nothing when calm; else near, in town, or far away. */
static void
draw_link(rill_sim *sim, const sim_host *from, const sim_host *to, sim_link *link)
{
    uint64_t low = from->number < to->number ? from->number : to->number;
    uint64_t high = from->number < to->number ? to->number : from->number;
    uint64_t hash = rill__sim_hash(sim, SIM_DOMAIN_LINK, low << 16 | high, 0);

    link->known = true;
    if (sim->profile == RILL_SIM_CALM)
        return;
    if (from == to) {
        link->latency = hash % 2 == 0 ? 0 : (rill_ns)(hash >> 8) % (50 * RILL_US);
        return;
    }
    switch (hash % 4) {
    case 0:
        link->latency = 100 * RILL_US;
        break;
    case 1:
        link->latency = (rill_ns)((hash >> 8) % 5000) * RILL_US;
        link->jitter = link->latency / 4;
        break;
    case 2:
        link->latency = (rill_ns)((hash >> 8) % 100) * RILL_MS;
        link->jitter = (rill_ns)((hash >> 16) % 20) * RILL_MS;
        break;
    case 3:
        link->latency = (rill_ns)((hash >> 8) % 300) * RILL_MS;
        link->jitter = (rill_ns)((hash >> 24) % 100) * RILL_MS;
        link->bandwidth = 20000 + (hash >> 32) % 10000000;
        break;
    }
}

static int
grow_links(sim_host *host, uint32_t count)
{
    size_t old_size = host->link_count * sizeof(host->links[0]);
    sim_link *links = rill__sim_alloc(host->sim, count * sizeof(host->links[0]));

    if (links == NULL)
        return -ENOMEM;
    if (old_size > 0)
        memcpy(links, host->links, old_size);
    rill__sim_dealloc(host->sim, host->links, old_size);
    host->links = links;
    host->link_count = count;
    return 0;
}

sim_link *
rill__sim_link_of(sim_host *from, const sim_host *to)
{
    sim_link *link;

    if (to->number >= from->link_count && grow_links(from, from->sim->host_count) < 0)
        return NULL;
    link = &from->links[to->number];
    if (!link->known)
        draw_link(from->sim, from, to, link);
    return link;
}

bool
rill__sim_cut(sim_host *from, const sim_host *to)
{
    return to->number < from->link_count && from->links[to->number].cut;
}

rill_ns
rill__sim_arrival(sim_host *from, const sim_host *to, size_t bytes, uint64_t object, uint64_t use)
{
    rill_sim *sim = from->sim;
    sim_link *link = rill__sim_link_of(from, to);
    rill_ns at = sim->now;

    if (link == NULL)
        return at;
    if (link->bandwidth > 0 && bytes > 0) {
        if (link->busy_until > at)
            at = link->busy_until;
        at += (rill_ns)(bytes * (uint64_t)RILL_S /
                        link->bandwidth); /* A segment is at most 64 KiB. */
        link->busy_until = at;
    }
    at += link->latency;
    if (link->jitter > 0)
        at += (rill_ns)(rill__sim_hash(sim, SIM_DOMAIN_JITTER, object, use) %
                        (uint64_t)(link->jitter + 1));
    for (uint64_t lost = 0; bytes > 0 && link->loss > 0 && lost < 8; lost++) {
        if (rill__sim_hash(sim, SIM_DOMAIN_JITTER, ~object, use * 8 + lost) % 1000000 >= link->loss)
            break;
        at += SIM_RETRY_FIRST << lost;
    }
    return at;
}

static int
find_pair(rill_sim *sim, const char *a, const char *b, sim_host **ret_a, sim_host **ret_b,
    sim_link *ret_links[2])
{
    RILL__REQUIRE(sim != NULL);
    *ret_a = rill__sim_host_find(sim, a);
    *ret_b = rill__sim_host_find(sim, b);
    if (*ret_a == NULL || *ret_b == NULL)
        return RILL_EINVAL;
    ret_links[0] = rill__sim_link_of(*ret_a, *ret_b);
    ret_links[1] = rill__sim_link_of(*ret_b, *ret_a);
    if (ret_links[0] == NULL || ret_links[1] == NULL)
        return -ENOMEM;
    ret_links[0] =
        rill__sim_link_of(*ret_a, *ret_b); /* One host's second look may move the first. */
    return 0;
}

int
rill_sim_link(rill_sim *sim, const char *a, const char *b, const rill_sim_link_options *options)
{
    rill_sim_link_options opts = RILL_SIM_LINK_OPTIONS();
    sim_link *links[2];
    sim_host *hosts[2];
    int rc = 0;

    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_sim_link_options", options, options->size, &opts, sizeof(opts));
    if (rc < 0)
        return rc;
    if (opts.latency < 0 || opts.jitter < 0 || opts.loss > 1000000)
        return RILL_EINVAL;
    rc = find_pair(sim, a, b, &hosts[0], &hosts[1], links);
    if (rc < 0)
        return rc;
    for (int i = 0; i < 2; i++) {
        links[i]->latency = opts.latency;
        links[i]->jitter = opts.jitter;
        links[i]->bandwidth = opts.bandwidth;
        links[i]->loss = opts.loss;
    }
    rill__sim_trace(
        sim, hosts[0], SIM_OBJECT_WORLD, 0, SIM_LINK, hosts[1]->number, (uint64_t)opts.latency);
    return 0;
}

int
rill_sim_partition(rill_sim *sim, const char *a, const char *b, bool both)
{
    sim_link *links[2];
    sim_host *hosts[2];
    int rc = find_pair(sim, a, b, &hosts[0], &hosts[1], links);

    if (rc < 0)
        return rc;
    links[0]->cut = true;
    if (both)
        links[1]->cut = true;
    rill__sim_trace(sim, hosts[0], SIM_OBJECT_WORLD, 0, SIM_CUT, hosts[1]->number, both);
    return 0;
}

int
rill_sim_lift(rill_sim *sim, const char *a, const char *b)
{
    sim_link *links[2];
    sim_host *hosts[2];
    int rc = find_pair(sim, a, b, &hosts[0], &hosts[1], links);

    if (rc < 0)
        return rc;
    links[0]->cut = false;
    links[1]->cut = false;
    rill__sim_trace(sim, hosts[0], SIM_OBJECT_WORLD, 0, SIM_LIFT, hosts[1]->number, 0);
    return 0;
}
