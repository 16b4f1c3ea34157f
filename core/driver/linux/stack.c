/*
 * Memory for the stacks of tasks.
 *
 * A large range is reserved once and made usable from its beginning on, so that all stacks together
 * are two mappings, however many there are. Guards are marks on pages where the kernel has them;
 * the C library of Debian 12 does not know them yet. Under the sanitizers, which read all memory
 * that looks readable, guards are mappings. No state but the page size; any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/driver/host.h"
#include "core/sanitizers.h"

#if RILL__ASAN
#include <sanitizer/lsan_interface.h>
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id)       ((void)(id))
#endif

#define ADVICE_GUARD_INSTALL 102 /* MADV_GUARD_INSTALL */
#define MAPPINGS_DEFAULT     65530

int
rill__host_stack_reserve(size_t size, void **ret_base)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void *base = mmap(NULL, size, PROT_NONE, flags, -1, 0);

    if (base == MAP_FAILED)
        return -errno;
    /* One huge page under sixteen stacks would cost more than all of them. */
    (void)madvise(base, size, MADV_NOHUGEPAGE);
    (void)madvise(base, size, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

void
rill__host_stack_release(void *base, size_t size)
{
    (void)munmap(base, size); /* Of a whole mapping of ours: cannot fail. */
}

int
rill__host_stack_commit(void *base, size_t size)
{
    if (mprotect(base, size, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    (void)madvise(base, size, MADV_DODUMP);
    return 0;
}

enum rill__host_guard
rill__host_stack_guard(void *base, size_t size, bool light)
{
    if (light && !RILL__ASAN && madvise(base, size, ADVICE_GUARD_INSTALL) == 0)
        return RILL__GUARD_LIGHT;
    return mprotect(base, size, PROT_NONE) == 0 ? RILL__GUARD_MAPPED : RILL__GUARD_NONE;
}

size_t
rill__host_mappings_max(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long max = 0;

    if (file == NULL)
        return MAPPINGS_DEFAULT;
    if (fscanf(file, "%lu", &max) != 1)
        max = MAPPINGS_DEFAULT;
    (void)fclose(file);
    return max != 0 ? max : 1;
}

void
rill__host_stack_trim(void *base, size_t size)
{
    (void)madvise(base, size, MADV_DONTNEED); /* Failing, the memory only stays. */
}

size_t
rill__host_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

unsigned
rill__host_stack_watch(void *base, size_t size)
{
    unsigned watch = VALGRIND_STACK_REGISTER(base, (char *)base + size);

#if RILL__ASAN
    /* What only a sleeping task points to is no leak. */
    __lsan_register_root_region(base, size);
#endif
    return watch;
}

void
rill__host_stack_forget(void *base, size_t size, unsigned watch)
{
    (void)base;
    (void)size;
#if RILL__ASAN
    __lsan_unregister_root_region(base, size);
#endif
    VALGRIND_STACK_DEREGISTER(watch);
}
