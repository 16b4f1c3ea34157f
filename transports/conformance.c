/*
 * The runner of the conformance battery: it owns the list of cases, makes one battery for each, and
 * looks at the loop's counters before and after, so that a case that leaves something behind fails
 * even if all its checks held.
 *
 * A battery lives on the stack of rill_conformance and is wiped for every case. All on the loop's
 * thread, and the loop runs only inside the waits of a case.
 */
#include "transports/conformance_battery.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const rill__case *const tables[] = { rill__cases_order, rill__cases_flow, rill__cases_ends,
    rill__cases_halves, rill__cases_forms, rill__cases_extras };

#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

#define FILE_BYTES_MIN 200000
#define SETTLE         (3 * RILL_MS)

/* What must be the same after a case as it was before. */
typedef struct baseline {
    size_t transports;
    size_t timers;
    size_t held_bytes;
} baseline;

static baseline
baseline_read(const rill_loop *loop)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(loop, &stats);
    return (baseline){
        .transports = stats.transports, .timers = stats.timers, .held_bytes = stats.held_bytes
    };
}

static bool
baseline_is_back(const baseline *now, const baseline *before)
{
    return now->transports <= before->transports && now->timers <= before->timers &&
           now->held_bytes <= before->held_bytes;
}

static const rill__case *
case_at(size_t index)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        for (const rill__case *c = tables[i]; c->name != NULL; c++) {
            if (index-- == 0)
                return c;
        }
    }
    return NULL;
}

const char *
rill_conformance_name(size_t index)
{
    const rill__case *c = case_at(index);

    return c == NULL ? NULL : c->name;
}

static void
side_init(rill__battery *b, rill__side *s, rill__side *peer, const char *name, uint8_t tint)
{
    s->battery = b;
    s->peer = peer;
    s->name = name;
    s->tint = tint;
    s->buffer_size = sizeof(s->inbox);
}

static void
battery_init(rill__battery *b, rill_loop *loop, const rill_conformance_options *options)
{
    memset(b, 0, sizeof(*b));
    b->loop = loop;
    b->options = options;
    b->timeout = options->timeout == 0 ? 10 * RILL_S : options->timeout;
    b->settle = options->settle == 0 ? SETTLE : options->settle;
    b->random = (options->seed == 0 ? 1 : options->seed) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    side_init(b, &b->a, &b->b, "a", 17);
    side_init(b, &b->b, &b->a, "b", 202);
}

/* Run whatever the verdict: a failed case must not leave its pair to the next one. */
static void
finish_slice(rill__battery *b)
{
    int rc = rill_loop_run_until(b->loop, rill_loop_time(b->loop) + b->settle);

    if (rc < 0 && rc != RILL_ETIMEDOUT && rc != RILL_EDEADLK)
        rill__battery_fail(b, "the loop ended with %s", rill_errname(rc));
}

static void
end_side(rill__side *s)
{
    s->on_data = NULL;
    s->on_resume = s->on_pause = s->on_eof = NULL;
    s->read_paused = false;
    if (s->t != NULL)
        rill__side_abort(s);
}

/* A transport that does not end must not find the battery gone when it does. */
static void
disown_side(rill__side *s)
{
    static const rill_protocol nobody = { .size = sizeof(rill_protocol) };

    if (s->t == NULL)
        return;
    (void)rill_transport_set_protocol(s->t, &nobody, NULL); /* Nothing else can be done for it. */
    rill__battery_fail(s->battery, "%s: no connection_lost after abort", s->name);
}

static void
check_leftovers(rill__battery *b, const baseline *before, const baseline *now)
{
    if (now->transports > before->transports)
        rill__battery_fail(
            b, "%zu transports were left behind", now->transports - before->transports);
    if (now->timers > before->timers)
        rill__battery_fail(b, "%zu timers were left behind", now->timers - before->timers);
    if (now->held_bytes > before->held_bytes)
        rill__battery_fail(b, "%zu held bytes were left", now->held_bytes - before->held_bytes);
}

/* End what the case left open, then wait for the counters to come back. */
static void
battery_finish(rill__battery *b, const baseline *before)
{
    rill_ns deadline = rill_loop_time(b->loop) + b->timeout;
    baseline now;

    b->until = NULL;
    end_side(&b->a);
    end_side(&b->b);
    while (!rill__both_lost(b) && rill_loop_time(b->loop) < deadline)
        finish_slice(b);
    disown_side(&b->a);
    disown_side(&b->b);
    if (b->options->end_pair != NULL)
        b->options->end_pair(b->loop, b->options->user);

    for (;;) {
        now = baseline_read(b->loop);
        if (baseline_is_back(&now, before) || rill_loop_time(b->loop) >= deadline)
            break;
        finish_slice(b);
    }
    check_leftovers(b, before, &now);
}

