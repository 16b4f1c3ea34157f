/*
 * Two transports over the ends of one pipe, each with its transcript.
 */
#ifndef SUPPORT_PIPES_H
#define SUPPORT_PIPES_H

#include "endpoint.h"

typedef struct pipe_ends {
    harness *h;
    endpoint reads, writes;
} pipe_ends;

/* The ends with nothing over them yet. */
void pipe_descriptors(harness *h, int *ret_read, int *ret_write);
/* Connected, and made on both sides. `p` is set up by endpoint_init here, unless hooks are there
 * already (`h` is set). */
void pipe_open(pipe_ends *p, harness *h, const rill_transport_options *options);
void pipe_connect_reader(pipe_ends *p, int fd);
void pipe_connect_writer(pipe_ends *p, int fd, const rill_transport_options *options);
/* Close what is open and wait for both ends. */
void pipe_close(pipe_ends *p);
/* Write until bytes are queued that the pipe has no room for; returns how many in all. The reader
 * must be paused. */
uint64_t pipe_fill(pipe_ends *p);

#endif
