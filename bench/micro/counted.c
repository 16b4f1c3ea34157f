/*
 * Single operations of rill in process, for a tool that counts instructions:
 *
 *     counted NAME TIMES
 *
 * runs one operation TIMES times, on one thread and without waiting, so that the difference of two
 * counts divided by the difference of TIMES is the cost of one, and repeats. Deadlines come from a
 * fixed sequence and not from the clock's low bits; what is left of chance is where the clock
 * stands in the timers' wheel.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <string.h>

#include <rill/rill.h>

static rill_loop *loop;
static uint64_t left;

static void
on_call(void *arg)
{
    (void)arg;
    left--;
}

static void
turn(void)
{
    micro_must(rill_loop_step(loop, 0) >= 0, "rill_loop_step");
}

static void
soon_batch(uint64_t times)
{
    for (left = times; left > 0; turn()) {
        for (uint64_t i = 0; i < MICRO_BATCH && i < left; i++)
            micro_must(rill_call_soon(loop, on_call, NULL, NULL) >= 0, "rill_call_soon");
    }
}

static void
on_chain(void *arg)
{
    if (--left > 0)
        micro_must(rill_call_soon(loop, on_chain, arg, NULL) >= 0, "rill_call_soon");
    else
        rill_loop_stop(loop);
}

static void
soon_chain(uint64_t times)
{
    left = times;
    micro_must(rill_call_soon(loop, on_chain, NULL, NULL) >= 0, "rill_call_soon");
    micro_must(rill_loop_run(loop) >= 0, "rill_loop_run");
}

static void
timer_cancel(uint64_t times)
{
    static rill_id ids[MICRO_BATCH];
    rill_ns start = rill_loop_time(loop);
    uint64_t state = MICRO_SEED;

    for (; times >= MICRO_BATCH; times -= MICRO_BATCH) {
        for (size_t i = 0; i < MICRO_BATCH; i++) {
            rill_ns when = start + (rill_ns)micro_timeout_ms(&state) * RILL_MS;

            micro_must(rill_call_at(loop, when, on_call, NULL, &ids[i]) >= 0, "rill_call_at");
        }
        for (size_t i = 0; i < MICRO_BATCH; i++)
            micro_must(rill_cancel(loop, ids[i]), "rill_cancel");
    }
}

static void
timer_rearm(uint64_t times)
{
    rill_ns due = rill_loop_time(loop) + 30 * RILL_S;
    rill_id id;

    micro_must(rill_call_at(loop, due, on_call, NULL, &id) >= 0, "rill_call_at");
    for (uint64_t i = 0; i < times; i++)
        micro_must(rill_timer_rearm(loop, id, due + (rill_ns)i * RILL_US) >= 0, "rill_timer_rearm");
}

/* Due by the turn before, so that each goes straight to the heap. By the clock's present time, how
 * many pass through the wheel would depend on how fast the machine is. */
static void
timer_fire(uint64_t times)
{
    uint64_t state = MICRO_SEED;

    for (left = times; left > 0; turn()) {
        rill_ns now = rill_loop_now(loop);

        for (uint64_t i = 0; i < MICRO_BATCH && i < left; i++)
            micro_must(rill_call_at(
                           loop, now - (rill_ns)micro_timeout_ms(&state), on_call, NULL, NULL) >= 0,
                "rill_call_at");
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(uint64_t times);
    } operations[] = {
        { "soon_batch", soon_batch },
        { "soon_chain", soon_chain },
        { "timer_cancel", timer_cancel },
        { "timer_rearm", timer_rearm },
        { "timer_fire", timer_fire },
    };
    uint64_t times = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;

    for (size_t i = 0; times > 0 && i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(argv[1], operations[i].name) != 0)
            continue;
        micro_must(
            rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "epoll"), &loop) >= 0, "rill_loop_new");
        operations[i].run(times);
        (void)rill_loop_free(loop); /* Counts the timers that are left, which is no matter here. */
        return 0;
    }
    fputs("usage: counted NAME TIMES (a multiple of 1000)\n", stderr);
    return 2;
}
