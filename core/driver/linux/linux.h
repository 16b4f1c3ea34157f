/*
 * What the drivers of the real kernel share: its synchronous services, and the one translation of
 * errors.
 */
#ifndef RILL__DRIVER_LINUX_H
#define RILL__DRIVER_LINUX_H

#include <errno.h>
#include <signal.h>

#include "core/driver/driver.h"

extern const rill__sys_ops rill__sys_linux;

/* A driver of the real kernel begins with this. */
typedef struct rill__linux {
    rill__driver driver;
    sigset_t signals; /* The thread's mask outside of run. */
    bool guarded;     /* SIGPIPE is blocked. */
} rill__linux;

/* The result of a system call: itself, or -errno. */
static inline int64_t
rill__result(int64_t result)
{
    return result < 0 ? -errno : result;
}

/* SIGPIPE cannot hit the process between these two. */
void rill__linux_guard(rill__linux *self);
void rill__linux_unguard(rill__linux *self);

int rill__linux_accept(int listener, int *ret_fd, rill_addr *ret_peer);

#endif
