/*
 * The load generator: a closed loop on raw epoll against an echo server.
 *
 *     load WORKLOAD WHERE [--seconds S] [--warm S] [--ops N] [--slices 1] [--pid PID]
 *
 * WHERE is a port of 127.0.0.1 or a Unix path. Every byte that comes back is compared: each
 * connection sends its own stretch of one pseudo-random stream whose period is prime, so a lost,
 * repeated, swapped or foreign byte differs from what is expected there.
 *
 * A measured window begins and ends at rest: nothing is in flight, the server sleeps and its CPU
 * books (the scheduler's, in ns, summed over its threads) are exact. Setting up connections and
 * warming up happen before it; every operation issued in it is answered in it. One line of
 * key=value goes to stdout, a complaint to stderr with status 1.
 *
 * With --slices 1 it says "ready" when it is connected and warm, then measures one more window of
 * --seconds for every byte on stdin and answers "done", so that an orchestrator can let several
 * contestants take turns within a fraction of a second; the line with the sums follows when stdin
 * ends. The idle workload says "probed" when the server answers, waits for a byte, opens its
 * connections, says "ready" when each had its echo, and holds them until stdin ends.
 *
 * With --ops one window holds exactly N operations and there is no warm-up, which is what the
 * counting of instructions and system calls needs.
 *
 * One thread. An error of any kind ends the process: a wrong run must not yield a number.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    PERIOD_BYTES = 65521, /* Prime. */
    RECEIVE_BYTES = 256 * 1024,
    EVENTS_MAX = 512,
    SOURCES = 64, /* Loopback addresses that churned connections come from. */
    STALL_MS = 10000,
    SERVER_START_MS = 20000,
    SETTLE_READS_MAX = 200
};

#define SECOND_NS 1000000000ull

struct connection {
    int fd;
    bool blocked;       /* EPOLLOUT is armed. */
    uint32_t stamps_at; /* Oldest message in flight. */
    uint32_t in_flight;
    uint64_t wanted; /* Positions in this connection's stream: issued, */
    uint64_t sent;   /* taken by the kernel, */
    uint64_t got;    /* and come back. */
    uint64_t first;  /* Where its stream begins in the pattern. */
    uint64_t *stamps;
};

static struct workload workload;
static struct connection *connections;
static struct histogram latencies_measured;
static struct histogram latencies_warming; /* Thrown away. */
static struct histogram *latency = &latencies_warming;
static unsigned char receive_buffer[RECEIVE_BYTES] __attribute__((aligned(4096)));
static unsigned char *pattern;
static union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
} server;
static socklen_t server_len;
static int epoll_fd;
static uint64_t now_ns;
static uint64_t deadline_ns;
static uint64_t budget;    /* Operations that may still be issued. */
static uint64_t in_flight; /* Operations, over all connections. */
static uint64_t completed;
static uint64_t churn_serial;

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
fail(const char *format, ...)
{
    int saved = errno;
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (errno: %s)\n", strerror(saved));
    exit(1);
}

static uint64_t
clock_read(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at); /* Cannot fail for this clock. */
    return (uint64_t)at.tv_sec * SECOND_NS + (uint64_t)at.tv_nsec;
}

static void
sleep_ms(long ms)
{
    struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    (void)nanosleep(&pause, NULL); /* No signal handler is installed. */
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        fail("out of memory");
    return memory;
}

/* Long enough for the largest burst, or one receive, to lie in it without a seam. */
static void
pattern_make(void)
{
    size_t burst = (size_t)workload.size * workload.depth;
    size_t len = PERIOD_BYTES + (burst > RECEIVE_BYTES ? burst : RECEIVE_BYTES);
    uint64_t state = 0x9e3779b97f4a7c15ull;

    pattern = allocate(len, 1);
    for (size_t i = 0; i < PERIOD_BYTES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (unsigned char)(state >> 32);
    }
    for (size_t i = PERIOD_BYTES; i < len; i++)
        pattern[i] = pattern[i - PERIOD_BYTES];
}

