/*
 * The sweep. The linker hands us cmocka's runner and the makers of loops and worlds (--wrap), so no
 * test knows of it. A case that fails jumps out of its body: loops and worlds that it left are
 * freed by a second case behind it, unless the jump left a callback of theirs. Then nothing can be
 * said about leaks, and the run is counted as such.
 */
#include "sweep.h"

#include "core/internal.h"

#include <alloca.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rill/sim.h>

#define ALIVE_MAX       256
#define DESCRIPTORS_MAX 65536
#define PATIENCE_MS     20000
#define CPU_SECONDS     20

/* After a failed case callbacks still point into its stack frames. It runs below a gap in which
 * cmocka goes on meanwhile; what frees runs below its frames. */
#define GAP_BYTES  ((size_t)1 << 18)
#define CASE_BYTES ((size_t)1 << 20)

/* What a child tells. */
typedef struct verdict {
    size_t calls, refused, losses;
    bool passed;    /* The case itself. */
    bool unchecked; /* It ended inside of a callback, or held slices. */
    bool leaked;
    bool complete; /* It came to its end. */
} verdict;

typedef struct state {
    bool active;
    size_t fail_at; /* 0: none. */
    bool fail_on;   /* And all later ones. */
    atomic_size_t calls, refused, losses;
    atomic_size_t blocks, descriptors;
    atomic_bool owned[DESCRIPTORS_MAX];
    void *loops[ALIVE_MAX], *worlds[ALIVE_MAX];
    size_t loop_count, world_count;
    const struct CMUnitTest *test;
    void *test_state;
    CMFixtureFunction group_setup;
    CMFixtureFunction teardown; /* Still to be called. */
    verdict *verdict;           /* Shared with the parent. */
    int text_fd;                /* What children write to stderr. */
} state;

static state s;

bool
sweep_fails(void)
{
    return s.active && s.fail_at != 0;
}

bool
sweep_refuses(void)
{
    size_t call;

    if (!s.active)
        return false;
    call = atomic_fetch_add(&s.calls, 1) + 1;
    if (s.fail_at == 0 || call < s.fail_at || (call > s.fail_at && !s.fail_on))
        return false;
    atomic_fetch_add(&s.refused, 1);
    return true;
}

void
sweep_count(bool made)
{
    if (made)
        atomic_fetch_add(&s.blocks, 1);
    else
        atomic_fetch_sub(&s.blocks, 1);
}

bool
sweep_has_refused(void)
{
    return atomic_load(&s.refused) > 0;
}

void
sweep_count_loss(void)
{
    atomic_fetch_add(&s.losses, 1);
}

/* ---- what the library of the tests calls instead of the C library ---- */

void *rill__test_malloc(size_t size);
void *rill__test_realloc(void *ptr, size_t size);
void rill__test_free(void *ptr);
int rill__test_socket(int domain, int type, int protocol);
int rill__test_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int rill__test_epoll_create1(int flags);
int rill__test_eventfd(unsigned count, int flags);
int rill__test_close(int fd);

void *
rill__test_malloc(size_t size)
{
    void *ptr = sweep_refuses() ? NULL : malloc(size);

    if (ptr != NULL)
        sweep_count(true);
    return ptr;
}

void *
rill__test_realloc(void *ptr, size_t size)
{
    return sweep_refuses() ? NULL : realloc(ptr, size);
}

void
rill__test_free(void *ptr)
{
    sweep_count(false);
    free(ptr);
}

static int
opened(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX && !atomic_exchange(&s.owned[fd], true))
        atomic_fetch_add(&s.descriptors, 1);
    return fd;
}

int
rill__test_socket(int domain, int type, int protocol)
{
    return opened(socket(domain, type, protocol));
}

int
rill__test_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return opened(accept4(fd, addr, len, flags));
}

int
rill__test_epoll_create1(int flags)
{
    return opened(epoll_create1(flags));
}

int
rill__test_eventfd(unsigned count, int flags)
{
    return opened(eventfd(count, flags));
}

int
rill__test_close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX && atomic_exchange(&s.owned[fd], false))
        atomic_fetch_sub(&s.descriptors, 1);
    return close(fd);
}

