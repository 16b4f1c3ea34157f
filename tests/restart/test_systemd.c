/*
 * What systemd tells a service, in every form, and what a service tells systemd: variables of
 * socket activation in real processes, datagrams to a real socket, the watchdog.
 */
/* drivers: epoll uring */
#include "harness.h"
#include "program.h"
#include "restart_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- socket activation ---- */

/* Starts this program by a shell that makes the descriptors and variables; what it prints. */
static const char *
inherit(const char *preparation, int unset)
{
    static program p;
    static harness h;
    static char line[300];
    char command[1200];
    const char *const argv[] = { "sh", "-c", command, NULL };

    snprintf(command, sizeof(command), "%s; exec '%s' inherit %d", preparation, restart_program(),
        unset);
    harness_open(&h);
    program_start(&p, &h, argv, false);
    snprintf(line, sizeof(line), "%s", program_line(&p));
    program_finish(&p);
    harness_close(&h);
    return line;
}

#define TWO "exec 3</dev/null 4</dev/null 5<&-; export LISTEN_PID=$$ LISTEN_FDS=2"

static void
test_activation(void **unused)
{
    (void)unused;
    assert_string_equal(inherit(":", 0), "0");
    assert_string_equal(inherit(TWO, 0), "2 unknown unknown fds");
    assert_string_equal(inherit(TWO " LISTEN_FDNAMES=web:admin", 0), "2 web admin fds names");
    assert_string_equal(inherit(TWO " LISTEN_FDNAMES=web:web", 1), "2 web web");
    assert_string_equal(inherit(TWO " LISTEN_FDNAMES='a b:c'", 1), "2 a b c");
}

/* Not meant for this process, or for nobody: nothing is inherited, and nothing is wrong. */
static void
test_activation_of_another(void **unused)
{
    (void)unused;
    assert_string_equal(inherit(TWO " LISTEN_PID=1", 1), "0 fds");
    assert_string_equal(inherit(TWO "; unset LISTEN_PID", 0), "0 fds");
    assert_string_equal(inherit(TWO "; unset LISTEN_FDS", 0), "0");
    assert_string_equal(inherit(TWO " LISTEN_FDS=0", 0), "0 fds");
    assert_string_equal(inherit(TWO " LISTEN_PID=1 LISTEN_FDS=nonsense", 0), "0 fds");
}

static const struct {
    const char *variables, *words;
} malformed[] = {
    { "LISTEN_PID=", "LISTEN_PID is no process: \"\"" },
    { "LISTEN_PID=0", "LISTEN_PID is no process: \"0\"" },
    { "LISTEN_PID=-1", "LISTEN_PID is no process: \"-1\"" },
    { "LISTEN_PID=' '$$", "LISTEN_PID is no process: \" " },
    { "LISTEN_PID=$$' '", "LISTEN_PID is no process" },
    { "LISTEN_PID=+$$", "LISTEN_PID is no process: \"+" },
    { "LISTEN_PID=0x10", "LISTEN_PID is no process: \"0x10\"" },
    { "LISTEN_PID=2147483648", "LISTEN_PID is no process: \"2147483648\"" },
    { "LISTEN_PID=99999999999999999999999", "LISTEN_PID is no process: \"9999" },
    { "LISTEN_FDS=", "LISTEN_FDS is no number of descriptors: \"\"" },
    { "LISTEN_FDS=-2", "LISTEN_FDS is no number of descriptors: \"-2\"" },
    { "LISTEN_FDS=2x", "LISTEN_FDS is no number of descriptors: \"2x\"" },
    { "LISTEN_FDS=16385", "LISTEN_FDS is no number of descriptors: \"16385\"" },
    { "LISTEN_FDS=18446744073709551618", "LISTEN_FDS is no number of descriptors: \"1844" },
    { "LISTEN_FDS=20", "descriptor 5 was not inherited" },
    { "LISTEN_FDNAMES=web", "has fewer names" },
    { "LISTEN_FDNAMES=web:admin:more", "has more names" },
    { "LISTEN_FDNAMES=web:admin:", "has more names" },
    { "LISTEN_FDNAMES=", "has a name that is none" },
    { "LISTEN_FDNAMES=:", "has a name that is none" },
    { "LISTEN_FDNAMES=web:", "has a name that is none" },
    { "LISTEN_FDNAMES=\"web:a\tb\"", "has a name that is none" },
    { "LISTEN_FDNAMES=web:$(printf 'x%0255d' 1)", "has a name that is too long" },
};

