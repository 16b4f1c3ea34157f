/*
 * Starting a program: what the parent does around clone, and what the child does until exec.
 *
 * The child runs in the parent's memory on a stack of its own while the parent's thread stands
 * still, as with vfork: nothing is copied, so it takes as long in a large process as in a small
 * one, and what fails is told by writing it down. A checker or an emulator may copy the memory all
 * the same, and a filter may refuse: a try with a child that only leaves a mark tells which, once
 * in the life of a process, and then a pipe that exec closes does the telling.
 *
 * All signals are blocked until the child has put every action back to its default: a handler of
 * the parent's must not run there. What the child executes are system calls and nothing else, and
 * sanitizers are kept off it, since it never returns. Any thread.
 */
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/driver/child.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#define STACK_BYTES    ((size_t)32 * 1024)
#define SIGNALS        64
#define SIGNALS_BYTES  8 /* As the kernel counts. */
#define LISTING_BYTES  1024
#define EXIT_NOT_BEGUN 127

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* What runs in the child. */
#define CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

typedef uint64_t signals;

static_assert(sizeof(signals) == SIGNALS_BYTES, "one bit for each signal");

typedef struct launch {
    rill__spawn *spec;
    char *const *envp;
    const char *path;
    pid_t parent;
    signals mask; /* The program's. */
    int report;   /* -1: the memory is shared; else a pipe's end, above the standard ones. */
    volatile bool begun;
    volatile int step;
    volatile int error; /* errno, or 0. */
} launch;

static atomic_int way; /* enum rill__spawn_way */

void
rill__spawn_set_way(enum rill__spawn_way chosen)
{
    atomic_store(&way, (int)chosen);
}

/* ---- in the child ---- */

CHILD static int
result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

CHILD static void
reset_signals(void)
{
    static const uint64_t defaults[8]; /* The kernel's struct: no handler, no flags. */

    for (int signo = 1; signo <= SIGNALS; signo++) /* SIGKILL and SIGSTOP refuse. */
        (void)syscall(SYS_rt_sigaction, signo, defaults, NULL, SIGNALS_BYTES);
}

CHILD static int
open_null(void)
{
    return result(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC));
}

/* Have `from` under the number `to`, for the program. */
CHILD static int
place(int from, int to)
{
    if (from == to)
        return result(syscall(SYS_fcntl, to, F_SETFD, 0));
    return result(syscall(SYS_dup3, from, to, 0));
}

/* Where stdout goes. What closes at exec is none that the program has: with stdout closed, some
 * descriptor of this library or of the program's own may have its number. */
CHILD static int
place_as_stdout(int to)
{
    int flags = result(syscall(SYS_fcntl, STDOUT_FILENO, F_GETFD));

    if (flags < 0)
        return flags;
    return (flags & FD_CLOEXEC) != 0 ? -EBADF : place(STDOUT_FILENO, to);
}

