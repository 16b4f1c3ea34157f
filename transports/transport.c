/*
 * The base of every transport: its memory, its ids, and the calls that users make.
 *
 * Each call checks that the transport lives and that this is the loop's thread, decides what the
 * state allows, and leaves the work to the kind's table. A transport's memory comes from the loop's
 * pool: impl and a small protocol state follow the base. It goes back at the end of the turn in
 * which connection_lost ran, with its mark of death. Loop thread only.
 */
#include <errno.h>
#include <stdio.h>

#include "transports/internal.h"

#define REFUSED_WRITES_WARN 5
#define IMPL_MAX            ((size_t)1024 * 1024)

typedef struct transport_slot {
    rill__slot slot;
    rill_transport *transport;
} transport_slot;

static_assert(offsetof(rill_transport, object) == 0, "core reaches the object by a cast");
static_assert(offsetof(rill_transport, magic) < 64, "the mark of death survives the release");

void
rill__panic_dead(const rill_transport *t, const char *function)
{
    rill__panic("%s: %p is no live transport: %s", function, (const void *)t,
        t->magic == RILL__DEAD
            ? "its connection_lost has returned; keep a rill_transport_id for longer"
            : "the pointer never was one, or its loop was freed");
}

/* ---- making ---- */

int
rill__protocol_check(rill_loop *loop, const rill_protocol *protocol)
{
    if (protocol == NULL || protocol->size < sizeof(size_t))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "the protocol is missing or its size is not set: make it with RILL_PROTOCOL");
    if (protocol->size != sizeof(rill_protocol))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "the protocol's size is %zu, this version of rill knows %zu", protocol->size,
            sizeof(rill_protocol));
    if ((protocol->get_buffer == NULL) != (protocol->buffer_updated == NULL))
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "a buffered protocol needs both get_buffer and buffer_updated");
    return 0;
}

static int
ops_check(rill_loop *loop, const rill_transport_ops *ops)
{
    if (ops == NULL || ops->size < offsetof(rill_transport_ops, peername) || ops->name == NULL ||
        ops->write == NULL || ops->close == NULL || ops->abort == NULL ||
        ops->pause_reading == NULL || ops->resume_reading == NULL)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "a transport's table needs size, name, write, close, abort, pause_reading and "
            "resume_reading");
    return 0;
}

static struct rill__state *
state_new(rill_loop *loop, size_t bytes)
{
    struct rill__state *state =
        rill__alloc_zeroed(loop, sizeof(*state) + bytes, RILL_TAG_TRANSPORT);

    if (state == NULL)
        return NULL;
    state->loop = loop;
    state->bytes = bytes;
    return state;
}

static void
state_free(struct rill__state *state)
{
    rill__free(state->loop, state, sizeof(*state) + state->bytes, RILL_TAG_TRANSPORT);
}

static void
state_reap(rill__ready *ready)
{
    state_free(RILL__CONTAINER(ready, struct rill__state, reap));
}

static size_t
aligned(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Small ones come from the pool, where a dangling pointer finds the mark of death; large ones are
 * on their own. */
static rill_transport *
memory_take(rill_loop *loop, size_t bytes)
{
    if (bytes <= RILL__POOL_MAX)
        return rill__pool_take(loop, bytes);
    return rill__alloc_zeroed(loop, bytes, RILL_TAG_TRANSPORT);
}

static void
memory_release(rill_loop *loop, rill_transport *t)
{
    if (t->bytes <= RILL__POOL_MAX)
        rill__pool_release(loop, t, t->bytes, offsetof(rill_transport, ops));
    else
        rill__free(loop, t, t->bytes, RILL_TAG_TRANSPORT);
}

/* The base, impl and, where it fits, the protocol's state in one piece. */
static int
allocate(rill_loop *loop, const rill_transport_ops *ops, const rill_protocol *protocol, void *arg,
    rill_transport **ret_transport)
{
    size_t own = RILL__BASE_BYTES + aligned(ops->impl_size);
    size_t bytes = own + aligned(protocol->state_size);
    bool inside = bytes <= RILL__POOL_MAX;
    struct rill__state *state = NULL;
    rill_transport *t;

    if (ops->impl_size > IMPL_MAX || protocol->state_size > PTRDIFF_MAX / 2)
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "impl_size %zu or state_size %zu is too large", ops->impl_size, protocol->state_size);
    t = memory_take(loop, inside ? bytes : own);
    if (t == NULL)
        return -ENOMEM;
    t->bytes = (uint32_t)(inside ? bytes : own);
    if (!inside && protocol->state_size != 0) {
        state = state_new(loop, protocol->state_size);
        if (state == NULL) {
            memory_release(loop, t);
            return -ENOMEM;
        }
    }
    t->loop = loop;
    t->ops = ops;
    t->state = state;
    t->self = state != NULL ? state->data : (unsigned char *)t + own;
    if (protocol->state_size == 0)
        t->self = arg;
    *ret_transport = t;
    return 0;
}

