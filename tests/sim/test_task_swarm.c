/*
 * Task programs by the thousand: each seed grows a tree of tasks that sleep, give way, time out,
 * shield themselves, wait for shared futures and for their children, while somebody cancels any of
 * them at any time and memory runs out now and then. Whatever happens: groups end after their
 * children, no wait that was refused has an effect, and nothing is left.
 */
/* timeout: 120 */
/* valgrind: no */ /* Thousands of worlds; the address sanitizer runs them all. */
#include "tasks.h"

#include <rill/sim.h>

#include <errno.h>
#include <stdlib.h>

#define SEEDS   3000
#define DEPTH   4
#define MOST    200 /* Tasks of one program. */
#define FUTURES 4

typedef struct program {
    rill_loop *loop;
    uint64_t state;
    int alive;
    int made;
    rill_future *futures[FUTURES];
    rill_task *tasks[MOST];
    bool fails; /* Memory does. */
} program;

static uint32_t
pick(program *p, uint32_t below)
{
    p->state ^= p->state << 13;
    p->state ^= p->state >> 7;
    p->state ^= p->state << 17;
    return (uint32_t)(p->state >> 33) % below;
}

typedef struct node {
    program *program;
    int depth;
    int *siblings; /* Alive in its group. */
} node;

static int walk(void *arg);

static bool
is_expected(int rc)
{
    return rc >= 0 || rc == RILL_ECANCELED || rc == RILL_ETIMEDOUT || rc == RILL_EREVOKED ||
           rc == -ENOMEM || rc == -EPROTO || rc == RILL_ECLOSED;
}

/* A wait that is refused takes no time and leaves the next one refused, too. */
static int
refused_twice(program *p, int rc)
{
    rill_ns before = rill_loop_time(p->loop);

    if (rc != RILL_ECANCELED || pick(p, 4) != 0)
        return rc;
    if (rill_task_cancelling(rill_current_task()) > 0)
        assert_code(rill_sleep(RILL_S), RILL_ECANCELED);
    assert_int_equal(rill_loop_time(p->loop), before);
    return rc;
}

static int step(node *n);

static int
in_timeout(node *n)
{
    rill_scope limit;

    rill_timeout_begin(&limit, (rill_ns)pick(n->program, 50) * RILL_MS);
    return rill_scope_end(&limit, step(n));
}

static int
in_shield(node *n)
{
    rill_scope shield;

    rill_shield_begin(&shield, (rill_ns)pick(n->program, 50) * RILL_MS);
    return rill_scope_end(&shield, step(n));
}

static int
in_group(node *n)
{
    program *p = n->program;
    int alive = 0;
    rill_group group;
    int rc = 0;

    rill_group_begin(&group);
    for (uint32_t i = pick(p, 4); i > 0 && rc >= 0 && p->made < MOST; i--) {
        node child = { p, n->depth + 1, &alive };
        rill_task_options options = {
            .size = sizeof(options), .copy_arg = sizeof(child), .eager = (int)pick(p, 2)
        };

        alive++;
        rc = rill_group_spawn(&group, walk, &child, &options);
        alive -= rc < 0;
    }
    if (rc >= 0 && pick(p, 3) == 0)
        rc = step(n);
    if (pick(p, 8) == 0)
        rill_group_cancel(&group);
    rc = rill_group_end(&group, rc);
    assert_int_equal(alive, 0);
    return rc;
}

static int
alone(node *n)
{
    program *p = n->program;
    int alive = 0;
    node child = { p, n->depth + 1, &alive };
    rill_task_options options = { .size = sizeof(options), .copy_arg = sizeof(child) };
    rill_task *task;
    int rc;

    if (p->made >= MOST)
        return rill_yield();
    alive++;
    rc = rill_spawn(walk, &child, &options, &task);
    if (rc < 0)
        return rc;
    rc = rill_join(task);
    assert_int_equal(alive, 0);
    return rc;
}

static int
step(node *n)
{
    program *p = n->program;
    uint32_t what = pick(p, n->depth < DEPTH ? 12 : 7);
    rill_future *future = p->futures[pick(p, FUTURES)];
    int rc;

    switch (what) {
    case 0:
    case 1:
        rc = rill_sleep((rill_ns)pick(p, 30) * RILL_MS);
        break;
    case 2:
        rc = rill_yield();
        break;
    case 3:
        rc = rill_await_shared(future, NULL);
        break;
    case 4:
        rc = rill_await_for(future, (rill_ns)pick(p, 20) * RILL_MS, NULL);
        break;
    case 5:
        rc = rill_wait(
            p->futures, FUTURES, (rill_wait_mode)pick(p, 3), (rill_ns)pick(p, 20) * RILL_MS);
        break;
    case 6:
        rc = pick(p, 8) == 0 ? -EPROTO : rill_checkpoint();
        break;
    case 7:
        rc = in_timeout(n);
        break;
    case 8:
        rc = in_shield(n);
        break;
    case 9:
        rc = alone(n);
        break;
    default:
        rc = in_group(n);
        break;
    }
    assert_true(is_expected(rc));
    return refused_twice(p, rc);
}

