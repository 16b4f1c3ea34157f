/*
 * Tasks under test, and the tape on which they leave their letters.
 */
#include "tasks.h"

static bool
is_done(void *task)
{
    return rill_task_is_done(task);
}

int
tasks_run(harness *h, rill_fn fn, void *arg)
{
    rill_task *task;
    int rc = rill_spawn_on(h->loop, fn, arg, NULL, &task);

    assert_code(rc, 0);
    harness_until(h, is_done, task);
    rc = rill_future_result(rill_task_future(task), NULL);
    rill_task_unref(task);
    return rc;
}

void
tape_add(tape *t, char letter)
{
    assert_true(t->len + 1 < sizeof(t->text));
    t->text[t->len++] = letter;
}

void
tape_mark_add(void *mark)
{
    tape_mark *self = mark;

    tape_add(self->tape, self->letter);
}
