/*
 * Files in tasks, through the loop's executor: the loop goes on while the disk takes its time.
 *
 * All of these are a task's. They return 0 or more, or -errno and so on with a sentence in
 * rill_loop_last_error; RILL_EINVAL; RILL_ENOTASK; and what rill_to_thread says of the executor. A
 * caller that is canceled gets RILL_ECANCELED if nothing has begun, else what came of it: a
 * descriptor that was opened is never lost. On the simulator they are real files.
 */
#ifndef RILL_FILE_H
#define RILL_FILE_H

#include <rill/executor.h>

RILL_BEGIN

typedef enum rill_file_flag {
    RILL_FILE_READ = 1,      /* To read; */
    RILL_FILE_WRITE = 2,     /* to write; */
    RILL_FILE_CREATE = 4,    /* made if it is not there; */
    RILL_FILE_EXCLUSIVE = 8, /* -EEXIST if it is; */
    RILL_FILE_TRUNCATE = 16, /* emptied; */
    RILL_FILE_APPEND = 32,   /* written at its end, wherever that is. */
    RILL_FILE_ATOMIC = 64,   /* rill_file_write: all of it or nothing, by a rename. */
    RILL_FILE_SYNC = 128     /* rill_file_write: on the disk before it returns. */
} rill_file_flag;

/*
 * Read a whole file, at most `max` bytes (0: 64 MiB; a longer one is RILL_ELIMIT). The bytes are
 * yours: rill_file_free gives them back. A zero byte follows them, which `ret_len` does not count.
 */
RILL_API RILL_MUST_CHECK int
rill_file_read(const char *path, void **ret_data, size_t *ret_len, size_t max);

/* Give back what rill_file_read made; NULL is ignored. Any thread. */
RILL_API void rill_file_free(void *data);

/*
 * Make a file of these bytes, or put them in place of what is in it. `mode`: of a new one, without
 * what the umask takes. `flags`: RILL_FILE_EXCLUSIVE, _APPEND, _SYNC and _ATOMIC, which writes a
 * new file beside it and renames that: whoever reads sees the old one or the new one, and after an
 * error the old one. `data` is in use until the call returns.
 */
RILL_API RILL_MUST_CHECK int
rill_file_write(const char *path, const void *data, size_t len, int mode, unsigned flags);

/* Open a file with RILL_FILE_READ, _WRITE, _CREATE, _EXCLUSIVE, _TRUNCATE and _APPEND. Returns a
 * descriptor, close-on-exec, yours. */
RILL_API RILL_MUST_CHECK int rill_file_open(const char *path, unsigned flags, int mode);

/* Read at an offset until `len` bytes are there or the file ends. Returns how many. */
RILL_API RILL_MUST_CHECK int64_t rill_file_read_at(int fd, uint64_t offset, void *buf, size_t len);

/* Write all of it at an offset; of a file opened with RILL_FILE_APPEND, at its end. Returns 0. */
RILL_API RILL_MUST_CHECK int
rill_file_write_at(int fd, uint64_t offset, const void *data, size_t len);

/* Close a descriptor, whatever it says: also in a task that is canceled, then without waiting for a
 * thread. Returns 0, or the error of a write that was late. */
RILL_API int rill_file_close(int fd);

typedef enum rill_walk_kind {
    RILL_WALK_FILE,
    RILL_WALK_DIRECTORY,
    RILL_WALK_LINK, /* Not followed. */
    RILL_WALK_OTHER
} rill_walk_kind;

typedef struct rill_walk_entry {
    const char *path; /* Begins with the path that the walk began with. Borrowed for the call. */
    const char *name; /* The last part of it. */
    rill_walk_kind kind;
    unsigned depth; /* 1: in the directory where it began. */
    int error;      /* A directory that cannot be read: -EACCES and so on, told a second time. */
} rill_walk_entry;

/* What `each` returns to leave a directory out. */
#define RILL_WALK_SKIP 1

/*
 * Call `each(entry, arg)` for everything below a directory: in the order of names (by bytes), a
 * directory before what is in it. It runs in the task, and may wait. 0: go on; RILL_WALK_SKIP;
 * below 0: stop. Names that come and go meanwhile may be missed. Returns 0 at the end; what `each`
 * stopped it with; -errno when `path` itself cannot be read; RILL_ELIMIT for a path beyond 4,095
 * bytes.
 */
RILL_API RILL_MUST_CHECK int
rill_walk(const char *path, int (*each)(const rill_walk_entry *entry, void *arg), void *arg);

RILL_END

#endif
