/* The order in which the kernel comes up, and the clock that started with it. */
#ifndef QL_KERNEL_MAIN_H
#define QL_KERNEL_MAIN_H

#include <stdint.h>

/* The kernel's first C function: entry.S calls it on the boot stack. */
_Noreturn void kmain(void);

/* Microseconds since the kernel's first instruction; 0 if the counter's frequency is unknown. */
uint64_t main_usec(void);

#endif
