/*
 * Signals for loops: one handler of the process, which tells everybody who has asked.
 *
 * Whoever asks is a watch on a list that the handler walks without a lock. Changes are made under
 * one; a watch that has left the list may go when no handler is inside. What a handler does is safe
 * in one: atomics, and the watch's wake. The action that was there is kept and put back by the last
 * watch that leaves, unless somebody has replaced ours meanwhile. SIGINT of a run (interrupt) has a
 * handler of its own beside that. A forked child starts without any of it, with the actions of
 * before. Any thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/driver/host.h"
#include "core/internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(rill__host_watch *) watches;
static _Atomic uint32_t inside; /* Handlers that walk the list, or look at `interrupted`. */
/* Under the lock: what was there before ours, and for how many watches ours is. */
static struct sigaction previous[RILL__SIGNAL_MAX + 1];
static uint32_t users[RILL__SIGNAL_MAX + 1];

static _Atomic(rill__host_watch *) interrupted; /* The run that SIGINT is for. */
static _Atomic uint32_t interrupts;
static struct sigaction before_interrupt;

static uint64_t
bit_of(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

/* ---- handlers ---- */

static void
on_signal(int signo)
{
    int kept = errno;

    atomic_fetch_add(&inside, 1);
    for (rill__host_watch *watch = atomic_load(&watches); watch != NULL;
         watch = atomic_load(&watch->next)) {
        if ((atomic_load(&watch->wanted) & bit_of(signo)) == 0)
            continue;
        atomic_fetch_or(&watch->came, bit_of(signo));
        watch->wake(watch);
    }
    atomic_fetch_sub(&inside, 1);
    errno = kept;
}

static void
set_action(int signo, void (*handler)(int), struct sigaction *ret_before)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK };

    sigfillset(&action.sa_mask);
    rill__check(sigaction(signo, &action, ret_before) == 0);
}

/* The second one ends the program as if nobody had asked: it is raised again, and comes when this
 * handler returns. */
static void
on_interrupt(int signo)
{
    int kept = errno;
    rill__host_watch *watch;

    atomic_fetch_add(&inside, 1);
    watch = atomic_load(&interrupted);
    if (watch != NULL && atomic_fetch_add(&interrupts, 1) == 0) {
        watch->wake(watch);
    } else {
        (void)signal(signo, SIG_DFL);
        (void)raise(signo);
    }
    atomic_fetch_sub(&inside, 1);
    errno = kept;
}

/* ---- the list ---- */

/* What a watch or a run was made of may go after this. */
static void
wait_for_handlers(void)
{
    while (atomic_load(&inside) != 0)
        rill__host_relax();
}

static bool
is_ours(int signo, void (*handler)(int))
{
    struct sigaction present;

    return sigaction(signo, NULL, &present) == 0 && (present.sa_flags & SA_SIGINFO) == 0 &&
           present.sa_handler == handler;
}

static void
prepare_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void
forked_parent(void)
{
    (void)pthread_mutex_unlock(&lock);
}

/* The loops are the parent's, and what they would have done with a signal is not done here. */
static void
forked_child(void)
{
    for (int signo = 1; signo <= RILL__SIGNAL_MAX; signo++) {
        if (users[signo] != 0 && is_ours(signo, on_signal))
            (void)sigaction(signo, &previous[signo], NULL);
        users[signo] = 0;
    }
    if (atomic_load(&interrupted) != NULL && is_ours(SIGINT, on_interrupt))
        (void)sigaction(SIGINT, &before_interrupt, NULL);
    atomic_store(&interrupted, NULL);
    atomic_store(&watches, NULL);
    atomic_store(&inside, 0);
    (void)pthread_mutex_unlock(&lock);
}

static void
follow_forks(void)
{
    (void)pthread_atfork(prepare_fork, forked_parent, forked_child);
}

void
rill__host_watch_begin(rill__host_watch *watch)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, follow_forks);
    (void)pthread_mutex_lock(&lock);
    atomic_store(&watch->next, atomic_load(&watches));
    atomic_store(&watches, watch);
    (void)pthread_mutex_unlock(&lock);
}

