/*
 * Coroutines: a stack that is entered and left, and what the sanitizers must be told of it.
 *
 * Entering is a call that returns when the coroutine leaves. One may wait on the stack of another
 * inside it (a generator): then that is the `inner` one, whose bounds the address sanitizer needs,
 * while place and entrant are the outer one's. Without a sanitizer nothing follows the switch in
 * either direction: compilers make it a jump, which goes on in the caller's caller. That matters,
 * as processors predict each return after a switch wrong. Loop thread only.
 */
#include "tasks/internal.h"
#include "tasks/switch.h"

#if RILL__ASAN || RILL__TSAN

#if RILL__TSAN
#include <sanitizer/tsan_interface.h>
#else
#define __tsan_get_current_fiber()           NULL
#define __tsan_create_fiber(flags)           NULL
#define __tsan_destroy_fiber(fiber)          ((void)(fiber))
#define __tsan_switch_to_fiber(fiber, flags) ((void)(fiber))
#endif

#if RILL__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(fake, bottom, size) \
    ((void)(fake), (void)(bottom), (void)(size))
#define __sanitizer_finish_switch_fiber(fake, bottom, size) \
    ((void)(fake), (void)(bottom), (void)(size))
#define __asan_unpoison_memory_region(address, size) ((void)(address))
#endif

static void
made(rill__coro *coro)
{
    coro->fiber = __tsan_create_fiber(0);
}

static void
started(rill__coro *coro)
{
    __sanitizer_finish_switch_fiber(NULL, &coro->back_bottom, &coro->back_size);
}

void
rill__coro_enter(rill__coro *coro, const rill__coro *inner, int value)
{
    void *fake = NULL;

    coro->back_fiber = __tsan_get_current_fiber();
    __sanitizer_start_switch_fiber(
        &fake, inner->stack.low, (size_t)(inner->stack.top - inner->stack.low));
    __tsan_switch_to_fiber(inner->fiber, 0);
    (void)rill__switch(&coro->back, coro->sp, value);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
    if (coro->ended)
        rill__coro_done(coro);
}

int
rill__coro_leave(rill__coro *coro, rill__coro *inner)
{
    int value;

    /* Without a place to keep it, the stack's shadow is given up for good. */
    __sanitizer_start_switch_fiber(
        coro->ended ? NULL : &inner->fake, coro->back_bottom, coro->back_size);
    __tsan_switch_to_fiber(coro->back_fiber, 0);
    value = rill__switch(&coro->sp, coro->back, 0);
    __sanitizer_finish_switch_fiber(inner->fake, &coro->back_bottom, &coro->back_size);
    return value;
}

void
rill__coro_done(rill__coro *coro)
{
    __tsan_destroy_fiber(coro->fiber);
    __asan_unpoison_memory_region(coro->stack.low, (size_t)(coro->stack.top - coro->stack.low));
}

#else

static void
made(rill__coro *coro)
{
    (void)coro;
}

static void
started(rill__coro *coro)
{
    (void)coro;
}

void
rill__coro_enter(rill__coro *coro, const rill__coro *inner, int value)
{
    (void)inner;
    (void)rill__switch(&coro->back, coro->sp, value);
}

int
rill__coro_leave(rill__coro *coro, rill__coro *inner)
{
    (void)inner;
    return rill__switch(&coro->sp, coro->back, 0);
}

void
rill__coro_done(rill__coro *coro)
{
    (void)coro;
}

#endif

static void
start(void *arg)
{
    rill__coro *coro = arg;

    started(coro);
    coro->entry(coro);
    coro->ended = true;
    (void)rill__coro_leave(coro, coro);
    __builtin_unreachable();
}

void
rill__coro_init(rill__coro *coro, void *top, void (*entry)(rill__coro *self))
{
    coro->entry = entry;
    coro->sp = rill__switch_prepare(top, start, coro);
    made(coro);
}
