/*
 * The smallest program in tasks: it says a word, waits, and says another one.
 *
 * Shows: a main task, a wait that holds up nobody else, and an error that is passed up.
 *
 * Run:     ./hello
 * Prints:  hello
 *          world      half a second later
 */
#include <rill/rill.h>

#include <stdio.h>

static int
app(void *unused)
{
    (void)unused;
    puts("hello");
    RILL_TRY(rill_sleep(500 * RILL_MS)); /* This task sleeps; a loop with others would go on. */
    puts("world");
    return 0;
}

int
main(void)
{
    return rill_run(app, NULL) < 0;
}
