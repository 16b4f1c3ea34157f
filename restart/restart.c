/*
 * The old process's side of a restart: one attempt, from the spawn to its outcome.
 *
 * The first outcome counts. Success is READY alone; everything else ends the new process: it gets
 * a moment to end by itself where it is about to, then it is killed, and it is asked for by its pid
 * until it has ended. `done` runs when neither the channel nor a child is left, so a failure leaves
 * nothing behind. A deadline always runs while the new process has the word. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "restart/parcel.h"
#include "transports/server.h"

#define TIMEOUT        (30 * RILL_S)
#define GRACE          (1 * RILL_S)  /* For a process that has let go to end with its own code. */
#define GIVE_UP        (10 * RILL_S) /* A killed one that the kernel cannot end. */
#define REAP_PAUSE     (200 * RILL_US)
#define REAP_PAUSE_MAX (20 * RILL_MS)
#define READS_PER_TURN 8

typedef struct restart {
    rill__object object;
    rill_loop *loop;
    rill__io io;
    int channel;
    int pid; /* 0: reaped. */
    bool attached;
    bool closing; /* The io's close record is under way. */
    bool decided; /* The outcome is known. */
    bool killed;
    rill__parcel parcel;
    rill__own_timer deadline;
    rill__own_timer reap;
    rill_ns timeout;
    rill_ns kill_at;
    rill_ns pause;
    rill_restarted_fn done; /* NULL: canceled. */
    void *arg;
    rill_id id;
    int code;
    char text[300];
} restart;

static rill_ns
clock_of(const restart *r)
{
    return r->loop->ops->now(r->loop->driver);
}

/* ---- the end ---- */

static bool
is_handed_over(void *ctx, int fd)
{
    const restart *r = ctx;

    return rill__named_has(r->parcel.named, r->parcel.count, 0, fd);
}

static void
restart_free(restart *r)
{
    rill_loop *loop = r->loop;

    rill__timer_disarm(loop, &r->deadline);
    rill__timer_disarm(loop, &r->reap);
    rill__operation_end(loop, r->id);
    rill__parcel_close(&r->parcel);
    rill__parcel_free(&r->parcel, loop);
    rill__object_remove(loop, RILL__OBJECT_RESTART, &r->object);
    rill__free(loop, r, sizeof(*r), RILL_TAG_SERVER);
}

static void
finish(restart *r)
{
    rill_restarted_fn done = r->done;
    void *arg = r->arg;
    int pid = r->code == 0 ? r->pid : 0;
    rill_reason why = { .code = r->code,
        .layer = r->code == 0       ? RILL_LAYER_NONE
                 : r->code >= -4095 ? RILL_LAYER_SYSTEM
                                    : RILL_LAYER_LOOP,
        .native = r->code < 0 && r->code >= -4095 ? -r->code : 0 };
    char text[sizeof(r->text)];

    if (r->code == 0)
        rill__servers_own_paths(r->loop, false, is_handed_over, r);
    memcpy(text, r->text, sizeof(text));
    why.sentence = text;
    restart_free(r);
    if (done != NULL)
        done(arg, pid, &why);
}

static void
finish_if_over(restart *r)
{
    if (!r->attached && !r->closing && r->decided && (r->code == 0 || r->pid == 0))
        finish(r);
}

static void
on_close(rill__op *op)
{
    restart *r = RILL__CONTAINER(op, restart, io.close);

    r->attached = false;
    r->closing = false;
    rill__host_close(r->channel);
    r->channel = -1;
    finish_if_over(r);
}

/* How it ended, behind what is known already. */
static void
note_end(restart *r, int exit_code, int number)
{
    size_t len = strnlen(r->text, sizeof(r->text));

    if (r->killed || len >= sizeof(r->text))
        return;
    if (number != 0)
        snprintf(r->text + len, sizeof(r->text) - len, ": killed by SIG%s",
            rill__host_signal_name(number));
    else
        snprintf(r->text + len, sizeof(r->text) - len, ": exit code %d", exit_code);
}

