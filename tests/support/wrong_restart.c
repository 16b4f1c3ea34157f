/*
 * Wrong calls of <rill/restart.h>: see wrong.h. Processes and descriptors are the kernel's, so the
 * simulator has its own answer to a call that is right.
 */
#include "wrong.h"

#include <errno.h>

static void
never_restarted(void *arg, int pid, const rill_reason *why)
{
    (void)pid;
    (void)why;
    never(arg);
}

static int
restart_with(const rill_restart_options *options)
{
    return rill_restart_start(h.loop, options, never_restarted, NULL, &out.id);
}

/* What the loop cannot do comes after what is wrong with the call. */
static void
try_restarting(rill_server *server)
{
    const char *const argv[] = { "/nowhere", NULL };
    const rill_restart_item no_name = { .server = server };
    const rill_restart_options good = RILL_RESTART_OPTIONS(.argv = argv);

    WRONG(RILL_EINVAL, rill_restart_start(NULL, &good, never_restarted, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_restart_start(h.loop, NULL, never_restarted, NULL, &out.id));
    WRONG(RILL_EINVAL, rill_restart_start(h.loop, &good, NULL, NULL, &out.id));
    WRONG(RILL_EINVAL, restart_with(unsized_options));
    WRONG(RILL_EINVAL, restart_with(unknown_options));
    WRONG(RILL_EINVAL, restart_with(&RILL_RESTART_OPTIONS(.argv = NULL)));
    WRONG(RILL_EINVAL, restart_with(&RILL_RESTART_OPTIONS(.argv = argv + 1)));
    WRONG(RILL_EINVAL, restart_with(&RILL_RESTART_OPTIONS(.argv = argv, .timeout = RILL_NEVER)));
    WRONG(RILL_EINVAL, restart_with(&RILL_RESTART_OPTIONS(.argv = argv, .items_count = 1)));
    WRONG(on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL,
        restart_with(&RILL_RESTART_OPTIONS(.argv = argv, .items = &no_name, .items_count = 1)));
    WRONG(on_driver("sim") ? RILL_ENOTSUP : -ENOENT, restart_with(&good));
}

static void
try_inheriting(void)
{
    const rill_inherit_options negative = RILL_INHERIT_OPTIONS(.timeout = -1);
    rill_inherited *inherited;

    WRONG(RILL_EINVAL, rill_inherit(NULL, NULL, &out.set));
    WRONG(RILL_EINVAL, rill_inherit(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, rill_inherit(h.loop, unsized_options, &out.set));
    WRONG(RILL_EINVAL, rill_inherit(h.loop, unknown_options, &out.set));
    WRONG(RILL_EINVAL, rill_inherit(h.loop, &negative, &out.set));
    WRONG(RILL_EINVAL, rill_restart_inherited(NULL, NULL, &out.set));
    WRONG(RILL_EINVAL, rill_restart_inherited(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, rill_restart_inherited(h.loop, &negative, &out.set));
    WRONG(RILL_EINVAL, rill_listen_fds(NULL, NULL, &out.set));
    WRONG(RILL_EINVAL, rill_listen_fds(h.loop, NULL, NULL));
    WRONG(RILL_EINVAL, rill_listen_fds(h.loop, &negative, &out.set));
    WRONG(RILL_EINVAL, rill_restart_ready(NULL));
    WRONG(RILL_EINVAL, rill_inherited_take(NULL, "x", &out.value, 1));
    IGNORED(rill_inherited_free(NULL));
    if (on_driver("sim")) {
        WRONG(RILL_ENOTSUP, rill_inherit(h.loop, NULL, &out.set));
        WRONG(RILL_ENOTSUP, rill_restart_inherited(h.loop, NULL, &out.set));
        WRONG(RILL_ENOTSUP, rill_listen_fds(h.loop, NULL, &out.set));
        wrong_note("rill_inherited_name(");
        wrong_note("rill_inherited_count(");
        wrong_note("rill_inherited_get_origin(");
        return;
    }
    assert_code(rill_inherit(h.loop, NULL, &inherited), 0);
    WRONG(RILL_EINVAL, rill_inherited_take(inherited, NULL, &out.value, 1));
    WRONG(RILL_EINVAL, rill_inherited_take(inherited, "x", NULL, 1));
    SAYS(rill_inherited_take(inherited, "x", &out.value, 1) == 0);
    SAYS(rill_inherited_count(inherited) == 0);
    SAYS(rill_inherited_name(inherited, 0) == NULL);
    SAYS(rill_inherited_get_origin(inherited) == RILL_INHERITED_NOTHING);
    assert_code(rill_restart_ready(inherited), 0);
    rill_inherited_free(inherited);
}

static void
try_telling_systemd(void)
{
    WRONG(RILL_EINVAL, rill_notify(NULL));
    WRONG(RILL_EINVAL, rill_notify(""));
    WRONG(RILL_EINVAL, rill_notify_store(NULL, 0));
    WRONG(RILL_EINVAL, rill_notify_store("a:b", 0));
    WRONG(-EBADF, rill_notify_store("name", -1));
    WRONG(RILL_EINVAL, rill_watchdog_interval(NULL));
}

void
wrong_restart(rill_server *server)
{
    try_restarting(server);
    try_inheriting();
    try_telling_systemd();
}