static int
slot_new(rill_loop *loop, rill_transport *t)
{
    transport_slot *slot = rill__slab_take(&loop->transports);

    if (slot == NULL) {
        int rc;

        if (loop->transports.object_size == 0)
            rill__slab_init(&loop->transports, RILL__ID_TRANSPORT, sizeof(*slot), 0);
        rc = rill__slab_grow(loop, &loop->transports);
        if (rc < 0)
            return rc;
        slot = rill__slab_take(&loop->transports);
    }
    slot->transport = t;
    t->id = slot->slot.id;
    return 0;
}

static void
transport_describe(const rill__object *object, char *buf, size_t size)
{
    (void)rill_transport_describe((const rill_transport *)(const void *)object, buf, size);
}

static void
transport_end(rill__object *object)
{
    rill__transport_abort(
        RILL__CONTAINER(object, rill_transport, object), RILL_ELOOPFREED, RILL_LAYER_LOOP, NULL);
}

static const rill__object_ops transport_object_ops = { .end = transport_end,
    .describe = transport_describe };

int
rill__transport_new(rill_loop *loop, const rill_transport_ops *ops, const rill__config *config,
    const rill_protocol *protocol, void *arg, const char *site, rill_transport **ret_transport)
{
    rill_transport *t = NULL;
    int rc;

    if (loop->freeing)
        return RILL_ECLOSED;
    rc = allocate(loop, ops, protocol, arg, &t);
    if (rc < 0)
        return rc;
    rc = slot_new(loop, t);
    if (rc < 0) {
        if (t->state != NULL)
            state_free(t->state);
        memory_release(loop, t);
        return rc;
    }
    t->magic = RILL__LIVE;
    t->phase = RILL__PHASE_NEW;
    t->protocol = protocol;
    t->tail.arg = arg;
    t->write_high = config->options.write_high;
    t->write_low = config->options.write_low;
    t->write_cap = config->options.write_cap;
    t->close_timeout = config->options.close_timeout;
    rill__list_init(&t->server_link);
    rill__object_add(loop, RILL__OBJECT_TRANSPORT, &transport_object_ops, &t->object, site);
    loop->transports_made++;
    *ret_transport = t;
    return 0;
}

int
rill_transport_new(rill_loop *loop, const rill_transport_ops *ops,
    const rill_transport_options *options, const rill_protocol *protocol, void *arg,
    const char *site, rill_transport **ret_transport)
{
    rill__config config;
    int rc;

    RILL__REQUIRE(loop != NULL && ret_transport != NULL);
    rill__check_thread(loop, "rill_transport_new");
    if ((rc = ops_check(loop, ops)) < 0 || (rc = rill__protocol_check(loop, protocol)) < 0 ||
        (rc = rill__config_init(&config, loop, options)) < 0)
        return rc;
    rc = rill__transport_new(loop, ops, &config, protocol, arg, site, ret_transport);
    if (rc == -ENOMEM || rc == RILL_ECLOSED)
        (void)rill__fail_call(loop, rc, "transport");
    return rc;
}

