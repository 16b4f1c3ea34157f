/*
 * Timeouts and groups as blocks: they end however the block is left.
 */
#include "tasks.h"

#include <errno.h>

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

#define LONG (3600 * RILL_S)

static int ended;

static int
child(void *arg)
{
    int rc = rill_sleep(arg != NULL ? *(rill_ns *)arg : LONG);

    ended++;
    return rc;
}

static int
by_its_end(void *unused)
{
    rill_ns moment = RILL_MS;
    int rc = 0;

    (void)unused;
    RILL_TIMEOUT(rc, 10 * RILL_MS)
    {
        rc = rill_sleep(LONG);
    }
    assert_code(rc, RILL_ETIMEDOUT);
    rc = 0;
    RILL_TIMEOUT(rc, LONG)
    {
        rc = rill_sleep(RILL_MS);
    }
    assert_code(rc, 0);
    RILL_GROUP(group, rc)
    {
        for (int i = 0; i < 3 && rc >= 0; i++)
            rc = rill_group_spawn(group, child, &moment, NULL);
    }
    assert_code(rc, 0);
    assert_int_equal(ended, 3);
    return rill_yield();
}

static int
by_break(void *unused)
{
    int rc = 0;

    (void)unused;
    RILL_TIMEOUT(rc, 0)
    {
        rc = rill_yield();
        if (rc < 0)
            break;
        fail();
    }
    assert_code(rc, RILL_ETIMEDOUT);
    rc = 0;
    RILL_GROUP(group, rc)
    {
        rc = rill_group_spawn(group, child, NULL, NULL);
        if (rc >= 0)
            break;
    }
    assert_code(rc, 0);
    assert_int_equal(ended, 1);
    return rill_yield();
}

static int
return_out(void)
{
    int rc = 0;

    RILL_TIMEOUT(rc, LONG)
    {
        RILL_GROUP(group, rc)
        {
            RILL_TRY(rill_group_spawn(group, child, NULL, NULL));
            RILL_TRY(-EPROTO);
        }
    }
    return rc;
}

static int
by_return(void *unused)
{
    (void)unused;
    assert_code(return_out(), -EPROTO);
    assert_int_equal(ended, 1);
    return rill_yield();
}

static int
by_goto(void *unused)
{
    int rc = 0;

    (void)unused;
    RILL_GROUP(outer, rc)
    {
        RILL_GROUP(inner, rc)
        {
            RILL_TRY_GOTO(out, rc, rill_group_spawn(inner, child, NULL, NULL));
            RILL_TRY_GOTO(out, rc, rill_group_spawn(outer, child, NULL, NULL));
            RILL_TRY_GOTO(out, rc, -EPIPE);
        }
    }
out:
    assert_code(rc, -EPIPE);
    assert_int_equal(ended, 2);
    return rill_yield();
}

/* mutant: include/rill/task.h
 * - if (!block->at_end)
 * + if (false) */
static void
test_a_block_ends_by_its_end_break_return_and_goto(void **unused)
{
    rill_fn ways[] = { by_its_end, by_break, by_return, by_goto };

    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        ended = 0;
        assert_code(tasks_run(&h, ways[i], NULL), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_block_ends_by_its_end_break_return_and_goto),
    };

    return run_cases(tests);
}