/* ---- who is alive ---- */

int __real_rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop);
size_t __real_rill_loop_free(rill_loop *loop);
int __real_rill_sim_new(const rill_sim_options *options, rill_sim **ret_sim);
size_t __real_rill_sim_free(rill_sim *sim);
int __wrap_rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop);
size_t __wrap_rill_loop_free(rill_loop *loop);
int __wrap_rill_sim_new(const rill_sim_options *options, rill_sim **ret_sim);
size_t __wrap_rill_sim_free(rill_sim *sim);

static void
add(void **list, size_t *count, void *what)
{
    if (s.active && *count < ALIVE_MAX)
        list[(*count)++] = what;
}

static void
remove_from(void **list, size_t *count, const void *what)
{
    for (size_t i = *count; s.active && i-- > 0;) {
        if (list[i] == what) {
            list[i] = list[--*count];
            return;
        }
    }
}

int
__wrap_rill_loop_new(const rill_loop_options *options, rill_loop **ret_loop)
{
    int rc = __real_rill_loop_new(options, ret_loop);

    if (rc == 0)
        add(s.loops, &s.loop_count, *ret_loop);
    return rc;
}

size_t
__wrap_rill_loop_free(rill_loop *loop)
{
    size_t leftovers = __real_rill_loop_free(loop);

    remove_from(s.loops, &s.loop_count, loop); /* Not before: a case may fail in there. */
    return leftovers;
}

int
__wrap_rill_sim_new(const rill_sim_options *options, rill_sim **ret_sim)
{
    int rc = __real_rill_sim_new(options, ret_sim);

    if (rc == 0)
        add(s.worlds, &s.world_count, *ret_sim);
    return rc;
}

size_t
__wrap_rill_sim_free(rill_sim *sim)
{
    size_t leftovers = __real_rill_sim_free(sim);

    remove_from(s.worlds, &s.world_count, sim);
    return leftovers;
}

/* ---- in a child ---- */

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
    CMFixtureFunction group_setup, CMFixtureFunction group_teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
    CMFixtureFunction group_setup, CMFixtureFunction group_teardown);

static void
run_the_case(void **unused)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    volatile char *gap = alloca(GAP_BYTES);

    (void)unused;
    gap[0] = 0;
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        (void)signal(crashes[i], SIG_DFL); /* cmocka would make a failed test of it. */
    s.test_state = s.test->initial_state;
    if (s.group_setup != NULL)
        assert_int_equal(s.group_setup(&s.test_state), 0);
    if (s.test->setup_func != NULL)
        assert_int_equal(s.test->setup_func(&s.test_state), 0);
    s.teardown = s.test->teardown_func;
    s.test->test_func(&s.test_state);
    if (s.teardown != NULL) {
        s.teardown = NULL;
        assert_int_equal(s.test->teardown_func(&s.test_state), 0);
    }
    s.verdict->passed = true;
}

static bool
all_stand_still(void)
{
    for (size_t i = 0; i < s.loop_count; i++)
        if (rill_loop_is_running(s.loops[i]))
            return false;
    return true;
}

/* What a case holds it would have to release first. */
static bool
something_is_held(void)
{
    rill_loop_stats stats = { .size = sizeof(stats) };
    size_t held = 0;

    for (size_t i = 0; i < s.loop_count; i++) {
        rill_loop_get_stats(s.loops[i], &stats);
        held += stats.held_bytes;
    }
    return held > 0;
}

/* Memory is back. Callbacks in here find the stack of the case as it was left. */
static void
end_the_case(void **unused)
{
    volatile char *kept = alloca(GAP_BYTES + CASE_BYTES);

    (void)unused;
    kept[0] = 0;
    s.fail_at = 0;
    s.verdict->calls = s.calls;
    s.verdict->refused = s.refused;
    s.verdict->losses = s.losses;
    if (s.teardown != NULL && all_stand_still())
        (void)s.teardown(&s.test_state);
}

