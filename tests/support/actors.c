/*
 * Actors and the turns that move them.
 */
#include "actors.h"

#include <ctype.h>
#include <unistd.h>

#define TURNS_MAX 10000

static int
act(void *arg)
{
    actor *self = arg;

    self->rc = self->wait(self);
    tape_add(self->tape, (char)(self->rc < 0 ? toupper(self->letter) : self->letter));
    if (self->rc >= 0 && self->then != NULL)
        self->then(self);
    self->after = rill_checkpoint();
    return 0;
}

void
actor_start(harness *h, tape *seen, actor *a)
{
    a->tape = seen;
    a->rc = ACTOR_WAITS;
    a->after = ACTOR_WAITS;
    assert_code(rill_spawn_on(h->loop, act, a, NULL, &a->task), 0);
}

void
actors_start(harness *h, tape *seen, actor *first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        actor_start(h, seen, &first[i]);
}

void
actor_cancel(actor *a)
{
    assert_true(rill_task_cancel(a->task, "the test says so"));
}

void
actors_end(actor *first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!rill_task_is_done(first[i].task))
            fail_msg("%c has not ended", first[i].letter);
        rill_task_unref(first[i].task);
        first[i].task = NULL;
    }
}

void
actors_settle(harness *h)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        if (harness_turn(h) == 0)
            return;
    }
    fail_msg("%d turns, and there is still something to do", TURNS_MAX);
}

static void
cancel_one(rill_task *task, void *unused)
{
    (void)unused;
    (void)rill_task_cancel(task, NULL);
}

void
actors_cancel_all(harness *h)
{
    (void)rill_all_tasks(h->loop, cancel_one, NULL);
    actors_settle(h);
}

void
actors_dump(harness *h, char *buf, size_t size)
{
    int ends[2];
    ssize_t len;

    assert_int_equal(pipe(ends), 0);
    rill_dump_tasks(h->loop, ends[1]);
    close(ends[1]);
    len = read(ends[0], buf, size - 1);
    close(ends[0]);
    assert_true(len >= 0);
    buf[len] = '\0';
}
