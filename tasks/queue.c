/*
 * Queues: three lines of tasks around the items, those who get, who put, and who join.
 *
 * An item that is put while a task waits for one never enters the queue: it is written where that
 * task wants it. An item that a task waits to put enters when another one leaves. Invariants: tasks
 * wait to get only while the queue is empty, to put only while it is full, either only until it is
 * shut down, and to join only while `unfinished`, the items put and not done with, is not 0. Loop
 * thread only.
 */
#include "tasks/items.h"
#include "tasks/sync.h"

struct rill_queue {
    rill_loop *loop;
    const char *site;
    size_t maxsize;
    size_t unfinished;
    bool shut;
    void (*drop)(void *item, void *arg);
    rill__items items;
    rill__link getters;
    rill__link putters;
    rill__link joiners;
};

typedef struct getter {
    rill__queuer queuer;
    void **ret_item;
} getter;

typedef struct putter {
    rill__queuer queuer;
    void *item;
} putter;

/* ---- making and freeing ---- */

static int
check(rill_loop *loop, const rill_queue_options *options)
{
    if ((unsigned)options->order > RILL_QUEUE_PRIORITY ||
        (options->order == RILL_QUEUE_PRIORITY) != (options->compare != NULL))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "rill_queue_new: `compare` is for RILL_QUEUE_PRIORITY, which needs it");
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    return loop->freeing ? rill__fail_call(loop, RILL_ECLOSED, "rill_queue_new") : 0;
}

int
rill_queue_new_site(
    rill_loop *loop, const rill_queue_options *options, const char *site, rill_queue **ret_queue)
{
    rill_queue_options copy = rill_queue_options_default();
    rill_queue *self;
    int rc = 0;

    RILL__REQUIRE(loop != NULL && ret_queue != NULL);
    rill__check_thread(loop, "rill_queue_new");
    if (options != NULL)
        rc = rill__options_copy(
            loop, "rill_queue_options", options, options->size, &copy, sizeof(copy));
    if (rc == 0)
        rc = check(loop, &copy);
    if (rc < 0)
        return rc;
    self = rill__alloc_zeroed(loop, sizeof(*self), RILL_TAG_TASK);
    if (self == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_queue_new");
    self->loop = loop;
    self->site = site;
    self->maxsize = copy.maxsize;
    self->drop = copy.drop;
    self->items = (rill__items){
        .loop = loop, .order = copy.order, .compare = copy.compare, .arg = copy.arg
    };
    rill__list_init(&self->getters);
    rill__list_init(&self->putters);
    rill__list_init(&self->joiners);
    *ret_queue = self;
    return 0;
}

static void
drop_next(rill_queue *self)
{
    void *item = rill__items_pop(&self->items);

    if (self->drop != NULL)
        self->drop(item, self->items.arg);
}

void
rill_queue_free(rill_queue *self)
{
    if (self == NULL)
        return;
    rill__check_thread(self->loop, "rill_queue_free");
    if (!rill__list_empty(&self->getters) || !rill__list_empty(&self->putters) ||
        !rill__list_empty(&self->joiners))
        rill__panic("rill_queue_free: a task waits for the queue (made at %s): shut it down, or "
                    "have the tasks that use it end first",
            self->site);
    while (self->items.count > 0)
        drop_next(self);
    rill__items_done(&self->items);
    rill__free(self->loop, self, sizeof(*self), RILL_TAG_TASK);
}

/* ---- passing items on ---- */

static inline int
may_wait(const rill_queue *self, rill__fiber *fiber)
{
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (RILL__UNLIKELY(fiber->loop != self->loop))
        return rill__refuse_foreign(fiber, self->site);
    return rill__may_wait(fiber);
}

static inline bool
is_full(const rill_queue *self)
{
    return self->maxsize != 0 && self->items.count >= self->maxsize;
}

/* Put it if that is possible now. */
static int
put(rill_queue *self, void *item, const char *function)
{
    rill__queuer *first = rill__first_queuer(&self->getters);
    int rc;

    if (self->shut)
        return RILL_ESHUTDOWN;
    if (first != NULL) {
        *RILL__CONTAINER(first, getter, queuer)->ret_item = item;
        rill__queuer_serve(first, 0, function);
    } else if (is_full(self)) {
        return RILL_EFULL;
    } else {
        rc = rill__items_push(&self->items, item);
        if (rc < 0)
            return rill__fail_call(self->loop, rc, function);
    }
    self->unfinished++;
    return 0;
}

/* Get one if there is one now. */
static int
get(rill_queue *self, void **ret_item, const char *function)
{
    rill__queuer *first = rill__first_queuer(&self->putters);

    if (self->items.count == 0)
        return self->shut ? RILL_ESHUTDOWN : RILL_EEMPTY;
    *ret_item = rill__items_pop(&self->items);
    if (first != NULL) {
        rill__check(
            rill__items_push(&self->items, RILL__CONTAINER(first, putter, queuer)->item) == 0);
        self->unfinished++;
        rill__queuer_serve(first, 0, function);
    }
    return 0;
}

int
rill_queue_put(rill_queue *self, void *item)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(self != NULL);
    rc = may_wait(self, fiber);
    if (rc < 0)
        return rc;
    rc = put(self, item, "rill_queue_put");
    if (rc == RILL_EFULL) {
        putter me = { .queuer.wait = { .cancel = rill__queuer_leave,
                          .what = "rill_queue_put",
                          .site = self->site },
            .item = item };

        return rill__queue_up(fiber, &self->putters, &me.queuer);
    }
    if (rc == 0)
        rill__spend(fiber);
    return rc;
}

