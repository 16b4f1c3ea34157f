/*
 * Semaphores: a number of things to be had, handed over like a lock.
 *
 * What is released goes to the first in line without being counted as free in between. Invariant:
 * tasks wait only while there is nothing to be had. One thread.
 */
#include <limits.h>

#include "tasks/sync.h"

typedef struct semaphore {
    rill__sync sync;
    int value;
    int bound; /* The most there may be. */
} semaphore;

static_assert(sizeof(semaphore) <= sizeof(rill_semaphore), "a semaphore fits its public form");

const char rill__kind_semaphore[] = "semaphore";

static semaphore *
semaphore_of(rill_semaphore *public, const char *function)
{
    semaphore *self = (semaphore *)(void *)public;

    rill__sync_check(&self->sync, rill__kind_semaphore, function);
    return self;
}

static int
init(rill_semaphore *public, int value, int bound, const char *site)
{
    semaphore *self = (semaphore *)(void *)public;

    RILL__REQUIRE(public != NULL && value >= 0);
    rill__sync_init(&self->sync, rill__kind_semaphore, site);
    self->value = value;
    self->bound = bound;
    return 0;
}

int
rill_semaphore_init_site(rill_semaphore *public, int value, const char *site)
{
    return init(public, value, INT_MAX, site);
}

int
rill_semaphore_init_bounded_site(rill_semaphore *public, int value, const char *site)
{
    return init(public, value, value, site);
}

void
rill_semaphore_done(rill_semaphore *public)
{
    rill__sync_done((rill__sync *)(void *)public, rill__kind_semaphore, "rill_semaphore_done");
}

int
rill_semaphore_acquire(rill_semaphore *public)
{
    rill__fiber *fiber = rill__current();
    semaphore *self;
    int rc;

    RILL__REQUIRE(public != NULL);
    self = semaphore_of(public, "rill_semaphore_acquire");
    rc = rill__sync_may_wait(&self->sync, fiber);
    if (RILL__UNLIKELY(rc < 0))
        return rc;
    if (self->value == 0) {
        rill__queuer me = { .wait = { .cancel = rill__queuer_leave,
                                .what = "rill_semaphore_acquire",
                                .site = self->sync.site } };

        return rill__queue_up(fiber, &self->sync.waiters, &me);
    }
    self->value--;
    rill__spend(fiber);
    return 0;
}

bool
rill_semaphore_try_acquire(rill_semaphore *public)
{
    semaphore *self = semaphore_of(public, "rill_semaphore_try_acquire");

    if (self->value == 0)
        return false;
    self->value--;
    return true;
}

int
rill_semaphore_release(rill_semaphore *public)
{
    semaphore *self;
    rill__queuer *first;

    RILL__REQUIRE(public != NULL);
    self = semaphore_of(public, "rill_semaphore_release");
    if (self->value >= self->bound)
        return RILL_ESTATE;
    first = rill__first_queuer(&self->sync.waiters);
    assert(first == NULL || self->value == 0);
    if (first != NULL)
        rill__queuer_serve(first, 0, "rill_semaphore_release");
    else
        self->value++;
    return 0;
}

int
rill_semaphore_value(const rill_semaphore *public)
{
    const semaphore *self = (const semaphore *)(const void *)public;

    rill__sync_check(&self->sync, rill__kind_semaphore, "rill_semaphore_value");
    return self->value;
}

bool
rill_semaphore_is_locked(const rill_semaphore *public)
{
    return rill_semaphore_value(public) == 0;
}
