/*
 * What a restart hands over: from items to descriptors, and from those to messages.
 *
 * The descriptors are duplicates, made when the restart begins: what happens to the servers
 * meanwhile cannot put another file in their place. They are closed as they are sent. A message
 * holds as many as the kernel carries in one, or as have room for their names. Loop thread only.
 */
#include <errno.h>

#include "restart/parcel.h"
#include "transports/server.h"

/* ---- packing ---- */

static int
check_item(rill_loop *loop, const rill_restart_item *item, size_t *ret_count)
{
    if (!rill__name_is_valid(item->name))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "restart: a name is missing, too long, or not printable ASCII without ':'");
    if ((item->server != NULL) == (item->fds != NULL) ||
        (item->fds != NULL && item->fds_count == 0))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "restart: \"%s\" needs a server or descriptors, not both", item->name);
    if (item->server != NULL && rill_server_loop(item->server) != loop)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "restart: the server of \"%s\" belongs to another loop", item->name);
    *ret_count = item->server != NULL ? rill_server_socket_count(item->server) : item->fds_count;
    if (*ret_count == 0)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            "restart: the server of \"%s\" is closed", item->name);
    return 0;
}

static int
count_items(rill_loop *loop, const rill_restart_item *items, size_t items_count, size_t *ret_count)
{
    size_t total = 0;

    for (size_t i = 0; i < items_count; i++) {
        size_t count = 0;
        int rc = check_item(loop, &items[i], &count);

        if (rc < 0)
            return rc;
        if (count > RILL__NAMED_MAX - total)
            return rill__fail(loop, RILL_ELIMIT, RILL_LAYER_LOOP,
                "restart: there are more than %d descriptors", RILL__NAMED_MAX);
        total += count;
    }
    *ret_count = total;
    return 0;
}

static int
pack_one(rill_loop *loop, const rill_restart_item *item, size_t index, rill__named *named)
{
    int fd = item->server != NULL ? rill_server_fd(item->server, index) : item->fds[index];
    int rc = rill__host_duplicate(fd);

    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM,
            "restart: descriptor %d of \"%s\" cannot be duplicated: %s", fd, item->name,
            rill_strerror(rc));
    named->fd = rc;
    (void)rill__host_identity(rc, named->identity); /* It is open. */
    memcpy(named->name, item->name, strlen(item->name) + 1);
    if (item->server != NULL && rill__server_owns_path(item->server, index))
        named->flags |= RILL__FLAG_OWNS_PATH;
    return 0;
}

int
rill__parcel_pack(
    rill__parcel *parcel, rill_loop *loop, const rill_restart_item *items, size_t items_count)
{
    rill__parcel packed = { .named = NULL };
    size_t total = 0;
    int rc = count_items(loop, items, items_count, &total);

    if (rc < 0)
        return rc;
    if (total > 0) {
        packed.named = rill__alloc_zeroed(loop, total * sizeof(*packed.named), RILL_TAG_SERVER);
        if (packed.named == NULL)
            return rill__fail_call(loop, -ENOMEM, "restart");
    }
    packed.count = total;
    for (size_t i = 0; i < total; i++)
        packed.named[i].fd = -1;
    total = 0;
    for (size_t i = 0; i < items_count && rc == 0; i++) {
        size_t count = items[i].server != NULL ? rill_server_socket_count(items[i].server)
                                               : items[i].fds_count;

        for (size_t k = 0; k < count && rc == 0; k++)
            rc = pack_one(loop, &items[i], k, &packed.named[total++]);
    }
    if (rc < 0) {
        rill__parcel_close(&packed);
        rill__parcel_free(&packed, loop);
        return rc;
    }
    *parcel = packed;
    return 0;
}

void
rill__parcel_close(rill__parcel *parcel)
{
    for (size_t i = 0; i < parcel->count; i++) {
        rill__host_close(parcel->named[i].fd);
        parcel->named[i].fd = -1;
    }
}

void
rill__parcel_free(rill__parcel *parcel, rill_loop *loop)
{
    rill__free(loop, parcel->named, parcel->count * sizeof(*parcel->named), RILL_TAG_SERVER);
    *parcel = (rill__parcel){ .named = NULL };
}

/* ---- sending ---- */

static int
send_hello(rill__parcel *parcel, int channel, int pid)
{
    rill__message hello = rill__message_of(RILL__MESSAGE_HELLO, parcel->count);
    int rc;

    hello.pid = (uint32_t)pid;
    rc = rill__host_send(channel, &hello, sizeof(hello), NULL, 0);
    parcel->greeted = rc == 0;
    return rc;
}

static int
send_descriptors(rill__parcel *parcel, int channel)
{
    rill__message message;
    char bytes[RILL__MESSAGE_MAX];
    int fds[RILL__CHANNEL_FDS];
    size_t len = sizeof(message);
    size_t count = 0;
    int rc;

    while (count < RILL__CHANNEL_FDS && parcel->sent + count < parcel->count) {
        const rill__named *named = &parcel->named[parcel->sent + count];
        size_t name_len = strlen(named->name) + 1;

        if (len + 1 + name_len > sizeof(bytes))
            break;
        bytes[len] = (char)named->flags;
        memcpy(bytes + len + 1, named->name, name_len);
        len += 1 + name_len;
        fds[count++] = named->fd;
    }
    message = rill__message_of(RILL__MESSAGE_DESCRIPTORS, count);
    memcpy(bytes, &message, sizeof(message));
    rc = rill__host_send(channel, bytes, len, fds, count);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        rill__host_close(fds[i]); /* On its way; the kernel holds it. */
        parcel->named[parcel->sent++].fd = -1;
    }
    return 0;
}

int
rill__parcel_send(rill__parcel *parcel, int channel, int pid)
{
    int rc = parcel->greeted ? 0 : send_hello(parcel, channel, pid);

    while (rc == 0 && parcel->sent < parcel->count)
        rc = send_descriptors(parcel, channel);
    if (rc == -EAGAIN)
        return 0;
    return rc < 0 ? rc : 1;
}
