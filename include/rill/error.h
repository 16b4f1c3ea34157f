/*
 * Errors: one space of int.
 *
 *   0 or positive     success
 *   -1 .. -4095       -errno, as the kernel said it
 *   -5001 .. -9999    rill's own, listed below; the constants are negative themselves
 *   -10000 and below  yours, for rill_transport_fail()
 *
 * Write down names, not numbers: numbers of our own may change between minor versions until 1.0.
 */
#ifndef RILL_ERROR_H
#define RILL_ERROR_H

#include <rill/base.h>

RILL_BEGIN

/* X(NAME, number, class, sentence) */
#define RILL_ERROR_LIST(X)                                                                     \
    X(RILL_ECANCELED, -5001, STATE, "canceled by the caller")                                  \
    X(RILL_ETIMEDOUT, -5002, TIMEOUT, "the deadline passed")                                   \
    X(RILL_EIDLE, -5003, TIMEOUT, "nothing was received or sent for the idle timeout")         \
    X(RILL_ESTALLED, -5004, TIMEOUT, "the peer took no byte for the write stall timeout")      \
    X(RILL_ECLOSETIMEOUT, -5005, TIMEOUT,                                                      \
        "queued bytes could not be sent before the close timeout")                             \
    X(RILL_EOF, -5010, CLOSED, "the peer closed the connection")                               \
    X(RILL_ECLOSED, -5011, CLOSED, "closed, or closing")                                       \
    X(RILL_EABORTED, -5012, CLOSED, "aborted by this side")                                    \
    X(RILL_ELOOPFREED, -5013, CLOSED, "the loop was freed")                                    \
    X(RILL_EDETACHED, -5014, CLOSED, "the connection was detached from its loop")              \
    X(RILL_EOVERFLOW, -5020, LIMIT, "the write queue passed its hard cap")                     \
    X(RILL_ELIMIT, -5021, LIMIT, "a limit of the library or of the options is reached")        \
    X(RILL_EINVAL, -5030, USAGE, "an argument is not valid")                                   \
    X(RILL_EBUSY, -5031, USAGE, "already running, or another operation is in progress")        \
    X(RILL_EFORK, -5032, USAGE,                                                                \
        "the loop belongs to the parent process: make a new one after fork")                   \
    X(RILL_ENOTSUP, -5033, USAGE, "not supported by this transport, driver or build")          \
    X(RILL_EADDRESS, -5034, USAGE, "not a numeric address, a wildcard or localhost")           \
    X(RILL_ENODRIVER, -5035, USAGE, "no such driver in this build, or the kernel refuses it")  \
    X(RILL_ESTATE, -5040, STATE, "not possible in the present state")                          \
    X(RILL_EEOFSENT, -5041, STATE, "write after write_eof")                                    \
    X(RILL_EBUFFER, -5042, STATE, "get_buffer returned no buffer or an empty one")             \
    X(RILL_EDEADLK, -5043, STATE, "nothing is left that could ever wake the loop")             \
    X(RILL_ENOSENDFILE, -5044, USAGE,                                                          \
        "sendfile is not possible for this pair and the fallback is off")                      \
    X(RILL_EFILESHORT, -5045, STATE, "the file ended before the requested count was sent")     \
    X(RILL_ENOTREADY, -5060, STATE, "the new process let go before it was ready")              \
    X(RILL_EGONE, -5061, STATE, "the old process has ended")                                   \
    X(RILL_EPROTOCOL, -5062, STATE, "the other process does not keep to the protocol")         \
    X(RILL_EVERSION, -5063, STATE, "the other process speaks another version of the protocol") \
    X(RILL_EREAPED, -5064, STATE,                                                              \
        "the child has ended, and other code in this process was told how")                    \
    X(RILL_EREVOKED, -5070, STATE, "what was waited for was canceled")                         \
    X(RILL_ENOTASK, -5071, USAGE,                                                              \
        "only a task can wait: call it in one, or take the form with a callback")              \
    X(RILL_EWRONGLOOP, -5072, USAGE, "it belongs to another loop than the one that runs")      \
    X(RILL_ESHUTDOWN, -5073, CLOSED, "it was shut down")                                       \
    X(RILL_EEMPTY, -5074, STATE, "the queue is empty")                                         \
    X(RILL_EFULL, -5075, STATE, "the queue is full")                                           \
    X(RILL_EBROKEN, -5076, STATE, "the barrier is broken")                                     \
    X(RILL_EINCOMPLETE, -5077, CLOSED, "the stream ended before all that was asked for came")  \
    X(RILL_EOVERRUN, -5078, LIMIT, "no separator within the limit of the stream")              \
    X(RILL_EINTERRUPTED, -5079, STATE, "interrupted by SIGINT")

#define RILL_ERROR_ENUM_(name, number, class_, sentence) name = number,
enum rill_error { RILL_ERROR_LIST(RILL_ERROR_ENUM_) RILL_OK = 0, RILL_EUSER = -10000 };
#undef RILL_ERROR_ENUM_

/* What kind of trouble a code tells; kernel errors are sorted in too. */
typedef enum rill_error_class {
    RILL_CLASS_NONE,    /* Not an error. */
    RILL_CLASS_CLOSED,  /* The connection, transport or loop has ended: reset, EOF, abort, close. */
    RILL_CLASS_TIMEOUT, /* A deadline passed. */
    RILL_CLASS_LIMIT,   /* Out of memory, descriptors, or above a configured limit. */
    RILL_CLASS_USAGE,   /* The caller's arguments or the call itself. */
    RILL_CLASS_STATE,   /* The right call at the wrong time; canceled. */
    RILL_CLASS_TLS,
    RILL_CLASS_DNS,
    RILL_CLASS_SYSTEM, /* Any other error of the kernel. */
    RILL_CLASS_USER    /* -10000 and below. */
} rill_error_class;

/* The sentence for a code: static text, never NULL. For -errno it is the C library's description in
 * English; for an unknown code it says so. Any thread. */
RILL_API const char *rill_strerror(int code);

/* The name of a code: "RILL_ETIMEDOUT", "ECONNRESET", "RILL_OK"; "UNKNOWN" for the rest. Static
 * text. Any thread. */
RILL_API const char *rill_errname(int code);

/* Any thread. */
RILL_API rill_error_class rill_errclass(int code);

/* Which floor of the library an error comes from. */
typedef enum rill_layer {
    RILL_LAYER_NONE,
    RILL_LAYER_SYSTEM,    /* The kernel (native is an errno) or the simulator in its place. */
    RILL_LAYER_TRANSPORT, /* A rule of the transport: timeouts, caps, states. */
    RILL_LAYER_PROTOCOL,  /* rill_transport_fail(): your own decision. */
    RILL_LAYER_LOOP,      /* The loop ended it. */
    RILL_LAYER_TASK       /* A rule of tasks. */
} rill_layer;

/* Why something ended. Borrowed: valid for the callback it is passed to. */
typedef struct rill_reason {
    int code;             /* 0: ended as asked. */
    rill_layer layer;     /* Who says so. */
    int native;           /* errno for RILL_LAYER_SYSTEM, else 0. */
    const char *sentence; /* For a person, never NULL: "connect to 10.0.0.7:443: refused". */
} rill_reason;

RILL_END

#endif
