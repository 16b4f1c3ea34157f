/*
 * Adaptive spin: polling for a while before sleep, where what arrives mostly arrives soon.
 *
 * A *quiet time* begins when the loop has nothing to do, and ends with the next arrival: a record
 * or a message. Timers that run in between do not end it. Only its first nanoseconds are spent with
 * polls, at most the user's limit, so that neither what arrives slowly nor what has stopped costs
 * more than one try. Tries in vain make tries rare, down to one quiet time in 64; an arrival within
 * the limit, met by a try or by a sleep, brings them back. How long a try lasts follows from how
 * soon the last arrivals came.
 *
 * While it spins the loop has not announced its sleep, so who posts a message need not wake it.
 * Loop thread only.
 */
#include "core/internal.h"

#define LEVEL_MAX    6  /* A try for every 2^6 quiet times when all are in vain. */
#define BUDGET_SHARE 16 /* A try lasts at least this part of the limit, */
#define BUDGET_TIMES 4  /* and this many times what it usually takes. */
#define USUAL_WEIGHT 8  /* An arrival moves what is usual by this part of the difference. */

void
rill__spin_init(rill__spin *spin, rill_ns limit)
{
    *spin = (rill__spin){ .limit = limit, .usual = limit, .budget = limit };
}

rill_ns
rill__spin_begin(rill__spin *spin)
{
    assert(spin->budget > 0 && spin->budget <= spin->limit);
    if (spin->skip > 0) {
        spin->skip--;
        return 0;
    }
    spin->tries++;
    return spin->budget;
}

static void
learn_arrival(rill__spin *spin, rill_ns gap)
{
    rill_ns budget;

    spin->usual += (gap - spin->usual) / USUAL_WEIGHT;
    budget = BUDGET_TIMES * spin->usual;
    if (budget < spin->limit / BUDGET_SHARE)
        budget = spin->limit / BUDGET_SHARE;
    spin->budget = budget > 0 && budget < spin->limit ? budget : spin->limit;
    spin->skip = 0;
}

void
rill__spin_hit(rill__spin *spin, rill_ns gap)
{
    spin->hits++;
    spin->level /= 2; /* One stroke of luck does not outweigh many tries in vain. */
    learn_arrival(spin, gap < spin->limit ? gap : spin->limit);
}

void
rill__spin_miss(rill__spin *spin)
{
    if (spin->level < LEVEL_MAX)
        spin->level++;
    spin->skip = (1u << spin->level) - 1;
    spin->budget = spin->limit; /* A short try says nothing about a long one. */
    spin->usual = spin->limit;
}

void
rill__spin_slept(rill__spin *spin, rill_ns gap)
{
    if (gap > spin->limit)
        return;
    /* Waking up is in the gap: a try would have been met even sooner. */
    spin->level = 0;
    learn_arrival(spin, gap);
}

static bool
has_arrived(rill_loop *loop)
{
    return rill__loop_ready(loop) != 0 || !rill__inbox_is_empty(loop->inbox) ||
           rill__mail_is_there(loop);
}

/* The gap that an arrival ends, and with it the quiet time. */
static rill_ns
end_quiet(rill__spin *spin, rill_ns now)
{
    rill_ns gap = now - spin->quiet_since;

    spin->quiet = false;
    return gap;
}

/* Poll until something arrives (true), the try ends or the deadline is there. */
static bool
poll_until(rill_loop *loop, rill_ns deadline, rill_ns *now, int *ret_rc)
{
    rill__spin *spin = &loop->spin;
    rill_ns end = deadline < spin->try_ends ? deadline : spin->try_ends;

    rill__inbox_awake(loop->inbox); /* An announcement of before: nobody need wake us. */
    do {
        spin->polls++;
        *ret_rc = loop->ops->wait(loop->driver, 0);
        *now = loop->ops->now(loop->driver);
        if (*ret_rc < 0 || has_arrived(loop))
            return true;
    } while (*now < end);
    return false;
}

int
rill__spin_wait(rill_loop *loop, rill_ns deadline)
{
    rill__spin *spin = &loop->spin;
    rill_ns now = loop->ops->now(loop->driver);
    rill_ns end = deadline != RILL_NEVER ? deadline : INT64_MAX;
    int rc = 0;

    if (!spin->quiet) {
        rill_ns budget = rill__spin_begin(spin);

        spin->quiet = true;
        spin->trying = budget > 0;
        spin->quiet_since = now;
        spin->try_ends = now + budget;
    }
    if (spin->trying && now < spin->try_ends && poll_until(loop, end, &now, &rc)) {
        if (rc >= 0)
            rill__spin_hit(spin, end_quiet(spin, now));
        return rc;
    }
    if (spin->trying && now >= spin->try_ends) {
        spin->trying = false;
        rill__spin_miss(spin);
    }
    if (spin->trying)
        return 0; /* To run the timer that is due; the try goes on after it. */
    rc = rill__loop_sleep(loop, deadline);
    if (rc >= 0 && has_arrived(loop))
        rill__spin_slept(spin, end_quiet(spin, loop->ops->now(loop->driver)));
    return rc;
}
