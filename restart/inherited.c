/*
 * The set of descriptors that a process was started with, wherever they come from.
 *
 * A set owns its descriptors until they are taken, and the channel to the old process until READY
 * is said: freeing it before that tells the old process that this one gave up. It is an object of
 * its loop and freed with it at the latest. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "restart/internal.h"
#include "transports/server.h"

bool
rill__name_is_valid(const char *name)
{
    size_t len = name != NULL ? strnlen(name, RILL__NAME_MAX + 1) : 0;

    for (size_t i = 0; i < len; i++) {
        if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
            return false;
    }
    return len > 0 && len <= RILL__NAME_MAX;
}

bool
rill__named_has(const rill__named *named, size_t count, uint8_t flags, int fd)
{
    uint64_t identity[2];

    if (rill__host_identity(fd, identity) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((named[i].flags & flags) == flags && named[i].identity[0] == identity[0] &&
            named[i].identity[1] == identity[1])
            return true;
    }
    return false;
}

/* ---- life ---- */

static void
set_free(rill_inherited *set)
{
    rill_loop *loop = set->loop;

    rill__object_remove(loop, RILL__OBJECT_INHERITED, &set->object);
    rill__free(loop, set, sizeof(*set) + set->count * sizeof(set->named[0]), RILL_TAG_SERVER);
}

void
rill__inherited_drop(rill_inherited *set)
{
    for (size_t i = 0; i < set->count; i++)
        rill__host_close(set->named[i].fd);
    rill__host_close(set->channel);
    set_free(set);
}

static void
set_end(rill__object *object)
{
    rill__inherited_drop(RILL__CONTAINER(object, rill_inherited, object));
}

static void
set_describe(const rill__object *object, char *buf, size_t size)
{
    const rill_inherited *set = RILL__CONTAINER(object, rill_inherited, object);

    snprintf(buf, size, "<%zu inherited descriptors>", set->count);
}

static const rill__object_ops set_object_ops = { .end = set_end, .describe = set_describe };

int
rill__inherited_new(rill_loop *loop, size_t count, const char *site, rill_inherited **ret_set)
{
    rill_inherited *set =
        rill__alloc_zeroed(loop, sizeof(*set) + count * sizeof(set->named[0]), RILL_TAG_SERVER);

    if (set == NULL)
        return rill__fail_call(loop, -ENOMEM, "inherit");
    set->loop = loop;
    set->channel = -1;
    set->count = count;
    for (size_t i = 0; i < count; i++)
        set->named[i].fd = -1;
    rill__object_add(loop, RILL__OBJECT_INHERITED, &set_object_ops, &set->object, site);
    *ret_set = set;
    return 0;
}

void
rill_inherited_free(rill_inherited *set)
{
    if (set == NULL)
        return;
    rill__check_thread(set->loop, "rill_inherited_free");
    rill__inherited_drop(set);
}

/* ---- making ---- */

int
rill__inherit_check(rill_loop *loop, const rill_inherit_options *options, const char *call,
    rill_inherit_options *ret_options)
{
    rill_inherit_options o = RILL_INHERIT_OPTIONS();
    int rc = 0;

    rill__check_thread(loop, call);
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (options != NULL)
        rc =
            rill__options_copy(loop, "rill_inherit_options", options, options->size, &o, sizeof(o));
    if (rc < 0)
        return rc;
    if (o.timeout < 0)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "%s: the timeout is negative", call);
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, call);
    if (loop->sys->public_fd(loop->driver, 0) == RILL_ENOTSUP)
        return rill__fail(
            loop, RILL_ENOTSUP, RILL_LAYER_LOOP, "%s: descriptors are not the simulator's", call);
    *ret_options = o;
    return 0;
}

/* 0 and NULL means: nothing of this kind. */
static int
give(rill_loop *loop, int rc, rill_inherited *set, rill_inherited **ret_set)
{
    if (rc == 0 && set == NULL)
        rc = rill__inherited_new(loop, 0, RILL_SITE("nothing inherited"), &set);
    if (rc == 0)
        *ret_set = set;
    return rc;
}

