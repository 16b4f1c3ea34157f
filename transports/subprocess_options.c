/*
 * What the options of a subprocess mean, and what is said when they cannot be followed.
 *
 * Nothing is copied that is needed only for the call: the program runs when it returns. Loop thread
 * only.
 */
#include <errno.h>

#include "transports/subprocess.h"

#define SIGNALS 64

static int
refuse(rill_loop *loop, const char *sentence)
{
    return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "subprocess: %s", sentence);
}

/* The simulator's own numbers are nobody else's. */
static bool
has_no_descriptors(rill_loop *loop)
{
    return loop->sys->public_fd(loop->driver, 0) == RILL_ENOTSUP;
}

/* Before any of our own is made, which could get its number. */
static int
check_open(rill_loop *loop, int fd)
{
    if (has_no_descriptors(loop))
        return rill__fail(loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "subprocess: descriptors are not the simulator's");
    if (loop->sys->probe(loop->driver, fd) == -EBADF)
        return rill__fail(
            loop, -EBADF, RILL_LAYER_SYSTEM, "subprocess: descriptor %d is not open", fd);
    return 0;
}

static int
take_program(rill_loop *loop, const char *command, rill__starting *s)
{
    const rill_process_options *o = &s->options;
    const char *const *argv = o->argv;

    if (command != NULL) {
        if (argv != NULL || o->program != NULL)
            return refuse(loop, "a shell has its own argv and program");
        s->shell[0] = "/bin/sh";
        s->shell[1] = "-c";
        s->shell[2] = command;
        argv = s->shell;
    }
    if (argv == NULL || argv[0] == NULL)
        return refuse(loop, "argv is missing or empty");
    s->spawn.file = o->program != NULL ? o->program : argv[0];
    if (s->spawn.file[0] == '\0')
        return refuse(loop, "the program's name is empty");
    s->spawn.argv = (char *const *)argv; /* As execve wants it; nobody writes. */
    s->spawn.envp = (char *const *)o->env;
    s->spawn.directory = o->cwd;
    return 0;
}

static int
take_stdio(rill_loop *loop, const rill_stdio *stdio, int fd, rill__starting *s)
{
    switch (stdio->kind) {
    case RILL_STDIO_INHERIT:
    case RILL_STDIO_PIPE:
        s->spawn.stdio[fd] = RILL__STDIO_KEEP;
        return 0;
    case RILL_STDIO_NULL:
        s->spawn.stdio[fd] = RILL__STDIO_NULL;
        return 0;
    case RILL_STDIO_FD:
        if (stdio->fd < 0)
            return refuse(loop, "a standard stream is to be a negative descriptor");
        s->spawn.stdio[fd] = stdio->fd;
        return check_open(loop, stdio->fd);
    case RILL_STDIO_STDOUT:
        if (fd != 2)
            return refuse(loop, "only stderr can go where stdout goes");
        s->spawn.stdio[fd] = RILL__STDIO_MERGE;
        return 0;
    }
    return refuse(loop, "a standard stream of no kind that there is");
}

