/*
 * Threads with a name and no signals, and what they wait with: locks, and conditions on the
 * monotonic clock.
 *
 * Signals stay with the threads of the program: one that is started here has all of them blocked
 * from its first instruction on. Wrong use of a lock ends the process. No state; any thread.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/driver/host.h"
#include "core/internal.h"

static_assert(sizeof(pthread_mutex_t) <= sizeof(rill__host_lock), "a lock fits");
static_assert(sizeof(pthread_cond_t) <= sizeof(rill__host_condition), "a condition fits");

/* ---- threads ---- */

int
rill__host_thread_begin(void *(*fn)(void *arg), void *arg, const char *name, uintptr_t *ret_thread)
{
    char short_name[16]; /* The kernel's limit. */
    sigset_t all, before;
    pthread_t thread;
    size_t len = strnlen(name, sizeof(short_name) - 1);
    int error;

    memcpy(short_name, name, len);
    short_name[len] = '\0';
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* Fails on bad arguments only. */
    error = pthread_create(&thread, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return -error;
    (void)pthread_setname_np(thread, short_name); /* It works without one, too. */
    *ret_thread = (uintptr_t)thread;
    return 0;
}

void
rill__host_thread_detach(uintptr_t thread)
{
    (void)pthread_detach((pthread_t)thread); /* Fails for wrong handles only. */
}

bool
rill__host_is_first_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

void
rill__host_relax(void)
{
    (void)sched_yield();
}

/* ---- locks and conditions ---- */

static pthread_mutex_t *
mutex_of(rill__host_lock *lock)
{
    return (pthread_mutex_t *)(void *)lock;
}

static pthread_cond_t *
cond_of(rill__host_condition *condition)
{
    return (pthread_cond_t *)(void *)condition;
}

int
rill__host_lock_init(rill__host_lock *lock)
{
    return -pthread_mutex_init(mutex_of(lock), NULL);
}

void
rill__host_lock_done(rill__host_lock *lock)
{
    rill__check(pthread_mutex_destroy(mutex_of(lock)) == 0);
}

void
rill__host_lock_take(rill__host_lock *lock)
{
    rill__check(pthread_mutex_lock(mutex_of(lock)) == 0);
}

void
rill__host_lock_release(rill__host_lock *lock)
{
    rill__check(pthread_mutex_unlock(mutex_of(lock)) == 0);
}

int
rill__host_condition_init(rill__host_condition *condition)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0)
        return -error;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* A clock that it knows. */
    error = pthread_cond_init(cond_of(condition), &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -error;
}

void
rill__host_condition_done(rill__host_condition *condition)
{
    rill__check(pthread_cond_destroy(cond_of(condition)) == 0);
}

bool
rill__host_condition_wait(rill__host_condition *condition, rill__host_lock *lock, rill_ns deadline)
{
    struct timespec until = { .tv_sec = (time_t)(deadline / RILL_S),
        .tv_nsec = (long)(deadline % RILL_S) };
    int error;

    if (deadline == RILL_NEVER)
        error = pthread_cond_wait(cond_of(condition), mutex_of(lock));
    else
        error = pthread_cond_timedwait(cond_of(condition), mutex_of(lock), &until);
    rill__check(error == 0 || error == ETIMEDOUT);
    return error == 0;
}

void
rill__host_condition_wake(rill__host_condition *condition)
{
    (void)pthread_cond_signal(cond_of(condition)); /* Never fails. */
}

void
rill__host_condition_wake_all(rill__host_condition *condition)
{
    (void)pthread_cond_broadcast(cond_of(condition)); /* Never fails. */
}
