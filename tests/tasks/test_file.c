/* timeout: 120 */
/*
 * Files in tasks: what is written is there, errors have a sentence, nothing half written is left,
 * and a cancel loses no descriptor. On the simulator they are real files, too.
 */
#include "tasks.h"
#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rill/file.h>

static harness h;
static char folder[64];
static char name_buffer[8][128];
static int name_count;

/* A path in the scratch folder; the last eight stay. */
static const char *
in_folder(const char *name)
{
    char *buf = name_buffer[name_count++ % 8];

    snprintf(buf, sizeof(name_buffer[0]), "%s/%s", folder, name);
    return buf;
}

static int
setup(void **unused)
{
    const char *base = getenv("TMPDIR");

    (void)unused;
    snprintf(folder, sizeof(folder), "%.40s/rill-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    harness_open(&h);
    return 0;
}

static int
teardown(void **unused)
{
    char command[128];

    (void)unused;
    if (h.loop != NULL)
        harness_close(&h);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    return 0;
}

static int
put(const char *name, const char *text, unsigned flags)
{
    return rill_file_write(in_folder(name), text, strlen(text), 0644, flags);
}

static void
expect_file(const char *name, const char *text)
{
    void *data;
    size_t len;
    int rc = rill_file_read(in_folder(name), &data, &len, 0);

    assert_code(rc, 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(data, text); /* A zero byte follows. */
    rill_file_free(data);
}

static int
count_files(void)
{
    char command[128];

    snprintf(command, sizeof(command), "exit $(ls -A '%s' | wc -l)", folder);
    return WEXITSTATUS(system(command));
}

/* ---- whole files ---- */

static int
write_and_read(void *unused)
{
    struct stat status;

    (void)unused;
    RILL_TRY(put("a", "hello", 0));
    expect_file("a", "hello");
    RILL_TRY(put("a", "hi", 0)); /* Shorter: nothing of the first is left. */
    expect_file("a", "hi");
    RILL_TRY(put("a", " there", RILL_FILE_APPEND));
    expect_file("a", "hi there");
    RILL_TRY(put("b", "", RILL_FILE_EXCLUSIVE | RILL_FILE_SYNC));
    expect_file("b", "");
    assert_code(put("b", "x", RILL_FILE_EXCLUSIVE), -EEXIST);
    RILL_TRY(rill_file_write(in_folder("c"), "x", 1, 0600, RILL_FILE_ATOMIC));
    assert_int_equal(stat(in_folder("c"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    return 0;
}

/* mutant: tasks/file.c
 * - flags |= (self->flags & RILL_FILE_APPEND) != 0 ? RILL_FILE_APPEND : RILL_FILE_TRUNCATE;
 * + flags |= (self->flags & RILL_FILE_APPEND) != 0 ? RILL_FILE_APPEND : 0; */
static void
test_what_is_written_is_read(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, write_and_read, NULL), 0);
}

static int
read_large(void *unused)
{
    const size_t len = 1000000;
    char *bytes = malloc(len);
    void *data = NULL;
    size_t got = 0;
    int rc;

    (void)unused;
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 >> 3);
    rc = rill_file_write(in_folder("large"), bytes, len, 0644, 0);
    if (rc == 0)
        rc = rill_file_read(in_folder("large"), &data, &got, len);
    assert_true(rc < 0 || (got == len && memcmp(data, bytes, len) == 0));
    rill_file_free(data);
    free(bytes);
    RILL_TRY(rc);
    assert_code(rill_file_read(in_folder("large"), &data, &got, len - 1), RILL_ELIMIT);
    assert_code(rill_file_read(in_folder("large"), &data, &got, 10), RILL_ELIMIT);
    return 0;
}

/* mutant: tasks/file.c
 * - if (self->len > self->max)
 * + if (self->len >= self->max) */
static void
test_a_large_file_and_the_limit(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, read_large, NULL), 0);
}

static int
read_without_size(void *unused)
{
    void *data;
    size_t len;

    (void)unused;
    RILL_TRY(rill_file_read("/proc/self/status", &data, &len, 0)); /* Its size is said to be 0. */
    assert_true(len > 100);
    assert_contains(data, "Name:");
    rill_file_free(data);
    assert_code(rill_file_read("/proc/self/status", &data, &len, 16), RILL_ELIMIT);
    return 0;
}

/* mutant: tasks/file.c
 * - if (size < 0 || (uint64_t)size > self->max)
 * + if (size <= 0 || (uint64_t)size > self->max) */
