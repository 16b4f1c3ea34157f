/*
 * What tasks share and wait for: locks, events, conditions, semaphores, barriers. asyncio's, with
 * its order and without its accidents.
 *
 *     static rill_lock lock;
 *
 *     rill_lock_init(&lock);
 *     ...
 *     RILL_TRY(rill_lock_acquire(&lock));
 *     ...                                  // It may wait here, and be canceled: it has the lock.
 *     RILL_IGNORE(rill_lock_release(&lock));
 *
 * Each is a struct of yours: it begins with its init, costs no memory of the library's, is not
 * moved or copied, and ends with its done before its memory goes. Ending one that a task waits for,
 * and using one that was not begun, end the process with a message that names it.
 *
 * They need no loop until a task waits. Those who wait for one at the same time are tasks of one
 * loop; RILL_EWRONGLOOP for others. Who waits is served in the order of arrival, and who arrives
 * later never goes before. What is given to a waiting task is its own from that moment: if it is
 * canceled after, its call succeeds all the same and the next wait says RILL_ECANCELED. A task that
 * is canceled before that waits no longer and has got nothing. There are no timeouts here: see
 * rill_timeout_begin.
 *
 * Functions that wait are a task's and answer RILL_ENOTASK elsewhere. All others may be called by
 * callbacks too, and by canceled tasks. All are for one thread: from another one, have the loop
 * call them (rill_call_soon_threadsafe).
 */
#ifndef RILL_SYNC_H
#define RILL_SYNC_H

#include <rill/task.h>

RILL_BEGIN

/* ---- lock: one task at a time ---- */

typedef struct rill_lock {
    void *opaque_[6];
} rill_lock;

/* Begin it, free; and end it, held or not. */
#define rill_lock_init(lock) rill_lock_init_site(lock, RILL_SITE("lock"))
RILL_API void rill_lock_init_site(rill_lock *lock, const char *site);
RILL_API void rill_lock_done(rill_lock *lock);

/* Wait until it is mine; at once when it is free. A task that has it already waits for itself.
 * Returns 0, RILL_ECANCELED, RILL_ENOTASK or RILL_EWRONGLOOP. asyncio: Lock.acquire. */
RILL_API RILL_MUST_CHECK int rill_lock_acquire(rill_lock *lock);

/* Take it if it is free: true, and it is the caller's. */
RILL_API RILL_MUST_CHECK bool rill_lock_try_acquire(rill_lock *lock);

/* Give it to who has waited longest, or free it. Anybody may, not only who acquired it. Returns 0,
 * or RILL_ESTATE when it is free. */
RILL_API int rill_lock_release(rill_lock *lock);

/* asyncio: locked. */
RILL_API bool rill_lock_is_locked(const rill_lock *lock);

#if defined(__GNUC__)

typedef struct rill_locked_ {
    rill_lock *lock;
    bool held;
    bool entered;
} rill_locked_;

/* What RILL_LOCKED does at its ends. */
static inline rill_locked_
rill_locked_enter_(rill_lock *lock, int *ret_rc)
{
    rill_locked_ block;

    *ret_rc = rill_lock_acquire(lock);
    block.lock = lock;
    block.held = *ret_rc == 0;
    block.entered = false;
    return block;
}
static inline void
rill_locked_leave_(rill_locked_ *block)
{
    if (block->held)
        (void)rill_lock_release(block->lock);
}

/*
 * A block that runs with the lock held:
 *
 *     RILL_LOCKED(&lock, rc) {
 *         rc = change(&what_it_protects);
 *     }
 *
 * Where the lock is not acquired the block is left out, and the int variable `rc` says why. It is
 * released however the block is left: by its end, break, return or goto. asyncio: async with lock.
 */
#define RILL_LOCKED(lock_, rc_)                                                            \
    for (rill_locked_ RILL_BLOCK_                                                          \
         __attribute__((cleanup(rill_locked_leave_))) = rill_locked_enter_(lock_, &(rc_)); \
         RILL_BLOCK_.held && !RILL_BLOCK_.entered; RILL_BLOCK_.entered = true)

#endif

/* ---- event: something has happened ---- */

typedef struct rill_event {
    void *opaque_[6];
} rill_event;

/* Begin it, not set; and end it. */
#define rill_event_init(event) rill_event_init_site(event, RILL_SITE("event"))
RILL_API void rill_event_init_site(rill_event *event, const char *site);
RILL_API void rill_event_done(rill_event *event);

/* Wake all who wait, even if it is cleared at once; from now on nobody waits, until it is cleared.
 * Setting what is set is harmless. */
RILL_API void rill_event_set(rill_event *event);
RILL_API void rill_event_clear(rill_event *event);
RILL_API bool rill_event_is_set(const rill_event *event);

/* Wait until it is set; at once when it is. Returns 0, RILL_ECANCELED, RILL_ENOTASK or
 * RILL_EWRONGLOOP. */
RILL_API RILL_MUST_CHECK int rill_event_wait(rill_event *event);

/* ---- condition: what a lock protects has changed ---- */

typedef struct rill_condition {
    void *opaque_[14];
} rill_condition;

/* What rill_condition_wait_for waits for: 0 while it is not so. It must not wait. */
typedef int (*rill_predicate)(void *arg);