void *
rill_transport_impl(const rill_transport *t)
{
    return rill__impl(t);
}

rill_transport *
rill_transport_of_impl(const void *impl)
{
    return rill__base(impl);
}

struct rill__extra *
rill__transport_extra(rill_transport *t)
{
    if (t->extra == NULL) {
        t->extra = rill__alloc_zeroed(t->loop, sizeof(*t->extra), RILL_TAG_TRANSPORT);
        if (t->extra != NULL)
            rill__list_init(&t->extra->drains);
    }
    return t->extra;
}

/* The end of the memory: at the turn's end after connection_lost, or of one never made. */
static void
release(rill_transport *t)
{
    rill_loop *loop = t->loop;

    if (RILL__HAS_OP(t, finalize))
        t->ops->finalize(t, rill__impl(t));
    rill__slab_release(&loop->transports, rill__slab_find(&loop->transports, t->id));
    rill__object_remove(loop, RILL__OBJECT_TRANSPORT, &t->object);
    if (t->state != NULL)
        state_free(t->state);
    rill__free(loop, t->extra, sizeof(*t->extra), RILL_TAG_TRANSPORT);
    t->magic = RILL__DEAD;
    memory_release(loop, t);
}

static void
reap(rill__ready *ready)
{
    release(RILL__CONTAINER(ready, rill_transport, tail.reap));
}

void
rill_transport_discard(rill_transport *t)
{
    rill__check_live(t, "rill_transport_discard");
    rill__check(t->phase == RILL__PHASE_NEW);
    rill__server_detach(t);
    release(t);
}

void
rill__transport_reap(rill_transport *t)
{
    t->tail.reap.run = reap;
    rill__loop_reap(t->loop, &t->tail.reap);
}

/* ---- writing ---- */

static int
refuse_broken(rill_transport *t, const char *what)
{
    return rill__fail(t->loop, -EPIPE, RILL_LAYER_TRANSPORT,
        "%s: nobody reads any more, though there may be input still", what);
}

static int
refuse_write(rill_transport *t)
{
    int code = RILL_ECLOSED;

    if ((t->refuse & RILL__REFUSE_ONEWAY) != 0)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "write: this is the reading end of a pipe");
    if ((t->refuse & RILL__REFUSE_DATAGRAM) != 0)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "write: this transport takes datagrams: use rill_transport_sendto");
    if ((t->refuse & (RILL__REFUSE_CLOSED | RILL__REFUSE_BROKEN)) == RILL__REFUSE_BROKEN)
        return refuse_broken(t, "write");
    if ((t->refuse & RILL__REFUSE_CLOSED) == 0)
        code = (t->refuse & RILL__REFUSE_EOF) != 0 ? RILL_EEOFSENT : RILL_EBUSY;
    /* Only after close or abort: the loss of a peer that has just gone is not told yet. */
    if (code == RILL_ECLOSED && t->closing && t->refused_writes < REFUSED_WRITES_WARN &&
        ++t->refused_writes == REFUSED_WRITES_WARN)
        rill__report(t->loop, RILL_ERROR_MISUSE, code, t->object.site, t, NULL,
            "a closed transport is written to again and again: look at what write returns");
    return rill__fail(t->loop, code, RILL_LAYER_TRANSPORT, "write: %s", rill_strerror(code));
}

int
rill_transport_write(rill_transport *t, const void *data, size_t len)
{
    rill_iovec part = { data, len };

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_write");
    if (RILL__UNLIKELY(t->refuse != 0))
        return refuse_write(t);
    if (RILL__UNLIKELY(data == NULL && len != 0))
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "write: no data");
    if (len != 0)
        t->ops->write(t, rill__impl(t), &part, 1);
    return !t->writing_paused;
}

#define PARTS_MAX 1024

