/*
 * What a stream tells about its socket, and the options that can be set on it.
 *
 * The peer's address is kept in the stream, as people ask for it in connection_lost; everything
 * else is asked of the kernel while the descriptor is there. Loop thread only.
 */
#include <errno.h>

#include "core/addr.h"
#include "transports/stream.h"

static bool
is_gone(const stream *s)
{
    return s->phase == STREAM_CLOSING;
}

void
rill__stream_set_peer(stream *s, const rill_addr *peer)
{
    rill_addr asked;
    rill_loop *loop = rill__base(s)->loop;

    if (peer == NULL && loop->sys->peername(loop->driver, s->io.fd, &asked) == 0)
        peer = &asked;
    if (peer == NULL || peer->len > STREAM_PEER)
        return;
    memcpy(s->peer, rill__addr_sockaddr(peer), peer->len);
    s->peer_len = (uint8_t)peer->len;
}

int
rill__stream_peername(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    const stream *s = impl;

    if (s->peer_len != 0) {
        rill__addr_set(ret_addr, s->peer, s->peer_len);
        return 0;
    }
    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->peername(t->loop->driver, s->io.fd, ret_addr);
}

int
rill__stream_sockname(const rill_transport *t, const void *impl, rill_addr *ret_addr)
{
    const stream *s = impl;

    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->sockname(t->loop->driver, s->io.fd, ret_addr);
}

int
rill__stream_fd(const rill_transport *t, const void *impl)
{
    const stream *s = impl;
    int fd = t->loop->sys->public_fd(t->loop->driver, s->io.fd);

    return is_gone(s) && fd != RILL_ENOTSUP ? RILL_ECLOSED : fd;
}

int
rill__stream_credentials(const rill_transport *t, const void *impl, rill_credentials *ret_peer)
{
    const stream *s = impl;

    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->credentials(t->loop->driver, s->io.fd, ret_peer);
}

int
rill__stream_tcp_info(const rill_transport *t, const void *impl, rill_tcp_info *ret_info)
{
    const stream *s = impl;

    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->tcp_info(t->loop->driver, s->io.fd, ret_info);
}

int
rill__stream_set_option(rill_transport *t, void *impl, rill_option option, int value)
{
    stream *s = impl;

    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->set_option(t->loop->driver, s->io.fd, option, value);
}

int
rill__stream_get_option(
    const rill_transport *t, const void *impl, rill_option option, int *ret_value)
{
    const stream *s = impl;

    if (is_gone(s))
        return RILL_ECLOSED;
    return t->loop->sys->get_option(t->loop->driver, s->io.fd, option, ret_value);
}
