/*
 * Stacks: overflows that name their task, fallbacks where the kernel gives less, memory that comes
 * back, and registers that survive a wait.
 */
/* timeout: 180 */
/* valgrind: no */ /* A hundred thousand stacks, and no marks on pages. */
#include "tasks.h"

#include "child.h"

#include "tasks/internal.h"

#include <errno.h>
#include <fenv.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* ---- overflow ---- */

static __attribute__((noinline)) int
recurse(volatile int depth)
{
    volatile char frame[1000];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static int
overflow(void *unused)
{
    (void)unused;
    return recurse(0);
}

static int
spawn_overflow(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(overflow, NULL, RILL_TASK_OPTIONS(.name = "deep"), &task));
    return rill_join(task);
}

static int
run_overflow(void *unused)
{
    struct rlimit no_core = { 0, 0 };

    (void)unused;
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGSEGV, SIG_DFL); /* cmocka catches it, on a stack that is not there. */
    signal(SIGBUS, SIG_DFL);
    return rill_run(spawn_overflow, NULL);
}

/* mutant: tasks/stack.c
 * - made = rill__host_stack_guard(low, GUARD_BYTES, tasks->light_guards);
 * + (void)low; */
static void
test_a_recursion_without_end_dies_with_a_message_that_names_the_task(void **unused)
{
    static child_result result;

    (void)unused;
    child_run(run_overflow, NULL, &result);
    assert_int_not_equal(result.signal, 0);
    assert_contains(result.text, "'deep' (made at ");
    assert_contains(result.text, "has overflowed its stack of 48 KiB");
}

/* ---- many ---- */

static size_t
mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t lines = 0;
    int c;

    assert_non_null(file);
    while ((c = fgetc(file)) != EOF)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static int
wait_for_the_end(void *unused)
{
    (void)unused;
    return rill_sleep(3600 * RILL_S);
}

#if RILL__ASAN || RILL__TSAN
#define MANY 2000
#else
#define MANY 100000
#endif

static int
spawn_many(void *arg)
{
    size_t before = mappings();
    rill_task **tasks = calloc(MANY, sizeof(*tasks));

    assert_non_null(tasks);
    for (size_t i = 0; i < MANY; i++)
        RILL_TRY(rill_spawn(wait_for_the_end, NULL, NULL, &tasks[i]));
    RILL_TRY(rill_yield());
    if (arg != NULL)
        assert_true(mappings() - before <= 30);
    for (size_t i = 0; i < MANY; i++)
        rill_task_cancel(tasks[i], NULL);
    for (size_t i = 0; i < MANY; i++)
        assert_code(rill_join(tasks[i]), RILL_EREVOKED);
    free(tasks);
    return 0;
}

static bool
has_light_guards(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool has = madvise(memory, page, 102) == 0;

    munmap(memory, page);
    return has && !RILL__ASAN && !RILL__TSAN;
}

/* mutant: tasks/stack.c
 * - stacks->committed += count;
 * + stacks->committed += count + 1; */
static void
test_a_hundred_thousand_guarded_tasks_take_a_few_mappings(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, spawn_many, has_light_guards() ? WORD("look") : NULL), 0);
}

/* Neither marks nor room for mappings: canaries, and one warning. */
static int
spawn_without_guards(void *unused)
{
    rill_task *tasks[50];

    (void)unused;
    rill_loop_running()->tasks->light_guards = false;
    rill_loop_running()->tasks->mapped_guards_max = 20;
    for (size_t i = 0; i < 50; i++)
        RILL_TRY(rill_spawn(wait_for_the_end, NULL, NULL, &tasks[i]));
    RILL_TRY(rill_yield());
    assert_int_equal(rill_loop_running()->tasks->mapped_guards, 20);
    for (size_t i = 0; i < 50; i++)
        rill_task_cancel(tasks[i], NULL);
    for (size_t i = 0; i < 50; i++)
        assert_code(rill_join(tasks[i]), RILL_EREVOKED);
    return 0;
}

