/*
 * Every allocation of every case fails once: with RILL_TEST_SWEEP set, a test program does not run
 * its cases but sweeps over them. Each case runs in children of its own, first as it is, then with
 * its first allocation failing, then the second, and so on until none is left to fail; and again
 * with all later ones failing as well. Whether the case passes then does not matter. What counts:
 * no crash, no hang, and when every loop is freed no byte and no descriptor of the library's left.
 *
 * RILL_TEST_SWEEP is the stride: 1 leaves no allocation out. RILL_TEST_SWEEP_RUNS, the runs that a
 * case may take, makes it wider where that is not enough, and RILL_TEST_SWEEP_TURN is the first
 * one's number from 0 on, so that other runs try others. The same ones are tried whenever these are
 * the same. RILL_TEST_SWEEP_CASE and RILL_TEST_FAIL_AT run one of them alone; RILL_TEST_SWEEP_NOT
 * names cases, with spaces between, that are left out.
 *
 * For that the library of the tests is compiled with malloc, socket, close and so on renamed to the
 * functions of sweep.c, which count.
 */
#ifndef SUPPORT_SWEEP_H
#define SUPPORT_SWEEP_H

#include <stdbool.h>
#include <stddef.h>

/* True in a sweep's run where something fails, not in the first one. */
bool sweep_fails(void);

/* In a sweep: count one allocation; true when this is the one to fail. */
bool sweep_refuses(void);

/* In a sweep a block was made or freed. */
void sweep_count(bool made);

/* For what will not come any more because memory was refused. A listener without it rests for
 * 100 ms. */
#define SWEEP_PATIENCE (120 * RILL_MS)

/* True once an allocation of this case has been refused: waiting for long makes no sense then. */
bool sweep_has_refused(void);

/* A connection was lost for want of memory. One failure may cost one connection, not two. */
void sweep_count_loss(void);

#endif
