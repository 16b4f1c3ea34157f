/*
 * Actors: tasks of which each waits for one thing and leaves its letter on a tape, while the test
 * itself, outside of them, moves the loop turn by turn and does what they wait for. Between two
 * turns it can so make any race of a grant with a cancel or with a newcomer.
 */
#ifndef SUPPORT_ACTORS_H
#define SUPPORT_ACTORS_H

#include "tasks.h"

#include <limits.h>

#define ACTOR_WAITS INT_MAX

typedef struct actor actor;
struct actor {
    char letter;               /* Small when its wait has succeeded, else the capital. */
    int (*wait)(actor *self);  /* What it waits for, */
    void (*then)(actor *self); /* and what it does after a success; or NULL. */
    void *object;
    void *item;
    int rc;    /* What `wait` has returned, or ACTOR_WAITS, */
    int after; /* and what the next wait said after it. */
    tape *tape;
    rill_task *task;
};

/* It runs in the next turn. */
void actor_start(harness *h, tape *seen, actor *a);
void actors_start(harness *h, tape *seen, actor *first, size_t count);
/* Only tells it: it runs in a later turn. */
void actor_cancel(actor *a);
/* They have ended. */
void actors_end(actor *first, size_t count);

/* Turns until nothing is ready. */
void actors_settle(harness *h);
/* Cancel all tasks of the loop and let them end: for what must go before the loop. */
void actors_cancel_all(harness *h);

/* What rill_dump_tasks says. */
void actors_dump(harness *h, char *buf, size_t size);

#endif