/* mutant: tasks/stack.c
 * - if (made == RILL__GUARD_NONE && !tasks->warned) {
 * + if (made == RILL__GUARD_NONE) { */
static void
test_without_room_for_guards_there_are_canaries_and_one_warning(void **unused)
{
    const char *first;

    (void)unused;
    h.log_allowed = true;
    assert_code(tasks_run(&h, spawn_without_guards, NULL), 0);
    first = strstr(h.log, "have no guard");
    assert_non_null(first);
    assert_null(strstr(first + 1, "have no guard"));
}

static int
overwrite_the_end(void *unused)
{
    const rill__stack *stack = &rill_loop_running()->fiber->coro.stack;

    (void)unused;
    *(volatile uint64_t *)(void *)stack->low = 0;
    return rill_yield();
}

static int
spawn_overwriter(void *unused)
{
    rill_task *task;

    (void)unused;
    rill_loop_running()->tasks->light_guards = false;
    rill_loop_running()->tasks->mapped_guards_max = 0;
    RILL_TRY(rill_spawn(overwrite_the_end, NULL, RILL_TASK_OPTIONS(.name = "writer"), &task));
    return rill_join(task);
}

static int
run_overwriter(void *unused)
{
    (void)unused;
    return rill_run(spawn_overwriter, NULL);
}

/* mutant: tasks/wait.c
 * - if (*(const uint64_t *)(const void *)fiber->inner->stack.low != RILL__CANARY)
 * + if (false) */
static void
test_a_canary_tells_of_an_overflow_when_the_task_next_waits(void **unused)
{
    (void)unused;
    expect_abort(run_overwriter, NULL, "'writer' (made at ");
    expect_abort(run_overwriter, NULL, "has overflowed its stack");
}

static int
spawn_some(void *unused)
{
    static int (*const fns[])(void *) = { wait_for_the_end };
    rill_task *tasks[200];

    (void)unused;
    for (size_t i = 0; i < 200; i++)
        RILL_TRY(rill_spawn(fns[0], NULL, NULL, &tasks[i]));
    RILL_TRY(rill_yield());
    for (size_t i = 0; i < 200; i++)
        rill_task_cancel(tasks[i], NULL);
    for (size_t i = 0; i < 200; i++)
        RILL_IGNORE(rill_join(tasks[i]));
    return 5;
}

static int
run_with_little_space(void *unused)
{
    struct rlimit space = { 600 << 20, 600 << 20 };

    (void)unused;
    CHILD_CHECK(setrlimit(RLIMIT_AS, &space) == 0);
    CHILD_CHECK(rill_run(spawn_some, NULL) == 5);
    return 0;
}

/* no mutant: with a sanitizer it can not be tried. */
static void
test_tasks_work_in_a_small_address_space(void **unused)
{
    static child_result result;

    (void)unused;
    if (RILL__ASAN || RILL__TSAN)
        return; /* They need more than all of it. */
    child_run(run_with_little_space, NULL, &result);
    assert_string_equal(result.text, "");
    assert_int_equal(result.exit_code, 0);
}

/* ---- size classes, and memory that comes back ---- */

static __attribute__((noinline)) void
use_stack(size_t bytes)
{
    volatile char *memory = __builtin_alloca(bytes);

    for (size_t i = 0; i < bytes; i += 512)
        memory[i] = 1;
}

static int
use_much(void *arg)
{
    use_stack(*(size_t *)arg);
    RILL_TRY(rill_yield());
    use_stack(*(size_t *)arg);
    return 0;
}

static int
classes(void *unused)
{
    static size_t sizes[] = { 40 << 10, 200 << 10, 900 << 10, 7 << 20 };

    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        rill_task *task;

        RILL_TRY(rill_spawn(use_much, &sizes[i],
            RILL_TASK_OPTIONS(.stack_bytes = sizes[i] + sizes[i] / 10), &task));
        RILL_TRY(rill_join(task));
    }
    return 0;
}

