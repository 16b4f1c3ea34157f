/*
 * Walking a directory: what is in one is read in one job, and told to the task name by name.
 *
 * The directories between the first one and the present one are levels, each with a sorted list of
 * what it has; no descriptor stays open between two jobs, and nothing recurses on the task's stack.
 * Lists are the process's memory, as jobs make them. A task's.
 */
#include <rill/file.h>

#include "tasks/internal.h"

#define PATH_BYTES  ((size_t)4096)
#define FIRST_BYTES ((size_t)1024)

/* The entries of one directory, one after another: a byte for the kind, and the name. */
typedef struct level {
    struct level *outer;
    size_t path_len; /* Of this directory. */
    char *bytes;
    size_t len;
    size_t room;
    size_t count;
    char **names; /* Sorted; each points at its kind. */
    size_t next;
} level;

typedef struct walk {
    int (*each)(const rill_walk_entry *entry, void *arg);
    void *arg;
    level *present;
    unsigned depth;
    const char *root;
    char path[PATH_BYTES];
} walk;

typedef struct listing {
    const char *path;
    level *level;
} listing;

static void *
take(size_t size)
{
    return rill__default_allocator.alloc(rill__default_allocator.ctx, size, RILL_TAG_TASK);
}

static void
release(void *block)
{
    if (block != NULL)
        rill__default_allocator.free(rill__default_allocator.ctx, block, 0, RILL_TAG_TASK);
}

/* ---- a job: what a directory has ---- */

static int
add_name(void *arg, const char *name, int kind)
{
    level *self = arg;
    size_t bytes = strlen(name) + 2;

    if (bytes > self->room - self->len) {
        size_t room = self->room != 0 ? self->room * 2 : FIRST_BYTES;
        char *moved = take(room);

        if (moved == NULL)
            return -ENOMEM;
        memcpy(moved, self->bytes != NULL ? self->bytes : "", self->len);
        release(self->bytes);
        self->bytes = moved;
        self->room = room;
    }
    self->bytes[self->len] = (char)kind;
    memcpy(self->bytes + self->len + 1, name, bytes - 1);
    self->len += bytes;
    self->count++;
    return 0;
}

/* Down the heap of names from `at`. */
static void
sink(char **names, size_t at, size_t count)
{
    for (;;) {
        size_t child = 2 * at + 1;
        char *swapped = names[at];

        if (child >= count)
            return;
        if (child + 1 < count && strcmp(names[child] + 1, names[child + 1] + 1) < 0)
            child++;
        if (strcmp(swapped + 1, names[child] + 1) >= 0)
            return;
        names[at] = names[child];
        names[child] = swapped;
        at = child;
    }
}

static void
sort(char **names, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sink(names, i, count);
    for (size_t end = count; end-- > 1;) {
        char *largest = names[0];

        names[0] = names[end];
        names[end] = largest;
        sink(names, 0, end);
    }
}

static int
list(void *arg)
{
    listing *self = arg;
    level *at = self->level;
    size_t offset = 0;
    int rc = rill__host_directory_each(self->path, add_name, at);

    if (rc < 0 || at->count == 0)
        return rc;
    at->names = take(at->count * sizeof(*at->names));
    if (at->names == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < at->count; i++) {
        at->names[i] = at->bytes + offset;
        offset += strlen(at->names[i] + 1) + 2;
    }
    sort(at->names, at->count);
    return 0;
}

/* ---- levels ---- */

static void
leave(walk *self)
{
    level *left = self->present;

    self->present = left->outer;
    self->depth--;
    release(left->names);
    release(left->bytes);
    release(left);
}

/* Into the directory that the path names now. */
static int
enter(walk *self)
{
    level *entered = take(sizeof(*entered));
    listing job = { self->path, entered };
    int rc;

    if (entered == NULL)
        return -ENOMEM;
    memset(entered, 0, sizeof(*entered));
    entered->outer = self->present;
    entered->path_len = strlen(self->path);
    self->present = entered;
    self->depth++;
    rc = rill_to_thread(list, &job);
    if (rc < 0)
        leave(self);
    return rc;
}

static int
set_path(walk *self, const char *name)
{
    size_t len = self->present->path_len;
    size_t name_len = strlen(name);

    if (len + 1 + name_len >= sizeof(self->path))
        return RILL_ELIMIT;
    if (len > 0 && self->path[len - 1] != '/')
        self->path[len++] = '/';
    memcpy(self->path + len, name, name_len + 1);
    return 0;
}

/* ---- the walk ---- */

static int
tell_one(walk *self, const char *name, rill_walk_kind kind)
{
    rill_walk_entry entry = {
        .path = self->path, .name = name, .kind = kind, .depth = self->depth
    };
    int rc = self->each(&entry, self->arg);

    if (rc != 0 || kind != RILL_WALK_DIRECTORY)
        return rc < 0 ? rc : 0;
    rc = enter(self);
    /* Of this one alone; what the executor or a cancel says ends the walk. */
    if (rc != -EACCES && rc != -ENOENT && rc != -ENOTDIR && rc != -ELOOP && rc != -EIO)
        return rc;
    entry.error = rc;
    rc = self->each(&entry, self->arg);
    return rc < 0 ? rc : 0;
}

static int
go(walk *self)
{
    int rc = enter(self);

    while (rc == 0 && self->present != NULL) {
        level *at = self->present;
        const char *entry;

        if (at->next == at->count) {
            leave(self);
            continue;
        }
        entry = at->names[at->next++];
        self->path[at->path_len] = '\0';
        rc = set_path(self, entry + 1);
        if (rc == 0)
            rc = tell_one(self, entry + 1, (rill_walk_kind)entry[0]);
    }
    while (self->present != NULL)
        leave(self);
    return rc;
}

int
rill_walk(const char *path, int (*each)(const rill_walk_entry *entry, void *arg), void *arg)
{
    rill__fiber *fiber = rill__current();
    size_t len;
    walk *self;
    int rc;

    RILL__REQUIRE(path != NULL && each != NULL);
    rc = rill__may_wait(fiber);
    if (rc < 0)
        return rc;
    len = strnlen(path, PATH_BYTES);
    if (len == PATH_BYTES)
        return rill__fail_call(fiber->loop, RILL_ELIMIT, "rill_walk");
    self = rill__alloc_zeroed(fiber->loop, sizeof(*self), RILL_TAG_TASK);
    if (self == NULL)
        return rill__fail_call(fiber->loop, -ENOMEM, "rill_walk");
    memcpy(self->path, path, len + 1);
    self->each = each;
    self->arg = arg;
    rc = go(self);
    if (rc < 0 && rc != RILL_ECANCELED)
        (void)rill__fail(fiber->loop, rc, RILL_LAYER_SYSTEM, "rill_walk: %.160s: %s", self->path,
            rill_strerror(rc));
    rill__free(fiber->loop, self, sizeof(*self), RILL_TAG_TASK);
    return rc;
}
