/*
 * Memory of stacks that nobody uses: free ones beyond the recent peak, and what sleeping tasks once
 * used below where they sleep.
 *
 * A timer does it, once a second while tasks run and for a while after that. Every tenth time all
 * stacks are looked at, a slice at a time, so that a million of them hold nobody up. The timer
 * wakes nobody who waits, so it is none that keeps a deadlock from being told. Loop thread only.
 */
#include "tasks/internal.h"

#define PERIOD       RILL_S
#define SLICE_PERIOD (5 * RILL_MS)
#define SLICE_SLOTS  1024
#define SLEEPERS     10 /* Periods between two looks at them, and how long they must have slept. */

static void
arm(rill__tasks *tasks, rill_ns after)
{
    tasks->trim_armed = true;
    tasks->loop->idle_timers++;
    rill__timer_arm(tasks->loop, &tasks->trim, rill__loop_now(tasks->loop) + after);
}

/* A task runs: there may be something to do soon. */
void
rill__trim_wake(rill__tasks *tasks)
{
    tasks->awake = true;
    if (!tasks->trim_armed)
        arm(tasks, PERIOD);
}

static void
trim_sleeper(rill__fiber *fiber, rill_ns now)
{
    if (fiber->wait == NULL || fiber->trimmed || now - fiber->since < SLEEPERS * PERIOD)
        return;
    fiber->trimmed = true;
    rill__stack_trim_below(&fiber->inner->stack, fiber->coro.sp);
}

/* True when all have been looked at. */
static bool
look_at_slice(rill__tasks *tasks)
{
    rill_ns now = rill__loop_now(tasks->loop);

    for (size_t i = 0; i < SLICE_SLOTS; i++) {
        rill__fiber *fiber;

        if (!rill__stacks_next(tasks, &tasks->cursor, &fiber))
            return true;
        if (fiber != NULL)
            trim_sleeper(fiber, now);
    }
    return false;
}

static void
go_on_looking(rill__tasks *tasks)
{
    if (!look_at_slice(tasks)) {
        arm(tasks, SLICE_PERIOD);
        return;
    }
    tasks->looking = false;
    if (tasks->busy || tasks->awake)
        arm(tasks, PERIOD); /* Else nothing ran since the look before this one: until it does. */
}

static void
on_time(rill__own_timer *timer)
{
    rill__tasks *tasks = RILL__CONTAINER(timer, rill__tasks, trim);

    tasks->trim_armed = false;
    tasks->loop->idle_timers--;
    if (!tasks->looking) {
        rill__stacks_trim(tasks->loop);
        if (++tasks->periods < SLEEPERS) {
            arm(tasks, PERIOD);
            return;
        }
        tasks->periods = 0;
        tasks->busy = tasks->awake;
        tasks->awake = false;
        tasks->looking = true;
        tasks->cursor = (rill__stacks_cursor){ 0 };
    }
    go_on_looking(tasks);
}

void
rill__trim_begin(rill__tasks *tasks)
{
    tasks->trim.fn = on_time;
}

void
rill__trim_end(rill__tasks *tasks)
{
    if (!tasks->trim_armed)
        return;
    tasks->trim_armed = false;
    tasks->loop->idle_timers--;
    rill__timer_disarm(tasks->loop, &tasks->trim);
}