static int
walk(void *arg)
{
    node n = *(node *)arg;
    program *p = n.program;
    int number = p->made++;
    int rc = 0;

    p->alive++;
    p->tasks[number] = rill_task_ref(rill_current_task());
    for (uint32_t i = pick(p, 5) + 1; i > 0 && rc >= 0; i--)
        rc = step(&n);
    if (rc == RILL_ECANCELED && pick(p, 10) == 0 && rill_task_cancelling(p->tasks[number]) > 0)
        rc = rill_task_uncancel(p->tasks[number]) == 0 ? rill_sleep(RILL_MS) : rc;
    rill_task_unref(p->tasks[number]);
    p->tasks[number] = NULL;
    p->alive--;
    if (n.siblings != NULL)
        --*n.siblings;
    return rc;
}

static int
make_trouble(void *arg)
{
    program *p = arg;

    for (int i = 0; i < 60; i++) {
        uint32_t which = pick(p, MOST);

        RILL_TRY(rill_sleep((rill_ns)pick(p, 10) * RILL_MS));
        if (p->tasks[which] != NULL && pick(p, 2) == 0)
            rill_task_cancel(p->tasks[which], "trouble");
        if (pick(p, 3) == 0)
            RILL_IGNORE(rill_future_set_result(p->futures[pick(p, FUTURES)], NULL));
    }
    for (int i = 0; i < FUTURES; i++) /* Nobody would, later. */
        RILL_IGNORE(rill_future_set_result(p->futures[i], NULL));
    return 0;
}

static int
program_main(void *arg)
{
    program *p = arg;
    node root = { p, 0, NULL };
    rill_task *trouble;
    int rc = 0;

    for (int i = 0; i < FUTURES && rc >= 0; i++)
        rc = rill_future_new(p->loop, &p->futures[i]);
    if (rc >= 0)
        rc = rill_spawn(make_trouble, p, NULL, &trouble);
    if (rc >= 0) {
        for (int i = 0; i < 5; i++)
            RILL_IGNORE(walk(&root));
        while (rill_task_uncancel(rill_current_task()) > 0)
            continue;
        rill_task_cancel(trouble, NULL);
        RILL_IGNORE(rill_join(trouble));
    }
    for (int i = 0; i < FUTURES; i++)
        rill_future_unref(p->futures[i]);
    assert_true(p->fails || rc >= 0);
    return 0;
}

static void
ignore_reports(rill_loop *loop, const rill_error_context *context, void *arg)
{
    (void)loop;
    (void)arg;
    assert_int_equal(context->kind, RILL_ERROR_TASK);
}

/* One program, and one hash of all that happened. */
static uint64_t
run_seed(uint64_t seed, bool fails)
{
    rill_sim_options options = RILL_SIM_OPTIONS(.seed = seed, .profile = RILL_SIM_CALM);
    program p = { .state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .fails = fails };
    rill_runner *runner;
    rill_sim *sim;
    uint64_t hash;

    assert_code(rill_sim_new(&options, &sim), 0);
    if (fails)
        rill_sim_set_fault(sim, RILL_SIM_FAULT_ALLOCATION, 3000);
    while (rill_sim_loop_new(sim, NULL, NULL, &p.loop) < 0)
        continue;
    rill_loop_set_error_handler(p.loop, ignore_reports, NULL);
    while (rill_runner_new(p.loop, NULL, &runner) < 0)
        continue;
    if (!fails)
        assert_code(rill_runner_run(runner, program_main, &p), 0);
    else if (rill_runner_run(runner, program_main, &p) < 0)
        assert_int_equal(p.made, 0);
    assert_int_equal(p.alive, 0);
    assert_int_equal(rill_runner_free(runner, RILL_S), 0);
    hash = p.state ^ (uint64_t)p.made << 48 ^ (uint64_t)rill_loop_time(p.loop);
    assert_int_equal(rill_loop_free(p.loop), 0);
    rill_sim_free(sim);
    return hash;
}

static void
test_task_programs_of_all_seeds_end_with_nothing_left(void **unused)
{
    const char *only = getenv("RILL_TEST_SEED");

    (void)unused;
    if (only != NULL) {
        (void)run_seed(strtoull(only, NULL, 10), false);
        (void)run_seed(strtoull(only, NULL, 10), true);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        (void)run_seed(seed, false);
        (void)run_seed(seed, true);
    }
}

static void
test_the_same_seed_is_the_same_run(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_true(run_seed(seed, false) == run_seed(seed, false));
        assert_true(run_seed(seed, true) == run_seed(seed, true));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_programs_of_all_seeds_end_with_nothing_left),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