static void
test_a_file_that_does_not_tell_its_size(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, read_without_size, NULL), 0);
}

static int
read_what_is_not_there(void *unused)
{
    void *data = NULL;
    size_t len = 3;

    (void)unused;
    assert_code(rill_file_read(in_folder("none"), &data, &len, 0), -ENOENT);
    assert_null(data);
    assert_int_equal(len, 3);
    expect_last_error(&h, -ENOENT, "rill_file_read: ");
    expect_last_error(&h, -ENOENT, "/none: No such file");
    assert_code(rill_file_read(folder, &data, &len, 0), -EISDIR);
    assert_code(put("no/such", "x", 0), -ENOENT);
    expect_last_error(&h, -ENOENT, "rill_file_write: ");
    assert_code(put("no/such", "x", RILL_FILE_ATOMIC), -ENOENT);
    return 0;
}

/* mutant: tasks/file.c
 * - if (rc >= 0 || rill__running == NULL || rc == RILL_ECANCELED)
 * + if (true) */
static void
test_errors_are_those_of_the_kernel_with_a_sentence(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, read_what_is_not_there, NULL), 0);
}

static int
replace(void *unused)
{
    int old, got;
    char byte;

    (void)unused;
    RILL_TRY(put("a", "old", 0));
    old = open(in_folder("a"), O_RDONLY);
    assert_true(old >= 0);
    RILL_TRY(put("a", "new", RILL_FILE_ATOMIC | RILL_FILE_SYNC));
    expect_file("a", "new");
    got = (int)read(old, &byte, 1); /* Whoever has it open has the old one. */
    close(old);
    assert_int_equal(got, 1);
    assert_int_equal(byte, 'o');
    assert_int_equal(count_files(), 1);
    return 0;
}

/* mutant: tasks/file.c
 * - if ((self->flags & RILL_FILE_ATOMIC) == 0)
 * + if (true) */
static void
test_an_atomic_write_replaces_the_file_as_a_whole(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, replace, NULL), 0);
}

static int
replace_a_folder(void *unused)
{
    (void)unused;
    assert_int_equal(mkdir(in_folder("d"), 0700), 0);
    assert_code(put("d", "new", RILL_FILE_ATOMIC), -EISDIR);
    assert_int_equal(count_files(), 1);
    return 0;
}

/* mutant: tasks/file.c
 * - (void)rill__host_file_remove(name);
 * + (void)name; */
static void
test_an_atomic_write_that_fails_leaves_nothing_behind(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, replace_a_folder, NULL), 0);
}

/* ---- descriptors ---- */

static int
use_a_descriptor(void *unused)
{
    char buf[16] = "";
    int fd, high;

    (void)unused;
    fd = rill_file_open(in_folder("f"), RILL_FILE_READ | RILL_FILE_WRITE | RILL_FILE_CREATE, 0600);
    if (fd < 0)
        return fd;
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_code(rill_file_write_at(fd, 0, "0123456789", 10), 0);
    assert_code(rill_file_write_at(fd, 4, "xy", 2), 0);
    assert_int_equal(rill_file_read_at(fd, 2, buf, 5), 5);
    assert_string_equal(buf, "23xy6");
    assert_int_equal(rill_file_read_at(fd, 8, buf, 5), 2); /* It ends there. */
    assert_int_equal(rill_file_read_at(fd, 100, buf, 5), 0);
    high = fcntl(fd, F_DUPFD_CLOEXEC, 700); /* A number that no other thread is given meanwhile. */
    assert_true(high >= 700);
    assert_code(rill_file_close(fd), 0);
    assert_code(rill_file_close(high), 0);
    assert_code(rill_file_close(high), -EBADF);
    assert_int_equal(rill_file_read_at(high, 0, buf, 5), -EBADF);
    expect_last_error(&h, -EBADF, "rill_file_read_at");
    assert_code(rill_file_open(in_folder("g"), RILL_FILE_READ, 0), -ENOENT);
    return 0;
}

/* mutant: core/driver/linux/file.c
 * - ssize_t got = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
 * + ssize_t got = pread(fd, (char *)buf + done, len - done, (off_t)done); */
static void
test_reading_and_writing_at_offsets(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, use_a_descriptor, NULL), 0);
}