int
rill_transport_writev(rill_transport *t, const rill_iovec *parts, size_t count)
{
    size_t bytes = 0;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_writev");
    if (RILL__UNLIKELY(t->refuse != 0))
        return refuse_write(t);
    if (count > PARTS_MAX || (parts == NULL && count != 0))
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "writev: %zu parts; at most %d", count, PARTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].data == NULL && parts[i].len != 0)
            return rill__fail(
                t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "writev: part %zu has no data", i);
        bytes += parts[i].len;
    }
    if (bytes != 0)
        t->ops->write(t, rill__impl(t), parts, count);
    return !t->writing_paused;
}

#define REF_MIN ((size_t)8 * 1024) /* Below, a copy costs less than the bookkeeping. */

/* A release that must not run inside the user's call. */
typedef struct deferred_release {
    rill__ready ready;
    rill_loop *loop;
    rill_release_fn release;
    void *arg;
} deferred_release;

static void
deferred_release_run(rill__ready *ready)
{
    deferred_release *d = RILL__CONTAINER(ready, deferred_release, ready);
    rill_release_fn release_fn = d->release;
    void *arg = d->arg;

    rill__free(d->loop, d, sizeof(*d), RILL_TAG_WRITE);
    release_fn(arg);
}

int
rill__release_soon(rill_loop *loop, rill_release_fn release_fn, void *arg)
{
    deferred_release *d = rill__alloc(loop, sizeof(*d), RILL_TAG_WRITE);

    if (d == NULL)
        return -ENOMEM;
    *d = (deferred_release){ { NULL, deferred_release_run }, loop, release_fn, arg };
    rill__loop_push(loop, &d->ready);
    return 0;
}

int
rill_transport_write_ref(
    rill_transport *t, const void *data, size_t len, rill_release_fn release_fn, void *arg)
{
    rill_iovec part = { data, len };
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_write_ref");
    if (RILL__UNLIKELY(t->refuse != 0))
        return refuse_write(t);
    if (release_fn == NULL || (data == NULL && len != 0))
        return rill__fail(
            t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT, "write_ref: no data or no release");
    if (len >= REF_MIN && RILL__HAS_OP(t, write_ref)) {
        rc = t->ops->write_ref(t, rill__impl(t), data, len, release_fn, arg);
        return rc < 0 ? rill__fail_call(t->loop, rc, "write_ref") : !t->writing_paused;
    }
    rc = rill__release_soon(t->loop, release_fn, arg);
    if (rc < 0)
        return rill__fail_call(t->loop, rc, "write_ref");
    if (len != 0)
        t->ops->write(t, rill__impl(t), &part, 1);
    return !t->writing_paused;
}

int
rill_transport_write_descriptors(
    rill_transport *t, const void *data, size_t len, const int *fds, size_t count)
{
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_write_descriptors");
    if (!RILL__HAS_OP(t, write_descriptors))
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "write_descriptors: a %s transport cannot pass any, only a Unix stream can",
            t->ops->name);
    if (RILL__UNLIKELY(t->refuse != 0))
        return refuse_write(t);
    if (data == NULL || len == 0 || fds == NULL || count == 0 || count > RILL__RIGHTS_MAX)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "write_descriptors: %zu descriptors with %zu bytes: at least 1 of each, and at most %d "
            "descriptors",
            count, len, RILL__RIGHTS_MAX);
    rc = t->ops->write_descriptors(t, rill__impl(t), data, len, fds, count);
    return rc < 0 ? rill__fail_call(t->loop, rc, "write_descriptors") : !t->writing_paused;
}

int
rill_transport_take_descriptor(rill_transport *t)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_take_descriptor");
    return RILL__HAS_OP(t, take_descriptor) ? t->ops->take_descriptor(t, rill__impl(t))
                                            : RILL_ENOTSUP;
}

bool
rill_transport_can_write_eof(const rill_transport *t)
{
    return RILL__HAS_OP(t, write_eof);
}

