/*
 * Simulated children: programs by name, and processes that run them.
 *
 * A program is functions of the test's, called by events: when a process begins or has something to
 * look at, when a signal arrives. A process ends by its own word or by a signal; its parent's
 * record follows at the same instant, and it stays a zombie until the parent has asked. One that
 * its parent has let go of is freed at its end. The world's thread only.
 */
#include <signal.h>

#include "core/driver/child.h"
#include "core/driver/sim/internal.h"

#define FIRST_PID      1000
#define EVENTS_OF_ONE  3
#define SIGNALS        64
#define KILLED_LATEST  (50 * RILL_MS)
#define HOLDS_LONGEST  (5 * RILL_S)
#define TEXT_BYTES_MAX ((size_t)1024 * 1024)

typedef struct sim_program {
    rill__link link;
    sim_host *host;
    rill_sim_program calls;
    void *arg;
    char name[];
} sim_program;

struct rill_sim_process {
    rill_sim *sim;
    sim_host *host;
    rill__link all;
    uint64_t number;
    const sim_program *program;
    sim_driver *driver; /* Of the parent; NULL when it was let go. */
    rill__child *child;
    sim_socket *streams[3]; /* Its ends of pipes; NULL: as /dev/null, or closed. */
    sim_event step;
    sim_event alarm;
    sim_event end;
    uint64_t signals; /* Pending, a bit each. */
    int status;       /* Once `end` is scheduled. */
    bool begun;
    bool ended;
    void *data;
    size_t argc;
    size_t bytes; /* Of this piece of memory. */
    uint32_t uses[RILL_SIM_FAULT_COUNT];
    const char *argv[]; /* And their text behind the NULL. */
};

static bool
fault(rill_sim_process *p, rill_sim_fault kind)
{
    return rill__sim_fault(p->sim, kind, p->host, p->number, &p->uses[kind]);
}

static void
trace(const rill_sim_process *p, enum sim_verb verb, uint64_t value)
{
    rill__sim_trace(p->sim, p->host, SIM_OBJECT_PROCESS, p->number, verb, value, 0);
}

/* ---- life ---- */

static void
close_stream(rill_sim_process *p, int fd)
{
    sim_socket *stream = p->streams[fd];

    p->streams[fd] = NULL;
    for (int other = 0; other < 3; other++)
        if (stream == NULL || p->streams[other] == stream)
            return; /* stderr is stdout. */
    stream->process = NULL;
    rill__sim_socket_close(stream, false);
}

static void
close_streams(rill_sim_process *p)
{
    for (int fd = 0; fd < 3; fd++)
        close_stream(p, fd);
}

/* What it has started in its turn has its pipes, and lives on. */
static bool
is_survived(const rill_sim_process *p)
{
    return p->streams[0] != NULL || p->streams[1] != NULL || p->streams[2] != NULL;
}

static void
tell_end(rill_sim_process *p)
{
    p->ended = true;
    if (p->program->calls.ended != NULL)
        p->program->calls.ended(p, p->program->arg);
}

static void
process_free(rill_sim_process *p)
{
    if (!p->ended)
        tell_end(p); /* With the world. */
    close_streams(p);
    rill__sim_unschedule(p->sim, &p->step);
    rill__sim_unschedule(p->sim, &p->alarm);
    rill__sim_unschedule(p->sim, &p->end);
    rill__sim_unreserve(p->sim, EVENTS_OF_ONE);
    rill__list_remove(&p->all);
    rill__sim_dealloc(p->sim, p, p->bytes);
}

static void
free_if_unused(rill_sim_process *p)
{
    if (p->ended && p->child == NULL && !is_survived(p))
        process_free(p);
}

static void
end_now(rill_sim *sim, sim_event *event)
{
    rill_sim_process *p = RILL__CONTAINER(event, rill_sim_process, end);

    (void)sim;
    rill__sim_unschedule(p->sim, &p->step);
    rill__sim_unschedule(p->sim, &p->alarm);
    trace(p, SIM_EXIT, (uint64_t)(uint32_t)p->status);
    tell_end(p);
    if (is_survived(p) && fault(p, RILL_SIM_FAULT_CHILD_HOLDS))
        rill__sim_schedule(p->sim, &p->alarm,
            p->sim->now + (rill_ns)rill__sim_small_value(p->sim, RILL_SIM_FAULT_CHILD_HOLDS,
                              p->number, &p->uses[RILL_SIM_FAULT_CHILD_HOLDS],
                              (uint64_t)HOLDS_LONGEST));
    else
        close_streams(p);
    if (p->child != NULL && p->child->watched) {
        rill__loop_push_op(p->driver->base.loop, &p->child->io.recv);
        atomic_store(&p->driver->woken, true);
    }
    free_if_unused(p);
}

