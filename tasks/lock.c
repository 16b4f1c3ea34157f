/*
 * Queues of tasks for what they share, and the first of these things, the lock.
 *
 * A lock is handed over: who releases it gives it to the first in line, which has it before it
 * runs. So nobody who arrives meanwhile can take it, and a cancel that comes too late finds it held
 * by the canceled. Invariant: tasks wait only for a lock that is held. One thread.
 */
#include "tasks/sync.h"

static_assert(sizeof(rill__lock) <= sizeof(rill_lock), "a lock fits its public form");

const char rill__kind_lock[] = "lock";

/* ---- queues ---- */

bool
rill__queuer_leave(rill__wait *wait)
{
    rill__list_remove(&RILL__CONTAINER(wait, rill__queuer, wait)->link);
    return true;
}

void
rill__queuer_serve(rill__queuer *queuer, int code, const char *function)
{
    rill__check_thread(queuer->wait.fiber->loop, function);
    rill__list_remove(&queuer->link);
    rill__wake(queuer->wait.fiber, code);
}

int
rill__queue_up(rill__fiber *fiber, rill__link *waiters, rill__queuer *self)
{
    rill__list_append(waiters, &self->link);
    return rill__suspend(fiber, &self->wait);
}

/* ---- objects ---- */

void
rill__sync_init(rill__sync *self, const char *kind, const char *site)
{
    self->kind = kind;
    self->site = site;
    rill__list_init(&self->waiters);
}

void
rill__sync_done(rill__sync *self, const char *kind, const char *function)
{
    rill__sync_check(self, kind, function);
    if (!rill__list_empty(&self->waiters))
        rill__panic(
            "%s: a task waits for the %s (made at %s): have the tasks that use it end first",
            function, kind, self->site);
    self->kind = NULL;
}

void
rill__sync_panic(const rill__sync *self, const char *kind, const char *function)
{
    rill__panic("%s: %p is no %s: it was not begun with rill_%s_init, or it has ended", function,
        (const void *)self, kind, kind);
}

/* ---- locks ---- */

void
rill_lock_init_site(rill_lock *lock, const char *site)
{
    rill__lock *self = (rill__lock *)(void *)lock;

    rill__sync_init(&self->sync, rill__kind_lock, site);
    self->held = false;
}

void
rill_lock_done(rill_lock *lock)
{
    rill__sync_done((rill__sync *)(void *)lock, rill__kind_lock, "rill_lock_done");
}

int
rill_lock_acquire(rill_lock *lock)
{
    rill__fiber *fiber = rill__current();
    rill__lock *self;
    int rc;

    RILL__REQUIRE(lock != NULL);
    self = rill__lock_of(lock, "rill_lock_acquire");
    rc = rill__sync_may_wait(&self->sync, fiber);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (self->held) {
        rill__lock_queuer me = { .queuer.wait = { .cancel = rill__queuer_leave,
                                     .what = "rill_lock_acquire",
                                     .site = self->sync.site } };

        return rill__queue_up(fiber, &self->sync.waiters, &me.queuer);
    }
    self->held = true;
    rill__spend(fiber);
    return 0;
}

bool
rill_lock_try_acquire(rill_lock *lock)
{
    rill__lock *self = rill__lock_of(lock, "rill_lock_try_acquire");

    if (self->held)
        return false;
    self->held = true;
    return true;
}

void
rill__lock_pass_on(rill__lock *self, const char *function)
{
    rill__queuer *first = rill__first_queuer(&self->sync.waiters);

    assert(self->held);
    if (first != NULL)
        rill__queuer_serve(
            first, RILL__CONTAINER(first, rill__lock_queuer, queuer)->code, function);
    else
        self->held = false;
}

int
rill_lock_release(rill_lock *lock)
{
    rill__lock *self;

    RILL__REQUIRE(lock != NULL);
    self = rill__lock_of(lock, "rill_lock_release");
    if (RILL__UNLIKELY(!self->held))
        return RILL_ESTATE;
    rill__lock_pass_on(self, "rill_lock_release");
    return 0;
}

bool
rill_lock_is_locked(const rill_lock *lock)
{
    const rill__lock *self = (const rill__lock *)(const void *)lock;

    rill__sync_check(&self->sync, rill__kind_lock, "rill_lock_is_locked");
    return self->held;
}
