/*
 * Words that every other header uses: the version, time, ids, creation sites and attributes.
 *
 * Wrong arguments. A function whose int is a code answers a value it cannot use with RILL_EINVAL,
 * or with the code that its description names. So it does for NULL in place of the object it is
 * about, of a `ret_` pointer or of a callback, where its description does not allow that. Then
 * nothing was made, begun or changed, no `ret_` was written and no callback will run. Functions
 * that return something else, or nothing, need an object that is alive.
 *
 * All of rill's headers are plain C11 and C++17, include nothing but the C library's own headers,
 * and each may be included alone. <rill/rill.h> includes them all.
 */
#ifndef RILL_BASE_H
#define RILL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RILL_VERSION_MAJOR 0
#define RILL_VERSION_MINOR 1
#define RILL_VERSION_PATCH 0

#ifdef __cplusplus
#define RILL_BEGIN extern "C" {
#define RILL_END   }
#else
#define RILL_BEGIN
#define RILL_END
#endif

#if defined(__GNUC__)
#define RILL_API          __attribute__((visibility("default")))
#define RILL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define RILL_API
#define RILL_PRINTF(f, a)
#endif

RILL_BEGIN

/* A point in time or a length of time in nanoseconds. Points count from an unspecified start and
 * never go back (CLOCK_MONOTONIC, or the simulator's clock): only differences mean something. */
typedef int64_t rill_ns;

#define RILL_US INT64_C(1000)
#define RILL_MS INT64_C(1000000)
#define RILL_S  INT64_C(1000000000)

/* As a timeout: never. (In every options struct 0 means the documented default.) As a deadline or
 * as what rill_loop_next_timeout returns: there is none. */
#define RILL_NEVER INT64_C(-1)

/*
 * The name of something pending: a scheduled callback, a timer, a connect attempt, a drain, a
 * transport. It is a value with a generation inside: keep it as long as you like, copy it, compare
 * it. One whose thing has ended names nothing for good, on this loop and on every other. 0 never
 * names anything.
 */
typedef uint64_t rill_id;

typedef struct rill_loop rill_loop;
typedef struct rill_transport rill_transport;
typedef struct rill_server rill_server;
typedef struct rill_sim rill_sim;

/* Where an object was made: "file:line function". The calls that make something are macros which
 * pass it, so that reports of slow callbacks and of leftovers can name it. */
#define RILL_STRINGIFY_(x) #x
#define RILL_STRINGIFY(x)  RILL_STRINGIFY_(x)
#define RILL_SITE(what)    (__FILE__ ":" RILL_STRINGIFY(__LINE__) " " what)

/* The version of the library that is running, which may be newer than these headers:
 * major * 10000 + minor * 100 + patch. Any thread. */
RILL_API int rill_version(void);

RILL_END

#endif
