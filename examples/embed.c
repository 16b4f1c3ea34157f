/*
 * rill inside somebody else's loop: a program with a poll() loop of its own drives both.
 *
 * Shows: rill_loop_backend_fd (readable when there is something to do), rill_loop_next_timeout (how
 * long a wait may last) and rill_loop_step. The foreign loop watches a pipe that a thread writes
 * to; on the rill side two ends of a connection in memory play ping-pong by a timer.
 *
 * Run:     ./embed
 * Prints:  rill: ping 1        three lines of each kind, in the order in which they happen
 *          foreign: beat
 */
#include <rill/rill.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 3 };

struct game {
    rill_loop *loop;
    rill_transport *t;
    int pings, beats;
    bool ended;
};

static void
serve_ball(void *arg)
{
    struct game *g = arg;

    (void)rill_transport_write(g->t, "ping", 4);
}

static void
player_made(rill_transport *t, void *self, void *arg)
{
    struct game *g = self;

    (void)arg;
    g->t = t;
    serve_ball(g);
}

static void
player_data(rill_transport *t, void *self, rill_slice in)
{
    struct game *g = self;

    (void)in;
    printf("rill: ping %d\n", ++g->pings);
    if (g->pings < ROUNDS)
        (void)rill_call_later(g->loop, 20 * RILL_MS, serve_ball, g, NULL);
    else
        rill_transport_close(t);
}

static void
player_lost(rill_transport *t, void *self, const rill_reason *why)
{
    (void)t, (void)why;
    ((struct game *)self)->ended = true;
}

static const rill_protocol player = RILL_PROTOCOL(.connection_made = player_made,
    .data_received = player_data, .connection_lost = player_lost);

static void
wall_data(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    (void)rill_transport_write(t, in.data, in.len);
}

static const rill_protocol wall = RILL_PROTOCOL(.data_received = wall_data);

/* The foreign side's own business: a byte down a pipe now and then. */
static void *
beat(void *arg)
{
    int fd = *(int *)arg;

    for (int i = 0; i < ROUNDS; i++) {
        (void)nanosleep(&(struct timespec){ .tv_nsec = 30 * 1000 * 1000 }, NULL);
        if (write(fd, "b", 1) != 1)
            break;
    }
    close(fd);
    return NULL;
}

/* poll() counts milliseconds: round up, or we would be back too early and spin. */
static int
to_milliseconds(rill_ns timeout)
{
    if (timeout == RILL_NEVER)
        return -1;
    return timeout > 1000 * RILL_S ? 1000000 : (int)((timeout + RILL_MS - 1) / RILL_MS);
}

static int
foreign_loop(struct game *g, int pipe_fd)
{
    struct pollfd fds[2] = { { .fd = rill_loop_backend_fd(g->loop), .events = POLLIN },
        { .fd = pipe_fd, .events = POLLIN } };
    char byte;

    while (!g->ended || g->beats < ROUNDS) {
        if (poll(fds, 2, to_milliseconds(rill_loop_next_timeout(g->loop))) < 0)
            return -1;
        if (fds[1].revents != 0 && read(pipe_fd, &byte, 1) == 1) {
            g->beats++;
            puts("foreign: beat");
        } else if (fds[1].revents != 0) {
            fds[1].fd = -1; /* The thread has ended: poll need not look any more. */
        }
        if (rill_loop_step(g->loop, 0) < 0) /* Also without events: a timer may be due. */
            return -1;
    }
    return 0;
}

int
main(void)
{
    struct game g = { 0 };
    pthread_t thread;
    int pipe_fds[2], rc = -1;

    if (rill_loop_new(NULL, &g.loop) < 0 || pipe(pipe_fds) < 0 ||
        pthread_create(&thread, NULL, beat, &pipe_fds[1]) != 0)
        return 1;
    if (rill_create_pair(g.loop, NULL, &player, &g, &wall, NULL, NULL, NULL) == 0)
        rc = foreign_loop(&g, pipe_fds[0]);
    pthread_join(thread, NULL);
    rill_loop_free(g.loop);
    return rc < 0;
}
