/*
 * Subprocesses: from the start of a program to the loss of the last thing that it leaves behind.
 *
 * The object stands for three kinds of parts: the child that the driver watches, up to three pipes,
 * which are transports of their own with protocols of ours, and the wait for the start's turn. When
 * all are gone connection_lost is delivered, and the memory goes at the end of that turn; it comes
 * from the loop's pool, so that a dangling pointer finds the mark of death. A child is asked how it
 * ended in its record, or now and then where the driver cannot watch it. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "transports/subprocess.h"

#define LIVE UINT32_C(0x5b900ce5)
#define DEAD UINT32_C(0xdead5b90)

#define LOOK_FIRST (1 * RILL_MS)
#define LOOK_LAST  (64 * RILL_MS)

#define SIGNAL_KILL      9
#define SIGNAL_TERMINATE 15
#define REAPED_CODE      255

typedef struct part {
    rill_transport *t; /* NULL: none, or gone. */
    rill_subprocess *process;
    int fd;
} part;

struct rill_subprocess {
    rill__object object; /* First: describe is given it. */
    uint32_t magic;
    uint32_t bytes; /* Of this piece of memory. */
    rill_loop *loop;
    const rill_subprocess_protocol *protocol;
    void *self;
    void *arg;
    rill__ready ready; /* Until connection_made; then for the end. */
    rill__own_timer look;
    rill_ns look_after;
    rill__child child;
    part parts[3];
    int code;   /* Once `exited`: see rill_subprocess_returncode. */
    int reason; /* Of connection_lost. */
    bool made;
    bool exited;
    bool released; /* The child's last record has come. */
    bool closing;
    bool survives;
    bool beyond; /* Another user's by now: it may not be killed. */
    _Alignas(16) unsigned char state[];
};

static_assert(offsetof(rill_subprocess, magic) < 64, "the mark of death survives the release");

static void
check_live(const rill_subprocess *p, const char *function)
{
    if (RILL__UNLIKELY(p->magic != LIVE))
        rill__panic("%s: %p is no live subprocess: %s", function, (const void *)p,
            p->magic == DEAD ? "its connection_lost has returned"
                             : "the pointer never was one, or its loop was freed");
    rill__check_thread(p->loop, function);
}

static void
enter(const rill_subprocess *p, const char *what)
{
    p->loop->current_site = p->object.site;
    p->loop->current_what = what;
}

/* ---- the end ---- */

static void
memory_release(rill_loop *loop, rill_subprocess *p)
{
    size_t bytes = p->bytes;

    p->magic = DEAD;
    if (bytes <= RILL__POOL_MAX)
        rill__pool_release(loop, p, bytes, offsetof(rill_subprocess, protocol));
    else
        rill__free(loop, p, bytes, RILL_TAG_TRANSPORT);
}

static void
reap(rill__ready *ready)
{
    rill_subprocess *p = RILL__CONTAINER(ready, rill_subprocess, ready);

    memory_release(p->loop, p);
}

/* Whatever goes passes here: was it the last part? */
static void
end_if_alone(rill_subprocess *p)
{
    rill_reason why = { .code = p->reason,
        .layer = p->reason == 0 ? RILL_LAYER_NONE : RILL_LAYER_TRANSPORT,
        .sentence = rill_strerror(p->reason) };

    if (!p->made || !p->released)
        return;
    for (int fd = 0; fd < 3; fd++)
        if (p->parts[fd].t != NULL)
            return;
    enter(p, "connection_lost");
    if (p->protocol->connection_lost != NULL)
        p->protocol->connection_lost(p, p->self, &why);
    rill__object_remove(p->loop, RILL__OBJECT_PROCESS, &p->object);
    p->magic = DEAD;
    p->ready.run = reap;
    rill__loop_reap(p->loop, &p->ready);
}

/* ---- the child ---- */

static void
let_go(rill_subprocess *p)
{
    rill__timer_disarm(p->loop, &p->look);
    p->loop->sys->processes->release(p->loop->driver, &p->child);
}

static void
exited(rill_subprocess *p, int rc, int status)
{
    p->exited = true;
    p->code = rc == 0 ? status : REAPED_CODE;
    p->reason = rc;
    let_go(p);
    enter(p, "process_exited");
    if (p->protocol->process_exited != NULL)
        p->protocol->process_exited(p, p->self);
}

static bool
ask(rill_subprocess *p)
{
    int status = 0;
    int rc = p->loop->sys->processes->status(p->loop->driver, &p->child, &status);

    if (rc == -EAGAIN)
        return false;
    exited(p, rc, status);
    return true;
}

static void
on_record(rill__op *op)
{
    (void)ask(RILL__CONTAINER(op, rill_subprocess, child.io.recv));
}

