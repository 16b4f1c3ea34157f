/*
 * The error list as text, and the end of the process for what would corrupt memory.
 *
 * Everything is static and constant: any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/internal.h"

static const struct {
    int code;
    rill_error_class class_;
    const char *name;
    const char *sentence;
} errors[] = {
#define RILL_ERROR_ROW(name, number, class_, sentence) \
    { name, RILL_CLASS_##class_, #name, sentence },
    RILL_ERROR_LIST(RILL_ERROR_ROW)
#undef RILL_ERROR_ROW
};

static const size_t error_count = sizeof(errors) / sizeof(errors[0]);

static size_t
find(int code)
{
    size_t i = 0;

    while (i < error_count && errors[i].code != code)
        i++;
    return i;
}

const char *
rill_strerror(int code)
{
    size_t i = find(code);
    const char *text;

    if (i < error_count)
        return errors[i].sentence;
    if (code >= 0)
        return "success";
    if (code <= RILL_EUSER)
        return "an error of the program's own";
    text = code >= -4095 ? strerrordesc_np(-code) : NULL;
    return text != NULL ? text : "an unknown error";
}

const char *
rill_errname(int code)
{
    size_t i = find(code);
    const char *name;

    if (i < error_count)
        return errors[i].name;
    if (code >= 0)
        return "RILL_OK";
    name = code >= -4095 ? strerrorname_np(-code) : NULL;
    return name != NULL ? name : "UNKNOWN";
}

static rill_error_class
class_of_errno(int number)
{
    switch (number) {
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ESHUTDOWN:
        return RILL_CLASS_CLOSED;
    case ETIMEDOUT:
        return RILL_CLASS_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
        return RILL_CLASS_LIMIT;
    default:
        return RILL_CLASS_SYSTEM;
    }
}

rill_error_class
rill_errclass(int code)
{
    size_t i = find(code);

    if (i < error_count)
        return errors[i].class_;
    if (code >= 0)
        return RILL_CLASS_NONE;
    return code <= RILL_EUSER ? RILL_CLASS_USER : class_of_errno(-code);
}

int
rill_version(void)
{
    return RILL_VERSION_MAJOR * 10000 + RILL_VERSION_MINOR * 100 + RILL_VERSION_PATCH;
}

void
rill__panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("rill: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

#if RILL_TESTING
const char *rill__bug_planted;

void
rill__bug_plant(const char *name)
{
    rill__bug_planted = name;
}

static __attribute__((constructor)) void
plant_from_environment(void)
{
    rill__bug_plant(getenv("RILL_BUG"));
}
#endif
