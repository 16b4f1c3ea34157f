/*
 * A client for echo servers that checks every byte.
 *
 * Shows: connecting with a timeout, half close (write_eof), and with --bytes a sender that obeys
 * the marks: it writes until pause_writing, goes on at resume_writing, and lets the loop look at
 * its other events after every burst. What returns is compared with what was sent at its place.
 *
 * Run:     ./echo_client (HOST PORT | unix PATH) WORD...
 *          ./echo_client (HOST PORT | unix PATH) --bytes 100000000
 * Prints:  the words, a line each; or: 100000000 bytes came back right
 * Exit code 0 when all came back right and the server closed in peace; 2 without enough arguments.
 */
#include <rill/rill.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 * 1024, BLOCKS_PER_TURN = 16 };

struct client {
    rill_loop *loop;
    rill_transport *t;
    rill_id more;                   /* The scheduled send_more, or 0. */
    uint64_t total, sent, received; /* Bytes of the pattern; all 0 when sending words. */
    char **words;
    bool paused, failed;
};

/* The byte at a place of the endless pattern: no period that a lost block could hide in. */
static uint8_t
pattern_at(uint64_t place)
{
    return (uint8_t)((place * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static void
send_more(void *arg)
{
    struct client *c = arg;
    uint8_t block[BLOCK];

    c->more = 0;
    for (int n = 0; n < BLOCKS_PER_TURN && !c->paused && c->sent < c->total; n++) {
        size_t len = c->total - c->sent < BLOCK ? (size_t)(c->total - c->sent) : BLOCK;

        for (size_t i = 0; i < len; i++)
            block[i] = pattern_at(c->sent + i);
        c->sent += len;
        (void)rill_transport_write(c->t, block, len); /* A loss is told to connection_lost. */
    }
    if (c->sent == c->total)
        (void)rill_transport_write_eof(c->t);
    else if (!c->paused)
        (void)rill_call_soon(c->loop, send_more, c, &c->more);
}

static void
client_data(rill_transport *t, void *self, rill_slice in)
{
    struct client *c = self;

    (void)t;
    if (c->total == 0 && fwrite(in.data, 1, in.len, stdout) == in.len)
        fflush(stdout); /* At once: somebody may be waiting for the line. */
    for (size_t i = 0; c->total > 0 && i < in.len; i++)
        c->failed |= in.data[i] != pattern_at(c->received++);
}

static void
client_pause(rill_transport *t, void *self)
{
    (void)t;
    ((struct client *)self)->paused = true;
}

static void
client_resume(rill_transport *t, void *self)
{
    struct client *c = self;

    (void)t;
    c->paused = false;
    if (c->sent < c->total && c->more == 0)
        (void)rill_call_soon(c->loop, send_more, c, &c->more);
}

static void
client_lost(rill_transport *t, void *self, const rill_reason *why)
{
    struct client *c = self;

    (void)t;
    rill_cancel(c->loop, c->more); /* It would write to a transport that is gone. */
    c->failed |= why->code != RILL_EOF || c->received != c->total;
    if (c->failed)
        fprintf(stderr, "lost after %" PRIu64 " bytes: %s\n", c->received, why->sentence);
    else if (c->total > 0)
        printf("%" PRIu64 " bytes came back right\n", c->received);
    rill_loop_stop(c->loop);
}

static const rill_protocol client_protocol = RILL_PROTOCOL(.data_received = client_data,
    .pause_writing = client_pause, .resume_writing = client_resume, .connection_lost = client_lost);

static void
connected(void *arg, rill_transport *t, const rill_reason *why)
{
    struct client *c = arg;

    if (t == NULL) {
        fprintf(stderr, "%s\n", why->sentence);
        c->failed = true;
        rill_loop_stop(c->loop);
        return;
    }
    c->t = t;
    for (char **word = c->words; *word != NULL && c->total == 0; word++) {
        rill_iovec line[2] = { { *word, strlen(*word) }, { "\n", 1 } };

        (void)rill_transport_writev(t, line, 2);
    }
    send_more(c);
}

int
main(int argc, char **argv)
{
    bool is_unix = argc > 1 && strcmp(argv[1], "unix") == 0;
    struct client c = { .words = argv + 3 };
    rill_connect_options to = RILL_CONNECT_OPTIONS(.timeout = 5 * RILL_S);

    if (argc < 4)
        return 2;
    to.path = is_unix ? argv[2] : NULL;
    to.host = is_unix ? NULL : argv[1];
    to.port = is_unix ? 0 : atoi(argv[2]);
    if (strcmp(argv[3], "--bytes") == 0 && argc == 5)
        c.total = strtoull(argv[4], NULL, 10);

    if (rill_loop_new(NULL, &c.loop) < 0 ||
        rill_create_connection_start(c.loop, &to, &client_protocol, &c, connected, &c, NULL) < 0 ||
        rill_loop_run(c.loop) < 0)
        c.failed = true;
    rill_loop_free(c.loop);
    return c.failed;
}
