/*
 * Tests of the tests: bugs that are compiled into the library's test build, and switched on one at
 * a time (RILL_BUG=name does it by hand). The swarm has to notice each of them, and to say what is
 * wrong: here within a modest number of seeds, in the lane of tests/sim/swarm.sh within its own.
 */
/* timeout: 300 */
/* valgrind: no */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swarm.h"

#define SEEDS 2000

/* Each with words of the line that has to tell of it. */
static const struct {
    const char *name;
    const char *words;
} bugs[] = {
    { "lost_wakeup", "after its post" },
    { "soon_same_turn", "call_soon: due in turn" },
    { "timer_early", "ns early" },
    { "timer_ties", "fires before one due at" },
    { "timer_cancel_ready", "a timer fires that was canceled" },
    { "timer_move_ready", "ns early" },
    { "held_slice_reused", "a held slice has changed" },
    { "missed_watermark", "bytes are queued" },
    { "missed_resume", "writing is paused with" },
    { "pause_ignored", "is_reading is wrong" },
    { "cap_ignored", "bytes are queued above the cap" },
    { "drain_outlives_loss", "connection_lost with 1 drains" },
    { "lost_twice", "connection_lost outside of made and lost" },
    { "lost_forgotten", "is no live transport" },
    { "ref_released_twice", "bytes are released twice" },
    { "ref_lost_on_abort", "references were not released" },
    { "queue_leak_on_abort", "loop->memory[tag]" },
    { "partial_write_resends", "is wrong" },
    { "partial_write_skips", "a hello is of nobody" },
    { "rest_forgotten", "is wrong" },
    { "eof_overtakes", "the stream ends after" },
    { "pair_eof_first", "closed in order with" },
    { "again_is_eof", "end of a stream that was not ended" },
    { "late_slice_dropped", "the stream ends after" },
    { "close_drops_queue", "closed in order with" },
    { "close_timeout_forgotten", "a close does not end" },
    { "idle_not_rearmed", "an idle timeout was forgotten" },
    { "stall_not_ended", "lost with RILL_ESTALLED" },
    { "server_count", "a server counts" },
    { "accept_rests_for_ever", "a conversation does not end" },
    { "sendfile_repeats", "is wrong" },
};

int
main(void)
{
    const char *wider = getenv("RILL_SIM_SEEDS");
    uint64_t seeds = wider != NULL ? strtoull(wider, NULL, 0) : SEEDS;
    const size_t count = sizeof(bugs) / sizeof(bugs[0]);
    size_t failed = 0;

    for (size_t i = 0; i < count; i++) {
        char line[500] = "";
        uint64_t seed = 0;
        bool caught = swarm_hunt(bugs[i].name, seeds, &seed, line, sizeof(line));

        if (caught && strstr(line, bugs[i].words) != NULL) {
            printf("%-24s seed %4" PRIu64 ": %s\n", bugs[i].name, seed, line);
            continue;
        }
        failed++;
        printf("%-24s NOT CAUGHT in %" PRIu64 " seeds%s%s\n", bugs[i].name, seeds,
            caught ? ", but: " : "", line);
    }
    printf("%zu of %zu planted bugs caught\n", count - failed, count);
    return failed != 0;
}
