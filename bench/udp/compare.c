/*
 * UDP echo: CPU of the server for one datagram, beside a loop of recvmmsg and sendmmsg by hand.
 *
 *     udp DIRECTORY [ROUNDS [SECONDS]]
 *
 * DIRECTORY has the contestants, udp-NAME. In each round each one is started, asked for SECONDS by
 * so many sockets with so many datagrams in flight each, and killed. The figure is the CPU time
 * that the scheduler books to it, divided by the datagrams that came back; the ratio is the median
 * over the rounds of raw's figure in the same round to its own. Every reply's size is looked at;
 * what is lost is asked again after 50 ms of silence, and counted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS_MAX 128
#define DEPTH_MAX   32
#define ROUNDS_MAX  64
#define SIZE_MAX_   9000

static const char *const names[] = { "raw", "raw-again", "rill", "rill-uring", "uv", "asio" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static const struct workload {
    const char *name;
    size_t size;
    int sockets, depth;
} workloads[] = {
    { "udp-64-c1", 64, 1, 1 },
    { "udp-64-c100", 64, 100, 1 },
    { "udp-64-c1-q32", 64, 1, 32 },
    { "udp-1200-c4-q32", 1200, 4, 32 },
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static int fds[SOCKETS_MAX];
static int in_flight[SOCKETS_MAX];
static char payload[SIZE_MAX_];
static char slots[DEPTH_MAX][SIZE_MAX_];
static uint64_t lost;

static double
now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
die(const char *what)
{
    fprintf(stderr, "udp: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Nanoseconds on a CPU so far. */
static double
cpu_of(pid_t pid)
{
    char path[64];
    double ns = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%lf", &ns) != 1)
        die(path);
    fclose(file);
    return ns;
}

static pid_t
start(const char *directory, const char *name, int port)
{
    char path[500], text[20];
    const char *program = strcmp(name, "raw-again") == 0    ? "raw"
                          : strcmp(name, "rill-uring") == 0 ? "rill"
                                                            : name;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/udp-%s", directory, program);
    snprintf(text, sizeof(text), "%d", port);
    if (access(path, X_OK) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        if (strcmp(name, "rill-uring") == 0)
            setenv("RILL_DRIVER", "uring", 1);
        execl(path, path, text, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void
send_many(int i, const struct workload *w, int count)
{
    struct mmsghdr headers[DEPTH_MAX];
    struct iovec part = { payload, w->size };
    int sent;

    memset(headers, 0, sizeof(headers));
    for (int k = 0; k < count; k++) {
        headers[k].msg_hdr.msg_iov = &part;
        headers[k].msg_hdr.msg_iovlen = 1;
    }
    sent = count == 1 ? (send(fds[i], payload, w->size, 0) >= 0)
                      : sendmmsg(fds[i], headers, (unsigned)count, 0);
    if (sent > 0)
        in_flight[i] += sent;
}

static uint64_t
receive_many(int i, const struct workload *w)
{
    struct mmsghdr headers[DEPTH_MAX];
    struct iovec parts[DEPTH_MAX];
    int got;

    memset(headers, 0, sizeof(headers));
    for (int k = 0; k < w->depth; k++) {
        parts[k] = (struct iovec){ slots[k], SIZE_MAX_ };
        headers[k].msg_hdr.msg_iov = &parts[k];
        headers[k].msg_hdr.msg_iovlen = 1;
    }
    got = recvmmsg(fds[i], headers, (unsigned)w->depth, MSG_DONTWAIT, NULL);
    for (int k = 0; k < got; k++) {
        if (headers[k].msg_len != w->size) {
            fprintf(stderr, "udp: a reply of %u bytes to %zu\n", headers[k].msg_len, w->size);
            exit(1);
        }
    }
    if (got <= 0)
        return 0;
    in_flight[i] -= got;
    return (uint64_t)got;
}

/* Ask as long as it takes; how many came back. */
static uint64_t
ask(const struct workload *w, double seconds)
{
    struct pollfd polls[SOCKETS_MAX];
    double end = now() + seconds;
    uint64_t count = 0;

    while (now() < end) {
        int ready;

        for (int i = 0; i < w->sockets; i++) {
            polls[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
            if (in_flight[i] <= w->depth / 2)
                send_many(i, w, w->depth - in_flight[i]);
        }
        ready = poll(polls, (nfds_t)w->sockets, 50);
        for (int i = 0; i < w->sockets; i++) {
            if (ready == 0) {
                lost += (uint64_t)in_flight[i];
                in_flight[i] = 0;
            } else if (polls[i].revents != 0) {
                count += receive_many(i, w);
            }
        }
    }
    return count;
}

static void
open_sockets(const struct workload *w, int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)port) };

    for (int i = 0; i < w->sockets; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)) < 0)
            die("socket");
        in_flight[i] = 0;
    }
}

/* ns of the server's CPU for a datagram; -1: it is not there. */
static double
measure(const char *directory, const char *name, const struct workload *w, double seconds)
{
    static int port = 20000;
    pid_t pid = start(directory, name, ++port);
    double before, after;
    uint64_t count;

    if (pid < 0)
        return -1;
    usleep(100000);
    open_sockets(w, port);
    (void)ask(w, seconds / 4);
    before = cpu_of(pid);
    count = ask(w, seconds);
    after = cpu_of(pid);
    for (int i = 0; i < w->sockets; i++)
        (void)close(fds[i]);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return count > 0 ? (after - before) / (double)count : -1;
}

static int
ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), ascending);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void
compare(const char *directory, const struct workload *w, int rounds, double seconds)
{
    static double ns[NAMES][ROUNDS_MAX], ratios[ROUNDS_MAX];

    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < NAMES; i++)
            ns[i][round] = measure(directory, names[i], w, seconds);
    for (size_t i = NAMES; i-- > 0;) { /* The median sorts: raw's figures last. */
        if (ns[i][0] < 0)
            continue;
        for (int round = 0; round < rounds; round++)
            ratios[round] = ns[0][round] / ns[i][round];
        printf("%-16s %-11s %7.0f ns  %5.2f\n", w->name, names[i], median(ns[i], rounds),
            median(ratios, rounds));
    }
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 9;
    double seconds = argc > 3 ? atof(argv[3]) : 1;

    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX || seconds <= 0) {
        fprintf(stderr, "usage: %s DIRECTORY [ROUNDS [SECONDS]]\n", argv[0]);
        return 2;
    }
    printf("CPU of the server for a datagram, and how many times as cheap as raw it is\n");
    for (size_t i = 0; i < WORKLOADS; i++)
        compare(argv[1], &workloads[i], rounds, seconds);
    printf("asked again after a loss: %llu\n", (unsigned long long)lost);
    return 0;
}
