/*
 * The harness. A run in slices: on the kernel each wait is a poll on the loop's own descriptor, cut
 * short every millisecond to look at conditions that no callback tells of; on the simulator the
 * slices grow, as virtual time costs nothing and jumping over nothing neither.
 */
#include "harness.h"

#include "sweep.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include <time.h>

bool
on_driver(const char *name)
{
    const char *driver = getenv("RILL_DRIVER");

    return strcmp(driver != NULL && driver[0] != '\0' ? driver : "epoll", name) == 0;
}

rill_ns
harness_patience(void)
{
    /* A case that lost what it waits for. A listener without memory rests for 100 ms. */
    return sweep_has_refused() && !on_driver("sim") ? SWEEP_PATIENCE : 20 * RILL_S;
}

static bool
is_for_this_driver(const char *name)
{
    return strcmp(name, "kernel") == 0 ? !on_driver("sim") : on_driver(name);
}

int
harness_run_cases(const char *name, const struct CMUnitTest *tests, size_t count)
{
    struct CMUnitTest own[64];
    const char *only = getenv("RILL_TEST_CASE");
    size_t own_count = 0;

    for (size_t i = 0; i < count; i++) {
        const char *driver = tests[i].initial_state;

        if (driver != NULL && !is_for_this_driver(driver))
            continue;
        if (only != NULL && strcmp(only, tests[i].name) != 0)
            continue;
        if (own_count == sizeof(own) / sizeof(own[0])) {
            fprintf(stderr, "more than %zu cases in %s\n", own_count, name);
            return 1;
        }
        own[own_count] = tests[i];
        own[own_count++].initial_state = NULL;
    }
    return _cmocka_run_group_tests(name, own, own_count, NULL, NULL);
}

size_t
descriptor_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the directory itself. */
}

void
descriptors_fill_eventfds(void)
{
    uint64_t most = UINT64_MAX - 1;

    for (int fd = 3; fd < 100; fd++) {
        char path[32], what[32] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof(what) - 1) > 0 && strstr(what, "[eventfd]") != NULL)
            assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
    }
}

static void
keep_log(rill_log_level level, const char *text, void *arg)
{
    harness *h = arg;
    int len;

    assert_null(strchr(text, '\n'));
    len = snprintf(h->log + h->log_len, sizeof(h->log) - h->log_len, "%d: %s\n", (int)level, text);
    if (len > 0)
        h->log_len += (size_t)len;
    if (h->log_len >= sizeof(h->log))
        h->log_len = sizeof(h->log) - 1;
}

void
harness_open(harness *h)
{
    harness_open_with(h, RILL_LOOP_OPTIONS(.driver = NULL));
}

void
harness_open_with(harness *h, rill_loop_options options)
{
    memset(h, 0, sizeof(*h));
    allocator_init(&h->allocator);
    h->descriptors = descriptor_count();
    options.allocator = &h->allocator.hook;
    options.log = keep_log;
    options.log_arg = h;
    assert_int_equal(rill_loop_new(&options, &h->loop), 0);
    if (options.driver == NULL && getenv("RILL_DRIVER") != NULL)
        assert_string_equal(rill_loop_driver(h->loop), getenv("RILL_DRIVER"));
}

static bool
all_have_gone(void *loop)
{
    rill_loop_stats stats = { .size = sizeof(stats) };

    rill_loop_get_stats(loop, &stats);
    return stats.transports + stats.servers == 0;
}

/* What is ending takes its turns; whether it does within a time is nobody's promise. */
void
harness_close(harness *h)
{
    assert_non_null(h->loop); /* Else a test has failed between its own close and open. */
    harness_settle(h);
    (void)harness_await(h, all_have_gone, h->loop);
    harness_close_with(h, 0);
}

void
harness_close_with(harness *h, size_t leftovers)
{
    size_t left = rill_loop_free(h->loop);

    h->loop = NULL;
    if (left != leftovers)
        fail_msg("%zu leftovers instead of %zu; log: %s", left, leftovers, h->log);
    if (!h->log_allowed && h->log_len > 0)
        fail_msg("the log is not empty: %s", h->log);
    allocator_check_empty(&h->allocator);
    assert_int_equal(descriptor_count(), h->descriptors);
}

static void
keep_report(rill_loop *loop, const rill_error_context *context, void *arg)
{
    harness *h = arg;

    assert_ptr_equal(loop, h->loop);
    assert_true(context->size >= sizeof(*context));
    assert_non_null(context->message);
    h->reports++;
    h->report_kind = context->kind;
    h->report_code = context->code;
    h->report_server = context->server;
    h->report_transport = context->transport;
    snprintf(h->report_message, sizeof(h->report_message), "%s", context->message);
    snprintf(h->report_site, sizeof(h->report_site), "%s", context->site ? context->site : "");
    harness_poke(h);
}

void
harness_catch_reports(harness *h)
{
    rill_loop_set_error_handler(h->loop, keep_report, h);
}

void
harness_poke(harness *h)
{
    if (h->until != NULL && rill_loop_is_running(h->loop) && h->until(h->until_arg))
        rill_loop_stop(h->loop);
}

