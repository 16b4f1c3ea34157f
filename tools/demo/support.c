/*
 * What the scenes share: server processes, measuring, sockets.
 *
 * Everything here is for processes of one thread. A child asks to be killed when its parent ends,
 * so no way out of a scene leaves one behind.
 */
#define _GNU_SOURCE
#include "demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void
demo_field(struct demo_result *result, const char *name, double value)
{
    size_t i = result->fields_count;

    if (i == DEMO_FIELDS_MAX)
        abort();
    snprintf(result->fields[i].name, sizeof(result->fields[i].name), "%s", name);
    result->fields[i].value = value;
    result->fields_count++;
}

void
demo_fail(struct demo_result *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(result->text, sizeof(result->text), format, args);
    va_end(args);
    result->passed = false;
    result->done = true;
    _exit(0);
}

int
demo_server_start(demo_serve_fn serve, void *arg, struct demo_server *ret_server)
{
    struct demo_server server = { 0 };
    pid_t parent = getpid();
    struct pollfd ready;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1); /* It ended before the line above. */
        close(fds[0]);
        serve(fds[1], arg);
        _exit(0);
    }
    close(fds[1]);
    ready = (struct pollfd){ .fd = fds[0], .events = POLLIN };
    if (server.pid > 0 && poll(&ready, 1, 5000) == 1 &&
        read(fds[0], &server.port, sizeof(server.port)) == (ssize_t)sizeof(server.port)) {
        close(fds[0]);
        *ret_server = server;
        return 0;
    }
    close(fds[0]);
    if (server.pid > 0)
        demo_server_stop(&server);
    return -1;
}

void
demo_server_stop(struct demo_server *server)
{
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void
demo_ready(int ready_fd, int port)
{
    if (write(ready_fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
        _exit(1);
    close(ready_fd);
}

void *
demo_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("mmap");
        _exit(1);
    }
    return memory;
}

/* The number after `key` in a file of /proc/PID, or the first one when `key` is NULL; -1: none. */
static int64_t
proc_number(pid_t pid, const char *name, const char *key)
{
    char path[64], line[256];
    long long value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (value < 0 && fgets(line, sizeof(line), file) != NULL) {
        const char *number = key == NULL ? line : line + strlen(key);

        if (key == NULL || strncmp(line, key, strlen(key)) == 0)
            if (sscanf(number, "%lld", &value) != 1)
                value = -1;
    }
    fclose(file);
    return value;
}

int64_t
demo_cpu_ns(pid_t pid)
{
    int64_t ns = proc_number(pid, "schedstat", NULL);
    struct timespec now;
    clockid_t clock;

    if (ns > 0)
        return ns;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) < 0)
        return -1;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
demo_pss_bytes(pid_t pid)
{
    int64_t kb = proc_number(pid, "smaps_rollup", "Pss:");

    return kb < 0 ? -1 : kb * 1024;
}

int64_t
demo_rss_bytes(pid_t pid)
{
    int64_t kb = proc_number(pid, "status", "VmRSS:");

    return kb < 0 ? -1 : kb * 1024;
}

int64_t
demo_rss_peak_bytes(pid_t pid)
{
    int64_t kb = proc_number(pid, "status", "VmHWM:");

    return kb < 0 ? -1 : kb * 1024;
}

int64_t
demo_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void
demo_sleep_ns(int64_t duration)
{
    struct timespec left = { .tv_sec = duration / 1000000000, .tv_nsec = duration % 1000000000 };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double
demo_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void
demo_pin(int n)
{
    cpu_set_t allowed, one;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || CPU_COUNT(&allowed) <= n)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || n-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(
            0, sizeof(one), &one); /* Without it the numbers are only noisier. */
        return;
    }
}

int
demo_dial(int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* Loopback: always there. */
    return fd;
}

void
demo_hang_up(int fd)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}
