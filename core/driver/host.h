/*
 * What the floors of tasks, many loops and restarts ask of the real kernel: stacks, CPUs, threads,
 * processes, memory they share, the channels between them, datagrams to a service manager. No loop
 * is involved, and nothing of it is on the simulator. Any thread, unless a function says otherwise.
 * Results are 0 or positive, or -errno.
 */
#ifndef RILL__HOST_H
#define RILL__HOST_H

#include <stdatomic.h>

#include "core/driver/driver.h"

/* ---- cpus.c ---- */

/* CPUs that the affinity mask of this thread allows, at least 1. */
int rill__host_cpus(void);

/* CPUs that the CPU quotas of the process allow, rounded up; 0 without a quota. `membership` is
 * /proc/self/cgroup, `root` /sys/fs/cgroup; tests give their own. */
int rill__host_quota(const char *membership, const char *root);

/* The same of one quota: of the text of a cpu.max ("150000 100000", "max 100000"), and of the two
 * numbers of version 1. 0 for anything that is no quota. */
int rill__host_quota_parse(const char *text);

/* Keep the calling thread, and the threads it will make, on the nth CPU of its affinity mask;
 * beyond its end from the start again. */
int rill__host_pin(int nth);

/* ---- threads and processes: process.c ---- */

int rill__host_thread_start(void *(*fn)(void *arg), void *arg, uintptr_t *ret_thread);
/* Waits for its end. */
void rill__host_thread_join(uintptr_t thread);

typedef struct rill__host_process {
    int64_t pid;
    int fd; /* Readable when it has ended (a pidfd); -1: the kernel has none, ask now and then. */
} rill__host_process;

/* As fork: 1 in the parent, 0 in the child. The child is killed when the calling thread of the
 * parent ends. What stdout and stderr hold is written before, so that it is not written twice. */
int rill__host_fork(rill__host_process *ret_process);

/* True once it has ended; its descriptor is closed then. `ret_status`: its exit status, or -1;
 * `ret_signal`: the one that killed it, or 0. */
bool rill__host_process_ended(rill__host_process *process, int *ret_status, int *ret_signal);
void rill__host_process_kill(const rill__host_process *process);

/*
 * Execute `file` (looked up in PATH when it has no slash) in a new process. It inherits the
 * standard descriptors, `keep_fd` under its number, and the signal mask that the thread has outside
 * of the loop; SIGPIPE has its default meaning. On the thread of the driver's loop. Returns 0, also
 * when the file cannot be executed and the C library was not told; -ENOENT and so on when it was.
 */
int rill__host_spawn(rill__driver *driver, const char *file, char *const argv[], char *const envp[],
    int keep_fd, int *ret_pid);

int64_t rill__host_process_id(void);
int64_t rill__host_parent_id(void);
char *const *rill__host_environment(void);

/* End this process without running what its parent has registered for its own exit. */
_Noreturn void rill__host_exit(int status);

/* "ABRT", "KILL"...; never NULL. */
const char *rill__host_signal_name(int signal);

/* ---- what they share, and how they talk: channel.c ---- */

/* Zeroed memory that stays the same one in forked children. */
int rill__host_share(size_t size, void **ret_memory);
void rill__host_unshare(void *memory, size_t size);

/* A bell: readable from ring to quiet. Ringing is safe in signal handlers. Returns a descriptor. */
int rill__host_bell(void);
void rill__host_ring(int bell);
void rill__host_quiet(int bell);

/* As many descriptors as the kernel carries in one message (SCM_MAX_FD). */
#define RILL__CHANNEL_FDS 253

/* Two connected ends that keep messages apart. */
int rill__host_channel(int ret_ends[2]);

/* Send one message, all or nothing. -EAGAIN: no room now; -EPIPE: nobody is there any more. */
int rill__host_send(int fd, const void *data, size_t len, const int *fds, size_t fds_count);

/* Receive one message and at most RILL__CHANNEL_FDS descriptors, close-on-exec. Returns its length;
 * 0: the other end is closed; -EAGAIN; -EMSGSIZE: longer than `size`; -EMFILE: there was no room
 * for its descriptors in this process, the message alone is in `buf`. Without descriptors on
 * failure. */
