/* Exceptions and interrupts: the IDT, the stubs' stack layout, the handler table. */
#ifndef QL_KERNEL_TRAPS_H
#define QL_KERNEL_TRAPS_H

#define TRAP_SYSCALL 256 /* SYSCALL is treated as a vector behind those of the CPU */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* What trap_stubs.S pushes, lowest address first. source: Intel SDM Vol. 3A "Interrupt and
 * Exception Handling" */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

enum trap_vector {
    TRAP_DIVIDE = 0,
    TRAP_DEBUG = 1,
    TRAP_NMI = 2,
    TRAP_INVALID_OPCODE = 6,
    TRAP_NO_FPU = 7,
    TRAP_DOUBLE_FAULT = 8,
    TRAP_GENERAL_PROTECTION = 13,
    TRAP_PAGE_FAULT = 14,
    TRAP_MACHINE_CHECK = 18,
    TRAP_EXCEPTIONS = 32,
    TRAP_VECTORS = 256
};

static inline bool trap_is_from_user(const struct trap_frame *frame)
{
    return frame->cs & 3;
}

/* Error code of a page fault. */
enum page_fault_error {
    FAULT_PRESENT = 1,  /* the page is mapped, but not for this */
    FAULT_WRITE = 2,    /* else a read */
    FAULT_USER = 4,     /* from user mode */
    FAULT_RESERVED = 8, /* a reserved bit is set in an entry */
    FAULT_FETCH = 16,   /* of an instruction */
    FAULT_KEY = 32      /* a protection key forbids it */
};

typedef void (*trap_handler_t)(struct trap_frame *frame);

/* GDT, TSS with the IST stacks, IDT, SYSCALL: everything that makes an exception end in words. */
void traps_init(void);

/* The same IDT on a CPU that comes later, and has loaded segments of its own. */
void traps_join(void);

/* Let handler take a vector (or TRAP_SYSCALL) from now on; NULL gives it back to the panic, or to the
 * end of the thread if it comes from ring 3. */
void traps_set(unsigned vector, trap_handler_t handler);

/* For a handler: treat it as one that nobody takes. It ends the thread that caused it, or a traps_try,
 * or the kernel. Returns only in the second case. */
void traps_fail(struct trap_frame *frame);

/* Run function(argument) and survive it: true if it returned, false if an exception (not NMI, not
 * machine check) or traps_abandon ended it. caught (may be NULL) then receives the frame. The
 * machine is as it was but for what the function did; interrupts are as before. May be nested. */
bool traps_try(void (*function)(void *), void *argument, struct trap_frame *caught) MUST_USE;

/* In a trap handler: make the traps_try that runs return false. False: none runs. */
bool traps_abandon(struct trap_frame *frame);

/* Run function(argument), which an interrupt asks for, apart from what it interrupted: an exception
 * must not be taken for one of a traps_try that happens to run here. */
void traps_aside(void (*function)(void *), void *argument);

/* From now on no exception on this CPU is survived. For a panic, which must not be ended by what
 * went wrong. */
void traps_forget_try(void);

/* "page fault", "general protection fault", ...; "interrupt" for 32 and up. */
const char *trap_name(uint64_t vector);
#endif

#endif
