/*
 * The world: its life and its memory.
 *
 * It owns hosts, sockets, peers and scripts, all of them made from the world's own allocator; loops
 * bring their drivers, which live in their loop's memory and are only listed here. The allocator
 * that is handed to loops counts what passes and fails on request; the world's own never does. The
 * world's thread only; but for the counting allocator, which a loop's inbox calls under its lock.
 */
#include <stdlib.h>

#include "core/driver/sim/internal.h"

#define BUFFER_BYTES     (128 * 1024)
#define BUFFER_BYTES_MAX (4 * 1024 * 1024)
#define DESCRIPTORS      65536
#define TURNS_MAX        UINT64_C(10000000)
#define START            (1000 * RILL_S) /* Of the clock: times before it are times, too. */

/* ---- memory ---- */

void *
rill__sim_alloc(rill_sim *sim, size_t size)
{
    void *ptr = sim->allocator.alloc(sim->allocator.ctx, size, RILL_TAG_SIM);

    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

void
rill__sim_dealloc(rill_sim *sim, void *ptr, size_t size)
{
    if (ptr != NULL)
        sim->allocator.free(sim->allocator.ctx, ptr, size, RILL_TAG_SIM);
}

int
rill__sim_grow(
    rill_sim *sim, void *array_ref, uint32_t count, uint32_t *capacity, size_t element_size)
{
    uint32_t wider = *capacity != 0 ? *capacity * 2 : 16;
    size_t old_size = *capacity * element_size;
    void *old;
    void *moved;

    if (count < *capacity)
        return 0;
    if (wider > UINT32_MAX / 2)
        return -ENOMEM;
    memcpy(&old, array_ref, sizeof(old));
    moved = rill__sim_alloc(sim, wider * element_size);
    if (moved == NULL)
        return -ENOMEM;
    if (old != NULL)
        memcpy(moved, old, old_size);
    rill__sim_dealloc(sim, old, old_size);
    memcpy(array_ref, &moved, sizeof(moved));
    *capacity = wider;
    return 0;
}

/* Counted by the order of calls: the same in every run with this seed. */
static bool
allocation_fails(rill_sim *sim)
{
    sim->allocations++;
    if (sim->healed)
        return false;
    if (sim->allocations == sim->allocation_fail)
        return true;
    if (sim->allocation_fail_from != 0 && sim->allocations >= sim->allocation_fail_from)
        return true;
    return rill__sim_fault(sim, RILL_SIM_FAULT_ALLOCATION, NULL, 0, &sim->allocation_uses);
}

static void *
counted_alloc(void *ctx, size_t size, rill_tag tag)
{
    rill_sim *sim = ctx;
    void *ptr = NULL;

    if (!allocation_fails(sim))
        ptr = sim->allocator.alloc(sim->allocator.ctx, size, tag);
    sim->allocations_live += ptr != NULL;
    return ptr;
}

static void *
counted_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    rill_sim *sim = ctx;

    if (allocation_fails(sim))
        return NULL;
    return sim->allocator.resize(sim->allocator.ctx, ptr, old_size, new_size, tag);
}

static void
counted_free(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    rill_sim *sim = ctx;

    rill__sim_check(sim, sim->allocations_live > 0);
    sim->allocations_live--;
    sim->allocator.free(sim->allocator.ctx, ptr, size, tag);
}

/* ---- options ---- */

