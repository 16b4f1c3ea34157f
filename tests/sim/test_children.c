/*
 * Children in all weathers: programs are started, talked to, signaled, closed and left to
 * themselves, with every fault that children and pipes have. Whatever happens, each one that was
 * started ends once, with a code that one of its ends can have; nothing is left; and a seed is
 * always the same run.
 */
/* timeout: 120 */
#include "shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define SEEDS    300
#define CHILDREN 24

typedef struct child {
    struct run *run;
    rill_subprocess *process;
    int number;
    bool made, exited, lost;
    bool talks; /* It has pipes, and gets `said` back. */
    size_t said, heard;
    int pipes; /* That are not lost yet. */
} child;

typedef struct run {
    rill_sim *sim;
    rill_loop *loop;
    child children[CHILDREN];
    int started, lost, refused;
} run;

/* ---- programs ---- */

/* Echoes what it reads until the end of its input, or for a while. */
static void
run_echo(rill_sim_process *process, void *arg)
{
    char buf[512];
    int64_t got;

    (void)arg;
    while ((got = rill_sim_process_read(process, buf, sizeof(buf))) > 0) {
        int64_t put = rill_sim_process_write(process, 1, buf, (size_t)got);

        if (put < got) { /* No room, or nobody reads: such a program gives up. */
            rill_sim_process_exit(process, 3, 0);
            return;
        }
    }
    if (got == 0)
        rill_sim_process_exit(process, 0, 0);
}

static void
run_short(rill_sim_process *process, void *arg)
{
    (void)arg;
    rill_sim_process_exit(process, 7, (rill_ns)(rill_sim_process_pid(process) % 90) * RILL_MS);
}

/* ---- the parent ---- */

static void
on_made(rill_subprocess *process, void *self, void *arg)
{
    child *c = self;

    (void)arg;
    assert_true(!c->made && c->process == process);
    c->made = true;
    c->talks = rill_subprocess_pipe(process, 0) != NULL;
    c->pipes = c->talks ? 2 : 0;
    if (c->talks && rill_transport_write(rill_subprocess_pipe(process, 0), "0123456789", 10) >= 0)
        c->said = 10;
}

static void
on_data(rill_subprocess *process, void *self, int fd, rill_slice in)
{
    child *c = self;

    assert_true(c->made && !c->lost && fd == 1);
    c->heard += in.len;
    assert_true(c->heard <= c->said);
    if (c->heard == c->said && rill_subprocess_pipe(process, 0) != NULL)
        rill_transport_close(rill_subprocess_pipe(process, 0));
}

static void
on_pipe_lost(rill_subprocess *process, void *self, int fd, const rill_reason *why)
{
    child *c = self;

    (void)why;
    assert_true(c->made && !c->lost && c->pipes > 0);
    assert_null(rill_subprocess_pipe(process, fd));
    c->pipes--;
}

static void
on_exited(rill_subprocess *process, void *self)
{
    child *c = self;
    int code = 99;

    assert_true(c->made && !c->exited && !c->lost);
    c->exited = true;
    assert_int_equal(rill_subprocess_returncode(process, &code), 0);
    assert_true(code == 0 || code == 3 || code == 7 || code == -SIGKILL || code == -SIGTERM);
    assert_code(rill_subprocess_kill(process), -ESRCH);
}

static void
on_lost(rill_subprocess *process, void *self, const rill_reason *why)
{
    child *c = self;

    (void)process;
    assert_true(c->made && c->exited && !c->lost && c->pipes == 0);
    assert_int_equal(why->code, 0);
    c->lost = true;
    c->process = NULL;
    c->run->lost++;
}

static const rill_subprocess_protocol protocol =
    RILL_SUBPROCESS_PROTOCOL(.connection_made = on_made, .pipe_data_received = on_data,
        .pipe_connection_lost = on_pipe_lost, .process_exited = on_exited,
        .connection_lost = on_lost);

