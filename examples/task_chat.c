/*
 * A chat in tasks: a task for each guest reads lines, and says them to all the others.
 *
 * Shows: lines from a stream, including one that is too long; writing to streams of other tasks
 * without waiting for them; half close (who has ended his side goes on listening); and a policy for
 * those who do not keep up: what a slow guest misses is counted and told, so nobody's silence costs
 * the others time or memory.
 *
 * Run:     ./task_chat [PORT]      then, several times: nc 127.0.0.1 PORT
 * Prints:  listening on 127.0.0.1:41234
 * A line is said to everybody. "/quit" leaves.
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest {
    rill_stream *stream;
    struct guest *next;
    unsigned number;
    unsigned missed;
};

/* The guests who are here; each lies on the stack of its own task. */
struct chat {
    struct guest *guests;
    unsigned count; /* Ever. */
    int port;
};

static void
tell(struct guest *guest, const char *text)
{
    char note[64];
    rill_transport *t = rill_stream_transport(guest->stream);
    size_t high;
    size_t low;

    if (t == NULL)
        return; /* Its task is about to notice. */
    rill_transport_get_write_limits(t, &high, &low);
    if (rill_transport_write_buffer_size(t) > (guest->missed > 0 ? low : high)) {
        guest->missed++;
        return;
    }
    if (guest->missed > 0) {
        snprintf(note, sizeof(note), "* you missed %u lines\n", guest->missed);
        guest->missed = 0;
        RILL_IGNORE(rill_stream_write_nowait(guest->stream, note, strlen(note)));
    }
    RILL_IGNORE(rill_stream_write_nowait(guest->stream, text, strlen(text)));
}

static void
say(struct chat *chat, const struct guest *speaker, const char *what, rill_slice words)
{
    char text[400];

    snprintf(text, sizeof(text), "guest %u%s%.*s\n", speaker->number, what, (int)words.len,
        words.len > 0 ? (const char *)words.data : "");
    for (struct guest *guest = chat->guests; guest != NULL; guest = guest->next)
        tell(guest, text);
}

static int
listen_to(struct chat *chat, struct guest *guest)
{
    rill_slice line;
    int64_t n;

    while ((n = rill_stream_readline(guest->stream, &line)) > 0) {
        if (line.data[line.len - 1] == '\n')
            line.len--;
        if (line.len == 5 && memcmp(line.data, "/quit", 5) == 0)
            return 0;
        say(chat, guest, ": ", line);
    }
    if (n == RILL_EOVERRUN) {
        tell(guest, "* that line is too long\n");
        return 0;
    }
    return n < 0 ? (int)n : rill_stream_wait_closed(guest->stream); /* He has ended, and listens. */
}

static int
welcome(rill_stream *stream, void *arg)
{
    struct chat *chat = arg;
    struct guest self = { .stream = stream, .next = chat->guests, .number = ++chat->count };
    rill_slice nothing = { 0 };
    struct guest **at = &chat->guests;
    int rc;

    chat->guests = &self;
    say(chat, &self, " is here", nothing);
    rc = listen_to(chat, &self);
    while (*at != &self)
        at = &(*at)->next;
    *at = self.next;
    say(chat, &self, " has left", nothing);
    return rc;
}

static int
app(void *arg)
{
    struct chat *chat = arg;
    char text[RILL_ADDR_TEXT];
    rill_stream_server *server;
    int rc;

    RILL_TRY(rill_start_server(&RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = chat->port,
                                   .transport = &RILL_TRANSPORT_OPTIONS(.send_buffer = 16 * 1024)),
        RILL_STREAM_SERVER_OPTIONS(.limit = 256), welcome, chat, &server));
    printf("listening on %s\n",
        rill_server_describe(rill_stream_server_base(server), text, sizeof(text)));
    fflush(stdout);
    rc = rill_stream_server_serve_forever(server);
    rill_stream_server_close(server);
    return rc;
}

int
main(int argc, char **argv)
{
    struct chat chat = { .port = argc > 1 ? atoi(argv[1]) : 0 };
    int rc = rill_run(app, &chat);

    if (rc < 0 && rc != RILL_EINTERRUPTED)
        fprintf(stderr, "task_chat: %s\n", rill_strerror(rc));
    return rc < 0 && rc != RILL_EINTERRUPTED;
}
