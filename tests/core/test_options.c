/*
 * The options of a loop: every wrong one is refused with its code and nothing is made; memory and
 * descriptors may run out at any point of making one.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t untouched;

static void
refused(rill_loop_options options, int code)
{
    rill_loop *loop = (rill_loop *)&untouched;
    size_t descriptors = descriptor_count();
    allocator memory;

    allocator_init(&memory);
    if (options.allocator == NULL)
        options.allocator = &memory.hook;
    assert_code(rill_loop_new(&options, &loop), code);
    assert_ptr_equal(loop, &untouched);
    allocator_check_empty(&memory);
    assert_int_equal(descriptor_count(), descriptors);
}

static void
test_wrong_options(void **unused)
{
    rill_loop_options options = { 0 };
    rill_allocator half = { .alloc = NULL };

    (void)unused;
    refused(options, RILL_EINVAL);
    refused((rill_loop_options){ .size = 3 }, RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.recv_buffer_bytes = 4095), RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.recv_buffer_bytes = 1), RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.driver = "windows"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = ""), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = "epoll2"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = "epol"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = "epoll,windows"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = "epoll,"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.driver = ",epoll"), RILL_ENODRIVER);
    refused(RILL_LOOP_OPTIONS(.spin = -1), RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.spin = RILL_MS + 1), RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.allocator = &half), RILL_EINVAL);
    refused(RILL_LOOP_OPTIONS(.driver = "epoll", .sim = (rill_sim *)&untouched), RILL_EINVAL);
}

/* Options of a program newer than the library: unknown fields are refused unless they are 0. */
static void
test_newer_options(void **unused)
{
    struct {
        rill_loop_options known;
        uint64_t unknown[4];
    } newer;
    rill_loop *loop = NULL;

    (void)unused;
    memset(&newer, 0, sizeof(newer));
    newer.known.size = sizeof(newer);
    newer.unknown[2] = 1;
    assert_code(rill_loop_new(&newer.known, &loop), RILL_EINVAL);
    assert_null(loop);
}

static void
test_defaults(void **unused)
{
    rill_loop_options options = rill_loop_options_default();
    rill_loop *loop = NULL;

    (void)unused;
    assert_code(rill_loop_new(NULL, &loop), 0);
    assert_false(rill_loop_is_running(loop));
    assert_int_equal(rill_loop_free(loop), 0);
    assert_code(rill_loop_new(&options, &loop), 0);
    assert_int_equal(rill_loop_free(loop), 0);
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.recv_buffer_bytes = 4096), &loop), 0);
    assert_int_equal(rill_loop_free(loop), 0);
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.spin = RILL_MS), &loop), 0);
    assert_int_equal(rill_loop_free(loop), 0);
}

static void
test_the_driver_by_name(void **unused)
{
    rill_loop *loop = NULL;

    (void)unused;
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "epoll"), &loop), 0);
    assert_string_equal(rill_loop_driver(loop), "epoll");
    assert_int_equal(rill_loop_free(loop), 0);
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "auto"), &loop), 0);
    assert_string_equal(rill_loop_driver(loop), "epoll");
    assert_int_equal(rill_loop_free(loop), 0);
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "epoll,sim"), &loop), 0);
    assert_string_equal(rill_loop_driver(loop), "epoll");
    assert_int_equal(rill_loop_free(loop), 0);
}

static void
test_the_driver_by_environment(void **unused)
{
    const char *given = getenv("RILL_DRIVER");
    char *kept = given != NULL ? strdup(given) : NULL;
    rill_loop *loop = NULL;

    (void)unused;
    unsetenv("RILL_DRIVER");
    assert_code(rill_loop_new(NULL, &loop), 0);
    assert_string_equal(rill_loop_driver(loop), "epoll");
    assert_int_equal(rill_loop_free(loop), 0);
    setenv("RILL_DRIVER", "nothing", 1);
    assert_code(rill_loop_new(NULL, &loop), RILL_ENODRIVER);
    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "epoll"), &loop), 0);
    assert_int_equal(rill_loop_free(loop), 0);
    setenv("RILL_DRIVER", "", 1);
    assert_code(rill_loop_new(NULL, &loop), 0);
    assert_int_equal(rill_loop_free(loop), 0);
    if (kept != NULL)
        setenv("RILL_DRIVER", kept, 1);
    else
        unsetenv("RILL_DRIVER");
    free(kept);
}

