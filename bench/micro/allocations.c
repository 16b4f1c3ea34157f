/*
 * Does rill allocate in steady state? It must not: this program counts every call of malloc and its
 * relatives, from whatever part of the process, around operations that have been warmed up.
 *
 * Status 1 when any measurement counts more than zero. The functions here replace the C library's
 * for the whole process, the shared library of rill included; they count and pass on to glibc.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <rill/rill.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMERS = 10000, CALLBACKS = 10000, POSTS = 10000, ECHOES = 10000, CHURNS = 500 };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_ulong allocations;

void *
malloc(size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_calloc(count, size);
}

void *
realloc(void *memory, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_realloc(memory, size);
}

void *
memalign(size_t alignment, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);

    if (memory == NULL)
        return ENOMEM;
    *ret = memory;
    return 0;
}

static rill_loop *loop;
static rill_id ids[TIMERS];
static uint64_t ran;
static int server_port;

static void
on_call(void *arg)
{
    (void)arg;
    ran++;
}

static void
run_until(uint64_t wanted)
{
    while (ran < wanted)
        micro_must(rill_loop_step(loop, 0) >= 0, "rill_loop_step");
}

static void
timers_insert_and_cancel(void)
{
    uint64_t state = MICRO_SEED;

    for (size_t i = 0; i < TIMERS; i++)
        micro_must(rill_call_later(loop, (rill_ns)micro_timeout_ms(&state) * RILL_MS, on_call, NULL,
                       &ids[i]) >= 0,
            "rill_call_later");
    for (size_t i = 0; i < TIMERS; i++)
        micro_must(
            rill_timer_rearm(loop, ids[i], rill_loop_time(loop) + 3600 * RILL_S) >= 0, "rearm");
    for (size_t i = 0; i < TIMERS; i++)
        micro_must(rill_cancel(loop, ids[i]), "rill_cancel");
}

static void
timers_fire(void)
{
    ran = 0;
    for (size_t i = 0; i < TIMERS; i++)
        micro_must(rill_call_later(loop, (rill_ns)(i % 20) * RILL_MS, on_call, NULL, NULL) >= 0,
            "rill_call_later");
    run_until(TIMERS);
}

static void
callbacks(void)
{
    ran = 0;
    for (size_t i = 0; i < CALLBACKS; i++)
        micro_must(rill_call_soon(loop, on_call, NULL, NULL) >= 0, "rill_call_soon");
    run_until(CALLBACKS);
}

static void
posts(void)
{
    ran = 0;
    for (size_t i = 0; i < POSTS; i++)
        micro_must(rill_call_soon_threadsafe(loop, on_call, NULL) >= 0, "post");
    run_until(POSTS);
}

static void
data_received(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len); /* A failure shows in the client. */
}

static int
client_connect(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)server_port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    micro_must(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "connect");
    return fd;
}

/* The client is a blocking socket in this thread: its message waits in the kernel until the loop
 * has taken its turns, so nothing here needs a thread. */
static void
client_echo(int fd)
{
    static char message[16 * 1024];
    size_t got = 0;

    micro_must(send(fd, message, sizeof(message), 0) == (ssize_t)sizeof(message), "send");
    while (got < sizeof(message)) {
        ssize_t n;

        micro_must(rill_loop_step(loop, 0) >= 0, "rill_loop_step");
        n = recv(fd, message, sizeof(message) - got, MSG_DONTWAIT);
        micro_must(n > 0 || (n < 0 && errno == EAGAIN), "recv");
        got += n > 0 ? (size_t)n : 0;
    }
}

static int echo_fd;

static void
echoes(void)
{
    for (int i = 0; i < ECHOES; i++)
        client_echo(echo_fd);
}

static void
churns(void)
{
    for (int i = 0; i < CHURNS; i++) {
        int fd = client_connect();

        client_echo(fd);
        (void)close(fd);
        for (int turn = 0; turn < 4; turn++)
            micro_must(rill_loop_step(loop, 0) >= 0, "rill_loop_step");
    }
}

static void
server_open(void)
{
    static const rill_protocol echo = RILL_PROTOCOL(.data_received = data_received);
    rill_server *server;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } addr;
    socklen_t len = sizeof(addr);

    micro_must(rill_create_server(
                   loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &echo, NULL, &server) >= 0,
        "rill_create_server");
    micro_must(getsockname(rill_server_fd(server, 0), &addr.any, &len) == 0, "getsockname");
    server_port = ntohs(addr.in.sin_port);
}

int
main(void)
{
    static const struct {
        const char *name;
        void (*fn)(void);
        int operations;
    } steps[] = { { "timer insert, re-arm, cancel", timers_insert_and_cancel, TIMERS },
        { "timer insert, fire", timers_fire, TIMERS }, { "call_soon", callbacks, CALLBACKS },
        { "call_soon_threadsafe", posts, POSTS }, { "echo of 16 KiB", echoes, ECHOES },
        { "connection accepted, echoed, lost", churns, CHURNS } };
    unsigned long total = 0;

    micro_must(rill_loop_new(NULL, &loop) >= 0, "rill_loop_new");
    server_open();
    echo_fd = client_connect();
    printf("| steady state | operations | allocations |\n|---|--:|--:|\n");
    (void)fflush(stdout); /* Its buffer is allocated here, not in a measurement. */
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        unsigned long before;
        unsigned long count;

        /* Twice, so that what swaps between two buffers has met both. */
        steps[i].fn();
        steps[i].fn();
        before = atomic_load(&allocations);
        steps[i].fn();
        count = atomic_load(&allocations) - before;
        total += count;
        printf("| %s | %d | %lu |\n", steps[i].name, steps[i].operations, count);
    }
    (void)close(echo_fd);
    (void)rill_loop_free(loop);
    return total == 0 ? 0 : 1;
}
