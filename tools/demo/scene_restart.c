/*
 * Restart under load: an echo server replaces its own process three times while clients connect
 * without a pause; not one connection may fail. Each generation executes this program anew
 * (rill_demo --restart-server), takes the listening socket from the one before, and serves.
 *
 * A socket pair between the scene and all generations is told when to restart, says who is ready,
 * and ends them all when the scene ends, however that may be. It is handed over like the listener.
 */
#define _GNU_SOURCE
#include "demo.h"

#include <rill/rill.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESTARTS = 3, CONNECTIONS = 8000, CLAIM_CONNECTIONS = 5000, CLIENTS = 3, WORD_BYTES = 64 };

/* What a generation says when it is ready. */
struct hello {
    int pid, port;
};

/* ---- the server ---- */

static struct generation {
    rill_loop *loop;
    rill_server *server;
    int lifeline;
} self;

static void
echo_made(rill_transport *t, void *state, void *arg)
{
    int pid = getpid();

    (void)state, (void)arg;
    rill_transport_write(t, &pid, sizeof(pid));
}

static void
echo_data(rill_transport *t, void *state, rill_slice in)
{
    (void)state;
    rill_transport_write(t, in.data, in.len);
}

static const rill_protocol echo_protocol =
    RILL_PROTOCOL(.connection_made = echo_made, .data_received = echo_data);

static void
drained(void *arg, size_t aborted)
{
    (void)arg;
    _exit(aborted > 0); /* All that it served has ended by itself. */
}

static void
restarted(void *arg, int pid, const rill_reason *why)
{
    (void)arg, (void)pid;
    if (why->code < 0) {
        fprintf(stderr, "%s\n", why->sentence);
        _exit(1);
    }
    if (rill_server_drain_start(self.server, 5 * RILL_S, drained, NULL) < 0)
        _exit(1);
}

static void
lifeline_data(rill_transport *t, void *state, rill_slice in)
{
    const char *argv[] = { "rill_demo", "--restart-server", NULL };
    const rill_restart_item items[] = { { .name = "echo", .server = self.server },
        { .name = "lifeline", .fds = &self.lifeline, .fds_count = 1 } };

    (void)t, (void)state, (void)in;
    if (rill_restart_start(self.loop,
            &RILL_RESTART_OPTIONS(.file = "/proc/self/exe", .argv = argv, .items = items,
                .items_count = 2),
            restarted, NULL, NULL) < 0) {
        fprintf(stderr, "%s\n", rill_loop_last_error(self.loop)->sentence);
        _exit(1);
    }
}

static void
lifeline_lost(rill_transport *t, void *state, const rill_reason *why)
{
    (void)t, (void)state, (void)why;
    _exit(2);
}

static const rill_protocol lifeline_protocol =
    RILL_PROTOCOL(.data_received = lifeline_data, .connection_lost = lifeline_lost);

int
scene_restart_server(void)
{
    rill_server_options where = RILL_SERVER_OPTIONS(.backlog = 1024);
    rill_inherited *set;
    rill_transport *t;
    rill_addr addr;
    int listener;

    if (rill_loop_new(NULL, &self.loop) < 0 || rill_inherit(self.loop, NULL, &set) < 0)
        return 1;
    self.lifeline = STDIN_FILENO; /* Of the first generation. */
    (void)rill_inherited_take(set, "lifeline", &self.lifeline, 1);
    if (rill_inherited_take(set, "echo", &listener, 1) == 1) {
        where.fds = &listener;
        where.fds_count = 1;
    } else {
        where.host = "127.0.0.1";
    }
    if (rill_create_server(self.loop, &where, &echo_protocol, NULL, &self.server) < 0 ||
        rill_connect_accepted_socket(self.loop, self.lifeline, NULL, &lifeline_protocol, NULL, &t) <
            0 ||
        rill_server_sockname(self.server, 0, &addr) < 0 || rill_restart_ready(set) < 0)
        return 1;
    rill_inherited_free(set);
    rill_transport_write(
        t, &(struct hello){ .pid = getpid(), .port = rill_addr_port(&addr) }, sizeof(struct hello));
    return rill_loop_run(self.loop) < 0;
}

/* ---- the clients ---- */

