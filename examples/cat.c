/*
 * cat: the named files, or the standard input, to the standard output.
 *
 * Shows: standard streams in tasks, whatever they are. A pipe, a terminal or a device is a stream,
 * which waits without keeping anybody; a regular file is none (RILL_ENOTSUP says so) and is read or
 * written at an offset, by a thread of the executor. A reader that goes early is no error.
 *
 * Run:     ls | ./cat | head -3      ./cat FILE... >COPY      ./cat - FILE <OTHER
 */
#include <rill/rill.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char block[64 * 1024];

struct output {
    rill_stream *stream; /* NULL: a file. */
    uint64_t offset;
};

static int
put(struct output *out, const void *data, size_t len)
{
    if (out->stream != NULL)
        return rill_stream_write(out->stream, data, len);
    RILL_TRY(rill_file_write_at(1, out->offset, data, len));
    out->offset += len;
    return 0;
}

static int
copy_stream(rill_stream *in, struct output *out)
{
    int64_t n;

    while ((n = rill_stream_read(in, block, sizeof(block))) > 0)
        RILL_TRY(put(out, block, (size_t)n));
    return (int)n;
}

static int
copy_file(int fd, uint64_t *offset, struct output *out)
{
    int64_t n;

    while ((n = rill_file_read_at(fd, *offset, block, sizeof(block))) > 0) {
        RILL_TRY(put(out, block, (size_t)n));
        *offset += (uint64_t)n;
    }
    return (int)n;
}

/* Whoever shares the open file with us goes on where we have ended. */
static uint64_t
position(int fd)
{
    off_t at = lseek(fd, 0, SEEK_CUR);

    return at > 0 ? (uint64_t)at : 0;
}

static int
copy_input(struct output *out)
{
    rill_stream *in;
    uint64_t offset;
    int rc = rill_open_stdin(NULL, &in);

    if (rc == RILL_ENOTSUP) {
        offset = position(0);
        rc = copy_file(0, &offset, out);
        (void)lseek(0, (off_t)offset, SEEK_SET);
    } else if (rc == 0) {
        rc = copy_stream(in, out);
        rill_stream_close(in);
        rill_stream_unref(in);
    }
    return rc;
}

static int
copy_named(const char *path, struct output *out)
{
    uint64_t offset = 0;
    int fd;
    int rc;

    if (strcmp(path, "-") == 0)
        return copy_input(out);
    fd = rill_file_open(path, RILL_FILE_READ, 0);
    if (fd < 0)
        return fd;
    rc = copy_file(fd, &offset, out);
    (void)rill_file_close(fd);
    return rc;
}

static int
open_output(struct output *out)
{
    int rc = rill_open_stdout(NULL, &out->stream);

    if (rc != RILL_ENOTSUP)
        return rc;
    *out = (struct output){ .offset = position(1) };
    return 0;
}

static int
close_output(struct output *out, int rc)
{
    if (out->stream == NULL) {
        (void)lseek(1, (off_t)out->offset, SEEK_SET);
        return rc;
    }
    if (rc == 0)
        rc = rill_stream_flush(out->stream);
    rill_stream_close(out->stream);
    rill_stream_unref(out->stream);
    return rc;
}

static int
app(void *arg)
{
    char **paths = arg;
    struct output out;
    int rc = open_output(&out);

    if (rc == 0) {
        do
            rc = copy_named(*paths != NULL ? *paths : "-", &out);
        while (rc == 0 && *paths != NULL && *++paths != NULL);
        rc = close_output(&out, rc);
    }
    if (rc == -EPIPE)
        return 0; /* As in `cat | head`. */
    if (rc < 0)
        fprintf(stderr, "cat: %s\n", rill_loop_last_error(rill_loop_running())->sentence);
    return rc;
}

int
main(int argc, char **argv)
{
    return argc < 1 || rill_run(app, argv + 1) < 0;
}