static void
look_later(rill_subprocess *p)
{
    rill__timer_arm(p->loop, &p->look, rill__loop_now(p->loop) + p->look_after);
    if (p->look_after < LOOK_LAST)
        p->look_after *= 2;
}

static void
on_look(rill__own_timer *timer)
{
    rill_subprocess *p = RILL__CONTAINER(timer, rill_subprocess, look);

    if (!ask(p))
        look_later(p);
}

static void
on_released(rill__op *op)
{
    rill_subprocess *p = RILL__CONTAINER(op, rill_subprocess, child.io.close);

    p->released = true;
    end_if_alone(p);
}

/* ---- pipes ---- */

static void
on_pipe_data(rill_transport *t, void *self, rill_slice in)
{
    const part *pipe = self;
    rill_subprocess *p = pipe->process;

    (void)t;
    if (p->protocol->pipe_data_received != NULL)
        p->protocol->pipe_data_received(p, p->self, pipe->fd, in);
}

static void
on_pipe_pause(rill_transport *t, void *self)
{
    rill_subprocess *p = ((const part *)self)->process;

    (void)t;
    if (p->protocol->pause_writing != NULL)
        p->protocol->pause_writing(p, p->self);
}

static void
on_pipe_resume(rill_transport *t, void *self)
{
    rill_subprocess *p = ((const part *)self)->process;

    (void)t;
    if (p->protocol->resume_writing != NULL)
        p->protocol->resume_writing(p, p->self);
}

static void
on_pipe_lost(rill_transport *t, void *self, const rill_reason *why)
{
    part *pipe = self;
    rill_subprocess *p = pipe->process;

    (void)t;
    pipe->t = NULL;
    if (p->protocol->pipe_connection_lost != NULL)
        p->protocol->pipe_connection_lost(p, p->self, pipe->fd, why);
}

/* Also when the user has given it another protocol. */
static void
on_pipe_gone(void *arg)
{
    part *pipe = arg;

    pipe->t = NULL;
    end_if_alone(pipe->process);
}

/* `self`: the part. */
static const rill_protocol pipe_protocol =
    RILL_PROTOCOL(.data_received = on_pipe_data, .pause_writing = on_pipe_pause,
        .resume_writing = on_pipe_resume, .connection_lost = on_pipe_lost);

/* Its own end goes to a transport, the child's to the start. */
static int
make_pipe(rill_subprocess *p, rill__starting *s, int fd, const char *site)
{
    rill_loop *loop = p->loop;
    bool writes = fd == 0;
    struct rill__extra *extra;
    int ends[2];
    int rc = loop->ops->pipes->make(
        loop->driver, writes ? RILL__PIPE_BLOCKING_READ : RILL__PIPE_BLOCKING_WRITE, ends);

    if (rc < 0)
        return rc;
    s->spawn.stdio[fd] = ends[writes ? 0 : 1];
    s->piped[fd] = true;
    rc = rill__pipe_new(loop, ends[writes ? 1 : 0], writes ? RILL__PIPE_WRITES : 0, &s->config,
        &pipe_protocol, &p->parts[fd], site, false, &p->parts[fd].t);
    if (rc < 0) {
        loop->sys->close_fd(loop->driver, ends[writes ? 1 : 0], false);
        return rc;
    }
    extra = rill__transport_extra(p->parts[fd].t);
    if (extra == NULL)
        return -ENOMEM;
    extra->gone = on_pipe_gone;
    extra->gone_arg = &p->parts[fd];
    return 0;
}

