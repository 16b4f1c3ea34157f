/*
 * Streams: connections for tasks, which read and write them as if the calls blocked.
 *
 *     static int
 *     echo(rill_stream *stream, void *arg)
 *     {
 *         char buf[4096];
 *         int64_t n;
 *
 *         (void)arg;
 *         while ((n = rill_stream_read(stream, buf, sizeof(buf))) > 0)
 *             RILL_TRY(rill_stream_write(stream, buf, (size_t)n));
 *         return (int)n; // 0: the client has ended. The server closes the stream.
 *     }
 *
 * A stream is both directions of one transport, whatever carries it. How long a call may take is
 * said by a scope around it and by nothing else. A canceled read takes no byte out of the stream;
 * a canceled write has written nothing.
 *
 * Streams are counted references: who opened one, or took a reference with rill_stream_ref, gives
 * it back with rill_stream_unref, before the loop is freed. Close it before: rill_stream_close
 * never waits and can be called in a canceled task. A stream that is given back by the last one
 * without having been closed is closed then, which debug mode reports. The stream that a server's
 * handler gets is the server's: it closes it and gives it back.
 *
 * A slice that a call here lends (`ret_slice`) lies in the stream's buffer and stays until the next
 * call that reads from the stream: rill_stream_read and its kind, rill_stream_peek,
 * rill_stream_buffered; or until the stream is given back.
 *
 * All functions are for the loop's thread; "a task's" ones return RILL_ENOTASK elsewhere. One task
 * at a time may read; any number may write, drain and wait for the end.
 */
#ifndef RILL_STREAM_H
#define RILL_STREAM_H

#include <rill/connect.h>
#include <rill/server.h>
#include <rill/task.h>

RILL_BEGIN

typedef struct rill_stream rill_stream;

typedef struct rill_stream_options {
    size_t size;  /* Set by RILL_STREAM_OPTIONS or rill_stream_options_default. */
    size_t limit; /* Bytes; default 64 KiB. Above twice as many unread ones the peer is slowed
                     down, and no separator is looked for behind so many. */
    const rill_connect_options *connect;     /* For opening: all of it but where to. */
    const rill_transport_options *transport; /* Or these alone. */
} rill_stream_options;

