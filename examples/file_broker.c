/*
 * A broker of files: who may not open a file gets it opened by who may, over a Unix socket. What
 * travels is the open descriptor; the client reads the file itself.
 *
 * Shows: descriptors that travel with bytes (rill_transport_write_descriptors and
 * rill_transport_take_descriptor) on streams of tasks, and files opened without blocking the loop.
 *
 * Run:     ./file_broker serve SOCKET FOLDER      then: ./file_broker cat SOCKET NAME
 * Prints:  listening on unix:SOCKET               and the file, or: no such file: NAME
 */
#include <rill/rill.h>

#include <stdio.h>
#include <string.h>

struct arguments {
    const char *path;
    const char *what; /* A folder, or a file's name. */
};

/* ---- the broker ---- */

static int
open_in(const char *folder, const char *name)
{
    char path[600];

    if (strchr(name, '/') != NULL || name[0] == '.')
        return RILL_EINVAL; /* Nothing outside of the folder. */
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return rill_file_open(path, RILL_FILE_READ, 0);
}

/* One line with a name for each file; the answer is a word, and with "ok" comes the descriptor. */
static int
session(rill_stream *stream, void *arg)
{
    rill_transport *transport = rill_stream_transport(stream);
    const struct arguments *arguments = arg;
    rill_slice line;
    int64_t n;

    while ((n = rill_stream_readline(stream, &line)) > 0) {
        char name[256];
        int fd;
        int rc;

        snprintf(name, sizeof(name), "%.*s", (int)line.len, (const char *)line.data);
        name[strcspn(name, "\n")] = '\0';
        fd = open_in(arguments->what, name);
        if (fd < 0) {
            RILL_TRY(rill_stream_write(stream, "no such file\n", 13));
            continue;
        }
        rc = rill_transport_write_descriptors(transport, "ok\n", 3, &fd, 1);
        (void)rill_file_close(fd); /* The client has its own now, or will. */
        if (rc < 0)
            return rc;
    }
    return (int)n;
}

static int
serve(void *arg)
{
    struct arguments *arguments = arg;
    rill_stream_server *server;
    char text[RILL_ADDR_TEXT];
    int rc;

    RILL_TRY(rill_start_server(
        &RILL_SERVER_OPTIONS(.path = arguments->path), NULL, session, arg, &server));
    printf("listening on %s\n",
        rill_server_describe(rill_stream_server_base(server), text, sizeof(text)));
    fflush(stdout);
    rc = rill_signal_wait((const int[]){ 15, 2 }, 2); /* SIGTERM, SIGINT */
    rill_stream_server_close(server);
    return rc < 0 ? rc : 0;
}

/* ---- the client ---- */

static int
print_file(int fd)
{
    char buf[4096];
    uint64_t at = 0;
    int64_t n;

    while ((n = rill_file_read_at(fd, at, buf, sizeof(buf))) > 0) {
        fwrite(buf, 1, (size_t)n, stdout);
        at += (uint64_t)n;
    }
    (void)rill_file_close(fd);
    return (int)n;
}

static int
ask(rill_stream *stream, const char *name)
{
    char request[300];
    rill_slice answer;
    int fd;

    snprintf(request, sizeof(request), "%s\n", name);
    RILL_TRY(rill_stream_write(stream, request, strlen(request)));
    RILL_TRY((int)rill_stream_readline(stream, &answer));
    if (answer.len != 3 || memcmp(answer.data, "ok\n", 3) != 0) {
        fprintf(stderr, "no such file: %s\n", name);
        return RILL_EINVAL;
    }
    fd = rill_transport_take_descriptor(rill_stream_transport(stream));
    return fd < 0 ? fd : print_file(fd);
}

/* Without it the kernel would close what is passed to us. */
static const rill_transport_options accepting = RILL_TRANSPORT_OPTIONS(.descriptors = 1);

static int
fetch(void *arg)
{
    const struct arguments *arguments = arg;
    rill_stream *stream;
    int rc;

    RILL_TRY(rill_open_unix_connection(
        arguments->path, RILL_STREAM_OPTIONS(.transport = &accepting), &stream));
    rc = ask(stream, arguments->what);
    rill_stream_unref(stream);
    return rc;
}

int
main(int argc, char **argv)
{
    struct arguments arguments;
    bool serves = argc == 4 && strcmp(argv[1], "serve") == 0;
    int rc;

    if (!serves && (argc != 4 || strcmp(argv[1], "cat") != 0)) {
        fputs("usage: file_broker serve SOCKET FOLDER | cat SOCKET NAME\n", stderr);
        return 2;
    }
    arguments = (struct arguments){ argv[2], argv[3] };
    rc = rill_run(serves ? serve : fetch, &arguments);
    if (rc < 0 && rc != RILL_EINVAL)
        fprintf(stderr, "file_broker: %s\n", rill_strerror(rc));
    return rc < 0;
}
