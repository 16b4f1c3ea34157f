/*
 * Wrong calls of <rill/watch.h> and <rill/sock.h>. Here no task runs: what only a task can ask is
 * told RILL_ENOTASK where its arguments are right.
 */
#include "wrong.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static char bytes[4];
static uint64_t sent;

static void
try_watching(int fd)
{
    WRONG(RILL_EINVAL, rill_add_reader(NULL, fd, never, NULL));
    WRONG(RILL_EINVAL, rill_add_writer(NULL, fd, never, NULL));
    WRONG(RILL_EINVAL, rill_add_reader(h.loop, fd, NULL, NULL));
    WRONG(RILL_EINVAL, rill_add_writer(h.loop, fd, NULL, NULL));
    WRONG(-EBADF, rill_add_reader(h.loop, -1, never, NULL));
    WRONG(-EBADF, rill_add_writer(h.loop, 100000, never, NULL));
    SAYS(!rill_remove_reader(h.loop, fd));
    SAYS(!rill_remove_writer(h.loop, fd));
    SAYS(!rill_remove_reader(h.loop, -1));
}

static void
try_opening(void)
{
    const rill_family families[] = { RILL_FAMILY_ANY, (rill_family)17 };

    WRONG(RILL_EINVAL, rill_sock_open(NULL, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &out.value));
    WRONG(RILL_EINVAL, rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, NULL));
    WRONG(RILL_EINVAL, rill_sock_open(h.loop, RILL_FAMILY_IPV4, (rill_sock_type)9, &out.value));
    for (EACH(i, families))
        WRONG(RILL_EINVAL, rill_sock_open(h.loop, families[i], RILL_SOCK_STREAM, &out.value));
}

static void
try_calls(int fd, const rill_addr *addr)
{
    WRONG(RILL_EINVAL, rill_sock_close(NULL, fd));
    WRONG(-EBADF, rill_sock_close(h.loop, -1));
    WRONG(-EBADF, rill_sock_close(h.loop, 100000));
    WRONG(RILL_EINVAL, rill_sock_bind(NULL, fd, addr));
    WRONG(RILL_EINVAL, rill_sock_bind(h.loop, fd, NULL));
    WRONG(-EBADF, rill_sock_bind(h.loop, -1, addr));
    WRONG(RILL_EINVAL, rill_sock_listen(NULL, fd, 5));
    WRONG(RILL_EINVAL, rill_sock_listen(h.loop, fd, 0));
    WRONG(-EBADF, rill_sock_listen(h.loop, 100000, 5));
    WRONG(RILL_EINVAL, rill_sock_name(NULL, fd, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_name(h.loop, fd, NULL));
    WRONG(-EBADF, rill_sock_name(h.loop, -1, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_peer(NULL, fd, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_peer(h.loop, fd, NULL));
    WRONG(-ENOTCONN, rill_sock_peer(h.loop, fd, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_shutdown_write(NULL, fd));
    WRONG(-ENOTCONN, rill_sock_shutdown_write(h.loop, fd));
    WRONG(RILL_EINVAL, (int)rill_sock_try_recv(NULL, fd, bytes, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_try_recv(h.loop, fd, NULL, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_try_recv(h.loop, fd, bytes, 0));
    WRONG(-ENOTCONN, (int)rill_sock_try_recv(h.loop, fd, bytes, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_try_send(NULL, fd, bytes, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_try_send(h.loop, fd, NULL, 4));
    WRONG(-EPIPE, (int)rill_sock_try_send(h.loop, fd, bytes, 4));
    WRONG(RILL_EINVAL, rill_sock_try_accept(NULL, fd, &out.value, NULL));
    WRONG(RILL_EINVAL, rill_sock_try_accept(h.loop, fd, NULL, NULL));
    WRONG(-EINVAL, rill_sock_try_accept(h.loop, fd, &out.value, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_try_connect(NULL, fd, addr));
    WRONG(RILL_EINVAL, rill_sock_try_connect(h.loop, fd, NULL));
    WRONG(-EBADF, rill_sock_try_connect(h.loop, 100000, addr));
    WRONG(RILL_EINVAL, rill_sock_connected(NULL, fd));
    WRONG(-EBADF, rill_sock_connected(h.loop, -1));
}

static void
try_waits(int fd, const rill_addr *addr)
{
    WRONG(RILL_EINVAL, (int)rill_sock_recv(fd, NULL, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_recv(fd, bytes, 0));
    WRONG(RILL_ENOTASK, (int)rill_sock_recv(fd, bytes, 4));
    WRONG(RILL_EINVAL, (int)rill_sock_recvfrom(fd, NULL, 4, &out.addr));
    WRONG(RILL_EINVAL, (int)rill_sock_recvfrom(fd, bytes, 0, &out.addr));
    WRONG(RILL_EINVAL, (int)rill_sock_recvfrom(fd, bytes, 4, NULL));
    WRONG(RILL_ENOTASK, (int)rill_sock_recvfrom(fd, bytes, 4, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_sendall(fd, NULL, 4, &out.count));
    WRONG(RILL_ENOTASK, rill_sock_sendall(fd, bytes, 4, &out.count));
    WRONG(RILL_EINVAL, (int)rill_sock_sendto(fd, NULL, 4, addr));
    WRONG(RILL_EINVAL, (int)rill_sock_sendto(fd, bytes, 4, NULL));
    WRONG(RILL_ENOTASK, (int)rill_sock_sendto(fd, bytes, 4, addr));
    WRONG(RILL_EINVAL, rill_sock_connect(fd, NULL));
    WRONG(RILL_ENOTASK, rill_sock_connect(fd, addr));
    WRONG(RILL_EINVAL, rill_sock_accept(fd, NULL, &out.addr));
    WRONG(RILL_ENOTASK, rill_sock_accept(fd, &out.value, &out.addr));
    WRONG(RILL_EINVAL, rill_sock_sendfile(fd, 0, UINT64_MAX, 0, &sent));
    WRONG(RILL_EINVAL, rill_sock_sendfile(fd, 0, 0, UINT64_MAX, &sent));
    WRONG(RILL_ENOTASK, rill_sock_sendfile(fd, 0, 0, 0, &sent));
}

static void
try_descriptors(rill_transport *tcp)
{
    int fd = 0;

    WRONG(RILL_EINVAL, rill_transport_write_descriptors(NULL, "x", 1, &fd, 1));
    WRONG(RILL_ENOTSUP, rill_transport_write_descriptors(tcp, "x", 1, &fd, 1));
    WRONG(RILL_EINVAL, rill_transport_take_descriptor(NULL));
    WRONG(RILL_ENOTSUP, rill_transport_take_descriptor(tcp));
}

void
wrong_sock(rill_transport *tcp)
{
    rill_addr addr;
    int fd;

    assert_code(rill_addr_parse("127.0.0.1", 9, &addr), 0);
    assert_code(rill_sock_open(h.loop, RILL_FAMILY_IPV4, RILL_SOCK_STREAM, &fd), 0);
    assert_code(rill_add_reader(h.loop, fd, never, NULL), 0); /* Its table stays with the loop. */
    assert_true(rill_remove_reader(h.loop, fd));
    try_watching(fd);
    try_opening();
    try_calls(fd, &addr);
    try_waits(fd, &addr);
    try_descriptors(tcp);
    assert_code(rill_sock_close(h.loop, fd), 0);
}
