/*
 * Memory that runs out: the n-th allocation fails, for every n, once and for good. It costs a call
 * -ENOMEM or one connection; never a crash, a leak, a hang, or somebody else's connection.
 */
/* timeout: 180 */
#include "endpoint.h"

#include <errno.h>

static harness h;
static acceptor accepted;
static endpoint client, bystander;
static rill_slice held;
static uint64_t sent;
static size_t given_back, lent, drains_started, drains_done;

#define TRAFFIC 150000

static void
expect_no_memory(int rc)
{
    if (rc < 0)
        assert_code(rc, -ENOMEM);
}

static void
give_back(void *arg)
{
    (void)arg;
    given_back++;
}

static void
drain_is_done(void *arg, int rc)
{
    (void)arg;
    (void)rc;
    drains_done++;
}

static void
send_more(endpoint *e)
{
    static uint8_t block[30000];

    while (e->t != NULL && !e->paused && sent < TRAFFIC) {
        int rc;

        stream_fill(block, sent, sizeof(block));
        if (sent / sizeof(block) % 2 == 0) {
            rc = rill_transport_write(e->t, block, sizeof(block));
        } else {
            rill_iovec parts[3] = { { block, 17 }, { block + 17, 12000 },
                { block + 12017, 17983 } };

            rc = rill_transport_writev(e->t, parts, 3);
        }
        if (rc < 0) {
            assert_code(rc, RILL_ECLOSED); /* Lost by an earlier write. */
            return;
        }
        sent += sizeof(block);
    }
}

static void
lend_some(endpoint *e)
{
    static uint8_t block[3000];
    int rc;

    stream_fill(block, sent, sizeof(block));
    rc = rill_transport_write_ref(e->t, block, sizeof(block), give_back, NULL);
    if (rc >= 0) {
        lent++;
        sent += sizeof(block);
    } else {
        assert_true(rc == -ENOMEM || rc == RILL_ECLOSED);
    }
}

static void
begin(endpoint *e)
{
    int rc;

    send_more(e);
    if (!rill_transport_is_closing(e->t))
        lend_some(e);
    rc = rill_transport_drain_start(e->t, 0, 10 * RILL_S, drain_is_done, NULL, NULL);
    if (rc == 0)
        drains_started++;
    else
        assert_true(rc == -ENOMEM || rc == RILL_ECLOSED);
}

static void
hold_first(endpoint *e, rill_slice in)
{
    if (held.data == NULL && e->received == in.len)
        expect_no_memory(rill_slice_hold(h.loop, in, &held));
    if (e->t != NULL && e->received > 50000 && e->user == NULL) {
        e->user = e;
        (void)rill_transport_set_protocol(e->t, rill_transport_get_protocol(e->t), e);
    }
}

static void
do_nothing(void *arg)
{
    (void)arg;
}

static bool
client_is_through(void *arg)
{
    (void)arg;
    if (client.connected_called && client.connected_code != 0)
        return true;
    return client.lost || (client.made && client.received >= TRAFFIC);
}

/* Everything once; true when nothing had to be given up. */
static bool
run_traffic(const rill_addr *addr)
{
    rill_transport_options options = RILL_TRANSPORT_OPTIONS(.write_high = 20000,
        .send_buffer = 16384, .idle_timeout = 60 * RILL_S);
    rill_id id;
    int rc;

    sent = given_back = lent = drains_started = drains_done = 0;
    held = (rill_slice){ 0 };
    endpoint_init(&client, &h);
    client.on_made = begin;
    client.on_resume = send_more;
    client.on_data = hold_first;
    rc = rill_create_connection_start(h.loop,
        &RILL_CONNECT_OPTIONS(.addr = addr, .transport = &options), &endpoint_protocol, &client,
        endpoint_connected, &client, NULL);
    expect_no_memory(rc);
    if (rc < 0)
        return false;
    expect_no_memory(rill_call_soon(h.loop, do_nothing, NULL, NULL));
    expect_no_memory(rill_call_soon_threadsafe(h.loop, do_nothing, NULL));
    rc = rill_call_later(h.loop, 3600 * RILL_S, do_nothing, NULL, &id);
    expect_no_memory(rc);
    if (rc == 0)
        assert_true(rill_cancel(h.loop, id));

    if (!harness_within(&h, 400 * RILL_MS, client_is_through, NULL)) {
        allocator_heal(&h.allocator); /* A server that rests until there is memory again. */
        harness_until(&h, client_is_through, NULL);
    }
    return client.made && !client.lost;
}

static void
end_traffic(void)
{
    if (client.t != NULL)
        rill_transport_close(client.t);
    if (client.made)
        harness_until(&h, endpoint_is_lost, &client);
    harness_settle(&h);
    assert_int_equal(given_back, lent);
    assert_int_equal(drains_done, drains_started);
    rill_slice_release(held);
    if (client.connected_code != 0)
        assert_false(client.made);
}

/* Somebody else, who asks for no memory while it is short. */
static void
check_bystander(void)
{
    uint64_t before = bystander.received;

    allocator_heal(&h.allocator);
    assert_false(bystander.lost);
    assert_int_equal(rill_transport_write(bystander.t, "ping", 4), 1);
    endpoint_await(&bystander, before + 4);
}

