/*
 * What the files of restart/ share: descriptors with names, and the messages of the channel.
 *
 * The protocol, one SOCK_SEQPACKET message each, every one beginning with a rill__message:
 *
 *   old to new   HELLO         count: of all descriptors; pid: the new process
 *                DESCRIPTORS   count: of those in this message; behind it for each of them a byte
 *                              of flags and its name with a zero byte; as often as it takes
 *   new to old   READY         it serves: the old one stops accepting
 *                REFUSED       count: the error that it gives up for, positive
 *
 * The first eight bytes have the same meaning in every version.
 */
#ifndef RILL__RESTART_INTERNAL_H
#define RILL__RESTART_INTERNAL_H

#include <rill/restart.h>

#include "core/driver/host.h"
#include "core/internal.h"

#define RILL__RESTART_VARIABLE "RILL_RESTART"
#define RILL__RESTART_MAGIC    UINT32_C(0x6c6c6972) /* "rill" */
#define RILL__RESTART_VERSION  1

#define RILL__NAME_MAX    255
#define RILL__NAMED_MAX   16384               /* Descriptors of one set. */
#define RILL__MESSAGE_MAX ((size_t)16 * 1024) /* Bytes of one message. */

enum rill__message_kind {
    RILL__MESSAGE_HELLO = 1,
    RILL__MESSAGE_DESCRIPTORS = 2,
    RILL__MESSAGE_READY = 3,
    RILL__MESSAGE_REFUSED = 4
};

typedef struct rill__message {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
    uint32_t count;
    uint32_t pid;
} rill__message;

static_assert(sizeof(rill__message) == 16, "no padding: it travels between builds");

static inline rill__message
rill__message_of(enum rill__message_kind kind, size_t count)
{
    return (rill__message){ .magic = RILL__RESTART_MAGIC,
        .version = RILL__RESTART_VERSION,
        .kind = (uint16_t)kind,
        .count = (uint32_t)count };
}

/* Is it a message at all, and of this version? 0, RILL_EPROTOCOL or RILL_EVERSION. */
static inline int
rill__message_check(const void *bytes, int64_t len, rill__message *ret_message)
{
    rill__message message = { 0 };

    memcpy(&message, bytes, len < (int64_t)sizeof(message) ? (size_t)len : sizeof(message));
    if (len < 8 || message.magic != RILL__RESTART_MAGIC)
        return RILL_EPROTOCOL;
    *ret_message = message;
    if (message.version != RILL__RESTART_VERSION)
        return RILL_EVERSION;
    return len >= (int64_t)sizeof(message) ? 0 : RILL_EPROTOCOL;
}

#define RILL__FLAG_OWNS_PATH 1 /* The process that serves it removes its Unix path. */

/* One descriptor with its name. */
typedef struct rill__named {
    int fd; /* -1: taken, or sent. */
    uint8_t flags;
    uint64_t identity[2]; /* Which socket it is. */
    char name[RILL__NAME_MAX + 1];
} rill__named;

/* Is it one that a name can be? */
bool rill__name_is_valid(const char *name);

/* Does the set have this file, with one of the flags if any are given? */
bool rill__named_has(const rill__named *named, size_t count, uint8_t flags, int fd);

struct rill_inherited {
    rill__object object;
    rill_loop *loop;
    rill_inherited_origin origin;
    int channel; /* -1: READY is said, or there is nobody to say it to. */
    size_t count;
    rill__named named[];
};

/* An empty set, and the end of one whose descriptors are not this process's (yet). */
int rill__inherited_new(rill_loop *loop, size_t count, const char *site, rill_inherited **ret_set);
void rill__inherited_drop(rill_inherited *set);

/* The arguments of the three calls that make a set. */
int rill__inherit_check(rill_loop *loop, const rill_inherit_options *options, const char *call,
    rill_inherit_options *ret_options);

/* Each: 0 and a set, 0 and NULL when there is nothing of the kind, or the error. */
int rill__inherit_restart(rill_loop *loop, const rill_inherit_options *o, rill_inherited **ret_set);
int rill__inherit_systemd(rill_loop *loop, const rill_inherit_options *o, rill_inherited **ret_set);

/* When a timeout is over, however long it is. */
static inline rill_ns
rill__timeout_end(rill_ns now, rill_ns timeout)
{
    return timeout < INT64_MAX - now ? now + timeout : INT64_MAX;
}

/* A decimal number without sign or blanks, at most `max`. */
bool rill__parse_number(const char *text, uint64_t max, uint64_t *ret_number);

#endif
