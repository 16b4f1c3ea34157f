/*
 * The first frame of a new stack, for the switches in assembly; and for all other processors, or
 * with RILL_SWITCH_UCONTEXT, the switch itself by ucontext(3), which makes two system calls each.
 *
 * Stateless but for the value on its way through swapcontext, which is the thread's own.
 */
#include <stdint.h>
#include <string.h>

#include "core/internal.h"
#include "tasks/switch.h"

#if defined(RILL_SWITCH_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))

#include <ucontext.h>

typedef struct frame {
    ucontext_t context;
    void (*entry)(void *arg);
    void *arg;
} frame;

static_assert(sizeof(frame) + 256 <= RILL__SWITCH_BYTES, "a context fits");

static __thread int passed;

int
rill__switch(void **save, void *to, int value)
{
    frame here;
    frame *there = to;

    *save = &here;
    passed = value;
    if (swapcontext(&here.context, &there->context) < 0)
        rill__panic("a context cannot be switched");
    return passed;
}

/* makecontext passes int arguments only: a pointer goes in two of them. */
static void
start(unsigned int high, unsigned int low)
{
    const frame *here = (const frame *)(((uintptr_t)high << 16 << 16) | low);

    here->entry(here->arg);
    rill__panic("a coroutine has returned");
}

void *
rill__switch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
    frame *first = (frame *)(((uintptr_t)top - sizeof(frame)) & ~(uintptr_t)63);
    uintptr_t address = (uintptr_t)first;

    memset(first, 0, sizeof(*first));
    if (getcontext(&first->context) < 0)
        rill__panic("a context cannot be made");
    first->entry = entry;
    first->arg = arg;
    first->context.uc_stack.ss_size = 16 * 1024; /* Only its end is looked at. */
    first->context.uc_stack.ss_sp = (char *)first - first->context.uc_stack.ss_size;
    makecontext(&first->context, (void (*)(void))start, 2, (unsigned int)(address >> 16 >> 16),
        (unsigned int)address);
    return first;
}

#elif defined(__x86_64__)

void rill__switch_start(void);

void *
rill__switch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
    uintptr_t *frame = (uintptr_t *)top - 10;

    memset(frame, 0, 10 * sizeof(*frame));
    frame[4] = (uintptr_t)arg;                /* r12 */
    frame[5] = (uintptr_t)entry;              /* rbx */
    frame[7] = (uintptr_t)rill__switch_start; /* Then the stack is aligned for its call. */
    return frame;
}

#else

void rill__switch_start(void);

void *
rill__switch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
    uint64_t *frame = (uint64_t *)top - 22;

    memset(frame, 0, 22 * sizeof(*frame));
    frame[1] = (uint64_t)rill__switch_start; /* x30 */
    frame[2] = (uint64_t)entry;              /* x19 */
    frame[3] = (uint64_t)arg;                /* x20 */
    frame[20] = UINT64_MAX;
    return frame;
}

#endif