static const unsigned char *
pattern_at(const struct connection *c, uint64_t position)
{
    return pattern + (c->first + position) % PERIOD_BYTES;
}

static void
server_set(const char *where)
{
    if (workload.is_unix) {
        if (strlen(where) >= sizeof(server.un.sun_path))
            fail("the path is too long: %s", where);
        server.un.sun_family = AF_UNIX;
        strcpy(server.un.sun_path, where);
        server_len = sizeof(server.un);
    } else {
        server.in.sin_family = AF_INET;
        server.in.sin_port = htons((uint16_t)atoi(where));
        server.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        server_len = sizeof(server.in);
    }
}

static int
socket_new(void)
{
    int fd = socket(server.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        fail("socket");
    if (!workload.is_unix && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        fail("TCP_NODELAY");
    return fd;
}

/* Until the server listens; the probing connection is gone before anything is measured. */
static void
server_await(void)
{
    for (int waited_ms = 0; waited_ms < SERVER_START_MS; waited_ms += 5) {
        int fd = socket_new();
        int rc = connect(fd, &server.any, server_len);

        (void)close(fd);
        if (rc == 0)
            return;
        if (errno != ECONNREFUSED && errno != ENOENT)
            fail("connect");
        sleep_ms(5);
    }
    fail("no server after %d s", SERVER_START_MS / 1000);
}

/*
 * Closing first leaves TIME_WAIT on our side; many source addresses keep the ports of one from
 * running out (28,000 ports, reusable after a second on loopback).
 */
static void
source_choose(int fd)
{
    struct sockaddr_in source = { .sin_family = AF_INET };
    int on = 1;

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(churn_serial % SOURCES));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
        fail("bind");
}

static void
connection_open(struct connection *c)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

    c->fd = socket_new();
    if (workload.mode == WORKLOAD_CHURN && !workload.is_unix)
        source_choose(c->fd);
    if (connect(c->fd, &server.any, server_len) < 0)
        fail("connect");
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
        fail("epoll_ctl");
    c->first = churn_serial++ * 7919;
    c->wanted = c->sent = c->got = 0;
    c->blocked = false;
}

static void
connection_send(struct connection *c)
{
    size_t len = (size_t)(c->wanted - c->sent);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    ssize_t n = send(c->fd, pattern_at(c, c->sent), len, MSG_DONTWAIT | MSG_NOSIGNAL);
    bool blocked;

    if (n < 0 && errno != EAGAIN)
        fail("send");
    if (n > 0)
        c->sent += (uint64_t)n;
    blocked = c->sent != c->wanted;
    if (blocked == c->blocked)
        return;
    c->blocked = blocked;
    if (blocked)
        event.events |= EPOLLOUT;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
        fail("epoll_ctl");
}

/* Issues up to `count` operations while the window is open. */
static void
connection_issue(struct connection *c, uint32_t count)
{
    uint32_t issued = 0;

    if (workload.mode == WORKLOAD_CHURN && count > 0 && budget > 0 && now_ns < deadline_ns)
        connection_open(c);
    for (; issued < count && budget > 0 && now_ns < deadline_ns; issued++, budget--) {
        c->stamps[(c->stamps_at + c->in_flight) % workload.depth] = now_ns;
        c->in_flight++;
    }
    if (issued == 0)
        return;
    in_flight += issued;
    c->wanted += (uint64_t)issued * workload.size;
    if (!c->blocked)
        connection_send(c);
}

