/* The end: says what happened, in words first, then stops or reboots as the option panic= asks. */
#ifndef QL_KERNEL_PANIC_H
#define QL_KERNEL_PANIC_H

#include <stdbool.h>

#include "console/print.h"
#include "cpu/traps.h"

/* A broken invariant found by code. */
_Noreturn void panic(const char *format, ...) PRINTF_LIKE(1, 2);

/* An exception nobody handles. */
_Noreturn void panic_trap(const struct trap_frame *frame);

/* True from the first line of a panic on: whoever could resolve a page fault may have stopped in the middle
 * of that, so none is resolved any more. */
bool panic_under_way(void);

#endif
