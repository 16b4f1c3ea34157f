/*
 * The channel from the new process's side: this program plays an old process that does not keep to
 * the protocol, another copy of it the new one. Nothing that comes may do more than be refused,
 * with a sentence here and a code there.
 */
/* drivers: epoll uring */
#include "harness.h"
#include "restart_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELLO = 1, DESCRIPTORS = 2, READY = 3, REFUSED = 4, MAGIC = 0x6c6c6972 };

/* The new process. */
static int pid, channel, said;

/* ---- the old process's part ---- */

static void
start(const char *part, int argument_count)
{
    const char *program = restart_program();
    int ends[2], out[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char value[64];

        snprintf(value, sizeof(value), "%d:%d", ends[1], (int)getppid());
        setenv("RILL_RESTART", value, 1);
        (void)fcntl(ends[1], F_SETFD, 0);
        dup2(out[1], STDOUT_FILENO);
        execl(program, program, part, argument_count > 0 ? "0" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    close(out[1]);
    channel = ends[0];
    said = out[0];
}

/* A message with what follows it, and copies of stdin as its descriptors. */
typedef struct step {
    int kind, version; /* version 0: ours. kind 0: the text alone. */
    uint32_t count;
    int pid; /* 0: the right one. */
    const char *text;
    size_t text_len;
    int fds;
} step;

#define TEXT(t) .text = (t), .text_len = sizeof(t) - 1

static void
send_step(const step *s)
{
    struct {
        uint32_t magic;
        uint16_t version, kind;
        uint32_t count, pid;
    } head = { MAGIC, (uint16_t)(s->version != 0 ? s->version : 1), (uint16_t)s->kind, s->count,
        (uint32_t)(s->pid != 0 ? s->pid : pid) };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } room = { .bytes = { 0 } };
    struct iovec parts[2] = { { &head, s->kind != 0 ? sizeof(head) : 0 },
        { (void *)(uintptr_t)s->text, s->text_len } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

    if (s->fds > 0) {
        message.msg_control = &room;
        message.msg_controllen = CMSG_SPACE((size_t)s->fds * sizeof(int));
        room.header.cmsg_level = SOL_SOCKET;
        room.header.cmsg_type = SCM_RIGHTS;
        room.header.cmsg_len = CMSG_LEN((size_t)s->fds * sizeof(int));
        memset(CMSG_DATA(&room.header), 0, (size_t)s->fds * sizeof(int)); /* stdin */
    }
    /* It may have refused an earlier one and gone. */
    if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0)
        assert_true(errno == EPIPE || errno == ECONNRESET);
}

/* What it printed in all. */
static const char *
heard(void)
{
    static char text[500];
    size_t len = 0;
    ssize_t got;

    while ((got = read(said, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    return text;
}

/* The code of its refusal; 0: it sent none. */
static int
refusal(void)
{
    struct {
        uint32_t magic;
        uint16_t version, kind;
        uint32_t count, pid;
    } head;
    ssize_t got;

    do /* A reset tells that it has not read all; its last words follow. */
        got = recv(channel, &head, sizeof(head), 0);
    while (got < 0 && errno == ECONNRESET);
    if (got <= 0)
        return 0;
    assert_int_equal(got, sizeof(head));
    assert_int_equal(head.magic, MAGIC);
    assert_int_equal(head.version, 1);
    assert_int_equal(head.kind, REFUSED);
    return -(int)head.count;
}

static void
finish(void)
{
    int status = 0;

    close(channel);
    close(said);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- the cases ---- */

static char long_text[17000];

static const struct {
    const char *name;
    step steps[3];
    int code;
    const char *words;
} refused[] = {
    { "garbage", { { TEXT("hello there, new process") } }, RILL_EPROTOCOL, "expected" },
    { "too short", { { TEXT("ri") } }, RILL_EPROTOCOL, "expected" },
    { "half a head", { { TEXT("rill\1\0\1\0xx") } }, RILL_EPROTOCOL, "expected" },
    { "another version", { { .kind = HELLO, .version = 2 } }, RILL_EVERSION, "version 2" },
    { "a new version's short one", { { TEXT("rill\7\0\1\0") } }, RILL_EVERSION, "version 7" },
    { "another process", { { .kind = HELLO, .pid = 1 } }, RILL_EPROTOCOL, "another process" },
    { "too many", { { .kind = HELLO, .count = 16385 } }, RILL_EPROTOCOL, "promises" },
    { "most", { { .kind = HELLO, .count = UINT32_MAX } }, RILL_EPROTOCOL, "promises" },
    { "a descriptor too soon", { { .kind = HELLO, .fds = 1 } }, RILL_EPROTOCOL, "promises" },
    { "no greeting", { { .kind = DESCRIPTORS, .count = 1, TEXT("\0a\0"), .fds = 1 } },
        RILL_EPROTOCOL, "expected" },
    { "its own message", { { .kind = READY } }, RILL_EPROTOCOL, "expected" },
    { "two greetings", { { .kind = HELLO, .count = 1 }, { .kind = HELLO, .count = 1 } },
        RILL_EPROTOCOL, "expected" },
    { "more than promised",
        { { .kind = HELLO, .count = 1 },
            { .kind = DESCRIPTORS, .count = 2, TEXT("\0a\0\0b\0"), .fds = 2 } },
        RILL_EPROTOCOL, "number" },
    { "fewer than said",
        { { .kind = HELLO, .count = 2 },
            { .kind = DESCRIPTORS, .count = 2, TEXT("\0a\0\0b\0"), .fds = 1 } },
        RILL_EPROTOCOL, "number" },
    { "none", { { .kind = HELLO, .count = 1 }, { .kind = DESCRIPTORS } }, RILL_EPROTOCOL,
        "number" },
    { "no name", { { .kind = HELLO, .count = 1 }, { .kind = DESCRIPTORS, .count = 1, .fds = 1 } },
        RILL_EPROTOCOL, "name" },
    { "an empty name",
        { { .kind = HELLO, .count = 1 },
            { .kind = DESCRIPTORS, .count = 1, TEXT("\0\0"), .fds = 1 } },
        RILL_EPROTOCOL, "name" },
    { "a name without end",
        { { .kind = HELLO, .count = 1 },
            { .kind = DESCRIPTORS, .count = 1, TEXT("\0abc"), .fds = 1 } },
        RILL_EPROTOCOL, "name" },
    { "a bad name",
        { { .kind = HELLO, .count = 1 },
            { .kind = DESCRIPTORS, .count = 1, TEXT("\0a:b\0"), .fds = 1 } },
        RILL_EPROTOCOL, "name" },
    { "the second name is missing",
        { { .kind = HELLO, .count = 2 },
            { .kind = DESCRIPTORS, .count = 2, TEXT("\0a\0"), .fds = 2 } },
        RILL_EPROTOCOL, "name" },
    { "more behind the names",
        { { .kind = HELLO, .count = 1 },
            { .kind = DESCRIPTORS, .count = 1, TEXT("\0a\0!"), .fds = 1 } },
        RILL_EPROTOCOL, "behind" },
    { "a long message",
        { { .kind = HELLO, .count = 1 }, { .kind = DESCRIPTORS,
                                             .count = 1,
                                             .text = long_text,
                                             .text_len = sizeof(long_text),
                                             .fds = 1 } },
        RILL_EPROTOCOL, "too long" },
};

static void
test_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char line[600];

        start("inherit", 1);
        for (size_t k = 0; k < 3 && (refused[i].steps[k].kind | (k == 0)) != 0; k++)
            send_step(&refused[i].steps[k]);
        snprintf(line, sizeof(line), "%s: %s", refused[i].name, heard());
        assert_contains(line, rill_errname(refused[i].code));
        assert_contains(line, refused[i].words);
        assert_code(refusal(), refused[i].code);
        finish();
    }
}

static void
test_taken(void **unused)
{
    (void)unused;
    start("inherit", 1);
    send_step(&(step){ .kind = HELLO, .count = 3 });
    send_step(&(step){ .kind = DESCRIPTORS, .count = 2, TEXT("\0web\0\1adm in\0"), .fds = 2 });
    send_step(&(step){ .kind = DESCRIPTORS, .count = 1, TEXT("\0web\0"), .fds = 1 });
    assert_string_equal(heard(), "1 web adm in web\n");
    assert_int_equal(refusal(), 0); /* It let go without a word. */
    finish();
}

/* The old process ends at every point. */
static void
test_the_old_process_ends(void **unused)
{
    (void)unused;
    for (int steps = 0; steps < 3; steps++) {
        start("inherit", 1);
        if (steps > 0)
            send_step(&(step){ .kind = HELLO, .count = 2 });
        if (steps > 1)
            send_step(&(step){ .kind = DESCRIPTORS, .count = 1, TEXT("\0a\0"), .fds = 1 });
        assert_int_equal(shutdown(channel, SHUT_RDWR), 0);
        assert_contains(heard(), "RILL_EGONE");
        finish();
    }
}

/* It stays and says no more. */
static void
test_the_old_process_is_silent(void **unused)
{
    (void)unused;
    start("inherit-soon", 0);
    send_step(&(step){ .kind = HELLO, .count = 2 });
    send_step(&(step){ .kind = DESCRIPTORS, .count = 1, TEXT("\0a\0"), .fds = 1 });
    assert_contains(heard(), "RILL_ETIMEDOUT");
    assert_code(refusal(), RILL_ETIMEDOUT);
    finish();
}

/* It has ended when the new one gets ready: that one is told, and serves. */
static void
test_ready_for_nobody(void **unused)
{
    (void)unused;
    start("ready-alone", 0);
    send_step(&(step){ .kind = HELLO });
    assert_int_equal(shutdown(channel, SHUT_RDWR), 0);
    assert_contains(heard(), "RILL_EGONE");
    finish();
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_the_old_process_ends),
        cmocka_unit_test(test_the_old_process_is_silent),
        cmocka_unit_test(test_ready_for_nobody),
    };

    restart_child(argc, argv);
    return run_cases(tests);
}
