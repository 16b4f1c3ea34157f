/*
 * Processes for tasks: a subprocess whose pipes are streams and whose end wakes who waits.
 *
 * The streams take the pipes away from the subprocess at once, so its end is the child's alone. The
 * object lives while users have references and until the subprocess is lost. Loop thread only.
 */
#include <rill/process.h>

#include "tasks/stream.h"
#include "transports/internal.h"
#include "transports/subprocess.h"

#define LIVE UINT32_C(0x9205e550)
#define DEAD UINT32_C(0xdead9205)

#define OUTPUT_MAX ((size_t)16 * 1024 * 1024)
#define CHUNK      ((size_t)64 * 1024)

struct rill_process {
    uint32_t magic;
    uint32_t refs;
    rill_loop *loop;
    const char *site;
    rill_subprocess *sub; /* NULL once it is lost. */
    int64_t pid;
    rill_stream *streams[3];
    rill__link waiters;
    size_t fed; /* Bytes of communicate's input that were written. */
    bool exited;
    bool survives; /* What closes it. */
    bool talking;  /* In communicate. */
    int code;      /* Once exited, */
    int reason;    /* 0 or RILL_EREAPED. */
};

static void
check_live(const rill_process *p, const char *function)
{
    if (RILL__UNLIKELY(p->magic != LIVE))
        rill__panic("%s: %p is no live process: %s", function, (const void *)p,
            p->magic == DEAD ? "its last reference was given back"
                             : "the pointer never was one, or its loop was freed");
    rill__check_thread(p->loop, function);
}

/* A function of its own, as scopes are begun in here: see rill__scopes_check. */
static __attribute__((noinline)) int
may_wait(rill__fiber *fiber, const rill_process *p, const char *function)
{
    if (RILL__UNLIKELY(fiber == NULL))
        return rill__refuse_outside();
    if (RILL__UNLIKELY(p->magic != LIVE || fiber->loop == p->loop))
        check_live(p, function);
    if (RILL__UNLIKELY(fiber->loop != p->loop))
        return rill__refuse_foreign(fiber, p->site);
    return rill__may_wait(fiber);
}

/* ---- life ---- */

static void
free_if_unused(rill_process *p)
{
    if (p->refs != 0 || p->sub != NULL)
        return;
    p->loop->futures--;
    p->magic = DEAD;
    rill__pool_release(p->loop, p, sizeof(*p), sizeof(p->magic));
}

static void
on_exited(rill_subprocess *sub, void *self)
{
    rill_process *p = self;

    p->exited = true;
    p->reason = rill_subprocess_returncode(sub, &p->code);
    rill__flow_wake_all(&p->waiters, 0);
}

static void
on_lost(rill_subprocess *sub, void *self, const rill_reason *why)
{
    rill_process *p = self;

    (void)why;
    if (!p->exited) /* It survives its loop. */
        on_exited(sub, p);
    p->sub = NULL;
    free_if_unused(p);
}

static const rill_subprocess_protocol protocol =
    RILL_SUBPROCESS_PROTOCOL(.process_exited = on_exited, .connection_lost = on_lost);

/* Streams that are there are made before the pipes are open, so nothing can fail afterwards. */
static int
make_streams(rill_process *p, const rill_process_options *o)
{
    const rill_stdio *stdio[3] = { &o->in, &o->out, &o->err };
    int rc = 0;

    for (int fd = 0; fd < 3 && rc == 0; fd++)
        if (stdio[fd]->kind == RILL_STDIO_PIPE)
            rc = rill__flow_new(p->loop, sizeof(rill_stream), 0, p->site, &p->streams[fd]);
    return rc;
}

static void
give_streams_back(rill_process *p)
{
    for (int fd = 0; fd < 3; fd++) {
        if (p->streams[fd] == NULL)
            continue;
        if (fd == 0 && !p->survives)
            rill_stream_abort(p->streams[fd]); /* Nobody is left to read what is queued. */
        else
            rill_stream_close(p->streams[fd]);
        rill_stream_unref(p->streams[fd]);
        p->streams[fd] = NULL;
    }
}

static void
take_pipes(rill_process *p)
{
    rill__subprocess_open(p->sub);
    for (int fd = 0; fd < 3; fd++) {
        rill_transport *t = rill__subprocess_take_pipe(p->sub, fd);

        if (t == NULL)
            continue;
        (void)rill_transport_set_protocol(t, &rill__flow_protocol, p->streams[fd]); /* No state. */
        rill__flow_take_over(p->streams[fd], t);
    }
}

