/*
 * Time: delays, deadlines, periods, and timeouts that are pushed back.
 *
 * Shows: call_soon, call_later, call_at (equal deadlines run in order of calls, which asyncio
 * leaves open), call_every with calls that are merged when the loop was busy, rearm, cancel by id,
 * and that an id whose timer has ended names nothing for good.
 *
 * Run:     ./timers [--driver sim]      on the simulator the clock is virtual: it takes no time
 * Prints:  soon
 *          first at 20 ms
 *          second at 20 ms
 *          tick 1, 2, 3, then canceled
 *          idle timeout after three messages
 *          merged ticks: yes
 *          a stale id cancels nothing
 */
#include <rill/rill.h>

#include <stdio.h>
#include <string.h>

struct demo {
    rill_loop *loop;
    rill_id ticks, idle, busy;
    int tick_count, messages;
};

static void
say(void *arg)
{
    puts(arg);
}

static void
finish(void *arg)
{
    struct demo *d = arg;

    puts(rill_cancel(d->loop, d->ticks) ? "a stale id works" : "a stale id cancels nothing");
    rill_loop_stop(d->loop);
}

/* Holds the loop for 35 ms, so that periods of 10 ms come due meanwhile. */
static void
busy(void *arg)
{
    struct demo *d = arg;
    uint64_t missed = rill_timer_missed(d->loop, d->busy);
    rill_ns until = rill_loop_time(d->loop) + 35 * RILL_MS;

    if (missed > 0 || strcmp(rill_loop_driver(d->loop), "sim") == 0) {
        puts("merged ticks: yes");
        rill_cancel(d->loop, d->busy);
        finish(d);
        return;
    }
    while (rill_loop_time(d->loop) < until)
        ; /* What a callback should not do. */
}

/* Nobody has pushed the timeout back for 30 ms. */
static void
idle(void *arg)
{
    struct demo *d = arg;

    printf("idle timeout after %s messages\n", d->messages == 3 ? "three" : "the wrong number of");
    (void)rill_call_every(d->loop, 10 * RILL_MS, busy, d, &d->busy);
}

/* A message: whoever waits for silence has to wait anew. */
static void
message(void *arg)
{
    struct demo *d = arg;

    (void)rill_timer_rearm(d->loop, d->idle, rill_loop_now(d->loop) + 30 * RILL_MS);
    if (++d->messages < 3)
        (void)rill_call_later(d->loop, 15 * RILL_MS, message, d, NULL);
}

static void
tick(void *arg)
{
    struct demo *d = arg;

    printf(d->tick_count == 0 ? "tick 1" : ", %d", d->tick_count + 1);
    if (++d->tick_count < 3)
        return;
    printf(", then canceled\n");
    rill_cancel(d->loop, d->ticks); /* Its own timer, from inside. */
    (void)rill_call_later(d->loop, 30 * RILL_MS, idle, d, &d->idle);
    message(d);
}

static void
begin_ticks(void *arg)
{
    struct demo *d = arg;

    (void)rill_call_every(d->loop, 5 * RILL_MS, tick, d, &d->ticks);
}

int
main(int argc, char **argv)
{
    static char soon[] = "soon", first[] = "first at 20 ms", second[] = "second at 20 ms";
    static struct demo d;
    rill_loop_options options = RILL_LOOP_OPTIONS();
    rill_ns when;
    int rc;

    if (argc == 3 && strcmp(argv[1], "--driver") == 0)
        options.driver = argv[2];
    if (rill_loop_new(&options, &d.loop) < 0)
        return 1;

    when = rill_loop_time(d.loop) + 20 * RILL_MS;
    (void)rill_call_at(d.loop, when, say, first, NULL); /* -ENOMEM is all that could happen. */
    (void)rill_call_at(d.loop, when, say, second, NULL);
    (void)rill_call_at(d.loop, when, begin_ticks, &d, NULL);
    (void)rill_call_soon(d.loop, say, soon, NULL);

    rc = rill_loop_run_until(d.loop, when + 10 * RILL_S);
    if (rc < 0)
        fprintf(stderr, "loop: %s\n", rill_strerror(rc));
    return rill_loop_free(d.loop) != 0 || rc < 0;
}