/* Wait at most `slice` for something to happen, then run what is ready. */
static void
wait_slice(harness *h, rill_ns slice)
{
    rill_ns next = rill_loop_next_timeout(h->loop);
    int fd = rill_loop_backend_fd(h->loop);
    int rc;

    if (next != RILL_NEVER && next < slice)
        slice = next;
    if (fd >= 0) {
        struct pollfd event = { .fd = fd, .events = POLLIN };
        struct timespec wait = { .tv_sec = slice / RILL_S, .tv_nsec = slice % RILL_S };

        rc = ppoll(&event, 1, &wait, NULL);
        assert_true(rc >= 0);
        rc = rill_loop_step(h->loop, 0);
    } else {
        rc = rill_loop_run_until(h->loop, rill_loop_time(h->loop) + slice);
        if (rc == RILL_ETIMEDOUT || rc == RILL_EDEADLK)
            rc = 0;
    }
    if (rc < 0)
        fail_msg("the loop ended with %s", rill_errname(rc));
}

static bool
run_slices(harness *h, rill_ns length, bool (*until)(void *arg), void *arg)
{
    rill_ns deadline = rill_loop_time(h->loop) + length;
    rill_ns slice = 10 * RILL_US;
    bool met = false;

    h->until = until;
    h->until_arg = arg;
    while (!met) {
        rill_ns left = deadline - rill_loop_time(h->loop);
        int rc;

        if ((met = until(arg)) || left <= 0)
            break;
        rc = rill_loop_step(h->loop, 0);
        if (rc < 0)
            fail_msg("the loop ended with %s", rill_errname(rc));
        if (rc > 0) {
            slice = 10 * RILL_US;
            continue;
        }
        wait_slice(h, slice < left ? slice : left);
        slice = slice * 2 > RILL_MS && !on_driver("sim") ? RILL_MS : slice * 2;
    }
    h->until = NULL;
    return met;
}

bool
harness_await(harness *h, bool (*until)(void *arg), void *arg)
{
    rill_ns begin = rill_loop_time(h->loop);
    bool sweeping = sweep_fails() && !on_driver("sim"), hopeless;

    do {
        hopeless = sweep_has_refused();
        if (run_slices(h, sweeping ? SWEEP_PATIENCE : HARNESS_PATIENCE, until, arg))
            return true;
    } while (sweeping && !hopeless && rill_loop_time(h->loop) - begin < HARNESS_PATIENCE);
    return false;
}

void
harness_until_(
    harness *h, bool (*until)(void *arg), void *arg, const char *what, const char *file, int line)
{
    if (harness_await(h, until, arg))
        return;
    print_error("waited in vain for %s; log: %s\n", what, h->log);
    _fail(file, line);
}

bool
harness_within(harness *h, rill_ns length, bool (*until)(void *arg), void *arg)
{
    return run_slices(h, length, until, arg);
}

void
harness_run_for(harness *h, rill_ns length)
{
    rill_ns deadline = rill_loop_time(h->loop) + length;
    int rc;

    do
        rc = rill_loop_run_until(h->loop, deadline);
    while (rc == 0);
    if (rc != RILL_ETIMEDOUT && rc != RILL_EDEADLK)
        fail_msg("the loop ended with %s", rill_errname(rc));
}

void
harness_settle(harness *h)
{
    harness_run_for(h, 5 * RILL_MS);
}

int
harness_turn(harness *h)
{
    return rill_loop_step(h->loop, 0);
}

bool
flag_is_set(void *flag)
{
    return *(bool *)flag;
}

bool
pointer_is_null(void *ptr)
{
    return *(void **)ptr == NULL;
}

void
expect_last_error(harness *h, int code, const char *words)
{
    const rill_reason *last = rill_loop_last_error(h->loop);

    assert_non_null(last);
    assert_code(last->code, code);
    assert_non_null(last->sentence);
    assert_contains(last->sentence, words);
}

void
assert_contains_(const char *text, const char *words, const char *file, int line)
{
    if (text != NULL && strstr(text, words) != NULL)
        return;
    print_error("\"%s\" does not contain \"%s\"\n", text != NULL ? text : "(null)", words);
    _fail(file, line);
}

void
assert_code_(int rc, int code, const char *what, const char *file, int line)
{
    if (rc == code)
        return;
    print_error(
        "%s is %s (%d), not %s (%d)\n", what, rill_errname(rc), rc, rill_errname(code), code);
    _fail(file, line);
}

dice
dice_new(void)
{
    const char *given = getenv("RILL_TEST_SEED");
    struct timespec now;
    dice d;

    clock_gettime(CLOCK_MONOTONIC, &now);
    d.state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec * 2654435761u;
    print_message("RILL_TEST_SEED=%llu\n", (unsigned long long)d.state);
    d.state = d.state * UINT64_C(0x9e3779b97f4a7c15) | 1;
    return d;
}

uint32_t
dice_below(dice *d, uint32_t below)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return (uint32_t)(d->state >> 32) % below;
}