/* mutant: tasks/stack.c
 * - return class;
 * + return class > 0 ? class - 1 : 0; */
static void
test_stacks_come_in_four_sizes(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, classes, NULL), 0);
}

static size_t
resident_pages(const rill__stack *stack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = (size_t)(stack->top - stack->low) / page;
    unsigned char states[2100];
    size_t resident = 0;

    assert_true(count <= sizeof(states));
    assert_int_equal(mincore(stack->low, (size_t)(stack->top - stack->low), states), 0);
    for (size_t i = 0; i < count; i++)
        resident += states[i] & 1;
    return resident;
}

static int
use_and_sleep(void *unused)
{
    (void)unused;
    use_stack(32 << 10);
    return rill_sleep(3600 * RILL_S);
}

static int
sleep_deep(void *unused)
{
    rill__stack stack;
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(use_and_sleep, NULL, NULL, &task));
    RILL_TRY(rill_yield());
    stack = task->fiber->coro.stack;
    assert_true(resident_pages(&stack) >= 8);
    RILL_TRY(rill_sleep(25 * RILL_S));
    assert_int_equal(resident_pages(&stack), 1);
    rill_task_cancel(task, NULL);
    assert_code(rill_join(task), RILL_EREVOKED);
    return 0;
}

static int
burst(void *unused)
{
    rill_task *tasks[100];
    rill__stack stack;

    (void)unused;
    for (size_t i = 0; i < 100; i++)
        RILL_TRY(rill_spawn(wait_for_the_end, NULL, NULL, &tasks[i]));
    RILL_TRY(rill_yield());
    stack = tasks[0]->fiber->coro.stack; /* The deepest on the list of free ones, later. */
    for (size_t i = 0; i < 100; i++)
        rill_task_cancel(tasks[i], NULL);
    for (size_t i = 0; i < 100; i++)
        assert_code(rill_join(tasks[i]), RILL_EREVOKED);
    assert_true(resident_pages(&stack) >= 1);
    RILL_TRY(rill_sleep(5 * RILL_S));
    assert_int_equal(resident_pages(&stack), 0);
    return 0;
}

/* On the simulator, where 25 s are none. */
static int
run_on_sim(rill_fn fn)
{
    return rill_run_with(fn, NULL, &RILL_LOOP_OPTIONS(.driver = "sim"));
}

/* mutant: tasks/stack.c
 * - rill__host_stack_trim(stack->low, len); */
static void
test_a_sleeping_task_that_used_deep_stack_returns_to_one_page(void **unused)
{
    (void)unused;
    assert_code(run_on_sim(sleep_deep), 0);
}

/* mutant: tasks/stack.c @ rill__stacks_trim
 * - stacks->live_max = stacks->live; */
static void
test_stacks_of_a_burst_are_given_back(void **unused)
{
    (void)unused;
    assert_code(run_on_sim(burst), 0);
}

/* Its bounds are looked at while another one is in use. */
static int
emit_late(void *unused)
{
    (void)unused;
    use_stack(20 << 10);
    RILL_TRY(rill_sleep(25 * RILL_S));
    return rill_emit(NULL);
}

static int
sleep_in_a_generator(void *unused)
{
    const rill__stack own = rill_loop_running()->fiber->coro.stack;
    volatile char *mine = __builtin_alloca(8192);
    rill_generator *generator;
    void *item;

    (void)unused;
    memset((void *)(uintptr_t)mine, 'm', 8192);
    RILL_TRY(rill_generator_new(emit_late, NULL, &generator));
    assert_code(rill_generator_next(generator, &item), 1);
    for (size_t i = 0; i < 8192; i++)
        assert_int_equal(mine[i], 'm');
    rill_generator_free(generator);
    use_stack(30 << 10);
    assert_true(resident_pages(&own) >= 8);
    RILL_TRY(rill_sleep(25 * RILL_S));
    assert_in_range(resident_pages(&own), 1, 7);
    return 0;
}

