/*
 * System calls of the library's, counted: that the kernel did it is seen by them, not by what came
 * out.
 */
#ifndef SUPPORT_CALLS_H
#define SUPPORT_CALLS_H

#include <stddef.h>

size_t calls_of_sendfile(void); /* Ever. */

#endif