int
rill_transport_write_eof(rill_transport *t)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_write_eof");
    if (!RILL__HAS_OP(t, write_eof))
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "write_eof: a %s transport cannot be half closed", t->ops->name);
    if ((t->refuse & RILL__REFUSE_CLOSED) != 0)
        return rill__fail(
            t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "write_eof: closed, or closing");
    if ((t->refuse & RILL__REFUSE_EOF) != 0)
        return 0;
    if ((t->refuse & RILL__REFUSE_BROKEN) != 0)
        return refuse_broken(t, "write_eof");
    if (t->refuse != 0)
        return rill__fail(
            t->loop, RILL_EBUSY, RILL_LAYER_TRANSPORT, "write_eof: a sendfile is in progress");
    t->refuse |= RILL__REFUSE_EOF;
    t->ops->write_eof(t, rill__impl(t));
    return 0;
}

/* ---- the end ---- */

void
rill__transport_close(rill_transport *t, int code)
{
    if (t->closing)
        return;
    t->closing = true;
    t->refuse |= RILL__REFUSE_CLOSED;
    t->close_code = code;
    if (!rill__sendfile_delays_close(t))
        t->ops->close(t, rill__impl(t));
}

void
rill__transport_abort(rill_transport *t, int code, rill_layer layer, const char *sentence)
{
    if (t->aborting || t->phase == RILL__PHASE_LOST)
        return;
    t->abort_code = code;
    t->abort_layer = (uint8_t)layer;
    t->closing = true;
    t->aborting = true;
    t->refuse |= RILL__REFUSE_CLOSED;
    t->ops->abort(t, rill__impl(t), code, sentence);
}

void
rill_transport_close(rill_transport *t)
{
    rill__check_live(t, "rill_transport_close");
    rill__transport_close(t, 0);
}

void
rill_transport_abort(rill_transport *t)
{
    rill__check_live(t, "rill_transport_abort");
    rill__transport_abort(t, RILL_EABORTED, RILL_LAYER_TRANSPORT, NULL);
}

int
rill_transport_detach(rill_transport *t, void *buf, size_t size, size_t *ret_len)
{
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_detach");
    if (ret_len == NULL || (buf == NULL && size != 0))
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "detach: ret_len, and a buffer when there is a size, are needed");
    *ret_len = 0;
    if (t->phase != RILL__PHASE_OPEN || t->closing)
        return rill__fail(t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "detach: closed");
    if (!RILL__HAS_OP(t, detach))
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "detach: a transport of kind %s has no socket of its own", t->ops->name);
    rc = t->ops->detach(t, rill__impl(t), buf, size, ret_len);
    return rc >= 0 ? rc
                   : rill__fail(t->loop, rc, RILL_LAYER_TRANSPORT, "detach: %s", rill_strerror(rc));
}

void
rill_transport_fail(rill_transport *t, int code, const char *sentence)
{
    struct rill__extra *extra;

    rill__check_live(t, "rill_transport_fail");
    if (t->aborting || t->phase == RILL__PHASE_LOST)
        return;
    if (code >= 0)
        code = RILL_EABORTED;
    extra = sentence != NULL ? rill__transport_extra(t) : NULL;
    if (extra != NULL) /* Without memory the code's own sentence must do. */
        snprintf(extra->sentence, sizeof(extra->sentence), "%s", sentence);
    rill__transport_abort(t, code, RILL_LAYER_PROTOCOL, extra != NULL ? extra->sentence : NULL);
}

bool
rill_transport_is_closing(const rill_transport *t)
{
    rill__check_live(t, "rill_transport_is_closing");
    return t->closing;
}

/* ---- reading ---- */

void
rill_transport_pause_reading(rill_transport *t)
{
    rill__check_live(t, "rill_transport_pause_reading");
    if (t->reading_paused || t->closing || rill__bug("pause_ignored"))
        return;
    t->reading_paused = true;
    t->ops->pause_reading(t, rill__impl(t));
}

void
rill_transport_resume_reading(rill_transport *t)
{
    rill__check_live(t, "rill_transport_resume_reading");
    if (!t->reading_paused || t->closing)
        return;
    t->reading_paused = false;
    t->ops->resume_reading(t, rill__impl(t));
}