/* Sources that lie among the targets are moved away first, so no order can overwrite one. */
CHILD static int
arrange_stdio(const launch *l)
{
    int from[3];

    for (int i = 0; i < 3; i++) {
        from[i] = l->spec->stdio[i];
        if (from[i] == RILL__STDIO_NULL && (from[i] = open_null()) < 0)
            return from[i];
        if (from[i] >= 0 && from[i] < 3 && from[i] != i) {
            from[i] = result(syscall(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, 3));
            if (from[i] < 0)
                return from[i];
        }
    }
    for (int i = 0; i < 3; i++) {
        int rc = 0;

        if (from[i] == RILL__STDIO_MERGE)
            rc = place_as_stdout(i);
        else if (from[i] >= 0)
            rc = place(from[i], i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

CHILD static bool
is_kept(const launch *l, unsigned fd)
{
    if (fd < 3 || fd == (unsigned)l->report)
        return true;
    for (size_t i = 0; i < l->spec->pass_count; i++)
        if ((unsigned)l->spec->pass[i] == fd)
            return true;
    return false;
}

CHILD static void
let_go(const launch *l, unsigned fd)
{
    if (!is_kept(l, fd))
        (void)syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC); /* EBADF: was not open. */
}

typedef struct listed { /* The kernel's struct linux_dirent64. */
    uint64_t inode;
    int64_t offset;
    uint16_t len;
    uint8_t type;
    char name[];
} listed;

CHILD static void
let_go_of_listed(const launch *l, const char *buf, long len)
{
    for (long at = 0; at < len;) {
        const listed *e = (const listed *)(const void *)(buf + at);
        unsigned fd = 0;

        for (const char *digit = e->name; *digit >= '0' && *digit <= '9'; digit++)
            fd = fd * 10 + (unsigned)(*digit - '0');
        let_go(l, fd); /* "." and ".." are 0, and kept. */
        at += e->len;
    }
}

/* For kernels before 5.9: those that the process has, or all that it could have. */
CHILD static void
let_go_one_by_one(const launch *l)
{
    _Alignas(8) char buf[LISTING_BYTES];
    int fd = result(syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_CLOEXEC));
    uint64_t limit[2] = { 1024, 1024 };
    long len;

    if (fd >= 0) {
        while ((len = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
            let_go_of_listed(l, buf, len);
        return;
    }
    (void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, limit);
    for (unsigned i = 3; i < limit[0] && i < UINT32_C(1) << 20; i++)
        let_go(l, i);
}

/* All others are closed, whoever opened them and forgot to say so. */
CHILD static void
let_go_of_others(const launch *l)
{
    unsigned low = 3;
    size_t i = 0;
    bool report = l->report >= 0;

    for (;;) {
        unsigned next = UINT32_MAX;

        if (i < l->spec->pass_count)
            next = (unsigned)l->spec->pass[i];
        if (report && (unsigned)l->report < next)
            next = (unsigned)l->report;
        if (low < next &&
            syscall(SYS_close_range, low, next == UINT32_MAX ? next : next - 1, 0) < 0) {
            let_go_one_by_one(l);
            return;
        }
        if (next == UINT32_MAX)
            return;
        if (report && next == (unsigned)l->report)
            report = false;
        else
            i++;
        if (next >= low)
            low = next + 1;
    }
}

CHILD static int
pass_descriptors(const launch *l)
{
    for (size_t i = 0; i < l->spec->pass_count; i++) {
        int rc = place(l->spec->pass[i], l->spec->pass[i]);

        if (rc < 0)
            return rc;
    }
    return 0;
}

CHILD static int
set_limits(const launch *l)
{
    for (size_t i = 0; i < l->spec->limits_count; i++) {
        const rill__spawn_limit *limit = &l->spec->limits[i];
        uint64_t values[2] = { limit->soft, limit->hard };
        int rc = result(syscall(SYS_prlimit64, 0, limit->resource, values, NULL));

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The groups first: who has given up the user may not change them any more. */
CHILD static int
become_user(const launch *l)
{
    const rill__spawn *spec = l->spec;
    int rc = 0;

    if (spec->set_groups) {
        rc = result(syscall(SYS_setgroups, spec->groups_count, spec->groups));
        if (rc == -EPERM && !spec->must_groups)
            rc = 0; /* Without the right to it they are no more than the caller's own. */
    }
    if (rc >= 0 && spec->set_group)
        rc = result(syscall(SYS_setresgid, spec->group, spec->group, spec->group));
    if (rc >= 0 && spec->set_user)
        rc = result(syscall(SYS_setresuid, spec->user, spec->user, spec->user));
    return rc;
}

/* The parent may have gone before it was asked for. */
CHILD static int
die_with_parent(const launch *l)
{
    int rc = result(syscall(SYS_prctl, PR_SET_PDEATHSIG, l->spec->death_signal, 0, 0, 0));

    if (rc == 0 && syscall(SYS_getppid) != l->parent)
        (void)syscall(SYS_exit_group, EXIT_NOT_BEGUN);
    return rc;
}

CHILD static int
prepare(launch *l)
{
    const rill__spawn *spec = l->spec;
    int rc = 0;

    l->step = spec->new_session ? RILL__SPAWN_SESSION : RILL__SPAWN_GROUP;
    if (spec->new_session)
        rc = result(syscall(SYS_setsid));
    else if (spec->set_process_group)
        rc = result(syscall(SYS_setpgid, 0, spec->process_group));
    if (rc < 0)
        return rc;
    l->step = RILL__SPAWN_STDIO;
    if ((rc = arrange_stdio(l)) < 0)
        return rc;
    l->step = RILL__SPAWN_PASS;
    if ((rc = pass_descriptors(l)) < 0)
        return rc;
    let_go_of_others(l);
    if (spec->set_umask)
        (void)syscall(SYS_umask, spec->umask);
    l->step = RILL__SPAWN_DIRECTORY;
    if (spec->directory != NULL && (rc = result(syscall(SYS_chdir, spec->directory))) < 0)
        return rc;
    l->step = RILL__SPAWN_LIMIT;
    if ((rc = set_limits(l)) < 0)
        return rc;
    l->step = RILL__SPAWN_USER;
    if ((rc = become_user(l)) < 0)
        return rc;
    l->step = RILL__SPAWN_DEATH_SIGNAL; /* Another user would have taken it off. */
    return spec->death_signal != 0 ? die_with_parent(l) : 0;
}

CHILD static int
execute(const launch *l, const char *file)
{
    return result(syscall(SYS_execve, file, l->spec->argv, l->envp));
}

/* "directory/file" into `buf`: false when it is too long. An empty directory is the present one. */
CHILD static bool
join(const char *directory, size_t len, const char *file, char *buf, size_t size)
{
    size_t at = 0;

    if (len > 0) {
        if (len + 1 >= size)
            return false;
        for (; at < len; at++)
            buf[at] = directory[at];
        buf[at++] = '/';
    }
    for (; *file != '\0' && at < size; at++)
        buf[at] = *file++;
    if (at == size)
        return false;
    buf[at] = '\0';
    return true;
}

/* As a shell does: one that is there and cannot be executed is a better reason than none. */
CHILD static int
search(const launch *l)
{
    char buf[PATH_MAX];
    int reason = -ENOENT;

    for (const char *at = l->path;;) {
        size_t len = 0;
        int rc;

        while (at[len] != '\0' && at[len] != ':')
            len++;
        rc = join(at, len, l->spec->file, buf, sizeof(buf)) ? execute(l, buf) : -ENAMETOOLONG;
        if (rc != -ENOENT && rc != -ENOTDIR && reason == -ENOENT)
            reason = rc;
        if (at[len] == '\0')
            return reason;
        at += len + 1;
    }
}

CHILD static bool
has_slash(const char *file)
{
    for (; *file != '\0'; file++)
        if (*file == '/')
            return true;
    return false;
}

/* Never returns to its caller: where exec fails, the process ends. */
CHILD static void
run_child(void *arg)
{
    launch *l = arg;
    int rc;

    reset_signals();
    rc = prepare(l);
    if (rc >= 0) {
        l->step = RILL__SPAWN_EXECUTE;
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &l->mask, NULL, SIGNALS_BYTES);
        rc = has_slash(l->spec->file) ? execute(l, l->spec->file) : search(l);
    }
    l->error = -rc;
    if (l->report >= 0) {
        int report[2] = { l->step, l->error };

        (void)syscall(SYS_write, l->report, report, sizeof(report));
    }
    for (;;)
        (void)syscall(SYS_exit_group, EXIT_NOT_BEGUN);
}

CHILD static void
leave_mark(void *arg)
{
    launch *l = arg;

    l->begun = true;
    for (;;)
        (void)syscall(SYS_exit_group, 0);
}

/* ---- making a process ---- */

/* The C library's clone is not used: sanitizers put themselves in front of it, and take the child
 * for a process with memory of its own. Returns its id or -errno; -ENOSYS where there is no way. */
static long
clone_onto(unsigned long flags, void *stack, int *ret_pidfd, void (*fn)(void *), void *arg)
{
#if defined(__x86_64__)
    long rc;
    register unsigned long child_tid __asm__("r10") = 0;
    register unsigned long tls __asm__("r8") = 0;
    register void (*entry)(void *) __asm__("r12") = fn;
    register void *value __asm__("r13") = arg;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(rc)
                     : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(ret_pidfd), "r"(child_tid),
                     "r"(tls), "r"(entry), "r"(value)
                     : "rcx", "r11", "memory", "cc");
    return rc;
#elif defined(__aarch64__)
    register long rc __asm__("x0") = (long)flags;
    register void *top __asm__("x1") = stack;
    register int *pidfd __asm__("x2") = ret_pidfd;
    register unsigned long tls __asm__("x3") = 0;
    register unsigned long child_tid __asm__("x4") = 0;
    register long number __asm__("x8") = SYS_clone;
    register void (*entry)(void *) __asm__("x19") = fn;
    register void *value __asm__("x20") = arg;

    __asm__ volatile(
        "svc #0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x29, xzr\n\t"
        "mov x0, x20\n\t"
        "blr x19\n\t"
        "brk #0\n"
        "1:"
        : "+r"(rc)
        : "r"(top), "r"(pidfd), "r"(tls), "r"(child_tid), "r"(number), "r"(entry), "r"(value)
        : "memory", "cc");
    return rc;
#else
    (void)flags;
    (void)stack;
    (void)ret_pidfd;
    (void)fn;
    (void)arg;
    return -ENOSYS;
#endif
}

static long
fork_into(void (*fn)(void *), void *arg, int *ret_pidfd)
{
    pid_t pid = fork();

    if (pid == 0)
        fn(arg);
    if (pid < 0)
        return -errno;
    *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* -1: it is not watched. */
    return pid;
}

/* Wait for a child that is about to end. */
static void
reap(pid_t pid)
{
    siginfo_t info;

    while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL) < 0 && errno == EINTR)
        continue;
}

/* What is a lack of this moment says nothing about ways. */
static bool
is_lack(long rc)
{
    return rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

static int
find_way(void *stack_top)
{
    launch l = { .begun = false };
    signals all = ~UINT64_C(0);
    signals before;
    int pidfd = -1;
    long pid;

    /* No handler runs in it, in our memory; and no signal at its end: it is nobody's business. */
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGNALS_BYTES);
    pid = clone_onto(CLONE_VM | CLONE_VFORK | CLONE_PIDFD, stack_top, &pidfd, leave_mark, &l);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, SIGNALS_BYTES);
    if (is_lack(pid))
        return (int)pid;
    if (pid < 0)
        return RILL__SPAWN_BY_FORK;
    reap((pid_t)pid);
    if (pidfd >= 0)
        (void)close(pidfd);
    return l.begun ? RILL__SPAWN_BY_SHARING : RILL__SPAWN_BY_COPYING;
}

