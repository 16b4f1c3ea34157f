/*
 * Events: set or not, and the tasks that wait for the first.
 *
 * Setting wakes them all, and nobody needs to look at the event again when it runs: it may be clear
 * by then. Invariant: nobody waits for one that is set. One thread.
 */
#include "tasks/sync.h"

typedef struct event {
    rill__sync sync;
    bool set;
} event;

static_assert(sizeof(event) <= sizeof(rill_event), "an event fits its public form");

const char rill__kind_event[] = "event";

static event *
event_of(rill_event *public, const char *function)
{
    event *self = (event *)(void *)public;

    rill__sync_check(&self->sync, rill__kind_event, function);
    return self;
}

void
rill_event_init_site(rill_event *public, const char *site)
{
    event *self = (event *)(void *)public;

    rill__sync_init(&self->sync, rill__kind_event, site);
    self->set = false;
}

void
rill_event_done(rill_event *public)
{
    rill__sync_done((rill__sync *)(void *)public, rill__kind_event, "rill_event_done");
}

void
rill_event_set(rill_event *public)
{
    event *self = event_of(public, "rill_event_set");
    rill__queuer *first;

    self->set = true;
    while ((first = rill__first_queuer(&self->sync.waiters)) != NULL)
        rill__queuer_serve(first, 0, "rill_event_set");
}

void
rill_event_clear(rill_event *public)
{
    event_of(public, "rill_event_clear")->set = false;
}

bool
rill_event_is_set(const rill_event *public)
{
    const event *self = (const event *)(const void *)public;

    rill__sync_check(&self->sync, rill__kind_event, "rill_event_is_set");
    return self->set;
}

int
rill_event_wait(rill_event *public)
{
    rill__fiber *fiber = rill__current();
    event *self;
    int rc;

    RILL__REQUIRE(public != NULL);
    self = event_of(public, "rill_event_wait");
    rc = rill__sync_may_wait(&self->sync, fiber);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (!self->set) {
        rill__queuer me = { .wait = { .cancel = rill__queuer_leave,
                                .what = "rill_event_wait",
                                .site = self->sync.site } };

        return rill__queue_up(fiber, &self->sync.waiters, &me);
    }
    rill__spend(fiber);
    return 0;
}