int
rill_inherit(rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set)
{
    rill_inherit_options o;
    rill_inherited *set = NULL;
    int rc;

    RILL__REQUIRE(loop != NULL && ret_set != NULL);
    rc = rill__inherit_check(loop, options, "rill_inherit", &o);
    if (rc == 0)
        rc = rill__inherit_restart(loop, &o, &set);
    if (rc == 0 && set == NULL)
        rc = rill__inherit_systemd(loop, &o, &set);
    return give(loop, rc, set, ret_set);
}

int
rill_restart_inherited(
    rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set)
{
    rill_inherit_options o;
    rill_inherited *set = NULL;
    int rc;

    RILL__REQUIRE(loop != NULL && ret_set != NULL);
    rc = rill__inherit_check(loop, options, "rill_restart_inherited", &o);
    if (rc == 0)
        rc = rill__inherit_restart(loop, &o, &set);
    return give(loop, rc, set, ret_set);
}

int
rill_listen_fds(rill_loop *loop, const rill_inherit_options *options, rill_inherited **ret_set)
{
    rill_inherit_options o;
    rill_inherited *set = NULL;
    int rc;

    RILL__REQUIRE(loop != NULL && ret_set != NULL);
    rc = rill__inherit_check(loop, options, "rill_listen_fds", &o);
    if (rc == 0)
        rc = rill__inherit_systemd(loop, &o, &set);
    return give(loop, rc, set, ret_set);
}

/* ---- using ---- */

int
rill_inherited_take(rill_inherited *set, const char *name, int *ret_fds, size_t fds_max)
{
    size_t count = 0;

    RILL__REQUIRE(set != NULL && name != NULL && (ret_fds != NULL || fds_max == 0));
    rill__check_thread(set->loop, "rill_inherited_take");
    for (size_t i = 0; i < set->count; i++)
        count += set->named[i].fd >= 0 && strcmp(set->named[i].name, name) == 0;
    if (count > fds_max)
        return rill__fail(set->loop, RILL_ELIMIT, RILL_LAYER_LOOP,
            "%zu descriptors are called \"%s\", there is room for %zu", count, name, fds_max);
    count = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->named[i].fd < 0 || strcmp(set->named[i].name, name) != 0)
            continue;
        ret_fds[count++] = set->named[i].fd;
        set->named[i].fd = -1;
    }
    return (int)count;
}

rill_inherited_origin
rill_inherited_get_origin(const rill_inherited *set)
{
    return set->origin;
}

size_t
rill_inherited_count(const rill_inherited *set)
{
    return set->count;
}

const char *
rill_inherited_name(const rill_inherited *set, size_t index)
{
    return index < set->count ? set->named[index].name : NULL;
}

static bool
is_path_to_remove(void *ctx, int fd)
{
    const rill_inherited *set = ctx;

    return rill__named_has(set->named, set->count, RILL__FLAG_OWNS_PATH, fd);
}

int
rill_restart_ready(rill_inherited *set)
{
    rill__message ready = rill__message_of(RILL__MESSAGE_READY, 0);
    int rc;

    RILL__REQUIRE(set != NULL);
    rill__check_thread(set->loop, "rill_restart_ready");
    if (set->channel < 0)
        return 0;
    rill__servers_own_paths(set->loop, true, is_path_to_remove, set);
    rc = rill__host_send(set->channel, &ready, sizeof(ready), NULL, 0);
    rill__host_close(set->channel);
    set->channel = -1;
    if (rc == -EPIPE || rc == -ECONNRESET)
        return rill__fail(set->loop, RILL_EGONE, RILL_LAYER_LOOP,
            "the old process ended before it heard that this one is ready");
    return rc == 0 ? 0
                   : rill__fail(set->loop, rc, RILL_LAYER_SYSTEM,
                         "the old process could not be told that this one is ready: %s",
                         rill_strerror(rc));
}
