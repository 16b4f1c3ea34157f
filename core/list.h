/*
 * Intrusive doubly linked lists: a head that is a link itself, and links inside the objects.
 */
#ifndef RILL__LIST_H
#define RILL__LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rill__link rill__link;
struct rill__link {
    rill__link *next;
    rill__link *prev;
};

static inline void
rill__list_init(rill__link *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool
rill__list_empty(const rill__link *head)
{
    return head->next == head;
}

static inline void
rill__list_append(rill__link *head, rill__link *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Leaves the link pointing at itself, so that removing twice is harmless. */
static inline void
rill__list_remove(rill__link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link;
    link->prev = link;
}

#endif