int
rill_queue_put_nowait(rill_queue *self, void *item)
{
    RILL__REQUIRE(self != NULL);
    rill__check_thread(self->loop, "rill_queue_put_nowait");
    return put(self, item, "rill_queue_put_nowait");
}

int
rill_queue_get(rill_queue *self, void **ret_item)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(self != NULL && ret_item != NULL);
    rc = may_wait(self, fiber);
    if (rc < 0)
        return rc;
    rc = get(self, ret_item, "rill_queue_get");
    if (rc == RILL_EEMPTY) {
        getter me = { .queuer.wait = { .cancel = rill__queuer_leave,
                          .what = "rill_queue_get",
                          .site = self->site },
            .ret_item = ret_item };

        return rill__queue_up(fiber, &self->getters, &me.queuer);
    }
    if (rc == 0)
        rill__spend(fiber);
    return rc;
}

int
rill_queue_get_nowait(rill_queue *self, void **ret_item)
{
    RILL__REQUIRE(self != NULL && ret_item != NULL);
    rill__check_thread(self->loop, "rill_queue_get_nowait");
    return get(self, ret_item, "rill_queue_get_nowait");
}

/* ---- items that are done with ---- */

static void
serve_all(rill__link *waiters, int code, const char *function)
{
    rill__queuer *first;

    while ((first = rill__first_queuer(waiters)) != NULL)
        rill__queuer_serve(first, code, function);
}

static void
finish_one(rill_queue *self, const char *function)
{
    if (self->unfinished > 0 && --self->unfinished == 0)
        serve_all(&self->joiners, 0, function);
}

int
rill_queue_task_done(rill_queue *self)
{
    RILL__REQUIRE(self != NULL);
    rill__check_thread(self->loop, "rill_queue_task_done");
    if (self->unfinished == 0)
        return RILL_ESTATE;
    finish_one(self, "rill_queue_task_done");
    return 0;
}

int
rill_queue_join(rill_queue *self)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(self != NULL);
    rc = may_wait(self, fiber);
    if (rc < 0)
        return rc;
    if (self->unfinished != 0) {
        rill__queuer me = {
            .wait = { .cancel = rill__queuer_leave, .what = "rill_queue_join", .site = self->site }
        };

        return rill__queue_up(fiber, &self->joiners, &me);
    }
    rill__spend(fiber);
    return 0;
}

/* ---- the end ---- */

/* A `drop` may use the queue: it is shut when the first one runs. */
void
rill_queue_shutdown(rill_queue *self, bool immediate)
{
    rill__check_thread(self->loop, "rill_queue_shutdown");
    self->shut = true;
    serve_all(&self->putters, RILL_ESHUTDOWN, "rill_queue_shutdown");
    serve_all(&self->getters, RILL_ESHUTDOWN, "rill_queue_shutdown");
    while (immediate && self->items.count > 0) {
        drop_next(self);
        finish_one(self, "rill_queue_shutdown");
    }
}

/* ---- looking ---- */

size_t
rill_queue_size(const rill_queue *self)
{
    return self->items.count;
}

size_t
rill_queue_maxsize(const rill_queue *self)
{
    return self->maxsize;
}

bool
rill_queue_is_empty(const rill_queue *self)
{
    return self->items.count == 0;
}

bool
rill_queue_is_full(const rill_queue *self)
{
    return is_full(self);
}
