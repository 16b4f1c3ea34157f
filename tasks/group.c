/*
 * Groups: a scope with children, which are tasks that have all ended when it ends.
 *
 * The group lies on the stack of its task, and children link themselves into it, so it must outlive
 * them: rill_group_end waits for all of them, whatever happens. The first error, of a child or of
 * the task's own part, cancels the scope and the other children. Loop thread only.
 */
#include "tasks/internal.h"

#define ERRORS_KEPT 16

struct rill__group {
    rill__scope scope;
    rill__link children;
    size_t alive;
    rill__wait wait;
    bool ending;
    bool aborted; /* Children were told to stop, for whatever reason. */
    rill_loop *loop;
    size_t errors_count;
    int errors[ERRORS_KEPT]; /* The first ones, in order of time. */
};

static_assert(sizeof(rill__group) <= sizeof(rill_group), "a group fits its public form");

static inline rill__group *
group_of(rill_group *group)
{
    return (rill__group *)(void *)group;
}

void
rill_group_begin_site(rill_group *group, const char *site)
{
    rill__group *self = group_of(group);

    memset(self, 0, sizeof(*self));
    rill__list_init(&self->children);
    rill__scope_init(&self->scope, RILL__SCOPE_GROUP, RILL_NEVER, site);
    self->loop = self->scope.fiber != NULL ? self->scope.fiber->loop : NULL;
}

/* ---- errors ---- */

static void
add_error(rill__group *self, int code)
{
    if (self->errors_count < ERRORS_KEPT)
        self->errors[self->errors_count] = code;
    self->errors_count++;
}

size_t
rill_group_errors(const rill_group *group, int *ret_codes, size_t max)
{
    const rill__group *self = (const rill__group *)(const void *)group;

    for (size_t i = 0; i < max && i < self->errors_count && i < ERRORS_KEPT; i++)
        ret_codes[i] = self->errors[i];
    return self->errors_count;
}

/* ---- stopping ---- */

static void
abort_children(rill__group *self, const char *why)
{
    self->aborted = true;
    /* None of them ends inside this call. */
    for (rill__link *link = self->children.next; link != &self->children; link = link->next)
        (void)rill__task_cancel(RILL__CONTAINER(link, rill_task, sibling), why);
}

static void
stop(rill__group *self, const char *why)
{
    if (self->scope.canceled)
        return;
    self->scope.canceled = true;
    abort_children(self, why);
    rill__scopes_update(self->scope.fiber);
}

void
rill_group_cancel(rill_group *group)
{
    rill__group *self = group_of(group);

    if (self->loop == NULL || self->scope.ended)
        return;
    rill__check_thread(self->loop, "rill_group_cancel");
    stop(self, "its group was canceled");
}

/* ---- children ---- */

int
rill__group_join(rill__group *self, rill_task *child)
{
    if (self->scope.ended || (self->ending && self->alive == 0))
        return RILL_ESTATE;
    if (self->scope.canceled || self->aborted)
        return RILL_ECANCELED;
    child->group = self;
    rill__list_append(&self->children, &child->sibling);
    self->alive++;
    return 0;
}

void
rill__group_left(rill__group *self, rill_task *child, int code)
{
    rill__list_remove(&child->sibling);
    child->group = NULL;
    child->future.retrieved = true;
    self->alive--;
    if (code < 0 && code != RILL_ECANCELED) {
        add_error(self, code);
        stop(self, "another task of its group failed");
    }
    if (self->alive == 0 && self->ending && self->wait.fiber != NULL) {
        rill__fiber *fiber = self->wait.fiber;

        self->wait.fiber = NULL;
        rill__wake(fiber, 0);
    }
}

int
rill_group_spawn_site(
    rill_group *group, rill_fn fn, void *arg, const rill_task_options *options, const char *site)
{
    rill__group *self = group_of(group);
    rill_task *task;
    int rc;

    RILL__REQUIRE(group != NULL);
    if (self->scope.ended)
        return RILL_ESTATE;
    if (self->loop == NULL)
        return RILL_ENOTASK;
    rc = rill__task_new(self->loop, fn, arg, options, site, self, &task);
    if (rc == 0)
        rill_task_unref(task);
    return rc;
}

/* ---- the end ---- */

/* The caller is canceled while it waits for the children: they are, too, and it waits on. */
static bool
on_cancel(rill__wait *wait)
{
    rill__group *self = RILL__CONTAINER(wait, rill__group, wait);

    if (!self->aborted)
        abort_children(self, "its group was canceled from outside");
    return false;
}

static void
wait_for_children(rill__group *self)
{
    rill__fiber *fiber = self->scope.fiber;

    self->ending = true;
    if (fiber->canceled && !self->aborted)
        abort_children(self, "its group was canceled from outside");
    while (self->alive != 0) {
        self->wait =
            (rill__wait){ .cancel = on_cancel, .what = "rill_group_end", .site = self->scope.site };
        (void)rill__suspend(fiber, &self->wait);
    }
}

int
rill_group_end(rill_group *group, int rc)
{
    rill__group *self = group_of(group);
    int popped;

    RILL__REQUIRE(group != NULL);
    if (self->loop == NULL) {
        popped = rill__scope_pop(&self->scope, "rill_group_end");
        return rc < 0 ? rc : popped;
    }
    if (self->scope.fiber != rill__current() || self->scope.fiber->scope != &self->scope)
        (void)rill__scope_pop(&self->scope, "rill_group_end"); /* Ends the process. */
    if (rc < 0 && rc != RILL_ECANCELED) {
        add_error(self, rc);
        stop(self, "its group failed");
    }
    wait_for_children(self);
    (void)rill__scope_pop(&self->scope, "rill_group_end");
    if (self->errors_count != 0)
        return self->errors[0];
    if (self->scope.fiber->canceled && (self->aborted || rc == RILL_ECANCELED))
        return RILL_ECANCELED;
    return rc == RILL_ECANCELED && self->scope.canceled ? 0 : rc;
}