static void
sweep(bool for_good)
{
    size_t n, gave_up = 0;

    for (n = 1; n < 2000; n++) {
        rill_server *server;
        rill_addr addr;
        bool complete;
        size_t refused;

        harness_open(&h);
        h.log_allowed = true;
        server = serve(&h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), &accepted, &addr);
        accepted.like.echo = true;
        connect_to(&h, &addr, &bystander);
        acceptor_await(&accepted, 1);
        harness_settle(&h);

        allocator_fail(&h.allocator, n, for_good);
        complete = run_traffic(&addr);
        refused = h.allocator.refused;
        if (complete && refused == 0)
            assert_true(client.hash == stream_hash(client.received));
        gave_up += !complete;
        check_bystander();
        end_traffic();
        rill_transport_close(bystander.t);
        harness_until(&h, endpoint_is_lost, &bystander);
        rill_server_close(server);
        harness_until(&h, acceptor_is_empty, &accepted);
        harness_settle(&h);
        harness_close(&h);
        if (refused == 0)
            break;
    }
    assert_true(n > 5 && n < 2000); /* There was something to fail, and an end to it. */
    assert_true(gave_up > 0);
}

static void
test_each_allocation_fails_once(void **unused)
{
    (void)unused;
    sweep(false);
}

static void
test_from_each_allocation_on_all_fail(void **unused)
{
    (void)unused;
    sweep(true);
}

/* Every creating call by itself: the code is -ENOMEM, nothing is left, and the next call works. */
static int
create(int which, rill_transport **ret_t)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", NULL };
    rill_addr addr;

    assert_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    endpoint_init(&client, &h);
    endpoint_init(&bystander, &h);
    switch (which) {
    case 0:
        return rill_call_soon(h.loop, do_nothing, NULL, NULL);
    case 1:
        return rill_call_later(h.loop, 3600 * RILL_S, do_nothing, NULL, NULL);
    case 2:
        return rill_call_every(h.loop, 3600 * RILL_S, do_nothing, NULL, NULL);
    case 3:
        return rill_call_soon_threadsafe(h.loop, do_nothing, NULL);
    case 4:
        return rill_create_server(
            h.loop, &RILL_SERVER_OPTIONS(.hosts = hosts), &endpoint_protocol, NULL, NULL);
    case 5:
        return rill_create_connection_start(h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr),
            &endpoint_protocol, &client, NULL, NULL, NULL);
    case 6:
        return rill_create_pair(
            h.loop, NULL, &endpoint_protocol, &client, &endpoint_protocol, &bystander, ret_t, NULL);
    case 7:
        return rill_create_pair(h.loop, NULL, &acceptor_protocol, &accepted, &acceptor_protocol,
            &accepted, ret_t, NULL);
    }
    return 1;
}

static void
test_creating_calls(void **unused)
{
    (void)unused;
    for (int which = 0; which < 8; which++) {
        size_t n, blocks, descriptors;

        for (n = 1; n < 100; n++) {
            rill_transport *t = NULL;
            int rc;

            harness_open(&h);
            acceptor_init(&accepted, &h);
            blocks = h.allocator.blocks;
            descriptors = descriptor_count();
            allocator_fail(&h.allocator, n, false);
            rc = create(which, &t);
            if (h.allocator.refused > 0 && rc < 0) {
                assert_code(rc, -ENOMEM);
                assert_null(t);
                if (which >= 4)
                    assert_code(rill_loop_last_error(h.loop)->code, -ENOMEM);
                /* A page and a table may have been made, which stay with the loop. */
                assert_true(h.allocator.blocks <= blocks + 3);
                assert_int_equal(descriptor_count(), descriptors);
                allocator_heal(&h.allocator);
                assert_code(create(which, &t), 0);
            } else {
                assert_code(rc, 0);
            }
            n = h.allocator.refused == 0 ? 1000 : n;
            (void)rill_loop_free(h.loop);
            allocator_check_empty(&h.allocator);
            assert_int_equal(descriptor_count(), h.descriptors);
        }
        assert_true(n > 1000);
    }
}

static void
file_is_done(void *arg, int rc, uint64_t count)
{
    (void)arg;
    (void)rc;
    (void)count;
}

static int
ask(int which, rill_transport *t, int file)
{
    static const rill_protocol with_state = RILL_PROTOCOL(.state_size = 100);
    rill_slice in = { .data = (const uint8_t *)"held", .len = 4 };

    switch (which) {
    case 0:
        return rill_transport_drain_start(t, 0, RILL_NEVER, drain_is_done, NULL, NULL);
    case 1:
        return rill_transport_sendfile_start(t, file, 0, 1, true, file_is_done, NULL, NULL);
    case 2:
        return rill_transport_set_protocol(t, &with_state, NULL);
    case 3:
        return rill_transport_write_ref(t, "lent", 4, give_back, NULL);
    default:
        return rill_slice_hold(h.loop, in, &held);
    }
}

/* A call that fails for want of memory leaves its sentence, not the one of an earlier call. */
static void
test_the_sentence(void **unused)
{
    static const char *const words[] = { "drain", "sendfile", "set_protocol", "write_ref", "hold" };
    FILE *file = tmpfile();

    (void)unused;
    assert_non_null(file);
    for (int which = 0; which < 5; which++) {
        rill_transport *t = NULL;

        harness_open(&h);
        endpoint_init(&client, &h);
        endpoint_init(&bystander, &h);
        assert_code(create(6, &t), 0);
        harness_settle(&h);
        assert_code(rill_loop_last_error(h.loop)->code, 0);
        allocator_fail(&h.allocator, 1, true);
        assert_code(ask(which, t, fileno(file)), -ENOMEM);
        expect_last_error(&h, -ENOMEM, words[which]);
        allocator_heal(&h.allocator);
        rill_transport_abort(t);
        harness_until(&h, endpoint_is_lost, &bystander);
        harness_close(&h);
    }
    fclose(file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails_once),
        cmocka_unit_test(test_from_each_allocation_on_all_fail),
        cmocka_unit_test(test_creating_calls),
        cmocka_unit_test(test_the_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
