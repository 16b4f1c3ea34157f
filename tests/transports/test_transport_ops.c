/*
 * A transport kind of one's own, every step of it by hand: what the base does for it, what it
 * refuses, and which breaches of the grammar it ends the process for.
 */
#include "child.h"
#include "endpoint.h"
#include "sweep.h"

#include <rill/transport_ops.h>

#include <errno.h>

static harness h;
static endpoint e;

/* What the base has asked of the kind, as a transcript. */
static char asked[500];
static bool finalized;

static void
note(const char *word)
{
    size_t len = strlen(asked);

    snprintf(asked + len, sizeof(asked) - len, "%s%s", len > 0 ? " " : "", word);
}

struct manual {
    uint64_t first; /* Zeroed at first. */
    int abort_code;
    size_t len;
    uint8_t bytes[200];
};

static char abort_sentence[120];

static void
manual_write(rill_transport *t, void *impl, const rill_iovec *parts, size_t count)
{
    struct manual *m = impl;
    size_t sum = 0;
    char word[40];

    for (size_t i = 0; i < count; i++) {
        memcpy(m->bytes + m->len, parts[i].data, parts[i].len);
        m->len += parts[i].len;
        sum += parts[i].len;
    }
    snprintf(word, sizeof(word), "write(%zu)", sum);
    note(word);
    rill_transport_account(t, (int64_t)sum, 0);
}

static void
manual_eof(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
    note("eof");
}

static void
manual_close(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
    note("close");
}

static void
manual_abort(rill_transport *t, void *impl, int code, const char *sentence)
{
    struct manual *m = impl;
    char word[60];

    (void)t;
    m->abort_code = code;
    snprintf(abort_sentence, sizeof(abort_sentence), "%s", sentence != NULL ? sentence : "");
    snprintf(word, sizeof(word), "abort(%s)", rill_errname(code));
    note(word);
}

static void
manual_pause(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
    note("pause");
}

static void
manual_resume(rill_transport *t, void *impl)
{
    (void)t;
    (void)impl;
    note("resume");
}

static void
manual_finalize(rill_transport *t, void *impl)
{
    assert_ptr_equal(rill_transport_of_impl(impl), t);
    finalized = true;
}

static const rill_transport_ops manual_ops = { .size = sizeof(rill_transport_ops),
    .name = "manual",
    .impl_size = sizeof(struct manual),
    .write = manual_write,
    .write_eof = manual_eof,
    .close = manual_close,
    .abort = manual_abort,
    .pause_reading = manual_pause,
    .resume_reading = manual_resume,
    .finalize = manual_finalize };

static rill_transport *t; /* NULL once it has been told of its end, and before there is one. */
static struct manual *m;

static void
made_soon(void *arg)
{
    rill_transport_made(arg);
}

static void
make(const rill_transport_options *options)
{
    assert_code(rill_transport_new(
                    h.loop, &manual_ops, options, &endpoint_protocol, &e, RILL_SITE("manual"), &t),
        0);
    m = rill_transport_impl(t);
    assert_int_equal(m->first, 0);
    assert_int_equal((uintptr_t)m % 16, 0);
    assert_code(rill_call_soon(h.loop, made_soon, t, NULL), 0);
    harness_until(&h, endpoint_is_made, &e);
    assert_ptr_equal(e.t, t);
}

