/*
 * Unix stream sockets: names in a host's file system, abstract names, and the connection itself.
 *
 * As Linux: connecting is done when the call returns, or refused with EAGAIN when the backlog is
 * full; a path stays when its socket closes; the end that closes with bytes unread gives the other
 * one ECONNRESET, after what it still has to read; there is no reset to send. A path has an
 * identity that is never used again, as device and inode are. The world's thread only.
 */
#include <stddef.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/driver/sim/internal.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* ---- names ---- */

static size_t
name_of(const rill_addr *addr, const char **ret_name)
{
    const char *name = (const char *)addr->storage + PATH_AT;
    size_t len = addr->len > PATH_AT ? addr->len - PATH_AT : 0;

    *ret_name = name;
    if (len > 0 && name[0] != '\0')
        len = strnlen(name, len);
    return len;
}

sim_path *
rill__sim_path_find(const sim_host *host, const rill_addr *addr)
{
    const char *name;
    size_t len = name_of(addr, &name);

    for (rill__link *link = host->paths.next; link != &host->paths; link = link->next) {
        sim_path *path = RILL__CONTAINER(link, sim_path, link);

        if (path->len == len && memcmp(path->name, name, len) == 0)
            return path;
    }
    return NULL;
}

int
rill__sim_path_new(sim_host *host, const rill_addr *addr, sim_path **ret_path)
{
    const char *name;
    size_t len = name_of(addr, &name);
    sim_path *path;

    if (len == 0 || len > sizeof(path->name))
        return -EINVAL;
    path = rill__sim_alloc(host->sim, sizeof(*path));
    if (path == NULL)
        return -ENOMEM;
    path->len = (uint8_t)len;
    memcpy(path->name, name, len);
    path->mode = 0755;
    path->identity = ++host->sim->path_numbers;
    rill__list_append(&host->paths, &path->link);
    *ret_path = path;
    return 0;
}

void
rill__sim_path_free(sim_host *host, sim_path *path)
{
    if (path->socket != NULL)
        path->socket->names->path = NULL;
    rill__list_remove(&path->link);
    rill__sim_dealloc(host->sim, path, sizeof(*path));
}

int
rill_sim_put_file(rill_sim *sim, const char *name, const char *text)
{
    sim_host *host;
    sim_path *path;
    rill_addr addr;
    int rc = rill_addr_unix(text, &addr);

    RILL__REQUIRE(sim != NULL);
    host = rill__sim_host_find(sim, name);
    if (host == NULL || rc < 0 || text[0] == '@')
        return RILL_EINVAL;
    if (rill__sim_path_find(host, &addr) != NULL)
        return -EEXIST;
    rc = rill__sim_path_new(host, &addr, &path);
    if (rc == 0)
        path->file = true;
    return rc;
}

int
rill__sim_unix_bind(sim_socket *socket, const rill_addr *addr)
{
    sim_path *path;
    int rc;

    if (rill_addr_family(addr) != RILL_FAMILY_UNIX)
        return -EINVAL;
    if (rill__sim_path_find(socket->host, addr) != NULL)
        return -EADDRINUSE;
    if (socket->names->path != NULL)
        return -EINVAL;
    rc = rill__sim_path_new(socket->host, addr, &path);
    if (rc < 0)
        return rc;
    path->socket = socket;
    socket->names->path = path;
    socket->names->local = *addr;
    rill__sim_trace_socket(socket, SIM_BIND, path->identity);
    return 0;
}

/* ---- connecting ---- */

static int
new_child(sim_socket *listener, sim_socket *client)
{
    sim_socket *child;
    int rc = rill__sim_socket_new(listener->host, RILL_FAMILY_UNIX, &child);

    if (rc < 0)
        return rc;
    child->state = SIM_CONNECTED;
    client->state = SIM_CONNECTED;
    child->other = client;
    client->other = child;
    child->names->local = listener->names->local;
    child->names->remote = client->names->local;
    child->names->peer_pid = getpid();
    client->names->remote = listener->names->local;
    client->names->peer_pid = getpid();
    child->complete = true;
    child->listener = listener;
    rill__list_append(&listener->queue, &child->child);
    listener->queued++;
    listener->visible++;
    rill__sim_trace_socket(client, SIM_MADE, child->number);
    rill__sim_trace_socket(child, SIM_QUEUED, listener->visible);
    rill__sim_socket_notify(listener);
    return 0;
}

int
rill__sim_unix_connect(sim_socket *socket, const rill_addr *addr)
{
    sim_path *path = rill__sim_path_find(socket->host, addr);
    sim_socket *listener;

    if (rill_addr_family(addr) != RILL_FAMILY_UNIX)
        return -EINVAL;
    if (path == NULL) {
        const char *name;

        return name_of(addr, &name) > 0 && name[0] == '\0' ? -ECONNREFUSED : -ENOENT;
    }
    if ((path->mode & 0200) == 0)
        return -EACCES;
    listener = path->socket;
    if (listener == NULL || listener->state != SIM_LISTENING ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_CONNECT_REFUSED))
        return -ECONNREFUSED;
    if (listener->queued > listener->backlog ||
        rill__sim_fault_of(socket, RILL_SIM_FAULT_BACKLOG_FULL))
        return -EAGAIN;
    return new_child(listener, socket);
}

/* ---- the end ---- */

void
rill__sim_unix_closed(sim_socket *socket)
{
    sim_path *path = socket->names->path;
    sim_socket *other = socket->other;

    if (path != NULL) {
        path->socket = NULL;
        socket->names->path = NULL;
        if (path->name[0] == '\0')
            rill__sim_path_free(socket->host, path);
    }
    if (socket->state != SIM_CONNECTED)
        return;
    socket->state = SIM_ENDED;
    other->recv_shut = true;
    other->send_shut = true;
    if (rill__sim_pipe_readable(&socket->in) > 0 && socket->end == SIM_END_NONE)
        other->error = ECONNRESET;
    rill__sim_pipe_kill(socket);
    other->in.fin_arrived = true;
    rill__sim_trace_socket(other, SIM_FIN, (uint64_t)other->error);
    rill__sim_socket_notify(other);
}
