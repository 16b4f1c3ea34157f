/*
 * Jobs as the pool of threads and the loops that ask for them see them.
 */
#ifndef RILL__EXECUTOR_INTERNAL_H
#define RILL__EXECUTOR_INTERNAL_H

#include <rill/executor.h>

#include "tasks/internal.h"

enum rill__job_state {
    RILL__JOB_NEW,
    RILL__JOB_QUEUED,
    RILL__JOB_RUNNING,
    RILL__JOB_ENDED /* Or dropped. */
};

typedef struct rill__job rill__job;
struct rill__job {
    rill__link link; /* In its executor's queue. */
    rill__mail mail; /* It has ended. */
    rill__ready ready;
    rill__object object; /* In the loop's list, until it has arrived there. */
    rill_loop *loop;
    rill_executor *executor;
    rill_fn fn;
    void *arg;
    void *context; /* A reference of the loop's; the job may look at it. */
    int code;
    uint8_t state;      /* rill__job_state, under the executor's lock. */
    bool own;           /* The loop runs it itself. */
    rill__fiber *fiber; /* On whose stack this is, or NULL. */
    /* On the loop: it has ended with `code`. Its memory is no longer used after that. */
    void (*done)(rill__job *self);
};

/* Queue it for a thread, which posts its mail in the end. 0; -EAGAIN; RILL_EFULL; RILL_ESHUTDOWN;
 * RILL_EFORK. */
int rill__executor_add(rill_executor *executor, rill__job *job);
/* The same for who runs it himself: counted, and no thread is told. */
int rill__executor_add_own(rill_executor *executor, rill__job *job);
void rill__executor_begin_own(rill_executor *executor, rill__job *job);
void rill__executor_end_own(rill_executor *executor, rill__job *job);
/* Take it back, if it has not begun. */
bool rill__executor_drop(rill_executor *executor, rill__job *job);
/* Nobody waits for it any more: true if it is at work, which its thread then does alone. */
bool rill__executor_give_up(rill_executor *executor, rill__job *job);

/* The variable as the job of this thread sees it. */
void *rill__job_variable(const rill_var *var);
/* variable.c: its value in a context, which may be NULL. */
void *rill__context_value(const void *context, const rill_var *var);

#endif
