/* timeout: 120 */
/*
 * Queues against a model that is too simple to be wrong: random gets, puts, joins and cancels, many
 * of them in one turn, for each order and with bounds and without.
 */
#include "queues.h"

#define CAST   12
#define ITEMS  4000
#define ROUNDS 12
#define STEPS  600

enum kind { GET, PUT, JOIN, KINDS };
enum state { IDLE, STARTING, IN_LINE, ENDED };

typedef struct person {
    actor actor;
    enum kind kind;
    enum state state;
    bool canceled;
    int expected_rc;
    uintptr_t value; /* To put, or as it should be got. */
} person;

typedef struct list {
    int who[CAST];
    int count;
} list;

/* Everything is searched, nothing is clever. */
static struct model {
    rill_queue_order order;
    size_t maxsize;
    bool shut;
    uintptr_t items[ITEMS]; /* In order of arrival. */
    size_t count;
    size_t unfinished;
    person people[CAST];
    list lines[KINDS];
    list starting;
    uintptr_t made;
} m;

/* Of a value the lower bits tell its rank, the others make it unique. */
#define RANKS 4

static int
compare_ranks(const void *a, const void *b, void *arg)
{
    assert_ptr_equal(arg, &m);
    return (int)((uintptr_t)a % RANKS) - (int)((uintptr_t)b % RANKS);
}

static uintptr_t
new_value(dice *d)
{
    return ++m.made * RANKS + dice_below(d, RANKS);
}

/* ---- the model ---- */

static void
add(list *l, int who)
{
    l->who[l->count++] = who;
}

static bool
take_out(list *l, int who)
{
    for (int i = 0; i < l->count; i++) {
        if (l->who[i] != who)
            continue;
        memmove(&l->who[i], &l->who[i + 1], (size_t)(--l->count - i) * sizeof(int));
        return true;
    }
    return false;
}

static void
end_one(int who, int rc)
{
    m.people[who].state = ENDED;
    m.people[who].expected_rc = rc;
    for (int kind = 0; kind < KINDS; kind++)
        (void)take_out(&m.lines[kind], who);
}

static int
model_put(uintptr_t value)
{
    int first = m.lines[GET].who[0];

    if (m.shut)
        return RILL_ESHUTDOWN;
    if (m.lines[GET].count == 0 && m.maxsize != 0 && m.count == m.maxsize)
        return RILL_EFULL;
    m.unfinished++;
    if (m.lines[GET].count == 0) {
        assert_true(m.count < ITEMS);
        m.items[m.count++] = value;
        return 0;
    }
    m.people[first].value = value;
    end_one(first, 0);
    return 0;
}

static size_t
place_of_next(void)
{
    size_t best = m.order == RILL_QUEUE_LIFO ? m.count - 1 : 0;

    for (size_t i = 0; m.order == RILL_QUEUE_PRIORITY && i < m.count; i++) {
        if (m.items[i] % RANKS < m.items[best] % RANKS)
            best = i;
    }
    return best;
}

static int
model_get(uintptr_t *ret_value)
{
    size_t place;
    int first = m.lines[PUT].who[0];

    if (m.count == 0)
        return m.shut ? RILL_ESHUTDOWN : RILL_EEMPTY;
    place = place_of_next();
    *ret_value = m.items[place];
    memmove(&m.items[place], &m.items[place + 1], (--m.count - place) * sizeof(uintptr_t));
    if (m.lines[PUT].count != 0) {
        end_one(first, 0);
        assert_code(model_put(m.people[first].value), 0);
    }
    return 0;
}

static void
model_finish(size_t count)
{
    assert_true(m.unfinished >= count);
    m.unfinished -= count;
    while (m.unfinished == 0 && m.lines[JOIN].count > 0)
        end_one(m.lines[JOIN].who[0], 0);
}

static void
model_shutdown(bool immediate)
{
    m.shut = true;
    while (m.lines[PUT].count > 0)
        end_one(m.lines[PUT].who[0], RILL_ESHUTDOWN);
    while (m.lines[GET].count > 0)
        end_one(m.lines[GET].who[0], RILL_ESHUTDOWN);
    if (!immediate)
        return;
    model_finish(m.count);
    m.count = 0;
}

static void
model_begin(int who)
{
    person *p = &m.people[who];
    int rc = RILL_ECANCELED;

    if (!p->canceled)
        rc = p->kind == GET   ? model_get(&p->value)
             : p->kind == PUT ? model_put(p->value)
                              : (m.unfinished == 0 ? 0 : RILL_EFULL);
    p->state = IN_LINE;
    if (rc == RILL_EEMPTY || rc == RILL_EFULL)
        add(&m.lines[p->kind], who);
    else
        end_one(who, rc);
}

/* ---- one step of both ---- */

static int
act(actor *self)
{
    person *p = (person *)(void *)self;

    if (p->kind == JOIN)
        return rill_queue_join(scene.q);
    if (p->kind == PUT)
        return rill_queue_put(scene.q, self->object);
    return rill_queue_get(scene.q, &self->item);
}

