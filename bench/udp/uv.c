/*
 * libuv's echo: it receives many at a time (UV_UDP_RECVMMSG, 20 slots of 64 KiB as it wants them),
 * and sends each with uv_udp_try_send.
 */
#include "contestant.h"

#include <uv.h>

static char slots[20 * 65536];

static void
give(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(slots, sizeof(slots));
}

static void
echo(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *addr, unsigned flags)
{
    uv_buf_t out;

    (void)flags;
    if (len <= 0 || addr == NULL)
        return;
    out = uv_buf_init(buf->base, (unsigned)len);
    (void)uv_udp_try_send(udp, &out, 1, addr);
}

int
main(int argc, char **argv)
{
    struct sockaddr_in addr;
    uv_loop_t loop;
    uv_udp_t udp;

    udp_must(uv_ip4_addr("127.0.0.1", udp_port(argc, argv), &addr) == 0, "uv_ip4_addr");
    udp_must(uv_loop_init(&loop) == 0, "uv_loop_init");
    udp_must(uv_udp_init_ex(&loop, &udp, AF_INET | UV_UDP_RECVMMSG) == 0, "uv_udp_init_ex");
    udp_must(uv_udp_bind(&udp, (const struct sockaddr *)&addr, 0) == 0, "uv_udp_bind");
    udp_must(uv_udp_recv_start(&udp, give, echo) == 0, "uv_udp_recv_start");
    return uv_run(&loop, UV_RUN_DEFAULT);
}
