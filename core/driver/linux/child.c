/*
 * Children of the real kernel: started by spawn.c, watched through a pidfd, asked one by one.
 *
 * The pidfd is an io like others, readable when the child has ended; it is there before anybody
 * could have waited for the child, so it names this one and no later one of its number. SIGCHLD is
 * left alone, and no child is waited for but our own. Where there is no pidfd (kernels before 5.3),
 * or none can be watched for want of memory, its owner has to ask now and then. Loop thread only.
 */
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/driver/child.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* In driver_data, so that NULL is none. */
static int
pidfd_of(const rill__child *child)
{
    return (int)(intptr_t)child->driver_data - 1;
}

static int
watch(rill__driver *driver, rill__child *child, int pidfd)
{
    int rc = driver->ops->attach(driver, &child->io, pidfd, RILL__IO_CHILD);

    if (rc < 0)
        return rc;
    rc = driver->ops->subscribe(driver, &child->io);
    if (rc < 0)
        (void)driver->ops->detach(driver, &child->io);
    return rc;
}

static int
child_spawn(rill__driver *driver, rill__spawn *spec, rill__child *child)
{
    int pidfd;
    int rc;

    rc = rill__linux_spawn((rill__linux *)driver, spec, &child->pid, &pidfd);
    if (rc < 0)
        return rc;
    child->driver_data = (void *)(intptr_t)(pidfd + 1);
    child->watched = pidfd >= 0 && watch(driver, child, pidfd) == 0;
    return 0;
}

static int
child_status(rill__driver *driver, rill__child *child, int *ret_status)
{
    int pidfd = pidfd_of(child);
    siginfo_t info;
    int rc;

    (void)driver;
    do {
        info.si_pid = 0;
        rc = pidfd >= 0 ? waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG)
                        : waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG);
        if (rc < 0 && errno == EINVAL && pidfd >= 0) { /* Linux 5.3 has one and cannot wait so. */
            pidfd = -1;
            errno = EINTR;
        }
    } while (rc < 0 && errno == EINTR);
    if (rc == 0 && info.si_pid == 0)
        return -EAGAIN;
    child->ended = true;
    if (rc < 0)
        return RILL_EREAPED; /* ECHILD: there is no other error. */
    *ret_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 0;
}

static int
child_signal(rill__driver *driver, rill__child *child, int signo)
{
    int pidfd = pidfd_of(child);
    long rc;

    (void)driver;
    if (child->ended)
        return -ESRCH;
    if (pidfd < 0)
        return kill((pid_t)child->pid, signo) < 0 ? -errno : 0; /* Not waited for: still its. */
    rc = syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
    if (rc < 0 && errno == ENOSYS)
        rc = kill((pid_t)child->pid, signo);
    return rc < 0 ? -errno : 0;
}

static void
child_release(rill__driver *driver, rill__child *child)
{
    int pidfd = pidfd_of(child);

    child->driver_data = NULL;
    if (child->watched) {
        driver->ops->close_io(driver, &child->io, false);
        return;
    }
    if (pidfd >= 0)
        (void)close(pidfd);
    rill__loop_push_op(driver->loop, &child->io.close);
}

const rill__processes_ops rill__processes_linux = {
    .spawn = child_spawn,
    .status = child_status,
    .signal = child_signal,
    .release = child_release,
};
