/*
 * One round of one workload: a fresh server and load generator for every contestant, which then
 * take turns in short slices, so that what slows the machine down for a second slows all of them.
 * Whoever is not having its turn is at rest and costs nothing. Fresh processes each round, so that
 * the luck of one memory layout does not decide a whole run. The children die with this process.
 *
 * One thread. Every child that is started here is reaped here, on each path.
 */
#define _GNU_SOURCE
#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    REALTIME_PRIORITY = 10,
    PORT_FIRST = 20000, /* Below the range that outgoing connections draw from. */
    PORT_COUNT = 10000,
    STOP_MS = 2000,
    LINE_BYTES = 512,
    ANSWER_MS = 120000
};

struct load {
    pid_t pid;
    int in;  /* Its stdin. */
    int out; /* Its stdout. */
};

struct session {
    const struct contestant *contestant;
    const struct workload *workload;
    pid_t server;
    struct load load;
    bool alive;
    char where[128]; /* The port or the path. */
};

static void
complain(const struct session *session, const char *what)
{
    fprintf(
        stderr, "compare: %s, %s: %s\n", session->workload->name, session->contestant->name, what);
}

/* In the child: pinned, in the class that was asked for, mortal. */
static void
child_prepare(const struct run *run, int core)
{
    struct sched_param param = { .sched_priority = REALTIME_PRIORITY };
    cpu_set_t cores;

    (void)signal(SIGPIPE, SIG_DFL);         /* We ignore it; what we measure must not. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* Only tidiness: it cannot fail with a signal. */
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof(cores), &cores) < 0) {
        perror("compare: sched_setaffinity");
        _exit(127);
    }
    if (run->realtime && sched_setscheduler(0, SCHED_RR, &param) < 0) {
        perror("compare: sched_setscheduler");
        _exit(127);
    }
}

static pid_t
server_start(const struct run *run, const struct contestant *contestant,
    const struct workload *workload, const char *where)
{
    char path[4096];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    child_prepare(run, run->server_core);
    if (contestant->variable != NULL)
        (void)setenv(contestant->variable, contestant->value, 1);
    (void)snprintf(path, sizeof(path), "%s/%s", run->directory, contestant->binary);
    execl(path, contestant->binary, workload->is_unix ? "unix" : "tcp", where, (char *)NULL);
    perror(path);
    _exit(127);
}

