/*
 * Two ends of a connection and a listener as raw ios of a driver: what the conformance suite of
 * drivers is written in. The records count themselves and take what comes; a test waits for a
 * predicate that is looked at after every record.
 */
#ifndef TESTS_DRIVER_ENDS_H
#define TESTS_DRIVER_ENDS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/internal.h"

#define LIMIT (10 * RILL_S)     /* Of one wait, when something is expected. */
#define QUIET (30 * RILL_MS)    /* Long enough for what must not happen. */
#define BIG   ((size_t)1 << 20) /* A send that does not fit into the kernel at once. */

/* One io, and what its records saw. Received bytes are kept and compared with ends_byte. */
typedef struct end {
    rill__io io;
    struct fixture *fixture;
    bool attached;
    bool keep; /* Do not take in recv records. */
    bool pause_at_once;
    bool close_at_once;
    bool into; /* Take by recv_into. */
    size_t into_size;
    int recvs, sends, closes;
    uint8_t *got;
    size_t got_len;
    int64_t last; /* Of the last take that gave no bytes. */
    int errors;   /* Takes that gave an error but -EAGAIN. */
    bool eof;
    int finals;
    int64_t final;
    uint64_t pattern; /* Of the bytes that came in. */
    bool matches;
} end;

/* `a` is the client, `b` the accepted side; `c` is for whatever a test needs. */
typedef struct fixture {
    rill_loop *loop;
    rill__driver *driver;
    const rill__driver_ops *ops;
    const rill__sys_ops *sys;
    bool (*predicate)(struct fixture *);
    end listener, a, b, c;
    int accept_limit; /* How many the listener takes by itself. */
    int accepted;
    int accept_errors;
    int accept_last;
    int fds[64];
    rill_addr peers[64];
    rill_addr address;
    char path[64];
} fixture;

/* Run until `predicate` is true; or for QUIET, in which the loop must not be stopped. */
void ends_wait(fixture *f, bool (*predicate)(fixture *));
void ends_stay_quiet(fixture *f);

/* The stream that tests send: byte number `at` of it. */
uint8_t ends_byte(uint64_t at);
void ends_fill(uint8_t *buf, size_t len, uint64_t at);

/* Records that count and take; set by ends_attach. */
void ends_on_recv(rill__op *op);
void ends_on_send(rill__op *op);
void ends_on_close(rill__op *op);

/* Making ends. Listeners accept by themselves into f->fds, up to accept_limit. */
void ends_attach(fixture *f, end *e, int fd, rill__io_kind kind);
int ends_open(fixture *f, rill_family family);
rill_addr ends_loopback(rill_family family, int port);
rill_addr ends_unix_address(fixture *f);
int ends_open_listener(fixture *f, const rill_addr *addr, int backlog);
void ends_listen_on(fixture *f, const rill_addr *addr, int backlog);
int ends_try_bind(fixture *f, const rill_addr *addr, bool reuse);

/* A listener at `addr`, `a` connected to it, `b` accepted, both subscribed. */
void ends_connect(fixture *f, const rill_addr *addr);
void ends_connect_tcp(fixture *f);
void ends_connect_unix(fixture *f);

/* close_io, and no record of it inside the call. */
void ends_close(fixture *f, end *e, bool reset);

/* Send by send_now, or by an operation where the driver wants one. From `a` all of it, always; from
 * either end a word, and what came of it; from `a` until an operation is stuck. */
void ends_send_all(fixture *f, const uint8_t *data, size_t len);
void ends_send(fixture *f, const char *text);
int64_t ends_send_result(fixture *f, end *e, const char *text);
void ends_block_sender(fixture *f, const uint8_t *data, size_t len);

/* Predicates for ends_wait. */
bool ends_one_accepted(fixture *f);
bool ends_a_final(fixture *f);
bool ends_a_connected_and_accepted(fixture *f);
bool ends_all_detached(fixture *f);
bool ends_a_closed(fixture *f);
bool ends_b_closed(fixture *f);
bool ends_listener_closed(fixture *f);
bool ends_a_some(fixture *f);
bool ends_a_error(fixture *f);
bool ends_b_some(fixture *f);
bool ends_b_five(fixture *f); /* Bytes. */
bool ends_b_eof(fixture *f);
bool ends_b_error(fixture *f);
bool ends_b_ended(fixture *f); /* By EOF or an error. */

int ends_setup(void **state);
int ends_teardown(void **state);

#define ENDS_TEST(name) cmocka_unit_test_setup_teardown(name, ends_setup, ends_teardown)

/* Run the tests on $RILL_DRIVER; on the simulator in both personalities. Returns the failures. */
int ends_run(const struct CMUnitTest *tests, size_t count);

#endif
