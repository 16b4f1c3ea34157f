/*
 * Datagram sockets for tasks: questions and answers, several receivers, an end of the queue, errors
 * of the network, cancels and closes under who waits.
 */
#include "tasks.h"

#include <errno.h>
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
    harness_settle(&h);
    harness_close(&h);
    return 0;
}

#define DATAGRAM_TEST(name)                        \
    static void test_##name(void **unused)         \
    {                                              \
        (void)unused;                              \
        assert_code(tasks_run(&h, name, NULL), 0); \
    }

/* ---- what the cases do ---- */

static rill_datagram *
opened(const rill_datagram_options *options)
{
    rill_datagram *d = NULL;

    assert_code(rill_datagram_open(options, &d), 0);
    return d;
}

static rill_datagram *
at_loopback(rill_addr *ret_addr)
{
    rill_datagram *d = opened(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"));

    assert_code(rill_transport_sockname(rill_datagram_transport(d), ret_addr), 0);
    return d;
}

static void
say(rill_datagram *d, const char *text, const rill_addr *to)
{
    assert_code(rill_datagram_send(d, text, strlen(text), to), 0);
}

static void
hear(rill_datagram *d, const char *text)
{
    char buf[64];

    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), NULL), strlen(text));
    assert_memory_equal(buf, text, strlen(text));
}

/* A task that waits to receive. */
typedef struct waiter {
    rill_datagram *d;
    rill_task *task;
    char buf[16];
    int64_t got;
} waiter;

static int
receive(void *arg)
{
    waiter *w = arg;

    w->got = rill_datagram_recv(w->d, w->buf, sizeof(w->buf), NULL);
    return 0;
}

static void
wait_in(waiter *w, rill_datagram *d)
{
    w->d = d;
    w->got = INT64_MIN;
    assert_code(rill_spawn(receive, w, NULL, &w->task), 0);
    assert_code(rill_sleep(RILL_MS), 0);
    assert_true(w->got == INT64_MIN);
}

static void
join(waiter *w)
{
    assert_code(rill_await(rill_task_future(w->task), NULL), 0);
    rill_task_unref(w->task);
}

/* ---- the cases ---- */

static int
a_question_gets_its_answer(void *unused)
{
    rill_received received;
    rill_addr addr;
    rill_datagram *server = at_loopback(&addr);
    rill_datagram *client = opened(&RILL_DATAGRAM_OPTIONS(.addr = &addr));
    char buf[64];

    (void)unused;
    say(client, "question", NULL);
    assert_int_equal(rill_datagram_recv(server, buf, sizeof(buf), &received), 8);
    assert_false(received.truncated);
    say(server, "answer", &received.from);
    hear(client, "answer");
    rill_datagram_close(server);
    rill_datagram_close(client);
    return 0;
}
/* mutant: tasks/datagram.c @ rill_datagram_recv
 * - *ret_received = r.received; */
DATAGRAM_TEST(a_question_gets_its_answer)

