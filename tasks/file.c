/*
 * Files: each call is one job of the loop's executor, whose arguments lie on the caller's stack.
 *
 * What a job fills in on its thread is memory of the process (malloc), as the loop's allocator is
 * for the loop's thread. Errors get their sentence when the job is over, on the loop. No state.
 */
#include <stdio.h>

#include <rill/file.h>

#include "tasks/internal.h"

#define READ_MAX      ((size_t)64 * 1024 * 1024)
#define READ_STEP     ((size_t)64 * 1024)
#define TEMPORARY_MAX 4096
#define TRIES         10
#define OPEN_FLAGS                                                               \
    (RILL_FILE_READ | RILL_FILE_WRITE | RILL_FILE_CREATE | RILL_FILE_EXCLUSIVE | \
        RILL_FILE_TRUNCATE | RILL_FILE_APPEND)
#define WRITE_FLAGS (RILL_FILE_EXCLUSIVE | RILL_FILE_APPEND | RILL_FILE_ATOMIC | RILL_FILE_SYNC)
#define MODE_MAX    07777

static void *
take(size_t size)
{
    return rill__default_allocator.alloc(rill__default_allocator.ctx, size, RILL_TAG_TASK);
}

void
rill_file_free(void *data)
{
    if (data != NULL)
        rill__default_allocator.free(rill__default_allocator.ctx, data, 0, RILL_TAG_TASK);
}

/* What the call says in the end. */
static int
tell(int rc, const char *call, const char *path)
{
    if (rc >= 0 || rill__running == NULL || rc == RILL_ECANCELED)
        return rc;
    if (path == NULL)
        return rill__fail(rill__running, rc, RILL_LAYER_SYSTEM, "%s: %s", call, rill_strerror(rc));
    return rill__fail(
        rill__running, rc, RILL_LAYER_SYSTEM, "%s: %.160s: %s", call, path, rill_strerror(rc));
}

/* ---- whole files: reading ---- */

typedef struct reading {
    const char *path;
    size_t max;
    char *data;
    size_t len;
    size_t room; /* For bytes, besides the zero. */
} reading;

static int
make_room(reading *self, size_t room)
{
    char *moved = self->data == NULL ? take(room + 1)
                                     : rill__default_allocator.resize(rill__default_allocator.ctx,
                                           self->data, self->room + 1, room + 1, RILL_TAG_TASK);

    if (moved == NULL)
        return -ENOMEM;
    self->data = moved;
    self->room = room;
    return 0;
}

/* One byte beyond what is allowed is asked for, to see whether there is one. */
static int
read_open(reading *self, int fd)
{
    int64_t size = rill__host_file_size(fd);
    size_t first = size > 0 && (uint64_t)size <= self->max ? (size_t)size + 1 : READ_STEP;
    int rc;

    if (size < 0 || (uint64_t)size > self->max)
        return size < 0 ? (int)size : RILL_ELIMIT;
    rc = make_room(self, first <= self->max ? first : self->max + 1);
    while (rc == 0) {
        int64_t got = rill__host_file_read_on(fd, self->data + self->len, self->room - self->len);

        if (got <= 0)
            return (int)got;
        self->len += (size_t)got;
        if (self->len > self->max)
            return RILL_ELIMIT;
        if (self->len == self->room)
            rc = make_room(self, self->room * 2 <= self->max ? self->room * 2 : self->max + 1);
    }
    return rc;
}

static int
read_whole(void *arg)
{
    reading *self = arg;
    int fd = rill__host_file_open(self->path, RILL_FILE_READ, 0);
    int rc;

    if (fd < 0)
        return fd;
    rc = read_open(self, fd);
    (void)rill__host_file_close(fd); /* Nothing was written. */
    if (rc < 0) {
        rill_file_free(self->data);
        self->data = NULL;
    }
    return rc;
}

int
rill_file_read(const char *path, void **ret_data, size_t *ret_len, size_t max)
{
    reading self = { .path = path, .max = max != 0 ? max : READ_MAX };
    int rc;

    RILL__REQUIRE(path != NULL && ret_data != NULL && ret_len != NULL && max < SIZE_MAX / 4);
    rc = rill_to_thread(read_whole, &self);
    if (rc < 0)
        return tell(rc, "rill_file_read", path);
    self.data[self.len] = '\0';
    *ret_data = self.data;
    *ret_len = self.len;
    return 0;
}

/* ---- whole files: writing ---- */

typedef struct writing {
    const char *path;
    const void *data;
    size_t len;
    int mode;
    unsigned flags;
} writing;

static int
write_open(const writing *self, int fd)
{
    int rc = rill__host_file_write_on(fd, self->data, self->len);
    int closed;

    if (rc == 0 && (self->flags & RILL_FILE_SYNC) != 0)
        rc = rill__host_file_sync(fd);
    closed = rill__host_file_close(fd);
    return rc < 0 ? rc : closed;
}

static int
write_in_place(const writing *self)
{
    unsigned flags = RILL_FILE_WRITE | RILL_FILE_CREATE | (self->flags & RILL_FILE_EXCLUSIVE);
    int fd;
    int rc;

    flags |= (self->flags & RILL_FILE_APPEND) != 0 ? RILL_FILE_APPEND : RILL_FILE_TRUNCATE;
    fd = rill__host_file_open(self->path, flags, self->mode);
    if (fd < 0)
        return fd;
    rc = write_open(self, fd);
    if (rc == 0 && (self->flags & RILL_FILE_SYNC) != 0)
        rc = rill__host_directory_sync(self->path);
    return rc;
}

