/*
 * Endpoints and acceptors. The transcript is written before the hooks run, so that a hook sees its
 * own callback in it.
 */
#include "endpoint.h"

#include "sweep.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void
tape_word(endpoint *e, const char *word)
{
    size_t len = strlen(e->tape);

    e->data_sum = 0;
    if (len + 60 < sizeof(e->tape))
        snprintf(e->tape + len, sizeof(e->tape) - len, "%s%s", len > 0 ? " " : "", word);
}

static void
tape_data(endpoint *e, size_t len)
{
    char word[40];
    size_t sum = e->data_sum + len;

    if (e->data_sum > 0)
        e->tape[e->data_at] = '\0';
    e->data_at = strlen(e->tape);
    snprintf(word, sizeof(word), "data(%zu)", sum);
    tape_word(e, word);
    e->data_sum = sum;
}

void
endpoint_init(endpoint *e, harness *h)
{
    memset(e, 0, sizeof(*e));
    e->h = h;
    e->hash = 14695981039346656037u;
}

void
endpoint_keep(endpoint *e, void *buf, size_t size)
{
    e->bytes = buf;
    e->keep = size;
}

static void
on_made(endpoint *e, rill_transport *t)
{
    assert_false(e->made);
    assert_false(e->in_call);
    tape_word(e, "made");
    e->made = true;
    e->t = t;
    e->id = rill_transport_id(t);
    e->made_at = rill_loop_time(e->h->loop);
    if (e->on_made != NULL)
        e->on_made(e);
    harness_poke(e->h);
}

static void
on_data(endpoint *e, rill_transport *t, rill_slice in)
{
    assert_true(e->made && !e->eof && !e->lost);
    assert_false(e->in_call);
    assert_ptr_equal(e->t, t);
    assert_true(in.len > 0);
    tape_data(e, in.len);
    e->data_at_time = rill_loop_time(e->h->loop);
    for (size_t i = 0; i < in.len; i++) {
        if (e->received < e->keep)
            e->bytes[e->received] = in.data[i];
        e->received++;
        e->hash = (e->hash ^ in.data[i]) * 1099511628211u;
    }
    if (e->on_data != NULL)
        e->on_data(e, in);
    if (e->echo && e->t != NULL)
        (void)rill_transport_write(t, in.data, in.len); /* A refusal shows at the other end. */
    harness_poke(e->h);
}

static bool
on_eof(endpoint *e, rill_transport *t)
{
    assert_true(e->made && !e->eof && !e->lost);
    assert_false(e->in_call);
    assert_ptr_equal(e->t, t);
    tape_word(e, "eof");
    e->eof = true;
    if (e->on_eof != NULL)
        e->on_eof(e);
    harness_poke(e->h);
    return e->keep_open;
}

static void
on_pause(endpoint *e, rill_transport *t)
{
    assert_true(e->made && !e->lost && !e->paused);
    assert_ptr_equal(e->t, t);
    tape_word(e, "pause");
    e->paused = true;
    if (e->on_pause != NULL)
        e->on_pause(e);
    harness_poke(e->h);
}

static void
on_resume(endpoint *e, rill_transport *t)
{
    assert_true(e->made && !e->lost && e->paused);
    assert_ptr_equal(e->t, t);
    tape_word(e, "resume");
    e->paused = false;
    if (e->on_resume != NULL)
        e->on_resume(e);
    harness_poke(e->h);
}

static void
on_lost(endpoint *e, rill_transport *t, const rill_reason *why)
{
    char word[60];

    assert_true(e->made && !e->lost);
    assert_false(e->in_call);
    assert_ptr_equal(e->t, t);
    assert_non_null(why);
    assert_non_null(why->sentence);
    snprintf(word, sizeof(word), "lost(%s)", why->code == 0 ? "0" : rill_errname(why->code));
    tape_word(e, word);
    snprintf(e->sentence, sizeof(e->sentence), "%s", why->sentence);
    e->why = *why;
    e->why.sentence = e->sentence;
    e->lost_at = rill_loop_time(e->h->loop);
    if (why->code == -ENOMEM)
        sweep_count_loss();
    if (e->on_lost != NULL)
        e->on_lost(e);
    e->lost = true;
    e->t = NULL;
    harness_poke(e->h);
}

static void
endpoint_made(rill_transport *t, void *self, void *arg)
{
    assert_ptr_equal(self, arg); /* No state: self is the argument. */
    on_made(self, t);
}

static void
endpoint_data(rill_transport *t, void *self, rill_slice in)
{
    on_data(self, t, in);
}

