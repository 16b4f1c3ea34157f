/*
 * Unix sockets: paths that are stale, taken, replaced or kept, modes, abstract names, credentials.
 */
/* drivers: epoll uring */
#include "pairs.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static harness h;
static acceptor accepted;

static int
setup(void **unused)
{
    (void)unused;
    acceptor_init(&accepted, &h);
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    return 0;
}

static bool
is_socket(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool
exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void
make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

/* What a server that was killed leaves behind. */
static void
make_stale_socket(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 5), 0);
    close(fd);
    assert_true(is_socket(path));
}

static void
serves_path(const char *path)
{
    static peer p;
    size_t before = accepted.made;
    rill_addr addr;

    assert_code(rill_addr_unix(path, &addr), 0);
    peer_connect(&p, &h, &addr);
    assert_code(p.connect_error, 0);
    acceptor_await(&accepted, before + 1);
    peer_close(&p);
    harness_until(&h, acceptor_is_empty, &accepted);
}

static void
refused(const rill_server_options *options, int code)
{
    size_t descriptors = descriptor_count();
    rill_server *server = NULL;

    assert_code(rill_create_server(h.loop, options, &acceptor_protocol, &accepted, &server), code);
    assert_null(server);
    assert_int_equal(descriptor_count(), descriptors);
    assert_code(rill_loop_last_error(h.loop)->code, code);
}

static void
test_a_path_comes_and_goes(void **unused)
{
    const char *path = scratch_path("plain");
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    char text[200], want[200];

    (void)unused;
    assert_true(is_socket(path));
    snprintf(want, sizeof(want), "unix:%s", path);
    assert_string_equal(rill_server_describe(server, text, sizeof(text)), want);
    serves_path(path);
    rill_server_close(server);
    assert_false(exists(path));
    harness_settle(&h);
}

static void
test_wrong_paths(void **unused)
{
    char path[200];

    (void)unused;
    memset(path, 'p', sizeof(path));
    path[108] = '\0';
    refused(&RILL_SERVER_OPTIONS(.path = path), RILL_EINVAL);
    refused(&RILL_SERVER_OPTIONS(.path = ""), RILL_EINVAL);
    refused(&RILL_SERVER_OPTIONS(.path = scratch_path("no/such/place")), -ENOENT);
    expect_last_error(&h, -ENOENT, "no/such/place");
}

static void
test_a_path_below_a_file_is_refused_as_such(void **unused)
{
    const char *path = scratch_path("file_above");
    char below[200];

    (void)unused;
    make_file(path);
    snprintf(below, sizeof(below), "%s/below", path);
    refused(&RILL_SERVER_OPTIONS(.path = below), -ENOTDIR);
    expect_last_error(&h, -ENOTDIR, "file_above/below");
}

static void
test_a_stale_path_is_replaced(void **unused)
{
    const char *path = scratch_path("stale");
    rill_server *server;

    (void)unused;
    make_stale_socket(path);
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    serves_path(path);
    end_server(&h, &accepted, server);
    assert_false(exists(path));
}

static void
test_a_path_in_use_is_left_alone(void **unused)
{
    const char *path = scratch_path("used");
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);

    (void)unused;
    refused(&RILL_SERVER_OPTIONS(.path = path), -EADDRINUSE);
    expect_last_error(&h, -EADDRINUSE, path);
    /* The look whether somebody listens may have connected: a connection that says nothing. */
    harness_until(&h, acceptor_is_empty, &accepted);
    harness_settle(&h);
    serves_path(path);
    end_server(&h, &accepted, server);
}

static void
test_a_file_is_never_replaced(void **unused)
{
    const char *path = scratch_path("regular"), *link = scratch_path("link");

    (void)unused;
    make_file(path);
    refused(&RILL_SERVER_OPTIONS(.path = path), -EADDRINUSE);
    expect_last_error(&h, -EADDRINUSE, path);
    assert_true(exists(path));
    assert_int_equal(symlink(path, link), 0);
    refused(&RILL_SERVER_OPTIONS(.path = link), -EADDRINUSE);
    assert_true(exists(link));
    unlink(link);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(&RILL_SERVER_OPTIONS(.path = path), -EADDRINUSE);
    rmdir(path);
}

