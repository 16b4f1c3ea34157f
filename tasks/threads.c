/*
 * Tasks that other threads start, wait for and cancel.
 *
 * A cfuture has two holders: its user, and the loop until one of them lets go; the last frees it.
 * What a foreign thread wants is written down in `orders` under the cfuture's lock and told by its
 * mail, so it cannot be refused for want of memory; `loop` is NULL once the loop has let go. The
 * loop's side waits for the task and writes the result under the lock. Its memory is the process's,
 * as it may outlive the loop's. The public functions: any thread; the rest: the loop's.
 */
#include <rill/threads.h>

#include "tasks/internal.h"

#define NAME_MAX_BYTES 255

enum { ORDER_START = 1, ORDER_CANCEL = 2, ORDER_FREE = 4 };

struct rill_cfuture {
    rill__host_lock lock;
    rill__host_condition over;
    rill_loop *loop;
    uint32_t fork_generation;
    uint8_t refs;
    uint8_t orders;
    bool done;
    bool canceled; /* By its user. */
    int code;

    rill__mail mail; /* From here on it is the loop's. */
    rill__link link;
    rill__waiter waiter;
    rill_task *task; /* A reference, while it runs. */
    bool asked;      /* To cancel it, by its user. */
    bool listed;
    rill_fn fn;
    void *arg;
    rill_task_options options;
    const char *site;
    size_t bytes; /* Of all this. */
    char copy[];  /* Of the argument, aligned, and of the name. */
};

static void
destroy(rill_cfuture *self)
{
    rill__host_condition_done(&self->over);
    rill__host_lock_done(&self->lock);
    rill__default_allocator.free(rill__default_allocator.ctx, self, self->bytes, RILL_TAG_TASK);
}

/* Gives up the lock as well. */
static void
unref(rill_cfuture *self)
{
    bool last = --self->refs == 0;

    rill__host_lock_release(&self->lock);
    if (last)
        destroy(self);
}

/* ---- the loop's side ---- */

static void
finish(rill_cfuture *self, int code)
{
    rill__host_lock_take(&self->lock);
    self->code = code == RILL_EREVOKED && self->canceled ? RILL_ECANCELED : code;
    self->done = true;
    rill__host_condition_wake_all(&self->over);
    rill__host_lock_release(&self->lock);
}

/* It goes on alone; its error is reported. */
static void
leave_task(rill_cfuture *self)
{
    if (self->task == NULL)
        return;
    rill__list_remove(&self->waiter.link);
    rill_task_unref(self->task);
    self->task = NULL;
}

/* The loop knows nothing of it any more. If its mail may be on its way that does it. */
static void
let_go(rill_cfuture *self, bool may_be_posted)
{
    rill_loop *loop = self->loop;

    leave_task(self);
    rill__list_remove(&self->link);
    rill__host_lock_take(&self->lock);
    if (may_be_posted && atomic_load(&self->mail.posted)) {
        rill__host_lock_release(&self->lock);
        return;
    }
    self->loop = NULL;
    unref(self);
    atomic_fetch_sub(&loop->holds, 1);
}

static void
on_end(rill__waiter *waiter)
{
    rill_cfuture *self = RILL__CONTAINER(waiter, rill_cfuture, waiter);
    rill_task *task = self->task;
    rill_loop *loop = self->loop;
    int code = rill__future_outcome(&task->future, NULL);

    if (rill_task_is_canceled(task) && !self->asked &&
        (loop->freeing || loop->tasks->stop_when_none))
        code = RILL_ESHUTDOWN;
    finish(self, code);
    self->task = NULL;
    rill_task_unref(task);
}

static void
start(rill_cfuture *self)
{
    rill_loop *loop = self->loop;
    int rc = rill_spawn_site(loop, self->fn, self->arg, &self->options, self->site, &self->task);

    if (rc < 0) {
        self->task = NULL;
        finish(self, rc == RILL_ECLOSED ? RILL_ESHUTDOWN : rc);
        return;
    }
    self->waiter.fn = on_end;
    if (self->task->future.state == RILL__PENDING)
        rill__future_wait(&self->task->future, &self->waiter);
    else
        on_end(&self->waiter); /* It was eager. */
}

static void
cancel_task(rill_cfuture *self)
{
    self->asked = true;
    if (self->task != NULL)
        (void)rill__task_cancel(self->task, "it was canceled by another thread");
}

static void
arrived(rill__mail *mail)
{
    rill_cfuture *self = RILL__CONTAINER(mail, rill_cfuture, mail);
    rill_loop *loop = self->loop;
    uint8_t orders;

    rill__host_lock_take(&self->lock);
    orders = atomic_load(&self->mail.posted) ? 0 : self->orders;
    self->orders &= (uint8_t)~orders;
    rill__host_lock_release(&self->lock);
    if (orders == 0)
        return; /* It was posted again meanwhile: that mail has them all, and is the last. */
    if ((orders & ORDER_START) != 0) {
        rill__list_init(&self->link);
        start(self);
        self->listed = loop->tasks != NULL;
        if (self->listed)
            rill__list_append(&loop->tasks->cfutures, &self->link);
    }
    if ((orders & ORDER_CANCEL) != 0)
        cancel_task(self);
    if ((orders & ORDER_FREE) != 0)
        let_go(self, false);
    else if (!self->listed) /* Nobody would do it when the loop ends. */
        let_go(self, true);
}