/* Begin it, over `lock` or, with NULL, one of its own; and end it, and its own lock with it. */
#define rill_condition_init(condition, lock) \
    rill_condition_init_site(condition, lock, RILL_SITE("condition"))
RILL_API void
rill_condition_init_site(rill_condition *condition, rill_lock *lock, const char *site);
RILL_API void rill_condition_done(rill_condition *condition);

/* Its lock, for rill_lock_acquire, rill_lock_release and rill_lock_is_locked. */
RILL_API rill_lock *rill_condition_lock(rill_condition *condition);

/*
 * Release the lock, wait to be notified, and acquire it again, whoever calls: the lock is held when
 * it returns. That last part a cancel does not end: it lasts as long as others hold the lock (in
 * debug mode a warning tells of more than a second). Look at what you wait for again then, as
 * another task may have been faster. Who is canceled before it runs again gives the notification to
 * the next one who waits.
 *
 * Returns 0; RILL_ECANCELED; RILL_ESTATE when the lock is free: then it has acquired nothing, as
 * with RILL_ENOTASK and RILL_EWRONGLOOP.
 */
RILL_API RILL_MUST_CHECK int rill_condition_wait(rill_condition *condition);

/* Wait until `predicate(arg)`, called with the lock held, is not 0. It is asked first of all; with
 * the answer known the lock need not be held. Returns what it said; else as rill_condition_wait. */
RILL_API RILL_MUST_CHECK int
rill_condition_wait_for(rill_condition *condition, rill_predicate predicate, void *arg);

/* Wake the first `count` who wait, or all. They run when they have the lock. Return 0, or
 * RILL_ESTATE when the lock is free. */
RILL_API int rill_condition_notify(rill_condition *condition, size_t count);
RILL_API int rill_condition_notify_all(rill_condition *condition);

/* ---- semaphore: so many at a time ---- */

typedef struct rill_semaphore {
    void *opaque_[8];
} rill_semaphore;

/*
 * Begin it with `value` to be had; a bounded one never has more than that. Returns 0, or
 * RILL_EINVAL for a value below 0. asyncio: Semaphore, BoundedSemaphore.
 */
#define rill_semaphore_init(semaphore, value) \
    rill_semaphore_init_site(semaphore, value, RILL_SITE("semaphore"))
RILL_API int rill_semaphore_init_site(rill_semaphore *semaphore, int value, const char *site);
#define rill_semaphore_init_bounded(semaphore, value) \
    rill_semaphore_init_bounded_site(semaphore, value, RILL_SITE("semaphore"))
RILL_API int
rill_semaphore_init_bounded_site(rill_semaphore *semaphore, int value, const char *site);
/* End it. */
RILL_API void rill_semaphore_done(rill_semaphore *semaphore);

/* Wait for one; at once when there is one. Returns 0, RILL_ECANCELED, RILL_ENOTASK or
 * RILL_EWRONGLOOP. */
RILL_API RILL_MUST_CHECK int rill_semaphore_acquire(rill_semaphore *semaphore);

/* Take one if there is one: true. */
RILL_API RILL_MUST_CHECK bool rill_semaphore_try_acquire(rill_semaphore *semaphore);

/* Give one to who has waited longest, or put it back. Anybody may. Returns 0, or RILL_ESTATE when a
 * bounded one has all that it began with, or another one INT_MAX: nothing has changed then. */
RILL_API int rill_semaphore_release(rill_semaphore *semaphore);

/* How many are to be had; and are there none? asyncio: locked. */
RILL_API int rill_semaphore_value(const rill_semaphore *semaphore);
RILL_API bool rill_semaphore_is_locked(const rill_semaphore *semaphore);

/* ---- barrier: all of us ---- */

typedef struct rill_barrier {
    void *opaque_[8];
} rill_barrier;

/* Begin it for rounds of `parties` tasks. Returns 0, or RILL_EINVAL for less than 1. */
#define rill_barrier_init(barrier, parties) \
    rill_barrier_init_site(barrier, parties, RILL_SITE("barrier"))
RILL_API int rill_barrier_init_site(rill_barrier *barrier, int parties, const char *site);
/* End it. */
RILL_API void rill_barrier_done(rill_barrier *barrier);

/*
 * Wait until as many as it is for have come. The last one goes on at once and lets the others go;
 * from then on it counts the next round. A task that is canceled while it waits has not come, and
 * breaks nothing.
 *
 * Returns this one's number in the round, from 0 in order of arrival; RILL_EBROKEN after
 * rill_barrier_abort, or when it is reset meanwhile; RILL_ECANCELED, RILL_ENOTASK, RILL_EWRONGLOOP.
 */
RILL_API RILL_MUST_CHECK int rill_barrier_wait(rill_barrier *barrier);

/* Begin a new round: RILL_EBROKEN for those who wait, and it is not broken any more. */
RILL_API void rill_barrier_reset(rill_barrier *barrier);
/* RILL_EBROKEN for those who wait and all who come, until it is reset. */
RILL_API void rill_barrier_abort(rill_barrier *barrier);

/* How many it is for, how many of them wait, and is it broken? asyncio: parties, n_waiting,
 * broken. */
RILL_API int rill_barrier_parties(const rill_barrier *barrier);
RILL_API int rill_barrier_waiting(const rill_barrier *barrier);
RILL_API bool rill_barrier_is_broken(const rill_barrier *barrier);

RILL_END

#endif
