/*
 * Choices: which faults fire, and every other number that is drawn.
 *
 * A choice is a hash of (seed, domain, object, n-th use by that object) and of nothing else: no
 * stream is consumed, so leaving one fault out changes none of the others, and the number of a
 * fault that fired names the same choice in every run of the program. Thresholds are integers: the
 * same everywhere. The world's thread only.
 */
#include <stdlib.h>

#include "core/driver/sim/internal.h"

#define MILLION   1000000
#define FIRED_MAX 65536

static const uint32_t highest_rates[] = {
#define RATE_OF(name, rate, text) rate,
    RILL_SIM_FAULT_LIST(RATE_OF)
#undef RATE_OF
};

static_assert((int)RILL_SIM_FAULT_COUNT <= (int)SIM_DOMAIN_VALUE, "domains do not meet");

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xe9846af9b1a615d);
    x ^= x >> 32;
    x *= UINT64_C(0xe9846af9b1a615d);
    x ^= x >> 28;
    return x;
}

uint64_t
rill__sim_hash(const rill_sim *sim, uint32_t domain, uint64_t object, uint64_t use)
{
    uint64_t x = mix(sim->seed + UINT64_C(0x9e3779b97f4a7c15) * (domain + 1));

    x = mix(x ^ (object * UINT64_C(0xbf58476d1ce4e5b9)));
    return mix(x + use * UINT64_C(0x94d049bb133111eb));
}

/* The name of a choice: without the seed, which the run has anyway. */
static uint32_t
number_of(rill_sim_fault kind, uint64_t object, uint32_t use)
{
    uint64_t x = mix((uint64_t)kind + 1);

    x = mix(x ^ (object * UINT64_C(0xbf58476d1ce4e5b9)));
    return (uint32_t)(mix(x + use) >> 32);
}

static bool
is_wanted(const rill_sim *sim, uint32_t number)
{
    if (!sim->only_set)
        return true;
    for (size_t i = 0; i < sim->only_count; i++)
        if (sim->only[i] == number)
            return true;
    return false;
}

static void
remember(rill_sim *sim, uint32_t number)
{
    if (sim->fired_count == sim->fired_capacity && sim->fired_capacity < FIRED_MAX) {
        uint32_t capacity = (uint32_t)sim->fired_capacity;

        if (rill__sim_grow(sim, &sim->fired, capacity, &capacity, sizeof(sim->fired[0])) == 0)
            sim->fired_capacity = capacity;
    }
    if (sim->fired_count < sim->fired_capacity)
        sim->fired[sim->fired_count] = number;
    sim->fired_count++;
}

bool
rill__sim_fault(rill_sim *sim, rill_sim_fault kind, sim_host *host, uint64_t object, uint32_t *uses)
{
    uint32_t use = (*uses)++;
    uint32_t number;

    if (sim->injected[kind] > 0) {
        sim->injected[kind]--;
    } else {
        if (sim->rates[kind] == 0)
            return false;
        if (rill__sim_hash(sim, kind, object, use) % MILLION >= sim->rates[kind])
            return false;
    }
    number = number_of(kind, object, use);
    if (!is_wanted(sim, number))
        return false;
    sim->counts[kind]++;
    remember(sim, number);
    rill__sim_trace(sim, host, SIM_OBJECT_WORLD, object, SIM_FAULT, kind, number);
    return true;
}

uint64_t
rill__sim_value(const rill_sim *sim, rill_sim_fault kind, uint64_t object, const uint32_t *uses,
    uint64_t low, uint64_t high)
{
    uint64_t hash = rill__sim_hash(sim, SIM_DOMAIN_VALUE + kind, object, *uses);

    rill__sim_check(sim, low <= high);
    return low + hash % (high - low + 1);
}

/* First the magnitude is drawn, then the number: 1, 20 and 3000 are equally likely. */
uint64_t
rill__sim_small_value(
    const rill_sim *sim, rill_sim_fault kind, uint64_t object, const uint32_t *uses, uint64_t high)
{
    uint64_t hash = rill__sim_hash(sim, SIM_DOMAIN_VALUE + kind, object, *uses);
    unsigned bits = 0;
    uint64_t cap;

    while (bits < 63 && (high >> bits) != 0)
        bits++;
    cap = UINT64_C(1) << (hash % (bits + 1));
    return (hash >> 8) % (cap < high + 1 ? cap : high + 1);
}

