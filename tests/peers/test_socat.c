/*
 * socat as the other side: a client of our server over TCP and Unix sockets, and an echo server for
 * our client.
 */
/* timeout: 120 */
#include "endpoint.h"
#include "pairs.h"
#include "program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES 5000000

static harness h;
static acceptor accepted;
static rill_server *server;
static program socat;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    server = NULL;
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    program_kill(&socat);
    if (server != NULL) {
        rill_server_close(server);
        harness_until(&h, acceptor_is_empty, &accepted);
        harness_settle(&h);
    }
    harness_close(&h);
    return 0;
}

static void
make_stream_file(const char *path)
{
    static uint8_t block[50000];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        stream_fill(block, at, sizeof(block));
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    }
    close(fd);
}

static void
check_stream_file(const char *path)
{
    static uint8_t block[50000], want[50000];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), FILE_BYTES);
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        assert_int_equal(pread(fd, block, sizeof(block), (off_t)at), sizeof(block));
        stream_fill(want, at, sizeof(want));
        assert_memory_equal(block, want, sizeof(block));
    }
    close(fd);
}

/* A file to our echo server and back, with a half close at its end. */
static void
round_trip(const char *address)
{
    const char *in = scratch_path("in"), *out = scratch_path("out");
    char both[300];
    const char *argv[] = { "socat", "-t", "30", both, address, NULL };

    make_stream_file(in);
    unlink(out);
    snprintf(both, sizeof(both), "OPEN:%s,rdonly!!CREATE:%s", in, out);
    accepted.like.echo = true;
    program_start(&socat, &h, argv, false);
    program_finish(&socat);
    check_stream_file(out);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_true(accepted.ends[0].eof);
    assert_code(accepted.ends[0].why.code, RILL_EOF);
}

static void
test_round_trip_over_tcp(void **unused)
{
    char address[60];
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    snprintf(address, sizeof(address), "TCP4:127.0.0.1:%d", rill_addr_port(&addr));
    round_trip(address);
}

static void
test_round_trip_over_tcp6(void **unused)
{
    char address[60];
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "::1"), &accepted, &addr);
    snprintf(address, sizeof(address), "TCP6:[::1]:%d", rill_addr_port(&addr));
    round_trip(address);
}

static void
test_round_trip_over_unix(void **unused)
{
    const char *path = scratch_path("socket");
    char address[200];

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    snprintf(address, sizeof(address), "UNIX-CONNECT:%s", path);
    round_trip(address);
}

static void
test_round_trip_over_an_abstract_name(void **unused)
{
    char name[60], address[100];

    (void)unused;
    snprintf(name, sizeof(name), "@rill-socat-%d", (int)getpid());
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = name), &accepted, NULL);
    snprintf(address, sizeof(address), "ABSTRACT-CONNECT:%s", name + 1);
    round_trip(address);
}

static uint64_t sent;

static void
send_more(endpoint *e)
{
    while (!e->paused && sent < FILE_BYTES) {
        assert_true(endpoint_send_stream(e, sent, 50000) >= 0);
        sent += 50000;
    }
    if (sent == FILE_BYTES && !e->paused)
        assert_code(rill_transport_write_eof(e->t), 0);
}

static void
test_their_echo_server(void **unused)
{
    static const char *const argv[] = { "socat", "-d", "-d", "-t", "30",
        "TCP4-LISTEN:0,bind=127.0.0.1", "EXEC:cat", NULL };
    const char *line = "", *at = NULL;
    endpoint client;

    (void)unused;
    program_start(&socat, &h, argv, false);
    while ((at = strstr(line, "127.0.0.1:")) == NULL)
        line = program_line(&socat);
    endpoint_init(&client, &h);
    assert_code(rill_create_connection_start(h.loop,
                    &RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = atoi(strchr(at, ':') + 1)),
                    &endpoint_protocol, &client, endpoint_connected, &client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, 0);
    sent = 0;
    client.on_resume = send_more;
    send_more(&client);
    harness_until(&h, endpoint_is_lost, &client);
    assert_int_equal(client.received, FILE_BYTES);
    assert_true(client.hash == stream_hash(FILE_BYTES));
    assert_code(client.why.code, RILL_EOF);
    program_finish(&socat);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip_over_tcp),
        CASE(test_round_trip_over_tcp6),
        CASE(test_round_trip_over_unix),
        CASE(test_round_trip_over_an_abstract_name),
        CASE(test_their_echo_server),
    };

    if (!program_exists("socat")) {
        print_message("skipped: socat is not installed\n");
        return SKIP_EXIT_CODE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