static void
connection_receive(struct connection *c)
{
    ssize_t n = recv(c->fd, receive_buffer, sizeof(receive_buffer), MSG_DONTWAIT);
    uint64_t before = c->got / workload.size;
    uint32_t done;

    if (n < 0) {
        if (errno == EAGAIN)
            return;
        fail("recv");
    }
    if (n == 0)
        fail("the server closed a connection");
    if (c->got + (uint64_t)n > c->sent)
        fail("the server sent more than it was given");
    if (memcmp(receive_buffer, pattern_at(c, c->got), (size_t)n) != 0)
        fail("the echo differs between bytes %llu and %llu", (unsigned long long)c->got,
            (unsigned long long)c->got + (unsigned long long)n);
    c->got += (uint64_t)n;
    done = (uint32_t)(c->got / workload.size - before);
    if (done == 0)
        return;
    for (uint32_t i = 0; i < done; i++) {
        histogram_add(latency, now_ns - c->stamps[c->stamps_at]);
        c->stamps_at = (c->stamps_at + 1) % workload.depth;
    }
    c->in_flight -= done;
    in_flight -= done;
    completed += done;
    if (workload.mode == WORKLOAD_CHURN)
        (void)close(c->fd); /* Nothing more can be learnt from it. */
    connection_issue(c, done);
}

/* Awake, it sees a reply when it is there, not a wake-up later: what is left of the latency is the
 * server's. */
static int
events_wait(struct epoll_event *events)
{
    uint64_t give_up_ns = clock_read() + STALL_MS * 1000000ull;
    int count;

    if (!workload.awake)
        return epoll_wait(epoll_fd, events, EVENTS_MAX, STALL_MS);
    do
        count = epoll_wait(epoll_fd, events, EVENTS_MAX, 0);
    while (count == 0 && clock_read() < give_up_ns);
    return count;
}

static void
turn(void)
{
    static struct epoll_event events[EVENTS_MAX];
    int count = events_wait(events);

    if (count <= 0)
        fail("nothing came back for %d s, %llu operations in flight", STALL_MS / 1000,
            (unsigned long long)in_flight);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;

        now_ns = clock_read();
        if ((events[i].events & EPOLLOUT) != 0 && c->blocked)
            connection_send(c);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            connection_receive(c);
    }
}

/* One window: from rest, through load, to rest. Returns its length. */
static uint64_t
window(uint64_t length_ns, uint64_t operations)
{
    uint64_t start_ns = clock_read();

    completed = 0;
    budget = operations;
    deadline_ns = length_ns == 0 ? UINT64_MAX : start_ns + length_ns;
    now_ns = start_ns;
    for (uint32_t i = 0; i < workload.connections; i++)
        connection_issue(&connections[i], workload.depth);
    while (in_flight > 0)
        turn();
    return clock_read() - start_ns;
}

static uint64_t
cpu_read(const char *pid)
{
    char path[600];
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *tasks;

    (void)snprintf(path, sizeof(path), "/proc/%s/task", pid);
    tasks = opendir(path);
    if (tasks == NULL)
        fail("%s", path);
    while ((entry = readdir(tasks)) != NULL) {
        unsigned long long run_ns;
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, entry->d_name);
        file = fopen(path, "r");
        if (file == NULL || fscanf(file, "%llu", &run_ns) != 1)
            fail("%s", path);
        (void)fclose(file);
        sum += run_ns;
    }
    (void)closedir(tasks);
    return sum;
}

/*
 * The books of a running thread lag by up to a tick, those of a sleeping one are exact: wait until
 * they stand still, as the server may still be busy with connections that we have closed.
 */
static uint64_t
cpu_settled(const char *pid)
{
    uint64_t last;

    if (pid == NULL)
        return 0;
    last = cpu_read(pid);
    for (int i = 0; i < SETTLE_READS_MAX; i++) {
        uint64_t next;

        sleep_ms(2);
        next = cpu_read(pid);
        if (next == last)
            return last;
        last = next;
    }
    fail("the server does not come to rest");
}

static void
connections_make(void)
{
    connections = allocate(workload.connections, sizeof(*connections));
    for (uint32_t i = 0; i < workload.connections; i++) {
        connections[i].stamps = allocate(workload.depth, sizeof(uint64_t));
        if (workload.mode != WORKLOAD_CHURN)
            connection_open(&connections[i]);
    }
}

