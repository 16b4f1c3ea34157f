/*
 * Words are added to the tape with a space in between; the order of callbacks is checked here.
 */
#include "watched.h"

#include "sweep.h"

static void RILL_PRINTF(2, 3) note(watched *w, const char *format, ...)
{
    size_t len = strlen(w->tape);
    va_list args;

    if (len > 0 && len < sizeof(w->tape) - 1)
        w->tape[len++] = ' ';
    va_start(args, format);
    vsnprintf(w->tape + len, sizeof(w->tape) - len, format, args);
    va_end(args);
}

static void
on_made(rill_subprocess *process, void *self, void *arg)
{
    watched *w = self;

    assert_ptr_equal(self, arg);
    assert_false(w->made);
    w->process = process;
    w->made = true;
    note(w, "made");
}

static void
on_data(rill_subprocess *process, void *self, int fd, rill_slice in)
{
    watched *w = self;
    size_t *len;
    size_t room;

    (void)process;
    assert_true(fd == 1 || fd == 2);
    assert_true(w->made && w->pipe_code[fd] == 1);
    len = &w->out_len[fd - 1];
    room = *len < sizeof(w->out[0]) - 1 ? sizeof(w->out[0]) - 1 - *len : 0;
    if (room > 0)
        memcpy(w->out[fd - 1] + *len, in.data, in.len < room ? in.len : room);
    *len += in.len;
    harness_poke(w->h);
}

static void
on_pipe_lost(rill_subprocess *process, void *self, int fd, const rill_reason *why)
{
    watched *w = self;

    assert_null(rill_subprocess_pipe(process, fd));
    assert_true(w->made && !w->lost && w->pipe_code[fd] == 1);
    w->pipe_code[fd] = why->code;
    harness_poke(w->h);
}

static void
on_pause(rill_subprocess *process, void *self)
{
    (void)process;
    assert_false(((watched *)self)->paused);
    ((watched *)self)->paused = true;
}

static void
on_resume(rill_subprocess *process, void *self)
{
    (void)process;
    assert_true(((watched *)self)->paused);
    ((watched *)self)->paused = false;
}

static void
on_exited(rill_subprocess *process, void *self)
{
    watched *w = self;

    assert_true(w->made && !w->exited && !w->lost);
    w->exited = true;
    w->rc = rill_subprocess_returncode(process, &w->code);
    note(w, "exited");
}

static void
on_lost(rill_subprocess *process, void *self, const rill_reason *why)
{
    watched *w = self;

    (void)process;
    assert_true(w->made && !w->lost);
    w->lost = true;
    w->reason = why->code;
    w->process = NULL;
    note(w, "lost(%s)", why->code == 0 ? "0" : rill_errname(why->code));
    harness_poke(w->h);
}

static const rill_subprocess_protocol protocol =
    RILL_SUBPROCESS_PROTOCOL(.connection_made = on_made, .pipe_data_received = on_data,
        .pipe_connection_lost = on_pipe_lost, .pause_writing = on_pause,
        .resume_writing = on_resume, .process_exited = on_exited, .connection_lost = on_lost);

static void
init(watched *w, harness *h)
{
    memset(w, 0, sizeof(*w));
    w->h = h;
    for (int fd = 0; fd < 3; fd++)
        w->pipe_code[fd] = 1;
}

int
watched_exec(watched *w, harness *h, const rill_process_options *options)
{
    init(w, h);
    return rill_subprocess_exec(h->loop, options, &protocol, w, &w->process);
}

int
watched_shell(watched *w, harness *h, const char *command, const rill_process_options *options)
{
    init(w, h);
    return rill_subprocess_shell(h->loop, command, options, &protocol, w, &w->process);
}

bool
watched_is_made(void *w)
{
    return ((watched *)w)->made;
}

bool
watched_has_exited(void *w)
{
    return ((watched *)w)->exited;
}

bool
watched_is_lost(void *w)
{
    return ((watched *)w)->lost;
}

int
watched_end(watched *w)
{
    harness_until(w->h, watched_is_lost, w);
    assert_true(w->exited);
    assert_int_equal(w->rc, w->reason);
    return w->code;
}
