/*
 * The switch of stacks alone: nanoseconds for one, there or back.
 *
 *     switch [OPERATIONS]
 *
 * Built from the library's own switch, with nothing of a loop around it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int rill__switch(void **save, void *to, int value);
void *rill__switch_prepare(void *top, void (*entry)(void *arg), void *arg);

static void *here;
static void *there;

static void
answer(void *arg)
{
    volatile double third = 1;

    third /= 3; /* Leaves a flag in this stack's floating point status that the other has not. */
    (void)arg;
    for (;;)
        (void)rill__switch(&there, here, 0);
}

static uint64_t
cpu_ns(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

int
main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000000;
    char *stack = aligned_alloc(4096, 65536);
    uint64_t start;

    if (stack == NULL || count < 2)
        return 1;
    there = rill__switch_prepare(stack + 65536, answer, NULL);
    (void)rill__switch(&here, there, 0);
    start = cpu_ns();
    for (size_t i = 0; i < count / 2; i++)
        (void)rill__switch(&here, there, 0);
    printf("switch %.2f\n", (double)(cpu_ns() - start) / (double)count);
    free(stack);
    return 0;
}