/* asyncio, appendix B 54: what is not ours any more stays. */
static void
test_only_our_own_path_is_removed(void **unused)
{
    const char *path = scratch_path("replaced"), *aside = scratch_path("aside");
    rill_server *server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    rill_server *second;

    (void)unused;
    assert_int_equal(rename(path, aside), 0);
    second = NULL;
    assert_code(rill_create_server(h.loop, &RILL_SERVER_OPTIONS(.path = path), &acceptor_protocol,
                    &accepted, &second),
        0);
    rill_server_close(server);
    harness_settle(&h);
    assert_true(is_socket(path));
    serves_path(path);
    end_server(&h, &accepted, second);
    assert_false(exists(path));
    unlink(aside);

    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    unlink(path);
    make_file(path);
    rill_server_close(server);
    harness_settle(&h);
    assert_true(exists(path));
    unlink(path);

    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    unlink(path);
    rill_server_close(server); /* Gone already: no error. */
    harness_settle(&h);
}

static void
test_keep_path(void **unused)
{
    const char *path = scratch_path("kept");
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.path = path, .keep_path = 1), &accepted, NULL);

    (void)unused;
    rill_server_close(server);
    harness_settle(&h);
    assert_true(is_socket(path));
    unlink(path);
}

static void
test_loop_free_removes_the_path(void **unused)
{
    const char *path = scratch_path("freed");

    (void)unused;
    (void)serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    assert_true(is_socket(path));
    harness_close_with(&h, 1);
    assert_false(exists(path));
    harness_open(&h);
}

static void
test_mode(void **unused)
{
    const char *path = scratch_path("mode");
    mode_t mask = umask(022);
    rill_server *server =
        serve(&h, &RILL_SERVER_OPTIONS(.path = path, .unix_mode = 0620), &accepted, NULL);
    struct stat st;

    (void)unused;
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0620);
    end_server(&h, &accepted, server);
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, NULL);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    end_server(&h, &accepted, server);
    umask(mask);
}

static void
test_abstract_names(void **unused)
{
    rill_server *server;
    char name[60], text[100], want[100];

    (void)unused;
    snprintf(name, sizeof(name), "@rill-test-%d", (int)getpid());
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = name), &accepted, NULL);
    snprintf(want, sizeof(want), "unix:%s", name);
    assert_string_equal(rill_server_describe(server, text, sizeof(text)), want);
    assert_false(exists(name));
    serves_path(name);
    refused(&RILL_SERVER_OPTIONS(.path = name), -EADDRINUSE);
    end_server(&h, &accepted, server);
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = name), &accepted, NULL); /* Free again. */
    end_server(&h, &accepted, server);
}

static void
test_credentials_and_names(void **unused)
{
    rill_credentials who = { 0 };
    rill_transport_info info = { .size = sizeof(info) };
    rill_tcp_info tcp = { .size = sizeof(tcp) };
    const char *path = scratch_path("names");
    endpoint client;
    rill_server *server;
    rill_addr addr, name;
    char text[200], want[200];
    int value;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.path = path), &accepted, &addr);
    connect_to(&h, &addr, &client);
    acceptor_await(&accepted, 1);
    assert_code(rill_transport_credentials(accepted.ends[0].t, &who), 0);
    assert_int_equal(who.pid, getpid());
    assert_int_equal(who.uid, getuid());
    assert_int_equal(who.gid, getgid());
    memset(&who, 0, sizeof(who));
    assert_code(rill_transport_credentials(client.t, &who), 0);
    assert_int_equal(who.uid, getuid());

    assert_code(rill_transport_peername(client.t, &name), 0);
    snprintf(want, sizeof(want), "unix:%s", path);
    assert_string_equal(rill_addr_format(&name, text, sizeof(text)), want);
    assert_code(rill_transport_peername(accepted.ends[0].t, &name), 0);
    assert_string_equal(rill_addr_format(&name, text, sizeof(text)), "unix:");
    rill_transport_get_info(client.t, &info);
    assert_string_equal(info.kind, "unix");
    assert_code(rill_transport_tcp_info(client.t, &tcp), RILL_ENOTSUP);
    assert_code(rill_transport_set_option(client.t, RILL_OPTION_NODELAY, 1), RILL_ENOTSUP);
    assert_code(rill_transport_get_option(client.t, RILL_OPTION_NODELAY, &value), RILL_ENOTSUP);
    rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
    end_server(&h, &accepted, server);
}

