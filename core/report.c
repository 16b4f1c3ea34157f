/*
 * What the library says: log lines, error reports, the sentence of the last failing call, and the
 * copying of sized options.
 *
 * Nothing here allocates. The library never logs payload. Loop thread only.
 */
#include <stdio.h>

#include "core/internal.h"

#define TEXT_BYTES 512

static const char *const level_names[] = { "", "error", "warning", "info", "debug" };

void
rill__log_to(rill_log_fn log, void *arg, rill_log_level level, const char *text)
{
    if (log != NULL)
        log(level, text, arg);
    else
        fprintf(stderr, "rill: %s: %s\n", level_names[level], text);
}

static void
log_text(rill_loop *loop, rill_log_level level, const char *text)
{
    if (level <= loop->log_level)
        rill__log_to(loop->log, loop->log_arg, level, text);
}

void
rill__log(rill_loop *loop, rill_log_level level, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    if (level > loop->log_level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_text(loop, level, text);
}

int
rill__fail(rill_loop *loop, int code, rill_layer layer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(loop->last_error_text, sizeof(loop->last_error_text), format, args);
    va_end(args);
    loop->last_error.code = code;
    loop->last_error.layer = layer;
    loop->last_error.native = code < 0 && code >= -4095 ? -code : 0;
    loop->last_error.sentence = loop->last_error_text;
    return code;
}

int
rill__fail_call(rill_loop *loop, int code, const char *call)
{
    return rill__fail(loop, code, code >= -4095 ? RILL_LAYER_SYSTEM : RILL_LAYER_TRANSPORT,
        "%s: %s", call, rill_strerror(code));
}

const rill_reason *
rill_loop_last_error(const rill_loop *loop)
{
    return &loop->last_error;
}

void
rill_loop_default_error_handler(rill_loop *loop, const rill_error_context *context, void *arg)
{
    char text[TEXT_BYTES];
    char described[256];
    int len;

    (void)arg;
    len = snprintf(text, sizeof(text), "%s", context->message);
    if (context->code != 0 && len >= 0 && (size_t)len < sizeof(text))
        len += snprintf(text + len, sizeof(text) - (size_t)len, " [%s: %s]",
            rill_errname(context->code), rill_strerror(context->code));
    if (context->transport != NULL && len >= 0 && (size_t)len < sizeof(text)) {
        /* The floor above put its object first in a transport (transports/transport.c). */
        loop->object_ops[RILL__OBJECT_TRANSPORT]->describe(
            (const rill__object *)(const void *)context->transport, described, sizeof(described));
        len += snprintf(text + len, sizeof(text) - (size_t)len, " %s", described);
    }
    if (context->site != NULL && len >= 0 && (size_t)len < sizeof(text))
        snprintf(text + len, sizeof(text) - (size_t)len, " (made at %s)", context->site);
    log_text(loop, RILL_LOG_WARNING, text);
}

void
rill_loop_set_error_handler(rill_loop *loop, rill_error_handler handler, void *arg)
{
    loop->error_handler = handler != NULL ? handler : rill_loop_default_error_handler;
    loop->error_handler_arg = arg;
}

void
rill_loop_report(rill_loop *loop, const rill_error_context *context)
{
    rill__check_thread(loop, "rill_loop_report");
    loop->error_handler(loop, context, loop->error_handler_arg);
}

void
rill__report(rill_loop *loop, enum rill_error_kind kind, int code, const char *site,
    rill_transport *transport, rill_server *server, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    rill_loop_report(loop, &(rill_error_context){ .size = sizeof(rill_error_context),
                               .kind = kind,
                               .code = code,
                               .message = text,
                               .site = site,
                               .transport = transport,
                               .server = server });
}

static bool
is_zero(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* A newer program may pass a larger struct: fields that we do not know must not be set. */
int
rill__options_copy(rill_loop *loop, const char *what, const void *options, size_t size,
    void *ret_copy, size_t known)
{
    const unsigned char *bytes = options;

    if (size < sizeof(size_t) || size > 4096 ||
        (size > known && !is_zero(bytes + known, size - known))) {
        if (loop == NULL)
            return RILL_EINVAL;
        return rill__fail(loop, RILL_EINVAL, RILL_LAYER_LOOP,
            size < sizeof(size_t)
                ? "%s: size is not set: make it with its macro or its _default function"
                : "%s: it sets options that this version of rill does not know",
            what);
    }
    memset(ret_copy, 0, known);
    memcpy(ret_copy, options, size < known ? size : known);
    return 0;
}