static int
several_receivers_get_one_each_in_order(void *unused)
{
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    waiter waiters[3];

    (void)unused;
    for (size_t i = 0; i < 3; i++)
        wait_in(&waiters[i], d);
    say(d, "a", &addr);
    say(d, "bb", &addr);
    say(d, "ccc", &addr);
    for (size_t i = 0; i < 3; i++) {
        join(&waiters[i]);
        assert_int_equal(waiters[i].got, i + 1);
    }
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ on_datagram
 * - first = RILL__CONTAINER(d->receivers.next, rill__flow_wait, link);
 * + first = RILL__CONTAINER(d->receivers.prev, rill__flow_wait, link); */
DATAGRAM_TEST(several_receivers_get_one_each_in_order)

#define MOST 140 /* More than one task takes before it gives way. */

/* What a receiver took; the numbers of all are marked in `taken`. */
typedef struct taker {
    rill_datagram *d;
    uint32_t *taken;
    rill_task *task;
} taker;

static int
take_all(void *arg)
{
    const taker *self = arg;
    uint32_t number = UINT32_MAX;

    while (rill_datagram_recv(self->d, &number, sizeof(number), NULL) == sizeof(number)) {
        assert_true(number < MOST);
        self->taken[number]++;
    }
    return 0;
}

static void
two_take(rill_datagram *d, rill_datagram *sender, uint32_t count)
{
    uint32_t taken[MOST] = { 0 };
    taker takers[2] = { { .d = d, .taken = taken }, { .d = d, .taken = taken } };

    for (uint32_t i = 0; i < count; i++)
        assert_code(rill_datagram_send(sender, &i, sizeof(i), NULL), 0);
    while (rill_datagram_waiting(d) < count)
        assert_code(rill_sleep(RILL_MS), 0);
    for (size_t i = 0; i < 2; i++)
        assert_code(rill_spawn(take_all, &takers[i], NULL, &takers[i].task), 0);
    while (rill_datagram_waiting(d) > 0)
        assert_code(rill_sleep(RILL_MS), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_true(rill_task_cancel(takers[i].task, NULL));
        assert_code(rill_await(rill_task_future(takers[i].task), NULL), 0);
        rill_task_unref(takers[i].task);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(taken[i], 1);
}

static int
two_receivers_share_a_queue_of_any_length(void *unused)
{
    char name[64];
    rill_datagram *d, *sender;

    (void)unused;
    snprintf(name, sizeof(name), "@rill-two-%ld-%s", (long)getpid(),
        on_driver("uring") ? "uring" : "other");
    d = opened(&RILL_DATAGRAM_OPTIONS(.local_path = name));
    sender = opened(&RILL_DATAGRAM_OPTIONS(.path = name));
    for (uint32_t count = 120; count < MOST; count++)
        two_take(d, sender, count);
    rill_datagram_close(sender);
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ receive
 * - got = take_first(d, r);
 * - rill__spend(fiber);
 * + rill__spend(fiber);
 * + got = take_first(d, r); */
DATAGRAM_TEST(two_receivers_share_a_queue_of_any_length)

static int
a_canceled_recv_takes_no_datagram(void *unused)
{
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    waiter w;

    (void)unused;
    wait_in(&w, d);
    assert_true(rill_task_cancel(w.task, NULL));
    say(d, "for the next", &addr);
    join(&w);
    assert_int_equal(w.got, RILL_ECANCELED);
    hear(d, "for the next");
    rill_datagram_close(d);
    return 0;
}
/* no mutant: what leaves a list at a cancel is test_stream_rules' */
DATAGRAM_TEST(a_canceled_recv_takes_no_datagram)

static int
a_timeout_around_it_ends_a_recv(void *unused)
{
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    rill_scope limit;
    char buf[4];
    int64_t got;

    (void)unused;
    rill_timeout_begin(&limit, 10 * RILL_MS);
    got = rill_datagram_recv(d, buf, sizeof(buf), NULL);
    assert_code(rill_scope_end(&limit, (int)got), RILL_ETIMEDOUT);
    rill_datagram_close(d);
    return 0;
}
/* no mutant: scopes have tests of their own */
DATAGRAM_TEST(a_timeout_around_it_ends_a_recv)

/* Over a Unix socket, as only there none is lost on the way. */
static int
the_queue_has_an_end_and_what_is_dropped_is_counted(void *unused)
{
    char name[64];
    rill_datagram *d, *sender;
    const int many = RILL_DATAGRAM_QUEUE_MAX + 10;

    (void)unused;
    snprintf(name, sizeof(name), "@rill-task-%ld-%s", (long)getpid(),
        on_driver("uring") ? "uring" : "other");
    d = opened(&RILL_DATAGRAM_OPTIONS(.local_path = name));
    sender = opened(&RILL_DATAGRAM_OPTIONS(.path = name));
    for (int i = 0; i < many; i++)
        assert_code(rill_datagram_send(sender, &i, sizeof(i), NULL), 0);
    while (rill_datagram_waiting(d) + rill_datagram_dropped(d) < (size_t)many)
        RILL_TRY(rill_sleep(RILL_MS));
    assert_int_equal(rill_datagram_waiting(d), RILL_DATAGRAM_QUEUE_MAX);
    assert_int_equal(rill_datagram_dropped(d), 10);
    for (int i = 0; i < RILL_DATAGRAM_QUEUE_MAX; i++) {
        int number = -1;

        assert_int_equal(rill_datagram_recv(d, &number, sizeof(number), NULL), sizeof(number));
        assert_int_equal(number, i);
    }
    rill_datagram_close(sender);
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ keep
 * - if (d->closed || d->queue.count >= RILL_DATAGRAM_QUEUE_MAX ||
 * + if (d->closed || d->queue.count > RILL_DATAGRAM_QUEUE_MAX || */
DATAGRAM_TEST(the_queue_has_an_end_and_what_is_dropped_is_counted)

static int
an_error_of_the_network_is_told_once(void *unused)
{
    rill_addr gone, here;
    rill_datagram *d = at_loopback(&gone);
    rill_datagram *other = at_loopback(&here);
    char buf[4];

    (void)unused;
    rill_datagram_close(d);
    RILL_TRY(rill_sleep(10 * RILL_MS));
    d = opened(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1", .addr = &gone));
    say(d, "anybody?", NULL);
    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), NULL), -ECONNREFUSED);
    say(d, "really?", NULL);
    RILL_TRY(rill_sleep(10 * RILL_MS)); /* It comes while nobody waits. */
    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), NULL), -ECONNREFUSED);
    rill_datagram_close(d);
    rill_datagram_close(other);
    return 0;
}
/* mutant: tasks/datagram.c @ on_error
 * - d->error = code; */
DATAGRAM_TEST(an_error_of_the_network_is_told_once)

static int
a_close_ends_every_wait(void *unused)
{
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    waiter waiters[2];

    (void)unused;
    wait_in(&waiters[0], d);
    wait_in(&waiters[1], d);
    rill_datagram_close(d);
    for (size_t i = 0; i < 2; i++) {
        join(&waiters[i]);
        assert_int_equal(waiters[i].got, RILL_ECLOSED);
    }
    return 0;
}
/* mutant: tasks/datagram.c @ rill_datagram_close
 * - rill__flow_wake_all(&d->receivers, RILL_ECLOSED);
 * + rill__flow_wake_all(&d->receivers, RILL_EABORTED); */
DATAGRAM_TEST(a_close_ends_every_wait)

static int
an_abort_of_its_transport_is_what_recv_says(void *unused)
{
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    waiter w;
    char buf[4];

    (void)unused;
    wait_in(&w, d);
    rill_transport_abort(rill_datagram_transport(d));
    join(&w);
    assert_int_equal(w.got, RILL_EABORTED);
    assert_null(rill_datagram_transport(d));
    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), NULL), RILL_EABORTED);
    assert_code(rill_datagram_send(d, "x", 1, &addr), RILL_EABORTED);
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ on_lost
 * - d->code = why->code != 0 ? why->code : RILL_ECLOSED;
 * + d->code = RILL_ECLOSED; */
