/*
 * A queue of letters and actors that get, put and join: what the tests of queues share.
 */
#ifndef SUPPORT_QUEUES_H
#define SUPPORT_QUEUES_H

#include "actors.h"

#define QUEUES_CAST 16

extern struct queues {
    harness h;
    tape seen;    /* Actors that have ended, by their letters, */
    tape dropped; /* and items that keep_dropped was given. */
    rill_queue *q;
    actor cast[QUEUES_CAST]; /* In order of their start. */
    size_t cast_count;
} scene;

void queues_open(void);
/* Fails the test when there is an actor that has not been ended. */
void queues_close(void);

void make_queue(const rill_queue_options *options);
void queues_free(void);

void *item_of(char letter);
int letter_of(const void *item);
int compare_letters(const void *a, const void *b, void *arg);
void keep_dropped(void *item, void *arg);

#define BY_LETTER(...) \
    RILL_QUEUE_OPTIONS(.order = RILL_QUEUE_PRIORITY, .compare = compare_letters, __VA_ARGS__)

/* They run in the next turn; a putter puts its letter. */
void start_with(char letter, int (*wait)(actor *self));
void start_getter(char letter);
void start_putter(char letter);
void start_joiner(char letter);
/* One a letter, and until all of them wait. */
void let_get(const char *letters);
void let_put(const char *letters);

/* What the getters have got, a letter or '?' for each. */
const char *got(void);
/* All have ended: begin with a new cast and an empty tape. */
void end_all(void);

/* By nowait: put each letter; get until it is empty. */
void put_all(const char *letters);
const char *get_all(void);

#endif
