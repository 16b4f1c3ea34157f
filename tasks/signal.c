/*
 * Signals: handlers of a loop, and tasks that wait for one.
 *
 * The process's handler (core/driver) sets a bit in the loop's watch and posts its mail. When that
 * is taken, a node of the ready list tells the handlers, tasks are woken, and what was waited for
 * once and has nobody now is kept. A signal is caught as long as the loop has a handler, a waiting
 * task or the memory of one. Each handler and each waiting task holds the loop. Loop
 * thread only, but for wake.
 */
#include <rill/signal.h>

#include "tasks/internal.h"

typedef struct handler {
    rill_signal_fn fn; /* NULL: none. */
    void *arg;
} handler;

typedef struct rill__signals {
    rill__host_watch watch;
    rill__mail mail;
    rill__ready ready;
    bool queued; /* `ready` is. */
    rill_loop *loop;
    rill__link waiters;
    uint64_t due;    /* To be told to handlers; */
    uint64_t sticky; /* waited for once; */
    uint64_t kept;   /* of these, come meanwhile. */
    handler handlers[RILL__SIGNAL_MAX];
} rill__signals;

typedef struct signal_wait {
    rill__wait wait;
    rill__link link;
    uint64_t wanted;
} signal_wait;

static uint64_t
bit_of(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

static int
lowest(uint64_t bits)
{
    return __builtin_ctzll(bits) + 1;
}

/* ---- arrival ---- */

/* In a signal handler. */
static void
wake(rill__host_watch *watch)
{
    rill__signals *self = RILL__CONTAINER(watch, rill__signals, watch);

    rill__mail_post(self->loop, &self->mail);
}

static void
tell_handlers(rill__ready *ready)
{
    rill__signals *self = RILL__CONTAINER(ready, rill__signals, ready);

    self->queued = false;
    while (self->due != 0) {
        int signo = lowest(self->due);
        handler told = self->handlers[signo - 1];

        self->due &= ~bit_of(signo);
        if (told.fn != NULL && !self->loop->freeing)
            told.fn(signo, told.arg);
    }
}

static void
leave(signal_wait *waiter)
{
    rill__list_remove(&waiter->link);
    atomic_fetch_sub(&waiter->wait.fiber->loop->holds, 1);
}

static uint64_t
tell_tasks(rill__signals *self, uint64_t came)
{
    uint64_t told = 0;

    for (rill__link *link = self->waiters.next; link != &self->waiters;) {
        signal_wait *waiter = RILL__CONTAINER(link, signal_wait, link);
        uint64_t both = waiter->wanted & came;

        link = link->next;
        if (both == 0)
            continue;
        told |= bit_of(lowest(both));
        leave(waiter);
        rill__wake(waiter->wait.fiber, lowest(both));
    }
    return told;
}

static void
arrived(rill__mail *mail)
{
    rill__signals *self = RILL__CONTAINER(mail, rill__signals, mail);
    uint64_t came = rill__host_watch_take(&self->watch);
    uint64_t told = tell_tasks(self, came);

    self->kept |= came & self->sticky & ~told;
    for (int signo = 1; signo <= RILL__SIGNAL_MAX; signo++) {
        if ((came & bit_of(signo)) != 0 && self->handlers[signo - 1].fn != NULL)
            self->due |= bit_of(signo);
    }
    if (self->due == 0 || self->queued)
        return;
    self->queued = true;
    rill__loop_push(self->loop, &self->ready);
}

/* ---- asking ---- */

static int
begin(rill_loop *loop, const char *function)
{
    rill__signals *self;
    int rc;

    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    rill__check_thread(loop, function);
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, function);
    rc = rill__tasks_begin(loop);
    if (rc < 0 || loop->tasks->signals != NULL)
        return rc;
    self = rill__alloc_zeroed(loop, sizeof(*self), RILL_TAG_TASK);
    if (self == NULL)
        return rill__fail_call(loop, -ENOMEM, function);
    self->watch.wake = wake;
    self->mail.fn = arrived;
    self->ready.run = tell_handlers;
    self->loop = loop;
    rill__list_init(&self->waiters);
    loop->tasks->signals = self;
    rill__host_watch_begin(&self->watch);
    return 0;
}

