/*
 * Locks against a simple model of one: anything, in any order.
 */
#include "actors.h"

static harness h;
static tape seen;
static rill_lock lock;

static int
setup(void **unused)
{
    (void)unused;
    memset(&seen, 0, sizeof(seen));
    harness_open(&h);
    rill_lock_init(&lock);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    harness_close(&h);
    rill_lock_done(&lock);
    return 0;
}

static int
acquire(actor *self)
{
    (void)self;
    return rill_lock_acquire(&lock);
}

#define KEEPER(name) ((actor){ .letter = (name), .wait = acquire })

#define CAST 12

enum { IDLE, STARTING, IN_LINE, ENDED };

static struct model {
    actor actors[CAST];
    int state[CAST];
    int expected[CAST];
    bool canceled[CAST];
    bool held;
    int starting[CAST], line[CAST];
    int starting_count, line_count;
} m;

static void
model_take_out(int who)
{
    int i = 0;

    while (i < m.line_count && m.line[i] != who)
        i++;
    assert_true(i < m.line_count);
    memmove(&m.line[i], &m.line[i + 1], (size_t)(--m.line_count - i) * sizeof(int));
}

static void
model_end(int who, int rc)
{
    m.state[who] = ENDED;
    m.expected[who] = rc;
}

static void
model_turn(void)
{
    for (int i = 0; i < m.starting_count; i++) {
        int who = m.starting[i];

        if (m.canceled[who]) {
            model_end(who, RILL_ECANCELED);
        } else if (m.held) {
            m.state[who] = IN_LINE;
            m.line[m.line_count++] = who;
        } else {
            m.held = true;
            model_end(who, 0);
        }
    }
    m.starting_count = 0;
}

static void
random_cancel(int who)
{
    if (m.state[who] == IDLE || m.canceled[who] || rill_task_is_done(m.actors[who].task))
        return;
    m.canceled[who] = true;
    actor_cancel(&m.actors[who]);
    if (m.state[who] != IN_LINE)
        return;
    model_take_out(who);
    model_end(who, RILL_ECANCELED);
}

static void
random_start(int who)
{
    if (m.state[who] != IDLE)
        return;
    m.actors[who] = KEEPER((char)('a' + who));
    m.state[who] = STARTING;
    m.canceled[who] = false;
    m.starting[m.starting_count++] = who;
    actor_start(&h, &seen, &m.actors[who]);
}

static void
random_release(void)
{
    assert_code(rill_lock_release(&lock), m.held ? 0 : RILL_ESTATE);
    m.held = m.line_count > 0;
    if (!m.held)
        return;
    model_end(m.line[0], 0);
    model_take_out(m.line[0]);
}

static void
random_try(void)
{
    assert_int_equal(rill_lock_try_acquire(&lock), !m.held);
    m.held = true;
}

static void
compare(void)
{
    actors_settle(&h);
    model_turn();
    assert_int_equal(rill_lock_is_locked(&lock), m.held);
    for (int i = 0; i < CAST; i++) {
        if (m.state[i] == IDLE)
            continue;
        assert_code(m.actors[i].rc, m.state[i] == ENDED ? m.expected[i] : ACTOR_WAITS);
        if (m.state[i] != ENDED)
            continue;
        assert_code(m.actors[i].after, m.canceled[i] ? RILL_ECANCELED : 0);
        actors_end(&m.actors[i], 1);
        m.state[i] = IDLE;
    }
    memset(&seen, 0, sizeof(seen));
}

static void
random_step(dice *d)
{
    int who = (int)dice_below(d, CAST);

    switch (dice_below(d, 8)) {
    case 0:
    case 1:
    case 2:
        random_start(who);
        break;
    case 3:
        random_cancel(who);
        break;
    case 4:
    case 5:
        random_release();
        break;
    case 6:
        random_try();
        break;
    default:
        compare();
        break;
    }
}

/* mutant: tasks/lock.c
 * - assert(self->held);
 * + self->held = false; */
static void
test_random_uses_agree_with_a_simple_model(void **unused)
{
    dice d = dice_new();

    (void)unused;
    memset(&m, 0, sizeof(m));
    for (int i = 0; i < 4000; i++)
        random_step(&d);
    for (int i = 0; i < CAST; i++)
        random_cancel(i);
    compare();
    if (m.held)
        random_release();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_random_uses_agree_with_a_simple_model),
    };

    return run_cases(tests);
}