bool
rill_transport_is_reading(const rill_transport *t)
{
    rill__check_live(t, "rill_transport_is_reading");
    return !t->reading_paused && !t->closing && !t->eof_received;
}

/* ---- limits ---- */

int
rill_transport_set_write_limits(rill_transport *t, size_t high, size_t low)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_write_limits");
    if (low == 0)
        low = high / 4;
    if (low > high || high > t->write_cap)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "write limits: low %zu <= high %zu <= cap %zu must hold", low, high, t->write_cap);
    t->write_high = high;
    t->write_low = low;
    rill_transport_account(t, 0, 0);
    return 0;
}

void
rill_transport_get_write_limits(const rill_transport *t, size_t *ret_high, size_t *ret_low)
{
    rill__check_live(t, "rill_transport_get_write_limits");
    *ret_high = t->write_high;
    *ret_low = t->write_low;
}

int
rill_transport_set_write_cap(rill_transport *t, size_t cap)
{
    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_write_cap");
    if (cap < t->write_high)
        return rill__fail(t->loop, RILL_EINVAL, RILL_LAYER_TRANSPORT,
            "write cap %zu is below the high mark %zu", cap, t->write_high);
    t->write_cap = cap;
    return 0;
}

size_t
rill_transport_write_buffer_size(const rill_transport *t)
{
    size_t staged = t->loop->epilogue_object == rill__impl(t) ? t->loop->stage_len : 0;

    rill__check_live(t, "rill_transport_write_buffer_size");
    return t->queued_bytes + staged;
}

/* ---- protocol ---- */

int
rill__transport_exchange(rill_transport *t, const rill_protocol *protocol, void *arg)
{
    struct rill__state *state = NULL;

    if (t->phase == RILL__PHASE_LOST)
        return rill__fail(t->loop, RILL_ECLOSED, RILL_LAYER_TRANSPORT, "set_protocol: lost");
    if (protocol->state_size != 0) {
        state = state_new(t->loop, protocol->state_size);
        if (state == NULL)
            return rill__fail_call(t->loop, -ENOMEM, "set_protocol");
    }
    if (t->state != NULL) {
        t->state->reap.run = state_reap;
        rill__loop_reap(t->loop, &t->state->reap);
    }
    t->state = state;
    t->self = state != NULL ? state->data : arg;
    t->protocol = protocol;
    return 0;
}

int
rill_transport_set_protocol(rill_transport *t, const rill_protocol *protocol, void *arg)
{
    int rc;

    RILL__REQUIRE(t != NULL);
    rill__check_live(t, "rill_transport_set_protocol");
    rc = rill__protocol_check(t->loop, protocol);
    if (rc < 0)
        return rc;
    if ((t->refuse & RILL__REFUSE_DATAGRAM) != 0)
        return rill__fail(t->loop, RILL_ENOTSUP, RILL_LAYER_TRANSPORT,
            "set_protocol: this transport takes datagrams: use "
            "rill_transport_set_datagram_protocol");
    return rill__transport_exchange(t, protocol, arg);
}

const rill_protocol *
rill_transport_get_protocol(const rill_transport *t)
{
    rill__check_live(t, "rill_transport_get_protocol");
    return t->protocol;
}

void *
rill_transport_state(const rill_transport *t)
{
    rill__check_live(t, "rill_transport_state");
    return t->self;
}

rill_loop *
rill_transport_loop(const rill_transport *t)
{
    return t->loop;
}

/* ---- ids ---- */

rill_id
rill_transport_id(const rill_transport *t)
{
    rill__check_live(t, "rill_transport_id");
    return t->id;
}

rill_transport *
rill_transport_from_id(rill_loop *loop, rill_id id)
{
    transport_slot *slot;

    rill__check_thread(loop, "rill_transport_from_id");
    if (loop->transports.object_size == 0)
        return NULL;
    slot = rill__slab_find(&loop->transports, id);
    return slot != NULL ? slot->transport : NULL;
}
