/*
 * Scopes: which part of a task is canceled, and until when it may run.
 *
 * Scopes lie on the task's stack and are chained from the innermost outward; behind the last one is
 * the task itself. A task is canceled where any of them is, up to the first shield. That is kept as
 * one flag, which every wait looks at, and worked out anew when anything changes. The timer of a
 * deadline is armed when the task first waits within it, so a scope without waits costs no timer.
 * Loop thread only.
 */
#include "tasks/internal.h"

#define MAGIC UINT32_C(0x5c09e)

static_assert(sizeof(rill__scope) <= sizeof(rill_scope), "a scope fits its public form");

static inline rill__scope *
scope_of(rill_scope *scope)
{
    return (rill__scope *)(void *)scope;
}

static inline const rill__scope *
const_scope_of(const rill_scope *scope)
{
    return (const rill__scope *)(const void *)scope;
}

/* ---- canceled? ---- */

static bool
is_canceled(const rill__fiber *fiber)
{
    for (const rill__scope *scope = fiber->scope; scope != NULL; scope = scope->outer) {
        if (scope->canceled || scope->expired)
            return true;
        if (scope->kind == RILL__SCOPE_SHIELD)
            return false;
    }
    return fiber->task->cancels > 0;
}

void
rill__scopes_update(rill__fiber *fiber)
{
    bool canceled = is_canceled(fiber);

    fiber->canceled = canceled;
    if (!canceled) {
        fiber->refused = 0;
        return;
    }
    if (fiber->wait != NULL && fiber->wait->cancel != NULL && fiber->wait->cancel(fiber->wait))
        rill__wake(fiber, RILL_ECANCELED);
}

static void
expire(rill__own_timer *timer)
{
    rill__scope *scope = RILL__CONTAINER(timer, rill__scope, timer);

    scope->expired = true;
    rill__scopes_update(scope->fiber);
}

void
rill__scopes_arm(rill__fiber *fiber)
{
    fiber->unarmed = false;
    for (rill__scope *scope = fiber->scope; scope != NULL; scope = scope->outer) {
        if (scope->deadline == RILL_NEVER || scope->expired || rill__timer_is_armed(&scope->timer))
            continue;
        rill__timer_arm(fiber->loop, &scope->timer, scope->deadline);
    }
}

/* ---- beginning and ending ---- */

/* The frame that held it has returned: its memory is no scope's any more. */
static RILL__RARE _Noreturn void
panic_left(const rill__fiber *fiber)
{
    rill__task_panic(fiber->task, NULL,
        "has left a function with a scope or group that was not ended: end it on every way out");
}

void
rill__scopes_check(const rill__fiber *fiber, const void *sp)
{
    const rill__stack *stack = &fiber->inner->stack;
    const char *scope = (const char *)fiber->scope;

    if (RILL__UNLIKELY(
            scope != NULL && scope < (const char *)sp && scope >= stack->low && scope < stack->top))
        panic_left(fiber);
}

void
rill__scope_init(rill__scope *scope, uint8_t kind, rill_ns deadline, const char *site)
{
    rill__fiber *fiber = rill__current();

    scope->fiber = fiber;
    scope->site = site;
    scope->timer.timer.state = 0;
    scope->timer.fn = expire;
    scope->deadline = deadline;
    scope->kind = kind;
    scope->canceled = scope->expired = scope->ended = false;
    scope->magic = MAGIC;
    scope->outer = NULL;
    if (RILL__UNLIKELY(fiber == NULL))
        return;
    rill__scopes_check(fiber, __builtin_frame_address(0));
    scope->outer = fiber->scope;
    fiber->scope = scope;
    if (deadline != RILL_NEVER) {
        fiber->unarmed = true;
        scope->expired = deadline <= rill__loop_now(fiber->loop);
    }
    if (RILL__UNLIKELY(scope->expired || kind == RILL__SCOPE_SHIELD))
        rill__scopes_update(fiber);
}

