/*
 * The invariants of a whole world, walked every thousand events in builds with assertions; those of
 * one socket are checked whenever something arrives at it, in every build (rill__sim_socket_check).
 *
 * What is counted in two places agrees: descriptors, queues of listeners, events that are scheduled
 * and reserved; the heap is a heap. A broken one ends the process with the trace. The world's
 * thread only.
 */
#include "core/driver/sim/internal.h"

static void
check_heap(const rill_sim *sim)
{
    const sim_heap *heap = &sim->heap;

    rill__sim_check(sim, heap->count <= heap->reserved && heap->reserved <= heap->capacity);
    for (uint32_t i = 0; i < heap->count; i++) {
        const sim_slot *slot = &heap->slots[i];
        const sim_slot *parent = &heap->slots[i > 0 ? (i - 1) / 4 : 0];

        rill__sim_check(sim, slot->event->index == i + 1 && slot->event->fn != NULL);
        rill__sim_check(sim, parent->at < slot->at ||
                                 (parent->at == slot->at && parent->sequence <= slot->sequence));
    }
}

static void
check_listener(const sim_socket *listener)
{
    uint32_t queued = 0;
    uint32_t visible = 0;

    for (rill__link *link = listener->queue.next; link != &listener->queue; link = link->next) {
        const sim_socket *child = RILL__CONTAINER(link, sim_socket, child);

        rill__sim_check(listener->sim, child->listener == listener && child->owned);
        queued++;
        visible += child->complete;
    }
    rill__sim_check(listener->sim, queued == listener->queued && visible == listener->visible);
}

static void
check_descriptors(const rill_sim *sim)
{
    size_t open = rill__sim_watched_children(sim);
    size_t counted = 0;

    for (uint32_t i = 0; i < sim->fd_count; i++) {
        const sim_socket *socket = sim->fds[i].socket;

        if (socket == NULL)
            continue;
        open++;
        rill__sim_check(sim, rill__sim_socket_of(sim, socket->fd) == socket && socket->owned);
    }
    for (uint32_t i = 0; i < sim->host_count; i++)
        counted += sim->hosts[i]->descriptors;
    rill__sim_check(sim, open == counted);
}

void
rill__sim_world_check(const rill_sim *sim)
{
    uint64_t number = 0;

    check_heap(sim);
    check_descriptors(sim);
    for (rill__link *link = sim->sockets.next; link != &sim->sockets; link = link->next) {
        const sim_socket *socket = RILL__CONTAINER(link, sim_socket, all);

        rill__sim_check(sim, socket->number > number); /* In the order of making. */
        number = socket->number;
        rill__sim_socket_check(socket);
        check_listener(socket);
    }
}