DATAGRAM_TEST(an_abort_of_its_transport_is_what_recv_says)

static int
one_that_is_closed_at_once_leaves_nothing(void *unused)
{
    rill_addr addr;

    (void)unused;
    rill_datagram_close(at_loopback(&addr));
    rill_datagram_close(NULL);
    return 0;
}
/* mutant: tasks/datagram.c @ rill_datagram_close
 * - if (d->t != NULL && !d->made)
 * -     unpin(d); */
DATAGRAM_TEST(one_that_is_closed_at_once_leaves_nothing)

static int
what_does_not_fit_is_cut_and_told(void *unused)
{
    rill_received received;
    rill_addr addr;
    rill_datagram *d = at_loopback(&addr);
    char buf[4];

    (void)unused;
    say(d, "12345678", &addr);
    say(d, "1234", &addr);
    say(d, "", &addr);
    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), &received), 4);
    assert_true(received.truncated);
    assert_int_equal(rill_datagram_recv(d, buf, sizeof(buf), &received), 4);
    assert_false(received.truncated);
    assert_int_equal(rill_datagram_recv(d, NULL, 0, &received), 0);
    assert_false(received.truncated);
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ copy_out
 * - to->received.truncated = to->received.truncated || n < len; */
DATAGRAM_TEST(what_does_not_fit_is_cut_and_told)