enum rill__spawn_way
rill__spawn_get_way(void)
{
    return (enum rill__spawn_way)atomic_load(&way);
}

/* A pipe whose ends are none of the standard descriptors: the child puts others there. */
static int
open_report(int ret_ends[2])
{
    int rc = pipe2(ret_ends, O_CLOEXEC);

    if (rc < 0)
        return -errno;
    for (int i = 0; i < 2 && rc >= 0; i++) {
        if (ret_ends[i] >= 3)
            continue;
        rc = fcntl(ret_ends[i], F_DUPFD_CLOEXEC, 3);
        if (rc < 0)
            break;
        (void)close(ret_ends[i]);
        ret_ends[i] = rc;
    }
    if (rc >= 0)
        return 0;
    rc = errno == EINVAL ? -EMFILE : -errno; /* EINVAL: the limit is as low as that. */
    (void)close(ret_ends[0]);
    (void)close(ret_ends[1]);
    return rc;
}

/* Until exec has closed the other end. */
static void
read_report(launch *l, int fd)
{
    int report[2];
    ssize_t got;

    do
        got = read(fd, report, sizeof(report));
    while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof(report)) {
        l->step = report[0];
        l->error = report[1];
    }
}

static long
start(launch *l, int by, void *stack_top, int *ret_pidfd)
{
    unsigned long flags = CLONE_PIDFD | SIGCHLD;
    signals all = ~UINT64_C(0);
    signals before;
    long pid;

    if (by == RILL__SPAWN_BY_SHARING)
        flags |= CLONE_VM | CLONE_VFORK;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGNALS_BYTES);
    pid = by != RILL__SPAWN_BY_FORK ? clone_onto(flags, stack_top, ret_pidfd, run_child, l)
                                    : fork_into(run_child, l, ret_pidfd);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, SIGNALS_BYTES);
    return pid;
}

