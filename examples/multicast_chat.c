/*
 * A chat without a server: what one says goes to a multicast group, and all its members hear it.
 *
 * Shows: joining a group, on a port that several programs share; options of a datagram endpoint;
 * who sent a datagram; and a thread that reads lines and posts them to the loop. It leaves with
 * "/quit", or when its input ends.
 *
 * Run:     ./multicast_chat NAME [INTERFACE [PORT]]      in several terminals; INTERFACE: "lo"
 * Prints:  listening on 0.0.0.0:7654
 *          anna: hello
 */
#include <rill/rill.h>

#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP "239.255.76.54"
#define LINE  400

struct chat {
    rill_loop *loop;
    rill_transport *t;
    const char *name;
    rill_addr group;
    char line[LINE]; /* What the reader has read; the loop answers by `taken`. */
    pthread_mutex_t lock;
    pthread_cond_t taken;
    bool full;
};

static void
heard(rill_transport *t, void *self, rill_slice in, const rill_arrival *arrival)
{
    (void)t;
    (void)self;
    printf("%.*s%s\n", (int)in.len, (const char *)in.data, arrival->truncated ? "..." : "");
    fflush(stdout);
}

static void
failed(rill_transport *t, void *self, int code)
{
    (void)t;
    (void)self;
    fprintf(stderr, "not sent: %s\n", rill_strerror(code));
}

static const rill_datagram_protocol chat_protocol =
    RILL_DATAGRAM_PROTOCOL(.datagram_received = heard, .error_received = failed);

/* ---- lines, read by a thread ---- */

static void
say(void *arg)
{
    struct chat *chat = arg;
    char text[LINE + 100];
    int len = snprintf(text, sizeof(text), "%s: %s", chat->name, chat->line);

    if (len > 0)
        (void)rill_transport_sendto(chat->t, text, (size_t)len, &chat->group);
    pthread_mutex_lock(&chat->lock);
    chat->full = false;
    pthread_cond_signal(&chat->taken);
    pthread_mutex_unlock(&chat->lock);
}

static void
leave(void *arg)
{
    struct chat *chat = arg;

    rill_transport_close(chat->t);
    rill_loop_stop(chat->loop);
}

static void *
read_lines(void *arg)
{
    struct chat *chat = arg;
    char line[LINE];

    while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "/quit\n") != 0) {
        line[strcspn(line, "\n")] = '\0';
        pthread_mutex_lock(&chat->lock);
        while (chat->full)
            pthread_cond_wait(&chat->taken, &chat->lock);
        memcpy(chat->line, line, sizeof(line));
        chat->full = true;
        pthread_mutex_unlock(&chat->lock);
        (void)rill_call_soon_threadsafe(chat->loop, say, chat);
    }
    (void)rill_call_soon_threadsafe(chat->loop, leave, chat);
    return NULL;
}

/* ---- the group ---- */

static int
join(struct chat *chat, const char *interface, int port)
{
    int rc = rill_create_datagram_endpoint(chat->loop,
        &RILL_DATAGRAM_OPTIONS(.local_host = "", .local_port = port, .family = RILL_FAMILY_IPV4,
            .reuse_port = true),
        &chat_protocol, NULL, &chat->t);

    if (rc == 0)
        rc = rill_transport_join(chat->t, GROUP, NULL, interface);
    if (rc == 0 && interface != NULL)
        rc = rill_transport_set_option(
            chat->t, RILL_OPTION_MULTICAST_INTERFACE, (int)if_nametoindex(interface));
    return rc < 0 ? rc : rill_addr_parse(GROUP, port, &chat->group);
}

int
main(int argc, char **argv)
{
    struct chat chat = { .name = argc > 1 ? argv[1] : "somebody",
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .taken = PTHREAD_COND_INITIALIZER };
    int port = argc > 3 ? atoi(argv[3]) : 7654;
    pthread_t reader;
    int rc = rill_loop_new(NULL, &chat.loop);

    if (rc < 0)
        return 1;
    rc = join(&chat, argc > 2 ? argv[2] : NULL, port);
    if (rc < 0)
        fprintf(stderr, "multicast_chat: %s\n", rill_loop_last_error(chat.loop)->sentence);
    if (rc == 0 && pthread_create(&reader, NULL, read_lines, &chat) == 0) {
        printf("listening on 0.0.0.0:%d\n", port);
        fflush(stdout);
        rc = rill_loop_run(chat.loop);
        pthread_join(reader, NULL);
    }
    rill_loop_free(chat.loop);
    return rc < 0;
}
