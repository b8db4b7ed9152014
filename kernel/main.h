/* The order in which the kernel comes up. */
#ifndef QL_KERNEL_MAIN_H
#define QL_KERNEL_MAIN_H

/* The kernel's first C function: entry.S calls it on the boot stack. */
_Noreturn void kmain(void);

#endif
