/* What a user's first program does: includes the umbrella, makes a loop, runs one callback. */
#include <rill/rill.h>

static int calls;

static void
tick(void *arg)
{
    calls++;
    rill_loop_stop((rill_loop *)arg);
}

int
main(void)
{
    const int version = RILL_VERSION_MAJOR * 10000 + RILL_VERSION_MINOR * 100 + RILL_VERSION_PATCH;
    rill_loop_options options = rill_loop_options_default();
    rill_loop *loop;

    if (rill_version() != version)
        return 2;
    if (rill_loop_new(&options, &loop) < 0)
        return 3;
    if (rill_call_soon(loop, tick, loop, NULL) < 0 || rill_loop_run(loop) < 0)
        return 4;
    return rill_loop_free(loop) == 0 && calls == 1 ? 0 : 5;
}