static struct load {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int port;
    bool stop;
    int done, failed, last_pid;
    int64_t slowest_ns;
    char why[80];
} load = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Connect, hear who serves, have a word echoed, hang up. NULL, or what failed. */
static const char *
talk(int *ret_pid)
{
    const struct timeval patience = { .tv_sec = 3 };
    char word[WORD_BYTES] = "hello", reply[WORD_BYTES];
    int fd = demo_dial(load.port);
    const char *wrong = NULL;

    if (fd < 0)
        return "connect";
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (recv(fd, ret_pid, sizeof(*ret_pid), MSG_WAITALL) != (ssize_t)sizeof(*ret_pid))
        wrong = "no greeting";
    else if (send(fd, word, sizeof(word), MSG_NOSIGNAL) != WORD_BYTES ||
             recv(fd, reply, sizeof(reply), MSG_WAITALL) != WORD_BYTES ||
             memcmp(reply, word, sizeof(word)) != 0)
        wrong = "no echo";
    demo_hang_up(fd);
    return wrong;
}

static void *
be_a_client(void *unused)
{
    bool stop = false;

    (void)unused;
    while (!stop) {
        int64_t begun = demo_now_ns(), took;
        int pid = 0;
        const char *wrong = talk(&pid);

        took = demo_now_ns() - begun;
        pthread_mutex_lock(&load.lock);
        load.done++;
        load.last_pid = pid;
        if (wrong != NULL && load.failed++ == 0)
            snprintf(load.why, sizeof(load.why), "%s: %s", wrong, strerror(errno));
        if (took > load.slowest_ns)
            load.slowest_ns = took;
        stop = load.stop;
        pthread_cond_signal(&load.changed);
        pthread_mutex_unlock(&load.lock);
    }
    return NULL;
}

static void
wait_for_connections(int count)
{
    pthread_mutex_lock(&load.lock);
    while (load.done < count)
        pthread_cond_wait(&load.changed, &load.lock);
    pthread_mutex_unlock(&load.lock);
}

/* ---- the scene ---- */

static int
start_first(struct demo_result *result)
{
    int ends[2];
    pid_t pid;

    /* Generations whose parent has ended are ours to wait for. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        demo_fail(result, "no socket pair: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDIN_FILENO);
        execl("/proc/self/exe", "rill_demo", "--restart-server", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return ends[0];
}

static int
next_generation(struct demo_result *result, int lifeline)
{
    struct pollfd ready = { .fd = lifeline, .events = POLLIN };
    struct hello hello;

    if (poll(&ready, 1, 5000) != 1 ||
        recv(lifeline, &hello, sizeof(hello), MSG_WAITALL) != (ssize_t)sizeof(hello))
        demo_fail(result, "a server did not get ready");
    if (load.port == 0)
        load.port = hello.port; /* Before any client runs. */
    if (hello.port != load.port)
        demo_fail(result, "a server listens somewhere else");
    return hello.pid;
}

static int
restart_once(struct demo_result *result, int lifeline, int pid)
{
    int status = 0, next;

    if (send(lifeline, "R", 1, MSG_NOSIGNAL) != 1)
        demo_fail(result, "a server has gone");
    next = next_generation(result, lifeline);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        demo_fail(result, "the old server did not end as it should");
    return next;
}

void
scene_restart(struct demo_result *result)
{
    int lifeline = start_first(result), pid = next_generation(result, lifeline);
    int64_t begun = demo_now_ns();
    pthread_t clients[CLIENTS];
    double seconds;

    for (int i = 0; i < CLIENTS; i++)
        if (pthread_create(&clients[i], NULL, be_a_client, NULL) != 0)
            demo_fail(result, "no thread");
    for (int i = 1; i <= RESTARTS; i++) {
        wait_for_connections(i * CONNECTIONS / (RESTARTS + 1));
        pid = restart_once(result, lifeline, pid);
    }
    wait_for_connections(CONNECTIONS);
    pthread_mutex_lock(&load.lock);
    load.stop = true;
    pthread_mutex_unlock(&load.lock);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    seconds = (double)(demo_now_ns() - begun) / 1e9;
    close(lifeline);
    (void)waitpid(pid, NULL, 0); /* It saw that. */

    result->passed = load.failed == 0 && load.done >= CLAIM_CONNECTIONS && load.last_pid == pid;
    snprintf(result->text, sizeof(result->text),
        "%d connections during %d restarts in %.1f s, %d failed%s%s (claim: 0 of %d); the slowest "
        "took %.0f ms",
        load.done, RESTARTS, seconds, load.failed, load.failed > 0 ? ", " : "", load.why,
        CLAIM_CONNECTIONS, (double)load.slowest_ns / 1e6);
    demo_field(result, "connections", load.done);
    demo_field(result, "failed", load.failed);
    demo_field(result, "restarts", RESTARTS);
    demo_field(result, "seconds", seconds);
    demo_field(result, "slowest_ms", (double)load.slowest_ns / 1e6);
    demo_field(result, "claim_connections", CLAIM_CONNECTIONS);
}
