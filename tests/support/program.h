/*
 * Other programs as peers: started without a shell, with their output in a pipe, while our loop
 * runs.
 */
#ifndef SUPPORT_PROGRAM_H
#define SUPPORT_PROGRAM_H

#include "harness.h"

typedef struct program {
    harness *h;   /* NULL: no loop runs while it is waited for. */
    int pid, out; /* out: its stdout and stderr. */
    int in;       /* Its stdin, or -1. */
    char text[4096];
    size_t text_len;
    bool ended;
    int exit_code; /* -signal when it was killed. */
} program;

/* True when the command is installed. */
bool program_exists(const char *name);

/* argv[0] is looked up in PATH. `with_stdin`: a pipe in `in`, else /dev/null. */
void program_start(program *p, harness *h, const char *const argv[], bool with_stdin);

/* Run the loop until it has ended; fails the test unless the exit code is 0, showing its output. */
void program_finish(program *p);

/* Run the loop until a whole line is there, and give it without its end. */
const char *program_line(program *p);

/* Conditions for harness_until. */
bool program_has_ended(void *p);

/* Feed stdin and close it, running the loop where the pipe is full. */
void program_feed(program *p, const void *data, size_t len);
void program_end_input(program *p);

/* End it, if it is there: for teardown. */
void program_kill(program *p);

#endif