static void
on_reap(rill__own_timer *timer)
{
    restart *r = RILL__CONTAINER(timer, restart, reap);
    rill_ns now = clock_of(r);
    rill__host_process process = { .pid = r->pid, .fd = -1 };
    int exit_code;
    int number;

    if (rill__host_process_ended(&process, &exit_code, &number)) {
        if (exit_code >= 0 || number != 0) /* Else somebody else has asked first. */
            note_end(r, exit_code, number);
        r->pid = 0;
        finish_if_over(r);
        return;
    }
    if (!r->killed && now >= r->kill_at) {
        rill__host_process_kill(&process);
        r->killed = true;
        r->pause = REAP_PAUSE;
    } else if (now >= r->kill_at + GIVE_UP) {
        rill__report(r->loop, RILL_ERROR_LEFTOVER, r->code, r->object.site, NULL, NULL,
            "process %d was killed %d s ago and has not ended", r->pid, (int)(GIVE_UP / RILL_S));
        r->pid = 0;
        finish_if_over(r);
        return;
    }
    rill__timer_arm(r->loop, &r->reap, now + r->pause);
    r->pause = r->pause * 2 < REAP_PAUSE_MAX ? r->pause * 2 : REAP_PAUSE_MAX;
}

/* The outcome, unless there is one. `grace`: how long the new process may take to end by itself. */
static void RILL_PRINTF(4, 5) decide(restart *r, int code, rill_ns grace, const char *format, ...)
{
    va_list args;

    if (r->decided)
        return;
    r->decided = true;
    r->code = code;
    va_start(args, format);
    vsnprintf(r->text, sizeof(r->text), format, args);
    va_end(args);
    rill__timer_disarm(r->loop, &r->deadline);
    rill__parcel_close(&r->parcel);
    if (code < 0) {
        r->kill_at = clock_of(r) + grace;
        r->pause = REAP_PAUSE;
        rill__timer_arm(r->loop, &r->reap, clock_of(r));
    }
    r->closing = true;
    r->loop->ops->close_io(r->loop->driver, &r->io, false);
}

static void
on_deadline(rill__own_timer *timer)
{
    restart *r = RILL__CONTAINER(timer, restart, deadline);

    decide(r, RILL_ETIMEDOUT, 0, "the new process was not ready within %lld ms, and was killed",
        (long long)(r->timeout / RILL_MS));
}

/* ---- the channel ---- */

static void
send_more(restart *r)
{
    rill_loop *loop = r->loop;
    int rc = rill__parcel_send(&r->parcel, r->channel, r->pid);

    /* Who does not take any more may have said why: that, or the end, is there to be read. */
    if (rc >= 0 || rc == -EPIPE || rc == -ECONNRESET)
        rc = loop->ops->poll_set(loop->driver, &r->io, true, rc == 0);
    if (rc < 0)
        decide(
            r, rc, 0, "the descriptors cannot be sent to the new process: %s", rill_strerror(rc));
}

static void
on_message(restart *r, const rill__message *message)
{
    bool complete = r->parcel.greeted && r->parcel.sent == r->parcel.count;

    if (message->kind == RILL__MESSAGE_READY && complete)
        decide(r, 0, 0, "process %d is ready", r->pid);
    else if (message->kind == RILL__MESSAGE_REFUSED && message->count > 0 &&
             message->count < (uint32_t)-RILL_EUSER)
        decide(r, -(int)message->count, GRACE, "the new process gave up (%s)",
            rill_strerror(-(int)message->count));
    else
        decide(r, RILL_EPROTOCOL, 0, "the new process sent a message out of place, and was killed");
}

/* Returns false when there is nothing more to read. */
static bool
read_message(restart *r)
{
    rill__message message;
    char bytes[64];
    int fds[RILL__CHANNEL_FDS];
    size_t fds_count;
    int64_t len = rill__host_receive(r->channel, bytes, sizeof(bytes), fds, &fds_count);
    int rc;

    for (size_t i = 0; i < fds_count; i++)
        rill__host_close(fds[i]); /* Nobody asked for them. */
    if (len == -EAGAIN)
        return false;
    if (len == 0) {
        decide(r, RILL_ENOTREADY, GRACE, "the new process let go before it was ready");
        return false;
    }
    rc = len > 0 && fds_count == 0 ? rill__message_check(bytes, len, &message) : RILL_EPROTOCOL;
    if (rc == RILL_EVERSION)
        decide(r, rc, GRACE,
            "the new process speaks version %d of the restart protocol, this one %d",
            message.version, RILL__RESTART_VERSION);
    else if (rc < 0)
        decide(r, rc, 0, "the new process sent something that is no message, and was killed");
    else
        on_message(r, &message);
    return !r->decided;
}

