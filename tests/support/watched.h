/*
 * A subprocess under watch: its callbacks on a tape, "made exited lost(0)", with what its pipes
 * brought, and the end that it came to.
 */
#ifndef SUPPORT_WATCHED_H
#define SUPPORT_WATCHED_H

#include "shell.h"

typedef struct watched {
    harness *h;
    rill_subprocess *process; /* Until the return of lost. */
    char tape[512];
    bool made, exited, lost;
    int rc;   /* What returncode said when it had exited, */
    int code; /* and gave. */
    int reason;
    char out[2][8192]; /* What came from stdout and stderr, as far as there is room, */
    size_t out_len[2]; /* and how much that was. */
    int pipe_code[3];  /* With which each was lost; 1: was not. */
    bool paused;
} watched;

/* Start it; what the start returns. */
int watched_exec(watched *w, harness *h, const rill_process_options *options);
int watched_shell(watched *w, harness *h, const char *command, const rill_process_options *options);

/* Conditions for harness_until. */
bool watched_is_made(void *w);
bool watched_has_exited(void *w);
bool watched_is_lost(void *w);

/* Run the loop until it is lost: the code. */
int watched_end(watched *w);

#endif
