/*
 * Every allocation of the library passes the hook: while whole scenarios run, each malloc, calloc,
 * realloc and free of this process outside of the hook's own functions is counted, in the library
 * and in what it calls of the C library. There must be none.
 *
 * Plain builds define malloc themselves, for every caller in the process; in sanitized ones the
 * sanitizer's hooks count. Valgrind puts a malloc of its own in place of both.
 */
/* valgrind: no */
#include "pairs.h"

#include "core/sanitizers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_bool watching;
static atomic_size_t outside, hooked;
static _Thread_local volatile unsigned in_hook; /* malloc is known not to look at it. */

static void
count_call(void)
{
    if (in_hook > 0)
        atomic_fetch_add(&hooked, 1);
    else if (atomic_load(&watching))
        atomic_fetch_add(&outside, 1);
}

#if RILL__ASAN || RILL__TSAN

int __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void *ptr, size_t size),
    void (*free_hook)(const volatile void *ptr));

static void
saw_malloc(const volatile void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
    count_call();
}

static void
saw_free(const volatile void *ptr)
{
    (void)ptr;
    count_call();
}

static void
install(void)
{
    assert_true(__sanitizer_install_malloc_and_free_hooks(saw_malloc, saw_free) > 0);
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *ptr);

void *
malloc(size_t size)
{
    count_call();
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    count_call();
    return __libc_calloc(count, size);
}

void *
realloc(void *ptr, size_t size)
{
    count_call();
    return __libc_realloc(ptr, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    count_call();
    return __libc_memalign(alignment, size);
}

void
free(void *ptr)
{
    if (ptr != NULL)
        count_call();
    __libc_free(ptr);
}

static void
install(void)
{
}

#endif

/* ---- the hook ---- */

static atomic_size_t alive;

static void *
hook_alloc(void *ctx, size_t size, rill_tag tag)
{
    void *ptr;

    (void)ctx;
    (void)tag;
    in_hook++;
    ptr = malloc(size);
    in_hook--;
    alive++;
    return ptr;
}

static void *
hook_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, rill_tag tag)
{
    void *moved;

    (void)ctx;
    (void)old_size;
    (void)tag;
    in_hook++;
    moved = realloc(ptr, new_size);
    in_hook--;
    return moved;
}

static void
hook_free(void *ctx, void *ptr, size_t size, rill_tag tag)
{
    (void)ctx;
    (void)size;
    (void)tag;
    in_hook++;
    free(ptr);
    in_hook--;
    alive--;
}

static const rill_allocator hook = { hook_alloc, hook_resize, hook_free, NULL };

/* ---- under watch: nothing of the test's own may allocate here ---- */

static harness h;
static char unix_path[100];
static uint8_t file_bytes[200007];
static int file_fd = -1;

static void
ignore_log(rill_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

static void
begin_watch(rill_log_fn log)
{
    rill_loop_options options = RILL_LOOP_OPTIONS(.allocator = &hook, .log = log);

    atomic_store(&outside, 0);
    atomic_store(&hooked, 0);
    atomic_store(&watching, true);
    memset(&h, 0, sizeof(h));
    if (rill_loop_new(&options, &h.loop) != 0)
        abort();
}

static void
end_watch(void)
{
    (void)rill_loop_free(h.loop);
    atomic_store(&watching, false);
    if (outside != 0)
        fail_msg("%zu calls of malloc or free outside of the hook", (size_t)outside);
    assert_int_equal(alive, 0);
    assert_true(hooked > 0);
}

static int
make_pair(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    (void)user;
    return rill_create_pair(loop, options, protocol_a, arg_a, protocol_b, arg_b, NULL, NULL);
}

static int
make_tcp(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.host = "127.0.0.1"), options, protocol_a,
        arg_a, protocol_b, arg_b, user);
}

