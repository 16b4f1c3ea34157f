/*
 * Running a world: all its loops in turn, then the clock, until what was asked for.
 *
 * A round runs what is due and gives one turn to every loop that has something to run; only a round
 * in which nothing happened lets time pass, to the next event or timer and never beyond. The order
 * of loops in a round is the order of making when calm, else it begins at a loop drawn for the
 * round. The world's thread only.
 */
#include "core/driver/sim/internal.h"

typedef struct sim_script {
    sim_event event;
    rill__link link;
    rill_callback fn;
    void *arg;
} sim_script;

/* ---- scripts ---- */

static void
free_script(rill_sim *sim, sim_script *script)
{
    rill__sim_unschedule(sim, &script->event);
    rill__sim_unreserve(sim, 1);
    rill__list_remove(&script->link);
    rill__sim_dealloc(sim, script, sizeof(*script));
}

static void
run_script(rill_sim *sim, sim_event *event)
{
    sim_script *script = RILL__CONTAINER(event, sim_script, event);
    rill_callback fn = script->fn;
    void *arg = script->arg;

    free_script(sim, script);
    rill__sim_trace(sim, NULL, SIM_OBJECT_WORLD, 0, SIM_SCRIPT, 0, 0);
    fn(arg);
}

int
rill_sim_call_later(rill_sim *sim, rill_ns delay, rill_callback fn, void *arg)
{
    sim_script *script;

    RILL__REQUIRE(sim != NULL);
    if (fn == NULL || delay < 0)
        return RILL_EINVAL;
    script = rill__sim_alloc(sim, sizeof(*script));
    if (script == NULL)
        return -ENOMEM;
    if (rill__sim_reserve(sim, 1) < 0) {
        rill__sim_dealloc(sim, script, sizeof(*script));
        return -ENOMEM;
    }
    script->event.fn = run_script;
    script->fn = fn;
    script->arg = arg;
    rill__list_append(&sim->scripts, &script->link);
    rill__sim_schedule(sim, &script->event, sim->now + delay);
    return 0;
}

void
rill__sim_scripts_done(rill_sim *sim)
{
    while (!rill__list_empty(&sim->scripts))
        free_script(sim, RILL__CONTAINER(sim->scripts.next, sim_script, link));
}

/* ---- rounds ---- */

static bool
is_runnable(sim_driver *driver)
{
    return atomic_load(&driver->woken) || rill__sim_driver_pending(driver) ||
           rill_loop_next_timeout(driver->base.loop) == 0;
}

static rill__link *
first_of_round(rill_sim *sim)
{
    rill__link *link = sim->drivers.next;
    uint64_t round = sim->rounds++;
    uint64_t skip;

    if (sim->profile == RILL_SIM_CALM || sim->driver_count < 2)
        return link;
    skip = rill__sim_hash(sim, SIM_DOMAIN_ORDER, 0, round) % sim->driver_count;
    while (skip-- > 0)
        link = link->next;
    return link;
}

/* Returns how many loops had a turn, or an error. `cursor` follows the list as loops go. */
static int
run_loops(rill_sim *sim)
{
    uint32_t count = sim->driver_count;
    int turns = 0;

    sim->cursor = first_of_round(sim);
    for (uint32_t i = 0; i < count && sim->driver_count > 0; i++) {
        sim_driver *driver;
        int rc;

        if (sim->cursor == &sim->drivers)
            sim->cursor = sim->drivers.next;
        driver = RILL__CONTAINER(sim->cursor, sim_driver, link);
        sim->cursor = sim->cursor->next;
        if (!is_runnable(driver))
            continue;
        rc = rill_loop_step(driver->base.loop, 0);
        if (rc < 0)
            return rc;
        turns++;
    }
    return turns;
}

/* When the first timer of any loop is due. */
static rill_ns
next_timer(const rill_sim *sim)
{
    rill_ns next = RILL_NEVER;

    for (rill__link *link = sim->drivers.next; link != &sim->drivers; link = link->next) {
        const sim_driver *driver = RILL__CONTAINER(link, sim_driver, link);
        rill_ns left = rill_loop_next_timeout(driver->base.loop);

        if (left != RILL_NEVER && (next == RILL_NEVER || sim->now + left < next))
            next = sim->now + left;
    }
    return next;
}

static rill_ns
earlier(rill_ns a, rill_ns b)
{
    if (a == RILL_NEVER || b == RILL_NEVER)
        return a == RILL_NEVER ? b : a;
    return a < b ? a : b;
}

