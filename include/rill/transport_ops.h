/*
 * Writing a transport of your own: a filter over another transport, or a new kind.
 *
 * This is what the library's own transports are made of. The base object keeps what all kinds share
 * (the protocol and its state, the order of callbacks, marks and cap, ids, the way to the end);
 * your table does the work, in `impl`: memory of yours behind the base. You call the base to
 * deliver events; it asserts the grammar of <rill/protocol.h> and aborts with a message where it is
 * broken.
 *
 * A filter is a Protocol to the transport below and a Transport to the protocol above. See
 * examples/filter, and run rill_conformance on what you make.
 *
 * Not part of <rill/rill.h>: include it where it is needed.
 */
#ifndef RILL_TRANSPORT_OPS_H
#define RILL_TRANSPORT_OPS_H

#include <rill/transport.h>

RILL_BEGIN

/*
 * The work of one kind of transport. The base has checked the arguments and the state before it
 * calls: no write after close or write_eof, no second close, no pause when paused. `impl` is zeroed
 * at first. Required: write, close, abort, pause_reading, resume_reading.
 */
typedef struct rill_transport_ops {
    size_t size;      /* sizeof(rill_transport_ops) */
    const char *name; /* The kind, for reports. */
    size_t impl_size; /* Bytes of `impl`, aligned to 16. */

    /* Take all the bytes: send what can be sent, keep the rest and account for it
     * (rill_transport_account). Failures are told by rill_transport_lost later, never here. */
    void (*write)(rill_transport *t, void *impl, const rill_iovec *parts, size_t count);

    /* As write for one large part without copying; NULL: the base copies and releases. Call
     * `release` once, not inside this call. Returns 0, or -ENOMEM having taken nothing. */
    int (*write_ref)(rill_transport *t, void *impl, const void *data, size_t len,
        rill_release_fn release, void *arg);

    /* End the write side after what was written; NULL: can_write_eof is false. */
    void (*write_eof)(rill_transport *t, void *impl);

    /* Flush, then end; call rill_transport_lost(t, 0 or a code) when done, not inside this call. */
    void (*close)(rill_transport *t, void *impl);

    /* Drop what is queued and end soon; call rill_transport_lost(t, code, ...) with this code and
     * sentence, not inside this call. May follow close. */
    void (*abort)(rill_transport *t, void *impl, int code, const char *sentence);

    /* Deliver nothing more, or go on. */
    void (*pause_reading)(rill_transport *t, void *impl);
    void (*resume_reading)(rill_transport *t, void *impl);

    /* Addresses and descriptor; NULL: RILL_ENOTSUP. A filter asks the transport below. */
    int (*peername)(const rill_transport *t, const void *impl, rill_addr *ret_addr);
    int (*sockname)(const rill_transport *t, const void *impl, rill_addr *ret_addr);
    int (*fd)(const rill_transport *t, const void *impl);
    int (*credentials)(const rill_transport *t, const void *impl, rill_credentials *ret_peer);
    int (*tcp_info)(const rill_transport *t, const void *impl, rill_tcp_info *ret_info);
    int (*set_option)(rill_transport *t, void *impl, rill_option option, int value);
    int (*get_option)(
        const rill_transport *t, const void *impl, rill_option option, int *ret_value);
    int (*set_timeout)(rill_transport *t, void *impl, rill_timeout which, rill_ns value);

    /* Send from a file; NULL: the base reads and writes. Accounting is yours; call
     * rill_transport_sendfile_done when it ended. RILL_ENOSENDFILE: the base does it. */
    int (*sendfile)(rill_transport *t, void *impl, int fd, uint64_t offset, uint64_t count);
    void (*sendfile_cancel)(rill_transport *t, void *impl);

    /* Give up the descriptor, as rill_transport_detach says; NULL: RILL_ENOTSUP. Returns it, or the
     * error. After success call rill_transport_lost(t, RILL_EDETACHED, ...), not inside this
     * call. */
    int (*detach)(rill_transport *t, void *impl, void *buf, size_t size, size_t *ret_len);

    /* The last call: connection_lost has returned. Free what `impl` owns. */
    void (*finalize)(rill_transport *t, void *impl);

    /* As rill_transport_write_descriptors and rill_transport_take_descriptor say; NULL:
     * RILL_ENOTSUP. The arguments were checked; accounting is yours. */
    int (*write_descriptors)(
        rill_transport *t, void *impl, const void *data, size_t len, const int *fds, size_t count);
    int (*take_descriptor)(rill_transport *t, void *impl);
} rill_transport_ops;

/*
 * Make a transport of the kind `ops` (static const) for `protocol` with `arg`. `options` may be
 * NULL; only its marks and cap concern the base. Call rill_transport_made when it is open. Returns
 * 0; RILL_EINVAL (a table without size, name or a required function, a bad protocol or option,
 * sizes too large); RILL_ECLOSED in rill_loop_free; -ENOMEM.
 */
RILL_API int rill_transport_new(rill_loop *loop, const rill_transport_ops *ops,
    const rill_transport_options *options, const rill_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport);

/* Your memory behind the base, and the way back from it. */
RILL_API void *rill_transport_impl(const rill_transport *t);
RILL_API rill_transport *rill_transport_of_impl(const void *impl);

/* Undo rill_transport_new before rill_transport_made: no callback runs but finalize. */
RILL_API void rill_transport_discard(rill_transport *t);

/* Deliver connection_made. Not inside the call of a user's that makes the connection: schedule
 * it. */
RILL_API void rill_transport_made(rill_transport *t);

/* True while bytes may be delivered: made, not paused, not closing, no EOF yet. Look again after
 * every delivery. */
RILL_API bool rill_transport_wants_data(const rill_transport *t);

/* Deliver bytes; only while rill_transport_wants_data. With a buffered protocol they are copied
 * into its buffers, as often as it takes; what was not wanted after a pause in the middle is given
 * back by the return value: the number of bytes delivered. */
RILL_API size_t rill_transport_data(rill_transport *t, rill_slice in);

/* Deliver eof_received; when it returns false the base closes. At most once. */
RILL_API void rill_transport_eof(rill_transport *t);

/*
 * Change the number of queued bytes; the only way to do so. Compares with the marks and runs
 * pause_writing or resume_writing, wakes drains, and above the cap ends the connection with
 * RILL_EOVERFLOW through your abort. `sent` tells how many of the bytes left for good.
 */
RILL_API void rill_transport_account(rill_transport *t, int64_t delta_bytes, size_t sent);

/*
 * Deliver connection_lost, wake what waits, then finalize and free, at the end of the turn. Not
 * inside a call of the user's. Before rill_transport_made it discards. `sentence` NULL: the code's.
 */
RILL_API void
rill_transport_lost(rill_transport *t, int code, rill_layer layer, const char *sentence);

/* For transports whose ops have sendfile: it ended. */
RILL_API void rill_transport_sendfile_done(rill_transport *t, int rc, uint64_t sent);

RILL_END

#endif