static rill_conformance_verdict
run_case(
    rill__battery *b, const rill__case *c, rill_loop *loop, const rill_conformance_options *options)
{
    baseline before = baseline_read(loop);
    rill_conformance_verdict verdict;

    battery_init(b, loop, options);
    c->run(b);
    battery_finish(b, &before);

    verdict = b->failed    ? RILL_CONFORMANCE_FAILED
              : b->skipped ? RILL_CONFORMANCE_SKIPPED
                           : RILL_CONFORMANCE_PASSED;
    if (options->report != NULL) {
        options->report(c->name, verdict, b->sentence, options->report_arg);
    } else if (verdict == RILL_CONFORMANCE_FAILED) {
        char text[sizeof(b->sentence) + 128];
        rill_error_context context = { .size = sizeof(context), .kind = RILL_ERROR_USER };

        (void)snprintf(text, sizeof(text), "conformance: %s: %s", c->name, b->sentence);
        context.message = text;
        rill_loop_report(loop, &context);
    }
    return verdict;
}

static bool
options_are_valid(const rill_conformance_options *options)
{
    if (options == NULL || options->size < sizeof(*options) || options->make_pair == NULL)
        return false;
    if (options->timeout < 0 || options->settle < 0)
        return false;
    return options->file_data == NULL || options->file_len >= FILE_BYTES_MIN;
}

int
rill_conformance(rill_loop *loop, const rill_conformance_options *options)
{
    rill__battery battery;
    const rill__case *c;
    int failed = 0;
    size_t ran = 0;

    if (loop == NULL || !options_are_valid(options))
        return RILL_EINVAL;
    if (rill_loop_is_running(loop))
        return RILL_EBUSY;

    for (size_t i = 0; (c = case_at(i)) != NULL; i++) {
        if (options->only != NULL && strcmp(options->only, c->name) != 0)
            continue;
        ran++;
        if (run_case(&battery, c, loop, options) == RILL_CONFORMANCE_FAILED)
            failed++;
    }
    return ran == 0 ? RILL_EINVAL : failed;
}

void
rill__battery_fail(rill__battery *b, const char *format, ...)
{
    va_list args;

    if (b->failed)
        return;
    b->failed = true;
    va_start(args, format);
    (void)vsnprintf(b->sentence, sizeof(b->sentence), format, args);
    va_end(args);
    if (rill_loop_is_running(b->loop))
        rill_loop_stop(b->loop);
}

void
rill__battery_skip(rill__battery *b, const char *why)
{
    if (b->failed)
        return;
    b->skipped = true;
    (void)snprintf(b->sentence, sizeof(b->sentence), "%s", why);
}

void
rill__battery_poke(rill__battery *b)
{
    if (b->until != NULL && rill_loop_is_running(b->loop) && (b->failed || b->until(b)))
        rill_loop_stop(b->loop);
}

bool
rill__battery_wait(rill__battery *b, bool (*until)(rill__battery *b), const char *what)
{
    rill_ns deadline = rill_loop_time(b->loop) + b->timeout;
    int rc = 0;

    b->until = until;
    while (!b->failed && rc == 0 && !until(b))
        rc = rill_loop_run_until(b->loop, deadline);
    b->until = NULL;

    if (b->failed)
        return false;
    if (until(b))
        return true;
    rill__battery_fail(b,
        "waited in vain for %s (%s); a: made %d eof %d lost %d received %llu of %llu, "
        "b: made %d eof %d lost %d received %llu of %llu",
        what, rill_errname(rc), b->a.made, b->a.eof, b->a.lost, (unsigned long long)b->a.received,
        (unsigned long long)b->b.sent, b->b.made, b->b.eof, b->b.lost,
        (unsigned long long)b->b.received, (unsigned long long)b->a.sent);
    return false;
}

void
rill__battery_run_for(rill__battery *b, rill_ns length)
{
    rill_ns deadline = rill_loop_time(b->loop) + length;
    int rc;

    if (b->failed)
        return;
    do
        rc = rill_loop_run_until(b->loop, deadline);
    while (rc == 0 && !b->failed);
    /* The simulator says so when nothing can happen any more, which is what is wanted. */
    if (rc < 0 && rc != RILL_ETIMEDOUT && rc != RILL_EDEADLK)
        rill__battery_fail(b, "the loop ended with %s", rill_errname(rc));
}

static uint64_t
turns(const rill_loop *loop)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(loop, &stats);
    return stats.turns;
}

#define IDLE_TURNS_MAX 300 /* In 3 ms; a loop that spins makes ten times as many. */

void
rill__battery_settle(rill__battery *b)
{
    uint64_t events = b->events, before = turns(b->loop), after;

    rill__battery_run_for(b, b->settle);
    after = turns(b->loop);
    if (b->events == events && b->settle <= SETTLE && after - before > IDLE_TURNS_MAX)
        rill__battery_fail(
            b, "the loop turned %llu times for nothing", (unsigned long long)(after - before));
}

uint32_t
rill__battery_random(rill__battery *b, uint32_t below)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return (uint32_t)(b->random >> 32) % below;
}
