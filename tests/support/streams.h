/*
 * Two connected streams under test: the same case in memory and over TCP, inside a task.
 */
#ifndef SUPPORT_STREAMS_H
#define SUPPORT_STREAMS_H

#include "tasks.h"

typedef void (*streams_fn)(rill_stream *a, rill_stream *b);

/* Run `fn` as a task, as tasks_run. Should the loop be freed while it waits in one of the calls
 * below, which happens when its case has failed, it is left from there, and what it has opened with
 * streams_keep is closed and given back. */
int streams_run_task(harness *h, rill_fn fn, void *arg);
rill_stream *streams_keep(rill_stream *s);
/* Close it, wait for its end and give it back. */
void streams_hang_up(rill_stream *s);
/* Succeeds, or the case has failed. Returns `rc`. */
#define streams_must(rc) streams_must_(rc, #rc, __FILE__, __LINE__)
int streams_must_(int rc, const char *what, const char *file, int line);

/* Run `fn` in a task with a pair of streams, which it may close and may not give back; NULL:
 * default options. */
void streams_run(harness *h, bool tcp, const rill_stream_options *options, streams_fn fn);

/* Defines test_NAME and test_NAME_over_tcp, which run NAME on streams with `options`. They need a
 * harness `h`. */
#define STREAM_TEST(name, options)                    \
    static void test_##name(void **unused)            \
    {                                                 \
        (void)unused;                                 \
        streams_run(&h, false, options, name);        \
    }                                                 \
    static void test_##name##_over_tcp(void **unused) \
    {                                                 \
        (void)unused;                                 \
        streams_run(&h, true, options, name);         \
    }
#define STREAM_CASES(name) CASE(test_##name), CASE(test_##name##_over_tcp)

/* Written, whether it arrives soon or not. */
void streams_say(rill_stream *from, const char *text);
/* Until so many bytes are unread there. */
void streams_await(rill_stream *to, size_t len);
/* What is lent is this text. */
void streams_expect(rill_slice seen, const char *text);
/* So many turns of the loop. */
void streams_turns(size_t count);

/* A task that makes one call; what it returned, and what came with that. */
typedef struct caller {
    int64_t (*call)(struct caller *self);
    rill_stream *stream;
    size_t size;
    const void *data;
    rill_slice slice;
    uint8_t buf[256];
    int64_t result;
    bool done;
    rill_task *task;
} caller;

/* Start it, and let it come as far as it can. */
void caller_start(caller *self);
/* Until it has ended; returns its result. */
int64_t caller_join(caller *self);

/* Calls for it; `size` is the buffer's, the length's, or how many bytes. */
int64_t call_read(caller *self);
int64_t call_read_exactly(caller *self);
int64_t call_readline(caller *self);
int64_t call_peek(caller *self);
int64_t call_read_all(caller *self);
int64_t call_write(caller *self);
int64_t call_drain(caller *self);
int64_t call_flush(caller *self);
int64_t call_wait_closed(caller *self);

#endif
