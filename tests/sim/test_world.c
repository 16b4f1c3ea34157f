/*
 * The world: its clock, hosts and loops, the ways to run it, and what it says at its end.
 */
#include "raw_echo.h"

static rill_sim *
new_world(void)
{
    rill_sim *sim = NULL;

    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.seed = 3, .profile = RILL_SIM_CALM), &sim), 0);
    return sim;
}

static rill_loop *
new_loop(rill_sim *sim, const char *host)
{
    rill_loop *loop = NULL;

    assert_int_equal(rill_sim_loop_new(sim, host, NULL, &loop), 0);
    return loop;
}

typedef struct log {
    rill_loop *loop;
    rill_ns times[16];
    char letters[16];
    int count;
    char letter;
} log;

static void
note(void *arg)
{
    log *to = arg;

    assert_true(to->count < 16);
    to->times[to->count] = rill_loop_time(to->loop);
    to->letters[to->count++] = to->letter;
}

/* ---- making ---- */

static void
test_options(void **unused)
{
    rill_sim *sim = NULL;

    (void)unused;
    assert_int_equal(rill_sim_new(&(rill_sim_options){ .seed = 1 }, &sim), RILL_EINVAL);
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.recv_buffer = 1), &sim), RILL_EINVAL);
    assert_int_equal(
        rill_sim_new(&RILL_SIM_OPTIONS(.profile = (rill_sim_profile)9), &sim), RILL_EINVAL);
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.only_faults_count = 1), &sim), RILL_EINVAL);
    assert_null(sim);
    assert_int_equal(rill_sim_new(NULL, &sim), 0);
    assert_int_equal(rill_sim_seed(sim), 1);
    assert_true(rill_sim_get_personality(sim) != RILL_SIM_PERSONALITY_DEFAULT);
    assert_int_equal(rill_sim_free(sim), 0);
    assert_int_equal(rill_sim_free(NULL), 0);
}

static void
test_environment(void **unused)
{
    rill_sim *sim = NULL;

    (void)unused;
    (void)setenv("RILL_SIM_SEED", "0x1f", 1);
    (void)setenv("RILL_SIM_PERSONALITY", "completion", 1);
    assert_int_equal(rill_sim_new(NULL, &sim), 0);
    assert_int_equal(rill_sim_seed(sim), 31);
    assert_int_equal(rill_sim_get_personality(sim), RILL_SIM_COMPLETION);
    assert_int_equal(rill_sim_free(sim), 0);
    (void)setenv("RILL_SIM_PERSONALITY", "readiness", 1);
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.seed = 5), &sim), 0);
    assert_int_equal(rill_sim_seed(sim), 5);
    assert_int_equal(rill_sim_get_personality(sim), RILL_SIM_READINESS);
    assert_int_equal(rill_sim_free(sim), 0);
    sim = NULL;
    (void)setenv("RILL_SIM_PERSONALITY", "both", 1);
    assert_int_equal(rill_sim_new(NULL, &sim), RILL_EINVAL);
    (void)unsetenv("RILL_SIM_PERSONALITY");
    (void)setenv("RILL_SIM_PROFILE", "mild", 1);
    assert_int_equal(rill_sim_new(NULL, &sim), RILL_EINVAL);
    (void)unsetenv("RILL_SIM_PROFILE");
    (void)setenv("RILL_SIM_FAULTS", "17", 1);
    assert_int_equal(rill_sim_new(NULL, &sim), RILL_EINVAL);
    (void)unsetenv("RILL_SIM_FAULTS");
    (void)unsetenv("RILL_SIM_SEED");
}

/* Both personalities come up, about as often. */
static void
test_personality_by_seed(void **unused)
{
    int completion = 0;

    (void)unused;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        rill_sim *sim = NULL;

        assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.seed = seed), &sim), 0);
        completion += rill_sim_get_personality(sim) == RILL_SIM_COMPLETION;
        assert_int_equal(rill_sim_free(sim), 0);
    }
    assert_true(completion > 25 && completion < 75);
}

