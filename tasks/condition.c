/*
 * Conditions: a second queue in front of a lock.
 *
 * To notify a task is to move it from the condition's queue to the lock's: it is woken once, when
 * it has the lock. So it is with a cancel, which only decides what the wait returns. A notification
 * is no property of who got it: who is canceled before it runs again hands it to the next one, as
 * it may go without a look at what has changed. `inside` counts the tasks in a wait, as they use
 * the condition to the end of it. One thread.
 */
#include "tasks/sync.h"

typedef struct condition {
    rill__sync sync;
    rill__lock *lock;
    size_t inside;
    rill_lock own;
} condition;

typedef struct member {
    rill__lock_queuer lock; /* First: it queues there at last, */
    rill_ns moved;          /* since then. */
    condition *of;
} member;

#define LONG_FOR_A_LOCK RILL_S

static_assert(sizeof(condition) <= sizeof(rill_condition), "a condition fits its public form");

const char rill__kind_condition[] = "condition";

static condition *
condition_of(rill_condition *public, const char *function)
{
    condition *self = (condition *)(void *)public;

    rill__sync_check(&self->sync, rill__kind_condition, function);
    return self;
}

void
rill_condition_init_site(rill_condition *public, rill_lock *lock, const char *site)
{
    condition *self = (condition *)(void *)public;

    rill__sync_init(&self->sync, rill__kind_condition, site);
    self->inside = 0;
    rill_lock_init_site(&self->own, site);
    self->lock = rill__lock_of(lock != NULL ? lock : &self->own, "rill_condition_init");
}

void
rill_condition_done(rill_condition *public)
{
    condition *self = condition_of(public, "rill_condition_done");

    if (self->inside != 0)
        rill__panic("rill_condition_done: a task waits for the condition (made at %s), or for its "
                    "lock to return: have the tasks that use it end first",
            self->sync.site);
    rill_lock_done(&self->own);
    rill__sync_done(&self->sync, rill__kind_condition, "rill_condition_done");
}

rill_lock *
rill_condition_lock(rill_condition *public)
{
    return (rill_lock *)(void *)condition_of(public, "rill_condition_lock")->lock;
}

/* ---- from one queue to the other ---- */

static void
move_to_lock(member *self, int code)
{
    rill__queuer *queuer = &self->lock.queuer;
    rill__lock *lock = self->of->lock;

    self->lock.code = code;
    self->moved = rill__loop_now(queuer->wait.fiber->loop);
    queuer->wait.cancel = NULL;
    queuer->wait.what = "rill_condition_wait (its lock again)";
    queuer->wait.site = lock->sync.site;
    rill__list_remove(&queuer->link);
    rill__list_append(&lock->sync.waiters, &queuer->link);
}

static bool
on_cancel(rill__wait *wait)
{
    member *self = RILL__CONTAINER(wait, member, lock.queuer.wait);
    rill__lock *lock = self->of->lock;

    if (lock->held) {
        move_to_lock(self, RILL_ECANCELED);
        return false;
    }
    lock->held = true;
    return rill__queuer_leave(wait);
}

static int
notify(condition *self, size_t count, const char *function)
{
    rill__queuer *first;

    if (!self->lock->held)
        return RILL_ESTATE;
    for (; count > 0 && (first = rill__first_queuer(&self->sync.waiters)) != NULL; count--) {
        rill__check_thread(first->wait.fiber->loop, function);
        move_to_lock(RILL__CONTAINER(first, member, lock.queuer), 0);
    }
    return 0;
}

int
rill_condition_notify(rill_condition *public, size_t count)
{
    RILL__REQUIRE(public != NULL);
    return notify(condition_of(public, "rill_condition_notify"), count, "rill_condition_notify");
}

int
rill_condition_notify_all(rill_condition *public)
{
    RILL__REQUIRE(public != NULL);
    return notify(
        condition_of(public, "rill_condition_notify_all"), SIZE_MAX, "rill_condition_notify_all");
}

/* ---- waiting ---- */

/* A cancel is meant to end things soon. */
static RILL__RARE void
warn_if_late(const member *self, rill_loop *loop)
{
    rill_ns late = self->moved != RILL_NEVER ? rill__loop_now(loop) - self->moved : 0;
    char text[200];

    if (!loop->debug || late < LONG_FOR_A_LOCK)
        return;
    rill__task_describe(self->lock.queuer.wait.fiber->task, text, sizeof(text));
    rill__log(loop, RILL_LOG_WARNING,
        "%s is canceled and waited %lld ms for the lock (made at %s) that rill_condition_wait "
        "returns with: hold it for less",
        text, (long long)(late / RILL_MS), self->of->lock->sync.site);
}

static int
wait_here(condition *self, rill__fiber *fiber)
{
    member me = { .lock.queuer.wait = { .cancel = on_cancel,
                      .what = "rill_condition_wait",
                      .site = self->sync.site },
        .moved = RILL_NEVER,
        .of = self };
    int rc;

    self->inside++;
    rill__list_append(&self->sync.waiters, &me.lock.queuer.link);
    rill__lock_pass_on(self->lock, "rill_condition_wait");
    rc = rill__suspend(fiber, &me.lock.queuer.wait);
    if (rc == 0 && fiber->canceled) {
        (void)notify(self, 1, "rill_condition_wait"); /* The lock is held. */
        rc = RILL_ECANCELED;
    }
    if (RILL__UNLIKELY(rc == RILL_ECANCELED))
        warn_if_late(&me, fiber->loop);
    self->inside--;
    return rc;
}

int
rill_condition_wait(rill_condition *public)
{
    rill__fiber *fiber = rill__current();
    condition *self;
    int rc;

    RILL__REQUIRE(public != NULL);
    self = condition_of(public, "rill_condition_wait");
    rc = rill__sync_may_wait(&self->sync, fiber);
    if (rc < 0)
        return rc;
    if (rill__queue_is_foreign(&self->lock->sync.waiters, fiber))
        return rill__refuse_foreign(fiber, self->lock->sync.site);
    return self->lock->held ? wait_here(self, fiber) : RILL_ESTATE;
}

int
rill_condition_wait_for(rill_condition *public, rill_predicate predicate, void *arg)
{
    rill__fiber *fiber = rill__current();
    int value, rc;

    RILL__REQUIRE(public != NULL && predicate != NULL);
    rc = rill__sync_may_wait(&condition_of(public, "rill_condition_wait_for")->sync, fiber);
    if (rc < 0)
        return rc;
    value = predicate(arg);
    if (value != 0) {
        rill__spend(fiber);
        return value;
    }
    while (rc == 0 && value == 0) {
        rc = rill_condition_wait(public);
        value = rc == 0 ? predicate(arg) : 0;
    }
    return rc < 0 ? rc : value;
}
