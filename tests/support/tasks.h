/*
 * A task under test: run to its end on the harness's loop.
 */
#ifndef SUPPORT_TASKS_H
#define SUPPORT_TASKS_H

#include "harness.h"
#include "core/sanitizers.h"

/* Run `fn(arg)` as a task; returns what it returned. Fails the test if it does not end. */
int tasks_run(harness *h, rill_fn fn, void *arg);

/* What happened, one letter each: for tests of order. */
typedef struct tape {
    char text[256];
    size_t len;
} tape;

void tape_add(tape *t, char letter);
/* A callback of the loop that adds the letter it was made for. */
typedef struct tape_mark {
    tape *tape;
    char letter;
} tape_mark;
void tape_mark_add(void *mark);

#endif