/* ---- the ways to run ---- */

typedef struct run {
    rill_ns end; /* RILL_NEVER: none. */
    rill_sim_predicate predicate;
    void *arg;
    bool until_idle;
} run;

enum { GO_ON = 1 };

/* Let time pass. Returns GO_ON, or how the run ends. */
static int
pass(rill_sim *sim, const run *how)
{
    rill_ns event = rill__sim_next_event(sim);
    rill_ns next = earlier(event, next_timer(sim));

    if (how->until_idle && event == RILL_NEVER)
        return 0;
    if (how->end != RILL_NEVER && (next == RILL_NEVER || next > how->end)) {
        rill__sim_advance(sim, how->end);
        return how->predicate != NULL ? RILL_ETIMEDOUT : 0;
    }
    if (next == RILL_NEVER)
        return RILL_EDEADLK;
    rill__sim_advance(sim, next);
    return GO_ON;
}

static int
run_world(rill_sim *sim, const run *how)
{
    uint64_t turns = 0;
    int rc = GO_ON;

    while (rc == GO_ON) {
        size_t events;

        if (how->predicate != NULL && how->predicate(how->arg))
            return 0;
        events = rill__sim_run_due(sim);
        rc = run_loops(sim);
        if (rc < 0)
            return rc;
        turns += (uint64_t)rc;
        if (turns > sim->turns_max)
            return RILL_ELIMIT;
        rc = events > 0 || rc > 0 ? GO_ON : pass(sim, how);
        if (rc == GO_ON && how->end != RILL_NEVER && sim->now > how->end)
            rc = how->predicate != NULL ? RILL_ETIMEDOUT : 0; /* It never sleeps: see event.c. */
    }
    return rc;
}

static int
run_guarded(rill_sim *sim, const run *how)
{
    int rc;

    if (sim->running || rill_loop_running() != NULL)
        return RILL_EBUSY;
    sim->running = true;
    rc = run_world(sim, how);
    sim->running = false;
    return rc;
}

rill_ns
rill_sim_now(const rill_sim *sim)
{
    return sim->now;
}

int
rill_sim_run_for(rill_sim *sim, rill_ns duration)
{
    RILL__REQUIRE(sim != NULL);
    return run_guarded(sim, &(run){ .end = sim->now + (duration > 0 ? duration : 0) });
}

int
rill_sim_run_until_idle(rill_sim *sim)
{
    RILL__REQUIRE(sim != NULL);
    return run_guarded(sim, &(run){ .end = RILL_NEVER, .until_idle = true });
}

int
rill_sim_run_until(rill_sim *sim, rill_sim_predicate predicate, void *arg, rill_ns limit)
{
    RILL__REQUIRE(sim != NULL && (limit >= 0 || limit == RILL_NEVER));
    if (predicate == NULL)
        return RILL_EINVAL;
    return run_guarded(sim, &(run){ .end = limit == RILL_NEVER ? RILL_NEVER : sim->now + limit,
                                .predicate = predicate,
                                .arg = arg });
}

int
rill_sim_step(rill_sim *sim)
{
    rill_ns event;
    size_t events;
    int rc;

    RILL__REQUIRE(sim != NULL);
    if (sim->running || rill_loop_running() != NULL)
        return RILL_EBUSY;
    sim->running = true;
    events = rill__sim_run_due(sim);
    rc = run_loops(sim);
    event = rill__sim_next_event(sim);
    if (rc == 0 && events == 0 && event != RILL_NEVER) {
        rill__sim_advance(sim, earlier(event, next_timer(sim)));
        events = rill__sim_run_due(sim) + 1;
    }
    sim->running = false;
    return rc < 0 ? rc : rc > 0 || events > 0;
}

/* ---- healing ---- */

void
rill_sim_heal(rill_sim *sim)
{
    sim->healed = true;
    memset(sim->rates, 0, sizeof(sim->rates));
    memset(sim->injected, 0, sizeof(sim->injected));
    for (uint32_t i = 0; i < sim->host_count; i++)
        for (uint32_t k = 0; k < sim->hosts[i]->link_count; k++)
            sim->hosts[i]->links[k].cut = false;
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);

        rill__sim_pipe_kick(socket);
        if (socket->state == SIM_CONNECTING && socket->step_kind == SIM_STEP_RETRY)
            rill__sim_schedule(sim, &socket->step, sim->now);
    }
    rill__sim_trace(sim, NULL, SIM_OBJECT_WORLD, 0, SIM_HEAL, 0, 0);
}