static bool
endpoint_eof(rill_transport *t, void *self)
{
    return on_eof(self, t);
}

static void
endpoint_pause(rill_transport *t, void *self)
{
    on_pause(self, t);
}

static void
endpoint_resume(rill_transport *t, void *self)
{
    on_resume(self, t);
}

static void
endpoint_lost(rill_transport *t, void *self, const rill_reason *why)
{
    on_lost(self, t, why);
}

const rill_protocol endpoint_protocol = RILL_PROTOCOL(.connection_made = endpoint_made,
    .data_received = endpoint_data, .eof_received = endpoint_eof, .pause_writing = endpoint_pause,
    .resume_writing = endpoint_resume, .connection_lost = endpoint_lost);

/* The state of an accepted connection: where its endpoint is. */
typedef struct accepted {
    acceptor *a;
    endpoint *e; /* NULL above ACCEPTED_MAX. */
} accepted;

static void
accepted_made(rill_transport *t, void *self, void *arg)
{
    accepted *state = self;
    acceptor *a = arg;

    assert_null(state->a); /* Zeroed. */
    state->a = a;
    a->made++;
    if (a->made > ACCEPTED_MAX) {
        harness_poke(a->h);
        return;
    }
    state->e = &a->ends[a->made - 1];
    *state->e = a->like;
    on_made(state->e, t);
}

static void
accepted_data(rill_transport *t, void *self, rill_slice in)
{
    accepted *state = self;

    if (state->e != NULL)
        on_data(state->e, t, in);
}

static bool
accepted_eof(rill_transport *t, void *self)
{
    accepted *state = self;

    return state->e != NULL && on_eof(state->e, t);
}

static void
accepted_pause(rill_transport *t, void *self)
{
    accepted *state = self;

    if (state->e != NULL)
        on_pause(state->e, t);
}

static void
accepted_resume(rill_transport *t, void *self)
{
    accepted *state = self;

    if (state->e != NULL)
        on_resume(state->e, t);
}

static void
accepted_lost(rill_transport *t, void *self, const rill_reason *why)
{
    accepted *state = self;

    state->a->lost++;
    if (state->e != NULL)
        on_lost(state->e, t, why);
    else
        harness_poke(state->a->h);
}

const rill_protocol acceptor_protocol = RILL_PROTOCOL(.state_size = sizeof(accepted),
    .connection_made = accepted_made, .data_received = accepted_data, .eof_received = accepted_eof,
    .pause_writing = accepted_pause, .resume_writing = accepted_resume,
    .connection_lost = accepted_lost);

void
acceptor_init(acceptor *a, harness *h)
{
    a->h = h;
    a->made = a->lost = 0;
    endpoint_init(&a->like, h);
}

void
endpoint_connected(void *arg, rill_transport *t, const rill_reason *why)
{
    endpoint *e = arg;

    assert_false(e->connected_called);
    assert_false(e->in_call);
    assert_non_null(why);
    assert_non_null(why->sentence);
    assert_ptr_equal(t, e->t);
    assert_true((t != NULL) == (why->code == 0));
    e->connected_called = true;
    e->connected_code = why->code;
    snprintf(e->connected_sentence, sizeof(e->connected_sentence), "%s", why->sentence);
    harness_poke(e->h);
}

bool
endpoint_is_made(void *e)
{
    return ((endpoint *)e)->made;
}

bool
endpoint_is_lost(void *e)
{
    return ((endpoint *)e)->lost;
}

bool
endpoint_has_eof(void *e)
{
    return ((endpoint *)e)->eof;
}

bool
endpoint_is_answered(void *e)
{
    return ((endpoint *)e)->connected_called;
}

bool
endpoint_is_paused(void *e)
{
    return ((endpoint *)e)->paused;
}

bool
endpoint_is_not_paused(void *e)
{
    return !((endpoint *)e)->paused;
}

bool
acceptor_has_one(void *a)
{
    return ((acceptor *)a)->made > 0;
}

bool
acceptor_is_empty(void *a)
{
    return ((acceptor *)a)->made == ((acceptor *)a)->lost;
}

typedef struct amount {
    void *of;
    uint64_t wanted;
} amount;

static bool
enough_received(void *arg)
{
    amount *a = arg;

    return ((endpoint *)a->of)->received >= a->wanted;
}

static bool
enough_made(void *arg)
{
    amount *a = arg;

    return ((acceptor *)a->of)->made >= a->wanted;
}

void
endpoint_await(endpoint *e, uint64_t received)
{
    amount a = { e, received };

    if (!harness_await(e->h, enough_received, &a))
        fail_msg("%llu of %llu bytes came: %s", (unsigned long long)e->received,
            (unsigned long long)received, e->tape);
    assert_int_equal(e->received, received);
}

