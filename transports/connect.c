/*
 * Connect attempts: one address after another until one answers.
 *
 * An attempt is an object of the loop, named by an id. It begins in the turn after the call, has
 * one io for the socket that is being connected, and ends exactly once: with a transport, with a
 * failure that lists every address tried, or canceled. Its memory goes when its io is closed. Loop
 * thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "core/addr.h"
#include "transports/internal.h"

#define CONNECT_TIMEOUT (30 * RILL_S)
#define RETRY_DELAY     (10 * RILL_MS) /* A Unix listener's backlog is full: it answers EAGAIN. */

typedef struct attempt {
    rill__object object;
    rill_loop *loop;
    rill__ready begin;
    rill__own_timer deadline;
    rill__own_timer retry;
    rill__io io;
    rill_addr addrs[RILL__HOST_ADDRS];
    rill_addr local;
    int addrs_count;
    int next; /* The address to try. */
    int fd;   /* -1, or the socket, owned by the io when `attached`. */
    bool attached;
    bool closing; /* The io's close record is under way. */
    bool begun;   /* `begin` is off the ready list. */
    bool ended;   /* `done` has run, or never will. */
    int code;     /* Of the last failure. */
    rill_socket_hook hook;
    void *hook_arg;
    rill__config config;
    const rill_protocol *protocol;
    void *arg;
    rill_connected_fn done;
    void *done_arg;
    rill_id id;
    size_t text_len;
    char text[480];
} attempt;

/* ---- the end ---- */

static void
attempt_free(attempt *a)
{
    rill_loop *loop = a->loop;

    if (!a->begun)
        rill__loop_unlink(loop, &a->begin);
    rill__timer_disarm(loop, &a->deadline);
    rill__timer_disarm(loop, &a->retry);
    rill__object_remove(loop, RILL__OBJECT_CONNECT, &a->object);
    rill__free(loop, a, sizeof(*a), RILL_TAG_CONNECT);
}

/* Give the socket back, and the memory as soon as nothing refers to it. */
static void
dispose(attempt *a)
{
    rill_loop *loop = a->loop;

    rill__operation_end(loop, a->id);
    rill__timer_disarm(loop, &a->deadline);
    rill__timer_disarm(loop, &a->retry);
    if (a->closing)
        return; /* on_close frees. */
    if (a->attached) {
        a->closing = true;
        loop->ops->close_io(loop->driver, &a->io, true);
        return;
    }
    if (a->fd >= 0)
        loop->sys->close_fd(loop->driver, a->fd, false);
    attempt_free(a);
}

static void
end(attempt *a, rill_transport *t, int code, const char *sentence)
{
    rill_connected_fn done = a->done;
    void *done_arg = a->done_arg;
    rill_reason reason = { .code = code,
        .layer = code >= 0       ? RILL_LAYER_NONE
                 : code >= -4095 ? RILL_LAYER_SYSTEM
                                 : RILL_LAYER_TRANSPORT,
        .native = code < 0 && code >= -4095 ? -code : 0,
        .sentence = sentence };
    char text[sizeof(a->text)];

    if (sentence == a->text) {
        memcpy(text, a->text, sizeof(text));
        reason.sentence = text;
    }
    a->ended = true;
    dispose(a);
    if (done != NULL)
        done(done_arg, t, &reason);
}

static void
note(attempt *a, const rill_addr *addr, int code)
{
    char where[RILL_ADDR_TEXT];
    int len;

    a->code = code;
    if (a->text_len >= sizeof(a->text))
        return;
    len = snprintf(a->text + a->text_len, sizeof(a->text) - a->text_len, "%s%s: %s",
        a->next > 1 ? "; " : " ", rill_addr_format(addr, where, sizeof(where)),
        rill_strerror(code));
    a->text_len += len > 0 ? (size_t)len : 0;
}

/* ---- one address ---- */

static void try_next(attempt *a);

static void
on_close(rill__op *op)
{
    attempt *a = RILL__CONTAINER(op, attempt, io.close);

    a->attached = false;
    a->closing = false;
    a->fd = -1;
    if (a->ended)
        attempt_free(a);
    else
        try_next(a);
}

