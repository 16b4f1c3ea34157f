/*
 * Where workers listen: bound by the parent before any of them runs, so that all get the same port,
 * and a port that is taken is an error of rill_workers_listen.
 *
 * The binding is done by an ordinary server, paused, on a loop that lives for this call only:
 * hosts, families, port 0, stale paths and hooks have one implementation. What is kept of it are
 * duplicates of its sockets. With RILL_ACCEPT_REUSEPORT they never listen but keep the port ours; a
 * worker's own sockets are bound beside them. Any one thread, before rill_workers_run.
 */
#include <errno.h>

#include "core/addr.h"
#include "workers/workers.h"

static const rill_protocol nothing = { .size = sizeof(rill_protocol) };

void
rill__place_close(rill__place *place)
{
    for (size_t i = 0; i < place->count; i++) {
        rill__host_close(place->fds[i]);
        place->fds[i] = -1;
    }
    rill__host_close(place->held);
    place->held = -1;
}

void
rill__place_free(rill_workers *workers, rill__place *place)
{
    rill__place_close(place);
    if (place->owns_path)
        rill__host_path_remove(&place->addrs[0], place->identity);
    rill__workers_dealloc(workers, place->texts, place->texts_bytes);
    rill__workers_dealloc(workers, place, sizeof(*place));
}

/* ---- a copy of the options ---- */

static size_t
text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *
keep_text(char **room, const char *text)
{
    char *kept = *room;
    size_t bytes = text_bytes(text);

    if (text == NULL)
        return NULL;
    memcpy(kept, text, bytes);
    *room += bytes;
    return kept;
}

static int
keep_texts(rill_workers *workers, rill__place *place)
{
    rill_server_options *o = &place->options;
    size_t hosts = 0;
    size_t bytes = text_bytes(o->host) + text_bytes(o->path);
    const char **list;
    char *room;

    while (o->hosts != NULL && o->hosts[hosts] != NULL)
        bytes += text_bytes(o->hosts[hosts++]);
    bytes += (hosts + 1) * sizeof(*list);
    place->texts = rill__workers_alloc(workers, bytes);
    if (place->texts == NULL)
        return -ENOMEM;
    place->texts_bytes = bytes;
    list = place->texts;
    room = (char *)(list + hosts + 1);
    for (size_t i = 0; i < hosts; i++)
        list[i] = keep_text(&room, o->hosts[i]);
    o->host = keep_text(&room, o->host);
    o->path = keep_text(&room, o->path);
    o->hosts = o->hosts != NULL ? list : NULL;
    return 0;
}

static int
keep_options(rill_workers *workers, rill__place *place, const rill_server_options *options)
{
    rill_server_options *o = &place->options;
    int rc = rill__options_copy(NULL, "rill_server_options", options, options->size, o, sizeof(*o));

    if (rc == 0 && o->transport != NULL) {
        rc = rill__options_copy(NULL, "rill_transport_options", o->transport, o->transport->size,
            &place->transport, sizeof(place->transport));
        place->transport.size = sizeof(place->transport);
        o->transport = &place->transport;
    }
    if (rc < 0 || o->reuse_port || o->start_paused || o->no_socket)
        return RILL_EINVAL;
    o->size = sizeof(*o);
    if (o->addr != NULL) {
        place->addr = *o->addr;
        o->addr = &place->addr;
    }
    place->shared = workers->options.accept == RILL_ACCEPT_SHARED ||
                    (workers->options.accept == RILL_ACCEPT_REUSEPORT &&
                        (o->fds != NULL || o->path != NULL ||
                            (o->addr != NULL && rill_addr_family(o->addr) == RILL_FAMILY_UNIX)));
    return keep_texts(workers, place);
}

/* ---- binding ---- */

/* Copies of the server's sockets, and their addresses. */
static int
take_sockets(rill__place *place, const rill_server *server)
{
    size_t count = rill_server_socket_count(server);

    if (count > RILL__ADDRS_MAX)
        return RILL_ELIMIT;
    for (size_t i = 0; i < count; i++) {
        int fd = rill__host_duplicate(rill_server_fd(server, i));

        if (fd < 0)
            return fd;
        place->fds[i] = fd;
        place->count = i + 1;
        (void)rill_server_sockname(server, i, &place->addrs[i]); /* There is one for each. */
    }
    return 0;
}

