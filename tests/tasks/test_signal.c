/* timeout: 120 */
/* valgrind: no */ /* It keeps the last real-time signal to itself. */
/*
 * Signals: handlers and waiting tasks are told on the loop, whichever thread a signal arrives on,
 * and what the process did with it before is put back.
 */
#include "tasks.h"
#include "threads.h"

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rill/signal.h>

typedef struct heard {
    bool any;
    int count;
    int signo;
    bool here;
} heard;

static harness h;
static pthread_t loop_thread, storm_thread;
static bool storming;
static atomic_bool storm_over;
static volatile sig_atomic_t own_calls;

static int
setup(void **unused)
{
    (void)unused;
    loop_thread = pthread_self();
    own_calls = 0;
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    atomic_store(&storm_over, true);
    if (storming)
        pthread_join(storm_thread, NULL);
    storming = false;
    if (h.loop != NULL)
        harness_close(&h);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    return 0;
}

static void
hear(int signo, void *arg)
{
    heard *self = arg;

    self->any = true;
    self->count++;
    self->signo = signo;
    self->here = pthread_equal(pthread_self(), loop_thread);
    harness_poke(&h);
}

static void
own_handler(int signo)
{
    (void)signo;
    own_calls++;
}

static void (*action_of(int signo))(int)
{
    struct sigaction action;

    assert_int_equal(sigaction(signo, NULL, &action), 0);
    return action.sa_handler;
}

/* Where nobody has caught it, it would be the end. */
static void
send(int signo)
{
    assert_ptr_not_equal(action_of(signo), SIG_DFL);
    raise(signo);
}

/* ---- handlers ---- */

/* Not inside raise, but in the next turn.
 *
 * mutant: tasks/signal.c @ wake
 * - rill__mail_post(self->loop, &self->mail);
 * + self->mail.fn(&self->mail), self->ready.run(&self->ready); */
static void
test_a_handler_is_called_on_the_loop_with_its_argument(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    raise(SIGUSR1);
    assert_false(one.any);
    harness_until(&h, flag_is_set, &one.any);
    assert_int_equal(one.signo, SIGUSR1);
    assert_true(one.here);
    harness_settle(&h);
    assert_int_equal(one.count, 1);
}

static void
raise_it(void *unused)
{
    (void)unused;
    raise(SIGUSR1);
}

/* On the simulator, too: its order is certain.
 *
 * mutant: tasks/signal.c
 * - rill__loop_push(self->loop, &self->ready);
 * + tell_handlers(&self->ready); */
static void
test_a_signal_raised_in_a_callback_comes_in_the_next_turn(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_code(rill_call_soon(h.loop, raise_it, NULL, NULL), 0);
    assert_true(harness_turn(&h) >= 1);
    assert_false(one.any);
    assert_true(harness_turn(&h) >= 1);
    assert_true(one.any);
}

static void *
raise_elsewhere(void *unused)
{
    (void)unused;
    raise(SIGUSR1); /* To this thread alone. */
    return NULL;
}

/* mutant: tasks/signal.c @ wake
 * - rill__mail_post(self->loop, &self->mail);
 * + self->mail.fn(&self->mail), self->ready.run(&self->ready); */
static void
test_a_signal_on_another_thread_wakes_the_loop(void **unused)
{
    heard one = { .any = false };
    pthread_t thread;

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_int_equal(pthread_create(&thread, NULL, raise_elsewhere, NULL), 0);
    harness_until(&h, flag_is_set, &one.any);
    pthread_join(thread, NULL);
    assert_true(one.here);
}

static void *
raise_while_it_sleeps(void *unused)
{
    (void)unused;
    usleep(20000);  /* sleep: the loop shall be asleep, which nothing tells. */
    raise(SIGUSR1); /* Here: on its own thread a signal ends the sleep anyway. */
    return NULL;
}

static void
stop_it(int signo, void *arg)
{
    hear(signo, arg);
    rill_loop_stop(h.loop);
}

/* mutant: core/mail.c
 * - loop->ops->wake(loop->driver);
 * + ; */
static void
test_a_loop_that_sleeps_is_woken(void **unused)
{
    heard one = { .any = false };
    rill_ns begin = rill_loop_time(h.loop);
    pthread_t thread;
    int rc;

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, stop_it, &one), 0);
    assert_int_equal(pthread_create(&thread, NULL, raise_while_it_sleeps, NULL), 0);
    rc = rill_loop_run_until(h.loop, begin + 10 * RILL_S);
    pthread_join(thread, NULL);
    assert_code(rc, 0);
    assert_true(rill_loop_time(h.loop) - begin < 9 * RILL_S); /* Not by its end. */
    assert_int_equal(one.count, 1);
}