static int
act_while_canceled(void *unused)
{
    void *data;
    size_t len;
    int fd;

    (void)unused;
    fd = rill_file_open(in_folder("f"), RILL_FILE_WRITE | RILL_FILE_CREATE, 0600);
    if (fd < 0)
        return fd;
    (void)rill_task_cancel(rill_current_task(), NULL);
    assert_code(put("g", "x", 0), RILL_ECANCELED);
    assert_code(rill_file_read(in_folder("f"), &data, &len, 0), RILL_ECANCELED);
    assert_code(rill_file_write_at(fd, 0, "x", 1), RILL_ECANCELED);
    assert_code(rill_file_close(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    return 0;
}

/* mutant: tasks/file.c
 * - if (!self.closed)
 * + if (false) */
static void
test_a_canceled_task_does_nothing_but_close(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, act_while_canceled, NULL), 0);
    assert_int_equal(access(in_folder("g"), F_OK), -1);
}

static int
open_the_pipe(void *ret)
{
    *(int *)ret = rill_file_open(in_folder("pipe"), RILL_FILE_READ, 0);
    return 0;
}

/* Until somebody opens its other end: others run meanwhile. The cancel comes before that, or when
 * the descriptor is on its way. */
static int
cancel_an_open(void *early)
{
    int fd = -1, other = -1;
    rill_task *task;

    unlink(in_folder("pipe"));
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    RILL_TRY(rill_spawn(open_the_pipe, &fd, NULL, &task));
    RILL_TRY(rill_sleep(2 * RILL_MS)); /* It is opened by now, or is not begun. */
    if (*(bool *)early)
        (void)rill_task_cancel(task, NULL);
    while (other < 0 && !rill_task_is_done(task)) {
        RILL_TRY(rill_sleep(RILL_MS));
        other = open(in_folder("pipe"), O_WRONLY | O_NONBLOCK); /* -1 until its job is there. */
    }
    (void)rill_task_cancel(task, NULL);
    RILL_IGNORE(rill_join(task));
    if (other >= 0) {
        assert_true(fd >= 0);
        close(other);
    }
    return fd >= 0 ? rill_file_close(fd) : 0;
}

/* mutant: tasks/job.c @ errand_cancel
 * - return false;
 * + return true; */
static void
test_a_descriptor_that_was_opened_is_not_lost_by_a_cancel(void **unused)
{
    bool early = true, late = false;

    (void)unused;
    assert_code(tasks_run(&h, cancel_an_open, &early), 0);
    assert_code(tasks_run(&h, cancel_an_open, &late), 0);
}

/* ---- walking ---- */

typedef struct tour {
    char text[1024];
    size_t len;
    const char *skip;
    const char *stop;
    bool waits;
} tour;

static int
visit(const rill_walk_entry *entry, void *arg)
{
    static const char kinds[] = { 'f', 'd', 'l', 'o' };
    tour *self = arg;

    assert_int_equal(strncmp(entry->path, folder, strlen(folder)), 0);
    assert_string_equal(strrchr(entry->path, '/') + 1, entry->name);
    self->len += (size_t)snprintf(self->text + self->len, sizeof(self->text) - self->len,
        "%s%c%u:%s%s", self->len > 0 ? " " : "", kinds[entry->kind], entry->depth,
        entry->path + strlen(folder) + 1, entry->error != 0 ? "!" : "");
    if (self->waits)
        RILL_TRY(rill_sleep(RILL_MS));
    if (self->stop != NULL && strcmp(entry->name, self->stop) == 0)
        return RILL_EUSER - 1;
    return self->skip != NULL && strcmp(entry->name, self->skip) == 0 ? RILL_WALK_SKIP : 0;
}

static int
plant_a_tree(void)
{
    assert_int_equal(mkdir(in_folder("b"), 0700), 0);
    assert_int_equal(mkdir(in_folder("b/deep"), 0700), 0);
    assert_int_equal(mkdir(in_folder("c"), 0700), 0);
    RILL_TRY(put("z", "", 0));
    RILL_TRY(put("a", "", 0));
    RILL_TRY(put("B", "", 0));
    RILL_TRY(put("b/2", "", 0));
    RILL_TRY(put("b/10", "", 0));
    RILL_TRY(put("b/deep/leaf", "", 0));
    assert_int_equal(symlink("b", in_folder("link")), 0);
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    return 0;
}