static const char *
from_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static uint64_t
default_seed(void)
{
    const char *text = from_environment("RILL_SIM_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 0;

    return seed != 0 ? seed : 1;
}

static int
default_profile(rill_sim_profile *ret_profile)
{
    const char *text = from_environment("RILL_SIM_PROFILE");

    if (text == NULL || strcmp(text, "calm") == 0)
        *ret_profile = RILL_SIM_CALM;
    else if (strcmp(text, "swarm") == 0)
        *ret_profile = RILL_SIM_SWARM;
    else if (strcmp(text, "hostile") == 0)
        *ret_profile = RILL_SIM_HOSTILE;
    else
        return RILL_EINVAL;
    return 0;
}

static int
default_personality(rill_sim_personality *ret_personality)
{
    const char *text = from_environment("RILL_SIM_PERSONALITY");

    if (text == NULL)
        *ret_personality = RILL_SIM_PERSONALITY_DEFAULT;
    else if (strcmp(text, "readiness") == 0)
        *ret_personality = RILL_SIM_READINESS;
    else if (strcmp(text, "completion") == 0)
        *ret_personality = RILL_SIM_COMPLETION;
    else
        return RILL_EINVAL;
    return 0;
}

static bool
buffer_is_valid(int bytes)
{
    return bytes == 0 || (bytes >= 2048 && bytes <= BUFFER_BYTES_MAX);
}

static int
resolve_options(rill_sim_options *options)
{
    int rc = 0;

    if ((unsigned)options->profile > RILL_SIM_HOSTILE ||
        (unsigned)options->personality > RILL_SIM_COMPLETION ||
        !buffer_is_valid(options->recv_buffer) || !buffer_is_valid(options->send_buffer) ||
        (options->only_faults == NULL && options->only_faults_count != 0))
        return RILL_EINVAL;
    if (options->seed == 0)
        options->seed = default_seed();
    if (options->profile == RILL_SIM_PROFILE_DEFAULT)
        rc = default_profile(&options->profile);
    if (rc == 0 && options->personality == RILL_SIM_PERSONALITY_DEFAULT)
        rc = default_personality(&options->personality);
    if (options->allocator == NULL)
        options->allocator = &rill__default_allocator;
    if (options->descriptors_max == 0)
        options->descriptors_max = DESCRIPTORS;
    if (options->turns_max == 0)
        options->turns_max = TURNS_MAX;
    return rc;
}

/* Small ones make for much to do: 4 KiB to 256 KiB, unless it is calm. */
static int
draw_buffer(const rill_sim *sim, uint64_t which)
{
    if (sim->profile == RILL_SIM_CALM)
        return BUFFER_BYTES;
    return 4096 << rill__sim_hash(sim, SIM_DOMAIN_BUFFER, which, 0) % 7;
}

static void
configure(rill_sim *sim, const rill_sim_options *options)
{
    sim->allocator = *options->allocator;
    sim->counted = (rill_allocator){
        .alloc = counted_alloc, .resize = counted_resize, .free = counted_free, .ctx = sim
    };
    sim->allocation_fail = options->fail_allocation;
    sim->allocation_fail_from = options->fail_allocations_from;
    sim->seed = options->seed;
    sim->profile = options->profile;
    sim->personality = options->personality;
    sim->recv_bytes_max = options->recv_bytes_max;
    sim->send_bytes_max = options->send_bytes_max;
    sim->recv_buffer = options->recv_buffer != 0 ? options->recv_buffer : draw_buffer(sim, 0);
    sim->send_buffer = options->send_buffer != 0 ? options->send_buffer : draw_buffer(sim, 1);
    sim->recv_buffer *= 2; /* As the kernel reports it. */
    sim->send_buffer *= 2;
    sim->descriptors_max = options->descriptors_max;
    sim->turns_max = options->turns_max;
    sim->now = sim->start = START;
    rill__list_init(&sim->sockets);
    rill__list_init(&sim->drivers);
    rill__list_init(&sim->peers);
    rill__list_init(&sim->scripts);
    rill__list_init(&sim->flights);
    rill__list_init(&sim->programs);
    rill__list_init(&sim->processes);
}

/* ---- life ---- */

static void
destroy(rill_sim *sim)
{
    rill_allocator allocator = sim->allocator;

    rill__sim_scripts_done(sim);
    rill__sim_processes_done(sim);
    rill__sim_peers_done(sim);
    rill__sim_flights_done(sim);
    rill__sim_sockets_done(sim);
    rill__sim_hosts_done(sim);
    rill__sim_choices_done(sim);
    rill__sim_check(sim, sim->heap.count == 0 && sim->heap.reserved == 0);
    rill__sim_dealloc(sim, sim->heap.slots, sim->heap.capacity * sizeof(sim->heap.slots[0]));
    rill__sim_dealloc(sim, sim->fds, sim->fd_capacity * sizeof(sim->fds[0]));
    allocator.free(allocator.ctx, sim, sizeof(*sim), RILL_TAG_SIM);
}

int
rill_sim_new(const rill_sim_options *options, rill_sim **ret_sim)
{
    rill_sim_options opts = RILL_SIM_OPTIONS();
    rill_sim *sim;
    int rc = 0;

    RILL__REQUIRE(ret_sim != NULL);
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_sim_options", options, options->size, &opts, sizeof(opts));
    if (rc == 0)
        rc = resolve_options(&opts);
    if (rc < 0)
        return rc;
    sim = opts.allocator->alloc(opts.allocator->ctx, sizeof(*sim), RILL_TAG_SIM);
    if (sim == NULL)
        return -ENOMEM;
    memset(sim, 0, sizeof(*sim));
    configure(sim, &opts);
    rc = rill__sim_choices_init(sim, &opts);
    if (rc == 0)
        rc = rill_sim_host(sim, "local", "10.255.255.254");
    if (rc == 0)
        rc = rill_sim_host(sim, "local", "fdff::1");
    if (rc < 0) {
        destroy(sim);
        return rc;
    }
    *ret_sim = sim;
    return 0;
}

static size_t
free_loops(rill_sim *sim)
{
    size_t leftovers = 0;

    for (rill__link *link = sim->drivers.next; link != &sim->drivers;) {
        sim_driver *driver = RILL__CONTAINER(link, sim_driver, link);

        link = link->next;
        if (driver->owned_by_world)
            leftovers += rill_loop_free(driver->base.loop);
    }
    return leftovers;
}

size_t
rill_sim_free(rill_sim *sim)
{
    size_t leaks;

    if (sim == NULL)
        return 0;
    if (sim->running)
        rill__panic("rill_sim_free called from inside the world: return from the callback first");
    leaks = free_loops(sim);
    if (!rill__list_empty(&sim->drivers))
        rill__panic("rill_sim_free: free the loops of this world that you made by rill_loop_new "
                    "first, or make them by rill_sim_loop_new");
    for (uint32_t i = 0; i < sim->host_count; i++)
        leaks += sim->hosts[i]->descriptors;
    leaks += (size_t)sim->allocations_live;
    destroy(sim);
    return leaks;
}

int
rill_sim_loop_new(
    rill_sim *sim, const char *host, const rill_loop_options *options, rill_loop **ret_loop)
{
    rill_loop_options opts = RILL_LOOP_OPTIONS();
    rill_loop *loop;
    int rc = 0;

    RILL__REQUIRE(sim != NULL && ret_loop != NULL);
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_loop_options", options, options->size, &opts, sizeof(opts));
    if (rc < 0)
        return rc;
    opts.driver = "sim";
    opts.sim = sim;
    opts.sim_host = host;
    if (opts.allocator == NULL)
        opts.allocator = &sim->counted;
    rc = rill_loop_new(&opts, &loop);
    if (rc < 0)
        return rc;
    RILL__CONTAINER(sim->drivers.prev, sim_driver, link)->owned_by_world = true;
    *ret_loop = loop;
    return 0;
}

const rill_allocator *
rill_sim_allocator(rill_sim *sim)
{
    return &sim->counted;
}

uint64_t
rill_sim_allocations(const rill_sim *sim)
{
    return sim->allocations;
}

uint64_t
rill_sim_seed(const rill_sim *sim)
{
    return sim->seed;
}

rill_sim_personality
rill_sim_get_personality(const rill_sim *sim)
{
    return sim->personality;
}
