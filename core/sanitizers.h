/*
 * Which sanitizers this is compiled with, gcc's and clang's words for it brought together: 0 or 1.
 */
#ifndef RILL__SANITIZERS_H
#define RILL__SANITIZERS_H

#ifdef __has_feature
#define RILL__HAS_FEATURE(feature) __has_feature(feature)
#else
#define RILL__HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || RILL__HAS_FEATURE(address_sanitizer)
#define RILL__ASAN 1
#else
#define RILL__ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || RILL__HAS_FEATURE(thread_sanitizer)
#define RILL__TSAN 1
#else
#define RILL__TSAN 0
#endif

#endif
