/*
 * What the files of subprocesses share: the object, and its making out of options.
 */
#ifndef RILL__SUBPROCESS_H
#define RILL__SUBPROCESS_H

#include <rill/subprocess.h>

#include "core/driver/child.h"
#include "transports/internal.h"

#define RILL__PASS_FDS_MAX 256
#define RILL__LIMITS_MAX   32

/* What a start needs for the time of the call. */
typedef struct rill__starting {
    rill_process_options options;
    const char *shell[4]; /* The argv of a shell. */
    rill__config config;  /* Of pipes. */
    bool piped[3];        /* The child's end of a pipe is in spawn.stdio. */
    rill__spawn spawn;
    rill__spawn_limit limits[RILL__LIMITS_MAX];
    int pass[RILL__PASS_FDS_MAX];
} rill__starting;

/* Check the options, and say in `s->spawn` what they mean; pipes are not made yet. `command`: of a
 * shell, or NULL. 0, or the error with its sentence. */
int rill__starting_init(
    rill_loop *loop, const rill_process_options *options, const char *command, rill__starting *s);

/* The sentence for a start that failed at s->spawn.step; returns `rc`. */
int rill__starting_failed(rill_loop *loop, const rill__starting *s, int rc);

/* As rill_subprocess_exec, or rill_subprocess_shell with a command; but connection_made, which
 * opens the pipes, is for the caller to deliver by rill__subprocess_open. */
int rill__subprocess_start(rill_loop *loop, const char *command,
    const rill_process_options *options, const rill_subprocess_protocol *protocol, void *arg,
    const char *site, rill_subprocess **ret_process);
void rill__subprocess_open(rill_subprocess *p);

/* Have a pipe for oneself: its transport, which is open and whose protocol is the library's until
 * it is exchanged, or NULL. The subprocess knows nothing of it any more. */
rill_transport *rill__subprocess_take_pipe(rill_subprocess *p, int fd);

#endif