static void
free_the_rest(void **unused)
{
    volatile char *kept = alloca(GAP_BYTES + CASE_BYTES);

    (void)unused;
    kept[0] = 0;
    s.verdict->unchecked = true;
    if (!all_stand_still() || something_is_held())
        return;
    while (s.loop_count > 0)
        (void)__wrap_rill_loop_free(s.loops[s.loop_count - 1]);
    while (s.world_count > 0)
        (void)__wrap_rill_sim_free(s.worlds[s.world_count - 1]);
    s.verdict->unchecked = false;
    s.verdict->leaked = s.blocks != 0 || s.descriptors != 0;
    if (s.verdict->leaked)
        fprintf(
            stderr, "left: %zu blocks, %zu descriptors\n", (size_t)s.blocks, (size_t)s.descriptors);
}

/* Whatever becomes of the parent, nothing spins on without it: not the child, and not what it may
 * fork, which inherits the limit. */
static void
end_with_the_parent(pid_t parent)
{
    const struct rlimit cpu = { .rlim_cur = CPU_SECONDS, .rlim_max = CPU_SECONDS };

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
}

static void
be_the_child(pid_t parent)
{
    const struct CMUnitTest steps[] = { cmocka_unit_test(run_the_case),
        cmocka_unit_test(end_the_case), cmocka_unit_test(free_the_rest) };

    (void)setpgid(0, 0);
    end_with_the_parent(parent);
    dup2(s.text_fd, STDOUT_FILENO);
    dup2(s.text_fd, STDERR_FILENO);
    s.active = true;
    (void)__real__cmocka_run_group_tests("sweep", steps, 3, NULL, NULL);
    s.verdict->complete = true;
    s.active = false;
    exit(0);
}

/* ---- in the parent ---- */

static volatile sig_atomic_t child; /* Leads a process group of its own. */

static void
take_the_child_along(int number)
{
    if (child > 0)
        (void)kill(-(pid_t)child, SIGKILL);
    _exit(128 + number);
}

/* False when it had to be killed. What it has forked and left behind is killed in any case: while
 * it is not waited for, its group cannot be somebody else's. */
static bool
await_child(int *ret_status)
{
    struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, (pid_t)child, 0), .events = POLLIN };
    bool in_time = end.fd >= 0 && poll(&end, 1, PATIENCE_MS) == 1;
    pid_t pid = child;

    if (end.fd >= 0)
        close(end.fd);
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL);
    child = 0;
    (void)waitpid(pid, ret_status, 0);
    return in_time;
}