/* mutant: core/driver/linux/signal.c
 * - case SIGFPE: */
static void
test_what_cannot_be_caught_is_refused(void **unused)
{
    static const int wrong[] = { 0, -1, 65, 1000, 32, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
        SIGILL };
    heard one = { .any = false };

    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_code(rill_add_signal_handler(h.loop, wrong[i], hear, &one), RILL_EINVAL);
        expect_last_error(&h, RILL_EINVAL, "no signal that can be caught");
        assert_false(rill_remove_signal_handler(h.loop, wrong[i]));
    }
    assert_code(rill_add_signal_handler(h.loop, 64, hear, &one), 0);
}

/* mutant: tasks/signal.c
 * - *place = (handler){ fn, arg };
 * + if (place->fn == NULL)
 * + *place = (handler){ fn, arg }; */
static void
test_another_handler_takes_the_place_of_the_first(void **unused)
{
    heard one = { .any = false }, two = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &two), 0);
    raise(SIGUSR1);
    harness_until(&h, flag_is_set, &two.any);
    assert_false(one.any);
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_false(rill_remove_signal_handler(h.loop, SIGUSR1));
}

/* mutant: tasks/signal.c
 * - while (self->due != 0) {
 * + if (self->due != 0) { */
static void
test_signals_that_come_before_they_are_told_are_told_once(void **unused)
{
    heard one = { .any = false }, two = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR2, hear, &two), 0);
    raise(SIGUSR1);
    raise(SIGUSR2);
    raise(SIGUSR1);
    harness_settle(&h);
    assert_int_equal(one.count, 1);
    assert_int_equal(two.count, 1);
}

/* mutant: tasks/signal.c
 * - *place = (handler){ NULL, NULL }; */
static void
test_a_handler_removed_before_it_is_told_is_not_called(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    raise(SIGUSR1);
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_code(rill_add_signal_handler(h.loop, SIGUSR2, hear, &one), 0);
    harness_settle(&h);
    assert_false(one.any);
}

/* ---- what was there before ---- */

/* mutant: core/driver/linux/signal.c @ rill__host_watch_remove
 * - (void)sigaction(signo, &previous[signo], NULL);
 * + (void)signal(signo, SIG_DFL); */
static void
test_the_action_of_before_is_put_back_by_removal(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    signal(SIGUSR1, own_handler);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_ptr_not_equal(action_of(SIGUSR1), own_handler);
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_ptr_equal(action_of(SIGUSR1), own_handler);
    raise(SIGUSR1);
    assert_int_equal(own_calls, 1);
    harness_settle(&h);
    assert_false(one.any);
}

/* mutant: core/driver/linux/signal.c
 * - rill__host_watch_remove(watch, signo);
 * + (void)signo; */
static void
test_the_actions_of_before_are_put_back_by_the_end_of_the_loop(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    signal(SIGUSR2, own_handler);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR2, hear, &one), 0);
    harness_close(&h);
    assert_ptr_equal(action_of(SIGUSR1), SIG_DFL);
    assert_ptr_equal(action_of(SIGUSR2), own_handler);
}

/* mutant: core/driver/linux/signal.c
 * - users[signo] != 0 && --users[signo] == 0 && is_ours(signo, on_signal))
 * + users[signo] != 0 && --users[signo] == 0) */
static void
test_an_action_that_the_program_set_meanwhile_stays(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    signal(SIGUSR1, own_handler);
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_ptr_equal(action_of(SIGUSR1), own_handler);
}

static int
has_the_actions_of_before(void *unused)
{
    (void)unused;
    CHILD_CHECK(action_of(SIGUSR1) == own_handler);
    CHILD_CHECK(action_of(SIGUSR2) == SIG_DFL);
    raise(SIGUSR1);
    CHILD_CHECK(own_calls == 1);
    return 0;
}

/* mutant: core/driver/linux/signal.c @ forked_child
 * - (void)sigaction(signo, &previous[signo], NULL);
 * + (void)signo; */
static void
test_a_forked_child_has_the_actions_of_before(void **unused)
{
    heard one = { .any = false };
    child_result result;

    (void)unused;
    signal(SIGUSR1, own_handler);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_code(rill_add_signal_handler(h.loop, SIGUSR2, hear, &one), 0);
    child_run(has_the_actions_of_before, NULL, &result);
    assert_string_equal(result.text, "");
    assert_int_equal(result.exit_code, 0);
    raise(SIGUSR1); /* The parent's go on. */
    harness_until(&h, flag_is_set, &one.any);
}

