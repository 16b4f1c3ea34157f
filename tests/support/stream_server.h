/*
 * A server of streams under test, `server`, and its clients.
 */
#ifndef SUPPORT_STREAM_SERVER_H
#define SUPPORT_STREAM_SERVER_H

#include "streams.h"

extern rill_stream_server *server;

/* On a port of its own. */
#define server_start(options, handler, arg) \
    rill_start_server(&RILL_SERVER_OPTIONS(.host = "127.0.0.1"), options, handler, arg, &server)
rill_stream *server_dial(void);
/* Write the one, unless it is empty, and read the other. */
void server_ask(rill_stream *s, const char *question, const char *answer);
void server_await_tasks(size_t count);
/* The client `s` is hung up on. */
void server_await_end(rill_stream *s);

/* Defines test_NAME, which runs the task NAME. It needs a harness `h`. */
#define SERVER_TEST(name)                                 \
    static void test_##name(void **unused)                \
    {                                                     \
        (void)unused;                                     \
        assert_code(streams_run_task(&h, name, NULL), 0); \
    }

#endif
