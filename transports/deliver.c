/*
 * Delivery: the way up from a kind of transport to the protocol, and the one place where the number
 * of queued bytes changes.
 *
 * The grammar of callbacks (made, data, eof, lost) is enforced here for every kind; breaking it is
 * a bug of the kind and ends the process. Loop thread only.
 */
#include "transports/internal.h"

void
rill_transport_made(rill_transport *t)
{
    void *arg = t->tail.arg;

    rill__check_live(t, "rill_transport_made");
    rill__check(t->phase == RILL__PHASE_NEW);
    t->phase = RILL__PHASE_OPEN;
    rill__enter(t, "connection_made");
    if (t->protocol->connection_made != NULL)
        t->protocol->connection_made(t, t->self, arg);
}

bool
rill_transport_wants_data(const rill_transport *t)
{
    return rill__wants_data(t);
}

size_t
rill__transport_get_buffer(rill_transport *t, size_t hint, void **ret_buf)
{
    size_t size;

    *ret_buf = NULL;
    rill__enter(t, "get_buffer");
    size = t->protocol->get_buffer(t, t->self, hint, ret_buf);
    if (size == 0 || *ret_buf == NULL) {
        rill__transport_abort(t, RILL_EBUFFER, RILL_LAYER_TRANSPORT, NULL);
        return 0;
    }
    return size;
}

void
rill__transport_buffer_updated(rill_transport *t, size_t len)
{
    rill__enter(t, "buffer_updated");
    t->bytes_in += len;
    t->protocol->buffer_updated(t, t->self, len);
}

/* Until all is delivered or it is not wanted any more; the protocol may be exchanged in between. */
static size_t
deliver_buffered(rill_transport *t, rill_slice in)
{
    size_t done = 0;

    while (done < in.len && rill__wants_data(t) && rill__transport_is_buffered(t)) {
        const rill_protocol *protocol = t->protocol;
        const void *self = t->self;
        void *buf;
        size_t size = rill__transport_get_buffer(t, in.len - done, &buf);

        if (size == 0)
            break;
        if (t->protocol != protocol || t->self != self)
            continue; /* Exchanged in get_buffer: the buffer is the old one's. */
        /* get_buffer is user code too: it may have paused or closed. */
        if (!rill__wants_data(t))
            break;
        if (size > in.len - done)
            size = in.len - done;
        memcpy(buf, in.data + done, size);
        done += size;
        rill__transport_buffer_updated(t, size);
    }
    return done;
}

size_t
rill__transport_data(rill_transport *t, rill_slice in)
{
    size_t done = 0;

    assert(in.len > 0 && rill__wants_data(t));
    if (RILL__UNLIKELY(rill__transport_is_buffered(t))) {
        done = deliver_buffered(t, in);
        if (done == in.len || !rill__wants_data(t) || rill__transport_is_buffered(t))
            return done;
        in.data += done; /* Exchanged for an ordinary protocol in the middle. */
        in.len -= done;
    }
    rill__transport_data_received(t, in);
    return done + in.len;
}

size_t
rill_transport_data(rill_transport *t, rill_slice in)
{
    rill__check_live(t, "rill_transport_data");
    rill__check(in.len > 0 && rill__wants_data(t));
    return rill__transport_data(t, in);
}

void
rill_transport_eof(rill_transport *t)
{
    bool keep = false;

    rill__check_live(t, "rill_transport_eof");
    rill__check(rill__wants_data(t));
    t->eof_received = true;
    rill__enter(t, "eof_received");
    if (t->protocol->eof_received != NULL)
        keep = t->protocol->eof_received(t, t->self);
    if (!keep)
        rill__transport_close(t, RILL_EOF);
}

static void
pause_or_resume(rill_transport *t)
{
    if (t->queued_bytes > t->write_high && !t->writing_paused) {
        t->writing_paused = true;
        if (rill__bug("missed_watermark"))
            return;
        rill__enter(t, "pause_writing");
        if (t->protocol->pause_writing != NULL)
            t->protocol->pause_writing(t, t->self);
    } else if (t->queued_bytes <= t->write_low && t->writing_paused) {
        t->writing_paused = false;
        if (rill__bug("missed_resume"))
            return;
        rill__enter(t, "resume_writing");
        if (t->protocol->resume_writing != NULL)
            t->protocol->resume_writing(t, t->self);
    }
}

void
rill_transport_account(rill_transport *t, int64_t delta_bytes, size_t sent)
{
    rill__check_live(t, "rill_transport_account");
    rill__check(delta_bytes >= 0 || t->queued_bytes >= (size_t)-delta_bytes);
    t->queued_bytes += (size_t)delta_bytes;
    t->bytes_out += sent;
    if (t->aborting || t->phase != RILL__PHASE_OPEN)
        return;
    if (RILL__UNLIKELY(t->queued_bytes > t->write_cap) && !rill__bug("cap_ignored")) {
        rill__transport_abort(t, RILL_EOVERFLOW, RILL_LAYER_TRANSPORT, NULL);
        return;
    }
    pause_or_resume(t);
    if (RILL__UNLIKELY(t->extra != NULL)) {
        rill__drains_check(t); /* Gathered bytes may have left without having been queued. */
        if (delta_bytes < 0)
            rill__sendfile_resume(t);
    }
}

static const rill_reason *
make_reason(
    rill_transport *t, int code, rill_layer layer, const char *sentence, rill_reason *reason)
{
    reason->code = code;
    reason->layer = code == 0 ? RILL_LAYER_NONE : layer;
    reason->native = code < 0 && code >= -4095 ? -code : 0;
    reason->sentence = sentence != NULL ? sentence : rill_strerror(code);
    (void)t;
    return reason;
}

void
rill_transport_lost(rill_transport *t, int code, rill_layer layer, const char *sentence)
{
    rill_reason reason;

    rill__check_live(t, "rill_transport_lost");
    rill__check(t->phase != RILL__PHASE_LOST);
    if (t->phase == RILL__PHASE_NEW) {
        rill_transport_discard(t);
        return;
    }
    if (code == 0) {
        code = t->close_code;
        layer = RILL_LAYER_TRANSPORT;
    } else if (code == t->abort_code) {
        layer = (rill_layer)t->abort_layer;
    }
    t->phase = RILL__PHASE_LOST;
    t->closing = true;
    t->refuse |= RILL__REFUSE_CLOSED;
    if (t->extra != NULL) {
        rill__sendfile_end(t, code != 0 ? code : RILL_ECLOSED);
        if (!rill__bug("drain_outlives_loss"))
            rill__drains_end(t, code != 0 ? code : RILL_ECLOSED);
    }
    rill__enter(t, "connection_lost");
    if (t->protocol->connection_lost != NULL && rill__bug("lost_twice"))
        t->protocol->connection_lost(t, t->self, make_reason(t, code, layer, sentence, &reason));
    if (t->protocol->connection_lost != NULL &&
        !(code == RILL_EIDLE && rill__bug("lost_forgotten")))
        t->protocol->connection_lost(t, t->self, make_reason(t, code, layer, sentence, &reason));
    if (t->extra != NULL && t->extra->gone != NULL)
        t->extra->gone(t->extra->gone_arg);
    rill__server_detach(t);
    rill__transport_reap(t);
}