/* Inherited ones are lent to the server as duplicates: if this fails they stay the caller's. */
static int
lend_fds(const rill_server_options *o, int lent[RILL__ADDRS_MAX])
{
    if (o->fds_count > RILL__ADDRS_MAX)
        return RILL_ELIMIT;
    for (size_t i = 0; i < o->fds_count; i++) {
        lent[i] = rill__host_duplicate(o->fds[i]);
        if (lent[i] < 0) {
            int rc = lent[i] == -EBADF ? RILL_EINVAL : lent[i];

            while (i > 0)
                rill__host_close(lent[--i]);
            return rc;
        }
    }
    return 0;
}

static int
bind_server(rill_workers *workers, rill__place *place, rill_loop *loop, rill_server **ret_server)
{
    rill_server_options o = place->options;
    int lent[RILL__ADDRS_MAX];
    int rc;

    o.start_paused = 1;
    o.reuse_port = workers->options.accept == RILL_ACCEPT_REUSEPORT && !place->shared;
    o.keep_path = 1;
    o.closed = NULL;
    if (o.fds == NULL)
        return rill_create_server(loop, &o, &nothing, NULL, ret_server);
    rc = lend_fds(&o, lent);
    if (rc < 0)
        return rc;
    o.fds = lent;
    rc = rill_create_server(loop, &o, &nothing, NULL, ret_server);
    for (size_t i = 0; rc < 0 && i < o.fds_count; i++)
        rill__host_close(lent[i]);
    return rc;
}

static void
own_path(rill__place *place)
{
    if (place->options.fds != NULL || rill_addr_family(&place->addrs[0]) != RILL_FAMILY_UNIX)
        return;
    place->owns_path = rill__host_path_identity(&place->addrs[0], place->identity) == 0 &&
                       !place->options.keep_path;
}

static int
bind_place(rill_workers *workers, rill__place *place)
{
    rill_loop_options options = workers->loop_options;
    rill_loop *loop;
    rill_server *server;
    int rc;

    options.driver = "epoll";
    rc = rill_loop_new(&options, &loop);
    if (rc < 0)
        return rc;
    rc = bind_server(workers, place, loop, &server);
    if (rc == 0) {
        rc = take_sockets(place, server);
        own_path(place); /* On failure its file is removed with the place. */
        rill_server_close(server);
        while (rill_loop_step(loop, 0) > 0)
            continue;
    }
    (void)rill_loop_free(loop);
    return rc;
}

/* What a worker's own socket is bound to: the port that was chosen here. */
static void
settle_port(rill__place *place)
{
    int port = rill_addr_port(&place->addrs[0]);

    if (port < 0)
        return;
    if (place->options.addr != NULL)
        rill__addr_set_port(&place->addr, port);
    else
        place->options.port = port;
}

int
rill_workers_listen(rill_workers *workers, const rill_server_options *options, int *ret_place)
{
    rill__place *place;
    int rc;

    RILL__REQUIRE(workers != NULL && options != NULL);
    if (atomic_load(&workers->phase) != RILL__WORKERS_NEW)
        return RILL_ESTATE;
    if (workers->places_count == RILL__PLACES_MAX)
        return RILL_ELIMIT;
    place = rill__workers_alloc(workers, sizeof(*place));
    if (place == NULL)
        return -ENOMEM;
    place->held = -1;
    rc = keep_options(workers, place, options);
    if (rc == 0)
        rc = bind_place(workers, place);
    if (rc < 0) {
        rill__place_free(workers, place);
        return rc;
    }
    for (size_t i = 0; place->options.fds != NULL && i < place->options.fds_count; i++)
        rill__host_close(options->fds[i]);
    place->options.fds = NULL;
    settle_port(place);
    place->first = workers->addrs_count;
    workers->addrs_count += place->count;
    if (ret_place != NULL)
        *ret_place = workers->places_count;
    workers->places[workers->places_count++] = place;
    return 0;
}

int
rill_workers_sockname(const rill_workers *workers, int place, size_t index, rill_addr *ret_addr)
{
    RILL__REQUIRE(workers != NULL && ret_addr != NULL);
    RILL__REQUIRE(place >= 0 && place < workers->places_count);
    RILL__REQUIRE(index < workers->places[place]->count);
    *ret_addr = workers->places[place]->addrs[index];
    return 0;
}
