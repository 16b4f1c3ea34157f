/*
 * Reading from streams up to a separator.
 *
 * The bytes are gathered in the stream's buffer and searched where they lie, as they come: the
 * search goes on where a match that is not whole yet could begin, and the task is woken for a
 * match, for too much without one, or for the end. Of several separators the match that ends first
 * counts, and of those that end together the shortest. Loop thread only.
 */
#include "tasks/stream.h"

enum verdict { NOT_FOUND, FOUND, TOO_FAR, TOO_LONG };

typedef struct search {
    rill__reader reader;
    rill_stream *stream;
    const rill_iovec *separators;
    size_t count;
    size_t shortest;
    size_t longest;
    size_t offset; /* Before it no match begins that was not seen. */
    size_t match_start;
    size_t match_end;
    enum verdict verdict;
} search;

/* The match that ends first; `match_end` SIZE_MAX: none. */
static void
find(search *self, const uint8_t *data, size_t len)
{
    self->match_start = self->match_end = SIZE_MAX;
    for (size_t i = 0; i < self->count; i++) {
        const rill_iovec *separator = &self->separators[i];
        size_t bound = self->match_end < len ? self->match_end : len;
        const uint8_t *at;
        size_t end;

        if (bound < self->offset + separator->len)
            continue;
        at = memmem(data + self->offset, bound - self->offset, separator->data, separator->len);
        if (at == NULL)
            continue;
        end = (size_t)(at - data) + separator->len;
        if (end == self->match_end && end - separator->len < self->match_start)
            continue; /* Longer. */
        self->match_start = end - separator->len;
        self->match_end = end;
    }
}

static enum verdict
judge(search *self)
{
    const rill_stream *s = self->stream;
    size_t len = s->end - s->start;

    if (self->verdict != NOT_FOUND || len < self->offset + self->shortest)
        return self->verdict;
    find(self, s->data + s->start, len);
    if (self->match_end != SIZE_MAX) {
        self->verdict = self->match_start > s->limit ? TOO_FAR : FOUND;
        return self->verdict;
    }
    self->offset = len + 1 > self->longest ? len + 1 - self->longest : 0;
    if (self->offset > s->limit)
        self->verdict = TOO_LONG;
    return self->verdict;
}

static bool
is_over(rill__reader *reader)
{
    return judge(RILL__CONTAINER(reader, search, reader)) != NOT_FOUND;
}

static int
check(search *self)
{
    self->shortest = SIZE_MAX;
    for (size_t i = 0; i < self->count; i++) {
        size_t len = self->separators[i].len;

        if (len == 0 || self->separators[i].data == NULL)
            return RILL_EINVAL;
        self->shortest = len < self->shortest ? len : self->shortest;
        self->longest = len > self->longest ? len : self->longest;
    }
    return self->longest < SIZE_MAX / 4 ? 0 : RILL_EINVAL;
}

/* 0 when there is a verdict, or the end. */
static int
run(rill__fiber *fiber, search *self)
{
    rill_stream *s = self->stream;
    int rc;

    if (!rill__flow_gather(s))
        return -ENOMEM;
    if (judge(self) != NOT_FOUND || s->eof)
        return 0;
    rc = rill__flow_wait_read(fiber, s, &self->reader);
    if (rc == 0)
        (void)judge(self);
    if (rc == 0 && s->refs == 0)
        rc = RILL_ECLOSED; /* Nothing can be lent of what goes now. */
    rill__flow_unpin(s);
    return rc;
}

static int64_t
conclude(const search *self, rill_slice *ret_slice)
{
    rill_stream *s = self->stream;
    size_t len = s->end - s->start;

    switch (self->verdict) {
    case FOUND:
        rill__flow_lend(s, self->match_end, ret_slice);
        rill__flow_drop(s, self->match_end);
        return (int64_t)self->match_end;
    case TOO_FAR:
        rill__flow_lend(s, self->match_start, ret_slice);
        break;
    case TOO_LONG:
        rill__flow_lend(s, self->offset, ret_slice);
        break;
    case NOT_FOUND:
        rill__flow_lend(s, len, ret_slice);
        rill__flow_drop(s, len);
        return RILL_EINCOMPLETE;
    }
    rill__flow_check_limit(s);
    return RILL_EOVERRUN;
}

static int64_t
read_until(rill_stream *s, search *self, rill_slice *ret_slice, const char *function)
{
    rill__fiber *fiber = rill__current();
    int rc;

    RILL__REQUIRE(self->separators != NULL && self->count != 0 && ret_slice != NULL);
    rc = check(self);
    if (rc == 0)
        rc = rill__flow_begin_lend(fiber, s, function);
    if (rc < 0)
        return rc;
    self->stream = s;
    self->reader.wait.what = function;
    self->reader.enough = is_over;
    rc = run(fiber, self);
    return rc < 0 ? rc : conclude(self, ret_slice);
}

int64_t
rill_stream_read_until(
    rill_stream *s, const rill_iovec *separators, size_t count, rill_slice *ret_slice)
{
    search self = { .separators = separators, .count = count };

    return read_until(s, &self, ret_slice, "rill_stream_read_until");
}

int64_t
rill_stream_readline(rill_stream *s, rill_slice *ret_slice)
{
    static const rill_iovec newline = { "\n", 1 };
    search self = { .separators = &newline, .count = 1 };
    int64_t rc = read_until(s, &self, ret_slice, "rill_stream_readline");

    return rc == RILL_EINCOMPLETE ? (int64_t)ret_slice->len : rc;
}
