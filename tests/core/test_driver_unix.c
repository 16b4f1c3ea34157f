/*
 * The conformance suite of drivers, 4: Unix sockets. See test_driver.c.
 */
#include "driver_ends.h"

/* ---- Unix sockets ---- */

static void
test_unix_connect(void **state)
{
    fixture *f = *state;
    char text[RILL_ADDR_TEXT];
    rill_credentials peer;
    rill_tcp_info info = { .size = sizeof(info) };
    rill_addr name;

    ends_connect_unix(f);
    assert_string_equal(rill_addr_format(&f->peers[0], text, sizeof(text)), "unix:");
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), 0);
    assert_true(rill_addr_equal(&name, &f->address));
    assert_int_equal(f->sys->credentials(f->driver, f->a.io.fd, &peer), 0);
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, getuid());
    assert_int_equal(peer.gid, getgid());
    assert_int_equal(f->sys->tcp_info(f->driver, f->a.io.fd, &info), RILL_ENOTSUP);
    ends_send(f, "hello");
    ends_wait(f, ends_b_five);
    assert_memory_equal(f->b.got, "hello", 5);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
    ends_wait(f, ends_b_eof);
    assert_int_equal(ends_send_result(f, &f->b, "reply"), 5);
    ends_wait(f, ends_a_some);
    assert_memory_equal(f->a.got, "reply", 5);
    assert_int_equal(ends_send_result(f, &f->a, "x"), -EPIPE);
}

static void
test_unix_paths(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);
    uint64_t first[2] = { 0, 0 };
    uint64_t second[2] = { 0, 0 };
    int fd;

    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -ENOENT);
    assert_int_equal(f->sys->unix_stale(f->driver, &addr), 0);
    assert_int_equal(f->sys->unix_identity(f->driver, &addr, first), -ENOENT);
    fd = ends_open_listener(f, &addr, 4);
    assert_int_equal(f->sys->unix_stale(f->driver, &addr), -EADDRINUSE);
    assert_int_equal(f->sys->unix_identity(f->driver, &addr, first), 0);
    assert_int_equal(f->sys->unix_chmod(f->driver, &addr, 0600), 0);
    assert_int_equal(ends_try_bind(f, &addr, false), -EADDRINUSE);
    f->sys->close_fd(f->driver, fd, false); /* The path stays. */
    assert_int_equal(f->sys->unix_stale(f->driver, &addr), 1);
    assert_int_equal(ends_try_bind(f, &addr, false), -EADDRINUSE);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -ECONNREFUSED);
    assert_int_equal(f->sys->unix_identity(f->driver, &addr, second), 0);
    assert_memory_equal(first, second, sizeof(first));
    assert_int_equal(f->sys->unix_unlink(f->driver, &addr), 0);
    assert_int_equal(f->sys->unix_unlink(f->driver, &addr), -ENOENT);
    fd = ends_open_listener(f, &addr, 4);
    f->sys->close_fd(f->driver, fd, false);
    assert_int_equal(f->sys->unix_unlink(f->driver, &addr), 0);
}

static void
test_unix_bind_twice(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);
    int fd = ends_open(f, RILL_FAMILY_UNIX);
    rill_addr name;
    rill_addr other;

    assert_int_equal(f->sys->bind(f->driver, fd, &addr), 0);
    assert_int_equal(f->sys->sockname(f->driver, fd, &name), 0);
    assert_true(rill_addr_equal(&name, &addr));
    assert_int_equal(rill_addr_unix("@rill-driver-other", &other), 0);
    assert_int_equal(f->sys->bind(f->driver, fd, &other), -EINVAL);
    f->sys->close_fd(f->driver, fd, false);
}

/* A client with a name is known by it. */
static void
test_unix_named_client(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);
    rill_addr name;

    ends_listen_on(f, &addr, 4);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(rill_addr_unix("@rill-driver-client", &name), 0);
    assert_int_equal(f->sys->bind(f->driver, f->a.io.fd, &name), 0);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), 0);
    ends_wait(f, ends_a_connected_and_accepted);
    assert_true(rill_addr_equal(&f->peers[0], &name));
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -EISCONN);
    f->sys->close_fd(f->driver, f->fds[0], false);
}

static void
test_unix_bound_not_listening(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);
    int fd = ends_open(f, RILL_FAMILY_UNIX);

    assert_int_equal(f->sys->listen(f->driver, fd, 1), -EINVAL);
    assert_int_equal(f->sys->bind(f->driver, fd, &addr), 0);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -ECONNREFUSED);
    f->sys->close_fd(f->driver, fd, false);
}

