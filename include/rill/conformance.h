/*
 * The conformance battery: does a pair of transports keep every promise of <rill/protocol.h> and
 * <rill/transport.h>? For those who write a transport or a filter with <rill/transport_ops.h>; the
 * library's own transports pass it on every driver.
 *
 *     static int
 *     make(rill_loop *loop, const rill_transport_options *options, const rill_protocol *protocol_a,
 *         void *arg_a, const rill_protocol *protocol_b, void *arg_b, void *user)
 *     {
 *         (void)user;
 *         return rill_create_pair(loop, options, protocol_a, arg_a, protocol_b, arg_b, NULL, NULL);
 *     }
 *
 *     int failed = rill_conformance(loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = make));
 *
 * Not part of <rill/rill.h>: include it where it is needed.
 */
#ifndef RILL_CONFORMANCE_H
#define RILL_CONFORMANCE_H

#include <rill/base.h>
#include <rill/error.h>
#include <rill/loop.h>
#include <rill/protocol.h>
#include <rill/transport.h>

RILL_BEGIN

/*
 * Start a connection whose two ends get these protocols; connection_made of both follows in later
 * turns, in any order. Hand `options` on to both ends: they hold marks, cap, timeouts and small
 * socket buffers, or are NULL; what does not apply to your kind may be ignored. Listening sockets
 * that the pair needs may stay open until end_pair.
 * Returns 0, or the error that makes the case fail.
 */
typedef int (*rill_conformance_make)(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol_a, void *arg_a, const rill_protocol *protocol_b, void *arg_b,
    void *user);

/* The case is over, and every end that was made is lost: close what make_pair left open, also a
 * half made pair. */
typedef void (*rill_conformance_end)(rill_loop *loop, void *user);

typedef enum rill_conformance_verdict {
    RILL_CONFORMANCE_PASSED,
    RILL_CONFORMANCE_FAILED,
    RILL_CONFORMANCE_SKIPPED /* The transport has no such thing, or no file was given. */
} rill_conformance_verdict;

/* The outcome of one case, in the order in which they run. `sentence` tells what was expected and
 * what came; "" when it passed. Borrowed for the call. */
typedef void (*rill_conformance_report)(
    const char *name, rill_conformance_verdict verdict, const char *sentence, void *arg);

typedef struct rill_conformance_options {
    size_t size; /* Set by RILL_CONFORMANCE_OPTIONS or rill_conformance_options_default. */
    rill_conformance_make make_pair; /* Required. */
    rill_conformance_end end_pair;   /* Or NULL. */
    void *user;                      /* For both. */
    const char *only;                /* Run this case alone; NULL: all of them. */
    uint64_t seed;                   /* Of sizes and pauses drawn at random; default 1. */
    rill_ns timeout; /* For each wait in a case, on the loop's clock; default 10 s. */
    rill_ns settle;  /* What is under way arrives within it; default 3 ms. */
    rill_conformance_report report; /* NULL: failures go to rill_loop_report. */
    void *report_arg;

    /* A regular file and its bytes, at least 200,000, for the sendfile cases; NULL skips them. */
    const void *file_data;
    size_t file_len;
    int file_fd;
} rill_conformance_options;

#ifndef __cplusplus
#define RILL_CONFORMANCE_OPTIONS(...) \
    ((rill_conformance_options){ .size = sizeof(rill_conformance_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_conformance_options
rill_conformance_options_default(void)
{
#ifdef __cplusplus
    rill_conformance_options options = {};
#else
    rill_conformance_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Run the cases one after another on `loop`, which must not be running; each makes a pair of its
 * own and ends it. A case fails when a promise is broken, when a wait takes longer than `timeout`,
 * and when transports, timers or held bytes are left on the loop after it. A breach of the
 * callback grammar that the base catches itself aborts the process with its message.
 *
 * It needs about 100 KiB of stack and allocates nothing but what it asks of the transports.
 * Returns the number of cases that failed; RILL_EINVAL (no size, no make_pair, a negative time, a
 * file that is too short, no case of the name `only`); RILL_EBUSY when the loop is running.
 */
RILL_API int rill_conformance(rill_loop *loop, const rill_conformance_options *options);

/* The names of the cases; NULL from the end on. Static text. Any thread. */
RILL_API const char *rill_conformance_name(size_t index);

RILL_END

#endif