static bool
debug_of(int option)
{
    rill_loop *loop = NULL;
    bool on;

    assert_code(rill_loop_new(&RILL_LOOP_OPTIONS(.debug = option), &loop), 0);
    on = rill_loop_get_debug(loop);
    assert_int_equal(rill_loop_free(loop), 0);
    return on;
}

static void
test_debug_by_environment(void **unused)
{
    const char *given = getenv("RILL_DEBUG");
    char *kept = given != NULL ? strdup(given) : NULL;

    (void)unused;
    unsetenv("RILL_DEBUG");
    assert_false(debug_of(0));
    assert_true(debug_of(1));
    setenv("RILL_DEBUG", "", 1);
    assert_false(debug_of(0));
    setenv("RILL_DEBUG", "0", 1);
    assert_false(debug_of(0));
    setenv("RILL_DEBUG", "1", 1);
    assert_true(debug_of(0));
    assert_false(debug_of(-1));
    if (kept != NULL)
        setenv("RILL_DEBUG", kept, 1);
    else
        unsetenv("RILL_DEBUG");
    free(kept);
}

/* The allocation of each number fails once, then a loop works as if nothing had been. */
static void
test_making_a_loop_without_memory(void **unused)
{
    size_t descriptors = descriptor_count();
    size_t n;

    (void)unused;
    for (n = 1; n < 1000; n++) {
        rill_loop *loop = NULL;
        allocator memory;
        int rc;

        allocator_init(&memory);
        allocator_fail(&memory, n, n % 2 == 0);
        rc = rill_loop_new(&RILL_LOOP_OPTIONS(.allocator = &memory.hook), &loop);
        if (rc == 0) {
            assert_int_equal(memory.refused, 0);
            assert_int_equal(rill_loop_free(loop), 0);
            allocator_check_empty(&memory);
            break;
        }
        assert_code(rc, -ENOMEM);
        assert_null(loop);
        allocator_check_empty(&memory);
        assert_int_equal(descriptor_count(), descriptors);
    }
    assert_true(n > 1 && n < 1000);
}

static void
test_making_a_loop_without_descriptors(void **unused)
{
    size_t descriptors = descriptor_count();
    struct rlimit before, tight;
    rill_loop *loop = NULL;
    size_t refusals = 0;

    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t spare = 0; spare < 10 && loop == NULL; spare++) {
        int rc, top = dup(0);

        assert_true(top >= 0);
        close(top);
        tight = (struct rlimit){ .rlim_cur = (rlim_t)top + spare, .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        rc = rill_loop_new(NULL, &loop);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (rc == 0)
            break;
        refusals++;
        assert_code(rc, -EMFILE);
        assert_int_equal(descriptor_count(), descriptors);
    }
    assert_true(refusals > 0);
    assert_int_equal(rill_loop_free(loop), 0);
    assert_int_equal(descriptor_count(), descriptors);
}

static void
test_many_loops(void **unused)
{
    rill_loop *loops[50];

    (void)unused;
    for (size_t i = 0; i < 50; i++)
        assert_code(rill_loop_new(NULL, &loops[i]), 0);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(rill_loop_free(loops[(i * 7) % 50]), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_newer_options),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_the_driver_by_name),
        cmocka_unit_test(test_the_driver_by_environment),
        cmocka_unit_test(test_debug_by_environment),
        cmocka_unit_test(test_making_a_loop_without_memory),
        PLAIN_CASE_ON("kernel", test_making_a_loop_without_descriptors),
        cmocka_unit_test(test_many_loops),
    };

    return run_cases(tests);
}