#ifndef __cplusplus
#define RILL_STREAM_OPTIONS(...) \
    (&(rill_stream_options){ .size = sizeof(rill_stream_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_stream_options
rill_stream_options_default(void)
{
#ifdef __cplusplus
    rill_stream_options options = {};
#else
    rill_stream_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/* ---- getting one ---- */

/*
 * Connect to a numeric host or localhost; `options` may be NULL. A cancel ends the attempt. A
 * task's. Returns 0; RILL_EINVAL, also for options that say where to; RILL_EADDRESS; the kernel's
 * error (-ECONNREFUSED...), which rill_loop_last_error has a sentence for; RILL_ETIMEDOUT after the
 * options' timeout; RILL_ECANCELED; RILL_ENOTASK; -ENOMEM. asyncio: open_connection.
 */
#define rill_open_connection(host, port, options, ret_stream) \
    rill_open_connection_site(host, port, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_connection_site(const char *host, int port,
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);

/* The same to a Unix socket: a path, or '@' and an abstract name. asyncio:
 * open_unix_connection. */
#define rill_open_unix_connection(path, options, ret_stream) \
    rill_open_unix_connection_site(path, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_unix_connection_site(const char *path,
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);

/* Two streams that are connected to each other in memory. `options` may be NULL and hold for both.
 * A task's. Returns 0, RILL_EINVAL, RILL_ENOTASK, RILL_ECANCELED, -ENOMEM. */
#define rill_stream_pair(options, ret_a, ret_b) \
    rill_stream_pair_site(options, RILL_SITE("stream"), ret_a, ret_b)
RILL_API RILL_MUST_CHECK int rill_stream_pair_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_a, rill_stream **ret_b);

/*
 * Read from, or write to, the end of a pipe, a FIFO, a terminal or another character device; or
 * read from one and write to another as one stream. Descriptors belong to the stream from success
 * on; see <rill/pipe.h> for what they may be, and for the end of a writer whose readers have gone.
 * Writing to a stream that only reads is RILL_ENOTSUP; reading from one that only writes finds the
 * end.
 * `options` may be NULL; those for connecting must not be set. A task's. Returns 0; as
 * rill_connect_read_pipe, rill_connect_write_pipe and rill_connect_pipes; RILL_ECANCELED,
 * RILL_ENOTASK. asyncio: connect_read_pipe, connect_write_pipe.
 */
#define rill_open_read_pipe(fd, options, ret_stream) \
    rill_open_read_pipe_site(fd, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_read_pipe_site(
    int fd, const rill_stream_options *options, const char *site, rill_stream **ret_stream);
#define rill_open_write_pipe(fd, options, ret_stream) \
    rill_open_write_pipe_site(fd, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_write_pipe_site(
    int fd, const rill_stream_options *options, const char *site, rill_stream **ret_stream);
#define rill_open_pipes(read_fd, write_fd, options, ret_stream) \
    rill_open_pipes_site(read_fd, write_fd, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_pipes_site(int read_fd, int write_fd,
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);

/* The standard streams: input, output, or both as one stream. They stay open when it is closed.
 * Return as rill_open_read_pipe and rill_connect_stdin. */
#define rill_open_stdin(options, ret_stream) \
    rill_open_stdin_site(options, RILL_SITE("standard input"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_stdin_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);
#define rill_open_stdout(options, ret_stream) \
    rill_open_stdout_site(options, RILL_SITE("standard output"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_stdout_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);
#define rill_open_stdio(options, ret_stream) \
    rill_open_stdio_site(options, RILL_SITE("standard streams"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_open_stdio_site(
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);

/*
 * Make a stream of a connection that has had another protocol until now, which gets no further
 * callback. What that paused stays paused until a task reads. Of `options`, which may be NULL, the
 * limit alone counts. Returns 0; RILL_EINVAL; RILL_ESTATE before its connection_made; RILL_ECLOSED
 * after its end; RILL_EBUSY when it is a stream already; -ENOMEM.
 */
#define rill_stream_attach(t, options, ret_stream) \
    rill_stream_attach_site(t, options, RILL_SITE("stream"), ret_stream)
RILL_API RILL_MUST_CHECK int rill_stream_attach_site(rill_transport *t,
    const rill_stream_options *options, const char *site, rill_stream **ret_stream);

/* One reference more, and one less; NULL is ignored. */
RILL_API rill_stream *rill_stream_ref(rill_stream *stream);
RILL_API void rill_stream_unref(rill_stream *stream);

/* ---- reading ---- */

/*
 * Take 1 to `cap` bytes as soon as any are there. A task's. Returns how many; 0 at the end of the
 * stream, after rill_stream_close and for `cap` 0; the error that the connection was lost with,
 * even if there are bytes left (see rill_stream_buffered); RILL_EBUSY while another task reads;
 * RILL_ECANCELED, RILL_EWRONGLOOP, RILL_ENOTASK, RILL_EINVAL. asyncio: read(n).
 */
RILL_API RILL_MUST_CHECK int64_t rill_stream_read(rill_stream *stream, void *buf, size_t cap);

/*
 * Take exactly `len` bytes, which may be more than the limit. Returns `len`, or as
 * rill_stream_read; RILL_EINCOMPLETE when the stream ends before: `ret_len` (may be NULL) says how
 * many are in `buf`, and nothing is left. After any other error they are in the stream again;
 * should there be no memory for that, the connection is lost with -ENOMEM. asyncio: readexactly.
 */
RILL_API RILL_MUST_CHECK int64_t rill_stream_read_exactly(
    rill_stream *stream, void *buf, size_t len, size_t *ret_len);

/*
 * Take all up to the end of the first separator, and lend it. Of several separators the match that
 * ends first counts, and of those the shortest. A task's. Returns the length with the separator, or
 * as rill_stream_read;
 *   RILL_EINCOMPLETE: the stream has ended. What was left, maybe nothing, is lent and taken.
 *   RILL_EOVERRUN: more than the limit comes before a separator. That is lent and stays in the
 *   stream: rill_stream_consume(stream, ret_slice->len) drops it.
 * `separators` are looked at until it returns. RILL_EINVAL for none or an empty one; -ENOMEM.
 * asyncio: readuntil.
 */
RILL_API RILL_MUST_CHECK int64_t rill_stream_read_until(
    rill_stream *stream, const rill_iovec *separators, size_t count, rill_slice *ret_slice);

/* Take a line with its "\n" and lend it; at the end what is left without one, and then nothing: 0.
 * Else as rill_stream_read_until. asyncio: readline, which drops a line that is too long. */
RILL_API RILL_MUST_CHECK int64_t rill_stream_readline(rill_stream *stream, rill_slice *ret_slice);

/* Take all until the end and lend it. RILL_EOVERRUN when that is more than `max` bytes, which stay
 * in the stream; else as rill_stream_read. asyncio: read(-1). */
RILL_API RILL_MUST_CHECK int64_t rill_stream_read_all(
    rill_stream *stream, size_t max, rill_slice *ret_slice);

/* Lend all that is there, once that is at least `min` bytes (0 counts as 1), and take nothing. At
 * the end it may be less, and 0. Else as rill_stream_read; -ENOMEM. */
RILL_API RILL_MUST_CHECK int64_t rill_stream_peek(
    rill_stream *stream, size_t min, rill_slice *ret_slice);

/* Drop bytes that are there; what was lent stays lent. Returns 0; RILL_EINVAL for more than there
 * are; RILL_EBUSY while a task reads. */
RILL_API int rill_stream_consume(rill_stream *stream, size_t len);

/* Lend what is there, without waiting and also after an error: the peer's last words. Returns how
 * much; 0 while a task reads. `ret_slice` may be NULL. */
RILL_API size_t rill_stream_buffered(rill_stream *stream, rill_slice *ret_slice);

/* Nothing is there and nothing will come. asyncio: at_eof. */
RILL_API bool rill_stream_at_eof(const rill_stream *stream);

/* ---- writing ---- */

/*
 * Write all of it, once the peer has taken so much of what was written before that writing is not
 * paused (the transport's marks); who waits for that does so in order. The bytes are copied or sent
 * when it returns. A task's. Returns 0; or, with nothing written: the error that the connection was
 * lost with; RILL_ECLOSED after close; RILL_EEOFSENT; RILL_EBUSY during a sendfile; RILL_ECANCELED,
 * RILL_EWRONGLOOP, RILL_ENOTASK, RILL_EINVAL. asyncio: drain and write.
 */
RILL_API RILL_MUST_CHECK int rill_stream_write(rill_stream *stream, const void *data, size_t len);
/* As one write of the parts one after another. RILL_EINVAL for more than 1024 parts. */
RILL_API RILL_MUST_CHECK int
rill_stream_writev(rill_stream *stream, const rill_iovec *parts, size_t count);

/* Write without waiting, as rill_transport_write: 1, or 0 above the high mark; its errors, and the
 * one that the connection was lost with. Not only for tasks. asyncio: write. */
RILL_API int rill_stream_write_nowait(rill_stream *stream, const void *data, size_t len);

/*
 * Wait until writing is not paused. Says nothing about what the peer has. A task's. Returns 0; the
 * error that the connection was or is lost with; RILL_ECLOSED when it is closed, after one turn in
 * which its end may arrive; RILL_ECANCELED, RILL_EWRONGLOOP, RILL_ENOTASK. asyncio: drain, which
 * can succeed while a close is under way.
 */
RILL_API RILL_MUST_CHECK int rill_stream_drain(rill_stream *stream);

/* Wait until the kernel has all that was written. Returns as rill_stream_drain, -ENOMEM. */
RILL_API RILL_MUST_CHECK int rill_stream_flush(rill_stream *stream);

/* Say that nothing more will be written; reading goes on. Returns as rill_transport_write_eof. */
RILL_API int rill_stream_write_eof(rill_stream *stream);

/* ---- the end ---- */

/* Flush what was written, then close: see rill_transport_close. Whoever reads finds the end. Never
 * waits; idempotent. asyncio: close. */
RILL_API void rill_stream_close(rill_stream *stream);
/* Close now, with a reset where there is one. Whoever reads gets RILL_EABORTED. asyncio:
 * transport.abort. */
RILL_API void rill_stream_abort(rill_stream *stream);
/* Closed or aborted, or the connection is lost. asyncio: is_closing. */
RILL_API bool rill_stream_is_closing(const rill_stream *stream);

/* Wait for the end of the connection, as often as you like. A task's. Returns 0 when it ended as
 * asked or by the peer's end; the error it was lost with; RILL_ECANCELED, RILL_EWRONGLOOP,
 * RILL_ENOTASK. asyncio: wait_closed. */
RILL_API RILL_MUST_CHECK int rill_stream_wait_closed(rill_stream *stream);

/* What it was lost with: 0 while it is not, and when it ended as asked or by the peer's end. */
RILL_API int rill_stream_error(const rill_stream *stream);

/* The transport below, for addresses, options and marks; its protocol and its reading are the
 * stream's. NULL once it is lost. asyncio: transport, get_extra_info. */
RILL_API rill_transport *rill_stream_transport(const rill_stream *stream);

/* ---- servers ---- */

/* Runs in a task of its own for a connection, with waits and all; the stream is closed and given
 * back when it returns. An error of it goes to the loop's error handler, unless it is a cancel or
 * the end of that connection. */
typedef int (*rill_stream_fn)(rill_stream *stream, void *arg);

typedef struct rill_stream_server rill_stream_server;

typedef struct rill_stream_server_options {
    size_t size;        /* Set by RILL_STREAM_SERVER_OPTIONS or the _default function. */
    size_t limit;       /* Of each stream; default 64 KiB. */
    size_t tasks_max;   /* At once; further connections wait for one, unread. 0: no limit. */
    size_t stack_bytes; /* Of each task, as in rill_task_options. */
    /* 1: a connection gets a task when bytes arrive. The task may end with 0 or more, which leaves
     * the connection open until the next bytes come; it closes the stream itself or returns an
     * error when it is to end. A silent connection has no stack. */
    int on_demand;
} rill_stream_server_options;

#ifndef __cplusplus
#define RILL_STREAM_SERVER_OPTIONS(...) \
    (&(rill_stream_server_options){ .size = sizeof(rill_stream_server_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_stream_server_options
rill_stream_server_options_default(void)
{
#ifdef __cplusplus
    rill_stream_server_options options = {};
#else
    rill_stream_server_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/*
 * Listen as rill_create_server does on `where` (whose `closed` must be NULL), and run
 * `handler(stream, arg)` for each connection in a task that has the peer's address as its name.
 * `options` may be NULL. Returns 0; RILL_ENOTASK where no loop runs; as rill_create_server.
 * asyncio: start_server, start_unix_server.
 */
#define rill_start_server_on(loop, where, options, handler, arg, ret_server) \
    rill_start_server_site(loop, where, options, handler, arg, RILL_SITE(#handler), ret_server)
#define rill_start_server(where, options, handler, arg, ret_server) \
    rill_start_server_on(rill_loop_running(), where, options, handler, arg, ret_server)
RILL_API int rill_start_server_site(rill_loop *loop, const rill_server_options *where,
    const rill_stream_server_options *options, rill_stream_fn handler, void *arg, const char *site,
    rill_stream_server **ret_server);

/* The server below, for its addresses and numbers. NULL once it has stopped and its last connection
 * has gone. */
RILL_API rill_server *rill_stream_server_base(const rill_stream_server *server);
/* Connections' tasks now. */
RILL_API size_t rill_stream_server_tasks(const rill_stream_server *server);

/* Wait while it serves; begins to listen after start_paused. A task's. Returns 0 when another task
 * has stopped it; RILL_ECLOSED when it had stopped before; RILL_EBUSY while another one is in here;
 * RILL_ECANCELED, RILL_EWRONGLOOP, RILL_ENOTASK; -errno from listening. It is still to be closed.
 * asyncio: serve_forever. */
RILL_API RILL_MUST_CHECK int rill_stream_server_serve_forever(rill_stream_server *server);

/* Close the listening sockets; connections stay. Idempotent. asyncio: close. */
RILL_API void rill_stream_server_stop_accepting(rill_stream_server *server);

/* Stop accepting, close connections without a task (on_demand), and wait until the others have
 * ended by themselves. A scope says how long. A task's. Returns 0, RILL_ECANCELED, RILL_EWRONGLOOP,
 * RILL_ENOTASK. asyncio: close, then wait_closed. */
RILL_API RILL_MUST_CHECK int rill_stream_server_drain(rill_stream_server *server);

/*
 * The end of the server: stop accepting, cancel the tasks of its connections and wait for their
 * ends, also when the caller is canceled. What they wrote last is still flushed. The pointer ends
 * with this call. A task's, but none of its connections'. Returns 0; with the server as it was:
 * RILL_EDEADLK, RILL_EBUSY, RILL_EWRONGLOOP, RILL_ENOTASK, RILL_EINVAL.
 */
RILL_API int rill_stream_server_close(rill_stream_server *server);

RILL_END

#endif
