/*
 * The conformance battery as cmocka tests. One loop per case: a leak is seen where it was made.
 */
#include "pairs.h"

#include "sweep.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES 300007
#define CASES_MAX  200

static uint8_t file_bytes[FILE_BYTES];
static int file_fd = -1;
static rill_conformance_make make_pair;

static char scratch[64];
static pid_t scratch_maker; /* Its children leave it alone. */

static void
remove_scratch(void)
{
    char command[100];

    if (getpid() != scratch_maker)
        return;
    snprintf(command, sizeof(command), "rm -rf %s", scratch);
    if (system(command) != 0)
        fprintf(stderr, "%s failed\n", command);
}

const char *
scratch_path(const char *name)
{
    static char paths[8][100];
    static size_t next;
    char *path = paths[next++ % 8];

    if (scratch[0] == '\0') {
        snprintf(scratch, sizeof(scratch), "/tmp/rill-test-XXXXXX");
        assert_non_null(mkdtemp(scratch));
        scratch_maker = getpid();
        atexit(remove_scratch);
    }
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
    return path;
}

static void
make_file(void)
{
    const char *path = scratch_path("file");

    for (size_t i = 0; i < FILE_BYTES; i++)
        file_bytes[i] = (uint8_t)(i * 7 + (i >> 9));
    file_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file_fd >= 0);
    assert_int_equal(write(file_fd, file_bytes, FILE_BYTES), FILE_BYTES);
    /* Its position must not matter. */
    assert_int_equal(lseek(file_fd, 12345, SEEK_SET), 12345);
}

static void
listener_is_gone(rill_server *server, void *arg)
{
    pairs *p = arg;

    (void)server;
    p->server = NULL;
}

int
make_listening_pair(rill_loop *loop, const rill_server_options *server_options,
    const rill_transport_options *options, const rill_protocol *protocol_a, void *arg_a,
    const rill_protocol *protocol_b, void *arg_b, pairs *p)
{
    rill_server_options listen = *server_options;
    rill_connect_options connect = RILL_CONNECT_OPTIONS(.transport = options);
    rill_addr addr;
    int rc;

    listen.transport = options;
    listen.closed = listener_is_gone;
    listen.closed_arg = p;
    rc = rill_create_server(loop, &listen, protocol_b, arg_b, &p->server);
    if (rc < 0)
        return rc;
    rc = rill_server_sockname(p->server, 0, &addr);
    if (rc < 0)
        return rc;
    connect.addr = &addr;
    return rill_create_connection_start(loop, &connect, protocol_a, arg_a, NULL, NULL, NULL);
}

void
end_listening_pair(rill_loop *loop, void *user)
{
    pairs *p = user;

    (void)loop;
    if (p->server == NULL)
        return;
    rill_server_close(p->server);
    harness_until(p->h, pointer_is_null, &p->server);
}

static void
keep_verdict(const char *name, rill_conformance_verdict verdict, const char *sentence, void *arg)
{
    (void)name;
    if (verdict == RILL_CONFORMANCE_SKIPPED)
        print_message("skipped: %s\n", sentence);
    if (verdict == RILL_CONFORMANCE_FAILED)
        snprintf(arg, 300, "%s", sentence);
}

static void
run_one(void **state)
{
    char sentence[300] = "";
    harness h;
    pairs p = { .h = &h };
    rill_conformance_options options =
        RILL_CONFORMANCE_OPTIONS(.make_pair = make_pair, .end_pair = end_listening_pair, .user = &p,
            .only = *state, .report = keep_verdict, .report_arg = sentence, .file_data = file_bytes,
            .file_len = FILE_BYTES, .file_fd = file_fd);
    int failed;

    if (sweep_fails() && !on_driver("sim"))
        options.timeout = 50 * RILL_MS; /* What was lost for want of memory does not come. */
    harness_open(&h);
    h.log_allowed = true; /* Writing on after close is part of it, and that is told. */
    failed = rill_conformance(h.loop, &options);
    if (failed != 0)
        fail_msg("%d: %s", failed, sentence);
    harness_close(&h);
}

int
run_conformance(const char *name, rill_conformance_make make)
{
    static struct CMUnitTest tests[CASES_MAX];
    size_t count = 0;

    make_pair = make;
    make_file();
    for (; rill_conformance_name(count) != NULL; count++) {
        static char names[CASES_MAX][100];

        assert_true(count < CASES_MAX);
        snprintf(names[count], sizeof(names[count]), "%s", rill_conformance_name(count));
        tests[count] = (struct CMUnitTest){
            .name = names[count], .test_func = run_one, .initial_state = names[count]
        };
    }
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}
