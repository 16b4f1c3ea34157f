/*
 * Readers and writers of descriptors that are not the loop's.
 *
 * A watch is one descriptor with both its sides, found by its number. It is attached as long as a
 * side has somebody, and detached at once after that: the number may come back as another file. Its
 * memory stays with the loop, for the next one: the kernel may still report for a descriptor whose
 * owner closed it while a duplicate was open, and names the watch then. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include <rill/watch.h>

#include "core/internal.h"

#define BUCKETS 256

/* Nobody: fn is NULL. */
typedef struct side {
    rill_callback fn;
    void *arg;
    const char *site;
    bool exclusive; /* Of a wait that nobody may replace. */
} side;

typedef struct watch {
    rill__object object;
    rill__link bucket;
    rill_loop *loop;
    int fd;
    side sides[RILL__WATCH_SIDES];
    rill__io io;
    struct watch *next_free;
} watch;

struct rill__watches {
    rill__link buckets[BUCKETS];
    watch *free;
};

/* ---- records ---- */

static void
ready(watch *self, enum rill__watch_side which)
{
    const side *told = &self->sides[which];

    if (told->fn == NULL)
        return;
    self->loop->current_site = told->site;
    told->fn(told->arg);
}

static void
on_readable(rill__op *op)
{
    ready(RILL__CONTAINER(op, watch, io.recv), RILL__WATCH_READ);
}

static void
on_writable(rill__op *op)
{
    ready(RILL__CONTAINER(op, watch, io.send), RILL__WATCH_WRITE);
}

/* ---- finding and making ---- */

static rill__link *
bucket_of(rill__watches *all, int fd)
{
    return &all->buckets[(unsigned)fd % BUCKETS];
}

static watch *
find(const rill_loop *loop, int fd)
{
    const rill__link *head;

    if (loop->watches == NULL)
        return NULL;
    head = bucket_of(loop->watches, fd);
    for (rill__link *link = head->next; link != head; link = link->next) {
        watch *self = RILL__CONTAINER(link, watch, bucket);

        if (self->fd == fd)
            return self;
    }
    return NULL;
}

static int
begin(rill_loop *loop)
{
    rill__watches *all;

    if (loop->watches != NULL)
        return 0;
    all = rill__alloc(loop, sizeof(*all), RILL_TAG_LOOP);
    if (all == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        rill__list_init(&all->buckets[i]);
    all->free = NULL;
    loop->watches = all;
    return 0;
}

static watch *
take(rill_loop *loop)
{
    watch *self = loop->watches->free;

    if (self == NULL)
        return rill__alloc_zeroed(loop, sizeof(*self), RILL_TAG_LOOP);
    loop->watches->free = self->next_free;
    memset(self, 0, sizeof(*self));
    return self;
}

static void
give_back(watch *self)
{
    rill__watches *all = self->loop->watches;

    self->next_free = all->free;
    all->free = self;
}

static void end(rill__object *object);
static void describe(const rill__object *object, char *buf, size_t size);

static const rill__object_ops object_ops = { .end = end, .describe = describe };

static int
attach(rill_loop *loop, int fd, const char *site, watch **ret_watch)
{
    watch *self;
    int rc = begin(loop);

    if (rc < 0)
        return rc;
    self = take(loop);
    if (self == NULL)
        return -ENOMEM;
    self->loop = loop;
    self->fd = fd;
    self->io.recv.fn = on_readable;
    self->io.send.fn = on_writable;
    self->io.inherited = true;
    rc = loop->ops->attach(loop->driver, &self->io, fd, RILL__IO_POLL);
    if (rc < 0) {
        give_back(self);
        return rc;
    }
    rill__list_append(bucket_of(loop->watches, fd), &self->bucket);
    rill__object_add(loop, RILL__OBJECT_WATCH, &object_ops, &self->object, site);
    *ret_watch = self;
    return 0;
}

/* ---- interest ---- */

static int
tell_driver(watch *self)
{
    return self->loop->ops->poll_set(self->loop->driver, &self->io,
        self->sides[RILL__WATCH_READ].fn != NULL, self->sides[RILL__WATCH_WRITE].fn != NULL);
}

/* A record that is queued would find memory that is another watch's. */
static void
forget_record(rill_loop *loop, rill__op *op)
{
    if (op->queued)
        rill__loop_unlink(loop, &op->ready);
    op->queued = false;
}

/* Nobody is left. */
static void
detach(watch *self)
{
    rill_loop *loop = self->loop;

    (void)loop->ops->detach(loop->driver, &self->io);
    forget_record(loop, &self->io.recv);
    forget_record(loop, &self->io.send);
    rill__list_remove(&self->bucket);
    rill__object_remove(loop, RILL__OBJECT_WATCH, &self->object);
    give_back(self);
}

static void
settle(watch *self)
{
    (void)tell_driver(self); /* Fewer than before: cannot fail. */
    if (self->sides[RILL__WATCH_READ].fn == NULL && self->sides[RILL__WATCH_WRITE].fn == NULL)
        detach(self);
}

static int
set(rill_loop *loop, int fd, enum rill__watch_side which, side wanted)
{
    watch *self = find(loop, fd);
    side before = { NULL, NULL, NULL, false };
    int rc = 0;

    if (self == NULL)
        rc = attach(loop, fd, wanted.site, &self);
    if (rc < 0)
        return rc;
    before = self->sides[which];
    if (before.exclusive || (wanted.exclusive && before.fn != NULL))
        return RILL_EBUSY;
    self->sides[which] = wanted;
    rc = tell_driver(self);
    if (rc < 0) {
        self->sides[which] = before;
        settle(self);
        return rc;
    }
    if (before.fn == NULL)
        atomic_fetch_add(&loop->holds, 1);
    return 0;
}

static bool
unset(rill_loop *loop, int fd, enum rill__watch_side which, bool exclusive)
{
    watch *self = find(loop, fd);

    if (self == NULL || self->sides[which].fn == NULL || self->sides[which].exclusive != exclusive)
        return false;
    self->sides[which] = (side){ NULL, NULL, NULL, false };
    atomic_fetch_sub(&loop->holds, 1);
    settle(self);
    return true;
}

/* ---- for users ---- */

static int
refuse(rill_loop *loop, const char *function, int fd, int rc)
{
    switch (rc) {
    case -EEXIST:
        return rill__fail(loop, RILL_EBUSY, RILL_LAYER_LOOP,
            "%s: descriptor %d is a transport's or a server's of this loop", function, fd);
    case RILL_EBUSY:
        return rill__fail(
            loop, rc, RILL_LAYER_LOOP, "%s: a task is waiting for descriptor %d", function, fd);
    case -EPERM:
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM,
            "%s: descriptor %d cannot be waited for: a regular file is always ready, <rill/file.h> "
            "reads it without blocking the loop",
            function, fd);
    default:
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "%s: descriptor %d cannot be watched: %s",
            function, fd, rill_strerror(rc));
    }
}

