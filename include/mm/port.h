/* What mm/ needs of the machine it runs on. kernel/port.c implements it for the real one,
 * tests/host/machine.c for the simulated one. For all functions here: callable from any context,
 * never allocate, never call back into mm/. */
#ifndef QL_MM_PORT_H
#define QL_MM_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu_set.h"
#include "mm/addr.h"
#include "mm/tlb.h"

#define PORT_PRINTF(at) __attribute__((format(printf, at, at + 1)))

/* What the CPU can do, as far as page tables care. Constant after port_init of the platform. */
struct port_cpu {
    bool nx;           /* EFER.NXE is on: bit 63 of an entry is execute-disable, else reserved */
    bool page_1g;      /* 1 GiB pages */
    bool global;       /* CR4.PGE is on */
    bool pkeys;        /* CR4.PKE is on: bits 59 to 62 of a page's entry are its protection key */
    uint8_t phys_bits; /* physical address width (CPUID 80000008h), 36..52 */
    uint8_t levels;    /* 4 or 5, as CR4.LA57 says */
};
const struct port_cpu *port_cpu(void);

/* One line of log; no newline at the end of fmt. */
void port_log(const char *fmt, ...) PORT_PRINTF(1);

/* A broken invariant: say so and stop. */
_Noreturn void port_panic(const char *fmt, ...) PORT_PRINTF(1);

/* A caller broke the contract of an allocator (double free, foreign pointer). The kernel panics;
 * the simulated machine records the message and returns, and the function called reports MM_INVAL
 * and leaves its state as it was. */
void port_misuse(const char *fmt, ...) PORT_PRINTF(1);

/* As C's snprintf, whose length nobody needs. */
void port_format(char *out, size_t bytes, const char *fmt, ...) PORT_PRINTF(3);

/* The return addresses of the functions that are under way on this CPU, from the one with that frame
 * (__builtin_frame_address) outwards, as far as there are frame pointers; without the innermost
 * ones that are of mm/heap/. Returns their number, at most max. */
unsigned port_callers(const void *frame, uint64_t *out, unsigned max);

/* The name of the function that an address is in, and how far. NULL if it is not known. */
const char *port_symbol(uint64_t address, uint64_t *offset);

/* The CPU that runs this: 0 .. CONFIG_CPUS_MAX - 1. Constant while interrupts are off; 0 on the
 * first CPU from its first instruction on, as locks are taken before anything is set up. */
unsigned port_cpu_id(void);

/* One turn of a loop that waits for another CPU, interrupts perhaps off: pauses, and answers the
 * shootdowns of others, or two CPUs could wait for each other for ever. Takes no lock. */
void port_relax(void);

/* Make every CPU of the set forget what the batch says, and return when none of them can use the
 * old translations any more, not even for an access that was under way. The caller may hold locks
 * with interrupts off; while it waits it answers others, as port_relax does. The set may contain
 * this CPU, and CPUs that have left the space meanwhile; empty sets and batches are fine. */
void port_tlb_shootdown(const struct cpu_set *cpus, const struct tlb_batch *batch);

/* Return when every other CPU has passed a full memory barrier since the call: what it wrote before
 * is visible here, and what it reads afterwards is as new as what was written here before the call.
 * In the kernel, no CPU was then all the time in one stretch of code with interrupts off that does
 * not wait for anything. The caller may hold locks; while it waits it answers others. */
void port_barrier_all(void);

/* This CPU forgets every cached translation, global ones too. */
void port_tlb_flush_all(void);

/* CR3 of this CPU: the physical address of the root table in use. */
paddr_t port_get_root(void);
void port_set_root(paddr_t root);

#endif
