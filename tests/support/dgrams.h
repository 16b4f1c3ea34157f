/*
 * A datagram endpoint that keeps what it was told: a transcript of its callbacks, "made 5 0 pause
 * resume error(ECONNREFUSED) lost(0)", where a number is a datagram of so many bytes, and the bytes
 * themselves. The order of callbacks is checked on the way.
 */
#ifndef SUPPORT_DGRAMS_H
#define SUPPORT_DGRAMS_H

#include "harness.h"

#define DGRAM_KEPT 64 /* The last ones; of each the first bytes. */

typedef struct dend dend;

struct dend {
    harness *h;
    rill_transport *t; /* Between made and the return of lost. */
    rill_addr addr;    /* Its own. */
    char tape[1024];
    bool made, lost, paused;
    bool in_call;
    int lost_code;
    size_t received, errors;
    size_t bytes;
    int last_error;
    struct {
        uint8_t data[64];
        size_t len;
        rill_addr from, to;
        bool has_to, truncated;
        uint32_t interface;
        int tos;
    } kept[DGRAM_KEPT];
    bool echo;
    size_t echo_errors; /* What sendto answered with an error. */
    void (*on_made)(dend *d);
    void (*on_datagram)(dend *d, rill_slice in, const rill_arrival *arrival);
    void (*on_error)(dend *d, int code);
    void (*on_pause)(dend *d);
    void (*on_resume)(dend *d);
    void *user;
};

/* arg: the dend. */
extern const rill_datagram_protocol dend_protocol;

/* Zeroed, made with these options, and open; its own address is asked for. */
void dend_open(dend *d, harness *h, const rill_datagram_options *options);
/* The same at 127.0.0.1, and one connected to it. */
void dend_open4(dend *d, harness *h);
void dend_connect(dend *d, harness *h, const rill_addr *to);
/* Skips the case where this machine has no ::1. Before anything is open. */
void dgrams_need_ipv6(harness *h);
/* Close, and wait for the end. */
void dend_close(dend *d);
/* What came as the n-th, from 0. */
#define dend_at(d, n) (&(d)->kept[(n) % DGRAM_KEPT])
/* Run until so many datagrams, or errors, came in all. */
void dend_await(dend *d, size_t received);
void dend_await_errors(dend *d, size_t errors);
int dend_send(dend *d, const char *text, const rill_addr *to);
void dend_expect(dend *d, size_t n, const char *text);
rill_datagram_stats dend_stats(const dend *d);

/* Conditions for harness_until. */
bool dend_is_made(void *d);
bool dend_is_lost(void *d);

#endif