static int
start(rill_loop *loop, const char *command, const rill_process_options *options, const char *site,
    rill_process **ret_process)
{
    rill_process_options o = RILL_PROCESS_OPTIONS();
    rill_process *p;
    int rc = 0;

    if (options != NULL)
        rc =
            rill__options_copy(loop, "rill_process_options", options, options->size, &o, sizeof(o));
    if (rc < 0)
        return rc;
    p = rill__pool_take(loop, sizeof(*p));
    if (p == NULL)
        return rill__fail_call(loop, -ENOMEM, "process");
    p->magic = LIVE;
    p->refs = 1;
    p->loop = loop;
    p->site = site;
    p->survives = o.survives_close;
    rill__list_init(&p->waiters);
    loop->futures++; /* As they do, it counts as left over when the loop is freed. */
    rc = make_streams(p, &o);
    if (rc == 0)
        rc = rill__subprocess_start(loop, command, &o, &protocol, p, site, &p->sub);
    if (rc < 0) {
        give_streams_back(p);
        p->refs = 0;
        free_if_unused(p);
        return rc;
    }
    p->pid = rill_subprocess_pid(p->sub);
    take_pipes(p);
    *ret_process = p;
    return 0;
}

int
rill_process_exec_site(
    const rill_process_options *options, const char *site, rill_process **ret_process)
{
    RILL__REQUIRE(options != NULL && ret_process != NULL);
    if (rill__running == NULL)
        return RILL_ENOTASK;
    return start(rill__running, NULL, options, site, ret_process);
}

int
rill_process_shell_site(const char *command, const rill_process_options *options, const char *site,
    rill_process **ret_process)
{
    RILL__REQUIRE(command != NULL && ret_process != NULL);
    if (rill__running == NULL)
        return RILL_ENOTASK;
    return start(rill__running, command, options, site, ret_process);
}

rill_process *
rill_process_ref(rill_process *process)
{
    check_live(process, "rill_process_ref");
    process->refs++;
    return process;
}

void
rill_process_unref(rill_process *process)
{
    if (process == NULL)
        return;
    check_live(process, "rill_process_unref");
    rill__check(process->refs > 0);
    if (--process->refs > 0)
        return;
    if (process->sub != NULL)
        rill_subprocess_close(process->sub);
    give_streams_back(process);
    free_if_unused(process);
}

/* ---- asking and signaling ---- */

int64_t
rill_process_pid(const rill_process *process)
{
    check_live(process, "rill_process_pid");
    return process->pid;
}

int
rill_process_returncode(const rill_process *process, int *ret_code)
{
    RILL__REQUIRE(process != NULL && ret_code != NULL);
    check_live(process, "rill_process_returncode");
    if (!process->exited)
        return RILL_ESTATE;
    *ret_code = process->code;
    return process->reason;
}

rill_stream *
rill_process_stream(const rill_process *process, int fd)
{
    check_live(process, "rill_process_stream");
    return fd >= 0 && fd < 3 ? process->streams[fd] : NULL;
}

int
rill_process_send_signal(rill_process *process, int signo)
{
    RILL__REQUIRE(process != NULL);
    check_live(process, "rill_process_send_signal");
    return process->sub != NULL ? rill_subprocess_send_signal(process->sub, signo) : -ESRCH;
}

int
rill_process_terminate(rill_process *process)
{
    RILL__REQUIRE(process != NULL);
    check_live(process, "rill_process_terminate");
    return process->sub != NULL ? rill_subprocess_terminate(process->sub) : -ESRCH;
}

int
rill_process_kill(rill_process *process)
{
    RILL__REQUIRE(process != NULL);
    check_live(process, "rill_process_kill");
    return process->sub != NULL ? rill_subprocess_kill(process->sub) : -ESRCH;
}

/* ---- waiting ---- */

int
rill_process_wait(rill_process *process, int *ret_code)
{
    rill__fiber *fiber = rill__current();
    rill__flow_wait self = { .wait = { .what = "rill_process_wait" } };
    int rc;

    RILL__REQUIRE(process != NULL);
    rc = may_wait(fiber, process, "rill_process_wait");
    if (rc < 0)
        return rc;
    self.wait.site = process->site;
    process->refs++;
    if (process->exited)
        rill__spend(fiber);
    else
        rc = rill__flow_wait_for(fiber, &process->waiters, &self);
    if (rc == 0) {
        rc = process->reason;
        if (ret_code != NULL)
            *ret_code = process->code;
    }
    rill_process_unref(process);
    return rc;
}

static int
wait_for(rill_process *p, rill_ns timeout, int *ret_code)
{
    rill_scope limit;

    rill_timeout_begin(&limit, timeout);
    return rill_scope_end(&limit, rill_process_wait(p, ret_code));
}

