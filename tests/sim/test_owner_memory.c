/*
 * The completion personality against an owner that lets go of its memory too early: the sanitizer
 * sees the simulated kernel's hands. And an owner that waits for the FINAL or the close record is
 * never disturbed.
 */
/* valgrind: no */
#include <stdio.h>
#include <unistd.h>

#include "child.h"
#include "raw_echo.h"

#include "core/sanitizers.h"

#define BYTES 100

typedef struct owner {
    rill__io io;
    rill_loop *loop;
    rill__iov iov;
    uint8_t *memory;
    bool free_before_final;
    bool close_first;
    bool free_before_close;
    int64_t final;
    bool closed;
} owner;

static void
ignore(rill__op *op)
{
    (void)op;
}

static void
sent(rill__op *op)
{
    owner *o = RILL__CONTAINER(op, owner, io.send);
    int64_t result = o->loop->ops->finish(o->loop->driver, &o->io);

    if (result == -EAGAIN)
        return;
    o->final = result;
    if (!o->free_before_final)
        free(o->memory);
    o->memory = NULL;
}

static void
closed(rill__op *op)
{
    owner *o = RILL__CONTAINER(op, owner, io.close);

    o->closed = true;
    if (!o->free_before_close)
        free(o->memory);
    o->memory = NULL;
}

/* Returns 0 when all went well. */
static int
run(void *arg)
{
    owner *o = arg;
    rill_sim_peer *listener;
    rill_sim *sim;
    rill_addr addr;
    int fd;

    CHILD_CHECK(rill_sim_new(
                    &RILL_SIM_OPTIONS(.profile = RILL_SIM_CALM, .personality = RILL_SIM_COMPLETION),
                    &sim) == 0);
    CHILD_CHECK(rill_sim_loop_new(sim, NULL, NULL, &o->loop) == 0);
    CHILD_CHECK(rill_sim_listen(sim, NULL, "127.0.0.1:7", 4, &listener) == 0);
    CHILD_CHECK(rill_addr_parse("127.0.0.1", 7, &addr) == 0);
    CHILD_CHECK(o->loop->sys->socket(o->loop->driver, RILL_FAMILY_IPV4, &fd) == 0);
    o->io.recv.fn = ignore;
    o->io.send.fn = sent;
    o->io.close.fn = closed;
    CHILD_CHECK(o->loop->ops->attach(o->loop->driver, &o->io, fd, RILL__IO_STREAM) == 0);
    CHILD_CHECK(o->loop->ops->connect_start(o->loop->driver, &o->io, &addr) == 0);
    CHILD_CHECK(rill_sim_run_until_idle(sim) == 0);
    CHILD_CHECK(o->final == 0);

    o->memory = malloc(BYTES);
    CHILD_CHECK(o->memory != NULL);
    memset(o->memory, 1, BYTES);
    o->iov = (rill__iov){ .base = o->memory, .len = BYTES };
    CHILD_CHECK(o->loop->ops->send_start(o->loop->driver, &o->io, &o->iov, 1) == 0);
    if (o->close_first)
        o->loop->ops->close_io(o->loop->driver, &o->io, true);
    if (o->free_before_final || o->free_before_close)
        free(o->memory);
    CHILD_CHECK(rill_sim_run_until_idle(sim) == 0);
    CHILD_CHECK(o->memory == NULL);
    if (!o->close_first) {
        CHILD_CHECK(o->final == BYTES);
        o->loop->ops->close_io(o->loop->driver, &o->io, false);
        CHILD_CHECK(rill_sim_run_until_idle(sim) == 0);
    }
    CHILD_CHECK(o->closed);
    CHILD_CHECK(rill_sim_free(sim) == 0);
    return 0;
}

static void
test_patient_owner(void **unused)
{
    owner waits_for_final = { .close_first = false };
    owner waits_for_close = { .close_first = true };

    (void)unused;
    assert_int_equal(run(&waits_for_final), 0);
    assert_int_equal(run(&waits_for_close), 0);
}

#if RILL__ASAN
static void
expect_caught(owner *o)
{
    child_result result;

    child_run(run, o, &result);
    assert_true(result.exit_code != 0);
    assert_non_null(strstr(result.text, "heap-use-after-free"));
}

static void
test_freed_before_the_final(void **unused)
{
    owner o = { .free_before_final = true };

    (void)unused;
    expect_caught(&o);
}

static void
test_freed_before_the_close(void **unused)
{
    owner o = { .close_first = true, .free_before_close = true };

    (void)unused;
    expect_caught(&o);
}
#endif

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patient_owner),
#if RILL__ASAN /* Nobody else can tell. */
        cmocka_unit_test(test_freed_before_the_final),
        cmocka_unit_test(test_freed_before_the_close),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