static int
open_temporary(const writing *self, char *name)
{
    unsigned flags = RILL_FILE_WRITE | RILL_FILE_CREATE | RILL_FILE_EXCLUSIVE;
    int fd = -EEXIST;

    for (int i = 0; i < TRIES && fd == -EEXIST; i++) {
        snprintf(
            name, TEMPORARY_MAX, "%s.%016llx", self->path, (unsigned long long)rill__host_random());
        fd = rill__host_file_open(name, flags, self->mode);
    }
    return fd;
}

static int
write_beside(const writing *self, char *name)
{
    int fd = open_temporary(self, name);
    int rc;

    if (fd < 0)
        return fd;
    rc = write_open(self, fd);
    if (rc == 0)
        rc = rill__host_file_rename(name, self->path);
    if (rc < 0)
        (void)rill__host_file_remove(name); /* The error that counts is the first. */
    else if ((self->flags & RILL_FILE_SYNC) != 0)
        rc = rill__host_directory_sync(self->path);
    return rc;
}

static int
write_whole(void *arg)
{
    const writing *self = arg;
    char *name;
    int rc;

    if ((self->flags & RILL_FILE_ATOMIC) == 0)
        return write_in_place(self);
    if (strnlen(self->path, TEMPORARY_MAX) + 18 > TEMPORARY_MAX)
        return -ENAMETOOLONG;
    name = take(TEMPORARY_MAX); /* It is long for a stack. */
    if (name == NULL)
        return -ENOMEM;
    rc = write_beside(self, name);
    rill_file_free(name);
    return rc;
}

int
rill_file_write(const char *path, const void *data, size_t len, int mode, unsigned flags)
{
    writing self = { .path = path, .data = data, .len = len, .mode = mode, .flags = flags };
    bool replaces = (flags & RILL_FILE_ATOMIC) != 0;
    bool adds = (flags & (RILL_FILE_APPEND | RILL_FILE_EXCLUSIVE)) != 0;

    RILL__REQUIRE(path != NULL && (data != NULL || len == 0) && mode >= 0 && mode <= MODE_MAX &&
                  (flags & ~(unsigned)WRITE_FLAGS) == 0 && !(replaces && adds));
    return tell(rill_to_thread(write_whole, &self), "rill_file_write", path);
}

/* ---- descriptors ---- */

typedef struct opening {
    const char *path;
    unsigned flags;
    int mode;
} opening;

static int
open_one(void *arg)
{
    const opening *self = arg;

    return rill__host_file_open(self->path, self->flags, self->mode);
}

int
rill_file_open(const char *path, unsigned flags, int mode)
{
    opening self = { path, flags, mode };

    RILL__REQUIRE(path != NULL && (flags & (RILL_FILE_READ | RILL_FILE_WRITE)) != 0 &&
                  (flags & ~(unsigned)OPEN_FLAGS) == 0 && mode >= 0 && mode <= MODE_MAX);
    return tell(rill_to_thread(open_one, &self), "rill_file_open", path);
}

typedef struct moving {
    int fd;
    uint64_t offset;
    void *buf;
    const void *data;
    size_t len;
    int64_t result;
} moving;

static int
read_some(void *arg)
{
    moving *self = arg;

    self->result = rill__host_file_read(self->fd, self->offset, self->buf, self->len);
    return self->result < 0 ? (int)self->result : 0;
}

int64_t
rill_file_read_at(int fd, uint64_t offset, void *buf, size_t len)
{
    moving self = { .fd = fd, .offset = offset, .buf = buf, .len = len };
    int rc;

    RILL__REQUIRE(
        fd >= 0 && (buf != NULL || len == 0) && offset <= INT64_MAX && len <= INT64_MAX - offset);
    rc = rill_to_thread(read_some, &self);
    return rc < 0 ? tell(rc, "rill_file_read_at", NULL) : self.result;
}

static int
write_some(void *arg)
{
    moving *self = arg;

    return rill__host_file_write(self->fd, self->offset, self->data, self->len);
}

int
rill_file_write_at(int fd, uint64_t offset, const void *data, size_t len)
{
    moving self = { .fd = fd, .offset = offset, .data = data, .len = len };

    RILL__REQUIRE(
        fd >= 0 && (data != NULL || len == 0) && offset <= INT64_MAX && len <= INT64_MAX - offset);
    return tell(rill_to_thread(write_some, &self), "rill_file_write_at", NULL);
}

typedef struct closing {
    int fd;
    bool closed;
} closing;

static int
close_one(void *arg)
{
    closing *self = arg;

    self->closed = true;
    return rill__host_file_close(self->fd);
}

int
rill_file_close(int fd)
{
    closing self = { .fd = fd };
    int rc;

    RILL__REQUIRE(fd >= 0);
    rc = rill_to_thread(close_one, &self);
    if (!self.closed)
        rc = rill__host_file_close(fd);
    return tell(rc, "rill_file_close", NULL);
}