static int
stop(rill_process *p, rill_ns grace, int *ret_code)
{
    int rc = rill_process_terminate(p);

    if (rc < 0 && rc != -ESRCH)
        return rc;
    rc = wait_for(p, grace, ret_code);
    if (rc != RILL_ETIMEDOUT)
        return rc;
    (void)rill_process_kill(p); /* It may have ended by now. */
    return rill_process_wait(p, ret_code);
}

int
rill_process_stop(rill_process *process, rill_ns grace, int *ret_code)
{
    int rc;

    RILL__REQUIRE(process != NULL && grace >= 0);
    rc = may_wait(rill__current(), process, "rill_process_stop");
    if (rc < 0)
        return rc;
    process->refs++;
    rc = stop(process, grace, ret_code);
    rill_process_unref(process);
    return rc;
}

/* ---- talking ---- */

typedef struct talk {
    rill_process *process;
    const uint8_t *input;
    size_t len;
    size_t max;
    rill_slice output[2];
} talk;

/* It does not read (any more): its own affair. */
static bool
is_deaf(int rc)
{
    return rc == -EPIPE || rc == -ECONNRESET || rc == RILL_EOF || rc == RILL_ECLOSED;
}

static int
feed_all(talk *self, rill_stream *in)
{
    rill_process *p = self->process;
    int rc = 0;

    while (rc == 0 && p->fed < self->len) {
        size_t left = self->len - p->fed;
        size_t len = left < CHUNK ? left : CHUNK;

        rc = rill_stream_write(in, self->input + p->fed, len);
        if (rc == 0)
            p->fed += len;
    }
    return rc == 0 ? rill_stream_flush(in) : rc; /* Not the close's timeout, but ours. */
}

static int
feed(void *arg)
{
    talk *self = arg;
    rill_stream *in = self->process->streams[0];
    int rc = self->len != 0 ? feed_all(self, in) : 0;

    if (rc < 0 && !is_deaf(rc))
        return rc;
    rill_stream_close(in);
    return 0;
}

/* Nothing is taken before all of it has come: another output may fail yet. */
static int
read_output(talk *self, int fd)
{
    int64_t rc = rill_stream_peek(self->process->streams[fd], self->max + 1, &self->output[fd - 1]);

    if (rc < 0)
        return (int)rc;
    return (uint64_t)rc > self->max ? RILL_EOVERRUN : 0;
}

static int
read_out(void *arg)
{
    return read_output(arg, 1);
}

static int
read_err(void *arg)
{
    return read_output(arg, 2);
}

static int
talk_at_once(talk *self)
{
    static const rill_fn parts[3] = { feed, read_out, read_err };
    rill_group group;
    int rc = 0;

    rill_group_begin(&group);
    for (int fd = 0; fd < 3 && rc >= 0; fd++)
        if (self->process->streams[fd] != NULL)
            rc = rill_group_spawn(&group, parts[fd], self, NULL);
    return rill_group_end(&group, rc);
}

static int
talk_and_wait(talk *self)
{
    int rc = talk_at_once(self);

    return rc < 0 ? rc : rill_process_wait(self->process, NULL);
}

static int
talk_within(talk *self, rill_ns timeout)
{
    rill_scope limit;

    if (timeout == RILL_NEVER)
        return talk_and_wait(self);
    rill_timeout_begin(&limit, timeout);
    return rill_scope_end(&limit, talk_and_wait(self));
}

static void
take_output(const talk *self, int rc)
{
    rill_process *p = self->process;

    for (int fd = 1; fd < 3 && (rc == 0 || rc == RILL_EREAPED); fd++)
        if (p->streams[fd] != NULL)
            (void)rill_stream_consume(p->streams[fd], self->output[fd - 1].len);
}

int
rill_process_communicate(rill_process *process, const void *input, size_t len, size_t max,
    rill_ns timeout, rill_slice *ret_out, rill_slice *ret_err)
{
    talk self = { .process = process, .input = input, .len = len };
    int rc;

    RILL__REQUIRE(process != NULL && (input != NULL || len == 0) && max < INT64_MAX &&
                  (timeout >= 0 || timeout == RILL_NEVER));
    rc = may_wait(rill__current(), process, "rill_process_communicate");
    if (rc < 0)
        return rc;
    if (len != 0 && process->streams[0] == NULL)
        return RILL_EINVAL;
    if (process->talking)
        return RILL_EBUSY;
    self.max = max != 0 ? max : OUTPUT_MAX;
    process->refs++;
    process->talking = true;
    rc = talk_within(&self, timeout);
    process->talking = false;
    take_output(&self, rc);
    if ((rc == 0 || rc == RILL_EREAPED) && ret_out != NULL)
        *ret_out = self.output[0];
    if ((rc == 0 || rc == RILL_EREAPED) && ret_err != NULL)
        *ret_err = self.output[1];
    rill_process_unref(process);
    return rc;
}