static int
add(rill_loop *loop, int fd, enum rill__watch_side which, side wanted, const char *function)
{
    int rc;

    RILL__REQUIRE(loop != NULL);
    if (!rill__may_schedule(loop, wanted.fn))
        return rill__may_not_schedule(loop, wanted.fn, function);
    rc = fd < 0 ? -EBADF : set(loop, fd, which, wanted);
    return rc < 0 ? refuse(loop, function, fd, rc) : 0;
}

int
rill_add_reader_site(rill_loop *loop, int fd, rill_callback fn, void *arg, const char *site)
{
    return add(loop, fd, RILL__WATCH_READ, (side){ fn, arg, site, false }, "rill_add_reader");
}

int
rill_add_writer_site(rill_loop *loop, int fd, rill_callback fn, void *arg, const char *site)
{
    return add(loop, fd, RILL__WATCH_WRITE, (side){ fn, arg, site, false }, "rill_add_writer");
}

bool
rill_remove_reader(rill_loop *loop, int fd)
{
    rill__check_thread(loop, "rill_remove_reader");
    if (loop->fork_generation != rill__fork_generation)
        return false;
    return unset(loop, fd, RILL__WATCH_READ, false);
}

bool
rill_remove_writer(rill_loop *loop, int fd)
{
    rill__check_thread(loop, "rill_remove_writer");
    if (loop->fork_generation != rill__fork_generation)
        return false;
    return unset(loop, fd, RILL__WATCH_WRITE, false);
}

/* ---- for waits ---- */

int
rill__watch_begin(rill_loop *loop, int fd, enum rill__watch_side which, rill_callback fn, void *arg,
    const char *site)
{
    return set(loop, fd, which, (side){ fn, arg, site, true });
}

void
rill__watch_end(rill_loop *loop, int fd, enum rill__watch_side which)
{
    rill__check(unset(loop, fd, which, true));
}

bool
rill__watch_is_awaited(const rill_loop *loop, int fd)
{
    const watch *self = find(loop, fd);

    return self != NULL &&
           (self->sides[RILL__WATCH_READ].exclusive || self->sides[RILL__WATCH_WRITE].exclusive);
}

/* ---- the loop's end ---- */

static void
end(rill__object *object)
{
    watch *self = RILL__CONTAINER(object, watch, object);

    for (int which = 0; which < RILL__WATCH_SIDES; which++) {
        if (self->sides[which].fn != NULL)
            atomic_fetch_sub(&self->loop->holds, 1);
        self->sides[which] = (side){ NULL, NULL, NULL, false };
    }
    settle(self);
}

static void
describe(const rill__object *object, char *buf, size_t size)
{
    const watch *self = RILL__CONTAINER(object, watch, object);
    bool reads = self->sides[RILL__WATCH_READ].fn != NULL;
    bool writes = self->sides[RILL__WATCH_WRITE].fn != NULL;

    snprintf(buf, size, "the %s of descriptor %d",
        reads && writes ? "reader and writer" : (reads ? "reader" : "writer"), self->fd);
}

void
rill__watches_done(rill_loop *loop)
{
    rill__watches *all = loop->watches;

    if (all == NULL)
        return;
    while (all->free != NULL) {
        watch *self = all->free;

        all->free = self->next_free;
        rill__free(loop, self, sizeof(*self), RILL_TAG_LOOP);
    }
    rill__free(loop, all, sizeof(*all), RILL_TAG_LOOP);
    loop->watches = NULL;
}