static void
start_one(run *r, int number)
{
    static const char *const echo[] = { "echo", NULL };
    static const char *const brief[] = { "brief", NULL };
    child *c = &r->children[number];
    const rill_stdio pipe = { RILL_STDIO_PIPE, 0 };
    int rc;

    c->run = r;
    c->number = number;
    rc = number % 3 == 0 ? rill_subprocess_exec(r->loop, &RILL_PROCESS_OPTIONS(.argv = brief),
                               &protocol, c, &c->process)
                         : rill_subprocess_exec(r->loop,
                               &RILL_PROCESS_OPTIONS(.argv = echo, .in = pipe, .out = pipe),
                               &protocol, c, &c->process);
    r->started += rc == 0;
    r->refused += rc < 0;
    if (rc < 0)
        assert_true(
            rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS);
}

/* Something to somebody, by the seed. */
static void
meddle(run *r, uint64_t hash)
{
    child *c = &r->children[hash % CHILDREN];

    if (c->process == NULL)
        return;
    switch ((hash >> 16) % 4) {
    case 0:
        (void)rill_subprocess_terminate(c->process);
        break;
    case 1:
        (void)rill_subprocess_kill(c->process);
        break;
    case 2:
        rill_subprocess_close(c->process);
        break;
    case 3:
        if (rill_subprocess_pipe(c->process, 1) != NULL)
            rill_transport_abort(rill_subprocess_pipe(c->process, 1));
        break;
    }
}

static uint64_t
run_seed(uint64_t seed, uint64_t counts[RILL_SIM_FAULT_COUNT])
{
    const rill_sim_program echo = { .size = sizeof(echo), .run = run_echo };
    const rill_sim_program brief = { .size = sizeof(brief), .run = run_short };
    run r = { .started = 0 };
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash;

    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed,
                                      .profile = seed % 2 == 0 ? RILL_SIM_SWARM : RILL_SIM_HOSTILE),
                         &r.sim),
        0);
    rill_sim_set_fault(r.sim, RILL_SIM_FAULT_ALLOCATION, 0); /* The sweep's. */
    assert_int_equal(rill_sim_program_add(r.sim, NULL, "echo", &echo, NULL), 0);
    assert_int_equal(rill_sim_program_add(r.sim, NULL, "brief", &brief, NULL), 0);
    assert_int_equal(rill_sim_loop_new(r.sim, NULL, NULL, &r.loop), 0);
    for (int i = 0; i < CHILDREN; i++) {
        start_one(&r, i);
        assert_int_equal(rill_sim_run_for(r.sim, 3 * RILL_MS), 0);
        random = (random ^ (random >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
        meddle(&r, random);
    }
    assert_int_equal(rill_sim_run_for(r.sim, RILL_S), 0);
    if (seed % 3 != 0) { /* Else rill_loop_free ends them. */
        for (int i = 0; i < CHILDREN; i++)
            if (r.children[i].process != NULL)
                rill_subprocess_close(r.children[i].process);
        assert_int_equal(rill_sim_run_for(r.sim, 10 * RILL_S), 0);
        assert_int_equal(r.lost, r.started);
        assert_int_equal(rill_sim_processes(r.sim, NULL), 0);
    }
    rill_loop_free(r.loop);
    assert_int_equal(r.lost, r.started);
    hash = rill_sim_trace_hash(r.sim);
    for (int i = 0; i < RILL_SIM_FAULT_COUNT; i++)
        counts[i] += rill_sim_fault_count(r.sim, (rill_sim_fault)i);
    assert_int_equal(rill_sim_free(r.sim), 0);
    return hash;
}

static void
test_each_child_ends_once_and_nothing_is_left(void **unused)
{
    uint64_t counts[RILL_SIM_FAULT_COUNT] = { 0 };

    (void)unused;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        (void)run_seed(seed, counts);
    for (int i = RILL_SIM_FAULT_SPAWN_EAGAIN; i < RILL_SIM_FAULT_COUNT; i++)
        if (counts[i] == 0)
            fail_msg("%s never fired", rill_sim_fault_name((rill_sim_fault)i));
}

static void
test_a_seed_is_always_the_same_run(void **unused)
{
    uint64_t counts[RILL_SIM_FAULT_COUNT] = { 0 };

    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++)
        assert_true(run_seed(seed, counts) == run_seed(seed, counts));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_child_ends_once_and_nothing_is_left),
        cmocka_unit_test(test_a_seed_is_always_the_same_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
