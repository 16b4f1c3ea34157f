/*
 * The new process of a restart, in all its kinds: the test program executes itself with the name of
 * a part to play.
 */
#ifndef SUPPORT_RESTART_CHILD_H
#define SUPPORT_RESTART_CHILD_H

/* For the head of main: plays the part and exits, when the arguments name one. */
void restart_child(int argc, char **argv);

/* The path of this program. */
const char *restart_program(void);

/* The old process's own part, too: an echo server that prints "ready PORT PID", hands over to a new
 * process of its own kind on SIGHUP, and ends on SIGTERM. Arguments: serve PORT-OR-PATH. Each
 * connection is greeted with the process's pid, 4 bytes, before the echo. */

#endif
