/*
 * Barriers: rounds of so many tasks.
 *
 * The last one to come gives each its number in order of arrival, so that the round is over before
 * any of them runs and the next one can begin: there is no time in which a barrier drains.
 * Invariant: `count` tasks are listed, fewer than it is for, and none while it is broken. One
 * thread.
 */
#include "tasks/sync.h"

typedef struct barrier {
    rill__sync sync;
    int parties;
    int count; /* Who waits. */
    bool broken;
} barrier;

typedef struct party {
    rill__queuer queuer;
    barrier *at;
} party;

static_assert(sizeof(barrier) <= sizeof(rill_barrier), "a barrier fits its public form");

const char rill__kind_barrier[] = "barrier";

static barrier *
barrier_of(rill_barrier *public, const char *function)
{
    barrier *self = (barrier *)(void *)public;

    rill__sync_check(&self->sync, rill__kind_barrier, function);
    return self;
}

static const barrier *
const_barrier_of(const rill_barrier *public, const char *function)
{
    const barrier *self = (const barrier *)(const void *)public;

    rill__sync_check(&self->sync, rill__kind_barrier, function);
    return self;
}

int
rill_barrier_init_site(rill_barrier *public, int parties, const char *site)
{
    barrier *self = (barrier *)(void *)public;

    RILL__REQUIRE(public != NULL && parties >= 1);
    rill__sync_init(&self->sync, rill__kind_barrier, site);
    self->parties = parties;
    self->count = 0;
    self->broken = false;
    return 0;
}

void
rill_barrier_done(rill_barrier *public)
{
    rill__sync_done((rill__sync *)(void *)public, rill__kind_barrier, "rill_barrier_done");
}

static bool
on_cancel(rill__wait *wait)
{
    party *self = RILL__CONTAINER(RILL__CONTAINER(wait, rill__queuer, wait), party, queuer);

    self->at->count--;
    return rill__queuer_leave(wait);
}

static int
queue_up(barrier *self, rill__fiber *fiber)
{
    party me = { .queuer.wait = { .cancel = on_cancel,
                     .what = "rill_barrier_wait",
                     .site = self->sync.site },
        .at = self };

    self->count++;
    return rill__queue_up(fiber, &self->sync.waiters, &me.queuer);
}

int
rill_barrier_wait(rill_barrier *public)
{
    rill__fiber *fiber = rill__current();
    rill__queuer *first;
    barrier *self;
    int number = 0;
    int rc;

    RILL__REQUIRE(public != NULL);
    self = barrier_of(public, "rill_barrier_wait");
    rc = rill__sync_may_wait(&self->sync, fiber);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (self->broken)
        return RILL_EBROKEN;
    if (self->count + 1 < self->parties)
        return queue_up(self, fiber);
    while ((first = rill__first_queuer(&self->sync.waiters)) != NULL)
        rill__queuer_serve(first, number++, "rill_barrier_wait");
    assert(number == self->count);
    self->count = 0;
    rill__spend(fiber);
    return number;
}

/* ---- ending a round ---- */

static void
fail_round(barrier *self, const char *function)
{
    rill__queuer *first;

    self->count = 0;
    while ((first = rill__first_queuer(&self->sync.waiters)) != NULL)
        rill__queuer_serve(first, RILL_EBROKEN, function);
}

void
rill_barrier_reset(rill_barrier *public)
{
    barrier *self = barrier_of(public, "rill_barrier_reset");

    self->broken = false;
    fail_round(self, "rill_barrier_reset");
}

void
rill_barrier_abort(rill_barrier *public)
{
    barrier *self = barrier_of(public, "rill_barrier_abort");

    self->broken = true;
    fail_round(self, "rill_barrier_abort");
}

int
rill_barrier_parties(const rill_barrier *public)
{
    return const_barrier_of(public, "rill_barrier_parties")->parties;
}

int
rill_barrier_waiting(const rill_barrier *public)
{
    return const_barrier_of(public, "rill_barrier_waiting")->count;
}

bool
rill_barrier_is_broken(const rill_barrier *public)
{
    return const_barrier_of(public, "rill_barrier_is_broken")->broken;
}
