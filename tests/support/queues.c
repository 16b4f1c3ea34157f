/*
 * The cast of the tests of queues.
 */
#include "queues.h"

struct queues scene;

void
queues_open(void)
{
    memset(&scene, 0, sizeof(scene));
    harness_open(&scene.h);
}

void
queues_close(void)
{
    size_t left = scene.cast_count;

    if (scene.q != NULL) {
        actors_cancel_all(&scene.h);
        queues_free();
    }
    if (left != 0)
        fail_msg("%zu actors were not ended", left);
    harness_close(&scene.h);
}

void
make_queue(const rill_queue_options *options)
{
    assert_code(rill_queue_new(scene.h.loop, options, &scene.q), 0);
}

void
queues_free(void)
{
    rill_queue_free(scene.q);
    scene.q = NULL;
}

/* ---- items ---- */

void *
item_of(char letter)
{
    return (void *)(uintptr_t)(unsigned char)letter;
}

int
letter_of(const void *item)
{
    return item != NULL ? (int)(uintptr_t)item : '?';
}

int
compare_letters(const void *a, const void *b, void *arg)
{
    (void)arg;
    return letter_of(a) - letter_of(b);
}

void
keep_dropped(void *item, void *arg)
{
    (void)arg;
    tape_add(&scene.dropped, (char)letter_of(item));
}

void
put_all(const char *letters)
{
    for (; *letters != '\0'; letters++)
        assert_code(rill_queue_put_nowait(scene.q, item_of(*letters)), 0);
}

const char *
get_all(void)
{
    static char text[300];
    size_t len = 0;
    void *item;
    int rc;

    while ((rc = rill_queue_get_nowait(scene.q, &item)) == 0)
        text[len++] = (char)letter_of(item);
    assert_code(rc, RILL_EEMPTY);
    text[len] = '\0';
    return text;
}

/* ---- the cast ---- */

static int
get_one(actor *self)
{
    return rill_queue_get(scene.q, &self->item);
}

static int
put_one(actor *self)
{
    return rill_queue_put(scene.q, item_of(self->letter));
}

static int
join(actor *self)
{
    (void)self;
    return rill_queue_join(scene.q);
}

void
start_with(char letter, int (*wait)(actor *self))
{
    actor *next = &scene.cast[scene.cast_count];

    assert_true(scene.cast_count < QUEUES_CAST);
    *next = (actor){ .letter = letter, .wait = wait };
    actor_start(&scene.h, &scene.seen, next);
    scene.cast_count++;
}

void
start_getter(char letter)
{
    start_with(letter, get_one);
}

void
start_putter(char letter)
{
    start_with(letter, put_one);
}

void
start_joiner(char letter)
{
    start_with(letter, join);
}

void
let_get(const char *letters)
{
    for (; *letters != '\0'; letters++)
        start_getter(*letters);
    actors_settle(&scene.h);
}

void
let_put(const char *letters)
{
    for (; *letters != '\0'; letters++)
        start_putter(*letters);
    actors_settle(&scene.h);
}

const char *
got(void)
{
    static char text[QUEUES_CAST + 1];
    size_t len = 0;

    for (size_t i = 0; i < scene.cast_count; i++) {
        if (scene.cast[i].wait == get_one)
            text[len++] = (char)letter_of(scene.cast[i].item);
    }
    text[len] = '\0';
    return text;
}

void
end_all(void)
{
    actors_end(scene.cast, scene.cast_count);
    scene.cast_count = 0;
    memset(&scene.seen, 0, sizeof(scene.seen));
}
