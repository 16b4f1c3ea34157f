/*
 * A listening socket made by hand, for the contestants whose library takes a ready descriptor.
 * TCP_NODELAY is set on the listener and inherited, which saves a call per connection.
 */
#ifndef BENCH_CONTESTANT_LISTEN_H
#define BENCH_CONTESTANT_LISTEN_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "contestant.h"

static inline void
contestant_die(const char *what)
{
    perror(what);
    exit(1);
}

static inline int
contestant_listen(struct contestant_where where)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } addr;
    socklen_t len;
    int fd;
    int on = 1;

    memset(&addr, 0, sizeof(addr));
    if (where.path != NULL) {
        if (strlen(where.path) >= sizeof(addr.un.sun_path)) {
            fprintf(stderr, "the path is too long: %s\n", where.path);
            exit(CONTESTANT_USAGE);
        }
        addr.un.sun_family = AF_UNIX;
        strcpy(addr.un.sun_path, where.path);
        len = sizeof(addr.un);
        (void)unlink(where.path); /* It may not be there. */
    } else {
        addr.in.sin_family = AF_INET;
        addr.in.sin_port = htons((uint16_t)where.port);
        addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        len = sizeof(addr.in);
    }
    fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        contestant_die("socket");
    if (where.path == NULL && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                                  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0))
        contestant_die("setsockopt");
    if (bind(fd, &addr.any, len) < 0)
        contestant_die("bind");
    if (listen(fd, CONTESTANT_BACKLOG) < 0)
        contestant_die("listen");
    return fd;
}

#endif