/* This address failed: the next one, when its socket is gone. */
static void
address_failed(attempt *a, int code)
{
    note(a, &a->addrs[a->next - 1], code);
    if (a->attached) {
        a->closing = true;
        a->loop->ops->close_io(a->loop->driver, &a->io, false);
        return;
    }
    if (a->fd >= 0)
        a->loop->sys->close_fd(a->loop->driver, a->fd, false);
    a->fd = -1;
    try_next(a);
}

static void
connected(attempt *a)
{
    rill_loop *loop = a->loop;
    const rill_addr *peer = &a->addrs[a->next - 1];
    rill_transport *t;
    int rc;

    a->fd = loop->ops->detach(loop->driver, &a->io);
    a->attached = false;
    rc = rill__stream_new(loop, a->fd, rill_addr_family(peer), peer, &a->config, a->protocol,
        a->arg, a->object.site, false, &t);
    if (rc < 0) {
        address_failed(a, rc);
        return;
    }
    a->fd = -1;
    rill__timer_disarm(loop, &a->deadline);
    rill__operation_end(loop, a->id);
    a->id = 0;
    rill__stream_open(t);
    rill__loop_run_epilogue(loop);
    end(a, t, 0, rill_strerror(0));
}

static void
on_send(rill__op *op)
{
    attempt *a = RILL__CONTAINER(op, attempt, io.send);
    int64_t rc = a->loop->ops->finish(a->loop->driver, &a->io);

    if (rc == -EAGAIN)
        return;
    if (rc < 0)
        address_failed(a, (int)rc);
    else
        connected(a);
}

static void
on_retry(rill__own_timer *timer)
{
    attempt *a = RILL__CONTAINER(timer, attempt, retry);
    int rc = a->loop->ops->connect_start(a->loop->driver, &a->io, &a->addrs[a->next - 1]);

    if (rc == -EAGAIN)
        rill__timer_arm(a->loop, &a->retry, rill__loop_now(a->loop) + RETRY_DELAY);
    else if (rc < 0)
        address_failed(a, rc);
}

static void
on_recv(rill__op *op)
{
    (void)op; /* Never subscribed. */
}

static int
bind_local(attempt *a, rill_family family)
{
    char where[RILL_ADDR_TEXT];
    int rc;

    if (a->local.len == 0)
        return 0;
    if (rill_addr_family(&a->local) != family)
        return -EAFNOSUPPORT; /* asyncio: no matching local address. */
    rc = a->loop->sys->bind(a->loop->driver, a->fd, &a->local);
    if (rc < 0 && a->text_len < sizeof(a->text)) {
        int len = snprintf(a->text + a->text_len, sizeof(a->text) - a->text_len,
            " cannot bind to local address %s;", rill_addr_format(&a->local, where, sizeof(where)));

        a->text_len += len > 0 ? (size_t)len : 0;
    }
    return rc;
}

static int
open_socket(attempt *a, const rill_addr *addr)
{
    rill_loop *loop = a->loop;
    rill_family family = rill_addr_family(addr);
    int rc = loop->sys->socket(loop->driver, family, &a->fd);

    if (rc < 0)
        return rc;
    rc = rill__config_apply(&a->config, loop, a->fd, family, false);
    if (rc == 0 && a->hook != NULL) {
        int fd = loop->sys->public_fd(loop->driver, a->fd);

        rc = a->hook(fd >= 0 ? fd : -1, a->hook_arg);
        rc = rc > 0 ? RILL_ECANCELED : rc;
    }
    if (rc == 0)
        rc = bind_local(a, family);
    if (rc < 0)
        return rc;
    memset(&a->io, 0, sizeof(a->io));
    a->io.recv.fn = on_recv;
    a->io.send.fn = on_send;
    a->io.close.fn = on_close;
    rc = loop->ops->attach(loop->driver, &a->io, a->fd, RILL__IO_STREAM);
    a->attached = rc == 0;
    return rc;
}

