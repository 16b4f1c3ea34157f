/*
 * Workers under test: run by a thread of their own while the test talks to them as its client.
 *
 * A worker greets every connection with its index as a letter ('a' is 0) and then obeys, byte by
 * byte; see crew_protocol. What tests and workers tell each other lies in memory that survives a
 * fork. Nothing sleeps for a guess: all waiting is for a condition, for 20 s at most.
 */
#ifndef SUPPORT_CREW_H
#define SUPPORT_CREW_H

#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>

#define CREW_MAX      8
#define CREW_ENDS_MAX 64

/* Shared by the test and all workers. */
typedef struct crew_board {
    atomic_int served[CREW_MAX]; /* How often its main got so far. */
    atomic_int cpus[CREW_MAX];   /* How many CPUs its thread may run on, */
    atomic_int cpu[CREW_MAX];    /* and the first of them. */
    atomic_bool closed_gate;     /* Mains wait before they run their loops. */
    atomic_int waiting;          /* So many do. */
    atomic_int bad_starts;       /* So many more times worker 0 fails at once. */
    atomic_bool say_goodbye;     /* On stop, close clients. */
} crew_board;

typedef struct crew_end {
    rill_worker_end end;
    char sentence[256];
    rill_ns at;
} crew_end;

typedef struct crew {
    rill_workers *workers;
    rill_addr addr;
    crew_board *board;
    size_t descriptors;
    pthread_t runner;
    bool running;
    int rc; /* What run returned. */
    crew_end ends[CREW_ENDS_MAX];
    size_t ends_count;
    atomic_int readies; /* Calls of the hook, */
    int ready_client;   /* and a client that connected in it, or why it could not. */
} crew;

/* Threads and processes, with each way to accept. */
#define CREW_FORMS 6
extern const struct crew_form {
    int processes;
    rill_accept_mode accept;
} crew_forms[CREW_FORMS];

/* Make them, without a place. NULL options: two threads. What RILL_DRIVER names is their driver. */
void crew_create(crew *c, const rill_workers_options *options);
/* And with one on 127.0.0.1; the other options of the server may be set. */
void crew_open(crew *c, const rill_workers_options *options, rill_server_options server);
void crew_run(crew *c);
/* All have served `times` times and run. */
void crew_await_served(crew *c, int times);
/* Join the runner: it returned 0; nothing is left. */
void crew_join(crew *c);
void crew_close(crew *c);
/* For teardown, whatever happened. */
void crew_kill(crew *c);

/* The main of all workers. */
int crew_main(rill_worker *worker, rill_loop *loop, void *arg);

size_t crew_ends(crew *c);
/* The n-th end, waited for. */
crew_end crew_end_at(crew *c, size_t n);
rill_worker_stats crew_stats(const crew *c, int index);
uint64_t crew_live(const crew *c); /* Of all workers. */
void crew_open_gate(crew *c);

/* Wait for a condition, looked at every millisecond; fails the test with its text. */
#define AWAIT(condition)                                       \
    do {                                                       \
        rill_ns begin_ = crew_now();                           \
        while (!(condition)) {                                 \
            if (crew_now() - begin_ > 20 * RILL_S)             \
                fail_msg("waited in vain for %s", #condition); \
            crew_pause();                                      \
        }                                                      \
    } while (0)

rill_ns crew_now(void);
void crew_pause(void);

/* ---- clients: blocking sockets ---- */

/* Connected, not greeted yet; -errno when that failed. */
int client_connect(const rill_addr *addr);
/* The next byte; 0 at the end, -errno. */
int client_read(int fd);
/* Waits for the greeting: the worker's index, or -1 when the connection ended without. */
int client_greeting(int fd);
/* Both; fails the test when nobody answers. */
int client_of(const rill_addr *addr, int *ret_index);
/* Send one order and read its answer, as client_read. */
int client_ask(int fd, char order);
void client_tell(int fd, char order);
/* Connect until this worker answers. */
int client_of_worker(const rill_addr *addr, int index);

#endif