/* One run; NULL, or what was wrong with it. */
static const char *
run_once(size_t fail_at, bool fail_on)
{
    pid_t parent = getpid(), pid;
    int status = 0;

    memset(s.verdict, 0, sizeof(*s.verdict));
    s.fail_at = fail_at;
    s.fail_on = fail_on;
    if (ftruncate(s.text_fd, 0) < 0 || lseek(s.text_fd, 0, SEEK_SET) < 0)
        return "no room for its output";
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        be_the_child(parent);
    if (pid < 0)
        return "no process";
    child = pid;
    if (!await_child(&status))
        return "hangs";
    if (!s.verdict->complete || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return "crashes";
    if (s.verdict->leaked)
        return "leaks";
    if (!fail_on && s.verdict->losses > 1)
        return "costs more than one connection";
    return NULL;
}

static void
show_text(void)
{
    char text[3000];
    off_t end = lseek(s.text_fd, 0, SEEK_END);
    ssize_t got = pread(s.text_fd, text, sizeof(text), end > 3000 ? end - 3000 : 0);

    if (got > 0)
        printf("%.*s\n", (int)got, text);
}

typedef struct tally {
    size_t runs, failed, passed, unchecked;
    size_t calls, stride;
} tally;

static size_t
number_from(const char *name, size_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

/* Returns false when the case has to be given up. */
static bool
sweep_once(tally *sum, size_t fail_at, bool fail_on)
{
    const char *trouble = run_once(fail_at, fail_on);

    sum->runs++;
    sum->passed += s.verdict->passed;
    sum->unchecked += s.verdict->unchecked;
    if (trouble == NULL)
        return true;
    sum->failed++;
    printf("FAILED: %s %s when allocation %zu%s fails\n", s.test->name, trouble, fail_at,
        fail_on ? " and every later one" : "");
    show_text();
    return sum->failed < 5;
}

/* Every n-th allocation, so that both rounds together take about as many runs as there may be. */
static size_t
stride_for(size_t calls)
{
    size_t stride = number_from("RILL_TEST_SWEEP", 1);
    size_t runs_max = number_from("RILL_TEST_SWEEP_RUNS", 0);

    if (runs_max != 0 && stride < (2 * calls + runs_max - 1) / runs_max)
        stride = (2 * calls + runs_max - 1) / runs_max;
    return stride != 0 ? stride : 1;
}

static void
sweep_case(tally *sum)
{
    size_t first;

    if (!sweep_once(sum, 0, false))
        return;
    sum->calls = s.verdict->calls;
    sum->stride = stride_for(sum->calls);
    first = number_from("RILL_TEST_SWEEP_TURN", 0) % sum->stride + 1;
    first = number_from("RILL_TEST_FAIL_AT", first);
    if (!s.verdict->passed) {
        printf("FAILED: %s without any allocation failing\n", s.test->name);
        show_text();
        sum->failed++;
        return;
    }
    for (int fail_on = 0; fail_on < 2; fail_on++) {
        for (size_t n = first;; n += sum->stride) {
            if (!sweep_once(sum, n, fail_on != 0))
                return;
            /* A case may allocate more when it has to try again, so its own end counts. */
            if (s.verdict->refused == 0 || n > 4 * sum->calls + 100 || getenv("RILL_TEST_FAIL_AT"))
                break;
        }
    }
}

/* Is it one of the words? */
static bool
is_among(const char *words, const char *name)
{
    size_t len = strlen(name);

    while (words != NULL && *words != '\0') {
        size_t word = strcspn(words, " \n");

        if (word == len && strncmp(words, name, len) == 0)
            return true;
        words += word;
        words += strspn(words, " \n");
    }
    return false;
}

static void
catch_signals(void)
{
    (void)signal(SIGTERM, take_the_child_along);
    (void)signal(SIGINT, take_the_child_along);
    (void)signal(SIGHUP, take_the_child_along);
}

/* summary.awk knows the sentence. */
static void
skip_without_uring(void)
{
    const char *driver = getenv("RILL_DRIVER");
    rill_loop *loop = NULL;

    if (driver == NULL || strcmp(driver, "uring") != 0)
        return;
    if (__real_rill_loop_new(NULL, &loop) == RILL_ENODRIVER) {
        printf("skip: the kernel refuses io_uring\n");
        exit(77);
    }
    (void)__real_rill_loop_free(loop);
}

int
__wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
    CMFixtureFunction group_setup, CMFixtureFunction group_teardown)
{
    const char *only = getenv("RILL_TEST_SWEEP_CASE"), *not = getenv("RILL_TEST_SWEEP_NOT");
    int failed = 0;

    skip_without_uring();
    if (getenv("RILL_TEST_SWEEP") == NULL)
        return __real__cmocka_run_group_tests(name, tests, count, group_setup, group_teardown);
    s.verdict =
        mmap(NULL, sizeof(verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s.text_fd = memfd_create("sweep", MFD_CLOEXEC);
    if (s.verdict == MAP_FAILED || s.text_fd < 0)
        return 1;
    s.group_setup = group_setup;
    catch_signals();
    for (size_t i = 0; i < count; i++) {
        tally sum = { 0 };

        if ((only != NULL && strcmp(only, tests[i].name) != 0) || is_among(not, tests[i].name))
            continue;
        s.test = &tests[i];
        sweep_case(&sum);
        printf("swept: %s: stride %zu, %zu allocations, %zu runs, %zu passed, %zu unchecked\n",
            tests[i].name, sum.stride, sum.calls, sum.runs, sum.passed, sum.unchecked);
        fflush(stdout);
        failed += sum.failed > 0;
    }
    munmap(s.verdict, sizeof(verdict));
    close(s.text_fd);
    return failed;
}