int64_t rill__host_receive(int fd, void *buf, size_t size, int *ret_fds, size_t *ret_fds_count);

/* Wait for a message, at most until `deadline` on rill__host_now: 1 or 0. */
int rill__host_wait_message(int fd, rill_ns deadline);

/* True when it is an end as rill__host_channel makes them. */
bool rill__host_is_channel(int fd);

/* One datagram to a Unix socket: a path, or '@' and an abstract name. `fd`: goes along, or -1. */
int rill__host_datagram(const char *path, const char *text, size_t len, int fd);

/* ---- descriptors: descriptor.c ---- */

typedef struct rill__host_wait {
    int fd;     /* -1: skip. */
    bool ready; /* Readable, or broken: out. */
} rill__host_wait;

/* Wait for one of them or `timeout` (RILL_NEVER: none). A signal ends it early. */
int rill__host_wait_for(rill__host_wait *waits, size_t count, rill_ns timeout);

/* CLOCK_MONOTONIC. */
rill_ns rill__host_now(void);

/* A duplicate, close-on-exec. */
int rill__host_duplicate(int fd);
/* -1 is ignored. */
void rill__host_close(int fd);

bool rill__host_is_open(int fd);
/* Open and not close-on-exec: nothing that was made in this process by rill, or taken already. */
bool rill__host_is_inherited(int fd);
void rill__host_set_cloexec(int fd);
/* What file it is. */
int rill__host_identity(int fd, uint64_t ret_identity[2]);

int rill__host_listen(int fd, int backlog);
/* A descriptor, -EAGAIN, or another error of accept(2). */
int rill__host_accept(int fd);

/* The file of a Unix path (device and inode), and its removal if it still is that one. */
int rill__host_path_identity(const rill_addr *addr, uint64_t ret_identity[2]);
void rill__host_path_remove(const rill_addr *addr, const uint64_t identity[2]);

/* Writes what there is to say of a bad access at `address`, and returns its length: 0 for nothing.
 * */
typedef size_t (*rill__host_fault_fn)(uintptr_t address, char *buf, size_t size);

/* Have `fn` explain what this thread, and others that called this, die of: fault.c. Without effect
 * where the program has handlers of its own. */
void rill__host_fault_explain(rill__host_fault_fn fn);

/* Write it all, as far as that goes: for messages to a person. */
void rill__host_write(int fd, const void *bytes, size_t len);

/* ---- threads that work for a loop, and what they wait with: thread.c ---- */

/* Start a thread with all signals blocked. `name` is cut to 15 bytes. 0, -EAGAIN... */
int
rill__host_thread_begin(void *(*fn)(void *arg), void *arg, const char *name, uintptr_t *ret_thread);
/* Nobody will wait for its end. */
void rill__host_thread_detach(uintptr_t thread);
/* Is it the one that runs the program's main? */
bool rill__host_is_first_thread(void);
/* Let other threads run. */
void rill__host_relax(void);

typedef struct rill__host_lock {
    void *opaque[6];
} rill__host_lock;

typedef struct rill__host_condition {
    void *opaque[8];
} rill__host_condition;

/* 0 or -ENOMEM. */
int rill__host_lock_init(rill__host_lock *lock);
void rill__host_lock_done(rill__host_lock *lock);
void rill__host_lock_take(rill__host_lock *lock);
void rill__host_lock_release(rill__host_lock *lock);
int rill__host_condition_init(rill__host_condition *condition);
void rill__host_condition_done(rill__host_condition *condition);
/* Until `deadline` on rill__host_now, or RILL_NEVER: false when it has passed. May be true for
 * nothing. */
bool
rill__host_condition_wait(rill__host_condition *condition, rill__host_lock *lock, rill_ns deadline);
void rill__host_condition_wake(rill__host_condition *condition);
void rill__host_condition_wake_all(rill__host_condition *condition);

/* ---- signals: signal.c ---- */

#define RILL__SIGNAL_MAX 64

