/*
 * Telling a stack overflow from any other bad access.
 *
 * The overflowing task has no stack left to run a handler on, so each thread that runs tasks gets
 * one for signals. The handler is set only where the program has none of its own: it asks who the
 * address belongs to, and then the default action ends the process as it would have. Which thread
 * has its stack is thread-local; the handler is the process's.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "core/driver/host.h"
#include "core/driver/linux/linux.h"

#define HANDLER_BYTES ((size_t)32 * 1024)

static _Atomic(rill__host_fault_fn) explain; /* Each thread with tasks sets it. */
static pthread_key_t stack_key;
static bool stack_key_made;

static size_t
stack_bytes(void)
{
    return (size_t)getauxval(AT_MINSIGSTKSZ) + HANDLER_BYTES;
}

static void
on_fault(int signal, siginfo_t *info, void *context)
{
    char text[600];
    size_t len = atomic_load(&explain)((uintptr_t)info->si_addr, text, sizeof(text));

    (void)context;
    rill__host_write(2, text, len);
    /* The same access once more, now with the default action. */
    (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

static void
drop_stack(void *memory)
{
    (void)sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    (void)munmap(memory, stack_bytes());
}

static void
install(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    stack_key_made = pthread_key_create(&stack_key, drop_stack) == 0;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction old;

        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
            (old.sa_flags & SA_SIGINFO) == 0)
            (void)sigaction(signals[i], &action, NULL);
    }
}

void
rill__host_fault_explain(rill__host_fault_fn fn)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    stack_t stack = { .ss_size = stack_bytes() };
    stack_t old;

    atomic_store(&explain, fn);
    (void)pthread_once(&once, install);
    if (!stack_key_made || sigaltstack(NULL, &old) < 0 || (old.ss_flags & SS_DISABLE) == 0)
        return;
    stack.ss_sp =
        mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return; /* An overflow then ends the process without a word. */
    if (pthread_setspecific(stack_key, stack.ss_sp) != 0 || sigaltstack(&stack, NULL) < 0) {
        (void)pthread_setspecific(stack_key, NULL);
        (void)munmap(stack.ss_sp, stack.ss_size);
    }
}
