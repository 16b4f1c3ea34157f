/*
 * Variables of tasks: a context is a list of settings that never change, newest first.
 *
 * A child shares its parent's list from where it stood; what either sets later goes on top of its
 * own, or changes what nobody else sees. A list of which most is outdated is made anew. The loop's
 * `context` is the list of whoever runs, a counted reference. Nodes come from the loop's pool.
 * Reading walks the list: a program has a handful of variables. Loop thread only.
 */
#include "tasks/executor.h"

#define LENGTH_MIN 16

struct rill_context {
    uint32_t refs;
    uint32_t length;     /* From here on. */
    uint32_t length_max; /* Then it is made anew. */
    rill_loop *loop;
    const rill_var *var;
    void *value;
    rill_context *older;
};

static void
hold(void *context)
{
    ((rill_context *)context)->refs++;
}

static void
release(rill_loop *loop, void *context)
{
    rill_context *node = context;

    while (node != NULL && --node->refs == 0) {
        rill_context *older = node->older;

        rill__pool_release(loop, node, sizeof(*node), 0);
        node = older;
    }
}

static const rill__context_ops ops = { hold, release };

static const rill_context *
find(const rill_context *node, const rill_var *var)
{
    while (node != NULL && node->var != var)
        node = node->older;
    return node;
}

void *
rill__context_value(const void *context, const rill_var *var)
{
    const rill_context *node = find(context, var);

    return node != NULL ? node->value : var->value;
}

void *
rill_var_get(const rill_var *var)
{
    if (RILL__UNLIKELY(rill__running == NULL))
        return rill__job_variable(var);
    return rill__context_value(rill__running->context, var);
}

const rill_loop *
rill__context_loop(const rill_context *context)
{
    return context->loop;
}

/* On top of `older`, whose reference it takes over. */
static rill_context *
add(rill_loop *loop, const rill_var *var, void *value, rill_context *older)
{
    rill_context *node = rill__pool_take(loop, sizeof(*node));

    if (node == NULL)
        return NULL;
    *node = (rill_context){ .refs = 1, .loop = loop, .var = var, .value = value, .older = older };
    node->length = older != NULL ? older->length + 1 : 1;
    node->length_max = older != NULL ? older->length_max : LENGTH_MIN;
    return node;
}

/* The newest setting of each variable. NULL without memory. */
static rill_context *
compact(rill_loop *loop, const rill_context *context)
{
    rill_context *fresh = NULL;

    for (const rill_context *node = context; node != NULL; node = node->older) {
        rill_context *added;

        if (find(fresh, node->var) != NULL)
            continue;
        added = add(loop, node->var, node->value, fresh);
        if (added == NULL) {
            release(loop, fresh);
            return NULL;
        }
        fresh = added;
    }
    fresh->length_max = 2 * fresh->length + LENGTH_MIN;
    return fresh;
}

/* A setting that nobody else sees, from the top on. */
static rill_context *
own_setting(rill_context *node, const rill_var *var)
{
    while (node != NULL && node->refs == 1 && node->var != var)
        node = node->older;
    return node != NULL && node->refs == 1 ? node : NULL;
}

static int
set(rill_loop *loop, const rill_var *var, void *value)
{
    rill_context *context = loop->context;
    rill_context *node = own_setting(context, var);

    loop->context_ops = &ops;
    if (node != NULL) {
        node->value = value;
        return 0;
    }
    node =
        context != NULL && context->length >= context->length_max ? compact(loop, context) : NULL;
    if (node != NULL) {
        release(loop, context);
        loop->context = context = node;
    }
    node = add(loop, var, value, context);
    if (node == NULL)
        return rill__fail_call(loop, -ENOMEM, "rill_var_set");
    loop->context = node;
    return 0;
}

typedef struct token {
    const rill_var *var;
    void *value;
    const rill_task *task;
} token;

static_assert(sizeof(token) <= sizeof(rill_token), "a token fits its public form");

int
rill_var_set(const rill_var *var, void *value, rill_token *ret_token)
{
    void *before;
    int rc;

    RILL__REQUIRE(var != NULL);
    if (rill__running == NULL)
        return RILL_ENOTASK;
    before = rill_var_get(var);
    rc = set(rill__running, var, value);
    if (rc == 0 && ret_token != NULL)
        *(token *)(void *)ret_token =
            (token){ .var = var, .value = before, .task = rill_current_task() };
    return rc;
}

int
rill_var_reset(rill_token *reset)
{
    token *self = (token *)(void *)reset;
    int rc;

    RILL__REQUIRE(reset != NULL);
    if (self->var == NULL || rill__running == NULL || self->task != rill_current_task())
        return RILL_ESTATE;
    rc = set(rill__running, self->var, self->value);
    if (rc == 0)
        self->var = NULL;
    return rc;
}

rill_context *
rill_context_copy(void)
{
    rill_context *context = rill__running != NULL ? rill__running->context : NULL;

    if (context != NULL)
        hold(context);
    return context;
}

void
rill_context_unref(rill_context *context)
{
    if (context != NULL)
        release(context->loop, context);
}
