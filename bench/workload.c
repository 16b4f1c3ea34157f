/*
 * The grammar of workload names: see workload.h. Pure, no state.
 */
#include "workload.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_MAX_BYTES = 4 << 20, CONNECTIONS_MAX = 60000, DEPTH_MAX = 1024 };

static bool
take_text(const char **at, const char *text)
{
    size_t len = strlen(text);

    if (strncmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

static bool
take_number(const char **at, uint32_t number_max, uint32_t *ret)
{
    char *end = NULL;
    unsigned long number;

    if (**at < '0' || **at > '9')
        return false;
    number = strtoul(*at, &end, 10);
    if (number < 1 || number > number_max)
        return false;
    *at = end;
    *ret = (uint32_t)number;
    return true;
}

static bool
take_family(const char **at, bool *ret_is_unix)
{
    *ret_is_unix = take_text(at, "unix-");
    return *ret_is_unix || take_text(at, "tcp-");
}

bool
workload_parse(const char *name, struct workload *ret)
{
    struct workload parsed = { .name = name, .size = 64, .depth = 1 };
    const char *at = name;

    if (take_text(&at, "churn-")) {
        parsed.mode = WORKLOAD_CHURN;
    } else if (take_text(&at, "idle-")) {
        parsed.mode = WORKLOAD_IDLE;
        parsed.size = 1024;
    }
    if (!take_family(&at, &parsed.is_unix))
        return false;
    if (parsed.mode == WORKLOAD_ECHO &&
        (!take_number(&at, SIZE_MAX_BYTES, &parsed.size) || !take_text(&at, "-")))
        return false;
    if (!take_text(&at, "c") || !take_number(&at, CONNECTIONS_MAX, &parsed.connections))
        return false;
    if (parsed.mode == WORKLOAD_ECHO && take_text(&at, "-q") &&
        !take_number(&at, DEPTH_MAX, &parsed.depth))
        return false;
    parsed.awake = parsed.mode == WORKLOAD_ECHO && take_text(&at, "-awake");
    if (*at != '\0')
        return false;
    *ret = parsed;
    return true;
}