/* Who is to be told of signals. Embedded by its owner. */
typedef struct rill__host_watch rill__host_watch;
struct rill__host_watch {
    _Atomic(rill__host_watch *) next;
    _Atomic uint64_t wanted;              /* Bit `signo - 1`: this signal; */
    _Atomic uint64_t came;                /* it came. */
    void (*wake)(rill__host_watch *self); /* In a signal handler, on any thread. */
};

/* Until the end its memory must stay; after the end its wake does not run any more. */
void rill__host_watch_begin(rill__host_watch *watch);
void rill__host_watch_end(rill__host_watch *watch);
/* RILL_EINVAL for what is no signal, or one that cannot be caught to any purpose. */
int rill__host_signal_check(int signo);
/* For a signal that was checked. Both may be repeated. */
void rill__host_watch_add(rill__host_watch *watch, int signo);
void rill__host_watch_remove(rill__host_watch *watch, int signo);
/* Which signals came since the last time. */
uint64_t rill__host_watch_take(rill__host_watch *watch);

/* Have the first SIGINT wake `watch`, which is on no list, and the second one end the process.
 * False: it is not the program's first thread, or SIGINT is somebody's already. */
bool rill__host_interrupt_begin(rill__host_watch *watch);
/* As before. Returns how many came. */
uint32_t rill__host_interrupt_end(rill__host_watch *watch);
void rill__host_raise(int signo);

/* ---- files: file.c ---- */

/* RILL_FILE_* of <rill/file.h>. Returns a descriptor, close-on-exec. */
int rill__host_file_open(const char *path, unsigned flags, int mode);
int rill__host_file_close(int fd);
/* All of it, but for the file's end: how many bytes. */
int64_t rill__host_file_read(int fd, uint64_t offset, void *buf, size_t len);
int rill__host_file_write(int fd, uint64_t offset, const void *data, size_t len);
/* At the present position: for what has none. Returns bytes, 0 at the end. */
int64_t rill__host_file_read_on(int fd, void *buf, size_t len);
int rill__host_file_write_on(int fd, const void *data, size_t len);
/* Its size, as far as it has one; 0 else. */
int64_t rill__host_file_size(int fd);
int rill__host_file_sync(int fd);
int rill__host_file_rename(const char *from, const char *to);
int rill__host_file_remove(const char *path);
/* Have the directory that a path is in remember the names in it. */
int rill__host_directory_sync(const char *path);
/* Bytes that nobody can guess. */
uint64_t rill__host_random(void);

/* Call `each` for every name in a directory but "." and "..", with its rill_walk_kind, until it
 * does not return 0. Returns that, 0 or -errno. */
int rill__host_directory_each(
    const char *path, int (*each)(void *arg, const char *name, int kind), void *arg);
/* The rill_walk_kind of a path, or -errno; a link is one. */
int rill__host_file_kind(const char *path);

/* ---- memory for stacks: stack.c ---- */

/* Address space and no memory; -ENOMEM. Not in core dumps, as no page of it is used. */
int rill__host_stack_reserve(size_t size, void **ret_base);
void rill__host_stack_release(void *base, size_t size);
/* Make a part of it usable, in pages of the smallest size: 0 or -ENOMEM. */
int rill__host_stack_commit(void *base, size_t size);

/* How a guard was made, or that it could not be. */
enum rill__host_guard {
    RILL__GUARD_NONE,  /* The kernel has no room for it. */
    RILL__GUARD_LIGHT, /* A mark on pages, which costs no mapping (Linux 6.13). */
    RILL__GUARD_MAPPED /* A mapping: two of vm.max_map_count. */
};

/* Have every access to these pages end the process. `light` false: do not try the first way. */
enum rill__host_guard rill__host_stack_guard(void *base, size_t size, bool light);
/* vm.max_map_count, at least 1. */
size_t rill__host_mappings_max(void);
/* Give the memory of these pages back; they read as zeros. Guards in between stay. */
void rill__host_stack_trim(void *base, size_t size);
size_t rill__host_page_size(void);
/* Tell memory checkers of a stack, and to forget it, by what the first call returned. */
unsigned rill__host_stack_watch(void *base, size_t size);
void rill__host_stack_forget(void *base, size_t size, unsigned watch);

#endif
