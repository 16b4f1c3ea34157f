/*
 * Servers that hand over to processes of their own kind while clients connect all the time: not one
 * of them may fail. Real processes, each a generation, one of which serves at a time.
 */
/* drivers: epoll uring */
/* timeout: 120 */
/* valgrind: no */ /* What is measured is other processes. */
#include "harness.h"
#include "restart_child.h"

#include "core/sanitizers.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 3
#define MESSAGE "sixteen bytes..."
#if RILL__ASAN || RILL__TSAN
#define CONNECTIONS 1500
#else
#define CONNECTIONS 6000
#endif
#define RESTARTS 3

/* All generations print to the pipe of the first. */
static FILE *said;
static int port;
static int pids[RESTARTS + 1]; /* In order of generations. */
static const char *place;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct load {
    bool stop;
    int done; /* Connections, */
    int failed;
    int last_pid;  /* and who served the last of them. */
    char why[200]; /* Of a failed one. */
} load;

/* ---- clients ---- */

static int
dial(void)
{
    const struct timeval patience = { .tv_sec = 20 };
    struct sockaddr_in in = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(place[0] == '/' ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", place);
    rc = place[0] == '/' ? connect(fd, (struct sockaddr *)&un, sizeof(un))
                         : connect(fd, (struct sockaddr *)&in, sizeof(in));
    if (rc < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Connect, hear who serves, have a word echoed, hang up. NULL, or what failed. */
static const char *
talk(int *ret_pid)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    char reply[sizeof(MESSAGE)] = "";
    int fd = dial();
    const char *wrong = NULL;

    if (fd < 0)
        return "connect";
    if (recv(fd, ret_pid, sizeof(*ret_pid), MSG_WAITALL) != (ssize_t)sizeof(*ret_pid))
        wrong = "no greeting";
    else if (send(fd, MESSAGE, sizeof(MESSAGE), MSG_NOSIGNAL) != (ssize_t)sizeof(MESSAGE))
        wrong = "send";
    else if (recv(fd, reply, sizeof(reply), MSG_WAITALL) != (ssize_t)sizeof(reply) ||
             memcmp(reply, MESSAGE, sizeof(MESSAGE)) != 0)
        wrong = "no echo";
    /* Thousands of closed connections must not keep ports busy for a minute. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
    return wrong;
}

static void *
be_a_client(void *unused)
{
    bool stop = false;

    (void)unused;
    while (!stop) {
        int pid = 0;
        const char *wrong = talk(&pid);

        pthread_mutex_lock(&lock);
        if (wrong != NULL && load.failed++ == 0)
            snprintf(load.why, sizeof(load.why), "%s: %s", wrong, strerror(errno));
        load.last_pid = pid;
        load.done++;
        stop = load.stop;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* ---- servers ---- */

static int
next_generation(int i)
{
    char line[300] = "nothing";
    int where = -1;

    if (fgets(line, sizeof(line), said) == NULL ||
        sscanf(line, "ready %d %d", &where, &pids[i]) != 2)
        fail_msg("generation %d says: %s", i, line);
    if (i == 0)
        port = where; /* Before any client runs. */
    assert_int_equal(where, port);
    return pids[i];
}

static void
begin(const char *where)
{
    const char *program = restart_program();
    int ends[2], pid;

    place = where;
    memset(&load, 0, sizeof(load));
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* All generations come to us. */
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, "serve", where, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    said = fdopen(ends[0], "r");
    assert_non_null(said);
    assert_int_equal(next_generation(0), pid);
}

static void
expect_end(int pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
end_last(int pid)
{
    assert_int_equal(kill(pid, SIGTERM), 0);
    expect_end(pid);
    fclose(said);
}

static void
wait_for_connections(int count)
{
    pthread_mutex_lock(&lock);
    while (load.done < count && load.failed == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void
restart_under_load(const char *where)
{
    pthread_t clients[CLIENTS];

    begin(where);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, be_a_client, NULL), 0);
    for (int i = 1; i <= RESTARTS; i++) {
        wait_for_connections(i * CONNECTIONS / (RESTARTS + 1));
        assert_int_equal(kill(pids[i - 1], SIGHUP), 0);
        (void)next_generation(i);
        expect_end(pids[i - 1]); /* Drained. */
    }
    wait_for_connections(CONNECTIONS);
    pthread_mutex_lock(&lock);
    load.stop = true;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    if (load.failed != 0)
        fail_msg("%d of %d connections failed: %s", load.failed, load.done, load.why);
    assert_true(load.done >= CONNECTIONS);
    assert_int_equal(load.last_pid, pids[RESTARTS]);
    print_message("%d connections during %d restarts, none failed\n", load.done, RESTARTS);
}

static void
test_tcp(void **unused)
{
    (void)unused;
    restart_under_load("0");
    end_last(pids[RESTARTS]);
}

/* The path stays while it changes hands, and is removed by the last one. */
static void
test_unix_path(void **unused)
{
    char path[] = "/tmp/rill-handover-XXXXXX";
    char place_there[64];

    (void)unused;
    assert_non_null(mkdtemp(path));
    snprintf(place_there, sizeof(place_there), "%s/socket", path);
    restart_under_load(place_there);
    assert_int_equal(access(place_there, F_OK), 0);
    end_last(pids[RESTARTS]);
    assert_int_equal(access(place_there, F_OK), -1);
    assert_int_equal(rmdir(path), 0);
}

/* A lone client, who comes after the old process has stopped, is served at once: nobody but the new
 * process is woken for it. One restart after another, one client each. */
static void
test_one_client_after_each(void **unused)
{
    int pid;

    (void)unused;
    begin("0");
    for (int i = 1; i <= RESTARTS; i++) {
        assert_int_equal(kill(pids[i - 1], SIGHUP), 0);
        (void)next_generation(i);
        assert_null(talk(&pid));
        expect_end(pids[i - 1]);
        assert_null(talk(&pid));
        assert_int_equal(pid, pids[i]);
    }
    end_last(pids[RESTARTS]);
}

/* A connection of the old process lives on in it until it ends. */
static void
test_old_connections_live(void **unused)
{
    char reply[4] = "";
    int pid = 0, fd;

    (void)unused;
    begin("0");
    fd = dial();
    assert_true(fd >= 0);
    assert_int_equal(recv(fd, &pid, sizeof(pid), MSG_WAITALL), sizeof(pid));
    assert_int_equal(pid, pids[0]);
    assert_int_equal(kill(pids[0], SIGHUP), 0);
    (void)next_generation(1);
    while (talk(&pid) == NULL && pid != pids[1])
        continue; /* Until the old one has stopped accepting. */
    assert_int_equal(pid, pids[1]);
    assert_int_equal(send(fd, "abc", 4, MSG_NOSIGNAL), 4);
    assert_int_equal(recv(fd, reply, 4, MSG_WAITALL), 4);
    assert_string_equal(reply, "abc");
    assert_int_equal(waitpid(pids[0], NULL, WNOHANG), 0);
    close(fd);
    expect_end(pids[0]);
    end_last(pids[1]);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_unix_path),
        cmocka_unit_test(test_one_client_after_each),
        cmocka_unit_test(test_old_connections_live),
    };

    restart_child(argc, argv);
    return run_cases(tests);
}