static int
make_pipes(rill_subprocess *p, rill__starting *s, const char *site)
{
    const rill_stdio *wanted[3] = { &s->options.in, &s->options.out, &s->options.err };

    s->spawn.step = RILL__SPAWN_PIPE;
    for (int fd = 0; fd < 3; fd++) {
        int rc = wanted[fd]->kind == RILL_STDIO_PIPE ? make_pipe(p, s, fd, site) : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The child has them, or never will. */
static void
close_child_ends(rill_loop *loop, const rill__starting *s)
{
    for (int fd = 0; fd < 3; fd++)
        if (s->piped[fd])
            loop->sys->close_fd(loop->driver, s->spawn.stdio[fd], false);
}

static void
discard_pipes(rill_subprocess *p)
{
    for (int fd = 0; fd < 3; fd++)
        if (p->parts[fd].t != NULL)
            rill__stream_discard(p->parts[fd].t);
}

rill_transport *
rill__subprocess_take_pipe(rill_subprocess *p, int fd)
{
    rill_transport *t = p->parts[fd].t;

    p->parts[fd].t = NULL;
    if (t != NULL)
        t->extra->gone = NULL;
    return t;
}

/* ---- closing ---- */

/* What is queued for one that lives on has its time to be written. */
static void
close_pipe(const rill_subprocess *p, rill_transport *t)
{
    if (t->queued_bytes == 0 || p->survives)
        rill_transport_close(t);
    else
        rill_transport_abort(t);
}

static void
close_pipes(const rill_subprocess *p)
{
    for (int fd = 0; fd < 3; fd++)
        if (p->parts[fd].t != NULL)
            close_pipe(p, p->parts[fd].t);
}

static void
kill_it(rill_subprocess *p)
{
    int rc;

    if (p->exited)
        return;
    rc = p->loop->sys->processes->signal(p->loop->driver, &p->child, SIGNAL_KILL);
    p->beyond = rc == -EPERM; /* Else it may have ended meanwhile. */
}

static void
close_it(rill_subprocess *p)
{
    if (p->closing)
        return;
    p->closing = true;
    if (!p->survives) /* First, or it could end by itself at the end of its input. */
        kill_it(p);
    if (p->made)
        close_pipes(p);
}

/* The pipes are opened here and not before, so that their losses are told. */
static void
on_made(rill__ready *ready)
{
    rill_subprocess *p = RILL__CONTAINER(ready, rill_subprocess, ready);

    p->made = true;
    for (int fd = 0; fd < 3; fd++)
        if (p->parts[fd].t != NULL)
            rill__stream_open(p->parts[fd].t);
    enter(p, "connection_made");
    if (p->protocol->connection_made != NULL)
        p->protocol->connection_made(p, p->self, p->arg);
    if (p->closing)
        close_pipes(p);
    end_if_alone(p);
}

void
rill__subprocess_open(rill_subprocess *p)
{
    on_made(&p->ready);
}

/* The loop is being freed: it waits for the end of one that is killed, and not of another, which
 * may never come. */
static void
process_end(rill__object *object)
{
    rill_subprocess *p = RILL__CONTAINER(object, rill_subprocess, object);

    close_it(p);
    if (p->beyond) /* Since an earlier close? */
        kill_it(p);
    if (!p->made) { /* Before its pipes are taken for strangers'. */
        rill__loop_unlink(p->loop, &p->ready);
        on_made(&p->ready);
    }
    if ((p->survives || p->beyond) && !p->exited) {
        p->exited = true;
        p->reason = RILL_ELOOPFREED;
        p->code = REAPED_CODE;
        let_go(p);
    }
}

static void
process_describe(const rill__object *object, char *buf, size_t size)
{
    const rill_subprocess *p = RILL__CONTAINER(object, rill_subprocess, object);

    snprintf(buf, size, "<subprocess %lld%s>", (long long)p->child.pid, p->exited ? ", ended" : "");
}

static const rill__object_ops process_object_ops = { .end = process_end,
    .describe = process_describe };

/* ---- starting ---- */

static int
check_protocol(rill_loop *loop, const rill_subprocess_protocol *protocol)
{
    if (protocol == NULL || protocol->size != sizeof(*protocol))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "subprocess: the protocol is missing or its size is not known: make it with "
            "RILL_SUBPROCESS_PROTOCOL");
    if (protocol->state_size > PTRDIFF_MAX / 2)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "subprocess: state_size %zu is too large", protocol->state_size);
    return 0;
}

static rill_subprocess *
process_new(rill_loop *loop, const rill_subprocess_protocol *protocol, void *arg)
{
    size_t bytes = sizeof(rill_subprocess) + (protocol->state_size + 15) / 16 * 16;
    rill_subprocess *p = bytes <= RILL__POOL_MAX
                             ? rill__pool_take(loop, bytes)
                             : rill__alloc_zeroed(loop, bytes, RILL_TAG_TRANSPORT);

    if (p == NULL)
        return NULL;
    p->bytes = (uint32_t)bytes;
    p->magic = LIVE;
    p->loop = loop;
    p->protocol = protocol;
    p->arg = arg;
    p->self = protocol->state_size != 0 ? p->state : arg;
    p->ready.run = on_made;
    p->look.fn = on_look;
    p->look_after = LOOK_FIRST;
    p->child.io.recv.fn = on_record;
    p->child.io.close.fn = on_released;
    for (int fd = 0; fd < 3; fd++)
        p->parts[fd] = (part){ .process = p, .fd = fd };
    return p;
}