/* mutant: core/driver/linux/signal.c
 * - set_action(signo, on_signal, &previous[signo]);
 * + (void)signal(signo, SIG_IGN); */
static void
test_an_executed_program_has_the_default(void **unused)
{
    static char shell[] = "sh", option[] = "-c", script[] = "kill -USR1 $$; exit 3";
    char *argv[] = { shell, option, script, NULL };
    heard one = { .any = false };
    int status = 0;
    pid_t pid;

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGUSR1);
}

/* ---- interrupted programs ---- */

#if !defined(__SANITIZE_THREAD__)
typedef struct reader {
    pthread_t thread;
    int fds[2];
    atomic_bool reading;
    ssize_t got;
    int error;
} reader;

static void *
read_one(void *arg)
{
    reader *self = arg;
    char byte;

    atomic_store(&self->reading, true);
    self->got = read(self->fds[0], &byte, 1);
    self->error = errno;
    return NULL;
}

/* A call that a signal interrupts goes on.
 *
 * mutant: core/driver/linux/signal.c
 * - struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK };
 * + struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK }; */
static void
test_calls_of_other_threads_are_restarted(void **unused)
{
    heard one = { .any = false };
    reader r = { .got = 0 };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    assert_int_equal(pipe(r.fds), 0);
    assert_int_equal(pthread_create(&r.thread, NULL, read_one, &r), 0);
    while (!atomic_load(&r.reading))
        continue;
    for (int i = 0; i < 20; i++) { /* One of them at least meets it in the call. */
        one.any = false;
        assert_int_equal(pthread_kill(r.thread, SIGUSR1), 0);
        harness_until(&h, flag_is_set, &one.any);
    }
    assert_int_equal(write(r.fds[1], "x", 1), 1);
    pthread_join(r.thread, NULL);
    assert_int_equal(r.got, 1);
    close(r.fds[0]);
    close(r.fds[1]);
}
#endif

/* mutant: core/driver/linux/signal.c @ on_signal
 * - errno = kept; */
static void
test_errno_is_what_it_was(void **unused)
{
    heard one = { .any = false };

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
    descriptors_fill_eventfds(); /* To wake the loop fails now. */
    errno = 77;
    raise(SIGUSR1);
    assert_int_equal(errno, 77);
    harness_until(&h, flag_is_set, &one.any);
}

/* ---- several loops ---- */

typedef struct other {
    gate ready;
    int rc;
    int signo;
} other;

static int
open_gate(void *arg)
{
    gate_open(arg);
    return 0;
}

static int
wait_and_tell(void *arg)
{
    static const int signals[] = { SIGUSR1 };
    other *self = arg;

    RILL_TRY(rill_go(open_gate, &self->ready, NULL)); /* It runs when this one waits. */
    self->signo = rill_signal_wait(signals, 1);
    return 0;
}

static void *
run_another_loop(void *arg)
{
    other *self = arg;

    self->rc = rill_run_with(wait_and_tell, self, &RILL_LOOP_OPTIONS(.driver = "epoll"));
    gate_open(&self->ready);
    return NULL;
}

/* mutant: core/driver/linux/signal.c @ on_signal
 * - watch->wake(watch);
 * + watch->wake(watch);
 * + break; */
static void
test_each_loop_that_asked_is_told(void **unused)
{
    other theirs = { .ready = GATE };
    heard ours = { .any = false };
    pthread_t thread;

    (void)unused;
    assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &ours), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_another_loop, &theirs), 0);
    gate_wait(&theirs.ready);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    harness_until(&h, flag_is_set, &ours.any);
    pthread_join(thread, NULL);
    assert_code(theirs.rc, 0);
    assert_int_equal(theirs.signo, SIGUSR1);
    ours.any = false;
    raise(SIGUSR1); /* Still caught, for us. */
    harness_until(&h, flag_is_set, &ours.any);
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_ptr_equal(action_of(SIGUSR1), SIG_DFL);
}

static void *
storm(void *unused)
{
    (void)unused;
    while (!atomic_load(&storm_over))
        raise(SIGUSR1);
    return NULL;
}

/* Loops come and go while handlers run in another thread; SIGUSR1 is ignored in between.
 *
 * mutant: core/driver/linux/signal.c
 * - unlink_watch(watch); */
