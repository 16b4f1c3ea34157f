/*
 * Wrong calls: each macro makes one and checks that it wrote no result and made nothing, neither on
 * the loop of `h` nor in the world `sim`. It also notes which function that was.
 */
#ifndef SUPPORT_WRONG_H
#define SUPPORT_WRONG_H

#include "endpoint.h"

#include <rill/sim.h>

#define UNTOUCHED 0x5a

/* Whatever a call could write to. */
struct wrong_results {
    rill_loop *loop;
    rill_sim *sim;
    rill_transport *a, *b;
    rill_server *server;
    rill_inherited *set;
    rill_sim_peer *peer;
    rill_workers *workers;
    rill_queue *queue;
    rill_future *future;
    rill_task *task;
    rill_generator *generator;
    rill_runner *runner;
    void *pointer;
    rill_stream *stream;
    rill_stream_server *stream_server;
    rill_subprocess *subprocess;
    rill_process *process;
    rill_id id;
    rill_ns when;
    rill_addr addr;
    rill_slice slice;
    rill_credentials credentials;
    rill_loop_stats loop_stats;
    rill_server_stats server_stats;
    rill_transport_info transport_info;
    int value;
    uint32_t numbers[8];
    size_t count;
};

extern harness h;
extern allocator world_memory;
extern rill_sim *sim;
extern rill_sim_peer *peer;
extern struct wrong_results out;

/* Options of a newer program: what this version does not know says something. And ones whose size
 * nobody set. */
extern const void *const unknown_options;
extern const void *const unsized_options;

#define EACH(i, list)                     \
    size_t i = 0;                         \
    i < sizeof(list) / sizeof((list)[0]); \
    i++

/* It is answered by this code. */
#define WRONG(code, call)                           \
    do {                                            \
        wrong_begin();                              \
        wrong_refused(call, code, #call, __LINE__); \
    } while (0)

/* It has no code, but says that there is no such thing. */
#define SAYS(what)                              \
    do {                                        \
        wrong_begin();                          \
        if (!(what))                            \
            fail_msg("not so: %s", #what);      \
        wrong_nothing_changed(#what, __LINE__); \
    } while (0)

/* It does nothing. */
#define IGNORED(call)                           \
    do {                                        \
        wrong_begin();                          \
        call;                                   \
        wrong_nothing_changed(#call, __LINE__); \
    } while (0)

void wrong_begin(void);
void wrong_refused(int rc, int code, const char *call, int line);
void wrong_nothing_changed(const char *call, int line);

/* Note the function whose name `call` begins with; forget all; was it there, itself or as NAME
 * without _site? */
void wrong_note(const char *call);
void wrong_forget(void);
bool wrong_was_tried(const char *symbol);

/* Is there a reason why it need not be tried, and how many have one? */
bool wrong_has_reason(const char *symbol);
size_t wrong_reason_count(void);

/* A callback that is never to run, and whether it did. */
extern bool was_called;
void never(void *arg);

/* Every function of <rill/sim.h>, and of <rill/workers.h>. */
void wrong_sim(void);
void wrong_workers(void);
int wrong_workers_end(void **unused); /* A teardown: after a failure in the middle, too. */

/* Every function of <rill/sync.h> and <rill/queue.h>. */
void wrong_sync(void);

/* Every function of <rill/future.h> and <rill/task.h>. */
void wrong_tasks(void);
/* Every function of <rill/executor.h>, <rill/file.h>, <rill/threads.h> and <rill/signal.h>. */
void wrong_threads(void);
/* Every function of <rill/watch.h> and <rill/sock.h>, and those that pass descriptors. */
void wrong_sock(rill_transport *tcp);

/* Every function of <rill/subprocess.h> and <rill/process.h>, and those of programs in sim.h. */
void wrong_processes(void);
/* Every function of <rill/pipe.h>. */
void wrong_pipes(void);
/* Every function of <rill/stream.h>. */
void wrong_streams(void);
/* Every function of <rill/datagram.h>. */
void wrong_datagrams(void);

/* Every function of <rill/restart.h>; the server is one of this loop. */
void wrong_restart(rill_server *server);

#endif
