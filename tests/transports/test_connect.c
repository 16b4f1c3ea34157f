/*
 * Connecting: what is refused at once, what fails later and with which words, timeouts, canceling,
 * local addresses, localhost, the hook, and the order of connection_made, done and data.
 */
#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static harness h;
static acceptor accepted;
static endpoint client;

static int
setup(void **unused)
{
    (void)unused;
    acceptor_init(&accepted, &h);
    harness_open(&h);
    endpoint_init(&client, &h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    return 0;
}

static int
start(const rill_connect_options *options, rill_id *ret_id)
{
    int rc;

    endpoint_init(&client, &h);
    client.in_call = true;
    rc = rill_create_connection_start(
        h.loop, options, &endpoint_protocol, &client, endpoint_connected, &client, ret_id);
    client.in_call = false;
    assert_false(client.connected_called || client.made);
    return rc;
}

static void
end_client(void)
{
    rill_transport_close(client.t);
    harness_until(&h, endpoint_is_lost, &client);
}

/* A port on 127.0.0.1 where nobody listens: bound, but not listening, as long as `server` lives. */
static rill_server *
nobody(rill_addr *ret_addr)
{
    return serve(
        &h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .start_paused = 1), &accepted, ret_addr);
}

static void
test_wrong_options(void **unused)
{
    rill_connect_options unsized = { .host = "127.0.0.1", .port = 80 };
    rill_transport_options low = RILL_TRANSPORT_OPTIONS(.write_high = 10, .write_low = 20);
    rill_protocol bad_protocol = endpoint_protocol;
    size_t blocks = h.allocator.blocks;
    rill_addr addr, none = { 0 };
    rill_id id = 5;

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 80, &addr), 0);
    assert_code(start(&unsized, &id), RILL_EINVAL);
    assert_code(start(NULL, &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.port = 80), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.host = "127.0.0.1"), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = -1), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = 65536), &id), RILL_EINVAL);
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = 80, .path = "/tmp/x"), &id),
        RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.host = "127.0.0.1", .port = 80, .addr = &addr), &id),
        RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &none), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.path = ""), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .timeout = -7), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_port = 70000), &id), RILL_EINVAL);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .transport = &low), &id), RILL_EINVAL);
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.host = "example.com", .port = 80), &id), RILL_EADDRESS);
    expect_last_error(&h, RILL_EADDRESS, "example.com");
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_host = "here"), &id), RILL_EADDRESS);
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.host = "::1", .port = 1, .family = RILL_FAMILY_IPV4), &id),
        RILL_EADDRESS);
    bad_protocol.size = 1;
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &bad_protocol, &client, NULL, NULL, &id),
        RILL_EINVAL);
    assert_code(rill_create_connection_start(
                    h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr), NULL, &client, NULL, NULL, &id),
        RILL_EINVAL);
    assert_int_equal(id, 5);
    assert_int_equal(h.allocator.blocks, blocks);
    harness_settle(&h);
    assert_false(client.connected_called);
}

static bool done_before_data;

static void
check_answered(endpoint *e, rill_slice in)
{
    (void)in;
    done_before_data = e->connected_called;
}

static void
send_greeting(endpoint *e)
{
    assert_int_equal(rill_transport_write(e->t, "welcome", 7), 1);
}

/* asyncio 12.3: connection_made, then the answer, then data, even if the data is there already. */
static void
test_made_then_done_then_data(void **unused)
{
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    accepted.like.on_made = send_greeting;
    done_before_data = false;
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), NULL), 0);
    client.on_data = check_answered;
    endpoint_await(&client, 7);
    assert_true(done_before_data);
    assert_int_equal(client.connected_code, 0);
    assert_string_equal(client.tape, "made data(7)");
    end_client();
    end_server(&h, &accepted, server);
}

static void
test_by_host_and_port(void **unused)
{
    rill_server *server;
    char host[20] = "127.0.0.1";
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    assert_code(start(&RILL_CONNECT_OPTIONS(.host = host, .port = rill_addr_port(&addr)), NULL), 0);
    memset(host, 'x', sizeof(host) - 1); /* Strings are copied. */
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, 0);
    end_client();
    end_server(&h, &accepted, server);
}

static void
test_without_done(void **unused)
{
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &client, NULL, NULL, NULL),
        0);
    harness_until(&h, endpoint_is_made, &client);
    end_client();
    end_server(&h, &accepted, server);
    endpoint_init(&client, &h);
    server = nobody(&addr);
    assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                    &endpoint_protocol, &client, NULL, NULL, NULL),
        0);
    harness_run_for(&h, 20 * RILL_MS);
    assert_false(client.made);
    end_server(&h, &accepted, server);
}

