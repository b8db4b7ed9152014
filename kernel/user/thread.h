/* Threads of ring 3, and running them: the caller of user_run is their scheduler. */
#ifndef QL_KERNEL_USER_THREAD_H
#define QL_KERNEL_USER_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/traps.h"
#include "mm/vmm.h"

/* Why user_run came back. */
enum user_event {
    USER_EXITED,     /* it said so; thread->code */
    USER_YIELDED,    /* it can be run again */
    USER_SLICE_OVER, /* the same */
    USER_KILLED,     /* by an exception: thread->registers has it */
};

/* For one CPU at a time, any one. While it does not run all may be changed: of the registers only those
 * count that ring 3 can set itself. The FPU is not for ring 3. */
struct user_thread {
    struct trap_frame registers;
    struct vm *vm;
    uint64_t number; /* what it is told if it asks who it is */
    uint32_t pkru;   /* its rights on pages with protection keys: cpu_set_pkru */
    /* Who is told what it writes; NULL: the log. */
    void (*listen)(struct user_thread *thread, const char *text);

    enum user_event event; /* the last */
    uint64_t code;         /* of USER_EXITED */
    uint64_t address;      /* of a page fault that killed it */
    enum vmm_fault why;    /* the same */
};

/* Let it begin at entry with that stack pointer, all other registers 0, no key forbidden. */
void user_start(struct user_thread *thread, vaddr_t entry, vaddr_t stack);

/* Run it on this CPU, in its address space, until there is an event. slice_usec: no longer than about
 * that, at most 100000; 0, or without a timer: without limit. Interrupts are on. Ordinary work, and not
 * while another runs here. */
enum user_event user_run(struct user_thread *thread, unsigned slice_usec);

/* What killed it, in words. */
void user_describe(const struct user_thread *thread, char *out, size_t bytes);

/* --- For handlers of traps from ring 3 ------------------------------------------ */

/* The thread that runs on this CPU has an event: user_run returns. */
_Noreturn void user_stop(const struct trap_frame *frame, enum user_event event);

/* It is ended by this exception. */
_Noreturn void user_kill(const struct trap_frame *frame);

/* Last before the way back to ring 3: interrupts are off, nothing in the frame can fault in the kernel;
 * or the thread is stopped. */
void user_return(struct trap_frame *frame);

/* Handle ticks, page faults and system calls. Stage: virtual memory works. */
void user_init(void);

#endif
