/*
 * A logger behind a FIFO: whoever writes a line to it has it stamped and said on the standard
 * output, one writer after another or several at once.
 *
 * Shows: a FIFO that is opened without waiting and outlives its writers (RILL_FIFO_STAY); lines of
 * a pipe in a task, including one that is too long; the standard output, as a stream or as a file;
 * a signal as the end. Lines of up to 4096 bytes arrive whole, whoever else is writing.
 *
 * Run:     ./fifo_logger PATH      then, elsewhere: echo hello >PATH
 * Prints:  0.731 hello
 * Ends with SIGINT or SIGTERM, and removes the FIFO.
 */
#include <rill/rill.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

struct logger {
    rill_stream *in;
    rill_stream *out; /* NULL: the standard output is a file, */
    uint64_t offset;  /* and this is where it goes on. */
};

static int
put(struct logger *self, const char *data, size_t len)
{
    if (self->out != NULL)
        return rill_stream_write(self->out, data, len);
    RILL_TRY(rill_file_write_at(1, self->offset, data, len));
    self->offset += len;
    return 0;
}

static int
say(struct logger *self, rill_ns since, rill_slice line)
{
    char text[LINE_MAX_BYTES + 64];
    bool whole = line.data[line.len - 1] == '\n';
    int len = snprintf(text, sizeof(text), "%d.%03d %.*s%s", (int)(since / RILL_S),
        (int)(since % RILL_S / RILL_MS), (int)line.len, (const char *)line.data, whole ? "" : "\n");

    return put(self, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* A line, or as much of one as is too long. With RILL_FIFO_STAY there is no end. */
static int
log_lines(struct logger *self)
{
    rill_loop *loop = rill_loop_running();
    rill_ns begin = rill_loop_time(loop);
    rill_slice line;

    for (;;) {
        int64_t n = rill_stream_readline(self->in, &line);

        if (n <= 0 && n != RILL_EOVERRUN)
            return (int)n;
        if (n == RILL_EOVERRUN) {
            line.len = line.len < LINE_MAX_BYTES ? line.len : LINE_MAX_BYTES;
            RILL_TRY(say(self, rill_loop_time(loop) - begin, line));
            RILL_TRY(rill_stream_consume(self->in, line.len));
        } else {
            RILL_TRY(say(self, rill_loop_time(loop) - begin, line));
        }
    }
}

static int
run_logger(void *arg)
{
    return log_lines(arg);
}

static int
serve(struct logger *self)
{
    static const int signals[] = { SIGINT, SIGTERM };
    rill_group group;
    int rc;

    rill_group_begin(&group);
    rc = rill_group_spawn(&group, run_logger, self, NULL);
    if (rc >= 0)
        rc = rill_signal_wait(signals, 2);
    rill_group_cancel(&group);
    return rill_group_end(&group, rc);
}

static int
open_and_serve(const char *path)
{
    struct logger self = { 0 };
    off_t at;
    int rc;
    int fd = rill_fifo_open(
        rill_loop_running(), path, RILL_FIFO_READ | RILL_FIFO_CREATE | RILL_FIFO_STAY, 0600);

    if (fd < 0)
        return fd;
    RILL_TRY(rill_open_read_pipe(fd, RILL_STREAM_OPTIONS(.limit = LINE_MAX_BYTES), &self.in));
    rc = rill_open_stdout(NULL, &self.out);
    if (rc == RILL_ENOTSUP) {
        at = lseek(1, 0, SEEK_CUR);
        self.offset = at > 0 ? (uint64_t)at : 0;
        rc = 0;
    }
    if (rc == 0)
        rc = serve(&self);
    if (self.out != NULL)
        rill_stream_close(self.out);
    else
        (void)lseek(1, (off_t)self.offset, SEEK_SET); /* For who writes there after us. */
    rill_stream_unref(self.out);
    rill_stream_close(self.in);
    rill_stream_unref(self.in);
    (void)unlink(path);
    return rc;
}

static int
app(void *arg)
{
    int rc = open_and_serve(arg);

    if (rc < 0)
        fprintf(stderr, "fifo_logger: %s\n", rill_loop_last_error(rill_loop_running())->sentence);
    return rc;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fifo_logger PATH\n");
        return 2;
    }
    return rill_run(app, argv[1]) < 0;
}
