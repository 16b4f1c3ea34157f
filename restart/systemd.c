/*
 * systemd without libsystemd: socket activation, notification, the watchdog.
 *
 * All of it is told by environment variables, which are read in the call that asks, strictly: one
 * that is not as systemd writes it is an error with a sentence, never a guess. Notifying keeps no
 * state and may be done by any thread; the rest is for the loop's thread.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "restart/internal.h"

#define FIRST_FD   3
#define STATE_SIZE 400

bool
rill__parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(unsigned char)*text - '0';

        if (digit > 9 || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

/* ---- socket activation ---- */

static int
fail_variable(rill_loop *loop, const char *name, const char *value, const char *why)
{
    /* The value last: it may be long, and the sentence is cut. */
    return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "%s %s: \"%s\"", name, why, value);
}

/* How many, 0 when none are meant for us. */
static int
count_fds(rill_loop *loop, size_t *ret_count)
{
    const char *pid_text = getenv("LISTEN_PID");
    const char *fds_text = getenv("LISTEN_FDS");
    uint64_t pid;
    uint64_t count;

    *ret_count = 0;
    if (pid_text == NULL || fds_text == NULL)
        return 0;
    if (!rill__parse_number(pid_text, INT_MAX, &pid) || pid == 0)
        return fail_variable(loop, "LISTEN_PID", pid_text, "is no process");
    if (pid != (uint64_t)rill__host_process_id())
        return 0;
    if (!rill__parse_number(fds_text, RILL__NAMED_MAX, &count))
        return fail_variable(loop, "LISTEN_FDS", fds_text, "is no number of descriptors");
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)count; fd++) {
        if (!rill__host_is_inherited(fd))
            return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
                "LISTEN_FDS=\"%s\", but descriptor %d was not inherited", fds_text, fd);
    }
    *ret_count = (size_t)count;
    return 0;
}

static int
read_names(rill_loop *loop, rill_inherited *set)
{
    const char *names = getenv("LISTEN_FDNAMES");
    const char *at = names;

    for (size_t i = 0; i < set->count; i++) {
        size_t len = at != NULL ? strcspn(at, ":") : 0;
        char *name = set->named[i].name;

        if (names == NULL) {
            memcpy(name, "unknown", sizeof("unknown"));
            continue;
        }
        if (at == NULL)
            return fail_variable(loop, "LISTEN_FDNAMES", names, "has fewer names than LISTEN_FDS");
        if (len > RILL__NAME_MAX)
            return fail_variable(loop, "LISTEN_FDNAMES", names, "has a name that is too long");
        memcpy(name, at, len);
        name[len] = '\0';
        if (!rill__name_is_valid(name))
            return fail_variable(loop, "LISTEN_FDNAMES", names, "has a name that is none");
        at = at[len] == ':' ? at + len + 1 : NULL;
    }
    return at == NULL
               ? 0
               : fail_variable(loop, "LISTEN_FDNAMES", names, "has more names than LISTEN_FDS");
}

static void
unset_variables(void)
{
    (void)unsetenv("LISTEN_PID"); /* These fail for bad names only. */
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
}

int
rill__inherit_systemd(rill_loop *loop, const rill_inherit_options *o, rill_inherited **ret_set)
{
    rill_inherited *set;
    size_t count;
    int rc = count_fds(loop, &count);

    if (rc < 0 || count == 0)
        return rc;
    rc = rill__inherited_new(loop, count, RILL_SITE("inherited"), &set);
    if (rc < 0)
        return rc;
    rc = read_names(loop, set);
    if (rc < 0) {
        rill__inherited_drop(set); /* It has no descriptors yet: none is closed. */
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        set->named[i].fd = FIRST_FD + (int)i;
        rill__host_set_cloexec(set->named[i].fd);
        (void)rill__host_identity(set->named[i].fd, set->named[i].identity); /* It is open. */
    }
    set->origin = RILL_INHERITED_SYSTEMD;
    if (o->unset_environment)
        unset_variables();
    *ret_set = set;
    return 0;
}

/* ---- notification ---- */

static int
notify(const char *state, int fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int rc;

    if (path == NULL || path[0] == '\0')
        return 0;
    if ((path[0] != '/' && path[0] != '@') || path[1] == '\0')
        return RILL_EINVAL;
    rc = rill__host_datagram(path, state, strlen(state), fd);
    if (rc == -ENAMETOOLONG)
        return RILL_EINVAL;
    return rc < 0 ? rc : 1;
}

int
rill_notify(const char *state)
{
    RILL__REQUIRE(state != NULL && state[0] != '\0');
    return notify(state, -1);
}

int
rill_notify_reloading(void)
{
    char text[STATE_SIZE];

    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
        (long long)(rill__host_now() / RILL_US));
    return notify(text, -1);
}

int
rill_notify_store(const char *name, int fd)
{
    char text[STATE_SIZE];

    RILL__REQUIRE(rill__name_is_valid(name));
    if (!rill__host_is_open(fd))
        return -EBADF;
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    return notify(text, fd);
}

int
rill_watchdog_interval(rill_ns *ret_interval)
{
    const char *usec_text = getenv("WATCHDOG_USEC");
    const char *pid_text = getenv("WATCHDOG_PID");
    uint64_t usec;
    uint64_t pid = 0;

    RILL__REQUIRE(ret_interval != NULL);
    if (usec_text == NULL)
        return 0;
    if (!rill__parse_number(usec_text, (uint64_t)INT64_MAX / 1000, &usec) || usec == 0)
        return RILL_EINVAL;
    if (pid_text != NULL && (!rill__parse_number(pid_text, INT_MAX, &pid) || pid == 0))
        return RILL_EINVAL;
    if (pid_text != NULL && pid != (uint64_t)rill__host_process_id())
        return 0;
    *ret_interval = (rill_ns)usec * RILL_US;
    return 1;
}