static void
step_start(dice *d, int who)
{
    person *p = &m.people[who];

    if (p->state != IDLE)
        return;
    *p = (person){ .actor = { .letter = 'a', .wait = act },
        .kind = (enum kind)dice_below(d, KINDS),
        .state = STARTING,
        .value = new_value(d) };
    if (p->kind == JOIN && dice_below(d, 3) != 0)
        p->kind = GET;
    p->actor.object = (void *)p->value;
    add(&m.starting, who);
    actor_start(&scene.h, &scene.seen, &p->actor);
}

static void
step_cancel(int who)
{
    person *p = &m.people[who];

    if (p->state == IDLE || p->canceled || rill_task_is_done(p->actor.task))
        return;
    p->canceled = true;
    actor_cancel(&p->actor);
    if (p->state == IN_LINE)
        end_one(who, RILL_ECANCELED);
}

static void
step_put(dice *d)
{
    uintptr_t value = new_value(d);

    assert_code(rill_queue_put_nowait(scene.q, (void *)value), model_put(value));
}

static void
step_get(void)
{
    uintptr_t expected = 0;
    void *item = NULL;

    assert_code(rill_queue_get_nowait(scene.q, &item), model_get(&expected));
    assert_int_equal((uintptr_t)item, expected);
}

static void
step_task_done(void)
{
    assert_code(rill_queue_task_done(scene.q), m.unfinished > 0 ? 0 : RILL_ESTATE);
    if (m.unfinished > 0)
        model_finish(1);
}

static void
compare_person(person *p)
{
    if (p->state == IDLE)
        return;
    assert_code(p->actor.rc, p->state == ENDED ? p->expected_rc : ACTOR_WAITS);
    if (p->state != ENDED)
        return;
    assert_code(p->actor.after, p->canceled ? RILL_ECANCELED : 0);
    if (p->kind == GET)
        assert_int_equal((uintptr_t)p->actor.item, p->expected_rc == 0 ? p->value : 0);
    actors_end(&p->actor, 1);
    p->state = IDLE;
}

static void
compare(void)
{
    actors_settle(&scene.h);
    for (int i = 0; i < m.starting.count; i++)
        model_begin(m.starting.who[i]);
    m.starting.count = 0;
    assert_int_equal(rill_queue_size(scene.q), m.count);
    for (int i = 0; i < CAST; i++)
        compare_person(&m.people[i]);
    memset(&scene.seen, 0, sizeof(scene.seen));
}

static void
random_step(dice *d)
{
    switch (dice_below(d, 10)) {
    case 0:
    case 1:
    case 2:
        step_start(d, (int)dice_below(d, CAST));
        break;
    case 3:
        step_cancel((int)dice_below(d, CAST));
        break;
    case 4:
    case 5:
        step_put(d);
        break;
    case 6:
        step_get();
        break;
    case 7:
        if (m.unfinished != m.count) /* Of those in it none can be done with. */
            step_task_done();
        break;
    default:
        compare();
        break;
    }
}

static void
play(dice *d, rill_queue_order order, size_t maxsize)
{
    bool immediate = dice_below(d, 2) == 0;

    memset(&m, 0, sizeof(m));
    m.order = order;
    m.maxsize = maxsize;
    make_queue(RILL_QUEUE_OPTIONS(.maxsize = maxsize, .order = order,
        .compare = order == RILL_QUEUE_PRIORITY ? compare_ranks : NULL, .arg = &m));
    for (int i = 0; i < STEPS; i++)
        random_step(d);
    rill_queue_shutdown(scene.q, immediate);
    model_shutdown(immediate);
    for (int i = 0; i < STEPS / 4; i++)
        random_step(d);
    for (int i = 0; i < CAST; i++)
        step_cancel(i);
    compare();
    queues_free();
}

static int
setup(void **unused)
{
    (void)unused;
    queues_open();
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    queues_close();
    return 0;
}

static void
play_all(rill_queue_order order)
{
    dice d = dice_new();

    for (int i = 0; i < ROUNDS; i++)
        play(&d, order, (size_t)i % 4);
}

/* mutant: tasks/queue.c @ put
 * - if (first != NULL) {
 * + if (false) { */
static void
test_fifo_agrees_with_a_simple_model(void **unused)
{
    (void)unused;
    play_all(RILL_QUEUE_FIFO);
}

/* mutant: tasks/items.c
 * - if (self->order == RILL_QUEUE_LIFO)
 * + if (false) */
static void
test_lifo_agrees_with_a_simple_model(void **unused)
{
    (void)unused;
    play_all(RILL_QUEUE_LIFO);
}

/* Without the look at the second child.
 *
 * mutant: tasks/items.c
 * - if (child + 1 < self->count && is_before(self, &self->heap[child + 1], &self->heap[child]))
 * + if (false) */
static void
test_priority_agrees_with_a_simple_model(void **unused)
{
    (void)unused;
    play_all(RILL_QUEUE_PRIORITY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fifo_agrees_with_a_simple_model),
        CASE(test_lifo_agrees_with_a_simple_model),
        CASE(test_priority_agrees_with_a_simple_model),
    };

    return run_cases(tests);
}
