/*
 * Threads under test: a gate that they wait at, and threads that cannot be started.
 */
#ifndef SUPPORT_THREADS_H
#define SUPPORT_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Closed until it is opened, for all who wait or will come. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int waiting;
} gate;

#define GATE                                                          \
    {                                                                 \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 \
    }

void gate_close(gate *g);
void gate_open(gate *g);
void gate_wait(gate *g);
/* Block until so many wait there. */
void gate_expect(gate *g, int waiting);

/* While it is set the library can start no thread (-EAGAIN). */
extern atomic_bool threads_refused;

#endif