void
rill__cfutures_done(rill_loop *loop)
{
    rill__link *head = &loop->tasks->cfutures;

    while (!rill__list_empty(head)) {
        rill_cfuture *self = RILL__CONTAINER(head->next, rill_cfuture, link);

        if (self->task != NULL)
            finish(self, RILL_ESHUTDOWN); /* It was given up. */
        let_go(self, false);
    }
}

/* ---- the foreign side ---- */

static int
make(const rill_task_options *options, const void *arg, rill_cfuture **ret_cfuture)
{
    size_t room = (options->copy_arg + 15) / 16 * 16;
    size_t name_len = options->name != NULL ? strnlen(options->name, NAME_MAX_BYTES + 1) : 0;
    size_t bytes = sizeof(rill_cfuture) + 16 + room + name_len + 1;
    rill_cfuture *self;
    uintptr_t place;
    int rc;

    if (name_len > NAME_MAX_BYTES || options->copy_arg > RILL__COPY_ARG_MAX ||
        options->context != NULL || (options->copy_arg != 0 && arg == NULL))
        return RILL_EINVAL;
    self = rill__default_allocator.alloc(rill__default_allocator.ctx, bytes, RILL_TAG_TASK);
    if (self == NULL)
        return -ENOMEM;
    memset(self, 0, bytes);
    self->bytes = bytes;
    self->options = *options;
    place = ((uintptr_t)self->copy + 15) & ~(uintptr_t)15;
    self->arg = (void *)(uintptr_t)arg;
    if (options->copy_arg != 0)
        self->arg = memcpy((void *)place, arg, options->copy_arg);
    if (options->name != NULL)
        self->options.name = memcpy((char *)place + room, options->name, name_len);
    rc = rill__host_lock_init(&self->lock);
    if (rc < 0)
        goto fail;
    rc = rill__host_condition_init(&self->over);
    if (rc < 0)
        goto fail_lock;
    *ret_cfuture = self;
    return 0;

fail_lock:
    rill__host_lock_done(&self->lock);
fail:
    rill__default_allocator.free(rill__default_allocator.ctx, self, bytes, RILL_TAG_TASK);
    return rc;
}

/* With the lock. */
static void
order(rill_cfuture *self, uint8_t what)
{
    self->orders |= what;
    rill__mail_post(self->loop, &self->mail);
}

int
rill_spawn_threadsafe_site(rill_loop *loop, rill_fn fn, void *arg, const rill_task_options *options,
    const char *site, rill_cfuture **ret_cfuture)
{
    rill_task_options copy = { .size = sizeof(copy) };
    rill_cfuture *self = NULL;
    int rc = 0;

    RILL__REQUIRE(loop != NULL && fn != NULL && ret_cfuture != NULL);
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_task_options", options, options->size, &copy, sizeof(copy));
    copy.size = sizeof(copy);
    if (rc == 0)
        rc = make(&copy, arg, &self);
    if (rc < 0)
        return rc;
    self->loop = loop;
    self->fork_generation = rill__fork_generation;
    self->refs = 2;
    self->fn = fn;
    self->site = site;
    self->mail.fn = arrived;
    rill_loop_hold(loop);
    *ret_cfuture = self;
    rill__host_lock_take(&self->lock);
    order(self, ORDER_START);
    rill__host_lock_release(&self->lock);
    return 0;
}

static int
wait_for_end(rill_cfuture *self, rill_ns timeout)
{
    rill_ns deadline = RILL_NEVER;

    if (self->done)
        return self->code;
    if (timeout == 0)
        return RILL_ETIMEDOUT;
    if (rill__running != NULL && rill__running == self->loop)
        return RILL_EDEADLK;
    if (timeout != RILL_NEVER && timeout < INT64_MAX - rill__host_now())
        deadline = rill__host_now() + timeout;
    while (!self->done) {
        if (!rill__host_condition_wait(&self->over, &self->lock, deadline) && !self->done)
            return RILL_ETIMEDOUT;
    }
    return self->code;
}

int
rill_cfuture_wait(rill_cfuture *cfuture, rill_ns timeout)
{
    int rc;

    RILL__REQUIRE(cfuture != NULL && (timeout >= 0 || timeout == RILL_NEVER));
    if (cfuture->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    rill__host_lock_take(&cfuture->lock);
    rc = wait_for_end(cfuture, timeout);
    rill__host_lock_release(&cfuture->lock);
    return rc;
}

bool
rill_cfuture_cancel(rill_cfuture *cfuture)
{
    bool pending;

    if (cfuture->fork_generation != rill__fork_generation)
        return false;
    rill__host_lock_take(&cfuture->lock);
    pending = !cfuture->done && cfuture->loop != NULL;
    if (pending) {
        cfuture->canceled = true;
        order(cfuture, ORDER_CANCEL);
    }
    rill__host_lock_release(&cfuture->lock);
    return pending;
}

bool
rill_cfuture_is_done(rill_cfuture *cfuture)
{
    bool done;

    rill__host_lock_take(&cfuture->lock);
    done = cfuture->done;
    rill__host_lock_release(&cfuture->lock);
    return done;
}

void
rill_cfuture_free(rill_cfuture *cfuture)
{
    if (cfuture == NULL || cfuture->fork_generation != rill__fork_generation)
        return;
    rill__host_lock_take(&cfuture->lock);
    if (cfuture->loop != NULL)
        order(cfuture, ORDER_FREE);
    unref(cfuture);
}