static void
end_at(rill_sim_process *p, int status, rill_ns at)
{
    p->status = status;
    rill__sim_schedule(p->sim, &p->end, at);
}

/* By its own word, or by a signal. */
static bool
is_ending(const rill_sim_process *p)
{
    return rill__sim_scheduled(&p->end);
}

static bool
is_harmless(int signo)
{
    return signo == SIGCHLD || signo == SIGCONT || signo == SIGURG || signo == SIGWINCH ||
           signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

static void
deliver(rill_sim_process *p, int signo)
{
    const rill_sim_program *calls = &p->program->calls;

    trace(p, SIM_SIGNAL, (uint64_t)signo);
    if (signo != SIGKILL && p->begun && calls->signaled != NULL &&
        calls->signaled(p, signo, p->program->arg))
        return;
    if (signo == SIGTERM && fault(p, RILL_SIM_FAULT_CHILD_DEAF))
        return;
    if (!is_harmless(signo))
        end_at(p, -signo, p->sim->now);
}

static void
step(rill_sim *sim, sim_event *event)
{
    rill_sim_process *p = RILL__CONTAINER(event, rill_sim_process, step);

    (void)sim;
    for (int signo = 1; signo <= SIGNALS && p->signals != 0; signo++) {
        uint64_t bit = UINT64_C(1) << (signo - 1);

        if ((p->signals & bit) == 0)
            continue;
        p->signals &= ~bit;
        deliver(p, signo);
    }
    if (is_ending(p))
        return;
    p->begun = true;
    if (p->program->calls.run != NULL)
        p->program->calls.run(p, p->program->arg);
}

void
rill__sim_process_notify(rill_sim_process *process)
{
    if (!process->ended)
        rill__sim_schedule(process->sim, &process->step, process->sim->now);
}

/* What it waited for has happened. */
static void
alarmed(rill_sim *sim, sim_event *event)
{
    rill_sim_process *p = RILL__CONTAINER(event, rill_sim_process, alarm);

    if (!p->ended) {
        rill__sim_schedule(sim, &p->step, sim->now);
        return;
    }
    close_streams(p);
    free_if_unused(p);
}

static size_t
text_bytes(char *const *argv, size_t *ret_argc)
{
    size_t bytes = 0;

    for (*ret_argc = 0; argv[*ret_argc] != NULL; (*ret_argc)++)
        bytes += strlen(argv[*ret_argc]) + 1;
    return bytes;
}

static rill_sim_process *
process_new(sim_host *host, const sim_program *program, char *const *argv)
{
    rill_sim *sim = host->sim;
    size_t argc;
    size_t text = text_bytes(argv, &argc);
    size_t head = sizeof(rill_sim_process) + (argc + 1) * sizeof(char *);
    rill_sim_process *p;
    char *at;

    if (text > TEXT_BYTES_MAX)
        return NULL;
    p = rill__sim_alloc(sim, head + text);
    if (p == NULL)
        return NULL;
    if (rill__sim_reserve(sim, EVENTS_OF_ONE) < 0) {
        rill__sim_dealloc(sim, p, head + text);
        return NULL;
    }
    at = (char *)p + head;
    for (size_t i = 0; i < argc; i++) {
        size_t len = strlen(argv[i]) + 1;

        memcpy(at, argv[i], len);
        p->argv[i] = at;
        at += len;
    }
    p->sim = sim;
    p->host = host;
    p->program = program;
    p->argc = argc;
    p->bytes = head + text;
    p->number = ++sim->process_numbers;
    p->step.fn = step;
    p->alarm.fn = alarmed;
    p->end.fn = end_now;
    rill__list_append(&sim->processes, &p->all);
    return p;
}

static const sim_program *
program_of(const sim_host *host, const char *name)
{
    const rill_sim *sim = host->sim;

    for (rill__link *link = sim->programs.next; link != &sim->programs; link = link->next) {
        const sim_program *program = RILL__CONTAINER(link, sim_program, link);

        if (program->host == host && strcmp(program->name, name) == 0)
            return program;
    }
    return NULL;
}

/* ---- the driver's part ---- */

/* The parent's descriptor is gone: it would close it anyway. */
static void
take_streams(rill_sim_process *p, const rill__spawn *spec)
{
    for (int fd = 0; fd < 3; fd++) {
        if (spec->stdio[fd] == RILL__STDIO_MERGE) {
            p->streams[fd] = p->streams[1];
            continue;
        }
        p->streams[fd] = rill__sim_socket_of(p->sim, spec->stdio[fd]);
        if (p->streams[fd] == NULL)
            continue;
        p->streams[fd]->process = p;
        rill__sim_socket_close_descriptor(p->streams[fd]);
    }
}

static int
spawn_fault(sim_host *host)
{
    static const struct {
        rill_sim_fault kind;
        int error;
    } faults[] = {
        { RILL_SIM_FAULT_SPAWN_EAGAIN, EAGAIN },
        { RILL_SIM_FAULT_SPAWN_ENOMEM, ENOMEM },
        { RILL_SIM_FAULT_SPAWN_EMFILE, EMFILE },
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (rill__sim_fault(
                host->sim, faults[i].kind, host, host->number, &host->uses[faults[i].kind]))
            return -faults[i].error;
    return rill__sim_descriptors_left(host) ? 0 : -EMFILE;
}

static int
sim_spawn(rill__driver *driver, rill__spawn *spec, rill__child *child)
{
    sim_driver *self = (sim_driver *)driver;
    const sim_program *program;
    rill_sim_process *p;
    int rc = spawn_fault(self->host);

    spec->step = RILL__SPAWN_FORK;
    if (rc < 0)
        return rc;
    spec->step = RILL__SPAWN_EXECUTE;
    program = program_of(self->host, spec->file);
    if (program == NULL || program->calls.exec_error != 0)
        return program == NULL ? -ENOENT : -program->calls.exec_error;
    p = process_new(self->host, program, spec->argv);
    if (p == NULL)
        return -ENOMEM;
    p->driver = self;
    p->child = child;
    take_streams(p, spec);
    self->host->descriptors++;
    child->pid = FIRST_PID + (int64_t)p->number;
    child->driver_data = p;
    child->io.recv.active = true;
    child->watched = !fault(p, RILL_SIM_FAULT_CHILD_UNWATCHED);
    trace(p, SIM_SPAWN, (uint64_t)child->pid);
    rill__sim_schedule(self->sim, &p->step, self->sim->now);
    if (fault(p, RILL_SIM_FAULT_CHILD_KILLED))
        end_at(p, -SIGKILL,
            self->sim->now + (rill_ns)rill__sim_small_value(self->sim, RILL_SIM_FAULT_CHILD_KILLED,
                                 p->number, &p->uses[RILL_SIM_FAULT_CHILD_KILLED],
                                 (uint64_t)KILLED_LATEST));
    return 0;
}

static int
sim_status(rill__driver *driver, rill__child *child, int *ret_status)
{
    const rill_sim_process *p = child->driver_data;

    (void)driver;
    rill__sim_check(p->sim, !child->ended);
    if (!p->ended)
        return -EAGAIN;
    child->ended = true;
    *ret_status = p->status;
    return 0;
}

static int
sim_signal(rill__driver *driver, rill__child *child, int signo)
{
    rill_sim_process *p = child->driver_data;

    (void)driver;
    if (signo < 0 || signo > SIGNALS)
        return -EINVAL;
    if (child->ended)
        return -ESRCH;
    if (p->ended || signo == 0)
        return 0; /* A zombie takes them all. */
    p->signals |= UINT64_C(1) << (signo - 1);
    rill__sim_schedule(p->sim, &p->step, p->sim->now);
    return 0;
}

static void
sim_release(rill__driver *driver, rill__child *child)
{
    rill_sim_process *p = child->driver_data;

    child->driver_data = NULL;
    rill__io_silence(&child->io);
    p->host->descriptors--;
    p->child = NULL;
    p->driver = NULL;
    free_if_unused(p);
    rill__loop_push_op(driver->loop, &child->io.close);
}

const rill__processes_ops rill__processes_sim = {
    .spawn = sim_spawn,
    .status = sim_status,
    .signal = sim_signal,
    .release = sim_release,
};

/* ---- public ---- */

int
rill_sim_program_add(
    rill_sim *sim, const char *host, const char *name, const rill_sim_program *program, void *arg)
{
    sim_program *self;
    sim_host *on;

    RILL__REQUIRE(sim != NULL && name != NULL && name[0] != '\0' && program != NULL);
    on = rill__sim_host_find(sim, host);
    if (on == NULL || program->size != sizeof(*program) || program->exec_error < 0 ||
        program->exec_error > 4095)
        return RILL_EINVAL;
    if (program_of(on, name) != NULL)
        return -EEXIST;
    self = rill__sim_alloc(sim, sizeof(*self) + strlen(name) + 1);
    if (self == NULL)
        return -ENOMEM;
    self->host = on;
    self->calls = *program;
    self->arg = arg;
    memcpy(self->name, name, strlen(name) + 1);
    rill__list_append(&sim->programs, &self->link);
    return 0;
}

const char *const *
rill_sim_process_argv(const rill_sim_process *process)
{
    return process->argv;
}

int64_t
rill_sim_process_pid(const rill_sim_process *process)
{
    return FIRST_PID + (int64_t)process->number;
}

void
rill_sim_process_set_data(rill_sim_process *process, void *data)
{
    process->data = data;
}

void *
rill_sim_process_data(const rill_sim_process *process)
{
    return process->data;
}

void
rill_sim_process_exit(rill_sim_process *process, int status, rill_ns delay)
{
    if (!is_ending(process) || process->status >= 0) /* Else a signal was faster. */
        end_at(process, status & 0xff, process->sim->now + (delay > 0 ? delay : 0));
}

void
rill_sim_process_sleep(rill_sim_process *process, rill_ns delay)
{
    rill__sim_schedule(process->sim, &process->alarm, process->sim->now + (delay > 0 ? delay : 0));
}

int64_t
rill_sim_process_read(rill_sim_process *process, void *buf, size_t size)
{
    RILL__REQUIRE(process != NULL && (buf != NULL || size == 0));
    if (process->streams[0] == NULL || size == 0)
        return 0;
    return rill__sim_recv(process->streams[0], buf, size);
}

int64_t
rill_sim_process_write(rill_sim_process *process, int fd, const void *data, size_t len)
{
    RILL__REQUIRE(process != NULL && (data != NULL || len == 0));
    if (fd != 1 && fd != 2)
        return -EBADF;
    if (process->streams[fd] == NULL || len == 0)
        return (int64_t)len;
    return rill__sim_send(process->streams[fd], data, len);
}

void
rill_sim_process_close(rill_sim_process *process, int fd)
{
    if (fd >= 0 && fd < 3)
        close_stream(process, fd);
}

size_t
rill_sim_processes(const rill_sim *sim, const char *host)
{
    const sim_host *on = rill__sim_host_find(sim, host);
    size_t count = 0;

    for (rill__link *link = sim->processes.next; link != &sim->processes; link = link->next) {
        const rill_sim_process *p = RILL__CONTAINER(link, rill_sim_process, all);

        count += p->host == on && !(p->ended && p->child == NULL);
    }
    return count;
}

size_t
rill__sim_watched_children(const rill_sim *sim)
{
    size_t count = 0;

    for (rill__link *link = sim->processes.next; link != &sim->processes; link = link->next)
        count += RILL__CONTAINER(link, rill_sim_process, all)->child != NULL;
    return count;
}

/* ---- the world's end ---- */

void
rill__sim_processes_done(rill_sim *sim)
{
    while (!rill__list_empty(&sim->processes))
        process_free(RILL__CONTAINER(sim->processes.next, rill_sim_process, all));
    while (!rill__list_empty(&sim->programs)) {
        sim_program *program = RILL__CONTAINER(sim->programs.next, sim_program, link);

        rill__list_remove(&program->link);
        rill__sim_dealloc(sim, program, sizeof(*program) + strlen(program->name) + 1);
    }
}
