/*
 * The server under test: it adds up numbers. Every line is a number, every reply is the sum so far.
 */
#ifndef ADDER_H
#define ADDER_H

#include <rill/rill.h>

/* Serve on a port of all interfaces. Returns as rill_create_server. */
int adder_serve(rill_loop *loop, int port, rill_server **ret_server);

#endif
