/* UEFI runtime services after the take-over: called in an address space of their own, in which the
 * firmware's runtime regions are identity mapped, with every fault caught and under a time limit
 * (which only firmware that hangs with interrupts off can defeat). source: UEFI "EFI System Table",
 * "Runtime Services", "x64 Platforms" (calling environment). */
#ifndef QL_KERNEL_RUNTIME_H
#define QL_KERNEL_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

struct runtime_firmware {
    char vendor[64];                 /* the firmware's vendor string in ASCII, "" if unknown */
    uint32_t revision;               /* the vendor's own number */
    uint32_t uefi_major, uefi_minor; /* 2, 70: UEFI 2.7; 0: no system table */
};

/* Build the address space and read the firmware's tables. What is wrong is logged and left out.
 * Stage: after the heap. Nothing is allocated afterwards, so a panic may use runtime_reset. */
void runtime_init(void);

/* What the firmware says about itself; all zero where there is no UEFI. */
const struct runtime_firmware *runtime_firmware(void);

enum runtime_reset { RUNTIME_RESET_COLD = 0, RUNTIME_RESET_WARM = 1, RUNTIME_RESET_SHUTDOWN = 2 };

/* False for firmware that is known to reset the machine when it is asked to turn it off. */
bool runtime_can_shut_down(void);

/* ResetSystem. Returns, with the reason in words, only if the machine did not go down within two
 * seconds: "returned", "timed out", "faulted", "no runtime services". Interrupts are off then, and the FPU is
 * on, which ring 3 must not have: what is left to do is to end the machine in another way. */
const char *runtime_reset(enum runtime_reset kind);

/* Back into the kernel's address space, if a call is under way: for a panic in the middle of it. */
void runtime_leave(void);

#endif