static void
test_unix_abstract(void **state)
{
    fixture *f = *state;
    rill_addr addr;
    char name[64];

    snprintf(name, sizeof(name), "@rill-driver-%d", (int)getpid());
    assert_int_equal(rill_addr_unix(name, &addr), 0);
    ends_attach(f, &f->c, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->c.io, &addr), -ECONNREFUSED);
    ends_connect(f, &addr);
    assert_int_equal(ends_try_bind(f, &addr, false), -EADDRINUSE);
    ends_close(f, &f->listener, false);
    ends_wait(f, ends_listener_closed);
    ends_send(f, "hello");
    ends_wait(f, ends_b_five);
    assert_int_equal(f->sys->unix_stale(f->driver, &addr), 0);
    ends_close(f, &f->b, false); /* It holds the name no more than the listener did. */
    ends_wait(f, ends_b_closed);
    assert_int_equal(ends_try_bind(f, &addr, false), 0);
}

static void
test_unix_backlog_full(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);
    int fds[2];
    int listener = ends_open_listener(f, &addr, 1);

    for (int i = 0; i < 2; i++) {
        fds[i] = ends_open(f, RILL_FAMILY_UNIX);
        ends_attach(f, &f->a, fds[i], RILL__IO_STREAM);
        assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), 0);
        ends_wait(f, ends_a_final);
        assert_int_equal(f->a.final, 0);
        assert_int_equal(f->ops->detach(f->driver, &f->a.io), fds[i]);
        f->a.attached = false;
    }
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), -EAGAIN);
    for (int i = 0; i < 2; i++)
        f->sys->close_fd(f->driver, fds[i], false);
    f->sys->close_fd(f->driver, listener, false);
}

/* Closed with bytes unread: the other end reads what it has, then ECONNRESET once, then the end. */
static void
test_unix_close_with_unread_bytes(void **state)
{
    fixture *f = *state;
    rill_addr name;

    ends_connect_unix(f);
    f->ops->pause(f->driver, &f->a.io);
    f->ops->pause(f->driver, &f->b.io);
    ends_send(f, "lost");
    assert_int_equal(ends_send_result(f, &f->b, "kept"), 4);
    ends_close(f, &f->b, false);
    ends_wait(f, ends_b_closed);
    assert_int_equal(ends_send_result(f, &f->a, "x"), -EPIPE);
    f->ops->resume(f->driver, &f->a.io);
    ends_wait(f, ends_a_error);
    assert_int_equal(f->a.last, -ECONNRESET);
    assert_int_equal(f->a.got_len, 4);
    assert_memory_equal(f->a.got, "kept", 4);
    f->a.eof = false;
    f->ops->resume(f->driver, &f->a.io);
    ends_stay_quiet(f);
    assert_true(f->a.eof);
    assert_int_equal(f->a.errors, 1);
    assert_int_equal(f->sys->peername(f->driver, f->a.io.fd, &name), 0);
    assert_int_equal(f->ops->shutdown_write(f->driver, &f->a.io), 0);
}

/* There is no reset on a Unix socket. */
static void
test_unix_reset_is_close(void **state)
{
    fixture *f = *state;

    ends_connect_unix(f);
    ends_send(f, "hello");
    ends_close(f, &f->a, true);
    ends_wait(f, ends_b_ended);
    assert_int_equal(f->b.last, 0);
    assert_memory_equal(f->b.got, "hello", 5);
}

static void
test_unix_listener_close(void **state)
{
    fixture *f = *state;
    rill_addr addr = ends_unix_address(f);

    ends_attach(f, &f->listener, ends_open_listener(f, &addr, 4), RILL__IO_LISTENER);
    ends_attach(f, &f->a, ends_open(f, RILL_FAMILY_UNIX), RILL__IO_STREAM);
    assert_int_equal(f->ops->connect_start(f->driver, &f->a.io, &addr), 0);
    ends_wait(f, ends_a_final);
    assert_int_equal(f->ops->subscribe(f->driver, &f->a.io), 0);
    ends_close(f, &f->listener, false);
    ends_wait(f, ends_a_error);
    assert_int_equal(f->a.last, -ECONNRESET);
}

static void
test_unix_backpressure(void **state)
{
    fixture *f = *state;
    uint8_t *data = malloc(BIG);

    assert_non_null(data);
    ends_fill(data, BIG, 0);
    ends_connect_unix(f);
    ends_block_sender(f, data, BIG);
    f->ops->resume(f->driver, &f->b.io);
    ends_wait(f, ends_a_final);
    assert_true(f->a.final > 0);
    free(data);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        ENDS_TEST(test_unix_connect),
        ENDS_TEST(test_unix_paths),
        ENDS_TEST(test_unix_bind_twice),
        ENDS_TEST(test_unix_named_client),
        ENDS_TEST(test_unix_bound_not_listening),
        ENDS_TEST(test_unix_abstract),
        ENDS_TEST(test_unix_backlog_full),
        ENDS_TEST(test_unix_close_with_unread_bytes),
        ENDS_TEST(test_unix_reset_is_close),
        ENDS_TEST(test_unix_listener_close),
        ENDS_TEST(test_unix_backpressure),
    };

    return ends_run(tests, sizeof(tests) / sizeof(tests[0]));
}
