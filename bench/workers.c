/*
 * What a second worker is worth: the same load, 20 us of CPU work for each message, against one
 * worker and against two, round by round, and the ratio of what they got done.
 *
 *     workers [--rounds 5] [--seconds 1] [--processes]
 *
 * It wants two free cores. The load is a thread here, with few connections and 32 messages in
 * flight on each, so that it needs a hundredth of what the workers need; what it did need is
 * printed, and so is what the workers got: below 1.9 cores for two of them the machine was shared,
 * and the ratio says nothing about rill. The work is counted in CPU time, so that a worker that was
 * pushed aside does not count the pause as work.
 */
#include <rill/rill.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 8
#define IN_FLIGHT   32
#define BYTES       64
#define BATCH       (IN_FLIGHT * BYTES)
#define WORK_NS     20000
#define ROUNDS_MAX  99

static int rounds = 5;
static double seconds = 1;
static int processes;

/* CPU time of each worker, told by itself; 1 once it serves. */
static _Atomic int64_t *cpu_of_workers;

static void
die(const char *what, int rc)
{
    fprintf(stderr, "workers: %s: %s\n", what, rill_strerror(rc));
    exit(1);
}

static int64_t
now_on(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* ---- the workers ---- */

struct echo {
    rill_worker *worker;
    size_t len; /* Of a message that is not complete yet. */
};

static void
made(rill_transport *t, void *self, void *arg)
{
    (void)t;
    ((struct echo *)self)->worker = arg;
}

static void
work(void)
{
    int64_t end = now_on(CLOCK_THREAD_CPUTIME_ID) + WORK_NS;

    while (now_on(CLOCK_THREAD_CPUTIME_ID) < end)
        continue;
}

static void
received(rill_transport *t, void *self, rill_slice in)
{
    struct echo *e = self;

    for (e->len += in.len; e->len >= BYTES; e->len -= BYTES)
        work();
    rill_transport_write(t, in.data, in.len);
    atomic_store_explicit(&cpu_of_workers[rill_worker_index(e->worker)],
        now_on(CLOCK_THREAD_CPUTIME_ID), memory_order_relaxed);
}

static const rill_protocol protocol = RILL_PROTOCOL(.state_size = sizeof(struct echo),
    .connection_made = made, .data_received = received);

static void
close_all(void *server)
{
    rill_server_close_clients(server);
}

static int
serve(rill_worker *worker, rill_loop *loop, void *arg)
{
    rill_server *server;
    int rc = rill_worker_serve(worker, 0, &protocol, worker, &server);

    (void)arg;
    if (rc < 0)
        return rc;
    rill_worker_on_stop(worker, close_all, server);
    atomic_store(&cpu_of_workers[rill_worker_index(worker)], 1);
    return rill_loop_run(loop);
}

static void *
run(void *workers)
{
    int rc = rill_workers_run(workers);

    if (rc < 0)
        die("run", rc);
    return NULL;
}

/* ---- the load ---- */

static char batch[BATCH];

static void
send_batch(int fd)
{
    if (send(fd, batch, BATCH, MSG_NOSIGNAL) != BATCH)
        die("send", -errno);
}

/* Returns the messages that were answered until `end`. */
static uint64_t
load(const struct pollfd first[CONNECTIONS], int64_t end)
{
    struct pollfd fds[CONNECTIONS];
    size_t open[CONNECTIONS];
    uint64_t bytes = 0;
    char buf[BATCH];

    memcpy(fds, first, sizeof(fds));
    for (int i = 0; i < CONNECTIONS; i++) {
        send_batch(fds[i].fd);
        open[i] = BATCH;
    }
    while (now_on(CLOCK_MONOTONIC) < end) {
        if (poll(fds, CONNECTIONS, 100) < 0 && errno != EINTR)
            die("poll", -errno);
        for (int i = 0; i < CONNECTIONS; i++) {
            ssize_t got = fds[i].revents != 0 ? recv(fds[i].fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;

            if (fds[i].revents != 0 && (got == 0 || (got < 0 && errno != EAGAIN)))
                die("recv", got < 0 ? -errno : RILL_EOF);
            if (got <= 0)
                continue;
            bytes += (uint64_t)got;
            open[i] -= (size_t)got;
            if (open[i] == 0) {
                send_batch(fds[i].fd);
                open[i] = BATCH;
            }
        }
    }
    return bytes / BYTES;
}

struct result {
    double per_second;
    double worker_cores;
    double load_cores;
};

static int64_t
cpu_of_all(int count)
{
    int64_t sum = 0;

    for (int i = 0; i < count; i++)
        sum += atomic_load(&cpu_of_workers[i]);
    return sum;
}

static struct result
measure(int count)
{
    rill_workers_options options = RILL_WORKERS_OPTIONS(.count = count, .processes = processes,
        .accept = RILL_ACCEPT_HANDOVER);
    rill_server_options where = RILL_SERVER_OPTIONS(.host = "127.0.0.1");
    struct pollfd fds[CONNECTIONS];
    rill_workers *workers;
    rill_addr addr;
    pthread_t thread;
    int64_t begin, load_cpu, cpu;
    uint64_t messages;
    double took;
    int rc = rill_workers_create(&options, serve, NULL, &workers);

    for (int i = 0; i < count; i++)
        atomic_store(&cpu_of_workers[i], 0);
    if (rc < 0 || (rc = rill_workers_listen(workers, &where, NULL)) < 0 ||
        (rc = rill_workers_sockname(workers, 0, 0, &addr)) < 0)
        die("workers", rc);
    pthread_create(&thread, NULL, run, workers);
    for (int i = 0; i < count; i++) { /* All of them serve before the first connection comes. */
        while (atomic_load(&cpu_of_workers[i]) == 0)
            usleep(1000);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = (struct pollfd){ .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN };
        if (connect(fds[i].fd, (struct sockaddr *)(void *)addr.storage, addr.len) < 0)
            die("connect", -errno);
    }
    begin = now_on(CLOCK_MONOTONIC);
    load_cpu = now_on(CLOCK_THREAD_CPUTIME_ID);
    cpu = cpu_of_all(count);
    messages = load(fds, begin + (int64_t)(seconds * 1e9));
    took = (double)(now_on(CLOCK_MONOTONIC) - begin);
    load_cpu = now_on(CLOCK_THREAD_CPUTIME_ID) - load_cpu;
    cpu = cpu_of_all(count) - cpu;
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i].fd);
    rill_workers_stop(workers);
    pthread_join(thread, NULL);
    rill_workers_free(workers);
    return (struct result){ (double)messages * 1e9 / took, (double)cpu / took,
        (double)load_cpu / took };
}

