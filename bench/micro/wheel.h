/*
 * The floor's timers: a hierarchical wheel of 1 ms ticks, as small as one can be.
 *
 * A node lies in the level of the highest 6-bit digit in which its deadline differs from the
 * present tick, so everything in a lower level is due before everything in a higher one, and the
 * bitmap of the lowest occupied level names the next slot to visit. Pushing a deadline back only
 * stores it; the node is queued again when its old slot comes round.
 *
 * One thread. Nodes are the caller's.
 */
#ifndef BENCH_WHEEL_H
#define BENCH_WHEEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WHEEL_DIGIT = 6, WHEEL_SLOTS = 1 << WHEEL_DIGIT, WHEEL_LEVELS = 8 };

struct wheel_node {
    struct wheel_node *next;
    struct wheel_node **link; /* What points at this node; NULL when it is not queued. */
    uint64_t deadline;        /* In ticks. */
    void (*fn)(void *arg);
    void *arg;
    uint16_t place; /* level * WHEEL_SLOTS + slot */
};

struct wheel {
    uint64_t now;
    uint64_t occupied[WHEEL_LEVELS];
    struct wheel_node *slots[WHEEL_LEVELS * WHEEL_SLOTS];
};

static inline void
wheel_insert(struct wheel *w, struct wheel_node *node, uint64_t deadline)
{
    uint64_t at = deadline > w->now ? deadline : w->now + 1;
    unsigned level = (63u - (unsigned)__builtin_clzll(at ^ w->now)) / WHEEL_DIGIT;
    unsigned slot = (unsigned)(at >> (level * WHEEL_DIGIT)) % WHEEL_SLOTS;
    struct wheel_node **head = &w->slots[level * WHEEL_SLOTS + slot];

    node->deadline = deadline;
    node->place = (uint16_t)(level * WHEEL_SLOTS + slot);
    node->next = *head;
    if (node->next != NULL)
        node->next->link = &node->next;
    node->link = head;
    *head = node;
    w->occupied[level] |= 1ull << slot;
}

static inline void
wheel_cancel(struct wheel *w, struct wheel_node *node)
{
    *node->link = node->next;
    if (node->next != NULL)
        node->next->link = node->link;
    else if (w->slots[node->place] == NULL)
        w->occupied[node->place / WHEEL_SLOTS] &= ~(1ull << node->place % WHEEL_SLOTS);
    node->link = NULL;
}

/* Only later: an earlier deadline needs cancel and insert. */
static inline void
wheel_push_back(struct wheel_node *node, uint64_t deadline)
{
    node->deadline = deadline;
}

static inline void
wheel_visit(struct wheel *w, unsigned place)
{
    struct wheel_node *node = w->slots[place];

    w->slots[place] = NULL;
    w->occupied[place / WHEEL_SLOTS] &= ~(1ull << place % WHEEL_SLOTS);
    while (node != NULL) {
        struct wheel_node *next = node->next;

        if (node->deadline > w->now) {
            wheel_insert(w, node, node->deadline);
        } else {
            node->link = NULL;
            node->fn(node->arg);
        }
        node = next;
    }
}

/* Fires what is due up to and including tick `until`. */
static inline void
wheel_advance(struct wheel *w, uint64_t until)
{
    for (;;) {
        unsigned level = 0;
        unsigned shift;
        unsigned slot;
        uint64_t tick;

        while (level < WHEEL_LEVELS && w->occupied[level] == 0)
            level++;
        if (level == WHEEL_LEVELS)
            break;
        shift = level * WHEEL_DIGIT;
        slot = (unsigned)__builtin_ctzll(w->occupied[level]);
        tick = w->now >> (shift + WHEEL_DIGIT) << (shift + WHEEL_DIGIT) | (uint64_t)slot << shift;
        if (tick > until)
            break;
        w->now = tick;
        wheel_visit(w, level * WHEEL_SLOTS + slot);
    }
    w->now = until;
}

#endif