static void
unlink_watch(rill__host_watch *watch)
{
    rill__host_watch *at = atomic_load(&watches);

    if (at == watch) {
        atomic_store(&watches, atomic_load(&watch->next));
        return;
    }
    while (at != NULL && atomic_load(&at->next) != watch)
        at = atomic_load(&at->next);
    if (at != NULL)
        atomic_store(&at->next, atomic_load(&watch->next));
}

void
rill__host_watch_end(rill__host_watch *watch)
{
    for (int signo = 1; signo <= RILL__SIGNAL_MAX; signo++)
        rill__host_watch_remove(watch, signo);
    (void)pthread_mutex_lock(&lock);
    unlink_watch(watch);
    wait_for_handlers();
    (void)pthread_mutex_unlock(&lock);
}

/* ---- which signals ---- */

int
rill__host_signal_check(int signo)
{
    struct sigaction present;

    switch (signo) {
    case SIGKILL: /* Cannot be caught; */
    case SIGSTOP:
    case SIGSEGV: /* the instruction would be executed again, and so on for ever. */
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
        return RILL_EINVAL;
    default:
        break;
    }
    /* The C library's own ones are refused here. */
    return signo < 1 || signo > RILL__SIGNAL_MAX || sigaction(signo, NULL, &present) < 0
               ? RILL_EINVAL
               : 0;
}

void
rill__host_watch_add(rill__host_watch *watch, int signo)
{
    (void)pthread_mutex_lock(&lock);
    if ((atomic_fetch_or(&watch->wanted, bit_of(signo)) & bit_of(signo)) == 0 &&
        users[signo]++ == 0)
        set_action(signo, on_signal, &previous[signo]);
    (void)pthread_mutex_unlock(&lock);
}

void
rill__host_watch_remove(rill__host_watch *watch, int signo)
{
    (void)pthread_mutex_lock(&lock);
    if ((atomic_fetch_and(&watch->wanted, ~bit_of(signo)) & bit_of(signo)) != 0 &&
        users[signo] != 0 && --users[signo] == 0 && is_ours(signo, on_signal))
        (void)sigaction(signo, &previous[signo], NULL);
    (void)pthread_mutex_unlock(&lock);
}

uint64_t
rill__host_watch_take(rill__host_watch *watch)
{
    return atomic_exchange(&watch->came, 0);
}

/* ---- SIGINT of a run ---- */

static bool
is_default(int signo)
{
    struct sigaction present;

    return sigaction(signo, NULL, &present) == 0 && (present.sa_flags & SA_SIGINFO) == 0 &&
           present.sa_handler == SIG_DFL;
}

bool
rill__host_interrupt_begin(rill__host_watch *watch)
{
    bool begun = false;

    if (!rill__host_is_first_thread())
        return false;
    rill__host_watch_begin(watch); /* On the list for its memory alone: it wants nothing. */
    (void)pthread_mutex_lock(&lock);
    if (atomic_load(&interrupted) == NULL && is_default(SIGINT)) {
        atomic_store(&interrupts, 0);
        atomic_store(&interrupted, watch);
        set_action(SIGINT, on_interrupt, &before_interrupt);
        begun = true;
    }
    (void)pthread_mutex_unlock(&lock);
    if (!begun)
        rill__host_watch_end(watch);
    return begun;
}

uint32_t
rill__host_interrupt_end(rill__host_watch *watch)
{
    (void)pthread_mutex_lock(&lock);
    if (is_ours(SIGINT, on_interrupt))
        (void)sigaction(SIGINT, &before_interrupt, NULL);
    else if (users[SIGINT] != 0 && previous[SIGINT].sa_handler == on_interrupt)
        previous[SIGINT] = before_interrupt; /* A handler was added meanwhile, and stays. */
    atomic_store(&interrupted, NULL);
    (void)pthread_mutex_unlock(&lock);
    rill__host_watch_end(watch);
    return atomic_load(&interrupts);
}

void
rill__host_raise(int signo)
{
    (void)raise(signo);
}
