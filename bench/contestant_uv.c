/*
 * libuv's echo server: one shared receive buffer, uv_try_write first, uv_write for the rest.
 *
 * The buffer has the 64 KiB which libuv suggests to its allocation callback; BENCH_READ_KIB gives
 * it another size, so that the comparison can also show libuv at its best. TCP_NODELAY is set on
 * the listener and inherited. Handles are recycled, so a churned connection needs no malloc.
 *
 * One thread; SIGTERM stops the loop through libuv's own signal handle.
 */
#include "contestant.h"

#include <uv.h>

struct client {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    struct client *free_next;
};

struct rest {
    uv_write_t request;
    char bytes[];
};

static uv_loop_t loop;
static union {
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
} server;
static struct client *free_list;
static uv_buf_t receive_buffer;

static void
must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(rc));
    exit(1);
}

static void
on_closed(uv_handle_t *handle)
{
    struct client *client = (struct client *)handle;

    client->free_next = free_list;
    free_list = client;
}

static void
client_close(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void
on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = receive_buffer;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void
on_rest_written(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;

    free(request); /* First member of struct rest. */
    if (status == UV_ECANCELED)
        return;
    if (status < 0 || uv_read_start(stream, on_buffer, on_read) < 0)
        client_close(stream);
}

static void
rest_write(uv_stream_t *stream, const char *data, size_t len)
{
    struct rest *rest = malloc(sizeof(*rest) + len);
    uv_buf_t buffer;

    if (rest == NULL)
        must(UV_ENOMEM, "malloc");
    memcpy(rest->bytes, data, len);
    buffer = uv_buf_init(rest->bytes, (unsigned)len);
    (void)uv_read_stop(stream); /* Always succeeds. */
    must(uv_write(&rest->request, stream, &buffer, 1, on_rest_written), "uv_write");
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    uv_buf_t out;
    int sent;

    if (n == 0)
        return;
    if (n < 0) {
        client_close(stream);
        return;
    }
    out = uv_buf_init(buffer->base, (unsigned)n);
    sent = uv_try_write(stream, &out, 1);
    if (sent == n)
        return;
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        client_close(stream);
    else
        rest_write(stream, buffer->base + sent, (size_t)(n - sent));
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct client *client = free_list;

    if (status < 0)
        return;
    if (client != NULL)
        free_list = client->free_next;
    else if ((client = malloc(sizeof(*client))) == NULL)
        must(UV_ENOMEM, "malloc");
    if (listener->type == UV_TCP)
        must(uv_tcp_init(&loop, &client->handle.tcp), "uv_tcp_init");
    else
        must(uv_pipe_init(&loop, &client->handle.pipe, 0), "uv_pipe_init");
    if (uv_accept(listener, &client->handle.stream) < 0 ||
        uv_read_start(&client->handle.stream, on_buffer, on_read) < 0)
        client_close(&client->handle.stream);
}

static void
on_term(uv_signal_t *handle, int signal_number)
{
    (void)signal_number;
    uv_stop(handle->loop);
}

static void
listen_tcp(int port)
{
    struct sockaddr_in addr;

    must(uv_ip4_addr("127.0.0.1", port, &addr), "uv_ip4_addr");
    must(uv_tcp_init(&loop, &server.tcp), "uv_tcp_init");
    must(uv_tcp_bind(&server.tcp, (const struct sockaddr *)&addr, 0), "uv_tcp_bind");
    must(uv_tcp_nodelay(&server.tcp, 1), "uv_tcp_nodelay");
}

static void
listen_unix(const char *path)
{
    uv_fs_t request;

    (void)uv_fs_unlink(NULL, &request, path, NULL); /* It may not be there. */
    uv_fs_req_cleanup(&request);
    must(uv_pipe_init(&loop, &server.pipe, 0), "uv_pipe_init");
    must(uv_pipe_bind(&server.pipe, path), "uv_pipe_bind");
}

int
main(int argc, char **argv)
{
    struct contestant_where where = contestant_parse(argc, argv, "libuv", uv_version_string());
    size_t read_bytes = contestant_read_bytes((size_t)64 * 1024);
    char *bytes = malloc(read_bytes);
    uv_signal_t term;

    if (bytes == NULL)
        must(UV_ENOMEM, "malloc");
    receive_buffer = uv_buf_init(bytes, (unsigned)read_bytes);
    must(uv_loop_init(&loop), "uv_loop_init");
    must(uv_signal_init(&loop, &term), "uv_signal_init");
    must(uv_signal_start(&term, on_term, SIGTERM), "uv_signal_start");
    if (where.path != NULL)
        listen_unix(where.path);
    else
        listen_tcp(where.port);
    must(uv_listen(&server.stream, CONTESTANT_BACKLOG, on_connection), "uv_listen");
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* Non-zero only says that handles are left. */
    return 0;
}