static void
test_loops_and_hosts(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = NULL;

    (void)unused;
    assert_int_equal(rill_sim_loop_new(sim, "nowhere", NULL, &loop), RILL_EINVAL);
    assert_null(loop);
    assert_int_equal(rill_sim_host(sim, "db", NULL), 0);
    loop = new_loop(sim, "db");
    assert_string_equal(rill_loop_driver(loop), "sim");
    assert_int_equal(rill_loop_backend_fd(loop), RILL_ENOTSUP);
    assert_int_equal(rill_loop_free(loop), 0); /* Or rill_sim_free does. */
    (void)new_loop(sim, NULL);
    assert_int_equal(rill_sim_free(sim), 0);
    loop = NULL;
    assert_int_equal(
        rill_loop_new(&RILL_LOOP_OPTIONS(.driver = "sim", .sim_host = "x"), &loop), RILL_EINVAL);
    assert_null(loop);
}

/* ---- the clock ---- */

static void
test_timers_are_exact(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log seen = { .loop = loop, .letter = 'a' };
    rill_ns start = rill_sim_now(sim);
    static const rill_ns delays[] = { 3, 7 * RILL_US + 1, 123456789, RILL_S, 3600 * RILL_S };

    (void)unused;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rill_call_later(loop, delays[4 - i], note, &seen, NULL), 0);
    assert_int_equal(rill_sim_run_for(sim, 2 * 3600 * RILL_S), 0);
    assert_int_equal(seen.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(seen.times[i] - start, delays[i]);
    assert_int_equal(rill_sim_now(sim) - start, 2 * 3600 * RILL_S);
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
test_run_for_stops_in_time(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log seen = { .loop = loop, .letter = 'a' };

    (void)unused;
    assert_int_equal(rill_call_later(loop, 10 * RILL_MS, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_run_for(sim, 10 * RILL_MS - 1), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(rill_sim_run_for(sim, 1), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* Loops of one world share the clock; equal times run in the order of making when calm. */
static void
test_two_loops_one_clock(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *first = new_loop(sim, NULL);
    rill_loop *second = new_loop(sim, NULL);
    log seen = { .loop = first, .letter = 'x' };

    (void)unused;
    assert_int_equal(rill_call_later(second, 2 * RILL_MS, note, &seen, NULL), 0);
    assert_int_equal(rill_call_later(first, 1 * RILL_MS, note, &seen, NULL), 0);
    assert_int_equal(rill_call_later(second, 3 * RILL_MS, note, &seen, NULL), 0);
    assert_int_equal(rill_call_later(first, 4 * RILL_MS, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_run_for(sim, RILL_S), 0);
    assert_int_equal(seen.count, 4);
    for (int i = 1; i < 4; i++)
        assert_int_equal(seen.times[i] - seen.times[i - 1], RILL_MS);
    assert_int_equal(rill_loop_time(first), rill_loop_time(second));
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
again(void *arg)
{
    log *to = arg;

    if (rill_loop_time(to->loop) < to->times[0])
        assert_int_equal(rill_call_soon(to->loop, again, to, NULL), 0);
}

/* A program that never sleeps cannot stop time. */
static void
test_busy_loop_lets_time_pass(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log busy = { .loop = loop };

    (void)unused;
    busy.times[0] = rill_sim_now(sim) + 10 * RILL_MS;
    assert_int_equal(rill_call_soon(loop, again, &busy, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    assert_true(rill_sim_now(sim) >= busy.times[0]);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* Nor can two scripts that answer each other at once. */
static void
bounce(rill_sim_peer *peer, void *arg)
{
    rill_sim_peer *accepted;
    char byte;

    (void)arg;
    if (rill_sim_peer_get_state(peer) == RILL_SIM_PEER_LISTENING)
        (void)rill_sim_peer_accept(peer, &accepted);
    else if (rill_sim_peer_take(peer, &byte, 1) == 1)
        (void)rill_sim_peer_feed(peer, &byte, 1);
}

static void
test_endless_exchange_lets_time_pass(void **unused)
{
    rill_sim *sim = new_world();
    rill_sim_peer *listener;
    rill_sim_peer *client;

    (void)unused;
    assert_int_equal(rill_sim_listen(sim, NULL, "127.0.0.1:7", 1, &listener), 0);
    rill_sim_peer_watch(listener, bounce, NULL);
    assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7", &client), 0);
    rill_sim_peer_watch(client, bounce, NULL);
    assert_int_equal(rill_sim_peer_feed(client, "x", 1), 0);
    assert_int_equal(rill_sim_run_for(sim, 20 * RILL_US), 0);
    assert_true(rill_sim_peer_bytes_in(client) > 1000);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* ---- the ways to run ---- */

static bool
three_seen(void *arg)
{
    return ((log *)arg)->count >= 3;
}

static void
test_run_until(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log seen = { .loop = loop };
    rill_id id;

    (void)unused;
    assert_int_equal(rill_sim_run_until(sim, three_seen, &seen, RILL_NEVER), RILL_EDEADLK);
    assert_int_equal(rill_call_every(loop, RILL_S, note, &seen, &id), 0);
    assert_int_equal(rill_sim_run_until(sim, three_seen, &seen, 2500 * RILL_MS), RILL_ETIMEDOUT);
    assert_int_equal(seen.count, 2);
    assert_int_equal(rill_sim_run_until(sim, three_seen, &seen, RILL_NEVER), 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(rill_sim_run_until(sim, three_seen, &seen, 0), 0);
    assert_int_equal(rill_sim_run_until(sim, NULL, NULL, 0), RILL_EINVAL);
    assert_true(rill_cancel(loop, id));
    assert_int_equal(rill_sim_free(sim), 0);
}

/* Later timers are not waited for; those on the way fire. */
static void
test_run_until_idle(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log early = { .loop = loop };
    log late = { .loop = loop };
    log script = { .loop = loop };
    rill_ns start = rill_sim_now(sim);
    rill_id id;

    (void)unused;
    assert_int_equal(rill_call_later(loop, RILL_MS, note, &early, NULL), 0);
    assert_int_equal(rill_call_later(loop, RILL_S, note, &late, &id), 0);
    assert_int_equal(rill_sim_call_later(sim, 5 * RILL_MS, note, &script), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    assert_int_equal(early.count, 1);
    assert_int_equal(script.count, 1);
    assert_int_equal(late.count, 0);
    assert_int_equal(rill_sim_now(sim) - start, 5 * RILL_MS);
    assert_true(rill_cancel(loop, id));
    assert_int_equal(rill_sim_call_later(sim, -1, note, &script), RILL_EINVAL);
    assert_int_equal(rill_sim_call_later(sim, 0, NULL, NULL), RILL_EINVAL);
    assert_int_equal(rill_sim_call_later(sim, RILL_S, note, &script), 0); /* Dropped at the end. */
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
test_step(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log seen = { .loop = loop };
    rill_ns start = rill_sim_now(sim);

    (void)unused;
    assert_int_equal(rill_sim_step(sim), 0);
    assert_int_equal(rill_call_soon(loop, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_step(sim), 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(rill_sim_call_later(sim, RILL_S, note, &seen), 0);
    assert_int_equal(rill_sim_step(sim), 1);
    assert_int_equal(seen.count, 2);
    assert_int_equal(rill_sim_now(sim) - start, RILL_S);
    assert_int_equal(rill_sim_step(sim), 0);
    assert_int_equal(rill_sim_free(sim), 0);
}

static void
turn_for_ever(void *arg)
{
    assert_int_equal(rill_call_soon(arg, turn_for_ever, arg, NULL), 0);
}

static void
test_turns_max(void **unused)
{
    rill_sim *sim = NULL;
    rill_loop *loop;

    (void)unused;
    assert_int_equal(rill_sim_new(&RILL_SIM_OPTIONS(.turns_max = 5000), &sim), 0);
    loop = new_loop(sim, NULL);
    assert_int_equal(rill_call_soon(loop, turn_for_ever, loop, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), RILL_ELIMIT);
    assert_int_equal(rill_sim_free(sim), 0);
}

typedef struct nested {
    rill_sim *sim;
    int results[4];
} nested;

static void
run_inside(void *arg)
{
    nested *n = arg;

    n->results[0] = rill_sim_run_for(n->sim, 1);
    n->results[1] = rill_sim_run_until_idle(n->sim);
    n->results[2] = rill_sim_run_until(n->sim, three_seen, n, 1);
    n->results[3] = rill_sim_step(n->sim);
}

static void
test_running_inside(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    nested n = { .sim = sim };

    (void)unused;
    assert_int_equal(rill_call_soon(loop, run_inside, &n, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(n.results[i], RILL_EBUSY);
    memset(n.results, 0, sizeof(n.results));
    assert_int_equal(rill_sim_call_later(sim, 0, run_inside, &n), 0);
    assert_int_equal(rill_loop_run_until(loop, rill_loop_time(loop) + 1), RILL_ETIMEDOUT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(n.results[i], RILL_EBUSY);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A lone loop may drive its world; among others it may not wait. */
static void
test_loop_run(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    rill_loop *other;
    log seen = { .loop = loop };
    rill_ns start = rill_sim_now(sim);

    (void)unused;
    assert_int_equal(rill_loop_run(loop), RILL_EDEADLK);
    assert_int_equal(rill_call_later(loop, RILL_S, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_call_later(sim, 2 * RILL_S, note, &seen), 0);
    assert_int_equal(rill_loop_run(loop), RILL_EDEADLK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(rill_sim_now(sim) - start, 2 * RILL_S);
    other = new_loop(sim, NULL);
    assert_int_equal(rill_call_soon(loop, note, &seen, NULL), 0);
    assert_int_equal(rill_loop_run(loop), RILL_EBUSY);
    assert_int_equal(seen.count, 3);
    assert_int_equal(rill_loop_free(other), 0);
    assert_int_equal(rill_loop_run(loop), RILL_EDEADLK);
    assert_int_equal(rill_sim_free(sim), 0);
}

typedef struct freeing {
    rill_loop *victim;
    log seen;
} freeing;

static void
free_other(void *arg)
{
    freeing *f = arg;

    assert_int_equal(rill_loop_free(f->victim), 0);
    f->seen.count++;
}

/* A loop may go while the world runs, also the one whose turn is next. */
static void
test_loop_freed_by_another(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *first = new_loop(sim, NULL);
    freeing f = { .victim = new_loop(sim, NULL) };
    rill_loop *third = new_loop(sim, NULL);
    log seen = { .loop = third };

    (void)unused;
    assert_int_equal(rill_call_soon(first, free_other, &f, NULL), 0);
    assert_int_equal(rill_call_soon(f.victim, note, &seen, NULL), 0);
    assert_int_equal(rill_call_soon(third, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    assert_int_equal(f.seen.count, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* ---- the end ---- */

static void
test_leaked_descriptor(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    int fd;

    (void)unused;
    assert_int_equal(loop->sys->socket(loop->driver, RILL_FAMILY_IPV4, &fd), 0);
    assert_int_equal(rill_sim_descriptors(sim, NULL), 1);
    assert_int_equal(rill_sim_descriptors(sim, "nobody"), 0);
    assert_int_equal(rill_sim_free(sim), 1);
}

static void
test_leaked_allocation(void **unused)
{
    rill_sim *sim = new_world();
    const rill_allocator *allocator = rill_sim_allocator(sim);
    void *leaked = allocator->alloc(allocator->ctx, 100, RILL_TAG_WRITE);

    (void)unused;
    assert_non_null(leaked);
    assert_int_equal(rill_sim_allocations(sim), 1);
    assert_int_equal(rill_sim_free(sim), 1);
    free(leaked); /* It came from malloc. */
}

static void
test_leftover_timer(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    log seen = { .loop = loop };

    (void)unused;
    assert_int_equal(rill_call_later(loop, RILL_S, note, &seen, NULL), 0);
    assert_int_equal(rill_sim_free(sim), 1);
    assert_int_equal(seen.count, 0);
}

/* Loops that close at the end, in a world of several, in both personalities. */
static void
test_loops_freed_with_connections(void **unused)
{
    (void)unused;
    for (int personality = RILL_SIM_READINESS; personality <= RILL_SIM_COMPLETION; personality++) {
        rill_sim *sim = NULL;
        rill_sim_peer *peer;
        raw_echo echo;

        assert_int_equal(
            rill_sim_new(&RILL_SIM_OPTIONS(.personality = (rill_sim_personality)personality), &sim),
            0);
        assert_int_equal(raw_echo_start(&echo, new_loop(sim, NULL), "127.0.0.1", 7000, 8), 0);
        (void)new_loop(sim, NULL);
        assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7000", &peer), 0);
        assert_int_equal(rill_sim_run_until_idle(sim), 0);
        assert_int_equal(echo.accepted, 1);
        raw_echo_stop(&echo, sim);
        assert_int_equal(rill_sim_free(sim), 0);
    }
}

/* The number of a closed descriptor never names the next one. */
static void
test_stale_descriptor(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    rill__io io = { 0 };
    int stale;
    int fd;

    (void)unused;
    assert_int_equal(loop->sys->socket(loop->driver, RILL_FAMILY_IPV4, &stale), 0);
    loop->sys->close_fd(loop->driver, stale, false);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(loop->sys->socket(loop->driver, RILL_FAMILY_IPV4, &fd), 0);
        assert_int_not_equal(fd, stale);
        assert_int_equal(loop->sys->listen(loop->driver, stale, 1), -EBADF);
        assert_int_equal(loop->ops->attach(loop->driver, &io, stale, RILL__IO_STREAM), -EBADF);
        loop->sys->close_fd(loop->driver, stale, false); /* Nothing. */
        assert_int_equal(rill_sim_descriptors(sim, NULL), 1);
        loop->sys->close_fd(loop->driver, fd, false);
    }
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A path that was removed and made again is another file. */
static void
test_path_identity(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    uint64_t identities[2][2];
    rill_addr addr;
    int fd;

    (void)unused;
    assert_int_equal(rill_addr_unix("/run/x", &addr), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop->sys->socket(loop->driver, RILL_FAMILY_UNIX, &fd), 0);
        assert_int_equal(loop->sys->bind(loop->driver, fd, &addr), 0);
        assert_int_equal(loop->sys->unix_identity(loop->driver, &addr, identities[i]), 0);
        loop->sys->close_fd(loop->driver, fd, false);
        assert_int_equal(loop->sys->unix_unlink(loop->driver, &addr), 0);
    }
    assert_memory_not_equal(identities[0], identities[1], sizeof(identities[0]));
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A file at the path, put there by the test, is nobody's socket. */
static void
test_file_at_a_path(void **unused)
{
    rill_sim *sim = new_world();
    rill_loop *loop = new_loop(sim, NULL);
    rill_addr addr;

    (void)unused;
    assert_int_equal(rill_sim_put_file(sim, NULL, "/run/x"), 0);
    assert_int_equal(rill_addr_unix("/run/x", &addr), 0);
    assert_int_equal(loop->sys->unix_stale(loop->driver, &addr), -EADDRINUSE);
    assert_int_equal(loop->sys->unix_chmod(loop->driver, &addr, 0), 0);
    assert_int_equal(loop->sys->unix_unlink(loop->driver, &addr), 0);
    assert_int_equal(loop->sys->unix_stale(loop->driver, &addr), 0);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* A port that was bound by hand is nobody else's, not for connects either. */
static void
test_bound_port_is_kept(void **unused)
{
    rill_sim *sim = new_world();
    rill_sim_peer *holders[64];
    rill_sim_peer *listener;
    rill_addr addr;
    int ports[64];

    (void)unused;
    assert_int_equal(rill_sim_listen(sim, NULL, "127.0.0.1:7", 4096, &listener), 0);
    for (int i = 0; i < 64; i++) { /* Ephemeral ports, one after another. */
        assert_int_equal(rill_sim_listen(sim, NULL, "127.0.0.1:0", 1, &holders[i]), 0);
        assert_int_equal(rill_sim_peer_sockname(holders[i], &addr), 0);
        ports[i] = rill_addr_port(&addr);
    }
    for (int i = 0; i < 28232 - 64; i++) {
        rill_sim_peer *peer;

        assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7", &peer), 0);
        assert_int_equal(rill_sim_peer_sockname(peer, &addr), 0);
        for (int k = 0; k < 64; k++)
            assert_int_not_equal(rill_addr_port(&addr), ports[k]);
    }
    assert_int_equal(rill_sim_dial(sim, NULL, "127.0.0.1:7", &holders[0]), -EADDRNOTAVAIL);
    assert_int_equal(rill_sim_free(sim), 0);
}

/* ---- looking ---- */

typedef struct lines {
    size_t count;
    bool has_syn;
    bool has_host;
    bool too_long;
} lines;

static void
see_line(const char *line, void *arg)
{
    lines *seen = arg;

    seen->count++;
    seen->has_syn = seen->has_syn || strstr(line, "syn to host") != NULL;
    seen->has_host = seen->has_host || strstr(line, "db") != NULL;
    seen->too_long = seen->too_long || strlen(line) > 200 || strchr(line, '\n') != NULL;
}

static void
test_dump(void **unused)
{
    rill_sim *sim = new_world();
    rill_sim_peer *peer;
    lines seen = { 0 };
    uint64_t events;

    (void)unused;
    assert_int_equal(rill_sim_host(sim, "db", NULL), 0);
    assert_int_equal(rill_sim_dial(sim, "db", "127.0.0.1:7", &peer), 0);
    assert_int_equal(rill_sim_run_until_idle(sim), 0);
    events = rill_sim_trace_count(sim);
    rill_sim_dump(sim, see_line, &seen);
    assert_true(seen.count > events);
    assert_true(seen.has_syn && seen.has_host && !seen.too_long);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(rill_sim_dial(sim, "db", "127.0.0.1:7", &peer), 0);
        assert_int_equal(rill_sim_run_until_idle(sim), 0);
    }
    memset(&seen, 0, sizeof(seen));
    rill_sim_dump(sim, see_line, &seen);
    assert_true(rill_sim_trace_count(sim) > 4096);
    assert_true(seen.count >= 4096 && seen.count < 4200); /* The last ones. */
    assert_int_equal(rill_sim_free(sim), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_personality_by_seed),
        cmocka_unit_test(test_loops_and_hosts),
        cmocka_unit_test(test_timers_are_exact),
        cmocka_unit_test(test_run_for_stops_in_time),
        cmocka_unit_test(test_two_loops_one_clock),
        cmocka_unit_test(test_busy_loop_lets_time_pass),
        cmocka_unit_test(test_endless_exchange_lets_time_pass),
        cmocka_unit_test(test_run_until),
        cmocka_unit_test(test_run_until_idle),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_turns_max),
        cmocka_unit_test(test_running_inside),
        cmocka_unit_test(test_loop_run),
        cmocka_unit_test(test_loop_freed_by_another),
        cmocka_unit_test(test_leaked_descriptor),
        cmocka_unit_test(test_leaked_allocation),
        cmocka_unit_test(test_leftover_timer),
        cmocka_unit_test(test_loops_freed_with_connections),
        cmocka_unit_test(test_stale_descriptor),
        cmocka_unit_test(test_path_identity),
        cmocka_unit_test(test_file_at_a_path),
        cmocka_unit_test(test_bound_port_is_kept),
        cmocka_unit_test(test_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
