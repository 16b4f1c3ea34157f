/*
 * Many idle connections: what does one cost in memory? As many as the descriptor limit allows, up
 * to 9,000; each says one word and is answered, then falls silent. Measured from outside, as the
 * server's share of physical memory (PSS), and from inside, as what the library has allocated.
 */
#include "demo.h"

#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 9000, DESCRIPTORS_KEPT = 64, WORD_BYTES = 64, CLAIM_BYTES = 512 };

/* What the server tells about itself. */
struct report {
    rill_loop *loop;
    size_t transports, library_bytes; /* As of a moment ago. */
};

static void
echo_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

static const rill_protocol echo_protocol = RILL_PROTOCOL(.data_received = echo_data);

static void
update_report(void *arg)
{
    struct report *report = arg;
    rill_loop_stats stats = { .size = sizeof(stats) };
    size_t bytes = 0;

    rill_loop_get_stats(report->loop, &stats);
    for (int tag = 0; tag < RILL_TAG_COUNT; tag++)
        bytes += stats.memory[tag];
    __atomic_store_n(&report->library_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&report->transports, stats.transports, __ATOMIC_RELEASE);
}

static void
serve(int ready_fd, void *arg)
{
    struct report *report = arg;
    rill_server *server;
    rill_addr addr;

    if (rill_loop_new(NULL, &report->loop) < 0 ||
        rill_create_server(report->loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .backlog = 1024),
            &echo_protocol, NULL, &server) < 0 ||
        rill_server_sockname(server, 0, &addr) < 0 ||
        rill_call_every(report->loop, 20 * RILL_MS, update_report, report, NULL) < 0)
        _exit(1);
    demo_ready(ready_fd, rill_addr_port(&addr));
    (void)rill_loop_run(report->loop);
}

/* Wait until the server's report shows so many connections. */
static void
wait_for_transports(struct demo_result *result, const struct report *report, size_t count)
{
    int64_t end = demo_now_ns() + INT64_C(5000000000);

    while (__atomic_load_n(&report->transports, __ATOMIC_ACQUIRE) != count) {
        if (demo_now_ns() > end)
            demo_fail(result, "the server does not have %zu connections", count);
        demo_sleep_ns(5000000);
    }
    demo_sleep_ns(50000000); /* One more report: its bytes belong to this number. */
}

static int
open_one(int port)
{
    char word[WORD_BYTES] = "hello", reply[WORD_BYTES];
    int fd = demo_dial(port);

    if (fd >= 0 && (send(fd, word, sizeof(word), MSG_NOSIGNAL) != WORD_BYTES ||
                       recv(fd, reply, sizeof(reply), MSG_WAITALL) != WORD_BYTES)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void
scene_idle(struct demo_result *result)
{
    struct report *report = demo_share(sizeof(*report));
    int *fds = malloc(CONNECTIONS_MAX * sizeof(*fds));
    double pss, library, per_connection, seconds;
    struct rlimit files = { .rlim_cur = 1024 };
    size_t count = CONNECTIONS_MAX;
    struct demo_server server;
    int64_t begun;

    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < CONNECTIONS_MAX + DESCRIPTORS_KEPT)
        count = files.rlim_cur - DESCRIPTORS_KEPT;
    if (fds == NULL || demo_server_start(serve, report, &server) < 0)
        demo_fail(result, "the server did not start");

    /* The first one brings in what every server needs once: code, buffers, tables. */
    fds[0] = open_one(server.port);
    wait_for_transports(result, report, 1);
    pss = (double)demo_pss_bytes(server.pid);
    library = (double)report->library_bytes;

    begun = demo_now_ns();
    for (size_t i = 1; i < count; i++) {
        fds[i] = open_one(server.port);
        if (fds[i] < 0)
            demo_fail(result, "connection %zu of %zu failed", i + 1, count);
    }
    seconds = (double)(demo_now_ns() - begun) / 1e9;
    wait_for_transports(result, report, count);
    pss = (double)demo_pss_bytes(server.pid) - pss;
    library = (double)report->library_bytes - library;
    for (size_t i = 0; i < count; i++)
        demo_hang_up(fds[i]);
    wait_for_transports(result, report, 0);

    per_connection = pss / (double)(count - 1);
    result->passed = per_connection <= CLAIM_BYTES;
    snprintf(result->text, sizeof(result->text),
        "%.0f bytes of memory for each of %zu idle connections (claim: %d)", per_connection, count,
        CLAIM_BYTES);
    demo_field(result, "pss_bytes_per_connection", per_connection);
    demo_field(result, "library_bytes_per_connection", library / (double)(count - 1));
    demo_field(result, "claim_bytes", CLAIM_BYTES);
    demo_field(result, "connections", (double)count);
    demo_field(result, "opened_per_second", (double)count / seconds);
}
