/*
 * The floor: epoll, and one recvmmsg and one sendmmsg of up to 32 datagrams for each event, by
 * hand.
 */
#include "contestant.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MANY 32
#define SLOT 2048

static char slots[MANY][SLOT];
static struct sockaddr_in names[MANY];
static struct iovec parts[MANY];
static struct mmsghdr headers[MANY];

static void
echo(int fd)
{
    int got;

    for (int i = 0; i < MANY; i++) {
        parts[i] = (struct iovec){ slots[i], SLOT };
        headers[i].msg_hdr = (struct msghdr){ .msg_name = &names[i],
            .msg_namelen = sizeof(names[i]),
            .msg_iov = &parts[i],
            .msg_iovlen = 1 };
    }
    got = recvmmsg(fd, headers, MANY, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++)
        parts[i].iov_len = headers[i].msg_len;
    if (got > 0)
        (void)sendmmsg(fd, headers, (unsigned)got, MSG_DONTWAIT); /* What is lost is asked again. */
}

int
main(int argc, char **argv)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event event = { .events = EPOLLIN };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int epoll_fd = epoll_create1(0);

    addr.sin_port = htons((uint16_t)udp_port(argc, argv));
    udp_must(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
    udp_must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
    for (;;) {
        if (epoll_wait(epoll_fd, &event, 1, -1) > 0)
            echo(fd);
    }
}
