/*
 * A loop under watch, for one test: on the driver that RILL_DRIVER names, with the counting
 * allocator and a log that is kept. Closing it fails the test if anything was left: a transport, a
 * timer, a block of memory, a descriptor, a line in the log.
 *
 * All waiting is in loop time, which is virtual on the simulator: nothing here sleeps.
 */
#ifndef SUPPORT_HARNESS_H
#define SUPPORT_HARNESS_H

#include "allocator.h"

#include <rill/rill.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* In loop time: no wait of an honest test takes so long. */
#define HARNESS_PATIENCE harness_patience()
rill_ns harness_patience(void);

/* For a test program that cannot run here. */
#define SKIP_EXIT_CODE 77

/* One case of a cmocka group whose file has its own setup and teardown. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Cases of one driver only, or of those of the real kernel ("kernel"): run_cases leaves them out on
 * the others. */
#define CASE_ON(driver, name)                                     \
    {                                                             \
#name, name, setup, teardown, (void *)(uintptr_t)(driver) \
    }
#define PLAIN_CASE_ON(driver, name)                          \
    {                                                        \
#name, name, NULL, NULL, (void *)(uintptr_t)(driver) \
    }

/* Run those of the table that are for this driver, or only the one that RILL_TEST_CASE names; what
 * main returns. */
#define run_cases(tests) harness_run_cases(__FILE__, tests, sizeof(tests) / sizeof((tests)[0]))
int harness_run_cases(const char *name, const struct CMUnitTest *tests, size_t count);

typedef struct harness {
    rill_loop *loop;
    allocator allocator;
    size_t descriptors; /* Open before the loop was made. */
    char log[4096];     /* All lines of the library so far. */
    size_t log_len;
    bool log_allowed; /* Set it when warnings are expected. */

    /* The last report of the error handler, after harness_catch_reports. */
    size_t reports;
    rill_error_kind report_kind;
    int report_code;
    char report_message[300];
    char report_site[200];
    rill_server *report_server;
    rill_transport *report_transport;

    bool (*until)(void *arg);
    void *until_arg;
} harness;

void harness_open(harness *h);
/* With options; allocator, log and driver are filled in. */
void harness_open_with(harness *h, rill_loop_options options);
/* Free the loop and check; fails unless exactly `leftovers` objects were alive. */
void harness_close(harness *h);
void harness_close_with(harness *h, size_t leftovers);

bool on_driver(const char *name);

void harness_catch_reports(harness *h);

/* Run until `until(arg)`; it is looked at after every turn, and by harness_poke. Fails the test
 * with the file and line after HARNESS_PATIENCE. */
#define harness_until(h, until, arg) harness_until_(h, until, arg, #until, __FILE__, __LINE__)
void harness_until_(
    harness *h, bool (*until)(void *arg), void *arg, const char *what, const char *file, int line);
/* The same, but false instead of a failure. */
bool harness_await(harness *h, bool (*until)(void *arg), void *arg);
/* As harness_until, but false after `length` instead of a failure. */
bool harness_within(harness *h, rill_ns length, bool (*until)(void *arg), void *arg);
/* For callbacks: stop the run in progress if its condition holds now. */
void harness_poke(harness *h);

void harness_run_for(harness *h, rill_ns length);
/* Some turns, in which everything that is under way on this machine arrives. */
void harness_settle(harness *h);
/* Exactly one turn that does not wait. Returns what rill_loop_step does. */
int harness_turn(harness *h);

/* Conditions for harness_until. */
bool flag_is_set(void *flag);    /* bool * */
bool pointer_is_null(void *ptr); /* void ** */

size_t descriptor_count(void);
/* Of all eventfds the counter is as high as it gets: there is no room for one more wake. */
void descriptors_fill_eventfds(void);

/* The last error's sentence on this loop must have these words in it. */
void expect_last_error(harness *h, int code, const char *words);

#define assert_contains(text, words) assert_contains_(text, words, __FILE__, __LINE__)
void assert_contains_(const char *text, const char *words, const char *file, int line);

/* Codes are easier to read by name. */
#define assert_code(rc, code) assert_code_(rc, code, #rc, __FILE__, __LINE__)
void assert_code_(int rc, int code, const char *what, const char *file, int line);

/* A text as the argument of a callback. */
#define WORD(text)                  \
    ({                              \
        static char word_[] = text; \
        (void *)word_;              \
    })

/* A generator for property tests: seeded from RILL_TEST_SEED or the clock; prints the seed. */
typedef struct dice {
    uint64_t state;
} dice;

dice dice_new(void);
uint32_t dice_below(dice *d, uint32_t below);

#endif