static void
test_refused(void **unused)
{
    rill_addr addr;
    rill_server *server = nobody(&addr);
    char where[RILL_ADDR_TEXT];

    (void)unused;
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), NULL), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -ECONNREFUSED);
    assert_contains(client.connected_sentence, rill_addr_format(&addr, where, sizeof(where)));
    assert_contains(client.connected_sentence, "refused");
    harness_settle(&h);
    assert_false(client.made);
    end_server(&h, &accepted, server);
}

/* Both families are tried, whichever one the server has. */
static void
test_localhost(void **unused)
{
    static const char *const hosts[] = { "127.0.0.1", "::1" };

    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        rill_server *server;
        rill_addr addr;

        server = serve(&h, &RILL_SERVER_OPTIONS(.host = hosts[i]), &accepted, &addr);
        assert_code(
            start(&RILL_CONNECT_OPTIONS(.host = "localhost", .port = rill_addr_port(&addr)), NULL),
            0);
        harness_until(&h, endpoint_is_answered, &client);
        assert_code(client.connected_code, 0);
        assert_int_equal(client.made, 1);
        end_client();
        end_server(&h, &accepted, server);
    }
}

static void
test_localhost_names_every_address_tried(void **unused)
{
    rill_server *server;
    char words[50];
    rill_addr addr;

    (void)unused;
    server =
        serve(&h, &RILL_SERVER_OPTIONS(.host = "localhost", .start_paused = 1), &accepted, &addr);
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.host = "localhost", .port = rill_addr_port(&addr)), NULL), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -ECONNREFUSED);
    assert_contains(client.connected_sentence, "localhost");
    snprintf(words, sizeof(words), "127.0.0.1:%d", rill_addr_port(&addr));
    assert_contains(client.connected_sentence, words);
    snprintf(words, sizeof(words), "[::1]:%d", rill_addr_port(&addr));
    assert_contains(client.connected_sentence, words);

    assert_code(start(&RILL_CONNECT_OPTIONS(.host = "localhost", .port = rill_addr_port(&addr),
                          .family = RILL_FAMILY_IPV4),
                    NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_null(strstr(client.connected_sentence, "::1"));
    end_server(&h, &accepted, server);
}

static void
test_local_address(void **unused)
{
    rill_server *server;
    rill_addr addr, name;
    char text[RILL_ADDR_TEXT];

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_host = "127.0.0.7"), NULL), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, 0);
    acceptor_await(&accepted, 1);
    assert_code(rill_transport_peername(accepted.ends[0].t, &name), 0);
    assert_contains(rill_addr_format(&name, text, sizeof(text)), "127.0.0.7:");
    end_client();

    /* asyncio, appendix B 39: in use; the sentence names the local address. */
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_host = "127.0.0.1",
                          .local_port = rill_addr_port(&addr)),
                    NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -EADDRINUSE);
    snprintf(text, sizeof(text), "127.0.0.1:%d", rill_addr_port(&addr));
    assert_contains(client.connected_sentence, text);

    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_host = "192.0.2.1"), NULL), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -EADDRNOTAVAIL);
    assert_contains(client.connected_sentence, "192.0.2.1");
    end_server(&h, &accepted, server);
}

/* asyncio, appendix B 40: of another family. */
static void
test_local_address_of_another_family(void **unused)
{
    rill_addr addr;

    (void)unused;
    assert_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .local_host = "::1"), NULL), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, -EAFNOSUPPORT);
}

static void
test_timeout(void **unused)
{
    char where[RILL_ADDR_TEXT];
    size_t descriptors;
    rill_addr addr;
    rill_ns begin;

    (void)unused;
    deaf_begin(&h, &addr);
    descriptors = descriptor_count();
    begin = rill_loop_time(h.loop);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr, .timeout = 40 * RILL_MS), NULL), 0);
    harness_settle(&h);
    assert_int_equal(descriptor_count(), descriptors + 1);
    harness_until(&h, endpoint_is_answered, &client);
    assert_true(rill_loop_time(h.loop) - begin >= 40 * RILL_MS);
    assert_code(client.connected_code, RILL_ETIMEDOUT);
    assert_contains(client.connected_sentence, rill_addr_format(&addr, where, sizeof(where)));
    harness_settle(&h);
    assert_false(client.made);
    assert_int_equal(descriptor_count(), descriptors); /* The half-open socket is closed. */
    deaf_end();
}

static void
test_cancel(void **unused)
{
    size_t descriptors;
    rill_addr addr;
    rill_id id = 0;

    (void)unused;
    deaf_begin(&h, &addr);
    descriptors = descriptor_count();
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), &id), 0);
    assert_true(id != 0);
    harness_settle(&h);
    assert_true(rill_cancel(h.loop, id));
    assert_false(rill_cancel(h.loop, id));
    harness_turn(&h);
    assert_int_equal(descriptor_count(), descriptors); /* In the same turn. */
    harness_run_for(&h, 20 * RILL_MS);
    assert_false(client.connected_called || client.made);
    deaf_end();
}

