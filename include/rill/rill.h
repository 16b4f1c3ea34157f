/*
 * rill: asyncio for C. Includes every header of the library.
 */
#ifndef RILL_RILL_H
#define RILL_RILL_H

#include <rill/addr.h>
#include <rill/base.h>
#include <rill/connect.h>
#include <rill/error.h>
#include <rill/loop.h>
#include <rill/memory.h>
#include <rill/protocol.h>
#include <rill/server.h>
#include <rill/transport.h>

#endif
