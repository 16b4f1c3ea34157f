/*
 * Each part is a function of main's arguments after its name; what it returns is the exit code.
 */
#include "restart_child.h"

#include "allocator.h"

#include <rill/rill.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

const char *
restart_program(void)
{
    static char path[500];

    if (path[0] == '\0' && readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
        abort();
    return path;
}

/* The channel's descriptor, for those who misuse it. */
static int
channel(void)
{
    const char *text = getenv("RILL_RESTART");

    return text != NULL ? atoi(text) : -1;
}

/* ---- parts that fail ---- */

static int
play_exit(char **args)
{
    return atoi(args[0]);
}

static int
play_crash(char **args)
{
    const struct rlimit no_core = { 0, 0 };

    (void)args;
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGSEGV, SIG_DFL); /* A sanitizer has its own. */
    (void)raise(SIGSEGV);
    return 0;
}

/* Until somebody kills it. */
static int
stay(void)
{
    while (pause() < 0)
        continue;
    return 0;
}

/* Says nothing, reads nothing. */
static int
play_deaf(char **args)
{
    (void)args;
    return stay();
}

static int
play_garbage(char **args)
{
    (void)args;
    (void)send(channel(), "GET / HTTP/1.1\r\n\r\n", 18, 0);
    return stay();
}

static int
play_short(char **args)
{
    (void)args;
    (void)send(channel(), "r", 1, 0);
    return stay();
}

static int
play_version(char **args)
{
    const struct {
        uint32_t magic;
        uint16_t version, kind;
        uint32_t count, pid;
    } ready = { .magic = 0x6c6c6972, .version = (uint16_t)atoi(args[0]), .kind = 3 };

    (void)send(channel(), &ready, sizeof(ready), 0);
    return stay();
}

/* Of this version, but none that a new process may send. */
static int
play_misplaced(char **args)
{
    const struct {
        uint32_t magic;
        uint16_t version, kind;
        uint32_t count, pid;
    } hello = { .magic = 0x6c6c6972, .version = 1, .kind = (uint16_t)atoi(args[0]) };

    (void)send(channel(), &hello, sizeof(hello), 0);
    return stay();
}

static int
play_hang_up(char **args)
{
    (void)args;
    close(channel());
    return stay();
}

static rill_loop *
new_loop(void)
{
    rill_loop *loop;

    if (rill_loop_new(NULL, &loop) < 0)
        _exit(99);
    return loop;
}

/* Takes everything, never gets ready. */
static int
play_silent(char **args)
{
    rill_inherited *set;

    (void)args;
    if (rill_inherit(new_loop(), NULL, &set) < 0)
        return 98;
    return stay();
}

static int
play_give_up(char **args)
{
    rill_loop *loop = new_loop();
    rill_inherited *set;

    (void)args;
    if (rill_inherit(loop, NULL, &set) < 0)
        return 98;
    rill_inherited_free(set);
    rill_loop_free(loop);
    return 7;
}

/* Has no room for the descriptors. */
static int
play_crowded(char **args)
{
    rill_loop *loop = new_loop();
    const struct rlimit files = { 16, 16 };
    rill_inherited *set;
    int rc;

    (void)args;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    rc = rill_inherit(loop, NULL, &set);
    rill_loop_free(loop);
    return rc == -EMFILE ? 11 : 12;
}

/* Has no memory for the descriptors. */
static int
play_no_memory(char **args)
{
    rill_inherited *set;
    allocator memory;
    rill_loop *loop;
    int rc;

    (void)args;
    allocator_init(&memory);
    if (rill_loop_new(&RILL_LOOP_OPTIONS(.allocator = &memory.hook), &loop) < 0)
        return 99;
    allocator_fail(&memory, 1, true);
    rc = rill_inherit(loop, NULL, &set);
    allocator_heal(&memory);
    rill_loop_free(loop);
    return rc == -ENOMEM && memory.blocks == 0 ? 13 : 14;
}

/* ---- parts that get ready ---- */