/* Ascending and each once; the standard ones are there anyway. */
static int
take_pass_fds(rill_loop *loop, rill__starting *s)
{
    const rill_process_options *o = &s->options;
    size_t count = 0;

    if (o->pass_fds_count > RILL__PASS_FDS_MAX || (o->pass_fds == NULL && o->pass_fds_count != 0))
        return refuse(loop, "pass_fds is missing or has more than 256 descriptors");
    for (size_t i = 0; i < o->pass_fds_count; i++) {
        int fd = o->pass_fds[i];
        size_t at = count;

        if (fd < 0)
            return refuse(loop, "pass_fds has a negative descriptor");
        while (at > 0 && s->pass[at - 1] >= fd)
            at--;
        if (fd < 3 || (at < count && s->pass[at] == fd))
            continue;
        memmove(&s->pass[at + 1], &s->pass[at], (count - at) * sizeof(s->pass[0]));
        s->pass[at] = fd;
        count++;
    }
    s->spawn.pass = s->pass;
    s->spawn.pass_count = count;
    for (size_t i = 0; i < count; i++) {
        int rc = check_open(loop, s->pass[i]);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int
take_limits(rill_loop *loop, rill__starting *s)
{
    const rill_process_options *o = &s->options;

    if (o->limits_count > RILL__LIMITS_MAX || (o->limits == NULL && o->limits_count != 0))
        return refuse(loop, "limits is missing or has more than 32");
    for (size_t i = 0; i < o->limits_count; i++) {
        if (o->limits[i].soft > o->limits[i].hard)
            return refuse(loop, "a soft limit is above its hard one");
        s->limits[i] = (rill__spawn_limit){
            .resource = o->limits[i].resource, .soft = o->limits[i].soft, .hard = o->limits[i].hard
        };
    }
    s->spawn.limits = s->limits;
    s->spawn.limits_count = o->limits_count;
    return 0;
}

static int
take_identity(rill_loop *loop, rill__starting *s)
{
    const rill_process_options *o = &s->options;

    if ((o->groups_count != 0 && (o->groups == NULL || !(o->set_groups || o->set_user))) ||
        o->groups_count > 65536)
        return refuse(loop, "groups without set_groups, without an array, or above 65536");
    if ((!o->set_user && o->user != 0) || (!o->set_group && o->group != 0) ||
        (!o->set_umask && o->umask != 0) || (!o->set_process_group && o->process_group != 0))
        return refuse(loop, "user, group, umask or process_group without its set_ field");
    if (o->umask > 0777 || o->process_group < 0 || (o->new_session && o->set_process_group))
        return refuse(loop, "umask or process_group out of range, or both session and group");
    if (o->death_signal < 0 || o->death_signal > SIGNALS)
        return refuse(loop, "death_signal is no signal");
    s->spawn.set_user = o->set_user;
    s->spawn.set_group = o->set_group;
    s->spawn.set_groups = o->set_groups || o->set_user;
    s->spawn.must_groups = o->set_groups || o->groups_count != 0;
    s->spawn.set_umask = o->set_umask;
    s->spawn.set_process_group = o->set_process_group;
    s->spawn.new_session = o->new_session;
    s->spawn.user = o->user;
    s->spawn.group = o->group;
    s->spawn.groups = o->groups;
    s->spawn.groups_count = o->groups_count;
    s->spawn.umask = o->umask;
    s->spawn.process_group = o->process_group;
    s->spawn.death_signal = o->death_signal;
    return 0;
}

int
rill__starting_init(
    rill_loop *loop, const rill_process_options *options, const char *command, rill__starting *s)
{
    rill_process_options *o = &s->options;
    int rc;

    memset(s, 0, offsetof(rill__starting, limits));
    if (options != NULL) {
        rc =
            rill__options_copy(loop, "rill_process_options", options, options->size, o, sizeof(*o));
        if (rc < 0)
            return rc;
    }
    if ((rc = take_program(loop, command, s)) < 0 || (rc = take_stdio(loop, &o->in, 0, s)) < 0 ||
        (rc = take_stdio(loop, &o->out, 1, s)) < 0 || (rc = take_stdio(loop, &o->err, 2, s)) < 0 ||
        (rc = take_pass_fds(loop, s)) < 0 || (rc = take_limits(loop, s)) < 0 ||
        (rc = take_identity(loop, s)) < 0)
        return rc;
    return rill__config_init(&s->config, loop, o->transport);
}

/* ---- what went wrong ---- */

static const char *
step_name(uint8_t step)
{
    switch ((enum rill__spawn_step)step) {
    case RILL__SPAWN_PIPE:
        return "no pipe";
    case RILL__SPAWN_FORK:
        return "no new process";
    case RILL__SPAWN_SESSION:
        return "no session of its own";
    case RILL__SPAWN_GROUP:
        return "cannot join the process group";
    case RILL__SPAWN_STDIO:
        return "cannot have its standard streams";
    case RILL__SPAWN_PASS:
        return "cannot have a descriptor of pass_fds";
    case RILL__SPAWN_DIRECTORY:
        return "cannot enter the directory";
    case RILL__SPAWN_LIMIT:
        return "cannot have a resource limit";
    case RILL__SPAWN_USER:
        return "cannot become the user or group";
    case RILL__SPAWN_DEATH_SIGNAL:
        return "cannot have the death signal";
    case RILL__SPAWN_EXECUTE:
        return "cannot be executed";
    }
    return "?";
}

int
rill__starting_failed(rill_loop *loop, const rill__starting *s, int rc)
{
    bool directory = s->spawn.step == RILL__SPAWN_DIRECTORY;

    return rill__fail(loop, rc, RILL_LAYER_SYSTEM, "subprocess \"%s\": %s%s%s%s: %s", s->spawn.file,
        step_name(s->spawn.step), directory ? " \"" : "", directory ? s->spawn.directory : "",
        directory ? "\"" : "", rill_strerror(rc));
}
