/*
 * A shell for tests of subprocesses that run on every driver: on the kernel it is /bin/sh, on the
 * simulator programs of these names which know a few commands, written as for /bin/sh and with ';'
 * in between:
 *
 *     exit N | sleep S | exec sleep S | trap '' TERM | echo TEXT | echo TEXT >&2 | cat |
 *     exec >&- | exec <&- | exec 2>&-
 */
#ifndef SUPPORT_SHELL_H
#define SUPPORT_SHELL_H

#include "harness.h"

#include <rill/sim.h>

/* A harness whose world, if there is one, has "/bin/sh" and "/bin/true", and "/dev/null", which
 * cannot be executed. */
typedef struct shell {
    harness h;
    rill_sim *world; /* NULL on the kernel. */
} shell;

void shell_open(shell *s);
/* Fails unless all is gone: children, zombies, descriptors. */
void shell_close(shell *s);
void shell_close_with(shell *s, size_t leftovers);

/* No child of this process is left, nor a zombie; on the simulator no process of the host. */
void shell_expect_no_children(shell *s);
bool shell_is_empty(void *s); /* The same as a condition. */

#endif
