/*
 * An echo server that cheats once, to test the load generator, which must notice.
 *
 *     liar KIND PORT
 *
 * KIND says what becomes of the message with the 102,400th byte of a connection: `flip` changes a
 * bit of it, `drop` loses a byte, `double` repeats one, `swap` answers with another connection's
 * bytes, `extra` sends a byte too many, `close` hangs up, `silent` never answers, `honest` nothing.
 *
 * One thread for each connection; they share only the last bytes received, for `swap`.
 */
#define _GNU_SOURCE
#include "contestant_listen.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>

enum { CHEAT_AT_BYTES = 102400, MESSAGE_MAX = 64 * 1024 };

static const char *kind;
static unsigned char foreign[MESSAGE_MAX];
static pthread_mutex_t foreign_mutex = PTHREAD_MUTEX_INITIALIZER;

static bool
is_kind(const char *name)
{
    return strcmp(kind, name) == 0;
}

/* False when nothing more shall be sent on this connection. */
static bool
cheat(unsigned char *bytes, size_t *len)
{
    if (is_kind("flip"))
        bytes[*len / 2] ^= 1;
    if (is_kind("drop"))
        memmove(bytes, bytes + 1, --*len);
    if (is_kind("double"))
        memmove(bytes + 1, bytes, *len - 1);
    if (is_kind("extra"))
        bytes[(*len)++] = 0;
    if (is_kind("swap")) {
        (void)pthread_mutex_lock(&foreign_mutex);
        memcpy(bytes, foreign, *len);
        (void)pthread_mutex_unlock(&foreign_mutex);
    }
    return !is_kind("close");
}

static void *
serve(void *arg)
{
    int fd = *(int *)arg;
    unsigned char bytes[MESSAGE_MAX + 1];
    size_t total = 0;
    ssize_t n;

    free(arg);
    while ((n = recv(fd, bytes, MESSAGE_MAX, 0)) > 0) {
        size_t len = (size_t)n;
        bool due = total < CHEAT_AT_BYTES && total + len >= CHEAT_AT_BYTES;

        total += len;
        if (due && is_kind("silent"))
            continue;
        if (due && !cheat(bytes, &len))
            break;
        if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
            break;
        (void)pthread_mutex_lock(&foreign_mutex);
        memcpy(foreign, bytes, len < MESSAGE_MAX ? len : MESSAGE_MAX);
        (void)pthread_mutex_unlock(&foreign_mutex);
    }
    (void)close(fd);
    return NULL;
}

int
main(int argc, char **argv)
{
    struct contestant_where where = { NULL, argc == 3 ? atoi(argv[2]) : 0 };
    int listen_fd;

    if (argc != 3) {
        fprintf(stderr, "usage: %s KIND PORT\n", argv[0]);
        return CONTESTANT_USAGE;
    }
    kind = argv[1];
    listen_fd = contestant_listen(where);
    (void)fcntl(listen_fd, F_SETFL, 0); /* Blocking accepts. */
    for (;;) {
        pthread_t thread;
        int *fd = malloc(sizeof(*fd));

        if (fd == NULL)
            contestant_die("malloc");
        *fd = accept(listen_fd, NULL, NULL);
        if (*fd < 0 || pthread_create(&thread, NULL, serve, fd) != 0)
            contestant_die("accept");
        (void)pthread_detach(thread); /* Cannot fail for a thread just made. */
    }
}
