/*
 * Generators: a function on a stack of its own that hands out items to whichever task asks.
 *
 * It runs within the asking task: what it waits for, that task waits for, with the generator's
 * stack as the inner one. Between items it is suspended and belongs to nobody. Scopes must not be
 * open then, as they would cancel whoever asks next. Loop thread only.
 */
#include "tasks/internal.h"

struct rill_generator {
    rill__coro coro; /* First: its entry finds the generator by it. */
    rill_loop *loop;
    rill_fn fn;
    void *arg;
    const char *site;
    void *item;
    int code;
    bool running;
    bool closing;
    rill__coro *outer; /* The inner stack of the task that asks, and its innermost scope. */
    rill__scope *scope;
    struct rill_generator *above; /* In which that task was. */
};

static void
generate(rill__coro *coro)
{
    rill_generator *self = RILL__CONTAINER(coro, rill_generator, coro);

    self->code = self->closing ? 0 : self->fn(self->arg);
    if (rill__current()->scope != self->scope)
        rill__task_panic(rill__current()->task, self->site,
            "asks a generator that has returned with a scope or group open");
}

int
rill_generator_new_site(rill_fn fn, void *arg, const char *site, rill_generator **ret_generator)
{
    rill_loop *loop = rill_loop_running();
    rill_generator *self;
    rill__stack stack;
    int rc;

    RILL__REQUIRE(fn != NULL && ret_generator != NULL);
    if (loop == NULL)
        return RILL_ENOTASK;
    rc = loop->freeing ? RILL_ECLOSED : rill__tasks_begin(loop);
    if (rc == 0)
        rc = rill__stack_take(loop, RILL__STACK_BYTES, &stack);
    if (rc < 0)
        return rc;
    self = rill__alloc_zeroed(loop, sizeof(*self), RILL_TAG_TASK);
    if (self == NULL) {
        rill__stack_release(loop, &stack);
        return -ENOMEM;
    }
    self->coro.stack = stack;
    self->loop = loop;
    self->fn = fn;
    self->arg = arg;
    self->site = site;
    rill__coro_init(&self->coro, stack.top, generate);
    *ret_generator = self;
    return 0;
}

/* A cancel that its function was told once is no cancel of whoever asks after that. */
static int
outcome(const rill_generator *self, const rill__fiber *fiber)
{
    if (self->code == RILL_ECANCELED && !fiber->canceled)
        return RILL_EREVOKED;
    return self->code < 0 ? self->code : 0;
}

static void
go_on(rill_generator *self, rill__fiber *fiber)
{
    self->outer = fiber->inner;
    self->scope = fiber->scope;
    self->above = fiber->generator;
    self->running = true;
    fiber->inner = &self->coro;
    fiber->generator = self;
    rill__coro_enter(&self->coro, &self->coro, 0);
    fiber->generator = self->above;
    fiber->inner = self->outer;
    self->running = false;
}

int
rill_generator_next(rill_generator *self, void **ret_item)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(self != NULL && ret_item != NULL);
    rc = rill__may_wait(fiber);
    if (rc < 0)
        return rc;
    if (fiber->loop != self->loop)
        return rill__refuse_foreign(fiber, self->site);
    if (self->running)
        return RILL_EBUSY;
    if (self->coro.ended)
        return outcome(self, fiber);
    go_on(self, fiber);
    if (self->coro.ended)
        return outcome(self, fiber);
    *ret_item = self->item;
    rill__spend(fiber);
    return 1;
}

int
rill_emit(void *item)
{
    rill__fiber *fiber = rill__current();
    rill_generator *self = fiber != NULL ? fiber->generator : NULL;

    if (self == NULL || fiber->scope != self->scope)
        return RILL_ESTATE;
    if (self->closing)
        return RILL_ECLOSED;
    self->item = item;
    (void)rill__coro_leave(&self->coro, &self->coro);
    return self->closing ? RILL_ECLOSED : 0;
}

void
rill_generator_free(rill_generator *self)
{
    rill_loop *loop;

    if (self == NULL)
        return;
    loop = self->loop;
    rill__check_thread(loop, "rill_generator_free");
    if (self->running)
        rill__panic("rill_generator_free called while the generator (made at %s) runs", self->site);
    if (!self->coro.ended && rill__current() == NULL)
        rill__panic(
            "rill_generator_free called outside of a task for a generator (made at %s) that "
            "has not ended",
            self->site);
    self->closing = true;
    if (!self->coro.ended)
        go_on(self, rill__current());
    rill__check(self->coro.ended);
    rill__stack_release(loop, &self->coro.stack);
    rill__free(loop, self, sizeof(*self), RILL_TAG_TASK);
}