static void
server_stop(pid_t pid)
{
    struct timespec pause = { .tv_nsec = 1000000 };

    (void)kill(pid, SIGTERM); /* It may have died already. */
    for (int i = 0; i < STOP_MS; i++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void
load_exec(const struct run *run, const struct workload *workload, const char *where, pid_t server)
{
    char path[4096];
    char seconds[32];
    char warm[32];
    char pid[32];

    (void)snprintf(path, sizeof(path), "%s/load", run->directory);
    (void)snprintf(seconds, sizeof(seconds), "%g", run->seconds / (double)run->slices);
    (void)snprintf(warm, sizeof(warm), "%g", run->warm_s);
    (void)snprintf(pid, sizeof(pid), "%d", (int)server);
    execl(path, "load", workload->name, where, "--seconds", seconds, "--warm", warm, "--pid", pid,
        "--slices", "1", (char *)NULL);
    perror(path);
    _exit(127);
}

static bool
load_start(const struct run *run, const struct workload *workload, const char *where, pid_t server,
    struct load *ret)
{
    int in[2];
    int out[2];
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return false;
    if (pipe2(out, O_CLOEXEC) < 0)
        goto fail_in;
    pid = fork();
    if (pid < 0)
        goto fail_out;
    if (pid == 0) {
        if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
            _exit(127);
        child_prepare(run, run->load_core);
        load_exec(run, workload, where, server);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *ret = (struct load){ .pid = pid, .in = in[1], .out = out[0] };
    return true;

fail_out:
    (void)close(out[0]);
    (void)close(out[1]);
fail_in:
    (void)close(in[0]);
    (void)close(in[1]);
    return false;
}

/* The next line of the load generator, without its newline; false at its end. */
static bool
load_line(const struct load *load, char line[LINE_BYTES])
{
    size_t len = 0;

    while (len + 1 < LINE_BYTES) {
        struct pollfd readable = { .fd = load->out, .events = POLLIN };

        if (poll(&readable, 1, ANSWER_MS) <= 0 || read(load->out, line + len, 1) != 1)
            return false;
        if (line[len] == '\n') {
            line[len] = '\0';
            return true;
        }
        len++;
    }
    return false;
}

static bool
load_finish(const struct load *load, bool ended_well)
{
    int status = 0;

    (void)close(load->out);
    if (!ended_well)
        (void)kill(load->pid, SIGKILL);
    return waitpid(load->pid, &status, 0) == load->pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool
number_take(const char *line, const char *key, uint64_t *ret)
{
    const char *at = strstr(line, key);

    if (at == NULL)
        return false;
    *ret = strtoull(at + strlen(key), NULL, 10);
    return true;
}

/* Every key has a leading space, so that ns= is not found in cpu_ns=. */
static bool
cell_parse(const char *line, struct cell *cell)
{
    char padded[LINE_BYTES + 1];

    (void)snprintf(padded, sizeof(padded), " %s", line);
    return number_take(padded, " ops=", &cell->ops) && number_take(padded, " ns=", &cell->ns) &&
           number_take(padded, " cpu_ns=", &cell->cpu_ns) &&
           number_take(padded, " p50=", &cell->p50_ns) &&
           number_take(padded, " p99=", &cell->p99_ns) &&
           number_take(padded, " p999=", &cell->p999_ns) && cell->ops > 0 && cell->ns > 0 &&
           cell->cpu_ns > 0;
}

static bool
pss_read(pid_t pid, uint64_t *ret_kib)
{
    char path[64];
    char line[256];
    bool found = false;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = number_take(line, "Pss:", ret_kib);
    (void)fclose(file);
    return found;
}

static bool
load_tells(const struct load *load, const char *what)
{
    char line[LINE_BYTES];

    return load_line(load, line) && strcmp(line, what) == 0;
}

static bool
load_go(const struct load *load)
{
    return write(load->in, "\n", 1) == 1;
}

static bool
idle_measure(const struct session *session, struct cell *cell)
{
    const struct load *load = &session->load;
    uint64_t before_kib;
    uint64_t after_kib;

    if (!load_tells(load, "probed") || !pss_read(session->server, &before_kib) || !load_go(load) ||
        !load_tells(load, "ready") || !pss_read(session->server, &after_kib))
        return false;
    cell->idle_bytes =
        ((double)after_kib - (double)before_kib) * 1024.0 / (double)session->workload->connections;
    return true;
}

static int
port_choose(void)
{
    static unsigned next;

    for (int i = 0; i < PORT_COUNT; i++) {
        int port = PORT_FIRST + (int)(((unsigned)getpid() * 97 + next++) % PORT_COUNT);
        struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free;

        addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        is_free = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
        if (fd >= 0)
            (void)close(fd);
        if (is_free)
            return port;
    }
    return -1;
}

static void
session_start(const struct run *run, const struct contestant *contestant,
    const struct workload *workload, struct session *ret)
{
    *ret = (struct session){ .contestant = contestant, .workload = workload };
    if (workload->is_unix) {
        (void)snprintf(ret->where, sizeof(ret->where), "%s/%s", run->scratch, contestant->name);
    } else {
        (void)snprintf(ret->where, sizeof(ret->where), "%d", port_choose());
    }
    ret->server = server_start(run, contestant, workload, ret->where);
    if (ret->server < 0) {
        complain(ret, "no process for the server");
        return;
    }
    if (!load_start(run, workload, ret->where, ret->server, &ret->load)) {
        complain(ret, "no process for the load generator");
        server_stop(ret->server);
        return;
    }
    ret->alive = true;
}

/* The rest of a session; fills in `ret` when all of it went well. */
static void
session_finish(struct session *session, bool ok, struct cell *ret)
{
    struct cell cell = *ret;
    char line[LINE_BYTES];

    (void)close(session->load.in); /* Asks for the sums. */
    if (session->workload->mode != WORKLOAD_IDLE)
        ok = ok && load_line(&session->load, line) && cell_parse(line, &cell);
    ok = load_finish(&session->load, ok) && ok;
    server_stop(session->server);
    if (session->workload->is_unix)
        (void)unlink(session->where); /* The server may have done it. */
    session->alive = false;
    if (!ok) {
        complain(session, "not measured");
        return;
    }
    *ret = cell;
    ret->valid = true;
}

static void
idle_round(
    const struct run *run, const struct workload *workload, size_t contestant, struct cell *ret)
{
    struct session session;

    session_start(run, run->contestants[contestant], workload, &session);
    if (session.alive)
        session_finish(&session, idle_measure(&session, ret), ret);
}

static void
slice(struct session *session, struct cell *cell)
{
    if (session->alive && !(load_go(&session->load) && load_tells(&session->load, "done")))
        session_finish(session, false, cell);
}

void
round_measure(const struct run *run, size_t workload_index, size_t round)
{
    const struct workload *workload = &run->workloads[workload_index];
    struct session sessions[CONTESTANTS_MAX];

    for (size_t i = 0; i < run->contestant_count; i++) {
        size_t c = (i + round) % run->contestant_count;
        struct cell *cell = run_cell(run, workload_index, c, round);

        if (workload->mode == WORKLOAD_IDLE) {
            idle_round(run, workload, c, cell);
            continue;
        }
        session_start(run, run->contestants[c], workload, &sessions[c]);
        if (sessions[c].alive && !load_tells(&sessions[c].load, "ready"))
            session_finish(&sessions[c], false, cell);
    }
    if (workload->mode == WORKLOAD_IDLE)
        return;
    for (size_t s = 0; s < run->slices; s++)
        for (size_t i = 0; i < run->contestant_count; i++) {
            size_t c = (i + round + s) % run->contestant_count;

            slice(&sessions[c], run_cell(run, workload_index, c, round));
        }
    for (size_t c = 0; c < run->contestant_count; c++)
        if (sessions[c].alive)
            session_finish(&sessions[c], true, run_cell(run, workload_index, c, round));
}