/* ---- setting up ---- */

static void
draw_rates(rill_sim *sim)
{
    for (uint32_t kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++) {
        uint64_t hash = rill__sim_hash(sim, SIM_DOMAIN_RATE, kind, 0);

        sim->rates[kind] = 0;
        if (sim->profile == RILL_SIM_HOSTILE)
            sim->rates[kind] = highest_rates[kind];
        else if (sim->profile == RILL_SIM_SWARM &&
                 rill__sim_hash(sim, SIM_DOMAIN_ENABLED, kind, 0) % 2 == 0)
            sim->rates[kind] = highest_rates[kind] >> hash % 4;
    }
}

/* "only:1f03,88c1": hexadecimal numbers. Returns how many, or RILL_EINVAL. */
static int
parse_only(const char *text, uint32_t *ret_numbers, size_t max)
{
    int count = 0;

    if (strncmp(text, "only:", 5) != 0)
        return RILL_EINVAL;
    for (text += 5; *text != '\0';) {
        char *end;
        unsigned long number = strtoul(text, &end, 16);

        if (end == text || number > UINT32_MAX || (*end != ',' && *end != '\0'))
            return RILL_EINVAL;
        if ((size_t)count < max)
            ret_numbers[count] = (uint32_t)number;
        count++;
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

static int
take_only(rill_sim *sim, const rill_sim_options *options)
{
    const char *text = getenv("RILL_SIM_FAULTS");
    size_t count = options->only_faults_count;

    if (options->only_faults == NULL) {
        int parsed;

        if (text == NULL || text[0] == '\0')
            return 0;
        parsed = parse_only(text, NULL, 0);
        if (parsed < 0)
            return parsed;
        count = (size_t)parsed;
    }
    sim->only_set = true;
    if (count == 0)
        return 0;
    sim->only = rill__sim_alloc(sim, count * sizeof(sim->only[0]));
    if (sim->only == NULL)
        return -ENOMEM;
    sim->only_count = count;
    if (options->only_faults != NULL)
        memcpy(sim->only, options->only_faults, count * sizeof(sim->only[0]));
    else
        (void)parse_only(text, sim->only, count);
    return 0;
}

int
rill__sim_choices_init(rill_sim *sim, const rill_sim_options *options)
{
    draw_rates(sim);
    if (sim->personality == RILL_SIM_PERSONALITY_DEFAULT)
        sim->personality = rill__sim_hash(sim, SIM_DOMAIN_PERSONALITY, 0, 0) % 2 == 0
                               ? RILL_SIM_READINESS
                               : RILL_SIM_COMPLETION;
    return take_only(sim, options);
}

void
rill__sim_choices_done(rill_sim *sim)
{
    rill__sim_dealloc(sim, sim->only, sim->only_count * sizeof(sim->only[0]));
    rill__sim_dealloc(sim, sim->fired, sim->fired_capacity * sizeof(sim->fired[0]));
}

/* ---- public ---- */

const char *
rill_sim_fault_name(rill_sim_fault kind)
{
    static const char *const names[] = {
#define NAME_OF(name, rate, text) text,
        RILL_SIM_FAULT_LIST(NAME_OF)
#undef NAME_OF
    };

    return (unsigned)kind < RILL_SIM_FAULT_COUNT ? names[kind] : "unknown";
}

void
rill_sim_set_fault(rill_sim *sim, rill_sim_fault kind, uint32_t rate)
{
    if ((unsigned)kind < RILL_SIM_FAULT_COUNT && !sim->healed)
        sim->rates[kind] = rate;
}

void
rill_sim_inject(rill_sim *sim, rill_sim_fault kind, uint32_t count)
{
    if ((unsigned)kind < RILL_SIM_FAULT_COUNT && !sim->healed)
        sim->injected[kind] = count;
}

uint64_t
rill_sim_fault_count(const rill_sim *sim, rill_sim_fault kind)
{
    return (unsigned)kind < RILL_SIM_FAULT_COUNT ? sim->counts[kind] : 0;
}

size_t
rill_sim_fired(const rill_sim *sim, uint32_t *ret_numbers, size_t max)
{
    size_t count = sim->fired_count < sim->fired_capacity ? sim->fired_count : sim->fired_capacity;

    if (count > max)
        count = max;
    if (count > 0)
        memcpy(ret_numbers, sim->fired, count * sizeof(ret_numbers[0]));
    return sim->fired_count;
}
