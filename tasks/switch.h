/*
 * Switching between stacks. What is switched is a thread's registers that a called function must
 * keep, and the control bits of its floating point unit; the rest is the C compiler's.
 */
#ifndef RILL__SWITCH_H
#define RILL__SWITCH_H

/* Suspend here: where to go on is written to `save`. Go on at `to`, where the call that suspended
 * there returns `value`. On the thread that owns both stacks. */
int rill__switch(void **save, void *to, int value);

/* A new stack, growing down from `top` (aligned to 16): the first switch to what this returns calls
 * `entry(arg)`, which must never return. */
void *rill__switch_prepare(void *top, void (*entry)(void *arg), void *arg);

/* How many bytes rill__switch_prepare and one switch take of a stack, at most. */
#define RILL__SWITCH_BYTES 2048

#endif