/* In effect from the outside, once `scope` has gone. */
int
rill__scope_pop(rill__scope *scope, const char *function)
{
    rill__fiber *fiber = scope->fiber;

    if (RILL__UNLIKELY(scope->magic != MAGIC || scope->ended))
        rill__panic("%s: this was not begun, or has ended already", function);
    scope->ended = true;
    if (RILL__UNLIKELY(fiber == NULL))
        return RILL_ENOTASK;
    if (RILL__UNLIKELY(fiber != rill__current() || fiber->scope != scope))
        rill__task_panic(fiber->task, scope->site,
            "ends a scope or group that is not the one begun last, or not its own");
    if (scope->deadline != RILL_NEVER && rill__timer_is_armed(&scope->timer))
        rill__timer_disarm(fiber->loop, &scope->timer);
    fiber->scope = scope->outer;
    if (RILL__UNLIKELY(fiber->canceled || scope->kind == RILL__SCOPE_SHIELD))
        rill__scopes_update(fiber);
    return 0;
}

void
rill_scope_begin_site(rill_scope *scope, const char *site)
{
    rill__scope_init(scope_of(scope), RILL__SCOPE_PLAIN, RILL_NEVER, site);
}

void
rill_timeout_begin_at_site(rill_scope *scope, rill_ns when, const char *site)
{
    rill__scope_init(scope_of(scope), RILL__SCOPE_TIMEOUT, when, site);
}

/* Points in time are 0 or later: what lies before is past all the same. */
static rill_ns
deadline_after(rill_ns after)
{
    rill_ns now = rill__running != NULL ? rill__loop_now(rill__running) : 0;

    return after <= 0 ? 0 : after > INT64_MAX - now ? RILL_NEVER : now + after;
}

void
rill_timeout_begin_site(rill_scope *scope, rill_ns after, const char *site)
{
    rill__scope_init(scope_of(scope), RILL__SCOPE_TIMEOUT,
        after == RILL_NEVER ? RILL_NEVER : deadline_after(after), site);
}

void
rill_shield_begin_site(rill_scope *scope, rill_ns grace, const char *site)
{
    rill__scope_init(scope_of(scope), RILL__SCOPE_SHIELD, deadline_after(grace), site);
}

int
rill_scope_end(rill_scope *scope, int rc)
{
    rill__scope *self = scope_of(scope);
    int popped;

    RILL__REQUIRE(scope != NULL);
    popped = rill__scope_pop(self, "rill_scope_end");
    if (RILL__UNLIKELY(popped < 0))
        return rc < 0 ? rc : popped;
    if (RILL__LIKELY(rc != RILL_ECANCELED) || self->fiber->canceled)
        return rc;
    return self->expired ? RILL_ETIMEDOUT : self->canceled ? 0 : rc;
}

/* ---- while it lasts ---- */

void
rill_scope_cancel(rill_scope *scope)
{
    rill__scope *self = scope_of(scope);

    if (self->magic != MAGIC || self->ended || self->canceled)
        return;
    self->canceled = true;
    if (self->fiber == NULL)
        return;
    rill__check_thread(self->fiber->loop, "rill_scope_cancel");
    rill__scopes_update(self->fiber);
}

bool
rill_scope_is_canceled(const rill_scope *scope)
{
    return const_scope_of(scope)->canceled;
}

bool
rill_scope_is_expired(const rill_scope *scope)
{
    return const_scope_of(scope)->expired;
}

rill_ns
rill_scope_when(const rill_scope *scope)
{
    return const_scope_of(scope)->deadline;
}

int
rill_scope_reschedule(rill_scope *scope, rill_ns when)
{
    rill__scope *self = scope_of(scope);
    rill__fiber *fiber;

    RILL__REQUIRE(scope != NULL && (when >= 0 || when == RILL_NEVER));
    fiber = self->fiber;
    if (self->magic != MAGIC || self->ended || self->expired || fiber == NULL)
        return RILL_ESTATE;
    rill__check_thread(fiber->loop, "rill_scope_reschedule");
    if (rill__timer_is_armed(&self->timer))
        rill__timer_disarm(fiber->loop, &self->timer);
    self->deadline = when;
    if (when == RILL_NEVER)
        return 0;
    if (fiber == rill__current() && when > rill__loop_now(fiber->loop))
        fiber->unarmed = true;
    else if (when > rill__loop_now(fiber->loop))
        rill__timer_arm(fiber->loop, &self->timer, when);
    else
        expire(&self->timer);
    return 0;
}