int
rill_add_signal_handler(rill_loop *loop, int signo, rill_signal_fn fn, void *arg)
{
    handler *place;
    int rc;

    RILL__REQUIRE(loop != NULL && fn != NULL);
    rc = rill__host_signal_check(signo);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_LOOP,
            "rill_add_signal_handler: %d is no signal that can be caught", signo);
    rc = begin(loop, "rill_add_signal_handler");
    if (rc < 0)
        return rc;
    place = &loop->tasks->signals->handlers[signo - 1];
    if (place->fn == NULL)
        atomic_fetch_add(&loop->holds, 1);
    *place = (handler){ fn, arg };
    rill__host_watch_add(&loop->tasks->signals->watch, signo);
    return 0;
}

static bool
is_waited_for(const rill__signals *self, int signo)
{
    for (const rill__link *link = self->waiters.next; link != &self->waiters; link = link->next) {
        if ((RILL__CONTAINER(link, signal_wait, link)->wanted & bit_of(signo)) != 0)
            return true;
    }
    return false;
}

bool
rill_remove_signal_handler(rill_loop *loop, int signo)
{
    rill__signals *self;
    handler *place;
    bool had;

    rill__check_thread(loop, "rill_remove_signal_handler");
    self = loop->tasks != NULL ? loop->tasks->signals : NULL;
    if (self == NULL || signo < 1 || signo > RILL__SIGNAL_MAX)
        return false;
    place = &self->handlers[signo - 1];
    had = place->fn != NULL || (self->sticky & bit_of(signo)) != 0;
    if (place->fn != NULL)
        atomic_fetch_sub(&loop->holds, 1);
    *place = (handler){ NULL, NULL };
    self->due &= ~bit_of(signo);
    self->kept &= ~bit_of(signo);
    if (is_waited_for(self, signo))
        return had;
    self->sticky &= ~bit_of(signo);
    rill__host_watch_remove(&self->watch, signo);
    return had;
}

/* ---- waiting ---- */

static bool
cancel_wait(rill__wait *wait)
{
    leave(RILL__CONTAINER(wait, signal_wait, wait));
    return true;
}

static int
check(rill_loop *loop, const int *signals, size_t count, uint64_t *ret_bits)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < count; i++) {
        if (rill__host_signal_check(signals[i]) < 0)
            return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
                "rill_signal_wait: %d is no signal that can be caught", signals[i]);
        bits |= bit_of(signals[i]);
    }
    *ret_bits = bits;
    return 0;
}

static void
catch_all(rill__signals *self, uint64_t bits)
{
    for (int signo = 1; signo <= RILL__SIGNAL_MAX; signo++) {
        if ((bits & ~self->sticky & bit_of(signo)) != 0)
            rill__host_watch_add(&self->watch, signo);
    }
    self->sticky |= bits;
}

int
rill_signal_wait(const int *signals, size_t count)
{
    rill__fiber *fiber = rill__current();
    signal_wait self = { .wait = { .what = "rill_signal_wait", .cancel = cancel_wait } };
    rill__signals *all;
    int rc;

    RILL__REQUIRE(signals != NULL && count > 0);
    rc = rill__may_wait(fiber);
    if (rc == 0)
        rc = check(fiber->loop, signals, count, &self.wanted);
    if (rc == 0)
        rc = begin(fiber->loop, "rill_signal_wait");
    if (rc < 0)
        return rc;
    all = fiber->loop->tasks->signals;
    catch_all(all, self.wanted);
    if ((all->kept & self.wanted) != 0) {
        rc = lowest(all->kept & self.wanted);
        all->kept &= ~bit_of(rc);
        rill__spend(fiber);
        return rc;
    }
    rill__list_append(&all->waiters, &self.link);
    atomic_fetch_add(&fiber->loop->holds, 1);
    return rill__suspend(fiber, &self.wait);
}

/* ---- the loop's end ---- */

void
rill__signals_done(rill_loop *loop)
{
    rill__signals *self = loop->tasks->signals;

    if (self == NULL)
        return;
    rill__host_watch_end(&self->watch);
    rill__free(loop, self, sizeof(*self), RILL_TAG_TASK);
    loop->tasks->signals = NULL;
}