static void
announce(const char *what)
{
    puts(what);
    (void)fflush(stdout);
}

static void
idle_hold(void)
{
    char byte;

    announce("probed");
    if (read(STDIN_FILENO, &byte, 1) != 1)
        fail("nobody says go");
    connections_make();
    (void)window(0, workload.connections);
    announce("ready");
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
}

struct plan {
    double seconds;      /* Of one window. */
    double warm_s;       /* Before the first one. */
    uint64_t operations; /* UINT64_MAX: by time. */
    bool sliced;
    const char *pid; /* NULL: the server's books are not read. */
};

static struct {
    uint64_t ops;
    uint64_t ns;
    uint64_t cpu_ns;
} totals;

static uint64_t
ns_of(double seconds)
{
    return (uint64_t)(seconds * (double)SECOND_NS);
}

static void
slice_measure(const struct plan *plan)
{
    bool timed = plan->operations == UINT64_MAX;
    uint64_t cpu_ns = cpu_settled(plan->pid);

    latency = &latencies_measured;
    totals.ns += window(timed ? ns_of(plan->seconds) : 0, plan->operations);
    latency = &latencies_warming;
    totals.ops += completed;
    totals.cpu_ns += cpu_settled(plan->pid) - cpu_ns;
}

static void
measure(const struct plan *plan)
{
    char byte;

    if (plan->operations == UINT64_MAX && plan->warm_s > 0)
        (void)window(ns_of(plan->warm_s), UINT64_MAX);
    if (!plan->sliced)
        slice_measure(plan);
    else
        announce("ready");
    while (plan->sliced && read(STDIN_FILENO, &byte, 1) > 0) {
        /* Others have had the caches since our last slice. */
        (void)window(ns_of(plan->seconds / 10), UINT64_MAX);
        slice_measure(plan);
        announce("done");
    }
    printf("ops=%llu ns=%llu cpu_ns=%llu p50=%llu p99=%llu p999=%llu max=%llu\n",
        (unsigned long long)totals.ops, (unsigned long long)totals.ns,
        (unsigned long long)totals.cpu_ns,
        (unsigned long long)histogram_quantile(&latencies_measured, 0.5),
        (unsigned long long)histogram_quantile(&latencies_measured, 0.99),
        (unsigned long long)histogram_quantile(&latencies_measured, 0.999),
        (unsigned long long)latencies_measured.largest);
}

static void
descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit");
    if (limit.rlim_max < (rlim_t)workload.connections + 16)
        fail("%u connections need more descriptors than the limit", workload.connections);
}

_Noreturn static void
usage(void)
{
    fputs(
        "usage: load WORKLOAD WHERE [--seconds S] [--warm S] [--ops N] [--slices 1] [--pid PID]\n",
        stderr);
    exit(2);
}

int
main(int argc, char **argv)
{
    struct plan plan = { .seconds = 1, .warm_s = 0.1, .operations = UINT64_MAX };

    if (argc < 3 || argc % 2 == 0 || !workload_parse(argv[1], &workload))
        usage();
    for (int i = 3; i < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            plan.seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--warm") == 0)
            plan.warm_s = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--ops") == 0)
            plan.operations = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--slices") == 0)
            plan.sliced = atoi(argv[i + 1]) != 0;
        else if (strcmp(argv[i], "--pid") == 0)
            plan.pid = argv[i + 1];
        else
            usage();
    }
    if (plan.seconds <= 0 || plan.operations == 0)
        usage();
    descriptors_raise();
    server_set(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        fail("epoll_create1");
    pattern_make();
    server_await();
    if (workload.mode == WORKLOAD_IDLE) {
        idle_hold();
    } else {
        connections_make();
        measure(&plan);
    }
    return 0;
}
