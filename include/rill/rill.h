/*
 * rill: asyncio for C. Includes every header of the library.
 */
#ifndef RILL_RILL_H
#define RILL_RILL_H

#include <rill/addr.h>
#include <rill/base.h>
#include <rill/connect.h>
#include <rill/datagram.h>
#include <rill/error.h>
#include <rill/executor.h>
#include <rill/file.h>
#include <rill/future.h>
#include <rill/loop.h>
#include <rill/memory.h>
#include <rill/pipe.h>
#include <rill/process.h>
#include <rill/protocol.h>
#include <rill/queue.h>
#include <rill/restart.h>
#include <rill/server.h>
#include <rill/signal.h>
#include <rill/sock.h>
#include <rill/stream.h>
#include <rill/subprocess.h>
#include <rill/sync.h>
#include <rill/task.h>
#include <rill/threads.h>
#include <rill/transport.h>
#include <rill/watch.h>
#include <rill/workers.h>

#endif
