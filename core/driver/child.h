/*
 * The seam's part for children: rill__processes_ops, which rill__sys_ops points to.
 *
 * A child is started by spawn, which returns when its program runs or could not be started. From
 * then on a recv record of its io means: look with status. Whoever asks status until it has ended
 * leaves no zombie. Loop thread only.
 */
#ifndef RILL__DRIVER_CHILD_H
#define RILL__DRIVER_CHILD_H

#include "core/driver/driver.h"

/* What becomes of a standard descriptor of the child: one of the parent's, or one of these. */
enum rill__stdio_way {
    RILL__STDIO_KEEP = -1, /* As it is here. */
    RILL__STDIO_NULL = -2,
    RILL__STDIO_MERGE = -3 /* stderr only: as stdout. */
};

/* Where a start failed. */
enum rill__spawn_step {
    RILL__SPAWN_PIPE, /* Before there was a process. */
    RILL__SPAWN_FORK,
    RILL__SPAWN_SESSION,
    RILL__SPAWN_GROUP,
    RILL__SPAWN_STDIO,
    RILL__SPAWN_PASS,
    RILL__SPAWN_DIRECTORY,
    RILL__SPAWN_LIMIT,
    RILL__SPAWN_USER,
    RILL__SPAWN_DEATH_SIGNAL,
    RILL__SPAWN_EXECUTE
};

typedef struct rill__spawn_limit {
    int resource;
    uint64_t soft;
    uint64_t hard;
} rill__spawn_limit;

/* What to start, and how. All memory is borrowed for the call. */
typedef struct rill__spawn {
    const char *file; /* Looked up in PATH, the child's, when it has no slash. */
    char *const *argv;
    char *const *envp;     /* NULL: as here. */
    const char *directory; /* NULL: as here. */
    int stdio[3];          /* A descriptor or a rill__stdio_way. */
    const int *pass;       /* More descriptors that it gets, ascending, 3 and above. */
    size_t pass_count;
    const rill__spawn_limit *limits;
    size_t limits_count;
    const uint32_t *groups;
    size_t groups_count;
    bool set_groups;  /* Else none are set, whatever groups_count. */
    bool must_groups; /* And a refusal fails. */
    bool set_user;
    bool set_group;
    bool set_umask;
    bool set_process_group;
    bool new_session;
    uint32_t user;
    uint32_t group;
    unsigned umask;
    int process_group; /* 0: one of its own. */
    int death_signal;  /* 0: none. */
    uint8_t step;      /* Out, on failure: rill__spawn_step. */
} rill__spawn;

/* One child; embedded by its owner, zeroed but for the functions of its io's records. */
typedef struct rill__child {
    rill__io io; /* recv: it may have ended. close: after release. */
    int64_t pid;
    void *driver_data;
    bool watched; /* False: no record will come, ask now and then. */
    bool ended;   /* By status: its pid is nobody's any more. */
} rill__child;

typedef struct rill__processes_ops {
    /* Start a program. 0 or the error, after which there is no child. */
    int (*spawn)(rill__driver *driver, rill__spawn *spec, rill__child *child);
    /* -EAGAIN: it has not ended. 0: it has, and is no zombie any more; `ret_status` is its exit
     * status, or the negative number of the signal that killed it. RILL_EREAPED: it has, and
     * somebody else was told how. Not to be asked again after the last two. */
    int (*status)(rill__driver *driver, rill__child *child, int *ret_status);
    /* 0; -ESRCH when it has ended, whoever knows; -EPERM; -EINVAL for what is no signal. */
    int (*signal)(rill__driver *driver, rill__child *child, int signo);
    /* Watch it no longer: its io's close record follows, and its memory may go. */
    void (*release)(rill__driver *driver, rill__child *child);
} rill__processes_ops;

/* ---- the real kernel: how spawn makes a process (spawn.c) ---- */

enum rill__spawn_way {
    RILL__SPAWN_BY_UNKNOWN, /* To be found out. */
    RILL__SPAWN_BY_SHARING, /* The child runs in the parent's memory, as vfork. */
    RILL__SPAWN_BY_COPYING, /* The memory is copied, and a pipe tells of failures. */
    RILL__SPAWN_BY_FORK     /* The same by fork, where clone is refused. */
};

/* For tests: what is used from now on by this process. */
void rill__spawn_set_way(enum rill__spawn_way way);
enum rill__spawn_way rill__spawn_get_way(void);

#endif
