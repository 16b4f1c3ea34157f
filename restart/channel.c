/*
 * The new process's side of a restart: what the old one sends is received before the loop runs.
 *
 * The old process has everything in hand and this one nothing else to do, so this side waits, with
 * a deadline. Whatever goes wrong is told to the old process (REFUSED) and to the caller; then no
 * descriptor is kept. The variable is for one process, named by its parent; it is removed when it
 * is taken. Loop thread only.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "restart/internal.h"

#define TIMEOUT (10 * RILL_S)

typedef struct reception {
    rill_loop *loop;
    int channel;
    rill_ns deadline;
    rill_inherited *set;
    size_t received;
    int64_t len;
    int fds[RILL__CHANNEL_FDS];
    size_t fds_count;
    _Alignas(rill__message) char bytes[RILL__MESSAGE_MAX];
} reception;

/* "7:4711" names descriptor 7, and 4711 as the process that we are a child of. */
static int
parse_variable(rill_loop *loop, const char *text, int *ret_channel)
{
    const char *colon = strchr(text, ':');
    uint64_t parent = 0;
    uint64_t fd = 0;
    char number[24];
    size_t len = colon != NULL ? (size_t)(colon - text) : sizeof(number);

    if (len < sizeof(number)) {
        memcpy(number, text, len);
        number[len] = '\0';
    }
    if (len >= sizeof(number) || !rill__parse_number(number, INT_MAX, &fd) ||
        !rill__parse_number(colon + 1, INT_MAX, &parent))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            RILL__RESTART_VARIABLE " is no descriptor and process: \"%s\"", text);
    if (parent != (uint64_t)rill__host_parent_id())
        return 0; /* Somebody else's, who forgot to remove it. */
    if (!rill__host_is_channel((int)fd))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            RILL__RESTART_VARIABLE ": descriptor %d is no channel", (int)fd);
    *ret_channel = (int)fd;
    return 1;
}

static int
fail_protocol(reception *r, const char *what)
{
    return rill__fail(r->loop, RILL_EPROTOCOL, RILL_LAYER_LOOP,
        "the old process does not keep to the protocol: %s", what);
}

static int
fail_receive(reception *r, int rc)
{
    if (rc == 0)
        return rill__fail(r->loop, RILL_EGONE, RILL_LAYER_LOOP,
            "the old process ended before it had handed everything over");
    if (rc == -EMSGSIZE)
        return fail_protocol(r, "a message is too long");
    return rill__fail(r->loop, rc, RILL_LAYER_SYSTEM,
        "the descriptors of the old process cannot be received: %s", rill_strerror(rc));
}

/* The next message, of the kind that has to come. */
static int
receive(reception *r, enum rill__message_kind kind, rill__message *ret_message)
{
    int rc;

    do {
        rc = rill__host_wait_message(r->channel, r->deadline);
        if (rc < 0)
            return fail_receive(r, rc);
        if (rc == 0)
            return rill__fail(r->loop, RILL_ETIMEDOUT, RILL_LAYER_LOOP,
                "the old process did not hand everything over in time");
        r->len = rill__host_receive(r->channel, r->bytes, sizeof(r->bytes), r->fds, &r->fds_count);
    } while (r->len == -EAGAIN);
    if (r->len <= 0)
        return fail_receive(r, (int)r->len);
    rc = rill__message_check(r->bytes, r->len, ret_message);
    if (rc == RILL_EVERSION)
        return rill__fail(r->loop, rc, RILL_LAYER_LOOP,
            "the old process speaks version %d of the restart protocol, this one %d",
            ret_message->version, RILL__RESTART_VERSION);
    if (rc < 0 || ret_message->kind != kind)
        return fail_protocol(r, "another message was expected");
    return 0;
}

static int
receive_hello(reception *r)
{
    rill__message hello;
    int rc = receive(r, RILL__MESSAGE_HELLO, &hello);

    if (rc < 0)
        return rc;
    if (hello.count > RILL__NAMED_MAX || r->fds_count != 0)
        return fail_protocol(r, "its greeting promises what nobody can hand over");
    if (hello.pid != (uint32_t)rill__host_process_id())
        return fail_protocol(r, "it means another process");
    return rill__inherited_new(r->loop, hello.count, RILL_SITE("inherited"), &r->set);
}

/* One entry at `at`: flags, name, zero byte. Returns where the next one begins, 0: none there. */
static size_t
read_entry(const reception *r, size_t at, rill__named *named)
{
    const char *name = r->bytes + at + 1;
    const char *end;

    if (at + 2 > (size_t)r->len)
        return 0;
    end = memchr(name, '\0', (size_t)r->len - at - 1);
    if (end == NULL || !rill__name_is_valid(name))
        return 0;
    named->flags = (uint8_t)r->bytes[at];
    memcpy(named->name, name, (size_t)(end - name) + 1);
    return (size_t)(end - r->bytes) + 1;
}

static int
receive_descriptors(reception *r)
{
    size_t at = sizeof(rill__message);
    rill__message message;
    int rc = receive(r, RILL__MESSAGE_DESCRIPTORS, &message);

    if (rc < 0)
        return rc;
    if (message.count == 0 || message.count != r->fds_count ||
        message.count > r->set->count - r->received)
        return fail_protocol(r, "the number of descriptors is wrong");
    for (size_t i = 0; i < r->fds_count; i++) {
        rill__named *named = &r->set->named[r->received];

        at = read_entry(r, at, named);
        if (at == 0)
            return fail_protocol(r, "a name is missing or none");
        named->fd = r->fds[i];
        r->fds[i] = -1;
        (void)rill__host_identity(named->fd, named->identity); /* It is open. */
        r->received++;
    }
    r->fds_count = 0;
    return at == (size_t)r->len ? 0 : fail_protocol(r, "there is more behind the names");
}

static int
receive_all(reception *r)
{
    int rc = receive_hello(r);

    while (rc == 0 && r->received < r->set->count)
        rc = receive_descriptors(r);
    return rc;
}

static void
refuse(reception *r, int code)
{
    rill__message refused = rill__message_of(RILL__MESSAGE_REFUSED, (size_t)-code);

    /* Who has gone, or speaks otherwise, sees the channel close. */
    (void)rill__host_send(r->channel, &refused, sizeof(refused), NULL, 0);
    rill__host_close(r->channel);
    for (size_t i = 0; i < r->fds_count; i++)
        rill__host_close(r->fds[i]);
    if (r->set != NULL)
        rill__inherited_drop(r->set);
}

int
rill__inherit_restart(rill_loop *loop, const rill_inherit_options *o, rill_inherited **ret_set)
{
    const char *text = getenv(RILL__RESTART_VARIABLE);
    reception r = { .loop = loop, .channel = -1 };
    int rc;

    if (text == NULL)
        return 0;
    rc = parse_variable(loop, text, &r.channel);
    if (rc <= 0)
        return rc;
    rill__host_set_cloexec(r.channel);
    (void)unsetenv(RILL__RESTART_VARIABLE); /* Fails for a bad name only. */
    r.deadline = rill__timeout_end(rill__host_now(), o->timeout != 0 ? o->timeout : TIMEOUT);
    rc = receive_all(&r);
    if (rc < 0) {
        refuse(&r, rc);
        return rc;
    }
    r.set->origin = RILL_INHERITED_RESTART;
    r.set->channel = r.channel;
    *ret_set = r.set;
    return 0;
}