/* Who does not read makes a Unix sender wait: at its mark, not in the kernel. */
static int
drink(void *arg)
{
    for (int i = 0; i < 100; i++) {
        int number = -1;
        int64_t got = rill_datagram_recv(arg, &number, sizeof(number), NULL);

        assert_int_equal(got, sizeof(number));
        assert_int_equal(number, i);
    }
    return 0;
}

static void
read_on(void *arg)
{
    rill_transport_resume_reading(rill_datagram_transport(arg));
}

static int
a_send_waits_above_the_mark(void *unused)
{
    const rill_transport_options low = RILL_TRANSPORT_OPTIONS(.write_high = 24, .write_low = 12);
    char name[64];
    rill_datagram *d, *sender;
    rill_task *reader;

    (void)unused;
    snprintf(name, sizeof(name), "@rill-task-%ld-%s", (long)getpid(),
        on_driver("uring") ? "uring" : "other");
    d = opened(&RILL_DATAGRAM_OPTIONS(.local_path = name));
    sender = opened(&RILL_DATAGRAM_OPTIONS(.path = name, .transport = &low));
    rill_transport_pause_reading(rill_datagram_transport(d));
    assert_code(rill_spawn(drink, d, NULL, &reader), 0);
    assert_code(rill_call_later(h.loop, 20 * RILL_MS, read_on, d, NULL), 0);
    for (int i = 0; i < 100; i++) {
        assert_code(rill_datagram_send(sender, &i, sizeof(i), NULL), 0);
        RILL_TRY(rill_sleep(0)); /* Until then it is not known what the kernel has no room for. */
        assert_true(rill_transport_write_buffer_size(rill_datagram_transport(sender)) <= 36);
    }
    assert_code(rill_await(rill_task_future(reader), NULL), 0);
    rill_task_unref(reader);
    rill_datagram_close(sender);
    rill_datagram_close(d);
    return 0;
}
/* mutant: tasks/datagram.c @ rill_datagram_send
 * - if (rc == 0 && RILL__UNLIKELY(d->paused || d->t == NULL))
 * + if (rc == 0 && RILL__UNLIKELY(d->t == NULL)) */
DATAGRAM_TEST(a_send_waits_above_the_mark)

static int
open_one(void *arg)
{
    rill_addr addr;

    *(rill_datagram **)arg = at_loopback(&addr);
    return 0;
}

/* mutant: tasks/datagram.c @ may_wait
 * - return rill__refuse_outside();
 * + return 0; */
static void
test_outside_of_a_task_it_says_so(void **unused)
{
    rill_datagram *d = NULL;

    (void)unused;
    assert_code(
        rill_datagram_open(&RILL_DATAGRAM_OPTIONS(.family = RILL_FAMILY_IPV4), &d), RILL_ENOTASK);
    assert_null(d);
    assert_code(tasks_run(&h, open_one, &d), 0);
    assert_code((int)rill_datagram_recv(d, NULL, 0, NULL), RILL_ENOTASK);
    assert_code(rill_datagram_send(d, "x", 1, NULL), RILL_ENOTASK);
    rill_datagram_close(d);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_question_gets_its_answer),
        CASE(test_several_receivers_get_one_each_in_order),
        CASE(test_two_receivers_share_a_queue_of_any_length),
        CASE(test_a_canceled_recv_takes_no_datagram),
        CASE(test_a_timeout_around_it_ends_a_recv),
        CASE(test_the_queue_has_an_end_and_what_is_dropped_is_counted),
        CASE(test_an_error_of_the_network_is_told_once),
        CASE(test_a_close_ends_every_wait),
        CASE(test_an_abort_of_its_transport_is_what_recv_says),
        CASE(test_one_that_is_closed_at_once_leaves_nothing),
        CASE(test_what_does_not_fit_is_cut_and_told),
        CASE(test_a_send_waits_above_the_mark),
        CASE(test_outside_of_a_task_it_says_so),
    };

    return run_cases(tests);
}
