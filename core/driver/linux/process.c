/*
 * Threads and processes: forked ones for the runner of many loops, and new programs.
 *
 * A forked process is watched through a pidfd (Linux 5.3), so that its end is an event like others
 * and no handler of SIGCHLD is needed. Where there is none (an older kernel, a filter, Valgrind)
 * its owner has to look now and then. It dies with the thread that forked it. No state; any thread.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/driver/host.h"
#include "core/driver/linux/linux.h"

static_assert(sizeof(pthread_t) == sizeof(uintptr_t), "a thread's handle fits");

int
rill__host_thread_start(void *(*fn)(void *arg), void *arg, uintptr_t *ret_thread)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, fn, arg);

    if (error != 0)
        return -error;
    *ret_thread = (uintptr_t)thread;
    return 0;
}

void
rill__host_thread_join(uintptr_t thread)
{
    (void)pthread_join((pthread_t)thread, NULL); /* Fails for wrong handles only. */
}

/* The setting is not inherited, and comes too late when the parent has gone in between. */
static void
die_with_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* Cannot fail for a valid signal. */
    if (getppid() != parent)
        _exit(1);
}

int
rill__host_fork(rill__host_process *ret_process)
{
    pid_t parent = getpid();
    pid_t pid;
    int fd;

    (void)fflush(stdout);
    (void)fflush(stderr);
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        die_with_parent(parent);
        return 0;
    }
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ENOSYS && errno != EPERM) {
        int error = errno;

        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return -error;
    }
    *ret_process = (rill__host_process){ .pid = pid, .fd = fd >= 0 ? fd : -1 };
    return 1;
}

bool
rill__host_process_ended(rill__host_process *process, int *ret_status, int *ret_signal)
{
    int status = 0;
    pid_t pid;

    do
        pid = waitpid((pid_t)process->pid, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    /* With SIGCHLD ignored the kernel keeps no status. */
    *ret_status = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    *ret_signal = pid > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    rill__host_close(process->fd);
    process->fd = -1;
    return true;
}

void
rill__host_process_kill(const rill__host_process *process)
{
    (void)kill((pid_t)process->pid, SIGKILL); /* Not waited for yet, so it is this process. */
}

static int
describe_spawn(rill__linux *self, int keep_fd, posix_spawn_file_actions_t *actions,
    posix_spawnattr_t *attributes)
{
    sigset_t mask;
    sigset_t reset;
    int rc;

    if (self->guarded)
        mask = self->signals;
    else
        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask); /* Only asks: cannot fail. */
    sigemptyset(&reset);
    sigaddset(&reset, SIGPIPE);
    /* Onto itself: that takes close-on-exec off, in the child alone. */
    if ((rc = posix_spawn_file_actions_adddup2(actions, keep_fd, keep_fd)) != 0 ||
        (rc = posix_spawnattr_setsigmask(attributes, &mask)) != 0 ||
        (rc = posix_spawnattr_setsigdefault(attributes, &reset)) != 0 ||
        (rc = posix_spawnattr_setflags(
             attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) != 0)
        return -rc;
    return 0;
}

int
rill__host_spawn(rill__driver *driver, const char *file, char *const argv[], char *const envp[],
    int keep_fd, int *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int rc;

    /* Where a failed exec is not told (Valgrind), the usual ones are all the same. */
    if (strchr(file, '/') != NULL && access(file, X_OK) < 0)
        return -errno;
    rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return -rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0)
        goto fail_actions;
    rc = -describe_spawn((rill__linux *)driver, keep_fd, &actions, &attributes);
    if (rc == 0)
        rc = posix_spawnp(&pid, file, &actions, &attributes, argv, envp);
    if (rc == 0)
        *ret_pid = pid;
    (void)posix_spawnattr_destroy(&attributes);
fail_actions:
    (void)posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

int64_t
rill__host_parent_id(void)
{
    return getppid();
}

char *const *
rill__host_environment(void)
{
    return environ;
}

int64_t
rill__host_process_id(void)
{
    return getpid();
}

void
rill__host_exit(int status)
{
    (void)fflush(stdout);
    (void)fflush(stderr);
    _exit(status);
}

const char *
rill__host_signal_name(int signal)
{
    const char *name = sigabbrev_np(signal);

    return name != NULL ? name : "?";
}
