/*
 * The bookkeeping of wrong calls. What a call can write to is filled with one byte before it, what
 * it can make is counted before and after. One thread.
 */
#include "wrong.h"

#define TRIED_MAX 1024

/* Options of a size that no version has yet. */
struct newer {
    size_t size;
    uint64_t rest[128];
};

typedef struct count {
    size_t blocks, bytes, world_blocks, world_bytes, descriptors;
    size_t ready, timers, transports, servers, held;
    uint64_t made, events;
} count;

harness h;
allocator world_memory;
rill_sim *sim;
rill_sim_peer *peer;
struct wrong_results out;
bool was_called;
static count before;
static char tried[TRIED_MAX][64];
static size_t tried_count;

static const struct newer unknown = { .size = sizeof(unknown), .rest = { [127] = 1 } };
static const size_t unsized = 0;
const void *const unknown_options = &unknown;
const void *const unsized_options = &unsized;

static count
count_all(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(h.loop, &stats);
    return (count){ .blocks = h.allocator.blocks,
        .bytes = h.allocator.bytes,
        .world_blocks = world_memory.blocks,
        .world_bytes = world_memory.bytes,
        .descriptors = descriptor_count(),
        .ready = stats.ready,
        .timers = stats.timers,
        .transports = stats.transports,
        .servers = stats.servers,
        .held = stats.held_bytes,
        .made = stats.transports_made,
        .events = rill_sim_trace_count(sim) };
}

void
wrong_begin(void)
{
    memset(&out, UNTOUCHED, sizeof(out));
    before = count_all();
}

void
wrong_note(const char *call)
{
    const char *name = strstr(call, "rill_");
    size_t len;

    if (name == NULL)
        return; /* By a function of the test's own. */
    len = strcspn(name, " (");
    assert_true(tried_count < TRIED_MAX && len < sizeof(tried[0]));
    memcpy(tried[tried_count++], name, len);
}

void
wrong_nothing_changed(const char *call, int line)
{
    const unsigned char *bytes = (const unsigned char *)&out;
    count now = count_all();

    wrong_note(call);
    for (size_t i = 0; i < sizeof(out); i++) {
        if (bytes[i] != UNTOUCHED)
            fail_msg("line %d: %s wrote a result", line, call);
    }
    if (memcmp(&now, &before, sizeof(now)) != 0)
        fail_msg("line %d: %s made something: %zu blocks instead of %zu, %zu and %zu in the world, "
                 "%zu descriptors instead of %zu",
            line, call, now.blocks, before.blocks, now.world_blocks, before.world_blocks,
            now.descriptors, before.descriptors);
}

void
wrong_refused(int rc, int code, const char *call, int line)
{
    if (rc != code)
        fail_msg("line %d: %s is %s, not %s", line, call, rill_errname(rc), rill_errname(code));
    wrong_nothing_changed(call, line);
}

bool
wrong_was_tried(const char *symbol)
{
    for (size_t i = 0; i < tried_count; i++) {
        size_t len = strlen(tried[i]);

        if (strncmp(symbol, tried[i], len) == 0 &&
            (symbol[len] == '\0' || strcmp(symbol + len, "_site") == 0))
            return true;
    }
    return false;
}

void
wrong_forget(void)
{
    tried_count = 0;
}

void
never(void *arg)
{
    (void)arg;
    was_called = true;
}
