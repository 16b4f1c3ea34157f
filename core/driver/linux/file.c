/*
 * Files as jobs of an executor use them: every call blocks.
 *
 * A call that a signal interrupts is made again. New descriptors are close-on-exec. No state; any
 * thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rill/file.h>

#include "core/driver/host.h"
#include "core/driver/linux/linux.h"
#include "core/internal.h"

#define PATH_BYTES 4096

/* ---- opening and closing ---- */

int
rill__host_file_open(const char *path, unsigned flags, int mode)
{
    int how = O_CLOEXEC | O_NOCTTY;
    int fd;

    if ((flags & RILL_FILE_WRITE) != 0)
        how |= (flags & RILL_FILE_READ) != 0 ? O_RDWR : O_WRONLY;
    if ((flags & RILL_FILE_CREATE) != 0)
        how |= O_CREAT;
    if ((flags & RILL_FILE_EXCLUSIVE) != 0)
        how |= O_EXCL;
    if ((flags & RILL_FILE_TRUNCATE) != 0)
        how |= O_TRUNC;
    if ((flags & RILL_FILE_APPEND) != 0)
        how |= O_APPEND;
    do
        fd = open(path, how, (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* Interrupted, it is closed all the same. */
int
rill__host_file_close(int fd)
{
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

/* ---- bytes ---- */

int64_t
rill__host_file_read(int fd, uint64_t offset, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

int
rill__host_file_write(int fd, uint64_t offset, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t put = pwrite(fd, (const char *)data + done, len - done, (off_t)(offset + done));

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        done += (size_t)put;
    }
    return 0;
}

int64_t
rill__host_file_read_on(int fd, void *buf, size_t len)
{
    ssize_t got;

    do
        got = read(fd, buf, len);
    while (got < 0 && errno == EINTR);
    return rill__result(got);
}

int
rill__host_file_write_on(int fd, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t put = write(fd, (const char *)data + done, len - done);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        done += (size_t)put;
    }
    return 0;
}

int64_t
rill__host_file_size(int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? status.st_size : 0;
}

int
rill__host_file_sync(int fd)
{
    return fsync(fd) < 0 ? -errno : 0;
}

/* ---- names ---- */

int
rill__host_file_rename(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : 0;
}

int
rill__host_file_remove(const char *path)
{
    return unlink(path) < 0 ? -errno : 0;
}

int
rill__host_directory_sync(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char directory[PATH_BYTES];
    int fd;
    int rc;

    if (len >= sizeof(directory))
        return -ENAMETOOLONG;
    memcpy(directory, slash == NULL ? "." : path, len);
    directory[len] = '\0';
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = rill__host_file_sync(fd);
    (void)close(fd);
    return rc == -EINVAL ? 0 : rc; /* A file system that has nothing to remember. */
}

uint64_t
rill__host_random(void)
{
    uint64_t number;

    rill__sys_linux.entropy(NULL, &number, sizeof(number));
    return number;
}

/* ---- directories ---- */

static int
kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return RILL_WALK_FILE;
    case S_IFDIR:
        return RILL_WALK_DIRECTORY;
    case S_IFLNK:
        return RILL_WALK_LINK;
    default:
        return RILL_WALK_OTHER;
    }
}

int
rill__host_file_kind(const char *path)
{
    struct stat status;

    return lstat(path, &status) < 0 ? -errno : kind_of_mode(status.st_mode);
}

/* Not every file system tells with the name what it is. */
static int
kind_of_entry(int directory, const struct dirent *entry)
{
    struct stat status;

    switch (entry->d_type) {
    case DT_REG:
        return RILL_WALK_FILE;
    case DT_DIR:
        return RILL_WALK_DIRECTORY;
    case DT_LNK:
        return RILL_WALK_LINK;
    case DT_UNKNOWN:
        if (fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            return kind_of_mode(status.st_mode);
        return RILL_WALK_OTHER;
    default:
        return RILL_WALK_OTHER;
    }
}

static int
each_of(DIR *directory, int (*each)(void *arg, const char *name, int kind), void *arg)
{
    for (;;) {
        const struct dirent *entry;
        int rc;

        errno = 0;
        entry = readdir(directory);
        if (entry == NULL)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = each(arg, entry->d_name, kind_of_entry(dirfd(directory), entry));
        if (rc != 0)
            return rc;
    }
}

int
rill__host_directory_each(
    const char *path, int (*each)(void *arg, const char *name, int kind), void *arg)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory;
    int rc;

    if (fd < 0)
        return -errno;
    directory = fdopendir(fd);
    if (directory == NULL) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    rc = each_of(directory, each, arg);
    (void)closedir(directory);
    return rc;
}
