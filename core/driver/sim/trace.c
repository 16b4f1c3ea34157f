/*
 * The trace: a rolling hash over every event, and the last 4096 of them to look at.
 *
 * The hash takes in the virtual time, host, object, event and its number, all of them values that
 * the seed and the program decide: equal runs have equal hashes, whatever compiler, optimisation or
 * address space. The ring is printed on request and when an invariant of the world breaks. The
 * world's thread only.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/driver/sim/internal.h"

static const char *const verbs[] = {
#define TEXT_OF(name, text) text,
    SIM_VERB_LIST(TEXT_OF)
#undef TEXT_OF
};

static_assert(sizeof(sim_record) == 32, "the ring is small enough to be always there");
static_assert((SIM_RING & (SIM_RING - 1)) == 0, "indexed by a mask");

static uint64_t
fold(uint64_t hash, uint64_t value)
{
    hash ^= value;
    hash *= UINT64_C(0x9fb21c651e98df25);
    return hash ^ (hash >> 32);
}

void
rill__sim_trace(rill_sim *sim, const sim_host *host, enum sim_object kind, uint64_t object,
    enum sim_verb verb, uint64_t value, uint64_t extra)
{
    sim_record *record = &sim->ring[sim->trace_count & (SIM_RING - 1)];
    uint64_t hash = sim->trace_hash;

    record->at = sim->now;
    record->object = (uint32_t)object;
    record->object_kind = (uint8_t)kind;
    record->host = host != NULL ? host->number : UINT16_MAX;
    record->verb = (uint8_t)verb;
    record->value = value;
    record->extra = extra;
    hash = fold(hash, (uint64_t)record->at);
    hash = fold(hash, (uint64_t)record->host << 48 | (uint64_t)verb << 40 | (uint64_t)kind << 32 |
                          record->object);
    hash = fold(hash, value);
    sim->trace_hash = fold(hash, extra);
    sim->trace_count++;
}

const char *
rill__sim_kind_name(const sim_socket *socket)
{
    if (socket->end != SIM_END_NONE)
        return "pipe";
    if (rill__sim_is_unix(socket))
        return "unix";
    return socket->dgrams != NULL ? "udp" : "tcp";
}

void
rill__sim_trace_socket(const sim_socket *socket, enum sim_verb verb, uint64_t value)
{
    rill__sim_trace(socket->sim, socket->host,
        rill__sim_is_unix(socket) ? SIM_OBJECT_UNIX
        : socket->dgrams != NULL  ? SIM_OBJECT_UDP
                                  : SIM_OBJECT_TCP,
        socket->number, verb, value, 0);
}

/* ---- printing ---- */

typedef struct printer {
    rill_sim_line_fn write;
    void *arg;
} printer;

static void RILL_PRINTF(2, 3) print(const printer *to, const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (to->write != NULL)
        to->write(line, to->arg);
    else
        fprintf(stderr, "%s\n", line);
}

static const char *
host_name(const rill_sim *sim, uint16_t number)
{
    return number < sim->host_count ? sim->hosts[number]->name : "net";
}

static void
print_event(const rill_sim *sim, const printer *to, uint64_t step)
{
    static const char *const kinds[] = { "", "tcp#", "unix#", "loop#", "udp#", "process#" };
    const sim_record *record = &sim->ring[step & (SIM_RING - 1)];
    rill_ns since = record->at - sim->start;
    char object[32] = "";
    char text[96];

    if (record->object != 0)
        snprintf(object, sizeof(object), "%s%" PRIu32,
            record->object_kind != SIM_OBJECT_WORLD ? kinds[record->object_kind] : "#",
            record->object);
    if (record->verb == SIM_FAULT)
        snprintf(text, sizeof(text), "FAULT %-20s [fault %08" PRIx64 "]",
            rill_sim_fault_name((rill_sim_fault)record->value), record->extra);
    else if (record->verb == SIM_ERROR || record->verb == SIM_REFUSED)
        snprintf(
            text, sizeof(text), "%s %s", verbs[record->verb], rill_errname(-(int)record->value));
    else
        snprintf(text, sizeof(text), "%s %" PRIu64, verbs[record->verb], record->value);
    print(to, "%4" PRId64 ".%06" PRId64 "  #%-7" PRIu64 " %-8s %-10s %s", (int64_t)(since / RILL_S),
        (int64_t)(since % RILL_S / RILL_US), step, host_name(sim, record->host), object, text);
}

static void
print_socket(const printer *to, const sim_socket *socket)
{
    static const char *const states[] = { "CLOSED", "ESTABLISHED", "SYN_SENT", "SYN_RECV",
        "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSED", "CLOSE_WAIT", "LAST_ACK", "LISTEN",
        "CLOSING" };
    const sim_socket *other = socket->other;

    print(to, " socket: %s %s#%" PRIu64 " %s%s rq=%zu sq=%zu", socket->host->name,
        rill__sim_kind_name(socket), socket->number, states[rill__sim_tcp_state(socket)],
        socket->owned ? socket->fd < 0 ? " (no descriptor)" : "" : " (orphan)",
        rill__sim_pipe_readable(&socket->in),
        other != NULL ? (size_t)(other->in.written - other->in.arrived) : (size_t)0);
}

void
rill_sim_dump(const rill_sim *sim, rill_sim_line_fn write, void *arg)
{
    const printer to = { .write = write, .arg = arg };
    uint64_t first = sim->trace_count > SIM_RING ? sim->trace_count - SIM_RING : 0;

    print(&to, " seed=0x%" PRIx64 " %s%s events=%" PRIu64 " hash=%016" PRIx64, sim->seed,
        rill__sim_completes(sim) ? "completion" : "readiness", sim->healed ? " healed" : "",
        sim->trace_count, sim->trace_hash);
    for (uint64_t step = first; step < sim->trace_count; step++)
        print_event(sim, &to, step);
    for (uint32_t i = 0; i < sim->host_count; i++)
        print(&to, " host: %s descriptors=%zu", sim->hosts[i]->name, sim->hosts[i]->descriptors);
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next)
        print_socket(&to, RILL__CONTAINER(link, sim_socket, all));
    for (uint32_t kind = 0; kind < RILL_SIM_FAULT_COUNT; kind++)
        if (sim->counts[kind] > 0)
            print(&to, " fault: %-20s fired %" PRIu64, rill_sim_fault_name((rill_sim_fault)kind),
                sim->counts[kind]);
}

void
rill__sim_broken(const rill_sim *sim, const char *where, const char *what)
{
    rill_sim_dump(sim, NULL, NULL);
    rill__panic("simulator: %s: broken invariant: %s (seed 0x%" PRIx64 ", step %" PRIu64 ")", where,
        what, sim->seed, sim->trace_count);
}

uint64_t
rill_sim_trace_hash(const rill_sim *sim)
{
    return sim->trace_hash;
}

uint64_t
rill_sim_trace_count(const rill_sim *sim)
{
    return sim->trace_count;
}