/* mutant: tasks/generator.c
 * - fiber->inner = &self->coro;
 * mutant: tasks/generator.c
 * - fiber->inner = self->outer; */
static void
test_who_sleeps_in_a_generator_keeps_its_own_stack(void **unused)
{
    (void)unused;
    assert_code(run_on_sim(sleep_in_a_generator), 0);
}

/* ---- what a wait must not change ---- */

static int
change_everything(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        errno = i;
        fesetround(i % 2 == 0 ? FE_UPWARD : FE_DOWNWARD);
        feraiseexcept(FE_INEXACT);
        RILL_TRY(rill_yield());
        assert_int_equal(errno, i);
        assert_int_equal(fegetround(), i % 2 == 0 ? FE_UPWARD : FE_DOWNWARD);
    }
    return 0;
}

/* More values than there are registers, all alive over each wait. */
static long
work_through(bool waits)
{
    volatile long seed = 1;
    long a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;

    for (int i = 0; i < 20; i++) {
        if (waits) {
            errno = 1000 + i;
            assert_code(rill_yield(), 0);
            assert_int_equal(errno, 1000 + i);
            assert_int_equal(fegetround(), FE_TOWARDZERO);
        }
        a += b;
        b ^= c;
        c += d;
        d ^= e;
        e += f;
        f ^= a;
    }
    return a + 3 * b + 5 * c + 7 * d + 11 * e + 13 * f;
}

static int
keep_registers(void *unused)
{
    rill_task *other;

    (void)unused;
    RILL_TRY(rill_spawn(change_everything, NULL, NULL, &other));
    fesetround(FE_TOWARDZERO);
    assert_int_equal(work_through(true), work_through(false));
    fesetround(FE_TONEAREST);
    return rill_join(other);
}

static int
begin_upward(void *unused)
{
    (void)unused;
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_DOWNWARD);
    RILL_TRY(rill_yield());
    assert_int_equal(fegetround(), FE_DOWNWARD);
    return 0;
}

static void
look_upward(void *unused)
{
    (void)unused;
    assert_int_equal(fegetround(), FE_UPWARD);
}

/* no mutant: the switch is assembly. */
static void
test_a_task_begins_with_the_threads_rounding_mode_and_leaves_it_alone(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, keep_registers, NULL), 0); /* With another one. */
    fesetround(FE_UPWARD);
    assert_code(rill_call_soon(h.loop, look_upward, NULL, NULL), 0);
    assert_code(tasks_run(&h, begin_upward, NULL), 0);
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
    assert_code(tasks_run(&h, keep_registers, NULL), 0);
    assert_int_equal(fegetround(), FE_TONEAREST);
}

/* mutant: tasks/wait.c
 * - *loop->errno_address = fiber->saved_errno; */
static void
test_registers_rounding_mode_and_errno_survive_a_wait(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, keep_registers, NULL), 0);
    assert_int_equal(fegetround(), FE_TONEAREST);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_recursion_without_end_dies_with_a_message_that_names_the_task),
        CASE(test_a_hundred_thousand_guarded_tasks_take_a_few_mappings),
        CASE(test_without_room_for_guards_there_are_canaries_and_one_warning),
        CASE(test_a_canary_tells_of_an_overflow_when_the_task_next_waits),
        CASE(test_tasks_work_in_a_small_address_space),
        CASE(test_stacks_come_in_four_sizes),
        CASE(test_a_sleeping_task_that_used_deep_stack_returns_to_one_page),
        CASE(test_stacks_of_a_burst_are_given_back),
        CASE(test_who_sleeps_in_a_generator_keeps_its_own_stack),
        CASE(test_registers_rounding_mode_and_errno_survive_a_wait),
        CASE(test_a_task_begins_with_the_threads_rounding_mode_and_leaves_it_alone),
    };

    return run_cases(tests);
}