static void
on_recv(rill__op *op)
{
    restart *r = RILL__CONTAINER(op, restart, io.recv);

    for (int i = 0; i < READS_PER_TURN && !r->decided && read_message(r); i++)
        continue;
}

static void
on_send(rill__op *op)
{
    restart *r = RILL__CONTAINER(op, restart, io.send);

    if (!r->decided)
        send_more(r);
}

/* ---- from outside ---- */

/* Also when it is ready already and `done` is about to run: then it has to end all the same. */
static void
revoke(restart *r, int code, const char *sentence)
{
    if (r->decided && r->code < 0)
        return;
    if (!r->decided) {
        decide(r, code, 0, "%s", sentence);
        return;
    }
    r->code = code;
    snprintf(r->text, sizeof(r->text), "%s", sentence);
    r->kill_at = clock_of(r);
    r->pause = REAP_PAUSE;
    rill__timer_arm(r->loop, &r->reap, r->kill_at);
}

static bool
restart_cancel(void *object)
{
    restart *r = object;
    bool pending = r->done != NULL;

    r->done = NULL;
    revoke(r, RILL_ECANCELED, "canceled");
    return pending;
}

static void
restart_end(rill__object *object)
{
    revoke(RILL__CONTAINER(object, restart, object), RILL_ELOOPFREED,
        "the loop was freed, and the new process killed");
}

static void
restart_describe(const rill__object *object, char *buf, size_t size)
{
    const restart *r = RILL__CONTAINER(object, restart, object);

    snprintf(buf, size, "<restart, process %d, %zu of %zu descriptors sent>", r->pid,
        r->parcel.sent, r->parcel.count);
}

static const rill__object_ops restart_object_ops = { .end = restart_end,
    .describe = restart_describe };

/* ---- beginning ---- */

static int
check_options(rill_loop *loop, const rill_restart_options *o, rill_restarted_fn done)
{
    const char *what = NULL;

    if (done == NULL)
        what = "done is needed";
    else if (o->argv == NULL || o->argv[0] == NULL)
        what = "argv is needed";
    else if (o->timeout < 0)
        what = "the timeout is negative";
    else if (o->items_count > 0 && o->items == NULL)
        what = "there are no items";
    if (what != NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "restart: %s", what);
    if (loop->freeing)
        return rill__fail_call(loop, RILL_ECLOSED, "restart");
    if (loop->sys->public_fd(loop->driver, 0) == RILL_ENOTSUP)
        return rill__fail(
            loop, RILL_ENOTSUP, RILL_LAYER_LOOP, "the simulator has no processes to start");
    if (loop->object_count[RILL__OBJECT_RESTART] > 0)
        return rill__fail(
            loop, RILL_EBUSY, RILL_LAYER_LOOP, "a restart of this loop is under way already");
    return 0;
}