/* Expects descriptors NAME0, NAME1... of pipes. Arguments: NAME, how many. */
static int
play_count(char **args)
{
    rill_loop *loop = new_loop();
    size_t count = (size_t)atoi(args[1]);
    rill_inherited *set;
    int wrong = 0;

    if (rill_inherit(loop, NULL, &set) < 0 || rill_inherited_count(set) != count ||
        rill_inherited_get_origin(set) != RILL_INHERITED_RESTART || getenv("RILL_RESTART") != NULL)
        return 1;
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        char name[300];
        int fd = -1;

        snprintf(name, sizeof(name), "%s%zu", args[0], i);
        wrong += strcmp(rill_inherited_name(set, i), name) != 0;
        wrong += rill_inherited_take(set, name, &fd, 1) != 1;
        wrong += fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode);
        wrong += rill_inherited_take(set, name, &fd, 1) != 0; /* It is gone. */
        close(fd);
    }
    if (wrong == 0 && rill_restart_ready(set) == 0 && rill_restart_ready(set) == 0)
        rill_inherited_free(set);
    return rill_loop_free(loop) == 0 ? wrong : 2;
}

/* Ready at once, and ends with that code. */
static int
play_ready(char **args)
{
    rill_loop *loop = new_loop();
    rill_inherited *set;
    int rc = rill_inherit(loop, &RILL_INHERIT_OPTIONS(.timeout = INT64_MAX), &set);

    if (rc == 0)
        rc = rill_restart_ready(set);
    if (rc == 0)
        rill_inherited_free(set);
    rill_loop_free(loop);
    return rc == 0 ? atoi(args[0]) : 1;
}

/* ---- the server ---- */

static struct server {
    rill_loop *loop;
    rill_server *server;
    char *place;
    sigset_t signals;
} it;

static void
greet(rill_transport *t, void *self, void *arg)
{
    int pid = getpid();

    (void)self, (void)arg;
    rill_transport_write(t, &pid, sizeof(pid));
}

static void
echo(rill_transport *t, void *self, rill_slice in)
{
    (void)self;
    rill_transport_write(t, in.data, in.len);
}

static const rill_protocol protocol =
    RILL_PROTOCOL(.connection_made = greet, .data_received = echo);

static void
drained(void *arg, size_t aborted)
{
    (void)arg, (void)aborted;
    rill_loop_stop(it.loop);
}

static void
begin_to_end(void *arg)
{
    (void)arg;
    (void)rill_server_drain_start(it.server, 10 * RILL_S, drained, NULL);
}

static void
restarted(void *arg, int pid, const rill_reason *why)
{
    (void)pid;
    if (why->code == 0)
        begin_to_end(arg);
    else
        fprintf(stderr, "restart: %s\n", why->sentence);
}

static void
begin_restart(void *arg)
{
    const char *argv[] = { restart_program(), "serve", it.place, NULL };
    const rill_restart_item item = { .name = "echo", .server = it.server };

    if (rill_restart_start(it.loop,
            &RILL_RESTART_OPTIONS(.argv = argv, .items = &item, .items_count = 1), restarted, arg,
            NULL) < 0)
        fprintf(stderr, "restart: %s\n", rill_loop_last_error(it.loop)->sentence);
}

static void *
wait_for_signals(void *arg)
{
    int number = 0;

    (void)arg;
    while (sigwait(&it.signals, &number) == 0 && number != SIGUSR1) {
        if (rill_call_soon_threadsafe(
                it.loop, number == SIGHUP ? begin_restart : begin_to_end, NULL) < 0)
            break;
    }
    return NULL;
}

static void
make_server(rill_inherited *set)
{
    rill_server_options where = RILL_SERVER_OPTIONS(.backlog = 1000);
    int fd;

    if (rill_inherited_take(set, "echo", &fd, 1) == 1) {
        where.fds = &fd;
        where.fds_count = 1;
    } else if (it.place[0] == '/') {
        where.path = it.place;
    } else {
        where.host = "127.0.0.1";
        where.port = atoi(it.place);
    }
    if (rill_create_server(it.loop, &where, &protocol, NULL, &it.server) < 0) {
        fprintf(stderr, "%s\n", rill_loop_last_error(it.loop)->sentence);
        _exit(97);
    }
}