static int
start(rill_loop *loop, rill__starting *s, const rill_subprocess_protocol *protocol, void *arg,
    const char *site, rill_subprocess **ret_process)
{
    rill_subprocess *p = process_new(loop, protocol, arg);
    int rc;

    if (p == NULL)
        return rill__fail_call(loop, -ENOMEM, "subprocess");
    rc = make_pipes(p, s, site);
    if (rc == 0)
        rc = loop->sys->processes->spawn(loop->driver, &s->spawn, &p->child);
    close_child_ends(loop, s);
    if (rc < 0) {
        discard_pipes(p);
        memory_release(loop, p);
        return rill__starting_failed(loop, s, rc);
    }
    p->survives = s->options.survives_close;
    rill__object_add(loop, RILL__OBJECT_PROCESS, &process_object_ops, &p->object, site);
    if (!p->child.watched)
        look_later(p);
    *ret_process = p;
    return 0;
}

int
rill__subprocess_start(rill_loop *loop, const char *command, const rill_process_options *options,
    const rill_subprocess_protocol *protocol, void *arg, const char *site,
    rill_subprocess **ret_process)
{
    rill__starting s;
    int rc = check_protocol(loop, protocol);

    if (rc < 0 || (rc = rill__starting_init(loop, options, command, &s)) < 0)
        return rc;
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "subprocess");
    return start(loop, &s, protocol, arg, site, ret_process);
}

static int
start_soon(rill_loop *loop, const char *command, const rill_process_options *options,
    const rill_subprocess_protocol *protocol, void *arg, const char *site,
    rill_subprocess **ret_process)
{
    rill_subprocess *p;
    int rc = rill__subprocess_start(loop, command, options, protocol, arg, site, &p);

    if (rc < 0)
        return rc;
    rill__loop_push(loop, &p->ready);
    if (ret_process != NULL)
        *ret_process = p;
    return 0;
}

int
rill_subprocess_exec_site(rill_loop *loop, const rill_process_options *options,
    const rill_subprocess_protocol *protocol, void *arg, const char *site,
    rill_subprocess **ret_process)
{
    RILL__REQUIRE(loop != NULL && options != NULL);
    rill__check_thread(loop, "rill_subprocess_exec");
    return start_soon(loop, NULL, options, protocol, arg, site, ret_process);
}

int
rill_subprocess_shell_site(rill_loop *loop, const char *command,
    const rill_process_options *options, const rill_subprocess_protocol *protocol, void *arg,
    const char *site, rill_subprocess **ret_process)
{
    RILL__REQUIRE(loop != NULL && command != NULL);
    rill__check_thread(loop, "rill_subprocess_shell");
    return start_soon(loop, command, options, protocol, arg, site, ret_process);
}

/* ---- calls ---- */

/* In a copy of the process that started it: the child is the original's. */
static bool
is_forked(const rill_subprocess *p)
{
    return p->loop->fork_generation != rill__fork_generation;
}

int64_t
rill_subprocess_pid(const rill_subprocess *process)
{
    check_live(process, "rill_subprocess_pid");
    return process->child.pid;
}

int
rill_subprocess_returncode(const rill_subprocess *process, int *ret_code)
{
    RILL__REQUIRE(process != NULL && ret_code != NULL);
    check_live(process, "rill_subprocess_returncode");
    if (!process->exited)
        return RILL_ESTATE;
    *ret_code = process->code;
    return process->reason;
}

int
rill_subprocess_send_signal(rill_subprocess *process, int signo)
{
    rill_loop *loop;
    int rc;

    RILL__REQUIRE(process != NULL);
    check_live(process, "rill_subprocess_send_signal");
    loop = process->loop;
    if (is_forked(process))
        return RILL_EFORK;
    rc = process->exited ? -ESRCH
                         : loop->sys->processes->signal(loop->driver, &process->child, signo);
    return rc == -EINVAL ? RILL_EINVAL : rc;
}

int
rill_subprocess_terminate(rill_subprocess *process)
{
    return rill_subprocess_send_signal(process, SIGNAL_TERMINATE);
}

int
rill_subprocess_kill(rill_subprocess *process)
{
    return rill_subprocess_send_signal(process, SIGNAL_KILL);
}

rill_transport *
rill_subprocess_pipe(const rill_subprocess *process, int fd)
{
    check_live(process, "rill_subprocess_pipe");
    return process->made && fd >= 0 && fd < 3 ? process->parts[fd].t : NULL;
}

void
rill_subprocess_close(rill_subprocess *process)
{
    check_live(process, "rill_subprocess_close");
    if (!is_forked(process))
        close_it(process);
}

bool
rill_subprocess_is_closing(const rill_subprocess *process)
{
    check_live(process, "rill_subprocess_is_closing");
    return process->closing;
}

rill_loop *
rill_subprocess_loop(const rill_subprocess *process)
{
    check_live(process, "rill_subprocess_loop");
    return process->loop;
}