static int
spawn_by(launch *l, int by, void *stack_top, int64_t *ret_pid, int *ret_pidfd)
{
    int report[2] = { -1, -1 };
    long pid;
    int rc;

    l->step = RILL__SPAWN_FORK;
    if (by != RILL__SPAWN_BY_SHARING && (rc = open_report(report)) < 0)
        return rc;
    l->report = report[1];
    *ret_pidfd = -1;
    pid = start(l, by, stack_top, ret_pidfd);
    if (by != RILL__SPAWN_BY_SHARING) {
        (void)close(report[1]);
        if (pid >= 0)
            read_report(l, report[0]);
        (void)close(report[0]);
    }
    if (pid < 0)
        return (int)pid;
    if (l->error != 0) {
        reap((pid_t)pid);
        if (*ret_pidfd >= 0)
            (void)close(*ret_pidfd);
        return -l->error;
    }
    *ret_pid = pid;
    return 0;
}

/* ---- the parent ---- */

/* The mask that the thread has outside of the loop. */
static signals
mask_of(const rill__linux *self)
{
    signals mask = 0;

    if (!self->guarded) {
        (void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, SIGNALS_BYTES);
        return mask;
    }
    for (int signo = 1; signo <= SIGNALS; signo++)
        if (sigismember(&self->signals, signo) == 1)
            mask |= UINT64_C(1) << (signo - 1);
    return mask;
}

