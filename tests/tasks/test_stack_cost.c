/*
 * What a suspended task costs in memory, and what a switch leaves alone.
 */
/* timeout: 180 */
/* valgrind: no */ /* It has no marks on pages, and what it measures would be Valgrind's own. */
#include "tasks.h"

#include <fenv.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static harness h;

static int
setup(void **unused)
{
    (void)unused;
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

/* ---- memory ---- */

#define TASKS          (RILL_EMULATED || RILL__TSAN ? 2000 : 20000) /* More, both refuse. */
#define BYTES_PER_TASK 4600

/* Resident pages and the page tables over them, in KiB. */
static size_t
resident(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[200];
    size_t sum = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            sum += strtoul(line + 6, NULL, 10);
    }
    fclose(file);
    return sum;
}

static int
wait_for_the_end(void *unused)
{
    (void)unused;
    return rill_sleep(3600 * RILL_S);
}

static size_t
tasks_wanted(void)
{
    const char *given = getenv("RILL_TEST_TASKS");

    return given != NULL ? strtoul(given, NULL, 10) : TASKS;
}

static int
suspend_many(void *unused)
{
    size_t count = tasks_wanted();
    rill_task **tasks = calloc(count, sizeof(*tasks));
    size_t before, after;

    (void)unused;
    assert_non_null(tasks);
    memset(tasks, 1, count * sizeof(*tasks));
    before = resident();
    for (size_t i = 0; i < count; i++)
        assert_code(rill_spawn(wait_for_the_end, NULL, NULL, &tasks[i]), 0);
    assert_code(rill_yield(), 0);
    after = resident();
    print_message("%zu tasks: %zu bytes each\n", count, (after - before) * 1024 / count);
    /* The sanitizers have memory of their own for each, an emulator for what it has translated. */
    if (!RILL__ASAN && !RILL__TSAN && !RILL_EMULATED)
        assert_in_range((after - before) * 1024 / count, 1000, BYTES_PER_TASK);
    for (size_t i = 0; i < count; i++)
        (void)rill_task_cancel(tasks[i], NULL);
    for (size_t i = 0; i < count; i++)
        assert_code(rill_join(tasks[i]), RILL_EREVOKED);
    free(tasks);
    return 0;
}

/* With everything: stack, timer, handle, page tables. RILL_TEST_TASKS=1000000 is the whole claim,
 * and takes 4.6 GB.
 *
 * mutant: tasks/task.c
 * - memset(fiber, 0, sizeof(*fiber));
 * + memset((char *)fiber - 5000, 0, 5000 + sizeof(*fiber)); */
static void
test_a_suspended_task_takes_at_most_4600_bytes_with_all_that_belongs_to_it(void **unused)
{
    rill_runner *runner;

    (void)unused;
    assert_code(rill_runner_new(h.loop, NULL, &runner), 0);
    assert_code(rill_runner_run(runner, suspend_many, NULL), 0); /* However long it takes. */
    assert_int_equal(rill_runner_free(runner, 0), 0);
}

/* ---- registers ---- */

#if defined(__x86_64__) && !RILL_UCONTEXT

#define STICKY_INEXACT 0x20u

static int
raise_inexact(void *unused)
{
    (void)unused;
    _mm_setcsr(_mm_getcsr() | STICKY_INEXACT);
    return rill_yield();
}

static int
see_inexact(void *unused)
{
    rill_task *other;
    unsigned control;

    (void)unused;
    RILL_TRY(rill_spawn(raise_inexact, NULL, NULL, &other));
    _mm_setcsr(_mm_getcsr() & ~STICKY_INEXACT);
    control = _mm_getcsr();
    assert_code(rill_yield(), 0);
    assert_int_equal(_mm_getcsr(), control | STICKY_INEXACT);
    return rill_join(other);
}

/* A status bit that differs is no reason to load the register, which is slow: so the other task's
 * is still there. Calls may change these bits.
 *
 * no mutant: the switch is assembly; it fails with 0xffff as CONTROL_BITS there. */
static void
test_a_sticky_flag_of_another_task_makes_a_switch_load_no_register(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, see_inexact, NULL), 0);
}

#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_suspended_task_takes_at_most_4600_bytes_with_all_that_belongs_to_it),
#if defined(__x86_64__) && !RILL_UCONTEXT
        CASE(test_a_sticky_flag_of_another_task_makes_a_switch_load_no_register),
#endif
    };

    return run_cases(tests);
}
