/*
 * A library with callbacks, as a call that a task can wait for.
 *
 * Shows: a future that a callback completes, what a cancel does to the operation behind it, and why
 * the struct for it may lie on the stack: the wait does not return while the library may use it.
 *
 * Run:     ./bridge
 * Prints:  the answer is 42
 *          a question of 3600 s: the deadline passed, 1 aborted
 */
#include <rill/rill.h>

#include <stdio.h>

/* ---- a library with callbacks: it thinks for a while ---- */

typedef struct question {
    rill_loop *loop;
    rill_id timer;
    void (*answered)(void *arg, int answer);
    void *arg;
} question;

static int aborted;

static void
thought(void *arg)
{
    question *q = arg;

    q->answered(q->arg, 42);
}

static int
question_ask(question *q, rill_ns takes, void (*answered)(void *, int), void *arg)
{
    q->loop = rill_loop_running();
    q->answered = answered;
    q->arg = arg;
    return rill_call_later(q->loop, takes, thought, q, &q->timer);
}

static void
question_abort(question *q)
{
    aborted += rill_cancel(q->loop, q->timer); /* No callback after this. */
}

/* ---- the bridge ---- */

typedef struct call {
    rill_future *done;
    question question;
    int answer;
} call;

static void
on_answer(void *arg, int answer)
{
    call *c = arg;

    c->answer = answer;
    (void)rill_future_set_result(c->done, NULL);
}

static rill_abort
on_cancel(rill_future *future, void *arg)
{
    call *c = arg;

    (void)future;
    question_abort(&c->question);
    return RILL_ABORT_DONE; /* A library that may still call back: RILL_ABORT_PENDING. */
}

static int
ask(rill_ns takes, int *ret_answer)
{
    call c = { .done = NULL };
    int rc = rill_future_new(rill_loop_running(), &c.done);

    if (rc < 0)
        return rc;
    rill_future_on_cancel(c.done, on_cancel, &c);
    rc = question_ask(&c.question, takes, on_answer, &c);
    if (rc >= 0)
        rc = rill_await(c.done, NULL);
    if (rc >= 0)
        *ret_answer = c.answer;
    rill_future_unref(c.done);
    return rc;
}

/* ---- a task that uses it ---- */

static int
app(void *unused)
{
    int answer = 0;
    int rc = 0;

    (void)unused;
    RILL_TRY(ask(10 * RILL_MS, &answer));
    printf("the answer is %d\n", answer);
    RILL_TIMEOUT(rc, 50 * RILL_MS)
    {
        rc = ask(3600 * RILL_S, &answer);
    }
    printf("a question of 3600 s: %s, %d aborted\n", rill_strerror(rc), aborted);
    return 0;
}

int
main(void)
{
    return rill_run(app, NULL) < 0;
}
