/*
 * What a task wants done when it ends, the last wish first. Cleaning up may wait: a cancel is held
 * off for a grace of 5 s in all. The records come from the loop's pool. Loop thread only.
 *
 */
#include "tasks/internal.h"

typedef struct rill__defer {
    struct rill__defer *next;
    void (*fn)(void *arg);
    void *arg;
} rill__defer;

int
rill_defer(void (*fn)(void *arg), void *arg)
{
    rill__fiber *fiber = rill__current();
    rill__defer *self;

    RILL__REQUIRE(fn != NULL);
    if (fiber == NULL)
        return rill__refuse_outside();
    self = rill__pool_take(fiber->loop, sizeof(*self));
    if (self == NULL)
        return -ENOMEM;
    *self = (rill__defer){ .next = fiber->defers, .fn = fn, .arg = arg };
    fiber->defers = self;
    return 0;
}

void
rill__defers_run(rill__fiber *fiber)
{
    rill_scope shield;

    rill_shield_begin(&shield, RILL__GRACE);
    while (fiber->defers != NULL) {
        rill__defer *self = fiber->defers;
        void (*fn)(void *arg) = self->fn;
        void *arg = self->arg;

        fiber->defers = self->next;
        rill__pool_release(fiber->loop, self, sizeof(*self), 0);
        fn(arg);
    }
    RILL_IGNORE(rill_scope_end(&shield, 0));
}
