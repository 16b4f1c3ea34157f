/*
 * A small key-value store with a line protocol: SET KEY VALUE, GET KEY, DEL KEY, QUIT.
 *
 * Shows: framing over a stream (a line may come in any number of pieces, a piece may hold any
 * number of lines, the replies are the same), a limit on what a peer may make us keep, an idle
 * timeout, and backpressure: while a client does not take its replies, we take no requests from it.
 *
 * Run:     ./line_protocol [PORT]     then: ./echo_client 127.0.0.1 PORT "SET a 1" "GET a" QUIT
 * Prints:  listening on 127.0.0.1:41234
 */
#include <rill/rill.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 512, KEYS_MAX = 1024 };

/* One store for all. State of a server may also be its `arg`: see chat.c. */
static struct entry {
    char key[LINE_BYTES_MAX], value[LINE_BYTES_MAX];
} store[KEYS_MAX];
static size_t store_count;

struct client {
    char line[LINE_BYTES_MAX];
    size_t len; /* Of the line so far. */
};

static void
reply(rill_transport *t, const char *text)
{
    rill_iovec line[2] = { { text, strlen(text) }, { "\r\n", 2 } };

    (void)rill_transport_writev(t, line, 2); /* A loss is told to connection_lost. */
}

static size_t
store_find(const char *key)
{
    size_t i = 0;

    while (i < store_count && strcmp(store[i].key, key) != 0)
        i++;
    return i;
}

static const char *
store_set(const char *key, const char *value)
{
    size_t i = store_find(key);

    if (i == KEYS_MAX)
        return "ERR full";
    strcpy(store[i].key, key); /* Part of a line, which fits. */
    strcpy(store[i].value, value);
    store_count += i == store_count;
    return "OK";
}

static void
run_command(rill_transport *t, char *line)
{
    char *rest = line, *command = strsep(&rest, " "), *key = strsep(&rest, " ");
    size_t i = key != NULL ? store_find(key) : store_count;

    if (strcmp(command, "SET") == 0 && rest != NULL) {
        reply(t, store_set(key, rest));
    } else if (strcmp(command, "GET") == 0 && key != NULL) {
        reply(t, i < store_count ? store[i].value : "NONE");
    } else if (strcmp(command, "DEL") == 0 && key != NULL) {
        reply(t, i < store_count ? "OK" : "NONE");
        if (i < store_count)
            store[i] = store[--store_count];
    } else if (strcmp(command, "QUIT") == 0) {
        reply(t, "BYE");
        rill_transport_close(t); /* After the reply. */
    } else {
        reply(t, "ERR what?");
    }
}

static void
client_data(rill_transport *t, void *self, rill_slice in)
{
    struct client *c = self;

    for (size_t i = 0; i < in.len && !rill_transport_is_closing(t); i++) {
        if (in.data[i] == '\n') {
            c->len -= c->len > 0 && c->line[c->len - 1] == '\r';
            c->line[c->len] = '\0';
            c->len = 0;
            run_command(t, c->line);
        } else if (c->len == LINE_BYTES_MAX - 1) {
            reply(t, "ERR the line is too long");
            rill_transport_close(t);
        } else {
            c->line[c->len++] = (char)in.data[i];
        }
    }
}

static void
client_pause(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_pause_reading(t);
}

static void
client_resume(rill_transport *t, void *self)
{
    (void)self;
    rill_transport_resume_reading(t);
}

static const rill_protocol client_protocol = RILL_PROTOCOL(.state_size = sizeof(struct client),
    .data_received = client_data, .pause_writing = client_pause, .resume_writing = client_resume);

int
main(int argc, char **argv)
{
    rill_transport_options each = RILL_TRANSPORT_OPTIONS(.idle_timeout = 60 * RILL_S);
    rill_server_options where = RILL_SERVER_OPTIONS(.host = "127.0.0.1",
        .port = argc > 1 ? atoi(argv[1]) : 0, .transport = &each);
    char text[RILL_ADDR_TEXT];
    rill_server *server;
    rill_loop *loop;

    if (rill_loop_new(NULL, &loop) < 0)
        return 1;
    if (rill_create_server(loop, &where, &client_protocol, NULL, &server) == 0) {
        printf("listening on %s\n", rill_server_describe(server, text, sizeof(text)));
        fflush(stdout);
        (void)rill_loop_run(loop); /* Until a signal ends the process: see echo_server.c. */
    } else {
        fprintf(stderr, "%s\n", rill_loop_last_error(loop)->sentence);
    }
    rill_loop_free(loop);
    return 1;
}
