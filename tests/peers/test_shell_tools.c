/*
 * Shell tools, socat and Python's asyncio at the other end of a pipe: they read what we write and
 * write what we read, go early, and find their descriptors as they expect them.
 */
/* timeout: 120 */
#include "pairs.h"
#include "pipes.h"
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static harness h;
static endpoint e;
static pid_t pid;

static int
setup(void **unused)
{
    (void)unused;
    harness_open(&h);
    endpoint_init(&e, &h);
    e.keep_open = true;
    pid = 0;
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    if (e.made && !e.lost) {
        rill_transport_abort(e.t);
        harness_until(&h, endpoint_is_lost, &e);
    }
    harness_close(&h);
    return 0;
}

/* Start it with blocking ends of two pipes as its input and output; ours become one transport. */
static void
start(const char *const argv[])
{
    int in[2];
    int out[2];

    assert_code(rill_pipe(h.loop, RILL_PIPE_BLOCKING_READ, &in[0], &in[1]), 0);
    assert_code(rill_pipe(h.loop, RILL_PIPE_BLOCKING_WRITE, &out[0], &out[1]), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    assert_code(rill_connect_pipes(h.loop, out[0], in[1], NULL, &endpoint_protocol, &e, NULL), 0);
    harness_until(&h, endpoint_is_made, &e);
}

#define START(...) start((const char *const[]){ __VA_ARGS__, NULL })

static int
exit_code(void)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
test_sort_answers_after_the_end_of_its_input(void **unused)
{
    char text[32] = { 0 };

    (void)unused;
    endpoint_keep(&e, text, sizeof(text) - 1);
    START("sort");
    (void)rill_transport_write(e.t, "pear\napple\nfig\n", 15);
    assert_code(rill_transport_write_eof(e.t), 0);
    harness_until(&h, endpoint_has_eof, &e);
    assert_string_equal(text, "apple\nfig\npear\n");
    assert_int_equal(exit_code(), 0);
}

static uint64_t fed;

static void
feed_more(endpoint *self)
{
    while (!self->paused && fed < 5000000) {
        (void)endpoint_send_stream(self, fed, 100000);
        fed += 100000;
    }
    if (fed == 5000000)
        (void)rill_transport_write_eof(self->t);
}

static void
test_cat_gives_megabytes_back(void **unused)
{
    (void)unused;
    fed = 0;
    e.on_made = feed_more;
    e.on_resume = feed_more;
    START("cat");
    harness_until(&h, endpoint_has_eof, &e);
    assert_int_equal(e.received, 5000000);
    assert_true(e.hash == stream_hash(5000000));
    assert_int_equal(exit_code(), 0);
}

static void
write_for_ever(endpoint *self)
{
    while (!self->paused && endpoint_send_stream(self, 0, 50000) >= 0)
        continue;
}

static void
test_head_goes_before_we_have_finished(void **unused)
{
    (void)unused;
    e.on_made = write_for_ever;
    e.on_resume = write_for_ever;
    START("head", "-c", "100000");
    harness_until(&h, endpoint_is_lost, &e);
    assert_code(e.why.code, -EPIPE);
    assert_int_equal(e.received, 100000); /* Its last words came after it had read all it wanted. */
    assert_int_equal(exit_code(), 0);
}

static void
test_a_writer_that_we_leave_dies_of_sigpipe(void **unused)
{
    (void)unused;
    START("yes");
    while (e.received < 100000)
        harness_run_for(&h, RILL_MS);
    rill_transport_close(e.t);
    harness_until(&h, endpoint_is_lost, &e);
    assert_int_equal(exit_code(), -SIGPIPE); /* We have left no SIGPIPE blocked or ignored. */
}

static void
test_socat_between_two_fifos(void **unused)
{
    const char *up = scratch_path("up");
    const char *down = scratch_path("down");
    char to[120];
    char from[120];
    int reads;
    int writes;

    (void)unused;
    if (!program_exists("socat"))
        skip();
    reads = rill_fifo_open(h.loop, down, RILL_FIFO_READ | RILL_FIFO_CREATE, 0600);
    writes = rill_fifo_open(h.loop, up, RILL_FIFO_WRITE | RILL_FIFO_CREATE | RILL_FIFO_STAY, 0600);
    assert_true(reads >= 0 && writes >= 0);
    assert_code(rill_connect_pipes(h.loop, reads, writes, NULL, &endpoint_protocol, &e, NULL), 0);
    harness_until(&h, endpoint_is_made, &e);
    snprintf(from, sizeof(from), "OPEN:%s,rdonly", up);
    snprintf(to, sizeof(to), "OPEN:%s,wronly", down);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execlp("socat", "socat", "-u", from, to, (char *)NULL);
        _exit(127);
    }
    (void)endpoint_send_stream(&e, 0, 300000);
    endpoint_await(&e, 300000);
    assert_true(e.hash == stream_hash(300000));
}

/* It must not leave its loop with bytes queued, which would be lost: it drains to the last one. */
static const char python_echo[] =
    "import asyncio, sys\n"
    "async def main():\n"
    "    loop = asyncio.get_running_loop()\n"
    "    reader = asyncio.StreamReader()\n"
    "    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)\n"
    "    t, p = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)\n"
    "    t.set_write_buffer_limits(0)\n"
    "    writer = asyncio.StreamWriter(t, p, None, loop)\n"
    "    while data := await reader.read(65536):\n"
    "        writer.write(data)\n"
    "        await writer.drain()\n"
    "    writer.write_eof()\n"
    "asyncio.run(main())\n";

static void
test_asyncio_over_its_own_pipe_transports(void **unused)
{
    (void)unused;
    if (!program_exists("python3"))
        skip();
    fed = 0;
    e.on_made = feed_more;
    e.on_resume = feed_more;
    START("python3", "-c", python_echo);
    harness_until(&h, endpoint_has_eof, &e);
    assert_int_equal(e.received, 5000000);
    assert_true(e.hash == stream_hash(5000000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_sort_answers_after_the_end_of_its_input),
        CASE(test_cat_gives_megabytes_back),
        CASE(test_head_goes_before_we_have_finished),
        CASE(test_a_writer_that_we_leave_dies_of_sigpipe),
        CASE(test_socat_between_two_fifos),
        CASE(test_asyncio_over_its_own_pipe_transports),
    };

    return run_cases(tests);
}
