/*
 * One end of a connection that keeps a transcript: "made data(5) pause resume eof lost(0)". Bytes
 * that arrive one after another are one word, so a transcript does not depend on how they were cut.
 * The grammar of callbacks is checked on the way; a breach fails the test at once.
 *
 * An acceptor gives every connection of a server an endpoint of its own.
 */
#ifndef SUPPORT_ENDPOINT_H
#define SUPPORT_ENDPOINT_H

#include "harness.h"

typedef struct endpoint endpoint;

struct endpoint {
    harness *h;
    rill_transport *t; /* Between made and the return of lost. */
    rill_id id;
    char tape[512];           /* The transcript; what does not fit is left out. */
    size_t data_at, data_sum; /* The last word of the tape, while it is a data(n). */

    bool made, eof, lost, paused; /* paused: writing. */
    bool in_call;                 /* Set it around calls in which nothing but pause may run. */
    rill_reason why;              /* Of the loss; its sentence is the copy below. */
    char sentence[300];

    uint8_t *bytes; /* Received, as far as `keep` goes. */
    size_t keep;
    uint64_t received;
    uint64_t hash; /* Over everything received. */
    rill_ns made_at, data_at_time, lost_at;

    bool keep_open; /* The answer of eof_received. */
    bool echo;
    void (*on_made)(endpoint *e);
    void (*on_data)(endpoint *e, rill_slice in);
    void (*on_eof)(endpoint *e);
    void (*on_pause)(endpoint *e);
    void (*on_resume)(endpoint *e);
    void (*on_lost)(endpoint *e);
    void *user;

    /* As the `done` of a connect. */
    bool connected_called;
    int connected_code;
    char connected_sentence[400];
};

/* Zeroed, nothing kept. */
void endpoint_init(endpoint *e, harness *h);
/* Keep the first `size` bytes that arrive in `buf`. */
void endpoint_keep(endpoint *e, void *buf, size_t size);

/* arg: the endpoint. */
extern const rill_protocol endpoint_protocol;

#define ACCEPTED_MAX 64

typedef struct acceptor {
    harness *h;
    endpoint ends[ACCEPTED_MAX]; /* In order of connection_made; further ones are counted only. */
    size_t made, lost;           /* Ever. */
    endpoint like;               /* Hooks and switches of every new endpoint. */
} acceptor;

void acceptor_init(acceptor *a, harness *h);

/* arg: the acceptor. */
extern const rill_protocol acceptor_protocol;

/* The done callback of a connect; arg: the endpoint. */
void endpoint_connected(void *arg, rill_transport *t, const rill_reason *why);

/* Conditions for harness_until. */
bool endpoint_is_made(void *e);
bool endpoint_is_lost(void *e);
bool endpoint_has_eof(void *e);
bool endpoint_is_answered(void *e); /* Its connect was answered. */
bool endpoint_is_paused(void *e);
bool endpoint_is_not_paused(void *e);
bool acceptor_has_one(void *a);
bool acceptor_is_empty(void *a); /* Everything that was made is lost. */

/* Run until so many bytes or connections came, in all. */
void endpoint_await(endpoint *e, uint64_t received);
void acceptor_await(acceptor *server, size_t made);

/* A numbered stream whose every byte depends on its place. */
uint8_t stream_byte(uint64_t offset);
void stream_fill(uint8_t *buf, uint64_t offset, size_t len);
uint64_t stream_hash(uint64_t len); /* The hash of an endpoint that received so much of it. */
/* Write the next `len` bytes; returns the last result. */
int endpoint_send_stream(endpoint *e, uint64_t offset, size_t len);
/* Write the stream from 0 on until pause_writing lasts. Returns how much that was. */
uint64_t endpoint_fill(endpoint *e);

/* A server on `options` whose connections are the acceptor's; its first address. */
rill_server *
serve(harness *h, const rill_server_options *options, acceptor *a, rill_addr *ret_addr);
/* A client of it, connected and made on both sides. */
void connect_to(harness *h, const rill_addr *addr, endpoint *e);
/* Both at once: a TCP pair over 127.0.0.1; the server is closed already. */
void tcp_pair(harness *h, const rill_transport_options *options, acceptor *a, endpoint *client);

/* A listener on the kernel whose backlog is full lets nobody in: connects hang. */
void deaf_begin(harness *h, rill_addr *ret_addr);
void deaf_end(void);

#endif
