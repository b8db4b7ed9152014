/* The machine's CPUs: who they are, what they do, how to give them work. CPU 0 is the one that
 * booted; the others are numbered in the loader's order. Stage: the current CPU from the first
 * line of the kernel, the others after cpus_adopt. */
#ifndef QL_KERNEL_CPUS_H
#define QL_KERNEL_CPUS_H

/* Offsets in struct cpu, for entry.S, ap_entry.S and trap_stubs.S. */
#define CPU_SELF      0
#define CPU_STACK_TOP 8
#define CPU_TSS       24
#define CPU_RING0_RSP 32
#define CPU_RING3_RSP 40

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#include "cpu_set.h"
#include "mm/cpu.h"
#include "mm/tlb.h"

enum cpu_state {
    CPU_ONLINE,   /* runs the kernel */
    CPU_ABSENT,   /* the firmware lists it as usable, but it did not answer the loader or us */
    CPU_DISABLED, /* the firmware lists it as not usable */
};

/* Where a CPU was when another one stopped it: what a panic shows of the others. */
struct cpu_stopped {
    bool stopped;
    bool panicked; /* it was about to say something itself */
    uint64_t rip, rbp;
};

struct cpu_stacks;
struct trap_frame;
struct call;
struct tss;
struct user_thread;

typedef void (*cpu_function_t)(void *argument);

/* A call's place in the queue of the CPU that is to run it. */
struct call_node {
    struct call_node *next;
    struct call *call;
};

/* What each CPU has of its own, found through %gs with one instruction. What a CPU writes of
 * another's is on cache lines apart, and only touched by atomics. */
struct cpu {
    struct cpu *self;         /* at %gs:0 */
    uint64_t stack_top;       /* that it starts on */
    struct mm_cpu *mm;        /* the memory manager's share of it; port_mm_cpu() */
    struct tss *tss;          /* gdt.c */
    uint64_t ring0_rsp;       /* trap_stubs.S: where the stack of ring 3's system calls begins */
    uint64_t ring3_rsp;       /* and what its RSP was, for two instructions */
    struct user_thread *user; /* that runs here; user/thread.c */
    bool slice_over;          /* its time is up */
    uint32_t id;              /* our number; port_cpu_id() */
    uint32_t lapic_id;
    uint32_t acpi_uid;
    uint32_t node; /* 0 where the firmware names none */
    enum cpu_state state;
    const struct cpu_stacks *stacks;
    struct cpu_stopped at_panic;

    uint64_t trap_resume;           /* traps.c: where traps_try goes on; 0: none runs */
    struct trap_frame *trap_caught; /* and what it was ended by */

    /* shootdown.c: what this CPU asks of others, and how many of them have yet to do it. */
    const struct tlb_batch *tlb_batch;
    uint32_t tlb_pending;

    /* Written by others. shootdown.c: the CPUs that ask this one; calls.c: its queue, its place in
     * the queues' order for a call on all; cpus.c: how far it has come, its work. */
    struct cpu_set tlb_inbox __attribute__((aligned(64)));
    struct call_node *call_queue;
    struct call_node call_all_node;
    uint32_t start;
    uint32_t work_state;
    cpu_function_t work;
    void *work_argument;
} __attribute__((aligned(64)));

_Static_assert(__builtin_offsetof(struct cpu, self) == CPU_SELF, "entry.S");
_Static_assert(__builtin_offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "ap_entry.S");
_Static_assert(__builtin_offsetof(struct cpu, tss) == CPU_TSS, "trap_stubs.S");
_Static_assert(__builtin_offsetof(struct cpu, ring0_rsp) == CPU_RING0_RSP, "trap_stubs.S");
_Static_assert(__builtin_offsetof(struct cpu, ring3_rsp) == CPU_RING3_RSP, "trap_stubs.S");
_Static_assert(__builtin_offsetof(struct cpu, mm) == PORT_MM_CPU_OFFSET, "mm/cpu.h");

/* The CPU that executes this. Constant while interrupts are off, and for ordinary work: it never
 * moves from one CPU to another. */
static inline struct cpu *cpu_current(void)
{
    struct cpu *cpu; /* not volatile: a function may read it once */
    __asm__("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

/* Number of CPUs known, whatever their state, and one of them. */
unsigned cpus_count(void);
struct cpu *cpus_get(unsigned id);

/* Those that run the kernel. */
const struct cpu_set *cpus_online(void);

/* Take the CPUs that the loader parked out of its memory: onto our tables and stacks, into our
 * idle loop. One that does not come within its time, or for which there is no memory, is reported,
 * stopped and left out. False if one may still be in the loader's memory, which must then never be
 * reused.
 * Stage: our tables are in use, nothing of the loader's has been given away. */
bool cpus_adopt(void);

/* Add what the firmware lists beyond the loader's CPUs, and the nodes of all. Interrupts are on
 * afterwards. Stage: after nodes_init. */
void cpus_start(void);

/* True if it had nothing to do when it was stopped. */
bool cpus_was_idle(const struct cpu *cpu);

/* It answers no more: nobody waits for it. For stop.c. */
void cpus_leave(unsigned id);

/* Run function(argument) on a CPU, in interrupt context with interrupts off, and wait for its end.
 * On the current CPU it is called directly. False if that CPU is not online. A CPU that waits here
 * goes on serving calls and TLB shootdowns of others, so the caller holds no lock. The function
 * may itself use cpus_call. An exception in it is not caught by a traps_try around this. */
bool cpus_call(unsigned cpu, cpu_function_t function, void *argument);

/* The same on every online CPU, this one included, all at once; returns when all have ended. The
 * CPUs may wait for each other in the function. It must not use cpus_call_all itself. */
void cpus_call_all(cpu_function_t function, void *argument);

/* Run function(argument) on an idle CPU as ordinary work: interrupts on, on that CPU's own stack;
 * one piece of work at a time for each CPU. False if it is not online, is this CPU, or is busy;
 * CPU 0 always is. */
bool cpus_run(unsigned cpu, cpu_function_t function, void *argument);

/* Wait until the work given to that CPU has ended; calls and shootdowns of others are served. */
void cpus_wait(unsigned cpu);

/* True if [address, address + bytes) is in a stack of one of the CPUs. */
bool cpus_in_stack(uint64_t address, uint64_t bytes);
#endif

#endif
