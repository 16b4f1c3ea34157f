/* Datagram endpoints that keep a transcript. */
#include "dgrams.h"

#include <errno.h>

static void RILL_PRINTF(2, 3) note(dend *d, const char *format, ...)
{
    size_t len = strlen(d->tape);
    va_list args;

    va_start(args, format);
    if (len + 1 < sizeof(d->tape))
        (void)vsnprintf(d->tape + len, sizeof(d->tape) - len, format, args);
    va_end(args);
    harness_poke(d->h);
}

static void
on_made(rill_transport *t, void *self, void *arg)
{
    dend *d = self;

    assert_ptr_equal(self, arg);
    assert_false(d->made);
    d->made = true;
    d->t = t;
    note(d, "made");
    if (d->on_made != NULL)
        d->on_made(d);
}

static void
on_datagram(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    dend *d = self;
    size_t i = d->received++ % DGRAM_KEPT;

    assert_true(d->made && !d->lost && !d->in_call);
    d->kept[i].len = in.len;
    if (in.len > 0)
        memcpy(d->kept[i].data, in.data, in.len < 64 ? in.len : 64);
    d->kept[i].from = *arrival->from;
    d->kept[i].has_to = arrival->to != NULL;
    if (arrival->to != NULL)
        d->kept[i].to = *arrival->to;
    d->kept[i].truncated = arrival->truncated;
    d->kept[i].interface = arrival->interface;
    d->kept[i].tos = arrival->tos;
    d->bytes += in.len;
    if (d->echo && rill_transport_sendto(t, in.data, in.len, arrival->from) < 0)
        d->echo_errors++;
    if (d->on_datagram != NULL)
        d->on_datagram(d, in, arrival);
    note(d, " %zu", in.len);
}

static void
on_error(rill_transport *t, void *self, int code)
{
    dend *d = self;

    (void)t;
    assert_true(d->made && !d->lost && !d->in_call);
    d->errors++;
    d->last_error = code;
    note(d, " error(%s)", rill_errname(code));
    if (d->on_error != NULL)
        d->on_error(d, code);
}

static void
on_pause(rill_transport *t, void *self)
{
    dend *d = self;

    (void)t;
    assert_true(d->made && !d->lost && !d->paused);
    d->paused = true;
    note(d, " pause");
    if (d->on_pause != NULL)
        d->on_pause(d);
}

static void
on_resume(rill_transport *t, void *self)
{
    dend *d = self;

    (void)t;
    assert_true(d->made && !d->lost && d->paused && !d->in_call);
    d->paused = false;
    note(d, " resume");
    if (d->on_resume != NULL)
        d->on_resume(d);
}

static void
on_lost(rill_transport *t, void *self, const rill_reason *why)
{
    dend *d = self;

    assert_ptr_equal(t, d->t);
    assert_true(d->made && !d->lost && !d->in_call);
    d->lost = true;
    d->lost_code = why->code;
    d->t = NULL;
    note(d, " lost(%s)", why->code == 0 ? "0" : rill_errname(why->code));
}

const rill_datagram_protocol dend_protocol = RILL_DATAGRAM_PROTOCOL(.connection_made = on_made,
    .datagram_received = on_datagram, .error_received = on_error, .pause_writing = on_pause,
    .resume_writing = on_resume, .connection_lost = on_lost);

bool
dend_is_made(void *d)
{
    return ((dend *)d)->made;
}

bool
dend_is_lost(void *d)
{
    return ((dend *)d)->lost;
}

void
dend_open(dend *d, harness *h, const rill_datagram_options *options)
{
    int rc;

    d->h = h;
    rc = rill_create_datagram_endpoint(h->loop, options, &dend_protocol, d, NULL);
    if (rc < 0)
        fail_msg("%s", rill_loop_last_error(h->loop)->sentence);
    assert_false(d->made);
    harness_until(h, dend_is_made, d);
    assert_code(rill_transport_sockname(d->t, &d->addr), 0);
}

void
dgrams_need_ipv6(harness *h)
{
    dend probe = { .h = h };
    int rc = rill_create_datagram_endpoint(
        h->loop, &RILL_DATAGRAM_OPTIONS(.local_host = "::1"), &dend_protocol, &probe, NULL);

    if (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT) {
        print_message("skipped: this machine has no IPv6 loopback\n");
        skip();
    }
    assert_code(rc, 0);
    harness_until(h, dend_is_made, &probe);
    dend_close(&probe);
}

void
dend_open4(dend *d, harness *h)
{
    dend_open(d, h, &RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"));
}

void
dend_connect(dend *d, harness *h, const rill_addr *to)
{
    dend_open(d, h, &RILL_DATAGRAM_OPTIONS(.addr = to));
}

void
dend_close(dend *d)
{
    if (d->t == NULL)
        return;
    d->in_call = true;
    rill_transport_close(d->t);
    d->in_call = false;
    harness_until(d->h, dend_is_lost, d);
}

typedef struct awaited {
    const size_t *count;
    size_t wanted;
} awaited;

static bool
enough(void *arg)
{
    const awaited *a = arg;

    return *a->count >= a->wanted;
}

void
dend_await(dend *d, size_t received)
{
    awaited a = { &d->received, received };

    harness_until(d->h, enough, &a);
    assert_int_equal(d->received, received);
}

void
dend_await_errors(dend *d, size_t errors)
{
    awaited a = { &d->errors, errors };

    harness_until(d->h, enough, &a);
}

int
dend_send(dend *d, const char *text, const rill_addr *to)
{
    int rc;

    d->in_call = true;
    rc = rill_transport_sendto(d->t, text, strlen(text), to);
    d->in_call = false;
    return rc;
}

void
dend_expect(dend *d, size_t n, const char *text)
{
    assert_true(n < d->received);
    assert_int_equal(dend_at(d, n)->len, strlen(text));
    assert_memory_equal(dend_at(d, n)->data, text, strlen(text));
}

rill_datagram_stats
dend_stats(const dend *d)
{
    rill_datagram_stats stats = { .size = sizeof(stats) };

    assert_code(rill_transport_get_datagram_stats(d->t, &stats), 0);
    return stats;
}