static void
test_loops_end_while_signals_arrive_elsewhere(void **unused)
{
    (void)unused;
    signal(SIGUSR1, SIG_IGN);
    atomic_store(&storm_over, false);
    assert_int_equal(pthread_create(&storm_thread, NULL, storm, NULL), 0);
    storming = true;
    for (int i = 0; i < 20; i++) {
        heard one = { .any = false };

        assert_code(rill_add_signal_handler(h.loop, SIGUSR1, hear, &one), 0);
        harness_until(&h, flag_is_set, &one.any);
        harness_close(&h);
        harness_open(&h);
    }
}

/* ---- tasks ---- */

static const int both[] = { SIGUSR2, SIGUSR1 };

static int
wait_for_both(void *unused)
{
    (void)unused;
    return rill_signal_wait(both, 2);
}

static int
wait_while_it_comes(void *unused)
{
    rill_task *a, *b;

    (void)unused;
    RILL_TRY(rill_spawn(wait_for_both, NULL, RILL_TASK_OPTIONS(.eager = 1), &a));
    RILL_TRY(rill_spawn(wait_for_both, NULL, RILL_TASK_OPTIONS(.eager = 1), &b));
    send(SIGUSR2);
    assert_code(rill_join(a), SIGUSR2);
    assert_code(rill_join(b), SIGUSR2);
    return 0;
}

/* mutant: tasks/signal.c
 * - rill__wake(waiter->wait.fiber, lowest(both));
 * + rill__wake(waiter->wait.fiber, lowest(both));
 * + break; */
static void
test_all_tasks_that_wait_are_told_its_number(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wait_while_it_comes, NULL), 0);
}

static int
let_signals_come_between(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(wait_for_both, NULL, RILL_TASK_OPTIONS(.eager = 1), &task));
    send(SIGUSR1);
    assert_code(rill_join(task), SIGUSR1);
    send(SIGUSR2); /* Nobody waits: it does not kill, and is not lost. */
    send(SIGUSR2);
    send(SIGUSR1);
    RILL_TRY(rill_sleep(RILL_MS));
    assert_code(rill_signal_wait(both, 2), SIGUSR1); /* The lowest first. */
    assert_code(rill_signal_wait(both, 2), SIGUSR2);
    send(SIGUSR1);
    RILL_TRY(rill_sleep(RILL_MS));
    assert_true(rill_remove_signal_handler(h.loop, SIGUSR1));
    assert_ptr_equal(action_of(SIGUSR1), SIG_DFL);
    assert_ptr_not_equal(action_of(SIGUSR2), SIG_DFL);
    return 0;
}

/* mutant: tasks/signal.c
 * - self->kept |= came & self->sticky & ~told; */
static void
test_what_comes_between_two_waits_is_kept_for_the_next(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, let_signals_come_between, NULL), 0);
}

static int
cancel_a_wait(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(wait_for_both, NULL, RILL_TASK_OPTIONS(.eager = 1), &task));
    assert_true(rill_task_cancel(task, NULL));
    assert_code(rill_join(task), RILL_EREVOKED);
    send(SIGUSR1); /* The canceled one has taken nothing with it. */
    RILL_TRY(rill_sleep(RILL_MS));
    assert_code(rill_signal_wait(both, 2), SIGUSR1);
    return 0;
}

/* mutant: tasks/signal.c
 * - leave(RILL__CONTAINER(wait, signal_wait, wait)); */
static void
test_a_canceled_wait_takes_no_signal(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_a_wait, NULL), 0);
}

static void
cancel_it(void *task)
{
    (void)rill_task_cancel(task, NULL);
}

/* Asked for before the signal, the cancel runs in the same turn, first. */
static int
cancel_after_the_signal(void *unused)
{
    rill_task *task;

    (void)unused;
    RILL_TRY(rill_spawn(wait_for_both, NULL, RILL_TASK_OPTIONS(.eager = 1), &task));
    RILL_TRY(rill_call_soon(h.loop, cancel_it, task, NULL));
    send(SIGUSR1);
    assert_code(rill_join(task), SIGUSR1);
    return 0;
}

/* Completion wins: it is woken by the mail, at the turn's beginning, before the cancel.
 *
 * mutant: tasks/wait.c @ rill__wake
 * - fiber->wait = NULL; */
static void
test_a_wait_that_has_its_signal_cannot_be_canceled_out_of_it(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, cancel_after_the_signal, NULL), 0);
}

static int
wait_wrongly(void *unused)
{
    static const int wrong[] = { SIGUSR1, SIGKILL };

    (void)unused;
    assert_code(rill_signal_wait(wrong, 2), RILL_EINVAL);
    assert_code(rill_signal_wait(wrong, 0), RILL_EINVAL);
    assert_code(rill_signal_wait(NULL, 1), RILL_EINVAL);
    assert_ptr_equal(action_of(SIGUSR1), SIG_DFL);
    return 0;
}

