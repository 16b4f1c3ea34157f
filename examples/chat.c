/*
 * A chat server: rooms, broadcast, and readers that cannot keep up.
 *
 * Shows: speaking to the other connections of a server, half close (who has ended his side goes on
 * listening), and marks as a policy: who does not read is told nothing more until his queue is
 * short, and then how much he missed. A slow reader costs neither memory nor the others' time.
 *
 * Run:     ./chat [PORT]      then, several times: nc 127.0.0.1 PORT
 * Prints:  listening on 127.0.0.1:41234
 * A line is said to everybody in the room. "/join ROOM" changes the room, "/quit" leaves.
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 256 };

struct chat {
    rill_server *server;
    unsigned guests; /* Ever. */
    char text[LINE_BYTES_MAX + 64];
};

struct member {
    struct chat *chat;
    unsigned number;
    unsigned missed; /* Lines, while `slow`. */
    bool slow;
    char room[32]; /* "": not there yet, or no more. */
    char line[LINE_BYTES_MAX];
    size_t len; /* Of the line so far. */
};

static void
deliver(rill_transport *t, void *arg)
{
    struct member *m = rill_transport_state(t), *speaker = arg;

    if (strcmp(m->room, speaker->room) != 0)
        return;
    if (m->slow)
        m->missed++;
    else /* 0: now above the high mark. Negative for one that is closing: it hears no more. */
        m->slow = rill_transport_write(t, speaker->chat->text, strlen(speaker->chat->text)) == 0;
}

static void
say(struct member *m, const char *what, const char *text)
{
    struct chat *chat = m->chat;

    snprintf(chat->text, sizeof(chat->text), "guest %u%s%s\n", m->number, what, text);
    rill_server_each(chat->server, deliver, m);
}

static void
member_line(rill_transport *t, struct member *m)
{
    if (strncmp(m->line, "/join ", 6) == 0) {
        snprintf(m->room, sizeof(m->room), "%.31s", m->line + 6);
        say(m, " is in ", m->room);
    } else if (strcmp(m->line, "/quit") == 0) {
        rill_transport_close(t);
    } else {
        say(m, ": ", m->line);
    }
}

static void
member_made(rill_transport *t, void *self, void *arg)
{
    struct member *m = self;

    (void)t;
    m->chat = arg;
    m->number = ++m->chat->guests;
    strcpy(m->room, "hall");
    say(m, " is in ", m->room);
}

static void
member_data(rill_transport *t, void *self, rill_slice in)
{
    struct member *m = self;

    for (size_t i = 0; i < in.len && !rill_transport_is_closing(t); i++) {
        m->line[m->len++] = (char)in.data[i];
        if (in.data[i] == '\n') {
            m->line[m->len - 1] = '\0';
            m->len = 0;
            member_line(t, m);
        } else if (m->len == LINE_BYTES_MAX) {
            rill_transport_fail(t, RILL_EUSER, "a line is too long");
        }
    }
}

static bool
member_eof(rill_transport *t, void *self)
{
    (void)t, (void)self;
    return true;
}

static void
member_resume(rill_transport *t, void *self)
{
    struct member *m = self;
    char text[64];
    int len = snprintf(text, sizeof(text), "* you missed %u lines\n", m->missed);

    m->slow = m->missed > 0 && rill_transport_write(t, text, (size_t)len) == 0;
    m->missed = 0;
}

static void
member_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t, (void)why;
    say(self, " has left", "");
}

static const rill_protocol member_protocol = RILL_PROTOCOL(.state_size = sizeof(struct member),
    .connection_made = member_made, .data_received = member_data, .eof_received = member_eof,
    .resume_writing = member_resume, .connection_lost = member_lost);

int
main(int argc, char **argv)
{
    struct chat chat = { 0 };
    rill_server_options where =
        RILL_SERVER_OPTIONS(.host = "127.0.0.1", .port = argc > 1 ? atoi(argv[1]) : 0,
            .transport = &RILL_TRANSPORT_OPTIONS(.send_buffer = 16 * 1024));
    char text[RILL_ADDR_TEXT];
    rill_loop *loop;

    if (rill_loop_new(NULL, &loop) < 0)
        return 1;
    if (rill_create_server(loop, &where, &member_protocol, &chat, &chat.server) == 0) {
        printf("listening on %s\n", rill_server_describe(chat.server, text, sizeof(text)));
        fflush(stdout);
        (void)rill_loop_run(loop); /* Until a signal ends the process: see echo_server.c. */
    } else {
        fprintf(stderr, "%s\n", rill_loop_last_error(loop)->sentence);
    }
    rill_loop_free(loop);
    return 1;
}