static void
test_cancel_at_once_and_too_late(void **unused)
{
    rill_server *server;
    rill_addr addr;
    rill_id id = 0;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), &id), 0);
    assert_true(rill_cancel(h.loop, id));
    harness_run_for(&h, 20 * RILL_MS);
    assert_false(client.connected_called || client.made);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), &id), 0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, 0);
    assert_false(rill_cancel(h.loop, id));
    end_client();
    end_server(&h, &accepted, server);
}

static void
test_loop_free_answers(void **unused)
{
    rill_addr addr;

    (void)unused;
    deaf_begin(&h, &addr);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), NULL), 0);
    harness_settle(&h);
    deaf_end();
    harness_close_with(&h, 1);
    assert_true(client.connected_called);
    assert_code(client.connected_code, RILL_ELOOPFREED);
    assert_false(client.made);
    harness_open(&h);
}

static int hook_fd;
static size_t hook_calls;

static int
hook(int fd, void *arg)
{
    hook_calls++;
    hook_fd = fd;
    return *(int *)arg;
}

static void
test_the_hook(void **unused)
{
    rill_server *server;
    rill_addr addr;
    int answer = 0;

    (void)unused;
    hook_calls = 0;
    server = serve(&h,
        &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .socket_hook = hook, .socket_hook_arg = &answer),
        &accepted, &addr);
    assert_int_equal(hook_calls, 1);
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.addr = &addr, .socket_hook = hook, .socket_hook_arg = &answer),
            NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, 0);
    assert_int_equal(hook_calls, 2);
    assert_true(on_driver("sim") ? hook_fd == -1 : hook_fd >= 0);
    end_client();
    answer = RILL_EUSER - 3;
    assert_code(
        start(&RILL_CONNECT_OPTIONS(.addr = &addr, .socket_hook = hook, .socket_hook_arg = &answer),
            NULL),
        0);
    harness_until(&h, endpoint_is_answered, &client);
    assert_code(client.connected_code, RILL_EUSER - 3);
    end_server(&h, &accepted, server);
    answer = -EPERM;
    assert_code(rill_create_server(h.loop,
                    &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .socket_hook = hook,
                        .socket_hook_arg = &answer),
                    &acceptor_protocol, &accepted, NULL),
        -EPERM);
}

static void
close_at_once(endpoint *e)
{
    rill_transport_close(e->t);
}

static void
abort_at_once(endpoint *e)
{
    rill_transport_abort(e->t);
}

static void
test_close_in_made(void **unused)
{
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), NULL), 0);
    client.on_made = close_at_once;
    harness_until(&h, endpoint_is_lost, &client);
    assert_true(client.connected_called);
    assert_string_equal(client.tape, "made lost(0)");
    acceptor_await(&accepted, 1);
    harness_until(&h, acceptor_is_empty, &accepted);
    assert_code(start(&RILL_CONNECT_OPTIONS(.addr = &addr), NULL), 0);
    client.on_made = abort_at_once;
    harness_until(&h, endpoint_is_lost, &client);
    assert_true(client.connected_called);
    assert_string_equal(client.tape, "made lost(RILL_EABORTED)");
    acceptor_await(&accepted, 2);
    end_server(&h, &accepted, server);
}

/* Many at once, each answered once. */
static void
test_many_connects(void **unused)
{
    static endpoint many[50];
    rill_server *server;
    rill_addr addr;

    (void)unused;
    server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
    for (size_t i = 0; i < 50; i++) {
        endpoint_init(&many[i], &h);
        assert_code(rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
                        &endpoint_protocol, &many[i], endpoint_connected, &many[i], NULL),
            0);
    }
    for (size_t i = 0; i < 50; i++) {
        harness_until(&h, endpoint_is_answered, &many[i]);
        assert_code(many[i].connected_code, 0);
    }
    acceptor_await(&accepted, 50);
    for (size_t i = 0; i < 50; i++)
        rill_transport_close(many[i].t);
    for (size_t i = 0; i < 50; i++)
        harness_until(&h, endpoint_is_lost, &many[i]);
    end_server(&h, &accepted, server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_wrong_options),
        CASE(test_made_then_done_then_data),
        CASE(test_by_host_and_port),
        CASE(test_without_done),
        CASE(test_refused),
        CASE(test_localhost),
        CASE(test_localhost_names_every_address_tried),
        CASE(test_local_address),
        CASE(test_local_address_of_another_family),
        CASE_ON("kernel", test_timeout),
        CASE_ON("kernel", test_cancel),
        CASE(test_cancel_at_once_and_too_late),
        CASE_ON("kernel", test_loop_free_answers),
        CASE(test_the_hook),
        CASE(test_close_in_made),
        CASE(test_many_connects),
    };

    return run_cases(tests);
}
