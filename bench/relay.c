/*
 * What a proxy would gain by splice(2) over reading and writing: one thread takes what a sender
 * writes on one connection and passes it to a receiver on another, through a pipe or through a
 * buffer of 128 KiB, in turns. No library is in it: this is what the kernel charges.
 *
 *     relay [--rounds 9] [--megabytes 256]
 *
 * Prints, for each kind of socket and size of the sender's writes, the median ratio of splice to
 * copying of the relay's CPU time and of its throughput; below 1 in the first and above 1 in the
 * second column speak for splice.
 */
#define _GNU_SOURCE
#include "statistics.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK      ((size_t)128 * 1024)
#define ROUNDS_MAX 99

static size_t rounds = 9;
static size_t megabytes = 256;
static char buffer[BLOCK];

struct cost {
    double cpu;
    double time;
};

static void
must(bool condition, const char *what)
{
    if (condition)
        return;
    perror(what);
    exit(1);
}

static double
cpu_now(void)
{
    struct rusage usage;

    must(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double
time_now(void)
{
    struct timespec ts;

    must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0, "clock_gettime");
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
tcp_pair(int ends[2])
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(listener >= 0 && bind(listener, (struct sockaddr *)&addr, len) == 0, "bind");
    must(listen(listener, 1) == 0, "listen");
    must(getsockname(listener, (struct sockaddr *)&addr, &len) == 0, "getsockname");
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(ends[0], (struct sockaddr *)&addr, len) == 0, "connect");
    ends[1] = accept(listener, NULL, NULL);
    must(ends[1] >= 0, "accept");
    (void)close(listener);
}

static void
make_pair(bool tcp, int ends[2])
{
    if (tcp)
        tcp_pair(ends);
    else
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
}

static void
send_all(int fd, size_t size)
{
    for (size_t left = megabytes << 20; left > 0;) {
        ssize_t n = write(fd, buffer, left < size ? left : size);

        must(n > 0, "write");
        left -= (size_t)n;
    }
}

static void
copy(int from, int to)
{
    ssize_t n;

    while ((n = read(from, buffer, BLOCK)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t m = write(to, buffer + at, (size_t)(n - at));

            must(m > 0, "write");
            at += m;
        }
    }
}

static void
through_pipe(int from, int to)
{
    int ends[2];
    ssize_t n;

    must(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 8 * BLOCK) > 0, "pipe");
    while ((n = splice(from, NULL, ends[1], NULL, BLOCK, SPLICE_F_MOVE)) > 0) {
        while (n > 0) {
            ssize_t m = splice(ends[0], NULL, to, NULL, (size_t)n, SPLICE_F_MOVE);

            must(m > 0, "splice");
            n -= m;
        }
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static struct cost
relay(bool tcp, size_t size, void (*pass)(int from, int to))
{
    struct cost cost;
    int in[2];
    int out[2];

    make_pair(tcp, in);
    make_pair(tcp, out);
    if (fork() == 0) {
        (void)close(in[1]);
        (void)close(out[0]);
        (void)close(out[1]);
        send_all(in[0], size);
        _exit(0);
    }
    if (fork() == 0) {
        (void)close(in[0]);
        (void)close(in[1]);
        (void)close(out[0]);
        while (read(out[1], buffer, BLOCK) > 0)
            ;
        _exit(0);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    cost = (struct cost){ cpu_now(), time_now() };
    pass(in[1], out[0]);
    cost = (struct cost){ cpu_now() - cost.cpu, time_now() - cost.time };
    (void)close(in[1]);
    (void)close(out[0]);
    while (wait(NULL) > 0)
        ;
    return cost;
}

static void
compare(bool tcp, size_t size)
{
    double cpu[ROUNDS_MAX];
    double throughput[ROUNDS_MAX];
    struct estimate cpu_ratio;
    struct estimate throughput_ratio;

    for (size_t i = 0; i < rounds; i++) {
        struct cost copied = relay(tcp, size, copy);
        struct cost spliced = relay(tcp, size, through_pipe);

        cpu[i] = spliced.cpu / copied.cpu;
        throughput[i] = copied.time / spliced.time;
    }
    cpu_ratio = estimate_median(cpu, rounds);
    throughput_ratio = estimate_median(throughput, rounds);
    printf("%-5s %7zu   %.2f (%.2f-%.2f)   %.2f (%.2f-%.2f)\n", tcp ? "tcp" : "unix", size,
        cpu_ratio.median, cpu_ratio.low, cpu_ratio.high, throughput_ratio.median,
        throughput_ratio.low, throughput_ratio.high);
    fflush(stdout);
}

static void
parse(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        size_t value = strtoul(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--rounds") == 0 && value >= 1 && value <= ROUNDS_MAX)
            rounds = value;
        else if (strcmp(argv[i], "--megabytes") == 0 && value >= 1 && value <= 65536)
            megabytes = value;
        else
            argc = 0;
    }
    if (argc % 2 != 0)
        return;
    fputs("usage: relay [--rounds N] [--megabytes N]\n", stderr);
    exit(2);
}

int
main(int argc, char **argv)
{
    static const size_t sizes[] = { 1024, 16 * 1024, 128 * 1024 };

    parse(argc, argv);
    puts("socket   bytes   CPU                throughput");
    fflush(stdout);
    for (int tcp = 1; tcp >= 0; tcp--) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            compare(tcp, sizes[i]);
    }
    return 0;
}
