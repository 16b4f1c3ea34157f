/*
 * What the tests of stream servers do again and again, in a task.
 */
#include "stream_server.h"

rill_stream_server *server;

rill_stream *
server_dial(void)
{
    rill_stream *s = NULL;
    rill_addr addr;

    (void)streams_must(rill_server_sockname(rill_stream_server_base(server), 0, &addr));
    (void)streams_must(rill_open_connection("127.0.0.1", rill_addr_port(&addr), NULL, &s));
    return streams_keep(s);
}

void
server_ask(rill_stream *s, const char *question, const char *answer)
{
    char buf[64];

    if (question[0] != '\0')
        (void)streams_must(rill_stream_write(s, question, strlen(question)));
    if (answer[0] != '\0')
        (void)streams_must((int)rill_stream_read_exactly(s, buf, strlen(answer), NULL));
    assert_memory_equal(buf, answer, strlen(answer));
}

void
server_await_tasks(size_t count)
{
    while (rill_stream_server_tasks(server) != count)
        (void)streams_must(rill_sleep(RILL_MS));
}

void
server_await_end(rill_stream *s)
{
    char buf[8];

    assert_int_equal(streams_must((int)rill_stream_read(s, buf, sizeof(buf))), 0);
    streams_hang_up(s);
}