static const char *
path_of(char *const *envp)
{
    for (; envp != NULL && *envp != NULL; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return "/bin:/usr/bin";
}

int
rill__linux_spawn(rill__linux *self, rill__spawn *spec, int64_t *ret_pid, int *ret_pidfd)
{
    launch l = { .spec = spec, .parent = getpid(), .mask = mask_of(self), .report = -1 };
    char *stack = rill__alloc(self->driver.loop, STACK_BYTES, RILL_TAG_DRIVER);
    void *stack_top;
    int by = atomic_load(&way);
    int rc;

    spec->step = RILL__SPAWN_FORK;
    if (stack == NULL)
        return -ENOMEM;
    stack_top = (void *)((uintptr_t)(stack + STACK_BYTES) & ~(uintptr_t)15);
    l.envp = spec->envp != NULL ? spec->envp : environ;
    l.path = path_of(l.envp);
    if (by == RILL__SPAWN_BY_UNKNOWN) {
        by = find_way(stack_top);
        if (by > 0)
            atomic_store(&way, by);
    }
    /* Another user in memory that is shared would make this process undumpable for good. */
    if (by == RILL__SPAWN_BY_SHARING && (spec->set_user || spec->set_group))
        by = RILL__SPAWN_BY_COPYING;
    rc = by < 0 ? by : spawn_by(&l, by, stack_top, ret_pid, ret_pidfd);
    spec->step = (uint8_t)l.step;
    rill__free(self->driver.loop, stack, STACK_BYTES, RILL_TAG_DRIVER);
    return rc;
}
