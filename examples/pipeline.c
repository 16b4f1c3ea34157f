/*
 * Pipeline: what a shell does for `sort | uniq -c`, with both programs' ends in hand. sort reads
 * our standard input and uniq writes to our standard output; what goes from one to the other goes
 * through this program, which counts it.
 *
 * Shows: rill_process_exec with pipes and inherited streams, a loop that copies from stream to
 * stream at the pace of the slower one, and waiting for two processes in any order.
 *
 * Run:     printf 'b\na\nb\n' | ./pipeline
 * Prints:  the lines, sorted and counted; then, to stderr, how many bytes went through
 * Code:    1 when one of them failed or could not be started
 */
#include <rill/rill.h>

#include <stdio.h>

static const char *const sort_argv[] = { "sort", NULL };
static const char *const uniq_argv[] = { "uniq", "-c", NULL };

/* The reader is slower: rill_stream_write waits for it, and so sort waits for us. */
static int
copy(rill_stream *from, rill_stream *to, size_t *ret_bytes)
{
    char buf[16 * 1024];
    int64_t got;

    while ((got = rill_stream_read(from, buf, sizeof(buf))) > 0) {
        RILL_TRY(rill_stream_write(to, buf, (size_t)got));
        *ret_bytes += (size_t)got;
    }
    if (got == 0)
        rill_stream_close(to); /* uniq sees the end. */
    return (int)got;
}

static int
ended_well(rill_process *process, const char *name)
{
    int code;

    RILL_TRY(rill_process_wait(process, &code));
    if (code == 0)
        return 0;
    fprintf(stderr, "%s ended with %d\n", name, code);
    return RILL_EUSER;
}

static int
connect_both(rill_process *sort, rill_process *uniq)
{
    size_t bytes = 0;

    RILL_TRY(copy(rill_process_stream(sort, 1), rill_process_stream(uniq, 0), &bytes));
    RILL_TRY(ended_well(sort, "sort"));
    RILL_TRY(ended_well(uniq, "uniq"));
    fprintf(stderr, "%zu bytes went through\n", bytes);
    return 0;
}

static int
run(void *unused)
{
    rill_process *sort;
    rill_process *uniq;
    int rc;

    (void)unused;
    RILL_TRY(rill_process_exec(
        &RILL_PROCESS_OPTIONS(.argv = sort_argv, .out = { RILL_STDIO_PIPE, 0 }), &sort));
    rc = rill_process_exec(
        &RILL_PROCESS_OPTIONS(.argv = uniq_argv, .in = { RILL_STDIO_PIPE, 0 }), &uniq);
    if (rc == 0) {
        rc = connect_both(sort, uniq);
        rill_process_unref(uniq); /* Whatever happened: who still runs is killed. */
    }
    rill_process_unref(sort);
    return rc;
}

int
main(void)
{
    int rc = rill_run(run, NULL);

    if (rc < 0 && rc != RILL_EUSER)
        fprintf(stderr, "pipeline: %s\n", rill_strerror(rc));
    return rc < 0;
}