static void
try_next(attempt *a)
{
    int rc;

    if (a->next == a->addrs_count) {
        end(a, NULL, a->code, a->text);
        return;
    }
    a->next++;
    rc = open_socket(a, &a->addrs[a->next - 1]);
    if (rc == 0)
        rc = a->loop->ops->connect_start(a->loop->driver, &a->io, &a->addrs[a->next - 1]);
    if (rc == -EAGAIN)
        rill__timer_arm(a->loop, &a->retry, rill__loop_now(a->loop) + RETRY_DELAY);
    else if (rc < 0)
        address_failed(a, rc);
}

static void
begin_run(rill__ready *ready)
{
    attempt *a = RILL__CONTAINER(ready, attempt, begin);

    a->begun = true;
    if (!a->ended)
        try_next(a);
}

/* ---- from outside ---- */

static void
on_deadline(rill__own_timer *timer)
{
    attempt *a = RILL__CONTAINER(timer, attempt, deadline);

    if (a->next > 0 && !a->closing)
        note(a, &a->addrs[a->next - 1], RILL_ETIMEDOUT);
    end(a, NULL, RILL_ETIMEDOUT, a->text);
}

static bool
attempt_cancel(void *object)
{
    attempt *a = object;

    a->ended = true;
    a->done = NULL;
    dispose(a);
    return true;
}

static void
attempt_end(rill__object *object)
{
    attempt *a = RILL__CONTAINER(object, attempt, object);

    if (!a->ended)
        end(a, NULL, RILL_ELOOPFREED, rill_strerror(RILL_ELOOPFREED));
}

static void
attempt_describe(const rill__object *object, char *buf, size_t size)
{
    snprintf(buf, size, "<%s>", RILL__CONTAINER(object, attempt, object)->text);
}

static const rill__object_ops attempt_object_ops = { .end = attempt_end,
    .describe = attempt_describe };

static int
target(rill_loop *loop, const rill_connect_options *o, attempt *a)
{
    int rc;

    if ((o->host != NULL) + (o->path != NULL) + (o->addr != NULL) != 1)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "connect: exactly one of host, path and addr must be set");
    if (o->path != NULL) {
        rc = rill_addr_unix(o->path, &a->addrs[0]);
        if (rc < 0)
            return rill__fail(loop, rc, RILL_LAYER_TRANSPORT,
                "connect: path \"%s\" is empty or longer than 107 bytes", o->path);
        a->addrs_count = 1;
        return 0;
    }
    if (o->addr != NULL) {
        if (rill_addr_family(o->addr) == RILL_FAMILY_ANY)
            return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "connect: addr is empty");
        a->addrs[0] = *o->addr;
        a->addrs_count = 1;
        return 0;
    }
    rc = rill__host_addresses(loop, o->host, o->port, o->family, false, a->addrs);
    a->addrs_count = rc > 0 ? rc : 0;
    return rc < 0 ? rc : 0;
}

static int
configure(rill_loop *loop, const rill_connect_options *o, attempt *a)
{
    int rc = target(loop, o, a);

    if (rc < 0)
        return rc;
    if (o->timeout < 0 && o->timeout != RILL_NEVER)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "connect: a negative timeout");
    if (o->local_host != NULL || o->local_port != 0) {
        const char *any = rill_addr_family(&a->addrs[0]) == RILL_FAMILY_IPV6 ? "::" : "0.0.0.0";

        rc = rill_addr_parse(o->local_host != NULL ? o->local_host : any, o->local_port, &a->local);
        if (rc < 0)
            return rill__fail(loop, rc, RILL_LAYER_TRANSPORT,
                "connect: local_host \"%s\" and local_port %d: %s",
                o->local_host != NULL ? o->local_host : any, o->local_port, rill_strerror(rc));
    }
    a->hook = o->socket_hook;
    a->hook_arg = o->socket_hook_arg;
    return rill__config_init(&a->config, loop, o->transport);
}

