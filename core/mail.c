/*
 * Mail: messages that need no memory, for senders that cannot be refused: threads that have ended a
 * job, signal handlers.
 *
 * Each message is a node inside of what it tells about, and is on its way once at most: posted
 * again meanwhile it is the same one. Senders push onto a stack without a lock; the loop takes all
 * of it at the beginning of a turn. Its function runs there and only schedules. A sender counts
 * itself in `mailers` while it touches the loop, which is not freed before they are none. Who posts
 * makes sure that the loop is alive then. Posting: any thread and signal handlers; else the loop's.
 */
#include "core/internal.h"

#define PAUSE (50 * RILL_US)

void
rill__mail_post(rill_loop *loop, rill__mail *mail)
{
    rill__mail *newest;

    if (atomic_exchange(&mail->posted, true))
        return;
    atomic_fetch_add(&loop->mailers, 1);
    newest = atomic_load(&loop->mail);
    do
        mail->next = newest;
    while (!atomic_compare_exchange_weak(&loop->mail, &newest, mail));
    /* Its memory may be gone from here on. Whoever found an empty stack wakes for all. */
    if (newest == NULL)
        loop->ops->wake(loop->driver);
    atomic_fetch_sub(&loop->mailers, 1);
}

void
rill__mail_take(rill_loop *loop)
{
    rill__mail *newest = atomic_exchange(&loop->mail, NULL);
    rill__mail *oldest = NULL;

    while (newest != NULL) {
        rill__mail *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        rill__mail *mail = oldest;

        oldest = mail->next;
        atomic_store(&mail->posted, false);
        mail->fn(mail);
    }
}

void
rill__mail_settle(rill_loop *loop)
{
    while (atomic_load(&loop->mailers) != 0)
        (void)loop->ops->wait(loop->driver, loop->ops->now(loop->driver) + PAUSE);
}