static int
take_tours(void *unused)
{
    tour all = { .waits = true }, without = { .skip = "b" }, part = { .stop = "deep" };

    (void)unused;
    RILL_TRY(plant_a_tree());
    RILL_TRY(rill_walk(folder, visit, &all));
    assert_string_equal(all.text,
        "f1:B f1:a d1:b f2:b/10 f2:b/2 d2:b/deep f3:b/deep/leaf d1:c l1:link o1:pipe f1:z");
    RILL_TRY(rill_walk(folder, visit, &without));
    assert_string_equal(without.text, "f1:B f1:a d1:b d1:c l1:link o1:pipe f1:z");
    assert_code(rill_walk(folder, visit, &part), RILL_EUSER - 1);
    assert_string_equal(part.text, "f1:B f1:a d1:b f2:b/10 f2:b/2 d2:b/deep");
    assert_code(rill_walk(in_folder("none"), visit, &all), -ENOENT);
    expect_last_error(&h, -ENOENT, "rill_walk: ");
    assert_code(rill_walk(in_folder("a"), visit, &all), -ENOTDIR);
    return 0;
}

/* mutant: tasks/walk.c
 * - for (size_t end = count; end-- > 1;) {
 * + for (size_t end = count; end-- > 2;) { */
static void
test_a_walk_goes_in_the_order_of_names_and_follows_no_links(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, take_tours, NULL), 0);
}

static int
remove_it(const rill_walk_entry *entry, void *arg)
{
    int *errors = arg;

    if (entry->error != 0) {
        assert_code(entry->error, -ENOENT);
        ++*errors;
    } else if (strcmp(entry->name, "c") == 0) {
        assert_int_equal(rmdir(entry->path), 0);
    }
    return 0;
}

static int
walk_where_things_vanish(void *unused)
{
    int errors = 0;

    (void)unused;
    RILL_TRY(plant_a_tree());
    RILL_TRY(rill_walk(folder, remove_it, &errors));
    assert_int_equal(errors, 1);
    return 0;
}

/* mutant: tasks/walk.c
 * - if (rc != -EACCES && rc != -ENOENT && rc != -ENOTDIR && rc != -ELOOP && rc != -EIO)
 * + if (rc != -EACCES && rc != -ENOTDIR && rc != -ELOOP && rc != -EIO) */
static void
test_a_directory_that_cannot_be_read_is_told_and_the_walk_goes_on(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, walk_where_things_vanish, NULL), 0);
}

static int
cancel_oneself(const rill_walk_entry *entry, void *arg)
{
    ++*(int *)arg;
    if (strcmp(entry->name, "b") == 0)
        (void)rill_task_cancel(rill_current_task(), NULL);
    return 0;
}

static int
walk_and_be_canceled(void *unused)
{
    int visits = 0;

    (void)unused;
    RILL_TRY(plant_a_tree());
    assert_code(rill_walk(folder, cancel_oneself, &visits), RILL_ECANCELED);
    assert_int_equal(visits, 3);
    return 0;
}

/* mutant: tasks/walk.c @ tell_one
 * - return rc;
 * + return 0; */
static void
test_a_cancel_ends_a_walk(void **unused)
{
    (void)unused;
    assert_code(tasks_run(&h, walk_and_be_canceled, NULL), 0);
}

/* mutant: tasks/job.c
 * - rc = rill__may_wait(fiber);
 * + rc = fiber == NULL ? RILL_ESTATE : rill__may_wait(fiber); */
static void
test_outside_of_a_task_there_are_none(void **unused)
{
    void *data;
    size_t len;

    (void)unused;
    assert_code(rill_file_read("/dev/null", &data, &len, 0), RILL_ENOTASK);
    assert_code(rill_file_open("/dev/null", RILL_FILE_READ, 0), RILL_ENOTASK);
    assert_code(rill_walk("/", visit, NULL), RILL_ENOTASK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_written_is_read),
        CASE(test_a_large_file_and_the_limit),
        CASE(test_a_file_that_does_not_tell_its_size),
        CASE(test_errors_are_those_of_the_kernel_with_a_sentence),
        CASE(test_an_atomic_write_replaces_the_file_as_a_whole),
        CASE(test_an_atomic_write_that_fails_leaves_nothing_behind),
        CASE(test_reading_and_writing_at_offsets),
        CASE(test_a_canceled_task_does_nothing_but_close),
        CASE_ON("kernel", test_a_descriptor_that_was_opened_is_not_lost_by_a_cancel),
        CASE(test_a_walk_goes_in_the_order_of_names_and_follows_no_links),
        CASE(test_a_directory_that_cannot_be_read_is_told_and_the_walk_goes_on),
        CASE(test_a_cancel_ends_a_walk),
        CASE(test_outside_of_a_task_there_are_none),
    };

    return run_cases(tests);
}