/* Ours to say: none of these was meant for the new process. */
static bool
is_own_variable(const char *entry)
{
    static const char *const names[] = { RILL__RESTART_VARIABLE "=",
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

static int
spawn(restart *r, const rill_restart_options *o, int keep_fd)
{
    char *const *env = o->env != NULL ? (char *const *)(uintptr_t)o->env : rill__host_environment();
    const char *file = o->file != NULL ? o->file : o->argv[0];
    char variable[64];
    size_t count = 0;
    size_t kept = 0;
    char **copy;
    int rc;

    while (env != NULL && env[count] != NULL)
        count++;
    copy = rill__alloc(r->loop, (count + 2) * sizeof(*copy), RILL_TAG_SERVER);
    if (copy == NULL)
        return rill__fail_call(r->loop, -ENOMEM, "restart");
    for (size_t i = 0; i < count; i++) {
        if (!is_own_variable(env[i]))
            copy[kept++] = env[i];
    }
    snprintf(variable, sizeof(variable), RILL__RESTART_VARIABLE "=%d:%d", keep_fd,
        (int)rill__host_process_id());
    copy[kept++] = variable;
    copy[kept] = NULL;
    rc = rill__host_spawn(
        r->loop->driver, file, (char *const *)(uintptr_t)o->argv, copy, keep_fd, &r->pid);
    rill__free(r->loop, copy, (count + 2) * sizeof(*copy), RILL_TAG_SERVER);
    if (rc < 0)
        return rill__fail(r->loop, rc, RILL_LAYER_SYSTEM, "\"%s\" cannot be executed: %s", file,
            rill_strerror(rc));
    return 0;
}

static int
open_channel(restart *r, int *ret_other)
{
    rill_loop *loop = r->loop;
    int ends[2];
    int rc = rill__host_channel(ends);

    if (rc < 0)
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM,
            "no channel to a new process can be made: %s", rill_strerror(rc));
    r->io.recv.fn = on_recv;
    r->io.send.fn = on_send;
    r->io.close.fn = on_close;
    rc = loop->ops->attach(loop->driver, &r->io, ends[0], RILL__IO_POLL);
    if (rc == 0) {
        rc = loop->ops->poll_set(loop->driver, &r->io, true, false);
        if (rc < 0)
            (void)loop->ops->detach(loop->driver, &r->io);
    }
    if (rc < 0) {
        rill__host_close(ends[0]);
        rill__host_close(ends[1]);
        return rill__fail(loop, rc, RILL_LAYER_SYSTEM,
            "the channel to a new process cannot be watched: %s", rill_strerror(rc));
    }
    r->channel = ends[0];
    r->attached = true;
    *ret_other = ends[1];
    return 0;
}

/* Everything that can fail, with what it leaves undone again. */
static int
prepare(restart *r, const rill_restart_options *o)
{
    rill_loop *loop = r->loop;
    int other = -1;
    int rc = rill__parcel_pack(&r->parcel, loop, o->items, o->items_count);

    if (rc < 0)
        return rc;
    rc = rill__operation_new(loop, restart_cancel, r, &r->id);
    if (rc < 0) {
        (void)rill__fail_call(loop, rc, "restart");
        goto fail_parcel;
    }
    rc = open_channel(r, &other);
    if (rc < 0)
        goto fail_operation;
    rc = spawn(r, o, other);
    rill__host_close(other);
    if (rc == 0)
        return 0;
    (void)loop->ops->detach(loop->driver, &r->io);
    rill__host_close(r->channel);
fail_operation:
    rill__operation_end(loop, r->id);
fail_parcel:
    rill__parcel_close(&r->parcel);
    rill__parcel_free(&r->parcel, loop);
    return rc;
}

int
rill_restart_start_site(rill_loop *loop, const rill_restart_options *options,
    rill_restarted_fn done, void *arg, const char *site, rill_id *ret_id)
{
    rill_restart_options o;
    restart *r;
    int rc;

    RILL__REQUIRE(loop != NULL);
    rill__check_thread(loop, "rill_restart_start");
    if (loop->fork_generation != rill__fork_generation)
        return RILL_EFORK;
    if (options == NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP, "restart: no options");
    rc = rill__options_copy(loop, "rill_restart_options", options, options->size, &o, sizeof(o));
    if (rc < 0 || (rc = check_options(loop, &o, done)) < 0)
        return rc;
    r = rill__alloc_zeroed(loop, sizeof(*r), RILL_TAG_SERVER);
    if (r == NULL)
        return rill__fail_call(loop, -ENOMEM, "restart");
    r->loop = loop;
    r->channel = -1;
    r->done = done;
    r->arg = arg;
    r->timeout = o.timeout != 0 ? o.timeout : TIMEOUT;
    r->deadline.fn = on_deadline;
    r->reap.fn = on_reap;
    rc = prepare(r, &o);
    if (rc < 0) {
        rill__free(loop, r, sizeof(*r), RILL_TAG_SERVER);
        return rc;
    }
    rill__object_add(loop, RILL__OBJECT_RESTART, &restart_object_ops, &r->object, site);
    rill__timer_arm(loop, &r->deadline, rill__timeout_end(clock_of(r), r->timeout));
    if (ret_id != NULL)
        *ret_id = r->id;
    send_more(r);
    return 0;
}