/* mutant: tasks/signal.c
 * - if (rill__host_signal_check(signals[i]) < 0)
 * + if (i == 0 && rill__host_signal_check(signals[i]) < 0) */
static void
test_a_wait_for_a_wrong_signal_catches_none(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, wait_wrongly, NULL), 0);
    assert_code(rill_signal_wait(both, 2), RILL_ENOTASK);
}

/* ---- the verdict ---- */

static void *
raise_when_it_waits(void *arg)
{
    gate_wait(arg);
    usleep(20000); /* sleep: the loop must have nothing to do meanwhile. */
    if (action_of(SIGUSR1) != SIG_DFL)
        kill(getpid(), SIGUSR1);
    return NULL;
}

static int
only_wait_for_a_signal(void *arg)
{
    RILL_TRY(rill_go(open_gate, arg, NULL));
    return rill_signal_wait(both, 2);
}

/* mutant: tasks/signal.c
 * - atomic_fetch_add(&fiber->loop->holds, 1); */
static void
test_there_is_no_verdict_of_a_deadlock_while_a_task_waits_for_a_signal(void **unused)
{
    static gate waits = GATE;
    pthread_t thread;
    int rc;

    (void)unused;
    gate_close(&waits);
    assert_int_equal(pthread_create(&thread, NULL, raise_when_it_waits, &waits), 0);
    rc = rill_run(only_wait_for_a_signal, &waits);
    gate_open(&waits);
    pthread_join(thread, NULL);
    assert_code(rc, SIGUSR1);
}

static int
add_remove_and_wait_for_ever(void *unused)
{
    heard one = { .any = false };
    rill_future *future;
    int rc;

    (void)unused;
    RILL_TRY(rill_add_signal_handler(rill_loop_running(), SIGUSR1, hear, &one));
    assert_true(rill_remove_signal_handler(rill_loop_running(), SIGUSR1));
    RILL_TRY(rill_future_new(rill_loop_running(), &future));
    rc = rill_await(future, NULL);
    rill_future_unref(future);
    return rc;
}

/* mutant: tasks/signal.c
 * - atomic_fetch_sub(&loop->holds, 1);
 * + ; */
static void
test_there_is_one_when_the_last_handler_has_gone(void **unused)
{
    int kept = dup(2), nothing = open("/dev/null", O_WRONLY);

    (void)unused;
    fflush(stderr);
    dup2(nothing, 2);
    assert_code(rill_run(add_remove_and_wait_for_ever, NULL), RILL_EDEADLK);
    dup2(kept, 2);
    close(kept);
    close(nothing);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_handler_is_called_on_the_loop_with_its_argument),
        CASE(test_a_signal_raised_in_a_callback_comes_in_the_next_turn),
        CASE_ON("kernel", test_a_signal_on_another_thread_wakes_the_loop),
        CASE_ON("kernel", test_a_loop_that_sleeps_is_woken),
        CASE(test_what_cannot_be_caught_is_refused),
        CASE(test_another_handler_takes_the_place_of_the_first),
        CASE(test_signals_that_come_before_they_are_told_are_told_once),
        CASE(test_a_handler_removed_before_it_is_told_is_not_called),
        CASE(test_the_action_of_before_is_put_back_by_removal),
        CASE(test_the_actions_of_before_are_put_back_by_the_end_of_the_loop),
        CASE(test_an_action_that_the_program_set_meanwhile_stays),
        CASE(test_a_forked_child_has_the_actions_of_before),
        CASE(test_an_executed_program_has_the_default),
#if !defined(__SANITIZE_THREAD__) /* Which holds signals back while a thread is in read. */
        CASE_ON("kernel", test_calls_of_other_threads_are_restarted),
#endif
        CASE(test_errno_is_what_it_was),
        CASE_ON("kernel", test_each_loop_that_asked_is_told),
        CASE_ON("kernel", test_loops_end_while_signals_arrive_elsewhere),
        CASE(test_all_tasks_that_wait_are_told_its_number),
        CASE(test_what_comes_between_two_waits_is_kept_for_the_next),
        CASE(test_a_canceled_wait_takes_no_signal),
        CASE(test_a_wait_that_has_its_signal_cannot_be_canceled_out_of_it),
        CASE(test_a_wait_for_a_wrong_signal_catches_none),
        CASE_ON("kernel", test_there_is_no_verdict_of_a_deadlock_while_a_task_waits_for_a_signal),
        CASE(test_there_is_one_when_the_last_handler_has_gone),
    };

    return run_cases(tests);
}