static void
test_malformed(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        char preparation[300];
        const char *said;

        snprintf(preparation, sizeof(preparation), TWO " %s", malformed[i].variables);
        said = inherit(preparation, 0);
        assert_contains(said, "RILL_EINVAL");
        assert_contains(said, malformed[i].words);
    }
}

/* The variable of a restart is looked at as strictly, and comes first. */
static void
test_malformed_restart(void **unused)
{
    static const char *const values[] = { "", "3", ":", "3:", ":$$", "3:x", "x:$PPID", "3:$PPID:1",
        "-3:$PPID", "4294967299:$PPID", "3 :$PPID" };

    (void)unused;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char preparation[300];
        const char *said;

        snprintf(preparation, sizeof(preparation), TWO " RILL_RESTART=\"%s\"", values[i]);
        said = inherit(preparation, 0);
        assert_contains(said, "RILL_EINVAL RILL_RESTART is no descriptor and process");
    }
    assert_contains(inherit(TWO " RILL_RESTART=3:$PPID", 0), "descriptor 3 is no channel");
    assert_contains(inherit(TWO " RILL_RESTART=77:$PPID", 0), "descriptor 77 is no channel");
    assert_string_equal(inherit(TWO " RILL_RESTART=3:1", 0), "2 unknown unknown fds");
}

/* ---- notification ---- */

static int manager; /* The service manager's socket. */

