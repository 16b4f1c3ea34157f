/*
 * The gate, and the library's pthread_create: tests/CMakeLists.txt renames it to the one here.
 */
#include "threads.h"

#include <errno.h>

atomic_bool threads_refused;

int rill__test_pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);

int
rill__test_pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    return atomic_load(&threads_refused) ? EAGAIN : pthread_create(thread, attributes, fn, arg);
}

static void
set(gate *g, bool open)
{
    pthread_mutex_lock(&g->lock);
    g->open = open;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void
gate_close(gate *g)
{
    set(g, false);
}

void
gate_open(gate *g)
{
    set(g, true);
}

void
gate_wait(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->waiting++;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    g->waiting--;
    pthread_mutex_unlock(&g->lock);
}

void
gate_expect(gate *g, int waiting)
{
    pthread_mutex_lock(&g->lock);
    while (g->waiting < waiting)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}