static int
play_serve(char **args)
{
    rill_inherited *set;
    pthread_t waiter;
    rill_addr addr;

    it.place = args[0];
    it.loop = new_loop();
    sigemptyset(&it.signals);
    sigaddset(&it.signals, SIGHUP);
    sigaddset(&it.signals, SIGTERM);
    sigaddset(&it.signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &it.signals, NULL);
    if (rill_inherit(it.loop, NULL, &set) < 0)
        return 98;
    make_server(set);
    if (pthread_create(&waiter, NULL, wait_for_signals, NULL) != 0)
        return 96;
    (void)rill_restart_ready(set); /* Without the old process we serve all the same. */
    rill_inherited_free(set);
    (void)rill_server_sockname(it.server, 0, &addr);
    printf("ready %d %d\n", it.place[0] == '/' ? 0 : rill_addr_port(&addr), (int)getpid());
    fflush(stdout);
    (void)rill_loop_run(it.loop);
    pthread_kill(waiter, SIGUSR1);
    pthread_join(waiter, NULL);
    return rill_loop_free(it.loop) != 0;
}

/* ---- what systemd gives ---- */

/* Prints what rill_inherit says: "ORIGIN NAME NAME..." and which variables are left, or the code
 * and the sentence. */
static int
inherit(const rill_inherit_options *options)
{
    rill_loop *loop = new_loop();
    rill_inherited *set;
    int rc = rill_inherit(loop, options, &set);

    if (rc < 0) {
        printf("%s %s\n", rill_errname(rc), rill_loop_last_error(loop)->sentence);
        return rill_loop_free(loop) != 0;
    }
    printf("%d", rill_inherited_get_origin(set));
    for (size_t i = 0; i < rill_inherited_count(set); i++)
        printf(" %s", rill_inherited_name(set, i));
    printf("%s%s\n", getenv("LISTEN_FDS") != NULL ? " fds" : "",
        getenv("LISTEN_FDNAMES") != NULL ? " names" : "");
    rill_inherited_free(set);
    return rill_loop_free(loop) != 0;
}

static int
play_inherit(char **args)
{
    return inherit(&RILL_INHERIT_OPTIONS(.unset_environment = atoi(args[0])));
}

static int
play_inherit_soon(char **args)
{
    (void)args;
    return inherit(&RILL_INHERIT_OPTIONS(.timeout = 100 * RILL_MS));
}

/* The old process hangs up before it hears that this one is ready. */
static int
play_ready_alone(char **args)
{
    rill_loop *loop = new_loop();
    rill_inherited *set;
    char byte;
    int fd = channel(), rc;

    (void)args;
    if (rill_inherit(loop, NULL, &set) < 0)
        return 98;
    while (recv(fd, &byte, 1, 0) != 0) { /* Until it has. */
        struct pollfd event = { .fd = fd, .events = POLLIN };

        (void)poll(&event, 1, -1);
    }
    rc = rill_restart_ready(set);
    printf("%s %s\n", rill_errname(rc), rill_loop_last_error(loop)->sentence);
    rill_inherited_free(set);
    return rill_loop_free(loop) != 0;
}

static const struct {
    const char *name;
    int args;
    int (*play)(char **args);
} parts[] = {
    { "exit", 1, play_exit },
    { "crash", 0, play_crash },
    { "deaf", 0, play_deaf },
    { "garbage", 0, play_garbage },
    { "short", 0, play_short },
    { "version", 1, play_version },
    { "misplaced", 1, play_misplaced },
    { "hang-up", 0, play_hang_up },
    { "silent", 0, play_silent },
    { "give-up", 0, play_give_up },
    { "crowded", 0, play_crowded },
    { "count", 2, play_count },
    { "ready", 1, play_ready },
    { "serve", 1, play_serve },
    { "inherit", 1, play_inherit },
    { "inherit-soon", 0, play_inherit_soon },
    { "ready-alone", 0, play_ready_alone },
    { "no-memory", 0, play_no_memory },
};

void
restart_child(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(argv[1], parts[i].name) != 0 || argc != 2 + parts[i].args)
            continue;
        /* Nobody stays behind when the test ends; a server outlives its parent by design. */
        if (strcmp(argv[1], "serve") != 0)
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)alarm(60);
        exit(parts[i].play(argv + 2));
    }
}