static int
setup(void **unused)
{
    (void)unused;
    asked[0] = '\0';
    finalized = false;
    t = NULL;
    harness_open(&h);
    endpoint_init(&e, &h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_settle(&h); /* Deeds that are still to come. */
    /* A case that a refused allocation cut short could not end what only its own hand ends. */
    if (t != NULL && sweep_has_refused())
        rill_transport_lost(t, RILL_EABORTED, RILL_LAYER_TRANSPORT, NULL);
    harness_close(&h);
    return 0;
}

/* Everything a kind does happens in callbacks of the loop, as a real one's does. */
static struct deed {
    enum { DATA, END, SENT, LOST } what;
    size_t len;
    size_t taken;
    int code;
} deed;

static void
do_deed(void *arg)
{
    static const uint8_t bytes[] = "abcdefghijklmnopqrstuvwxyz";

    (void)arg;
    switch (deed.what) {
    case DATA:
        deed.taken = rill_transport_data(t, (rill_slice){ .data = bytes, .len = deed.len });
        break;
    case END:
        rill_transport_eof(t);
        break;
    case SENT:
        rill_transport_account(t, -(int64_t)deed.len, deed.len);
        break;
    case LOST:
        rill_transport_lost(t, deed.code, RILL_LAYER_TRANSPORT, NULL);
        t = NULL;
        break;
    }
}

static void
act(int what, size_t len, int code)
{
    deed = (struct deed){ .what = what, .len = len, .code = code };
    assert_code(rill_call_soon(h.loop, do_deed, NULL, NULL), 0);
    harness_settle(&h);
}

static void
test_wrong_tables(void **unused)
{
    rill_transport_ops ops = manual_ops;
    rill_transport_options bad = RILL_TRANSPORT_OPTIONS(.write_high = 10, .write_low = 20);
    rill_transport *none = NULL;

    (void)unused;
#define REFUSED(field) \
    ops = manual_ops;  \
    ops.field = 0;     \
    assert_code(       \
        rill_transport_new(h.loop, &ops, NULL, &endpoint_protocol, &e, "x", &none), RILL_EINVAL)
    REFUSED(size);
    REFUSED(write);
    REFUSED(close);
    REFUSED(abort);
    REFUSED(pause_reading);
    REFUSED(resume_reading);
#undef REFUSED
    assert_code(
        rill_transport_new(h.loop, NULL, NULL, &endpoint_protocol, &e, "x", &none), RILL_EINVAL);
    assert_code(rill_transport_new(h.loop, &manual_ops, NULL, NULL, &e, "x", &none), RILL_EINVAL);
    assert_code(rill_transport_new(h.loop, &manual_ops, &bad, &endpoint_protocol, &e, "x", &none),
        RILL_EINVAL);
    assert_null(none);
    allocator_fail(&h.allocator, 1, true);
    assert_code(
        rill_transport_new(h.loop, &manual_ops, NULL, &endpoint_protocol, &e, "x", &none), -ENOMEM);
    allocator_heal(&h.allocator);
    assert_null(none);
}

static void
test_discard(void **unused)
{
    (void)unused;
    assert_code(rill_transport_new(h.loop, &manual_ops, NULL, &endpoint_protocol, &e, "x", &t), 0);
    rill_transport_discard(t);
    t = NULL;
    harness_settle(&h);
    assert_true(finalized);
    assert_string_equal(e.tape, "");
    finalized = false;
    assert_code(rill_transport_new(h.loop, &manual_ops, NULL, &endpoint_protocol, &e, "x", &t), 0);
    act(LOST, 0, -ECONNREFUSED); /* Before made: discarded too. */
    assert_true(finalized);
    assert_string_equal(e.tape, "");
}

static void
test_the_whole_life(void **unused)
{
    rill_transport_info info = { .size = sizeof(info) };

    (void)unused;
    make(&RILL_TRANSPORT_OPTIONS(.write_high = 100, .write_low = 50, .write_cap = 1000));
    rill_transport_get_info(t, &info);
    assert_string_equal(info.kind, "manual");
    assert_contains(info.site, "test_transport_ops.c");
    assert_true(rill_transport_wants_data(t));
    act(DATA, 5, 0);
    assert_int_equal(deed.taken, 5);

    assert_int_equal(rill_transport_write(t, "0123456789", 10), 1);
    assert_int_equal(m->len, 10);
    assert_memory_equal(m->bytes, "0123456789", 10);
    assert_int_equal(rill_transport_write_buffer_size(t), 10);
    act(SENT, 4, 0);
    assert_int_equal(rill_transport_write_buffer_size(t), 6);

    act(END, 0, 0); /* Answered with false: the base closes. */
    assert_string_equal(asked, "write(10) close");
    assert_true(rill_transport_is_closing(t));
    act(SENT, 6, 0);
    act(LOST, 0, 0);
    assert_true(finalized);
    assert_string_equal(e.tape, "made data(5) eof lost(RILL_EOF)");
}

static void
test_the_base_keeps_the_marks(void **unused)
{
    static char text[200];

    (void)unused;
    make(&RILL_TRANSPORT_OPTIONS(.write_high = 100, .write_low = 50, .write_cap = 1000));
    assert_int_equal(rill_transport_write(t, text, 100), 1);
    assert_int_equal(rill_transport_write(t, text, 1), 0);
    act(SENT, 50, 0);
    assert_string_equal(e.tape, "made pause");
    act(SENT, 1, 0);
    assert_string_equal(e.tape, "made pause resume");
    m->len = 0;
    for (int i = 0; i < 5; i++) {
        (void)rill_transport_write(t, text, 190);
        m->len = 0;
    }
    assert_string_equal(e.tape, "made pause resume pause");
    assert_null(strstr(asked, "abort")); /* 50 + 950 is the cap. */
    (void)rill_transport_write(t, text, 1);
    assert_contains(asked, "abort(RILL_EOVERFLOW)");
    assert_int_equal(m->abort_code, RILL_EOVERFLOW);
    act(LOST, 0, m->abort_code);
    assert_string_equal(e.tape, "made pause resume pause lost(RILL_EOVERFLOW)");
}

static void
test_the_base_filters_calls(void **unused)
{
    (void)unused;
    make(NULL);
    rill_transport_pause_reading(t);
    rill_transport_pause_reading(t);
    assert_false(rill_transport_wants_data(t));
    rill_transport_resume_reading(t);
    rill_transport_resume_reading(t);
    assert_code(rill_transport_write_eof(t), 0);
    assert_code(rill_transport_write_eof(t), 0);
    assert_code(rill_transport_write(t, "x", 1), RILL_EEOFSENT);
    rill_transport_close(t);
    rill_transport_close(t);
    rill_transport_pause_reading(t);
    assert_code(rill_transport_write(t, "x", 1), RILL_ECLOSED);
    rill_transport_fail(t, RILL_EUSER - 1, "enough");
    rill_transport_abort(t);
    assert_string_equal(asked, "pause resume eof close abort(UNKNOWN)");
    assert_int_equal(m->abort_code, RILL_EUSER - 1);
    assert_string_equal(abort_sentence, "enough");
    assert_false(rill_transport_wants_data(t));
    act(LOST, 0, RILL_EUSER - 1);
    assert_string_equal(asked, "pause resume eof close abort(UNKNOWN)");
}

static void
test_what_the_table_lacks(void **unused)
{
    rill_tcp_info info = { .size = sizeof(info) };
    rill_credentials who;
    rill_addr addr;
    int value;

    (void)unused;
    make(NULL);
    assert_code(rill_transport_peername(t, &addr), RILL_ENOTSUP);
    assert_code(rill_transport_sockname(t, &addr), RILL_ENOTSUP);
    assert_code(rill_transport_fd(t), RILL_ENOTSUP);
    assert_code(rill_transport_credentials(t, &who), RILL_ENOTSUP);
    assert_code(rill_transport_tcp_info(t, &info), RILL_ENOTSUP);
    assert_code(rill_transport_set_option(t, RILL_OPTION_NODELAY, 1), RILL_ENOTSUP);
    assert_code(rill_transport_get_option(t, RILL_OPTION_NODELAY, &value), RILL_ENOTSUP);
    act(LOST, 0, -EIO);
    assert_string_equal(e.tape, "made lost(EIO)");
}

static size_t releases;

static void
count_release(void *arg)
{
    (void)arg;
    releases++;
}

/* Without a write_ref of its own the base copies, and releases later. */
static void
test_lent_bytes_are_copied(void **unused)
{
    char text[] = "lent";

    (void)unused;
    make(NULL);
    releases = 0;
    assert_int_equal(rill_transport_write_ref(t, text, 4, count_release, NULL), 1);
    assert_int_equal(releases, 0);
    memcpy(text, "gone", 4);
    assert_memory_equal(m->bytes, "lent", 4);
    harness_settle(&h);
    assert_int_equal(releases, 1);
    act(LOST, 0, 0);
    assert_int_equal(releases, 1);
}

static void
pause_at_three(rill_transport *transport, void *self, size_t len)
{
    size_t *sum = self;

    *sum += len;
    if (*sum == 6)
        rill_transport_pause_reading(transport);
}

static size_t
three_bytes(rill_transport *transport, void *self, size_t hint, void **ret_buf)
{
    static uint8_t buf[3];

    (void)transport;
    (void)self;
    (void)hint;
    *ret_buf = buf;
    return sizeof(buf);
}

/* What was not wanted after a pause in the middle is given back. */
static void
test_a_pause_in_the_middle(void **unused)
{
    static const rill_protocol small =
        RILL_PROTOCOL(.get_buffer = three_bytes, .buffer_updated = pause_at_three);
    size_t sum = 0;

    (void)unused;
    make(NULL);
    assert_code(rill_transport_set_protocol(t, &small, &sum), 0);
    act(DATA, 10, 0);
    assert_int_equal(deed.taken, 6);
    assert_int_equal(sum, 6);
    assert_code(rill_transport_set_protocol(t, &endpoint_protocol, &e), 0);
    rill_transport_abort(t);
    act(LOST, 0, RILL_EABORTED);
    assert_string_equal(e.tape, "made lost(RILL_EABORTED)");
}

/* The breaches, each in a child. */
static const struct breach {
    const char *name;
    int first, second;
    bool paused, closed;
} breaches[] = {
    { "data while paused", DATA, DATA, true, false },
    { "data after eof", END, DATA, false, false },
    { "a second eof", END, END, false, false },
    { "data after close", DATA, DATA, false, true },
    { "a second loss", LOST, LOST, false, false },
};

static int
commit_breach(void *arg)
{
    const struct breach *b = arg;

    harness_open(&h);
    endpoint_init(&e, &h);
    e.keep_open = true;
    make(NULL);
    if (b->first != LOST)
        act(b->first, 1, 0);
    if (b->paused)
        rill_transport_pause_reading(t);
    if (b->closed)
        rill_transport_close(t);
    if (b->first == LOST)
        rill_transport_lost(t, 0, RILL_LAYER_TRANSPORT, NULL);
    act(b->second, 1, 0);
    return 0;
}

static int
make_twice(void *arg)
{
    (void)arg;
    harness_open(&h);
    endpoint_init(&e, &h);
    make(NULL);
    rill_transport_made(t);
    return 0;
}

static int
account_below_zero(void *arg)
{
    (void)arg;
    harness_open(&h);
    endpoint_init(&e, &h);
    make(NULL);
    act(SENT, 1, 0);
    return 0;
}

static void
test_breaches_end_the_process(void **unused)
{
    struct breach copy;

    (void)unused;
    for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
        copy = breaches[i];
        print_message("%s\n", copy.name);
        expect_abort(commit_breach, &copy, "rill");
    }
    expect_abort(make_twice, NULL, "rill");
    expect_abort(account_below_zero, NULL, "rill");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_wrong_tables),
        CASE(test_discard),
        CASE(test_the_whole_life),
        CASE(test_the_base_keeps_the_marks),
        CASE(test_the_base_filters_calls),
        CASE(test_what_the_table_lacks),
        CASE(test_lent_bytes_are_copied),
        CASE(test_a_pause_in_the_middle),
        CASE(test_breaches_end_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