static int
make_unix(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
    void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
{
    return make_listening_pair(loop, &RILL_SERVER_OPTIONS(.path = unix_path), options, protocol_a,
        arg_a, protocol_b, arg_b, user);
}

static void
count_verdict(const char *name, rill_conformance_verdict verdict, const char *sentence, void *arg)
{
    (void)name;
    (void)sentence;
    *(size_t *)arg += verdict == RILL_CONFORMANCE_PASSED;
}

static void
run_battery(rill_conformance_make make)
{
    pairs p = { .h = &h };
    size_t passed = 0;
    rill_conformance_options options = RILL_CONFORMANCE_OPTIONS(.make_pair = make,
        .end_pair = end_listening_pair, .user = &p, .report = count_verdict, .report_arg = &passed,
        .file_data = file_bytes, .file_len = sizeof(file_bytes), .file_fd = file_fd);
    int failed;

    begin_watch(ignore_log);
    failed = rill_conformance(h.loop, &options);
    end_watch();
    assert_int_equal(failed, 0);
    assert_true(passed > 80);
}

static void
test_battery_on_pairs(void **unused)
{
    (void)unused;
    run_battery(make_pair);
}

static void
test_battery_on_tcp(void **unused)
{
    (void)unused;
    run_battery(make_tcp);
}

static void
test_battery_on_unix(void **unused)
{
    (void)unused;
    run_battery(make_unix);
}

static size_t ticks;

static void
tick(void *arg)
{
    (void)arg;
    ticks++;
}

/* How a thread begins and ends is the C library's affair: it does so outside of the watch. */
static sem_t begun, go, leave;

static void
wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

static void *
post_many(void *arg)
{
    (void)sem_post(&begun);
    wait_for(&go);
    for (int i = 0; i < 3000; i++)
        (void)rill_call_soon_threadsafe(arg, tick, NULL);
    (void)sem_post(&begun);
    wait_for(&leave);
    return NULL;
}

static bool
all_posted(void *arg)
{
    (void)arg;
    return ticks >= 3000;
}

static void
test_callbacks_and_posts(void **unused)
{
    pthread_t poster;
    rill_id ids[300];

    (void)unused;
    assert_int_equal(sem_init(&begun, 0, 0) | sem_init(&go, 0, 0) | sem_init(&leave, 0, 0), 0);
    begin_watch(ignore_log);
    /* A thread's stack is the test's own allocation. */
    atomic_store(&watching, false);
    assert_int_equal(pthread_create(&poster, NULL, post_many, h.loop), 0);
    wait_for(&begun);
    atomic_store(&watching, true);
    for (size_t i = 0; i < 300; i++) {
        (void)rill_call_later(h.loop, 3600 * RILL_S, tick, NULL, &ids[i]);
        (void)rill_call_soon(h.loop, tick, NULL, NULL);
    }
    for (size_t i = 0; i < 300; i++) {
        (void)rill_timer_rearm(h.loop, ids[i], rill_loop_time(h.loop) + 7200 * RILL_S);
        if (i % 2 == 0)
            (void)rill_cancel(h.loop, ids[i]);
    }
    (void)rill_call_every(h.loop, RILL_MS, tick, NULL, &ids[0]);
    harness_run_for(&h, 20 * RILL_MS);
    ticks = 0;
    (void)sem_post(&go);
    if (on_driver("sim"))
        wait_for(&begun); /* A second thread has no time on a virtual clock. */
    harness_until(&h, all_posted, NULL);
    (void)rill_cancel(h.loop, ids[0]);
    if (!on_driver("sim"))
        wait_for(&begun);
    end_watch();
    (void)sem_post(&leave);
    pthread_join(poster, NULL);
    assert_int_equal(sem_destroy(&begun) | sem_destroy(&go) | sem_destroy(&leave), 0);
}

static void
drained(void *arg, size_t aborted)
{
    (void)aborted;
    *(bool *)arg = true;
}

static bool
eight_connected(void *arg)
{
    (void)arg;
    return ticks >= 8;
}

static void
connected(void *arg, rill_transport *t, const rill_reason *why)
{
    (void)arg;
    (void)t;
    (void)why;
    ticks++;
}

static const rill_protocol silent = RILL_PROTOCOL(.state_size = 24);

/* Servers with their limits, texts and ways to end; errors with their sentences and reports. */
static void
test_servers_and_reports(void **unused)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", NULL };
    char text[400];
    rill_server *server = NULL;
    rill_addr addr;
    bool done = false;

    (void)unused;
    ticks = 0;
    begin_watch(ignore_log);
    if (rill_create_server(h.loop,
            &RILL_SERVER_OPTIONS(.hosts = hosts, .connections_per_peer_max = 5), &silent, NULL,
            &server) == 0) {
        (void)rill_server_describe(server, text, sizeof(text));
        (void)rill_server_sockname(server, 0, &addr);
        for (int i = 0; i < 8; i++)
            (void)rill_create_connection_start(
                h.loop, &RILL_CONNECT_OPTIONS(.addr = &addr), &silent, NULL, connected, NULL, NULL);
        harness_until(&h, eight_connected, NULL);
        (void)rill_create_connection_start(h.loop,
            &RILL_CONNECT_OPTIONS(.host = "localhost", .port = 1), &silent, NULL, connected, NULL,
            NULL);
        (void)rill_create_connection_start(h.loop,
            &RILL_CONNECT_OPTIONS(.host = "no.address", .port = 1), &silent, NULL, NULL, NULL,
            NULL);
        (void)rill_loop_last_error(h.loop);
        rill_loop_report(h.loop,
            &(rill_error_context){
                .size = sizeof(rill_error_context), .kind = RILL_ERROR_USER, .message = "a word" });
        harness_run_for(&h, 5 * RILL_MS);
        (void)rill_server_drain_start(server, 20 * RILL_MS, drained, &done);
        harness_until(&h, flag_is_set, &done);
        harness_run_for(&h, 5 * RILL_MS);
    }
    end_watch();
    assert_true(done);
}

/* The watch sees what is outside, whoever calls, and only that. */
static void
test_the_watch_sees(void **unused)
{
    void *volatile ptr; /* A pair of calls whose result nobody looks at may be left out. */
    char *volatile copy;

    (void)unused;
    begin_watch(ignore_log);
    assert_int_equal(outside, 0);
    ptr = malloc(10);
    assert_true(outside >= 1);
    free(ptr);
    assert_true(outside >= 2);
    copy = strdup(unix_path); /* By the C library. */
    assert_true(outside >= 3);
    free(copy);
    assert_true(outside >= 4);
    atomic_store(&outside, 0);
    end_watch();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_watch_sees),
        cmocka_unit_test(test_battery_on_pairs),
        cmocka_unit_test(test_battery_on_tcp),
        cmocka_unit_test(test_battery_on_unix),
        cmocka_unit_test(test_callbacks_and_posts),
        cmocka_unit_test(test_servers_and_reports),
    };

    install();
    snprintf(unix_path, sizeof(unix_path), "%s", scratch_path("outside"));
    for (size_t i = 0; i < sizeof(file_bytes); i++)
        file_bytes[i] = (uint8_t)(i * 11 + (i >> 8));
    file_fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_fd < 0 ||
        write(file_fd, file_bytes, sizeof(file_bytes)) != (ssize_t)sizeof(file_bytes))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
