/*
 * A function in a process of its own, for what ends a process and for what follows a fork.
 */
#ifndef SUPPORT_CHILD_H
#define SUPPORT_CHILD_H

#include <stdbool.h>

typedef struct child_result {
    int exit_code;   /* Or -1. */
    int signal;      /* That killed it, or 0. */
    char text[8192]; /* What it wrote to stderr. */
} child_result;

/* Run `fn(arg)` in a child; it exits with the returned code. Fails the test if it takes longer than
 * a minute. */
void child_run(int (*fn)(void *arg), void *arg, child_result *ret_result);

/* The child must die by abort() with these words on stderr. */
void expect_abort(int (*fn)(void *arg), void *arg, const char *words);

/* Leave an honest exit code of a check in a child: 0 when it holds, else a line on stderr and 1. */
#define CHILD_CHECK(condition)                                              \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                       \
        }                                                                   \
    } while (0)

#endif