/* ---- the table ---- */

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    double ratios[ROUNDS_MAX], per_core[ROUNDS_MAX];
    double least_cores = 2;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--processes") == 0)
            processes = 1;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || !(seconds > 0)) {
        fprintf(
            stderr, "usage: workers [--rounds 1..%d] [--seconds S] [--processes]\n", ROUNDS_MAX);
        return 2;
    }
    cpu_of_workers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cpu_of_workers == MAP_FAILED)
        die("mmap", -errno);
    memset(batch, 'x', sizeof(batch));
    signal(SIGPIPE, SIG_IGN);
    printf("%s, %d CPUs, %d us of work for each message, %d connections x %d in flight\n",
        processes ? "processes" : "threads", rill_cpu_count(), WORK_NS / 1000, CONNECTIONS,
        IN_FLIGHT);
    printf("round   1 worker/s   cores   2 workers/s   cores   load   ratio\n");
    for (int i = 0; i < rounds; i++) {
        struct result one = measure(1), two = measure(2);

        ratios[i] = two.per_second / one.per_second;
        per_core[i] = ratios[i] * one.worker_cores / two.worker_cores;
        if (two.worker_cores < least_cores)
            least_cores = two.worker_cores;
        printf("%5d   %10.0f   %5.2f   %11.0f   %5.2f   %4.2f   %5.2f\n", i + 1, one.per_second,
            one.worker_cores, two.per_second, two.worker_cores, two.load_cores, ratios[i]);
        fflush(stdout);
    }
    qsort(ratios, (size_t)rounds, sizeof(ratios[0]), by_size);
    qsort(per_core, (size_t)rounds, sizeof(per_core[0]), by_size);
    printf("two workers do %.2f times the work of one (median of %d rounds, %.2f to %.2f)\n",
        ratios[rounds / 2], rounds, ratios[0], ratios[rounds - 1]);
    printf("and %.2f times as much in a second of CPU (%.2f to %.2f), which a shared machine "
           "disturbs less\n",
        per_core[rounds / 2], per_core[0], per_core[rounds - 1]);
    if (least_cores < 1.9)
        printf("the first figure is not to be believed: two workers got %.2f cores at the least, "
               "the machine is "
               "shared\n",
            least_cores);
    return 0;
}