static void
listen_at(const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = strlen(name);

    memcpy(un.sun_path, name, len);
    if (name[0] == '@')
        un.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(manager >= 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&un,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static int
teardown(void **state)
{
    (void)state;
    if (manager > 0)
        close(manager);
    manager = 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static int
setup(void **state)
{
    return teardown(state);
}

/* The next datagram, and the descriptor that came along. */
static const char *
heard(int *ret_fd)
{
    static char text[500];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room;
    struct iovec part = { text, sizeof(text) - 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room)
    };
    ssize_t got = recvmsg(manager, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *ret_fd = -1;
    if (c != NULL)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void
expect_heard(const char *text)
{
    int fd;

    assert_string_equal(heard(&fd), text);
    assert_int_equal(fd, -1);
}

static void
notify_all(void)
{
    long long before = 0;
    int fd;

    assert_code(rill_notify("READY=1\nSTATUS=serving"), 1);
    expect_heard("READY=1\nSTATUS=serving");
    assert_code(rill_notify("WATCHDOG=1"), 1);
    expect_heard("WATCHDOG=1");
    assert_code(rill_notify_reloading(), 1);
    assert_int_equal(sscanf(heard(&fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &before), 1);
    assert_true(before > 0);
    assert_code(rill_notify_reloading(), 1);
    assert_true(atoll(strrchr(heard(&fd), '=') + 1) >= before);
    assert_code(rill_notify("STOPPING=1"), 1);
    expect_heard("STOPPING=1");
}

static void
test_notify_a_path(void **unused)
{
    char folder[] = "/tmp/rill-notify-XXXXXX", path[64];

    (void)unused;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    listen_at(path);
    notify_all();
    assert_int_equal(unlink(path), 0);
    assert_code(rill_notify("READY=1"), -ENOENT);
    assert_int_equal(rmdir(folder), 0);
}

static void
test_notify_an_abstract_name(void **unused)
{
    char name[64];

    (void)unused;
    snprintf(name, sizeof(name), "@rill-notify-%d", (int)getpid());
    listen_at(name);
    notify_all();
    close(manager);
    manager = 0;
    assert_code(rill_notify("READY=1"), -ECONNREFUSED);
}

/* A descriptor in the manager's store is the same file. */
static void
test_store(void **unused)
{
    struct stat ours, theirs;
    char name[64];
    int ends[2], fd;

    (void)unused;
    snprintf(name, sizeof(name), "@rill-store-%d", (int)getpid());
    listen_at(name);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_code(rill_notify_store("state", ends[0]), 1);
    assert_string_equal(heard(&fd), "FDSTORE=1\nFDNAME=state");
    assert_true(fd >= 0);
    assert_int_equal(fstat(ends[0], &ours), 0);
    assert_int_equal(fstat(fd, &theirs), 0);
    assert_int_equal(ours.st_ino, theirs.st_ino);
    close(fd);
    close(ends[0]);
    close(ends[1]);
    assert_code(rill_notify_store("state", ends[0]), -EBADF);
    assert_code(rill_notify_store("a:b", 0), RILL_EINVAL);
    assert_code(rill_notify_store("", 0), RILL_EINVAL);
}

/* A manager that does not read: the call comes back. */
static void
test_notify_never_waits(void **unused)
{
    char name[64];
    int rc, sent = 0;

    (void)unused;
    snprintf(name, sizeof(name), "@rill-full-%d", (int)getpid());
    listen_at(name);
    while ((rc = rill_notify("WATCHDOG=1")) == 1 && sent < 100000)
        sent++;
    assert_code(rc, -EAGAIN);
    assert_true(sent > 0);
}

static void
test_notify_nobody(void **unused)
{
    char long_name[200];

    (void)unused;
    assert_code(rill_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_code(rill_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "relative/path", 1);
    assert_code(rill_notify("READY=1"), RILL_EINVAL);
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    assert_code(rill_notify("READY=1"), RILL_EINVAL);
    setenv("NOTIFY_SOCKET", "@", 1);
    assert_code(rill_notify("READY=1"), RILL_EINVAL);
    memset(long_name, 'x', sizeof(long_name));
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", long_name, 1);
    assert_code(rill_notify("READY=1"), RILL_EINVAL);
}

/* ---- the watchdog ---- */

static int
watchdog(const char *usec, const char *pid, rill_ns *ret)
{
    if (usec != NULL)
        setenv("WATCHDOG_USEC", usec, 1);
    if (pid != NULL)
        setenv("WATCHDOG_PID", pid, 1);
    return rill_watchdog_interval(ret);
}

static void
test_watchdog(void **unused)
{
    static const char *const wrong[] = { "", "0", "-1", "1s", " 5", "5 ", "9223372036854775807",
        "99999999999999999999999999" };
    rill_ns interval = 77;
    char own[20];

    (void)unused;
    snprintf(own, sizeof(own), "%d", (int)getpid());
    assert_code(watchdog(NULL, NULL, &interval), 0);
    assert_code(watchdog("3000000", "1", &interval), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_code(watchdog(wrong[i], own, &interval), RILL_EINVAL);
        assert_code(watchdog("3000000", i != 6 ? wrong[i] : "x", &interval), RILL_EINVAL);
    }
    assert_int_equal(interval, 77);
    assert_code(watchdog("3000000", own, &interval), 1);
    assert_int_equal(interval, 3 * RILL_S);
    unsetenv("WATCHDOG_PID");
    assert_code(watchdog("1", NULL, &interval), 1);
    assert_int_equal(interval, RILL_US);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation),
        cmocka_unit_test(test_activation_of_another),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_malformed_restart),
        CASE(test_notify_a_path),
        CASE(test_notify_an_abstract_name),
        CASE(test_store),
        CASE(test_notify_never_waits),
        CASE(test_notify_nobody),
        CASE(test_watchdog),
    };

    restart_child(argc, argv);
    return run_cases(tests);
}