static void
connect_path(const char *path, endpoint *client)
{
    endpoint_init(client, &h);
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.path = path),
                    &endpoint_protocol, client, endpoint_connected, client, NULL),
        0);
    harness_until(&h, endpoint_is_answered, client);
}

static void
test_connecting_to_nobody(void **unused)
{
    const char *path = scratch_path("nobody");
    endpoint client;

    (void)unused;
    connect_path(path, &client);
    assert_code(client.connected_code, -ENOENT);
    assert_contains(client.connected_sentence, path);
    make_stale_socket(path);
    connect_path(path, &client);
    assert_code(client.connected_code, -ECONNREFUSED);
    unlink(path);
    connect_path("@rill-test-nobody-is-there", &client);
    assert_code(client.connected_code, -ECONNREFUSED);
    assert_contains(client.connected_sentence, "@rill-test-nobody-is-there");
}

static int listener, taken;

static bool
one_is_taken(void *unused)
{
    (void)unused;
    taken = accept(listener, NULL, NULL);
    return taken >= 0;
}

/* A full backlog is EAGAIN for Unix sockets, at once: the connects wait for their turn. */
static void
test_a_full_backlog(void **unused)
{
    const char *path = scratch_path("full");
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    endpoint clients[4];
    int ends[4];

    (void)unused;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        endpoint_init(&clients[i], &h);
        assert_code(rill_create_connection_start(h.loop,
                        &RILL_CONNECT_OPTIONS(.path = path, .timeout = 5 * RILL_S),
                        &endpoint_protocol, &clients[i], endpoint_connected, &clients[i], NULL),
            0);
    }
    harness_run_for(&h, 20 * RILL_MS);
    assert_true(clients[0].made);
    assert_false(clients[3].connected_called);
    for (size_t i = 0; i < 4; i++) {
        harness_until(&h, one_is_taken, NULL);
        ends[i] = taken;
    }
    for (size_t i = 0; i < 4; i++) {
        harness_until(&h, endpoint_is_answered, &clients[i]);
        assert_code(clients[i].connected_code, 0);
        rill_transport_abort(clients[i].t);
        harness_until(&h, endpoint_is_lost, &clients[i]);
        close(ends[i]);
    }
    close(listener);
    unlink(path);
}

static void
test_a_full_backlog_times_out(void **unused)
{
    const char *path = scratch_path("deaf");
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    endpoint clients[4];
    size_t late = 0;

    (void)unused;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        endpoint_init(&clients[i], &h);
        assert_code(rill_create_connection_start(h.loop,
                        &RILL_CONNECT_OPTIONS(.path = path, .timeout = 40 * RILL_MS),
                        &endpoint_protocol, &clients[i], endpoint_connected, &clients[i], NULL),
            0);
    }
    for (size_t i = 0; i < 4; i++) {
        harness_until(&h, endpoint_is_answered, &clients[i]);
        late += clients[i].connected_code == RILL_ETIMEDOUT;
    }
    assert_true(late >= 2);
    for (size_t i = 0; i < 4; i++) {
        if (clients[i].t == NULL)
            continue;
        rill_transport_abort(clients[i].t);
        harness_until(&h, endpoint_is_lost, &clients[i]);
    }
    close(listener);
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_path_comes_and_goes),
        CASE(test_wrong_paths),
        CASE(test_a_path_below_a_file_is_refused_as_such),
        CASE(test_a_stale_path_is_replaced),
        CASE(test_a_path_in_use_is_left_alone),
        CASE(test_a_file_is_never_replaced),
        CASE(test_only_our_own_path_is_removed),
        CASE(test_keep_path),
        CASE(test_loop_free_removes_the_path),
        CASE(test_mode),
        CASE(test_abstract_names),
        CASE(test_credentials_and_names),
        CASE(test_connecting_to_nobody),
        CASE(test_a_full_backlog),
        CASE(test_a_full_backlog_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
