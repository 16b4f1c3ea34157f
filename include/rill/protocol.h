/*
 * Protocols: what you write. A table of callbacks, and one state per connection that the library
 * allocates with the transport.
 *
 * The order of callbacks is fixed and asserted in the library:
 *
 *     connection_made (data_received | buffer_updated | pause_writing | resume_writing)*
 *     [eof_received (pause_writing | resume_writing)*] connection_lost
 *
 * connection_made comes first and once, never from inside the call that started the connection;
 * pause_writing and resume_writing strictly alternate; connection_lost comes last and once, never
 * from inside a call of yours (rill_loop_free excepted). Every callback is optional, runs on the
 * loop's thread and may call any function of the library but rill_loop_run and rill_loop_free.
 */
#ifndef RILL_PROTOCOL_H
#define RILL_PROTOCOL_H

#include <rill/base.h>
#include <rill/error.h>
#include <rill/memory.h>

RILL_BEGIN

typedef struct rill_protocol {
    size_t size; /* Set by RILL_PROTOCOL or rill_protocol_default. */

    /* Bytes of state for each connection: zeroed, aligned to 16, passed to every callback as
     * `self`, freed after connection_lost. With 0, `self` is the `arg` that was given with the
     * protocol. */
    size_t state_size;

    /* The connection is open: write, pause, set options from now on. `arg` is what was given with
     * the protocol. */
    void (*connection_made)(rill_transport *t, void *self, void *arg);

    /* Bytes arrived; never empty. `in` is borrowed for the call, see rill_slice_hold. */
    void (*data_received)(rill_transport *t, void *self, rill_slice in);

    /* asyncio's BufferedProtocol: when both are set they replace data_received. get_buffer returns
     * the size of a buffer and stores its address in `ret_buf`; `hint` is a useful size, 0 when
     * nothing is known. The buffer stays untouched until buffer_updated tells how many bytes of it
     * were filled, at least 1. An empty buffer loses the connection with RILL_EBUFFER. */
    size_t (*get_buffer)(rill_transport *t, void *self, size_t hint, void **ret_buf);
    void (*buffer_updated)(rill_transport *t, void *self, size_t len);

    /* The peer will send nothing more; at most once. Return true to keep the write side open until
     * you close; on false, or without this callback, queued bytes are flushed and the connection is
     * closed. Not called when you closed, nor for errors. */
    bool (*eof_received)(rill_transport *t, void *self);

    /* More than the high mark of bytes is queued: stop writing until resume_writing. This is the
     * one callback that may run inside your own write. It advises; the hard cap does not. */
    void (*pause_writing)(rill_transport *t, void *self);
    void (*resume_writing)(rill_transport *t, void *self);

    /* The end, and the destructor: the transport and `self` are gone when it returns. `why` is
     * never NULL; its code is 0 when your own close completed, RILL_EOF when the peer ended it,
     * RILL_EABORTED after your abort, -ECONNRESET and so on for errors. */
    void (*connection_lost)(rill_transport *t, void *self, const rill_reason *why);
} rill_protocol;

/* static const rill_protocol echo = RILL_PROTOCOL(.data_received = echo_data); */
#ifndef __cplusplus
#define RILL_PROTOCOL(...)                         \
    {                                              \
        .size = sizeof(rill_protocol), __VA_ARGS__ \
    }
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_protocol
rill_protocol_default(void)
{
#ifdef __cplusplus
    rill_protocol protocol = {};
#else
    rill_protocol protocol = { 0 };
#endif
    protocol.size = sizeof(protocol);
    return protocol;
}

RILL_END

#endif