void
acceptor_await(acceptor *server, size_t made)
{
    amount a = { server, made };

    if (!harness_await(server->h, enough_made, &a))
        fail_msg("%zu of %zu connections came", server->made, made);
    assert_int_equal(server->made, made);
}

uint8_t
stream_byte(uint64_t offset)
{
    return (uint8_t)((offset ^ (offset >> 8) ^ (offset >> 16) * 5) * 151 + 11);
}

void
stream_fill(uint8_t *buf, uint64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = stream_byte(offset + i);
}

uint64_t
stream_hash(uint64_t len)
{
    uint64_t hash = 14695981039346656037u;

    for (uint64_t i = 0; i < len; i++)
        hash = (hash ^ stream_byte(i)) * 1099511628211u;
    return hash;
}

int
endpoint_send_stream(endpoint *e, uint64_t offset, size_t len)
{
    uint8_t block[8192];
    int rc = 1;

    for (size_t done = 0; done < len && rc >= 0;) {
        size_t part = len - done < sizeof(block) ? len - done : sizeof(block);

        stream_fill(block, offset + done, part);
        e->in_call = true;
        rc = rill_transport_write(e->t, block, part);
        e->in_call = false;
        done += part;
    }
    return rc;
}

uint64_t
endpoint_fill(endpoint *e)
{
    uint64_t sent = 0;

    do {
        while (!e->paused) {
            assert_true(sent < 64u << 20);
            assert_true(endpoint_send_stream(e, sent, 8192) >= 0);
            sent += 8192;
        }
        harness_settle(e->h); /* What is below may take the bytes a little later. */
    } while (!e->paused);
    return sent;
}

rill_server *
serve(harness *h, const rill_server_options *options, acceptor *a, rill_addr *ret_addr)
{
    rill_server *server = NULL;
    int rc;

    acceptor_init(a, h);
    rc = rill_create_server(h->loop, options, &acceptor_protocol, a, &server);
    if (rc < 0)
        fail_msg("no server: %s", rill_loop_last_error(h->loop)->sentence);
    assert_non_null(server);
    if (ret_addr != NULL)
        assert_int_equal(rill_server_sockname(server, 0, ret_addr), 0);
    return server;
}

void
connect_to(harness *h, const rill_addr *addr, endpoint *e)
{
    rill_connect_options options = RILL_CONNECT_OPTIONS(.addr = addr);

    endpoint_init(e, h);
    e->in_call = true;
    assert_code(rill_create_connection_start(
                    h->loop, &options, &endpoint_protocol, e, endpoint_connected, e, NULL),
        0);
    e->in_call = false;
    harness_until(h, endpoint_is_answered, e);
    if (e->connected_code != 0)
        fail_msg("not connected: %s", e->connected_sentence);
}

void
tcp_pair(harness *h, const rill_transport_options *options, acceptor *a, endpoint *client)
{
    rill_connect_options connect = RILL_CONNECT_OPTIONS(.transport = options);
    rill_addr addr;
    rill_server *server =
        serve(h, &RILL_SERVER_OPTIONS(.host = "127.0.0.1", .transport = options), a, &addr);

    connect.addr = &addr;
    endpoint_init(client, h);
    assert_code(rill_create_connection_start(h->loop, &connect, &endpoint_protocol, client,
                    endpoint_connected, client, NULL),
        0);
    harness_until(h, endpoint_is_answered, client);
    assert_int_equal(client->connected_code, 0);
    harness_until(h, acceptor_has_one, a);
    rill_server_close(server);
}

/* ---- nobody listens ---- */

static int deaf, fillers[8];

void
deaf_begin(harness *h, rill_addr *ret_addr)
{
    socklen_t len = sizeof(ret_addr->storage);
    rill_addr addr;

    (void)rill_loop_backend_fd(h->loop); /* Made by now, for who counts descriptors. */
    assert_code(rill_addr_parse("127.0.0.1", 0, &addr), 0);
    deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(deaf, (struct sockaddr *)(void *)addr.storage, addr.len), 0);
    assert_int_equal(listen(deaf, 0), 0);
    assert_int_equal(getsockname(deaf, (struct sockaddr *)(void *)ret_addr->storage, &len), 0);
    ret_addr->len = len;
    for (size_t i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)(void *)ret_addr->storage, len);
    }
}

void
deaf_end(void)
{
    close(deaf);
    for (size_t i = 0; i < 8; i++)
        close(fillers[i]);
}