static void
name_target(attempt *a, const rill_connect_options *o)
{
    char where[RILL_ADDR_TEXT];
    int len;

    if (o->host != NULL)
        len = snprintf(a->text, sizeof(a->text), "connect to %s:%d:", o->host, o->port);
    else
        len = snprintf(a->text, sizeof(a->text),
            "connect to %s:", rill_addr_format(&a->addrs[0], where, sizeof(where)));
    a->text_len = len > 0 ? (size_t)len : 0;
}

int
rill_create_connection_start_site(rill_loop *loop, const rill_connect_options *options,
    const rill_protocol *protocol, void *arg, rill_connected_fn done, void *done_arg,
    const char *site, rill_id *ret_id)
{
    rill_connect_options o;
    attempt *a;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_create_connection_start");
    if (options == NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "connect: no options");
    rc = rill__options_copy(loop, "rill_connect_options", options, options->size, &o, sizeof(o));
    if (rc < 0 || (rc = rill__protocol_check(loop, protocol)) < 0)
        return rc;
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "connect");
    a = rill__alloc_zeroed(loop, sizeof(*a), RILL_TAG_CONNECT);
    if (a == NULL)
        return rill__fail_call(loop, -ENOMEM, "connect");
    rc = configure(loop, &o, a);
    if (rc == 0 && (rc = rill__operation_new(loop, attempt_cancel, a, &a->id)) < 0)
        (void)rill__fail_call(loop, rc, "connect");
    if (rc < 0) {
        rill__free(loop, a, sizeof(*a), RILL_TAG_CONNECT);
        return rc;
    }
    a->loop = loop;
    a->fd = -1;
    a->protocol = protocol;
    a->arg = arg;
    a->done = done;
    a->done_arg = done_arg;
    a->begin.run = begin_run;
    a->deadline.fn = on_deadline;
    a->retry.fn = on_retry;
    name_target(a, &o);
    rill__object_add(loop, RILL__OBJECT_CONNECT, &attempt_object_ops, &a->object, site);
    rill__loop_push(loop, &a->begin);
    if (o.timeout != RILL_NEVER)
        rill__timer_arm(loop, &a->deadline,
            loop->ops->now(loop->driver) + (o.timeout != 0 ? o.timeout : CONNECT_TIMEOUT));
    if (ret_id != NULL)
        *ret_id = a->id;
    return 0;
}

/* ---- a socket that is connected already ---- */

int
rill__stream_family(rill_loop *loop, int fd, rill_family *ret_family)
{
    rill_addr local;
    int rc = rill__probe(loop, fd);

    if (rc == RILL_ENOTSUP)
        return rill__fail(loop, rc, RILL_LAYER_TRANSPORT, "descriptors are not the simulator's");
    if (rc != RILL__FD_STREAM)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "descriptor %d is no connected stream socket%s%s", fd, rc < 0 ? ": " : "",
            rc < 0 ? rill_strerror(rc) : "");
    rc = loop->sys->sockname(loop->driver, fd, &local);
    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "descriptor %d: %s", fd, rill_strerror(rc));
    *ret_family = rill_addr_family(&local);
    return 0;
}

int
rill_connect_accepted_socket_site(rill_loop *loop, int fd, const rill_transport_options *options,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    rill__config config;
    rill_family family;
    rill_transport *t;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_connect_accepted_socket");
    if ((rc = rill__protocol_check(loop, protocol)) < 0 ||
        (rc = rill__config_init(&config, loop, options)) < 0 ||
        (rc = rill__stream_family(loop, fd, &family)) < 0)
        return rc;
    if ((rc = rill__config_apply(&config, loop, fd, family, false)) < 0 ||
        (rc = loop->sys->adopt(loop->driver, fd)) < 0 ||
        (rc = rill__stream_new(loop, fd, family, NULL, &config, protocol, arg, site, true, &t)) < 0)
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "descriptor %d: %s", fd, rill_strerror(rc));
    rill__stream_open_soon(t);
    if (ret_transport != NULL)
        *ret_transport = t;
    return 0;
}
